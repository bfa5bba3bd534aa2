"""The plasmapause in motion, and what a pair of stations sees of plasma on either side of it.

Tables over the state of `science.plasmapause`, kept for the parameters and pairs in use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from monitor.science.plasmapause_parameters import PlasmapauseParameters
from monitor.types import FloatArray

LN_DENSITY = np.linspace(-8.0, 12.0, 1001)
"""Where the likelihood of a density is tabulated: ln ρ (amu cm⁻³)."""

LN_STEP = np.linspace(-4.0, 4.0, 801)
"""The same for ln(f_poleward / f_equatorward)."""

_PIVOT_L = 4.0

Index = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Motion:
    """Transition matrices of an interval, rows to columns, of each axis of the state."""

    place: FloatArray
    plasmasphere: FloatArray
    trough: FloatArray
    shape: FloatArray


@dataclass(frozen=True, slots=True)
class PairTable:
    """What a pair would show in each state: places in `LN_DENSITY` and `LN_STEP`, of the state's shape."""

    density: Index
    step: Index


def plasmasphere_ln(l_shell: FloatArray) -> FloatArray:
    """ln of the saturated plasmasphere's electron density (cm⁻³): Carpenter and Anderson (1992), eq. 6."""
    return np.asarray(math.log(10.0) * (3.9043 - 0.3145 * l_shell))


def trough_ln(l_shell: FloatArray) -> FloatArray:
    """ln of the trough's electron density (cm⁻³) at dawn, 7600 L^−4.5."""
    return np.asarray(math.log(7600.0) - 4.5 * np.log(l_shell))


def levels(grid: tuple[float, float, int]) -> FloatArray:
    """The points of a grid of levels."""
    return np.linspace(grid[0], grid[1], int(grid[2]))


@lru_cache(maxsize=8)
def prior(parameters: PlasmapauseParameters) -> FloatArray:
    """The state before anything is known, of shape `parameters.shape`, sum 1."""
    place, shape = place_prior(parameters), shape_prior(parameters)
    inner, outer = plasmasphere_prior(parameters), trough_prior(parameters)
    state = place[:, None, None, None] * inner[:, None, None] * outer[:, None] * shape
    return np.asarray(state / state.sum())


def place_prior(parameters: PlasmapauseParameters) -> FloatArray:
    """Of L_pp alone."""
    grid = parameters.l_grid()
    known = _normal(grid, parameters.prior_l, parameters.prior_sigma_l)
    return np.asarray((1.0 - parameters.prior_anywhere) * known + parameters.prior_anywhere / grid.size)


def plasmasphere_prior(parameters: PlasmapauseParameters) -> FloatArray:
    """Of the plasmasphere's level alone."""
    points = levels(parameters.plasmasphere_levels)
    return _normal(points, parameters.plasmasphere_prior, parameters.plasmasphere_sigma)


def trough_prior(parameters: PlasmapauseParameters) -> FloatArray:
    """Of the trough's level alone."""
    return _normal(levels(parameters.trough_levels), parameters.trough_prior, parameters.trough_sigma)


def shape_prior(parameters: PlasmapauseParameters) -> FloatArray:
    """Of width and slope together, the slope changing fastest along the axis."""
    return np.outer(_shares(parameters.width_weights), _shares(parameters.slope_weights)).ravel()


@lru_cache(maxsize=64)
def motion(parameters: PlasmapauseParameters, hours: float) -> Motion:
    """How the state may change within some hours.

    Each axis is a Markov process in continuous time, so that two half hours are as good as one hour.
    """
    inner = _drift(
        levels(parameters.plasmasphere_levels), plasmasphere_prior(parameters), parameters.plasmasphere_drift
    )
    outer = _drift(levels(parameters.trough_levels), trough_prior(parameters), parameters.trough_drift)
    width = _redraw(_shares(parameters.width_weights), parameters.width_change_per_h)
    slope = _redraw(_shares(parameters.slope_weights), parameters.slope_change_per_h)
    return Motion(
        place=_transition(_place_rates(parameters), hours),
        plasmasphere=_transition(inner, hours),
        trough=_transition(outer, hours),
        shape=np.asarray(np.kron(_transition(width, hours), _transition(slope, hours)), dtype=np.float64),
    )


def _transition(rates: FloatArray, hours: float) -> FloatArray:
    """exp of the rates, free of what rounding leaves."""
    matrix = np.maximum(expm(rates * hours), 0.0)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def _place_rates(parameters: PlasmapauseParameters) -> FloatArray:
    grid, step = parameters.l_grid(), parameters.step_l
    rates = _redraw(place_prior(parameters), parameters.restart_per_h)
    rates += parameters.erosion_per_h * _jumps(grid.size, parameters.erosion_l / step, inward=True)
    rates += parameters.refilling_per_h * _jumps(grid.size, parameters.refilling_l / step, inward=False)
    rates += _neighbours(grid.size, 0.5 * (parameters.wander_l / step) ** 2)
    return rates


def _jumps(size: int, mean: float, *, inward: bool) -> FloatArray:
    """Rates of jumps of geometric length (in steps of the grid) to one side; what leads over the end stays at it."""
    stay = 1.0 - 1.0 / max(mean, 1.0)
    rates = np.zeros((size, size))
    for start in range(size):
        room = size - 1 - start
        if room == 0:
            continue
        share = (1.0 - stay) * stay ** np.arange(room)
        share[-1] += 1.0 - share.sum()
        rates[start, start + 1 :] = share
        rates[start, start] = -1.0
    return rates[::-1, ::-1].copy() if inward else rates


def _neighbours(size: int, rate: float) -> FloatArray:
    rates = np.zeros((size, size))
    for start in range(size):
        for end in (start - 1, start + 1):
            if 0 <= end < size:
                rates[start, end] += rate
                rates[start, start] -= rate
    return rates


def _drift(points: FloatArray, share: FloatArray, sigma_per_h: float) -> FloatArray:
    """Rates of steps to the neighbouring levels that leave the prior as it is (detailed balance)."""
    rate = 0.5 * (sigma_per_h / (points[1] - points[0])) ** 2
    rates = np.zeros((points.size, points.size))
    for start in range(points.size):
        for end in (start - 1, start + 1):
            if 0 <= end < points.size:
                rates[start, end] = rate * math.sqrt(share[end] / share[start])
        rates[start, start] = -rates[start].sum()
    return rates


def _redraw(share: FloatArray, rate: float) -> FloatArray:
    return np.asarray(rate * (share[None, :] - np.eye(share.size)))


def _shares(weights: tuple[float, ...]) -> FloatArray:
    return np.asarray(weights) / sum(weights)


def _normal(points: FloatArray, centre: float, sigma: float) -> FloatArray:
    weight = np.exp(-0.5 * ((points - centre) / sigma) ** 2)
    return np.asarray(weight / weight.sum())


@lru_cache(maxsize=128)
def pair_table(parameters: PlasmapauseParameters, l_shell: float, half_span: float) -> PairTable:
    """What the pair at L with stations at L ± half_span shows.

    Its frequency is √(f_P f_E), so that its ln ρ is the mean of the stations'; f ∝ L⁻⁴ ρ^(−1/2).
    """
    poleward, equatorward = (_profile(parameters, l_shell + sign * half_span) for sign in (1.0, -1.0))
    distance = math.log((l_shell + half_span) / (l_shell - half_span))
    step = -4.0 * distance - 0.5 * (poleward - equatorward)
    return PairTable(_nearest(0.5 * (poleward + equatorward), LN_DENSITY), _nearest(step, LN_STEP))


def _profile(parameters: PlasmapauseParameters, l_shell: float) -> FloatArray:
    """ln ρ (amu cm⁻³) at L in every state."""
    inner, outer = _sides(parameters, np.array(l_shell))
    widths = np.repeat(parameters.widths_l, len(parameters.slopes_per_l))
    away = (l_shell - parameters.l_grid()[:, None]) / widths
    share = 0.5 * (1.0 + np.tanh(away))[:, None, None, :]
    return np.asarray(inner + share * (outer - inner))


def _sides(parameters: PlasmapauseParameters, l_shell: FloatArray) -> tuple[FloatArray, FloatArray]:
    """ln ρ at L of the plasmasphere and of the trough, to be broadcast over the state behind its first axis."""
    slopes = np.tile(parameters.slopes_per_l, len(parameters.widths_l))
    inner = plasmasphere_ln(l_shell) + slopes * (l_shell - _PIVOT_L)
    level = levels(parameters.plasmasphere_levels)[:, None, None]
    over = parameters.filling_beyond_l - parameters.full_below_l
    filling = np.clip((l_shell - parameters.full_below_l) / over, 0.0, 1.0)
    inner = inner + level + (1.0 - filling) * np.maximum(parameters.full_level - level, 0.0)
    return inner, trough_ln(l_shell) + levels(parameters.trough_levels)[:, None]


@lru_cache(maxsize=8)
def has_drop(parameters: PlasmapauseParameters) -> FloatArray:
    """1 where the density behind L_pp falls enough for a plasmapause, else 0; of the state's shape."""
    behind = parameters.l_grid() + parameters.drop_behind_l
    inner, outer = _sides(parameters, behind[:, None, None, None])
    return np.asarray((inner - outer >= math.log(parameters.least_drop)).astype(np.float64))


@lru_cache(maxsize=128)
def filled_share(parameters: PlasmapauseParameters, l_shell: float) -> FloatArray:
    """Where nothing falls: how probably the plasma at L is plasmasphere, by its density alone.

    Shape (levels of the plasmasphere, shapes): Bayes with the priors of both levels, each as probable as the other.
    """
    inner, _ = _sides(parameters, np.array(l_shell))
    full = plasmasphere_ln(np.array(l_shell)) + parameters.plasmasphere_prior
    empty = trough_ln(np.array(l_shell)) + parameters.trough_prior
    as_full = _density_of(inner[:, 0, :], full, parameters.plasmasphere_sigma)
    as_empty = _density_of(inner[:, 0, :], empty, parameters.trough_sigma)
    return np.asarray(as_full / (as_full + as_empty))


def _density_of(points: FloatArray, centre: FloatArray, sigma: float) -> FloatArray:
    return np.asarray(np.exp(-0.5 * ((points - centre) / sigma) ** 2) / sigma)


def _nearest(values: FloatArray, table: FloatArray) -> Index:
    place = np.rint((values - table[0]) / (table[1] - table[0]))
    return np.asarray(np.clip(place, 0, table.size - 1).astype(np.int32))
