"""From spectra to the physical estimate: a label with its reason, a frequency with its error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.science.resonance import PhysicalEstimate, ResonanceParameters, estimate
from monitor.stages.spectrum import l_shells
from monitor.types import Json, Label, ResonanceBatch, SpectrumBatch, Tick


class ResonanceStage:
    """Estimates the resonances of whole batches. Keeps no state."""

    lookback_ns = 0

    def __init__(self, parameters: ResonanceParameters) -> None:
        self._parameters = parameters

    def feed(self, items: Sequence[SpectrumBatch] | Tick) -> list[ResonanceBatch]:
        """One `ResonanceBatch` for each batch of spectra."""
        return [] if isinstance(items, Tick) else [self._estimate(spectrum) for spectrum in items]

    def snapshot(self) -> Json:
        """Nothing to keep."""
        return {"version": 1}

    def restore(self, state: Json) -> None:
        """Nothing to take up."""

    def _estimate(self, spectrum: SpectrumBatch) -> ResonanceBatch:
        found = estimate(
            spectrum.frequency_Hz,
            spectrum.cross_phase_rad,
            spectrum.amplitude_ratio,
            spectrum.coherence,
            spectrum.smoothing_bins,
            l_shells(spectrum.window.pairs),
            self._parameters,
        )
        labels, reasons = zip(
            *(_label(spectrum, found, row) for row in range(spectrum.usable.size)), strict=True
        )
        resonant = found.accepted & spectrum.usable
        timed = spectrum.usable & np.isfinite(found.timing.sigma_s)
        return ResonanceBatch(
            spectrum=spectrum,
            label=labels,
            reason=reasons,
            frequency_Hz=np.where(resonant, found.frequency_Hz, np.nan),
            sigma_Hz=np.where(resonant, found.sigma_Hz, np.nan),
            cross_phase_rad=np.where(resonant, found.cross_phase_rad, np.nan),
            coherence=np.where(resonant, found.coherence, np.nan),
            timing_offset_s=np.where(timed, found.timing.offset_s, np.nan),
            timing_sigma_s=np.where(timed, found.timing.sigma_s, np.nan),
            seen=found.seen,
        )


def _label(spectrum: SpectrumBatch, found: PhysicalEstimate, row: int) -> tuple[Label, str | None]:
    """Label of one pair, and why there is no resonance."""
    if not spectrum.usable[row]:
        return Label.NO_FREQ, _unusable(spectrum, row)
    if found.accepted[row]:
        return (Label.PBL if found.reversed[row] else Label.FREQ), None
    if found.offset[row]:
        return Label.NO_FREQ, "timing_offset"
    return Label.NO_FREQ, "incoherent" if found.incoherent[row] else "no_resonance"


def _unusable(spectrum: SpectrumBatch, row: int) -> str:
    """What rules the pair's window out: the first that holds for either station."""
    both = spectrum.window.station_index[row]
    notes = frozenset().union(*(spectrum.window.notes[station] for station in both))
    if "step_mismatch" in notes:
        return "step_mismatch"
    refused = both[~spectrum.quality.usable[both]]
    # A window without samples is flat too: what is missing comes first.
    for station in refused.tolist():
        if spectrum.quality.flat[station] and spectrum.quality.coverage[station] > 0.5:
            return "flat"
    spikes = spectrum.quality.spikes[refused] > 0
    gaps = spectrum.quality.longest_gap_s[refused] > 0.0
    return "spikes" if np.all(spikes & ~gaps) else "gap"
