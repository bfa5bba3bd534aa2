"""Confusion, precision, recall, areas and calibration errors against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.jobs.region.judged import (
    FIELD,
    PATTERNS,
    Judged,
    only,
    pattern_of,
    there,
)
from monitor.jobs.region.measures import area_under_curve, confusion, measure, receiver_curve
from monitor.types import REGIONS, VARIABLES, WINDOW_CELLS, FloatArray, RegionExamples


def judged(
    truth: list[int], called: list[int], *, sure: float = 0.91, mixed: list[int] | None = None
) -> Judged:
    """Windows called with one probability, a run each."""
    count = len(truth)
    probability = np.full((count, len(REGIONS)), (1.0 - sure) / (len(REGIONS) - 1))
    probability[np.arange(count), called] = sure
    blurred = np.zeros(count, dtype=bool)
    blurred[mixed or []] = True
    return Judged(
        probability, np.zeros(count, dtype=bool), np.array(truth), np.arange(count, dtype=np.int64), blurred
    )


# Six windows of class 0, of which four are called so; three of class 1, all called so; one of class 2, called 0.
TRUTH = [0] * 6 + [1] * 3 + [2]
CALLED = [0, 0, 0, 0, 1, 1, 1, 1, 1, 0]


def pairs_area(score: FloatArray, hit: FloatArray) -> float:
    """The definition: how often a hit scores above another, ties half."""
    won = [np.sign(one - other) / 2 + 0.5 for one in score[hit] for other in score[~hit]]
    return float(np.mean(won))


class TestCounts:
    def test_confusion_has_calls_in_rows_and_truth_in_columns(self) -> None:
        counts = np.array(confusion(np.array(CALLED), np.array(TRUTH)))
        assert counts[0, :3].tolist() == [4, 0, 1]
        assert counts[1, :3].tolist() == [2, 3, 0]
        assert counts.sum() == 10

    def test_precision_recall_and_f1_are_those_of_the_counts(self) -> None:
        first, second, third = measure(judged(TRUTH, CALLED), "x").classes[:3]
        assert first.precision.value == pytest.approx(4 / 5)
        assert first.recall.value == pytest.approx(4 / 6)
        assert first.f1.value == pytest.approx(2 * 4 / (6 + 5))
        assert second.precision.value == pytest.approx(3 / 5)
        assert second.recall.value == 1.0
        assert third.precision.value is None
        assert third.recall.value == 0.0
        assert third.f1.value == 0.0

    def test_averages_are_plain_and_weighted_with_the_windows(self) -> None:
        found = measure(judged(TRUTH, CALLED), "x")
        assert found.accuracy.value == pytest.approx(0.7)
        assert found.macro.recall == pytest.approx((4 / 6 + 1.0 + 0.0) / 3)
        assert found.micro.recall == pytest.approx(0.7)
        assert found.macro.precision == pytest.approx((4 / 5 + 3 / 5 + 0.0) / 3)
        assert found.micro.f1 == pytest.approx((6 * 8 / 11 + 3 * 0.75 + 0.0) / 10)

    def test_class_without_a_window_has_no_figures_and_enters_no_average(self) -> None:
        absent = measure(judged(TRUTH, CALLED), "x").classes[5]
        assert absent.f1.value is None
        assert absent.auc.value is None
        assert absent.recall.count == 0

    def test_calibration_error_is_confidence_less_hits(self) -> None:
        assert measure(judged(TRUTH, CALLED), "x").calibration_error.value == pytest.approx(0.91 - 0.7)

    def test_mixed_windows_are_counted_apart(self) -> None:
        found = measure(judged(TRUTH, CALLED, mixed=[4, 5, 9]), "x")
        assert found.windows == 7
        assert found.accuracy.value == 1.0
        assert found.mixed.count == 3
        assert found.mixed.majority.value == 0.0
        assert found.mixed.called[:2] == (1, 2)
        assert found.mixed.confidence == pytest.approx(0.91)

    def test_nothing_to_count_gives_no_figure(self) -> None:
        found = measure(judged(TRUTH, CALLED, mixed=list(range(10))), "x")
        assert found.accuracy.value is None
        assert found.macro.f1 is None
        assert found.calibration_error.value is None

    def test_intervals_are_of_runs_and_not_of_windows(self) -> None:
        rng = np.random.default_rng(1)
        truth = np.zeros(2000, dtype=np.int64)
        run = np.arange(2000) // 100
        wrong = rng.random(20) < 0.3
        called = wrong[run].astype(np.int64)
        alike = judged(truth.tolist(), called.tolist())
        by_run = Judged(alike.probability, alike.novel, truth, run, alike.mixed)
        narrow, wide = measure(alike, "x").accuracy, measure(by_run, "x").accuracy
        widths = [(one.high or 0.0) - (one.low or 0.0) for one in (narrow, wide)]
        assert widths[1] > 5.0 * widths[0] > 0.0

    def test_one_run_alone_has_no_interval(self) -> None:
        alike = judged(TRUTH, CALLED)
        one = Judged(alike.probability, alike.novel, alike.label, np.zeros(10, dtype=np.int64), alike.mixed)
        found = measure(one, "x")
        assert found.accuracy.low is None
        assert found.classes[0].f1.low is None
        assert found.calibration_error.high is None

    def test_probabilities_of_another_shape_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"expected probabilities \(2, 10\)"):
            Judged(
                np.zeros((2, 9)),
                np.zeros(2, bool),
                np.zeros(2, np.int64),
                np.zeros(2, np.int64),
                np.zeros(2, bool),
            )


class TestArea:
    def test_area_of_five_windows_is_that_counted_by_hand(self) -> None:
        score = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
        hit = np.array([True, False, True, False, False])
        # 0.9 is above three others, 0.7 above two of three.
        assert area_under_curve(score, hit)[0] == pytest.approx(5 / 6)

    def test_equal_scores_count_half(self) -> None:
        assert area_under_curve(np.full(4, 0.3), np.array([True, False, True, False]))[0] == 0.5

    def test_area_is_the_share_of_pairs_in_order(self) -> None:
        rng = np.random.default_rng(2)
        hit = rng.random(80) < 0.3
        score = np.round(rng.normal(size=80) + hit, 1)
        assert area_under_curve(score, hit)[0] == pytest.approx(pairs_area(score, hit))

    def test_weights_are_windows_drawn_so_often(self) -> None:
        rng = np.random.default_rng(3)
        hit, score = rng.random(30) < 0.4, np.round(rng.random(30), 1)
        often = rng.integers(0, 3, 30)
        repeated = area_under_curve(np.repeat(score, often), np.repeat(hit, often))[0]
        assert area_under_curve(score, hit, often[None].astype(float))[0] == pytest.approx(repeated)

    def test_nothing_but_hits_has_no_area(self) -> None:
        assert np.isnan(area_under_curve(np.array([0.1, 0.2]), np.array([True, True]))[0])

    def test_curve_encloses_the_area(self) -> None:
        rng = np.random.default_rng(4)
        hit = rng.random(60) < 0.5
        score = np.round(rng.random(60) + 0.5 * hit, 1)
        false, true = receiver_curve(score, hit)
        assert (false[0], true[0], false[-1], true[-1]) == (0.0, 0.0, 1.0, 1.0)
        assert np.trapezoid(true, false) == pytest.approx(area_under_curve(score, hit)[0])

    def test_curve_needs_both_kinds(self) -> None:
        with pytest.raises(ValueError, match="others"):
            receiver_curve(np.array([0.1]), np.array([True]))


class TestPatterns:
    def examples(self) -> RegionExamples:
        values = np.ones((1, WINDOW_CELLS + 13, len(VARIABLES)), dtype=np.float32)
        zero = np.zeros(1, dtype=np.int64)
        return RegionExamples(values, zero, zero, np.zeros(1, dtype=bool), np.ones(1, dtype=bool))

    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_what_is_taken_away_is_named(self, pattern: str) -> None:
        masked = only(self.examples(), PATTERNS[pattern])
        assert pattern_of(there(masked)) == [pattern]
        assert int(np.isfinite(masked.values).sum()) == (WINDOW_CELLS + 13) * len(PATTERNS[pattern])

    def test_what_fits_no_pattern_is_other(self) -> None:
        assert pattern_of(there(only(self.examples(), ("Bx", *FIELD[3:])))) == ["other"]

    def test_windows_themselves_stay_as_they_are(self) -> None:
        whole = self.examples()
        only(whole, FIELD)
        assert np.isfinite(whole.values).all()
