"""What several commands share: the options that name a configuration, kinds of numbers, exit codes."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from monitor.config import Config, load_config, quick_config
from monitor.errors import MonitorError
from monitor.plugins import installed

EXIT_DONE, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 78
_DEFAULT_CONFIGS = (Path("config.yaml"), Path("/etc/geospace-monitor/config.yaml"))


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `-c`."""
    parser.add_argument("-c", "--config", type=Path, metavar="config.yaml")


def add_quick(parser: argparse.ArgumentParser) -> None:
    """Add `--pair` and `--craft`."""
    parser.add_argument("--pair", action="append", default=[], metavar="POLEWARD-EQUATORWARD[:L]")
    parser.add_argument("--craft", action="append", default=[], metavar="ID")


def configuration(options: argparse.Namespace) -> Config:
    """The configuration that the options ask for: `-c`, else `--pair` and `--craft`, else the usual file."""
    quick = [*getattr(options, "pair", []), *getattr(options, "craft", [])]
    if quick and options.config is not None:
        raise MonitorError("give either -c or --pair and --craft, not both")
    if quick:
        return quick_config(options.pair, options.craft)
    config = load_config(config_path(options), installed())
    logging.getLogger().setLevel(config.log.level.upper())
    return config


def config_path(options: argparse.Namespace) -> Path:
    """The file that `-c` names, else the first of the usual ones that is there."""
    if options.config is not None:
        return Path(options.config)
    return next((path for path in _DEFAULT_CONFIGS if path.exists()), _DEFAULT_CONFIGS[0])


def positive(text: str) -> float:
    """A positive number."""
    value = float(text)
    if not 0.0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"must be a positive number, found {text}")
    return value


def count(text: str) -> int:
    """A whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, found {text}")
    return value


def speed(text: str) -> float | None:
    """Times real time; None for as fast as it goes."""
    return None if text == "max" else positive(text)
