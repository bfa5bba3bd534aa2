"""The nearest-peak rule: what one would try first, and what learning has to beat.

Of the maxima of the cross-phase that are high and coherent enough, the one nearest to the frequency that is expected at the
pair's L is taken for the resonance; the same is done with the minima. The higher of the two in absolute value
decides between Freq and PBL, and where there is neither the window is NoFreq.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.science.skill import confusion, tss, without_pbl
from monitor.types import BoolArray, Float32Array, FloatArray, IntArray

SMALLEST_PHASES_RAD: Final = tuple(np.deg2rad(np.arange(5.0, 121.0, 5.0)).tolist())
SMALLEST_COHERENCES: Final = tuple((np.arange(20) / 20.0).tolist())
"""The thresholds that are tried."""
# A peak's coherence is the mean over so many cells on either side of it: a tenth of its frequency.
_REACH = 2


@dataclass(frozen=True, slots=True)
class Peaks:
    """Maxima of n spectra as they are and of the same reversed, each row's nearest to the expected frequency first.

    Arrays of shape (2, n, c), the first axis as they are and reversed; NaN where a row has fewer.

    Attributes
    ----------
    x : ndarray
        ln(f / f₀(L)).
    phase_rad : ndarray
        Height of the maximum; of a minimum its depth.
    coherence : ndarray
        Mean around the peak; 1 where the source has none, so that the phase alone decides.
    """

    x: FloatArray
    phase_rad: FloatArray
    coherence: FloatArray

    def rows(self, chosen: IntArray | BoolArray) -> Peaks:
        """The same for some of the spectra."""
        return Peaks(self.x[:, chosen], self.phase_rad[:, chosen], self.coherence[:, chosen])


@dataclass(frozen=True, slots=True)
class PeakRule:
    """Thresholds of the nearest-peak rule."""

    smallest_phase_rad: float
    smallest_coherence: float

    def read(self, peaks: Peaks) -> FloatArray:
        """ln(f / f₀(L)) of the nearest peak that passes, as it is and reversed, shape (n, 2); NaN where none does."""
        return self._nearest(peaks, peaks.x).T

    def call(self, peaks: Peaks) -> IntArray:
        """Class index of every spectrum, shape (n,)."""
        height = np.nan_to_num(self._nearest(peaks, peaks.phase_rad), nan=-1.0)
        called = np.where(height[1] > height[0], 2, 1)
        return np.where(height.max(axis=0) < 0.0, 0, called).astype(np.int64)

    def _nearest(self, peaks: Peaks, values: FloatArray) -> FloatArray:
        """Values of the nearest peaks that pass, shape (2, n)."""
        if not values.shape[2]:
            return np.full(values.shape[:2], np.nan)
        passing = (peaks.phase_rad >= self.smallest_phase_rad) & (peaks.coherence >= self.smallest_coherence)
        nearest = passing.argmax(axis=2)[:, :, None]
        found: FloatArray = np.take_along_axis(np.where(passing, values, np.nan), nearest, axis=2)[:, :, 0]
        return found


def find_peaks(x: FloatArray, cross_phase_rad: Float32Array, coherence: Float32Array) -> Peaks:
    """Find the maxima and minima of cross-phase spectra on the grid that scales with L.

    Parameters
    ----------
    x : ndarray, shape (g,)
        ln(f / f₀(L)), evenly spaced.
    cross_phase_rad, coherence : ndarray, shape (n, g)
        NaN is masked. A peak has two neighbours that are known; a parabola through the three places it.

    Raises
    ------
    ValueError
        For shapes that do not agree, or fewer than three cells.
    """
    if x.size < 3 or cross_phase_rad.shape[1:] != x.shape or coherence.shape != cross_phase_rad.shape:
        raise ValueError(
            f"peaks need three cells or more and spectra (n, g) over x (g,); got x {x.shape}, "
            f"cross_phase_rad {cross_phase_rad.shape}, coherence {coherence.shape}"
        )
    phase = cross_phase_rad.astype(np.float64)
    around = _mean_around(coherence)[:, 1:-1]
    sides = [_maxima(x, sign * phase, around) for sign in (1.0, -1.0)]
    widest = max(side.shape[2] for side in sides)
    padded = [
        np.pad(side, [(0, 0), (0, 0), (0, widest - side.shape[2])], constant_values=np.nan) for side in sides
    ]
    return Peaks(*np.stack(padded, axis=1))


def fit_peak_rule(peaks: Peaks, truth: IntArray, *, binary: bool = False) -> PeakRule:
    """Search both thresholds for the best True Skill Score; of equal ones the strictest coherence, then phase.

    Parameters
    ----------
    peaks : Peaks
        Of n windows that the chains to compare with have not learnt from either.
    truth : ndarray, shape (n,)
        Class index, every class at least once.
    binary : bool
        PBL counts as NoFreq, in the truth and in what the rule says.

    Raises
    ------
    ValueError
        For a class that has no windows (named), and shapes that do not agree.
    """
    k, counted = (2, without_pbl(truth)) if binary else (3, truth)
    best, best_score = PeakRule(SMALLEST_PHASES_RAD[-1], SMALLEST_COHERENCES[-1]), -np.inf
    for coherence in reversed(SMALLEST_COHERENCES):
        for phase_rad in reversed(SMALLEST_PHASES_RAD):
            rule = PeakRule(phase_rad, coherence)
            called = rule.call(peaks)
            score = float(tss(confusion(counted, without_pbl(called) if binary else called, k)))
            if score > best_score:
                best, best_score = rule, score
    return best


def _maxima(x: FloatArray, phase: FloatArray, coherence: FloatArray) -> FloatArray:
    """Place, height and coherence of every maximum, the nearest to x = 0 first, shape (3, n, c)."""
    before, middle, after = phase[:, :-2], phase[:, 1:-1], phase[:, 2:]
    peak = (middle >= before) & (middle > after)
    bend = np.where(peak, before - 2.0 * middle + after, -1.0)
    place = x[1:-1] + (x[1] - x[0]) * np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    # What is no peak goes to the end; a stable order, that equal distances do not depend on the company.
    order = np.argsort(np.where(peak, np.abs(place), np.inf), axis=1, kind="stable")
    order = order[:, : peak.sum(axis=1).max(initial=0)]
    values = np.where(peak, np.stack([place, middle, coherence]), np.nan)
    found: FloatArray = np.take_along_axis(values, order[None], axis=2)
    return found


def _mean_around(coherence: Float32Array) -> FloatArray:
    """Mean of the known cells about each cell, shape (n, g); 1 where none is known."""
    known = np.isfinite(coherence)
    edge = [(0, 0), (_REACH, _REACH)]
    windows = np.lib.stride_tricks.sliding_window_view
    total, count = (
        windows(np.pad(values.astype(np.float64), edge), 2 * _REACH + 1, axis=1).sum(axis=2)
        for values in (np.where(known, coherence, 0.0), known)
    )
    mean: FloatArray = np.where(count > 0.0, total / np.maximum(count, 1.0), 1.0)
    return mean
