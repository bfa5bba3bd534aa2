"""Simulated solar wind and foreshock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from craft_kit import (
    WINDOW,
    assert_physical,
    assert_same,
    correlation,
    spread,
    strengths,
    total_eV,
    windows,
)

from monitor.science.synthetic.craft.series import PlasmaSeries, State, alfven_speed_kms
from monitor.science.synthetic.craft.upstream import (
    UpstreamRanges,
    foreshock,
    solar_wind,
    solar_wind_state,
)
from monitor.science.synthetic.craft.widening import widened
from monitor.science.synthetic.ranges import Range

RANGES = UpstreamRanges()
ORDINARY = replace(RANGES, ejecta_probability=0.0, tenuous_probability=0.0)
WIND = State(np.array([-3.0, 3.0, 1.0]), 6.0, np.array([-420.0, 30.0, 0.0]), 30.0, 30.0)


def _wind(rng: np.random.Generator) -> PlasmaSeries:
    return solar_wind(rng, RANGES, solar_wind_state(rng, RANGES), WINDOW)


def _foreshock(rng: np.random.Generator) -> PlasmaSeries:
    return foreshock(rng, RANGES, solar_wind_state(rng, RANGES), WINDOW)


def _states(count: int, ranges: UpstreamRanges) -> list[State]:
    rng = np.random.default_rng(5)
    return [solar_wind_state(rng, ranges) for _ in range(count)]


def test_wind_state_covers_what_91_shocks_have_ahead() -> None:
    """Their 5th to 95th percentiles (|B|), or least to most, lie within the 2nd to 98th of the draws."""
    states = _states(2000, RANGES)
    for values, low, high in (
        ([np.linalg.norm(state.B_nT) for state in states], 2.86, 10.2),
        ([state.N_cm3 for state in states], 3.3, 24.7),
        ([-state.V_kms[0] for state in states], 277.0, 709.0),
        ([state.T_eV for state in states], 20.0, 121.0),
    ):
        least, most = np.percentile(values, [2.0, 98.0])
        assert least < low
        assert high < most


def test_wind_state_of_fast_wind_is_hotter_and_more_tenuous() -> None:
    states = _states(1000, ORDINARY)
    speed = [np.linalg.norm(state.V_kms) for state in states]
    assert np.corrcoef(speed, np.log([state.T_eV for state in states]))[0, 1] > 0.3
    assert np.corrcoef(speed, np.log([state.N_cm3 for state in states]))[0, 1] < -0.3


def test_wind_state_flows_from_the_sun() -> None:
    for state in _states(500, RANGES):
        assert -state.V_kms[0] > 0.9 * np.linalg.norm(state.V_kms)


def test_wind_state_follows_the_spiral_where_hardly_scattered() -> None:
    states = _states(400, replace(RANGES, scatter=Range(0.05, 0.1)))
    inward = np.array([state.B_nT[0] * state.B_nT[1] for state in states])
    assert np.all(inward < 0.0)
    assert 0.4 < np.mean([state.B_nT[0] > 0.0 for state in states]) < 0.6


def test_wind_state_is_faster_than_alfven_waves() -> None:
    for state in _states(2000, RANGES):
        assert np.linalg.norm(state.V_kms) > 1.5 * state.alfven_speed_kms


def test_wind_of_one_seed_is_the_same() -> None:
    assert_same(*(windows(_wind, 1, 7)[0] for _ in range(2)))
    assert not np.array_equal(windows(_wind, 1, 7)[0].B_nT, windows(_wind, 1, 8)[0].B_nT)


def test_wind_is_physical_and_hardly_compressive() -> None:
    series = windows(_wind, 400, 1)
    for one in series:
        assert_physical(one)
    least, middle, most = np.percentile(spread(series), [2.0, 50.0, 95.0])
    assert least > 0.002
    assert 0.01 < middle < 0.03
    assert 0.06 < most < 0.15


def test_wind_is_more_often_than_not_in_pressure_balance() -> None:
    assert np.median(correlation(windows(_wind, 400, 2))) < -0.1


def test_wind_flow_satisfies_the_walen_relation() -> None:
    """δV = ±δB/√(μ₀ρ), if nothing else moves and |B| and N stay."""
    still = replace(
        RANGES,
        alfvenicity=Range(1.0, 1.0),
        compression=Range(0.0, 0.0),
        density_spread=Range(0.0, 0.0),
        flow_kms=Range(0.0, 0.0),
        kink_log=Range(0.0, 0.0),
    )
    series = solar_wind(np.random.default_rng(3), still, WIND, 200)
    expected = (series.B_nT - WIND.B_nT) * alfven_speed_kms(1.0, WIND.N_cm3)
    moved = series.V_kms - WIND.V_kms
    sign = np.sign(np.sum(moved * expected))
    assert np.abs(expected).max() > 1.0
    np.testing.assert_allclose(moved, sign * expected, atol=1e-6)
    np.testing.assert_allclose(strengths(series), np.linalg.norm(WIND.B_nT))


def test_foreshock_is_physical_and_covers_what_was_measured() -> None:
    """|B|'s spread of real foreshock: 0.053 to 0.285 (5th to 95th percentile), correlation with N 0.53."""
    series = windows(_foreshock, 400, 4)
    for one in series:
        assert_physical(one)
    least, most = np.percentile(spread(series), [5.0, 95.0])
    assert least < 0.053
    assert 0.285 < most < 1.0
    assert 0.3 < np.median(correlation(series)) < 0.8


def test_foreshock_without_structures_has_field_and_density_swell_together() -> None:
    plain = replace(
        RANGES,
        structures_per_h=Range(0.0, 0.0),
        kinks_per_h=Range(0.0, 0.0),
        own_density=Range(0.0, 0.0),
        density_spread=Range(1e-3, 2e-3),
        compression=Range(1e-3, 2e-3),
        coupling=Range(0.9, 1.0),
    )
    rng = np.random.default_rng(6)
    series = [foreshock(rng, plain, WIND, WINDOW) for _ in range(100)]
    assert np.percentile(correlation(series), 10.0) > 0.9


def test_foreshock_is_hotter_along_the_field_and_slower_than_its_wind() -> None:
    rng = np.random.default_rng(9)
    ranges = replace(RANGES, beam=Range(1.5, 2.2), kinks_per_h=Range(0.0, 0.0))
    series = [foreshock(rng, ranges, WIND, WINDOW) for _ in range(200)]
    heating = np.array([np.mean(total_eV(one)) / WIND.T_eV for one in series])
    assert np.percentile(heating, 5.0) > 1.0
    assert 2.0 < np.median(heating) < 6.0
    assert np.median([np.mean(one.Tpar_eV / one.Tperp_eV) for one in series]) > 1.2
    speed = np.median([np.mean(np.linalg.norm(one.V_kms, axis=1)) for one in series])
    assert 0.85 * np.linalg.norm(WIND.V_kms) < speed < np.linalg.norm(WIND.V_kms)


def test_foreshock_is_no_hotter_than_a_share_of_the_winds_energy() -> None:
    """Of 420 km/s, ½ m V² is 925 eV; without structures and unrest, the limit holds step by step."""
    hottest = replace(
        RANGES,
        heating=Range(50.0, 50.0),
        heating_limit=0.2,
        heat_unrest=Range(0.0, 0.0),
        structures_per_h=Range(0.0, 0.0),
        heat_spread=Range(0.0, 0.0),
        slowing=Range(0.0, 0.0),
        coupling=Range(0.0, 0.0),
    )
    rng = np.random.default_rng(10)
    for _ in range(50):
        excess = total_eV(foreshock(rng, hottest, WIND, WINDOW)) - WIND.T_eV
        assert 0.8 * 0.2 * 925.0 < excess.min() <= excess.max() < 0.2 * 930.0


def test_wind_discontinuities_turn_the_field_within_seconds() -> None:
    often = replace(
        RANGES,
        rotation=Range(0.0, 0.0),
        kinks_per_h=Range(12.0, 12.0),
        kink_deg=Range(60.0, 60.0),
        kink_log=Range(0.0, 0.0),
        compression=Range(0.0, 0.0),
    )
    series = solar_wind(np.random.default_rng(12), often, WIND, 1600)
    unit = series.B_nT / strengths(series)[:, None]
    step_deg = np.degrees(np.arccos(np.clip(np.sum(unit[1:] * unit[:-1], axis=1), -1.0, 1.0)))
    assert np.median(step_deg) < 0.1
    assert step_deg.max() > 5.0


@pytest.mark.parametrize("period_s", [20.0, 40.0])
def test_foreshock_wave_has_its_period(period_s: float) -> None:
    regular = replace(
        RANGES,
        wave_s=Range(period_s, period_s),
        wave=Range(0.4, 0.4),
        bandwidth=Range(0.05, 0.05),
        regularity=Range(0.95, 0.95),
        structures_per_h=Range(0.0, 0.0),
        kinks_per_h=Range(0.0, 0.0),
        rotation=Range(0.001, 0.001),
    )
    series = foreshock(np.random.default_rng(2), regular, WIND, 800)
    power = np.abs(np.fft.rfft((series.B_nT - series.B_nT.mean(axis=0)), axis=0)) ** 2
    frequency = np.fft.rfftfreq(800, 4.5)
    top = frequency[1 + np.argmax(power.sum(axis=1)[1:])]
    assert top == pytest.approx(1.0 / period_s, rel=0.15)


def test_foreshock_of_one_seed_is_the_same() -> None:
    assert_same(*(windows(_foreshock, 1, 7)[0] for _ in range(2)))


def test_upstream_of_widened_ranges_is_physical() -> None:
    wide = widened(RANGES, 0.3)
    rng = np.random.default_rng(11)
    for _ in range(200):
        state = solar_wind_state(rng, wide)
        assert_physical(solar_wind(rng, wide, state, WINDOW))
        assert_physical(foreshock(rng, wide, state, WINDOW))
