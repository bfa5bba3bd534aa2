"""ImagCDF of observatories: elements, units, times, gaps; packed and plain, whole and damaged."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
from archive_kit import times_ns, write_imagcdf

from monitor.errors import ArchiveError
from monitor.io import files
from monitor.io.files import SourceSeries, read_archive
from monitor.types import SECOND_NS, Domain, SampleBlock

T0_NS = 1_483_228_795 * SECOND_NS  # 2016-12-31T23:59:55Z, so that a leap second and midnight lie within


def block(components: str = "HDZ", count: int = 12, step_s: float = 1.0) -> SampleBlock:
    names = tuple(components)
    values = np.arange(len(names) * count, dtype=np.float64).reshape(len(names), count) / 8.0
    values[0, 3] = np.nan
    return SampleBlock("WIC", names, T0_NS, round(step_s * SECOND_NS), values)


def one_series(spec: str | Path) -> SourceSeries:
    (series,) = read_archive(spec).series
    return series


def failure(spec: str | Path) -> str:
    with pytest.raises(ArchiveError) as caught:
        read_archive(spec)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("packed", [0, 6])
@pytest.mark.parametrize("name", ["WIC_20161231.cdf", "day.csv", "nothing"])
def test_day_is_read_by_content_packed_or_plain(tmp_path: Path, packed: int, name: str) -> None:
    written = block()
    path = write_imagcdf(tmp_path / "w.cdf", written, packed=packed).rename(tmp_path / name)
    for found in (path, _gzipped(path)):
        series = one_series(found)
        assert (series.source, series.domain, series.path) == ("WIC", Domain.GROUND, str(found))
        assert series.components == ("Z", "H", "D")
        assert (series.t0_ns, series.step_ns) == (T0_NS, SECOND_NS)
        assert series.angles == {"D"}
        rows = dict(zip(series.components, series.values, strict=True))
        for component, row in zip(written.components, written.values, strict=True):
            np.testing.assert_array_equal(rows[component], row)


def _gzipped(path: Path) -> Path:
    target = path.with_name(f"{path.name}.gz")
    target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return target


def test_code_of_the_operator_wins_and_a_file_without_one_asks_for_it(tmp_path: Path) -> None:
    path = write_imagcdf(tmp_path / "w.cdf", block(), about={"IagaCode": "-"})
    assert "write CODE=FILE" in failure(path)
    assert one_series(f"ABK={path}").source == "ABK"


def test_angles_and_total_give_the_horizontal_component(tmp_path: Path) -> None:
    values = np.array([[3.0, 3.0], [60.0, np.nan], [50_000.0, 50_000.0]])
    series = one_series(
        write_imagcdf(tmp_path / "w.cdf", SampleBlock("WIC", ("D", "I", "F"), T0_NS, SECOND_NS, values))
    )
    rows = dict(zip(series.components, series.values.tolist(), strict=True))
    assert rows["H"] == [pytest.approx(25_000.0), pytest.approx(np.nan, nan_ok=True)]
    assert rows["Z"][0] == pytest.approx(43_301.270189)


def test_minutes_of_arc_come_to_degrees_and_other_units_are_refused(tmp_path: Path) -> None:
    name = "GeomagneticFieldD"
    path = write_imagcdf(tmp_path / "w.cdf", block(), changes={name: {"UNITS": "minutes of arc"}})
    series = one_series(path)
    np.testing.assert_allclose(series.values[series.components.index("D")] * 60.0, block().values[1])
    for element, unit in (("D", "rad"), ("H", "T")):
        name = f"GeomagneticField{element}"
        found = failure(write_imagcdf(tmp_path / "w.cdf", block(), changes={name: {"UNITS": unit}}))
        assert f"{name} is in {unit!r}" in found


def test_scalar_at_the_times_of_the_vector_is_read_and_one_with_its_own_is_left_out(tmp_path: Path) -> None:
    vector = block("XYZ")
    same = (times_ns(vector), np.full(vector.count, 48_000.0))
    path = write_imagcdf(tmp_path / "w.cdf", vector, scalar=same)
    assert one_series(path).components == ("X", "Y", "Z", "S")
    own = (times_ns(vector)[::5], np.full(3, 48_000.0))
    archive = read_archive(write_imagcdf(tmp_path / "w.cdf", vector, scalar=own))
    assert archive.series[0].components == ("X", "Y", "Z")
    assert archive.notes == (f"{path}: left out the scalar S, which has times of its own",)


def test_ten_seconds_with_a_long_gap_are_two_series(tmp_path: Path) -> None:
    whole = block("XYZ", count=200, step_s=10.0)
    kept = np.r_[0:60, 150:200]
    part = SampleBlock(whole.source, whole.components, whole.t0_ns, whole.step_ns, whole.values[:, kept])
    path = write_imagcdf(tmp_path / "w.cdf", part, times=times_ns(whole)[kept])
    first, second = read_archive(path).series
    assert (first.count, second.count) == (60, 50)
    assert second.t0_ns == T0_NS + 1500 * SECOND_NS
    np.testing.assert_array_equal(second.values, whole.values[:, 150:])


def test_values_beyond_what_is_valid_or_real_are_gaps_and_told(tmp_path: Path) -> None:
    strange = block("XYZ")
    strange.values[1, 0], strange.values[2, 1] = -88888.0, 79_999.5
    wide = {"GeomagneticFieldZ": {"VALIDMAX": [1e6, "CDF_DOUBLE"]}}
    strange.values[2, 2] = 2e5
    archive = read_archive(write_imagcdf(tmp_path / "w.cdf", strange, changes=wide))
    (series,) = archive.series
    assert np.isnan(series.values[1, 0])
    assert series.values[2, 1] == 79_999.5
    assert np.isnan(series.values[2, 2])
    assert [note.partition(": ")[2] for note in archive.notes] == [
        "GeomagneticFieldZ: 1 records are beyond what is real"
    ]


def test_what_is_packed_larger_than_allowed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_imagcdf(tmp_path / "w.cdf", block(count=2000))
    monkeypatch.setattr(files, "MAXIMUM_BYTES", 20_000)
    assert "allowed are 20000: split it" in failure(path)
    assert "holds more than 20000 bytes" in failure(
        _gzipped(write_imagcdf(tmp_path / "plain.cdf", block(count=2000), packed=0))
    )


def test_packed_file_that_is_cut_or_lies_about_itself_is_one_line(tmp_path: Path) -> None:
    path = write_imagcdf(tmp_path / "w.cdf", block())
    content = path.read_bytes()
    for length in range(4, len(content), 97):
        path.write_bytes(content[:length])
        assert "fetch the file again" in failure(path)
    # Says that it holds more than it does, and less.
    for claimed, what in ((1 << 20, "are missing"), (4000, "damaged or cut off CDF")):
        path.write_bytes(content[:28] + claimed.to_bytes(8, "big") + content[36:])
        assert what in failure(path)
    path.write_bytes(content.replace((5).to_bytes(4, "big"), (2).to_bytes(4, "big")))
    found = failure(path)
    assert "not by gzip; unpack it with cdfconvert" in found or "fetch the file again" in found


def test_bomb_is_unpacked_no_further_than_it_says(tmp_path: Path) -> None:
    content = write_imagcdf(tmp_path / "w.cdf", block()).read_bytes()
    deflate = zlib.compressobj(9, wbits=31)
    bomb = deflate.compress(bytes(64 << 20)) + deflate.flush()
    path = tmp_path / "bomb.cdf"
    path.write_bytes(content[:40] + bomb)
    assert "fetch the file again" in failure(path)
