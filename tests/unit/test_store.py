"""The durable store: what it keeps, in which order, and what it does when the disk or the file is bad."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import StoreError
from monitor.io.store import Store, coalesce
from monitor.io.store.queries import EVENT
from monitor.types import SECOND_NS, Domain, FloatArray, Product, SampleBlock

HOUR_NS = 3600 * SECOND_NS
T0_NS = 1_504_785_600 * SECOND_NS  # 2017-09-07T12:00:00Z


def open_store(
    path: Path, *, retention_ns: int = 72 * HOUR_NS, product_retention_ns: int | None = None
) -> Store:
    return Store.open(path, retention_ns=retention_ns, product_retention_ns=product_retention_ns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(path) as opened:
        yield opened


def block(
    source: str = "TAR", start_s: int = 0, count: int = 1, value: float = 1.0, level: int = 0
) -> SampleBlock:
    values = np.full((2, count), value) + np.arange(float(count))
    return SampleBlock(source, ("H", "E"), T0_NS + start_s * SECOND_NS, SECOND_NS, values, level=level)


def flr(time_s: int = 0, revision: int = 0, pair: str = "TAR-BRZ", **fields: object) -> Product:
    body = {"schema": "geospace/flr/1", "pair": pair, "revision": revision, **fields}
    return Product("flr", pair, T0_NS + time_s * SECOND_NS, revision, True, body)


def event(
    update: int, start_s: int = 0, subject: str = "TAR-BRZ", data_id: str | None = None, **more: object
) -> Product:
    """An update of an event, as a notification."""
    name = data_id or f"plasmapause_crossing/{subject}/{start_s}"
    state = "update" if update else "begin"
    properties = {"data_id": name, "update": update, "state": state, **more}
    body = {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{update}")), "properties": properties}
    at = T0_NS + start_s * SECOND_NS
    return Product("event", f"plasmapause_crossing/{subject}", at, update, False, body)


def encoded(product: Product) -> tuple[Product, bytes]:
    return product, product.encode(product.time_ns)


def laid_over(store: Store, source: str, count: int) -> FloatArray:
    """The first component on a grid of seconds, as a reload lays it: what comes later wins."""
    grid = np.full(count, np.nan)
    for _, stored in store.samples(source, 0):
        at = (stored.t0_ns - T0_NS) // SECOND_NS
        grid[at : at + stored.count] = stored.values[0]
    return grid


class TestSamples:
    def test_block_with_every_attribute_comes_back_equal_and_writable(self, store: Store) -> None:
        values = np.array([[1.5, np.nan, -np.inf], [0.1, -0.0, 1e308]])
        given = SampleBlock(
            "MMS1", ("Bx", "N"), T0_NS + 1, 4_500_000_000, values, Domain.CRAFT, 3, "FGM_α", "gse"
        )
        row = store.write_samples([given])
        [(stored_row, stored)] = store.samples(None, 0)
        assert stored_row == row == 1
        assert stored.values.tobytes() == values.tobytes()
        assert stored.values.flags.writeable
        for name in (
            "source",
            "components",
            "t0_ns",
            "step_ns",
            "end_ns",
            "domain",
            "level",
            "sensor",
            "frame",
        ):
            assert getattr(stored, name) == getattr(given, name), name

    def test_column_major_values_are_stored_by_value(self, store: Store) -> None:
        values = np.linspace(0, 1, 12).reshape(6, 2).T[:, ::2]
        assert not values.flags.c_contiguous
        store.write_samples([SampleBlock("TAR", ("H", "E"), T0_NS, SECOND_NS, values)])
        [(_, stored)] = store.samples("TAR", 0)
        np.testing.assert_array_equal(stored.values, values)

    def test_singles_of_one_call_become_one_row_per_source(self, store: Store) -> None:
        blocks = [block(source, second, value=second) for second in range(60) for source in ("TAR", "BRZ")]
        assert store.write_samples(blocks) == 2
        assert [(stored.source, stored.count) for _, stored in store.samples(None, 0)] == [
            ("TAR", 60),
            ("BRZ", 60),
        ]

    @pytest.mark.parametrize("change", [{"level": 2}, {"start_s": 3}, {"start_s": 1}])
    def test_blocks_that_do_not_follow_or_differ_stay_rows_of_their_own(self, change: dict[str, int]) -> None:
        blocks = [block(count=2), block(**{"start_s": 2, **change})]  # type: ignore[arg-type]
        assert coalesce(blocks) == blocks

    def test_block_after_an_overlap_is_not_joined_across_it(self, store: Store) -> None:
        store.write_samples([block(count=10, value=0), block(start_s=5, count=10, value=100, level=2)])
        store.write_samples([block(start_s=10, count=10, value=200)])
        before = laid_over(store, "TAR", 20)
        np.testing.assert_array_equal(before, [*range(5), *range(100, 105), *range(200, 210)])
        assert [row for row, _ in store.samples("TAR", 0)] == [1, 2, 3]

    def test_overlap_within_one_call_keeps_the_later_value(self, store: Store) -> None:
        store.write_samples(
            [
                block(count=10, value=0),
                block(start_s=5, count=5, value=100),
                block(start_s=10, count=2, value=200),
            ]
        )
        np.testing.assert_array_equal(laid_over(store, "TAR", 12), [*range(5), *range(100, 105), 200, 201])

    def test_long_run_is_cut_into_rows_of_bounded_size(self) -> None:
        rows = coalesce([block(start_s=second, count=1000) for second in range(0, 100_000, 1000)])
        assert sum(row.count for row in rows) == 100_000
        assert max(row.values.size for row in rows) <= 1 << 16

    def test_empty_block_takes_no_row_and_does_not_move_the_clock(self, store: Store) -> None:
        assert store.write_samples([]) == 0
        assert store.write_samples([block(start_s=500, count=0)]) == 0
        assert store.sources() == {}

    def test_filters_by_source_end_and_row(self, store: Store) -> None:
        for second in range(0, 40, 10):
            store.write_samples([block("TAR", second, 10), block("BRZ", second, 10)])
        assert [row for row, _ in store.samples("TAR", T0_NS + 20 * SECOND_NS)] == [5, 7]
        assert [row for row, _ in store.samples("TAR", T0_NS + 20 * SECOND_NS - 1)] == [3, 5, 7]
        assert [row for row, _ in store.samples(None, 0, after_row=2, up_to_row=5)] == [3, 4, 5]
        assert list(store.samples("PEL", 0)) == []
        assert list(store.samples(None, 0, after_row=8)) == []

    def test_reading_over_many_pages_gives_every_row_once_while_more_arrive(self, store: Store) -> None:
        for second in range(700):
            store.write_samples([block(start_s=second, value=second)])
        seen = []
        for row, _ in store.samples("TAR", 0):
            seen.append(row)
            if row % 100 == 0:
                store.write_samples([block(start_s=700 + row)])
        assert seen == list(range(1, 701))

    def test_clock_is_the_largest_end_and_survives_old_samples(self, store: Store, path: Path) -> None:
        store.write_samples([block(start_s=100, count=10), block(start_s=0, count=10)])
        store.write_samples([block(start_s=50, count=10)])
        assert store.sources() == {"TAR": T0_NS + 110 * SECOND_NS}
        store.close()
        with open_store(path) as again:
            assert again.sources() == {"TAR": T0_NS + 110 * SECOND_NS}

    def test_malformed_block_is_refused_and_nothing_of_the_call_is_stored(self, store: Store) -> None:
        bad = SampleBlock("BRZ", ("H",), T0_NS, SECOND_NS, np.zeros((2, 3)))
        with pytest.raises(StoreError, match=r"samples of BRZ .* shape \(2, 3\)"):
            store.write_samples([block(), bad])
        assert list(store.samples(None, 0)) == []

    def test_time_beyond_int64_is_refused_as_store_error(self, store: Store) -> None:
        with pytest.raises(StoreError, match="cannot hold a value"):
            store.write_samples([SampleBlock("TAR", ("H",), 1 << 70, SECOND_NS, np.zeros((1, 1)))])
        assert store.write_samples([block()]) == 1

    def test_row_with_a_torn_blob_is_left_out_and_logged(
        self, store: Store, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.write_samples([block(count=5), block("BRZ", count=5)])
        tamper(path, "UPDATE sample SET data = substr(data, 1, 23) WHERE source = 'TAR'")
        assert [stored.source for _, stored in store.samples(None, 0)] == ["BRZ"]
        assert "row 1 of source TAR is damaged" in caplog.text


def tamper(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(sql)
    finally:
        connection.close()


class TestProducts:
    def test_outbox_gives_commits_in_order_until_they_are_marked(self, store: Store) -> None:
        first, second = flr(), flr(pair="MUO-PEL")
        store.commit([encoded(first), encoded(second)], {})
        rows = store.outbox(10)
        assert [(row.topic, row.retained, row.payload) for row in rows] == [
            ("flr/TAR-BRZ", True, first.encode(first.time_ns)),
            ("flr/MUO-PEL", True, second.encode(second.time_ns)),
        ]
        assert [(row.kind, row.subject, row.time_ns, row.revision) for row in rows] == [
            ("flr", "TAR-BRZ", T0_NS, 0),
            ("flr", "MUO-PEL", T0_NS, 0),
        ]
        assert store.outbox(1) == rows[:1]
        store.mark_published([rows[0].row])
        assert store.outbox(10) == rows[1:]
        assert set(store.latest("flr")) == {"TAR-BRZ", "MUO-PEL"}

    def test_outbox_survives_reopening(self, store: Store, path: Path) -> None:
        store.commit([encoded(flr())], {"window": '{"version":1}'})
        waiting = store.outbox(10)
        store.close()
        with open_store(path) as again:
            assert again.outbox(10) == waiting
            assert again.states() == {"window": '{"version":1}'}

    def test_same_product_again_is_harmless_and_not_sent_again(self, store: Store) -> None:
        product = flr(label="Freq")
        store.commit([encoded(product)], {})
        store.mark_published([row.row for row in store.outbox(10)])
        store.commit([encoded(product)], {})
        store.commit(
            [(product, product.encode(T0_NS + HOUR_NS))], {}
        )  # another `published` is no other content
        assert store.outbox(10) == []
        assert store.latest("flr")["TAR-BRZ"]["published"] == "2017-09-07T12:00:00Z"

    def test_other_content_under_one_id_is_refused_with_the_whole_commit(self, store: Store) -> None:
        store.commit([encoded(flr(label="Freq"))], {"window": "1"})
        with pytest.raises(
            StoreError, match=r"flr/TAR-BRZ of 2017-09-07T12:00:00Z, revision 0: published twice"
        ):
            store.commit([encoded(flr(pair="MUO-PEL")), encoded(flr(label="PBL"))], {"window": "2"})
        assert store.states() == {"window": "1"}
        assert set(store.latest("flr")) == {"TAR-BRZ"}
        assert store.latest("flr")["TAR-BRZ"]["label"] == "Freq"

    def test_latest_is_newest_time_then_newest_revision(self, store: Store) -> None:
        for time_s, revision in ((0, 0), (1800, 0), (0, 7), (1800, 1)):
            store.commit([encoded(flr(time_s, revision, n=f"{time_s}/{revision}"))], {})
        store.commit([encoded(Product("health", "TAR", T0_NS, 0, True, {"state": "ok"}))], {})
        assert store.latest("flr")["TAR-BRZ"]["n"] == "1800/1"
        assert set(store.latest("flr")) == {"TAR-BRZ"}
        assert store.latest("health")["TAR"]["state"] == "ok"
        assert store.latest("region") == {}

    def test_removed_subject_is_not_among_the_latest(self, store: Store) -> None:
        store.commit([encoded(flr())], {})
        store.commit([(flr(1800), b"")], {})
        assert store.latest("flr") == {}
        assert store.outbox(10)[-1].payload == b""

    def test_products_in_an_interval_by_time_with_newest_revision_only(self, store: Store) -> None:
        for time_s in (0, 1800, 3600):
            for pair in ("TAR-BRZ", "MUO-PEL"):
                store.commit([encoded(flr(time_s, revision, pair, t=time_s)) for revision in (0, 1)], {})
        everything = store.products("flr", None, T0_NS, T0_NS + 3600 * SECOND_NS)
        assert [(p["t"], p["pair"], p["revision"]) for p in everything] == [
            (0, "MUO-PEL", 1),
            (0, "TAR-BRZ", 1),
            (1800, "MUO-PEL", 1),
            (1800, "TAR-BRZ", 1),
        ]
        one = store.products("flr", "TAR-BRZ", T0_NS + 1, T0_NS + 2 * HOUR_NS, latest_revision=False)
        assert [(p["t"], p["revision"]) for p in one] == [(1800, 0), (1800, 1), (3600, 0), (3600, 1)]

    def test_products_over_many_pages_come_once_each(self, store: Store) -> None:
        pairs = [f"{chr(65 + n % 26)}{n}-X" for n in range(300)]
        store.commit([encoded(flr(time_s, pair=pair)) for time_s in (0, 1800) for pair in pairs], {})
        seen = [p["pair"] for p in store.products("flr", None, 0, T0_NS + HOUR_NS)]
        assert seen == sorted(pairs) * 2

    def test_states_are_replaced_by_name(self, store: Store) -> None:
        store.commit([], {"window": "1", "spectrum": "2"})
        store.commit([], {"window": "3"})
        assert store.states() == {"window": "3", "spectrum": "2"}

    def test_damaged_payload_is_left_out_and_logged(
        self, store: Store, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.commit([encoded(flr()), encoded(flr(pair="MUO-PEL"))], {})
        tamper(path, "UPDATE product SET payload = x'7bff' WHERE subject = 'TAR-BRZ'")
        assert set(store.latest("flr")) == {"MUO-PEL"}
        assert "flr/TAR-BRZ is damaged" in caplog.text


class TestEvents:
    def test_id_of_any_update_gives_the_newest_update(self, store: Store) -> None:
        updates = [event(number) for number in range(4)]
        others = [event(number, 3600) for number in range(9)] + [event(5, subject="NUR-TAR")]
        store.commit([encoded(one) for one in (*updates, *others)], {})
        for update in updates:
            found = store.event(update.body["id"])
            assert found is not None
            assert found["id"] == updates[-1].body["id"]
            assert found["properties"]["update"] == 3

    def test_event_whose_start_moved_is_still_one(self, store: Store) -> None:
        store.commit([encoded(event(0, 0, data_id="x")), encoded(event(1, -1800, data_id="x"))], {})
        found = store.event(event(0, 0, data_id="x").body["id"])
        assert found is not None
        assert found["properties"]["update"] == 1

    def test_unknown_id_and_ids_of_other_kinds_give_nothing(self, store: Store) -> None:
        store.commit([encoded(event(0)), encoded(flr(id="flr/TAR-BRZ/1/0"))], {})
        assert store.event("flr/TAR-BRZ/1/0") is None
        assert store.event("' OR 1=1 --") is None

    def test_events_are_found_through_an_index(self, store: Store) -> None:
        (plan,) = store._read_all(f"EXPLAIN QUERY PLAN {EVENT}", {"id": "x"})
        assert "USING INDEX event_by_id" in plan[-1]

    def test_store_of_a_program_without_the_index_gets_it(self, path: Path) -> None:
        with open_store(path) as old:
            old.commit([encoded(event(0))], {})
        tamper(path, "DROP INDEX event_by_id")
        with open_store(path) as opened:
            assert opened.event(event(0).body["id"]) is not None
            (plan,) = opened._read_all(f"EXPLAIN QUERY PLAN {EVENT}", {"id": "x"})
            assert "USING INDEX event_by_id" in plan[-1]

    def test_payload_that_is_no_json_is_stored_and_passed_over(self, store: Store) -> None:
        store.commit([(event(0), b"{broken"), encoded(event(1))], {})
        assert store.event(event(1).body["id"]) is not None
        assert store.event(event(0).body["id"]) is None

    def test_moment_of_sending_an_update_is_no_content(self, store: Store) -> None:
        product = event(0)
        store.commit([(product, product.encode(1))], {})
        store.commit([(product, product.encode(10**18))], {})
        assert len(store.outbox(10)) == 1
        with pytest.raises(StoreError, match="published twice"):
            store.commit([encoded(event(0, l_shell=4.1))], {})

    def test_counterpart_is_what_is_stored_under_the_same_id(self, store: Store) -> None:
        store.commit([encoded(event(0)), encoded(event(1)), encoded(flr(text="a"))], {})
        found = store.counterpart(event(1))
        assert found is not None
        assert found["properties"]["update"] == 1
        assert (store.counterpart(flr(text="b")) or {})["text"] == "a"
        assert store.counterpart(event(2)) is None


class TestPrune:
    def test_samples_count_back_from_each_sources_own_clock(self, path: Path) -> None:
        with open_store(path, retention_ns=100 * SECOND_NS) as store:
            for second in range(0, 300, 10):
                store.write_samples([block("TAR", second, 10)])
            store.write_samples([block("BRZ", 0, 10)])
            assert store.prune() == 20
            assert store.prune() == 0
            kept = [stored.t0_ns for _, stored in store.samples("TAR", 0)]
            assert min(kept) == T0_NS + 200 * SECOND_NS
            assert len(list(store.samples("BRZ", 0))) == 1

    def test_row_numbers_are_not_used_again_after_everything_is_pruned(self, path: Path) -> None:
        with open_store(path, retention_ns=0) as store:
            assert store.write_samples([block(), block("BRZ")]) == 2
            assert store.prune() == 2
        with open_store(path) as store:
            assert store.write_samples([]) == 2
            assert store.write_samples([block()]) == 3

    def test_products_count_back_from_their_subjects_newest_and_the_unpublished_stay(
        self, path: Path
    ) -> None:
        with open_store(path, product_retention_ns=HOUR_NS) as store:
            store.commit([encoded(flr(1800 * n)) for n in range(10)] + [encoded(flr(0, pair="MUO-PEL"))], {})
            assert store.prune() == 0
            rows = store.outbox(100)
            store.mark_published([row.row for row in rows[1:]])
            assert store.prune() == 6
            times = [T0_NS + 1800 * n * SECOND_NS for n in (0, 7, 8, 9)]
            left = [row["revision"] for row in store.products("flr", "TAR-BRZ", 0, T0_NS + 10 * HOUR_NS)]
            assert len(left) == len(times)
            assert store.outbox(100) == rows[:1]
            assert set(store.latest("flr")) == {"TAR-BRZ", "MUO-PEL"}

    def test_products_are_kept_without_a_retention(self, store: Store) -> None:
        store.commit([encoded(flr()), encoded(flr(10**8))], {})
        store.mark_published([row.row for row in store.outbox(10)])
        assert store.prune() == 0

    def test_one_call_is_bounded_and_repeated_calls_finish(self, path: Path) -> None:
        with open_store(path, retention_ns=0) as store:
            store.write_samples([block(start_s=2 * n, value=n) for n in range(3000)])
            bites = []
            while bite := store.prune():
                bites.append(bite)
            assert sum(bites) == 3000
            assert max(bites) <= 1024

    def test_file_shrinks_after_pruning(self, path: Path) -> None:
        with open_store(path, retention_ns=0) as store:
            for n in range(40):
                store.write_samples([block(start_s=n * 20_000, count=20_000)])
            store.close()
        full = path.stat().st_size
        with open_store(path, retention_ns=0) as store:
            while store.prune():
                pass
        assert full > 10_000_000
        assert path.stat().st_size < full / 4


class TestFile:
    def test_directory_is_created_and_reopened_store_is_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "b" / "monitor.sqlite"
        with open_store(path) as store:
            store.write_samples([block(count=3)])
            assert store.size_bytes() >= path.stat().st_size > 0
        with open_store(path) as store:
            assert len(list(store.samples("TAR", 0))) == 1
        assert sorted(name.name for name in path.parent.iterdir()) == [
            "monitor.sqlite",
            "monitor.sqlite.lock",
        ]

    def test_writes_are_full_synchronous_in_wal_mode(self, store: Store) -> None:
        def pragma(name: str) -> object:
            return store._files.writer.execute(f"PRAGMA {name}").fetchone()[0]

        assert pragma("journal_mode") == "wal"
        assert pragma("synchronous") == 2
        assert pragma("auto_vacuum") == 2

    @pytest.mark.parametrize("size", [100, 4095, 4096, 12_288])
    def test_truncated_file_is_set_aside_and_left_as_it_was(
        self, path: Path, size: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        filled(path)
        data = path.read_bytes()
        path.write_bytes(data[:size])
        with open_store(path) as store:
            assert list(store.samples(None, 0)) == []
            assert store.write_samples([block()]) == 1
        [kept] = path.parent.glob("monitor.sqlite.corrupt-*Z")
        assert kept.read_bytes() == data[:size]
        assert str(kept) in caplog.text
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    @pytest.mark.parametrize("at", [0, 20, 100, 8192])
    def test_file_with_flipped_bytes_is_set_aside(self, path: Path, at: int) -> None:
        filled(path)
        data = bytearray(path.read_bytes())
        for offset in range(at, at + 16):
            data[offset] ^= 0xFF
        path.write_bytes(data)
        with open_store(path) as store:
            # The number is that of a new row, also where the rows before it are lost.
            assert store.write_samples([block()]) == 2
        assert len(list(path.parent.glob("monitor.sqlite.corrupt-*"))) == 1

    def test_database_of_another_program_is_refused_and_untouched(self, path: Path) -> None:
        tamper(path, "CREATE TABLE notes (text TEXT)")
        data = path.read_bytes()
        with pytest.raises(StoreError, match=r"database of another program; set store\.path"):
            open_store(path)
        assert path.read_bytes() == data
        assert list(path.parent.glob("*.corrupt-*")) == []

    def test_newer_schema_is_refused_with_both_versions(self, path: Path) -> None:
        filled(path)
        tamper(path, "PRAGMA user_version = 9")
        with pytest.raises(StoreError, match="has schema version 9, this program writes 1"):
            open_store(path)

    def test_second_process_on_one_file_is_held_off(self, store: Store, path: Path) -> None:
        with pytest.raises(StoreError, match="in use by another process"):
            open_store(path)
        assert store.write_samples([block()]) == 1

    def test_place_that_cannot_be_written_is_named_with_advice(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "monitor.sqlite"
        with pytest.raises(StoreError, match=r"file/monitor.sqlite: cannot be written .*store.path"):
            open_store(path)

    def test_directory_in_place_of_the_file_is_a_store_error(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(StoreError, match=r"monitor.sqlite: cannot be opened"):
            open_store(path)

    def test_closed_store_says_so_and_closing_twice_is_harmless(self, path: Path) -> None:
        store = open_store(path)
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.write_samples([block()])
        with pytest.raises(StoreError, match="closed"):
            store.states()

    def test_full_disk_is_said_and_the_store_goes_on_when_there_is_room(self, store: Store) -> None:
        store.write_samples([block(count=10)])
        writer = store._files.writer
        pages: int = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match="disk is full; free space"):
            store.write_samples([block(start_s=10, count=10), block(start_s=100, count=100_000)])
        with pytest.raises(StoreError, match="disk is full"):
            store.commit([encoded(flr(text="x" * 100_000))], {"window": "1"})
        assert (len(list(store.samples(None, 0))), store.outbox(1), store.states()) == (1, [], {})
        writer.execute("PRAGMA max_page_count = 1000000")
        assert store.write_samples([block(start_s=10, count=10)]) == 2
        np.testing.assert_array_equal(laid_over(store, "TAR", 20), [*range(1, 11), *range(1, 11)])


def filled(path: Path) -> None:
    with open_store(path) as store:
        store.write_samples([block(start_s=n * 1000, count=1000) for n in range(20)])
        store.commit([encoded(flr(1800 * n)) for n in range(50)], {"window": "{}"})


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_commit_into_files_that_vanished_is_refused_until_they_are_back(path: Path, suffix: str) -> None:
    one = path.with_name(path.name + suffix)
    with open_store(path) as store:
        store.write_samples([block()])
        one.rename(path.with_name("aside"))
        with pytest.raises(StoreError, match="have vanished"):
            store.write_samples([block(start_s=1)])
        path.with_name("aside").rename(one)
        store.write_samples([block(start_s=1)])
    with open_store(path) as store:
        kept = {found.t0_ns for _, found in store.samples("TAR", 0)}
    assert kept == {T0_NS, T0_NS + SECOND_NS}


def test_opening_a_store_again_writes_nothing(path: Path) -> None:
    """A full disk has no room for it."""
    filled(path)
    before = path.stat().st_mtime_ns
    with open_store(path):
        assert path.with_name(path.name + "-wal").stat().st_size == 0
        assert path.stat().st_mtime_ns == before


def test_reader_in_another_thread_sees_only_whole_commits(store: Store) -> None:
    faults: list[str] = []
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            pairs = set(store.latest("flr"))
            if pairs not in (set(), {"TAR-BRZ", "MUO-PEL"}):
                faults.append(f"half a commit: {pairs}")
            seen.append(sum(1 for _ in store.samples(None, 0)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for second in range(100):
            store.write_samples([block(start_s=second)])
            store.commit([encoded(flr(second)), encoded(flr(second, pair="MUO-PEL"))], {})
    finally:
        done.set()
        reader.join()
    assert faults == []
    assert seen == sorted(seen)
    assert sum(1 for _ in store.samples(None, 0)) == 100


WRITER = """
import sys
from pathlib import Path
import numpy as np
from monitor.io.store import Store
from monitor.types import Product, SampleBlock

store = Store.open(Path(sys.argv[1]), retention_ns=10**18, product_retention_ns=None)
for n in range(10**6):
    row = store.write_samples([SampleBlock("TAR", ("H",), n * 10**9, 10**9, np.full((1, 1), float(n)))])
    product = Product("flr", "A-B", n, 0, True, {"n": n})
    store.commit([(product, product.encode(n))], {"window": str(n)})
    print(row, n, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 40, 150])
def test_everything_acknowledged_is_there_after_kill_9(path: Path, acknowledged: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledged)]
        os.kill(process.pid, signal.SIGKILL)
        # What it had printed before the signal reached it was acknowledged too.
        lines += process.stdout.readlines()
    row, n = map(int, [line for line in lines if line.endswith("\n")][-1].split())
    with open_store(path) as store:
        stored = list(store.samples("TAR", -1))
        values = [float(block.values[0, 0]) for _, block in stored]
        assert values == [float(k) for k in range(len(values))]
        assert stored[row - 1][0] == row
        numbers = [json.loads(waiting.payload)["n"] for waiting in store.outbox(10**6)]
        assert numbers == list(range(len(numbers)))
        # Products and the state that made them are one transaction.
        assert len(numbers) - 1 == int(store.states()["window"]) >= n
    assert list(path.parent.glob("*.corrupt-*")) == []
