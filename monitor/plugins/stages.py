"""The stages that a configuration adds to the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from monitor.config import Config
from monitor.errors import PluginError
from monitor.plugins.registry import Registry
from monitor.plugins.surroundings import surroundings_of
from monitor.stages.base import ProductStage
from monitor.stages.checking import faulty_kinds


def added_stages(
    config: Config,
    registry: Registry,
    on_error: Callable[[str, PluginError], None] | None = None,
    *,
    only_check: bool = False,
) -> dict[str, ProductStage]:
    """The stages among the plugins of a configuration, newly made, by their names there.

    Parameters
    ----------
    config : Config
    registry : Registry
    on_error : callable, optional
        Told of each that is left out, with its name and why; without it the error is raised.
    only_check : bool
        Whether they are not to be used: none gets a folder then.

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
            surroundings = surroundings_of(config, name)
            if only_check:
                surroundings = replace(surroundings, folder=None)
            stage: ProductStage = registry.make("stage", entry.plugin, entry.options, surroundings)
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


def unusable_stages(config: Config, registry: Registry) -> dict[tuple[str | int, ...], str]:
    """Why stages that a configuration adds cannot be used beside the others, by the place where it names them."""
    found: dict[tuple[str | int, ...], str] = {}

    def left_out(name: str, error: PluginError) -> None:
        found["plugins", name] = str(error)

    try:
        added_stages(config, registry, left_out, only_check=True)
    finally:
        registry.close()
    return found


def _clash(stage: ProductStage, others: dict[str, ProductStage]) -> str | None:
    for name, other in others.items():
        common = sorted(stage.kinds & other.kinds)
        if common:
            return f"its products are of the kind {common[0]}, and so are those of {name}: switch one of them off"
    return None
