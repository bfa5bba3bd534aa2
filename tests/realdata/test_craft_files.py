"""Spacecraft files as the archives define them: CDFs after the masters, SITL reports, the Cluster hour."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cdflib
import cdflib.cdfwrite
import numpy as np
import pytest
from cdflib import cdfepoch

from monitor.errors import ArchiveError
from monitor.io.files import SourceSeries, open_archives, read_archive
from monitor.io.files.cdf_guard import check_cdf
from monitor.jobs.region.intervals import without_conflicts
from monitor.jobs.region.sitl import Report, read_sitl
from monitor.types import iso_time
from monitor.types.space import CELL_NS, VARIABLES

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from cdf_kit import START, START_NS

SPACE = Path(__file__).resolve().parents[3] / "shared" / "data" / "space"
MASTERS = SPACE / "cdaweb_masters"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not SPACE.is_dir(), reason="the measurements in ../shared/data are not there"),
]

SECONDS = np.arange(40) * 4.5
TT2000 = cdfepoch.compute_tt2000(START) + np.arange(40) * CELL_NS
EPOCH = cdfepoch.compute_epoch(START[:7]) + SECONDS * 1e3 + 2250.0
UNIX_S = START_NS / 1e9 + SECONDS + 2.25


def after_master(master: str, path: Path, data: Mapping[str, Any]) -> Path:
    """A file with the variables of a master, their types and attributes, and records in some of them."""
    source = cdflib.CDF(MASTERS / f"{master}_00000000_v01.cdf")
    info = source.cdf_info()
    names = set(data)
    for name in data:
        attributes = source.varattsget(name)
        names |= {attributes[key] for key in ("DEPEND_0", "DEPEND_TIME") if key in attributes}
    cdf = cdflib.cdfwrite.CDF(
        path, cdf_spec={"Majority": info.Majority, "Encoding": info.Encoding}, delete=True
    )
    for name in [*info.zVariables, *info.rVariables]:
        if name in names:
            found = source.varinq(name)
            spec = {
                "Variable": name,
                "Data_Type": found.Data_Type,
                "Num_Elements": found.Num_Elements,
                "Rec_Vary": True,
                "Dim_Sizes": found.Dim_Sizes,
                "Compress": found.Compress,
            }
            attributes = {key: value for key, value in source.varattsget(name).items() if value is not None}
            cdf.write_var(spec, var_attrs=attributes, var_data=data.get(name))
    cdf.close()
    return path


def vector(x: float, y: float, z: float) -> np.ndarray[Any, Any]:
    return np.tile(np.float32([x, y, z]), (40, 1))


def scalar(value: float) -> np.ndarray[Any, Any]:
    return np.full(40, value, dtype=np.float32)


def joined(*paths: Path) -> SourceSeries:
    (series,) = open_archives(paths)
    return series


def expect(series: SourceSeries, **values: float) -> None:
    assert (series.t0_ns, series.step_ns, series.count) == (START_NS, CELL_NS, 40)
    for name, value in values.items():
        assert series.values[series.components.index(name)] == pytest.approx([value] * 40, rel=1e-5), name


def test_every_master_hangs_together_and_gives_no_samples() -> None:
    masters = sorted(MASTERS.glob("*.cdf"))
    assert len(masters) == 22
    for master in masters:
        with master.open("rb") as file:
            check_cdf(file, master.name)
        with pytest.raises(ArchiveError, match=r"holds no (?:records of|field or ion moments)"):
            read_archive(master)


def test_mms_after_its_masters(tmp_path: Path) -> None:
    field = np.tile(np.float32([3, 4, 12, 13]), (40, 1))
    fgm = after_master(
        "mms1_fgm_srvy_l2",
        tmp_path / "fgm.cdf",
        {"mms1_fgm_b_gse_srvy_l2": field, "Epoch": TT2000 + 2_250_000_000},
    )
    dis = after_master(
        "mms1_fpi_fast_l2_dis-moms",
        tmp_path / "dis.cdf",
        {
            "Epoch": TT2000,
            "mms1_dis_numberdensity_fast": scalar(8),
            "mms1_dis_bulkv_gse_fast": vector(-300, 0, 40),
            "mms1_dis_temppara_fast": scalar(90),
            "mms1_dis_tempperp_fast": scalar(60),
        },
    )
    series = joined(dis, fgm)
    assert (series.source, series.components, series.frame) == ("MMS1", VARIABLES, "gse")
    expect(series, Bx=3, B=13, N=8, Vx=-300, V=np.hypot(300, 40), Tpar=90, T=70)


def test_cluster_after_its_masters(tmp_path: Path) -> None:
    of_fgm, of_hia = "C1_CP_FGM_SPIN", "C1_CP_CIS_HIA_ONBOARD_MOMENTS"
    fgm = after_master(
        "c1_cp_fgm_spin",
        tmp_path / "fgm.cdf",
        {
            f"time_tags__{of_fgm}": EPOCH[:, np.newaxis],
            f"B_vec_xyz_gse__{of_fgm}": vector(1, 2, 2),
            f"B_mag__{of_fgm}": scalar(3)[:, np.newaxis],
        },
    )
    hia = after_master(
        "c1_cp_cis-hia_onboard_moments",
        tmp_path / "hia.cdf",
        {
            f"time_tags__{of_hia}": EPOCH,
            f"density__{of_hia}": scalar(0.5),
            f"velocity_gse__{of_hia}": vector(0, 30, 40),
            f"temp_par__{of_hia}": scalar(10),
            f"temp_perp__{of_hia}": scalar(5),
        },
    )
    series = joined(fgm, hia)
    assert (series.source, series.components) == ("C1", VARIABLES)
    expect(series, B=3, N=0.5, V=50, Tpar=861.7333, T=20 / 3 * 86.17333)


def test_themis_after_its_masters(tmp_path: Path) -> None:
    fgm = after_master(
        "tha_l2_fgm", tmp_path / "fgm.cdf", {"tha_fgs_time": UNIX_S, "tha_fgs_gse": vector(2, 3, 6)}
    )
    mom = after_master(
        "tha_l2_mom",
        tmp_path / "mom.cdf",
        {
            "tha_peim_time": UNIX_S,
            "tha_peim_density": scalar(6).astype(float),
            "tha_peim_velocity_gse": vector(-400, 30, 0).astype(float),
            "tha_peim_t3_mag": vector(50, 70, 90).astype(float),
        },
    )
    series = joined(fgm, mom)
    assert (series.source, series.components) == ("THA", VARIABLES)
    expect(series, B=7, N=6, Tpar=90, Tperp=60, T=70)


@pytest.mark.parametrize("kind", ["peir", "ptirf"])
def test_ground_moments_of_themis_after_their_masters(tmp_path: Path, kind: str) -> None:
    master = {"peir": "tha_l2_esa", "ptirf": "tha_l2_gmom"}[kind]
    data = {
        f"tha_{kind}_time": UNIX_S,
        f"tha_{kind}_density": scalar(6).astype(float),
        f"tha_{kind}_magt3": vector(50, 70, 90).astype(float),
    }
    expect(joined(after_master(master, tmp_path / "esa.cdf", data)), N=6, Tpar=90, Tperp=60)


def sitl(name: str) -> tuple[Report, Counter[str], Counter[str]]:
    report = read_sitl(SPACE / "sitl" / name)
    return (
        report,
        Counter(map(str, (one.region for one in report.intervals))),
        Counter(one.reason for one in report.refused),
    )


def test_text_report_gives_the_tail_regions() -> None:
    # Counted by eye: 30 selections, two of them PSBL, and three copies of one comment with a question mark.
    report, regions, reasons = sitl("aidapy_sitl_report_2017-07-31.txt")
    assert regions == {"PS": 25, "PSBL": 2}
    assert reasons == {"uncertain": 3}
    first = report.intervals[0]
    assert (iso_time(first.start_ns), iso_time(first.end_ns)) == (
        "2017-07-31T13:04:53Z",
        "2017-07-31T13:06:53Z",
    )


def test_report_with_commas_and_repeated_rows() -> None:
    report, regions, reasons = sitl("hackweek_sitl_2020-07.csv")
    assert regions == {"PS": 181}
    assert reasons == {"no_region": 19}
    kept, refused = without_conflicts(report.intervals)
    assert (len(kept), Counter(one.reason for one in refused)) == (82, {"repeated": 99})


def test_tables_of_two_years() -> None:
    _, regions, reasons = sitl("sitl_df_2016.csv")
    assert regions == {"PS": 305, "PSBL": 7}
    assert reasons == {"uncertain": 31, "no_region": 7}
    report, regions, reasons = sitl("sitl_df_2017.csv")
    assert regions == {"PS": 335, "PSBL": 3}
    assert reasons == {"uncertain": 31, "no_region": 9, "two_regions": 2}
    assert {one.comment[:30] for one in report.refused if one.reason == "two_regions"} == {
        "Dipolarization in the Lobes",
        "Context: Captures lobe through",
    }


def test_cluster_hour_is_one_series_of_field_and_velocity() -> None:
    folder = SPACE / "cluster_c1_20020318"
    (field,) = folder.glob("*Bvec*")
    (velocity,) = folder.glob("*ion_vel*")
    series = open_archives([f"C1.B={field}", f"C1.V={velocity}"], ["C1"])
    assert [one.components for one in series] == [("Bx", "By", "Bz", "B", "Vx", "Vy", "Vz", "V")]
    (hour,) = series
    assert iso_time(hour.t0_ns) == "2002-03-18T14:15:00Z"
    assert hour.count == 801  # the last sample begins at 15:14:59.5 and has its middle past the hour
    assert np.isfinite(hour.values).all()
    total = hour.values[3]
    assert total[:10].mean() == pytest.approx(212, abs=1)  # of the first rows: √(83.6² + 34.5² + 191.7²)
    assert read_archive(f"C1.B={field}", ["C1"]).notes == ()
