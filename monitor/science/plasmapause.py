"""The plasmapause of a chain of pairs as one Bayesian estimate in time.

A hidden Markov model. Its state is L_pp on a grid, times what the whole chain shares and what changes slowly: the
level of the plasmasphere and of the trough over the models of Carpenter and Anderson (1992,
doi:10.1029/91JA01548), so that absolute densities are learned from the chain itself, and the width of the fall
between them. A state says what each pair would show: its density, and the change of frequency between its stations.
f ∝ L⁻⁴ ρ^(−1/2), so where the density falls faster than L⁻⁸ across the pair the cross-phase is reversed (Kale et al.
2007, doi:10.1029/2007JA012367), and the pair is labelled PBL; where it does not, a PBL is an error. Between windows
the plasmapause rests, steps inward or creeps outward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from monitor.science.plasmapause_model import (
    LN_DENSITY,
    LN_STEP,
    filled_share,
    has_drop,
    motion,
    pair_table,
    prior,
)
from monitor.science.plasmapause_parameters import PlasmapauseParameters
from monitor.types import CLASSES, BoolArray, Float32Array, FloatArray, IntArray, Label, PlasmapauseEstimate

STEEPEST_EXPONENT = 8.0
"""A density that falls faster than L to minus this reverses the gradient of the frequency."""

UNLABELLED = -1
"""The label of a pair that says nothing."""

_FREQ, _PBL = CLASSES.index(Label.FREQ), CLASSES.index(Label.PBL)
_LN_RANGE = 10.0  # over which a density that says nothing is spread


@dataclass(frozen=True, slots=True)
class Observation:
    """What the pairs of a chain show in one window: arrays of shape (p,), the outermost first.

    Attributes
    ----------
    l_shell : ndarray
        L of the pairs, not rising.
    half_span_l : ndarray
        Half the distance in L of each pair's stations; NaN where unknown.
    ln_density : ndarray
        ln of the mass density (amu cm⁻³); NaN where there is none to use.
    sigma_ln : ndarray
        Its standard deviation.
    label : ndarray, int64
        Place in `types.CLASSES`; `UNLABELLED` where the pair says nothing.
    ambiguous : ndarray, bool
        Whether the resonance may be a third harmonic.

    Raises
    ------
    ValueError
        Arrays that do not fit together, an L that is not above 1 or unsorted, a σ that is negative, a label that
        is none; the message names it.
    """

    l_shell: FloatArray
    half_span_l: FloatArray
    ln_density: FloatArray
    sigma_ln: FloatArray
    label: IntArray
    ambiguous: BoolArray

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        pairs = self.l_shell.shape
        for name in ("half_span_l", "ln_density", "sigma_ln", "label", "ambiguous"):
            if getattr(self, name).shape != pairs or len(pairs) != 1:
                raise ValueError(
                    f"{name} must have the shape (p,) of l_shell, not {getattr(self, name).shape}"
                )
        for value in self.l_shell[~((self.l_shell > 1.0) & (self.l_shell < np.inf))]:
            raise ValueError(f"l_shell must exceed 1, not {value}")
        if (np.diff(self.l_shell) > 0.0).any():
            raise ValueError(f"l_shell must not rise: the outermost pair comes first, not {self.l_shell}")
        for value in self.half_span_l[(self.half_span_l <= 0.0) | (self.half_span_l >= self.l_shell - 1.0)]:
            raise ValueError(f"half_span_l must be positive and leave both stations above L = 1, not {value}")
        for value in self.sigma_ln[np.isfinite(self.ln_density) & ~(self.sigma_ln >= 0.0)]:
            raise ValueError(f"sigma_ln must not be negative where there is a density, not {value}")
        for value in self.label[(self.label < UNLABELLED) | (self.label >= len(CLASSES))]:
            raise ValueError(f"label must be a place in CLASSES or {UNLABELLED}, not {value}")

    @property
    def has_density(self) -> BoolArray:
        """Which pairs have a density."""
        return np.asarray(np.isfinite(self.ln_density))

    @property
    def seen(self) -> BoolArray:
        """Which pairs say anything."""
        return np.asarray(self.has_density | (self.label == _FREQ) | (self.label == _PBL))


def initial(parameters: PlasmapauseParameters) -> Float32Array:
    """The state before the first window, of shape `parameters.shape`, sum 1."""
    return prior(parameters).astype(np.float32)


def advance(parameters: PlasmapauseParameters, state: Float32Array, hours: float) -> Float32Array:
    """The state some hours later, with nothing seen since.

    Raises
    ------
    ValueError
        Hours that are negative or not finite.
    """
    if not 0.0 <= hours < math.inf:
        raise ValueError(f"hours must not be negative, not {hours}")
    step = motion(parameters, round(hours, 6))
    later = np.tensordot(step.place, state.astype(np.float64), axes=(0, 0))
    for axis, matrix in ((1, step.plasmasphere), (2, step.trough), (3, step.shape)):
        later = np.moveaxis(np.tensordot(later, matrix, axes=(axis, 0)), -1, axis)
    return _normalised(later)


def observe(parameters: PlasmapauseParameters, state: Float32Array, seen: Observation) -> Float32Array:
    """The state after a window has been taken in; where nothing was seen, the same."""
    if not seen.seen.any():
        return state
    # In logarithms: a long chain that contradicts the state would underflow everywhere.
    with np.errstate(divide="ignore"):
        ln_weight = np.log(state.astype(np.float64))
    half_span = _half_span(parameters, seen)
    for pair in np.flatnonzero(seen.seen).tolist():
        table = pair_table(parameters, float(seen.l_shell[pair]), float(half_span[pair]))
        if seen.has_density[pair]:
            ln_weight += _of_density(parameters, seen, pair).take(table.density)
        if seen.label[pair] in (_FREQ, _PBL):
            ln_weight += _of_label(parameters, int(seen.label[pair])).take(table.step)
    return _normalised(np.exp(ln_weight - ln_weight.max()))


def summarise(
    parameters: PlasmapauseParameters, state: Float32Array, seen: Observation, level: float, widest_l: float
) -> PlasmapauseEstimate:
    """What the state says of the plasmapause and of each pair.

    Parameters
    ----------
    parameters : PlasmapauseParameters
    state : ndarray, shape `parameters.shape`
    seen : Observation
        Of this window; its pairs are those of the result.
    level : float
        Probability of the interval.
    widest_l : float
        No wider interval is stated.

    Raises
    ------
    ValueError
        No pair, or a level that is none.
    """
    if seen.l_shell.size == 0:
        raise ValueError("a plasmapause needs one pair at least")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    drop = has_drop(parameters)
    share = state / state.sum(dtype=np.float64)
    level_share = (share * (1.0 - drop)).sum(axis=(0, 2))
    # Where nothing falls the plasmapause is on this side of the whole chain or on that.
    filled = np.mean([(level_share * filled_share(parameters, x)).sum() for x in seen.l_shell.tolist()])
    empty = float(level_share.sum() - filled)
    place = (share * drop).sum(axis=(1, 2, 3))
    edges, below = _cumulative(parameters, place, empty)
    away = (parameters.l_grid() - seen.l_shell[:, None]) / parameters.l_shell_sigma
    inside = np.clip(special.ndtr(away) @ place + filled, 0.0, 1.0)
    low, middle, high = np.interp([0.5 - level / 2, 0.5, 0.5 + level / 2], below, edges).tolist()
    reason = _reason(seen, _half_span(parameters, seen), (low, middle, high), widest_l)
    stated = reason is None
    return PlasmapauseEstimate(
        l_shell=middle if stated else None,
        low=low if stated else None,
        high=high if stated else None,
        confidence=level if stated else 0.0,
        inside=tuple(inside.tolist()),
        reason=reason,
        by_label=by_label(seen),
        by_gradient=by_gradient(seen),
    )


def by_label(seen: Observation) -> float | None:
    """Mean L of the pairs labelled PBL, or None."""
    chosen = seen.label == _PBL
    return float(seen.l_shell[chosen].mean()) if chosen.any() else None


def by_gradient(seen: Observation) -> float | None:
    """L midway between the neighbours whose density falls the steepest, where that is faster than L⁻⁸, or None."""
    known = seen.has_density
    l_shell, ln_density = seen.l_shell[known], seen.ln_density[known]
    apart = np.diff(l_shell) < 0.0
    if not apart.any():
        return None
    distance = np.where(apart, np.diff(np.log(l_shell)), -1.0)
    exponent = np.where(apart, -np.diff(ln_density) / distance, -np.inf)
    steepest = int(exponent.argmax())
    if exponent[steepest] <= STEEPEST_EXPONENT:
        return None
    return float(l_shell[steepest : steepest + 2].mean())


def _reason(
    seen: Observation, half_span: FloatArray, interval: tuple[float, float, float], widest_l: float
) -> str | None:
    """Why no position is stated, or None where one is."""
    low, middle, high = interval
    innermost, outermost = (seen.l_shell - half_span)[-1], (seen.l_shell + half_span)[0]
    within = innermost <= middle <= outermost
    if within and high - low <= widest_l:
        return None
    if not seen.seen.any():
        return "no_data"
    return "uncertain" if within else "beyond_chain"


def _half_span(parameters: PlasmapauseParameters, seen: Observation) -> FloatArray:
    """Half the distance of the pairs' stations, a usual one where it is unknown."""
    usual = np.minimum(parameters.usual_half_span_l, 0.5 * (seen.l_shell - 1.0))
    return np.where(np.isnan(seen.half_span_l), usual, seen.half_span_l)


def _cumulative(
    parameters: PlasmapauseParameters, place: FloatArray, before: float
) -> tuple[FloatArray, FloatArray]:
    """Edges of the cells about the grid's points, and the probability below each, `before` of it below them all."""
    grid = parameters.l_grid()
    edges = np.append(grid - 0.5 * parameters.step_l, grid[-1] + 0.5 * parameters.step_l)
    return edges, before + np.append(0.0, np.cumsum(place))


def _of_density(parameters: PlasmapauseParameters, seen: Observation, pair: int) -> FloatArray:
    """ln of the likelihood of a pair's density, over `LN_DENSITY`: Student's t, and a share that says nothing."""
    scale = math.hypot(float(seen.sigma_ln[pair]), parameters.density_scatter)
    third = parameters.ambiguous_third_harmonic if seen.ambiguous[pair] else parameters.third_harmonic
    off = float(seen.ln_density[pair]) - LN_DENSITY
    fundamental = _student(off / scale, parameters.density_freedom) / scale
    harmonic = _student((off + parameters.third_harmonic_ln) / scale, parameters.density_freedom) / scale
    told = (1.0 - third) * fundamental + third * harmonic
    outlier = parameters.density_outlier
    return np.asarray(parameters.density_evidence * np.log((1.0 - outlier) * told + outlier / _LN_RANGE))


def _student(value: FloatArray, freedom: float) -> FloatArray:
    ln_scale = special.gammaln((freedom + 1.0) / 2.0) - special.gammaln(freedom / 2.0)
    constant = math.exp(ln_scale) / math.sqrt(freedom * math.pi)
    return np.asarray(constant * (1.0 + value**2 / freedom) ** (-0.5 * (freedom + 1.0)))


def _of_label(parameters: PlasmapauseParameters, label: int) -> FloatArray:
    """ln of the likelihood of Freq or PBL, over `LN_STEP`."""
    reverse = special.ndtr(LN_STEP / parameters.gradient_scatter)
    pbl = (1.0 - parameters.missed_pbl) * reverse + parameters.false_pbl * (1.0 - reverse)
    return np.asarray(parameters.label_evidence * np.log(pbl if label == _PBL else 1.0 - pbl))


def _normalised(weight: FloatArray) -> Float32Array:
    return np.asarray(weight / weight.sum(), dtype=np.float32)
