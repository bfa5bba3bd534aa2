"""The commands that keep what the daemon has stored: `backup` and `export`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monitor.cli.options import EXIT_DONE, add_config, configuration
from monitor.decoders.base import parse_time_ns
from monitor.errors import DecodeError

_FORMATS = ("csv", "csv.gz", "parquet")
_KINDS = ("samples", "flr", "spectrum", "profile", "plasmapause", "region", "event", "health")


def add_keeping(commands: Any) -> None:
    """Add `backup` and `export`."""
    backup = commands.add_parser("backup", help="a checked copy of the store, while the daemon goes on")
    backup.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a new file")
    add_config(backup)
    backup.set_defaults(command=_backup)

    export = commands.add_parser("export", help="tables out of the store: CSV or Parquet")
    export.add_argument("kinds", nargs="+", choices=_KINDS, metavar="KIND", help=", ".join(_KINDS))
    export.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER|FILE",
        help="a folder, or a file of one table: .csv, .csv.gz or .parquet",
    )
    export.add_argument(
        "--format", choices=_FORMATS, default="csv.gz", help="of the files in a folder (default csv.gz)"
    )
    export.add_argument(
        "--from", dest="start_ns", type=_time, default=0, metavar="TIME", help="2017-09-07T00:00:00Z"
    )
    export.add_argument(
        "--to", dest="end_ns", type=_time, default=1 << 62, metavar="TIME", help="not included"
    )
    export.add_argument(
        "--source", action="append", default=[], metavar="CODE", help="of samples; may be repeated"
    )
    export.add_argument(
        "--subject",
        action="append",
        default=[],
        metavar="NAME",
        help="of products (TAR-BRZ); may be repeated",
    )
    export.add_argument("--all-revisions", action="store_true", help="of a product not only the newest one")
    add_config(export)
    export.set_defaults(command=_export)


def _time(text: str) -> int:
    try:
        return parse_time_ns(text if "T" in text else f"{text}T00:00:00Z")
    except DecodeError as error:
        raise argparse.ArgumentTypeError(error.detail) from None


def _backup(options: argparse.Namespace) -> int:
    from monitor.io.store.backup import back_up

    config = configuration(options)
    with tqdm(unit="page", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:

        def shown(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        made = back_up(Path(config.store.path), options.output, shown)
    print(
        f"{options.output}: {made.size} bytes, {made.samples} rows of samples, {made.products} products",
        file=sys.stderr,
    )
    return EXIT_DONE


def _export(options: argparse.Namespace) -> int:
    from monitor.jobs.export import Wanted, export

    config = configuration(options)
    wanted = Wanted(
        kinds=tuple(dict.fromkeys(options.kinds)),
        start_ns=options.start_ns,
        end_ns=options.end_ns,
        sources=tuple(one.upper() for one in options.source),
        subjects=tuple(options.subject),
        all_revisions=options.all_revisions,
    )
    written = export(
        Path(config.store.path), wanted, options.output, options.format, progress=sys.stderr.isatty()
    )
    for one in written:
        print(f"{one.path}: {one.rows or 'no'} rows", file=sys.stderr)
    return EXIT_DONE
