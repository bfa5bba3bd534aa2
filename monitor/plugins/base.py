"""What sources and sinks are, and what every plugin is made with.

A plugin is a class that an entry point names, in the group of its kind (`GROUPS`). It has an inner class `Options`
and is made as `Plugin(options, surroundings)`; the first line of its docstring says what it is for. Decoders are
described in `monitor.decoders.base`, stages in `monitor.stages.base`; both are pure. Sources and sinks are
asynchronous, and whatever they wait for, they wait for without holding up the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from monitor.types import Json, Kind, Message, SampleBlock

GROUPS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "source": "geospace_monitor.sources",
        "decoder": "geospace_monitor.decoders",
        "stage": "geospace_monitor.stages",
        "model": "geospace_monitor.models",
        "sink": "geospace_monitor.sinks",
    }
)
"""The group of entry points of each kind of plugin. A name is given once, over all kinds."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a delivery of a source: samples that are stored now, and items refused, by reason."""

    samples: int
    refused: Mapping[str, int]


class Feed(Protocol):
    """What the daemon gives to a source that runs."""

    @property
    def position(self) -> Json:
        """What the source said last of how far it is, also in an earlier run; None at the first."""
        ...

    def newest_ns(self, source: str) -> int | None:
        """End of the newest stored sample of a station or spacecraft (ns UTC); None where there is none."""
        ...

    async def gaps(
        self, source: str, begin_ns: int, end_ns: int, components: Sequence[str] = ()
    ) -> list[tuple[int, int]]:
        """The stretches (ns UTC) between two times in which no number of a station or spacecraft is stored.

        Where `components` are named, numbers of others do not count.
        """
        ...

    async def take(self, items: Sequence[Message | SampleBlock], position: Json = None) -> Taken:
        """Hand over messages (decoded by whoever is configured for their topics) or blocks, in the order of time.

        Returns when all is stored, and `position` with it, where it is given: now what they came from may be told
        that they have arrived. While the store takes nothing this waits, and so does the source.
        What is refused is counted and logged under the source's name, and gone.
        """
        ...


class Source(Protocol):
    """Brings messages or samples from somewhere."""

    async def run(self, feed: Feed) -> None:
        """Bring what there is, until cancelled.

        It may be cancelled at any await. Whatever it raises is told to the operator, and it is begun again after a
        while; a source that waits for its server does so itself, politely, and says so in its log.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredProduct:
    """One committed product, as it is published.

    Attributes
    ----------
    row : int
        Rises from product to product in the order of the commits.
    kind, subject, time_ns, revision, retained
        As in `Product`.
    topic : str
        Below the output root.
    payload : bytes
        The JSON that is published; empty where a subject was removed.
    """

    row: int
    kind: str
    subject: str
    topic: str
    time_ns: int
    revision: int
    retained: bool
    payload: bytes


class Sink(Protocol):
    """Takes products to somewhere else."""

    @property
    def kinds(self) -> frozenset[str] | None:
        """The kinds of products that it takes (`flr`, `event`, …); None takes all."""
        ...

    async def open(self) -> None:
        """Get ready; called before the first `write`, and again after a failure."""
        ...

    async def write(self, products: Sequence[StoredProduct]) -> None:
        """Take products, in the order of the commits, and return when they are safe there.

        Whatever is raised, the same products come again later: a product may come twice, and none is left out.
        """
        ...

    async def close(self) -> None:
        """Let go of everything, also after a failure."""
        ...
