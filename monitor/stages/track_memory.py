"""What the tracking stage remembers of a pair, and how it is written down."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from monitor.types import (
    Finding,
    Float32Array,
    Illumination,
    Json,
    Label,
    Pair,
    PhysicalReading,
    Reading,
)

CHECKPOINT = 8
"""Every so many remembered windows the filter's state after one is kept: a revision re-runs from there."""


@dataclass(slots=True, eq=False)
class Entry:
    """One remembered window: what came in, what went out last, and (at checkpoints) the state after it."""

    finding: Finding
    said: Finding | None = None
    state: Float32Array | None = None
    written: Json = None

    def write(self) -> Json:
        """The finding that came in as a short array; made once."""
        if self.written is None:
            self.written = write_finding(self.finding)
        return self.written


@dataclass(slots=True, eq=False)
class Memory:
    """The remembered windows of one pair in the order of time, and the filter's state before the oldest."""

    pair: Pair
    entries: list[Entry] = field(default_factory=list)
    base_ns: int | None = None
    base: Float32Array | None = None
    written: Json = None

    @property
    def newest_ns(self) -> int | None:
        """End of the newest window, or None before the first."""
        return self.entries[-1].finding.end_ns if self.entries else self.base_ns

    def place(self, end_ns: int) -> int:
        """Place of the first window that ends at a time or later."""
        place = len(self.entries)
        while place and self.entries[place - 1].finding.end_ns >= end_ns:
            place -= 1
        return place

    def put(self, finding: Finding) -> bool:
        """Insert or replace a window; return whether it says something new."""
        end_ns = finding.end_ns
        place = self.place(end_ns)
        if place < len(self.entries) and self.entries[place].finding.end_ns == end_ns:
            entry = self.entries[place]
            if write_finding(finding) == entry.write():
                return False
            entry.finding, entry.written = finding, None
        else:
            self.entries.insert(place, Entry(finding))
        self.written = None
        # No state rests on what was said before: not even where the run that should follow fails.
        self.fall_back(place)
        return True

    def fall_back(self, place: int) -> None:
        """Forget the states from a place on."""
        for entry in self.entries[place:]:
            entry.state = None

    def begin(self) -> int:
        """The place from which the filter must run so that the state after the newest window is known."""
        place = len(self.entries)
        while place and self.entries[place - 1].state is None:
            place -= 1
        return place

    def before(self, place: int) -> tuple[int | None, Float32Array | None]:
        """End of the window before a place and the state after it; None where nothing came before."""
        if place == 0:
            return self.base_ns, self.base
        entry = self.entries[place - 1]
        return entry.finding.end_ns, entry.state

    def thin(self, place: int) -> None:
        """Let go of states from a place on but for checkpoints and the newest."""
        for number in range(max(place - 1, 0), len(self.entries) - 1):
            if number % CHECKPOINT != CHECKPOINT - 1:
                self.entries[number].state = None

    def forget(self, horizon_ns: int) -> None:
        """Fold windows that ended before the horizon into the state before the oldest, a checkpoint at a time."""
        while len(self.entries) >= CHECKPOINT:
            last = self.entries[CHECKPOINT - 1]
            if last.finding.end_ns >= horizon_ns:
                return
            self.base_ns, self.base = last.finding.end_ns, last.state
            del self.entries[:CHECKPOINT]
            self.written = None

    def write(self) -> Json:
        """As JSON: poleward, equatorward, L, end and state before the oldest, and the windows.

        The same object again until something changes: who stores it can see that by its identity.
        """
        if self.written is not None:
            return self.written
        state = None if self.base is None else _written(self.base.astype("<f4").tobytes())
        pair = self.pair
        windows = [entry.write() for entry in self.entries]
        self.written = [pair.poleward, pair.equatorward, pair.l_shell, self.base_ns, state, windows]
        return self.written

    @classmethod
    def read(cls, written: Json, bins: int) -> Memory:
        """What `write` gave; ValueError where the state has another size."""
        poleward, equatorward, l_shell, base_ns, state, windows = written
        pair = Pair(poleward, equatorward, l_shell)
        base = None
        if state is not None:
            base = np.frombuffer(base64.b64decode(state), dtype="<f4").astype(np.float32).reshape(3, bins)
        return cls(pair, [Entry(read_finding(pair, one), written=one) for one in windows], base_ns, base)


def write_finding(finding: Finding) -> Json:
    """What the tracker is given, as a short array: words, then all numbers as the bytes of float64, in base64.

    Not as text: every bit counts, and these are most of what a run has to store.
    """
    physical = finding.physical
    optional = [
        None if finding.mlt_h is None else (finding.mlt_h,),
        finding.probability,
        *(
            None if reading is None else (reading.frequency_Hz, reading.low_Hz, reading.high_Hz)
            for reading in (finding.as_freq, finding.as_pbl)
        ),
    ]
    numbers = [
        physical.frequency_Hz,
        physical.sigma_Hz,
        physical.cross_phase_rad,
        physical.coherence,
        physical.timing_offset_s,
        physical.timing_sigma_s,
        *(share for _, share in finding.coverage),
        *(number for group in optional if group is not None for number in group),
    ]
    return [
        finding.end_ns,
        finding.length_ns,
        str(finding.label),
        None if finding.stage_one is None else str(finding.stage_one),
        str(physical.label),
        None if finding.illumination is None else str(finding.illumination),
        sorted(finding.flags),
        [code for code, _ in finding.coverage],
        sum(1 << bit for bit, group in enumerate(optional) if group is not None),
        _written(np.array(numbers, dtype="<f8").tobytes()),
    ]


def read_finding(pair: Pair, written: Json) -> Finding:
    """What `write_finding` gave."""
    end_ns, length_ns, label, stage_one, physical, illumination, flags, codes, present, packed = written
    numbers = iter(np.frombuffer(base64.b64decode(packed), dtype="<f8").tolist())
    estimate = PhysicalReading(Label(physical), *_take(numbers, 6))
    coverage = tuple(zip(codes, _take(numbers, len(codes)), strict=True))
    mlt, probability, freq, pbl = (
        _take(numbers, count) if present >> bit & 1 else None for bit, count in enumerate((1, 3, 3, 3))
    )
    return Finding(
        pair=pair,
        end_ns=end_ns,
        length_ns=length_ns,
        coverage=coverage,
        physical=estimate,
        illumination=None if illumination is None else Illumination(illumination),
        mlt_h=None if mlt is None else mlt[0],
        probability=None if probability is None else (probability[0], probability[1], probability[2]),
        stage_one=None if stage_one is None else Label(stage_one),
        as_freq=None if freq is None else Reading(*freq),
        as_pbl=None if pbl is None else Reading(*pbl),
        label=Label(label),
        flags=frozenset(flags),
    )


def _take(numbers: Iterator[float], count: int) -> tuple[float, ...]:
    return tuple(itertools.islice(numbers, count))


def _written(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
