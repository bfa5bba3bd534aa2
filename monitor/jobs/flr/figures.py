"""Figures of the classifier: confusion matrices, the two searches for the threshold, reliability.

In the manner of Figs 3 to 6 of Foldes et al. (2023), doi:10.1007/s12210-023-01196-8 (called F23).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.jobs.flr.canvas import BOUND, COLOUR, GREY, INK, MARK, ORANGE, SKY, counts_note, panels
from monitor.jobs.flr.dataset import Outcomes
from monitor.jobs.flr.groups import ALL, scored_windows
from monitor.jobs.flr.measures import Decisions, Measures
from monitor.science.reliability import ReliabilityCurve, reliability
from monitor.science.thresholds import ScoreCurves, ThresholdSearch
from monitor.types import CLASSES, FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_figure(measures: Measures, title: str) -> Figure:
    """Confusion matrices by light: after stage one above, final below (F23, Figs 4 and 6)."""
    stages = (("stage one", measures.stage_one), ("final", measures.final))
    lights = [light for light in measures.final.confusion if np.sum(measures.final.confusion[light])]
    lights = lights or [ALL]
    figure, axes = panels(2, len(lights), (2.9 * len(lights) + 0.9, 6.6))
    for row, (name, decisions) in zip(axes, stages, strict=True):
        for axis, light in zip(row, lights, strict=True):
            _matrix(axis, decisions, light)
            axis.set_title(f"{name}, {light}", fontsize=10)
        row[0].set_ylabel("true class")
    for axis in axes[-1]:
        axis.set_xlabel("called")
    figure.suptitle(f"{title}\nper cent of the true class, and windows", fontsize=11)
    return figure


def _matrix(axis: Any, decisions: Decisions, light: str) -> None:
    counts = np.array(decisions.confusion[light])
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    axis.imshow(share, cmap="Blues", vmin=0.0, vmax=1.15)
    for (i, j), count in np.ndenumerate(counts):
        percent = f"{100 * share[i, j]:.1f} %" if total[i, 0] else "–"
        axis.text(
            j, i, f"{percent}\n{counts_note(int(count))}", ha="center", va="center", fontsize=9,
            color="white" if share[i, j] > 0.6 else INK, fontweight="bold" if i == j else "normal",
        )  # fmt: skip
    axis.set_xticks(range(len(CLASSES)), [label.value for label in CLASSES])
    axis.set_yticks(range(len(CLASSES)), [label.value for label in CLASSES])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def curves_figure(curves: ScoreCurves, title: str) -> Figure:
    """Four two-class scores against the weight of NoFreq, and where TSS is largest (F23, Fig. 3)."""
    figure, axes = panels(1, 1, (6.4, 4.4))
    axis = axes[0, 0]
    lines = (
        ("F1", curves.f1, COLOUR[CLASSES[1]], "-"),
        ("AUC", curves.auc, ORANGE, "--"),
        ("Cohen's κ", curves.kappa, COLOUR[CLASSES[2]], ":"),
        ("TSS", curves.tss, COLOUR[CLASSES[0]], "-."),
    )
    for name, score, colour, style in lines:
        axis.plot(curves.weight_nofreq, score, style, color=colour, label=name, linewidth=1.8)
    # Of equal scores the largest weight: it passes the fewest NoFreq on.
    best = int(np.flatnonzero(curves.tss >= curves.tss.max() - 1e-12)[-1])
    weight = float(curves.weight_nofreq[best])
    axis.axvline(weight, **BOUND)
    axis.plot(weight, curves.tss[best], "o", color=INK, zorder=3)
    axis.annotate(
        f"largest TSS {curves.tss[best]:.3f}\nat $w_{{NF}}$ = {weight:.2f}",
        (weight, curves.tss[best]), (6, -40), textcoords="offset points", fontsize=9,
    )  # fmt: skip
    axis.set(xlabel="weight of NoFreq, $w_{NF}$  ($w_F = 1 - w_{NF}$)", ylabel="score", xlim=(0.0, 1.0))
    axis.set_ylim(min(0.0, float(np.nanmin(curves.kappa))) - 0.02, 1.02)
    axis.grid(alpha=0.25)
    axis.legend(loc="lower left", frameon=False)
    axis.set_title(f"{title}\nFreq or not, as the threshold moves", fontsize=11)
    return figure


def simplex_figure(search: ThresholdSearch, title: str, score: str) -> Figure:
    """The score over all weights of the three classes, and the chosen ones (F23, Fig. 5)."""
    figure, axes = panels(1, 1, (6.4, 5.0))
    axis = axes[0, 0]
    side = round((np.sqrt(8 * search.grid.shape[0] + 1) - 1) / 2)
    place = np.rint(search.grid * (side - 1)).astype(np.int64)
    field, allowed = np.full((side, side), np.nan), np.ones((side, side))
    field[place[:, 1], place[:, 0]] = search.scores
    allowed[place[:, 1], place[:, 0]] = search.allowed
    edge = np.linspace(0.0, 1.0, side)
    lowest = float(np.quantile(search.scores, 0.05))
    colours = axis.pcolormesh(edge, edge, field, cmap="cividis", vmin=lowest, shading="nearest")
    best = float(search.scores[search.allowed].max())
    levels = [best - 0.05, best - 0.01]
    lines = axis.contour(edge, edge, field, levels, colors="white", linewidths=0.9, linestyles=[":", "-"])
    axis.clabel(lines, fmt={level: f"−{best - level:.2f}" for level in levels}, fontsize=8)
    if not search.allowed.all():
        axis.contourf(edge, edge, allowed, [-0.5, 0.5], colors="none", hatches=["////"])
        axis.fill(
            [],
            [],
            facecolor="none",
            edgecolor=INK,
            hatch="////",
            label="breaks a cap, or never calls a class",
        )
    none, freq, pbl = search.weights
    axis.plot(
        none, freq, "o", markersize=11, markerfacecolor="none", markeredgecolor="white", markeredgewidth=2.2
    )
    axis.plot(
        none, freq, "o", markersize=14, markerfacecolor="none", markeredgecolor=INK, linestyle="",
        label=f"chosen: NoFreq {none:.2f}, Freq {freq:.2f}, PBL {pbl:.2f}\n{score} {search.score:.3f}",
    )  # fmt: skip
    axis.set(xlabel="weight of NoFreq, $w_{NF}$", ylabel="weight of Freq, $w_F$", aspect="equal")
    axis.text(0.42, 0.62, "$w_{PBL} = 1 - w_{NF} - w_F$", rotation=-45, fontsize=9, ha="left", va="bottom")
    axis.legend(loc="upper right", frameon=False, fontsize=9)
    figure.colorbar(colours, ax=axis, label=score, extend="min")
    axis.set_title(f"{title}\nscore over the weights; contours below the best", fontsize=11)
    return figure


def reliability_figure(outcomes: Outcomes, title: str) -> Figure | None:
    """Said against found, class by class, with how often each was said; None without probabilities."""
    asked = scored_windows(outcomes) & np.isfinite(outcomes.probability).all(axis=1)
    if not asked.any():
        return None
    found = reliability(outcomes.probability[asked], outcomes.label[asked])
    curves = [*found.classes, found.top_label]
    names = [*(label.value for label in CLASSES), "most probable class"]
    colours = [*(COLOUR[label] for label in CLASSES), INK]
    marks = [*(MARK[label] for label in CLASSES), "D"]
    figure, axes = panels(2, 4, (12.0, 4.6), sharex=True, height_ratios=(3, 1), sharey="row")
    for column, curve, name, colour, mark in zip(axes.T, curves, names, colours, marks, strict=True):
        _diagram(column[0], curve, colour, mark)
        column[0].set_title(f"{name}: ECE {curve.error:.3f}", fontsize=10)
        middle = (np.arange(curve.count.size) + 0.5) / curve.count.size
        column[1].bar(
            middle, np.maximum(curve.count, 0.5), width=0.9 / curve.count.size, color=colour, bottom=0
        )
        column[1].set(xlabel="probability said", yscale="log")
    axes[0, 0].set_ylabel("share that came true")
    axes[1, 0].set_ylabel("windows")
    axes[1, 0].set_ylim(bottom=0.6)
    windows = counts_note(int(np.count_nonzero(asked)))
    figure.suptitle(
        f"{title}\nreliability of stage one's probabilities, {windows} windows; band: ±0.03; bars: Wilson's 90 %, as if windows were independent",
        fontsize=11,
    )
    return figure


def _diagram(axis: Any, curve: ReliabilityCurve, colour: str, mark: str) -> None:
    filled = curve.count > 0
    said, came = curve.confidence[filled], curve.frequency[filled]
    spread: FloatArray = np.abs(np.stack([came - curve.low[filled], curve.high[filled] - came]))
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1.0)
    axis.fill_between([0, 1], [-0.03, 0.97], [0.03, 1.03], color=SKY, alpha=0.2, linewidth=0)
    axis.errorbar(said, came, yerr=spread, color=colour, marker=mark, markersize=5, linewidth=1.2, capsize=2)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axis.grid(alpha=0.25)
