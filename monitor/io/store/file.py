"""The file of the store: its schema, how a connection to it is made, and what SQLite's complaints mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from monitor.errors import StoreDamagedError, StoreError
from monitor.io.store.queries import EVENT_INDEX
from monitor.io.store.spectra import SPECTRUM_TABLE

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
DAMAGE_MARK = ".damaged"
"""A file of this name beside the store says that it was found damaged while in use, and how."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a sound store for writing, or lay one out; StoreDamagedError where it is not sound."""
    with translated(path):
        connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that only reads, beside whoever writes. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"{path}: there is no store; is store.path the one of the daemon?")
    with translated(path):
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Set the connection up; check what is in the file, or lay it out when it is empty."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = OFF")
    if not path.stat().st_size:
        # It only takes before the first page. Later it would write all the same, for which a full disk has no room.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
    statements = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")}
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if statements or version:
        _check(connection, path, statements)
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
    connection.execute(SPECTRUM_TABLE)


def require_store(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError where a file is no store, or one of another version."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise StoreError(f"{path}: is a database of another program; set store.path to another place")
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != _SCHEMA_VERSION:
        raise StoreError(
            f"{path}: has schema version {version}, this program writes {_SCHEMA_VERSION};"
            " run the version that wrote it, or set store.path to another place"
        )


def _check(connection: sqlite3.Connection, path: Path, statements: set[str]) -> None:
    require_store(connection, path)
    verdict: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreDamagedError(f"{path}: {verdict}")
    if not statements.issuperset(_SCHEMA):
        raise StoreDamagedError(f"{path}: its tables are not those of schema version {_SCHEMA_VERSION}")


def beside(path: Path, suffix: str) -> Path:
    """The file that belongs to a store under a longer name."""
    return path.with_name(path.name + suffix)


_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full; free space there, or lower store.retention_h",
    sqlite3.SQLITE_READONLY: "cannot be written; give the file and its directory to the user that runs the monitor",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; give the file and its directory to the user that runs the monitor,"
    " or set store.path to another place",
    sqlite3.SQLITE_BUSY: "is held by another program; close what has it open",
    sqlite3.SQLITE_IOERR: "cannot be read or written; check the disk",
    sqlite3.SQLITE_CORRUPT: "is damaged; a restart sets it aside and goes on with what can be read of it",
    sqlite3.SQLITE_NOTADB: "is no database; a restart sets it aside and goes on with what can be read of it",
}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into `StoreError`: a line for the operator, with what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        advice = _ADVICE.get(code, "the store failed")
        if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreError(f"{path}: {advice} ({error})") from error
        # The check at the next start may find nothing wrong with what failed here: an index, say.
        with suppress(OSError):
            beside(path, DAMAGE_MARK).write_text(f"{error}\n", encoding="utf-8")
        raise StoreDamagedError(f"{path}: {advice} ({error})") from error
    except (OverflowError, UnicodeError) as error:
        raise StoreError(f"{path}: cannot hold a value ({error})") from error
