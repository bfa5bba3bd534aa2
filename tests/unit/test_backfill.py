"""Which gaps are asked for again, and when."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from monitor_plugins.backfill import MOST_KEPT, Attempts, Patience

PATIENCE = Patience(attempts=3, first_s=10.0, longest_s=15.0)


def test_gap_is_asked_for_at_growing_intervals_a_bounded_number_of_times() -> None:
    attempts = Attempts(PATIENCE)
    asked = []
    for now in range(100):
        if attempts.due("NUR", [(0, 5)], float(now)):
            asked.append(now)
            attempts.note("NUR", (0, 5), float(now))
    assert asked == [0, 10, 25]


def test_what_is_left_of_a_gap_inherits_its_attempts_and_another_gap_does_not() -> None:
    attempts = Attempts(PATIENCE)
    for now in (0.0, 10.0, 25.0):
        attempts.note("NUR", (0, 100), now)
    assert attempts.due("NUR", [(10, 20), (50, 120)], 1e6) == []
    assert attempts.due("NUR", [(100, 200)], 1e6) == [(100, 200)]
    assert attempts.due("TAR", [(0, 100)], 1e6) == [(0, 100)]


def test_attempts_outlive_a_restart_and_rubbish_is_forgotten() -> None:
    attempts = Attempts(PATIENCE)
    attempts.note("NUR", (0, 5), 0.0)
    again = Attempts(PATIENCE)
    again.restore(json.loads(json.dumps(attempts.snapshot())))
    assert again.snapshot() == attempts.snapshot()
    assert again.due("NUR", [(0, 5)], 9.0) == []
    for state in (None, 3, [1], {"NUR": 3}, {"NUR": [[1, 2]]}, {"NUR": [["x", 1, 2, 3]]}):
        again.restore(state)
        assert again.due("NUR", [(0, 5)], 0.0) == [(0, 5)]


def test_zero_attempts_ask_for_nothing() -> None:
    assert Attempts(Patience(0, 1.0)).due("NUR", [(0, 5)], 0.0) == []


def test_what_is_too_old_is_forgotten() -> None:
    attempts = Attempts(PATIENCE)
    attempts.note("NUR", (0, 5), 0.0)
    attempts.note("NUR", (10, 15), 0.0)
    attempts.forget("NUR", 5)
    assert [one[0] for one in attempts.snapshot()["NUR"]] == [10]
    attempts.forget("NUR", 15)
    attempts.forget("TAR", 15)
    assert attempts.snapshot() == {}


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 50)), max_size=400))
def test_what_is_remembered_is_bounded(asked: list[tuple[int, int]]) -> None:
    attempts = Attempts(PATIENCE)
    for begin, length in asked:
        attempts.note("NUR", (begin, begin + length), 0.0)
    kept = attempts.snapshot().get("NUR", [])
    assert len(kept) <= MOST_KEPT
    assert kept == sorted(kept)


@given(st.lists(st.sets(st.integers(0, 12), min_size=2, max_size=4), max_size=12), st.integers(1, 3))
def test_no_moment_is_asked_for_more_often_than_allowed(rounds: list[set[int]], most: int) -> None:
    attempts = Attempts(Patience(most, 1.0))
    asked = [0] * 12
    for number, edges in enumerate(rounds):
        rising = sorted(edges)
        for begin, end in attempts.due(
            "NUR", list(zip(rising[::2], rising[1::2], strict=False)), number * 1e6
        ):
            attempts.note("NUR", (begin, end), number * 1e6)
            for moment in range(begin, end):
                asked[moment] += 1
    assert max(asked) <= most
