"""The readers of the two formats of models, as plugins: a folder with its card, checked before anything is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from monitor.models.flr import FlrModel
from monitor.models.region import RegionModel
from monitor.types import Options, Surroundings


class FolderOptions(Options):
    """Where the model lies."""

    # Strict mode takes nothing but Path objects for a path; a file holds texts.
    folder: Annotated[Path, Field(strict=False)]


class FlrFolder:
    """Reads a learned model of resonances: trees in XGBoost's JSON, arrays, and the card that names them."""

    Options = FolderOptions

    def __init__(self, options: FolderOptions, _surroundings: Surroundings) -> None:
        self._folder = options.folder

    def model(self) -> FlrModel:
        """The model; ModelError where it cannot be used."""
        return FlrModel.load(self._folder)


class RegionFolder:
    """Reads a network of plasma regions: ONNX, arrays, and the card that names them."""

    Options = FolderOptions

    def __init__(self, options: FolderOptions, _surroundings: Surroundings) -> None:
        self._folder = options.folder

    def model(self) -> RegionModel:
        """The model; ModelError where it cannot be used."""
        return RegionModel.load(self._folder)
