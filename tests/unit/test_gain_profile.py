"""The profile of gains: what the search finds is its top, and exchanged stations exchange its two sides."""

from __future__ import annotations

import numpy as np
import pytest
from flr_kit import FREQUENCY_HZ, blank, resonant, swapped

from monitor.science.bank import Candidates, search
from monitor.science.features import PairSpectra
from monitor.science.resonance import expected_frequency_Hz, observe, search_band_Hz
from monitor.types import FloatArray, GainProfile

SHELLS = np.array([1.6, 1.9, 2.4, 2.9, 3.6, 4.4, 5.2, 6.2])


def pairs(*, error: float = 0.3, turned: bool = False) -> PairSpectra:
    centres = expected_frequency_Hz(SHELLS) * np.exp(np.linspace(-0.3, 0.3, SHELLS.size))
    return resonant(SHELLS, centres, error=error, turned=turned, seed=2)


def searched(spectra: PairSpectra) -> tuple[Candidates, GainProfile]:
    observed = observe(
        spectra.frequency_Hz,
        spectra.cross_phase_rad,
        spectra.amplitude_ratio,
        spectra.coherence,
        spectra.smoothing_bins,
    )
    return search(observed, *search_band_Hz(spectra.l_shell))


def inside_band(profile: GainProfile, l_shell: FloatArray) -> np.ndarray:
    lowest, highest = search_band_Hz(l_shell)
    return (profile.frequency_Hz >= lowest[:, None]) & (profile.frequency_Hz <= highest[:, None])


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("error", [0.0, 0.3])
def test_top_of_the_profile_within_the_band_is_the_best_candidate(error: float, turned: bool) -> None:
    spectra = pairs(error=error, turned=turned)
    best, profile = searched(spectra)
    gain = np.where(inside_band(profile, SHELLS), profile.gain, -np.inf)
    assert gain.max(axis=(0, 2)) == pytest.approx(best.gain, rel=1e-6)
    for pair in range(SHELLS.size):
        side, at = np.unravel_index(int(gain[:, pair].argmax()), gain[:, pair].shape)
        assert profile.frequency_Hz[at] == best.resonance_Hz[pair]
        assert bool(side) == best.reversed[pair]
        width = np.exp(profile.log_width[side, pair, at]) * best.resonance_Hz[pair]
        assert width == pytest.approx(best.width_Hz[pair], rel=1e-5)
        assert np.exp(profile.log_half_spacing[side, pair, at]) == pytest.approx(
            best.half_spacing[pair], rel=1e-5
        )


def test_side_of_the_profile_is_that_of_the_resonance() -> None:
    for turned in (False, True):
        profile = pairs(error=0.0, turned=turned).seen.profile
        upright, reversed_ = np.nanmax(profile.gain, axis=2)
        assert ((reversed_ > upright) == turned).all()


def test_exchanged_stations_exchange_upright_and_reversed() -> None:
    one, other = pairs().seen.profile, swapped(pairs()).seen.profile
    assert np.array_equal(one.frequency_Hz, other.frequency_Hz)
    np.testing.assert_allclose(one.gain, other.gain[::-1], rtol=1e-4, atol=1e-3)
    # Two models may gain the same to the last digit; then either may be named.
    assert (one.log_width == other.log_width[::-1])[np.isfinite(one.gain)].mean() > 0.999


def test_profile_begins_below_the_band_and_ends_with_it() -> None:
    profile = pairs().seen.profile
    lowest, highest = search_band_Hz(SHELLS)
    tried = np.isfinite(profile.gain)
    wanted = (profile.frequency_Hz >= 0.7 * lowest[:, None]) & (profile.frequency_Hz <= highest[:, None])
    assert np.array_equal(tried[0], wanted)
    assert np.array_equal(tried[1], wanted)
    assert (tried[0] & ~inside_band(profile, SHELLS)).any()
    assert np.array_equal(tried, np.isfinite(profile.log_width))


def test_frequencies_are_a_geometric_series_within_the_spectrum() -> None:
    frequency = pairs().seen.profile.frequency_Hz
    assert np.diff(np.log(frequency)) == pytest.approx(np.log(1.04))
    assert FREQUENCY_HZ[0] < frequency[0] < frequency[-1] < FREQUENCY_HZ[-1]


def test_top_of_a_clean_profile_is_within_a_step_of_the_resonance() -> None:
    centres = expected_frequency_Hz(SHELLS)
    profile = resonant(SHELLS, centres).seen.profile
    top = profile.frequency_Hz[np.nanargmax(profile.gain[0], axis=1)]
    assert np.abs(np.log(top / centres)).max() < np.log(1.04)


def test_masked_spectra_gain_nothing() -> None:
    profile = blank(2).seen.profile
    tried = np.isfinite(profile.gain)
    assert tried.any()
    assert (profile.gain[tried] == 0.0).all()


def test_rows_of_a_profile_are_those_of_the_pairs() -> None:
    profile = pairs().seen.profile
    chosen = np.array([6, 1])
    some = profile.rows(chosen)
    for name in ("gain", "log_width", "log_half_spacing"):
        assert np.array_equal(getattr(some, name), getattr(profile, name)[:, chosen], equal_nan=True)
    assert some.frequency_Hz is profile.frequency_Hz
