"""A chain of ground magnetometers whose resonances are known.

Every field line is a damped oscillator under one driver: at a station whose field line rings at f_R the driver
passes through H(f) = 1 / (1 + i Q (f/f_R − f_R/f)) (numpy's transform), which near f_R is 1 / (1 + i (x − x_R) / δ)
with x counted poleward and δ = f_R / (−2 Q df_R/dx). So the cross-phase (equatorward − poleward) has a maximum at
√(f_P f_E), where the amplitude ratio rises through 1; where f_R rises poleward, at a steep plasmapause, it has a
minimum. Part of the driver reaches the ground beside the resonance; it keeps low frequencies coherent.

H (nT) = main field + Sq + slow variation of the whole chain + response + local noise + spikes, in steps of the
digitiser. A sample is a function of scenario, station and time alone, to the last bit: it does not depend on how
time was cut into requests. Random parts come from blocks of an hour, each with a generator seeded by its number,
that fade into each other with windows whose squares add up to 1.
"""

from __future__ import annotations

import math
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import fft

from monitor.science.synthetic.oscillator import oscillator
from monitor.science.synthetic.plasma import EQUATORIAL_FIELD_T, PlasmaModel, local_time_h
from monitor.science.synthetic.scenario import (
    BLOCK_NS,
    EMMA,
    Gap,
    Scenario,
    Truth,
    factor_at,
    quiet_day,
    storm_scenario,
)
from monitor.science.synthetic.waves import (
    SlowField,
    driver_psd_nT2_Hz,
    noise_psd_nT2_Hz,
    packet_envelope,
    wave_activity,
    white_spectrum,
)
from monitor.stations import invariant_latitude_deg, l_shell_at
from monitor.types import SECOND_NS, ComplexArray, FloatArray, Pair, SampleBlock

__all__ = [
    "EMMA",
    "Gap",
    "GroundSimulator",
    "PlasmaModel",
    "Scenario",
    "Truth",
    "quiet_day",
    "storm_scenario",
]

_HOP_NS: Final = BLOCK_NS // 2
_SPIKE_NT = (3.0, 60.0)
_STREAM_DRIVER, _STREAM_NOISE, _STREAM_SPIKES = 2, 3, 4  # 1 is the slow field's
_DRIVEN_RATIO = 2.0


class GroundSimulator:
    """Samples of a scenario, and the truth about them.

    It keeps what it last computed, so that a stream of short requests in rising time costs no more than a long
    one. Not to be shared between threads.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._l_shell = np.array([l_shell for _, l_shell in scenario.stations])
        self._gain = _gain(self._l_shell)
        self._site_quality, self._site_gain, self._site_noise = (
            np.array([factors.get(code, 1.0) for code in scenario.codes])
            for factors in (scenario.site_quality, scenario.site_gain, scenario.site_noise)
        )
        self._offset_s = np.array([scenario.clock_offset_s.get(code, 0.0) for code in scenario.codes])
        self._main_field_nT = EQUATORIAL_FIELD_T * 1e9 / np.sqrt(self._l_shell)
        self._slow = SlowField.draw(
            scenario.seed, scenario.slow_rms_nT * np.sqrt(self._gain), scenario.longitude_deg, self._offset_s
        )
        self._count = BLOCK_NS // scenario.step_ns
        step_s = scenario.step_ns / SECOND_NS
        self._frequency_Hz: FloatArray = fft.rfftfreq(self._count, step_s)
        # One-sided power density S is the standard deviation √(S f_s / 2) of each Fourier component.
        self._driver_scale = np.sqrt(
            scenario.wave_power * driver_psd_nT2_Hz(self._frequency_Hz) / (2.0 * step_s)
        )
        self._noise_scale = np.sqrt(
            scenario.noise_power * noise_psd_nT2_Hz(self._frequency_Hz) / (2.0 * step_s)
        )
        self._delay = np.exp(-2j * np.pi * np.outer(self._offset_s, self._frequency_Hz))
        self._window = np.sin(np.pi * (np.arange(self._count) + 0.5) / self._count)
        self._blocks: OrderedDict[int, FloatArray] = OrderedDict()
        self._segments: OrderedDict[int, FloatArray] = OrderedDict()

    def samples(self, start_ns: int, end_ns: int) -> dict[str, FloatArray]:
        """H (nT) of every station at start ≤ t < end, each of shape (n,); NaN in gaps.

        Raises
        ------
        ValueError
            When the times are not multiples of the step, or the start is before the scenario's or after the end.
        """
        step_ns = self.scenario.step_ns
        if start_ns % step_ns or end_ns % step_ns:
            raise ValueError(f"start and end must be multiples of {step_ns} ns, got {start_ns} and {end_ns}")
        if not self.scenario.start_ns <= start_ns <= end_ns:
            raise ValueError(f"expected {self.scenario.start_ns} ≤ start ≤ end, got {start_ns} and {end_ns}")
        values = np.empty((len(self.scenario.stations), (end_ns - start_ns) // step_ns))
        for index in range(start_ns // _HOP_NS, -(-end_ns // _HOP_NS)):
            first = max(start_ns, index * _HOP_NS)
            last = min(end_ns, (index + 1) * _HOP_NS)
            into = slice((first - start_ns) // step_ns, (last - start_ns) // step_ns)
            out_of = slice((first - index * _HOP_NS) // step_ns, (last - index * _HOP_NS) // step_ns)
            values[:, into] = self._segment(index)[:, out_of]
        rows = dict(zip(self.scenario.codes, values, strict=True))
        for gap in self.scenario.gaps:
            # The first sample at or after a time: rounded up.
            lost = slice(
                *(max(0, -(-(time_ns - start_ns) // step_ns)) for time_ns in (gap.start_ns, gap.end_ns))
            )
            rows[gap.station][lost] = np.nan
        return rows

    def blocks(self, start_ns: int, end_ns: int) -> list[SampleBlock]:
        """The same as one block a station, component H."""
        rows = self.samples(start_ns, end_ns)
        return [
            SampleBlock(code, ("H",), start_ns, self.scenario.step_ns, row[None, :])
            for code, row in rows.items()
        ]

    def truth(self, pair: Pair, time_ns: int) -> Truth:
        """The resonance of a pair of the chain at a time: the centre of the window that is asked about."""
        scenario = self.scenario
        stations = np.array([scenario.l_shell(code) for code in pair.stations], dtype=np.float64)
        rows = [scenario.codes.index(code) for code in pair.stations]
        middle = l_shell_at(sum(invariant_latitude_deg(float(l_shell)) for l_shell in stations) / 2.0)
        at = np.array([*stations, middle])
        poleward, equatorward, frequency = scenario.plasma.resonance_frequency_Hz(
            at, time_ns, scenario.longitude_deg
        ).tolist()
        where = np.array([frequency])
        response = np.abs(self._response(rows, where, time_ns))[:, 0] * self._site_gain[rows]
        activity = float(wave_activity(np.array([local_time_h(time_ns, scenario.longitude_deg)]))[0])
        wave = scenario.wave_power * activity**2 * float(driver_psd_nT2_Hz(where)[0])
        wave *= factor_at(scenario.wave_course, time_ns)
        noise = scenario.noise_power * float(noise_psd_nT2_Hz(where)[0])
        noise *= factor_at(scenario.noise_course, time_ns)
        ratio = float(np.min(response**2 / self._site_noise[rows])) * (
            wave / noise if noise > 0.0 else math.inf if wave > 0.0 else 0.0
        )
        driven = scenario.resonant and ratio >= _DRIVEN_RATIO
        return Truth(frequency, poleward > equatorward, driven, ratio)

    def quality(self, time_ns: int) -> FloatArray:
        """Q of the oscillators at all stations in their order at a time, shape (s,)."""
        scenario = self.scenario
        dark = _darkness(local_time_h(time_ns, scenario.longitude_deg))
        quality: FloatArray = scenario.quality * self._site_quality * scenario.night_quality**dark
        return quality

    def _segment(self, index: int) -> FloatArray:
        """Half an hour of all stations without gaps, shape (s, n)."""
        if (kept := self._segments.get(index)) is not None:
            return kept
        half = self._count // 2
        values = self._block(index - 1)[:, half:] + self._block(index)[:, :half]
        step_s = self.scenario.step_ns / SECOND_NS
        values += self._slow.values_nT(index * _HOP_NS / SECOND_NS, step_s, half)
        values += self._main_field_nT[:, None]
        if self.scenario.spikes_per_h > 0.0:
            for row, code in zip(values, self.scenario.codes, strict=True):
                _add_spikes(
                    row, self._generator(_STREAM_SPIKES, index, code), self.scenario.spikes_per_h / 2.0
                )
        if self.scenario.quantum_nT > 0.0:
            values = np.round(values / self.scenario.quantum_nT) * self.scenario.quantum_nT
        return _remember(self._segments, index, values)

    def _block(self, index: int) -> FloatArray:
        """Response and noise of one block, faded in and out, shape (s, n)."""
        if (kept := self._blocks.get(index)) is not None:
            return kept
        start_ns, scenario = index * _HOP_NS, self.scenario
        rng = self._generator(_STREAM_DRIVER, index)
        step_s = scenario.step_ns / SECOND_NS
        white = white_spectrum(rng, 1, self._count)[0]
        hours = np.arange(self._count, dtype=np.float64)
        hours *= step_s / 3600.0
        hours += local_time_h(start_ns, scenario.longitude_deg)
        envelope = wave_activity(hours % 24.0) * packet_envelope(rng, self._count, step_s)
        centre_ns = start_ns + BLOCK_NS // 2
        envelope *= math.sqrt(factor_at(scenario.wave_course, centre_ns))
        driver = fft.rfft(fft.irfft(white * self._driver_scale, self._count) * envelope)
        rows = range(len(scenario.stations))
        spectra = driver * self._response(rows, self._frequency_Hz, centre_ns) * self._site_gain[:, None]
        noise_level = np.sqrt(factor_at(scenario.noise_course, centre_ns) * self._site_noise)
        for row, code in enumerate(scenario.codes):
            noise = white_spectrum(self._generator(_STREAM_NOISE, index, code), 1, self._count)[0]
            spectra[row] += noise * self._noise_scale * noise_level[row]
        spectra *= self._gain[:, None] * self._delay
        return _remember(self._blocks, index, fft.irfft(spectra, self._count, axis=1) * self._window)

    def _response(self, rows: Sequence[int], frequency_Hz: FloatArray, time_ns: int) -> ComplexArray:
        """Transfer function from driver to the ground below some of the stations, shape (s, f)."""
        scenario, l_shell = self.scenario, self._l_shell[rows]
        if not scenario.resonant:
            return np.ones((l_shell.size, frequency_Hz.size), dtype=np.complex128)
        quality = self.quality(time_ns)[rows]
        response = np.full((l_shell.size, frequency_Hz.size), scenario.direct_share, dtype=np.complex128)
        for harmonic, share in ((1, 1.0), (3, scenario.third_harmonic)):
            if share > 0.0:
                rings_Hz = scenario.plasma.resonance_frequency_Hz(
                    l_shell, time_ns, scenario.longitude_deg, harmonic
                )
                response += share * oscillator(frequency_Hz, rings_Hz, quality)
        return response

    def _generator(self, stream: int, index: int, code: str = "") -> np.random.Generator:
        return np.random.default_rng([self.scenario.seed, stream, index, zlib.crc32(code.encode())])


def _gain(l_shell: FloatArray) -> FloatArray:
    """Amplitude of waves and noise over that at L = 3: both grow poleward."""
    return l_shell / 3.0


def _darkness(hour: float) -> float:
    """0 at noon, 1 at midnight, halfway at 6 and 18 h local time."""
    return 0.5 * (1.0 + math.cos(2.0 * math.pi * hour / 24.0))


def _add_spikes(row_nT: FloatArray, rng: np.random.Generator, expected: float) -> None:
    """Throw single samples off by 3 to 60 nT."""
    count = int(rng.poisson(expected))
    low, high = np.log(_SPIKE_NT)
    size = np.exp(rng.uniform(low, high, count)) * rng.choice([-1.0, 1.0], count)
    np.add.at(row_nT, rng.integers(0, row_nT.size, count), size)


def _remember(kept: OrderedDict[int, FloatArray], index: int, values: FloatArray) -> FloatArray:
    """Keep the two latest: a segment needs two blocks, a request that crosses a border two segments."""
    values.setflags(write=False)
    kept[index] = values
    while len(kept) > 2:
        kept.popitem(last=False)
    return values
