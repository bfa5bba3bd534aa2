"""What one station sees alone: local currents, man-made noise, its sensor's drift; and what its instrument does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.science.synthetic.cases import STATIONS, Case
from monitor.science.synthetic.excitation import REFERENCE_HZ, Grid, is_night
from monitor.science.synthetic.oscillator import BlockFilter, coloured_noise
from monitor.types import SECOND_NS, BoolArray, FloatArray

_NOISE_CORNER_HZ = 1.0e-3
_AURORAL_L = (4.0, 6.5)
_CLOCK_MARGIN_S = 60.0
_CLOCK_HOP_S = 900.0


def local_noise(case: Case, row: int, grid: Grid) -> FloatArray:
    """Noise of one station (nT), shape (count,): local currents, instrument, machines and trains, drift."""
    station, name = case.stations[row], STATIONS[row]
    frequency = np.maximum(grid.frequency_Hz, 1e-6)
    psd = station.noise_nT2_Hz * (station.l_shell / 3.0) ** (2.0 * case.noise_latitude)
    shape = psd * (REFERENCE_HZ / frequency) ** case.noise_slope / (1.0 + (_NOISE_CORNER_HZ / frequency) ** 4)
    noise = coloured_noise(case.generator(f"noise {name}"), shape, grid.count, grid.step_s)
    if case.auroral_gain > 1.0:
        noise *= grid.course(lambda time_ns: _auroral(case, station.l_shell, time_ns))
    white = np.full(frequency.size, case.white_nT2_Hz)
    noise += coloured_noise(case.generator(f"white {name}"), white, grid.count, grid.step_s)
    if station.cultural_nT > 0.0:
        noise += _cultural(case, row, grid)
    return noise + _drift(case, row, grid)


def _auroral(case: Case, l_shell: float, time_ns: FloatArray) -> FloatArray:
    """Factor on the amplitude of the local noise: by night, growing poleward of L = 4."""
    low, high = _AURORAL_L
    reach = min(max((l_shell - low) / (high - low), 0.0), 1.0)
    factor: FloatArray = 1.0 + (case.auroral_gain - 1.0) * reach * is_night(case.local_time_h(time_ns))
    return factor


def _cultural(case: Case, row: int, grid: Grid) -> FloatArray:
    """A machine that switches on and off with a period, trains that step the field by day, or both."""
    rng, amplitude = case.generator(f"culture {STATIONS[row]}"), case.stations[row].cultural_nT
    kind = int(rng.integers(3))
    series = np.zeros(grid.count)
    period_s, duty = np.exp(rng.uniform(np.log(20.0), np.log(600.0))), rng.uniform(0.2, 0.8)
    works_s = np.sort(rng.uniform(-0.5 * grid.end_s, 1.5 * grid.end_s, 2))
    if kind != 1:
        seconds = grid.seconds
        on = (seconds > works_s[0]) & (seconds < works_s[1])
        series += amplitude * (on & ((seconds / period_s) % 1.0 < duty))
    if kind != 0:
        for _ in range(rng.poisson(8.0 * grid.end_s / 3600.0)):
            begin_s, length_s = rng.uniform(0.0, grid.end_s), rng.exponential(180.0)
            size = amplitude * rng.exponential() * rng.choice([-1.0, 1.0])
            local = case.local_time_h(np.array([grid.start_ns + begin_s * SECOND_NS]))[0]
            if 5.0 < local < 23.0:
                series[round(begin_s / grid.step_s) : round((begin_s + length_s) / grid.step_s)] += size
    return series


def _drift(case: Case, row: int, grid: Grid) -> FloatArray:
    """Drift of the sensor with its temperature: a line, and a wave of some hours about it."""
    rate = case.stations[row].drift_nT_h / 3600.0
    period_s = case.generator(f"drift {STATIONS[row]}").uniform(3.0, 12.0) * 3600.0
    seconds = grid.seconds
    drift: FloatArray = rate * (seconds + period_s / 6.0 * np.sin(2.0 * np.pi * seconds / period_s))
    return drift


def clock_lag_s(case: Case, row: int, time_ns: FloatArray) -> FloatArray:
    """How late the station's stamps are (s), shape like `time_ns`: the sample stamped t shows the field at t − τ."""
    station = case.stations[row]
    hours = (time_ns - case.start_ns) / (3600.0 * SECOND_NS)
    lag: FloatArray = station.clock_offset_s + station.clock_ramp_s_h * hours
    return lag


def clocked(series: FloatArray, case: Case, row: int, grid: Grid) -> FloatArray:
    """A series as the station's clock stamps it, shape (count,): valid away from the ends by a margin of the grid."""
    hop = round(_CLOCK_HOP_S / grid.step_s)
    blocks = BlockFilter(grid.count, hop, round(4.0 * _CLOCK_MARGIN_S / grid.step_s), grid.step_s)
    centres = grid.start_ns + np.arange(blocks.blocks, dtype=np.float64) * _CLOCK_HOP_S * SECOND_NS
    # Delayed by a minute more, so that no block is moved over its own beginning, and put back by whole samples.
    margin = round(_CLOCK_MARGIN_S / grid.step_s)
    lag = clock_lag_s(case, row, centres) + margin * grid.step_s
    moved = blocks.series(blocks.spectra(series) * np.exp(-2j * np.pi * np.outer(lag, blocks.frequency_Hz)))
    return np.concatenate([moved[margin:], np.full(margin, moved[-1])])


@dataclass(frozen=True, slots=True)
class Mishaps:
    """What an instrument does to a record (arrays of shape (n,)).

    Attributes
    ----------
    jumps_nT : ndarray
        Steps of the baseline: they stay in the record.
    spikes_nT : ndarray
        Single samples thrown off.
    missing : ndarray of bool
        Gaps.
    dead_from : int or None
        Sample from which on the channel repeats its last value.
    """

    jumps_nT: FloatArray
    spikes_nT: FloatArray
    missing: BoolArray
    dead_from: int | None


def mishaps(case: Case, row: int, count: int) -> Mishaps:
    """Draw what goes wrong with `count` samples of one station."""
    station, name, ranges = case.stations[row], STATIONS[row], case.ranges
    step_s = case.step_ns / SECOND_NS
    jumps, spikes = np.zeros(count), np.zeros(count)
    rng = case.generator(f"jumps {name}")
    for _ in range(station.steps):
        jumps[int(rng.integers(1, count)) :] += ranges.step_nT.draw(rng) * rng.choice([-1.0, 1.0])
    rng = case.generator(f"spikes {name}")
    for at in rng.integers(0, count, rng.poisson(station.spikes_per_h * count * step_s / 3600.0)).tolist():
        spikes[at] += ranges.spike_nT.draw(rng) * rng.choice([-1.0, 1.0])
    rng = case.generator(f"missing {name}")
    missing = np.zeros(count, dtype=np.bool_)
    for _ in range(station.gaps):
        begin, length = int(rng.integers(count)), max(1, round(ranges.gap_s.draw(rng) / step_s))
        missing[begin : begin + length] = True
    dead = None if station.dead_share is None else max(0, round(station.dead_share * count))
    return Mishaps(jumps, spikes, missing, dead)
