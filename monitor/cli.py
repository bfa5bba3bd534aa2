"""The command `geospace-monitor`: arguments in, exit codes out (0 done, 78 bad configuration, 1 anything else)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from monitor import __version__
from monitor.config import Config, load_config, quick_config
from monitor.errors import ConfigurationError, MonitorError

if TYPE_CHECKING:
    from monitor.jobs.flr.train import Sources

EXIT_DONE, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 78
_DEFAULT_CONFIGS = (Path("config.yaml"), Path("/etc/geospace-monitor/config.yaml"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a degree sign shows a question mark.
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        code = int(options.command(options))
        # What cannot be written shall fail here, where it is understood, and not at the interpreter's exit.
        sys.stdout.flush()
        return code
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    except MonitorError as error:
        print(f"geospace-monitor: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing is left to say, also not at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"geospace-monitor: {where}{error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED


class _Parser(argparse.ArgumentParser):
    """argparse, but that a wrong command line is "anything else" among the exit codes (its own is 2)."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_FAILED, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="geospace-monitor", description="Real-time monitor of near-Earth plasma.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="the daemon")
    _add_config(run)
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="broker, simulated chain and daemon in one, labels as they come")
    demo.add_argument(
        "--for", dest="duration_s", type=_positive, metavar="SECONDS", help="stop after so many seconds"
    )
    demo.add_argument(
        "--speed", type=_positive, default=600.0, metavar="N", help="times real time (default %(default)g)"
    )
    demo.set_defaults(command=_demo)

    replay = commands.add_parser("replay", help="publish archive files as live messages")
    replay.add_argument("files", nargs="+", metavar="FILE", help="FILE or CODE=FILE")
    replay.add_argument("--to", required=True, metavar="URL", help="mqtt://HOST[:PORT]")
    replay.add_argument(
        "--speed", type=_speed, default=1.0, metavar="N|max", help="times real time, or max (default 1)"
    )
    replay.add_argument("--yes", action="store_true", help="publish to a broker that is not on this machine")
    replay.add_argument("--username", metavar="NAME")
    replay.add_argument("--password-file", type=Path, metavar="FILE")
    replay.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="authority that signed the broker's certificate"
    )
    _add_config(replay)
    _add_quick(replay)
    replay.set_defaults(command=_replay)

    process = commands.add_parser(
        "process", help="the pipeline offline: files in, one JSON object a line out"
    )
    process.add_argument("files", nargs="+", metavar="FILE", help="FILE or CODE=FILE")
    process.add_argument("-o", "--output", default="-", metavar="OUT.jsonl", help="default: standard output")
    process.add_argument(
        "--profiles",
        type=Path,
        metavar="OUT.csv",
        help="also a table of ρ(L): a row a pair and time of every chain",
    )
    process.add_argument(
        "--smooth", action="store_true", help="let the tracker look ahead; each object says so (`smoothed`)"
    )
    _add_config(process)
    _add_quick(process)
    process.set_defaults(command=_process)

    _add_learning(commands)

    check = commands.add_parser("check-config", help="every fault of a configuration, with its place")
    _add_config(check)
    check.set_defaults(command=_check_config)
    return parser


def _add_learning(commands: Any) -> None:
    """The commands `train flr` and `evaluate flr`."""
    train = commands.add_parser("train", help="learn a model, with its card and report")
    learned = train.add_subparsers(required=True, metavar="WHAT").add_parser(
        "flr", help="classes and frequencies of field line resonances"
    )
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
        "--tries", type=_count, default=6, metavar="N", help="of hyper-parameters (default 6)"
    )
    learned.add_argument("--seed", type=_count, default=20230910, metavar="N")
    learned.add_argument("--threads", type=_count, metavar="N", help="default: as many as there are cores")
    learned.add_argument(
        "--quick", action="store_true", help="few simulated cases: a first look, a poor model"
    )
    learned.add_argument("--ablation", action="store_true", help="also train rivals, for the report")
    learned.add_argument(
        "--retune", type=Path, metavar="MODEL", help="fit the thresholds of MODEL alone to the new labels"
    )
    learned.set_defaults(command=_train_flr)

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
    events.add_argument("--storms", type=_count, metavar="N", help="storms to simulate (default 60)")
    events.add_argument(
        "--quiet-days", type=_positive, metavar="N", help="days without a storm, beside them (default 30)"
    )
    events.add_argument("--first-seed", type=int, default=0, metavar="N", help="of the storms (default 0)")
    events.add_argument("--quick", action="store_true", help="three storms and a quiet stretch: a first look")
    events.add_argument("--workers", type=_count, metavar="N", help="processes that simulate")
    _add_config(events)
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
    parser.add_argument("--cases", type=_count, metavar="N", help="simulated cases to test on")
    parser.add_argument("--workers", type=_count, metavar="N", help="processes that simulate")
    _add_config(parser)
    _add_quick(parser)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="config.yaml")


def _add_quick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pair", action="append", default=[], metavar="POLEWARD-EQUATORWARD[:L]")
    parser.add_argument("--craft", action="append", default=[], metavar="ID")


def _run(options: argparse.Namespace) -> int:
    from monitor.daemon.runtime import Daemon  # what only some commands need is imported there

    config = _configuration(options)

    async def run() -> None:
        daemon = Daemon(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, daemon.stop)
        await daemon.run()

    asyncio.run(run())
    return EXIT_DONE


def _demo(options: argparse.Namespace) -> int:
    from monitor.demo import demo

    logging.getLogger().setLevel(logging.WARNING)
    asyncio.run(demo(options.speed, options.duration_s))
    return EXIT_DONE


def _replay(options: argparse.Namespace) -> int:
    from monitor.jobs.replay import replay

    quick = bool(options.pair or options.craft)
    config = _configuration(options) if quick or options.config is not None else None
    named = None
    if quick and config is not None:
        named = {*config.craft, *(code for pair in config.pair_list for code in pair.stations)}
    report = asyncio.run(
        replay(
            options.files,
            to=options.to,
            speed=options.speed,
            lateness_s=120.0 if config is None else config.windows.lateness_s,
            root="geospace/v1" if config is None else config.outputs.root,
            yes=options.yes,
            progress=sys.stderr.isatty(),
            craft=() if config is None else config.craft,
            sources=named,
            username=options.username,
            password_file=options.password_file,
            ca_file=options.ca_file,
        )
    )
    print(f"{report.messages} messages, {report.samples} samples in {report.seconds:.1f} s", file=sys.stderr)
    return EXIT_DONE


def _process(options: argparse.Namespace) -> int:
    from monitor.jobs.process import process_series, read_series

    config = _configuration(options)
    # Read first: a wrong file name must not cost the output of an earlier run.
    series = read_series(options.files, config)
    with _output(options.output) as output, _table(options.profiles) as profiles:
        report = process_series(
            series,
            config,
            output,
            profiles=profiles,
            smooth=options.smooth,
            progress=sys.stderr.isatty(),
        )
    labels = ", ".join(f"{count} {label}" for label, count in sorted(report.labels.items())) or "none"
    refused = "".join(f"; refused {count} samples: {reason}" for reason, count in report.refused.items())
    events = f"; {report.events} event{'s' * (report.events != 1)}" if config.chain_list else ""
    print(f"{report.samples} samples; labels: {labels}{events}{refused}", file=sys.stderr)
    return EXIT_DONE


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

    archive = RealArchive(options.real, _configuration(options)) if options.real else None
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
    config = Config() if options.config is None else _configuration(options)
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
    config = _configuration(options) if options.archive else None
    return Sources(list(zip(tables, columns, strict=True)), options.archive, config)


def _tell(line: str) -> None:
    print(line, flush=True)


def _check_config(options: argparse.Namespace) -> int:
    config = _configuration(options)
    print(f"{_config_path(options)}: good ({len(config.pair_list)} pairs, {len(config.craft)} spacecraft)")
    return EXIT_DONE


def _configuration(options: argparse.Namespace) -> Config:
    """The configuration that the options ask for: `-c`, else `--pair` and `--craft`, else the usual file."""
    quick = [*getattr(options, "pair", []), *getattr(options, "craft", [])]
    if quick and options.config is not None:
        raise MonitorError("give either -c or --pair and --craft, not both")
    if quick:
        return quick_config(options.pair, options.craft)
    config = load_config(_config_path(options))
    logging.getLogger().setLevel(config.log.level.upper())
    return config


def _config_path(options: argparse.Namespace) -> Path:
    if options.config is not None:
        return Path(options.config)
    return next((path for path in _DEFAULT_CONFIGS if path.exists()), _DEFAULT_CONFIGS[0])


@contextlib.contextmanager
def _output(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(name).open("wb"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise MonitorError(f"{name}: cannot be written ({reason}); name another file with -o") from error
        yield file


@contextlib.contextmanager
def _table(path: Path | None) -> Iterator[IO[str] | None]:
    """A CSV file to write, where one is wanted."""
    if path is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("w", newline="", encoding="utf-8"))
        except OSError as error:
            raise MonitorError(f"{path}: cannot be written ({error.strerror}); name another file") from error
        yield file


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"must be a positive number, found {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, found {text}")
    return value


def _speed(text: str) -> float | None:
    return None if text == "max" else _positive(text)
