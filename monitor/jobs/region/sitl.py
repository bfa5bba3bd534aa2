"""Regions out of the reports of the MMS scientists in the loop: intervals with a figure of merit and a free comment.

Reports come as text (`START TIME - END TIME, FOM, ID, DISCUSSION`), the same with a comma at the end of each line, or as
tables with the columns Starttime, Endtime and Discussion. What a comment says of the region is told by keywords:

- `KEYWORDS` name a region; a keyword of a longer name is not read a second time (`PSBL` is no `PS`). Abbreviations
  of two letters count in capitals only. A current sheet stands for the plasma sheet where no other region is named.
- A comment falls apart at `,` `;` and full stops, and before `in`, `at` and `with` (but not in `not in`). In such a piece, a word of `ELSEWHERE`
  before a keyword says that the spacecraft is not there: the keyword is passed over. A word of `DOUBT` before it, or a
  question mark behind it, makes it doubtful.
- Of two regions the foreshock beats the solar wind and the plasma sheet's boundary layer the plasma sheet. Where a
  comment speaks of a crossing, a boundary beats its sides (`SIDES`).
- Refused are comments with `no_region`, with `two_regions`, and those that doubtful keywords would change (`uncertain`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitor.errors import ArchiveError
from monitor.jobs.region.intervals import Interval, Refused, check_order, read_lines, time_of
from monitor.types.space import Region

KEYWORDS: Final[tuple[tuple[Region, str], ...]] = (
    (Region.PLASMA_SHEET_BOUNDARY_LAYER, r"(?i:psbl|plasma[ -]?sheet boundary(?: layer)?)"),
    (Region.BOUNDARY_LAYER, r"(?i:llbl|hlbl|(?:low|high)[ -]latitude boundary layer|boundary layer)|BL"),
    (Region.PLASMA_SHEET, r"(?i:plasma[ -]?sheet|cps|neutral sheet|bbfs?|bursty bulk flows?)|PS|NS"),
    (Region.PLASMA_SHEET, r"(?i:dfbs?|dipolari[sz]ations?(?: (?:fronts?|flux bundles?))?)|DFs?"),
    (Region.LOBE, r"(?i:lobes?)"),
    (Region.BOW_SHOCK, r"(?i:bow ?-?shock)|BS"),
    (Region.FORESHOCK, r"(?i:(?:ion )?foreshock)|FS"),
    (Region.MAGNETOSHEATH, r"(?i:magneto-?sheath|m'?-?sheath|msh|sheath)|SH"),
    (Region.MAGNETOPAUSE, r"(?i:magneto-?pause|m'?-?pause)|MPs?"),
    (Region.MAGNETOSPHERE, r"(?i:magneto-?sphere|m'?-?sphere|msp)"),
    (Region.SOLAR_WIND, r"(?i:solar[ -]?wind)|SW"),
)
"""Regions and the names that they go by, in the order in which they are looked for."""

CURRENT_SHEET: Final = r"(?i:current ?sheets?)|CSs?"
"""Stands for the plasma sheet, unless the comment names another region: there are current sheets everywhere."""

ELSEWHERE: Final = (
    r"no|not|without|near|nearby|close to|approach\w*|towards?|outside|edge of|boundary of|before|prior to|after|post"
    r"|following|upstream of|downstream of|beyond"
)
DOUBT: Final = (
    r"possibl[ey]|probabl[ey]|potential(?:ly)?|likely|maybe|perhaps|or|candidate|suspected|unclear|partial(?:ly)?"
    r"|apparent(?:ly)?|may be|could be"
)

SIDES: Final[dict[Region, frozenset[Region]]] = {
    Region.BOW_SHOCK: frozenset({Region.SOLAR_WIND, Region.FORESHOCK, Region.MAGNETOSHEATH}),
    Region.MAGNETOPAUSE: frozenset({Region.MAGNETOSHEATH, Region.BOUNDARY_LAYER, Region.MAGNETOSPHERE}),
    Region.BOUNDARY_LAYER: frozenset({Region.MAGNETOSHEATH, Region.MAGNETOSPHERE}),
    Region.PLASMA_SHEET_BOUNDARY_LAYER: frozenset({Region.PLASMA_SHEET, Region.LOBE}),
}
"""What lies on either side of a boundary; it beats these where the comment speaks of a crossing."""

_BEATEN: Final = {
    Region.FORESHOCK: frozenset({Region.SOLAR_WIND}),
    Region.PLASMA_SHEET_BOUNDARY_LAYER: frozenset({Region.PLASMA_SHEET}),
}
_CROSSING: Final = re.compile(
    r"(?i)\b(?:cross\w*|cor+s+ing\w*|travers\w*|transition\w*|encounter\w*|passage)\b"
)
_PLACE: Final = r"(?:in|into|inside|within|at|with)\b"
_PIECES: Final = re.compile(rf"(?i)[,;]|\.(?=\s|$)|\b{_PLACE}")
_TIED: Final = re.compile(rf"(?i)\b({ELSEWHERE}|{DOUBT})\s+{_PLACE}")
_BEFORE: Final = re.compile(rf"(?i)\b(?:(?P<elsewhere>{ELSEWHERE})|(?P<doubt>{DOUBT}))\b")
_KEYWORD: Final = re.compile(
    "|".join(
        f"(?<![A-Za-z0-9])(?P<row{row}>{names})(?![A-Za-z0-9])" for row, (_, names) in enumerate(KEYWORDS)
    )
)
_SHEET: Final = re.compile(rf"(?<![A-Za-z0-9])(?:{CURRENT_SHEET})(?![A-Za-z0-9])")
_ROW: Final = re.compile(
    r"\s*(?P<start>\d{4}-\d\d-\d\d/\d\d:\d\d:\d\d) - (?P<end>\d{4}-\d\d-\d\d/\d\d:\d\d:\d\d)\s*,"
    r"(?P<merit>[^,]*),(?P<who>[^,]*),(?P<comment>.*)"
)
_LIST_BEGINS: Final = "START TIME"
_TABLE_COLUMNS: Final = ("starttime", "endtime", "discussion")


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says: intervals whose region is clear, and the others with the reason."""

    intervals: tuple[Interval, ...]
    refused: tuple[Refused, ...]


def region_of(comment: str) -> tuple[Region | None, str]:
    """Region that a comment names, or None and the reason: `no_region`, `two_regions` or `uncertain`."""
    crossing = _CROSSING.search(comment) is not None
    firm, doubtful = _named(comment, _KEYWORD)
    if firm | doubtful <= {Region.PLASMA_SHEET}:
        sheets = _named(comment, _SHEET)
        firm, doubtful = firm | sheets[0], doubtful | sheets[1]
    if not firm:
        return None, "uncertain" if doubtful else "no_region"
    region = _one_of(firm, crossing)
    if region is None:
        return None, "two_regions"
    if _one_of(firm | doubtful, crossing) is not region:
        return None, "uncertain"
    return region, ""


def _named(comment: str, keyword: re.Pattern[str]) -> tuple[frozenset[Region], frozenset[Region]]:
    """Regions that are named firmly, and those that are doubtful."""
    firm: set[Region] = set()
    doubtful: set[Region] = set()
    for piece in _PIECES.split(_TIED.sub(r"\1", comment)):
        for match in keyword.finditer(piece):
            row = match.lastgroup
            region = KEYWORDS[int(row.removeprefix("row"))][0] if row else Region.PLASMA_SHEET
            words = [one.lastgroup for one in _BEFORE.finditer(piece, 0, match.start())]
            if "elsewhere" in words:
                continue
            (doubtful if "doubt" in words or "?" in piece[match.end() :] else firm).add(region)
    return frozenset(firm), frozenset(doubtful)


def _one_of(regions: frozenset[Region], crossing: bool) -> Region | None:
    """The region that beats all others, or None."""
    for region in regions:
        beaten = _BEATEN.get(region, frozenset()) | (
            SIDES.get(region, frozenset()) if crossing else frozenset()
        )
        if regions - {region} <= beaten:
            return region
    return None


def read_sitl(path: Path) -> Report:
    """Read a report of any of the forms. Raises ArchiveError, which names the line."""
    lines = read_lines(path)
    name = str(path)
    rows = _table_rows(lines, name) if _is_table(lines) else _report_rows(lines, name)
    intervals: list[Interval] = []
    refused: list[Refused] = []
    for line, start, end, comment in rows:
        start_ns, end_ns = time_of(start, name, line), time_of(end, name, line)
        check_order(start_ns, end_ns, name, line)
        text = " ".join(comment.split())
        region, reason = region_of(text)
        if region is None:
            refused.append(Refused(start_ns, end_ns, text, f"{name}:{line}", reason))
        else:
            intervals.append(Interval(start_ns, end_ns, region, text, f"{name}:{line}"))
    if not intervals and not refused:
        raise ArchiveError(name, "holds no selections; expected is a SITL report or table")
    return Report(tuple(intervals), tuple(refused))


def is_sitl(path: Path) -> bool:
    """Whether a text file is a SITL report or table, and not an interval CSV. Raises ArchiveError."""
    lines = read_lines(path)
    return _is_table(lines) or any(line.strip().startswith(_LIST_BEGINS) for line in lines)


def _is_table(lines: Sequence[str]) -> bool:
    first = next(csv.reader(lines[:1]), [])
    return set(_TABLE_COLUMNS) <= {cell.strip().lower() for cell in first}


def _report_rows(lines: Iterable[str], path: str) -> list[tuple[int, str, str, str]]:
    rows: list[tuple[int, str, str, str]] = []
    listing = False
    for number, line in enumerate(lines, start=1):
        if line.strip().startswith(_LIST_BEGINS):
            listing = True
        elif listing and line.strip(" ,=\t\r\n"):
            match = _ROW.match(line)
            if match is None:
                raise ArchiveError(
                    path,
                    f"line {number}: {line.strip()[:60]!r} is no selection; "
                    "expected is YYYY-MM-DD/hh:mm:ss - YYYY-MM-DD/hh:mm:ss, FOM, ID, DISCUSSION",
                )
            rows.append((number, match["start"], match["end"], match["comment"].strip(" ,\t")))
    return rows


def _table_rows(lines: Sequence[str], path: str) -> list[tuple[int, str, str, str]]:
    reader = csv.reader(lines, strict=True)
    rows: list[tuple[int, str, str, str]] = []
    try:
        header = [cell.strip().lower() for cell in next(reader)]
        places = [header.index(name) for name in _TABLE_COLUMNS]
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ArchiveError(
                    path, f"line {reader.line_num}: {len(cells)} cells, but the header names {len(header)}"
                )
            start, end, comment = (cells[place] for place in places)
            rows.append((reader.line_num, start, end, comment))
    except csv.Error as error:
        raise ArchiveError(path, f"line {reader.line_num}: cannot be read as CSV: {error}") from None
    return rows
