"""Plugins of a distribution that is not ours, good and bad ones: what tests install, and never import themselves.

Each has the option `does`: what it does when it is told to, that is when a payload (or a subject, a position) says so.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.decoders.base import parse_time_ns
from monitor.errors import DecodeError
from monitor.plugins import Feed, Options, StoredProduct, Surroundings
from monitor.types import SECOND_NS, Json, Message, Product, SampleBlock, Tick, iso_time


def misbehave(how: str) -> Any:
    """One way in which a plugin can be bad; what returns is rubbish."""
    match how:
        case "raise":
            raise RuntimeError("not today")
        case "sleep":
            time.sleep(3600)
        case "spin":
            while True:
                pass
        case "exit":
            sys.exit(3)
        case "vanish":
            os._exit(0)
        case "segfault":
            ctypes.string_at(0)
        case "fork":
            if os.fork():
                os._exit(0)
            time.sleep(3600)
        case "print":
            while True:
                sys.stdout.write("nonsense " * 1000 + "\n")
        case "eat":
            return bytearray(1 << 40)
        case "noise":
            for end in range(3, 32):
                try:
                    os.write(end, b"\xff" * 64)
                except OSError:
                    continue
            time.sleep(3600)
        case "lie":
            for end in range(3, 32):
                try:
                    os.write(end, b"\x00\x00\x00\x0b\x81\xa4type\xa4None")
                except OSError:
                    continue
            time.sleep(3600)
        case "nothing":
            return None
        case "text":
            return "rubbish"
        case "objects":
            return [object(), 7]
        case "block":
            return [SampleBlock("TAR", "H", 1, 0, np.zeros(3))]  # type: ignore[arg-type]
        case "product":
            return [Product("flr", "TAR-BRZ", 0, 0, True, {"label": float("nan")})]
    return None


class Lines:
    """Decoder of `TAR,2017-09-07T08:00:00Z,1.5,2.5`; a payload `!sleep` makes it sleep."""

    name = "lines"

    class Options(Options):
        factor: float = 1.0

    def __init__(self, options: Lines.Options, _surroundings: Surroundings) -> None:
        self._factor = options.factor

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        if message.payload.startswith(b"!"):
            found: Sequence[SampleBlock] = misbehave(message.payload[1:].decode())
            return found
        try:
            code, start, *numbers = message.payload.decode("ascii").split(",")
            values = self._factor * np.array([[float(one) for one in numbers]])
        except ValueError as error:
            raise DecodeError("not_lines", str(error)) from None
        return [SampleBlock(code, ("H",), parse_time_ns(start), SECOND_NS, values)]


class Sums(Lines):
    """The same, with each value added to all before it."""

    name = "sums"

    def __init__(self, options: Lines.Options, surroundings: Surroundings) -> None:
        super().__init__(options, surroundings)
        self._sum = 0.0
        self.changes = 0

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        (block,) = super().decode(message)
        values = self._sum + np.cumsum(block.values, axis=1)
        self._sum = float(values[0, -1])
        self.changes += 1
        return [SampleBlock(block.source, ("H",), block.t0_ns, SECOND_NS, values)]

    def snapshot(self) -> Json:
        return {"version": 1, "sum": self._sum}

    def restore(self, state: Json) -> None:
        if not isinstance(state, dict) or state.get("version") != 1:
            raise ValueError("no state of this decoder")
        self._sum = state["sum"]


class Means:
    """Stage that says the mean of each source over each five minutes, once the next ones have begun."""

    lookback_ns = 0

    class Options(Options):
        does: str = ""
        minutes: int = 5
        kind: str = "mean"

    def __init__(self, options: Means.Options, _surroundings: Surroundings) -> None:
        self.kinds = frozenset({options.kind})
        self._does, self._kind = options.does, options.kind
        self._span_ns = options.minutes * 60 * SECOND_NS
        self._open: dict[str, dict[int, list[float]]] = {}

    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> Sequence[Product]:
        if self._does:
            found: Sequence[Product] = misbehave(self._does)
            return found
        said: list[Product] = []
        for block in [] if isinstance(items, Tick) else items:
            if isinstance(block, SampleBlock):
                said += self._taken(block)
        return said

    def _taken(self, block: SampleBlock) -> list[Product]:
        spans = self._open.setdefault(block.source, {})
        for place, value in enumerate(block.values[0].tolist()):
            span = (block.t0_ns + place * block.step_ns) // self._span_ns
            count, total = spans.get(span, [0.0, 0.0])
            spans[span] = [count + 1.0, total + value]
        said = []
        for span in sorted(spans)[:-1]:
            count, total = spans.pop(span)
            time_ns = (span + 1) * self._span_ns
            body = {"time": iso_time(time_ns), "mean_nT": total / count, "samples": count}
            said.append(Product(self._kind, block.source, time_ns, 0, True, body))
        return said

    def snapshot(self) -> Json:
        spans = {source: [[span, *sums] for span, sums in one.items()] for source, one in self._open.items()}
        return misbehave(self._does) if self._does else {"version": 1, "open": spans}

    def restore(self, state: Json) -> None:
        if not isinstance(state, dict) or state.get("version") != 1:
            raise ValueError("no state of this stage")
        self._open = {
            source: {span: [count, total] for span, count, total in one}
            for source, one in state["open"].items()
        }


class Counting:
    """Source that brings a block a turn, six of them; its position is the number of the next."""

    class Options(Options):
        does: str = ""
        station: str = "TAR"

    def __init__(self, options: Counting.Options, surroundings: Surroundings) -> None:
        self._does, self._station = options.does, options.station
        self._surroundings = surroundings

    async def run(self, feed: Feed) -> None:
        place = int(feed.position or 0)
        while True:
            if self._does:
                await feed.take(misbehave(self._does), place)
            if place >= 6:
                await asyncio.sleep(3600)
            begin_ns = 1_504_771_200 * SECOND_NS
            newest = feed.newest_ns(self._station) or begin_ns
            gaps = await feed.gaps(self._station, begin_ns, begin_ns + 60 * SECOND_NS)
            values = np.array([[float(place), (newest - begin_ns) / SECOND_NS, float(len(gaps))]])
            block = SampleBlock(self._station, ("H",), begin_ns + 3 * place * SECOND_NS, SECOND_NS, values)
            await feed.take([block], place + 1)
            place += 1


class Filing:
    """Sink that writes each product into its folder, under its row."""

    class Options(Options):
        does: str = ""

    def __init__(self, options: Filing.Options, surroundings: Surroundings) -> None:
        self._does, self._folder = options.does, surroundings.folder
        self.kinds = frozenset({"flr", "mean"})

    async def open(self) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        if self._does.startswith("open-"):
            misbehave(self._does.removeprefix("open-"))

    async def write(self, products: Sequence[StoredProduct]) -> None:
        if self._does:
            misbehave(self._does)
        for product in products:
            assert self._folder is not None
            await asyncio.to_thread((self._folder / str(product.row)).write_bytes, product.payload)

    async def close(self) -> None:
        if self._does:
            misbehave(self._does)


class NoClass:
    """What is no plugin: it has no options."""
