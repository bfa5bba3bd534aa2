"""From findings to labels: what the windows before, and the one after, make of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.science.debounce import Debounced, DebounceParameters, most_probable
from monitor.science.region_map import are_neighbours
from monitor.stages.region_memory import CraftMemory, Entry, RegionLabel
from monitor.types import REGIONS, Json, Quality, Region, RegionFinding, Tick

_VERSION = 1


@dataclass(frozen=True, slots=True)
class RegionLabelParameters:
    """How labels follow from findings.

    Attributes
    ----------
    debounce : DebounceParameters
    length_ns : int
        Of a window: the neighbours of one are those that just do not overlap it.
    remember_ns : int
        How far back findings are revised.
    sure : float
        Probability of the label from which on it is `good`.
    """

    debounce: DebounceParameters
    length_ns: int
    remember_ns: int
    sure: float = 0.8

    def __post_init__(self) -> None:
        if not 0.0 <= self.sure <= 1.0:
            raise ValueError(f"sure must be a probability, not {self.sure}")

    @property
    def neighbour_ns(self) -> int:
        """From a window to the neighbour that is judged by, in whole hops."""
        return -(-self.length_ns // self.debounce.hop_ns) * self.debounce.hop_ns


class RegionLabelStage:
    """Gives every finding its label and its quality.

    What is said depends on the last finding of each time alone, not on the order or the pieces in which they came: a
    revision runs the labels forward again, and every later one that changes goes out again. What a window's neighbour
    after it shows is said as a revision too. A finding for a time longer ago than is remembered is left out.

    Parameters
    ----------
    parameters : RegionLabelParameters
    """

    # What a restart needs is in the state.
    lookback_ns = 0

    def __init__(self, parameters: RegionLabelParameters) -> None:
        self._parameters = parameters
        self._craft: dict[str, CraftMemory] = {}
        self._snapshot: Json = None

    def feed(self, items: Sequence[RegionFinding] | Tick) -> list[RegionLabel]:
        """The labels that are new or changed, in the order of time."""
        if isinstance(items, Tick):
            return []
        touched: dict[str, CraftMemory] = {}
        for finding in items:
            memory = self._craft.setdefault(finding.craft, CraftMemory())
            newest_ns = memory.newest_ns
            too_old = newest_ns is not None and finding.end_ns < newest_ns - self._parameters.remember_ns
            if not too_old and memory.put(finding):
                touched[finding.craft] = memory
        said = [label for memory in touched.values() for label in self._run(memory)]
        if touched:
            self._snapshot = None
        return sorted(said, key=lambda label: label.finding.end_ns)

    def forget(self, craft: str) -> None:
        """Let a spacecraft begin anew."""
        self._craft.pop(craft, None)
        self._snapshot = None

    def snapshot(self) -> Json:
        """The remembered windows, as JSON; the same object again until something changes."""
        if self._snapshot is None:
            self._snapshot = {
                "version": _VERSION,
                "settings": self._settings(),
                "craft": {name: memory.to_json() for name, memory in self._craft.items()},
            }
        return self._snapshot

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version or other settings."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"region state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        if state["settings"] != self._settings():
            raise ValueError("labels were set otherwise when the state was stored")
        self._craft = {name: CraftMemory.from_json(name, written) for name, written in state["craft"].items()}
        for memory in self._craft.values():
            # What was said follows from what came in; it is not said again.
            self._run(memory)
        self._snapshot = state

    def _settings(self) -> Json:
        debounce = self._parameters.debounce
        return [debounce.evidence, debounce.hop_ns, self._parameters.length_ns, self._parameters.sure]

    def _run(self, memory: CraftMemory) -> list[RegionLabel]:
        """Debounce forward from what changed, and judge it and the window whose neighbour it is."""
        begin_ns = memory.run(self._parameters.debounce)
        newest_ns = memory.newest_ns
        if begin_ns is None or newest_ns is None:
            return []
        neighbour_ns = self._parameters.neighbour_ns
        said = []
        for entry in memory.entries[memory.place(begin_ns - neighbour_ns) :]:
            label = self._judged(memory, entry)
            if label != entry.said:
                entry.said = label
                said.append(label)
        # What may be judged again needs its neighbour before it, and is a neighbour before what may be revised.
        memory.forget(newest_ns - self._parameters.remember_ns - 2 * neighbour_ns)
        return said

    def _judged(self, memory: CraftMemory, entry: Entry) -> RegionLabel:
        finding, label = entry.finding, _label(entry)
        if finding.probability is None or label is None:
            return RegionLabel(finding, None, None, Quality.POOR, alone=False)
        stage_one = REGIONS[most_probable(finding.probability)]
        before, after = (
            self._vouches(memory, label, finding.end_ns + way * self._parameters.neighbour_ns)
            for way in (-1, 1)
        )
        alone = before is False and after is False
        if finding.novel or alone:
            quality = Quality.POOR
        elif (
            finding.probability[REGIONS.index(label)] < self._parameters.sure
            or finding.bridged > 0.0
            or before is False
        ):
            quality = Quality.UNCERTAIN
        else:
            quality = Quality.GOOD
        return RegionLabel(finding, label, stage_one, quality, alone)

    def _vouches(self, memory: CraftMemory, label: Region, end_ns: int) -> bool | None:
        """Whether the window that ends then is of a region beside the label's; None where it says nothing."""
        entry = memory.at(end_ns)
        other = None if entry is None else _label(entry)
        return None if other is None else are_neighbours(label, other)


def _label(entry: Entry) -> Region | None:
    """The debounced label of a window; None of a hole."""
    after: Debounced | None = entry.after
    if after is None or after.label is None or entry.finding.probability is None:
        return None
    return REGIONS[after.label]
