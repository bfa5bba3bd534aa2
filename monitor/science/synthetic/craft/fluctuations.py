"""Noise and waves at the network's cadence, from which the regions' fluctuations are made."""

from __future__ import annotations

import math

import numpy as np

from monitor.science.synthetic.craft.series import STEP_S
from monitor.types import FloatArray


def coloured(rng: np.random.Generator, steps: int, slope: float, *, outer_s: float = 1200.0) -> FloatArray:
    """Noise (steps,) of unit expected variance over a long time, with power ∝ f^`slope` above 1 / `outer_s`, flat below.

    A piece shorter than `outer_s` is a piece of a longer series, so that its mean wanders too.
    """
    longest = max(steps, math.ceil(outer_s / STEP_S))
    count = 1 << (longest - 1).bit_length()
    frequency = np.fft.rfftfreq(count, STEP_S)
    corner = 1.0 / outer_s
    amplitude = np.maximum(frequency, corner) ** (0.5 * slope)
    amplitude[0] = 0.0
    spectrum = amplitude * (rng.standard_normal(frequency.size) + 1j * rng.standard_normal(frequency.size))
    noise = np.fft.irfft(spectrum, count)
    # Of the whole band, so that two pieces of one series differ in variance as pieces do.
    scale = math.sqrt(2.0 * float((amplitude**2).sum())) * 2.0**0.5 / count
    begin = int(rng.integers(0, count - steps + 1))
    piece: FloatArray = noise[begin : begin + steps] / scale
    return piece


def waves(
    rng: np.random.Generator, steps: int, period_s: float, *, bandwidth: float = 0.2, packet_s: float = 120.0
) -> tuple[FloatArray, FloatArray]:
    """A narrow-band wave of unit variance in packets, and the same a quarter of a period later; (steps,) each.

    `bandwidth` is the relative spread of its frequency, `packet_s` the length of a packet.
    """
    spread = np.clip(1.0 + bandwidth * coloured(rng, steps, -2.0, outer_s=4.0 * packet_s), 0.3, 3.0)
    phase = 2.0 * math.pi * (rng.random() + np.cumsum(spread) * STEP_S / period_s)
    envelope = np.exp(0.6 * coloured(rng, steps, -2.0, outer_s=2.0 * packet_s)) / 1.2
    carrier = math.sqrt(2.0) * envelope
    return carrier * np.cos(phase), carrier * np.sin(phase)


def smooth_step(steps: int, centre: float, width: float) -> FloatArray:
    """From 0 to 1 about `centre` as a tanh whose central half takes about `width` steps; (steps,)."""
    at = np.arange(steps) - centre
    rise: FloatArray = 0.5 * (1.0 + np.tanh(2.0 * at / max(width, 1e-6)))
    return rise


def direction(rng: np.random.Generator) -> FloatArray:
    """A direction (3,), even over the sphere."""
    vector = rng.standard_normal(3)
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit


def perpendicular(rng: np.random.Generator, axis: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two directions (3,) at right angles to `axis` and to each other, turned at random about it."""
    along = axis / np.linalg.norm(axis)
    first = np.cross(along, direction(rng))
    first /= np.linalg.norm(first)
    return first, np.cross(along, first)


def turn_about(axis: FloatArray, angle_rad: float) -> FloatArray:
    """The rotation matrix (3, 3) about a direction (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: FloatArray = (
        np.eye(3) + math.sin(angle_rad) * cross + (1 - math.cos(angle_rad)) * (cross @ cross)
    )
    return rotation
