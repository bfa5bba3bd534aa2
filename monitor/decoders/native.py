"""The native messages, both ways: of magnetometers (`…/mag/<STATION>`), spacecraft (`…/craft/<ID>`) and Kp (`…/index/kp`).

Batch: `{"start": TIME, "step_s": 1.0, "H": [number or null, …], …}`; one sample: `{"time": TIME, "H": 1.0, …}`, with
`step_s` where it is not the usual one (1 s on the ground, 4.5 s in space, 3 h of Kp). Keys that are not known are
ignored.

Magnetometers send any of X Y Z H D E F, all in nT: D is the variation towards magnetic east there, not the angle
that the ImagMQTT format sends. Spacecraft send any of `CRAFT_LIMITS`; a total that is missing is derived from its parts.
Of theirs, the fill values of the CDF files and the missing marks of text formats (`CRAFT_MARKS`) are gaps, as null is.
A value of Kp is that of the interval that begins at its time and lasts a step: the interval in progress may have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from monitor.decoders.base import (
    GROUND_LIMITS,
    LARGEST_FIELD_nT,
    Limits,
    check_limits,
    check_times,
    craft_id,
    decode_json,
    parse_step_ns,
    parse_time_ns,
    stack,
    station_code,
)
from monitor.errors import DecodeError
from monitor.types import (
    SECOND_NS,
    Domain,
    FloatArray,
    Message,
    Options,
    SampleBlock,
    Surroundings,
    iso_time,
)

CRAFT_LIMITS: Final[Limits] = {
    "Bx": (-LARGEST_FIELD_nT, LARGEST_FIELD_nT),
    "By": (-LARGEST_FIELD_nT, LARGEST_FIELD_nT),
    "Bz": (-LARGEST_FIELD_nT, LARGEST_FIELD_nT),
    "B": (0.0, LARGEST_FIELD_nT),
    "N": (0.0, 1e6),
    "Vx": (-2e4, 2e4),
    "Vy": (-2e4, 2e4),
    "Vz": (-2e4, 2e4),
    "V": (0.0, 2e4),
    "Tpar": (0.0, 1e6),
    "Tperp": (0.0, 1e6),
    "T": (0.0, 1e6),
}
"""Of spacecraft quantities: nT, cm⁻³, km/s, eV. Beyond these nothing in near-Earth plasma is real."""

CRAFT_FILL: Final = (0.999e30, 1e39)
"""Sizes of a fill value: from the −1e30 and −1e31 of the CDF files, also by way of float32, to what float32 can hold."""

CRAFT_MARKS: Final = np.array(
    [9999.0, 9999.9, 9999.99, 99999.0, 99999.9, 99999.99, 999999.0, 2147483647.0, 2147483648.0, 4294967295.0]
)
"""Sizes of the missing marks of text formats, and of the fill values of 32-bit integers."""

INDEX_LIMITS: Final[Limits] = {"Kp": (0.0, 9.0)}

INDEX_STEP_NS: Final = (60 * SECOND_NS, 10_800 * SECOND_NS)
"""Shortest and longest interval of an index: from estimates of every minute to the three hours of Kp itself."""

DEFAULT_STEP_NS: Final = {
    Domain.GROUND: SECOND_NS,
    Domain.CRAFT: 4_500_000_000,
    Domain.INDEX: INDEX_STEP_NS[1],
}
"""The step of a single sample that names none."""

_FLOAT32: Final = float(np.finfo(np.float32).eps)
_LIMITS: Final = {Domain.GROUND: GROUND_LIMITS, Domain.CRAFT: CRAFT_LIMITS, Domain.INDEX: INDEX_LIMITS}
_BRANCH: Final = {Domain.GROUND: "mag", Domain.CRAFT: "craft", Domain.INDEX: "index"}
_DOMAIN: Final = {branch: domain for domain, branch in _BRANCH.items()}

Cells: TypeAlias = list[float | None] | float | UnsetType | None


class _Head(msgspec.Struct):
    start: str | UnsetType = UNSET
    time: str | UnsetType = UNSET
    step_s: float | UnsetType = UNSET


class _Ground(_Head):
    X: Cells = UNSET
    Y: Cells = UNSET
    Z: Cells = UNSET
    H: Cells = UNSET
    D: Cells = UNSET
    E: Cells = UNSET
    F: Cells = UNSET


class _Craft(_Head):
    frame: Literal["gse", "gsm", "dmpa", "dbcs"] | None = None
    Bx: Cells = UNSET
    By: Cells = UNSET
    Bz: Cells = UNSET
    B: Cells = UNSET
    N: Cells = UNSET
    Vx: Cells = UNSET
    Vy: Cells = UNSET
    Vz: Cells = UNSET
    V: Cells = UNSET
    Tpar: Cells = UNSET
    Tperp: Cells = UNSET
    T: Cells = UNSET


class _Index(_Head):
    Kp: Cells = UNSET


class NativeDecoder:
    """Decodes the native messages. The last two levels of the topic are `mag/<STATION>`, `craft/<ID>` or `index/kp`.

    Parameters
    ----------
    options : NativeDecoder.Options
    surroundings : Surroundings
    """

    class Options(Options):
        """There are none."""

    name = "native"

    def __init__(self, _options: Options, surroundings: Surroundings) -> None:
        self._maximum_bytes = surroundings.maximum_payload_bytes
        self._ground = msgspec.json.Decoder(_Ground)
        self._craft = msgspec.json.Decoder(_Craft)
        self._index = msgspec.json.Decoder(_Index)

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        """Return the one block of the message; raise DecodeError where it cannot be used."""
        domain, source = _subject(message.topic)
        document, frame = self._document(message.payload, domain)
        t0_ns, step_ns = _time_and_step(document, domain)
        columns = _columns(document, _LIMITS[domain])
        values = stack(columns)
        check_times(t0_ns, step_ns, values.shape[1], message.received_ns)
        components = tuple(columns)
        if domain is Domain.CRAFT:
            values = craft_fill_to_nan(values)
        check_limits(components, values, _LIMITS[domain])
        if domain is Domain.CRAFT:
            components, values = derive_totals(components, values)
            check_limits(components, values, _LIMITS[domain])
        return (SampleBlock(source, components, t0_ns, step_ns, values, domain=domain, frame=frame),)

    def _document(self, payload: bytes, domain: Domain) -> tuple[_Ground | _Craft | _Index, str | None]:
        """The document, and the frame of its vectors where it has one."""
        if domain is Domain.GROUND:
            return decode_json(payload, self._ground, self._maximum_bytes), None
        if domain is Domain.INDEX:
            return decode_json(payload, self._index, self._maximum_bytes), None
        craft = decode_json(payload, self._craft, self._maximum_bytes)
        return craft, craft.frame


def _subject(topic: str) -> tuple[Domain, str]:
    branch, _, name = topic.rpartition("/")
    domain = _DOMAIN.get(branch.rpartition("/")[2])
    if domain is None:
        raise DecodeError("bad_topic", f"{topic[:120]!r} does not end in mag/STATION, craft/ID or index/kp")
    source = craft_id(name) if domain is Domain.CRAFT else station_code(name)
    if source is None:
        allowed = "2 to 16 letters, digits or _" if domain is Domain.CRAFT else "2 to 8 letters or digits"
        raise DecodeError("bad_topic", f"{name[:60]!r} cannot name a source; allowed are {allowed}")
    return domain, source


def _time_and_step(document: _Head, domain: Domain) -> tuple[int, int]:
    single = document.time is not UNSET
    if single and document.start is not UNSET:
        raise DecodeError(
            "bad_time", "the message has both start and time; a batch has start, one sample time"
        )
    text = document.time if single else document.start
    if isinstance(text, UnsetType):
        raise DecodeError("missing_key", "the message has neither start (a batch) nor time (one sample)")
    if not isinstance(document.step_s, UnsetType):
        parse_step = _index_step_ns if domain is Domain.INDEX else parse_step_ns
        return parse_time_ns(text), parse_step(document.step_s)
    if not single:
        raise DecodeError("missing_key", "the message has no step_s: the seconds from one sample to the next")
    return parse_time_ns(text), DEFAULT_STEP_NS[domain]


def _index_step_ns(step_s: float) -> int:
    shortest, longest = INDEX_STEP_NS
    # The comparison comes first: neither NaN nor infinity can be rounded.
    if not shortest <= step_s * SECOND_NS <= longest:
        raise DecodeError("bad_step", f"found a step of {step_s} s; allowed for an index are 60 to 10800")
    return round(step_s * SECOND_NS)


def _columns(document: _Head, names: Mapping[str, object]) -> dict[str, list[float | None]]:
    single = document.time is not UNSET
    columns: dict[str, list[float | None]] = {}
    for name in names:
        cells: Cells = getattr(document, name)
        if isinstance(cells, UnsetType):
            continue
        if single == isinstance(cells, list):
            expected = (
                "one number, as the message has time" if single else "an array, as the message has start"
            )
            raise DecodeError("wrong_type", f"{name} must be {expected}")
        columns[name] = cells if isinstance(cells, list) else [cells]
    return columns


def craft_fill_to_nan(values: FloatArray) -> FloatArray:
    """A copy of spacecraft quantities in which fill values and missing marks are NaN (marks to float32's precision)."""
    size = np.abs(values)
    fill = (size >= CRAFT_FILL[0]) & (size <= CRAFT_FILL[1])
    large = size >= CRAFT_MARKS[0] * (1.0 - _FLOAT32)
    if large.any():
        marks = np.abs(size[large][:, np.newaxis] - CRAFT_MARKS) <= _FLOAT32 * CRAFT_MARKS
        fill[large] |= marks.any(axis=1)
    return np.where(fill, np.nan, values)


def derive_totals(components: tuple[str, ...], values: FloatArray) -> tuple[tuple[str, ...], FloatArray]:
    """Derive the missing totals B, V and T of spacecraft quantities (c, n) that lie within their limits.

    A total that came stays; where it is a gap it is derived too. NaN where any part is NaN. The rows come back in
    the order of `CRAFT_LIMITS`.
    """
    rows = dict(zip(components, values, strict=True))
    for total, parts in (("B", ("Bx", "By", "Bz")), ("V", ("Vx", "Vy", "Vz"))):
        if all(part in rows for part in parts):
            vector = np.stack([rows[part] for part in parts])
            _fill(rows, total, np.linalg.norm(vector, axis=0))
    if "Tpar" in rows and "Tperp" in rows:
        _fill(rows, "T", (rows["Tpar"] + 2.0 * rows["Tperp"]) / 3.0)
    names = tuple(name for name in CRAFT_LIMITS if name in rows)
    return names, np.stack([rows[name] for name in names])


def _fill(rows: dict[str, FloatArray], total: str, derived: FloatArray) -> None:
    given = rows.get(total)
    rows[total] = derived if given is None else np.where(np.isnan(given), derived, given)


def native_topic(block: SampleBlock, root: str) -> str:
    """The topic below `root` (`geospace/v1`) on which `block` goes out."""
    source = block.source.lower() if block.domain is Domain.INDEX else block.source
    return f"{root}/in/{_BRANCH[block.domain]}/{source}"


def native_payload(block: SampleBlock) -> bytes:
    """Encode `block` as a batch that decodes to the same numbers; NaN becomes null.

    Raises ValueError for components that a native message cannot carry. D of a ground block goes out as it is, so it
    must be in nT: the angle of other formats stays at home.
    """
    unknown = [name for name in block.components if name not in _LIMITS[block.domain]]
    if unknown or not block.components:
        allowed = " ".join(_LIMITS[block.domain])
        found = ", ".join(unknown) or "none"
        raise ValueError(f"{block.source}: native messages carry {allowed}; found {found}")
    document: dict[str, object] = {"start": iso_time(block.t0_ns), "step_s": block.step_ns / SECOND_NS}
    if block.frame is not None:
        document["frame"] = block.frame
    document.update(zip(block.components, block.values.tolist(), strict=True))
    return msgspec.json.encode(document)  # NaN becomes null, and a float its shortest exact form
