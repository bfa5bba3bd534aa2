"""How often intervals held, group by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.science.proportion import effective_count, wilson_interval
from monitor.types import Float32Array, FloatArray, IntArray

Real = FloatArray | Float32Array


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often intervals held in one group.

    Attributes
    ----------
    group : int or None
        None is all windows together.
    windows, covered : int
    share : float
    low, high : float
        Wilson's 90 % interval of the share. Where sequences are known it counts as many windows as they are
        worth.
    """

    group: int | None
    windows: int
    covered: int
    share: float
    low: float
    high: float


def coverage(
    low_Hz: Real,
    high_Hz: Real,
    truth_Hz: Real,
    group: IntArray,
    sequence: npt.NDArray[np.generic] | None = None,
) -> tuple[Coverage, ...]:
    """How often the truth lies within the interval, ends included: all together first, then group by group.

    Parameters
    ----------
    low_Hz, high_Hz, truth_Hz : ndarray, shape (n,)
        Windows where one of them is NaN do not count.
    group : ndarray, shape (n,)
        Any whole numbers.
    sequence : ndarray, shape (n,), optional
        Which windows depend on each other (`effective_count`).

    Returns
    -------
    tuple of Coverage
        Only of groups with windows; none at all gives an empty tuple.

    Raises
    ------
    ValueError
        For shapes that differ.
    """
    cluster = np.arange(truth_Hz.size) if sequence is None else sequence
    shapes = [array.shape for array in (low_Hz, high_Hz, truth_Hz, group, cluster)]
    if len(set(shapes)) != 1 or len(shapes[0]) != 1:
        raise ValueError(f"low_Hz, high_Hz, truth_Hz, group, sequence: expected one shape (n,), got {shapes}")
    known = ~(np.isnan(low_Hz) | np.isnan(high_Hz) | np.isnan(truth_Hz))
    hit = (low_Hz <= truth_Hz) & (truth_Hz <= high_Hz)
    if not known.any():
        return ()
    parts = [(None, known), *((one, known & (group == one)) for one in np.unique(group[known]).tolist())]
    found = []
    for name, chosen in parts:
        inside, windows = hit[chosen], int(np.count_nonzero(chosen))
        share = float(inside.mean())
        independent = float(windows) if sequence is None else effective_count(inside, cluster[chosen])
        low, high = wilson_interval(share * independent, independent)
        found.append(Coverage(name, windows, int(np.count_nonzero(inside)), share, float(low), float(high)))
    return tuple(found)
