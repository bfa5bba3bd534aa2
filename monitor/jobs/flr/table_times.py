"""The times of a table's windows, in the forms in which they are found."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from typing import Final

import numpy as np

from monitor.decoders.base import parse_time_ns
from monitor.errors import DecodeError
from monitor.jobs.flr.mapping import TableMapping
from monitor.jobs.flr.table_files import Table
from monitor.types import SECOND_NS, FloatArray, IntArray, iso_time

EARLIEST_YEAR, LATEST_YEAR = 1980, 2100
"""Years in which a window may end: a form of time that is stated wrongly gives others."""

_DATENUM_1970: Final = 719_529.0
_DAY_S: Final = 86_400.0
_SHARE_OF_WINDOW: Final = {"start": 1.0, "centre": 0.5, "end": 0.0}


def window_ends_ns(table: Table, mapping: TableMapping) -> IntArray:
    """Ends of the windows (ns UTC), shape (n,).

    Epoch seconds are rounded to microseconds, datenums and days of the year to seconds: what such numbers can tell.
    Raises ArchiveError for a time that cannot be read, or lies outside 1980 to 2100.
    """
    stated = mapping.time
    if stated.form == "iso8601":
        times_ns = _iso_times(table, stated.column)
    else:
        values = table.numbers(stated.column)
        if stated.form == "epoch_seconds":
            seconds, per_second = values, 1e6
        elif stated.form == "datenum":
            seconds, per_second = (values - _DATENUM_1970) * _DAY_S, 1.0
        else:
            seconds, per_second = _year_starts_s(table, mapping) + _days(table, mapping) * _DAY_S, 1.0
        low, high = _range_s()
        wrong = ~((seconds >= low) & (seconds < high))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise table.fault(row, stated.column, f"is {values[row]:.10g}, {_outside(stated.form)}")
        times_ns = np.rint(seconds * per_second).astype(np.int64) * round(SECOND_NS / per_second)
    after = round(mapping.window_s * SECOND_NS * _SHARE_OF_WINDOW[stated.marks])
    ends: IntArray = times_ns + after
    return ends


def _iso_times(table: Table, column: str) -> IntArray:
    cells = table.cells[column]
    if cells.dtype.kind == "M":
        cells = np.datetime_as_string(cells.astype("datetime64[ns]"))
    low, high = _range_s()
    times = np.empty(len(table), dtype=np.int64)
    for row, cell in enumerate(cells.astype(str).tolist()):
        try:
            time_ns = parse_time_ns(cell.strip().replace(" ", "T", 1))
        except DecodeError as error:
            raise table.fault(row, column, f"cannot be read as a time: {error.detail}") from None
        if not low * SECOND_NS <= time_ns < high * SECOND_NS:
            raise table.fault(row, column, f"is {cell.strip()[:40]!r}, {_outside('iso8601')}")
        times[row] = time_ns
    return times


def _year_starts_s(table: Table, mapping: TableMapping) -> FloatArray:
    """Seconds from 1970 to the beginning of each row's year, shape (n,)."""
    years = _years(table, mapping)
    starts = {year: datetime(int(year), 1, 1, tzinfo=UTC).timestamp() for year in np.unique(years).tolist()}
    return np.array([starts[year] for year in years.tolist()])


def _years(table: Table, mapping: TableMapping) -> FloatArray:
    stated = mapping.time.year
    column = "time.year in the mapping" if stated is None or stated.column is None else stated.column
    if stated is not None and stated.column is not None:
        years = table.numbers(stated.column)
    else:
        years = np.full(len(table), np.nan if stated is None or stated.value is None else stated.value)
    wrong = ~((years >= EARLIEST_YEAR) & (years < LATEST_YEAR) & (years == np.floor(years)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise table.fault(
            row,
            column,
            f"is {years[row]:g}; a whole year from {EARLIEST_YEAR} to {LATEST_YEAR - 1} is needed",
        )
    return years


def _days(table: Table, mapping: TableMapping) -> FloatArray:
    """Days since the beginning of the year, shape (n,)."""
    column, years = mapping.time.column, _years(table, mapping)
    days = table.numbers(column)
    longest = np.array([366.0 if calendar.isleap(int(year)) else 365.0 for year in years.tolist()])
    # The last midnight of the year may be written as the end of its last day.
    wrong = ~((days >= 1.0) & (days <= longest + 1.0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise table.fault(
            row,
            column,
            f"is {days[row]:.10g}; a day of the year {years[row]:.0f} is from 1.0 to {longest[row] + 1:.1f}",
        )
    day: FloatArray = days - 1.0
    return day


def _range_s() -> tuple[float, float]:
    low, high = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (EARLIEST_YEAR, LATEST_YEAR))
    return low, high


def _outside(form: str) -> str:
    low, high = _range_s()
    return (
        f"which as {form} is not from {iso_time(int(low) * SECOND_NS)} to {iso_time(int(high) * SECOND_NS)}; "
        "is time.form right?"
    )
