"""What is known of a plugin before it is imported, and where it may live."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final, Protocol

from monitor.config import ValueFault
from monitor.errors import PluginError
from monitor.plugins.base import GROUPS
from monitor.types import Json, Kind, Surroundings

DISTRIBUTION: Final = "geospace-monitor"
"""The distribution whose plugins are ours."""


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin that is installed.

    Attributes
    ----------
    name : str
    kind : Kind
    target : str
        Where it is defined: `module:attribute`.
    distribution : str
        Which distribution brought it, with its version.
    ours : bool
        Whether it came with this program.
    extras : tuple of str
        The extras of its distribution that it needs.
    """

    name: str
    kind: Kind
    target: str
    distribution: str
    ours: bool
    extras: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: Kind, entry: metadata.EntryPoint) -> Found:
        """What an entry point of the group of a kind names."""
        name, version = _distribution(entry)
        ours = re.sub(r"[-_.]+", "-", name).lower() == DISTRIBUTION
        target = entry.value.partition("[")[0].strip()
        return cls(entry.name, kind, target, f"{name} {version}".strip(), ours, tuple(entry.extras))

    def error(self, reason: str) -> PluginError:
        """An error about this plugin."""
        return PluginError(self.name, self.distribution, reason)


class Home(Protocol):
    """Where plugins live: this process, or one of their own. Whatever goes wrong there is a PluginError."""

    def check(self, found: Found, options: Mapping[str, Json]) -> Sequence[ValueFault]:
        """Import a plugin and say what is wrong with its options; PluginError where it cannot be imported."""
        ...

    def make(self, found: Found, options: Mapping[str, Json], surroundings: Surroundings) -> Any:
        """A plugin made with its options, or what stands for it here, with the methods of its kind."""
        ...

    def close(self) -> None:
        """End what was made here and needs an end."""
        ...


def find_all() -> list[Found]:
    """All installed plugins."""
    points = metadata.entry_points()
    return [Found.of(kind, entry) for kind, group in GROUPS.items() for entry in points.select(group=group)]


def _distribution(entry: metadata.EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution that brought an entry point; empty where its metadata do not say."""
    if entry.dist is None:
        return "", ""
    # A directory that only looks like a distribution has no metadata: then this is None, whatever the type says.
    name: str | None = entry.dist.metadata["Name"]
    version: str | None = entry.dist.metadata["Version"]
    return name or "", version or ""
