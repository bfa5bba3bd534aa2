"""The line of `meta`, which says what the columns of a sensor's data are.

`# MagPyBin <sensor> [keys] [elements] [units] [multipliers] <pack> <size>`: keys are the names of MagPy's columns,
elements what the sensor calls them. A value is what stands in the data divided by its multiplier, in its unit: LEMI
sends micro-teslas with a multiplier of 0.001, which are nanoteslas by that rule.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from monitor.errors import DecodeError

_LARGEST_BYTES: Final = 4096
_MOST_COLUMNS: Final = 64
# Some write blanks behind the commas, and some units have one in them (`deg C`).
_LINE = re.compile(
    r"#?\s*MagPyBin\s+(\S+)\s+\[([^\]]*)\]\s+\[([^\]]*)\]\s+\[([^\]]*)\]\s+\[([^\]]*)\]\s+(\S.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Meta:
    """What one sensor's columns are. `text` is the line as it came, which is also how it is kept.

    Names that are left out are empty, and a multiplier that is none is NaN.
    """

    text: str
    keys: tuple[str, ...]
    elements: tuple[str, ...]
    units: tuple[str, ...]
    multipliers: tuple[float, ...]

    @property
    def width(self) -> int:
        """How many fields a row has behind its time: a key that ends in `time` is a time itself, of seven fields."""
        return sum(TIME_FIELDS if is_time(key) else 1 for key in self.keys)

    def fits(self, count: int) -> bool:
        """Whether rows of `count` fields behind the time may be of this sensor.

        What MARTAS reads out of files and tables has one field for every key, a second time included.
        """
        return count in (self.width, len(self.keys))

    def place(self, number: int, count: int) -> int:
        """Which field behind the time the `number`-th key has, in rows of `count` fields."""
        if count == len(self.keys):
            return number
        return number + (TIME_FIELDS - 1) * sum(is_time(key) for key in self.keys[:number])


TIME_FIELDS: Final = 7
"""Year, month, day, hour, minute, second, microsecond."""


def is_time(key: str) -> bool:
    """Whether a key is that of a second time."""
    return key.endswith("time")


def parse_meta(payload: bytes, sensor: str) -> Meta:
    """Read a line of `meta`; DecodeError (bad_meta) where it is none, or that of another sensor."""
    try:
        text = payload.decode("utf-8").strip() if len(payload) <= _LARGEST_BYTES else ""
    except UnicodeDecodeError:
        text = ""
    match = _LINE.fullmatch(text)
    if match is None:
        raise DecodeError(
            "bad_meta", f"{sensor}: found {payload[:80]!r} instead of # MagPyBin SENSOR [KEYS] …"
        )
    name, *lists, _pack = match.groups()
    if name != sensor:
        raise DecodeError("bad_meta", f"{name[:60]!r} in the line, {sensor} in the topic")
    keys, elements, units, factors = ([cell.strip() for cell in part.split(",")] for part in lists)
    if not keys[0] or len(keys) > _MOST_COLUMNS:
        raise DecodeError("bad_meta", f"{sensor}: found {len(keys)} keys: {text[:120]!r}")
    # Some sensors have too few names or too many, and a multiplier of 0 for their second time: what is not there is
    # unknown, which matters only to columns that are used.
    missing = [""] * len(keys)
    elements, units, factors = ([*cells, *missing][: len(keys)] for cells in (elements, units, factors))
    return Meta(text, tuple(keys), tuple(elements), tuple(units), tuple(map(_multiplier, factors)))


def _multiplier(text: str) -> float:
    """The number, or NaN where nothing can be divided by it."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and value else math.nan
