"""The plugins that read models pass the check of the kit, and what is none does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.models.base import bundled
from monitor.models.flr import FlrModel
from monitor.models.folders import FlrFolder, FolderOptions, RegionFolder
from monitor.testing import check_model
from monitor.types import Float32Array, Surroundings


def flr(folder: Path | None = None) -> FlrFolder:
    return FlrFolder(FolderOptions(folder=folder or bundled("flr")), Surroundings("flr_folder"))


def test_models_of_folders_conform() -> None:
    check_model(flr)
    check_model(lambda: RegionFolder(FolderOptions(folder=bundled("region")), Surroundings("region_folder")))


def test_model_of_chance_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    margins, random = FlrModel.margins, np.random.default_rng(1)

    def by_chance(model: FlrModel, features: Float32Array) -> Float32Array:
        return margins(model, features) + np.float32(random.normal())

    monkeypatch.setattr(FlrModel, "margins", by_chance)
    with pytest.raises(AssertionError, match="use no chance"):
        check_model(flr)


def test_what_is_no_model_is_found() -> None:
    class Nothing:
        def model(self) -> object:
            return 5

    with pytest.raises(AssertionError, match=r"model\(\) gave int"):
        check_model(Nothing)  # type: ignore[arg-type]
