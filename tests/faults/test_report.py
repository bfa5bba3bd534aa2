"""The report of the fault tests says what was measured, with which seed, and what was not run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPORT = Path(__file__).with_name("report.py")


def written(directory: Path, *findings: dict[str, object]) -> str:
    """The report of these findings."""
    lines = directory / "findings.jsonl"
    lines.write_text("".join(json.dumps(one) + "\n" for one in findings))
    output = directory / "report"
    subprocess.run([sys.executable, REPORT, lines, "-o", output], check=True, timeout=120)
    return (output / "report.md").read_text()


def test_report_sums_what_is_counted_and_takes_the_largest_of_what_is_measured(tmp_path: Path) -> None:
    about = {"full": True, "seed": 4}
    text = written(
        tmp_path,
        {"test": "test_kills.py::test_a", **about, "kills": 3, "lost_samples": 7},
        {"test": "test_kills.py::test_a", **about, "kills": 200, "lost_samples": 0},
        {"test": "test_kills.py::test_b", **about, "freezes": 20, "lost_samples": 1, "how": {"long": 2}},
        {"test": "test_broker_kills.py::test_c", **about, "broker_kills": 20, "oldest_lost_s": 9.25},
    )
    assert "| `test_kills` | kills 200; freezes 20; lost samples 1 |" in text
    assert "| `test_broker_kills` | broker kills 20; oldest lost s 9.25 |" in text
    assert "| `test_soak` | not run |" in text
    assert "**a** (full form, seed 4)" in text
    assert "| how | long: 2 |" in text
    assert "A daemon that is killed, frozen or given a new configuration at any instant" in text
    assert "short forms" not in text


def test_report_says_which_forms_are_short_and_draws_long_series(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    text = written(
        tmp_path,
        {
            "test": "test_soak.py::test_days",
            "full": False,
            "seed": 1,
            "resident_MB": list(range(100, 130)),
            "threads": [7, 7],
        },
    )
    assert "Some of these are short forms" in text
    assert "![days](days.png)" in text
    assert (tmp_path / "report" / "days.png").stat().st_size > 1000
    assert "| threads | 7, 7 |" in text
    assert "resident MB" not in text
