"""Intervals of the frequency: their margins, groups and fallbacks, and how often they hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from monitor.science.conformal import (
    L_EDGES,
    Conformal,
    Counting,
    Margin,
    ScoreKind,
    Scores,
    fit_conformal,
    l_band,
    normalised_scores,
    quantile_scores,
)
from monitor.science.coverage import coverage
from monitor.types import FloatArray, IntArray


def windows(n: int, seed: int = 1) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, FloatArray]:
    """Truth, prediction, difficulty, class and L; errors grow with L and are larger for class 2."""
    rng = np.random.default_rng(seed)
    l_shell, classes = rng.uniform(1.5, 6.5, n), rng.integers(1, 3, n)
    truth, sigma = 0.2 / l_shell**2, rng.uniform(0.5, 2.0, n)
    spread = 0.01 * l_shell * np.where(classes == 2, 2.0, 1.0)
    return truth, truth * np.exp(spread * sigma * rng.normal(0.0, 1.0, n)), sigma, classes, l_shell


def fit_all(off: FloatArray, **options: Any) -> Margin:
    """The margin of windows of one class and one L."""
    ones, l_shell = np.ones(off.size, dtype=np.int64), np.full(off.size, 3.5)
    scores = Scores(ScoreKind.NORMALISED, below=-off, above=off)
    return fit_conformal(scores, ones, l_shell, **options).margins[0]


def test_margin_is_the_score_of_the_finite_sample_rank() -> None:
    """Of 99 scores the 90th, of 100 the ⌈90.9⌉ = 91st, of 9 the largest."""
    rng = np.random.default_rng(3)
    for count, rank in ((99, 90), (100, 91), (9, 9), (10, 10), (19, 18)):
        off = rng.permutation(np.arange(1, count + 1) * np.where(np.arange(count) % 2, 1.0, -1.0))
        assert fit_all(off).above == fit_all(off).below == rank


def test_asymmetric_margins_take_each_tail_apart() -> None:
    """−39 … 59 ask for the 95th of 99 on either side: 55 above, and 35 below, where −39 … −36 lie outside."""
    found = fit_all(np.arange(-49.0, 50.0) + 10.0, asymmetric=True)
    assert (found.below, found.above) == (35.0, 55.0)


def test_too_few_windows_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match=r"level 0\.9 needs 9 calibration windows \(or sequences\), got 8"):
        fit_all(np.arange(8.0))
    with pytest.raises(ValueError, match=r"needs 19 .* got 18"):
        fit_all(np.arange(18.0), asymmetric=True)
    with pytest.raises(ValueError, match=r"needs 9 .* got 5"):
        fit_all(np.arange(50.0), sequence=np.arange(50) % 5)
    assert fit_all(np.arange(50.0), sequence=np.arange(50) % 5, counting=Counting.WINDOWS).windows == 50


def test_sequences_weigh_the_same_however_long() -> None:
    """18 sequences of one window with small scores, and one of 182 with large ones."""
    sequence = np.concatenate([np.arange(18), np.full(182, 18)])
    off = np.concatenate([np.arange(1.0, 19.0), np.full(182, 100.0)])
    assert fit_all(off, sequence=sequence, counting=Counting.SEQUENCES).above == 18.0
    assert fit_all(off, sequence=sequence, counting=Counting.POOLED).above == 100.0
    assert fit_all(off, sequence=sequence).sequences == 19


def test_pooled_windows_of_one_each_are_plain_windows() -> None:
    off = np.random.default_rng(6).normal(0.0, 1.0, 333)
    for counting in Counting:
        assert fit_all(off, sequence=np.arange(333), counting=counting) == fit_all(off)


def test_intervals_cover_every_class_and_band_of_fresh_windows() -> None:
    truth, predicted, sigma, classes, l_shell = windows(20_000)
    fitted = fit_conformal(normalised_scores(truth, predicted, sigma), classes, l_shell)
    truth, predicted, sigma, classes, l_shell = windows(50_000, seed=2)
    low, high = fitted.interval(predicted, sigma, classes, l_shell)
    found = coverage(low, high, truth, 10 * classes + l_band(l_shell))
    assert len(found) == 1 + 2 * 5
    assert [one.windows for one in found if one.group is None] == [50_000]
    for one in found:
        assert one.share == pytest.approx(0.9, abs=0.03)
        assert one.low < one.share < one.high


def test_one_margin_for_all_would_not_cover_every_group() -> None:
    """What the groups are for: without them, class 2 at high L is covered far too seldom."""
    truth, predicted, sigma, classes, l_shell = windows(20_000)
    scores = normalised_scores(truth, predicted, sigma)
    fitted = fit_conformal(scores, classes, l_shell, minimum=10**6)
    assert [(one.class_index, one.band) for one in fitted.margins] == [(None, None)]
    low, high = fitted.interval(predicted, sigma, classes, l_shell)
    shares = {one.group: one.share for one in coverage(low, high, truth, 10 * classes + l_band(l_shell))}
    assert shares[24] < 0.75
    assert shares[10] > 0.99


def test_group_with_few_windows_takes_its_class_and_a_class_with_few_takes_all() -> None:
    truth, predicted, sigma, classes, l_shell = windows(3000)
    classes = np.where(np.arange(3000) < 30, 3, classes)
    keep = ~((classes == 2) & (l_shell >= 5.0)) | (np.arange(3000) % 20 == 0)
    scores = normalised_scores(truth[keep], predicted[keep], sigma[keep])
    fitted = fit_conformal(scores, classes[keep], l_shell[keep], minimum=50)
    by_group = {(one.class_index, one.band): one for one in fitted.margins}
    assert (2, 4) not in by_group
    assert (3, None) not in by_group
    asked = np.array([2, 2, 3, 7, 0, -1, 1, 1])
    at = np.array([6.0, np.nan, 6.0, 6.0, 3.0, 3.0, 1.0, 2.0])
    _, high = fitted.interval(np.ones(8), np.ones(8), asked, at)
    expected = [(2, None), (2, None), *[(None, None)] * 4, (1, 0), (1, 1)]
    assert np.log(high) == pytest.approx([by_group[one].above for one in expected])


def test_l_bands_have_their_lower_edge_and_open_ends() -> None:
    asked = np.array([0.5, 1.999, 2.0, 4.99, 5.0, 100.0, np.nan])
    assert l_band(asked).tolist() == [0, 0, 1, 3, 4, 4, 5]
    assert l_band(asked.astype(np.float32), ()).tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert L_EDGES == (2.0, 3.0, 4.0, 5.0)


def test_predicted_quantiles_are_widened_where_they_cover_too_little() -> None:
    rng = np.random.default_rng(4)
    centre, off = np.full(30_000, 0.02), rng.normal(0.0, 0.1, 30_000)
    truth = centre * np.exp(off)
    ones, l_shell = np.ones(30_000, dtype=np.int64), np.full(30_000, 3.0)
    for half in (0.05, 0.4):
        low, high = centre * np.exp(-half), centre * np.exp(half)
        learnt, asked = slice(0, 10_000), slice(10_000, None)
        fitted = fit_conformal(
            quantile_scores(truth[learnt], low[learnt], high[learnt]), ones[learnt], l_shell[learnt]
        )
        # The 90 % quantile of |N(0, 0.1)| is 0.1645, so that is where both ends must come to lie.
        assert fitted.margins[0].above == pytest.approx(0.1645 - half, abs=0.004)
        lower, upper = fitted.widen(low[asked], high[asked], ones[asked], l_shell[asked])
        assert coverage(lower, upper, truth[asked], ones[asked])[0].share == pytest.approx(0.9, abs=0.01)


def test_quantiles_that_cross_are_put_in_order_and_never_turned_round() -> None:
    ones, l_shell = np.ones(2, dtype=np.int64), np.full(2, 3.0)
    wide = Conformal(ScoreKind.QUANTILE, 0.9, L_EDGES, (Margin(None, None, 0.1, 0.1, 100, 100),))
    narrow = Conformal(ScoreKind.QUANTILE, 0.9, L_EDGES, (Margin(None, None, -0.1, -0.3, 100, 100),))
    given = np.array([0.010, 0.011]), np.array([0.011, 0.010])
    low, high = wide.widen(*given, ones, l_shell)
    assert low == pytest.approx([0.010 * np.exp(-0.1)] * 2)
    assert high == pytest.approx([0.011 * np.exp(0.1)] * 2)
    low, high = narrow.widen(*given, ones, l_shell)
    assert np.array_equal(low, high)


def test_estimate_lies_within_its_interval_even_where_errors_lean_to_one_side() -> None:
    rng = np.random.default_rng(9)
    truth, predicted = np.full(500, 0.02), 0.02 * np.exp(rng.uniform(0.1, 0.2, 500))
    ones, l_shell = np.ones(500, dtype=np.int64), np.full(500, 3.0)
    fitted = fit_conformal(normalised_scores(truth, predicted, np.ones(500)), ones, l_shell, asymmetric=True)
    low, high = fitted.interval(predicted, np.ones(500), ones, l_shell)
    assert fitted.margins[0].above < 0.0
    assert high == pytest.approx(predicted)
    assert (low < predicted * 0.9).all()


def test_unknown_frequency_has_an_unknown_interval() -> None:
    truth, predicted, sigma, classes, l_shell = windows(1000)
    fitted = fit_conformal(normalised_scores(truth, predicted, sigma), classes, l_shell)
    predicted[0], sigma[1] = np.nan, np.nan
    low, high = fitted.interval(predicted.astype(np.float32), sigma, classes, l_shell)
    assert np.flatnonzero(np.isnan(low)).tolist() == np.flatnonzero(np.isnan(high)).tolist() == [0, 1]
    assert low.dtype == np.float64


def clustered(sequences: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Errors that share their sign and their size within a sequence; longer sequences are harder."""
    length = rng.integers(5, 40, sequences)
    sequence = np.repeat(np.arange(sequences), length)
    size = np.exp(0.7 * rng.normal(0.0, 1.0, sequences)) * np.sqrt(length / 20)
    error = 0.6 * rng.normal(0.0, 1.0, sequence.size) + 0.8 * rng.normal(0.0, 1.0, sequences)[sequence]
    return size[sequence] * error, sequence


def test_clustered_windows_are_covered_when_sequences_count_and_not_quite_when_windows_do() -> None:
    """Mean over 300 calibration sets of 20 sequences; the standard error of each mean is 0.003."""
    rng = np.random.default_rng(0)
    fresh, fresh_sequence = clustered(3000, rng)
    length = np.bincount(fresh_sequence)
    by_window: dict[Counting, list[float]] = {one: [] for one in Counting}
    by_sequence: dict[Counting, list[float]] = {one: [] for one in Counting}
    for _ in range(300):
        off, sequence = clustered(20, rng)
        for counting in Counting:
            hit = np.abs(fresh) <= fit_all(off, sequence=sequence, counting=counting).above
            by_window[counting].append(float(hit.mean()))
            by_sequence[counting].append(float((np.bincount(fresh_sequence, hit) / length).mean()))
    assert np.mean(by_window[Counting.WINDOWS]) < 0.895
    assert np.mean(by_window[Counting.POOLED]) > 0.9
    assert np.mean(by_sequence[Counting.SEQUENCES]) > 0.9
    assert np.mean(by_window[Counting.POOLED]) < 0.95


def test_exchangeable_windows_are_covered_on_average_over_calibration_sets() -> None:
    """49 windows: 45 of 50 ranks, so 0.9 exactly on average; the standard error of the mean is 0.001."""
    rng = np.random.default_rng(7)
    fresh = np.abs(rng.normal(0.0, 1.0, 100_000))
    shares = [float((fresh <= fit_all(rng.normal(0.0, 1.0, 49)).above).mean()) for _ in range(1500)]
    assert np.mean(shares) == pytest.approx(0.9, abs=0.004)


def test_coverage_counts_ends_in_and_unknown_out() -> None:
    low = np.array([1.0, 1.0, 1.0, np.nan, 1.0, 1.0])
    high = np.array([2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    truth = np.array([1.0, 2.0, 2.5, 1.5, np.nan, 1.5])
    whole, first, second = coverage(low, high, truth, np.array([4, 4, 4, 4, 4, 9]))
    assert (whole.group, whole.windows, whole.covered) == (None, 4, 3)
    assert (first.group, first.windows, first.covered) == (4, 3, 2)
    assert (second.group, second.windows, second.share) == (9, 1, 1.0)
    assert coverage(low[3:4], high[3:4], truth[3:4], np.array([0])) == ()


def test_coverage_of_sequences_is_less_certain_than_that_of_windows() -> None:
    rng = np.random.default_rng(2)
    sequence = np.repeat(np.arange(100), 40)
    truth = np.where((rng.random(100) < 0.9)[sequence], 1.5, 3.0)
    ends = np.full(4000, 1.0), np.full(4000, 2.0), truth, np.zeros(4000, dtype=np.int64)
    apart, together = coverage(*ends)[0], coverage(*ends, sequence)[0]
    assert apart.share == together.share
    assert together.high - together.low == pytest.approx(np.sqrt(40) * (apart.high - apart.low), rel=0.15)


def test_bad_input_is_named() -> None:
    truth, predicted, sigma, classes, l_shell = windows(200)
    scores = normalised_scores(truth, predicted, sigma)
    with pytest.raises(ValueError, match=r"sigma must be positive, got 0\.0"):
        normalised_scores(truth, predicted, np.zeros(200))
    with pytest.raises(ValueError, match=r"truth_Hz must be positive, got -1\.0"):
        quantile_scores(np.full(200, -1.0), predicted, predicted)
    with pytest.raises(ValueError, match=r"'class_index': \(5,\)"):
        fit_conformal(scores, classes[:5], l_shell)
    holed = normalised_scores(np.where(np.arange(200) == 17, np.nan, truth), predicted, sigma)
    with pytest.raises(ValueError, match="window 17 is not finite"):
        fit_conformal(holed, classes, l_shell)
    with pytest.raises(ValueError, match="class_index must not be negative, got -1"):
        fit_conformal(scores, classes - 2, l_shell)
    with pytest.raises(ValueError, match=r"level must lie between 0 and 1, got 90"):
        fit_conformal(scores, classes, l_shell, level=90)
    with pytest.raises(ValueError, match=r"edges must rise, got \(3\.0, 2\.0\)"):
        fit_conformal(scores, classes, l_shell, edges=(3.0, 2.0))
    with pytest.raises(ValueError, match="counting by pooled needs the sequence"):
        fit_conformal(scores, classes, l_shell, counting=Counting.POOLED)
    fitted = fit_conformal(scores, classes, l_shell)
    with pytest.raises(ValueError, match="of the kind normalised, not quantile"):
        fitted.widen(predicted, predicted, classes, l_shell)
    with pytest.raises(ValueError, match=r"frequency_Hz must be positive, got 0\.0"):
        fitted.interval(np.zeros(200), sigma, classes, l_shell)
    with pytest.raises(ValueError, match="one shape"):
        coverage(truth, truth, truth, classes[:3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "conformal/0"}, "conformal/0"),
        ({"surplus": 1}, "surplus"),
        ({"kind": "guess"}, "guess"),
        ({"level": 1.5}, r"1\.5"),
        ({"level": None}, "wrong kind"),
        ({"l_edges": [3.0, 3.0]}, "rise"),
        ({"margins": []}, "margin of all windows is missing"),
        ({"margins": [{"class": 1}]}, "expected the keys"),
    ],
)
def test_damaged_json_is_refused(change: dict[str, object], message: str) -> None:
    truth, predicted, sigma, classes, l_shell = windows(200)
    document = fit_conformal(normalised_scores(truth, predicted, sigma), classes, l_shell).to_json()
    assert Conformal.from_json(json.loads(json.dumps(document))).to_json() == document
    with pytest.raises(ValueError, match=message):
        Conformal.from_json(document | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"above": float("inf")}, "no margin"),
        ({"class": None}, "no margin"),
        ({"l_band": 5}, "L band: 1, 5"),
        ({"class": -1}, "L band: -1, 0"),
    ],
)
def test_damaged_margin_is_refused(change: dict[str, object], message: str) -> None:
    truth, predicted, sigma, classes, l_shell = windows(5000)
    document = fit_conformal(normalised_scores(truth, predicted, sigma), classes, l_shell).to_json()
    place = next(i for i, one in enumerate(document["margins"]) if (one["class"], one["l_band"]) == (1, 0))
    document["margins"][place] = document["margins"][place] | change
    with pytest.raises(ValueError, match=message):
        Conformal.from_json(document)
