"""Which pairs of a simulated chain have a resonance in which window: the labelling rule of `synthetic.labels`.

The rule asks for powers of what was really drawn, not of what is expected: the samples of a scenario are taken apart
by playing it again without noise and what passes beside the resonances, and without waves at all. The driver and the
noise of a scenario do not depend on these, so the parts add up to the samples (spikes aside).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

from monitor.science.spectra import NYQUIST_SHARE
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.labels import (
    DRIVEN,
    HALF_BAND_HZ,
    HIGHEST_HZ,
    LARGEST_CHANGE,
    LARGEST_LAG_S,
    LENGTH_NS,
    LONGEST_GAP_S,
    LOWEST_COVERAGE,
    SMALLEST_PEAK_RAD,
)
from monitor.science.synthetic.scenario import BLOCK_NS, Scenario
from monitor.types import SECOND_NS, BoolArray, FloatArray, IntArray, Pair

_KNOT_NS = BLOCK_NS // 2
"""Frequencies change from block to block, and these are centred on every half."""


@dataclass(frozen=True, slots=True)
class ChainTruth:
    """What is true of a chain in the windows that end at `end_ns`.

    Attributes
    ----------
    pairs : tuple of Pair, length p
    end_ns : ndarray, shape (w,), int64
    plasmapause_l : ndarray, shape (w,)
        At the centre of the window; NaN where there is none.
    frequency_Hz : ndarray, shape (w, p)
        √(f_P f_E), averaged over the window by the power of the weaker resonance.
    resonance : ndarray of bool, shape (w, p)
        `Freq` or `PBL` by the labelling rule.
    reversed : ndarray of bool, shape (w, p)
        The poleward line rings faster at the centre.
    station_l : ndarray, shape (p, 2)
        L of each pair's poleward and equatorward station.
    """

    pairs: tuple[Pair, ...]
    end_ns: IntArray
    plasmapause_l: FloatArray
    frequency_Hz: FloatArray
    resonance: BoolArray
    reversed: BoolArray
    station_l: FloatArray


def chain_truth(scenario: Scenario, pairs: Sequence[Pair], end_ns: IntArray) -> ChainTruth:
    """Apply the labelling rule to every pair of a chain in every window.

    Parameters
    ----------
    scenario : Scenario
    pairs : sequence of Pair, length p
        Of its stations.
    end_ns : ndarray, shape (w,), int64
        Ends of the windows: multiples of half an hour, two hours or more after the start.

    Raises
    ------
    ValueError
        For a pair of other stations, or an end that is no such time; it names the value.
    """
    rows = np.array([_rows(scenario, pair) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    for end in end_ns.tolist():
        if end % _KNOT_NS or end - LENGTH_NS < scenario.start_ns:
            raise ValueError(f"a window ends at a full half hour, two hours after the start, got {end}")
    parts = _Parts(scenario)
    judged = [_Window.of(scenario, end, parts.quality(end)) for end in end_ns.tolist()]
    shape = (len(judged), len(pairs))
    frequency, resonance = np.empty(shape), np.empty(shape, dtype=np.bool_)
    turned = np.empty(shape, dtype=np.bool_)
    for at, window in enumerate(judged):
        powers = parts.powers(window.end_ns)
        frequency[at] = window.frequency_Hz(rows, powers.envelope)
        clear = window.clear(rows) & (frequency[at] <= _highest_Hz(scenario)) & scenario.resonant
        resonance[at] = clear & (powers.weaker_ratio(rows, frequency[at]) > DRIVEN)
        turned[at] = window.peak_rad(rows) < 0.0
    boundary = [scenario.plasma.plasmapause_l(window.end_ns - LENGTH_NS // 2) for window in judged]
    return ChainTruth(
        pairs=tuple(pairs),
        end_ns=end_ns,
        plasmapause_l=np.array([np.nan if place is None else place for place in boundary]),
        frequency_Hz=frequency,
        resonance=resonance,
        reversed=turned,
        station_l=np.array([l_shell for _, l_shell in scenario.stations])[rows],
    )


def _rows(scenario: Scenario, pair: Pair) -> tuple[int, int]:
    for code in pair.stations:
        if code not in scenario.codes:
            raise ValueError(f"{pair.name}: {code} is not among the stations {scenario.codes}")
    return scenario.codes.index(pair.poleward), scenario.codes.index(pair.equatorward)


def _highest_Hz(scenario: Scenario) -> float:
    return min(HIGHEST_HZ, NYQUIST_SHARE * 0.5 / scenario.step_s) - HALF_BAND_HZ


@dataclass(frozen=True, slots=True)
class _Window:
    """What the plasma does in one window: ln f of every station's line (k, s), and Q at the centre (s,)."""

    end_ns: int
    log_rings: FloatArray
    quality: FloatArray
    whole: BoolArray
    lag_s: FloatArray

    @classmethod
    def of(cls, scenario: Scenario, end_ns: int, quality: FloatArray) -> _Window:
        shells = np.array([l_shell for _, l_shell in scenario.stations])
        times = range(end_ns - LENGTH_NS, end_ns + 1, _KNOT_NS)
        rings = [
            scenario.plasma.resonance_frequency_Hz(shells, time_ns, scenario.longitude_deg)
            for time_ns in times
        ]
        lag = [scenario.clock_offset_s.get(code, 0.0) for code in scenario.codes]
        return cls(
            end_ns,
            np.log(np.stack(rings)),
            quality,
            _whole(scenario, end_ns),
            np.array(lag),
        )

    def frequency_Hz(self, rows: IntArray, envelope: FloatArray) -> FloatArray:
        """√(f_P f_E) of the pairs, averaged by the resonant power of the weaker station, shape (p,)."""
        pair = self.log_rings[:, rows].mean(axis=2)
        pieces = 0.5 * (pair[:-1] + pair[1:])
        weight = envelope[rows].min(axis=1).T
        weight = np.where(weight.sum(axis=0) > 0.0, weight, 1.0)
        mean: FloatArray = np.exp((weight * pieces).sum(axis=0) / weight.sum(axis=0))
        return mean

    def peak_rad(self, rows: IntArray) -> FloatArray:
        """Cross-phase E − P of the oscillators alone at √(f_P f_E) and the centre, shape (p,)."""
        log_f = self.log_rings[self.log_rings.shape[0] // 2][rows]
        half = 0.5 * (log_f[:, 1] - log_f[:, 0])
        turn = 2.0 * np.sinh(half)
        peak: FloatArray = np.arctan(self.quality[rows[:, 0]] * turn) + np.arctan(
            self.quality[rows[:, 1]] * turn
        )
        return peak

    def clear(self, rows: IntArray) -> BoolArray:
        """Whether nothing of the rule's list hides a resonance, shape (p,): gap, clock, gradient, change."""
        pair = self.log_rings[:, rows]
        normal = pair[:, :, 1] > pair[:, :, 0]
        turns = normal.any(axis=0) & ~normal.all(axis=0)
        change = np.ptp(pair.mean(axis=2), axis=0)
        lag = np.abs(self.lag_s[rows[:, 1]] - self.lag_s[rows[:, 0]])
        clear: BoolArray = (
            self.whole[rows].all(axis=1)
            & (lag < LARGEST_LAG_S)
            & ~turns
            & (change <= LARGEST_CHANGE)
            & (np.abs(self.peak_rad(rows)) >= SMALLEST_PEAK_RAD)
        )
        return clear


def _whole(scenario: Scenario, end_ns: int) -> BoolArray:
    """Which stations have no gap that takes the label, shape (s,)."""
    lost = dict.fromkeys(scenario.codes, 0.0)
    longest = dict.fromkeys(scenario.codes, 0.0)
    for gap in scenario.gaps:
        seconds = (min(gap.end_ns, end_ns) - max(gap.start_ns, end_ns - LENGTH_NS)) / SECOND_NS
        lost[gap.station] += max(seconds, 0.0)
        longest[gap.station] = max(longest[gap.station], seconds)
    most_s = (1.0 - LOWEST_COVERAGE) * LENGTH_NS / SECOND_NS
    return np.array([longest[code] <= LONGEST_GAP_S and lost[code] <= most_s for code in scenario.codes])


@dataclass(frozen=True, slots=True)
class _Powers:
    """Powers up to each frequency, shape (s, f + 1), and the resonant power of each piece under the taper (s, k)."""

    frequency_Hz: FloatArray
    resonant: FloatArray
    rest: FloatArray
    envelope: FloatArray

    def weaker_ratio(self, rows: IntArray, frequency_Hz: FloatArray) -> FloatArray:
        """Resonant power over the rest within the band about the pairs' frequencies, at the worse station, (p,)."""
        first = np.searchsorted(self.frequency_Hz, frequency_Hz - HALF_BAND_HZ)
        last = np.searchsorted(self.frequency_Hz, frequency_Hz + HALF_BAND_HZ, side="right")
        over, under = (
            part[rows, last[:, None]] - part[rows, first[:, None]] for part in (self.resonant, self.rest)
        )
        ratio = np.divide(over, under, out=np.where(over > 0.0, np.inf, 0.0), where=under > 0.0)
        weaker: FloatArray = ratio.min(axis=1)
        return weaker


class _Parts:
    """Plays a scenario with and without its parts, window after window in rising time."""

    def __init__(self, scenario: Scenario) -> None:
        plain = replace(scenario, spikes_per_h=0.0, gaps=())
        bare = replace(plain, quantum_nT=0.0, noise_power=0.0)
        self._step_s = scenario.step_ns / SECOND_NS
        self._recorded = GroundSimulator(plain)
        self._indirect = GroundSimulator(replace(bare, direct_share=0.0))
        self._calm = GroundSimulator(replace(bare, wave_power=0.0))
        self._hours: dict[int, tuple[FloatArray, FloatArray]] = {}

    def quality(self, end_ns: int) -> FloatArray:
        """Q of the stations at the centre of a window."""
        return self._recorded.quality(end_ns - LENGTH_NS // 2)

    def powers(self, end_ns: int) -> _Powers:
        """Of the window that ends at a time; windows must come in rising order of time."""
        start_ns = end_ns - LENGTH_NS
        self._hours = {at: parts for at, parts in self._hours.items() if at >= start_ns}
        pieces = [self._piece(at) for at in range(start_ns, end_ns, _KNOT_NS)]
        resonant, rest = (np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True))
        taper = np.hanning(resonant.shape[1])
        envelope = np.square(resonant * taper).reshape(resonant.shape[0], len(pieces), -1).sum(axis=2)
        count = resonant.shape[1] - 1
        frequency = np.asarray(fft.rfftfreq(count, self._step_s)[1:], dtype=np.float64)
        return _Powers(frequency, self._summed(resonant), self._summed(rest), envelope)

    def _piece(self, start_ns: int) -> tuple[FloatArray, FloatArray]:
        """Resonant part and all the rest in half an hour, each of shape (s, n)."""
        if start_ns not in self._hours:
            recorded, indirect, calm = (
                np.stack(list(simulator.samples(start_ns, start_ns + _KNOT_NS).values()))
                for simulator in (self._recorded, self._indirect, self._calm)
            )
            resonant = indirect - calm
            self._hours[start_ns] = resonant, recorded - resonant
        return self._hours[start_ns]

    def _summed(self, part_nT: FloatArray) -> FloatArray:
        """Power of differences under a Hann taper, summed up over frequency with a zero before, shape (s, f + 1)."""
        differences = np.diff(part_nT, axis=1)
        differences -= differences.mean(axis=1, keepdims=True)
        count = differences.shape[1]
        spectra = fft.rfft(differences * np.hanning(count), axis=1)[:, 1:]
        gain = 2.0 * np.sin(np.pi * fft.rfftfreq(count, self._step_s)[1:] * self._step_s)
        power = np.square(np.abs(spectra / gain))
        return np.concatenate([np.zeros((power.shape[0], 1)), np.cumsum(power, axis=1)], axis=1)
