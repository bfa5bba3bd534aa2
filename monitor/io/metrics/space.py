"""The gauges of spacecraft, from their newest objects."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from monitor.io.metrics.ground import Subjects
from monitor.io.metrics.known import add_known, add_shares, add_states
from monitor.types import REGIONS, SECOND_NS, Quality


def of_craft(craft: Subjects) -> Iterator[Metric]:
    """What is known of each spacecraft's last window."""
    stamp = _gauge(
        "geospace_region_data_timestamp_seconds",
        "End of a spacecraft's last window, Unix time of the data.",
    )
    label = _gauge(
        "geospace_region_label", "Whether a spacecraft's last window has this label (1) or not (0).", "label"
    )
    shares = _gauge("geospace_region_probability_ratio", "Calibrated probability of each region.", "label")
    confidence = _gauge(
        "geospace_region_confidence_ratio",
        "Calibrated probability of the label of a spacecraft's last window.",
    )
    quality = _gauge(
        "geospace_region_quality", "Whether the label has this quality (1) or not (0).", "quality"
    )
    for name, time_ns, body in craft:
        stamp.add_metric((name,), time_ns / SECOND_NS)
        add_states(label, (name,), REGIONS, body.get("label"))
        add_shares(shares, name, body.get("probability"))
        add_known(confidence, (name,), body.get("confidence"))
        add_states(quality, (name,), Quality, body.get("quality"))
    yield from (stamp, label, shares, confidence, quality)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=("craft", *labels))
