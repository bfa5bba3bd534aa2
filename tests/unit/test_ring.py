"""The ring buffer: order, levels, gaps, and its fixed memory."""

from __future__ import annotations

import numpy as np

from monitor.stages.ring import Ring
from monitor.types import SECOND_NS

S = SECOND_NS


def ring(span: int = 100, phase_ns: int = 0) -> Ring:
    return Ring(S, phase_ns, span * S)


def test_read_gives_what_was_written_and_gaps_around_it() -> None:
    buffer = ring()
    assert buffer.write(10 * S, np.array([1.0, 2.0, 3.0]), 0) == (10 * S, 13 * S, 0)
    values, offset = buffer.read(8 * S, 15 * S)
    assert np.array_equal(values, [np.nan, np.nan, 1.0, 2.0, 3.0, np.nan, np.nan], equal_nan=True)
    assert offset == 0


def test_read_before_any_write_is_a_gap() -> None:
    values, offset = ring().read(0, 5 * S)
    assert np.isnan(values).all()
    assert values.size == 5
    assert offset == 0


def test_gap_never_overwrites_a_value() -> None:
    buffer = ring()
    buffer.write(0, np.array([1.0, 2.0]), 0)
    begin, end, _ = buffer.write(0, np.array([np.nan, np.nan]), 4)
    assert begin == end
    assert buffer.read(0, 2 * S)[0].tolist() == [1.0, 2.0]
    # The gap at the higher level left no trace: a value at level 0 may still be mended at level 0.
    assert buffer.write(0, np.array([5.0, 2.0]), 0)[:2] == (0, S)


def test_resend_of_the_same_values_changes_nothing() -> None:
    buffer = ring()
    buffer.write(0, np.array([1.0, 2.0, 3.0]), 1)
    begin, end, too_old = buffer.write(0, np.array([1.0, 2.0, 3.0]), 1)
    assert begin == end
    assert too_old == 0


def test_span_of_a_change_is_that_of_the_changed_samples_only() -> None:
    buffer = ring()
    buffer.write(0, np.arange(10.0), 0)
    resent = np.arange(10.0)
    resent[[3, 5]] += 0.5
    assert buffer.write(0, resent, 0) == (3 * S, 6 * S, 0)


def test_higher_level_wins_whatever_the_order() -> None:
    for order in ((1, 3), (3, 1)):
        buffer = ring()
        for level in order:
            buffer.write(0, np.array([float(level)]), level)
        assert buffer.read(0, S)[0].tolist() == [3.0]


def test_same_value_at_a_higher_level_is_protected_from_the_lower() -> None:
    buffer = ring()
    buffer.write(0, np.array([1.0]), 1)
    buffer.write(0, np.array([1.0]), 3)
    begin, end, _ = buffer.write(0, np.array([2.0]), 2)
    assert begin == end
    assert buffer.read(0, S)[0].tolist() == [1.0]


def test_too_old_samples_are_counted_and_left_out() -> None:
    buffer = ring(span=10)
    buffer.write(100 * S, np.arange(10.0), 0)
    begin, end, too_old = buffer.write(95 * S, np.full(6, 7.0), 1)
    assert too_old == 5
    assert (begin, end) == (100 * S, 101 * S)
    assert buffer.write(0, np.ones(3), 1) == (0, 0, 3)
    assert buffer.oldest_ns == 100 * S


def test_block_longer_than_the_ring_keeps_its_latest_samples() -> None:
    buffer = ring(span=10)
    _, end, too_old = buffer.write(0, np.arange(25.0), 0)
    assert too_old == 15
    assert end == 25 * S
    assert buffer.read(15 * S, 25 * S)[0].tolist() == list(range(15, 25))
    assert np.isnan(buffer.read(10 * S, 15 * S)[0]).all()


def test_advance_forgets_what_falls_out_and_its_level() -> None:
    buffer = ring(span=10)
    buffer.write(0, np.full(10, 1.0), 4)
    buffer.write(15 * S, np.array([2.0]), 0)
    values = buffer.read(0, 16 * S)[0]
    assert np.isnan(values[:6]).all()
    assert values[6:10].tolist() == [1.0] * 4
    assert buffer.write(10 * S, np.full(5, 3.0), 0)[2] == 0
    assert buffer.read(10 * S, 16 * S)[0].tolist() == [3.0] * 5 + [2.0]


def test_jump_of_years_empties_the_ring_at_once() -> None:
    buffer = ring(span=10)
    buffer.write(0, np.ones(10), 0)
    year = 365 * 86_400 * S
    buffer.write(year, np.array([5.0]), 0)
    values = buffer.read(year - 9 * S, year + S)[0]
    assert np.isnan(values[:-1]).all()
    assert values[-1] == 5.0


def test_off_grid_station_is_read_on_its_own_grid_with_its_lag() -> None:
    buffer = ring(phase_ns=3 * S // 10)
    buffer.write(10 * S + 3 * S // 10, np.arange(5.0), 0)
    values, offset = buffer.read(10 * S, 15 * S)
    assert values.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert offset == 3 * S // 10


def test_jittered_stamp_lands_on_the_nearest_instant() -> None:
    buffer = ring()
    buffer.write(10 * S + S // 20, np.array([1.0]), 0)
    buffer.write(11 * S - S // 20, np.array([2.0]), 0)
    assert buffer.read(10 * S, 12 * S)[0].tolist() == [1.0, 2.0]


def test_written_values_are_copied() -> None:
    buffer = ring()
    values = np.array([1.0, 2.0])
    buffer.write(0, values, 0)
    values[:] = 9.0
    read = buffer.read(0, 2 * S)[0]
    read[:] = 8.0
    assert buffer.read(0, 2 * S)[0].tolist() == [1.0, 2.0]
