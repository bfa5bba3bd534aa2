"""The lines of `data`: `Y,M,D,h,m,s,us,v1,…`, several joined by `;`.

What can be read without `meta` is read and checked here, so that what is kept for later is known to be good.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from monitor.decoders.base import MAXIMUM_SAMPLES, check_times
from monitor.decoders.martas.meta import TIME_FIELDS
from monitor.errors import DecodeError
from monitor.types import SECOND_NS, FloatArray, IntArray

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[0-9]{1,6}")
_MISSING: Final = frozenset({"", "-", "nan", "+nan", "-nan", "none", "null"})
# The obsdaq of MARTAS stamps a sample with Gauss's birthday where its GPS gives no date: a time that is not known.
_TIME_UNKNOWN: Final = ("1777", "4", "30")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a message: times (ns UTC), and the fields behind them, of the same number in every row."""

    times_ns: IntArray
    fields: Sequence[Sequence[str]]
    received_ns: int

    @property
    def width(self) -> int:
        """How many fields each row has behind its time."""
        return len(self.fields[0])


def parse_rows(payload: bytes, sensor: str, received_ns: int) -> Rows:
    """Read a payload of `data`.

    Raises DecodeError: empty, bad_row, bad_time, time_out_of_range, too_large. Rows without a time (an empty one, or
    one whose sender knew none) hold nothing, and are left out.
    """
    try:
        text = payload.decode("ascii")
    except UnicodeDecodeError:
        raise DecodeError("bad_row", f"{sensor}: found {payload[:40]!r}, which is no ASCII") from None
    if text.count(";") >= MAXIMUM_SAMPLES:
        raise DecodeError("too_large", f"{sensor}: more than {MAXIMUM_SAMPLES} rows in one message")
    lines = [cells for line in text.split(";") if (cells := _cells(line))]
    if not lines:
        raise DecodeError("empty", f"{sensor}: the message holds no row")
    width = len(lines[0])
    for cells in lines:
        if len(cells) != width or width <= TIME_FIELDS:
            shown = ",".join(cells)[:80]
            raise DecodeError("bad_row", f"{sensor}: found {len(cells)} fields, {width} at first: {shown!r}")
    times = [time_of(cells[:TIME_FIELDS], sensor) for cells in lines]
    for time_ns in (min(times), max(times)):
        check_times(time_ns, SECOND_NS, 1, received_ns)
    return Rows(np.array(times, dtype=np.int64), [cells[TIME_FIELDS:] for cells in lines], received_ns)


def _cells(line: str) -> list[str]:
    cells = [cell.strip() for cell in line.split(",")]
    if cells == [""] or tuple(cells[:3]) == _TIME_UNKNOWN:
        return []
    return cells


def time_of(cells: Sequence[str], sensor: str) -> int:
    """Seven fields as a time (ns UTC); a year of two digits is one of this century. Raises DecodeError (bad_time)."""
    if not all(_WHOLE.fullmatch(cell) for cell in cells):
        raise DecodeError("bad_time", f"{sensor}: found the time {','.join(cells)[:60]!r}")
    year, month, day, hour, minute, second, micros = (int(cell) for cell in cells)
    if hour > 23 or minute > 59 or second > 59:
        raise DecodeError("bad_time", f"{sensor}: found {','.join(cells)!r}: no such time of day")
    try:
        days = date(year + 2000 if year < 100 else year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise DecodeError("bad_time", f"{sensor}: found {','.join(cells)!r}: no such day") from None
    return (days * 86400 + hour * 3600 + minute * 60 + second) * SECOND_NS + micros * 1000


def column(rows: Rows, place: int, sensor: str) -> FloatArray:
    """One field of every row as numbers; NaN where it is missing. Raises DecodeError (bad_row)."""
    values = np.full(len(rows.fields), np.nan)
    for number, cells in enumerate(rows.fields):
        cell = cells[place]
        if _NUMBER.fullmatch(cell):
            values[number] = float(cell)
        elif cell.lower() not in _MISSING:
            raise DecodeError("bad_row", f"{sensor}: found {cell[:40]!r} where a number belongs")
    return values
