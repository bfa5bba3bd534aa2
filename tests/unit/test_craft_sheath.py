"""Simulated magnetosheath."""

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
    total_eV,
    windows,
)

from monitor.science.synthetic.craft.series import PlasmaSeries, State
from monitor.science.synthetic.craft.sheath import SheathRanges, magnetosheath, sheath_state
from monitor.science.synthetic.craft.shock import ShockJump, ShockRanges, shock_jump
from monitor.science.synthetic.craft.upstream import UpstreamRanges, solar_wind_state
from monitor.science.synthetic.craft.widening import widened
from monitor.science.synthetic.ranges import Range

RANGES = SheathRanges()
SHEATH = State(np.array([5.0, 15.0, 10.0]), 20.0, np.array([-120.0, 100.0, 30.0]), 150.0, 220.0)


def _jump(rng: np.random.Generator) -> ShockJump:
    return shock_jump(rng, ShockRanges(), solar_wind_state(rng, UpstreamRanges()))


def _sheath(rng: np.random.Generator) -> PlasmaSeries:
    jump = _jump(rng)
    return magnetosheath(rng, RANGES, sheath_state(rng, RANGES, jump), WINDOW, jump.quasi_parallel)


def _about(ranges: SheathRanges, quasi_parallel: bool, count: int = 200) -> list[PlasmaSeries]:
    return windows(lambda rng: magnetosheath(rng, ranges, SHEATH, WINDOW, quasi_parallel), count, 3)


def test_sheath_is_physical_and_covers_what_was_measured() -> None:
    """The 5th and 95th percentiles of real windows lie between the 2nd and 98th of simulated ones."""
    series = windows(_sheath, 600, 1)
    for one in series:
        assert_physical(one)
    for values, low, high in (
        ([np.mean(np.linalg.norm(one.B_nT, axis=1)) for one in series], 8.15, 14.1),
        ([np.mean(one.N_cm3) for one in series], 4.93, 16.4),
        ([np.mean(total_eV(one)) for one in series], 135.0, 421.0),
        (spread(series), 0.112, 0.422),
    ):
        least, most = np.percentile(values, [2.0, 98.0])
        assert least < low
        assert high < most


def test_sheath_states_are_denser_slower_and_hotter_than_their_wind() -> None:
    rng = np.random.default_rng(2)
    jumps = [_jump(rng) for _ in range(300)]
    states = [sheath_state(rng, RANGES, jump) for jump in jumps]
    slower = [
        np.linalg.norm(state.V_kms) < np.linalg.norm(jump.upstream.V_kms)
        for state, jump in zip(states, jumps, strict=True)
    ]
    hotter = [state.T_eV > jump.upstream.T_eV for state, jump in zip(states, jumps, strict=True)]
    denser = [state.N_cm3 > jump.upstream.N_cm3 for state, jump in zip(states, jumps, strict=True)]
    assert min(np.mean(slower), np.mean(hotter)) > 0.93
    assert np.mean(denser) > 0.85


def test_sheath_flow_turns_along_the_magnetopause_with_depth() -> None:
    """Deep in a sheath that is braked and draped wholly, neither flow nor (but for scatter) field cross its boundary."""
    whole = replace(RANGES, braking=Range(1.0, 1.0), draping=Range(1.0, 1.0))
    rng = np.random.default_rng(4)
    shares, fields = [], []
    for _ in range(300):
        jump = _jump(rng)
        state = sheath_state(rng, whole, jump)
        ahead, behind = float(jump.downstream.V_kms @ jump.normal), float(state.V_kms @ jump.normal)
        shares.append(behind / ahead)
        fields.append(abs(float(state.B_nT @ jump.normal)) / np.linalg.norm(state.B_nT))
    assert np.all(np.array(shares) < 1.0 + 1e-9)
    assert np.all(np.array(shares) > -1e-9)
    assert np.std(shares) > 0.2
    assert np.median(fields) < 0.35


def test_sheath_behind_quasi_parallel_shock_is_rougher() -> None:
    rough, calm = (spread(_about(RANGES, quasi_parallel)) for quasi_parallel in (True, False))
    plain = replace(RANGES, mirror_probability=0.0, parallel_mirror_probability=0.0)
    rough_plain, calm_plain = (spread(_about(plain, quasi_parallel)) for quasi_parallel in (True, False))
    assert np.median(rough) > 1.2 * np.median(calm)
    assert np.median(rough_plain) > 1.6 * np.median(calm_plain)


def test_sheath_keeps_the_anisotropy_of_its_state() -> None:
    ratio = np.median([np.mean(one.Tperp_eV / one.Tpar_eV) for one in _about(RANGES, False)])
    assert ratio == pytest.approx(SHEATH.Tperp_eV / SHEATH.Tpar_eV, rel=0.05)


def test_mirror_modes_set_density_and_perpendicular_temperature_against_the_field() -> None:
    quiet = Range(1e-4, 2e-4)
    mirrors = replace(
        RANGES,
        mirror_probability=1.0,
        mirror_log=Range(0.2, 0.4),
        compression=quiet,
        density_spread=quiet,
        heat_spread=quiet,
        kinks_per_h=Range(0.0, 0.0),
        ropes_per_h=Range(0.0, 0.0),
    )
    series = _about(mirrors, False, 100)
    assert np.percentile(correlation(series), 90.0) < -0.9
    across = [np.corrcoef(np.linalg.norm(one.B_nT, axis=1), one.Tperp_eV)[0, 1] for one in series]
    assert np.percentile(across, 90.0) < -0.8
    pressure = [
        np.ptp(np.linalg.norm(one.B_nT, axis=1)) / np.mean(np.linalg.norm(one.B_nT, axis=1)) for one in series
    ]
    assert 0.2 < np.median(pressure) < 2.5


def test_mirror_modes_stay_small_where_beta_is() -> None:
    cold = State(np.array([0.0, 40.0, 40.0]), 2.0, np.array([-150.0, 0.0, 0.0]), 40.0, 60.0)
    strong = replace(
        RANGES,
        mirror_probability=1.0,
        mirror_log=Range(0.6, 0.7),
        kinks_per_h=Range(0.0, 0.0),
        ropes_per_h=Range(0.0, 0.0),
        compression=Range(1e-4, 2e-4),
    )
    assert cold.beta < 0.05
    rng = np.random.default_rng(5)
    series = [magnetosheath(rng, strong, cold, WINDOW, False) for _ in range(50)]
    assert spread(series).max() < 0.15


def test_jets_speed_the_flow_up_and_come_behind_quasi_parallel_shocks_only() -> None:
    still = Range(1e-4, 2e-4)
    jets = replace(
        RANGES,
        jets_per_h=Range(60.0, 60.0),
        jet_s=Range(60.0, 60.0),
        jet_gain=Range(2.0, 2.0),
        flow_share=still,
        alfvenicity=Range(0.0, 0.0),
        ropes_per_h=Range(0.0, 0.0),
    )
    speed = float(np.linalg.norm(SHEATH.V_kms))
    fastest = {
        quasi_parallel: np.median(
            [np.linalg.norm(one.V_kms, axis=1).max() for one in _about(jets, quasi_parallel, 60)]
        )
        for quasi_parallel in (True, False)
    }
    assert fastest[True] > 1.6 * speed
    assert fastest[False] == pytest.approx(speed, rel=0.01)


def test_sheath_of_one_seed_is_the_same() -> None:
    assert_same(*(windows(_sheath, 1, 7)[0] for _ in range(2)))


def test_sheath_of_widened_ranges_is_physical() -> None:
    wide = widened(RANGES, 0.3)
    rng = np.random.default_rng(9)
    for number in range(200):
        assert_physical(
            magnetosheath(rng, wide, sheath_state(rng, wide, _jump(rng)), WINDOW, bool(number % 2))
        )
