"""What the configuration asks about plugins: which there are, and whether their options are good. It imports none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from monitor.config.messages import ValueFault
from monitor.types import Json, Kind


class Catalogue(Protocol):
    """Whoever knows the installed plugins."""

    def names(self, *kinds: Kind) -> Sequence[str]:
        """The names of the installed plugins of some kinds, sorted; of all where none is named."""
        ...

    def kind_of(self, name: str) -> Kind:
        """What an installed plugin is; PluginError, which names them, where several have the name."""
        ...

    def faults(self, name: str, options: Mapping[str, Json]) -> Sequence[ValueFault]:
        """What is wrong with the options of an installed plugin; PluginError where it cannot be asked."""
        ...


class NothingInstalled:
    """The catalogue of those who configure no plugin, nor name a decoder."""

    def names(self, *_kinds: Kind) -> Sequence[str]:
        """None."""
        return ()

    def kind_of(self, name: str) -> Kind:
        """Raises LookupError."""
        raise LookupError(name)

    def faults(self, name: str, _options: Mapping[str, Json]) -> Sequence[ValueFault]:
        """Raises LookupError."""
        raise LookupError(name)
