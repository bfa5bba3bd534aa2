"""What a stage is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from monitor.types import Json, Product, SampleBlock, Tick

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


class Stage(Protocol[In, Out]):
    """A pure, stateful step: no clock, no input or output, no asyncio. Time comes as data.

    Attributes
    ----------
    lookback_ns : int
        How much input before an output's time the output may need.
    """

    @property
    def lookback_ns(self) -> int: ...

    def feed(self, items: Sequence[In] | Tick) -> Sequence[Out]:
        """Take items (or the passing of time) and return what they complete. Never changes its input."""
        ...

    def snapshot(self) -> Json:
        """The state as JSON, with a `version`; samples are never part of it."""
        ...

    def restore(self, state: Json) -> None:
        """Take up a state that `snapshot` gave; raise ValueError for another version."""
        ...


class ProductStage(Stage[SampleBlock | Product, Product], Protocol):
    """A stage that is a plugin: it sees every admitted block, then every product, and adds products of its own.

    As every plugin it is made with its options and its surroundings. `kinds` are the kinds of its own products, which
    nothing else has: the first level of their topics below the output root. Of products with the same kind, subject
    and time the revision must rise, and the content of one that was given must never change.
    """

    @property
    def kinds(self) -> frozenset[str]: ...
