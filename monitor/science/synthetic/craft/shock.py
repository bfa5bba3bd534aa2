"""The bow shock: jumps by the relations of Rankine and Hugoniot, and what a spacecraft meets while one passes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.science.synthetic.craft.disturbance import at_share, peaked
from monitor.science.synthetic.craft.fluctuations import coloured, waves
from monitor.science.synthetic.craft.rankine_hugoniot import NPA_PER_EV, behind_shock, flow_against
from monitor.science.synthetic.craft.series import ELEMENTARY_C, PROTON_KG, STEP_S, PlasmaSeries, State
from monitor.science.synthetic.ranges import Range
from monitor.types import FloatArray

LONGEST_LAYER: Final = 30
"""Steps that the layer of a crossing has at most."""

_DRAWS = 40
_BOOST = 1.15
_OUTRUN = 3.0
_WARMER = 1.1
_GYRO_RAD_S: Final = ELEMENTARY_C / PROTON_KG * 1e-9
_INERTIAL_KM: Final = 227.7
_LONGEST_FOOT, _LONGEST_RAMP, _LONGEST_RING = 16.0, 6.0, 18.0


@dataclass(frozen=True, slots=True)
class ShockRanges:
    """What shocks are drawn from.

    Attributes
    ----------
    cone_deg : Range
        Angle of the normal from +x: the nose to the far flanks of a hyperboloid.
    speed_kms : Range
        Of the shock along its normal, positive away from Earth. A list of 91 MMS crossings has −14 to 25 in the
        middle half and −186 to 93 throughout.
    thermal_eV, electron_eV : Range
        What the upstream ions have at most beyond what an instrument adds, and the electrons: the pressure that the
        jump starts from. Chosen.
    least_fast_mach : Range
        Below this the shock is taken to move out faster, as it does in wind that is hardly super-fast.
    ion_share : Range
        Of the downstream pressure; electrons take the rest.
    anisotropy : Range
        T⊥/T∥ behind a shock that is perpendicular; 1 behind one that is parallel (Czaykowska et al. 2001,
        doi:10.5194/angeo-19-275-2001, widened).
    crossing_kms : Range
        Of the shock over the spacecraft.
    foot_gyroradii, foot_log, foot_heat_log : Range
        Foot: width over V_n/Ω_ci (0.68 sin²θ_Bn for reflection off the shock), ln of the factors on |B| and N, on T.
    ramp_inertial, overshoot_log, overshoot_mach, ring_gyroradii, ring_decay : Range
        Ramp over c/ω_pi (Mazelle and Lembège 2021, doi:10.5194/angeo-39-571-2021); ln of |B| at the overshoot over
        behind it (Russell et al. 1982, doi:10.1038/296045a0) for a strong shock, and the Mach number where it has
        half of that; wavelength behind it over V_n2/Ω_ci2, wavelengths that it rings for.
    ragged_s, ragged_log, reforming_s : Range
        Quasi-parallel: length of the transition, ln of the pulses' factor, their period. Chosen after Burgess et al.
        (2005, doi:10.1007/s11214-005-3832-3).
    """

    cone_deg: Range = Range(0.0, 80.0)
    speed_kms: Range = Range(-110.0, 110.0)
    thermal_eV: Range = Range(3.0, 35.0, log=True)
    electron_eV: Range = Range(7.0, 25.0, log=True)
    least_fast_mach: Range = Range(1.35, 1.8)
    ion_share: Range = Range(0.7, 1.0)
    anisotropy: Range = Range(1.0, 2.5)
    crossing_kms: Range = Range(4.0, 150.0, log=True)
    foot_gyroradii: Range = Range(0.3, 0.9)
    foot_log: Range = Range(0.05, 0.5)
    foot_heat_log: Range = Range(0.3, 2.2)
    ramp_inertial: Range = Range(0.05, 2.0, log=True)
    overshoot_log: Range = Range(0.1, 0.8)
    overshoot_mach: Range = Range(2.0, 6.0)
    ring_gyroradii: Range = Range(0.5, 2.5)
    ring_decay: Range = Range(0.4, 2.0)
    ragged_s: Range = Range(12.0, 130.0, log=True)
    ragged_log: Range = Range(0.1, 0.9)
    reforming_s: Range = Range(8.0, 40.0, log=True)


@dataclass(frozen=True, slots=True)
class ShockJump:
    """A fast shock and the uniform plasmas on its sides.

    The pressures, of ions and electrons, are those that the relations hold for; the states' temperatures are of ions.
    Upstream the ions' is what an instrument would say, more than the thermal one; downstream it is their share of the
    pressure, or where that would be colder than upstream, somewhat warmer than there.

    Attributes
    ----------
    normal : ndarray, shape (3,)
        Away from Earth, GSE.
    theta_bn_deg : float
        Between upstream field and normal, 0–90.
    mach_alfven : float
        Normal inflow in the shock's frame over the Alfvén speed.
    speed_kms : float
        Of the shock along the normal.
    upstream, downstream : State
    upstream_nPa, downstream_nPa : float
    """

    normal: FloatArray
    theta_bn_deg: float
    mach_alfven: float
    speed_kms: float
    upstream: State
    downstream: State
    upstream_nPa: float
    downstream_nPa: float

    @property
    def quasi_parallel(self) -> bool:
        """Whether the field meets the shock within 45° of its normal."""
        return self.theta_bn_deg < 45.0

    @property
    def inflow_kms(self) -> float:
        """Speed of the upstream plasma against the shock, along the normal."""
        return self.speed_kms - float(self.upstream.V_kms @ self.normal)

    @property
    def compression(self) -> float:
        """N downstream over upstream."""
        return self.downstream.N_cm3 / self.upstream.N_cm3


def shock_jump(rng: np.random.Generator, ranges: ShockRanges, upstream: State) -> ShockJump:
    """A bow shock that this wind makes somewhere between nose and flanks.

    Raises
    ------
    ValueError
        If the wind is too slow for any.
    """
    ions_eV = min(upstream.T_eV, ranges.thermal_eV.draw(rng))
    pressure_nPa = upstream.N_cm3 * (ions_eV + ranges.electron_eV.draw(rng)) * NPA_PER_EV
    for attempt in range(2 * _DRAWS):
        # A wind that hardly is fast enough makes a shock at the nose only, and drives it out.
        late = attempt >= _DRAWS
        normal = _normal(rng, at_share(ranges.cone_deg, 0.1) if late else peaked(rng, ranges.cone_deg))
        speed_kms = peaked(rng, ranges.speed_kms)
        mach = ranges.least_fast_mach.draw(rng) * _BOOST ** max(attempt - _DRAWS, 0)
        fastest_kms = _OUTRUN * ranges.speed_kms.high if late else speed_kms
        jump = _jump(upstream, pressure_nPa, normal, speed_kms, mach, fastest_kms)
        if jump is not None:
            return _with_ions(rng, ranges, jump)
    raise ValueError(f"plasma at {np.linalg.norm(upstream.V_kms):.0f} km/s is too slow for a bow shock")


def _normal(rng: np.random.Generator, cone_deg: float) -> FloatArray:
    cone, clock = math.radians(cone_deg), rng.uniform(0.0, 2.0 * math.pi)
    return np.array([math.cos(cone), math.sin(cone) * math.cos(clock), math.sin(cone) * math.sin(clock)])


def _jump(
    upstream: State,
    pressure_nPa: float,
    normal: FloatArray,
    speed_kms: float,
    least_mach: float,
    fastest_kms: float,
) -> ShockJump | None:
    """The jump at this normal, its downstream ions taking the whole pressure; None if there is none.

    Up to `fastest_kms` the shock moves out, where that gives it its least Mach number.
    """
    found = flow_against(upstream, pressure_nPa, normal, speed_kms)
    least_kms = least_mach * found.fast_kms
    if found.inflow_kms < least_kms:
        speed_kms += least_kms - found.inflow_kms
        if speed_kms > fastest_kms:
            return None
        found = flow_against(upstream, pressure_nPa, normal, speed_kms)
    try:
        downstream, downstream_nPa = behind_shock(upstream, pressure_nPa, normal, speed_kms)
    except ValueError:
        return None
    return ShockJump(
        normal,
        math.degrees(found.theta_bn_rad),
        found.inflow_kms / upstream.alfven_speed_kms,
        speed_kms,
        upstream,
        downstream,
        pressure_nPa,
        downstream_nPa,
    )


def _with_ions(rng: np.random.Generator, ranges: ShockRanges, jump: ShockJump) -> ShockJump:
    """Leaves electrons their share, and heats the ions more across the field the more perpendicular the shock."""
    behind = jump.downstream
    # An instrument that makes the beam too warm does not find it colder behind a weak shock.
    ions_eV = max(ranges.ion_share.draw(rng) * behind.T_eV, _WARMER * jump.upstream.T_eV)
    across = math.sin(math.radians(jump.theta_bn_deg)) ** 2
    ratio = 1.0 + (ranges.anisotropy.draw(rng) - 1.0) * across
    parallel_eV = 3.0 * ions_eV / (1.0 + 2.0 * ratio)
    return replace(
        jump, downstream=State(behind.B_nT, behind.N_cm3, behind.V_kms, parallel_eV, ratio * parallel_eV)
    )


@dataclass(frozen=True, slots=True)
class _Profile:
    """A crossing from upstream to downstream over n steps: share of downstream, ln of the factors on |B| and N (at
    once), on T∥ and T⊥, and the layer's steps."""

    share: FloatArray
    squeeze: FloatArray
    parallel: FloatArray
    perpendicular: FloatArray
    begin: float
    end: float

    def mirrored(self) -> _Profile:
        """From downstream to upstream."""
        last = self.share.size
        return _Profile(
            self.share[::-1],
            self.squeeze[::-1],
            self.parallel[::-1],
            self.perpendicular[::-1],
            last - self.end,
            last - self.begin,
        )

    def layer(self) -> tuple[int, int]:
        """Whole steps of the layer within the series."""
        begin = min(max(math.floor(self.begin), 0), self.share.size - 1)
        end = min(max(math.ceil(self.end), begin + 1), self.share.size)
        return begin, min(end, begin + LONGEST_LAYER)


def shock_crossing(
    rng: np.random.Generator,
    ranges: ShockRanges,
    jump: ShockJump,
    upstream: PlasmaSeries,
    downstream: PlasmaSeries,
    at: float,
    inbound: bool,
) -> tuple[PlasmaSeries, int, int]:
    """Plasma while the shock passes.

    Parameters
    ----------
    jump : ShockJump
        Sets the layer's length and strength.
    upstream, downstream : PlasmaSeries
        Of the same n steps: what would be there without the other.
    at : float
        Step of the ramp.
    inbound : bool
        From upstream to downstream; else back.

    Returns
    -------
    series : PlasmaSeries, n steps
    begin, end : int
        Steps of the layer, `end` behind the last: from the foot to the end of the first overshoot, or the ragged part
        of a quasi-parallel shock; 1 to `LONGEST_LAYER`.

    Raises
    ------
    ValueError
        If the series differ in length or are empty.
    """
    steps = upstream.steps
    if steps != downstream.steps or steps < 1:
        raise ValueError(f"both sides must have the same steps, got {steps} and {downstream.steps}")
    centre = at if inbound else steps - 1 - at
    per_step_km = peaked(rng, ranges.crossing_kms) * STEP_S
    make = _ragged if jump.quasi_parallel else _ordered
    along: FloatArray = np.arange(steps, dtype=np.float64) - centre
    profile = make(rng, ranges, jump, along, per_step_km, centre)
    if not inbound:
        profile = profile.mirrored()
    series = upstream.mixed(downstream, np.clip(profile.share, 0.0, 1.0))
    factor = np.exp(profile.squeeze)
    # The flux through the shock stays: where plasma is squeezed, it flows the slower against the shock.
    relative = jump.speed_kms - series.V_kms @ jump.normal
    slowed = (relative * (1.0 - 1.0 / factor))[:, None] * jump.normal
    crossed = PlasmaSeries(
        series.B_nT * factor[:, None],
        series.N_cm3 * factor,
        series.V_kms + slowed,
        series.Tpar_eV * np.exp(profile.parallel),
        series.Tperp_eV * np.exp(profile.perpendicular),
    )
    begin, end = profile.layer()
    return crossed, begin, end


def _rise(along: FloatArray, width: float) -> FloatArray:
    rise: FloatArray = 0.5 * (1.0 + np.tanh(2.0 * along / width))
    return rise


def _ordered(
    rng: np.random.Generator,
    ranges: ShockRanges,
    jump: ShockJump,
    along: FloatArray,
    per_step_km: float,
    centre: float,
) -> _Profile:
    """Foot, ramp, overshoot and what rings behind it."""
    sine2 = math.sin(math.radians(jump.theta_bn_deg)) ** 2
    inflow_kms, ahead, behind = jump.inflow_kms, jump.upstream, jump.downstream
    ahead_km = inflow_kms / (_GYRO_RAD_S * float(np.linalg.norm(ahead.B_nT)))
    behind_km = inflow_kms / jump.compression / (_GYRO_RAD_S * float(np.linalg.norm(behind.B_nT)))
    foot = min(max(ranges.foot_gyroradii.draw(rng) * sine2 * ahead_km / per_step_km, 0.3), _LONGEST_FOOT)
    inertial_km = _INERTIAL_KM / math.sqrt(ahead.N_cm3)
    ramp = min(max(peaked(rng, ranges.ramp_inertial) * inertial_km / per_step_km, 0.6), _LONGEST_RAMP)
    # One length is resolved by two steps at least: below that a spacecraft at this cadence sees their average.
    ring = min(2.0 * math.pi * ranges.ring_gyroradii.draw(rng) * behind_km / per_step_km, _LONGEST_RING)
    rise = _rise(along, ramp)
    wedge = np.clip(1.0 + along / foot, 0.0, 1.0) * (along < 0.0)
    most = math.exp(ranges.foot_log.draw(rng)) - 1.0
    share = np.maximum(rise, min(most / max(jump.compression - 1.0, 0.1), 0.6) * wedge)
    mach2 = jump.mach_alfven**2
    height = ranges.overshoot_log.draw(rng) * mach2 / (mach2 + ranges.overshoot_mach.draw(rng) ** 2)
    squeeze: FloatArray = height * _ringing(along, ring, ranges.ring_decay.draw(rng)) * rise
    heat: FloatArray = ranges.foot_heat_log.draw(rng) * wedge * (1.0 - rise)
    return _Profile(
        share,
        squeeze,
        rng.uniform(0.3, 1.0) * heat,
        heat + 0.6 * np.maximum(squeeze, 0.0),
        centre - foot,
        centre + 0.5 * (ramp + ring) + 1.0,
    )


def _ringing(along: FloatArray, wavelength: float, decay: float) -> FloatArray:
    """Overshoot of height 1 a quarter of a wavelength behind the ramp, undershoot, and so on, ever less."""
    behind = np.maximum(along, 0.0) / max(wavelength, 2.0)
    ringing: FloatArray = np.exp(-behind / decay) * np.cos(2.0 * math.pi * (behind - 0.25)) * (along >= 0.0)
    return ringing


def _ragged(
    rng: np.random.Generator,
    ranges: ShockRanges,
    jump: ShockJump,
    along: FloatArray,
    per_step_km: float,
    centre: float,
) -> _Profile:
    """Patches of both plasmas, and pulses that grow, steepen and become the shock in turn."""
    del jump, per_step_km
    length = ranges.ragged_s.draw(rng) / STEP_S
    near = np.exp(-((along / length) ** 2))
    wobble = coloured(rng, along.size, -1.5, outer_s=2.0 * length * STEP_S)
    share = _rise(along + 0.35 * length * wobble * near, length)
    pulse, _ = waves(rng, along.size, peaked(rng, ranges.reforming_s), bandwidth=0.4, packet_s=60.0)
    squeeze = np.clip(ranges.ragged_log.draw(rng) * pulse * near, -1.2, 1.2)
    unrest = 0.3 * near * coloured(rng, along.size, -1.0, outer_s=60.0)
    within = np.flatnonzero((share > 0.1) & (share < 0.9) & (np.abs(along) <= 0.5 * LONGEST_LAYER - 1.0))
    begin, end = (float(within[0]), float(within[-1] + 1)) if within.size else (centre, centre + 1.0)
    return _Profile(share, squeeze, unrest, unrest + 0.2 * squeeze, begin, end)
