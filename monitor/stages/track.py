"""Findings followed over time: what the windows before (and offline those after) make of each one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from monitor.science.tracker import Observed, Tracked, advance, decide, initial, smooth, steps_between
from monitor.science.tracker_parameters import TrackerParameters, Triple
from monitor.stages.track_memory import Entry, Memory
from monitor.types import CLASSES, SECOND_NS, Finding, Json, Label, Reading, Tick

_VERSION = 1
_SIGMAS = 1.6448536269514722  # the 90 % interval of a normal error
_UNKNOWN = (math.nan, math.nan, math.nan)


class TrackStage:
    """Gives every finding its final label, with what the tracker changed in its flags.

    `rescued` is a resonance that stage one discarded, `dropped` one that the tracker does not believe, `relabelled`
    one of the other kind. A window that was never judged stays `NoFreq`. The result depends on the last finding of
    each time alone, not on the order or the pieces in which they came: a revision runs the filter forward again,
    and every later finding that changes goes out again. What comes for a time longer ago than is remembered passes
    with stage one's label and the flag `untracked`.

    Parameters
    ----------
    parameters : TrackerParameters
    weights : tuple of float
        The label is the largest of weight × posterior.
    cadence_ns : int
        From window to window.
    remember_ns : int
        How far back findings are revised.
    smooth : bool
        Offline: hold everything until `flush`, and let later windows speak too (flag `smoothed`).

    Raises
    ------
    ValueError
        Weights that are not three numbers from 0, with one above it.
    """

    # What a restart needs is in the state.
    lookback_ns = 0

    def __init__(
        self,
        parameters: TrackerParameters,
        weights: Triple,
        cadence_ns: int,
        remember_ns: int,
        *,
        smooth: bool = False,
    ) -> None:
        if len(weights) != 3 or not all(0.0 <= w < math.inf for w in weights) or not any(weights):
            raise ValueError(f"weights must be three numbers from 0, one of them above it, not {weights}")
        self._parameters = parameters.at_cadence(cadence_ns / SECOND_NS)
        self._weights = weights
        self._cadence_ns = cadence_ns
        self._remember_ns = remember_ns
        self._smooth = smooth
        self._pairs: dict[str, Memory] = {}
        self._snapshot: Json = None

    def feed(self, items: Sequence[Finding] | Tick) -> list[Finding]:
        """The final findings that are new or changed, in the order of time."""
        if isinstance(items, Tick):
            return []
        untracked = []
        touched: dict[str, Memory] = {}
        for finding in items:
            name = finding.pair.name
            memory = self._pairs.get(name)
            if memory is None:
                memory = self._pairs[name] = Memory(finding.pair)
            if self._is_too_old(memory, finding.end_ns):
                untracked.append(replace(finding, flags=finding.flags | {"untracked"}))
            elif memory.put(finding) or memory.begin() < len(memory.entries):
                # The second: a turn before this one raised on the way.
                touched[name] = memory
                self._snapshot = None
        if self._smooth:
            return []
        changed = self._run(touched.values())
        for memory in touched.values():
            assert memory.newest_ns is not None
            memory.forget(memory.newest_ns - self._remember_ns)
        return sorted(untracked + changed, key=lambda finding: finding.end_ns)

    def forget(self, pair: str) -> None:
        """Let a pair begin anew."""
        self._pairs.pop(pair, None)
        self._snapshot = None

    def flush(self) -> list[Finding]:
        """End an offline run: the findings that were held, in the order of time."""
        if not self._smooth:
            return []
        memories, self._pairs, self._snapshot = list(self._pairs.values()), {}, None
        findings = [entry.finding for memory in memories for entry in memory.entries]
        sequence = np.repeat(np.arange(len(memories)), [len(memory.entries) for memory in memories])
        end_ns = np.array([finding.end_ns for finding in findings], dtype=np.int64)
        observed = observed_in(findings)
        tracked = smooth(self._parameters, sequence, end_ns, observed, self._cadence_ns)
        finals = self._final(findings, observed, tracked)
        held = [replace(finding, flags=finding.flags | {"smoothed"}) for finding in finals]
        return sorted(held, key=lambda finding: finding.end_ns)

    def snapshot(self) -> Json:
        """The remembered windows, as JSON; the same object again until something changes, and so for each pair."""
        if self._snapshot is None:
            self._snapshot = {
                "version": _VERSION,
                "settings": self._settings(),
                "pairs": {name: memory.write() for name, memory in self._pairs.items()},
            }
        return self._snapshot

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version or another tracker."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"track state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        if state["settings"] != self._settings():
            raise ValueError("the tracker was set otherwise when the state was stored")
        bins = self._parameters.bins
        self._pairs = {name: Memory.read(written, bins) for name, written in state["pairs"].items()}
        self._snapshot = state
        if not self._smooth:
            # What was said follows from what came in; it is not said again.
            self._run(self._pairs.values())

    def _settings(self) -> Json:
        return [self._parameters.to_json(), list(self._weights), self._cadence_ns, self._smooth]

    def _is_too_old(self, memory: Memory, end_ns: int) -> bool:
        newest_ns = memory.newest_ns
        return not self._smooth and newest_ns is not None and end_ns < newest_ns - self._remember_ns

    def _run(self, memories: Iterable[Memory]) -> list[Finding]:
        """Run pairs forward to their newest, a window of all of them at a time; return what changed.

        The usual turn (one new window of many pairs) and a revision (many windows of some) are one and the same.
        """
        runs = [(memory, memory.begin()) for memory in memories]
        said: list[tuple[Entry, Finding]] = []
        turn = 0
        try:
            while live := [
                (memory, start + turn) for memory, start in runs if start + turn < len(memory.entries)
            ]:
                said.extend(self._turn(live))
                turn += 1
        except Exception:
            # As if it had not begun: whoever feeds some of the pairs again gets all that they have to say.
            for memory, start in runs:
                memory.fall_back(start)
            raise
        for memory, start in runs:
            memory.thin(start)
        # Noted only now: where a turn raises, nothing has been said.
        changed = [(entry, final) for entry, final in said if final != entry.said]
        for entry, final in changed:
            entry.said = final
        return [final for _, final in changed]

    def _turn(self, live: list[tuple[Memory, int]]) -> list[tuple[Entry, Finding]]:
        """Advance each pair over the window at its place."""
        entries = [memory.entries[place] for memory, place in live]
        findings = [entry.finding for entry in entries]
        end_ns = np.array([finding.end_ns for finding in findings], dtype=np.int64)
        befores = [memory.before(place) for memory, place in live]
        before_ns = np.array(
            [end if before is None else before for (before, _), end in zip(befores, end_ns, strict=True)],
            dtype=np.int64,
        )
        fresh = initial(self._parameters, 1)[0]
        states = np.stack([fresh if state is None else state for _, state in befores])
        first = np.array([state is None for _, state in befores])
        steps = np.where(first, 0, steps_between(before_ns, end_ns, self._cadence_ns))
        observed = observed_in(findings)
        after, tracked = advance(self._parameters, states, steps, observed)
        finals = self._final(findings, observed, tracked)
        for row, entry in enumerate(entries):
            # A copy: a row would keep the whole batch alive.
            entry.state = after[row].copy()
        return list(zip(entries, finals, strict=True))

    def _final(self, findings: Sequence[Finding], observed: Observed, tracked: Tracked) -> list[Finding]:
        label = np.array([CLASSES.index(finding.label) for finding in findings], dtype=np.int64)
        chosen = decide(self._parameters, self._weights, label, observed, tracked)
        return [
            _labelled(finding, CLASSES[number], (no_freq, freq, pbl))
            for finding, number, (no_freq, freq, pbl) in zip(
                findings, chosen.tolist(), tracked.posterior.tolist(), strict=True
            )
        ]


def observed_in(findings: Sequence[Finding]) -> Observed:
    """What findings tell the tracker: one row each."""
    probability = np.array(
        [_UNKNOWN if one.probability is None else one.probability for one in findings], dtype=np.float64
    )
    readings = np.array(
        [[_numbers(one.as_freq), _numbers(one.as_pbl)] for one in findings], dtype=np.float64
    ).reshape(-1, 2, 3)
    middle, low, high = readings[..., 0], readings[..., 1], readings[..., 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        # An interval that begins at 0 has no lower half in ln f.
        sigma = np.where(low > 0.0, np.log(high / low) / 2.0, np.log(high / middle)) / _SIGMAS
    return Observed(probability.reshape(-1, 3), middle, sigma)


def _numbers(reading: Reading | None) -> Triple:
    return _UNKNOWN if reading is None else (reading.frequency_Hz, reading.low_Hz, reading.high_Hz)


def _labelled(finding: Finding, label: Label, posterior: Triple) -> Finding:
    flags = finding.flags
    if label is not finding.label:
        if finding.label is Label.NO_FREQ:
            flags |= {"rescued"}
        else:
            flags |= {"dropped" if label is Label.NO_FREQ else "relabelled"}
    return replace(finding, label=label, track_probability=posterior, flags=flags)
