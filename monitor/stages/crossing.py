"""A boundary that passes a subject: on which side the subject stands, when it crosses, and when that is over.

Nothing in here knows the plasmapause but `PLASMAPAUSE`: a bow shock that passes a spacecraft is the same machine.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, replace
from typing import TypeAlias

from monitor.types import SECOND_NS, Json

HOUR_NS = 3600 * SECOND_NS
FIRST, SECOND = 0, 1
"""The sides: a subject stands on the first where the boundary lies beyond it (a pair inside the plasmasphere)."""

PASSED = "passed"
RETURNED = "returned"
UNOBSERVED = "unobserved"

Place: TypeAlias = tuple[float, float, float]
"""Where the boundary is, and the interval that holds it."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """What passes the subjects: the kind of its events, and the words for reaching the first and the second side."""

    kind: str
    directions: tuple[str, str]


PLASMAPAUSE = Boundary("plasmapause_crossing", ("outward", "inward"))


@dataclass(frozen=True, slots=True)
class CrossingParameters:
    """When a change is a crossing.

    Attributes
    ----------
    confirm : float
        Probability of a side at which a window speaks for it.
    minimum_windows : int
        So many windows in a row have to, for a side to be established, for a crossing to begin, and (below one half)
        for it to be taken back.
    settle_windows : int
        A crossing has passed when the new side has held for so many windows more.
    refractory_ns : int
        No new crossing of the same subject in the same direction so soon after the end of one.
    merge_ns : int
        What follows along a chain within this time belongs to one event.
    patience_ns : int
        An open crossing without any evidence for so long ends `unobserved`.
    place_step, confidence_step : float
        Changes of the place (in L) and of the confidence that are worth an update.

    Raises
    ------
    ValueError
        For a value out of its range; it names the value.
    """

    confirm: float = 0.9
    minimum_windows: int = 2
    settle_windows: int = 4
    refractory_ns: int = 2 * HOUR_NS
    merge_ns: int = 24 * HOUR_NS
    patience_ns: int = 36 * HOUR_NS
    place_step: float = 0.25
    confidence_step: float = 0.1

    def __post_init__(self) -> None:
        if not 0.5 < self.confirm < 1.0:
            raise ValueError(f"confirm must lie between 0.5 and 1, not {self.confirm}")
        for name in ("minimum_windows", "settle_windows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("refractory_ns", "merge_ns", "patience_ns"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
        for name in ("place_step", "confidence_step"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a positive number, not {getattr(self, name)}")

    def to_json(self) -> Json:
        """The values in their order."""
        return list(astuple(self))


@dataclass(frozen=True, slots=True)
class Look:
    """What one window says of one subject.

    Attributes
    ----------
    time_ns, effective_ns : int
        End and centre of the window.
    first : float
        Probability of the first side.
    fresh : bool
        Whether the window had any evidence; nothing moves where it had none.
    place : Place or None
        Where the boundary is.
    source : str
        Whose product shows it; empty where the subject has none for this window.
    """

    time_ns: int
    effective_ns: int
    first: float
    fresh: bool
    place: Place | None = None
    source: str = ""

    def probability(self, side: int) -> float:
        """Probability of a side."""
        return self.first if side == FIRST else 1.0 - self.first


@dataclass(frozen=True, slots=True)
class Crossing:
    """One crossing, as far as it has come.

    `stated_ns`, `place` and `confidence` are those of the last change that was worth an update, so that what is said
    follows from the windows alone, and not from when they came.

    Attributes
    ----------
    to : int
        The side that is reached.
    start_ns : int
        Centre of the first window that speaks for it.
    begun_ns, said_ns : int
        Ends of the windows in which it was confirmed, and in which there was something to say last.
    stated_ns : int
        Centre of the latter.
    place : Place or None
    confidence : float
        Probability of the new side.
    evidence : tuple of (int, str)
        Ends of the windows on which it rests, each with whose product shows it.
    end_ns, outcome : optional
        When it was over, and how.
    part_of_ns : int or None
        `begun_ns` of the chain's event to which it belongs.
    parts : tuple of str
        Of a chain's event: the subjects that crossed, in the order in which they did.
    """

    to: int
    start_ns: int
    begun_ns: int
    said_ns: int
    stated_ns: int
    place: Place | None
    confidence: float
    evidence: tuple[tuple[int, str], ...]
    end_ns: int | None = None
    outcome: str | None = None
    part_of_ns: int | None = None
    parts: tuple[str, ...] = ()

    def restated(self, look: Look, confidence: float) -> Crossing:
        """The same with what a window says; a place that is unknown now stays what it was."""
        place = self.place if look.place is None else look.place
        return replace(
            self,
            said_ns=look.time_ns,
            stated_ns=look.effective_ns,
            place=place,
            confidence=confidence,
            evidence=joined(self.evidence, [(look.time_ns, look.source)]),
        )

    def is_news(self, parameters: CrossingParameters, place: Place | None, confidence: float) -> bool:
        """Whether place or confidence changed enough to say so."""
        if place is not None and (
            self.place is None or abs(place[0] - self.place[0]) >= parameters.place_step
        ):
            return True
        return abs(confidence - self.confidence) >= parameters.confidence_step

    def ended(self, said_ns: int, end_ns: int, outcome: str) -> Crossing:
        """The same, over: said in one window, and true of a time not before its start."""
        return replace(self, said_ns=said_ns, end_ns=max(end_ns, self.start_ns), outcome=outcome)


@dataclass(frozen=True, slots=True)
class Watch:
    """The state of one subject.

    Attributes
    ----------
    side : int or None
        The side that is established; that of an open crossing is the one it reaches.
    run_to, run : int or None, tuple of Look
        The windows in a row that speak for a side, which is not the established one.
    crossing : Crossing or None
        The open one.
    held : int
        Windows in which the new side held, since it began.
    doubts : tuple of Look
        The windows in a row that speak against it.
    fresh_ns : int or None
        End of the newest window with evidence.
    over_ns : tuple of (int or None)
        When the last crossing towards either side was over, by side.
    """

    side: int | None = None
    run_to: int | None = None
    run: tuple[Look, ...] = ()
    crossing: Crossing | None = None
    held: int = 0
    doubts: tuple[Look, ...] = ()
    fresh_ns: int | None = None
    over_ns: tuple[int | None, int | None] = (None, None)

    def to_json(self) -> Json:
        """As nested lists."""
        return list(astuple(self))

    @classmethod
    def from_json(cls, written: Json) -> Watch:
        """What `to_json` gave."""
        side, run_to, run, crossing, held, doubts, fresh_ns, over_ns = written
        return cls(
            side,
            run_to,
            tuple(_look(one) for one in run),
            crossing_from_json(crossing),
            held,
            tuple(_look(one) for one in doubts),
            fresh_ns,
            (over_ns[0], over_ns[1]),
        )


def advance(parameters: CrossingParameters, watch: Watch, look: Look) -> tuple[Watch, Crossing | None]:
    """Take one window in; return the state after it, and the crossing that it ends, if any.

    A crossing that begins is the state's `crossing`, with this window's end as `begun_ns`.
    """
    if not look.fresh:
        return _wait(parameters, watch, look)
    watch = replace(watch, fresh_ns=look.time_ns)
    if watch.crossing is None:
        return _seek(parameters, watch, look), None
    return _follow(parameters, watch, watch.crossing, look)


def joined(evidence: tuple[tuple[int, str], ...], more: list[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Both without what comes twice, in the order of time."""
    return tuple(sorted({*evidence, *more}))


def crossing_from_json(written: Json) -> Crossing | None:
    """The crossing that `astuple` wrote, by way of JSON."""
    if written is None:
        return None
    to, start_ns, begun_ns, said_ns, stated_ns, place, confidence, evidence, *rest = written
    end_ns, outcome, part_of_ns, parts = rest
    return Crossing(
        to=to,
        start_ns=start_ns,
        begun_ns=begun_ns,
        said_ns=said_ns,
        stated_ns=stated_ns,
        place=_place(place),
        confidence=confidence,
        evidence=tuple((time_ns, source) for time_ns, source in evidence),
        end_ns=end_ns,
        outcome=outcome,
        part_of_ns=part_of_ns,
        parts=tuple(parts),
    )


def _look(written: Json) -> Look:
    time_ns, effective_ns, first, fresh, place, source = written
    return Look(time_ns, effective_ns, first, fresh, _place(place), source)


def _place(written: Json) -> Place | None:
    return None if written is None else (written[0], written[1], written[2])


def _wait(parameters: CrossingParameters, watch: Watch, look: Look) -> tuple[Watch, Crossing | None]:
    """Without evidence nothing moves; but what nobody can see any more is not open for ever."""
    crossing = watch.crossing
    if crossing is None:
        return watch, None
    if watch.fresh_ns is None:
        return replace(watch, fresh_ns=look.time_ns), None
    if look.time_ns - watch.fresh_ns <= parameters.patience_ns:
        return watch, None
    return _close(watch, crossing.ended(look.time_ns, crossing.stated_ns, UNOBSERVED), look)


def _seek(parameters: CrossingParameters, watch: Watch, look: Look) -> Watch:
    """No crossing is open: a run of windows establishes the first side known, or begins a crossing."""
    to = _spoken_for(parameters, look)
    if to is None or to == watch.side:
        return replace(watch, run_to=None, run=()) if watch.run else watch
    run = watch.run if to == watch.run_to else ()
    if len(run) < parameters.minimum_windows:
        run = (*run, look)
    watch = replace(watch, run_to=to, run=run)
    if len(run) < parameters.minimum_windows:
        return watch
    if watch.side is None:
        return replace(watch, side=to, run_to=None, run=())
    over_ns = watch.over_ns[to]
    if over_ns is not None and look.time_ns - over_ns < parameters.refractory_ns:
        return watch
    crossing = Crossing(
        to=to,
        start_ns=run[0].effective_ns,
        begun_ns=look.time_ns,
        said_ns=look.time_ns,
        stated_ns=look.effective_ns,
        place=look.place,
        confidence=look.probability(to),
        evidence=joined((), [(one.time_ns, one.source) for one in (*run, look)]),
    )
    return replace(watch, side=to, run_to=None, run=(), crossing=crossing, held=0, doubts=())


def _spoken_for(parameters: CrossingParameters, look: Look) -> int | None:
    for side in (FIRST, SECOND):
        if look.probability(side) >= parameters.confirm:
            return side
    return None


def _follow(
    parameters: CrossingParameters, watch: Watch, crossing: Crossing, look: Look
) -> tuple[Watch, Crossing | None]:
    """A crossing is open: it settles, is taken back, or has something new to say."""
    confidence = look.probability(crossing.to)
    if confidence < 0.5:
        doubts = (*watch.doubts, look)
        if len(doubts) >= parameters.minimum_windows:
            crossing = crossing.restated(look, confidence)
            ended = crossing.ended(look.time_ns, doubts[0].effective_ns, RETURNED)
            return _close(replace(watch, side=1 - crossing.to), ended, look)
        watch = replace(watch, doubts=doubts)
    else:
        watch = replace(watch, doubts=(), held=watch.held + 1)
        if watch.held >= parameters.settle_windows:
            crossing = crossing.restated(look, confidence)
            return _close(watch, crossing.ended(look.time_ns, look.effective_ns, PASSED), look)
    if crossing.is_news(parameters, look.place, confidence):
        watch = replace(watch, crossing=crossing.restated(look, confidence))
    return watch, None


def _close(watch: Watch, ended: Crossing, look: Look) -> tuple[Watch, Crossing]:
    over_ns = (
        (look.time_ns, watch.over_ns[SECOND]) if ended.to == FIRST else (watch.over_ns[FIRST], look.time_ns)
    )
    return replace(watch, crossing=None, held=0, doubts=(), over_ns=over_ns), ended
