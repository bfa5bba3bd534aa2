"""The crossings of subjects that one boundary passes one after the other, as one event of their chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace

from monitor.stages.crossing import (
    PASSED,
    RETURNED,
    SECOND,
    Crossing,
    CrossingParameters,
    Look,
    Place,
    Watch,
    advance,
    crossing_from_json,
    joined,
)
from monitor.types import Json


@dataclass(frozen=True, slots=True)
class ChainWatch:
    """The state of a chain.

    Attributes
    ----------
    watches : tuple of Watch
        Of its subjects, in their order.
    crossing : Crossing or None
        The open event of the chain.
    followed_ns : int
        Centre of the window in which a subject crossed last, or the boundary moved on by a step.
    followed_place : float or None
        Where the boundary was then.
    standing : tuple of str
        Those of the event's subjects that have not returned.
    """

    watches: tuple[Watch, ...]
    crossing: Crossing | None = None
    followed_ns: int = 0
    followed_place: float | None = None
    standing: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """As nested lists."""
        crossing = None if self.crossing is None else list(astuple(self.crossing))
        watches = [watch.to_json() for watch in self.watches]
        return [watches, crossing, self.followed_ns, self.followed_place, list(self.standing)]

    @classmethod
    def from_json(cls, written: Json) -> ChainWatch:
        """What `to_json` gave."""
        watches, crossing, followed_ns, followed_place, standing = written
        return cls(
            tuple(Watch.from_json(one) for one in watches),
            crossing_from_json(crossing),
            followed_ns,
            followed_place,
            tuple(standing),
        )


@dataclass(slots=True)
class _Turn:
    """One window of a chain on its way through: what it ends is collected."""

    parameters: CrossingParameters
    subjects: Sequence[str]
    looks: Sequence[Look]
    state: ChainWatch
    closed: list[tuple[str | None, Crossing]] = field(default_factory=list)

    def end(self, said_ns: int) -> None:
        """The event of the chain is over since something followed last."""
        crossing = self.state.crossing
        assert crossing is not None
        outcome = PASSED if self.state.standing else RETURNED
        self.closed.append((None, crossing.ended(said_ns, self.state.followed_ns, outcome)))
        self.state = replace(self.state, crossing=None, followed_place=None, standing=())

    def confidence(self, to: int, names: Sequence[str]) -> float:
        """The probability of the subject that has crossed most surely."""
        return max(
            look.probability(to)
            for name, look in zip(self.subjects, self.looks, strict=True)
            if name in names
        )


def advance_chain(
    parameters: CrossingParameters,
    state: ChainWatch,
    subjects: Sequence[str],
    looks: Sequence[Look],
    *,
    merged: bool,
) -> tuple[ChainWatch, tuple[tuple[str | None, Crossing], ...]]:
    """Take in one window of a chain, a look at each of its subjects.

    Parameters
    ----------
    parameters : CrossingParameters
    state : ChainWatch
    subjects, looks : sequence, one for each watch
    merged : bool
        Whether the chain has events of its own besides those of its subjects.

    Returns
    -------
    state : ChainWatch
        After the window.
    closed : tuple of (str or None, Crossing)
        What it ends: of a subject, or (None) of the chain.
    """
    turn = _Turn(parameters, subjects, looks, state)
    window = looks[0]
    if state.crossing is not None and window.effective_ns - state.followed_ns > parameters.merge_ns:
        turn.end(window.time_ns)
    for number, (name, look) in enumerate(zip(subjects, looks, strict=True)):
        watch, ended = advance(parameters, turn.state.watches[number], look)
        if ended is not None:
            turn.closed.append((name, ended))
            _take_back(turn, name, ended)
        begun = watch.crossing
        if merged and begun is not None and begun.begun_ns == look.time_ns:
            watch = replace(watch, crossing=_join(turn, name, begun, look))
        watches = turn.state.watches
        turn.state = replace(turn.state, watches=(*watches[:number], watch, *watches[number + 1 :]))
    if window.fresh:
        _move(turn, window)
    return turn.state, tuple(turn.closed)


def _take_back(turn: _Turn, name: str, ended: Crossing) -> None:
    crossing = turn.state.crossing
    if ended.outcome != RETURNED or crossing is None:
        return
    if (crossing.to, crossing.begun_ns) == (ended.to, ended.part_of_ns):
        standing = tuple(one for one in turn.state.standing if one != name)
        turn.state = replace(turn.state, standing=standing)


def _join(turn: _Turn, name: str, begun: Crossing, look: Look) -> Crossing:
    """A crossing that begins goes into the chain's event of its direction, or begins one; return it as part of that."""
    open_event = turn.state.crossing
    if open_event is not None and open_event.to != begun.to:
        turn.end(look.time_ns)
        open_event = None
    if open_event is None:
        joint = replace(begun, parts=(name,))
        standing: tuple[str, ...] = (name,)
    else:
        parts = open_event.parts if name in open_event.parts else (*open_event.parts, name)
        standing = (*(one for one in turn.state.standing if one != name), name)
        joint = replace(
            open_event.restated(look, turn.confidence(begun.to, standing)),
            start_ns=min(open_event.start_ns, begun.start_ns),
            evidence=joined(open_event.evidence, list(begun.evidence)),
            parts=parts,
        )
    turn.state = replace(
        turn.state,
        crossing=joint,
        followed_ns=look.effective_ns,
        followed_place=turn.state.followed_place if look.place is None else look.place[0],
        standing=standing,
    )
    return replace(begun, part_of_ns=joint.begun_ns)


def _move(turn: _Turn, window: Look) -> None:
    """The boundary moves on while the chain's event is open."""
    state, crossing = turn.state, turn.state.crossing
    if crossing is None or crossing.said_ns == window.time_ns:
        return
    place, before = window.place, state.followed_place
    if place is not None and (
        before is None or _onward(crossing.to, before, place) >= turn.parameters.place_step
    ):
        turn.state = state = replace(state, followed_ns=window.effective_ns, followed_place=place[0])
    confidence = turn.confidence(crossing.to, state.standing or crossing.parts)
    if crossing.is_news(turn.parameters, place, confidence):
        turn.state = replace(state, crossing=crossing.restated(replace(window, source=""), confidence))


def _onward(to: int, before: float, place: Place) -> float:
    """How far the boundary moved in the event's direction: whoever reaches the second side sees it fall."""
    return before - place[0] if to == SECOND else place[0] - before
