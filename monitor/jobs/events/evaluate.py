"""The command `evaluate events`: how soon, how surely and how rightly the monitor tells of simulated storms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from monitor.config import Config
from monitor.jobs.events.figures import telling_run
from monitor.jobs.events.measures import Measures, judge, measure
from monitor.jobs.events.report import summary_lines, write_report
from monitor.jobs.events.simulate import Run, Stretch, chain_config, runs, stretches
from monitor.types import SECOND_NS

STORMS: Final = 60
QUIET_DAYS: Final = 186.0
"""With 60 storms of three days each, a year."""
QUICK_STORMS, QUICK_QUIET_DAYS = 3, 2.5

Told = Callable[[str], None]


def evaluate_events(
    config: Config,
    report: Path,
    *,
    storms: int = STORMS,
    quiet_days: float = QUIET_DAYS,
    first_seed: int = 0,
    workers: int | None = None,
    progress: bool = False,
    told: Told = lambda _line: None,
    pieces: list[Stretch] | None = None,
) -> Measures:
    """Simulate storms, put them through the pipeline, and write how it did.

    Parameters
    ----------
    config : Config
        Its thresholds and model; pairs, chains and stations are those of the simulation.
    report : Path
        Folder of the report.
    storms, quiet_days, first_seed
        How many storms, how many days without one, and the first seed of both.
    workers, progress, told
        As in `evaluate flr`.
    pieces : list of Stretch, optional
        What to simulate, in place of storms and quiet days.

    Raises
    ------
    MonitorError
        The model cannot be used, or matplotlib is not installed.
    """
    chain = chain_config(config)
    if pieces is None:
        pieces = stretches(storms, quiet_days, first_seed=first_seed)
    merge_ns = round(config.events.merge_h * 3600) * SECOND_NS
    judged, shown = [], None
    for sequence, run in enumerate(runs(chain, pieces, workers=workers, progress=progress)):
        judged.append(judge(run, sequence, merge_ns))
        shown = _better(shown, run)
    measures = measure(judged)
    for line in summary_lines(measures):
        told(line)
    command = (
        f"geospace-monitor evaluate events --storms {storms} --quiet-days {quiet_days:g} "
        f"--first-seed {first_seed}"
    )
    told(f"report: {write_report(report, measures, shown, command)}")
    return measures


def _better(shown: Run | None, run: Run) -> Run | None:
    """The more telling of two runs: one alone is kept of many."""
    return telling_run([one for one in (shown, run) if one is not None])
