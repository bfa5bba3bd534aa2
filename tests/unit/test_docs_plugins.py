"""The page of plugins, the entry points and the classes: each name and each option is in all of them, and in no other."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path
from typing import get_args

import pytest
from docs_kit import code, rows, section
from pydantic import BaseModel

from monitor.plugins import GROUPS, Found, Options
from monitor.plugins.found import DISTRIBUTION, find_all
from monitor.plugins.in_process import load, options_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "plugins.md"
OURS = {found.name: found for found in find_all() if found.ours}
NONE = ("", "required", "none")


def registered() -> dict[str, str]:
    """What the distribution registers, by name: the kind."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    points = setup["options.entry_points"]
    return {
        line.partition("=")[0].strip(): kind
        for kind, group in GROUPS.items()
        for line in points.get(group, "").strip().splitlines()
    }


def documented(name: str) -> dict[str, str]:
    """The options that the page lists for a plugin, with what it says that they are by default."""
    found: dict[str, str] = {}
    for row in rows(section(PAGE, name)):
        if len(row) == 4 and re.fullmatch(r"(`[A-Za-z_.]+`\s*)+", row[0]):
            # A key within a mapping may be written with the way to it: `sensors.NAME.step_s`.
            found = {key.rpartition(".")[2]: row[1] for key in code(row[0])} | found
    return found


def options(found: Found) -> type[Options]:
    return options_of(load(found), found)


def names(model: type[BaseModel]) -> set[str]:
    """The keys of options, and those of the mappings within them."""
    found = set(model.model_fields)
    todo: list[object] = [field.annotation for field in model.model_fields.values()]
    while todo:
        one = todo.pop()
        todo += get_args(one)
        if isinstance(one, type) and issubclass(one, BaseModel):
            found |= names(one)
    return found


def test_page_has_a_section_for_each_registered_plugin_and_no_other() -> None:
    titles = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(titles) == sorted(registered())


def test_what_is_registered_is_what_is_installed() -> None:
    assert {name: found.kind for name, found in OURS.items()} == registered()
    assert len(registered()) == len(OURS)
    assert {found.distribution.partition(" ")[0] for found in OURS.values()} == {DISTRIBUTION}


@pytest.mark.parametrize("name", sorted(OURS))
def test_options_are_documented_with_their_defaults(name: str) -> None:
    model = options(OURS[name])
    table = documented(name)
    assert set(table) == names(model)
    for option, field in model.model_fields.items():
        if field.is_required():
            assert table[option] in NONE, option


@pytest.mark.parametrize("name", sorted(OURS))
def test_section_says_first_what_it_is_and_the_class_what_it_is_for(name: str) -> None:
    found = OURS[name]
    first = section(PAGE, name).strip().splitlines()[0]
    assert first.startswith((found.kind.capitalize(), f"The {found.kind}", f"A {found.kind}")), first
    docstring = (load(found).__doc__ or "").strip().splitlines()
    assert docstring, name
    assert len(docstring[0]) <= 130, name
