"""A source and a sink of the tests' own, which fail when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor.plugins import Feed, Found, Options, Registry, StoredProduct, Surroundings
from monitor.plugins.found import find_all
from monitor.plugins.in_process import InProcess
from monitor.types import SampleBlock


@dataclass
class Script:
    """What the parts do, and what they have seen; set by the test, one at a time."""

    deliveries: list[list[SampleBlock]] = field(default_factory=list)
    source_fails_at: set[int] = field(default_factory=set)
    hold_at: int | None = None
    sink_fails: int = 0
    brought: list[int] = field(default_factory=list)
    taken: list[StoredProduct] = field(default_factory=list)
    opened: int = 0
    closed: int = 0


SCRIPT = Script()


class Bringer:
    """Brings what the script has, a delivery at a time, from where it was."""

    class Options(Options):
        pace_s: float = 0.0

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self.name = surroundings.name

    async def run(self, feed: Feed) -> None:
        done = 0 if feed.position is None else int(feed.position)
        for number in range(done, len(SCRIPT.deliveries)):
            if number == SCRIPT.hold_at:
                break
            if number in SCRIPT.source_fails_at:
                SCRIPT.source_fails_at.discard(number)
                raise ConnectionError("the server went away")
            await feed.take(SCRIPT.deliveries[number], number + 1)
            SCRIPT.brought.append(number)
        await asyncio.Event().wait()


class Taker:
    """Keeps what it is given in the script."""

    class Options(Options):
        pass

    kinds = frozenset({"flr"})

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self.name = surroundings.name

    async def open(self) -> None:
        SCRIPT.opened += 1

    async def write(self, products: Sequence[StoredProduct]) -> None:
        if SCRIPT.sink_fails:
            SCRIPT.sink_fails -= 1
            raise ConnectionError("nobody is there")
        SCRIPT.taken += products

    async def close(self) -> None:
        SCRIPT.closed += 1


def registry() -> Registry:
    """What is installed, and these two."""
    own = [
        Found("bringer", "source", "plugin_parts:Bringer", "tests 1", ours=True),
        Found("taker", "sink", "plugin_parts:Taker", "tests 1", ours=True),
    ]
    home = InProcess()
    return Registry([*find_all(), *own], ours=home, others=home)
