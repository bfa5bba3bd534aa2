"""Is a row of features like those that a model has learnt from?

The features are scaled by robust centres and widths and split by principal components: how far a row lies out
within the learnt directions (Hotelling's T²) and how far beside them (the residual Q; Jackson & Mudholkar
1979, doi:10.1080/00401706.1979.10489779). Both have upper limits. Q has a lower one as well: measured spectra
carry noise, and a row that fits the learnt directions better than measured ones do (constant, zero, computed)
is none of them.

Both are even about the mean: a row that is only turned round about it, such as one reversed peak among
upright and flat ones, passes. What is new in one of many features may pass too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.types import BoolArray, Float32Array, FloatArray, IntArray

FORMAT: Final = "novelty/1"
_FOLDS = 4
_BLOCK = 1024
_MAD_TO_SIGMA = 1.4826
# With less than this share of its features known, a row is judged by what is missing, not by the few it has.
_FEWEST_SHARE = 0.25
# Where training rows were all but complete, a row may still lack this share.
_MISSING_FLOOR = 0.1
# Keeps scores finite; nothing measured is that far out.
_LARGEST = 1e12


@dataclass(frozen=True, slots=True)
class Novelty:
    """What known territory looks like, for rows of d features and c principal components.

    Attributes
    ----------
    centre, width : ndarray, shape (d,)
        Robust, per feature.
    clip : float
        Scaled features are cut at ± this.
    mean : ndarray, shape (d,)
        Of the scaled and cut training rows.
    axes : ndarray, shape (d, c)
        Orthonormal.
    variance : ndarray, shape (c,)
        Of the training rows along the axes.
    limit_inside, limit_beside, limit_clean, limit_missing : float
        Largest T², largest and smallest Q, and largest share of unknown features in known territory.
    """

    centre: FloatArray
    width: FloatArray
    clip: float
    mean: FloatArray
    axes: FloatArray
    variance: FloatArray
    limit_inside: float
    limit_beside: float
    limit_clean: float
    limit_missing: float

    def score(self, features: Float32Array | FloatArray) -> FloatArray:
        """How far each row lies out: up to 1 is known territory.

        Parameters
        ----------
        features : ndarray, shape (n, d)
            NaN is unknown.

        Returns
        -------
        ndarray, shape (n,)
            The largest of T², Q and the share of unknown features against their upper limits, and of the
            lower limit against Q. Each row for itself, whatever else is in the batch. Infinite where a row
            knows nothing.

        Raises
        ------
        ValueError
            Where the number of features differs from the training's.
        """
        count = self.centre.size
        if features.ndim != 2 or features.shape[1] != count:
            raise ValueError(f"features must have shape (n, {count}), got {features.shape}")
        result = np.empty(features.shape[0])
        for start in range(0, features.shape[0], _BLOCK):
            block = slice(start, start + _BLOCK)
            scaled, known = _scaled(features[block], self.centre, self.width, self.clip)
            inside, beside = _distances(scaled, known, self.mean, self.axes, self.variance)
            missing = 1.0 - known.mean(axis=1)
            least = max(self.limit_clean / _LARGEST, float(np.finfo(np.float64).tiny))
            ratios = [
                inside / self.limit_inside,
                beside / self.limit_beside,
                self.limit_clean / np.maximum(beside, least),
                missing / self.limit_missing,
            ]
            result[block] = np.where(known.any(axis=1), np.max(ratios, axis=0), np.inf)
        return result

    def is_novel(self, features: Float32Array | FloatArray) -> BoolArray:
        """Which rows lie outside known territory (`score` above 1)."""
        return self.score(features) > 1.0

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As plain arrays by name, for an NPZ file without pickle."""
        arrays: dict[str, npt.NDArray[Any]] = {
            field.name: np.asarray(getattr(self, field.name), dtype=np.float64) for field in fields(self)
        }
        return {"format": np.array(FORMAT), **arrays}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Novelty:
        """What `to_arrays` gave.

        Raises
        ------
        ValueError
            For another format, missing or surplus arrays, shapes that do not belong together, or numbers that
            are not finite or not positive where they must be.
        """
        found = str(arrays["format"]) if "format" in arrays else None
        if found != FORMAT:
            raise ValueError(f"novelty: expected format {FORMAT}, got {found}")
        names = [field.name for field in fields(cls)]
        if set(arrays) != {"format", *names}:
            raise ValueError(f"novelty: expected the arrays {sorted(names)}, got {sorted(arrays)}")
        values = {name: np.asarray(arrays[name], dtype=np.float64) for name in names}
        count, components = values["centre"].size, values["variance"].size
        shapes = {"centre": (count,), "width": (count,), "mean": (count,), "axes": (count, components)}
        shapes["variance"] = (components,)
        for name, value in values.items():
            if value.shape != shapes.get(name, ()):
                raise ValueError(f"novelty: {name} must have shape {shapes.get(name, ())}, got {value.shape}")
            if not np.isfinite(value).all():
                raise ValueError(f"novelty: {name} holds a value that is not finite")
            signed = name in ("centre", "mean", "axes")
            if not signed and (value < 0.0 if name == "limit_clean" else value <= 0.0).any():
                raise ValueError(f"novelty: {name} must be positive, got {value.min()}")
        fitting: dict[str, Any] = {
            name: value if name in shapes else float(value) for name, value in values.items()
        }
        return cls(**fitting)


def fit_novelty(
    features: Float32Array | FloatArray,
    *,
    components: int,
    groups: npt.NDArray[np.generic],
    quantile: float = 0.999,
    clip: float = 10.0,
) -> Novelty:
    """Learn what training rows look like.

    The limits come from rows held out: the sequences are dealt into four parts, and each row is judged by
    axes that have not seen its part. (Centres and widths have; two robust numbers a feature carry nothing of
    a row.) The three limits of T² and Q are passed by equally many rows each, and by the share 1 − `quantile`
    together. The limit of unknown features is what the emptiest training row lacks, or a tenth.

    Parameters
    ----------
    features : ndarray, shape (n, d)
        NaN is unknown; each row knows something.
    components : int
        Number of principal components, c.
    groups : ndarray, shape (n,)
        Sequence of each row: windows of one overlap and must not be parted.
    quantile : float
        Share of rows like the training ones that are known territory.
    clip : float
        Scaled features are cut at ± this.

    Returns
    -------
    Novelty

    Raises
    ------
    ValueError
        For shapes that differ, infinite features, a row that knows nothing, fewer rows than `quantile` needs,
        a single group, or more components than the rows have directions (one must be left over for Q).
    """
    if features.ndim != 2 or groups.shape != features.shape[:1]:
        raise ValueError(f"expected features (n, d) and groups (n,), got {features.shape} and {groups.shape}")
    _check_rows(features, quantile, clip)
    unique, index = np.unique(groups, return_inverse=True)
    if unique.size < 2:
        raise ValueError(f"limits need rows of at least 2 groups, got {unique.size}")
    centre, width = _robust(features)
    scaled, known = _scaled(features, centre, width, clip)
    # Dealt at random, always alike: sequences that were made in turns would leave a kind of them to one part.
    fold = (np.random.default_rng(0).permutation(unique.size) % _FOLDS)[index]
    moments = [_Moments.of(scaled[fold == one]) for one in range(min(_FOLDS, unique.size))]
    inside, beside = np.empty(fold.size), np.empty(fold.size)
    for one in range(len(moments)):
        rest = _principal(moments[:one] + moments[one + 1 :], components)
        rows = fold == one
        inside[rows], beside[rows] = _distances(scaled[rows], known[rows], *rest)
    limits = _limits(np.stack([inside, beside, -beside]), quantile)
    mean, axes, variance = _principal(moments, components)
    return Novelty(
        centre=centre,
        width=width,
        clip=float(clip),
        mean=mean,
        axes=axes,
        variance=variance,
        limit_inside=float(limits[0]),
        limit_beside=float(limits[1]),
        limit_clean=float(-limits[2]),
        limit_missing=max(1.0 - float(known.mean(axis=1).min()), _MISSING_FLOOR),
    )


@dataclass(frozen=True, slots=True)
class _Moments:
    """Count, sum and sum of products of some rows; those of several parts add up."""

    count: int
    total: FloatArray
    products: FloatArray

    @classmethod
    def of(cls, scaled: FloatArray) -> _Moments:
        return cls(scaled.shape[0], scaled.sum(axis=0), scaled.T @ scaled)


def _check_rows(features: Float32Array | FloatArray, quantile: float, clip: float) -> None:
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile must lie between 0 and 1, got {quantile}")
    if not (np.isfinite(clip) and clip > 0.0):
        raise ValueError(f"clip must be positive, got {clip}")
    needed = int(np.ceil(quantile / (1.0 - quantile) - 1e-9))
    if features.shape[0] < needed:
        raise ValueError(f"quantile {quantile} needs at least {needed} rows, got {features.shape[0]}")
    infinite = np.argwhere(np.isinf(features))
    if infinite.size:
        raise ValueError(f"feature {infinite[0, 1]} of row {infinite[0, 0]} is infinite")
    empty = np.flatnonzero(np.isnan(features).all(axis=1))
    if empty.size:
        raise ValueError(f"row {empty[0]} knows no feature")


def _robust(features: Float32Array | FloatArray) -> tuple[FloatArray, FloatArray]:
    """Median and scaled median deviation of each feature.

    A feature that has one value in most rows has a median deviation of zero: the standard deviation then, and
    1 where that is zero as well.
    """
    centre, width = np.zeros(features.shape[1]), np.ones(features.shape[1])
    for column in range(features.shape[1]):
        values = features[:, column].astype(np.float64)
        values = values[~np.isnan(values)]
        if values.size:
            centre[column] = np.median(values)
            deviation = _MAD_TO_SIGMA * float(np.median(np.abs(values - centre[column])))
            width[column] = deviation or float(values.std()) or 1.0
    return centre, width


def _scaled(
    features: Float32Array | FloatArray, centre: FloatArray, width: FloatArray, clip: float
) -> tuple[FloatArray, BoolArray]:
    """Scaled and cut features, zero where unknown, and which are known."""
    known = ~np.isnan(features)
    scaled: FloatArray = features - centre
    # In place: training rows are many, and each copy of them takes hundreds of megabytes.
    scaled /= width
    np.clip(scaled, -clip, clip, out=scaled)
    scaled[~known] = 0.0
    return scaled, known


def _principal(parts: list[_Moments], components: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean, axes and variances of all parts together."""
    count = sum(part.count for part in parts)
    mean: FloatArray = np.sum([part.total for part in parts], axis=0) / count
    covariance = np.sum([part.products for part in parts], axis=0) / count - np.outer(mean, mean)
    variance, axes = np.linalg.eigh(covariance)
    rank = int(np.count_nonzero(variance > 1e-9 * max(float(variance[-1]), 1e-30)))
    if not 1 <= components < rank:
        raise ValueError(f"components must lie between 1 and {rank - 1}, got {components}")
    chosen = slice(None, -components - 1, -1)
    return mean, np.ascontiguousarray(axes[:, chosen]), variance[chosen].copy()


def _distances(
    scaled: FloatArray, known: BoolArray, mean: FloatArray, axes: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """T², and the mean square residual Q over the known features."""
    off = scaled - mean
    along = off @ axes
    residual = np.where(known, off - along @ axes.T, 0.0)
    share = np.maximum(known.sum(axis=1), _FEWEST_SHARE * mean.size)
    inside: FloatArray = (along**2 / variance).sum(axis=1)
    beside: FloatArray = (residual**2).sum(axis=1) / share
    return inside, beside


def _limits(statistics: FloatArray, quantile: float) -> FloatArray:
    """Limits, one a statistic, each passed by as many rows, that together let the share `quantile` of rows
    through.
    """
    rows = statistics.shape[1]
    ordered = np.sort(statistics, axis=1)
    ranks = np.stack([np.searchsorted(line, row) for line, row in zip(ordered, statistics, strict=True)])
    through = int(np.ceil((rows + 1) * quantile - 1e-9)) - 1
    worst: IntArray = np.sort(ranks.max(axis=0))
    result: FloatArray = ordered[:, min(int(worst[through]), rows - 1)]
    return result
