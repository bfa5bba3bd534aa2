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

import json
import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from monitor.io.store_file import OpenFile, beside, translated
from monitor.io.store_queries import EVENT, KINDS, LATEST, NEWEST_TIMES, UPDATES
from monitor.io.store_rows import SAMPLE_COLUMNS, OutboxRow, coalesce, require_same, sample_row, stored_block
from monitor.types import Json, Product, SampleBlock

__all__ = ["OutboxRow", "Store", "coalesce"]

logger = logging.getLogger(__name__)

# One page of a streaming read, and one bite of `prune`.
_PAGE_ROWS = 256
_PAGE_BYTES = 4 << 20
_PRUNE_ROWS = 1024
_PRUNE_BYTES = 8 << 20
# Free pages that stay in the file for the next writes: giving each back would move pages at every prune.
_FREE_PAGES_KEPT = 256
_FREE_PAGES_GIVEN_BACK = 4096


class Store:
    """Samples, products and stage states in one file. Made by `Store.open`; use as a context manager or `close` it."""

    def __init__(
        self, path: Path, files: OpenFile, *, retention_ns: int, product_retention_ns: int | None
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
        files = OpenFile.open(path)
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
        rows = [sample_row(block) for block in coalesce(blocks)]
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
                    f"INSERT INTO sample ({SAMPLE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (constants)
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
        with self._writer_lock, translated(self.path):
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
        for (kind,) in connection.execute(KINDS).fetchall():
            for subject, newest_ns in connection.execute(NEWEST_TIMES, {"kind": kind}).fetchall():
                doomed += connection.execute(
                    "SELECT row FROM product WHERE kind = ? AND subject = ? AND time_ns < ? AND published = 1"
                    " ORDER BY time_ns LIMIT ?",
                    (kind, subject, newest_ns - self._product_retention_ns, _PRUNE_ROWS - len(doomed)),
                ).fetchall()
        return doomed

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writer_lock, translated(self.path):
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
        with self._reader_lock, translated(self.path):
            return self._files.reader.execute(sql, parameters).fetchall()

    def outbox(self, limit: int, *, after_row: int = 0) -> list[OutboxRow]:
        """Return up to `limit` products after a row that are not yet published, in the order of their commits."""
        rows = self._read_all(
            "SELECT row, topic, payload, retained, kind, subject, time_ns, revision FROM product"
            " WHERE published = 0 AND row > ? ORDER BY row LIMIT ?",
            (after_row, limit),
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
            f"SELECT row, {SAMPLE_COLUMNS} FROM sample NOT INDEXED WHERE row > :row AND row <= :last"  # noqa: S608 (constants)
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
        with self._reader_lock, translated(self.path):
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
        row, source, *_ = stored
        try:
            return stored_block(stored[1:])
        except ValueError as error:
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
        rows = self._read_all(LATEST, {"kind": kind})
        documents = {subject: self._document(payload, kind, subject) for subject, payload in rows}
        return {subject: document for subject, document in documents.items() if document is not None}

    def counterpart(self, product: Product) -> dict[str, Json] | None:
        """Return what is stored under the kind, subject, time and revision of a product; None where nothing is."""
        rows = self._read_all(
            "SELECT payload FROM product WHERE kind = ? AND subject = ? AND time_ns = ? AND revision = ?",
            (product.kind, product.subject, product.time_ns, product.revision),
        )
        return self._document(rows[0][0], product.kind, product.subject) if rows else None

    def event(self, update_id: str) -> dict[str, Json] | None:
        """Return the newest update of the event that has an update of this id; None where there is none."""
        for subject, payload in self._read_all(EVENT, {"id": update_id}):
            found = self._document(payload, "event", subject)
            if found is not None:
                data_id = found.get("properties", {}).get("data_id")
                newest = self._read_all(UPDATES, {"subject": subject, "data_id": data_id})
                return self._document(newest[0][0], "event", subject) if newest else found
        return None

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
        for name in (self.path, beside(self.path, "-wal")):
            if name.exists():
                size += name.stat().st_size
        return size
