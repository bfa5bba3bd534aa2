"""The products of the store as an archive: pages, revisions, and that every question goes through an index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import StoreError
from monitor.io.store import Store, queries
from monitor.io.store.archive import EventPlace, ProductArchive, Span
from monitor.types import Product

EVER_NS = 1 << 62


def product(time_ns: int, revision: int = 0, subject: str = "TAR-BRZ", kind: str = "flr") -> Product:
    return Product(
        kind, subject, time_ns, revision, True, {"of": [kind, subject, time_ns, revision], "properties": {}}
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "monitor.sqlite", retention_ns=EVER_NS, product_retention_ns=None) as opened:
        yield opened


@pytest.fixture
def archive(store: Store) -> Iterator[ProductArchive]:
    with ProductArchive.opened(store.path) as opened:
        yield opened


def commit(store: Store, *products: Product, size: int = 0) -> None:
    store.commit([(one, one.encode(0)[:-1] + b" " * size + b"}") for one in products], {})


def times(archive: ProductArchive, start_ns: int = 0, end_ns: int = EVER_NS) -> list[int]:
    return [time for page in archive.pages("flr", "TAR-BRZ", start_ns, end_ns) for time, _ in page]


def test_what_there_is_of_whom(store: Store, archive: ProductArchive) -> None:
    assert archive.kinds() == []
    assert archive.spans("flr") == {}
    assert archive.span("flr", "TAR-BRZ") is None
    assert archive.newest("flr", "TAR-BRZ") is None
    commit(
        store, product(5), product(9, 1), product(7), product(6, subject="MUO-PEL"), product(1, kind="region")
    )
    assert archive.kinds() == ["flr", "region"]
    assert archive.spans("flr") == {"MUO-PEL": Span(6, 6), "TAR-BRZ": Span(5, 9)}
    assert archive.span("flr", "TAR-BRZ") == Span(5, 9)
    newest, last = archive.newest("flr", "TAR-BRZ"), archive.last_committed("flr", "TAR-BRZ")
    assert newest is not None
    assert last is not None
    assert b"9,1]" in newest
    assert b"7,0]" in last


def test_removed_subject_keeps_its_past(store: Store, archive: ProductArchive) -> None:
    commit(store, product(5))
    store.commit([(product(9), b"")], {})
    assert archive.latest("flr") == {"TAR-BRZ": b""}
    newest = archive.newest("flr", "TAR-BRZ")
    assert newest is not None
    assert b"5,0]" in newest


@pytest.mark.parametrize("size", [0, 5000])
def test_pages_are_every_time_once_in_its_newest_revision(
    store: Store, archive: ProductArchive, size: int
) -> None:
    """Pages end by their number of rows, and by their size."""
    made = [product(time, revision) for time in range(700) for revision in range(1 + time % 3)]
    others = [product(time, 5, "MUO-PEL") for time in range(700)]
    commit(store, *made, *others, size=size)
    pages = list(archive.pages("flr", "TAR-BRZ", 100, 650))
    assert len(pages) > 4
    assert max(len(page) for page in pages) <= 128
    found = [(time, payload) for page in pages for time, payload in page]
    assert [time for time, _ in found] == list(range(100, 650))
    assert all(f'["flr","TAR-BRZ",{time},{time % 3}]'.encode() in payload for time, payload in found)


def test_range_has_its_start_and_not_its_end(store: Store, archive: ProductArchive) -> None:
    commit(store, product(5), product(6), product(7))
    assert times(archive, 5, 7) == [5, 6]
    assert times(archive, 6, 6) == []
    assert times(archive, -(1 << 63) + 1, (1 << 63) - 1) == [5, 6, 7]


def test_what_is_written_meanwhile_does_not_wait_and_comes_along(
    store: Store, archive: ProductArchive
) -> None:
    commit(store, *(product(time) for time in range(200)))
    pages = archive.pages("flr", "TAR-BRZ", 0, EVER_NS)
    first = next(pages)
    commit(store, *(product(time) for time in range(200, 210)), product(199, 1))
    # Nobody who reads between two pages keeps the log from being taken into the file.
    with sqlite3.connect(store.path) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()
    assert busy == 0
    rest = [time for page in pages for time, _ in page]
    assert [time for time, _ in first] + rest == list(range(210))


def test_events_of_one_start_are_told_apart_by_thousands(store: Store, archive: ProductArchive) -> None:
    pair, chain = "plasmapause_crossing/TAR-BRZ", "plasmapause_crossing/emma"
    updates = [
        (5, pair, 0),
        (5, pair, 1),
        (5, pair, 1000),
        (5, pair, 1001),
        (5, pair, 1002),
        (5, chain, 0),
        (8, pair, 0),
    ]
    commit(store, *(product(time, number, subject, "event") for time, subject, number in updates))
    found = [place for page in archive.event_pages(EventPlace(0), EVER_NS) for place, _ in page]
    assert found == [
        EventPlace(5, pair, 1),
        EventPlace(5, pair, 1002),
        EventPlace(5, chain, 0),
        EventPlace(8, pair, 0),
    ]
    behind = [place for page in archive.event_pages(EventPlace(5, pair, 1002), 8) for place, _ in page]
    assert behind == [EventPlace(5, chain, 0)]


@pytest.mark.parametrize(
    "name",
    ["SPAN", "SPANS", "LATEST", "NEWEST_PAYLOAD", "LAST_COMMITTED", "NEWEST_REVISIONS", "NEWEST_UPDATES"],
)
def test_no_question_goes_through_all_products(store: Store, name: str) -> None:
    commit(store, *(product(time, subject=f"P{time % 5}-Q") for time in range(500)))
    asked = {
        "kind": "flr",
        "subject": "P1-Q",
        "after": 0,
        "end": EVER_NS,
        "limit": 5,
        "time": 0,
        "revision": 0,
    }
    with sqlite3.connect(store.path) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {getattr(queries, name)}", asked)]
    connection.close()
    assert not any(
        re_scan in line for line in plan for re_scan in ("SCAN product", "SCAN p", "SCAN n", "TEMP B-TREE")
    )
    assert any("SEARCH" in line for line in plan)


def test_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="there is no store"),
        ProductArchive.opened(tmp_path / "none.sqlite"),
    ):
        raise AssertionError
