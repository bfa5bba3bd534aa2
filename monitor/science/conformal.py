"""Intervals of the frequency that hold: split-conformal prediction by class and L band.

A regressor's own idea of its error is stretched (or shrunk) until it covers the wanted share of windows that
the regressor has not learnt from; each class and L band has a margin of its own where it has windows enough
(Mondrian groups: Vovk, Gammerman & Shafer 2005, doi:10.1007/b106715). All is done in ln f, so that margins
are relative. Lei et al. (2018), doi:10.1080/01621459.2017.1307116, for residuals over a difficulty; Romano,
Patterson & Candès (2019), arXiv:1905.03222, for predicted quantiles.

What exchangeability means here
-------------------------------
The promise: of new windows *drawn like the calibration windows*, at least the share `level` is covered, on
average over calibration sets. Two things break it, and one can be mended here. Windows of one sequence
overlap and share their waves, so n windows of S sequences are not n draws; the margin is as uncertain as one
from S draws or a few more. `Counting` says how that is met. The other is the draw itself: windows of a
generator are exchangeable with windows of that generator, not with nature's. For those the share has to be
measured (`monitor.science.coverage`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.types import BoolArray, Float32Array, FloatArray, IntArray, Json

FORMAT: Final = "conformal/1"
L_EDGES: Final = (2.0, 3.0, 4.0, 5.0)
"""Inner edges of the L bands: under 2, 2–3, 3–4, 4–5, 5 and more."""

Real = FloatArray | Float32Array


class ScoreKind(StrEnum):
    """What the margin is measured in."""

    NORMALISED = "normalised"
    """|ln f − ln f̂| over the difficulty σ̂."""
    QUANTILE = "quantile"
    """How far ln f lies outside predicted quantiles; negative inside."""


class Counting(StrEnum):
    """What counts as one draw."""

    WINDOWS = "windows"
    """Every window: right where they are independent."""
    POOLED = "pooled"
    """Every window weighs the same, but all are worth only as many draws as there are sequences: holds the
    share of windows, to the first order.
    """
    SEQUENCES = "sequences"
    """Every sequence weighs the same: guaranteed for a window drawn at random from a new sequence drawn at
    random (Lee, Barber & Willett 2023, arXiv:2306.06342).
    """


@dataclass(frozen=True, slots=True)
class Scores:
    """How far the truth lies below and above what was predicted (arrays of shape (n,)).

    Made by `normalised_scores` or `quantile_scores`.
    """

    kind: ScoreKind
    below: FloatArray
    above: FloatArray


@dataclass(frozen=True, slots=True)
class Margin:
    """What is added below and above in one group; class and band None stand for all."""

    class_index: int | None
    band: int | None
    below: float
    above: float
    windows: int
    sequences: int


@dataclass(frozen=True, slots=True)
class Conformal:
    """Margins by class and L band.

    Attributes
    ----------
    kind : ScoreKind
    level : float
        Share that the intervals shall cover.
    edges : tuple of float
        Inner edges of the L bands, rising; an L on an edge belongs to the band above.
    margins : tuple of Margin
        Of the groups that had enough calibration windows, always among them that of all windows.
    """

    kind: ScoreKind
    level: float
    edges: tuple[float, ...]
    margins: tuple[Margin, ...]

    def interval(
        self, frequency_Hz: Real, sigma: Real, class_index: IntArray, l_shell: Real
    ) -> tuple[FloatArray, FloatArray]:
        """Interval about a frequency with a difficulty (kind `normalised`).

        Parameters
        ----------
        frequency_Hz, sigma : ndarray, shape (n,)
            As for `normalised_scores`; NaN gives NaN.
        class_index : ndarray, shape (n,)
            Of the reading, as in calibration; one that calibration did not know gets the margin of all.
        l_shell : ndarray, shape (n,)
            NaN gives the margin of the whole class.

        Returns
        -------
        low_Hz, high_Hz : ndarray, shape (n,)
            The frequency itself always lies within.

        Raises
        ------
        ValueError
            For the other kind, shapes that differ, or a frequency or difficulty that is not positive.
        """
        self._require(ScoreKind.NORMALISED)
        _check_shapes(frequency_Hz=frequency_Hz, sigma=sigma, class_index=class_index, l_shell=l_shell)
        centre, width = _logarithm(frequency_Hz, "frequency_Hz"), _positive(sigma, "sigma")
        below, above = self._margins(class_index, l_shell)
        return np.exp(centre - np.maximum(below, 0.0) * width), np.exp(
            centre + np.maximum(above, 0.0) * width
        )

    def widen(
        self, low_Hz: Real, high_Hz: Real, class_index: IntArray, l_shell: Real
    ) -> tuple[FloatArray, FloatArray]:
        """Interval from predicted quantiles (kind `quantile`); parameters and errors as in `interval`.

        Quantiles that were predicted too wide are brought closer, at most until they meet; crossed ones are
        put in order.
        """
        self._require(ScoreKind.QUANTILE)
        _check_shapes(low_Hz=low_Hz, high_Hz=high_Hz, class_index=class_index, l_shell=l_shell)
        first, second = _logarithm(low_Hz, "low_Hz"), _logarithm(high_Hz, "high_Hz")
        below, above = self._margins(class_index, l_shell)
        low, high = np.minimum(first, second) - below, np.maximum(first, second) + above
        crossed, middle = low > high, 0.5 * (low + high)
        return np.exp(np.where(crossed, middle, low)), np.exp(np.where(crossed, middle, high))

    def _require(self, kind: ScoreKind) -> None:
        if self.kind is not kind:
            raise ValueError(f"these margins are of the kind {self.kind}, not {kind}")

    def _margins(self, class_index: IntArray, l_shell: Real) -> tuple[FloatArray, FloatArray]:
        """Each window's own margins: those of its group, else of its class, else of all."""
        classes = 1 + max((one.class_index for one in self.margins if one.class_index is not None), default=0)
        # The last row is for classes, the last column for L, that calibration did not know.
        table = np.empty((2, classes + 1, len(self.edges) + 2))
        for one in sorted(self.margins, key=_breadth):
            row = slice(None) if one.class_index is None else one.class_index
            column = slice(None) if one.band is None else one.band
            table[0, row, column], table[1, row, column] = one.below, one.above
        known = (class_index >= 0) & (class_index < classes)
        rows, bands = np.where(known, class_index, classes), l_band(l_shell, self.edges)
        return table[0, rows, bands], table[1, rows, bands]

    def to_json(self) -> Json:
        """As JSON, with every digit."""
        return {
            "format": FORMAT,
            "kind": self.kind.value,
            "level": self.level,
            "l_edges": list(self.edges),
            "margins": [
                {
                    "class": one.class_index,
                    "l_band": one.band,
                    "below": one.below,
                    "above": one.above,
                    "windows": one.windows,
                    "sequences": one.sequences,
                }
                for one in self.margins
            ],
        }

    @classmethod
    def from_json(cls, document: Json) -> Conformal:
        """What `to_json` gave.

        Raises
        ------
        ValueError
            For another format, missing or surplus keys, or numbers that are no margins.
        """
        found = document.get("format") if isinstance(document, dict) else document
        if found != FORMAT:
            raise ValueError(f"conformal: expected format {FORMAT}, got {found!r}")
        _check_keys(document, ("format", "kind", "level", "l_edges", "margins"))
        try:
            level, edges = _level(float(document["level"])), _edges(document["l_edges"])
            margins = tuple(_margin(one, len(edges)) for one in document["margins"])
        except TypeError as error:
            raise ValueError(f"conformal: a value is of the wrong kind: {error}") from error
        if not any(one.class_index is None and one.band is None for one in margins):
            raise ValueError("conformal: the margin of all windows is missing")
        return cls(ScoreKind(document["kind"]), level, edges, margins)


def l_band(l_shell: Real, edges: Sequence[float] = L_EDGES) -> IntArray:
    """Band of each L, 0 … len(edges); len(edges) + 1 where L is NaN."""
    band = np.searchsorted(np.asarray(edges, dtype=np.float64), l_shell, side="right").astype(np.int64)
    return np.where(np.isnan(l_shell), len(edges) + 1, band)


def normalised_scores(truth_Hz: Real, frequency_Hz: Real, sigma: Real) -> Scores:
    """Scores of a frequency with a difficulty, all of shape (n,).

    Parameters
    ----------
    truth_Hz, frequency_Hz : ndarray
        Positive.
    sigma : ndarray
        Any positive estimate of how wrong ln f̂ may be; only its ratios matter.
    """
    _check_shapes(truth_Hz=truth_Hz, frequency_Hz=frequency_Hz, sigma=sigma)
    off = (_logarithm(truth_Hz, "truth_Hz") - _logarithm(frequency_Hz, "frequency_Hz")) / _positive(
        sigma, "sigma"
    )
    return Scores(ScoreKind.NORMALISED, below=-off, above=off)


def quantile_scores(truth_Hz: Real, low_Hz: Real, high_Hz: Real) -> Scores:
    """Scores of predicted quantiles, all of shape (n,) and positive; crossed quantiles are put in order."""
    _check_shapes(truth_Hz=truth_Hz, low_Hz=low_Hz, high_Hz=high_Hz)
    truth = _logarithm(truth_Hz, "truth_Hz")
    first, second = _logarithm(low_Hz, "low_Hz"), _logarithm(high_Hz, "high_Hz")
    return Scores(
        ScoreKind.QUANTILE, below=np.minimum(first, second) - truth, above=truth - np.maximum(first, second)
    )


def fit_conformal(
    scores: Scores,
    class_index: IntArray,
    l_shell: Real,
    *,
    level: float = 0.9,
    minimum: int = 100,
    asymmetric: bool = False,
    edges: Sequence[float] = L_EDGES,
    sequence: npt.NDArray[np.generic] | None = None,
    counting: Counting | None = None,
) -> Conformal:
    """Find the margins from windows that the regressor has not learnt from.

    With n draws the margin is the ⌈(n + 1) · level⌉-th smallest score, which for exchangeable windows covers
    a new one with a probability of at least `level`, and of at most `level` + 1/(n + 1) where no two scores
    are equal.

    Parameters
    ----------
    scores : Scores
        Of shape (n,); NaN is an error.
    class_index : ndarray, shape (n,)
        Class of each reading, 0 or more.
    l_shell : ndarray, shape (n,)
        NaN where unknown: such windows count for their class only.
    level : float
    minimum : int
        Fewest draws with which a group, or a class, has a margin of its own; else it takes that of its class,
        or of all. With 100 draws the true coverage of a group scatters by 0.03 about a level of 0.9.
    asymmetric : bool
        Margins below and above apart, each missed by (1 − level)/2 of the windows, instead of one for both:
        gains width where the errors lean to one side.
    edges : sequence of float
        Inner edges of the L bands.
    sequence : ndarray, shape (n,), optional
        Which windows depend on each other.
    counting : Counting, optional
        By default `pooled` with `sequence`, else `windows`.

    Returns
    -------
    Conformal

    Raises
    ------
    ValueError
        For shapes that differ, scores that are not finite, a negative class, a level outside (0, 1), edges
        that do not rise, a counting that needs `sequence`, or fewer draws than the level asks for.
    """
    _check_shapes(below=scores.below, above=scores.above, class_index=class_index, l_shell=l_shell)
    _level(level)
    bounds = _edges(edges)
    unknown = ~(np.isfinite(scores.below) & np.isfinite(scores.above))
    if unknown.any():
        raise ValueError(f"score of window {np.flatnonzero(unknown)[0]} is not finite")
    if class_index.size and class_index.min() < 0:
        raise ValueError(f"class_index must not be negative, got {class_index.min()}")
    way = counting or (Counting.WINDOWS if sequence is None else Counting.POOLED)
    if sequence is None and way is not Counting.WINDOWS:
        raise ValueError(f"counting by {way} needs the sequence of each window")
    cluster = np.arange(class_index.size) if sequence is None else np.unique(sequence, return_inverse=True)[1]
    _check_shapes(class_index=class_index, sequence=cluster)
    tail = 0.5 * (1.0 + level) if asymmetric else level
    sample = _Sample(scores, cluster.astype(np.int64), way, tail, asymmetric)
    fewest = _fewest_draws(tail)
    everywhere = np.ones(class_index.size, dtype=np.bool_)
    if sample.draws(everywhere) < fewest:
        got = sample.draws(everywhere)
        raise ValueError(f"level {level} needs {fewest} calibration windows (or sequences), got {got}")
    groups: list[tuple[int | None, int | None, BoolArray]] = [(None, None, everywhere)]
    bands = l_band(l_shell, bounds)
    for one in np.unique(class_index).tolist():
        same = class_index == one
        narrow = [(one, band, same & (bands == band)) for band in range(len(bounds) + 1)]
        groups += [
            group for group in ((one, None, same), *narrow) if sample.draws(group[2]) >= max(minimum, fewest)
        ]
    return Conformal(scores.kind, float(level), bounds, tuple(sample.margin(*group) for group in groups))


@dataclass(frozen=True, slots=True)
class _Sample:
    """The calibration windows, and how they count."""

    scores: Scores
    cluster: IntArray
    counting: Counting
    tail: float
    asymmetric: bool

    def draws(self, chosen: BoolArray) -> int:
        """What the chosen windows are worth."""
        windows = int(np.count_nonzero(chosen))
        return windows if self.counting is Counting.WINDOWS else int(np.unique(self.cluster[chosen]).size)

    def margin(self, class_index: int | None, band: int | None, chosen: BoolArray) -> Margin:
        """The margin of the chosen windows."""
        _, index, size = np.unique(self.cluster[chosen], return_inverse=True, return_counts=True)
        weight = self._weights(index, size)
        below, above = self.scores.below[chosen], self.scores.above[chosen]
        if not self.asymmetric:
            below = above = np.maximum(below, above)
        ends = _quantile(below, weight, self.tail), _quantile(above, weight, self.tail)
        return Margin(class_index, band, *ends, windows=index.size, sequences=size.size)

    def _weights(self, index: IntArray, size: IntArray) -> FloatArray:
        """Probability mass of each window; what is missing to 1 lies at infinity, for the new window."""
        windows, sequences = index.size, size.size
        if self.counting is Counting.WINDOWS:
            return np.full(windows, 1.0 / (windows + 1))
        if self.counting is Counting.POOLED:
            return np.full(windows, sequences / (sequences + 1) / windows)
        result: FloatArray = 1.0 / ((sequences + 1) * size[index])
        return result


def _quantile(score: FloatArray, weight: FloatArray, tail: float) -> float:
    """Smallest score at or below which lies the mass `tail`."""
    order = np.argsort(score, kind="stable")
    # The tolerance keeps rounding from taking the next score: 0.9 of ten draws is the ninth.
    place = int(np.searchsorted(np.cumsum(weight[order]), tail - 1e-9))
    return float(score[order[min(place, score.size - 1)]])


def _fewest_draws(tail: float) -> int:
    """Fewest n with ⌈(n + 1) · tail⌉ ≤ n."""
    return int(np.ceil(tail / (1.0 - tail) - 1e-9))


def _breadth(margin: Margin) -> tuple[bool, bool]:
    """Sorts all before classes before bands."""
    return margin.class_index is not None, margin.band is not None


def _check_shapes(**arrays: npt.NDArray[np.generic]) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ValueError(f"expected one shape (n,), got {shapes}")


def _positive(values: Real, name: str) -> FloatArray:
    wrong = values <= 0.0
    if wrong.any():
        raise ValueError(f"{name} must be positive, got {values[wrong][0]}")
    return values.astype(np.float64)


def _logarithm(values: Real, name: str) -> FloatArray:
    result: FloatArray = np.log(_positive(values, name))
    return result


def _level(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return level


def _edges(edges: Sequence[float]) -> tuple[float, ...]:
    found = tuple(float(edge) for edge in edges)
    if not np.isfinite(found).all() or any(b <= a for a, b in pairwise(found)):
        raise ValueError(f"edges must rise, got {found}")
    return found


def _check_keys(document: Json, wanted: Sequence[str]) -> None:
    if not isinstance(document, dict) or set(document) != set(wanted):
        found = sorted(document) if isinstance(document, dict) else document
        raise ValueError(f"conformal: expected the keys {sorted(wanted)}, got {found}")


def _margin(document: Json, last_band: int) -> Margin:
    _check_keys(document, ("class", "l_band", "below", "above", "windows", "sequences"))
    one, band = document["class"], document["l_band"]
    below, above = float(document["below"]), float(document["above"])
    if not np.isfinite([below, above]).all() or (one is None and band is not None):
        raise ValueError(f"conformal: no margin: {document}")
    if (one is not None and one < 0) or (band is not None and not 0 <= band <= last_band):
        raise ValueError(f"conformal: no such class or L band: {one}, {band}")
    return Margin(one, band, below, above, int(document["windows"]), int(document["sequences"]))
