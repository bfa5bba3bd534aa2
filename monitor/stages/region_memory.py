"""What is remembered of a spacecraft's windows, so that one that is revised changes the labels after it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.science.debounce import Debounced, DebounceParameters, advance
from monitor.types import Json, Quality, Region, RegionFinding


@dataclass(frozen=True, slots=True)
class RegionLabel:
    """A finding with what the windows around it make of it.

    Attributes
    ----------
    finding : RegionFinding
    label, stage_one : Region or None
        The debounced label, and the most probable class of this window alone; None of a hole.
    quality : Quality
    alone : bool
        Neither the window before nor the one after is of this or a neighbouring region.
    """

    finding: RegionFinding
    label: Region | None
    stage_one: Region | None
    quality: Quality
    alone: bool


@dataclass(slots=True, eq=False)
class Entry:
    """One remembered window: what came in, the state after it, and what went out last."""

    finding: RegionFinding
    written: Json
    after: Debounced | None = None
    said: RegionLabel | None = None


@dataclass(slots=True, eq=False)
class CraftMemory:
    """The remembered windows of one spacecraft in the order of time, and the state before the oldest."""

    entries: list[Entry] = field(default_factory=list)
    base: Debounced = field(default_factory=Debounced)
    written: Json = None

    @property
    def newest_ns(self) -> int | None:
        """End of the newest window, or None before the first."""
        return self.entries[-1].finding.end_ns if self.entries else None

    def place(self, end_ns: int) -> int:
        """Place of the first window that ends at a time or later."""
        low, high = 0, len(self.entries)
        while low < high:
            middle = (low + high) // 2
            if self.entries[middle].finding.end_ns < end_ns:
                low = middle + 1
            else:
                high = middle
        return low

    def at(self, end_ns: int) -> Entry | None:
        """The window that ends at a time, where there is one."""
        place = self.place(end_ns)
        if place < len(self.entries) and self.entries[place].finding.end_ns == end_ns:
            return self.entries[place]
        return None

    def put(self, finding: RegionFinding) -> bool:
        """Insert or replace a window; return whether it says something new."""
        written, entry = write_finding(finding), self.at(finding.end_ns)
        if entry is None:
            entry = Entry(finding, written)
            self.entries.insert(self.place(finding.end_ns), entry)
        elif entry.written == written:
            return False
        else:
            entry.finding, entry.written = finding, written
        for later in self.entries[self.place(finding.end_ns) :]:
            later.after = None
        self.written = None
        return True

    def run(self, parameters: DebounceParameters) -> int | None:
        """Debounce forward from the first window without a state; return its end, None where all have one."""
        place = len(self.entries)
        while place and self.entries[place - 1].after is None:
            place -= 1
        if place == len(self.entries):
            return None
        state = self.base if place == 0 else self.entries[place - 1].after
        assert state is not None
        for entry in self.entries[place:]:
            finding = entry.finding
            state = entry.after = advance(parameters, state, finding.end_ns, finding.probability)
        return self.entries[place].finding.end_ns

    def forget(self, horizon_ns: int) -> None:
        """Fold windows that ended before the horizon into the state before the oldest."""
        count = min(self.place(horizon_ns), len(self.entries) - 1)
        if count > 0:
            last = self.entries[count - 1].after
            assert last is not None
            self.base = last
            del self.entries[:count]
            self.written = None

    def to_json(self) -> Json:
        """As nested lists; the same object again until something changes."""
        if self.written is None:
            self.written = [self.base.to_json(), [entry.written for entry in self.entries]]
        return self.written

    @classmethod
    def from_json(cls, craft: str, written: Json) -> CraftMemory:
        """What `to_json` gave of a spacecraft."""
        base, windows = written
        entries = [Entry(read_finding(craft, one), one) for one in windows]
        return cls(entries, Debounced.from_json(base), written)


def write_finding(finding: RegionFinding) -> Json:
    """A finding as a short list: arrays as base64, the map in thousandths."""
    probability = None
    if finding.probability is not None:
        probability = _text(np.asarray(finding.probability, dtype="<f4"))
    cam = None
    if finding.cam is not None:
        cam = _text(np.round(np.asarray(finding.cam) * 1000.0).astype("<u2"))
    return [
        finding.end_ns,
        probability,
        cam,
        int(finding.novel),
        finding.support_s,
        list(finding.missing),
        finding.bridged,
        sorted(finding.flags),
    ]


def read_finding(craft: str, written: Json) -> RegionFinding:
    """What `write_finding` wrote."""
    end_ns, probability, cam, novel, support_s, missing, bridged, flags = written
    return RegionFinding(
        craft=craft,
        end_ns=end_ns,
        probability=None if probability is None else tuple(_numbers(probability, "<f4").tolist()),
        cam=None if cam is None else tuple((_numbers(cam, "<u2") / 1000.0).tolist()),
        novel=bool(novel),
        support_s=support_s,
        missing=tuple(missing),
        bridged=bridged,
        flags=frozenset(flags),
    )


def _text(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _numbers(text: str, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype=kind)
