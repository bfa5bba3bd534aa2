"""Fixtures of the fault tests: real brokers. How much to break and from which seed is said in `tests/conftest.py`."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest imports by path here and leaves `sys.path` alone: the harness, and the kits of the integration tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).parent))

from mqtt_kit import mosquitto, mosquitto_at

__all__ = ["mosquitto", "mosquitto_at"]
