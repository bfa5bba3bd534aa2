"""Fixtures for the integration tests."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest

# pytest imports by path here and leaves `sys.path` alone; the tests share `mqtt_kit`.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "unit"))

from mqtt_kit import mosquitto, mosquitto_at

__all__ = ["mosquitto", "mosquitto_at", "region_model"]


@pytest.fixture(scope="session")
def region_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small model of regions (`flight_kit`), trained in some seconds, once for all workers."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = shared / "region-model"
    with (shared / "region-model.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of with the file
        if not folder.exists():
            from flight_kit import small_model

            making = own / "region-model-in-the-making"
            small_model(making)
            making.rename(folder)
    return folder
