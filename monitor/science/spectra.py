"""Cross-phase spectra of station pairs.

One FFT a station serves all its pairs; pairs are worked on in blocks that stay in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from monitor.types import BoolArray, ComplexArray, FloatArray, IntArray, RealArray

_STATION_BLOCK = 16
_PAIR_BLOCK = 64
NYQUIST_SHARE = 0.8
"""Bins above this share of the Nyquist frequency are masked: there the anti-alias filters differ."""


@dataclass(frozen=True, slots=True)
class SpectrumParameters:
    """The frequency grid and its smoothing.

    Attributes
    ----------
    smoothing_bins : int
        Odd width of the boxcar over the complex cross-spectrum (11 is 1.53 mHz for two hours).
    minimum_frequency_Hz, maximum_frequency_Hz : float
        Ends of the grid.
    """

    smoothing_bins: int = 11
    minimum_frequency_Hz: float = 1.0e-3
    maximum_frequency_Hz: float = 100.0e-3

    def bins(self, length_s: float) -> IntArray:
        """Indices of the Fourier bins on the grid, shape (f,): bin k is at k / length_s."""
        first = max(1, int(np.ceil(self.minimum_frequency_Hz * length_s - 1e-9)))
        last = int(np.floor(self.maximum_frequency_Hz * length_s + 1e-9))
        return np.arange(first, last + 1, dtype=np.int64)


def independent_averages(smoothing_bins: IntArray | int) -> FloatArray:
    """Independent averages in a boxcar over so many bins of a Hann-tapered spectrum, shape like the input.

    Neighbouring bins of a Hann taper correlate by 2/3, next neighbours by 1/6.
    """
    bins: FloatArray = np.asarray(smoothing_bins, dtype=np.float64)
    first, second = np.clip(1.0 - 1.0 / bins, 0.0, 1.0), np.clip(1.0 - 2.0 / bins, 0.0, 1.0)
    averages: FloatArray = bins / (1.0 + 2.0 * (4.0 / 9.0 * first + 1.0 / 36.0 * second))
    return averages


def smoothing_for_frequency(expected_Hz: FloatArray, length_s: float, default_bins: int) -> IntArray:
    """Width of the smoothing for the frequency that is expected, in odd bins, shape like `expected_Hz`.

    A boxcar wider than a quarter of the frequency biases the peak (10 % at 4 mHz for 11 bins), so it is
    narrowed to that, but not below three bins. NaN (nothing is expected) keeps the default.
    """
    widest = np.floor(0.25 * np.nan_to_num(expected_Hz, nan=np.inf, posinf=1e3) * length_s)
    odd = 2 * ((widest - 1) // 2) + 1
    bins: IntArray = np.clip(odd, min(3, default_bins), default_bins).astype(np.int64)
    return bins


def station_spectra(differences_nT: RealArray, last_bin: int) -> ComplexArray:
    """Fourier coefficients of pre-whitened, detrended, tapered windows.

    The first difference pre-whitens the red spectrum of the field (the same for both stations of a pair, so
    that ratio, phase and coherence keep their values), its mean removed is the linear trend removed, and a
    Hann taper keeps leakage down.

    Parameters
    ----------
    differences_nT : ndarray, shape (s, n - 1), float32 or float64
        First differences of gapless windows of n samples, as from `conditioning.condition`.
    last_bin : int
        Bins 0 … last_bin are returned (zero above the Nyquist bin); bin k is at k / window length.

    Returns
    -------
    ndarray, shape (s, last_bin + 1), complex64 (complex128 for float64 input)
    """
    stations, count = differences_nT.shape[0], differences_nT.shape[1] + 1
    spectra = np.zeros((stations, last_bin + 1), dtype=np.result_type(differences_nT.dtype, np.complex64))
    kept = min(last_bin, count // 2) + 1
    taper = np.hanning(count - 1).astype(differences_nT.dtype)
    # The FFT always gets a full block: a station's spectrum must not depend, in the last bit, on its company.
    work = np.zeros((_STATION_BLOCK, count), dtype=differences_nT.dtype)
    for start in range(0, stations, _STATION_BLOCK):
        rows = differences_nT[start : start + _STATION_BLOCK]
        size = rows.shape[0]
        np.subtract(rows, rows.mean(axis=1, keepdims=True), out=work[:size, :-1])
        work[:size, :-1] *= taper
        spectra[start : start + size, :kept] = fft.rfft(work, axis=1)[:size, :kept]
    return spectra


def cross_spectra(
    spectra: ComplexArray,
    station_index: IntArray,
    smoothing_bins: IntArray,
    bins: IntArray,
    ramp_s: FloatArray | None = None,
    length_s: float = 7200.0,
) -> tuple[RealArray, RealArray, RealArray]:
    """Cross-phase, amplitude ratio and coherence of pairs from their stations' Fourier coefficients.

    The complex cross-spectrum and the two power spectra are smoothed by a boxcar, then the angle is taken:
    an average of angles would be wrong at ±180°.

    Parameters
    ----------
    spectra : ndarray, shape (s, m), complex
        As from `station_spectra`; `m` must exceed the last bin by half of the widest smoothing.
    station_index : ndarray, shape (p, 2)
        Poleward and equatorward row of each pair.
    smoothing_bins : ndarray, shape (p,)
        Odd widths.
    bins : ndarray, shape (f,)
        Consecutive bins that are wanted.
    ramp_s : ndarray, shape (p,), optional
        Known delays (s) of the equatorward against the poleward sampling instants, taken out of the phase.
    length_s : float
        Length of the window: bin k is at k / length_s.

    Returns
    -------
    cross_phase_rad, amplitude_ratio, coherence : ndarray, shape (p, f)
        phase(E) − phase(P) in (−π, π]; A(E)/A(P); magnitude-squared coherence. NaN where there is no power.
    """
    pairs, real = station_index.shape[0], spectra.real.dtype
    phase = np.empty((pairs, bins.size), dtype=real)
    ratio, coherence = np.empty_like(phase), np.empty_like(phase)
    for width in np.unique(smoothing_bins).tolist():
        chosen = np.flatnonzero(smoothing_bins == width)
        half = width // 2
        first, last = int(bins[0]) - half, int(bins[-1]) + half
        pad = max(0, 1 - first)  # the smoothing never takes in bin 0
        wanted = spectra[:, first + pad : last + 1]
        power = np.square(wanted.real) + np.square(wanted.imag)
        smooth_power = _boxcar(_padded(power, pad), width)
        for start in range(0, chosen.size, _PAIR_BLOCK):
            rows = chosen[start : start + _PAIR_BLOCK]
            pole, equator = station_index[rows, 0], station_index[rows, 1]
            cross = _boxcar(_padded(np.conj(wanted[pole]) * wanted[equator], pad), width)
            pp, ee = smooth_power[pole], smooth_power[equator]
            with np.errstate(divide="ignore", invalid="ignore"):
                phase[rows] = np.arctan2(cross.imag, cross.real)
                ratio[rows] = np.sqrt(ee / pp)
                coherence[rows] = (np.square(cross.real) + np.square(cross.imag)) / (pp * ee)
    if ramp_s is not None and np.any(ramp_s != 0.0):
        turned = phase + 2.0 * np.pi * np.outer(ramp_s, bins / length_s)
        phase = np.angle(np.exp(1j * turned)).astype(real)
    silent = ~np.isfinite(coherence) | ~np.isfinite(ratio)
    if silent.any():
        for array in (phase, ratio, coherence):
            array[silent] = np.nan
    return phase, ratio, coherence


def above_nyquist_share(frequency_Hz: FloatArray, step_s: float) -> BoolArray:
    """Which frequencies lie above the usable share of the Nyquist frequency, shape like `frequency_Hz`."""
    masked: BoolArray = frequency_Hz > NYQUIST_SHARE * 0.5 / step_s
    return masked


def _padded(array: ComplexArray | RealArray, pad: int) -> ComplexArray | RealArray:
    if not pad:
        return array
    zeros = np.zeros((array.shape[0], pad), dtype=array.dtype)
    padded: ComplexArray | RealArray = np.concatenate([zeros, array], axis=1)
    return padded


def _boxcar(array: ComplexArray | RealArray, width: int) -> ComplexArray | RealArray:
    """Running sum over `width` columns by doubling: fewer passes than `width`, no cancellation."""
    size = array.shape[1] - width + 1
    total: ComplexArray | RealArray | None = None
    doubled, span, offset = array, 1, 0
    remaining = width
    while remaining:
        if remaining & 1:
            part = doubled[:, offset : offset + size]
            total = part.copy() if total is None else np.add(total, part, out=total)
            offset += span
        remaining >>= 1
        if remaining:
            doubled = doubled[:, :-span] + doubled[:, span:]
            span *= 2
    assert total is not None
    return total
