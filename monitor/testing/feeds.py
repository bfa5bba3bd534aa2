"""A feed for tests of sources: it keeps what is taken, and can wait, fail, or be cut off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import numpy as np

from monitor.decoders.base import checked
from monitor.errors import DecodeError, StoreError
from monitor.plugins.base import Taken
from monitor.testing.comparing import kept, through_json
from monitor.types import Json, Message, SampleBlock

_EVER_NS = 1 << 62


class RecordingFeed:
    """What the daemon gives to a source that runs, without the daemon.

    Parameters
    ----------
    before : RecordingFeed, optional
        What an earlier run has brought: its position and its samples are there from the start.
    up_to : int, optional
        Of `before`, only what its first so many deliveries brought.
    fails_at : int, optional
        The delivery (from 0) that cannot be stored: it raises StoreError, once.
    turns : int
        How many turns of the loop each delivery waits before it is stored.

    Attributes
    ----------
    deliveries : list
        The items of each `take` of this run, in their order.
    positions : list
        The position after each of them.
    """

    def __init__(
        self,
        before: RecordingFeed | None = None,
        up_to: int | None = None,
        *,
        fails_at: int | None = None,
        turns: int = 0,
    ) -> None:
        self.deliveries: list[list[Message | SampleBlock]] = []
        self.positions: list[Json] = []
        self._earlier: list[Message | SampleBlock] = []
        self._position: Json = None
        self._first_position: Json = None
        if before is not None:
            count = len(before.deliveries) if up_to is None else up_to
            self._earlier = before._earlier + [one for part in before.deliveries[:count] for one in part]
            self._position = before.positions[count - 1] if count else before._first_position
        self._first_position = self._position
        self._fails_at = fails_at
        self._turns = turns
        self._busy = False

    @property
    def position(self) -> Json:
        return kept(self._position)

    @property
    def items(self) -> list[Message | SampleBlock]:
        """All that was taken, in this run and before it."""
        return self._earlier + [one for part in self.deliveries for one in part]

    def newest_ns(self, source: str) -> int | None:
        return max((block.end_ns for block in self._blocks(source)), default=None)

    async def gaps(
        self, source: str, begin_ns: int, end_ns: int, components: Sequence[str] = ()
    ) -> list[tuple[int, int]]:
        await asyncio.sleep(0)
        gaps, at = [], begin_ns
        for begin, end in sorted(_stretches(self._blocks(source), components)):
            if begin > at:
                gaps.append((at, min(begin, end_ns)))
            at = max(at, end)
            if at >= end_ns:
                return gaps
        return [*gaps, (at, end_ns)] if at < end_ns else gaps

    async def take(self, items: Sequence[Message | SampleBlock], position: Json = None) -> Taken:
        assert not self._busy, "take was called before the last one had returned: await it"
        _check_items(items)
        stored = through_json(position, "a position")
        self._busy = True
        try:
            for _ in range(self._turns):
                await asyncio.sleep(0)
            if self._fails_at == len(self.deliveries):
                self._fails_at = None
                raise StoreError("the disk is full")
            self.deliveries.append(list(items))
            if position is not None:
                self._position = stored
            self.positions.append(self._position)
        finally:
            self._busy = False
        return Taken(sum(one.count for one in items if isinstance(one, SampleBlock)), Counter())

    def _blocks(self, source: str) -> list[SampleBlock]:
        return [one for one in self.items if isinstance(one, SampleBlock) and one.source == source]


def _check_items(items: object) -> None:
    assert isinstance(items, Sequence), f"take was given {type(items).__name__}: give it a list"
    for item in items:
        if isinstance(item, Message):
            right = isinstance(item.topic, str) and isinstance(item.payload, bytes)
            assert right and type(item.received_ns) is int, f"a message with wrong parts: {item!r:.200}"  # noqa: PT018
            continue
        assert isinstance(item, SampleBlock), f"take was given {type(item).__name__}: give blocks or messages"
        try:
            checked([item], Message("", b"", _EVER_NS))
        except (TypeError, DecodeError) as error:
            raise AssertionError(f"take was given a block that is none: {error}") from None


def _stretches(blocks: Sequence[SampleBlock], components: Sequence[str]) -> list[tuple[int, int]]:
    """Where there is a number, of some components where they are named, as (begin, end) in ns."""
    found = []
    for block in blocks:
        rows = [place for place, name in enumerate(block.components) if not components or name in components]
        for place in np.flatnonzero(np.isfinite(block.values[rows]).any(axis=0)).tolist():
            begin = block.t0_ns + place * block.step_ns
            found.append((begin, begin + block.step_ns))
    return found
