"""What is in the store, for whoever reads it: the daemon, its HTTP server, and commands beside a running daemon.

Reads are paged, and every page is read to its end under a lock: no open cursor keeps the log from being
checkpointed, memory does not depend on how much is stored, and every method may be called from any thread.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from monitor.io.store.file import read_only, require_store, translated
from monitor.io.store.gaps import gaps_between
from monitor.io.store.queries import EVENT, LATEST, SPECTRA, UPDATES
from monitor.io.store.rows import SAMPLE_COLUMNS, OutboxRow, stored_block
from monitor.plugins.base import StoredProduct
from monitor.types import Json, Product, SampleBlock

logger = logging.getLogger(__name__)

# One page of a streaming read.
_PAGE_ROWS = 256
_PAGE_BYTES = 4 << 20


class StoreReader:
    """Reads samples, products and stage states; never writes.

    Parameters
    ----------
    path : Path
    reader : sqlite3.Connection
        Used under a lock of this object's own.
    """

    def __init__(self, path: Path, reader: sqlite3.Connection) -> None:
        self.path = path
        self._reader = reader
        self._reader_lock = threading.Lock()
        # Row numbers are never used twice, even when every row has been pruned: they are cursors for snapshots.
        self._last_row: int = self._read_all(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'sample'"
        )[0][0]

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """A store that is read beside whoever writes it. Raises StoreError where there is none."""
        with closing(read_only(path)) as reader:
            with translated(path):
                require_store(reader, path)
            yield cls(path, reader)

    def _read_all(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        # Read to the end at once: an open cursor would keep the WAL from being checkpointed.
        with self._reader_lock, translated(self.path):
            return self._reader.execute(sql, parameters).fetchall()

    def outbox(self, limit: int, *, after_row: int = 0) -> list[OutboxRow]:
        """Return up to `limit` products after a row that are not yet published, in the order of their commits."""
        rows = self._read_all(
            "SELECT row, topic, payload, retained, kind, subject, time_ns, revision FROM product"
            " WHERE published = 0 AND row > ? ORDER BY row LIMIT ?",
            (after_row, limit),
        )
        return [OutboxRow(row[0], row[1], row[2], bool(row[3]), *row[4:]) for row in rows]

    def products_after(self, row: int, limit: int) -> list[StoredProduct]:
        """Return up to `limit` products after a row, in the order of their commits; fewer where they are large."""
        sql = (
            "SELECT row, kind, subject, topic, time_ns, revision, retained, payload FROM product"
            " WHERE row > :row ORDER BY row LIMIT :limit"
        )
        page = self._page(sql, {"row": row, "limit": limit})
        return [
            StoredProduct(number, kind, subject, topic, time_ns, revision, bool(retained), payload)
            for number, kind, subject, topic, time_ns, revision, retained, payload in page
        ]

    def last_product_row(self) -> int:
        """Return the row of the last product that was ever committed; 0 before the first."""
        sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'product'"
        row: int = self._read_all(sql)[0][0]
        return row

    def count_products_after(self, row: int, limit: int) -> int:
        """Return how many products there are after a row, counted up to `limit`."""
        sql = "SELECT count(*) FROM (SELECT 1 FROM product WHERE row > ? LIMIT ?)"
        count: int = self._read_all(sql, (row, limit))[0][0]
        return count

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

    def gaps(
        self, source: str, begin_ns: int, end_ns: int, components: Collection[str] = ()
    ) -> list[tuple[int, int]]:
        """The stretches (ns UTC, rising) of [begin, end) in which no number of a source is stored.

        Where `components` are named, numbers of others do not count. What is past its retention is a gap, too.
        """
        blocks = (block for _, block in self.overlapping(source, begin_ns, end_ns))
        return gaps_between(blocks, begin_ns, end_ns, components)

    def overlapping(self, source: str, begin_ns: int, end_ns: int) -> Iterator[tuple[int, SampleBlock]]:
        """Yield row and block of a source's samples that reach into [begin, end), in the order of their ends."""
        sql = (
            f"SELECT row, {SAMPLE_COLUMNS} FROM sample WHERE source = :source AND (end_ns, row) > (:end, :row)"  # noqa: S608 (constants)
            f" AND t0_ns < :before ORDER BY end_ns, row LIMIT {_PAGE_ROWS}"
        )
        at = (begin_ns, 1 << 62)
        while page := self._page(sql, {"source": source, "end": at[0], "row": at[1], "before": end_ns}):
            for stored in page:
                at = (stored[5], stored[0])
                block = self._block(stored)
                if block is not None:
                    yield stored[0], block

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
            cursor = self._reader.execute(sql, parameters)
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

    def some_spectra(self, pair: str, start_ns: int, end_ns: int, limit: int) -> list[tuple[int, int, bytes]]:
        """Time, revision and packed spectrum (`spectra.unpack_spectrum`) of the first windows of a pair in [start_ns, end_ns)."""
        return self._read_all(SPECTRA, (pair, start_ns, end_ns, limit))

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
