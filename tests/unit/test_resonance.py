"""The physical estimate: what it finds, what it invents, and what it says of clocks."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from monitor.science.conditioning import ConditioningParameters, condition
from monitor.science.resonance import (
    PhysicalEstimate,
    ResonanceParameters,
    estimate,
    expected_frequency_Hz,
    search_band_Hz,
)
from monitor.science.spectra import (
    SpectrumParameters,
    above_nyquist_share,
    cross_spectra,
    smoothing_for_frequency,
    station_spectra,
)
from monitor.types import ComplexArray, FloatArray

LENGTH_S = 7200.0
PARAMETERS = ResonanceParameters()
ORDINARY_L = (1.8, 2.5, 2.9, 3.5, 4.5, 5.4)
APART = ("timing", "profile")
"""Fields of an estimate that are no arrays of one value a pair."""


def waves(rng: np.random.Generator, size: int, pairs: int) -> ComplexArray:
    white: ComplexArray = rng.normal(size=(pairs, size)) + 1j * rng.normal(size=(pairs, size))
    return white


def recorded(
    rng: np.random.Generator,
    response: tuple[ComplexArray, ComplexArray],
    frequency_Hz: FloatArray,
    pairs: int,
    noise: float,
    delay_s: FloatArray,
    step_s: float,
) -> FloatArray:
    """Two hours of p pairs that answer one red source in their own way, with noise of their own, shape (2p, n)."""
    count = int(LENGTH_S / step_s)
    source = waves(rng, frequency_Hz.size, pairs)
    red = 50.0 / np.maximum(frequency_Hz, 1e-3) * np.sqrt(count)
    turn = np.exp(2j * np.pi * delay_s[:, None] * frequency_Hz)
    poleward = (source * response[0] + noise * waves(rng, frequency_Hz.size, pairs)) * red
    equatorward = (source * response[1] + noise * waves(rng, frequency_Hz.size, pairs)) * red * turn
    both = np.stack([poleward, equatorward], axis=1).reshape(2 * pairs, -1)
    # Twice the length is made and the middle kept: a window is no period of what it cuts.
    series: FloatArray = np.fft.irfft(both, 2 * count, axis=1)[:, count // 2 : count // 2 + count]
    return 20_000.0 + 1e-3 * series


def grid(step_s: float) -> FloatArray:
    return np.fft.rfftfreq(int(2 * LENGTH_S / step_s), step_s).astype(np.float64)


def resonances(
    seed: int,
    l_shell: float,
    pairs: int,
    *,
    turned: bool = False,
    delay_s: float = 0.0,
    noise: float = 0.1,
    direct: float = 0.2,
    step_s: float = 1.0,
) -> tuple[FloatArray, float]:
    """Pairs with a resonance at the frequency expected at L, over a direct wave that both see; and its frequency."""
    resonance_Hz = float(expected_frequency_Hz(np.array([l_shell]))[0])
    frequency = grid(step_s)
    u = (frequency - resonance_Hz) / (0.2 * resonance_Hz)
    response = (direct + 1.0 / (1.0 + 1j * (u + 0.6)), direct + 1.0 / (1.0 + 1j * (u - 0.6)))
    rng = np.random.default_rng(seed)
    return (
        recorded(
            rng,
            response[::-1] if turned else response,
            frequency,
            pairs,
            noise,
            np.full(pairs, delay_s),
            step_s,
        ),
        resonance_Hz,
    )


def estimated(values: FloatArray, l_shell: FloatArray, step_s: float = 1.0) -> PhysicalEstimate:
    """Rows 2i and 2i + 1 are the poleward and the equatorward station of pair i."""
    differences, _ = condition(values, np.ones(len(values)), step_s, ConditioningParameters())
    bins = SpectrumParameters().bins(LENGTH_S)
    smoothing = smoothing_for_frequency(expected_frequency_Hz(l_shell), LENGTH_S, 11)
    index = np.arange(len(values)).reshape(-1, 2)
    spectra = cross_spectra(
        station_spectra(differences, int(bins[-1]) + 5), index, smoothing, bins, None, LENGTH_S
    )
    frequency: FloatArray = bins / LENGTH_S
    for array in spectra:
        array[:, above_nyquist_share(frequency, step_s)] = np.nan
    return estimate(frequency, *spectra, smoothing, l_shell, PARAMETERS)


def upper_bound(found: int, tries: int) -> float:
    """Largest rate that would show so few with a chance of 5 % (Clopper–Pearson)."""
    return float(stats.beta.ppf(0.95, found + 1, tries - found))


class TestDetection:
    @pytest.mark.parametrize("l_shell", ORDINARY_L)
    def test_resonance_is_found_at_its_frequency_within_its_error(self, l_shell: float) -> None:
        values, resonance_Hz = resonances(1, l_shell, 20)
        found = estimated(values, np.full(20, l_shell))
        assert (found.accepted & ~found.reversed).sum() >= 18
        assert not found.offset.any()
        pull = (found.frequency_Hz - resonance_Hz) / found.sigma_Hz
        assert (np.abs(pull[found.accepted]) < 2.5).mean() > 0.9
        assert np.median(found.frequency_Hz) == pytest.approx(resonance_Hz, rel=0.06)
        assert (found.cross_phase_rad[found.accepted] > 0.0).all()

    @pytest.mark.parametrize("l_shell", ORDINARY_L)
    def test_reversed_resonance_is_told_and_never_taken_for_a_normal_one(self, l_shell: float) -> None:
        values, _ = resonances(2, l_shell, 20, turned=True)
        found = estimated(values, np.full(20, l_shell))
        assert (found.accepted & found.reversed).sum() >= 16
        assert not (found.accepted & ~found.reversed).any()
        assert (found.cross_phase_rad[found.accepted] < 0.0).all()

    def test_resonance_in_10_s_samples_is_found(self) -> None:
        values, resonance_Hz = resonances(3, 4.5, 20, step_s=10.0)
        found = estimated(values, np.full(20, 4.5), 10.0)
        assert (found.accepted & ~found.reversed).sum() >= 18
        assert np.median(found.frequency_Hz) == pytest.approx(resonance_Hz, rel=0.06)

    def test_resonance_at_an_unknown_l_is_found(self) -> None:
        values, resonance_Hz = resonances(4, 2.9, 20)
        found = estimated(values, np.full(20, np.nan))
        assert (found.accepted & ~found.reversed).sum() >= 18
        assert np.median(found.frequency_Hz) == pytest.approx(resonance_Hz, rel=0.06)

    def test_resonance_that_noise_hides_is_not_claimed(self) -> None:
        values, _ = resonances(5, 2.9, 30, noise=3.0)
        found = estimated(values, np.full(30, 2.9))
        assert found.accepted.sum() <= 1
        assert found.incoherent.sum() >= 28


class TestFalseAlarms:
    def test_coherent_noise_without_a_resonance_is_seldom_taken_for_one(self) -> None:
        """Observed over these 1200 windows: 0 Freq, 0 PBL (upper 95 % bound 0.25 % each); held to 2 % and 0.5 %.

        One source at both stations with another gain and up to 1 s of propagation, at several levels of local noise.
        """
        freq = reverse = tries = 0
        for seed, (step_s, noise) in enumerate([(1.0, 0.1), (1.0, 0.5), (10.0, 0.2), (10.0, 0.8)]):
            pairs = 300
            rng = np.random.default_rng(100 + seed)
            frequency = grid(step_s)
            one = np.ones((1, frequency.size), dtype=np.complex128)
            gain = np.exp(rng.normal(0.0, 0.4, (pairs, 1))) * one
            delay = rng.uniform(-1.0, 1.0, pairs)
            values = recorded(rng, (one, gain), frequency, pairs, noise, delay, step_s)
            found = estimated(values, np.resize([*ORDINARY_L, np.nan], pairs), step_s)
            freq += int((found.accepted & ~found.reversed).sum())
            reverse += int((found.accepted & found.reversed).sum())
            tries += pairs
        assert upper_bound(freq, tries) < 0.02
        assert upper_bound(reverse, tries) < 0.005

    def test_gain_that_changes_with_frequency_alone_is_no_resonance(self) -> None:
        """A step of the amplitude ratio without a phase peak: induction, or another sensor."""
        rng = np.random.default_rng(7)
        frequency = grid(1.0)
        one = np.ones((1, frequency.size), dtype=np.complex128)
        step = (1.0 + 0.5 * np.tanh((frequency - 20e-3) / 4e-3))[None, :] * one
        values = recorded(rng, (one, step), frequency, 60, 0.1, np.zeros(60), 1.0)
        assert not estimated(values, np.full(60, 2.9)).accepted.any()

    def test_independent_noise_is_incoherent(self) -> None:
        values = 20_000.0 + np.cumsum(np.random.default_rng(8).normal(0.0, 0.1, (120, 7200)), axis=1)
        found = estimated(values, np.full(60, 2.9))
        assert not found.accepted.any()
        assert not found.offset.any()
        assert found.incoherent.all()


class TestClockOffsets:
    @pytest.mark.parametrize("delay_s", [-6.0, -2.8, 2.8, 6.0])
    def test_offset_over_a_wide_band_is_flagged_with_its_sign(self, delay_s: float) -> None:
        rng = np.random.default_rng(9)
        frequency = grid(1.0)
        one = np.ones((1, frequency.size), dtype=np.complex128)
        values = recorded(rng, (one, one), frequency, 30, 0.3, np.full(30, delay_s), 1.0)
        found = estimated(values, np.full(30, 1.85))
        assert found.offset.all()
        assert not found.accepted.any()
        assert found.timing.offset_s == pytest.approx(delay_s, abs=0.3)

    def test_small_offset_is_reported_and_not_flagged(self) -> None:
        rng = np.random.default_rng(10)
        frequency = grid(1.0)
        one = np.ones((1, frequency.size), dtype=np.complex128)
        values = recorded(rng, (one, one), frequency, 30, 0.3, np.full(30, 0.8), 1.0)
        found = estimated(values, np.full(30, 2.9))
        assert not found.offset.any()
        assert np.median(found.timing.offset_s) == pytest.approx(0.8, abs=0.1)

    @pytest.mark.parametrize("delay_s", [-2.8, 2.8])
    @pytest.mark.parametrize("l_shell", ORDINARY_L)
    def test_resonance_with_an_offset_is_flagged_and_not_read(self, l_shell: float, delay_s: float) -> None:
        values, _ = resonances(11, l_shell, 20, delay_s=delay_s)
        found = estimated(values, np.full(20, l_shell))
        assert found.offset.sum() >= 19
        assert not found.accepted[found.offset].any()
        assert np.median(found.timing.offset_s) == pytest.approx(delay_s, abs=0.5)

    def test_offset_over_a_narrow_band_is_not_flagged(self) -> None:
        rng = np.random.default_rng(12)
        frequency = grid(1.0)
        fading = (1.0 / (1.0 + (frequency / 8e-3) ** 4))[None, :].astype(np.complex128)
        values = recorded(rng, (fading, fading), frequency, 30, 0.1, np.full(30, 2.8), 1.0)
        found = estimated(values, np.full(30, 2.9))
        assert (found.timing.bandwidth_Hz < PARAMETERS.timing_bandwidth_Hz).all()
        assert not found.offset.any()


class TestSearchBands:
    L_SHELL = np.linspace(1.3, 8.0, 200)

    def test_bands_and_expected_frequency_fall_with_l(self) -> None:
        lowest, highest = search_band_Hz(self.L_SHELL)
        for frequency in (lowest, highest, expected_frequency_Hz(self.L_SHELL)):
            assert (np.diff(frequency) < 0.0).all()

    def test_expected_frequency_lies_within_the_band(self) -> None:
        lowest, highest = search_band_Hz(self.L_SHELL)
        expected = expected_frequency_Hz(self.L_SHELL)
        assert (lowest < expected).all()
        assert (expected < highest).all()

    @pytest.mark.parametrize(
        ("l_shell", "measured_Hz"), [(1.85, 60e-3), (2.9, 20e-3), (5.37, 14e-3), (5.37, 20e-3)]
    )
    def test_band_holds_what_has_been_measured(self, l_shell: float, measured_Hz: float) -> None:
        lowest, highest = search_band_Hz(np.array([l_shell]))
        assert lowest[0] < measured_Hz < highest[0]

    def test_unknown_l_searches_2_to_80_mHz(self) -> None:
        lowest, highest = search_band_Hz(np.array([np.nan]))
        assert (lowest[0], highest[0]) == (2e-3, 80e-3)


def test_estimate_of_a_pair_does_not_depend_on_its_company() -> None:
    values = np.concatenate([resonances(13, l_shell, 3)[0] for l_shell in (1.8, 2.9, 4.5)])
    values[:2] = 20_000.0  # a dead pair among them
    l_shell = np.repeat([1.8, 2.9, 4.5], 3)
    together = estimated(values, l_shell)
    for pair in range(9):
        alone = estimated(values[2 * pair : 2 * pair + 2], l_shell[pair : pair + 1])
        for name in (
            field.name for field in fields(PhysicalEstimate) if field.name not in ("timing", "profile")
        ):
            one, all_of_them = getattr(alone, name)[0], getattr(together, name)[pair]
            if pair or name not in ("frequency_Hz", "sigma_Hz", "cross_phase_rad", "coherence", "evidence"):
                assert one == pytest.approx(all_of_them, rel=1e-6), (pair, name)
        for name in ("gain", "log_width", "log_half_spacing"):
            one, all_of_them = getattr(alone.profile, name)[:, 0], getattr(together.profile, name)[:, pair]
            assert one == pytest.approx(all_of_them, rel=1e-5, nan_ok=True), (pair, name)


def test_estimate_of_masked_spectra_claims_nothing() -> None:
    frequency: FloatArray = SpectrumParameters().bins(LENGTH_S) / LENGTH_S
    nothing = np.full((2, frequency.size), np.nan, dtype=np.float32)
    found = estimate(
        frequency, nothing, nothing, nothing, np.array([11, 3]), np.array([2.9, np.nan]), PARAMETERS
    )
    assert not found.accepted.any()
    assert not found.offset.any()
    assert np.isnan(found.timing.offset_s).all()
