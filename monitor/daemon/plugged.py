"""The sources and sinks of a run: made, begun, ended, and asked how they stand."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from monitor.config import Config
from monitor.daemon.intake import IntakeLoop
from monitor.daemon.sinks import SinkTask
from monitor.daemon.sources import SourceTask
from monitor.daemon.upkeep import Patience
from monitor.daemon.worker import Worker
from monitor.errors import PluginError
from monitor.io.metrics import PluginMetrics
from monitor.io.store import Store
from monitor.plugins import Registry, surroundings_of
from monitor.types import Json, Standing

logger = logging.getLogger(__name__)


class Plugged:
    """The sources and sinks that a configuration switches on.

    One that cannot be made is off, and costs the others nothing.

    Parameters
    ----------
    config : Config
    registry : Registry
    metrics : PluginMetrics
    patience : Patience, optional
    """

    def __init__(
        self, config: Config, registry: Registry, metrics: PluginMetrics, patience: Patience | None = None
    ) -> None:
        self._metrics = metrics
        metrics.keep_only({*config.plugins, *(entry.decoder for entry in config.inputs)})
        self._patience = Patience() if patience is None else patience
        self._entries = {
            name: entry for name, entry in config.plugins.items() if entry.kind in ("source", "sink")
        }
        self._made: dict[str, Any] = {}
        self._off: dict[str, Standing] = {}
        self._sources: dict[str, SourceTask] = {}
        self._sinks: dict[str, SinkTask] = {}
        for name, entry in self._entries.items():
            try:
                surroundings = surroundings_of(config, name)
                self._made[name] = registry.make(entry.kind, entry.plugin, entry.options, surroundings)
            except PluginError as error:
                logger.error("%s %s is off: %s", entry.kind, name, error)
                metrics.failed(name, entry.kind)
                metrics.up(name, entry.kind, up=False)
                self._off[name] = Standing("off", str(error), time.time_ns())

    def start(self, intake: IntakeLoop, worker: Worker, store: Store) -> None:
        """Begin all that could be made (call it on the loop)."""
        for name, plugin in self._made.items():
            entry = self._entries[name]
            if entry.kind == "source":
                self._sources[name] = SourceTask(
                    name, entry.plugin, plugin, intake, worker, store, self._metrics, patience=self._patience
                )
            else:
                self._sinks[name] = SinkTask(
                    name, entry.plugin, plugin, entry.begin, store, self._metrics, patience=self._patience
                )
        for source in self._sources.values():
            source.start()
        for sink in self._sinks.values():
            sink.start()

    async def end_sources(self) -> None:
        """End what brings samples."""
        await asyncio.gather(*(source.end() for source in self._sources.values()))

    async def end_sinks(self) -> None:
        """End what takes products."""
        await asyncio.gather(*(sink.end() for sink in self._sinks.values()))

    def pruned(self, kind: str, rows: Sequence[int]) -> None:
        """Tell the sinks that products are gone from the store."""
        for sink in self._sinks.values():
            sink.pruned(kind, rows)

    def observe(self) -> None:
        """Count what waits for the sinks (in a thread)."""
        for sink in self._sinks.values():
            sink.observe()

    def standing(self) -> Mapping[str, Standing]:
        """How they stand, by name."""
        tasks: dict[str, SourceTask | SinkTask] = {**self._sources, **self._sinks}
        return self._off | {name: task.upkeep.standing for name, task in tasks.items()}

    def pages(self) -> Mapping[str, Json]:
        """What `/api/status` says of each beside how it stands."""
        tasks: dict[str, SourceTask | SinkTask] = {**self._sources, **self._sinks}
        return {name: task.page() for name, task in tasks.items()}
