"""Shares counted in a sample, and how well such a count is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from monitor.types import BoolArray, FloatArray


def wilson_interval(
    successes: npt.ArrayLike, total: npt.ArrayLike, level: float = 0.9
) -> tuple[FloatArray, FloatArray]:
    """Interval of a share by Wilson's score method, which stays in [0, 1] and holds for few counts too.

    Parameters
    ----------
    successes, total : array_like, broadcast together
        Counts; they need not be whole (weights, effective numbers). 0 ≤ successes ≤ total.
    level : float
        Two-sided confidence, between 0 and 1.

    Returns
    -------
    low, high : ndarray
        NaN where `total` is zero.

    Raises
    ------
    ValueError
        For a level outside (0, 1), or successes outside [0, total].

    Notes
    -----
    Wilson (1927), doi:10.1080/01621459.1927.10502953; Brown, Cai & DasGupta (2001),
    doi:10.1214/ss/1009213286.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    hits, count = np.broadcast_arrays(
        np.asarray(successes, dtype=np.float64), np.asarray(total, dtype=np.float64)
    )
    wrong = ~((hits >= 0.0) & (hits <= count * (1.0 + 1e-12)))
    if wrong.any():
        raise ValueError(f"successes must lie in [0, total], got {hits[wrong][0]} of {count[wrong][0]}")
    known = count > 0.0
    safe = np.where(known, count, 1.0)
    share, z = np.minimum(hits / safe, 1.0), float(ndtri(0.5 + 0.5 * level))
    centre = (share + z**2 / (2.0 * safe)) / (1.0 + z**2 / safe)
    half = z / (1.0 + z**2 / safe) * np.sqrt(share * (1.0 - share) / safe + z**2 / (4.0 * safe**2))
    low, high = np.clip(centre - half, 0.0, share), np.clip(centre + half, share, 1.0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def effective_count(hit: BoolArray, cluster: npt.NDArray[np.generic]) -> float:
    """How many independent windows would know the share of `hit` as well as these clustered ones do.

    Overlapping windows of one sequence hit or miss together. The variance of the share is estimated between
    the clusters (linearised ratio), and compared with that of independent windows.

    Parameters
    ----------
    hit : ndarray of bool, shape (n,)
    cluster : ndarray, shape (n,)
        Number or name of the sequence of each window.

    Returns
    -------
    float
        Between the number of clusters and n where the clusters' own scatter says so; the number of clusters
        where all windows agree, for then nothing shows how much they depend on each other; 0 without windows.

    Notes
    -----
    Kish (1965), *Survey Sampling*, on design effects; Rao & Scott (1992), doi:10.2307/2532311, on effective
    sizes.
    """
    if hit.shape != cluster.shape or hit.ndim != 1:
        raise ValueError(f"hit and cluster must have one shape (n,), got {hit.shape} and {cluster.shape}")
    if hit.size == 0:
        return 0.0
    _, index = np.unique(cluster, return_inverse=True)
    size = np.bincount(index).astype(np.float64)
    hits = np.bincount(index, weights=hit)
    share, clusters = float(hit.mean()), size.size
    spread = float(((hits - share * size) ** 2).sum())
    if clusters == 1 or spread == 0.0 or share in (0.0, 1.0):
        return float(clusters)
    variance = spread / hit.size**2 * clusters / (clusters - 1)
    return float(min(share * (1.0 - share) / variance, hit.size))
