"""What is let in: the rules that need to know a source's earlier blocks, before anything is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from monitor.errors import DecodeError
from monitor.stages.craft_admission import CraftAdmission
from monitor.stages.indices import KP
from monitor.stations import Station
from monitor.types import SECOND_NS, Domain, Json, SampleBlock, iso_time

_VERSION = 1
_SHORTEST_STEP_NS = SECOND_NS // 20
_LONGEST_STEP_NS = 15 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS
"""From this step on samples are means of minutes, which observatories send beside those of seconds."""
# Stamps may jitter by a tenth of the step, and never by more than a tenth of a second.
_JITTER_NS = SECOND_NS // 10


@dataclass(slots=True)
class _Manner:
    """How a source has been sending."""

    step_ns: int
    phase_ns: int
    form: str
    sensor: str | None
    end_ns: int


class Admission:
    """Refuses blocks of unknown sources, and blocks that contradict how their source has been sending.

    A station may change its step, its sampling instants or its components once its earlier data lie further back
    than `forget_ns` (they share no window with the new ones). Of spacecraft, `CraftAdmission` decides.

    Parameters
    ----------
    stations : mapping of str to Station
        The stations that some pair uses.
    craft : collection of str
        The spacecraft that are configured.
    forget_ns : int
    """

    def __init__(self, stations: Mapping[str, Station], craft: Collection[str], forget_ns: int) -> None:
        self._stations = stations
        self._craft = CraftAdmission(craft, forget_ns)
        self._forget_ns = forget_ns
        self._manners: dict[str, _Manner] = {}

    def admit(self, block: SampleBlock) -> None:
        """Let a block in, or raise DecodeError with the reason."""
        if block.domain is Domain.CRAFT:
            self._craft.admit(block)
            return
        if block.domain is Domain.INDEX:
            if block.source != KP:
                raise DecodeError("unknown_index", f"{block.source} is not used here; the only index is {KP}")
            return
        station = self._stations.get(block.source)
        if station is None:
            raise DecodeError("unknown_station", f"{block.source} belongs to no configured pair")
        if block.step_ns >= MINUTE_NS:
            raise DecodeError(
                "minute_data",
                f"{block.source} sends every {block.step_ns / SECOND_NS:g} s: means of a minute hold nothing above 8 mHz, "
                "and resonances lie at 5 to 100 mHz; subscribe to its seconds (pt1s) instead",
            )
        if not _SHORTEST_STEP_NS <= block.step_ns <= _LONGEST_STEP_NS:
            raise DecodeError(
                "step_unsupported",
                f"{block.source} sends every {block.step_ns / SECOND_NS:g} s; resonances need 0.05 s to 15 s",
            )
        if block.is_scalar:
            # An instrument of its own, with its own step: it goes into the store, and is no part of how the vector comes.
            return
        form = _horizontal_form(block, station)
        self._check_manner(block, form, station)

    def _check_manner(self, block: SampleBlock, form: str, station: Station) -> None:
        if station.sensor is not None and block.sensor is not None and block.sensor != station.sensor:
            raise DecodeError(
                "second_sensor", f"{block.source} is configured for {station.sensor}, found {block.sensor}"
            )
        phase = block.t0_ns % block.step_ns
        manner = self._manners.get(block.source)
        if manner is None or block.t0_ns >= manner.end_ns + self._forget_ns:
            self._manners[block.source] = _Manner(block.step_ns, phase, form, block.sensor, block.end_ns)
            return
        where = f"{block.source} at {iso_time(block.t0_ns)}"
        if block.step_ns != manner.step_ns:
            raise DecodeError(
                "step_changed",
                f"{where} sends every {block.step_ns / SECOND_NS:g} s after {manner.step_ns / SECOND_NS:g} s",
            )
        if block.sensor is not None and manner.sensor is not None and block.sensor != manner.sensor:
            raise DecodeError(
                "second_sensor",
                f"{where} comes from {block.sensor} beside {manner.sensor}; name one in stations.{block.source}.sensor",
            )
        if form != manner.form:
            raise DecodeError("components_changed", f"{where} sends {form} after {manner.form}")
        lag = (phase - manner.phase_ns + block.step_ns // 2) % block.step_ns - block.step_ns // 2
        if abs(lag) > min(block.step_ns // 10, _JITTER_NS):
            raise DecodeError(
                "off_grid", f"{where} is {lag / SECOND_NS:+g} s off the station's sampling instants"
            )
        manner.sensor = manner.sensor or block.sensor
        manner.end_ns = max(manner.end_ns, block.end_ns)

    def snapshot(self) -> Json:
        """How every source has been sending, as JSON."""
        manners = {source: asdict(m) for source, m in self._manners.items()}
        return {"version": _VERSION, "manners": manners, "craft": self._craft.snapshot()}

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"admission state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        self._manners = {source: _Manner(**manner) for source, manner in state["manners"].items()}
        # States of before spacecraft were listened to have no word of them.
        self._craft.restore(state.get("craft", {}))


def _horizontal_form(block: SampleBlock, station: Station) -> str:
    """Which components give the north component: `H`, `XY` or `X`; DecodeError where none do."""
    if "H" in block.components:
        return "H"
    if "X" in block.components:
        if "Y" in block.components:
            return "XY"
        if station.axes != "geographic":
            return "X"
        raise DecodeError(
            "no_horizontal",
            f"{block.source} sends X without Y: geographic axes need both to turn to magnetic north",
        )
    raise DecodeError(
        "no_horizontal", f"{block.source} sends {', '.join(block.components)}; needed is H, or X and Y"
    )
