"""What the plasmas inside the magnetopause have in common: pressures, fluctuations, and the dipole's directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.science.synthetic.craft.fluctuations import coloured, perpendicular
from monitor.science.synthetic.craft.series import ELEMENTARY_C, MU0, STEP_S, PlasmaSeries, State
from monitor.types import WINDOW_CELLS, FloatArray

_MINIMUM_N_CM3: Final = 0.0015
_MINIMUM_T_EV: Final = 1.5
# A tenuous lobe's 10,000 km/s would turn a wobble of the field into a storm of flows, which is not what is seen.
_MAXIMUM_ALFVEN_KMS: Final = 3000.0


@dataclass(frozen=True, slots=True)
class Fluctuations:
    """How a plasma fluctuates within one window of three minutes.

    Attributes
    ----------
    compressive, transverse : float
        Standard deviation of |B|, and of either component across, over |B|.
    density, temperature, anisotropy : float
        Standard deviation of ln N, ln T and ln(T⊥ / T∥).
    speed_kms : float
        Standard deviation of each component of the flow that goes with nothing else.
    slope : float
        Exponent of the power of the field.
    coupling : float
        Correlation (−1 to 1) of ln N with |B|.
    alfvenic : float
        Flow across the field over what an Alfvén wave of the same amplitude has, either sign.
    outer_s : float
        Longest time over which it fluctuates.
    """

    compressive: float
    transverse: float
    density: float
    temperature: float
    anisotropy: float
    speed_kms: float
    slope: float
    coupling: float
    alfvenic: float
    outer_s: float


def plasma_pressure_nPa(density_cm3: FloatArray | float, temperature_eV: FloatArray | float) -> FloatArray:
    """Thermal pressure n k T."""
    pressure: FloatArray = np.asarray(density_cm3) * np.asarray(temperature_eV) * (ELEMENTARY_C * 1e15)
    return pressure


def magnetic_pressure_nPa(field_nT: FloatArray | float) -> FloatArray:
    """B² / 2μ₀ of a magnitude."""
    pressure: FloatArray = np.asarray(field_nT) ** 2 * (1e-9 / (2.0 * MU0))
    return pressure


def field_of_pressure_nT(pressure_nPa: FloatArray | float) -> FloatArray:
    """The magnitude whose pressure that is; of none or less, 0."""
    field: FloatArray = np.sqrt(np.maximum(pressure_nPa, 0.0) * (2.0 * MU0 / 1e-9))
    return field


def total_pressure_nPa(state: State) -> float:
    """Thermal and magnetic together."""
    thermal = plasma_pressure_nPa(state.N_cm3, state.T_eV)
    return float(thermal + magnetic_pressure_nPa(float(np.linalg.norm(state.B_nT))))


def total_eV(series: PlasmaSeries) -> FloatArray:
    """Total temperature (n,)."""
    total: FloatArray = (series.Tpar_eV + 2.0 * series.Tperp_eV) / 3.0
    return total


def parted_eV(temperature_eV: float, ratio: float) -> tuple[float, float]:
    """T∥ and T⊥ of a total temperature and T⊥ / T∥."""
    along = 3.0 * temperature_eV / (1.0 + 2.0 * ratio)
    return along, ratio * along


def floored(series: PlasmaSeries) -> PlasmaSeries:
    """With densities and temperatures that no instrument would call zero."""
    return PlasmaSeries(
        series.B_nT,
        np.maximum(series.N_cm3, _MINIMUM_N_CM3),
        series.V_kms,
        np.maximum(series.Tpar_eV, _MINIMUM_T_EV),
        np.maximum(series.Tperp_eV, _MINIMUM_T_EV),
    )


def window_noise(rng: np.random.Generator, steps: int, slope: float, outer_s: float) -> FloatArray:
    """Noise (steps,) as of `coloured`, but of unit expected variance within a window of three minutes.

    Steep noise varies mostly over longer times than a window's: measured spreads are those within windows.
    """
    window_s = WINDOW_CELLS * STEP_S
    longest = max(steps, math.ceil(outer_s / STEP_S))
    # The frequencies that `coloured` is made of.
    frequency = np.fft.rfftfreq(1 << (longest - 1).bit_length(), STEP_S)[1:]
    power = np.maximum(frequency, 1.0 / outer_s) ** slope
    # What a window's own mean takes away of each frequency.
    share = float((power * (1.0 - np.sinc(frequency * window_s) ** 2)).sum() / power.sum())
    noise: FloatArray = coloured(rng, steps, slope, outer_s=outer_s) / math.sqrt(share)
    return noise


def noise_vectors(rng: np.random.Generator, steps: int, slope: float, outer_s: float = 600.0) -> FloatArray:
    """Noise (n, 3) as of `window_noise` in each component."""
    return np.column_stack([window_noise(rng, steps, slope, outer_s) for _ in range(3)])


def disturbed(rng: np.random.Generator, state: State, steps: int, how: Fluctuations) -> PlasmaSeries:
    """A series of `steps` about a state, with noise in every quantity."""
    magnitude = float(np.linalg.norm(state.B_nT))
    along = state.B_nT / magnitude

    def noise(slope: float) -> FloatArray:
        return window_noise(rng, steps, slope, how.outer_s)

    squeeze = noise(how.slope)
    first, second = perpendicular(rng, along)
    across = how.transverse * np.column_stack((noise(how.slope), noise(how.slope)))
    across_vector = across[:, :1] * first + across[:, 1:] * second
    stretch = np.maximum(1.0 + how.compressive * squeeze, 0.05)
    # Moments are noisier at short times than the field is.
    shallow = 0.5 * how.slope
    own = math.sqrt(max(0.0, 1.0 - how.coupling**2))
    density = state.N_cm3 * np.exp(how.density * (how.coupling * squeeze + own * noise(shallow)))
    heat = np.exp(how.temperature * noise(shallow))
    ratio = np.exp(how.anisotropy * noise(shallow) / 3.0)
    wander = how.speed_kms * noise_vectors(rng, steps, shallow, how.outer_s)
    alfven = min(state.alfven_speed_kms, _MAXIMUM_ALFVEN_KMS)
    return floored(
        PlasmaSeries(
            magnitude * (stretch[:, None] * along + across_vector),
            density,
            state.V_kms + wander + how.alfvenic * alfven * across_vector,
            state.Tpar_eV * heat / ratio**2,
            state.Tperp_eV * heat * ratio,
        )
    )


def dipole_direction(latitude_deg: float, longitude_deg: float, tilt_deg: float) -> FloatArray:
    """Direction (3,) in GSE of the Earth's dipole field at a magnetic latitude and a longitude from the Sun.

    `tilt_deg` leans the dipole's north pole towards the Sun.
    """
    latitude, longitude, tilt = (math.radians(angle) for angle in (latitude_deg, longitude_deg, tilt_deg))
    outward = np.array(
        [
            math.cos(latitude) * math.cos(longitude),
            math.cos(latitude) * math.sin(longitude),
            math.sin(latitude),
        ]
    )
    moment = np.array([0.0, 0.0, -1.0])
    field = 3.0 * float(moment @ outward) * outward - moment
    turn = np.array(
        [[math.cos(tilt), 0.0, math.sin(tilt)], [0.0, 1.0, 0.0], [-math.sin(tilt), 0.0, math.cos(tilt)]]
    )
    field = turn @ field
    unit: FloatArray = field / np.linalg.norm(field)
    return unit
