"""The report on events: one Markdown page, its figures, and every number as JSON; and a table for a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from monitor.jobs.events.criteria import criteria
from monitor.jobs.events.figures import delay_figure, storm_figure
from monitor.jobs.events.measures import QUANTILES, WITHIN_H, Crossed, Measures, Rate
from monitor.jobs.events.simulate import STATIONS, Run
from monitor.jobs.events.truth import CLEAR_L, LAST_NS, NEAR_L, NEAR_NS
from monitor.jobs.flr.bootstrap import Estimate, Share
from monitor.jobs.flr.canvas import save
from monitor.jobs.flr.criteria import Criterion
from monitor.jobs.flr.tabulate import verdict_lines
from monitor.types import SECOND_NS

SCHEMA: Final = "geospace/event-measures/1"
_HOUR_NS: Final = 3600 * SECOND_NS
_NOBODY: Final = "–"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def write_report(folder: Path, measures: Measures, shown: Run | None, command: str) -> Path:
    """Write `report.md`, `measures.json` and the figures into a folder, which is made where there is none.

    Parameters
    ----------
    folder : Path
    measures : Measures
    shown : Run or None
        The storm of the picture.
    command : str
        What made the report, for who wants to make it again.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    MonitorError
        Where matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    judged = criteria(measures)
    parts = [
        "# Evaluation of events: simulated storms",
        _introduction(measures, command),
        "## What it must show",
        _verdict(judged),
        _criteria_table(judged),
        _INTERVALS,
    ]
    if shown is not None:
        title = (
            f"Simulated storm {shown.stretch.seed} (synthetic): the one in which most crossings are visible"
        )
        save(storm_figure(shown, title), folder / "storm.png")
        parts += _figure("storm.png", "One storm: L against time", _STORM_CAPTION)
    parts += ["## Crossings", _DEFINITIONS, _crossed_table(measures)]
    if measures.delays_min:
        save(delay_figure(measures, "Simulated storms (synthetic)"), folder / "delay.png")
        parts += _figure(
            "delay.png",
            "Delay of events",
            "delay of the events of pairs after the window that shows the crossing; below zero, they came before the rule sees it",
        )
    parts += ["## False events", _FALSE, _false_table(measures)]
    parts += ["## The stated plasmapause", _POSITION, _position_table(measures)]
    (folder / "measures.json").write_text(_document(measures, judged), encoding="utf-8")
    page = folder / "report.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def summary_lines(measures: Measures) -> list[str]:
    """A compact table for a terminal: what was simulated, and every criterion with its interval and its verdict."""
    pair = measures.pair["all"]
    simulated = (
        f"{measures.storms} storms and {measures.quiet} quiet stretches, {measures.months:.1f} months of data; "
        f"{pair.crossings} crossings of pairs, {pair.visible} of them visible"
    )
    return [simulated, *verdict_lines(criteria(measures))]


_INTERVALS: Final = (
    "Intervals are 90 %: of shares and medians from draws of whole stretches, for crossings and windows of one storm "
    "are not independent (where all or none are hit, the bound for as many trials as stretches); of rates, that of a "
    "Poisson count."
)
_STORM_CAPTION: Final = (
    "the true plasmapause, what was stated, what each pair was called (at its L), the events of pairs when they were "
    "said, and above them those of the chain"
)
_DEFINITIONS: Final = (
    f"A pair is *crossed* when L_pp gets from {CLEAR_L:g} or more beyond its L on one side to as far beyond it on the "
    "other. The crossing is *visible* from the end of the first window that lies at least half after it in which the "
    "crossed pair, with both stations on its new side, as they were on the old one before (a pair that straddles the "
    "plasmapause is on no side; rows *by L* count it by its L alone, by which more crossings are visible, and a smaller share found), and the next pair across the plasmapause stand in daylight and have a resonance by "
    "the labelling rule (twice the power of all the rest at both stations, a cross-phase of 10° or more, ln f changing "
    "by at most 0.2, a gradient that keeps its sign, no gap), if that is not within the last "
    f"{LAST_NS / _HOUR_NS:g} h of the stretch. It is *found* when an event of the pair and direction is said that starts "
    "before the pair is crossed back, however late: how soon, the delays and the shares found within some hours tell. An "
    f"event may come before the crossing, as long as L_pp has stayed within {NEAR_L:g} of the pair's L since, at most {NEAR_NS / _HOUR_NS:g} h: such are *early*. The "
    "delay is that of the found ones. *Unseen*: not visible by the rule, and told of all the same. For the chain, "
    "crossings in one direction within the configured merging time are one passage."
)
_FALSE: Final = (
    "An event is false when no crossing of its subject and direction belongs to it; so is a second one for the same "
    "crossing, and one that was withdrawn later, unless a crossing belongs to it. Rates are a month of the whole chain; "
    "storms are far more frequent in these stretches than in nature, quiet stretches have none."
)
_POSITION: Final = (
    "The error is |L_pp − truth| at the centre of the window, when an L_pp is stated. *In view*: windows in which sunlit "
    "pairs on either side of the plasmapause have a resonance by the rule. *Within*: windows with a sunlit pair and the "
    "plasmapause between the innermost and the outermost pair. *Day*: all windows with a sunlit pair, also where the "
    "plasmapause is beyond the chain or there is none. *None there*: windows of stretches without a plasmapause."
)


def _introduction(measures: Measures, command: str) -> str:
    calendar = ", ".join(f"{name} {count}" for name, count in zip(_MONTHS, measures.calendar, strict=True))
    return (
        f"{measures.storms} storms and {measures.quiet} quiet stretches over a chain of {len(STATIONS)} stations "
        f"({measures.pairs} pairs, {STATIONS[0]} to {STATIONS[-1]}) are simulated as magnetometer samples and go "
        f"through the daemon's own pipeline: {measures.months:.2f} months of data in all. What they are drawn from stands "
        "in `monitor.science.synthetic.storms`; parameters were chosen on other stretches. Starts by month of the "
        f"year: {calendar}. Made by `{command}`."
    )


def _verdict(judged: Sequence[Criterion]) -> str:
    met = sum(one.met is True for one in judged)
    missed = [one.name for one in judged if one.met is False]
    untold = sum(one.met is None for one in judged)
    return (
        f"{met} of {len(judged)} met"
        + (f"; not met: {'; '.join(missed)}" if missed else "")
        + (f"; {untold} without anything that could tell" if untold else "")
        + "."
    )


def _criteria_table(judged: Sequence[Criterion]) -> str:
    rows = [
        (
            one.name,
            one.asked,
            _told(one.value, one.percent),
            _between(one.low, one.high, one.percent),
            _NOBODY if one.sequences is None else str(one.sequences),
            _NOBODY if one.met is None else "met" if one.met else "**not met**",
        )
        for one in judged
    ]
    return _table(("", "asked for", "ours", "90 % interval", "stretches", "verdict"), rows)


def _crossed_table(measures: Measures) -> str:
    header = (
        "", "direction", "crossings", "visible", "found", *(f"within {hours:g} h" for hours in WITHIN_H), "delay 25 %, min", "median", "75 %", "90 %", "early", "unseen",
    )  # fmt: skip
    rows = []
    tables = (("pairs", measures.pair), ("pairs, by L", measures.pair_by_l), ("chain", measures.chain))
    for subject, table in tables:
        for way, one in table.items():
            rows.append((subject, way, *_crossed_cells(one)))
    return _table(header, rows)


def _crossed_cells(one: Crossed) -> tuple[str, ...]:
    delays = [_told(delay.value, percent=False, digits=0) for delay in one.delay_min]
    return (
        str(one.crossings),
        str(one.visible),
        _share(one.found),
        *(_told(share.value, percent=True) for share in one.within),
        *(delays or [_NOBODY] * len(QUANTILES)),
        str(one.early),
        str(one.unseen),
    )


def _false_table(measures: Measures) -> str:
    rows = [
        (subject, way, *_rate_cells(one))
        for subject, table in (("pairs", measures.false_pair), ("chain", measures.false_chain))
        for way, one in table.items()
    ]
    rows.append(("pairs, quiet stretches alone", "all", *_rate_cells(measures.false_quiet)))
    whole = measures.false_pair["all"]
    each = None if whole.value is None else whole.value / measures.pairs
    rows.append(("each pair", "all", str(whole.count), _told(each, percent=False, digits=3), _NOBODY))
    return _table(("", "direction", "false", "a month", "90 % interval"), rows)


def _rate_cells(one: Rate) -> tuple[str, ...]:
    return str(one.count), _told(one.value, percent=False), _between(one.low, one.high, percent=False)


def _position_table(measures: Measures) -> str:
    header = (
        "L_pp moves", "median error, R_E", "90 % of errors below", "interval covers", "stated in view", "within", "day", "none there",
    )  # fmt: skip
    median, high = QUANTILES.index(0.5), QUANTILES.index(0.9)
    rows = []
    for way, one in measures.position.items():
        shares = (one.covered, one.stated_in_view, one.stated_within, one.stated_day, one.stated_without)
        error, most = _estimate(one.error_l[median]), _told(one.error_l[high].value, percent=False)
        rows.append((way, error, most, *(_share(share) for share in shares)))
    return _table(header, rows)


def _figure(name: str, caption: str, told: str) -> list[str]:
    return [f"![{caption}]({name})", f"*Synthetic: {told}.*"]


def _estimate(one: Estimate) -> str:
    if one.low is None:
        return _told(one.value, percent=False)
    return f"{_told(one.value, percent=False)} ({_between(one.low, one.high, percent=False)})"


def _share(one: Share) -> str:
    if one.value is None:
        return _NOBODY
    inside = "" if one.low is None else f", {_between(one.low, one.high, percent=True)}"
    return f"{_told(one.value, percent=True)} ({one.hits} of {one.count}{inside})"


def _told(value: float | None, percent: bool, digits: int = 2) -> str:
    if value is None:
        return _NOBODY
    return f"{100.0 * value:.1f} %" if percent else f"{value:.{digits}f}"


def _between(low: float | None, high: float | None, percent: bool) -> str:
    if low is None or high is None:
        return _NOBODY
    return f"{100.0 * low:.1f}–{100.0 * high:.1f} %" if percent else f"{low:.2f} to {high:.2f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    # A name may hold the sign of an absolute value.
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _document(measures: Measures, judged: Sequence[Criterion]) -> str:
    document = {
        "schema": SCHEMA,
        "synthetic": True,
        "measures": asdict(measures),
        "criteria": [asdict(one) for one in judged],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
