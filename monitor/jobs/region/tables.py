"""Measures of regions as tables: Markdown for the report, plain lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from monitor.jobs.flr.bootstrap import Estimate
from monitor.jobs.region.evaluated import Criterion, Evaluated
from monitor.jobs.region.judged import CONTEXT, ISOLATED
from monitor.jobs.region.measures import Average, Mixed, RegionMeasures
from monitor.jobs.region.real import ShockScore, WindScore
from monitor.types import REGIONS

NOBODY: Final = "–"
PAPER_F1: Final = dict(
    zip(REGIONS, (0.90, 0.94, 0.83, 0.91, 0.84, 0.84, 0.96, 0.89, 0.87, 0.95), strict=True)
)
"""F1 of Breuillard et al. (2020), table 3: on real windows of other orbits, with labels of their own."""


def class_table(measures: RegionMeasures) -> str:
    """The paper's Table 3, with intervals and its own F1 in the last column."""
    rows: list[tuple[str, ...]] = [
        (
            one.region,
            _with(one.precision),
            _with(one.recall),
            _with(one.f1),
            _with(one.auc, 4),
            f"{PAPER_F1[region]:.2f}",
        )
        for region, one in zip(REGIONS, measures.classes, strict=True)
    ]
    rows += [
        _average("macro average", measures.macro, "0.89"),
        _average("micro average", measures.micro, "0.89"),
    ]
    rows.append(("accuracy", "", _with(measures.accuracy), "", "", "0.89 (accuracy)"))
    return _table(("", "precision", "recall", "F1", "AUC", "paper's F1, on other data"), rows)


def confusion_table(measures: RegionMeasures, columns: Sequence[str] | None = None) -> str:
    """The paper's Table 4: calls in rows, the truth in columns."""
    names = [region.value for region in REGIONS]
    kept = [names.index(name) for name in (names if columns is None else columns)]
    rows = [
        (f"called {name}", *(str(row[column]) for column in kept))
        for name, row in zip(names, measures.confusion, strict=True)
    ]
    return _table(("", *(names[column] for column in kept)), rows)


def criteria_table(found: Sequence[Criterion]) -> str:
    """What is asked, and what is."""
    return _table(
        ("", "asked for", "found", "verdict"),
        [(one.name, one.asked, _number(one.value), _verdict(one)) for one in found],
    )


def criteria_lines(found: Sequence[Criterion]) -> list[str]:
    """The same for a terminal."""
    width = max((len(one.name) for one in found), default=0)
    return [
        f"  {one.name:<{width}}  {_number(one.value):>6}  {one.asked:<7}  {_verdict(one).replace('*', '')}"
        for one in found
    ]


def comparison_table(rows: Mapping[str, RegionMeasures]) -> str:
    """Network and rivals, one a row."""
    return _table(
        ("", "windows", "accuracy", "macro F1", "least F1", "macro AUC", "ECE"),
        [(name, *_figures(one)) for name, one in rows.items()],
    )


def pattern_table(one: Evaluated) -> str:
    """Accuracy by what is there and by form."""
    rows = []
    for pattern, forms in one.patterns.items():
        cells = []
        for form in (ISOLATED, CONTEXT):
            measured = forms.get(form)
            cells += (
                [NOBODY, NOBODY]
                if measured is None
                else [_with(measured.accuracy), _number(measured.macro.f1)]
            )
        windows = next(iter(forms.values())).windows
        rows.append((pattern, str(windows), *cells))
    heading = ("what is there", "windows", "isolated: accuracy", "macro F1", "context: accuracy", "macro F1")
    return _table(heading, rows)


def mixed_text(mixed: Mixed) -> str:
    """What becomes of windows that have no one region."""
    if not mixed.count:
        return "No window is mixed."
    called = ", ".join(
        f"{count} {region.value}" for region, count in zip(REGIONS, mixed.called, strict=True) if count
    )
    return (
        f"{mixed.count} windows are mixed (no region has 70 % of their cells, or a boundary is cut by their edge) and "
        f"counted nowhere else: {100 * (mixed.majority.value or 0.0):.1f} % are called what most of their cells are, "
        f"with a median confidence of {_number(mixed.confidence)}. Calls: {called}."
    )


def recall_table(rows: Mapping[str, RegionMeasures]) -> str:
    """Accuracy and the recall of the classes that occur, one method a row."""
    first = next(iter(rows.values()))
    there = [one.region for one in first.classes if one.recall.count]
    return _table(
        ("", "windows", "accuracy", *(f"recall {name}" for name in there)),
        [
            (name, str(one.windows), _with(one.accuracy), *(_number(one.of(region).recall.value) for region in there))
            for name, one in rows.items()
        ],
    )  # fmt: skip


def shock_table(rows: Mapping[str, ShockScore]) -> str:
    """Shocks on the wrong side, one method a row."""
    return _table(
        ("", "shocks", "upstream wrong", "downstream wrong"),
        [
            (name, str(one.shocks), str(len(one.upstream_wrong)), str(len(one.downstream_wrong)))
            for name, one in rows.items()
        ],
    )


def wind_table(rows: Mapping[str, WindScore]) -> str:
    """Windows in the solar wind, one method a row."""
    return _table(
        ("", "windows", "SW or FS", "called"),
        [
            (
                name,
                str(one.windows),
                f"{100 * one.right:.1f} %",
                ", ".join(f"{count} {region}" for region, count in one.called.items()),
            )
            for name, one in rows.items()
        ],
    )


def _figures(one: RegionMeasures) -> tuple[str, ...]:
    least = min((each.f1.value for each in one.classes if each.f1.value is not None), default=None)
    return (
        str(one.windows),
        _with(one.accuracy),
        _number(one.macro.f1),
        _number(least),
        _number(one.macro.auc, 4),
        _number(one.calibration_error.value),
    )


def _average(name: str, one: Average, paper: str) -> tuple[str, ...]:
    return (name, _number(one.precision), _number(one.recall), _number(one.f1), _number(one.auc, 4), paper)


def _with(one: Estimate, digits: int = 3) -> str:
    """A figure with its interval."""
    if one.low is None or one.high is None:
        return _number(one.value, digits)
    return f"{_number(one.value, digits)} ({one.low:.{digits}f}–{one.high:.{digits}f})"


def _number(value: float | None, digits: int = 3) -> str:
    return NOBODY if value is None else f"{value:.{digits}f}"


def _verdict(one: Criterion) -> str:
    return NOBODY if one.met is None else "met" if one.met else "**not met**"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(heading)} |", "| " + "--- | " * len(heading), *lines]).replace(
        "--- | \n", "--- |\n"
    )
