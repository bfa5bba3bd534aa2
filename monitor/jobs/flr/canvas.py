"""What all figures share: the drawing library, the colours, the marks, and how a figure becomes a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from monitor.errors import MonitorError
from monitor.types import Label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart; F23's Fig. 7 has these hues and marks.
COLOUR: Final = {Label.NO_FREQ: "#D55E00", Label.FREQ: "#0072B2", Label.PBL: "#009E73"}
MARK: Final = {Label.NO_FREQ: "s", Label.FREQ: "o", Label.PBL: "^"}
ORANGE, SKY, GREY, INK = "#E69F00", "#56B4E9", "#8C8C8C", "#222222"
BOUND: Final = {"color": INK, "linewidth": 1.0, "linestyle": (0, (5, 3))}
_DOTS_PER_INCH: Final = 96


def panels(rows: int, columns: int, size_in: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    """A figure of its own, with rows × columns axes (always a 2-D array); no window, no global state.

    Raises
    ------
    MonitorError
        Where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise MonitorError(
            "figures need matplotlib, which is not installed: pip install 'geospace-monitor[train]'"
        ) from missing
    figure = Figure(figsize=size_in, layout="constrained", dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG without the date and version that would make every file differ."""
    figure.savefig(path, metadata={"Software": None})
    return path


def counts_note(count: int) -> str:
    """A count as people write it: 12 345 with a thin space."""
    return f"{count:,}".replace(",", "\u202f")
