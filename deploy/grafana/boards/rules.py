"""The alert rules of deploy/prometheus/rules as Grafana provisions them: one text, two forms (decision 24)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard

from boards import frame
from boards.panels import DATA_SOURCE

Json = Any
FOLDER: Final = "Geospace"
# Grafana evaluates at multiples of ten seconds.
_INTERVAL: Final = "10s"
_RANGE: Final = {"from": 600, "to": 0}
# By the name of the file: the panel that shows what its alerts are about.
_PANELS: Final[Mapping[str, tuple[str, str]]] = {
    "craft": (frame.NOW, "Regions of the spacecraft"),
    "data": (frame.NOW, "Pairs"),
    "injection": (frame.HEALTH, "Injected signals"),
    "plasmapause": (frame.NOW, "Plasmapause"),
    "stations": (frame.HEALTH, "Sources"),
}
_ELSEWHERE: Final = (frame.HEALTH, "Concerns")
# Where one alert of a file has a panel of its own.
_OWN_PANELS: Final[Mapping[str, str]] = {
    "GeospaceBrokerFlapping": "Connections and failures",
    "GeospaceBrokerLost": "Since the last message",
    "GeospaceIntakeHeldBack": "Held back",
    "GeospaceLatencyOverBudget": "Latency of products",
    "GeospaceMessagesRejected": "Rejected",
    "GeospacePartFailing": "Connections and failures",
    "GeospaceQueueGrowing": "Queues",
    "GeospaceStoreFillingUp": "Store",
    "GeospaceStoreFull": "Store",
    "GeospaceStoreRoomLow": "Store",
}
# What must not be silent where Prometheus does not answer; of the others it is enough that they stay as they are.
_TELLS_OF_PROMETHEUS: Final = "GeospaceDaemonDown"


def provisioned(folder: Path, boards: Sequence[Dashboard]) -> Json:
    """All alert rules below a folder, as one provisioning document."""
    return {"apiVersion": 1, "groups": [*_groups(folder, boards)]}


def _groups(folder: Path, boards: Sequence[Dashboard]) -> Iterator[Json]:
    for path in sorted(folder.glob("*.yml")):
        of_file = _PANELS.get(path.stem, _ELSEWHERE)
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            rules = [
                _rule(rule, _place(boards, *_panel_of(rule["alert"], of_file)))
                for rule in group["rules"]
                if "alert" in rule
            ]
            if rules:
                yield {
                    "orgId": 1,
                    "name": group["name"],
                    "folder": FOLDER,
                    "interval": _INTERVAL,
                    "rules": rules,
                }


def _panel_of(alert: str, of_file: tuple[str, str]) -> tuple[str, str]:
    return (frame.HEALTH, _OWN_PANELS[alert]) if alert in _OWN_PANELS else of_file


def _place(boards: Sequence[Dashboard], uid: str, title: str) -> tuple[str, int]:
    """A panel by its dashboard and number; a panel with a chart where several have the title."""
    board = next(one for one in boards if one.uid == uid)
    found = [panel.id_val for panel in board.panels or [] if panel.title == title]
    return uid, int(found[-1] or 0)


def _rule(rule: Mapping[str, Json], place: tuple[str, int]) -> Json:
    name, (uid, panel) = rule["alert"], place
    kept = {"keepFiringFor": rule["keep_firing_for"]} if "keep_firing_for" in rule else {}
    return {
        "uid": name.lower(),
        "title": name,
        "condition": "C",
        "data": [_asked(rule["expr"]), *_is_there()],
        "dashboardUid": uid,
        "panelId": panel,
        # A rule that finds nothing is a rule that has nothing to say.
        "noDataState": "OK",
        "execErrState": "Error" if name == _TELLS_OF_PROMETHEUS else "KeepLast",
        "for": rule.get("for", "0s"),
        **kept,
        "annotations": {
            **{key: _told(text) for key, text in rule["annotations"].items()},
            "__dashboardUid__": uid,
            "__panelId__": str(panel),
        },
        "labels": dict(rule["labels"]),
        "isPaused": False,
    }


def _asked(expression: str) -> Json:
    model = {
        "refId": "A",
        "datasource": {"type": DATA_SOURCE.type_val, "uid": DATA_SOURCE.uid},
        "editorMode": "code",
        "expr": expression.strip(),
        "instant": True,
        "range": False,
        "intervalMs": 1000,
        "maxDataPoints": 43_200,
    }
    return {"refId": "A", "relativeTimeRange": dict(_RANGE), "datasourceUid": DATA_SOURCE.uid, "model": model}


def _is_there() -> Iterator[Json]:
    """In Prometheus an alert fires for each series that its expression gives, whatever the value; here a number decides."""
    for model in (
        {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"},
        {"refId": "C", "type": "math", "expression": "is_null($B) == 0"},
    ):
        whole = {**model, "datasource": {"type": "__expr__", "uid": "__expr__"}}
        yield {
            "refId": model["refId"],
            "relativeTimeRange": dict(_RANGE),
            "datasourceUid": "__expr__",
            "model": whole,
        }


def _told(text: str) -> str:
    """An annotation: the value has another name, and what asks Prometheus anew cannot be had."""
    without = re.sub(r"\{\{-? with .*?\| query \}\}.*?\{\{-? end -?\}\}", "", text, flags=re.DOTALL)
    return re.sub(r"\$value\b", "$values.B.Value", without).strip()
