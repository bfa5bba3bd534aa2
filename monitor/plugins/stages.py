"""The stages that a configuration adds to the pipeline."""

from __future__ import annotations

from collections.abc import Callable

from monitor.config import Config
from monitor.errors import PluginError
from monitor.plugins.registry import Registry
from monitor.plugins.surroundings import surroundings_of
from monitor.stages.base import ProductStage
from monitor.stages.checking import faulty_kinds


def added_stages(
    config: Config, registry: Registry, on_error: Callable[[str, PluginError], None] | None = None
) -> dict[str, ProductStage]:
    """The stages among the plugins of a configuration, newly made, by their names there.

    Parameters
    ----------
    config : Config
    registry : Registry
    on_error : callable, optional
        Told of each that is left out, with its name and why; without it the error is raised.

    Raises
    ------
    PluginError
        One cannot be made, or its products have a kind that is the monitor's own, or another stage's.
    """
    stages: dict[str, ProductStage] = {}
    for name, entry in config.plugins.items():
        if entry.kind != "stage":
            continue
        try:
            stage: ProductStage = registry.make(
                "stage", entry.plugin, entry.options, surroundings_of(config, name)
            )
            fault = faulty_kinds(stage.kinds) or _clash(stage, stages)
            if fault is not None:
                raise PluginError(entry.plugin, registry.find(entry.plugin).distribution, fault)
        except PluginError as error:
            if on_error is None:
                raise
            on_error(name, error)
        else:
            stages[name] = stage
    return stages


def _clash(stage: ProductStage, others: dict[str, ProductStage]) -> str | None:
    for name, other in others.items():
        common = sorted(stage.kinds & other.kinds)
        if common:
            return f"its products are of the kind {common[0]}, and so are those of {name}: switch one of them off"
    return None
