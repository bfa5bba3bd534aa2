"""Simulated windows for a training run: which runs are simulated, and how many windows are drawn from them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from tqdm import tqdm

from monitor.models.card import DataSource
from monitor.science.synthetic.craft.windows import (
    TEST,
    TRAINING,
    VALIDATION,
    CraftRanges,
    Runs,
    WindowSampler,
    simulate_runs,
)
from monitor.types import RegionExamples

_A_PIECE: Final = 25
"""Runs that a process simulates at once."""
_SIMULATION: Final = "windows of simulated flights through the ten regions (monitor.science.synthetic.craft)"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is simulated.

    Attributes
    ----------
    training_runs, validation_runs, test_runs : int
        Simulated flights; no run is in two sets.
    rivals, validation, test : int
        Windows drawn for the logistic regression and the known territory, for validation, and for the test. Those of
        training are drawn anew every epoch.
    mixed : int
        Windows of no one region in the test, besides.
    """

    training_runs: int
    validation_runs: int
    test_runs: int
    rivals: int
    validation: int
    test: int
    mixed: int


BUNDLED: Final = Plan(7200, 2400, 3200, rivals=8000, validation=6405, test=8540, mixed=800)
"""Runs and windows in the paper's shares, 56.25, 18.75 and 25 %; as many windows as it has."""
QUICK: Final = Plan(160, 90, 90, rivals=800, validation=400, test=500, mixed=50)


SEED: Final = 20200902
"""Of the windows that are drawn where nobody says otherwise."""


@dataclass(slots=True)
class Drawn:
    """Windows for each epoch, never the same order twice; the same seed gives the same epochs."""

    sampler: WindowSampler
    seed: int
    _epoch: int = field(default=0)

    def __call__(self, windows: int) -> RegionExamples:
        """About so many windows."""
        self._epoch += 1
        return self.sampler.draw(np.random.default_rng([self.seed, self._epoch]), windows)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What is learnt from: `training` draws an epoch; the others are fixed."""

    training: Drawn
    rivals: RegionExamples
    validation: RegionExamples


def simulated(plan: Plan, *, seed: int, workers: int = 1, progress: bool = False) -> Simulated:
    """Simulate the sets for training and validation.

    Parameters
    ----------
    plan : Plan
    seed : int
        Of the windows drawn; runs depend on their number alone.
    workers : int
        Processes.
    progress : bool
    """
    training = WindowSampler(
        runs_of(TRAINING, plan.training_runs, workers, "training" if progress else ""), TRAINING
    )
    rng = np.random.default_rng([seed, 0])
    return Simulated(
        Drawn(training, seed),
        training.draw(rng, plan.rivals),
        _drawn(
            VALIDATION, plan.validation_runs, plan.validation, 0, workers, "validation" if progress else ""
        ),
    )


def windows_to_test(
    plan: Plan, *, first_run: int = 0, workers: int = 1, progress: bool = False
) -> RegionExamples:
    """A test set, whose ranges reach past those of training; the same for every model.

    With another `first_run` it is of runs that share nothing with those from 0 on.
    """
    told = "test" if progress else ""
    return _drawn(TEST, plan.test_runs, plan.test, plan.mixed, workers, told, first_run)


def sources(plan: Plan, windows_an_epoch: int) -> tuple[DataSource, ...]:
    """Where the windows come from, for a card."""
    parts = (
        ("training, drawn anew every epoch", TRAINING, plan.training_runs, windows_an_epoch),
        ("validation and calibration", VALIDATION, plan.validation_runs, plan.validation),
    )
    return (
        *(
            DataSource(_SIMULATION, True, count, split, _of(ranges, runs))
            for split, ranges, runs, count in parts
        ),
        tested_source(plan),
    )


def tested_source(plan: Plan) -> DataSource:
    """The test set, for a card."""
    what = f"{_SIMULATION}, ranges a tenth wider"
    return DataSource(what, True, plan.test, "test", _of(TEST, plan.test_runs))


def _of(ranges: CraftRanges, runs: int) -> dict[str, int]:
    return {"stream": ranges.stream, "first_run": 0, "last_run": runs - 1}


def _drawn(
    ranges: CraftRanges, runs: int, windows: int, mixed: int, workers: int, told: str, first: int = 0
) -> RegionExamples:
    sampler = WindowSampler(runs_of(ranges, runs, workers, told, first), ranges)
    return sampler.draw(np.random.default_rng([ranges.stream]), windows, mixed=mixed)


def runs_of(ranges: CraftRanges, count: int, workers: int = 1, told: str = "", first: int = 0) -> Runs:
    """Simulate `count` runs of a set from number `first` on, in processes; the same whatever their number."""
    end = first + count
    pieces = [(ranges, min(_A_PIECE, end - begin), begin) for begin in range(first, end, _A_PIECE)]
    bar = tqdm(total=count, desc=told, unit="run", disable=not told)
    parts = []
    for part in _simulated(pieces, workers):
        parts.append(part)
        bar.update(part.first.size)
    bar.close()
    return joined_runs(parts)


def _simulated(pieces: list[tuple[CraftRanges, int, int]], workers: int) -> Iterator[Runs]:
    if min(workers, len(pieces)) <= 1:
        yield from map(_piece, pieces)
        return
    # Not forked: a process whose libraries have started threads must not be copied.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_piece, pieces)


def _piece(piece: tuple[CraftRanges, int, int]) -> Runs:
    ranges, count, first = piece
    return simulate_runs(ranges, count, first)


def joined_runs(parts: list[Runs]) -> Runs:
    """Runs one after the other."""
    begin, firsts, starts = 0, [], []
    for part in parts:
        firsts.append(part.first + begin)
        starts.append(part.start + begin)
        begin += part.values.shape[0]
    return Runs(
        np.concatenate([part.values for part in parts]),
        np.concatenate(firsts),
        np.concatenate(starts),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.mixed for part in parts]),
        np.concatenate([part.run for part in parts]),
    )
