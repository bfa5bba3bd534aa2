"""The script that measures and draws the random pairs runs, and draws small pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.at_length
def test_quick_run_prints_every_figure_and_draws_every_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra docs) is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "benchmarks" / "pictures_synthetic.py", "--quick", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in ("TRAINING: 10 cases, 90 windows", "TEST: 10 cases", "a labelled window", "frequency off by"):
        assert line in done.stdout
    drawn = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    shipped = {path.name for path in (ROOT / "docs" / "pictures").glob("synthetic-*.png")}
    assert set(drawn) == shipped
    assert all(10_000 < size < 150_000 for size in drawn.values())
