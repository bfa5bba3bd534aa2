"""Clock offsets from the ramp of the cross-phase."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.science.hodograph import Observation
from monitor.science.timing import timing_offset
from monitor.types import FloatArray

FREQUENCY_HZ: FloatArray = np.arange(8.0, 720.0, 3.0, dtype=np.float64) / 7200.0
SMOOTHING_HZ = 11 / 7200.0


def ramp(offset_s: float, noise_rad: float = 0.2, told: float = 0.1, seed: int = 1) -> Observation:
    """One pair with a straight ramp, coherent up to `told` (Hz)."""
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * FREQUENCY_HZ * offset_s + rng.normal(0.0, noise_rad, FREQUENCY_HZ.size)
    wrapped = np.remainder(phase + np.pi, 2 * np.pi) - np.pi
    weight = np.where(told > FREQUENCY_HZ, 1.0 / (max(noise_rad, 0.05) ** 2 * 11 / 3), 0.0)
    row = np.zeros((1, FREQUENCY_HZ.size))
    return Observation(
        FREQUENCY_HZ,
        wrapped[None, :] * (weight > 0),
        row,
        weight[None, :],
        row,
        np.array([SMOOTHING_HZ]),
    )


@pytest.mark.parametrize("offset_s", [-10.0, -5.3, -2.8, -0.05, 0.0, 0.4, 2.8, 7.77, 10.0])
def test_offset_is_recovered_with_its_sign_and_within_its_error(offset_s: float) -> None:
    found = timing_offset(ramp(offset_s))
    assert abs(found.offset_s[0] - offset_s) < 4.0 * found.sigma_s[0]
    assert found.sigma_s[0] < 0.15
    assert found.scatter[0] < 2.0
    assert found.bandwidth_Hz[0] == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("offset_s", [-10.0, 2.8, 10.0])
def test_offset_without_noise_is_exact(offset_s: float) -> None:
    found = timing_offset(ramp(offset_s, noise_rad=0.0))
    assert found.offset_s[0] == pytest.approx(offset_s, abs=1e-9)


def test_narrow_band_says_its_width_and_a_larger_error() -> None:
    wide, narrow = timing_offset(ramp(2.8)), timing_offset(ramp(2.8, told=0.02))
    assert narrow.bandwidth_Hz[0] < 0.025
    assert narrow.sigma_s[0] > 3.0 * wide.sigma_s[0]


def test_phase_that_is_no_ramp_shows_in_the_scatter() -> None:
    seen = ramp(0.0, noise_rad=0.1)
    bent = np.sin(FREQUENCY_HZ / 0.005)[None, :]
    found = timing_offset(
        Observation(
            FREQUENCY_HZ, bent, seen.log_ratio, seen.phase_weight, seen.ratio_weight, seen.smoothing_Hz
        )
    )
    assert found.scatter[0] > 10.0


def test_pair_without_coherence_has_no_offset() -> None:
    found = timing_offset(ramp(2.8, told=0.0))
    assert np.isnan(found.offset_s[0])
    assert np.isinf(found.sigma_s[0])
    assert found.bandwidth_Hz[0] == 0.0


def test_offset_error_is_honest_over_many_seeds() -> None:
    """Independent errors on every bin, scaled as such: 95 % within two sigma, by a binomial bound."""
    rng = np.random.default_rng(3)
    pairs, noise = 500, 0.3
    phase = 2 * np.pi * FREQUENCY_HZ * 1.7 + rng.normal(0.0, noise, (pairs, FREQUENCY_HZ.size))
    weight = np.full(phase.shape, noise**-2)
    smoothing = np.full(pairs, 3 / 7200.0)
    found = timing_offset(
        Observation(FREQUENCY_HZ, phase, np.zeros_like(phase), weight, np.zeros_like(phase), smoothing)
    )
    within = (np.abs(found.offset_s - 1.7) < 2.0 * found.sigma_s).mean()
    assert within > 0.9545 - 4.0 * np.sqrt(0.9545 * 0.0455 / pairs)
