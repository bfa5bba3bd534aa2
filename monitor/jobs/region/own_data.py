"""Examples out of a user's own files and labelled intervals, made as the paper does.

Breuillard et al. (2020), section 2.2: data at 4.5 s; an interval with a gap is rejected whole; one of up to three
minutes is padded with its wrap; a longer one is split. Beyond the paper, a window that is not padded keeps its context
where the cells around it are there. A variable that no file has is missing throughout; one that an interval lacks is a
gap. Windows of one UTC day are one run, whatever the spacecraft: constellations fly together. Of fewer than three days,
which cannot be parted so, each labelled interval is a run, and whoever asks is told what that costs.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from monitor.errors import MonitorError
from monitor.io.files import open_archives
from monitor.io.files.craft import brought_to_grid, join_craft
from monitor.io.files.series import SourceSeries
from monitor.jobs.region.intervals import Interval, Refused, read_intervals, without_conflicts
from monitor.jobs.region.sitl import is_sitl, read_sitl
from monitor.science.region import standing_alone, windows_of
from monitor.types import SECOND_NS, BoolArray, Domain, Float32Array, FloatArray
from monitor.types.space import (
    CELL_NS,
    CONTEXT_CELLS,
    REGIONS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    Region,
    RegionExamples,
)

logger = logging.getLogger(__name__)

REASONS: Final = {
    "no_region": "the comment names no region",
    "two_regions": "the comment names several regions",
    "uncertain": "the comment is not sure of the region",
    "repeated": "the same interval stands there twice",
    "overlap": "overlaps an interval of another region",
    "short": "shorter than a step of 4.5 s",
    "no_data": "no file has data of that time",
    "gap": "a variable has a gap in it",
}
"""Why an interval is not learnt from."""

_DAY_NS: Final = 86_400 * SECOND_NS

FEWEST_DAYS: Final = 3
"""To learn from, to validate on and to test on."""


@dataclass(frozen=True, slots=True)
class OwnData:
    """Examples, and what became of the intervals.

    Attributes
    ----------
    examples : RegionExamples
    used : Counter
        Intervals that gave windows, by region. An interval counts once for each spacecraft.
    refused : tuple of Refused
        Reasons are those of `REASONS`.
    """

    examples: RegionExamples
    used: Counter[Region]
    refused: tuple[Refused, ...]

    def table(self) -> str:
        """What was used and what was rejected, a line each."""
        windows = Counter(self.examples.label.tolist())
        lines = [f"{'region':<8}{'intervals':>10}{'windows':>10}"]
        for index, region in enumerate(REGIONS):
            lines.append(f"{region:<8}{self.used[region]:>10}{windows[index]:>10}")
        reasons = Counter(one.reason for one in self.refused)
        lines += [f"rejected {reasons[word]}: {REASONS[word]}" for word in REASONS if reasons[word]]
        return "\n".join(lines)


def read_own_data(specs: Sequence[str], labels: Sequence[Path], craft: Collection[str] = ()) -> OwnData:
    """Make examples of data files (as `process` takes them) and label files (SITL reports or interval CSVs).

    Raises ArchiveError for a file that cannot be used, MonitorError where nothing is left to learn from.
    """
    intervals: list[Interval] = []
    refused: list[Refused] = []
    for path in labels:
        if is_sitl(path):
            report = read_sitl(path)
            intervals += report.intervals
            refused += report.refused
        else:
            intervals += read_intervals(path)
    own = own_data(open_archives(specs, craft), intervals, refused)
    logger.info("labelled data:\n%s", own.table())
    if not len(own.examples):
        reasons = ", ".join(
            f"{count} {word}" for word, count in Counter(r.reason for r in own.refused).items()
        )
        raise MonitorError(f"no interval gives a window to learn from ({reasons or 'there are none'})")
    return own


def own_data(
    series: Sequence[SourceSeries], intervals: Sequence[Interval], refused: Sequence[Refused] = ()
) -> OwnData:
    """Make examples of series and intervals; `refused` are those that were rejected before."""
    tables = _tables(series)
    kept, at_odds = without_conflicts(intervals)
    rejected = [*refused, *at_odds]
    used: Counter[Region] = Counter()
    parts: list[tuple[Float32Array, BoolArray, Interval]] = []
    for interval in kept:
        reason = "no_data"
        taken = 0
        for source, stretches in tables.items():
            if interval.craft not in (None, source):
                continue
            found = _cut(interval, stretches)
            if isinstance(found, str):
                reason = found if reason == "no_data" else reason
                continue
            parts.append((*found, interval))
            taken += 1
        used[interval.region] += taken
        if not taken:
            comment, place = interval.comment, interval.source
            rejected.append(Refused(interval.start_ns, interval.end_ns, comment, place, reason))
    return OwnData(_examples(parts), +used, tuple(rejected))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Cells from number `first` since 1970 on: values (n, 12), and the variables that the spacecraft has at all."""

    first: int
    values: FloatArray
    there: tuple[int, ...]


def _tables(series: Sequence[SourceSeries]) -> dict[str, list[_Stretch]]:
    """The stretches of each spacecraft on the grid."""
    craft = [part for one in series if one.domain is Domain.CRAFT for part in brought_to_grid(one)]
    joined = join_craft(craft)
    has: dict[str, set[str]] = {}
    for one in joined:
        finite = np.isfinite(one.values).any(axis=1)
        has.setdefault(one.source, set()).update(np.array(one.components)[finite].tolist())
    tables: dict[str, list[_Stretch]] = {}
    for one in joined:
        values = np.full((one.count, len(VARIABLES)), np.nan)
        for name, row in zip(one.components, one.values, strict=True):
            values[:, VARIABLES.index(name)] = row
        there = tuple(column for column, name in enumerate(VARIABLES) if name in has[one.source])
        tables.setdefault(one.source, []).append(_Stretch(one.t0_ns // CELL_NS, values, there))
    return tables


def _cut(interval: Interval, stretches: Sequence[_Stretch]) -> tuple[Float32Array, BoolArray] | str:
    """Windows of an interval, and which of them have their context; or the reason why there are none."""
    first, last = -(-interval.start_ns // CELL_NS), interval.end_ns // CELL_NS
    if last <= first:
        return "short"
    for stretch in stretches:
        begin, end = stretch.first, stretch.first + stretch.values.shape[0]
        if first >= end or last <= begin:
            continue
        if first < begin or last > end or not _complete(stretch, first, last):
            return "gap"
        return _windows(stretch, first, last)
    return "no_data"


def _complete(stretch: _Stretch, first: int, last: int) -> bool:
    """Whether the cells [first, last) lie in the stretch and have every variable that is there at all."""
    if first < stretch.first or last > stretch.first + stretch.values.shape[0]:
        return False
    part = stretch.values[first - stretch.first : last - stretch.first, stretch.there]
    return bool(np.isfinite(part).all())


def _windows(stretch: _Stretch, first: int, last: int) -> tuple[Float32Array, BoolArray]:
    block = stretch.values[first - stretch.first : last - stretch.first]
    windows = standing_alone(windows_of(block))
    context = np.zeros(len(windows), dtype=np.bool_)
    for place in range(len(windows)):
        begin = first + place * WINDOW_CELLS
        low, high = begin - CONTEXT_CELLS[0], begin + WINDOW_CELLS + CONTEXT_CELLS[1]
        if begin + WINDOW_CELLS <= last and _complete(stretch, low, high):
            windows[place] = stretch.values[low - stretch.first : high - stretch.first]
            context[place] = True
    return windows, context


def _examples(parts: Sequence[tuple[Float32Array, BoolArray, Interval]]) -> RegionExamples:
    empty = np.empty((0, SUPPORT_CELLS, len(VARIABLES)), dtype=np.float32)
    values = np.concatenate([empty, *(windows for windows, _, _ in parts)])
    sizes = [len(windows) for windows, _, _ in parts]
    label = np.repeat([REGIONS.index(interval.region) for _, _, interval in parts], sizes)
    run = np.repeat(_runs([interval for _, _, interval in parts]), sizes)
    context = [flag for _, flags, _ in parts for flag in flags]
    mixed = np.zeros(len(values), dtype=np.bool_)
    return RegionExamples(
        values, label.astype(np.int64), run.astype(np.int64), mixed, np.array(context, dtype=np.bool_)
    )


def _runs(intervals: Sequence[Interval]) -> list[int]:
    """The run of each interval: its day, or where there are few days, its own."""
    days = [interval.start_ns // _DAY_NS for interval in intervals]
    if not days or len(set(days)) >= FEWEST_DAYS:
        return days
    logger.warning(
        "the windows are of %d day(s): they are parted by labelled interval, and a test on neighbours of what was "
        "learnt is too kind; label at least %d days for one that is not",
        len(set(days)),
        FEWEST_DAYS,
    )
    starts = sorted({interval.start_ns for interval in intervals})
    return [starts.index(interval.start_ns) for interval in intervals]
