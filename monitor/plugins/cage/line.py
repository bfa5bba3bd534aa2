"""Our end of the socket of a source or a sink, on the loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from monitor.plugins.cage import parcels, wire
from monitor.plugins.cage.process import LostError, Process


class Line:
    """Frames to and from one process.

    Parameters
    ----------
    process : Process
    reader, writer
        Of its socket.
    """

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, process: Process) -> Self:
        # A socket of its own: the transport closes it, and the process closes its own.
        return cls(process, *await asyncio.open_connection(sock=process.socket.dup()))

    async def send(self, message: wire.ToPlugin, limit_s: float) -> None:
        """Send a frame; LostError where the process does not read."""
        try:
            async with asyncio.timeout(limit_s):
                self._writer.write(wire.framed(message))
                await self._writer.drain()
        except TimeoutError:
            raise LostError(f"read nothing for {limit_s:g} s") from None
        except OSError:
            raise LostError(self.process.ending()) from None

    async def received(self) -> wire.FromPlugin:
        """The next frame; LostError where the process has ended or sends what is none. It may be cancelled."""
        try:
            (length,) = wire.LENGTH.unpack(await self._reader.readexactly(wire.LENGTH.size))
            if length > wire.LARGEST_FRAME_BYTES:
                raise LostError(f"sent {length} bytes at once; allowed are {wire.LARGEST_FRAME_BYTES}")
            return wire.from_plugin(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            raise LostError(self.process.ending()) from None
        except parcels.WireError as error:
            raise LostError(f"sent what cannot be read ({error})") from None

    async def close(self) -> None:
        """Close our end."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
