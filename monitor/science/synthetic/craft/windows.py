"""Labelled windows cut from simulated runs, drawn anew as often as wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from monitor.science.region import MAJORITY, standing_alone, window_part, wrap_pad
from monitor.science.synthetic.craft.courses import Course, CourseRanges, draw_course
from monitor.science.synthetic.craft.instrument import InstrumentRanges, measured, missing_mask
from monitor.science.synthetic.craft.widening import widened
from monitor.science.synthetic.ranges import Range
from monitor.types import (
    CONTEXT_CELLS,
    REGIONS,
    SUPPORT_CELLS,
    WINDOW_CELLS,
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    Region,
    RegionExamples,
)

CLASS_SHARE: Final[dict[Region, float]] = {
    region: count / 34_159
    for region, count in zip(
        REGIONS, (2130, 4714, 2328, 4274, 3764, 4544, 4658, 3576, 2703, 1468), strict=True
    )
}
"""Breuillard et al. (2020), table 2."""

_STARTS: Final = tuple(region for region in REGIONS if region not in (Region.BOW_SHOCK, Region.MAGNETOPAUSE))
_SHORTEST_BLOCK: Final = 12


@dataclass(frozen=True, slots=True)
class CraftRanges:
    """Everything that a set of simulated runs is drawn from.

    Attributes
    ----------
    stream : int
        Seeds the set: sets with different streams share no run.
    run_steps : Range
        Length of a run, in steps of 4.5 s.
    single_probability : float
        A run that stays in one region.
    short_probability : float
        A block shorter than a window, wrapped as Breuillard et al. (2020, section 2.3) do.
    masked : bool
        Whether variables are missing.
    """

    course: CourseRanges = field(default_factory=CourseRanges)
    instrument: InstrumentRanges = field(default_factory=InstrumentRanges)
    stream: int = 1
    run_steps: Range = Range(160.0, 640.0)
    single_probability: float = 0.25
    short_probability: float = 0.03
    masked: bool = True


TRAINING: Final = CraftRanges()
VALIDATION: Final = replace(TRAINING, stream=2)
_WIDER: Final = 0.1
TEST: Final = replace(
    TRAINING,
    stream=3,
    course=replace(
        TRAINING.course,
        **{
            name: widened(getattr(TRAINING.course, name), _WIDER)
            for name in ("upstream", "shock", "sheath", "magnetopause", "magnetosphere", "tail")
        },
    ),
    instrument=widened(TRAINING.instrument, _WIDER),
)
"""Every range of physics and instruments a tenth longer, half of that at either end."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Simulated runs, one after the other.

    Attributes
    ----------
    values : ndarray, shape (t, 12), float32
    first : ndarray, shape (r,), int64
        Where each run begins.
    start : ndarray, shape (w,), int64
        Where a window may begin, its context being there.
    label, mixed, run : ndarray, shape (w,)
        Of the window that begins there.
    """

    values: Float32Array
    first: IntArray
    start: IntArray
    label: IntArray
    mixed: BoolArray
    run: IntArray


def simulate_runs(
    ranges: CraftRanges, count: int, first: int = 0, told: Callable[[Iterator[int]], Iterator[int]] = iter
) -> Runs:
    """Simulate runs number `first` to `first` + `count`; each depends on its number alone.

    `told` wraps the numbers, so that whoever calls can show how far it is.
    """
    values, firsts, starts, labels, mixed, runs = [], [], [], [], [], []
    begin = 0
    for number in told(iter(range(first, first + count))):
        course, seen = simulate_run(ranges, number)
        label, blurred = window_labels(course)
        firsts.append(begin)
        values.append(seen.astype(np.float32))
        lead, trail = CONTEXT_CELLS
        at = np.arange(lead, label.size - trail)
        starts.append(begin + at)
        labels.append(label[at])
        mixed.append(blurred[at])
        runs.append(np.full(at.size, number, dtype=np.int64))
        begin += seen.shape[0]
    return Runs(
        np.concatenate(values),
        np.array(firsts, dtype=np.int64),
        np.concatenate(starts),
        np.concatenate(labels),
        np.concatenate(mixed),
        np.concatenate(runs),
    )


def simulate_run(ranges: CraftRanges, number: int) -> tuple[Course, FloatArray]:
    """One run: what there is, and what is measured of it (n, 12)."""
    rng = np.random.default_rng([ranges.stream, number])
    steps = round(ranges.run_steps.draw(rng))
    start = _STARTS[number % len(_STARTS)]
    course_ranges = ranges.course
    if rng.random() < ranges.single_probability:
        course_ranges = replace(course_ranges, dwell_steps=Range(float(steps), float(steps)))
    course = draw_course(rng, course_ranges, steps, start)
    return course, measured(rng, ranges.instrument, course.series)


def window_labels(course: Course) -> tuple[IntArray, BoolArray]:
    """Label of the window that begins at each step (n - 39,), and whether it is mixed: `science.region.window_label`
    of all of them at once."""
    count = course.region.size - WINDOW_CELLS + 1
    one_hot = np.zeros((course.region.size + 1, len(REGIONS)), dtype=np.int64)
    one_hot[np.arange(1, course.region.size + 1), course.region] = 1
    total = one_hot.cumsum(axis=0)
    cells = total[WINDOW_CELLS:] - total[:-WINDOW_CELLS]
    label: IntArray = cells.argmax(axis=1)
    mixed: BoolArray = cells.max(axis=1) < MAJORITY * WINDOW_CELLS
    at = np.arange(count)
    touched, inside = np.zeros((2, len(REGIONS), count), dtype=bool)
    for layer in course.layers:
        touched[layer.label] |= (at < layer.end) & (at + WINDOW_CELLS > layer.begin)
        inside[layer.label] |= (at <= layer.begin) & (at + WINDOW_CELLS >= layer.end)
    whole = inside.any(axis=0) & (touched.sum(axis=0) == 1)
    label = np.where(whole, inside.argmax(axis=0), label)
    return label, np.where(whole, False, mixed | touched.any(axis=0))


class WindowSampler:
    """Draws windows from runs, classes in given shares.

    Parameters
    ----------
    runs : Runs
    ranges : CraftRanges
    share : mapping of Region to float
        By default `CLASS_SHARE`.
    """

    def __init__(self, runs: Runs, ranges: CraftRanges, share: dict[Region, float] | None = None) -> None:
        self._runs, self._ranges = runs, ranges
        shares = CLASS_SHARE if share is None else share
        self._share = np.array([shares.get(region, 0.0) for region in REGIONS])
        self._share = self._share / self._share.sum()
        self._of_class = [
            np.flatnonzero((runs.label == number) & ~runs.mixed) for number in range(len(REGIONS))
        ]
        empty = [REGIONS[n] for n in np.flatnonzero(self._share > 0) if not self._of_class[n].size]
        if empty:
            raise ValueError(f"no run has a window of {', '.join(empty)}: simulate more of them")
        self._mixed = np.flatnonzero(runs.mixed)

    def draw(self, rng: np.random.Generator, count: int, *, mixed: int = 0) -> RegionExamples:
        """`count` windows of the ten classes, and `mixed` ones besides."""
        label = rng.choice(len(REGIONS), size=count, p=self._share)
        chosen = np.array([rng.choice(self._of_class[one]) for one in label], dtype=np.int64)
        if mixed and self._mixed.size:
            chosen = np.concatenate([chosen, rng.choice(self._mixed, mixed)])
        runs = self._runs
        first = runs.start[chosen] - CONTEXT_CELLS[0]
        values = runs.values[first[:, None] + np.arange(SUPPORT_CELLS)]
        context = np.ones(chosen.size, dtype=bool)
        for row in np.flatnonzero(rng.random(chosen.size) < self._ranges.short_probability):
            if not runs.mixed[chosen[row]] and REGIONS[runs.label[chosen[row]]] in _STARTS:
                values[row], context[row] = _short_block(rng, values[row]), False
        if self._ranges.masked:
            gone = missing_mask(rng, chosen.size)
            values = np.where(gone[:, None, :], np.float32(np.nan), values)
        return RegionExamples(values, runs.label[chosen], runs.run[chosen], runs.mixed[chosen], context)


def _short_block(rng: np.random.Generator, values: Float32Array) -> Float32Array:
    """A block shorter than a window, wrapped to a whole one; what is around it is unknown."""
    window = window_part(values)
    size = int(rng.integers(_SHORTEST_BLOCK, WINDOW_CELLS))
    begin = int(rng.integers(0, WINDOW_CELLS - size + 1))
    alone: Float32Array = standing_alone(wrap_pad(window[begin : begin + size])[None])[0]
    return alone
