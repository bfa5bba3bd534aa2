"""The gauges that follow from the last products: worked out at each scrape, so that they come and go as a whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.io.metrics.events import OpenEvents
from monitor.io.metrics.ground import of_chains, of_pairs
from monitor.io.metrics.known import add_states
from monitor.io.metrics.space import of_craft
from monitor.types import SECOND_NS, Json, Product

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
        self._events = OpenEvents()

    def put(self, product: Product) -> None:
        with self._lock:
            if product.kind == "event":
                self._events.put(product.body["properties"])
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

    def expect(self, kind: str, subjects: Iterable[str]) -> None:
        """Show events of a kind as not active until there is one."""
        with self._lock:
            self._events.expect(kind, subjects)

    def keep_only(
        self, subjects: Mapping[str, Collection[str]], events: Mapping[str, Collection[str]]
    ) -> None:
        """Take away all of other subjects of these kinds of products, and of other subjects of events."""
        with self._lock:
            for kind, kept in subjects.items():
                shown = self._shown.get(kind, {})
                for subject in shown.keys() - set(kept):
                    del shown[subject]
            self._events.keep_only(events)

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
                [
                    (subject, one.time_ns, self._seen(one, now_ns).body or {})
                    for subject, one in sorted(self._shown[kind].items())
                ]
                for kind in ("flr", "health", "plasmapause", "region")
            )
            events = self._events.collect()
        yield from of_pairs(pairs)
        yield from of_chains(chains)
        yield from of_craft(craft)
        state = GaugeMetricFamily(
            "geospace_station_state",
            "Whether a source is in this state (1) or not (0).",
            labels=("station", "state"),
        )
        for station, _, body in stations:
            add_states(state, (station,), STATION_STATES, body.get("state"))
        yield state
        yield from events
