"""A trace through time of some sequences, in the manner of Fig. 7 of Foldes et al. (2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.jobs.flr.canvas import COLOUR, GREY, INK, MARK, panels
from monitor.jobs.flr.dataset import AMBIGUOUS, Outcomes
from monitor.jobs.flr.groups import FREQ, NO_FREQ, PBL
from monitor.types import CLASSES, BoolArray, FloatArray, IntArray, iso_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HOUR_NS: Final = 3_600_000_000_000
_ROWS: Final = (("true", 2), ("stage one", 1), ("final", 0))


def telling_sequences(outcomes: Outcomes) -> list[int]:
    """Up to three sequences that show most: most PBL, most changes by the tracker, the best mix of Freq and NoFreq.

    They are chosen by what happens in them, not by how well the chain does.
    """
    numbers, index = np.unique(outcomes.sequence, return_inverse=True)

    def count(chosen: BoolArray) -> IntArray:
        return np.bincount(index[chosen], minlength=numbers.size).astype(np.int64)

    pbl = count(outcomes.label == PBL)
    changed = count(outcomes.stage_one != outcomes.final)
    mixed = np.minimum(count(outcomes.label == FREQ), count(outcomes.label == NO_FREQ))
    found: list[int] = []
    for score in (pbl, changed, mixed):
        left = np.where(np.isin(numbers, found), 0, score)
        if left.size and left.max() > 0:
            found.append(int(numbers[left.argmax()]))
    return found


def trace_figure(outcomes: Outcomes, sequences: Sequence[int], title: str) -> Figure:
    """Calls, relative error and frequency of some sequences, one column each.

    Marks and colours are those of the true class: a red square among the frequencies is one that should not be there.

    Raises
    ------
    ValueError
        Naming a sequence that is not in the data.
    """
    figure, axes = panels(
        3,
        max(len(sequences), 1),
        (max(4.4 * len(sequences), 6.0), 7.2),
        sharex="col",
        height_ratios=(1.1, 1.0, 2.2),
    )
    for column, sequence in zip(axes.T, sequences, strict=False):
        rows = np.flatnonzero(outcomes.sequence == sequence)
        if not rows.size:
            raise ValueError(f"no window belongs to sequence {sequence}")
        rows = rows[np.argsort(outcomes.end_ns[rows], kind="stable")]
        hour = (outcomes.end_ns[rows] - outcomes.end_ns[rows[0]]) / _HOUR_NS
        _calls(column[0], outcomes, rows, hour)
        _errors(column[1], outcomes, rows, hour)
        _frequencies(column[2], outcomes, rows, hour)
        place = f"{outcomes.pair[rows[0]]}, L = {outcomes.l_shell[rows[0]]:.2f}"
        column[0].set_title(f"{place}\nfrom {iso_time(int(outcomes.end_ns[rows[0]]))}", fontsize=10)
        column[2].set_xlabel("hours since the first window")
    axes[1, 0].set_ylabel("ε (%)")
    axes[2, 0].set_ylabel("frequency (mHz)")
    _legend(figure)
    figure.suptitle(title, fontsize=11)
    return figure


def _calls(axis: Any, outcomes: Outcomes, rows: IntArray, hour: FloatArray) -> None:
    """Three lines of marks, with a ring where the tracker rescued and a cross where it dropped."""
    said = (outcomes.label[rows], outcomes.stage_one[rows], outcomes.final[rows])
    for (_, height), called in zip(_ROWS, said, strict=True):
        for index, colour, mark in _styles():
            here = called == index
            axis.plot(hour[here], np.full(here.sum(), height), mark, color=colour, markersize=4)
    first, last = outcomes.stage_one[rows], outcomes.final[rows]
    rescued, dropped = (first == NO_FREQ) & (last != NO_FREQ), (first != NO_FREQ) & (last == NO_FREQ)
    axis.plot(hour[rescued], np.zeros(rescued.sum()), "o", markersize=9, markerfacecolor="none", color=INK)
    axis.plot(hour[dropped], np.zeros(dropped.sum()), "x", markersize=9, color=INK)
    axis.set_yticks([height for _, height in _ROWS], [name for name, _ in _ROWS])
    axis.set_ylim(-0.6, 2.5)
    axis.tick_params(axis="y", length=0)


def _errors(axis: Any, outcomes: Outcomes, rows: IntArray, hour: FloatArray) -> None:
    error = 100.0 * (outcomes.frequency_Hz[rows] / outcomes.truth_Hz[rows] - 1.0)
    right = (outcomes.final[rows] == outcomes.label[rows]) & np.isfinite(error)
    for index, colour, _ in _styles():
        here = right & (outcomes.label[rows] == index)
        axis.bar(hour[here], error[here], width=0.4, color=colour)
    axis.axhspan(-8, 8, color=GREY, alpha=0.18, linewidth=0)
    axis.axhline(0.0, color=INK, linewidth=0.8)
    reach = max(10.0, 1.1 * float(np.abs(error[right]).max(initial=0.0)))
    axis.set_ylim(-reach, reach)


def _frequencies(axis: Any, outcomes: Outcomes, rows: IntArray, hour: FloatArray) -> None:
    label, truth = outcomes.label[rows], 1e3 * outcomes.truth_Hz[rows]
    frequency, low, high = (
        1e3 * column[rows] for column in (outcomes.frequency_Hz, outcomes.low_Hz, outcomes.high_Hz)
    )
    for index, style in ((FREQ, "-"), (PBL, ":")):
        axis.plot(hour, np.where(label == index, truth, np.nan), style, color=INK, linewidth=1.4, marker="_")
    called = outcomes.final[rows] != NO_FREQ
    spread = np.nan_to_num(np.abs(np.stack([frequency - low, high - frequency])))
    for index, colour, mark in _styles():
        here = called & (label == index) & np.isfinite(frequency)
        axis.errorbar(
            hour[here], frequency[here], yerr=spread[:, here], color=colour, marker=mark, markersize=4,
            linestyle="", elinewidth=0.9, zorder=3,
        )  # fmt: skip
    missed = ~called & (label > NO_FREQ)
    axis.plot(hour[missed], truth[missed], "|", color=GREY, markersize=9)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    low_mHz, high_mHz = axis.get_ylim()
    labelled = "235" if high_mHz > 4.0 * low_mHz else "23456789"
    axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in labelled else "")
    axis.grid(alpha=0.25, which="both")


def _styles() -> list[tuple[int, str, str]]:
    classes = [(index, COLOUR[label], MARK[label]) for index, label in enumerate(CLASSES)]
    return [*classes, (AMBIGUOUS, GREY, "D")]


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=COLOUR[label], marker=MARK[label], linestyle="", label=f"{label} (true)")
        for label in CLASSES
    ]
    figure.legend(
        handles=[
            *marks,
            Line2D([], [], color=GREY, marker="D", linestyle="", label="ambiguous"),
            Line2D([], [], color=INK, label="true frequency, Freq"),
            Line2D([], [], color=INK, linestyle=":", label="true frequency, PBL"),
            Line2D([], [], color=GREY, marker="|", linestyle="", markersize=9, label="missed"),
            Line2D([], [], color=INK, marker="o", markerfacecolor="none", linestyle="", markersize=9, label="rescued"),
            Line2D([], [], color=INK, marker="x", linestyle="", markersize=8, label="dropped"),
        ],
        loc="outside lower center", ncols=5, frameon=False, fontsize=9,
    )  # fmt: skip
