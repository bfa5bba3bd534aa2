"""Windows, their spectra, and the physical estimate of the resonance."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum

from monitor.types.samples import BoolArray, Float32Array, FloatArray, IntArray, Pair, RealArray


class Label(StrEnum):
    """What a cross-phase spectrum shows (Foldes et al. 2023)."""

    NO_FREQ = "NoFreq"
    FREQ = "Freq"
    PBL = "PBL"


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """All windows that close together: one end, one step, each station's samples once for all its pairs.

    Attributes
    ----------
    pairs : tuple of Pair, length p
    stations : tuple of str, length s
    station_index : ndarray, shape (p, 2), int64
        Rows of `values_nT` that belong to the poleward and the equatorward station.
    end_ns, length_ns, step_ns : int
    values_nT : ndarray, shape (s, n), float64
        The component towards magnetic north (H); NaN is a gap.
    coverage : ndarray, shape (s,)
        Share of the window's samples that were there, at the step at which the station sends.
    offset_ns : ndarray, shape (s,), int64
        By how much the station's sample times lag the common grid (a station that samples at hh:mm:ss.3 has 0.3 s).
    notes : tuple of frozenset of str, length s
        What was done to the station's samples (`decimated`, `axes_unknown`, …); they go into the product's flags.
    """

    pairs: tuple[Pair, ...]
    stations: tuple[str, ...]
    station_index: IntArray
    end_ns: int
    length_ns: int
    step_ns: int
    values_nT: FloatArray
    coverage: FloatArray
    offset_ns: IntArray
    notes: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class StationQuality:
    """What conditioning found in one window, per station (arrays of shape (s,))."""

    coverage: FloatArray
    longest_gap_s: FloatArray
    spikes: IntArray
    flat: BoolArray
    usable: BoolArray


@dataclass(frozen=True, slots=True)
class SpectrumBatch:
    """Cross-spectra of the pairs of one `WindowBatch` on a fixed frequency grid.

    Conventions (Foldes et al. 2023): cross-phase = phase(equatorward) − phase(poleward), so that a normal
    resonance is a maximum; amplitude ratio = A(equatorward) / A(poleward), which rises through 1 there;
    `coherence` is the magnitude-squared coherence. What is masked or unusable is NaN.

    Attributes
    ----------
    window : WindowBatch
        Where the spectra come from (pairs, end, coverage, notes).
    quality : StationQuality
    frequency_Hz : ndarray, shape (f,)
    cross_phase_rad, amplitude_ratio, coherence : ndarray, shape (p, f)
    smoothing_bins : ndarray, shape (p,), int64
        Width of the boxcar that smoothed the complex cross-spectrum.
    usable : ndarray, shape (p,), bool
    log_power : ndarray, shape (s, f), or None
        Logarithm of each station's smoothed power; None where nobody computed it.
    """

    window: WindowBatch
    quality: StationQuality
    frequency_Hz: FloatArray
    cross_phase_rad: RealArray
    amplitude_ratio: RealArray
    coherence: RealArray
    smoothing_bins: IntArray
    usable: BoolArray
    log_power: RealArray | None = None


@dataclass(frozen=True, slots=True)
class GainProfile:
    """How much resonance models gain over straight lines, frequency by frequency.

    Attributes
    ----------
    frequency_Hz : ndarray, shape (k,)
        Resonance frequencies of the models, in a geometric series.
    gain, log_width, log_half_spacing : ndarray, shape (2, p, k), float32
        Largest fall of χ² at each frequency, and width over frequency and half spacing of the model that gains it:
        of the spectrum as it is, and reversed. NaN where nothing was tried.
    """

    frequency_Hz: FloatArray
    gain: Float32Array
    log_width: Float32Array
    log_half_spacing: Float32Array

    def rows(self, chosen: IntArray | BoolArray) -> GainProfile:
        """The same for some of the pairs."""
        return GainProfile(
            self.frequency_Hz,
            self.gain[:, chosen],
            self.log_width[:, chosen],
            self.log_half_spacing[:, chosen],
        )


@dataclass(frozen=True, slots=True)
class ResonanceEvidence:
    """What the physical estimate sees in every spectrum, accepted or not: the learned stages build on it.

    Arrays of shape (p,): the best resonance model, whether it stands reversed and is accepted, its evidence, the
    ramp of the whole coherent band with its error, width and scatter, and whether that is a clock offset (`offset`),
    which no model is asked about. Unknown is NaN.
    """

    accepted: BoolArray
    reversed: BoolArray
    frequency_Hz: FloatArray
    sigma_Hz: FloatArray
    cross_phase_rad: FloatArray
    coherence: FloatArray
    evidence: FloatArray
    timing_offset_s: FloatArray
    timing_sigma_s: FloatArray
    bandwidth_Hz: FloatArray
    scatter: FloatArray
    profile: GainProfile
    offset: BoolArray

    def rows(self, chosen: IntArray | BoolArray) -> ResonanceEvidence:
        """The same for some of the pairs."""
        names = [field.name for field in fields(self) if field.name != "profile"]
        arrays = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, **arrays, profile=self.profile.rows(chosen))


@dataclass(frozen=True, slots=True)
class ResonanceBatch:
    """The physical estimate for every pair of one `SpectrumBatch` (arrays of shape (p,); unknown is NaN).

    `label` and `reason` are what the estimate alone concludes; `reason` says why there is no resonance.
    Frequency, error, phase and coherence are those of an accepted resonance only. `timing_offset_s` is the clock
    offset τ of the best straight ramp 2π f τ of the cross-phase, whether or not it is large. `seen` is what the
    estimate saw besides.
    """

    spectrum: SpectrumBatch
    label: tuple[Label, ...]
    reason: tuple[str | None, ...]
    frequency_Hz: FloatArray
    sigma_Hz: FloatArray
    cross_phase_rad: FloatArray
    coherence: FloatArray
    timing_offset_s: FloatArray
    timing_sigma_s: FloatArray
    seen: ResonanceEvidence | None = None
