"""What drives the field lines of a case, and the coherent waves that no field line rings in.

All series are nT at L = 3 on the time axis of a `Grid`, before the way to the stations (gain, delay, response).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft

from monitor.science.synthetic.cases import Case
from monitor.science.synthetic.oscillator import coloured_noise
from monitor.science.synthetic.waves import sq_shape
from monitor.types import SECOND_NS, FloatArray

REFERENCE_HZ = 20.0e-3
_DRIVER_CORNER_HZ = 0.7e-3
_SLOW_BAND_HZ = (3.0e-5, 1.5e-3)
_UPSTREAM_WIDTH = 0.4
_KNOT_S = 60.0
_PULSES_PER_H = 1.5
_DUSK_H, _DAWN_H = 20.0, 4.0


@dataclass(frozen=True, slots=True)
class Grid:
    """The time axis of a simulation: `count` samples from `start_ns`, `step_ns` apart."""

    start_ns: int
    step_ns: int
    count: int

    @property
    def step_s(self) -> float:
        """Step in seconds."""
        return self.step_ns / SECOND_NS

    @property
    def end_s(self) -> float:
        """Length in seconds."""
        return self.count * self.step_s

    @property
    def seconds(self) -> FloatArray:
        """Seconds since the start, shape (count,)."""
        return np.arange(self.count, dtype=np.float64) * self.step_s

    @property
    def frequency_Hz(self) -> FloatArray:
        """Frequencies of a transform of the whole axis."""
        return np.asarray(fft.rfftfreq(self.count, self.step_s), dtype=np.float64)

    def course(self, function: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """A slow function of time (ns), worked out once a minute and joined by lines, shape (count,)."""
        knots = np.arange(0.0, self.end_s + _KNOT_S, _KNOT_S)
        values: FloatArray = np.interp(self.seconds, knots, function(self.start_ns + knots * SECOND_NS))
        return values


@dataclass(frozen=True, slots=True)
class Excitation:
    """What comes from the magnetosphere (series of shape (count,), nT at L = 3).

    Attributes
    ----------
    driver : ndarray
        Noise, packets and pulses: drives the oscillators.
    train : ndarray or None
        The monochromatic train: forces the oscillators at its own frequency.
    direct : ndarray
        What reaches the ground beside the oscillators: a share of driver and train, pulses, other waves, and what
        is slow (Sq, the red variation below 2 mHz).
    """

    driver: FloatArray
    train: FloatArray | None
    direct: FloatArray


def excite(case: Case, grid: Grid) -> Excitation:
    """Draw the series of a case."""
    waves = case.waves
    activity = grid.course(lambda time_ns: wave_activity(case, time_ns))
    noise = activity * _noise(case, grid, "driver", waves.driver_slope, waves.upstream_gain)
    noise += activity * _packets(case, grid)
    pulses = _substorms(case, grid) + _commencement(case, grid)
    # Without oscillators the waves themselves are what the ground shows.
    share = waves.direct_share if case.coupling > 0.0 else 1.0
    direct = share * noise + pulses + _slow(case, grid)
    if waves.background_share > 0.0:
        background = _noise(case, grid, "background", waves.background_slope, 1.0)
        direct += waves.background_share * activity * background
    train = activity * _train(case, grid) if waves.train_nT > 0.0 else None
    if train is not None:
        direct += share * train
    return Excitation(noise + pulses, train, direct)


def driver_psd_nT2_Hz(case: Case, frequency_Hz: FloatArray, slope: float, gain: float) -> FloatArray:
    """Power density of coloured noise at the most active hour: a power law, with the hump of upstream waves."""
    positive = np.maximum(frequency_Hz, 1e-6)
    hump = np.exp(-np.square(np.log(positive / case.waves.upstream_Hz) / _UPSTREAM_WIDTH))
    psd: FloatArray = case.waves.driver_nT2_Hz * (REFERENCE_HZ / positive) ** slope
    psd *= (1.0 + (gain - 1.0) * hump) / (1.0 + (_DRIVER_CORNER_HZ / positive) ** 6)
    return psd


def wave_activity(case: Case, time_ns: FloatArray) -> FloatArray:
    """Amplitude of waves over the day, shape like `time_ns`: most before noon, the night's share in the dark."""
    lit = case.sunlight(time_ns).mean(axis=0)
    morning = 1.0 - 0.3 * (1.0 - np.cos(2.0 * np.pi * (case.local_time_h(time_ns) - 10.0) / 24.0))
    night = case.waves.night_share
    activity: FloatArray = night + (1.0 - night) * lit * morning
    return activity


def envelope(rng: np.random.Generator, spread: float, correlation_s: float, grid: Grid) -> FloatArray:
    """Log-normal envelope of mean square 1, shape (count,): it gathers noise into packets."""
    frequency = grid.frequency_Hz
    shape = np.exp(-np.square(np.pi * frequency * correlation_s))
    # Drawn on the few bins that the envelope has, so that the step does not change its course.
    few = max(2, int(np.searchsorted(shape < 1e-6, True)))
    parts = rng.standard_normal((2, few))
    spectrum = np.zeros(shape.size, dtype=np.complex128)
    spectrum[1:few] = (parts[0] + 1j * parts[1])[1:] * np.sqrt(shape[1:few] / (4.0 * shape[1:few].sum()))
    course = spread * fft.irfft(spectrum, grid.count) * grid.count
    result: FloatArray = np.exp(course - spread**2)
    return result


def is_night(local_time_h: FloatArray) -> FloatArray:
    """1 in the hours of substorms, 0 else, with an hour's edges; shape like the input."""
    from_midnight = np.abs((local_time_h + 12.0) % 24.0 - 12.0)
    night: FloatArray = 0.5 - 0.5 * np.tanh((from_midnight - 4.0) / 0.5)
    return night


def _noise(case: Case, grid: Grid, name: str, slope: float, gain: float) -> FloatArray:
    rng = case.generator(f"{name} noise")
    psd = driver_psd_nT2_Hz(case, grid.frequency_Hz, slope, gain)
    course = envelope(case.generator(f"{name} envelope"), case.waves.packet_spread, case.waves.packet_s, grid)
    return course * coloured_noise(rng, psd, grid.count, grid.step_s)


def _packets(case: Case, grid: Grid) -> FloatArray:
    """Single packets at random times: 3 to 15 cycles under a Gaussian, within half an octave of their frequency."""
    total = np.zeros(grid.count)
    waves, rng = case.waves, case.generator("packets")
    for _ in range(rng.poisson(waves.packets_per_h * grid.end_s / 3600.0)):
        centre_s, frequency = rng.uniform(0.0, grid.end_s), waves.packet_Hz * 2.0 ** rng.uniform(-0.5, 0.5)
        width_s = rng.uniform(3.0, 15.0) / frequency / 4.0
        amplitude = waves.packet_nT * rng.exponential()
        phase = rng.uniform(0.0, 2.0 * np.pi)
        if frequency < 0.4 / grid.step_s:
            since, into = _since(grid, centre_s, -4.0 * width_s, 4.0 * width_s)
            shape = np.exp(-0.5 * np.square(since / width_s))
            total[into] += amplitude * shape * np.cos(2.0 * np.pi * frequency * since + phase)
    return total


def _train(case: Case, grid: Grid) -> FloatArray:
    """One frequency for 0.5 to 3 h, its amplitude slowly changing."""
    rng, frequency = case.generator("train"), case.waves.train_Hz
    length_s = rng.uniform(1800.0, 10800.0)
    begin_s = rng.uniform(-0.5 * length_s, grid.end_s - 0.5 * length_s)
    seconds = grid.seconds
    fade = np.clip(np.minimum(seconds - begin_s, begin_s + length_s - seconds) / 300.0, 0.0, 1.0)
    course = 1.0 + 0.4 * np.sin(2.0 * np.pi * seconds / rng.uniform(600.0, 2400.0) + rng.uniform(0.0, 6.28))
    if frequency > 0.4 / grid.step_s:
        return np.zeros(grid.count)
    series: FloatArray = case.waves.train_nT * fade * course * np.cos(2.0 * np.pi * frequency * seconds)
    return series


def _substorms(case: Case, grid: Grid) -> FloatArray:
    """Pi2-like pulses: a sudden rise that rings off within three periods, by night only."""
    total = np.zeros(grid.count)
    waves, rng = case.waves, case.generator("substorms")
    if waves.substorm_nT == 0.0:
        return total
    for _ in range(rng.poisson(_PULSES_PER_H * grid.end_s / 3600.0)):
        begin_s, amplitude = rng.uniform(0.0, grid.end_s), waves.substorm_nT * rng.exponential()
        frequency = waves.substorm_Hz * rng.uniform(0.8, 1.25)
        local = case.local_time_h(np.array([grid.start_ns + begin_s * SECOND_NS]))[0]
        if _DAWN_H < local < _DUSK_H:
            continue
        since, into = _since(grid, begin_s, 0.0, 8.0 / frequency)
        shape = np.exp(-since * frequency / 1.5) * np.sin(2.0 * np.pi * frequency * since)
        total[into] += amplitude * shape
    return total


def _commencement(case: Case, grid: Grid) -> FloatArray:
    """A rise within one to four minutes that decays over an hour or two."""
    rng = case.generator("commencement")
    at_s, rise_s = rng.uniform(0.0, grid.end_s), rng.uniform(60.0, 240.0) / 4.0
    decay_s = rng.uniform(3600.0, 7200.0)
    if case.waves.commencement_nT == 0.0:
        return np.zeros(grid.count)
    since = grid.seconds - at_s
    rise = 0.5 + 0.5 * np.tanh(since / rise_s)
    series: FloatArray = case.waves.commencement_nT * rise * np.exp(-np.maximum(since, 0.0) / decay_s)
    return series


def _slow(case: Case, grid: Grid) -> FloatArray:
    """Sq, and the red variation that the region shares."""
    frequency = np.maximum(grid.frequency_Hz, 1e-9)
    low, high = _SLOW_BAND_HZ
    psd = np.where(frequency > low, (low / frequency) ** 2 / (1.0 + (frequency / high) ** 6), 0.0)
    psd *= case.waves.slow_rms_nT**2 / (psd.sum() * grid.frequency_Hz[1])
    red = coloured_noise(case.generator("slow"), psd, grid.count, grid.step_s)
    return red + case.waves.sq_nT * grid.course(lambda time_ns: sq_shape(case.local_time_h(time_ns)))


def _since(grid: Grid, at_s: float, first_s: float, last_s: float) -> tuple[FloatArray, slice]:
    """Seconds since a time for the samples from `first_s` to `last_s` about it, and where they stand."""
    begin = min(grid.count, max(0, round((at_s + first_s) / grid.step_s)))
    end = min(grid.count, max(begin, round((at_s + last_s) / grid.step_s)))
    return np.arange(begin, end, dtype=np.float64) * grid.step_s - at_s, slice(begin, end)
