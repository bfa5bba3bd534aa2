"""The space side as a whole: from samples of a spacecraft to its regions, crossings, health, clocks and restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from region_stage_kit import LENGTH_NS, T0_NS, StubModel, samples

from monitor.config import Config
from monitor.config.schema import CraftWindows
from monitor.daemon.checkpoint import Checkpoints
from monitor.daemon.recovery import Recovery
from monitor.daemon.status import status_page
from monitor.daemon.worker import Worker
from monitor.decoders.native import native_payload, native_topic
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.pipeline import Pipeline, loading
from monitor.types import CELL_NS, SECOND_NS, Message, Product, SampleBlock, Tick, iso_time

CONFIG = Config(craft=("MMS1", "C1"))
WINDOW = 40
RECEIVED_NS = T0_NS + 86_400 * SECOND_NS
COURSE = ["SW"] * 6 + ["BS"] + ["MSH"] * 8 + ["LOBE"] + ["MSH"] * 4
"""Of windows."""
CELLS = [region for region in COURSE for _ in range(WINDOW)]


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled network is not what is tested."""
    monkeypatch.setattr(loading, "load_region", lambda choice: None if choice == "none" else _named())


def _named() -> StubModel:
    return _Named()


class _Named(StubModel):
    info = None


def of_kind(products: list[Product], kind: str) -> list[Product]:
    return [product for product in products if product.kind == kind]


def run(pipeline: Pipeline, cells: list[str] = CELLS, piece: int = 7) -> list[Product]:
    """In small pieces, and the time after."""
    said = []
    for first in range(0, len(cells), piece):
        said += pipeline.feed([samples(cells[first : first + piece], first=first)])
    return said + pipeline.feed(Tick(120 * SECOND_NS))


def final(products: list[Product]) -> dict[str, Any]:
    """The last word on each window."""
    return {
        product.body["time"]: (product.body["label"], product.body["quality"], product.body["support_s"])
        for product in of_kind(products, "region")
    }


class TestPipeline:
    def test_samples_become_regions_crossings_and_health(self) -> None:
        said = run(Pipeline(CONFIG))
        labels = [label for label, _, _ in final(said).values()]
        assert labels[1:-1] == COURSE[1:-1]
        qualities = [quality for _, quality, _ in final(said).values()]
        assert [label for label, quality in zip(labels, qualities, strict=True) if quality == "poor"] == []
        events = [product.body["properties"] for product in of_kind(said, "event")]
        assert {one["kind"] for one in events} == {"bow_shock_crossing"}
        assert [one["state"] for one in events] == ["begin", "end"]
        assert "MMS1" in {one.subject for one in of_kind(said, "health")}

    @pytest.mark.parametrize("silent_min", [45, 150])
    def test_samples_that_were_held_back_for_long_are_labelled_as_if_they_had_come_in_time(
        self, silent_min: int
    ) -> None:
        """As a spacecraft does that sends what it measured when it passes its ground station."""
        pipeline = Pipeline(CONFIG)
        said = run(pipeline, CELLS[:400])
        for _ in range(silent_min):
            said += pipeline.feed(Tick(60 * SECOND_NS))
        for first in range(400, len(CELLS), 7):
            said += pipeline.feed([samples(CELLS[first : first + 7], first=first)])
        said += pipeline.flush()
        expected = Pipeline(CONFIG)
        wanted = final([*run(expected), *expected.flush()])
        found = final(said)
        assert {time: found[time] for time in wanted} == wanted

    def test_inner_windows_have_context_and_the_outer_ones_stand_alone(self) -> None:
        support = [one for _, _, one in final(run(Pipeline(CONFIG))).values()]
        assert support == [180.0] + [238.5] * (len(COURSE) - 2) + [180.0]

    def test_event_names_the_regions_it_rests_on(self) -> None:
        said = run(Pipeline(CONFIG))
        ids = {product.body["id"] for product in of_kind(said, "region")}
        for product in of_kind(said, "event"):
            assert set(product.body["properties"]["members"]) <= ids

    def test_clocks_and_late_samples_are_told(self) -> None:
        pipeline = Pipeline(CONFIG)
        pipeline.feed([samples(["SW"] * 10)])
        pipeline.feed(Tick(3 * SECOND_NS))
        assert pipeline.source_clocks == {"MMS1": T0_NS + 10 * CELL_NS}
        assert pipeline.product_clocks == {"MMS1": T0_NS + 10 * CELL_NS + 3 * SECOND_NS}
        pipeline.feed([samples(["SW"], first=86_400)])
        pipeline.feed([samples(["SW"] * 5, first=10)])
        assert pipeline.too_late_samples == 5

    def test_every_stage_is_watched(self) -> None:
        seen: list[str] = []

        @contextmanager
        def watch(stage: str) -> Iterator[None]:
            seen.append(stage)
            yield

        Pipeline(CONFIG, watch).feed([samples(["SW"] * 60)])
        assert seen == ["window", "craft_window", "region", "region_product", "craft_event"]

    def test_restart_anywhere_gives_what_one_run_gives(self) -> None:
        blocks = [samples(CELLS[first : first + 25], first=first) for first in range(0, len(CELLS), 25)]
        whole = Pipeline(CONFIG)
        reference = [product.body for block in blocks for product in whole.feed([block])]
        for cut in range(1, len(blocks), 6):
            first, second = Pipeline(CONFIG), Pipeline(CONFIG)
            said = [product.body for block in blocks[:cut] for product in first.feed([block])]
            second.restore(json.loads(json.dumps(first.snapshot())))
            second.load(blocks[:cut])
            said += [product.body for block in blocks[cut:] for product in second.feed([block])]
            assert said == reference

    def test_without_a_model_health_is_all_that_is_said(self) -> None:
        config = Config(craft=("MMS1",), models={"region": "none"})
        assert {product.kind for product in run(Pipeline(config))} == {"health"}

    def test_no_model_is_loaded_without_spacecraft(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loading, "load_region", None)
        assert Pipeline(Config()).feed([samples(["SW"] * 60)]) == []

    def test_flush_ends_an_offline_run(self) -> None:
        pipeline = Pipeline(CONFIG)
        pipeline.feed([samples(["SW"] * 40)])
        assert len(of_kind(pipeline.flush(), "region")) == 1
        assert of_kind(pipeline.flush(), "region") == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "db.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def worker_on(store: Store, config: Config = CONFIG, now_ns: int = T0_NS) -> Worker:
    worker = Worker(config, store, Metrics(["native"]), wall_ns=lambda: now_ns)
    assert worker.restore()
    return worker


def message(block: SampleBlock) -> Message:
    return Message(native_topic(block, "geospace/v1"), native_payload(block), RECEIVED_NS)


def take(worker: Worker, blocks: list[SampleBlock]) -> None:
    worker.compute(worker.take([message(block) for block in blocks]))
    worker.commit()


def stored(store: Store) -> list[Any]:
    return [json.loads(row.payload) for row in store.outbox(10_000) if row.kind == "region"]


def latest(store: Store) -> dict[str, Any]:
    return {one["time"]: (one["label"], one["quality"]) for one in stored(store)}


class TestWorker:
    def test_regions_are_committed_shown_and_listed_without_their_map(self, store: Store) -> None:
        worker = worker_on(store)
        take(worker, [samples(["SW"] * 60)])
        [document] = stored(store)
        assert len(document["cam"]) == WINDOW
        page = status_page(
            CONFIG, worker.read(), started_ns=0, reasons=(), connected=True, queues={}, store_bytes=0
        )
        assert page["regions"] == {
            "MMS1": {key: value for key, value in document.items() if key != "cam"} | {"stale": False},
            "C1": None,
        }
        assert page["sources"]["MMS1"]["last_sample"] == iso_time(T0_NS + 60 * CELL_NS)

    def test_field_and_plasma_of_a_long_burst_meet_in_their_windows(self, store: Store) -> None:
        config = Config(craft=("MMS1",), craft_windows=CraftWindows(revise_s=600.0))
        whole = samples(CELLS)
        parts = [
            SampleBlock(
                whole.source,
                whole.components[rows],
                whole.t0_ns,
                whole.step_ns,
                whole.values[rows],
                whole.domain,
                frame="gse",
            )
            for rows in (slice(0, 4), slice(4, 12))
        ]
        take(worker_on(store, config), parts)
        assert all(one["missing"] == [] for one in stored(store))
        assert [label for label, _ in latest(store).values()][1:18] == COURSE[1:18]

    @pytest.mark.parametrize("keep_states", [True, False])
    def test_restart_says_nothing_twice_and_goes_on(
        self, store: Store, tmp_path: Path, keep_states: bool
    ) -> None:
        blocks = [samples(CELLS[first : first + 50], first=first) for first in range(0, len(CELLS), 50)]
        with Store.open(tmp_path / "other", retention_ns=1 << 60, product_retention_ns=None) as other:
            take_all = worker_on(other)
            for block in blocks:
                take(take_all, [block])
            reference = latest(other)
        first = worker_on(store)
        for block in blocks[:9]:
            take(first, [block])
        first.commit(at_once=True)
        before = stored(store)
        if not keep_states:
            store.commit([], {"cursor": '{"row": 0, "windows": null}'})
        second = worker_on(store)
        assert stored(store) == before
        for block in blocks[9:]:
            take(second, [block])
        assert latest(store) == reference
        ids = [one["id"] for one in stored(store)]
        assert len(set(ids)) == len(ids)

    def test_removed_spacecraft_is_withdrawn(self, store: Store) -> None:
        take(worker_on(store), [samples(["SW"] * 60)])
        worker_on(store, Config(craft=("C1",)))
        gone = {(row.kind, row.topic) for row in store.outbox(10_000) if not row.payload}
        assert gone == {("region", "region/MMS1"), ("health", "health/MMS1")}

    def test_windows_of_spacecraft_that_are_configured_otherwise_are_built_again(self, store: Store) -> None:
        take(worker_on(store), [samples(["SW"] * 60)])
        cursor = json.loads(Checkpoints(CONFIG).write({}, 0)["cursor"])
        assert cursor["craft_windows"]["hop_s"] == 180.0
        store.commit([], Checkpoints(CONFIG).write({}, 3))
        assert Recovery(CONFIG, store).states(Pipeline(CONFIG), Checkpoints(CONFIG)) == (True, 3)
        other = Config(craft=CONFIG.craft, craft_windows=CraftWindows(hop_s=90.0))
        assert Recovery(other, store).states(Pipeline(other), Checkpoints(other)) == (False, 0)
        # Without spacecraft their windows are nobody's concern.
        assert "craft_windows" not in json.loads(Checkpoints(Config()).write({}, 0)["cursor"])

    def test_label_of_before_an_outage_is_not_shown_as_one_of_now(self, store: Store) -> None:
        take(worker_on(store), [samples(["SW"] * 60)])
        metrics = Metrics(["native"])
        assert Worker(CONFIG, store, metrics, wall_ns=lambda: RECEIVED_NS).restore()
        text = metrics.render("")[0].decode()
        assert 'geospace_region_data_timestamp_seconds{craft="MMS1"}' in text
        assert "geospace_region_label{" not in text
        assert 'geospace_event_active{kind="magnetopause_crossing",subject="MMS1"} 0.0' in text

    def test_latency_of_regions_is_measured(self, store: Store) -> None:
        metrics = Metrics(["native"])
        worker = Worker(CONFIG, store, metrics, wall_ns=lambda: T0_NS + LENGTH_NS + 40 * SECOND_NS)
        assert worker.restore()
        take(worker, [samples(["SW"] * 60)])
        text = metrics.render("")[0].decode()
        assert 'geospace_product_latency_seconds_sum{product="region"} 40.0' in text
