"""The golden products: what the pipeline says of a known scene, reviewed as a diff when it changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).with_name("products.jsonl")
GOLDEN_CRAFT = Path(__file__).with_name("products_craft.jsonl")
ROOT = Path(__file__).resolve().parents[2]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def plain(value: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of a document by its path."""
    if isinstance(value, dict):
        return {k: v for name, inner in value.items() for k, v in plain(inner, f"{path}/{name}").items()}
    if isinstance(value, list):
        return {k: v for at, inner in enumerate(value) for k, v in plain(inner, f"{path}/{at}").items()}
    return {path: value}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[dict[str, Any]]]:
    """What is made now, by the golden file that it must be like."""
    folder = tmp_path_factory.mktemp("golden")
    targets = {golden: folder / golden.name for golden in (GOLDEN, GOLDEN_CRAFT)}
    subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.golden.regenerate", *map(str, targets.values())],
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    return {golden: read(target) for golden, target in targets.items()}


@pytest.mark.parametrize("path", [GOLDEN, GOLDEN_CRAFT], ids=["ground", "craft"])
def test_products_are_the_golden_ones(path: Path, fresh: dict[Path, list[dict[str, Any]]]) -> None:
    """Words are the same, numbers within 1e-4: processors differ in the last bits of single precision."""
    golden, made = read(path), fresh[path]
    assert [body["id"] for body in made] == [body["id"] for body in golden]
    for ours, theirs in zip(made, golden, strict=True):
        found, wanted = plain(ours), plain(theirs)
        assert found.keys() == wanted.keys(), ours["id"]
        for place, value in wanted.items():
            close = pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value
            assert found[place] == close, f"{ours['id']} {place}"


def test_golden_scene_shows_every_kind_of_window() -> None:
    bodies = [body for body in read(GOLDEN) if body["schema"] == "geospace/flr/1"]
    assert {body["label"] for body in bodies} == {"NoFreq", "Freq", "PBL"}
    flags = {flag for body in bodies for flag in body["flags"]}
    assert flags >= {"gap", "bridged", "despiked", "flat", "timing_offset", "physical_only"}
    states = {body["state"] for body in read(GOLDEN) if body["schema"] == "geospace/health/1"}
    assert states >= {"ok", "gap", "flat", "clock"}


def test_golden_flight_shows_every_kind_of_window_and_crossing() -> None:
    bodies = [body for body in read(GOLDEN_CRAFT) if body.get("schema") == "geospace/region/1"]
    assert {body["label"] for body in bodies} >= {"SW", "BS", "MSH", "PS", "MP", "MSP", "PSBL", "LOBE", None}
    assert {body["quality"] for body in bodies} == {"good", "uncertain", "poor"}
    flags = {flag for body in bodies for flag in body["flags"]}
    assert flags == {"gap", "bridged", "isolated", "missing", "novel", "alone"}
    events = [body["properties"] for body in read(GOLDEN_CRAFT) if body.get("type") == "Feature"]
    assert {event["kind"] for event in events} == {"bow_shock_crossing", "magnetopause_crossing"}
    assert {event["state"] for event in events} >= {"begin", "end"}
