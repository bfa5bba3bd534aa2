"""The pipeline offline: archive files in, one JSON object a line out; no broker, no clock, no store."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tqdm import tqdm

from monitor.config import Config
from monitor.errors import DecodeError, MonitorError
from monitor.io.files import open_archives
from monitor.io.files.series import SourceSeries, interleave
from monitor.jobs.panels import Panels
from monitor.jobs.profiles import Profiles
from monitor.pipeline import Pipeline
from monitor.plugins.models import PluggedModels, no_plugged_models
from monitor.plugins.reading import file_readers
from monitor.stages.base import ProductStage
from monitor.types import SECOND_NS, Domain, Product, SampleBlock

logger = logging.getLogger(__name__)

_KINDS = frozenset({"flr", "spectrum", "profile", "plasmapause", "region", "event"})
_CRAFT_PIECE_NS = 600 * SECOND_NS


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
    regions : Counter
        Windows of spacecraft, by the label of the newest revision; `none` where there is none.
    events : int
        That began.
    refused : Counter
        Samples, by reason.
    pictures : list of Path
        Panels that were drawn.
    """

    samples: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    regions: Counter[str] = field(default_factory=Counter)
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    pictures: list[Path] = field(default_factory=list)


def process(
    specs: Sequence[str], config: Config, output: IO[bytes], *, progress: bool = False
) -> ProcessReport:
    """Read archive files and run them through the pipeline: `read_series`, then `process_series`."""
    return process_series(read_series(specs, config, craft=True), config, output, progress=progress)


def read_series(specs: Sequence[str], config: Config, *, craft: bool = False) -> list[SourceSeries]:
    """Read the files given as `FILE` or `CODE=FILE`; return the series of the stations that some pair uses.

    With `craft` also those of the configured spacecraft.

    Raises
    ------
    ArchiveError
        A file is missing or unreadable.
    PluginError
        A decoder of files that is switched on cannot be used.
    MonitorError
        No file holds a station of a configured pair, nor a spacecraft where these are asked for.
    """
    series = open_archives(specs, config.craft, file_readers(config))
    wanted = {(Domain.GROUND, code) for pair in config.pair_list for code in pair.stations}
    if craft:
        wanted |= {(Domain.CRAFT, code) for code in config.craft}
    found = {(one.domain, one.source) for one in series}
    if not wanted & found:
        raise MonitorError(_nothing_wanted(wanted, found))
    for domain, code in sorted(found - wanted):
        why = "is not a configured spacecraft" if domain is Domain.CRAFT else "belongs to no pair"
        logger.info("%s %s and is left out", code, why)
    return [one for one in series if (one.domain, one.source) in wanted]


def _nothing_wanted(wanted: set[tuple[Domain, str]], found: set[tuple[Domain, str]]) -> str:
    """Why these files are of no use, and what to do."""
    stations, craft = (
        ", ".join(sorted(code for domain, code in wanted if domain is side))
        for side in (Domain.GROUND, Domain.CRAFT)
    )
    held = ", ".join(sorted(code for _, code in found))
    if not craft:
        return (
            f"no station of the pairs is in these files: they hold {held}, the pairs need {stations or 'nothing'}; "
            "name a file's station with CODE=FILE"
        )
    needed = (
        f"the pairs need {stations}, and spacecraft are {craft}" if stations else f"spacecraft are {craft}"
    )
    return (
        f"neither a station of the pairs nor a spacecraft is in these files: they hold {held}, {needed}; "
        "name what a file is of with CODE=FILE"
    )


def process_series(
    used: Sequence[SourceSeries],
    config: Config,
    output: IO[bytes],
    *,
    profiles: IO[str] | None = None,
    panels: Panels | None = None,
    smooth: bool = False,
    progress: bool = False,
    added: Mapping[str, ProductStage] | None = None,
    models: PluggedModels = no_plugged_models,
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
    panels : Panels, optional
        Takes what is said of the spacecraft, and draws it at the end.
    smooth : bool
        Let the tracker look ahead; each `flr` object says so (`smoothed`), and they come at the end.
    progress : bool
        Whether to draw a progress bar.
    added : mapping, optional
        Stages of plugins, by name: what they say is written too.
    models : callable, optional
        Gives the learned models of plugins by the names under `models`.
    """
    pipeline = Pipeline(config, smooth=smooth, added=added, models=models)
    report = ProcessReport()
    written = _KINDS.union(*(stage.kinds for stage in (added or {}).values()))
    piece_ns = _piece_ns(used, config)
    total, rows, labels = sum(one.count for one in used), Profiles(), _RegionLabels()

    def write(products: Sequence[Product]) -> None:
        _write(products, written, output, report)
        rows.take(products)
        labels.take(products)
        if panels is not None:
            panels.take(products)

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
    report.regions = labels.counted()
    if profiles is not None:
        rows.write(profiles)
    if panels is not None:
        report.pictures = panels.write()
    return report


def _piece_ns(used: Sequence[SourceSeries], config: Config) -> int:
    """How much time is fed at once: half of what the windows of stations wait, so that none runs ahead by more.

    Spacecraft do not wait for each other, and windows that close together share most of their work: of these alone
    much is fed at once.
    """
    if used and all(one.domain is Domain.CRAFT for one in used):
        return _CRAFT_PIECE_NS
    return round(config.windows.lateness_s * SECOND_NS / 2) or SECOND_NS


class _RegionLabels:
    """The newest label of every window of a spacecraft."""

    def __init__(self) -> None:
        self._label: dict[tuple[str, int], str] = {}

    def take(self, products: Sequence[Product]) -> None:
        for product in products:
            if product.kind == "region":
                self._label[product.subject, product.time_ns] = product.body["label"] or "none"

    def counted(self) -> Counter[str]:
        return Counter(self._label.values())


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


def _write(
    products: Sequence[Product], kinds: frozenset[str], output: IO[bytes], report: ProcessReport
) -> None:
    for product in products:
        if product.kind in kinds:
            output.write(product.encode(time.time_ns()) + b"\n")
            report.objects[product.kind] += 1
        if product.kind == "flr":
            report.labels[str(product.body["label"])] += 1
        if product.kind == "event" and product.body["properties"]["state"] == "begin":
            report.events += 1
