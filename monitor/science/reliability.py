"""Do probabilities mean what they say? Reliability diagrams and calibration errors.

Guo et al. (2017), arXiv:1706.04599, for the top label; Kull et al. (2019), arXiv:1910.12656, class by class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.science.proportion import wilson_interval
from monitor.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """Said and found, bin by bin (arrays of shape (bins,); NaN where a bin is empty).

    Attributes
    ----------
    confidence : ndarray
        Mean probability that was said.
    frequency : ndarray
        Share in which it came true.
    count : ndarray of int64
        Windows.
    share : ndarray
        Of all windows, by weight.
    low, high : ndarray
        Wilson's 90 % interval of `frequency`, as if the windows were independent.
    """

    confidence: FloatArray
    frequency: FloatArray
    count: IntArray
    share: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def error(self) -> float:
        """Mean distance between said and found over the windows: the expected calibration error."""
        return float(np.nansum(self.share * np.abs(self.confidence - self.frequency)))


@dataclass(frozen=True, slots=True)
class Reliability:
    """One curve a class (one against the rest), and that of the most probable class."""

    classes: tuple[ReliabilityCurve, ...]
    top_label: ReliabilityCurve


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration errors, 0–1.

    Attributes
    ----------
    top_label : float
        Of the most probable class (Guo et al. 2017): what is commonly called ECE.
    class_wise : float
        Mean over the classes, one against the rest (Kull et al. 2019): sees a rare class too.
    """

    top_label: float
    class_wise: float


def reliability(
    probability: FloatArray,
    truth: IntArray,
    bins: int = 15,
    *,
    weights: FloatArray | None = None,
    equal_count: bool = False,
) -> Reliability:
    """Compare probabilities with what came true.

    Parameters
    ----------
    probability : ndarray, shape (n, k)
        Rows sum to 1; rows with NaN (nobody was asked) are left out.
    truth : ndarray, shape (n,)
        Class index, 0 … k − 1.
    bins : int
        Number of bins of a curve.
    weights : ndarray, shape (n,), optional
        Positive; under other shares of the classes than the sample's, say.
    equal_count : bool
        Bins with equally many windows instead of equally wide ones. Windows with one probability stay
        together, so some bins may then be empty.

    Returns
    -------
    Reliability

    Raises
    ------
    ValueError
        For shapes that differ, probabilities outside 0–1 or not summing to 1, a truth outside the classes,
        fewer than one bin, weights that are not positive, or no row with probabilities.
    """
    kept, label, weight = _checked(probability, truth, bins, weights)
    curves = tuple(
        _curve(kept[:, one], label == one, weight, bins, equal_count) for one in range(kept.shape[1])
    )
    top = _curve(kept.max(axis=1), kept.argmax(axis=1) == label, weight, bins, equal_count)
    return Reliability(curves, top)


def expected_calibration_error(
    probability: FloatArray,
    truth: IntArray,
    bins: int = 15,
    *,
    weights: FloatArray | None = None,
    equal_count: bool = False,
) -> CalibrationError:
    """Mean distance between said and found (parameters and errors as in `reliability`).

    Chance alone gives a perfect forecaster with n independent windows in B bins up to 0.4 √(B/n).
    """
    found = reliability(probability, truth, bins, weights=weights, equal_count=equal_count)
    return CalibrationError(
        top_label=found.top_label.error,
        class_wise=float(np.mean([curve.error for curve in found.classes])),
    )


def _checked(
    probability: FloatArray, truth: IntArray, bins: int, weights: FloatArray | None
) -> tuple[FloatArray, IntArray, FloatArray]:
    """The rows that count, or one clear error."""
    if probability.ndim != 2 or truth.shape != probability.shape[:1]:
        raise ValueError(
            f"expected probability (n, k) and truth (n,), got {probability.shape} and {truth.shape}"
        )
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    weight = np.ones(truth.size) if weights is None else weights.astype(np.float64)
    if weight.shape != truth.shape:
        raise ValueError(f"weights must have shape {truth.shape}, got {weight.shape}")
    asked = ~np.isnan(probability).any(axis=1)
    if not asked.any():
        raise ValueError(f"no row with probabilities among {truth.size}")
    kept, label, weight = probability[asked], truth[asked], weight[asked]
    wrong = (kept < 0.0).any(axis=1) | (np.abs(kept.sum(axis=1) - 1.0) > 1e-4)
    if wrong.any():
        raise ValueError(f"probabilities must lie in 0–1 and sum to 1, got {kept[wrong][0].tolist()}")
    outside = (label < 0) | (label >= kept.shape[1])
    if outside.any():
        raise ValueError(f"truth must lie in 0 … {kept.shape[1] - 1}, got {label[outside][0]}")
    useless = ~(np.isfinite(weight) & (weight > 0.0))
    if useless.any():
        raise ValueError(f"weights must be positive, got {weight[useless][0]}")
    return kept, label, weight


def _curve(
    confidence: FloatArray, hit: BoolArray, weight: FloatArray, bins: int, equal_count: bool
) -> ReliabilityCurve:
    """One curve; a probability on an edge belongs to the bin above it, 1 to the last."""
    edges = np.arange(1, bins) / bins
    inner = np.quantile(confidence, edges) if equal_count else edges
    index = np.searchsorted(inner, confidence, side="right")
    total = np.bincount(index, weights=weight, minlength=bins)
    filled = total > 0.0
    safe = np.where(filled, total, 1.0)
    said = np.where(filled, np.bincount(index, weights=weight * confidence, minlength=bins) / safe, np.nan)
    found = np.where(filled, np.bincount(index, weights=weight * hit, minlength=bins) / safe, np.nan)
    # Unequal weights know less than as many equal ones (Kish 1965).
    squares = np.bincount(index, weights=weight**2, minlength=bins)
    independent = np.where(filled, total**2 / np.where(filled, squares, 1.0), 0.0)
    low, high = wilson_interval(np.nan_to_num(found).clip(0.0, 1.0) * independent, independent)
    count = np.bincount(index, minlength=bins).astype(np.int64)
    return ReliabilityCurve(said, found, count, total / total.sum(), low, high)
