"""The sinks that are switched on: each takes the committed products in their order, at its own pace, from its own place."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal

from monitor.daemon.upkeep import Patience, Upkeep, end_within
from monitor.daemon.waiting import within
from monitor.errors import StoreDamagedError, StoreError
from monitor.io.metrics import PluginMetrics
from monitor.io.store import Store
from monitor.plugins import Sink
from monitor.types import Json

logger = logging.getLogger(__name__)

SINK_STATE: Final = "sink:"
"""How the names of the states begin that say how far a sink is."""

_BATCH: Final = 256
# How often it is looked for new products.
_LOOK_S: Final = 1.0
# So far behind, the exact number is of no use.
_MOST_WAITING: Final = 100_000
# Products that a sink does not want are passed over so far before that is written down.
_PASSED_OVER: Final = 10_000


class SinkTask:
    """One sink that takes products.

    Its cursor is the last row that `write` returned for. It is stored after each write, so a product that was written
    may be written again after a restart, and none is left out.

    Parameters
    ----------
    name, plugin : str
        What it is called in the configuration, and what it is.
    sink : Sink
    begin : 'now' or 'beginning'
        Where it begins when it is switched on for the first time.
    store : Store
    metrics : PluginMetrics
    patience : Patience
    """

    def __init__(
        self,
        name: str,
        plugin: str,
        sink: Sink,
        begin: Literal["now", "beginning"],
        store: Store,
        metrics: PluginMetrics,
        *,
        patience: Patience,
    ) -> None:
        self._name, self._plugin, self._sink, self._begin = name, plugin, sink, begin
        self._store, self._metrics = store, metrics
        self._patience = patience
        self.upkeep = Upkeep(name, "sink", metrics, self._patience)
        self._row: int | None = None
        self._stored_row: int | None = None
        self._lost: Counter[str] = Counter()
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"sink {self._name}")

    async def end(self) -> None:
        """Cancel it and wait for its end, but not for ever; what it has taken is remembered."""
        if self._task is not None:
            await end_within(self._task, f"sink {self._name}", self._patience.end_s + self._patience.close_s)
            with suppress(StoreError):
                await self._remember()

    def pruned(self, kind: str, rows: Sequence[int]) -> None:
        """Say that products are gone from the store: those that this sink had not taken are lost to it."""
        row, kinds = self._row, self._sink.kinds
        lost = 0 if row is None else sum(one > row for one in rows)
        if lost and (kinds is None or kind in kinds):
            self._lost[kind] += lost
            self._metrics.lost(self._name, lost)
            logger.error(
                "sink %s: %d products of kind %s were deleted before it took them (store.product_retention_h)",
                self._name,
                lost,
                kind,
            )

    def observe(self) -> None:
        """Count what waits for it (in a thread)."""
        if self._row is not None:
            self._waiting = self._store.count_products_after(self._row, _MOST_WAITING)
            self._metrics.waiting(self._name, self._waiting)

    def page(self) -> Json:
        """What `/api/status` says of a sink alone."""
        return {"row": self._row, "waiting": self._waiting, "lost": self._lost.total()}

    async def _run(self) -> None:
        try:
            await self.upkeep.run(self._deliver)
        except StoreDamagedError as error:
            self.upkeep.switch_off(str(error))

    async def _deliver(self) -> None:
        """Get ready and write what there is, for ever."""
        if self._row is None:
            self._row = await self._first_row()
        self.upkeep.begin()
        try:
            await _within(self._patience.open_s, "open", self._sink.open())
            while True:
                if not await self._turn():
                    await asyncio.sleep(_LOOK_S)
        finally:
            if not await within(self._sink.close(), self._patience.close_s):
                logger.warning("sink %s does not close within %g s", self._name, self._patience.close_s)

    async def _turn(self) -> bool:
        """Write a batch; return whether there may be more at once."""
        assert self._row is not None
        found = await asyncio.to_thread(self._store.products_after, self._row, _BATCH)
        kinds = self._sink.kinds
        wanted = [product for product in found if kinds is None or product.kind in kinds]
        if wanted:
            await _within(self._patience.write_s, "write", self._sink.write(wanted))
            self._metrics.took(self._name, len(wanted))
        self.upkeep.worked()
        if found:
            self._row = found[-1].row
            if wanted or self._row - (self._stored_row or 0) >= _PASSED_OVER:
                await self._remember()
        return bool(found)

    async def _first_row(self) -> int:
        """The row that it took last in an earlier run of the same plugin; else where it is to begin."""
        states = await asyncio.to_thread(self._store.states)
        row = stored_row(states, self._name, self._plugin)
        last_row = await asyncio.to_thread(self._store.last_product_row)
        if row is not None and row > last_row:
            logger.warning(
                "sink %s had taken more than the store holds: it goes on behind row %d", self._name, last_row
            )
            row = last_row
        if row is None:
            row = last_row if self._begin == "now" else 0
            self._row = row
            await self._remember()
        self._stored_row = row
        return row

    async def _remember(self) -> None:
        """Store how far it is; what a full disk does not take now is stored later, and this run knows it."""
        row = self._row
        if row is None or row == self._stored_row:
            return
        text = json.dumps({"plugin": self._plugin, "row": row})
        try:
            await asyncio.to_thread(self._store.commit, [], {f"{SINK_STATE}{self._name}": text})
        except StoreDamagedError:
            raise
        except StoreError as error:
            logger.debug("sink %s: how far it is cannot be stored now: %s", self._name, error)
        else:
            self._stored_row = row


def stored_row(states: Mapping[str, str], name: str, plugin: str) -> int | None:
    """The row that a sink took last, as it is stored; None where it was another plugin, or cannot be read."""
    try:
        stored = json.loads(states[f"{SINK_STATE}{name}"])
        return int(stored["row"]) if stored["plugin"] == plugin else None
    except (ValueError, LookupError, TypeError):
        return None


async def _within(seconds: float, what: str, work: Awaitable[None]) -> None:
    """Wait for what a sink does, but not for ever; TimeoutError that says what took so long."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await work
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"{what} took longer than {seconds:g} s") from None
        raise
