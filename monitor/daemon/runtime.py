"""The daemon: tasks, queues and the only clocks. It owns what the stages must not know.

::

    broker → MqttLink → intake loop → [worker thread: decode, store] → acknowledge
                                    → [worker thread: stages, commit] → outbox → publisher → broker
    worker → metrics → HTTP
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from monitor.config import Config, with_shadows
from monitor.daemon.health import Part
from monitor.daemon.house import Housekeeping
from monitor.daemon.injection import Injection
from monitor.daemon.intake import IntakeLoop
from monitor.daemon.lasting import Lasting
from monitor.daemon.link import Filters, open_link, own_broker
from monitor.daemon.offering import http_server, offered
from monitor.daemon.plugged import Plugged
from monitor.daemon.publisher import Publisher
from monitor.daemon.reading import Reading
from monitor.daemon.standing import plugin_pages
from monitor.daemon.status import status_line, status_message, status_page
from monitor.daemon.thread import WorkerThread
from monitor.daemon.waiting import end, within
from monitor.daemon.worker import Worker
from monitor.errors import StoreError
from monitor.io.http import HttpServer
from monitor.io.http.offer import Offer
from monitor.io.mqtt import MqttLink
from monitor.io.store import Store
from monitor.models.base import ModelInfo
from monitor.plugins import Registry, installed
from monitor.types import SECOND_NS, Json, Product, iso_time

logger = logging.getLogger(__name__)

_DRAIN_S = 5.0
# What is bounded by its own time limits at the end takes no longer than this in all.
_GOODBYE_S = 30.0
# A link that waits before its next attempt, or a publication whose time-out is over, is looked at a little later.
_GRACE_S = 60.0
# Long numpy calls in the worker thread give the loop a turn this often.
_SWITCH_S = 0.0005

T = TypeVar("T")


class Daemon:
    """Runs one monitor, with one configuration, until it is stopped.

    Parameters
    ----------
    config : Config
    lasting : Lasting, optional
        What it takes over from the run before; by default everything begins here.
    on_product : callable, optional
        Called on the loop with every product once it is committed (the demo prints them).
    on_ready : callable, optional
        Called once with the address of the HTTP server when everything is up.
    registry : Registry, optional
        Makes the plugins; by default from what is installed.
    """

    def __init__(
        self,
        config: Config,
        *,
        lasting: Lasting | None = None,
        on_product: Callable[[Product], None] | None = None,
        on_ready: Callable[[str], None] | None = None,
        registry: Registry | None = None,
    ) -> None:
        self._registry = installed(config.isolation) if registry is None else registry
        self._config = config = with_shadows(config)
        self._on_product = on_product
        self._on_ready = on_ready
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._owns_lasting = lasting is None
        self._lasting = lasting = Lasting() if lasting is None else lasting
        self._started_ns = lasting.started_ns
        self._metrics, self._degradation = lasting.metrics, lasting.degradation
        self._degradation.begin()
        self._metrics.expect_decoders(entry.decoder for entry in config.inputs)
        self._thread = WorkerThread()
        self._metrics.degraded("start", degraded=True)
        self._metrics.degraded("broker", degraded=True)
        # While it is not up, HTTP answers already, and nothing but the store and the metrics is there.
        self._loaded = self._up = self._saved = False
        self.phase = "opening the store"
        """What is going on at the start and at the end, in words; empty between them."""
        self._models: tuple[ModelInfo, ...] = ()
        self._store: Store
        self._link: MqttLink
        self._filters: Filters
        self._worker: Worker
        self._publisher: Publisher
        self._house: Housekeeping
        self._intake: IntakeLoop
        self._injection: Injection
        self._plugged: Plugged

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
        self._loop = asyncio.get_running_loop()
        self._config.mqtt.read_password()  # a fault of it is told at the start; each connection reads it anew
        async with AsyncExitStack() as stack:
            if self._owns_lasting:
                stack.push_async_callback(self._lasting.close)
            # Whatever ends the run: the thread is through with the store before it is closed.
            stack.callback(self._registry.close)
            stack.callback(self._thread.shutdown)
            stack.callback(self._stop.set)
            stores = self._config.store
            self._store = await self._lasting.store.take(stores, stores.path, self._open_store)
            self._lasting.answers = self
            self._metrics.store_size(self._store.size_bytes(), self._store.free_bytes())
            # The links in events need the real port; and whoever asks meanwhile hears that we are alive.
            listens = self._config.http
            http = await self._lasting.http.take(listens, listens.listen, self._open_http)
            self.phase = "loading the models"
            self._worker = await self._in_thread(self._load_worker, http.url)
            self._models = self._worker.pipeline.models
            self._metrics.models(self._models)
            missing = self._worker.pipeline.missing_models
            self._metrics.models_missing({kind: kind in missing for kind in ("flr", "region")})
            for kind, reason in missing.items():
                self._note(f"model_{kind}", reason)
            self._loaded, self.phase = True, "taking up the last run"
            if not await self._in_thread(self._worker.restore, self._stop.is_set):
                return
            broker = await own_broker(self._config, self._lasting.broker)
            self._filters = Filters(self._config, self._store)
            self._link, settings = open_link(
                self._config,
                broker,
                self._filters,
                await self._in_thread(self._filters.former),
                will=status_message(self._started_ns, "offline", self._models),
                on_connection=self._on_connection,
            )
            self._metrics.link(self._link.reading)
            self._publisher = Publisher(
                self._store,
                self._link,
                self._config.outputs.root,
                online=status_message(self._started_ns, "online", self._models),
                offline=status_message(self._started_ns, "offline", self._models),
                on_fault=lambda reason: self._note("outbox", reason),
            )
            self._intake = IntakeLoop(
                self._config, self._link, self._worker, self._thread, self._publisher, self._note
            )
            self._plugged = await self._in_thread(
                Plugged, self._config, self._registry, self._metrics.plugins
            )
            self._injection = Injection(self._config, settings, self._metrics)
            self._house = Housekeeping(
                config=self._config,
                worker=self._worker,
                thread=self._thread,
                store=self._store,
                link=self._link,
                publisher=self._publisher,
                filters=self._filters,
                plugged=self._plugged,
                metrics=self._metrics,
                degradation=self._degradation,
            )
            await self._in_thread(self._house.observe)
            self._up, self.phase = True, ""
            self._metrics.degraded("start", degraded=False)
            # What lives from here on is not searched again by the garbage collector, which takes 60 ms.
            gc.collect()
            gc.freeze()
            stack.callback(gc.unfreeze)
            logger.info(
                "running: broker %s, HTTP %s, store %s", settings.url, http.url, self._config.store.path
            )
            if self._on_ready is not None:
                self._on_ready(http.url)
            await self._run_tasks()

    @property
    def summary(self) -> str:
        """How it stands, in a line."""
        return self.phase or status_line(
            self._config,
            self._house.reading,
            connected=self._link.connected,
            reasons=self._degradation.reasons,
        )

    def parts(self) -> Mapping[str, Part]:
        """What has to go round at present, for whoever watches over it (decision 0022)."""
        if self._saved:
            # All that is left waits no longer than its own time limits.
            return {"end": Part(lambda: "saved", _GOODBYE_S)}
        if not self._loaded:
            # To check or mend a large store is one long call of SQLite.
            return {"worker": Part(lambda: self._thread.effort)}
        worker = Part(lambda: self._thread.turns)
        if self.phase:
            return {"worker": worker}
        mqtt = self._config.mqtt
        parts = {
            "worker": worker,
            # What it waits for in the thread is the thread's to answer for.
            "intake": Part(lambda: (self._intake.turns, self._intake.awaits_worker and self._thread.turns)),
            "link": Part(lambda: self._link.turns, mqtt.reconnect.maximum_s + _GRACE_S),
        }
        if mqtt.publish_timeout_s:
            parts["publisher"] = Part(lambda: self._publisher.turns, mqtt.publish_timeout_s + _GRACE_S)
        return parts

    async def _run_tasks(self) -> None:
        """Run all tasks until `stop`, or until one fails; then end them in the order of the data."""
        link = asyncio.create_task(self._link.run(), name="link")
        publisher = asyncio.create_task(self._publisher.run(), name="publisher")
        house = asyncio.create_task(self._house.run(), name="housekeeping")
        intake = asyncio.create_task(self._intake.run(self._stop), name="intake")
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        # Its end is nobody's end: it is not among the tasks that the daemon stands and falls with.
        injection = asyncio.create_task(self._injection.run(), name="injection")
        tasks = [link, publisher, house, intake]
        self._plugged.start(self._intake, self._worker, self._store)
        try:
            await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop.set()
            self.phase = "finishing what is in hand"
            await end(injection)
            await end(house)
            await self._plugged.end_sources()
            # The intake ends by itself, after the batch in hand; the publisher after what that gave.
            await asyncio.gather(intake, return_exceptions=True)
            await self._intake.finish()
            await self._save()
            self._saved, self.phase = True, "sending what is finished"
            sinks = asyncio.create_task(self._plugged.end_sinks(), name="end of the sinks")
            self._publisher.stop()
            await asyncio.wait([publisher], timeout=_DRAIN_S)
            await end(publisher)
            await self._say_goodbye()
            await end(link)
            await sinks
            await end(stopped)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                logger.error("%s failed, and the daemon with it", task.get_name())
                raise error

    async def _open_http(self, stack: AsyncExitStack) -> HttpServer:
        http = http_server(self._config.http, self._metrics, self._lasting)
        await http.start()
        stack.push_async_callback(http.stop)
        # Streams have no end of their own.
        stack.callback(self._lasting.stream.close)
        return http

    def _on_connection(self, connected: bool, _where: str) -> None:
        self._metrics.degraded("broker", degraded=not connected)
        if connected:
            self._publisher.greet()

    async def _save(self) -> None:
        try:
            await self._in_thread(lambda: self._worker.commit(at_once=True))
        except StoreError as error:
            logger.error("the last state is not stored (%s); the next run computes it again", error)

    async def _say_goodbye(self) -> None:
        if not await within(self._publisher.say_goodbye(), _DRAIN_S):
            logger.info("the broker does not answer: it will say itself that we are gone")

    def ready(self) -> tuple[bool, list[str]]:
        """Whether it is ready, and the reasons when it is not."""
        if not self._up:
            return False, ["the last run is being taken up"]
        reasons = [] if self._link.connected else ["the broker is not connected"]
        reasons += self._degradation.reasons
        return not reasons, reasons

    def event(self, update_id: str) -> Json | None:
        """The newest update of the event that has this update; None where there is none. Raises StoreError."""
        return self._store.event(update_id)

    def beat(self) -> Json:
        """What the page hears every few seconds."""
        return {
            "ready": not self.ready()[1],
            "as_of": iso_time(self._house.reading.read_ns) if self._up else None,
        }

    def offer(self) -> Offer:
        """What is offered of the store under `/api` and `/hapi`."""
        return offered(self._config)

    def status(self) -> Json:
        """The object of `/api/status`."""
        return status_page(
            self._config,
            self._house.reading if self._up else Reading(),
            started_ns=self._started_ns,
            reasons=self.ready()[1],
            connected=self._up and self._link.connected,
            held_back=self._up and self._link.held_back,
            queues=self._queues() if self._up else {},
            store_bytes=self._store.size_bytes(),
            store_free_bytes=self._store.free_bytes(),
            models=self._models,
            missing=self._worker.pipeline.missing_models if self._up else {},
            stale=self._metrics.is_stale,
            injection=self._injection.page() if self._up else {},
            plugins=plugin_pages(self._config.plugins, self._house.standing(), self._plugged.pages())
            if self._up
            else {},
        )

    def _queues(self) -> dict[str, int]:
        return {
            "intake": self._link.waiting,
            "unacknowledged": self._link.reading().unacknowledged,
            "outbox": self._publisher.waiting,
        }

    def _load_worker(self, url: str) -> Worker:
        config = self._config.with_public_url(url)
        return Worker(
            config,
            self._store,
            self._metrics,
            self._committed,
            on_step=self._thread.step,
            registry=self._registry,
        )

    def _committed(self, product: Product, payload: bytes) -> None:
        """Pass a committed product from the worker thread to the loop."""
        self._loop.call_soon_threadsafe(self._tell, product, payload)

    def _tell(self, product: Product, payload: bytes) -> None:
        """Tell whoever watches that a product was committed."""
        self._lasting.stream.tell_product(product, payload)
        if self._on_product is not None:
            self._on_product(product)

    async def _open_store(self, stack: AsyncExitStack) -> Store:
        hours = self._config.store
        kept = hours.product_retention_h
        store = await self._in_thread(
            lambda: Store.open(
                Path(hours.path),
                retention_ns=round(hours.retention_h * 3600 * SECOND_NS),
                product_retention_ns=None if kept is None else round(kept * 3600 * SECOND_NS),
                spectra_retention_ns=round(hours.spectra_retention_h * 3600 * SECOND_NS),
            )
        )
        stack.callback(store.close)
        return store

    def _note(self, concern: str, reason: str | None) -> None:
        self._degradation.note(concern, reason)

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await self._thread.call(call, *arguments)
