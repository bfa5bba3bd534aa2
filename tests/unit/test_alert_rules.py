"""The shipped alert rules: accepted by Prometheus, each tested, and about metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from monitor.io.metrics import Metrics

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))


def promtool(*arguments: object) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("the program promtool is not installed")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def alerts(path: Path) -> dict[str, str]:
    """The expressions of a file's alerts by name."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {rule["alert"]: rule["expr"] for group in document["groups"] for rule in group["rules"]}


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
class TestRules:
    def test_rules_are_accepted_without_a_remark(self, path: Path) -> None:
        told = promtool("check", "rules", "--lint=all", path)
        assert f"SUCCESS: {len(alerts(path))} rules found" in told
        assert "duplicate" not in told

    def test_rules_do_as_their_tests_say(self, path: Path) -> None:
        assert "SUCCESS" in promtool("test", "rules", PROMETHEUS / "tests" / path.name)

    def test_every_rule_is_seen_to_fire_and_to_be_quiet(self, path: Path) -> None:
        document = yaml.safe_load((PROMETHEUS / "tests" / path.name).read_text(encoding="utf-8"))
        seen = {
            (one["alertname"], bool(one["exp_alerts"]))
            for test in document["tests"]
            for one in test["alert_rule_test"]
        }
        assert seen == {(name, fires) for name in alerts(path) for fires in (True, False)}

    def test_rules_name_metrics_that_exist(self, path: Path) -> None:
        known = {
            family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
            for family in Metrics().registry.collect()
        }
        for name, expression in alerts(path).items():
            named = set(re.findall(r"\bgeospace_\w+", expression))
            assert named, name
            assert named <= known, name
