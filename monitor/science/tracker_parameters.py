"""What the tracker over time believes: how classes change, how lines drift, how readings scatter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import fractional_matrix_power

from monitor.types import FloatArray, Json

Triple: TypeAlias = tuple[float, float, float]

_SHARES = ("jump", "outlier", "chance_outlier")


@dataclass(frozen=True, slots=True)
class TrackerParameters:
    """The hidden Markov model of `science.tracker`; classes are in the order of `types.CLASSES`.

    The defaults are guesses for windows of two hours every half hour, to be replaced by what `tracker_fit` learns.

    Attributes
    ----------
    prior : tuple of float
        Class shares under which the probabilities were calibrated; their scale does not matter.
    transition : 3 × 3 tuple of float
        Probability of the next window's class (column) after this one's (row).
    cadence_s : float
        The step to which `transition`, `drift`, `jump` and `evidence` belong.
    drift : float
        Standard deviation of the change of ln f in one step.
    jump : float
        Probability that f is anywhere on the grid a step later.
    outlier : float
        Share of readings of a resonance that miss it altogether.
    chance_spread, chance_outlier : float
        Readings where there is no such resonance: standard deviation of ln f about the line, and the share that is
        anywhere.
    evidence : float
        Share of a window's evidence that is its own (the exponent of its likelihood). Windows of two hours every
        half hour share three quarters of their samples: between 1 (all of it is new) and 0.25 (only what the new
        samples say), the default is the geometric mean.
    pool : float
        Share of the posterior in the decision; the rest is the window's own probability (see `tracker.pooled`).
    lowest_Hz, highest_Hz : float
        Ends of the frequency grid; readings beyond count as there.
    bins : int
        Points of the grid, evenly spaced in ln f.

    Raises
    ------
    ValueError
        A value that cannot be; the message names it.
    """

    prior: Triple = (1 / 3, 1 / 3, 1 / 3)
    transition: tuple[Triple, Triple, Triple] = (
        (0.95, 0.045, 0.005),
        (0.06, 0.935, 0.005),
        (0.06, 0.04, 0.9),
    )
    cadence_s: float = 1800.0
    drift: float = 0.05
    jump: float = 0.01
    outlier: float = 0.05
    chance_spread: float = 0.35
    chance_outlier: float = 0.3
    evidence: float = 0.5
    pool: float = 1.0
    lowest_Hz: float = 1e-3
    highest_Hz: float = 0.1
    bins: int = 116

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if len(self.prior) != 3 or not all(0.0 < share < math.inf for share in self.prior):
            raise ValueError(f"prior must be three positive shares, not {self.prior}")
        if len(self.transition) != 3 or not all(map(_is_distribution, self.transition)):
            raise ValueError(f"transition must be three rows that sum to 1, not {self.transition}")
        for name in ("cadence_s", "drift", "chance_spread"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        for name in _SHARES:
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("evidence", "pool"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")
        if not 0.0 < self.lowest_Hz < self.highest_Hz < math.inf:
            raise ValueError(
                f"the grid must rise from above 0, not from {self.lowest_Hz} to {self.highest_Hz}"
            )
        if self.bins < 2:
            raise ValueError(f"bins must be at least 2, not {self.bins}")

    @property
    def ln_step(self) -> float:
        """Spacing of the grid in ln f."""
        return math.log(self.highest_Hz / self.lowest_Hz) / (self.bins - 1)

    @property
    def least_sigma(self) -> float:
        """The narrowest reading that the grid can hold without favouring the points it falls on."""
        return 0.75 * self.ln_step

    def ln_grid(self) -> FloatArray:
        """ln f of the grid, shape (bins,)."""
        return np.asarray(math.log(self.lowest_Hz) + self.ln_step * np.arange(self.bins))

    def stationary(self) -> FloatArray:
        """Class shares that the transition matrix leaves as they are, shape (3,).

        Where it has several such sets of shares, the one that equal shares lead to.
        """
        matrix = np.linalg.matrix_power(0.5 * (np.eye(3) + np.array(self.transition)), 1 << 20)
        shares = np.full(3, 1 / 3) @ matrix
        return np.asarray(shares / shares.sum())

    def at_cadence(self, cadence_s: float) -> TrackerParameters:
        """The same process seen at another step.

        The matrix is taken to the power of the ratio (what rounding or a matrix without such a root leaves below 0
        is set to 0), the walk's variance grows with it, and so does the share of new samples, up to all of them.
        """
        if not 0.0 < cadence_s < math.inf:
            raise ValueError(f"cadence_s must be positive, not {cadence_s}")
        ratio = cadence_s / self.cadence_s
        if ratio == 1.0:
            return self
        matrix = np.maximum(np.real(fractional_matrix_power(np.array(self.transition), ratio)), 0.0)
        return replace(
            self,
            transition=rows_of(matrix),
            cadence_s=cadence_s,
            drift=self.drift * math.sqrt(ratio),
            jump=-math.expm1(ratio * math.log1p(-self.jump)),
            evidence=min(1.0, self.evidence * ratio),
        )

    def to_json(self) -> Json:
        """As JSON, for a model card."""
        document = asdict(self)
        return document | {"prior": list(self.prior), "transition": [list(row) for row in self.transition]}

    @classmethod
    def from_json(cls, document: Json) -> TrackerParameters:
        """What `to_json` gave; ValueError for anything else, with what is wrong."""
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or set(document) != names:
            found = sorted(document) if isinstance(document, dict) else document
            raise ValueError(f"the parameters of a tracker are {sorted(names)}, not {found}")
        try:
            rows = [_triple(row) for row in document["transition"]]
            if len(rows) != 3:
                raise ValueError(f"transition must be three rows that sum to 1, not {rows}")
            plain = names - {"prior", "transition", "bins"}
            numbers: dict[str, Any] = {name: float(document[name]) for name in plain}
            return cls(
                prior=_triple(document["prior"]),
                transition=(rows[0], rows[1], rows[2]),
                bins=int(document["bins"]),
                **numbers,
            )
        except TypeError as error:
            raise ValueError(
                f"the parameters of a tracker hold something that is no number: {error}"
            ) from error


def rows_of(matrix: FloatArray) -> tuple[Triple, Triple, Triple]:
    """A matrix of shape (3, 3) as rows that sum to 1."""
    first, second, third = (_triple(row / row.sum()) for row in matrix)
    return first, second, third


def _triple(values: Sequence[float] | FloatArray) -> Triple:
    if len(values) != 3:
        raise ValueError(f"one number a class is wanted, not {values}")
    return float(values[0]), float(values[1]), float(values[2])


def _is_distribution(row: Sequence[float]) -> bool:
    return len(row) == 3 and all(0.0 <= share <= 1.0 for share in row) and abs(sum(row) - 1.0) < 1e-9
