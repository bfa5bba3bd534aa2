"""Labelled intervals: what somebody says a spacecraft was in, from when to when.

An interval CSV has the columns `start`, `end` and `label` (one of SW FS BS MSH MP BL MSP PS PSBL LOBE), and `craft` where
the labels are not for every spacecraft; lines that begin with # are comments. Times are ISO 8601, UTC where no offset is
given; the end does not belong to the interval.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitor.decoders.base import craft_id, parse_time_ns
from monitor.errors import ArchiveError, DecodeError
from monitor.types.space import Region

MAXIMUM_BYTES: Final = 1 << 26
_REQUIRED: Final = ("start", "end", "label")
_KNOWN: Final = (*_REQUIRED, "craft")


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of time in one region.

    Attributes
    ----------
    start_ns, end_ns : int
        The end does not belong to it.
    region : Region
    comment : str
        What the label was read from.
    source : str
        File and line.
    craft : str or None
        None is any spacecraft.
    """

    start_ns: int
    end_ns: int
    region: Region
    comment: str
    source: str
    craft: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An interval that is not learnt from, and the word for why."""

    start_ns: int
    end_ns: int
    comment: str
    source: str
    reason: str


def read_lines(path: Path) -> list[str]:
    """Lines of a text file, line ends kept. Raises ArchiveError."""
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise ArchiveError(str(path), f"is larger than {MAXIMUM_BYTES} bytes; split it")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise ArchiveError(str(path), f"cannot be read: {error.strerror or error}") from None
    if "\0" in text:
        raise ArchiveError(str(path), "is binary; expected is text")
    return text.splitlines(keepends=True)


def time_of(cell: str, path: str, line: int) -> int:
    """Time (ns UTC) of a cell, with T, a blank or a slash between day and time. Raises ArchiveError."""
    try:
        return parse_time_ns(cell.strip().replace(" ", "T", 1).replace("/", "T", 1))
    except DecodeError as error:
        raise ArchiveError(path, f"line {line}: the time cannot be read: {error.detail}") from None


def check_order(start_ns: int, end_ns: int, path: str, line: int) -> None:
    """Refuse an interval that lasts no time. Raises ArchiveError."""
    if end_ns <= start_ns:
        raise ArchiveError(
            path, f"line {line}: the interval ends before it starts; swap the times or leave it out"
        )


def read_intervals(path: Path) -> list[Interval]:
    """Read an interval CSV. Raises ArchiveError, which names the line."""
    reader = csv.reader(read_lines(path), strict=True)
    header: list[str] = []
    intervals: list[Interval] = []
    try:
        for cells in reader:
            if not cells or cells[0].startswith("#"):
                continue
            if not header:
                header = _header(cells, str(path))
                continue
            intervals.append(_interval(header, cells, str(path), reader.line_num))
    except csv.Error as error:
        raise ArchiveError(str(path), f"line {reader.line_num}: cannot be read as CSV: {error}") from None
    if not intervals:
        raise ArchiveError(str(path), "holds no intervals; expected are the columns start,end,label[,craft]")
    return intervals


def _header(cells: Sequence[str], path: str) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    unknown = [name for name in names if name not in _KNOWN]
    if unknown or len(set(names)) < len(names) or not set(_REQUIRED) <= set(names):
        raise ArchiveError(
            path, f"has the columns {','.join(names)[:120]}; expected are start,end,label[,craft]"
        )
    return names


def _interval(header: Sequence[str], cells: Sequence[str], path: str, line: int) -> Interval:
    if len(cells) != len(header):
        raise ArchiveError(path, f"line {line}: {len(cells)} cells, but the header names {len(header)}")
    row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    start_ns, end_ns = time_of(row["start"], path, line), time_of(row["end"], path, line)
    check_order(start_ns, end_ns, path, line)
    try:
        region = Region(row["label"].upper())
    except ValueError:
        allowed = " ".join(Region)
        raise ArchiveError(
            path, f"line {line}: the label is {row['label'][:40]!r}; allowed are {allowed}"
        ) from None
    craft = None
    if row.get("craft"):
        craft = craft_id(row["craft"])
        if craft is None:
            raise ArchiveError(path, f"line {line}: {row['craft'][:40]!r} is no spacecraft's id")
    return Interval(start_ns, end_ns, region, row["label"], f"{path}:{line}", craft)


def without_conflicts(intervals: Sequence[Interval]) -> tuple[list[Interval], list[Refused]]:
    """Sort intervals by time; leave out repeated ones, and all that overlap one of another region.

    Returns what is kept, and what is refused with the reasons `repeated` and `overlap`.
    """
    kept: list[Interval] = []
    refused: list[Refused] = []
    seen: set[tuple[int, int, Region, str | None]] = set()
    for one in sorted(intervals, key=lambda interval: (interval.start_ns, interval.end_ns)):
        key = (one.start_ns, one.end_ns, one.region, one.craft)
        if key in seen:
            refused.append(_refused(one, "repeated"))
        else:
            seen.add(key)
            kept.append(one)
    at_odds = _at_odds(kept)
    refused += [_refused(one, "overlap") for place, one in enumerate(kept) if place in at_odds]
    return [one for place, one in enumerate(kept) if place not in at_odds], refused


def _at_odds(intervals: Sequence[Interval]) -> set[int]:
    """Places of the intervals, sorted by start, that overlap one of another region for the same spacecraft."""
    found: set[int] = set()
    open_ones: list[int] = []
    for place, one in enumerate(intervals):
        open_ones = [other for other in open_ones if intervals[other].end_ns > one.start_ns]
        for other in open_ones:
            same_craft = None in (one.craft, intervals[other].craft) or one.craft == intervals[other].craft
            if same_craft and intervals[other].region is not one.region:
                found |= {place, other}
        open_ones.append(place)
    return found


def _refused(interval: Interval, reason: str) -> Refused:
    return Refused(interval.start_ns, interval.end_ns, interval.comment, interval.source, reason)
