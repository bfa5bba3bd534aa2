"""Where the resonance of a spectrum may lie: a few candidates, and what each looks like from nearby.

A regressor that sees a spectrum on a fixed grid has to learn the same peak anew at every place. Seen from a
candidate, all resonances look alike: so the second stage first chooses among candidates, then corrects the chosen one.
Candidates are the maxima of the gain of resonance models (`GainProfile`), the fit of the physical estimate, and humps
that the power of both stations has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.science.features import PairSpectra, ScaledSpectra, finite_or_nan
from monitor.types import BoolArray, Float32Array, FloatArray, IntArray, ResonanceEvidence

GAIN_CANDIDATES, HUMP_CANDIDATES = 6, 2
CANDIDATES: Final = GAIN_CANDIDATES + 1 + HUMP_CANDIDATES
_LOWEST_X, _HIGHEST_X = -1.42, 1.72
_REACH = 9
_STEP = 0.05
_OWN: Final = (
    "gain", "log_width", "log_half_spacing", "gain_reversed", "top_gain", "gain_below_top", "kind", "x", "x_from_first",
    "x_from_physical", "hump", "evidence", "physical", "log_relative_sigma", "l_shell", "smoothing_bins", "step_s",
)  # fmt: skip
_ALONG: Final = ("cross_phase", "log_amplitude_ratio", "coherence", "power_poleward", "power_equatorward")
NAMES: Final = (
    *_OWN,
    *(f"{name}_{offset:+d}" for name in _ALONG for offset in range(-_REACH, _REACH + 1)),
)
"""Columns of a candidate's features: its own, then five spectra from nine steps below it to nine above."""


@dataclass(frozen=True, slots=True)
class FrequencyCandidates:
    """Candidates of p spectra (arrays of shape (p, c)); `features` has shape (p, c, len(NAMES)), float32."""

    frequency_Hz: FloatArray
    valid: BoolArray
    features: Float32Array


def frequency_candidates(spectra: PairSpectra, scaled: ScaledSpectra, *, turned: bool) -> FrequencyCandidates:
    """Candidates of spectra as they are, or `turned`: read as if the stations had changed places.

    Parameters
    ----------
    spectra : PairSpectra
    scaled : ScaledSpectra
        Of the same pairs, not reversed.
    turned : bool
    """
    seen, side = spectra.seen, int(turned)
    seen_from = scaled.reversed() if turned else scaled
    centre = np.log(seen.profile.frequency_Hz) - np.log(scaled.expected_Hz)[:, None]
    inside = (centre > _LOWEST_X) & (centre < _HIGHEST_X)
    gain = np.where(inside, seen.profile.gain[side], np.nan)
    peak, height = _maxima(gain, GAIN_CANDIDATES)
    hump = seen_from.humps()
    hump_at, hump_height = _maxima(hump, HUMP_CANDIDATES)
    physical = (seen.reversed == turned) & np.isfinite(seen.frequency_Hz) & (seen.frequency_Hz > 0.0)
    physical_x = np.log(np.where(physical, seen.frequency_Hz, scaled.expected_Hz) / scaled.expected_Hz)
    x = np.concatenate(
        [np.take_along_axis(centre, peak, axis=1), physical_x[:, None], scaled.x[hump_at]], axis=1
    )
    valid = np.concatenate([np.isfinite(height), physical[:, None], np.isfinite(hump_height)], axis=1)
    # Where there is no candidate its place is filled, for the arrays to be whole, and marked.
    x = np.where(valid, x, 0.0)
    heights = np.full(x.shape, np.nan)
    heights[:, GAIN_CANDIDATES + 1 :] = hump_height
    own = _own_features(spectra, seen, centre, gain, x, physical, heights, side, physical_x)
    along = _along(seen_from, x)
    return FrequencyCandidates(
        frequency_Hz=scaled.expected_Hz[:, None] * np.exp(x),
        valid=valid,
        features=finite_or_nan(np.concatenate([own, along], axis=2)),
    )


def _maxima(values: FloatArray | Float32Array, count: int) -> tuple[IntArray, FloatArray]:
    """Places and heights of the highest local maxima of each row, shape (p, count); −inf where there are fewer."""
    middle = values[:, 1:-1]
    peak = (middle >= values[:, :-2]) & (middle > values[:, 2:])
    height = np.full(values.shape, -np.inf)
    height[:, 1:-1] = np.where(peak, middle, -np.inf)
    # A stable order: which of two equal peaks comes first must not depend on the company.
    order = np.argsort(-height, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(height, order, axis=1)


def _own_features(
    spectra: PairSpectra,
    seen: ResonanceEvidence,
    centre: FloatArray,
    gain: FloatArray,
    x: FloatArray,
    physical: BoolArray,
    hump_height: FloatArray,
    side: int,
    physical_x: FloatArray,
) -> FloatArray:
    """Columns `_OWN`, shape (p, c, 17)."""
    profile = seen.profile
    # Of the profile, not of the first row: what is nearest must not depend on the company.
    step = np.log(profile.frequency_Hz[1] / profile.frequency_Hz[0])
    at = np.clip(np.rint((x - centre[:, :1]) / step).astype(np.int64), 0, centre.shape[1] - 1)

    def near(values: FloatArray | Float32Array) -> FloatArray:
        return np.take_along_axis(values, at, axis=1).astype(np.float64)

    with np.errstate(divide="ignore", invalid="ignore"):
        log_sigma = np.log(seen.sigma_Hz / seen.frequency_Hz)
    top = np.where(np.isfinite(gain), gain, -np.inf).max(axis=1, initial=-np.inf)
    column = {
        "gain": near(gain),
        "log_width": near(profile.log_width[side]),
        "log_half_spacing": near(profile.log_half_spacing[side]),
        "gain_reversed": near(profile.gain[1 - side]),
        "top_gain": top[:, None],
        "gain_below_top": near(gain) - top[:, None],
        "kind": np.arange(CANDIDATES)[None, :],
        "x": x,
        "x_from_first": x - x[:, :1],
        "x_from_physical": np.where(physical, physical_x, np.nan)[:, None] * -1.0 + x,
        "hump": hump_height,
        "evidence": seen.evidence[:, None],
        "physical": physical[:, None],
        "log_relative_sigma": np.where(physical, log_sigma, np.nan)[:, None],
        "l_shell": spectra.l_shell[:, None],
        "smoothing_bins": spectra.smoothing_bins[:, None],
        "step_s": spectra.step_s[:, None],
    }
    return np.stack([np.broadcast_to(column[name], x.shape) for name in _OWN], axis=2).astype(np.float64)


def _along(scaled: ScaledSpectra, x: FloatArray) -> Float32Array:
    """The spectra at steps about each candidate, between the cells by lines, shape (p, c, 5 × 19)."""
    offsets = _STEP * np.arange(-_REACH, _REACH + 1)
    position = (x[:, :, None] + offsets - scaled.x[0]) / (scaled.x[1] - scaled.x[0])
    lower = np.clip(np.floor(position).astype(np.int64), 0, scaled.x.size - 2)
    share = np.clip(position - lower, 0.0, 1.0).astype(np.float32)
    place = (scaled.x.size * np.arange(x.shape[0]))[:, None, None] + lower
    spectra = (
        scaled.cross_phase_rad,
        scaled.log_ratio,
        scaled.coherence,
        scaled.power[:, 0],
        scaled.power[:, 1],
    )
    between = []
    for values in spectra:
        flat = values.ravel()
        between.append(flat.take(place) * (1.0 - share) + flat.take(place + 1) * share)
    along: Float32Array = np.concatenate(between, axis=2)
    return along
