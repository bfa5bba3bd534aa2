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
    """What one sensor's columns are. `text` is the line as it came, which is also how it is kept."""

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
    if not keys[0] or len(keys) > _MOST_COLUMNS or len(keys) != len(factors):
        raise DecodeError(
            "bad_meta", f"{sensor}: {len(keys)} keys with {len(factors)} multipliers: {text[:120]!r}"
        )
    # Elements and units are only names: what is left out is unknown.
    missing = [""] * len(keys)
    return Meta(
        text,
        tuple(keys),
        tuple([*elements, *missing][: len(keys)]),
        tuple([*units, *missing][: len(keys)]),
        tuple(_multiplier(factor, sensor) for factor in factors),
    )


def _multiplier(text: str, sensor: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not math.isfinite(value) or value == 0.0:
        raise DecodeError("bad_meta", f"{sensor}: found the multiplier {text[:40]!r}")
    return value
