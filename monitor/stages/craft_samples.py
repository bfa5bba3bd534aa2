"""The latest samples of one spacecraft, and what they are on the grid of 4.5 s."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from monitor.science.craft_grid import cell_values
from monitor.types import CELL_NS, SECOND_NS, VARIABLES, FloatArray, IntArray, SampleBlock

_COLUMN: Final = {name: column for column, name in enumerate(VARIABLES)}
# A sample of the longest step (10 s), with its jitter, says nothing about cells that are farther away than this.
_REACH_NS: Final = 12 * SECOND_NS
_SHORTEST_STEP_NS: Final = SECOND_NS
# Field, moments and a third instrument, each at the shortest step: more rows than that are no plasma data.
_INSTRUMENTS: Final = 3


class _Rows(NamedTuple):
    """Samples in the order of (time, step): (n,), (n,) and (n, 12), NaN where a variable did not come."""

    time: IntArray
    step: IntArray
    values: FloatArray

    def between(self, low: int, high: int) -> _Rows:
        """Rows [low, high)."""
        return _Rows(self.time[low:high], self.step[low:high], self.values[low:high])


class CraftSamples:
    """Samples of one spacecraft in any order of arrival, at any cadence from 1 to 10 s, and their cells.

    Variables may come in blocks of their own, with their own steps and phases. A resend of the same variable at the
    same time overwrites, a gap (NaN) never does. The memory reaches back `span_ns` from the end of the newest sample.

    Cells follow the rule of `monitor.science.craft_grid`, as those of files do. Totals that did not come are derived
    from the cell's components.
    """

    def __init__(self, span_ns: int) -> None:
        self._capacity = -(-(span_ns + 2 * _REACH_NS) // CELL_NS) + 1
        self._most_rows = _INSTRUMENTS * self._capacity * CELL_NS // _SHORTEST_STEP_NS
        self._rows = _no_rows(64)
        self._begin = self._stop = 0
        self._cells = np.full((self._capacity, len(VARIABLES)), np.nan)
        self._end_cell: int | None = None
        # Cells [first, last) whose samples changed since they were computed.
        self._stale: tuple[int, int] | None = None

    @property
    def oldest_ns(self) -> int | None:
        """Earliest time that can still be held; None before the first sample."""
        return None if self._end_cell is None else (self._end_cell - self._capacity) * CELL_NS

    @property
    def rows_held(self) -> int:
        """How many samples are in memory."""
        return self._stop - self._begin

    def write(self, block: SampleBlock) -> tuple[int, int]:
        """Take a block; return the begin of what it may change (ns), and how many of its samples were too old."""
        self._advance(-(-(block.end_ns + _REACH_NS) // CELL_NS))
        oldest = self.oldest_ns
        assert oldest is not None
        too_old = min(max(0, -(-(oldest - block.t0_ns) // block.step_ns)), block.count)
        new = _rows_of(block, too_old)
        if new.time.size:
            self._put(new)
            self._mark(int(new.time[0]), int(new.time[-1]))
        return block.t0_ns - _REACH_NS, too_old

    def refresh(self) -> list[tuple[int, int]]:
        """Compute the cells whose samples changed; return the spans [begin, end) (ns) in which a value changed."""
        if self._stale is None or self._end_cell is None:
            return []
        first, last = max(self._stale[0], self._end_cell - self._capacity), self._stale[1]
        self._stale = None
        if first >= last:
            return []
        values = self._computed(first, last)
        at = np.arange(first, last) % self._capacity
        held = self._cells[at]
        changed = np.flatnonzero(((values != held) & ~(np.isnan(values) & np.isnan(held))).any(axis=1))
        self._cells[at] = values
        if not changed.size:
            return []
        runs = np.split(changed, np.flatnonzero(np.diff(changed) > 1) + 1)
        return [((first + int(run[0])) * CELL_NS, (first + int(run[-1]) + 1) * CELL_NS) for run in runs]

    def cells(self, begin_ns: int, end_ns: int) -> FloatArray:
        """Cells of [begin, end), which lie on the grid, shape (t, 12); NaN where nothing is held."""
        self.refresh()
        first, last = begin_ns // CELL_NS, end_ns // CELL_NS
        values = np.full((last - first, len(VARIABLES)), np.nan)
        if self._end_cell is not None:
            low, high = max(first, self._end_cell - self._capacity), min(last, self._end_cell)
            if low < high:
                values[low - first : high - first] = self._cells[np.arange(low, high) % self._capacity]
        return values

    def _advance(self, end_cell: int) -> None:
        """Move the newest end, forgetting what falls out of the memory."""
        if self._end_cell is None:
            self._end_cell = end_cell
            return
        if end_cell <= self._end_cell:
            return
        fresh = min(end_cell - self._end_cell, self._capacity)
        self._cells[np.arange(end_cell - fresh, end_cell) % self._capacity] = np.nan
        self._end_cell = end_cell
        keep_ns = (end_cell - self._capacity) * CELL_NS - _REACH_NS
        self._begin += int(np.searchsorted(self._rows.time[self._begin : self._stop], keep_ns))

    def _mark(self, first_ns: int, last_ns: int) -> None:
        assert self._end_cell is not None
        first, last = (first_ns - _REACH_NS) // CELL_NS, -(-(last_ns + _REACH_NS) // CELL_NS)
        if self._stale is not None:
            first, last = min(first, self._stale[0]), max(last, self._stale[1])
        self._stale = first, min(last, self._end_cell)

    def _put(self, new: _Rows) -> None:
        """Write rows into the buffer: at its end, or merged with those from their first time on."""
        held = self._rows.time[self._begin : self._stop]
        at = self._begin + int(np.searchsorted(held, new.time[0]))
        if at < self._stop:
            new = _merged(self._rows.between(at, self._stop), new)
        stop = at + new.time.size
        if stop > self._rows.time.size:
            at, stop = self._grow(at, new.time.size)
        for column, rows in zip(self._rows, new, strict=True):
            column[at:stop] = rows
        self._stop = stop
        self._begin = max(self._begin, stop - self._most_rows)

    def _grow(self, at: int, count: int) -> tuple[int, int]:
        """Move the rows before `at` to the beginning of a buffer with room for `count` more, and for as many again."""
        kept = at - self._begin
        rows = _no_rows(2 * (kept + count))
        for column, old in zip(rows, self._rows, strict=True):
            column[:kept] = old[self._begin : at]
        self._rows, self._begin = rows, 0
        return kept, kept + count

    def _computed(self, first: int, last: int) -> FloatArray:
        """Cells [first, last) from their samples."""
        begin_ns, end_ns = first * CELL_NS, last * CELL_NS
        held = self._rows.time[self._begin : self._stop]
        low, high = np.searchsorted(held, (begin_ns - _REACH_NS, end_ns + _REACH_NS)) + self._begin
        time, step, values = self._rows.between(int(low), int(high))
        middle = time + step // 2
        if (np.diff(middle) < 0).any():
            order = np.argsort(middle, kind="stable")
            middle, step, values = middle[order], step[order], values[order]
        cells = cell_values(np.arange(first, last), middle, step, values)
        _derive_totals(cells)
        return cells


def _no_rows(count: int) -> _Rows:
    """Room for rows."""
    return _Rows(
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.full((count, len(VARIABLES)), np.nan),
    )


def _rows_of(block: SampleBlock, skip: int) -> _Rows:
    """The samples of a block from number `skip` on that hold anything."""
    values = np.full((block.count - skip, len(VARIABLES)), np.nan)
    for name, row in zip(block.components, block.values, strict=True):
        if name in _COLUMN:
            values[:, _COLUMN[name]] = row[skip:]
    full = np.flatnonzero(~np.isnan(values).all(axis=1))
    time = block.t0_ns + (full + skip) * block.step_ns
    return _Rows(time, np.full(full.size, block.step_ns, dtype=np.int64), values[full])


def _merged(old: _Rows, new: _Rows) -> _Rows:
    """Both in their order; a value of `new` replaces that of the same variable and time, whatever its step."""
    at = np.minimum(np.searchsorted(new.time, old.time), new.time.size - 1)
    again = np.flatnonzero(new.time[at] == old.time)
    values, fresh = old.values.copy(), new.values.copy()
    values[again] = np.where(np.isnan(fresh[at[again]]), values[again], np.nan)
    # A row of the same time and step takes up what the new one leaves of the old.
    same = again[new.step[at[again]] == old.step[again]]
    fresh[at[same]] = np.where(np.isnan(fresh[at[same]]), values[same], fresh[at[same]])
    values[same] = np.nan
    keep = ~np.isnan(values).all(axis=1)
    time = np.concatenate((old.time[keep], new.time))
    step = np.concatenate((old.step[keep], new.step))
    order = np.lexsort((step, time))
    return _Rows(time[order], step[order], np.concatenate((values[keep], fresh))[order])


def _derive_totals(cells: FloatArray) -> None:
    """Fill the empty totals B, V and T of cells (t, 12) from their components."""
    for total, parts in (("B", ("Bx", "By", "Bz")), ("V", ("Vx", "Vy", "Vz"))):
        column = cells[:, _COLUMN[total]]
        vector = cells[:, [_COLUMN[part] for part in parts]]
        column[:] = np.where(np.isnan(column), np.sqrt((vector * vector).sum(axis=1)), column)
    column = cells[:, _COLUMN["T"]]
    parallel, perpendicular = cells[:, _COLUMN["Tpar"]], cells[:, _COLUMN["Tperp"]]
    column[:] = np.where(np.isnan(column), (parallel + 2.0 * perpendicular) / 3.0, column)
