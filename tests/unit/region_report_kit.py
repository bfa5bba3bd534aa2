"""A stand-in for a network, and windows that it is right about as often as a test wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.special import softmax

from monitor.science.region import running_mean
from monitor.types import (
    CONTEXT_CELLS,
    REGIONS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    BoolArray,
    FloatArray,
    RegionExamples,
)

if TYPE_CHECKING:
    from monitor.models.region import RegionModel

_FIELD = VARIABLES.index("B")


@dataclass(frozen=True, slots=True)
class Said:
    """As far as reports look into what a network says."""

    probability: FloatArray
    scores: FloatArray
    novel: BoolArray


class Ladder:
    """Calls a window by |B|: class k where it is about 10 (k + 1) nT; without |B| it has no idea."""

    def windows(self, values: FloatArray) -> Said:
        scores = self._scores(values)
        return self._said(scores.mean(axis=1, keepdims=True), scores)

    def stretches(self, values: FloatArray) -> Said:
        scores = self._scores(values[:, CONTEXT_CELLS[0] : values.shape[1] - CONTEXT_CELLS[1]])
        return self._said(running_mean(scores), scores)

    def _said(self, logits: FloatArray, scores: FloatArray) -> Said:
        return Said(softmax(logits, axis=2), scores, np.zeros(logits.shape[:2], dtype=bool))

    def _scores(self, values: FloatArray) -> FloatArray:
        steps = 10.0 * (1.0 + np.arange(len(REGIONS)))
        off = np.nan_to_num(values[:, :, _FIELD, None] - steps, nan=0.0)
        scores: FloatArray = -((off / 5.0) ** 2)
        return scores


def ladder() -> RegionModel:
    """The stand-in, as a model."""
    return cast("RegionModel", Ladder())


def rungs(per_class: int, *, wrong: int = 0, seed: int = 0) -> RegionExamples:
    """Windows of all classes for the ladder, ten a run; of each class the first `wrong` look like the class above."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(REGIONS)), per_class)
    place = np.tile(np.arange(per_class), len(REGIONS))
    shown = np.where(place < wrong, (label + 1) % len(REGIONS), label)
    values = rng.uniform(1.0, 2.0, (label.size, SUPPORT_CELLS, len(VARIABLES)))
    values[:, :, _FIELD] = 10.0 * (shown[:, None] + 1.0) + rng.normal(0.0, 1.0, values.shape[:2])
    order = rng.permutation(label.size)
    return RegionExamples(
        values[order].astype(np.float32),
        label[order],
        np.arange(label.size) // 10,
        np.zeros(label.size, dtype=bool),
        np.ones(label.size, dtype=bool),
    )


assert WINDOW_CELLS + sum(CONTEXT_CELLS) == SUPPORT_CELLS
