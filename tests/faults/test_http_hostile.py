"""HTTP on its worst day: thousands of slow connections, and requests that no browser would send."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import (
    DaemonProcess,
    Feeder,
    chain_blocks,
    closing,
    eventually,
    processed,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto

from monitor.types import SampleBlock

MAXIMUM_CONNECTIONS = 256
SPARE_FILES = 400
"""What is accepted within one turn of the loop, before those go for whom there is no room."""
SLOW_HEADS = (
    b"",
    b"G",
    b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    b"GET /api/status HTTP/1.1\r\nX-Slow: ",
)


@pytest.fixture
def daemon(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[DaemonProcess]:
    with DaemonProcess(write_config(tmp_path / "monitor.yaml", mosquitto.url)) as running:
        yield running


@pytest.fixture
def many_files() -> Iterator[int]:
    """As many open files as this process may have; the number of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Watch(threading.Thread):
    """Scrapes the daemon all the time from one address, and looks at what it holds."""

    def __init__(self, daemon: DaemonProcess) -> None:
        super().__init__(daemon=True)
        self._daemon = daemon
        self._over = threading.Event()
        self.answers: list[tuple[int, float]] = []
        self.files = 0
        self.resident_kB = 0

    def run(self) -> None:
        while not self._over.is_set():
            begin = time.monotonic()
            code, _ = self._daemon.get("/metrics")
            self.answers.append((code, time.monotonic() - begin))
            self.files = max(self.files, open_files(self._daemon.pid))
            self.resident_kB = max(self.resident_kB, resident_kB(self._daemon.pid))
            self._over.wait(0.05)

    def end(self) -> None:
        self._over.set()
        self.join(30)


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_kB(pid: int) -> int:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith("VmRSS:")).split()[1])


@contextlib.contextmanager
def watching(daemon: DaemonProcess) -> Iterator[Watch]:
    watch = Watch(daemon)
    watch.start()
    try:
        yield watch
    finally:
        watch.end()


async def attack(port: int, count: int, address: str, chance: random.Random) -> tuple[int, int]:
    """Open connections that finish no request, and keep them; how many were let in, and how many are left in the end."""
    alive: set[int] = set()
    failed: set[int] = set()
    places = asyncio.Semaphore(200)
    writers: list[asyncio.StreamWriter] = []

    async def one(number: int) -> None:
        async with places:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            except OSError:
                failed.add(number)
                return
        writers.append(writer)
        alive.add(number)
        with contextlib.suppress(OSError):
            writer.write(chance.choice(SLOW_HEADS))
            while await reader.read(1024):
                pass
        alive.discard(number)

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    async with asyncio.timeout(300):
        while len(writers) + len(failed) < count or len(alive) > MAXIMUM_CONNECTIONS:  # noqa: ASYNC110  (sockets have no event for it)
            await asyncio.sleep(0.05)
    left = len(alive)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for writer in writers:
        writer.transport.abort()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
    return len(writers), left


def feed(port: int, blocks: list[SampleBlock], over: threading.Event) -> threading.Thread:
    """Send the samples of a chain meanwhile."""

    def send() -> None:
        with closing(Feeder(port)) as feeder:
            for begin in range(0, len(blocks), 10):
                feeder.send(blocks[begin : begin + 10])
                over.wait(0.05)
            feeder.flush()

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.broker
def test_slow_connections_by_the_thousand_disturb_nobody(
    daemon: DaemonProcess,
    mosquitto: Mosquitto,
    many_files: int,
    of_scale: Callable[[int, int], int],
    chance: random.Random,
    found: Callable[..., None],
    tmp_path: Path,
) -> None:
    count = min(of_scale(800, 10_000), many_files - 500)
    blocks = chain_blocks(60)
    expected = processed(daemon.config, write_csv(tmp_path / "chain.csv", blocks))
    port = int(daemon.url.rpartition(":")[2])
    before_files, before_kB = open_files(daemon.pid), resident_kB(daemon.pid)
    over = threading.Event()
    feeding = feed(mosquitto.port, blocks, over)
    begin = time.monotonic()
    with watching(daemon) as watch:
        made, left = asyncio.run(attack(port, count, "127.0.0.2", chance))
    attack_s = time.monotonic() - begin
    over.set()
    feeding.join(60)

    sent = sum(block.values.shape[1] for block in blocks)
    eventually(lambda: _stored_samples(daemon) == sent, 60, lambda: daemon.log)
    full, slow = (
        daemon.metric("geospace_http_refused_total", reason=reason) or 0
        for reason in ("full", "slow_request")
    )
    eventually(lambda: open_files(daemon.pid) <= before_files + 5, 30)
    lines = [line for line in daemon.log.splitlines() if "HTTP: " in line]
    found(
        connections=made,
        left_open=left,
        closed_for_others=full,
        closed_as_slow=slow,
        seconds=round(attack_s, 1),
        scrapes=len(watch.answers),
        scrapes_failed=sum(code != 200 for code, _ in watch.answers),
        slowest_scrape_s=round(max(seconds for _, seconds in watch.answers), 2),
        open_files_before=before_files,
        open_files_at_most=watch.files,
        resident_grew_kB=watch.resident_kB - before_kB,
        log_lines=len(lines),
    )
    assert made == count
    assert left <= MAXIMUM_CONNECTIONS
    assert full + slow >= count - MAXIMUM_CONNECTIONS - 50
    # Another client is served as if nothing were.
    assert all(code == 200 for code, _ in watch.answers)
    assert watch.files <= before_files + MAXIMUM_CONNECTIONS + SPARE_FILES
    assert watch.resident_kB - before_kB < 200_000
    # A line a kind and minute.
    assert len(lines) <= 2 * (1 + attack_s // 60) + 2, lines
    # And the daemon has done its work meanwhile.
    daemon.stop()
    stored = daemon.stored()
    assert {key: document["label"] for key, document in expected.items()}.items() <= {
        key: document["label"] for key, document in stored.items()
    }.items()


def _stored_samples(daemon: DaemonProcess) -> float:
    return sum(
        daemon.metric("geospace_samples_stored_total", source=one) or 0 for one in ("NUR", "TAR", "BRZ")
    )


# -- requests that no browser would send -----------------------------------------------------------------------

PATHS = (
    "/../../etc/passwd",
    "/events/../../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/%252e%252e%252fetc/passwd",
    "/events/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/..\\..\\etc\\passwd",
    "//etc/passwd",
    "/etc/passwd%00.html",
    "/api/status/../../monitor.sqlite",
    "/%c0%ae%c0%ae/etc/passwd",
    "/events/%0d%0aX-Injected:%201",
    "/<script>alert(1)</script>",
    "/?q=<script>alert(1)</script>",
    "http://127.0.0.1/../etc/passwd",
    "file:///etc/passwd",
    "*",
)
METHODS = (
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "GETGET",
    "A" * 100,
)
FIELDS = (
    b"Content-Length: -1\r\n",
    b"Content-Length: 10\r\nContent-Length: 20\r\n",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAAA\r\n",
    b"Expect: 100-continue\r\n",
    b"Range: bytes=0-,0-,0-,0-\r\n",
    b"Accept-Encoding: " + b"gzip," * 1000 + b"\r\n",
    b"X-Null: a\x00b\r\n",
    b" folded: yes\r\n",
    b"No colon\r\n",
    b": nameless\r\n",
    b"X-Big: " + b"a" * 100_000 + b"\r\n",
    b"".join(b"X-%d: 1\r\n" % number for number in range(10_000)),
    b"Authorization: Basic " + b"A" * 8000 + b"\r\n",
    b"Host: evil.example.com\r\n",
    b"Cookie: \xff\xfe\x00\r\n",
)


def requests(chance: random.Random, rubbish: int) -> Iterator[tuple[str, bytes]]:
    """What is sent, each on a connection of its own, with a name for the report."""
    for path in PATHS:
        yield "path", f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    for method in METHODS:
        yield (
            "method",
            f"{method} /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode(),
        )
    for fields in FIELDS:
        yield (
            "field",
            b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + fields + b"\r\n",
        )
    yield "body", b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    yield "pipeline", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 500 + b"\x00" * 1000
    yield "path", b"GET /" + b"a/" * 50_000 + b" HTTP/1.1\r\n\r\n"
    valid = b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    for _ in range(rubbish):
        spoilt = bytearray(valid)
        for _ in range(chance.randint(1, 8)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        yield "spoilt", bytes(spoilt)
        yield "rubbish", chance.randbytes(chance.randint(1, 2000)) + b"\r\n\r\n"


async def answer_to(port: int, data: bytes) -> bytes:
    """Everything that comes back, until the server ends it or we have nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        async with asyncio.timeout(30):
            writer.write(data)
            if writer.can_write_eof():
                writer.write_eof()
            while piece := await reader.read(65_536):
                answer += piece
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return answer


def assert_harmless(sent: bytes, answer: bytes) -> None:
    """Our own words, and nothing of the machine or of what was sent."""
    assert b"root:" not in answer
    assert b"Traceback" not in answer
    assert b"aiohttp" not in answer
    assert b"alert(1)" not in answer
    assert b"X-Injected" not in answer
    if answer:
        # A spoilt version is read as that of a request without one, which is 0.9.
        assert answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/0.9 ")), (sent[:200], answer[:200])
        assert b"Server: geospace-monitor\r\n" in answer
    codes = {int(code) for code in re.findall(rb"^HTTP/[01]\.[019] (\d{3}) ", answer, re.MULTILINE)}
    assert codes <= {100, 200, 400, 404, 405, 413, 417, 421}, (sent[:200], codes)


@pytest.mark.broker
def test_requests_that_no_browser_would_send_do_nothing(
    daemon: DaemonProcess,
    of_scale: Callable[[int, int], int],
    chance: random.Random,
    found: Callable[..., Any],
) -> None:
    port = int(daemon.url.rpartition(":")[2])
    before_files = open_files(daemon.pid)
    counts: dict[str, int] = {}

    async def send_all() -> None:
        for kind, data in requests(chance, of_scale(100, 5000)):
            assert_harmless(data, await answer_to(port, data))
            counts[kind] = counts.get(kind, 0) + 1

    asyncio.run(send_all())
    eventually(lambda: open_files(daemon.pid) <= before_files + 5, 30)
    lines = daemon.log.splitlines()
    found(requests=sum(counts.values()), log_lines=sum("HTTP: " in line for line in lines), **counts)
    assert daemon.get("/readyz")[0] == 200
    assert "Traceback" not in daemon.log
    assert sum("HTTP: " in line for line in lines) <= 10, lines
