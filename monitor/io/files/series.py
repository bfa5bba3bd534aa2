"""What archive files become: evenly spaced series of one source each, and their samples in the order of time."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from monitor.decoders.base import EARLIEST_NS, LONGEST_STEP_NS, SHORTEST_STEP_NS
from monitor.errors import ArchiveError
from monitor.types import SECOND_NS, BoolArray, Domain, FloatArray, IntArray, SampleBlock, iso_time

LONGEST_FILL: Final = 60
"""Missing rows up to this number are NaN; a longer gap starts a new series, so that memory follows the rows."""

GRID_TOLERANCE: Final = 0.05
"""How far (in steps) a row may lie from the grid: times rounded to milliseconds pass, a shifted clock does not."""

_NO_COMPONENTS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class SourceSeries:
    """Evenly spaced samples of one source, as long as a file has them; the values are read-only.

    Attributes
    ----------
    source, components, t0_ns, step_ns, values, domain
        As in `SampleBlock`.
    path : str
        The file it comes from.
    angles : frozenset of str
        Components in degrees; of the others the unit is that of the native messages.
    frame : str or None
        Of a spacecraft's vectors, as in `SampleBlock`.
    """

    source: str
    components: tuple[str, ...]
    t0_ns: int
    step_ns: int
    values: FloatArray
    path: str
    domain: Domain = Domain.GROUND
    angles: frozenset[str] = field(default=_NO_COMPONENTS)
    frame: str | None = None

    @property
    def count(self) -> int:
        """Number of samples, gaps included."""
        return int(self.values.shape[1])

    @property
    def end_ns(self) -> int:
        """End of the last sample."""
        return self.t0_ns + self.count * self.step_ns

    def block(self, start: int, stop: int) -> SampleBlock:
        """The samples `start` to `stop` (not included), without a copy where there are no angles.

        Angles are left out beside anything else: in a block without a processing level D is in nT.
        """
        components, values = self.components, self.values[:, start:stop]
        rows = [row for row, name in enumerate(components) if name not in self.angles]
        if 0 < len(rows) < len(components):
            components, values = tuple(components[row] for row in rows), values[rows]
        return SampleBlock(
            self.source,
            components,
            self.t0_ns + start * self.step_ns,
            self.step_ns,
            values,
            domain=self.domain,
            frame=self.frame,
        )


def clipped(series: SourceSeries, begin_ns: int, end_ns: int) -> SourceSeries | None:
    """The samples that begin in [begin, end), without a copy; None where there are none."""
    first = max(0, -(-(begin_ns - series.t0_ns) // series.step_ns))
    last = min(series.count, -(-(end_ns - series.t0_ns) // series.step_ns))
    if first >= last:
        return None
    t0_ns = series.t0_ns + first * series.step_ns
    return replace(series, t0_ns=t0_ns, values=series.values[:, first:last])


def interleave(series: Iterable[SourceSeries], piece_ns: int) -> Iterator[SampleBlock]:
    """Yield the samples of many series in the order of time, in pieces that last `piece_ns` at most.

    All series are cut at the multiples of `piece_ns` since 1970, so that the sources advance together: what starts
    before such a boundary comes before all that starts at it or later. A single sample is never cut, however long
    its step. Raises ValueError for a piece that is not longer than nothing.
    """
    if piece_ns < 1:
        raise ValueError(f"a piece must last at least 1 ns, found {piece_ns}")
    ordered = sorted(series, key=lambda one: (one.t0_ns, one.source))
    # (boundary slot, rank of the series, next sample): ties go by the start of the series, then by its source.
    queue = [(one.t0_ns // piece_ns, rank, 0) for rank, one in enumerate(ordered) if one.count]
    heapq.heapify(queue)
    while queue:
        slot, rank, start = queue[0]
        one = ordered[rank]
        # Samples that start before the next boundary, rounded up.
        in_slot = -(-((slot + 1) * piece_ns - one.t0_ns) // one.step_ns)
        stop = min(in_slot, start + max(1, piece_ns // one.step_ns), one.count)
        yield one.block(start, stop)
        if stop == one.count:
            heapq.heappop(queue)
        else:
            heapq.heapreplace(queue, ((one.t0_ns + stop * one.step_ns) // piece_ns, rank, stop))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a file as they stand there: times (ns UTC, n) and line numbers (n), or what else they are counted in."""

    times_ns: IntArray
    lines: IntArray
    counted_in: str = "line"


@dataclass(frozen=True, slots=True)
class Grid:
    """Where rows come to lie: `kept` picks rows of the file in the order of time, `index` their place on the grid."""

    t0_ns: int
    step_ns: int
    kept: IntArray
    index: IntArray
    repeated: int

    def notes(self, path: str) -> list[str]:
        """What the operator should know about the times."""
        return [f"{path}: {self.repeated} rows repeat a time; the later one counts"] if self.repeated else []


def grid_of(rows: Rows, path: str) -> Grid:
    """Find the grid of a file's rows: step from the median distance; of rows at the same time the later counts.

    Raises ArchiveError where a row lies off the grid, the step is outside 0.05 s to 60 s, or a time is before 1990.
    """
    order = np.argsort(rows.times_ns, kind="stable")
    times = rows.times_ns[order]
    last_of_its_time = np.append(times[1:] != times[:-1], True)
    kept = order[last_of_its_time]
    times = times[last_of_its_time]
    if times.size < 2:
        raise ArchiveError(path, f"has {times.size} sample times; two at least are needed to tell the step")
    if times[0] < EARLIEST_NS:
        first = f"{rows.counted_in} {rows.lines[kept[0]]}"
        raise ArchiveError(path, f"{first} is of {iso_time(int(times[0]))}, before 1990")
    distances = np.sort(np.diff(times))
    step_ns = int(distances[distances.size // 2])
    if not SHORTEST_STEP_NS <= step_ns <= LONGEST_STEP_NS:
        raise ArchiveError(path, f"its step is {step_ns / SECOND_NS:g} s; allowed are 0.05 to 60")
    index = (times - times[0] + step_ns // 2) // step_ns
    off_ns = np.abs(times - times[0] - index * step_ns)
    stray: BoolArray = off_ns > GRID_TOLERANCE * step_ns
    if stray.any():
        place = int(np.argmax(stray))
        raise ArchiveError(
            path,
            f"{rows.counted_in} {rows.lines[kept[place]]}: {iso_time(int(times[place]))} lies {off_ns[place] / SECOND_NS:g} s off "
            f"the grid of {step_ns / SECOND_NS:g} s that starts at {iso_time(int(times[0]))}; "
            "even the times out, or put what follows another grid into its own file",
        )
    return Grid(int(times[0]), step_ns, kept, index, order.size - kept.size)


def series_on_grid(
    grid: Grid,
    values: FloatArray,
    *,
    source: str,
    components: Sequence[str],
    path: str,
    domain: Domain = Domain.GROUND,
    angles: frozenset[str] = _NO_COMPONENTS,
) -> list[SourceSeries]:
    """Lay the values (c, n, in the order of the file) on the grid; a gap longer than `LONGEST_FILL` splits them."""
    breaks = np.flatnonzero(np.diff(grid.index) > LONGEST_FILL + 1) + 1
    series = []
    for kept, index in zip(np.split(grid.kept, breaks), np.split(grid.index, breaks), strict=True):
        filled = np.full((len(components), int(index[-1] - index[0]) + 1), np.nan)
        filled[:, index - index[0]] = values[:, kept]
        filled.flags.writeable = False
        t0_ns = grid.t0_ns + int(index[0]) * grid.step_ns
        series.append(
            SourceSeries(source, tuple(components), t0_ns, grid.step_ns, filled, path, domain, angles)
        )
    return series
