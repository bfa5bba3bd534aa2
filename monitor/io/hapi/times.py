"""Times as HAPI writes them: a part of ISO 8601, UTC only, with month and day or with the day of the year.

Whatever stands at the end may be left out (`2017Z`, `2017-250T12Z`), and so may the `Z`. All times that are given
out have milliseconds and one length.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from monitor.types import SECOND_NS, Json

TIME_LENGTH: Final = 24
NO_TIME: Final = "0000-00-00T00:00:00.000Z"
"""Stands for an unknown time: as long as a known one, and none."""

_TIME = re.compile(
    r"(\d{4})(?:-(?:(\d{3})|(\d{2})(?:-(\d{2}))?))?"
    r"(?:T(\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d*))?)?)?)?Z?",
    re.ASCII,
)
_PRODUCT_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
# What a row of the store can have for a time.
_LARGEST_NS: Final = (1 << 63) - 1
_MS_NS: Final = SECOND_NS // 1000


def parse_time_ns(text: str) -> int:
    """The time (ns UTC) of a text; decimals beyond the ninth are cut, a leap second is the midnight behind it.

    Times that 64 bits cannot hold are the first or the last that they can.

    Raises
    ------
    ValueError
        For whatever is no time, or not in HAPI's part of ISO 8601.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("no time of HAPI")
    year, of_year, month, day, hour, minute, second, decimals = match.groups()
    if hour is not None and of_year is None and day is None:
        raise ValueError("a time of day without a day")
    begin = date(int(year), int(month or 1), int(day or 1)).toordinal()
    if of_year is not None:
        begin += int(of_year) - 1
        if int(of_year) == 0 or date.fromordinal(begin).year != int(year):
            raise ValueError("no such day of the year")
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    fraction_ns = int((decimals or "0")[:9].ljust(9, "0"))
    rest_s = hours * 3600 + minutes * 60 + seconds
    leaps = (hours, minutes, seconds) == (23, 59, 60)
    ends_day = hours == 24 and rest_s == 86_400 and fraction_ns == 0
    if not (leaps or ends_day) and (hours > 23 or minutes > 59 or seconds > 59):
        raise ValueError("no such time of day")
    time_ns = ((begin - _EPOCH_DAY) * 86_400 + rest_s) * SECOND_NS + (0 if leaps else fraction_ns)
    return min(max(time_ns, -_LARGEST_NS), _LARGEST_NS)


def time_text(time_ns: int) -> str:
    """A time as it is given out: `2017-09-07T12:00:00.000Z`."""
    milliseconds = time_ns // _MS_NS
    whole = (_EPOCH + timedelta(seconds=milliseconds // 1000)).isoformat()
    return f"{whole[:19]}.{milliseconds % 1000:03d}Z"


def same_length(text: Json) -> str | None:
    """A time of a product (`2017-09-07T12:00:00Z`, with or without decimals) as it is given out; None for no time."""
    match = _PRODUCT_TIME.fullmatch(text) if isinstance(text, str) else None
    return None if match is None else f"{match[1]}.{(match[2] or '')[:3].ljust(3, '0')}Z"


def duration_text(seconds: float) -> str:
    """A duration in ISO 8601: `PT30M`, `PT1H`, `PT4.5S`."""
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    parts = [(f"{hours}H", hours), (f"{minutes}M", minutes), (f"{rest / 1000:g}S", rest)]
    return "PT" + ("".join(text for text, value in parts if value) or "0S")
