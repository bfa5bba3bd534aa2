"""HAPI 2 and 3 as their specifications have them: what a server says of a dataset, and its records as CSV or binary.

Total, as decoders are: whatever the bytes, there is a result or a `HapiError` of one line. Of records, those that can be
used are taken; the others are counted and told.

Source: Heliophysics Data Application Programmer's Interface (HAPI) specification 3.2.0, sections 3.6, 3.7 and 4.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.errors import MonitorError
from monitor.types import SECOND_NS, FloatArray, IntArray

OK: Final = 1200
NO_DATA: Final = 1201
OUT_OF_RANGE: Final = 1405
TOO_MUCH: Final = 1408

MOST_COLUMNS: Final = 1000
_DAY_NS: Final = 86_400 * SECOND_NS
_TIME: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{3})|-([0-9]{2})(?:-([0-9]{2}))?)?"
    r"(?:T([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{0,9})[0-9]*)?)?)?)?Z?"
)
_DURATION: Final = re.compile(
    r"P(?:([0-9.]+)Y)?(?:([0-9.]+)M)?(?:([0-9.]+)W)?(?:([0-9.]+)D)?"
    r"(?:T(?:([0-9.]+)H)?(?:([0-9.]+)M)?(?:([0-9.]+)S)?)?"
)
_DURATION_S: Final = (31_536_000.0, 2_592_000.0, 604_800.0, 86_400.0, 3600.0, 60.0, 1.0)
_BINARY: Final = {"double": "<f8", "integer": "<i4"}


class HapiError(MonitorError):
    """A server says no, or what it says is not HAPI; `code` is the status of HAPI where there is one, else 0."""

    def __init__(self, where: str, reason: str, code: int = 0) -> None:
        self.code = code
        # Names and messages of a server may hold anything.
        told = " ".join(reason.split()).encode("utf-8", errors="replace").decode()
        super().__init__(f"{where}: {told[:600]}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a dataset; `units` and `fills` have one entry for each of its columns."""

    name: str
    kind: str
    columns: int
    length: int
    units: tuple[str | None, ...]
    fills: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """What a server says of a dataset.

    Attributes
    ----------
    major : int
        Version of HAPI: the names of the request's parameters changed with 3.
    parameters : tuple of Parameter
        The first one is the time.
    start_ns, stop_ns : int or None
        Of the whole dataset.
    cadence_ns, longest_ns : int or None
        Usual step, and longest stretch that may be asked for at once.
    location : str
        Where a time stamp is in the interval of its sample: `begin`, `center`, `end` or `other`.
    modified : str or None
        When anything in the dataset changed last, as the server writes it.
    """

    major: int
    parameters: tuple[Parameter, ...]
    start_ns: int | None
    stop_ns: int | None
    cadence_ns: int | None
    longest_ns: int | None
    location: str
    modified: str | None

    def named(self, name: str) -> Parameter | None:
        """The parameter of this name; None where there is none."""
        return next((one for one in self.parameters if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Records:
    """Times (ns UTC, n) in the order of the answer, values (n, columns), and how many records could not be used."""

    times_ns: IntArray
    values: FloatArray
    refused: int
    example: str = ""


def status_of(body: bytes) -> tuple[int, str]:
    """Code and message of a status object; (0, "") where there is none."""
    try:
        document = json.loads(body)
        status = document["status"]
        return int(status["code"]), str(status.get("message", ""))[:200]
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError):
        return 0, ""


def read_info(body: bytes, where: str) -> Info:
    """Read the answer of `info`. Raises HapiError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise HapiError(where, f"does not answer as a HAPI server: {body[:60]!r}") from None
    code, message = status_of(body)
    if code not in (0, OK):
        raise HapiError(where, f"says {code}: {message}", code)
    if not isinstance(document, dict) or not isinstance(document.get("parameters"), list):
        raise HapiError(where, "names no parameters: is it the address of a HAPI server?")
    parameters = tuple(_parameter(one, where) for one in document["parameters"][:MOST_COLUMNS])
    if not parameters or parameters[0].kind != "isotime":
        raise HapiError(where, "the first parameter is no time")
    if len({one.name.lower() for one in parameters}) < len(parameters):
        raise HapiError(where, "two parameters have one name")
    major = re.match(r"([0-9]+)", str(document.get("HAPI", "")))
    modified = document.get("modificationDate")
    return Info(
        major=int(major[1]) if major else 2,
        parameters=parameters,
        start_ns=_optional_time(document.get("startDate")),
        stop_ns=_optional_time(document.get("stopDate")),
        cadence_ns=duration_ns(document.get("cadence")),
        longest_ns=duration_ns(document.get("maxRequestDuration")),
        location=str(document.get("timeStampLocation", "center")).lower(),
        modified=modified if isinstance(modified, str) else None,
    )


def _parameter(document: Any, where: str) -> Parameter:
    try:
        name, kind = str(document["name"]), str(document["type"]).lower()
        size = document.get("size") or [1]
        columns = math.prod(int(one) for one in size)
        length = int(document.get("length") or 0)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise HapiError(
            where, f"describes a parameter in a way that is not HAPI: {document!r:.120}"
        ) from None
    if not 1 <= columns <= MOST_COLUMNS:
        columns, kind = 1, "unusable"
    units, fills = document.get("units"), document.get("fill")
    return Parameter(
        name,
        kind,
        columns,
        length,
        tuple(_text(one) for one in _for_columns(units, columns)),
        tuple(_number(one) for one in _for_columns(fills, columns)),
    )


def _for_columns(given: Any, columns: int) -> list[Any]:
    if isinstance(given, list) and len(given) == columns:
        return given
    return [None if isinstance(given, list) else given] * columns


def _text(given: Any) -> str | None:
    return given if isinstance(given, str) else None


def _number(given: Any) -> float | None:
    try:
        return None if given is None else float(given)
    except (TypeError, ValueError, OverflowError):
        return None


def duration_ns(text: object) -> int | None:
    """Nanoseconds of an ISO-8601 duration (a year has 365 days, a month 30); None where it is none."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    try:
        seconds = sum(
            float(given) * unit for given, unit in zip(match.groups(), _DURATION_S, strict=True) if given
        )
    except ValueError:
        return None
    return round(seconds * SECOND_NS) if 0.0 < seconds < 1e10 else None


def _optional_time(text: object) -> int | None:
    return time_ns(text) if isinstance(text, str) else None


def time_ns(text: str) -> int | None:
    """A time of HAPI (ns UTC), by month and day or by day of year, cut off where one likes; None where it is none."""
    times, good = times_ns([text])
    return int(times[0]) if good[0] else None


def times_ns(cells: Sequence[str]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Times (ns UTC) of cells (n,), and which of them are times."""
    days: dict[tuple[str | None, ...], int | None] = {}
    out = np.zeros(len(cells), dtype=np.int64)
    good = np.zeros(len(cells), dtype=np.bool_)
    for place, cell in enumerate(cells):
        match = _TIME.fullmatch(cell)
        if match is None:
            continue
        date = match.group(1, 2, 3, 4)
        if date not in days:
            days[date] = _day(date)
        day = days[date]
        hour, minute, second, decimals = match.group(5, 6, 7, 8)
        hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
        # 24:00 is allowed as the end of a day; a leap second cannot be named here.
        if day is None or hours > 24 or minutes > 59 or seconds > 59:
            continue
        fraction_ns = int(decimals.ljust(9, "0")) if decimals else 0
        out[place] = day * _DAY_NS + (hours * 3600 + minutes * 60 + seconds) * SECOND_NS + fraction_ns
        good[place] = True
    return out, good


def _day(date: tuple[str | None, ...]) -> int | None:
    """Days since 1970 of year and day of year, or year, month and day; None where there is no such day."""
    year, day_of_year, month, day = date
    assert year is not None
    if not "1700" <= year <= "2200":  # what nanoseconds in 64 bits can hold
        return None
    try:
        if day_of_year is not None:
            first = np.datetime64(f"{year}-01-01", "D").astype(np.int64)
            last = np.datetime64(f"{int(year) + 1}-01-01", "D").astype(np.int64)
            found = int(first) + int(day_of_year) - 1
            return found if int(first) <= found < int(last) else None
        return int(np.datetime64(f"{year}-{month or '01'}-{day or '01'}", "D").astype(np.int64))
    except ValueError:
        return None


def read_csv(body: bytes, columns: int, where: str) -> Records:
    """Read CSV of a time and `columns` numbers a line.

    A last line without its end is left out: it may have been cut. Raises HapiError where most lines are unusable.
    """
    text, end, _ = body.rpartition(b"\n")
    if body.lstrip()[:1] in (b"{", b"<"):
        code, message = status_of(body)
        if code == NO_DATA:
            return _nothing(columns)
        raise HapiError(where, f"says {code}: {message}" if code else f"sends no CSV: {body[:60]!r}", code)
    if not end:
        return _nothing(columns)
    lines = [line.strip() for line in text.decode("utf-8", errors="replace").split("\n")]
    rows = [line.split(",") for line in lines if line and not line.startswith("#")]
    kept = [row for row in rows if len(row) == columns + 1]
    values, numbers = _numbers([row[1:] for row in kept], columns)
    times, good = times_ns([row[0].strip().strip('"') for row in kept])
    good &= numbers
    refused = len(rows) - int(good.sum())
    example = _example(lines, columns) if refused else ""
    _require_usable(len(rows), refused, example, where)
    return Records(times[good], values[good], refused, example)


def _numbers(rows: Sequence[Sequence[str]], columns: int) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Values (n, columns), and which rows have nothing but numbers."""
    try:
        values = np.array(rows, dtype=np.float64).reshape(len(rows), columns)
        return values, np.ones(len(rows), dtype=np.bool_)
    except ValueError:
        values = np.full((len(rows), columns), np.nan)
        good = np.zeros(len(rows), dtype=np.bool_)
        for place, row in enumerate(rows):
            try:
                values[place] = [float(cell) if cell.strip() else math.nan for cell in row]
                good[place] = True
            except ValueError:
                continue
        return values, good


def _example(lines: Sequence[str], columns: int) -> str:
    """The first line that cannot be used."""
    for line in lines:
        cells = line.split(",")
        if not line or line.startswith("#"):
            continue
        if len(cells) != columns + 1:
            return f"{line!r:.60} has {len(cells)} cells, not {columns + 1}"
        if not times_ns([cells[0].strip().strip('"')])[1][0] or not _numbers([cells[1:]], columns)[1][0]:
            return f"{line!r:.60}"
    return ""


def read_binary(body: bytes, time: Parameter, parameters: Sequence[Parameter], where: str) -> Records:
    """Read binary records of a time and numeric parameters; a last record that is cut is left out.

    Raises HapiError where most records are unusable, or a parameter has no binary form here.
    """
    columns = sum(one.columns for one in parameters)
    if body[:1] == b"{" and status_of(body)[0]:
        code, message = status_of(body)
        if code == NO_DATA:
            return _nothing(columns)
        raise HapiError(where, f"says {code}: {message}", code)
    if time.length < 1 or time.length > 64:
        raise HapiError(where, f"does not say how long its times are: {time.length} bytes")
    fields: list[tuple[str, str, int]] = [("", f"S{time.length}", 1)]
    for one in parameters:
        if one.kind not in _BINARY:
            raise HapiError(where, f"{one.name} is a {one.kind}, and no number")
        fields.append((one.name, _BINARY[one.kind], one.columns))
    layout = np.dtype([(f"f{place}", kind, (size,)) for place, (_, kind, size) in enumerate(fields)])
    count = len(body) // layout.itemsize
    records = np.frombuffer(body, dtype=layout, count=count)
    times, good = times_ns([cell.decode("ascii", errors="replace") for cell in records["f0"].reshape(-1)])
    values = np.empty((count, columns))
    at = 0
    for place, one in enumerate(parameters, start=1):
        values[:, at : at + one.columns] = records[f"f{place}"]
        at += one.columns
    refused = count - int(good.sum())
    example = f"record {int(np.argmin(good))} has no time" if refused else ""
    _require_usable(count, refused, example, where)
    return Records(times[good], values[good], refused, example)


def _nothing(columns: int) -> Records:
    return Records(np.empty(0, dtype=np.int64), np.empty((0, columns)), 0)


def _require_usable(count: int, refused: int, example: str, where: str) -> None:
    if refused * 2 > count:
        raise HapiError(where, f"{refused} of {count} records cannot be used: {example}")
