"""Which gaps are asked for again, and when: at growing intervals, a bounded number of times, over restarts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.types import Json

Gap = tuple[int, int]
"""Begin and end (ns UTC)."""

MOST_KEPT: Final = 200
"""Gaps of one subject that are remembered; where there are more, the oldest are forgotten."""
MOST_IN_ALL: Final = 5000
"""Of all subjects: what is stored with every delivery stays small."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long gaps are asked for.

    Attributes
    ----------
    attempts : int
        How often a gap is asked for; 0 never.
    first_s : float
        From the first attempt to the second one; the interval doubles from then on.
    longest_s : float
        Longest interval.
    """

    attempts: int
    first_s: float
    longest_s: float = 21_600.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A stretch that was asked for: how often, and when it may be the next time (s since 1970)."""

    begin_ns: int
    end_ns: int
    attempts: int
    next_s: float


class Attempts:
    """Remembers for each subject what was asked for.

    A gap that was partly filled is another gap then: what is left of it keeps the attempts that it had.

    Parameters
    ----------
    patience : Patience
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._asked: dict[str, list[_Asked]] = {}

    def due(self, subject: str, gaps: Sequence[Gap], now_s: float) -> list[Gap]:
        """Those of the gaps that may be asked for now."""
        return [gap for gap in gaps if self._may(self._overlapping(subject, gap), now_s)]

    def note(self, subject: str, gap: Gap, now_s: float) -> None:
        """A gap has been asked for."""
        before = self._overlapping(subject, gap)
        attempts = 1 + max((one.attempts for one in before), default=0)
        wait_s = min(self._patience.first_s * 2.0 ** (attempts - 1), self._patience.longest_s)
        kept = [one for one in self._asked.get(subject, []) if one not in before]
        kept += [part for one in before for part in _outside(one, gap)]
        kept.append(_Asked(*gap, attempts, now_s + wait_s))
        self._asked[subject] = sorted(kept, key=lambda one: one.begin_ns)[-MOST_KEPT:]

    def forget(self, subject: str, before_ns: int) -> None:
        """Nothing that ended before this time can change a product any more."""
        kept = [one for one in self._asked.get(subject, []) if one.end_ns > before_ns]
        self._asked[subject] = kept
        if not kept:
            del self._asked[subject]

    def snapshot(self) -> Json:
        """What was asked for, as JSON."""
        ends = sorted((one.end_ns for asked in self._asked.values() for one in asked), reverse=True)
        oldest_ns = ends[MOST_IN_ALL - 1] if len(ends) >= MOST_IN_ALL else -(1 << 62)
        return {
            subject: [
                [one.begin_ns, one.end_ns, one.attempts, one.next_s]
                for one in asked
                if one.end_ns >= oldest_ns
            ]
            for subject, asked in self._asked.items()
        }

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; what cannot be read is asked for anew."""
        self._asked = {}
        try:
            for subject, asked in dict(state).items():
                self._asked[str(subject)] = [
                    _Asked(int(begin), int(end), int(attempts), float(next_s))
                    for begin, end, attempts, next_s in asked
                ]
        except (TypeError, ValueError):
            self._asked = {}

    def _may(self, before: Sequence[_Asked], now_s: float) -> bool:
        attempts = max((one.attempts for one in before), default=0)
        return attempts < self._patience.attempts and all(one.next_s <= now_s for one in before)

    def _overlapping(self, subject: str, gap: Gap) -> list[_Asked]:
        begin_ns, end_ns = gap
        return [
            one for one in self._asked.get(subject, []) if one.begin_ns < end_ns and begin_ns < one.end_ns
        ]


def _outside(asked: _Asked, gap: Gap) -> list[_Asked]:
    """What of a stretch lies before and after a gap."""
    parts = [(asked.begin_ns, min(asked.end_ns, gap[0])), (max(asked.begin_ns, gap[1]), asked.end_ns)]
    return [_Asked(begin, end, asked.attempts, asked.next_s) for begin, end in parts if begin < end]
