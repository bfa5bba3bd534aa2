"""Labelled spectra from archives of magnetometer data: labelled by the physical estimate, not by a person.

The files take the daemon's way as far as the estimate. Its word is taken where it is sure:

- `Freq`, `PBL`: it accepts a resonance, with its frequency;
- `NoFreq`: the evidence for the best resonance model is less than a tenth of what acceptance needs;
- ambiguous: what lies between (also what has the evidence and fails another criterion), and windows whose clocks
  differ, which hide whatever is there;
- windows that cannot be used (gaps, dead channels) are `NoFreq`, with the daemon's flag as the reason.

It misses weak resonances, and a model that learns from it inherits that. On the synthetic windows of 1500 cases
(seeds 700000 on) less than the tenth was found in 87 % of the usable NoFreq, in 11 % of the usable Freq and in 15 % of
the usable PBL.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import PurePath
from typing import Final

import numpy as np
from scipy import stats
from tqdm import tqdm

from monitor.config import Config
from monitor.errors import DecodeError, MonitorError
from monitor.io.files.series import SourceSeries, interleave
from monitor.jobs.flr.dataset import AMBIGUOUS, LabelledSpectra
from monitor.jobs.flr.splits import number_sequences
from monitor.jobs.process import read_series
from monitor.pipeline.settings import conditioning_parameters, resonance_parameters, spectrum_parameters
from monitor.science.resonance import ResonanceParameters
from monitor.stages.admission import Admission
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.stages.window import WindowParameters, WindowStage
from monitor.types import (
    CLASSES,
    SECOND_NS,
    BoolArray,
    Float32Array,
    FloatArray,
    Label,
    ResonanceBatch,
    SampleBlock,
    WindowBatch,
)

logger = logging.getLogger(__name__)

_BATCH_WINDOWS: Final = 64

CLEARLY_NONE: Final = 0.1
"""Share of the evidence that acceptance needs, below which there is clearly no resonance."""


def label_archive(specs: Sequence[str], config: Config, *, progress: bool = False) -> LabelledSpectra:
    """Run archive files through windows, spectra and the physical estimate, and take its labels.

    Parameters
    ----------
    specs : sequence of str
        Files as `process` takes them: FILE or CODE=FILE.
    config : Config
        The pairs, and the parameters of all stages.
    progress : bool
        Whether to draw a progress bar.

    Returns
    -------
    LabelledSpectra
        Pair by pair as they are configured, each in the order of time. Windows in which a station has no sample at
        all are left out.

    Raises
    ------
    ArchiveError
        A file is missing or unreadable.
    MonitorError
        No file holds a station of a configured pair, or no window has samples of both stations.
    """
    series = read_series(specs, config)
    stages = _Stages(config)
    found = _Found([pair.name for pair in config.pair_list], stages.parameters)
    for batch, ends_ns in stages.run(series, config, progress=progress):
        found.add(batch, ends_ns)
    return found.spectra("labelled by the physical estimate, not by a person: " + ", ".join(_names(series)))


def _names(series: Sequence[SourceSeries]) -> list[str]:
    """The files, each once, without their folders."""
    return list(dict.fromkeys(PurePath(one.path).name for one in series))


class _Stages:
    """The daemon's stages from samples to the physical estimate."""

    def __init__(self, config: Config) -> None:
        stations, pairs = config.station_table(), config.pair_list
        used = {code: stations[code] for pair in pairs for code in pair.stations}
        windows = WindowParameters(
            length_ns=round(config.windows.length_s * SECOND_NS),
            cadence_ns=round(config.windows.cadence_s * SECOND_NS),
            lateness_ns=round(config.windows.lateness_s * SECOND_NS),
            revise_ns=round(config.windows.revise_s * SECOND_NS),
        )
        self.parameters = resonance_parameters(config)
        self._admission = Admission(used, config.craft, windows.length_ns)
        self._window = WindowStage(pairs, used, windows)
        self._spectrum = SpectrumStage(conditioning_parameters(config), spectrum_parameters(config))
        self._resonance = ResonanceStage(self.parameters)
        self._waiting: defaultdict[int, list[WindowBatch]] = defaultdict(list)

    def run(
        self, series: Sequence[SourceSeries], config: Config, *, progress: bool
    ) -> Iterator[tuple[ResonanceBatch, Sequence[int]]]:
        """The estimates of all windows, some at a time, and the end of each; one that late samples change comes again."""
        piece_ns = round(config.windows.lateness_s * SECOND_NS / 2) or SECOND_NS
        refused: Counter[str] = Counter()
        total = sum(one.count for one in series)
        with tqdm(total=total, unit=" samples", unit_scale=True, disable=not progress) as bar:
            for _, blocks in groupby(interleave(series, piece_ns), lambda block: block.t0_ns // piece_ns):
                together = list(blocks)
                bar.update(sum(block.count for block in together))
                admitted = [block for block in together if self._admitted(block, refused)]
                yield from self._onward(self._window.feed(admitted), _BATCH_WINDOWS)
            yield from self._onward(self._window.flush(), 1)

    def _admitted(self, block: SampleBlock, refused: Counter[str]) -> bool:
        try:
            self._admission.admit(block)
        except DecodeError as error:
            if not refused[error.reason]:
                logger.warning("refused: %s", error)
            refused[error.reason] += block.count
            return False
        return True

    def _onward(
        self, windows: Sequence[WindowBatch], enough: int
    ) -> Iterator[tuple[ResonanceBatch, Sequence[int]]]:
        """Let windows wait for others of their step until they are `enough`: one by one they cost ten times as much."""
        for window in windows:
            kept = _with_samples(window)
            if kept.pairs:
                self._waiting[window.step_ns].append(kept)
        for step_ns, waiting in self._waiting.items():
            if waiting and sum(len(window.pairs) for window in waiting) >= enough:
                self._waiting[step_ns] = []
                (batch,) = self._resonance.feed(self._spectrum.feed([_together(waiting)]))
                yield batch, [window.end_ns for window in waiting for _ in window.pairs]


def _with_samples(window: WindowBatch) -> WindowBatch:
    """The same without the pairs one of whose stations has no sample at all."""
    there: BoolArray = np.asarray((window.coverage[window.station_index] > 0.0).all(axis=1))
    pairs = tuple(pair for pair, kept in zip(window.pairs, there.tolist(), strict=True) if kept)
    return replace(window, pairs=pairs, station_index=window.station_index[there])


def _together(windows: Sequence[WindowBatch]) -> WindowBatch:
    """Windows of one step as one batch, each with stations of its own; the end is that of the last."""
    before = np.cumsum([0, *(len(window.stations) for window in windows[:-1])])
    index = [window.station_index + first for window, first in zip(windows, before.tolist(), strict=True)]
    return replace(
        windows[-1],
        pairs=tuple(pair for window in windows for pair in window.pairs),
        stations=tuple(code for window in windows for code in window.stations),
        station_index=np.concatenate(index),
        values_nT=np.concatenate([window.values_nT for window in windows]),
        coverage=np.concatenate([window.coverage for window in windows]),
        offset_ns=np.concatenate([window.offset_ns for window in windows]),
        notes=tuple(note for window in windows for note in window.notes),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """One pair's window: what of its batch is kept."""

    spectra: Float32Array
    log_power: Float32Array | None
    frequency_Hz: FloatArray
    smoothing_bins: int
    step_s: float
    l_shell: float
    label: int
    reason: str
    truth_Hz: float
    usable: bool


class _Found:
    """The windows so far, by pair and end: a revision takes the place of what it revises."""

    def __init__(self, pairs: Sequence[str], parameters: ResonanceParameters) -> None:
        self._place = {name: place for place, name in enumerate(pairs)}
        self._parameters = parameters
        self._windows: dict[tuple[str, int], _Window] = {}

    def add(self, batch: ResonanceBatch, ends_ns: Sequence[int]) -> None:
        """Take the windows of a batch, whose ends are given one by one."""
        spectrum, window = batch.spectrum, batch.spectrum.window
        labels, reasons = labels_of(batch, self._parameters)
        parts = (spectrum.cross_phase_rad, spectrum.amplitude_ratio, spectrum.coherence)
        spectra, power = np.stack(parts, axis=1).astype(np.float32), spectrum.log_power
        for row, (pair, end_ns) in enumerate(zip(window.pairs, ends_ns, strict=True)):
            self._windows[pair.name, end_ns] = _Window(
                # A row of its own: a view would hold the batch.
                spectra=spectra[row].copy(),
                log_power=None if power is None else power[window.station_index[row]].astype(np.float32),
                frequency_Hz=spectrum.frequency_Hz,
                smoothing_bins=int(spectrum.smoothing_bins[row]),
                step_s=window.step_ns / SECOND_NS,
                l_shell=np.nan if pair.l_shell is None else pair.l_shell,
                label=labels[row],
                reason=reasons[row],
                truth_Hz=float(batch.frequency_Hz[row]),
                usable=bool(spectrum.usable[row]),
            )

    def spectra(self, source: str) -> LabelledSpectra:
        """All windows, pair by pair as they are configured, each in the order of time."""
        if not self._windows:
            raise MonitorError(
                "no window of these files has samples of both stations of a pair; a window lasts two hours by "
                "default, and its stations must be in the files at the same time"
            )
        order = sorted(self._windows, key=lambda key: (self._place[key[0]], key[1]))
        windows = [self._windows[key] for key in order]
        spectra = np.stack([one.spectra for one in windows], axis=1)
        powers = [one.log_power for one in windows if one.log_power is not None]
        pair = np.array([name for name, _ in order])
        end_ns = np.array([end for _, end in order], dtype=np.int64)
        return LabelledSpectra(
            source=source,
            synthetic=False,
            frequency_Hz=windows[0].frequency_Hz,
            cross_phase_rad=spectra[0],
            amplitude_ratio=spectra[1],
            coherence=spectra[2],
            smoothing_bins=np.array([one.smoothing_bins for one in windows], dtype=np.int64),
            step_s=np.array([one.step_s for one in windows]),
            l_shell=np.array([one.l_shell for one in windows]),
            sequence=number_sequences(pair, end_ns),
            pair=pair,
            end_ns=end_ns,
            label=np.array([one.label for one in windows], dtype=np.int64),
            truth_Hz=np.array([one.truth_Hz for one in windows]),
            illumination=np.full(len(order), "", dtype="U8"),
            reason=np.array([one.reason for one in windows]),
            usable=np.array([one.usable for one in windows]),
            log_power=np.stack(powers) if len(powers) == len(windows) else None,
        )


def labels_of(batch: ResonanceBatch, parameters: ResonanceParameters) -> tuple[list[int], list[str]]:
    """Class index (or AMBIGUOUS) and reason of every pair of a batch, by the rule of this module."""
    seen = batch.seen
    assert seen is not None, "the stage that estimates says what it has seen"
    doubtful = ~(seen.evidence < CLEARLY_NONE * needed_evidence(seen.reversed, parameters))
    labels, reasons = [], []
    for row, (label, reason) in enumerate(zip(batch.label, batch.reason, strict=True)):
        if label is not Label.NO_FREQ:
            labels.append(CLASSES.index(label))
            reasons.append("accepted")
            continue
        unclear = batch.spectrum.usable[row] and (doubtful[row] or reason == "timing_offset")
        labels.append(AMBIGUOUS if unclear else CLASSES.index(Label.NO_FREQ))
        reasons.append("between" if unclear and reason != "timing_offset" else str(reason))
    return labels, reasons


def needed_evidence(turned: BoolArray, parameters: ResonanceParameters) -> FloatArray:
    """The evidence from which on a resonance is accepted, shape like `turned` (reversed ones need more)."""
    chance = np.where(turned, 0.1, 1.0) * parameters.significance
    needed: FloatArray = np.asarray(stats.chi2.isf(chance, 4), dtype=np.float64)
    return needed
