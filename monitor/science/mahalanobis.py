"""How far a window's features lie from those of every known class.

Class-conditional Gaussians with one covariance for all (Lee et al. 2018, arXiv:1807.03888): what is far from each of
them is like nothing of the training. The covariance is shrunk (Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.types import FloatArray, IntArray, RealArray

FORMAT: Final = "mahalanobis/1"

# Features that never vary in training would otherwise make anything infinitely far.
_LEAST_SHRINKAGE = 0.01
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class ClassDistances:
    """Means of k classes in f features, and what makes the features' spread within a class one and independent.

    Attributes
    ----------
    mean : ndarray, shape (k, f)
        Of the classes that training had; NaN for those it had not.
    whitening : ndarray, shape (f, f)
        Features times this have unit covariance within a class.
    """

    mean: FloatArray
    whitening: FloatArray

    def __post_init__(self) -> None:
        """Refuse what could not be asked later."""
        features = self.mean.shape[-1]
        if self.mean.ndim != 2 or self.whitening.shape != (features, features):
            raise ValueError(
                f"expected a mean (k, f) and a whitening (f, f), got {self.mean.shape} and {self.whitening.shape}"
            )
        known = ~np.isnan(self.mean).any(axis=1)
        if (
            not known.any()
            or not np.isfinite(self.mean[known]).all()
            or not np.isfinite(self.whitening).all()
        ):
            raise ValueError("mean and whitening must be finite, of at least one class")

    def distance(self, features: RealArray) -> FloatArray:
        """Mahalanobis distance of windows (n, f) from the nearest class, shape (n,).

        Raises
        ------
        ValueError
            Where the number of features differs from the training's.
        """
        count = self.mean.shape[1]
        if features.ndim != 2 or features.shape[1] != count:
            raise ValueError(f"features must have shape (n, {count}), got {features.shape}")
        middle = np.nanmean(self.mean, axis=0)
        means = (self.mean[~np.isnan(self.mean).any(axis=1)] - middle) @ self.whitening
        found = np.empty(features.shape[0])
        # The large product in the features' own precision: it is most of the cost of a day's windows.
        base, turn = middle.astype(features.dtype), self.whitening.astype(features.dtype)
        for start in range(0, features.shape[0], _BLOCK):
            rows = slice(start, start + _BLOCK)
            white = ((features[rows] - base) @ turn).astype(np.float64)
            apart = (white**2).sum(axis=1)[:, None] - 2.0 * white @ means.T + (means**2).sum(axis=1)
            found[rows] = np.sqrt(np.maximum(apart.min(axis=1), 0.0))
        return found

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As plain arrays by name, for an NPZ file without pickle."""
        return {"format": np.array(FORMAT), "mean": self.mean, "whitening": self.whitening}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> ClassDistances:
        """What `to_arrays` gave.

        Raises
        ------
        ValueError
            For another format, missing or surplus arrays, or shapes and numbers that cannot be.
        """
        found = str(arrays["format"]) if "format" in arrays else None
        if found != FORMAT:
            raise ValueError(f"class distances: expected format {FORMAT}, got {found}")
        if set(arrays) != {"format", "mean", "whitening"}:
            raise ValueError(f"class distances: expected mean and whitening, got {sorted(arrays)}")
        return cls(
            np.asarray(arrays["mean"], dtype=np.float64), np.asarray(arrays["whitening"], dtype=np.float64)
        )


def fit_class_distances(features: RealArray, label: IntArray, classes: int) -> ClassDistances:
    """Learn where the classes lie.

    Parameters
    ----------
    features : ndarray, shape (n, f)
    label : ndarray, shape (n,)
        0 to `classes` - 1.
    classes : int

    Raises
    ------
    ValueError
        For shapes that differ, features that are not finite, fewer than two rows, or labels outside the classes.
    """
    if features.ndim != 2 or label.shape != features.shape[:1] or label.size < 2:
        raise ValueError(
            f"expected features (n, f) and label (n,), n at least 2, got {features.shape} and {label.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError("features must be finite")
    if label.min() < 0 or label.max() >= classes:
        raise ValueError(f"labels must lie from 0 to {classes - 1}, got {label.min()} to {label.max()}")
    values = features.astype(np.float64)
    mean = np.full((classes, values.shape[1]), np.nan)
    for one in np.unique(label):
        mean[one] = values[label == one].mean(axis=0)
    covariance = _shrunk(values - mean[label])
    variance, axes = np.linalg.eigh(covariance)
    return ClassDistances(mean, axes / np.sqrt(variance))


def _shrunk(residual: FloatArray) -> FloatArray:
    """Covariance of rows (n, f) about zero, drawn towards a multiple of the unit matrix."""
    rows, count = residual.shape
    covariance: FloatArray = residual.T @ residual / rows
    scale = float(np.trace(covariance)) / count or 1.0
    target = scale * np.eye(count)
    distance = float(((covariance - target) ** 2).sum())
    # Mean over the rows of |x xᵀ - S|², without making the matrices.
    scatter = (((residual**2).sum(axis=1)) ** 2).mean() - float((covariance**2).sum())
    share = min(1.0, scatter / rows / distance) if distance > 0.0 else 1.0
    share = max(share, _LEAST_SHRINKAGE)
    return share * target + (1.0 - share) * covariance
