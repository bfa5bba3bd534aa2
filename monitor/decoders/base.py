"""What a decoder is, and the checks that every decoder shares.

A decoder is total: whatever the bytes, `decode` returns blocks or raises `DecodeError` with one of `REASONS`, and a
message is taken whole or refused whole. JSON is read strictly (no NaN or Infinity, no number beyond float64); where
an object repeats a key, the last one wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, Protocol, TypeVar, runtime_checkable

import msgspec
import numpy as np

from monitor.errors import DecodeError
from monitor.types import SECOND_NS, Domain, FloatArray, Json, Message, SampleBlock, iso_time

REASONS: Final = frozenset(
    {
        "too_large",
        "not_json",
        "wrong_type",
        "missing_key",
        "unequal_lengths",
        "not_finite",
        "out_of_range",
        "bad_time",
        "time_out_of_range",
        "bad_step",
        "empty",
        "bad_topic",
        "no_component",
        "mixed_components",
        "bad_meta",
        "bad_row",
        "no_meta",
        "not_magnetic",
        "scalar_only",
        "unit_unknown",
        "unknown_station",
    }
)
"""The words that a `DecodeError` of this package carries: labels of a counter, so fixed and few."""

MAXIMUM_SAMPLES: Final = 1_000_000
EARLIEST_NS: Final = 631_152_000 * SECOND_NS
"""1990-01-01T00:00:00Z: nothing older is taken for a measurement."""
AHEAD_NS: Final = 300 * SECOND_NS
"""How far after the receive time a sample may lie: a sender's clock is not ours."""
SHORTEST_STEP_NS: Final = 50_000_000
LONGEST_STEP_NS: Final = 60 * SECOND_NS

Limits = Mapping[str, tuple[float, float]]
"""Smallest and largest value of each component, in the unit of its block."""

LARGEST_FIELD_nT: Final = 99_999.0
MISSING_MARKS_nT: Final = (99_999.0, 88_888.0)
"""What IAGA-2002 and the formats around it write for a value that is missing, or was never recorded."""

GROUND_LIMITS: Final[Limits] = dict.fromkeys(
    ("X", "Y", "Z", "H", "D", "E", "F"), (-LARGEST_FIELD_nT, LARGEST_FIELD_nT)
)
"""Of the native message and of CSV, nT. D is the variation towards magnetic east in nT there, not an angle."""

T = TypeVar("T")

# ASCII digits only: `\d` would take every digit of Unicode.
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})"
    r"(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_STATION = re.compile(r"[A-Z0-9]{2,8}")
_CRAFT = re.compile(r"[A-Z0-9_]{2,16}")
_NOT_FINITE = re.compile(rb"[\[:,]\s*[+-]?(?:nan|inf)", re.IGNORECASE)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Decoder(Protocol):
    """Bytes in, sample blocks out; pure, and without memory of earlier messages unless it is `Remembering`.

    As every plugin it is made with its options and its surroundings.
    """

    @property
    def name(self) -> str:
        """Name in the configuration and in the metrics."""
        ...

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        """Return the blocks of one message; raise DecodeError, and nothing else, where it cannot be used."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A decoder whose blocks depend on earlier messages too; what it remembers is stored with the samples.

    A message is acknowledged once its samples are stored. What a decoder keeps back for later must be stored by then
    as well, or a restart would lose it.
    """

    @property
    def changes(self) -> int:
        """Another number after each message that changed what is remembered."""
        ...

    def snapshot(self) -> Json:
        """What is remembered, as JSON with a `version`; of bounded size."""
        ...

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; raise ValueError for what cannot be read."""
        ...


@runtime_checkable
class FileDecoder(Protocol):
    """A decoder that reads whole files too: their name is the topic, their (unpacked) content the payload."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins so is of this format; `head` is its first 4096 bytes."""
        ...


@runtime_checkable
class FileReader(Decoder, FileDecoder, Protocol):
    """A decoder of both: what archives are read with."""


def decode_json(payload: bytes, decoder: msgspec.json.Decoder[T], maximum_bytes: int) -> T:
    """Decode JSON into the type of `decoder`.

    Raises DecodeError: too_large, not_json, wrong_type, or not_finite (NaN, Infinity, 1e309).
    """
    if len(payload) > maximum_bytes:
        raise DecodeError("too_large", f"the payload has {len(payload)} bytes; allowed are {maximum_bytes}")
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        text = str(error)
        raise DecodeError("not_finite" if "out of range" in text else "wrong_type", text) from None
    except msgspec.DecodeError as error:
        reason = "not_finite" if _NOT_FINITE.search(payload) else "not_json"
        raise DecodeError(reason, f"{error}; the payload begins {payload[:40]!r}") from None
    except UnicodeDecodeError as error:
        raise DecodeError("not_json", f"the payload is not UTF-8: {error.reason}") from None
    except RecursionError:
        raise DecodeError("not_json", "the payload is nested too deeply") from None


def parse_time_ns(text: str) -> int:
    """Parse an ISO-8601 time (ns UTC): `YYYY-MM-DDThh:mm[:ss[.f…]]`, then `Z`, an offset, or nothing for UTC.

    Up to nine decimals count. Raises DecodeError (bad_time); a leap second too, which this time scale cannot name.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise DecodeError("bad_time", f"found {text[:60]!r}; write it as 2017-09-07T00:00:00Z")
    year, month, day, hour, minute, second, decimals, zone = match.groups()
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    if seconds == 60 and minutes == 59:
        raise DecodeError(
            "bad_time", f"found the leap second {text!r}: leave it out, UTC days have 86400 s here"
        )
    if hours > 23 or minutes > 59 or seconds > 59:
        raise DecodeError("bad_time", f"found {text!r}: no such time of day")
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        raise DecodeError("bad_time", f"found {text!r}: no such day") from None
    total_s = days * 86400 + hours * 3600 + minutes * 60 + seconds - _offset_s(zone, text)
    return total_s * SECOND_NS + (int(decimals.ljust(9, "0")) if decimals else 0)


def _offset_s(zone: str | None, text: str) -> int:
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
    if hours > 23 or minutes > 59:
        raise DecodeError("bad_time", f"found {text!r}: no such offset from UTC")
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def parse_step_ns(step_s: float) -> int:
    """The step in whole nanoseconds. Raises DecodeError (bad_step) outside 0.05 s to 60 s."""
    # The comparison comes first: neither NaN nor infinity can be rounded.
    if not SHORTEST_STEP_NS <= step_s * SECOND_NS <= LONGEST_STEP_NS:
        raise DecodeError("bad_step", f"found a step of {step_s} s; allowed are 0.05 to 60")
    return round(step_s * SECOND_NS)


def check_times(t0_ns: int, step_ns: int, count: int, received_ns: int) -> None:
    """Refuse a block with any sample before 1990 or more than 300 s after it was received.

    Raises DecodeError: empty, too_large, time_out_of_range.
    """
    if count == 0:
        raise DecodeError("empty", "the message holds no sample")
    if count > MAXIMUM_SAMPLES:
        raise DecodeError("too_large", f"the message holds {count} samples; allowed are {MAXIMUM_SAMPLES}")
    if t0_ns < EARLIEST_NS:
        raise DecodeError("time_out_of_range", f"the first sample is of {_show(t0_ns)}, before 1990")
    last_ns = t0_ns + (count - 1) * step_ns
    if last_ns > received_ns + AHEAD_NS:
        ahead_s = (last_ns - received_ns) // SECOND_NS
        raise DecodeError(
            "time_out_of_range",
            f"the last sample is of {_show(last_ns)}, {ahead_s} s after it was received; allowed are 300",
        )


def _show(time_ns: int) -> str:
    try:
        return iso_time(time_ns)
    except OverflowError:  # a year that the calendar does not have, by way of an offset
        return f"{time_ns} ns since 1970"


def checked(found: object, message: Message) -> list[SampleBlock]:
    """What a decoder gave, where it is what a decoder may give.

    A decoder may come from elsewhere: one block of another kind would be refused by the store, and every sample after
    it. Raises TypeError for what is no block of the right parts, DecodeError for times as `check_times` does.
    """
    if not isinstance(found, Sequence):
        raise TypeError(f"expected a sequence of blocks, found {type(found).__name__}")
    for block in found:
        if not isinstance(block, SampleBlock):
            raise TypeError(f"expected a SampleBlock, found {type(block).__name__}")
        _check_parts(block)
        if block.domain is not Domain.INDEX:
            check_times(block.t0_ns, block.step_ns, block.count, message.received_ns)
    return list(found)


def _check_parts(block: SampleBlock) -> None:
    values = block.values
    right = {
        "source": isinstance(block.source, str) and bool(block.source),
        "components": isinstance(block.components, tuple)
        and all(isinstance(name, str) for name in block.components),
        "t0_ns": type(block.t0_ns) is int,
        "step_ns": type(block.step_ns) is int and block.step_ns > 0,
        "values": isinstance(values, np.ndarray)
        and values.dtype == np.float64
        and values.ndim == 2
        and len(values) == len(block.components),
        "domain": isinstance(block.domain, Domain),
        "level": type(block.level) is int,
        "sensor": block.sensor is None or isinstance(block.sensor, str),
        "frame": block.frame is None or isinstance(block.frame, str),
    }
    wrong = [name for name, holds in right.items() if not holds]
    if wrong:
        shown = ", ".join(f"{name} {getattr(block, name)!r:.60}" for name in wrong)
        raise TypeError(f"a block with {shown}")


def stack(columns: Mapping[str, Sequence[float | None]]) -> FloatArray:
    """Columns of equal length as rows (c, n), None as NaN. Raises DecodeError: no_component, unequal_lengths."""
    if not columns:
        raise DecodeError("no_component", "the message names no known component")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DecodeError("unequal_lengths", f"the arrays differ in length: {found}")
    return np.array(list(columns.values()), dtype=np.float64)


def check_limits(components: Sequence[str], values: FloatArray, limits: Limits) -> None:
    """Refuse values (c, n) beyond the limits of their component. Raises DecodeError (out_of_range)."""
    place = beyond_limits(components, values, limits)
    if place is not None:
        row, index = place
        low, high = limits[components[row]]
        raise DecodeError(
            "out_of_range",
            f"{components[row]}[{index}] is {values[row, index]}; allowed are {low:g} to {high:g}",
        )


def beyond_limits(components: Sequence[str], values: FloatArray, limits: Limits) -> tuple[int, int] | None:
    """Row and index of the first value (c, n) outside its component's limits; NaN is inside."""
    low = np.array([limits[name][0] for name in components])[:, np.newaxis]
    high = np.array([limits[name][1] for name in components])[:, np.newaxis]
    beyond = (values < low) | (values > high)
    if not beyond.any():
        return None
    row, index = np.argwhere(beyond)[0]
    return int(row), int(index)


def missing_to_nan(values: FloatArray) -> FloatArray:
    """A copy in which the missing marks of the IAGA formats (99999 and 88888) are NaN."""
    return np.where(np.isin(np.abs(values), MISSING_MARKS_nT), np.nan, values)


def add_horizontal(rows: dict[str, FloatArray]) -> None:
    """Add H = F cos I and Z = F sin I (nT) to the rows of a station where only F and the inclination (degrees) came."""
    if "F" in rows and "I" in rows:
        inclination_rad = np.radians(rows["I"])
        rows.setdefault("H", rows["F"] * np.cos(inclination_rad))
        rows.setdefault("Z", rows["F"] * np.sin(inclination_rad))


def station_code(text: str) -> str | None:
    """The upper-case station code (`[A-Z0-9]{2,8}`) that `text` is, else None."""
    return _identifier(text, _STATION)


def craft_id(text: str) -> str | None:
    """The upper-case spacecraft id (`[A-Z0-9_]{2,16}`) that `text` is, else None."""
    return _identifier(text, _CRAFT)


def _identifier(text: str, pattern: re.Pattern[str]) -> str | None:
    # Beyond ASCII, `upper` can make letters of signs that are none of ours (ß becomes SS).
    code = text.upper() if text.isascii() else ""
    return code if pattern.fullmatch(code) else None
