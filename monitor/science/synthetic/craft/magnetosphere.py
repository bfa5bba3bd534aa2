"""The magnetosphere proper: closed field lines of the day side and the flanks, from the boundary layer inward.

References
----------
.. [1] Borovsky, J. E., and M. H. Denton (2008), A statistical look at plasmaspheric drainage plumes,
   J. Geophys. Res., 113, A09221, doi:10.1029/2007JA012994.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monitor.science.synthetic.craft.fluctuations import direction, perpendicular, waves
from monitor.science.synthetic.craft.inner import (
    Fluctuations,
    dipole_direction,
    disturbed,
    floored,
    parted_eV,
)
from monitor.science.synthetic.craft.series import PlasmaSeries, State
from monitor.science.synthetic.ranges import Range


@dataclass(frozen=True, slots=True)
class MagnetosphereRanges:
    """What `magnetosphere_state` and `magnetosphere` draw from. "Chosen" means that no source is claimed.

    Attributes
    ----------
    field_nT, inner_field_nT, inner_probability
        |B| outside of 7 R_E or so (MMS windows have 26 to 80, chosen wider), and further in or at high latitudes.
    latitude_deg, longitude_deg, tilt_deg : Range
        Where along a dipole's line and around the Earth (0 towards the Sun): sets the field's direction. Chosen.
    any_direction_probability : float
        Of a field in any direction: lines bent by currents, cusps, other frames.
    density_cm3, temperature_eV : Range
        The hot ions (MMS windows have 0.2 to 1 cm⁻³ and 4 to 8 keV, chosen wider).
    plume_probability, plume_density_cm3, plume_temperature_eV
        Cold ions of plumes on top [1]_.
    warm_probability, warm_density_cm3, warm_temperature_eV
        A warm cloak of ions on top. Chosen.
    anisotropy : Range
        T⊥ / T∥ of the hot ions. Chosen about 1.2.
    speed_kms : Range
        Convection across the field, any sign.
    compressive, transverse, density, temperature, moment_kms, slope : Range
        See `Fluctuations`; relative standard deviations of |B| within windows are 0.003 to 0.04 on MMS.
    ulf_probability, ulf_period_s, ulf_amplitude, ulf_speed_kms
        Pc4 and Pc5 waves: period, δB over |B| and the flow with it. Chosen.
    breathing_probability, breathing_kms
        The whole of it pushed and drawn by the solar wind's pressure. Chosen.
    """

    field_nT: Range = Range(18.0, 150.0, log=True)
    inner_field_nT: Range = Range(90.0, 300.0, log=True)
    inner_probability: float = 0.12
    latitude_deg: Range = Range(-45.0, 45.0)
    longitude_deg: Range = Range(-125.0, 125.0)
    tilt_deg: Range = Range(-33.0, 33.0)
    any_direction_probability: float = 0.08
    density_cm3: Range = Range(0.05, 3.0, log=True)
    temperature_eV: Range = Range(1500.0, 10000.0, log=True)
    plume_probability: float = 0.12
    plume_density_cm3: Range = Range(1.0, 20.0, log=True)
    plume_temperature_eV: Range = Range(5.0, 60.0, log=True)
    warm_probability: float = 0.15
    warm_density_cm3: Range = Range(0.05, 1.5, log=True)
    warm_temperature_eV: Range = Range(80.0, 1500.0, log=True)
    anisotropy: Range = Range(0.85, 2.0, log=True)
    speed_kms: Range = Range(2.0, 80.0, log=True)
    compressive: Range = Range(0.0012, 0.03, log=True)
    transverse: Range = Range(0.002, 0.05, log=True)
    density: Range = Range(0.008, 0.12, log=True)
    temperature: Range = Range(0.008, 0.08, log=True)
    moment_kms: Range = Range(1.5, 20.0, log=True)
    slope: Range = Range(-3.1, -2.0)
    ulf_probability: float = 0.35
    ulf_period_s: Range = Range(45.0, 600.0, log=True)
    ulf_amplitude: Range = Range(0.003, 0.08, log=True)
    ulf_speed_kms: Range = Range(5.0, 60.0, log=True)
    breathing_probability: float = 0.2
    breathing_kms: Range = Range(10.0, 80.0, log=True)


def magnetosphere_state(rng: np.random.Generator, ranges: MagnetosphereRanges) -> State:
    """One place on closed field lines."""
    inner = rng.random() < ranges.inner_probability
    magnitude = (ranges.inner_field_nT if inner else ranges.field_nT).draw(rng)
    if rng.random() < ranges.any_direction_probability:
        along = direction(rng)
    else:
        along = dipole_direction(
            ranges.latitude_deg.draw(rng), ranges.longitude_deg.draw(rng), ranges.tilt_deg.draw(rng)
        )
    density = ranges.density_cm3.draw(rng)
    parallel_eV, perpendicular_eV = parted_eV(ranges.temperature_eV.draw(rng), ranges.anisotropy.draw(rng))
    added = (
        (ranges.plume_probability, ranges.plume_density_cm3, ranges.plume_temperature_eV),
        (ranges.warm_probability, ranges.warm_density_cm3, ranges.warm_temperature_eV),
    )
    for probability, densities, temperatures in added:
        if rng.random() < probability:
            more, cold_eV = densities.draw(rng), temperatures.draw(rng)
            whole = density + more
            parallel_eV = (density * parallel_eV + more * cold_eV) / whole
            perpendicular_eV = (density * perpendicular_eV + more * cold_eV) / whole
            density = whole
    first, _ = perpendicular(rng, along)
    flow = ranges.speed_kms.draw(rng) * first + rng.normal(0.0, 5.0) * along
    return State(magnitude * along, density, flow, parallel_eV, perpendicular_eV)


def magnetosphere(
    rng: np.random.Generator, ranges: MagnetosphereRanges, state: State, steps: int
) -> PlasmaSeries:
    """Quiet plasma about a state, with ultra-low-frequency waves at times."""
    series = disturbed(
        rng,
        state,
        steps,
        Fluctuations(
            compressive=ranges.compressive.draw(rng),
            transverse=ranges.transverse.draw(rng),
            density=ranges.density.draw(rng),
            temperature=ranges.temperature.draw(rng),
            anisotropy=0.5 * ranges.temperature.draw(rng),
            speed_kms=ranges.moment_kms.draw(rng),
            slope=ranges.slope.draw(rng),
            coupling=rng.uniform(-0.6, 0.6),
            alfvenic=rng.uniform(-0.3, 0.3),
            outer_s=900.0,
        ),
    )
    if rng.random() < ranges.ulf_probability:
        series = _waving(rng, ranges, state, series)
    if rng.random() < ranges.breathing_probability:
        series = _breathing(rng, ranges, state, series)
    return floored(series)


def _waving(
    rng: np.random.Generator, ranges: MagnetosphereRanges, state: State, series: PlasmaSeries
) -> PlasmaSeries:
    """With a standing wave: the flow a quarter of a period from the field, pressure against |B| where compressive."""
    period_s = ranges.ulf_period_s.draw(rng)
    wave, quarter = waves(rng, series.steps, period_s, packet_s=3.0 * period_s)
    magnitude = float(np.linalg.norm(state.B_nT))
    along = state.B_nT / magnitude
    across, _ = perpendicular(rng, along)
    lean = 0.5 * math.pi * rng.random()
    amplitude = ranges.ulf_amplitude.draw(rng)
    squeeze = np.clip(amplitude * math.sin(lean) * wave, -0.6, 0.6)
    field = series.B_nT + magnitude * (
        np.outer(squeeze, along) + np.outer(amplitude * math.cos(lean) * wave, across)
    )
    # Drift-mirror waves push plasma out of strong field, fast ones carry it along.
    sense = rng.uniform(-1.5, 1.0)
    density = series.N_cm3 * np.exp(sense * squeeze)
    flow = series.V_kms + np.outer(ranges.ulf_speed_kms.draw(rng) * quarter, across)
    heat = np.exp(0.5 * sense * squeeze)
    return PlasmaSeries(field, density, flow, series.Tpar_eV * heat, series.Tperp_eV * heat)


def _breathing(
    rng: np.random.Generator, ranges: MagnetosphereRanges, state: State, series: PlasmaSeries
) -> PlasmaSeries:
    """Pushed in and out: |B| and N rise while it moves inward, as of a frozen-in field."""
    period_s = rng.uniform(200.0, 900.0)
    wave, quarter = waves(rng, series.steps, period_s, bandwidth=0.4, packet_s=2.0 * period_s)
    speed = ranges.breathing_kms.draw(rng)
    normal, _ = perpendicular(rng, state.B_nT)
    # A line of length 5 R_E that is moved by speed × period changes by about that share of it.
    squeeze = np.exp(np.clip(speed * period_s / (2.0 * math.pi) / 32000.0 * wave, -0.5, 0.5))
    return PlasmaSeries(
        series.B_nT * squeeze[:, None],
        series.N_cm3 * squeeze,
        series.V_kms + np.outer(speed * quarter / math.sqrt(2.0), normal),
        series.Tpar_eV,
        series.Tperp_eV * squeeze,
    )
