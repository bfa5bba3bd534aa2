"""What happens to a state step by step."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.science.synthetic.craft.disturbance import (
    UNIT_ALFVEN_KMS,
    Disturbance,
    at_share,
    bump,
    occurrences,
    peaked,
    saturated,
    turned,
)
from monitor.science.synthetic.craft.series import State
from monitor.science.synthetic.ranges import Range

STATE = State(np.array([0.0, 3.0, 4.0]), 9.0, np.array([-400.0, 0.0, 0.0]), 20.0, 40.0)


def test_disturbance_of_nothing_leaves_the_state() -> None:
    series = Disturbance.none(5).of(STATE)
    np.testing.assert_allclose(series.B_nT, np.tile(STATE.B_nT, (5, 1)))
    np.testing.assert_allclose(series.N_cm3, STATE.N_cm3)
    np.testing.assert_allclose(series.V_kms, np.tile(STATE.V_kms, (5, 1)))
    np.testing.assert_allclose((series.Tpar_eV[0], series.Tperp_eV[0]), (20.0, 40.0))


def test_disturbance_that_turns_the_field_keeps_its_strength() -> None:
    happens = Disturbance.none(50)
    happens.turn[:] += np.random.default_rng(0).standard_normal((50, 3))
    series = happens.of(STATE)
    np.testing.assert_allclose(np.linalg.norm(series.B_nT, axis=1), 5.0)
    assert np.ptp(series.B_nT[:, 0]) > 1.0


def test_disturbance_takes_logarithms_of_factors() -> None:
    happens = Disturbance.none(3)
    happens.field[:] += np.log(2.0)
    happens.density[:] += np.log(3.0)
    happens.heat(np.full(3, np.log(1.5)))
    happens.perpendicular[:] += np.log(2.0)
    series = happens.of(STATE)
    np.testing.assert_allclose(series.B_nT[1], 2.0 * STATE.B_nT)
    np.testing.assert_allclose(series.N_cm3, 27.0)
    np.testing.assert_allclose((series.Tpar_eV[2], series.Tperp_eV[2]), (30.0, 120.0))


def test_disturbance_without_measure_stays_finite_and_above_the_least() -> None:
    happens = Disturbance.none(2)
    happens.field[:] = [1e3, -1e3]
    happens.density[:] = [1e3, -1e3]
    happens.heat(np.array([1e3, -1e3]))
    faint = State(STATE.B_nT, 0.05, STATE.V_kms, 2.0, 2.0)
    series = happens.of(faint)
    assert np.all(np.isfinite(series.values()))
    assert series.N_cm3[1] == 0.02
    assert series.Tpar_eV[1] == series.Tperp_eV[1] == 1.0


def test_unit_alfven_speed_is_that_of_protons() -> None:
    assert pytest.approx(21.8, abs=0.05) == UNIT_ALFVEN_KMS


def test_share_of_range_runs_from_end_to_end() -> None:
    assert [at_share(Range(2.0, 6.0), share) for share in (0.0, 0.5, 1.0)] == [2.0, 4.0, 6.0]
    assert at_share(Range(1.0, 100.0, log=True), 0.5) == pytest.approx(10.0)


def test_peaked_draws_lie_within_the_range_and_most_about_its_middle() -> None:
    rng = np.random.default_rng(1)
    drawn = np.array([peaked(rng, Range(0.0, 1.0)) for _ in range(2000)])
    assert drawn.min() >= 0.0
    assert drawn.max() <= 1.0
    assert np.mean(np.abs(drawn - 0.5) < 0.25) == pytest.approx(0.75, abs=0.04)


def test_occurrences_come_as_often_as_asked() -> None:
    rng = np.random.default_rng(2)
    counts = [occurrences(rng, 400, 6.0).size for _ in range(500)]
    assert np.mean(counts) == pytest.approx(3.0, abs=0.3)
    assert occurrences(rng, 400, 0.0).size == 0


@pytest.mark.parametrize("flat", [2.0, 4.0])
def test_bump_is_half_as_high_half_its_width_away(flat: float) -> None:
    bell = bump(41, 20.0, 45.0, flat=flat)
    assert bell[20] == 1.0
    np.testing.assert_allclose(bell[[15, 25]], 0.5)


def test_saturation_leaves_what_is_small_and_bounds_what_is_large() -> None:
    bent = saturated(np.array([-100.0, -0.01, 0.01, 100.0]), 1.2)
    np.testing.assert_allclose(bent, [-1.2, -0.01, 0.01, 1.2], rtol=1e-4)


def test_turned_vector_keeps_its_length() -> None:
    rng = np.random.default_rng(3)
    vectors = np.array([turned(STATE.V_kms, rng, 5.0) for _ in range(500)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 400.0)
    angle = np.degrees(np.arccos(-vectors[:, 0] / 400.0))
    assert 3.0 < np.median(angle) < 9.0
