"""What the page asks for beside HAPI: packed spectra, thinned samples, and the stream of events."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from http_kit import serving

from monitor.io.http import HttpServer
from monitor.io.http.history import HistoryRoutes
from monitor.io.http.offer import Offer
from monitor.io.http.page import PageRoutes
from monitor.io.http.stream import StreamRoutes
from monitor.io.store import Store
from monitor.io.store.spectra import spectrum_row, unpack_spectrum
from monitor.types import SECOND_NS, Domain, Product, SampleBlock, iso_time

T0_NS = 1_504_785_600 * SECOND_NS
WINDOWS = 150


def spectrum(number: int) -> Product:
    grid = [1.0 + place / 7.2 for place in range(20)]
    content = {
        "frequency_mHz": grid,
        "cross_phase_deg": [float(number)] * 20,
        "amplitude_ratio": [1.0] * 20,
        "coherence": [0.5] * 20,
    }
    return Product("spectrum", "TAR-BRZ", T0_NS + number * 1800 * SECOND_NS, 0, False, content)


def block(start_s: int, values: list[float]) -> SampleBlock:
    return SampleBlock(
        "MMS1", ("N",), T0_NS + start_s * SECOND_NS, 5 * SECOND_NS, np.array([values]), domain=Domain.CRAFT
    )


@asynccontextmanager
async def history(tmp_path: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    path = tmp_path / "store.sqlite"
    with Store.open(
        path, retention_ns=1 << 62, product_retention_ns=None, spectra_retention_ns=1 << 62
    ) as store:
        store.commit([], {}, [spectrum_row(spectrum(number)) for number in range(WINDOWS)])
        store.write_samples([block(0, [1.0, 3.0, float("nan"), 5.0]), block(20, [7.0, 9.0])])
    routes = HistoryRoutes(lambda: Offer(path, {}, "test", "nobody"))
    async with extended(routes.routes) as (session, url):
        yield session, url


@asynccontextmanager
async def extended(routes: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    server = HttpServer(
        "127.0.0.1:0",
        metrics=lambda _accept: (b"", "text/plain"),
        ready=lambda: (True, []),
        status=dict,
        event=lambda _id: None,
    )
    server.add_routes(routes)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield session, server.url
    finally:
        await server.stop()


def span(begin: int, end: int) -> dict[str, str]:
    return {"start": iso_time(T0_NS + begin * SECOND_NS), "stop": iso_time(T0_NS + end * SECOND_NS)}


class TestSpectra:
    async def test_all_windows_of_the_stretch_come_in_order(self, tmp_path: Path) -> None:
        async with history(tmp_path) as (session, url):
            query = span(1800, 1800 * (WINDOWS - 1))
            async with session.get(f"{url}/api/spectra/TAR-BRZ", params=query) as answer:
                assert answer.status == 200
                body = await answer.read()
        times, phases = [], []
        while body:
            time_ms, revision, length = struct.unpack_from("<dII", body)
            assert revision == 0
            times.append(time_ms)
            phases.append(unpack_spectrum(body[16 : 16 + length])["cross_phase_deg"][0])
            body = body[16 + length :]
        assert times == [(T0_NS + number * 1800 * SECOND_NS) / 1e6 for number in range(1, WINDOWS - 1)]
        assert phases == list(range(1, WINDOWS - 1))

    async def test_unknown_pair_has_none(self, tmp_path: Path) -> None:
        async with (
            history(tmp_path) as (session, url),
            session.get(f"{url}/api/spectra/MUO-PEL", params=span(0, 86_400)) as answer,
        ):
            assert (answer.status, await answer.read()) == (200, b"")


class TestSamples:
    async def test_means_of_cells_and_null_where_nothing_was(self, tmp_path: Path) -> None:
        async with (
            history(tmp_path) as (session, url),
            session.get(f"{url}/api/samples/MMS1", params=span(0, 40) | {"points": "4"}) as answer,
        ):
            found = await answer.json()
        assert found == {
            "source": "MMS1",
            "start_s": T0_NS / SECOND_NS,
            "step_s": 10.0,
            "components": {"N": [2.0, 5.0, 8.0, None]},
        }

    async def test_resend_takes_the_place_of_what_it_corrects_and_a_gap_of_nothing(
        self, tmp_path: Path
    ) -> None:
        async with history(tmp_path) as (session, url):
            with Store.open(tmp_path / "other", retention_ns=1 << 62, product_retention_ns=None) as store:
                store.write_samples([block(0, [1.0, 3.0, 5.0, 7.0])])
                store.write_samples([block(5, [30.0, float("nan")])])
            routes = HistoryRoutes(lambda: Offer(tmp_path / "other", {}, "test", "nobody"))
            async with (
                extended(routes.routes) as (session, url),
                session.get(f"{url}/api/samples/MMS1", params=span(0, 20) | {"points": "4"}) as answer,
            ):
                found = await answer.json()
        assert found["components"] == {"N": [1.0, 30.0, 5.0, 7.0]}

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ({}, "start and stop"),
            ({"start": "yesterday", "stop": "now"}, "start and stop"),
            (span(10, 0), "after start"),
            (span(0, 63 * 86_400), "62 days"),
            (span(0, 10) | {"points": "0"}, "points"),
            (span(0, 10) | {"points": "1e3"}, "points"),
            (span(0, 10) | {"x": "1"}, "known parameters"),
        ],
    )
    async def test_what_cannot_be_answered_is_refused_in_words(
        self, tmp_path: Path, query: dict[str, str], said: str
    ) -> None:
        async with (
            history(tmp_path) as (session, url),
            session.get(f"{url}/api/samples/MMS1", params=query) as answer,
        ):
            assert answer.status == 400
            assert said in (await answer.json())["error"]

    async def test_strange_name_is_not_found(self, tmp_path: Path) -> None:
        async with (
            history(tmp_path) as (session, url),
            session.get(f"{url}/api/samples/%3Cscript%3E", params=span(0, 10)) as answer,
        ):
            assert answer.status == 404
            assert "script" not in await answer.text()


async def heard(
    response: aiohttp.ClientResponse, wanted: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """Events of a stream until what is wanted has come."""
    events: list[dict[str, Any]] = []
    name = ""
    async with asyncio.timeout(20):
        async for line in response.content:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                events.append({"event": name, "data": json.loads(value)})
                if wanted(events):
                    return events
    return events


class TestStream:
    async def test_beat_comes_first_and_each_product_once(self) -> None:
        stream = StreamRoutes(lambda: {"ready": True})
        async with extended(stream.routes) as (session, url), session.get(f"{url}/api/stream") as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            first = await heard(response, lambda events: len(events) == 1)
            assert first == [{"event": "beat", "data": {"ready": True}}]
            product = Product("flr", "TAR-BRZ", T0_NS, 0, True, {"label": "Freq"})
            stream.tell_product(product, product.encode(T0_NS))
            stream.tell_product(spectrum(1), b'{"is": "not told"}')
            stream.tell_product(Product("status", "", 0, 0, True, {}), b"")
            stream.tell("last", b"1")
            events = await heard(response, lambda events: events[-1]["event"] == "last")
        told = [event["data"] for event in events if event["event"] == "product"]
        assert [(one["kind"], one["subject"], one["object"]["label"]) for one in told] == [
            ("flr", "TAR-BRZ", "Freq")
        ]

    async def test_listener_that_falls_behind_is_cut_off_and_holds_nobody_up(self) -> None:
        stream = StreamRoutes(dict)
        async with (
            extended(stream.routes) as (session, url),
            session.get(f"{url}/api/stream") as slow,
            session.get(f"{url}/api/stream") as quick,
        ):
            await heard(slow, lambda events: len(events) == 1)
            await heard(quick, lambda events: len(events) == 1)
            for batch in range(60):
                for _ in range(50):
                    stream.tell("much", json.dumps("x" * 4000).encode())
                stream.tell("batch", json.dumps(batch).encode())
                # Whoever reads on gets everything, whatever the other one does.
                events = await heard(quick, lambda events: events[-1]["event"] == "batch")
                assert [event["event"] for event in events if event["event"] != "beat"] == ["much"] * 50 + [
                    "batch"
                ]
                assert events[-1]["data"] == batch
            rest = await asyncio.wait_for(slow.content.read(), 30)
            assert b"data: 59" not in rest

    async def test_no_more_streams_than_are_given(self) -> None:
        stream = StreamRoutes(dict)
        async with extended(stream.routes) as (session, url):
            opened = [await session.get(f"{url}/api/stream") for _ in range(64)]
            async with session.get(f"{url}/api/stream") as refused:
                assert refused.status == 503
            for response in opened:
                response.close()

    async def test_stop_ends_streams_at_once(self) -> None:
        stream = StreamRoutes(dict)
        async with extended(stream.routes) as (session, url), session.get(f"{url}/api/stream") as response:
            await heard(response, lambda events: len(events) == 1)
            stream.close()
            assert b"event" not in await asyncio.wait_for(response.content.read(), 10)


async def test_page_takes_the_place_of_the_list_of_paths() -> None:
    async with extended(PageRoutes().routes) as (session, url):
        async with session.get(url) as answer:
            assert "geospace-monitor" in await answer.text()
            assert answer.content_type == "text/html"
        async with session.get(f"{url}/page/app.js") as answer:
            assert answer.content_type == "text/javascript"
    async with serving() as plain, aiohttp.ClientSession() as session, session.get(plain.url) as answer:
        assert "/metrics" in await answer.text()
