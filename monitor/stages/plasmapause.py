"""From the states of chains to `plasmapause` objects: where it is, or why that is unknown, with their revisions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from monitor.science.profile import carpenter_anderson_1992, moldwin_2002
from monitor.stages.chain_product import ChainProductStage
from monitor.stages.place import Places
from monitor.stages.product import number
from monitor.types import ChainState, Json, Pair

# Flags of pairs that bear on what rests on them.
_PASSED_ON = frozenset({"harmonic_ambiguous", "physical_only", "smoothed"})


def plasmapause_stage(
    places: Places, level: float, cadence_ns: int, lateness_ns: int, remember_ns: int
) -> ChainProductStage:
    """The stage that builds `plasmapause` objects.

    Parameters
    ----------
    places : Places
        Of all pairs.
    level : float
        Probability of the interval.
    cadence_ns, lateness_ns, remember_ns : int
        See `ChainProductStage`.
    """
    return ChainProductStage(
        "plasmapause", partial(_content, places, level), cadence_ns, lateness_ns, remember_ns
    )


def _content(places: Places, level: float, state: ChainState) -> dict[str, Json]:
    estimate, pairs = state.plasmapause, state.chain.pairs
    stated = estimate.low is not None and estimate.high is not None
    place = nearest(pairs, estimate.l_shell)
    (mlt_h,) = places.at((pairs[place],), state.end_ns - state.length_ns // 2).mlt_h
    return {
        "l_shell": _number(estimate.l_shell),
        "l_interval": [_number(estimate.low), _number(estimate.high)] if stated else None,
        "interval_level": number(level),
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
