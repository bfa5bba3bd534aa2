"""Options and fixtures of the tests that are run at two scales and from a seed (`faults`, `fuzz`).

    pytest tests/faults                          short forms, as in `make test`
    pytest tests/faults --full --findings FILE   full forms, as in `make prove`; one line of JSON a test
    pytest tests/faults/test_x.py --seed 7       another order of the same faults

A test that fails prints the seed that repeats it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings

# How long an example takes says something of the machine alone. `make test` says the same of the same sources each time;
# what nobody has thought of yet is looked for at length.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("at_length", deadline=None, max_examples=1000)

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--full", action="store_true", help="full forms: as long as `make prove` takes")
    group.addoption(
        "--seed", type=int, default=1, help="where the randomness of the faults begins (default 1)"
    )
    group.addoption(
        "--findings", type=Path, help="file to which each test adds what it measured, as JSON lines"
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("at_length" if config.getoption("--full") else "repeatable")


# Files that take minutes, the longest first: one worker has each, and the others fit in beside it.
LONGEST = (
    "tests/integration/test_paging.py",
    "tests/system/test_service.py",
    "tests/faults/test_kills.py",
    "tests/faults/test_load.py",
    "tests/faults/test_soak.py",
    "tests/integration/test_reload.py",
    "tests/integration/test_grafana.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        left = [item for item in items if item.get_closest_marker("at_length")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("at_length")]
    first = {config.rootpath / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


@pytest.fixture
def of_scale(request: pytest.FixtureRequest) -> Callable[[T, T], T]:
    """`of_scale(short, full)`: the one that is asked for."""
    full = bool(request.config.getoption("--full"))
    return lambda short, whole: whole if full else short


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run."""
    return int(request.config.getoption("--seed"))


@pytest.fixture
def chance(request: pytest.FixtureRequest, seed: int) -> random.Random:
    """Randomness of this test alone: the same whatever other tests run."""
    return random.Random(f"{seed}/{request.node.nodeid.rpartition('/')[2]}")


@pytest.fixture
def found(request: pytest.FixtureRequest, seed: int) -> Callable[..., None]:
    """`found(kills=200, lost=0, …)`: what a test measured, for the report. Called before it is asserted."""

    def record(**figures: Any) -> None:
        line = {
            "test": request.node.nodeid.rpartition("/")[2],
            "full": bool(request.config.getoption("--full")),
            "seed": seed,
            **figures,
        }
        print(json.dumps(line))  # noqa: T201  (the figures are the result)
        path = request.config.getoption("--findings")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    return record


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell how a failure is repeated."""
    report: Any = yield
    if report.failed:
        seed = item.config.getoption("--seed")
        scale = " --full" if item.config.getoption("--full") else ""
        report.sections.append(("repeat with", f"pytest {item.nodeid} --seed {seed}{scale}"))
    return report
