"""Fixtures for the integration tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# pytest imports by path here and leaves `sys.path` alone; the tests share `mqtt_kit`.
sys.path.insert(0, str(Path(__file__).parent))

from mqtt_kit import Mosquitto


@pytest.fixture(scope="session")
def region_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small model of regions (`flight_kit`), trained in some seconds."""
    from flight_kit import small_model

    folder = tmp_path_factory.mktemp("region") / "model"
    small_model(folder)
    return folder


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
    """A running broker."""
    broker = mosquitto_at()
    broker.start()
    return broker
