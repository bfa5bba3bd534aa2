"""Simulated magnetopause: balance of its sides, what is kept through the layer, jets, and the boundary layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.science.synthetic.craft.inner import Fluctuations, disturbed, total_eV, total_pressure_nPa
from monitor.science.synthetic.craft.magnetopause import (
    MagnetopauseRanges,
    balanced,
    boundary_layer,
    magnetopause_crossing,
)
from monitor.science.synthetic.craft.magnetosphere import (
    MagnetosphereRanges,
    magnetosphere,
    magnetosphere_state,
)
from monitor.science.synthetic.craft.normals import common_normal, normal_direction
from monitor.science.synthetic.craft.series import PlasmaSeries, State, alfven_speed_kms
from monitor.science.synthetic.craft.widening import widened
from monitor.science.synthetic.ranges import Range
from monitor.types import FloatArray

_RANGES = MagnetopauseRanges()
_SPHERE = MagnetosphereRanges()
_PLAIN = replace(
    _RANGES,
    thickness_km=Range(1800.0, 1800.0),
    normal_kms=Range(40.0, 40.0),
    ragged_probability=0.0,
    jet_probability=0.0,
    layer_waves=Range(1e-9, 1e-9),
)
"""A layer of 45 s, ten steps, and nothing else."""


def _sheath_state(rng: np.random.Generator) -> State:
    field = rng.standard_normal(3)
    field *= rng.uniform(8.0, 40.0) / np.linalg.norm(field)
    flow = np.array([rng.uniform(-250.0, -20.0), rng.normal(0.0, 120.0), rng.normal(0.0, 60.0)])
    heat = rng.uniform(50.0, 500.0)
    return State(field, float(np.exp(rng.uniform(1.0, 3.7))), flow, 0.9 * heat, 1.2 * heat)


def _states(seed: int) -> tuple[State, State]:
    rng = np.random.default_rng(seed)
    return balanced(rng, _sheath_state(rng), magnetosphere_state(rng, _SPHERE))


def _uniform(seed: int, steps: int = 120) -> tuple[State, State, PlasmaSeries, PlasmaSeries]:
    outside, inside = _states(seed)
    return outside, inside, PlasmaSeries.uniform(outside, steps), PlasmaSeries.uniform(inside, steps)


def _alive(
    rng: np.random.Generator, seed: int, steps: int
) -> tuple[State, State, PlasmaSeries, PlasmaSeries]:
    outside, inside = _states(seed)
    how = Fluctuations(0.2, 0.2, 0.1, 0.05, 0.05, 20.0, -1.3, -0.3, 0.5, 300.0)
    return outside, inside, disturbed(rng, outside, steps, how), magnetosphere(rng, _SPHERE, inside, steps)


def _unit(vector: FloatArray) -> FloatArray:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("seed", range(40))
def test_balanced_sides_have_like_pressures_and_one_normal_field(seed: int) -> None:
    outside, inside = _states(seed)
    assert 0.76 < total_pressure_nPa(inside) / total_pressure_nPa(outside) < 1.31
    normal = common_normal(outside.B_nT, inside.B_nT, outside.V_kms)
    through = float(outside.B_nT @ normal), float(inside.B_nT @ normal)
    assert through[0] == pytest.approx(through[1], abs=1e-6)
    for one in (outside, inside):
        assert abs(through[0]) < 0.5 * np.linalg.norm(one.B_nT)
        assert min(one.N_cm3, one.Tpar_eV, one.Tperp_eV) > 0.0
    shear = np.degrees(np.arccos(np.clip(_unit(outside.B_nT) @ _unit(inside.B_nT), -1.0, 1.0)))
    assert shear > 15.0


def test_balanced_sphere_keeps_a_field_that_a_magnetosphere_has() -> None:
    rng = np.random.default_rng(0)
    for factor in (1e-3, 1.0, 1e3):
        sheath = _sheath_state(rng)
        sheath = replace(sheath, N_cm3=sheath.N_cm3 * factor)
        outside, inside = balanced(rng, sheath, magnetosphere_state(rng, _SPHERE))
        assert 11.9 < np.linalg.norm(inside.B_nT) < 151.0
        assert 0.76 < total_pressure_nPa(inside) / total_pressure_nPa(outside) < 1.31


def test_normal_direction_is_across_fields_and_flow_and_points_outward() -> None:
    normal = normal_direction(
        np.array([0.0, 10.0, 0.0]), np.array([0.0, 0.0, 50.0]), np.array([-5.0, 80.0, 0.0])
    )
    np.testing.assert_allclose(normal, (1.0, 0.0, 0.0), atol=0.1)
    sunward = normal_direction(np.array([0.0, 10.0, 0.0]), np.array([0.0, 0.0, 50.0]), np.zeros(3))
    np.testing.assert_allclose(sunward, (1.0, 0.0, 0.0), atol=1e-9)


@pytest.mark.parametrize("rotation", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_crossing_keeps_the_normal_field(seed: int, rotation: float) -> None:
    outside, inside, sheath, sphere = _uniform(seed)
    ranges = replace(_PLAIN, rotation_share=Range(rotation, rotation))
    series, begin, end, _, _ = magnetopause_crossing(
        np.random.default_rng(seed), ranges, sheath, sphere, 60.0, True, False
    )
    normal = common_normal(outside.B_nT, inside.B_nT, outside.V_kms)
    through = series.B_nT @ normal
    np.testing.assert_allclose(through, through[0], atol=1e-6)
    magnitude = np.linalg.norm(series.B_nT, axis=1)
    if rotation == 1.0:
        assert magnitude[begin:end].min() > 0.95 * min(magnitude[0], magnitude[-1])


def test_crossing_of_opposite_fields_dips_where_it_does_not_turn() -> None:
    outside, inside, sheath, sphere = _uniform(3)
    sheath = replace(sheath, B_nT=np.tile(-inside.B_nT, (120, 1)))
    ranges = replace(_PLAIN, rotation_share=Range(0.0, 0.0))
    series, begin, end, _, _ = magnetopause_crossing(
        np.random.default_rng(0), ranges, sheath, sphere, 60.0, True, False
    )
    magnitude = np.linalg.norm(series.B_nT, axis=1)
    assert magnitude[begin:end].min() < 0.2 * magnitude[0]
    assert outside.N_cm3 > 0.0


@pytest.mark.parametrize("inbound", [True, False])
def test_crossing_layer_holds_the_change_of_field(inbound: bool) -> None:
    outside, inside, sheath, sphere = _uniform(5)
    series, begin, end, low, high = magnetopause_crossing(
        np.random.default_rng(5), _PLAIN, sheath, sphere, 60.3, inbound, False
    )
    assert low == high == end
    assert 9 <= end - begin <= 11
    assert begin <= 60 < end
    first, last = (outside, inside) if inbound else (inside, outside)
    change = float(np.linalg.norm(inside.B_nT - outside.B_nT))
    before, after = series.B_nT[:begin], series.B_nT[end:]
    largest = max(np.linalg.norm(outside.B_nT), np.linalg.norm(inside.B_nT))
    assert np.linalg.norm(before - first.B_nT, axis=1).max() < 0.05 * (change + np.pi * largest)
    assert np.linalg.norm(after - last.B_nT, axis=1).max() < 0.05 * (change + np.pi * largest)
    assert series.N_cm3[0] == pytest.approx(first.N_cm3, rel=1e-3)
    assert series.N_cm3[-1] == pytest.approx(last.N_cm3, rel=1e-3)
    middle = np.linalg.norm(series.B_nT[(begin + end) // 2] - first.B_nT)
    assert middle > 0.25 * change


@pytest.mark.parametrize("inbound", [True, False])
def test_crossing_ends_are_the_sides_as_they_came(inbound: bool) -> None:
    rng = np.random.default_rng(6)
    _, _, sheath, sphere = _alive(rng, 6, 300)
    series, *_ = magnetopause_crossing(rng, _PLAIN, sheath, sphere, 150.0, inbound, False)
    first, last = (sheath, sphere) if inbound else (sphere, sheath)
    np.testing.assert_allclose(series.values()[:60], first.values()[:60], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(series.values()[-60:], last.values()[-60:], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_jet_flows_along_the_change_near_the_alfven_speed(seed: int) -> None:
    outside, inside, sheath, sphere = _uniform(seed)
    sphere = replace(sphere, V_kms=sheath.V_kms)
    ranges = replace(_PLAIN, jet_probability=1.0, jet_share=Range(1.0, 1.0), rotation_share=Range(0.0, 0.0))
    series, begin, end, _, _ = magnetopause_crossing(
        np.random.default_rng(seed), ranges, sheath, sphere, 60.0, True, False
    )
    jet = series.V_kms - sheath.V_kms
    along = _unit(inside.B_nT - outside.B_nT)
    np.testing.assert_allclose(jet - np.outer(jet @ along, along), 0.0, atol=1e-6)
    expected = alfven_speed_kms(np.linalg.norm(inside.B_nT - outside.B_nT), outside.N_cm3)
    peak = int(np.abs(jet @ along).argmax())
    assert 0.5 * expected < abs(jet[peak] @ along) <= 1.001 * expected
    assert begin <= peak < end + 15
    assert np.abs(jet[:30]).max() < 1e-2 * expected
    assert np.abs(jet[-10:]).max() < 1e-2 * expected


def test_crossing_with_boundary_layer_lies_it_on_the_inner_side() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        outside, inside, sheath, sphere = _alive(rng, seed, 400)
        inbound = seed % 2 == 0
        _, begin, end, low, high = magnetopause_crossing(rng, _RANGES, sheath, sphere, 200.0, inbound, True)
        assert 0 <= begin < end <= 400
        assert 0 <= low < high <= 400
        assert high - low <= 141
        assert (low == end) if inbound else (high == begin)
        assert outside.N_cm3 != inside.N_cm3


def test_boundary_layer_lies_between_its_sides() -> None:
    between = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        outside, inside, sheath, sphere = _alive(rng, seed, 80)
        if outside.N_cm3 < 5.0 * inside.N_cm3:
            continue
        series = boundary_layer(rng, _RANGES, sheath, sphere, 80)
        assert series.steps == 80
        assert np.median(sphere.N_cm3) < np.median(series.N_cm3) < np.median(sheath.N_cm3)
        between.append(
            np.median(total_eV(sheath)) * 0.8
            < np.median(total_eV(series))
            < np.median(total_eV(sphere)) * 1.5
        )
        turned = _unit(series.B_nT.mean(axis=0)) @ _unit(sphere.B_nT.mean(axis=0))
        assert turned > 0.8
    assert len(between) > 15
    assert np.mean(between) > 0.9


def test_boundary_layer_needs_both_sides_long_enough() -> None:
    rng = np.random.default_rng(1)
    _, _, sheath, sphere = _alive(rng, 1, 40)
    with pytest.raises(
        ValueError, match="a boundary layer of 50 steps needs as many of both sides, got 40 and 40"
    ):
        boundary_layer(rng, _RANGES, sheath, sphere, 50)


def test_crossing_of_unlike_lengths_or_outside_is_refused() -> None:
    rng = np.random.default_rng(1)
    _, _, sheath, sphere = _alive(rng, 1, 40)
    with pytest.raises(ValueError, match="40 and 30 steps"):
        magnetopause_crossing(rng, _RANGES, sheath, sphere.part(0, 30), 10.0, True, False)
    with pytest.raises(ValueError, match="and 40"):
        magnetopause_crossing(rng, _RANGES, sheath, sphere, 40.0, True, False)


def test_rolled_vortices_vary_more_than_a_plain_boundary_layer() -> None:
    plain = replace(_RANGES, rolled_probability=0.0, wave_probability=0.0, plateau_steps=Range(1e4, 1e4))
    rolled = replace(plain, rolled_probability=1.0)
    spreads = []
    for ranges in (plain, rolled):
        found = []
        for seed in range(12):
            rng = np.random.default_rng(seed)
            _, _, sheath, sphere = _alive(rng, seed, 120)
            series = boundary_layer(rng, ranges, sheath, sphere, 120)
            found.append(np.std(np.log(series.N_cm3 / sphere.N_cm3)))
        spreads.append(np.median(found))
    assert spreads[1] > 1.5 * spreads[0]


def test_crossing_is_finite_positive_and_short_for_widened_ranges() -> None:
    wide = widened(_RANGES, 0.3)
    lengths = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        _, _, sheath, sphere = _alive(rng, seed, 200)
        at = float(rng.uniform(0.0, 200.0))
        series, begin, end, low, high = magnetopause_crossing(
            rng, wide, sheath, sphere, at, seed % 2 == 0, seed % 3 > 0
        )
        values = series.values()
        assert np.isfinite(values).all()
        assert values[:, 4].min() > 0.001
        assert values[:, 9:].min() > 1.0
        assert 0 <= begin < end <= 200
        assert 0 <= low <= high <= 200
        lengths.append(end - begin)
    assert min(lengths) == 1
    assert 15 < max(lengths) <= 40


def test_crossing_of_same_seed_is_same() -> None:
    found = []
    for _ in range(2):
        rng = np.random.default_rng(12)
        _, _, sheath, sphere = _alive(rng, 12, 100)
        series, *marks = magnetopause_crossing(rng, _RANGES, sheath, sphere, 50.0, True, True)
        found.append((series.values(), marks))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
