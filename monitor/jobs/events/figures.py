"""The pictures of the report: one storm as L against time, and how late events come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.jobs.events.begins import Begin, begins
from monitor.jobs.events.measures import Measures, windows_of
from monitor.jobs.events.simulate import CHAIN, Run
from monitor.jobs.events.truth import Direction, crossings
from monitor.jobs.flr.canvas import BOUND, COLOUR, GREY, INK, MARK, ORANGE, SKY, panels
from monitor.types import SECOND_NS, BoolArray, FloatArray, Label, Pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HOUR_NS: Final = 3600 * SECOND_NS
_SIZE: Final = {Label.NO_FREQ: 3.0, Label.FREQ: 12.0, Label.PBL: 26.0}
_EVENT_COLOUR: Final = {Direction.INWARD: "#CC79A7", Direction.OUTWARD: ORANGE}


def storm_figure(run: Run, title: str) -> Figure:
    """L against time: truth, estimate with its band, what the pairs were called, events, and where it is dark."""
    figure, axes = panels(2, 1, (12.0, 6.6), sharex=True, height_ratios=(1, 7))
    bar, axis = axes[0, 0], axes[1, 0]
    windows = windows_of(run)
    centre_h = _hours(run, run.truth.end_ns) - 1.0
    _night(axis, run, centre_h)
    axis.plot(
        _hours(run, run.course.time_ns), run.course.l_shell, color=INK, linewidth=1.8, label="true L$_{pp}$"
    )
    axis.fill_between(centre_h, windows.low, windows.high, color=SKY, alpha=0.35, linewidth=0)
    axis.plot(
        centre_h,
        windows.stated_l,
        color="#0072B2",
        linewidth=1.2,
        marker=".",
        markersize=4,
        label="stated L$_{pp}$, 90 %",
    )
    _calls(axis, run)
    begun = begins(run.said)
    _pair_events(axis, run, begun)
    _chain_events(bar, run, begun)
    axis.set_ylim(1.9, 6.8)
    axis.set_xlim(0.0, float(_hours(run, np.array([run.end_ns]))[0]))
    start = datetime.fromtimestamp(run.start_ns // SECOND_NS, UTC)
    axis.set(
        ylabel="L", xlabel=f"hours since {start:%Y-%m-%d %H:%M} UTC (centres of windows; events when said)"
    )
    figure.legend(loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def delay_figure(measures: Measures, title: str) -> Figure:
    """How long after the window that shows a crossing its event came, in bins of half an hour."""
    figure, axes = panels(1, 1, (7.0, 3.8))
    axis = axes[0, 0]
    edges = np.arange(-8.25, 24.5, 0.5)
    delay_h = np.array(measures.delays_min) / 60.0
    axis.hist(np.clip(delay_h, edges[0], edges[-1]), edges, color=SKY, edgecolor="white")
    if delay_h.size:
        axis.axvline(
            float(np.median(delay_h)),
            color=INK,
            linewidth=1.4,
            label=f"median {60.0 * np.median(delay_h):.0f} min",
        )
    axis.axvline(0.75, **BOUND, label="asked for: a median of 45 min")
    axis.set(
        xlabel="hours from the end of the first window that shows the crossing (ends: beyond)",
        ylabel="crossings of pairs",
    )
    axis.legend(frameon=False)
    axis.set_title(f"{title}\ndelay of {delay_h.size} found crossings", fontsize=11)
    return figure


def telling_run(candidates: Sequence[Run]) -> Run | None:
    """The storm in which most crossings are visible: chosen by what happens, not by what was said."""
    storms = [run for run in candidates if run.stretch.kind == "storm"]
    return max(storms, key=_visible, default=None)


def _visible(run: Run) -> int:
    return sum(one.visible_from_ns is not None for one in crossings(run.course, run.truth, run.day))


def _hours(run: Run, time_ns: Any) -> FloatArray:
    hours: FloatArray = (np.asarray(time_ns) - run.start_ns) / _HOUR_NS
    return hours


def _night(axis: Any, run: Run, centre_h: FloatArray) -> None:
    """Grey where no pair is sunlit at any end, lighter where none is at both."""
    dark: BoolArray = ~np.any(run.lit, axis=1)
    half: BoolArray = ~np.any(run.day, axis=1) & ~dark
    for where, alpha, name in ((dark, 0.35, "night"), (half, 0.15, "penumbra")):
        axis.fill_between(
            centre_h, 0.0, 10.0, where=where, step="mid", color=GREY, alpha=alpha, linewidth=0, label=name
        )


def _calls(axis: Any, run: Run) -> None:
    l_of = {pair.name: pair.l_shell for pair in run.truth.pairs}
    for label in Label:
        chosen = [call for call in run.calls if call.label is label]
        axis.scatter(
            _hours(run, [call.end_ns for call in chosen]) - 1.0,
            [l_of[call.pair] for call in chosen],
            s=_SIZE[label],
            marker=MARK[label],
            color=COLOUR[label],
            alpha=0.3 if label is Label.NO_FREQ else 0.8,
            linewidths=0,
            label=str(label),
        )


def _pair_events(axis: Any, run: Run, begun: Sequence[Begin]) -> None:
    """An arrow at the pair's L, when the begin of its event was said."""
    l_of: dict[str, Pair] = {pair.name: pair for pair in run.truth.pairs}
    for way, mark in ((Direction.INWARD, "v"), (Direction.OUTWARD, "^")):
        chosen = [one for one in begun if one.direction is way and one.subject in l_of]
        axis.scatter(
            _hours(run, [one.said_ns for one in chosen]),
            [l_of[one.subject].l_shell for one in chosen],
            s=90,
            marker=mark,
            facecolor=_EVENT_COLOUR[way],
            edgecolor=INK,
            linewidths=0.8,
            zorder=5,
            label=f"{way} event",
        )


def _chain_events(axis: Any, run: Run, begun: Sequence[Begin]) -> None:
    """A bar from the begin of each event of the chain to its end."""
    for one in begun:
        if one.subject == CHAIN:
            first, last = _hours(run, [one.said_ns, run.end_ns if one.end_ns is None else one.end_ns])
            axis.barh(
                0.0, last - first, left=first, height=0.7, color=_EVENT_COLOUR[one.direction], alpha=0.8
            )
            axis.annotate(one.direction, (first, 0.0), (4, -4), textcoords="offset points", fontsize=9)
    axis.set_ylim(-0.6, 0.6)
    axis.set_yticks([0.0], ["chain"])
    axis.spines["bottom"].set_visible(False)
    axis.tick_params(length=0)
