"""Conditioning: what is mended, what is refused, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.science.conditioning import ConditioningParameters, condition, decimate
from monitor.types import FloatArray, StationQuality

COUNT = 7200
PARAMETERS = ConditioningParameters()


def red_noise(seed: int = 1, stations: int = 1, sigma_nT: float = 0.05) -> FloatArray:
    """A wandering field at a baseline of 20,000 nT, shape (stations, COUNT)."""
    steps = np.random.default_rng(seed).normal(0.0, sigma_nT, (stations, COUNT))
    return 20_000.0 + np.cumsum(steps, axis=1)


def mended(values: FloatArray, step_s: float = 1.0) -> tuple[FloatArray, StationQuality]:
    coverage = np.isfinite(values).mean(axis=1)
    differences, quality = condition(values, coverage, step_s, PARAMETERS)
    return differences.astype(np.float64), quality


class TestGaps:
    def test_gap_within_the_limit_is_bridged_by_a_line(self) -> None:
        values = red_noise()
        values[0, 1000:1300] = np.nan
        differences, quality = mended(values)
        assert quality.usable[0]
        assert quality.longest_gap_s[0] == 300.0
        slope = (values[0, 1300] - values[0, 999]) / 301
        assert differences[0, 999:1300] == pytest.approx(slope, rel=1e-5)

    def test_gap_beyond_the_limit_is_refused(self) -> None:
        values = red_noise()
        values[0, 1000:1301] = np.nan
        differences, quality = mended(values)
        assert not quality.usable[0]
        assert quality.longest_gap_s[0] == 301.0
        assert not differences.any()

    def test_gap_limit_counts_seconds_and_not_samples(self) -> None:
        values = red_noise()
        values[0, 100:131] = np.nan
        assert mended(values)[1].usable[0]
        assert not mended(values, step_s=10.0)[1].usable[0]

    @pytest.mark.parametrize("gap", [slice(0, 200), slice(COUNT - 200, COUNT)])
    def test_gap_at_an_edge_is_filled_with_the_nearest_value(self, gap: slice) -> None:
        values = red_noise()
        values[0, gap] = np.nan
        differences, quality = mended(values)
        assert quality.usable[0]
        assert not differences[0, gap][:-1].any()

    def test_coverage_below_the_limit_is_refused_even_without_a_long_gap(self) -> None:
        values = red_noise()
        values[0, ::8] = np.nan
        _, quality = mended(values)
        assert quality.coverage[0] == pytest.approx(0.875)
        assert quality.longest_gap_s[0] == 1.0
        assert not quality.usable[0]

    def test_window_without_samples_is_refused_quietly(self) -> None:
        differences, quality = mended(np.full((1, COUNT), np.nan))
        assert not quality.usable[0]
        assert not differences.any()


class TestSpikes:
    @pytest.mark.parametrize("size_nT", [50.0, -1000.0])
    @pytest.mark.parametrize("width", [1, 2, 3])
    def test_spike_is_removed(self, size_nT: float, width: int) -> None:
        clean = red_noise()
        values = clean.copy()
        values[0, 3000 : 3000 + width] += size_nT
        differences, quality = mended(values)
        assert quality.spikes[0] == width
        assert quality.usable[0]
        assert np.abs(differences[0] - np.diff(clean[0])).max() < 0.5

    def test_quiet_noise_has_no_spikes(self) -> None:
        values = red_noise(seed=2, stations=40)
        assert not mended(values)[1].spikes.any()

    def test_wave_train_is_left_alone(self) -> None:
        values = red_noise()
        seconds = np.arange(COUNT)
        values += 30.0 * np.exp(-(((seconds - 3600) / 300.0) ** 2)) * np.sin(2 * np.pi * seconds / 40.0)
        differences, quality = mended(values)
        assert quality.spikes[0] == 0
        assert differences[0] == pytest.approx(np.diff(values[0]), abs=1e-5)

    def test_sudden_commencement_is_left_alone(self) -> None:
        values = red_noise()
        values += 40.0 * np.clip((np.arange(COUNT) - 3000) / 60.0, 0.0, 1.0)
        assert mended(values)[1].spikes[0] == 0

    def test_noise_burst_is_left_alone(self) -> None:
        values = red_noise()
        values[0, 3000:3300] += np.random.default_rng(3).normal(0.0, 10.0, 300)
        differences, quality = mended(values)
        assert quality.spikes[0] <= 6  # the burst's own edges stand alone, its body does not
        assert differences[0, 3010:3290] == pytest.approx(np.diff(values[0])[3010:3290], abs=1e-3)

    def test_two_spikes_in_two_hours_of_10_s_samples_are_mended(self) -> None:
        """Their neighbours, to which the deviation spreads, do not count towards the limit of 1 %."""
        values = red_noise()[:, :720]
        values[0, [100, 500]] += 100.0
        _, quality = condition(values, np.ones(1), 10.0, PARAMETERS)
        assert quality.spikes[0] == 2
        assert quality.usable[0]

    def test_too_many_spikes_are_refused(self) -> None:
        values = red_noise()
        values[0, 50::90] += 100.0
        _, quality = mended(values)
        assert quality.spikes[0] > PARAMETERS.maximum_spike_ratio * COUNT
        assert not quality.usable[0]


class TestFlatSensors:
    def test_constant_record_is_flat(self) -> None:
        _, quality = mended(np.full((1, COUNT), 48_000.0))
        assert quality.flat[0]
        assert not quality.usable[0]

    @pytest.mark.parametrize(("still", "flat"), [(COUNT // 2, True), (COUNT // 2 - 10, False)])
    def test_sensor_that_sticks_is_flat_from_half_of_the_window_on(self, still: int, flat: bool) -> None:
        values = red_noise()
        values[0, 1000 : 1000 + still] = values[0, 1000]
        assert bool(mended(values)[1].flat[0]) is flat

    def test_coarsely_quantised_record_is_not_flat(self) -> None:
        values = np.round(red_noise(sigma_nT=0.2), 1)
        _, quality = mended(values)
        assert not quality.flat[0]
        assert quality.usable[0]


def test_condition_never_changes_its_input() -> None:
    values = red_noise(stations=3)
    values[0, 100:150] = np.nan
    values[1, 300] += 500.0
    coverage = np.isfinite(values).mean(axis=1)
    before = values.copy(), coverage.copy()
    condition(values, coverage, 1.0, PARAMETERS)
    assert np.array_equal(values, before[0], equal_nan=True)
    assert np.array_equal(coverage, before[1])


def test_condition_of_a_station_does_not_depend_on_its_company() -> None:
    values = red_noise(seed=4, stations=37)
    values[5, 200:210] = np.nan
    values[6, 900] += 300.0
    together, quality = mended(values)
    for row in (0, 5, 6, 36):
        alone, alone_quality = mended(values[row : row + 1])
        assert np.array_equal(alone[0], together[row])
        assert alone_quality.spikes[0] == quality.spikes[row]


def test_differences_at_a_baseline_of_20000_nT_keep_a_millionth_of_a_nanotesla() -> None:
    wave = 1e-3 * np.sin(2 * np.pi * np.arange(COUNT) / 100.0)[None, :]
    differences, _ = mended(20_000.0 + wave)
    assert differences[0] == pytest.approx(np.diff(wave[0]), abs=1e-9)


class TestDecimate:
    @pytest.mark.parametrize("factor", [2, 5, 10])
    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.75])
    def test_sine_in_the_pass_band_keeps_phase_and_amplitude(self, factor: int, share: float) -> None:
        count = 6000 * factor
        cycles = share * 0.5 / factor  # a sample
        values = np.sin(2 * np.pi * cycles * np.arange(count) + 0.7)
        out = decimate(values, factor)
        inner = slice(100, -100)
        angle = 2 * np.pi * cycles * factor * np.arange(out.size)[inner] + 0.7
        design = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        in_phase, quadrature = np.linalg.lstsq(design, out[inner], rcond=None)[0]
        assert np.hypot(in_phase, quadrature) == pytest.approx(1.0, abs=5e-3)
        assert abs(np.arctan2(quadrature, in_phase)) < 1e-3

    @pytest.mark.parametrize("share", [1.2, 1.5, 1.9, 3.3, 9.5])
    def test_alias_is_rejected_by_60_dB(self, share: float) -> None:
        # 1.2 of the new Nyquist frequency would fold to 0.8, the end of the band that is used.
        values = np.sin(2 * np.pi * share * 0.05 * np.arange(60_000))
        inner = decimate(values, 10)[100:-100]
        assert np.sqrt(2 * np.mean(inner**2)) < 1e-3

    def test_constant_keeps_its_value_up_to_the_edges(self) -> None:
        assert decimate(np.full(600, 48_123.25), 10) == pytest.approx(48_123.25, abs=1e-6)

    def test_gap_of_three_samples_in_ten_leaves_a_slow_series_whole(self) -> None:
        values = 1000.0 + np.linspace(0.0, 1.0, 6000)
        holed = values.copy()
        holed[3001:3004] = np.nan
        assert decimate(holed, 10) == pytest.approx(values[::10], abs=5e-3)

    def test_long_gap_stays_a_gap(self) -> None:
        values = np.ones(6000)
        values[3000:3200] = np.nan
        missing = np.flatnonzero(np.isnan(decimate(values, 10)))
        assert missing.min() in (300, 301)
        assert missing.max() == 319

    def test_nothing_gives_nothing(self) -> None:
        assert np.isnan(decimate(np.full(100, np.nan), 10)).all()

    def test_factor_one_is_a_copy(self) -> None:
        values = np.arange(5.0)
        out = decimate(values, 1)
        out[0] = 9.0
        assert values[0] == 0.0

    def test_input_is_not_changed(self) -> None:
        values = np.random.default_rng(1).normal(size=1000)
        values[5] = np.nan
        before = values.copy()
        decimate(values, 10)
        assert np.array_equal(values, before, equal_nan=True)
