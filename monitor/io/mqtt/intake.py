"""What has arrived and waits: the queue between the broker and the consumer. It never drops."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, replace

from monitor.types import Message


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message received and not yet acknowledged.

    `mid` and `qos` are the protocol's; `generation` numbers the connection that brought it. An acknowledgement
    only means something on that connection: the broker sends again on the next.
    """

    message: Message
    mid: int
    qos: int
    generation: int


@dataclass(slots=True)
class _Place:
    delivery: Delivery


class Intake:
    """What has arrived and waits to be received, in order. It outlives connections and never drops.

    Parameters
    ----------
    limit : int
        Above this many waiting messages `full` asks the connection to hold the broker back.
    limit_bytes : int
        The same for the sum of their payloads: a few huge messages must not fill the memory.
    """

    def __init__(self, limit: int, limit_bytes: int = 1 << 26) -> None:
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.arrived = 0
        # Of these, the ones that were just sent: what a broker retained says nothing about the senders of now.
        self.live = 0
        self.latest_ns: int | None = None
        self._bytes = 0
        self._places: deque[_Place] = deque()
        self._by_mid: dict[int, _Place] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def full(self) -> bool:
        """Whether more waits than one of the limits."""
        return len(self._places) > self.limit or self._bytes > self.limit_bytes

    def put(self, delivery: Delivery, *, resent: bool, retained: bool = False) -> None:
        """Add a delivery at the end; one sent again after a reconnect takes the place where it still waits."""
        self.arrived += 1
        if not retained:
            self.live += 1
            self.latest_ns = delivery.message.received_ns
        if delivery.qos:
            waiting = self._by_mid.get(delivery.mid)
            if resent and waiting is not None and _same(waiting.delivery, delivery):
                waiting.delivery = replace(waiting.delivery, generation=delivery.generation)
                return
        place = _Place(delivery)
        self._places.append(place)
        self._bytes += len(delivery.message.payload)
        if delivery.qos:
            self._by_mid[delivery.mid] = place
        self._filled.set()

    def take(self, limit: int) -> list[Delivery]:
        """Remove and return up to `limit` deliveries from the front."""
        places = [self._places.popleft() for _ in range(min(limit, len(self._places)))]
        for place in places:
            self._bytes -= len(place.delivery.message.payload)
            if self._by_mid.get(place.delivery.mid) is place:
                del self._by_mid[place.delivery.mid]
        if not self._places:
            self._filled.clear()
        return [place.delivery for place in places]

    async def wait(self, timeout_s: float) -> None:
        """Return when something waits, at the latest after `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._filled.wait()


def _same(old: Delivery, new: Delivery) -> bool:
    """Whether `new` is `old` sent again by a later connection."""
    return (
        old.generation != new.generation
        and old.message.topic == new.message.topic
        and old.message.payload == new.message.payload
    )
