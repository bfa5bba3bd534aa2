"""Spectra as the store keeps them: a pair's newest one of each window, small enough for a week of a hundred pairs.

A `spectrum` object of 700 bins is 20 kB of JSON; packed it is 3.6 kB. Cross-phase is kept to 0.01°, the amplitude ratio
to 0.1 %, coherence to 1/254: finer than the eye, and than the spectra are sure.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np

from monitor.types import FloatArray, Json, Product

__all__ = ["SPECTRUM_TABLE", "SpectrumRow", "pack_spectrum", "spectrum_row", "unpack_spectrum"]

# Added after the first stores were laid out, and no part of the schema's version: a program that does not know it
# leaves it alone.
SPECTRUM_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS spectrum (pair TEXT NOT NULL, time_ns INTEGER NOT NULL, revision INTEGER NOT NULL,"
    " data BLOB NOT NULL, PRIMARY KEY (pair, time_ns)) WITHOUT ROWID"
)

_VERSION: Final = 1
# Version, number of bins, first frequency and step (mHz).
_HEAD: Final = struct.Struct("<BxHff")
_PHASE_STEPS: Final = 100.0
_LOG_STEPS: Final = 1000.0
_COHERENCE_STEPS: Final = 254.0
_NOTHING: Final = -32768
_NO_COHERENCE: Final = 255


SpectrumRow: TypeAlias = tuple[str, int, int, bytes]
"""Pair, time (ns), revision and the packed spectrum."""


def spectrum_row(product: Product) -> SpectrumRow:
    """The row of a `spectrum` product. Raises ValueError for a frequency axis that is not even."""
    return product.subject, product.time_ns, product.revision, pack_spectrum(product.body)


def pack_spectrum(body: Mapping[str, Json]) -> bytes:
    """Pack the arrays of a `spectrum` object.

    Layout, little-endian: one byte version, one of padding, uint16 bins n, float32 first frequency and float32 step
    (mHz); then int16[n] cross-phase (0.01°), int16[n] natural logarithm of the amplitude ratio (0.001), uint8[n]
    magnitude-squared coherence (1/254). -32768, and 255 for coherence, are unknown.

    Raises
    ------
    ValueError
        The frequencies are not evenly spaced, or too many.
    """
    frequency = _array(body["frequency_mHz"])
    count = frequency.size
    if count > 0xFFFF:
        raise ValueError(f"found {count} bins; a packed spectrum holds 65535")
    first = float(frequency[0]) if count else 0.0
    step = float(frequency[-1] - frequency[0]) / (count - 1) if count > 1 else 0.0
    if count > 1 and not np.allclose(np.diff(frequency), step, rtol=0.0, atol=1e-3 * step):
        raise ValueError("the frequencies are not evenly spaced")
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.log(_array(body["amplitude_ratio"]))
    return b"".join(
        (
            _HEAD.pack(_VERSION, count, first, step),
            _steps(_array(body["cross_phase_deg"]), _PHASE_STEPS),
            _steps(logarithm, _LOG_STEPS),
            _shares(_array(body["coherence"])),
        )
    )


def unpack_spectrum(data: bytes) -> dict[str, FloatArray]:
    """The arrays of a packed spectrum, by the names of the object; NaN is unknown. Raises ValueError for other bytes."""
    if len(data) < _HEAD.size:
        raise ValueError(f"found {len(data)} bytes, fewer than the head of a packed spectrum has")
    version, count, first, step = _HEAD.unpack_from(data)
    if version != _VERSION or len(data) != _HEAD.size + 5 * count:
        raise ValueError(f"found version {version} and {len(data)} bytes for {count} bins")
    phase, logarithm = np.frombuffer(data, "<i2", 2 * count, _HEAD.size).reshape(2, count)
    coherence = np.frombuffer(data, np.uint8, count, _HEAD.size + 4 * count)
    return {
        "frequency_mHz": first + step * np.arange(count, dtype=np.float64),
        "cross_phase_deg": np.where(phase == _NOTHING, np.nan, phase / _PHASE_STEPS),
        "amplitude_ratio": np.where(logarithm == _NOTHING, np.nan, np.exp(logarithm / _LOG_STEPS)),
        "coherence": np.where(coherence == _NO_COHERENCE, np.nan, coherence / _COHERENCE_STEPS),
    }


def _array(cells: Sequence[float | None]) -> FloatArray:
    return np.array(cells, dtype=np.float64)  # None becomes NaN


def _steps(values: FloatArray, steps: float) -> bytes:
    whole = np.clip(np.round(values * steps), -32767, 32767)
    return np.where(np.isfinite(values), whole, _NOTHING).astype("<i2").tobytes()


def _shares(values: FloatArray) -> bytes:
    whole = np.clip(np.round(values * _COHERENCE_STEPS), 0, _COHERENCE_STEPS)
    return np.where(np.isfinite(values), whole, _NO_COHERENCE).astype(np.uint8).tobytes()
