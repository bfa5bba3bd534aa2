"""The command `evaluate flr`: the figures of a model on windows that it has not seen, and on real measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.config import Config
from monitor.jobs.flr import bundled
from monitor.jobs.flr.chain import joined, judge
from monitor.jobs.flr.examples import see
from monitor.jobs.flr.real import RealWindow, real_windows, table_lines
from monitor.jobs.flr.report import Evaluated, evaluated, summary_lines, write_report
from monitor.jobs.flr.synthetic import CaseBlock, seen_spectra
from monitor.jobs.flr.train import Sources, chain_outcomes
from monitor.models.base import bundled as bundled_folder
from monitor.models.flr import KIND, FlrModel
from monitor.science.resonance import ResonanceParameters
from monitor.science.synthetic.ranges import TEST

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RealArchive:
    """Archive files of real pairs without labels, as `process` takes them, and their configuration."""

    specs: Sequence[str]
    config: Config


def model_folder(choice: str) -> Path:
    """The folder of a model: that of the bundled one for `bundled`."""
    return bundled_folder(KIND) if choice == "bundled" else Path(choice)


def evaluate_flr(
    folder: Path,
    report: Path,
    sources: Sources,
    *,
    archive: RealArchive | None = None,
    test_cases: int = len(bundled.TEST_CASES),
    workers: int | None = None,
    progress: bool = False,
    told: Told = lambda _line: None,
) -> Evaluated:
    """Measure a model and write the report.

    Parameters
    ----------
    folder, report : Path
        Of the model, and for the report.
    sources : Sources
        Labelled windows; none means the simulated test pairs, which training never draws.
    archive : RealArchive, optional
        Real pairs without labels: every window is listed beside the maximum of a plain smoothed FFT.
    test_cases, workers, progress, told
        As in `train_flr`.

    Raises
    ------
    MonitorError
        The model or a file cannot be used.
    """
    model = FlrModel.load(folder)
    if sources.synthetic:
        block = CaseBlock(TEST, range(test_cases))
        parts = seen_spectra([block], workers=workers, progress="test" if progress else "")
        name, synthetic = "simulated test pairs", True
        judged = joined(judge(part, model) for part in parts)
    else:
        data = sources.read(progress=progress)
        name, synthetic = data.source, data.synthetic
        judged = judge(see(data, ResonanceParameters()), model)
    one = evaluated(chain_outcomes(judged, model, name), synthetic=synthetic)
    for line in summary_lines(one.measures):
        told(line)
    info = model.info
    notes = [f"Model {info.label if info else folder.name}."]
    if archive is not None:
        models = archive.config.models.model_copy(update={"flr": str(folder)})
        config = archive.config.model_copy(update={"models": models})
        windows = real_windows(archive.specs, config)
        lines = list(table_lines(windows))
        for line in (*lines, real_summary(windows)):
            told(line)
        notes += ["Real measurements, never in training:\n\n" + "\n".join(lines), real_summary(windows)]
    told(f"report: {write_report(report, [one], notes=notes)}")
    return one


def real_summary(windows: Sequence[RealWindow]) -> str:
    """One line: how many windows got which label, and the largest deviation from the plain maximum."""
    labels = [str(one.body["label"]) for one in windows]
    counts = ", ".join(f"{labels.count(label)} {label}" for label in sorted(set(labels)))
    deviations = [abs(one.deviation) for one in windows if one.deviation is not None]
    if not deviations:
        return f"{counts}; no frequency to compare."
    return f"{counts}; largest deviation from the plain maximum {100.0 * max(deviations):.1f} %."
