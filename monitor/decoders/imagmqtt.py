"""INTERMAGNET ImagMQTT: `impf/<iaga>/<cadence>/<level>/<xyzs|hdzs|difs>` with a JSON object.

The last four levels of the topic count, whatever stands before them. The payload has a `startDate` (UTC where it names
no zone) and arrays `geomagneticFieldX` … of numbers or null; every other key is ignored. The missing marks 99999 and
88888 are gaps like null. Format: INTERMAGNET, "ImagMQTT" exchange schema.

A message describes the vector in one way: X Y Z, or H D Z, or D I F; what else is in the schema may come with it. Two
ways at once are refused, for nobody can say which is meant. A vector that is not whole is taken, as the missing part
says nothing of the others. S alone is a message too: the scalar instrument beside the vector sends on its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from monitor.decoders.base import (
    LARGEST_FIELD_nT,
    Limits,
    add_horizontal,
    check_limits,
    check_times,
    decode_json,
    missing_to_nan,
    parse_step_ns,
    parse_time_ns,
    stack,
    station_code,
)
from monitor.errors import DecodeError
from monitor.types import Message, Options, SampleBlock, Surroundings

AngleUnit: TypeAlias = Literal["degrees", "arcmin"]

_DEGREES_PER_UNIT: Final[Mapping[AngleUnit, float]] = {"degrees": 1.0, "arcmin": 1.0 / 60.0}
_ANGLES: Final = ("D", "I")
_FIELD = (-LARGEST_FIELD_nT, LARGEST_FIELD_nT)
_LIMITS: Final[Limits] = {
    "X": _FIELD,
    "Y": _FIELD,
    "Z": _FIELD,
    "H": _FIELD,
    "D": (-360.0, 360.0),
    "I": (-90.0, 90.0),
    "F": (0.0, LARGEST_FIELD_nT),
    "S": (0.0, LARGEST_FIELD_nT),
}
_GROUPS: Final = ("xyzs", "hdzs", "difs")
# ISO 8601 durations of seconds or minutes, and the `1hz` of older publishers.
_CADENCE = re.compile(r"pt([0-9]{1,6}(?:\.[0-9]{1,9})?)(s|m)|([0-9]{1,4}(?:\.[0-9]{1,9})?)hz")
_LEVEL = re.compile(r"[1-4]")

_VECTORS: Final = (frozenset("XYZ"), frozenset("HDZ"), frozenset("DIF"))
_SCALARS: Final = frozenset("FS")
"""F goes with each vector: where it is none of its parts it is calculated from them. S is measured by itself."""

Cells: TypeAlias = list[float | None] | UnsetType


class _Document(msgspec.Struct, rename={name: f"geomagneticField{name}" for name in _LIMITS}):
    startDate: str | UnsetType = UNSET
    X: Cells = UNSET
    Y: Cells = UNSET
    Z: Cells = UNSET
    H: Cells = UNSET
    D: Cells = UNSET
    I: Cells = UNSET  # noqa: E741  (the field's own name of the inclination)
    F: Cells = UNSET
    S: Cells = UNSET


class ImagMqttDecoder:
    """Decodes ImagMQTT. D and I come out in degrees; H and Z are derived where D, I, F came.

    Parameters
    ----------
    options : ImagMqttDecoder.Options
    surroundings : Surroundings
    """

    class Options(Options):
        """In which unit D and I arrive: publishers differ."""

        declination_unit: AngleUnit = "degrees"

    name = "imagmqtt"

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._degrees_per_unit = _DEGREES_PER_UNIT[options.declination_unit]
        self._maximum_bytes = surroundings.maximum_payload_bytes
        self._decoder = msgspec.json.Decoder(_Document)

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        """Return the one block of the message; raise DecodeError where it cannot be used."""
        station, step_ns, level = _parse_topic(message.topic)
        document = decode_json(message.payload, self._decoder, self._maximum_bytes)
        if isinstance(document.startDate, UnsetType):
            raise DecodeError("missing_key", "the message has no startDate")
        t0_ns = parse_time_ns(document.startDate)
        columns = {
            name: cells for name in _LIMITS if not isinstance(cells := getattr(document, name), UnsetType)
        }
        values = missing_to_nan(stack(columns))
        _check_one_vector(columns)
        check_times(t0_ns, step_ns, values.shape[1], message.received_ns)
        rows = dict(zip(columns, values, strict=True))
        for name in _ANGLES:
            if name in rows:
                rows[name] = rows[name] * self._degrees_per_unit
        check_limits(tuple(rows), np.stack(list(rows.values())), _LIMITS)
        add_horizontal(rows)
        components = tuple(name for name in _LIMITS if name in rows)
        values = np.stack([rows[name] for name in components])
        return (SampleBlock(station, components, t0_ns, step_ns, values, level=level),)


def _parse_topic(topic: str) -> tuple[str, int, int]:
    """Station, step (ns) and level of a topic."""
    levels = topic.rsplit("/", 4)[-4:]
    if len(levels) < 4:
        raise DecodeError("bad_topic", f"{topic[:120]!r} does not end in IAGA/CADENCE/LEVEL/COMPONENTS")
    code, cadence, level, group = levels
    station = station_code(code)
    if station is None:
        raise DecodeError("bad_topic", f"{code[:60]!r} is not a station code of 2 to 8 letters or digits")
    if not _LEVEL.fullmatch(level):
        raise DecodeError("bad_topic", f"level {level[:60]!r} in the topic; allowed are 1 to 4")
    if group.lower() not in _GROUPS:
        raise DecodeError(
            "bad_topic", f"components {group[:60]!r} in the topic; allowed are xyzs, hdzs, difs"
        )
    return station, _cadence_step_ns(cadence), int(level)


def _check_one_vector(names: Collection[str]) -> None:
    """Refuse a message that describes the vector in two ways. Raises DecodeError (mixed_components)."""
    if not any(set(names) <= vector | _SCALARS for vector in _VECTORS):
        raise DecodeError(
            "mixed_components",
            f"the message holds {' '.join(names)}; a vector is X Y Z, or H D Z, or D I F, each with F and S or without",
        )


def _cadence_step_ns(cadence: str) -> int:
    match = _CADENCE.fullmatch(cadence.lower())
    if match is None:
        raise DecodeError(
            "bad_topic", f"cadence {cadence[:60]!r} in the topic; allowed are pt1s, 1hz, pt1m, …"
        )
    amount, unit, rate_Hz = match.groups()
    if rate_Hz is None:
        return parse_step_ns(float(amount) * (60.0 if unit == "m" else 1.0))
    rate = float(rate_Hz)
    if rate == 0.0:
        raise DecodeError("bad_step", f"cadence {cadence!r} in the topic has no step")
    return parse_step_ns(1.0 / rate)
