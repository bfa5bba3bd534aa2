"""A daemon of which a part fails: the rest is published, and everything that can be asked says what does not work."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from daemon_kit import (
    PAIRS,
    DaemonProcess,
    Feeder,
    Listener,
    chain_blocks,
    closing,
    eventually,
    processed,
    retained,
    write_config,
    write_csv,
)
from flight_kit import CRAFT, flight_blocks
from mqtt_kit import Mosquitto
from prometheus_client.parser import text_string_to_metric_families

from monitor.config import load_config
from monitor.daemon import house, intake
from monitor.daemon.runtime import Daemon
from monitor.daemon.worker import Worker
from monitor.models.base import bundled
from monitor.plugins import installed
from monitor.stages.resonance import ResonanceStage
from monitor.types import SECOND_NS, SampleBlock, SpectrumBatch, Tick

BLOCKS = chain_blocks(60)
GOOD, POISON = PAIRS


def test_missing_models_cost_labels_and_not_the_daemon(tmp_path: Path, mosquitto: Mosquitto) -> None:
    flr, region = tmp_path / "not-mounted" / "flr", tmp_path / "not-mounted" / "region"
    config = write_config(
        tmp_path / "missing.yaml",
        mosquitto.url,
        craft=[CRAFT],
        models={"flr": str(flr), "region": str(region)},
    )
    plain = write_config(tmp_path / "plain.yaml", mosquitto.url, models={"flr": "physical"})
    expected = processed(plain, write_csv(tmp_path / "chain.csv", BLOCKS))
    with (
        DaemonProcess(config, wait_for="/healthz") as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        # It is alive before it listens to the broker.
        eventually(lambda: daemon.metric("geospace_mqtt_connected") == 1.0, 60, lambda: daemon.log)
        feeder.send([*BLOCKS, *flight_blocks()])
        eventually(lambda: expected.keys() <= listener.final.keys(), 60, lambda: daemon.log)
        labels = {key: document["label"] for key, document in listener.final.items()}
        assert labels == {key: document["label"] for key, document in expected.items()}
        assert all("physical_only" in document["flags"] for document in listener.final.values())
        code, body = daemon.get("/readyz")
        reasons = json.loads(body)["reasons"]
        assert (code, len(reasons)) == (503, 2)
        assert f"{flr}/card.json" in reasons[0]
        assert f"{region}/card.json" in reasons[1]
        page = daemon.status()
        assert (page["state"], page["missing_models"].keys()) == ("degraded", {"flr", "region"})
        assert page["models"] == {"flr": "physical/1"}
        for kind in ("flr", "region"):
            assert daemon.metric("geospace_model_missing", kind=kind) == 1.0
            assert daemon.metric("geospace_degraded", concern=f"model_{kind}") == 1.0
        assert "geospace_model_info{" not in daemon.get("/metrics")[1]
        eventually(lambda: f"health/{CRAFT}" in retained(mosquitto.port), 30, lambda: daemon.log)
        assert listener.documents("region") == []
        assert daemon.stop() == 0, daemon.log
        assert "Traceback" not in daemon.log

        # The disk is mounted now, and somebody has read the log.
        shutil.copytree(bundled("region"), region)
        document = json.loads(config.read_text())
        document["models"]["flr"] = "physical"
        config.write_text(json.dumps(document))
        daemon._wait_for = "/readyz"
        daemon.start()
        assert daemon.metric("geospace_model_missing", kind="region") == 0.0
        assert daemon.metric("geospace_degraded", concern="model_flr") == 0.0
        assert daemon.status()["models"].keys() == {"flr", "region"}
        assert daemon.stop() == 0, daemon.log


class Asked:
    """What a daemon in this process answers over HTTP."""

    def __init__(self, client: ClientSession) -> None:
        self._client = client

    async def json(self, path: str) -> Any:
        async with self._client.get(path) as response:
            return await response.json()

    async def reasons(self) -> list[str]:
        return list((await self.json("/readyz"))["reasons"])

    async def metric(self, name: str, **labels: str) -> float | None:
        async with self._client.get("/metrics") as response:
            text = await response.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if (sample.name, sample.labels) == (name, labels):
                    return float(sample.value)
        return None


@asynccontextmanager
async def daemon_in_here(directory: Path, broker: Mosquitto) -> AsyncIterator[Asked]:
    """A daemon in this process, connected."""
    path = write_config(directory / "here.yaml", broker.url, models={"flr": "physical"})
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    daemon = Daemon(load_config(path, installed()), on_ready=ready.set_result)
    running = asyncio.create_task(daemon.run())
    try:
        async with asyncio.timeout(30), ClientSession(await ready) as client:
            asked = Asked(client)
            await until(lambda: is_empty(asked.reasons()))
        async with ClientSession(await ready) as client:
            yield Asked(client)
    finally:
        daemon.stop()
        await running


async def is_empty(reasons: Awaitable[list[str]]) -> bool:
    return not await reasons


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110  (a condition on another server has no event)
            await asyncio.sleep(0.05)


async def test_stage_that_raises_for_a_pair_costs_only_its_products(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    estimate = ResonanceStage._estimate

    def poisoned(stage: ResonanceStage, spectrum: SpectrumBatch) -> Any:
        if POISON in [pair.name for pair in spectrum.window.pairs]:
            raise ZeroDivisionError("poison")
        return estimate(stage, spectrum)

    late = [block for block in BLOCKS if block.t0_ns >= BLOCKS[0].t0_ns + 40 * 60 * SECOND_NS]
    early = BLOCKS[: len(BLOCKS) - len(late)]

    async def came(listener: Listener, pair: str, time: str) -> bool:
        return (pair, time) in listener.final

    async with daemon_in_here(tmp_path, mosquitto) as asked:
        with (
            closing(await asyncio.to_thread(Listener, mosquitto.port)) as listener,
            closing(await asyncio.to_thread(Feeder, mosquitto.port)) as feeder,
        ):
            with monkeypatch.context() as patch:
                patch.setattr(ResonanceStage, "_estimate", poisoned)
                feeder.send(early)
                await until(lambda: came(listener, GOOD, "2017-09-07T08:35:00Z"))
                assert {pair for pair, _ in listener.final} == {GOOD}

                async def said() -> bool:
                    return [POISON in reason for reason in await asked.reasons()] == [True]

                await until(said)
                assert (await asked.json("/api/status"))["state"] == "degraded"
                failures = await asked.metric("geospace_part_failures_total", part="resonance")
                assert failures is not None
                assert failures >= 7
                assert await asked.metric("geospace_degraded", concern="part_resonance") == 1.0
            feeder.send(late)
            await until(lambda: came(listener, POISON, "2017-09-07T09:00:00Z"))
            await until(lambda: came(listener, GOOD, "2017-09-07T09:00:00Z"))
            await until(lambda: is_empty(asked.reasons()))
            assert await asked.metric("geospace_degraded", concern="part_resonance") == 0.0
    told = [record for record in caplog.records if "resonance failed" in record.getMessage()]
    assert len([record for record in told if record.exc_info]) == 1
    assert len(told) <= 2


async def test_worker_that_hangs_is_said_to_and_comes_back(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "_BUSY_S", 0.5)
    hangs, may_go = threading.Event(), threading.Event()
    compute = Worker.compute

    def hanging(worker: Worker, items: list[SampleBlock] | Tick) -> None:
        if not isinstance(items, Tick) and not hangs.is_set():
            hangs.set()
            may_go.wait(60)
        compute(worker, items)

    monkeypatch.setattr(Worker, "compute", hanging)
    async with daemon_in_here(tmp_path, mosquitto) as asked:
        with closing(await asyncio.to_thread(Feeder, mosquitto.port)) as feeder:
            feeder.send(BLOCKS)

            async def said() -> bool:
                return any("worker thread has not answered since" in one for one in await asked.reasons())

            try:
                await until(said)
                assert hangs.is_set()
                assert await asked.metric("geospace_degraded", concern="worker") == 1.0
            finally:
                # Also where an assertion failed: the daemon waits for its thread.
                may_go.set()
            await until(lambda: is_empty(asked.reasons()))
            assert await asked.metric("geospace_degraded", concern="worker") == 0.0


def recorded_ticks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that will hold the time (ns) of every tick that the stages get."""
    ticks: list[int] = []
    compute = Worker.compute

    def recorded(worker: Worker, items: list[SampleBlock] | Tick) -> None:
        if isinstance(items, Tick):
            ticks.append(items.elapsed_ns)
        compute(worker, items)

    monkeypatch.setattr(Worker, "compute", recorded)
    return ticks


async def test_time_passes_while_the_broker_is_away_and_it_is_said(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = recorded_ticks(monkeypatch)
    async with daemon_in_here(tmp_path, mosquitto) as asked:
        assert await asked.metric("geospace_degraded", concern="broker") == 0.0
        await asyncio.to_thread(mosquitto.kill)

        async def said() -> bool:
            return "the broker is not connected" in await asked.reasons()

        await until(said)
        assert await asked.metric("geospace_degraded", concern="broker") == 1.0
        before = len(ticks)

        async def ticked() -> bool:
            return len(ticks) >= before + 3

        await until(ticked)
        await asyncio.to_thread(mosquitto.start)
        await until(lambda: is_empty(asked.reasons()))
        assert await asked.metric("geospace_degraded", concern="broker") == 0.0


async def test_time_in_which_the_process_stood_still_is_no_silence(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop stands still for as long as a process that was stopped: what waits at the broker is not late."""
    monkeypatch.setattr(intake, "_LONGEST_TICK_S", 0.5)
    ticks = recorded_ticks(monkeypatch)
    async with daemon_in_here(tmp_path, mosquitto):
        before = len(ticks)
        time.sleep(3.0)  # noqa: ASYNC251  (the loop shall stand still)

        async def ticked() -> bool:
            return len(ticks) >= before + 3

        await until(ticked)
    assert max(ticks) < 1.5 * SECOND_NS
