"""The archive's folder: journals that become Parquet. It works in threads, and does one thing at a time."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow

from monitor.errors import MonitorError
from monitor.plugins import StoredProduct
from monitor.types import SECOND_NS

from .parts import Row, digests, sync_folder, widened, write_part

logger = logging.getLogger(__name__)

_JOURNALS: Final = ".journal-*.jsonl"
_LOCK: Final = ".lock"


class Archive:
    """Products on their way into Parquet.

    A journal is a file of lines. It becomes one file of Parquet for each kind and date in it, named after the journal:
    where a crash comes in between, the same journal gives the same files once more. A product that is there already is
    left out, wherever in its kind and date it is.

    All methods raise MonitorError, and all of them block.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busy = threading.Lock()
        self._lock: int | None = None
        self._journal: int | None = None
        self._journal_path = folder
        self._rows = 0

    def open(self) -> None:
        """Take the folder for ourselves; what was left in journals becomes Parquet."""
        with self._doing():
            if self._lock is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._lock = self._locked()
            self._roll()

    def append(self, products: Sequence[StoredProduct]) -> int:
        """Write products to the journal, and return how many lines it has when they are on the disk."""
        # A subject that was removed is no object; what was said of it stays in the archive.
        lines = [_line(product) for product in products if product.payload]
        with self._doing():
            if self._lock is None:
                raise MonitorError(f"{self._folder}: is not open")
            if lines:
                self._append("".join(lines).encode())
                self._rows += len(lines)
            return self._rows

    def roll(self) -> None:
        """Make Parquet of the journal."""
        with self._doing():
            if self._lock is not None:
                self._roll()

    def close(self) -> None:
        """Make Parquet of the journal, and let go of the folder."""
        with self._doing():
            if self._lock is None:
                return
            try:
                self._roll()
            finally:
                lock, self._lock = self._lock, None
                os.close(lock)

    @contextmanager
    def _doing(self) -> Iterator[None]:
        try:
            with self._busy:
                yield
        except (OSError, pyarrow.ArrowException) as error:
            reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())[:200]
            raise MonitorError(f"{self._folder}: cannot be written ({reason})") from error

    def _locked(self) -> int:
        handle = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise MonitorError(f"{self._folder}: another daemon archives there; name another path") from None
        return handle

    def _append(self, content: bytes) -> None:
        if self._journal is None:
            self._journal_path = self._folder / f".journal-{time.time_ns():x}-{os.urandom(4).hex()}.jsonl"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._journal = os.open(self._journal_path, flags, 0o644)
            sync_folder(self._folder)
        size = os.fstat(self._journal).st_size
        try:
            written = 0
            while written < len(content):
                written += os.write(self._journal, content[written:])
            os.fsync(self._journal)
        except OSError:
            # Half a line would spoil the next one.
            os.ftruncate(self._journal, size)
            raise

    def _roll(self) -> None:
        if self._journal is not None:
            journal, self._journal = self._journal, None
            os.close(journal)
        for path in sorted(self._folder.glob(_JOURNALS)):
            name = f"part-{path.stem.removeprefix('.journal-')}.parquet"
            by_place: dict[tuple[str, str], dict[bytes, Row]] = {}
            for row in _read(path):
                by_place.setdefault((row.kind, _date(row.time_ns)), {}).setdefault(row.digest, row)
            for (kind, date), rows in by_place.items():
                self._write(self._folder / f"kind={kind}" / f"date={date}" / name, rows)
            path.unlink()
            sync_folder(self._folder)
        self._rows = 0

    def _write(self, path: Path, rows: dict[bytes, Row]) -> None:
        known = digests(path.parent, but=path.name)
        new = [row for digest, row in rows.items() if digest not in known]
        if new:
            write_part(path, widened(path.parent.parent, new), new)


def _line(product: StoredProduct) -> str:
    payload = product.payload.decode()
    return json.dumps([product.kind, product.subject, product.time_ns, product.revision, payload]) + "\n"


def _read(path: Path) -> Iterator[Row]:
    """The rows of a journal. The end of one that was being written is no row: it comes again."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield Row(*json.loads(line))
            except (ValueError, TypeError):
                logger.error("%s:%d: is damaged; what it held is in the store alone", path, number)


def _date(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC).strftime("%Y-%m-%d")
