"""What the configuration says that there is to watch: an alert knows from it what is missing, and after how long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class WatchedPair:
    """A pair by the codes of its stations; `chain` is the first that it belongs to, empty for none."""

    name: str
    poleward: str
    equatorward: str
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """The subjects of products, but for injected ones, and how often products are due (by kind, s)."""

    pairs: tuple[WatchedPair, ...] = ()
    craft: tuple[str, ...] = ()
    cadence_s: tuple[tuple[str, float], ...] = ()
    lateness_s: tuple[tuple[str, float], ...] = ()


class WatchedMetrics(Collector):
    """Shows `watched`."""

    def __init__(self) -> None:
        self.watched = Watched()

    def collect(self) -> Iterator[Metric]:
        """One family for each metric."""
        watched = self.watched
        pairs = InfoMetricFamily(
            "geospace_pair",
            "Pair of stations that is configured, with the chain it belongs to.",
            labels=("pair",),
        )
        for pair in watched.pairs:
            about = {"poleward": pair.poleward, "equatorward": pair.equatorward, "chain": pair.chain}
            pairs.add_metric((pair.name,), about)
        yield pairs
        craft = InfoMetricFamily("geospace_craft", "Spacecraft that is configured.", labels=("craft",))
        for name in watched.craft:
            craft.add_metric((name,), {})
        yield craft
        cadence = GaugeMetricFamily(
            "geospace_product_cadence_seconds",
            "Time from one product of a subject to the next.",
            labels=("product",),
        )
        for product, seconds in watched.cadence_s:
            cadence.add_metric((product,), seconds)
        yield cadence
        lateness = GaugeMetricFamily(
            "geospace_product_lateness_seconds",
            "How long a window waits for its last samples.",
            labels=("product",),
        )
        for product, seconds in watched.lateness_s:
            lateness.add_metric((product,), seconds)
        yield lateness
