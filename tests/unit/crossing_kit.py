"""States of chains as a plasmapause at known places would make them: shared by the tests of events."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from monitor.stages.crossing import HOUR_NS, CrossingParameters
from monitor.stages.event import EventStage
from monitor.types import (
    Chain,
    ChainState,
    Finding,
    Label,
    Pair,
    PhysicalReading,
    PlasmapauseEstimate,
    Product,
)

CADENCE_NS = HOUR_NS // 2
DAY = 48
REMEMBER_NS = 26 * HOUR_NS
T0_NS = 1_504_742_400_000_000_000  # 2017-09-07T00:00:00Z
URL = "http://127.0.0.1:9464/"
PAIRS = (
    Pair("KEV", "IVA", 5.9),
    Pair("MUO", "PEL", 5.37),
    Pair("OUJ", "HAN", 4.1),
    Pair("HAN", "NUR", 3.6),
    Pair("TAR", "BRZ", 2.9),
)
EMMA = Chain("emma", PAIRS)
GEOMETRY = {pair.name: (25.0 + number, 68.0 - number) for number, pair in enumerate(PAIRS)}
NAN = math.nan


def stage(chains: Sequence[Chain] = (EMMA,), remember_ns: int = REMEMBER_NS, **changes: Any) -> EventStage:
    return EventStage(
        chains,
        CrossingParameters(**changes),
        base_url=URL,
        remember_ns=remember_ns,
        geometry=GEOMETRY,
    )


def finding(pair: Pair, end_ns: int) -> Finding:
    return Finding(
        pair=pair,
        end_ns=end_ns,
        length_ns=2 * HOUR_NS,
        coverage=((pair.poleward, 1.0), (pair.equatorward, 1.0)),
        physical=PhysicalReading(Label.NO_FREQ, NAN, NAN, NAN, NAN, NAN, NAN),
        illumination=None,
        mlt_h=None,
        probability=None,
        stage_one=None,
        as_freq=None,
        as_pbl=None,
        label=Label.NO_FREQ,
    )


def state(
    number: int,
    inside: Sequence[float],
    place: float | None = None,
    *,
    fresh: bool = True,
    chain: Chain = EMMA,
    silent: frozenset[str] = frozenset(),
) -> ChainState:
    """The state of window `number` after `T0_NS`: what is thought of each pair, and where the plasmapause is."""
    end_ns = T0_NS + number * CADENCE_NS
    stated = (None, None, None) if place is None else (place, place - 0.25, place + 0.25)
    return ChainState(
        chain=chain,
        end_ns=end_ns,
        length_ns=2 * HOUR_NS,
        findings=tuple(None if pair.name in silent else finding(pair, end_ns) for pair in chain.pairs),
        used=(fresh,) * len(chain.pairs),
        plasmapause=PlasmapauseEstimate(
            *stated, 0.0 if place is None else 0.9, tuple(inside), "no_data" if place is None else None
        ),
        fit=None,
    )


def states_of(
    places: Sequence[float], chain: Chain = EMMA, night: Mapping[int, bool] | None = None, first: int = 0
) -> list[ChainState]:
    """States of an estimate that follows a plasmapause, sharp to 0.15 in L; nothing is seen by night."""
    said, held = [], places[0]
    for number, place in enumerate(places, first):
        dark = bool(night and night.get(number))
        held = held if dark else place
        inside = [1.0 / (1.0 + math.exp((_shell(pair) - held) / 0.05)) for pair in chain.pairs]
        said.append(state(number, inside, None if dark else held, fresh=not dark, chain=chain))
    return said


def _shell(pair: Pair) -> float:
    assert pair.l_shell is not None
    return pair.l_shell


def properties(product: Product) -> dict[str, Any]:
    return dict(product.body["properties"])


def lines(products: Sequence[Product], subject: str | None = None) -> list[str]:
    """What was said, in short: subject, direction, state, outcome."""
    said = [properties(one) for one in products]
    return [
        " ".join(filter(None, [one["subject"], one["direction"], one["state"], one.get("outcome")]))
        for one in said
        if subject is None or one["subject"] == subject
    ]


def standing(products: Sequence[Product]) -> Counter[tuple[Any, ...]]:
    """The events that are true after all that was said: subject, direction, start, end, outcome."""
    newest = {properties(one)["data_id"]: properties(one) for one in products}
    return Counter(
        (one["subject"], one["direction"], one["start_datetime"], one.get("end_datetime"), one.get("outcome"))
        for one in newest.values()
        if one.get("outcome") != "withdrawn"
    )
