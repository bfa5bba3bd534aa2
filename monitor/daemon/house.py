"""Housekeeping: gauges and status are kept true, and what is too old is forgotten."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from monitor.config import Config
from monitor.daemon.degradation import Degradation
from monitor.daemon.link import Filters
from monitor.daemon.plugged import Plugged
from monitor.daemon.publisher import Publisher
from monitor.daemon.reading import Reading
from monitor.daemon.standing import plugin_reasons
from monitor.daemon.thread import WorkerThread
from monitor.daemon.waiting import patiently
from monitor.daemon.worker import Worker
from monitor.errors import StoreDamagedError, StoreError
from monitor.io.metrics import Metrics
from monitor.io.mqtt import MqttLink
from monitor.io.store import Store
from monitor.types import SECOND_NS, Kind, Standing, iso_time

_TICK_S = 1.0
# The worker thread that answers no sooner hangs, or has more to do than it can.
_BUSY_S = 60.0
_PRUNE_S = 30.0
# Data that come at many times real time are pruned as often as they move by this part of their retention.
_PRUNE_PARTS = 24


@dataclass(slots=True, kw_only=True)
class Housekeeping:
    """Looks at the other parts of a run once a second; `reading` is what it saw of the worker."""

    config: Config
    worker: Worker
    thread: WorkerThread
    store: Store
    link: MqttLink
    publisher: Publisher
    filters: Filters
    plugged: Plugged
    metrics: Metrics
    degradation: Degradation
    reading: Reading = field(default_factory=Reading)

    async def run(self) -> None:
        """Keep house until cancelled. Raises StoreDamagedError."""
        pruned, pruned_ns = time.monotonic(), self._newest_ns()
        step_ns = round(self.config.store.retention_h * 3600 * SECOND_NS / _PRUNE_PARTS)
        note = self.degradation.note
        while True:
            await asyncio.sleep(_TICK_S)
            self.metrics.tasks(len(asyncio.all_tasks()))
            await patiently(self.thread.call(self.observe), _BUSY_S, self._note_busy)
            note("worker", None)
            self.degradation.note_all("part_", self.reading.failing)
            self.degradation.note_all("plugin_", plugin_reasons(self.standing()))
            note("publishing", self.publisher.refused)
            note("silence", self.link.silent)
            if time.monotonic() - pruned > _PRUNE_S or self._newest_ns() - pruned_ns > step_ns:
                pruned, pruned_ns = time.monotonic(), self._newest_ns()
                await self._prune()

    def observe(self) -> None:
        """Take a reading, in the worker thread: nothing moves there meanwhile."""
        reading = self.worker.read()
        for source, clock in reading.source_clocks.items():
            self.metrics.source_clock(source, clock)
        self.metrics.expire(self.worker.pipeline.product_clocks.get)
        self.metrics.queue_depth("intake", self.link.waiting)
        self.metrics.queue_depth("outbox", self.publisher.waiting)
        self.metrics.store_size(self.store.size_bytes(), self.store.free_bytes())
        for name, stands in reading.plugins.items():
            entry = self.config.plugins.get(name)
            kind: Kind = "decoder" if entry is None else entry.kind
            self.metrics.plugins.up(name, kind, up=stands.state == "running")
        self.plugged.observe()
        self.reading = reading

    def standing(self) -> dict[str, Standing]:
        """How all plugins stand, by name."""
        return {**self.reading.plugins, **self.plugged.standing()}

    def _newest_ns(self) -> int:
        return max(self.reading.source_clocks.values(), default=0)

    async def _prune(self) -> None:
        try:
            # Bite by bite: between two of them the thread takes what has come in.
            while await self.thread.call(self.worker.compact) or await self.thread.call(
                self.store.prune, self.plugged.pruned
            ):
                pass
            if self.link.connected:
                await self.thread.call(self.filters.settled)
        except StoreDamagedError:
            raise
        except StoreError as error:
            self.degradation.note("retention", f"the store cannot be pruned: {error}")
        else:
            self.degradation.note("retention", None)

    def _note_busy(self, busy_s: float) -> None:
        since = iso_time((time.time_ns() // SECOND_NS - round(busy_s)) * SECOND_NS)
        reason = f"the worker thread has not answered since {since}: nothing new is said"
        self.degradation.note("worker", reason)
