"""Features of cross-phase spectra: one schema that training and the daemon share.

Every spectrum is looked at on a grid that scales with its pair, x = ln(f / f₀(L)), where f₀ is the rough fundamental
that is expected at L (`resonance.expected_frequency_Hz`): so one model serves every L. What a model may look at
comes in groups, so that each has to earn its place: Foldes et al. (2023, doi:10.1007/s12210-023-01188-9) use
the normalised cross-phase alone. What is masked or unknown is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from monitor.science.resonance import expected_frequency_Hz
from monitor.types import BoolArray, Float32Array, FloatArray, IntArray, RealArray, ResonanceEvidence

GROUPS: Final = ("cross_phase", "amplitude_ratio", "coherence", "power", "physical")
"""Groups of features, in the order of their columns; `pair` (L, smoothing, step) is always there."""

_FIRST, _STEP, _COUNT = -1.45, 0.05, 64
_LARGEST_LOG_RATIO = 4.0
_NARROWEST_BINS = 2.0
# A hump of the power is what stands above the mean of so many steps on either side.
_HUMP_STEPS = 8
_PHYSICAL: Final = (
    "reversed", "log_frequency", "log_relative_sigma", "cross_phase", "coherence", "evidence", "accepted",
    "timing_offset_s", "timing_sigma_s", "bandwidth_Hz", "scatter", "top_gain", "top_gain_reversed", "top_at",
    "top_at_reversed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """Which features a model looks at, and in what order: fixed once for training and the daemon.

    Attributes
    ----------
    groups : tuple of str
        From `GROUPS`, in their order.
    version : int
        Rises when any feature of the same name changes its meaning.
    """

    groups: tuple[str, ...] = GROUPS
    version: int = 1

    def __post_init__(self) -> None:
        unknown = [group for group in self.groups if group not in GROUPS]
        if unknown or list(self.groups) != [group for group in GROUPS if group in self.groups]:
            raise ValueError(f"groups must be some of {', '.join(GROUPS)}, in this order; got {self.groups}")

    @property
    def names(self) -> tuple[str, ...]:
        """One name a column."""
        columns = {
            "cross_phase": _on_grid("cross_phase"),
            "amplitude_ratio": _on_grid("log_amplitude_ratio"),
            "coherence": _on_grid("coherence"),
            "power": [
                *_on_grid("power_poleward"),
                *_on_grid("power_equatorward"),
                "power_slope_poleward",
                "power_slope_equatorward",
            ],
            "physical": [f"physical_{name}" for name in _PHYSICAL],
        }
        wanted = [name for group in self.groups for name in columns[group]]
        return (*wanted, "l_shell", "smoothing_bins", "step_s")

    def to_json(self) -> dict[str, Any]:
        """For the model card."""
        return {
            "version": self.version,
            "groups": list(self.groups),
            "grid": {
                "variable": "ln(f / expected_frequency_Hz(L))",
                "first": _FIRST,
                "step": _STEP,
                "count": _COUNT,
            },
            "names": list(self.names),
        }


def _on_grid(name: str) -> list[str]:
    return [f"{name}_{column:02d}" for column in range(_COUNT)]


@dataclass(frozen=True, slots=True)
class PairSpectra:
    """Spectra of p pairs with what the physical estimate sees in them: all that features are made of.

    Attributes
    ----------
    frequency_Hz : ndarray, shape (f,)
        Evenly spaced.
    cross_phase_rad, amplitude_ratio, coherence : ndarray, shape (p, f)
        As in `SpectrumBatch`; NaN is masked or unknown.
    log_power : ndarray, shape (p, 2, f), or None
        Of the poleward and the equatorward station.
    smoothing_bins, step_s, l_shell : ndarray, shape (p,)
    seen : ResonanceEvidence
    """

    frequency_Hz: FloatArray
    cross_phase_rad: RealArray
    amplitude_ratio: RealArray
    coherence: RealArray
    log_power: RealArray | None
    smoothing_bins: IntArray
    step_s: FloatArray
    l_shell: FloatArray
    seen: ResonanceEvidence

    def rows(self, chosen: IntArray | BoolArray) -> PairSpectra:
        """The same for some of the pairs."""
        return replace(
            self,
            cross_phase_rad=self.cross_phase_rad[chosen],
            amplitude_ratio=self.amplitude_ratio[chosen],
            coherence=self.coherence[chosen],
            log_power=None if self.log_power is None else self.log_power[chosen],
            smoothing_bins=self.smoothing_bins[chosen],
            step_s=self.step_s[chosen],
            l_shell=self.l_shell[chosen],
            seen=self.seen.rows(chosen),
        )


@dataclass(frozen=True, slots=True)
class ScaledSpectra:
    """The spectra of p pairs on the grid that scales with L (arrays of shape (p, g), float32; NaN is masked).

    `power` and `slope` have two rows a pair, poleward and equatorward: (p, 2, g) and (p, 2). The line through each
    logarithm of power is taken out and told as its slope.
    """

    x: FloatArray
    expected_Hz: FloatArray
    cross_phase_rad: Float32Array
    log_ratio: Float32Array
    coherence: Float32Array
    power: Float32Array
    slope: Float32Array

    def reversed(self) -> ScaledSpectra:
        """As if the stations had changed places (Δφ → −Δφ): a plasmapause's resonance stands upright then."""
        return replace(
            self,
            cross_phase_rad=-self.cross_phase_rad,
            log_ratio=-self.log_ratio,
            power=self.power[:, ::-1],
            slope=self.slope[:, ::-1],
        )

    def rows(self, chosen: IntArray | BoolArray) -> ScaledSpectra:
        """The same for some of the pairs."""
        names = [name for name in self.__slots__ if name != "x"]
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def humps(self) -> Float32Array:
        """By how much the power of the weaker station stands above its neighbourhood, shape (p, g)."""
        known = np.isfinite(self.power)
        filled = np.where(known, self.power, 0.0)
        sums = _prefix_sums(_edged(filled))
        counts = _prefix_sums(_edged(known.astype(np.float64)))
        wide = 2 * _HUMP_STEPS + 1
        total = counts[..., wide:] - counts[..., :-wide]
        mean = (sums[..., wide:] - sums[..., :-wide]) / np.maximum(total, 1.0)
        above = np.where(known & (total >= _HUMP_STEPS), self.power - mean, np.nan)
        weaker: Float32Array = above.min(axis=1).astype(np.float32)
        return weaker


def scale(spectra: PairSpectra) -> ScaledSpectra:
    """Average spectra over the cells of the grid that scales with each pair's L.

    The cross-phase of a cell is the angle of the mean of √γ² e^{iφ}. A cell is two Fourier bins wide at least.

    Raises
    ------
    ValueError
        Where an L is unknown: its grid is, too.
    """
    expected = expected_frequency_Hz(spectra.l_shell)
    if not np.isfinite(expected).all():
        raise ValueError("L must be known for the grid of every pair")
    phase = spectra.cross_phase_rad
    coherence = np.where(np.isfinite(spectra.coherence), spectra.coherence, 1.0)
    weight = np.sqrt(np.clip(coherence, 0.0, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log(spectra.amplitude_ratio)
    log_ratio = np.clip(log_ratio, -_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO)
    cells = _Cells.of(spectra.frequency_Hz, expected)
    # Of single precision in single precision, which is many times faster; sums are double.
    real, imaginary = (cells.mean(weight * turned(phase)) for turned in (np.cos, np.sin))
    powers = [np.full((*expected.shape, _COUNT), np.nan, dtype=np.float32)] * 2
    if spectra.log_power is not None:
        powers = [cells.mean(spectra.log_power[:, station]) for station in (0, 1)]
    x: FloatArray = _FIRST + _STEP * (np.arange(_COUNT, dtype=np.float64) + 0.5)
    level, slope = _without_line(x, np.stack(powers, axis=1))
    return ScaledSpectra(
        x=x,
        expected_Hz=expected,
        cross_phase_rad=np.arctan2(imaginary, real),
        log_ratio=cells.mean(log_ratio),
        coherence=cells.mean(spectra.coherence),
        power=level,
        slope=slope,
    )


def window_features(spectra: PairSpectra, scaled: ScaledSpectra, schema: FeatureSchema) -> Float32Array:
    """The classifier's features, shape (p, d), in the order of `schema.names`."""
    pairs = spectra.l_shell.size
    columns: dict[str, list[RealArray]] = {
        "cross_phase": [scaled.cross_phase_rad],
        "amplitude_ratio": [scaled.log_ratio],
        "coherence": [scaled.coherence],
        "power": [scaled.power.reshape(pairs, 2 * _COUNT), scaled.slope],
        "physical": [_physical(spectra.seen, scaled)],
    }
    own = np.stack([spectra.l_shell, spectra.smoothing_bins, spectra.step_s], axis=1)
    parts = [part for group in schema.groups for part in columns[group]]
    return finite_or_nan(np.concatenate([*parts, own], axis=1))


def finite_or_nan(values: RealArray) -> Float32Array:
    """The values in float32, NaN where they are infinite or beyond any sense."""
    with np.errstate(over="ignore"):
        table = np.asarray(values, dtype=np.float32)
    table[~(np.abs(table) < 1e6)] = np.nan
    return table


def _physical(seen: ResonanceEvidence, scaled: ScaledSpectra) -> RealArray:
    """Columns `_PHYSICAL`, shape (p, 15)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_frequency = np.log(seen.frequency_Hz / scaled.expected_Hz)
        log_sigma = np.log(seen.sigma_Hz / seen.frequency_Hz)
    gain = np.where(np.isfinite(seen.profile.gain), seen.profile.gain, -np.inf)
    top = gain.argmax(axis=2)
    tops = np.take_along_axis(gain, top[:, :, None], axis=2)[:, :, 0]
    at = np.log(seen.profile.frequency_Hz[top] / scaled.expected_Hz)
    known = np.isfinite(tops)
    return np.stack(
        [
            seen.reversed, log_frequency, log_sigma, seen.cross_phase_rad, seen.coherence, seen.evidence,
            seen.accepted, seen.timing_offset_s, seen.timing_sigma_s, seen.bandwidth_Hz, seen.scatter,
            *np.where(known, tops, np.nan), *np.where(known, at, np.nan),
        ],
        axis=1,
    ).astype(np.float64)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Cells:
    """Where the cells of every pair begin and end among the Fourier bins of all rows, one after the other.

    Attributes
    ----------
    ends : ndarray, shape (p, g, 2), int64
        The bins that the ends lie in.
    share : ndarray, shape (p, g, 2)
        How much of those bins lies before the ends.
    """

    ends: IntArray
    share: FloatArray

    @classmethod
    def of(cls, frequency_Hz: FloatArray, expected_Hz: FloatArray) -> _Cells:
        spacing = frequency_Hz[1] - frequency_Hz[0]
        edges = _FIRST + _STEP * np.arange(_COUNT + 1)
        position = (expected_Hz[:, None] * np.exp(edges) - frequency_Hz[0]) / spacing + 0.5
        middle = 0.5 * (position[:, 1:] + position[:, :-1])
        half = np.maximum(0.5 * (position[:, 1:] - position[:, :-1]), 0.5 * _NARROWEST_BINS)
        ends = np.clip(np.stack([middle - half, middle + half], axis=2), 0.0, frequency_Hz.size)
        # An end at the edge takes the whole of the last bin.
        bins = np.minimum(ends.astype(np.int64), frequency_Hz.size - 1)
        rows = frequency_Hz.size * np.arange(expected_Hz.size)
        return cls(rows[:, None, None] + bins, ends - bins)

    def mean(self, values: RealArray) -> Float32Array:
        """Mean of what is known of each row over each cell, shape (p, g); NaN where less than one bin is known."""
        known = np.isfinite(values)
        total = self._sum(np.where(known, values, 0.0).astype(np.float64))
        count = self._sum(known.astype(np.float64))
        mean = np.where(count >= 1.0 - 1e-9, total / np.maximum(count, 1e-9), np.nan)
        return mean.astype(np.float32)

    def _sum(self, values: FloatArray) -> FloatArray:
        """Sum of each row over each cell, with shares of the outermost bins."""
        flat = values.ravel()
        # Every other sum is that between two cells.
        whole = np.add.reduceat(flat, self.ends.ravel())[::2].reshape(self.ends.shape[:2])
        outer = self.share * flat[self.ends]
        inside = np.where(self.ends[..., 0] < self.ends[..., 1], whole, 0.0)
        total: FloatArray = inside - outer[..., 0] + outer[..., 1]
        return total


def _prefix_sums(values: RealArray) -> FloatArray:
    """Sums of the first 0, 1, … values along the last axis, float64."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    return sums


def _edged(values: RealArray) -> RealArray:
    """Repeat the ends along the last axis, so that every place has as many neighbours."""
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(_HUMP_STEPS, _HUMP_STEPS)], mode="edge")


def _without_line(x: FloatArray, values: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Take the straight line out of each row; return what is left, and the slopes."""
    known = np.isfinite(values)
    weight, filled = known.astype(np.float64), np.where(known, values, 0.0)
    count = np.maximum(weight.sum(axis=-1, keepdims=True), 1.0)
    mean_x = (weight * x).sum(axis=-1, keepdims=True) / count
    mean = filled.sum(axis=-1, keepdims=True) / count
    centred = weight * (x - mean_x)
    slope = (centred * filled).sum(axis=-1, keepdims=True) / np.maximum(
        (centred * centred).sum(axis=-1, keepdims=True), 1e-9
    )
    left = values - mean - slope * (x - mean_x)
    unknown = ~known.any(axis=-1)
    return left.astype(np.float32), np.where(unknown, np.nan, slope[..., 0]).astype(np.float32)
