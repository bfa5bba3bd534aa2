"""IAGA-2002 as observatories write it: steps, elements, comments, marks, and days that end."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from archive_kit import iaga2002_text

from monitor.io.files import SourceSeries, read_archive
from monitor.types import SECOND_NS, SampleBlock

T0_NS = 1_483_228_790 * SECOND_NS  # 2016-12-31T23:59:50Z: a day, a year and a leap second end within


def block(components: str, step_s: int = 1, count: int = 30) -> SampleBlock:
    names = tuple(components)
    values = np.arange(len(names) * count, dtype=np.float64).reshape(len(names), count) / 4.0
    return SampleBlock("ABK", names, T0_NS, step_s * SECOND_NS, values)


def one_series(folder: Path, text: str, name: str = "abk.sec") -> SourceSeries:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    (series,) = read_archive(path).series
    return series


@pytest.mark.parametrize("step_s", [1, 10])
@pytest.mark.parametrize("name", ["abk20161231psec.sec", "abk.cdf", "abk.csv.gz", "nothing"])
def test_any_step_is_read_over_midnight_whatever_the_file_is_called(
    tmp_path: Path, step_s: int, name: str
) -> None:
    written = block("XYZ", step_s)
    series = one_series(tmp_path, iaga2002_text(written, "XYZF"), name)
    assert (series.source, series.t0_ns, series.step_ns) == ("ABK", T0_NS, step_s * SECOND_NS)
    assert series.components == ("X", "Y", "Z", "F")
    np.testing.assert_array_equal(series.values[:3], written.values)
    assert np.isnan(series.values[3]).all()  # 88888: never recorded


def test_declination_is_in_minutes_of_arc_and_leaves_in_degrees(tmp_path: Path) -> None:
    written = block("HDZ")
    text = iaga2002_text(written)
    series = one_series(tmp_path, text)
    assert series.angles == {"D"}
    np.testing.assert_allclose(series.values[1], written.values[1], atol=0.005 / 60.0)


def test_angles_and_total_give_the_horizontal_component(tmp_path: Path) -> None:
    written = block("DIF")
    written.values[1], written.values[2] = 60.0, 50_000.0
    written.values[2, 4] = np.nan
    series = one_series(tmp_path, iaga2002_text(written))
    rows = dict(zip(series.components, series.values, strict=True))
    expected = np.where(np.arange(30) == 4, np.nan, 25_000.0)
    np.testing.assert_allclose(rows["H"], expected)
    np.testing.assert_allclose(rows["Z"], expected * np.sqrt(3.0))
    assert series.angles == {"D", "I"}


def test_angles_go_nowhere_where_they_would_pass_for_nanotesla(tmp_path: Path) -> None:
    piece = one_series(tmp_path, iaga2002_text(block("HDZ"))).block(5, 9)
    assert piece.components == ("H", "Z")
    np.testing.assert_array_equal(piece.values, block("HDZ").values[[0, 2], 5:9])
    # Of angles alone it is to be said that they are no vector.
    assert one_series(tmp_path, iaga2002_text(block("DI"))).block(0, 1).components == ("D", "I")
