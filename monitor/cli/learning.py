"""The commands that learn and measure: `train flr` and `region`, `evaluate flr`, `region` and `events`."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.cli.learning_region import add_evaluate_region, add_train_region
from monitor.cli.options import EXIT_DONE, add_config, add_quick, configuration, count, positive
from monitor.config import Config
from monitor.errors import MonitorError

if TYPE_CHECKING:
    from monitor.jobs.flr.train import Sources


def add_learning(commands: Any) -> None:
    """Add `train` and `evaluate`."""
    train = commands.add_parser("train", help="learn a model, with its card and report")
    trained = train.add_subparsers(required=True, metavar="WHAT")
    learned = trained.add_parser("flr", help="classes and frequencies of field line resonances")
    learned.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="of the model")
    learned.add_argument(
        "--report", type=Path, metavar="FOLDER", help="of the report (default: FOLDER/report of the model)"
    )
    _add_labelled(learned)
    learned.add_argument("--binary", action="store_true", help="NoFreq against Freq: PBL counts as NoFreq")
    learned.add_argument(
        "--groups", metavar="A,B,…", help="groups of features of the classifier (default: all of them)"
    )
    learned.add_argument(
        "--tries", type=count, default=6, metavar="N", help="of hyper-parameters (default 6)"
    )
    learned.add_argument("--seed", type=count, default=20230910, metavar="N")
    learned.add_argument("--threads", type=count, metavar="N", help="default: as many as there are cores")
    learned.add_argument(
        "--quick", action="store_true", help="few simulated cases: a first look, a poor model"
    )
    learned.add_argument("--ablation", action="store_true", help="also train rivals, for the report")
    learned.add_argument(
        "--retune", type=Path, metavar="MODEL", help="fit the thresholds of MODEL alone to the new labels"
    )
    learned.set_defaults(command=_train_flr)
    add_train_region(trained)

    evaluate = commands.add_parser("evaluate", help="measure a model on what it has not seen")
    what = evaluate.add_subparsers(required=True, metavar="WHAT")
    measured = what.add_parser("flr", help="classes and frequencies of field line resonances")
    measured.add_argument("--model", default="bundled", metavar="FOLDER", help="default: the bundled one")
    measured.add_argument(
        "-o", "--output", type=Path, default=Path("flr-report"), metavar="FOLDER", help="default: flr-report"
    )
    _add_labelled(measured)
    measured.add_argument(
        "--real",
        action="append",
        default=[],
        metavar="FILE",
        help="files of real pairs without labels, listed beside a plain FFT",
    )
    measured.set_defaults(command=_evaluate_flr)
    add_evaluate_region(what)
    _add_evaluate_events(what)


def _add_evaluate_events(what: Any) -> None:
    """The command `evaluate events`."""
    events = what.add_parser("events", help="crossings of the plasmapause in simulated storms")
    events.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("events-report"),
        metavar="FOLDER",
        help="default: events-report",
    )
    events.add_argument("--storms", type=count, metavar="N", help="storms to simulate (default 60)")
    events.add_argument(
        "--quiet-days",
        type=positive,
        metavar="N",
        help="days without a storm, beside them (default 186: with 60 storms, a year)",
    )
    events.add_argument("--first-seed", type=int, default=0, metavar="N", help="of the storms (default 0)")
    events.add_argument("--quick", action="store_true", help="three storms and a quiet stretch: a first look")
    events.add_argument("--workers", type=count, metavar="N", help="processes that simulate")
    add_config(events)
    events.set_defaults(command=_evaluate_events)


def _add_labelled(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table", action="append", type=Path, default=[], metavar="FILE", help="labelled windows"
    )
    parser.add_argument(
        "--mapping",
        action="append",
        type=Path,
        default=[],
        metavar="MAP.yaml",
        help="its columns; one for all, or one a table",
    )
    parser.add_argument(
        "--archive",
        action="append",
        default=[],
        metavar="FILE",
        help="archive, labelled by the physical estimate",
    )
    parser.add_argument("--cases", type=count, metavar="N", help="simulated cases to test on")
    parser.add_argument("--workers", type=count, metavar="N", help="processes that simulate")
    add_config(parser)
    add_quick(parser)


def _train_flr(options: argparse.Namespace) -> int:
    from monitor.jobs.flr import bundled
    from monitor.jobs.flr.train import retune_flr, train_flr
    from monitor.jobs.flr.training import Recipe
    from monitor.science.features import GROUPS

    report = options.report or options.output / "report"
    sources, created = _labelled(options), datetime.now(UTC).date().isoformat()
    progress = sys.stderr.isatty()
    if options.retune is not None:
        retune_flr(
            options.output, options.retune, report, sources, created=created, progress=progress, told=_tell
        )
        return EXIT_DONE
    groups = GROUPS if options.groups is None else tuple(options.groups.split(","))
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise MonitorError(f"unknown group {unknown[0]}: choose from {','.join(GROUPS)}, in this order")
    plan = bundled.QUICK if options.quick else bundled.BUNDLED
    train_flr(
        options.output,
        report,
        Recipe(
            mode="binary" if options.binary else "multiclass",
            groups=tuple(group for group in GROUPS if group in groups),
            tries=options.tries,
            seed=options.seed,
            threads=options.threads or os.cpu_count() or 1,
        ),
        sources,
        created=created,
        plan=plan,
        test_cases=options.cases or (200 if options.quick else len(bundled.TEST_CASES)),
        with_ablation=options.ablation,
        workers=options.workers,
        progress=progress,
        told=_tell,
    )
    return EXIT_DONE


def _evaluate_flr(options: argparse.Namespace) -> int:
    from monitor.jobs.flr import bundled
    from monitor.jobs.flr.evaluate import RealArchive, evaluate_flr, model_folder

    archive = RealArchive(options.real, configuration(options)) if options.real else None
    evaluate_flr(
        model_folder(options.model),
        options.output,
        _labelled(options),
        archive=archive,
        test_cases=options.cases or len(bundled.TEST_CASES),
        workers=options.workers,
        progress=sys.stderr.isatty(),
        told=_tell,
    )
    return EXIT_DONE


def _evaluate_events(options: argparse.Namespace) -> int:
    from monitor.jobs.events import evaluate

    # Any configuration would do: only its thresholds and model are taken, so the usual file is not looked for.
    config = Config() if options.config is None else configuration(options)
    storms, quiet_days = evaluate.STORMS, evaluate.QUIET_DAYS
    if options.quick:
        storms, quiet_days = evaluate.QUICK_STORMS, evaluate.QUICK_QUIET_DAYS
    if options.first_seed < 0:
        raise MonitorError(f"--first-seed must not be negative, found {options.first_seed}")
    evaluate.evaluate_events(
        config,
        options.output,
        storms=options.storms or storms,
        quiet_days=options.quiet_days or quiet_days,
        first_seed=options.first_seed,
        workers=options.workers,
        progress=sys.stderr.isatty(),
        told=_tell,
    )
    return EXIT_DONE


def _labelled(options: argparse.Namespace) -> Sources:
    """The labelled windows that the options name; none means simulated ones."""
    from monitor.jobs.flr.train import Sources

    tables, mappings = options.table, options.mapping
    if len(mappings) not in (len(tables), 1) or bool(tables) != bool(mappings):
        raise MonitorError(f"give one --mapping, or one for each of the {len(tables)} tables")
    columns = mappings * len(tables) if len(mappings) == 1 else mappings
    config = configuration(options) if options.archive else None
    return Sources(list(zip(tables, columns, strict=True)), options.archive, config)


def _tell(line: str) -> None:
    print(line, flush=True)
