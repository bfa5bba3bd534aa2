"""Spectra of resonances that are known exactly, and a small plan of training: shared by the tests of the learned chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.jobs.flr.bundled import Plan
from monitor.jobs.flr.training import Recipe
from monitor.science.features import PairSpectra
from monitor.science.hodograph import smoothed_model
from monitor.science.resonance import ResonanceParameters, estimate, expected_frequency_Hz
from monitor.science.spectra import SpectrumParameters, above_nyquist_share, smoothing_for_frequency
from monitor.types import FloatArray, RealArray, ResonanceEvidence

LENGTH_S: Final = 7200.0
FREQUENCY_HZ: Final[FloatArray] = SpectrumParameters().bins(LENGTH_S) / LENGTH_S
SMALL: Final = Plan(training=40, storms=22, faint_storms=8, validation=20, calibration=50)
TINY: Final = Recipe(tries=1, threads=1)


def resonant(
    l_shell: npt.ArrayLike,
    resonance_Hz: npt.ArrayLike,
    *,
    turned: bool = False,
    relative_width: float = 0.2,
    half_spacing: float = 0.6,
    smoothing_bins: int | None = None,
    step_s: float = 1.0,
    error: float = 0.0,
    seed: int = 0,
) -> PairSpectra:
    """Pairs whose spectra are those of one resonance each, and what the physical estimate sees in them.

    The width of the smoothing is the daemon's, unless it is given. Phase and ratio are `smoothed_model`'s; the power of each station is that of its own oscillator over a red
    driver. With an `error` all of them scatter.
    """
    shells = np.atleast_1d(np.asarray(l_shell, dtype=np.float64))
    centres = np.broadcast_to(np.asarray(resonance_Hz, dtype=np.float64), shells.shape).copy()
    rng, pairs = np.random.default_rng(seed), shells.size
    smoothing = smoothing_for_frequency(expected_frequency_Hz(shells), LENGTH_S, 11)
    if smoothing_bins is not None:
        smoothing = np.full(pairs, smoothing_bins)
    model = (centres, relative_width * centres, np.full(pairs, half_spacing), smoothing / LENGTH_S)
    phase, log_ratio = smoothed_model(FREQUENCY_HZ, *model)
    u = (0.5 / relative_width) * (FREQUENCY_HZ / centres[:, None] - centres[:, None] / FREQUENCY_HZ)
    power = np.stack([-np.log1p((u + side * half_spacing) ** 2) for side in (1.0, -1.0)], axis=1)
    sign = -1.0 if turned else 1.0
    if turned:
        power = power[:, ::-1]
    noise = error * rng.normal(size=(4, *phase.shape))
    return seen_again(
        PairSpectra(
            frequency_Hz=FREQUENCY_HZ,
            cross_phase_rad=masked(sign * phase + noise[0], step_s),
            amplitude_ratio=masked(np.exp(sign * log_ratio + noise[1]), step_s),
            coherence=masked(np.full(phase.shape, 0.9), step_s),
            log_power=masked(power - 2.0 * np.log(FREQUENCY_HZ) + np.moveaxis(noise[2:], 0, 1), step_s),
            smoothing_bins=smoothing,
            step_s=np.full(pairs, step_s),
            l_shell=shells,
            seen=NOTHING_SEEN,
        )
    )


def masked(values: RealArray, step_s: float) -> RealArray:
    """The same in single precision and without the bins that such a step cannot tell."""
    single: RealArray = values.astype(np.float32)
    single[..., above_nyquist_share(FREQUENCY_HZ, step_s)] = np.nan
    return single


def seen_again(spectra: PairSpectra) -> PairSpectra:
    """The same spectra with what the physical estimate sees in them."""
    found = estimate(
        spectra.frequency_Hz,
        spectra.cross_phase_rad,
        spectra.amplitude_ratio,
        spectra.coherence,
        spectra.smoothing_bins,
        spectra.l_shell,
        ResonanceParameters(),
    )
    return replace(spectra, seen=found.seen)


def swapped(spectra: PairSpectra) -> PairSpectra:
    """The spectra that the same records give with the stations exchanged."""
    power = spectra.log_power
    return seen_again(
        replace(
            spectra,
            cross_phase_rad=-spectra.cross_phase_rad,
            amplitude_ratio=1.0 / spectra.amplitude_ratio,
            log_power=None if power is None else power[:, ::-1],
        )
    )


def blank(pairs: int, **values: float) -> PairSpectra:
    """Pairs at L = 2.9 whose every bin has the same values (NaN where none is given), as the estimate sees them."""
    names = ("cross_phase_rad", "amplitude_ratio", "coherence", "log_power")
    row = {name: np.full(FREQUENCY_HZ.size, values.get(name, np.nan), np.float32) for name in names}
    flat = {name: np.repeat(row[name][None], pairs, axis=0) for name in names[:3]}
    return seen_again(
        PairSpectra(
            frequency_Hz=FREQUENCY_HZ,
            **flat,
            log_power=np.broadcast_to(row["log_power"], (pairs, 2, FREQUENCY_HZ.size)).copy(),
            smoothing_bins=np.full(pairs, 11),
            step_s=np.ones(pairs),
            l_shell=np.full(pairs, 2.9),
            seen=NOTHING_SEEN,
        )
    )


def _nothing_seen() -> ResonanceEvidence:
    """The estimate of no pairs at all: a place to put what is seen later."""
    none = np.zeros((0, FREQUENCY_HZ.size))
    return estimate(
        FREQUENCY_HZ, none, none, none, np.zeros(0, np.int64), np.zeros(0), ResonanceParameters()
    ).seen


NOTHING_SEEN: Final = _nothing_seen()
