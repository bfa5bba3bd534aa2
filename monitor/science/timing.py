"""Clock offsets between two stations: a straight ramp of the cross-phase through zero.

A record whose clock differs by τ turns the cross-phase by 2π f τ at every frequency, whatever the waves do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from monitor.science.hodograph import Observation
from monitor.types import BoolArray, FloatArray, IntArray

_GRID_STEP_S = 0.1
_WIDEST_S = 30.0


@dataclass(frozen=True, slots=True)
class TimingOffset:
    """The ramp that fits the coherent bins best (arrays of shape (p,)).

    Attributes
    ----------
    offset_s : ndarray
        τ of the cross-phase 2π f τ: positive when the equatorward station's features come earlier.
    sigma_s : ndarray
        Standard error, scaled by the scatter about the ramp; infinite where no bin is coherent.
    bandwidth_Hz : ndarray
        Width of all coherent bins together.
    scatter : ndarray
        χ² per independent datum about the ramp.
    """

    offset_s: FloatArray
    sigma_s: FloatArray
    bandwidth_Hz: FloatArray
    scatter: FloatArray

    def rows(self, chosen: IntArray | BoolArray) -> TimingOffset:
        """The same for some of the pairs."""
        return TimingOffset(
            self.offset_s[chosen], self.sigma_s[chosen], self.bandwidth_Hz[chosen], self.scatter[chosen]
        )

    def replaced(self, rows: IntArray, by: TimingOffset) -> TimingOffset:
        """The same with some pairs' values replaced."""
        merged = TimingOffset(
            self.offset_s.copy(), self.sigma_s.copy(), self.bandwidth_Hz.copy(), self.scatter.copy()
        )
        merged.offset_s[rows], merged.sigma_s[rows] = by.offset_s, by.sigma_s
        merged.bandwidth_Hz[rows], merged.scatter[rows] = by.bandwidth_Hz, by.scatter
        return merged


def without_ramp(observed: Observation, offset_s: FloatArray) -> Observation:
    """The data with the ramp 2π f τ taken out of their phase (an unknown τ takes out nothing)."""
    ramp = 2.0 * np.pi * np.outer(np.nan_to_num(offset_s), observed.frequency_Hz)
    left = np.where(observed.phase_weight > 0.0, _wrap(observed.phase_rad - ramp), 0.0)
    return replace(observed, phase_rad=left)


def timing_offset(observed: Observation) -> TimingOffset:
    """Fit the ramp to all bins that weigh something.

    A grid search over ±30 s on the weighted mean of exp(i (φ − 2π f τ)), which no wrap of the phase misleads,
    then one weighted least-squares step.
    """
    frequency, weight = observed.frequency_Hz, observed.phase_weight
    trials = np.arange(-_WIDEST_S, _WIDEST_S + _GRID_STEP_S / 2, _GRID_STEP_S)
    angle = 2.0 * np.pi * np.outer(frequency, trials)
    agreement = (weight * np.cos(observed.phase_rad)) @ np.cos(angle)
    agreement += (weight * np.sin(observed.phase_rad)) @ np.sin(angle)
    coarse = trials[agreement.argmax(axis=1)]
    slope = 2.0 * np.pi * frequency
    left = _wrap(observed.phase_rad - np.outer(coarse, slope))
    power = (weight * slope**2).sum(axis=1)
    step = (weight * slope * left).sum(axis=1) / np.maximum(power, 1e-30)
    left = _wrap(observed.phase_rad - np.outer(coarse + step, slope))
    data = 0.5 * observed.independent()
    scatter = (weight * left**2).sum(axis=1) / np.maximum(data - 1.0, 1.0)
    known = power > 0.0
    return TimingOffset(
        offset_s=np.where(known, coarse + step, np.nan),
        sigma_s=np.where(known, np.sqrt(np.maximum(scatter, 1.0) / np.maximum(power, 1e-30)), np.inf),
        bandwidth_Hz=data * observed.smoothing_Hz,
        scatter=scatter,
    )


def _wrap(angle_rad: FloatArray) -> FloatArray:
    return np.remainder(angle_rad + np.pi, 2.0 * np.pi) - np.pi
