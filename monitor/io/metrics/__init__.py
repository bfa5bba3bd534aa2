"""The metrics of the monitor: prefix `geospace_`, base units, on a registry of their own.

A value that is no longer valid disappears; its `…_timestamp_seconds` stays, so that an alert can see its age. There is
never a NaN and never a sentinel. What belongs to a product (label, frequency, coverage) is not kept in gauges but
worked out from the last product at each scrape: so it comes and goes as a whole.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.process_collector import ProcessCollector

from monitor import __version__
from monitor.io.http.refusals import REASONS as HTTP_REASONS
from monitor.io.metrics.link import LinkMetrics
from monitor.io.metrics.plugins import PluginMetrics
from monitor.io.metrics.products import STATION_STATES, ProductGauges
from monitor.io.metrics.watched import Watched, WatchedMetrics, WatchedPair
from monitor.io.mqtt.watch import LinkReading
from monitor.models.base import ModelInfo
from monitor.types import SECOND_NS, Product

__all__ = ["STATION_STATES", "Metrics", "PluginMetrics", "Watched", "WatchedPair"]

# A stage takes microseconds for a tick and up to seconds for ten thousand pairs.
_STAGE_BUCKETS_S = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
# Window end to publish: the lateness (2 min) lies in the middle; hours are late data and replays.
_LATENCY_BUCKETS_S = (
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    180.0,
    300.0,
    600.0,
    1800.0,
    3600.0,
    7200.0,
)


class Metrics:
    """All metrics of one daemon. Every method may be called from any thread.

    Parameters
    ----------
    decoders : iterable of str
        Names of the configured decoders: their counters are there from the start, at 0.
    reasons : collection of str
        Reasons of rejection that are known beforehand; others appear when they first happen.
    build : mapping of str to str, optional
        Labels of `geospace_build_info` beside `version` and `python`.
    wall_ns, monotonic_ns : callable
        The time of day (ns UTC), and one that never steps (ns).
    """

    def __init__(
        self,
        decoders: Iterable[str] = (),
        *,
        reasons: Collection[str] = (),
        build: Mapping[str, str] | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        # The library has no switch per registry: `_created` would double the number of series.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped in the library
        self.registry = CollectorRegistry()
        self._received = Counter(
            "geospace_messages_received_total",
            "Messages taken from the broker.",
            ("decoder",),
            registry=self.registry,
        )
        self._rejected = Counter(
            "geospace_messages_rejected_total",
            "Messages that could not be used.",
            ("decoder", "reason"),
            registry=self.registry,
        )
        self._stored = Counter(
            "geospace_samples_stored_total",
            "Samples committed to the durable store.",
            ("source",),
            registry=self.registry,
        )
        self._lag = Gauge(
            "geospace_source_lag_seconds",
            "How far a source's own clock is behind the present.",
            ("source",),
            registry=self.registry,
        )
        self._lagging: set[str] = set()
        self._stage = Histogram(
            "geospace_stage_duration_seconds",
            "Time that a stage took for one batch.",
            ("stage",),
            buckets=_STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self._latency = Histogram(
            "geospace_product_latency_seconds",
            "Time from the end of a product's window to its publication.",
            ("product",),
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._queue = Gauge(
            "geospace_queue_depth", "Entries that wait in a queue.", ("queue",), registry=self.registry
        )
        self._tasks = Gauge(
            "geospace_event_loop_tasks", "Tasks of the event loop: about constant.", registry=self.registry
        )
        self._store_bytes = Gauge(
            "geospace_store_bytes", "Size of the durable store with its log.", registry=self.registry
        )
        self._store_free = Gauge(
            "geospace_store_free_bytes",
            "Room that is left on the file system of the durable store.",
            registry=self.registry,
        )
        info = Info(
            "geospace_build", "Version of the program and of its interpreter.", registry=self.registry
        )
        info.info({"version": __version__, "python": platform.python_version(), **(build or {})})
        self._model = Info(
            "geospace_model",
            "Learned model at work, with the first digits of its hash.",
            ("kind", "model"),
            registry=self.registry,
        )
        self._events = Counter(
            "geospace_events_total",
            "Events that began since the program started.",
            ("kind", "subject"),
            registry=self.registry,
        )
        self._link = LinkMetrics()
        self.registry.register(self._link)
        self.plugins = PluginMetrics(self.registry)
        self._http_refused = Counter(
            "geospace_http_refused_total",
            "Requests and connections that the HTTP server refused.",
            ("reason",),
            registry=self.registry,
        )
        for reason in HTTP_REASONS:
            self._http_refused.labels(reason)
        self._failures = Counter(
            "geospace_part_failures_total",
            "Times that a part of the pipeline raised, and a subject got nothing from it.",
            ("part",),
            registry=self.registry,
        )
        self._missing = Gauge(
            "geospace_model_missing",
            "Whether a learned model that the configuration names cannot be used (1) or can (0).",
            ("kind",),
            registry=self.registry,
        )
        self._degraded = Gauge(
            "geospace_degraded",
            "Whether something keeps the program from being all that it should be (1) or not any more (0).",
            ("concern",),
            registry=self.registry,
        )
        self._injected = Counter(
            "geospace_injection_windows_total",
            "Windows of injected signals that were judged since the program started.",
            ("subject", "outcome"),
            registry=self.registry,
        )
        self._injected_time = Gauge(
            "geospace_injection_data_timestamp_seconds",
            "End of the last injected window that was judged, Unix time.",
            ("subject",),
            registry=self.registry,
        )
        self._recovered = Gauge(
            "geospace_injection_recovered_ratio",
            "Share of the injected windows of the last 24 hours that were labelled as the signal was.",
            ("subject",),
            registry=self.registry,
        )
        self._reload = Gauge(
            "geospace_config_last_reload_successful",
            "Whether the configuration that was read last is in force (1) or was refused (0).",
            registry=self.registry,
        )
        self._reload_time = Gauge(
            "geospace_config_last_reload_success_timestamp_seconds",
            "When the configuration that is in force was taken up, Unix time.",
            registry=self.registry,
        )
        self.config_reloaded(True)
        self._watched = WatchedMetrics()
        self.registry.register(self._watched)
        self._products = ProductGauges(monotonic_ns)
        self.registry.register(self._products)
        self.registry.register(ProcessCollector(registry=None))
        for decoder in decoders:
            self._received.labels(decoder)
            for reason in reasons:
                self._rejected.labels(decoder, reason)

    def config_reloaded(self, successful: bool) -> None:
        """Show how reading the configuration ended: it is in force from now on, or the old one stays."""
        self._reload.set(float(successful))
        if successful:
            self._reload_time.set(self._wall_ns() / SECOND_NS)

    def expect_decoders(self, decoders: Iterable[str]) -> None:
        """Show the counters of decoders from the start, at 0."""
        for decoder in decoders:
            self._received.labels(decoder)

    def watch(self, watched: Watched) -> None:
        """Show what there is to watch, in place of what was shown before."""
        self._watched.watched = watched

    def models(self, models: Iterable[ModelInfo]) -> None:
        """Show which learned models are at work, in place of those shown before."""
        self._model.clear()
        for model in models:
            self._model.labels(model.kind, f"{model.name}/{model.version}").info({"sha256": model.short})

    def models_missing(self, kinds: Mapping[str, bool]) -> None:
        """Show for each kind of learned model whether it is wanted and cannot be used."""
        for kind, missing in kinds.items():
            self._missing.labels(kind).set(float(missing))

    def part_failed(self, part: str) -> None:
        """Count a failure of a part of the pipeline."""
        self._failures.labels(part).inc()

    def degraded(self, concern: str, *, degraded: bool) -> None:
        """Set whether a concern keeps the program from being all that it should be."""
        self._degraded.labels(concern).set(float(degraded))

    def message_received(self, decoder: str, count: int = 1) -> None:
        """Count messages taken from the broker."""
        self._received.labels(decoder).inc(count)

    def message_rejected(self, decoder: str, reason: str, count: int = 1) -> None:
        """Count messages that could not be used; `reason` is that of the `DecodeError`."""
        self._rejected.labels(decoder, reason).inc(count)

    def samples_stored(self, source: str, count: int) -> None:
        """Count samples committed to the store."""
        self._stored.labels(source).inc(count)

    def source_clock(self, source: str, clock_ns: int | None) -> None:
        """Set how far a source has come (ns UTC); None takes it away.

        The lag is worked out at each scrape: it grows also while nobody reads clocks.
        """
        if clock_ns is not None:
            self._lagging.add(source)
            self._lag.labels(source).set_function(lambda: (self._wall_ns() - clock_ns) / SECOND_NS)
        else:
            self._lagging.discard(source)
            with suppress(KeyError):  # older versions of the library raise where there is nothing to remove
                self._lag.remove(source)

    def stage_duration(self, stage: str, duration_s: float) -> None:
        """Record how long a stage took for one batch (s)."""
        self._stage.labels(stage).observe(duration_s)

    def product_latency(self, product: str, latency_s: float) -> None:
        """Record the time from the end of a product's window to its publication (s)."""
        self._latency.labels(product).observe(latency_s)

    def link(self, source: Callable[[], LinkReading]) -> None:
        """Show the link to the broker as `source` reads it at each scrape; what the former one counted stays counted."""
        self._link.follow(source)

    def queue_depth(self, queue: str, depth: int) -> None:
        """Set how many entries wait in a queue."""
        self._queue.labels(queue).set(depth)

    def tasks(self, count: int) -> None:
        """Set how many tasks the event loop has."""
        self._tasks.set(count)

    def store_size(self, size: int, free: int) -> None:
        """Set the size of the store and the room left on its file system (bytes)."""
        self._store_bytes.set(size)
        self._store_free.set(free)

    def expect_injection(self, subject: str, outcomes: Iterable[str]) -> None:
        """Show from the start, at 0, what may become of injected windows."""
        for outcome in outcomes:
            self._injected.labels(subject, outcome)

    def injection_judged(self, subject: str, outcome: str, end_s: float) -> None:
        """Count a verdict on the injected window that ended at `end_s` (Unix time)."""
        self._injected.labels(subject, outcome).inc()
        self._injected_time.labels(subject).set(end_s)

    def forget_injection(self, subject: str) -> None:
        """Take away what is shown of a signal that is injected no more; its counters stay."""
        self.injection_recovered(subject, None)
        with suppress(KeyError):
            self._injected_time.remove(subject)

    def injection_recovered(self, subject: str, ratio: float | None) -> None:
        """Set the share of injected windows that were recovered; None takes it away."""
        if ratio is not None:
            self._recovered.labels(subject).set(ratio)
        else:
            with suppress(KeyError):
                self._recovered.remove(subject)

    def product(self, product: Product) -> None:
        """Show a product (`flr`, `health`, `plasmapause`, `region` or `event`; others have no metrics).

        One older than what is shown is ignored; the updates of an event come in their order.
        """
        self._products.put(product)

    def event_began(self, kind: str, subject: str) -> None:
        """Count an event that begins."""
        self._events.labels(kind, subject).inc()

    def expect_events(self, kind: str, subjects: Iterable[str]) -> None:
        """Show from the start, at 0, where events of a kind may happen: an alert sees the first of them too."""
        names = list(subjects)
        self._products.expect(kind, names)
        for subject in names:
            self._events.labels(kind, subject)

    def http_refused(self, reason: str) -> None:
        """Count a request or a connection that the HTTP server refused."""
        self._http_refused.labels(reason).inc()

    def keep_only(
        self, subjects: Mapping[str, Collection[str]], events: Mapping[str, Collection[str]]
    ) -> None:
        """Take away what is shown of others: of kinds of products, and of events; counters stay.

        The subjects of `health` are those that may have a lag.
        """
        self._products.keep_only(subjects, events)
        for source in self._lagging.difference(subjects["health"]):
            self.source_clock(source, None)

    def expire(self, clock_ns: Callable[[str], int | None]) -> None:
        """Take away the values whose product clock has passed their `valid_until`; the timestamps stay.

        What has been shown for as long as it is valid, and was not renewed, goes in any case: where no clock moves any
        more, nothing is known. States of health go where this was not called for five minutes.

        Parameters
        ----------
        clock_ns : callable
            From the name of a pair, a chain or a spacecraft (or a health subject) to its product clock (ns); None where it is not
            known.
        """
        self._products.expire(clock_ns)

    def is_stale(self, kind: str, subject: str) -> bool:
        """Whether the newest product of a subject is no longer shown, or there is none."""
        return self._products.is_stale(kind, subject)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text, and its content type: OpenMetrics where `accept` asks for it."""
        if "application/openmetrics-text" in accept.lower():
            text: bytes = generate_openmetrics(self.registry)  # type: ignore[no-untyped-call]  # untyped in the library
            return text, CONTENT_TYPE_OPENMETRICS
        return generate_text(self.registry), CONTENT_TYPE_PLAIN_0_0_4
