"""An entry an alert, an alert an entry; and what an entry names is there."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import yaml
from docs_kit import HTTP_PATHS, ROOT, assert_queries_metrics
from test_contract import INTERFACES, first_column, keys_of

from monitor.config import Config
from monitor.daemon.degradation import CONCERNS

RUNBOOK = ROOT / "docs" / "runbook.md"
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
NO_ALERTS = {"Before anything else"}


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Alert rules by name."""
    return {
        rule["alert"]: rule
        for path in RULES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


@cache
def entries() -> dict[str, str]:
    """Text below each heading of the second level."""
    text = re.sub(r"^# .*$", "", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return {name: body for name, body in zip(parts[::2], parts[1::2], strict=True) if name not in NO_ALERTS}


def grafana_alerts() -> dict[str, str]:
    """Links to the runbook of Grafana's own rules, by title."""
    return {
        rule["title"]: rule["annotations"]["runbook_url"]
        for path in sorted((ROOT / "deploy" / "grafana" / "provisioning" / "alerting").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8")).get("groups", [])
        for rule in group["rules"]
    }


def test_every_alert_has_an_entry_and_every_entry_an_alert() -> None:
    headings = re.findall(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert entries().keys() == alerts().keys()


def test_every_alert_of_grafana_leads_to_an_entry() -> None:
    links = grafana_alerts()
    assert links
    assert links.keys() <= entries().keys()
    for title, link in links.items():
        assert link.endswith(f"/runbook.md#{title.lower()}")


@pytest.mark.parametrize("name", alerts())
def test_entry_begins_with_the_severity_of_its_alert_and_says_what_to_do(name: str) -> None:
    entry, rule = entries()[name], alerts()[name]
    assert entry.lstrip().startswith(f"`{rule['labels']['severity']}` · ")
    assert "**Do**" in entry
    if rule["labels"]["severity"] == "page":
        assert "**Look**" in entry
        assert "**Wake**" in entry


@pytest.mark.parametrize("name", alerts())
def test_link_of_an_alert_leads_to_its_entry(name: str) -> None:
    assert alerts()[name]["annotations"]["runbook_url"].endswith(f"/runbook.md#{name.lower()}")


def test_names_in_the_runbook_exist() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    assert_queries_metrics(text)
    assert set(re.findall(r"`/?(readyz|healthz|api/status)`", text)) <= {
        path.strip("/") for path in HTTP_PATHS
    }
    keys = set(keys_of(Config))
    sections = {key.partition(".")[0] for key in keys}
    named = {
        key for key in re.findall(r"`([a-z_]+(?:\.[a-z_A-Z]+)+)`", text) if key.partition(".")[0] in sections
    }
    assert len(named) > 10
    assert named <= keys


def test_concerns_without_an_alert_of_their_own_are_explained() -> None:
    """What `GeospaceDegraded` tells is told in its table, and nothing else is."""
    (pattern,) = re.findall(r'concern!~"([^"]+)"', alerts()["GeospaceDegraded"]["expr"])
    left = [concern for concern in CONCERNS if not re.fullmatch(pattern, concern)]
    rows = re.findall(r"^\| `(\w+)` \|", entries()["GeospaceDegraded"], re.MULTILINE)
    assert sorted(rows) == sorted(left)


def test_reasons_flags_and_states_that_it_names_are_documented() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    known = {
        *first_column(INTERFACES, "Flags"),
        *first_column(INTERFACES, "Reasons of rejection"),
        *first_column(INTERFACES, "Health states"),
    }
    named = re.findall(r"(?:flags?|reason) `(\w+)`|`(\w+)` (?:in|or `\w+` in) `rejected`", text)
    assert named
    assert {word for pair in named for word in pair if word} <= known
