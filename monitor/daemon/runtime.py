"""The daemon: tasks, queues and the only clocks. It owns what the stages must not know.

::

    broker → MqttLink → intake loop → [worker thread: decode, store] → acknowledge
                                    → [worker thread: stages, commit] → outbox → publisher → broker
    worker → metrics → HTTP
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from monitor import __version__
from monitor.config import Config
from monitor.daemon.publisher import Publisher
from monitor.daemon.worker import Worker
from monitor.errors import BrokerUnavailable, MonitorError, StoreError
from monitor.io.broker import LocalBroker
from monitor.io.http import HttpServer
from monitor.io.metrics import Metrics
from monitor.io.mqtt import Delivery, MqttLink, MqttSettings, Will
from monitor.io.store import Store
from monitor.types import SECOND_NS, Json, Product, Tick, iso_time

logger = logging.getLogger(__name__)

_TICK_S = 1.0
_RETRY_S = 5.0
_PRUNE_S = 30.0
_DRAIN_S = 5.0
# Long numpy calls in the worker thread give the loop a turn this often.
_SWITCH_S = 0.0005
_ENVELOPE_BYTES = 65_536

T = TypeVar("T")


class Daemon:
    """Runs one monitor until it is stopped.

    Parameters
    ----------
    config : Config
    on_product : callable, optional
        Called in the worker thread with every product once it is committed (the demo prints them).
    on_ready : callable, optional
        Called once with the address of the HTTP server when everything is up.
    """

    def __init__(
        self,
        config: Config,
        *,
        on_product: Callable[[Product], None] | None = None,
        on_ready: Callable[[str], None] | None = None,
    ) -> None:
        self._config = config
        self._on_product = on_product
        self._on_ready = on_ready
        self._stop = asyncio.Event()
        self._degraded: str | None = None
        self._started_ns = time.time_ns()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker")
        self._metrics = Metrics([entry.decoder for entry in config.inputs])
        self._store: Store
        self._link: MqttLink
        self._worker: Worker
        self._publisher: Publisher

    def stop(self) -> None:
        """End the run: finish what is in hand, say goodbye, close (call it on the loop)."""
        self._stop.set()

    async def run(self) -> None:
        """Run until `stop`.

        Raises
        ------
        MonitorError
            The store cannot be opened, the HTTP port is taken, or a secret cannot be read.
        """
        sys.setswitchinterval(_SWITCH_S)
        password = self._config.mqtt.read_password()
        async with AsyncExitStack() as stack:
            stack.callback(self._thread.shutdown)
            self._store = await self._in_thread(self._open_store)
            stack.callback(self._store.close)
            self._worker = Worker(self._config, self._store, self._metrics, self._on_product)
            await self._in_thread(self._worker.restore)
            broker = await self._own_broker(stack)
            settings = MqttSettings.from_config(
                self._config.mqtt,
                None if password is None else password.get_secret_value(),
                url=None if broker is None else broker.url,
                maximum_packet_bytes=self._config.intake.maximum_payload_bytes + _ENVELOPE_BYTES,
            )
            if broker is not None:
                settings = replace(settings, protocol=broker.protocol)
            self._link = self._new_link(settings)
            self._publisher = Publisher(self._store, self._link, self._config.outputs.root)
            http = HttpServer(
                self._config.http.listen, metrics=self._metrics.render, ready=self._ready, status=self._status
            )
            await http.start()
            stack.push_async_callback(http.stop)
            # What lives from here on is not searched again by the garbage collector, which takes 60 ms.
            gc.collect()
            gc.freeze()
            logger.info(
                "running: broker %s, HTTP %s, store %s", settings.url, http.url, self._config.store.path
            )
            if self._on_ready is not None:
                self._on_ready(http.url)
            await self._run_tasks()

    async def _run_tasks(self) -> None:
        link = asyncio.create_task(self._link.run(), name="link")
        others = [
            asyncio.create_task(self._publisher.run(), name="publisher"),
            asyncio.create_task(self._keep_house(), name="housekeeping"),
        ]
        intake = asyncio.create_task(self._take_in(), name="intake")
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait([link, intake, stopped, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop.set()
            ended = await asyncio.gather(*_cancelled([stopped, *others]), return_exceptions=True)
            results = [*ended, *await asyncio.gather(intake, return_exceptions=True)]
            await self._in_thread(self._worker.save)
            await self._publisher.drain(_DRAIN_S)
            await self._say_goodbye()
            results += await asyncio.gather(*_cancelled([link]), return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _take_in(self) -> None:
        """Receive, store, acknowledge, compute; and let time pass while nothing comes."""
        batch, wait_s = self._config.intake.queue_messages, self._config.intake.batch_s
        idle_s = 0.0
        while not self._stop.is_set():
            begin = time.monotonic()
            deliveries = await self._link.receive(batch, _TICK_S)
            idle_s += time.monotonic() - begin
            if idle_s >= _TICK_S:
                await self._compute(Tick(round(idle_s * SECOND_NS)))
                idle_s = 0.0
            if deliveries:
                await self._handle(deliveries)
                if len(deliveries) < batch:
                    # Stations send at the top of the second: a little patience makes one commit of many.
                    await asyncio.sleep(wait_s)
                    idle_s += wait_s

    async def _handle(self, deliveries: list[Delivery]) -> None:
        while True:
            try:
                blocks = await self._in_thread(
                    self._worker.take, [delivery.message for delivery in deliveries]
                )
                break
            except StoreError as error:
                self._degrade(f"samples cannot be stored: {error}")
                await asyncio.sleep(_RETRY_S)
                if self._stop.is_set():
                    return
        self._recover()
        self._link.acknowledge(deliveries)
        if blocks:
            await self._compute(blocks)

    async def _compute(self, items: object) -> None:
        try:
            if await self._in_thread(self._worker.compute, items):
                self._publisher.wake()
        except StoreError as error:
            self._degrade(f"products cannot be stored: {error}")

    async def _keep_house(self) -> None:
        """Keep the gauges true, forget what is too old."""
        pruned = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            await self._in_thread(self._update_metrics)
            if time.monotonic() - pruned > _PRUNE_S:
                pruned = time.monotonic()
                try:
                    while await self._in_thread(self._store.prune):
                        pass
                except StoreError as error:
                    self._degrade(f"the store cannot be pruned: {error}")

    def _update_metrics(self) -> None:
        pipeline = self._worker.pipeline
        now = time.time_ns()
        for source, clock in pipeline.source_clocks.items():
            self._metrics.source_lag(source, (now - clock) / SECOND_NS)
        self._metrics.expire(pipeline.product_clocks.get)
        self._metrics.queue_depth("intake", self._link.waiting)
        self._metrics.queue_depth("outbox", self._publisher.waiting)

    async def _own_broker(self, stack: AsyncExitStack) -> LocalBroker | None:
        """Start the broker of an `embedded://` configuration; None where the configuration names one."""
        if not self._config.mqtt.is_embedded:
            return None
        directory = Path(self._config.store.path).parent / "broker"
        directory.mkdir(parents=True, exist_ok=True)
        return await stack.enter_async_context(LocalBroker(directory, self._config.mqtt.port or None))

    def _new_link(self, settings: MqttSettings) -> MqttLink:
        root = self._config.outputs.root
        return MqttLink(
            settings,
            subscriptions=[topic for entry in self._config.inputs for topic in entry.filters],
            will=Will(f"{root}/status", self._status_object("offline"), retain=True),
            queue_size=self._config.intake.queue_messages,
            on_connection=self._on_connection,
        )

    def _on_connection(self, connected: bool, where: str) -> None:
        self._metrics.mqtt_connected(connected)
        if connected:
            self._publisher.wake()
            self._greeting = asyncio.create_task(self._greet(), name="greeting")

    async def _greet(self) -> None:
        """Say that we are there; the will may have said otherwise."""
        await self._say("status", self._status_object("online"))
        await self._clear_removed()

    async def _clear_removed(self) -> None:
        """Subjects that are no longer configured leave no retained message behind."""
        names = {pair.name for pair in self._config.pair_list}
        stations = {code for pair in self._config.pair_list for code in pair.stations}
        for kind, present in (("flr", names), ("health", stations)):
            stored = await asyncio.to_thread(self._store.latest, kind)
            for subject in stored.keys() - present:
                await self._say(f"{kind}/{subject}", b"")

    async def _say_goodbye(self) -> None:
        await self._say("status", self._status_object("offline"))

    async def _say(self, topic: str, payload: bytes) -> None:
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._link.publish(f"{self._config.outputs.root}/{topic}", payload, retain=True)
        except (BrokerUnavailable, TimeoutError):
            logger.debug("could not publish %s: the connection is down", topic)

    def _status_object(self, state: str) -> bytes:
        document = {
            "schema": "geospace/status/1",
            "state": state,
            "version": __version__,
            "started": iso_time(self._started_ns // SECOND_NS * SECOND_NS),
            "models": {"flr": "physical/1"},
        }
        return json.dumps(document).encode()

    def _ready(self) -> tuple[bool, list[str]]:
        reasons = []
        if not self._link.connected:
            reasons.append("the broker is not connected")
        if self._degraded is not None:
            reasons.append(self._degraded)
        return not reasons, reasons

    def _status(self) -> Json:
        pipeline = self._worker.pipeline
        ready, reasons = self._ready()
        health = pipeline.health_states
        latest = self._store.latest("flr")
        return {
            "schema": "geospace/status/1",
            "state": "online" if ready else "degraded",
            "reasons": reasons,
            "version": __version__,
            "started": iso_time(self._started_ns // SECOND_NS * SECOND_NS),
            "models": {"flr": "physical/1"},
            "mqtt_connected": self._link.connected,
            "queues": {"intake": self._link.waiting, "outbox": self._publisher.waiting},
            "store_bytes": self._store.size_bytes(),
            "rejected": dict(self._worker.rejected),
            "too_late_samples": pipeline.too_late_samples,
            "sources": {
                source: {"last_sample": iso_time(clock), "health": health.get(source)}
                for source, clock in sorted(pipeline.source_clocks.items())
            },
            "pairs": {pair.name: latest.get(pair.name) for pair in self._config.pair_list},
        }

    def _open_store(self) -> Store:
        hours = self._config.store
        kept = hours.product_retention_h
        return Store.open(
            Path(hours.path),
            retention_ns=round(hours.retention_h * 3600 * SECOND_NS),
            product_retention_ns=None if kept is None else round(kept * 3600 * SECOND_NS),
        )

    def _degrade(self, reason: str) -> None:
        if reason != self._degraded:
            logger.error("degraded: %s", reason)
        self._degraded = reason

    def _recover(self) -> None:
        if self._degraded is not None:
            logger.info("recovered from: %s", self._degraded)
            self._degraded = None

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)


def _cancelled(tasks: list[asyncio.Task[T]]) -> list[asyncio.Task[T]]:
    for task in tasks:
        task.cancel()
    return tasks


__all__ = ["Daemon", "MonitorError"]
