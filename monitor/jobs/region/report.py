"""The report on the network of regions: one Markdown page, its figures, and every number as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monitor.jobs.page import Page
from monitor.jobs.region.evaluated import Evaluated, criteria
from monitor.jobs.region.figures import (
    confusion_figure,
    hour_figure,
    learning_figure,
    receiver_figure,
    reliability_figure,
    save,
)
from monitor.jobs.region.figures_cam import cam_figure
from monitor.jobs.region.judged import ISOLATED
from monitor.jobs.region.real import NETWORK, RealMeasures
from monitor.jobs.region.tables import (
    class_table,
    comparison_table,
    confusion_table,
    criteria_lines,
    criteria_table,
    mixed_text,
    pattern_table,
    recall_table,
    shock_table,
    wind_table,
)
from monitor.types import Json, Region, iso_time

if TYPE_CHECKING:
    from monitor.jobs.region.training import Epoch

SCHEMA: Final = "geospace/region-measures/1"
PAPER: Final = (
    "Breuillard et al. (2020), doi:10.3389/fspas.2020.00055, report an accuracy of 0.89, F1 of 0.83 to 0.96 and AUC of "
    "0.98 and more. These are of another thing: real MMS windows of 2016 to 2019 with all twelve variables, labelled by "
    "SITL reports, shuffled window by window, so that neighbours of one crossing are in training and test. Nothing "
    "here can be compared with them, and they stand in the last column for orientation only."
)
_DRAWN_CAMS: Final = (Region.SOLAR_WIND.value, Region.FORESHOCK.value, Region.BOW_SHOCK.value)


@dataclass(frozen=True, slots=True)
class Learnt:
    """How a network was trained: its curve, the epoch that was kept, and what it was trained on."""

    curve: Sequence[Epoch]
    best: int
    synthetic: bool


def write_report(
    folder: Path,
    one: Evaluated,
    *,
    learnt: Learnt | None = None,
    real: RealMeasures | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write `report.md`, `measures.json` and the figures into a folder, which is made where there is none.

    Parameters
    ----------
    folder : Path
    one : Evaluated
    learnt : Learnt, optional
        Where a network was trained just now.
    real : RealMeasures, optional
    notes : sequence of str
        Paragraphs to put first: which model, which data.

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
    page = Page(folder, save)
    page.text("# The network of plasma regions", *notes)
    _asked(page, one)
    _set_section(page, one)
    _missing_section(page, one)
    if learnt is not None:
        page.text("## Learning curve")
        page.figure(
            learning_figure(learnt.curve, learnt.best, "Training"),
            "learning",
            "Loss and accuracy of training and validation, epoch by epoch",
            synthetic=learnt.synthetic,
        )
    _cam_section(page, one)
    _real_section(page, real)
    (folder / "measures.json").write_text(_document(one, real), encoding="utf-8")
    return page.write()


def summary_lines(one: Evaluated, real: RealMeasures | None) -> list[str]:
    """For a terminal: what was asked and found, and the real measurements."""
    head = one.headline
    lines = [
        f"{one.title}: {head.windows} windows of {head.runs} runs with all variables",
        *criteria_lines(criteria(one)),
    ]
    for name, measured in one.rivals.items():
        lines.append(f"  {name}: accuracy {measured.accuracy.value or 0.0:.3f}, on all windows")
    if real is None:
        return lines
    for name, measured in (real.windows or {}).items():
        lines.append(f"real MMS windows, {name}: accuracy {measured.accuracy.value or 0.0:.3f}")
    for name, shocks in (real.shocks or {}).items():
        lines.append(
            f"real shocks, {name}: wrong upstream {len(shocks.upstream_wrong)}, downstream "
            f"{len(shocks.downstream_wrong)} of {shocks.shocks}"
        )
    for name, wind in (real.wind or {}).items():
        lines.append(f"real solar wind, {name}: {100 * wind.right:.1f} % SW or FS")
    if real.hour is not None:
        lines.append(
            f"Cluster hour: labels change at {iso_time(real.hour.change_ns)}, B and V at "
            f"{iso_time(real.hour.measured_ns)}"
        )
    return lines


def _asked(page: Page, one: Evaluated) -> None:
    found = criteria(one)
    page.text(
        f"## What it must show: {one.title}",
        f"{sum(each.met is True for each in found)} of {len(found)} met. Windows with all variables.",
        criteria_table(found),
        PAPER,
        "Intervals are 90 %, from draws of whole runs: windows of a run are not independent.",
    )


def _set_section(page: Page, one: Evaluated) -> None:
    head = one.headline
    page.text(
        f"## {one.title}",
        "### Lone windows with all variables",
        class_table(head),
        "Rows are what was called and columns what it was:",
        confusion_table(head),
    )
    page.figure(confusion_figure(head, one.title), "confusion", "Confusion matrix", synthetic=one.synthetic)
    page.text("### All windows, with and without all variables")
    rows = {NETWORK[form]: measured for form, measured in one.forms.items()}
    page.text(comparison_table(rows | dict(one.rivals)))
    page.figure(
        receiver_figure(one.judged[ISOLATED], one.forms[ISOLATED], one.title),
        "receiver",
        "Receiver operating characteristics",
        synthetic=one.synthetic,
    )
    page.figure(
        reliability_figure(one.judged, one.title), "reliability", "Reliability", synthetic=one.synthetic
    )
    page.text("### Mixed windows", mixed_text(one.forms[ISOLATED].mixed))


def _missing_section(page: Page, one: Evaluated) -> None:
    if not one.patterns:
        page.text("## What may be missing", "No window of this set has all variables to take some from.")
        return
    page.text(
        f"## What may be missing: {one.title}",
        "Windows that have all variables, with some of them taken away.",
        pattern_table(one),
    )


def _cam_section(page: Page, one: Evaluated) -> None:
    drawn = [mapped for mapped in one.mapped if mapped.region in _DRAWN_CAMS]
    if not drawn:
        return
    page.text(
        "## Class activation maps",
        "Of each region the rightly called window of median confidence: how much each step spoke for it.",
    )
    for mapped in drawn:
        title = f"{mapped.region}, called with probability {mapped.confidence:.2f} ({one.title})"
        page.figure(
            cam_figure(mapped.values, mapped.cam, title),
            f"cam-{mapped.region.lower()}",
            f"Class activation in a window of {mapped.region}",
            synthetic=one.synthetic,
        )


def _real_section(page: Page, real: RealMeasures | None) -> None:
    page.text("## Real measurements")
    if real is None:
        page.text("Not measured: no folder of real measurements was given (`--real`).")
        return
    page.text(
        "Nothing was trained on these. The ranges that training windows are drawn from were summarised from "
        "published values and partly from the MMS windows below (percentiles of |B|, T and N by region), then widened: "
        "the windows are new to the network, but the ranges of their bulk values are not. Results of earlier networks on "
        "them were seen while the ranges were chosen."
    )
    if real.absent:
        page.text(f"Not measured, because the file is not there: {', '.join(real.absent)}.")
    _real_windows(page, real)
    if real.shocks is not None:
        page.text(
            "### Bow shocks of MMS",
            "Windows about the averages upstream and downstream of each shock, with noise of power ∝ 1/f whose "
            "standard deviation is the error that the list gives; five draws a shock, the majority decides. T∥ and T⊥ "
            "are missing, coordinates are those of the list. Upstream solar wind or foreshock is right, downstream "
            "the magnetosheath.",
            shock_table(real.shocks),
        )
    if real.wind is not None:
        page.text(
            "### Solar wind of 2024-05-10, 00 to 15 UT",
            "One value a minute, interpolated to 4.5 s: the fluctuations that a network looks at are missing. "
            "Coordinates are GSM, not turned back to GSE; T∥ and T⊥ are missing. The file names no unit of T; read in "
            "eV it has what the ion instrument of MMS shows upstream of shocks, read in 1000 K it is colder than any "
            "of those. Both readings are given; the first is ours.",
            wind_table(real.wind),
        )
    if real.hour is not None:
        hour = real.hour
        page.text(
            "### An hour of Cluster 1",
            "2002-03-18, 14:15 to 15:15 UT, B and V only, at 4 s. The labels are those of single windows, one a cell, "
            f"not debounced. They divide best at {iso_time(hour.change_ns)} ({100 * hour.agreement:.0f} % of the windows "
            f"are on their side of it); field and flow by themselves divide at {iso_time(hour.measured_ns)}.",
        )
        page.figure(
            hour_figure(hour),
            "cluster-hour",
            "Cluster 1 from the magnetosphere into the sheath; dashed: where the labels change",
            synthetic=False,
        )


def _real_windows(page: Page, real: RealMeasures) -> None:
    if real.windows is None:
        return
    page.text(
        "### MMS windows of six regions",
        "Only |B|, T and an estimate of N are there; everything else is missing. The most probable of all ten classes "
        "counts: any other than the label is wrong. The context form is measured on windows whose neighbours in time "
        "are there. The logistic regression has learnt the same simulated windows with the same variables, and the "
        "thresholds are from the literature.",
        recall_table(real.windows),
    )
    first = real.windows[NETWORK[ISOLATED]]
    names = [one.region for one in first.classes if one.recall.count]
    page.text("The network, isolated windows:", confusion_table(first, names))


def _document(one: Evaluated, real: RealMeasures | None) -> str:
    document: dict[str, Json] = {
        "schema": SCHEMA,
        "set": one.to_json(),
        "criteria": [asdict(each) for each in criteria(one)],
        "real": None if real is None else real.to_json(),
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
