"""The space side: what a spacecraft measures, the ten regions, and what is found of a window."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.types.samples import SECOND_NS, BoolArray, Float32Array, FloatArray, IntArray

VARIABLES: Final = ("Bx", "By", "Bz", "B", "N", "Vx", "Vy", "Vz", "V", "Tpar", "Tperp", "T")
"""The twelve quantities in their order: nT, cm⁻³, km/s, eV."""

CELL_NS: Final = 9 * SECOND_NS // 2
"""Step of the grid that regions are found on: 4.5 s, cells begin at its multiples since 1970."""

WINDOW_CELLS: Final = 40
"""Cells of a window: three minutes."""

CONTEXT_CELLS: Final = (6, 7)
"""Cells before and after a window that reach into it through the network's kernels (8, 5 and 3)."""

SUPPORT_CELLS: Final = CONTEXT_CELLS[0] + WINDOW_CELLS + CONTEXT_CELLS[1]


class Region(StrEnum):
    """Where in near-Earth space a plasma is (Breuillard et al. 2020, table 1)."""

    SOLAR_WIND = "SW"
    FORESHOCK = "FS"
    BOW_SHOCK = "BS"
    MAGNETOSHEATH = "MSH"
    MAGNETOPAUSE = "MP"
    BOUNDARY_LAYER = "BL"
    MAGNETOSPHERE = "MSP"
    PLASMA_SHEET = "PS"
    PLASMA_SHEET_BOUNDARY_LAYER = "PSBL"
    LOBE = "LOBE"


REGIONS: Final = tuple(Region)
"""The ten classes in the order of every probability."""


class Quality(StrEnum):
    """How far a label can be trusted."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    POOR = "poor"


@dataclass(frozen=True, slots=True)
class CraftStretch:
    """Consecutive windows of one spacecraft that are due together, on the grid of `CELL_NS`.

    Attributes
    ----------
    craft : str
    t0_ns : int
        Begin of the first cell.
    values : ndarray, shape (t, 12), float64
        In the order of `VARIABLES`. NaN only in the columns of `missing`, and there throughout.
    ends_ns : tuple of int
        Ends of the windows, rising. With `context` the cells are those from `CONTEXT_CELLS[0]` before the first window
        to `CONTEXT_CELLS[1]` after the last; without, there is one window and its cells are all.
    context : bool
    missing : tuple of str
        Variables that were not there.
    bridged : tuple of float
        Share of each window's cells (0–1) in which some variable was bridged.
    """

    craft: str
    t0_ns: int
    values: FloatArray
    ends_ns: tuple[int, ...]
    context: bool
    missing: tuple[str, ...]
    bridged: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CraftHole:
    """A window of which nothing can be said.

    Attributes
    ----------
    craft : str
    end_ns : int
    coverage : float
        Share of its cells that hold anything.
    reason : str
        `gap` (cells are missing), or `no_field_or_plasma` (no variable is there to tell regions by).
    missing : tuple of str
        Variables that were not there at all.
    """

    craft: str
    end_ns: int
    coverage: float
    reason: str
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegionFinding:
    """What the network makes of one window; of a hole, nothing but the reason.

    Attributes
    ----------
    craft : str
    end_ns : int
    probability : tuple of float, or None
        Calibrated, in the order of `REGIONS`.
    cam : tuple of float, or None
        Class activation map of the most probable class: one value a cell, 0–1.
    novel : bool
        Whether the window is unlike those of training.
    support_s : float
        Seconds of data that it rests on, context included.
    missing : tuple of str
    bridged : float
    flags : frozenset of str
    """

    craft: str
    end_ns: int
    probability: tuple[float, ...] | None
    cam: tuple[float, ...] | None
    novel: bool
    support_s: float
    missing: tuple[str, ...]
    bridged: float
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class RegionExamples:
    """Labelled windows to learn from or to measure on.

    Attributes
    ----------
    values : ndarray, shape (n, SUPPORT_CELLS, 12), float32
        In the order of `VARIABLES`; NaN is missing. The window is cells `CONTEXT_CELLS[0]` to
        `CONTEXT_CELLS[0]` + `WINDOW_CELLS`; the others are its context.
    label : ndarray, shape (n,), int64
        Index in `REGIONS`.
    run : ndarray, shape (n,), int64
        Windows of one orbit or run share it: sets are split by it, never by window.
    mixed : ndarray, shape (n,), bool
        Of no region by 70 %, or a boundary cut by the window's edge: neither learnt from nor counted, but reported.
    context : ndarray, shape (n,), bool
        Whether the cells around the window are real; where not, they are NaN and the window stands alone.
    """

    values: Float32Array
    label: IntArray
    run: IntArray
    mixed: BoolArray
    context: BoolArray

    def __len__(self) -> int:
        return int(self.label.size)

    def at(self, index: IntArray | BoolArray) -> RegionExamples:
        """Those of an index or a mask."""
        return RegionExamples(
            self.values[index], self.label[index], self.run[index], self.mixed[index], self.context[index]
        )
