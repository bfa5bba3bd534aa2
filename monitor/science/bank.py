"""A bank of resonance models, held against thousands of spectra at once.

For every resonance frequency on a logarithmic grid the bank has models of several widths and spacings, smoothed as
the data are, upright and reversed. The rival of each is a pair of straight lines through phase and log ratio: what
clocks, propagation and noise draw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from monitor.science.hodograph import Observation, smoothed_model
from monitor.types import BoolArray, FloatArray, GainProfile, IntArray

_WIDTHS = (0.06, 0.11, 0.2, 0.35, 0.6)
_HALF_SPACINGS = (0.12, 0.25, 0.5, 0.9, 1.6)
_STEP = 1.04
_FEWEST_BINS = 4
# The profile goes on below the searched band, where heavy field lines ring that no estimate accepts.
_PROFILE_BELOW = 0.7


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best model of the bank for each pair (arrays of shape (p,))."""

    resonance_Hz: FloatArray
    width_Hz: FloatArray
    half_spacing: FloatArray
    reversed: BoolArray
    gain: FloatArray


@dataclass(frozen=True, slots=True)
class _Templates:
    """Models at one resonance frequency over the bins of its window (arrays of shape (t,) and (t, k))."""

    resonance_Hz: float
    bins: slice
    width_Hz: FloatArray
    half_spacing: FloatArray
    phase_rad: FloatArray
    log_ratio: FloatArray


@lru_cache(maxsize=32)
def _models(first_Hz: float, spacing_Hz: float, count: int, smoothing_Hz: float) -> tuple[_Templates, ...]:
    """All templates for one frequency grid and one smoothing."""
    frequency: FloatArray = first_Hz + spacing_Hz * np.arange(count, dtype=np.float64)
    widths, half_spacings = np.array(_WIDTHS), np.array(_HALF_SPACINGS)
    width, spacing = np.repeat(widths, half_spacings.size), np.tile(half_spacings, widths.size)
    bank = []
    steps = int(np.log(frequency[-1] / frequency[0]) / np.log(_STEP))
    for centre in (frequency[0] * _STEP ** np.arange(1, steps)).tolist():
        inside = np.flatnonzero((frequency >= 0.5 * centre) & (frequency <= 2.0 * centre))
        if inside.size < _FEWEST_BINS:
            continue
        bins = slice(int(inside[0]), int(inside[-1]) + 1)
        models = np.full(width.size, centre), width * centre, spacing, np.full(width.size, smoothing_Hz)
        bank.append(_Templates(centre, bins, models[1], spacing, *smoothed_model(frequency[bins], *models)))
    return tuple(bank)


def search(
    observed: Observation, lowest_Hz: FloatArray, highest_Hz: FloatArray
) -> tuple[Candidates, GainProfile]:
    """Hold the bank, upright and reversed, against every spectrum; keep what gains most over straight lines.

    The candidates lie between lowest and highest; the profile of all gains begins somewhat lower.
    """
    pairs = lowest_Hz.size
    best = Candidates(
        resonance_Hz=np.sqrt(lowest_Hz * highest_Hz),
        width_Hz=0.2 * np.sqrt(lowest_Hz * highest_Hz),
        half_spacing=np.full(pairs, 0.5),
        reversed=np.zeros(pairs, dtype=np.bool_),
        gain=np.full(pairs, -np.inf),
    )
    frequency = observed.frequency_Hz
    grid = float(frequency[0]), float(frequency[1] - frequency[0]), frequency.size
    # The frequencies of the bank are the same for every smoothing.
    centres = np.array(
        [one.resonance_Hz for one in _models(*grid, float(observed.smoothing_Hz.max(initial=1e-3)))]
    )
    profile = GainProfile(centres, *(np.full((2, pairs, centres.size), np.nan, np.float32) for _ in range(3)))
    for smoothing in np.unique(observed.smoothing_Hz).tolist():
        same = np.flatnonzero(observed.smoothing_Hz == smoothing)
        for column, templates in enumerate(_models(*grid, smoothing)):
            centre = templates.resonance_Hz
            tried = same[(_PROFILE_BELOW * lowest_Hz[same] <= centre) & (centre <= highest_Hz[same])]
            if tried.size:
                _hold_against(observed, templates, tried, centre >= lowest_Hz[tried], best, profile, column)
    return replace(best, gain=np.where(np.isfinite(best.gain), best.gain, 0.0)), profile


def _hold_against(
    observed: Observation,
    templates: _Templates,
    rows: IntArray,
    searched: BoolArray,
    best: Candidates,
    profile: GainProfile,
    column: int,
) -> None:
    """Compare one frequency's templates with some of the pairs; write what they gain into `profile`, and where the
    pair's `searched` band holds the frequency, what is better into `best`.

    All sums of squares are matrix products, so that thousands of pairs cost a few of them.
    """
    frequency = observed.frequency_Hz[templates.bins]
    phase_weight = observed.phase_weight[rows, templates.bins]
    ratio_weight = observed.ratio_weight[rows, templates.bins]
    phase, log_ratio = observed.phase_rad[rows, templates.bins], observed.log_ratio[rows, templates.bins]
    lines = _line_chi2(frequency, phase_weight, phase) + _line_chi2(frequency, ratio_weight, log_ratio)
    weighted_phase, weighted_ratio = phase_weight * phase, ratio_weight * log_ratio
    data_power = (weighted_phase * phase).sum(axis=1) + (weighted_ratio * log_ratio).sum(axis=1)
    model_power = phase_weight @ (templates.phase_rad**2).T + ratio_weight @ (templates.log_ratio**2).T
    product = weighted_phase @ templates.phase_rad.T + weighted_ratio @ templates.log_ratio.T
    total = np.maximum(ratio_weight.sum(axis=1), 1e-30)[:, None]
    data_mean, model_mean = weighted_ratio.sum(axis=1)[:, None], ratio_weight @ templates.log_ratio.T
    log_width = np.log(templates.width_Hz / templates.resonance_Hz)
    for side, sign in enumerate((1.0, -1.0)):
        chi2 = data_power[:, None] - 2.0 * sign * product + model_power
        chi2 -= (data_mean - sign * model_mean) ** 2 / total
        gain = lines[:, None] - chi2
        choice = gain.argmax(axis=1)
        top = gain[np.arange(rows.size), choice]
        profile.gain[side, rows, column] = top
        profile.log_width[side, rows, column] = log_width[choice]
        profile.log_half_spacing[side, rows, column] = np.log(templates.half_spacing[choice])
        better = searched & (top > best.gain[rows])
        at, chosen = rows[better], choice[better]
        best.gain[at], best.reversed[at] = top[better], side == 1
        best.resonance_Hz[at] = templates.resonance_Hz
        best.width_Hz[at], best.half_spacing[at] = templates.width_Hz[chosen], templates.half_spacing[chosen]


def _line_chi2(frequency_Hz: FloatArray, weight: FloatArray, data: FloatArray) -> FloatArray:
    """χ² about the best straight line, row by row."""
    total = np.maximum(weight.sum(axis=1), 1e-30)
    centred = frequency_Hz - ((weight @ frequency_Hz) / total)[:, None]
    slope = (weight * centred * data).sum(axis=1) / np.maximum((weight * centred**2).sum(axis=1), 1e-30)
    mean = (weight * data).sum(axis=1) / total
    chi2: FloatArray = (weight * (data - mean[:, None] - slope[:, None] * centred) ** 2).sum(axis=1)
    return chi2
