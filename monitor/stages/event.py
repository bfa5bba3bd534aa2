"""From the states of chains to events: one for each crossing, and one for all that belong together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from monitor.stages.crossing import PLASMAPAUSE, Crossing, CrossingParameters
from monitor.stages.event_book import EventBook
from monitor.stages.event_memory import Group, Seen
from monitor.stages.product import number
from monitor.types import Chain, ChainState, Json, Product, Tick


class EventStage:
    """Says when the plasmapause passes a pair or a chain, as notifications (`EventBook`).

    A pair has events of its own once, in the first chain that lists it. A chain of one pair that bears the pair's
    name has no others.

    Parameters
    ----------
    chains : sequence of Chain
        Every chain whose states will come, those of single pairs included.
    parameters : CrossingParameters
    base_url : str
        Of the server that shows events.
    remember_ns : int
        How far back states are revised.
    geometry : mapping of str to (float, float) or None
        Longitude and latitude (degrees) of each pair's middle.
    """

    # What a restart needs is in the state.
    lookback_ns = 0

    def __init__(
        self,
        chains: Sequence[Chain],
        parameters: CrossingParameters,
        *,
        base_url: str,
        remember_ns: int,
        geometry: Mapping[str, tuple[float, float] | None],
    ) -> None:
        self._chains = {chain.name: chain for chain in chains if chain.pairs}
        self._book = EventBook(
            PLASMAPAUSE,
            [Group(chain.name, tuple(pair.name for pair in chain.pairs)) for chain in self._chains.values()],
            parameters,
            _OfChains(self._chains, geometry),
            linked=("flr", "plasmapause"),
            base_url=base_url,
            remember_ns=remember_ns,
        )

    def feed(self, items: Sequence[ChainState | Product] | Tick) -> list[Product]:
        """The updates that the states make; products of the same turn come before them, and are linked.

        Raises
        ------
        ValueError
            For a state of a chain that is not configured; it names the chain.
        """
        if isinstance(items, Tick) or not items:
            return []
        windows: dict[str, list[Seen]] = {}
        for item in items:
            if isinstance(item, ChainState) and item.chain.pairs:
                name = item.chain.name
                if name not in self._chains:
                    raise ValueError(f"chain {name} is not configured; there are {', '.join(self._chains)}")
                windows.setdefault(name, []).append(_seen(item))
        return self._book.feed(windows, [item for item in items if isinstance(item, Product)])

    def adopt(self, documents: Iterable[Mapping[str, Json]]) -> None:
        """Take over events from the newest stored notification of each, when every state is lost.

        ValueError for a document that is none.
        """
        self._book.adopt(documents)

    def snapshot(self) -> Json:
        """The remembered windows and what was said, as JSON; the same object again until something changes."""
        return self._book.snapshot()

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version or other settings.

        A chain whose pairs are others now begins anew, with what was said of it.
        """
        self._book.restore(state)


class _OfChains:
    """What is told of a plasmapause: where it is, and whose products show it."""

    def __init__(
        self, chains: Mapping[str, Chain], geometry: Mapping[str, tuple[float, float] | None]
    ) -> None:
        self._chains = chains
        self._geometry = geometry

    def details(self, group: Group, subject: str, crossing: Crossing) -> dict[str, Json]:
        """L of the plasmapause with its interval, else L of the pair."""
        place = crossing.place
        if place is not None:
            return {"l_shell": number(place[0]), "l_interval": [number(place[1]), number(place[2])]}
        shells = {pair.name: pair.l_shell for pair in self._chains[group.name].pairs}
        return {"l_shell": shells[crossing.parts[-1] if crossing.parts else subject]}

    def topics(self, group: Group, source: str) -> list[str]:
        """The chain's plasmapause, where the chain is more than the pair, and the pair's resonance."""
        topics = [f"plasmapause/{group.name}"] if group.merged else []
        return topics + ([f"flr/{source}"] if source else [])

    def position_deg(
        self, group: Group | None, subject: str, crossing: Crossing | None
    ) -> tuple[float, float] | None:
        """Of a pair itself; of a chain, the pair nearest the plasmapause, else the one that crossed last."""
        if group is None or crossing is None or not crossing.parts:
            return self._geometry.get(subject)
        nearest = crossing.parts[-1]
        if crossing.place is not None:
            at = crossing.place[0]
            shells = [
                (abs(pair.l_shell - at), pair.name)
                for pair in self._chains[group.name].pairs
                if pair.l_shell is not None
            ]
            nearest = min(shells, default=(0.0, nearest))[1]
        return self._geometry.get(nearest)


def _seen(state: ChainState) -> Seen:
    """The part of a state that counts; six digits, so that a stored one is the same."""
    estimate = state.plasmapause
    numbers = (estimate.l_shell, estimate.low, estimate.high)
    known = [_six(one) for one in numbers if one is not None and math.isfinite(one)]
    inside = tuple(_six(one) for one in estimate.inside)
    return Seen(
        end_ns=state.end_ns,
        effective_ns=state.end_ns - state.length_ns // 2,
        first=inside,
        shown=tuple(finding is not None for finding in state.findings),
        fresh=any(state.used) and all(map(math.isfinite, inside)),
        place=(known[0], known[1], known[2]) if len(known) == 3 else None,
    )


def _six(value: float) -> float:
    return float(f"{value:.6g}")
