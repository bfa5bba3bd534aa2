"""The command `evaluate region`: the figures of a model on windows that it has not seen, and on real measurements."""

from __future__ import annotations

from pathlib import Path

from monitor.jobs.region import synthetic
from monitor.jobs.region.baselines import Thresholds
from monitor.jobs.region.evaluated import Evaluated, evaluate
from monitor.jobs.region.judged import Predict
from monitor.jobs.region.real import LOGISTIC, RULE, Rivals, measure_real
from monitor.jobs.region.report import summary_lines, write_report
from monitor.jobs.region.sources import Sources, Told
from monitor.models.base import bundled as bundled_folder
from monitor.models.region import KIND, RegionModel


def model_folder(choice: str) -> Path:
    """The folder of a model: that of the bundled one for `bundled`."""
    return bundled_folder(KIND) if choice == "bundled" else Path(choice)


def evaluate_region(
    folder: Path,
    report: Path,
    sources: Sources,
    *,
    real: Path | None = None,
    quick: bool = False,
    first_run: int = 0,
    threads: int = 1,
    progress: bool = False,
    told: Told = lambda _line: None,
) -> Evaluated:
    """Measure a model and write the report.

    Parameters
    ----------
    folder, report : Path
        Of the model, and for the report.
    sources : Sources
        Labelled windows; none means the simulated test runs, which training never draws.
    real : Path, optional
        Folder of real measurements to check on.
    quick : bool
        Few simulated windows.
    first_run : int
        Number of the first simulated test run.
    threads, progress, told
        As in `train_region`.

    Raises
    ------
    MonitorError
        The model or a file cannot be used.
    """
    model = RegionModel.load(folder, threads=threads)
    plan = synthetic.QUICK if quick else synthetic.BUNDLED
    told("windows, simulated ones for the rivals too")
    examples, name = None, sources.name
    if not sources.synthetic:
        # Read first: a file that cannot be used is told of before minutes go into the simulation for the rivals.
        examples = sources.read(told)
    made = synthetic.simulated(plan, seed=synthetic.SEED, workers=threads, progress=progress)
    rivals = Rivals(made.rivals, made.validation)
    others: dict[str, Predict] = {LOGISTIC: rivals.on_all().predict, RULE: Thresholds().predict}
    if examples is None:
        examples = synthetic.windows_to_test(plan, first_run=first_run, workers=threads, progress=progress)
        name = f"simulated test runs from number {first_run}" if first_run else "simulated test runs"
    one = evaluate(model, examples, name, synthetic=sources.synthetic, rivals=others)
    measured = None if real is None else measure_real(model, real, rivals)
    page = write_report(report, one, real=measured, notes=[f"Model {model.info.label}."])
    for line in summary_lines(one, measured):
        told(line)
    told(f"report: {page}")
    return one
