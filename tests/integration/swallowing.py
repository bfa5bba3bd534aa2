"""A proxy between a client and a broker that answers everything but one kind of packet, as broken middle boxes do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

PUBLISH, PUBACK = 3, 4


class Swallowing:
    """Takes connections on a free loopback port and hands them on, without the broker's packets of some kinds.

    Connections up to the number `first` are treated so; later ones are whole.
    """

    def __init__(self, broker_port: int, kinds: set[int], first: int) -> None:
        self.port = 0
        self.connections = 0
        self.swallowed = 0
        self.first = first
        self._kinds = kinds
        self._broker_port = broker_port
        self._tasks: set[asyncio.Task[None]] = set()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        ways = [
            asyncio.create_task(self._hand_on(reader, up_writer, whole=True, number=number)),
            asyncio.create_task(self._hand_on(up_reader, writer, whole=False, number=number)),
        ]
        self._tasks.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        writer.close()
        up_writer.close()

    async def _hand_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, whole: bool, number: int
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                packet = await _packet(reader)
                if not whole and number <= self.first and packet[0] >> 4 in self._kinds:
                    self.swallowed += 1
                    continue
                writer.write(packet)
                await writer.drain()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Swallowing]:
        """Take connections for as long as the context lasts."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0.05)


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """One MQTT packet: its kind, its length in groups of seven bits, and so many bytes."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
    return head + await reader.readexactly(length)
