"""The stages that plugins add: made for each pipeline, and asked how they stand."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from monitor.config import Config
from monitor.errors import PluginError
from monitor.io.metrics import PluginMetrics
from monitor.pipeline.added import PREFIX
from monitor.plugins import Registry, added_stages
from monitor.stages.base import ProductStage
from monitor.types import Standing, State

logger = logging.getLogger(__name__)


class AddedStages:
    """Every method is called in the worker thread.

    Parameters
    ----------
    config : Config
    registry : Registry
    metrics : PluginMetrics
    """

    def __init__(self, config: Config, registry: Registry, metrics: PluginMetrics) -> None:
        self._config = config
        self._registry = registry
        self._metrics = metrics
        self._stages: dict[str, ProductStage] = {}
        self._standing: dict[str, Standing] = {}

    def make(self) -> Mapping[str, ProductStage]:
        """All of them, as new; those that were made before are ended. One that cannot be made is off."""
        for stage in self._stages.values():
            end = getattr(stage, "end", None)
            if end is not None:
                end()
        self._standing = {}
        self._stages = added_stages(self._config, self._registry, self._left_out)
        begun_ns = time.time_ns()
        self._standing |= {name: Standing("running", None, begun_ns) for name in self._stages}
        return self._stages

    def standing(self, failing: Mapping[str, str]) -> Mapping[str, Standing]:
        """How they stand, by name; `failing` are the lines of the pipeline about stages that raised."""
        for name, stage in self._stages.items():
            before, reason = self._standing[name], failing.get(f"{PREFIX}{name}")
            own: Standing | None = getattr(stage, "standing", None)
            if own is None:
                state: State = "running" if reason is None else "failed"
                since_ns = before.since_ns if before.state == state else time.time_ns()
                own = Standing(state, reason, since_ns)
            self._standing[name] = own
        return dict(self._standing)

    def _left_out(self, name: str, error: PluginError) -> None:
        logger.error("stage %s is off: %s", name, error)
        self._metrics.failed(name, "stage")
        self._standing[name] = Standing("off", str(error), time.time_ns())
