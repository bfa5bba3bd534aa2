"""The file of the store: its schema and lock, how it is opened, and what happens to a damaged one.

One process per file: a lock file beside it holds a second one off. Two connections: one writes, one only reads.
"""

from __future__ import annotations

import fcntl
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from monitor.errors import StoreError
from monitor.io.store_queries import EVENT_INDEX

logger = logging.getLogger(__name__)

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


class _DamagedError(StoreError):
    """The file is not a sound database."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """The two connections to a store, and the descriptor that holds its lock."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    lock: IO[bytes]

    @classmethod
    def open(cls, path: Path) -> OpenFile:
        lock = _lock(path)
        writer: sqlite3.Connection | None = None
        try:
            try:
                writer = _connect(path)
            except _DamagedError as fault:
                _set_aside(path, fault)
                writer = _connect(path)
            with translated(path):
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
        lock = beside(path, ".lock").open("ab")
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
    with translated(path):
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
    connection.execute(EVENT_INDEX)


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
    kept = beside(path, f".corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    try:
        for suffix in ("-wal", "-shm", ""):
            name = beside(path, suffix)
            if name.exists():
                name.rename(beside(kept, suffix))
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


def beside(path: Path, suffix: str) -> Path:
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
def translated(path: Path) -> Iterator[None]:
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
