"""The power of each station: its level by an independent computation, and what silence and the ends give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from monitor.science.spectra import POWER_BINS, SpectrumParameters, log_powers, station_spectra
from monitor.types import FloatArray

LENGTH_S = 7200.0
BINS = SpectrumParameters().bins(LENGTH_S)
LAST = int(BINS[-1]) + POWER_BINS


def powers(values: FloatArray, step_s: float = 1.0) -> FloatArray:
    """Logarithms of power of two-hour records, shape (s, f)."""
    return log_powers(station_spectra(np.diff(values), LAST), BINS, LENGTH_S, step_s).astype(np.float64)


def smooth(power: FloatArray) -> FloatArray:
    """Means of five bins about each wanted one, where `power` begins at bin 0."""
    half = POWER_BINS // 2
    return np.array([power[k - half : k + half + 1].mean() for k in BINS])


def test_white_noise_is_flat_once_the_difference_is_undone() -> None:
    values = np.random.default_rng(1).normal(size=(300, 7200))
    mean = np.log(np.exp(powers(values)).mean(axis=0))
    # 300 records of about 2.6 independent averages: 0.036 a bin.
    assert np.abs(mean - mean.mean()).max() < 0.2
    slope = np.polyfit(np.log(BINS), mean, 1)[0]
    assert slope == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("step_s", [1.0, 10.0])
def test_level_is_that_of_the_periodogram(step_s: float) -> None:
    """Times 3/16 of the length: what a Hann taper leaves of a density, whatever the step."""
    count = int(LENGTH_S / step_s)
    values = np.random.default_rng(2).normal(size=(3, count))
    found = powers(values, step_s)
    for row, record in enumerate(values):
        _, density = signal.periodogram(record, fs=1.0 / step_s, window="hann", detrend="linear")
        if density.size <= LAST:
            density = np.pad(density, (0, LAST + 1 - density.size))
        wanted = smooth(density * 3.0 / 16.0 * LENGTH_S)
        inside = (step_s / LENGTH_S * (BINS + POWER_BINS)) < 0.5
        assert inside.sum() > 300
        # Tapered before or after the difference: the same but for a thousandth of a neighbouring bin.
        assert found[row, inside] == pytest.approx(np.log(wanted[inside]), abs=0.1)
        assert np.median(np.abs(found[row, inside] - np.log(wanted[inside]))) < 0.01


@pytest.mark.parametrize("step_s", [1.0, 10.0])
@pytest.mark.parametrize("k", [20, 144, 300])
def test_power_of_a_sine_lies_about_its_bin(step_s: float, k: int) -> None:
    amplitude = 0.7
    times = step_s * np.arange(int(LENGTH_S / step_s))
    found = powers(amplitude * np.sin(2.0 * np.pi * k / LENGTH_S * times)[None], step_s)[0]
    # A Hann taper halves the coefficient and puts half of it on either neighbour: 1 + 2/4 in all.
    level = (amplitude * LENGTH_S / 4.0) ** 2 * 1.5 / POWER_BINS
    at = int(k - BINS[0])
    assert found[at - 1 : at + 2] == pytest.approx(np.log(level), abs=0.05)
    assert found[at - 10] < np.log(level) - 8.0
    assert found[at + 10] < np.log(level) - 8.0


def test_sum_of_power_is_the_variance() -> None:
    """Parseval: twice the sum over the bins, over the length squared and the taper's 3/8, is the mean square."""
    rng = np.random.default_rng(3)
    times, inner = np.arange(7200.0), np.arange(40, 600, 7)
    waves = np.cos(2.0 * np.pi * np.outer(times, inner) / LENGTH_S + rng.uniform(0.0, 6.3, inner.size))
    record = waves @ rng.uniform(0.5, 1.5, inner.size)
    power = np.exp(powers(record[None])[0])
    taper = np.hanning(7199)
    variance = np.average((record - record.mean())[1:] ** 2, weights=taper**2)
    assert 2.0 * power.sum() / LENGTH_S**2 * (8.0 / 3.0) == pytest.approx(variance, rel=0.01)


def test_low_bins_mirror_about_zero() -> None:
    coefficients = station_spectra(np.diff(np.cumsum(np.random.default_rng(4).normal(size=(2, 7200)), 1)), 40)
    bins = np.arange(1, 30)
    found = np.exp(log_powers(coefficients, bins, LENGTH_S, 1.0))
    undone = 2.0 * np.abs(np.sin(np.pi * np.maximum(np.arange(40), 1) / LENGTH_S))
    power = np.abs(coefficients[:, :40]) ** 2 / undone**2
    assert found[:, 0] == pytest.approx(power[:, [1, 0, 1, 2, 3]].mean(axis=1))
    assert found[:, 1] == pytest.approx(power[:, :5].mean(axis=1))
    assert found[:, 9] == pytest.approx(power[:, 8:13].mean(axis=1))


def test_scale_is_added_to_the_logarithm() -> None:
    values = np.random.default_rng(5).normal(size=(1, 7200))
    assert powers(7.0 * values) - powers(values) == pytest.approx(np.full((1, BINS.size), 2.0 * np.log(7.0)))


def test_silence_is_unknown_and_no_warning() -> None:
    values = np.stack([np.zeros(7200), np.random.default_rng(6).normal(size=7200)])
    found = powers(values)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_bins_beyond_nyquist_are_unknown() -> None:
    values = np.random.default_rng(7).normal(size=(2, 720)).astype(np.float32)
    found = powers(values, 10.0)
    beyond = 360 + POWER_BINS // 2 + 1 - int(BINS[0])
    assert np.isfinite(found[:, :beyond]).all()
    assert np.isnan(found[:, beyond:]).all()


def test_station_does_not_depend_on_its_company_to_the_last_bit() -> None:
    values = np.random.default_rng(8).normal(size=(20, 7200)).astype(np.float32)
    together = powers(values)
    for row in (0, 7, 19):
        assert np.array_equal(powers(values[row : row + 1])[0], together[row])


def test_spectra_that_end_too_early_are_an_error() -> None:
    coefficients = station_spectra(np.ones((1, 719)), int(BINS[-1]) + 1)
    with pytest.raises(IndexError, match=rf"end at bin {BINS[-1] + 1}, but {BINS[-1] + 2} is needed"):
        log_powers(coefficients, BINS, LENGTH_S, 10.0)
