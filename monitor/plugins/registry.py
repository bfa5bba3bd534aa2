"""Which plugins are installed, and how one is made.

They are found by their entry points, in the groups of their kinds. That reads names, and imports nothing: a module is
imported when its plugin is named in the configuration, and where it runs (`Home`) depends on who brought it. Ours are
at home in this process, all others in one that can be killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.config import Config, Isolation, ValueFault
from monitor.errors import PluginError
from monitor.plugins.cage import Cage, Limits
from monitor.plugins.found import Found, Home, find_all
from monitor.plugins.in_process import InProcess
from monitor.types import Json, Kind, Surroundings


class Registry:
    """The installed plugins; what they are called and what they are is known without importing any.

    Parameters
    ----------
    found : iterable of Found
    ours, others : Home
        Where the plugins of this program live, and those of everybody else.
    """

    def __init__(self, found: Iterable[Found], *, ours: Home, others: Home) -> None:
        self._by_name: dict[str, list[Found]] = {}
        for one in found:
            self._by_name.setdefault(one.name, []).append(one)
        self._ours, self._others = ours, others

    def names(self, *kinds: Kind) -> Sequence[str]:
        """The names of the installed plugins of some kinds, sorted; of all where none is named."""
        return sorted(
            name
            for name, several in self._by_name.items()
            if not kinds or any(found.kind in kinds for found in several)
        )

    def find(self, name: str, *kinds: Kind) -> Found:
        """The plugin of a name.

        Raises
        ------
        PluginError
            None is installed, several are (all of them are named), or it is of another kind.
        """
        several = self._by_name.get(name, [])
        if not several:
            raise PluginError(name, "", f"is not installed; installed: {', '.join(self.names()) or 'none'}")
        if len(several) > 1:
            who = " and ".join(sorted(f"{one.distribution} ({one.kind} {one.target})" for one in several))
            raise PluginError(name, "", f"is the name of several: {who}; uninstall all but one")
        if kinds and several[0].kind not in kinds:
            raise several[0].error(f"is a {several[0].kind}, and here a {' or '.join(kinds)} is wanted")
        return several[0]

    def kind_of(self, name: str) -> Kind:
        """What an installed plugin is; PluginError as `find`."""
        return self.find(name).kind

    def faults(self, name: str, options: Mapping[str, Json]) -> Sequence[ValueFault]:
        """What is wrong with the options of an installed plugin; PluginError where it cannot be imported."""
        found = self.find(name)
        return self._home(found).check(found, options)

    def make(self, kind: Kind, name: str, options: Mapping[str, Json], surroundings: Surroundings) -> Any:
        """A plugin made with its options, with the methods of its kind.

        Raises
        ------
        PluginError
            It is not there, cannot be imported, refuses its options, or raises when it is made.
        """
        found = self.find(name, kind)
        return self._home(found).make(found, options, surroundings)

    def close(self) -> None:
        """End what was made and needs an end; nothing that was made is used afterwards."""
        self._ours.close()
        self._others.close()

    def _home(self, found: Found) -> Home:
        return self._ours if found.ours else self._others


def unusable_plugins(config: Config, registry: Registry) -> dict[tuple[str | int, ...], str]:
    """Why plugins that a configuration names cannot be used here, by the place where it names them."""
    named: list[tuple[tuple[str | int, ...], str, dict[str, Any]]] = [
        (("inputs", index, "decoder"), entry.decoder, entry.options)
        for index, entry in enumerate(config.inputs)
    ]
    named += [(("plugins", name), entry.plugin, entry.options) for name, entry in config.plugins.items()]
    found: dict[tuple[str | int, ...], str] = {}
    for place, plugin, options in named:
        try:
            registry.faults(plugin, options)
        except PluginError as error:
            found[place] = str(error)
    return found


def installed(isolation: Isolation | None = None) -> Registry:
    """The plugins that are installed beside this program; `isolation` is what those of others may take."""
    limits = None if isolation is None else Limits.of(isolation)
    return Registry(find_all(), ours=InProcess(), others=Cage(limits))
