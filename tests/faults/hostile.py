"""Messages as nobody should send them: a seeded mixture, each with the decoder that has to deal with it."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from monitor.types import SECOND_NS, iso_time

MAXIMUM_BYTES = 1 << 16
"""The payload limit of the daemon under attack: small, so that large messages are cheap to send."""

VICTIMS = ("TAR", "NUR", "BRZ")
ATTACKED = "SUW"
"""A configured station without an honest sender: what the attacker makes of it harms no neighbour."""

Maker = Callable[[random.Random, int], bytes]


@dataclass(frozen=True, slots=True)
class Shot:
    """One message of the attack."""

    topic: str
    payload: bytes
    retain: bool

    @property
    def decoder(self) -> str:
        return "imagmqtt" if self.topic.startswith("impf/") else "native"


def rubbish(chance: random.Random, _at_s: int) -> bytes:
    return chance.randbytes(chance.randrange(200))


def empty(_chance: random.Random, _at_s: int) -> bytes:
    return b""


def wrong_shape(chance: random.Random, at_s: int) -> bytes:
    shapes: list[object] = [None, True, 17, "text", [], [[]], {}, {"start": at_s}, {"H": {"H": [1]}}]
    return json.dumps(chance.choice(shapes)).encode()


def huge_number(chance: random.Random, at_s: int) -> bytes:
    number = chance.choice(["1e308", "1e309", "-1e309", "9" * 5000, "NaN", "Infinity", "-Infinity"])
    return f'{{"start":"{iso_time(at_s * SECOND_NS)}","step_s":1,"H":[{number}]}}'.encode()


def deep(chance: random.Random, _at_s: int) -> bytes:
    depth = chance.randrange(10, MAXIMUM_BYTES // 2)
    return b"[" * depth + b"]" * depth


def long_array(chance: random.Random, at_s: int) -> bytes:
    """Up to the payload limit, and beyond it."""
    count = chance.choice([MAXIMUM_BYTES // 2 - 100, MAXIMUM_BYTES])
    return f'{{"start":"{iso_time(at_s * SECOND_NS)}","step_s":1,"H":[{",".join("0" * count)}]}}'.encode()


def bad_time(chance: random.Random, at_s: int) -> bytes:
    times = [
        "1970-01-01T00:00:00Z",
        "1989-12-31T23:59:59Z",
        "2999-01-01T00:00:00Z",
        "yesterday",
        "2017-02-30T00:00:00Z",
    ]
    text = chance.choice([*times, iso_time((at_s + chance.randrange(-(10**6), 10**6)) * SECOND_NS)])
    return f'{{"time":"{text}","H":{chance.random()}}}'.encode()


def bad_step(chance: random.Random, at_s: int) -> bytes:
    step = chance.choice(["0", "-1", "1e-9", "1e-300", "1e300", "59.9", "null", '"1"'])
    return f'{{"start":"{iso_time(at_s * SECOND_NS)}","step_s":{step},"H":[1,2]}}'.encode()


def repeated_key(chance: random.Random, at_s: int) -> bytes:
    first, second = chance.random(), chance.random()
    return f'{{"time":"{iso_time(at_s * SECOND_NS)}","H":{first},"H":{second},"time":"{iso_time(at_s * SECOND_NS)}"}}'.encode()


def contradiction(chance: random.Random, at_s: int) -> bytes:
    """A resend with other values, other components or another place on the grid."""
    names = chance.choice(["H", "X", "Z", "F"])
    moved = at_s * SECOND_NS + chance.choice([0, 400_000_000])
    return (
        f'{{"start":"{iso_time(moved)}","step_s":1,"{names}":[{chance.uniform(-99_999, 99_999)}]}}'.encode()
    )


def broken_text(chance: random.Random, at_s: int) -> bytes:
    text = f'{{"time":"{iso_time(at_s * SECOND_NS)}","H":1.0}}'.encode()
    place = chance.randrange(len(text))
    return text[:place] + struct.pack("B", chance.randrange(128, 256)) + text[place:]


MAKERS: tuple[Maker, ...] = (
    rubbish, empty, wrong_shape, huge_number, deep, long_array, bad_time, bad_step, repeated_key, contradiction, broken_text,
)  # fmt: skip
HARMLESS: tuple[Maker, ...] = (rubbish, empty, wrong_shape, huge_number, deep, bad_step, broken_text)
"""Those of which no message is a measurement: they go to honest stations too."""


def topic(chance: random.Random, maker: Maker) -> str:
    """Where such a message goes: below every filter that is subscribed, to stations known and unknown."""
    invented = "".join(chance.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=6)) + "9"
    stations = [ATTACKED, invented, invented] + ([*VICTIMS] if maker in HARMLESS else [])
    station = chance.choice(stations)
    return chance.choice(
        [
            f"geospace/v1/in/mag/{station}",
            f"geospace/v1/in/mag/{station}",
            f"geospace/v1/in/craft/{invented}",
            f"geospace/v1/in/index/{invented}",
            f"geospace/v1/in/{invented}/deep/{'x' * chance.randrange(300)}",
            f"impf/{station.lower()[:3] if station in VICTIMS else 'qqq'}/{chance.choice(['pt1s', '1hz', 'pt1m', 'odd'])}/{chance.randrange(6)}/xyzs",
        ]
    )


def shot(chance: random.Random, at_s: int) -> Shot:
    """One message at random, about a time near `at_s`."""
    maker = chance.choice(MAKERS)
    retain = chance.random() < 0.02
    return Shot(topic(chance, maker), maker(chance, at_s), retain)
