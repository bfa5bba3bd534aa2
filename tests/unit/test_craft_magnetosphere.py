"""Simulated magnetosphere: its ranges, its quiet, its waves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.science.synthetic.craft.inner import (
    Fluctuations,
    dipole_direction,
    disturbed,
    field_of_pressure_nT,
    magnetic_pressure_nPa,
    parted_eV,
    plasma_pressure_nPa,
    window_noise,
)
from monitor.science.synthetic.craft.magnetosphere import (
    MagnetosphereRanges,
    magnetosphere,
    magnetosphere_state,
)
from monitor.science.synthetic.craft.series import PlasmaSeries, State
from monitor.science.synthetic.craft.widening import widened
from monitor.science.synthetic.ranges import Range
from monitor.types import WINDOW_CELLS

_RANGES = MagnetosphereRanges()
_STILL = replace(_RANGES, ulf_probability=0.0, breathing_probability=0.0)
_MEASURED = {
    "B_nT": (25.9, 79.8),
    "N_cm3": (0.229, 0.997),
    "T_eV": (4070.0, 7730.0),
    "spread": (0.0027, 0.0437),
}
"""5th and 95th percentile over windows of MMS that people called magnetosphere."""


def _state() -> State:
    return State(np.array([5.0, -10.0, 60.0]), 0.5, np.array([10.0, 0.0, 0.0]), 4000.0, 5000.0)


def _measures(series: PlasmaSeries) -> dict[str, float]:
    values = series.values()
    magnitude = values[:, 3]
    return {
        "B_nT": float(magnitude.mean()),
        "N_cm3": float(values[:, 4].mean()),
        "T_eV": float(values[:, 11].mean()),
        "spread": float(magnitude.std() / magnitude.mean()),
    }


def test_magnetosphere_windows_hold_what_was_measured() -> None:
    rng = np.random.default_rng(1)
    drawn = [
        _measures(magnetosphere(rng, _RANGES, magnetosphere_state(rng, _RANGES), WINDOW_CELLS))
        for _ in range(400)
    ]
    for name, (low, high) in _MEASURED.items():
        least, most = np.percentile([one[name] for one in drawn], (5, 95))
        assert least < low, name
        assert most > high, name


def test_magnetosphere_series_is_finite_and_positive_for_widened_ranges() -> None:
    wide = widened(_RANGES, 0.3)
    rng = np.random.default_rng(2)
    for _ in range(100):
        values = magnetosphere(rng, wide, magnetosphere_state(rng, wide), 150).values()
        assert values.shape == (150, 12)
        assert np.isfinite(values).all()
        assert values[:, 4].min() > 0.001
        assert values[:, 9:].min() > 1.0


def test_magnetosphere_of_same_seed_is_same() -> None:
    one, other = (
        magnetosphere(rng, _RANGES, magnetosphere_state(rng, _RANGES), 60).values()
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    np.testing.assert_array_equal(one, other)


def test_magnetosphere_field_mostly_points_north() -> None:
    rng = np.random.default_rng(4)
    up = [magnetosphere_state(rng, _RANGES).B_nT[2] > 0.0 for _ in range(400)]
    assert 0.7 < np.mean(up) < 0.99


def test_plume_adds_cold_ions_and_keeps_the_hot_ones_pressure() -> None:
    none = replace(_RANGES, plume_probability=0.0, warm_probability=0.0)
    plume = replace(none, plume_probability=1.0)
    hot, both = (magnetosphere_state(np.random.default_rng(5), ranges) for ranges in (none, plume))
    assert both.N_cm3 - hot.N_cm3 > 0.9
    assert both.T_eV < 0.6 * hot.T_eV
    cold = both.N_cm3 * both.T_eV - hot.N_cm3 * hot.T_eV
    limits = _RANGES.plume_temperature_eV
    assert limits.low <= cold / (both.N_cm3 - hot.N_cm3) <= limits.high


def test_quiet_magnetosphere_is_steep_in_frequency() -> None:
    rng = np.random.default_rng(6)
    frequency = np.fft.rfftfreq(256, 4.5)[1:60]
    power = np.zeros(frequency.size)
    for _ in range(60):
        field = np.linalg.norm(magnetosphere(rng, _STILL, _state(), 256).B_nT, axis=1)
        spectrum = np.abs(np.fft.rfft((field - field.mean()) * np.hanning(256))) ** 2
        power += np.log(spectrum[1:60])
    slope = np.polyfit(np.log(frequency[5:]), power[5:] / 60, 1)[0]
    assert -3.2 < slope < -2.0


def test_ulf_wave_moves_field_and_flow_more_than_quiet() -> None:
    ranges = replace(
        _STILL,
        compressive=Range(0.005, 0.005),
        transverse=Range(0.005, 0.005),
        ulf_probability=1.0,
        ulf_period_s=Range(100.0, 100.0),
        ulf_amplitude=Range(0.2, 0.2),
        ulf_speed_kms=Range(60.0, 60.0),
        moment_kms=Range(1.0, 1.0),
    )
    quiet = magnetosphere(np.random.default_rng(7), replace(ranges, ulf_probability=0.0), _state(), 200)
    waving = magnetosphere(np.random.default_rng(7), ranges, _state(), 200)
    assert np.linalg.norm(waving.B_nT.std(axis=0)) > 3.0 * np.linalg.norm(quiet.B_nT.std(axis=0))
    speed = np.linalg.norm(waving.V_kms.std(axis=0))
    assert 30.0 < speed < 120.0


def test_breathing_raises_density_with_field() -> None:
    ranges = replace(
        _STILL,
        breathing_probability=1.0,
        breathing_kms=Range(150.0, 150.0),
        compressive=Range(1e-4, 1e-4),
        density=Range(1e-4, 1e-4),
    )
    series = magnetosphere(np.random.default_rng(8), ranges, _state(), 300)
    magnitude = np.linalg.norm(series.B_nT, axis=1)
    assert np.corrcoef(magnitude, series.N_cm3)[0, 1] > 0.9


@pytest.mark.parametrize(("latitude", "sign"), [(70.0, -1.0), (-70.0, 1.0)])
def test_dipole_field_enters_north_and_leaves_south(latitude: float, sign: float) -> None:
    along = dipole_direction(latitude, 30.0, 0.0)
    angle = np.radians([latitude, 30.0])
    outward = np.array(
        [np.cos(angle[0]) * np.cos(angle[1]), np.cos(angle[0]) * np.sin(angle[1]), np.sin(angle[0])]
    )
    assert np.linalg.norm(along) == pytest.approx(1.0)
    assert sign * float(along @ outward) > 0.8


def test_dipole_field_is_northward_at_equator_and_tilts_with_the_pole() -> None:
    np.testing.assert_allclose(dipole_direction(0.0, 77.0, 0.0), (0.0, 0.0, 1.0), atol=1e-12)
    # Where the pole leans to the Sun, the field in the plane across does too.
    tilted = dipole_direction(0.0, 90.0, 20.0)
    np.testing.assert_allclose(tilted, (np.sin(np.radians(20.0)), 0.0, np.cos(np.radians(20.0))), atol=1e-12)


def test_pressure_of_50_nT_is_about_1_nPa() -> None:
    assert float(magnetic_pressure_nPa(50.0)) == pytest.approx(0.9947, rel=1e-3)
    assert float(field_of_pressure_nT(magnetic_pressure_nPa(37.0))) == pytest.approx(37.0)
    assert float(plasma_pressure_nPa(1.0, 1000.0)) == pytest.approx(0.1602, rel=1e-3)
    assert float(field_of_pressure_nT(-1.0)) == 0.0


def test_parted_temperature_has_total_and_ratio() -> None:
    along, across = parted_eV(900.0, 1.5)
    assert (along + 2.0 * across) / 3.0 == pytest.approx(900.0)
    assert across / along == pytest.approx(1.5)


@pytest.mark.parametrize("slope", [-1.0, -2.5])
def test_window_noise_has_unit_variance_within_windows(slope: float) -> None:
    rng = np.random.default_rng(9)
    variance = np.mean([window_noise(rng, WINDOW_CELLS, slope, 900.0).var() for _ in range(1500)])
    assert variance == pytest.approx(1.0, rel=0.15)


def test_disturbed_plasma_has_coupling_asked_for() -> None:
    rng = np.random.default_rng(10)
    how = Fluctuations(0.05, 1e-4, 0.05, 0.01, 0.01, 5.0, -2.0, -0.8, 0.0, 600.0)
    found = []
    for _ in range(40):
        series = disturbed(rng, _state(), 400, how)
        found.append(np.corrcoef(np.linalg.norm(series.B_nT, axis=1), np.log(series.N_cm3))[0, 1])
    assert np.mean(found) == pytest.approx(-0.8, abs=0.12)


def test_disturbed_alfvenic_flow_follows_the_field_across() -> None:
    how = Fluctuations(1e-4, 0.05, 0.01, 0.01, 0.01, 0.01, -2.0, 0.0, 1.0, 600.0)
    state = replace(_state(), N_cm3=5.0)
    series = disturbed(np.random.default_rng(11), state, 300, how)
    swing = (series.B_nT - state.B_nT) / np.linalg.norm(state.B_nT)
    flow = series.V_kms - state.V_kms
    slope = float((swing * flow).sum() / (swing * swing).sum())
    assert slope == pytest.approx(state.alfven_speed_kms, rel=0.03)
