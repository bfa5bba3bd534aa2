"""IAGA-2002, the text format of the observatories: header lines that end in `|`, then DATE TIME DOY and the elements.

D and I come in minutes of arc and leave in degrees; all else is nT; 99999 and 88888 are gaps. U V W are the raw axes
of a sensor and stay what they are: nobody knows from the file how they point, so no H is made of them. Where a file has
D, I and F, H and Z are made of these.
Format: https://www.ncei.noaa.gov/services/world-data-system/v-dat-working-group/iaga-2002-data-exchange-format
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from monitor.decoders.base import LARGEST_FIELD_nT, Limits, add_horizontal, missing_to_nan, station_code
from monitor.errors import ArchiveError
from monitor.io.files.rows import check_values, parse_numbers, parse_times
from monitor.io.files.series import Rows, SourceSeries, grid_of, series_on_grid
from monitor.types import FloatArray

ANGLES: Final = frozenset({"D", "I"})
_FIELD = (-LARGEST_FIELD_nT, LARGEST_FIELD_nT)
_LIMITS: Final[Limits] = {
    **dict.fromkeys("XYZHEFSUVW", _FIELD),
    "D": (-360.0, 360.0),
    "I": (-90.0, 90.0),
}
_LEADING_COLUMNS: Final = 3


def is_iaga2002(text: str) -> bool:
    """Whether the first line that is not empty announces the format."""
    first = text.lstrip().split("\n", 1)[0].upper()
    return first.startswith("FORMAT") and "IAGA-2002" in first


def read_iaga2002(text: str, path: str, code: str | None) -> tuple[list[SourceSeries], list[str]]:
    """Read an IAGA-2002 file; `code` is the station that the operator named, which wins over the header's.

    Returns the series and the notes for the operator. Raises ArchiveError.
    """
    station, elements, first_row = _read_header(text, path)
    rows, lines = _read_rows(text, first_row, len(elements), path)
    columns = tuple(zip(*rows, strict=True))
    picked = [(place, name) for place, name in enumerate(elements) if name in _LIMITS]
    if not picked:
        raise ArchiveError(path, f"reports {' '.join(elements)}; known are {' '.join(_LIMITS)}")
    ignored = [name for name in elements if name not in _LIMITS]
    notes = [f"{path}: ignored the elements {' '.join(ignored)}"] if ignored else []
    components = tuple(name for _, name in picked)
    values = np.stack(
        [parse_numbers(columns[_LEADING_COLUMNS + place], name, lines, path) for place, name in picked]
    )
    values = _to_degrees(components, missing_to_nan(values))
    check_values(components, values, _LIMITS, lines, path)
    derived = dict(zip(components, values, strict=True))
    add_horizontal(derived)
    components, values = tuple(derived), np.stack(list(derived.values()))
    times_ns = parse_times([f"{day}T{time}" for day, time in zip(*columns[:2], strict=True)], lines, path)
    grid = grid_of(Rows(times_ns, np.array(lines, dtype=np.int64)), path)
    source = code if code is not None else station
    if source is None:
        raise ArchiveError(path, "its IAGA CODE is not of 2 to 8 letters or digits; write CODE=FILE")
    angles = ANGLES.intersection(components)
    series = series_on_grid(grid, values, source=source, components=components, path=path, angles=angles)
    return series, notes + grid.notes(path)


def _read_header(text: str, path: str) -> tuple[str | None, tuple[str, ...], int]:
    """Station, elements, and the index of the first line of data."""
    station: str | None = None
    written = ""
    for number, line in enumerate(text.splitlines()):
        content = line.rstrip().removesuffix("|")
        if content.lstrip().upper().startswith("IAGA CODE"):
            written = content.split(maxsplit=2)[2].strip() if len(content.split()) > 2 else ""
            station = station_code(written)
        names = content.split()
        if [name.upper() for name in names[:_LEADING_COLUMNS]] == ["DATE", "TIME", "DOY"]:
            # The columns are named by code and element: LLOU, LLONUL.
            elements = tuple(name.upper().removeprefix(written.upper()) for name in names[_LEADING_COLUMNS:])
            if not elements:
                break
            return station, elements, number + 1
    raise ArchiveError(path, "says IAGA-2002, but no line names the columns (DATE TIME DOY …)")


def _read_rows(text: str, first: int, elements: int, path: str) -> tuple[list[list[str]], list[int]]:
    rows: list[list[str]] = []
    lines: list[int] = []
    for number, line in enumerate(text.splitlines()[first:], start=first + 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != _LEADING_COLUMNS + elements:
            raise ArchiveError(
                path,
                f"line {number}: {len(cells)} columns, but the header names {_LEADING_COLUMNS + elements}",
            )
        rows.append(cells)
        lines.append(number)
    if not rows:
        raise ArchiveError(path, "holds no rows of data")
    return rows, lines


def _to_degrees(components: Sequence[str], values: FloatArray) -> FloatArray:
    scale: FloatArray = np.array([1.0 / 60.0 if name in ANGLES else 1.0 for name in components])
    degrees: FloatArray = values * scale[:, np.newaxis]
    return degrees
