"""From samples to the pager with real parts: who is woken, when, how often, and for what.

Mosquitto → daemon → Prometheus → Alertmanager → a webhook, with the shipped rules, intervals and routes. Three daemons
are watched by one Prometheus at the same time, each with a broker of its own: over the first a storm comes; the feed of
the second dies some minutes before the same storm would be known; the third loses its broker.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from daemon_kit import DaemonProcess, Document, Listener, closing, eventually, write_config
from mqtt_kit import Mosquitto
from paging_kit import CROSSING, DOCS, Alertmanager, Prometheus, Webhook, unix_s
from storm_kit import CHAIN, HOUR_NS, MINUTE_NS, PAIRS, SETTINGS, START_NS, Feed, foreseen, stations_moved

from monitor.decoders.base import parse_time_ns
from monitor.types import SECOND_NS

# Most of it is waiting: for the half minutes of Prometheus, and the minutes of patience with a feed.
pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

STALE, BROKER_LOST = "GeospaceAllPairsStale", "GeospaceBrokerLost"
# The event is over with the third minute after it began.
_LASTS_NS = 3 * MINUTE_NS
# The second daemon's storm is so much later: when its feed dies, none of its samples may tell of a crossing yet.
_LATER_NS = 10 * MINUTE_NS
_EVER_NS = 1 << 62
# What a loaded machine may add to the intervals: a scrape that is just missed by the evaluation, too.
_SLACK_S = 15.0


class EventListener(Listener):
    """Keeps also when each event was heard of (Unix time)."""

    def __init__(self, port: int) -> None:
        self.heard_s: list[float] = []
        super().__init__(port)

    def _keep(self, message: paho.MQTTMessage) -> None:
        if "/event/" in message.topic:
            self.heard_s.append(time.time())
        super()._keep(message)

    def chain_states(self) -> list[str]:
        """What was said of the chain's event so far."""
        return [one["properties"]["state"] for one in self.documents(f"event/plasmapause_crossing/{CHAIN}")]


@dataclass(frozen=True)
class Site:
    """A daemon with its broker, its stations, and somebody who listens."""

    daemon: DaemonProcess
    broker: Mosquitto
    feed: Feed
    listener: EventListener

    @property
    def instance(self) -> str:
        return self.daemon.url.removeprefix("http://")


@dataclass(frozen=True)
class Watch:
    """Everything that runs; `known_ns` is when the storm's crossing is known, `killed_ns` when the second's feed died."""

    storm: Site
    silent: Site
    cut_off: Site
    prometheus: Prometheus
    alertmanager: Alertmanager
    webhook: Webhook
    known_ns: int
    killed_ns: int = 0


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Three daemons that have taken in their history, and what watches them."""
    folder = tmp_path_factory.mktemp("paging")
    for name in ("alertmanager", "prometheus", "storm", "silent", "cut_off"):
        (folder / name).mkdir()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as threads:
        webhook = stack.enter_context(Webhook())
        alertmanager = stack.enter_context(Alertmanager(folder / "alertmanager", webhook))
        # The hour need not be exact to the minute.
        stations = stations_moved(time.time_ns() - (START_NS + 3 * HOUR_NS))
        begun = [
            threads.submit(start, stack, folder / name, stations) for name in ("storm", "silent", "cut_off")
        ]
        asked_s = time.monotonic()
        seen_ns = parse_time_ns(foreseen().body["properties"]["time"])
        daemons = [one.result() for one in begun]
        # The daemons take in the same samples side by side, and then Prometheus has to see them. If that takes longer,
        # the first one's stations wait with what tells of the crossing.
        ready_ns = time.time_ns() + round((20.0 + 1.2 * (time.monotonic() - asked_s)) * SECOND_NS)
        known_ns = -(-ready_ns // MINUTE_NS) * MINUTE_NS
        shift_ns = known_ns - seen_ns
        later_ns = shift_ns + _LATER_NS
        fed = [
            threads.submit(feed, stack, daemon, shift_ns=moved_ns, from_ns=from_ns, until_ns=until_ns)
            for daemon, moved_ns, from_ns, until_ns in zip(
                daemons,
                (shift_ns, later_ns, later_ns),
                (START_NS + shift_ns, START_NS + later_ns, known_ns - 10 * MINUTE_NS),
                (known_ns - SECOND_NS, _EVER_NS, _EVER_NS),
                strict=True,
            )
        ]
        storm, silent, cut_off = (one.result() for one in fed)
        prometheus = stack.enter_context(
            Prometheus(
                folder / "prometheus",
                monitors=[one.instance for one in (storm, silent, cut_off)],
                alertmanager=alertmanager.address,
            )
        )
        eventually(
            lambda: len(prometheus.query('up{job="geospace-monitor"} == 1')) == 3, 120, lambda: prometheus.log
        )
        yield Watch(storm, silent, cut_off, prometheus, alertmanager, webhook, known_ns)


def start(stack: contextlib.ExitStack, folder: Path, stations: Document) -> tuple[Mosquitto, DaemonProcess]:
    """A daemon with a broker of its own."""
    broker = Mosquitto(folder)
    broker.start()
    stack.callback(broker.kill)
    config = write_config(folder / f"{folder.name}.yaml", broker.url, **SETTINGS, stations=stations)
    return broker, stack.enter_context(DaemonProcess(config))


def feed(
    stack: contextlib.ExitStack,
    running: tuple[Mosquitto, DaemonProcess],
    *,
    shift_ns: int,
    from_ns: int,
    until_ns: int,
) -> Site:
    """The daemon once it has taken in what its stations sent so far."""
    broker, daemon = running
    listener = stack.enter_context(closing(EventListener(broker.port)))
    stations = stack.enter_context(Feed(broker.port, shift_ns, from_ns=from_ns, until_ns=until_ns))

    def is_up_to_date() -> bool:
        newest_s = daemon.metric("geospace_flr_data_timestamp_seconds", pair=PAIRS[-1]) or 0.0
        return (
            stations.has_come_to_now and newest_s * SECOND_NS > min(until_ns, time.time_ns()) - 2 * MINUTE_NS
        )

    eventually(is_up_to_date, 240, lambda: daemon.log)
    return Site(daemon, broker, stations, listener)


@pytest.fixture(scope="module")
def pager_tried(watch: Watch) -> subprocess.CompletedProcess[str]:
    """What came of the command of `docs/how-to/try-the-pager.md`."""
    page = (DOCS / "how-to" / "try-the-pager.md").read_text(encoding="utf-8")
    typed = page.partition("```sh\n")[2].partition("```")[0]
    there = "http://127.0.0.1:9093"
    assert there in typed
    return subprocess.run(
        ["sh", "-eu", "-c", typed.replace(there, f"http://{watch.alertmanager.address}")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def troubles(watch: Watch, pager_tried: subprocess.CompletedProcess[str]) -> Watch:
    """The same from when on the second's stations are silent, the third's broker is dead, and the storm goes on."""
    assert watch.webhook.notices == [], str(watch.webhook)
    killed_ns = time.time_ns()
    assert killed_ns < watch.known_ns + _LATER_NS - 4 * MINUTE_NS, (
        "the machine was too slow: the storm is over the silent one"
    )
    watch.silent.feed.go_on(killed_ns)
    watch.cut_off.broker.kill()
    # Not to the end of the event: first the daemon is killed.
    watch.storm.feed.go_on(watch.known_ns + _LASTS_NS - SECOND_NS)
    return replace(watch, killed_ns=killed_ns)


def test_storm_pages_once_and_in_time_though_the_daemon_is_killed_in_the_middle(
    troubles: Watch, found: Callable[..., None]
) -> None:
    watch, storm = troubles, troubles.storm
    prometheus, webhook, instance = watch.prometheus, watch.webhook, storm.instance
    eventually(lambda: storm.listener.chain_states() == ["begin"], 240, lambda: storm.daemon.log)
    event = storm.listener.documents(f"event/plasmapause_crossing/{CHAIN}")[0]["properties"]
    assert event["direction"] == "inward"
    eventually(lambda: webhook.told(instance) != [], 180, lambda: prometheus.log)
    (notice, names), *_ = webhook.told(instance)
    assert names == [CROSSING]
    assert_tells(notice.alerts(instance, "firing")[0], event)
    delay_s = notice.received_s - storm.listener.heard_s[0]
    wait_s = watch.alertmanager.waits_s(alertname=CROSSING, severity="page")
    scraped_s, fired_s = times_of(prometheus, instance)
    found(
        event_to_page_s=round(delay_s, 1),
        event_to_scrape_s=round(scraped_s - storm.listener.heard_s[0], 1),
        scrape_to_evaluation_s=round(fired_s - scraped_s, 1),
        evaluation_to_page_s=round(notice.received_s - fired_s, 1),
    )
    assert delay_s <= prometheus.scrape_s + prometheus.evaluation_s + wait_s + _SLACK_S

    restart_unseen(watch)

    assert storm.daemon.metric("geospace_event_active", kind="plasmapause_crossing", subject=CHAIN) == 1.0, (
        "the restart was to come in mid-event"
    )
    assert times_of(prometheus, instance)[1] == fired_s
    assert webhook.pages(instance) == [CROSSING]
    assert webhook.pages(instance, "resolved") == []

    storm.feed.go_on(watch.known_ns + 60 * MINUTE_NS)
    eventually(lambda: storm.listener.chain_states()[-1] == "end", 240, lambda: storm.daemon.log)
    ended_s = storm.listener.heard_s[-1]
    eventually(lambda: webhook.pages(instance, "resolved") != [], 240, lambda: prometheus.log)
    resolved = webhook.told(instance, "resolved")[0][0]
    found(end_to_resolved_s=round(resolved.received_s - ended_s, 1))
    prometheus.wait_for_evaluations(1)
    assert CROSSING not in prometheus.alerts(instance)
    assert webhook.pages(instance) == [CROSSING], str(webhook)
    assert webhook.pages(instance, "resolved") == [CROSSING]
    assert set(storm.listener.chain_states()) == {"begin", "end"}


def assert_tells(alert: Document, event: Document) -> None:
    """A page names the chain, the direction and L, and where to read on."""
    labels, annotations = alert["labels"], alert["annotations"]
    assert (labels["severity"], labels["subject"], labels["direction"]) == ("page", CHAIN, "inward")
    assert CHAIN in annotations["summary"]
    assert "inward" in annotations["summary"]
    assert f"L {event['l_shell']:.2f}" in annotations["summary"]
    assert annotations["runbook_url"].endswith(f"#{CROSSING.lower()}")


def times_of(prometheus: Prometheus, instance: str) -> tuple[float, float]:
    """When Prometheus first saw the event, and since when it alerts (Unix time)."""
    chosen = f'kind="plasmapause_crossing",subject="{CHAIN}",instance="{instance}"'
    series = prometheus.query(f"geospace_event_active{{{chosen}}}[1h]")
    scraped_s = min(at for at, value in series[0]["values"] if float(value) == 1.0)
    return float(scraped_s), unix_s(prometheus.alerts(instance)[CROSSING]["activeAt"])


def restart_unseen(watch: Watch) -> None:
    """Kill the daemon for long enough that Prometheus misses it, and start it again until every rule has seen it."""
    prometheus, daemon, instance = watch.prometheus, watch.storm.daemon, watch.storm.instance
    daemon.kill()
    eventually(lambda: up(prometheus, instance) == 0.0, 120, lambda: prometheus.log)
    daemon.start()
    eventually(lambda: up(prometheus, instance) == 1.0, 120, lambda: prometheus.log)
    prometheus.wait_for_evaluations(1)


def up(prometheus: Prometheus, instance: str) -> float:
    (series,) = prometheus.query(f'up{{instance="{instance}"}}')
    return float(series["value"][1])


def test_dead_feed_pages_as_stale_and_never_as_a_crossing(
    troubles: Watch, found: Callable[..., None]
) -> None:
    watch, silent = troubles, troubles.silent
    instance = silent.instance
    eventually(lambda: watch.webhook.told(instance) != [], 400, lambda: silent.daemon.log)
    assert watch.webhook.pages(instance) == [STALE]
    told_s = watch.webhook.told(instance)[0][0].received_s
    found(silence_to_stale_page_s=round(told_s - watch.killed_ns / SECOND_NS, 1))
    # That its chain is stale too is nothing new.
    assert watch.alertmanager.is_muted(instance, "GeospaceChainStale")
    # Its last windows, of which a part is missing, are closed, and every rule has seen it: there is nothing left to see
    # a crossing in.
    empty = f'count_over_time(geospace_flr_flag{{flag="gap",instance="{instance}"}}[1h]) >= 3'
    eventually(lambda: len(watch.prometheus.query(empty)) == len(PAIRS), 240, lambda: silent.daemon.log)
    assert silent.listener.documents("event") == []
    alerted = watch.prometheus.query(f'count_over_time(ALERTS{{instance="{instance}"}}[1h])')
    names = {one["metric"]["alertname"] for one in alerted}
    assert STALE in names
    assert not any(name.startswith("GeospacePlasmapause") for name in names)
    assert watch.webhook.pages(instance) == [STALE], str(watch.webhook)


def test_dead_broker_is_one_page(troubles: Watch) -> None:
    watch, instance = troubles, troubles.cut_off.instance
    prometheus, alertmanager, webhook = watch.prometheus, watch.alertmanager, watch.webhook
    eventually(lambda: webhook.told(instance) != [], 240, lambda: prometheus.log)
    # In time all that rests on the broker is alarmed too; nobody hears of it.
    eventually(lambda: STALE in prometheus.alerts(instance), 400, lambda: prometheus.log)
    eventually(lambda: alertmanager.is_muted(instance, STALE), 120, lambda: alertmanager.log)
    since_s = unix_s(alertmanager.alerts(instance)[STALE]["startsAt"])
    would_be_told_s = since_s + alertmanager.waits_s(severity="page") + prometheus.evaluation_s
    eventually(lambda: time.time() > would_be_told_s, 120)
    assert alertmanager.is_muted(instance, STALE)
    assert webhook.pages(instance) == [BROKER_LOST], str(webhook)


def test_pager_rings_at_the_command_of_the_page(
    troubles: Watch, pager_tried: subprocess.CompletedProcess[str]
) -> None:
    assert pager_tried.returncode == 0, pager_tried.stdout + pager_tried.stderr

    def has_rung() -> bool:
        told = [one for one in troubles.webhook.notices if one.path == "/pager"]
        return "GeospacePagerTest" in [
            one.body["groupLabels"]["alertname"] for one in told if one.body["status"] == "firing"
        ]

    eventually(has_rung, 120, lambda: troubles.alertmanager.log)
