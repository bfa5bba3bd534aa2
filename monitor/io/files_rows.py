"""The cells of a text archive as times and numbers; every complaint names the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from monitor.decoders.base import Limits, beyond_limits, parse_time_ns
from monitor.errors import ArchiveError, DecodeError
from monitor.types import FloatArray, IntArray

_MISSING_WORDS: Final = frozenset({"", "nan", "na", "n/a", "null", "none"})
_LATEST_NS: Final = np.iinfo(np.int64).max


def parse_times(cells: Sequence[str], lines: Sequence[int], path: str) -> IntArray:
    """Times (ns UTC) of ISO-8601 cells; a blank may stand for the T. Raises ArchiveError."""
    times = np.empty(len(cells), dtype=np.int64)
    for place, cell in enumerate(cells):
        try:
            time_ns = parse_time_ns(cell.strip().replace(" ", "T", 1))
        except DecodeError as error:
            raise ArchiveError(
                path, f"line {lines[place]}: the time cannot be read: {error.detail}"
            ) from None
        if abs(time_ns) > _LATEST_NS:
            raise ArchiveError(path, f"line {lines[place]}: the time {cell[:40]!r} is beyond the year 2261")
        times[place] = time_ns
    return times


def parse_numbers(cells: Sequence[str], column: str, lines: Sequence[int], path: str) -> FloatArray:
    """Numbers (n,) of the cells of one column; an empty cell is NaN. Raises ArchiveError."""
    try:
        return np.array([float(cell) if cell else math.nan for cell in cells], dtype=np.float64)
    except ValueError:
        return np.array(
            [_number(cell, column, line, path) for cell, line in zip(cells, lines, strict=True)],
            dtype=np.float64,
        )


def _number(cell: str, column: str, line: int, path: str) -> float:
    if cell.strip().lower() in _MISSING_WORDS:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise ArchiveError(
            path, f"line {line}: {column} is {cell[:40]!r}; write a number or nothing"
        ) from None


def check_values(
    components: Sequence[str], values: FloatArray, limits: Limits, lines: Sequence[int], path: str
) -> None:
    """Refuse values (c, n) beyond their limits: live messages with them would be refused too. Raises ArchiveError."""
    place = beyond_limits(components, values, limits)
    if place is not None:
        row, index = place
        low, high = limits[components[row]]
        raise ArchiveError(
            path,
            f"line {lines[index]}: {components[row]} is {values[row, index]:g}; allowed are {low:g} to {high:g}",
        )
