"""A small HAPI server, written from the specification (3.2.0; or 2.1.1, with its names of parameters), for tests.

It is no independent implementation: that the public `hapiclient` reads the same numbers from it shows that it is one.
Its datasets may grow while it runs, and it misbehaves where a test tells it to.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

from monitor.types import SECOND_NS, SampleBlock, iso_time

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
Array = np.ndarray[Any, Any]

_STATUS = {
    1400: (400, "user input error"),
    1401: (400, "unknown API parameter name"),
    1402: (400, "error in start time"),
    1403: (400, "error in stop time"),
    1404: (400, "start equal to or after stop"),
    1405: (400, "time outside valid range"),
    1406: (404, "unknown dataset id"),
    1407: (404, "unknown dataset parameter"),
    1408: (400, "too much time or data requested"),
    1409: (400, "unsupported output format"),
}
FILL = "-1.0E31"


@dataclass
class ServedParameter:
    """A parameter without the time: its values (n,) or (n, k) at the times of its dataset."""

    name: str
    values: Array
    units: Any = "nT"
    fill: str | None = FILL
    kind: str = "double"

    @property
    def columns(self) -> int:
        return 1 if self.values.ndim == 1 else self.values.shape[1]

    def described(self) -> dict[str, Any]:
        said: dict[str, Any] = {"name": self.name, "type": self.kind, "units": self.units, "fill": self.fill}
        return said | ({} if self.values.ndim == 1 else {"size": [self.columns]})


@dataclass
class ServedDataset:
    """Times (ns UTC, n) and what was measured then; `until_ns` hides what has not happened yet."""

    times_ns: Array
    parameters: list[ServedParameter]
    cadence: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    until_ns: int | None = None
    hidden: list[tuple[int, int]] = field(default_factory=list)
    by_day_of_year: bool = False

    def shown(self) -> Array:
        """Which records are there at present."""
        there = np.ones(self.times_ns.size, dtype=np.bool_)
        if self.until_ns is not None:
            there &= self.times_ns < self.until_ns
        for begin_ns, end_ns in self.hidden:
            there &= (self.times_ns < begin_ns) | (self.times_ns >= end_ns)
        return there

    def info(self) -> dict[str, Any]:
        times = self.times_ns[self.shown()]
        said: dict[str, Any] = {
            "startDate": iso_time(int(self.times_ns[0])),
            "stopDate": iso_time(int(times[-1] if times.size else self.times_ns[0])),
            "parameters": [
                {"name": "Time", "type": "isotime", "units": "UTC", "fill": None, "length": 30},
                *(one.described() for one in self.parameters),
            ],
        }
        if self.cadence:
            said["cadence"] = self.cadence
        return said | self.extra

    def written(self, time_ns: int) -> str:
        """A time in one of the two forms of the specification, of the same length for all."""
        date, _, of_day = str(np.datetime64(time_ns, "ns")).partition("T")
        if self.by_day_of_year:
            day = (np.datetime64(date, "D") - np.datetime64(f"{date[:4]}-01-01", "D")).astype(int) + 1
            date = f"{date[:4]}-{day:03d}"
        return f"{date}T{of_day}Z"


class HapiServer:
    """Serves datasets below `/hapi` on loopback; counts what is asked.

    Attributes
    ----------
    requests : list of (endpoint, query)
    fault : callable or None
        Sees every request first; what it returns is the answer.
    """

    def __init__(self, datasets: Mapping[str, ServedDataset], version: str = "3.2") -> None:
        self.datasets = dict(datasets)
        self.version = version
        self.formats = ["csv", "binary"]
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.headers: list[Mapping[str, str]] = []
        self.fault: Fault | None = None
        self.url = ""

    def data_requests(self, dataset: str | None = None) -> list[dict[str, str]]:
        """Queries of `data`, of one dataset where it is named."""
        name = "dataset" if self.version >= "3" else "id"
        return [
            query for endpoint, query in self.requests
            if endpoint == "data" and (dataset is None or query.get(name) == dataset)
        ]  # fmt: skip

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[HapiServer]:
        app = web.Application()
        for endpoint in ("capabilities", "about", "catalog", "info", "data"):
            app.router.add_get(f"/hapi/{endpoint}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
            await site.start()
            self.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/hapi"
            yield self
        finally:
            await runner.cleanup()

    @contextlib.contextmanager
    def in_thread(self, port: int = 0) -> Iterator[HapiServer]:
        """Run beside a test that has no loop."""
        loop = asyncio.new_event_loop()
        started, stop = threading.Event(), asyncio.Event()

        async def serve() -> None:
            async with self.running(port):
                started.set()
                await stop.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        try:
            assert started.wait(30.0)
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(30.0)
            loop.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        endpoint, query = request.path.rpartition("/")[2], dict(request.query)
        self.requests.append((endpoint, query))
        self.headers.append(request.headers)
        if self.fault is not None:
            answer = await self.fault(request)
            if answer is not None:
                return answer
        found = getattr(self, f"_{endpoint}")(query)
        if isinstance(found, web.Response):
            return found
        return web.json_response({"HAPI": self.version, "status": {"code": 1200, "message": "OK"}} | found)

    def _capabilities(self, _query: Mapping[str, str]) -> dict[str, Any]:
        return {"outputFormats": self.formats}

    def _about(self, _query: Mapping[str, str]) -> dict[str, Any]:
        return {"id": "test", "title": "Test data", "contact": "nobody"}

    def _catalog(self, _query: Mapping[str, str]) -> dict[str, Any]:
        return {"catalog": [{"id": name} for name in self.datasets]}

    def _info(self, query: Mapping[str, str]) -> dict[str, Any] | web.Response:
        name = "dataset" if self.version >= "3" else "id"
        if set(query) - {name, "parameters"}:
            return self.refusal(1401)
        dataset = self.datasets.get(query.get(name, ""))
        if dataset is None:
            return self.refusal(1406)
        wanted = _subset(dataset, query.get("parameters", ""))
        if wanted is None:
            return self.refusal(1407)
        info = dataset.info()
        names = {"Time", *(one.name for one in wanted)}
        return info | {"parameters": [one for one in info["parameters"] if one["name"] in names]}

    def _data(self, query: Mapping[str, str]) -> web.Response:
        three = self.version >= "3"
        names = ("dataset", "start", "stop") if three else ("id", "time.min", "time.max")
        if set(query) - {*names, "parameters", "format"}:
            return self.refusal(1401)
        dataset = self.datasets.get(query.get(names[0], ""))
        if dataset is None:
            return self.refusal(1406)
        begin_ns, end_ns = (_parsed(query.get(name, "")) for name in names[1:])
        if begin_ns is None or end_ns is None:
            return self.refusal(1402 if begin_ns is None else 1403)
        if begin_ns >= end_ns:
            return self.refusal(1404)
        wanted = _subset(dataset, query.get("parameters", ""))
        if wanted is None:
            return self.refusal(1407)
        if query.get("format", "csv") not in self.formats:
            return self.refusal(1409)
        rows = np.flatnonzero((dataset.times_ns >= begin_ns) & (dataset.times_ns < end_ns) & dataset.shown())
        if query.get("format") == "binary":
            return web.Response(body=binary(dataset, wanted, rows), content_type="application/octet-stream")
        return web.Response(text=csv(dataset, wanted, rows), content_type="text/csv")

    def refusal(self, code: int) -> web.Response:
        """The answer of an error, as section 4 has it."""
        status, message = _STATUS[code]
        said = {"HAPI": self.version, "status": {"code": code, "message": f"HAPI error {code}: {message}"}}
        return web.json_response(said, status=status, reason=said["status"]["message"])


def csv(dataset: ServedDataset, wanted: Sequence[ServedParameter], rows: Array) -> str:
    """Records as CSV; a value that is not a number is written as the fill of its parameter."""
    lines = []
    for row in rows.tolist():
        cells = [dataset.written(int(dataset.times_ns[row]))]
        for one in wanted:
            cells += [
                one.fill or "NaN" if v != v else repr(v) for v in np.atleast_1d(one.values[row]).tolist()
            ]
        lines.append(",".join(cells) + "\n")
    return "".join(lines)


def binary(dataset: ServedDataset, wanted: Sequence[ServedParameter], rows: Array) -> bytes:
    """The same as binary: times padded with NUL to their length, doubles with the lowest byte first."""
    out = bytearray()
    for row in rows.tolist():
        out += dataset.written(int(dataset.times_ns[row])).encode().ljust(30, b"\0")
        for one in wanted:
            values = np.atleast_1d(one.values[row]).astype("<f8" if one.kind == "double" else "<i4")
            out += np.where(np.isnan(values), float(one.fill or "nan"), values).astype(values.dtype).tobytes()
    return bytes(out)


def _subset(dataset: ServedDataset, names: str) -> list[ServedParameter] | None:
    wanted = [one for one in names.split(",") if one]
    known = {one.name for one in dataset.parameters} | {"Time"}
    if not set(wanted) <= known:
        return None
    return [one for one in dataset.parameters if not wanted or one.name in wanted]


def _parsed(text: str) -> int | None:
    try:
        return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))
    except ValueError:
        return None


def ground_dataset(blocks: Sequence[SampleBlock], source: str, **options: Any) -> ServedDataset:
    """The samples of a station as a dataset, a parameter a component."""
    own = sorted((one for one in blocks if one.source == source), key=lambda one: one.t0_ns)
    times = np.concatenate([one.t0_ns + np.arange(one.count) * one.step_ns for one in own])
    values = np.concatenate([one.values for one in own], axis=1)
    parameters = [ServedParameter(name, row) for name, row in zip(own[0].components, values, strict=True)]
    cadence = f"PT{own[0].step_ns / SECOND_NS:g}S"
    return ServedDataset(times, parameters, cadence=cadence, **options)
