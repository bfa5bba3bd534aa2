"""From the states of chains to `plasmapause` objects: where it is, or why that is unknown, with their revisions."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.science.profile import carpenter_anderson_1992, moldwin_2002
from monitor.stages.ledger import RevisionLedger
from monitor.stages.place import Places
from monitor.stages.product import GRACE_NS, number
from monitor.stages.profile import chain_product
from monitor.types import ChainState, Json, Pair, Product, Tick

# Flags of pairs that bear on what rests on them.
_PASSED_ON = frozenset({"harmonic_ambiguous", "physical_only", "smoothed"})


class PlasmapauseStage:
    """Builds `plasmapause` objects of chains and numbers their revisions.

    Parameters
    ----------
    places : Places
        Of all pairs.
    level : float
        Probability of the interval.
    cadence_ns, lateness_ns : int
        `valid_until` is time + cadence + lateness + 180 s.
    remember_ns : int
        How far back revisions are told apart.
    """

    lookback_ns = 0

    def __init__(
        self, places: Places, level: float, cadence_ns: int, lateness_ns: int, remember_ns: int
    ) -> None:
        self._places = places
        self._level = level
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
        turn = self._ledger.turn(state.chain.name, state.end_ns, content)
        return None if turn is None else chain_product("plasmapause", state, turn, content, self._valid_ns)

    def _content(self, state: ChainState) -> dict[str, Json]:
        estimate, pairs = state.plasmapause, state.chain.pairs
        stated = estimate.low is not None and estimate.high is not None
        place = nearest(pairs, estimate.l_shell)
        (mlt_h,) = self._places.at((pairs[place],), state.end_ns - state.length_ns // 2).mlt_h
        return {
            "l_shell": _number(estimate.l_shell),
            "l_interval": [_number(estimate.low), _number(estimate.high)] if stated else None,
            "interval_level": number(self._level),
            "confidence": number(estimate.confidence),
            "mlt_h": _number(mlt_h),
            "reason": estimate.reason,
            "by_label": _number(estimate.by_label),
            "by_gradient": _number(estimate.by_gradient),
            "inside": {pair.name: number(share) for pair, share in zip(pairs, estimate.inside, strict=True)},
            "pairs_used": [pair.name for pair, used in zip(pairs, state.used, strict=True) if used],
            "empirical": _empirical(state),
            "flags": sorted(_flags(state)),
        }


def nearest(pairs: Sequence[Pair], l_shell: float | None) -> int:
    """Place of the pair nearest a plasmapause; of the middle pair where none is stated."""
    if l_shell is None:
        return len(pairs) // 2
    return min(range(len(pairs)), key=lambda place: abs((pairs[place].l_shell or 0.0) - l_shell))


def _empirical(state: ChainState) -> dict[str, Json] | None:
    """What models of Kp say, for comparison alone; None where no Kp is known."""
    kp_12h, kp_24h = state.kp_maximum_12h, state.kp_maximum_24h
    if kp_12h is None and kp_24h is None:
        return None
    return {
        "carpenter_anderson_1992": None if kp_24h is None else number(carpenter_anderson_1992(kp_24h)),
        "moldwin_2002": None if kp_12h is None else number(moldwin_2002(kp_12h)),
    }


def _flags(state: ChainState) -> frozenset[str]:
    """`carried` where no pair speaks in this window and the estimate is that of earlier ones; flags of pairs used."""
    if not any(state.used):
        return frozenset({"carried"})
    flags = [
        finding.flags
        for finding, used in zip(state.findings, state.used, strict=True)
        if used and finding is not None
    ]
    return frozenset().union(*flags) & _PASSED_ON


def _number(value: float | None) -> float | None:
    return None if value is None else number(value)
