"""Messages as no sender should send them, made from good ones; the same at every call with the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from monitor.types import Message

_NASTY = (
    b"",
    b"\x00",
    b"\xff\xfe\xfd",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"NaN",
    b"1e999",
    b"-0",
    b"[" * 5000,
    b'{"a":' * 3000,
    b"\n" * 100,
    b",;" * 100,
    b"\xf0\x9f\x8c\x8d",
    "٣,٤,٥".encode(),
    b"9" * 400,
)
_PIECES = (
    b"NaN",
    b"-Infinity",
    b"1e309",
    b"null",
    b"true",
    b'"x"',
    b"-1",
    b"0",
    b"99999999999999999999",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\x00",
    b"\xc3\x28",
    b"9999-12-31T23:59:60Z",
)
_TOPICS = ("", "/", "//", "a", "a/b/c/d/e/f/g/h", "impf/x/pt1s/1/xyzs", "ß/ß", "\x00", "x" * 3000)

_Change = Callable[[bytes, np.random.Generator], bytes]


def spoilt(messages: Sequence[Message], seed: int, count: int) -> Iterator[Message]:
    """Rubbish under good topics, good payloads under wrong ones, and `count` good messages that were damaged."""
    for message in messages[:3]:
        for payload in _NASTY:
            yield replace(message, payload=payload)
        for topic in _TOPICS:
            yield replace(message, topic=topic)
        for received_ns in (0, -1, 1 << 62):
            yield replace(message, received_ns=received_ns)
    random = np.random.default_rng(seed)
    for _ in range(count):
        message = messages[int(random.integers(len(messages)))]
        payload = message.payload
        for _ in range(int(random.integers(1, 4))):
            payload = _CHANGES[int(random.integers(len(_CHANGES)))](payload, random)
        yield replace(message, payload=payload)


def _cut(payload: bytes, random: np.random.Generator) -> bytes:
    return payload[: int(random.integers(len(payload) + 1))]


def _cut_head(payload: bytes, random: np.random.Generator) -> bytes:
    return payload[int(random.integers(len(payload) + 1)) :]


def _flipped(payload: bytes, random: np.random.Generator) -> bytes:
    if not payload:
        return payload
    changed = bytearray(payload)
    changed[int(random.integers(len(changed)))] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _with_piece(payload: bytes, random: np.random.Generator) -> bytes:
    """Something else in the place of a few bytes."""
    at, piece = int(random.integers(len(payload) + 1)), _PIECES[int(random.integers(len(_PIECES)))]
    return payload[:at] + piece + payload[at + int(random.integers(0, 8)) :]


def _doubled(payload: bytes, random: np.random.Generator) -> bytes:
    begin, end = sorted(int(one) for one in random.integers(len(payload) + 1, size=2))
    return payload[:end] + payload[begin:]


def _with_tail(payload: bytes, random: np.random.Generator) -> bytes:
    return payload + random.bytes(int(random.integers(1, 40)))


def _noise(_payload: bytes, random: np.random.Generator) -> bytes:
    return random.bytes(int(random.integers(0, 200)))


_CHANGES: tuple[_Change, ...] = (_cut, _cut_head, _flipped, _with_piece, _doubled, _with_tail, _noise)
