"""From labelled spectra to what the boosters are fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from monitor.jobs.flr.dataset import LabelledSpectra, joined_data
from monitor.science.candidates import CANDIDATES, NAMES, frequency_candidates
from monitor.science.features import FeatureSchema, PairSpectra, ScaledSpectra, scale, window_features
from monitor.science.resonance import ResonanceParameters, estimate
from monitor.types import BoolArray, Float32Array, FloatArray, GainProfile, IntArray, ResonanceEvidence

SCHEMA: Final = FeatureSchema()
"""The full schema: a model of fewer groups takes some of its columns."""

# What the physical estimate assumes where a table has no coherence.
_ASSUMED_COHERENCE = 0.7
_ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class SeenSpectra:
    """Labelled spectra with what the physical estimate sees in them."""

    data: LabelledSpectra
    seen: ResonanceEvidence

    def __len__(self) -> int:
        return len(self.data)

    @property
    def spectra(self) -> PairSpectra:
        """As features are made of them."""
        data = self.data
        return PairSpectra(
            frequency_Hz=data.frequency_Hz,
            cross_phase_rad=data.cross_phase_rad,
            amplitude_ratio=data.amplitude_ratio,
            coherence=data.coherence,
            log_power=data.log_power,
            smoothing_bins=data.smoothing_bins,
            step_s=data.step_s,
            l_shell=data.l_shell,
            seen=self.seen,
        )

    def rows(self, chosen: IntArray | BoolArray) -> SeenSpectra:
        """The same for some of the windows."""
        return SeenSpectra(self.data.rows(chosen), self.seen.rows(chosen))


@dataclass(frozen=True, slots=True)
class Examples:
    """Features of n windows and candidates of those m among them that have a true frequency.

    Attributes
    ----------
    sequence, label : ndarray, shape (n,), int64
    usable : ndarray of bool, shape (n,)
        False where no model is asked: gaps, dead channels, an unknown L.
    features : ndarray, shape (n, d), float32
        Of the full schema; NaN rows where not usable.
    owner : ndarray, shape (m,), int64
        Row of each window with candidates.
    truth_Hz, l_shell : ndarray, shape (m,)
    turned : ndarray of bool, shape (m,)
        Whether the candidates are those of the reversed spectrum, as for PBL.
    candidate_Hz, valid : ndarray, shape (m, c)
    candidate_features : ndarray, shape (m, c, e), float32
    """

    sequence: IntArray
    label: IntArray
    usable: BoolArray
    features: Float32Array
    owner: IntArray
    truth_Hz: FloatArray
    l_shell: FloatArray
    turned: BoolArray
    candidate_Hz: FloatArray
    valid: BoolArray
    candidate_features: Float32Array

    def __len__(self) -> int:
        return int(self.label.size)


def see(data: LabelledSpectra, parameters: ResonanceParameters) -> SeenSpectra:
    """Let the physical estimate look at spectra that come from a table.

    Where there is no coherence, 0.7 stands for it; where there is no amplitude ratio, the phase alone speaks.
    """
    seen = []
    for start in range(0, max(1, len(data)), _ROWS_AT_ONCE):
        part = data.rows(np.arange(start, min(start + _ROWS_AT_ONCE, len(data))))
        assumed = np.where(np.isfinite(part.cross_phase_rad), _ASSUMED_COHERENCE, np.nan)
        unknown = ~np.isfinite(part.coherence).any(axis=1, keepdims=True)
        coherence = np.where(unknown, assumed, part.coherence)
        found = estimate(
            part.frequency_Hz,
            part.cross_phase_rad,
            part.amplitude_ratio,
            coherence,
            part.smoothing_bins,
            part.l_shell,
            parameters,
        )
        seen.append(found.seen)
    return SeenSpectra(data, joined_evidence(seen))


def joined_evidence(parts: Sequence[ResonanceEvidence]) -> ResonanceEvidence:
    """Evidence of several batches as one."""
    names = [field.name for field in fields(ResonanceEvidence) if field.name != "profile"]
    profiles = [part.profile for part in parts]
    profile = GainProfile(
        profiles[0].frequency_Hz,
        *(
            np.concatenate([getattr(one, name) for one in profiles], axis=1)
            for name in ("gain", "log_width", "log_half_spacing")
        ),
    )
    return ResonanceEvidence(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}, profile=profile
    )


def joined_spectra(parts: Sequence[SeenSpectra]) -> SeenSpectra:
    """Windows of several batches as one; all share a frequency grid."""
    return SeenSpectra(
        joined_data([part.data for part in parts]), joined_evidence([part.seen for part in parts])
    )


def judgeable(seen: SeenSpectra) -> BoolArray:
    """Which windows a model may be asked about: usable, of a pair whose L is known, and without a clock offset."""
    result: BoolArray = seen.data.usable & np.isfinite(seen.data.l_shell) & ~seen.seen.offset
    return result


def examples_of(seen: SeenSpectra) -> Examples:
    """Make features of all windows, and candidates where there is a true frequency."""
    data = seen.data
    usable = judgeable(seen)
    features = np.full((len(data), len(SCHEMA.names)), np.nan, dtype=np.float32)
    asked = np.flatnonzero(usable)
    spectra = seen.rows(asked).spectra
    scaled = scale(spectra) if asked.size else None
    if scaled is not None:
        features[asked] = window_features(spectra, scaled, SCHEMA)
    return Examples(
        sequence=data.sequence,
        label=data.label,
        usable=usable,
        features=features,
        **_candidates(data, spectra, scaled, asked),
    )


def _candidates(
    data: LabelledSpectra, spectra: PairSpectra, scaled: ScaledSpectra | None, asked: IntArray
) -> dict[str, np.ndarray]:
    """The candidate columns of `Examples`: upright for Freq, turned for PBL."""
    label, truth = data.label[asked], data.truth_Hz[asked]
    parts, owners = [], []
    for turned, kind in ((False, 1), (True, 2)):
        rows = np.flatnonzero((label == kind) & np.isfinite(truth))
        if scaled is not None and rows.size:
            parts.append(frequency_candidates(spectra.rows(rows), scaled.rows(rows), turned=turned))
            owners.append(asked[rows])
    if scaled is None or not parts:
        nothing = np.arange(0)
        empty = _no_candidates()
        return {
            "owner": nothing,
            "truth_Hz": data.truth_Hz[nothing],
            "l_shell": data.l_shell[nothing],
            **empty,
        }
    owner = np.concatenate(owners)
    return {
        "owner": owner,
        "truth_Hz": data.truth_Hz[owner],
        "l_shell": data.l_shell[owner],
        "turned": data.label[owner] == 2,
        "candidate_Hz": np.concatenate([part.frequency_Hz for part in parts]),
        "valid": np.concatenate([part.valid for part in parts]),
        "candidate_features": np.concatenate([part.features for part in parts]),
    }


def _no_candidates() -> dict[str, np.ndarray]:
    return {
        "turned": np.zeros(0, dtype=np.bool_),
        "candidate_Hz": np.zeros((0, CANDIDATES)),
        "valid": np.zeros((0, CANDIDATES), dtype=np.bool_),
        "candidate_features": np.zeros((0, CANDIDATES, len(NAMES)), dtype=np.float32),
    }


def joined_examples(parts: Sequence[Examples]) -> Examples:
    """Examples of several batches as one."""
    offsets = np.cumsum([0, *(len(part) for part in parts)])
    owner = np.concatenate([part.owner + offset for part, offset in zip(parts, offsets[:-1], strict=True)])
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Examples)
        if field.name != "owner"
    }
    return Examples(owner=owner, **arrays)
