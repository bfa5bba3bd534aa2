"""A window's quantities, coloured by how much each step spoke for the class (Fig. 5 of the paper).

Breuillard et al. (2020), doi:10.3389/fspas.2020.00055.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.jobs.flr.canvas import GREY, INK, panels
from monitor.types import CELL_NS, SECOND_NS, VARIABLES, WINDOW_CELLS, FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNITS: Final = dict(zip(VARIABLES, ("nT",) * 4 + ("cm$^{-3}$",) + ("km/s",) * 4 + ("eV",) * 3, strict=True))
# Read downwards: the field with density and temperature, and beside it the flow with the other temperatures.
_LAYOUT: Final = ("Bx", "Vx", "By", "Vy", "Bz", "Vz", "B", "V", "N", "Tpar", "T", "Tperp")
_COLOURS: Final = "viridis"


def cam_figure(values: FloatArray, cam: FloatArray, title: str) -> Figure:
    """A window and its class activation map.

    Parameters
    ----------
    values : ndarray, shape (40, 12)
        In the order of `VARIABLES`; NaN is missing.
    cam : ndarray, shape (40,)
        Class activation, 0–1.
    title : str

    Raises
    ------
    MonitorError
        Where matplotlib is not installed.
    ValueError
        For arrays of another shape.
    """
    if values.shape != (WINDOW_CELLS, len(VARIABLES)) or cam.shape != (WINDOW_CELLS,):
        raise ValueError(
            f"a window has the shape ({WINDOW_CELLS}, {len(VARIABLES)}) and its map ({WINDOW_CELLS},), "
            f"found {values.shape} and {cam.shape}"
        )
    figure, axes = panels(len(_LAYOUT) // 2, 2, (9.0, 9.5), sharex=True)
    seconds = (np.arange(WINDOW_CELLS) + 0.5) * CELL_NS / SECOND_NS
    for axis, name in zip(axes.flat, _LAYOUT, strict=True):
        coloured = _draw(axis, seconds, values[:, VARIABLES.index(name)], cam)
        axis.set_ylabel(f"{name} ({_UNITS[name]})", fontsize=9)
        axis.set_xlim(0.0, WINDOW_CELLS * CELL_NS / SECOND_NS)
    for axis in axes[-1]:
        axis.set_xlabel("seconds of the window")
    figure.colorbar(coloured, ax=axes, label="class activation", aspect=50, pad=0.01)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw(axis: Any, seconds: FloatArray, row: FloatArray, cam: FloatArray) -> Any:
    """A thin line, and on it a dot a step in the colour of its activation; or the word that it is missing."""
    axis.plot(seconds, row, color=GREY, linewidth=0.8, zorder=1)
    axis.grid(alpha=0.25)
    if not np.isfinite(row).any():
        axis.text(0.5, 0.5, "missing", transform=axis.transAxes, ha="center", va="center", color=INK)
        axis.set_yticks([])
    return axis.scatter(seconds, row, c=cam, cmap=_COLOURS, vmin=0.0, vmax=1.0, s=16, zorder=2)
