"""What conformal intervals promise, for any scores: exact counts over every way to leave one out."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.conformal import (
    Conformal,
    Counting,
    ScoreKind,
    Scores,
    fit_conformal,
    normalised_scores,
    quantile_scores,
)
from monitor.types import FloatArray, IntArray

LEVELS = st.sampled_from([0.5, 0.8, 0.9, 2 / 3])
OFF = st.lists(st.floats(-5.0, 5.0, allow_subnormal=False), min_size=12, max_size=40, unique_by=abs)


def symmetric_margin(off: FloatArray, level: float, sequence: IntArray, counting: Counting) -> float:
    scores = Scores(ScoreKind.NORMALISED, below=-off, above=off)
    ones, l_shell = np.ones(off.size, dtype=np.int64), np.full(off.size, 3.0)
    fitted = fit_conformal(scores, ones, l_shell, level=level, sequence=sequence, counting=counting)
    return fitted.margins[0].above


@settings(max_examples=60)
@given(values=OFF, level=LEVELS)
def test_each_window_left_out_in_turn_is_covered_exactly_as_often_as_promised(
    values: list[float], level: float
) -> None:
    """Of n + 1 windows with unequal scores, ⌈(n + 1) · level⌉ lie within the margin of the n others."""
    off, count = np.array(values), len(values)
    covered = 0
    for out in range(count):
        rest = np.delete(off, out)
        margin = symmetric_margin(rest, level, np.arange(rest.size), Counting.WINDOWS)
        covered += abs(off[out]) <= margin
    assert covered == math.ceil(count * level - 1e-9)


@settings(max_examples=60)
@given(data=st.data(), level=LEVELS, sequences=st.integers(12, 20))
def test_each_sequence_left_out_in_turn_is_covered_at_least_as_promised(
    data: st.DataObject, level: float, sequences: int
) -> None:
    """The mean over sequences of the share of their windows that the margin of the other sequences covers."""
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=sequences, max_size=sequences))
    seed = data.draw(st.integers(0, 2**32 - 1))
    sequence = np.repeat(np.arange(sequences), sizes)
    rng = np.random.default_rng(seed)
    off = rng.normal(0.0, 1.0, sequence.size) + rng.normal(0.0, 3.0, sequences)[sequence]
    shares = []
    for out in range(sequences):
        inside = sequence != out
        margin = symmetric_margin(off[inside], level, sequence[inside], Counting.SEQUENCES)
        shares.append(float((np.abs(off[~inside]) <= margin).mean()))
    assert np.mean(shares) >= level - 1e-9


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(40, 200),
    asymmetric=st.booleans(),
    counting=st.sampled_from([None, *Counting]),
)
def test_calibration_windows_themselves_are_covered_group_by_group(
    seed: int, count: int, asymmetric: bool, counting: Counting | None
) -> None:
    """Each group with a margin of its own covers at least the level, and still does after JSON."""
    rng = np.random.default_rng(seed)
    truth, off = np.exp(rng.uniform(-5.0, -3.0, count)), rng.normal(0.02, 0.1, count)
    sigma, l_shell = rng.uniform(0.5, 2.0, count), rng.uniform(1.5, 6.5, count)
    classes = rng.integers(1, 3, count)
    predicted = truth * np.exp(off)
    sequence = None if counting is None else np.arange(count)
    fitted = fit_conformal(
        normalised_scores(truth, predicted, sigma),
        classes,
        l_shell,
        level=0.8,
        minimum=20,
        asymmetric=asymmetric,
        sequence=sequence,
        counting=counting,
    )
    again = Conformal.from_json(json.loads(json.dumps(fitted.to_json(), allow_nan=False)))
    assert again == fitted
    low, high = again.interval(predicted, sigma, classes, l_shell)
    assert ((low <= predicted) & (predicted <= high)).all()
    # A margin of the calibration windows' own reaches one of them; rounding may put it a hair outside.
    inside = (low * (1.0 - 1e-12) <= truth) & (truth <= high * (1.0 + 1e-12))
    for one in fitted.margins:
        if one.class_index is not None and one.band is not None:
            edges = np.array([-np.inf, *fitted.edges, np.inf])
            group = (
                (classes == one.class_index) & (l_shell >= edges[one.band]) & (l_shell < edges[one.band + 1])
            )
            assert group.sum() == one.windows >= 20
            assert inside[group].mean() >= 0.8 - 1e-9


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-1.0, 1.0), count=st.integers(20, 100))
def test_intervals_do_not_depend_on_the_unit_of_frequency_or_difficulty(
    seed: int, shift: float, count: int
) -> None:
    rng = np.random.default_rng(seed)
    truth = np.exp(rng.uniform(-5.0, -3.0, count))
    predicted, sigma = truth * np.exp(rng.normal(0.0, 0.1, count)), rng.uniform(0.5, 2.0, count)
    low, high = predicted * np.exp(-0.1 * sigma), predicted * np.exp(0.1 * sigma)
    ones, l_shell, unit = np.ones(count, dtype=np.int64), np.full(count, 3.0), math.exp(shift)
    plain = fit_conformal(normalised_scores(truth, predicted, sigma), ones, l_shell)
    scaled = fit_conformal(normalised_scores(truth * unit, predicted * unit, sigma / unit), ones, l_shell)
    for one, other in zip(
        plain.interval(predicted, sigma, ones, l_shell),
        scaled.interval(predicted * unit, sigma / unit, ones, l_shell),
        strict=True,
    ):
        assert np.allclose(one * unit, other, rtol=1e-9)
    plain = fit_conformal(quantile_scores(truth, low, high), ones, l_shell)
    scaled = fit_conformal(quantile_scores(truth * unit, low * unit, high * unit), ones, l_shell)
    for one, other in zip(
        plain.widen(low, high, ones, l_shell),
        scaled.widen(low * unit, high * unit, ones, l_shell),
        strict=True,
    ):
        assert np.allclose(one * unit, other, rtol=1e-9)
