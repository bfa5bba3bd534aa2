"""A line followed from window to window: a hidden Markov model over class and frequency.

A field line keeps its eigenfrequency whether or not something makes it ring. So the hidden state is a class (NoFreq,
Freq, PBL) and a frequency on a logarithmic grid, and the frequency lives on through NoFreq: it drifts, rarely jumps,
and a resonance that comes back is expected where it went. Where nothing is known yet the frequency is spread over the
whole grid, so that a birth favours none.

A window speaks by its class probabilities over the shares that they were calibrated under, and by the regressor's two
readings. A reading of a resonance scatters about the line by its own σ. A reading where there is none leans towards
the line too, because the features scale with the pair, but widely and by habit: so its density is taken about the
line as it was predicted, and it teaches nothing about the line. Both have a uniform share of outliers. Where the line
is unknown the two densities are the same: a first reading speaks neither for nor against a resonance. The forward
pass is causal; `smooth` looks ahead (forward–backward: Rabiner 1989, doi:10.1109/5.18626).

Every row is computed by itself, with element-wise operations and sums along the last axis only, so that a pair
has bit for bit the same result alone and among thousands. States are rounded to float32 after each window: so they
can be stored in half the room, and a run that was interrupted goes on as one that was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from monitor.science.tracker_parameters import TrackerParameters
from monitor.types import BoolArray, Float32Array, FloatArray, IntArray

_LEAST_PROBABILITY = 1e-4  # a calibrated 0 is a rare event, not an impossible one
_FLOOR = 1e-12
_LONGEST_ABSENCE = 500  # steps; after so many a prediction changes no more
_AGREE_SIGMAS = 3.0
_ONE_SIGMA = 0.6826894921370859
_BLOCK = 128  # pairs whose states fit the cache together


@dataclass(frozen=True, slots=True)
class Observed:
    """What windows say, one row each.

    Attributes
    ----------
    probability : ndarray, shape (n, 3)
        Calibrated, in the order of `types.CLASSES`; a row with NaN is a window that could not be judged, and it
        says nothing.
    reading_Hz : ndarray, shape (n, 2)
        The frequency read as Freq and as PBL; NaN where there is no reading.
    sigma : ndarray, shape (n, 2)
        Standard deviation of ln f of the readings.
    """

    probability: FloatArray
    reading_Hz: FloatArray
    sigma: FloatArray

    def __len__(self) -> int:
        return int(self.probability.shape[0])

    def rows(self, chosen: IntArray | BoolArray) -> Observed:
        """The same for some of the windows."""
        return Observed(self.probability[chosen], self.reading_Hz[chosen], self.sigma[chosen])

    def judged(self) -> BoolArray:
        """Which windows have probabilities, shape (n,)."""
        return np.asarray(np.isfinite(self.probability).all(axis=1))

    def read(self) -> BoolArray:
        """Which readings can be used, shape (n, 2)."""
        with np.errstate(invalid="ignore"):
            return np.isfinite(self.reading_Hz) & (self.reading_Hz > 0.0) & (self.sigma >= 0.0)


@dataclass(frozen=True, slots=True)
class Tracked:
    """What the tracker makes of windows, one row each.

    Attributes
    ----------
    posterior : ndarray, shape (n, 3)
        Of the classes.
    line_Hz : ndarray, shape (n, 2)
        Where the line is expected to ring as Freq and as PBL, from the other windows alone (median).
    line_sigma : ndarray, shape (n, 2)
        Half the central 68 % of ln f of that.
    """

    posterior: FloatArray
    line_Hz: FloatArray
    line_sigma: FloatArray


@dataclass(frozen=True, slots=True)
class _Tables:
    """What follows from the parameters alone."""

    ln_f: FloatArray
    kernel: tuple[float, ...]
    start: FloatArray


@lru_cache(maxsize=16)
def _tables(parameters: TrackerParameters) -> _Tables:
    ln_f = parameters.ln_grid()
    spread = parameters.drift / parameters.ln_step
    if spread**2 <= 0.5:
        # Narrower than the grid can sample: three points with the right variance.
        kernel = np.array([1.0 - spread**2, spread**2 / 2.0])
    else:
        radius = min(int(np.ceil(4.0 * spread)), parameters.bins)
        kernel = np.exp(-0.5 * (np.arange(radius + 1) / spread) ** 2)
        kernel /= kernel[0] + 2.0 * kernel[1:].sum()
    start = np.repeat(parameters.stationary()[:, None] / parameters.bins, parameters.bins, axis=1)
    return _Tables(ln_f, tuple(kernel.tolist()), start)


def initial(parameters: TrackerParameters, pairs: int) -> Float32Array:
    """The state before the first window, shape (pairs, 3, bins): the matrix's own shares, at any frequency."""
    return np.broadcast_to(_tables(parameters).start, (pairs, 3, parameters.bins)).astype(np.float32)


def steps_between(before_ns: IntArray, after_ns: IntArray, cadence_ns: int) -> IntArray:
    """How many cadences lie between two windows of a pair: at least one."""
    return np.asarray(np.maximum((after_ns - before_ns + cadence_ns // 2) // cadence_ns, 1), dtype=np.int64)


def advance(
    parameters: TrackerParameters, state: Float32Array, steps: IntArray, observed: Observed
) -> tuple[Float32Array, Tracked]:
    """Take in one window of each of p pairs.

    Parameters
    ----------
    parameters : TrackerParameters
    state : ndarray, shape (p, 3, bins)
        After each pair's window before.
    steps : ndarray, shape (p,), int64
        Cadences since then; 0 for a pair's first window.
    observed : Observed
        p rows.

    Returns
    -------
    state : ndarray, shape (p, 3, bins), float32
        After the windows.
    tracked : Tracked
        p rows, causal.
    """
    pairs = len(observed)
    after = np.empty((pairs, 3, parameters.bins), dtype=np.float32)
    posterior, line, spread = np.empty((pairs, 3)), np.empty((pairs, 2)), np.empty((pairs, 2))
    for begin in range(0, pairs, _BLOCK):
        block = slice(begin, begin + _BLOCK)
        seen = Observed(observed.probability[block], observed.reading_Hz[block], observed.sigma[block])
        predicted = _predicted(parameters, state[block].astype(np.float64), steps[block])
        updated = _normalised(predicted * _likelihood(parameters, predicted, seen))
        after[block] = updated
        posterior[block] = updated.sum(axis=-1)
        line[block], spread[block] = _line(parameters, predicted)
    return after, Tracked(posterior, line, spread)


def track(
    parameters: TrackerParameters, sequence: IntArray, end_ns: IntArray, observed: Observed, cadence_ns: int
) -> Tracked:
    """Follow many pairs at once, causally.

    Parameters
    ----------
    parameters : TrackerParameters
        For steps of `cadence_ns`.
    sequence : ndarray, shape (n,), int64
        Windows of one pair share a number; rows may be in any order.
    end_ns : ndarray, shape (n,), int64
        When each window ends.
    observed : Observed
        n rows.
    cadence_ns : int

    Returns
    -------
    Tracked
        n rows, in the order of the input.
    """
    posterior, line, spread = np.empty((len(observed), 3)), *np.empty((2, len(observed), 2))
    runs = _runs(sequence, end_ns)
    # Longest first: the runs that still have a window are then always the first ones.
    runs.sort(key=lambda run: -run.size)
    state = initial(parameters, len(runs))
    for turn in range(runs[0].size if runs else 0):
        live = sum(run.size > turn for run in runs)
        at = np.array([run[turn] for run in runs[:live]])
        before = at if turn == 0 else np.array([run[turn - 1] for run in runs[:live]])
        steps = (
            np.zeros(live, np.int64) if turn == 0 else steps_between(end_ns[before], end_ns[at], cadence_ns)
        )
        state, found = advance(parameters, state[:live], steps, observed.rows(at))
        posterior[at], line[at], spread[at] = found.posterior, found.line_Hz, found.line_sigma
    return Tracked(posterior, line, spread)


def smooth(
    parameters: TrackerParameters, sequence: IntArray, end_ns: IntArray, observed: Observed, cadence_ns: int
) -> Tracked:
    """The same as `track` with the windows after each one taken in too (forward–backward)."""
    posterior, line, spread = np.empty((len(observed), 3)), *np.empty((2, len(observed), 2))
    for run in _runs(sequence, end_ns):
        steps = np.concatenate(
            [np.zeros(1, np.int64), steps_between(end_ns[run[:-1]], end_ns[run[1:]], cadence_ns)]
        )
        predicted = np.empty((run.size, 3, parameters.bins))
        likelihood = np.empty_like(predicted)
        state = initial(parameters, 1).astype(np.float64)
        for turn in range(run.size):
            here = slice(turn, turn + 1)
            predicted[here] = _predicted(parameters, state, steps[here])
            likelihood[here] = _likelihood(parameters, predicted[here], observed.rows(run[here]))
            state = _normalised(predicted[here] * likelihood[here])
        ahead = np.ones_like(likelihood)
        for turn in range(run.size - 1, 0, -1):
            here = slice(turn, turn + 1)
            message = _returned(parameters, ahead[here] * likelihood[here], steps[here])
            ahead[turn - 1] = message[0] / message.max()
        others = predicted * ahead
        posterior[run] = _normalised(others * likelihood).sum(axis=-1)
        line[run], spread[run] = _line(parameters, others)
    return Tracked(posterior, line, spread)


def pooled(parameters: TrackerParameters, posterior: FloatArray, probability: FloatArray) -> FloatArray:
    """Logarithmic pool of what the tracker and what the window alone says: q ∝ γᵖ p¹⁻ᵖ.

    The tracker is slow to believe in what is rare; the pool lets a window that is sure of itself speak at once
    (Genest & Zidek 1986, doi:10.1214/ss/1177013825).

    Parameters
    ----------
    parameters : TrackerParameters
        Its `pool` is the exponent.
    posterior, probability : ndarray, shape (n, 3)
        NaN in `probability` leaves the posterior.

    Returns
    -------
    ndarray, shape (n, 3)
        Rows sum to 1.
    """
    own = np.where(np.isfinite(probability), probability, posterior)
    logarithm = parameters.pool * np.log(np.maximum(posterior, _FLOOR))
    logarithm += (1.0 - parameters.pool) * np.log(np.maximum(own, _FLOOR))
    share = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    result: FloatArray = share / share.sum(axis=1, keepdims=True)
    return result


def decide(
    parameters: TrackerParameters,
    weights: tuple[float, float, float],
    label: IntArray,
    observed: Observed,
    tracked: Tracked,
) -> IntArray:
    """Final class index of every window: argmax of wᵢqᵢ with the pooled q, as far as the window itself supports it.

    A window that could not be judged stays NoFreq: no resonance without a spectrum. A resonance needs the window's
    own reading; where stage one saw none, that reading must also lie within 3σ of a line that is known better than
    a chance reading would tell. What fails this keeps its label.

    Parameters
    ----------
    parameters : TrackerParameters
    weights : tuple of float
        One a class.
    label : ndarray, shape (n,), int64
        Class index after stage one.
    observed : Observed
    tracked : Tracked

    Returns
    -------
    ndarray, shape (n,), int64
    """
    best = (pooled(parameters, tracked.posterior, observed.probability) * np.array(weights)).argmax(axis=1)
    every, kind = np.arange(best.size), np.maximum(best - 1, 0)
    is_read = observed.read()[every, kind]
    reading = np.where(is_read, observed.reading_Hz[every, kind], 1.0)
    sigma = np.where(is_read, observed.sigma[every, kind], 0.0)
    spread = tracked.line_sigma[every, kind]
    distance = np.abs(np.log(reading / tracked.line_Hz[every, kind]))
    near = (distance <= _AGREE_SIGMAS * np.hypot(sigma, spread)) & (spread < parameters.chance_spread)
    supported = (best == 0) | (is_read & ((label != 0) | near))
    return np.where(observed.judged(), np.where(supported, best, label), 0).astype(np.int64)


def _runs(sequence: IntArray, end_ns: IntArray) -> list[IntArray]:
    """Rows of each sequence, in the order of time."""
    order = np.lexsort((end_ns, sequence))
    return [run for run in np.split(order, np.flatnonzero(np.diff(sequence[order])) + 1) if run.size]


def _normalised(state: FloatArray) -> FloatArray:
    total = state.reshape(state.shape[0], -1).sum(axis=1)
    return np.asarray(state / total[:, None, None])


def _predicted(parameters: TrackerParameters, state: FloatArray, steps: IntArray) -> FloatArray:
    """The state some steps on. Step by step, so that a missing window and one that says nothing are the same."""
    return _repeated(parameters, state, steps, np.array(parameters.transition))


def _returned(parameters: TrackerParameters, message: FloatArray, steps: IntArray) -> FloatArray:
    """The transpose of `_predicted`: frequencies move alike both ways, classes by the transposed matrix."""
    return _repeated(parameters, message, steps, np.array(parameters.transition).T)


def _repeated(
    parameters: TrackerParameters, state: FloatArray, steps: IntArray, matrix: FloatArray
) -> FloatArray:
    for turn in range(min(int(steps.max(initial=0)), _LONGEST_ABSENCE)):
        moving = steps > turn
        if moving.all():
            state = _drifted(parameters, _mixed(state, matrix))
        else:
            state = state.copy()
            state[moving] = _drifted(parameters, _mixed(state[moving], matrix))
    return state


def _mixed(state: FloatArray, matrix: FloatArray) -> FloatArray:
    """Classes changed by `matrix`; spelled out, because a matrix product's rounding depends on the batch."""
    mixed = np.empty_like(state)
    for to in range(3):
        mixed[:, to] = state[:, 0] * matrix[0, to] + state[:, 1] * matrix[1, to] + state[:, 2] * matrix[2, to]
    return mixed


def _drifted(parameters: TrackerParameters, state: FloatArray) -> FloatArray:
    """One step of the random walk of ln f, reflected at the ends of the grid, with its rare jump to anywhere."""
    kernel, bins = _tables(parameters).kernel, parameters.bins
    radius = len(kernel) - 1
    ends = state[..., :radius][..., ::-1], state[..., bins - radius :][..., ::-1]
    padded = np.concatenate([ends[0], state, ends[1]], axis=-1)
    drifted = state * kernel[0]
    for offset in range(1, radius + 1):
        below = padded[..., radius - offset : radius - offset + bins]
        drifted += (below + padded[..., radius + offset : radius + offset + bins]) * kernel[offset]
    anywhere = state.sum(axis=-1, keepdims=True) * (parameters.jump / bins)
    return np.asarray(drifted * (1.0 - parameters.jump) + anywhere)


def _likelihood(parameters: TrackerParameters, predicted: FloatArray, observed: Observed) -> FloatArray:
    """How likely each state makes the windows, over chance readings: shape (n, 3, bins)."""
    p, ln_f = parameters, _tables(parameters).ln_f
    uniform = 1.0 / (ln_f[-1] - ln_f[0])
    is_read = observed.read()
    reading = np.log(np.where(is_read, observed.reading_Hz, 1.0))
    distance = ln_f - np.clip(reading, ln_f[0], ln_f[-1])[:, :, None]
    sigma = np.maximum(np.where(is_read, observed.sigma, 1.0), p.least_sigma)[:, :, None]
    own = (1.0 - p.outlier) * _normal(distance, sigma) + p.outlier * uniform
    line = (predicted[:, 0] + predicted[:, 1] + predicted[:, 2])[:, None, :]
    line = line / line.sum(axis=-1, keepdims=True)
    about = (line * _normal(distance, p.chance_spread)).sum(axis=-1, keepdims=True)
    chance = (1.0 - p.chance_outlier) * about + p.chance_outlier * uniform
    judged = observed.judged()
    classes = np.maximum(np.where(judged[:, None], observed.probability, 1.0), _LEAST_PROBABILITY)
    classes = (classes / np.array(p.prior))[:, :, None]
    found = np.empty((len(observed), 3, ln_f.size))
    found[:, :1] = classes[:, :1]
    found[:, 1:] = classes[:, 1:] * np.where(is_read[:, :, None], own / chance, 1.0)
    return np.where(judged[:, None, None], found**p.evidence, 1.0)


def _normal(distance: FloatArray, sigma: FloatArray | float) -> FloatArray:
    return np.asarray(np.exp(-0.5 * (distance / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi)))


def _line(parameters: TrackerParameters, state: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Median (Hz) and half the central 68 % of ln f, given Freq and given PBL: shapes (n, 2).

    Quantiles and not moments: the share that may have jumped anywhere would rule a variance.
    """
    mass = state[:, 1:]
    below = np.cumsum(mass, axis=-1)
    total = below[..., -1:]
    low, middle, high = (
        _quantile(parameters, mass, below, total * share)
        for share in (0.5 - _ONE_SIGMA / 2, 0.5, 0.5 + _ONE_SIGMA / 2)
    )
    return np.exp(middle), (high - low) / 2.0


def _quantile(
    parameters: TrackerParameters, mass: FloatArray, below: FloatArray, wanted: FloatArray
) -> FloatArray:
    """Where the cumulated mass reaches `wanted`, with each bin's mass spread evenly over it."""
    at = np.minimum((below < wanted).sum(axis=-1, keepdims=True), mass.shape[-1] - 1)
    inside = np.take_along_axis(mass, at, axis=-1)
    missing = np.take_along_axis(below, at, axis=-1) - wanted
    within = 1.0 - np.divide(missing, inside, out=np.zeros_like(missing), where=inside > 0.0)
    first = _tables(parameters).ln_f[0]
    return np.asarray(first + (at + np.clip(within, 0.0, 1.0) - 0.5)[..., 0] * parameters.ln_step)
