"""Measures as tables: Markdown for the report, plain lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.jobs.flr.bootstrap import Estimate
from monitor.jobs.flr.criteria import Criterion, bound_text
from monitor.jobs.flr.figures_groups import ABLATION
from monitor.jobs.flr.groups import ALL
from monitor.jobs.flr.measures import Apart, Decisions, Measures, Reading
from monitor.jobs.flr.rivals import Comparison
from monitor.types import CLASSES

NOBODY = "–"


def criteria_table(judged: Sequence[Criterion]) -> str:
    """Every criterion: figure, interval, bound, verdict, and what F23 states."""
    return _table(
        ("", "F23 (L = 2.9)", "asked for", "ours", "90 % interval", "sequences", "verdict"),
        [
            (
                one.name,
                one.f23 or NOBODY,
                one.asked,
                _number(one.value, one.percent),
                _range(one),
                NOBODY if one.sequences is None else str(one.sequences),
                _verdict(one),
            )
            for one in judged
        ],
    )


def verdict_lines(judged: Sequence[Criterion]) -> list[str]:
    """The same for a terminal, in columns; what no window can tell is left out and counted."""
    told = [one for one in judged if one.met is not None]
    rows = [
        (one.name, _number(one.value, one.percent), _range(one), one.asked, _verdict(one).replace("*", ""))
        for one in told
    ]
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(5)]
    lines = [
        f"  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:<{widths[3]}}  {e}"
        for a, b, c, d, e in rows
    ]
    untold = len(judged) - len(told)
    return lines + ([f"  {untold} more have no window that could tell"] if untold else [])


def confusion_table(measures: Measures) -> str:
    """Counts of the final call, all windows and by light; rows are the truth."""
    rows = []
    for light, counts in measures.final.confusion.items():
        for label, row in zip(CLASSES, counts, strict=True):
            share = [f"{count} ({100 * count / sum(row):.1f} %)" if sum(row) else NOBODY for count in row]
            rows.append((light, label.value, *share))
    return _table(("light", "true", *(f"called {label}" for label in CLASSES)), rows)


def share_table(measures: Measures) -> str:
    """What is found and what is passed on, by light and band of L: stage one, final, physics alone."""
    rows = []
    for name, figure in (
        ("Freq found", "freq_found"),
        ("NoFreq passed on", "nofreq_passed"),
        ("PBL found", "pbl_found"),
    ):
        for group, share in getattr(measures.final, figure).items():
            if share.count:
                stages = (measures.stage_one, measures.final, measures.physical)
                cells = [_with_range(getattr(stage, figure)[group]) for stage in stages]
                rows.append((name, group, *cells, str(share.count), str(share.sequences)))
    rows += [(name, "all", *cells, NOBODY, NOBODY) for name, cells in _pbl_rows(measures)]
    return _table(("", "group", "stage one", "final", "physics alone", "windows", "sequences"), rows)


def _pbl_rows(measures: Measures) -> list[tuple[str, list[str]]]:
    stages: tuple[Decisions, ...] = (measures.stage_one, measures.final, measures.physical)
    return [
        (
            "others called PBL, as in these data",
            [_with_range(stage.others_called_pbl, 2) for stage in stages],
        ),
        (
            "others called PBL, at F23's shares",
            [_with_range(stage.others_called_pbl_at_f23, 2) for stage in stages],
        ),
        ("PBL precision, at F23's shares", [_with_range(stage.pbl_precision_at_f23) for stage in stages]),
    ]


def reading_table(measures: Measures) -> str:
    """Errors and intervals by class and band: published, asked for whatever the chain called, and the physics."""
    rows = []
    sources = (
        ("published", measures.published),
        ("asked", measures.asked),
        ("physics", measures.physical_read),
    )
    for source, readings in sources:
        for kind, bands in readings.items():
            rows += [_reading_row(source, kind, band, one) for band, one in bands.items() if one.count]
    header = (
        "frequencies", "class", "L", "|ε| median", "|ε| 90th percentile", "|Δf| 90th percentile", "bias",
        "within 8 % or 0.3 mHz", "interval covers", "median width", "windows", "sequences",
    )  # fmt: skip
    return _table(header, rows)


def _reading_row(source: str, kind: str, band: str, one: Reading) -> tuple[str, ...]:
    width = NOBODY if one.width is None else f"{100 * one.width:.1f} %"
    gap = NOBODY if one.p90_mHz.value is None else f"{one.p90_mHz.value:.2f} mHz"
    bias = NOBODY if one.bias.value is None else f"{100 * one.bias.value:+.2f} %"
    return (
        source, kind, band.removeprefix("L "), _with_range(one.median, 2), _with_range(one.p90), gap, bias,
        _with_range(one.within), _with_range(one.covered), width, str(one.count), str(one.sequences),
    )  # fmt: skip


def rivals_section(measures: Measures, rivals: Sequence[Comparison]) -> list[str]:
    """How far chain and physics agree, and where learning does not beat the physics."""
    if not rivals:
        return ["No physical estimate to compare with."]
    agreement = measures.agreement
    parts = [
        _table(
            ("", "share", "windows"),
            [
                ("same class", _with_range(agreement.same_label), str(agreement.same_label.count)),
                (
                    "same frequency (10 % or 0.3 mHz), of windows in one resonant class for both",
                    _with_range(agreement.same_frequency),
                    str(agreement.same_frequency.count),
                ),
                (
                    "chain right where they agree",
                    _with_range(agreement.right_if_agreed),
                    str(agreement.right_if_agreed.count),
                ),
                (
                    "chain right where they do not",
                    _with_range(agreement.right_if_not),
                    str(agreement.right_if_not.count),
                ),
                (
                    "flagged as unlike the training spectra",
                    _with_range(measures.novel[ALL], 2),
                    str(measures.novel[ALL].count),
                ),
            ],
        )
    ]
    lost = [one for one in rivals if one.as_good]
    unsure = [one for one in rivals if not one.as_good and not one.clear]
    if not lost:
        parts.append(f"The chain is ahead of the physical estimate in all {len(rivals)} figures and groups.")
    else:
        parts.append(f"**The physical estimate alone is as good or better in {len(lost)} of {len(rivals)}:**")
        parts.append(_rival_table(lost))
    if unsure:
        parts.append(f"The chain is ahead, but by less than the draws scatter, in {len(unsure)}:")
        parts.append(_rival_table(unsure))
    return parts


def _rival_table(rows: Sequence[Comparison]) -> str:
    return _table(
        ("figure", "group", "chain", "physics", "gain", "clear", "windows", "sequences"),
        [
            (
                one.figure, one.group, f"{100 * one.chain:.2f} %", f"{100 * one.physics:.2f} %",
                _with_range(one.gain, 2), "yes" if one.clear else "no", str(one.count), str(one.sequences),
            )
            for one in rows
        ],
    )  # fmt: skip


def apart_table(measures: Measures) -> list[str]:
    """Windows that are not scored, by kind, and what they were called."""
    return [
        _apart("Ambiguous", "reason", measures.ambiguous),
        _apart("Unusable", "true class", measures.unusable),
    ]


def _apart(name: str, kind: str, apart: Apart) -> str:
    if not apart.count:
        return f"{name}: none."
    rows = [(key, str(sum(called)), *map(str, called)) for key, called in apart.called.items()]
    header = (kind, "windows", *(f"called {label}" for label in CLASSES))
    return f"{name}: {apart.count} windows.\n\n{_table(header, rows)}"


def ablation_table(rows: Sequence[tuple[str, Measures]]) -> str:
    """One row a chain, one column a figure, with what is asked for below the names."""
    header = ("chain", *(figured.title.replace("\n", " ") for figured in ABLATION), "ECE")
    asked = (
        "*asked for*",
        *(bound_text(figured.bound, figured.direction) for figured in ABLATION),
        "≤ 0.03",
    )
    body = [
        (
            name,
            *(
                _with_range(figured.value(measures), 2 if figured.direction == "at most" else 1)
                for figured in ABLATION
            ),
            _number(measures.calibration.top_label, percent=False),
        )
        for name, measures in rows
    ]
    return _table(header, [asked, *body])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _number(value: float | None, percent: bool) -> str:
    if value is None:
        return NOBODY
    return f"{100 * value:.2f} %" if percent else f"{value:.3f}"


def _range(one: Criterion) -> str:
    if one.low is None or one.high is None:
        return NOBODY
    return f"{100 * one.low:.2f}–{100 * one.high:.2f} %" if one.percent else f"{one.low:.3f}–{one.high:.3f}"


def _verdict(one: Criterion) -> str:
    if one.met is None:
        return "no window can tell"
    unsure = "" if one.decided or one.low is None else ", unsure"
    return f"met{unsure}" if one.met else f"**not met**{unsure}"


def _with_range(one: Estimate, decimals: int = 1) -> str:
    if one.value is None:
        return NOBODY
    value, low, high = (
        "" if end is None else f"{100 * end:.{decimals}f}".replace("-", "−")
        for end in (one.value, one.low, one.high)
    )
    return f"{value} % ({low} to {high})" if low and high else f"{value} %"
