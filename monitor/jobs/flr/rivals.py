"""Where learning does not beat the physics: a chain beside the physical estimate alone, group by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.jobs.flr.bootstrap import Estimate, Resampler, interval, resampler
from monitor.jobs.flr.dataset import Outcomes
from monitor.jobs.flr.groups import (
    FREQ,
    NO_FREQ,
    PBL,
    band_groups,
    check,
    light_groups,
    scored_windows,
)
from monitor.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of a chain beside the same figure of the physical estimate, on the same windows.

    Attributes
    ----------
    figure, group : str
    chain, physics : float
    gain : Estimate
        How much better the chain is (in the unit of the figure; positive is better), with a 90 % interval from
        draws of whole sequences, both judged on the same draws.
    count, sequences : int
    """

    figure: str
    group: str
    chain: float
    physics: float
    gain: Estimate
    count: int
    sequences: int

    @property
    def as_good(self) -> bool:
        """Whether the physical estimate is as good or better."""
        return self.gain.value is not None and self.gain.value <= 0.0

    @property
    def clear(self) -> bool:
        """Whether the interval of the gain leaves out zero."""
        low, high = self.gain.low, self.gain.high
        return low is not None and high is not None and (low > 0.0 or high < 0.0)


def compare(outcomes: Outcomes, *, rounds: int = 200, seed: int = 0) -> list[Comparison]:
    """Hold the final calls and the published frequencies against the physical estimate.

    Found and passed-on windows are compared over all scored windows with a physical opinion, frequencies over the
    windows where both have the true label and a frequency. `Freq found less NoFreq passed on` is the one fair
    figure of the four calls: each of its two parts can be bought with the other. Groups without windows are left out.

    Raises
    ------
    ValueError
        As `measures.measure`.
    """
    check(outcomes)
    draws = resampler(outcomes.sequence, rounds=rounds, seed=seed)
    scored = scored_windows(outcomes) & (outcomes.physical >= 0)
    found: list[Comparison] = []
    for name, group in (light_groups(outcomes) | band_groups(outcomes)).items():
        among = scored & group
        found += _calls(outcomes, draws, name, among)
        found += _frequencies(outcomes, draws, name, among)
    return found


def _calls(outcomes: Outcomes, draws: Resampler, name: str, among: BoolArray) -> list[Comparison]:
    freq, none, pbl = (among & (outcomes.label == truth) for truth in (FREQ, NO_FREQ, PBL))

    def drawn(called: IntArray) -> list[FloatArray]:
        return [
            draws.share_draws(called == FREQ, freq),
            draws.share_draws(called != NO_FREQ, none),
            draws.share_draws(called == PBL, pbl),
        ]

    def value(called: IntArray) -> tuple[float, float, float]:
        return _mean(called == FREQ, freq), _mean(called != NO_FREQ, none), _mean(called == PBL, pbl)

    (f, n, p), (f0, n0, p0) = value(outcomes.final), value(outcomes.physical)
    (fd, nd, pd), (fd0, nd0, pd0) = drawn(outcomes.final), drawn(outcomes.physical)
    both = freq | none if freq.any() and none.any() else np.zeros_like(freq)
    rows = (
        ("Freq found", freq, f, f0, f - f0, fd - fd0),
        ("NoFreq passed on", none, n, n0, n0 - n, nd0 - nd),
        ("Freq found less NoFreq passed on", both, f - n, f0 - n0, f - n - f0 + n0, fd - nd - fd0 + nd0),
        ("PBL found", pbl, p, p0, p - p0, pd - pd0),
    )
    return [
        _comparison(draws, figure, name, windows, chain, physics, gain, gains)
        for figure, windows, chain, physics, gain, gains in rows
        if windows.any()
    ]


def _frequencies(outcomes: Outcomes, draws: Resampler, name: str, among: BoolArray) -> list[Comparison]:
    right = (outcomes.final == outcomes.label) & (outcomes.physical == outcomes.label)
    chain = np.abs(outcomes.frequency_Hz / outcomes.truth_Hz - 1.0)
    physics = np.abs(outcomes.physical_Hz / outcomes.truth_Hz - 1.0)
    both = among & right & np.isfinite(chain) & np.isfinite(physics)
    if not both.any():
        return []
    levels = (0.5, 0.9)
    value, value0 = np.quantile(chain[both], levels), np.quantile(physics[both], levels)
    drawn, drawn0 = (draws.quantile_draws(error, both, levels) for error in (chain, physics))
    return [
        _comparison(
            draws, figure, name, both,
            float(value[k]), float(value0[k]), float(value0[k] - value[k]), drawn0[:, k] - drawn[:, k],
        )
        for k, figure in enumerate(("|ε| median", "|ε| 90th percentile"))
    ]  # fmt: skip


def _comparison(
    draws: Resampler,
    figure: str,
    group: str,
    windows: BoolArray,
    chain: float,
    physics: float,
    gain: float,
    gains: FloatArray,
) -> Comparison:
    sequences = draws.sequences(windows)
    known = interval(gain, gains) if sequences > 1 else Estimate(gain, None, None)
    return Comparison(figure, group, chain, physics, known, int(np.count_nonzero(windows)), sequences)


def _mean(hit: BoolArray, among: BoolArray) -> float:
    return float(hit[among].mean()) if among.any() else float("nan")
