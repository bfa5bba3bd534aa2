"""Fixtures of the fault tests: real brokers. How much to break and from which seed is said in `tests/conftest.py`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# pytest imports by path here and leaves `sys.path` alone: the harness, and the kits of the integration tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).parent))

from mqtt_kit import Mosquitto


@pytest.fixture
def mosquitto_at(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """A function that makes brokers which are gone after the test; it takes the arguments of `Mosquitto`."""
    brokers: list[Mosquitto] = []

    def make(**options: object) -> Mosquitto:
        directory = tmp_path / f"broker{len(brokers)}"
        directory.mkdir()
        broker = Mosquitto(directory, **options)  # type: ignore[arg-type]
        brokers.append(broker)
        return broker

    yield make
    for broker in brokers:
        broker.kill()


@pytest.fixture
def mosquitto(mosquitto_at: Callable[..., Mosquitto]) -> Mosquitto:
    """A running broker with the shipped settings."""
    broker = mosquitto_at()
    broker.start()
    return broker
