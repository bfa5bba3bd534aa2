"""The hodograph fit: what it recovers, and that its error bars are honest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monitor.science.hodograph import Observation, fit, smoothed_model
from monitor.types import FloatArray

BIN_HZ = 1.0 / 7200.0
FREQUENCY_HZ: FloatArray = np.arange(8.0, 720.0, 3.0, dtype=np.float64) * BIN_HZ


def observation(
    resonance_Hz: FloatArray,
    width_Hz: FloatArray,
    half_spacing: FloatArray,
    bins: int = 11,
    error: float = 0.1,
    factor: float = 1.0,
) -> Observation:
    """Noise-free data of p resonances with error bars of `error`."""
    pairs = resonance_Hz.size
    smoothing = np.full(pairs, bins * BIN_HZ)
    phase, log_ratio = smoothed_model(FREQUENCY_HZ, resonance_Hz, width_Hz, half_spacing, smoothing)
    weight = np.full((pairs, FREQUENCY_HZ.size), 1.0 / error**2)
    return Observation(FREQUENCY_HZ, phase, log_ratio + np.log(factor), weight, weight, smoothing)


@pytest.mark.parametrize("bins", [3, 11])
@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_fit_recovers_a_noise_free_resonance(bins: int, factor: float) -> None:
    resonance = np.array([8e-3, 15e-3, 20e-3, 30e-3])
    width, beta = resonance * np.array([0.2, 0.1, 0.3, 0.25]), np.array([0.4, 0.9, 0.2, 1.4])
    fitted = fit(
        observation(resonance, width, beta, bins, factor=factor), resonance * 1.06, width * 0.8, beta * 1.2
    )
    assert fitted.frequency_Hz == pytest.approx(resonance, rel=1e-4)
    assert fitted.width_Hz == pytest.approx(width, rel=1e-4)
    assert fitted.half_spacing == pytest.approx(beta, rel=1e-4)
    assert fitted.chi2 == pytest.approx(0.0, abs=1e-5)
    assert fitted.phase_share == pytest.approx(1.0, abs=1e-4)
    assert fitted.ratio_share == pytest.approx(1.0, abs=1e-4)


def test_sigma_covers_the_truth_as_often_as_it_says() -> None:
    """Independent normal errors on 400 data sets: within one sigma 68 %, within two 95 %, by binomial bounds."""
    pairs, error = 400, 0.12
    resonance = np.full(pairs, 15e-3)
    width, beta = np.full(pairs, 3e-3), np.full(pairs, 0.6)
    # With three bins of smoothing on every third bin the data do not repeat each other.
    clean = observation(resonance, width, beta, bins=3, error=error)
    rng = np.random.default_rng(1)
    noisy = Observation(
        FREQUENCY_HZ,
        clean.phase_rad + rng.normal(0.0, error, clean.phase_rad.shape),
        clean.log_ratio + rng.normal(0.0, error, clean.log_ratio.shape),
        clean.phase_weight,
        clean.ratio_weight,
        clean.smoothing_Hz,
    )
    fitted = fit(noisy, resonance, width, beta)
    pull = (fitted.frequency_Hz - resonance) / fitted.sigma_Hz
    # The disagreement of phase and ratio is part of sigma, so that it may cover more, but never less.
    for sigmas in (1.0, 2.0):
        expected = stats.norm.cdf(sigmas) - stats.norm.cdf(-sigmas)
        assert (np.abs(pull) < sigmas).sum() >= stats.binom.ppf(0.001, pairs, expected)
    assert np.abs(pull.mean()) < 4.0 / np.sqrt(pairs)
    assert pull.std() > 0.5


def test_sigma_says_when_phase_and_ratio_disagree() -> None:
    one = np.array([15e-3])
    phase = observation(one, 0.2 * one, np.array([0.6]))
    ratio = observation(1.15 * one, 0.2 * one, np.array([0.6]))
    torn = Observation(
        FREQUENCY_HZ,
        phase.phase_rad,
        ratio.log_ratio,
        phase.phase_weight,
        phase.ratio_weight,
        phase.smoothing_Hz,
    )
    agreed = fit(phase, one, 0.2 * one, np.array([0.6]))
    disagreed = fit(torn, one, 0.2 * one, np.array([0.6]))
    assert disagreed.sigma_Hz[0] > 2.0 * agreed.sigma_Hz[0]
    assert disagreed.sigma_Hz[0] > 0.3 * 0.15 * one[0]


def test_smoothing_widens_and_lowers_a_narrow_peak() -> None:
    one, width, beta = np.array([15e-3]), np.array([0.6e-3]), np.array([0.8])
    sharp, _ = smoothed_model(FREQUENCY_HZ, one, width, beta, np.array([1e-9]))
    broad, _ = smoothed_model(FREQUENCY_HZ, one, width, beta, np.array([11 * BIN_HZ]))
    assert sharp.max() == pytest.approx(2 * np.arctan(0.8), abs=0.05)  # no bin stands at the peak itself
    assert broad.max() < 0.9 * sharp.max()


def test_model_turns_its_sign_where_the_stations_are_swapped() -> None:
    one = np.array([15e-3])
    seen = observation(one, 0.2 * one, np.array([0.6]))
    turned = seen.rows(np.array([0]), np.array([True]))
    assert np.array_equal(turned.phase_rad, -seen.phase_rad)
    assert np.array_equal(turned.log_ratio, -seen.log_ratio)


def test_fit_of_a_pair_does_not_depend_on_its_company() -> None:
    resonance = np.linspace(8e-3, 40e-3, 30)
    rng = np.random.default_rng(2)
    clean = observation(resonance, 0.2 * resonance, np.full(30, 0.5))
    noisy = Observation(
        FREQUENCY_HZ,
        clean.phase_rad + rng.normal(0.0, 0.3, clean.phase_rad.shape),
        clean.log_ratio,
        clean.phase_weight,
        clean.ratio_weight,
        clean.smoothing_Hz,
    )
    start = (1.1 * resonance, 0.3 * resonance, np.full(30, 0.4))
    together = fit(noisy, *start)
    for row in (0, 13, 29):
        rows = np.array([row])
        alone = fit(noisy.rows(rows), *(values[rows] for values in start))
        assert alone.frequency_Hz[0] == pytest.approx(together.frequency_Hz[row], rel=1e-9)
        assert alone.sigma_Hz[0] == pytest.approx(together.sigma_Hz[row], rel=1e-6)


def test_fit_without_any_weight_says_that_it_knows_nothing() -> None:
    one = np.array([15e-3])
    seen = observation(one, 0.2 * one, np.array([0.5]))
    blind = seen.windowed(np.zeros_like(seen.phase_weight))
    fitted = fit(blind, one, 0.2 * one, np.array([0.5]))
    assert np.isfinite(fitted.frequency_Hz).all()
    assert fitted.sigma_Hz[0] > 10.0 * one[0]
    assert fitted.dof[0] == 1.0
