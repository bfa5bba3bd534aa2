"""The magnetosheath: shocked wind, its flow about the magnetosphere, its turbulence, mirror modes, jets and ropes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.science.synthetic.craft.disturbance import (
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
from monitor.science.synthetic.craft.series import STEP_S, PlasmaSeries, State
from monitor.science.synthetic.craft.shock import ShockJump
from monitor.science.synthetic.ranges import Range
from monitor.types import FloatArray

_DEEPEST: Final = 1.6


@dataclass(frozen=True, slots=True)
class SheathRanges:
    """What magnetosheaths are drawn from.

    Attributes
    ----------
    pile_up, density_factor, heat_factor : Range
        Factors on |B|, N and T at the magnetopause over just behind the shock (Spreiter et al. 1966,
        doi:10.1016/0032-0633(66)90124-3; Dimmock and Nykyri 2013, doi:10.1002/jgra.50465; widened).
    braking, draping : Range
        Shares of the flow's and the field's normal components that are lost on the way.
    nose_kms, flank_kms : Range
        Flow along the magnetopause near it, at the nose and on the flanks. Chosen.
    temperature_eV, field_nT : Range
        Between which T and |B| are kept.
    rotation, compression, density_spread, heat_spread, flow_share : Range
        Standard deviations over twenty minutes: of the field's direction, ln |B|, ln N, ln T, and of the flow as a
        share of the Alfvén speed. For quasi-perpendicular sheaths; chosen between quiet and turbulent.
    parallel_gain : Range
        Factor on them behind a quasi-parallel shock (up to two decades of power, Yordanova et al. 2020,
        doi:10.3389/fspas.2020.00002).
    slope : Range
        Exponent of the power: −1 near the shock to −5/3 (Huang et al. 2017, doi:10.3847/2041-8213/836/1/L10), widened
        both ways, as |B| within minutes is often flatter than its components within hours.
    balance, alfvenicity : Range
        Correlation of N with |B|; share of ±δB/√(μ₀ρ) that the flow follows.
    anisotropy_gain : Range
        Factor on T⊥/T∥ of the state with depth, where not quasi-parallel.
    mirror_probability, parallel_mirror_probability, mirror_s, mirror_log, mirror_density, mirror_skew
        Mirror modes behind quasi-perpendicular and quasi-parallel shocks (Soucek et al. 2008,
        doi:10.1029/2007JA012649): period, ln of the factor on |B| at full strength, ln N per −ln |B|, and skewness,
        dips below 0, peaks above.
    jets_per_h, jet_s, jet_gain, jet_density_log : Range
        Jets behind quasi-parallel shocks (Plaschke et al. 2018, doi:10.1007/s11214-018-0516-3): width, factor on the
        speed (towards the wind's), ln of the factor on N.
    kinks_per_h, kink_deg : Range
        Current sheets: turn of the field.
    ropes_per_h, rope_s, rope_turn, rope_log : Range
        Flux transfer events (Wang et al. 2005, doi:10.1029/2005JA011150): width, bipolar part over |B|, ln of the
        core's factor.
    """

    pile_up: Range = Range(1.0, 4.0, log=True)
    density_factor: Range = Range(0.35, 1.6, log=True)
    heat_factor: Range = Range(0.75, 2.2, log=True)
    braking: Range = Range(0.3, 1.0)
    draping: Range = Range(0.2, 1.0)
    nose_kms: Range = Range(5.0, 220.0)
    flank_kms: Range = Range(80.0, 450.0)
    temperature_eV: Range = Range(45.0, 1300.0)
    field_nT: Range = Range(2.0, 130.0)
    rotation: Range = Range(0.03, 0.6, log=True)
    compression: Range = Range(0.015, 0.3, log=True)
    density_spread: Range = Range(0.015, 0.3, log=True)
    heat_spread: Range = Range(0.015, 0.2, log=True)
    flow_share: Range = Range(0.05, 0.6, log=True)
    parallel_gain: Range = Range(1.5, 5.0, log=True)
    slope: Range = Range(-2.5, -0.4)
    balance: Range = Range(-0.8, 0.9)
    alfvenicity: Range = Range(0.0, 0.9)
    anisotropy_gain: Range = Range(0.85, 1.3)
    mirror_probability: float = 0.35
    parallel_mirror_probability: float = 0.12
    mirror_s: Range = Range(9.0, 45.0, log=True)
    mirror_log: Range = Range(0.08, 0.7, log=True)
    mirror_density: Range = Range(0.1, 0.8)
    mirror_skew: Range = Range(-1.0, 1.0)
    jets_per_h: Range = Range(0.5, 8.0, log=True)
    jet_s: Range = Range(12.0, 150.0, log=True)
    jet_gain: Range = Range(1.3, 3.0)
    jet_density_log: Range = Range(-0.1, 0.7)
    kinks_per_h: Range = Range(0.5, 15.0, log=True)
    kink_deg: Range = Range(15.0, 170.0)
    ropes_per_h: Range = Range(0.1, 3.0, log=True)
    rope_s: Range = Range(15.0, 100.0, log=True)
    rope_turn: Range = Range(0.3, 1.5)
    rope_log: Range = Range(0.05, 0.7)


def sheath_state(rng: np.random.Generator, ranges: SheathRanges, jump: ShockJump) -> State:
    """Plasma somewhere between the shock and the magnetopause, whose normals are taken to be the same."""
    depth, normal, behind = float(rng.random()), jump.normal, jump.downstream
    draped = behind.B_nT - depth * ranges.draping.draw(rng) * float(behind.B_nT @ normal) * normal
    unit = turned(draped, rng, 5.0 + 15.0 * depth)
    strength = float(np.linalg.norm(behind.B_nT)) * peaked(rng, ranges.pile_up) ** depth
    strength = min(max(strength, ranges.field_nT.low), ranges.field_nT.high)
    heat = peaked(rng, ranges.heat_factor) ** depth
    total_eV = min(max(behind.T_eV * heat, ranges.temperature_eV.low), ranges.temperature_eV.high)
    ratio = behind.Tperp_eV / behind.Tpar_eV
    if not jump.quasi_parallel:
        ratio = min(max(ratio * ranges.anisotropy_gain.draw(rng) ** depth, 0.9), 2.8)
    parallel_eV = 3.0 * total_eV / (1.0 + 2.0 * ratio)
    return State(
        unit * (strength / max(float(np.linalg.norm(unit)), 1e-9)),
        max(behind.N_cm3 * peaked(rng, ranges.density_factor) ** depth, 0.05),
        _diverted(rng, ranges, jump, depth),
        parallel_eV,
        ratio * parallel_eV,
    )


def _diverted(rng: np.random.Generator, ranges: SheathRanges, jump: ShockJump, depth: float) -> FloatArray:
    """The flow at this depth: its normal part is braked, and what is left runs along the magnetopause."""
    normal, flow = jump.normal, jump.downstream.V_kms
    inward = float(flow @ normal)
    along = flow - inward * normal
    aside, _ = perpendicular(rng, normal)
    tailward = np.array([-1.0, 0.0, 0.0]) + normal[0] * normal + 0.25 * aside
    tailward /= max(float(np.linalg.norm(tailward)), 1e-9)
    flank = 1.0 - max(float(normal[0]), 0.0)
    speed = (1.0 - flank) * ranges.nose_kms.draw(rng) + flank * ranges.flank_kms.draw(rng)
    deep = speed * tailward + (1.0 - ranges.braking.draw(rng)) * inward * normal
    diverted: FloatArray = (1.0 - depth) * (along + inward * normal) + depth * deep
    return diverted


def magnetosheath(
    rng: np.random.Generator, ranges: SheathRanges, state: State, steps: int, quasi_parallel: bool
) -> PlasmaSeries:
    """Sheath about a state, from quiet to turbulent; rougher behind a quasi-parallel shock."""
    happens = Disturbance.none(steps)
    # One number for how stirred the plasma is, since its quantities are stirred together.
    unrest = float(rng.random())
    gain = ranges.parallel_gain.draw(rng) if quasi_parallel else 1.0
    _add_turbulence(rng, ranges, state, happens, unrest, gain)
    mirror = ranges.parallel_mirror_probability if quasi_parallel else ranges.mirror_probability
    if rng.random() < mirror:
        _add_mirror_modes(rng, ranges, state, happens)
    for centre in occurrences(rng, steps, ranges.kinks_per_h.draw(rng) * gain):
        _add_kink(rng, ranges, state, happens, float(centre))
    if quasi_parallel:
        for centre in occurrences(rng, steps, ranges.jets_per_h.draw(rng)):
            _add_jet(rng, ranges, state, happens, float(centre))
    for centre in occurrences(rng, steps, ranges.ropes_per_h.draw(rng)):
        _add_rope(rng, ranges, state, happens, float(centre))
    return happens.of(state)


def _add_turbulence(
    rng: np.random.Generator,
    ranges: SheathRanges,
    state: State,
    happens: Disturbance,
    unrest: float,
    gain: float,
) -> None:
    steps, slope = happens.field.size, ranges.slope.draw(rng)
    outer_s = rng.uniform(100.0, 1200.0)

    def noise() -> FloatArray:
        return coloured(rng, steps, slope, outer_s=outer_s)

    def strength(within: Range) -> float:
        return gain * at_share(within, 0.5 * (unrest + float(rng.random())))

    rotation = min(strength(ranges.rotation), 1.5)
    for axis in perpendicular(rng, state.B_nT):
        happens.turn[:] += rotation * noise()[:, None] * axis
    squeeze, balance = noise(), ranges.balance.draw(rng)
    own = math.sqrt(max(1.0 - balance * balance, 0.0)) * noise()
    happens.field[:] += saturated(strength(ranges.compression) * squeeze, 1.2)
    happens.density[:] += saturated(strength(ranges.density_spread) * (balance * squeeze + own), 1.0)
    heat = strength(ranges.heat_spread)
    happens.heat(saturated(heat * noise() + rng.uniform(-0.3, 0.67) * happens.density, 1.0))
    happens.perpendicular[:] += 0.4 * heat * noise()
    speed = state.alfven_speed_kms
    moved = min(strength(ranges.flow_share), 0.9) * speed * np.column_stack([noise() for _ in range(3)])
    unit = state.B_nT / np.linalg.norm(state.B_nT)
    sense = ranges.alfvenicity.draw(rng) * (1.0 if rng.random() < 0.5 else -1.0)
    happens.flow_kms[:] += moved + sense * speed * (happens.directions(state) - unit)


def _add_mirror_modes(
    rng: np.random.Generator, ranges: SheathRanges, state: State, happens: Disturbance
) -> None:
    """Bottles of strong field in a weak background, or holes in a strong one, with N and T⊥ against them."""
    steps = happens.field.size
    wave, _ = waves(
        rng, steps, peaked(rng, ranges.mirror_s), bandwidth=rng.uniform(0.15, 0.5), packet_s=200.0
    )
    skew = 1.5 * ranges.mirror_skew.draw(rng)
    shape = wave
    if abs(skew) > 0.05:
        # Peaks for a positive skew: the exponential sharpens what is up and flattens what is down.
        shape = np.expm1(skew * np.clip(wave, -2.5, 2.5)) / (skew * math.exp(0.5 * skew * skew))
    # Pressure balance bounds them: field can grow only by what thermal pressure gives way.
    most = min(0.1 + 0.5 * math.log1p(state.beta), 1.1)
    log = saturated(peaked(rng, ranges.mirror_log) * shape, most)
    happens.field[:] += log
    answer = ranges.mirror_density.draw(rng)
    happens.density[:] -= saturated(answer * log, 0.7)
    happens.perpendicular[:] -= saturated(0.4 * answer * log, 0.5)
    happens.parallel[:] -= saturated(0.15 * answer * log, 0.3)


def _add_kink(
    rng: np.random.Generator, ranges: SheathRanges, state: State, happens: Disturbance, centre: float
) -> None:
    """A current sheet: the field turns, weaker within."""
    steps, width = happens.field.size, rng.uniform(0.5, 5.0)
    unit = state.B_nT / np.linalg.norm(state.B_nT)
    turn = turn_about(direction(rng), math.radians(ranges.kink_deg.draw(rng)))
    happens.turn[:] += smooth_step(steps, centre, width)[:, None] * (turn @ unit - unit)
    happens.field[:] -= rng.uniform(0.0, 0.6) * bump(steps, centre, 1.5 * width * STEP_S)


def _add_jet(
    rng: np.random.Generator, ranges: SheathRanges, state: State, happens: Disturbance, centre: float
) -> None:
    """Plasma that kept more of the wind's speed: dynamic pressure of twice the surroundings' and more."""
    shape = bump(happens.field.size, centre, ranges.jet_s.draw(rng))
    speed = float(np.linalg.norm(state.V_kms))
    heading = turned(state.V_kms / max(speed, 1e-9) - np.array([0.5, 0.0, 0.0]), rng, 15.0)
    heading /= max(float(np.linalg.norm(heading)), 1e-9)
    # No jet is faster than the wind that it came from, which seldom exceeds 650 km/s.
    gain = min((ranges.jet_gain.draw(rng) - 1.0) * max(speed, 80.0), max(650.0 - speed, 60.0))
    happens.flow_kms[:] += gain * shape[:, None] * heading
    happens.density[:] += ranges.jet_density_log.draw(rng) * shape
    happens.heat(-rng.uniform(0.0, 0.35) * shape)
    happens.field[:] += rng.uniform(-0.2, 0.4) * shape


def _add_rope(
    rng: np.random.Generator, ranges: SheathRanges, state: State, happens: Disturbance, centre: float
) -> None:
    """A flux rope: bipolar across its path, strong along its axis."""
    width_s = ranges.rope_s.draw(rng)
    shape = bump(happens.field.size, centre, width_s)
    away = (np.arange(happens.field.size) - centre) * STEP_S / (0.5 * width_s)
    across, along = perpendicular(rng, state.B_nT)
    bipolar = ranges.rope_turn.draw(rng) * (1.0 if rng.random() < 0.5 else -1.0)
    happens.turn[:] += (bipolar * away * shape)[:, None] * across + (rng.uniform(-0.8, 0.8) * shape)[
        :, None
    ] * along
    happens.field[:] += ranges.rope_log.draw(rng) * shape
    happens.density[:] += rng.uniform(-0.4, 0.2) * shape
    happens.heat(rng.uniform(-0.1, 0.5) * shape)
    moved = rng.uniform(0.0, 0.6) * state.alfven_speed_kms
    happens.flow_kms[:] += moved * shape[:, None] * direction(rng)
