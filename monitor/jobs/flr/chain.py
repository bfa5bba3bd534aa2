"""The chain on labelled windows: what the daemon would say of them, beside what is true."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from monitor.jobs.flr.dataset import LabelledSpectra, Outcomes, joined_data
from monitor.jobs.flr.examples import SeenSpectra, judgeable
from monitor.models.flr import Classified, FlrModel, Readings
from monitor.science import tracker
from monitor.science.features import scale
from monitor.types import BoolArray, FloatArray, IntArray

_SIGMAS = 1.6448536269514722  # a 90 % interval is so many standard deviations wide on either side
CADENCE_NS = 1_800_000_000_000


@dataclass(frozen=True, slots=True)
class Judged:
    """Stage one and both readings of labelled windows, before the tracker.

    `readings` are all that could be had; `likely` are those that the daemon would take.
    """

    data: LabelledSpectra
    asked: BoolArray
    classified: Classified
    readings: Readings
    likely: BoolArray
    physical: IntArray
    physical_Hz: FloatArray

    @property
    def observed(self) -> tracker.Observed:
        """What the tracker is given."""
        known = self.likely & np.isfinite(self.readings.frequency_Hz)
        told = self.asked & ~self.classified.novel
        width = np.log(self.readings.high_Hz / self.readings.low_Hz)
        return tracker.Observed(
            probability=np.where(told[:, None], self.classified.probability, np.nan),
            reading_Hz=np.where(known, self.readings.frequency_Hz, np.nan),
            sigma=np.where(known, width / (2.0 * _SIGMAS), np.nan),
        )


def judge(seen: SeenSpectra, model: FlrModel, *, everything: bool = True) -> Judged:
    """Ask a model about windows; rows of which nothing may be asked are NoFreq.

    Parameters
    ----------
    seen : SeenSpectra
    model : FlrModel
    everything : bool
        Take both readings of every window, also the unlikely ones, to compare them with the truth.
    """
    data, count = seen.data, len(seen)
    asked = judgeable(seen)
    rows = np.flatnonzero(asked)
    probability, stage_one = np.full((count, 3), np.nan), np.zeros(count, dtype=np.int64)
    novel = np.zeros(count, dtype=np.bool_)
    likely = np.zeros((count, 2), dtype=np.bool_)
    readings = Readings(*(np.full((count, 2), np.nan) for _ in range(5)))
    if rows.size:
        spectra = seen.rows(rows).spectra
        scaled = scale(spectra)
        classified = model.classify(spectra, scaled)
        probability[rows], novel[rows] = classified.probability, classified.novel
        stage_one[rows] = np.where(classified.novel, 0, classified.stage_one)
        likely[rows] = model.likely(classified)
        wanted = np.ones((rows.size, 2), dtype=np.bool_) if everything else likely[rows]
        found = model.read(spectra, scaled, wanted)
        for field in fields(Readings):
            getattr(readings, field.name)[rows] = getattr(found, field.name)
    accepted = seen.seen.accepted & data.usable
    physical = np.where(accepted, np.where(seen.seen.reversed, 2, 1), 0).astype(np.int64)
    return Judged(
        data=data,
        asked=asked,
        classified=Classified(probability, stage_one, novel),
        readings=readings,
        likely=likely,
        physical=physical,
        physical_Hz=np.where(accepted, seen.seen.frequency_Hz, np.nan),
    )


def joined(parts: Iterable[Judged]) -> Judged:
    """Judged windows of several batches as one. Spectra are left behind: they are large."""
    every = [replace(part, data=_light(part.data)) for part in parts]

    def join(pick: str, cls: type[Classified] | type[Readings]) -> dict[str, np.ndarray]:
        return {
            field.name: np.concatenate([getattr(getattr(part, pick), field.name) for part in every])
            for field in fields(cls)
        }

    data = joined_data([part.data for part in every])
    return Judged(
        data=data,
        asked=np.concatenate([part.asked for part in every]),
        classified=Classified(**join("classified", Classified)),
        readings=Readings(**join("readings", Readings)),
        likely=np.concatenate([part.likely for part in every]),
        physical=np.concatenate([part.physical for part in every]),
        physical_Hz=np.concatenate([part.physical_Hz for part in every]),
    )


def track(judged: Judged, model: FlrModel, *, smooth: bool = False) -> tracker.Tracked:
    """Follow every sequence of windows over time."""
    follow = tracker.smooth if smooth else tracker.track
    data = judged.data
    return follow(model.parameters.tracker, data.sequence, data.end_ns, judged.observed, CADENCE_NS)


def final_classes(judged: Judged, model: FlrModel, tracked: tracker.Tracked) -> IntArray:
    """Class index of every window after the tracker."""
    parameters = model.parameters
    return tracker.decide(
        parameters.tracker,
        parameters.track_weights,
        judged.classified.stage_one,
        judged.observed,
        tracked,
    )


def outcomes(judged: Judged, final: IntArray, *, data: str, chain: str) -> Outcomes:
    """Lay what was judged beside the truth."""
    own = judged.data
    row = np.arange(len(own))

    def read(kind: IntArray, values: FloatArray, also: BoolArray) -> FloatArray:
        return np.where((kind > 0) & also, values[row, np.maximum(kind - 1, 0)], np.nan)

    readings, always = judged.readings, np.ones(len(own), dtype=np.bool_)
    return Outcomes(
        data=data,
        chain=chain,
        sequence=own.sequence,
        end_ns=own.end_ns,
        label=own.label,
        truth_Hz=own.truth_Hz,
        l_shell=own.l_shell,
        step_s=own.step_s,
        illumination=own.illumination,
        reason=own.reason,
        pair=own.pair,
        usable=own.usable,
        probability=judged.classified.probability,
        stage_one=judged.classified.stage_one,
        final=final,
        frequency_Hz=read(final, readings.frequency_Hz, always),
        low_Hz=read(final, readings.low_Hz, always),
        high_Hz=read(final, readings.high_Hz, always),
        truth_read_Hz=read(own.label, readings.frequency_Hz, judged.asked),
        truth_low_Hz=read(own.label, readings.low_Hz, judged.asked),
        truth_high_Hz=read(own.label, readings.high_Hz, judged.asked),
        physical=judged.physical,
        physical_Hz=judged.physical_Hz,
        novel=judged.classified.novel,
    )


def _light(data: LabelledSpectra) -> LabelledSpectra:
    """The same without its spectra."""
    nothing = np.zeros((len(data), 0), dtype=np.float32)
    return replace(data, cross_phase_rad=nothing, amplitude_ratio=nothing, coherence=nothing, log_power=None)
