"""The tests of the shipped rules notice a rule that is broken: in its threshold, its patience, its labels, its memory."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
Rule = dict[str, Any]


def impatient(rule: Rule) -> Rule | None:
    """It fires at once."""
    return {key: value for key, value in rule.items() if key != "for"} if "for" in rule else None


def patient(rule: Rule) -> Rule | None:
    """It waits for half a day."""
    return {**rule, "for": "12h"}


def forgetful(rule: Rule) -> Rule | None:
    """What it held over a restart is gone: `keep_firing_for`, or what was said last."""
    if "keep_firing_for" in rule:
        return {key: value for key, value in rule.items() if key != "keep_firing_for"}
    head, found, _ = rule["expr"].partition("\nor (\n  last_over_time(")
    return {**rule, "expr": head} if found else None


def contrary(rule: Rule) -> Rule | None:
    """Its comparison is the other way round."""
    signs = {"== 1": "== 0", "== 0": "== 1", ">": "<=", ">=": "<", "<": ">"}
    turned = re.sub(r"== [01]|>=|(?<!=)[<>](?!=)", lambda sign: signs[sign[0]], rule["expr"], count=1)
    return {**rule, "expr": turned} if turned != rule["expr"] else None


def demoted(rule: Rule) -> Rule | None:
    """Nobody is woken by it."""
    return {**rule, "labels": {"severity": "none"}}


WAYS: tuple[Callable[[Rule], Rule | None], ...] = (impatient, forgetful, contrary, patient, demoted)


def mutated(rule: Rule, first: int) -> Rule:
    """The rule broken in the first way from `first` on that it can be broken in."""
    for number in range(len(WAYS)):
        broken = WAYS[(first + number) % len(WAYS)](rule)
        if broken is not None:
            return broken
    raise AssertionError("nothing can be broken in this rule")


@pytest.mark.parametrize("path", sorted((PROMETHEUS / "rules").glob("*.yml")), ids=lambda path: path.stem)
def test_broken_rules_fail_their_tests(path: Path, tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("the program promtool is not installed")
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    broken = set()
    for group in document["groups"]:
        for place, rule in enumerate(group["rules"]):
            if "alert" in rule:
                # Each in another way: all ways together would take minutes.
                group["rules"][place] = mutated(rule, place)
                broken.add(rule["alert"])
    (tmp_path / "prometheus" / "rules" / path.name).write_text(yaml.safe_dump(document, sort_keys=False))
    noticed = set()
    for tests in sorted((tmp_path / "prometheus" / "tests").glob(f"{path.stem}*.yml")):
        done = subprocess.run(
            [program, "test", "rules", tests], capture_output=True, text=True, timeout=120, check=False
        )
        noticed |= set(re.findall(r"alertname: (\w+),", done.stdout + done.stderr))
    assert noticed == broken
