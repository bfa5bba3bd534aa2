"""The gauges that follow from the last products: worked out at each scrape, so that they come and go as a whole."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.types import REGIONS, SECOND_NS, Json, Label, Product

STATION_STATES = ("ok", "late", "gap", "flat", "spikes", "clock", "offline")
"""The states of a `health` object."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """The newest product of a subject; `body` is None once it is no longer valid."""

    time_ns: int
    revision: int
    valid_until_ns: int | None
    body: Mapping[str, Json] | None
    # When it was put here, on a clock that never steps.
    put_ns: int


_Subjects = list[tuple[str, _Shown]]

_UNWATCHED_NS = 300 * SECOND_NS


class ProductGauges(Collector):
    """Shows the newest product of each subject, and which events are open. May be called from any thread.

    Parameters
    ----------
    monotonic_ns : callable
        A clock that never steps: a value that nobody renews or takes away goes by it.
    """

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._watched_ns = monotonic_ns()
        # Kind to subject to what is shown; replaced as a whole under the lock, because scrapes may run in a thread.
        self._lock = threading.Lock()
        self._shown: dict[str, dict[str, _Shown]] = {
            "flr": {},
            "health": {},
            "plasmapause": {},
            "region": {},
        }
        # Kind and subject of events to the `data_id` of those that are open.
        self._open: dict[tuple[str, str], set[str]] = {}

    def put(self, product: Product) -> None:
        with self._lock:
            if product.kind == "event":
                self._put_event(product.body["properties"])
                return
            subjects = self._shown.get(product.kind)
            if subjects is None:
                return
            held = subjects.get(product.subject)
            if held is not None and (held.time_ns, held.revision) > (product.time_ns, product.revision):
                return
            subjects[product.subject] = _Shown(
                product.time_ns,
                product.revision,
                product.valid_until_ns,
                dict(product.body),
                self._monotonic_ns(),
            )

    def _put_event(self, properties: Mapping[str, Json]) -> None:
        held = self._open.setdefault((properties["kind"], properties["subject"]), set())
        if properties["state"] == "end":
            held.discard(properties["data_id"])
        else:
            held.add(properties["data_id"])

    def expect(self, kind: str, subjects: Iterable[str]) -> None:
        """Show events of a kind as not active until there is one."""
        with self._lock:
            for subject in subjects:
                self._open.setdefault((kind, subject), set())

    def forget(self, kind: str, subject: str) -> None:
        with self._lock:
            self._shown.get(kind, {}).pop(subject, None)

    def expire(self, clock_ns: Callable[[str], int | None]) -> None:
        with self._lock:
            self._watched_ns = self._monotonic_ns()
            for subjects in self._shown.values():
                for subject, shown in subjects.items():
                    now_ns = clock_ns(subject) if shown.valid_until_ns is not None else None
                    if (
                        now_ns is not None
                        and shown.valid_until_ns is not None
                        and now_ns > shown.valid_until_ns
                    ):
                        subjects[subject] = replace(shown, body=None)

    def is_stale(self, kind: str, subject: str) -> bool:
        with self._lock:
            shown = self._shown.get(kind, {}).get(subject)
            return shown is None or self._seen(shown, self._monotonic_ns()).body is None

    def _seen(self, shown: _Shown, now_ns: int) -> _Shown:
        """A product as it is to be shown now: without its body where its time is over, or where nobody would know."""
        if shown.valid_until_ns is None:
            is_over = now_ns - self._watched_ns > _UNWATCHED_NS
        else:
            is_over = now_ns - shown.put_ns > shown.valid_until_ns - shown.time_ns
        return replace(shown, body=None) if is_over else shown

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            now_ns = self._monotonic_ns()
            pairs, stations, chains, craft = (
                sorted((subject, self._seen(one, now_ns)) for subject, one in self._shown[kind].items())
                for kind in ("flr", "health", "plasmapause", "region")
            )
            active = {key: float(bool(held)) for key, held in sorted(self._open.items())}
        yield from _of_pairs(pairs)
        yield from _of_chains(chains)
        yield from _of_craft(craft)
        state = GaugeMetricFamily(
            "geospace_station_state",
            "Whether a source is in this state (1) or not (0).",
            labels=("station", "state"),
        )
        for station, shown in stations:
            _add_states(state, station, STATION_STATES, (shown.body or {}).get("state"))
        yield state
        event = GaugeMetricFamily(
            "geospace_event_active",
            "Whether an event of this kind is open at a subject (1) or not (0).",
            labels=("kind", "subject"),
        )
        for key, value in active.items():
            event.add_metric(key, value)
        yield event


def _of_pairs(pairs: _Subjects) -> Iterator[Metric]:
    label = GaugeMetricFamily(
        "geospace_flr_label",
        "Whether a pair's last window has this label (1) or not (0).",
        labels=("pair", "label"),
    )
    frequency = GaugeMetricFamily(
        "geospace_flr_frequency_hertz", "Resonance frequency of a pair's last window.", labels=("pair",)
    )
    density = GaugeMetricFamily(
        "geospace_flr_density_amu_per_cubic_centimeter",
        "Equatorial plasma mass density of a pair's last window.",
        labels=("pair",),
    )
    timestamp = GaugeMetricFamily(
        "geospace_flr_data_timestamp_seconds",
        "End of a pair's last window, Unix time of the data.",
        labels=("pair",),
    )
    coverage = GaugeMetricFamily(
        "geospace_window_coverage_ratio",
        "Share of the samples of a pair's last window that a station gave.",
        labels=("pair", "station"),
    )
    for pair, shown in pairs:
        timestamp.add_metric((pair,), shown.time_ns / SECOND_NS)
        body = shown.body or {}
        _add_states(label, pair, Label, body.get("label"))
        _add_known(frequency, pair, body.get("frequency_mHz"), 1e-3)
        _add_known(density, pair, body.get("density_amu_cm3"))
        for station, share in (body.get("coverage") or {}).items():
            ratio = _finite(share)
            if ratio is not None:
                coverage.add_metric((pair, station), ratio)
    yield from (label, frequency, density, timestamp, coverage)


def _of_chains(chains: _Subjects) -> Iterator[Metric]:
    l_shell = GaugeMetricFamily(
        "geospace_plasmapause_l_shell",
        "L of the plasmapause in a chain's last window.",
        labels=("chain",),
    )
    timestamp = GaugeMetricFamily(
        "geospace_plasmapause_data_timestamp_seconds",
        "End of a chain's last window, Unix time of the data.",
        labels=("chain",),
    )
    for chain, shown in chains:
        timestamp.add_metric((chain,), shown.time_ns / SECOND_NS)
        _add_known(l_shell, chain, (shown.body or {}).get("l_shell"))
    yield from (l_shell, timestamp)


def _of_craft(craft: _Subjects) -> Iterator[Metric]:
    label = GaugeMetricFamily(
        "geospace_region_label",
        "Whether a spacecraft's last window has this label (1) or not (0).",
        labels=("craft", "label"),
    )
    confidence = GaugeMetricFamily(
        "geospace_region_confidence_ratio",
        "Calibrated probability of the label of a spacecraft's last window.",
        labels=("craft",),
    )
    timestamp = GaugeMetricFamily(
        "geospace_region_data_timestamp_seconds",
        "End of a spacecraft's last window, Unix time of the data.",
        labels=("craft",),
    )
    for name, shown in craft:
        timestamp.add_metric((name,), shown.time_ns / SECOND_NS)
        body = shown.body or {}
        _add_states(label, name, REGIONS, body.get("label"))
        _add_known(confidence, name, body.get("confidence"))
    yield from (label, confidence, timestamp)


def _add_known(family: GaugeMetricFamily, subject: str, value: Json, factor: float = 1.0) -> None:
    number = _finite(value)
    if number is not None:
        family.add_metric((subject,), number * factor)


def _add_states(family: GaugeMetricFamily, subject: str, states: Iterable[str], current: Json) -> None:
    """Add a state set, unless the state is unknown: a set of zeros would claim that it is none of them."""
    names = [str(state) for state in states]
    if current in names:
        for name in names:
            family.add_metric((subject, name), float(name == current))


def _finite(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
