"""An HTTP server without a daemon behind it, and clients that behave badly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from monitor.io.http import HttpServer
from monitor.io.http.access import Credentials
from monitor.io.http.connections import Limits

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served:
    """A running server with its refusals, and metrics of a size that a test chooses."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.body = b"geospace_up 1\n"
        self.server: HttpServer
        self._lines: list[Line] = []

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def connect(self, *, address: str = "127.0.0.1") -> Line:
        """A connection from an address of this machine (all of 127.0.0.0/8 are); it is closed at the end."""
        line = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))
        self._lines.append(line)
        return line

    async def close(self) -> None:
        """Close all connections."""
        writers = [writer for _, writer in self._lines]
        self._lines.clear()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(
    *,
    credentials: Credentials | None = None,
    public_host: str | None = None,
    limits: Limits | None = None,
    listen: str = "127.0.0.1:0",
) -> AsyncIterator[Served]:
    """A server for as long as the context lasts."""
    served = Served()
    served.server = HttpServer(
        listen,
        metrics=lambda _accept: (served.body, "text/plain"),
        ready=lambda: (True, []),
        status=dict,
        event=lambda _id: None,
        credentials=credentials,
        public_host=public_host,
        limits=limits or Limits(),
        refused=served.refused.append,
    )
    await served.server.start()
    try:
        yield served
    finally:
        await served.close()
        await served.server.stop()


async def ask(line: Line, path: str = "/metrics", **fields: str) -> tuple[int, bytes]:
    """Send a request on a connection, which stays open, and return the status and the body of the answer."""
    reader, writer = line
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **fields}.items())
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(row.partition(b":")[2])
        for row in answer.split(b"\r\n")
        if row.lower().startswith(b"content-length:")
    )
    return int(answer.split(b" ")[1]), await reader.readexactly(length)


async def is_closed(line: Line, timeout_s: float = 20.0) -> bool:
    """Whether the other side ends a connection within the time."""
    try:
        async with asyncio.timeout(timeout_s):
            while await line[0].read(65_536):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
