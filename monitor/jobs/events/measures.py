"""How good events and the stated plasmapause are over many simulated stretches, each figure with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
from scipy.special import gammaincinv

from monitor.jobs.events.begins import Begin, Passage, begins, delay_ns, match, passages
from monitor.jobs.events.simulate import CHAIN, Run
from monitor.jobs.events.truth import Crossing, Direction, crossings, in_view, within_chain
from monitor.jobs.flr.bootstrap import LEVEL, Estimate, Share, resampler
from monitor.types import SECOND_NS, BoolArray, FloatArray, IntArray, iso_time

ALL: Final = "all"
QUANTILES: Final = (0.25, 0.5, 0.75, 0.9)
WITHIN_H: Final = (1.0, 3.0, 6.0, 12.0)
MONTH_NS: Final = round(365.25 / 12.0 * 86400.0) * SECOND_NS


@dataclass(frozen=True, slots=True)
class Rate:
    """A count over a time, as a rate a month, with the interval of a Poisson count."""

    count: int
    months: float
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Crossed:
    """What became of the crossings of one kind.

    Attributes
    ----------
    crossings, visible : int
        True ones, and those that could be seen.
    found : Share
        Of the visible ones: an event of the direction was said at all.
    within : tuple of Share
        Of the visible ones: it was said within so many hours after the crossing was to be seen (`WITHIN_H`).
    delay_min : tuple of Estimate
        Of the visible ones that were found: the quantiles of `QUANTILES`. Negative: the event came before the crossing
        could be seen by the rule.
    early : int
        Found ones whose event came before the crossing itself.
    unseen : int
        Crossings that were not visible by the rule, and told of all the same.
    """

    crossings: int
    visible: int
    found: Share
    within: tuple[Share, ...]
    delay_min: tuple[Estimate, ...]
    early: int
    unseen: int


@dataclass(frozen=True, slots=True)
class Position:
    """How good the stated L_pp is.

    Attributes
    ----------
    error_l : tuple of Estimate
        Quantiles of |L_pp − truth| when it is stated and there is a plasmapause.
    covered : Share
        Of the same windows: the truth lies within the interval.
    stated_in_view, stated_within, stated_day : Share
        Windows with a stated L_pp: of those in which sunlit pairs on either side of the plasmapause have a resonance;
        of those with a sunlit pair and the plasmapause within the chain; of all those with a sunlit pair.
    stated_without : Share
        Of the windows without any plasmapause: all these statements are wrong.
    """

    error_l: tuple[Estimate, ...]
    covered: Share
    stated_in_view: Share
    stated_within: Share
    stated_day: Share
    stated_without: Share


@dataclass(frozen=True, slots=True)
class Measures:
    """All figures of one evaluation. Tables by direction have `all`, `inward` and `outward`.

    Attributes
    ----------
    storms, quiet : int
        Stretches of both kinds.
    months : float
        Simulated time.
    calendar : tuple of int
        How many stretches began in each month of the year.
    pairs : int
    pair, chain : dict of Crossed
        Crossings of single pairs, and passages of the chain with its merged events.
    pair_by_l : dict of Crossed
        Crossings of single pairs again, visible by the pair's L alone.
    false_pair, false_chain : dict of Rate
        Events that tell of no crossing, a month of the chain.
    false_quiet : Rate
        Of single pairs, in quiet stretches alone.
    position : dict of Position
        By the direction in which L_pp moves at the time (`still`: less than 0.02 an hour), and of all.
    delays_min : tuple of float
        Of each visible crossing of a pair that was found, for the histogram.
    """

    storms: int
    quiet: int
    months: float
    calendar: tuple[int, ...]
    pairs: int
    pair: dict[str, Crossed]
    chain: dict[str, Crossed]
    pair_by_l: dict[str, Crossed]
    false_pair: dict[str, Rate]
    false_chain: dict[str, Rate]
    false_quiet: Rate
    position: dict[str, Position]
    delays_min: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One true crossing or passage of one stretch, and the event that tells of it."""

    sequence: int
    crossing: Crossing | Passage
    begin: Begin | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What one stretch shows: outcomes of pairs and of the chain, false events of both, and its windows."""

    sequence: int
    kind: str
    start_ns: int
    span_ns: int
    pairs: int
    pair: tuple[Outcome, ...]
    chain: tuple[Outcome, ...]
    false_pair: tuple[Begin, ...]
    false_chain: tuple[Begin, ...]
    windows: Windows


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a stretch, each array of shape (w,); what is unknown is NaN."""

    truth_l: FloatArray
    stated_l: FloatArray
    low: FloatArray
    high: FloatArray
    motion_l_h: FloatArray
    day: BoolArray
    within: BoolArray
    in_view: BoolArray


def judge(run: Run, sequence: int, merge_ns: int) -> Judged:
    """Hold what was said about one stretch against what is true.

    Parameters
    ----------
    run : Run
    sequence : int
        Number of the stretch: crossings of one storm are not independent.
    merge_ns : int
        Within what time crossings along the chain belong to one event.
    """
    crossed = crossings(run.course, run.truth, run.day)
    begun = begins(run.said)
    pair: list[Outcome] = []
    false: list[Begin] = []
    for name in [one.name for one in run.truth.pairs]:
        matched = match(
            [one for one in crossed if one.pair == name], [one for one in begun if one.subject == name]
        )
        pair += [Outcome(sequence, one, begin) for one, begin in matched.told]
        false += matched.false
    whole = match(passages(crossed, merge_ns), [one for one in begun if one.subject == CHAIN])
    return Judged(
        sequence=sequence,
        kind=run.stretch.kind,
        start_ns=run.start_ns,
        span_ns=run.end_ns - run.start_ns,
        pairs=len(run.truth.pairs),
        pair=tuple(pair),
        chain=tuple(Outcome(sequence, one, begin) for one, begin in whole.told),
        false_pair=tuple(false),
        false_chain=whole.false,
        windows=windows_of(run),
    )


def measure(judged: Sequence[Judged], *, rounds: int = 500, seed: int = 0) -> Measures:
    """Count over all stretches.

    Raises
    ------
    ValueError
        When there is none.
    """
    if not judged:
        raise ValueError("there is no stretch to measure")
    months = sum(one.span_ns for one in judged) / MONTH_NS
    quiet = [one for one in judged if one.kind == "quiet"]
    pair = [outcome for one in judged for outcome in one.pair]
    chain = [outcome for one in judged for outcome in one.chain]
    delays = [delay_ns(one.crossing, one.begin) for one in pair]
    return Measures(
        storms=len(judged) - len(quiet),
        quiet=len(quiet),
        months=months,
        calendar=_calendar(judged),
        pairs=max(one.pairs for one in judged),
        pair=_by_direction(pair, rounds, seed),
        chain=_by_direction(chain, rounds, seed),
        pair_by_l=_by_direction([_by_l(one) for one in pair], rounds, seed),
        false_pair=_false(months, (begin for one in judged for begin in one.false_pair)),
        false_chain=_false(months, (begin for one in judged for begin in one.false_chain)),
        false_quiet=rate(
            sum(len(one.false_pair) for one in quiet), sum(one.span_ns for one in quiet) / MONTH_NS
        ),
        position=_positions(judged, rounds, seed),
        delays_min=tuple(delay / SECOND_NS / 60.0 for delay in delays if delay is not None),
    )


def rate(count: int, months: float, level: float = LEVEL) -> Rate:
    """A rate a month with the exact interval of a Poisson count (Garwood 1936, doi:10.1093/biomet/28.3-4.437)."""
    if not months > 0.0:
        return Rate(count, months, None, None, None)
    tail = 0.5 * (1.0 - level)
    low = float(gammaincinv(count, tail)) if count else 0.0
    return Rate(
        count, months, count / months, low / months, float(gammaincinv(count + 1, 1.0 - tail)) / months
    )


def _by_l(outcome: Outcome) -> Outcome:
    """The same, with the crossing visible by the pair's L alone."""
    crossing = outcome.crossing
    if isinstance(crossing, Crossing):
        crossing = replace(crossing, visible_from_ns=crossing.visible_by_l_ns)
    return replace(outcome, crossing=crossing)


def _by_direction(outcomes: Sequence[Outcome], rounds: int, seed: int) -> dict[str, Crossed]:
    groups = {ALL: list(outcomes)}
    groups |= {way.value: [one for one in outcomes if one.crossing.direction is way] for way in Direction}
    return {name: _crossed(group, rounds, seed) for name, group in groups.items()}


def _crossed(outcomes: Sequence[Outcome], rounds: int, seed: int) -> Crossed:
    visible = [one for one in outcomes if one.crossing.visible_from_ns is not None]
    delay = [delay_ns(one.crossing, one.begin) for one in visible]
    delay_min = np.array([np.nan if one is None else one / SECOND_NS / 60.0 for one in delay])
    found = np.isfinite(delay_min)
    draws = resampler(_numbers(visible), rounds=rounds, seed=seed)
    everyone = np.ones(len(visible), dtype=np.bool_)
    return Crossed(
        crossings=len(outcomes),
        visible=len(visible),
        found=draws.share(found, everyone),
        within=tuple(draws.share(delay_min <= 60.0 * hours, everyone) for hours in WITHIN_H),
        delay_min=tuple(draws.quantiles(delay_min, found, QUANTILES)),
        early=sum(
            isinstance(one.crossing, Crossing)
            and one.begin is not None
            and one.begin.said_ns < one.crossing.time_ns
            for one in visible
        ),
        unseen=sum(one.begin is not None and one.crossing.visible_from_ns is None for one in outcomes),
    )


def _numbers(outcomes: Sequence[Outcome]) -> IntArray:
    return np.array([one.sequence for one in outcomes], dtype=np.int64)


def _false(months: float, events: Iterable[Begin]) -> dict[str, Rate]:
    ways = [begin.direction for begin in events]
    return {ALL: rate(len(ways), months)} | {way.value: rate(ways.count(way), months) for way in Direction}


def _calendar(judged: Sequence[Judged]) -> tuple[int, ...]:
    months = [datetime.fromtimestamp(one.start_ns // SECOND_NS, UTC).month for one in judged]
    return tuple(months.count(month) for month in range(1, 13))


_STILL_L_H: Final = 0.02


def _positions(judged: Sequence[Judged], rounds: int, seed: int) -> dict[str, Position]:
    joined = {
        name: np.concatenate([getattr(one.windows, name) for one in judged])
        for name in Windows.__dataclass_fields__
    }
    windows = Windows(**joined)
    sequence = np.concatenate([np.full(one.windows.day.size, one.sequence) for one in judged])
    motion = windows.motion_l_h
    groups = {
        ALL: np.ones(motion.size, dtype=np.bool_),
        Direction.INWARD.value: motion < -_STILL_L_H,
        Direction.OUTWARD.value: motion > _STILL_L_H,
        "still": np.abs(motion) <= _STILL_L_H,
    }
    draws = resampler(sequence, rounds=rounds, seed=seed)
    known = np.isfinite(windows.truth_l)
    stated = np.isfinite(windows.stated_l)
    error = np.abs(windows.stated_l - windows.truth_l)
    covered = (windows.low <= windows.truth_l) & (windows.truth_l <= windows.high)
    return {
        name: Position(
            error_l=tuple(draws.quantiles(error, group & stated & known, QUANTILES)),
            covered=draws.share(covered, group & stated & known),
            stated_in_view=draws.share(stated, group & windows.in_view),
            stated_within=draws.share(stated, group & windows.day & windows.within),
            stated_day=draws.share(stated, group & windows.day),
            stated_without=draws.share(stated, group & ~known),
        )
        for name, group in groups.items()
    }


def windows_of(run: Run) -> Windows:
    """The windows of a run with what was said first about each of them.

    Raises
    ------
    ValueError
        Where a stated L_pp lies outside its own interval.
    """
    bodies = {
        one.product.time_ns: one.product.body
        for one in reversed(run.said)
        if one.product.kind == "plasmapause" and one.product.subject == CHAIN
    }
    stated, low, high = (np.full(run.truth.end_ns.size, np.nan) for _ in range(3))
    for at, end_ns in enumerate(run.truth.end_ns.tolist()):
        body = bodies.get(end_ns)
        if body is None or body["l_shell"] is None:
            continue
        stated[at] = body["l_shell"]
        low[at], high[at] = body["l_interval"]
        if not low[at] <= stated[at] <= high[at]:
            raise ValueError(f"plasmapause at {iso_time(end_ns)}: {stated[at]} lies outside its own interval")
    hours = (run.course.time_ns - run.course.time_ns[0]) / (3600.0 * SECOND_NS)
    motion = np.gradient(run.course.l_shell, hours)
    centres = (run.truth.end_ns - run.course.time_ns[0]) / (3600.0 * SECOND_NS) - 1.0
    return Windows(
        truth_l=run.truth.plasmapause_l,
        stated_l=stated,
        low=low,
        high=high,
        motion_l_h=np.interp(centres, hours, motion),
        day=np.any(run.day, axis=1),
        within=within_chain(run.truth),
        in_view=in_view(run.truth, run.day),
    )
