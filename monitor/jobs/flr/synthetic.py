"""Simulated cases as labelled spectra, made by several processes at once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from monitor.jobs.flr.dataset import AMBIGUOUS, LabelledSpectra
from monitor.jobs.flr.examples import Examples, SeenSpectra, examples_of, joined_spectra
from monitor.science.conditioning import ConditioningParameters
from monitor.science.resonance import ResonanceParameters
from monitor.science.spectra import SpectrumParameters
from monitor.science.synthetic.batches import generate
from monitor.science.synthetic.labels import TruthLabel, WindowLabel
from monitor.science.synthetic.ranges import CaseRanges
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.types import CLASSES, Float32Array, RealArray, SpectrumBatch

_CASES_AT_ONCE = 40
_INDEX = {str(label): index for index, label in enumerate(CLASSES)} | {TruthLabel.AMBIGUOUS: AMBIGUOUS}

Made = TypeVar("Made", SeenSpectra, Examples)


@dataclass(frozen=True, slots=True)
class CaseBlock:
    """Cases to simulate; `offset` is added to their seeds, so that sequences of several sets stay apart."""

    ranges: CaseRanges
    seeds: range
    offset: int = 0


def seen_spectra(
    blocks: Sequence[CaseBlock], *, workers: int | None = None, progress: str = ""
) -> Iterator[SeenSpectra]:
    """Simulate cases and yield their spectra in the order of the seeds, whatever the number of workers."""
    yield from _made(_simulated, blocks, workers, progress)


def examples(
    blocks: Sequence[CaseBlock], *, workers: int | None = None, progress: str = ""
) -> Iterator[Examples]:
    """The same as examples to learn from: much smaller than their spectra."""
    yield from _made(_example, blocks, workers, progress)


def _made(
    make: Callable[[CaseBlock], Made], blocks: Sequence[CaseBlock], workers: int | None, progress: str
) -> Iterator[Made]:
    parts = [
        CaseBlock(block.ranges, block.seeds[start : start + _CASES_AT_ONCE], block.offset)
        for block in blocks
        for start in range(0, len(block.seeds), _CASES_AT_ONCE)
    ]
    total = sum(len(part.seeds) for part in parts)
    count = min(workers or os.cpu_count() or 1, len(parts) or 1)
    with tqdm(total=total, unit=" cases", desc=progress, disable=not progress) as bar:
        if count == 1:
            for part in parts:
                yield make(part)
                bar.update(len(part.seeds))
            return
        # Fresh processes: a fork would inherit the threads of the boosters.
        with multiprocessing.get_context("spawn").Pool(count) as pool:
            for part, made in zip(parts, pool.imap(make, parts), strict=True):
                yield made
                bar.update(len(part.seeds))


def _example(block: CaseBlock) -> Examples:
    return examples_of(_simulated(block))


def _simulated(block: CaseBlock) -> SeenSpectra:
    """Simulate some cases and put them through the daemon's own stages."""
    spectrum = SpectrumStage(ConditioningParameters(), SpectrumParameters())
    resonance = ResonanceStage(ResonanceParameters())
    parts = []
    for window, labels in generate(block.seeds, block.ranges):
        [spectra] = spectrum.feed([window])
        [found] = resonance.feed([spectra])
        assert found.seen is not None
        parts.append(SeenSpectra(labelled(spectra, labels, block.offset), found.seen))
    whole = joined_spectra(parts)
    # Batches hold windows of one step: back to the order of cases and time.
    return whole.rows(np.lexsort((whole.data.end_ns, whole.data.sequence)))


def labelled(spectra: SpectrumBatch, labels: Sequence[WindowLabel], offset: int = 0) -> LabelledSpectra:
    """Spectra of a batch with the labels of its windows."""
    window, count = spectra.window, len(labels)
    assert spectra.log_power is not None
    truth = [np.nan if label.frequency_Hz is None else label.frequency_Hz for label in labels]
    return LabelledSpectra(
        source="simulated pairs (monitor.science.synthetic)",
        synthetic=True,
        frequency_Hz=spectra.frequency_Hz,
        cross_phase_rad=_single(spectra.cross_phase_rad),
        amplitude_ratio=_single(spectra.amplitude_ratio),
        coherence=_single(spectra.coherence),
        smoothing_bins=spectra.smoothing_bins,
        step_s=np.full(count, window.step_ns / 1e9),
        l_shell=np.array([label.truth.l_shell for label in labels]),
        sequence=np.array([label.seed + offset for label in labels], dtype=np.int64),
        pair=np.array([f"CASE{label.seed + offset}" for label in labels], dtype="U16"),
        end_ns=np.array([label.end_ns for label in labels], dtype=np.int64),
        label=np.array([_INDEX[str(label.label)] for label in labels], dtype=np.int64),
        truth_Hz=np.array(truth),
        illumination=np.array([label.truth.illumination for label in labels], dtype="U8"),
        reason=np.array([label.reason for label in labels], dtype="U24"),
        usable=spectra.usable.copy(),
        log_power=_single(spectra.log_power[window.station_index]),
    )


def _single(values: RealArray) -> Float32Array:
    return np.asarray(values, dtype=np.float32)
