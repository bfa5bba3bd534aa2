"""Whatever the order, the pieces and the interruptions in which Kp comes, the last values make the answers."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stages.indices import KpMemory
from monitor.types import Domain, SampleBlock

HOUR_NS = 3_600_000_000_000
ASKED_NS = range(0, 40 * HOUR_NS, HOUR_NS // 2)


@st.composite
def blocks(draw: st.DrawFn) -> SampleBlock:
    values = draw(st.lists(st.sampled_from([0.0, 2.67, 9.0, float("nan")]), min_size=1, max_size=4))
    start_ns = draw(st.integers(0, 30)) * HOUR_NS
    step_ns = draw(st.sampled_from([HOUR_NS, 3 * HOUR_NS]))
    return SampleBlock("KP", ("Kp",), start_ns, step_ns, np.array([values]), domain=Domain.INDEX)


def answers(memory: KpMemory) -> list[tuple[float | None, ...]]:
    return [(memory.at(time), memory.maximum(12, time), memory.maximum(24, time)) for time in ASKED_NS]


def singles(coming: list[SampleBlock]) -> dict[tuple[int, int], float]:
    """The last value of every interval, gaps aside."""
    found = {}
    for block in coming:
        for number, value in enumerate(block.values[0].tolist()):
            start = block.t0_ns + number * block.step_ns
            if value == value:
                found[start + block.step_ns, start] = value
    return found


@settings(max_examples=100)
@given(coming=st.lists(blocks(), max_size=12), data=st.data())
def test_answers_rest_on_the_last_values_alone(coming: list[SampleBlock], data: st.DataObject) -> None:
    last = singles(coming)
    plain = KpMemory(0)
    shuffled = data.draw(st.permutations(sorted(last)))
    for end, start in shuffled:
        value = np.array([[last[end, start]]])
        plain.feed([SampleBlock("KP", ("Kp",), start, end - start, value, domain=Domain.INDEX)])
    interrupted = KpMemory(0)
    cut = data.draw(st.integers(0, len(coming)))
    interrupted.feed(coming[:cut])
    again = KpMemory(0)
    again.restore(json.loads(json.dumps(interrupted.snapshot())))
    for block in coming[cut:]:
        again.feed([block])
    assert answers(again) == answers(plain)
    assert again.snapshot() == plain.snapshot()


@settings(max_examples=100)
@given(coming=st.lists(blocks(), max_size=12))
def test_answers_are_those_of_a_scan_over_all_intervals(coming: list[SampleBlock]) -> None:
    # A memory of 30 h and a little: what has ended since is all there.
    memory, last = KpMemory(40 * HOUR_NS), singles(coming)
    memory.feed(coming)
    for time in ASKED_NS:
        ended = sorted((end, -start) for end, start in last if time - 6 * HOUR_NS <= end <= time)
        assert memory.at(time) == (last[ended[-1][0], -ended[-1][1]] if ended else None)
        within = {key: kp for key, kp in last.items() if time - 12 * HOUR_NS < key[0] <= time}
        minutes = {
            minute
            for end, start in within
            for minute in range(max(start, time - 12 * HOUR_NS), end, HOUR_NS // 60)
        }
        enough = bool(within) and 2 * len(minutes) >= 12 * 60
        assert memory.maximum(12, time) == (max(within.values()) if enough else None)
