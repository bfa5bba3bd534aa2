"""From the states of chains to objects of one kind, with their revisions: a profile, a plasmapause."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.stages.ledger import RevisionLedger
from monitor.stages.product import GRACE_NS
from monitor.types import SECOND_NS, ChainState, Json, Product, Tick, iso_time

Content = Callable[[ChainState], dict[str, Json]]
"""What an object says of a state: everything that revisions are judged by."""


class ChainProductStage:
    """Builds the objects of one kind and numbers their revisions, as `ProductStage` does for `flr`.

    Parameters
    ----------
    kind : str
        Of the objects, and the first level of their topic.
    content : callable
    cadence_ns, lateness_ns : int
        `valid_until` is time + cadence + lateness + 180 s.
    remember_ns : int
        How far back revisions are told apart.
    """

    lookback_ns = 0

    def __init__(
        self, kind: str, content: Content, cadence_ns: int, lateness_ns: int, remember_ns: int
    ) -> None:
        self._kind = kind
        self._content = content
        self._valid_ns = cadence_ns + lateness_ns + GRACE_NS
        self._ledger = RevisionLedger(remember_ns)

    def feed(self, items: Sequence[ChainState] | Tick) -> list[Product]:
        """The objects that are new or say something new."""
        if isinstance(items, Tick):
            return []
        issued = (self._issue(state) for state in items)
        return [product for product in issued if product is not None]

    def snapshot(self) -> Json:
        """The revisions issued so far, as JSON."""
        return self._ledger.snapshot()

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        self._ledger.restore(state)

    def _issue(self, state: ChainState) -> Product | None:
        content = self._content(state)
        name, time = state.chain.name, iso_time(state.end_ns)
        turn = self._ledger.turn(name, state.end_ns, content)
        if turn is None:
            return None
        head = {
            "schema": f"geospace/{self._kind}/1",
            "id": f"{self._kind}/{name}/{time}/{turn.revision}",
            "chain": name,
            "time": time,
            "effective_time": iso_time(state.end_ns - state.length_ns // 2),
            "window_s": state.length_ns / SECOND_NS,
            "revision": turn.revision,
        }
        return Product(
            kind=self._kind,
            subject=name,
            time_ns=state.end_ns,
            revision=turn.revision,
            retained=turn.newest,
            body=head | content,
            valid_until_ns=state.end_ns + self._valid_ns,
        )
