"""What is in a CDF file, read through the library: names, attributes, numbers and times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.errors import ArchiveError
from monitor.types import SECOND_NS, FloatArray, IntArray

_EPOCH_1970_MS: Final = 62_167_219_200_000
_TT2000, _EPOCH, _EPOCH16, _DOUBLES = 33, 31, 32, (22, 45)
_LATEST_S: Final = 9_000_000_000
_FLOAT32_TOLERANCE: Final = 1e-6
_SMALLEST_FILL: Final = 1e-20


@dataclass(frozen=True, slots=True)
class Times:
    """Times (ns UTC) of a time variable's records; `good` are those that are no fill."""

    name: str
    times_ns: IntArray
    good: npt.NDArray[np.bool_]


class CdfValues:
    """An open CDF file whose records hang together.

    Parameters
    ----------
    path : Path
        Where it is read.
    name : str
        What the operator calls it.
    """

    def __init__(self, path: Path, name: str) -> None:
        import cdflib  # type: ignore[import-untyped]  # a fifth of a second: only where there is a CDF file

        self.path = name
        self.notes: list[str] = []
        """What was left out, a line each, for the operator."""
        self._cdf = cdflib.CDF(path)
        self._epochs = cdflib.cdfepoch
        info = self._cdf.cdf_info()
        self.names: tuple[str, ...] = (*info.zVariables, *info.rVariables)
        self._times: dict[str, Times] = {}

    def about(self, name: str) -> str:
        """The first entry of a global attribute as text; empty where there is none."""
        entries = self._cdf.globalattsget().get(name, "")
        first = entries if isinstance(entries, str) else next(iter(np.atleast_1d(entries).tolist()), "")
        return str(first).strip()

    def attributes(self, name: str) -> dict[str, Any]:
        """The attributes of a variable."""
        found: dict[str, Any] = self._cdf.varattsget(name)
        return found

    def has_records(self, name: str) -> bool:
        """Whether there is a variable of this name, with records."""
        return name in self.names and bool(self._cdf.varinq(name).Last_Rec >= 0)

    def times(self, name: str) -> Times:
        """The times that a variable holds. Raises ArchiveError where it is none of time."""
        if name not in self._times:
            self._times[name] = self._read_times(name)
        return self._times[name]

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """The values of a variable, records first. Raises ArchiveError where they are no numbers."""
        if self._cdf.varinq(name).Sparse != "No_sparse":
            raise ArchiveError(
                self.path, f"{name} has sparse records, which are not read; convert it with cdfconvert"
            )
        values = np.asarray(self._cdf.varget(name))
        if values.dtype.kind not in "iufc":
            raise ArchiveError(self.path, f"{name} is no numeric variable")
        return np.atleast_1d(values)

    def columns(
        self, name: str, times: Times, count: int, marks_to_nan: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """The values of a variable (n, count), one record a time.

        Fill, other marks of what is missing, and what its valid range excludes, are NaN.
        """
        raw = self.numbers(name)
        columns = raw.reshape(raw.shape[0], -1).astype(np.float64)
        if columns.shape != (times.times_ns.size, count):
            raise ArchiveError(
                self.path,
                f"{name} has {columns.shape[1]} columns in {columns.shape[0]} records; "
                f"expected are {count} columns at {times.times_ns.size} times",
            )
        attributes = self.attributes(name)
        values = marks_to_nan(_without_fill(columns, attributes.get("FILLVAL")))
        return self._within(values, attributes, name)

    def _within(self, values: FloatArray, attributes: dict[str, Any], name: str) -> FloatArray:
        """Values (n, columns) with NaN for those outside VALIDMIN to VALIDMAX."""
        outside = np.zeros(values.shape, dtype=np.bool_)
        for key, beyond in (("VALIDMIN", np.less), ("VALIDMAX", np.greater)):
            limit = np.atleast_1d(attributes.get(key, np.nan))
            if np.issubdtype(limit.dtype, np.number) and limit.size in (1, values.shape[1]):
                outside |= beyond(values, limit)
        if outside.any():
            self.notes.append(
                f"{self.path}: {name}: {outside.any(axis=1).sum()} records beyond its valid range"
            )
        return np.where(outside, np.nan, values)

    def _read_times(self, name: str) -> Times:
        kind, unit = (self._cdf.varinq(name).Data_Type, str(self.attributes(name).get("UNITS", "")).strip())
        raw = self.numbers(name).reshape(-1)
        if kind == _TT2000:
            return self._from_tt2000(name, raw)
        # In whole and broken seconds: nanoseconds since the year 0 are beyond what a float can tell apart.
        with np.errstate(invalid="ignore"):
            if kind == _EPOCH:
                seconds, fraction_ns = np.divmod(raw - _EPOCH_1970_MS, 1e3)
                fraction_ns *= 1e6
            elif kind == _EPOCH16:
                seconds, fraction_ns = raw.real - _EPOCH_1970_MS / 1e3, raw.imag / 1e3
            elif kind in _DOUBLES and unit in ("sec", "s"):
                seconds, fraction_ns = np.divmod(raw, 1.0)
                fraction_ns *= 1e9
            else:
                raise ArchiveError(
                    self.path, f"{name} is no time: known are CDF epochs and seconds since 1970 (UNITS sec)"
                )
        good = np.isfinite(seconds) & np.isfinite(fraction_ns) & (np.abs(seconds) < _LATEST_S)
        times = np.zeros(raw.size, dtype=np.int64)
        times[good] = seconds[good].astype(np.int64) * SECOND_NS + np.rint(fraction_ns[good]).astype(np.int64)
        return Times(name, times, good)

    def _from_tt2000(self, name: str, raw: IntArray) -> Times:
        # Fill and pad values are at the lower end of int64, whose size int64 cannot hold.
        good = (raw > -_LATEST_S * SECOND_NS) & (raw < _LATEST_S * SECOND_NS)
        times = np.zeros(raw.size, dtype=np.int64)
        if good.any():
            times[good] = self._epochs.to_datetime(raw[good]).astype(np.int64)
        return Times(name, times, good)


def _without_fill(values: FloatArray, fill: object) -> FloatArray:
    """Values with NaN for a fill value, also where it went through float32."""
    if isinstance(fill, np.number | int | float) and np.isfinite(fill):
        size = abs(float(fill))
        tolerance = _FLOAT32_TOLERANCE * size if size > _SMALLEST_FILL else 0.0
        values = np.where(np.abs(values - float(fill)) <= tolerance, np.nan, values)
    return values
