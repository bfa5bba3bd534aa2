"""The shipped routes: accepted by Alertmanager, each alert to whom its severity says, and mutes that name alerts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILE = DEPLOY / "alertmanager" / "alertmanager.yml"
RECEIVERS = {"page": "pager", "warning": "desk", "info": "log"}

ALERTS = {
    rule["alert"]: rule["labels"]["severity"]
    for path in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


def amtool(*arguments: str) -> str:
    program = shutil.which("amtool")
    if program is None:
        pytest.skip("the program amtool is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def configuration() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return document


def receivers(**labels: str) -> str:
    words = [f"{name}={value}" for name, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={FILE}", *words).strip()


def named(matchers: list[str]) -> set[str]:
    """The alerts that the matchers of a mute take by their names."""
    taken = set(ALERTS)
    for matcher in matchers:
        found = re.fullmatch(r'alertname (=|=~|!~) "?([^"]+)"?', matcher)
        assert found is not None, matcher
        sign, text = found.groups()
        for part in text.split("|") if "(" not in text else [text]:
            assert any(re.fullmatch(part, name) for name in ALERTS), f"no alert is called {part}"
        is_meant = {name: bool(re.fullmatch(text, name)) is not sign.startswith("!") for name in taken}
        taken = {name for name in taken if is_meant[name]}
    return taken


def test_configuration_is_clean() -> None:
    told = amtool("check-config", str(FILE))
    assert "SUCCESS" in told
    assert "3 receivers" in told


@pytest.mark.parametrize(("name", "severity"), ALERTS.items())
def test_alert_goes_to_whom_its_severity_says(name: str, severity: str) -> None:
    assert receivers(alertname=name, severity=severity) == RECEIVERS[severity]


def test_what_has_no_known_severity_is_read_by_somebody() -> None:
    assert receivers(alertname="SomethingElse") == "desk"


def test_crossing_of_a_chain_waits_for_nothing_and_is_told_once() -> None:
    (route,) = (
        one
        for one in configuration()["route"]["routes"]
        if "alertname = GeospacePlasmapauseCrossing" in one["matchers"]
    )
    assert route["group_wait"] == "0s"
    # As long as Alertmanager remembers by default (--data.retention=120h): longer would repeat it earlier.
    assert route["repeat_interval"] == "5d"
    assert {"instance", "subject", "direction"} <= set(route["group_by"])


def test_mutes_name_alerts_and_never_a_crossing_of_a_chain() -> None:
    for mute in configuration()["inhibit_rules"]:
        sources, targets = named(mute["source_matchers"]), named(mute["target_matchers"])
        assert sources
        assert targets
        assert not sources & targets, "an alert that mutes its like mutes itself"
        assert "GeospacePlasmapauseCrossing" not in targets
        assert {"job", "instance"} <= set(mute["equal"]), "what one daemon suffers says nothing of another"


def test_nothing_mutes_what_is_worse() -> None:
    rank = ("info", "warning", "page")
    for mute in configuration()["inhibit_rules"]:
        sources, targets = named(mute["source_matchers"]), named(mute["target_matchers"])
        # After an outage labels are old for a while, and nobody need be woken for that.
        worst = min(rank.index(ALERTS[name]) for name in sources - {"GeospaceCatchingUp"})
        assert all(rank.index(ALERTS[name]) <= worst for name in targets)
