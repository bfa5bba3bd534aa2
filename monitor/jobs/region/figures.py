"""Figures of the network: learning curve, confusion, receiver curves, reliability, and the Cluster hour.

In the manner of Figs 1 to 3 of Breuillard et al. (2020), doi:10.3389/fspas.2020.00055.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.io.files.series import SourceSeries
from monitor.jobs.flr.canvas import BOUND, GREY, INK, ORANGE, SKY, counts_note, panels
from monitor.jobs.panels_drawing import REGION_COLOUR, Span, panel_figure
from monitor.jobs.region.judged import Judged
from monitor.jobs.region.measures import RegionMeasures, receiver_curve
from monitor.jobs.region.real import Hour
from monitor.science.reliability import ReliabilityCurve, reliability
from monitor.types import (
    CELL_NS,
    REGIONS,
    SECOND_NS,
    VARIABLES,
    WINDOW_CELLS,
    Domain,
    FloatArray,
    Json,
    Quality,
    Region,
    iso_time,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from monitor.jobs.region.training import Epoch

SURE: Final = 0.8
"""Probability from which a label counts as good in the hour's panels."""
_ZOOM = 0.3
_LARGEST_BYTES = 150_000
_PALETTE = 256


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; with a palette, which may shift its colours a little, only where it would be too large."""
    from PIL import Image

    figure.canvas.draw()
    drawn = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")  # type: ignore[attr-defined]
    drawn.save(path, optimize=True)
    if path.stat().st_size >= _LARGEST_BYTES:
        drawn.quantize(_PALETTE).save(path, optimize=True)
    return path


def learning_figure(curve: Sequence[Epoch], best: int, title: str) -> Figure:
    """Loss and accuracy epoch by epoch, and the epoch that was kept (the paper's Fig. 1)."""
    figure, axes = panels(1, 2, (9.6, 3.8))
    number = [epoch.number for epoch in curve]
    pairs = (
        ("loss (nat)", "train_loss", "validation_loss"),
        ("accuracy", "train_accuracy", "validation_accuracy"),
    )
    for axis, (label, training, validation) in zip(axes[0], pairs, strict=True):
        axis.plot(number, [getattr(epoch, training) for epoch in curve], color=SKY, label="training")
        axis.plot(number, [getattr(epoch, validation) for epoch in curve], color=ORANGE, label="validation")
        axis.axvline(best, **BOUND)
        axis.set(xlabel="epoch", ylabel=label)
        axis.grid(alpha=0.25)
    axes[0, 0].legend(frameon=False)
    figure.suptitle(f"{title}\nepoch {best} was kept", fontsize=11)
    return figure


def confusion_figure(measures: RegionMeasures, title: str) -> Figure:
    """The confusion matrix: calls in rows and the truth in columns, as the paper's Table 4."""
    figure, axes = panels(1, 1, (7.2, 6.6))
    axis = axes[0, 0]
    counts = np.array(measures.confusion)
    total = counts.sum(axis=0, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    axis.imshow(share, cmap="Blues", vmin=0.0, vmax=1.15)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axis.text(
                j, i, f"{100 * share[i, j]:.1f}\n{counts_note(int(count))}", ha="center", va="center",
                fontsize=8, color="white" if share[i, j] > 0.6 else INK,
            )  # fmt: skip
    names = [region.value for region in REGIONS]
    axis.set_xticks(range(len(names)), names, fontsize=9)
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.set(xlabel="true region", ylabel="called")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(f"{title}\nper cent of the true region, and windows", fontsize=11)
    return figure


def receiver_figure(judged: Judged, measures: RegionMeasures, title: str) -> Figure:
    """One curve a class against the rest, and its upper left corner enlarged (the paper's Fig. 2)."""
    figure, axes = panels(1, 2, (10.4, 4.8))
    counted = judged.at(~judged.mixed)
    for code, region in enumerate(REGIONS):
        hit = counted.label == code
        if not hit.any() or hit.all():
            continue
        false, true = receiver_curve(counted.probability[:, code], hit)
        area = measures.of(region.value).auc.value
        for axis in axes[0]:
            axis.plot(
                false, true, color=REGION_COLOUR[region], linewidth=1.5, label=f"{region.value} {area:.3f}"
            )
    for axis in axes[0]:
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        axis.set(xlabel="false positive rate", ylabel="true positive rate")
        axis.grid(alpha=0.25)
    axes[0, 0].set(xlim=(-0.01, 1.0), ylim=(0.0, 1.01))
    axes[0, 1].set(xlim=(-0.003, _ZOOM), ylim=(1.0 - _ZOOM, 1.003))
    axes[0, 1].legend(frameon=False, fontsize=9, title="area", loc="lower right")
    figure.suptitle(f"{title}\neach class against the rest", fontsize=11)
    return figure


def reliability_figure(judged: Mapping[str, Judged], title: str) -> Figure:
    """Said against found for the most probable class, form by form, with how often each was said."""
    figure, axes = panels(
        2, len(judged), (4.4 * len(judged), 5.0), sharex=True, height_ratios=(3, 1), sharey="row"
    )
    for column, (form, said) in zip(axes.T, judged.items(), strict=True):
        counted = said.at(~said.mixed)
        curve = reliability(counted.probability, counted.label).top_label
        _diagram(column[0], curve)
        column[0].set_title(f"{form}: ECE {curve.error:.3f}", fontsize=10)
        middle = (np.arange(curve.count.size) + 0.5) / curve.count.size
        column[1].bar(middle, np.maximum(curve.count, 0.5), width=0.9 / curve.count.size, color=SKY)
        column[1].set(xlabel="probability said", yscale="log")
    axes[0, 0].set_ylabel("share that came true")
    axes[1, 0].set_ylabel("windows")
    axes[1, 0].set_ylim(bottom=0.6)
    figure.suptitle(f"{title}\nreliability of the most probable class; band: ±0.03", fontsize=11)
    return figure


def _diagram(axis: Any, curve: ReliabilityCurve) -> None:
    filled = curve.count > 0
    said, came = curve.confidence[filled], curve.frequency[filled]
    spread: FloatArray = np.abs(np.stack([came - curve.low[filled], curve.high[filled] - came]))
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1.0)
    axis.fill_between([0, 1], [-0.03, 0.97], [0.03, 1.03], color=SKY, alpha=0.2, linewidth=0)
    axis.errorbar(said, came, yerr=spread, color=INK, marker="o", markersize=5, linewidth=1.2, capsize=2)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axis.grid(alpha=0.25)


def hour_figure(hour: Hour) -> Figure:
    """What Cluster measured, and the region of every cell's window as the network has it, not debounced."""
    span = Span(hour.t0_ns, hour.t0_ns + hour.cells.shape[0] * CELL_NS)
    measured = SourceSeries(
        "C1",
        VARIABLES,
        hour.t0_ns,
        CELL_NS,
        np.ascontiguousarray(hour.cells.T),
        "",
        Domain.CRAFT,
        frame="gse",
    )
    figure = panel_figure("C1", span, [measured], hour_bodies(hour), [], hop_ns=CELL_NS)
    axes: list[Any] = figure.axes[:4]
    for axis in axes:
        axis.axvline(hour.change_ns / SECOND_NS / 86_400, **BOUND)
    return figure


def hour_bodies(hour: Hour) -> list[dict[str, Json]]:
    """The hour's windows as far as the panels look into a `region` object."""
    bodies: list[dict[str, Json]] = []
    for end_ns, said, novel in zip(
        hour.ends_ns.tolist(), hour.probability.tolist(), hour.novel.tolist(), strict=True
    ):
        sure = Quality.GOOD if max(said) >= SURE else Quality.UNCERTAIN
        bodies.append(
            {
                "time": iso_time(end_ns),
                "window_s": WINDOW_CELLS * CELL_NS / SECOND_NS,
                "label": REGIONS[int(np.argmax(said))].value,
                "probability": {Region(region).value: one for region, one in zip(REGIONS, said, strict=True)},
                "quality": (Quality.POOR if novel else sure).value,
            }
        )
    return bodies
