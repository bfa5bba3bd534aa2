"""A TCP proxy that does to a connection what networks do: delay, starve, split, merge, corrupt, swallow, cut.

    with ChaosProxy(("127.0.0.1", 1883), seed=7) as proxy:
        ...                                   # connect the client to proxy.port
        proxy.lines(down=Line(delay_s=0.2, jitter_s=0.1))
        proxy.cut("rst")
        proxy.follow([(1.0, Line(piece_bytes=1)), (2.0, Line(swallow=True)), (5.0, "fin"), (6.0, Line())])

It knows nothing of what it carries. Its own loop runs in a thread, so that tests of any kind can use it. With the same
seed and the same traffic the same bytes are corrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, Self, TypeAlias, TypeVar

Cut = Literal["rst", "fin"]
T = TypeVar("T")

_READ_BYTES = 65_536
_PIECES_HELD = 64
_START_S = 10.0


@dataclass(frozen=True, slots=True)
class Line:
    """How bytes travel one way; as it is by default, they arrive as they were sent.

    Attributes
    ----------
    delay_s, jitter_s : float
        Each piece waits so long, and up to so much longer; the order of bytes is kept.
    bytes_per_s : float or None
        Bandwidth.
    piece_bytes : int or None
        Every segment is split into pieces of so many bytes.
    gather_s : float
        What arrives within so long is merged into one piece.
    corrupt_share : float
        Probability that a byte arrives as another one.
    swallow : bool
        Bytes vanish while the socket stays open. A connection that has lost some never gets others.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    piece_bytes: int | None = None
    gather_s: float = 0.0
    corrupt_share: float = 0.0
    swallow: bool = False


Step: TypeAlias = tuple[float, Line | Cut]
"""Seconds after the begin of a schedule, and what happens to both ways then."""


@dataclass(slots=True)
class Counts:
    """What has happened so far."""

    connections: int = 0
    refused: int = 0
    cut: int = 0
    bytes: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    swallowed_bytes: int = 0
    corrupted_bytes: int = 0


@dataclass(eq=False)
class _Connection:
    """One client and its line to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def end(self, how: Cut) -> None:
        """Tell both sides: RST loses what is under way, FIN does not."""
        for writer in (self.client, self.server):
            if how == "rst":
                sock = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()
        for task in self.tasks:
            task.cancel()


class ChaosProxy:
    """Listens on a loopback port and carries what comes to `target`, as `up` and `down` say.

    Parameters
    ----------
    target : tuple of str and int
        Where the server listens. It may be away: clients are hung up on then.
    seed : int or str
        Of jitter and corruption.
    up, down : Line
        From client to server, and back. `lines` changes them, for open connections too.
    port : int
        0 takes a free one.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        seed: int | str = 0,
        up: Line = Line(),
        down: Line = Line(),
        port: int = 0,
    ) -> None:
        self.target = target
        self.port = port
        self.up, self.down = up, down
        self.counts = Counts()
        self._seed = seed
        self._refuses = False
        self._connections: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._schedule: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_exception: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    def lines(self, *, up: Line | None = None, down: Line | None = None) -> None:
        """Change how bytes travel from now on; a way that is not named stays as it is."""
        self._call(self._set(up, down))

    def cut(self, how: Cut = "rst") -> int:
        """End all connections; return how many there were."""
        return self._call(self._cut(how))

    def refuse(self, refuses: bool) -> None:
        """Hang up on whoever connects, or no longer."""
        self._refuses = refuses

    def follow(self, schedule: Sequence[Step]) -> None:
        """Change both ways, or cut, at the given seconds from now; another schedule replaces this one."""
        self._call(self._begin(sorted(schedule, key=lambda step: step[0])))

    # -- on the loop ---------------------------------------------------------------------------------------

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._schedule is not None:
            self._schedule.cancel()
        assert self._server is not None
        self._server.close()
        await self._cut("rst")
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _set(self, up: Line | None, down: Line | None) -> None:
        self.up, self.down = up or self.up, down or self.down

    async def _cut(self, how: Cut) -> int:
        ended = list(self._connections)
        for connection in ended:
            connection.end(how)
        self._connections.clear()
        self.counts.cut += len(ended)
        return len(ended)

    async def _begin(self, schedule: Sequence[Step]) -> None:
        if self._schedule is not None:
            self._schedule.cancel()
        self._schedule = asyncio.create_task(self._run(schedule))

    async def _run(self, schedule: Sequence[Step]) -> None:
        begun = time.monotonic()
        for after_s, what in schedule:
            await asyncio.sleep(begun + after_s - time.monotonic())
            if isinstance(what, Line):
                self.up = self.down = what
            else:
                await self._cut(what)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            if self._refuses:
                raise ConnectionRefusedError
            answers, server = await asyncio.open_connection(*self.target)
        except OSError:
            self.counts.refused += 1
            client.transport.abort()
            return
        for writer in (client, server):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.counts.connections += 1
        connection = _Connection(client, server)
        self._connections.add(connection)
        connection.tasks = [
            asyncio.create_task(self._carry(connection, "up", reader, server, lambda: self.up)),
            asyncio.create_task(self._carry(connection, "down", answers, client, lambda: self.down)),
        ]

    async def _carry(
        self,
        connection: _Connection,
        way: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        line: Callable[[], Line],
    ) -> None:
        """Carry one way until its end, and let the other side know of it."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES_HELD)
        chance = random.Random(f"{self._seed}/{self.counts.connections}/{way}")
        broken = False
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._collect(reader, held, line, chance))
                both.create_task(self._deliver(way, held, writer, line))
            # Whoever has said all of it may still want to hear.
            if writer.can_write_eof():
                writer.write_eof()
        except* OSError:
            broken = True
        others = [task for task in connection.tasks if task is not asyncio.current_task()]
        if connection in self._connections and (broken or all(task.done() for task in others)):
            self._connections.discard(connection)
            # Gone without a goodbye: the other side learns it the same way.
            connection.end("rst" if broken else "fin")

    async def _collect(
        self,
        reader: asyncio.StreamReader,
        held: asyncio.Queue[tuple[float, bytes]],
        line: Callable[[], Line],
        chance: random.Random,
    ) -> None:
        """Read, and give each piece the moment at which it is due; an empty piece is the end."""
        due = 0.0
        corruption = random.Random(chance.random())
        while data := await reader.read(_READ_BYTES):
            now = line()
            if now.swallow:
                self.counts.swallowed_bytes += len(data)
                await self._swallow(reader)
            if now.gather_s:
                data = await _gathered(reader, data, now.gather_s)
            wait_s = now.delay_s + chance.uniform(0.0, now.jitter_s)
            due = max(due, time.monotonic() + wait_s)
            await held.put((due, self._corrupted(data, now.corrupt_share, corruption)))
        await held.put((due, b""))

    async def _swallow(self, reader: asyncio.StreamReader) -> NoReturn:
        """Take all that comes, and its end too: the socket stays open until it is cut."""
        while data := await reader.read(_READ_BYTES):
            self.counts.swallowed_bytes += len(data)
        await asyncio.Event().wait()
        raise AssertionError("nobody sets this event")

    async def _deliver(
        self,
        way: str,
        held: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        line: Callable[[], Line],
    ) -> None:
        while True:
            due, data = await held.get()
            if not data:
                return
            if (wait_s := due - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            begin = 0
            while begin < len(data):
                now = line()
                size = now.piece_bytes or len(data) - begin
                if now.bytes_per_s is not None:
                    size = min(size, max(1, int(now.bytes_per_s / 100)))
                    await asyncio.sleep(size / now.bytes_per_s)
                elif now.piece_bytes:
                    await asyncio.sleep(0)  # a turn of the loop each, so that they are segments of their own
                piece = data[begin : begin + size]
                begin += len(piece)
                writer.write(piece)
                await writer.drain()
                self.counts.bytes[way] += len(piece)

    def _corrupted(self, data: bytes, share: float, chance: random.Random) -> bytes:
        if not share:
            return data
        changed = bytearray(data)
        for at in range(len(changed)):
            if chance.random() < share:
                changed[at] ^= chance.randrange(1, 256)
                self.counts.corrupted_bytes += 1
        return bytes(changed)


async def _gathered(reader: asyncio.StreamReader, data: bytes, gather_s: float) -> bytes:
    """With what else arrives within the time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(gather_s):
            while more := await reader.read(_READ_BYTES):
                data += more
    return data
