"""Power laws through densities against exact ones, against least squares, and with wild densities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.science.profile import carpenter_anderson_1992, moldwin_2002, power_law

L_SHELL = np.array([6.3, 5.7, 5.1, 4.6, 4.1, 3.7, 3.3, 2.9, 2.6])
SIGMA = np.full(L_SHELL.size, 0.1)


def test_power_law_is_exact_for_an_exact_one() -> None:
    fit = power_law(L_SHELL, 310.0 * (L_SHELL / 4.0) ** -3.7, SIGMA)
    assert fit is not None
    assert fit.exponent == pytest.approx(3.7, abs=1e-9)
    assert fit.density_at_l4_amu_cm3 == pytest.approx(310.0, rel=1e-9)
    assert fit.exponent_low < 3.7 < fit.exponent_high
    assert fit.pairs == L_SHELL.size


def test_power_law_is_near_least_squares_for_normal_errors() -> None:
    random = np.random.default_rng(3)
    ln_density = math.log(200.0) - 4.0 * np.log(L_SHELL / 4.0) + 0.1 * random.standard_normal(L_SHELL.size)
    fit = power_law(L_SHELL, np.exp(ln_density), SIGMA)
    assert fit is not None
    slope = np.polyfit(np.log(L_SHELL), ln_density, 1)[0]
    assert fit.exponent == pytest.approx(-slope, abs=0.1)


def test_power_law_holds_the_exponent_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        noise = 0.2 * random.standard_normal(L_SHELL.size)
        fit = power_law(L_SHELL, np.exp(5.0 - 4.0 * np.log(L_SHELL / 4.0) + noise), 2.0 * SIGMA)
        assert fit is not None
        held += fit.exponent_low <= 4.0 <= fit.exponent_high
    assert 0.85 <= held / 300 <= 0.99


@pytest.mark.parametrize("pair", range(L_SHELL.size))
def test_power_law_bears_one_wild_density(pair: int) -> None:
    density = 310.0 * (L_SHELL / 4.0) ** -3.7 * np.exp(0.05 * np.cos(9.0 * L_SHELL))
    density[pair] *= 12.0
    fit = power_law(L_SHELL, density, SIGMA)
    assert fit is not None
    assert fit.exponent == pytest.approx(3.7, abs=0.3)


def test_power_law_leaves_out_what_is_unknown() -> None:
    density = 310.0 * (L_SHELL / 4.0) ** -3.7
    density[0], density[3], density[5] = np.nan, 0.0, -4.0
    fit = power_law(L_SHELL, density, np.full(L_SHELL.size, np.nan))
    assert fit is not None
    assert (fit.pairs, round(fit.exponent, 6)) == (6, 3.7)


def test_power_law_needs_three_places() -> None:
    assert power_law(L_SHELL[:2], L_SHELL[:2], SIGMA[:2]) is None
    same = np.array([4.0, 4.0, 3.0, 3.0])
    assert power_law(same, same, SIGMA[:4]) is None
    assert power_law(L_SHELL[:3], L_SHELL[:3], SIGMA[:3]) is not None


def test_power_law_refuses_arrays_of_different_shapes() -> None:
    with pytest.raises(ValueError, match=r"shapes \(9,\), \(8,\), \(9,\) must be the same"):
        power_law(L_SHELL, L_SHELL[1:], SIGMA)


def test_empirical_plasmapauses_have_the_published_numbers() -> None:
    assert carpenter_anderson_1992(0.0) == 5.6
    assert carpenter_anderson_1992(6.0) == pytest.approx(2.84)
    assert moldwin_2002(0.0) == 5.39
    assert moldwin_2002(6.0) == pytest.approx(3.098)


@pytest.mark.parametrize("kp", [-0.1, 9.1, math.nan])
def test_empirical_plasmapauses_refuse_what_is_no_kp(kp: float) -> None:
    for model in (carpenter_anderson_1992, moldwin_2002):
        with pytest.raises(ValueError, match=f"Kp must lie between 0 and 9, not {kp}"):
            model(kp)
