"""Standing waves of a string of uneven weight: what the toroidal waves of a field line become in the right coordinate.

e″ + k² w(x) e = 0 on −1 ≤ x ≤ 1, with w > 0. An end is fixed (e = 0) or free (e′ = 0).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre

from monitor.types import FloatArray, LineEnds

ORDER = 56
"""Polynomials that a wave is made of."""

_QUADRATURE = 96


@dataclass(frozen=True, slots=True)
class StandingWaves:
    """Modes of one string, the slowest first.

    Attributes
    ----------
    wave_number : ndarray, shape (n,)
        k of each mode.
    coefficients : ndarray, shape (n, c)
        Legendre series of each mode over −1 ≤ x ≤ 1. Scaled so that the integral of w e² is 1; positive, or rising from 0,
        at x = −1.
    """

    wave_number: FloatArray
    coefficients: FloatArray

    def electric_field(self, position: FloatArray) -> FloatArray:
        """e of every mode, shape (n, …), at positions −1 ≤ x ≤ 1 of shape (…)."""
        return np.asarray(legendre.legval(position, self.coefficients.T), dtype=np.float64)


def nodes() -> FloatArray:
    """The positions, shape (q,), at which weights are to be given: those of the Gauss–Legendre quadrature."""
    return _quadrature()[0]


def wave_numbers(weight: FloatArray, count: int, ends: LineEnds = LineEnds.FIXED) -> FloatArray:
    """Wave numbers k of the slowest modes of many strings.

    Parameters
    ----------
    weight : ndarray, shape (b, q)
        w of each string at `nodes()`.
    count : int
        How many modes, 1 to 8. With free ends the motion as a whole (k = 0) is none of them.
    ends : LineEnds
        `MIXED` fixes x = −1 and frees x = 1.

    Returns
    -------
    ndarray, shape (b, count)

    Raises
    ------
    ValueError
        Where a weight is not positive and finite, or the count is out of range.

    Notes
    -----
    Galerkin's method with integrated Legendre polynomials (Shen 1994, doi:10.1137/0915089): their derivatives are
    orthonormal, so that the stiffness is the identity, and k⁻² are the largest eigenvalues of the symmetric matrix of
    inertia. A free end needs one more function and no condition.
    """
    inertia, _ = _inertia(_checked(weight, count), ends)
    squares = np.linalg.eigvalsh(inertia)[:, : -count - 1 : -1]
    return np.asarray(1.0 / np.sqrt(squares), dtype=np.float64)


def standing_waves(weight: FloatArray, count: int, ends: LineEnds = LineEnds.FIXED) -> StandingWaves:
    """Modes of one string; `weight` has shape (q,), all else is as in `wave_numbers`."""
    inertia, mean = _inertia(_checked(weight[None, :], count), ends)
    squares, vectors = np.linalg.eigh(inertia[0])
    number = 1.0 / np.sqrt(squares[: -count - 1 : -1])
    # Galerkin's vectors have unit stiffness, ∫ e′² = 1; as k² ∫ w e² = ∫ e′², a factor of k brings ∫ w e² to 1.
    functions = vectors.T[: -count - 1 : -1] * number[:, None]
    coefficients = functions @ _functions(ends)
    coefficients[:, 0] -= functions @ mean[0]
    # At x = −1 the polynomials are (−1)^n, and rise by −(−1)^n n (n + 1) / 2.
    degree = np.arange(ORDER + 2)
    rise = 1.0 if ends is LineEnds.FREE else -0.5 * degree * (degree + 1.0)
    coefficients *= np.sign(coefficients @ (rise * (-1.0) ** degree))[:, None]
    return StandingWaves(number, coefficients)


def _checked(weight: FloatArray, count: int) -> FloatArray:
    if not 1 <= count <= 8:
        raise ValueError(f"the count of modes must be from 1 to 8, found {count}")
    if weight.shape[-1] != _QUADRATURE:
        raise ValueError(f"weights must be given at the {_QUADRATURE} nodes, found shape {weight.shape}")
    if not (wrong := ~(np.isfinite(weight) & (weight > 0.0))).any():
        return weight
    raise ValueError(f"weights must be positive and finite, found {weight[wrong][0]}")


def _inertia(weight: FloatArray, ends: LineEnds) -> tuple[FloatArray, FloatArray]:
    """Matrices of inertia (b, c, c), and the mean (b, c) that each function loses.

    A string that nothing holds moves as a whole at no frequency. All other modes have no weighted mean: so it is taken
    out of every function.
    """
    values = _values(ends)
    share = weight * _quadrature()[1]
    inertia = (values * share[:, None, :]) @ values.T
    mean = np.zeros(inertia.shape[:2])
    if ends is LineEnds.FREE:
        total = share.sum(axis=1)
        mean = (share @ values.T) / total[:, None]
        inertia -= mean[:, :, None] * mean[:, None, :] * total[:, None, None]
    return inertia, mean


@functools.lru_cache(maxsize=1)
def _quadrature() -> tuple[FloatArray, FloatArray]:
    position, share = legendre.leggauss(_QUADRATURE)
    position.flags.writeable = share.flags.writeable = False
    return position, share


@functools.lru_cache(maxsize=3)
def _functions(ends: LineEnds) -> FloatArray:
    """Legendre coefficients (c, ORDER + 2) of functions that keep the ends, with orthonormal derivatives."""
    rows = np.zeros((ORDER, ORDER + 2))
    k = np.arange(ORDER)
    rows[k, k + 2] = 1.0 / np.sqrt(4.0 * k + 6.0)
    rows[k, k] = -rows[k, k + 2]
    if ends is LineEnds.FIXED:
        return rows
    line = np.zeros((1, ORDER + 2))
    line[0, :2] = (np.sqrt(0.5) if ends is LineEnds.MIXED else 0.0), np.sqrt(0.5)
    return np.concatenate([line, rows])


@functools.lru_cache(maxsize=3)
def _values(ends: LineEnds) -> FloatArray:
    """The same functions at the nodes, shape (c, q)."""
    return np.asarray(legendre.legval(nodes(), _functions(ends).T), dtype=np.float64)
