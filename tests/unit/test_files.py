"""Archive files: CSV and IAGA-2002, told apart by content; and their samples in the order of time."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ArchiveError
from monitor.io.files import Archive, SourceSeries, interleave, open_archives, read_archive
from monitor.io.files.rows import parse_times
from monitor.types import SECOND_NS, Domain, iso_time

T0_NS = 1_504_742_400 * SECOND_NS  # 2017-09-07T00:00:00Z
IAGA = """\
 Format                 IAGA-2002                                    |
 Source of Data         Sodankyl\N{LATIN SMALL LETTER A WITH DIAERESIS} Geophysical Observatory           |
 IAGA CODE              TST                                          |
 Reported               HDZF                                         |
 # a comment                                                         |
DATE       TIME         DOY     TSTH      TSTD      TSTZ      TSTG   |
2017-09-07 00:00:00.000 250     12345.60   -270.00  45000.10  99999.00
2017-09-07 00:00:01.000 250     12345.70  99999.00  88888.00  99999.00
"""


def rows_csv(header: str, *rows: str) -> str:
    return "\n".join([f"time,{header}", *rows, ""])


def read(tmp_path: Path, text: str, name: str = "TAR_day.csv", code: str = "", **options: object) -> Archive:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_archive(f"{code}={path}" if code else path, **options)  # type: ignore[arg-type]


def failure(tmp_path: Path, text: str, name: str = "TAR_day.csv", code: str = "", **options: object) -> str:
    with pytest.raises(ArchiveError) as caught:
        read(tmp_path, text, name, code, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(tmp_path))
    return message.removeprefix(f"{tmp_path / name}: ")


TWO_ROWS = ("2017-09-07T00:00:00,1,2", "2017-09-07T00:00:01,3,4")


def test_columns_of_several_stations_give_a_series_each(tmp_path: Path) -> None:
    archive = read(tmp_path, rows_csv("PEL_H,MUO_h", *TWO_ROWS), "pel_muo.csv")
    assert archive.sources == ("PEL", "MUO")
    assert archive.notes == ()
    pel, muo = archive.series
    assert (pel.components, pel.t0_ns, pel.step_ns, pel.domain) == (("H",), T0_NS, SECOND_NS, Domain.GROUND)
    assert (pel.values.tolist(), muo.values.tolist()) == ([[1.0, 3.0]], [[2.0, 4.0]])


@pytest.mark.parametrize(
    ("header", "components"),
    [("H,E", ("H", "E")), ("x,y", ("X", "Y")), ("Bx,By", ("X", "Y")), ("d,F", ("D", "F"))],
)
def test_bare_columns_belong_to_the_station_in_the_name(
    tmp_path: Path, header: str, components: tuple[str, ...]
) -> None:
    (series,) = read(tmp_path, rows_csv(header, *TWO_ROWS), "PG0_2016.csv").series
    assert (series.source, series.components, series.angles) == ("PG0", components, frozenset())


def test_code_before_the_path_wins(tmp_path: Path) -> None:
    assert read(tmp_path, rows_csv("H,E", *TWO_ROWS), code="lem").sources == ("LEM",)
    assert read(tmp_path, rows_csv("PEL_H,PEL_E", *TWO_ROWS), code="XYZ").sources == ("XYZ",)
    assert read(tmp_path, rows_csv("PEL_H,MUO_H", *TWO_ROWS), code="MUO").sources == ("MUO",)
    message = failure(tmp_path, rows_csv("PEL_H,MUO_H", *TWO_ROWS), code="XYZ")
    assert message == "holds the stations PEL, MUO; XYZ= names a file of one station"


def test_file_whose_name_has_an_equals_sign_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ABC=PEL.csv").write_text(rows_csv("PEL_H,PEL_E", *TWO_ROWS))
    assert read_archive("ABC=PEL.csv").sources == ("PEL",)


def test_code_joined_to_the_component_needs_a_second_witness(tmp_path: Path) -> None:
    assert read(tmp_path, rows_csv("AIAX,AIAY", *TWO_ROWS), "x.csv").sources == ("AIA",)
    assert read(tmp_path, rows_csv("AIAX,tempe", *TWO_ROWS), "SXY-AIA_1.csv").sources == ("AIA",)
    assert "no column of a known component" in failure(tmp_path, rows_csv("STATE,AXLEY", *TWO_ROWS))


def test_unknown_columns_are_noted_and_ignored(tmp_path: Path) -> None:
    archive = read(tmp_path, rows_csv("H,quality", *TWO_ROWS))
    assert archive.series[0].components == ("H",)
    assert archive.notes == (f"{archive.path}: ignored the columns quality",)


def test_gaps_come_from_empty_cells_words_and_marks(tmp_path: Path) -> None:
    cells = ["1", "", "nan", "99999.00", "88888", "-99999", "NA", " ", "2"]
    text = rows_csv("H", *(f"2017-09-07T00:00:0{second},{cell}" for second, cell in enumerate(cells)))
    (series,) = read(tmp_path, text).series
    np.testing.assert_array_equal(series.values, [[1, *[np.nan] * 7, 2]])


def test_rows_out_of_order_missing_and_repeated_come_onto_the_grid(tmp_path: Path) -> None:
    text = rows_csv(
        "H", *(f"2017-09-07T00:00:0{row}" for row in ("3,3", "0,0", "1,1", "5,5", "1,7", "4,4", "6.02,6"))
    )
    archive = read(tmp_path, text)
    (series,) = archive.series
    np.testing.assert_array_equal(series.values, [[0, 7, np.nan, 3, 4, 5, 6]])
    assert archive.notes == (f"{archive.path}: 1 rows repeat a time; the later one counts",)


@pytest.mark.parametrize(("missing", "parts"), [(60, 1), (61, 2)])
def test_long_gap_starts_a_new_series(tmp_path: Path, missing: int, parts: int) -> None:
    seconds = [0, 1, 2, 3 + missing, 4 + missing]
    rows = (f"{iso_time(T0_NS + second * SECOND_NS)},{second}" for second in seconds)
    series = read(tmp_path, rows_csv("H", *rows)).series
    assert len(series) == parts
    assert [series[0].t0_ns, series[-1].end_ns] == [T0_NS, T0_NS + (5 + missing) * SECOND_NS]
    assert sum(np.isfinite(one.values).sum() for one in series) == 5


@pytest.mark.parametrize(
    "stamp", ["2017-09-07 00:00:0{}", "2017-09-07T02:00:0{}+02:00", "2017-09-07T00:00:0{}.000Z"]
)
def test_times_are_taken_in_any_form_of_iso_8601(tmp_path: Path, stamp: str) -> None:
    text = "# a comment\n" + rows_csv("H", *(f"{stamp.format(second)},1" for second in range(2)))
    assert read(tmp_path, "\ufeff" + text).series[0].t0_ns == T0_NS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rows_csv("H", "2017-09-07T00:00:00,1", "2017-09-07T00:00:01,x"), "line 3: H is 'x'; write a number or nothing"),
        (rows_csv("H", "2017-09-07T00:00:00,1", "2017-09-07T00:00:01,1e31"),
         "line 3: H is 1e+31; allowed are -99999 to 99999"),
        (rows_csv("H", "2017-09-07T00:00:00,1", "2017-09-07T00:00:01,inf"), "line 3: H is inf; allowed are"),
        (rows_csv("H", "2017-09-07T00:00:00,1", "2017-09-07T00:00:01"), "line 3: 1 cells, but the header names 2"),
        (rows_csv("H", "2017-09-07T00:00:00,1", "yesterday,1"), "line 3: the time cannot be read: found 'yesterday'"),
        (rows_csv("H", "2017-09-07T00:00:00,1", "9999-01-01T00:00:00,1"), "line 3: the time '9999-01-01T00:00:00' is beyond"),
        (rows_csv("H", "1970-01-01T00:00:00,1", "1970-01-01T00:00:01,1"), "line 2 is of 1970-01-01T00:00:00Z, before 1990"),
        (rows_csv("H", "2017-09-07T00:00:00,1"), "has 1 sample times; two at least"),
        (rows_csv("H", "2017-09-07T00:00:00,1", "2017-09-07T01:00:00,1"), "its step is 3600 s; allowed are 0.05 to 60"),
        (rows_csv("H", *(f"2017-09-07T00:00:0{second},1" for second in ("0", "1", "2", "3.3", "4", "5"))),
         "line 5: 2017-09-07T00:00:03.3Z lies 0.3 s off the grid of 1 s"),
        (rows_csv("H"), "holds no rows of data"),
        ("H,E\n1,2\n", "has no column `time`, but H, E"),
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("a\0b", "is binary"),
        ("PK\x03\x04", "is a ZIP or NumPy file"),
        (IAGA.replace("DATE ", "DAY "), "says IAGA-2002, but no line names the columns"),
        (IAGA.replace("TSTH      TSTD      TSTZ ", "TSTP      TSTQ      TSTR "), "reports P Q R G; known are"),
        (IAGA + "2017-09-07 00:00:02.000 250  1 2\n", "line 9: 5 columns, but the header names 7"),
    ],
)  # fmt: skip
def test_bad_file_is_one_line_that_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    assert failure(tmp_path, text).startswith(message)


SECONDS = st.integers(-30_610_224_000, 253_402_300_799)  # the years 1000 to 9999
STAMPS = SECONDS.map(lambda second: str(np.datetime64(second, "s")))


@given(
    st.lists(
        STAMPS | st.sampled_from(["2017-02-29T00:00:00", "2016-12-31T23:59:60", "2017-01-01T24:00:00"]),
        min_size=1,
    )
)
def test_quick_way_to_read_times_agrees_with_the_slow_one(cells: list[str]) -> None:
    lines = list(range(len(cells)))

    def outcome(texts: list[str]) -> list[int] | str:
        try:
            return [int(time_ns) for time_ns in parse_times(texts, lines, "made")]
        except ArchiveError as error:
            return str(error).replace("+00:00", "")

    # An offset is not the usual form, so it goes the slow way; the year 2261 ends what both can hold.
    assert outcome(cells) == outcome([f"{cell}+00:00" for cell in cells])


def test_name_without_a_code_asks_for_one(tmp_path: Path) -> None:
    message = failure(tmp_path, rows_csv("H,E", *TWO_ROWS), "magnetometer-data.csv")
    assert message == "its name does not begin with a station code; write CODE=FILE"


@pytest.mark.parametrize("magic", [b"\xcd\xf2\x60\x02", b"\x00\x00\xff\xff"])
def test_cdf_of_an_old_version_is_to_be_converted(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "mms1.cdf"
    path.write_bytes(magic + bytes(100))
    with pytest.raises(ArchiveError, match=r"mms1.cdf: is a CDF of a version before 3; convert it"):
        read_archive(path)


def test_missing_file_and_directory_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"none.csv: cannot be read: No such file or directory"):
        read_archive(str(tmp_path / "none.csv"))
    with pytest.raises(ArchiveError, match=r"cannot be read: Is a directory"):
        read_archive(f"TAR={tmp_path}")
    with pytest.raises(ArchiveError, match=r"T_A=none.csv: T_A is no station code"):
        read_archive("T_A=none.csv")


@pytest.mark.parametrize("cut", [5, 15, 60, -4])
def test_truncated_gzip_is_one_line(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "TAR.csv.gz"
    rows = (f"{iso_time(T0_NS + second * SECOND_NS)},{second}" for second in range(500))
    path.write_bytes(gzip.compress(rows_csv("H", *rows).encode())[:cut])
    with pytest.raises(ArchiveError, match=r"is cut off: the gzip stream has no end; fetch the file again"):
        read_archive(path)


def test_damaged_gzip_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "TAR.csv.gz"
    packed = bytearray(gzip.compress(rows_csv("H,E", *TWO_ROWS).encode() * 50))
    packed[-8:-4] = b"\0\0\0\0"
    path.write_bytes(packed)
    with pytest.raises(ArchiveError, match="is a damaged gzip file: CRC check failed"):
        read_archive(path)


def test_gzip_is_known_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "TAR_day.csv"
    path.write_bytes(gzip.compress(rows_csv("H,E", *TWO_ROWS).encode()))
    assert read_archive(path).sources == ("TAR",)


@given(content=st.binary(max_size=400), packed=st.booleans())
def test_reading_is_total_over_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("rubbish") / "TAR_x.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ArchiveError) as caught:
        read_archive(path)
    assert "\n" not in str(caught.value)


@given(
    cells=st.lists(
        st.tuples(
            st.sampled_from([f"2017-09-07T00:00:{s:02d}" for s in range(60)]) | st.text(max_size=8),
            st.floats(width=32).map(str) | st.text(max_size=5),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_reading_is_total_over_cells(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("cells") / "TAR_x.csv"
    path.write_bytes(rows_csv("H", *(f"{time},{value}" for time, value in cells)).encode("utf-8", "replace"))
    try:
        archive = read_archive(path)
    except ArchiveError:
        return
    assert archive.sources == ("TAR",)
    for series in archive.series:
        assert not np.isinf(series.values).any()


def test_iaga_2002_gives_declination_in_degrees(tmp_path: Path) -> None:
    archive = read(tmp_path, IAGA, "anything.sec")
    (series,) = archive.series
    assert (series.source, series.components, series.angles) == ("TST", ("H", "D", "Z"), frozenset("D"))
    assert (series.t0_ns, series.step_ns) == (T0_NS, SECOND_NS)
    np.testing.assert_array_equal(series.values, [[12345.6, 12345.7], [-4.5, np.nan], [45000.1, np.nan]])
    assert archive.notes == (f"{archive.path}: ignored the elements G",)
    assert read(tmp_path, IAGA, code="ABC").sources == ("ABC",)


CRAFT_ROWS = ("2017-09-07T00:00:00,3,4,0,5", "2017-09-07T00:00:04.5,-1e31,4,0,5")


@pytest.mark.parametrize(
    ("name", "code", "craft"),
    [("a.csv", "MMS1", ["MMS1"]), ("mms1_fpi.csv", "", ["MMS1", "MMS"]), ("a.csv", "", ["mms1"])],
)
def test_spacecraft_file_has_the_totals_that_native_messages_get(
    tmp_path: Path, name: str, code: str, craft: list[str]
) -> None:
    (series,) = read(tmp_path, rows_csv("Bx,By,Bz,N", *CRAFT_ROWS), name, code, craft=craft).series
    assert (series.source, series.domain) == ("MMS1", Domain.CRAFT)
    assert (series.components, series.step_ns) == (("Bx", "By", "Bz", "B", "N"), 4_500_000_000)
    np.testing.assert_array_equal(series.values[3], [5, np.nan])


def test_spacecraft_file_without_an_id_asks_for_one(tmp_path: Path) -> None:
    message = failure(
        tmp_path, rows_csv("Bx,By,Bz,N", *CRAFT_ROWS).replace("Bx,By,Bz", "Vx,Vy,Vz"), "fpi.csv"
    )
    assert message == "looks like a spacecraft's; name it with --craft ID, and ID=FILE"


def test_two_files_of_one_source_at_the_same_time_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("WIC_A.csv", "WIC_B.csv"):
        (tmp_path / name).write_text(rows_csv("H,E", *TWO_ROWS))
    with caplog.at_level(logging.WARNING):
        assert len(open_archives([tmp_path / "WIC_A.csv", tmp_path / "WIC_B.csv"])) == 2
    assert "both hold WIC at the same times; name them CODE=FILE" in caplog.text
    caplog.clear()
    open_archives([f"LEM={tmp_path / 'WIC_A.csv'}", f"FGE={tmp_path / 'WIC_B.csv'}"])
    assert caplog.text == ""


def series_of(source: str, t0_ns: int, step_ns: int, count: int) -> SourceSeries:
    return SourceSeries(
        source, ("H",), t0_ns, step_ns, np.arange(count, dtype=np.float64)[np.newaxis], "made"
    )


MANY_SERIES = st.lists(
    st.builds(
        series_of,
        st.sampled_from(["AA", "BB", "CC"]),
        st.integers(T0_NS, T0_NS + 200 * SECOND_NS),
        st.sampled_from([100_000_000, SECOND_NS, 4_500_000_000, 7 * SECOND_NS, 10 * SECOND_NS]),
        st.integers(0, 300),
    ),
    max_size=4,
)


@given(all_series=MANY_SERIES, piece_ns=st.integers(SECOND_NS, 100 * SECOND_NS))
def test_interleaving_keeps_every_sample_in_pieces_that_advance_together(
    all_series: list[SourceSeries], piece_ns: int
) -> None:
    pieces = list(interleave(all_series, piece_ns))
    slots = [piece.t0_ns // piece_ns for piece in pieces]
    assert slots == sorted(slots)
    for piece in pieces:
        assert piece.count >= 1
        assert (piece.end_ns - 1 - piece.t0_ns) < piece_ns or piece.count == 1
        assert (piece.end_ns - piece.step_ns) // piece_ns == piece.t0_ns // piece_ns
    found = sorted(
        (piece.source, piece.step_ns, piece.t0_ns + i * piece.step_ns, value)
        for piece in pieces
        for i, value in enumerate(piece.values[0].tolist())
    )
    expected = sorted(
        (one.source, one.step_ns, one.t0_ns + i * one.step_ns, float(i))
        for one in all_series
        for i in range(one.count)
    )
    assert found == expected


def test_interleaving_never_copies_and_never_lets_values_change(tmp_path: Path) -> None:
    (series,) = read(tmp_path, rows_csv("H,E", *TWO_ROWS)).series
    (piece,) = interleave([series], 60 * SECOND_NS)
    assert np.shares_memory(piece.values, series.values)
    with pytest.raises(ValueError, match="read-only"):
        piece.values[0, 0] = 1.0


def test_interleaving_refuses_a_piece_of_no_length() -> None:
    with pytest.raises(ValueError, match="at least 1 ns, found 0"):
        next(interleave([], 0))
