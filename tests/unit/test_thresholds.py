"""The moving threshold, against loops over every weight and window and against exact optima."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest

from monitor.science.skill import Counts, McsReading, TssReading, confusion, mcs, tss
from monitor.science.thresholds import (
    ThresholdSearch,
    decide,
    moving_threshold,
    score_curves,
    weight_grid,
    weighted,
)
from monitor.types import FloatArray, IntArray

SCORES = [
    *(partial(tss, reading=reading) for reading in TssReading),
    *(partial(mcs, reading=reading) for reading in McsReading),
]


def sample(
    count: int, share: list[float], seed: int = 1, strength: float = 1.5
) -> tuple[FloatArray, IntArray]:
    """Probabilities with some skill, and the truth."""
    rng = np.random.default_rng(seed)
    k = len(share)
    truth = np.concatenate([np.arange(k), rng.choice(k, count - k, p=share)]).astype(np.int64)
    margin = rng.normal(size=(count, k))
    margin[np.arange(count), truth] += strength
    odds = np.exp(margin)
    return odds / odds.sum(axis=1, keepdims=True), truth


def calibrated(windows: list[int]) -> tuple[FloatArray, IntArray]:
    """Two-class windows whose Freq share is their probability exactly: 20 windows[b] of them at each of b/20."""
    probability, truth = [], []
    for b, number in enumerate(windows, start=1):
        probability += [[1.0 - b / 20, b / 20]] * (20 * number)
        truth += [1] * (b * number) + [0] * ((20 - b) * number)
    return np.array(probability), np.array(truth)


def test_weighted_is_the_formula_of_the_paper() -> None:
    probability = np.array([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0]])
    assert weighted(probability, [2.0, 1.0, 5.0]) == pytest.approx(
        np.array([[1.0 / 8, 0.3 / 8, 1.0 / 8], [0.2 / 8, 0.9 / 8, 0.0]])
    )


def test_decide_takes_the_first_of_equal_classes() -> None:
    assert decide(np.array([[0.5, 0.5]]), [1, 1]).tolist() == [0]
    assert decide(np.array([[0.4, 0.6]]), [0.6, 0.4]).tolist() == [0]
    assert decide(np.array([[0.2, 0.4, 0.4]]), [1, 1, 1]).tolist() == [1]
    assert decide(np.array([[0.0, 0.0, 1.0]]), [1, 0, 0]).tolist() == [0]


def test_decide_without_probabilities_is_nofreq() -> None:
    nan = np.nan
    rows = np.array([[nan, nan, nan], [0.1, 0.8, nan], [nan, 0.1, 0.9], [0.1, 0.1, 0.8]])
    decided = decide(rows, [1, 1, 1])
    assert decided.tolist() == [0, 0, 0, 2]
    assert decided.dtype == np.int64


def test_decide_of_no_windows_is_empty() -> None:
    assert decide(np.empty((0, 3)), [1, 1, 1]).shape == (0,)


def test_decide_leaves_its_input_alone() -> None:
    probability, _ = sample(50, [0.5, 0.4, 0.1])
    before = probability.copy()
    decide(probability, [0.2, 0.3, 0.5])
    assert np.array_equal(probability, before)


@pytest.mark.parametrize(
    ("probability", "weights", "message"),
    [
        ([[0.5, 0.5]], [1, 1, 1], r"weights has shape \(3,\)"),
        ([[0.5, 0.5]], [0, 0], r"weights is \[0.0, 0.0\]"),
        ([[0.5, 0.5]], [1, -1], r"weights is \[1.0, -1.0\]"),
        ([[0.5, 0.5]], [1, np.nan], "weights is .*nan"),
        ([0.5, 0.5], [1, 1], r"probability has the shape \(2,\)"),
        ([[0.25] * 4], [1] * 4, "4 classes"),
        ([[0.5, 0.5], [1.1, -0.1]], [1, 1], "window 1, class 1 is -0.1"),
        ([[np.inf, 0.0]], [1, 1], "window 0, class 0 is inf"),
    ],
)
def test_decide_refuses_what_is_no_probability_or_weight(
    probability: list[list[float]], weights: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        decide(np.array(probability), weights)


def test_grid_of_three_classes_is_the_whole_simplex() -> None:
    grid = weight_grid(3, 0.01)
    assert grid.shape == (5151, 3)
    assert np.array_equal(np.unique(grid, axis=0), grid)
    assert (grid >= 0.0).all()
    assert grid.sum(axis=1) == pytest.approx(1.0, abs=1e-15)
    assert np.abs(grid * 100 - np.round(grid * 100)).max() < 1e-12


def test_grid_of_two_classes_is_w_and_the_rest() -> None:
    grid = weight_grid(2, 0.25)
    assert grid.tolist() == [[0.0, 1.0], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25], [1.0, 0.0]]
    assert weight_grid(2, 0.01)[58].tolist() == [0.58, 0.42]


@pytest.mark.parametrize("step", [0.3, 0.0, -0.1, 2.0, np.nan, np.inf, 0.011])
def test_grid_step_that_does_not_divide_one_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match=f"step {step:g} does not divide 1"):
        weight_grid(3, step)


def test_grid_of_other_numbers_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="4 classes"):
        weight_grid(4)


@pytest.mark.parametrize("share", [[0.6, 0.4], [0.55, 0.35, 0.1]])
@pytest.mark.parametrize("score", SCORES)
def test_search_finds_what_a_loop_over_everything_finds(
    share: list[float], score: partial[FloatArray]
) -> None:
    probability, truth = sample(300, share)
    found = moving_threshold(probability, truth, score=score, step=0.05)
    k, best = len(share), -np.inf
    fewest: tuple[int, ...] = ()
    parts = [steps for steps in product(range(21), repeat=k) if sum(steps) == 20]
    assert found.grid == pytest.approx(np.array(parts) / 20)
    for row, steps in enumerate(parts):
        table = np.zeros((k, k), dtype=np.int64)
        for window, true in zip(probability, truth, strict=True):
            products = [steps[i] / 20 * window[i] for i in range(k)]
            table[true, products.index(max(products))] += 1
        value, passed = float(score(table)), tuple(int(number) for number in table[0, 1:])
        assert found.counts[row].tolist() == table.tolist()
        assert found.scores[row] == pytest.approx(value, abs=1e-12)
        if value > best + 1e-9 or (abs(value - best) <= 1e-9 and passed < fewest):
            best, fewest = value, passed
    assert found.score == pytest.approx(best, abs=1e-12)
    assert tuple(found.counts[found.chosen, 0, 1:].tolist()) == fewest


def test_search_says_what_its_choice_does() -> None:
    probability, truth = sample(3000, [0.5, 0.4, 0.1])
    found = moving_threshold(probability, truth, score=mcs, step=0.02)
    table = confusion(truth, decide(probability, found.weights), 3)
    nofreq, others = truth == 0, truth != 2
    assert found.counts[found.chosen].tolist() == table.tolist()
    assert found.weights == tuple(found.grid[found.chosen])
    assert found.score == found.scores[found.chosen] == found.scores.max()
    assert found.nofreq_as_freq == table[0, 1] / nofreq.sum()
    assert found.nofreq_as_pbl == table[0, 2] / nofreq.sum()
    assert found.false_pbl == pytest.approx(table[:2, 2].sum() / others.sum(), abs=1e-15)
    assert found.allowed.all()


def test_search_of_two_classes_has_no_pbl() -> None:
    found = moving_threshold(*sample(500, [0.6, 0.4]), score=tss)
    assert found.nofreq_as_pbl == 0.0
    assert found.false_pbl == 0.0
    assert sum(found.weights) == pytest.approx(1.0, abs=1e-15)


def windows_of(*rows: tuple[int, list[float]]) -> tuple[FloatArray, IntArray]:
    return np.array([row for _, row in rows]), np.array([true for true, _ in rows])


def test_equal_scores_choose_the_fewest_nofreq_taken_as_freq() -> None:
    """One score for all weights: the choice is by the NoFreq windows alone."""

    def flat(counts: Counts) -> FloatArray:
        return np.zeros(counts.shape[0])

    probability, truth = sample(200, [0.5, 0.4, 0.1])
    found = moving_threshold(probability, truth, score=flat, step=0.1)
    assert found.counts[found.chosen, 0].tolist() == [np.count_nonzero(truth == 0), 0, 0]


def test_equal_scores_choose_the_middle_of_the_weights_that_decide_alike() -> None:
    """NoFreq is kept from w_NF = 0.3 on and Freq found up to 0.7."""
    probability, truth = windows_of((0, [0.75, 0.25]), (1, [0.25, 0.75]))
    found = moving_threshold(probability, truth, score=tss, step=0.1)
    assert found.score == 1.0
    assert found.weights == (0.5, 0.5)


def test_equal_scores_with_two_middles_choose_the_more_cautious() -> None:
    """NoFreq is kept from w_NF = 0.3 on, Freq found up to 0.6: 0.4 and 0.5 are as near the middle."""
    probability, truth = windows_of((0, [0.75, 0.25]), (1, [0.35, 0.65]))
    assert moving_threshold(probability, truth, score=tss, step=0.1).weights == (0.5, 0.5)


def test_tolerance_takes_a_worse_score_with_fewer_nofreq_passed_on() -> None:
    """Ten of each: at w_NF = 0.5 one NoFreq passes and all Freq are found, from 0.6 on two Freq are lost."""
    rows = [(0, [0.9, 0.1])] * 9 + [(0, [0.45, 0.55])] + [(1, [0.1, 0.9])] * 8 + [(1, [0.45, 0.55])] * 2
    probability, truth = windows_of(*rows)
    exact = moving_threshold(probability, truth, score=tss, step=0.1)
    wide = moving_threshold(probability, truth, score=tss, step=0.1, tolerance=0.11)
    assert [exact.score, exact.nofreq_as_freq] == pytest.approx([0.9, 0.1])
    assert [wide.score, wide.nofreq_as_freq] == pytest.approx([0.8, 0.0])
    assert decide(probability, wide.weights)[-3:].tolist() == [1, 0, 0]
    widest = moving_threshold(probability, truth, score=tss, step=0.1, tolerance=1.0)
    assert widest.weights == wide.weights  # of those that pass nothing on, still the best score


@pytest.mark.parametrize("windows", [[3] * 19, [1] * 9 + [6] * 10, [9] * 5 + [2] * 14])
def test_tss_optimum_of_calibrated_probabilities_is_at_the_class_share(windows: list[int]) -> None:
    """Freq is worth calling where p_F / share_F > p_NF / share_NF, hence at w_NF / w_F = share_F / share_NF."""
    probability, truth = calibrated(windows)
    share = truth.mean()
    found = moving_threshold(probability, truth, score=tss)
    assert found.weights[0] == pytest.approx(share, abs=0.05)  # the probabilities come in such steps
    called = decide(probability, found.weights) == 1
    assert np.array_equal(called, probability[:, 1] > share + 1e-9)


@pytest.mark.parametrize(
    ("reading", "price"),
    [(McsReading.AS_PRINTED, 1.5), (McsReading.KEPT, 4 / 3), (McsReading.RESONANCE_POSITIVE, 2 / 3)],
)
def test_mcs_optimum_of_calibrated_probabilities_is_at_its_price(reading: McsReading, price: float) -> None:
    """A NoFreq passed on costs `price` lost Freq: call Freq where p_F / share_F > price p_NF / share_NF."""
    probability, truth = calibrated([2] * 12 + [5] * 7)
    share = truth.mean()
    found = moving_threshold(probability, truth, score=partial(mcs, reading=reading))
    worth = probability[:, 1] / share > price * probability[:, 0] / (1.0 - share) + 1e-9
    assert np.array_equal(decide(probability, found.weights) == 1, worth)


def test_mcs_as_printed_passes_less_on_than_tss() -> None:
    probability, truth = sample(4000, [0.5, 0.4, 0.1], strength=1.0)
    printed, plain = (
        moving_threshold(probability, truth, score=score, step=0.02).counts for score in (mcs, tss)
    )
    assert printed.tolist() == plain.tolist()  # the same weights were tried
    passed = [
        found.nofreq_as_freq + found.nofreq_as_pbl
        for found in (
            moving_threshold(probability, truth, score=score, step=0.02)
            for score in (mcs, tss, partial(mcs, reading=McsReading.RESONANCE_POSITIVE))
        )
    ]
    assert passed[0] < passed[1] < passed[2]


def test_windows_without_probabilities_count_as_nofreq() -> None:
    probability, truth = sample(200, [0.5, 0.4, 0.1])
    probability[::7] = np.nan
    probability[3, 2] = np.nan
    found = moving_threshold(probability, truth, score=mcs, step=0.1)
    for weights, counts in zip(found.grid, found.counts, strict=True):
        assert counts.tolist() == confusion(truth, decide(probability, weights), 3).tolist()


def test_class_share_is_what_more_windows_of_a_class_would_do() -> None:
    probability, truth = sample(200, [0.4, 0.3, 0.3])
    times = np.array([3, 2, 1])[truth]
    share = np.bincount(truth) * [3, 2, 1]
    repeated = moving_threshold(probability.repeat(times, axis=0), truth.repeat(times), score=mcs, step=0.05)
    shared = moving_threshold(probability, truth, score=mcs, step=0.05, class_share=share)
    assert shared.scores == pytest.approx(repeated.scores, abs=1e-12)
    assert shared.weights == repeated.weights
    assert shared.false_pbl == pytest.approx(repeated.false_pbl, abs=1e-12)


def test_class_share_of_rare_pbl_weighs_false_pbl_by_the_other_classes() -> None:
    probability, truth = sample(3000, [0.3, 0.3, 0.4])
    found = moving_threshold(probability, truth, score=mcs, step=0.05, class_share=[0.39, 0.6, 0.01])
    table = found.counts[found.chosen]
    rates = table[:, 2] / table.sum(axis=1)
    assert found.false_pbl == pytest.approx((0.39 * rates[0] + 0.6 * rates[1]) / 0.99, abs=1e-12)


def capped(**caps: float) -> ThresholdSearch:
    return moving_threshold(*sample(3000, [0.5, 0.4, 0.1]), score=mcs, step=0.02, **caps)  # type: ignore[arg-type]


def test_caps_give_the_best_score_among_the_weights_that_keep_them() -> None:
    free, found = capped(), capped(largest_passed=0.05, largest_false_pbl=0.01)
    assert free.nofreq_as_freq + free.nofreq_as_pbl > 0.05
    assert found.nofreq_as_freq + found.nofreq_as_pbl <= 0.05
    assert found.false_pbl <= 0.01
    counts = free.counts
    passed = counts[:, 0, 1:].sum(axis=1) / counts[:, 0].sum(axis=1)
    false_pbl = counts[:, :2, 2].sum(axis=1) / counts[:, :2].sum(axis=(1, 2))
    finds = (counts[:, [0, 1, 2], [0, 1, 2]] > 0).all(axis=1)
    allowed = (passed <= 0.05) & (false_pbl <= 0.01) & finds
    assert np.array_equal(found.allowed, allowed)
    assert 0 < np.count_nonzero(allowed) < allowed.size
    assert found.score == pytest.approx(free.scores[allowed].max(), abs=1e-9)


def test_caps_that_bind_nothing_change_nothing() -> None:
    assert capped(largest_passed=1.0).weights == capped().weights


def test_caps_that_cannot_be_kept_name_the_lowest_reachable_rates() -> None:
    """One of three NoFreq looks more like Freq than Freq does: to find Freq is to pass it on."""
    kept, odd = (0, [0.9, 0.05, 0.05]), (0, [0.1, 0.8, 0.1])
    probability, truth = windows_of(kept, kept, odd, (1, [0.2, 0.7, 0.1]), (2, [0.1, 0.1, 0.8]))
    search = partial(moving_threshold, probability, truth, score=mcs, step=0.1)
    message = r"keep largest_passed 0.2 \(alone at least 0.3333\), largest_false_pbl 0.1 \(alone at least 0\)"
    with pytest.raises(ValueError, match=message):
        search(largest_passed=0.2, largest_false_pbl=0.1)
    assert search(largest_passed=1 / 3).nofreq_as_freq == pytest.approx(1 / 3)


def test_caps_where_a_class_is_never_found_say_so() -> None:
    probability, truth = windows_of((0, [0.5, 0.5, 0.0]), (1, [0.4, 0.6, 0.0]), (2, [0.4, 0.6, 0.0]))
    with pytest.raises(ValueError, match="no weights find a window of every class"):
        moving_threshold(probability, truth, score=mcs, step=0.1, largest_passed=0.5)


@pytest.mark.parametrize(
    "caps", [{"largest_passed": -0.1}, {"largest_false_pbl": 1.5}, {"largest_passed": np.nan}]
)
def test_caps_that_are_no_share_are_refused(caps: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(caps))} is {next(iter(caps.values())):g}"):
        capped(**caps)


def test_cap_on_false_pbl_with_two_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is called PBL"):
        moving_threshold(*sample(50, [0.5, 0.5]), score=tss, largest_false_pbl=0.1)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([0, 1, 1, 0], "no window is PBL"),
        ([0, 2, 2, 0], "no window is Freq"),
        ([1, 2, 2, 1], "no window is NoFreq"),
        ([0, 1, 2, -1], "truth of window 3 is -1; the classes are 0 to 2"),
        ([0, 1, 2, 3], "truth of window 3 is 3"),
        ([0, 1, 2], "probability has 4 windows, truth 3"),
    ],
)
def test_search_refuses_truth_that_does_not_fit(truth: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        moving_threshold(np.full((4, 3), 1 / 3), np.array(truth), score=mcs, step=0.5)


@pytest.mark.parametrize("tolerance", [-1e-3, np.nan])
def test_search_refuses_a_tolerance_that_is_none(tolerance: float) -> None:
    with pytest.raises(ValueError, match=f"tolerance is {tolerance:g}"):
        moving_threshold(*sample(50, [0.5, 0.5]), score=tss, tolerance=tolerance)


def test_curves_are_the_formulas_written_out() -> None:
    probability, truth = sample(700, [0.35, 0.65])
    curves = score_curves(probability, truth, step=0.05)
    assert curves.weight_nofreq == pytest.approx(np.arange(21) / 20)
    for w, f1, auc, kappa, skill in zip(
        curves.weight_nofreq, curves.f1, curves.auc, curves.kappa, curves.tss, strict=True
    ):
        called = decide(probability, [w, 1.0 - w])
        tp, fp = np.sum((truth == 1) & (called == 1)), np.sum((truth == 0) & (called == 1))
        fn, tn = np.sum((truth == 1) & (called == 0)), np.sum((truth == 0) & (called == 0))
        n, chance = truth.size, ((tp + fp) * (tp + fn) + (tn + fn) * (tn + fp)) / truth.size**2
        corner = np.trapezoid([0.0, tp / (tp + fn), 1.0], [0.0, fp / (fp + tn), 1.0])
        assert f1 == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-12)
        assert auc == pytest.approx(corner, abs=1e-12)
        assert kappa == pytest.approx(((tp + tn) / n - chance) / (1 - chance), abs=1e-12)
        assert skill == pytest.approx(tp / (tp + fn) - fp / (fp + tn), abs=1e-12)


def test_curves_begin_and_end_as_those_of_the_paper() -> None:
    """Two Freq to one NoFreq: all called Freq at w_NF = 0, all NoFreq at 1; F1 is high there and means nothing."""
    probability, truth = sample(3000, [1 / 3, 2 / 3])
    share = truth.mean()
    curves = score_curves(probability, truth)
    assert curves.f1[0] == pytest.approx(2 * share / (1 + share), abs=1e-12)
    assert curves.f1[0] > 0.75
    for curve, ends in ((curves.auc, 0.5), (curves.tss, 0.0), (curves.kappa, 0.0)):
        assert curve[[0, -1]] == pytest.approx(ends, abs=1e-12)
    assert curves.f1[-1] == 0.0
    assert curves.auc.argmax() == curves.tss.argmax()
    assert curves.weight_nofreq[curves.tss.argmax()] > 0.5  # against the larger class


def test_curves_at_class_share_are_those_of_a_repeated_sample() -> None:
    probability, truth = sample(300, [0.5, 0.5])
    times = np.array([3, 1])[truth]
    repeated = score_curves(probability.repeat(times, axis=0), truth.repeat(times), step=0.1)
    shared = score_curves(probability, truth, step=0.1, class_share=np.bincount(truth) * [3, 1])
    for name in ("f1", "auc", "kappa", "tss"):
        assert getattr(shared, name) == pytest.approx(getattr(repeated, name), abs=1e-12)


def test_curves_of_three_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="probability has 3 classes"):
        score_curves(*sample(50, [0.5, 0.4, 0.1]))
