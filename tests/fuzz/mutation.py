"""Breaks what is valid: tokens are swapped for worse ones, repeated, moved or cut, and then bytes are.

Structure-aware, so that much of it passes the parser and reaches what comes behind.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_TOKEN = re.compile(
    rb'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|[A-Za-z_]+|[^\sA-Za-z0-9_"]'
)

NUMBERS: Sequence[bytes] = (
    b"0", b"-0", b"-0.0", b"1", b"-1", b"0.05", b"0.0499999999", b"60", b"60.000001", b"1e-9", b"1e-400", b"1e308",
    b"1e309", b"-1e309", b"NaN", b"Infinity", b"-Infinity", b"99999", b"99999.0000001", b"88888", b"-99999", b"1e31",
    b"-1e31", b"9999.99", b"2147483648", b"4294967295", b"9223372036854775807", b"9223372036854775808",
    b"-9223372036854775809", b"1" * 400, b"0." + b"0" * 400 + b"1", b"1e99999999999", b"0x10", b"01", b"1.", b".5", b"1_0",
)  # fmt: skip
TIMES: Sequence[bytes] = (
    b'"1990-01-01T00:00:00Z"', b'"1989-12-31T23:59:59.999999999Z"', b'"2017-09-07T16:05:00Z"', b'"2017-09-07T16:05:01Z"',
    b'"2016-12-31T23:59:60Z"', b'"2017-02-30T00:00:00Z"', b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"',
    b'"0000-00-00T00:00:00Z"', b'"2017-09-07T24:00:00Z"', b'"2017-09-07T12:00:00+2"', b'"2017-09-07T12:00:00,5"',
    b'"2017-09-07T12:00"', b'"2017-09-07"', b'"-2017-09-07T12:00:00Z"',
    '"٢٠١٧-09-07T12:00:00Z"'.encode(), b'"2017-09-07T12:00:00.1234567890Z"',
)  # fmt: skip
OTHERS: Sequence[bytes] = (
    b"null", b"true", b"false", b'""', b'"\\ud800"', b'"\\u0000"', b'"\\uFFFF"', b'"gse"', b'"GSE"', b"[]", b"{}", b"[[1]]",
    b"[null]", b'["1"]', b"[1,]", b"[" * 2000, b"]" * 8, b"{" * 500, b'{"H":' * 300, b"/* */", b"\xff\xfe", b"\xc3\x28",
    b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00", b"\n", b"\r", b"\t" * 40, b",", b":", b'"',
    b'"' + b"x" * 3000 + b'"', b"[" + b"1," * 500 + b"1]", b"[" + b"null," * 500 + b"null]", b"+", b"#", b"+/+", b"/",
)  # fmt: skip
KEYS: Sequence[bytes] = tuple(
    b'"%s"' % name
    for name in (
        b"start time step_s frame X Y Z H D E F Bx By Bz B N Vx Vy Vz V Tpar Tperp T Kp startDate geomagneticFieldX"
        b" geomagneticFieldH geomagneticFieldD geomagneticFieldI geomagneticFieldF geomagneticFieldS"
    ).split()
)
_POOLS = (NUMBERS, TIMES, OTHERS, KEYS)
_WORDS = (b"null", b"true", b"false", b"1", b'""', b"[]")
_KINDS = {
    b'"': (*TIMES, *KEYS, b'""', b'"gse"', b'"\\ud800"', b'"\\u0000"'),
    **{bytes([digit]): (*NUMBERS, *(b"null",) * 5) for digit in b"-0123456789"},
    **{bytes([letter]): _WORDS for letter in b"ntf"},
}
"""What may stand where a token begins so."""


class Mutator:
    """Makes broken inputs from valid ones; the same sequence from the same randomness.

    Parameters
    ----------
    seeds : sequence of bytes
    chance : random.Random
    """

    def __init__(self, seeds: Sequence[bytes], chance: random.Random) -> None:
        if not seeds:
            raise ValueError("there is nothing to break: give at least one valid input")
        self._chance = chance
        self._whole = list(seeds)
        self._split = [_split(seed) for seed in seeds]
        self._on_tokens: Sequence[Callable[[list[bytes]], None]] = (
            *(self._alike,) * 12, self._replace, self._repeat, self._drop, self._swap, self._insert, self._splice,
        )  # fmt: skip
        self._on_bytes: Sequence[Callable[[bytearray], None]] = (
            self._flip, self._cut, self._paste, self._truncate,
        )  # fmt: skip

    def next(self) -> bytes:
        """One broken input."""
        chance = self._chance
        kind = chance.random()
        if kind < 0.02:
            return chance.randbytes(chance.randrange(80))
        if kind < 0.1:
            content = bytearray(chance.choice(self._whole))
        else:
            tokens = list(chance.choice(self._split))
            # Mostly the first line stays: a message whose topic is broken is not looked at any further.
            first = tokens.index(b"\n") + 1 if b"\n" in tokens and chance.random() < 0.8 else 0
            head, tokens = tokens[:first], tokens[first:]
            for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 6))):
                chance.choice(self._on_tokens)(tokens)
            content = bytearray(b"".join(head + tokens))
        if kind < 0.25:
            for _ in range(chance.choice((1, 1, 2, 4))):
                chance.choice(self._on_bytes)(content)
        return bytes(content)

    # -- tokens ---------------------------------------------------------------------------------------------

    def _alike(self, tokens: list[bytes]) -> None:
        """A number for a number, a text for a text: the parser lets it through."""
        places = [place for place, token in enumerate(tokens) if token[:1] in _KINDS]
        if places:
            place = self._chance.choice(places)
            tokens[place] = self._chance.choice(_KINDS[tokens[place][:1]])

    def _replace(self, tokens: list[bytes]) -> None:
        if tokens:
            tokens[self._chance.randrange(len(tokens))] = self._worse()

    def _repeat(self, tokens: list[bytes]) -> None:
        if tokens:
            begin = self._chance.randrange(len(tokens))
            piece = tokens[begin : begin + self._chance.randrange(1, 8)]
            tokens[begin:begin] = piece * self._chance.choice((1, 1, 2, 50))

    def _drop(self, tokens: list[bytes]) -> None:
        if tokens:
            begin = self._chance.randrange(len(tokens))
            del tokens[begin : begin + self._chance.randrange(1, 4)]

    def _swap(self, tokens: list[bytes]) -> None:
        if tokens:
            one, other = (self._chance.randrange(len(tokens)) for _ in range(2))
            tokens[one], tokens[other] = tokens[other], tokens[one]

    def _insert(self, tokens: list[bytes]) -> None:
        tokens.insert(self._chance.randrange(len(tokens) + 1), self._worse())

    def _splice(self, tokens: list[bytes]) -> None:
        other = self._chance.choice(self._split)
        tokens[self._chance.randrange(len(tokens) + 1) :] = other[self._chance.randrange(len(other) + 1) :]

    def _worse(self) -> bytes:
        return self._chance.choice(self._chance.choice(_POOLS))

    # -- bytes ----------------------------------------------------------------------------------------------

    def _flip(self, content: bytearray) -> None:
        if content:
            content[self._chance.randrange(len(content))] ^= 1 << self._chance.randrange(8)

    def _cut(self, content: bytearray) -> None:
        begin = self._chance.randrange(len(content) + 1)
        del content[begin : begin + self._chance.randrange(1, 16)]

    def _paste(self, content: bytearray) -> None:
        begin = self._chance.randrange(len(content) + 1)
        content[begin:begin] = self._chance.randbytes(self._chance.randrange(1, 8))

    def _truncate(self, content: bytearray) -> None:
        del content[self._chance.randrange(len(content) + 1) :]


def _split(content: bytes) -> list[bytes]:
    """Tokens and what is between them; joined they are the content again."""
    pieces: list[bytes] = []
    end = 0
    for match in _TOKEN.finditer(content):
        if match.start() > end:
            pieces.append(content[end : match.start()])
        pieces.append(match.group())
        end = match.end()
    if end < len(content):
        pieces.append(content[end:])
    return pieces
