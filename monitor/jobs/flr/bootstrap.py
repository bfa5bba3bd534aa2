"""Shares and quantiles of windows that overlap, with intervals that know it: whole sequences are drawn, not windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.types import BoolArray, FloatArray, IntArray

LEVEL: Final = 0.9
_TAIL: Final = (1.0 - LEVEL) / 2.0
_MOST_BLOCKS: Final = 4000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 90 % bootstrap interval; None where no window can tell."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Share(Estimate):
    """`hits` of `count` windows, which belong to `sequences` independent sequences."""

    hits: int
    count: int
    sequences: int


UNKNOWN: Final = Estimate(None, None, None)


@dataclass(frozen=True, slots=True)
class Resampler:
    """Draws of whole sequences, the same for every figure of one data set, so that figures can be compared in pairs.

    Attributes
    ----------
    sequence : ndarray, shape (n,), int64
        Number of the sequence of each window, 0 … s − 1.
    block : ndarray, shape (s,), int64
        Which sequences are drawn together: each alone, or, where there are thousands, a few at random.
    weight : ndarray, shape (rounds, blocks)
        How often a block is drawn in a round.

    Notes
    -----
    Windows of one sequence overlap and share one magnetosphere: an interval that took them for independent would be
    several times too narrow. See Davison & Hinkley (1997), doi:10.1017/CBO9780511802843, § 3.8 and 5.2.
    """

    sequence: IntArray
    block: IntArray
    weight: FloatArray

    def share(self, hit: BoolArray, among: BoolArray) -> Share:
        """The share of the windows `among` that are `hit`, with its interval.

        Where none or all are hit every draw says the same; the open side is then the Clopper–Pearson bound for as
        many independent trials as there are sequences. One sequence alone has no interval.
        """
        count = int(np.count_nonzero(among))
        hits = int(np.count_nonzero(hit & among))
        sequences = self.sequences(among)
        if not count:
            return Share(None, None, None, 0, 0, 0)
        whole = interval(hits / count, self.share_draws(hit, among)) if sequences > 1 else None
        low, high = (whole.low, whole.high) if whole else (None, None)
        return Share(hits / count, low, high, hits, count, sequences)

    def share_draws(self, hit: BoolArray, among: BoolArray) -> FloatArray:
        """The same share in each round, shape (rounds,); NaN in rounds that drew none of the windows."""
        of = self._per_block(among)
        hits = self._per_block(hit & among)
        sequences = self.sequences(among)
        if sequences and (not hits.any() or np.array_equal(hits, of)):
            rounds = self.weight.shape[0]
            misses: FloatArray = 1.0 - ((np.arange(rounds) + 0.5) / rounds) ** (1.0 / sequences)
            return misses if not hits.any() else 1.0 - misses
        bottom = self.weight @ of
        draws = np.full(bottom.shape, np.nan)
        np.divide(self.weight @ hits, bottom, out=draws, where=bottom > 0.0)
        return draws

    def quantiles(self, value: FloatArray, among: BoolArray, levels: Sequence[float]) -> list[Estimate]:
        """Quantiles of the finite values of the windows `among`, with their intervals."""
        rows = np.flatnonzero(among & np.isfinite(value))
        if not rows.size:
            return [UNKNOWN] * len(levels)
        points = np.quantile(value[rows], levels)
        if np.unique(self.sequence[rows]).size < 2:
            return [Estimate(float(point), None, None) for point in points]
        draws = self.quantile_draws(value, among, levels)
        return [interval(float(point), draw) for point, draw in zip(points, draws.T, strict=True)]

    def quantile_draws(self, value: FloatArray, among: BoolArray, levels: Sequence[float]) -> FloatArray:
        """The same quantiles in each round, shape (rounds, levels); NaN in rounds that drew none of the windows."""
        rows = np.flatnonzero(among & np.isfinite(value))
        rows = rows[np.argsort(value[rows], kind="stable")]
        ordered, blocks = value[rows], self.block[self.sequence[rows]]
        draws = np.full((self.weight.shape[0], len(levels)), np.nan)
        for draw, weight in zip(draws, self.weight, strict=True):
            below = np.cumsum(weight[blocks])
            if below.size and below[-1] > 0.0:
                draw[:] = ordered[np.searchsorted(below, np.asarray(levels) * below[-1])]
        return draws

    def sequences(self, among: BoolArray) -> int:
        """How many sequences the windows `among` belong to."""
        return int(np.count_nonzero(np.bincount(self.sequence[among], minlength=1)))

    def _per_block(self, chosen: BoolArray) -> FloatArray:
        return np.bincount(self.block[self.sequence[chosen]], minlength=self.weight.shape[1]).astype(
            np.float64
        )


def resampler(sequence: IntArray, *, rounds: int = 200, seed: int = 0) -> Resampler:
    """Prepare the draws for windows that belong to `sequence`, shape (n,); the same seed gives the same draws."""
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; at least one is needed")
    _, code = np.unique(sequence, return_inverse=True)
    count = int(code.max()) + 1 if code.size else 0
    rng = np.random.default_rng(seed)
    blocks = min(count, _MOST_BLOCKS)
    block = np.arange(count, dtype=np.int64) if blocks == count else rng.permutation(count) % _MOST_BLOCKS
    weight = np.zeros((rounds, blocks))
    for row in weight:
        row[:] = np.bincount(rng.integers(0, max(blocks, 1), blocks), minlength=blocks)
    return Resampler(code.astype(np.int64), block.astype(np.int64), weight)


def interval(value: float, draws: FloatArray) -> Estimate:
    """The value with the 90 % interval of its draws, which always holds the value itself."""
    known = draws[np.isfinite(draws)]
    if not known.size:
        return Estimate(value, None, None)
    low, high = np.quantile(known, [_TAIL, 1.0 - _TAIL])
    return Estimate(value, min(value, float(low)), max(value, float(high)))
