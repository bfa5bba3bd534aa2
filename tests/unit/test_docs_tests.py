"""A page that names a test as its proof names one that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMED = re.compile(r"\btests/[\w/]+\.py(?:::\w+)*")


def functions_of(path: Path) -> set[str]:
    """Names of the test functions of a file, whatever their class."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    for named in NAMED.findall(page.read_text(encoding="utf-8")):
        file, *names = named.split("::")
        assert (ROOT / file).is_file(), named
        assert not names or names[-1] in functions_of(ROOT / file), named


def test_threat_model_names_its_tests() -> None:
    text = (ROOT / "docs" / "explanation" / "threat-model.md").read_text(encoding="utf-8")
    assert len(NAMED.findall(text)) > 30
