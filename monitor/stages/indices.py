"""Kp as far as it is known: what it was at a time, and its largest value of the hours before."""

from __future__ import annotations

import math
from collections.abc import Iterable

from monitor.types import SECOND_NS, Domain, Json, SampleBlock

KP = "KP"
"""The source of the blocks that are taken; all others pass by."""

_VERSION = 1
_HOUR_NS = 3600 * SECOND_NS
_STALE_NS = 6 * _HOUR_NS
# How much longer than windows are revised Kp is kept: for a day's largest value, and for one that is still fresh.
_BEYOND_NS = 30 * _HOUR_NS


class KpMemory:
    """Remembers the intervals of Kp.

    What it answers for a time rests only on intervals that had ended by then: a run that gets Kp as it is issued, and
    one that has all of it beforehand, say the same. Of an interval that comes twice the last value counts; a gap
    (NaN) never takes a value away. Intervals may have any length: of those that end together the longest counts, as
    the three hours of Kp itself go before estimates of shorter ones.

    Parameters
    ----------
    reach_ns : int
        How far behind the newest interval anyone may still ask (as far as windows are revised).
    """

    def __init__(self, reach_ns: int) -> None:
        self._kept_ns = reach_ns + _BEYOND_NS
        # By end and start of the interval, and in their order.
        self._values: dict[tuple[int, int], float] = {}
        self._state: Json = None

    @property
    def lookback_ns(self) -> int:
        """How much of Kp before now a restart needs."""
        return self._kept_ns

    def feed(self, blocks: Iterable[SampleBlock]) -> None:
        """Take the intervals of Kp among `blocks`."""
        changed = False
        for block in blocks:
            if block.domain is not Domain.INDEX or block.source != KP:
                continue
            values = block.values[block.components.index("Kp")].tolist()
            for number, value in enumerate(values):
                start = block.t0_ns + number * block.step_ns
                key = (start + block.step_ns, start)
                if math.isfinite(value) and self._values.get(key) != value:
                    self._values[key] = value
                    changed = True
        if changed:
            oldest = max(self._values)[0] - self._kept_ns
            self._values = {key: self._values[key] for key in sorted(self._values) if key[0] > oldest}
            self._state = None

    def at(self, time_ns: int) -> float | None:
        """Kp of the newest interval that had ended at `time_ns`; None where that is more than 6 h ago."""
        ended = [key for key in self._values if time_ns - _STALE_NS <= key[0] <= time_ns]
        if not ended:
            return None
        return self._values[max(ended, key=lambda key: (key[0], -key[1]))]

    def maximum(self, hours: float, end_ns: int) -> float | None:
        """Largest Kp of the intervals that ended within `hours` before `end_ns` (then included).

        None where they cover less than half of these hours.
        """
        begin_ns = end_ns - round(hours * _HOUR_NS)
        found = [key for key in self._values if begin_ns < key[0] <= end_ns]
        if 2 * _covered_ns(found, begin_ns) < end_ns - begin_ns or not found:
            return None
        return max(self._values[key] for key in found)

    def snapshot(self) -> Json:
        """The intervals as JSON; the same object while nothing changed."""
        if self._state is None:
            intervals = [[start, end, value] for (end, start), value in self._values.items()]
            self._state = {"version": _VERSION, "intervals": intervals}
        return self._state

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        if state.get("version") != _VERSION:
            raise ValueError(f"Kp state has version {state.get('version')!r}, this program writes {_VERSION}")
        self._values = {
            (int(end), int(start)): float(value)
            for start, end, value in sorted(state["intervals"], key=_by_end)
        }
        self._state = None


def _by_end(interval: list[float]) -> tuple[float, float]:
    return interval[1], interval[0]


def _covered_ns(intervals: Iterable[tuple[int, int]], begin_ns: int) -> int:
    """How much time after `begin_ns` intervals, given as (end, start), cover together."""
    covered, reached = 0, begin_ns
    for start, end in sorted((start, end) for end, start in intervals):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered
