"""Stage two of the learned chain: frequencies with their intervals, and all that is known of a window put together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from monitor.models.flr import FlrModel, Readings
from monitor.stages.classify import ClassifiedBatch
from monitor.stages.place import Places, Surroundings
from monitor.types import (
    CLASSES,
    Finding,
    Json,
    Label,
    PhysicalReading,
    Reading,
    ResonanceBatch,
    Tick,
)

_SIGMAS = 1.6448536269514722  # the 90 % interval of a normal error


class RegressStage:
    """Reads the frequencies of all pairs of a batch at once, as far as their classes are likely. Keeps no state.

    A spectrum unlike those of training is flagged `out_of_distribution` and has no probability. A pair whose L is unknown is
    left to the physical estimate alone (`physical_only`).
    """

    lookback_ns = 0

    def __init__(self, model: FlrModel, places: Places) -> None:
        self._model = model
        self._places = places

    def feed(self, items: Sequence[ClassifiedBatch] | Tick) -> list[Finding]:
        """One finding for each pair of each batch."""
        if isinstance(items, Tick):
            return []
        return [finding for batch in items for finding in self._findings(batch)]

    def snapshot(self) -> Json:
        """Nothing to keep."""
        return {"version": 1}

    def restore(self, state: Json) -> None:
        """Nothing to take up."""

    def _findings(self, batch: ClassifiedBatch) -> list[Finding]:
        classified = batch.classified
        readings = self._model.read(batch.spectra, batch.scaled, self._model.likely(classified))
        surroundings = surroundings_of(batch.resonance, self._places)
        place = {row: number for number, row in enumerate(batch.asked.tolist())}
        findings: list[Finding] = []
        for row, pair in enumerate(batch.resonance.spectrum.window.pairs):
            number = place.get(row)
            if number is None:
                alone = pair.l_shell is None
                findings.append(finding_of(batch.resonance, row, surroundings, alone=alone))
            elif classified.novel[number]:
                findings.append(
                    finding_of(batch.resonance, row, surroundings, also=frozenset({"out_of_distribution"}))
                )
            else:
                stage_one = CLASSES[int(classified.stage_one[number])]
                first, second, third = classified.probability[number].tolist()
                findings.append(
                    finding_of(
                        batch.resonance,
                        row,
                        surroundings,
                        stage_one=stage_one,
                        probability=(first, second, third),
                        readings=(_reading(readings, number, 0), _reading(readings, number, 1)),
                    )
                )
        return findings


class PhysicalStage:
    """Makes findings of the physical estimate alone, where there is no learned model. Keeps no state."""

    lookback_ns = 0

    def __init__(self, places: Places) -> None:
        self._places = places

    def feed(self, items: Sequence[ResonanceBatch] | Tick) -> list[Finding]:
        """One finding for each pair of each batch, flagged `physical_only`."""
        if isinstance(items, Tick):
            return []
        findings: list[Finding] = []
        for batch in items:
            surroundings = surroundings_of(batch, self._places)
            rows = range(len(batch.label))
            findings.extend(finding_of(batch, row, surroundings, alone=True) for row in rows)
        return findings

    def snapshot(self) -> Json:
        """Nothing to keep."""
        return {"version": 1}

    def restore(self, state: Json) -> None:
        """Nothing to take up."""


def surroundings_of(batch: ResonanceBatch, places: Places) -> Surroundings:
    """Light and magnetic local time of the pairs at the centre of their window."""
    window = batch.spectrum.window
    return places.at(window.pairs, window.end_ns - window.length_ns // 2)


def finding_of(
    batch: ResonanceBatch,
    row: int,
    surroundings: Surroundings,
    *,
    stage_one: Label | None = None,
    probability: tuple[float, float, float] | None = None,
    readings: tuple[Reading | None, Reading | None] = (None, None),
    also: frozenset[str] = frozenset(),
    alone: bool = False,
) -> Finding:
    """All that is known of one pair, before the tracker; `alone` takes the physical estimate for the whole truth."""
    window = batch.spectrum.window
    label = stage_one or Label.NO_FREQ
    flags = station_flags(batch, row) | also
    if label is not Label.NO_FREQ and readings[CLASSES.index(label) - 1] is None:
        # A resonance in which no frequency can be read is none.
        label, flags = Label.NO_FREQ, flags | {"dropped"}
    if alone:
        label, flags = batch.label[row], flags | {"physical_only"}
        own = _physical_interval(batch, row)
        readings = (own if label is Label.FREQ else None, own if label is Label.PBL else None)
    return Finding(
        pair=window.pairs[row],
        end_ns=window.end_ns,
        length_ns=window.length_ns,
        coverage=tuple(
            (window.stations[station], float(window.coverage[station]))
            for station in window.station_index[row].tolist()
        ),
        physical=PhysicalReading(
            label=batch.label[row],
            frequency_Hz=float(batch.frequency_Hz[row]),
            sigma_Hz=float(batch.sigma_Hz[row]),
            cross_phase_rad=float(batch.cross_phase_rad[row]),
            coherence=float(batch.coherence[row]),
            timing_offset_s=float(batch.timing_offset_s[row]),
            timing_sigma_s=float(batch.timing_sigma_s[row]),
        ),
        illumination=surroundings.illumination[row],
        mlt_h=surroundings.mlt_h[row],
        probability=probability,
        stage_one=stage_one,
        as_freq=readings[0],
        as_pbl=readings[1],
        label=label,
        flags=flags,
    )


def station_flags(batch: ResonanceBatch, row: int) -> frozenset[str]:
    """Why the physical estimate sees no resonance, and what was done to the samples."""
    quality, window = batch.spectrum.quality, batch.spectrum.window
    stations = window.station_index[row]
    flags = set[str]().union(*(window.notes[station] for station in stations.tolist()))
    reason = batch.reason[row]
    if reason is not None:
        flags.add(reason)
    if batch.spectrum.usable[row]:
        if (quality.longest_gap_s[stations] > 0.0).any():
            flags.add("bridged")
        if (quality.spikes[stations] > 0).any():
            flags.add("despiked")
    return frozenset(flags)


def _reading(readings: Readings, row: int, side: int) -> Reading | None:
    frequency = float(readings.frequency_Hz[row, side])
    if not math.isfinite(frequency):
        return None
    return Reading(frequency, float(readings.low_Hz[row, side]), float(readings.high_Hz[row, side]))


def _physical_interval(batch: ResonanceBatch, row: int) -> Reading | None:
    """The physical estimate as a reading; None where it sees no resonance."""
    frequency, sigma = float(batch.frequency_Hz[row]), float(batch.sigma_Hz[row])
    if not np.isfinite(frequency):
        return None
    return Reading(frequency, max(0.0, frequency - _SIGMAS * sigma), frequency + _SIGMAS * sigma)
