"""Interval CSVs, and intervals that do not go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import ArchiveError
from monitor.jobs.region.intervals import Interval, read_intervals, without_conflicts
from monitor.types import SECOND_NS
from monitor.types.space import Region

T0_NS = 1_511_485_200 * SECOND_NS


def read(tmp_path: Path, text: str) -> list[Interval]:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return read_intervals(path)


def failure(tmp_path: Path, text: str) -> str:
    with pytest.raises(ArchiveError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{tmp_path / 'labels.csv'}: ")


def made(start: int, end: int, region: Region, craft: str | None = None) -> Interval:
    return Interval(start * SECOND_NS, end * SECOND_NS, region, "", f"x:{start}", craft)


def test_rows_become_intervals_with_their_lines(tmp_path: Path) -> None:
    text = "# by hand\nstart,end,label,craft\n2017-11-24T01:00:00Z,2017-11-24 01:03:00,msh,mms1\n\n"
    text += "2017-11-24T01:03:00,2017-11-24T01:04:00,PSBL,\n"
    first, second = read(tmp_path, text)
    assert (first.start_ns, first.end_ns) == (T0_NS, T0_NS + 180 * SECOND_NS)
    assert (first.region, first.craft, first.source) == (
        Region.MAGNETOSHEATH,
        "MMS1",
        f"{tmp_path / 'labels.csv'}:3",
    )
    assert (second.region, second.craft) == (Region.PLASMA_SHEET_BOUNDARY_LAYER, None)


ROW = "2017-11-24T01:00:00,2017-11-24T01:03:00,MSH\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "start,end,region\n" + ROW,
            "has the columns start,end,region; expected are start,end,label[,craft]",
        ),
        (
            "start,start,end,label\n" + ROW,
            "has the columns start,start,end,label; expected are start,end,label[,craft]",
        ),
        ("start,end,label\n", "holds no intervals; expected are the columns start,end,label[,craft]"),
        (
            "start,end,label\n" + ROW + ROW.replace("MSH", "SHEATH"),
            "line 3: the label is 'SHEATH'; allowed are SW FS",
        ),
        ("start,end,label\n" + ROW.replace("MSH\n", "MSH,MMS1\n"), "line 2: 4 cells, but the header names 3"),
        ("start,end,label\n" + ROW.replace("01:03", "00:59"), "line 2: the interval ends before it starts"),
        ("start,end,label\n" + ROW.replace("11-24T01:03", "13-24T01:03"), "line 2: the time cannot be read"),
        ("start,end,label,craft\n" + ROW.replace("MSH", "MSH,M/1"), "line 2: 'M/1' is no spacecraft's id"),
        ('start,end,label\n"2017', "line 2: cannot be read as CSV"),
        ("start\0", "is binary; expected is text"),
    ],
)
def test_fault_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert failure(tmp_path, text).startswith(message)


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"none.csv: cannot be read: No such file"):
        read_intervals(tmp_path / "none.csv")


def test_repeated_interval_is_kept_once() -> None:
    one = made(0, 60, Region.LOBE)
    kept, refused = without_conflicts([one, one])
    assert kept == [one]
    assert [(r.reason, r.source) for r in refused] == [("repeated", "x:0")]


def test_intervals_of_two_regions_at_one_time_are_both_refused() -> None:
    long, inside, after = (
        made(0, 600, Region.LOBE),
        made(60, 70, Region.PLASMA_SHEET),
        made(600, 700, Region.PLASMA_SHEET),
    )
    same = made(100, 200, Region.LOBE)
    kept, refused = without_conflicts([after, long, inside, same])
    assert kept == [same, after]
    assert sorted(r.source for r in refused) == ["x:0", "x:60"]
    assert {r.reason for r in refused} == {"overlap"}


def test_two_spacecraft_may_be_in_two_regions() -> None:
    both = [made(0, 60, Region.LOBE, "MMS1"), made(0, 60, Region.PLASMA_SHEET, "THA")]
    assert without_conflicts(both) == (both, [])
    _, refused = without_conflicts([*both, made(0, 60, Region.SOLAR_WIND)])
    assert len(refused) == 3
