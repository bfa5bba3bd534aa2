"""The moving threshold: weights on the class probabilities that make the most of a skill score.

Classes are places in `types.CLASSES`: 0 NoFreq, 1 Freq, 2 PBL; with two classes PBL counts as NoFreq.

Source: Foldes et al. (2023), doi:10.1007/s12210-023-01196-8, § 3.2 and 4 (called F23 here).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from monitor.science.skill import (
    FREQ,
    NOFREQ,
    PBL,
    Counts,
    at_class_share,
    class_indices,
    class_names,
    normalised,
    tables,
    tss,
)
from monitor.types import BoolArray, FloatArray, IntArray

_EQUAL: Final = 1e-12
"""Scores that differ by less are the same number, computed in another order."""

Score: TypeAlias = Callable[[Counts], FloatArray]
"""What the search maximises: tables of shape (g, k, k) to finite scores of shape (g,)."""


@dataclass(frozen=True, slots=True)
class ThresholdSearch:
    """What a search over the weights found.

    Attributes
    ----------
    grid : ndarray, shape (g, k)
        All weights that were tried (`weight_grid`).
    scores : ndarray, shape (g,)
    counts : ndarray, shape (g, k, k), int64
        The sample's table under each of the weights.
    allowed : ndarray, shape (g,), bool
        Which of the weights keep the caps; all where none was asked for.
    chosen : int
        Row of `grid`.
    weights : tuple of float, length k
        The chosen weights.
    score : float
        Their score.
    nofreq_as_freq, nofreq_as_pbl : float
        Shares of the NoFreq windows that they pass on, as Freq and as PBL (0 with two classes).
    false_pbl : float
        Share of the other windows that they call PBL, at the class shares that were asked for (0 with two classes).
    """

    grid: FloatArray
    scores: FloatArray
    counts: IntArray
    allowed: BoolArray
    chosen: int
    weights: tuple[float, ...]
    score: float
    nofreq_as_freq: float
    nofreq_as_pbl: float
    false_pbl: float


@dataclass(frozen=True, slots=True)
class ScoreCurves:
    """Two-class scores as functions of the weight of NoFreq, as Fig. 3 of F23 (arrays of shape (g,)).

    Freq is the positive class and has the weight 1 − `weight_nofreq`. `auc` is the area under the curve of the
    decision itself, one corner between two straight lines: (1 + TSS) / 2.
    """

    weight_nofreq: FloatArray
    f1: FloatArray
    auc: FloatArray
    kappa: FloatArray
    tss: FloatArray


def weighted(probability: FloatArray, weights: npt.ArrayLike) -> FloatArray:
    """Modify class probabilities: p̃ᵢ = wᵢ pᵢ / Σ w (F23, § 3.2).

    Parameters
    ----------
    probability : ndarray, shape (n, k)
    weights : array_like, shape (k,)
        Not negative, not all zero.

    Returns
    -------
    ndarray, shape (n, k)
        They do not sum to 1; NaN stays NaN.

    Raises
    ------
    ValueError
        For shapes that do not agree, and for weights or probabilities that are negative or infinite.
    """
    checked = _probability(probability)
    return checked * normalised("weights", weights, checked.shape[1])


def decide(probability: FloatArray, weights: npt.ArrayLike) -> IntArray:
    """Call the class with the largest modified probability; of equal ones the first, so that doubt is NoFreq.

    Parameters
    ----------
    probability : ndarray, shape (n, k)
        A row with any NaN is NoFreq.
    weights : array_like, shape (k,)

    Returns
    -------
    ndarray, shape (n,), int64

    Raises
    ------
    ValueError
        As `weighted`.
    """
    modified = weighted(probability, weights)
    return np.where(np.isnan(modified).any(axis=1), NOFREQ, modified.argmax(axis=1)).astype(np.int64)


def weight_grid(k: int, step: float = 0.01) -> FloatArray:
    """All weights of k classes that sum to 1 and are multiples of `step`, in lexicographic order.

    Parameters
    ----------
    k : int
        2 or 3.
    step : float
        A whole fraction of 1: 1/100 gives 101 weights of two classes and 5151 of three.

    Returns
    -------
    ndarray, shape (g, k)

    Raises
    ------
    ValueError
        For another k, and for a step that does not divide 1.
    """
    class_names(k)
    parts = round(1.0 / step) if np.isfinite(step) and 0.0 < step <= 1.0 else 0
    if not parts or abs(parts * step - 1.0) > 1e-9:
        raise ValueError(f"step {step:g} does not divide 1; take 1 over a whole number, such as 0.01")
    axes = np.meshgrid(*[np.arange(parts + 1)] * (k - 1), indexing="ij")
    free = np.stack([axis.ravel() for axis in axes], axis=1)
    whole = np.column_stack([free, parts - free.sum(axis=1)])
    return whole[whole[:, -1] >= 0] / float(parts)


def moving_threshold(
    probability: FloatArray,
    truth: IntArray,
    *,
    score: Score,
    step: float = 0.01,
    tolerance: float = 1e-9,
    class_share: npt.ArrayLike | None = None,
    largest_passed: float | None = None,
    largest_false_pbl: float | None = None,
) -> ThresholdSearch:
    """Search all weights on the simplex for the best score (F23, § 3.2 and Fig. 5).

    Parameters
    ----------
    probability : ndarray, shape (n, k)
        k = 2 or 3; a row with NaN counts as called NoFreq.
    truth : ndarray, shape (n,), integer
        Class indices, every class at least once; for k = 2 see `without_pbl`.
    score : callable
        `tss`, `mcs`, or either with a reading (`functools.partial(mcs, reading=…)`).
    step : float
        Of the grid.
    tolerance : float
        Scores less than this below the best are equal to it. F23 chooses so within a whole area of high scores: a
        larger tolerance does that.
    class_share : array_like, shape (k,), optional
        How frequent the classes are where the weights will be used, if not as in the sample.
    largest_passed, largest_false_pbl : float, optional
        Caps, 0 … 1: on the share of NoFreq called anything else, and on the share of the windows that are not PBL,
        at `class_share`, called PBL.

    Returns
    -------
    ThresholdSearch

    Raises
    ------
    ValueError
        For input that does not agree, a class without windows (named), and caps that no weights keep without giving
        up a class altogether: NoFreq for everything keeps every cap and is of no use. The message has the lowest
        reachable rates.

    Notes
    -----
    Among equal scores the weights with the fewest NoFreq taken as Freq are chosen (F23, § 4.2), then with the fewest
    taken as PBL, then with the better score, then those nearest the middle of what is left, which are the furthest
    from changing a decision, then the one with the largest weight of NoFreq. All weights are tried on all windows with the arithmetic of
    `decide`, so that the daemon says what the search counted.
    """
    if not tolerance >= 0.0:
        raise ValueError(f"tolerance is {tolerance:g}; it cannot be negative")
    checked = _probability(probability)
    grid = weight_grid(checked.shape[1], step)
    counts = _count(checked, truth, grid)
    table = tables(counts) if class_share is None else at_class_share(counts, class_share)
    scores = score(table)
    false_pbl = _false_pbl(table)
    allowed = _keeps(counts, false_pbl, largest_passed, largest_false_pbl)
    chosen = _choose(grid, scores, counts, allowed, tolerance)
    nofreq = counts[chosen, NOFREQ] / counts[chosen, NOFREQ].sum()
    return ThresholdSearch(
        grid=grid,
        scores=scores,
        counts=counts,
        allowed=allowed,
        chosen=chosen,
        weights=tuple(float(weight) for weight in grid[chosen]),
        score=float(scores[chosen]),
        nofreq_as_freq=float(nofreq[FREQ]),
        nofreq_as_pbl=float(nofreq[PBL:].sum()),
        false_pbl=float(false_pbl[chosen]),
    )


def score_curves(
    probability: FloatArray,
    truth: IntArray,
    *,
    step: float = 0.01,
    class_share: npt.ArrayLike | None = None,
) -> ScoreCurves:
    """Follow four two-class scores over the weight of NoFreq (F23, Fig. 3).

    Parameters
    ----------
    probability : ndarray, shape (n, 2)
    truth : ndarray, shape (n,), integer
        0 NoFreq, 1 Freq (see `without_pbl`).
    step, class_share
        As in `moving_threshold`; F1 and κ depend on the shares, the others do not.

    Returns
    -------
    ScoreCurves

    Raises
    ------
    ValueError
        As `moving_threshold`, and for more than two classes.

    Notes
    -----
    κ: Cohen (1960), doi:10.1177/001316446002000104.
    """
    checked = _probability(probability)
    if checked.shape[1] != 2:
        raise ValueError(f"probability has {checked.shape[1]} classes; the curves are those of two")
    grid = weight_grid(2, step)
    counts = _count(checked, truth, grid)
    table = tables(counts) if class_share is None else at_class_share(counts, class_share)
    share = table / table.sum(axis=(-2, -1), keepdims=True)
    agreement = share[:, 0, 0] + share[:, 1, 1]
    chance = (share.sum(axis=-1) * share.sum(axis=-2)).sum(axis=-1)
    skill = tss(table)
    return ScoreCurves(
        weight_nofreq=grid[:, NOFREQ],
        f1=2.0 * share[:, 1, 1] / (2.0 * share[:, 1, 1] + share[:, 0, 1] + share[:, 1, 0]),
        auc=0.5 * (1.0 + skill),
        kappa=(agreement - chance) / (1.0 - chance),
        tss=skill,
    )


def _count(probability: FloatArray, truth: IntArray, grid: FloatArray) -> IntArray:
    """Tables of the sample under every row of the grid, shape (g, k, k).

    One weight at a time over all windows: they stay in the cache, and thousands of weights take seconds.
    """
    count, k = probability.shape
    index = class_indices("truth", truth, k)
    if index.size != count:
        raise ValueError(f"probability has {count} windows, truth {index.size}")
    of_class = np.bincount(index, minlength=k)
    edges = np.concatenate([[0], np.cumsum(of_class)])
    known = np.where(np.isnan(probability).any(axis=1, keepdims=True), 0.0, probability)
    columns = np.ascontiguousarray(known[np.argsort(index, kind="stable")].T)
    counts = np.zeros((grid.shape[0], k, k), dtype=np.int64)
    best, other = np.empty(count), np.empty(count)
    called = np.empty((k, count), dtype=np.bool_)
    for table, weights in zip(counts, grid, strict=True):
        share = normalised("weights", weights, k)
        np.multiply(columns[0], share[0], out=best)
        for j in range(1, k):
            np.multiply(columns[j], share[j], out=other)
            np.greater(other, best, out=called[j])
            np.maximum(best, other, out=best)
            for earlier in called[1:j]:
                np.greater(earlier, called[j], out=earlier)
        for i in range(k):
            for j in range(1, k):
                table[i, j] = np.count_nonzero(called[j, edges[i] : edges[i + 1]])
    counts[:, :, 0] = of_class - counts.sum(axis=2)
    return counts


def _false_pbl(table: FloatArray) -> FloatArray:
    """Share of the windows of the other classes that are called PBL, shape (g,)."""
    others = table[:, :PBL]
    share: FloatArray = others[:, :, PBL:].sum(axis=(1, 2)) / others.sum(axis=(1, 2))
    return share


def _keeps(
    counts: IntArray, false_pbl: FloatArray, largest_passed: float | None, largest_false_pbl: float | None
) -> BoolArray:
    """Which weights keep the caps and still find something of every class, shape (g,)."""
    passed = counts[:, NOFREQ, FREQ:].sum(axis=1) / counts[:, NOFREQ].sum(axis=1)
    rates = (("largest_passed", largest_passed, passed), ("largest_false_pbl", largest_false_pbl, false_pbl))
    caps = [(name, cap, rate) for name, cap, rate in rates if cap is not None]
    if not caps:
        return np.ones(passed.shape, dtype=np.bool_)
    for name, cap, _ in caps:
        if not 0.0 <= cap <= 1.0:
            raise ValueError(f"{name} is {cap:g}; a share lies between 0 and 1")
        if name == "largest_false_pbl" and counts.shape[1] <= PBL:
            raise ValueError("largest_false_pbl has no meaning for two classes: nothing is called PBL")
    finds: BoolArray = np.logical_and.reduce(np.diagonal(counts, axis1=1, axis2=2) > 0, axis=1)
    if not finds.any():
        raise ValueError("no weights find a window of every class, so that none can keep the caps")
    allowed = finds.copy()
    for _, cap, rate in caps:
        allowed &= rate <= cap
    if not allowed.any():
        asked = ", ".join(
            f"{name} {cap:g} (alone at least {rate[finds].min():.4g})" for name, cap, rate in caps
        )
        raise ValueError(f"no weights that find every class keep {asked}")
    return allowed


def _choose(
    grid: FloatArray, scores: FloatArray, counts: IntArray, allowed: BoolArray, tolerance: float
) -> int:
    """The row of the best weights, by the order that `moving_threshold` states."""
    rows = np.flatnonzero(allowed)
    rows = rows[scores[rows] >= scores[rows].max() - max(tolerance, _EQUAL)]
    for wrong in (FREQ, PBL)[: grid.shape[1] - 1]:
        taken = counts[rows, NOFREQ, wrong]
        rows = rows[taken == taken.min()]
    rows = rows[scores[rows] >= scores[rows].max() - _EQUAL]
    distance = ((grid[rows] - grid[rows].mean(axis=0)) ** 2).sum(axis=1)
    return int(rows[distance <= distance.min() + _EQUAL][-1])


def _probability(probability: FloatArray) -> FloatArray:
    checked: FloatArray = np.asarray(probability, dtype=np.float64)
    if checked.ndim != 2:
        raise ValueError(
            f"probability has the shape {checked.shape}; a row a window is needed, a column a class"
        )
    class_names(checked.shape[1])
    wrong = (checked < 0.0) | np.isinf(checked)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"probability of window {row}, class {column} is {checked[row, column]:g}")
    return checked
