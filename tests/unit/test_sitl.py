"""SITL reports: their forms, and what a comment says of the region."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import ArchiveError
from monitor.jobs.region.sitl import is_sitl, read_sitl, region_of
from monitor.types import iso_time

REPORT = """\
=================================================
Summary of selections:
Category 2        9      107       17    26.1

START TIME          - END TIME           ,   FOM, ID,  DISCUSSION
2017-07-31/13:04:53 - 2017-07-31/13:06:53,  90.0, somebody(EVA), DF with significant, number density
2017-07-31/13:08:43 - 2017-07-31/13:10:13,  60.0, somebody(EVA),  PSBL crossing
2017-07-31/22:23:13 - 2017-07-31/22:25:03, 100.0, somebody(EVA), Central CS (?) Bx reversal

"""
TABLE = """\
,FOM,ID,Discussion,Starttime,Endtime,Day
3, 25.0, x(EVA)," MSH jets, quiet ",2016-04-13 00:37:54,2016-04-13 01:04:54,2016-04-13
"""


@pytest.mark.parametrize(
    ("comment", "region"),
    [
        ("quiet solar wind", "SW"),
        ("SW with discontinuity", "SW"),
        ("ion foreshock, solar wind", "FS"),
        ("ULF waves in the foreshock", "FS"),
        ("Bow shock crossing, quasi-perp", "BS"),
        ("BS", "BS"),
        ("bow-shock crossing from solar wind to magnetosheath", "BS"),
        ("turbulent magnetosheath", "MSH"),
        ("Sheath jet", "MSH"),
        ("MSH current sheets", "MSH"),
        ("Full MP crossing, jets", "MP"),
        ("Magnetopause crossing, MSH to MSP", "MP"),
        ("MP crossing and LLBL", "MP"),
        ("LLBL", "BL"),
        ("low-latitude boundary layer", "BL"),
        ("boundary layer crossing, magnetosheath", "BL"),
        ("quiet magnetosphere", "MSP"),
        ("plasma sheet", "PS"),
        ("Plasmasheet thinning, BBFs", "PS"),
        ("weak BBF", "PS"),
        ("CS corssing, B null", "PS"),
        ("Multiple DFs near the equator", "PS"),
        ("Dipolarization fronts with no E field", "PS"),
        ("PSBL, dipolarization fronts, fast flows", "PSBL"),
        ("plasma sheet boundary layer", "PSBL"),
        ("lobe", "LOBE"),
        ("PSBL crossing from lobe", "PSBL"),
        ("Entry in PS, possible small DF", "PS"),
        ("magnetosheath, near magnetopause", "MSH"),
        ("strong E waves (maybe B waves?). Structured DF.", "PS"),
    ],
)
def test_comment_names_the_region(comment: str, region: str) -> None:
    assert region_of(comment) == (region, "")


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        ("", "no_region"),
        ("interesting flow structures", "no_region"),
        ("No FPI data", "no_region"),
        ("bs, mp, df in small letters are no abbreviations", "no_region"),
        ("magnetospheric ions", "no_region"),
        ("flow reversal prior to DF", "no_region"),
        ("not in the lobe", "no_region"),
        ("maybe in the lobe", "uncertain"),
        ("near bow shock", "no_region"),
        ("MSH and SW", "two_regions"),
        ("Dipolarization in the lobes", "two_regions"),
        ("MP and LLBL", "two_regions"),
        ("MP crossing, bow shock crossing", "two_regions"),
        ("magnetopause?", "uncertain"),
        ("possible MP crossing", "uncertain"),
        ("partial MP crossing", "uncertain"),
        ("Flux rope or dipolarization front", "uncertain"),
        ("MSH, possible MP crossing", "uncertain"),
        ("solar wind or foreshock", "uncertain"),
        ("Central CS vrossing (?) Bx reversal", "uncertain"),
    ],
)
def test_comment_without_a_clear_region_is_refused(comment: str, reason: str) -> None:
    assert region_of(comment) == (None, reason)


@pytest.mark.parametrize("end", ["", ","])
def test_report_is_read_line_by_line(tmp_path: Path, end: str) -> None:
    path = tmp_path / "report.txt"
    path.write_text(REPORT.replace("\n", f"{end}\n"))
    report = read_sitl(path)
    assert [(str(one.region), one.comment) for one in report.intervals] == [
        ("PS", "DF with significant, number density"),
        ("PSBL", "PSBL crossing"),
    ]
    first = report.intervals[0]
    assert (iso_time(first.start_ns), iso_time(first.end_ns)) == (
        "2017-07-31T13:04:53Z",
        "2017-07-31T13:06:53Z",
    )
    assert first.source == f"{path}:6"
    assert [(one.reason, one.source) for one in report.refused] == [("uncertain", f"{path}:8")]
    assert is_sitl(path)


def test_table_is_read_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    (only,) = read_sitl(path).intervals
    assert (str(only.region), only.comment, iso_time(only.end_ns)) == (
        "MSH",
        "MSH jets, quiet",
        "2016-04-13T01:04:54Z",
    )
    assert is_sitl(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (REPORT.replace(":43 - ", ":43 to "), "line 7: '2017-07-31/13:08:43 to 2017-07-31/13:10:13"),
        (REPORT.replace("13:10:13", "13:08:13"), "line 7: the interval ends before it starts"),
        (REPORT.replace("07-31/13:10", "07-32/13:10"), "line 7: the time cannot be read"),
        (TABLE.replace(",2016-04-13\n", "\n"), "line 2: 6 cells, but the header names 7"),
        (TABLE.replace("quiet ", "quiet").replace('quiet",', "quiet,"), "line 2: cannot be read as CSV"),
        ("start,end,label\n", "holds no selections; expected is a SITL report or table"),
    ],
)
def test_fault_of_a_report_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "report"
    path.write_text(text)
    with pytest.raises(ArchiveError) as caught:
        read_sitl(path)
    assert str(caught.value).removeprefix(f"{path}: ").startswith(message)


def test_interval_table_is_no_report(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("start,end,label\n2017-11-24T01:00:00,2017-11-24T01:03:00,MSH\n")
    assert not is_sitl(path)
