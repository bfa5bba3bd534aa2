"""Class probabilities that mean what they say: vector scaling, isotonic curves, reliability.

A booster's softmax is as a rule too sure of itself. Vector scaling gives every class a scale and a bias in
the logarithm of its probability (Guo et al. 2017, arXiv:1706.04599); one-against-rest isotonic curves bend
the result further (Zadrozny & Elkan 2002, doi:10.1145/775047.775151) where that helps on sequences that the
fit has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax

from monitor.science.reliability import (
    CalibrationError,
    Reliability,
    ReliabilityCurve,
    expected_calibration_error,
    reliability,
)
from monitor.types import BoolArray, Float32Array, FloatArray, IntArray, Json

__all__ = [
    "Calibration",
    "CalibrationError",
    "Reliability",
    "ReliabilityCurve",
    "expected_calibration_error",
    "fit_calibration",
    "reliability",
    "share_weights",
]

FORMAT: Final = "calibration/1"
_RIDGE = 1.0
# Softmax in single precision gives zero below e^-103; what lies further down than this tells nothing more.
_LOWEST_LOG = -40.0

Curve = tuple[tuple[float, ...], tuple[float, ...]]
"""Knots of one class's isotonic curve: log odds, rising, and probability."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns a booster's margins into calibrated probabilities.

    Attributes
    ----------
    scale, bias : tuple of float, length k
        Of the logarithm of each class's probability.
    isotonic : tuple of Curve, length k, or None
        Curves that follow the scaling, one class against the rest; straight lines between the knots.
    held_out_error : mapping of str to float
        Class-wise expected calibration error on held-out sequences: `uncalibrated`, `vector`, `isotonic`;
        empty where nothing was held out.
    """

    scale: tuple[float, ...]
    bias: tuple[float, ...]
    isotonic: tuple[Curve, ...] | None = None
    held_out_error: Mapping[str, float] = field(default_factory=dict)

    def apply(self, log_probability: FloatArray | Float32Array) -> FloatArray:
        """Calibrated probabilities.

        Parameters
        ----------
        log_probability : ndarray, shape (n, k)
            Margins or logarithms of probabilities: what is added to a whole row changes nothing.

        Returns
        -------
        ndarray, shape (n, k)
            Each row sums to 1; a row with NaN or +inf, or with nothing but −inf, is NaN throughout.

        Raises
        ------
        ValueError
            Where the number of classes differs from the calibration's.
        """
        if log_probability.ndim != 2 or log_probability.shape[1] != len(self.scale):
            raise ValueError(
                f"log_probability must have shape (n, {len(self.scale)}), got {log_probability.shape}"
            )
        asked = _tells(log_probability)
        result = np.full(log_probability.shape, np.nan)
        scaled = _normalised(log_probability[asked]) * np.array(self.scale) + np.array(self.bias)
        probability = softmax(scaled, axis=1)
        result[asked] = probability if self.isotonic is None else _bent(probability, self.isotonic)
        return result

    def to_json(self) -> Json:
        """As JSON, with every digit."""
        return {
            "format": FORMAT,
            "scale": list(self.scale),
            "bias": list(self.bias),
            "isotonic": None
            if self.isotonic is None
            else [{"log_odds": list(x), "probability": list(y)} for x, y in self.isotonic],
            "held_out_error": dict(self.held_out_error),
        }

    @classmethod
    def from_json(cls, document: Json) -> Calibration:
        """What `to_json` gave.

        Raises
        ------
        ValueError
            For another format, a missing or surplus key, or numbers that are no calibration.
        """
        wanted = {"format", "scale", "bias", "isotonic", "held_out_error"}
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else document
            raise ValueError(f"calibration: expected format {FORMAT}, got {found!r}")
        if set(document) != wanted:
            raise ValueError(
                f"calibration: expected the keys {sorted(wanted)}, got {sorted(map(str, document))}"
            )
        try:
            return _read(document)
        except (TypeError, KeyError) as error:
            raise ValueError(f"calibration: a value is of the wrong kind: {error!r}") from error


def fit_calibration(
    log_probability: FloatArray | Float32Array,
    truth: IntArray,
    weights: FloatArray | None = None,
    *,
    groups: npt.NDArray[np.generic] | None = None,
    isotonic: bool | None = None,
) -> Calibration:
    """Fit vector scaling and, where it earns its place, isotonic curves on top.

    Parameters
    ----------
    log_probability : ndarray, shape (n, k)
        Margins or logarithms of probabilities of windows that the booster has not learnt from.
    truth : ndarray, shape (n,)
        Class index, 0 … k − 1; every class occurs.
    weights : ndarray, shape (n,), optional
        Positive weights of the windows, such as `share_weights` gives. Only their ratios matter.
    groups : ndarray, shape (n,), optional
        Sequence of each window; windows of one are never parted when half of the data are held out. By
        default every window stands alone.
    isotonic : bool, optional
        True and False decide. By default the data do: both are fitted on either half of the sequences and
        judged on the other by the class-wise expected calibration error (15 bins of equal count, mean of the
        two halves), and the lower wins, the simpler one in a tie. A class that occurs in one sequence only
        leaves nothing to judge by: vector scaling then.

    Returns
    -------
    Calibration
        Fitted on all windows.

    Raises
    ------
    ValueError
        For shapes that differ, fewer than two classes, margins that are not finite, a truth outside the
        classes, an absent class, weights that are not positive.
    """
    normalised, weight = _checked(log_probability, truth, weights)
    errors: dict[str, float] = {}
    if isotonic is None:
        names = np.arange(truth.size) if groups is None else groups
        if names.shape != truth.shape:
            raise ValueError(f"groups must have shape {truth.shape}, got {names.shape}")
        errors = _held_out_errors(normalised, truth, weight, _second_half(names, truth))
        isotonic = bool(errors) and errors["isotonic"] < errors["vector"]
    return _fit(normalised, truth, weight, isotonic, errors)


def share_weights(truth: IntArray, share: npt.ArrayLike) -> FloatArray:
    """Weights under which the classes have these shares, as in nature rather than in the sample.

    Parameters
    ----------
    truth : ndarray, shape (n,)
        Class index.
    share : array_like, shape (k,)
        Positive; only the ratios matter.

    Returns
    -------
    ndarray, shape (n,)
        Mean 1.
    """
    wanted = np.asarray(share, dtype=np.float64)
    if wanted.ndim != 1 or not (np.isfinite(wanted) & (wanted > 0.0)).all():
        raise ValueError(f"share must be positive, one number a class, got {wanted.tolist()}")
    if truth.size == 0 or truth.min() < 0 or truth.max() >= wanted.size:
        raise ValueError(f"truth must lie in 0 … {wanted.size - 1} and not be empty, got {np.unique(truth)}")
    count = np.bincount(truth, minlength=wanted.size)
    weight = (wanted / np.maximum(count, 1))[truth]
    result: FloatArray = weight / weight.mean()
    return result


def _checked(
    log_probability: FloatArray | Float32Array, truth: IntArray, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Normalised logarithms and weights of mean 1, or one clear error."""
    if log_probability.ndim != 2 or log_probability.shape[1] < 2 or truth.shape != log_probability.shape[:1]:
        raise ValueError(
            f"expected margins (n, k ≥ 2) and truth (n,), got {log_probability.shape} and {truth.shape}"
        )
    unknown = np.flatnonzero(~_tells(log_probability))
    if unknown.size:
        raise ValueError(
            f"log_probability of row {unknown[0]} is not finite: {log_probability[unknown[0]].tolist()}"
        )
    classes = log_probability.shape[1]
    outside = (truth < 0) | (truth >= classes)
    if outside.any():
        raise ValueError(f"truth must lie in 0 … {classes - 1}, got {truth[outside][0]}")
    absent = np.flatnonzero(np.bincount(truth, minlength=classes) == 0)
    if absent.size:
        raise ValueError(f"no window of class {absent[0]}: a calibration needs every class")
    weight = np.ones(truth.size) if weights is None else weights.astype(np.float64)
    if weight.shape != truth.shape:
        raise ValueError(f"weights must have shape {truth.shape}, got {weight.shape}")
    useless = ~(np.isfinite(weight) & (weight > 0.0))
    if useless.any():
        raise ValueError(f"weights must be positive, got {weight[useless][0]}")
    return _normalised(log_probability), weight / weight.mean()


def _tells(log_probability: FloatArray | Float32Array) -> BoolArray:
    """Rows that tell the classes apart or level: their largest element is finite, and none is NaN."""
    result: BoolArray = np.isfinite(log_probability.max(axis=1))
    return result


def _normalised(log_probability: FloatArray | Float32Array) -> FloatArray:
    """Logarithms of probabilities that sum to 1, none without bounds."""
    result: FloatArray = np.maximum(log_softmax(log_probability.astype(np.float64), axis=1), _LOWEST_LOG)
    return result


def _fit(
    normalised: FloatArray, truth: IntArray, weight: FloatArray, isotonic: bool, errors: Mapping[str, float]
) -> Calibration:
    scale, bias = _vector_scaling(normalised, truth, weight)
    curves = None
    if isotonic:
        probability = softmax(normalised * scale + bias, axis=1)
        curves = tuple(
            _isotonic_curve(_log_odds(probability[:, one]), truth == one, weight) for one in range(scale.size)
        )
    return Calibration(tuple(scale.tolist()), tuple(bias.tolist()), curves, errors)


def _vector_scaling(
    normalised: FloatArray, truth: IntArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Scale and bias that minimise the log loss: convex, by L-BFGS with the exact gradient.

    The ridge weighs as much as one window. It settles the one bias that the loss leaves free and keeps a
    sample that is perfectly separated from asking for an infinite scale.
    """
    rows, classes = normalised.shape
    hit = np.zeros_like(normalised)
    hit[np.arange(rows), truth] = 1.0

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        scale, bias = parameters[:classes], parameters[classes:]
        log_probability = log_softmax(normalised * scale + bias, axis=1)
        missed = weight[:, None] * (np.exp(log_probability) - hit)
        off = np.concatenate((scale - 1.0, bias))
        value = -float((weight * log_probability[np.arange(rows), truth]).sum())
        gradient = np.concatenate(((missed * normalised).sum(axis=0), missed.sum(axis=0)))
        return (value + 0.5 * _RIDGE * float(off @ off)) / rows, (gradient + _RIDGE * off) / rows

    start = np.concatenate((np.ones(classes), np.zeros(classes)))
    # A negative scale would turn a class's evidence round.
    bounds = [(0.0, None)] * classes + [(None, None)] * classes
    # Imported where it is needed: a daemon only applies what was fitted.
    from scipy.optimize import minimize

    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
    )
    best = np.asarray(found.x, dtype=np.float64)
    return best[:classes], best[classes:] - best[classes:].mean()


def _log_odds(probability: FloatArray) -> FloatArray:
    """ln p / (1 − p), finite."""
    inside = np.clip(probability, np.exp(_LOWEST_LOG), 1.0 - 1e-15)
    result: FloatArray = np.log(inside) - np.log1p(-inside)
    return result


def _isotonic_curve(log_odds: FloatArray, hit: BoolArray, weight: FloatArray) -> Curve:
    """Rising curve of the frequency of `hit`, with a knot in the middle of each of its steps.

    Lines between the middles keep the order of windows that a staircase would call equal, which a threshold
    needs. No block of windows proves that something never, or always, happens: the ends keep half a window's
    distance from 0 and 1 (Krichevsky & Trofimov 1981, doi:10.1109/TIT.1981.1056331).
    """
    place, index = np.unique(log_odds, return_inverse=True)
    total = np.bincount(index, weights=weight)
    share = np.bincount(index, weights=weight * hit) / total
    # As above.
    from scipy.optimize import isotonic_regression

    found = isotonic_regression(share, weights=total)
    first = np.asarray(found.blocks, dtype=np.int64)[:-1]
    block = np.add.reduceat(total, first)
    middle = np.add.reduceat(total * place, first) / block
    level = np.asarray(found.x, dtype=np.float64)[first]
    level = np.clip(level, 0.5 / (block[0] + 1.0), 1.0 - 0.5 / (block[-1] + 1.0))
    return tuple(middle.tolist()), tuple(level.tolist())


def _bent(probability: FloatArray, curves: tuple[Curve, ...]) -> FloatArray:
    """Each class through its curve, and the rows brought back to a sum of 1."""
    bent = np.stack(
        [np.interp(_log_odds(probability[:, one]), x, y) for one, (x, y) in enumerate(curves)], axis=1
    )
    result: FloatArray = bent / bent.sum(axis=1, keepdims=True)
    return result


def _second_half(groups: npt.NDArray[np.generic], truth: IntArray) -> BoolArray:
    """Windows of every other sequence; both halves get about as much of each class, the rarest first."""
    _, index = np.unique(groups, return_inverse=True)
    classes = int(truth.max()) + 1
    count = np.bincount(index * classes + truth, minlength=(int(index.max()) + 1) * classes).reshape(
        -1, classes
    )
    order = np.lexsort(count[:, np.argsort(-count.sum(axis=0), kind="stable")].T)[::-1]
    second = np.zeros(order.size, dtype=np.bool_)
    # First, second, second, first: neither half always gets the richer sequence of two neighbours.
    second[order] = np.isin(np.arange(order.size) % 4, (1, 2))
    result: BoolArray = second[index]
    return result


def _held_out_errors(
    normalised: FloatArray, truth: IntArray, weight: FloatArray, second: BoolArray
) -> dict[str, float]:
    """Class-wise errors with each half held out in turn; empty where a half lacks a class."""
    classes = np.arange(normalised.shape[1])
    halves = (~second, second)
    if any(not np.isin(classes, truth[half]).all() for half in halves):
        return {}
    errors: dict[str, float] = {}
    for learnt, held_out in (halves, halves[::-1]):
        whole = _fit(normalised[learnt], truth[learnt], weight[learnt], True, {})
        judged = {
            "uncalibrated": softmax(normalised[held_out], axis=1),
            "vector": Calibration(whole.scale, whole.bias).apply(normalised[held_out]),
            "isotonic": whole.apply(normalised[held_out]),
        }
        for name, probability in judged.items():
            error = expected_calibration_error(
                probability, truth[held_out], weights=weight[held_out], equal_count=True
            )
            errors[name] = errors.get(name, 0.0) + 0.5 * error.class_wise
    return errors


def _read(document: Json) -> Calibration:
    scale, bias = _numbers(document["scale"], "scale"), _numbers(document["bias"], "bias")
    if len(scale) < 2 or len(bias) != len(scale) or min(scale) < 0.0:
        raise ValueError(f"calibration: scale and bias must be as many, scale ≥ 0, got {scale} and {bias}")
    curves = document["isotonic"]
    if curves is not None:
        curves = tuple(_curve(curve) for curve in curves)
        if len(curves) != len(scale):
            raise ValueError(f"calibration: expected {len(scale)} isotonic curves, got {len(curves)}")
    errors = {str(name): float(value) for name, value in dict(document["held_out_error"]).items()}
    return Calibration(scale, bias, curves, errors)


def _numbers(values: Json, name: str) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not np.isfinite(numbers).all():
        raise ValueError(f"calibration: {name} must be finite, got {numbers}")
    return numbers


def _curve(document: Json) -> Curve:
    x = _numbers(document["log_odds"], "log_odds")
    y = _numbers(document["probability"], "probability")
    rising = bool(np.all(np.diff(x) > 0.0) and np.all(np.diff(y) >= 0.0))
    if not x or len(x) != len(y) or not rising or y[0] <= 0.0 or y[-1] >= 1.0:
        raise ValueError(
            f"calibration: an isotonic curve must rise within (0, 1), got {len(x)} and {len(y)} knots"
        )
    return x, y
