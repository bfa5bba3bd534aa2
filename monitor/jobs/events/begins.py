"""Events as they were begun, and which true crossing each of them tells of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.jobs.events.simulate import Said
from monitor.jobs.events.truth import Crossing, Direction
from monitor.types import Json

KIND: Final = "plasmapause_crossing"


@dataclass(frozen=True, slots=True)
class Begin:
    """The begin of one event.

    Attributes
    ----------
    subject : str
        Pair or chain.
    direction : Direction
    start_ns : int
        When, it says, the crossing began.
    said_ns : int
        When it said so.
    end_ns : int or None
        When it said that it was over.
    outcome : str or None
        What the end said.
    """

    subject: str
    direction: Direction
    start_ns: int
    said_ns: int
    end_ns: int | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Passage:
    """Crossings of one direction that follow each other along the chain: what one event of the chain tells of."""

    direction: Direction
    near_ns: int
    until_ns: int
    visible_from_ns: int | None


@dataclass(frozen=True, slots=True)
class Matched:
    """Crossings or passages with the event that tells of each, and the events that tell of none."""

    told: tuple[tuple[Crossing | Passage, Begin | None], ...]
    false: tuple[Begin, ...]


def begins(said: Iterable[Said]) -> list[Begin]:
    """All crossings that were begun, in the order in which they were said.

    An event that was withdrawn later was begun, too: somebody was told.
    """
    first: dict[str, tuple[Said, Mapping[str, Json]]] = {}
    last: dict[str, tuple[int, str | None]] = {}
    for one in said:
        if one.product.kind != "event":
            continue
        properties: Mapping[str, Json] = one.product.body["properties"]
        if properties["kind"] != KIND:
            continue
        name = str(properties["data_id"])
        first.setdefault(name, (one, properties))
        if properties["state"] == "end":
            outcome = properties.get("outcome")
            last[name] = (one.said_ns, None if outcome is None else str(outcome))
    return [
        Begin(
            subject=str(properties["subject"]),
            direction=Direction(properties["direction"]),
            start_ns=one.product.time_ns,
            said_ns=one.said_ns,
            end_ns=last.get(name, (None, None))[0],
            outcome=last.get(name, (None, None))[1],
        )
        for name, (one, properties) in first.items()
    ]


def passages(crossings: Sequence[Crossing], merge_ns: int) -> list[Passage]:
    """Put together the crossings of one direction that follow each other within `merge_ns`.

    Crossings the other way end a passage, as they end an event of the chain.
    """
    found: list[list[Crossing]] = []
    for one in sorted(crossings, key=lambda crossing: crossing.time_ns):
        if (
            found
            and found[-1][0].direction is one.direction
            and one.time_ns - found[-1][-1].time_ns <= merge_ns
        ):
            found[-1].append(one)
        else:
            found.append([one])
    return [
        Passage(
            direction=group[0].direction,
            near_ns=min(one.near_ns for one in group),
            until_ns=max(one.until_ns for one in group),
            visible_from_ns=min(
                (one.visible_from_ns for one in group if one.visible_from_ns is not None), default=None
            ),
        )
        for group in found
    ]


def match(crossed: Sequence[Crossing | Passage], begun: Sequence[Begin]) -> Matched:
    """Give each event of one subject to a crossing of its direction, each crossing one event at most.

    An event tells of a crossing when it is said at its `near_ns` or later, and starts before the crossing is undone.
    Of several that it could tell of it takes the first that has none. What is left over is false: also a second
    event for the same crossing.
    """
    told: dict[int, Begin] = {}
    false = []
    for begin in sorted(begun, key=lambda one: one.said_ns):
        fits = [
            row
            for row, one in enumerate(crossed)
            if row not in told
            and one.direction is begin.direction
            and one.near_ns <= begin.said_ns
            and begin.start_ns <= one.until_ns
        ]
        if fits:
            told[fits[0]] = begin
        else:
            false.append(begin)
    return Matched(tuple((one, told.get(row)) for row, one in enumerate(crossed)), tuple(false))


def delay_ns(one: Crossing | Passage, begin: Begin | None) -> int | None:
    """From the end of the window in which the crossing could be seen to the event; None where it was not found."""
    if one.visible_from_ns is None or begin is None:
        return None
    return begin.said_ns - one.visible_from_ns
