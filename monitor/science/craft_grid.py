"""What samples of a spacecraft are on the grid of 4.5 s: one rule for live feeds and for files.

A cell's value is the mean of the samples whose middle lies in it; where there is none, the sample nearest to the middle
of the cell, if it covers that: its interval, widened by a tenth of its step on either side, as stamps jitter. Else the
cell is a gap. So a cell depends on nothing but the samples around it, and samples of every 4.5 s pass unchanged whatever
their phase. Each variable is for itself.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.types import CELL_NS, SECOND_NS, BoolArray, FloatArray, IntArray

LONGEST_STEP_NS: Final = 10 * SECOND_NS
"""Longest step of samples that are brought to the grid."""


def cell_values(cells: IntArray, middle_ns: IntArray, step_ns: IntArray, values: FloatArray) -> FloatArray:
    """Bring samples to cells of the grid.

    Parameters
    ----------
    cells : ndarray, shape (t,)
        Numbers of cells, rising; cell k is [k, k + 1) · 4.5 s since 1970.
    middle_ns : ndarray, shape (n,)
        Middle of each sample's interval since 1970, not falling; with samples of all times within 12 s of a cell,
        others do not matter to it.
    step_ns : ndarray, shape (n,)
        Length of each sample's interval, `LONGEST_STEP_NS` at most.
    values : ndarray, shape (n, c)
        One column a variable, in whatever units; NaN is a gap.

    Returns
    -------
    ndarray, shape (t, c)
        In the units of `values`; NaN is a gap.
    """
    there = ~np.isnan(values)
    found = _averaged(cells, middle_ns, values, there)
    _cover(found, cells, middle_ns, step_ns, values, there)
    return found


def cells_near(middle_ns: IntArray) -> IntArray:
    """Numbers of the cells, rising, that samples with these middles (n,), not falling, may say something about."""
    own = cells_of(middle_ns)
    # Six seconds, the reach of the longest step, end before the middle of the next cell but one.
    return np.unique(np.concatenate((own - 1, own, own + 1)))


def cells_of(middle_ns: IntArray) -> IntArray:
    """Numbers of the cells, rising, in which middles (n,), not falling, lie."""
    cell = middle_ns // CELL_NS
    return np.asarray(cell[np.append(True, cell[1:] != cell[:-1])[: cell.size]])


def _averaged(cells: IntArray, middle_ns: IntArray, values: FloatArray, there: BoolArray) -> FloatArray:
    """Means (t, c) of the samples whose middles lie in the cells, NaN where there are none."""
    found = np.full((cells.size, values.shape[1]), np.nan)
    own = middle_ns // CELL_NS
    place = np.searchsorted(cells, own)
    inside = place < cells.size
    inside[inside] = cells[place[inside]] == own[inside]
    for column in np.flatnonzero(there.any(axis=0)):
        rows = inside & there[:, column]
        # Added up one by one: gaps in between, where other instruments have samples, change no last digit.
        count = np.bincount(place[rows], minlength=cells.size)
        total = np.bincount(place[rows], values[rows, column], cells.size)
        np.divide(total, count, out=found[:, column], where=count > 0)
    return found


def _cover(
    found: FloatArray,
    cells: IntArray,
    middle_ns: IntArray,
    step_ns: IntArray,
    values: FloatArray,
    there: BoolArray,
) -> None:
    """Fill what is still empty with the nearest sample, where that one covers the middle of the cell."""
    reach_ns = 3 * step_ns // 5
    centre_ns = cells * CELL_NS + CELL_NS // 2
    empty = np.isnan(found) & _coverable(centre_ns, middle_ns, reach_ns)[:, np.newaxis]
    for column in np.flatnonzero(empty.any(axis=0) & there.any(axis=0)):
        rows = np.flatnonzero(there[:, column])
        where = np.flatnonzero(empty[:, column])
        centre = centre_ns[where]
        right = np.minimum(np.searchsorted(middle_ns[rows], centre), rows.size - 1)
        left = np.maximum(right - 1, 0)
        is_left = np.abs(middle_ns[rows[left]] - centre) <= np.abs(middle_ns[rows[right]] - centre)
        nearest = rows[np.where(is_left, left, right)]
        covers = np.abs(middle_ns[nearest] - centre) <= reach_ns[nearest]
        found[where[covers], column] = values[nearest[covers], column]


def _coverable(centre_ns: IntArray, middle_ns: IntArray, reach_ns: IntArray) -> BoolArray:
    """Which cells have their middle within reach of a sample of whatever variable, in their own cell or beyond."""
    # A shorter reach leads to no cell but the one that the sample counts in already.
    far = reach_ns >= CELL_NS // 2
    edges = np.zeros(centre_ns.size + 1, dtype=np.int64)
    if far.any():
        middle, reach = middle_ns[far], reach_ns[far]
        np.add.at(edges, np.searchsorted(centre_ns, middle - reach), 1)
        np.add.at(edges, np.searchsorted(centre_ns, middle + reach, side="right"), -1)
    return np.asarray(np.cumsum(edges[:-1]) > 0)
