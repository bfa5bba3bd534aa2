"""What the monitor and the process of a plugin say to each other.

A frame is its length (4 bytes, big-endian) and a MessagePack map that names what it is (`type`). No code travels, and
no object but those below: what cannot be read as one of them is a `WireError`, whoever wrote it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from monitor.config import ValueFault
from monitor.plugins.cage.parcels import Block, Frame, Letter, Row, Thing, WireError, packed, unpacked
from monitor.plugins.found import Found
from monitor.types import Json, Kind, Surroundings

LENGTH: Final = struct.Struct(">I")
LARGEST_FRAME_BYTES: Final = 64 * 1024 * 1024
"""Of what comes out of a plugin's process."""


# -- to the plugin ----------------------------------------------------------------------------------------


class Begin(Frame):
    """Import a plugin and make it; `only_check` asks no more than what is wrong with its options."""

    name: str
    kind: Kind
    target: str
    distribution: str
    extras: tuple[str, ...]
    options: bytes
    surroundings: bytes
    only_check: bool

    @classmethod
    def of(
        cls, found: Found, options: Mapping[str, Json], surroundings: Surroundings, *, only_check: bool
    ) -> Begin:
        return cls(
            found.name,
            found.kind,
            found.target,
            found.distribution,
            found.extras,
            packed(options),
            packed(asdict(surroundings) | {"folder": _text(surroundings.folder)}),
            only_check,
        )

    @property
    def found(self) -> Found:
        return Found(self.name, self.kind, self.target, self.distribution, False, self.extras)

    def where(self) -> Surroundings:
        """The surroundings."""
        parts = unpacked(self.surroundings)
        folder = None if parts["folder"] is None else Path(parts["folder"])
        lists = {name: tuple(parts[name]) for name in ("stations", "craft")}
        return Surroundings(**(parts | lists | {"folder": folder}))


class Decode(Frame):
    letter: Letter


class Recognise(Frame):
    head: bytes


class Give(Frame):
    """Feed a stage."""

    items: tuple[Block | Thing, ...]


class Pass(Frame):
    """Let time pass for a stage."""

    elapsed_ns: int


class Save(Frame):
    """Ask for a snapshot."""


class Load(Frame):
    """Give a snapshot back."""

    state: bytes


class Run(Frame):
    """Let a source run."""

    position: bytes
    newest_ns: dict[str, int]


class Ping(Frame):
    """Ask whether the loop of a source or sink goes round; and tell how far the samples have come."""

    newest_ns: dict[str, int]


class Took(Frame):
    """What became of a delivery; `error` where it was not stored."""

    number: int
    samples: int
    refused: dict[str, int]
    newest_ns: dict[str, int]
    error: str | None


class Gaps(Frame):
    number: int
    gaps: tuple[tuple[int, int], ...]
    error: str | None


class Cancel(Frame):
    """End the run of a source."""


class Open(Frame):
    """Open a sink."""


class Write(Frame):
    rows: tuple[Row, ...]


class Close(Frame):
    """Close a sink."""


# -- from the plugin --------------------------------------------------------------------------------------


class Fault(Frame):
    """A `ValueFault`."""

    path: tuple[str | int, ...]
    kind: str
    text: str
    context: dict[str, str]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, fault: ValueFault) -> Fault:
        return cls(fault.path, fault.kind, fault.text, dict(fault.context), fault.keys)

    def taken(self) -> ValueFault:
        return ValueFault(self.path, self.kind, self.text, self.context, self.keys)


class Checked(Frame):
    """What is wrong with the options."""

    faults: tuple[Fault, ...]


class Ready(Frame):
    """The plugin is made; what it is."""

    kinds: tuple[str, ...] | None
    lookback_ns: int
    remembers: bool
    reads_files: bool
    changes: int


class Unfit(Frame):
    """The plugin cannot be imported or made."""

    reason: str


class Raised(Frame):
    """What it was asked raised an exception."""

    error: str


class Decoded(Frame):
    """What a decoder gave; `refused` is the reason and the detail where it raised DecodeError."""

    blocks: tuple[Block, ...]
    changes: int
    refused: tuple[str, str] | None


class Known(Frame):
    """Whether a head was recognised."""

    known: bool


class Said(Frame):
    """What a stage gave."""

    things: tuple[Thing, ...]


class State(Frame):
    state: bytes


class Done(Frame):
    """What was asked is done."""


class Take(Frame):
    """A source hands over items; `position` is empty where it gives none."""

    number: int
    items: tuple[Block | Letter, ...]
    position: bytes


class AskGaps(Frame):
    number: int
    source: str
    begin_ns: int
    end_ns: int
    components: tuple[str, ...]


class Pong(Frame):
    """The loop goes round."""


class Ended(Frame):
    """The run of a source is over: cancelled, or with an error."""

    error: str | None


ToPlugin: TypeAlias = (
    Begin
    | Decode
    | Recognise
    | Give
    | Pass
    | Save
    | Load
    | Run
    | Ping
    | Took
    | Gaps
    | Cancel
    | Open
    | Write
    | Close
)
FromPlugin: TypeAlias = (
    Checked | Ready | Unfit | Raised | Decoded | Known | Said | State | Done | Take | AskGaps | Pong | Ended
)

_ENCODER = msgspec.msgpack.Encoder()
_TO_PLUGIN: Final[msgspec.msgpack.Decoder[ToPlugin]] = msgspec.msgpack.Decoder(ToPlugin)
_FROM_PLUGIN: Final[msgspec.msgpack.Decoder[FromPlugin]] = msgspec.msgpack.Decoder(FromPlugin)


def framed(message: ToPlugin | FromPlugin) -> bytes:
    """The bytes of a frame."""
    content = _ENCODER.encode(message)
    return LENGTH.pack(len(content)) + content


def from_plugin(content: bytes) -> FromPlugin:
    """Read what a plugin's process sent; WireError for all that is none of it."""
    try:
        return _FROM_PLUGIN.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise WireError(f"it sent {content[:40]!r}: {error}") from None


def to_plugin(content: bytes) -> ToPlugin:
    """Read what the monitor sent."""
    return _TO_PLUGIN.decode(content)


def _text(folder: Path | None) -> str | None:
    return None if folder is None else str(folder)
