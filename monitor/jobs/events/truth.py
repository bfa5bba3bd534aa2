"""When the plasmapause really crosses the pairs of a chain, and from when on that is to be seen.

A pair is *crossed* when L_pp, having been `CLEAR_L` or more beyond it on one side, gets as far beyond it on the other;
the moment is that at which it last passed the pair's L in between. So small motions to and fro over a pair are none.

A crossing is *visible from* the end of the first window that lies at least half after it (its centre is not before the
crossing, and not after the pair is crossed back) in which pairs on either side of the plasmapause stand in daylight at
both ends and have a resonance by the labelling rule. "On either side" are the pair that was crossed, which must by then
stand on its new side with both stations, as it did on its old side before, and, across the plasmapause, the next pair of the chain: the nearest to it in L whose L lies on
the other side of L_pp at the centre of the window. Where there is no such pair, or no such window, the crossing is not
visible. Nor is one that is only to be seen in the last `LAST_NS` of what is simulated, for nobody could tell of it in time.

*By its L alone* a crossing is visible as soon as the L of the pair, not both of its stations, is past the plasmapause: the
wider reading, in which a pair that straddles the plasmapause counts as seen.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from monitor.science.synthetic.chain_truth import ChainTruth
from monitor.types import SECOND_NS, BoolArray, FloatArray, IntArray, Pair

CLEAR_L: Final = 0.1
NEAR_L: Final = 0.3
"""What the issue lets an L_pp be wrong by: an event may come so much too early, but no more than `NEAR_NS`."""
NEAR_NS: Final = 6 * 3600 * SECOND_NS
LAST_NS: Final = 3 * 3600 * SECOND_NS
_HALF_WINDOW_NS: Final = 3600 * SECOND_NS


class Direction(StrEnum):
    """Inward: the pair leaves the plasmasphere; outward: it comes into it."""

    INWARD = "inward"
    OUTWARD = "outward"


@dataclass(frozen=True, slots=True)
class Course:
    """L_pp over time: shape (n,) each; all NaN where there is no plasmapause."""

    time_ns: IntArray
    l_shell: FloatArray


@dataclass(frozen=True, slots=True)
class Crossing:
    """One true crossing of a pair.

    Attributes
    ----------
    pair : str
    direction : Direction
    time_ns : int
    near_ns : int
        From here on an event of this pair and direction is one of this crossing.
    until_ns : int
        When the pair is crossed back, or the course ends.
    visible_from_ns, visible_by_l_ns : int or None
        With both stations past the plasmapause, and by the pair's L alone.
    """

    pair: str
    direction: Direction
    time_ns: int
    near_ns: int
    until_ns: int
    visible_from_ns: int | None
    visible_by_l_ns: int | None = None


def crossings(course: Course, truth: ChainTruth, day: BoolArray) -> list[Crossing]:
    """All crossings of all pairs of a chain, pair by pair, each in the order of time.

    Parameters
    ----------
    course : Course
    truth : ChainTruth
        Of w windows and p pairs.
    day : ndarray of bool, shape (w, p)
        Both ends of the pair's line are sunlit at the centre of the window.

    Raises
    ------
    ValueError
        For a pair without L.
    """
    shells = np.array([_l_shell(pair) for pair in truth.pairs])
    seen = truth.resonance & day
    found = []
    for column, pair in enumerate(truth.pairs):
        passages = _passages(course, shells[column])
        times = [int(course.time_ns[0]), *(time_ns for time_ns, _ in passages), int(course.time_ns[-1])]
        for number, (time_ns, direction) in enumerate(passages):
            since_ns, until_ns = times[number], times[number + 2]
            by_stations, by_l = (
                _visible_from(truth, seen, shells, column, direction, (time_ns, until_ns), past)
                if _stood_aside(course, past, direction, (since_ns, time_ns))
                else None
                for past in (truth.station_l[column], shells[column : column + 1])
            )
            found.append(
                Crossing(
                    pair=pair.name,
                    direction=direction,
                    time_ns=time_ns,
                    near_ns=_near_ns(course, shells[column], time_ns),
                    until_ns=until_ns,
                    visible_from_ns=by_stations,
                    visible_by_l_ns=by_l,
                )
            )
    return found


def in_view(truth: ChainTruth, day: BoolArray) -> BoolArray:
    """Windows in which a sunlit pair on either side of the plasmapause has a resonance, shape (w,)."""
    inside = np.array([_l_shell(pair) for pair in truth.pairs]) < truth.plasmapause_l[:, None]
    seen = truth.resonance & day
    view: BoolArray = (
        np.isfinite(truth.plasmapause_l) & (seen & inside).any(axis=1) & (seen & ~inside).any(axis=1)
    )
    return view


def within_chain(truth: ChainTruth) -> BoolArray:
    """Windows in which L_pp lies between the innermost and the outermost pair, shape (w,)."""
    shells = [_l_shell(pair) for pair in truth.pairs]
    within: BoolArray = (truth.plasmapause_l > min(shells)) & (truth.plasmapause_l < max(shells))
    return within


def _l_shell(pair: Pair) -> float:
    if pair.l_shell is None:
        raise ValueError(f"{pair.name}: a pair without L cannot be crossed")
    return pair.l_shell


def _passages(course: Course, l_shell: float) -> list[tuple[int, Direction]]:
    """Times at which L_pp passes an L for good, and where to."""
    beyond = course.l_shell - l_shell
    clear = np.flatnonzero(np.abs(beyond) >= CLEAR_L)
    found = []
    for before, after in itertools.pairwise(clear.tolist()):
        if (beyond[before] > 0.0) == (beyond[after] > 0.0):
            continue
        side = beyond[before : after + 1] > 0.0
        last = before + int(np.flatnonzero(side[1:] != side[:-1])[-1])
        share = beyond[last] / (beyond[last] - beyond[last + 1])
        time_ns = int(course.time_ns[last]) + round(
            share * int(course.time_ns[last + 1] - course.time_ns[last])
        )
        found.append((time_ns, Direction.INWARD if beyond[after] < 0.0 else Direction.OUTWARD))
    return found


def _near_ns(course: Course, l_shell: float, time_ns: int) -> int:
    """Since when, without a break, L_pp has been near the L that it passes at a time."""
    before = course.time_ns <= time_ns
    far = np.flatnonzero(before & ~(np.abs(course.l_shell - l_shell) <= NEAR_L))
    since = int(course.time_ns[far[-1]]) if far.size else int(course.time_ns[0])
    return max(since, time_ns - NEAR_NS)


def _stood_aside(
    course: Course, past_l: FloatArray, direction: Direction, between_ns: tuple[int, int]
) -> bool:
    """Whether all of these L stood on the side that a crossing leaves, at some time between the last and this one."""
    before = course.l_shell[(course.time_ns >= between_ns[0]) & (course.time_ns <= between_ns[1])]
    aside = before > past_l.max() if direction is Direction.INWARD else before < past_l.min()
    return bool(aside.any())


def _visible_from(
    truth: ChainTruth,
    seen: BoolArray,
    shells: FloatArray,
    column: int,
    direction: Direction,
    between_ns: tuple[int, int],
    past_l: FloatArray,
) -> int | None:
    """End of the first window that shows a crossing, once all of `past_l` are past it; see the module."""
    inward = direction is Direction.INWARD
    last_ns = int(truth.end_ns[-1]) - LAST_NS
    for at, end in enumerate(truth.end_ns[truth.end_ns <= last_ns]):
        end_ns = int(end)
        centre_ns, boundary = end_ns - _HALF_WINDOW_NS, truth.plasmapause_l[at]
        if not between_ns[0] <= centre_ns <= between_ns[1] or not seen[at, column]:
            continue
        if not (boundary < past_l.min() if inward else boundary > past_l.max()):
            continue
        other = np.flatnonzero(shells < boundary if inward else shells > boundary)
        if other.size and seen[at, other[np.argmin(np.abs(shells[other] - shells[column]))]]:
            return end_ns
    return None
