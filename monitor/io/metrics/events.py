"""The gauges of open events: whether there is one, and what is said of the newest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from monitor.io.metrics.known import add_known, add_states
from monitor.types import Json

DIRECTIONS = ("inward", "outward", "inbound", "outbound")
"""Of the plasmapause, and of spacecraft."""


class OpenEvents:
    """Which events are open. Not for several threads at once: whoever holds it locks."""

    def __init__(self) -> None:
        # Kind and subject of events to the `data_id` of those that are open, with what was last said of each.
        self._open: dict[tuple[str, str], dict[str, Mapping[str, Json]]] = {}

    def put(self, properties: Mapping[str, Json]) -> None:
        """Take in an update of an event."""
        held = self._open.setdefault((properties["kind"], properties["subject"]), {})
        if properties["state"] == "end":
            held.pop(properties["data_id"], None)
        else:
            held[properties["data_id"]] = properties

    def expect(self, kind: str, subjects: Iterable[str]) -> None:
        """Show events of a kind as not active until there is one."""
        for subject in subjects:
            self._open.setdefault((kind, subject), {})

    def keep_only(self, subjects: Mapping[str, Collection[str]]) -> None:
        """Take away what is held of other subjects, by kind."""
        self._open = {
            (kind, subject): held
            for (kind, subject), held in self._open.items()
            if subject in subjects.get(kind, ())
        }

    def collect(self) -> list[Metric]:
        """One family for each metric."""
        active = _gauge(
            "geospace_event_active", "Whether an event of this kind is open at a subject (1) or not (0)."
        )
        start = _gauge(
            "geospace_event_start_timestamp_seconds", "When the open event began, Unix time of the data."
        )
        direction = _gauge(
            "geospace_event_direction",
            "Whether the open event has this direction (1) or not (0).",
            "direction",
        )
        l_shell = _gauge("geospace_event_l_shell", "L at which the open event was last seen.")
        confidence = _gauge("geospace_event_confidence_ratio", "Probability that the open event is one.")
        for key, held in sorted(self._open.items()):
            active.add_metric(key, float(bool(held)))
            for about in _newest(held):
                add_known(start, key, _seconds(about.get("start_datetime")))
                add_states(direction, key, _possible(about.get("direction")), about.get("direction"))
                add_known(l_shell, key, about.get("l_shell"))
                add_known(confidence, key, about.get("confidence"))
        return [active, start, direction, l_shell, confidence]


def _newest(held: Mapping[str, Mapping[str, Json]]) -> list[Mapping[str, Json]]:
    """The open event that began last, if there is any."""
    return sorted(held.values(), key=lambda about: str(about.get("start_datetime")))[-1:]


def _possible(direction: Json) -> tuple[str, ...]:
    """Both directions of the axis that a direction is on."""
    return DIRECTIONS[:2] if direction in DIRECTIONS[:2] else DIRECTIONS[2:]


def _seconds(time: Json) -> float | None:
    return datetime.fromisoformat(time).timestamp() if isinstance(time, str) else None


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=("kind", "subject", *labels))
