"""Simulated storms and quiet stretches through the daemon's own pipeline: what it said and when, beside the truth."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from tqdm import tqdm

from monitor.config import Config
from monitor.jobs.events.truth import Course
from monitor.pipeline import Pipeline
from monitor.science.synthetic.chain_truth import ChainTruth, chain_truth
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.labels import LENGTH_NS
from monitor.science.synthetic.scenario import Scenario
from monitor.science.synthetic.storms import TEST_STORMS, Kind, StormRanges, draw_storm
from monitor.stages.place import Places
from monitor.stations import load_station_table
from monitor.types import SECOND_NS, BoolArray, Illumination, Json, Label, Product

CHAIN: Final = "chain"
STATIONS: Final = (
    "KEV", "IVA", "SOD", "PEL", "RAN", "OUJ", "MEK", "HAN", "NUR", "TAR", "BRZ", "SUW", "PPN",
)  # fmt: skip
"""From Lapland to Poland along one meridian, L 6.6 to 2.2; neighbours are pairs."""

_STEP_NS: Final = 1800 * SECOND_NS
_COURSE_STEP_NS: Final = 300 * SECOND_NS
_KEPT: Final = ("plasmapause", "event")


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is simulated in one piece."""

    seed: int
    kind: Kind
    ranges: StormRanges = TEST_STORMS


@dataclass(frozen=True, slots=True)
class Said:
    """A product, and the data time at which it was said: the end of the half hour of samples that completed it."""

    said_ns: int
    product: Product


@dataclass(frozen=True, slots=True)
class Call:
    """What one `flr` object says: for the picture."""

    pair: str
    end_ns: int
    label: Label


@dataclass(frozen=True, slots=True)
class Run:
    """One stretch, what was said about it, and what is true.

    Attributes
    ----------
    stretch : Stretch
    start_ns, end_ns : int
    said : tuple of Said
        Plasmapause and event objects in the order in which they came.
    calls : tuple of Call
    course : Course
    truth : ChainTruth
        Of every window that lies within the stretch.
    day, lit : ndarray of bool, shape (w, p)
        Both ends, at least one end of the pair's line are sunlit at the centre of the window.
    """

    stretch: Stretch
    start_ns: int
    end_ns: int
    said: tuple[Said, ...]
    calls: tuple[Call, ...]
    course: Course
    truth: ChainTruth
    day: BoolArray
    lit: BoolArray


def stretches(
    storms: int, quiet_days: float, *, first_seed: int = 0, ranges: StormRanges = TEST_STORMS
) -> list[Stretch]:
    """So many storms, and as many quiet stretches as make up the days."""
    quiet = -int(-quiet_days * 24.0 // ranges.span_h)
    return [
        *(Stretch(first_seed + number, "storm", ranges) for number in range(storms)),
        *(Stretch(first_seed + number, "quiet", ranges) for number in range(quiet)),
    ]


def chain_config(base: Config, stations: Sequence[str] = STATIONS) -> Config:
    """A configuration for the simulated chain: neighbours as pairs of one chain; all thresholds are those of `base`."""
    pairs = tuple(f"{poleward}-{equatorward}" for poleward, equatorward in itertools.pairwise(stations))
    changes = {"pairs": pairs, "chains": {CHAIN: pairs}, "craft": (), "stations": {}}
    # Not `model_copy`: that would keep the lists of pairs that the other configuration has worked out.
    return Config.model_validate(base.model_dump() | changes)


def runs(
    config: Config, pieces: Sequence[Stretch], *, workers: int | None = None, progress: bool = False
) -> Iterator[Run]:
    """Simulate the stretches and put them through the pipeline, in their order, whatever the number of workers."""
    count = min(workers or os.cpu_count() or 1, len(pieces) or 1)
    jobs = [(config, piece) for piece in pieces]
    with tqdm(total=len(pieces), unit=" stretches", desc="storms", disable=not progress) as bar:
        if count == 1:
            for job in jobs:
                yield _run(job)
                bar.update()
            return
        # Fresh processes: a fork would inherit the threads of the boosters.
        with multiprocessing.get_context("spawn").Pool(count) as pool:
            for made in pool.imap(_run, jobs):
                yield made
                bar.update()


def run(config: Config, piece: Stretch) -> Run:
    """Simulate one stretch, put it through the pipeline, and work out what is true."""
    table = load_station_table()
    codes = list(dict.fromkeys(code for pair in config.pair_list for code in pair.stations))
    shells = [(code, _l_shell(table[code].l_shell, code)) for code in codes]
    scenario = draw_storm(piece.seed, shells, piece.ranges, kind=piece.kind)
    end_ns = scenario.start_ns + round(piece.ranges.span_h * 3600) * SECOND_NS
    said, calls = _play(config, scenario, end_ns)
    ends = np.arange(scenario.start_ns + LENGTH_NS, end_ns + 1, _STEP_NS, dtype=np.int64)
    truth = chain_truth(scenario, config.pair_list, ends)
    places = Places(config.station_table(), config.pair_list)
    light = np.array(
        [places.at(config.pair_list, end - LENGTH_NS // 2).illumination for end in ends.tolist()],
        dtype=np.object_,
    )
    return Run(
        stretch=piece,
        start_ns=scenario.start_ns,
        end_ns=end_ns,
        said=said,
        calls=calls,
        course=_course(scenario, end_ns),
        truth=truth,
        day=np.equal(light, Illumination.DAY).astype(np.bool_),
        lit=np.not_equal(light, Illumination.NIGHT).astype(np.bool_),
    )


def _run(job: tuple[Config, Stretch]) -> Run:
    return run(*job)


def _play(config: Config, scenario: Scenario, end_ns: int) -> tuple[tuple[Said, ...], tuple[Call, ...]]:
    """Feed the samples half hour by half hour, as they would come."""
    simulator, pipeline = GroundSimulator(scenario), Pipeline(config)
    said: list[Said] = []
    calls: list[Call] = []
    for start_ns in range(scenario.start_ns, end_ns, _STEP_NS):
        blocks = simulator.blocks(start_ns, start_ns + _STEP_NS)
        for block in blocks:
            pipeline.admit(block)
        for product in pipeline.feed(blocks):
            if product.kind in _KEPT:
                said.append(Said(start_ns + _STEP_NS, product))
            elif product.kind == "flr":
                calls.append(Call(product.subject, product.time_ns, Label(_text(product.body, "label"))))
    return tuple(said), tuple(calls)


def _text(body: Mapping[str, Json], key: str) -> str:
    return str(body[key])


def _l_shell(l_shell: float | None, code: str) -> float:
    if l_shell is None:
        raise ValueError(f"{code}: a station of the simulated chain needs an L")
    return l_shell


def _course(scenario: Scenario, end_ns: int) -> Course:
    times = np.arange(scenario.start_ns, end_ns + 1, _COURSE_STEP_NS, dtype=np.int64)
    places = [scenario.plasma.plasmapause_l(time_ns) for time_ns in times.tolist()]
    return Course(times, np.array([np.nan if place is None else place for place in places]))
