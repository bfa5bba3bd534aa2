"""Inside the process of a source or a sink: its loop, and the feed that it runs with."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Sequence
from itertools import count
from typing import Any

from monitor.errors import StoreError
from monitor.plugins.base import Taken
from monitor.plugins.cage import parcels, wire
from monitor.plugins.cage.telling import shown
from monitor.types import Json, Message, SampleBlock


class _Line:
    """Our end of the socket, on the loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, end: socket.socket) -> _Line:
        return cls(*await asyncio.open_connection(sock=end.dup()))

    async def send(self, message: wire.FromPlugin) -> None:
        self._writer.write(wire.framed(message))
        await self._writer.drain()

    async def received(self) -> wire.ToPlugin | None:
        """The next frame; None where the other end is closed."""
        try:
            (length,) = wire.LENGTH.unpack(await self._reader.readexactly(wire.LENGTH.size))
            return wire.to_plugin(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None


async def serve_source(end: socket.socket, ready: wire.FromPlugin, source: Any) -> None:
    """Run a source when it is asked to, until the other end is closed."""
    line = await _Line.of(end)
    await line.send(ready)
    feed: _Feed | None = None
    task: asyncio.Task[None] | None = None
    while (request := await line.received()) is not None:
        match request:
            case wire.Run():
                feed = _Feed(line, parcels.unpacked(request.position), request.newest_ns)
                task = asyncio.create_task(_run(line, source, feed))
            case wire.Ping():
                if feed is not None:
                    feed.newest = request.newest_ns
                await line.send(wire.Pong())
            case wire.Took() | wire.Gaps():
                if feed is not None:
                    feed.answered(request)
            case wire.Cancel():
                if task is not None:
                    task.cancel()


async def _run(line: _Line, source: Any, feed: _Feed) -> None:
    error: BaseException | None = None
    try:
        await source.run(feed)
    except BaseException as raised:  # noqa: BLE001  (its end is told, whatever it is)
        error = raised
    cancelled = isinstance(error, asyncio.CancelledError)
    await line.send(wire.Ended(None if error is None or cancelled else shown(error)))


async def serve_sink(end: socket.socket, ready: wire.FromPlugin, sink: Any) -> None:
    """Do what is asked of a sink, one thing at a time, and say that the loop goes round meanwhile."""
    line = await _Line.of(end)
    await line.send(ready)
    tasks: set[asyncio.Task[None]] = set()
    while (request := await line.received()) is not None:
        match request:
            case wire.Ping():
                await line.send(wire.Pong())
                continue
            case wire.Open():
                work = sink.open()
            case wire.Write():
                work = sink.write([row.taken() for row in request.rows])
            case wire.Close():
                work = sink.close()
            case _:
                raise TypeError(f"a sink was asked {type(request).__name__}")
        task = asyncio.create_task(_done(line, work))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _done(line: _Line, work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except BaseException as error:  # noqa: BLE001  (told to whoever asked)
        await line.send(wire.Raised(shown(error)))
    else:
        await line.send(wire.Done())


class _Feed:
    """What the daemon gives to a source, at the other end of a socket."""

    def __init__(self, line: _Line, position: Json, newest_ns: dict[str, int]) -> None:
        self._line = line
        self._position = position
        self.newest = newest_ns
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    @property
    def position(self) -> Json:
        return self._position

    def newest_ns(self, source: str) -> int | None:
        return self.newest.get(source)

    async def gaps(
        self, source: str, begin_ns: int, end_ns: int, components: Sequence[str] = ()
    ) -> list[tuple[int, int]]:
        number = next(self._numbers)
        request = wire.AskGaps(number, source, begin_ns, end_ns, tuple(components))
        answer = await self._asked(number, request)
        return [(begin, end) for begin, end in answer.gaps]

    async def take(self, items: Sequence[Message | SampleBlock], position: Json = None) -> Taken:
        number = next(self._numbers)
        things = tuple(
            parcels.Letter.of(item) if isinstance(item, Message) else parcels.Block.of(item) for item in items
        )
        said = b"" if position is None else parcels.packed(position)
        answer = await self._asked(number, wire.Take(number, things, said))
        self.newest = answer.newest_ns
        if position is not None:
            self._position = parcels.unpacked(said)
        return Taken(answer.samples, answer.refused)

    def answered(self, answer: wire.Took | wire.Gaps) -> None:
        """Let whoever waits for an answer have it."""
        waiting = self._waiting.pop(answer.number, None)
        if waiting is None or waiting.done():
            return
        if answer.error is not None:
            waiting.set_exception(StoreError(answer.error))
        else:
            waiting.set_result(answer)

    async def _asked(self, number: int, request: wire.FromPlugin) -> Any:
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._line.send(request)
            return await waiting
        finally:
            self._waiting.pop(number, None)
