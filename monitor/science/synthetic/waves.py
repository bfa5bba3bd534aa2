"""What a ground magnetometer records beside the main field: driver, local noise, Sq and slow variations.

Levels are round numbers near what MUO, PEL and low-latitude stations recorded on days that we looked at; power
spectral densities are one-sided, nT² Hz⁻¹, at L = 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft

from monitor.types import ComplexArray, FloatArray

_ENVELOPE_SPREAD = 0.55
_ENVELOPE_CORRELATION_S = 200.0
_ACTIVITY_SPREAD = 0.25
_NIGHT_SHARE = 0.02
_SQ_NT = 25.0
_SQ_NOON_H = 11.5
_SQ_HARMONICS = (0.55, 0.30, 0.10)
_DAY_S = 86400.0
_RED_LINES = 96
_RED_BAND_HZ = (1.0e-5, 4.0e-3)
_RED_CORNER_HZ = 1.5e-3


def driver_psd_nT2_Hz(frequency_Hz: FloatArray) -> FloatArray:
    """Power density of the driver at the most active hour: red, with the Pc3 band of upstream waves on it."""
    positive = np.maximum(frequency_Hz, 1e-6)
    upstream = 1.0 + 2.5 * np.exp(-np.square(np.log(positive / 32.0e-3) / 0.4))
    red = 6.0 * np.square(20.0e-3 / positive) / (1.0 + np.square(positive / 60.0e-3))
    # The slow variation of the chain takes over below 1.5 mHz.
    psd: FloatArray = red * upstream / (1.0 + (_RED_CORNER_HZ / positive) ** 6)
    return psd


def noise_psd_nT2_Hz(frequency_Hz: FloatArray) -> FloatArray:
    """Power density of the noise that stations do not share: local currents, and the white instrument."""
    positive = np.maximum(frequency_Hz, 1e-6)
    psd: FloatArray = 0.06 * np.square(20.0e-3 / positive) / (1.0 + (1.0e-3 / positive) ** 4) + 4.0e-4
    return psd


def wave_activity(local_time_h: FloatArray) -> FloatArray:
    """Amplitude of the driver over the day, shape like the input: 1 before noon, nearly nothing at night."""
    lit = 0.5 * (np.tanh((local_time_h - 4.5) / 0.8) - np.tanh((local_time_h - 18.5) / 1.2))
    morning = 1.0 - 0.3 * (1.0 - np.cos(2.0 * np.pi * (local_time_h - 10.0) / 24.0))
    activity: FloatArray = _NIGHT_SHARE + (1.0 - _NIGHT_SHARE) * np.maximum(lit, 0.0) * morning
    return activity


def sq_shape(local_time_h: FloatArray) -> FloatArray:
    """Sq of unit amplitude in H, shape like the input: lowest before noon, as poleward of the current's focus."""
    turns = np.arange(1, len(_SQ_HARMONICS) + 1)
    angle = 2.0 * np.pi / 24.0 * (local_time_h[..., None] - _SQ_NOON_H)
    shape: FloatArray = -np.cos(turns * angle) @ np.array(_SQ_HARMONICS)
    return shape


def white_spectrum(rng: np.random.Generator, rows: int, count: int) -> ComplexArray:
    """Transform of `rows` unit white noises of `count` samples without their mean, shape (rows, count // 2 + 1)."""
    bins = count // 2 + 1
    parts = rng.standard_normal((2, rows, bins)) * math.sqrt(count / 2.0)
    spectrum: ComplexArray = parts[0] + 1j * parts[1]
    spectrum[:, 0] = 0.0
    if count % 2 == 0:
        spectrum[:, -1] = spectrum[:, -1].real * math.sqrt(2.0)
    return spectrum


def packet_envelope(rng: np.random.Generator, count: int, step_s: float) -> FloatArray:
    """Log-normal envelope that gathers noise into wave packets of some minutes; mean square 1, shape (count,)."""
    frequency_Hz = fft.rfftfreq(count, step_s)
    shape = np.exp(-0.5 * np.square(2.0 * np.pi * frequency_Hz * _ENVELOPE_CORRELATION_S / 2.0))
    # Drawn on the few bins that the envelope has, so that the step does not change its course.
    few = max(2, int(np.searchsorted(shape < 1e-6, True)))
    parts = rng.standard_normal((2, few)) * shape[:few]
    spectrum = np.zeros(shape.size, dtype=np.complex128)
    spectrum[1:few] = (parts[0] + 1j * parts[1])[1:] / np.sqrt(4.0 * np.square(shape[1:few]).sum())
    course = _ENVELOPE_SPREAD * fft.irfft(spectrum, count) * count
    level = _ACTIVITY_SPREAD * rng.standard_normal()
    envelope: FloatArray = np.exp(course - _ENVELOPE_SPREAD**2 + level - _ACTIVITY_SPREAD**2)
    return envelope


@dataclass(frozen=True, slots=True)
class SlowField:
    """Sq and the red variation that the whole chain shares, as a sum of lines: a function of time alone.

    Attributes
    ----------
    omega_rad_s : ndarray, shape (k,)
    amplitude_nT : ndarray, shape (s, k), complex
        Of each line at each station at 1970-01-01; what delays the station's clock has is in it.
    """

    omega_rad_s: FloatArray
    amplitude_nT: ComplexArray

    @classmethod
    def draw(
        cls, seed: int, rms_nT: FloatArray, longitude_deg: float, clock_offset_s: FloatArray
    ) -> SlowField:
        """Draw the lines of a chain: `rms_nT`, shape (s,), of the red part; `clock_offset_s`, shape (s,)."""
        rng = np.random.default_rng([seed, 1])
        edges = np.geomspace(*_RED_BAND_HZ, _RED_LINES + 1)
        lines_Hz = edges[:-1] * (edges[1:] / edges[:-1]) ** rng.random(_RED_LINES)
        power = lines_Hz**-2 / (1.0 + (lines_Hz / _RED_CORNER_HZ) ** 6) * np.diff(edges)
        red = np.sqrt(power / power.sum()) * (rng.standard_normal((2, _RED_LINES)).T @ np.array([1.0, 1j]))
        turns = np.arange(1, len(_SQ_HARMONICS) + 1)
        noon_s = (_SQ_NOON_H - longitude_deg / 15.0) * 3600.0
        # H falls under the current that flows poleward of its focus.
        sq = -_SQ_NT * np.array(_SQ_HARMONICS) * np.exp(-2j * np.pi * turns * noon_s / _DAY_S)
        omega = 2.0 * np.pi * np.concatenate([turns / _DAY_S, lines_Hz])
        amplitude = np.concatenate([np.tile(sq, (rms_nT.size, 1)), rms_nT[:, None] * red], axis=1) * np.exp(
            -1j * clock_offset_s[:, None] * omega
        )
        return cls(omega, amplitude)

    def values_nT(self, start_s: float, step_s: float, count: int) -> FloatArray:
        """Samples from `start_s` after 1970-01-01, shape (s, count)."""
        fine = math.isqrt(count - 1) + 1
        rows = -(-count // fine)
        # e^{iω(a+b)} = e^{iωa} e^{iωb}: a table of rows and one of columns stand for all samples. einsum and not
        # matmul: its threads wait for each other longer than the sum takes.
        inner = np.exp(1j * np.outer(step_s * np.arange(fine), self.omega_rad_s))
        outer = np.exp(1j * np.outer(start_s + step_s * fine * np.arange(rows), self.omega_rad_s))
        lines = self.amplitude_nT[:, None, :] * outer
        table = np.einsum("srk,fk->srf", lines.real, inner.real)
        table -= np.einsum("srk,fk->srf", lines.imag, inner.imag)
        values: FloatArray = table.reshape(self.amplitude_nT.shape[0], rows * fine)[:, :count]
        return values
