"""What happens to a state step by step, and how single numbers for it are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.science.synthetic.craft.series import STEP_S, PlasmaSeries, State, alfven_speed_kms
from monitor.science.synthetic.ranges import Range
from monitor.types import FloatArray

UNIT_ALFVEN_KMS: Final = alfven_speed_kms(1.0, 1.0)
"""Alfvén speed at 1 nT and 1 cm⁻³."""

_MOST: Final = 5.0
_LEAST_N_CM3: Final = 0.02
_LEAST_T_EV: Final = 1.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Departures from a state over n steps, to be added to in place.

    Attributes
    ----------
    turn : ndarray, shape (n, 3)
        Added to the unit vector of the field; the sum is brought back to length 1, so that it only turns.
    field, density, parallel, perpendicular : ndarray, shape (n,)
        Natural logarithms of factors on |B|, N, T∥ and T⊥, of which at most ±5 is taken.
    flow_kms : ndarray, shape (n, 3)
        Added to the flow.
    """

    turn: FloatArray
    field: FloatArray
    density: FloatArray
    parallel: FloatArray
    perpendicular: FloatArray
    flow_kms: FloatArray

    @classmethod
    def none(cls, steps: int) -> Disturbance:
        """Nothing happens."""
        line = np.zeros((4, steps))
        return cls(np.zeros((steps, 3)), line[0], line[1], line[2], line[3], np.zeros((steps, 3)))

    def heat(self, log: FloatArray) -> None:
        """Both temperatures by the same factor."""
        self.parallel[:] += log
        self.perpendicular[:] += log

    def directions(self, state: State) -> FloatArray:
        """Unit vectors of the field (n, 3)."""
        turned = state.B_nT / np.linalg.norm(state.B_nT) + self.turn
        unit: FloatArray = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9)
        return unit

    def of(self, state: State) -> PlasmaSeries:
        """The disturbed state; density and temperatures stay above 0.02 cm⁻³ and 1 eV."""
        strength = np.linalg.norm(state.B_nT) * _factor(self.field)
        return PlasmaSeries(
            strength[:, None] * self.directions(state),
            np.maximum(state.N_cm3 * _factor(self.density), _LEAST_N_CM3),
            state.V_kms + self.flow_kms,
            np.maximum(state.Tpar_eV * _factor(self.parallel), _LEAST_T_EV),
            np.maximum(state.Tperp_eV * _factor(self.perpendicular), _LEAST_T_EV),
        )


def _factor(log: FloatArray) -> FloatArray:
    factor: FloatArray = np.exp(np.clip(log, -_MOST, _MOST))
    return factor


def at_share(within: Range, share: float) -> float:
    """The number that lies at `share` (0–1) of a range."""
    if within.log:
        return float(within.low * (within.high / within.low) ** share)
    return within.low + share * (within.high - within.low)


def peaked(rng: np.random.Generator, within: Range) -> float:
    """A number of a range, the likelier the nearer to its middle (triangular): most of nature, and all of the rest."""
    return at_share(within, 0.5 * float(rng.random() + rng.random()))


def occurrences(rng: np.random.Generator, steps: int, per_h: float) -> FloatArray:
    """Steps at which something happens at random, so often an hour."""
    times: FloatArray = rng.uniform(0.0, steps, rng.poisson(per_h * steps * STEP_S / 3600.0))
    return times


def bump(steps: int, centre: float, width_s: float, *, flat: float = 2.0) -> FloatArray:
    """A bell (n,) of height 1 that is `width_s` wide at half of it; the higher the even `flat`, the flatter its top."""
    away = np.abs((np.arange(steps) - centre) * STEP_S / (0.5 * width_s))
    bell: FloatArray = np.exp(-math.log(2.0) * away**flat)
    return bell


def saturated(log: FloatArray, most: float) -> FloatArray:
    """Bends a logarithm so that it stays within ±`most`: turbulence that is strong does not grow without end."""
    bent: FloatArray = most * np.tanh(log / most)
    return bent


def turned(vector: FloatArray, rng: np.random.Generator, spread_deg: float) -> FloatArray:
    """A vector (3,) turned by a random angle, `spread_deg` each way at right angles to it."""
    length = float(np.linalg.norm(vector))
    aside = rng.standard_normal(3) * math.tan(math.radians(min(spread_deg, 80.0))) * length
    moved = vector + aside
    result: FloatArray = moved * (length / max(float(np.linalg.norm(moved)), 1e-9))
    return result
