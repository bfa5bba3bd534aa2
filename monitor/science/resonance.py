"""The physical estimate of a field line resonance: no training, one model, error bars.

A bank of resonance models is held against each spectrum; the best is refined by least squares
(`science.hodograph`) and accepted when it explains the spectrum better than the straight lines that clocks,
propagation and noise draw. A ramp through zero phase over a wide coherent band is a clock offset
(`science.timing`) and flags the pair instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from monitor.science.bank import Candidates, search
from monitor.science.hodograph import HodographFit, Observation, fit, smoothed_model
from monitor.science.spectra import independent_averages
from monitor.science.timing import TimingOffset, timing_offset, without_ramp
from monitor.types import BoolArray, FloatArray, GainProfile, IntArray, RealArray, ResonanceEvidence

# Scatter of real spectra about any smooth model, beyond what their coherence explains. Local noise biases the
# amplitude ratio and leaves the phase alone, so the ratio is trusted less.
_PHASE_ERROR_RAD = 0.1
_RATIO_ERROR = 0.2
# Smoothed bins repeat their neighbours: every third is enough.
_STRIDE = 3
_CHANCE = 0.01
_FEWEST_DATA = 8.0
# χ² per datum up to which a ramp is straight.
_STRAIGHT = 2.0
_ROUNDS = 3
# A real resonance is seldom as even as the model. A third of the way from the fit to the top of the phase is taken.
_PEAK_SHARE = 1.0 / 3.0
_PEAK_TRIALS = 25
_PEAK_BELL = 0.2
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
        The ramp of the whole coherent band, or of what an accepted resonance leaves over outside its peak.
    profile : GainProfile
        Gains of all models of the bank, frequency by frequency.
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
    profile: GainProfile

    @property
    def seen(self) -> ResonanceEvidence:
        """What the learned stages build on."""
        return ResonanceEvidence(
            accepted=self.accepted,
            reversed=self.reversed,
            frequency_Hz=self.frequency_Hz,
            sigma_Hz=self.sigma_Hz,
            cross_phase_rad=self.cross_phase_rad,
            coherence=self.coherence,
            evidence=self.evidence,
            timing_offset_s=self.timing.offset_s,
            timing_sigma_s=self.timing.sigma_s,
            bandwidth_Hz=self.timing.bandwidth_Hz,
            scatter=self.timing.scatter,
            profile=self.profile,
            offset=self.offset,
        )


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
    gamma2 = np.nan_to_num(np.asarray(coherence[:, ::_STRIDE], dtype=np.float64))
    band = search_band_Hz(l_shell)
    found = _attempt(observed, gamma2, band, parameters)
    timing = timing_offset(observed)
    wide = timing.bandwidth_Hz >= parameters.timing_bandwidth_Hz
    resonant = np.flatnonzero(found.accepted)
    if resonant.size:
        # The phase of a resonance is no ramp: what it leaves over tells the clocks.
        left = _without_model(observed.rows(resonant), found.fitted.rows(resonant), found.reversed[resonant])
        timing = timing.replaced(resonant, timing_offset(left))
    offset = ~found.accepted & _is_offset(timing, parameters, sigmas=5.0)
    doubtful = np.abs(np.nan_to_num(timing.offset_s)) >= 0.5 * parameters.timing_offset_s
    rows = np.flatnonzero(wide & doubtful & ~offset)
    if rows.size:
        flagged, behind = _offset_behind(
            observed.rows(rows), gamma2[rows], (band[0][rows], band[1][rows]), timing.rows(rows), parameters
        )
        offset[rows[flagged]] = True
        timing = timing.replaced(rows[flagged], behind.rows(flagged))
    inside = (observed.frequency_Hz >= band[0][:, None]) & (observed.frequency_Hz <= band[1][:, None])
    inside &= np.isfinite(np.asarray(cross_phase_rad[:, ::_STRIDE]))
    coherent = ((observed.phase_weight > 0.0) & inside).sum(axis=1)
    return PhysicalEstimate(
        accepted=found.accepted & ~offset,
        reversed=found.reversed,
        offset=offset,
        incoherent=coherent < 0.5 * inside.sum(axis=1),
        frequency_Hz=found.frequency_Hz,
        sigma_Hz=found.sigma_Hz,
        cross_phase_rad=np.where(found.reversed, -2.0, 2.0) * np.arctan(found.fitted.half_spacing),
        coherence=found.coherence,
        evidence=found.evidence,
        timing=timing,
        profile=found.profile,
    )


def observe(
    frequency_Hz: FloatArray,
    cross_phase_rad: RealArray,
    amplitude_ratio: RealArray,
    coherence: RealArray,
    smoothing_bins: IntArray,
) -> Observation:
    """Turn spectra into data with error bars: var = (1 − γ²) / (2 ν γ²) for phase and log ratio alike.

    ν is the number of independent averages. Bins whose coherence could be chance (1 %) weigh nothing; where only the
    ratio is unknown, the phase still speaks.
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
    told = (gamma2 > chance) & np.isfinite(phase)
    compared = told & np.isfinite(log_ratio)
    return Observation(
        frequency_Hz=frequency_Hz[at],
        phase_rad=np.where(told, phase, 0.0),
        log_ratio=np.where(compared, log_ratio, 0.0),
        phase_weight=np.where(told, 1.0 / ((variance + _PHASE_ERROR_RAD**2) * repeats), 0.0),
        ratio_weight=np.where(compared, 1.0 / ((variance + _RATIO_ERROR**2) * repeats), 0.0),
        smoothing_Hz=smoothing_bins * (frequency_Hz[1] - frequency_Hz[0]),
    )


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The best resonance model of each pair, and whether it is one (arrays of shape (p,)).

    `frequency_Hz` and `sigma_Hz` take in where the phase itself peaks; the model stays as it was fitted.
    """

    fitted: HodographFit
    frequency_Hz: FloatArray
    sigma_Hz: FloatArray
    reversed: BoolArray
    evidence: FloatArray
    coherence: FloatArray
    accepted: BoolArray
    profile: GainProfile


def _attempt(
    observed: Observation,
    gamma2: FloatArray,
    band_Hz: tuple[FloatArray, FloatArray],
    parameters: ResonanceParameters,
) -> _Attempt:
    """Search, fit and judge."""
    candidate, profile = search(observed, *band_Hz)
    turned = observed.rows(np.arange(gamma2.shape[0]), candidate.reversed)
    fitted = fit(turned, candidate.resonance_Hz, candidate.width_Hz, candidate.half_spacing)
    evidence = candidate.gain / np.maximum(1.0, fitted.chi2 / fitted.dof)
    coherence = _mean_around(observed.frequency_Hz, gamma2, fitted.frequency_Hz, fitted.width_Hz)
    shift = _PEAK_SHARE * (_phase_peak_Hz(turned, fitted) - fitted.frequency_Hz)
    frequency, sigma = fitted.frequency_Hz + shift, np.hypot(fitted.sigma_Hz, shift)
    accepted = _acceptable(fitted, candidate, evidence, coherence, parameters)
    accepted &= sigma <= 0.25 * frequency
    accepted &= (frequency > 0.9 * band_Hz[0]) & (frequency < 1.1 * band_Hz[1])
    return _Attempt(fitted, frequency, sigma, candidate.reversed, evidence, coherence, accepted, profile)


def _phase_peak_Hz(observed: Observation, fitted: HodographFit) -> FloatArray:
    """Where the cross-phase itself peaks within a resonance width of the fit, shape (p,).

    The phase is averaged by a bell a fifth of the width wide; a parabola places the top between the trials.
    """
    trials = np.linspace(-1.0, 1.0, _PEAK_TRIALS)
    centre, width = fitted.frequency_Hz[:, None], fitted.width_Hz[:, None]
    from_fit = (observed.frequency_Hz - centre) / width
    heights = np.empty((trials.size, fitted.frequency_Hz.size))
    for row, trial in enumerate(trials.tolist()):
        bell = observed.phase_weight * np.exp(-0.5 * ((from_fit - trial) / _PEAK_BELL) ** 2)
        heights[row] = (bell * observed.phase_rad).sum(axis=1) / np.maximum(bell.sum(axis=1), 1e-30)
    top = np.clip(heights.argmax(axis=0), 1, trials.size - 2)
    column = np.arange(top.size)
    before, at, after = heights[top - 1, column], heights[top, column], heights[top + 1, column]
    bend = np.minimum(before - 2.0 * at + after, -1e-12)
    offset = np.clip(0.5 * (before - after) / bend, -1.0, 1.0) * (trials[1] - trials[0])
    peak: FloatArray = fitted.frequency_Hz + fitted.width_Hz * (trials[top] + offset)
    return peak


def _acceptable(
    fitted: HodographFit,
    candidate: Candidates,
    evidence: FloatArray,
    peak_coherence: FloatArray,
    parameters: ResonanceParameters,
) -> BoolArray:
    """Which fits are resonances: significant, coherent, well placed, and seen in phase and amplitude alike."""
    chance = np.where(candidate.reversed, 0.1, 1.0) * parameters.significance
    accepted = evidence >= special.chdtri(4, chance)
    accepted &= fitted.dof + 4.0 >= _FEWEST_DATA
    accepted &= peak_coherence >= parameters.minimum_coherence
    accepted &= (fitted.phase_share > 0.5) & (fitted.phase_share < 2.0)
    accepted &= (fitted.ratio_share > 0.35) & (fitted.ratio_share < 3.0)
    result: BoolArray = accepted
    return result


def _is_offset(
    timing: TimingOffset,
    parameters: ResonanceParameters,
    *,
    sigmas: float,
    margin_s: float = 0.0,
    wider: float = 1.0,
) -> BoolArray:
    """Which ramps are clock offsets: large, certain, straight, over a wide coherent band."""
    offset = np.abs(np.nan_to_num(timing.offset_s))
    result: BoolArray = (
        (offset >= parameters.timing_offset_s + margin_s)
        & (offset >= sigmas * timing.sigma_s)
        & (timing.scatter <= _STRAIGHT)
        & (timing.bandwidth_Hz >= wider * parameters.timing_bandwidth_Hz)
    )
    return result


def _offset_behind(
    observed: Observation,
    gamma2: FloatArray,
    band_Hz: tuple[FloatArray, FloatArray],
    timing: TimingOffset,
    parameters: ResonanceParameters,
) -> tuple[BoolArray, TimingOffset]:
    """Tell which pairs show a resonance on top of a clock offset, and the offset.

    Take the ramp out, fit the resonance, fit the ramp to the rest.

    A few rounds settle it. The far wings of a resonance and its harmonics look like a ramp of up to half a second,
    and more where they fill a narrow band: so the offset must exceed its limit by that, over a wider band.
    """
    for _ in range(_ROUNDS):
        attempt = _attempt(without_ramp(observed, timing.offset_s), gamma2, band_Hz, parameters)
        timing = timing_offset(_without_model(observed, attempt.fitted, attempt.reversed))
    ramp = _is_offset(timing, parameters, sigmas=8.0, margin_s=0.5, wider=1.2)
    return attempt.accepted & ramp, timing


def _without_model(observed: Observation, fitted: HodographFit, turned: BoolArray) -> Observation:
    """The data with the phase of their resonance taken out and its neighbourhood masked."""
    phase, _ = smoothed_model(
        observed.frequency_Hz,
        fitted.frequency_Hz,
        fitted.width_Hz,
        fitted.half_spacing,
        observed.smoothing_Hz,
    )
    near = np.abs(observed.frequency_Hz - fitted.frequency_Hz[:, None]) < fitted.width_Hz[:, None]
    left = observed.phase_rad - np.where(turned, -1.0, 1.0)[:, None] * phase
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
