"""Simulated tail: one pressure over lobe, boundary layer and sheet, and what happens in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from monitor.science.synthetic.craft.inner import (
    magnetic_pressure_nPa,
    plasma_pressure_nPa,
    total_eV,
    total_pressure_nPa,
)
from monitor.science.synthetic.craft.series import PlasmaSeries, State
from monitor.science.synthetic.craft.tail import (
    TailRanges,
    lobe,
    lobe_state,
    plasma_sheet,
    plasma_sheet_boundary,
    plasma_sheet_boundary_state,
    plasma_sheet_state,
    tail_states,
)
from monitor.science.synthetic.craft.widening import widened
from monitor.science.synthetic.ranges import Range
from monitor.types import WINDOW_CELLS, FloatArray

_RANGES = TailRanges()
_MAKERS: dict[str, tuple[Callable[..., State], Callable[..., PlasmaSeries]]] = {
    "LOBE": (lobe_state, lobe),
    "PSBL": (plasma_sheet_boundary_state, plasma_sheet_boundary),
    "PS": (plasma_sheet_state, plasma_sheet),
}
_MEASURED = {
    "PS": {
        "B_nT": (8.82, 22.8),
        "N_cm3": (0.126, 0.182),
        "T_eV": (5890.0, 8030.0),
        "spread": (0.0177, 0.481),
    },
    "LOBE": {
        "B_nT": (15.9, 26.5),
        "N_cm3": (0.0262, 0.0392),
        "T_eV": (418.0, 601.0),
        "spread": (0.00143, 0.0208),
    },
}
"""5th and 95th percentile over windows of MMS that people called so."""


def _sheet_ranges(**changes: object) -> TailRanges:
    """Nothing happens but what is asked for."""
    still = replace(
        _RANGES,
        flapping_probability=0.0,
        crossing_probability=0.0,
        bursts_probability=0.0,
        dip_probability=0.0,
        beams_probability=0.0,
        hovering=Range(1e-4, 1e-4),
        sheet_compressive=Range(1e-3, 1e-3),
        sheet_moments=Range(1e-3, 1e-3),
        sheet_moment_kms=Range(1.0, 1.0),
    )
    return replace(still, **changes)  # type: ignore[arg-type]  # names are the fields'


def _sheet() -> State:
    return State(np.array([12.0, 1.0, 3.0]), 0.3, np.array([20.0, 0.0, 0.0]), 4000.0, 4000.0)


def _pressure(series: PlasmaSeries) -> FloatArray:
    return plasma_pressure_nPa(series.N_cm3, total_eV(series)) + magnetic_pressure_nPa(
        np.linalg.norm(series.B_nT, axis=1)
    )


@pytest.mark.parametrize("seed", range(40))
def test_tail_states_are_under_one_pressure_and_one_sign(seed: int) -> None:
    above, rim, sheet = tail_states(np.random.default_rng(seed), _RANGES)
    expected = total_pressure_nPa(above)
    assert total_pressure_nPa(rim) == pytest.approx(expected, rel=1e-6)
    assert total_pressure_nPa(sheet) == pytest.approx(expected, rel=1e-6)
    assert above.B_nT[0] * rim.B_nT[0] > 0.0
    assert above.B_nT[0] * sheet.B_nT[0] >= 0.0
    strongest = np.linalg.norm(above.B_nT)
    # A lobe's ions have a quarter of its field's pressure at most.
    assert expected < 1.2501 * magnetic_pressure_nPa(strongest)
    assert np.linalg.norm(sheet.B_nT) < np.sqrt(1.25) * strongest
    assert 0.7 * strongest < np.linalg.norm(rim.B_nT) < np.sqrt(1.25) * strongest
    assert rim.Tpar_eV >= rim.Tperp_eV


@pytest.mark.parametrize("region", ["PS", "LOBE"])
def test_tail_windows_hold_what_was_measured(region: str) -> None:
    state, make = _MAKERS[region]
    rng = np.random.default_rng(2)
    drawn: dict[str, list[float]] = {name: [] for name in _MEASURED[region]}
    for _ in range(800):
        values = make(rng, _RANGES, state(rng, _RANGES), WINDOW_CELLS).values()
        magnitude = values[:, 3]
        drawn["B_nT"].append(float(magnitude.mean()))
        drawn["N_cm3"].append(float(values[:, 4].mean()))
        drawn["T_eV"].append(float(values[:, 11].mean()))
        drawn["spread"].append(float(magnitude.std() / magnitude.mean()))
    for name, (low, high) in _MEASURED[region].items():
        least, most = np.percentile(drawn[name], (5, 95))
        assert least < low, name
        assert most > high, name


@pytest.mark.parametrize("region", list(_MAKERS))
def test_tail_series_is_finite_and_positive_for_widened_ranges(region: str) -> None:
    wide = widened(_RANGES, 0.3)
    state, make = _MAKERS[region]
    rng = np.random.default_rng(3)
    for _ in range(80):
        values = make(rng, wide, state(rng, wide), 160).values()
        assert values.shape == (160, 12)
        assert np.isfinite(values).all()
        assert values[:, 4].min() > 0.001
        assert values[:, 9:].min() > 1.0


@pytest.mark.parametrize("region", list(_MAKERS))
def test_tail_series_of_same_seed_is_same(region: str) -> None:
    state, make = _MAKERS[region]
    one, other = (
        make(rng, _RANGES, state(rng, _RANGES), 70).values()
        for rng in (np.random.default_rng(4), np.random.default_rng(4))
    )
    np.testing.assert_array_equal(one, other)


def test_plasma_of_tail_is_ordered_by_beta() -> None:
    rng = np.random.default_rng(5)
    ranges = replace(_RANGES, mantle_probability=0.0)
    betas = np.array([[state.beta for state in tail_states(rng, ranges)] for _ in range(200)])
    low, middle, high = np.median(betas, axis=0)
    assert low < 0.05 < middle < 0.5 < high


def test_mantle_flows_tailward_along_the_field() -> None:
    ranges = replace(_RANGES, mantle_probability=1.0, lobe_kms=Range(1.0, 1.0))
    rng = np.random.default_rng(6)
    for _ in range(50):
        state = lobe_state(rng, replace(ranges, polar_probability=0.0))
        along = state.B_nT / np.linalg.norm(state.B_nT)
        assert state.V_kms[0] < -40.0
        assert abs(state.V_kms @ along) > 0.99 * np.linalg.norm(state.V_kms)


def test_lobe_moments_shake_from_step_to_step_and_the_field_does_not() -> None:
    ranges = replace(
        _RANGES,
        lobe_noise_kms=Range(100.0, 100.0),
        lobe_noise=Range(0.15, 0.15),
        lobe_compressive=Range(0.01, 0.01),
    )
    rng = np.random.default_rng(7)
    state = replace(lobe_state(rng, ranges), N_cm3=0.02)
    series = lobe(rng, ranges, state, 400)
    jumps = np.diff(series.V_kms, axis=0).std() / np.sqrt(2.0)
    assert 80.0 < jumps < 120.0
    assert 0.1 < np.diff(np.log(series.N_cm3)).std() / np.sqrt(2.0) < 0.2
    magnitude = np.linalg.norm(series.B_nT, axis=1)
    assert np.diff(magnitude).std() / magnitude.mean() < 0.01


def test_flapping_sheet_keeps_its_pressure_and_thins_where_bx_grows() -> None:
    ranges = _sheet_ranges(flapping_probability=1.0, flapping=Range(0.8, 0.8))
    for seed in range(8):
        series = plasma_sheet(np.random.default_rng(seed), ranges, _sheet(), 300)
        assert np.corrcoef(np.abs(series.B_nT[:, 0]), series.N_cm3)[0, 1] < -0.8
        pressure = _pressure(series)
        assert pressure.max() < 1.25 * pressure.min()


def test_crossing_of_neutral_sheet_changes_the_sign_of_bx() -> None:
    ranges = _sheet_ranges(crossing_probability=1.0, crossing_steps=Range(5.0, 5.0))
    signs = []
    for seed in range(20):
        series = plasma_sheet(np.random.default_rng(seed), ranges, _sheet(), 200)
        signs.append(series.B_nT[:, 0].min() < -2.0)
    assert 4 < sum(signs) < 18


def test_bursts_flow_fast_for_a_minute_behind_fronts_of_bz() -> None:
    ranges = _sheet_ranges(
        bursts_probability=1.0,
        burst_spacing_s=Range(1e6, 1e6),
        burst_kms=Range(600.0, 600.0),
        burst_s=Range(60.0, 60.0),
        tailward_probability=0.0,
        front_probability=1.0,
        front_nT=Range(12.0, 12.0),
        front_dip=Range(0.5, 0.5),
    )
    fast, rise, drop = [], [], []
    for seed in range(20):
        series = plasma_sheet(np.random.default_rng(seed), ranges, _sheet(), 300)
        speed = series.V_kms[:, 0]
        fast.append(int((speed > 300.0).sum()))
        rise.append(float(series.B_nT[:, 2].max()))
        drop.append(float(series.N_cm3.min() / 0.3))
        assert speed.min() > -50.0
    assert np.median(fast) * 4.5 < 120.0
    assert max(fast) > 5
    assert np.median(rise) > 10.0
    assert 0.35 < np.median(drop) < 0.7


def test_boundary_beams_run_along_the_field_and_heat_along_it() -> None:
    ranges = replace(
        _sheet_ranges(beams_probability=1.0, beam_kms=Range(900.0, 900.0), tailward_probability=0.0),
        boundary_kms=Range(1.0, 1.0),
        boundary_moment_kms=Range(1.0, 1.0),
        boundary_ratio=Range(1.0, 1.0),
    )
    for seed in range(10):
        rng = np.random.default_rng(seed)
        state = plasma_sheet_boundary_state(rng, ranges)
        series = plasma_sheet_boundary(rng, ranges, state, 200)
        flow = series.V_kms - state.V_kms
        fastest = int(np.linalg.norm(flow, axis=1).argmax())
        along = series.B_nT[fastest] / np.linalg.norm(series.B_nT[fastest])
        assert flow[fastest, 0] > 100.0
        assert abs(flow[fastest] @ along) > 0.95 * np.linalg.norm(flow[fastest])
        # More than one stream may pass at once.
        assert np.linalg.norm(flow, axis=1).max() < 9000.0


def test_boundary_dips_keep_its_pressure() -> None:
    ranges = replace(
        _sheet_ranges(dip_probability=1.0),
        boundary_compressive=Range(1e-4, 1e-4),
        boundary_moments=Range(1e-4, 1e-4),
    )
    for seed in range(10):
        rng = np.random.default_rng(seed)
        state = plasma_sheet_boundary_state(rng, ranges)
        series = plasma_sheet_boundary(rng, ranges, state, 300)
        np.testing.assert_allclose(_pressure(series), total_pressure_nPa(state), rtol=0.01)
        assert series.N_cm3.max() > 1.15 * series.N_cm3.min()


def test_polar_lobe_is_of_the_dipole_and_stronger_than_the_tail() -> None:
    ranges = replace(_RANGES, polar_probability=1.0)
    rng = np.random.default_rng(8)
    fields = np.array([lobe_state(rng, ranges).B_nT for _ in range(100)])
    strength = np.linalg.norm(fields, axis=1)
    assert strength.min() >= 49.9
    assert strength.max() <= 250.1
    assert np.mean(np.abs(fields[:, 2]) > 0.5 * strength) > 0.6
