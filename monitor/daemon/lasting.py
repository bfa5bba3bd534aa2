"""What outlives a run of the daemon: whoever watches it sees no break where a new configuration takes over.

The store, the HTTP server and the daemon's own broker are opened by the run that wants them first. The next run takes
them as they are while their part of the configuration is the same; else it opens its own, and the old one goes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from monitor.daemon.degradation import Degradation
from monitor.io.broker import LocalBroker
from monitor.io.http import HttpServer
from monitor.io.http.offer import Offer
from monitor.io.http.stream import StreamRoutes
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.types import Json

T = TypeVar("T")


class Kept(Generic[T]):
    """Something open that one run hands to the next."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._held: tuple[T, object, object] | None = None

    async def take(
        self, settings: object, place: object, open_one: Callable[[AsyncExitStack], Awaitable[T]]
    ) -> T:
        """What is held where it has these settings; else what `open_one` opens.

        What is held is closed only once the new one is open, so that a failure leaves it as it is; unless both want
        the same `place`, which only one can have.
        """
        if self._held is not None:
            held, its_settings, its_place = self._held
            if its_settings == settings:
                return held
            if its_place == place:
                await self.close()
        async with AsyncExitStack() as stack:
            fresh = await open_one(stack)
            await self.close()
            self._stack, self._held = stack.pop_all(), (fresh, settings, place)
        return fresh

    async def close(self) -> None:
        """Close what is held, if there is anything."""
        stack, self._stack, self._held = self._stack, AsyncExitStack(), None
        await stack.aclose()


class Answers(Protocol):
    """Who answers over HTTP: the present run."""

    def ready(self) -> tuple[bool, list[str]]:
        """Whether it is ready, and the reasons when it is not."""
        ...

    def status(self) -> Json:
        """The object of `/api/status`."""
        ...

    def event(self, update_id: str) -> Json | None:
        """The newest update of an event."""
        ...

    def beat(self) -> Json:
        """How the daemon stands, in a small object."""
        ...

    def offer(self) -> Offer:
        """What is offered of the store."""
        ...


@dataclass(slots=True)
class Lasting:
    """Made once, and handed from one run to the next; `close` it in the end."""

    metrics: Metrics = field(default_factory=Metrics)
    started_ns: int = field(default_factory=time.time_ns)
    degradation: Degradation = field(init=False)
    answers: Answers = field(init=False)
    stream: StreamRoutes = field(init=False)
    http: Kept[HttpServer] = field(default_factory=Kept)
    broker: Kept[LocalBroker] = field(default_factory=Kept)
    store: Kept[Store] = field(default_factory=Kept)

    def __post_init__(self) -> None:
        self.degradation = Degradation(self.metrics)
        self.stream = StreamRoutes(lambda: self.answers.beat())

    async def close(self) -> None:
        """Close what is open: first what asks, last what is asked."""
        async with AsyncExitStack() as stack:
            for kept in (self.store, self.broker, self.http):
                stack.push_async_callback(kept.close)
