"""Calibration of class probabilities, and the measures by which it is judged."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest

from monitor.science.calibration import (
    Calibration,
    expected_calibration_error,
    fit_calibration,
    reliability,
    share_weights,
)
from monitor.science.proportion import effective_count, wilson_interval
from monitor.types import FloatArray, IntArray

SHARE = np.array([0.5, 0.45, 0.05])


def forecasts(n: int = 20_000, seed: int = 1) -> tuple[FloatArray, IntArray]:
    """Logarithms of exact posteriors of three classes seen through Gaussian noise, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=SHARE).astype(np.int64)
    seen = rng.normal(0.0, 1.5, (n, 3))
    seen[np.arange(n), truth] += 2.0
    log_probability: FloatArray = log_softmax(np.log(SHARE) + seen * 2.0 / 1.5**2, axis=1)
    return log_probability, truth


def test_vector_scaling_undoes_overconfidence_and_bias() -> None:
    exact, truth = forecasts()
    found = fit_calibration(2.2 * exact + np.array([0.3, -0.2, 0.5]), truth, isotonic=False)
    assert np.allclose(found.scale, 1.0 / 2.2, rtol=0.05)
    undone = np.array([0.3, -0.2, 0.5]) / 2.2
    assert np.allclose(np.array(found.bias), undone.mean() - undone, atol=0.1)
    assert np.abs(found.apply(2.2 * exact + np.array([0.3, -0.2, 0.5])) - np.exp(exact)).max() < 0.02


def test_vector_scaling_is_the_minimum_that_another_optimiser_finds() -> None:
    """Nelder–Mead without gradient on the loss as the docstring tells it, with weights."""
    exact, truth = forecasts(600)
    weights = share_weights(truth, [1.0, 1.0, 1.0])
    said = log_softmax(1.7 * exact, axis=1)

    def loss(x: FloatArray) -> float:
        log_probability = log_softmax(said * x[:3] + x[3:], axis=1)
        hit = (weights * log_probability[np.arange(truth.size), truth]).sum()
        return float((-hit + 0.5 * (((x[:3] - 1.0) ** 2).sum() + (x[3:] ** 2).sum())) / truth.size)

    found = fit_calibration(said, truth, weights, isotonic=False)
    best = np.array([*found.scale, *found.bias])
    other = minimize(
        loss,
        np.array([1.0] * 3 + [0.0] * 3),
        method="Nelder-Mead",
        options={"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-7, "fatol": 1e-13},
    )
    assert loss(best) <= other.fun + 1e-9
    assert np.abs(approx_fprime(best, loss, 1e-6)).max() < 1e-5


def test_perfectly_separated_classes_give_a_finite_scale() -> None:
    truth = np.arange(300, dtype=np.int64) % 3
    found = fit_calibration(np.eye(3)[truth], truth, isotonic=False)
    assert np.isfinite(found.scale).all()
    assert max(found.scale) < 100.0
    assert (found.apply(np.eye(3)).argmax(axis=1) == [0, 1, 2]).all()


def test_constant_added_to_a_row_changes_nothing() -> None:
    exact, truth = forecasts(2000)
    shift = np.random.default_rng(2).normal(0.0, 30.0, (truth.size, 1))
    plain, shifted = (
        fit_calibration(margin, truth, isotonic=True).apply(margin) for margin in (exact, exact + shift)
    )
    assert np.abs(plain - shifted).max() < 1e-6


def test_isotonic_is_kept_where_it_helps_unseen_sequences_and_only_there() -> None:
    exact, truth = forecasts()
    groups = np.arange(truth.size) // 20
    # A staircase in the log odds: no straight line undoes it.
    bent = np.where(exact > np.log(0.5), exact, exact - 2.5 * (exact < np.log(0.15)))
    straight, curved = (fit_calibration(said, truth, groups=groups) for said in (1.8 * exact, bent))
    assert straight.isotonic is None
    assert curved.isotonic is not None
    assert curved.held_out_error["isotonic"] < curved.held_out_error["vector"]
    assert straight.held_out_error["vector"] < 0.5 * straight.held_out_error["uncalibrated"]


def test_isotonic_curve_lowers_the_error_on_fresh_data() -> None:
    exact, truth = forecasts(seed=1)
    fresh, fresh_truth = forecasts(seed=2)

    def bend(said: FloatArray) -> FloatArray:
        return np.where(said > np.log(0.5), said, said - 2.5 * (said < np.log(0.15)))

    errors = {
        curved: expected_calibration_error(
            fit_calibration(bend(exact), truth, isotonic=curved).apply(bend(fresh)), fresh_truth
        )
        for curved in (False, True)
    }
    assert errors[True].class_wise < 0.8 * errors[False].class_wise
    assert errors[True].class_wise < 0.01


def test_isotonic_curve_is_the_pooled_frequency_of_a_counted_example() -> None:
    """Six places of the log odds with 10 windows each; the middle four violate the order in pairs."""
    place = np.repeat([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0], 10)
    hits = np.concatenate([np.arange(10) < many for many in (1, 3, 2, 7, 6, 9)]).astype(np.int64)
    said = np.stack([np.zeros(60), place], axis=1)
    found = fit_calibration(said, hits, isotonic=True)
    assert found.isotonic is not None
    (_, against), (_, probability) = found.isotonic
    assert probability == pytest.approx([0.1, 0.25, 0.65, 0.9])
    assert against == pytest.approx([0.1, 0.35, 0.75, 0.9])
    calibrated = found.apply(np.array([[0.0, -3.0], [0.0, 0.0], [0.0, 3.0]]))[:, 1]
    assert calibrated[[0, 2]] == pytest.approx([0.1, 0.9])
    assert 0.25 < calibrated[1] < 0.65


def test_isotonic_curve_is_never_certain_and_keeps_the_order() -> None:
    rng = np.random.default_rng(5)
    place = np.sort(rng.normal(0.0, 6.0, 4000))
    truth = (place > 0.0).astype(np.int64)
    found = fit_calibration(np.stack([-place, place], axis=1), truth, isotonic=True)
    probability = found.apply(np.stack([-place, place], axis=1))
    assert 0.0 < probability.min() < 1e-3
    assert (np.diff(probability[:, 1]) >= 0.0).all()


def test_sequences_are_never_parted_and_rare_classes_are_shared_out() -> None:
    """A sequence number that gives the class away: parting sequences would show in the held-out error."""
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(40), 50)
    truth = np.where(groups % 10 == 0, 2, groups % 2).astype(np.int64)
    noise = rng.normal(0.0, 1.0, (40, 3))[groups]
    found = fit_calibration(np.eye(3)[truth] + noise, truth, groups=groups)
    alone = fit_calibration(np.eye(3)[truth] + noise, truth)
    assert set(found.held_out_error) == {"uncalibrated", "vector", "isotonic"}
    assert found.held_out_error["isotonic"] > 1.5 * alone.held_out_error["isotonic"]


def test_class_of_one_sequence_leaves_nothing_to_judge_by() -> None:
    exact, truth = forecasts(300)
    found = fit_calibration(exact, truth, groups=np.where(truth == 2, 1000, np.arange(300)))
    assert found.isotonic is None
    assert found.held_out_error == {}


def test_weights_stand_for_repeated_windows() -> None:
    exact, truth = forecasts(5000)
    often = np.where(truth == 1, 3, 1)
    twice, many = np.repeat(exact, often, axis=0), np.repeat(truth, often)
    # Not alike to the last digit: the ridge and the ends of the curves weigh one window among 5000 or more.
    for curved in (False, True):
        repeated = fit_calibration(twice, many, isotonic=curved).apply(exact)
        weighted = fit_calibration(exact, truth, often.astype(np.float64), isotonic=curved).apply(exact)
        plain = fit_calibration(exact, truth, isotonic=curved).apply(exact)
        assert np.abs(weighted - repeated).mean() < 0.002
        assert np.abs(weighted - plain).mean() > 0.02


def test_share_weights_give_each_class_its_share() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 2], dtype=np.int64)
    weights = share_weights(truth, [0.6, 0.39, 0.01])
    assert np.bincount(truth, weights) / weights.sum() == pytest.approx([0.6, 0.39, 0.01])
    assert weights.mean() == pytest.approx(1.0)


def test_unknown_rows_stay_unknown_and_the_others_do_not_notice() -> None:
    exact, truth = forecasts(1000)
    found = fit_calibration(exact.astype(np.float32), truth, isotonic=True)
    holed = exact[:5].copy()
    holed[1, 2], holed[2], holed[3, 0], holed[4, 1] = np.nan, -np.inf, np.inf, -np.inf
    probability = found.apply(holed)
    assert np.isnan(probability[1:4]).all()
    assert probability[0].tolist() == found.apply(exact[:1])[0].tolist()
    assert probability[[0, 4]].sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert 0.0 < probability[4, 1] < 0.01
    assert found.apply(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("curved", [False, True])
def test_calibration_survives_json_to_the_last_digit(curved: bool) -> None:
    exact, truth = forecasts(1000)
    found = fit_calibration(exact, truth, isotonic=curved)
    again = Calibration.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again == found
    assert np.array_equal(again.apply(exact), found.apply(exact))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "calibration/9"}, "calibration/9"),
        ({"surplus": 1}, "surplus"),
        ({"scale": [1.0, 2.0]}, "as many"),
        ({"scale": [1.0, 2.0, float("nan")]}, "scale must be finite"),
        ({"scale": [1.0, 2.0, -3.0]}, "-3.0"),
        ({"isotonic": [{"log_odds": [0.0, 0.0], "probability": [0.1, 0.2]}] * 3}, "rise"),
        ({"isotonic": [{"log_odds": [0.0, 1.0], "probability": [0.1, 0.2]}] * 2}, "3 isotonic curves, got 2"),
    ],
)
def test_damaged_json_is_refused(change: dict[str, object], message: str) -> None:
    exact, truth = forecasts(200)
    with pytest.raises(ValueError, match=message):
        Calibration.from_json(fit_calibration(exact, truth, isotonic=False).to_json() | change)


def test_bad_input_is_named() -> None:
    exact, truth = forecasts(100)
    with pytest.raises(ValueError, match=r"\(100, 3\) and \(99,\)"):
        fit_calibration(exact, truth[:99])
    with pytest.raises(ValueError, match="row 7"):
        fit_calibration(np.where(np.arange(100)[:, None] == 7, np.nan, exact), truth)
    with pytest.raises(ValueError, match=r"0 … 2, got -1"):
        fit_calibration(exact, np.where(np.arange(100) == 3, -1, truth))
    with pytest.raises(ValueError, match="no window of class 2"):
        fit_calibration(exact, np.minimum(truth, 1))
    with pytest.raises(ValueError, match=r"positive, got -2\.0"):
        fit_calibration(exact, truth, np.where(truth == 2, -2.0, 1.0))
    with pytest.raises(ValueError, match=r"groups must have shape \(100,\)"):
        fit_calibration(exact, truth, groups=truth[:5])
    with pytest.raises(ValueError, match=r"\(n, 3\), got \(100, 2\)"):
        fit_calibration(exact, truth).apply(exact[:, :2])
    with pytest.raises(ValueError, match="share must be positive"):
        share_weights(truth, [0.5, 0.5, 0.0])


def test_reliability_of_a_counted_example() -> None:
    """0.9 said six times and right four times, 0.6 said four times and right three times."""
    top = np.array([0.9] * 6 + [0.6] * 4)
    probability = np.stack([top, 1.0 - top], axis=1)
    truth = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0, 1], dtype=np.int64)
    curve = reliability(probability, truth, bins=5).top_label
    assert curve.count.tolist() == [0, 0, 0, 4, 6]
    assert curve.confidence[3:] == pytest.approx([0.6, 0.9])
    assert curve.frequency[3:] == pytest.approx([0.75, 4 / 6])
    assert np.isnan(curve.frequency[:3]).all()
    error = expected_calibration_error(probability, truth, bins=5)
    assert error.top_label == pytest.approx(0.4 * 0.15 + 0.6 * (0.9 - 4 / 6))
    assert error.class_wise == pytest.approx(error.top_label)
    low, high = wilson_interval(4, 6)
    assert (curve.low[4], curve.high[4]) == pytest.approx((float(low), float(high)))


def test_bins_of_equal_count_are_so_and_keep_ties_together() -> None:
    exact, truth = forecasts(3000)
    curve = reliability(np.exp(exact), truth, bins=10, equal_count=True).classes[1]
    assert curve.count.sum() == 3000
    assert np.abs(curve.count - 300).max() <= 1
    tied = reliability(np.full((100, 2), 0.5), np.arange(100, dtype=np.int64) % 2, bins=10, equal_count=True)
    assert np.count_nonzero(tied.classes[0].count) == 1
    assert tied.classes[0].error == pytest.approx(0.0)


def test_perfect_forecaster_has_little_error_and_an_overconfident_one_much() -> None:
    exact, truth = forecasts()
    perfect = expected_calibration_error(np.exp(exact), truth)
    sure = expected_calibration_error(softmax(2.5 * exact, axis=1), truth)
    assert max(perfect.top_label, perfect.class_wise) < 0.4 * np.sqrt(15 / truth.size)
    assert sure.top_label > 5.0 * perfect.top_label


def test_weighted_error_is_that_of_repeated_windows() -> None:
    exact, truth = forecasts(400)
    said, often = softmax(1.5 * exact, axis=1), np.arange(400) % 3 + 1
    weighted = expected_calibration_error(said, truth, weights=often.astype(np.float64))
    repeated = expected_calibration_error(np.repeat(said, often, axis=0), np.repeat(truth, often))
    assert weighted.top_label == pytest.approx(repeated.top_label)
    assert weighted.class_wise == pytest.approx(repeated.class_wise)


def test_rows_nobody_was_asked_about_do_not_count() -> None:
    exact, truth = forecasts(500)
    said = np.exp(exact)
    holed, label = (
        np.concatenate([said, np.full((50, 3), np.nan)]),
        np.concatenate([truth, np.zeros(50, int)]),
    )
    assert expected_calibration_error(holed, label) == expected_calibration_error(said, truth)
    with pytest.raises(ValueError, match="no row with probabilities among 50"):
        reliability(holed[500:], label[500:])


def test_bad_probabilities_are_named() -> None:
    with pytest.raises(ValueError, match=r"sum to 1, got \[0\.5, 0\.4\]"):
        reliability(np.array([[0.5, 0.4]]), np.array([0]))
    with pytest.raises(ValueError, match="0 … 1, got 2"):
        reliability(np.array([[0.5, 0.5]]), np.array([2]))
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        reliability(np.array([[0.5, 0.5]]), np.array([0]), bins=0)


def test_wilson_interval_is_that_of_scipy() -> None:
    for hits, total in ((0, 10), (3, 10), (10, 10), (77, 100), (1, 1)):
        other = binomtest(hits, total).proportion_ci(0.9, method="wilson")
        low, high = wilson_interval(hits, total)
        assert (float(low), float(high)) == pytest.approx((other.low, other.high), abs=1e-12)
    assert np.isnan(wilson_interval(0, 0)).all()
    with pytest.raises(ValueError, match=r"got 5\.0 of 4\.0"):
        wilson_interval(5, 4)
    with pytest.raises(ValueError, match=r"level must lie between 0 and 1, got 1\.0"):
        wilson_interval(1, 4, 1.0)


def test_effective_count_lies_between_sequences_and_windows() -> None:
    rng = np.random.default_rng(4)
    cluster = np.repeat(np.arange(400), 25)
    independent = effective_count(rng.random(10_000) < 0.9, cluster)
    together = effective_count((rng.random(400) < 0.9)[cluster], cluster)
    assert independent > 7000.0
    assert together == pytest.approx(400.0, rel=0.01)
    assert effective_count(np.ones(10_000, dtype=np.bool_), cluster) == 400.0
    assert effective_count(np.zeros(0, dtype=np.bool_), np.zeros(0)) == 0.0
