"""The shipped rules: accepted by Prometheus, each tested in four ways, and about metrics and states that exist."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.daemon.degradation import CONCERNS
from monitor.daemon.injection_score import Outcome
from monitor.io.metrics import STATION_STATES, Metrics
from monitor.io.metrics.events import DIRECTIONS
from monitor.stages.craft_event import SIDES
from monitor.stages.crossing import PLASMAPAUSE

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOK = DEPLOY.parent / "docs" / "runbook.md"
RUNBOOK_URL = "https://docs.example.org/geospace-monitor/runbook.md"

# The cases that every alert is to be seen in. A test of the rules begins its name with that of its case.
CASES = ("fires", "quiet", "ends", "restart")
# What Prometheus itself, the process and rules give, beside the daemon's own metrics.
OTHERS = {
    "up",
    "process_start_time_seconds",
    "prometheus_rule_evaluation_failures_total",
    "alertmanager_notifications_failed_total",
}
VALUES: dict[str, set[str]] = {
    "job": {"geospace-monitor"},
    "state": set(STATION_STATES),
    "concern": {*CONCERNS, "part_window", "plugin_archive"},  # a part has a concern of its own once it fails
    "kind": {PLASMAPAUSE.kind, *(sides.boundary.kind for sides in SIDES), "flr", "region"},
    "direction": set(DIRECTIONS),
    "product": {"flr", "region"},
    "outcome": {str(outcome) for outcome in Outcome},
    "reason": {"own_output", "minute_data", "not_magnetic", "scalar_only"},
    "queue": {"intake", "outbox"},
}
# Names of chains, pairs and files, and what may be any: no vocabulary.
FREE = {"subject", "chain", "rule_group"}


def promtool(*arguments: object, rc: int = 0) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("the program promtool is not installed")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == rc, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules(path: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def alerts(path: Path) -> list[dict[str, Any]]:
    return [rule for rule in rules(path) if "alert" in rule]


NAMES = [rule["alert"] for path in RULES for rule in alerts(path)]
ALERTS = [pytest.param(rule, id=rule["alert"]) for path in RULES for rule in alerts(path)]
EXPRESSIONS = [
    pytest.param(rule["expr"], id=rule.get("alert") or rule["record"])
    for path in RULES
    for rule in rules(path)
]


@functools.cache
def seen() -> frozenset[tuple[str, str, bool]]:
    """Every alert that a test of the rules looks at: its name, the case, and whether it fires there."""
    return frozenset(_looks())


def _looks() -> Iterator[tuple[str, str, bool]]:
    for path in TESTS:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            case = test["name"].partition(":")[0]
            assert case in CASES, test["name"]
            for one in test["alert_rule_test"]:
                yield one["alertname"], case, bool(one["exp_alerts"])
            for one in test.get("promql_expr_test", ()):
                for name in re.findall(r'alertname="(\w+)"', str(one["exp_samples"])):
                    yield name, case, True


class TestFiles:
    def test_configuration_of_prometheus_is_clean(self) -> None:
        told = promtool("check", "config", "--lint=all", PROMETHEUS / "prometheus.yml")
        assert f"SUCCESS: {len(RULES)} rule files found" in told
        assert "WARNING" not in told
        assert "duplicate" not in told

    @pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
    def test_rules_are_accepted_without_a_remark(self, path: Path) -> None:
        told = promtool("check", "rules", "--lint=all", path)
        assert f"SUCCESS: {len(rules(path))} rules found" in told
        assert "duplicate" not in told

    @pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
    def test_rules_do_as_their_tests_say(self, path: Path) -> None:
        assert "SUCCESS" in promtool("test", "rules", path)

    def test_interval_of_evaluation_is_that_of_the_guarantees(self) -> None:
        settings = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))["global"]
        assert settings["scrape_interval"] == settings["evaluation_interval"] == "15s"


class TestAlerts:
    @pytest.mark.parametrize("rule", ALERTS)
    def test_alert_is_seen_in_every_case(self, rule: dict[str, Any]) -> None:
        found = {(case, fires) for name, case, fires in seen() if name == rule["alert"]}
        assert {case for case, _ in found} == set(CASES)
        assert ("fires", True) in found, "nothing shows that it fires"
        assert ("quiet", True) not in found, "it fires where all is well"
        assert ("ends", True) in found, "what ends must have fired before"

    def test_tests_look_at_alerts_that_exist(self) -> None:
        assert {name for name, _, _ in seen()} == set(NAMES)

    @pytest.mark.parametrize("rule", ALERTS)
    def test_alert_says_what_an_operator_needs(self, rule: dict[str, Any]) -> None:
        name = rule["alert"]
        assert name.startswith("Geospace")
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"page", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOK_URL}#{name.lower()}"
        assert f"\n## {name}\n" in RUNBOOK.read_text(encoding="utf-8")

    def test_runbook_has_no_entry_without_an_alert(self) -> None:
        headings = re.findall(r"^## (Geospace\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
        assert sorted(headings) == sorted(NAMES)

    def test_documentation_names_what_wakes_somebody(self) -> None:
        page = (RUNBOOK.parent / "how-to.md").read_text(encoding="utf-8")
        table = page.partition("\n## Alert on it\n")[2].partition("\n\nAll else")[0]
        pages = {
            rule["alert"] for path in RULES for rule in alerts(path) if rule["labels"]["severity"] == "page"
        }
        assert set(re.findall(r"`(Geospace\w+)`", table)) == pages


class TestExpressions:
    @pytest.mark.parametrize("expression", EXPRESSIONS)
    def test_metrics_exist(self, expression: str) -> None:
        known = OTHERS | {rule["record"] for path in RULES for rule in rules(path) if "record" in rule}
        for family in Metrics().registry.collect():
            suffix = {"counter": "_total", "info": "_info", "histogram": "_bucket"}.get(family.type, "")
            known.add(family.name + suffix)
        bare = re.sub(r'"[^"]*"', "", expression)
        named = set(
            re.findall(
                r"\b(?:\w+:)?(?:geospace_|process_|prometheus_|alertmanager_)\w+(?::\w+)?|\bup\b", bare
            )
        )
        assert named
        assert named <= known

    @pytest.mark.parametrize("expression", EXPRESSIONS)
    def test_values_of_labels_exist(self, expression: str) -> None:
        for label, how, text in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', expression):
            if label in FREE:
                continue
            for part in text.split("|") if "~" in how else [text]:
                pattern = part if "~" in how else re.escape(part)
                assert any(re.fullmatch(pattern, value) for value in VALUES[label]), (label, part)
