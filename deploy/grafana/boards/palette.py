"""Colours that colour-blind eyes tell apart, one for each state, the same on every dashboard; text stands beside each.

Okabe and Ito (2008) for labels and states, Paul Tol's muted scheme for the ten regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from monitor.io.metrics import STATION_STATES
from monitor.types import REGIONS, Label, Quality

GOOD: Final = "#009E73"
WARNING: Final = "#E69F00"
BAD: Final = "#D55E00"
NEUTRAL: Final = "#56B4E9"
PLAIN: Final = "#8E8E8E"
STALE: Final = "#5F6368"
SECOND: Final = "#CC79A7"
"""The second opinion, and whatever else stands beside a main line."""


@dataclass(frozen=True, slots=True)
class State:
    """A state as it is shown: its colour, and its text."""

    colour: str
    text: str


LABELS: Final[Mapping[str, State]] = {
    Label.NO_FREQ: State(PLAIN, "NoFreq"),
    Label.FREQ: State(NEUTRAL, "Freq"),
    Label.PBL: State(WARNING, "PBL"),
}
_REGION_COLOURS: Final = (
    "#DDCC77",
    "#999933",
    "#CC6677",
    "#88CCEE",
    "#882255",
    "#AA4499",
    "#117733",
    "#332288",
    "#44AA99",
    "#DDDDDD",
)
REGION_STATES: Final[Mapping[str, State]] = {
    name: State(colour, str(name)) for name, colour in zip(REGIONS, _REGION_COLOURS, strict=True)
}
QUALITIES: Final[Mapping[str, State]] = {
    Quality.GOOD: State(GOOD, "good"),
    Quality.UNCERTAIN: State(WARNING, "uncertain"),
    Quality.POOR: State(BAD, "poor"),
}
_HEALTH_COLOURS: Final = {"ok": GOOD, "late": WARNING, "offline": BAD}
HEALTH: Final[Mapping[str, State]] = {
    name: State(_HEALTH_COLOURS.get(name, SECOND), name) for name in STATION_STATES
}
STALE_WORD: Final = "stale"
"""What a table says in place of a label where nothing is known."""
NOTHING_KNOWN: Final[Mapping[str, State]] = {STALE_WORD: State(STALE, STALE_WORD)}


def codes(states: Mapping[str, State]) -> dict[str, int]:
    """Number of each state where a query has to say it as a number: 1 for the first."""
    return {name: number for number, name in enumerate(states, start=1)}


def mappings(states: Mapping[str, State], *, unknown: str = "stale", first: int = 1) -> list[ValueMapping]:
    """From the numbers of states to text and colour; what has no value is grey and says so."""
    shown = {
        str(number): ValueMappingResult(text=state.text, color=state.colour, index=number)
        for number, state in enumerate(states.values(), start=first)
    }
    nothing = ValueMappingResult(text=unknown, color=STALE, index=len(shown) + first)
    return [
        ValueMap(options=shown),
        SpecialValueMap(
            DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=nothing)
        ),
    ]


def worded(states: Mapping[str, State]) -> list[ValueMapping]:
    """From the words themselves to colours, for tables; what has no value is a dash."""
    shown = {
        name: ValueMappingResult(text=state.text, color=state.colour, index=number)
        for number, (name, state) in enumerate(states.items())
    }
    nothing = ValueMappingResult(text="–", index=len(shown))
    return [
        *([ValueMap(options=shown)] if shown else []),
        SpecialValueMap(
            DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=nothing)
        ),
    ]
