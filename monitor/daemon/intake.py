"""What comes in: received, stored, acknowledged, computed; and time passes while nothing comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from monitor.config import Config
from monitor.daemon.publisher import Publisher
from monitor.daemon.thread import WorkerThread
from monitor.daemon.waiting import within
from monitor.daemon.worker import Worker
from monitor.errors import StoreDamagedError, StoreError
from monitor.io.mqtt import Delivery, MqttLink
from monitor.plugins import Taken
from monitor.types import SECOND_NS, SampleBlock, Tick

_TICK_S = 1.0
# Time in which the process did not run (stopped, or the machine asleep) is no time without input: nobody listened.
_LONGEST_TICK_S = 10.0
_RETRY_S = 2.0

T = TypeVar("T")


class _Span:
    """For how long (s) at least one delivery of a source has been under way."""

    def __init__(self) -> None:
        self._count = 0
        self._since = self._sum = 0.0

    def seconds(self) -> float:
        return self._sum + (time.monotonic() - self._since if self._count else 0.0)

    def __enter__(self) -> None:
        if not self._count:
            self._since = time.monotonic()
        self._count += 1

    def __exit__(self, *_raised: object) -> None:
        self._count -= 1
        if not self._count:
            self._sum += time.monotonic() - self._since


class IntakeLoop:
    """Takes what the link delivers to the worker, and wakes the publisher.

    Parameters
    ----------
    config : Config
    link : MqttLink
    worker : Worker
    thread : WorkerThread
        Where the worker works.
    publisher : Publisher
    note : callable
        Hears of a concern what keeps it from being stored, and None once it is stored.
    """

    def __init__(
        self,
        config: Config,
        link: MqttLink,
        worker: Worker,
        thread: WorkerThread,
        publisher: Publisher,
        note: Callable[[str, str | None], None],
    ) -> None:
        self._config = config
        self._link = link
        self._worker = worker
        self._thread = thread
        self._publisher = publisher
        self._note = note
        # One delivery at a time goes all the way, whoever brought it: the order of commits is a promise.
        self._turn = asyncio.Lock()
        self._deliveries = _Span()
        self._in_hand: set[asyncio.Task[Taken]] = set()
        self._fault: StoreDamagedError | None = None
        self._stopping = asyncio.Event()
        self.turns = 0
        """How often the loop has gone round; attempts to store count, for a full disk is no standstill."""
        self.awaits_worker = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Receive, store, acknowledge, compute until `stopping` is set; what is in hand is finished."""
        self._stopping = stopping
        intake = self._config.intake
        # With a whole window unacknowledged the broker sends no more, however long one waits.
        whole = min(intake.queue_messages, self._config.mqtt.receive_maximum)
        idle_s = 0.0
        while not stopping.is_set():
            self.turns += 1
            if self._fault is not None:
                raise self._fault
            begin, handed_s = time.monotonic(), self._deliveries.seconds()
            deliveries = await self._link.receive(intake.queue_messages, _TICK_S)
            if deliveries and len(deliveries) < whole:
                # Stations send at the top of the second: a little patience makes one commit of many.
                await asyncio.sleep(intake.batch_s)
                if self._link.waiting:
                    deliveries += await self._link.receive(intake.queue_messages, 0.0)
            # What sources handed over meanwhile was input, and the time it took no waiting.
            waited_s = time.monotonic() - begin - (self._deliveries.seconds() - handed_s)
            idle_s += min(max(0.0, waited_s), _LONGEST_TICK_S)
            if idle_s >= _TICK_S:
                async with self._turn:
                    await self._compute(Tick(round(idle_s * SECOND_NS)), stopping)
                idle_s = 0.0
            if deliveries:
                async with self._turn:
                    await self._handle(deliveries, stopping)

    async def take(self, source: str, items: Sequence[object], position: str | None) -> Taken:
        """Take what a source hands over (messages or blocks, and how far it is as JSON), and return when it is stored.

        A caller that is cancelled meanwhile leaves the delivery to be finished. Raises StoreError where the run ends
        before it could be stored.
        """
        task = asyncio.create_task(self._hand_over(source, items, position), name=f"delivery of {source}")
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait for what sources have handed over."""
        await asyncio.gather(*self._in_hand, return_exceptions=True)

    async def _hand_over(self, source: str, items: Sequence[object], position: str | None) -> Taken:
        with self._deliveries:
            async with self._turn:
                if self._stopping.is_set():
                    raise StoreError("the run ends: nothing more is taken in")
                try:
                    return await self._handed(source, items, position)
                except StoreDamagedError as error:
                    self._fault = error
                    raise

    async def _handed(self, source: str, items: Sequence[object], position: str | None) -> Taken:
        taken = await self._in_thread(self._worker.take_from, source, items, position)
        blocks = await self._persist("samples", self._store_again, self._stopping)
        if blocks is None:
            raise StoreError("the run ends, and what was brought could not be stored")
        if blocks:
            await self._compute(blocks, self._stopping)
        return taken

    async def _handle(self, deliveries: list[Delivery], stopping: asyncio.Event) -> None:
        messages = [delivery.message for delivery in deliveries]
        try:
            blocks = await self._in_thread(self._worker.take, messages)
        except StoreDamagedError:
            raise
        except StoreError as error:
            self._note("samples", f"samples cannot be stored: {error}")
            again = await self._persist("samples", self._store_again, stopping)
            if again is None:
                return
            blocks = again
        self._link.acknowledge(deliveries)
        if blocks:
            await self._compute(blocks, stopping)

    def _store_again(self) -> list[SampleBlock]:
        return self._worker.take([])

    async def _compute(self, items: list[SampleBlock] | Tick, stopping: asyncio.Event) -> None:
        await self._in_thread(self._worker.compute, items)
        # Nothing more comes in while products cannot be stored: neither messages nor time.
        if await self._persist("products", self._worker.commit, stopping):
            self._publisher.wake()

    async def _persist(self, concern: str, call: Callable[[], T], stopping: asyncio.Event) -> T | None:
        """Call in the worker thread until the store takes it; None when the run ends before.

        A damaged store ends the run: trying again cannot help, the next start can.
        """
        while True:
            self.turns += 1
            try:
                result = await self._in_thread(call)
            except StoreDamagedError:
                raise
            except StoreError as error:
                self._note(concern, f"{concern} cannot be stored: {error}")
            else:
                self._note(concern, None)
                return result
            if await within(stopping.wait(), _RETRY_S):
                return None

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        self.awaits_worker = True
        try:
            return await self._thread.call(call, *arguments)
        finally:
            self.awaits_worker = False
