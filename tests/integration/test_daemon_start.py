"""The daemon while it takes up its last run: alive, not ready, and its events can be read already."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from monitor.config import Config
from monitor.daemon.runtime import Daemon
from monitor.daemon.worker import Worker
from monitor.io.broker import free_port
from monitor.io.store import Store
from monitor.stages.notification import notification
from monitor.types import SECOND_NS, Product

T0_NS = 1_504_771_200 * SECOND_NS
START = "2017-09-07T08:00:00Z"


def event(number: int) -> Product:
    about = {"kind": "plasmapause_crossing", "subject": "emma", "datetime": START, "start_datetime": START}
    state = "update" if number else "begin"
    body = notification("a", number, state, about, members=(), position_deg=None, base_url="http://x")
    return Product("event", "plasmapause_crossing/emma", T0_NS, number, False, body)


def config(directory: Path, public_url: str | None = None) -> Config:
    return Config.model_validate(
        {
            # Nobody listens there: for the start that makes no difference.
            "mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}"},
            "pairs": ["TAR-BRZ"],
            "models": {"flr": "physical"},
            "store": {"path": directory / "monitor.sqlite"},
            "http": {"listen": f"127.0.0.1:{free_port()}", "public_url": public_url},
        }
    )


@asynccontextmanager
async def starting(
    monkeypatch: pytest.MonkeyPatch, configuration: Config
) -> AsyncIterator[tuple[Callable[[], None], asyncio.Future[str], list[Config]]]:
    """A daemon that takes up its last run until it is let go: how to let it go, its address then, and its worker's
    configuration."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[str] = loop.create_future()
    may_go, begun, seen = threading.Event(), asyncio.Event(), []

    def restore(worker: Worker, *_: object) -> bool:
        seen.append(worker._config)
        loop.call_soon_threadsafe(begun.set)
        return may_go.wait(20)

    monkeypatch.setattr(Worker, "restore", restore)
    daemon = Daemon(configuration, on_ready=ready.set_result)
    running = asyncio.create_task(daemon.run())
    try:
        async with asyncio.timeout(20):
            await begun.wait()
        yield may_go.set, ready, seen
    finally:
        may_go.set()
        daemon.stop()
        await running


async def test_daemon_that_takes_up_its_last_run_is_alive_and_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = config(tmp_path)
    with Store.open(configuration.store.path, retention_ns=1 << 60, product_retention_ns=None) as store:
        store.commit([(event(number), event(number).encode(T0_NS)) for number in (0, 1)], {})
    url = f"http://{configuration.http.listen}"
    async with starting(monkeypatch, configuration) as (go, ready, _), ClientSession(url) as client:
        async with client.get("/healthz") as response:
            assert response.status == 200
        async with client.get("/readyz") as response:
            assert response.status == 503
            assert (await response.json())["reasons"] == ["the last run is being taken up"]
        async with client.get("/api/status") as response:
            page = await response.json()
            assert (page["state"], page["mqtt_connected"], page["queues"]) == ("degraded", False, {})
        async with client.get(f"/events/{event(0).body['id']}") as response:
            assert (await response.json(content_type=None))["id"] == event(1).body["id"]
        assert not ready.done()
        go()
        async with asyncio.timeout(20):
            assert await ready == url
        async with client.get("/readyz") as response:
            assert (await response.json())["reasons"] == ["the broker is not connected"]


@pytest.mark.parametrize("public_url", [None, "https://geo.example.org/monitor"])
async def test_links_lead_to_the_public_url_or_to_the_server_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, public_url: str | None
) -> None:
    configuration = config(tmp_path, public_url)
    configuration = configuration.model_copy(
        update={"http": configuration.http.model_copy(update={"listen": "127.0.0.1:0"})}
    )
    async with starting(monkeypatch, configuration) as (go, ready, seen):
        go()
        async with asyncio.timeout(20):
            url = await ready
        assert not url.endswith(":0")
        assert [one.http.public_url for one in seen] == [public_url or url]
