"""What the estimate of the plasmapause believes: where it may be, how it moves, what plasma lies on either side."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from monitor.types import FloatArray, Json

_POSITIVE = (
    "step_l",
    "prior_sigma_l",
    "plasmasphere_sigma",
    "trough_sigma",
    "density_scatter",
    "density_freedom",
    "gradient_scatter",
    "l_shell_sigma",
    "usual_half_span_l",
)
_SHARES = (
    "prior_anywhere",
    "density_outlier",
    "third_harmonic",
    "ambiguous_third_harmonic",
    "false_pbl",
    "missed_pbl",
    "density_evidence",
    "label_evidence",
)
_NOT_NEGATIVE = (
    "drop_behind_l",
    "erosion_per_h",
    "erosion_l",
    "refilling_per_h",
    "refilling_l",
    "wander_l",
    "restart_per_h",
    "plasmasphere_drift",
    "trough_drift",
    "width_change_per_h",
    "slope_change_per_h",
)


@dataclass(frozen=True, slots=True)
class PlasmapauseParameters:
    """The hidden Markov model of `science.plasmapause`; all rates are per hour.

    Nothing here is fitted to one chain. Densities are taken relative to Carpenter and Anderson (1992,
    doi:10.1029/91JA01548) in the plasmasphere and to their trough at dawn; the levels themselves are learned from
    the chain, within the prior that stands here.

    Attributes
    ----------
    lowest_l, highest_l, step_l : float
        Grid of L_pp. Beyond the chain, its outer end stands for "no plasmapause in sight".
    prior_l, prior_sigma_l, prior_anywhere : float
        L_pp before anything is known: a normal and a share that is anywhere on the grid.
    widths_l : tuple of float
        Scales of the fall of ln ρ (tanh) in L; the narrow ones are a plasmapause as Carpenter and Anderson
        describe it, the wide one a gradual fall that no cross-phase reverses at.
    width_weights : tuple of float
        Prior weight of each width.
    slopes_per_l : tuple of float
        By how much ln ρ of the plasmasphere changes in L beside its model, which holds at L = 4: with -0.4 it falls
        as L⁻⁴·⁵, with 0.2 as L⁻².
    slope_weights : tuple of float
        Prior weight of each slope.
    plasmasphere_levels, trough_levels : (lowest, highest, count)
        Grid of the logarithm of mass density over the two models: filling and ion mass.
    full_below_l, filling_beyond_l, full_level : float
        Where flux tubes refill within a day and are always full, and from where they take days (their volume grows as
        L⁴): between the two the level goes over from that of a full plasmasphere to the chain's own, if that is lower.
    plasmasphere_prior, plasmasphere_sigma, trough_prior, trough_sigma : float
        Normal priors of these levels.
    least_drop, drop_behind_l : float
        A state whose trough, so far outside L_pp, is not emptier than its plasmasphere by this factor has no
        plasmapause in sight.
    density_scatter : float
        Scatter of ln ρ about such profiles beside the error of the measurement.
    density_freedom : float
        Degrees of freedom of Student's t of that scatter: its tails.
    density_outlier : float
        Share of densities that say nothing.
    third_harmonic_ln : float
        By how much ln ρ is too low where a third harmonic is read as the fundamental.
    third_harmonic, ambiguous_third_harmonic : float
        Prior probability of that, for a plain density and for one whose harmonic is in doubt.
    gradient_scatter : float
        Scatter of ln(f_poleward / f_equatorward) about the profile's, when labels are compared with it.
    false_pbl, missed_pbl : float
        PBL among the labels of resonances that are not reversed, and Freq among those that are.
    density_evidence, label_evidence : float
        Share of a window's evidence that is its own (exponents of the likelihoods): windows of two hours every
        half hour share three quarters of their samples, and profiles are wrong in the same way for hours.
    erosion_per_h, erosion_l : float
        Steps inward: how often, and their mean length (exponential).
    refilling_per_h, refilling_l : float
        The same outward.
    wander_l : float
        Standard deviation after one hour of small movements.
    restart_per_h : float
        Chance that L_pp is found anywhere anew, however it came there.
    plasmasphere_drift, trough_drift : float
        Standard deviation of the levels' change in an hour. The plasmasphere refills in days and is emptied from
        outside: a density that falls within hours is a plasmapause that came by, not a level that sank.
    width_change_per_h, slope_change_per_h : float
        How often each is drawn anew.
    l_shell_sigma : float
        Error of the pairs' own L, by the field of the magnetosphere: on which side a pair stands is known no better.
    usual_half_span_l : float
        Half the distance in L of a pair's stations where it is unknown.

    Raises
    ------
    ValueError
        A value that cannot be; the message names it.
    """

    lowest_l: float = 1.6
    highest_l: float = 7.6
    step_l: float = 0.05
    prior_l: float = 4.8
    prior_sigma_l: float = 1.0
    prior_anywhere: float = 0.3
    widths_l: tuple[float, ...] = (0.08, 0.3)
    width_weights: tuple[float, ...] = (1.0, 1.0)
    slopes_per_l: tuple[float, ...] = (-0.35, 0.0, 0.25)
    slope_weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    plasmasphere_levels: tuple[float, float, int] = (-2.4, 1.4, 8)
    trough_levels: tuple[float, float, int] = (-2.0, 2.4, 8)
    full_below_l: float = 1.8
    filling_beyond_l: float = 3.0
    full_level: float = 0.25
    plasmasphere_prior: float = -0.5
    plasmasphere_sigma: float = 0.8
    trough_prior: float = 0.5
    trough_sigma: float = 0.9
    least_drop: float = 1.5
    drop_behind_l: float = 0.5
    density_scatter: float = 0.35
    density_freedom: float = 3.0
    density_outlier: float = 0.03
    third_harmonic_ln: float = 2.5
    third_harmonic: float = 0.01
    ambiguous_third_harmonic: float = 0.15
    gradient_scatter: float = 0.1
    false_pbl: float = 0.004
    missed_pbl: float = 0.1
    density_evidence: float = 0.35
    label_evidence: float = 0.75
    erosion_per_h: float = 0.25
    erosion_l: float = 0.35
    refilling_per_h: float = 0.25
    refilling_l: float = 0.12
    wander_l: float = 0.1
    restart_per_h: float = 0.002
    plasmasphere_drift: float = 0.07
    trough_drift: float = 0.12
    width_change_per_h: float = 0.05
    slope_change_per_h: float = 0.005
    l_shell_sigma: float = 0.06
    usual_half_span_l: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in _POSITIVE:
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not 1.0 <= self.least_drop < math.inf:
            raise ValueError(f"least_drop must be at least 1, not {self.least_drop}")
        for name in _SHARES:
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
        if not 1.0 <= self.lowest_l < self.highest_l - 2.0 * self.step_l < math.inf:
            raise ValueError(f"the grid of L must rise from 1, not from {self.lowest_l} to {self.highest_l}")
        if not self.widths_l or not all(0.0 < width < math.inf for width in self.widths_l):
            raise ValueError(f"widths_l must be positive, not {self.widths_l}")
        if not self.slopes_per_l or not all(map(math.isfinite, self.slopes_per_l)):
            raise ValueError(f"slopes_per_l must be finite, not {self.slopes_per_l}")
        if not self.full_below_l < self.filling_beyond_l:
            raise ValueError(f"filling_beyond_l must exceed full_below_l, not {self.filling_beyond_l}")
        for name, points in (("width_weights", self.widths_l), ("slope_weights", self.slopes_per_l)):
            weights = getattr(self, name)
            if len(weights) != len(points) or not all(0.0 < weight < math.inf for weight in weights):
                raise ValueError(f"{name} must be {len(points)} positive weights, not {weights}")
        for name in ("plasmasphere_levels", "trough_levels"):
            low, high, count = getattr(self, name)
            if not -math.inf < low < high < math.inf or count < 2:
                raise ValueError(f"{name} must rise in two steps or more, not {getattr(self, name)}")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the state: L_pp, level of the plasmasphere, level of the trough, width and slope together."""
        shapes = len(self.widths_l) * len(self.slopes_per_l)
        return (self.l_grid().size, self.plasmasphere_levels[2], self.trough_levels[2], shapes)

    def l_grid(self) -> FloatArray:
        """The grid of L_pp."""
        count = round((self.highest_l - self.lowest_l) / self.step_l) + 1
        return np.asarray(self.lowest_l + self.step_l * np.arange(count))

    def to_json(self) -> Json:
        """As JSON; lists for tuples."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, document: Json) -> PlasmapauseParameters:
        """What `to_json` gave; ValueError for anything else, with what is wrong."""
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or set(document) != names:
            found = sorted(document) if isinstance(document, dict) else document
            raise ValueError(f"the parameters of a plasmapause are {sorted(names)}, not {found}")
        try:
            values: dict[str, Any] = {name: _value(value) for name, value in document.items()}
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"the parameters of a plasmapause hold no number: {error}") from error


ONE_PAIR = PlasmapauseParameters(
    step_l=0.1,
    widths_l=(0.15,),
    width_weights=(1.0,),
    slopes_per_l=(0.0,),
    slope_weights=(1.0,),
)
"""For a pair without a chain, which cannot tell shapes apart: a twelfth of the state."""


def _value(value: Json) -> float | tuple[float, ...]:
    if isinstance(value, list):
        return tuple(_number(item) for item in value)
    return _number(value)


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r}")
    return value
