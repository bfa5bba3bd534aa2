"""The metrics of the plugins that are switched on."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge

from monitor.types import Kind


class PluginMetrics:
    """How plugins stand, and how far sinks are. Every method may be called from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge(
            "geospace_plugin_up",
            "Whether a plugin is at work (1), or failed or is switched off (0).",
            ("plugin", "kind"),
            registry=registry,
        )
        self._failures = Counter(
            "geospace_plugin_failures_total",
            "Times that a plugin raised, came to a time limit, died or could not be made.",
            ("plugin", "kind"),
            registry=registry,
        )
        self._taken = Counter(
            "geospace_sink_products_total", "Products that a sink has taken.", ("sink",), registry=registry
        )
        self._waiting = Gauge(
            "geospace_sink_waiting_products",
            "Committed products that a sink has not come to yet.",
            ("sink",),
            registry=registry,
        )
        self._lost = Counter(
            "geospace_sink_lost_products_total",
            "Products that were deleted from the store before a sink had taken them.",
            ("sink",),
            registry=registry,
        )
        self._known: dict[str, Kind] = {}

    def up(self, plugin: str, kind: Kind, *, up: bool) -> None:
        """Show whether a plugin is at work; its counters are there from then on."""
        self._known[plugin] = kind
        self._failures.labels(plugin, kind)
        self._up.labels(plugin, kind).set(float(up))
        if kind == "sink":
            self._taken.labels(plugin)
            self._lost.labels(plugin)

    def failed(self, plugin: str, kind: Kind) -> None:
        """Count a failure."""
        self._failures.labels(plugin, kind).inc()

    def took(self, sink: str, count: int) -> None:
        """Count products that a sink has taken."""
        self._taken.labels(sink).inc(count)

    def waiting(self, sink: str, count: int) -> None:
        """Set how many products wait for a sink."""
        self._waiting.labels(sink).set(count)

    def lost(self, sink: str, count: int) -> None:
        """Count products that are gone before a sink took them."""
        self._lost.labels(sink).inc(count)

    def keep_only(self, plugins: Collection[str]) -> None:
        """Take away what is shown of others; counters stay."""
        for plugin in [one for one in self._known if one not in plugins]:
            kind = self._known.pop(plugin)
            self._up.remove(plugin, kind)
            if kind == "sink":
                with suppress(KeyError):  # nothing was counted yet
                    self._waiting.remove(plugin)
