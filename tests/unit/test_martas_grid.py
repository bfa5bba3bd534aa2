"""From times of their own to a grid: what stays, what is interpolated, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.decoders.martas.grid import Grid, Run
from monitor.types import SECOND_NS, FloatArray, IntArray

T0_NS = 1_504_785_600 * SECOND_NS


def wave(times_ns: IntArray, frequency_Hz: float = 0.02) -> FloatArray:
    """A wave with phase 0 at `T0_NS`, as one component."""
    return np.sin(2 * np.pi * frequency_Hz * (times_ns - T0_NS) / SECOND_NS)[np.newaxis]


def at(seconds: FloatArray) -> IntArray:
    return T0_NS + np.round(seconds * SECOND_NS).astype(np.int64)


def whole(runs: list[Run]) -> tuple[IntArray, FloatArray]:
    times = [run.t0_ns + run.step_ns * np.arange(run.values.shape[1]) for run in runs]
    return np.concatenate(times), np.hstack([run.values for run in runs])[0]


def one_by_one(grid: Grid, times_ns: IntArray, values: FloatArray) -> list[Run]:
    return [
        run for k in range(len(times_ns)) for run in grid.place(times_ns[k : k + 1], values[:, k : k + 1])
    ]


def phase_deg(times_ns: IntArray, values: FloatArray, frequency_Hz: float) -> float:
    """Phase of a wave by least squares, degrees."""
    angle = 2 * np.pi * frequency_Hz * (times_ns - T0_NS) / SECOND_NS
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    sine, cosine = np.linalg.lstsq(basis, values, rcond=None)[0]
    return float(np.degrees(np.arctan2(cosine, sine)))


def test_samples_on_the_second_stay_as_they_are() -> None:
    times = at(np.arange(20.0))
    runs = one_by_one(Grid(), times, wave(times))
    found, values = whole(runs)
    np.testing.assert_array_equal(found, times)
    np.testing.assert_array_equal(values, wave(times)[0])
    assert len(runs) == 1 + 15


def test_ten_samples_a_second_from_three_tenths_before_it_are_on_their_grid() -> None:
    times = at(np.arange(40) / 10 - 0.3)
    (run,) = Grid().place(times, wave(times))
    assert (run.t0_ns, run.step_ns, run.values.shape) == (
        T0_NS - 3 * SECOND_NS // 10,
        SECOND_NS // 10,
        (1, 40),
    )


def test_steady_phase_is_kept_and_a_little_jitter_is_not_moved_further_than_ten_milliseconds() -> None:
    jitter = np.random.default_rng(1).uniform(-0.004, 0.004, 100)
    times = at(np.arange(100.0) + 0.617 + jitter)
    found, values = whole(one_by_one(Grid(), times, wave(times)))
    assert len(found) == 100
    assert np.abs(found - times).max() <= 10_000_000
    np.testing.assert_array_equal(values, wave(times)[0])
    assert set((found % SECOND_NS).tolist()) == {found[0] % SECOND_NS}


@pytest.mark.parametrize("frequency_Hz", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("drift", [0.0, 1e-3, 3e-3])
def test_wandering_clock_is_interpolated_without_shifting_the_phase(
    frequency_Hz: float, drift: float
) -> None:
    count = 3600
    jitter = np.random.default_rng(2).uniform(-0.05, 0.05, count)
    times = at(np.arange(count) * (1 + drift) + 0.3 + jitter)
    found, values = whole(one_by_one(Grid(), times, wave(times, frequency_Hz)))
    assert len(found) >= (times[-1] - times[0]) // SECOND_NS - 1
    assert len(set(found.tolist())) == len(found)
    assert set((found % SECOND_NS).tolist()) == {0}
    # A shift of 0.3 s would be 2.2 degrees at 20 mHz.
    assert abs(phase_deg(found, values, frequency_Hz)) < 0.05
    lost = 1 - np.std(values) / np.sqrt(0.5)
    assert lost < 1.2 * (1 - np.cos(np.pi * frequency_Hz)) + 5e-3


def test_nearest_second_would_shift_the_phase_where_interpolation_does_not() -> None:
    times = at(np.arange(3600.0) + 0.3)
    moved = (times + SECOND_NS // 2) // SECOND_NS * SECOND_NS
    assert abs(phase_deg(moved, wave(times)[0], 0.02)) == pytest.approx(2.16, abs=0.01)
    found, values = whole(Grid().place(times, wave(times)))
    assert abs(phase_deg(found, values, 0.02)) < 1e-6


def test_missing_seconds_are_gaps_and_nothing_is_made_up() -> None:
    seconds = np.array([0, 1, 2, 3, 4, 5, 8, 9, 20.0])
    for offset in (0.0, 0.4):
        times = at(seconds + offset)
        found, _ = whole(one_by_one(Grid(), times, wave(times)))
        np.testing.assert_array_equal(found, times)
    jitter = np.array([0, 0.1, -0.1, 0.05, -0.07, 0.1, 0, 0.1, 0])
    found, _ = whole(one_by_one(Grid(), at(seconds + 0.5 + jitter), wave(at(seconds))))
    np.testing.assert_array_equal((found - T0_NS) // SECOND_NS, [1, 2, 3, 4, 5, 9])


def test_resent_sample_comes_again_and_one_that_was_late_in_its_place() -> None:
    grid = Grid()
    times = at(np.arange(10.0))
    grid.place(times[:8], wave(times[:8]))
    (run,) = grid.place(times[3:4], np.array([[7.0]]))
    assert (run.t0_ns, run.values.tolist()) == (int(times[3]), [[7.0]])
    (run,) = grid.place(times[8:], wave(times[8:]))
    assert run.t0_ns == int(times[8])


def test_clock_that_is_set_back_by_hours_is_gone_on_with() -> None:
    grid = Grid()
    times = at(np.arange(10.0) + 0.3 * (np.arange(10) % 2))
    grid.place(times, wave(times))
    found, _ = whole(one_by_one(grid, times - 7200 * SECOND_NS, wave(times)))
    assert len(found) == 10


@pytest.mark.parametrize(
    ("rate_Hz", "step_s"), [(12.8, 0.1), (3.2, 0.5), (38.4, 0.05), (1.0, 1.0), (0.1, 10.0)]
)
def test_step_is_learnt_and_odd_rates_go_to_the_next_grid(rate_Hz: float, step_s: float) -> None:
    times = at(np.arange(200) / rate_Hz)
    runs = Grid().place(times, wave(times, 0.002))
    found, values = whole(runs)
    assert {run.step_ns for run in runs} == {round(step_s * SECOND_NS)}
    assert len(found) >= (times[-1] - times[0]) // runs[0].step_ns
    np.testing.assert_allclose(values, wave(found, 0.002)[0], atol=1e-3)


def test_other_rate_is_learnt_anew_and_a_configured_step_stays() -> None:
    slow = at(np.concatenate([np.arange(10.0), 10 + 10 * np.arange(30.0)]))
    grid, forced = Grid(), Grid(forced_ns=SECOND_NS)
    one_by_one(grid, slow, wave(slow))
    one_by_one(forced, slow, wave(slow))
    assert grid.step_ns == 10 * SECOND_NS
    assert forced.step_ns == SECOND_NS


@pytest.mark.parametrize("first", [[0, 2, 4, 5, 8], [0, 1, 2, 9, 10], [0, 3, 4, 7, 9]])
def test_first_samples_may_have_gaps(first: list[int]) -> None:
    times = at(np.array(first) + 0.25)
    grid = Grid()
    found, _ = whole(grid.place(times, wave(times)))
    assert grid.step_ns == SECOND_NS
    np.testing.assert_array_equal(found, times)


def test_line_that_loses_samples_changes_no_step() -> None:
    grid = Grid()
    seconds = np.cumsum(np.concatenate([np.ones(10), np.random.default_rng(3).integers(2, 5, 200)]))
    found, _ = whole(one_by_one(grid, at(seconds), wave(at(seconds))))
    assert grid.step_ns == SECOND_NS
    np.testing.assert_array_equal(found, at(seconds))


def test_gap_in_a_value_stays_a_gap() -> None:
    times = at(np.arange(20.0) + np.where(np.arange(20) % 2, 0.2, 0.0))
    values = wave(times)
    values[0, 10] = np.nan
    found, placed = whole(Grid().place(times, values))
    assert np.isnan(placed).sum() in (1, 2)
    assert len(found) >= 19


@given(
    st.lists(st.floats(-0.4, 0.4), min_size=6, max_size=30),
    st.lists(st.integers(1, 5), min_size=1, max_size=30),
)
def test_any_batching_gives_the_same_samples(jitter: list[float], sizes: list[int]) -> None:
    times = at(np.arange(len(jitter)) + np.array(jitter))
    # The first samples tell the grid: they come together either way.
    at_once, pieces = Grid(), Grid()
    expected = at_once.place(times[:5], wave(times[:5])) + at_once.place(times[5:], wave(times[5:]))
    found = pieces.place(times[:5], wave(times[:5]))
    begin = 5
    for size in [*sizes, *[1] * len(times)]:
        if begin < len(times):
            found += pieces.place(times[begin : begin + size], wave(times)[:, begin : begin + size])
            begin += size
    assert pieces.snapshot() == at_once.snapshot()
    if expected:
        for one, other in zip(whole(found), whole(expected), strict=True):
            np.testing.assert_array_equal(one, other)
