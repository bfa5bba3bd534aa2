"""What labelled windows teach the tracker: how classes change, how lines drift, how readings scatter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from monitor.science.tracker import Observed, steps_between
from monitor.science.tracker_parameters import TrackerParameters, Triple, rows_of
from monitor.types import BoolArray, FloatArray, IntArray

_ROUNDS = 500
_SETTLED = 1e-9
_PSEUDO_COUNT = 0.5  # a change that was never seen stays possible
_LONGEST_STEPS = 48
_NEAR_STEPS = 4  # so near the line has not yet moved far
_OUTLYING_SIGMAS = 4.0
_SIGMA_OF_MEDIAN = 0.6744897501960817  # median of |x| of a unit normal
_FEWEST = 30
_LEAST_DRIFT = 0.005


@dataclass(frozen=True, slots=True)
class LabelledRuns:
    """Labelled windows of many pairs, one row each (the arrays of `LabelledSpectra` that bear these names).

    Attributes
    ----------
    sequence : ndarray, shape (n,), int64
        Windows of one run of one pair share a number; rows may be in any order.
    end_ns : ndarray, shape (n,), int64
    label : ndarray, shape (n,), int64
        Index into `types.CLASSES`, or −1 where it is not known.
    truth_Hz : ndarray, shape (n,)
        Frequency of the resonance; NaN where there is none or it is not known.
    """

    sequence: IntArray
    end_ns: IntArray
    label: IntArray
    truth_Hz: FloatArray

    def rows(self, chosen: IntArray | BoolArray) -> LabelledRuns:
        """The same for some of the windows."""
        return LabelledRuns(
            self.sequence[chosen], self.end_ns[chosen], self.label[chosen], self.truth_Hz[chosen]
        )


def fit_tracker(
    runs: LabelledRuns,
    cadence_s: float,
    observed: Observed | None = None,
    begin: TrackerParameters | None = None,
) -> TrackerParameters:
    """Estimate the tracker's parameters from labelled windows.

    The class matrix is the maximum of the likelihood of all known labels (with half a pseudo-count a cell), with
    the windows between two of them latent: expectation–maximisation (Dempster et al. 1977,
    doi:10.1111/j.2517-6161.1977.tb01600.x) on the counts of (from, to, steps apart). `drift` is the scatter of the
    true ln f from one resonance of a run to the next, and `jump` what does not fit it. With `observed` the scatter
    of the readings is learnt too. What too few windows tell stays as in `begin`, and so do `prior` and `evidence`:
    the one belongs to the calibration, the other to the score that is wanted.

    Parameters
    ----------
    runs : LabelledRuns
    cadence_s : float
        Of the windows; the parameters returned belong to it.
    observed : Observed, optional
        What stage one and the regressor say of the same windows.
    begin : TrackerParameters, optional
        Defaults to those of the class, at `cadence_s`.

    Raises
    ------
    ValueError
        No two labelled windows follow one another.
    """
    begin = (begin or TrackerParameters()).at_cadence(cadence_s)
    cadence_ns = round(cadence_s * 1e9)
    order = np.lexsort((runs.end_ns, runs.sequence))
    runs = runs.rows(order)
    fitted = replace(begin, transition=_transition(runs, cadence_ns))
    fitted = _with_drift(fitted, runs, cadence_ns)
    return fitted if observed is None else _with_scatter(fitted, runs, cadence_ns, observed.rows(order))


def _transition(runs: LabelledRuns, cadence_ns: int) -> tuple[Triple, Triple, Triple]:
    known = runs.rows(runs.label >= 0)
    steps = _followers(known, cadence_ns)
    found = (steps > 0) & (steps <= _LONGEST_STEPS)
    counts = Counter(
        zip(
            known.label[:-1][found].tolist(),
            known.label[1:][found].tolist(),
            steps[found].tolist(),
            strict=True,
        )
    )
    if not counts:
        raise ValueError(
            f"no two labelled windows of a run are at most {_LONGEST_STEPS} cadences apart "
            f"({known.label.size} labelled windows)"
        )
    matrix = np.full((3, 3), 1 / 3)
    for _ in range(_ROUNDS):
        before, expected = matrix, _expected_changes(matrix, counts) + _PSEUDO_COUNT
        matrix = expected / expected.sum(axis=1, keepdims=True)
        if np.abs(matrix - before).max() < _SETTLED:
            break
    return rows_of(matrix)


def _expected_changes(matrix: FloatArray, counts: Mapping[tuple[int, int, int], int]) -> FloatArray:
    """How often each change of class happened, given both ends and the number of steps between them."""
    longest = max(steps for _, _, steps in counts)
    powers = [np.eye(3)]
    for _ in range(longest):
        powers.append(powers[-1] @ matrix)
    expected = np.zeros((3, 3))
    for (first, last, steps), count in counts.items():
        for turn in range(steps):
            path = np.outer(powers[turn][first], powers[steps - 1 - turn][:, last]) * matrix
            expected += count * path / powers[steps][first, last]
    return expected


def _with_drift(parameters: TrackerParameters, runs: LabelledRuns, cadence_ns: int) -> TrackerParameters:
    ringing = runs.rows(np.isfinite(runs.truth_Hz))
    steps = _followers(ringing, cadence_ns)
    found = (steps > 0) & (steps <= _LONGEST_STEPS)
    if int(found.sum()) < _FEWEST:
        return parameters
    moved = np.abs(np.diff(np.log(ringing.truth_Hz))[found]) / np.sqrt(steps[found])
    within = _within(moved, _LEAST_DRIFT)
    jumps = int((~within).sum())
    return replace(
        parameters,
        drift=max(float(np.sqrt(np.mean(moved[within] ** 2))), _LEAST_DRIFT),
        jump=(jumps + _PSEUDO_COUNT) / (int(steps[found].sum()) + 2 * _PSEUDO_COUNT),
    )


def _with_scatter(
    parameters: TrackerParameters, runs: LabelledRuns, cadence_ns: int, observed: Observed
) -> TrackerParameters:
    """Learn how often a resonance is misread, and how readings of no resonance scatter about the line."""
    line_Hz = _near_truth(runs, cadence_ns)
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.log(observed.reading_Hz / line_Hz[:, None])
    usable = observed.read() & np.isfinite(off) & observed.judged()[:, None]
    sigma = np.maximum(observed.sigma, parameters.least_sigma)
    own = usable & (np.array([1, 2]) == runs.label[:, None]) & np.isfinite(runs.truth_Hz)[:, None]
    chance = usable & (runs.label == 0)[:, None]
    if int(own.sum()) >= _FEWEST:
        missed = int((np.abs(off[own]) > _OUTLYING_SIGMAS * sigma[own]).sum())
        outlier = (missed + _PSEUDO_COUNT) / (int(own.sum()) + 2 * _PSEUDO_COUNT)
        parameters = replace(parameters, outlier=outlier)
    if int(chance.sum()) >= _FEWEST:
        spread, outlier = _normal_and_uniform(parameters, off[chance])
        parameters = replace(parameters, chance_spread=spread, chance_outlier=outlier)
    return parameters


def _normal_and_uniform(parameters: TrackerParameters, deviation: FloatArray) -> tuple[float, float]:
    """Width of the normal part and share of the uniform one (over the grid) that make deviations likeliest."""
    uniform = 1.0 / (parameters.ln_step * (parameters.bins - 1))
    spread, outlier = parameters.chance_spread, parameters.chance_outlier
    for _ in range(_ROUNDS):
        before = spread
        normal = np.exp(-0.5 * (deviation / spread) ** 2) / (spread * np.sqrt(2.0 * np.pi))
        share = (1.0 - outlier) * normal / ((1.0 - outlier) * normal + outlier * uniform)
        total = float(share.sum())
        outlier = (deviation.size - total + _PSEUDO_COUNT) / (deviation.size + 2 * _PSEUDO_COUNT)
        variance = float((share * deviation**2).sum()) / max(total, _PSEUDO_COUNT)
        spread = max(float(np.sqrt(variance)), parameters.least_sigma)
        if abs(spread - before) < _SETTLED:
            break
    return spread, outlier


def _within(size: FloatArray, least: float) -> BoolArray:
    """Which deviations belong to a normal scatter, whose width the median tells."""
    return np.asarray(size <= _OUTLYING_SIGMAS * max(float(np.median(size)) / _SIGMA_OF_MEDIAN, least))


def _followers(runs: LabelledRuns, cadence_ns: int) -> IntArray:
    """Steps from each row to the next, shape (n − 1,); 0 where another run begins."""
    steps = steps_between(runs.end_ns[:-1], runs.end_ns[1:], cadence_ns)
    return np.where(np.diff(runs.sequence) == 0, steps, 0)


def _near_truth(runs: LabelledRuns, cadence_ns: int) -> FloatArray:
    """The true frequency of each row, or that of the nearest row in time of its run; NaN where that is far."""
    known = np.flatnonzero(np.isfinite(runs.truth_Hz))
    if known.size == 0:
        return np.full(runs.end_ns.size, np.nan)
    every = np.arange(runs.end_ns.size)
    after = np.minimum(np.searchsorted(known, every), known.size - 1)
    candidates = known[np.stack([after, np.maximum(after - 1, 0)])]
    distance = np.abs(runs.end_ns[candidates] - runs.end_ns).astype(np.float64)
    distance[runs.sequence[candidates] != runs.sequence] = np.inf
    nearest = candidates[distance.argmin(axis=0), every]
    return np.where(distance.min(axis=0) <= _NEAR_STEPS * cadence_ns, runs.truth_Hz[nearest], np.nan)
