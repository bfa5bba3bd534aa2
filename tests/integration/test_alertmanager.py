"""What one cause makes of many alerts, with a real Alertmanager: one message to the pager.

The routes and mutes are the shipped ones; only the waits of the groups are shorter, so that the test need not take
minutes. All incidents come over it at the same time, each at a daemon of its own.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from daemon_kit import Document, eventually
from paging_kit import DEPLOY, Alertmanager, Webhook, seconds

from monitor.types import iso_time

SEVERITY = {
    rule["alert"]: rule["labels"]["severity"]
    for path in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


def _called(pattern: str) -> frozenset[str]:
    return frozenset(name for name in SEVERITY if re.fullmatch(f"Geospace({pattern})", name))


# What comes of a broker that is away, sooner or later, and of a feed that dies.
OF_BROKER = _called(
    "(AllPairs|Chain|Pair|Craft)Stale|(Pair|Craft)WithoutProducts|CatchingUp|Station(Offline|Late|Gap)|Injection.*"
    "|QueueGrowing|IntakeHeldBack|LatencyOverBudget|BrokerFlapping|Degraded"
)
OF_FEED = _called("(Chain|Pair)Stale|PairWithoutProducts|Station(Offline|Late|Gap)|Degraded")
# These have causes of their own, or are causes.
OF_THEIR_OWN = _called(
    "PlasmapauseCrossing.*|BoundaryCrossing|Daemon(Down|Restarting)|BrokerLost|Store.*|MessagesRejected|ModelMissing|PluginDown"
    "|PartFailing|ConfigReloadFailed|Station(Flat|Spiking|ClockOff)|ClockAhead"
    "|RulesFailing|NotificationsFailing"
)
SUBJECTS = {
    "GeospaceChainStale": [{"chain": "emma"}, {"chain": "north"}],
    "GeospacePairStale": [
        {"chain": "emma", "pair": "NUR-TAR"},
        {"chain": "emma", "pair": "TAR-BRZ"},
        {"pair": "SUW-PPN"},
    ],
    "GeospaceStationOffline": [
        {"station": code, "state": "offline"} for code in ("NUR", "TAR", "BRZ", "SUW", "PPN")
    ],
    "GeospaceInjectionMissing": [{"subject": "INJP-INJQ"}, {"subject": "INJECT"}],
}


def alerts(instance: str, *names: str, over: bool = False, **labels: str) -> list[Document]:
    """Alerts of a daemon, for each of their subjects, as Prometheus sends them."""
    return [
        {
            "labels": {
                "alertname": name,
                "severity": SEVERITY[name],
                "job": "geospace-monitor",
                "instance": instance,
                **subject,
            },
            "annotations": {"summary": name},
            **({"endsAt": iso_time(time.time_ns())} if over else {}),
        }
        for name in names
        for subject in ([labels] if labels else SUBJECTS.get(name, [{}]))
    ]


class Pager:
    """An Alertmanager with what it told whom."""

    def __init__(self, manager: Alertmanager, webhook: Webhook) -> None:
        self.manager = manager
        self.webhook = webhook

    def take(self, *batches: list[Document]) -> None:
        """Send alerts, all in one request: none of them waits for another."""
        request = urllib.request.Request(
            f"http://{self.manager.address}/api/v2/alerts",
            json.dumps([alert for batch in batches for alert in batch]).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200

    def heard(self, instance: str, *, status: str = "firing") -> list[tuple[str, str]]:
        """Whom it told of a daemon and of which alert: an entry for each message."""
        return [
            (notice.path.strip("/"), notice.body["groupLabels"]["alertname"])
            for notice in list(self.webhook.notices)
            if notice.alerts(instance, status)
        ]

    def muted(self, instance: str) -> dict[str, bool]:
        """Alerts of a daemon by name: whether another one keeps it quiet."""
        return {
            alert["labels"]["alertname"]: bool(alert["status"]["inhibitedBy"])
            for alert in self.manager.get("/api/v2/alerts")
            if alert["labels"]["instance"] == instance
        }

    def everything_told(self, *receivers: str) -> None:
        """Wait until these (all, unless they are named) were told of whatever came before, or it was muted.

        Groups that began earlier are told earlier where they wait equally long, and warnings wait the longest.
        """
        last = f"last-{time.monotonic_ns()}"
        self.take(alerts(last, "GeospaceModelMissing", "GeospaceStoreFull"))
        eventually(
            lambda: {to for to, _ in self.heard(last)} >= set(receivers or ("pager", "desk")),
            60.0,
            lambda: self.manager.log,
        )


class Quicker(Alertmanager):
    """The shipped one with shorter waits."""

    def __init__(self, directory: Path, webhook: Webhook) -> None:
        super().__init__(directory, webhook)
        routes = [self.configuration["route"], *self.configuration["route"]["routes"]]
        for route in routes:
            if "group_wait" in route:
                waits_s = seconds(route["group_wait"])
                route["group_wait"] = f"{round(waits_s * (100 if waits_s <= 30.0 else 33))}ms"
            if "group_interval" in route:
                route["group_interval"] = f"{round(seconds(route['group_interval']) * 10)}ms"
        self.file.write_text(yaml.safe_dump(self.configuration, sort_keys=False))


@pytest.fixture(scope="module")
def pager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pager]:
    with Webhook() as webhook, Quicker(tmp_path_factory.mktemp("alertmanager"), webhook) as manager:
        told = Pager(manager, webhook)
        _happen(told)
        yield told


def _happen(pager: Pager) -> None:
    """All incidents, side by side."""
    crossing = {"kind": "plasmapause_crossing", "direction": "inward"}
    # Mostly the cause is there first; here it comes a moment later.
    pager.take(alerts("consequences-first", *sorted(OF_BROKER - _called("CatchingUp"))))
    pager.take(
        alerts("consequences-first", "GeospaceBrokerLost"),
        alerts("broker", "GeospaceBrokerLost", *sorted(OF_BROKER)),
        *(alerts(f"many-{number}", "GeospaceBrokerLost", *sorted(OF_BROKER)) for number in range(10)),
        # After an outage: what is old is old for a reason.
        alerts("returned", *sorted(OF_BROKER - _called("BrokerFlapping|Degraded"))),
        # The feed dies, that of one chain, that of a pair.
        alerts("feed", "GeospaceAllPairsStale", *sorted(OF_FEED)),
        alerts("chain", "GeospaceChainStale", chain="emma"),
        alerts("chain", "GeospacePairStale"),
        alerts("station", "GeospacePairStale", pair="SUW-PPN"),
        alerts("station", "GeospaceStationFlat", station="PPN", state="flat"),
        # A chain is crossed, and its pairs; of another daemon, which is down meanwhile.
        alerts("storm", "GeospacePlasmapauseCrossing", subject="emma", **crossing),
        alerts("storm", "GeospacePlasmapauseCrossingOfPair", subject="NUR-TAR", **crossing),
        alerts("storm", "GeospacePlasmapauseCrossingOfPair", subject="TAR-BRZ", **crossing),
        alerts("gone", "GeospaceDaemonDown", "GeospaceAllPairsStale", "GeospaceStationOffline"),
        alerts("gone", "GeospacePlasmapauseCrossing", subject="emma", **crossing),
        # What happens to these daemons must not mute another.
        alerts("bystander", "GeospaceAllPairsStale", "GeospaceStationFlat"),
    )
    pager.everything_told()


def test_every_alert_is_known_to_follow_from_a_broker_or_not() -> None:
    assert not OF_BROKER & OF_THEIR_OWN
    assert SEVERITY.keys() == OF_BROKER | OF_THEIR_OWN


@pytest.mark.parametrize("instance", ["broker", "consequences-first"])
def test_dead_broker_is_one_page_whatever_follows(pager: Pager, instance: str) -> None:
    assert pager.heard(instance) == [("pager", "GeospaceBrokerLost")]
    muted = pager.muted(instance)
    assert muted.keys() | _called("CatchingUp") == OF_BROKER | {"GeospaceBrokerLost"}
    assert [name for name, is_muted in muted.items() if not is_muted] == ["GeospaceBrokerLost"]


def test_dead_broker_of_many_daemons_is_one_page(pager: Pager) -> None:
    told = [notice for notice in pager.webhook.notices if notice.alerts("many-0", "firing")]
    assert len(told) == 1
    assert all(told[0].alerts(f"many-{number}", "firing") for number in range(10))


def test_dead_feed_is_one_page(pager: Pager) -> None:
    assert pager.heard("feed") == [("pager", "GeospaceAllPairsStale")]


def test_dead_chain_is_one_page_and_a_pair_of_none_is_read_later(pager: Pager) -> None:
    assert sorted(pager.heard("chain")) == [("desk", "GeospacePairStale"), ("pager", "GeospaceChainStale")]
    (notice,) = (
        one for one in pager.webhook.notices if one.path == "/desk" and one.alerts("chain", "firing")
    )
    assert [one["labels"]["pair"] for one in notice.alerts("chain", "firing")] == ["SUW-PPN"]


def test_what_concerns_one_station_wakes_nobody(pager: Pager) -> None:
    assert sorted(pager.heard("station")) == [("desk", "GeospacePairStale"), ("desk", "GeospaceStationFlat")]


def test_what_is_old_after_an_outage_wakes_nobody(pager: Pager) -> None:
    assert pager.heard("returned") == []


def test_crossing_is_told_although_the_daemon_is_down(pager: Pager) -> None:
    assert sorted(pager.heard("gone")) == [
        ("pager", "GeospaceDaemonDown"),
        ("pager", "GeospacePlasmapauseCrossing"),
    ]


def test_other_daemons_are_heard_meanwhile(pager: Pager) -> None:
    assert sorted(pager.heard("bystander")) == [
        ("desk", "GeospaceStationFlat"),
        ("pager", "GeospaceAllPairsStale"),
    ]


def test_crossing_is_one_page_until_it_ends_or_the_other_direction_begins(pager: Pager) -> None:
    crossing = {"kind": "plasmapause_crossing", "subject": "emma"}
    assert pager.heard("storm") == [("pager", "GeospacePlasmapauseCrossing")]
    # As Prometheus says it again and again.
    pager.take(alerts("storm", "GeospacePlasmapauseCrossing", **crossing, direction="inward"))
    pager.everything_told()
    assert pager.heard("storm") == [("pager", "GeospacePlasmapauseCrossing")]
    pager.take(
        alerts("storm", "GeospacePlasmapauseCrossing", **crossing, direction="inward", over=True),
        alerts("storm", "GeospacePlasmapauseCrossing", **crossing, direction="outward"),
    )
    eventually(
        lambda: pager.heard("storm", status="resolved") == [("pager", "GeospacePlasmapauseCrossing")],
        60.0,
        lambda: str(pager.webhook),
    )
    assert pager.heard("storm") == [("pager", "GeospacePlasmapauseCrossing")] * 2


def test_restart_of_alertmanager_repeats_nothing(pager: Pager) -> None:
    before = {name: pager.heard(name) for name in ("gone", "many-0")}
    assert all(before.values())
    pager.manager.__exit__()
    pager.manager.__enter__()
    # As Prometheus says it again.
    crossing = {"kind": "plasmapause_crossing", "subject": "emma", "direction": "inward"}
    pager.take(
        alerts("gone", "GeospaceDaemonDown", "GeospaceAllPairsStale", "GeospaceStationOffline"),
        alerts("gone", "GeospacePlasmapauseCrossing", **crossing),
        *(alerts(f"many-{number}", "GeospaceBrokerLost", *sorted(OF_BROKER)) for number in range(10)),
        *(
            alerts(name, "GeospaceBrokerLost", *sorted(OF_BROKER))
            for name in ("broker", "consequences-first")
        ),
    )
    pager.everything_told("pager")
    assert {name: pager.heard(name) for name in before} == before
