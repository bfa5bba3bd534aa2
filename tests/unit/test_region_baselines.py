"""The plain rivals: a logistic regression on summaries, and a rule of thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from region_report_kit import rungs

from monitor.jobs.region.baselines import Thresholds, fit_logistic_rival, summaries
from monitor.jobs.region.judged import judged_by, only
from monitor.jobs.region.measures import measure
from monitor.types import REGIONS, SUPPORT_CELLS, VARIABLES, Region, RegionExamples


def window(**quantities: float) -> RegionExamples:
    """One window of constant values; `wave` is the amplitude of a wave in |B|."""
    wave = quantities.pop("wave", 0.0)
    values = np.full((1, SUPPORT_CELLS, len(VARIABLES)), np.nan, dtype=np.float32)
    for name, value in quantities.items():
        values[:, :, VARIABLES.index(name)] = value
    values[:, :, VARIABLES.index("B")] += wave * np.sin(np.arange(SUPPORT_CELLS))
    zero = np.zeros(1, dtype=np.int64)
    return RegionExamples(values, zero, zero, np.zeros(1, dtype=bool), np.ones(1, dtype=bool))


def apart(per_class: int, seed: int) -> RegionExamples:
    """Windows of three classes that a plane can part."""
    some = rungs(per_class, seed=seed)
    return some.at(np.isin(some.label, (0, 4, 9)))


class TestThresholds:
    # Textbook plasmas (Baumjohann & Treumann 1996, chapter 1; Koskinen 2011, p. 38), none of them a threshold's own.
    @pytest.mark.parametrize(
        ("quantities", "region"),
        [
            ({"B": 5.0, "N": 6.0, "T": 20.0}, Region.SOLAR_WIND),
            ({"B": 5.0, "N": 5.0, "T": 60.0, "wave": 2.0}, Region.FORESHOCK),
            ({"B": 25.0, "N": 20.0, "T": 250.0}, Region.MAGNETOSHEATH),
            ({"B": 60.0, "N": 0.5, "T": 5000.0}, Region.MAGNETOSPHERE),
            ({"B": 8.0, "N": 0.3, "T": 4500.0}, Region.PLASMA_SHEET),
            ({"B": 22.0, "N": 0.01, "T": 300.0}, Region.LOBE),
        ],
    )
    def test_textbook_plasma_is_called_by_its_name(
        self, quantities: dict[str, float], region: Region
    ) -> None:
        said = Thresholds().predict(window(**quantities))
        assert REGIONS[int(said[0].argmax())] is region
        assert said[0].max() == 1.0

    def test_missing_quantity_gives_every_class_a_tenth(self) -> None:
        np.testing.assert_allclose(Thresholds().predict(window(B=5.0, N=6.0)), 0.1)


class TestLogistic:
    def test_classes_that_differ_in_their_means_are_learnt(self) -> None:
        rival = fit_logistic_rival(apart(40, seed=1), apart(20, seed=2))
        accuracy = measure(judged_by(rival.predict, apart(20, seed=3)), "x").accuracy.value
        assert accuracy is not None
        assert accuracy > 0.95

    def test_without_what_tells_them_apart_it_guesses(self) -> None:
        blind = only(rungs(40, seed=1), ("N",))
        rival = fit_logistic_rival(blind, blind)
        accuracy = measure(judged_by(rival.predict, only(rungs(20, seed=3), ("N",))), "x").accuracy.value
        assert accuracy is not None
        assert accuracy < 0.3

    def test_probabilities_sum_to_one(self) -> None:
        rival = fit_logistic_rival(rungs(20, seed=1), rungs(10, seed=2))
        np.testing.assert_allclose(rival.predict(rungs(5)).sum(axis=1), 1.0)

    def test_nothing_but_mixed_windows_cannot_be_learnt(self) -> None:
        some = rungs(2)
        mixed = RegionExamples(
            some.values, some.label, some.run, np.ones(len(some), dtype=bool), some.context
        )
        with pytest.raises(ValueError, match="not mixed"):
            fit_logistic_rival(mixed, some)

    def test_context_counts_for_nothing(self) -> None:
        some = rungs(2)
        changed = some.values.copy()
        changed[:, :6] = 1e3
        changed[:, -7:] = np.nan
        other = RegionExamples(changed, some.label, some.run, some.mixed, some.context)
        np.testing.assert_array_equal(summaries(other), summaries(some))

    def test_missing_variables_leave_their_columns_unknown(self) -> None:
        found = summaries(only(rungs(1), ("B", "N", "T")))
        # Middle and scatter of three variables, and three correlations of them.
        assert np.isfinite(found).sum(axis=1).tolist() == [9] * 10

    def test_correlation_of_two_that_move_together_is_one(self) -> None:
        some = window(B=10.0, N=5.0, wave=2.0)
        some.values[:, :, VARIABLES.index("N")] = some.values[:, :, VARIABLES.index("B")]
        assert summaries(some)[0, 24] == pytest.approx(1.0)
