"""A sink that lives in a process of its own: what stands for it here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from monitor.errors import PluginError, PluginOffError
from monitor.plugins.base import StoredProduct
from monitor.plugins.cage import parcels, wire
from monitor.plugins.cage.keeper import Keeper, OffError
from monitor.plugins.cage.line import Line
from monitor.plugins.cage.process import LostError
from monitor.types import Standing


class CagedSink:
    """Writes over there, one thing at a time. After any failure it has to be opened again.

    Parameters
    ----------
    keeper : Keeper
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._line: Line | None = None
        kinds = keeper.ready.kinds
        self.kinds = None if kinds is None else frozenset(kinds)

    @property
    def standing(self) -> Standing:
        """How it stands."""
        return self._keeper.standing

    async def open(self) -> None:
        """Get ready, in a new process where the last one was lost.

        Raises
        ------
        PluginError
            It raised, or its process was lost.
        PluginOffError
            It is switched off.
        """
        await self._hang_up()
        try:
            process = await asyncio.to_thread(self._keeper.process)
        except OffError as error:
            raise self._off(str(error)) from None
        self._line = await Line.of(process)
        await self._done(wire.Open())

    async def write(self, products: Sequence[StoredProduct]) -> None:
        """Take products; raises as `open`."""
        await self._done(wire.Write(tuple(parcels.Row.of(product) for product in products)))

    async def close(self) -> None:
        """Let go of everything; what is in the way of that is ended with the process."""
        if self._line is None:
            return
        try:
            await self._done(wire.Close())
        except PluginError:
            # Noted by then; a process that is gone has let go of everything.
            pass
        finally:
            await self._hang_up()

    def end(self) -> None:
        """End its process."""
        self._keeper.end()

    def _off(self, reason: str) -> PluginOffError:
        return PluginOffError(self._keeper.found.name, self._keeper.found.distribution, reason)

    async def _done(self, request: wire.Open | wire.Write | wire.Close) -> None:
        line, limit_s, begin = self._line, self._keeper.limits.write_s, time.monotonic()
        if line is None:
            raise self._keeper.found.error("is not open")
        try:
            await line.send(request, limit_s)
            async with asyncio.timeout(limit_s):
                answer = await line.received()
            if not isinstance(answer, wire.Done | wire.Raised):
                raise LostError(f"answered with {type(answer).__name__}")
        except (LostError, TimeoutError) as error:
            raise await self._lost(
                error if isinstance(error, LostError) else LostError(f"gave no answer within {limit_s:g} s")
            ) from None
        except asyncio.CancelledError:
            # Whoever had enough of waiting has ended this: it may hang.
            lasted_s = time.monotonic() - begin
            if lasted_s > self._keeper.limits.answer_s:
                self._keeper.strike(LostError(f"had not answered after {lasted_s:.0f} s"))
            await self._hang_up()
            raise
        if isinstance(answer, wire.Raised):
            raise self._keeper.raised(answer.error)
        self._keeper.worked()

    async def _lost(self, error: LostError) -> PluginError:
        """Strike; the error to raise here."""
        await asyncio.to_thread(self._keeper.strike, error)
        await self._hang_up()
        if self._keeper.is_off:
            return self._off(str(self._keeper.standing.reason))
        return self._keeper.found.error(str(error))

    async def _hang_up(self) -> None:
        """Let go of the process: a new one is begun by the next `open`."""
        line, self._line = self._line, None
        if line is not None:
            self._keeper.drop()
            await line.close()
