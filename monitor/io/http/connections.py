"""Connections of the HTTP server: how many, how long they may be slow, and who goes when there are too many.

A connection waits for a request, answers one, or is stalled: its peer does not take what was written. Whoever makes
many connections can only push out his own: the one that goes has waited or been stalled longest, of the address that has
most of these.
So there is always room for one more client, and its request has come long before its turn to go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Any

from aiohttp import web

from monitor.io.http.refusals import Refusals

_LINE_BYTES = 4096
# A token of the largest size fits into one field. Together they bound what an unfinished request can hold: 0.4 MB.
_FIELD_BYTES = 6144
_FIELDS = 32

ErrorAnswer = Callable[[web.BaseRequest, int, BaseException | None], web.StreamResponse]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take.

    Attributes
    ----------
    connections : int
        That are open at once.
    head_s : float
        For a request to come, from the connection or from its first byte; an unfinished one is cut off.
    idle_s : float
        Between requests; longer than the usual scrape interval.
    take_s : float
        For an answer to be taken; what is taken slower than that is cut off.
    unsent_bytes : int
        That may wait in memory for peers that do not take them.
    """

    connections: int = 256
    head_s: float = 10.0
    idle_s: float = 75.0
    take_s: float = 30.0
    unsent_bytes: int = 64 * 1024 * 1024


class Connections:
    """All connections that are open, by what they do."""

    def __init__(self, limits: Limits, refusals: Refusals) -> None:
        self.limits = limits
        self.refusals = refusals
        self._open: set[Connection] = set()
        # By address, and there in the order in which they began to wait.
        self._waiting: dict[str, dict[Connection, None]] = {}
        self._stalled: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> None:
        """Take a connection in, for which another goes where there are too many; itself, where all are at work."""
        self._open.add(connection)
        if len(self._open) > self.limits.connections:
            self.refusals.note("full", connection.peer)
            (self._longest_waiting() or connection).cut()

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        self._open.discard(connection)
        self._stalled.pop(connection, None)
        self.answers(connection)

    def waits(self, connection: Connection) -> None:
        """A connection has nothing to answer: it may go for another."""
        self.answers(connection)
        self._waiting.setdefault(connection.group, {})[connection] = None

    def answers(self, connection: Connection) -> None:
        """A connection has a request to answer: it stays."""
        group = self._waiting.get(connection.group)
        if group is not None and connection in group:
            del group[connection]
            if not group:
                del self._waiting[connection.group]

    def stalls(self, connection: Connection) -> None:
        """A peer takes nothing for now. What waits for such peers is bounded: the one that waits longest goes."""
        self._stalled[connection] = None
        self._waiting.setdefault(connection.group, {}).setdefault(connection)
        unsent = sum(one.unsent_bytes for one in self._stalled)
        while unsent > self.limits.unsent_bytes and len(self._stalled) > 1:
            slowest = next(iter(self._stalled))
            unsent -= slowest.unsent_bytes
            self.refusals.note("slow_reader", slowest.peer)
            slowest.cut()

    def flows(self, connection: Connection) -> None:
        """A peer takes what is written again."""
        self._stalled.pop(connection, None)

    def _longest_waiting(self) -> Connection | None:
        groups: list[dict[Connection, None]] = list(self._waiting.values())
        sizes = [len(group) for group in groups]
        return next(iter(groups[sizes.index(max(sizes))])) if groups else None


class Connection(web.RequestHandler):
    """One connection with this server's limits; what is not HTTP at all gets the same kind of answer as the rest."""

    __slots__ = (
        "_answer_error",
        "_begun",
        "_connections",
        "_line",
        "_request_timer",
        "_stall_timer",
        "group",
        "peer",
    )

    def __init__(
        self,
        manager: web.Server,
        loop: asyncio.AbstractEventLoop,
        connections: Connections,
        answer_error: ErrorAnswer,
    ) -> None:
        limits = connections.limits
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp switches it off
            max_line_size=_LINE_BYTES,
            max_field_size=_FIELD_BYTES,
            max_headers=_FIELDS,
            keepalive_timeout=limits.idle_s,
            lingering_time=1.0,
        )
        self._connections = connections
        self._answer_error = answer_error
        # aiohttp lets go of its own reference when it begins to close, which a peer that takes nothing can drag out.
        self._line: asyncio.Transport | None = None
        self._request_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._begun = True
        self.peer = ""
        self.group = ""

    @property
    def unsent_bytes(self) -> int:
        """What was written and is not yet on its way."""
        return 0 if self._line is None else self._line.get_write_buffer_size()

    def cut(self) -> None:
        """Close at once, whatever is unsent."""
        line = self._line
        self._ends()
        if line is not None:
            line.abort()

    def answers(self) -> None:
        """A request has come whole: what follows takes as long as it takes."""
        self._stop_request_timer()
        self._connections.answers(self)

    # -- what asyncio and aiohttp call ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        self._line = transport
        self.peer, self.group = _peer(transport)
        self._connections.admit(self)
        if self._line is not None:
            self._await_request(self._connections.limits.head_s)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._ends()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._request_timer is not None and not self._begun:
            # Between requests there is time; within one there is less.
            self._begun = True
            self._set_request_timer(self._connections.limits.head_s)
        super().data_received(data)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        answer = await super().finish_response(request, resp, start_time)
        if self._line is not None:
            limits = self._connections.limits
            self._begun = False
            self._await_request(limits.idle_s if answer[0].keep_alive else limits.head_s)
        return answer

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._line is not None:
            self._stall_timer = self._loop.call_later(self._connections.limits.take_s, self._stalled_too_long)
            self._connections.stalls(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stall_timer()
        self._connections.flows(self)
        if self._request_timer is None:
            self._connections.answers(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status < 500:
            self._connections.refusals.note("unreadable", self.peer)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        # aiohttp's own would log a traceback for any rubbish on the port and name its version to the sender.
        return self._answer_error(request, status, exc)

    # -- time -----------------------------------------------------------------------------------------------------

    def _await_request(self, seconds: float) -> None:
        self._set_request_timer(seconds)
        self._connections.waits(self)

    def _set_request_timer(self, seconds: float) -> None:
        self._stop_request_timer()
        self._request_timer = self._loop.call_later(seconds, self._waited_too_long)

    def _waited_too_long(self) -> None:
        # Nobody has to be told of a client that asked, was answered, and has gone quiet.
        if self._begun:
            self._connections.refusals.note("slow_request", self.peer)
        self.cut()

    def _stalled_too_long(self) -> None:
        self._connections.refusals.note("slow_reader", self.peer)
        self.cut()

    def _ends(self) -> None:
        self._line = None
        self._stop_request_timer()
        self._stop_stall_timer()
        self._connections.forget(self)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


def _peer(transport: asyncio.Transport) -> tuple[str, str]:
    """The address of a peer, and what it counts as: of IPv6 the /64, which is one customer's. Empty where it has left."""
    found: Any = transport.get_extra_info("peername")
    if not found:
        return "", ""
    address = str(found[0])
    if ":" not in address:
        return address, address
    return address, str(IPv6Network((address.partition("%")[0], 64), strict=False))
