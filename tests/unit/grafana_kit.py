"""What is shipped for Grafana, read: dashboards, provisioning files, and what their queries may name."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from monitor.io.metrics import Metrics

Document = dict[str, Any]
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
GRAFANA = DEPLOY / "grafana"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
BOARDS: dict[str, Document] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}
FILLED = {
    "instance": "127.0.0.1:9464",
    "chain": ".*",
    "pair": "NUR-TAR",
    "craft": "MMS1",
    "__range_s": "600",
    "__rate_interval": "1m",
}
"""Values for the variables of the dashboards."""

sys.path.insert(0, str(GRAFANA))
from asking import filled, questions, variables_of  # noqa: E402  (it lies beside the dashboards)

__all__ = ["filled", "questions", "variables_of"]


def panel_of(board: Document, title: str) -> Document:
    return next(panel for panel in board["panels"] if panel["title"].startswith(title))


def provisioned(kind: str) -> Document:
    return dict(
        yaml.safe_load((GRAFANA / "provisioning" / kind / "geospace.yaml").read_text(encoding="utf-8"))
    )


def rules() -> dict[str, Document]:
    """Grafana's alert rules by their names."""
    return {rule["title"]: rule for group in provisioned("alerting")["groups"] for rule in group["rules"]}


def alerts() -> dict[str, Document]:
    """Prometheus's, by theirs."""
    groups = (group for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"])
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


@cache
def known_series() -> set[str]:
    """Names that an expression may have: metrics of the daemon, what Prometheus adds, what the rules record."""
    suffixes = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}
    metrics = {
        family.name + suffix
        for family in Metrics().registry.collect()
        for suffix in suffixes.get(family.type, ("",))
    }
    groups = (group for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"])
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    return metrics | recorded | {"up"}


def series_of(expression: str) -> set[str]:
    """Names of series in an expression, by what they look like."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    found = set(re.findall(r"(?<![\w:])(?:\w+:)?(?:geospace|process)_\w+(?::\w+)?", bare))
    return found | set(re.findall(r"\bup\b(?=\{)", bare))
