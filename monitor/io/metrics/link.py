"""The metrics of the link to the broker, taken from the link itself at each scrape: never older than the scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor.io.mqtt.watch import LinkReading
from monitor.types import SECOND_NS


class LinkMetrics(Collector):
    """Shows what the link reads; before there is one, what one reads that never connected.

    What former links counted is added: a counter goes on when one follows another.
    """

    def __init__(self) -> None:
        self._source: Callable[[], LinkReading] = LinkReading
        self._former = LinkReading()

    def follow(self, source: Callable[[], LinkReading]) -> None:
        """Show from now on what `source` reads, behind what was."""
        self._former, self._source = self._sum(), source

    def _sum(self) -> LinkReading:
        """The reading of the present link, with what those before it counted."""
        reading, former = self._source(), self._former
        return replace(
            reading,
            connections=reading.connections + former.connections,
            held_s=reading.held_s + former.held_s,
            last_message_ns=former.last_message_ns
            if reading.last_message_ns is None
            else reading.last_message_ns,
        )

    def collect(self) -> Iterator[Metric]:
        """One family for each metric; the time of the last message is absent before the first."""
        reading = self._sum()
        yield GaugeMetricFamily(
            "geospace_mqtt_connected",
            "Whether the broker is connected (1) or not (0).",
            float(reading.connected),
        )
        yield CounterMetricFamily(
            "geospace_mqtt_connections", "Connections to the broker that came up.", reading.connections
        )
        yield GaugeMetricFamily(
            "geospace_mqtt_unacknowledged_messages",
            "Messages received over the present connection and not yet acknowledged.",
            reading.unacknowledged,
        )
        yield CounterMetricFamily(
            "geospace_intake_held_seconds",
            "Seconds for which the broker was held back, because what had come was not stored yet.",
            reading.held_s,
        )
        last = GaugeMetricFamily(
            "geospace_mqtt_last_message_timestamp_seconds", "When the last message arrived.", labels=()
        )
        if reading.last_message_ns is not None:
            last.add_metric((), reading.last_message_ns / SECOND_NS)
        yield last
