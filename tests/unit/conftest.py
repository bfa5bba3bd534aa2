"""Fixtures that several unit tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# pytest imports by path here and leaves `sys.path` alone; the tests of the learned chain share `flr_kit`.
sys.path.insert(0, str(Path(__file__).parent))

from flr_kit import SMALL, TINY

from monitor.jobs.flr.bundled import material
from monitor.jobs.flr.training import Material, Trained, train


@pytest.fixture(scope="session")
def tiny_material() -> Material:
    """A few dozen simulated cases: enough to train a model, not enough for a good one."""
    return material(SMALL, workers=1)


@pytest.fixture(scope="session")
def tiny(tiny_material: Material) -> Trained:
    """A model of them."""
    return train(tiny_material, TINY)
