"""Logistic regression, the linear rival of the boosters.

It sees the features standardised: less their mean, over their scatter, at most five of it, and zero where unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from monitor.jobs.flr.fitting import Table
from monitor.types import Float32Array, FloatArray, IntArray

PENALTIES: Final = (1e-1, 1e-2, 1e-3, 1e-4)
"""Weights of ½ |coefficients|² against the mean loss of a window; validation chooses."""
_WIDEST = 5.0
_STEPS = 200


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """Standardisation of d features, and a linear form of them for each of k classes.

    Attributes
    ----------
    mean, scatter : ndarray, shape (d,)
    coefficient : ndarray, shape (d, k)
    intercept : ndarray, shape (k,)
    """

    mean: FloatArray
    scatter: FloatArray
    coefficient: FloatArray
    intercept: FloatArray

    def predict(self, features: Float32Array) -> Float32Array:
        """The linear forms, shape (n, k), of features, shape (n, d): margins of the classes."""
        forms = _standardised(features, self.mean, self.scatter) @ self.coefficient + self.intercept
        return forms.astype(np.float32)


def fit_logistic(training: Table, validation: Table, classes: int) -> LogisticModel:
    """Multinomial logistic regression with the rows' weights, by L-BFGS from the strongest penalty to the weakest.

    The penalty is the one with the lowest log loss of the validation rows.

    Parameters
    ----------
    training, validation : Table
        Targets are class indices 0 … `classes` − 1.
    classes : int
    """
    mean, scatter = _moments(training.features)
    rows = _standardised(training.features, mean, scatter)
    target, held = training.target.astype(np.int64), validation.target.astype(np.int64)
    start = np.zeros((rows.shape[1] + 1, classes))
    best, lowest = start, np.inf
    for penalty in PENALTIES:
        start = _logistic(rows, target, training.weight / training.weight.sum(), penalty, start)
        model = LogisticModel(mean, scatter, start[1:], start[0])
        margin = model.predict(validation.features).astype(np.float64)
        missed = -log_softmax(margin, axis=1)[np.arange(held.size), held]
        loss = float(np.average(missed, weights=validation.weight))
        if loss < lowest:
            best, lowest = start, loss
    return LogisticModel(mean, scatter, best[1:], best[0])


def _logistic(
    rows: FloatArray, target: IntArray, weight: FloatArray, penalty: float, start: FloatArray
) -> FloatArray:
    """Intercepts (first row) and coefficients that minimise the penalised log loss, shape (d + 1, k)."""
    each = np.arange(target.size)

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        form = flat.reshape(start.shape)
        log_probability = log_softmax(rows @ form[1:] + form[0], axis=1)
        missed = np.exp(log_probability)
        missed[each, target] -= 1.0
        missed *= weight[:, None]
        slope = np.concatenate([missed.sum(axis=0)[None], rows.T @ missed + penalty * form[1:]])
        value = -float(weight @ log_probability[each, target]) + 0.5 * penalty * float((form[1:] ** 2).sum())
        return value, slope.ravel()

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    return np.asarray(found.x, dtype=np.float64).reshape(start.shape)


def _moments(features: Float32Array) -> tuple[FloatArray, FloatArray]:
    """Mean and scatter of the known values of each column; 0 and 1 where they tell nothing."""
    known = np.isfinite(features)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, features, 0.0).sum(axis=0, dtype=np.float64) / count
    off = np.where(known, features - mean, 0.0)
    scatter = np.sqrt((off**2).sum(axis=0) / count)
    return mean, np.where(scatter > 0.0, scatter, 1.0)


def _standardised(features: Float32Array, mean: FloatArray, scatter: FloatArray) -> FloatArray:
    known = np.isfinite(features)
    scaled = np.where(known, (features - mean) / scatter, 0.0)
    bounded: FloatArray = np.clip(scaled, -_WIDEST, _WIDEST)
    return bounded
