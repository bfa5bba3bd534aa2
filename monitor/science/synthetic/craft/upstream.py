"""Upstream of the bow shock: the solar wind, and the foreshock that the shock's reflected ions stir up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monitor.science.synthetic.craft.disturbance import (
    UNIT_ALFVEN_KMS,
    Disturbance,
    at_share,
    bump,
    occurrences,
    peaked,
    saturated,
    turned,
)
from monitor.science.synthetic.craft.fluctuations import (
    coloured,
    direction,
    perpendicular,
    smooth_step,
    turn_about,
    waves,
)
from monitor.science.synthetic.craft.series import ELEMENTARY_C, PROTON_KG, STEP_S, PlasmaSeries, State
from monitor.science.synthetic.ranges import Range
from monitor.types import FloatArray

_SECTOR_KMS = 430.0
_COUPLED_KMS = 420.0
_LEAST_MACH = 1.8


@dataclass(frozen=True, slots=True)
class UpstreamRanges:
    """What solar wind and foreshock are drawn from.

    Attributes
    ----------
    speed_kms, field_nT : Range
        Ordinary wind at 1 au (Burlaga and Szabo 1999, Space Sci. Rev. 87, 137–140), widened.
    density_cm3, density_exponent : Range
        Density at 420 km/s, and the exponent of its fall with speed: 2 for a constant momentum flux. Widened.
    temperature_factor, excess_eV, anisotropy : Range
        Factor on the temperature that belongs to the speed, (0.031 V − 5.1)² · 10³ K (Lopez 1987,
        doi:10.1029/JA092iA10p11189); what electrostatic analysers add to it at 420 km/s and in proportion to the
        energy, as their bins are wider than the beam (Roberts et al. 2021, doi:10.1029/2021JA029784; chosen);
        T∥ over T⊥.
    scatter, deflection_deg, aberration_kms : Range
        Scatter of the field about the Parker spiral (1: as good as any direction), of the flow about −x, and the
        flow along y that Earth's motion makes (0 where a provider took it out). Chosen.
    ejecta_probability, ejecta_field_nT, ejecta_density_cm3, ejecta_speed_kms
        Ejecta and their sheaths. Chosen.
    tenuous_probability, tenuous_density_cm3
        Wind with next to no density. Chosen.
    rotation, compression, density_spread, heat_spread : Range
        Standard deviations over twenty minutes, relative: of the field's direction, |B|, N and T (Bruno and Carbone
        2013, doi:10.12942/lrsp-2013-2, widened).
    slope : Range
        Exponent of their power over frequency.
    alfvenicity, balance, flow_kms : Range
        Share of δB/√(μ₀ρ) that the flow follows; correlation of N with |B|, negative in pressure balance; the rest of
        the flow's changes.
    kinks_per_h, kink_deg, kink_log : Range
        Discontinuities (1–2 an hour that are sharp, Tsurutani and Smith 1979, doi:10.1029/JA084iA06p02773, widened):
        turn, and logarithm of the step in |B|, half as much in N.
    wave_s, wave, bandwidth, regularity : Range
        Foreshock waves (Eastwood et al. 2005, doi:10.1007/s11214-005-3824-3): period, δB/B, relative bandwidth, and
        share of the variance that is a wave and not turbulence.
    compressive, coupling, own_density, steepening, wave_slope : Range
        δ|B| over δB; δN/N over δ|B|/|B|; δN/N that |B| knows nothing of over δB/B; strength of the second harmonic;
        exponent of the turbulence.
    heating, heating_limit, heat_unrest, beam
        Factor on T by the ions that stream back; what it adds stays below this share of ½ m V² (a tenth of the ions at
        twice the wind's speed, where the shock makes 3/8 of all); standard deviation of the excess's logarithm, and the
        parallel share of it over the even one (1: isotropic, 3: wholly parallel).
    slowing, foreshock_deflection_deg, depletion : Range
        Share of the speed lost, turn of the flow, factor on N.
    structures_per_h : Range
        Short large structures (below), more where the waves are strong.
    pulse_s, pulse_log : Range
        Short large-amplitude magnetic structures (Schwartz et al. 1992, doi:10.1029/91JA02581): width, ln of |B|'s
        factor.
    cavity_s, cavity_log, anomaly_s, anomaly_log, anomaly_heat_log, anomaly_stop : Range
        Cavities and hot flow anomalies (Zhang et al. 2022, doi:10.1007/s11214-021-00865-0): width, depth in |B| and
        N as −ln of the factor, ln of the factor on T, share of the flow that is stopped or turned.
    """

    speed_kms: Range = Range(230.0, 850.0, log=True)
    field_nT: Range = Range(1.2, 20.0, log=True)
    density_cm3: Range = Range(1.0, 35.0, log=True)
    density_exponent: Range = Range(0.8, 2.2)
    temperature_factor: Range = Range(0.25, 4.0, log=True)
    excess_eV: Range = Range(2.5, 100.0, log=True)
    anisotropy: Range = Range(0.5, 2.0, log=True)
    scatter: Range = Range(0.2, 1.5)
    deflection_deg: Range = Range(0.5, 4.0)
    aberration_kms: Range = Range(0.0, 40.0)
    ejecta_probability: float = 0.07
    ejecta_field_nT: Range = Range(10.0, 45.0, log=True)
    ejecta_density_cm3: Range = Range(1.0, 60.0, log=True)
    ejecta_speed_kms: Range = Range(330.0, 950.0)
    tenuous_probability: float = 0.04
    tenuous_density_cm3: Range = Range(0.1, 1.2, log=True)
    rotation: Range = Range(0.02, 0.6, log=True)
    compression: Range = Range(0.004, 0.07, log=True)
    density_spread: Range = Range(0.006, 0.1, log=True)
    heat_spread: Range = Range(0.01, 0.12, log=True)
    slope: Range = Range(-2.0, -0.4)
    alfvenicity: Range = Range(0.1, 1.0)
    balance: Range = Range(-0.95, 0.5)
    flow_kms: Range = Range(0.5, 10.0, log=True)
    kinks_per_h: Range = Range(0.3, 10.0, log=True)
    kink_deg: Range = Range(10.0, 150.0)
    kink_log: Range = Range(-0.3, 0.3)
    wave_s: Range = Range(13.0, 65.0, log=True)
    wave: Range = Range(0.1, 0.8, log=True)
    bandwidth: Range = Range(0.05, 0.5)
    regularity: Range = Range(0.1, 0.95)
    compressive: Range = Range(0.2, 0.9)
    coupling: Range = Range(0.1, 1.1)
    own_density: Range = Range(0.05, 0.8)
    steepening: Range = Range(0.0, 0.7)
    wave_slope: Range = Range(-2.5, -1.2)
    heating: Range = Range(1.3, 8.0, log=True)
    heating_limit: float = 0.25
    heat_unrest: Range = Range(0.1, 0.7, log=True)
    beam: Range = Range(0.9, 2.2)
    slowing: Range = Range(0.0, 0.2)
    foreshock_deflection_deg: Range = Range(0.5, 6.0)
    depletion: Range = Range(0.75, 1.15)
    structures_per_h: Range = Range(0.1, 10.0, log=True)
    pulse_s: Range = Range(6.0, 30.0, log=True)
    pulse_log: Range = Range(0.4, 1.5)
    cavity_s: Range = Range(20.0, 120.0, log=True)
    cavity_log: Range = Range(0.15, 0.9)
    anomaly_s: Range = Range(25.0, 240.0, log=True)
    anomaly_log: Range = Range(0.4, 1.7)
    anomaly_heat_log: Range = Range(0.8, 3.0)
    anomaly_stop: Range = Range(0.1, 0.8)


def solar_wind_state(rng: np.random.Generator, ranges: UpstreamRanges) -> State:
    """The wind of some hour: the faster, the hotter and more tenuous."""
    speed = peaked(rng, ranges.speed_kms)
    strength = peaked(rng, ranges.field_nT)
    density = peaked(rng, ranges.density_cm3) * (_COUPLED_KMS / speed) ** ranges.density_exponent.draw(rng)
    kind = rng.random()
    if kind < ranges.ejecta_probability:
        speed = ranges.ejecta_speed_kms.draw(rng)
        strength = ranges.ejecta_field_nT.draw(rng)
        density = ranges.ejecta_density_cm3.draw(rng)
    elif kind < ranges.ejecta_probability + ranges.tenuous_probability:
        density = ranges.tenuous_density_cm3.draw(rng)
    # Wind that Alfvén waves outrun is too rare to be made: it would have no shock.
    slack = max(_LEAST_MACH * UNIT_ALFVEN_KMS * strength / (math.sqrt(density) * speed), 1.0)
    strength, density = strength / math.sqrt(slack), density * slack
    excess = peaked(rng, ranges.excess_eV) * (speed / _COUPLED_KMS) ** 2
    temperature = _thermal_eV(speed) * peaked(rng, ranges.temperature_factor) + excess
    ratio = peaked(rng, ranges.anisotropy)
    perpendicular_eV = 3.0 * temperature / (ratio + 2.0)
    flow = turned(np.array([-speed, 0.0, 0.0]), rng, ranges.deflection_deg.draw(rng))
    return State(
        strength * _spiral(rng, speed, ranges.scatter.draw(rng)),
        density,
        flow + np.array([0.0, ranges.aberration_kms.draw(rng), 0.0]),
        ratio * perpendicular_eV,
        perpendicular_eV,
    )


def _thermal_eV(speed_kms: float) -> float:
    return float(max(0.031 * speed_kms - 5.1, 1.5) ** 2 / 11.604)


def _spiral(rng: np.random.Generator, speed_kms: float, scatter: float) -> FloatArray:
    angle = math.atan2(_SECTOR_KMS, speed_kms)
    sector = 1.0 if rng.random() < 0.5 else -1.0
    vector = sector * np.array([-math.cos(angle), math.sin(angle), 0.0]) + scatter * rng.standard_normal(3)
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit


def solar_wind(rng: np.random.Generator, ranges: UpstreamRanges, state: State, steps: int) -> PlasmaSeries:
    """A wind about a state: Alfvénic, hardly compressive, with discontinuities."""
    happens = _wind(rng, ranges, state, steps)
    _walen(rng, ranges.alfvenicity.draw(rng), state, happens)
    return happens.of(state)


def _wind(rng: np.random.Generator, ranges: UpstreamRanges, state: State, steps: int) -> Disturbance:
    """All but the flow that follows the field."""
    happens = Disturbance.none(steps)
    slope = ranges.slope.draw(rng)
    first, second = perpendicular(rng, state.B_nT)
    rotation = peaked(rng, ranges.rotation)
    for axis in (first, second):
        happens.turn[:] += rotation * coloured(rng, steps, slope)[:, None] * axis
    squeeze, own = coloured(rng, steps, slope), coloured(rng, steps, slope)
    balance = ranges.balance.draw(rng)
    happens.field[:] += peaked(rng, ranges.compression) * squeeze
    happens.density[:] += peaked(rng, ranges.density_spread) * (
        balance * squeeze + math.sqrt(max(1.0 - balance * balance, 0.0)) * own
    )
    unrest = peaked(rng, ranges.heat_spread)
    happens.heat(unrest * coloured(rng, steps, slope))
    happens.parallel[:] += 0.5 * unrest * coloured(rng, steps, slope)
    rest_kms = peaked(rng, ranges.flow_kms)
    for axis in np.eye(3):
        happens.flow_kms[:] += rest_kms * coloured(rng, steps, slope)[:, None] * axis
    for centre in occurrences(rng, steps, ranges.kinks_per_h.draw(rng)):
        _kink(rng, ranges, state, happens, float(centre))
    return happens


def _kink(
    rng: np.random.Generator, ranges: UpstreamRanges, state: State, happens: Disturbance, centre: float
) -> None:
    """A discontinuity: the field turns for good within some seconds, mostly in pressure balance."""
    after = smooth_step(happens.field.size, centre, rng.uniform(0.3, 8.0))
    unit = state.B_nT / np.linalg.norm(state.B_nT)
    turn = turn_about(direction(rng), math.radians(ranges.kink_deg.draw(rng)))
    happens.turn[:] += after[:, None] * (turn @ unit - unit)
    log = ranges.kink_log.draw(rng)
    happens.field[:] += log * after
    happens.density[:] += 0.5 * log * after * (1.0 if rng.random() < 0.3 else -1.0)


def _walen(rng: np.random.Generator, alfvenicity: float, state: State, happens: Disturbance) -> None:
    """Lets the flow follow the field's turns by ±δB/√(μ₀ρ)."""
    unit = state.B_nT / np.linalg.norm(state.B_nT)
    speed = state.alfven_speed_kms * np.exp(-0.5 * happens.density)
    sense = alfvenicity if rng.random() < 0.5 else -alfvenicity
    happens.flow_kms[:] += sense * speed[:, None] * (happens.directions(state) - unit)


def foreshock(rng: np.random.Generator, ranges: UpstreamRanges, state: State, steps: int) -> PlasmaSeries:
    """The foreshock about an upstream state, from a few faint waves to strong turbulence near the shock."""
    strength = float(rng.random())
    here = _disturbed_state(rng, ranges, state)
    happens = _wind(rng, ranges, here, steps)
    _add_waves(rng, ranges, here, happens, at_share(ranges.wave, strength))
    _walen(rng, ranges.alfvenicity.draw(rng), here, happens)
    rate = at_share(ranges.structures_per_h, 0.5 * (strength + float(rng.random())))
    heat = np.zeros(steps)
    for centre in occurrences(rng, steps, rate):
        _add_structure(rng, ranges, here, happens, heat, float(centre))
    heating = at_share(ranges.heating, 0.5 * (strength + float(rng.random())))
    return _heated(rng, ranges, happens.of(here), _excess_eV(ranges, here, heating), heat)


def _disturbed_state(rng: np.random.Generator, ranges: UpstreamRanges, state: State) -> State:
    flow = turned(state.V_kms, rng, ranges.foreshock_deflection_deg.draw(rng))
    slowing = ranges.slowing.draw(rng) * float(rng.random())
    density = state.N_cm3 * ranges.depletion.draw(rng)
    return State(state.B_nT, density, flow * (1.0 - slowing), state.Tpar_eV, state.Tperp_eV)


def _add_waves(
    rng: np.random.Generator, ranges: UpstreamRanges, state: State, happens: Disturbance, amplitude: float
) -> None:
    """Waves of the fast mode, regular to turbulent; |B| and N swell together."""
    steps = happens.field.size
    wave, quarter = waves(rng, steps, peaked(rng, ranges.wave_s), bandwidth=ranges.bandwidth.draw(rng))
    regular = math.sqrt(min(ranges.regularity.draw(rng), 1.0))
    rough, slope = math.sqrt(1.0 - regular * regular), ranges.wave_slope.draw(rng)
    steep = wave + ranges.steepening.draw(rng) * wave * quarter
    first, second = perpendicular(rng, state.B_nT)
    ellipticity = rng.uniform(-1.0, 1.0)
    outer_s = rng.uniform(80.0, 400.0)
    for axis, carrier in ((first, wave), (second, ellipticity * quarter)):
        stirred = regular * carrier + rough * coloured(rng, steps, slope, outer_s=outer_s)
        happens.turn[:] += amplitude * stirred[:, None] * axis
    squeeze = ranges.compressive.draw(rng) * amplitude
    swell = saturated(squeeze * (regular * steep + rough * coloured(rng, steps, slope, outer_s=outer_s)), 1.2)
    happens.field[:] += swell
    happens.density[:] += ranges.coupling.draw(rng) * swell
    own = ranges.own_density.draw(rng) * amplitude
    happens.density[:] += saturated(own * coloured(rng, steps, slope, outer_s=outer_s), 1.2)
    happens.heat(2.0 / 3.0 * ranges.coupling.draw(rng) * swell)
    along = state.V_kms / np.linalg.norm(state.V_kms)
    happens.flow_kms[:] -= (state.alfven_speed_kms * swell)[:, None] * along


def _add_structure(
    rng: np.random.Generator,
    ranges: UpstreamRanges,
    state: State,
    happens: Disturbance,
    heat: FloatArray,
    centre: float,
) -> None:
    """A steep pulse (mostly), a cavity or a hot flow anomaly; `heat` takes the logarithm of the excess's factor."""
    steps, kind = heat.size, rng.random()
    if kind < 0.6:
        shape = bump(steps, centre, ranges.pulse_s.draw(rng)) * ranges.pulse_log.draw(rng)
        happens.field[:] += shape
        happens.density[:] += rng.uniform(0.3, 0.9) * shape
        heat[:] += rng.uniform(0.0, 0.8) * shape
        happens.flow_kms[:] -= rng.uniform(0.0, 0.2) * shape[:, None] * state.V_kms
        return
    hot = kind > 0.85
    width_s = (ranges.anomaly_s if hot else ranges.cavity_s).draw(rng)
    depth = (ranges.anomaly_log if hot else ranges.cavity_log).draw(rng)
    core = bump(steps, centre, width_s, flat=4.0)
    away = 0.6 * width_s / STEP_S
    rims = sum(
        rng.uniform(0.1, 1.0) * bump(steps, centre + side * away, 0.35 * width_s) for side in (-1.0, 1.0)
    )
    happens.field[:] += 0.6 * rims - depth * core
    happens.density[:] += 0.6 * rims - depth * rng.uniform(0.6, 1.1) * core
    if hot:
        heat[:] += ranges.anomaly_heat_log.draw(rng) * core
        moved = turned(state.V_kms, rng, 30.0) * rng.uniform(0.2, 1.0) - state.V_kms
        happens.flow_kms[:] += ranges.anomaly_stop.draw(rng) * core[:, None] * moved
    else:
        heat[:] += rng.uniform(0.1, 1.0) * core


def _excess_eV(ranges: UpstreamRanges, state: State, heating: float) -> float:
    """What the ions that stream back add to the temperature: less than the shock makes of the wind's whole energy."""
    flow_eV = 0.5 * PROTON_KG * float(state.V_kms @ state.V_kms) * 1e6 / ELEMENTARY_C
    wanted, most = state.T_eV * (heating - 1.0), ranges.heating_limit * flow_eV
    return wanted / (1.0 + wanted / most)


def _heated(
    rng: np.random.Generator, ranges: UpstreamRanges, series: PlasmaSeries, excess_eV: float, log: FloatArray
) -> PlasmaSeries:
    """Adds the pressure of the ions that stream back: more along the field than across."""
    unrest = ranges.heat_unrest.draw(rng) * coloured(
        rng, series.steps, ranges.wave_slope.draw(rng), outer_s=rng.uniform(100.0, 600.0)
    )
    excess = excess_eV * np.exp(np.clip(log + unrest, -3.0, 3.0))
    beam = ranges.beam.draw(rng)
    return PlasmaSeries(
        series.B_nT,
        series.N_cm3,
        series.V_kms,
        series.Tpar_eV + beam * excess,
        series.Tperp_eV + 0.5 * (3.0 - beam) * excess,
    )
