"""A source that lives in a process of its own: what stands for it here."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from monitor.errors import MonitorError, PluginOffError
from monitor.plugins.base import Feed, Taken
from monitor.plugins.cage import parcels, wire
from monitor.plugins.cage.keeper import Keeper, OffError
from monitor.plugins.cage.line import Line
from monitor.plugins.cage.process import LostError
from monitor.types import Message, SampleBlock, Standing

_END_S: Final = 2.0


class CagedSource:
    """Runs over there; what it brings goes to the feed, and what it asks is answered from there.

    Parameters
    ----------
    keeper : Keeper
    names : sequence of str
        Stations and spacecraft of whose newest samples it is told.
    """

    def __init__(self, keeper: Keeper, names: tuple[str, ...]) -> None:
        self._keeper = keeper
        self._names = names

    @property
    def standing(self) -> Standing:
        """How it stands."""
        return self._keeper.standing

    async def run(self, feed: Feed) -> None:
        """Bring what there is, until cancelled.

        Raises
        ------
        PluginError
            It raised, or its process was lost.
        PluginOffError
            It is switched off.
        """
        try:
            process = await asyncio.to_thread(self._keeper.process)
        except OffError as error:
            raise self._off(str(error)) from None
        line = await Line.of(process)
        try:
            await self._run(line, feed)
        except LostError as error:
            await asyncio.to_thread(self._keeper.strike, error)
            if self._keeper.is_off:
                raise self._off(str(self._keeper.standing.reason)) from None
            raise self._keeper.found.error(str(error)) from None
        finally:
            await line.close()
            # What is cut off in the middle of a frame is of no use to the next run.
            await asyncio.shield(asyncio.to_thread(self._keeper.drop))

    def end(self) -> None:
        """End its process."""
        self._keeper.end()

    def _off(self, reason: str) -> PluginOffError:
        return PluginOffError(self._keeper.found.name, self._keeper.found.distribution, reason)

    async def _run(self, line: Line, feed: Feed) -> None:
        patience_s = self._keeper.limits.answer_s
        await line.send(wire.Run(parcels.packed(feed.position), self._newest(feed)), patience_s)
        waiting: asyncio.Task[wire.FromPlugin] = asyncio.create_task(line.received())
        pinged = False
        try:
            while True:
                done, _ = await asyncio.wait([waiting], timeout=patience_s)
                if not done:
                    if pinged:
                        raise LostError(f"held up its loop for more than {patience_s:g} s")
                    await line.send(wire.Ping(self._newest(feed)), patience_s)
                    pinged = True
                    continue
                pinged = False
                frame = waiting.result()
                if isinstance(frame, wire.Ended):
                    raise self._keeper.raised(frame.error or "nothing, and ended by itself")
                await self._answer(line, frame, feed)
                self._keeper.worked()
                waiting = asyncio.create_task(line.received())
        except asyncio.CancelledError:
            with contextlib.suppress(LostError, TimeoutError):
                await line.send(wire.Cancel(), _END_S)
                async with asyncio.timeout(_END_S):
                    while not isinstance(await waiting, wire.Ended):
                        waiting = asyncio.create_task(line.received())
            raise
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _answer(self, line: Line, frame: wire.FromPlugin, feed: Feed) -> None:
        patience_s = self._keeper.limits.answer_s
        if isinstance(frame, wire.Pong):
            return
        if isinstance(frame, wire.Take):
            await line.send(await self._taken(frame, feed), patience_s)
            return
        if not isinstance(frame, wire.AskGaps):
            raise LostError(f"sent {type(frame).__name__} while it ran")
        try:
            gaps = await feed.gaps(frame.source, frame.begin_ns, frame.end_ns, frame.components)
        except MonitorError as error:
            await line.send(wire.Gaps(frame.number, (), str(error)), patience_s)
        else:
            await line.send(wire.Gaps(frame.number, tuple(gaps), None), patience_s)

    async def _taken(self, frame: wire.Take, feed: Feed) -> wire.Took:
        try:
            items: list[Message | SampleBlock] = [item.taken() for item in frame.items]
            position = parcels.unpacked(frame.position) if frame.position else None
        except parcels.WireError as error:
            raise LostError(f"brought what cannot be read ({error})") from None
        try:
            taken: Taken = await feed.take(items, position)
        except MonitorError as error:
            return wire.Took(frame.number, 0, {}, self._newest(feed), str(error))
        return wire.Took(frame.number, taken.samples, dict(taken.refused), self._newest(feed), None)

    def _newest(self, feed: Feed) -> dict[str, int]:
        newest = {name: feed.newest_ns(name) for name in self._names}
        return {name: time_ns for name, time_ns in newest.items() if time_ns is not None}
