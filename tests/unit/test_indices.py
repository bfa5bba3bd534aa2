"""Kp: what it was at a time, and the largest of the hours before."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.stages.indices import KpMemory
from monitor.types import SECOND_NS, Domain, SampleBlock

HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
T0_NS = 1_504_742_400 * SECOND_NS  # 2017-09-07T00:00:00Z
# Definitive values of 7 and 8 September 2017, the storm that the project looks at most.
STORM = (2.33, 4.0, 3.0, 3.0, 2.33, 2.33, 3.33, 5.0, 8.0, 6.67, 5.0, 5.33, 8.33, 7.67, 5.67, 4.33)


def kp(*values: float, start_h: float = 0.0, step_h: float = 3.0) -> SampleBlock:
    return SampleBlock(
        "KP",
        ("Kp",),
        T0_NS + round(start_h * HOUR_NS),
        round(step_h * HOUR_NS),
        np.array([values]),
        domain=Domain.INDEX,
    )


def memory(*blocks: SampleBlock) -> KpMemory:
    made = KpMemory(DAY_NS)
    made.feed(blocks)
    return made


def at(hour: float) -> int:
    return T0_NS + round(hour * HOUR_NS)


@pytest.mark.parametrize(
    ("hour", "expected"), [(2.9, None), (3.0, 2.33), (5.9, 2.33), (6.0, 4.0), (27.0, 8.0), (48.0, 4.33)]
)
def test_kp_is_that_of_the_newest_interval_that_has_ended(hour: float, expected: float | None) -> None:
    assert memory(kp(*STORM)).at(at(hour)) == expected


def test_kp_older_than_six_hours_is_unknown() -> None:
    known = memory(kp(3.0))
    assert known.at(at(9.0)) == 3.0
    assert known.at(at(9.0) + 1) is None


def test_gap_leaves_the_value_before_and_takes_none_away() -> None:
    known = memory(kp(3.0, math.nan), kp(math.nan))
    assert known.at(at(6.0)) == 3.0


def test_later_value_of_an_interval_counts() -> None:
    assert memory(kp(3.0), kp(3.67)).at(at(3.0)) == 3.67


@pytest.mark.parametrize("order", [1, -1])
def test_longer_of_two_intervals_that_end_together_counts(order: int) -> None:
    both = [kp(4.0), kp(5.0, start_h=2.0, step_h=1.0)][::order]
    known = memory(*both, kp(6.0, start_h=3.0, step_h=0.5))
    assert known.at(at(3.0)) == 4.0
    assert known.at(at(3.5)) == 6.0


def test_maximum_takes_the_hours_before_and_nothing_of_later() -> None:
    known = memory(kp(*STORM))
    assert known.maximum(12, at(24.0)) == 5.0
    assert known.maximum(24, at(24.0)) == 5.0
    assert known.maximum(12, at(27.0)) == 8.0
    # From 27 h on: the 8.0 that ended there lies twelve hours back and is no longer within them.
    assert known.maximum(12, at(39.0)) == 8.33
    assert known.maximum(9, at(36.0)) == 6.67


@pytest.mark.parametrize(("count", "expected"), [(4, 3.0), (3, None), (0, None)])
def test_maximum_needs_half_of_the_hours(count: int, expected: float | None) -> None:
    assert memory(kp(*[3.0] * count)).maximum(24, at(24.0)) == expected


def test_intervals_that_overlap_count_their_time_once() -> None:
    known = memory(kp(3.0), kp(2.0, 2.0, 2.0, start_h=0.0, step_h=1.0), kp(2.5, start_h=1.5, step_h=1.5))
    assert known.maximum(7, at(3.0)) is None
    assert known.maximum(6, at(3.0)) == 3.0


def test_memory_is_bounded_and_still_answers_for_the_oldest_window() -> None:
    known = memory(kp(*[1.0] * 800))
    end = at(2400.0)
    assert len(known.snapshot()["intervals"]) == 18  # a day of reach, a day of maximum, six hours
    assert known.maximum(24, end - DAY_NS) == 1.0
    assert known.at(end - DAY_NS) == 1.0


def test_other_sources_pass_by() -> None:
    ground = SampleBlock("KP", ("H",), T0_NS, SECOND_NS, np.ones((1, 3)))
    other = SampleBlock("DST", ("Dst",), T0_NS, HOUR_NS, np.ones((1, 3)), domain=Domain.INDEX)
    assert memory(ground, other).snapshot() == {"version": 1, "intervals": []}


def test_snapshot_is_the_same_object_while_nothing_changed() -> None:
    known = memory(kp(3.0))
    before = known.snapshot()
    known.feed([kp(3.0), kp(math.nan)])
    assert known.snapshot() is before
    known.feed([kp(3.33)])
    assert known.snapshot() is not before


def test_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 7"):
        KpMemory(0).restore({"version": 7})
