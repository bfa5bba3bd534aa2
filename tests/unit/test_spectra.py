"""Cross-spectra: signs, agreement with the direct path, smoothing, and what silence gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from monitor.science.conditioning import ConditioningParameters, condition
from monitor.science.spectra import (
    SpectrumParameters,
    above_nyquist_share,
    cross_spectra,
    independent_averages,
    smoothing_for_frequency,
    station_spectra,
)
from monitor.stages.spectrum import SpectrumStage
from monitor.types import SECOND_NS, ComplexArray, FloatArray, IntArray, Pair, WindowBatch

COUNT = 7200
BINS = SpectrumParameters().bins(COUNT)
FREQUENCY_HZ = BINS / COUNT


def coloured(seed: int, stations: int) -> FloatArray:
    """Red noise at 20,000 nT with a common part, shape (stations, COUNT)."""
    rng = np.random.default_rng(seed)
    common = np.cumsum(rng.normal(0.0, 0.05, COUNT))
    own = np.cumsum(rng.normal(0.0, 0.02, (stations, COUNT)), axis=1)
    return 20_000.0 + np.arange(stations)[:, None] * 1e3 + common + own


def resonant_pair(resonance_Hz: float, turned: bool = False, noise: float = 0.02) -> FloatArray:
    """Poleward and equatorward station about a resonance, H = 1 / (1 + iζ), shape (2, COUNT)."""
    rng = np.random.default_rng(5)
    frequency = np.fft.rfftfreq(2 * COUNT, 1.0)
    u = (frequency - resonance_Hz) / (0.25 * resonance_Hz)
    red = 1e3 / np.maximum(frequency, 1e-4)

    def white() -> ComplexArray:
        return rng.normal(size=frequency.size) + 1j * rng.normal(size=frequency.size)

    source = white()
    below, above = 1.0 / (1.0 + 1j * (u + 0.7)), 1.0 / (1.0 + 1j * (u - 0.7))
    rows = (above, below) if turned else (below, above)
    series = [np.fft.irfft((source * h + noise * white()) * red, 2 * COUNT)[:COUNT] for h in rows]
    return 20_000.0 + np.stack(series)


def spectra_of(
    values: FloatArray, index: IntArray | None = None, width: int = 11, dtype: type = np.float32
) -> tuple[FloatArray, FloatArray, FloatArray]:
    index = np.array([[0, 1]]) if index is None else index
    if dtype is np.float32:
        differences, _ = condition(values, np.ones(len(values)), 1.0, ConditioningParameters())
        coefficients = station_spectra(differences, int(BINS[-1]) + 50)
    else:
        coefficients = station_spectra(np.diff(values), int(BINS[-1]) + 50)
    phase, ratio, coherence = cross_spectra(coefficients, index, np.full(len(index), width), BINS)
    return phase, ratio, coherence  # type: ignore[return-value]


def direct(pole: FloatArray, equator: FloatArray, width: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The same through scipy in double precision: one Hann segment, then a plain running mean."""
    p, e = np.diff(pole), np.diff(equator)
    taper = np.hanning(COUNT - 1)

    def spectrum(x: FloatArray, y: FloatArray) -> ComplexArray:
        # The stubs leave out that a window may be an array.
        _, cross = signal.csd(x, y, window=taper, nperseg=COUNT - 1, nfft=COUNT, detrend="constant")  # type: ignore[call-overload]
        return np.asarray(cross, dtype=np.complex128)

    half = width // 2

    def smooth(values: ComplexArray) -> ComplexArray:
        values[0] = 0.0
        return np.array([values[max(0, k - half) : k + half + 1].sum() for k in BINS])

    cross = smooth(spectrum(p, e))
    pp, ee = (np.abs(smooth(spectrum(x, x))).astype(np.float64) for x in (p, e))
    coherence: FloatArray = np.abs(cross) ** 2 / (pp * ee)
    phase: FloatArray = np.angle(cross).astype(np.float64)
    return phase, np.sqrt(ee / pp), coherence


class TestSigns:
    def test_normal_resonance_is_a_maximum_and_the_ratio_rises_through_one(self) -> None:
        phase, ratio, _ = spectra_of(resonant_pair(0.02))
        near = (FREQUENCY_HZ > 0.012) & (FREQUENCY_HZ < 0.03)
        assert FREQUENCY_HZ[near][phase[0, near].argmax()] == pytest.approx(0.02, abs=1.5e-3)
        assert phase[0, near].max() == pytest.approx(2 * np.arctan(0.7), abs=0.15)
        assert ratio[0, np.abs(FREQUENCY_HZ - 0.016).argmin()] < 0.8
        assert ratio[0, np.abs(FREQUENCY_HZ - 0.020).argmin()] == pytest.approx(1.0, abs=0.15)
        assert ratio[0, np.abs(FREQUENCY_HZ - 0.024).argmin()] > 1.25

    def test_reversed_resonance_is_a_minimum_and_the_ratio_falls(self) -> None:
        phase, ratio, _ = spectra_of(resonant_pair(0.02, turned=True))
        near = (FREQUENCY_HZ > 0.012) & (FREQUENCY_HZ < 0.03)
        assert FREQUENCY_HZ[near][phase[0, near].argmin()] == pytest.approx(0.02, abs=1.5e-3)
        assert ratio[0, np.abs(FREQUENCY_HZ - 0.016).argmin()] > 1.25
        assert ratio[0, np.abs(FREQUENCY_HZ - 0.024).argmin()] < 0.8

    def test_swapped_stations_reverse_phase_and_ratio(self) -> None:
        values = resonant_pair(0.02)
        phase, ratio, coherence = spectra_of(values, np.array([[0, 1], [1, 0]]))
        assert phase[1] == pytest.approx(-phase[0], abs=1e-6)
        assert ratio[1] == pytest.approx(1.0 / ratio[0], rel=1e-5)
        assert coherence[1] == pytest.approx(coherence[0], rel=1e-5)

    @pytest.mark.parametrize("lead", [1, 3, -2])
    def test_equatorward_lead_gives_a_rising_ramp(self, lead: int) -> None:
        """Features that come τ earlier equatorward turn the phase by +2π f τ."""
        series = coloured(7, 1)[0]
        series = np.concatenate(
            [series, series[-1] + np.cumsum(np.random.default_rng(8).normal(0, 0.05, 20))]
        )
        pole, equator = series[10 : 10 + COUNT - 20], series[10 + lead : 10 + lead + COUNT - 20]
        length_s = float(pole.size)
        bins = np.arange(10, 600)
        coefficients = station_spectra(np.diff(np.stack([pole, equator])), 620)
        phase, _, _ = cross_spectra(coefficients, np.array([[0, 1]]), np.array([11]), bins, None, length_s)
        error = np.angle(np.exp(1j * (phase[0] - 2 * np.pi * bins / length_s * lead)))
        assert np.abs(np.median(error)) < 0.01
        assert np.percentile(np.abs(error), 90) < 0.1

    def test_known_delay_of_the_sampling_instants_is_taken_out(self) -> None:
        coefficients = station_spectra(np.diff(coloured(9, 2)), int(BINS[-1]) + 5)
        args = (coefficients, np.array([[0, 1], [0, 1]]), np.array([11, 11]), BINS)
        plain, ratio, coherence = cross_spectra(*args)
        ramped, same_ratio, same_coherence = cross_spectra(*args, np.array([0.0, 0.4]))
        assert np.array_equal(ramped[0], plain[0]) or ramped[0] == pytest.approx(plain[0], abs=1e-12)
        turned = np.angle(np.exp(1j * (plain[1] + 2 * np.pi * FREQUENCY_HZ * 0.4)))
        assert ramped[1] == pytest.approx(turned, abs=1e-12)
        assert np.array_equal(ratio, same_ratio)
        assert np.array_equal(coherence, same_coherence)

    @pytest.mark.parametrize("lag_ns", [300_000_000, -499_000_000])
    @pytest.mark.parametrize("late", [0, 1])
    def test_lag_of_the_sampling_instants_leaves_no_phase(self, lag_ns: int, late: int) -> None:
        """One wave at both stations, one of which samples off the grid: only its own lag differs."""
        rng = np.random.default_rng(21)
        rate, start = rng.uniform(1e-3, 0.11, 600), rng.uniform(0.0, 2 * np.pi, 600)
        offset_ns = np.zeros(2, dtype=np.int64)
        offset_ns[late] = lag_ns
        instants = np.arange(float(COUNT)) + offset_ns[:, None] / SECOND_NS
        values = np.stack([np.cos(2 * np.pi * np.outer(t, rate) + start) @ (0.01 / rate) for t in instants])
        window = WindowBatch(
            pairs=(Pair("MUO", "PEL"),),
            stations=("MUO", "PEL"),
            station_index=np.array([[0, 1]]),
            end_ns=COUNT * SECOND_NS,
            length_ns=COUNT * SECOND_NS,
            step_ns=SECOND_NS,
            values_nT=values,
            coverage=np.ones(2),
            offset_ns=offset_ns,
            notes=(frozenset(), frozenset()),
        )
        (batch,) = SpectrumStage(ConditioningParameters(), SpectrumParameters()).feed([window])
        assert batch.coherence.min() > 0.999
        assert np.abs(batch.cross_phase_rad).max() < 0.01  # 0.3 s would be 0.19 rad at 100 mHz
        (blind,) = SpectrumStage(ConditioningParameters(), SpectrumParameters()).feed(
            [replace(window, offset_ns=np.zeros(2, dtype=np.int64))]
        )
        sign = 1.0 if late == 1 else -1.0
        ramp = sign * 2 * np.pi * batch.frequency_Hz * lag_ns / SECOND_NS
        assert blind.cross_phase_rad[0] == pytest.approx(ramp, abs=0.01)


class TestAgreementWithTheDirectPath:
    @pytest.mark.parametrize("width", [3, 5, 7, 11, 21])
    def test_single_precision_is_within_1e5_rad_of_scipy(self, width: int) -> None:
        values = np.concatenate([coloured(11, 4), resonant_pair(0.015)])
        pairs = np.array([[0, 1], [2, 3], [1, 0], [4, 5]])
        phase, ratio, coherence = spectra_of(values, pairs, width)
        for row, (pole, equator) in enumerate(pairs.tolist()):
            wanted, wanted_ratio, wanted_coherence = direct(values[pole], values[equator], width)
            told = wanted_coherence >= 0.1
            assert told.mean() > 0.5
            error = np.angle(np.exp(1j * (phase[row] - wanted)))
            assert np.abs(error[told]).max() <= 1e-5
            assert ratio[row] == pytest.approx(wanted_ratio, rel=1e-4)
            assert coherence[row] == pytest.approx(wanted_coherence, abs=1e-4)

    def test_double_precision_is_the_direct_path(self) -> None:
        values = coloured(12, 2)
        phase, ratio, coherence = spectra_of(values, dtype=np.float64)
        wanted, wanted_ratio, wanted_coherence = direct(values[0], values[1], 11)
        assert phase[0] == pytest.approx(wanted, abs=1e-8)
        assert ratio[0] == pytest.approx(wanted_ratio, rel=1e-8)
        assert coherence[0] == pytest.approx(wanted_coherence, abs=1e-9)

    def test_mean_spectrum_over_segments_has_the_same_signs_as_scipy_csd(self) -> None:
        values = resonant_pair(0.02)
        frequency, cross = signal.csd(values[0], values[1], fs=1.0, nperseg=900)
        phase, _, _ = spectra_of(values)
        at = np.flatnonzero((frequency > 0.015) & (frequency < 0.026))
        ours = np.interp(frequency[at], FREQUENCY_HZ, phase[0])
        assert (np.angle(cross[at]) > 0.5).all()
        assert (ours > 0.5).all()


class TestAmplitudesAndSmoothing:
    def test_ratio_of_scaled_copies_is_the_scale_and_coherence_is_one(self) -> None:
        series = coloured(13, 1)[0] - 20_000.0
        phase, ratio, coherence = spectra_of(np.stack([series, 4.0 * series]))
        assert ratio[0] == pytest.approx(4.0, rel=1e-6)
        assert coherence[0] == pytest.approx(1.0, abs=1e-5)
        assert np.abs(phase[0]).max() < 1e-6

    def test_each_pair_has_its_own_smoothing(self) -> None:
        coefficients = station_spectra(np.diff(coloured(14, 3)), int(BINS[-1]) + 5)
        index = np.array([[0, 1], [1, 2], [0, 2], [0, 1]])
        widths = np.array([11, 3, 5, 3])
        mixed = cross_spectra(coefficients, index, widths, BINS)
        for row in range(4):
            alone = cross_spectra(coefficients, index[row : row + 1], widths[row : row + 1], BINS)
            for together, single in zip(mixed, alone, strict=True):
                assert np.array_equal(together[row], single[0])

    def test_smoothing_narrows_to_a_quarter_of_the_expected_frequency(self) -> None:
        expected = np.array([np.nan, 50e-3, 6.2e-3, 6.1e-3, 4e-3, 1e-3])
        assert smoothing_for_frequency(expected, 7200.0, 11).tolist() == [11, 11, 11, 9, 7, 3]

    def test_smoothing_for_an_unknown_frequency_is_the_default(self) -> None:
        """Once it came out as the smallest integer, and the running sum never ended."""
        assert smoothing_for_frequency(np.array([np.nan, np.inf]), 7200.0, 11).tolist() == [11, 11]

    def test_smoothing_never_exceeds_the_default(self) -> None:
        assert smoothing_for_frequency(np.array([1e-3, 1.0]), 7200.0, 1).tolist() == [1, 1]

    @pytest.mark.parametrize("width", [1, 3, 5, 7, 11, 21])
    def test_independent_averages_agree_with_a_monte_carlo(self, width: int) -> None:
        """The variance of a smoothed power of white noise is its mean squared over the averages."""
        noise = np.random.default_rng(15).normal(size=(400, 513))
        coefficients = station_spectra(noise, 250)
        power = np.abs(coefficients[:, 2:]) ** 2
        smooth = np.apply_along_axis(np.convolve, 1, power, np.ones(width), "valid")[:, ::3]
        measured = smooth.mean() ** 2 / smooth.var()
        assert float(independent_averages(width)) == pytest.approx(measured, rel=0.06)


class TestCompanyAndSilence:
    def test_spectrum_of_a_station_does_not_depend_on_its_company(self) -> None:
        values = np.diff(coloured(16, 40)).astype(np.float32)
        together = station_spectra(values, 730)
        for row in (0, 15, 16, 39):
            assert np.array_equal(station_spectra(values[row : row + 1], 730)[0], together[row])

    @pytest.mark.parametrize("value", [0.0, 31_234.5])
    def test_constant_record_gives_nan(self, value: float) -> None:
        values = np.stack([coloured(17, 1)[0], np.full(COUNT, value)])
        for array in spectra_of(values, np.array([[0, 1], [1, 0], [1, 1]])):
            assert np.isnan(array).all()

    def test_coherence_lies_between_zero_and_one(self) -> None:
        _, _, coherence = spectra_of(
            coloured(18, 8), np.array([[a, b] for a in range(8) for b in range(8)]), 3
        )
        assert coherence.min() >= 0.0
        assert coherence.max() <= 1.0 + 1e-6

    def test_bins_above_nyquist_are_zero_and_no_error(self) -> None:
        slow = np.diff(coloured(19, 2))[:, :719]
        coefficients = station_spectra(slow, 725)
        assert coefficients.shape == (2, 726)
        assert not coefficients[:, 361:].any()
        phase, _, _ = cross_spectra(coefficients, np.array([[0, 1]]), np.array([11]), BINS)
        assert np.isnan(phase[0, BINS > 366]).all()

    def test_mask_begins_above_four_fifths_of_nyquist(self) -> None:
        masked = above_nyquist_share(FREQUENCY_HZ, 10.0)
        assert FREQUENCY_HZ[~masked].max() == pytest.approx(0.04)
        assert not above_nyquist_share(FREQUENCY_HZ, 1.0).any()

    def test_grid_runs_from_the_lowest_to_the_highest_bin_within(self) -> None:
        assert BINS[0] == 8
        assert BINS[-1] == 720
        assert SpectrumParameters(minimum_frequency_Hz=1e-9).bins(7200.0)[0] == 1

    def test_input_is_not_changed(self) -> None:
        differences = np.diff(coloured(20, 2)).astype(np.float32)
        before = differences.copy()
        coefficients = station_spectra(differences, 730)
        kept = coefficients.copy()
        cross_spectra(coefficients, np.array([[0, 1]]), np.array([11]), BINS, np.array([0.3]))
        assert np.array_equal(differences, before)
        assert np.array_equal(coefficients, kept)
