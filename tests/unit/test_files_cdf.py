"""CDF files of MMS, Cluster and THEMIS: names, units, times, fill values, and what is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cdf_kit import (
    DOUBLE,
    EPOCH,
    EPOCH16,
    FILL,
    FLOAT,
    START_NS,
    CdfFile,
    pairs_to_epoch16,
    tt2000,
    write_dis,
    write_fgm,
)
from cdflib import cdfepoch

from monitor.errors import ArchiveError
from monitor.io.files import SourceSeries, open_archives, read_archive
from monitor.io.files.cdf_guard import check_cdf
from monitor.types import SECOND_NS, Domain
from monitor.types.space import CELL_NS, VARIABLES

UNIX_1970_MS = 62_167_219_200_000


def one_series(spec: str | Path) -> SourceSeries:
    (series,) = read_archive(spec).series
    return series


def row(series: SourceSeries, name: str) -> list[float]:
    return series.values[series.components.index(name)].tolist()


def failure(path: Path) -> str:
    with pytest.raises(ArchiveError) as caught:
        read_archive(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_moments_of_mms_lie_in_the_cells_that_begin_at_their_epochs(tmp_path: Path) -> None:
    series = one_series(write_dis(tmp_path / "dis.cdf", np.arange(4) * 4.5))
    assert (series.source, series.domain, series.frame) == ("MMS1", Domain.CRAFT, "gse")
    assert (series.t0_ns, series.step_ns) == (START_NS, CELL_NS)
    assert series.components == ("N", "Vx", "Vy", "Vz", "V", "Tpar", "Tperp", "T")
    assert row(series, "N") == [1, 2, 3, 4]
    assert row(series, "V") == pytest.approx([np.hypot(400, 30)] * 4)
    assert row(series, "T") == pytest.approx([70] * 4)  # (90 + 2·60)/3


def test_field_and_moments_in_two_files_become_one_series(tmp_path: Path) -> None:
    dis = write_dis(tmp_path / "dis.cdf", np.arange(4) * 4.5)
    fgm = write_fgm(tmp_path / "fgm.cdf", np.arange(5 * 72) / 16 + 1 / 32)
    (series,) = open_archives([fgm, dis])
    assert series.components == VARIABLES
    assert series.path == f"{fgm} + dis.cdf"
    assert row(series, "B") == [13] * 5
    assert row(series, "N")[:4] == [1, 2, 3, 4]
    assert np.isnan(row(series, "N")[4])


def test_quicklook_names_are_read_in_the_despun_frames(tmp_path: Path) -> None:
    dis = write_dis(tmp_path / "dis.cdf", np.arange(4) * 4.5, craft="mms3", velocity="dbcs")
    fgm = write_fgm(tmp_path / "fgm.cdf", np.arange(4 * 36) / 8, "mms3_dfg_srvy_dmpa")
    (series,) = open_archives([dis, fgm])
    assert (series.source, series.frame) == ("MMS3", "dbcs")
    assert row(series, "Bx") == [3] * 4


def test_name_before_the_path_wins(tmp_path: Path) -> None:
    path = write_dis(tmp_path / "dis.cdf", np.arange(4) * 4.5)
    assert read_archive(f"mms4={path}", craft=["MMS4"]).sources == ("MMS4",)


def test_gsm_is_not_mixed_with_gse(tmp_path: Path) -> None:
    dis = write_dis(tmp_path / "dis.cdf", np.arange(4) * 4.5)
    fgm = write_fgm(tmp_path / "fgm.cdf", np.arange(4) * 4.5, "mms1_fgm_b_gsm_srvy_l2")
    with pytest.raises(
        ArchiveError, match=r"has vectors in gse and gsm; give field and velocity in one frame"
    ):
        open_archives([dis, fgm])


@pytest.mark.parametrize(
    "fill", [FILL, np.float32(-1e30), np.float32(np.nan), np.float32(-3), np.float32(2e5)]
)
def test_fill_and_values_beyond_the_valid_range_are_gaps(tmp_path: Path, fill: np.float32) -> None:
    density = np.array([1, fill, 3], dtype=np.float32)
    series = one_series(write_dis(tmp_path / "dis.cdf", np.arange(3) * 4.5, density=density))
    found = row(series, "N")
    assert np.isnan(found[1])
    assert (found[0], found[2]) == (1, 3)
    assert row(series, "Tpar") == [90] * 3


def test_limit_of_the_file_is_said_in_a_note(tmp_path: Path) -> None:
    path = write_dis(tmp_path / "dis.cdf", np.arange(3) * 4.5, density=np.float32([1, -2, 3]))
    assert read_archive(path).notes == (
        f"{path}: mms1_dis_numberdensity_fast: 1 records beyond its valid range",
    )


@pytest.mark.parametrize(
    ("unit", "factor"), [("cm^-3", 1), ("m^-3", 1e-6), ("particles cm^-3", 1), ("1/cc", 1)]
)
def test_known_units_are_converted(tmp_path: Path, unit: str, factor: float) -> None:
    series = one_series(write_dis(tmp_path / "dis.cdf", np.arange(3) * 4.5, density_unit=unit))
    assert row(series, "N") == pytest.approx([factor, 2 * factor, 3 * factor])


@pytest.mark.parametrize("unit", ["nT", "cm^3", "", "eV"])
def test_unknown_unit_is_refused(tmp_path: Path, unit: str) -> None:
    message = failure(write_dis(tmp_path / "dis.cdf", np.arange(3) * 4.5, density_unit=unit or " "))
    assert message == f"mms1_dis_numberdensity_fast is in {unit!r}, which cannot be brought to cm^-3"


def test_missing_moment_is_a_gap_and_nothing_is_drawn_across_it(tmp_path: Path) -> None:
    after = np.array([0, 1, 2, 4, 5]) * 4.5
    found = row(one_series(write_dis(tmp_path / "dis.cdf", after)), "N")
    assert np.isnan(found[3])
    assert found[:3] + found[4:] == [1, 2, 3, 4, 5]


def test_jitter_at_the_edge_of_a_cell_makes_no_gap(tmp_path: Path) -> None:
    jitter = np.random.default_rng(5).uniform(-0.002, 0.002, 200)
    found = row(one_series(write_dis(tmp_path / "dis.cdf", 2.25 + np.arange(200) * 4.5 + jitter)), "N")
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()


def test_times_out_of_order_are_sorted_and_repeated_ones_dropped(tmp_path: Path) -> None:
    after = np.array([0, 2, 1, 1, 3]) * 4.5
    archive = read_archive(write_dis(tmp_path / "dis.cdf", after))
    assert row(archive.series[0], "N") == [1, 4, 2, 5]
    assert [note.removeprefix(f"{archive.path}: ") for note in archive.notes] == [
        "the times are not in order; the samples were sorted",
        "1 samples repeat a time; the later one counts",
    ]


def test_records_without_a_time_are_dropped(tmp_path: Path) -> None:
    epoch = tt2000(np.arange(6) * 4.5)
    epoch[2] = np.iinfo(np.int64).min
    archive = read_archive(write_dis(tmp_path / "dis.cdf", np.arange(6) * 4.5, epoch=epoch))
    assert archive.notes == (f"{archive.path}: 1 records of Epoch have no time",)
    found = row(archive.series[0], "N")
    assert np.isnan(found[2])
    assert found[:2] + found[3:] == [1, 2, 4, 5, 6]


@pytest.mark.parametrize(
    ("day", "begin_ns"),
    [
        ([2015, 6, 30, 23, 59, 51, 0, 0, 0], 1_435_708_791 * SECOND_NS),
        ([2016, 12, 31, 23, 59, 51, 0, 0, 0], 1_483_228_791 * SECOND_NS),
        ([2017, 1, 1, 0, 0, 0, 0, 0, 0], 1_483_228_800 * SECOND_NS),
    ],
)
def test_tt2000_knows_the_leap_seconds(tmp_path: Path, day: list[int], begin_ns: int) -> None:
    epoch = cdfepoch.compute_tt2000(day) + np.arange(2) * CELL_NS
    series = one_series(write_dis(tmp_path / "dis.cdf", np.arange(2) * 4.5, epoch=epoch))
    assert series.t0_ns == begin_ns // CELL_NS * CELL_NS


def cluster(path: Path, kind: int, times: Any) -> Path:
    """Density, temperatures and field of Cluster 1 at two times."""
    with CdfFile(path) as cdf:
        cdf.write("time_tags", kind, times)
        for name, value, unit in (
            ("density__C1_CP_CIS_HIA_ONBOARD_MOMENTS", 8.0, "particles cm^-3"),
            ("temp_par__C1_CP_CIS_HIA_ONBOARD_MOMENTS", 2.0, "MK"),
            ("temp_perp__C1_CP_CIS_HIA_ONBOARD_MOMENTS", 1.0, "MK"),
        ):
            attributes = {"DEPEND_0": "time_tags", "UNITS": unit, "FILLVAL": [-1e31, "CDF_DOUBLE"]}
            cdf.write(name, FLOAT, np.full(len(times), value, dtype=np.float32), attributes)
        attributes = {"DEPEND_0": "time_tags", "UNITS": "nT"}
        cdf.write("B_vec_xyz_gse__C1_CP_FGM_SPIN", FLOAT, np.float32([[1, 2, 2]] * len(times)), attributes)
    return path


EPOCHS_MS = START_NS // 10**6 + UNIX_1970_MS + np.array([100.0, 4600.0, 9100.0])


@pytest.mark.parametrize("kind", [EPOCH, EPOCH16])
def test_cluster_is_read_in_electronvolts(tmp_path: Path, kind: int) -> None:
    if kind == EPOCH:
        path = cluster(tmp_path / "c1.cdf", EPOCH, EPOCHS_MS)
    else:
        pairs = np.stack([EPOCHS_MS // 1e3, EPOCHS_MS % 1e3 * 1e9], axis=1)
        path = pairs_to_epoch16(cluster(tmp_path / "c1.cdf", DOUBLE, pairs), "time_tags")
    series = one_series(path)
    # The first sample has its middle 0.1 s after START, and its interval, a tenth wider, the middle of the cell before.
    assert (series.source, series.t0_ns, series.count) == ("C1", START_NS - CELL_NS, 4)
    assert row(series, "Tpar") == pytest.approx([172.347] * 4, abs=1e-3)
    assert row(series, "T") == pytest.approx([4 / 3 * 86.1733] * 4, abs=1e-3)
    assert row(series, "B") == [3] * 4


def test_times_of_themis_are_seconds_since_1970(tmp_path: Path) -> None:
    seconds = START_NS / SECOND_NS + np.arange(4) * 3.0 + 0.1
    attributes = {"DEPEND_0": "tha_peim_epoch", "DEPEND_TIME": "tha_peim_time"}
    with CdfFile(tmp_path / "tha.cdf") as cdf:
        cdf.write("tha_peim_time", DOUBLE, seconds, {"UNITS": "sec"})
        cdf.write("tha_peim_density", DOUBLE, np.arange(4.0), {**attributes, "UNITS": "cm^-3 (All Qs)"})
        temperatures = np.tile([50.0, 70.0, 90.0], (4, 1))
        cdf.write("tha_peim_t3_mag", DOUBLE, temperatures, {**attributes, "UNITS": "eV (All Qs)"})
    series = one_series(tmp_path / "tha.cdf")
    assert (series.source, series.t0_ns) == ("THA", START_NS)
    assert series.components == ("N", "Tpar", "Tperp", "T")
    assert row(series, "N") == [0.5, 2, 3]  # samples at 0.1 and 3.1; 6.1; 9.1 s
    assert (row(series, "Tpar")[0], row(series, "Tperp")[0]) == (90, 60)


def test_file_without_a_known_name_says_what_it_holds(tmp_path: Path) -> None:
    with CdfFile(tmp_path / "x.cdf") as cdf:
        cdf.write("BGSEc", FLOAT, np.zeros((3, 3), dtype=np.float32))
    assert failure(tmp_path / "x.cdf").endswith("under a known name; its variables are BGSEc")


def test_values_of_another_number_than_the_times_are_refused(tmp_path: Path) -> None:
    path = write_dis(tmp_path / "dis.cdf", np.arange(4) * 4.5, epoch=tt2000(np.arange(3) * 4.5))
    assert failure(path).endswith("has 1 columns in 4 records; expected are 1 columns at 3 times")


def test_samples_a_minute_apart_are_refused(tmp_path: Path) -> None:
    message = failure(write_dis(tmp_path / "dis.cdf", np.arange(4) * 60.0))
    assert message == "its step is 60 s; regions need 10 s at most"


def test_truncated_file_is_one_line_at_any_length(tmp_path: Path) -> None:
    whole = write_fgm(tmp_path / "fgm.cdf", np.arange(40) * 4.5).read_bytes()
    cut = tmp_path / "cut.cdf"
    for length in range(4, len(whole), 37):
        cut.write_bytes(whole[:length])
        assert "fetch the file again" in failure(cut) or "packed as a whole" in failure(cut)


def test_chain_that_leads_back_to_itself_is_found(tmp_path: Path) -> None:
    path = write_fgm(tmp_path / "fgm.cdf", np.arange(4) * 4.5)
    content = bytearray(path.read_bytes())
    first = int.from_bytes(content[8 + 312 + 20 : 8 + 312 + 28], "big")
    content[first + 12 : first + 20] = first.to_bytes(8, "big")
    path.write_bytes(content)
    with path.open("rb") as file, pytest.raises(ArchiveError, match=f"two links lead to byte {first}"):
        check_cdf(file, "x")


def test_variable_larger_than_any_memory_is_refused(tmp_path: Path) -> None:
    path = write_fgm(tmp_path / "fgm.cdf", np.arange(4) * 4.5)
    content = bytearray(path.read_bytes())
    first = int.from_bytes(content[8 + 312 + 20 : 8 + 312 + 28], "big")
    content[first + 24 : first + 28] = (2**31 - 2).to_bytes(4, "big")
    path.write_bytes(content)
    assert "a variable would take 2147483647 records of 8 bytes" in failure(path)
