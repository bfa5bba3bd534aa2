"""A stage that lives in a process of its own: what stands for it here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from monitor.errors import PluginError
from monitor.plugins.cage import parcels, wire
from monitor.plugins.cage.journal import Journal
from monitor.plugins.cage.keeper import Keeper, OffError
from monitor.plugins.cage.process import Process
from monitor.stages.checking import checked_products
from monitor.types import Json, Product, SampleBlock, Standing, Tick

_ITEMS: Final = 256
_BYTES: Final = 4 << 20


class CagedStage:
    """Feeds a stage over there, in portions that it can answer in time; what it was fed when it is lost is left out.

    Parameters
    ----------
    keeper : Keeper
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._journal = Journal()
        self._recent = _Recent(keeper.ready.lookback_ns)
        self.kinds = frozenset(keeper.ready.kinds or ())
        self.lookback_ns = keeper.ready.lookback_ns

    @property
    def standing(self) -> Standing:
        """How it stands."""
        return self._keeper.standing

    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> Sequence[Product]:
        """What it makes of items, or of the passing of time; nothing once it is off. PluginError where it raised."""
        if isinstance(items, Tick):
            return self._fed(wire.Pass(items.elapsed_ns), (), 0)
        products: list[Product] = []
        failed: PluginError | None = None
        for portion, size in _portions(items):
            try:
                products += self._fed(_given(portion), portion, size)
            except PluginError as error:
                failed = error
        if failed is not None and not products:
            raise failed
        return products

    def snapshot(self) -> Json:
        """Its state, or what it was when it last could say; PluginError where it never could."""
        try:
            self._save()
        except (OffError, PluginError) as error:
            if self._journal.state is None:
                raise self._keeper.found.error(f"there is no state of it to store ({error})") from None
        return self._journal.state

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError where it cannot be read."""
        try:
            self._keeper.ask(wire.Load(parcels.packed(state)), wire.Done, self._revive)
        except (OffError, PluginError) as error:
            raise ValueError(str(error)) from None
        self._loaded(state)

    def end(self) -> None:
        """End its process."""
        self._keeper.end()

    def _fed(
        self, request: wire.Give | wire.Pass, items: Sequence[SampleBlock | Product], size: int
    ) -> list[Product]:
        try:
            answer = self._keeper.ask(request, wire.Said, self._revive)
        except OffError:
            return []
        self._journal.add(request, size)
        self._recent.add(items)
        if self._journal.tidy(self._keeper, self._revive):
            self._recent.saved()
        try:
            return checked_products([thing.taken() for thing in answer.things], self.kinds)
        except (parcels.WireError, TypeError, ValueError) as error:
            raise self._keeper.raised(f"what is no product of it: {error}") from None

    def _save(self) -> None:
        self._journal.save(self._keeper, self._revive)
        self._recent.saved()

    def _loaded(self, state: Json) -> None:
        self._journal.loaded(state)
        self._recent.saved()

    def _revive(self, process: Process) -> None:
        for portion, _ in _portions(self._recent.blocks):
            process.ask(_given(portion), wire.Said)
        for _ in self._journal.replayed(process, wire.Said):
            pass


class _Recent:
    """The blocks within the lookback of a stage that its state does not hold."""

    def __init__(self, lookback_ns: int) -> None:
        self._lookback_ns = lookback_ns
        self._saved: deque[SampleBlock] = deque()
        self._since: list[SampleBlock] = []
        self._clocks: dict[str, int] = {}

    @property
    def blocks(self) -> list[SampleBlock]:
        """Those that the last saved state had seen."""
        return list(self._saved)

    def add(self, items: Sequence[SampleBlock | Product]) -> None:
        if not self._lookback_ns:
            return
        for item in items:
            if isinstance(item, SampleBlock):
                self._since.append(item)
                self._clocks[item.source] = max(item.end_ns, self._clocks.get(item.source, item.end_ns))

    def saved(self) -> None:
        """Take note that a state has seen all of them; forget those that no output needs any more."""
        kept = (
            block
            for block in (*self._saved, *self._since)
            if block.end_ns > self._clocks[block.source] - self._lookback_ns
        )
        self._saved, self._since = deque(kept), []


def _given(items: Sequence[SampleBlock | Product]) -> wire.Give:
    return wire.Give(
        tuple(
            parcels.Block.of(item) if isinstance(item, SampleBlock) else parcels.Thing.of(item)
            for item in items
        )
    )


def _portions(
    items: Sequence[SampleBlock | Product],
) -> Iterator[tuple[list[SampleBlock | Product], int]]:
    """Items in portions of bounded number and size, with the size in bytes."""
    portion: list[SampleBlock | Product] = []
    size = 0
    for item in items:
        portion.append(item)
        size += item.values.nbytes if isinstance(item, SampleBlock) else 1024
        if len(portion) >= _ITEMS or size >= _BYTES:
            yield portion, size
            portion, size = [], 0
    if portion:
        yield portion, size
