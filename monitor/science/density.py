"""From resonance frequencies to equatorial mass densities, and what a density may be.

ρ_eq = (unit frequency / f)² amu cm⁻³, the unit frequency being that of `science.fieldline`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.types import BoolArray, FloatArray

# m in use over L, with the range that it is taken to lie in nine times in ten; straight lines between the knots.
#   2.3 < L < 3.4   m = 1, and larger below: Vellante and Förster (2006), doi:10.1029/2006JA011588.
#   4 to 6          0.5 suits the harmonics that CRRES saw (Takahashi et al. 2004). By the electron densities of Polar
#                   (Denton et al. 2002) it is 0.8 at L = 5 in a full plasmasphere, and 2.7 in the trough.
#   beyond 6        CRRES: heavier at the equator than a power law has it, so the range reaches below 0.
# Assumed, not published: the 3 below L = 1.7, the 1 kept beyond 3.4, and all ranges.
_INDEX_L = (1.7, 2.3, 3.4, 4.5, 6.0, 7.0)
_INDEX = (3.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_INDEX_LOW = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
_INDEX_HIGH = (6.0, 2.0, 2.0, 3.0, 3.0, 3.0)

# Of the saturated plasmasphere: ion mass, season and solar cycle together; more where its formula is extrapolated.
_FULLEST_L, _FULLEST = (2.0, 2.5), (5.0, 3.0)
# Of the mean trough: one emptied by a storm.
_EMPTIEST = 0.1


@dataclass(frozen=True, slots=True)
class DensityIndex:
    """m of ρ = ρ_eq (r_eq / r)^m, and the ends of its range (arrays of one shape)."""

    index: FloatArray
    low: FloatArray
    high: FloatArray

    def stacked(self) -> FloatArray:
        """The three in one array, shape (3, …), in the order that `density_interval` takes."""
        return np.stack([self.index, self.low, self.high])


@dataclass(frozen=True, slots=True)
class Densities:
    """Equatorial mass densities with their intervals, amu cm⁻³ (arrays of one shape); NaN where there is none."""

    density_amu_cm3: FloatArray
    low_amu_cm3: FloatArray
    high_amu_cm3: FloatArray


@dataclass(frozen=True, slots=True)
class HarmonicVerdict:
    """What the range of densities says of a frequency taken for the fundamental (arrays of bool of one shape).

    Attributes
    ----------
    stated : ndarray
        The fundamental may be stated: its density is plausible, or that of the third harmonic is no better.
    ambiguous : ndarray
        The third harmonic is plausible.
    implausible : ndarray
        Neither is.
    """

    stated: BoolArray
    ambiguous: BoolArray
    implausible: BoolArray


def density_index(l_shell: FloatArray) -> DensityIndex:
    """The m in use at L, with its range; NaN where L is unknown."""
    columns = [np.interp(l_shell, _INDEX_L, values) for values in (_INDEX, _INDEX_LOW, _INDEX_HIGH)]
    return DensityIndex(*columns)


def density_amu_cm3(unit_frequency_Hz: FloatArray, frequency_Hz: FloatArray) -> FloatArray:
    """Density for a frequency; NaN where the frequency is not positive and finite."""
    usable = np.isfinite(frequency_Hz) & (frequency_Hz > 0.0)
    return np.asarray((unit_frequency_Hz / np.where(usable, frequency_Hz, np.nan)) ** 2, dtype=np.float64)


def frequency_Hz(unit_frequency_Hz: FloatArray, density_amu_cm3: FloatArray) -> FloatArray:
    """Frequency for a density; NaN where the density is not positive and finite."""
    usable = np.isfinite(density_amu_cm3) & (density_amu_cm3 > 0.0)
    return np.asarray(
        unit_frequency_Hz / np.sqrt(np.where(usable, density_amu_cm3, np.nan)), dtype=np.float64
    )


def density_interval(
    unit_frequencies_Hz: FloatArray, frequency_Hz: FloatArray, low_Hz: FloatArray, high_Hz: FloatArray
) -> Densities:
    """Densities with intervals from that of the frequency and the range of m.

    Parameters
    ----------
    unit_frequencies_Hz : ndarray, shape (3, p)
        For m and the two ends of its range.
    frequency_Hz, low_Hz, high_Hz : ndarray, shape (p,)
        The frequency and its interval.

    Returns
    -------
    Densities, shape (p,)
        The two causes are independent: their reaches in ln ρ are added in squares, upwards and downwards apart. All NaN
        where a frequency or a unit frequency is not positive and finite.
    """
    given = np.vstack([unit_frequencies_Hz, frequency_Hz, low_Hz, high_Hz])
    usable = (np.isfinite(given) & (given > 0.0)).all(axis=0)
    log = np.log(np.where(usable, given, np.nan))
    centre = 2.0 * (log[0] - log[3])
    by_index, by_frequency = 2.0 * (log[1:3] - log[0]), 2.0 * (log[3] - log[4:6])
    reach = np.stack([by_index.min(axis=0), by_index.max(axis=0), by_frequency[1], by_frequency[0]])
    down = np.hypot(np.minimum(reach[0], 0.0), np.minimum(reach[2], 0.0))
    up = np.hypot(np.maximum(reach[1], 0.0), np.maximum(reach[3], 0.0))
    return Densities(np.exp(centre), np.exp(centre - down), np.exp(centre + up))


def plausible_density_amu_cm3(l_shell: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest equatorial mass density that a line at L may have.

    From a tenth of the mean trough of Sheeley et al. (2001), doi:10.1029/2000JA000286, all of it hydrogen, to three times
    the electrons of the saturated plasmasphere of Carpenter and Anderson (1992), doi:10.1029/91JA01548, and five times below
    L = 2, where that is extrapolated (3000–8000 amu cm⁻³ are observed near it,
    doi:10.1016/S1364-6826(99)00066-8). The factors are assumptions, meant to be wide.
    """
    trough = 124.0 * (3.0 / l_shell) ** 4
    saturated = 10.0 ** (3.9043 - 0.3145 * l_shell)
    fullest = np.interp(l_shell, _FULLEST_L, _FULLEST) * saturated
    # Far out the two formulas cross; the trough itself stays plausible.
    return _EMPTIEST * trough, np.maximum(fullest, trough)


def harmonic_verdict(
    l_shell: FloatArray, fundamental_amu_cm3: FloatArray, third_amu_cm3: FloatArray
) -> HarmonicVerdict:
    """Hold the densities that a frequency gives as fundamental and as third harmonic against what is plausible."""
    low, high = plausible_density_amu_cm3(l_shell)
    first, third = ((density >= low) & (density <= high) for density in (fundamental_amu_cm3, third_amu_cm3))
    return HarmonicVerdict(stated=first | ~third, ambiguous=third, implausible=~first & ~third)
