"""The files that Grafana provisions from: valid against schemas that see every fault, and the alert rules those of Prometheus."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from grafana_kit import BOARDS, GRAFANA, alerts, provisioned, rules

PROVISIONED = ("alerting", "dashboards", "datasources")
STATES = {
    "noDataState": ("Ok", "Error", "nodata", ""),
    "execErrState": ("NoData", "error", "Pending"),
    "interval": ("15s", "10", "0s"),
    "for": ("5", "five minutes", "-1m"),
    "type": ("files", "prom", "percentile"),
    "access": ("server",),
    "httpMethod": ("PUT",),
    "prometheusType": ("prometheus",),
    "implementation": ("alertmanager",),
    "editorMode": ("text",),
    "reducer": ("lastNotNull", "median_low"),
    "severity": ("critical", "Page"),
    "apiVersion": (2, "1"),
    "isPaused": ("no",),
    "orgId": (0,),
    "uid": ("a b", "x" * 41),
    "refId": ("a1", ""),
    "runbook_url": ("runbook.md", "http://docs.example.org/runbook.md#x"),
}
"""Values that Grafana does not take, by key."""


def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((GRAFANA / "schemas" / f"{kind}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all objects in a document; of lists the first entry stands for the others."""
    if isinstance(document, dict):
        yield path
        for key, value in document.items():
            yield from places(value, (*path, key))
    elif isinstance(document, list) and document:
        yield from places(document[0], (*path, 0))


def changed(document: Any, path: tuple[Any, ...], key: str, value: Any) -> Any:
    mutant = copy.deepcopy(document)
    at = mutant
    for step in path:
        at = at[step]
    at[key] = value
    return mutant


@pytest.mark.parametrize("kind", PROVISIONED)
class TestProvisioning:
    def test_file_is_valid(self, kind: str) -> None:
        assert [error.message for error in validator(kind).iter_errors(provisioned(kind))] == []

    def test_unknown_key_anywhere_is_caught(self, kind: str) -> None:
        document, valid = provisioned(kind), validator(kind)
        found = [path for path in places(document) if path[-1:] != ("labels",)]
        assert len(found) >= 3
        for path in found:
            for key in ("unknown", "Title", "exec_err_state"):
                assert not valid.is_valid(changed(document, path, key, "x")), (path, key)

    def test_wrong_value_anywhere_is_caught(self, kind: str) -> None:
        document, valid = provisioned(kind), validator(kind)
        tried = 0
        for path in places(document):
            at = document
            for step in path:
                at = at[step]
            for key in STATES.keys() & at.keys():
                for value in STATES[key]:
                    assert not valid.is_valid(changed(document, path, key, value)), (path, key, value)
                    tried += 1
        assert tried >= 4

    def test_key_that_is_needed_is_missed(self, kind: str) -> None:
        document, valid = provisioned(kind), validator(kind)
        for key in document:
            assert not valid.is_valid({name: value for name, value in document.items() if name != key}), key


class TestAlertRules:
    def test_rules_are_those_of_prometheus(self) -> None:
        ours, theirs = rules(), alerts()
        assert set(ours) == set(theirs)
        for name, rule in ours.items():
            assert rule["data"][0]["model"]["expr"] == theirs[name]["expr"].strip(), name
            assert rule["labels"] == theirs[name]["labels"], name
            assert rule["for"] == theirs[name].get("for", "0s"), name
            assert rule["annotations"]["runbook_url"] == theirs[name]["annotations"]["runbook_url"], name

    def test_rules_have_ids_and_titles_of_their_own(self) -> None:
        listed = [rule for group in provisioned("alerting")["groups"] for rule in group["rules"]]
        for key in ("uid", "title"):
            assert len({rule[key] for rule in listed}) == len(listed), key

    def test_rules_lead_to_panels_that_there_are(self) -> None:
        for name, rule in rules().items():
            board = BOARDS[rule["dashboardUid"]]
            assert rule["panelId"] in {panel["id"] for panel in board["panels"]}, name
            linked = rule["annotations"]["__dashboardUid__"], rule["annotations"]["__panelId__"]
            assert linked == (rule["dashboardUid"], str(rule["panelId"])), name

    def test_rules_fire_for_whatever_their_query_gives_and_are_quiet_where_it_gives_nothing(self) -> None:
        for name, rule in rules().items():
            asked, reduced, decided = rule["data"]
            assert rule["condition"] == decided["refId"], name
            assert (reduced["model"]["expression"], reduced["model"]["reducer"]) == (asked["refId"], "last")
            assert decided["model"]["expression"] == f"is_null(${reduced['refId']}) == 0", name
            assert asked["model"]["instant"] is True, name
            assert rule["noDataState"] == "OK", name
            # A Prometheus that does not answer is told of once, and neither raises nor ends anything else.
            assert rule["execErrState"] == ("Error" if name == "GeospaceDaemonDown" else "KeepLast")

    def test_annotations_say_only_what_grafana_can_fill_in(self) -> None:
        for name, rule in rules().items():
            for text in rule["annotations"].values():
                assert "query" not in text, name
                assert not re.search(r"\$value\b", text), name
                assert not re.search(r"\$\{", text), name
                assert text.count("{{") == text.count("}}"), name
