"""Says in the log what was refused, in few lines however much comes."""

from __future__ import annotations

from dataclasses import dataclass

_INTERVAL_NS = 60 * 1_000_000_000
_DAY_NS = 86_400 * 1_000_000_000
# What an ordinary observatory sends beside its variometers, every second for years.
_ORDINARY = frozenset({"minute_data", "not_magnetic", "scalar_only"})
_MOST_ORDINARY = 1000
_LINES = 60
_TOPIC_CHARACTERS = 120


@dataclass(slots=True)
class _Told:
    at_ns: int
    since: int = 0


class Complaints:
    """Decides what is worth a line: one a minute for a topic and reason, and a bounded number in all.

    What is ordinary is said once a day.
    A station that sends rubbish every second must not fill the disk, nor may a sender that invents topics; and
    neither may hide the line about another station.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], _Told] = {}
        self._begun_ns = 0
        self._lines = 0
        self._dropped = 0

    def line(self, topic: str, reason: str, detail: str, now_ns: int) -> str | None:
        """The line to log now (monotonic time, ns), or None where enough has been said."""
        if not self._told or now_ns - self._begun_ns >= _INTERVAL_NS:
            self._begin(now_ns)
        told = self._told.get((topic, reason))
        if told is not None and now_ns - told.at_ns < _interval_ns(reason):
            told.since += 1
            return None
        if self._lines >= _LINES:
            self._dropped += 1
            return None
        self._lines += 1
        self._told[topic, reason] = _Told(now_ns)
        # Whoever names a topic must not write lines of our log: control characters come out as escapes.
        shown = repr(topic[:_TOPIC_CHARACTERS])
        last = "day" if reason in _ORDINARY else "minute"
        more = f" ({told.since} more like it in the last {last})" if told is not None and told.since else ""
        other = f" ({self._dropped} others were not logged)" if self._dropped else ""
        self._dropped = 0
        return f"refused a message on {shown}: {reason}: {detail}{more}{other}"

    def _begin(self, now_ns: int) -> None:
        """A new minute: the budget is whole again, and topics that have fallen silent are forgotten."""
        self._begun_ns, self._lines = now_ns, 0
        self._told = {
            key: told
            for key, told in list(self._told.items())[-_MOST_ORDINARY:]
            if now_ns - told.at_ns < 2 * _interval_ns(key[1])
        }


def _interval_ns(reason: str) -> int:
    return _DAY_NS if reason in _ORDINARY else _INTERVAL_NS
