"""The archive readers on the measurements beside the repository: golden facts of each file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.decoders.native import NativeDecoder, native_payload, native_topic
from monitor.errors import ArchiveError
from monitor.io.files import SourceSeries, interleave, open_archives, read_archive
from monitor.types import SECOND_NS, Message, Surroundings, iso_time

GROUND = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ground"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not GROUND.is_dir(), reason="the measurements in ../shared/data are not there"),
]


def only(path: str, code: str = "") -> SourceSeries:
    (series,) = open_archives([f"{code}={GROUND / path}" if code else GROUND / path])
    return series


def test_pel_and_muo_come_out_of_one_file() -> None:
    archive = read_archive(GROUND / "pel_muo_10s/pel_muo_2010-09-08_00-09UT_H_10s.csv.gz")
    assert archive.sources == ("PEL", "MUO")
    for series, first, last in zip(
        archive.series, (11328.938, 11470.309), (11318.079, 11487.299), strict=True
    ):
        assert (series.components, series.step_ns, series.count) == (("H",), 10 * SECOND_NS, 3240)
        assert (iso_time(series.t0_ns), iso_time(series.end_ns)) == (
            "2010-09-08T00:00:00Z",
            "2010-09-08T09:00:00Z",
        )
        assert (series.values[0, 0], series.values[0, -1]) == (first, last)
        assert np.isfinite(series.values).all()


@pytest.mark.parametrize(("station", "missing"), [("PG0", 0), ("PG2", 1331), ("PG4", 2262)])
def test_antarctic_chain_has_its_gaps(station: str, missing: int) -> None:
    series = only(f"aalpip_1s/{station}_2016-01-24_1s.csv.gz")
    assert (series.source, series.components, series.count) == (station, ("X", "Y", "Z"), 86400)
    assert np.isnan(series.values[0]).sum() == missing


def test_wic_storm_is_four_whole_days() -> None:
    series = only("wic_1s/WIC_2024-05_HEZ_1s_4days.csv.gz")
    assert (series.source, series.components, series.count) == ("WIC", ("H", "E", "Z"), 4 * 86400)
    np.testing.assert_array_equal(series.values[:, 0], [21063.682, 481.51, 44183.025])
    np.testing.assert_array_equal(series.values[:, -1], [21000.306, 523.429, 44200.124])


def test_two_instruments_at_one_site_are_named_by_the_operator() -> None:
    lemi = only("wic_1s/WIC_LEMI036_1_0002_0002_2025-05-14_xyz_1s.csv.gz", "LEM")
    fge = only("wic_1s/WIC_FGE_S0252_0002_0002_2025-05-14_xyz_1s.csv.gz", "FGE")
    assert (lemi.source, fge.source) == ("LEM", "FGE")
    assert lemi.components == fge.components == ("X", "Y", "Z")
    assert (lemi.values[0, 0], fge.values[0, 0]) == (341.932, 244.288)


def test_code_joined_to_the_component_is_read_from_the_columns() -> None:
    series = only("other_1s/SXY-AIA_2020-03-03_XYZF_1s.csv.gz")
    assert (series.source, series.components, series.count) == ("AIA", ("X", "Y", "Z", "F"), 86400)
    assert (series.values[3, 0], np.isnan(series.values[3, 1])) == (37834.46, True)


def test_poker_flat_sends_declination_in_nT_and_repeats_a_second() -> None:
    archive = read_archive(GROUND / "other_1s/POKER_2017-11-16T10_HDZ_1s_1h.csv.gz")
    (series,) = archive.series
    assert (series.source, series.components, series.angles) == ("POKER", ("H", "D", "Z"), frozenset())
    assert series.count == 3600
    assert series.values[1, 0] == -1402.85
    # 10:31:09 stands there twice; the later row counts.
    np.testing.assert_array_equal(series.values[:, 31 * 60 + 9], [12259.7281, -1405.3938, 54142.9938])
    assert archive.notes == (f"{archive.path}: 1 rows repeat a time; the later one counts",)


def test_iaga_2002_keeps_the_raw_axes_raw() -> None:
    archive = read_archive(GROUND / "other_1s/LLO20200106vsec.sec.gz")
    (series,) = archive.series
    assert (series.source, series.components, series.count) == ("LLO", ("U", "V", "W"), 14401)
    np.testing.assert_array_equal(series.values[:, 0], [8330.27, -18968.24, 39293.09])
    np.testing.assert_array_equal(series.values[:, -1], [8331.55, -18977.11, 39293.68])
    assert archive.notes == (f"{archive.path}: ignored the elements NUL",)


def test_numpy_file_is_refused_with_a_way_out() -> None:
    with pytest.raises(ArchiveError, match=r"is a ZIP or NumPy file; convert it to CSV"):
        read_archive(GROUND / "other_1s/LLO_2020-01-06_UVW_10Hz_4h.npz")


def test_cdf_without_records_is_refused_by_the_names_of_its_variables() -> None:
    masters = GROUND.parent / "space" / "cdaweb_masters"
    with pytest.raises(ArchiveError, match="holds no records of mms1_fgm_b_gse_srvy_l2, "):
        read_archive(masters / "mms1_fgm_srvy_l2_00000000_v01.cdf")


def test_chain_survives_interleaving_and_the_native_message_to_the_last_bit() -> None:
    series = open_archives(sorted((GROUND / "aalpip_1s").glob("*.gz")))
    decoder = NativeDecoder(NativeDecoder.Options(), Surroundings("native"))
    found: dict[str, list[np.ndarray]] = {one.source: [] for one in series}
    clocks: dict[str, int] = {}
    for piece in interleave(series, 60 * SECOND_NS):
        message = Message(native_topic(piece, "geospace/v1"), native_payload(piece), piece.end_ns)
        (block,) = decoder.decode(message)
        assert block.t0_ns == piece.t0_ns
        found[block.source].append(block.values)
        clocks[block.source] = block.end_ns
        assert max(clocks.values()) - min(clocks.values()) <= 60 * SECOND_NS
    for one in series:
        np.testing.assert_array_equal(np.concatenate(found[one.source], axis=1), one.values)
