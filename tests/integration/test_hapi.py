"""The HAPI server on a real socket: its answers, its errors, its streams, and clients that mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import struct
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import ClientPayloadError, ClientResponse, ClientSession
from hapi_kit import CADENCE_S, T0_NS, event, flr, offering, product, spectrum, stored

from monitor.io.hapi.times import time_text
from monitor.io.http import HttpServer
from monitor.io.http.access import Credentials
from monitor.io.http.connections import Limits
from monitor.io.store import Store
from monitor.types import SECOND_NS, iso_time

LINES = "monitor.io.http.hapi"
FLR = "dataset=TAR-BRZ/flr&start=2017-09-07&stop=2017-09-08"
LONG = 4000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with stored(tmp_path_factory.mktemp("hapi") / "monitor.sqlite") as opened:
        yield opened


@pytest.fixture
async def server(store: Store) -> AsyncIterator[HttpServer]:
    async with offering(store.path) as running:
        yield running


@pytest.fixture
async def client(server: HttpServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(server.url) as session:
        yield session


async def data(client: ClientSession, query: str) -> bytes:
    async with client.get(f"/hapi/data?{query}") as response:
        assert response.status == 200, await response.text()
        return await response.read()


async def code(response: ClientResponse) -> tuple[int, int]:
    """The HTTP status and HAPI's own, which say the same in three places."""
    document = await response.json()
    assert set(document) == {"HAPI", "status"}
    assert document["HAPI"] == "3.3"
    own = document["status"]["code"]
    assert response.reason is not None
    assert f"HAPI {own} " in response.reason
    assert response.headers["Content-Type"].startswith("application/json")
    return response.status, own


async def test_formats_hold_the_same(client: ClientSession) -> None:
    query = f"{FLR}&parameters=label,frequency_mHz,frequency_interval_mHz,revision"
    csv = [line.split(",") for line in (await data(client, query)).decode().splitlines()]
    document = json.loads(await data(client, f"{query}&format=json"))
    binary = await data(client, f"{query}&format=binary")
    row = struct.Struct("<24s6sdddi")
    assert len(csv) == len(document["data"]) == len(binary) // row.size == 12
    for line, record, (time, label, *numbers) in zip(
        csv, document["data"], row.iter_unpack(binary), strict=True
    ):
        frequency, low, high, revision = numbers
        assert record == [time.decode(), label.rstrip(b"\0").decode(), frequency, [low, high], revision]
        assert line[:2] == record[:2]
        assert [float(cell) for cell in line[2:]] == numbers
    assert document["format"] == "json"
    assert document["status"]["code"] == 1200


@pytest.mark.parametrize("form", ["csv", "binary"])
async def test_header_is_info_with_the_format(client: ClientSession, form: str) -> None:
    async with client.get("/hapi/info?dataset=TAR-BRZ/flr&parameters=label") as response:
        info = await response.json()
    head, _, rest = (await data(client, f"{FLR}&parameters=label&include=header&format={form}")).partition(
        b"\n"
    )
    assert head.startswith(b"#{")
    assert json.loads(head[1:]) == info | {"format": form}
    assert rest == await data(client, f"{FLR}&parameters=label&format={form}")
    assert [one["name"] for one in info["parameters"]] == ["Time", "label"]


async def test_range_has_its_start_and_not_its_stop(client: ClientSession) -> None:
    whole = await data(
        client, "dataset=TAR-BRZ/flr&parameters=Time&start=2017-09-07T12Z&stop=2017-250T14:00Z"
    )
    assert whole.decode().split() == [time_text(T0_NS + place * CADENCE_S * SECOND_NS) for place in range(4)]
    pieces = [
        await data(
            client, f"dataset=TAR-BRZ/flr&parameters=Time&start=2017-09-07T{begin}Z&stop=2017-09-07T{end}Z"
        )
        for begin, end in (("12", "12:30"), ("12:30", "13:00:00.000000001"), ("13:00:00.000000001", "14"))
    ]
    assert b"".join(pieces) == whole


async def test_newest_revision_is_given_and_told_of(client: ClientSession, store: Store) -> None:
    async with client.get("/hapi/info?dataset=MUO-PEL/flr") as response:
        before = (await response.json())["modificationDate"]
    revised = product("flr", "MUO-PEL", flr(4, "MUO-PEL", revision=1))
    store.commit([(revised, revised.encode(T0_NS + 86_400 * SECOND_NS))], {})
    lines = (
        (await data(client, "dataset=MUO-PEL/flr&parameters=revision&start=2017Z&stop=2018Z"))
        .decode()
        .split()
    )
    assert [line.rpartition(",")[2] for line in lines] == ["0", "0", "0", "0", "1", *"0" * 7]
    async with client.get("/hapi/info?dataset=MUO-PEL/flr") as response:
        assert (await response.json())["modificationDate"] == "2017-09-08T12:00:00.000Z" > before


async def test_spectrum_has_bins_and_fills_where_it_is_shorter(client: ClientSession) -> None:
    async with client.get("/hapi/info?dataset=TAR-BRZ/spectrum") as response:
        parameters = {one["name"]: one for one in (await response.json())["parameters"]}
    for name in ("cross_phase_deg", "amplitude_ratio", "coherence"):
        assert parameters[name]["size"] == [60]
        (bins,) = parameters[name]["bins"]
        assert (bins["name"], bins["units"]) == ("frequency", "mHz")
        assert bins["centers"] == spectrum(0)["frequency_mHz"]
    document = json.loads(await data(client, "dataset=TAR-BRZ/spectrum&start=2017Z&stop=2018Z&format=json"))
    shorter = document["data"][1]
    assert shorter[1][:30] == spectrum(1)["cross_phase_deg"][:30]
    assert shorter[1][30:] == [-1e31] * 30
    assert shorter[3][3] == -1e31


@pytest.mark.parametrize("form", ["csv", "binary", "json"])
async def test_nothing_within_the_range_is_no_error(client: ClientSession, form: str) -> None:
    query = f"dataset=TAR-BRZ/flr&start=2017-09-07T12:00:01Z&stop=2017-09-07T12:00:02Z&format={form}"
    async with client.get(f"/hapi/data?{query}") as response:
        assert (response.status, response.reason) == (200, "OK; HAPI 1201 OK - no data for time range")
        body = await response.read()
    if form == "json":
        document = json.loads(body)
        assert (document["status"]["code"], document["data"]) == (1201, [])
    else:
        assert body == b""
    async with client.get(f"/hapi/data?{query}&include=header") as response:
        assert json.loads((await response.text()).lstrip("#"))["status"]["code"] == 1201


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("info", (400, 1400)),
        ("info?dataset=", (400, 1400)),
        ("data?dataset=TAR-BRZ/flr", (400, 1400)),
        (f"data?{FLR}&start=2016", (400, 1400)),
        ("about?x=1", (400, 1401)),
        ("capabilities?dataset=a", (400, 1401)),
        (f"data?{FLR}&average=5s", (400, 1401)),
        ("data?dataset=TAR-BRZ/flr&start=yesterday&stop=2018", (400, 1402)),
        ("data?dataset=TAR-BRZ/flr&start=2017&stop=2017-13", (400, 1403)),
        ("data?dataset=TAR-BRZ/flr&start=2018&stop=2017", (400, 1404)),
        ("data?dataset=TAR-BRZ/flr&start=2016&stop=2017", (400, 1405)),
        ("data?dataset=TAR-BRZ/flr&start=2018&stop=2019", (400, 1405)),
        ("info?dataset=TAR-BRZ", (404, 1406)),
        ("info?dataset=TAR-BRZ/event", (404, 1406)),
        ("info?dataset=TAR-BRZ/events", (404, 1406)),
        ("info?dataset=/events", (404, 1406)),
        ("info?dataset=/flr", (404, 1406)),
        ("info?dataset=MUO-PEL/spectrum", (404, 1406)),
        ("info?dataset=INJP-INJQ/flr", (404, 1406)),
        ("data?dataset=INJECT/region&start=2017&stop=2018", (404, 1406)),
        ("info?dataset=TAR-BRZ/flr&parameters=nothing", (404, 1407)),
        ("info?dataset=TAR-BRZ/flr&parameters=label,", (404, 1407)),
        (f"data?{FLR}&format=hdf", (400, 1409)),
        (f"data?{FLR}&include=all", (400, 1410)),
        ("info?dataset=TAR-BRZ/flr&parameters=revision,label", (400, 1411)),
        (f"data?{FLR}&parameters=label,label", (400, 1411)),
        (f"data?{FLR}&parameters=label,Time", (400, 1411)),
        ("info?dataset=TAR-BRZ/flr&resolve_references=maybe", (400, 1412)),
        ("catalog?depth=all", (400, 1413)),
        ("nothing", (400, 1400)),
        ("data/more", (400, 1400)),
        ("data//", (400, 1400)),
    ],
)
async def test_error_has_its_code_everywhere(
    client: ClientSession, path: str, expected: tuple[int, int]
) -> None:
    async with client.get(f"/hapi/{path}") as response:
        assert await code(response) == expected


HOSTILE = [
    "TAR-BRZ/flr' OR '1'='1",
    "x' UNION SELECT json, json FROM state --/flr",
    "%/flr",
    "../../etc/passwd",
    "<script>alert(1)</script>/flr",
    "TAR-BRZ/flr\x00",
    "TAR-BRZ/flr\r\nSet-Cookie: a=b",
    "𝕿𝖆𝖗/flr",
    "A" * 3000,
    "{{7*7}}/flr",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_find_nothing_and_do_not_come_back(client: ClientSession, name: str) -> None:
    for key in ("dataset", "parameters", "start", "stop", "include", "format", name):
        asked = {"dataset": "TAR-BRZ/flr", "start": "2017", "stop": "2018"} | {key: name}
        query = "&".join(f"{quote(one)}={quote(value)}" for one, value in asked.items())
        async with client.get(f"/hapi/data?{query}") as response:
            body = await response.text()
            assert response.status in (400, 404), key
            shown = body + str(response.raw_headers) + str(response.reason)
            assert not any(part in shown for part in (name, "UNION", "script", "Set-Cookie", "passwd", "7*7"))


async def test_landing_page_escapes_what_is_stored(tmp_path: Path) -> None:
    name = "<script>alert('x')</script>"
    with stored(tmp_path / "odd.sqlite", [product("flr", name, flr(0) | {"pair": name})]) as odd:
        async with (
            offering(odd.path) as server,
            ClientSession(server.url) as client,
            client.get("/hapi") as response,
        ):
            assert response.headers["Content-Type"].startswith("text/html")
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            page = await response.text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


async def test_odd_values_of_the_store_stay_in_their_cells(tmp_path: Path) -> None:
    """A damaged product is left out; a value of another type is the fill; a text cannot end its line."""
    odd = flr(0) | {
        "label": 'a,"b"\nc',
        "frequency_mHz": "13",
        "l_shell": 10**30,
        "coverage": [],
        "probability": {"Freq": True},
        "flags": ["ä" * 200],
        "physical": 5,
        "effective_time": "noon",
    }
    with stored(
        tmp_path / "odd.sqlite", [product("flr", "TAR-BRZ", odd), product("flr", "TAR-BRZ", flr(1))]
    ) as odd_store:
        with sqlite3.connect(odd_store.path) as connection:
            connection.execute(
                "INSERT INTO product (kind, subject, time_ns, revision, topic, retained, payload)"
                " VALUES ('flr', 'TAR-BRZ', ?, 0, 'x', 1, '{\"label\": ')",
                (T0_NS + 2 * CADENCE_S * SECOND_NS,),
            )
        connection.close()
        async with offering(odd_store.path) as server, ClientSession(server.url) as client:
            document = json.loads(await data(client, "dataset=TAR-BRZ/flr&start=2017&stop=2018&format=json"))
            csv = (await data(client, "dataset=TAR-BRZ/flr&start=2017&stop=2018&parameters=label")).decode()
            binary = await data(
                client, "dataset=TAR-BRZ/flr&start=2017&stop=2018&parameters=flags&format=binary"
            )
    assert len(document["data"]) == 2
    names = [one["name"] for one in document["parameters"]]
    record = dict(zip(names, document["data"][0], strict=True))
    assert record["label"] == 'a,"b" '
    assert record["frequency_mHz"] == -1e31
    assert record["l_shell"] == 1e30
    assert record["coverage"] == [-1e31, -1e31]
    assert record["probability"] == [-1e31, 1.0, -1e31]
    assert record["physical_label"] == "?"
    assert record["effective_time"] == "0000-00-00T00:00:00.000Z"
    assert csv.splitlines()[0] == '2017-09-07T12:00:00.000Z,"a,""b"" "'
    assert len(binary) == 2 * (24 + 160)
    assert binary[24:184].decode() == "ä" * 80


# -- HTTP -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "about", "capabilities", "catalog", "info?dataset=events", f"data?{FLR}"]
)
async def test_head_is_get_without_the_body(client: ClientSession, path: str) -> None:
    async with (
        client.get(f"/hapi/{path}".removesuffix("/")) as full,
        client.head(f"/hapi/{path}".removesuffix("/")) as response,
    ):
        assert response.status == full.status == 200
        assert response.headers["Content-Type"] == full.headers["Content-Type"]
        assert await response.read() == b""


async def test_slash_at_the_end_leads_to_the_place_without(client: ClientSession) -> None:
    for path, place in (("/hapi/", "/hapi"), ("/hapi/info/?dataset=events", "/hapi/info?dataset=events")):
        async with client.get(path, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (301, place)
        async with client.get(path) as response:
            assert response.status == 200


async def test_nothing_can_be_changed(client: ClientSession) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        async with client.request(method, f"/hapi/data?{FLR}") as response:
            assert response.status == 405
            assert await response.json() == {"status": 405, "error": "Method Not Allowed"}


async def test_other_sites_read_only_where_it_is_allowed(client: ClientSession, store: Store) -> None:
    async with client.get(f"/hapi/data?{FLR}") as response:
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    async with client.options("/hapi/data") as response:
        assert response.status == 405
    async with offering(store.path, cross_origin=True) as server, ClientSession(server.url) as other:
        for path in ("", "/catalog", "/nothing", f"/data?{FLR}", "/data"):
            async with other.get(f"/hapi{path}") as response:
                assert response.headers["Access-Control-Allow-Origin"] == "*"
                assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
                assert response.headers["Access-Control-Allow-Headers"] == "Content-Type"
                assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        async with other.options("/hapi/data") as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == "*"
        async with other.get("/api/latest") as response:
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_rules_of_the_server_hold(client: ClientSession, store: Store) -> None:
    """A name that is not its own, and a password that is not shown, get nothing of it."""
    async with client.get("/hapi/catalog", headers={"Host": "evil.example.org"}) as response:
        assert response.status == 421
    credentials = Credentials(token=lambda: "secret")
    async with (
        offering(store.path, credentials=credentials, cross_origin=True) as server,
        ClientSession(server.url) as other,
    ):
        for path in ("", "/catalog", f"/data?{FLR}", "/nothing"):
            async with other.get(f"/hapi{path}") as response:
                assert response.status == 401
        async with other.options("/hapi/data") as response:
            assert response.status == 401
        async with other.get(f"/hapi/data?{FLR}", headers={"Authorization": "Bearer secret"}) as response:
            assert len((await response.text()).splitlines()) == 12


# -- streams ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    products = [product("flr", "TAR-BRZ", flr(number)) for number in range(LONG)]
    with stored(tmp_path_factory.mktemp("long") / "monitor.sqlite", products) as opened:
        yield opened


async def test_ten_times_as_much_takes_no_more_memory(long_store: Store) -> None:
    """The short form of `benchmarks/hapi.py`, which reads a year of 24 pairs."""
    sizes, peaks = [], []
    async with offering(long_store.path) as server, ClientSession(server.url, read_bufsize=1 << 16) as client:
        for windows in (64, LONG // 10, LONG):
            stop = iso_time(T0_NS + windows * CADENCE_S * SECOND_NS)
            query = f"dataset=TAR-BRZ/flr&start=2017-09-07&stop={stop}&format=binary"
            tracemalloc.start()
            try:
                size = 0
                async with client.get(f"/hapi/data?{query}") as response:
                    async for part in response.content.iter_chunked(1 << 16):
                        size += len(part)
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
            sizes.append(size)
    # What is imported and laid out with the first one is not counted.
    assert sizes[2] == 10 * sizes[1] > 1_500_000
    assert peaks[2] < 1.5 * peaks[1]


async def test_client_that_takes_nothing_is_cut_off_and_holds_nobody_up(long_store: Store) -> None:
    stop = iso_time(T0_NS + LONG * CADENCE_S * SECOND_NS)
    path = f"/hapi/data?dataset=TAR-BRZ/flr&start=2017Z&stop={stop}&format=binary"
    requests = 40 * f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    refused: asyncio.Queue[str] = asyncio.Queue()
    async with offering(long_store.path) as server, ClientSession(server.url) as client:
        whole = len(await data(client, path.partition("?")[2]))
    async with offering(long_store.path, limits=Limits(take_s=1.0), refused=refused.put_nowait) as server:
        host, port = server.url.removeprefix("http://").split(":")
        idle = [await asyncio.open_connection(host, int(port), limit=1024) for _ in range(3)]
        for _, writer in idle:
            writer.write(requests)
        async with ClientSession(server.url) as client:
            written = product("flr", "TAR-BRZ", flr(LONG + 1))
            long_store.commit([(written, written.encode(T0_NS))], {})
            lines = await data(client, f"dataset=TAR-BRZ/flr&start={stop}&stop=2019Z&parameters=label")
            assert len(lines.split()) == 1
        async with asyncio.timeout(60):
            assert [await refused.get() for _ in idle] == ["slow_reader"] * len(idle)
        for reader, writer in idle:
            # What stood in the buffers, and then the end, long before all of it has come.
            taken = 0
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(1 << 20):
                    taken += len(part)
            assert taken < 20 * whole
            writer.close()


async def test_stream_that_cannot_go_on_breaks_off(
    long_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client must see that it is not whole: no last chunk comes."""
    path = tmp_path / "copy.sqlite"
    with sqlite3.connect(path) as target, sqlite3.connect(long_store.path) as source:
        source.backup(target)
    target.close()
    source.close()
    async with (
        offering(path) as server,
        ClientSession(server.url, read_bufsize=1 << 12) as client,
        client.get("/hapi/data?dataset=TAR-BRZ/flr&start=2017&stop=2019&format=binary") as response,
    ):
        await response.content.read(1)
        damaged = path.read_bytes()
        path.write_bytes(damaged[:8192] + bytes(len(damaged) - 8192))
        with caplog.at_level(logging.ERROR, LINES), pytest.raises(ClientPayloadError):
            await response.read()
    assert "broke off" in caplog.text


async def test_store_that_cannot_be_read_is_an_internal_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with offering(tmp_path / "nowhere.sqlite") as server, ClientSession(server.url) as client:
        for path in ("catalog", f"data?{FLR}", "info?dataset=events"):
            with caplog.at_level(logging.ERROR, LINES):
                async with client.get(f"/hapi/{path}") as response:
                    assert await code(response) == (500, 1500)
                    assert "nowhere" not in await response.text()
    assert "there is no store" in caplog.text


async def test_ten_read_at_once_and_each_gets_its_own(client: ClientSession) -> None:
    names = ["TAR-BRZ/flr", "MUO-PEL/flr", "events", "MMS1/region", "emma/profile"] * 2
    bodies = await asyncio.gather(*(data(client, f"dataset={name}&start=2017&stop=2018") for name in names))
    assert bodies[:5] == bodies[5:]
    assert len(set(bodies)) == 5


async def test_events_behind_each_other_start_where_they_are_asked_for(client: ClientSession) -> None:
    lines = (
        (await data(client, "dataset=events&start=2017-09-07T13:30Z&stop=2017-09-07T14:30Z"))
        .decode()
        .splitlines()
    )
    assert [line.split(",")[0] for line in lines] == ["2017-09-07T13:30:00.000Z"] * 2
    assert event(3).time_ns == T0_NS + 5400 * SECOND_NS
