"""Samples of spacecraft as files have them, brought to the grid of 4.5 s that regions are found on.

Samples stand at the middle of the time they were taken in, and last for the file's usual step. They come to the grid by
the rule of `monitor.science.craft_grid`, as live ones do. Of data that are faster than a live feed may be, a cell that
they cover less than a half of is a gap. Nothing else is filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import numpy as np

from monitor.decoders.base import EARLIEST_NS
from monitor.errors import ArchiveError
from monitor.io.files.series import LONGEST_FILL, SourceSeries
from monitor.science.craft_grid import LONGEST_STEP_NS, cell_values, cells_near, cells_of
from monitor.types import SECOND_NS, BoolArray, Domain, FloatArray, IntArray, iso_time
from monitor.types.space import CELL_NS, VARIABLES

STRETCH: Final = 1.5
"""How many usual steps a sample of fast data may stand for where its neighbour is missing."""

# Live feeds have a step of 1 s at least; the usual step of jittered times may be a little less.
_FAST_NS: Final = SECOND_NS * 9 // 10
_ROUNDING_NS: Final = 1000
_EVEN_NS: Final = 1_000_000
_DESPUN: Final = frozenset({"dmpa", "dbcs"})


@dataclass(frozen=True, slots=True)
class CraftSamples:
    """Samples of one instrument.

    Attributes
    ----------
    middle_ns : ndarray, shape (n,)
        Middle of each sample, rising.
    components : tuple of str
        Of `VARIABLES`.
    values : ndarray, shape (c, n), float64
        In the units of the native message; NaN is a gap.
    frame : str or None
    """

    middle_ns: IntArray
    components: tuple[str, ...]
    values: FloatArray
    frame: str | None = None


def in_order(times_ns: IntArray, path: str) -> tuple[IntArray, list[str]]:
    """Which samples to keep (indices, rising in time; of repeated times the later one), and notes on the others."""
    order = np.argsort(times_ns, kind="stable")
    times = times_ns[order]
    kept = order[np.append(times[1:] != times[:-1], True)] if times.size else order
    notes = []
    if (np.diff(times_ns) < 0).any():
        notes.append(f"{path}: the times are not in order; the samples were sorted")
    if kept.size < order.size:
        notes.append(f"{path}: {order.size - kept.size} samples repeat a time; the later one counts")
    return kept, notes


def usual_step_ns(times_ns: IntArray, path: str) -> int:
    """Median distance of rising times. Raises ArchiveError where regions cannot be found at it."""
    if times_ns.size < 2:
        raise ArchiveError(
            path, f"has {times_ns.size} sample times; two at least are needed to tell the step"
        )
    if times_ns[0] < EARLIEST_NS:
        raise ArchiveError(path, f"has samples of {iso_time(int(times_ns[0]))}, before 1990")
    step_ns = int(np.median(np.diff(times_ns)))
    if step_ns > LONGEST_STEP_NS:
        raise ArchiveError(path, f"its step is {step_ns / SECOND_NS:g} s; regions need 10 s at most")
    return step_ns


def is_even(times_ns: IntArray) -> bool:
    """Whether rising times lie on one grid to a millisecond, gaps aside, with a step that a live feed may have."""
    if times_ns.size < 2:
        return False
    step_ns = int(np.median(np.diff(times_ns)))
    if not SECOND_NS <= step_ns <= LONGEST_STEP_NS:
        return False
    since = times_ns - times_ns[0]
    return bool((np.abs(since - (since + step_ns // 2) // step_ns * step_ns) <= _EVEN_NS).all())


def to_grid(samples: CraftSamples, source: str, path: str, step_ns: int | None = None) -> list[SourceSeries]:
    """Bring samples to the grid; a gap longer than `LONGEST_FILL` cells splits them. Raises ArchiveError.

    Their usual step is the one between them, where `step_ns` does not tell it: a few samples may not show it.
    """
    middle_ns = samples.middle_ns
    if step_ns is None:
        step_ns = usual_step_ns(middle_ns, path)
    cells = cells_near(middle_ns)
    steps_ns = np.broadcast_to(np.int64(step_ns), middle_ns.shape)
    values = cell_values(cells, middle_ns, steps_ns, samples.values.T).T
    if step_ns < _FAST_NS:
        values = np.where(_half_covered(cells, samples, step_ns), values, np.nan)
    said = np.isin(cells, cells_of(middle_ns)) | ~np.isnan(values).all(axis=0)
    return stretches(
        cells[said], samples.components, values[:, said], source=source, path=path, frame=samples.frame
    )


def _half_covered(cells: IntArray, samples: CraftSamples, step_ns: int) -> BoolArray:
    """Where samples cover half of a cell or more, shape (c, t)."""
    place = np.searchsorted(cells, samples.middle_ns // CELL_NS)
    lasting_ns = _lasting_ns(samples.middle_ns, step_ns)
    covered_ns = [
        np.bincount(place, np.where(np.isnan(row), 0.0, lasting_ns), cells.size) for row in samples.values
    ]
    return np.stack(covered_ns) >= CELL_NS / 2 - _ROUNDING_NS


def _lasting_ns(middle_ns: IntArray, step_ns: int) -> FloatArray:
    """How long each sample stands for what was measured: the distance to its nearest neighbour."""
    distance = np.diff(middle_ns)
    nearest = np.minimum(np.append(distance, distance[-1]), np.append(distance[0], distance))
    return np.asarray(np.minimum(nearest, STRETCH * step_ns))


def brought_to_grid(series: SourceSeries) -> list[SourceSeries]:
    """A spacecraft's series of another step or phase on the grid; one that lies on it stays. Raises ArchiveError."""
    if _is_on_grid(series):
        return [series]
    middle_ns = series.t0_ns + np.arange(series.count) * series.step_ns + series.step_ns // 2
    samples = CraftSamples(middle_ns, series.components, series.values, series.frame)
    return to_grid(samples, series.source, series.path)


def _is_on_grid(series: SourceSeries) -> bool:
    return series.step_ns == CELL_NS and series.t0_ns % CELL_NS == 0


def stretches(
    cells: IntArray,
    components: Sequence[str],
    values: FloatArray,
    *,
    source: str,
    path: str,
    frame: str | None,
) -> list[SourceSeries]:
    """Series of values (c, n) in rising cells; a gap longer than `LONGEST_FILL` splits them."""
    series = []
    breaks = np.flatnonzero(np.diff(cells) > LONGEST_FILL + 1) + 1
    for index, part in zip(np.split(cells, breaks), np.split(values, breaks, axis=1), strict=True):
        filled = np.full((len(components), int(index[-1] - index[0]) + 1), np.nan)
        filled[:, index - index[0]] = part
        filled.flags.writeable = False
        t0_ns = int(index[0]) * CELL_NS
        series.append(
            SourceSeries(source, tuple(components), t0_ns, CELL_NS, filled, path, Domain.CRAFT, frame=frame)
        )
    return series


def join_craft(series: Sequence[SourceSeries]) -> list[SourceSeries]:
    """Join what several files have of one spacecraft on the grid, field and moments say, into common series.

    Where two files have the same quantity at the same time, the first one counts. All other series stay as they are.
    Raises ArchiveError where their vectors are in frames that do not go together.
    """
    joined: list[SourceSeries] = []
    waiting: dict[str, list[SourceSeries]] = {}
    for one in series:
        if one.domain is Domain.CRAFT and _is_on_grid(one) and set(one.components) <= set(VARIABLES):
            waiting.setdefault(one.source, []).append(one)
        else:
            joined.append(one)
    for group in waiting.values():
        joined += group if len(group) == 1 else _joined(group)
    return joined


def _joined(group: Sequence[SourceSeries]) -> list[SourceSeries]:
    components = tuple(name for name in VARIABLES if any(name in one.components for one in group))
    starts = [one.t0_ns // CELL_NS for one in group]
    cells = np.unique(
        np.concatenate([np.arange(one.count) + start for one, start in zip(group, starts, strict=True)])
    )
    values = np.full((len(components), cells.size), np.nan)
    for one, start in zip(group, starts, strict=True):
        place = int(np.searchsorted(cells, start))
        part = values[:, place : place + one.count]
        for row, name in enumerate(components):
            if name in one.components:
                given = one.values[one.components.index(name)]
                part[row] = np.where(np.isnan(part[row]), given, part[row])
    names = list(dict.fromkeys(one.path for one in group))
    path = " + ".join([names[0], *(PurePath(name).name for name in names[1:])])
    frame = common_frame([one.frame for one in group], path)
    return stretches(cells, components, values, source=group[0].source, path=path, frame=frame)


def common_frame(frames: Sequence[str | None], path: str) -> str | None:
    """The frame of vectors that are used together: GSE and the despun frames lie within 3° of each other, GSM not."""
    known = dict.fromkeys(frame for frame in frames if frame is not None)
    if "gsm" in known and len(known) > 1:
        raise ArchiveError(
            path, f"has vectors in {' and '.join(known)}; give field and velocity in one frame"
        )
    return next((frame for frame in known if frame not in _DESPUN), next(iter(known), None))
