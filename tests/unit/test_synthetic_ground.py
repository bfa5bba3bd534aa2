"""The synthetic chain: its physics as a plain cross-spectrum sees it, and what goes wrong on demand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from scipy import signal

from monitor.science.synthetic.ground import (
    EMMA,
    Gap,
    GroundSimulator,
    PlasmaModel,
    Scenario,
    quiet_day,
    storm_scenario,
)
from monitor.science.synthetic.plasma import fundamental_frequency_Hz, wave_constants
from monitor.science.synthetic.waves import packet_envelope
from monitor.types import SECOND_NS, FloatArray, Pair

DAY_NS = 1_504_742_400 * SECOND_NS  # 2017-09-07T00:00:00Z
HOUR_NS = 3600 * SECOND_NS
TWO = (("TAR", 3.010), ("BRZ", 2.710))


def power_density(series: FloatArray, rate_Hz: float, count: int) -> tuple[FloatArray, FloatArray]:
    """Frequency (Hz) and one-sided power density (nT²/Hz), each segment of `count` samples detrended."""
    frequency, density = signal.welch(series, rate_Hz, nperseg=count, detrend=signal.detrend)
    return frequency, density


def cross_spectrum(
    poleward: FloatArray, equatorward: FloatArray, step_s: float = 1.0
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Frequency (Hz), cross-phase E − P (rad), amplitude ratio E/P and coherence, by scipy alone."""
    rate_Hz, count = 1.0 / step_s, round(1200.0 / step_s)
    # conj(P) E
    frequency, cross = signal.csd(poleward, equatorward, rate_Hz, nperseg=count, detrend=signal.detrend)
    p_power, e_power = (power_density(series, rate_Hz, count)[1] for series in (poleward, equatorward))
    coherence = np.abs(cross) ** 2 / (p_power * e_power)
    return frequency, np.angle(cross), np.sqrt(e_power / p_power), coherence


def peak_Hz(frequency: FloatArray, phase: FloatArray, around_Hz: float) -> float:
    """Middle of the top of a smoothed cross-phase within an octave of a frequency, by a parabola."""
    near = (frequency > around_Hz / math.sqrt(2.0)) & (frequency < around_Hz * math.sqrt(2.0))
    top = frequency[near][np.argmax(phase[near])]
    close = near & (np.abs(frequency - top) <= 0.15 * top)
    curve = np.polyfit(frequency[close], phase[close], 2)
    return float(-curve[1] / (2.0 * curve[0]))


@pytest.mark.parametrize(
    ("density", "frequency_mHz"), [(705.0, 20.0), (451.0, 25.0), (313.0, 30.0), (230.0, 35.0)]
)
def test_fundamental_at_l_2_9_is_that_of_the_tables(density: float, frequency_mHz: float) -> None:
    assert fundamental_frequency_Hz(2.9, density) * 1e3 == pytest.approx(frequency_mHz, rel=2e-3)


@pytest.mark.parametrize("l_shell", [1.5, 2.9, 6.6])
def test_wave_constants_for_uniform_waves_are_exact(l_shell: float) -> None:
    expected = [n * math.pi / 2.0 / math.sqrt(1.0 - 1.0 / l_shell) for n in (1, 2, 3)]
    assert wave_constants(l_shell, 6.0) == pytest.approx(expected, rel=1e-9)
    assert wave_constants(2.9)[0] == pytest.approx(2.2897, abs=5e-5)


def test_wave_constants_without_a_field_line_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must exceed 1, got 1\.0"):
        wave_constants(1.0)


@pytest.mark.parametrize(
    ("l_shell", "lowest_mHz", "highest_mHz"), [(1.7, 70, 100), (2.9, 18, 35), (4.0, 7, 20), (5.4, 8, 21)]
)
def test_frequencies_by_day_are_plausible_along_the_chain(
    l_shell: float, lowest_mHz: float, highest_mHz: float
) -> None:
    plasma = quiet_day(DAY_NS).plasma
    for hour in range(3, 16):
        time_ns = DAY_NS + hour * HOUR_NS
        frequency = plasma.resonance_frequency_Hz(np.array([l_shell]), time_ns, 25.0)[0]
        assert lowest_mHz < frequency * 1e3 < highest_mHz


def test_frequency_over_the_day_falls_by_refilling() -> None:
    plasma = quiet_day(DAY_NS).plasma
    morning, evening = (
        plasma.resonance_frequency_Hz(np.array([2.9, 5.4]), DAY_NS + hour * HOUR_NS, 25.0) for hour in (4, 15)
    )
    fall = 1.0 - evening / morning
    assert 0.18 < fall[0] < 0.30
    assert 0.25 < fall[1] < 0.35


def test_plasmapause_between_knots_moves_straight_and_is_held_beyond() -> None:
    plasma = PlasmaModel(plasmapause=((DAY_NS, 5.0), (DAY_NS + 4 * HOUR_NS, 4.0)))
    assert plasma.plasmapause_l(DAY_NS + HOUR_NS) == pytest.approx(4.75)
    assert plasma.plasmapause_l(DAY_NS - HOUR_NS) == 5.0
    assert plasma.plasmapause_l(DAY_NS + 9 * HOUR_NS) == 4.0
    assert PlasmaModel().plasmapause_l(DAY_NS) is None


@pytest.mark.parametrize(
    ("poleward", "equatorward"),
    [(("P", 1.85), ("E", 1.70)), (("P", 2.710), ("E", 2.447)), (("P", 3.010), ("E", 2.710)), (("P", 4.0), ("E", 3.765)), (("P", 5.604), ("E", 5.147))],
    ids=lambda station: f"L{station[1]:g}",
)  # fmt: skip
def test_cross_phase_of_a_normal_pair_has_its_maximum_at_the_truth(
    poleward: tuple[str, float], equatorward: tuple[str, float]
) -> None:
    start, end = DAY_NS + 7 * HOUR_NS, DAY_NS + 10 * HOUR_NS
    misses, heights, rises = [], [], []
    for seed in range(5):
        day = quiet_day(DAY_NS, seed=seed, stations=(poleward, equatorward))
        simulator = GroundSimulator(dataclasses.replace(day, spikes_per_h=0.0))
        truth = simulator.truth(Pair("P", "E"), (start + end) // 2)
        assert truth.driven
        assert not truth.reversed
        rows = simulator.samples(start, end)
        frequency, phase, ratio, _ = cross_spectrum(rows["P"], rows["E"])
        found = peak_Hz(frequency, phase, truth.frequency_Hz)
        misses.append(found - truth.frequency_Hz)
        heights.append(float(np.degrees(np.interp(found, frequency, phase))))
        below, above = (float(np.interp(share * found, frequency, ratio)) for share in (0.8, 1.25))
        rises.append(below < 1.0 < above)
    assert abs(float(np.median(misses))) < min(1e-3, 0.05 * truth.frequency_Hz)
    assert all(20.0 < height < 100.0 for height in heights)
    assert all(rises)


def test_cross_phase_across_a_steep_plasmapause_has_a_minimum() -> None:
    pair, found, expected = Pair("OUJ", "HAN"), [], []
    for seed in range(5):
        storm = dataclasses.replace(storm_scenario(DAY_NS, seed=seed), spikes_per_h=0.0)
        simulator = GroundSimulator(storm)
        centre = DAY_NS + 11 * HOUR_NS
        truth = simulator.truth(pair, centre)
        assert truth.driven
        assert truth.reversed
        rows = simulator.samples(centre - HOUR_NS, centre + HOUR_NS)
        frequency, phase, ratio, _ = cross_spectrum(rows["OUJ"], rows["HAN"])
        both = np.array([storm.l_shell(code) for code in pair.stations])
        middle = math.sqrt(np.prod(storm.plasma.resonance_frequency_Hz(both, centre, storm.longitude_deg)))
        lowest = peak_Hz(frequency, -phase, middle)
        assert np.degrees(np.interp(lowest, frequency, phase)) < -60.0
        below, above = (float(np.interp(share * lowest, frequency, ratio)) for share in (0.8, 1.25))
        assert above < 1.0 < below
        found.append(lowest)
        expected.append(middle)
    assert abs(float(np.median(found)) - float(np.median(expected))) < 1e-3


def test_truth_before_the_plasmapause_comes_is_not_reversed() -> None:
    simulator = GroundSimulator(storm_scenario(DAY_NS))
    assert not simulator.truth(Pair("OUJ", "HAN"), DAY_NS + 3 * HOUR_NS).reversed
    assert simulator.truth(Pair("PEL", "OUJ"), DAY_NS + 3 * HOUR_NS).reversed


def test_truth_of_a_station_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="XYZ is not among the stations"):
        GroundSimulator(quiet_day(DAY_NS)).truth(Pair("MUO", "XYZ"), DAY_NS)


def test_night_when_quiet_is_incoherent_and_day_is_coherent() -> None:
    simulator = GroundSimulator(dataclasses.replace(quiet_day(DAY_NS, stations=TWO), spikes_per_h=0.0))
    mean = {}
    for centre_h in (9, 22):
        centre = DAY_NS + centre_h * HOUR_NS
        rows = simulator.samples(centre - HOUR_NS, centre + HOUR_NS)
        frequency, _, _, coherence = cross_spectrum(rows["TAR"], rows["BRZ"])
        mean[centre_h] = float(coherence[(frequency > 8e-3) & (frequency < 50e-3)].mean())
        assert simulator.truth(Pair("TAR", "BRZ"), centre).driven == (centre_h == 9)
    assert mean[9] > 0.8
    # Eleven half-overlapping segments of pure noise have a mean coherence near 0.11.
    assert mean[22] < 0.2


def test_waves_without_resonance_are_coherent_and_in_phase() -> None:
    scenario = Scenario(TWO, DAY_NS, resonant=False)
    simulator = GroundSimulator(scenario)
    centre = DAY_NS + 9 * HOUR_NS
    rows = simulator.samples(centre - HOUR_NS, centre + HOUR_NS)
    frequency, phase, _, coherence = cross_spectrum(rows["TAR"], rows["BRZ"])
    band = (frequency > 8e-3) & (frequency < 50e-3)
    assert coherence[band].mean() > 0.9
    assert np.degrees(np.abs(phase[band])).max() < 20.0
    assert not simulator.truth(Pair("TAR", "BRZ"), centre).driven


@pytest.mark.parametrize("offset_s", [2.8, -1.3])
def test_clock_that_is_late_at_the_equatorward_station_tilts_the_phase_down(offset_s: float) -> None:
    quiet = Scenario(TWO, DAY_NS, resonant=False, noise_power=0.01)
    late = dataclasses.replace(quiet, clock_offset_s={"BRZ": offset_s})
    centre = DAY_NS + 9 * HOUR_NS
    rows = GroundSimulator(late).samples(centre - HOUR_NS, centre + HOUR_NS)
    frequency, phase, _, _ = cross_spectrum(rows["TAR"], rows["BRZ"])
    band = (frequency > 5e-3) & (frequency < 60e-3)
    slope = np.polyfit(frequency[band], phase[band], 1)[0]
    assert slope == pytest.approx(-2.0 * math.pi * offset_s, rel=0.01)


def test_clock_that_is_late_shows_the_field_of_earlier() -> None:
    plain = Scenario(TWO, DAY_NS, noise_power=0.0, quantum_nT=0.0)
    late = dataclasses.replace(plain, clock_offset_s={"BRZ": 5.0})
    start, end = DAY_NS + 8 * HOUR_NS, DAY_NS + 10 * HOUR_NS
    was = GroundSimulator(plain).samples(start - 5 * SECOND_NS, end - 5 * SECOND_NS)["BRZ"]
    shown = GroundSimulator(late).samples(start, end)["BRZ"]
    # The fade between blocks stays where it is: half a per cent of the waves.
    assert np.std(shown - was) < 0.01 * np.std(was - was.mean())
    assert np.std(shown - GroundSimulator(plain).samples(start, end)["BRZ"]) > 20.0 * np.std(shown - was)


def test_slow_field_runs_on_smoothly_where_blocks_meet() -> None:
    slow = Scenario(TWO, DAY_NS, wave_power=0.0, noise_power=0.0, quantum_nT=0.0)
    row = GroundSimulator(slow).samples(DAY_NS, DAY_NS + 12 * HOUR_NS)["TAR"]
    bend = np.abs(np.diff(row, 2))
    assert np.ptp(row) > 10.0
    assert bend.max() < 0.01  # (2π · 2 mHz · 1 s)² of some nT, and no more where half-hours meet


def test_waves_and_noise_run_on_where_blocks_meet() -> None:
    row = GroundSimulator(Scenario(TWO, DAY_NS)).samples(DAY_NS + 6 * HOUR_NS, DAY_NS + 12 * HOUR_NS)["TAR"]
    steps = np.diff(row)
    across = steps[1799::1800]
    assert across.size == 11
    assert np.sqrt(np.mean(across**2)) < 2.0 * np.std(steps)


def test_sq_is_lowest_before_local_noon() -> None:
    calm = Scenario(TWO, DAY_NS, step_s=10.0, wave_power=0.0, noise_power=0.0, slow_rms_nT=0.0)
    row = GroundSimulator(calm).samples(DAY_NS, DAY_NS + 24 * HOUR_NS)["TAR"]
    assert np.argmin(row) / 360.0 + 25.0 / 15.0 == pytest.approx(11.5, abs=0.1)
    assert 20.0 < np.ptp(row) < 50.0
    assert row[0] == pytest.approx(
        GroundSimulator(calm).samples(DAY_NS + 24 * HOUR_NS, DAY_NS + 25 * HOUR_NS)["TAR"][0], abs=0.011
    )


def test_packet_envelope_keeps_the_power_and_ignores_the_step() -> None:
    fine, coarse = (
        np.array(
            [packet_envelope(np.random.default_rng(seed), round(3600 / step), step) for seed in range(300)]
        )
        for step in (1.0, 10.0)
    )
    assert np.mean(fine**2) == pytest.approx(1.0, abs=0.15)
    assert np.allclose(fine[:, ::10], coarse, rtol=1e-6)


def test_gap_is_nan_where_it_is_and_nowhere_else() -> None:
    gap = Gap("BRZ", DAY_NS + 100 * SECOND_NS + 1, DAY_NS + 160 * SECOND_NS)
    rows = GroundSimulator(Scenario(TWO, DAY_NS, gaps=(gap,))).samples(DAY_NS, DAY_NS + 300 * SECOND_NS)
    assert np.flatnonzero(np.isnan(rows["BRZ"])).tolist() == list(range(101, 160))
    assert np.isfinite(rows["TAR"]).all()


@pytest.mark.parametrize("quantum_nT", [0.01, 0.5])
def test_values_are_steps_of_the_digitiser(quantum_nT: float) -> None:
    scenario = Scenario(TWO, DAY_NS, quantum_nT=quantum_nT)
    row = GroundSimulator(scenario).samples(DAY_NS, DAY_NS + HOUR_NS)["TAR"]
    steps = row / quantum_nT
    assert np.abs(steps - np.round(steps)).max() < 1e-6
    assert np.unique(np.round(steps)).size > 3


def test_spikes_come_at_their_rate_and_leave_the_rest_alone() -> None:
    plain = Scenario(TWO, DAY_NS)
    spiky = dataclasses.replace(plain, spikes_per_h=10.0)
    end = DAY_NS + 6 * HOUR_NS
    difference = np.concatenate(
        [
            GroundSimulator(spiky).samples(DAY_NS, end)[code]
            - GroundSimulator(plain).samples(DAY_NS, end)[code]
            for code in ("TAR", "BRZ")
        ]
    )
    thrown = np.abs(difference[np.abs(difference) > 0.005])
    assert 80 <= thrown.size <= 160  # 120 expected
    assert thrown.min() > 2.9
    assert thrown.max() < 60.1


def test_third_harmonic_adds_power_where_it_rings() -> None:
    plain = Scenario((("TAR", 3.010),), DAY_NS, noise_power=0.0)
    rich = dataclasses.replace(plain, third_harmonic=0.7)
    centre = DAY_NS + 9 * HOUR_NS
    third_Hz = plain.plasma.resonance_frequency_Hz(np.array([3.010]), centre, 25.0, harmonic=3)[0]
    power = []
    for scenario in (plain, rich):
        row = GroundSimulator(scenario).samples(centre - HOUR_NS, centre + HOUR_NS)["TAR"]
        frequency, density = power_density(row, 1.0, 1200)
        power.append(np.interp(third_Hz, frequency, density))
    assert power[1] > 4.0 * power[0]


def test_noise_of_a_station_does_not_depend_on_its_neighbours() -> None:
    alone = Scenario((("TAR", 3.010),), DAY_NS)
    chain = Scenario(EMMA, DAY_NS)
    end = DAY_NS + 2 * HOUR_NS
    apart = (
        GroundSimulator(alone).samples(DAY_NS, end)["TAR"]
        - GroundSimulator(chain).samples(DAY_NS, end)["TAR"]
    )
    assert np.abs(apart).max() < 0.011  # one step of the digitiser at most, where a sum rounds otherwise


@pytest.mark.parametrize("step_s", [0.1, 1.0, 10.0])
def test_step_sets_the_number_of_samples_and_not_the_power(step_s: float) -> None:
    simulator = GroundSimulator(Scenario((("TAR", 3.010),), DAY_NS, step_s=step_s))
    start, end = DAY_NS + 8 * HOUR_NS, DAY_NS + 9 * HOUR_NS
    row = simulator.samples(start, end)["TAR"]
    assert row.size == round(3600 / step_s)
    frequency, density = power_density(row, 1.0 / step_s, round(600 / step_s))
    band = (frequency > 10e-3) & (frequency < 35e-3)
    assert 0.5 < density[band].mean() < 40.0


def test_blocks_are_the_samples_as_sample_blocks() -> None:
    scenario = quiet_day(DAY_NS, step_s=10.0)
    end = DAY_NS + 600 * SECOND_NS
    rows = GroundSimulator(scenario).samples(DAY_NS, end)
    blocks = GroundSimulator(scenario).blocks(DAY_NS, end)
    assert [block.source for block in blocks] == [code for code, _ in EMMA]
    for block in blocks:
        assert (block.components, block.t0_ns, block.step_ns, block.end_ns) == (
            ("H",),
            DAY_NS,
            10 * SECOND_NS,
            end,
        )
        assert np.array_equal(block.values[0], rows[block.source])


def test_samples_that_are_handed_out_may_be_changed() -> None:
    simulator = GroundSimulator(Scenario(TWO, DAY_NS))
    end = DAY_NS + 60 * SECOND_NS
    first = simulator.samples(DAY_NS, end)["TAR"]
    kept = first.copy()
    first[:] = 0.0
    assert np.array_equal(simulator.samples(DAY_NS, end)["TAR"], kept)


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "message"),
    [
        (DAY_NS + 1, DAY_NS + HOUR_NS, "multiples of 1000000000 ns"),
        (DAY_NS - HOUR_NS, DAY_NS, "≤ start ≤ end"),
        (DAY_NS + HOUR_NS, DAY_NS, "≤ start ≤ end"),
    ],
)
def test_samples_at_times_that_cannot_be_are_refused(start_ns: int, end_ns: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroundSimulator(Scenario(TWO, DAY_NS)).samples(start_ns, end_ns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stations": ()}, "stations must be given"),
        ({"stations": (("A", 2.0), ("A", 3.0))}, "each once"),
        ({"stations": (("A", 1.0),)}, "L must exceed 1"),
        ({"step_s": 0.0}, "step_s must divide half an hour, got 0.0"),
        ({"step_s": 7.0}, "step_s must divide half an hour, got 7.0"),
        ({"start_ns": 0}, "start_ns must be"),
        ({"seed": -1}, "seed must not be negative"),
        ({"quality": 0.0}, "quality must be positive"),
        ({"wave_power": -1.0}, "wave_power must not be negative"),
        ({"noise_power": math.nan}, "noise_power must not be negative, got nan"),
        ({"quantum_nT": -0.01}, "quantum_nT must not be negative"),
        ({"gaps": (Gap("XYZ", 0, 1),)}, "not among the stations: .*XYZ"),
        ({"clock_offset_s": {"XYZ": 1.0}}, "not among the stations: .*XYZ"),
    ],
)
def test_scenario_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Scenario(TWO, DAY_NS), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"saturation": 0.0}, "saturation"),
        ({"mean_ion_mass_amu": 0.5}, "mean_ion_mass_amu"),
        ({"plasmapause_width_l": 0.0}, "plasmapause_width_l"),
        ({"plasmapause": ((2, 4.0), (1, 4.0))}, "must rise in time"),
    ],
)
def test_plasma_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PlasmaModel(), **change)
