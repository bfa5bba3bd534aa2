"""How labelled windows belong together in time, and how they are parted for learning and testing.

Windows overlap: neighbours share three quarters of their samples, and a resonance lasts for hours. Parted at random, a
test set would hold what was learnt. So measured windows are parted at moments of time, as in § 2 of Foldes et al. (2023),
and synthetic ones by whole cases, which share nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from monitor.errors import MonitorError
from monitor.jobs.flr.dataset import LabelledSpectra, StringArray
from monitor.types import SECOND_NS, IntArray

SHARES: Final = (0.7, 0.15, 0.15)
"""Of the windows for training, for validation and for testing."""
LONGEST_JUMP: Final = 4
"""A pair's sequence breaks where the next window comes more than so many cadences later: two hours at the usual half
hour, after which two windows share no sample."""


def number_sequences(pair: StringArray, end_ns: IntArray) -> IntArray:
    """Number the sequences of windows, shape (n,): one pair's windows without a long break.

    Parameters
    ----------
    pair : ndarray of str, shape (n,)
    end_ns : ndarray, shape (n,), int64
        Within a pair increasing; the windows of a pair stand together.
    """
    sequence = np.zeros(pair.size, dtype=np.int64)
    if pair.size < 2:
        return sequence
    distance, same = np.diff(end_ns), pair[1:] == pair[:-1]
    cadence = np.zeros(pair.size - 1)
    for name in np.unique(pair[1:][same]):
        within = same & (pair[1:] == name)
        # The lower median: a few long breaks among few windows must not stretch it.
        cadence[within] = np.percentile(distance[within], 50.0, method="lower")
    sequence[1:] = np.cumsum(~same | (distance > LONGEST_JUMP * cadence))
    return sequence


def split_by_time(
    data: LabelledSpectra, shares: Sequence[float] = SHARES, window_s: float = 7200.0
) -> tuple[IntArray, ...]:
    """Part measured windows at moments of time, the same for all pairs.

    Neighbouring pairs see the same waves: so no pair trains on a time at which another is tested. A moment is the end
    of the window that completes a share; windows that begin before it and end after it are left out.

    Returns
    -------
    tuple of ndarray, int64
        Indices of the rows of each part, increasing.

    Raises
    ------
    MonitorError
        The shares are not positive or do not sum to 1; a part would be empty; the data are synthetic, whose times mean
        nothing.
    """
    _check(data, shares)
    if data.synthetic:
        raise MonitorError(f"{data.source} is synthetic and is parted by sequence, not by time")
    ends = np.sort(data.end_ns)
    length_ns = round(window_s * SECOND_NS)
    moments = [int(ends[place - 1]) for place in _places(len(data), shares)[:-1]]
    parts = []
    for after, until in zip([None, *moments], [*moments, None], strict=True):
        chosen = np.ones(len(data), dtype=np.bool_)
        if after is not None:
            chosen &= data.end_ns - length_ns >= after
        if until is not None:
            chosen &= data.end_ns <= until
        parts.append(np.flatnonzero(chosen))
    return _none_empty(parts, data, "time")


def split_by_sequence(
    data: LabelledSpectra, shares: Sequence[float] = SHARES, seed: int = 0
) -> tuple[IntArray, ...]:
    """Part windows by whole sequences, drawn at random by `seed`: for synthetic ones, each a case of its own.

    A sequence belongs to the part in which its middle window falls, so that the parts keep their shares of windows.
    Raises MonitorError as `split_by_time` does.
    """
    _check(data, shares)
    numbers, count = np.unique(data.sequence, return_counts=True)
    order = np.random.default_rng(seed).permutation(numbers.size)
    middle = np.cumsum(count[order]) - 0.5 * count[order]
    part_of = np.searchsorted(_places(len(data), shares), middle)
    parts = [
        np.flatnonzero(np.isin(data.sequence, numbers[order[part_of == part]])) for part in range(len(shares))
    ]
    return _none_empty(parts, data, "sequence")


def _places(count: int, shares: Sequence[float]) -> IntArray:
    """How many windows stand before the end of each part, shape (number of shares,)."""
    places: IntArray = np.rint(np.cumsum(shares) * count).astype(np.int64)
    return np.clip(places, 1, count)


def _check(data: LabelledSpectra, shares: Sequence[float]) -> None:
    positive = all(share > 0.0 for share in shares)
    if len(shares) < 2 or not positive or not math.isclose(math.fsum(shares), 1.0):
        shown = ", ".join(f"{share:g}" for share in shares)
        raise MonitorError(f"found the shares {shown or 'none'}; give two or more, positive, that sum to 1")
    if not len(data):
        raise MonitorError(f"{data.source}: holds no windows to be parted")


def _none_empty(parts: Sequence[IntArray], data: LabelledSpectra, way: str) -> tuple[IntArray, ...]:
    for number, part in enumerate(parts, start=1):
        if not part.size:
            raise MonitorError(
                f"{data.source}: part {number} of {len(parts)} would be empty: {len(data)} windows "
                f"cannot be parted by {way} so; give more, or other shares"
            )
    return tuple(parts)
