"""What a run takes over of chains, events and Kp, and what it shows of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config import Config
from monitor.daemon.recovery import Recovery, pieces
from monitor.daemon.status import status_page
from monitor.daemon.worker import Worker
from monitor.decoders.native import native_payload, native_topic
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.stages.ledger import ANYTHING, issued
from monitor.stages.notification import notification
from monitor.types import SECOND_NS, Domain, Json, Message, Product, SampleBlock, Tick, iso_time

T0_NS = 1_504_771_200 * SECOND_NS  # 2017-09-07T08:00:00Z
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
RECEIVED_NS = 1_700_000_000 * SECOND_NS
CONFIG = Config.model_validate(
    {
        "pairs": ["NUR-TAR", "TAR-BRZ", "MUO-PEL"],
        "chains": {"emma": ["NUR-TAR", "TAR-BRZ"]},
        "windows": {"length_s": 600, "cadence_s": 300, "lateness_s": 60.0, "revise_s": 3600.0},
    }
)
KIND = "plasmapause_crossing"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "db.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def chain_object(
    kind: str, minute: int = 0, revision: int = 0, chain: str = "emma", **content: Json
) -> Product:
    time_ns = T0_NS + minute * MINUTE_NS
    body = {
        "id": f"{kind}/{chain}/{iso_time(time_ns)}/{revision}",
        "chain": chain,
        "time": iso_time(time_ns),
        "revision": revision,
        **content,
    }
    return Product(kind, chain, time_ns, revision, True, body, time_ns + HOUR_NS)


def event(state: str, number: int = 0, hour: float = 0.0, subject: str = "emma") -> Product:
    start_ns = T0_NS + round(hour * HOUR_NS)
    start = iso_time(start_ns)
    content: dict[str, Json] = {"kind": KIND, "subject": subject, "start_datetime": start}
    content["end_datetime" if state == "end" else "datetime"] = start
    data_id = f"{KIND}/{subject}/{start}/inward"
    body = notification(
        data_id, number, state, content, members=(), position_deg=None, base_url="http://127.0.0.1"
    )
    return Product("event", f"{KIND}/{subject}", start_ns, number, False, body)


def keep(store: Store, *products: Product) -> None:
    store.commit([(product, product.encode(RECEIVED_NS)) for product in products], {})


def kp_message(hour: float, *values: float) -> Message:
    begin_ns = T0_NS - 2 * HOUR_NS + round(hour * HOUR_NS)  # 06:00, where an interval of Kp begins
    block = SampleBlock("KP", ("Kp",), begin_ns, 3 * HOUR_NS, np.array([values]), domain=Domain.INDEX)
    return Message(native_topic(block, "geospace/v1"), native_payload(block), RECEIVED_NS)


def ground_messages(minute: int) -> list[Message]:
    found = []
    for code in ("NUR", "TAR", "BRZ"):
        values = np.random.default_rng(minute).normal(20_000.0, 1.0, (1, 60)).round(3)
        block = SampleBlock(code, ("H",), T0_NS + minute * MINUTE_NS, SECOND_NS, values)
        found.append(Message(native_topic(block, "geospace/v1"), native_payload(block), RECEIVED_NS))
    return found


class Pipeline:
    """Stands for the pipeline: says what a test puts in, and keeps what it was fed."""

    lookback_ns = HOUR_NS
    kp_lookback_ns = 31 * HOUR_NS
    craft_lookback_ns = 0
    too_late_samples = 0

    def __init__(self) -> None:
        self.says: list[Product] = []
        self.fed: list[list[SampleBlock]] = []
        self.loaded: list[SampleBlock] = []
        self.restored: list[dict[str, Json]] = []
        self.adopted: list[dict[str, Json]] = []
        self.source_clocks: dict[str, int] = {}
        self.product_clocks: dict[str, int] = {}
        self.health_states: dict[str, str] = {}
        self.failing: dict[str, str] = {}
        self.missing_models: dict[str, str] = {}
        self.version = 1

    def admit(self, block: SampleBlock) -> None:
        pass

    def feed(self, items: Sequence[SampleBlock] | Tick) -> list[Product]:
        if not isinstance(items, Tick):
            self.fed.append(list(items))
        says, self.says = self.says, []
        return says

    def load(self, blocks: Sequence[SampleBlock]) -> None:
        self.loaded.extend(blocks)

    def snapshot(self) -> dict[str, Json]:
        return {"pipeline": {"version": self.version}}

    def restore(self, states: dict[str, Json]) -> None:
        if states.get("pipeline", {}).get("version", 1) != 1:
            raise ValueError("another version")
        self.restored.append(states)

    def adopt_events(self, documents: Sequence[dict[str, Json]]) -> None:
        self.adopted.extend(documents)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    stub = Pipeline()
    monkeypatch.setattr("monitor.daemon.worker.Pipeline", lambda *_, **__: stub)
    return stub


def worker_on(store: Store, config: Config = CONFIG, metrics: Metrics | None = None) -> Worker:
    worker = Worker(config, store, metrics or Metrics(), wall_ns=lambda: T0_NS)
    assert worker.restore()
    return worker


def text(metrics: Metrics) -> str:
    return metrics.render("")[0].decode()


class TestEvents:
    def test_begin_is_counted_once_and_active_until_the_end(self, store: Store, pipeline: Pipeline) -> None:
        metrics = Metrics()
        worker = worker_on(store, metrics=metrics)
        about = f'{{kind="{KIND}",subject="emma"}}'
        assert f"geospace_events_total{about} 0.0" in text(metrics)
        for state, number in [("begin", 0), ("update", 1)]:
            pipeline.says = [event(state, number)]
            worker.compute(Tick(1))
            assert worker.commit()
            assert f"geospace_events_total{about} 1.0" in text(metrics)
            assert f"geospace_event_active{about} 1.0" in text(metrics)
            (shown,) = worker.read().events
            assert shown["properties"]["update"] == number
        pipeline.says = [event("end", 2)]
        worker.compute(Tick(1))
        worker.commit()
        assert f"geospace_event_active{about} 0.0" in text(metrics)
        assert worker.read().events == []

    def test_chains_and_their_pairs_are_expected(self, store: Store, pipeline: Pipeline) -> None:
        metrics = Metrics()
        worker_on(store, metrics=metrics)
        shown = {line.split('"')[3] for line in text(metrics).splitlines() if "_event_active{" in line}
        # MUO-PEL is in no chain: a pair alone says too little.
        assert shown == {"NUR-TAR", "TAR-BRZ", "emma"}

    def test_same_update_committed_again_is_no_contradiction(
        self, store: Store, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
    ) -> None:
        worker = Worker(CONFIG, store, Metrics())
        assert worker.restore()
        keep(store, event("begin"))
        other = Product("flr", "TAR-BRZ", T0_NS, 0, True, {"time": iso_time(T0_NS), "revision": 0, "id": "x"})
        keep(store, other)
        # The second contradicts what is stored, so that all are looked at one by one.
        pipeline.says = [event("begin"), replace(other, body={**other.body, "id": "y"}), event("update", 1)]
        worker.compute(Tick(1))
        assert worker.commit()
        assert [row.topic for row in store.outbox(9)] == [
            f"event/{KIND}/emma",
            "flr/TAR-BRZ",
            f"event/{KIND}/emma",
        ]
        assert caplog.text.count("stored with other content") == 1

    def test_open_events_are_shown_again_after_a_restart_and_count_nothing(
        self, store: Store, pipeline: Pipeline
    ) -> None:
        ended = [event("begin", 0, 3.0, "TAR-BRZ"), event("end", 1, 3.0, "TAR-BRZ")]
        keep(store, event("begin"), event("update", 1), *ended)
        metrics = Metrics()
        worker = worker_on(store, metrics=metrics)
        assert f'geospace_event_active{{kind="{KIND}",subject="emma"}} 1.0' in text(metrics)
        assert f'geospace_event_active{{kind="{KIND}",subject="TAR-BRZ"}} 0.0' in text(metrics)
        assert f'geospace_events_total{{kind="{KIND}",subject="emma"}} 0.0' in text(metrics)
        (shown,) = worker.read().events
        assert shown["properties"]["update"] == 1
        assert pipeline.adopted == []

    def test_events_of_the_last_week_and_open_ones_are_adopted_where_the_states_are_lost(
        self, store: Store, pipeline: Pipeline
    ) -> None:
        store.write_samples([SampleBlock("TAR", ("H",), T0_NS, SECOND_NS, np.ones((1, 60)))])
        keep(
            store,
            event("begin", 0, -24 * 8),
            event("end", 1, -24 * 8),
            event("begin", 0, -24 * 9, "TAR-BRZ"),
            event("update", 1, -24 * 9, "TAR-BRZ"),
            event("begin", 0, -24 * 6),
            event("end", 1, -24 * 6),
            event("begin", 0, -5),
        )
        store.commit([], {"cursor": '{"row": 0, "windows": "others"}'})
        worker_on(store)
        found = [(one["properties"]["data_id"], one["properties"]["state"]) for one in pipeline.adopted]
        assert found == [
            (f"{KIND}/TAR-BRZ/2017-08-29T08:00:00Z/inward", "update"),
            (f"{KIND}/emma/2017-09-01T08:00:00Z/inward", "end"),
            (f"{KIND}/emma/2017-09-07T03:00:00Z/inward", "begin"),
        ]


class TestChains:
    def test_newest_plasmapause_is_shown_and_survives_a_restart(
        self, store: Store, pipeline: Pipeline
    ) -> None:
        worker = worker_on(store)
        assert worker.read().chains == {}
        for minute, l_shell in [(5, 4.2), (10, 4.1), (0, 4.9)]:
            pipeline.says = [chain_object("plasmapause", minute, l_shell=l_shell)]
            worker.compute(Tick(1))
            worker.commit()
        metrics = Metrics()
        for one in (worker, worker_on(store, metrics=metrics)):
            assert one.read().chains["emma"]["l_shell"] == 4.1
        assert 'geospace_plasmapause_l_shell{chain="emma"} 4.1' in text(metrics)

    def test_status_page_lists_chains_and_open_events(self, store: Store, pipeline: Pipeline) -> None:
        worker = worker_on(store)
        pipeline.says = [chain_object("plasmapause", l_shell=4.2), event("begin")]
        worker.compute(Tick(1))
        worker.commit()
        page = status_page(
            CONFIG, worker.read(), started_ns=0, reasons=(), connected=True, queues={}, store_bytes=0
        )
        assert page["chains"]["emma"]["l_shell"] == 4.2
        assert [one["properties"]["subject"] for one in page["events"]] == ["emma"]
        assert json.loads(json.dumps(page)) == page

    def test_latency_of_chain_objects_is_measured(self, store: Store, pipeline: Pipeline) -> None:
        metrics = Metrics()
        worker = worker_on(store, metrics=metrics)
        pipeline.says = [chain_object("profile"), chain_object("plasmapause", l_shell=None), event("begin")]
        worker.compute(Tick(1))
        worker.commit()
        counts = [line for line in text(metrics).splitlines() if "product_latency_seconds_count" in line]
        assert [line.split('"')[1] for line in sorted(counts)] == ["plasmapause", "profile"]

    def test_removed_chain_is_withdrawn_from_both_topics(self, store: Store, pipeline: Pipeline) -> None:
        keep(store, chain_object("profile"), chain_object("plasmapause"), event("begin"))
        without = CONFIG.model_copy(update={"chains": {}})
        for _ in range(2):
            worker_on(store, Config.model_validate(without.model_dump(exclude={"inputs"})))
        cleared = [(row.topic, row.retained) for row in store.outbox(99) if row.payload == b""]
        assert sorted(cleared) == [("plasmapause/emma", True), ("profile/emma", True)]

    def test_ledgers_of_chains_hold_the_stored_revisions(self, store: Store) -> None:
        store.write_samples([SampleBlock("TAR", ("H",), T0_NS, SECOND_NS, np.ones((1, 60)))])
        keep(store, *(chain_object("profile", 5, number) for number in range(3)))
        keep(store, chain_object("plasmapause", 10), chain_object("plasmapause", -600))
        recovery = Recovery(CONFIG, store)
        at_five, at_ten = (str(T0_NS + minute * MINUTE_NS) for minute in (5, 10))
        said = {"issued": {"emma": {at_five: issued([{"revision": n} for n in range(3)])}}, "aside": []}
        assert recovery.ledger()["profile"] == {"version": 1, **said}
        # A plasmapause rests on what is no longer stored. Hours back nothing is revised any more.
        assert recovery.ledger()["plasmapause"]["issued"] == {"emma": {at_ten: [0, ANYTHING, []]}}
        built = recovery.ledger(built=True)["plasmapause"]["issued"]
        assert built == {"emma": {at_ten: issued([{"revision": 0}])}}

    def test_objects_from_before_a_source_fell_silent_are_not_judged_by_what_the_others_still_have(
        self, store: Store
    ) -> None:
        """The silent one is fed from further back, where the samples of the others are not read again."""
        for code, minute in (("TAR", 0), ("BRZ", 600)):
            t0_ns = T0_NS + minute * MINUTE_NS
            store.write_samples([SampleBlock(code, ("H",), t0_ns, SECOND_NS, np.ones((1, 60)))])
        keep(store, chain_object("profile", 0), chain_object("profile", 595))
        said = Recovery(CONFIG, store).ledger()["profile"]["issued"]["emma"]
        assert said == {
            str(T0_NS): [0, ANYTHING, []],
            str(T0_NS + 595 * MINUTE_NS): issued([{"revision": 0}]),
        }

    def test_news_is_all_but_health(self) -> None:
        health = Product("health", "TAR", T0_NS, 0, True, {})
        again = [chain_object("profile"), health, event("begin")]
        assert Recovery.news(again) == [again[0], again[2]]


class TestKp:
    def test_kp_is_stored_and_comes_before_the_samples_of_its_burst(
        self, store: Store, pipeline: Pipeline
    ) -> None:
        worker = worker_on(store)
        burst = [message for minute in range(60) for message in ground_messages(minute)]
        worker.compute(worker.take([*burst, kp_message(-30, *[3.0] * 10)]))
        assert [block.domain for block in pipeline.fed[0]] == [Domain.INDEX]
        assert len(pipeline.fed) > 2
        assert all(block.domain is Domain.GROUND for piece in pipeline.fed[1:] for block in piece)
        assert store.sources()["KP"] == T0_NS - 2 * HOUR_NS

    def test_long_block_of_kp_makes_no_burst_of_the_others(self, store: Store, pipeline: Pipeline) -> None:
        worker = worker_on(store)
        worker.compute(worker.take([kp_message(-30, *[3.0] * 10), *ground_messages(0)]))
        assert [len(blocks) for blocks in pipeline.fed] == [4]

    def test_kp_alone_is_fed(self, store: Store, pipeline: Pipeline) -> None:
        worker = worker_on(store)
        worker.compute(worker.take([kp_message(0, 3.67)]))
        assert [[block.source for block in blocks] for blocks in pipeline.fed] == [["KP"]]

    def test_kp_that_was_stored_and_not_fed_comes_after_a_restart(
        self, store: Store, pipeline: Pipeline
    ) -> None:
        first = worker_on(store)
        first.compute(first.take([kp_message(-3, 2.0)]))
        first.commit(at_once=True)
        first.take([kp_message(0, 3.67)])
        pipeline.fed.clear()
        worker_on(store)
        assert [block.values.tolist() for blocks in pipeline.fed for block in blocks] == [[[3.67]]]
        assert all(block.domain is not Domain.INDEX for block in pipeline.loaded)

    def test_kp_of_the_last_day_is_loaded_first_where_the_states_are_lost(
        self, store: Store, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = worker_on(store)
        for hour in (-60, -27, 0):
            first.compute(first.take([kp_message(hour, 2.0), *ground_messages(hour + 60)]))
        first.commit(at_once=True)
        pipeline.fed.clear()
        pipeline.loaded.clear()
        store.commit([], {"pipeline": '{"version": 2}'})
        with caplog.at_level(logging.WARNING):
            worker_on(store)
        assert "built again" in caplog.text
        kp = [block.t0_ns for block in pipeline.loaded if block.domain is Domain.INDEX]
        assert kp == [T0_NS - 29 * HOUR_NS, T0_NS - 2 * HOUR_NS]
        assert all(block.domain is Domain.GROUND for blocks in pipeline.fed for block in blocks)

    def test_index_of_another_name_is_refused_with_its_reason(self, store: Store) -> None:
        worker = worker_on(store)
        message = kp_message(0, 3.0)
        other = replace(message, topic=message.topic.replace("/kp", "/dst"))
        assert worker.take([other]) == []
        assert worker.read().rejected == {"native: unknown_index": 1}

    def test_pieces_give_indices_first_and_whole(self) -> None:
        def block(source: str, domain: Domain, step_s: int, count: int) -> SampleBlock:
            values: Any = np.zeros((1, count))
            return SampleBlock(source, ("x",), T0_NS, step_s * SECOND_NS, values, domain=domain)

        ground, kp = block("TAR", Domain.GROUND, 1, 120), block("KP", Domain.INDEX, 10_800, 3)
        cut = list(pieces([ground, kp], MINUTE_NS))
        assert [[(one.source, one.count) for one in piece] for piece in cut] == [
            [("KP", 3)],
            [("TAR", 60)],
            [("TAR", 60)],
        ]
