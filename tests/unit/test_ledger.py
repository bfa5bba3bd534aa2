"""Revisions: they rise with the content alone, and as far back as is remembered."""

from __future__ import annotations

import json

import pytest

from monitor.stages.ledger import ANYTHING, RevisionLedger, Turn, issued
from monitor.types import Json

DAY = 86_400


def turns(ledger: RevisionLedger, *said: tuple[str, int, str]) -> list[tuple[int, bool] | None]:
    found = [ledger.turn(subject, time, {"says": text}) for subject, time, text in said]
    return [None if turn is None else (turn.revision, turn.newest) for turn in found]


def test_revision_rises_only_with_the_content() -> None:
    found = turns(RevisionLedger(DAY), *(("A", 0, text) for text in "xxyyx"))
    assert found == [(0, True), None, (1, True), None, (2, True)]


def test_order_of_keys_is_no_content() -> None:
    ledger = RevisionLedger(DAY)
    assert ledger.turn("A", 0, {"a": 1, "b": [2, 3]}) == Turn(0, newest=True)
    assert ledger.turn("A", 0, {"b": [2, 3], "a": 1}) is None
    assert ledger.turn("A", 0, {"a": 1, "b": [3, 2]}) == Turn(1, newest=True)


def test_subjects_and_times_are_apart() -> None:
    found = turns(RevisionLedger(DAY), ("A", 0, "x"), ("B", 0, "x"), ("A", 1, "x"), ("A", 0, "y"))
    assert found == [(0, True), (0, True), (0, True), (1, False)]


def test_memory_is_bounded_and_what_is_forgotten_begins_anew() -> None:
    ledger = RevisionLedger(10)
    turns(ledger, *(("A", time, "x") for time in range(100)))
    (times,) = ledger.snapshot()["issued"].values()
    assert sorted(map(int, times)) == list(range(89, 100))
    assert turns(ledger, ("A", 50, "x"), ("A", 89, "x")) == [(0, False), None]
    # What is older than the memory is forgotten at once; the newest stays.
    assert "50" not in ledger.snapshot()["issued"]["A"]


def test_state_goes_through_json() -> None:
    first, second = RevisionLedger(DAY), RevisionLedger(DAY)
    turns(first, ("A", 0, "x"), ("A", 0, "y"), ("B", 5, "x"))
    second.restore(json.loads(json.dumps(first.snapshot())))
    assert second.snapshot() == first.snapshot()
    assert turns(second, ("A", 0, "y"), ("A", 0, "z"), ("B", 4, "x")) == [None, (2, True), (0, False)]


@pytest.mark.parametrize("state", [{}, {"version": 0, "issued": {}}, {"version": "1", "issued": {}}])
def test_state_of_another_version_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"product state has version {state.get('version')!r}"):
        RevisionLedger(DAY).restore(state)


def adopting(*contents: dict[str, Json], aside: tuple[str, ...] = ()) -> RevisionLedger:
    """A ledger that knows the published revisions of one object."""
    published = [
        {"id": "x", "time": "t", "revision": number, **content} for number, content in enumerate(contents)
    ]
    ledger = RevisionLedger(DAY)
    said = json.loads(json.dumps(issued(published, aside)))
    ledger.restore({"version": 1, "issued": {"A": {"0": said}}, "aside": list(aside)})
    return ledger


def test_published_revisions_that_are_found_again_in_their_turn_are_no_news() -> None:
    ledger = adopting({"says": "x"}, {"says": "y"}, {"says": "z"})
    said = turns(ledger, *(("A", 0, text) for text in "xxyz"))
    assert said == [None, None, None, None]
    # What was said before, and not last, is news again.
    assert turns(ledger, ("A", 0, "y"), ("A", 0, "z")) == [(3, True), (4, True)]


def test_published_revision_may_be_skipped_and_what_is_none_of_them_is_the_next() -> None:
    ledger = adopting({"says": "x"}, {"says": "y"}, {"says": "z"})
    assert turns(ledger, ("A", 0, "y"), ("A", 0, "x"), ("A", 0, "z")) == [None, (3, True), (4, True)]


def test_names_aside_are_not_judged_against_what_was_published_but_against_what_is_said_now() -> None:
    ledger = adopting({"says": "x", "sure": 0.7}, aside=("sure",))
    assert ledger.turn("A", 0, {"says": "x", "sure": 0.6}) is None
    assert ledger.turn("A", 0, {"says": "y", "sure": 0.6}) == Turn(1, newest=True)
    assert ledger.turn("A", 0, {"says": "y", "sure": 0.5}) == Turn(2, newest=True)


def test_object_that_cannot_be_judged_is_never_news() -> None:
    ledger = RevisionLedger(DAY)
    ledger.restore({"version": 1, "issued": {"A": {"0": [4, ANYTHING]}}})
    assert turns(ledger, ("A", 0, "x"), ("A", 0, "y"), ("A", 1, "x")) == [None, None, (0, True)]


def test_published_objects_are_not_forgotten_before_the_run_has_come_so_far() -> None:
    ledger = RevisionLedger(10)
    said = issued([{"revision": 2, "says": "x"}])
    ledger.restore({"version": 1, "issued": {"A": {str(time): said for time in (0, 50, 100)}}})
    assert turns(ledger, ("A", 1, "x"), ("A", 0, "x"), ("A", 50, "x"), ("A", 100, "x")) == [
        (0, False),
        None,
        None,
        None,
    ]
