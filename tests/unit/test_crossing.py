"""The machine of one subject: sides, beginnings, what is taken back, and what time alone does."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from monitor.stages.crossing import (
    FIRST,
    HOUR_NS,
    PASSED,
    RETURNED,
    SECOND,
    UNOBSERVED,
    Crossing,
    CrossingParameters,
    Look,
    Watch,
    advance,
)

STEP_NS = HOUR_NS // 2
PARAMETERS = CrossingParameters()
INSIDE, OUTSIDE, UNSURE, NIGHT = 0.98, 0.03, 0.6, None


def look(number: int, inside: float | None, place: float | None = None) -> Look:
    """Window `number` of a day; None is one without evidence, where the probability says nothing."""
    return Look(
        time_ns=number * STEP_NS,
        effective_ns=number * STEP_NS - HOUR_NS,
        first=0.02 if inside is None else inside,
        fresh=inside is not None,
        place=None if place is None else (place, place - 0.3, place + 0.3),
        source="TAR-BRZ",
    )


def run(
    insides: list[float | None],
    parameters: CrossingParameters = PARAMETERS,
    watch: Watch | None = None,
    first: int = 0,
) -> tuple[Watch, list[Crossing]]:
    watch, closed = watch or Watch(), []
    for number, inside in enumerate(insides, first):
        watch, ended = advance(parameters, watch, look(number, inside))
        if ended is not None:
            closed.append(ended)
    return watch, closed


class TestSides:
    def test_first_side_known_is_no_event(self) -> None:
        for inside, side in ((INSIDE, FIRST), (OUTSIDE, SECOND)):
            watch, closed = run([inside] * 10)
            assert (watch.side, watch.crossing, closed) == (side, None, [])

    def test_one_window_establishes_nothing(self) -> None:
        watch, _ = run([INSIDE, UNSURE, OUTSIDE, UNSURE, INSIDE])
        assert watch.side is None

    def test_windows_without_evidence_move_nothing(self) -> None:
        watch, closed = run([INSIDE, INSIDE, *[NIGHT] * 30])
        assert (watch.side, watch.crossing, closed) == (FIRST, None, [])

    def test_side_outlasts_a_long_gap(self) -> None:
        watch, _ = run([INSIDE, INSIDE])
        watch, _ = run([OUTSIDE, OUTSIDE], watch=watch, first=1000)
        assert watch.crossing is not None
        assert watch.crossing.start_ns == 1000 * STEP_NS - HOUR_NS


class TestBeginning:
    def test_crossing_begins_with_the_first_of_the_windows_that_say_so(self) -> None:
        watch, _ = run([INSIDE, INSIDE, UNSURE, OUTSIDE, OUTSIDE])
        assert watch.crossing == Crossing(
            to=SECOND,
            start_ns=3 * STEP_NS - HOUR_NS,
            begun_ns=4 * STEP_NS,
            said_ns=4 * STEP_NS,
            stated_ns=4 * STEP_NS - HOUR_NS,
            place=None,
            confidence=1.0 - OUTSIDE,
            evidence=((3 * STEP_NS, "TAR-BRZ"), (4 * STEP_NS, "TAR-BRZ")),
        )
        assert watch.side == SECOND

    def test_flicker_of_one_window_is_nothing(self) -> None:
        watch, closed = run([INSIDE, INSIDE, OUTSIDE, INSIDE, OUTSIDE, UNSURE, OUTSIDE, INSIDE])
        assert (watch.side, watch.crossing, closed) == (FIRST, None, [])

    def test_night_does_not_break_the_row(self) -> None:
        watch, _ = run([INSIDE, INSIDE, OUTSIDE, NIGHT, NIGHT, OUTSIDE])
        assert watch.crossing is not None
        assert watch.crossing.start_ns == 2 * STEP_NS - HOUR_NS

    @pytest.mark.parametrize(("windows", "begun"), [(1, True), (2, True), (3, False)])
    def test_number_of_windows_is_the_configured_one(self, windows: int, begun: bool) -> None:
        parameters = CrossingParameters(minimum_windows=windows)
        watch, _ = run([INSIDE] * 3 + [OUTSIDE] * 2, parameters)
        assert (watch.crossing is not None) == begun

    def test_probability_must_reach_the_limit(self) -> None:
        watch, _ = run([INSIDE, INSIDE, 0.1001, 0.1001, 0.1001])
        assert watch.crossing is None
        watch, _ = run([INSIDE, INSIDE, 0.1, 0.1])
        assert watch.crossing is not None


class TestEnd:
    def test_crossing_passes_when_the_new_side_has_held(self) -> None:
        watch, closed = run([INSIDE] * 2 + [OUTSIDE] * 6)
        assert watch.crossing is None
        [crossing] = closed
        assert (crossing.outcome, crossing.end_ns) == (PASSED, 7 * STEP_NS - HOUR_NS)
        assert crossing.said_ns == 7 * STEP_NS
        assert watch.side == SECOND

    def test_crossing_is_taken_back_below_one_half(self) -> None:
        watch, closed = run([INSIDE] * 2 + [OUTSIDE] * 2 + [UNSURE, UNSURE])
        [crossing] = closed
        assert (crossing.outcome, crossing.end_ns) == (RETURNED, 4 * STEP_NS - HOUR_NS)
        assert crossing.confidence == pytest.approx(1.0 - UNSURE)
        assert (watch.side, watch.crossing) == (FIRST, None)

    def test_one_doubt_takes_nothing_back(self) -> None:
        watch, closed = run([INSIDE] * 2 + [OUTSIDE] * 2 + [UNSURE, OUTSIDE, UNSURE, OUTSIDE])
        assert closed == []
        assert watch.crossing is not None

    def test_night_neither_settles_nor_takes_back(self) -> None:
        watch, closed = run([INSIDE] * 2 + [OUTSIDE] * 2 + [NIGHT] * 40)
        assert closed == []
        assert watch.crossing is not None
        watch, closed = run([OUTSIDE] * 4, watch=watch, first=44)
        assert [crossing.outcome for crossing in closed] == [PASSED]

    def test_what_nobody_sees_any_more_ends_unobserved(self) -> None:
        patience = PARAMETERS.patience_ns // STEP_NS
        watch, closed = run([INSIDE] * 2 + [OUTSIDE] * 2 + [NIGHT] * patience)
        assert closed == []
        watch, closed = run([NIGHT], watch=watch, first=4 + patience)
        assert [crossing.outcome for crossing in closed] == [UNOBSERVED]
        assert closed[0].end_ns == closed[0].stated_ns == 3 * STEP_NS - HOUR_NS
        assert watch.side == SECOND

    def test_way_back_is_a_crossing_in_the_other_direction(self) -> None:
        watch, closed = run([INSIDE] * 2 + [OUTSIDE] * 6 + [INSIDE] * 6)
        assert [(one.to, one.outcome) for one in closed] == [(SECOND, PASSED), (FIRST, PASSED)]
        assert watch.side == FIRST

    def test_same_direction_waits_for_the_refractory_time(self) -> None:
        back_and_forth: list[float | None] = [*[INSIDE] * 2, *[OUTSIDE] * 2, *[INSIDE] * 2]
        watch, closed = run(back_and_forth)
        assert [one.outcome for one in closed] == [RETURNED]
        # Taken back in window 5: within two hours (four windows) nothing begins, then it does.
        watch, _ = run([OUTSIDE] * 3, watch=watch, first=6)
        assert watch.crossing is None
        watch, _ = run([OUTSIDE], watch=watch, first=9)
        assert watch.crossing is not None
        assert watch.crossing.begun_ns == 9 * STEP_NS
        assert watch.crossing.start_ns == 6 * STEP_NS - HOUR_NS

    def test_other_direction_does_not_wait(self) -> None:
        parameters = CrossingParameters(refractory_ns=100 * HOUR_NS)
        _, closed = run([INSIDE] * 2 + [OUTSIDE] * 6 + [INSIDE] * 6, parameters)
        assert [one.to for one in closed] == [SECOND, FIRST]


class TestStatements:
    @staticmethod
    def stated(places: list[float | None], insides: list[float]) -> list[tuple[float | None, float]]:
        """What the open crossing says after each window from its begin on: place and confidence."""
        watch, _ = run([INSIDE, INSIDE, OUTSIDE])
        said = []
        for number, (place, inside) in enumerate(zip(places, insides, strict=True), 3):
            watch, _ = advance(CrossingParameters(settle_windows=50), watch, look(number, inside, place))
            assert watch.crossing is not None
            at = watch.crossing.place
            said.append((None if at is None else at[0], round(1.0 - watch.crossing.confidence, 2)))
        return said

    def test_small_changes_are_not_said(self) -> None:
        assert self.stated([4.0, 3.8, 4.24, 3.76], [0.03] * 4) == [(4.0, 0.03)] * 4

    def test_place_is_said_when_it_moved_by_a_step(self) -> None:
        said = self.stated([4.0, 3.75, 3.6, 3.5], [0.03] * 4)
        assert [place for place, _ in said] == [4.0, 3.75, 3.75, 3.5]

    def test_first_place_is_said_and_an_unknown_one_keeps_the_last(self) -> None:
        assert [place for place, _ in self.stated([None, 4.0, None], [0.03] * 3)] == [None, 4.0, 4.0]

    def test_confidence_is_said_when_it_moved_by_a_step(self) -> None:
        said = self.stated([None] * 4, [0.03, 0.1, 0.2, 0.25])
        assert [inside for _, inside in said] == [0.03, 0.03, 0.2, 0.2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confirm", 0.5),
        ("confirm", 1.0),
        ("confirm", math.nan),
        ("minimum_windows", 0),
        ("settle_windows", 0),
        ("refractory_ns", -1),
        ("merge_ns", -1),
        ("patience_ns", -1),
        ("place_step", 0.0),
        ("confidence_step", math.nan),
    ],
)
def test_parameter_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must .*, not {value}"):
        CrossingParameters(**{name: value})


@pytest.mark.parametrize("cut", range(14))
def test_state_is_the_same_from_json(cut: int) -> None:
    insides = [
        INSIDE,
        INSIDE,
        UNSURE,
        OUTSIDE,
        OUTSIDE,
        NIGHT,
        UNSURE,
        OUTSIDE,
        UNSURE,
        UNSURE,
        *[OUTSIDE] * 6,
    ]
    watch, _ = run(insides[:cut])
    again = Watch.from_json(json.loads(json.dumps(watch.to_json())))
    assert again == watch
    assert run(insides[cut:], watch=again, first=cut) == run(insides[cut:], watch=watch, first=cut)
