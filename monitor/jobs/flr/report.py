"""The report of an evaluation: one Markdown page, its figures, and every number as JSON; and a table for a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from monitor.jobs.flr.canvas import save
from monitor.jobs.flr.criteria import criteria
from monitor.jobs.flr.dataset import Outcomes
from monitor.jobs.flr.figures import confusion_figure, curves_figure, reliability_figure, simplex_figure
from monitor.jobs.flr.figures_groups import ablation_figure, error_figure
from monitor.jobs.flr.figures_trace import telling_sequences, trace_figure
from monitor.jobs.flr.groups import f23_class_shares
from monitor.jobs.flr.measures import Measures, measure
from monitor.jobs.flr.rivals import Comparison, compare
from monitor.jobs.flr.tabulate import (
    ablation_table,
    apart_table,
    confusion_table,
    criteria_table,
    reading_table,
    rivals_section,
    share_table,
    verdict_lines,
)
from monitor.jobs.page import Page
from monitor.science.thresholds import ScoreCurves, ThresholdSearch
from monitor.types import Json

SCHEMA: Final = "geospace/flr-measures/1"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A chain on one data set: what it said, how good that is, and what its rival says.

    `synthetic` goes into every title: nobody shall take a picture of the generator for one of the sky.
    """

    outcomes: Outcomes
    synthetic: bool
    measures: Measures
    rivals: Sequence[Comparison]

    @property
    def title(self) -> str:
        """Name of the data for titles."""
        return titled(self.outcomes.data, self.synthetic)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How the weights of the moving threshold were found, on which data and by which score."""

    data: str
    synthetic: bool
    score: str
    curves: ScoreCurves | None = None
    search: ThresholdSearch | None = None


@dataclass(frozen=True, slots=True)
class Ablation:
    """Chains on one data set, the shipped one first."""

    data: str
    synthetic: bool
    rows: Sequence[tuple[str, Measures]]


def titled(name: str, synthetic: bool) -> str:
    """The name, and that the data are synthetic where they are and the name does not say so."""
    return f"{name} (synthetic)" if synthetic and "synthetic" not in name.lower() else name


def evaluated(outcomes: Outcomes, *, synthetic: bool, rounds: int = 200, seed: int = 0) -> Evaluated:
    """Measure a chain on one data set, and hold it against the physical estimate."""
    return Evaluated(
        outcomes,
        synthetic,
        measure(outcomes, rounds=rounds, seed=seed),
        compare(outcomes, rounds=rounds, seed=seed),
    )


def write_report(
    folder: Path,
    sets: Sequence[Evaluated],
    *,
    ablation: Ablation | None = None,
    thresholds: Thresholds | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write `report.md`, `measures.json` and the figures into a folder, which is made where there is none.

    Parameters
    ----------
    folder : Path
    sets : sequence of Evaluated
        The chain on one data set or several; the criteria are those of the first.
    ablation : Ablation, optional
    thresholds : Thresholds, optional
    notes : sequence of str
        Paragraphs to put first: what was evaluated, with which model.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ValueError
        When there is no data set, or two have one name.
    MonitorError
        Where matplotlib is not installed.
    """
    if not sets:
        raise ValueError("a report needs at least one data set")
    names = [_slug(one.title) for one in sets]
    if len(set(names)) < len(names):
        raise ValueError(f"two data sets have one name: {', '.join(one.outcomes.data for one in sets)}")
    folder.mkdir(parents=True, exist_ok=True)
    page = Page(folder, save)
    page.text(f"# Evaluation of {sets[0].outcomes.chain}", *notes)
    _what_it_must_show(page, sets[0])
    if thresholds is not None:
        _threshold_section(page, thresholds)
    if ablation is not None and ablation.rows:
        title = titled(ablation.data, ablation.synthetic)
        page.text(f"## What each part is worth: {title}", ablation_table(ablation.rows))
        page.figure(
            ablation_figure(ablation.rows, title),
            "ablation",
            "What each part is worth",
            synthetic=ablation.synthetic,
        )
    for one, name in zip(sets, names, strict=True):
        _set_section(page, one, name)
    (folder / "measures.json").write_text(_document(sets, ablation), encoding="utf-8")
    return page.write()


def summary_lines(measures: Measures) -> list[str]:
    """A compact table for a terminal: what was scored, and every criterion with its interval and its verdict."""
    return [
        f"{measures.data}, {measures.chain}: {measures.scored} windows of {measures.sequences} sequences scored",
        f"apart: {measures.ambiguous.count} ambiguous, {measures.unusable.count} unusable",
        *verdict_lines(criteria(measures)),
    ]


def _what_it_must_show(page: Page, one: Evaluated) -> None:
    judged = criteria(one.measures)
    met = sum(criterion.met is True for criterion in judged)
    missed = sum(criterion.met is False for criterion in judged)
    nobody = len(judged) - met - missed
    none, freq, pbl = 100.0 * f23_class_shares()
    page.text(
        f"## What it must show: {one.title}",
        f"{met} of {len(judged)} met, {missed} not met"
        + (f", {nobody} without a window that could tell." if nobody else "."),
        criteria_table(judged),
        "Intervals are 90 %, from draws of whole sequences: windows of a sequence overlap and are not independent. "
        "*Unsure* says that the interval reaches across the bound; with fewer than ten sequences it is rough. "
        "Where none or all of the windows are hit, it is the bound for as many trials as sequences. F23's classes: "
        f"NoFreq {none:.1f} %, Freq {freq:.1f} %, PBL {pbl:.2f} %; its night has one or both ends in the dark, "
        "ours both. Errors and coverage are those of published frequencies: windows whose final class is the true one.",
    )


def _threshold_section(page: Page, thresholds: Thresholds) -> None:
    title = titled(thresholds.data, thresholds.synthetic)
    page.text(f"## The moving threshold: {title}")
    if thresholds.curves is not None:
        page.figure(
            curves_figure(thresholds.curves, title),
            "threshold-curves",
            "Scores against the weight",
            synthetic=thresholds.synthetic,
        )
    if thresholds.search is not None:
        figure = simplex_figure(thresholds.search, title, thresholds.score)
        page.figure(
            figure, "threshold-map", "Score over the weights of three classes", synthetic=thresholds.synthetic
        )


def _set_section(page: Page, one: Evaluated, name: str) -> None:
    measures, title = one.measures, one.title
    page.text(
        f"## {title}",
        f"{measures.windows} windows; {measures.scored} of {measures.sequences} sequences are scored. Apart: "
        f"{measures.ambiguous.count} ambiguous and {measures.unusable.count} unusable.",
        "### Calls",
        confusion_table(measures),
    )
    page.figure(
        confusion_figure(measures, title), f"{name}-confusion", "Confusion matrices", synthetic=one.synthetic
    )
    page.text(share_table(measures))
    page.text("### Frequencies", reading_table(measures))
    page.figure(
        error_figure(measures, title), f"{name}-errors", "Errors and coverage by L", synthetic=one.synthetic
    )
    page.text("### Probabilities")
    diagram = reliability_figure(one.outcomes, title)
    if diagram is None:
        page.text("This chain gives no probabilities.")
    else:
        page.figure(diagram, f"{name}-reliability", "Reliability", synthetic=one.synthetic)
    sequences = telling_sequences(one.outcomes)
    if sequences:
        page.text("### Some sequences", "Chosen by what happens in them, not by how well the chain does.")
        page.figure(
            trace_figure(one.outcomes, sequences, title),
            f"{name}-trace",
            "Calls and frequencies in time",
            synthetic=one.synthetic,
        )
    page.text("### Beside the physical estimate", *rivals_section(measures, one.rivals))
    page.text("### Not scored", *apart_table(measures))


def _document(sets: Iterable[Evaluated], ablation: Ablation | None) -> str:
    document: dict[str, Json] = {
        "schema": SCHEMA,
        "sets": [
            {
                "synthetic": one.synthetic,
                "measures": one.measures.to_json(),
                "criteria": [asdict(criterion) for criterion in criteria(one.measures)],
                "rivals": [asdict(comparison) for comparison in one.rivals],
            }
            for one in sets
        ],
        "ablation": None
        if ablation is None
        else {
            "data": ablation.data,
            "synthetic": ablation.synthetic,
            "rows": [{"name": name, "measures": measures.to_json()} for name, measures in ablation.rows],
        },
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"
