"""Text in columns, a sample a line, as magnetometer arrays keep it (CARISMA, and others like it)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from monitor.decoders.base import (
    EARLIEST_NS,
    MAXIMUM_SAMPLES,
    check_times,
    parse_time_ns,
    station_code,
)
from monitor.errors import ArchiveError, DecodeError
from monitor.io.files.series import Grid, Rows, grid_of
from monitor.plugins import Options as PluginOptions
from monitor.plugins import Surroundings
from monitor.types import FloatArray, Message, SampleBlock, iso_time

_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]*)?"
# Columns of a fixed width: what is negative and long begins where its neighbour ends.
_VALUES = rf"((?:\s+{_NUMBER}|[-+][0-9]+(?:\.[0-9]*)?){{3}})(?:\s+([^\s0-9]))?"
_STAMPED = re.compile(rf"\s*([0-9]{{14}}){_VALUES}\s*", re.ASCII)
_SIX = (
    r"([0-9]{4})\s+([0-9]{1,2})\s+([0-9]{1,2})\s+([0-9]{1,2})\s+([0-9]{1,2})\s+([0-9]{1,2}(?:\.[0-9]{1,9})?)"
)
_IN_COLUMNS = re.compile(rf"\s*{_SIX}{_VALUES}\s*", re.ASCII)
_CELL = re.compile(_NUMBER)
_GOOD: Final = "."
_MISSING_nT: Final = 88_888.0
_LONGEST_HEADER: Final = 40
_LATEST_NS: Final = int(np.iinfo(np.int64).max)
_WHOLE = re.compile(r"\b(XYZ|HDZ|HEZ)\b")
_SINGLY = re.compile(r"\b(?:([A-Z][A-Z0-9]{1,7})\s+)?([XH])\s+(?:\1\s+)?([YDE])\s+(?:\1\s+)?(Z)\b")
_IN_NAME = re.compile(r"(?:[0-9]{8})?([A-Za-z][A-Za-z0-9]{1,7})[._]")

Components = Literal["XYZ", "HDZ", "HEZ"]


@dataclass(frozen=True, slots=True)
class _Head:
    """What the lines before the samples say."""

    station: str | None
    components: str | None


class ColumnText:
    """Reads text in columns: a time, three components in nT, and perhaps a flag, a line each.

    A time is `YYYYMMDDhhmmss`, as CARISMA writes it, or six columns from the year to the second. Where there is a flag,
    all but `.` marks what is missing, and so do 88888 and all beyond. D is the variation towards magnetic east in nT.
    The station is that of the options, of a header that begins with it or names it before its components, or of the
    file's name (`20120101GILL.F01`, `GILL_2012.txt`). Which components they are the header tells, or the options; the
    lines of CARISMA, which have a flag, are X Y Z.
    """

    name = "column_text"

    class Options(PluginOptions):
        """What the files do not say of themselves."""

        station: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,8}$")] | None = Field(
            None, description="The station of all files, where neither their header nor their name tells it."
        )
        components: Components | None = Field(
            None, description="What the three columns are, where the header does not tell it."
        )

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self.name = surroundings.name
        self._options = options

    def recognises(self, head: bytes) -> bool:
        """Whether the first line that could be a sample is one, and no other kind of text comes before it for long."""
        # The last line may be cut.
        lines = head.decode("latin-1").splitlines()[: _LONGEST_HEADER + 1]
        return any(_STAMPED.fullmatch(line) or _IN_COLUMNS.fullmatch(line) for line in lines)

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        """The blocks of a file, one for each stretch without a gap in its times; raise DecodeError for all else."""
        lines = message.payload.decode("latin-1").splitlines()
        pattern, first = _begin(lines)
        head = _head(lines[:first])
        station = self._options.station or head.station or _station_of(message.topic)
        if station is None:
            raise DecodeError("bad_topic", "neither header nor name tells the station; set its `station`")
        rows, values, flagged = _rows(lines, first, pattern)
        components = head.components or self._options.components or ("XYZ" if flagged else None)
        if components is None:
            raise DecodeError("no_component", "the header does not tell X Y Z or H D Z; set its `components`")
        if rows.times_ns.min() < EARLIEST_NS:
            raise DecodeError("time_out_of_range", f"{iso_time(int(rows.times_ns.min()))} is before 1990")
        try:
            grid = grid_of(rows, PurePosixPath(message.topic).name or "file")
        except ArchiveError as error:
            raise DecodeError("bad_step", str(error)) from None
        blocks = [
            SampleBlock(station, tuple(components), t0_ns, grid.step_ns, part)
            for t0_ns, part in _stretches(grid, values)
        ]
        for block in blocks:
            check_times(block.t0_ns, block.step_ns, block.count, message.received_ns)
        return blocks


def _begin(lines: Sequence[str]) -> tuple[re.Pattern[str], int]:
    """The form of the lines, and the first that has it."""
    for number, line in enumerate(lines[: _LONGEST_HEADER + 1]):
        for pattern in (_STAMPED, _IN_COLUMNS):
            if pattern.fullmatch(line):
                return pattern, number
    raise DecodeError("wrong_type", f"none of its first {_LONGEST_HEADER} lines is a time and three numbers")


def _head(lines: Sequence[str]) -> _Head:
    station: str | None = None
    components: str | None = None
    for line in lines:
        whole, singly = _WHOLE.search(line), _SINGLY.search(line)
        if singly:
            components = components or "".join(singly.group(2, 3, 4))
            station = station or singly[1]
        if whole:
            components = components or whole[1]
    words = lines[0].split() if lines else []
    # A line about the station: its code, its place, …
    if (
        station is None
        and len(words) > 1
        and re.fullmatch(r"[A-Z][A-Z0-9]{1,7}", words[0])
        and _CELL.fullmatch(words[1])
    ):
        station = words[0]
    return _Head(station, components)


def _station_of(topic: str) -> str | None:
    match = _IN_NAME.match(PurePosixPath(topic).name)
    return station_code(match[1]) if match else None


def _rows(lines: Sequence[str], first: int, pattern: re.Pattern[str]) -> tuple[Rows, FloatArray, bool]:
    """Times, values (3, n) with NaN for what is missing, and whether there are flags."""
    times: list[int] = []
    numbers: list[int] = []
    cells: list[list[float]] = []
    flagged = False
    for number, line in enumerate(lines[first:], start=first + 1):
        if not line.strip():
            continue
        match = pattern.fullmatch(line)
        if match is None:
            raise DecodeError(
                "wrong_type", f"line {number} is {line.strip()[:60]!r}: expected a time and three numbers"
            )
        *written, values, flag = match.groups()
        times.append(_time_ns(written, number))
        numbers.append(number)
        row = [float(cell) for cell in _CELL.findall(values)]
        flagged |= flag is not None
        cells.append(row if flag in (None, _GOOD) else [np.nan] * 3)
    if len(cells) > MAXIMUM_SAMPLES:
        raise DecodeError("too_large", f"the file holds {len(cells)} samples; allowed are {MAXIMUM_SAMPLES}")
    array = np.array(cells, dtype=np.float64).T
    array[np.abs(array) >= _MISSING_nT] = np.nan
    return Rows(np.array(times, dtype=np.int64), np.array(numbers, dtype=np.int64)), array, flagged


def _time_ns(written: Sequence[str], number: int) -> int:
    if len(written) == 1:
        stamp = written[0]
        written = (stamp[:4], *(stamp[at : at + 2] for at in range(4, 14, 2)))
    year, month, day, hour, minute, second = written
    seconds, dot, decimals = second.partition(".")
    text = f"{year}-{month:>02}-{day:>02}T{hour:>02}:{minute:>02}:{seconds:>02}{dot}{decimals}"
    try:
        time_ns = parse_time_ns(text)
    except DecodeError as error:
        raise DecodeError("bad_time", f"line {number}: {error.detail}") from None
    if abs(time_ns) > _LATEST_NS:
        raise DecodeError("bad_time", f"line {number}: the year {year} is beyond what can be counted")
    return time_ns


def _stretches(grid: Grid, values: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Begin and values (3, n) of each run of samples that follow each other."""
    breaks = np.flatnonzero(np.diff(grid.index) > 1) + 1
    for kept, index in zip(np.split(grid.kept, breaks), np.split(grid.index, breaks), strict=True):
        yield grid.t0_ns + int(index[0]) * grid.step_ns, values[:, kept]
