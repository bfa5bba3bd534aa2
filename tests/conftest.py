"""Options of the tests; what they mean is said in `faults/conftest.py`."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--full", action="store_true", help="full forms: as long as `make prove` takes")
    group.addoption(
        "--seed", type=int, default=1, help="where the randomness of the faults begins (default 1)"
    )
    group.addoption(
        "--findings", type=Path, help="file to which each test adds what it measured, as JSON lines"
    )
