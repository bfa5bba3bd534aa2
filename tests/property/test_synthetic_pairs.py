"""Whatever the seed: a random pair stays within its ranges, and its label holds together."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.synthetic.batches import window_ends_ns
from monitor.science.synthetic.labels import DRIVEN, LENGTH_NS, UNDRIVEN, TruthLabel, label_window
from monitor.science.synthetic.pairs import TEST, TRAINING, CaseRanges, Range, draw_case, simulate
from monitor.science.synthetic.ranges import TROUBLES
from monitor.stations import invariant_latitude_deg
from monitor.types import SECOND_NS

seeds = st.integers(0, 2**63)
sets = st.sampled_from([TRAINING, TEST, TRAINING.without(*TROUBLES)])


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.booleans(), seeds)
def test_range_draws_within_itself(one: float, other: float, log: bool, seed: int) -> None:
    drawn_from = Range(min(one, other), max(one, other), log=log)
    assert drawn_from.draw(np.random.default_rng(seed)) in drawn_from


@settings(max_examples=200)
@given(seeds, sets)
def test_case_stays_within_its_ranges(seed: int, ranges: CaseRanges) -> None:
    case = draw_case(seed, ranges)
    assert case.l_shell in ranges.l_shell
    for name in ("saturation", "refilling", "mean_ion_mass_amu", "density_index", "trough_factor"):
        assert getattr(case.plasma, name) in getattr(ranges, name)
    for name in (
        "driver_nT2_Hz",
        "driver_slope",
        "night_share",
        "packet_s",
        "direct_share",
        "delay_s",
        "sq_nT",
    ):
        assert getattr(case.waves, name) in getattr(ranges, name)
    assert case.coupling == 0.0 or case.coupling in ranges.coupling
    assert case.third_harmonic == 0.0 or abs(case.third_harmonic) in ranges.third_harmonic
    latitudes = [invariant_latitude_deg(station.l_shell) for station in case.stations]
    middle = invariant_latitude_deg(case.l_shell)
    assert latitudes[0] - middle <= ranges.spacing_deg.high / 2.0 + 1e-9
    assert latitudes[0] - middle >= ranges.spacing_deg.low / 2.0 - 1e-9
    assert latitudes[1] < middle
    for station in case.stations:
        assert station.quantum_nT in ranges.quantum_nT
        assert station.clock_offset_s == 0.0 or abs(station.clock_offset_s) in ranges.clock_offset_s
        assert station.spikes_per_h == 0.0 or station.spikes_per_h in ranges.spikes_per_h
    ratio = case.stations[0].quality / case.stations[1].quality
    assert ranges.quality_ratio.low * 0.999 <= ratio <= ranges.quality_ratio.high * 1.001
    assert case.start_ns % (1800 * SECOND_NS) == 0
    year = 1970.0 + case.start_ns / SECOND_NS / 86400.0 / 365.2425
    assert ranges.first_year - 0.01 <= year <= ranges.last_year + 1.01
    assert case.step_ns == SECOND_NS or case.l_shell >= ranges.coarse_step_minimum_l


@settings(max_examples=25)
@given(seeds, sets)
def test_label_holds_together(seed: int, ranges: CaseRanges) -> None:
    series = simulate(draw_case(seed, dataclasses.replace(ranges, span_h=3.0)))
    assert np.isfinite(series.rings_Hz).all()
    for part in (series.resonant_nT, series.coherent_nT, series.local_nT):
        assert np.isfinite(part).all()
    for end_ns in window_ends_ns(series):
        label = label_window(series, end_ns)
        weaker = min(label.snr_poleward, label.snr_equatorward)
        truth = label.truth
        if label.label in (TruthLabel.FREQ, TruthLabel.PBL):
            assert weaker > DRIVEN
            assert label.frequency_Hz == truth.frequency_Hz
            assert (truth.centre_Hz[0] < truth.centre_Hz[1]) == (label.label == TruthLabel.FREQ)
            assert (truth.peak_phase_rad > 0.0) == (label.label == TruthLabel.FREQ)
            # A pair rings between its lines.
            span = 0.5 * truth.change + 1e-9
            low, high = sorted(truth.centre_Hz[:2])
            assert math.log(low) - span <= math.log(truth.frequency_Hz) <= math.log(high) + span
        else:
            assert label.frequency_Hz is None
        if label.label == TruthLabel.NO_FREQ and label.reason not in ("gap", "dead_channel"):
            assert weaker < UNDRIVEN
        assert truth.illumination in ("day", "penumbra", "night")


@settings(max_examples=15)
@given(seeds)
def test_spikes_leave_the_powers_that_labels_weigh(seed: int) -> None:
    plain = TRAINING.without(*TROUBLES)
    ratios = []
    for ranges in (plain, dataclasses.replace(plain, spikes_probability=1.0)):
        series = simulate(draw_case(seed, ranges))
        label = label_window(series, series.case.start_ns + LENGTH_NS)
        ratios.append((label.snr_poleward, label.snr_equatorward))
    assert ratios[0] == ratios[1]
