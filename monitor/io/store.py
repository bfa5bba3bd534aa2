"""The durable store: samples with a retention, products with their outbox, and the states of the stages.

One SQLite file in WAL mode. Every write is one transaction with `synchronous=FULL`: when the call returns, the rows
are on disk, and the message that brought them may be acknowledged. A killed process or a power cut loses nothing that
was acknowledged (decision 0004).

Threads: one connection writes, a second one only reads. Each is guarded by its own lock, so that every method may be
called from any thread; a long write never blocks a reader and a reader never blocks the writer. The daemon calls the
writing methods from one worker thread and lets HTTP read from another. One process per file: a lock file beside it
holds a second one off.
"""

from __future__ import annotations

import fcntl
import json
import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from monitor.errors import StoreError
from monitor.types import Domain, Json, Product, SampleBlock, iso_time

logger = logging.getLogger(__name__)

# Live singles become one row per call, but a row stays small enough to be read whole.
_ROW_VALUES = 1 << 16
# One page of a streaming read, and one bite of `prune`.
_PAGE_ROWS = 256
_PAGE_BYTES = 4 << 20
_PRUNE_ROWS = 1024
_PRUNE_BYTES = 8 << 20
# Free pages that stay in the file for the next writes: giving each back would move pages at every prune.
_FREE_PAGES_KEPT = 256
_FREE_PAGES_GIVEN_BACK = 4096

_SAMPLE_COLUMNS = "row, source, domain, components, t0_ns, end_ns, step_ns, level, sensor, frame, data"

_APPLICATION_ID = 0x67656F73  # "geos": whose file it is, in the header of the file
_SCHEMA_VERSION = 1
# The text is compared with what the file holds, so it is written exactly as SQLite keeps it.
_SCHEMA = (
    (
        "CREATE TABLE sample (row INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, domain TEXT NOT NULL,"
        " components TEXT NOT NULL, t0_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, step_ns INTEGER NOT NULL,"
        # The blob comes last: what only looks at the other columns never reads its pages.
        " level INTEGER NOT NULL, sensor TEXT, frame TEXT, data BLOB NOT NULL)"
    ),
    "CREATE INDEX sample_by_end ON sample (source, end_ns)",
    "CREATE TABLE source (name TEXT PRIMARY KEY, end_ns INTEGER NOT NULL) WITHOUT ROWID",
    (
        "CREATE TABLE product (row INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL,"
        " time_ns INTEGER NOT NULL, revision INTEGER NOT NULL, topic TEXT NOT NULL, retained INTEGER NOT NULL,"
        " published INTEGER NOT NULL DEFAULT 0, payload BLOB NOT NULL, UNIQUE (kind, subject, time_ns, revision))"
    ),
    "CREATE INDEX product_by_time ON product (kind, time_ns, subject, revision)",
    "CREATE INDEX outbox ON product (row) WHERE published = 0",
    "CREATE TABLE state (stage TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID",
)
_JOURNAL_BYTES = 16 << 20

# Products are kept for years: these step from one kind or subject to the next through the index, and never scan it.
_KINDS = """
    WITH RECURSIVE step (kind) AS (
        SELECT min(kind) FROM product
        UNION ALL
        SELECT (SELECT min(p.kind) FROM product AS p WHERE p.kind > step.kind) FROM step WHERE step.kind IS NOT NULL)
    SELECT kind FROM step WHERE kind IS NOT NULL"""
_SUBJECTS = """
    WITH RECURSIVE step (subject) AS (
        SELECT min(subject) FROM product WHERE kind = :kind
        UNION ALL
        SELECT (SELECT min(p.subject) FROM product AS p WHERE p.kind = :kind AND p.subject > step.subject)
        FROM step WHERE step.subject IS NOT NULL)
    SELECT subject, {what} FROM step WHERE subject IS NOT NULL"""
_NEWEST_TIMES = _SUBJECTS.format(
    what="(SELECT max(p.time_ns) FROM product AS p WHERE p.kind = :kind AND p.subject = step.subject)"
)
_LATEST = _SUBJECTS.format(
    what="(SELECT p.payload FROM product AS p WHERE p.kind = :kind AND p.subject = step.subject"
    " ORDER BY p.time_ns DESC, p.revision DESC LIMIT 1)"
)


class _DamagedError(StoreError):
    """The file is not a sound database."""


@dataclass(frozen=True, slots=True)
class _OpenFile:
    """The two connections to a store, and the descriptor that holds its lock."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    lock: IO[bytes]

    @classmethod
    def open(cls, path: Path) -> _OpenFile:
        lock = _lock(path)
        writer: sqlite3.Connection | None = None
        try:
            try:
                writer = _connect(path)
            except _DamagedError as fault:
                _set_aside(path, fault)
                writer = _connect(path)
            with _translated(path):
                reader = sqlite3.connect(
                    f"{path.absolute().as_uri()}?mode=ro",
                    uri=True,
                    isolation_level=None,
                    check_same_thread=False,
                )
        except BaseException:
            if writer is not None:
                writer.close()
            lock.close()
            raise
        return cls(writer, reader, lock)

    def close(self) -> None:
        # The last connection to close checkpoints, which the read-only one cannot do.
        self.reader.close()
        self.writer.close()
        self.lock.close()


def _lock(path: Path) -> IO[bytes]:
    """Create the directory and take the lock file, which the system frees when the process ends in whatever way."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _beside(path, ".lock").open("ab")
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); give its directory to the user that runs the monitor,"
            " or set store.path to another place"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(
            f"{path}: is in use by another process; stop that one, or give each instance its own store.path"
        ) from error
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    with _translated(path):
        connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Set the connection up; check what is in the file, or lay it out when it is empty."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only takes before the first table
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
    statements = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")}
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if statements or version:
        _check(connection, path, statements, version)
    mode: str = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"{path}: cannot be used in WAL mode; set store.path to a place on a local disk")
    if not statements:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        connection.execute("COMMIT")


def _check(connection: sqlite3.Connection, path: Path, statements: set[str], version: int) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise StoreError(f"{path}: is a database of another program; set store.path to another place")
    if version != _SCHEMA_VERSION:
        raise StoreError(
            f"{path}: has schema version {version}, this program writes {_SCHEMA_VERSION};"
            " run the version that wrote it, or set store.path to another place"
        )
    verdict: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _DamagedError(f"{path}: {verdict}")
    if not statements.issuperset(_SCHEMA):
        raise _DamagedError(f"{path}: its tables are not those of schema version {_SCHEMA_VERSION}")


def _set_aside(path: Path, fault: StoreError) -> None:
    """Keep a damaged file and its log beside, for whoever wants to rescue something, and say so."""
    kept = _beside(path, f".corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    try:
        for suffix in ("-wal", "-shm", ""):
            name = _beside(path, suffix)
            if name.exists():
                name.rename(_beside(kept, suffix))
    except OSError as error:
        raise StoreError(
            f"{path}: is damaged and cannot be set aside ({error.strerror}); move it away"
        ) from error
    logger.error(
        "store %s is damaged (%s): kept as %s, and a fresh one is begun;"
        " samples and unpublished products in it are not read again",
        path,
        fault,
        kept,
    )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full; free space there, or lower store.retention_h",
    sqlite3.SQLITE_READONLY: "cannot be written; give the file and its directory to the user that runs the monitor",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; give the file and its directory to the user that runs the monitor,"
    " or set store.path to another place",
    sqlite3.SQLITE_BUSY: "is held by another program; close what has it open",
    sqlite3.SQLITE_IOERR: "cannot be read or written; check the disk",
    sqlite3.SQLITE_CORRUPT: "is damaged; restart, and it is set aside and a fresh one begun",
    sqlite3.SQLITE_NOTADB: "is no database; restart, and it is set aside and a fresh one begun",
}


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into `StoreError`: a line for the operator, with what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        advice = _ADVICE.get(code, "the store failed")
        kind = _DamagedError if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else StoreError
        raise kind(f"{path}: {advice} ({error})") from error
    except (OverflowError, UnicodeError) as error:
        raise StoreError(f"{path}: cannot hold a value ({error})") from error


def coalesce(blocks: Sequence[SampleBlock]) -> list[SampleBlock]:
    """Join blocks that follow on each other, so that live singles do not cost a row each.

    A block is only ever joined to the last one of its source, and only when it begins where that one ends: laid over
    each other in order, the result gives the same samples as the input (what comes later wins). Empty blocks vanish.
    """
    runs: list[list[SampleBlock]] = []
    last: dict[str, list[SampleBlock]] = {}
    sizes: dict[str, int] = {}
    for block in blocks:
        if not block.count:
            continue
        run = last.get(block.source)
        size = sizes.get(block.source, 0) + block.values.size
        if run is not None and size <= _ROW_VALUES and _follows(run[-1], block):
            run.append(block)
        else:
            run = [block]
            size = block.values.size
            runs.append(run)
        last[block.source], sizes[block.source] = run, size
    return [
        run[0] if len(run) == 1 else replace(run[0], values=np.concatenate([b.values for b in run], axis=1))
        for run in runs
    ]


def _follows(before: SampleBlock, block: SampleBlock) -> bool:
    return before.end_ns == block.t0_ns and _series(before) == _series(block)


def _series(block: SampleBlock) -> tuple[object, ...]:
    return (block.domain, block.components, block.step_ns, block.level, block.sensor, block.frame)


def _sample_row(block: SampleBlock) -> tuple[object, ...]:
    if block.step_ns <= 0 or block.values.shape[0] != len(block.components):
        raise StoreError(
            f"samples of {block.source} cannot be stored: {len(block.components)} components in an array of shape"
            f" {block.values.shape} with a step of {block.step_ns} ns"
        )
    data = np.ascontiguousarray(block.values, dtype="<f8").tobytes()
    components = json.dumps(block.components)
    head = (block.source, block.domain.value, components, block.t0_ns, block.end_ns, block.step_ns)
    return (*head, block.level, block.sensor, block.frame, data)


def _require_same(connection: sqlite3.Connection, product: Product, payload: bytes) -> None:
    """Raise when the product that is stored under this id has other content (`published` is none)."""
    key = (product.kind, product.subject, product.time_ns, product.revision)
    stored: bytes = connection.execute(
        "SELECT payload FROM product WHERE kind = ? AND subject = ? AND time_ns = ? AND revision = ?", key
    ).fetchone()[0]
    if stored != payload and _content(stored) != _content(payload):
        raise StoreError(
            f"{product.topic} of {iso_time(product.time_ns)}, revision {product.revision}:"
            " published twice with different content under one id; a new content needs a higher revision"
        )


def _content(payload: bytes) -> Json:
    try:
        document = json.loads(payload)
    except ValueError:
        return payload
    if isinstance(document, dict):
        document.pop("published", None)
    return document


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A product that waits for the broker: `row` is what `mark_published` takes, `topic` is below the output root."""

    row: int
    topic: str
    payload: bytes
    retained: bool
    kind: str
    subject: str
    time_ns: int
    revision: int


class Store:
    """Samples, products and stage states in one file. Made by `Store.open`; use as a context manager or `close` it."""

    def __init__(
        self, path: Path, files: _OpenFile, *, retention_ns: int, product_retention_ns: int | None
    ) -> None:
        self.path = path
        self._files = files
        self._retention_ns = retention_ns
        self._product_retention_ns = product_retention_ns
        self._writer_lock = threading.Lock()
        self._reader_lock = threading.Lock()
        # Row numbers are never used twice, even when every row has been pruned: they are cursors for snapshots.
        self._last_row: int = self._read_all(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'sample'"
        )[0][0]

    @classmethod
    def open(cls, path: Path, *, retention_ns: int, product_retention_ns: int | None) -> Store:
        """Open the store, or begin it where there is none.

        A damaged file is kept beside as `<name>.corrupt-<UTC stamp>`, said in the log, and a fresh one is begun.

        Parameters
        ----------
        path : Path
        retention_ns : int
            How long samples are kept, counted back from each source's own clock.
        product_retention_ns : int or None
            How long products are kept, counted back from the newest of their subject; None keeps them.

        Raises
        ------
        StoreError
            The place cannot be written, another process uses the file, or it is not a store of this version.
        """
        files = _OpenFile.open(path)
        try:
            return cls(path, files, retention_ns=retention_ns, product_retention_ns=product_retention_ns)
        except BaseException:
            files.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless when it is closed already."""
        with self._writer_lock, self._reader_lock:
            self._files.close()

    # -- writing ------------------------------------------------------------------------------------------------

    def write_samples(self, blocks: Sequence[SampleBlock]) -> int:
        """Store blocks in one transaction, in the order of arrival; they are durable when this returns.

        Returns
        -------
        int
            The last row number of the store: every sample given so far is in rows up to it.

        Raises
        ------
        StoreError
            The blocks cannot be stored (disk full, a malformed block); then none of them is.
        """
        rows = [_sample_row(block) for block in coalesce(blocks)]
        ends: dict[str, int] = {}
        for block in blocks:
            if block.count:
                ends[block.source] = max(block.end_ns, ends.get(block.source, block.end_ns))
        if not rows:
            return self._last_row
        last_row = self._last_row
        with self._transaction() as connection:
            for row in rows:
                inserted = connection.execute(
                    "INSERT INTO sample (source, domain, components, t0_ns, end_ns, step_ns, level, sensor, frame, data)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
                last_row = inserted.lastrowid or last_row
            connection.executemany(
                "INSERT INTO source (name, end_ns) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET end_ns = max(end_ns, excluded.end_ns)",
                ends.items(),
            )
        self._last_row = last_row
        return last_row

    def commit(self, products: Sequence[tuple[Product, bytes]], states: Mapping[str, str]) -> None:
        """Store products, put them into the outbox, and store stage states, all in one transaction.

        A product that is there already with the same content is left as it was (also its place in the outbox):
        `published` is the moment of sending and no content. An empty payload is the removal of a subject.

        Raises
        ------
        StoreError
            Nothing could be written, or a product is there already with different content; nothing is stored then.
        """
        with self._transaction() as connection:
            for product, payload in products:
                inserted = connection.execute(
                    "INSERT INTO product (kind, subject, time_ns, revision, topic, retained, payload)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, subject, time_ns, revision) DO NOTHING",
                    (
                        product.kind,
                        product.subject,
                        product.time_ns,
                        product.revision,
                        product.topic,
                        int(product.retained),
                        payload,
                    ),
                )
                if inserted.rowcount == 0:
                    _require_same(connection, product, payload)
            connection.executemany(
                "INSERT INTO state (stage, json) VALUES (?, ?) ON CONFLICT (stage) DO UPDATE SET json = excluded.json",
                states.items(),
            )

    def mark_published(self, rows: Sequence[int]) -> None:
        """Take rows out of the outbox; the products stay."""
        if rows:
            with self._transaction() as connection:
                connection.executemany(
                    "UPDATE product SET published = 1 WHERE row = ?", [(row,) for row in rows]
                )

    def prune(self) -> int:
        """Delete a bite of what is past its retention, and give free pages back to the file system.

        Samples count back from their source's own clock, products from the newest of their kind and subject; what is
        not yet published stays. The work of one call is bounded: call again while it returns more than 0.

        Returns
        -------
        int
            How many rows were deleted.
        """
        with self._transaction() as connection:
            samples = self._doomed_samples(connection)
            products = self._doomed_products(connection)
            connection.executemany("DELETE FROM sample WHERE row = ?", samples)
            connection.executemany("DELETE FROM product WHERE row = ?", products)
        with self._writer_lock, _translated(self.path):
            free: int = self._files.writer.execute("PRAGMA freelist_count").fetchone()[0]
            excess = min(free - _FREE_PAGES_KEPT, _FREE_PAGES_GIVEN_BACK)
            if excess > 0:
                # The pragma gives one page back per step and has no columns: `execute` would step it once and stop.
                self._files.writer.executescript(f"PRAGMA incremental_vacuum({excess})")
        return len(samples) + len(products)

    def _doomed_samples(self, connection: sqlite3.Connection) -> list[tuple[int]]:
        doomed: list[tuple[int]] = []
        size = 0
        for name, end_ns in connection.execute("SELECT name, end_ns FROM source ORDER BY name").fetchall():
            rows = connection.execute(
                "SELECT row, length(data) FROM sample WHERE source = ? AND end_ns <= ? ORDER BY end_ns, row LIMIT ?",
                (name, end_ns - self._retention_ns, _PRUNE_ROWS - len(doomed)),
            ).fetchall()
            for row, length in rows:
                if doomed and size + length > _PRUNE_BYTES:
                    return doomed
                doomed.append((row,))
                size += length
        return doomed

    def _doomed_products(self, connection: sqlite3.Connection) -> list[tuple[int]]:
        doomed: list[tuple[int]] = []
        if self._product_retention_ns is None:
            return doomed
        for (kind,) in connection.execute(_KINDS).fetchall():
            for subject, newest_ns in connection.execute(_NEWEST_TIMES, {"kind": kind}).fetchall():
                doomed += connection.execute(
                    "SELECT row FROM product WHERE kind = ? AND subject = ? AND time_ns < ? AND published = 1"
                    " ORDER BY time_ns LIMIT ?",
                    (kind, subject, newest_ns - self._product_retention_ns, _PRUNE_ROWS - len(doomed)),
                ).fetchall()
        return doomed

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writer_lock, _translated(self.path):
            connection = self._files.writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite itself rolls back on a full disk; a second ROLLBACK would hide the reason.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    # -- reading ------------------------------------------------------------------------------------------------

    def _read_all(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        # Read to the end at once: an open cursor would keep the WAL from being checkpointed.
        with self._reader_lock, _translated(self.path):
            return self._files.reader.execute(sql, parameters).fetchall()

    def outbox(self, limit: int) -> list[OutboxRow]:
        """Return up to `limit` products that are not yet published, in the order of their commits."""
        rows = self._read_all(
            "SELECT row, topic, payload, retained, kind, subject, time_ns, revision FROM product"
            " WHERE published = 0 ORDER BY row LIMIT ?",
            (limit,),
        )
        return [OutboxRow(row[0], row[1], row[2], bool(row[3]), *row[4:]) for row in rows]

    def states(self) -> dict[str, str]:
        """Return the stage states of the last commits: JSON text by stage name."""
        return dict(self._read_all("SELECT stage, json FROM state"))

    def sources(self) -> dict[str, int]:
        """Return the clock of every source ever stored: its largest sample end (ns), pruned samples included."""
        return dict(self._read_all("SELECT name, end_ns FROM source"))

    def samples(
        self, source: str | None, start_ns: int, *, after_row: int = 0, up_to_row: int | None = None
    ) -> Iterator[tuple[int, SampleBlock]]:
        """Yield stored blocks in the order of arrival, with bounded memory.

        Parameters
        ----------
        source : str or None
            Only this source; None is all.
        start_ns : int
            Only blocks that end after it.
        after_row, up_to_row : int
            Only rows in (after_row, up_to_row].

        Yields
        ------
        int, SampleBlock
            The row number and the block (samples of one call that follow on each other come as one block). A row
            that cannot be read is left out and said in the log: it is a gap.
        """
        last = self._last_row if up_to_row is None else up_to_row
        row = max(after_row, self._first_row(source, start_ns) - 1)
        condition = "" if source is None else "AND source = :source"
        sql = (
            # Scanned by row: rows come in about the order of time, so that the scan begins near what is wanted.
            f"SELECT {_SAMPLE_COLUMNS} FROM sample NOT INDEXED WHERE row > :row AND row <= :last"  # noqa: S608 (constants)
            f" AND end_ns > :start {condition} ORDER BY row LIMIT {_PAGE_ROWS}"
        )
        while row < last:
            page = self._page(sql, {"row": row, "last": last, "start": start_ns, "source": source})
            for stored in page:
                row = stored[0]
                block = self._block(stored)
                if block is not None:
                    yield row, block
            if not page:
                return

    def _first_row(self, source: str | None, start_ns: int) -> int:
        names = list(self.sources()) if source is None else [source]
        rows = [
            self._read_all("SELECT min(row) FROM sample WHERE source = ? AND end_ns > ?", (name, start_ns))[
                0
            ][0]
            for name in names
        ]
        return min((row for row in rows if row is not None), default=self._last_row + 1)

    def _page(self, sql: str, parameters: Mapping[str, Any]) -> list[Any]:
        page: list[Any] = []
        size = 0
        with self._reader_lock, _translated(self.path):
            cursor = self._files.reader.execute(sql, parameters)
            try:
                for stored in cursor:
                    page.append(stored)
                    size += len(stored[-1])
                    if size >= _PAGE_BYTES:
                        break
            finally:
                cursor.close()
        return page

    def _block(self, stored: Sequence[Any]) -> SampleBlock | None:
        row, source, domain, components, t0_ns, end_ns, step_ns, level, sensor, frame, data = stored
        try:
            names = tuple(str(name) for name in json.loads(components))
            values = np.frombuffer(data, dtype="<f8").reshape(len(names), -1).astype(np.float64)
            if t0_ns + values.shape[1] * step_ns != end_ns:
                raise ValueError(f"{values.shape[1]} samples do not reach its end {iso_time(end_ns)}")
            return SampleBlock(source, names, t0_ns, step_ns, values, Domain(domain), level, sensor, frame)
        except (ValueError, TypeError) as error:
            logger.error(
                "store %s: row %s of source %s is damaged and left out: %s", self.path, row, source, error
            )
            return None

    def products(
        self, kind: str, subject: str | None, start_ns: int, end_ns: int, *, latest_revision: bool = True
    ) -> Iterator[dict[str, Json]]:
        """Yield the published objects with a time in [start_ns, end_ns), by time, subject and revision.

        Parameters
        ----------
        kind : str
        subject : str or None
            Only this subject; None is all.
        start_ns, end_ns : int
        latest_revision : bool
            Of each subject and time, only the newest revision.
        """
        condition = "" if subject is None else "AND subject = :subject"
        if latest_revision:
            condition += (
                " AND NOT EXISTS (SELECT 1 FROM product AS newer WHERE newer.kind = product.kind AND newer.subject ="
                " product.subject AND newer.time_ns = product.time_ns AND newer.revision > product.revision)"
            )
        sql = (
            "SELECT time_ns, subject, revision, payload FROM product WHERE kind = :kind"  # noqa: S608 (constants)
            f" AND time_ns >= :time AND time_ns < :end AND (time_ns, subject, revision) > (:time, :after, :revision) {condition}"
            f" ORDER BY time_ns, subject, revision LIMIT {_PAGE_ROWS}"
        )
        # The empty text is the smallest subject, and no revision is negative: the first page begins at start_ns.
        after: tuple[int, str, int] = (start_ns, "", -1)
        while True:
            page = self._page(
                sql,
                {
                    "kind": kind,
                    "subject": subject,
                    "end": end_ns,
                    "time": after[0],
                    "after": after[1],
                    "revision": after[2],
                },
            )
            for time_ns, name, revision, payload in page:
                after = (time_ns, name, revision)
                document = self._document(payload, kind, name)
                if document is not None:
                    yield document
            if not page:
                return

    def latest(self, kind: str) -> dict[str, dict[str, Json]]:
        """Return each subject's newest time in its newest revision; a removed subject is left out."""
        rows = self._read_all(_LATEST, {"kind": kind})
        documents = {subject: self._document(payload, kind, subject) for subject, payload in rows}
        return {subject: document for subject, document in documents.items() if document is not None}

    def _document(self, payload: bytes, kind: str, subject: str) -> dict[str, Json] | None:
        if not payload:
            return None
        try:
            document = json.loads(payload)
        except ValueError as error:
            logger.error(
                "store %s: a product %s/%s is damaged and left out: %s", self.path, kind, subject, error
            )
            return None
        return document if isinstance(document, dict) else None

    def size_bytes(self) -> int:
        """Return the size of the file and its write-ahead log."""
        size = 0
        for name in (self.path, _beside(self.path, "-wal")):
            if name.exists():
                size += name.stat().st_size
        return size
