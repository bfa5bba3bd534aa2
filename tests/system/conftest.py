"""One machine for all tests here: booted once, installed as the page says, gone at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# pytest imports by path here and leaves `sys.path` alone: the kits of these tests, and those of the integration tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).parent))

from machine import Machine, why_not


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """A bare Debian machine that runs, with the sources unpacked."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    machine = Machine()
    try:
        machine.start()
        yield machine
    finally:
        machine.end()
