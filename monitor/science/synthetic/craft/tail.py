"""The magnetotail: lobes, the plasma sheet between them, and the boundary layer of the sheet; in pressure balance."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.science.synthetic.craft.fluctuations import perpendicular, waves
from monitor.science.synthetic.craft.inner import (
    Fluctuations,
    dipole_direction,
    disturbed,
    field_of_pressure_nT,
    floored,
    magnetic_pressure_nPa,
    noise_vectors,
    parted_eV,
    plasma_pressure_nPa,
    total_pressure_nPa,
    window_noise,
)
from monitor.science.synthetic.craft.series import ELEMENTARY_C, STEP_S, PlasmaSeries, State
from monitor.science.synthetic.craft.tail_ranges import TailRanges
from monitor.science.synthetic.ranges import Range
from monitor.types import FloatArray

__all__ = (
    "TailRanges",
    "lobe",
    "lobe_state",
    "plasma_sheet",
    "plasma_sheet_boundary",
    "plasma_sheet_boundary_state",
    "plasma_sheet_state",
    "tail_states",
)

_PER_NPA: Final = 1.0 / (ELEMENTARY_C * 1e15)
"""eV cm⁻³ of 1 nPa."""

_HIGHEST_LEVEL: Final = 0.9
"""|Bx| over the lobe's field beyond which a place is no longer of the plasma sheet."""


_HIGHEST_LOBE_BETA: Final = 0.1
"""Where ions weigh more than that, a place is no longer of the lobe, but of what borders on it."""


def lobe_state(rng: np.random.Generator, ranges: TailRanges) -> State:
    """One place in a lobe: of the tail, or at high latitudes near the Earth."""
    if rng.random() < ranges.polar_probability:
        magnitude = ranges.polar_field_nT.draw(rng)
        latitude = math.copysign(rng.uniform(50.0, 88.0), rng.uniform(-1.0, 1.0))
        along = dipole_direction(latitude, rng.uniform(-180.0, 180.0), rng.uniform(-33.0, 33.0))
        return _lobe(rng, ranges, magnitude, along)
    return _tail_lobe(rng, ranges)


def plasma_sheet_state(rng: np.random.Generator, ranges: TailRanges) -> State:
    """One place in the plasma sheet."""
    return _sheet_beneath(rng, ranges, _tail_lobe(rng, ranges))


def plasma_sheet_boundary_state(rng: np.random.Generator, ranges: TailRanges) -> State:
    """One place in the boundary layer of the plasma sheet."""
    return _boundary_beneath(rng, ranges, _tail_lobe(rng, ranges))


def tail_states(rng: np.random.Generator, ranges: TailRanges) -> tuple[State, State, State]:
    """A lobe, the boundary layer beneath it and the plasma sheet, under one total pressure and with one sign of Bx."""
    above = _tail_lobe(rng, ranges)
    return above, _boundary_beneath(rng, ranges, above), _sheet_beneath(rng, ranges, above)


def lobe(rng: np.random.Generator, ranges: TailRanges, state: State, steps: int) -> PlasmaSeries:
    """A quiet field, and moments that rest on few counts."""
    series = disturbed(
        rng,
        state,
        steps,
        Fluctuations(
            compressive=ranges.lobe_compressive.draw(rng),
            transverse=ranges.lobe_transverse.draw(rng),
            density=ranges.lobe_slow.draw(rng),
            temperature=ranges.lobe_slow.draw(rng),
            anisotropy=0.5 * ranges.lobe_slow.draw(rng),
            speed_kms=0.3 * ranges.lobe_noise_kms.draw(rng),
            slope=rng.uniform(-2.7, -1.6),
            coupling=rng.uniform(-0.5, 0.5),
            alfvenic=rng.uniform(-0.3, 0.3),
            outer_s=900.0,
        ),
    )
    shake = ranges.lobe_noise.draw(rng)
    white = rng.standard_normal((steps, 6))
    return floored(
        PlasmaSeries(
            series.B_nT,
            series.N_cm3 * np.exp(shake * white[:, 0]),
            series.V_kms + ranges.lobe_noise_kms.draw(rng) * white[:, 3:],
            series.Tpar_eV * np.exp(1.5 * shake * white[:, 1]),
            series.Tperp_eV * np.exp(shake * white[:, 2]),
        )
    )


def plasma_sheet(rng: np.random.Generator, ranges: TailRanges, state: State, steps: int) -> PlasmaSeries:
    """The sheet about a state: it flaps over the spacecraft, and flows pass in bursts, with fronts ahead of them."""
    series = disturbed(
        rng,
        state,
        steps,
        Fluctuations(
            compressive=ranges.sheet_compressive.draw(rng),
            transverse=ranges.sheet_compressive.draw(rng),
            density=ranges.sheet_moments.draw(rng),
            temperature=ranges.sheet_moments.draw(rng),
            anisotropy=0.5 * ranges.sheet_moments.draw(rng),
            speed_kms=ranges.sheet_moment_kms.draw(rng),
            slope=ranges.sheet_slope.draw(rng),
            coupling=rng.uniform(-0.7, 0.4),
            alfvenic=rng.uniform(-0.4, 0.4),
            outer_s=600.0,
        ),
    )
    series = _flapping(rng, ranges, state, series)
    if rng.random() < ranges.bursts_probability:
        series = _bursts(rng, ranges, series)
    return floored(series)


def plasma_sheet_boundary(
    rng: np.random.Generator, ranges: TailRanges, state: State, steps: int
) -> PlasmaSeries:
    """The boundary layer about a state: more and less plasma as it moves, and streams along the field."""
    series = disturbed(
        rng,
        state,
        steps,
        Fluctuations(
            compressive=ranges.boundary_compressive.draw(rng),
            transverse=ranges.boundary_compressive.draw(rng),
            density=ranges.boundary_moments.draw(rng),
            temperature=ranges.boundary_moments.draw(rng),
            anisotropy=ranges.boundary_moments.draw(rng),
            speed_kms=ranges.boundary_moment_kms.draw(rng),
            slope=rng.uniform(-2.6, -1.5),
            coupling=rng.uniform(-0.6, 0.3),
            alfvenic=rng.uniform(-0.2, 0.2),
            outer_s=600.0,
        ),
    )
    series = _in_and_out(rng, ranges, state, series)
    if rng.random() < ranges.beams_probability:
        series = _beams(rng, ranges, series)
    return floored(series)


def _tail_lobe(rng: np.random.Generator, ranges: TailRanges) -> State:
    flaring = math.radians(ranges.flaring_deg.draw(rng))
    around = rng.uniform(0.0, 2.0 * math.pi)
    sign = rng.choice((-1.0, 1.0))
    along = np.array(
        [
            sign * math.cos(flaring),
            math.sin(flaring) * math.cos(around),
            math.sin(flaring) * math.sin(around),
        ]
    )
    return _lobe(rng, ranges, ranges.lobe_field_nT.draw(rng), along)


def _lobe(rng: np.random.Generator, ranges: TailRanges, magnitude_nT: float, along: FloatArray) -> State:
    across, _ = perpendicular(rng, along)
    flow = ranges.lobe_kms.draw(rng) * across
    if rng.random() < ranges.mantle_probability:
        density, temperature = ranges.mantle_cm3.draw(rng), ranges.mantle_eV.draw(rng)
        tailward = along if along[0] <= 0.0 else -along
        flow = flow + ranges.mantle_kms.draw(rng) * tailward
    else:
        density, temperature = ranges.lobe_cm3.draw(rng), ranges.lobe_eV.draw(rng)
        # Outflow of the ionosphere, or a slow drift back.
        flow = flow + rng.normal(0.0, 30.0) * along
    most = _HIGHEST_LOBE_BETA * float(magnetic_pressure_nPa(magnitude_nT)) * _PER_NPA
    density = min(density, most / temperature)
    parallel_eV, perpendicular_eV = parted_eV(temperature, math.exp(rng.normal(0.0, 0.25)))
    return State(magnitude_nT * along, density, flow, parallel_eV, perpendicular_eV)


def _sheet_beneath(rng: np.random.Generator, ranges: TailRanges, above: State) -> State:
    """The sheet that the lobe's pressure holds together."""
    pressure = total_pressure_nPa(above)
    strongest = float(field_of_pressure_nT(pressure))
    sign = math.copysign(1.0, float(above.B_nT[0]))
    level = min(ranges.sheet_level.draw(rng), _HIGHEST_LEVEL)
    dipolar = rng.random() < ranges.dipolar_probability
    normal = (ranges.dipolar_nT if dipolar else ranges.sheet_normal_nT).draw(rng)
    level_z = min(normal / strongest, 0.8 * math.sqrt(1.0 - level**2))
    guide = rng.normal(0.0, 0.15)
    level_y = float(np.clip(guide + 0.2 * level * rng.normal(), -0.3, 0.3)) * math.sqrt(1.0 - level**2)
    field = strongest * np.array([sign * level, level_y, level_z if rng.random() < 0.9 else -level_z])
    energy = float(pressure - magnetic_pressure_nPa(float(np.linalg.norm(field)))) * _PER_NPA
    temperature = (ranges.cold_eV if rng.random() < ranges.cold_probability else ranges.sheet_eV).draw(rng)
    density = _density(rng, energy / temperature, ranges.sheet_cm3)
    parallel_eV, perpendicular_eV = parted_eV(energy / density, math.exp(rng.normal(0.0, 0.1)))
    flow = ranges.sheet_kms.draw(rng) * _flow_direction(rng, 0.35)
    return State(field, density, flow, parallel_eV, perpendicular_eV)


def _boundary_beneath(rng: np.random.Generator, ranges: TailRanges, above: State) -> State:
    """The boundary layer under the lobe's pressure."""
    pressure = total_pressure_nPa(above)
    share = min(ranges.boundary_beta.draw(rng), 0.7)
    along = above.B_nT / np.linalg.norm(above.B_nT)
    field = float(field_of_pressure_nT((1.0 - share) * pressure)) * along
    energy = share * pressure * _PER_NPA
    temperature = ranges.boundary_eV.draw(rng)
    density = _density(rng, energy / temperature, ranges.boundary_cm3)
    parallel_eV, perpendicular_eV = parted_eV(energy / density, ranges.boundary_ratio.draw(rng))
    across, _ = perpendicular(rng, along)
    flow = ranges.boundary_kms.draw(rng) * across + rng.normal(0.0, 40.0) * along
    return State(field, density, flow, parallel_eV, perpendicular_eV)


def _density(rng: np.random.Generator, wanted_cm3: float, limits: Range) -> float:
    """A density within the limits: the one wanted, or one near the limit that it passes, so that none heaps up there."""
    inward = math.exp(rng.uniform(0.0, 1.0))
    if wanted_cm3 > limits.high:
        return max(limits.high / inward, limits.low)
    if wanted_cm3 < limits.low:
        return min(limits.low * inward, limits.high)
    return wanted_cm3


def _flapping(
    rng: np.random.Generator, ranges: TailRanges, state: State, series: PlasmaSeries
) -> PlasmaSeries:
    """The sheet moved up and down: Bx follows a Harris sheet, N and T its pressure."""
    steps = series.steps
    strongest = float(field_of_pressure_nT(total_pressure_nPa(state)))
    height = math.atanh(float(np.clip(state.B_nT[0] / strongest, -0.97, 0.97)))
    place = height + ranges.hovering.draw(rng) * window_noise(rng, steps, -2.5, 900.0)
    if rng.random() < ranges.flapping_probability:
        amplitude = ranges.flapping.draw(rng)
        period_s = ranges.flapping_period_s.draw(rng)
        wave, _ = waves(rng, steps, period_s, bandwidth=0.4, packet_s=3.0 * period_s)
        place = place + amplitude * (0.6 * wave + 0.3 * window_noise(rng, steps, -2.5, 600.0))
    if rng.random() < ranges.crossing_probability:
        sense = -math.copysign(1.0, height) if rng.random() < 0.7 else math.copysign(1.0, height)
        for at in np.sort(_times(rng, steps, ranges.crossing_spacing_s.draw(rng))):
            through = np.tanh((np.arange(steps) - at) / ranges.crossing_steps.draw(rng))
            place = place + sense * rng.uniform(0.5, 1.5) * (through - through[0])
            sense = -sense
    level = _HIGHEST_LEVEL * np.tanh(place / _HIGHEST_LEVEL)
    before = _HIGHEST_LEVEL * math.tanh(height / _HIGHEST_LEVEL)
    field = series.B_nT.copy()
    field[:, 0] += strongest * level - state.B_nT[0]
    # Of the plasma's pressure most is density's: a sheet is denser in its middle, and little hotter.
    thicker = np.maximum(1.0 - level**2, 0.05) / max(1.0 - before**2, 0.05)
    part = rng.uniform(0.5, 0.9)
    heat = thicker ** (1.0 - part)
    return PlasmaSeries(
        field, series.N_cm3 * thicker**part, series.V_kms, series.Tpar_eV * heat, series.Tperp_eV * heat
    )


def _bursts(rng: np.random.Generator, ranges: TailRanges, series: PlasmaSeries) -> PlasmaSeries:
    """Flows of a minute or so, most of them earthward and many behind a front of stronger Bz, fewer and hotter ions."""
    steps = series.steps
    field, flow = series.B_nT.copy(), series.V_kms.copy()
    depletion, heat = np.zeros(steps), np.zeros(steps)
    steady = np.arange(steps)
    for at in _times(rng, steps, ranges.burst_spacing_s.draw(rng)):
        duration = ranges.burst_s.draw(rng) / STEP_S
        profile = _pulse(steady - at, rng.uniform(0.5, 3.0), duration)
        sense = -1.0 if rng.random() < ranges.tailward_probability else 1.0
        # Flows are braked and turned aside in pieces, so that a burst has several peaks.
        pieces = np.exp(0.4 * window_noise(rng, steps, -1.5, 120.0))
        speed = np.minimum(ranges.burst_kms.draw(rng) * profile * pieces, 1.3 * ranges.burst_kms.high)
        flow += sense * np.outer(speed, _flow_direction(rng, 0.3, sunward=True))
        magnitude = np.linalg.norm(field, axis=1)
        rough = 0.15 * profile * np.clip(magnitude, 2.0, 15.0)
        field += rough[:, None] * noise_vectors(rng, steps, -1.6, 200.0)
        if rng.random() < ranges.front_probability:
            behind = _pulse(steady - at, rng.uniform(0.3, 1.5), duration * rng.uniform(1.0, 4.0))
            ahead = np.exp(-(((steady - at + 2.5) / 1.5) ** 2))
            field[:, 2] += sense * ranges.front_nT.draw(rng) * (behind - 0.3 * ahead)
            dip = min(ranges.front_dip.draw(rng), 0.8)
            depletion += math.log(1.0 - dip) * behind
            heat += rng.uniform(0.1, 0.9) * -math.log(1.0 - dip) * behind
    hotter = np.exp(np.minimum(heat, 1.0))
    return PlasmaSeries(
        field,
        series.N_cm3 * np.exp(np.maximum(depletion, -2.0)),
        flow,
        series.Tpar_eV * hotter,
        series.Tperp_eV * hotter,
    )


def _in_and_out(
    rng: np.random.Generator, ranges: TailRanges, state: State, series: PlasmaSeries
) -> PlasmaSeries:
    """Nearer to the sheet and nearer to the lobe in turns, under one total pressure."""
    steps = series.steps
    level = ranges.boundary_level.draw(rng) * window_noise(rng, steps, -2.0, 600.0)
    count = 1 + int(rng.poisson(steps / ranges.boundary_plateau_steps.draw(rng)))
    edges = np.sort(rng.uniform(0.0, steps, count - 1))
    jumps = 2.0 * ranges.boundary_level.draw(rng) * rng.standard_normal(count)
    level += (jumps - jumps[0])[np.searchsorted(edges, np.arange(steps))]
    if rng.random() < ranges.dip_probability:
        for at in _times(rng, steps, 400.0):
            level += ranges.dip_depth.draw(rng) * np.exp(
                -(((np.arange(steps) - at) / ranges.dip_steps.draw(rng)) ** 2)
            )
    level = np.clip(level, -2.0, 1.5)
    total = total_pressure_nPa(state)
    thermal = float(plasma_pressure_nPa(state.N_cm3, state.T_eV))
    plasma = np.minimum(thermal * np.exp(level), 0.8 * total)
    factor = plasma / thermal
    # Towards the lobe there are fewer ions, and colder ones.
    part = rng.uniform(0.4, 0.8)
    stronger = field_of_pressure_nT(total - plasma) / np.linalg.norm(state.B_nT)
    heat = factor ** (1.0 - part)
    return replace(
        series,
        B_nT=series.B_nT * stronger[:, None],
        N_cm3=series.N_cm3 * factor**part,
        Tpar_eV=series.Tpar_eV * heat,
        Tperp_eV=series.Tperp_eV * heat,
    )


def _beams(rng: np.random.Generator, ranges: TailRanges, series: PlasmaSeries) -> PlasmaSeries:
    """Streams along the field; where a spacecraft sees two at once, they heat along it and leave little flow."""
    steps = series.steps
    along = series.B_nT / np.linalg.norm(series.B_nT, axis=1)[:, None]
    earthward = along * np.where(along[:, :1] >= 0.0, 1.0, -1.0)
    flow, stretch = series.V_kms.copy(), np.zeros(steps)
    for at in _times(rng, steps, ranges.beam_spacing_s.draw(rng)):
        profile = _pulse(np.arange(steps) - at, rng.uniform(0.5, 4.0), ranges.beam_steps.draw(rng))
        sense = -0.6 if rng.random() < ranges.tailward_probability else 1.0
        net = rng.uniform(0.2, 1.0)
        speed = ranges.beam_kms.draw(rng) * profile
        flow += (sense * net * speed)[:, None] * earthward
        stretch += rng.uniform(0.0, 0.5) * profile
    return replace(series, V_kms=flow, Tpar_eV=series.Tpar_eV * np.exp(np.minimum(stretch, 0.8)))


def _times(rng: np.random.Generator, steps: int, spacing_s: float) -> FloatArray:
    """Steps at which something begins, at random: at least one, and such as began a little before the series."""
    lead = 20
    count = max(1, int(rng.poisson((steps + lead) * STEP_S / spacing_s)))
    times: FloatArray = rng.uniform(-lead, steps, count)
    return times


def _pulse(after: FloatArray, rise_steps: float, fall_steps: float) -> FloatArray:
    """A rise to about 1 at 0 and a fall over `fall_steps`."""
    rise = 0.5 * (1.0 + np.tanh(after / rise_steps))
    pulse: FloatArray = rise * np.exp(-((np.maximum(after, 0.0) / max(fall_steps, 1.0)) ** 1.5))
    return pulse


def _flow_direction(rng: np.random.Generator, spread: float, *, sunward: bool = False) -> FloatArray:
    """A direction (3,) along ±x, or along x, with a spread across."""
    sign = 1.0 if sunward or rng.random() < 0.7 else -1.0
    vector = np.array([sign, rng.normal(0.0, 2.0 * spread), rng.normal(0.0, spread)])
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit
