"""Sends what the outbox holds, in order, until the broker has acknowledged each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from monitor.errors import BrokerError, BrokerUnavailable, StoreDamagedError, StoreError
from monitor.io.mqtt import MqttLink
from monitor.io.store import OutboxRow, Store

logger = logging.getLogger(__name__)

_BATCH = 100
_PATIENCE_S = 1.0


class Publisher:
    """From the durable outbox to the broker: the same bytes again until they are acknowledged.

    At every new connection the status goes out first. What the broker refuses by its rules is not sent again (MQTT
    counts a refusal as an answer): it stays in the store, and `refused` tells of it until the topic is taken again.

    While the store cannot take down what went out (a full disk), this run remembers it and sends the rest.

    Parameters
    ----------
    store : Store
    link : MqttLink
    root : str
        Topic root of the output.
    online, offline : bytes
        The status objects for the connection's beginning and for the end of the run.
    on_fault : callable, optional
        Called on the loop with a reason while the store cannot be used, and with None when it can again.
    """

    def __init__(
        self,
        store: Store,
        link: MqttLink,
        root: str,
        *,
        online: bytes,
        offline: bytes,
        on_fault: Callable[[str | None], None] = lambda _reason: None,
    ) -> None:
        self._store = store
        self._link = link
        self._root = root
        self._online = online
        self._offline = offline
        self._on_fault = on_fault
        self._wake = asyncio.Event()
        self._greeting_due = False
        self._stopping = False
        self._refused: dict[str, str] = {}
        # Rows that went out and are not yet marked in the store; all rows up to the second are done with.
        self._unmarked: set[int] = set()
        self._done_row = 0
        self.waiting = 0
        self.turns = 0
        """How often `run` has gone round."""

    @property
    def refused(self) -> str | None:
        """What the broker refuses to take from us at present, in a line; None where it takes all."""
        if not self._refused:
            return None
        topic, why = next(iter(self._refused.items()))
        more = f" (and {len(self._refused) - 1} other topics)" if len(self._refused) > 1 else ""
        return f"{topic}: {why}{more}"

    def wake(self) -> None:
        """Say that the outbox may hold something (call it on the loop)."""
        self._wake.set()

    def greet(self) -> None:
        """Say that there is a new connection (call it on the loop): its first message is the status."""
        self._greeting_due = True
        self._wake.set()

    def stop(self) -> None:
        """Let `run` end once the outbox is empty or cannot be sent now."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Publish until `stop`."""
        while True:
            self.turns += 1
            self._wake.clear()
            if self._link.connected and await self._turn():
                continue
            if self._stopping:
                break
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
        if self.waiting:
            logger.info("products wait in the store for the next run")

    async def say_goodbye(self) -> None:
        """Publish the status `offline`, where there is a connection."""
        await self._say_status(self._offline)

    async def _turn(self) -> bool:
        """Send the greeting and a batch; return whether there may be more to do at once."""
        if self._greeting_due:
            self._greeting_due = False
            if not await self._say_status(self._online):
                self._greeting_due = True
                return False
        try:
            more = await self._publish_some()
            await self._mark()
        except StoreDamagedError:
            raise
        except StoreError as error:
            self._on_fault(f"the outbox cannot be kept: {error}")
            return False
        self._on_fault(None)
        return more

    async def _publish_some(self) -> bool:
        """Publish a batch; return whether all of it went out and there may be more."""
        stored = await asyncio.to_thread(lambda: self._store.outbox(_BATCH, after_row=self._done_row))
        rows = [row for row in stored if row.row not in self._unmarked]
        self.waiting = len(rows)
        # Each begins before the next: the messages leave in the order of the commits.
        sent = await asyncio.gather(*(self._send(row) for row in rows))
        self._unmarked.update(row.row for row, was_sent in zip(rows, sent, strict=True) if was_sent)
        for row in stored:
            if row.row not in self._unmarked:
                break
            self._done_row = row.row
        self.waiting = sent.count(False)
        return bool(stored) and all(sent)

    async def _mark(self) -> None:
        """Take what went out from the store's outbox; what cannot be taken now is remembered."""
        if self._unmarked:
            await asyncio.to_thread(self._store.mark_published, sorted(self._unmarked))
            self._unmarked.clear()

    async def _send(self, row: OutboxRow) -> bool:
        """Send one product; return whether it is done with."""
        return await self._publish(row.topic, row.payload, retain=row.retained)

    async def _say_status(self, payload: bytes) -> bool:
        return await self._publish("status", payload, retain=True)

    async def _publish(self, name: str, payload: bytes, *, retain: bool) -> bool:
        topic = f"{self._root}/{name}"
        try:
            await self._link.publish(topic, payload, retain=retain)
        except BrokerUnavailable:
            return False
        except BrokerError as error:
            if topic not in self._refused:
                logger.error("%s; it stays in the store and is not sent again", error)
            self._refused[topic] = str(error)
            return True
        self._refused.pop(topic, None)
        return True
