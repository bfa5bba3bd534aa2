"""Simulated bow shocks: what is conserved, the limits that are known, and what a spacecraft meets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from craft_kit import assert_physical, assert_same, strengths

from monitor.science.synthetic.craft.rankine_hugoniot import (
    GAMMA,
    NPA_PER_EV,
    behind_shock,
    compression_ratio,
    fast_speed_kms,
)
from monitor.science.synthetic.craft.series import MU0, PROTON_KG, PlasmaSeries, State
from monitor.science.synthetic.craft.shock import (
    LONGEST_LAYER,
    ShockJump,
    ShockRanges,
    shock_crossing,
    shock_jump,
)
from monitor.science.synthetic.craft.upstream import UpstreamRanges, solar_wind_state
from monitor.science.synthetic.craft.widening import widened
from monitor.types import FloatArray

RANGES = ShockRanges()
WIND = State(np.array([-3.0, 3.0, 1.0]), 6.0, np.array([-420.0, 30.0, 0.0]), 10.0, 10.0)
STEPS = 101


def _jumps(count: int, seed: int = 0, ranges: ShockRanges = RANGES) -> list[ShockJump]:
    rng = np.random.default_rng(seed)
    return [shock_jump(rng, ranges, solar_wind_state(rng, UpstreamRanges())) for _ in range(count)]


def _fluxes(
    jump: ShockJump, state: State, pressure_nPa: float
) -> tuple[float, FloatArray, float, float, FloatArray]:
    """Of mass, momentum and energy in the shock's frame, SI, then the normal field and the tangential electric."""
    normal, field = jump.normal, state.B_nT * 1e-9
    velocity = (state.V_kms - jump.speed_kms * normal) * 1e3
    rho, pressure = state.N_cm3 * 1e6 * PROTON_KG, pressure_nPa * 1e-9
    along, threading = float(velocity @ normal), float(field @ normal)
    momentum = (
        rho * along * velocity + normal * (pressure + field @ field / (2.0 * MU0)) - threading * field / MU0
    )
    enthalpy = 0.5 * rho * velocity @ velocity + GAMMA / (GAMMA - 1.0) * pressure + field @ field / MU0
    energy = along * enthalpy - threading * (velocity @ field) / MU0
    return rho * along, momentum, float(energy), threading, np.cross(normal, np.cross(velocity, field))


def test_jump_conserves_mass_momentum_energy_normal_field_and_tangential_electric_field() -> None:
    for jump in _jumps(300):
        # The whole pressure stands in for the temperatures, of which the electrons' is not in the state.
        ahead = _fluxes(jump, jump.upstream, jump.upstream_nPa)
        behind = _fluxes(jump, jump.downstream, jump.downstream_nPa)
        field = np.linalg.norm(jump.upstream.B_nT) * 1e-9
        scales = (
            abs(ahead[0]),
            np.linalg.norm(ahead[1]),
            abs(ahead[2]),
            field,
            field * jump.inflow_kms * 1e3,
        )
        for one, other, scale in zip(ahead, behind, scales, strict=True):
            np.testing.assert_allclose(np.asarray(other) / scale, np.asarray(one) / scale, atol=1e-9)


def test_jump_compresses_and_slows_and_stays_within_the_strong_limit() -> None:
    for jump in _jumps(300, seed=1):
        assert 1.0 < jump.compression < 4.0
        assert jump.downstream_nPa > jump.upstream_nPa
        assert jump.downstream.T_eV > jump.upstream.T_eV
        assert jump.inflow_kms / jump.upstream.alfven_speed_kms == pytest.approx(jump.mach_alfven)
        assert np.linalg.norm(jump.normal) == pytest.approx(1.0)


def test_jump_covers_measured_shocks() -> None:
    """Of 91 crossings: θ_Bn and M_A in the middle half, |B| ratio and downstream temperature throughout most."""
    jumps = _jumps(1000, seed=2)
    ratio = [np.linalg.norm(jump.downstream.B_nT) / np.linalg.norm(jump.upstream.B_nT) for jump in jumps]
    for values, low, high in (
        ([jump.theta_bn_deg for jump in jumps], 20.0, 85.0),
        ([jump.mach_alfven for jump in jumps], 2.0, 15.0),
        (ratio, 1.6, 3.4),
        ([jump.downstream.T_eV for jump in jumps], 87.0, 400.0),
        ([jump.downstream.V_kms[0] for jump in jumps], -450.0, -150.0),
    ):
        least, most = np.percentile(values, [5.0, 95.0])
        assert least < low
        assert high < most


def test_jump_heats_ions_across_the_field_only_where_perpendicular() -> None:
    jumps = _jumps(600, seed=3)
    ratio = np.array([jump.downstream.Tperp_eV / jump.downstream.Tpar_eV for jump in jumps])
    theta = np.array([jump.theta_bn_deg for jump in jumps])
    assert np.all((ratio >= 1.0) & (ratio <= 2.5))
    assert ratio[theta < 15.0].max() < 1.15
    assert np.median(ratio[theta > 75.0]) > 1.4


def test_compression_of_perpendicular_shock_is_that_of_the_closed_form() -> None:
    """2 (2 − γ) X² + γ (2 (β + 1) + (γ − 1) β M²) X − γ (γ + 1) β M² = 0 with the sonic Mach number M."""
    alfven, sound, inflow = 50.0, 60.0, 380.0
    beta, mach2 = 2.0 * sound**2 / (GAMMA * alfven**2), (inflow / sound) ** 2
    a, b = 2.0 * (2.0 - GAMMA), GAMMA * (2.0 * (beta + 1.0) + (GAMMA - 1.0) * beta * mach2)
    c = -GAMMA * (GAMMA + 1.0) * beta * mach2
    expected = (-b + math.sqrt(b * b - 4.0 * a * c)) / (2.0 * a)
    assert compression_ratio(inflow, alfven, sound, 0.5 * math.pi) == pytest.approx(expected, rel=1e-10)


def test_compression_of_parallel_shock_is_that_of_gas() -> None:
    mach2 = (400.0 / 70.0) ** 2
    expected = (GAMMA + 1.0) * mach2 / ((GAMMA - 1.0) * mach2 + 2.0)
    assert compression_ratio(400.0, 40.0, 70.0, 0.0) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("theta_deg", [0.0, 20.0, 45.0, 70.0, 90.0])
def test_compression_of_ever_stronger_shock_nears_four(theta_deg: float) -> None:
    theta = math.radians(theta_deg)
    ratios = [compression_ratio(speed, 30.0, 50.0, theta) for speed in (100.0, 300.0, 1000.0, 1e5)]
    assert ratios == sorted(ratios)
    assert ratios[-1] == pytest.approx(4.0, abs=1e-4)


@pytest.mark.parametrize("theta_deg", [20.0, 45.0, 70.0, 90.0])
def test_compression_at_the_fast_speed_vanishes_and_below_it_is_refused(theta_deg: float) -> None:
    theta = math.radians(theta_deg)
    fast = fast_speed_kms(40.0, 60.0, theta)
    assert compression_ratio(1.0001 * fast, 40.0, 60.0, theta) == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ValueError, match="fast shock"):
        compression_ratio(0.9999 * fast, 40.0, 60.0, theta)


def test_compression_of_shock_that_would_switch_a_field_on_is_refused() -> None:
    with pytest.raises(ValueError, match="fast shock"):
        compression_ratio(60.0, 50.0, 20.0, 0.0)
    assert 1.0 < compression_ratio(60.0, 50.0, 20.0, math.radians(10.0)) < 1.44


def test_behind_perpendicular_shock_field_is_compressed_as_density() -> None:
    ahead = State(np.array([0.0, 0.0, 5.0]), 5.0, np.array([-400.0, 0.0, 0.0]), 10.0, 10.0)
    behind, _ = behind_shock(ahead, 5.0 * 20.0 * NPA_PER_EV, np.array([1.0, 0.0, 0.0]), 0.0)
    np.testing.assert_allclose(behind.B_nT / ahead.B_nT[2], [0.0, 0.0, behind.N_cm3 / ahead.N_cm3])
    assert behind.V_kms[0] == pytest.approx(-400.0 * ahead.N_cm3 / behind.N_cm3)


def test_jump_of_wind_hardly_faster_than_waves_is_driven_out() -> None:
    slow = State(np.array([0.0, 0.0, 12.0]), 2.0, np.array([-250.0, 0.0, 0.0]), 10.0, 10.0)
    jump = shock_jump(np.random.default_rng(0), RANGES, slow)
    assert jump.speed_kms > 0.0
    assert jump.inflow_kms > slow.alfven_speed_kms
    assert 1.0 < jump.compression < 2.0


def test_jump_of_wind_slower_than_waves_is_refused() -> None:
    slow = State(np.array([0.0, 0.0, 40.0]), 0.5, np.array([-300.0, 0.0, 0.0]), 10.0, 10.0)
    with pytest.raises(ValueError, match="too slow"):
        shock_jump(np.random.default_rng(0), RANGES, slow)


def _crossing(
    jump: ShockJump, seed: int, at: float, inbound: bool, ranges: ShockRanges = RANGES
) -> tuple[PlasmaSeries, int, int]:
    return shock_crossing(
        np.random.default_rng(seed),
        ranges,
        jump,
        PlasmaSeries.uniform(jump.upstream, STEPS),
        PlasmaSeries.uniform(jump.downstream, STEPS),
        at,
        inbound,
    )


def _jump_of(quasi_parallel: bool) -> ShockJump:
    return next(
        jump
        for jump in _jumps(200, seed=4)
        if jump.quasi_parallel == quasi_parallel and jump.mach_alfven > 6 and not 30 < jump.theta_bn_deg < 65
    )


@pytest.mark.parametrize("quasi_parallel", [False, True])
@pytest.mark.parametrize("inbound", [False, True])
def test_crossing_goes_from_one_plasma_to_the_other(inbound: bool, quasi_parallel: bool) -> None:
    jump = _jump_of(quasi_parallel)
    for seed in range(20):
        series, begin, end = _crossing(jump, seed, 50.3, inbound)
        first, last = (jump.upstream, jump.downstream) if inbound else (jump.downstream, jump.upstream)
        assert series.N_cm3[0] == pytest.approx(first.N_cm3, rel=0.25)
        assert series.N_cm3[-1] == pytest.approx(last.N_cm3, rel=0.25)
        assert begin <= 52
        assert end >= 49


def test_crossing_layer_has_one_to_thirty_steps_within_the_series() -> None:
    rng = np.random.default_rng(8)
    lengths = []
    for number, jump in enumerate(_jumps(200, seed=5)):
        at = float(rng.uniform(-5.0, STEPS + 5.0))
        series, begin, end = _crossing(jump, number, at, bool(number % 2))
        assert_physical(series)
        assert 0 <= begin < end <= STEPS
        assert end - begin <= LONGEST_LAYER
        lengths.append(end - begin)
    assert min(lengths) <= 3
    assert max(lengths) >= 15


def test_crossing_of_quasi_perpendicular_shock_has_foot_and_overshoot() -> None:
    jump = _jump_of(False)
    behind = float(np.linalg.norm(jump.downstream.B_nT))
    tops = []
    for seed in range(20):
        series, begin, end = _crossing(jump, seed, 50.0, True)
        tops.append(strengths(series)[begin:end].max() / behind)
        foot = series.Tperp_eV[begin : max(begin + 1, 50)]
        assert foot.max() > jump.upstream.Tperp_eV
    # One that passes within a step is not resolved.
    assert np.median(tops) > 1.05
    assert np.min(tops) >= 1.0 - 1e-3


def test_crossing_inbound_is_outbound_read_backwards() -> None:
    jump = _jump_of(False)
    inbound, begin, end = _crossing(jump, 3, 40.0, True)
    outbound, other_begin, other_end = _crossing(jump, 3, STEPS - 1 - 40.0, False)
    np.testing.assert_allclose(inbound.values(), outbound.values()[::-1])
    assert (other_begin, other_end) == (STEPS - end, STEPS - begin)


def test_crossing_keeps_the_mass_flux_through_the_shock() -> None:
    jump = _jump_of(False)
    series, _, _ = _crossing(jump, 1, 50.0, True)
    flux = series.N_cm3 * (series.V_kms @ jump.normal - jump.speed_kms)
    np.testing.assert_allclose(flux, flux[0], rtol=1e-9)


def test_crossing_of_sides_that_differ_in_length_is_refused() -> None:
    jump = _jump_of(False)
    short = PlasmaSeries.uniform(jump.upstream, 10)
    with pytest.raises(ValueError, match="same steps"):
        shock_crossing(
            np.random.default_rng(0),
            RANGES,
            jump,
            short,
            PlasmaSeries.uniform(jump.downstream, 11),
            5.0,
            True,
        )


def test_shock_of_one_seed_is_the_same() -> None:
    one, other = (
        _crossing(shock_jump(np.random.default_rng(1), RANGES, WIND), 2, 50.0, True)[0] for _ in range(2)
    )
    assert_same(one, other)


def test_shock_of_widened_ranges_is_physical() -> None:
    wide = widened(RANGES, 0.3)
    for number, jump in enumerate(_jumps(100, seed=6, ranges=wide)):
        assert_physical(_crossing(jump, number, 50.0, True, wide)[0])
