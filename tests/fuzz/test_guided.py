"""Fuzzing by coverage, for a bounded time a target: decoders, configuration, files, rows of the store."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from targets import targets

pytest.importorskip(
    "atheris", reason="the package atheris is not installed (it has no wheels for this system)"
)

GUIDED = Path(__file__).parent / "guided.py"
SECONDS = (1, 60)
"""A target, in the tests and at full scale."""
_LAST = re.compile(r"#(\d+)\s+DONE\s+cov: (\d+)")
_FIRST = re.compile(r"INITED\s+cov: (\d+)")


def guided(target: str, seconds: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Run one target."""
    return subprocess.run(
        [sys.executable, GUIDED, target, "--seconds", str(seconds), "--seed", str(seed)],
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=False,
    )


@pytest.mark.at_length
@pytest.mark.parametrize("name", list(targets()))
def test_no_fault_is_found_by_coverage(
    name: str, of_scale: Callable[[int, int], int], seed: int, found: Callable[..., None]
) -> None:
    done = guided(name, of_scale(*SECONDS), seed)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-5000:]
    last, first = _LAST.search(said), _FIRST.search(said)
    assert last is not None, said[-5000:]
    assert first is not None, said[-5000:]
    runs, branches = int(last[1]), int(last[2])
    found(target=name, runs=runs, branches=branches, branches_of_the_corpus=int(first[1]), crashes=0)
    assert runs > 50
    # It sees our code: without instrumentation there would be next to nothing to cover.
    assert branches > 10


def test_planted_fault_is_found(seed: int) -> None:
    done = guided("toy", 30, seed)
    assert done.returncode == 1, done.stderr[-2000:]
    assert "the planted fault" in done.stdout + done.stderr


def test_target_that_is_not_there_is_told() -> None:
    done = guided("nothing", 1, 1)
    assert done.returncode == 1
    assert "decoder-native" in done.stdout
