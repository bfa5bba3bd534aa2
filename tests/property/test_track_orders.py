"""Whatever the order, the pieces and the interruptions in which findings come, the last ones make the result."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.tracker_parameters import TrackerParameters
from monitor.stages.track import TrackStage
from monitor.types import Finding, Label, Pair, PhysicalReading, Reading, Tick

CADENCE_NS = 1_800_000_000_000
PAIRS = (Pair("MUO", "PEL", 5.37), Pair("TAR", "BRZ"), Pair("OUJ", "HAN"))
PARAMETERS = TrackerParameters(bins=24)
PROBABILITIES = st.one_of(
    st.none(),
    st.sampled_from([(0.9, 0.08, 0.02), (0.55, 0.4, 0.05), (0.1, 0.85, 0.05), (0.2, 0.3, 0.5)]),
)
READINGS = st.one_of(st.none(), st.sampled_from([0.010, 0.0103, 0.0108, 0.030]))


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[int, list[Finding]]:
    """How long to remember, and findings that come no later than that behind the newest of their pair."""
    remembered = draw(st.sampled_from([2, 5, 9, 40]))
    keyed = []
    for pair in PAIRS[: draw(st.integers(1, 3))]:
        ends = draw(st.lists(st.integers(0, 30), min_size=1, max_size=40))
        for number in ends:
            delay = draw(st.one_of(st.just(0), st.integers(0, remembered)))
            keyed.append((number + delay, len(keyed), draw(findings(pair, number * CADENCE_NS))))
    return remembered * CADENCE_NS, [finding for _, _, finding in sorted(keyed, key=lambda one: one[:2])]


@st.composite
def findings(draw: st.DrawFn, pair: Pair, end_ns: int) -> Finding:
    probability = draw(PROBABILITIES)
    label = Label.NO_FREQ if probability is None else list(Label)[int(np.argmax(probability))]
    return Finding(
        pair=pair,
        end_ns=end_ns,
        length_ns=4 * CADENCE_NS,
        coverage=((pair.poleward, 1.0), (pair.equatorward, draw(st.sampled_from([1.0, 0.9])))),
        physical=PhysicalReading(Label.NO_FREQ, 0.01, 0.001, 0.5, 0.9, 0.0, 0.1),
        illumination=None,
        mlt_h=None,
        probability=probability,
        stage_one=None if probability is None else label,
        as_freq=reading(draw(READINGS)),
        as_pbl=reading(draw(READINGS)),
        label=label,
        flags=frozenset({"gap"}) if probability is None else frozenset(),
    )


def reading(frequency_Hz: float | None) -> Reading | None:
    return None if frequency_Hz is None else Reading(frequency_Hz, frequency_Hz / 1.08, frequency_Hz * 1.08)


def stage(remember_ns: int) -> TrackStage:
    return TrackStage(PARAMETERS, (1.0, 1.2, 0.8), CADENCE_NS, remember_ns)


def final(emitted: list[Finding]) -> dict[tuple[Pair, int], Finding]:
    return {(one.pair, one.end_ns): one for one in emitted}


@settings(max_examples=60)
@given(stream=arrivals(), cuts=st.data())
def test_result_is_that_of_the_last_findings_in_the_order_of_time(
    stream: tuple[int, list[Finding]], cuts: st.DataObject
) -> None:
    remember_ns, coming = stream
    last = final(coming)
    plain, reference = stage(1000 * CADENCE_NS), []
    for finding in sorted(last.values(), key=lambda one: one.end_ns):
        reference.extend(plain.feed([finding]))
    running, emitted, at = stage(remember_ns), [], 0
    while at < len(coming):
        piece = cuts.draw(st.integers(1, 8))
        emitted.extend(running.feed(coming[at : at + piece]))
        emitted.extend(running.feed(Tick(1)))
        at += piece
        if cuts.draw(st.integers(0, 4)) == 0:
            stored = json.dumps(running.snapshot())
            running = stage(remember_ns)
            running.restore(json.loads(stored))
    assert final(emitted) == final(reference)


@settings(max_examples=60)
@given(stream=arrivals(), seed=st.integers(0, 1000))
def test_looking_ahead_does_not_depend_on_the_order_either(
    stream: tuple[int, list[Finding]], seed: int
) -> None:
    _, coming = stream
    last = list(final(coming).values())
    results = []
    for order in (np.arange(len(last)), np.random.default_rng(seed).permutation(len(last))):
        offline = TrackStage(PARAMETERS, (1.0, 1.2, 0.8), CADENCE_NS, 0, smooth=True)
        for at in order.tolist():
            assert offline.feed([last[at]]) == []
        results.append(final(offline.flush()))
        assert offline.flush() == []
    assert results[0] == results[1]
    assert len(results[0]) == len(last)
