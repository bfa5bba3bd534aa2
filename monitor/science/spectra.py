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
POWER_BINS = 5
"""Bins over which the power of a station is smoothed."""
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
    expected = np.where(np.isfinite(expected_Hz), expected_Hz, 1.0)
    widest = np.floor(0.25 * expected * length_s)
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

    Raises
    ------
    IndexError, ValueError
        `station_index` names a row that is not there; a smoothing width is even.
    """
    pairs, count, real = station_index.shape[0], bins.size, spectra.real.dtype
    stations = spectra.shape[0]
    if pairs and not 0 <= station_index.min() <= station_index.max() < stations:
        raise IndexError(f"station_index names a row beyond the {stations} stations of the spectra")
    if (smoothing_bins % 2 == 0).any():
        raise ValueError(f"smoothing_bins must be odd, found {smoothing_bins[smoothing_bins % 2 == 0][0]}")
    widest = int(smoothing_bins.max(initial=1))
    parts = _parts(spectra, int(bins[0]) - widest // 2, count + widest - 1)
    ramp = np.zeros(pairs, dtype=real) if ramp_s is None else ramp_s.astype(real)
    turn_Hz = (2.0 * np.pi / length_s * bins).astype(real)
    # Kept through all blocks: fresh memory costs more than the arithmetic on it.
    block = min(_PAIR_BLOCK, max(pairs, stations))
    scratch = np.empty((4, 2 * block * parts.shape[2]), dtype=real)
    found = np.empty((3, pairs, count), dtype=real)
    order = np.argsort(smoothing_bins, kind="stable")
    done = 0
    for width in np.unique(smoothing_bins).tolist():
        amplitude = _amplitudes(parts, width, count, scratch)
        end = done + int(np.count_nonzero(smoothing_bins == width))
        for start in range(done, end, _PAIR_BLOCK):
            rows = slice(start, min(start + _PAIR_BLOCK, end))
            index = station_index[order[rows]]
            cross = _smoothed_products(parts, index, width, count, scratch)
            _observables(cross, amplitude, index, scratch, found[:, rows])
            delays = ramp[order[rows]]
            if delays.any():
                _turn(found[0, rows], np.multiply.outer(delays, turn_Hz))
        done = end
    if smoothing_bins.min(initial=widest) == widest:
        return found[0], found[1], found[2]
    back = np.argsort(order)
    return found[0][back], found[1][back], found[2][back]


def log_powers(spectra: ComplexArray, bins: IntArray, length_s: float, step_s: float) -> RealArray:
    """Logarithm of each station's power at the wanted bins, smoothed over five, the first difference undone.

    Parameters
    ----------
    spectra : ndarray, shape (s, m), complex
        As from `station_spectra`; `m` must exceed the last bin by two.
    bins : ndarray, shape (f,)
        Consecutive bins that are wanted.
    length_s, step_s : float
        Length of the window, and its sampling step.

    Returns
    -------
    ndarray, shape (s, f)
        Natural logarithm of a one-sided power in (units of the samples)², up to a constant that depends on the
        length only; NaN where there is no power.
    """
    margin = POWER_BINS // 2
    if bins[-1] + margin >= spectra.shape[1]:
        raise IndexError(f"the spectra end at bin {spectra.shape[1] - 1}, but {bins[-1] + margin} is needed")
    # The spectrum of what is real mirrors about bin 0.
    column = np.abs(np.arange(bins[0] - margin, bins[-1] + margin + 1))
    undone = (step_s / (2.0 * np.sin(np.pi * np.maximum(column, 1) * step_s / length_s))) ** 2
    rows = spectra[:, column]
    power = (np.square(rows.real) + np.square(rows.imag)) * undone.astype(spectra.real.dtype)
    wanted = [power[:, offset : offset + bins.size] for offset in range(POWER_BINS)]
    with np.errstate(divide="ignore"):
        logarithm: RealArray = np.log(sum(wanted) / POWER_BINS)
    logarithm[~np.isfinite(logarithm)] = np.nan
    return logarithm


def above_nyquist_share(frequency_Hz: FloatArray, step_s: float) -> BoolArray:
    """Which frequencies lie above the usable share of the Nyquist frequency, shape like `frequency_Hz`."""
    masked: BoolArray = frequency_Hz > NYQUIST_SHARE * 0.5 / step_s
    return masked


def _parts(spectra: ComplexArray, first_bin: int, columns: int) -> RealArray:
    """Real and imaginary parts of so many bins from `first_bin`, shape (2, s, columns).

    Apart they take plain real arithmetic, which is exact in every lane: a complex product may round otherwise at
    the end of a block, and a pair would depend on its company. Bins below 1 are zero: no smoothing takes in bin 0.
    """
    below = max(0, 1 - first_bin)
    wanted = spectra[:, first_bin + below : first_bin + columns]
    parts = np.zeros((2, spectra.shape[0], columns), dtype=spectra.real.dtype)
    parts[0, :, below:], parts[1, :, below:] = wanted.real, wanted.imag
    return parts


def _amplitudes(parts: RealArray, width: int, count: int, scratch: RealArray) -> RealArray:
    """Root of each station's smoothed power at the wanted bins, shape (s, count)."""
    stations, columns = parts.shape[1:]
    amplitude = np.empty((stations, count), dtype=parts.dtype)
    for start in range(0, stations, _PAIR_BLOCK):
        block = parts[:, start : start + _PAIR_BLOCK]
        size = block.shape[1] * columns
        squares, power = scratch[0, : 2 * size].reshape(block.shape), scratch[1, :size]
        np.square(block, out=squares)
        np.add(squares[0], squares[1], out=power.reshape(block.shape[1:]))
        smooth = _running_sums(power, width, scratch[0, :size], scratch[2, :size], scratch[3, :size])
        wanted = _at_wanted(smooth.reshape(block.shape[1:]), width, count)
        np.sqrt(wanted, out=amplitude[start : start + block.shape[1]])
    return amplitude


def _smoothed_products(
    parts: RealArray, station_index: IntArray, width: int, count: int, scratch: RealArray
) -> RealArray:
    """Real and imaginary part of conj(P) E, smoothed, at the wanted bins, shape (2, p, count), inside `scratch`."""
    shape = (2, station_index.shape[0], parts.shape[2])
    flat = scratch[:, : shape[0] * shape[1] * shape[2]]
    pole, equator, work, cross = (buffer.reshape(shape) for buffer in flat)
    for part in (0, 1):
        # The indices were checked: the default mode would go through one more copy.
        np.take(parts[part], station_index[:, 0], axis=0, out=pole[part], mode="clip")
        np.take(parts[part], station_index[:, 1], axis=0, out=equator[part], mode="clip")
    np.multiply(pole, equator, out=work)
    np.add(work[0], work[1], out=cross[0])
    np.multiply(pole[0], equator[1], out=work[0])
    np.multiply(pole[1], equator[0], out=work[1])
    np.subtract(work[0], work[1], out=cross[1])
    smooth = _running_sums(flat[3], width, flat[0], flat[2], flat[1])
    return _at_wanted(smooth.reshape(shape), width, count)


def _running_sums(
    values: RealArray, width: int, spare: RealArray, other: RealArray, total: RealArray
) -> RealArray:
    """Sums of `width` (odd) neighbours from each element on, by doubling: few passes and no cancellation.

    All arrays are flat and of one size; all but `values` are overwritten. Rows may stand behind each other: one
    long pass is much faster than one a row, and the last width − 1 columns of a row mix it with the next.
    """
    if width == 1:
        return values
    size = values.size - width + 1
    doubled, summed, span, offset = values, values[:size], 1, 1
    while 2 * span <= width:
        doubled = np.add(doubled[:-span], doubled[span:], out=spare[: doubled.size - span])
        spare, other = other, spare
        span *= 2
        if width & span:
            summed = np.add(summed, doubled[offset : offset + size], out=total[:size])
            offset += span
    return total


def _at_wanted(sums: RealArray, width: int, count: int) -> RealArray:
    """The columns of running sums that are centred on the wanted bins."""
    # The table was cut for the widest smoothing: a narrower one begins further in.
    margin = (sums.shape[-1] - count + 1 - width) // 2
    return sums[..., margin : margin + count]


def _observables(
    cross: RealArray, amplitude: RealArray, station_index: IntArray, scratch: RealArray, out: RealArray
) -> None:
    """Write cross-phase, amplitude ratio and coherence to `out`, shape (3, p, f); overwrites `cross`."""
    phase, ratio, coherence = out
    # The smoothed products are in one of the other two buffers.
    pole, equator = (scratch[buffer, : phase.size].reshape(phase.shape) for buffer in (0, 2))
    np.take(amplitude, station_index[:, 0], axis=0, out=pole, mode="clip")
    np.take(amplitude, station_index[:, 1], axis=0, out=equator, mode="clip")
    np.arctan2(cross[1], cross[0], out=phase)
    np.square(cross, out=cross)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        np.divide(equator, pole, out=ratio)
        np.square(np.multiply(equator, pole, out=pole), out=pole)
        np.divide(np.add(cross[0], cross[1], out=equator), pole, out=coherence)
        silent = ~np.isfinite(np.add(coherence, ratio, out=pole))
    if silent.any():
        out[:, silent] = np.nan


def _turn(phase_rad: RealArray, angle_rad: RealArray) -> None:
    """Add an angle in place and bring the phase back to (−π, π]."""
    phase_rad += angle_rad
    phase_rad -= 2.0 * np.pi * np.rint(phase_rad / (2.0 * np.pi))
