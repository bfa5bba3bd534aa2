"""The tracker against enumeration of all paths, against sequences drawn from known parameters, and by its cases."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from monitor.science.tracker import Observed, advance, decide, initial, smooth, track
from monitor.science.tracker_fit import LabelledRuns, fit_tracker
from monitor.science.tracker_parameters import TrackerParameters
from monitor.types import BoolArray, FloatArray, IntArray

CADENCE_NS = 1_800_000_000_000
NO_FREQ, FREQ, PBL = range(3)
EVEN = (1.0, 1.0, 1.0)
TINY = TrackerParameters(
    prior=(0.5, 0.3, 0.2),
    transition=((0.8, 0.15, 0.05), (0.2, 0.7, 0.1), (0.3, 0.1, 0.6)),
    drift=0.1,
    jump=0.05,
    outlier=0.1,
    evidence=0.7,
    lowest_Hz=0.010,
    highest_Hz=0.014,
    bins=3,
)


def observed(rows: list[tuple[tuple[float, float, float] | None, float, float]]) -> Observed:
    """Rows of (probabilities or None, mHz read as Freq, mHz read as PBL), read to 5 %."""
    probability = np.array([(np.nan,) * 3 if p is None else p for p, _, _ in rows])
    reading = np.array([[freq, pbl] for _, freq, pbl in rows]) * 1e-3
    return Observed(probability, reading, np.full((len(rows), 2), 0.05))


def ends(count: int) -> IntArray:
    return CADENCE_NS * np.arange(1, count + 1)


def labels(
    seen: Observed, end_ns: IntArray | None = None, parameters: TrackerParameters | None = None
) -> list[int]:
    """Final classes of one pair whose stage one takes the most probable class."""
    parameters = parameters or TrackerParameters()
    one = np.zeros(len(seen), np.int64)
    end_ns = ends(len(seen)) if end_ns is None else end_ns
    tracked = track(parameters, one, end_ns, seen, CADENCE_NS)
    return decide(parameters, EVEN, stage_one(seen), seen, tracked).tolist()


def stage_one(seen: Observed) -> IntArray:
    return np.where(seen.judged(), np.nan_to_num(seen.probability).argmax(axis=1), NO_FREQ)


NOTHING = ((0.93, 0.05, 0.02), 17.0, 31.0)
RINGING = ((0.07, 0.90, 0.03), 10.0, 25.0)


# Against enumeration

WINDOWS = observed(
    [
        ((0.2, 0.7, 0.1), 10.5, 13.0),
        ((0.6, 0.3, 0.1), 11.0, np.nan),
        (None, 12.0, 12.0),
        ((0.1, 0.3, 0.6), 13.0, 11.2),
        ((0.4, 0.5, 0.1), 10.1, 14.0),
    ]
)
STEPS = [0, 1, 1, 2, 1]
ENDS_NS = CADENCE_NS * np.cumsum(np.array(STEPS))


def dense_step(p: TrackerParameters) -> FloatArray:
    """One step between all 9 states, class first."""
    side = (p.drift / p.ln_step) ** 2 / 2
    walk = np.array([[1 - side, side, 0], [side, 1 - 2 * side, side], [0, side, 1 - side]])
    return np.kron(np.array(p.transition), (1 - p.jump) * walk + p.jump / 3)


def emission(p: TrackerParameters, seen: Observed, row: int, predicted: FloatArray) -> FloatArray:
    """Likelihood of one window for each of the 9 states, over that of chance readings."""
    if np.isnan(seen.probability[row, 0]):
        return np.ones(9)
    grid = np.log([p.lowest_Hz, math.sqrt(p.lowest_Hz * p.highest_Hz), p.highest_Hz])
    uniform = stats.uniform(grid[0], grid[2] - grid[0]).pdf(grid[1])
    line = predicted.reshape(3, 3).sum(axis=0)
    found = np.ones((3, 3)) * (seen.probability[row] / p.prior)[:, None]
    for kind in range(2):
        value = np.log(seen.reading_Hz[row, kind])
        if np.isnan(value):
            continue
        sigma = max(0.05, 0.75 * (grid[1] - grid[0]))
        own = (1 - p.outlier) * stats.norm(grid, sigma).pdf(value) + p.outlier * uniform
        about = line @ stats.norm(grid, p.chance_spread).pdf(value) / line.sum()
        found[kind + 1] *= own / ((1 - p.chance_outlier) * about + p.chance_outlier * uniform)
    return np.asarray(found.ravel() ** p.evidence)


def enumerated(p: TrackerParameters, seen: Observed, until: int) -> FloatArray:
    """Class posteriors of the first `until` windows given all of them, by the sum over every path."""
    moves = [np.linalg.matrix_power(dense_step(p), count) for count in STEPS]
    values, vectors = np.linalg.eig(np.array(p.transition).T)
    shares = np.real(vectors[:, np.argmax(np.real(values))])
    start = np.repeat(shares / shares.sum(), 3) / 3
    speaks, state = [], start
    for row in range(until):
        state = state @ moves[row]
        speaks.append(emission(p, seen, row, state))
        state = state * speaks[-1]
    posterior = np.zeros((until, 3))
    for path in itertools.product(range(9), repeat=until):
        weight = start[path[0]] * speaks[0][path[0]]
        for row in range(1, until):
            weight *= moves[row][path[row - 1], path[row]] * speaks[row][path[row]]
        for row in range(until):
            posterior[row, path[row] // 3] += weight
    return posterior / posterior.sum(axis=1, keepdims=True)


def test_filter_equals_the_sum_over_all_paths_up_to_each_window() -> None:
    found = track(TINY, np.zeros(5, np.int64), ENDS_NS, WINDOWS, CADENCE_NS)
    for until in range(1, 6):
        assert found.posterior[until - 1] == pytest.approx(enumerated(TINY, WINDOWS, until)[-1], rel=2e-6)


def test_smoother_equals_the_sum_over_all_paths() -> None:
    found = smooth(TINY, np.zeros(5, np.int64), ENDS_NS, WINDOWS, CADENCE_NS)
    assert found.posterior == pytest.approx(enumerated(TINY, WINDOWS, 5), rel=2e-6)


def test_line_of_the_smoother_leaves_its_own_window_out() -> None:
    """The middle window says something else altogether, and its own line stays; its neighbours' lines do not.

    Not to the bit: what the windows after it count as chance depends a little on it.
    """
    rows = [RINGING] * 9
    given = smooth(TrackerParameters(), np.zeros(9, np.int64), ends(9), observed(rows), CADENCE_NS)
    rows[4] = ((0.0, 1.0, 0.0), 55.0, 66.0)
    found = smooth(TrackerParameters(), np.zeros(9, np.int64), ends(9), observed(rows), CADENCE_NS)
    assert found.line_Hz[4] == pytest.approx(given.line_Hz[4], rel=2e-3)
    assert found.line_Hz[4, 0] == pytest.approx(0.010, rel=2e-3)
    assert np.abs(found.line_sigma[5] / given.line_sigma[5] - 1.0).min() > 0.01


# Time


@pytest.mark.parametrize("drift", [0.01, 0.05, 0.11])
def test_variance_of_an_unseen_line_grows_with_every_step(drift: float) -> None:
    p = TrackerParameters(drift=drift, jump=1e-9)
    state = np.zeros((1, 3, p.bins), dtype=np.float32)
    state[:, :, p.bins // 2] = 1 / 3
    silent = observed([(None, np.nan, np.nan)])
    grid = p.ln_grid()
    for steps in (1, 4, 9):
        after, _ = advance(p, state, np.array([steps]), silent)
        mass = after[0].astype(np.float64).sum(axis=0)
        mean = mass @ grid
        assert mean == pytest.approx(grid[p.bins // 2], abs=1e-6)
        assert mass @ (grid - mean) ** 2 == pytest.approx(steps * drift**2, rel=2e-3)


def test_walk_is_reflected_at_the_ends_of_the_grid() -> None:
    """Nothing is lost, and what is even everywhere stays so."""
    p = TrackerParameters(drift=0.3)
    silent = observed([(None, np.nan, np.nan)])
    even = initial(p, 1)
    after, _ = advance(p, even, np.array([7]), silent)
    assert after == pytest.approx(even, rel=1e-6)


@pytest.mark.parametrize("missing", [1, 3, 40])
def test_missing_window_and_one_that_says_nothing_are_the_same(missing: int) -> None:
    rows = [RINGING] * 4 + [(None, 60.0, 70.0)] * missing + [RINGING] * 2
    whole, kept = observed(rows), np.r_[0:4, 4 + missing : 6 + missing]
    end_ns = ends(len(rows))
    long = track(TrackerParameters(), np.zeros(len(rows), np.int64), end_ns, whole, CADENCE_NS)
    short = track(TrackerParameters(), np.zeros(6, np.int64), end_ns[kept], whole.rows(kept), CADENCE_NS)
    assert long.posterior[kept] == pytest.approx(short.posterior, rel=1e-5)


def test_track_that_nothing_supports_decays_to_the_shares_of_the_matrix() -> None:
    p = TrackerParameters()
    rows = [RINGING] * 5 + [(None, np.nan, np.nan)] * 400
    found = track(p, np.zeros(405, np.int64), ends(405), observed(rows), CADENCE_NS)
    assert found.posterior[4, FREQ] > 0.95
    assert np.all(np.diff(found.posterior[5:60, FREQ]) < 0.0)
    assert np.array(p.transition).T @ found.posterior[-1] == pytest.approx(found.posterior[-1], rel=1e-4)
    assert found.line_sigma[-1, 0] > 1.0


def test_pair_has_bit_for_bit_the_same_result_alone_and_among_many() -> None:
    rng = np.random.default_rng(5)
    pairs, count = 150, 6
    sequence = np.tile(np.arange(pairs), count)
    end_ns = CADENCE_NS * (np.repeat(np.arange(count), pairs) * 2 + rng.integers(0, 2, pairs * count))
    seen = Observed(
        rng.dirichlet([1.0, 0.7, 0.1], pairs * count),
        np.exp(rng.uniform(np.log(0.0005), np.log(0.2), (pairs * count, 2))),
        rng.uniform(0.0, 0.2, (pairs * count, 2)),
    )
    seen.probability[rng.random(pairs * count) < 0.1] = np.nan
    seen.reading_Hz[rng.random((pairs * count, 2)) < 0.1] = np.nan
    together = track(TrackerParameters(), sequence, end_ns, seen, CADENCE_NS)
    for pair in (0, 1, 63, 64, 149):
        mine = sequence == pair
        alone = track(TrackerParameters(), sequence[mine], end_ns[mine], seen.rows(mine), CADENCE_NS)
        assert np.array_equal(alone.posterior, together.posterior[mine])
        assert np.array_equal(alone.line_Hz, together.line_Hz[mine])
        assert np.array_equal(alone.line_sigma, together.line_sigma[mine])


def test_rows_may_come_in_any_order() -> None:
    rng = np.random.default_rng(6)
    seen = observed([RINGING, NOTHING, RINGING, RINGING, NOTHING, RINGING])
    sequence, end_ns = np.array([4, 4, 4, 9, 9, 9]), np.tile(ends(3), 2)
    straight = track(TrackerParameters(), sequence, end_ns, seen, CADENCE_NS)
    order = rng.permutation(6)
    mixed = track(TrackerParameters(), sequence[order], end_ns[order], seen.rows(order), CADENCE_NS)
    assert np.array_equal(mixed.posterior, straight.posterior[order])


def test_nothing_gives_nothing() -> None:
    empty = Observed(np.empty((0, 3)), np.empty((0, 2)), np.empty((0, 2)))
    none = np.empty(0, np.int64)
    assert track(TrackerParameters(), none, none, empty, CADENCE_NS).posterior.shape == (0, 3)
    assert smooth(TrackerParameters(), none, none, empty, CADENCE_NS).posterior.shape == (0, 3)


# Decisions


def test_lone_resonance_is_dropped() -> None:
    rows = [NOTHING] * 6 + [((0.35, 0.60, 0.05), 22.0, 9.0)] + [NOTHING] * 3
    assert stage_one(observed(rows))[6] == FREQ
    assert labels(observed(rows)) == [NO_FREQ] * 10


def test_resonance_that_lasts_is_believed() -> None:
    assert labels(observed([NOTHING] * 6 + [RINGING] * 4))[-2:] == [FREQ, FREQ]


def test_missed_window_in_a_run_is_rescued_where_its_reading_agrees() -> None:
    missed = ((0.65, 0.33, 0.02), 10.3, 28.0)
    assert labels(observed([RINGING] * 5 + [missed] + [RINGING]))[5] == FREQ


@pytest.mark.parametrize("reading_mHz", [14.0, 30.0, 4.0, np.nan])
def test_missed_window_is_not_rescued_where_its_reading_is_elsewhere_or_none(reading_mHz: float) -> None:
    missed = ((0.65, 0.33, 0.02), reading_mHz, 28.0)
    found = labels(observed([RINGING] * 5 + [missed] + [RINGING] * 2))
    assert found == [FREQ] * 5 + [NO_FREQ] + [FREQ] * 2


def test_missed_window_is_not_rescued_where_nothing_is_known_of_the_line() -> None:
    """Whatever the weights: without a track there is nothing that a reading could agree with."""
    seen = observed([((0.65, 0.33, 0.02), 10.0, 28.0)])
    tracked = track(TrackerParameters(), np.zeros(1, np.int64), ends(1), seen, CADENCE_NS)
    assert decide(TrackerParameters(), (0.01, 1.0, 1.0), stage_one(seen), seen, tracked).tolist() == [NO_FREQ]


def test_window_that_was_not_judged_stays_without_a_resonance() -> None:
    assert labels(observed([RINGING] * 5 + [(None, 10.0, 10.0)] + [RINGING]))[5] == NO_FREQ


def test_resonance_comes_back_where_the_line_went() -> None:
    """After an hour and a half of silence a doubtful window at the old frequency is taken, one elsewhere is not."""
    silence, doubtful = [(None, np.nan, np.nan)] * 3, (0.55, 0.43, 0.02)
    there = labels(observed([RINGING] * 8 + silence + [(doubtful, 10.4, 28.0)]))
    elsewhere = labels(observed([RINGING] * 8 + silence + [(doubtful, 23.0, 28.0)]))
    assert (there[-1], elsewhere[-1]) == (FREQ, NO_FREQ)


def test_reversed_window_in_an_upright_run_is_relabelled_only_with_a_reading() -> None:
    flipped = (0.1, 0.42, 0.48)
    rows = [RINGING] * 6 + [(flipped, 10.1, 33.0)]
    assert stage_one(observed(rows))[6] == PBL
    assert labels(observed(rows))[6] == FREQ
    rows[6] = (flipped, np.nan, 33.0)
    assert labels(observed(rows))[6] == PBL


def test_run_that_changes_its_frequency_is_followed() -> None:
    """Half an octave in five hours, with a little lag; then at once to three times that, within four windows."""
    drifting = [((0.07, 0.90, 0.03), 10.0 * 2 ** (k / 20), 25.0) for k in range(11)]
    jumped = [((0.07, 0.90, 0.03), 42.0, 25.0)] * 6
    found = track(
        TrackerParameters(), np.zeros(17, np.int64), ends(17), observed(drifting + jumped), CADENCE_NS
    )
    assert found.line_Hz[10, 0] == pytest.approx(0.010 * math.sqrt(2.0), rel=0.08)
    assert found.line_Hz[14, 0] == pytest.approx(0.042, rel=0.04)
    assert found.posterior[10:, FREQ].min() > 0.8


def test_probabilities_count_by_the_shares_they_were_calibrated_under() -> None:
    seen = observed([((0.6, 0.3, 0.1), 10.0, 12.0)] * 4)
    shares = np.array([0.6, 0.3, 0.1])
    balanced = Observed(np.full((4, 3), 1 / 3), seen.reading_Hz, seen.sigma)
    one = np.zeros(4, np.int64)
    told = track(replace(TrackerParameters(), prior=tuple(shares.tolist())), one, ends(4), seen, CADENCE_NS)
    silent = track(TrackerParameters(), one, ends(4), balanced, CADENCE_NS)
    assert told.posterior == pytest.approx(silent.posterior, rel=1e-6)


def test_probability_of_zero_is_a_rare_event_and_not_an_impossible_one() -> None:
    rows = [RINGING] * 6 + [((1.0, 0.0, 0.0), 10.0, 25.0), RINGING, ((0.0, 0.0, 0.0), np.inf, -1.0), RINGING]
    found = track(TrackerParameters(), np.zeros(10, np.int64), ends(10), observed(rows), CADENCE_NS)
    assert found.posterior[6, NO_FREQ] > 0.5
    assert found.posterior[6:, FREQ].min() > 0.01
    assert found.posterior[[7, 9], FREQ].min() > 0.7


# Sequences of known parameters

TRUTH = TrackerParameters(
    transition=((0.92, 0.07, 0.01), (0.08, 0.90, 0.02), (0.05, 0.15, 0.80)),
    drift=0.06,
    jump=0.01,
    outlier=0.08,
    chance_spread=0.3,
    chance_outlier=0.2,
    evidence=1.0,
)
SHARPNESS = 1.6


def drawn(runs: int, count: int, seed: int) -> tuple[LabelledRuns, Observed, BoolArray]:
    """Windows drawn from TRUTH, with calibrated probabilities of a mediocre classifier."""
    rng = np.random.default_rng(seed)
    p, span = TRUTH, (math.log(TRUTH.lowest_Hz), math.log(TRUTH.highest_Hz))
    kind = np.empty((runs, count), np.int64)
    ln_f = np.empty((runs, count))
    kind[:, 0] = rng.choice(3, runs, p=p.stationary())
    ln_f[:, 0] = rng.uniform(*span, runs)
    chances = np.cumsum(np.array(p.transition), axis=1)
    for turn in range(1, count):
        kind[:, turn] = (rng.random(runs)[:, None] > chances[kind[:, turn - 1]]).sum(axis=1)
        walked = ln_f[:, turn - 1] + p.drift * rng.normal(size=runs)
        walked = span[0] + np.abs(walked - span[0])
        walked = span[1] - np.abs(span[1] - walked)
        ln_f[:, turn] = np.where(rng.random(runs) < p.jump, rng.uniform(*span, runs), walked)
    label, line = kind.ravel(), ln_f.ravel()
    # Scores of unit noise about a class's own place; with balanced shares their posterior is the calibrated one.
    score = rng.normal(size=(label.size, 3)) + SHARPNESS * np.eye(3)[label]
    likelihood = np.exp(SHARPNESS * score)
    reading = np.empty((label.size, 2))
    missed = np.zeros(label.size, dtype=np.bool_)
    for column, own in enumerate((FREQ, PBL)):
        is_own = label == own
        spread, share = np.where(is_own, 0.05, p.chance_spread), np.where(is_own, p.outlier, p.chance_outlier)
        off = rng.random(label.size) < share
        reading[:, column] = np.where(
            off, rng.uniform(*span, label.size), line + spread * rng.normal(size=label.size)
        )
        missed |= is_own & off
    seen = Observed(
        likelihood / likelihood.sum(axis=1, keepdims=True), np.exp(reading), np.full(reading.shape, 0.05)
    )
    truth = np.where(label == NO_FREQ, np.nan, np.exp(line))
    end_ns = np.tile(ends(count), runs)
    return LabelledRuns(np.repeat(np.arange(runs), count), end_ns, label, truth), seen, missed


def test_fit_recovers_the_parameters_of_drawn_sequences() -> None:
    runs, seen, _ = drawn(300, 60, 1)
    found = fit_tracker(runs, 1800.0, seen)
    # Counts of some 18,000 changes; the rarest row, PBL, has about 1,400.
    assert np.array(found.transition) == pytest.approx(np.array(TRUTH.transition), abs=0.035)
    assert found.transition[0] == pytest.approx(TRUTH.transition[0], abs=0.01)
    assert found.drift == pytest.approx(TRUTH.drift, rel=0.05)
    assert found.jump == pytest.approx(TRUTH.jump, rel=0.3)
    assert found.outlier == pytest.approx(TRUTH.outlier, rel=0.15)
    assert found.chance_spread == pytest.approx(TRUTH.chance_spread, rel=0.3)
    assert (found.prior, found.evidence) == (TrackerParameters().prior, TrackerParameters().evidence)


def test_fit_sees_through_windows_without_a_label_and_missing_ones() -> None:
    """Half of the labels hidden, a tenth of the windows gone: counts of neighbours alone would be biased."""
    runs, _, _ = drawn(300, 60, 2)
    rng = np.random.default_rng(3)
    hidden = rng.random(runs.label.size) < 0.5
    runs = replace(runs, label=np.where(hidden, -1, runs.label))
    found = fit_tracker(runs.rows(rng.permutation(np.flatnonzero(rng.random(hidden.size) > 0.1))), 1800.0)
    assert np.array(found.transition) == pytest.approx(np.array(TRUTH.transition), abs=0.045)
    assert found.transition[0] == pytest.approx(TRUTH.transition[0], abs=0.015)


def test_fit_without_neighbours_is_an_error_that_says_so() -> None:
    runs, _, _ = drawn(5, 10, 4)
    with pytest.raises(ValueError, match=r"no two labelled windows .* \(0 labelled windows\)"):
        fit_tracker(replace(runs, label=np.full(50, -1)), 1800.0)


def test_fit_keeps_what_too_few_windows_tell() -> None:
    runs, seen, _ = drawn(1, 8, 5)
    begin = TrackerParameters(drift=0.07, outlier=0.2)
    found = fit_tracker(runs, 1800.0, seen, begin)
    assert (found.drift, found.outlier, found.jump) == (0.07, 0.2, begin.jump)


def test_tracker_beats_each_window_by_itself_and_looking_ahead_beats_both() -> None:
    runs, seen, _ = drawn(200, 50, 6)
    args = (TRUTH, runs.sequence, runs.end_ns, seen, CADENCE_NS)
    single = (seen.probability * TRUTH.stationary()).argmax(axis=1)
    causal, ahead = (decide(TRUTH, EVEN, single, seen, found) for found in (track(*args), smooth(*args)))
    right = [float((chosen == runs.label).mean()) for chosen in (single, causal, ahead)]
    assert right[1] > right[0] + 0.05
    assert right[2] > right[1] + 0.01


def test_posterior_of_drawn_sequences_is_calibrated() -> None:
    """Of the windows that it calls Freq with about 70 %, about 70 % are: so the model is computed as it is drawn."""
    runs, seen, _ = drawn(300, 50, 7)
    found = track(TRUTH, runs.sequence, runs.end_ns, seen, CADENCE_NS).posterior
    for low in np.arange(0.1, 0.9, 0.2).tolist():
        chosen = (found[:, FREQ] > low) & (found[:, FREQ] <= low + 0.2)
        share, told = float((runs.label[chosen] == FREQ).mean()), float(found[chosen, FREQ].mean())
        assert share == pytest.approx(told, abs=4.0 * math.sqrt(0.25 / chosen.sum()))


# Parameters


def test_parameters_survive_json() -> None:
    p = fit_tracker(drawn(20, 20, 8)[0], 900.0)
    again = TrackerParameters.from_json(json.loads(json.dumps(p.to_json())))
    assert again == p


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"prior": (0.5, 0.5, 0.0)}, r"prior .* not \(0.5, 0.5, 0.0\)"),
        ({"transition": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.2, 0.2, 0.2))}, "transition"),
        ({"cadence_s": 0.0}, "cadence_s must be positive, not 0.0"),
        ({"drift": math.nan}, "drift must be positive, not nan"),
        ({"chance_spread": math.inf}, "chance_spread must be positive, not inf"),
        ({"jump": 1.0}, "jump must lie between 0 and 1, not 1.0"),
        ({"outlier": 0.0}, "outlier must lie between 0 and 1, not 0.0"),
        ({"evidence": 1.5}, "evidence must be above 0 and at most 1, not 1.5"),
        ({"highest_Hz": 0.001}, "from 0.001 to 0.001"),
        ({"bins": 1}, "bins must be at least 2, not 1"),
    ],
)
def test_parameters_that_cannot_be_are_refused_by_name(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(TrackerParameters(), **change)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "not \\[\\]"),
        ({}, "not \\[\\]"),
        (TrackerParameters().to_json() | {"extra": 1}, "extra"),
        (TrackerParameters().to_json() | {"prior": [1, 2]}, r"not \[1, 2\]"),
        (TrackerParameters().to_json() | {"transition": [[1, 0, 0]]}, "three rows"),
        (TrackerParameters().to_json() | {"drift": None}, "no number"),
    ],
)
def test_json_that_is_no_parameters_is_refused(document: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        TrackerParameters.from_json(document)


def test_other_cadence_is_the_same_process_seen_more_or_less_often() -> None:
    p = TrackerParameters()
    hourly, quarterly = p.at_cadence(3600.0), p.at_cadence(900.0)
    assert np.array(hourly.transition) == pytest.approx(np.linalg.matrix_power(np.array(p.transition), 2))
    assert np.linalg.matrix_power(np.array(quarterly.transition), 2) == pytest.approx(np.array(p.transition))
    assert hourly.drift == pytest.approx(p.drift * math.sqrt(2.0))
    assert 1.0 - hourly.jump == pytest.approx((1.0 - p.jump) ** 2)
    assert (hourly.evidence, quarterly.evidence) == (1.0, 0.25)
    assert hourly.stationary() == pytest.approx(p.stationary())
    assert p.at_cadence(1800.0) is p
    with pytest.raises(ValueError, match="-1"):
        p.at_cadence(-1.0)


def test_matrix_without_a_root_still_gives_probabilities() -> None:
    swapping = replace(TrackerParameters(), transition=((0.1, 0.9, 0.0), (0.9, 0.1, 0.0), (0.3, 0.3, 0.4)))
    rows = np.array(swapping.at_cadence(600.0).transition)
    assert rows.sum(axis=1) == pytest.approx(1.0)
    assert rows.min() >= 0.0
