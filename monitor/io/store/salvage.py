"""What a damaged store still gives: every row that can be read goes into a fresh file, under its own number.

Row numbers are cursors and the order of the outbox, so they stay; so does what has been published. The states of the
stages come along only where all of them are sound and no sample that they have not seen is missing: else none, and
they are built again from the samples. What decoders, sources
and sinks remember comes along wherever the states can be read.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.decoders.base import GROUND_LIMITS, Limits, beyond_limits
from monitor.decoders.native import CRAFT_LIMITS, INDEX_LIMITS
from monitor.io.store.file import beside, connect, translated
from monitor.io.store.rows import SAMPLE_COLUMNS, stored_block
from monitor.io.store.walk import Missing, Walk
from monitor.types import Domain, Json, SampleBlock

_PRODUCT_COLUMNS: Final = "kind, subject, time_ns, revision, topic, retained, published, payload"
_LIMITS: Final[Mapping[Domain, Limits]] = {
    Domain.GROUND: GROUND_LIMITS,
    Domain.CRAFT: CRAFT_LIMITS,
    Domain.INDEX: INDEX_LIMITS,
}
LOST_CURSOR: Final = '{"lost":true}'
"""The state `cursor` of a store that holds products of a run whose states could not be salvaged."""

_CURSOR: Final = "cursor"
_COMMIT_ROWS: Final = 1000
_PAGE_BYTES: Final = 4096
_LARGEST_ROW: Final = 1 << 53
_MOST_ZEROS: Final = 32
_DAMAGE: Final = (sqlite3.DatabaseError, UnicodeError)


@dataclass(slots=True)
class _Salvaged:
    """What was copied, and what was not."""

    samples: int = 0
    products: int = 0
    states: int = 0
    lost_products: int = 0
    # Largest sample end of every source.
    clocks: dict[str, int] = field(default_factory=dict)
    missing: Missing = field(default_factory=Missing)

    def line(self) -> str:
        """One line for the operator."""
        states = "the states of the stages" if self.states else "no states: they are built again"
        said = f"salvaged {self.samples} rows of samples, {self.products} products, {states}"
        lost = [self.missing.line()] if self.missing.rows else []
        if self.lost_products:
            lost.append(f"up to {self.lost_products} products")
        return f"{said}; not readable: {'; '.join(lost) if lost else 'nothing that is known of'}"


def salvage(damaged: Path, fresh: Path) -> str:
    """Copy what can be read of a damaged store into a new one; return a line on what was saved and what was not.

    The damaged file is not changed; memory does not depend on its size.

    Raises
    ------
    StoreError
        The new file cannot be written (the disk is full).
    OSError
    """
    found = _Salvaged()
    with closing(connect(fresh)) as writer, translated(fresh):
        # Until it is whole the copy is nothing that anybody relies on.
        writer.execute("PRAGMA synchronous = OFF")
        with _readable(damaged, fresh, writer) as source:
            if source is not None:
                _copy(source, writer, found)
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return found.line()


@contextmanager
def _readable(damaged: Path, fresh: Path, writer: sqlite3.Connection) -> Iterator[sqlite3.Connection | None]:
    """The damaged store, or a copy with the first page of a sound one where its own is gone; None for neither."""
    with closing(_opened(damaged)) as source:
        if _has_tables(source):
            yield source
            return
    grafted = beside(damaged, ".graft")
    try:
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _graft(damaged, fresh, grafted)
        with closing(_opened(grafted)) as source:
            yield source if _has_tables(source) else None
    finally:
        grafted.unlink(missing_ok=True)


def _opened(path: Path) -> sqlite3.Connection:
    log = beside(path, "-wal")
    # Without a log nothing is written beside the file, not even for sharing memory.
    how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    # Then a file that is shorter than its header says is opened all the same, and so is one with a spoilt schema.
    connection.execute("PRAGMA writable_schema = ON")
    return connection


def _has_tables(source: sqlite3.Connection) -> bool:
    try:
        found = {name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except _DAMAGE:
        return False
    return {"sample", "product", "source", "state"} <= found


def _graft(damaged: Path, fresh: Path, grafted: Path) -> None:
    """A copy whose first page (header and schema) is that of a fresh store: every store has its tables at the same pages."""
    shutil.copyfile(damaged, grafted)
    with fresh.open("rb") as file:
        page = bytearray(file.read(_PAGE_BYTES))
    # Its count of pages is not that of the copy; at zero the length of the file counts.
    page[28:32] = bytes(4)
    with grafted.open("r+b") as file:
        file.write(page)


def _copy(source: sqlite3.Connection, writer: sqlite3.Connection, found: _Salvaged) -> None:
    states = _states(source)
    cursor = _cursor(states)
    sequence = _sequence(source, "sample")
    after_cursor = 0
    for row, block, stored in _samples(source, sequence or _last_row(source, "sample"), found.missing):
        found.samples += 1
        found.clocks[block.source] = max(block.end_ns, found.clocks.get(block.source, block.end_ns))
        after_cursor += cursor is not None and row > cursor
        _insert(writer, found.samples, f"INSERT INTO sample (row, {SAMPLE_COLUMNS})", (row, *stored))
    _end(writer)
    _copy_products(source, writer, found)
    _end(writer)
    # Rows are numbered without gaps: every one behind the cursor must be there.
    whole = cursor is not None and sequence is not None and after_cursor == sequence - cursor
    with _transaction(writer):
        if whole and states:
            writer.executemany("INSERT INTO state (stage, json) VALUES (?, ?)", states.items())
            found.states = len(states)
        elif found.products:
            # Without it all samples would pass for new ones, and what they gave would be said again.
            writer.execute("INSERT INTO state (stage, json) VALUES (?, ?)", (_CURSOR, LOST_CURSOR))
        if not whole:
            # Of decoders, sources and sinks, which are good without a checkpoint: no stage has a colon in its name.
            memories = [item for item in (states or {}).items() if ":" in item[0]]
            writer.executemany("INSERT INTO state (stage, json) VALUES (?, ?)", memories)
        for name, end_ns in _clocks(source):
            found.clocks[name] = max(end_ns, found.clocks.get(name, end_ns))
        writer.executemany("INSERT INTO source (name, end_ns) VALUES (?, ?)", found.clocks.items())
        _keep_sequence(writer, "sample", max(sequence or 0, cursor or 0))
        _keep_sequence(writer, "product", _sequence(source, "product") or 0)
    found.missing.look_up(source)


def _insert(writer: sqlite3.Connection, number: int, into: str, row: Sequence[Any]) -> None:
    """Insert the `number`-th row, in transactions of bounded size."""
    if number % _COMMIT_ROWS == 1:
        _end(writer)
        writer.execute("BEGIN")
    writer.execute(f"{into} VALUES ({', '.join('?' * len(row))})", row)


def _end(writer: sqlite3.Connection) -> None:
    if writer.in_transaction:
        writer.execute("COMMIT")


@contextmanager
def _transaction(writer: sqlite3.Connection) -> Iterator[None]:
    writer.execute("BEGIN")
    yield
    writer.execute("COMMIT")


def _samples(
    source: sqlite3.Connection, last: int, missing: Missing
) -> Iterator[tuple[int, SampleBlock, Sequence[Any]]]:
    walk = Walk(source, "sample", SAMPLE_COLUMNS, missing)
    for row, *stored in walk.rows(1, last):
        block = _sound_block(stored)
        if block is None:
            missing.add(row, row)
        else:
            yield row, block, stored


def _sound_block(stored: Sequence[Any]) -> SampleBlock | None:
    """The block of a row; None where it cannot be one that was let in."""
    source, _, _, t0_ns, end_ns, step_ns, level, sensor, frame, data = stored
    numbers = all(isinstance(number, int) for number in (t0_ns, end_ns, step_ns, level))
    names = isinstance(source, str) and all(one is None or isinstance(one, str) for one in (sensor, frame))
    if not (numbers and names and isinstance(data, bytes) and step_ns > 0):
        return None
    try:
        block = stored_block(stored)
    except (ValueError, RecursionError):
        return None
    return block if _is_plausible(block) else None


def _is_plausible(block: SampleBlock) -> bool:
    """Whether the values may have been measured: what overwrote a page of them seldom looks so."""
    limits = _LIMITS[block.domain]
    known = [row for row, name in enumerate(block.components) if name in limits]
    if beyond_limits([block.components[row] for row in known], block.values[known], limits) is not None:
        return False
    # Zeros to the last bit are what a disk gives that has lost a page. An index may well be 0 for days.
    ends = np.flatnonzero(np.concatenate(([True], block.values.ravel() != 0.0, [True])))
    return block.domain is Domain.INDEX or int(np.diff(ends).max()) <= _MOST_ZEROS


def _copy_products(source: sqlite3.Connection, writer: sqlite3.Connection, found: _Salvaged) -> None:
    missing = Missing()
    last = _sequence(source, "product") or _last_row(source, "product")
    for row, *stored in Walk(source, "product", _PRODUCT_COLUMNS, missing).rows(1, last):
        if not _is_sound_product(stored):
            missing.add(row, row)
            continue
        found.products += 1
        # Of two rows under one id, which no sound file has, the first counts.
        into = f"INSERT OR IGNORE INTO product (row, {_PRODUCT_COLUMNS})"
        _insert(writer, found.products, into, (row, *stored))
    found.lost_products = missing.rows


def _is_sound_product(stored: Sequence[Any]) -> bool:
    kind, subject, time_ns, revision, topic, retained, published, payload = stored
    texts = all(isinstance(text, str) for text in (kind, subject, topic))
    numbers = isinstance(time_ns, int) and isinstance(revision, int)
    if not (texts and numbers and retained in (0, 1) and published in (0, 1) and isinstance(payload, bytes)):
        return False
    try:
        return not payload or isinstance(json.loads(payload), dict)
    except (ValueError, RecursionError):
        return False


def _states(source: sqlite3.Connection) -> dict[str, str] | None:
    """The states, where all of them can be read and are JSON."""
    try:
        states = dict(source.execute("SELECT stage, json FROM state").fetchall())
        for stage, text in states.items():
            if not isinstance(stage, str) or not isinstance(text, str):
                return None
            json.loads(text)
    except (*_DAMAGE, ValueError, RecursionError):
        return None
    return states


def _cursor(states: Mapping[str, str] | None) -> int | None:
    """The last row that the states have seen."""
    cursor: Json = json.loads((states or {}).get(_CURSOR, "null"))
    row = cursor.get("row") if isinstance(cursor, dict) else None
    return row if isinstance(row, int) else None


def _clocks(source: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    try:
        for name, end_ns in source.execute("SELECT name, end_ns FROM source"):
            if isinstance(name, str) and isinstance(end_ns, int):
                yield name, end_ns
    except _DAMAGE:
        return


def _sequence(source: sqlite3.Connection, table: str) -> int | None:
    """The last row number that was given away; None where it cannot be read."""
    try:
        found = source.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()[0]
    except _DAMAGE:
        return None
    return found if isinstance(found, int) and 0 <= found < _LARGEST_ROW else None


def _last_row(source: sqlite3.Connection, table: str) -> int:
    try:
        found = source.execute(f"SELECT max(row) FROM {table}").fetchone()[0]  # noqa: S608 (constants)
    except _DAMAGE:
        return _LARGEST_ROW
    return min(found or 0, _LARGEST_ROW)


def _keep_sequence(writer: sqlite3.Connection, table: str, least: int) -> None:
    """Row numbers are never used twice, also those of rows that are lost: stages and sinks count by them."""
    held = writer.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    if held is None:
        writer.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, least))
    elif held[0] < least:
        writer.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (least, table))
