"""The magnetopause: its current layer, in which the field turns and plasmas meet, and the boundary layer inside it.

References
----------
.. [1] Berchem, J., and C. T. Russell (1982), The thickness of the magnetopause current layer: ISEE 1 and 2
   observations, J. Geophys. Res., 87, 2108–2114, doi:10.1029/JA087iA04p02108.
.. [2] Haaland, S., et al. (2020), Characteristics of the flank magnetopause: MMS results, J. Geophys. Res. Space
   Physics, 125, e2019JA027623, doi:10.1029/2019JA027623.
.. [3] Sonnerup, B. U. Ö., et al. (1981), Evidence for magnetic field reconnection at the Earth's magnetopause,
   J. Geophys. Res., 86, 10049–10067, doi:10.1029/JA086iA12p10049.
.. [4] Hasegawa, H., et al. (2004), Transport of solar wind into Earth's magnetosphere through rolled-up
   Kelvin–Helmholtz vortices, Nature, 430, 755–758, doi:10.1038/nature02799.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.science.synthetic.craft.fluctuations import direction, turn_about, waves
from monitor.science.synthetic.craft.inner import (
    field_of_pressure_nT,
    floored,
    magnetic_pressure_nPa,
    noise_vectors,
    plasma_pressure_nPa,
    total_eV,
    total_pressure_nPa,
    window_noise,
)
from monitor.science.synthetic.craft.normals import (
    angle_about,
    common_normal,
    normal_direction,
    tangential,
    with_normal,
)
from monitor.science.synthetic.craft.series import STEP_S, PlasmaSeries, State, alfven_speed_kms
from monitor.science.synthetic.ranges import Range
from monitor.types import FloatArray


@dataclass(frozen=True, slots=True)
class MagnetopauseRanges:
    """What the magnetopause and its boundary layer are drawn from. "Chosen" means that no source is claimed.

    Attributes
    ----------
    thickness_km, normal_kms : Range
        Of the current layer, and the speed at which it passes: 150 to 5000 km and tens of km/s [1]_ [2]_, so that it
        takes from under a step to `longest_steps`, at which it is cut.
    longest_steps : float
    rotation_share : Range
        0: the field passes straight from one side's to the other's, and is weak between; 1: it turns and keeps its
        magnitude. Chosen to hold both.
    plasma_shift, plasma_width : Range
        By how much of the layer's width the plasma's step comes later (further in) than the field's, and its width over
        the field's. Chosen.
    ragged_probability, ragged : float, Range
        Layers that are met in part and again, by so much of their width. Chosen.
    jet_probability, jet_share : float, Range
        Flows of reconnection, as a share of what the tangential stress balance has [3]_.
    layer_waves, layer_heating : Range
        Relative fluctuations of the field and the rise of T within the layer. Chosen.
    boundary_steps : Range
        Length of the boundary layer behind it, in steps: 20 s to ten minutes. Chosen.
    transition : Range
        What share of the way from the magnetosphere to the sheath the boundary layer's ln N lies at.
    wander, plateau_steps, wave_probability, wave_period_s, wave_amplitude
        How that share varies: its noise, plateaus with steps between, and surface waves.
    rolled_probability : float
        Vortices rolled up by the Kelvin–Helmholtz instability [4]_, where share and flow swing from side to side.
    momentum : Range
        Flow of the sheath's share in the boundary layer over the sheath's own. Chosen.
    streaming : Range
        Factor on T∥ from streams along the field. Chosen.
    boundary_waves, boundary_kms : Range
        Fluctuations of field (relative) and flow within the boundary layer. Chosen.
    """

    thickness_km: Range = Range(150.0, 5000.0, log=True)
    normal_kms: Range = Range(10.0, 150.0, log=True)
    longest_steps: float = 28.0
    rotation_share: Range = Range(0.0, 1.0)
    plasma_shift: Range = Range(-0.3, 0.35)
    plasma_width: Range = Range(0.4, 1.3, log=True)
    ragged_probability: float = 0.4
    ragged: Range = Range(0.1, 0.5)
    jet_probability: float = 0.4
    jet_share: Range = Range(0.3, 1.0)
    layer_waves: Range = Range(0.02, 0.3, log=True)
    layer_heating: Range = Range(1.05, 1.5)
    boundary_steps: Range = Range(5.0, 140.0, log=True)
    transition: Range = Range(0.1, 0.8)
    wander: Range = Range(0.02, 0.12, log=True)
    plateau_steps: Range = Range(8.0, 80.0, log=True)
    wave_probability: float = 0.35
    wave_period_s: Range = Range(60.0, 400.0, log=True)
    wave_amplitude: Range = Range(0.05, 0.25)
    rolled_probability: float = 0.15
    momentum: Range = Range(0.2, 1.0)
    streaming: Range = Range(0.75, 1.9, log=True)
    boundary_waves: Range = Range(0.01, 0.12, log=True)
    boundary_kms: Range = Range(5.0, 50.0, log=True)


_IMBALANCE: Final = Range(0.77, 1.3, log=True)
_SPHERE_FIELD_nT: Final = Range(12.0, 150.0)
_NORMAL_SHARE: Final = Range(-0.2, 0.2)
_LOW_SHEAR_DEG: Final = Range(20.0, 75.0)
_FLOW_THROUGH_KMS: Final = 20.0
_PLASMA_SHARE: Final = 0.8
_INSIDE: Final = (0.05, 0.95)


def balanced(rng: np.random.Generator, sheath: State, sphere: State) -> tuple[State, State]:
    """The two sides of one magnetopause: tangential fields and flow but for a small common normal field, total
    pressures alike within about 30 %.

    The magnetosphere is made to fit the sheath; the sheath only where no magnetosphere of 12 to 150 nT would, and
    where the two fields lie so close that there is no current layer between them.
    """
    normal = normal_direction(sheath.B_nT, sphere.B_nT, sheath.V_kms)
    normal = normal + 0.15 * direction(rng)
    normal /= np.linalg.norm(normal)
    outside = tangential(sheath.B_nT, normal)
    inside = tangential(sphere.B_nT, normal)
    shear = angle_about(normal, inside, outside)
    if abs(shear) < math.radians(_LOW_SHEAR_DEG.low):
        wanted = math.copysign(math.radians(_LOW_SHEAR_DEG.draw(rng)), shear)
        outside = turn_about(normal, wanted - shear) @ outside
    imbalance = _IMBALANCE.draw(rng)
    sheath = replace(
        sheath,
        B_nT=outside,
        V_kms=tangential(sheath.V_kms, normal, keep=True) + rng.normal(0.0, _FLOW_THROUGH_KMS) * normal,
    )
    weakest, strongest = (
        float(magnetic_pressure_nPa(edge)) for edge in (_SPHERE_FIELD_nT.low, _SPHERE_FIELD_nT.high)
    )
    thermal = float(plasma_pressure_nPa(sphere.N_cm3, sphere.T_eV))
    pressure = total_pressure_nPa(sheath) * imbalance
    fitted = min(max(pressure, 1.2 * weakest), strongest + thermal)
    sheath = replace(
        sheath, B_nT=sheath.B_nT * math.sqrt(fitted / pressure), N_cm3=sheath.N_cm3 * fitted / pressure
    )
    most = min(fitted - weakest, _PLASMA_SHARE * fitted) * rng.uniform(0.3, 1.0)
    scale = min(thermal, most) / thermal
    parted = scale ** rng.uniform(0.3, 0.9)
    magnitude = float(field_of_pressure_nT(fitted - scale * thermal))
    common = _NORMAL_SHARE.draw(rng) * min(magnitude, float(np.linalg.norm(sheath.B_nT)))
    return (
        replace(sheath, B_nT=with_normal(sheath.B_nT, normal, common)),
        replace(
            sphere,
            B_nT=with_normal(magnitude * inside / np.linalg.norm(inside), normal, common),
            N_cm3=sphere.N_cm3 * parted,
            Tpar_eV=sphere.Tpar_eV * scale / parted,
            Tperp_eV=sphere.Tperp_eV * scale / parted,
        ),
    )


def boundary_layer(
    rng: np.random.Generator,
    ranges: MagnetopauseRanges,
    sheath: PlasmaSeries,
    sphere: PlasmaSeries,
    steps: int,
) -> PlasmaSeries:
    """Both plasmas mixed in plateaus, steps and waves; the first `steps` of the two series are used.

    Raises
    ------
    ValueError
        Where one of the series is shorter.
    """
    if min(sheath.steps, sphere.steps) < steps:
        raise ValueError(
            f"a boundary layer of {steps} steps needs as many of both sides, "
            f"got {sheath.steps} and {sphere.steps}"
        )
    sheath, sphere = sheath.part(0, steps), sphere.part(0, steps)
    transition, swing = _transition(rng, ranges, steps)
    share = _share_of_density(transition, sheath.N_cm3, sphere.N_cm3)
    slowed = replace(sheath, V_kms=sheath.V_kms * ranges.momentum.draw(rng))
    mixture = sphere.mixed(slowed, share)
    thermal = plasma_pressure_nPa(mixture.N_cm3, total_eV(mixture))
    own = plasma_pressure_nPa(sphere.N_cm3, total_eV(sphere))
    magnitude = np.linalg.norm(sphere.B_nT, axis=1)
    # More plasma, less field: as far as the pressure inside goes, and never down to nothing.
    left = np.maximum(
        magnetic_pressure_nPa(magnitude) + own - thermal, magnetic_pressure_nPa(0.35 * magnitude)
    )
    field = sphere.B_nT * (field_of_pressure_nT(left) / magnitude)[:, None]
    rough = ranges.boundary_waves.draw(rng) * magnitude[:, None]
    field = field + rough * noise_vectors(rng, steps, -1.9)
    flow_axis = np.mean(sheath.V_kms, axis=0)
    flow_axis = flow_axis / max(float(np.linalg.norm(flow_axis)), 1.0)
    # A wave on the surface bends the field along the flow and swings the flow across it.
    field = field + 0.8 * magnitude[:, None] * np.outer(swing[0], flow_axis)
    side = np.cross(np.mean(sphere.B_nT, axis=0), flow_axis)
    side /= max(float(np.linalg.norm(side)), 1e-9)
    flow = mixture.V_kms + ranges.boundary_kms.draw(rng) * noise_vectors(rng, steps, -1.5)
    flow = flow + 400.0 * np.outer(swing[1], side)
    stream = ranges.streaming.draw(rng) * np.exp(0.1 * window_noise(rng, steps, -1.2, 300.0))
    warm = np.exp(0.05 * window_noise(rng, steps, -1.0, 300.0))
    return floored(
        PlasmaSeries(field, mixture.N_cm3, flow, mixture.Tpar_eV * stream * warm, mixture.Tperp_eV * warm)
    )


def magnetopause_crossing(
    rng: np.random.Generator,
    ranges: MagnetopauseRanges,
    sheath: PlasmaSeries,
    sphere: PlasmaSeries,
    at: float,
    inbound: bool,
    boundary_layer: bool,
) -> tuple[PlasmaSeries, int, int, int, int]:
    """From one side to the other through the current layer at step `at`.

    Both series have the crossing's length; of states that `balanced` has made, the normal field is kept throughout.

    Returns
    -------
    series : PlasmaSeries
    layer_begin, layer_end, boundary_begin, boundary_end : int
        Steps of the current layer (at least one) and of the boundary layer: from the first to before the last; equal
        where there is none.

    Raises
    ------
    ValueError
        Where the series differ in length, or `at` lies outside of them.
    """
    steps = sheath.steps
    if sphere.steps != steps or not 0.0 <= at < steps:
        raise ValueError(
            f"expected two series of one length and a step within, got {steps} and {sphere.steps} steps and {at}"
        )
    after = np.arange(steps, dtype=np.float64) - at
    depth = after if inbound else -after
    duration = ranges.thickness_km.draw(rng) / ranges.normal_kms.draw(rng) / STEP_S
    duration = min(max(duration, 0.7), ranges.longest_steps)
    turned = _rise(_ragged(rng, ranges, depth, duration), 0.0, duration)
    begin, end = _layer(turned, at)
    inner, boundary = sphere, (end, end)
    if boundary_layer:
        inner, boundary = _lined(rng, ranges, sheath, sphere, at, inbound, (begin, end))
    shift, width = ranges.plasma_shift.draw(rng) * duration, ranges.plasma_width.draw(rng) * duration
    plasma = sheath.mixed(inner, _rise(depth, shift, width))
    field, tangent_nT = _turned_field(rng, ranges, sheath, inner, sphere, turned)
    within = 4.0 * turned * (1.0 - turned)
    heating = 1.0 + (ranges.layer_heating.draw(rng) - 1.0) * within
    flow = plasma.V_kms
    if rng.random() < ranges.jet_probability:
        flow = flow + _jet(rng, ranges, sheath, field, tangent_nT, depth, duration)
    crossing = PlasmaSeries(field, plasma.N_cm3, flow, plasma.Tpar_eV * heating, plasma.Tperp_eV * heating)
    return floored(crossing), begin, end, *boundary


def _lined(
    rng: np.random.Generator,
    ranges: MagnetopauseRanges,
    sheath: PlasmaSeries,
    sphere: PlasmaSeries,
    at: float,
    inbound: bool,
    layer: tuple[int, int],
) -> tuple[PlasmaSeries, tuple[int, int]]:
    """The magnetospheric side with a boundary layer behind the current layer, and the steps that this one takes."""
    steps = sphere.steps
    extent = max(2, round(ranges.boundary_steps.draw(rng)))
    begin, end = layer
    boundary = (end, min(steps, end + extent)) if inbound else (max(0, begin - extent), begin)
    past = np.arange(steps, dtype=np.float64) - (boundary[1] if inbound else boundary[0]) + 0.5
    soft = min(max(1.0, 0.1 * extent), 6.0)
    mixture = boundary_layer(rng, ranges, sheath, sphere, steps)
    return mixture.mixed(sphere, _rise(past if inbound else -past, 0.0, soft)), boundary


def _turned_field(
    rng: np.random.Generator,
    ranges: MagnetopauseRanges,
    sheath: PlasmaSeries,
    inner: PlasmaSeries,
    sphere: PlasmaSeries,
    turned: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """The field (n, 3) through the layer, and the tangential change (3,) across it.

    Between the two means it turns about the normal, or passes straight, or both in part; each side's fluctuations
    fade into the other's.
    """
    outside, inside = sheath.B_nT.mean(axis=0), sphere.B_nT.mean(axis=0)
    normal = common_normal(outside, inside, sheath.V_kms.mean(axis=0))
    first, last = tangential(outside, normal, keep=True), tangential(inside, normal, keep=True)
    angles = angle_about(normal, first, last) * turned
    start = first / max(float(np.linalg.norm(first)), 1e-9)
    quarter = np.cross(normal, start)
    magnitude = (1.0 - turned) * np.linalg.norm(first) + turned * np.linalg.norm(last)
    rotated = magnitude[:, None] * (np.outer(np.cos(angles), start) + np.outer(np.sin(angles), quarter))
    straight = np.outer(1.0 - turned, first) + np.outer(turned, last)
    share = min(ranges.rotation_share.draw(rng), 1.0)
    through = np.outer((1.0 - turned) * float(outside @ normal) + turned * float(inside @ normal), normal)
    mean = share * rotated + (1.0 - share) * straight + through
    apart = (1.0 - turned)[:, None] * (sheath.B_nT - outside) + turned[:, None] * (inner.B_nT - inside)
    rough = ranges.layer_waves.draw(rng) * magnitude * 4.0 * turned * (1.0 - turned)
    noise = rough[:, None] * noise_vectors(rng, turned.size, -1.7)
    # Along the normal it hardly varies: the field has no divergence.
    noise -= 0.7 * np.outer(noise @ normal, normal)
    return mean + apart + noise, last - first


def _jet(
    rng: np.random.Generator,
    ranges: MagnetopauseRanges,
    sheath: PlasmaSeries,
    field: FloatArray,
    tangent_nT: FloatArray,
    depth: FloatArray,
    duration: float,
) -> FloatArray:
    """The flow (n, 3) that the field's tension adds along L: a share of ΔB / √(μ₀ ρ), of either sense, until the
    field lines that reconnected are left behind."""
    along = tangent_nT / max(float(np.linalg.norm(tangent_nT)), 1e-9)
    change = (field - sheath.B_nT.mean(axis=0)) @ along
    smooth = np.clip(change, 0.0, float(np.linalg.norm(tangent_nT)))
    speed = alfven_speed_kms(1.0, float(np.mean(sheath.N_cm3))) * smooth
    inner = duration * rng.uniform(0.5, 2.0)
    reach = _rise(depth, -0.8 * duration, 0.5 * duration) * (1.0 - _rise(depth, inner, 0.7 * duration))
    sense = rng.choice((-1.0, 1.0)) * ranges.jet_share.draw(rng)
    flow: FloatArray = np.outer(sense * speed * reach, along)
    return flow


def _transition(
    rng: np.random.Generator, ranges: MagnetopauseRanges, steps: int
) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
    """How far towards the sheath each step is (n,), and a surface wave's swing with its quarter-period partner."""
    count = 1 + int(rng.poisson(steps / ranges.plateau_steps.draw(rng)))
    levels = np.array([ranges.transition.draw(rng) for _ in range(count)])
    edges = np.sort(rng.uniform(0.0, steps, count - 1))
    # Plateaus of one layer lie about its own level, not anywhere.
    levels = levels[0] + 0.5 * (levels - levels[0])
    transition = levels[np.searchsorted(edges, np.arange(steps))]
    transition = transition + ranges.wander.draw(rng) * window_noise(rng, steps, -1.7, 400.0)
    rolled = rng.random() < ranges.rolled_probability
    still = np.zeros(steps)
    swing = (still, still)
    if rolled or rng.random() < ranges.wave_probability:
        period_s = ranges.wave_period_s.draw(rng)
        wave, quarter = waves(rng, steps, period_s, packet_s=4.0 * period_s)
        amplitude = (2.0 if rolled else 1.0) * ranges.wave_amplitude.draw(rng)
        shape = np.tanh(2.5 * wave) if rolled else wave
        transition = transition + amplitude * shape
        swing = (0.4 * amplitude * quarter, 0.4 * amplitude * wave)
    edge = (0.02, 0.97) if rolled else (0.06, 0.93)
    return np.clip(transition, *edge), swing


def _share_of_density(transition: FloatArray, sheath_cm3: FloatArray, sphere_cm3: FloatArray) -> FloatArray:
    """The sheath's share by volume that puts ln N where `transition` says; that itself where densities are alike."""
    ratio = sheath_cm3 / sphere_cm3
    alike = np.abs(np.log(ratio)) < 0.2
    safe = np.where(alike, 2.0, ratio)
    share: FloatArray = np.where(alike, transition, (safe**transition - 1.0) / (safe - 1.0))
    return share


def _ragged(
    rng: np.random.Generator, ranges: MagnetopauseRanges, depth: FloatArray, duration: float
) -> FloatArray:
    """Depths as the layer's motion to and fro makes them: unlike the even ones only near the layer."""
    if rng.random() >= ranges.ragged_probability:
        return depth
    noise = window_noise(rng, depth.size, -1.5, max(40.0, 2.0 * duration * STEP_S))
    near = np.exp(-((depth / (0.7 * duration)) ** 2))
    ragged: FloatArray = depth + ranges.ragged.draw(rng) * duration * np.clip(noise, -1.5, 1.5) * near
    return ragged


def _rise(depth: FloatArray, centre: float, duration: float) -> FloatArray:
    """From 0 to 1 about `centre`, of which 5 to 95 % take `duration` steps."""
    rise: FloatArray = 0.5 * (1.0 + np.tanh(2.944 * (depth - centre) / duration))
    return rise


def _layer(turned: FloatArray, at: float) -> tuple[int, int]:
    """First and one past the last step in which the field has begun to turn and has not ended."""
    inside = np.flatnonzero((turned > _INSIDE[0]) & (turned < _INSIDE[1]))
    if inside.size == 0:
        return int(at), int(at) + 1
    return int(inside[0]), int(inside[-1]) + 1
