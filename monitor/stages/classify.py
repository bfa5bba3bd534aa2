"""Stage one of the learned chain: from spectra and the physical estimate to calibrated classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.models.flr import Classified, FlrModel
from monitor.science.features import PairSpectra, ScaledSpectra, scale
from monitor.stages.spectrum import l_shells
from monitor.types import SECOND_NS, IntArray, Json, ResonanceBatch, Tick


@dataclass(frozen=True, slots=True)
class ClassifiedBatch:
    """What stage one says of the pairs of one `ResonanceBatch`.

    Attributes
    ----------
    resonance : ResonanceBatch
    asked : ndarray, shape (a,), int64
        Rows of the pairs that the model was asked about: usable, without a clock offset, and of a known L.
    spectra, scaled, classified
        Of those pairs.
    """

    resonance: ResonanceBatch
    asked: IntArray
    spectra: PairSpectra
    scaled: ScaledSpectra
    classified: Classified


class ClassifyStage:
    """Asks the classifier about all pairs of a batch at once. Keeps no state."""

    lookback_ns = 0

    def __init__(self, model: FlrModel) -> None:
        self._model = model

    def feed(self, items: Sequence[ResonanceBatch] | Tick) -> list[ClassifiedBatch]:
        """One `ClassifiedBatch` for each batch of estimates."""
        return [] if isinstance(items, Tick) else [self._classify(batch) for batch in items]

    def snapshot(self) -> Json:
        """Nothing to keep."""
        return {"version": 1}

    def restore(self, state: Json) -> None:
        """Nothing to take up."""

    def _classify(self, batch: ResonanceBatch) -> ClassifiedBatch:
        shells = l_shells(batch.spectrum.window.pairs)
        assert batch.seen is not None, "the physical estimate comes first"
        asked = np.flatnonzero(batch.spectrum.usable & np.isfinite(shells) & ~batch.seen.offset)
        spectra = pair_spectra(batch, asked)
        scaled = scale(spectra)
        return ClassifiedBatch(batch, asked, spectra, scaled, self._model.classify(spectra, scaled))


def pair_spectra(batch: ResonanceBatch, rows: IntArray) -> PairSpectra:
    """The spectra of some pairs of a batch, with what the physical estimate sees in them."""
    spectrum, window = batch.spectrum, batch.spectrum.window
    assert batch.seen is not None, "the physical estimate comes first"
    power = spectrum.log_power
    return PairSpectra(
        frequency_Hz=spectrum.frequency_Hz,
        cross_phase_rad=spectrum.cross_phase_rad[rows],
        amplitude_ratio=spectrum.amplitude_ratio[rows],
        coherence=spectrum.coherence[rows],
        log_power=None if power is None else power[window.station_index[rows]],
        smoothing_bins=spectrum.smoothing_bins[rows],
        step_s=np.full(rows.size, window.step_ns / SECOND_NS),
        l_shell=l_shells(window.pairs)[rows],
        seen=batch.seen.rows(rows),
    )
