"""The golden products: what the pipeline says of a known scene, reviewed as a diff when it changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).with_name("products.jsonl")
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
def fresh(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    target = tmp_path_factory.mktemp("golden") / "products.jsonl"
    subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.golden.regenerate", str(target)],
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    return read(target)


def test_products_are_the_golden_ones(fresh: list[dict[str, Any]]) -> None:
    """Words are the same, numbers within 1e-4: processors differ in the last bits of single precision."""
    golden = read(GOLDEN)
    assert [body["id"] for body in fresh] == [body["id"] for body in golden]
    for ours, theirs in zip(fresh, golden, strict=True):
        found, wanted = plain(ours), plain(theirs)
        assert found.keys() == wanted.keys(), ours["id"]
        for path, value in wanted.items():
            close = pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value
            assert found[path] == close, f"{ours['id']} {path}"


def test_golden_scene_shows_every_kind_of_window() -> None:
    bodies = [body for body in read(GOLDEN) if body["schema"] == "geospace/flr/1"]
    assert {body["label"] for body in bodies} == {"NoFreq", "Freq", "PBL"}
    flags = {flag for body in bodies for flag in body["flags"]}
    assert flags >= {"gap", "bridged", "despiked", "flat", "timing_offset", "physical_only"}
    states = {body["state"] for body in read(GOLDEN) if body["schema"] == "geospace/health/1"}
    assert states >= {"ok", "gap", "flat", "clock"}
