"""The learned models that a configuration names, and what stands in where one cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from monitor.config import Config
from monitor.errors import ModelError, PluginError
from monitor.models.flr import FlrModel, fitting, load_flr
from monitor.models.region import RegionModel, load_region
from monitor.pipeline.settings import spectral_settings
from monitor.plugins.models import PluggedModels, no_plugged_models

M = TypeVar("M")

_INSTEAD = {
    "flr": "the physical estimate is alone; put the model there, or set models.flr to auto or physical",
    "region": "spacecraft get no labels; put the model there, or set models.region to auto or none",
}


def flr_model(config: Config, plugged: PluggedModels = no_plugged_models) -> FlrModel | None:
    """The model of resonances that a configuration chooses; None where the physical estimate is to be alone.

    Raises
    ------
    ModelError, PluginError
        It cannot be used.
    """
    choice, settings = config.models.flr, spectral_settings(config)
    given = plugged(choice)
    if given is None:
        return load_flr(choice, settings)
    return fitting(_of_kind(given, FlrModel, choice), settings, choice)


def region_model(config: Config, plugged: PluggedModels = no_plugged_models) -> RegionModel | None:
    """The network of regions that a configuration chooses; None where there is to be none, or no spacecraft.

    Raises
    ------
    ModelError, PluginError
        It cannot be used.
    """
    if not config.craft:
        return None
    given = plugged(config.models.region)
    return (
        load_region(config.models.region)
        if given is None
        else _of_kind(given, RegionModel, config.models.region)
    )


def _of_kind(given: object, wanted: type[M], name: str) -> M:
    if not isinstance(given, wanted):
        raise ModelError(name, f"expected a {wanted.__name__} of the plugin, found {type(given).__name__}")
    return given


def loaded(kind: str, load: Callable[[], M | None], missing: dict[str, str] | None) -> M | None:
    """What `load` gives.

    Where the model cannot be used this is None, and `missing` gets a line for the operator under its kind; with
    `missing` None the error is raised.
    """
    try:
        return load()
    except Exception as error:
        if missing is None:
            raise
        # Whatever a library makes of broken bytes: the other half of the monitor does not need them.
        known = isinstance(error, ModelError | PluginError)
        what = str(error) if known else f"{type(error).__name__}: {error}"
        missing[kind] = f"the {kind} model cannot be used ({what}): {_INSTEAD[kind]}, and reload or restart"
        return None


def unusable_models(config: Config, plugged: PluggedModels = no_plugged_models) -> dict[str, str]:
    """Why the learned models that a configuration names cannot be used here, by kind (`models.<kind>`)."""
    found: dict[str, str] = {}
    loads: dict[str, Callable[[], object]] = {
        "flr": lambda: flr_model(config, plugged),
        "region": lambda: region_model(config, plugged),
    }
    for kind, load in loads.items():
        try:
            load()
        except (ModelError, PluginError) as error:
            found[kind] = str(error)
    return found
