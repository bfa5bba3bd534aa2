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

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from monitor.errors import StoreError
from monitor.io.store.compaction import Compaction
from monitor.io.store.file import beside, translated
from monitor.io.store.opening import OpenFile
from monitor.io.store.queries import (
    DECODER_STATE,
    KEEP_SPECTRUM,
    KINDS,
    NEWEST_TIMES,
    PRUNE_SPECTRA,
    PUT_STATE,
)
from monitor.io.store.reading import StoreReader
from monitor.io.store.rows import SAMPLE_COLUMNS, OutboxRow, coalesce, require_same, sample_row
from monitor.io.store.spectra import SpectrumRow
from monitor.types import Product, SampleBlock

__all__ = ["DECODER_STATE", "OutboxRow", "Store", "coalesce"]

# One bite of `prune`.
_PRUNE_ROWS = 1024
_PRUNE_BYTES = 8 << 20
# Free pages that stay in the file for the next writes: giving each back would move pages at every prune.
_FREE_PAGES_KEPT = 256
_FREE_PAGES_GIVEN_BACK = 4096


class Store(StoreReader):
    """Samples, products and stage states in one file. Made by `Store.open`; use as a context manager or `close` it."""

    def __init__(
        self,
        path: Path,
        files: OpenFile,
        *,
        retention_ns: int,
        product_retention_ns: int | None,
        spectra_retention_ns: int,
    ) -> None:
        super().__init__(path, files.reader)
        self._files = files
        self._retention_ns = retention_ns
        self._product_retention_ns = product_retention_ns
        self._spectra_retention_ns = spectra_retention_ns
        self._writer_lock = threading.Lock()
        self._identity = _identity(path)
        self._compaction = Compaction()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        retention_ns: int,
        product_retention_ns: int | None,
        spectra_retention_ns: int = 0,
    ) -> Store:
        """Open the store, or begin it where there is none.

        A damaged file is kept beside as `<name>.corrupt-<UTC stamp>`, and the store goes on with what could be read
        of it; the log says what that was.

        Parameters
        ----------
        path : Path
        retention_ns : int
            How long samples are kept, counted back from each source's own clock.
        product_retention_ns : int or None
            How long products are kept, counted back from the newest of their subject; None keeps them.
        spectra_retention_ns : int
            How long packed spectra are kept, counted back from the newest of their pair.

        Raises
        ------
        StoreError
            The place cannot be written, another process uses the file, or it is not a store of this version.
        """
        files = OpenFile.open(path)
        try:
            return cls(
                path,
                files,
                retention_ns=retention_ns,
                product_retention_ns=product_retention_ns,
                spectra_retention_ns=spectra_retention_ns,
            )
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

    def write_samples(self, blocks: Sequence[SampleBlock], states: Mapping[str, str] | None = None) -> int:
        """Store blocks in one transaction, in the order of arrival; they are durable when this returns.

        Parameters
        ----------
        blocks : sequence of SampleBlock
        states : mapping of str to str, optional
            What decoders remember and how far sources are, as JSON by name, stored in the same transaction.

        Returns
        -------
        int
            The last row number of the store: every sample given so far is in rows up to it.

        Raises
        ------
        StoreError
            The blocks cannot be stored (disk full, a malformed block); then none of them is.
        """
        rows = [sample_row(block) for block in coalesce(blocks)]
        ends: dict[str, int] = {}
        for block in blocks:
            if block.count:
                ends[block.source] = max(block.end_ns, ends.get(block.source, block.end_ns))
        if not rows and not states:
            return self._last_row
        last_row = self._last_row
        with self._transaction() as connection:
            for row in rows:
                inserted = connection.execute(
                    f"INSERT INTO sample ({SAMPLE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (constants)
                    row,
                )
                last_row = inserted.lastrowid or last_row
            connection.executemany(
                "INSERT INTO source (name, end_ns) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET end_ns = max(end_ns, excluded.end_ns)",
                ends.items(),
            )
            connection.executemany(PUT_STATE, (states or {}).items())
        self._last_row = last_row
        return last_row

    def commit(
        self,
        products: Sequence[tuple[Product, bytes]],
        states: Mapping[str, str],
        spectra: Sequence[SpectrumRow] = (),
    ) -> None:
        """Store products, put them into the outbox, and store stage states, all in one transaction.

        Of `spectra` only the newest of each window is kept.

        A product that is there already with the same content is left as it was (also its place in the outbox): the
        moment of sending is no content. An empty payload is the removal of a subject.

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
                    require_same(connection, product, payload)
            connection.executemany(PUT_STATE, states.items())
            connection.executemany(KEEP_SPECTRUM, spectra)

    def mark_published(self, rows: Sequence[int]) -> None:
        """Take rows out of the outbox; the products stay."""
        if rows:
            with self._transaction() as connection:
                connection.executemany(
                    "UPDATE product SET published = 1 WHERE row = ?", [(row,) for row in rows]
                )

    def prune(self, on_products: Callable[[str, Sequence[int]], None] = lambda _kind, _rows: None) -> int:
        """Delete a bite of what is past its retention, and give free pages back to the file system.

        Samples count back from their source's own clock, products from the newest of their kind and subject; what is
        not yet published stays. The work of one call is bounded: call again while it returns more than 0.

        Parameters
        ----------
        on_products : callable, optional
            Called with the kind and the rows of products that are gone.

        Returns
        -------
        int
            How many rows were deleted.
        """
        with self._transaction() as connection:
            samples = self._doomed_samples(connection)
            doomed = self._doomed_products(connection)
            products = [(row,) for rows in doomed.values() for row in rows]
            spectra = connection.execute(
                PRUNE_SPECTRA, {"kept": self._spectra_retention_ns, "limit": _PRUNE_ROWS}
            ).rowcount
            connection.executemany("DELETE FROM sample WHERE row = ?", samples)
            connection.executemany("DELETE FROM product WHERE row = ?", products)
        for kind, gone in doomed.items():
            on_products(kind, gone)
        with self._writer_lock, translated(self.path):
            free: int = self._files.writer.execute("PRAGMA freelist_count").fetchone()[0]
            excess = min(free - _FREE_PAGES_KEPT, _FREE_PAGES_GIVEN_BACK)
            if excess > 0:
                # The pragma gives one page back per step and has no columns: `execute` would step it once and stop.
                self._files.writer.executescript(f"PRAGMA incremental_vacuum({excess})")
        return len(samples) + len(products) + spectra

    def compact(self, up_to_row: int) -> int:
        """Lay a bite of what was stored many times over each other: what is loaded gives the same memory.

        The work of one call is bounded: call again while it returns more than 0. `prune` gives the room back.

        Parameters
        ----------
        up_to_row : int
            Rows beyond it are left as they are: no state that was committed has seen them.
        """
        with self._transaction() as connection:
            return self._compaction.step(connection, up_to_row)

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

    def _doomed_products(self, connection: sqlite3.Connection) -> dict[str, list[int]]:
        """Rows by kind."""
        doomed: dict[str, list[int]] = {}
        left = _PRUNE_ROWS
        if self._product_retention_ns is None:
            return doomed
        for (kind,) in connection.execute(KINDS).fetchall():
            for subject, newest_ns in connection.execute(NEWEST_TIMES, {"kind": kind}).fetchall():
                rows = connection.execute(
                    "SELECT row FROM product WHERE kind = ? AND subject = ? AND time_ns < ? AND published = 1"
                    " ORDER BY time_ns LIMIT ?",
                    (kind, subject, newest_ns - self._product_retention_ns, left),
                ).fetchall()
                left -= len(rows)
                doomed.setdefault(kind, []).extend(row for (row,) in rows)
        return doomed

    def _require_present(self) -> None:
        """Raise StoreError where what was committed went into a file that no restart would find.

        SQLite goes on writing to files that were deleted or moved away. The next attempt commits the same again, which
        does no harm where the files were put back.
        """
        if _identity(self.path) != self._identity or not beside(self.path, "-wal").exists():
            raise StoreError(
                f"{self.path}: the store's files have vanished while they were in use; put them back,"
                " or restart the monitor to begin anew"
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writer_lock, translated(self.path):
            connection = self._files.writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
                self._require_present()
            except BaseException:
                # SQLite itself rolls back on a full disk; a second ROLLBACK would hide the reason.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def size_bytes(self) -> int:
        """Return the size of the file and its write-ahead log."""
        size = 0
        for name in (self.path, beside(self.path, "-wal")):
            with suppress(FileNotFoundError):
                size += name.stat().st_size
        return size

    def free_bytes(self) -> int:
        """Return how much room the file system of the store has left for it; 0 where it has vanished."""
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError:
            return 0


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is, under whatever name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
