"""The learned models that a configuration names, and what stands in where one cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from monitor.config import Config
from monitor.errors import ModelError
from monitor.models.flr import load_flr
from monitor.models.region import load_region
from monitor.pipeline.settings import spectral_settings

M = TypeVar("M")

_INSTEAD = {
    "flr": "the physical estimate is alone; put the model there, or set models.flr to auto or physical",
    "region": "spacecraft get no labels; put the model there, or set models.region to auto or none",
}


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
        what = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
        missing[kind] = f"the {kind} model cannot be used ({what}): {_INSTEAD[kind]}, and reload or restart"
        return None


def unusable_models(config: Config) -> dict[str, str]:
    """Why the learned models that a configuration names cannot be used here, by kind (`models.<kind>`)."""
    found: dict[str, str] = {}
    loads: dict[str, Callable[[], object]] = {
        "flr": lambda: load_flr(config.models.flr, spectral_settings(config)),
        "region": lambda: load_region(config.models.region) if config.craft else None,
    }
    for kind, load in loads.items():
        try:
            load()
        except ModelError as error:
            found[kind] = str(error)
    return found
