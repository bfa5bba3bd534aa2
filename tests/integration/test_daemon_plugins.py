"""Sources and sinks in a running daemon: what they bring and take, and what it costs the others where they fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import plugin_parts
import pytest
from aiohttp import ClientSession
from daemon_kit import assert_agree, chain_blocks, final, processed, write_config, write_csv
from mqtt_kit import Mosquitto
from plugin_parts import Script, registry
from prometheus_client.parser import text_string_to_metric_families

from monitor.config import load_config
from monitor.daemon import plugged
from monitor.daemon.runtime import Daemon
from monitor.daemon.upkeep import Patience

pytestmark = pytest.mark.broker

MINUTES = 60
BLOCKS = chain_blocks(MINUTES)
SWITCHED_ON = {"archive": {"plugin": "bringer"}, "taker": {"from": "beginning"}}


@pytest.fixture(autouse=True)
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """A new script, and little patience."""
    # One delivery a minute of data: as a station sends it.
    parts = [BLOCKS[begin : begin + 3] for begin in range(0, len(BLOCKS), 3)]
    monkeypatch.setattr(plugin_parts, "SCRIPT", Script(deliveries=parts))
    monkeypatch.setattr(plugged, "Patience", lambda: Patience(first_s=0.05, longest_s=0.2))
    return plugin_parts.SCRIPT


class Run:
    """A daemon in this process, and what it says of itself."""

    def __init__(self, client: ClientSession) -> None:
        self._client = client

    async def status(self) -> Any:
        async with self._client.get("/api/status") as response:
            return await response.json()

    async def plugin(self, name: str) -> Any:
        return (await self.status())["plugins"][name]

    async def metric(self, name: str, **labels: str) -> float | None:
        async with self._client.get("/metrics") as response:
            text = await response.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if (sample.name, sample.labels) == (name, labels):
                    return float(sample.value)
        return None


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Run]:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    parts = registry()
    daemon = Daemon(load_config(path, parts), on_ready=ready.set_result, registry=parts)
    task = asyncio.create_task(daemon.run())
    try:
        async with ClientSession(await asyncio.wait_for(ready, 60)) as client:
            yield Run(client)
    finally:
        daemon.stop()
        await task


async def until(
    condition: Callable[[], Awaitable[bool]] | Callable[[], bool], timeout_s: float = 60.0
) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.05)


def configured(folder: Path, broker: Mosquitto, **plugins: object) -> Path:
    return write_config(
        folder / "seam.yaml", broker.url, models={"flr": "physical"}, plugins=plugins or SWITCHED_ON
    )


def newest(script: Script) -> str:
    return max((json.loads(product.payload)["time"] for product in script.taken), default="")


async def test_source_and_sink_that_fail_lose_nothing_over_a_restart(
    tmp_path: Path, mosquitto: Mosquitto, script: Script
) -> None:
    path = configured(tmp_path, mosquitto)
    script.source_fails_at, script.sink_fails, script.hold_at = {7, 20}, 10, 35
    async with running(path) as run:
        await until(lambda: newest(script) >= "2017-09-07T08:30:00Z")
        archive, taker = await run.plugin("archive"), await run.plugin("taker")
        assert (archive["plugin"], archive["kind"], archive["restarts"]) == ("bringer", "source", 2)
        assert (taker["plugin"], taker["kind"], taker["restarts"]) == ("taker", "sink", 10)
        assert (archive["state"], taker["state"]) == ("running", "running")
        assert archive["position"] == 35
        assert await run.metric("geospace_plugin_failures_total", plugin="archive", kind="source") == 2
        assert await run.metric("geospace_plugin_up", plugin="taker", kind="sink") == 1
        assert await run.metric("geospace_sink_products_total", sink="taker") == len(script.taken)
    assert script.brought == list(range(35))
    assert script.opened == script.closed == 11
    script.hold_at = None
    async with running(path):
        await until(lambda: newest(script) >= "2017-09-07T09:00:00Z")
    # Taken up where it was: nothing is brought twice.
    assert script.brought == list(range(MINUTES))
    rows = [product.row for product in script.taken]
    assert rows == sorted(set(rows))
    alone = processed(
        write_config(tmp_path / "alone.yaml", mosquitto.url, models={"flr": "physical"}),
        write_csv(tmp_path / "chain.csv", BLOCKS),
    )
    assert_agree(final(json.loads(product.payload) for product in script.taken), alone)


async def test_sink_begins_with_what_is_committed_from_now_on(
    tmp_path: Path, mosquitto: Mosquitto, script: Script
) -> None:
    script.hold_at = 40
    async with running(configured(tmp_path, mosquitto, archive={"plugin": "bringer"})):
        await until(lambda: len(script.brought) == 40)
    assert not script.taken
    script.hold_at = None
    async with running(configured(tmp_path, mosquitto, archive={"plugin": "bringer"}, taker={})):
        await until(lambda: newest(script) >= "2017-09-07T09:00:00Z")
    assert min(json.loads(product.payload)["time"] for product in script.taken) >= "2017-09-07T08:40:00Z"


async def test_plugin_that_cannot_be_made_is_named_and_the_others_go_on(
    tmp_path: Path, mosquitto: Mosquitto, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(plugin_parts.Taker, "__init__", broken)
    async with running(configured(tmp_path, mosquitto)) as run:
        await until(lambda: len(script.brought) == MINUTES)
        taker = await run.plugin("taker")
        assert taker["state"] == "off"
        assert "out of order" in taker["reason"]
        assert (await run.plugin("archive"))["state"] == "running"
        assert await run.metric("geospace_plugin_up", plugin="taker", kind="sink") == 0

        async def is_named() -> bool:
            return any("plugin taker is off" in reason for reason in (await run.status())["reasons"])

        await until(is_named)
        assert await run.metric("geospace_degraded", concern="plugin_taker") == 1


async def test_what_a_source_brings_and_cannot_be_used_is_counted_under_its_name(
    tmp_path: Path, mosquitto: Mosquitto, script: Script
) -> None:
    stranger = chain_blocks(1)[0].__class__("NOSUCH", ("H",), BLOCKS[0].t0_ns, 10**9, BLOCKS[0].values[:1])
    script.deliveries = [[BLOCKS[0], stranger, "rubbish", BLOCKS[1]]]  # type: ignore[list-item]
    async with running(configured(tmp_path, mosquitto)) as run:
        await until(lambda: len(script.brought) == 1)

        async def is_said() -> bool:
            wanted = {"archive: unknown_station": 1, "archive: wrong_type": 1}
            return bool((await run.status())["rejected"] == wanted)

        await until(is_said)
        assert await run.metric("geospace_samples_stored_total", source=BLOCKS[1].source) == BLOCKS[1].count
