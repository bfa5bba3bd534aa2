"""Plugins from elsewhere, each in a process of its own that can be killed.

::

    monitor                                    process of the plugin
    Cage ─ Keeper ─ Process ── pair of sockets ── inside ─ serving ─ the plugin
             │                                             serving_loop (sources, sinks)
    CagedDecoder, CagedStage, CagedSource, CagedSink

No module of theirs is imported here. What comes back is data, held to the same rules as data from a sender.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.config import ValueFault
from monitor.errors import PluginError
from monitor.plugins.cage.decoder import caged_decoder
from monitor.plugins.cage.keeper import Keeper
from monitor.plugins.cage.process import AskedError, Limits, LostError, Process
from monitor.plugins.cage.sink import CagedSink
from monitor.plugins.cage.source import CagedSource
from monitor.plugins.cage.stage import CagedStage
from monitor.plugins.cage.wire import Checked
from monitor.plugins.found import Found
from monitor.stages.checking import faulty_kinds
from monitor.types import Json, Surroundings

__all__ = ["Cage", "Limits"]


class Cage:
    """The home of plugins that other distributions brought.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._keepers: list[Keeper] = []

    def check(self, found: Found, options: Mapping[str, Json]) -> Sequence[ValueFault]:
        """Import a plugin, in a process that ends at once, and say what is wrong with its options.

        Raises
        ------
        PluginError
            It cannot be imported, or not in time.
        """
        _refuse_models(found)
        process = Process(found, options, Surroundings(found.name), self._limits, only_check=True)
        try:
            checked = process.begin(Checked)
        except AskedError as error:
            raise found.error(str(error)) from None
        except LostError as error:
            raise found.error(f"{error} when it was imported; mend or uninstall it") from None
        finally:
            process.kill()
        return [fault.taken() for fault in checked.faults]

    def make(self, found: Found, options: Mapping[str, Json], surroundings: Surroundings) -> Any:
        """What stands for a plugin here; PluginError where it cannot be imported or made."""
        _refuse_models(found)
        keeper = Keeper(found, options, surroundings, self._limits)
        self._keepers.append(keeper)
        match found.kind:
            case "decoder":
                return caged_decoder(keeper)
            case "stage":
                fault = faulty_kinds(frozenset(keeper.ready.kinds or ()))
                if fault is not None:
                    keeper.end()
                    raise found.error(fault)
                return CagedStage(keeper)
            case "source":
                return CagedSource(keeper, (*surroundings.stations, *surroundings.craft))
            case _:
                return CagedSink(keeper)

    def close(self) -> None:
        """End all processes; what was made is of no use then."""
        for keeper in self._keepers:
            keeper.end()
        self._keepers.clear()


def _refuse_models(found: Found) -> None:
    if found.kind == "model":
        raise PluginError(
            found.name,
            found.distribution,
            "is a model, and models of other distributions are not taken: they are asked for thousands of windows"
            " at once, inside the pipeline. Export it to ONNX, and name its folder under `models`",
        )
