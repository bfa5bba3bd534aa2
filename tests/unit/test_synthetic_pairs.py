"""Random pairs: the parts are what they are called, and scipy alone finds the resonance where the truth says."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from scipy import signal

from monitor.science.synthetic.excitation import Grid, envelope, excite
from monitor.science.synthetic.oscillator import BlockFilter, coloured_noise, oscillator
from monitor.science.synthetic.pairs import (
    TEST,
    TRAINING,
    TROUBLES,
    Case,
    CaseRanges,
    CaseSeries,
    Range,
    draw_case,
    simulate,
)
from monitor.types import SECOND_NS, FloatArray

HOUR_NS = 3600 * SECOND_NS
EXTRAS = ("third_harmonic", "background", "train", "packets", "substorm", "commencement", "storm", "auroral")
# Loud waves, quiet stations, nothing wrong, and nothing but what a test asks for.
CLEAR = dataclasses.replace(
    TRAINING.without(*TROUBLES, *EXTRAS, "uncoupled", "plasmapause", "upstream", "coarse_step"),
    l_shell=Range(2.2, 5.5, log=True),
    spacing_deg=Range(1.5, 3.0),
    quality=Range(3.0, 6.0),
    coupling=Range(2.0, 4.0),
    driver_nT2_Hz=Range(20.0, 80.0),
    night_share=Range(0.4, 0.5),
    night_quality=Range(1.0, 1.0),
    direct_share=Range(0.05, 0.06),
    refilling=Range(0.0, 0.0),
    delay_s=Range(0.0, 0.0),
    slow_rms_nT=Range(1.0, 2.0),
    noise_nT2_Hz=Range(0.002, 0.004),
    white_nT2_Hz=Range(1e-5, 1e-4),
    quantum_nT=Range(0.001, 0.002),
)
STEEP = dataclasses.replace(
    CLEAR,
    storm_probability=1.0,
    saturation=Range(0.7, 1.0),
    trough_factor=Range(0.4, 0.6),
    storm_width_l=Range(0.04, 0.08),
    storm_dwell_h=Range(4.0, 4.0),
)


def phases(
    rows_nT: FloatArray, step_s: float, length_s: float = 1200.0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Frequency (Hz), cross-phase E − P (rad) and coherence by scipy alone, of the first differences."""
    rows, count = np.diff(rows_nT, axis=1), round(length_s / step_s)
    frequency, cross = signal.csd(rows[0], rows[1], 1.0 / step_s, nperseg=count)
    power = [signal.welch(row, 1.0 / step_s, nperseg=count)[1] for row in rows]
    # The bin at zero holds nothing after the differences.
    coherence = np.abs(cross[1:]) ** 2 / (power[0] * power[1])[1:]
    return frequency[1:], np.angle(cross[1:]), coherence


def extremum_Hz(frequency: FloatArray, phase: FloatArray, around_Hz: float) -> float:
    """Middle of the largest |phase| within half an octave, by a parabola through its top."""
    near = np.abs(np.log2(frequency / around_Hz)) < 0.5
    top = frequency[near][np.argmax(np.abs(phase[near]))]
    close = np.abs(np.log(frequency / top)) < 0.15
    curve = np.polyfit(np.log(frequency[close] / top), phase[close], 2)
    return float(top * math.exp(-curve[1] / (2.0 * curve[0])))


def parts_sum(series: CaseSeries) -> FloatArray:
    total: FloatArray = series.resonant_nT + series.coherent_nT + series.local_nT
    return total + series.jumps_nT + series.spikes_nT


def middle(case: Case) -> Case:
    """The same case about local noon at equinox, so that it is day at both ends of the field line."""
    start_ns = 1_584_662_400 * SECOND_NS + 9 * HOUR_NS  # 2020-03-20, from 9 h
    return dataclasses.replace(case, start_ns=start_ns, longitude_deg=0.0)


class TestBlocks:
    def test_blocks_of_a_fixed_response_are_the_plain_convolution(self) -> None:
        rng = np.random.default_rng(3)
        blocks = BlockFilter(count=1200, hop=100, tail=300, step_s=1.0)
        series = rng.standard_normal(1200)
        kernel = np.exp(-np.arange(200) / 30.0) * np.cos(np.arange(200) / 5.0)
        response = np.fft.rfft(kernel, blocks.length)
        found = blocks.series(blocks.spectra(series) * response)
        assert np.allclose(found, np.convolve(series, kernel)[:1200], atol=1e-10)

    def test_blocks_come_back_as_they_were(self) -> None:
        series = np.random.default_rng(4).standard_normal(600)
        blocks = BlockFilter(count=600, hop=60, tail=0, step_s=10.0)
        assert np.allclose(blocks.series(blocks.spectra(series)), series, atol=1e-12)
        assert blocks.blocks == 11

    def test_blocks_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ValueError, match="multiple of the hop 7, got 100"):
            BlockFilter(count=100, hop=7, tail=0, step_s=1.0)

    def test_oscillator_lags_by_a_quarter_turn_across_its_resonance(self) -> None:
        frequency = np.array([0.0, 5e-3, 10e-3, 20e-3, 80e-3])
        response = oscillator(frequency, np.array([10e-3, 20e-3]), np.array([3.0, 8.0]))
        assert response.shape == (2, 5)
        assert response[0, 0] == 0.0
        assert response[0, 2] == pytest.approx(1.0)
        assert response[1, 3] == pytest.approx(1.0)
        assert np.angle(response[0, 1]) > 1.3
        assert np.angle(response[0, 4]) < -1.3
        # Half power at f_R (1 ± 1/2Q), about.
        half = oscillator(np.array([10e-3 * (1.0 + 1.0 / 6.0)]), np.array([10e-3]), 3.0)
        assert abs(half[0, 0]) ** 2 == pytest.approx(0.5, abs=0.05)

    def test_coloured_noise_has_the_density_that_is_asked_for(self) -> None:
        frequency = np.asarray(np.fft.rfftfreq(7200, 1.0), dtype=np.float64)
        asked = 3.0 / (1.0 + (frequency / 0.05) ** 2)
        found = np.mean(
            [
                signal.welch(coloured_noise(np.random.default_rng(seed), asked, 7200, 1.0), 1.0, nperseg=600)[
                    1
                ]
                for seed in range(20)
            ],
            axis=0,
        )
        middle_of_it = slice(5, -5)
        ratio = found[middle_of_it] / np.interp(np.fft.rfftfreq(600, 1.0), frequency, asked)[middle_of_it]
        assert np.mean(ratio) == pytest.approx(1.0, abs=0.03)
        assert np.abs(ratio - 1.0).max() < 0.5

    def test_envelope_keeps_the_power_and_ignores_the_step(self) -> None:
        fine, coarse = (
            np.array(
                [
                    envelope(
                        np.random.default_rng(seed), 0.6, 300.0, Grid(0, step * SECOND_NS, 21600 // step)
                    )
                    for seed in range(200)
                ]
            )
            for step in (1, 10)
        )
        assert np.mean(fine**2) == pytest.approx(1.0, abs=0.1)
        assert np.allclose(fine[:, ::10], coarse, rtol=1e-6)


class TestCases:
    def test_case_of_a_seed_is_always_the_same(self) -> None:
        assert draw_case(17) == draw_case(17)
        assert draw_case(17) != draw_case(18)
        first, second = (simulate(draw_case(17)) for _ in range(2))
        for field in dataclasses.fields(CaseSeries):
            if field.name != "case":
                assert np.array_equal(
                    getattr(first, field.name), getattr(second, field.name), equal_nan=field.name == "H_nT"
                )

    def test_training_and_test_share_no_case(self) -> None:
        shells = [{draw_case(seed, ranges).l_shell for seed in range(200)} for ranges in (TRAINING, TEST)]
        assert not shells[0] & shells[1]
        starts = [draw_case(seed, TEST).start_ns for seed in range(50)]
        assert min(starts) > max(draw_case(seed).start_ns for seed in range(50))

    @pytest.mark.parametrize("name", TROUBLES)
    def test_switching_a_trouble_leaves_the_rest_of_the_case_alone(self, name: str) -> None:
        change: dict[str, Any] = {f"{name}_probability": 1.0}
        without, certain = TRAINING.without(name), dataclasses.replace(TRAINING, **change)
        cases = [draw_case(5, ranges) for ranges in (without, certain)]
        off, on = (dataclasses.asdict(dataclasses.replace(case, ranges=TRAINING)) for case in cases)
        changed = {
            "cultural": "cultural_nT",
            "spikes": "spikes_per_h",
            "steps": "steps",
            "gap": "gaps",
            "clock": "clock_offset_s",
            "clock_ramp": "clock_ramp_s_h",
            "dead": "dead_share",
        }
        values = []
        for case in (off, on):
            # `asdict` keeps the tuple of stations, as dicts.
            holders = [case] if name == "swapped_stations" else case["stations"]
            values.append([holder.pop(changed.get(name, name)) for holder in holders])
        assert all(value in (0, None) for value in values[0])
        assert all(value not in (0, None) for value in values[1])
        assert off == on

    def test_unknown_trouble_cannot_be_switched_off(self) -> None:
        with pytest.raises(ValueError, match="no weather_probability"):
            TRAINING.without("weather")

    def test_negative_seed_is_refused(self) -> None:
        with pytest.raises(ValueError, match="must not be negative, got -1"):
            draw_case(-1)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"stream": -1}, "stream"),
            ({"span_h": 1.5}, "span_h"),
            ({"span_h": 6.2}, "span_h"),
            ({"first_year": 2030, "last_year": 2020}, "years"),
            ({"gap_probability": 1.5}, r"gap_probability must lie in \[0, 1\], got 1.5"),
            ({"l_shell": Range(1.0, 2.0)}, "L ≥ 1.3"),
            ({"spacing_deg": Range(0.0, 2.0)}, "spacing"),
        ],
    )
    def test_ranges_that_cannot_be_are_refused(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(TRAINING, **change)

    @pytest.mark.parametrize(
        ("low", "high", "log"), [(2.0, 1.0, False), (0.0, 1.0, True), (0.0, math.inf, False)]
    )
    def test_range_that_cannot_be_is_refused(self, low: float, high: float, log: bool) -> None:
        with pytest.raises(ValueError, match="range must"):
            Range(low, high, log=log)

    def test_illumination_follows_the_sun_at_both_ends(self) -> None:
        case = dataclasses.replace(draw_case(0), latitude_deg=60.0, longitude_deg=0.0, l_shell=4.0)
        at = {
            name: 1_577_836_800 * SECOND_NS + round(hours * 3600) * SECOND_NS
            for name, hours in (
                ("spring noon", (79 * 24 + 12)),
                ("spring midnight", (79 * 24)),
                ("winter noon", (355 * 24 + 12)),
                ("summer midnight", (172 * 24)),
            )
        }
        assert case.illumination(at["spring noon"]) == "day"
        assert case.illumination(at["spring midnight"]) == "night"
        # At the solstices one hemisphere has light at midnight, and at noon both have.
        assert case.illumination(at["winter noon"]) == "day"
        assert case.illumination(at["summer midnight"]) == "penumbra"


class TestParts:
    @pytest.mark.parametrize("seed", range(8))
    def test_parts_add_up_to_the_record_where_it_is_whole(self, seed: int) -> None:
        series = simulate(draw_case(seed, dataclasses.replace(TRAINING, gap_probability=0.5)))
        whole = ~(series.missing | series.dead)
        assert np.abs(parts_sum(series) - series.H_nT)[whole].max() < 1e-6
        assert np.isnan(series.H_nT[series.missing]).all()
        assert np.isfinite(series.H_nT[~series.missing]).all()

    @pytest.mark.parametrize("step_s", [1, 10])
    def test_step_sets_the_number_of_samples_and_not_the_power(self, step_s: int) -> None:
        case = dataclasses.replace(draw_case(4, CLEAR), step_ns=step_s * SECOND_NS)
        series = simulate(case)
        assert series.H_nT.shape == (2, 21600 // step_s)
        # 60 cases would tell the mean to 2 %; one tells it to a factor.
        power = series.resonant_nT[0].var()
        other = simulate(dataclasses.replace(case, step_ns=(11 - step_s) * SECOND_NS)).resonant_nT[0].var()
        assert 0.3 < power / other < 3.0

    @pytest.mark.parametrize("seed", range(6))
    def test_resonant_parts_differ_most_in_phase_between_their_lines(self, seed: int) -> None:
        series = simulate(middle(draw_case(seed, dataclasses.replace(CLEAR, quality_ratio=Range(1.0, 1.0)))))
        poleward, equatorward, _ = series.rings_Hz[12]
        assert poleward < equatorward
        # Long segments: shorter than the ringing they would smear the phase of low lines.
        frequency, phase, coherence = phases(series.resonant_nT, 1.0, length_s=3600.0)
        expected = math.sqrt(poleward * equatorward)
        assert extremum_Hz(frequency, phase, expected) == pytest.approx(expected, rel=0.03)
        quality, ratio = series.quality[12, 0], math.sqrt(equatorward / poleward)
        at_most = 2.0 * math.atan(quality * (ratio - 1.0 / ratio))
        assert np.interp(expected, frequency, phase) == pytest.approx(at_most, abs=0.15)
        assert np.interp(expected, frequency, coherence) > 0.9

    def test_third_harmonic_adds_power_where_it_rings(self) -> None:
        plain = middle(draw_case(2, dataclasses.replace(CLEAR, driver_slope=Range(1.0, 1.0))))
        power = []
        for share in (0.0, 0.6):
            series = simulate(dataclasses.replace(plain, third_harmonic=share))
            frequency, density = signal.welch(series.resonant_nT[0], 1.0, nperseg=1200)
            power.append(np.interp(series.thirds_Hz[12, 0], frequency, density))
        assert power[1] > 4.0 * power[0]

    def test_uncoupled_case_has_coherent_waves_and_no_resonance(self) -> None:
        series = simulate(draw_case(1, dataclasses.replace(CLEAR, uncoupled_probability=1.0)))
        assert not series.resonant_nT.any()
        frequency, phase, coherence = phases(series.H_nT, 1.0)
        band = (frequency > 5e-3) & (frequency < 40e-3)
        assert coherence[band].mean() > 0.95
        assert np.degrees(np.abs(phase[band])).max() < 15.0

    @pytest.mark.parametrize("delay_s", [-1.0, 0.7])
    def test_waves_that_reach_the_poleward_station_later_tilt_the_phase_up(self, delay_s: float) -> None:
        ranges = dataclasses.replace(CLEAR, uncoupled_probability=1.0, delay_s=Range(delay_s, delay_s))
        series = simulate(draw_case(1, ranges))
        frequency, phase, _ = phases(series.coherent_nT, 1.0)
        band = (frequency > 5e-3) & (frequency < 60e-3)
        assert np.polyfit(frequency[band], phase[band], 1)[0] == pytest.approx(
            2.0 * np.pi * delay_s, rel=0.02
        )

    def test_train_is_coherent_and_never_resonant(self) -> None:
        ranges = dataclasses.replace(CLEAR, train_nT=Range(5.0, 5.0), train_Hz=Range(12e-3, 12e-3))
        plain, trained = (
            simulate(draw_case(3, dataclasses.replace(ranges, train_probability=chance)))
            for chance in (0.0, 1.0)
        )
        assert np.array_equal(plain.resonant_nT, trained.resonant_nT)
        added = trained.coherent_nT - plain.coherent_nT
        frequency, density = signal.welch(added[0], 1.0, nperseg=7200)
        assert frequency[np.argmax(density)] == pytest.approx(12e-3, abs=2e-4)
        # At its ringing line it is forced to far more than the share that comes directly.
        case = dataclasses.replace(
            plain.case, waves=dataclasses.replace(trained.case.waves, train_Hz=plain.rings_Hz[12, 0])
        )
        forced = np.abs(simulate(case).coherent_nT - plain.coherent_nT)[0].max()
        station = plain.case.stations[0]
        direct = plain.case.waves.direct_share * 1.4 * 5.0 * station.gain * station.l_shell / 3.0
        assert forced > 5.0 * direct

    def test_pulses_of_substorms_come_by_night_only(self) -> None:
        ranges = dataclasses.replace(CLEAR, substorm_probability=1.0, substorm_nT=Range(5.0, 5.0))
        start_ns = 1_584_662_400 * SECOND_NS  # midnight at longitude 0
        added = {}
        for hour in (0, 8):
            series = {}
            for chance in (0.0, 1.0):
                case = draw_case(6, dataclasses.replace(ranges, substorm_probability=chance))
                case = dataclasses.replace(case, start_ns=start_ns + hour * HOUR_NS, longitude_deg=0.0)
                series[chance] = excite(case, Grid(case.start_ns, SECOND_NS, 4 * 3600)).driver
            added[hour] = np.abs(series[1.0] - series[0.0]).max()
        assert added[0] > 1.0
        assert added[8] == 0.0

    def test_sudden_commencement_steps_both_stations_up_within_minutes(self) -> None:
        ranges = dataclasses.replace(CLEAR, commencement_nT=Range(30.0, 30.0))
        for seed in range(20):
            calm, struck = (
                simulate(draw_case(seed, dataclasses.replace(ranges, commencement_probability=chance)))
                for chance in (0.0, 1.0)
            )
            step = struck.coherent_nT - calm.coherent_nT
            top = int(np.argmax(step[0]))
            if 1800 < top < step.shape[1] - 1800:
                gains = [one.gain * one.l_shell / 3.0 for one in calm.case.stations]
                assert (step.max(axis=1) / gains > 25.0).all()
                assert (step[:, top - 400] < 0.1 * step[:, top]).all()
                assert np.abs(struck.resonant_nT - calm.resonant_nT)[:, top - 300 : top + 300].max() > 0.5
                return
        pytest.fail("no commencement fell into any of 20 cases")

    def test_upstream_waves_raise_the_driver_at_their_frequency(self) -> None:
        ranges = dataclasses.replace(CLEAR, upstream_gain=Range(8.0, 8.0), upstream_Hz=Range(40e-3, 40e-3))
        density = {}
        for chance in (0.0, 1.0):
            case = draw_case(9, dataclasses.replace(ranges, upstream_probability=chance))
            frequency, density[chance] = signal.welch(
                excite(case, Grid(case.start_ns, SECOND_NS, 21600)).driver, 1.0, nperseg=1200
            )
        ratio = density[1.0] / density[0.0]
        assert np.interp(40e-3, frequency, ratio) == pytest.approx(8.0, rel=0.25)
        assert np.interp(5e-3, frequency, ratio) == pytest.approx(1.0, abs=0.1)

    def test_oscillators_are_damped_in_the_dark(self) -> None:
        case = middle(draw_case(3, dataclasses.replace(CLEAR, night_quality=Range(0.5, 0.5))))
        dark = dataclasses.replace(case, start_ns=case.start_ns + 12 * HOUR_NS)
        by_day, by_night = (simulate(one).quality[12] for one in (case, dark))
        assert np.allclose(by_day, [station.quality for station in case.stations], rtol=0.01)
        assert np.allclose(by_night, 0.5 * by_day, rtol=0.02)


class TestStorms:
    def test_plasmapause_enters_the_pair_and_leaves_it(self) -> None:
        entered = left = 0
        for seed in range(40):
            series = simulate(draw_case(seed, STEEP))
            reversed_ = series.rings_Hz[:, 0] > series.rings_Hz[:, 1]
            turns = np.diff(reversed_.astype(int))
            entered += bool((turns > 0).any())
            left += bool((turns < 0).any())
        assert entered >= 10
        assert left >= 10

    @pytest.mark.parametrize("seed", range(12))
    def test_cross_phase_while_it_lies_between_has_a_minimum(self, seed: int) -> None:
        case = draw_case(seed, STEEP)
        shift_ns = case.start_ns + HOUR_NS - case.plasma.plasmapause[1][0]
        knots = tuple((time_ns + shift_ns, l_shell) for time_ns, l_shell in case.plasma.plasmapause)
        series = simulate(
            dataclasses.replace(case, plasma=dataclasses.replace(case.plasma, plasmapause=knots))
        )
        rows = series.window(case.start_ns + 4 * HOUR_NS, 2 * HOUR_NS)
        poleward, equatorward, _ = series.rings_Hz[14]
        if poleward <= 1.05 * equatorward:
            # Near a station's own foot the plasmapause may stay too flat across the pair.
            outside = abs(knots[1][1] - np.array([one.l_shell for one in case.stations])).min()
            assert outside < 2.0 * case.plasma.plasmapause_width_l
            return
        frequency, phase, _ = phases(series.resonant_nT[:, rows], 1.0)
        assert np.interp(math.sqrt(poleward * equatorward), frequency, phase) < -0.1


def test_ranges_are_plain_values_that_compare_and_print() -> None:
    assert CaseRanges(stream=1) == TRAINING
    assert "l_shell=Range(low=1.5, high=6.5, log=True)" in repr(TRAINING)
