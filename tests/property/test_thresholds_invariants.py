"""What holds for the moving threshold of any sample."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.skill import McsReading, TssReading, confusion, mcs, tss
from monitor.science.thresholds import decide, moving_threshold, weighted
from monitor.types import FloatArray, IntArray

SCORES = st.sampled_from(
    [
        *(partial(tss, reading=reading) for reading in TssReading),
        *(partial(mcs, reading=reading) for reading in McsReading),
    ]
)
SAMPLES = {
    "k": st.sampled_from([2, 3]),
    "seed": st.integers(0, 2**32 - 1),
    "count": st.integers(3, 120),
    "levels": st.sampled_from([0, 4, 20]),
}


def sample(k: int, seed: int, count: int, levels: int) -> tuple[FloatArray, IntArray]:
    """Probabilities and truth; with `levels` the probabilities take few values, so that ties abound."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.concatenate([np.arange(k), rng.integers(0, k, count - k)]))
    probability = rng.dirichlet(np.ones(k), count)
    if levels:
        probability = np.round(probability * levels) / levels
    probability[rng.random(count) < 0.05] = np.nan
    return probability, truth


@settings(max_examples=60)
@given(**SAMPLES, score=SCORES)
def test_search_counts_what_decide_says_and_chooses_the_best(
    k: int, seed: int, count: int, levels: int, score: partial[FloatArray]
) -> None:
    probability, truth = sample(k, seed, count, levels)
    found = moving_threshold(probability, truth, score=score, step=0.1)
    for weights, counts in zip(found.grid, found.counts, strict=True):
        assert np.array_equal(counts, confusion(truth, decide(probability, weights), k))
    assert found.score >= found.scores.max() - 1e-9
    equal = found.scores >= found.scores.max() - 1e-9
    assert found.counts[found.chosen, 0, 1] == found.counts[equal, 0, 1].min()


@settings(max_examples=40)
@given(**SAMPLES, score=SCORES)
def test_search_is_the_same_in_any_order_of_the_windows(
    k: int, seed: int, count: int, levels: int, score: partial[FloatArray]
) -> None:
    probability, truth = sample(k, seed, count, levels)
    order = np.random.default_rng(seed + 1).permutation(count)
    one = moving_threshold(probability, truth, score=score, step=0.1)
    other = moving_threshold(probability[order], truth[order], score=score, step=0.1)
    assert one.weights == other.weights
    assert np.array_equal(one.scores, other.scores)


@settings(max_examples=40)
@given(**SAMPLES, score=SCORES)
def test_search_at_the_share_of_the_sample_is_the_plain_one(
    k: int, seed: int, count: int, levels: int, score: partial[FloatArray]
) -> None:
    probability, truth = sample(k, seed, count, levels)
    plain = moving_threshold(probability, truth, score=score, step=0.1)
    shared = moving_threshold(probability, truth, score=score, step=0.1, class_share=np.bincount(truth))
    assert shared.scores == pytest.approx(plain.scores, abs=1e-12)
    assert shared.weights == plain.weights


@settings(max_examples=100)
@given(**SAMPLES, power=st.integers(-30, 30), factor=st.floats(1e-3, 1e3))
def test_decisions_do_not_depend_on_the_scale_of_the_weights(
    k: int, seed: int, count: int, levels: int, power: int, factor: float
) -> None:
    probability, _ = sample(k, seed, count, levels)
    weights = np.random.default_rng(seed + 1).dirichlet(np.ones(k))
    plain = decide(probability, weights)
    assert np.array_equal(decide(probability, weights * 2.0**power), plain)
    ordered = np.sort(weighted(probability, weights), axis=1)
    clear = np.isnan(ordered).any(axis=1) | (ordered[:, -1] - ordered[:, -2] > 1e-12)
    assert np.array_equal(decide(probability, weights * factor)[clear], plain[clear])


@settings(max_examples=60)
@given(**SAMPLES)
def test_larger_weight_of_nofreq_never_passes_more_on(k: int, seed: int, count: int, levels: int) -> None:
    probability, _ = sample(k, seed, count, levels)
    rest = np.random.default_rng(seed + 1).dirichlet(np.ones(k - 1))
    passed = [
        decide(probability, np.concatenate([[weight], rest])) != 0 for weight in (0.0, 0.1, 0.5, 1.0, 10.0)
    ]
    for more, fewer in pairwise(passed):
        assert not (fewer & ~more).any()


@settings(max_examples=100)
@given(table=st.lists(st.lists(st.integers(0, 1000), min_size=3, max_size=3), min_size=3, max_size=3))
def test_scores_keep_their_range(table: list[list[int]]) -> None:
    counts = np.array(table) + np.eye(3, dtype=np.int64)
    for reading in TssReading:
        assert -1.0 - 1e-12 <= tss(counts, reading) <= 1.0 + 1e-12
    detection = counts[0, 0] / counts[0].sum()
    freq = counts[1, 1] / counts[1].sum() - counts[[0, 2], 1].sum() / counts[[0, 2]].sum()
    pbl = counts[2, 2] / counts[2].sum() - counts[:2, 2].sum() / counts[:2].sum()
    assert mcs(counts) == pytest.approx(0.25 * (detection + freq + pbl), abs=1e-12)
    assert mcs(counts) <= 0.75 + 1e-12
