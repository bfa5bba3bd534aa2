"""A synthetic sample is a function of scenario, station and time, whatever the requests were."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.synthetic.ground import Gap, GroundSimulator, PlasmaModel, Scenario
from monitor.types import SECOND_NS

START_NS = 1_504_742_400 * SECOND_NS
SPAN_S = 3 * 3600
STATIONS = (("MUO", 5.604), ("PEL", 5.147), ("TAR", 3.010))

steps_s = st.sampled_from([1.0, 10.0])


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    gap_s = sorted(draw(st.lists(st.integers(0, SPAN_S), min_size=2, max_size=2)))
    return Scenario(
        STATIONS,
        START_NS,
        seed=draw(st.integers(0, 2**63)),
        step_s=draw(steps_s),
        plasma=PlasmaModel(plasmapause=((START_NS, 4.8), (START_NS + SPAN_S * SECOND_NS, 4.0))),
        third_harmonic=draw(st.sampled_from([0.0, 0.5])),
        spikes_per_h=draw(st.sampled_from([0.0, 20.0])),
        gaps=(Gap("PEL", START_NS + gap_s[0] * SECOND_NS, START_NS + gap_s[1] * SECOND_NS),),
        clock_offset_s=draw(st.dictionaries(st.sampled_from(["MUO", "TAR"]), st.floats(-5.0, 5.0))),
    )


@settings(max_examples=30)
@given(scenarios(), st.lists(st.integers(0, SPAN_S // 10), max_size=12))
def test_samples_in_any_chunks_are_the_samples_at_once(scenario: Scenario, cuts: list[int]) -> None:
    whole = GroundSimulator(scenario).samples(START_NS, START_NS + SPAN_S * SECOND_NS)
    edges = [START_NS + 10 * cut * SECOND_NS for cut in [0, *sorted(cuts), SPAN_S // 10]]
    simulator = GroundSimulator(scenario)
    parts = [simulator.samples(first, last) for first, last in itertools.pairwise(edges)]
    for code, row in whole.items():
        assert np.array_equal(np.concatenate([part[code] for part in parts]), row, equal_nan=True)


@settings(max_examples=15)
@given(scenarios(), st.lists(st.integers(0, SPAN_S // 600 - 1), min_size=1, max_size=10))
def test_samples_asked_out_of_order_are_the_same(scenario: Scenario, order: list[int]) -> None:
    whole = GroundSimulator(scenario).samples(START_NS, START_NS + SPAN_S * SECOND_NS)
    simulator = GroundSimulator(scenario)
    count = 600 * SECOND_NS // scenario.step_ns
    for part in order:
        first = START_NS + part * 600 * SECOND_NS
        rows = simulator.samples(first, first + 600 * SECOND_NS)
        for code, row in whole.items():
            assert np.array_equal(rows[code], row[part * count : (part + 1) * count], equal_nan=True)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 1000))
def test_seed_alone_decides_what_is_drawn(seed: int, other: int, begins_h: int) -> None:
    end = START_NS + 1800 * SECOND_NS
    first = GroundSimulator(Scenario(STATIONS, START_NS, seed=seed)).samples(START_NS, end)
    # A scenario that began earlier is the same from here on.
    again = GroundSimulator(Scenario(STATIONS, START_NS - begins_h * 3600 * SECOND_NS, seed=seed))
    rows = again.samples(START_NS, end)
    assert all(np.array_equal(rows[code], first[code]) for code in first)
    if other != seed:
        different = GroundSimulator(Scenario(STATIONS, START_NS, seed=other)).samples(START_NS, end)
        assert not any(np.array_equal(different[code], first[code]) for code in first)
