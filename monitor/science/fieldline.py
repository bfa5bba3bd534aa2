"""Toroidal standing waves of field lines: how fast a line would ring if its plasma weighed 1 amu cm⁻³ at the equator.

With ρ = ρ_eq (r_eq / r)^m along the line, a frequency f and this *unit frequency* give ρ_eq = (unit / f)² amu cm⁻³ in
every field. Singer et al. (1981), doi:10.1029/JA086iA06p04589, have for the electric field e of the toroidal mode, with
h the distance to the neighbouring line in azimuth,

    d/ds (h² B de/ds) + ω² μ₀ ρ (h² / B) e = 0.

In τ = ∫ ds / (h² B) that is a string of the weight μ₀ ρ h⁴. In a dipole τ runs with z, the sine of the magnetic latitude,
and e″ + K² (1 − z²)^(6−m) e = 0 (Cummings et al. 1969, doi:10.1029/JA074i003p00778).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from monitor.science.mainfield import REFERENCE_RADIUS_KM, dipole_pole, main_field_nT
from monitor.science.standing_waves import StandingWaves, nodes, standing_waves, wave_numbers
from monitor.types import FloatArray, LineEnds

EARTH_RADIUS_M = REFERENCE_RADIUS_KM * 1e3
MU_0 = 4.0e-7 * math.pi
AMU_KG = 1.66053907e-27
UNIT_DENSITY_KG_M3 = AMU_KG * 1e6
"""1 amu cm⁻³."""

LOWEST_L, HIGHEST_L = 1.2, 20.0
"""Where a dipole line may stand for a real one at all."""

DENSITY_INDICES = (-2.0, 8.0)
"""Smallest and largest m."""

HARMONICS = 5
"""Modes that are tabulated."""

# The table runs over ln(L / r of the foot) and m by Chebyshev polynomials of these degrees.
_LONGEST = math.log(HIGHEST_L)
_DEGREES = (32, 40)


# -- dipole ----------------------------------------------------------------------------------------------------


def equatorial_field_T(year: float) -> float:
    """B₀: the field of the centred dipole of a year at 1 R_E on its equator, with R_E = 6371.2 km."""
    at_pole = main_field_nT(dipole_pole(year)[None, :], year, degree=1)[0]
    return 0.5e-9 * math.sqrt(float(at_pole @ at_pole))


def dipole_modes(
    l_shell: float,
    density_index: float,
    *,
    count: int = 3,
    ends: LineEnds = LineEnds.FIXED,
    ionosphere_km: float = 110.0,
) -> StandingWaves:
    """Modes of one dipole line, solved directly.

    Returns
    -------
    StandingWaves
        `wave_number` is K = 2π f L R_E / V_A, V_A the Alfvén speed at the equator; positions are those of `z / z₀`.

    Raises
    ------
    ValueError
        Where the line does not reach the ionosphere, or a number is not finite.
    """
    if not (math.isfinite(density_index) and math.isfinite(l_shell) and math.isfinite(ionosphere_km)):
        raise ValueError(
            f"L, m and the height must be finite, found {l_shell}, {density_index}, {ionosphere_km} km"
        )
    if not l_shell > _foot_re(ionosphere_km):
        raise ValueError(
            f"l_shell must exceed {_foot_re(ionosphere_km):.4g}, the foot of the line, got {l_shell}"
        )
    end = math.sqrt(1.0 - _foot_re(ionosphere_km) / l_shell)
    waves = standing_waves((1.0 - (end * nodes()) ** 2) ** (6.0 - density_index), count, ends)
    return StandingWaves(waves.wave_number / end, waves.coefficients)


def dipole_wave_constant(
    l_shell: FloatArray,
    density_index: FloatArray | float,
    *,
    harmonic: int = 1,
    ends: LineEnds = LineEnds.FIXED,
    ionosphere_km: float = 110.0,
) -> FloatArray:
    """K = 2π f L R_E / V_A of many dipole lines, from a table that is made when it is first needed.

    Parameters
    ----------
    l_shell : ndarray, shape (p,)
    density_index : ndarray, shape (p,), or float
        m, from −2 to 8.
    harmonic : int
        1 is the fundamental; up to 5.
    ends : LineEnds
    ionosphere_km : float
        Height at which lines end.

    Returns
    -------
    ndarray, shape (p,)
        Good to 1e-8 of itself; NaN where L is not from 1.2 to 20, or the line does not reach the ionosphere.

    Raises
    ------
    ValueError
        Where the harmonic, m or the height is out of range.
    """
    if not 1 <= harmonic <= HARMONICS:
        raise ValueError(f"harmonic must be from 1 to {HARMONICS}, found {harmonic}")
    if not 0.0 <= ionosphere_km <= 1000.0:
        raise ValueError(f"ionosphere_km must be from 0 to 1000, found {ionosphere_km}")
    l_shell = np.asarray(l_shell, dtype=np.float64)
    index = np.broadcast_to(np.asarray(density_index, dtype=np.float64), l_shell.shape)
    lowest, highest = DENSITY_INDICES
    if (wrong := ~((index >= lowest) & (index <= highest))).any():
        raise ValueError(f"density_index must be from {lowest:g} to {highest:g}, found {index[wrong][0]}")
    constant = np.full(l_shell.shape, np.nan)
    known = (l_shell >= LOWEST_L) & (l_shell <= HIGHEST_L)
    if known.any():
        length = np.log(l_shell[known] / _foot_re(ionosphere_km))
        across = chebyshev.chebvander(2.0 * length / _LONGEST - 1.0, _DEGREES[0])
        along = chebyshev.chebvander(2.0 * (index[known] - lowest) / (highest - lowest) - 1.0, _DEGREES[1])
        table = _table(ends)[harmonic - 1]
        constant[known] = np.exp(((across @ table) * along).sum(axis=1)) / np.sqrt(-np.expm1(-length))
    return constant


def dipole_unit_frequency_Hz(
    l_shell: FloatArray,
    density_index: FloatArray | float,
    *,
    year: float,
    harmonic: int = 1,
    ends: LineEnds = LineEnds.FIXED,
    ionosphere_km: float = 110.0,
) -> FloatArray:
    """Frequency that a mode would have were ρ_eq 1 amu cm⁻³, in the dipole of a year (with decimals).

    Parameters, errors and NaN are those of `dipole_wave_constant`.
    """
    constant = dipole_wave_constant(
        l_shell, density_index, harmonic=harmonic, ends=ends, ionosphere_km=ionosphere_km
    )
    known_l = np.where(np.isfinite(constant), l_shell, np.nan)
    alfven_m_s = equatorial_field_T(year) / math.sqrt(MU_0 * UNIT_DENSITY_KG_M3) / known_l**3
    return np.asarray(constant * alfven_m_s / (2.0 * np.pi * EARTH_RADIUS_M * known_l), dtype=np.float64)


def _foot_re(ionosphere_km: float) -> float:
    return 1.0 + ionosphere_km / REFERENCE_RADIUS_KM


@functools.lru_cache(maxsize=3)
def _table(ends: LineEnds) -> FloatArray:
    """Chebyshev coefficients of ln(K z₀), shape (harmonics, degrees of length + 1, degrees of m + 1).

    ln(K z₀) is smooth in ln(L / r of the foot) up to the shortest lines and far beyond the longest, which it is not in z₀.
    """
    sizes = [degree + 1 for degree in _DEGREES]
    across, along = (np.cos(np.pi * (np.arange(size) + 0.5) / size) for size in sizes)
    length = 0.5 * _LONGEST * (1.0 + across)
    lowest, highest = DENSITY_INDICES
    index = lowest + 0.5 * (highest - lowest) * (1.0 + along)
    thinning = 1.0 + np.expm1(-length)[:, None] * nodes() ** 2
    weight = thinning[:, None, :] ** (6.0 - index)[:, None]
    numbers = wave_numbers(weight.reshape(-1, weight.shape[-1]), HARMONICS, ends)
    samples = np.log(numbers).T.reshape(HARMONICS, *sizes)
    first, second = (_from_samples(values) for values in (across, along))
    coefficients: FloatArray = first @ samples @ second.T
    coefficients.flags.writeable = False
    return coefficients


def _from_samples(position: FloatArray) -> FloatArray:
    """The matrix that turns values at Chebyshev's roots into coefficients."""
    size = position.size
    matrix = chebyshev.chebvander(position, size - 1).T * (2.0 / size)
    matrix[0] *= 0.5
    return np.asarray(matrix, dtype=np.float64)


# -- any field -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TracedLine:
    """A field line from one ionosphere to the other, from the foot near the stations on (arrays of shape (n,)).

    An open or untraceable line has NaN, or no points at all.

    Attributes
    ----------
    arc_m : ndarray
        Length along the line.
    field_T : ndarray
        Magnitude of the field.
    radius_re : ndarray
        Distance from the Earth's centre.
    spacing : ndarray
        Distance to the neighbouring line in azimuth, in any unit (h of Singer for the toroidal mode).
    apex_re : ndarray, shape (3,)
        The farthest point in GSM, or NaN.
    """

    arc_m: FloatArray
    field_T: FloatArray
    radius_re: FloatArray
    spacing: FloatArray
    apex_re: FloatArray

    def __post_init__(self) -> None:
        arrays = (self.arc_m, self.field_T, self.radius_re, self.spacing)
        if self.arc_m.ndim != 1 or len({one.shape for one in arrays}) != 1:
            raise ValueError(f"rows of one length are needed, found shapes {[one.shape for one in arrays]}")
        if self.apex_re.shape != (3,):
            raise ValueError(f"apex_re must be one vector, found shape {self.apex_re.shape}")

    @property
    def closed(self) -> bool:
        """Whether there is a whole line to solve for."""
        arrays = np.stack([self.arc_m, self.field_T, self.radius_re, self.spacing])
        return arrays.shape[1] >= _FEWEST_POINTS and bool(np.isfinite(arrays).all())


_FEWEST_POINTS = 8
_SPLINE_DEGREE = 5


def traced_unit_frequency_Hz(
    line: TracedLine, density_index: float, *, harmonic: int = 1, ends: LineEnds = LineEnds.FIXED
) -> float:
    """Frequency (Hz) that a mode of a traced line would have were the density 1 amu cm⁻³ at its farthest point.

    Parameters
    ----------
    line : TracedLine
    density_index : float
        m of ρ = ρ_eq (r_eq / r)^m, r_eq the line's largest distance from the Earth's centre.
    harmonic : int
        1 is the fundamental; up to 5.
    ends : LineEnds
        `MIXED` fixes the first end and frees the last one.

    Returns
    -------
    float
        NaN for an open or untraceable line.

    Raises
    ------
    ValueError
        Where harmonic or m is out of range, the length does not rise, or field, distance or spacing is not positive.
    """
    if not 1 <= harmonic <= HARMONICS:
        raise ValueError(f"harmonic must be from 1 to {HARMONICS}, found {harmonic}")
    if not DENSITY_INDICES[0] <= density_index <= DENSITY_INDICES[1]:
        raise ValueError(
            f"density_index must be from {DENSITY_INDICES[0]:g} to {DENSITY_INDICES[1]:g}, found {density_index}"
        )
    if not line.closed:
        return math.nan
    _check_line(line)
    # Imported where it is needed: lines of a dipole are known without, and it takes a tenth of the start of a daemon.
    from scipy import interpolate

    # In units that keep the numbers near 1: arc and spacing by their largest.
    spacing = line.spacing / line.spacing.max()
    slowness = interpolate.make_interp_spline(line.arc_m, 1.0 / (spacing**2 * line.field_T), k=_SPLINE_DEGREE)
    reach = np.asarray(slowness.antiderivative()(line.arc_m), dtype=np.float64)
    half = 0.5 * (reach[-1] - reach[0])
    place = (reach - reach[0]) / half - 1.0
    log_weight = 4.0 * np.log(spacing) + density_index * np.log(_farthest_re(line) / line.radius_re)
    weight = np.exp(interpolate.make_interp_spline(place, log_weight, k=_SPLINE_DEGREE)(nodes()))
    number = wave_numbers(weight[None, :], harmonic, ends)[0, -1]
    return float(number / (2.0 * math.pi * half * math.sqrt(MU_0 * UNIT_DENSITY_KG_M3)))


def _farthest_re(line: TracedLine) -> float:
    """The largest distance from the Earth's centre, between the line's points too."""
    from scipy import interpolate

    top = int(line.radius_re.argmax())
    begin, end = line.arc_m[max(top - 1, 0)], line.arc_m[min(top + 1, line.arc_m.size - 1)]
    radius = interpolate.make_interp_spline(line.arc_m, line.radius_re, k=_SPLINE_DEGREE)
    return float(radius(np.linspace(begin, end, 401)).max())


def _check_line(line: TracedLine) -> None:
    if (wrong := np.diff(line.arc_m) <= 0.0).any():
        raise ValueError(
            f"arc_m must rise along the line, found {line.arc_m[1:][wrong][0]} after a larger one"
        )
    for name in ("field_T", "radius_re", "spacing"):
        values = getattr(line, name)
        if (wrong := values <= 0.0).any():
            raise ValueError(f"{name} must be positive, found {values[wrong][0]}")
