"""The physical estimate of a field line resonance: no training, one model, error bars.

A bank of resonance models is held against each spectrum; the best is refined by least squares
(`science.hodograph`) and accepted when it explains the spectrum better than the straight lines that clocks,
propagation and noise draw. A ramp through zero phase over a wide coherent band is a clock offset
(`science.timing`) and flags the pair instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import stats

from monitor.science.hodograph import HodographFit, Observation, fit, smoothed_model
from monitor.science.spectra import independent_averages
from monitor.science.timing import TimingOffset, timing_offset
from monitor.types import BoolArray, FloatArray, IntArray, RealArray

# Scatter of real spectra about any smooth model, beyond what their coherence explains. Local noise biases the
# amplitude ratio and leaves the phase alone, so the ratio is trusted less.
_PHASE_ERROR_RAD = 0.1
_RATIO_ERROR = 0.2
# Smoothed bins repeat their neighbours: every third is enough.
_STRIDE = 3
_CHANCE = 0.01
_BANK_WIDTHS = (0.06, 0.11, 0.2, 0.35, 0.6)
_BANK_HALF_SPACINGS = (0.12, 0.25, 0.5, 0.9, 1.6)
_BANK_STEP = 1.04
_FEWEST_DATA = 8.0
_UNKNOWN_L_BAND_HZ = (2.0e-3, 80.0e-3)


@dataclass(frozen=True, slots=True)
class ResonanceParameters:
    """What it takes to accept a resonance, or to call a ramp a clock offset.

    Attributes
    ----------
    significance : float
        Chance with which the straight lines would lose so clearly to the resonance model at one frequency.
        A reversed (PBL) resonance pages people and must pass a tenth of it.
    minimum_coherence : float
        Smallest mean magnitude-squared coherence within a resonance width of the peak.
    timing_offset_s : float
        Clock offsets from here on flag the pair.
    timing_bandwidth_Hz : float
        Width of the coherent band without which a ramp is not called an offset.
    """

    significance: float = 0.05
    minimum_coherence: float = 0.3
    timing_offset_s: float = 1.5
    timing_bandwidth_Hz: float = 30.0e-3


@dataclass(frozen=True, slots=True)
class PhysicalEstimate:
    """The estimate for p pairs (arrays of shape (p,); unknown is NaN).

    Attributes
    ----------
    accepted, reversed, offset, incoherent : ndarray of bool
        A resonance was found; its phase peak is a minimum (plasmapause); the clocks differ; less than half of
        the band is coherent. `accepted` and `offset` exclude each other.
    frequency_Hz, sigma_Hz : ndarray
        Of the best resonance model, accepted or not, and its standard error.
    cross_phase_rad, coherence : ndarray
        Cross-phase of the fitted model at its peak (signed), and mean coherence around it.
    evidence : ndarray
        Fall of χ² from the straight lines to the model, in units of the scatter.
    timing : TimingOffset
    """

    accepted: BoolArray
    reversed: BoolArray
    offset: BoolArray
    incoherent: BoolArray
    frequency_Hz: FloatArray
    sigma_Hz: FloatArray
    cross_phase_rad: FloatArray
    coherence: FloatArray
    evidence: FloatArray
    timing: TimingOffset


def expected_frequency_Hz(l_shell: FloatArray) -> FloatArray:
    """Rough fundamental at L, midway between plasmasphere and trough; NaN for unknown L.

    It only chooses the width of the smoothing. Densities: Sheeley et al. (2001), doi:10.1029/2000JA000286,
    times a mean ion mass of 1.5; scaled from 20 mHz at 705 amu cm⁻³ and L = 2.9.
    """
    plasmasphere, trough = _density_amu_cm3(l_shell)
    return _scaled_frequency_Hz(l_shell, 1.5 * np.sqrt(plasmasphere * trough))


def search_band_Hz(l_shell: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest frequency that a resonance at L may have; shape like `l_shell`.

    From four times the mean plasmasphere (heavy ions, dense days) to a tenth of the mean trough (which lets the
    third harmonic of an emptied field line in). Unknown L searches 2–80 mHz.
    """
    plasmasphere, trough = _density_amu_cm3(l_shell)
    lowest = _scaled_frequency_Hz(l_shell, 4.0 * plasmasphere)
    highest = _scaled_frequency_Hz(l_shell, 0.1 * trough)
    low, high = _UNKNOWN_L_BAND_HZ
    return np.nan_to_num(lowest, nan=low), np.nan_to_num(highest, nan=high)


def estimate(
    frequency_Hz: FloatArray,
    cross_phase_rad: RealArray,
    amplitude_ratio: RealArray,
    coherence: RealArray,
    smoothing_bins: IntArray,
    l_shell: FloatArray,
    parameters: ResonanceParameters,
) -> PhysicalEstimate:
    """Find the resonance, or the clock offset, in each spectrum.

    Parameters
    ----------
    frequency_Hz : ndarray, shape (f,)
        Evenly spaced.
    cross_phase_rad, amplitude_ratio, coherence : ndarray, shape (p, f)
        As from `spectra.cross_spectra`; NaN is masked.
    smoothing_bins : ndarray, shape (p,)
    l_shell : ndarray, shape (p,)
        NaN where unknown.
    parameters : ResonanceParameters
    """
    observed = observe(frequency_Hz, cross_phase_rad, amplitude_ratio, coherence, smoothing_bins)
    lowest, highest = search_band_Hz(l_shell)
    candidate = _search(observed, lowest, highest)
    turned = observed.rows(np.arange(l_shell.size), candidate.reversed)
    fitted = fit(turned, candidate.resonance_Hz, candidate.width_Hz, candidate.half_spacing)
    evidence = candidate.gain / np.maximum(1.0, fitted.chi2 / fitted.dof)
    gamma2 = np.nan_to_num(np.asarray(coherence[:, ::_STRIDE], dtype=np.float64))
    peak_coherence = _mean_around(observed.frequency_Hz, gamma2, fitted.frequency_Hz, fitted.width_Hz)
    accepted = _acceptable(fitted, candidate, evidence, peak_coherence, parameters)
    accepted &= (fitted.frequency_Hz > 0.9 * lowest) & (fitted.frequency_Hz < 1.1 * highest)
    timing = timing_offset(observed)
    offset = ~accepted & _is_offset(timing, parameters, sigmas=5.0, scatter=2.0)
    if accepted.any():
        # A resonance on top of a clock offset: the ramp shows in what the resonance leaves over.
        rows = np.flatnonzero(accepted)
        left = timing_offset(_without_model(observed.rows(rows), fitted, candidate.reversed, rows))
        ramp = _is_offset(left, parameters, sigmas=8.0, scatter=1.5)
        accepted[rows], offset[rows] = ~ramp, ramp
    inside = (observed.frequency_Hz >= lowest[:, None]) & (observed.frequency_Hz <= highest[:, None])
    inside &= np.isfinite(np.asarray(cross_phase_rad[:, ::_STRIDE]))
    coherent = ((observed.phase_weight > 0.0) & inside).sum(axis=1)
    return PhysicalEstimate(
        accepted=accepted,
        reversed=candidate.reversed,
        offset=offset,
        incoherent=coherent < 0.5 * inside.sum(axis=1),
        frequency_Hz=fitted.frequency_Hz,
        sigma_Hz=fitted.sigma_Hz,
        cross_phase_rad=np.where(candidate.reversed, -2.0, 2.0) * np.arctan(fitted.half_spacing),
        coherence=peak_coherence,
        evidence=evidence,
        timing=timing,
    )


def observe(
    frequency_Hz: FloatArray,
    cross_phase_rad: RealArray,
    amplitude_ratio: RealArray,
    coherence: RealArray,
    smoothing_bins: IntArray,
) -> Observation:
    """Turn spectra into data with error bars: var = (1 − γ²) / (2 ν γ²) for phase and log ratio alike.

    ν is the number of independent averages. Bins whose coherence could be chance (1 %) weigh nothing.
    """
    at = slice(None, None, _STRIDE)
    gamma2 = np.nan_to_num(np.asarray(coherence[:, at], dtype=np.float64))
    averages = independent_averages(smoothing_bins)[:, None]
    variance = (1.0 - gamma2) / (2.0 * averages * np.maximum(gamma2, 1e-6))
    repeats = np.maximum(1.0, smoothing_bins[:, None] / _STRIDE)
    phase = np.asarray(cross_phase_rad[:, at], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log(np.asarray(amplitude_ratio[:, at], dtype=np.float64))
    chance = 1.0 - _CHANCE ** (1.0 / np.maximum(averages - 1.0, 1e-3))
    told = (gamma2 > chance) & np.isfinite(phase) & np.isfinite(log_ratio)
    return Observation(
        frequency_Hz=frequency_Hz[at],
        phase_rad=np.where(told, phase, 0.0),
        log_ratio=np.where(told, log_ratio, 0.0),
        phase_weight=np.where(told, 1.0 / ((variance + _PHASE_ERROR_RAD**2) * repeats), 0.0),
        ratio_weight=np.where(told, 1.0 / ((variance + _RATIO_ERROR**2) * repeats), 0.0),
        smoothing_Hz=smoothing_bins * (frequency_Hz[1] - frequency_Hz[0]),
    )


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The best model of the bank for each pair (arrays of shape (p,))."""

    resonance_Hz: FloatArray
    width_Hz: FloatArray
    half_spacing: FloatArray
    reversed: BoolArray
    gain: FloatArray


@dataclass(frozen=True, slots=True)
class _Templates:
    """Models at one resonance frequency over the bins of its window (arrays of shape (t,) and (t, k))."""

    resonance_Hz: float
    bins: slice
    width_Hz: FloatArray
    half_spacing: FloatArray
    phase_rad: FloatArray
    log_ratio: FloatArray


@lru_cache(maxsize=32)
def _bank(first_Hz: float, spacing_Hz: float, count: int, smoothing_Hz: float) -> tuple[_Templates, ...]:
    """All templates for one frequency grid and one smoothing."""
    frequency: FloatArray = first_Hz + spacing_Hz * np.arange(count, dtype=np.float64)
    widths, half_spacings = np.array(_BANK_WIDTHS), np.array(_BANK_HALF_SPACINGS)
    width, spacing = np.repeat(widths, half_spacings.size), np.tile(half_spacings, widths.size)
    bank = []
    steps = int(np.log(frequency[-1] / frequency[0]) / np.log(_BANK_STEP))
    for centre in (frequency[0] * _BANK_STEP ** np.arange(1, steps)).tolist():
        inside = np.flatnonzero((frequency >= 0.5 * centre) & (frequency <= 2.0 * centre))
        if inside.size < _FEWEST_DATA / 2:
            continue
        bins = slice(int(inside[0]), int(inside[-1]) + 1)
        models = np.full(width.size, centre), width * centre, spacing, np.full(width.size, smoothing_Hz)
        bank.append(_Templates(centre, bins, models[1], spacing, *smoothed_model(frequency[bins], *models)))
    return tuple(bank)


def _search(observed: Observation, lowest_Hz: FloatArray, highest_Hz: FloatArray) -> _Candidates:
    """Hold the bank, upright and reversed, against every spectrum; keep what gains most over straight lines."""
    pairs = lowest_Hz.size
    best = _Candidates(
        resonance_Hz=np.sqrt(lowest_Hz * highest_Hz),
        width_Hz=0.2 * np.sqrt(lowest_Hz * highest_Hz),
        half_spacing=np.full(pairs, 0.5),
        reversed=np.zeros(pairs, dtype=np.bool_),
        gain=np.full(pairs, -np.inf),
    )
    frequency = observed.frequency_Hz
    spacing = float(frequency[1] - frequency[0])
    for smoothing in np.unique(observed.smoothing_Hz).tolist():
        same = np.flatnonzero(observed.smoothing_Hz == smoothing)
        for templates in _bank(float(frequency[0]), spacing, frequency.size, smoothing):
            wanted = (lowest_Hz[same] <= templates.resonance_Hz) & (
                templates.resonance_Hz <= highest_Hz[same]
            )
            if wanted.any():
                _hold_against(observed, templates, same[wanted], best)
    return replace(best, gain=np.where(np.isfinite(best.gain), best.gain, 0.0))


def _hold_against(observed: Observation, templates: _Templates, rows: IntArray, best: _Candidates) -> None:
    """Compare one frequency's templates with some of the pairs; write what is better into `best`.

    All sums of squares are matrix products, so that thousands of pairs cost a few of them.
    """
    frequency = observed.frequency_Hz[templates.bins]
    phase_weight = observed.phase_weight[rows, templates.bins]
    ratio_weight = observed.ratio_weight[rows, templates.bins]
    phase, log_ratio = observed.phase_rad[rows, templates.bins], observed.log_ratio[rows, templates.bins]
    lines = _line_chi2(frequency, phase_weight, phase) + _line_chi2(frequency, ratio_weight, log_ratio)
    weighted_phase, weighted_ratio = phase_weight * phase, ratio_weight * log_ratio
    data_power = (weighted_phase * phase).sum(axis=1) + (weighted_ratio * log_ratio).sum(axis=1)
    model_power = phase_weight @ (templates.phase_rad**2).T + ratio_weight @ (templates.log_ratio**2).T
    product = weighted_phase @ templates.phase_rad.T + weighted_ratio @ templates.log_ratio.T
    total = np.maximum(ratio_weight.sum(axis=1), 1e-30)[:, None]
    data_mean, model_mean = weighted_ratio.sum(axis=1)[:, None], ratio_weight @ templates.log_ratio.T
    for turned, sign in ((False, 1.0), (True, -1.0)):
        chi2 = data_power[:, None] - 2.0 * sign * product + model_power
        chi2 -= (data_mean - sign * model_mean) ** 2 / total
        gain = lines[:, None] - chi2
        choice = gain.argmax(axis=1)
        top = gain[np.arange(rows.size), choice]
        better = top > best.gain[rows]
        at, chosen = rows[better], choice[better]
        best.gain[at], best.reversed[at] = top[better], turned
        best.resonance_Hz[at] = templates.resonance_Hz
        best.width_Hz[at], best.half_spacing[at] = templates.width_Hz[chosen], templates.half_spacing[chosen]


def _line_chi2(frequency_Hz: FloatArray, weight: FloatArray, data: FloatArray) -> FloatArray:
    """χ² about the best straight line, row by row."""
    total = np.maximum(weight.sum(axis=1), 1e-30)
    centred = frequency_Hz - ((weight @ frequency_Hz) / total)[:, None]
    slope = (weight * centred * data).sum(axis=1) / np.maximum((weight * centred**2).sum(axis=1), 1e-30)
    mean = (weight * data).sum(axis=1) / total
    chi2: FloatArray = (weight * (data - mean[:, None] - slope[:, None] * centred) ** 2).sum(axis=1)
    return chi2


def _acceptable(
    fitted: HodographFit,
    candidate: _Candidates,
    evidence: FloatArray,
    peak_coherence: FloatArray,
    parameters: ResonanceParameters,
) -> BoolArray:
    """Which fits are resonances: significant, coherent, well placed, and seen in phase and amplitude alike."""
    chance = np.where(candidate.reversed, 0.1, 1.0) * parameters.significance
    accepted = evidence >= stats.chi2.isf(chance, 4)
    accepted &= fitted.dof + 4.0 >= _FEWEST_DATA
    accepted &= peak_coherence >= parameters.minimum_coherence
    accepted &= fitted.sigma_Hz <= 0.25 * fitted.frequency_Hz
    accepted &= (fitted.phase_share > 0.5) & (fitted.phase_share < 2.0)
    accepted &= (fitted.ratio_share > 0.35) & (fitted.ratio_share < 3.0)
    result: BoolArray = accepted
    return result


def _is_offset(
    timing: TimingOffset, parameters: ResonanceParameters, *, sigmas: float, scatter: float
) -> BoolArray:
    """Which ramps are clock offsets: large, certain, straight, over a wide coherent band."""
    offset = np.abs(np.nan_to_num(timing.offset_s))
    result: BoolArray = (
        (offset >= parameters.timing_offset_s)
        & (offset >= sigmas * timing.sigma_s)
        & (timing.scatter <= scatter)
        & (timing.bandwidth_Hz >= parameters.timing_bandwidth_Hz)
    )
    return result


def _without_model(
    observed: Observation, fitted: HodographFit, turned: BoolArray, rows: IntArray
) -> Observation:
    """The data of these pairs with the phase of their resonance taken out and its neighbourhood masked."""
    phase, _ = smoothed_model(
        observed.frequency_Hz,
        fitted.frequency_Hz[rows],
        fitted.width_Hz[rows],
        fitted.half_spacing[rows],
        observed.smoothing_Hz,
    )
    near = np.abs(observed.frequency_Hz - fitted.frequency_Hz[rows, None]) < fitted.width_Hz[rows, None]
    left = observed.phase_rad - np.where(turned[rows], -1.0, 1.0)[:, None] * phase
    return replace(observed, phase_rad=left, phase_weight=np.where(near, 0.0, observed.phase_weight))


def _mean_around(
    frequency_Hz: FloatArray, values: FloatArray, centre_Hz: FloatArray, reach_Hz: FloatArray
) -> FloatArray:
    """Mean of each row within `reach` of its centre (at least the nearest bins), shape (p,)."""
    reach = np.maximum(reach_Hz, 1.5 * (frequency_Hz[1] - frequency_Hz[0]))
    near = np.abs(frequency_Hz - centre_Hz[:, None]) <= reach[:, None]
    mean: FloatArray = (values * near).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
    return mean


def _density_amu_cm3(l_shell: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean equatorial density of plasmasphere and trough at L (Sheeley et al. 2001), ion mass 1."""
    scale = 3.0 / l_shell
    return 1390.0 * scale**4.83, 124.0 * scale**4.0


def _scaled_frequency_Hz(l_shell: FloatArray, density_amu_cm3: FloatArray) -> FloatArray:
    """Fundamental by the scaling f ∝ L⁻⁴ ρ^(−1/2) from 20 mHz at L = 2.9 and 705 amu cm⁻³."""
    scaled: FloatArray = 20.0e-3 * (2.9 / l_shell) ** 4 * np.sqrt(705.0 / density_amu_cm3)
    return scaled
