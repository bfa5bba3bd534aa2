"""The worker: what it stores before it says so, what survives a failure, and what it refuses."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.config import Config
from monitor.config.schema import Input
from monitor.daemon.complaints import Complaints
from monitor.daemon.recovery import pieces
from monitor.daemon.worker import Worker
from monitor.decoders.native import NativeDecoder, native_payload, native_topic
from monitor.errors import StoreError
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.types import SECOND_NS, Message, Product, SampleBlock, Tick

T0_NS = 1_504_771_200 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS
RECEIVED_NS = 1_700_000_000 * SECOND_NS
CONFIG = Config.model_validate(
    {
        "pairs": ["TAR-BRZ"],
        "windows": {"length_s": 600, "cadence_s": 300, "lateness_s": 60.0, "revise_s": 3600.0},
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "db.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def worker_on(store: Store, config: Config = CONFIG) -> Worker:
    worker = Worker(config, store, Metrics([entry.decoder for entry in config.inputs]))
    assert worker.restore()
    return worker


def messages(minute: int, count: int = 1) -> list[Message]:
    """A minute of noise of both stations, for some minutes."""
    found = []
    for number in range(minute, minute + count):
        rng = np.random.default_rng(number)
        for code in ("TAR", "BRZ"):
            values = rng.normal(20_000.0, 1.0, (1, 60)).round(3)
            block = SampleBlock(code, ("H",), T0_NS + number * MINUTE_NS, SECOND_NS, values)
            found.append(Message(native_topic(block, "geospace/v1"), native_payload(block), RECEIVED_NS))
    return found


def run(worker: Worker, batch: list[Message]) -> bool:
    worker.compute(worker.take(batch))
    return worker.commit()


def ids(store: Store) -> list[str]:
    return [json.loads(row.payload)["id"] for row in store.outbox(1000) if row.kind == "flr"]


def test_products_come_with_the_window_and_are_read_back(store: Store) -> None:
    worker = worker_on(store)
    assert not any(row.kind == "flr" for row in store.outbox(10))
    assert run(worker, messages(0, 11))
    assert ids(store) == ["flr/TAR-BRZ/2017-09-07T08:05:00Z/0", "flr/TAR-BRZ/2017-09-07T08:10:00Z/0"]
    reading = worker.read()
    assert reading.latest["TAR-BRZ"]["time"] == "2017-09-07T08:10:00Z"
    assert reading.source_clocks == {"TAR": T0_NS + 11 * MINUTE_NS, "BRZ": T0_NS + 11 * MINUTE_NS}


def test_burst_of_more_hours_than_windows_reach_back_leaves_no_window_behind(store: Store) -> None:
    # Three hours at once, where windows are revised for one.
    worker = worker_on(store)
    assert run(worker, messages(0, 2))
    assert run(worker, messages(2, 178))
    ends = {row.split("/")[2] for row in ids(store)}
    assert len(ends) == 36
    assert min(ends) == "2017-09-07T08:05:00Z"
    assert max(ends) == "2017-09-07T11:00:00Z"


def test_samples_that_could_not_be_stored_are_kept_and_counted_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics(["native"])
    worker = Worker(CONFIG, store, metrics)
    assert worker.restore()
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_samples", failing)
        with pytest.raises(StoreError):
            worker.take(messages(0))
        with pytest.raises(StoreError):
            worker.take([])
    assert len(worker.take([])) == 2
    assert worker.take([]) == []
    text = metrics.render("")[0].decode()
    assert 'geospace_messages_received_total{decoder="native"} 2.0' in text
    assert 'geospace_samples_stored_total{source="TAR"} 60.0' in text


def test_products_that_could_not_be_committed_go_with_the_next_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_on(store)
    blocks = worker.take(messages(0, 11))
    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", failing)
        worker.compute(blocks)
        for _ in range(2):
            with pytest.raises(StoreError):
                worker.commit()
    assert ids(store) == []
    assert worker.read().latest == {}
    assert worker.commit()
    assert len(ids(store)) == 2


def test_state_that_is_the_same_object_is_stored_once_and_again_where_the_commit_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_on(store)
    lasting, changing = {"version": 1}, iter(range(10))
    monkeypatch.setattr(worker.pipeline, "snapshot", lambda: {"large": lasting, "small": [next(changing)]})
    commit, stored = store.commit, []

    def recording(products: list[tuple[Product, bytes]], states: dict[str, str], *spectra: object) -> None:
        commit(products, states, *spectra)
        stored.append(sorted(states))

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", failing)
        with pytest.raises(StoreError):
            worker.commit(at_once=True)
    monkeypatch.setattr(store, "commit", recording)
    for _ in range(2):
        worker.commit(at_once=True)
    lasting = {"version": 1}
    worker.commit(at_once=True)
    assert stored == [["cursor", "large", "small"], ["cursor", "small"], ["cursor", "large", "small"]]
    assert json.loads(store.states()["large"]) == {"version": 1}
    assert store.states()["small"] == "[3]"


def failing(*_arguments: object) -> None:
    raise StoreError("the disk is full")


def test_product_that_contradicts_a_stored_one_is_left_out_and_does_not_block(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    worker = worker_on(store)
    stray = Product(
        "flr",
        "TAR-BRZ",
        T0_NS + 5 * MINUTE_NS,
        0,
        True,
        {"time": "2017-09-07T08:05:00Z", "revision": 0, "id": "other"},
    )
    store.commit([(stray, stray.encode(0))], {})
    assert run(worker, messages(0, 11))
    assert ids(store) == ["other", "flr/TAR-BRZ/2017-09-07T08:10:00Z/0"]
    assert "stored with other content" in caplog.text


@pytest.mark.parametrize("committed", [0, 3, 7, 11])
def test_restart_anywhere_gives_the_products_of_one_run(committed: int, store: Store, tmp_path: Path) -> None:
    """The first run stores everything, and dies with only the first minutes computed and committed."""
    first = worker_on(store)
    run(first, messages(0, committed))
    first.commit(at_once=True)
    first.take(messages(committed, 22 - committed))
    second = worker_on(store)
    run(second, messages(22, 3))
    with Store.open(tmp_path / "whole.sqlite", retention_ns=1 << 60, product_retention_ns=None) as other:
        whole = worker_on(other)
        for minute in range(25):
            run(whole, messages(minute))
        assert contents(store) == contents(other)
        assert len(contents(store)) == 5


def contents(store: Store) -> dict[str, object]:
    documents = [json.loads(row.payload) for row in store.outbox(1000) if row.kind == "flr"]
    return {document["id"]: {**document, "published": None} for document in documents}


def test_restart_stops_when_it_is_told_to_and_loses_nothing(store: Store) -> None:
    worker_on(store).take(messages(0, 11))
    stopped = Worker(CONFIG, store, Metrics([]))
    assert not stopped.restore(lambda: True)
    worker_on(store)
    assert len(ids(store)) == 2


@pytest.mark.parametrize(("minutes_away", "is_shown"), [(1, True), (600, False)])
def test_restored_worker_shows_the_last_product_while_it_is_valid(
    minutes_away: int, is_shown: bool, store: Store
) -> None:
    """After a night away the label of the evening is not shown as one of now; when it was made still is."""
    run(worker_on(store), messages(0, 11))
    metrics = Metrics([])
    again = Worker(CONFIG, store, metrics, wall_ns=lambda: T0_NS + (11 + minutes_away) * MINUTE_NS)
    assert again.restore()
    assert again.read().latest["TAR-BRZ"]["time"] == "2017-09-07T08:10:00Z"
    text = metrics.render("")[0].decode()
    assert ('geospace_flr_label{label="NoFreq",pair="TAR-BRZ"} 1.0' in text) is is_shown
    assert 'geospace_flr_data_timestamp_seconds{pair="TAR-BRZ"}' in text


def test_shown_product_vanishes_when_the_product_clock_passes_its_validity(store: Store) -> None:
    """Its successor is missing (the pipeline failed on it); the time of the data stays."""
    run(worker_on(store), messages(0, 11))
    metrics = Metrics([])
    worker = Worker(CONFIG, store, metrics, wall_ns=lambda: T0_NS + 12 * MINUTE_NS)
    assert worker.restore()
    # valid_until = 08:10 + cadence 300 s + lateness 60 s + 180 s = 08:19; the clock stands at 08:11.
    worker.compute(Tick(7 * MINUTE_NS))
    metrics.expire(worker.pipeline.product_clocks.get)
    assert "geospace_flr_label{" in metrics.render("")[0].decode()
    worker.compute(Tick(2 * MINUTE_NS))
    metrics.expire(worker.pipeline.product_clocks.get)
    text = metrics.render("")[0].decode()
    assert "geospace_flr_label{" not in text
    assert 'geospace_flr_data_timestamp_seconds{pair="TAR-BRZ"}' in text


def test_decoder_that_fails_costs_one_message(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decode = NativeDecoder.decode
    calls = 0

    def fails_once(decoder: NativeDecoder, message: Message) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError("a bug")
        return decode(decoder, message)

    monkeypatch.setattr(NativeDecoder, "decode", fails_once)
    worker = worker_on(store)
    assert len(worker.take(messages(0, 2))) == 3
    assert worker.read().rejected == {"native: decoder_failed": 1}
    assert "please report this" in caplog.text


def test_topic_without_an_input_is_rejected(store: Store) -> None:
    worker = worker_on(store)
    assert worker.take([Message("elsewhere/x", b"", RECEIVED_NS)]) == []
    assert worker.read().rejected == {"none: no_decoder": 1}


@pytest.mark.parametrize(
    "topic", ["geospace/v1", "geospace/v1/flr/TAR-BRZ", "geospace/v1/impf/tar/pt1s/2/xyzs", "geospace/v1/x"]
)
def test_own_output_is_counted_and_never_decoded(
    store: Store, monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    def decode(decoder: NativeDecoder, message: Message) -> object:
        raise AssertionError("own output was decoded")

    # The configuration refuses this input; a session at the broker may still hold it.
    own = Input(decoder="native", topic="geospace/#")
    worker = worker_on(store, CONFIG.model_copy(update={"inputs": (own,)}))
    monkeypatch.setattr(NativeDecoder, "decode", decode)
    assert worker.take([Message(topic, b"{}", RECEIVED_NS)]) == []
    assert worker.read().rejected == {"none: own_output": 1}


def test_senders_that_invent_topics_leave_nothing_behind(store: Store) -> None:
    metrics = Metrics(["native"])
    worker = Worker(CONFIG, store, metrics, wall_ns=lambda: RECEIVED_NS)
    payload = b'{"start":"2017-09-07T08:31:00Z","step_s":1,"H":[1,2]}'

    def invent(first: int, count: int) -> None:
        for begin in range(first, first + count, 1000):
            worker.take(
                [
                    Message(f"geospace/v1/in/{kind}/X{number:07d}", payload, RECEIVED_NS)
                    for number in range(begin, begin + 500)
                    for kind in ("mag", "craft")
                ]
            )

    invent(0, 2000)  # whatever is allocated once
    series = metrics.render("")[0].count(b"\n")
    gc.collect()
    before = sys.getallocatedblocks()
    invent(2000, 100_000)
    gc.collect()
    grown = sys.getallocatedblocks() - before
    assert metrics.render("")[0].count(b"\n") == series
    assert sum(worker.read().rejected.values()) == 102_000
    # Whatever kept one object for each of a hundred thousand topics would show.
    assert grown < 10_000


def test_batch_on_which_the_pipeline_fails_is_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = worker_on(store)
    with monkeypatch.context() as patch:
        patch.setattr(worker.pipeline, "feed", lambda _items: 1 / 0)
        with caplog.at_level(logging.ERROR):
            assert not run(worker, messages(0))
    assert "ZeroDivisionError" in worker.read().failing["part_pipeline"]
    assert run(worker, messages(1, 10))
    assert worker.read().failing == {}


def test_state_that_cannot_be_written_holds_no_product_back_and_is_made_up_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = worker_on(store)
    run(first, messages(0, 7))
    with monkeypatch.context() as patch:
        patch.setattr(first.pipeline, "snapshot", lambda: 1 / 0)
        assert run(first, messages(7, 8))
        assert first.read().failing.keys() == {"part_checkpoint"}
    assert len(ids(store)) == 3
    # Killed now: what was fed since the last checkpoint is fed again, and says the same.
    second = worker_on(store)
    assert len(ids(store)) == 3
    run(second, messages(15, 10))
    assert second.read().failing == {}
    with Store.open(tmp_path / "whole.sqlite", retention_ns=1 << 60, product_retention_ns=None) as other:
        whole = worker_on(other)
        for minute in range(25):
            run(whole, messages(minute))
        assert contents(store) == contents(other)


def test_state_that_can_be_written_again_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = worker_on(store)
    with monkeypatch.context() as patch:
        patch.setattr(worker.pipeline, "snapshot", lambda: 1 / 0)
        run(worker, messages(0, 11))
        assert "cursor" not in store.states()
    run(worker, messages(11, 5))
    assert worker.read().failing == {}
    assert "cursor" in store.states()


def test_product_that_cannot_be_encoded_costs_no_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, encode = worker_on(store), Product.encode
    monkeypatch.setattr(
        Product,
        "encode",
        lambda product, at: 1 / 0 if product.body["time"][11:16] == "08:05" else encode(product, at),
    )
    assert run(worker, messages(0, 11))
    assert ids(store) == ["flr/TAR-BRZ/2017-09-07T08:10:00Z/0"]
    assert worker.read().failing == {}


def test_removed_pair_is_withdrawn_once_behind_what_waits(store: Store) -> None:
    run(worker_on(store), messages(0, 11))
    other = Config.model_validate({"pairs": ["NUR-TAR"], "windows": CONFIG.windows.model_dump()})
    for _ in range(2):
        assert Worker(other, store, Metrics([])).restore()
    rows = [(row.topic, row.payload == b"", row.retained) for row in store.outbox(100)]
    assert rows.count(("flr/TAR-BRZ", True, True)) == 1
    assert rows.index(("flr/TAR-BRZ", True, True)) > rows.index(("flr/TAR-BRZ", False, True))
    assert ("health/BRZ", True, True) in rows
    assert ("health/TAR", True, True) not in rows


def test_complaints_are_one_a_minute_for_a_topic_and_bounded_in_all() -> None:
    complaints = Complaints()
    assert complaints.line("a/b", "not_json", "x", 0) == "refused a message on 'a/b': not_json: x"
    assert complaints.line("a/b", "not_json", "x", 30 * SECOND_NS) is None
    assert complaints.line("a/b", "empty", "x", 30 * SECOND_NS) is not None
    later = complaints.line("a/b", "not_json", "x", 60 * SECOND_NS)
    assert later is not None
    assert later.endswith("(1 more like it in the last minute)")
    lines = [complaints.line(f"t/{n}\n", "not_json", "x", 61 * SECOND_NS) for n in range(1000)]
    told = [line for line in lines if line is not None]
    assert len(told) < 60
    assert all("\n" not in line for line in told)
    after = complaints.line("a/c", "not_json", "x", 200 * SECOND_NS)
    assert after is not None
    assert f"({1000 - len(told)} others were not logged)" in after


def test_what_an_observatory_sends_beside_its_variometers_is_said_once_a_day() -> None:
    complaints = Complaints()
    minutes = range(0, 24 * 60, 7)
    lines = [complaints.line("a/b", "scalar_only", "x", minute * MINUTE_NS) for minute in minutes]
    assert [line for line in lines if line is not None] == ["refused a message on 'a/b': scalar_only: x"]
    again = complaints.line("a/b", "scalar_only", "x", 24 * 60 * MINUTE_NS)
    assert again is not None
    assert again.endswith(f"({len(minutes) - 1} more like it in the last day)")
    for minute in range(1500, 1600):
        for number in range(60):
            complaints.line(f"t/{minute}/{number}", "scalar_only", "x", minute * MINUTE_NS)
    assert len(complaints._told) <= 1060


def test_pieces_hold_every_sample_once_in_the_order_of_time() -> None:
    blocks = [
        SampleBlock(code, ("H",), T0_NS + 7 * SECOND_NS, SECOND_NS, np.arange(200.0)[None, :])
        for code in ("TAR", "BRZ")
    ]
    cut = list(pieces(blocks, MINUTE_NS))
    assert [[block.source for block in piece] for piece in cut] == [["TAR", "BRZ"]] * 4
    for source in ("TAR", "BRZ"):
        mine = [block for piece in cut for block in piece if block.source == source]
        assert np.concatenate([block.values[0] for block in mine]).tolist() == list(range(200))
        assert all(a.end_ns == b.t0_ns for a, b in itertools.pairwise(mine))
        assert all(block.t0_ns % MINUTE_NS == 0 for block in mine[1:])
