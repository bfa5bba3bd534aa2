"""The report of an evaluation: a page that says met and not met, figures with labels, and every number as JSON."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.jobs.flr.dataset import Outcomes
from monitor.jobs.flr.figures import confusion_figure, curves_figure, reliability_figure, simplex_figure
from monitor.jobs.flr.figures_groups import ABLATION, ablation_figure, error_figure
from monitor.jobs.flr.figures_trace import telling_sequences, trace_figure
from monitor.jobs.flr.measures import measure
from monitor.jobs.flr.report import Ablation, Evaluated, Thresholds, evaluated, summary_lines, write_report
from monitor.jobs.flr.tabulate import rivals_section
from monitor.science.skill import mcs
from monitor.science.thresholds import moving_threshold, score_curves
from monitor.types import FloatArray

pytest.importorskip("matplotlib", reason="matplotlib (extra train) is not installed")

N, F, P = 0, 1, 2
CADENCE_NS = 1_800_000_000_000
PER_SEQUENCE = 40


def simulated(sequences: int = 60, seed: int = 0, skill: float = 1.0, chain: str = "two stages") -> Outcomes:
    """Days of pairs at random L: Freq by day, few by night, some PBL; calls that are right more often than not."""
    rng = np.random.default_rng(seed)
    n = sequences * PER_SEQUENCE
    sequence = np.repeat(np.arange(sequences), PER_SEQUENCE)
    hour = np.tile(np.arange(PER_SEQUENCE) * 0.5 + 3.0, sequences)
    l_shell = np.repeat(rng.uniform(1.5, 6.5, sequences), PER_SEQUENCE)
    light = np.where((hour > 7) & (hour < 18), "day", np.where((hour > 6) & (hour < 19), "penumbra", "night"))
    wave = np.repeat(rng.uniform(0.2, 1.0, sequences), PER_SEQUENCE) * np.where(light == "day", 1.0, 0.35)
    label = np.where(rng.random(n) < wave, F, N)
    steep = (rng.random(sequences) < 0.3).repeat(PER_SEQUENCE) & (hour > 8) & (hour < 12)
    label = np.where(steep & (label == F), P, label)
    label = np.where(rng.random(n) < 0.06, -1, label)
    truth = np.where(label > 0, 0.07 * (2.0 / l_shell) ** 2.5 * (1.0 - 0.02 * (hour - 7)), np.nan)
    probability = noisy_probabilities(rng, label, skill)
    stage_one = probability.argmax(axis=1)
    final = np.where(rng.random(n) < 0.3 * skill, np.where(label < 0, stage_one, label), stage_one)
    sigma = 0.02 * np.exp(0.3 * rng.standard_normal(n))
    read = truth * np.exp(sigma * rng.standard_normal(n))
    loose = 0.02 * np.exp(rng.standard_normal(n))
    called = np.where(final > 0, np.where(label > 0, read, loose), np.nan)
    half = 1.7 * sigma
    physical = np.where(rng.random(n) < 0.75, np.maximum(label, 0), rng.integers(0, 3, n))
    return Outcomes(
        data="test seeds, synthetic", chain=chain,
        sequence=sequence, end_ns=(hour * 2).astype(np.int64) * CADENCE_NS + 18_000 * 86_400_000_000_000,
        label=label, truth_Hz=truth, l_shell=l_shell, step_s=np.ones(n), illumination=light,
        reason=np.where(label < 0, "between", "driven"), pair=np.full(n, "TAR-BRZ"),
        usable=rng.random(n) > 0.02, probability=probability, stage_one=stage_one, final=final,
        frequency_Hz=called, low_Hz=called * (1 - half), high_Hz=called * (1 + half),
        truth_read_Hz=read, truth_low_Hz=read * (1 - half), truth_high_Hz=read * (1 + half),
        physical=physical, physical_Hz=np.where(physical > 0, read * np.exp(0.03 * rng.standard_normal(n)), np.nan),
        novel=rng.random(n) < 0.002,
    )  # fmt: skip


def noisy_probabilities(rng: np.random.Generator, label: np.ndarray, skill: float) -> FloatArray:
    """Softmax of the true class under noise."""
    margin = rng.standard_normal((label.size, 3)) + np.array([0.3, 0.3, -1.0])
    rows = np.flatnonzero(label >= 0)
    margin[rows, label[rows]] += 1.8 * skill
    odds: FloatArray = np.exp(margin)
    shares: FloatArray = odds / odds.sum(axis=1, keepdims=True)
    return shares


def png_size(path: Path) -> tuple[int, int]:
    """Width and height from the header; every chunk's checksum is looked at."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, kinds = 8, []
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 4 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(body),)
        kinds.append(kind)
        at += 12 + length
    assert kinds[-1] == b"IEND"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def texts(figure: Any) -> str:
    """All words of a figure."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    return "\n".join(found.get_text() for found in figure.findobj(Text))


@pytest.fixture(scope="module")
def full() -> Evaluated:
    return evaluated(simulated(), synthetic=True)


@pytest.fixture(scope="module")
def small() -> Evaluated:
    return evaluated(replace(simulated(6, seed=9), data="MUO-PEL"), synthetic=False)


@pytest.fixture(scope="module")
def thresholds() -> Thresholds:
    outcomes = simulated(seed=3)
    known = outcomes.label >= 0
    probability, truth = outcomes.probability[known], outcomes.label[known]
    binary = np.column_stack([probability[:, N] + probability[:, P], probability[:, F]])
    return Thresholds(
        data="validation",
        synthetic=True,
        score="MCS",
        curves=score_curves(binary, np.where(truth == P, N, truth)),
        search=moving_threshold(probability, truth, score=mcs, step=0.05, largest_passed=0.3),
    )


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, full: Evaluated, small: Evaluated, thresholds: Thresholds
) -> Path:
    folder = tmp_path_factory.mktemp("report")
    ablation = Ablation(
        "test seeds, synthetic",
        True,
        [("whole chain", full.measures), ("without tracker", measure(simulated(skill=0.6, chain="bare")))],
    )
    page = write_report(
        folder / "made", [full, small], ablation=ablation, thresholds=thresholds, notes=["A note."]
    )
    return page.parent


def test_report_shows_every_figure_that_was_written_and_no_other(folder: Path) -> None:
    page = (folder / "report.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page))
    assert shown == {path.name for path in folder.glob("*.png")}
    assert {"threshold-curves.png", "threshold-map.png", "ablation.png", "muo-pel-trace.png"} <= shown
    for name in shown:
        width, height = png_size(folder / name)
        assert width > 500
        assert height > 250


def test_report_says_plainly_what_is_met_and_what_is_not(folder: Path, full: Evaluated) -> None:
    page = (folder / "report.md").read_text(encoding="utf-8")
    assert "A note." in page
    row = next(line for line in page.splitlines() if line.startswith("| NoFreq passed on | 11–14 %"))
    passed = full.measures.final.nofreq_passed["all"].value
    assert passed is not None
    assert passed > 0.04
    assert f"| {100 * passed:.2f} % |" in row
    assert "**not met**" in row
    assert "no window can tell" not in row


def test_every_table_of_the_report_is_rectangular(folder: Path) -> None:
    page = (folder / "report.md").read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    assert not re.search(r"\bnan\b", page)


def test_report_counts_ambiguous_windows_apart(folder: Path, full: Evaluated) -> None:
    page = (folder / "report.md").read_text(encoding="utf-8")
    count = int((full.outcomes.label == -1).sum())
    called = full.measures.ambiguous.called["between"]
    assert f"Ambiguous: {count} windows." in page
    assert f"| between | {count} | {called[N]} | {called[F]} | {called[P]} |" in page


def test_report_lists_the_groups_in_which_the_physics_is_as_good() -> None:
    """A physics that is always right beats every chain; one that is always NoFreq wins only where silence pays."""
    chain = simulated(20)
    perfect = replace(chain, physical=np.maximum(chain.label, 0), physical_Hz=chain.truth_Hz)
    silent = replace(
        chain, physical=np.zeros(len(chain), dtype=np.int64), physical_Hz=np.full(len(chain), np.nan)
    )
    assert all(row.as_good for row in evaluated(perfect, synthetic=True).rivals)
    found = evaluated(silent, synthetic=True)
    lost = {row.figure for row in found.rivals if row.as_good}
    assert lost == {"NoFreq passed on"}
    page = "\n".join(rivals_section(found.measures, found.rivals))
    assert re.search(r"\*\*The physical estimate alone is as good or better in \d+ of \d+:\*\*", page)
    assert "Freq found less NoFreq passed on | all" not in page


def test_measures_of_the_report_are_read_back_from_json(folder: Path, full: Evaluated) -> None:
    document = json.loads((folder / "measures.json").read_text(encoding="utf-8"))
    assert document["schema"] == "geospace/flr-measures/1"
    first, second = document["sets"]
    assert (first["synthetic"], second["synthetic"]) == (True, False)
    assert first["measures"] == full.measures.to_json()
    assert {row["name"] for row in document["ablation"]["rows"]} == {"whole chain", "without tracker"}
    assert any(row["met"] is False for row in first["criteria"])
    assert first["rivals"][0]["figure"] == "Freq found"


def test_report_of_the_same_outcomes_is_the_same_to_the_byte(
    folder: Path, tmp_path: Path, small: Evaluated
) -> None:
    write_report(tmp_path, [small])
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 4
    for path in pictures:
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def test_report_of_a_data_set_with_nothing_to_score_is_still_written(tmp_path: Path) -> None:
    outcomes = simulated(3)
    nothing = replace(
        outcomes,
        label=np.full(len(outcomes), -1),
        truth_Hz=np.full(len(outcomes), np.nan),
        probability=np.full((len(outcomes), 3), np.nan),
    )
    page = write_report(tmp_path, [evaluated(nothing, synthetic=True)]).read_text(encoding="utf-8")
    assert "This chain gives no probabilities." in page
    assert "0 of 38 met, 0 not met, 38 without a window that could tell." in page
    assert "No physical estimate to compare with." in page


def test_report_refuses_no_data_and_two_sets_of_one_name(tmp_path: Path, full: Evaluated) -> None:
    with pytest.raises(ValueError, match="at least one data set"):
        write_report(tmp_path, [])
    with pytest.raises(ValueError, match="two data sets have one name: test seeds, synthetic"):
        write_report(tmp_path, [full, full])


def test_titles_say_synthetic_where_the_data_are(full: Evaluated) -> None:
    assert full.title == "test seeds, synthetic"
    renamed = replace(full, outcomes=replace(full.outcomes, data="TEST"))
    assert renamed.title == "TEST (synthetic)"
    assert replace(renamed, synthetic=False).title == "TEST"


def test_terminal_table_has_a_line_a_criterion_with_its_verdict(full: Evaluated) -> None:
    lines = summary_lines(full.measures)
    assert f"{full.measures.scored} windows of 60 sequences" in lines[0]
    passed = next(line for line in lines if "NoFreq passed on" in line)
    assert "≤ 4 %" in passed
    assert passed.endswith("not met")
    assert max(map(len, lines)) < 120
    assert not any("*" in line for line in lines)


def test_confusion_figure_shows_counts_and_per_cent_by_light(full: Evaluated) -> None:
    words = texts(confusion_figure(full.measures, full.title))
    counts = full.measures.final.confusion["night"]
    assert f"{100 * counts[F][F] / sum(counts[F]):.1f} %\n{counts[F][F]}" in words
    for name in (
        "final, all",
        "stage one, day",
        "final, penumbra",
        "final, night",
        "true class",
        "synthetic",
    ):
        assert name in words


def test_score_curves_mark_the_largest_tss(thresholds: Thresholds) -> None:
    assert thresholds.curves is not None
    words = texts(curves_figure(thresholds.curves, "synthetic"))
    assert f"largest TSS {thresholds.curves.tss.max():.3f}" in words
    for name in ("F1", "AUC", "Cohen's κ", "TSS", "weight of NoFreq", "score"):
        assert name in words


def test_score_map_names_the_chosen_weights(thresholds: Thresholds) -> None:
    assert thresholds.search is not None
    words = texts(simplex_figure(thresholds.search, "synthetic", "MCS"))
    none, freq, pbl = thresholds.search.weights
    assert f"NoFreq {none:.2f}, Freq {freq:.2f}, PBL {pbl:.2f}" in words
    assert "breaks a cap, or never calls a class" in words


def test_reliability_figure_gives_the_error_of_each_class(full: Evaluated) -> None:
    figure = reliability_figure(full.outcomes, full.title)
    words = texts(figure)
    assert full.measures.calibration.top_label is not None
    assert f"most probable class: ECE {full.measures.calibration.top_label:.3f}" in words
    assert "probability said" in words


def test_error_figure_draws_the_medians_of_each_band(full: Evaluated) -> None:
    figure = error_figure(full.measures, full.title)
    bands = full.measures.published["all"]
    drawn: Any = next(bar for bar in figure.axes[0].containers if bar.get_label() == "chain, median")
    heights = drawn.lines[0].get_ydata()
    assert heights == pytest.approx([100 * (bands[band].median.value or np.nan) for band in bands])
    assert "L, and windows" in texts(figure)


def test_ablation_figure_has_a_row_a_chain_and_a_column_a_figure(full: Evaluated) -> None:
    figure = ablation_figure([("whole", full.measures), ("physics only", full.measures)], "synthetic")
    words = texts(figure)
    assert len(figure.axes) == len(ABLATION)
    assert "physics only" in words
    assert "≤ 0.2 %" in words


def test_trace_shows_the_sequences_with_most_pbl_and_most_changes(full: Evaluated) -> None:
    outcomes = full.outcomes
    chosen = telling_sequences(outcomes)
    pbl = [int(((outcomes.sequence == one) & (outcomes.label == P)).sum()) for one in range(60)]
    assert pbl[chosen[0]] == max(pbl)
    changed = [
        int(((outcomes.sequence == one) & (outcomes.stage_one != outcomes.final)).sum()) for one in range(60)
    ]
    assert changed[chosen[1]] == max(changed[one] for one in range(60) if one != chosen[0])
    words = texts(trace_figure(outcomes, chosen, full.title))
    for name in ("NoFreq (true)", "rescued", "dropped", "frequency (mHz)", "ε (%)", "TAR-BRZ, L = "):
        assert name in words


def test_trace_of_an_unknown_sequence_is_refused(full: Evaluated) -> None:
    with pytest.raises(ValueError, match="no window belongs to sequence 777"):
        trace_figure(full.outcomes, [777], "x")


def test_missing_matplotlib_is_one_clear_line() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from monitor.jobs.flr.canvas import panels\n"
        "from monitor.errors import MonitorError\n"
        "try: panels(1, 1, (1, 1))\n"
        "except MonitorError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == (
        "figures need matplotlib, which is not installed: pip install 'geospace-monitor[train]'\n"
    )
