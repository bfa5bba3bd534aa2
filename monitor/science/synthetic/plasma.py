"""Plasma along a chain of stations, and the frequencies at which its field lines ring.

An illustration with round numbers that the generators share, not a model to invert measurements with: a plasmasphere
and a trough, a steep plasmapause between them that may move, and refilling by day.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from monitor.science.fieldline import EARTH_RADIUS_M, MU_0, UNIT_DENSITY_KG_M3, dipole_modes
from monitor.types import SECOND_NS, FloatArray

EQUATORIAL_FIELD_T = 30.0e-6
_DAWN_H = 5.0
_TORUS_WIDTH_L = 0.3


@dataclass(frozen=True, slots=True)
class PlasmaModel:
    """Equatorial mass density over L and time.

    Electron densities are those of Carpenter and Anderson (1992), doi:10.1029/91JA01548: 10^(3.9043 − 0.3145 L)
    for the saturated plasmasphere (observed for 2.25 < L < 8, extrapolated below) and 7600 L^−4.5 for the trough
    at dawn, cm⁻³; times a mean ion mass. They are joined in the logarithm by a tanh at the plasmapause.

    Attributes
    ----------
    saturation : float
        Filling of the outer plasmasphere at dawn, 0 to 1. Below L ≈ 2 flux tubes refill within a day and are full.
    mean_ion_mass_amu : float
    plasmapause : tuple of (time_ns, L)
        Knots of the plasmapause in rising time, joined by straight lines and held beyond the ends; none: no
        plasmapause, the plasmasphere goes on.
    plasmapause_width_l : float
        Scale of the tanh in L. Below about 0.2 the density falls faster than L⁻⁸ there and f_R rises poleward.
    refilling : float
        Rise of ln ρ from dawn to dusk in the plasmasphere (0.5 lowers the frequency by 22 %), half as much
        again in the trough. It is lost again by night.
    trough_factor : float
        Density of the trough over the model's.
    density_index : float
        m of ρ = ρ_eq (r_eq / r)^m along the field line.
    plasmasphere_slope : float
        Added to d ln ρ/dL of the plasmasphere, about L = 3 (the model's own is −0.72).
    trough_exponent : float
        The trough falls as L to the minus this power, about L = 5.
    torus : float
        Rise of ln ρ (as heavy ions make it) at the plasmapause, a bell of 0.3 in L about it; 0 for none.
    """

    saturation: float = 0.3
    mean_ion_mass_amu: float = 1.5
    plasmapause: tuple[tuple[int, float], ...] = ()
    plasmapause_width_l: float = 0.12
    refilling: float = 0.5
    trough_factor: float = 1.0
    density_index: float = 1.0
    plasmasphere_slope: float = 0.0
    trough_exponent: float = 4.5
    torus: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.saturation <= 1.0:
            raise ValueError(f"saturation must lie in (0, 1], got {self.saturation}")
        if self.mean_ion_mass_amu < 1.0:
            raise ValueError(f"mean_ion_mass_amu must be at least 1, got {self.mean_ion_mass_amu}")
        if not self.plasmapause_width_l > 0.0:
            raise ValueError(f"plasmapause_width_l must be positive, got {self.plasmapause_width_l}")
        if not self.trough_factor > 0.0:
            raise ValueError(f"trough_factor must be positive, got {self.trough_factor}")
        times = [time_ns for time_ns, _ in self.plasmapause]
        if any(later <= earlier for earlier, later in itertools.pairwise(times)):
            raise ValueError(f"plasmapause: the knots must rise in time, got {times}")

    def plasmapause_l(self, time_ns: int) -> float | None:
        """L of the plasmapause, or None where there is none."""
        if not self.plasmapause:
            return None
        times, values = zip(*self.plasmapause, strict=True)
        # Differences of int64 first: a float64 of nanoseconds since 1970 is good to 256 ns only.
        since_s = [(knot_ns - time_ns) / SECOND_NS for knot_ns in times]
        return float(np.interp(0.0, since_s, values))

    def density_amu_cm3(self, l_shell: FloatArray, time_ns: int, longitude_deg: float) -> FloatArray:
        """Equatorial mass density (amu cm⁻³), shape like `l_shell`, at the local time of a longitude."""
        day = _refilled(local_time_h(time_ns, longitude_deg))
        outer = 0.5 * (1.0 + np.tanh((l_shell - 2.2) / 0.6))
        inside = (
            math.log(10.0) * (3.9043 - 0.3145 * l_shell)
            + outer * math.log(self.saturation)
            + self.refilling * day
            + self.plasmasphere_slope * (l_shell - 3.0)
        )
        boundary = self.plasmapause_l(time_ns)
        log_density = inside
        if boundary is not None:
            outside = math.log(7600.0 * self.trough_factor) - 4.5 * np.log(l_shell)
            outside = outside + (4.5 - self.trough_exponent) * np.log(l_shell / 5.0)
            outside = outside + 1.5 * self.refilling * day
            share = 0.5 * (1.0 + np.tanh((l_shell - boundary) / self.plasmapause_width_l))
            log_density = inside + share * (outside - inside)
            log_density = log_density + self.torus * np.exp(
                -0.5 * np.square((l_shell - boundary) / _TORUS_WIDTH_L)
            )
        density: FloatArray = self.mean_ion_mass_amu * np.exp(log_density)
        return density

    def resonance_frequency_Hz(
        self, l_shell: FloatArray, time_ns: int, longitude_deg: float, harmonic: int = 1
    ) -> FloatArray:
        """Frequency (Hz) of the field lines at L, shape like `l_shell`."""
        density = self.density_amu_cm3(l_shell, time_ns, longitude_deg)
        return resonance_frequency_Hz(l_shell, density, harmonic, self.density_index)


def local_time_h(time_ns: int, longitude_deg: float) -> float:
    """Mean local solar time (h, 0 to 24) at a longitude (degrees east)."""
    return (time_ns / SECOND_NS / 3600.0 + longitude_deg / 15.0) % 24.0


def fundamental_frequency_Hz(l_shell: float, rho_eq_amu_cm3: float) -> float:
    """Frequency (Hz) of the fundamental toroidal mode of a dipole field line with ρ ∝ r⁻¹."""
    return float(resonance_frequency_Hz(np.array([l_shell]), np.array([rho_eq_amu_cm3]))[0])


def resonance_frequency_Hz(
    l_shell: FloatArray, rho_eq_amu_cm3: FloatArray, harmonic: int = 1, exponent: float = 1.0
) -> FloatArray:
    """Frequencies (Hz) of toroidal modes, shape like `l_shell`: f = K V_A / (2π L R_E) at the equator."""
    constant = np.array([wave_constants(float(value), exponent)[harmonic - 1] for value in np.ravel(l_shell)])
    alfven_m_s = EQUATORIAL_FIELD_T / l_shell**3 / np.sqrt(MU_0 * UNIT_DENSITY_KG_M3 * rho_eq_amu_cm3)
    frequency: FloatArray = (
        constant.reshape(l_shell.shape) * alfven_m_s / (2.0 * np.pi * l_shell * EARTH_RADIUS_M)
    )
    return frequency


@lru_cache(maxsize=4096)
def wave_constants(l_shell: float, exponent: float = 1.0) -> tuple[float, float, float]:
    """First three eigenvalues K of e″ + K² (1 − z²)^(6−m) e = 0 with e(±z₀) = 0.

    Toroidal standing waves of a dipole with fixed ends at the Earth's surface (Cummings et al. 1969,
    doi:10.1029/JA074i003p00778): z is the sine of the magnetic latitude, z₀ = √(1 − 1/L), ρ ∝ r^−m.
    m = 6 gives n π / (2 z₀).

    Raises
    ------
    ValueError
        For L ≤ 1, where there is no field line above the surface.
    """
    if not l_shell > 1.0:
        raise ValueError(f"l_shell must exceed 1, got {l_shell}")
    first, second, third = dipole_modes(l_shell, exponent, ionosphere_km=0.0).wave_number.tolist()
    return first, second, third


def _refilled(hour: float) -> float:
    """How far a flux tube has refilled since dawn: 0 at 5 h, 1 at 17 h local time, and back by night."""
    return 0.5 * (1.0 - math.cos(2.0 * math.pi * (hour - _DAWN_H) / 24.0))
