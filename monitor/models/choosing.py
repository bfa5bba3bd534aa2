"""From candidates to a reading: choose, correct, merge, and go a part of the way to the physical estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from monitor.science.candidates import NAMES as CANDIDATE_NAMES
from monitor.science.candidates import FrequencyCandidates
from monitor.types import Float32Array, FloatArray, ResonanceEvidence

DIFFICULTY_FEATURES: Final = len(CANDIDATE_NAMES) + 3
CORRECTED_REACH: Final = 0.3
"""Distance in ln f of a candidate from the chosen one within which it is corrected too …"""
MERGED_REACH: Final = 0.15
"""… and of the corrected one within which it has a say in the reading."""
PHYSICAL_SHARE: Final = 1.0 / 3.0
"""How far a reading goes to the physical estimate of the same resonance."""


class Scorer(Protocol):
    """A booster: rows of features in, raw margins out."""

    def predict(self, features: Float32Array) -> Float32Array:
        """Margins, shape (n, k), of features, shape (n, d)."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """The reading of n spectra in one orientation, before any interval.

    Attributes
    ----------
    frequency_Hz, score : ndarray, shape (n,)
        NaN where there is no candidate.
    features : ndarray, shape (n, DIFFICULTY_FEATURES), float32
        What the difficulty is told from: those of the chosen candidate, its score, that of the best rival elsewhere, and the
        spread of the candidates that had a say.
    """

    frequency_Hz: FloatArray
    score: FloatArray
    features: Float32Array


def choose(candidates: FrequencyCandidates, chooser: Scorer, corrector: Scorer) -> Chosen:
    """Choose among the candidates of each spectrum, correct what is near the choice, and merge it."""
    count = candidates.valid.shape[0]
    row, column = np.nonzero(candidates.valid)
    log_f = np.log(candidates.frequency_Hz)
    score = np.full(candidates.valid.shape, -1.0)
    if row.size:
        margin = chooser.predict(candidates.features[row, column])[:, 0].astype(np.float64)
        score[row, column] = 1.0 / (1.0 + np.exp(-margin))
    best = score.argmax(axis=1)
    each = np.arange(count)
    near = candidates.valid & (np.abs(log_f - log_f[each, best][:, None]) < CORRECTED_REACH)
    corrected = log_f.copy()
    row, column = np.nonzero(near)
    if row.size:
        corrected[row, column] += corrector.predict(candidates.features[row, column])[:, 0]
    merged = near & (np.abs(corrected - corrected[each, best][:, None]) < MERGED_REACH)
    weight = np.where(merged, np.maximum(score, 0.0), 0.0)
    total = np.maximum(weight.sum(axis=1), np.finfo(np.float64).tiny)
    reading = (weight * corrected).sum(axis=1) / total
    spread = np.sqrt((weight * (corrected - reading[:, None]) ** 2).sum(axis=1) / total)
    rival = np.where(merged, -1.0, score).max(axis=1, initial=-1.0)
    found = candidates.valid.any(axis=1)
    own = np.stack([score[each, best], rival, spread], axis=1).astype(np.float32)
    return Chosen(
        frequency_Hz=np.where(found, np.exp(reading), np.nan),
        score=np.where(found, score[each, best], np.nan),
        features=np.concatenate([candidates.features[each, best], own], axis=1),
    )


def towards_physics(frequency_Hz: FloatArray, seen: ResonanceEvidence, *, turned: bool) -> FloatArray:
    """The readings, part of the way to the physical estimate where that accepts the same resonance.

    On simulated pairs this costs nothing. On real ones it is a hold where the simulation is wrong, for the physical
    estimate has learnt nothing from it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.log(seen.frequency_Hz / frequency_Hz)
    same = seen.accepted & (seen.reversed == turned) & (np.abs(apart) < MERGED_REACH)
    return np.where(same, frequency_Hz * np.exp(PHYSICAL_SHARE * np.where(same, apart, 0.0)), frequency_Hz)
