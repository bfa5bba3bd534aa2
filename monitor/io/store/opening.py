"""How the daemon takes its store: the lock, the two connections, and what happens to a damaged file.

One process per file: a lock file beside it holds a second one off. Two connections: one writes, one only reads.

A damaged file is kept as `<name>.corrupt-<UTC stamp>`. Before that, all that can be read of it is copied into
`<name>.salvage`, which is called `<name>.salvaged` once it is whole, and takes the store's name in the end: whatever
stops the program on the way, the next start finds either the damaged file or the whole copy.
"""

from __future__ import annotations

import fcntl
import logging
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from monitor.errors import StoreDamagedError, StoreError
from monitor.io.store.file import DAMAGE_MARK, beside, connect, read_only
from monitor.io.store.salvage import salvage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """The two connections to a store, and the descriptor that holds its lock."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    lock: IO[bytes]

    @classmethod
    def open(cls, path: Path) -> OpenFile:
        """Take the lock and open the store; a damaged one is replaced first. Raises StoreError."""
        lock = _lock(path)
        writer: sqlite3.Connection | None = None
        try:
            writer = _writer(path)
            reader = read_only(path)
        except BaseException:
            if writer is not None:
                writer.close()
            lock.close()
            raise
        return cls(writer, reader, lock)

    def close(self) -> None:
        """Close all three; harmless when they are closed already."""
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


def _writer(path: Path) -> sqlite3.Connection:
    try:
        _finish_replacement(path)
        _require_unmarked(path)
        return connect(path)
    except StoreDamagedError as fault:
        _replace(path, fault)
        return connect(path)


def _require_unmarked(path: Path) -> None:
    """Raise where the last run found damage: what it found need not show in the check at the start."""
    mark = beside(path, DAMAGE_MARK)
    if path.exists() and mark.exists():
        found = mark.read_text(encoding="utf-8", errors="replace").strip()
        raise StoreDamagedError(f"the last run found: {found}")


def _finish_replacement(path: Path) -> None:
    """Where a replacement was cut off between its last two steps, do the last one."""
    salvaged = beside(path, ".salvaged")
    if not path.exists() and salvaged.exists():
        beside(path, DAMAGE_MARK).unlink(missing_ok=True)
        salvaged.rename(path)


def _replace(path: Path, fault: StoreError) -> None:
    """Put what can be read of a damaged store in its place, keep the damaged file and its log beside, and say so."""
    fresh, salvaged = beside(path, ".salvage"), beside(path, ".salvaged")
    kept = beside(path, f".corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    try:
        for name in (fresh, beside(fresh, "-wal"), beside(fresh, "-shm"), salvaged):
            name.unlink(missing_ok=True)
        said = salvage(path, fresh)
        fresh.rename(salvaged)
        # The main file goes last: a log without its file would be taken for that of the next one.
        for suffix in ("-wal", "-shm", ""):
            name = beside(path, suffix)
            if name.exists():
                name.rename(beside(kept, suffix))
        beside(path, DAMAGE_MARK).unlink(missing_ok=True)
        salvaged.rename(path)
    except OSError as error:
        raise StoreError(
            f"{path}: is damaged and cannot be set aside ({error.strerror}); move it away"
        ) from error
    logger.error("store %s is damaged (%s): kept as %s; %s", path, " ".join(str(fault).split()), kept, said)
