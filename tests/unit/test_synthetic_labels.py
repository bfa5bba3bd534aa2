"""Labels of random pairs: the rule, what is in transition, and two witnesses that know nothing of the truth."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import signal

from monitor.science.conditioning import ConditioningParameters
from monitor.science.resonance import ResonanceParameters
from monitor.science.spectra import SpectrumParameters
from monitor.science.synthetic.batches import generate
from monitor.science.synthetic.labels import (
    DRIVEN,
    LENGTH_NS,
    SMALLEST_PEAK_RAD,
    UNDRIVEN,
    TruthLabel,
    WindowLabel,
    label_window,
)
from monitor.science.synthetic.pairs import (
    TRAINING,
    TROUBLES,
    CaseRanges,
    CaseSeries,
    Range,
    draw_case,
    simulate,
)
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.types import SECOND_NS, FloatArray, Label

HOUR_NS = 3600 * SECOND_NS
CLEAR = dataclasses.replace(
    TRAINING.without(
        *TROUBLES, "uncoupled", "storm", "plasmapause", "third_harmonic", "background", "train", "coarse_step",
        "substorm", "commencement", "auroral",
    ),
    l_shell=Range(2.2, 5.0, log=True), spacing_deg=Range(1.5, 3.0), quality=Range(2.5, 5.0),
    coupling=Range(2.0, 4.0), driver_nT2_Hz=Range(20.0, 80.0), night_share=Range(0.4, 0.5),
    direct_share=Range(0.05, 0.08), slow_rms_nT=Range(1.0, 3.0), noise_nT2_Hz=Range(0.002, 0.005),
    white_nT2_Hz=Range(1e-5, 1e-4), delay_s=Range(-0.2, 0.2),
)  # fmt: skip


@pytest.fixture(scope="module")
def clear() -> CaseSeries:
    """A case whose first window is a plain `Freq`."""
    series = simulate(draw_case(0, CLEAR))
    assert first(series).label == TruthLabel.FREQ
    return series


def first(series: CaseSeries) -> WindowLabel:
    return label_window(series, series.case.start_ns + LENGTH_NS)


def changed(series: CaseSeries, **changes: Any) -> CaseSeries:
    return dataclasses.replace(series, **changes)


def scaled_to(series: CaseSeries, weaker: float) -> CaseSeries:
    """The same with so much resonance that the first window has this ratio at its weaker station."""
    label = first(series)
    factor = np.sqrt(weaker / min(label.snr_poleward, label.snr_equatorward))
    return changed(series, resonant_nT=factor * series.resonant_nT)


def phase_at(
    poleward: FloatArray, equatorward: FloatArray, step_s: float, frequency_Hz: float
) -> tuple[float, float]:
    """Cross-phase (rad) and coherence at a frequency, by scipy alone."""
    rows, count = np.diff([poleward, equatorward], axis=1), round(1800.0 / step_s)
    frequency, cross = signal.csd(rows[0], rows[1], 1.0 / step_s, nperseg=count)
    power = [signal.welch(row, 1.0 / step_s, nperseg=count)[1] for row in rows]
    at = int(np.argmin(np.abs(frequency - frequency_Hz)))
    return float(np.angle(cross[at])), float(np.abs(cross[at]) ** 2 / (power[0][at] * power[1][at]))


class TestRule:
    @pytest.mark.parametrize(
        ("ratio", "label", "reason"),
        [
            (1.05 * DRIVEN, TruthLabel.FREQ, "driven"),
            (0.95 * DRIVEN, TruthLabel.AMBIGUOUS, "between"),
            (1.05 * UNDRIVEN, TruthLabel.AMBIGUOUS, "between"),
            (0.5 * UNDRIVEN, TruthLabel.NO_FREQ, "masked"),
        ],
    )
    def test_ratio_of_the_weaker_station_decides(
        self, clear: CaseSeries, ratio: float, label: TruthLabel, reason: str
    ) -> None:
        found = first(scaled_to(clear, ratio))
        assert min(found.snr_poleward, found.snr_equatorward) == pytest.approx(ratio, rel=1e-6)
        assert found.label == label
        assert found.reason.startswith(reason)
        assert (found.frequency_Hz is None) == (label != TruthLabel.FREQ)

    def test_ratio_is_that_of_plain_band_powers(self, clear: CaseSeries) -> None:
        found = first(clear)
        rows = clear.window(found.end_ns, LENGTH_NS)
        rest = clear.coherent_nT + clear.local_nT
        for row, told in ((0, found.snr_poleward), (1, found.snr_equatorward)):
            power = []
            for part in (clear.resonant_nT, rest):
                frequency, density = signal.welch(part[row, rows], 1.0, nperseg=7200, detrend=signal.detrend)
                power.append(density[np.abs(frequency - found.truth.frequency_Hz) <= 1.2e-3].sum())
            assert told == pytest.approx(power[0] / power[1], rel=0.1)

    def test_sign_of_the_gradient_tells_freq_from_pbl(self, clear: CaseSeries) -> None:
        turned = changed(clear, rings_Hz=clear.rings_Hz[:, [1, 0, 2]], quality=clear.quality[:, ::-1])
        normal, reversed_ = first(clear), first(turned)
        assert (normal.label, reversed_.label) == (TruthLabel.FREQ, TruthLabel.PBL)
        assert reversed_.frequency_Hz == normal.frequency_Hz
        assert reversed_.truth.peak_phase_rad == pytest.approx(-normal.truth.peak_phase_rad)

    def test_frequency_is_between_the_lines_when_the_resonance_was_driven(self, clear: CaseSeries) -> None:
        inside = slice(2, 11)  # a margin of two times before the case
        drift = np.exp(np.linspace(0.05, -0.05, 9))[:, None]
        rings = clear.rings_Hz.copy()
        rings[inside] = rings[6] * drift
        middle = float(np.sqrt(rings[6, 0] * rings[6, 1]))
        resonant = clear.resonant_nT.copy()
        resonant[:, 3600:] *= 0.02
        early = first(changed(clear, rings_Hz=rings, resonant_nT=resonant)).truth.frequency_Hz
        resonant = clear.resonant_nT.copy()
        resonant[:, :3600] *= 0.02
        late = first(changed(clear, rings_Hz=rings, resonant_nT=resonant)).truth.frequency_Hz
        assert early > 1.005 * middle
        assert late < 0.995 * middle

    def test_no_oscillator_is_absent(self, clear: CaseSeries) -> None:
        found = first(simulate(dataclasses.replace(clear.case, coupling=0.0)))
        assert (found.label, found.reason) == (TruthLabel.NO_FREQ, "absent")
        assert (found.snr_poleward, found.snr_equatorward) == (0.0, 0.0)

    def test_waves_without_resonance_mask_and_are_told_from_noise(self, clear: CaseSeries) -> None:
        rng = np.random.default_rng(1)
        noise = 20.0 * rng.standard_normal(clear.H_nT.shape)
        by_noise = first(changed(clear, local_nT=clear.local_nT + noise))
        by_waves = first(changed(clear, coherent_nT=clear.coherent_nT + noise[:1]))
        assert (by_noise.label, by_noise.reason) == (TruthLabel.NO_FREQ, "masked_by_noise")
        assert (by_waves.label, by_waves.reason) == (TruthLabel.NO_FREQ, "masked_by_waves")

    def test_steps_count_as_rest_and_spikes_do_not(self, clear: CaseSeries) -> None:
        jumps = np.zeros(clear.H_nT.shape)
        jumps[:, 3600:] = 300.0
        plain, stepped, spiked_ = (
            first(series)
            for series in (clear, changed(clear, jumps_nT=jumps), changed(clear, spikes_nT=jumps))
        )
        assert stepped.snr_poleward < 0.5 * plain.snr_poleward
        assert spiked_.snr_poleward == plain.snr_poleward

    def test_line_that_stands_out_elsewhere_is_no_nofreq(self, clear: CaseSeries) -> None:
        rng = np.random.default_rng(1)
        truth = first(clear).truth
        # Noise about f alone: the poleward line lies more than its band away.
        assert (
            truth.frequency_Hz - truth.centre_Hz[0] > 2.6e-3
            or truth.centre_Hz[1] - truth.frequency_Hz > 2.6e-3
        )
        count = clear.H_nT.shape[1]
        spectrum = np.fft.rfft(rng.standard_normal(count))
        spectrum[np.abs(np.fft.rfftfreq(count, 1.0) - truth.frequency_Hz) > 1.3e-3] = 0.0
        waves = 300.0 * np.fft.irfft(spectrum, count)
        found = first(changed(clear, coherent_nT=clear.coherent_nT + waves))
        assert min(found.snr_poleward, found.snr_equatorward) < UNDRIVEN
        assert (found.label, found.reason) == (TruthLabel.AMBIGUOUS, "elsewhere")


def missing(series: CaseSeries, begin: int, end: int) -> CaseSeries:
    lost = series.missing.copy()
    lost[0, begin:end] = True
    return changed(series, missing=lost)


def dead(series: CaseSeries, begin: int) -> CaseSeries:
    stuck = series.dead.copy()
    stuck[1, begin:] = True
    return changed(series, dead=stuck)


def spiked(series: CaseSeries, count: int) -> CaseSeries:
    spikes = series.spikes_nT.copy()
    spikes[0, 10 : 10 + 20 * count : 20] = 30.0
    return changed(series, spikes_nT=spikes)


def clocked(series: CaseSeries, lag_s: float) -> CaseSeries:
    lag = series.clock_lag_s.copy()
    lag[:, 1] += lag_s
    return changed(series, clock_lag_s=lag)


def ringing(series: CaseSeries, factors: FloatArray) -> CaseSeries:
    """Frequencies times factors of shape (9, 2) at the nine times of the first window."""
    rings = series.rings_Hz.copy()
    rings[2:11, :2] = rings[6, :2] * factors
    return changed(series, rings_Hz=rings)


def falling(ln_change: float) -> FloatArray:
    return np.exp(np.linspace(0.5, -0.5, 9) * ln_change)[:, None] * np.ones(2)


def turning(series: CaseSeries) -> CaseSeries:
    """The lines change places in the second half of the window."""
    rings = series.rings_Hz.copy()
    rings[8:11] = rings[8:11][:, [1, 0, 2]]
    return changed(series, rings_Hz=rings)


class TestTransition:
    @pytest.mark.parametrize(
        ("happens", "reason"),
        [
            (lambda series: missing(series, 3000, 3400), "gap"),
            (lambda series: missing(series, 3000, 4000), "gap"),
            (lambda series: dead(series, 5000), "dead_channel"),
            (lambda series: spiked(series, 80), "spikes"),
            (lambda series: clocked(series, -1.6), "clock"),
            (lambda series: ringing(series, falling(0.21)), "frequency_changes"),
            (turning, "gradient_turns"),
            (lambda series: changed(series, case=dataclasses.replace(series.case, swapped_stations=True)), "swapped_stations"),
        ],
        ids=["long gap", "longer gap", "dead", "spikes", "clock", "frequency", "gradient", "swapped"],
    )  # fmt: skip
    def test_resonance_that_something_hides_is_ambiguous_with_the_reason(
        self, clear: CaseSeries, happens: Callable[[CaseSeries], CaseSeries], reason: str
    ) -> None:
        found = first(happens(clear))
        assert (found.label, found.reason) == (TruthLabel.AMBIGUOUS, reason)
        assert found.frequency_Hz is None
        assert min(found.snr_poleward, found.snr_equatorward) > DRIVEN

    @pytest.mark.parametrize(
        "happens",
        [
            lambda series: missing(series, 3000, 3290),
            lambda series: missing(series, 7200, 15000),
            lambda series: dead(series, 7200),
            lambda series: spiked(series, 60),
            lambda series: clocked(series, 1.4),
            lambda series: ringing(series, falling(0.15)),
        ],
        ids=["short gap", "gap after", "dead after", "few spikes", "small lag", "slow change"],
    )
    def test_less_than_that_leaves_the_label(
        self, clear: CaseSeries, happens: Callable[[CaseSeries], CaseSeries]
    ) -> None:
        assert first(happens(clear)).label == TruthLabel.FREQ

    @pytest.mark.parametrize(
        ("happens", "reason"),
        [(lambda series: missing(series, 0, 4000), "gap"), (lambda series: dead(series, 0), "dead_channel")],
    )
    def test_window_with_less_than_half_a_record_is_nofreq(
        self, clear: CaseSeries, happens: Callable[[CaseSeries], CaseSeries], reason: str
    ) -> None:
        found = first(happens(clear))
        assert (found.label, found.reason) == (TruthLabel.NO_FREQ, reason)

    def test_nothing_to_hide_stays_nofreq(self, clear: CaseSeries) -> None:
        none = scaled_to(clear, 0.02)
        for hidden in (clocked(none, 5.0), missing(none, 3000, 4000), turning(none)):
            assert first(hidden).label == TruthLabel.NO_FREQ

    def test_lines_too_close_for_a_sign_are_ambiguous(self, clear: CaseSeries) -> None:
        rings = clear.rings_Hz.copy()
        rings[:, 0] = rings[:, 1] / 1.002
        found = first(changed(clear, rings_Hz=rings))
        assert abs(found.truth.peak_phase_rad) < SMALLEST_PEAK_RAD
        assert found.reason == "flat_gradient"

    def test_frequency_above_the_band_is_ambiguous(self) -> None:
        ranges = dataclasses.replace(CLEAR, l_shell=Range(1.5, 1.5), mean_ion_mass_amu=Range(1.0, 1.0))
        found = first(simulate(draw_case(1, ranges)))
        assert found.truth.frequency_Hz > 100e-3
        assert (found.label, found.reason) == (TruthLabel.AMBIGUOUS, "out_of_band")

    @pytest.mark.parametrize("after_ns", [LENGTH_NS - SECOND_NS, 7 * HOUR_NS, LENGTH_NS + 1])
    def test_window_beyond_the_case_or_off_its_samples_is_refused(
        self, clear: CaseSeries, after_ns: int
    ) -> None:
        with pytest.raises(ValueError, match=r"must (lie in|be on steps)"):
            label_window(clear, clear.case.start_ns + after_ns)


def labelled(ranges: CaseRanges, seeds: range) -> list[tuple[CaseSeries, WindowLabel]]:
    """First and last window of each case."""
    pairs = []
    for seed in seeds:
        series = simulate(draw_case(seed, ranges))
        pairs += [
            (series, label_window(series, end))
            for end in (series.case.start_ns + LENGTH_NS, series.case.end_ns)
        ]
    return pairs


class TestWitnesses:
    def test_cross_spectrum_agrees_with_clear_freq(self) -> None:
        agree = total = 0
        for series, label in labelled(CLEAR, range(30)):
            if label.label != TruthLabel.FREQ or label.truth.peak_phase_rad < np.radians(30.0):
                continue
            rows = series.H_nT[:, series.window(label.end_ns, LENGTH_NS)]
            phase, coherence = phase_at(rows[0], rows[1], 1.0, label.truth.frequency_Hz)
            total += 1
            agree += phase > 0.4 * label.truth.peak_phase_rad and coherence > 0.5
        assert total >= 40
        assert agree >= 0.97 * total

    def test_cross_spectrum_agrees_with_clear_pbl(self) -> None:
        ranges = dataclasses.replace(
            CLEAR, storm_probability=1.0, saturation=Range(0.7, 1.0), trough_factor=Range(0.4, 0.6),
            storm_width_l=Range(0.04, 0.08), storm_dwell_h=Range(6.0, 8.0),
        )  # fmt: skip
        agree = total = 0
        for series, label in labelled(ranges, range(60)):
            if label.label == TruthLabel.PBL and label.truth.peak_phase_rad < -np.radians(30.0):
                rows = series.H_nT[:, series.window(label.end_ns, LENGTH_NS)]
                phase, _ = phase_at(rows[0], rows[1], 1.0, label.truth.frequency_Hz)
                total += 1
                agree += phase < 0.4 * label.truth.peak_phase_rad
        assert total >= 20
        assert agree >= 0.95 * total

    def test_cross_spectrum_agrees_with_nofreq(self) -> None:
        ranges = dataclasses.replace(
            TRAINING.without(*TROUBLES), driver_nT2_Hz=Range(0.02, 0.1, log=True), uncoupled_probability=0.4
        )
        shown = total = 0
        for series, label in labelled(ranges, range(60)):
            if label.label == TruthLabel.NO_FREQ:
                rows = series.H_nT[:, series.window(label.end_ns, LENGTH_NS)]
                step_s = series.case.step_ns / SECOND_NS
                phase, coherence = phase_at(rows[0], rows[1], step_s, min(label.truth.frequency_Hz, 0.04))
                total += 1
                shown += coherence > 0.6 and abs(phase) > np.radians(30.0)
        assert total >= 60
        assert shown <= 0.05 * total

    def test_physical_estimate_agrees_with_clear_labels(self) -> None:
        stages = (
            SpectrumStage(ConditioningParameters(), SpectrumParameters()),
            ResonanceStage(ResonanceParameters()),
        )
        errors, called = [], Counter[tuple[TruthLabel, Label]]()
        for window, labels in generate(range(80), TRAINING.without("third_harmonic"), cadence_ns=2 * HOUR_NS):
            found = stages[1].feed(stages[0].feed([window]))[0]
            for row, label in enumerate(labels):
                called[label.label, found.label[row]] += 1
                if label.label == TruthLabel.FREQ and found.label[row] == Label.FREQ:
                    assert label.frequency_Hz is not None
                    errors.append(abs(found.frequency_Hz[row] / label.frequency_Hz - 1.0))
        windows = {name: sum(n for (truth, _), n in called.items() if truth == name) for name in TruthLabel}
        assert len(errors) >= 30
        assert np.median(errors) < 0.03
        wrong = sum(called[TruthLabel.NO_FREQ, label] for label in (Label.FREQ, Label.PBL))
        assert wrong <= 0.02 * windows[TruthLabel.NO_FREQ]
        assert called[TruthLabel.FREQ, Label.PBL] <= 0.02 * windows[TruthLabel.FREQ]
