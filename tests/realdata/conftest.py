"""Loaders for the measurements beside the repository; what needs them skips where they are absent."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from monitor.types import SECOND_NS, FloatArray, SampleBlock

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
Load = Callable[..., SampleBlock]


def _load(path: str, code: str, column: str, component: str = "H") -> SampleBlock:
    """One column of a CSV file as one block; empty cells and missing rows are gaps."""
    with gzip.open(DATA / path, "rt", encoding="ascii", newline="") as lines:
        rows = [(row["time"], row[column]) for row in csv.DictReader(lines)]
    seconds = np.array(
        [round(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp()) for time, _ in rows]
    )
    step = int(np.median(np.diff(seconds)))
    values: FloatArray = np.full((1, (seconds[-1] - seconds[0]) // step + 1), np.nan)
    values[0, (seconds - seconds[0]) // step] = [float(text) if text else np.nan for _, text in rows]
    return SampleBlock(code, (component,), int(seconds[0]) * SECOND_NS, step * SECOND_NS, values)


@pytest.fixture(scope="session")
def load() -> Load:
    """`load(path below the data folder, code, column, component="H")`: one station's file as one block."""
    if not DATA.is_dir():
        pytest.skip(f"the measurements are absent: no {DATA.parent.name}/{DATA.name} beside the repository")
    return _load
