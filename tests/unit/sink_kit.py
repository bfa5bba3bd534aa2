"""For the tests of sinks: products as the store gives them, and receivers that are real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import web

from monitor.decoders.base import parse_time_ns
from monitor.plugins import StoredProduct, Surroundings

# pytest imports by path and leaves `sys.path` alone; the certificates are those of the integration tests.
sys.path.append(str(Path(__file__).parents[1] / "integration"))

GOLDEN = Path(__file__).parents[1] / "golden"
HERE = Surroundings("here")


def product(row: int, kind: str, subject: str, document: Mapping[str, Any] | None) -> StoredProduct:
    """One as the store gives it; without a document the subject was removed."""
    properties = {} if document is None else document.get("properties", document)
    return StoredProduct(
        row=row,
        kind=kind,
        subject=subject,
        topic=f"{kind}/{subject}",
        time_ns=parse_time_ns(properties["time"]) if properties else 0,
        revision=properties.get("revision", properties.get("update", 0)),
        retained=kind != "event",
        payload=b"" if document is None else json.dumps(document, separators=(",", ":")).encode(),
    )


def flr(row: int, pair: str = "TAR-BRZ", **changes: Any) -> StoredProduct:
    """A label of a pair."""
    time, revision = changes.get("time", "2017-09-07T12:00:00Z"), changes.get("revision", 0)
    document = {
        "schema": "geospace/flr/1",
        "id": f"flr/{pair}/{time}/{revision}",
        "pair": pair,
        "time": time,
        "revision": revision,
        "label": "Freq",
        "probability": {"NoFreq": 0.06, "Freq": 0.93, "PBL": 0.01},
        "frequency_mHz": 13.4,
        "frequency_interval_mHz": [12.6, 14.2],
        "density_amu_cm3": 1520.0,
        "flags": ["rescued"],
        "published": "2017-09-07T12:00:03.1Z",
        **changes,
    }
    return product(row, "flr", pair, document)


def event(row: int, subject: str = "TAR-BRZ", number: int = 0) -> StoredProduct:
    """An update of an event."""
    document = {
        "id": f"00000000-0000-5000-8000-{row:012d}",
        "type": "Feature",
        "geometry": None,
        "properties": {
            "data_id": f"plasmapause_crossing/{subject}/2017-09-07T12:00:00Z/outbound",
            "state": "begin",
            "update": number,
            "time": "2017-09-07T12:00:00Z",
            "kind": "plasmapause_crossing",
            "subject": subject,
        },
    }
    return product(row, "event", f"plasmapause_crossing/{subject}", document)


def golden_products() -> Iterator[StoredProduct]:
    """Everything that the golden scenes give, of the ground and of space, as it would be stored."""
    rows = count(1)
    for name in ("products.jsonl", "products_craft.jsonl"):
        for line in (GOLDEN / name).read_text().splitlines():
            document = json.loads(line)
            if document.get("type") == "Feature":
                properties = document["properties"]
                yield product(next(rows), "event", f"{properties['kind']}/{properties['subject']}", document)
            else:
                kind = document["schema"].split("/")[1]
                subject = document["id"].split("/")[1]
                yield product(next(rows), kind, subject, document)


@dataclass
class Got:
    """A request as it came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answering = Callable[[Got], Awaitable[web.Response] | web.Response]


@dataclass
class Receiver:
    """An HTTP server that keeps what it gets and answers as it is told, 204 where it is told nothing."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answer: Answering = lambda _got: web.Response(status=204)

    @property
    def taken(self) -> list[Got]:
        """What it answered with 2xx."""
        return self._taken

    def __post_init__(self) -> None:
        self._taken: list[Got] = []

    async def handle(self, request: web.Request) -> web.Response:
        got = Got(request.path, dict(request.query), dict(request.headers), await request.read())
        self.got.append(got)
        answer = self.answer(got)
        response = answer if isinstance(answer, web.Response) else await answer
        if 200 <= response.status < 300:
            self._taken.append(got)
        return response


@contextlib.asynccontextmanager
async def receiving(*, ssl: Any = None, port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver for as long as the context lasts."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=ssl)
    await site.start()
    bound = runner.addresses[0][1]
    receiver.url = f"{'https' if ssl else 'http'}://localhost:{bound}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def receiving_in_a_thread() -> Iterator[Receiver]:
    """The same for tests that wait for processes: it has a loop of its own."""
    ready: queue.Queue[tuple[Receiver, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        async with receiving() as receiver:
            over = asyncio.Event()
            ready.put((receiver, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    receiver, loop, over = ready.get(timeout=20)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
