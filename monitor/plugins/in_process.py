"""Plugins in the process that asks for them: imported, held to what their kind promises, and made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from monitor.config import ValueFault
from monitor.errors import ConfigurationError, PluginError
from monitor.plugins.found import Found
from monitor.types import Json, Kind, Options, Surroundings

METHODS: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        "source": ("run",),
        "decoder": ("decode",),
        "stage": ("feed", "snapshot", "restore"),
        "model": ("model",),
        "sink": ("open", "write", "close"),
    }
)
"""What an object of each kind can be asked to do; those of sources and sinks are asynchronous."""

_ASYNCHRONOUS: Final = frozenset({"source", "sink"})


class InProcess:
    """The home of plugins that run in this process."""

    def check(self, found: Found, options: Mapping[str, Json]) -> Sequence[ValueFault]:
        """Import a plugin and say what is wrong with its options; PluginError where it cannot be imported."""
        model = options_of(load(found), found)
        try:
            model.model_validate(dict(options))
        except ValidationError as error:
            return [ValueFault.of(detail, model) for detail in error.errors(include_url=False)]
        return ()

    def make(self, found: Found, options: Mapping[str, Json], surroundings: Surroundings) -> Any:
        """A plugin made with its options; PluginError where that fails, in whatever way."""
        plugin = load(found)
        model = options_of(plugin, found)
        try:
            checked = model.model_validate(dict(options))
        except ValidationError as error:
            # The text of pydantic shows what it found, and that may be a secret.
            where = ", ".join(".".join(map(str, detail["loc"])) for detail in error.errors(include_url=False))
            raise found.error(
                f"its options are not good ({where}); check-config says what is wrong"
            ) from None
        try:
            return plugin(checked, surroundings)
        except PluginError:
            raise
        except ConfigurationError as error:
            raise found.error(f"cannot be made: {'; '.join(str(fault) for fault in error.faults)}") from error
        except Exception as error:
            raise found.error(f"cannot be made ({_said(error)})") from error

    def close(self) -> None:
        """Nothing to do: what lives here ends with its last user."""


def load(found: Found) -> type[Any]:
    """Import the class of a plugin.

    Raises
    ------
    PluginError
        It cannot be imported, or is no class that can be what its kind promises.
    """
    module, _, attribute = found.target.partition(":")
    try:
        plugin: object = import_module(module)
        for name in filter(None, attribute.split(".")):
            plugin = getattr(plugin, name)
    except PluginError:
        raise
    except ImportError as error:
        raise found.error(f"cannot be imported ({_said(error)}); {_missing(found)}") from error
    except Exception as error:
        raise found.error(f"cannot be imported ({_said(error)}); mend or uninstall it") from error
    if not isinstance(plugin, type):
        raise found.error(f"{found.target} is no class; an entry point names the class of the plugin")
    options_of(plugin, found)
    for name in METHODS[found.kind]:
        method = getattr(plugin, name, None)
        if not callable(method):
            raise found.error(f"its class has no method {name}, which a {found.kind} needs")
        if found.kind in _ASYNCHRONOUS and not inspect.iscoroutinefunction(method):
            raise found.error(f"its method {name} must be `async def`, as that of every {found.kind}")
    return plugin


def options_of(plugin: type[Any], found: Found) -> type[Options]:
    """The class of a plugin's options; PluginError where it has none."""
    options = getattr(plugin, "Options", None)
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise found.error("its class has no inner class Options, derived from monitor.plugins.Options")
    return options


def _missing(found: Found) -> str:
    """What to install where a module of a plugin is missing."""
    if not found.extras:
        return "install what it needs, or leave it out of the configuration"
    name = found.distribution.partition(" ")[0]
    return f"install what it needs: pip install '{name}[{','.join(found.extras)}]'"


def _said(error: Exception) -> str:
    """An exception in a line."""
    text = " ".join(str(error).split())
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:300]
