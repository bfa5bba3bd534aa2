"""The commands `train region` and `evaluate region`."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.cli.options import EXIT_DONE, count
from monitor.errors import MonitorError

if TYPE_CHECKING:
    from monitor.jobs.region.sources import Sources


def add_train_region(what: Any) -> None:
    """Add `train region`."""
    learned = what.add_parser("region", help="plasma regions of spacecraft")
    learned.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="of the model")
    learned.add_argument(
        "--report", type=Path, metavar="FOLDER", help="of the report (default: FOLDER/report of the model)"
    )
    _add_own(learned)
    learned.add_argument(
        "--recipe", choices=("fast", "paper"), default="fast", help="the paper's takes hours (default fast)"
    )
    learned.add_argument(
        "--mode",
        choices=("log", "linear"),
        default="log",
        help="how N, |B| and temperatures are taken; the paper's is linear (default log)",
    )
    learned.add_argument(
        "--windows",
        type=count,
        metavar="N",
        help="drawn for each epoch of simulated training (default 19214)",
    )
    learned.add_argument("--epochs", type=count, metavar="N", help="at most (default: the recipe's)")
    learned.add_argument("--seed", type=count, default=20200902, metavar="N")
    learned.add_argument("--threads", type=count, metavar="N", help="default: as many as there are cores")
    learned.add_argument(
        "--quick", action="store_true", help="a small network on few windows: a first look, a poor model"
    )
    learned.add_argument(
        "--no-mlp", action="store_true", help="without the network of single cells beside it"
    )
    learned.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="MODEL",
        help="a model to adapt to own windows (--last-layer)",
    )
    learned.add_argument(
        "--last-layer", action="store_true", help="learn the last layer of MODEL alone: a few windows suffice"
    )
    _add_real(learned)
    learned.set_defaults(command=_train_region)


def add_evaluate_region(what: Any) -> None:
    """Add `evaluate region`."""
    measured = what.add_parser("region", help="plasma regions of spacecraft")
    measured.add_argument("--model", default="bundled", metavar="FOLDER", help="default: the bundled one")
    measured.add_argument(
        "-o", "--output", type=Path, default=Path("region-report"), metavar="FOLDER",
        help="default: region-report",
    )  # fmt: skip
    _add_own(measured)
    measured.add_argument("--threads", type=count, metavar="N", help="default: as many as there are cores")
    measured.add_argument("--quick", action="store_true", help="few simulated windows: a first look")
    measured.add_argument(
        "--first-run", type=count, default=0, metavar="N", help="of the simulated test runs (default 0)"
    )
    _add_real(measured)
    measured.set_defaults(command=_evaluate_region)


def _add_own(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--craft-file",
        nargs="+",
        action="extend",
        default=[],
        metavar="[ID=]FILE",
        help="own measurements: CDF or CSV",
    )
    parser.add_argument(
        "--sitl",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="REPORT",
        help="SITL reports that label them",
    )
    parser.add_argument(
        "--intervals",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="CSV",
        help="start,end,label[,craft] lines",
    )


def _add_real(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--real", type=Path, metavar="DIR", help="real measurements to check on, never learnt from"
    )


def _train_region(options: argparse.Namespace) -> int:
    _need_libraries()
    from monitor.jobs.region.adapt import adapt_region
    from monitor.jobs.region.train import Choice, train_region

    report = options.report or options.output / "report"
    sources = _sources(options)
    created = datetime.now(UTC).date().isoformat()
    if options.last_layer != (options.start is not None):
        raise MonitorError("--from MODEL and --last-layer go together: nothing else can be adapted")
    threads = options.threads or os.cpu_count() or 1
    progress = sys.stderr.isatty()
    if options.start is not None:
        if sources.synthetic:
            raise MonitorError(
                "--last-layer learns from own windows: give --craft-file with --sitl or --intervals"
            )
        adapt_region(
            options.output, report, options.start, sources,
            created=created, real=options.real, seed=options.seed, threads=threads, told=_tell,
        )  # fmt: skip
        return EXIT_DONE
    train_region(
        options.output,
        report,
        Choice(
            recipe=options.recipe,
            mode=options.mode,
            windows=options.windows,
            epochs=options.epochs,
            seed=options.seed,
            threads=threads,
            quick=options.quick,
            mlp=not options.no_mlp,
        ),
        sources,
        created=created,
        real=options.real,
        progress=progress,
        told=_tell,
    )
    return EXIT_DONE


def _evaluate_region(options: argparse.Namespace) -> int:
    _need_matplotlib()
    from monitor.jobs.region.evaluate import evaluate_region, model_folder

    evaluate_region(
        model_folder(options.model),
        options.output,
        _sources(options),
        real=options.real,
        quick=options.quick,
        first_run=options.first_run,
        threads=options.threads or os.cpu_count() or 1,
        progress=sys.stderr.isatty(),
        told=_tell,
    )
    return EXIT_DONE


def _sources(options: argparse.Namespace) -> Sources:
    """The labelled windows that the options name; none means simulated ones."""
    from monitor.jobs.region.sources import Sources

    if options.real is not None and not options.real.is_dir():
        raise MonitorError(f"--real {options.real}: there is no such folder")
    labels = [*options.sitl, *options.intervals]
    if bool(options.craft_file) != bool(labels):
        raise MonitorError(
            "own windows need measurements and labels: --craft-file with --sitl or --intervals"
        )
    return Sources(tuple(options.craft_file), tuple(labels))


def _need_libraries() -> None:
    """One line now instead of a traceback after minutes of simulation."""
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
    except ImportError as missing:
        raise MonitorError(
            f"training regions needs {missing.name}, which is not installed: pip install 'geospace-monitor[train]'"
        ) from missing
    _need_matplotlib()


def _need_matplotlib() -> None:
    from monitor.jobs.flr.canvas import panels

    panels(1, 1, (1.0, 1.0))


def _tell(line: str) -> None:
    print(line, flush=True)
