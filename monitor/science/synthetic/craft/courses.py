"""A spacecraft's way from region to region: plasma of every place, and the boundaries where it passes them.

A course is a walk over the map of neighbouring regions. What it visits again is the same plasma, somewhat changed:
one solar wind, the shock that it makes, the sheath behind it, one magnetosphere and one tail in balance with it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from monitor.science.region import Layer
from monitor.science.synthetic.craft.fluctuations import smooth_step, turn_about
from monitor.science.synthetic.craft.magnetopause import (
    MagnetopauseRanges,
    balanced,
    boundary_layer,
    magnetopause_crossing,
)
from monitor.science.synthetic.craft.magnetosphere import (
    MagnetosphereRanges,
    magnetosphere,
    magnetosphere_state,
)
from monitor.science.synthetic.craft.series import PlasmaSeries, State
from monitor.science.synthetic.craft.sheath import SheathRanges, magnetosheath, sheath_state
from monitor.science.synthetic.craft.shock import ShockJump, ShockRanges, shock_crossing, shock_jump
from monitor.science.synthetic.craft.tail import (
    TailRanges,
    lobe,
    lobe_state,
    plasma_sheet,
    plasma_sheet_boundary,
    tail_states,
)
from monitor.science.synthetic.craft.upstream import (
    UpstreamRanges,
    foreshock,
    solar_wind,
    solar_wind_state,
)
from monitor.science.synthetic.ranges import Range
from monitor.types import REGIONS, FloatArray, IntArray, Region

SW, FS, BS, MSH, MP, BL, MSP, PS, PSBL, LOBE = REGIONS
INDEX: Final = {region: number for number, region in enumerate(REGIONS)}

NEIGHBOURS: Final[dict[Region, dict[Region, float]]] = {
    SW: {FS: 0.45, MSH: 0.55},
    FS: {SW: 0.4, MSH: 0.6},
    MSH: {SW: 0.2, FS: 0.2, MSP: 0.25, BL: 0.25, LOBE: 0.1},
    BL: {MSH: 0.45, MSP: 0.45, PS: 0.1},
    MSP: {MSH: 0.25, BL: 0.35, PS: 0.15, PSBL: 0.1, LOBE: 0.15},
    PS: {PSBL: 0.6, MSP: 0.2, LOBE: 0.1, BL: 0.1},
    PSBL: {PS: 0.45, LOBE: 0.45, MSP: 0.1},
    LOBE: {PSBL: 0.55, PS: 0.1, MSP: 0.15, MSH: 0.2},
}
"""From which region one comes to which, and how often; between upstream and sheath lies the bow shock, between sheath
and what is inside the magnetopause. Chosen so that every boundary occurs, not as often as an orbit has it."""

_UPSTREAM: Final = frozenset({SW, FS})
_GSM_RAD: Final = 0.6
_FEWEST_STEPS: Final = 8
_LONGEST_SEAM: Final = 70


@dataclass(frozen=True, slots=True)
class CourseRanges:
    """What a course is drawn from.

    Attributes
    ----------
    dwell_steps : Range
        Steps of 4.5 s in one region; brief visits are as usual as long ones. Chosen.
    drift : Range
        Standard deviation of the logarithm by which a plasma differs when it is met again. Chosen.
    seam_steps : Range
        Steps over which regions without a boundary of their own go over into each other. Chosen.
    layer_probability : float
        A boundary layer right behind the magnetopause.
    turned_probability : float
        Any angle about the Sun's direction, as if the magnetosphere lay on its side: what counts must not be where
        north is. Else within 0.6 rad, as between GSE and GSM.
    tilt_rad : Range
        Small rotation of the frame about any axis: aberration, dipole tilt, DMPA for GSE.
    """

    upstream: UpstreamRanges = field(default_factory=UpstreamRanges)
    shock: ShockRanges = field(default_factory=ShockRanges)
    sheath: SheathRanges = field(default_factory=SheathRanges)
    magnetopause: MagnetopauseRanges = field(default_factory=MagnetopauseRanges)
    magnetosphere: MagnetosphereRanges = field(default_factory=MagnetosphereRanges)
    tail: TailRanges = field(default_factory=TailRanges)
    dwell_steps: Range = Range(14.0, 260.0, log=True)
    drift: Range = Range(0.0, 0.12)
    seam_steps: Range = Range(2.0, 50.0, log=True)
    layer_probability: float = 0.4
    turned_probability: float = 0.4
    tilt_rad: Range = Range(0.0, 0.15)


@dataclass(frozen=True, slots=True)
class Course:
    """What a spacecraft meets.

    Attributes
    ----------
    series : PlasmaSeries
        n steps.
    region : ndarray, shape (n,), int64
        Index in `REGIONS` of the place at every step; in a boundary, that of the boundary.
    layers : tuple of Layer
        The bow shocks and magnetopauses.
    """

    series: PlasmaSeries
    region: IntArray
    layers: tuple[Layer, ...]


def draw_course(rng: np.random.Generator, ranges: CourseRanges, steps: int, start: Region) -> Course:
    """A walk of `steps` steps from a region; the last stay is cut."""
    stays: list[tuple[Region, int]] = []
    here, left = start, steps
    while left > 0:
        stay = round(ranges.dwell_steps.draw(rng))
        if here is BL:
            stay = min(stay, 90)
        stay = left if left - stay < _FEWEST_STEPS else stay
        stays.append((here, stay))
        left -= stay
        names = tuple(NEIGHBOURS[here])
        here = names[int(rng.choice(len(names), p=tuple(NEIGHBOURS[here].values())))]
    return course_along(rng, ranges, stays)


def course_along(rng: np.random.Generator, ranges: CourseRanges, stays: list[tuple[Region, int]]) -> Course:
    """The course through given regions, each with its steps; neighbours must be so in `NEIGHBOURS`.

    Raises
    ------
    ValueError
        For regions that do not lie side by side; it names them.
    """
    for (one, _), (other, _) in itertools.pairwise(stays):
        if other not in NEIGHBOURS.get(one, {}):
            raise ValueError(f"{one} and {other} are no neighbours: a boundary lies between them")
    return _Walk(rng, ranges, stays).course()


class _Walk:
    """Draws the world of one course, and strings its regions together."""

    def __init__(
        self, rng: np.random.Generator, ranges: CourseRanges, stays: list[tuple[Region, int]]
    ) -> None:
        self._rng, self._ranges, self._stays = rng, ranges, stays
        self._drift = ranges.drift.draw(rng)
        visited = {region for region, _ in stays}
        wind = solar_wind_state(rng, ranges.upstream)
        self._wind = wind
        # The shock that shapes the sheath; each crossing has one of its own, of this wind.
        self._jump = self._shock(quasi_parallel=FS in visited and SW not in visited)
        sheath = sheath_state(rng, ranges.sheath, self._jump)
        sphere = magnetosphere_state(rng, ranges.magnetosphere)
        self._lobe, self._rim, self._sheet = tail_states(rng, ranges.tail)
        if not visited & {PS, PSBL}:
            # Without a sheet to balance, it may be the lobe over the pole, close to the Earth.
            self._lobe = lobe_state(rng, ranges.tail)
        if visited & {BL, MSP}:
            sheath, sphere = balanced(rng, sheath, sphere)
        elif LOBE in visited:
            sheath, self._lobe = balanced(rng, sheath, self._lobe)
        self._sheath, self._sphere = sheath, sphere

    def course(self) -> Course:
        seams = [
            min(self._stays[at][1] // 2, self._stays[at + 1][1] // 2, _LONGEST_SEAM)
            for at in range(len(self._stays) - 1)
        ]
        before, after = [0, *seams], [*seams, 0]
        jumps = [self._seam_jump(at) for at in range(len(seams))]
        plasmas = [
            self._plasma(at, before[at] + stay + after[at], jumps) for at, (_, stay) in enumerate(self._stays)
        ]
        parts: list[PlasmaSeries] = []
        regions: list[IntArray] = []
        layers: list[Layer] = []
        begin = 0
        for at, (region, stay) in enumerate(self._stays):
            head, tail = before[at], after[at]
            if at:
                joint, marks, found = self._join(at - 1, plasmas[at - 1], plasmas[at], head, jumps[at - 1])
                parts.append(joint)
                regions.append(marks)
                layers += [
                    replace(one, begin=one.begin + begin - head, end=one.end + begin - head) for one in found
                ]
            # Each plasma reaches over its seams: it begins `head` steps before its stay.
            parts.append(plasmas[at].part(2 * head, head + stay - tail))
            regions.append(np.full(stay - head - tail, INDEX[region], dtype=np.int64))
            begin += stay
        series = PlasmaSeries.joined(parts).turned(self._frame())
        return Course(series, np.concatenate(regions), tuple(layers))

    def _join(
        self, at: int, before: PlasmaSeries, after: PlasmaSeries, half: int, jump: ShockJump | None
    ) -> tuple[PlasmaSeries, IntArray, list[Layer]]:
        """The 2 × `half` steps about the end of stay `at`."""
        one, other = self._stays[at][0], self._stays[at + 1][0]
        size = 2 * half
        first, second = before.part(before.steps - size, before.steps), after.part(0, size)
        marks = np.where(np.arange(size) < half, INDEX[one], INDEX[other]).astype(np.int64)
        rng, ranges = self._rng, self._ranges
        if jump is not None:
            inbound = one in _UPSTREAM
            up, down = (first, second) if inbound else (second, first)
            series, begin, end = shock_crossing(rng, ranges.shock, jump, up, down, float(half), inbound)
            marks[begin:end] = INDEX[BS]
            return series, marks, [Layer(INDEX[BS], begin, end)]
        if MSH in (one, other):
            inbound = one is MSH
            sheath, inside = (first, second) if inbound else (second, first)
            layered = BL not in (one, other) and LOBE not in (one, other)
            series, begin, end, low, high = magnetopause_crossing(
                rng,
                ranges.magnetopause,
                sheath,
                inside,
                float(half),
                inbound,
                layered and rng.random() < ranges.layer_probability,
            )
            if inbound:
                marks[:begin], marks[end:] = INDEX[MSH], INDEX[other]
            else:
                marks[:begin], marks[end:] = INDEX[one], INDEX[MSH]
            marks[low:high] = INDEX[BL]
            marks[begin:end] = INDEX[MP]
            return series, marks, [Layer(INDEX[MP], begin, end)]
        width = min(ranges.seam_steps.draw(rng), 0.8 * half)
        share = smooth_step(size, half - 0.5, width)
        return first.mixed(second, share), marks, []

    def _seam_jump(self, at: int) -> ShockJump | None:
        """The shock between two stays, where there is one."""
        pair = {self._stays[at][0], self._stays[at + 1][0]}
        if MSH not in pair or not pair & _UPSTREAM:
            return None
        return self._shock(quasi_parallel=FS in pair)

    def _shock(self, *, quasi_parallel: bool) -> ShockJump:
        """A shock of this wind; a foreshock lies before quasi-parallel ones, as far as the wind's field allows."""
        jumps = [self._jump_of(self._varied(self._wind)) for _ in range(6)]
        angles = np.array([min(one.theta_bn_deg, 180.0 - one.theta_bn_deg) for one in jumps])
        fits = angles < 50.0 if quasi_parallel else angles > 40.0
        if fits.any():
            return jumps[int(np.flatnonzero(fits)[0])]
        return jumps[int(angles.argmin() if quasi_parallel else angles.argmax())]

    def _jump_of(self, wind: State) -> ShockJump:
        """A shock of a wind; one that is too slow for its waves is taken with a weaker field and cooler."""
        try:
            return shock_jump(self._rng, self._ranges.shock, wind)
        except ValueError:
            cooler = replace(
                wind, B_nT=0.5 * wind.B_nT, Tpar_eV=0.5 * wind.Tpar_eV, Tperp_eV=0.5 * wind.Tperp_eV
            )
            return self._jump_of(cooler)

    def _plasma(self, at: int, steps: int, jumps: list[ShockJump | None]) -> PlasmaSeries:
        """The plasma of one stay, with what it needs for its seams."""
        rng, ranges = self._rng, self._ranges
        region = self._stays[at][0]
        ahead = jumps[at] if at < len(jumps) else None
        behind = jumps[at - 1] if at else None
        if region is MSH:
            return self._sheath_series(steps, behind, ahead)
        if region in _UPSTREAM:
            jump = ahead or behind
            state = self._varied(self._wind) if jump is None else jump.upstream
            make = solar_wind if region is SW else foreshock
            return make(rng, ranges.upstream, state, steps)
        if region is BL:
            sheath = magnetosheath(
                rng, ranges.sheath, self._varied(self._sheath), steps, self._parallel(self._jump)
            )
            sphere = magnetosphere(rng, ranges.magnetosphere, self._varied(self._sphere), steps)
            return boundary_layer(rng, ranges.magnetopause, sheath, sphere, steps)
        if region is MSP:
            return magnetosphere(rng, ranges.magnetosphere, self._varied(self._sphere), steps)
        if region is PS:
            return plasma_sheet(rng, ranges.tail, self._varied(self._sheet), steps)
        if region is PSBL:
            return plasma_sheet_boundary(rng, ranges.tail, self._varied(self._rim), steps)
        return lobe(rng, ranges.tail, self._varied(self._lobe), steps)

    def _sheath_series(self, steps: int, behind: ShockJump | None, ahead: ShockJump | None) -> PlasmaSeries:
        """Sheath: right behind a shock as the jump has it, elsewhere as deep as the course comes."""
        rng, ranges = self._rng, self._ranges
        deep = self._varied(self._sheath)
        ends = [deep if jump is None else jump.downstream for jump in (behind, ahead)]
        parallel = self._parallel(behind or ahead or self._jump)
        first = magnetosheath(rng, ranges.sheath, ends[0], steps, parallel)
        if behind is None and ahead is None:
            return first
        second = magnetosheath(rng, ranges.sheath, ends[1], steps, parallel)
        return first.mixed(second, smooth_step(steps, 0.5 * steps, rng.uniform(0.3, 1.0) * steps))

    @staticmethod
    def _parallel(jump: ShockJump) -> bool:
        return min(jump.theta_bn_deg, 180.0 - jump.theta_bn_deg) < 45.0

    def _varied(self, state: State) -> State:
        """The same plasma, met again."""
        rng, drift = self._rng, self._drift
        turn = turn_about(rng.standard_normal(3), drift * rng.standard_normal())
        factor = np.exp(drift * rng.standard_normal(5))
        return State(
            turn @ state.B_nT * factor[0],
            float(state.N_cm3 * factor[1]),
            state.V_kms * factor[2],
            float(state.Tpar_eV * factor[3]),
            float(state.Tperp_eV * factor[4]),
        )

    def _frame(self) -> FloatArray:
        """About the Sun's direction any angle, or one as between GSE and GSM; a small one about any other axis."""
        rng = self._rng
        reach = math.pi if rng.random() < self._ranges.turned_probability else _GSM_RAD
        about_sun = turn_about(np.array([1.0, 0.0, 0.0]), rng.uniform(-reach, reach))
        tilt = turn_about(rng.standard_normal(3), self._ranges.tilt_rad.draw(rng))
        frame: FloatArray = tilt @ about_sun
        return frame
