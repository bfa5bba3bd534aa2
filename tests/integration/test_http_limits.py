"""Limits of the HTTP server: how many connections, how long they may be slow, and who goes for whom."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import pytest
from http_kit import Line, Served, ask, is_closed, serving
from mqtt_kit import until

from monitor.io.http.connections import Limits

EIGHT = Limits(connections=8)
HEAD = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HTTP_LINES = "monitor.io.http.refusals"


def open_connections(served: Served) -> int:
    return len(served.server._connections)


async def still_answers(line: Line) -> bool:
    return (await ask(line))[0] == 200


async def connected(served: Served, count: int, address: str = "127.0.0.1") -> list[Line]:
    """Connections that the server has taken in, in this order."""
    lines = []
    for _ in range(count):
        lines.append(await served.connect(address=address))
        # An answer proves that the server has it.
        assert await still_answers(lines[-1])
    return lines


async def test_new_connection_takes_the_place_of_the_one_that_waited_longest() -> None:
    async with serving(limits=EIGHT) as served:
        lines = await connected(served, 8)
        assert await still_answers(lines[0])  # so that the second has waited longest
        (ninth,) = await connected(served, 1)
        assert await is_closed(lines[1])
        assert all([await still_answers(line) for line in (*lines[2:], lines[0], ninth)])
        assert open_connections(served) == 8
        await served.close()
        await until(lambda: open_connections(served) == 0, 20)
    assert served.refused == ["full"]


async def test_who_has_most_connections_pushes_out_his_own() -> None:
    async with serving(limits=EIGHT) as served:
        kept = await connected(served, 3)
        greedy = await connected(served, 40, address="127.0.0.2")
        assert all([await still_answers(line) for line in kept])
        assert [await is_closed(line) for line in greedy[:35]] == [True] * 35
        assert all([await still_answers(line) for line in greedy[35:]])
    assert served.refused == ["full"] * 35


async def test_connections_that_finish_no_request_keep_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(limits=EIGHT) as served:
        slow = []
        for _ in range(200):
            slow.append(await served.connect())
            slow[-1][1].write(HEAD)
        (line,) = await connected(served, 1)
        assert await still_answers(line)
        await until(lambda: served.refused.count("full") == 193, 20)
    # One line, whatever comes.
    assert [record.name for record in caplog.records] == [HTTP_LINES]


@pytest.mark.parametrize("sent", [b"", b"G", HEAD], ids=["nothing", "letter", "unfinished"])
async def test_request_that_does_not_come_whole_is_cut_off(sent: bytes) -> None:
    async with serving(limits=Limits(head_s=0.2)) as served:
        line = await served.connect()
        line[1].write(sent)
        assert await is_closed(line)
        assert served.refused == ["slow_request"]
        await until(lambda: open_connections(served) == 0, 20)


async def test_request_that_drips_is_cut_off_too() -> None:
    async with serving(limits=Limits(head_s=0.5)) as served:
        reader, writer = await served.connect()
        writer.write(HEAD)
        closed = asyncio.create_task(is_closed((reader, writer)))
        for _ in range(2000):
            if closed.done():
                break
            writer.write(b"X-Drip: 1\r\n"[:1])
            await asyncio.sleep(0.02)
        assert await closed
    assert served.refused == ["slow_request"]


async def test_second_request_has_no_more_time_than_the_first() -> None:
    async with serving(limits=Limits(head_s=1.0, idle_s=600.0)) as served:
        (line,) = await connected(served, 1)
        line[1].write(b"GET ")
        assert await is_closed(line)
    assert served.refused == ["slow_request"]


async def test_quiet_connection_ends_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "monitor")
    async with serving(limits=Limits(head_s=600.0, idle_s=0.3)) as served:
        (line,) = await connected(served, 1)
        assert await is_closed(line)
    assert served.refused == []
    assert not caplog.records


def reluctant(port: int, requests: int) -> socket.socket:
    """A client that asks on and on, and takes nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    client.sendall((HEAD + b"\r\n") * requests)
    return client


async def test_answer_that_is_not_taken_is_given_up() -> None:
    async with serving(limits=Limits(take_s=0.3)) as served:
        served.body = b"#" * 8_000_000
        with reluctant(served.port, 1):
            await until(lambda: served.refused == ["slow_reader"], 20)
            await until(lambda: open_connections(served) == 0, 20)


async def test_answer_that_is_taken_late_but_in_time_is_whole() -> None:
    async with serving() as served:
        served.body = b"#" * 8_000_000
        line = await served.connect()
        line[1].transport.pause_reading()  # type: ignore[attr-defined]  # it reads, too
        line[1].write(HEAD + b"\r\n")
        await until(lambda: bool(served.server._connections._stalled), 10)
        line[1].transport.resume_reading()  # type: ignore[attr-defined]
        answer = await line[0].readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert await line[0].readexactly(8_000_000) == served.body
        assert await still_answers(line)
    assert served.refused == []


async def test_what_waits_for_slow_readers_is_bounded_in_memory() -> None:
    limits = Limits(unsent_bytes=20_000_000)
    async with serving(limits=limits) as served:
        served.body = b"#" * 16_000_000
        connections = served.server._connections
        with contextlib.ExitStack() as clients:
            for count in range(1, 9):
                clients.enter_context(reluctant(served.port, 1))
                await until(lambda: len(connections._stalled) + len(served.refused) == count, 20)  # noqa: B023  (asked at once)
                assert sum(one.unsent_bytes for one in connections._stalled) <= limits.unsent_bytes
    assert set(served.refused) == {"slow_reader"}


async def test_readers_that_take_nothing_keep_nobody_out() -> None:
    async with serving(limits=Limits(connections=8, unsent_bytes=1 << 40)) as served:
        served.body = b"#" * 16_000_000
        with contextlib.ExitStack() as clients:
            for _ in range(8):
                clients.enter_context(reluctant(served.port, 1))
            await until(lambda: len(served.server._connections._stalled) == 8, 20)
            served.body = b"1\n"
            (line,) = await connected(served, 1)
            assert await still_answers(line)
    assert served.refused == ["full"]


async def test_body_that_never_comes_holds_nothing_up() -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\nx")
        async with asyncio.timeout(20):
            assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
        await until(lambda: open_connections(served) == 0, 20)
