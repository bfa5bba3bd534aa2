"""Sends what the outbox holds, in order, until the broker has acknowledged each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from monitor.errors import BrokerUnavailable
from monitor.io.mqtt import MqttLink
from monitor.io.store import OutboxRow, Store

logger = logging.getLogger(__name__)

_BATCH = 100
_PATIENCE_S = 1.0

T = TypeVar("T")
InThread = Callable[..., Awaitable[T]]


class Publisher:
    """From the durable outbox to the broker: the same bytes again until they are acknowledged.

    Parameters
    ----------
    store : Store
    link : MqttLink
    root : str
        Topic root of the output.
    """

    def __init__(self, store: Store, link: MqttLink, root: str) -> None:
        self._store = store
        self._link = link
        self._root = root
        self._wake = asyncio.Event()
        self.waiting = 0

    def wake(self) -> None:
        """Say that the outbox may hold something (call it on the loop)."""
        self._wake.set()

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            self._wake.clear()
            if not self._link.connected or not await self._publish_some():
                try:
                    await asyncio.wait_for(self._wake.wait(), _PATIENCE_S)
                except TimeoutError:
                    continue

    async def drain(self, timeout_s: float) -> None:
        """Publish what is left, for a while, at the end of a run."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._link.connected and await self._publish_some():
                    pass
        except TimeoutError:
            logger.info("%d products wait in the store for the next run", self.waiting)

    async def _publish_some(self) -> bool:
        """Publish a batch; return whether all of it went out and there may be more."""
        rows = await asyncio.to_thread(self._store.outbox, _BATCH)
        self.waiting = len(rows)
        if not rows:
            return False
        sent = await asyncio.gather(*(self._send(row) for row in rows))
        done = [row.row for row, was_sent in zip(rows, sent, strict=True) if was_sent]
        if done:
            await asyncio.to_thread(self._store.mark_published, done)
        self.waiting = len(rows) - len(done)
        return len(done) == len(rows)

    async def _send(self, row: OutboxRow) -> bool:
        try:
            await self._link.publish(f"{self._root}/{row.topic}", row.payload, retain=row.retained)
        except BrokerUnavailable:
            return False
        return True
