"""What a gauge may show: numbers that are known, and states one of which holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import GaugeMetricFamily

from monitor.types import Json


def add_known(family: GaugeMetricFamily, labels: Iterable[str], value: Json, factor: float = 1.0) -> None:
    """Add `value` × `factor`, unless the value is unknown."""
    number = finite(value)
    if number is not None:
        family.add_metric(tuple(labels), number * factor)


def add_interval(
    lower: GaugeMetricFamily,
    upper: GaugeMetricFamily,
    labels: Iterable[str],
    interval: Json,
    factor: float = 1.0,
) -> None:
    """Add both ends of an interval, or neither."""
    if interval is None:
        return
    low, high = (finite(end) for end in interval)
    if low is not None and high is not None:
        names = tuple(labels)
        lower.add_metric(names, low * factor)
        upper.add_metric(names, high * factor)


def add_states(family: GaugeMetricFamily, subject: Iterable[str], states: Iterable[str], now: Json) -> None:
    """Add a state set, unless the state is unknown: a set of zeros would claim that it is none of them."""
    names = [str(state) for state in states]
    if now in names:
        for name in names:
            family.add_metric((*subject, name), float(name == now))


def add_shares(family: GaugeMetricFamily, subject: str, shares: Mapping[str, Json] | None) -> None:
    """Add a number for each name, as far as they are known."""
    for name, share in (shares or {}).items():
        add_known(family, (subject, name), share)


def finite(value: Json) -> float | None:
    """A number that is one, else None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
