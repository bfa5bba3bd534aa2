"""Spectra of another frequency axis on the program's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.science.spectra import SpectrumParameters
from monitor.types import FloatArray, IntArray

WINDOW_S: Final = 7200.0
"""Length of the windows whose Fourier bins are the grid."""
_SAME: Final = 1e-3
"""Axes that differ by less than this share of a bin are one: printed with few digits, not another grid."""


def own_grid_Hz() -> FloatArray:
    """The frequencies of the program's spectra by default: k / 7200 s from 1 to 100 mHz, shape (f,)."""
    grid: FloatArray = SpectrumParameters().bins(WINDOW_S) / WINDOW_S
    return grid


@dataclass(frozen=True, slots=True)
class Regridding:
    """The way from one axis to another: between its two neighbours each bin is interpolated linearly.

    Attributes
    ----------
    left : ndarray, shape (f,), int64
        Index of the bin below; the one above is the next.
    share : ndarray, shape (f,)
        Weight of the bin above; NaN outside the axis.
    """

    left: IntArray
    share: FloatArray

    @classmethod
    def between(cls, axis_Hz: FloatArray, grid_Hz: FloatArray) -> Regridding:
        """From an increasing axis (a,), a > 1, to a grid (f,)."""
        tolerance = _SAME * (grid_Hz[1] - grid_Hz[0])
        left = np.clip(np.searchsorted(axis_Hz, grid_Hz, side="right") - 1, 0, axis_Hz.size - 2)
        below, above = axis_Hz[left], axis_Hz[left + 1]
        share = (grid_Hz - below) / (above - below)
        share = np.where(np.abs(grid_Hz - below) <= tolerance, 0.0, share)
        share = np.where(np.abs(grid_Hz - above) <= tolerance, 1.0, share)
        share[(share < 0.0) | (share > 1.0)] = np.nan
        return cls(left.astype(np.int64), share)

    @property
    def covered(self) -> int:
        """How many bins of the grid lie on the axis."""
        return int(np.isfinite(self.share).sum())

    def linear(self, values: FloatArray) -> FloatArray:
        """Interpolate the rows of (n, a) to (n, f); a neighbour that is NaN makes NaN, unless it weighs nothing."""
        return self._mixed(values[:, self.left], values[:, self.left + 1])

    def phase(self, phase_rad: FloatArray) -> FloatArray:
        """Interpolate phases by their unit phasors, so that ±180° are neighbours; shape (n, a) to (n, f)."""
        below, above = phase_rad[:, self.left], phase_rad[:, self.left + 1]
        mixed = np.arctan2(
            self._mixed(np.sin(below), np.sin(above)), self._mixed(np.cos(below), np.cos(above))
        )
        # On a bin of the axis the phase is kept to the last digit.
        wrapped = -np.remainder(np.pi - phase_rad, 2.0 * np.pi) + np.pi
        mixed = np.where(self.share == 0.0, wrapped[:, self.left], mixed)
        exact: FloatArray = np.where(self.share == 1.0, wrapped[:, self.left + 1], mixed)
        return exact

    def ratio(self, ratio: FloatArray) -> FloatArray:
        """Interpolate ratios by their logarithms, so that the order of the stations makes no difference."""
        with np.errstate(divide="ignore"):
            between: FloatArray = np.exp(self.linear(np.log(ratio)))
        return between

    def _mixed(self, below: FloatArray, above: FloatArray) -> FloatArray:
        mixed = below * (1.0 - self.share) + above * self.share
        mixed = np.where(self.share == 0.0, below, mixed)
        result: FloatArray = np.where(self.share == 1.0, above, mixed)
        return result


def smoothing_on_grid(bins: FloatArray, spacing_Hz: float, grid_spacing_Hz: float) -> IntArray:
    """The odd number of bins of the grid nearest to a smoothing of so many bins of the axis, shape like `bins`."""
    width = bins * spacing_Hz / grid_spacing_Hz
    odd: IntArray = np.maximum(1, 2 * np.rint(0.5 * (width - 1.0)) + 1).astype(np.int64)
    return odd
