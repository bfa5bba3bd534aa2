"""Learned models that are plugins: `models` names one that is switched on, in the place of a folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from monitor.config import Config
from monitor.errors import ModelError
from monitor.plugins.registry import Registry
from monitor.plugins.surroundings import surroundings_of

if TYPE_CHECKING:
    # Their libraries take a second to import, in every process of a plugin.
    from monitor.models.flr import FlrModel
    from monitor.models.region import RegionModel


class ModelPlugin(Protocol):
    """What a plugin of kind model is: it gives a model of the kind that the configuration names it for."""

    def model(self) -> FlrModel | RegionModel:
        """The model; ModelError where it cannot be used."""
        ...


PluggedModels: TypeAlias = Callable[[str], object | None]
"""From a text under `models` to the model that a plugin of this name gives; None where none has it."""


def plugged_models(config: Config, registry: Registry) -> PluggedModels:
    """The models of plugins that a configuration switches on; each is made when it is asked for.

    What is returned raises PluginError where a plugin cannot be made, and ModelError where its model cannot be used.
    """

    def model(name: str) -> object | None:
        entry = config.plugins.get(name)
        if entry is None or entry.kind != "model":
            return None
        plugin = registry.make("model", entry.plugin, entry.options, surroundings_of(config, name))
        try:
            found: object = plugin.model()
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                name, f"the plugin {entry.plugin} gave none: {type(error).__name__}: {error}"
            ) from error
        return found

    return model


def no_plugged_models(_name: str) -> None:
    """There are none."""
