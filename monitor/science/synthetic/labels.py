"""Labels of two-hour windows by the physics of what was simulated, never by looking at the spectrum.

At each station the power of the resonant part within ±1.2 mHz of f stands against that of all the rest of the record
(other coherent waves, local noise, steps; spikes aside, which conditioning takes out). More than twice the rest at
both: `Freq`, or `PBL` where the poleward line rings faster. Less than a fifth: `NoFreq`. Else, and where a window is in
transition, `ambiguous`: the reason says why.

f is √(f_P f_E), where the phases of the two lines differ most (`synthetic.pairs`), averaged over the window as its
spectrum does: by the power that the resonance has at the time, under the taper.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy import fft

from monitor.science.spectra import NYQUIST_SHARE
from monitor.science.synthetic.pairs import HOP_NS, CaseSeries
from monitor.types import SECOND_NS, BoolArray, ComplexArray, FloatArray

LENGTH_NS: Final = 7200 * SECOND_NS
HALF_BAND_HZ: Final = 1.2e-3
DRIVEN, UNDRIVEN = 2.0, 0.2
"""Ratios of resonant power to the rest from which on there is a resonance, and below which there is none."""
LARGEST_CHANGE: Final = 0.2
"""Largest change of ln f over a window with a label: the spectrum of more shows two peaks or a smear."""
SMALLEST_PEAK_RAD: Final = np.radians(10.0)
"""Cross-phase below which the sign of the gradient is not to be seen: one bin's error at a coherence of 0.8."""
LARGEST_LAG_S: Final = 1.5
"""Difference of the clocks from which on the pair is flagged instead (`resonance.timing_offset_s`)."""
HIGHEST_HZ: Final = 100.0e-3
"""End of the band that the spectra reach."""
LONGEST_GAP_S: Final = 300.0
LOWEST_COVERAGE: Final = 0.9
"""Longest gap and least share of samples with which a window is judged."""
_LARGEST_SPIKE_SHARE = 0.01


class TruthLabel(StrEnum):
    """What a window shows; the first three are those of `types.Label`."""

    NO_FREQ = "NoFreq"
    FREQ = "Freq"
    PBL = "PBL"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class WindowTruth:
    """What is true in a window whatever its label.

    Attributes
    ----------
    frequency_Hz : float
        √(f_P f_E), averaged by power.
    centre_Hz : tuple of float
        Poleward, equatorward and midway field line at the centre of the window. Across a plasmapause the field
        line midway may ring elsewhere than the pair does.
    third_Hz : float or None
        The pair's third harmonic there; None where it has none.
    change : float
        Difference of the largest and the smallest ln f in the window.
    peak_phase_rad : float
        Cross-phase of the two oscillators alone at f and the centre: positive for a normal gradient.
    turns : bool
        The sign of the gradient changes in the window.
    local_snr : tuple of float
        Power of the resonance over the local part alone, poleward and equatorward.
    clock_difference_s : float
        Largest |lag of the equatorward clock − lag of the poleward| in the window.
    coverage : tuple of float
        Share of samples that are there and not dead, poleward and equatorward.
    l_shell, local_time_h : float
        Of the middle of the pair at the centre of the window.
    illumination : str
        `day`, `penumbra` or `night` at the centre.
    """

    frequency_Hz: float
    centre_Hz: tuple[float, float, float]
    third_Hz: float | None
    change: float
    peak_phase_rad: float
    turns: bool
    local_snr: tuple[float, float]
    clock_difference_s: float
    coverage: tuple[float, float]
    l_shell: float
    local_time_h: float
    illumination: str


@dataclass(frozen=True, slots=True)
class WindowLabel:
    """The label of the window that ends at `end_ns`.

    Attributes
    ----------
    seed : int
        Of the case.
    end_ns : int
    label : TruthLabel
    reason : str
        `Freq`, `PBL`: `driven`. `NoFreq`: `absent` (no oscillator), `masked_by_waves`, `masked_by_noise`, `gap`,
        `dead_channel`. `ambiguous`: `between` (a fifth to twice), `elsewhere` (masked at f, but
        a line or the third harmonic stands out), `gap`, `dead_channel`, `swapped_stations`, `out_of_band`, `spikes`,
        `clock`, `gradient_turns`, `frequency_changes`, `flat_gradient`.
    frequency_Hz : float or None
        Of `Freq` and `PBL` only.
    snr_poleward, snr_equatorward : float
        Power of the resonance over the rest.
    truth : WindowTruth
    """

    seed: int
    end_ns: int
    label: TruthLabel
    reason: str
    frequency_Hz: float | None
    snr_poleward: float
    snr_equatorward: float
    truth: WindowTruth


def label_window(series: CaseSeries, end_ns: int) -> WindowLabel:
    """Label the two hours that end at `end_ns`.

    Raises
    ------
    ValueError
        When the window is not within the case, or not on its samples.
    """
    window = series.window(end_ns, LENGTH_NS)
    inside = np.abs(series.times_ns - (end_ns - LENGTH_NS // 2)) <= LENGTH_NS // 2
    frequency = _mean_frequency_Hz(series, window, inside)
    powers = _Powers.of(series, window)
    snr = powers.over_rest(frequency)
    truth = _truth(series, end_ns, window, inside, frequency, powers.over_local(frequency))
    label, reason = _judge(series, window, snr, truth, powers)
    return WindowLabel(
        seed=series.case.seed,
        end_ns=end_ns,
        label=label,
        reason=reason,
        frequency_Hz=frequency if label in (TruthLabel.FREQ, TruthLabel.PBL) else None,
        snr_poleward=snr[0],
        snr_equatorward=snr[1],
        truth=truth,
    )


def _mean_frequency_Hz(series: CaseSeries, window: slice, inside: BoolArray) -> float:
    """Mean of √(f_P f_E) over the window, by the power of the weaker resonance under the taper."""
    pair = np.log(series.rings_Hz[inside, :2]).mean(axis=1)
    # One piece of the window for each time but the last: as the times, a block apart.
    pieces = LENGTH_NS // HOP_NS
    taper = np.hanning(window.stop - window.start)
    power = np.square(series.resonant_nT[:, window] * taper).reshape(2, pieces, -1).sum(axis=2).min(axis=0)
    if not power.sum() > 0.0:
        power = np.square(taper).reshape(pieces, -1).sum(axis=1)
    return float(np.exp(np.average(0.5 * (pair[:-1] + pair[1:]), weights=power)))


@dataclass(frozen=True, slots=True)
class _Powers:
    """Fourier coefficients of the parts of a window, each of shape (2, f): poleward, equatorward.

    They are of differences under a Hann taper, against the leakage of what is red; the gain of the difference is
    the same for all parts, and is undone.
    """

    frequency_Hz: FloatArray
    resonant: ComplexArray
    coherent: ComplexArray
    local: ComplexArray

    @classmethod
    def of(cls, series: CaseSeries, window: slice) -> _Powers:
        step_s = series.case.step_ns / SECOND_NS
        local = series.local_nT[:, window] + series.jumps_nT[:, window]
        rows = np.stack([series.resonant_nT[:, window], series.coherent_nT[:, window], local])
        differences = np.diff(rows, axis=2)
        differences -= differences.mean(axis=2, keepdims=True)
        count = differences.shape[2]
        spectra = fft.rfft(differences * np.hanning(count), axis=2)[:, :, 1:]
        frequency = np.asarray(fft.rfftfreq(count, step_s)[1:], dtype=np.float64)
        spectra /= 2.0 * np.sin(np.pi * frequency * step_s)
        return cls(frequency, spectra[0], spectra[1], spectra[2])

    def over_rest(self, frequency_Hz: float) -> tuple[float, float]:
        """Resonant power over all the rest within the band about a frequency, at both stations."""
        return self._ratio(self.resonant, self.coherent + self.local, frequency_Hz)

    def over_local(self, frequency_Hz: float) -> tuple[float, float]:
        """Resonant power over that of the local part."""
        return self._ratio(self.resonant, self.local, frequency_Hz)

    def visible(self, frequency_Hz: float) -> bool:
        """A line stands out at one station at least, and neither drowns in noise of its own."""
        common = self._ratio(self.resonant + self.coherent, self.local, frequency_Hz)
        return max(self.over_rest(frequency_Hz)) > DRIVEN and min(common) > UNDRIVEN

    def _ratio(self, above: ComplexArray, below: ComplexArray, frequency_Hz: float) -> tuple[float, float]:
        band = np.abs(self.frequency_Hz - frequency_Hz) <= HALF_BAND_HZ
        over, under = (np.square(np.abs(part[:, band])).sum(axis=1) for part in (above, below))
        # What is not there at all (no oscillators, a band above Nyquist) is no signal, whatever the noise.
        ratio = np.divide(over, under, out=np.where(over > 0.0, np.inf, 0.0), where=under > 0.0)
        poleward, equatorward = ratio.tolist()
        return poleward, equatorward


def _truth(
    series: CaseSeries,
    end_ns: int,
    window: slice,
    inside: BoolArray,
    frequency_Hz: float,
    local_snr: tuple[float, float],
) -> WindowTruth:
    case, centre_ns = series.case, end_ns - LENGTH_NS // 2
    at = int(np.argmin(np.abs(series.times_ns - centre_ns)))
    log_f, lag = np.log(series.rings_Hz[inside, :2]), series.clock_lag_s[inside]
    normal = log_f[:, 1] > log_f[:, 0]
    poleward, equatorward = (~(series.missing | series.dead)[:, window]).mean(axis=1).tolist()
    rings = series.rings_Hz[at].tolist()
    return WindowTruth(
        frequency_Hz=frequency_Hz,
        centre_Hz=(rings[0], rings[1], rings[2]),
        third_Hz=float(np.sqrt(series.thirds_Hz[at, :2].prod())) if case.third_harmonic else None,
        change=float(np.ptp(log_f.mean(axis=1))),
        peak_phase_rad=_peak_phase_rad(series.rings_Hz[at], series.quality[at]),
        turns=bool(normal.any() and not normal.all()),
        local_snr=local_snr,
        clock_difference_s=float(np.abs(lag[:, 1] - lag[:, 0]).max()),
        coverage=(poleward, equatorward),
        l_shell=case.l_shell,
        local_time_h=float(case.local_time_h(np.array([float(centre_ns)]))[0]),
        illumination=case.illumination(centre_ns),
    )


def _peak_phase_rad(rings_Hz: FloatArray, quality: FloatArray) -> float:
    """Cross-phase E − P of two oscillators at the geometric mean of their frequencies."""
    ratio = np.sqrt(rings_Hz[0] * rings_Hz[1]) / rings_Hz[:2]
    poleward, equatorward = np.arctan(quality * (ratio - 1.0 / ratio)).tolist()
    return float(poleward - equatorward)


def _judge(
    series: CaseSeries, window: slice, snr: tuple[float, float], truth: WindowTruth, powers: _Powers
) -> tuple[TruthLabel, str]:
    """Label and reason. What shows no resonance shows none whatever goes wrong; only then is asked what may hide it."""
    lost = _lost(series, window)
    if lost is not None and min(truth.coverage) < 0.5:
        return TruthLabel.NO_FREQ, lost
    weaker = min(snr)
    if series.case.coupling == 0.0:
        return TruthLabel.NO_FREQ, "absent"
    if weaker < UNDRIVEN:
        # Lines far apart, or a third harmonic, may stand out where the pair's own frequency is masked.
        others = [*truth.centre_Hz[:2], *([truth.third_Hz] if truth.third_Hz else [])]
        if any(powers.visible(other) for other in [truth.frequency_Hz, *others]):
            return TruthLabel.AMBIGUOUS, "elsewhere"
        noisy = min(truth.local_snr) < UNDRIVEN
        return TruthLabel.NO_FREQ, "masked_by_noise" if noisy else "masked_by_waves"
    if weaker <= DRIVEN:
        return TruthLabel.AMBIGUOUS, "between"
    hidden = lost or _hidden(series, window, truth)
    if hidden is not None:
        return TruthLabel.AMBIGUOUS, hidden
    return (TruthLabel.FREQ if truth.peak_phase_rad > 0.0 else TruthLabel.PBL), "driven"


def _lost(series: CaseSeries, window: slice) -> str | None:
    """Why too few samples are there for a spectrum, if so."""
    if series.dead[:, window].any():
        return "dead_channel"
    limit = LONGEST_GAP_S * SECOND_NS / series.case.step_ns
    for row in series.missing[:, window]:
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
        longest = (edges[1::2] - edges[::2]).max(initial=0)
        if longest > limit or row.mean() > 1.0 - LOWEST_COVERAGE:
            return "gap"
    return None


def _hidden(series: CaseSeries, window: slice, truth: WindowTruth) -> str | None:
    """Why a resonance that is there cannot have its label, if so."""
    step_s = series.case.step_ns / SECOND_NS
    highest = min(HIGHEST_HZ, NYQUIST_SHARE * 0.5 / step_s) - HALF_BAND_HZ
    if series.case.swapped_stations:
        return "swapped_stations"
    if truth.frequency_Hz > highest:
        return "out_of_band"
    spikes = np.count_nonzero(series.spikes_nT[:, window], axis=1)
    if spikes.max() > _LARGEST_SPIKE_SHARE * (window.stop - window.start):
        return "spikes"
    if truth.clock_difference_s >= LARGEST_LAG_S:
        return "clock"
    if truth.turns:
        return "gradient_turns"
    if truth.change > LARGEST_CHANGE:
        return "frequency_changes"
    if abs(truth.peak_phase_rad) < SMALLEST_PEAK_RAD:
        return "flat_gradient"
    return None
