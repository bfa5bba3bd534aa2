"""CSV archives: a `time` column (ISO 8601) and columns of one station, of several, or of one spacecraft.

Columns are `STATION_COMPONENT` (`PEL_H`), a component alone (`H`, `x`, `Bx`; then the file is one station's), or the
station's code before the component (`AIAX`) where the file's name or a second column has the same code. The unit is
nT throughout, also of D (the variation towards magnetic east). A spacecraft's columns are those of the native message;
its times are the begins of the samples; what is uneven, or faster than a sample a second, comes to the grid of 4.5 s.
Empty cells and the marks 99999 and 88888 are gaps; lines that begin with # before the header are comments.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import numpy as np

from monitor.decoders.base import GROUND_LIMITS, missing_to_nan, station_code
from monitor.decoders.native import CRAFT_LIMITS, craft_fill_to_nan, derive_totals
from monitor.errors import ArchiveError
from monitor.io.files.craft import CraftSamples, in_order, is_even, to_grid, usual_step_ns
from monitor.io.files.rows import check_values, parse_numbers, parse_times
from monitor.io.files.series import Rows, SourceSeries, grid_of, series_on_grid
from monitor.types import Domain, FloatArray, IntArray

_GROUND_COLUMNS: Final[Mapping[str, str]] = {
    **{name: name for name in GROUND_LIMITS},
    "BX": "X",
    "BY": "Y",
    "BZ": "Z",
}
_CRAFT_COLUMNS: Final[Mapping[str, str]] = {name.upper(): name for name in CRAFT_LIMITS}
_CRAFT_ONLY: Final = frozenset(_CRAFT_COLUMNS) - frozenset(_GROUND_COLUMNS)
_WITH_STATION = re.compile(r"([A-Za-z0-9]{2,8})_([A-Za-z])")
_STATION_BEFORE = re.compile(r"([A-Z][A-Z0-9]{1,7})([XYZHDEF])")
_LEADING_CODE = re.compile(r"([A-Za-z0-9]{2,8})(?:[_.]|$)")


@dataclass(frozen=True, slots=True)
class _Table:
    """The text of a file, cell by cell, column by column; `lines` are the numbers of the rows' lines."""

    path: str
    header: tuple[str, ...]
    columns: tuple[Sequence[str], ...]
    lines: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Subject:
    """A source of the file, and its components with the columns they are in."""

    source: str
    domain: Domain
    columns: Mapping[str, int]


def read_csv(
    text: str, path: str, code: str | None, craft: Collection[str], header: Sequence[str] = ()
) -> tuple[list[SourceSeries], list[str]]:
    """Read a CSV file; `code` is the source that the operator named, `craft` are the known spacecraft.

    `header` names the columns of a file that has no header.

    Returns the series and the notes for the operator. Raises ArchiveError.
    """
    table = _read_table(text, path, tuple(header))
    time_column = next((i for i, name in enumerate(table.header) if name.lower() == "time"), None)
    if time_column is None:
        found = ", ".join(table.header)[:120]
        what = "name the column of ISO-8601 times so"
        if len(table.header) == 1:
            what += ", or switch on a plugin that reads such a file (column_text reads text in columns)"
        raise ArchiveError(path, f"has no column `time`, but {found}; {what}")
    subjects = _craft_subject(table, code, craft) or _ground_subjects(table, code)
    used = {time_column, *(column for subject in subjects for column in subject.columns.values())}
    ignored = [name for column, name in enumerate(table.header) if column not in used]
    notes = [f"{path}: ignored the columns {', '.join(ignored)[:200]}"] if ignored else []
    times_ns = parse_times(table.columns[time_column], table.lines, path)
    if subjects[0].domain is Domain.CRAFT:
        kept, repeated = in_order(times_ns, path)
        if not is_even(times_ns[kept]):
            return _on_grid(table, subjects[0], times_ns, kept), [*notes, *repeated]
    grid = grid_of(Rows(times_ns, np.array(table.lines, dtype=np.int64)), path)
    notes += grid.notes(path)
    series: list[SourceSeries] = []
    for subject in subjects:
        components, values = _values(table, subject)
        series += series_on_grid(
            grid, values, source=subject.source, components=components, path=path, domain=subject.domain
        )
    return series, notes


def _on_grid(table: _Table, subject: _Subject, times_ns: IntArray, kept: IntArray) -> list[SourceSeries]:
    """A spacecraft's samples on the grid of 4.5 s."""
    components, values = _values(table, subject)
    middle_ns = times_ns[kept] + usual_step_ns(times_ns[kept], table.path) // 2
    return to_grid(CraftSamples(middle_ns, components, values[:, kept]), subject.source, table.path)


def _read_table(text: str, path: str, header: tuple[str, ...]) -> _Table:
    reader = csv.reader(text.splitlines())
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if not header:
                if row and not row[0].startswith("#"):
                    header = tuple(name.strip() for name in row)
            elif row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ArchiveError(path, f"line {reader.line_num}: cannot be read as CSV: {error}") from None
    if not rows:
        raise ArchiveError(path, "holds no rows of data")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise ArchiveError(path, f"line {line}: {len(row)} cells, but the header names {len(header)}")
    return _Table(path, header, tuple(zip(*rows, strict=True)), lines)


def _values(table: _Table, subject: _Subject) -> tuple[tuple[str, ...], FloatArray]:
    components = tuple(subject.columns)
    values = np.stack(
        [
            parse_numbers(table.columns[column], table.header[column], table.lines, table.path)
            for column in subject.columns.values()
        ]
    )
    if subject.domain is Domain.GROUND:
        values = missing_to_nan(values)
        check_values(components, values, GROUND_LIMITS, table.lines, table.path)
        return components, values
    values = craft_fill_to_nan(values)
    check_values(components, values, CRAFT_LIMITS, table.lines, table.path)
    components, values = derive_totals(components, values)
    check_values(components, values, CRAFT_LIMITS, table.lines, table.path)
    return components, values


def _craft_subject(table: _Table, code: str | None, craft: Collection[str]) -> list[_Subject]:
    """The one spacecraft of the file, or nothing where it is of the ground."""
    columns: dict[str, int] = {}
    for place, name in enumerate(table.header):
        if name.upper() in _CRAFT_COLUMNS:
            columns.setdefault(_CRAFT_COLUMNS[name.upper()], place)
    source = code if code is not None and code in craft else None
    if code is None:
        source = next(
            (one for one in sorted(craft, key=len, reverse=True) if _begins_with(table.path, one)), None
        )
        if source is None and len(craft) == 1 and _only_of_craft(table.header):
            (source,) = craft
    if source is None:
        return []
    if not columns:
        raise ArchiveError(table.path, f"has no column of a spacecraft ({' '.join(CRAFT_LIMITS)})")
    return [_Subject(source, Domain.CRAFT, columns)]


def _begins_with(path: str, craft: str) -> bool:
    return re.match(rf"{re.escape(craft)}(?:[_.]|$)", PurePath(path).name.upper()) is not None


def _only_of_craft(header: Sequence[str]) -> bool:
    """Whether there are columns that only a spacecraft has, and none that only a station has."""
    names = {name.upper() for name in header}
    return bool(names & _CRAFT_ONLY) and not names & set(GROUND_LIMITS)


def _ground_subjects(table: _Table, code: str | None) -> list[_Subject]:
    own: dict[str, int] = {}
    stations: dict[str, dict[str, int]] = {}
    tokens = set(re.split(r"[-_.]", PurePath(table.path).name.upper())) | {code}
    before = [_STATION_BEFORE.fullmatch(name) for name in table.header]
    shared = Counter(match[1] for match in before if match)
    for place, name in enumerate(table.header):
        upper = name.upper()
        written = _WITH_STATION.fullmatch(name)
        joined = before[place]
        if upper in _GROUND_COLUMNS:
            own.setdefault(_GROUND_COLUMNS[upper], place)
        elif written and written[2].upper() in GROUND_LIMITS:
            stations.setdefault(written[1].upper(), {}).setdefault(written[2].upper(), place)
        elif joined and (joined[1] in tokens or shared[joined[1]] > 1):
            stations.setdefault(joined[1], {}).setdefault(joined[2], place)
    stations = _named(table, code, own, stations)
    return [_Subject(source, Domain.GROUND, columns) for source, columns in stations.items()]


def _named(
    table: _Table, code: str | None, own: dict[str, int], stations: dict[str, dict[str, int]]
) -> dict[str, dict[str, int]]:
    """The stations of a file under the names that they shall have: what the operator says wins."""
    if code is not None:
        if own:
            return {code: own}
        if code in stations:
            return {code: stations[code]}
        if len(stations) > 1:
            found = ", ".join(stations)
            raise ArchiveError(table.path, f"holds the stations {found}; {code}= names a file of one station")
        if stations:
            (columns,) = stations.values()
            return {code: columns}
    elif own:
        match = _LEADING_CODE.match(PurePath(table.path).name)
        source = station_code(match[1]) if match else None
        if source is None:
            raise ArchiveError(table.path, "its name does not begin with a station code; write CODE=FILE")
        return {source: own, **{name: columns for name, columns in stations.items() if name != source}}
    if stations:
        return stations
    if _only_of_craft(table.header):
        raise ArchiveError(table.path, "looks like a spacecraft's; name it with --craft ID, and ID=FILE")
    found = ", ".join(table.header)[:120]
    raise ArchiveError(table.path, f"has no column of a known component, but {found}; {_EXPECTED}")


_EXPECTED: Final = "expected are columns such as PEL_H, or H E Z, X Y Z, Bx By Bz"
