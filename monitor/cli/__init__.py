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
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from monitor import __version__
from monitor.cli.keeping import add_keeping
from monitor.cli.learning import add_learning
from monitor.cli.options import (
    EXIT_CONFIGURATION,
    EXIT_DONE,
    EXIT_FAILED,
    add_config,
    add_quick,
    config_path,
    configuration,
    positive,
    speed,
)
from monitor.config import Config, load_config
from monitor.errors import ConfigurationError, MonitorError
from monitor.plugins import added_stages, installed, plugged_models, unusable_plugins, unusable_stages
from monitor.types import SECOND_NS

__all__ = ["EXIT_CONFIGURATION", "EXIT_DONE", "EXIT_FAILED", "main"]


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
    # Which fonts it takes letters from is of no interest to who asked for a picture.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
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
    add_config(run)
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="broker, simulated chain and daemon in one, labels as they come")
    demo.add_argument(
        "--for", dest="duration_s", type=positive, metavar="SECONDS", help="stop after so many seconds"
    )
    demo.add_argument(
        "--speed", type=positive, default=600.0, metavar="N", help="times real time (default %(default)g)"
    )
    demo.set_defaults(command=_demo)

    replay = commands.add_parser("replay", help="publish archive files as live messages")
    replay.add_argument("files", nargs="+", metavar="FILE", help="FILE, CODE=FILE or ID.QUANTITY=FILE")
    replay.add_argument("--to", required=True, metavar="URL", help="mqtt://HOST[:PORT]")
    replay.add_argument(
        "--speed", type=speed, default=1.0, metavar="N|max", help="times real time, or max (default 1)"
    )
    replay.add_argument("--yes", action="store_true", help="publish to a broker that is not on this machine")
    replay.add_argument("--username", metavar="NAME")
    replay.add_argument("--password-file", type=Path, metavar="FILE")
    replay.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="authority that signed the broker's certificate"
    )
    add_config(replay)
    add_quick(replay)
    replay.set_defaults(command=_replay)

    process = commands.add_parser(
        "process", help="the pipeline offline: files in, one JSON object a line out"
    )
    process.add_argument("files", nargs="+", metavar="FILE", help="FILE, CODE=FILE or ID.QUANTITY=FILE")
    process.add_argument("-o", "--output", default="-", metavar="OUT.jsonl", help="default: standard output")
    process.add_argument(
        "--profiles",
        type=Path,
        metavar="OUT.csv",
        help="also a table of ρ(L): a row a pair and time of every chain",
    )
    process.add_argument(
        "--panels",
        type=Path,
        metavar="OUT.png",
        help="also pictures of the spacecraft: what was measured, regions, probabilities, quality",
    )
    process.add_argument(
        "--smooth", action="store_true", help="let the tracker look ahead; each object says so (`smoothed`)"
    )
    add_config(process)
    add_quick(process)
    process.set_defaults(command=_process)

    add_keeping(commands)
    add_learning(commands)

    check = commands.add_parser("check-config", help="every fault of a configuration, with its place")
    add_config(check)
    check.set_defaults(command=_check_config)
    return parser


def _run(options: argparse.Namespace) -> int:
    from monitor.daemon.health import ServiceManager  # what only some commands need is imported there
    from monitor.daemon.service import Service

    manager = ServiceManager.of_environment(os.environ)
    manager.status("starting: reading the configuration")
    # What is asked for before the loop runs is not forgotten, nor does it end us.
    asked = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: asked.set())

    async def run(config: Config) -> None:
        service, loop = Service(config, lambda: _checked(options), manager), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stop)
        loop.add_signal_handler(signal.SIGHUP, service.reload)
        if asked.is_set():
            service.reload()
        try:
            await service.run()
        finally:
            # Nothing is left to be read anew: on the way out it must not kill us.
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    try:
        asyncio.run(run(configuration(options)))
    except MonitorError as error:
        manager.status(f"failed: {error}")
        raise
    return EXIT_DONE


def _demo(options: argparse.Namespace) -> int:
    from monitor.demo import demo

    logging.getLogger().setLevel(logging.WARNING)
    asyncio.run(demo(options.speed, options.duration_s))
    return EXIT_DONE


def _replay(options: argparse.Namespace) -> int:
    from monitor.jobs.replay import replay
    from monitor.plugins.reading import file_readers

    quick = bool(options.pair or options.craft)
    config = configuration(options) if quick or options.config is not None else None
    named = None
    if quick and config is not None:
        named = {*config.craft, *(code for pair in config.pair_list for code in pair.stations)}
    report = asyncio.run(
        replay(
            options.files,
            to=options.to,
            speed=options.speed,
            lateness_s=120.0 if config is None else config.windows.lateness_s,
            craft_lateness_s=60.0 if config is None else config.craft_windows.lateness_s,
            root="geospace/v1" if config is None else config.outputs.root,
            yes=options.yes,
            progress=sys.stderr.isatty(),
            craft=() if config is None else config.craft,
            sources=named,
            readers=() if config is None else file_readers(config),
            username=options.username,
            password_file=options.password_file,
            ca_file=options.ca_file,
        )
    )
    print(f"{report.messages} messages, {report.samples} samples in {report.seconds:.1f} s", file=sys.stderr)
    return EXIT_DONE


def _process(options: argparse.Namespace) -> int:
    from monitor.jobs.panels import Panels
    from monitor.jobs.process import process_series, read_series

    config = configuration(options)
    # Read first: a wrong file name must not cost the output of an earlier run.
    series = read_series(options.files, config, craft=True)
    panels = None
    if options.panels is not None:
        panels = Panels(options.panels, series, round(config.craft_windows.hop_s * SECOND_NS))
    with (
        contextlib.closing(installed(config.isolation)) as registry,
        _output(options.output) as output,
        _table(options.profiles) as profiles,
    ):
        report = process_series(
            series,
            config,
            output,
            profiles=profiles,
            panels=panels,
            smooth=options.smooth,
            progress=sys.stderr.isatty(),
            added=added_stages(config, registry),
            models=plugged_models(config, registry),
        )
    said = [f"{report.samples} samples"]
    if config.pair_list or not config.craft:
        said.append(f"labels: {_counted(report.labels)}")
    if config.craft:
        said.append(f"regions: {_counted(report.regions)}")
    if config.chain_list or config.craft:
        said.append(f"{report.events} event{'s' * (report.events != 1)}")
    said += [f"refused {count} samples: {reason}" for reason, count in report.refused.items()]
    said += [f"drew {path}" for path in report.pictures]
    print("; ".join(said), file=sys.stderr)
    return EXIT_DONE


def _counted(labels: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {label}" for label, count in sorted(labels.items())) or "none"


def _check_config(options: argparse.Namespace) -> int:
    config = _checked(options)
    print(f"{config_path(options)}: good ({len(config.pair_list)} pairs, {len(config.craft)} spacecraft)")
    return EXIT_DONE


def _checked(options: argparse.Namespace) -> Config:
    """The configuration, whose models and plugins can be used; ConfigurationError with every fault."""
    from monitor.config.reading import read_document
    from monitor.pipeline.loading import unusable_models

    file, registry = config_path(options), installed()
    config = load_config(file, registry)
    unusable: dict[tuple[str | int, ...], str] = {
        ("models", kind): f"models.{kind}: {why}"
        for kind, why in unusable_models(config, plugged_models(config, registry)).items()
    }
    unusable |= unusable_plugins(config, registry)
    unusable |= unusable_stages(config, registry)
    if unusable:
        document = read_document(file.read_text(encoding="utf-8"), str(file))
        for path, why in unusable.items():
            document.fault_at(document.place(path), f"{why}; the daemon would start without it, degraded")
        raise ConfigurationError(sorted(document.faults, key=lambda fault: (fault.line, fault.column)))
    return config


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
