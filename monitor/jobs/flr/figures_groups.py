"""Figures of groups and of chains: errors and coverage by L, and what each part of the chain is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.jobs.flr.bootstrap import Estimate
from monitor.jobs.flr.canvas import BOUND, COLOUR, GREY, INK, MARK, ORANGE, counts_note, panels
from monitor.jobs.flr.criteria import Direction, bound_text
from monitor.jobs.flr.groups import ALL
from monitor.jobs.flr.measures import Measures, Readings
from monitor.types import Label

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Figured:
    """A figure of the ablation: its title, where it is in the measures, and what is asked of it."""

    title: str
    value: Callable[[Measures], Estimate]
    bound: tuple[float, ...]
    direction: Direction


ABLATION: Final = (
    Figured("Freq found,\nday", lambda m: m.final.freq_found["day"], (0.92,), "at least"),
    Figured("Freq found,\nnight", lambda m: m.final.freq_found["night"], (0.80,), "at least"),
    Figured("NoFreq\npassed on", lambda m: m.final.nofreq_passed[ALL], (0.04,), "at most"),
    Figured("PBL found", lambda m: m.final.pbl_found[ALL], (0.88,), "at least"),
    Figured("others called\nPBL (F23)", lambda m: m.final.others_called_pbl_at_f23, (0.002,), "at most"),
    Figured("|ε| median", lambda m: m.published[ALL][ALL].median, (0.025,), "at most"),
    Figured("within 8 %\nor 0.3 mHz", lambda m: m.published[ALL][ALL].within, (0.9,), "at least"),
    Figured("90 % interval\ncovers", lambda m: m.published[ALL][ALL].covered, (0.87, 0.93), "between"),
)


_KINDS: Final = {ALL: None, Label.FREQ.value: Label.FREQ, Label.PBL.value: Label.PBL}


def error_figure(measures: Measures, title: str) -> Figure:
    """Relative error and coverage of the published frequencies by band of L, beside the physical estimate."""
    figure, axes = panels(1, 2, (11.0, 5.2))
    errors, coverage = axes[0]
    bands = list(measures.published[ALL])
    _errors(errors, measures, bands)
    for shift, (kind, label) in zip((-0.2, 0.0, 0.2), _KINDS.items(), strict=True):
        colour, mark = (INK, "D") if label is None else (COLOUR[label], MARK[label])
        readings = measures.published[kind]
        estimates = [readings[band].covered for band in bands]
        name = "both classes" if label is None else str(label)
        _points(
            coverage, np.arange(len(bands)) + shift, estimates, 100.0, color=colour, marker=mark, label=name
        )
    coverage.axhspan(87, 93, color=GREY, alpha=0.2, linewidth=0, label="asked for: 87–93 %")
    coverage.axhline(90, **BOUND)
    coverage.set(ylabel="90 % intervals that hold the truth (%)")
    coverage.set_title("coverage", fontsize=10)
    values = [reading.covered.value for kind in measures.published.values() for reading in kind.values()]
    # A band with few windows may have an interval down to zero: it runs off the axis, its value does not.
    coverage.set_ylim(
        min(80.0, *(100.0 * value - 6.0 for value in values if value is not None), 100.0), 101.5
    )
    for axis in (errors, coverage):
        _band_ticks(axis, measures.published, bands)
        axis.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    figure.suptitle(f"{title}: published frequencies by L; bars are 90 % intervals", fontsize=11)
    return figure


def _errors(axis: Any, measures: Measures, bands: list[str]) -> None:
    series = (
        ("chain, median", measures.published, "median", "o", COLOUR[Label.FREQ], -0.2),
        ("chain, 90th percentile", measures.published, "p90", "^", COLOUR[Label.FREQ], -0.07),
        ("physics, median", measures.physical_read, "median", "o", ORANGE, 0.07),
        ("physics, 90th percentile", measures.physical_read, "p90", "^", ORANGE, 0.2),
    )
    for name, readings, figure, mark, colour, shift in series:
        estimates = [getattr(readings[ALL][band], figure) for band in bands]
        _points(axis, np.arange(len(bands)) + shift, estimates, 100.0, color=colour, marker=mark, label=name)
    axis.axhline(2.5, **BOUND)
    axis.axhline(8.0, **BOUND)
    axis.text(len(bands) - 0.45, 2.5, "2.5 %", fontsize=8, va="bottom")
    axis.text(len(bands) - 0.45, 8.0, "8 %", fontsize=8, va="bottom")
    axis.set(ylabel="|f − f$_{true}$| / f$_{true}$ (%)", yscale="log")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "25" else "")
    axis.set_title("relative error (8 % is asked for where it is over 0.3 mHz)", fontsize=10)


def _band_ticks(axis: Any, readings: Readings, bands: list[str]) -> None:
    names = [
        f"{'all' if band == ALL else band.removeprefix('L ')}\n{counts_note(readings[ALL][band].count)}"
        for band in bands
    ]
    axis.set_xticks(range(len(bands)), names, fontsize=9)
    axis.set(xlabel="L, and windows", xlim=(-0.5, len(bands) - 0.1))
    axis.grid(axis="y", alpha=0.25, which="both")


def ablation_figure(rows: Sequence[tuple[str, Measures]], title: str) -> Figure:
    """Each figure of each chain with its interval and its bound; the first chain is the one that is shipped."""
    figure, axes = panels(1, len(ABLATION), (1.75 * len(ABLATION) + 1.6, 0.42 * len(rows) + 1.9), sharey=True)
    place = np.arange(len(rows))[::-1]
    for axis, figured in zip(axes[0], ABLATION, strict=True):
        for y, (_, measures), colour in zip(
            place, rows, [COLOUR[Label.FREQ], *[GREY] * len(rows)], strict=False
        ):
            _bar(axis, y, figured.value(measures), colour)
        for end in figured.bound:
            axis.axvline(100.0 * end, **BOUND)
        axis.set_title(f"{figured.title}\n{bound_text(figured.bound, figured.direction)}", fontsize=9)
        axis.grid(axis="x", alpha=0.25)
        axis.margins(x=0.15)
        axis.tick_params(labelsize=8)
    axes[0, 0].set_yticks(place, [name for name, _ in rows], fontsize=9)
    axes[0, 0].set_ylim(-0.6, len(rows) - 0.4)
    figure.suptitle(
        f"{title}: what each part is worth (%; bars are 90 % intervals, dashes what is asked)", fontsize=11
    )
    return figure


def _bar(axis: Any, y: float, estimate: Estimate, colour: str) -> None:
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        axis.plot([100 * estimate.low, 100 * estimate.high], [y, y], color=colour, linewidth=2.0)
    axis.plot(100 * estimate.value, y, "o", color=colour, markersize=6)


def _points(axis: Any, x: Any, estimates: Sequence[Estimate], scale: float, **style: Any) -> None:
    """Values with their intervals; what is not known leaves its place empty."""
    value = scale * np.array([np.nan if one.value is None else one.value for one in estimates])
    low = scale * np.array([np.nan if one.low is None else one.low for one in estimates])
    high = scale * np.array([np.nan if one.high is None else one.high for one in estimates])
    spread = np.nan_to_num(np.stack([value - low, high - value]))
    axis.errorbar(x, value, yerr=spread, linestyle="", capsize=2, markersize=6, **style)
