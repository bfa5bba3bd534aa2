"""What sources bring goes the way of what the broker brings: stored, computed, committed, one after the other."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config import Config
from monitor.config.schema import Models
from monitor.daemon import intake as intake_module
from monitor.daemon.intake import IntakeLoop
from monitor.daemon.sources import SourceFeed, SourceTask
from monitor.daemon.thread import WorkerThread
from monitor.daemon.upkeep import Patience, Upkeep
from monitor.daemon.worker import Worker
from monitor.errors import StoreError
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.types import SECOND_NS, SampleBlock, Tick

T0_NS = 1_504_771_200 * SECOND_NS
CONFIG = Config(pairs=("TAR-BRZ",), models=Models(flr="physical"))


class QuietLink:
    """Stands in for the link to a broker from which nothing comes; the broker itself has tests of its own."""

    waiting = 0

    async def receive(self, _limit: int, timeout_s: float) -> list[Any]:
        await asyncio.sleep(timeout_s)
        return []


class Publisher:
    def wake(self) -> None:
        pass


class Way:
    """A store, a worker with its thread, and an intake that runs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.metrics = Metrics()
        self.worker = Worker(CONFIG, store, self.metrics)
        self.thread = WorkerThread()
        self.notes: list[tuple[str, str | None]] = []
        self.stopping = asyncio.Event()
        self.intake = IntakeLoop(
            CONFIG,
            QuietLink(),  # type: ignore[arg-type]
            self.worker,
            self.thread,
            Publisher(),  # type: ignore[arg-type]
            lambda concern, reason: self.notes.append((concern, reason)),
        )

    def feed(self, plugin: str = "hapi") -> SourceFeed:
        upkeep = Upkeep("archive", "source", self.metrics.plugins, Patience())
        feed = SourceFeed("archive", plugin, self.intake, self.worker, self.store, upkeep)
        feed.restore(self.store.states())
        return feed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_TICK_S", 0.05)
    monkeypatch.setattr(intake_module, "_RETRY_S", 0.02)


@asynccontextmanager
async def way(path: Path) -> AsyncIterator[Way]:
    with Store.open(path / "a.sqlite", retention_ns=1 << 60, product_retention_ns=None) as store:
        it = Way(store)
        await it.thread.call(it.worker.restore)
        loop = asyncio.create_task(it.intake.run(it.stopping))
        try:
            yield it
        finally:
            it.stopping.set()
            await loop
            await it.intake.finish()
            it.thread.shutdown()


def block(source: str, minute: int) -> SampleBlock:
    values = np.linspace(0.0, 1.0, 60)[np.newaxis, :]
    return SampleBlock(source, ("H",), T0_NS + minute * 60 * SECOND_NS, SECOND_NS, values)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (what the worker thread does has no event)
            await asyncio.sleep(0.005)


async def test_position_is_stored_with_the_samples_and_given_to_the_next_run(tmp_path: Path) -> None:
    async with way(tmp_path) as it:
        feed = it.feed()
        assert feed.position is None
        taken = await feed.take([block("TAR", 0), block("BRZ", 0)], {"until": "00:01"})
        assert (taken.samples, taken.refused) == (120, {})
        assert feed.newest_ns("TAR") == T0_NS + 60 * SECOND_NS
        assert it.worker.pipeline.source_clocks == {
            "TAR": T0_NS + 60 * SECOND_NS,
            "BRZ": T0_NS + 60 * SECOND_NS,
        }
        await feed.take([], {"until": "00:02"})
        await feed.take([block("TAR", 1)])
        assert await feed.gaps("TAR", T0_NS, T0_NS + 180 * SECOND_NS) == [
            (T0_NS + 120 * SECOND_NS, T0_NS + 180 * SECOND_NS)
        ]
    async with way(tmp_path) as it:
        assert it.feed().position == {"until": "00:02"}
        assert it.feed().newest_ns("TAR") == T0_NS + 120 * SECOND_NS
        assert it.feed(plugin="files").position is None


async def test_delivery_of_a_source_that_is_cancelled_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with way(tmp_path) as it:
        write, entered, release = it.store.write_samples, threading.Event(), threading.Event()

        def slow(*arguments: Any) -> int:
            entered.set()
            release.wait(30)
            return write(*arguments)

        monkeypatch.setattr(it.store, "write_samples", slow)
        source = asyncio.create_task(it.feed().take([block("TAR", 0)], 1))
        await until(entered.is_set)
        source.cancel()
        with pytest.raises(asyncio.CancelledError):
            await source
        release.set()
        await it.intake.finish()
        # Stored and computed: else the states would pass over it for ever.
        assert it.worker.pipeline.source_clocks == {"TAR": T0_NS + 60 * SECOND_NS}
        assert json.loads(it.store.states()["source:archive"])["position"] == 1


async def test_full_disk_holds_a_source_back_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with way(tmp_path) as it:
        write, left = it.store.write_samples, [1] * 3

        def full(*arguments: Any) -> int:
            if left:
                left.pop()
                raise StoreError("the disk is full")
            return write(*arguments)

        monkeypatch.setattr(it.store, "write_samples", full)
        taken = await it.feed().take([block("TAR", 0)], 1)
        assert taken.samples == 60
        assert ("samples", "samples cannot be stored: the disk is full") in it.notes
        assert it.notes[-1] in (("samples", None), ("products", None))
        assert [one.count for _, one in it.store.samples("TAR", 0)] == [60]


async def test_source_hears_where_the_run_ends_before_its_samples_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with way(tmp_path) as it:

        def full(*_arguments: Any) -> int:
            raise StoreError("the disk is full")

        monkeypatch.setattr(it.store, "write_samples", full)
        feed = it.feed()
        source = asyncio.create_task(feed.take([block("TAR", 0)], 1))
        await until(lambda: any(concern == "samples" for concern, _ in it.notes))
        it.stopping.set()
        with pytest.raises(StoreError, match="the run ends"):
            await source
        assert feed.position is None


async def test_time_in_which_a_delivery_is_under_way_is_no_time_without_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with way(tmp_path) as it:
        compute, ticks = it.worker.compute, list[int]()

        def slow(items: Sequence[SampleBlock] | Tick) -> None:
            if isinstance(items, Tick):
                ticks.append(items.elapsed_ns)
            else:
                time.sleep(1.0)
            compute(items)

        monkeypatch.setattr(it.worker, "compute", slow)
        begin = time.monotonic()
        await it.feed().take([block("TAR", 0)])
        await it.feed().take([block("TAR", 1)])
        await until(lambda: sum(ticks) > 0.2 * SECOND_NS)
        elapsed_s = time.monotonic() - begin
        assert sum(ticks) / SECOND_NS <= elapsed_s - 2.0


class Unsteady:
    """A source that raises twice, and then has nothing to bring."""

    def __init__(self) -> None:
        self.begun = 0

    async def run(self, _feed: object) -> None:
        self.begun += 1
        if self.begun == 1:
            raise ConnectionError("nobody is there")
        if self.begun == 2:
            return
        await asyncio.Event().wait()


async def test_source_is_begun_again_and_has_worked_once_it_runs_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with way(tmp_path) as it:
        source, patience = Unsteady(), Patience(first_s=0.01, longest_s=0.02, steady_s=0.3)
        task = SourceTask(
            "archive", "hapi", source, it.intake, it.worker, it.store, it.metrics.plugins, patience=patience
        )
        task.start()
        await until(lambda: source.begun == 3)
        assert (task.upkeep.standing.state, task.upkeep.standing.restarts) == ("failed", 2)
        assert task.upkeep.standing.reason == "plugin archive: ended by itself"
        await until(lambda: task.upkeep.standing.state == "running")
        assert task.upkeep.standing.reason is None
        await task.end()
    assert "source archive failed: ConnectionError: nobody is there; it is begun again" in caplog.text


async def test_source_waits_for_a_store_that_cannot_be_read_and_takes_up_its_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with way(tmp_path) as it:
        await it.feed().take([block("TAR", 0)], 1)
        states, left = it.store.states, [1, 1]

        def busy() -> dict[str, str]:
            if left:
                left.pop()
                raise StoreError("is held by another program")
            return states()

        monkeypatch.setattr(it.store, "states", busy)
        source, patience = Unsteady(), Patience(first_s=0.01, longest_s=0.02)
        source.begun = 2
        task = SourceTask(
            "archive", "hapi", source, it.intake, it.worker, it.store, it.metrics.plugins, patience=patience
        )
        task.start()
        await until(lambda: source.begun == 3)
        assert task.page() == {"position": 1}
        await task.feed.take([], ["x" * 1996])
        assert task.page() == {"position": ["x" * 1996]}
        await task.feed.take([], ["x" * 1997])
        assert task.page() == {"position": "2001 characters"}
        await task.end()


async def test_position_that_is_no_json_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    async with way(tmp_path) as it:
        with pytest.raises(ValueError, match="not JSON compliant"):
            await it.feed().take([block("TAR", 0)], float("nan"))
        with pytest.raises(ValueError, match="a position of"):
            await it.feed().take([block("TAR", 0)], "x" * 1_000_001)
        assert not list(it.store.samples("TAR", 0))


async def test_more_than_can_be_taken_at_once_is_taken_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.daemon.sources._MOST_ITEMS", 3)
    async with way(tmp_path) as it:
        feed = it.feed()
        taken = await feed.take([block("TAR", minute) for minute in range(7)] + [block("NOSUCH", 0)], 7)
        assert (taken.samples, taken.refused) == (420, {"unknown_station": 1})
        assert feed.position == 7
