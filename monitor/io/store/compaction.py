"""Rows that say the same hours again are laid over each other: who resends for ever fills no disk.

Where a source has stored an hour several times over, its rows of that hour that overlap are written as one. What is
loaded afterwards gives the same memory: later values win, a gap takes nothing away, of levels the higher wins. So only
rows are joined whose order among the others makes no difference:

- of one form (components, step, instants, sensor, frame) and one level;
- from the row on since which the source has sent nothing whose order counts (of a station any other form; of a
  spacecraft another one with a variable of the same name);
- together with every row of the form that overlaps them and arrived between them.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from monitor.io.store.rows import ROW_VALUES, SAMPLE_COLUMNS, sample_row, stored_block
from monitor.types import SECOND_NS, Domain, SampleBlock
from monitor.types.samples import is_scalar

logger = logging.getLogger(__name__)

_HOUR_NS: Final = 3600 * SECOND_NS
_SCANNED_ROWS: Final = 2048
_JOINED_ROWS: Final = 4096
_JOINED_BYTES: Final = 8 << 20
_MOST_HOURS: Final = 100_000


class _Form(NamedTuple):
    """What rows have in common that may be laid over each other, but for the level."""

    domain: str
    components: str
    step_ns: int
    phase_ns: int
    sensor: str | None
    frame: str | None
    # Of stations the memory knows levels, and their order makes no difference; of others it must not vary.
    level: int

    def commutes(self, other: _Form) -> bool:
        """Whether the order of rows of both makes no difference."""
        if self == other:
            return True
        mine, others = set(json.loads(self.components)), set(json.loads(other.components))
        if mine & others or self.domain != other.domain:
            return False
        return self.domain == Domain.CRAFT or is_scalar(mine) or is_scalar(others)


class _Spot(NamedTuple):
    """An hour of one form and level of a source."""

    source: str
    form: _Form
    level: int
    hour: int


class _Span(NamedTuple):
    """A row without its samples."""

    row: int
    t0_ns: int
    end_ns: int
    size: int


@dataclass(slots=True)
class _Source:
    """The forms that a source has sent since `first_row`, all of which commute."""

    first_row: int
    forms: set[_Form] = field(default_factory=set)


class Compaction:
    """Finds what is stored too often, and joins it bite by bite.

    Parameters
    ----------
    excess : int
        How many times over an hour may be stored.
    hour_ns : int
    """

    def __init__(self, excess: int = 4, hour_ns: int = _HOUR_NS) -> None:
        self._excess = excess
        self._hour_ns = hour_ns
        self._seen_row = 0
        self._sources: dict[str, _Source] = {}
        # How much is stored of each hour (ns), what is too much where it is not the usual, and where it is too much.
        self._stored: dict[_Spot, int] = {}
        self._limits: dict[_Spot, int] = {}
        self._due: dict[_Spot, None] = {}

    def step(self, connection: sqlite3.Connection, up_to_row: int) -> int:
        """Take a bite, within a transaction of the caller's; rows beyond `up_to_row` are left as they are.

        Returns how many rows were looked at or joined; 0 where nothing is to do.
        """
        if self._due:
            spot = next(iter(self._due))
            joined = self._join(connection, spot, up_to_row)
            if joined:
                return joined
            del self._due[spot]
            return 1
        return self._scan(connection, up_to_row)

    def _scan(self, connection: sqlite3.Connection, up_to_row: int) -> int:
        rows = connection.execute(
            "SELECT row, source, domain, components, t0_ns, end_ns, step_ns, level, sensor, frame FROM sample NOT INDEXED"
            " WHERE row > ? AND row <= ? ORDER BY row LIMIT ?",
            (self._seen_row, up_to_row, _SCANNED_ROWS),
        ).fetchall()
        for row, source, domain, components, t0_ns, end_ns, step_ns, level, sensor, frame in rows:
            own = 0 if domain == Domain.GROUND else level
            form = _Form(domain, components, step_ns, t0_ns % step_ns, sensor, frame, own)
            self._count(row, source, form, level, t0_ns, end_ns)
            self._seen_row = row
        if len(self._stored) > _MOST_HOURS:
            # Counted anew they only come later to what is too much.
            self._stored.clear()
            self._limits.clear()
        return len(rows)

    def _count(self, row: int, source: str, form: _Form, level: int, t0_ns: int, end_ns: int) -> None:
        known = self._sources.setdefault(source, _Source(row))
        if not all(form.commutes(other) for other in known.forms):
            known = self._sources[source] = _Source(row)
        known.forms.add(form)
        for hour in range(t0_ns // self._hour_ns, (end_ns - 1) // self._hour_ns + 1):
            spot = _Spot(source, form, level, hour)
            inside = min(end_ns, (hour + 1) * self._hour_ns) - max(t0_ns, hour * self._hour_ns)
            self._stored[spot] = self._stored.get(spot, 0) + inside
            if self._stored[spot] > self._limits.get(spot, self._excess * self._hour_ns):
                self._due[spot] = None

    def _join(self, connection: sqlite3.Connection, spot: _Spot, up_to_row: int) -> int:
        """Join what overlaps about an hour; return how many rows that took away."""
        spans = self._spans(connection, spot, up_to_row)
        for cluster in _clusters(spans, overlap_ns=1):
            part = _bite(sorted(cluster))
            # Of many rows the first may only touch each other: joined they are fewer all the same.
            for touching in _clusters(part, overlap_ns=0):
                taken = _joined(connection, spot.source, touching) if len(touching) > 1 else 0
                if taken:
                    return taken
        held = sum(self._inside(one, spot.hour) for one in spans)
        self._stored[spot] = held
        # What could not be joined now is looked at again when there is twice as much.
        self._limits[spot] = max(self._excess * self._hour_ns, 2 * held)
        return 0

    def _inside(self, span: _Span, hour: int) -> int:
        return max(0, min(span.end_ns, (hour + 1) * self._hour_ns) - max(span.t0_ns, hour * self._hour_ns))

    def _spans(self, connection: sqlite3.Connection, spot: _Spot, up_to_row: int) -> list[_Span]:
        """The rows that reach into an hour, and all that overlap with them, directly or by others."""
        form = spot.form
        begin_ns, end_ns = spot.hour * self._hour_ns, (spot.hour + 1) * self._hour_ns
        while True:
            spans = [
                _Span(*row)
                for row in connection.execute(
                    "SELECT row, t0_ns, end_ns, length(data) FROM sample WHERE source = ? AND end_ns > ? AND t0_ns < ?"
                    " AND row >= ? AND row <= ? AND domain = ? AND components = ? AND step_ns = ?"
                    " AND t0_ns % step_ns = ? AND sensor IS ? AND frame IS ? AND level = ?",
                    (
                        *(spot.source, begin_ns, end_ns, self._sources[spot.source].first_row, up_to_row),
                        *(form.domain, form.components, form.step_ns, form.phase_ns, form.sensor, form.frame),
                        spot.level,
                    ),
                )
            ]
            if not spans:
                return spans
            first, last = min(span.t0_ns for span in spans), max(span.end_ns for span in spans)
            if first >= begin_ns and last <= end_ns:
                return spans
            begin_ns, end_ns = min(first, begin_ns), max(last, end_ns)


def _clusters(spans: Sequence[_Span], overlap_ns: int) -> Iterator[list[_Span]]:
    """Cut spans where, in the order of time, one does not overlap those before it by so much."""
    cluster: list[_Span] = []
    end_ns = 0
    for span in sorted(spans, key=lambda one: one.t0_ns):
        if cluster and span.t0_ns + overlap_ns > end_ns:
            yield cluster
            cluster = []
        end_ns = max(end_ns, span.end_ns) if cluster else span.end_ns
        cluster.append(span)
    if cluster:
        yield cluster


def _bite(cluster: Sequence[_Span]) -> list[_Span]:
    """The first of them, in the order of arrival, as many as are joined at once."""
    part: list[_Span] = []
    size = 0
    for span in cluster[:_JOINED_ROWS]:
        size += span.size
        if len(part) > 1 and size > _JOINED_BYTES:
            break
        part.append(span)
    return part


def _joined(connection: sqlite3.Connection, source: str, spans: Sequence[_Span]) -> int:
    """Write rows without a gap between them as fewer ones; return how many fewer, 0 where that cannot be."""
    rows = sorted(span.row for span in spans)
    first_ns, end_ns = min(span.t0_ns for span in spans), max(span.end_ns for span in spans)
    whole: SampleBlock | None = None
    for row in rows:
        stored = connection.execute(f"SELECT {SAMPLE_COLUMNS} FROM sample WHERE row = ?", (row,)).fetchone()  # noqa: S608 (constants)
        try:
            block = stored_block(stored)
        except ValueError:
            return 0
        if not _is_laid_by_component(block):
            return 0
        if whole is None:
            count = (end_ns - first_ns) // block.step_ns
            whole = replace(block, t0_ns=first_ns, values=np.full((len(block.components), count), np.nan))
        at = (block.t0_ns - first_ns) // block.step_ns
        under = whole.values[:, at : at + block.count]
        np.copyto(under, block.values, where=~np.isnan(block.values))
    assert whole is not None
    pieces = list(_pieces(whole, len(rows)))
    if len(pieces) >= len(rows):
        return 0
    connection.executemany("DELETE FROM sample WHERE row = ?", [(row,) for row in rows])
    # Under the last of their numbers: what came after all of them still does.
    connection.executemany(
        f"INSERT INTO sample (row, {SAMPLE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (constants)
        [(row, *sample_row(piece)) for row, piece in zip(rows[-len(pieces) :], pieces, strict=True)],
    )
    logger.debug("%s: %d rows of samples that overlap are %d now", source, len(rows), len(pieces))
    return len(rows) - len(pieces)


def _is_laid_by_component(block: SampleBlock) -> bool:
    """Whether each component counts by itself: X without Y, of a station that sends both, is no sample."""
    if block.domain is not Domain.GROUND or "H" in block.components:
        return True
    rows: Mapping[str, np.ndarray] = dict(zip(block.components, np.isnan(block.values), strict=True))
    return "X" not in rows or "Y" not in rows or bool((rows["X"] == rows["Y"]).all())


def _pieces(block: SampleBlock, most: int) -> Iterator[SampleBlock]:
    """Rows of the usual size, and no more than `most` of them."""
    usual = max(1, ROW_VALUES // len(block.components))
    count = max(usual, -(-block.count // most))
    for start in range(0, block.count, count):
        t0_ns = block.t0_ns + start * block.step_ns
        yield replace(block, t0_ns=t0_ns, values=block.values[:, start : start + count])
