"""Revisions: they rise with the content alone, and as far back as is remembered."""

from __future__ import annotations

import json

import pytest

from monitor.stages.ledger import RevisionLedger, Turn

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
