"""A sink gets every product, in the order of the commits, whatever it raises and whenever it is begun again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from monitor.daemon import sinks
from monitor.daemon.sinks import SinkTask
from monitor.daemon.upkeep import Patience
from monitor.errors import PluginOffError
from monitor.io.metrics import PluginMetrics
from monitor.io.store import Store
from monitor.plugins import StoredProduct
from monitor.types import SECOND_NS, Product

QUICK = Patience(first_s=0.01, longest_s=0.02, open_s=0.3, write_s=0.3, close_s=0.1, end_s=5.0)
DAY_NS = 86_400 * SECOND_NS


class Recorder:
    """A sink that keeps what it gets, and does what a test asks for before that."""

    def __init__(self, kinds: frozenset[str] | None = None) -> None:
        self.kinds = kinds
        self.taken: list[StoredProduct] = []
        self.seen: list[int] = []
        self.closed = 0
        self.before: Callable[[], object] = lambda: None
        self.stuck = asyncio.Event()
        self.stuck.set()

    async def open(self) -> None:
        pass

    async def write(self, products: Sequence[StoredProduct]) -> None:
        self.seen += [product.row for product in products]
        self.before()
        await self.stuck.wait()
        self.taken += products

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_LOOK_S", 0.01)
    monkeypatch.setattr(sinks, "_BATCH", 4)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "a.sqlite", retention_ns=DAY_NS, product_retention_ns=DAY_NS) as store:
        yield store


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> PluginMetrics:
    return PluginMetrics(registry)


def commit(store: Store, first: int, count: int, kind: str = "flr") -> None:
    for number in range(first, first + count):
        product = Product(kind, "TAR-BRZ", number * 3600 * SECOND_NS, 0, True, {"number": number})
        store.commit([(product, f'{{"number": {number}}}'.encode())], {})


@asynccontextmanager
async def running(
    sink: Recorder, store: Store, metrics: PluginMetrics, begin: str = "beginning", plugin: str = "recorder"
) -> AsyncIterator[SinkTask]:
    task = SinkTask("archive", plugin, sink, begin, store, metrics, patience=QUICK)  # type: ignore[arg-type]
    task.start()
    try:
        yield task
    finally:
        await task.end()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (what threads do has no event)
            await asyncio.sleep(0.005)


def rows(sink: Recorder) -> list[int]:
    return [product.row for product in sink.taken]


async def test_products_come_in_their_order_as_they_are_committed(
    store: Store, metrics: PluginMetrics, registry: CollectorRegistry
) -> None:
    commit(store, 0, 10)
    sink = Recorder()
    async with running(sink, store, metrics) as task:
        await until(lambda: len(sink.taken) == 10)
        commit(store, 10, 1)
        await until(lambda: len(sink.taken) == 11)
        await asyncio.to_thread(task.observe)
        assert task.page() == {"row": 11, "waiting": 0, "lost": 0}
    assert rows(sink) == list(range(1, 12))
    assert sink.taken[3].payload == b'{"number": 3}'
    assert sink.taken[3].topic == "flr/TAR-BRZ"
    assert registry.get_sample_value("geospace_sink_products_total", {"sink": "archive"}) == 11


async def test_sink_that_fails_ten_times_gets_everything_in_order_also_over_restarts(
    store: Store, metrics: PluginMetrics, registry: CollectorRegistry
) -> None:
    commit(store, 0, 40)
    sink, left = Recorder(), [False, True] * 10

    def fail() -> None:
        if left and left.pop():
            raise ConnectionError("nobody is there")

    sink.before = fail
    for taken in (8, 20, 40):
        async with running(sink, store, metrics) as task:
            await until(lambda taken=taken: len(sink.taken) >= taken)  # type: ignore[misc]
            await until(lambda task=task: task.upkeep.standing.state == "running")  # type: ignore[misc]
    assert rows(sink) == list(range(1, 41))
    assert not left
    labels = {"plugin": "archive", "kind": "sink"}
    assert registry.get_sample_value("geospace_plugin_failures_total", labels) == 10


async def test_product_whose_write_was_cut_off_comes_again(store: Store, metrics: PluginMetrics) -> None:
    commit(store, 0, 3)
    sink = Recorder()
    sink.stuck.clear()
    async with running(sink, store, metrics):
        await until(lambda: bool(sink.seen))
    assert (sink.seen, sink.taken) == ([1, 2, 3], [])
    sink.stuck.set()
    async with running(sink, store, metrics):
        await until(lambda: len(sink.taken) == 3)
    assert rows(sink) == [1, 2, 3]


async def test_write_that_does_not_end_is_cut_off_and_named(store: Store, metrics: PluginMetrics) -> None:
    commit(store, 0, 3)
    sink = Recorder()
    sink.stuck.clear()
    async with running(sink, store, metrics) as task:
        await until(lambda: task.upkeep.standing.state == "failed")
        assert task.upkeep.standing.reason == "TimeoutError: write took longer than 0.3 s"
        sink.stuck.set()
        await until(lambda: task.upkeep.standing.state == "running")
    assert rows(sink) == [1, 2, 3]
    assert sink.closed >= 2


async def test_sink_that_says_that_it_is_off_is_left_alone(store: Store, metrics: PluginMetrics) -> None:
    commit(store, 0, 1)
    sink = Recorder()

    def refuse() -> None:
        raise PluginOffError("archive", "", "was killed three times")

    sink.before = refuse
    async with running(sink, store, metrics) as task:
        await until(lambda: task.upkeep.standing.state == "off")
        assert "was killed three times" in str(task.upkeep.standing.reason)
        await asyncio.sleep(0.1)
    assert sink.seen == [1]


async def test_sink_begins_now_and_another_plugin_of_its_name_begins_anew(
    store: Store, metrics: PluginMetrics
) -> None:
    commit(store, 0, 5)
    first, second = Recorder(), Recorder()
    async with running(first, store, metrics, begin="now") as task:
        await until(lambda: task.upkeep.standing.state == "running")
        commit(store, 5, 1)
        await until(lambda: len(first.taken) == 1)
    assert rows(first) == [6]
    commit(store, 6, 1)
    async with running(second, store, metrics, begin="now", plugin="other") as task:
        await until(lambda: task.upkeep.standing.state == "running")
        commit(store, 7, 1)
        await until(lambda: len(second.taken) == 1)
    assert rows(second) == [8]


async def test_sink_of_a_store_that_is_an_older_copy_goes_on_behind_its_end(
    store: Store, metrics: PluginMetrics
) -> None:
    commit(store, 0, 3)
    store.commit([], {"sink:archive": '{"plugin": "recorder", "row": 10}'})
    sink = Recorder()
    async with running(sink, store, metrics) as task:
        await until(lambda: task.upkeep.standing.state == "running")
        commit(store, 3, 1)
        await until(lambda: len(sink.taken) == 1)
    assert rows(sink) == [4]


async def test_kinds_that_a_sink_does_not_want_are_passed_over(store: Store, metrics: PluginMetrics) -> None:
    commit(store, 0, 9, "health")
    commit(store, 9, 1, "event")
    commit(store, 10, 9, "health")
    sink = Recorder(frozenset({"event"}))
    async with running(sink, store, metrics) as task:
        await until(lambda: task.page()["row"] == 19)
    assert rows(sink) == [10]


async def test_products_that_are_pruned_before_they_are_taken_are_counted(
    store: Store, metrics: PluginMetrics, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    commit(store, 0, 100)
    sink = Recorder(frozenset({"flr"}))
    sink.stuck.clear()
    store.mark_published(range(1, 101))
    async with running(sink, store, metrics) as task:
        await until(lambda: bool(sink.seen))
        with caplog.at_level(logging.ERROR):
            assert store.prune(task.pruned) == 75
        assert task.page()["lost"] == 75
        assert "75 products of kind flr were deleted before it took them" in caplog.text
        sink.stuck.set()
        await until(lambda: task.page()["row"] == 100)
    assert registry.get_sample_value("geospace_sink_lost_products_total", {"sink": "archive"}) == 75
    # What was being written when it was deleted is written all the same.
    assert rows(sink) == [1, 2, 3, 4, *range(76, 101)]
