"""The products of the store as an archive: what there is of whom, and stretches of it, page by page.

Every reading has a connection of its own and holds it for as long as it lasts; no page leaves a cursor open, so that
nobody who reads slowly keeps the log from being checkpointed, and nobody waits for a lock of the daemon's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from monitor.io.store.file import read_only, require_store, translated
from monitor.io.store.packed import PackedSpectra
from monitor.io.store.queries import (
    KINDS,
    LAST_COMMITTED,
    LATEST,
    NEWEST_PAYLOAD,
    NEWEST_REVISIONS,
    NEWEST_UPDATES,
    SPAN,
    SPANS,
)

# A page is what a stream holds in memory: a year of labels of one pair is 140 of them.
_PAGE_ROWS = 128
_PAGE_BYTES = 256 << 10
_SPECTRUM = "spectrum"


@dataclass(frozen=True, slots=True)
class Span:
    """Times (ns UTC) of the first and the last product of a kind and subject."""

    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True, order=True)
class EventPlace:
    """Where an event stands among all: by its first start, its subject (`KIND/SUBJECT`), and its number of both."""

    time_ns: int
    subject: str = ""
    number: int = -1


class ProductArchive:
    """Products over a connection of one's own. Made by `opened`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        # Of pairs whose spectra are not published there are those of the last week all the same.
        self._packed = PackedSpectra(self._all)

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """The products of a store that somebody else may be writing. Raises StoreError where there is none."""
        with closing(read_only(path)) as connection:
            with translated(path):
                require_store(connection, path)
            yield cls(path, connection)

    def kinds(self) -> list[str]:
        """All kinds of which there are products."""
        kinds = [kind for (kind,) in self._all(KINDS, {})]
        return kinds if _SPECTRUM in kinds or not self._packed.pairs() else [*kinds, _SPECTRUM]

    def spans(self, kind: str) -> dict[str, Span]:
        """What there is of each subject of a kind."""
        spans = {subject: Span(first, last) for subject, first, last in self._all(SPANS, {"kind": kind})}
        if kind == _SPECTRUM:
            for pair in self._packed.pairs():
                packed = self._packed.span(pair)
                if pair not in spans and packed is not None:
                    spans[pair] = Span(*packed)
        return spans

    def span(self, kind: str, subject: str) -> Span | None:
        """What there is of one subject; None where there is nothing."""
        ((first, last),) = self._all(SPAN, {"kind": kind, "subject": subject})
        if first is not None:
            return Span(first, last)
        packed = self._packed.span(subject) if kind == _SPECTRUM else None
        return None if packed is None else Span(*packed)

    def latest(self, kind: str) -> dict[str, bytes]:
        """Each subject's newest product; empty for a subject that was removed."""
        return dict(self._all(LATEST, {"kind": kind}))

    def newest(self, kind: str, subject: str) -> bytes | None:
        """The newest product of a subject, in its newest revision."""
        rows = self._all(NEWEST_PAYLOAD, {"kind": kind, "subject": subject})
        if rows:
            payload: bytes = rows[0][0]
            return payload
        packed = self._packed.span(subject) if kind == _SPECTRUM else None
        if packed is None:
            return None
        return next((page[0][1] for page in self._packed.pages(subject, packed[1], packed[1] + 1)), None)

    def last_committed(self, kind: str, subject: str) -> bytes | None:
        """What was written last of a subject: the newest product, or a revision of an older one."""
        rows = self._all(LAST_COMMITTED, {"kind": kind, "subject": subject})
        return rows[0][0] if rows else None

    def pages(self, kind: str, subject: str, start_ns: int, end_ns: int) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the time and the newest revision of each product in [start_ns, end_ns), some at a time."""
        if kind == _SPECTRUM and not self._all(SPAN, {"kind": kind, "subject": subject})[0][0]:
            yield from self._packed.pages(subject, start_ns, end_ns)
            return
        after = start_ns - 1
        while True:
            page = self._page(
                NEWEST_REVISIONS,
                {"kind": kind, "subject": subject, "after": after, "end": end_ns, "limit": _PAGE_ROWS},
            )
            if not page:
                return
            after = page[-1][0]
            yield page

    def event_pages(self, after: EventPlace, end_ns: int) -> Iterator[list[tuple[EventPlace, bytes]]]:
        """Yield the newest update of each event behind a place that starts before a time, some at a time."""
        while True:
            page = self._page(
                NEWEST_UPDATES,
                {
                    "time": after.time_ns,
                    "subject": after.subject,
                    "revision": after.number,
                    "end": end_ns,
                    "limit": _PAGE_ROWS,
                },
            )
            if not page:
                return
            placed = [(EventPlace(*row[:3]), row[3]) for row in page]
            after = placed[-1][0]
            yield placed

    def _all(self, sql: str, parameters: Mapping[str, Any]) -> list[Any]:
        with translated(self._path):
            return self._connection.execute(sql, parameters).fetchall()

    def _page(self, sql: str, parameters: Mapping[str, Any]) -> list[Any]:
        page: list[Any] = []
        size = 0
        with translated(self._path), closing(self._connection.execute(sql, parameters)) as cursor:
            for row in cursor:
                page.append(row)
                size += len(row[-1])
                if size >= _PAGE_BYTES:
                    break
        return page
