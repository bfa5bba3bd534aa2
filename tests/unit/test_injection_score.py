"""Verdicts on injected windows: what is awaited, heard, judged, forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.config import Config, with_shadows
from monitor.daemon.injection import judged_windows, shadows_of
from monitor.daemon.injection_score import MEMORY_NS, Outcome, Score, Windows
from monitor.types import SECOND_NS, SampleBlock, ShadowTruth, iso_time

LENGTH_NS, EVERY_NS, PATIENCE_NS = 7200 * SECOND_NS, 1800 * SECOND_NS, 300 * SECOND_NS
BEGIN_NS = 1_700_000_000 * SECOND_NS // (7 * EVERY_NS) * 7 * EVERY_NS
FIRST_NS = BEGIN_NS + LENGTH_NS
"""End of the first window that lies in the feed."""


class Steady:
    """Resonates at 20 mHz for ever, but that every seventh window has no truth."""

    subject = "INJP-INJQ"
    kind = "flr"

    def blocks(self, begin_ns: int, end_ns: int) -> list[SampleBlock]:
        return []

    def truth(self, end_ns: int, length_ns: int) -> ShadowTruth | None:
        return None if end_ns // EVERY_NS % 7 == 4 else ShadowTruth("Freq", 20.0e-3)


@pytest.fixture
def score() -> Score:
    return Score(Steady(), Windows(LENGTH_NS, EVERY_NS, PATIENCE_NS), BEGIN_NS + 1)


def product(end_ns: int, revision: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "time": iso_time(end_ns),
        "revision": revision,
        "label": "Freq",
        "frequency_mHz": 20.3,
        **changes,
    }


def end(number: int) -> int:
    """Of the awaited windows: the first reaches back to the first multiple after the begin."""
    return FIRST_NS + (1 + number) * EVERY_NS


def test_nothing_is_known_before_the_first_verdict(score: Score) -> None:
    assert score.topic == "flr/INJP-INJQ"
    # It reaches back a moment before the begin.
    score.hear(product(FIRST_NS))
    assert score.judge(end(0) + PATIENCE_NS - 1) == []
    assert score.recovered_ratio is None


def test_window_is_judged_once_its_time_is_over(score: Score) -> None:
    score.hear(product(end(0)))
    (verdict,) = score.judge(end(0) + PATIENCE_NS)
    assert (verdict.end_ns, verdict.outcome) == (end(0), Outcome.RECOVERED)
    assert score.judge(end(0) + PATIENCE_NS) == []
    assert score.recovered_ratio == 1.0


@pytest.mark.parametrize("wrong", [{"label": "PBL"}, {"frequency_mHz": 22.0}, {"label": None}])
def test_wrong_label_and_wrong_frequency_are_wrong(score: Score, wrong: dict[str, Any]) -> None:
    score.hear(product(end(0), **wrong))
    assert [verdict.outcome for verdict in score.judge(end(0) + PATIENCE_NS)] == [Outcome.WRONG]
    assert score.recovered_ratio == 0.0


def test_newest_revision_in_time_counts(score: Score) -> None:
    score.hear(product(end(0), 1))
    score.hear(product(end(0), 0, label="NoFreq"))
    score.hear(product(end(1), 0))
    score.hear(product(end(1), 1, label="NoFreq"))
    assert [verdict.outcome for verdict in score.judge(end(1) + PATIENCE_NS)] == [
        Outcome.RECOVERED,
        Outcome.WRONG,
    ]
    # Too late: it is missing for whoever waited, and stays so.
    assert [verdict.outcome for verdict in score.judge(end(2) + PATIENCE_NS)] == [Outcome.MISSING]
    score.hear(product(end(2)))
    assert score.page()["windows"] == {"recovered": 1, "wrong": 1, "missing": 1}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        {},
        {"time": "yesterday", "revision": 0, "label": "Freq"},
        {"time": 3, "revision": 0, "label": "Freq"},
        product(0, "first"),  # type: ignore[arg-type]
        product(0, frequency_mHz="low"),
        product(EVERY_NS + 1),
    ],
)
def test_rubbish_and_other_windows_are_left_out(score: Score, document: Any) -> None:
    score.hear(document)
    assert [verdict.outcome for verdict in score.judge(end(0) + PATIENCE_NS)] == [Outcome.MISSING]


def test_flood_is_bounded_and_does_not_grow_for_ever(score: Score) -> None:
    for number in range(5000):
        score.hear(product(end(number)))
    assert len(score._heard) == 1000
    score.judge(end(1000))
    assert len(score._heard) == 0


def test_change_of_the_signal_is_not_judged(score: Score) -> None:
    verdicts = score.judge(end(13) + PATIENCE_NS)
    assert len(verdicts) == 12
    assert all(verdict.end_ns // EVERY_NS % 7 != 4 for verdict in verdicts)


def test_ratio_is_over_the_last_day(score: Score) -> None:
    score.judge(end(11) + PATIENCE_NS)
    assert score.recovered_ratio == 0.0
    for number in range(12, 12 + 48):
        score.hear(product(end(number)))
        score.judge(end(number) + PATIENCE_NS)
    assert score.recovered_ratio == 1.0
    assert sum(score.page()["windows"].values()) <= MEMORY_NS // EVERY_NS


def test_what_reaches_back_before_an_interruption_is_not_judged(score: Score) -> None:
    score.hear(product(end(0)))
    later = end(40)
    score.begin_anew(later)
    assert score.judge(later + LENGTH_NS + PATIENCE_NS - 1) == []
    verdicts = score.judge(later + LENGTH_NS + PATIENCE_NS)
    assert [verdict.end_ns for verdict in verdicts] == [later + LENGTH_NS]
    score.begin_anew(BEGIN_NS)
    assert score.judge(later + LENGTH_NS + PATIENCE_NS) == [], "a clock set back judges nothing twice"


def test_windows_of_a_spacecraft_are_judged_where_they_do_not_overlap() -> None:
    config = Config.model_validate(
        {
            "pairs": ["TAR-BRZ"],
            "injection": {"pair": True, "craft": True},
            "craft_windows": {"hop_s": 135.0},
        }
    )
    pair, craft = (judged_windows(config, shadow) for shadow in shadows_of(with_shadows(config)))
    assert pair == Windows(LENGTH_NS, EVERY_NS, 300 * SECOND_NS)
    assert craft == Windows(180 * SECOND_NS, 270 * SECOND_NS, 240 * SECOND_NS)
