"""What instruments make of a plasma: calibration, noise of counting, backgrounds, coarser cadences, missing variables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.science.synthetic.craft.series import STEP_S, PlasmaSeries
from monitor.science.synthetic.ranges import Range
from monitor.types import VARIABLES, BoolArray, FloatArray

# Thermal speed of a proton of 1 eV, √(2 kT / m) (km/s).
_THERMAL_KMS: Final = 13.84
_COMPLETE: Final = frozenset[str]()
_VECTOR_B, _VECTOR_V = frozenset({"Bx", "By", "Bz"}), frozenset({"Vx", "Vy", "Vz"})
_FIELD, _FLOW = _VECTOR_B | {"B"}, _VECTOR_V | {"V"}
_ANISOTROPY: Final = frozenset({"Tpar", "Tperp"})
_TEMPERATURE: Final = _ANISOTROPY | {"T"}

MISSING_PATTERNS: Final[tuple[tuple[frozenset[str], float], ...]] = (
    (_COMPLETE, 0.5),
    (_ANISOTROPY, 0.08),
    (_VECTOR_B | _FLOW | _ANISOTROPY, 0.09),
    (_VECTOR_B | _VECTOR_V | _ANISOTROPY, 0.04),
    (frozenset({"N"}) | _TEMPERATURE, 0.06),
    (_FLOW, 0.05),
    (frozenset({"N"}), 0.05),
    (_TEMPERATURE, 0.04),
    (_FIELD, 0.03),
    (_FLOW | {"N"} | _TEMPERATURE, 0.03),
)
"""Variables that are missing together, and how often; in what is left each of them is missing by chance."""

_CHANCE_OF_EACH: Final = 0.3
_FEWEST_LEFT: Final = 3


@dataclass(frozen=True, slots=True)
class InstrumentRanges:
    """Errors of the instruments of one run. All are chosen, after the errors that calibration reports quote.

    Attributes
    ----------
    field_offset_nT, field_noise_nT : Range
        Constant offset of each component, and white noise.
    field_gain, density_gain, temperature_gain, speed_gain : Range
        Standard deviation of the logarithm of a constant factor. Density and temperature of cold or partly seen
        populations are off by tens of per cent (Pollock et al. 2016, doi:10.1007/s11214-016-0245-4).
    counts_per_cm3 : Range
        Counts in 4.5 s at 1 cm⁻³: their root is the relative error of the density.
    background_probability, background_cm3 : float, Range
        Penetrating radiation that adds to the density, with a temperature of keV.
    speed_noise : Range
        Random error of the velocity over thermal speed and relative error of the density.
    anisotropy_loss : Range
        Share by which T∥ and T⊥ are drawn together.
    coarse_probability, coarse_s : float, Range
        A coarser cadence, whose samples are held.
    interpolated_probability, interpolated_s : float, Range
        Averages over a minute or so with straight lines between them.
    """

    field_offset_nT: Range = Range(0.0, 0.3)
    field_noise_nT: Range = Range(0.001, 0.03, log=True)
    field_gain: Range = Range(0.0, 0.02)
    density_gain: Range = Range(0.0, 0.2)
    temperature_gain: Range = Range(0.0, 0.15)
    speed_gain: Range = Range(0.0, 0.05)
    counts_per_cm3: Range = Range(400.0, 40_000.0, log=True)
    background_probability: float = 0.12
    background_cm3: Range = Range(0.001, 0.03, log=True)
    speed_noise: Range = Range(0.2, 1.5)
    anisotropy_loss: Range = Range(0.0, 0.6)
    coarse_probability: float = 0.12
    coarse_s: Range = Range(5.0, 10.0)
    interpolated_probability: float = 0.05
    interpolated_s: Range = Range(20.0, 70.0)


def measured(rng: np.random.Generator, ranges: InstrumentRanges, series: PlasmaSeries) -> FloatArray:
    """What is measured of a series: the twelve quantities (n, 12)."""
    seen = _with_background(rng, ranges, series)
    steps = seen.steps
    relative = 1.0 / np.sqrt(ranges.counts_per_cm3.draw(rng) * np.maximum(seen.N_cm3, 1e-4))
    relative = np.minimum(relative, 0.5)
    white = rng.standard_normal((steps, 9))
    offset = ranges.field_offset_nT.draw(rng) * rng.standard_normal(3)
    field = _gain(rng, ranges.field_gain) * seen.B_nT + offset
    field = field + ranges.field_noise_nT.draw(rng) * white[:, :3]
    density = _gain(rng, ranges.density_gain) * seen.N_cm3 * np.exp(relative * white[:, 3])
    total = (seen.Tpar_eV + 2.0 * seen.Tperp_eV) / 3.0
    thermal = _THERMAL_KMS * np.sqrt(total)
    speed_error = ranges.speed_noise.draw(rng) * relative * thermal
    velocity = _gain(rng, ranges.speed_gain) * seen.V_kms + speed_error[:, None] * white[:, 4:7]
    loss, gain = ranges.anisotropy_loss.draw(rng), _gain(rng, ranges.temperature_gain)
    par = gain * (seen.Tpar_eV + loss * (total - seen.Tpar_eV)) * np.exp(1.4 * relative * white[:, 7])
    perp = gain * (seen.Tperp_eV + loss * (total - seen.Tperp_eV)) * np.exp(relative * white[:, 8])
    values = PlasmaSeries(field, density, velocity, par, perp).values()
    return _resampled(rng, ranges, values)


def missing_mask(rng: np.random.Generator, count: int) -> BoolArray:
    """Which variables are missing in each of `count` windows: (count, 12)."""
    patterns = np.array([[name in gone for name in VARIABLES] for gone, _ in MISSING_PATTERNS])
    shares = np.array([share for _, share in MISSING_PATTERNS])
    chosen = np.searchsorted(np.cumsum(shares), rng.random(count))
    known = chosen < len(shares)
    mask: BoolArray = rng.random((count, len(VARIABLES))) < _CHANCE_OF_EACH
    mask[known] = patterns[chosen[known]]
    mask[(~mask).sum(axis=1) < _FEWEST_LEFT] = False
    return mask


def _with_background(
    rng: np.random.Generator, ranges: InstrumentRanges, series: PlasmaSeries
) -> PlasmaSeries:
    if rng.random() >= ranges.background_probability:
        return series
    extra = ranges.background_cm3.draw(rng) * np.ones(series.steps)
    density = series.N_cm3 + extra
    share = extra / density
    hot = rng.uniform(1000.0, 6000.0)
    return PlasmaSeries(
        series.B_nT,
        density,
        series.V_kms * (1.0 - share)[:, None],
        series.Tpar_eV + share * (hot - series.Tpar_eV),
        series.Tperp_eV + share * (hot - series.Tperp_eV),
    )


def _gain(rng: np.random.Generator, spread: Range) -> float:
    return math.exp(spread.draw(rng) * float(np.clip(rng.standard_normal(), -2.0, 2.0)))


def _resampled(rng: np.random.Generator, ranges: InstrumentRanges, values: FloatArray) -> FloatArray:
    """As a feed of a coarser cadence looks once it is brought to the network's."""
    chance = rng.random()
    time = np.arange(values.shape[0]) * STEP_S
    if chance < ranges.coarse_probability:
        step = ranges.coarse_s.draw(rng)
        held = np.minimum((np.floor(time / step) * step / STEP_S).round().astype(int), values.shape[0] - 1)
        repeated: FloatArray = values[held]
        return repeated
    if chance < ranges.coarse_probability + ranges.interpolated_probability:
        step = ranges.interpolated_s.draw(rng)
        group = (time / step).astype(int)
        count = np.bincount(group)
        middle = np.bincount(group, time) / count
        columns = [np.interp(time, middle, np.bincount(group, column) / count) for column in values.T]
        return np.column_stack(columns)
    return values
