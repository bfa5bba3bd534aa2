"""The HTTP server on a real socket: addresses, headers, limits, and errors that it survives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientResponse, ClientSession, web

from monitor.errors import MonitorError, StoreError
from monitor.io.http import HttpServer
from monitor.io.metrics import Metrics
from monitor.types import Json

EVENT_ID = "0a6d2d3e-5a8b-5c11-9d0e-3f4b5a697788"


@dataclass
class Daemon:
    """What the server asks; a test sets what it answers."""

    metrics: Metrics = field(default_factory=lambda: Metrics(["native"]))
    reasons: list[str] = field(default_factory=list)
    status: Json = field(default_factory=lambda: {"version": "1", "pairs": ["TAR-BRZ"], "ρ": None})
    fault: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def get_event(self, update_id: str) -> Json | None:
        self.asked.append(update_id)
        if self.fault is not None:
            raise self.fault
        return {"id": update_id, "type": "Feature"} if update_id == EVENT_ID else None

    def get_status(self) -> Json:
        if self.fault is not None:
            raise self.fault
        return self.status

    def server(self, listen: str = "127.0.0.1:0") -> HttpServer:
        return HttpServer(
            listen,
            metrics=self.metrics.render,
            ready=lambda: (not self.reasons, self.reasons),
            status=self.get_status,
            event=self.get_event,
        )


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
async def server(daemon: Daemon) -> AsyncIterator[HttpServer]:
    running = daemon.server()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def client(server: HttpServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(server.url) as session:
        yield session


def assert_safe(response: ClientResponse) -> None:
    assert response.headers["Server"] == "geospace-monitor"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["Cache-Control"] == "no-store"


async def raw(server: HttpServer, data: bytes) -> bytes:
    """Send bytes as they are and read to the end of the connection."""
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_metrics_in_the_format_that_is_asked_for(client: ClientSession) -> None:
    async with client.get("/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'geospace_messages_received_total{decoder="native"} 0.0' in await response.text()
        assert_safe(response)
    async with client.get(
        "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
    ) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert (await response.text()).endswith("# EOF\n")


async def test_healthz_is_alive_whatever_readyz_says(client: ClientSession, daemon: Daemon) -> None:
    daemon.reasons = ["the broker is not connected"]
    async with client.get("/healthz") as response:
        assert (response.status, await response.text()) == (200, "ok\n")
        assert_safe(response)


async def test_readyz_says_why_not_and_then_ready(client: ClientSession, daemon: Daemon) -> None:
    daemon.reasons = ["the broker is not connected"]
    async with client.get("/readyz") as response:
        assert response.status == 503
        assert await response.json() == {"ready": False, "reasons": ["the broker is not connected"]}
        assert_safe(response)
    daemon.reasons = []
    async with client.get("/readyz") as response:
        assert (response.status, await response.json()) == (200, {"ready": True, "reasons": []})


async def test_status_is_json(client: ClientSession, daemon: Daemon) -> None:
    async with client.get("/api/status") as response:
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert await response.json() == daemon.status
        assert_safe(response)


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/api/status", "/"])
async def test_head_gives_the_headers_without_a_body(client: ClientSession, path: str) -> None:
    async with client.head(path) as response:
        assert response.status == 200
        assert await response.read() == b""
        assert int(response.headers["Content-Length"]) > 0
        assert_safe(response)


async def test_index_lists_the_addresses(client: ClientSession) -> None:
    async with client.get("/") as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        assert (await response.text()).split() == [
            "geospace-monitor",
            "/api/status",
            "/events/{id}",
            "/healthz",
            "/metrics",
            "/readyz",
        ]


@pytest.mark.parametrize("asked", [EVENT_ID, EVENT_ID.upper()])
async def test_event_is_geojson(client: ClientSession, asked: str) -> None:
    async with client.get(f"/events/{asked}") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/geo+json; charset=utf-8"
        assert await response.json(content_type=None) == {"id": EVENT_ID, "type": "Feature"}
        assert_safe(response)


@pytest.mark.parametrize(
    ("asked", "error", "looked_up"),
    [
        (EVENT_ID.replace("0a", "0b"), "no event has this id", True),
        ("7", "the id of an event is a UUID", False),
        (EVENT_ID + "0", "the id of an event is a UUID", False),
        (EVENT_ID.replace("0", "٠"), "the id of an event is a UUID", False),
    ],
)
async def test_event_that_is_none_is_404_in_json(
    client: ClientSession, daemon: Daemon, asked: str, error: str, looked_up: bool
) -> None:
    async with client.get(f"/events/{asked}") as response:
        assert (response.status, await response.json()) == (404, {"status": 404, "error": error})
        assert_safe(response)
    assert bool(daemon.asked) is looked_up


async def test_store_that_fails_is_500_for_an_event_and_the_server_lives_on(
    client: ClientSession, daemon: Daemon
) -> None:
    daemon.fault = StoreError("the disk is gone")
    async with client.get(f"/events/{EVENT_ID}") as response:
        assert response.status == 500
        assert "disk" not in await response.text()
    async with client.get("/healthz") as response:
        assert response.status == 200


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/%2e%2e/etc/passwd", "/api"])
async def test_unknown_path_is_404_in_json(client: ClientSession, path: str) -> None:
    async with client.get(path) as response:
        assert (response.status, await response.json()) == (404, {"status": 404, "error": "Not Found"})
        assert_safe(response)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_method_that_changes_something_is_refused(client: ClientSession, method: str) -> None:
    async with client.request(method, "/api/status") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert (await response.json())["error"] == "Method Not Allowed"
        assert_safe(response)


async def test_request_with_a_body_is_refused(client: ClientSession) -> None:
    async with client.post("/api/status", data=b"x" * 100_000) as response:
        assert response.status == 413
        assert_safe(response)


@pytest.mark.parametrize("fault", [KeyError("secret detail"), RuntimeError("secret detail")])
async def test_failing_status_is_500_without_details_and_the_server_lives_on(
    client: ClientSession, daemon: Daemon, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.fault = fault
    async with client.get("/api/status") as response:
        assert response.status == 500
        text = await response.text()
        assert_safe(response)
    assert "secret" not in text
    assert "Traceback" not in text
    assert "/api/status failed" in caplog.text
    assert "secret detail" in caplog.text
    daemon.fault = None
    async with client.get("/api/status") as response:
        assert response.status == 200


@pytest.mark.parametrize("status", [{"value": float("nan")}, {"value": object()}])
async def test_status_that_is_no_json_is_500(client: ClientSession, daemon: Daemon, status: Json) -> None:
    daemon.status = status
    async with client.get("/api/status") as response:
        assert (response.status, (await response.json())["status"]) == (500, 500)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls to a plain port\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(500)) + b"\r\n",
    ],
    ids=["not_http", "long_line", "long_field", "many_fields"],
)
async def test_rubbish_and_oversize_are_400_without_a_version(
    server: HttpServer, client: ClientSession, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = await raw(server, request_bytes)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"Server: geospace-monitor\r\n" in answer
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    assert b"nosniff" in answer
    assert "Traceback" not in caplog.text
    async with client.get("/healthz") as response:
        assert response.status == 200


async def test_routes_of_later_rooms_are_served_with_their_own_policy(daemon: Daemon) -> None:
    async def page(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": "default-src 'self'"}
        return web.Response(text="<p>page</p>", content_type="text/html", headers=headers)

    async def room(request: web.Request) -> web.Response:
        if request.match_info["id"] == "none":
            raise web.HTTPNotFound
        raise web.HTTPFound("/")

    server = daemon.server()
    server.add_routes([web.get("/", page), web.get("/rooms/{id}", room)])
    await server.start()
    try:
        async with ClientSession(server.url) as client:
            async with client.get("/") as response:
                assert await response.text() == "<p>page</p>"
                assert response.headers["Content-Security-Policy"] == "default-src 'self'"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
            async with client.get("/rooms/none") as response:
                assert (response.status, (await response.json())["error"]) == (404, "Not Found")
            async with client.get("/rooms/1", allow_redirects=False) as response:
                assert (response.status, response.headers["Location"]) == (302, "/")
        with pytest.raises(RuntimeError, match="before the server starts"):
            server.add_routes([])
    finally:
        await server.stop()


async def test_busy_port_is_named_with_advice(server: HttpServer, daemon: Daemon) -> None:
    address = server.url.removeprefix("http://")
    second = daemon.server(address)
    with pytest.raises(MonitorError, match=rf"cannot listen on {address}: .*set http\.listen"):
        await second.start()
    await second.stop()


@pytest.mark.parametrize(
    "listen", ["", "9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:²"]
)
def test_address_that_is_none_is_refused(daemon: Daemon, listen: str) -> None:
    with pytest.raises(MonitorError, match=r"http\.listen: .* is no address"):
        daemon.server(listen)


async def test_stopped_server_listens_no_more_and_can_start_again(daemon: Daemon) -> None:
    server = daemon.server()
    await server.start()
    url = server.url
    async with ClientSession() as client, client.get(url + "/healthz") as response:
        assert response.status == 200
        # A connection that is kept alive must not hold the stop up.
        async with asyncio.timeout(5):
            await server.stop()
    await server.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    await server.start()
    try:
        async with ClientSession(server.url) as client, client.get("/healthz") as response:
            assert response.status == 200
    finally:
        await server.stop()
