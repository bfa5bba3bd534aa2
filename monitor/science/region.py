"""Windows of plasma data and what a fully convolutional network makes of them: cutting, labels, activation maps.

Breuillard et al. (2020), doi:10.3389/fspas.2020.00055, cut labelled blocks into windows of three minutes; Zhou et al.
(2016), arXiv:1512.04150, and Wang et al. (2017), arXiv:1611.06455, map the classes' scores onto the cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from monitor.types import (
    CONTEXT_CELLS,
    REGIONS,
    SUPPORT_CELLS,
    WINDOW_CELLS,
    Float32Array,
    FloatArray,
    IntArray,
    RealArray,
)

MAJORITY: Final = 0.7
"""Share of a window's cells that a region must have to name it."""

_WINDOW: Final = slice(CONTEXT_CELLS[0], CONTEXT_CELLS[0] + WINDOW_CELLS)

_Real = TypeVar("_Real", bound=np.floating[Any])


@dataclass(frozen=True, slots=True)
class Layer:
    """A thin boundary that a spacecraft flies through.

    Attributes
    ----------
    label : int
        Index in `REGIONS`: a bow shock or a magnetopause.
    begin, end : float
        In cells from the window's begin; may lie outside of it.
    """

    label: int
    begin: float
    end: float


def wrap_pad(block: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """Bring a short block to the length of a window, as the paper does.

    The block stays in the middle. Its first values pad the end and its last values the beginning, again and again
    where it is shorter than half a window; of an odd number the end gets one more.

    Parameters
    ----------
    block : ndarray, shape (n, v)
        1 to `WINDOW_CELLS` cells.

    Returns
    -------
    ndarray, shape (WINDOW_CELLS, v)

    Raises
    ------
    ValueError
        The block is empty or longer than a window.
    """
    cells = block.shape[0]
    if not 1 <= cells <= WINDOW_CELLS:
        raise ValueError(f"a block to pad must have 1 to {WINDOW_CELLS} cells, got {cells}")
    before = (WINDOW_CELLS - cells) // 2
    padded: npt.NDArray[_Real] = block[(np.arange(WINDOW_CELLS) - before) % cells]
    return padded


def windows_of(block: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """Split a block into windows, one behind the other; the last is padded where it is short (`wrap_pad`).

    Parameters
    ----------
    block : ndarray, shape (n, v)
        At least one cell.

    Returns
    -------
    ndarray, shape (ceil(n / WINDOW_CELLS), WINDOW_CELLS, v)
    """
    starts = range(0, max(block.shape[0], 1), WINDOW_CELLS)
    return np.stack([wrap_pad(block[start : start + WINDOW_CELLS]) for start in starts])


def standing_alone(windows: RealArray) -> Float32Array:
    """Windows (n, WINDOW_CELLS, v) with the context of examples that have none: NaN, shape (n, SUPPORT_CELLS, v)."""
    whole = np.full((windows.shape[0], SUPPORT_CELLS, windows.shape[2]), np.nan, dtype=np.float32)
    whole[:, _WINDOW] = windows
    return whole


def window_part(values: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """The windows (…, WINDOW_CELLS, v) of examples with their context (…, SUPPORT_CELLS, v), as a view."""
    return values[..., _WINDOW, :]


def window_label(cells: IntArray, layers: Sequence[Layer] = ()) -> tuple[int, bool]:
    """What a window is called, and whether it is mixed.

    A boundary names the window that it lies in wholly. Cut by the window's edge it makes the window mixed, unless
    another crossing of the same boundary lies in it wholly; so do two boundaries of different kind. Without one, the
    region of most cells names the window, which is mixed below the share `MAJORITY`.

    Parameters
    ----------
    cells : ndarray, shape (WINDOW_CELLS,), int64
        Region of each cell, index in `REGIONS`.
    layers : sequence of Layer
        Boundaries that are to be judged by their extent; those that do not touch the window are passed over. Where
        labels come as intervals with no extent of the boundary known, leave it empty.

    Returns
    -------
    label : int
        Also of a mixed window: what most of it is.
    mixed : bool

    Raises
    ------
    ValueError
        For another number of cells.
    """
    if cells.shape != (WINDOW_CELLS,):
        raise ValueError(f"cells must have shape ({WINDOW_CELLS},), got {cells.shape}")
    counts = np.bincount(cells, minlength=len(REGIONS))
    most = int(counts.argmax())
    touching = [layer for layer in layers if layer.end > 0.0 and layer.begin < WINDOW_CELLS]
    if not touching:
        return most, bool(counts[most] < MAJORITY * WINDOW_CELLS)
    inside = {layer.label for layer in touching if layer.begin >= 0.0 and layer.end <= WINDOW_CELLS}
    kinds = {layer.label for layer in touching}
    if inside and len(kinds) == 1:
        return inside.pop(), False
    return most, True


def class_activation(scores: RealArray) -> FloatArray:
    """How much each cell of a window speaks for a class.

    Parameters
    ----------
    scores : ndarray, shape (…, cells)
        Of one class: its dense weights on the last convolution's output, without the bias.

    Returns
    -------
    ndarray, shape (…, cells)
        0–1, the largest 1: the score over the largest in the window, 0 where it is negative. In a window in which no
        score is positive (the class won by having the others against it more) the scores are spread over 0–1
        instead, and where they are all the same they are 1.
    """
    found = scores.astype(np.float64)
    top, bottom = found.max(axis=-1, keepdims=True), found.min(axis=-1, keepdims=True)
    base = np.where(top > 0.0, 0.0, bottom)
    width = top - base
    activation = np.ones_like(found)
    np.divide(np.maximum(found - base, 0.0), width, out=activation, where=width > 0.0)
    return activation


def running_mean(values: RealArray, cells: int = WINDOW_CELLS) -> FloatArray:
    """Means over each `cells` cells in a row, one window a cell.

    Parameters
    ----------
    values : ndarray, shape (…, t, d)
        At least `cells` of them.

    Returns
    -------
    ndarray, shape (…, t - cells + 1, d)
        In double precision. Sums of 2, 4, 8, … cells are made of each other, so that each mean is of its own cells alone:
        nothing is lost to others, as it is in a cumulative sum, and one that is not finite spoils no other window.

    Raises
    ------
    ValueError
        There are fewer than `cells`.
    """
    windows = values.shape[-2] - cells + 1
    if windows < 1:
        raise ValueError(f"a mean over {cells} cells needs as many, got {values.shape[-2]}")
    sums = values.astype(np.float64)
    found = np.zeros((*values.shape[:-2], windows, values.shape[-1]))
    done, width = 0, 1
    while True:
        if cells & width:
            found += sums[..., done : done + windows, :]
            done += width
        if done == cells:
            break
        sums = sums[..., :-width, :] + sums[..., width:, :]
        width *= 2
    found /= cells
    return found


def tempered(logits: RealArray, temperature: RealArray | float) -> FloatArray:
    """Calibrated probabilities: the softmax of logits (…, classes) over a temperature (Guo et al. 2017).

    The temperature is a number or an array that broadcasts against the logits. arXiv:1706.04599.
    """
    probability: FloatArray = softmax(logits.astype(np.float64) / temperature, axis=-1)
    return probability
