"""Batches to train on: the windows are those of their cases, in a fixed order, within bounds."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from monitor.science.conditioning import ConditioningParameters
from monitor.science.spectra import SpectrumParameters
from monitor.science.synthetic.batches import generate, window_ends_ns
from monitor.science.synthetic.labels import LENGTH_NS, label_window
from monitor.science.synthetic.pairs import TRAINING, draw_case, simulate
from monitor.stages.spectrum import SpectrumStage
from monitor.types import SECOND_NS


def test_windows_and_labels_are_those_of_their_cases() -> None:
    seeds = range(6)
    batches = list(generate(seeds, TRAINING, batch_windows=20))
    cases = {seed: simulate(draw_case(seed)) for seed in seeds}
    told = [(label.seed, label.end_ns) for _, labels in batches for label in labels]
    expected = [(seed, end) for seed, series in cases.items() for end in window_ends_ns(series)]
    assert sorted(told) == sorted(expected)
    assert len(told) == 6 * 9
    for window, labels in batches:
        assert len(window.pairs) == len(labels)
        assert window.end_ns == labels[0].end_ns
        for row, label in enumerate(labels):
            series = cases[label.seed]
            assert window.step_ns == series.case.step_ns
            assert window.pairs[row].l_shell == series.case.l_shell
            assert np.array_equal(
                window.values_nT[window.station_index[row]],
                series.H_nT[:, series.window(label.end_ns, LENGTH_NS)],
                equal_nan=True,
            )
            assert label == label_window(series, label.end_ns)


def test_same_seeds_give_the_same_batches() -> None:
    runs = [list(generate(range(4), batch_windows=9)) for _ in range(2)]
    for (first, labels), (second, again) in zip(*runs, strict=True):
        assert labels == again
        assert np.array_equal(first.values_nT, second.values_nT, equal_nan=True)


def test_case_does_not_depend_on_its_company() -> None:
    alone = {label.end_ns: label for _, labels in generate([3]) for label in labels}
    among = {label.end_ns: label for _, labels in generate(range(5)) for label in labels if label.seed == 3}
    assert alone == among


def test_batches_come_as_they_fill_and_hold_one_step() -> None:
    sizes = []
    for window, labels in generate(range(24), batch_windows=30):
        sizes.append(len(labels))
        assert window.values_nT.shape == (2 * len(labels), LENGTH_NS // window.step_ns)
        assert len({label.seed for label in labels}) * 9 == len(labels)
    # The last of each step may be short; no other waits for more than one case too many.
    assert all(30 <= size < 39 for size in sizes[:-2])
    assert all(size < 39 for size in sizes)
    assert sum(sizes) == 24 * 9


def test_seeds_are_taken_as_they_are_needed() -> None:
    batches = generate(itertools.count(), dataclasses.replace(TRAINING, span_h=3.0), batch_windows=6)
    assert sum(len(labels) for _, labels in itertools.islice(batches, 5)) >= 30


def test_cadence_sets_how_many_windows_a_case_has() -> None:
    hours = [
        sum(len(labels) for _, labels in generate([0], cadence_ns=cadence_s * SECOND_NS))
        for cadence_s in (1800, 7200)
    ]
    assert hours == [9, 3]


def test_coverage_is_the_share_that_is_there() -> None:
    ranges = dataclasses.replace(TRAINING, gap_probability=1.0)
    for window, labels in generate(range(3), ranges):
        assert np.array_equal(window.coverage, np.isfinite(window.values_nT).mean(axis=1))
        for row, label in enumerate(labels):
            at_most = window.coverage[window.station_index[row]] + 1e-12
            assert (np.array(label.truth.coverage) <= at_most).all()
        assert window.coverage.min() < 1.0


def test_stage_takes_the_batches() -> None:
    stage = SpectrumStage(ConditioningParameters(), SpectrumParameters())
    for window, labels in generate(range(4), TRAINING.without("dead", "gap", "spikes")):
        (spectra,) = stage.feed([window])
        assert spectra.cross_phase_rad.shape == (len(labels), spectra.frequency_Hz.size)
        assert spectra.usable.all()


@pytest.mark.parametrize(("cadence_ns", "batch_windows"), [(0, 1), (1, 0), (-5, 64)])
def test_batches_that_cannot_be_are_refused(cadence_ns: int, batch_windows: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        next(generate([0], cadence_ns=cadence_ns, batch_windows=batch_windows))
