"""The pipeline offline: archive files in, one JSON object a line out; no broker, no clock, no store."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from tqdm import tqdm

from monitor.config import Config
from monitor.errors import DecodeError, MonitorError
from monitor.io.files import open_archives
from monitor.io.files_series import SourceSeries, interleave
from monitor.jobs.profiles import Profiles
from monitor.pipeline import Pipeline
from monitor.types import SECOND_NS, Product, SampleBlock

logger = logging.getLogger(__name__)

_KINDS = frozenset({"flr", "spectrum", "profile", "plasmapause", "event"})


@dataclass(slots=True)
class ProcessReport:
    """What a run of `process` did.

    Attributes
    ----------
    samples : int
        Read and let in.
    objects : Counter
        Written, by kind.
    labels : Counter
        `flr` objects, by label.
    events : int
        That began.
    refused : Counter
        Samples, by reason.
    """

    samples: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def process(
    specs: Sequence[str], config: Config, output: IO[bytes], *, progress: bool = False
) -> ProcessReport:
    """Read archive files and run them through the pipeline: `read_series`, then `process_series`."""
    return process_series(read_series(specs, config), config, output, progress=progress)


def read_series(specs: Sequence[str], config: Config) -> list[SourceSeries]:
    """Read the files given as `FILE` or `CODE=FILE`; return the series of the stations that some pair uses.

    Raises
    ------
    ArchiveError
        A file is missing or unreadable.
    MonitorError
        No file holds a station of a configured pair.
    """
    series = open_archives(specs, config.craft)
    wanted = {code for pair in config.pair_list for code in pair.stations}
    found = {one.source for one in series}
    if not wanted & found:
        raise MonitorError(
            f"no station of the pairs is in these files: they hold {', '.join(sorted(found))}, "
            f"the pairs need {', '.join(sorted(wanted))}; name a file's station with CODE=FILE"
        )
    for code in sorted(found - wanted):
        logger.info("%s belongs to no pair and is left out", code)
    return [one for one in series if one.source in wanted]


def process_series(
    used: Sequence[SourceSeries],
    config: Config,
    output: IO[bytes],
    *,
    profiles: IO[str] | None = None,
    smooth: bool = False,
    progress: bool = False,
) -> ProcessReport:
    """Run series through the pipeline and write the same objects that the daemon publishes.

    Health objects are left out: they speak of a live feed.

    Parameters
    ----------
    used : sequence of SourceSeries
    config : Config
    output : binary file
        One JSON object a line.
    profiles : text file, optional
        The newest revision of every profile as CSV; opened with `newline=""`.
    smooth : bool
        Let the tracker look ahead; each `flr` object says so (`smoothed`), and they come at the end.
    progress : bool
        Whether to draw a progress bar.
    """
    pipeline, report = Pipeline(config, smooth=smooth), ProcessReport()
    piece_ns = round(config.windows.lateness_s * SECOND_NS / 2) or SECOND_NS
    total, rows = sum(one.count for one in used), Profiles()

    def write(products: Sequence[Product]) -> None:
        _write(products, output, report)
        rows.take(products)

    with tqdm(total=total, unit=" samples", unit_scale=True, disable=not progress) as bar:
        together: list[SampleBlock] = []
        for block in interleave(used, piece_ns):
            bar.update(block.count)
            if not _admitted(pipeline, block, report):
                continue
            # What belongs to one piece of time is fed at once, as a burst of live stations would be.
            if together and block.t0_ns // piece_ns != together[0].t0_ns // piece_ns:
                write(pipeline.feed(together))
                together = []
            together.append(block)
        write(pipeline.feed(together))
        write(pipeline.flush())
    if profiles is not None:
        rows.write(profiles)
    return report


def _admitted(pipeline: Pipeline, block: SampleBlock, report: ProcessReport) -> bool:
    try:
        pipeline.admit(block)
    except DecodeError as error:
        if not report.refused[error.reason]:
            logger.warning("refused: %s", error)
        report.refused[error.reason] += block.count
        return False
    report.samples += block.count
    return True


def _write(products: Sequence[Product], output: IO[bytes], report: ProcessReport) -> None:
    for product in products:
        if product.kind in _KINDS:
            output.write(product.encode(time.time_ns()) + b"\n")
            report.objects[product.kind] += 1
        if product.kind == "flr":
            report.labels[str(product.body["label"])] += 1
        if product.kind == "event" and product.body["properties"]["state"] == "begin":
            report.events += 1
