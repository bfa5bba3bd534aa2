"""What a stage is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from monitor.types import Json, Tick

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
