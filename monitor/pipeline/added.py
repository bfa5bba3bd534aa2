"""The stages that plugins add to the pipeline: fed with what it sees and says, guarded, and kept with its states."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from monitor.pipeline.guard import Guard
from monitor.stages.base import ProductStage
from monitor.stages.checking import checked_products
from monitor.types import Json, Product, SampleBlock, Tick

logger = logging.getLogger(__name__)

PREFIX: Final = "plugin."
"""How the names of these stages begin, in states and in metrics."""


@dataclass(slots=True)
class _Added:
    """One stage, and the state that it takes up once it has seen the samples before it."""

    stage: ProductStage
    state: Json = None
    # Where it cannot say its state the last one stands: what came since is lost to it by a restart.
    last: Json = None


class Added:
    """Stages beside those of the pipeline. None sees what another says, so their order means nothing.

    Parameters
    ----------
    stages : mapping
        By the name that each has in the configuration; no two have a kind in common.
    guard : Guard
    shadows : collection of str
        Stations, pairs and spacecraft of synthetic signals, which are no measurements: nothing of them goes in.
    """

    def __init__(self, stages: Mapping[str, ProductStage], guard: Guard, shadows: Collection[str]) -> None:
        self._added = {f"{PREFIX}{name}": _Added(stage) for name, stage in stages.items()}
        self._guard = guard
        self._shadows = frozenset(shadows)

    @property
    def lookback_ns(self) -> int:
        """How much input before now a restart needs."""
        return max((one.stage.lookback_ns for one in self._added.values()), default=0)

    def feed(self, items: Sequence[SampleBlock] | Tick, products: Sequence[Product]) -> list[Product]:
        """What the stages make of blocks or of the passing of time, and then of the products that came of these."""
        if not self._added:
            return []
        self._settle()
        blocks = items if isinstance(items, Tick) else self._real_blocks(items)
        real = [one for one in products if self._shadows.isdisjoint(one.subject.split("/"))]
        said: list[Product] = []
        for name, one in self._added.items():
            with self._guard.watch(name):
                if isinstance(blocks, Tick) or blocks:
                    said += self._guard.alone(name, "samples", partial(_said, one.stage, blocks))
                if real:
                    said += self._guard.alone(name, "products", partial(_said, one.stage, real))
        return said

    def load(self, blocks: Iterable[SampleBlock]) -> None:
        """Let stages that look back see samples of earlier runs; what they say of them was said before."""
        known = self._real_blocks(blocks)
        for name, one in self._added.items():
            if one.stage.lookback_ns and known:
                self._guard.alone(name, "samples", partial(_silently, one.stage, known))

    def snapshot(self) -> dict[str, Json]:
        """State of every stage, by name."""
        self._settle()
        for name, one in self._added.items():
            self._guard.alone(name, "its state", partial(_save, one))
        return {name: one.last for name, one in self._added.items() if one.last is not None}

    def restore(self, states: Mapping[str, Json]) -> None:
        """Take up what `snapshot` gave, once the samples before it are loaded."""
        for name, one in self._added.items():
            one.state = states.get(name)

    def _settle(self) -> None:
        for name, one in self._added.items():
            if one.state is None:
                continue
            state, one.state = one.state, None
            try:
                one.stage.restore(state)
                one.last = state
            except Exception as error:  # noqa: BLE001  (another version of one plugin must not cost the others their states)
                logger.warning("%s cannot take up its state (%s): it begins anew", name, error)

    def _real_blocks(self, blocks: Iterable[SampleBlock]) -> list[SampleBlock]:
        return [block for block in blocks if block.source not in self._shadows]


def _said(stage: ProductStage, items: Sequence[SampleBlock | Product] | Tick) -> list[Product]:
    return checked_products(stage.feed(items), stage.kinds)


def _silently(stage: ProductStage, items: Sequence[SampleBlock]) -> list[Product]:
    stage.feed(items)
    return []


def _save(one: _Added) -> list[Product]:
    one.last = one.stage.snapshot()
    return []
