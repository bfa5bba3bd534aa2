"""Made-up runs for the evaluation of events: a chain of four pairs, hours instead of nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.jobs.events.simulate import CHAIN, Call, Run, Said, Stretch
from monitor.jobs.events.truth import Course
from monitor.science.synthetic.chain_truth import ChainTruth
from monitor.science.synthetic.storms import Kind
from monitor.types import SECOND_NS, Label, Pair, Product

HOUR_NS = 3600 * SECOND_NS
START_NS = 480_000 * HOUR_NS
PAIRS = tuple(Pair(f"P{row}", f"E{row}", l_shell) for row, l_shell in enumerate((5.0, 4.0, 3.5, 3.0)))
NAMES = tuple(pair.name for pair in PAIRS)


def at(hour: float) -> int:
    return START_NS + round(hour * HOUR_NS)


def course(knots: Sequence[tuple[float, float]], span_h: float = 48.0) -> Course:
    hours = np.arange(0.0, span_h + 0.01, 1.0 / 12.0)
    times = START_NS + np.round(hours * HOUR_NS).astype(np.int64)
    if not knots:
        return Course(times, np.full(hours.size, np.nan))
    return Course(times, np.interp(hours, [hour for hour, _ in knots], [place for _, place in knots]))


def chain_truth(of: Course, *, dark: Sequence[tuple[str, float, float]] = ()) -> ChainTruth:
    """Every pair has a resonance in every window but those named: (pair, from hour, to hour), by the window's end."""
    span_h = (of.time_ns[-1] - of.time_ns[0]) / HOUR_NS
    ends = np.array([at(hour) for hour in np.arange(2.0, span_h + 0.01, 0.5)], dtype=np.int64)
    centres_s, course_s = (ends - at(1.0)) / SECOND_NS, (of.time_ns - START_NS) / SECOND_NS
    resonance = np.ones((ends.size, len(PAIRS)), dtype=np.bool_)
    for name, first, last in dark:
        resonance[(ends >= at(first)) & (ends <= at(last)), NAMES.index(name)] = False
    return ChainTruth(
        pairs=PAIRS,
        end_ns=ends,
        plasmapause_l=np.interp(centres_s, course_s, of.l_shell),
        frequency_Hz=np.full(resonance.shape, 0.02),
        resonance=resonance,
        reversed=np.zeros(resonance.shape, dtype=np.bool_),
        station_l=np.array([[pair.l_shell + 0.1, pair.l_shell - 0.1] for pair in PAIRS if pair.l_shell]),
    )


def event(
    said_h: float,
    subject: str,
    direction: str,
    *,
    start_h: float | None = None,
    state: str = "begin",
    name: str | None = None,
    **more: Any,
) -> Said:
    start = said_h - 1.0 if start_h is None else start_h
    properties = {
        "data_id": name or f"{subject}/{direction}/{start}",
        "kind": "plasmapause_crossing",
        "subject": subject,
        "direction": direction,
        "state": state,
        **more,
    }
    product = Product(
        "event", f"plasmapause_crossing/{subject}", at(start), 0, False, {"properties": properties}
    )
    return Said(at(said_h), product)


def stated(end_h: float, l_shell: float | None, half: float = 0.2, *, revision: int = 0) -> Said:
    body = {
        "l_shell": l_shell,
        "l_interval": None if l_shell is None else [l_shell - half, l_shell + half],
    }
    return Said(at(end_h), Product("plasmapause", CHAIN, at(end_h), revision, True, body))


def run(
    of: Course,
    said: Sequence[Said],
    *,
    dark: Sequence[tuple[str, float, float]] = (),
    night: tuple[float, float] = (99.0, 99.0),
    kind: Kind = "storm",
    seed: int = 0,
) -> Run:
    """By day all the time but where the centre of the window lies in the night's hours."""
    truth = chain_truth(of, dark=dark)
    centres_h = (truth.end_ns - START_NS) / HOUR_NS - 1.0
    awake = ~((centres_h >= night[0]) & (centres_h <= night[1]))
    day = np.repeat(awake[:, None], len(PAIRS), axis=1)
    return Run(
        stretch=Stretch(seed, kind),
        start_ns=START_NS,
        end_ns=int(of.time_ns[-1]),
        said=tuple(said),
        calls=(Call(NAMES[0], at(12.0), Label.FREQ), Call(NAMES[1], at(12.0), Label.PBL)),
        course=of,
        truth=truth,
        day=day,
        lit=day,
    )
