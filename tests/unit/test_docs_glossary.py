"""The glossary knows every word that the objects use, and says where to read on."""

from __future__ import annotations

import re

from docs_kit import ROOT
from test_contract import INTERFACES, first_column

from monitor.stages.health import Health
from monitor.types import CLASSES, REGIONS, Illumination, Quality

GLOSSARY = ROOT / "docs" / "glossary.md"
TEXT = GLOSSARY.read_text(encoding="utf-8")


def words_after(bold: str) -> list[str]:
    """What stands in backticks in the paragraph or list that begins with words in bold."""
    match = re.search(rf"^\*\*{re.escape(bold)}\*\*(.*?)(?=^\*\*|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert match is not None, bold
    return re.findall(r"`([^`]+)`", re.sub(r"\[[^\]]*\]\([^)]*\)", "", match[1]))


def test_labels_regions_and_light_are_all_there_and_nothing_else() -> None:
    assert sorted(words_after("Labels of a pair")) == sorted(CLASSES)
    assert words_after("Regions of a spacecraft") == list(REGIONS)
    assert words_after("Light at the ends of a field line") == [str(light) for light in Illumination]


def test_health_states_are_all_there_in_their_order() -> None:
    assert words_after("Health of a station or spacecraft") == [str(state) for state in Health]


def test_flags_are_all_there_and_nothing_else() -> None:
    assert set(words_after("Flags")) == {*first_column(INTERFACES, "Flags"), "carried"}


def test_qualities_are_explained() -> None:
    (meaning,) = re.findall(r"^\| quality \| ([^|]*) \|", TEXT, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", meaning)) == {str(quality) for quality in Quality}


def test_words_are_in_alphabetical_order_and_lead_on() -> None:
    tables = re.findall(r"^\| word \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
        words = [row[0] for row in rows]
        assert words == sorted(words, key=str.casefold)
        for word, meaning, where in rows:
            assert meaning.endswith("."), word
            assert re.search(r"\]\([^)]+\)", where), word
