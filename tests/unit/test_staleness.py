"""What is stale says so: gauges that no clock takes away, `/api/status`, and sources that fall silent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from region_stage_kit import T0_NS as CRAFT_T0_NS
from region_stage_kit import StubModel, samples
from test_metrics import T0_NS, VALID_NS, flr, health, plasmapause, region, value
from test_recovery_chains import CONFIG as CHAIN_CONFIG
from test_recovery_chains import KIND, event, keep
from test_worker import CONFIG, MINUTE_NS, messages, run
from test_worker import T0_NS as WORKER_T0_NS

from monitor.config import Config
from monitor.daemon.status import status_page
from monitor.daemon.worker import Worker
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.pipeline import Pipeline, loading
from monitor.types import CELL_NS, SECOND_NS, Json, Product, Tick, iso_time


class Clock:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


GAUGES = {
    "flr": (flr(), "geospace_flr", {"pair": "TAR-BRZ"}, "frequency_hertz"),
    "plasmapause": (plasmapause(), "geospace_plasmapause", {"chain": "emma"}, "l_shell"),
    "region": (region(), "geospace_region", {"craft": "MMS1"}, "confidence_ratio"),
}


class TestGauges:
    @pytest.mark.parametrize("kind", GAUGES)
    def test_value_that_no_clock_takes_away_goes_after_its_time(self, kind: str, clock: Clock) -> None:
        product, prefix, labels, gauge = GAUGES[kind]
        metrics = Metrics(monotonic_ns=clock)
        assert metrics.is_stale(kind, product.subject)
        metrics.product(product)
        clock.now_ns += VALID_NS
        assert value(metrics, f"{prefix}_{gauge}", **labels) is not None
        assert not metrics.is_stale(kind, product.subject)
        clock.now_ns += 1
        assert value(metrics, f"{prefix}_{gauge}", **labels) is None
        assert value(metrics, f"{prefix}_data_timestamp_seconds", **labels) == T0_NS / SECOND_NS
        assert metrics.is_stale(kind, product.subject)

    def test_product_clock_takes_a_value_away_and_status_says_so(self, clock: Clock) -> None:
        metrics = Metrics(monotonic_ns=clock)
        metrics.product(flr())
        metrics.expire(lambda _: T0_NS + VALID_NS + 1)
        assert metrics.is_stale("flr", "TAR-BRZ")

    def test_new_product_begins_anew(self, clock: Clock) -> None:
        metrics = Metrics(monotonic_ns=clock)
        metrics.product(flr())
        clock.now_ns += VALID_NS + 1
        metrics.product(flr(time_s=1800, frequency_mHz=12.0))
        assert value(metrics, "geospace_flr_frequency_hertz", pair="TAR-BRZ") == 0.012

    def test_health_goes_where_nobody_looks_after_it_and_comes_back(self, clock: Clock) -> None:
        metrics = Metrics(monotonic_ns=clock)
        metrics.product(health("ok"))
        for after_s, shown in ((300, 1.0), (301, None)):
            clock.now_ns = after_s * SECOND_NS
            assert value(metrics, "geospace_station_state", station="TAR", state="ok") == shown
        metrics.expire(lambda _: None)
        assert value(metrics, "geospace_station_state", station="TAR", state="ok") == 1.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "db.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def page_of(config: Config, worker: Worker, metrics: Metrics) -> Json:
    page = status_page(
        config,
        worker.read(),
        started_ns=0,
        reasons=(),
        connected=True,
        queues={},
        store_bytes=0,
        stale=metrics.is_stale,
    )
    return json.loads(json.dumps(page))


class ScrapedMetrics(Metrics):
    """Scraped after every change, as Prometheus may: what it sees of the chain's event."""

    def __init__(self) -> None:
        super().__init__([])
        self.seen: list[float | None] = []

    def product(self, product: Product) -> None:
        super().product(product)
        self._scrape()

    def expect_events(self, kind: str, subjects: Iterable[str]) -> None:
        super().expect_events(kind, subjects)
        self._scrape()

    def _scrape(self) -> None:
        self.seen.append(value(self, "geospace_event_active", kind=KIND, subject="emma"))


class TestRestart:
    def test_open_event_is_never_shown_as_over(self, store: Store) -> None:
        keep(store, event("begin"))
        metrics = ScrapedMetrics()
        worker = Worker(CHAIN_CONFIG, store, metrics)
        assert value(metrics, "geospace_event_active", kind=KIND, subject="emma") is None
        assert worker.restore()
        assert set(metrics.seen) == {1.0}
        assert value(metrics, "geospace_event_active", kind=KIND, subject="NUR-TAR") == 0.0


class TestStatus:
    def test_objects_are_marked_once_they_are_over(self, store: Store, clock: Clock) -> None:
        config = CONFIG.model_copy(update={"chains": {"one": ("TAR-BRZ",)}})
        metrics = Metrics(monotonic_ns=clock)
        worker = Worker(config, store, metrics, wall_ns=lambda: WORKER_T0_NS + 12 * MINUTE_NS)
        assert worker.restore()
        assert page_of(config, worker, metrics)["pairs"] == {"TAR-BRZ": None}
        run(worker, messages(0, 12))
        page = page_of(config, worker, metrics)
        assert page["as_of"] == "2017-09-07T08:12:00Z"
        assert (page["pairs"]["TAR-BRZ"]["stale"], page["chains"]["one"]["stale"]) == (False, False)
        clock.now_ns += 3600 * SECOND_NS
        page = page_of(config, worker, metrics)
        assert (page["pairs"]["TAR-BRZ"]["stale"], page["chains"]["one"]["stale"]) == (True, True)

    def test_label_of_an_evening_long_ago_is_stale_after_a_start(self, store: Store) -> None:
        first = Worker(CONFIG, store, Metrics())
        assert first.restore()
        run(first, messages(0, 12))
        metrics = Metrics()
        second = Worker(CONFIG, store, metrics)
        assert second.restore()
        assert page_of(CONFIG, second, metrics)["pairs"]["TAR-BRZ"]["stale"]


def states_of(pipeline: Pipeline, minutes: int) -> list[tuple[str, str, str]]:
    """Health that is said while nothing comes, a tick a minute."""
    return [
        (product.subject, product.body["state"], iso_time(product.time_ns)[11:16])
        for _ in range(minutes)
        for product in pipeline.feed(Tick(MINUTE_NS))
        if product.kind == "health"
    ]


class _Network(StubModel):
    info = None


class TestSilence:
    def test_station_that_falls_silent_closes_windows_as_gaps_and_is_late_then_offline(
        self, store: Store
    ) -> None:
        metrics = Metrics()
        worker = Worker(CONFIG, store, metrics)
        assert worker.restore()
        run(worker, messages(0, 12))
        said = []
        for minute in range(12, 24):
            run(worker, [one for one in messages(minute) if "TAR" in one.topic])
            said.append(worker.read().health["BRZ"])
        assert list(dict.fromkeys(said)) == ["ok", "late", "offline"]
        assert worker.read().health["TAR"] == "ok"
        document = worker.read().latest["TAR-BRZ"]
        assert (document["time"], document["label"]) == ("2017-09-07T08:20:00Z", "NoFreq")
        assert "gap" in document["flags"]
        assert document["frequency_mHz"] is None

    def test_when_all_fall_silent_windows_close_as_gaps_and_all_go_offline(self, store: Store) -> None:
        metrics = Metrics()
        worker = Worker(CONFIG, store, metrics)
        assert worker.restore()
        run(worker, messages(0, 12))
        states = []
        for _ in range(15):
            worker.compute(Tick(MINUTE_NS))
            worker.commit()
            metrics.expire(worker.pipeline.product_clocks.get)
            states.append(worker.read().health)
        assert states[-1] == {"TAR": "offline", "BRZ": "offline"}
        assert {"TAR": "late", "BRZ": "late"} in states
        document = worker.read().latest["TAR-BRZ"]
        assert document["time"] == "2017-09-07T08:25:00Z"
        assert "gap" in document["flags"]
        assert value(metrics, "geospace_flr_frequency_hertz", pair="TAR-BRZ") is None
        assert value(metrics, "geospace_window_coverage_ratio", pair="TAR-BRZ", station="TAR") == 0.0

    def test_spacecraft_that_falls_silent_is_late_then_offline_and_its_label_goes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loading, "load_region", lambda _choice: _Network())
        pipeline, metrics = Pipeline(Config(craft=("MMS1",))), Metrics()
        for product in pipeline.feed([samples(["SW"] * 120)]):
            metrics.product(product)
        metrics.expire(pipeline.product_clocks.get)
        assert value(metrics, "geospace_region_label", craft="MMS1", label="SW") == 1.0
        states = states_of(pipeline, 60)
        assert [state for _, state, _ in states][-1] == "offline"
        assert "late" in [state for _, state, _ in states]
        metrics.expire(pipeline.product_clocks.get)
        assert value(metrics, "geospace_region_label", craft="MMS1", label="SW") is None
        stamp = value(metrics, "geospace_region_data_timestamp_seconds", craft="MMS1")
        assert stamp is not None
        assert stamp * SECOND_NS <= CRAFT_T0_NS + 120 * CELL_NS
