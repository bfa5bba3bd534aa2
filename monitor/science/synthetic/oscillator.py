"""Field lines as damped oscillators whose frequency may change, and the linear filtering that this takes.

A filter that changes with time works on blocks of half an hour that fade into each other with Hann windows whose
sum is 1: where the response does not change, the blocks add up to the plain convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft

from monitor.science.synthetic.waves import white_spectrum
from monitor.types import ComplexArray, FloatArray

_RINGINGS = 5.0


def oscillator(frequency_Hz: FloatArray, rings_Hz: FloatArray, quality: FloatArray | float) -> ComplexArray:
    """1 / (1 + i Q (f/f_R − f_R/f)), shape (s, f), in a form that is 0 at f = 0; numpy's transform.

    Parameters
    ----------
    frequency_Hz : ndarray, shape (f,)
    rings_Hz : ndarray, shape (s,)
        f_R of each oscillator.
    quality : ndarray, shape (s,), or float
    """
    f, f_R = frequency_Hz[None, :], rings_Hz[:, None]
    impedance = (f * f_R).astype(np.complex128)
    impedance.imag = np.reshape(quality, (-1, 1)) * (f * f - f_R * f_R)
    response: ComplexArray = np.divide(f * f_R, impedance)
    return response


def ringing_s(rings_Hz: FloatArray, quality: FloatArray) -> float:
    """Time (s) after which the slowest of the oscillators has rung off to a hundredth of its amplitude."""
    return _RINGINGS * float(np.max(quality / (math.pi * rings_Hz)))


@dataclass(frozen=True, slots=True)
class BlockFilter:
    """Cuts a series into overlapping blocks, and adds the filtered blocks up again.

    Attributes
    ----------
    count : int
        Samples of the series, a multiple of `hop`.
    hop : int
        Half the length of a block: block b is centred on sample b · hop, b = 0 … count / hop.
    tail : int
        Samples that the responses ring on behind a block.
    step_s : float
    """

    count: int
    hop: int
    tail: int
    step_s: float

    def __post_init__(self) -> None:
        if self.hop < 1 or self.count % self.hop:
            raise ValueError(f"count must be a multiple of the hop {self.hop}, got {self.count}")

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.count // self.hop + 1

    @property
    def length(self) -> int:
        """Samples of a transform."""
        return int(fft.next_fast_len(2 * self.hop + self.tail, real=True))

    @property
    def frequency_Hz(self) -> FloatArray:
        """Frequencies at which a response is wanted, shape (f,)."""
        return np.asarray(fft.rfftfreq(self.length, self.step_s), dtype=np.float64)

    def spectra(self, series: FloatArray) -> ComplexArray:
        """Transforms of the faded blocks of a series of shape (count,), shape (blocks, f)."""
        padded = np.pad(series, self.hop)
        blocks = np.lib.stride_tricks.sliding_window_view(padded, 2 * self.hop)[:: self.hop]
        fade = 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * self.hop) / self.hop)
        spectra: ComplexArray = fft.rfft(blocks * fade, self.length, axis=1)
        return spectra

    def series(self, spectra: ComplexArray) -> FloatArray:
        """The sum of filtered blocks, shape (count,)."""
        pieces = fft.irfft(spectra, self.length, axis=1)
        total = np.zeros(self.count + self.hop + self.length)
        for block, piece in enumerate(pieces):
            total[block * self.hop : block * self.hop + self.length] += piece
        return total[self.hop : self.hop + self.count]


def coloured_noise(rng: np.random.Generator, psd_nT2_Hz: FloatArray, count: int, step_s: float) -> FloatArray:
    """Gaussian noise (nT) of a one-sided power density, shape (count,).

    `psd_nT2_Hz` stands at the frequencies of a transform of `count` samples.
    """
    spectrum = white_spectrum(rng, 1, count)[0] * np.sqrt(psd_nT2_Hz / (2.0 * step_s))
    noise: FloatArray = fft.irfft(spectrum, count)
    return noise
