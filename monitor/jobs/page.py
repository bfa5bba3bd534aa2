"""A report as one Markdown page with its figures beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Page:
    """A page that grows.

    Parameters
    ----------
    folder : Path
    save : callable
        Writes a figure to a path, and says which.
    """

    def __init__(self, folder: Path, save: Callable[[Figure, Path], Path]) -> None:
        self.folder = folder
        self._save = save
        self._parts: list[str] = []

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs."""
        self._parts += paragraphs

    def figure(self, figure: Figure, name: str, caption: str, *, synthetic: bool) -> None:
        """Add a figure, whose caption says so where it shows nothing measured."""
        path = self._save(figure, self.folder / f"{name}.png")
        told = f"Synthetic: {caption[0].lower()}{caption[1:]}" if synthetic else caption
        self._parts += [f"![{caption}]({path.name})", f"*{told}.*"]

    def write(self) -> Path:
        """Write `report.md` into the folder."""
        path = self.folder / "report.md"
        path.write_text("\n\n".join(self._parts) + "\n", encoding="utf-8")
        return path
