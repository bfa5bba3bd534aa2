"""Densities from frequencies: there and back, with intervals, and which harmonic they may belong to."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from monitor.science.density import (
    density_amu_cm3,
    density_index,
    density_interval,
    frequency_Hz,
    harmonic_verdict,
    plausible_density_amu_cm3,
)
from monitor.science.fieldline import (
    AMU_KG,
    EARTH_RADIUS_M,
    MU_0,
    dipole_modes,
    dipole_unit_frequency_Hz,
    equatorial_field_T,
)
from monitor.types import FloatArray

YEAR = 2017.5


def units_Hz(l_shell: FloatArray, harmonic: int = 1) -> FloatArray:
    """Unit frequencies for m in use and the ends of its range, shape (3, p)."""
    index = density_index(l_shell).stacked()
    return np.stack([dipole_unit_frequency_Hz(l_shell, one, year=YEAR, harmonic=harmonic) for one in index])


def test_inversion_of_a_forward_solution_returns_its_density() -> None:
    """The forward solution is a direct one of the wave equation, with constants written out."""
    rng = np.random.default_rng(2)
    l_shell, density = rng.uniform(1.3, 9.0, 50), 10.0 ** rng.uniform(0.0, 4.0, 50)
    index = rng.uniform(0.0, 6.0, 50)
    for harmonic in (1, 3):
        constant = np.array(
            [dipole_modes(one, m).wave_number[harmonic - 1] for one, m in zip(l_shell, index, strict=True)]
        )
        alfven_m_s = equatorial_field_T(YEAR) / l_shell**3 / np.sqrt(MU_0 * AMU_KG * 1e6 * density)
        forward_Hz = constant * alfven_m_s / (2.0 * math.pi * l_shell * EARTH_RADIUS_M)
        unit_Hz = dipole_unit_frequency_Hz(l_shell, index, year=YEAR, harmonic=harmonic)
        np.testing.assert_allclose(density_amu_cm3(unit_Hz, forward_Hz), density, rtol=1e-6)
        np.testing.assert_allclose(frequency_Hz(unit_Hz, density), forward_Hz, rtol=1e-6)


def test_six_per_cent_of_frequency_are_twelve_of_density() -> None:
    density = density_amu_cm3(np.array([1.0, 1.0]), np.array([0.02, 0.02 * 1.06]))
    assert 1.0 - density[1] / density[0] == pytest.approx(0.11, abs=0.002)


@pytest.mark.parametrize("bad", [0.0, -0.01, math.nan, math.inf])
def test_frequency_that_is_none_gives_no_density(bad: float) -> None:
    assert np.isnan(density_amu_cm3(np.array([0.5]), np.array([bad])))
    assert np.isnan(frequency_Hz(np.array([0.5]), np.array([bad])))
    units, good = np.full((3, 1), 0.5), np.array([0.02])
    for values in (
        (np.array([bad]), good, good),
        (good, np.array([bad]), good),
        (good, good, np.array([bad])),
    ):
        found = density_interval(units, *values)
        assert np.isnan([found.density_amu_cm3, found.low_amu_cm3, found.high_amu_cm3]).all()
    assert np.isnan(density_interval(np.array([[bad], [0.5], [0.5]]), good, good, good).density_amu_cm3)


def test_interval_without_a_range_of_m_is_that_of_the_frequency() -> None:
    found = density_interval(np.full((3, 1), 0.5), np.array([0.02]), np.array([0.019]), np.array([0.022]))
    assert found.density_amu_cm3[0] == pytest.approx((0.5 / 0.02) ** 2)
    assert found.low_amu_cm3[0] == pytest.approx((0.5 / 0.022) ** 2)
    assert found.high_amu_cm3[0] == pytest.approx((0.5 / 0.019) ** 2)


def test_interval_of_an_exact_frequency_is_that_of_m() -> None:
    one = np.array([0.02])
    found = density_interval(np.array([[0.5], [0.52], [0.45]]), one, one, one)
    assert found.low_amu_cm3[0] == pytest.approx((0.45 / 0.02) ** 2)
    assert found.high_amu_cm3[0] == pytest.approx((0.52 / 0.02) ** 2)


def test_interval_adds_both_causes_in_squares() -> None:
    units = np.array([[0.5], [0.5 * math.exp(0.03)], [0.5 * math.exp(-0.03)]])
    frequency = np.array([0.02])
    found = density_interval(units, frequency, frequency * math.exp(-0.04), frequency * math.exp(0.04))
    centre = found.density_amu_cm3[0]
    assert math.log(found.high_amu_cm3[0] / centre) == pytest.approx(0.1)
    assert math.log(found.low_amu_cm3[0] / centre) == pytest.approx(-0.1)


def test_interval_holds_nine_draws_in_ten_of_both_causes() -> None:
    """Frequency with a normal error in its logarithm, m evenly over its range and a tenth beyond."""
    rng = np.random.default_rng(8)
    l_shell = np.array([2.9])
    sigma, drawn = 0.04, 4000
    reach = math.exp(1.645 * sigma)
    read_Hz = 0.02 * np.exp(rng.normal(0.0, sigma, drawn))
    truth_m = rng.uniform(-0.11, 2.11, drawn)
    truth = (dipole_unit_frequency_Hz(np.full(drawn, 2.9), truth_m, year=YEAR) / 0.02) ** 2
    found = density_interval(
        np.repeat(units_Hz(l_shell), drawn, axis=1), read_Hz, read_Hz / reach, read_Hz * reach
    )
    held = ((found.low_amu_cm3 <= truth) & (truth <= found.high_amu_cm3)).mean()
    assert held == pytest.approx(0.9, abs=0.03)


def test_index_is_the_published_one_where_there_is_one() -> None:
    found = density_index(np.array([2.31, 2.9, 3.39]))
    np.testing.assert_array_equal(found.index, 1.0)
    lower = density_index(np.array([1.2, 1.6, 2.0])).index
    assert (lower > 1.0).all()
    assert (np.diff(lower) <= 0.0).all()
    everywhere = density_index(np.linspace(1.2, 20.0, 400))
    assert (everywhere.low < everywhere.index).all()
    assert (everywhere.index < everywhere.high).all()
    assert np.isnan(density_index(np.array([np.nan])).index)


def test_muo_pel_is_ambiguous_with_both_densities() -> None:
    l_shell, frequency = np.full(2, 5.37), np.array([21e-3, 14e-3])
    first, third = (density_amu_cm3(units_Hz(l_shell, harmonic)[0], frequency) for harmonic in (1, 3))
    assert ((first > 3.0) & (first < 12.0)).all()
    assert ((third > 50.0) & (third < 170.0)).all()
    verdict = harmonic_verdict(l_shell, first, third)
    assert verdict.stated.all()
    assert verdict.ambiguous.all()
    assert not verdict.implausible.any()


def test_plasmasphere_at_l_2_9_leaves_no_question() -> None:
    l_shell = np.full(4, 2.9)
    frequency = np.array([20.0, 25.0, 30.0, 35.0]) * 1e-3
    first, third = (density_amu_cm3(units_Hz(l_shell, harmonic)[0], frequency) for harmonic in (1, 3))
    verdict = harmonic_verdict(l_shell, first, third)
    assert verdict.stated.all()
    assert not verdict.ambiguous.any()
    assert not verdict.implausible.any()


def test_verdict_over_the_four_cases() -> None:
    low, high = (float(edge[0]) for edge in plausible_density_amu_cm3(np.array([4.0])))
    first = np.array([low * 2, low * 2, low / 2, low / 20, high * 2, np.nan])
    third = np.array([high * 2, high / 2, low * 5, low / 2, high * 20, np.nan])
    verdict = harmonic_verdict(np.full(6, 4.0), first, third)
    np.testing.assert_array_equal(verdict.stated, [True, True, False, True, True, True])
    np.testing.assert_array_equal(verdict.ambiguous, [False, True, True, False, False, False])
    np.testing.assert_array_equal(verdict.implausible, [False, False, False, True, True, True])


def test_plausible_range_takes_in_models_and_observations() -> None:
    l_shell = np.linspace(1.2, 20.0, 200)
    low, high = plausible_density_amu_cm3(l_shell)
    assert (low * 9.9 < high).all()
    at = {one: plausible_density_amu_cm3(np.array([one])) for one in (2.0, 4.0, 6.6)}
    # Observed near L = 2, doi:10.1016/S1364-6826(99)00066-8; the trough of Carpenter and Anderson (1992), and their full plasmasphere at 1.5 amu.
    assert at[2.0][0] < 3000.0 < 8000.0 < at[2.0][1]
    for one in (4.0, 6.6):
        assert at[one][0] < 7600.0 * one**-4.5
        assert at[one][1] > 1.5 * 10 ** (3.9043 - 0.3145 * one)


@pytest.fixture
def benchmark_script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "density.py"
    spec = importlib.util.spec_from_file_location("benchmark_density", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_benchmark_compares_the_same_waves(
    benchmark_script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark_script.main(["--quick", "--no-check"]) == 0
    told = capsys.readouterr().out
    for line in ("table, when first needed", "batch of 5000", "solve_bvp", "shooting", "stage, 1000 pairs"):
        assert line in told
    for l_shell, index in ((1.6, 3.0), (6.0, 0.5)):
        constant = dipole_modes(l_shell, index, count=1).wave_number[0]
        assert benchmark_script.by_boundary_values(l_shell, index) == pytest.approx(constant, rel=1e-6)
        assert benchmark_script.by_shooting(l_shell, index) == pytest.approx(constant, rel=1e-6)


def test_benchmark_ends_with_exit_code_1_where_its_claim_is_missed(
    benchmark_script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_script, "RATIO", math.inf)
    monkeypatch.setattr(benchmark_script, "findings", lambda _: [])
    assert benchmark_script.main(["--quick"]) == 1
    assert "MISSED" in capsys.readouterr().out
