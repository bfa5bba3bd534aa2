"""A copy of the store while the daemon goes on writing: one moment of it, checked, under its name only when it is whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitor.errors import StoreError
from monitor.io.store.file import beside, read_only, require_store, translated

# Between two steps the program can be interrupted, and whoever waits sees how far it is.
_STEP_PAGES: Final = 64


@dataclass(frozen=True, slots=True)
class Backup:
    """What was copied: size of the copy (bytes), and how many rows of samples and products are in it."""

    size: int
    samples: int
    products: int


def back_up(
    path: Path, target: Path, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Backup:
    """Copy the store at `path` to the new file `target`; the daemon may hold the store meanwhile.

    Parameters
    ----------
    path, target : Path
    progress : callable
        Called after each step with the pages that are copied and all there are.

    Raises
    ------
    StoreError
        There is no store, `target` is there already or cannot be written, or the copy is not sound.
    """
    if target.exists():
        raise StoreError(f"{target}: is there already; name another file with -o")
    unfinished = beside(target, f".{os.getpid()}.partial")
    try:
        with closing(read_only(path)) as source, translated(path):
            require_store(source, path)
            _copy(source, unfinished, target, progress)
        found = _checked(unfinished)
        _flush(unfinished)
        # A link refuses a name that somebody took meanwhile; a rename would not.
        os.link(unfinished, target)
    except OSError as error:
        raise StoreError(
            f"{target}: cannot be written ({error.strerror}); name another file with -o"
        ) from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            beside(unfinished, suffix).unlink(missing_ok=True)
    return found


def _copy(
    source: sqlite3.Connection, unfinished: Path, target: Path, progress: Callable[[int, int], None]
) -> None:
    # One read transaction throughout: without it, every commit of the daemon would make the copy begin again.
    source.execute("BEGIN")
    source.execute("SELECT count(*) FROM sqlite_master").fetchone()
    with translated(target), closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
        source.backup(
            copy, pages=_STEP_PAGES, progress=lambda _status, left, total: progress(total - left, total)
        )
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
    source.execute("ROLLBACK")


def _checked(unfinished: Path) -> Backup:
    with closing(read_only(unfinished)) as copy, translated(unfinished):
        verdict: str = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreError(
                f"the copy is not sound ({' '.join(verdict.split())}): the store is damaged;"
                " restart the daemon, which salvages it, and back up again"
            )
        samples, products = (
            copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 (constants)
            for table in ("sample", "product")
        )
    return Backup(unfinished.stat().st_size, samples, products)


def _flush(path: Path) -> None:
    """The data before the name: a power cut leaves no empty file under it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
