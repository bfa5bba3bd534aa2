"""A flood of resends: the store stays as large as what it says, and every value is the last that was said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.io.store import Store
from monitor.types import SECOND_NS, FloatArray, SampleBlock

T0_NS = 1_504_785_600 * SECOND_NS  # 2017-09-07T12:00:00Z, a full hour
MINUTE = 60


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "monitor.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def hour(value: float, source: str = "TAR", shift_s: int = 0, piece_s: int = MINUTE) -> list[SampleBlock]:
    """An hour of samples in pieces."""
    return [
        SampleBlock(
            source,
            ("H", "E"),
            T0_NS + (shift_s + start) * SECOND_NS,
            SECOND_NS,
            np.full((2, piece_s), value) + start,
        )
        for start in range(0, 3600, piece_s)
    ]


def settle(store: Store, up_to_row: int | None = None) -> int:
    """Compact and prune as the daemon does; return how many bites it took."""
    bites = 0
    while store.compact(store.write_samples([]) if up_to_row is None else up_to_row) or store.prune():
        bites += 1
    return bites


def rows(store: Store) -> int:
    return sum(1 for _ in store.samples(None, -1))


def laid_over(store: Store, count: int = 3600) -> FloatArray:
    grid = np.full(count, np.nan)
    for _, block in store.samples("TAR", -1):
        at = (block.t0_ns - T0_NS) // SECOND_NS
        there = ~np.isnan(block.values[0])
        grid[at : at + block.count][there] = block.values[0][there]
    return grid


def test_flood_of_resends_leaves_the_store_bounded(store: Store) -> None:
    sizes, most = [], 0
    for flood in range(60):
        # Three hours again and again with other values, each time cut otherwise.
        for block in [
            one
            for shift in (0, 3600, 7200)
            for one in hour(flood, shift_s=shift, piece_s=(60, 75, 90)[flood % 3])
        ]:
            store.write_samples([block])
        settle(store)
        sizes.append(store.size_bytes())
        most = max(most, rows(store))
    # What is stored at most: four times three hours, in rows of a minute, and what has come since.
    assert most <= 6 * 3 * 60
    assert max(sizes[20:]) <= 1.5 * max(sizes[5:15])
    last = hour(59, piece_s=90)
    assert 59 % 3 == 2
    expected = [block.values[0, 0] for _ in range(3) for block in last for _ in range(90)]
    np.testing.assert_array_equal(laid_over(store, 10_800), expected)


def test_usual_hour_is_left_as_it_came(store: Store) -> None:
    for value in range(4):
        for block in hour(value):
            store.write_samples([block])
    settle(store)
    assert rows(store) == 240


def test_rows_beyond_the_named_one_are_left(store: Store) -> None:
    for value in range(8):
        for block in hour(value):
            store.write_samples([block])
    settle(store, up_to_row=300)
    kept = [row for row, _ in store.samples(None, -1)]
    assert [row for row in kept if row > 300] == list(range(301, 481))
    assert len([row for row in kept if row <= 300]) <= 60
    np.testing.assert_array_equal(laid_over(store), np.repeat(np.arange(0, 3600, 60) + 7.0, 60))


def test_other_sources_are_left(store: Store) -> None:
    for value in range(8):
        for block in [*hour(value), *(hour(0, "BRZ") if value == 0 else [])]:
            store.write_samples([block])
    settle(store)
    assert sum(block.source == "BRZ" for _, block in store.samples(None, -1)) == 60
    assert sum(block.source == "TAR" for _, block in store.samples(None, -1)) <= 60


def test_work_of_a_call_is_bounded_in_rows_and_bytes(store: Store) -> None:
    # Blocks of 16 hours: 900 kB each.
    long = [
        SampleBlock("TAR", ("H", "E"), T0_NS, SECOND_NS, np.full((2, 57_600), float(n))) for n in range(40)
    ]
    for block in long:
        store.write_samples([block])
    taken = []
    while done := store.compact(40):
        taken.append(done)
    assert max(taken[1:]) <= 10
    assert rows(store) <= 4
    assert {float(value) for _, block in store.samples(None, -1) for value in np.unique(block.values)} == {
        39.0
    }


def test_scalar_instrument_between_the_rows_keeps_nothing_from_being_joined(store: Store) -> None:
    for value in range(8):
        for block in hour(value):
            store.write_samples([block, replace(block, components=("S",), values=block.values[:1])])
    settle(store)
    assert rows(store) <= 120
    vector = [block for _, block in store.samples("TAR", -1) if not block.is_scalar]
    assert {float(block.values[0, 0]) - (block.t0_ns - T0_NS) // SECOND_NS for block in vector} == {7.0}


def test_damaged_row_keeps_its_hour_from_being_joined_and_nothing_else(store: Store) -> None:
    for value in range(8):
        for block in hour(value, piece_s=3600):
            store.write_samples([block])
        for block in hour(value, piece_s=3600, shift_s=3600):
            store.write_samples([block])
    store._files.writer.execute("UPDATE sample SET data = substr(data, 1, 23) WHERE row = 3")
    settle(store)
    kept = [row for row, _ in store.samples(None, -1)]
    assert kept == [1, *range(5, 17, 2), 16]


def test_count_begins_anew_with_a_new_run(store: Store, tmp_path: Path) -> None:
    for value in range(8):
        for block in hour(value):
            store.write_samples([block])
    store.close()
    with Store.open(tmp_path / "monitor.sqlite", retention_ns=1 << 60, product_retention_ns=None) as again:
        settle(again)
        assert rows(again) <= 60
