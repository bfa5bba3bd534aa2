"""What events must show, beside what they show: each figure with its interval and one plain verdict."""

from __future__ import annotations

from typing import Final

from monitor.jobs.events.measures import ALL, QUANTILES, Measures
from monitor.jobs.flr.bootstrap import Estimate, Share
from monitor.jobs.flr.criteria import Criterion, Direction

_MEDIAN: Final = QUANTILES.index(0.5)


def criteria(measures: Measures) -> list[Criterion]:
    """Hold the figures against the bounds of the issue; those that it leaves open are asked in every reading."""
    pair, position = measures.pair[ALL], measures.position[ALL]
    by_l = measures.pair_by_l[ALL]
    return [
        _criterion("visible crossings of pairs found", pair.found, 0.85, "at least"),
        _criterion("the same, visible by the pair's L alone", by_l.found, 0.85, "at least"),
        _criterion(
            "median delay, min", pair.delay_min[_MEDIAN], 45.0, "at most", percent=False, among=pair.found
        ),
        _criterion(
            "the same, visible by the pair's L alone",
            by_l.delay_min[_MEDIAN],
            45.0,
            "at most",
            percent=False,
            among=by_l.found,
        ),
        _rate("false events a month, pairs", measures, "pair"),
        _rate("false events a month, chain", measures, "chain"),
        _criterion(
            "|L_pp error| median when stated, R_E",
            position.error_l[_MEDIAN],
            0.3,
            "at most",
            percent=False,
            among=position.covered,
        ),
        _criterion("stated, plasmapause in view by day", position.stated_in_view, 0.6, "at least"),
        _criterion("stated, plasmapause within the chain by day", position.stated_within, 0.6, "at least"),
        _criterion("stated, all day-side time", position.stated_day, 0.6, "at least"),
    ]


def _rate(name: str, measures: Measures, subject: str) -> Criterion:
    found = (measures.false_pair if subject == "pair" else measures.false_chain)[ALL]
    figure = Estimate(found.value, found.low, found.high)
    return _criterion(name, figure, 1.0, "at most", percent=False)


def _criterion(
    name: str,
    figure: Estimate,
    bound: float,
    direction: Direction,
    *,
    percent: bool = True,
    among: Share | None = None,
) -> Criterion:
    counted = figure if isinstance(figure, Share) else among
    met = None
    if figure.value is not None:
        met = figure.value >= bound if direction == "at least" else figure.value <= bound
    return Criterion(
        name=name,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        bound=(bound,),
        direction=direction,
        met=met,
        sequences=None if counted is None else counted.sequences,
        percent=percent,
    )
