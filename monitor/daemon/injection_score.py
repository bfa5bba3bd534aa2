"""What was injected against what came out: the verdicts on the windows of one shadow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.decoders.base import parse_time_ns
from monitor.errors import DecodeError
from monitor.types import SECOND_NS, Json, Shadow

MEMORY_NS: Final = 86_400 * SECOND_NS
"""The ratio is over the windows that ended within this time before the newest verdict."""
_MOST_HEARD: Final = 1000


class Outcome(StrEnum):
    """What became of an injected window."""

    RECOVERED = "recovered"
    WRONG = "wrong"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows that are judged: they end at the multiples of `every_ns` since 1970.

    `patience_ns` after its end a window has to be there.
    """

    length_ns: int
    every_ns: int
    patience_ns: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """On the window that ended at `end_ns`."""

    end_ns: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Heard:
    revision: int
    label: str | None
    frequency_Hz: float | None


class Score:
    """Waits for the windows of a shadow, and judges each once its time is over.

    It knows no clock: whoever owns one calls `judge`.

    Parameters
    ----------
    shadow : Shadow
    windows : Windows
    begin_ns : int
        Where the feed begins: a window that reaches back before it is not judged.
    """

    def __init__(self, shadow: Shadow, windows: Windows, begin_ns: int) -> None:
        self._shadow = shadow
        self._windows = windows
        self._heard: dict[int, _Heard] = {}
        self._verdicts: deque[Verdict] = deque()
        self._next_ns = 0
        self.begin_anew(begin_ns)

    @property
    def subject(self) -> str:
        """The pair or spacecraft that is judged."""
        return self._shadow.subject

    @property
    def topic(self) -> str:
        """Topic of its products below the output root."""
        return f"{self._shadow.kind}/{self._shadow.subject}"

    def begin_anew(self, begin_ns: int) -> None:
        """The feed was interrupted by ourselves: what reaches back before `begin_ns` is not judged."""
        earliest_ns = begin_ns + self._windows.length_ns
        every_ns = self._windows.every_ns
        self._next_ns = max(self._next_ns, -(-earliest_ns // every_ns) * every_ns)
        self._forget_heard()

    def hear(self, document: Json) -> None:
        """Take a product as it came over the broker; what is none of an awaited window is left out."""
        try:
            end_ns, revision = parse_time_ns(document["time"]), int(document["revision"])
            frequency_mHz = document.get("frequency_mHz")
            label = document["label"]
            frequency_Hz = None if frequency_mHz is None else 1e-3 * float(frequency_mHz)
        except (DecodeError, LookupError, TypeError, ValueError, AttributeError):
            return
        if end_ns < self._next_ns or end_ns % self._windows.every_ns or len(self._heard) >= _MOST_HEARD:
            return
        held = self._heard.get(end_ns)
        if held is None or held.revision <= revision:
            self._heard[end_ns] = _Heard(revision, label, frequency_Hz)

    def judge(self, now_ns: int) -> list[Verdict]:
        """The verdicts on all windows whose time is over at `now_ns`."""
        found = []
        while self._next_ns + self._windows.patience_ns <= now_ns:
            end_ns = self._next_ns
            self._next_ns += self._windows.every_ns
            truth = self._shadow.truth(end_ns, self._windows.length_ns)
            if truth is None:
                continue
            heard = self._heard.get(end_ns)
            if heard is None:
                outcome = Outcome.MISSING
            elif truth.is_recovered(heard.label, heard.frequency_Hz):
                outcome = Outcome.RECOVERED
            else:
                outcome = Outcome.WRONG
            found.append(Verdict(end_ns, outcome))
        self._verdicts.extend(found)
        self._forget_heard()
        while self._verdicts and self._verdicts[0].end_ns <= now_ns - MEMORY_NS:
            self._verdicts.popleft()
        return found

    @property
    def recovered_ratio(self) -> float | None:
        """Share of the windows of the last 24 hours that were recovered; None while none was judged."""
        if not self._verdicts:
            return None
        right = sum(verdict.outcome is Outcome.RECOVERED for verdict in self._verdicts)
        return right / len(self._verdicts)

    def page(self) -> dict[str, Json]:
        """For `/api/status`: the ratio, and how many windows it is over, by outcome."""
        return {
            "recovered_ratio": self.recovered_ratio,
            "windows": {
                str(outcome): sum(verdict.outcome is outcome for verdict in self._verdicts)
                for outcome in Outcome
            },
        }

    def _forget_heard(self) -> None:
        self._heard = {end_ns: heard for end_ns, heard in self._heard.items() if end_ns >= self._next_ns}
