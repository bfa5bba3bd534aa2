"""Conditioning of magnetometer windows: gaps, spikes, stuck sensors, decimation.

All functions are batched over stations (leading axis) and never change their input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.types import BoolArray, Float32Array, FloatArray, StationQuality

_MAD_TO_SIGMA = 1.4826
_LOCAL_WIDTH = 101
_LONGEST_SPIKE = 3
# Stations are worked on in blocks this large so that a block stays in the processor's cache.
_BLOCK = 16
# Share of the threshold at which the second difference calls for the running median: white noise stays
# below it, and a spike of the threshold's height lies above it in white and in red noise.
_SIEVE = 0.7
# How far a spike stands off from both of its sides, as a share of its height.
_STEP_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class ConditioningParameters:
    """Limits within which a window is mended instead of refused.

    Attributes
    ----------
    bridge_s : float
        Gaps up to this long are bridged by a straight line (at an edge of the window: by the nearest value).
    minimum_coverage : float
        Smallest share of samples that must be there, 0–1.
    spike_threshold : float
        A sample further than this many robust standard deviations from the median of its
        five neighbours is a spike.
    maximum_spike_ratio : float
        Largest share of spikes that is mended, 0–1.
    """

    bridge_s: float = 300.0
    minimum_coverage: float = 0.9
    spike_threshold: float = 10.0
    maximum_spike_ratio: float = 0.01


def condition(
    values_nT: FloatArray, coverage: FloatArray, step_s: float, parameters: ConditioningParameters
) -> tuple[Float32Array, StationQuality]:
    """Mend each station's window within the limits, difference it, and say what was found.

    Parameters
    ----------
    values_nT : ndarray, shape (s, n)
        Samples of each station; NaN is a gap.
    coverage : ndarray, shape (s,)
        Share of samples that were there at the step at which the station sends, 0–1.
    step_s : float
    parameters : ConditioningParameters

    Returns
    -------
    differences_nT : ndarray, shape (s, n - 1), float32
        First differences of the mended series; zero where a station is not usable. They are taken in double
        precision: a field of 20,000 nT has a step of 0.002 nT in single precision, its differences have not.
    quality : StationQuality
        `usable` is False where coverage, the longest gap, the share of spikes or a stuck sensor rules it out.
    """
    stations, count = values_nT.shape
    differences = np.empty((stations, count - 1), dtype=np.float32)
    longest_gap = np.zeros(stations)
    spikes = np.zeros(stations, dtype=np.int64)
    flat = np.zeros(stations, dtype=np.bool_)
    usable = coverage >= parameters.minimum_coverage
    for start in range(0, stations, _BLOCK):
        block = slice(start, min(start + _BLOCK, stations))
        np.subtract(values_nT[block, 1:], values_nT[block, :-1], out=differences[block], casting="same_kind")
        for row in (start + np.flatnonzero(np.isnan(differences[block].sum(axis=1)))).tolist():
            longest_gap[row] = _longest_run(np.isnan(values_nT[row])) * step_s
            bridged = _bridge(values_nT[row])
            usable[row] &= longest_gap[row] <= parameters.bridge_s
            differences[row] = 0.0 if bridged is None else np.diff(bridged)
        flat[block] = _stuck(differences[block])
        for row in (
            start + np.flatnonzero(_suspicious(differences[block], parameters.spike_threshold))
        ).tolist():
            series = np.concatenate(([0.0], np.cumsum(differences[row], dtype=np.float64)))
            spikes[row] = _despike(series, parameters.spike_threshold)
            if spikes[row]:
                differences[row] = np.diff(series)
    usable &= ~flat & (spikes <= parameters.maximum_spike_ratio * count)
    if not usable.all():
        differences[~usable] = 0.0
    quality = StationQuality(
        coverage=coverage.copy(), longest_gap_s=longest_gap, spikes=spikes, flat=flat, usable=usable
    )
    return differences, quality


def decimate(values_nT: FloatArray, factor: int) -> FloatArray:
    """Bring a series to a step `factor` times longer with a zero-phase low-pass filter.

    A symmetric FIR filter (Kaiser window, pass band to 0.8 of the new Nyquist frequency, stop band from 1.2 of it,
    which folds to 0.8) is centred on every kept sample, so no phase is shifted. It is normalised by the weights of the samples that are there;
    where less than half of the weight is there, the output is a gap. At the edges the filter is cut, which
    the taper of the spectra hides.

    Parameters
    ----------
    values_nT : ndarray, shape (n,)
        NaN is a gap; `n` is a multiple of `factor`.
    factor : int

    Returns
    -------
    ndarray, shape (n // factor,)
        Sample k stands at the time of input sample k * factor.
    """
    if factor == 1:
        return values_nT.copy()
    # Imported where it is needed: it takes longer than all else at the start of a daemon, and few stations are so fast.
    from scipy import signal

    taps = signal.firwin(24 * factor + 1, 1.0 / factor, window=("kaiser", 5.65))
    present = np.isfinite(values_nT)
    if not present.any():
        return np.full(values_nT.size // factor, np.nan)
    baseline = float(values_nT[present][0])
    filled = np.where(present, values_nT - baseline, 0.0)
    half = 12 * factor
    padded = np.pad(np.stack([filled, present.astype(np.float64)]), ((0, 0), (half, half)))
    filtered = signal.upfirdn(taps, padded, down=factor, axis=1)
    skip = 2 * half // factor
    weighted, weight = filtered[:, skip : skip + values_nT.size // factor]
    enough = weight > 0.5
    return np.where(enough, weighted / np.where(enough, weight, 1.0) + baseline, np.nan)


def _longest_run(mask: BoolArray) -> int:
    """Length of the longest run of True."""
    return max((end - begin for begin, end in _runs(mask)), default=0)


def _runs(mask: BoolArray) -> list[tuple[int, int]]:
    """Begin and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _bridge(row: FloatArray) -> FloatArray | None:
    """Deviations from the first value with gaps bridged by straight lines; None where nothing is there."""
    present = np.flatnonzero(~np.isnan(row))
    if present.size == 0:
        return None
    known = row[present] - row[present[0]]
    bridged: FloatArray = np.interp(np.arange(row.size), present, known)
    return bridged


def _stuck(differences: Float32Array) -> BoolArray:
    """Which rows keep one value for half of the window or longer (a dead channel, or no data at all)."""
    half = (differences.shape[1] + 1) // 2
    stuck = np.zeros(differences.shape[0], dtype=np.bool_)
    still = differences.shape[1] - np.count_nonzero(differences, axis=1)
    for row in np.flatnonzero(still + 1 >= half).tolist():
        stuck[row] = _longest_run(differences[row] == 0.0) + 1 >= half
    return stuck


def _suspicious(differences: Float32Array, threshold: float) -> BoolArray:
    """Rows whose largest second difference stands out: a cheap sieve before the running median."""
    bend = np.abs(differences[:, 1:] - differences[:, :-1])
    result: BoolArray = bend.max(axis=1) > _SIEVE * threshold * bend.mean(axis=1)
    return result


def spikes_to_nan(values_nT: FloatArray, threshold: float) -> FloatArray:
    """A copy of a series without its spikes.

    Parameters
    ----------
    values_nT : ndarray, shape (n,)
        NaN is a gap; gaps are bridged by straight lines to tell the spikes beside them.
    threshold : float
        As `ConditioningParameters.spike_threshold`.

    Returns
    -------
    ndarray, shape (n,)
        NaN where there is a gap or a spike. What cannot be told stays: beside a gap, and at a step.
    """
    bridged = _bridge(values_nT)
    if bridged is None:
        return values_nT.copy()
    near_spikes, _ = _find_spikes(bridged, threshold)
    near_gaps = np.convolve(np.isnan(values_nT), np.ones(5), mode="same") > 0.5
    cleaned = values_nT.copy()
    for begin, end in _runs(near_spikes & ~near_gaps):
        # Its deviation shows up to two samples to either side of a spike, and these are good.
        beside = min(2, (end - begin - 1) // 2)
        core = slice(begin + beside, end - beside)
        left, right = bridged[max(core.start - 1, 0)], bridged[min(core.stop, bridged.size - 1)]
        off = np.minimum(np.abs(bridged[core] - left), np.abs(bridged[core] - right))
        # What goes along with one of its sides is the edge of a step.
        cleaned[core] = np.where(off > _STEP_SHARE * np.ptp(bridged[begin:end]), np.nan, cleaned[core])
    return cleaned


def _despike(series: FloatArray, threshold: float) -> int:
    """Replace spikes in place by lines between their neighbours; return how many samples were spikes."""
    spike, found = _find_spikes(series, threshold)
    if found:
        index = np.arange(series.size)
        series[spike] = np.interp(index[spike], index[~spike], series[~spike])
    return found


def _find_spikes(series: FloatArray, threshold: float) -> tuple[BoolArray, int]:
    """Where a series without gaps has spikes, with what they reach, and how many samples they are.

    A spike is one to three samples far off the cubic through their neighbours, by the local scale of such
    deviations: a wave train or a noisy stretch is loud as a whole, a spike stands alone.
    """
    spike = np.zeros(series.size, dtype=np.bool_)
    off = np.zeros(series.size)
    inner = series[2:-2]
    off[2:-2] = np.abs(inner - (4.0 * (series[1:-3] + series[3:-1]) - series[:-4] - series[4:]) / 6.0)
    # A quantised quiet record has a median deviation of zero: the mean keeps the scale finite. Only what stands out
    # from the mean can be a spike, so only there is the running median needed.
    floor = float(off.mean())
    loud = np.flatnonzero(off > threshold * floor)
    if loud.size == 0:
        return spike, 0
    near = np.lib.stride_tricks.sliding_window_view(
        np.pad(off, _LOCAL_WIDTH // 2, mode="symmetric"), _LOCAL_WIDTH
    )
    scale = np.maximum(_MAD_TO_SIGMA * np.median(near[loud], axis=1), floor)
    spike[loud] = off[loud] > threshold * scale
    found = 0
    for begin, end in _runs(spike):
        # The cubic spans two samples to either side: so far does the deviation of a spike show.
        if end - begin > _LONGEST_SPIKE + 4:
            spike[begin:end] = False
        else:
            found += max(1, end - begin - 4)
    return spike, found
