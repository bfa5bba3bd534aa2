"""From windows to cross-phase spectra: conditioning, one FFT a station, one cross-spectrum a pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.science.conditioning import ConditioningParameters, condition
from monitor.science.resonance import expected_frequency_Hz
from monitor.science.spectra import (
    POWER_BINS,
    SpectrumParameters,
    above_nyquist_share,
    cross_spectra,
    log_powers,
    smoothing_for_frequency,
    station_spectra,
)
from monitor.types import SECOND_NS, FloatArray, Json, Pair, RealArray, SpectrumBatch, Tick, WindowBatch


class SpectrumStage:
    """Conditions the windows of a batch and computes the spectra of its pairs. Keeps no state."""

    lookback_ns = 0

    def __init__(self, conditioning: ConditioningParameters, spectrum: SpectrumParameters) -> None:
        self._conditioning = conditioning
        self._spectrum = spectrum

    def feed(self, items: Sequence[WindowBatch] | Tick) -> list[SpectrumBatch]:
        """One `SpectrumBatch` for each batch of windows."""
        return [] if isinstance(items, Tick) else [self._spectra(window) for window in items]

    def snapshot(self) -> Json:
        """Nothing to keep."""
        return {"version": 1}

    def restore(self, state: Json) -> None:
        """Nothing to take up."""

    def _spectra(self, window: WindowBatch) -> SpectrumBatch:
        length_s, step_s = window.length_ns / SECOND_NS, window.step_ns / SECOND_NS
        differences, quality = condition(window.values_nT, window.coverage, step_s, self._conditioning)
        bins = self._spectrum.bins(length_s)
        frequency = bins / length_s
        smoothing = smoothing_for_frequency(
            expected_frequency_Hz(l_shells(window.pairs)), length_s, self._spectrum.smoothing_bins
        )
        margin = max(self._spectrum.smoothing_bins, POWER_BINS) // 2
        coefficients = station_spectra(differences, int(bins[-1]) + margin)
        pole, equator = window.station_index[:, 0], window.station_index[:, 1]
        delay_s = (window.offset_ns[equator] - window.offset_ns[pole]) / SECOND_NS
        phase, ratio, coherence = cross_spectra(
            coefficients, window.station_index, smoothing, bins, -delay_s, length_s
        )
        usable = quality.usable[pole] & quality.usable[equator]
        masked = above_nyquist_share(frequency, step_s)
        return SpectrumBatch(
            window=window,
            quality=quality,
            frequency_Hz=frequency,
            cross_phase_rad=_masked(phase, masked),
            amplitude_ratio=_masked(ratio, masked),
            coherence=_masked(coherence, masked),
            smoothing_bins=smoothing,
            usable=usable,
            log_power=_masked(log_powers(coefficients, bins, length_s, step_s), masked),
        )


def l_shells(pairs: Sequence[Pair]) -> FloatArray:
    """L of each pair, NaN where unknown, shape (p,)."""
    return np.array([np.nan if pair.l_shell is None else pair.l_shell for pair in pairs], dtype=np.float64)


def _masked(spectra: RealArray, masked: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> RealArray:
    if masked.any():
        spectra[:, masked] = np.nan
    return spectra
