"""Another mission with a few labelled windows: only the dense layer learns, as the paper recommends.

The layer is pulled towards what it was, so that regions of which the new mission has no windows keep theirs, and learning
stops where windows of runs that it has not seen are told best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from monitor.jobs.region.network import Arrays
from monitor.models.region import RegionModel
from monitor.science.region import window_part
from monitor.types import BoolArray, FloatArray, IntArray, RealArray, RegionExamples

PULL: Final = 0.01
"""Of the squared distance from the old weights, in units of the cross entropy, times the features' mean square."""

_HELD_OUT = 0.25
_STEPS = 200
_WEIGHT, _BIAS = "dense.weight", "dense.bias"


@dataclass(frozen=True, slots=True)
class Transferred:
    """A dense layer that has learnt anew.

    Attributes
    ----------
    weight : ndarray, shape (k, f)
    bias : ndarray, shape (k,)
    steps : int
        Of the fit, up to the one that was kept; 0 is the old layer.
    loss_before, loss_after : float
        Cross entropy, nat, of the windows that were held out.
    """

    weight: FloatArray
    bias: FloatArray
    steps: int
    loss_before: float
    loss_after: float


def fit_last_layer(
    model: RegionModel, arrays: Arrays, examples: RegionExamples, *, seed: int = 0
) -> tuple[dict[str, npt.NDArray[Any]], Transferred]:
    """Learn the dense layer of a model anew.

    Parameters
    ----------
    model : RegionModel
    arrays : mapping
        Its weights (`weights.npz`).
    examples : RegionExamples
        Of the other mission, of at least two runs. Each is asked in the forms that it has.
    seed : int
        Decides which runs are held out.

    Returns
    -------
    arrays : dict
        The same but for the dense layer, for `network.from_arrays`.
    transferred : Transferred
    """
    whole = examples.at(~examples.mixed)
    around = whole.at(whole.context)
    parts = [(model.windows(window_part(whole.values)).features[:, 0], whole)]
    if len(around):
        parts.append((model.stretches(around.values).features[:, 0], around))
    found = refit(
        arrays[_WEIGHT].astype(np.float64),
        arrays[_BIAS].astype(np.float64),
        np.concatenate([features for features, _ in parts]),
        np.concatenate([asked.label for _, asked in parts]),
        np.concatenate([asked.run for _, asked in parts]),
        seed=seed,
    )
    changed = {_WEIGHT: found.weight.astype(np.float32), _BIAS: found.bias.astype(np.float32)}
    return {**arrays, **changed}, found


def refit(
    weight: FloatArray,
    bias: FloatArray,
    features: RealArray,
    label: IntArray,
    run: IntArray,
    *,
    pull: float = PULL,
    seed: int = 0,
) -> Transferred:
    """Learn a dense layer anew from stored features (n, f), whole runs held out to stop by.

    Raises
    ------
    ValueError
        There are fewer than two runs.
    """
    held = _held_out(run, seed)
    learnt = np.column_stack([features[~held].astype(np.float64), np.ones(np.count_nonzero(~held))])
    unseen = np.column_stack([features[held].astype(np.float64), np.ones(np.count_nonzero(held))])
    wanted = label[~held]
    start = np.column_stack([weight, bias])
    scale = pull * float((learnt**2).mean())
    path = [start]

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        layer = flat.reshape(start.shape)
        loss = _cross_entropy(layer, learnt, wanted) + 0.5 * scale * float(((layer - start) ** 2).sum())
        error = softmax(learnt @ layer.T, axis=1)
        error[np.arange(wanted.size), wanted] -= 1.0
        return loss, (error.T @ learnt / wanted.size + scale * (layer - start)).ravel()

    def watched(xk: FloatArray) -> None:
        path.append(xk.reshape(start.shape).copy())

    minimize(
        objective, start.ravel(), jac=True, method="L-BFGS-B", callback=watched, options={"maxiter": _STEPS}
    )
    losses = [_cross_entropy(layer, unseen, label[held]) for layer in path]
    steps = int(np.argmin(losses))
    layer = path[steps]
    return Transferred(layer[:, :-1], layer[:, -1], steps, losses[0], losses[steps])


def _held_out(run: IntArray, seed: int) -> BoolArray:
    """About a quarter of the runs, at least one and not all."""
    runs = np.unique(run)
    if runs.size < 2:
        raise ValueError(f"learning anew needs windows of at least 2 runs or orbits, got {runs.size}")
    count = min(max(1, round(_HELD_OUT * runs.size)), runs.size - 1)
    chosen: BoolArray = np.isin(run, np.random.default_rng(seed).choice(runs, count, replace=False))
    return chosen


def _cross_entropy(layer: FloatArray, rows: FloatArray, label: IntArray) -> float:
    return float(-log_softmax(rows @ layer.T, axis=1)[np.arange(label.size), label].mean())
