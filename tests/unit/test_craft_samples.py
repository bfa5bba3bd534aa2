"""Cells of a spacecraft: means of what lies in them, else what covers them, whatever came when and how."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.stages.craft_samples import CraftSamples
from monitor.types import CELL_NS, SECOND_NS, VARIABLES, Domain, FloatArray, SampleBlock

S = SECOND_NS
T0_NS = 333_333_333 * CELL_NS
SPAN_NS = 3600 * S


def block(
    start_s: float, values: list[float] | FloatArray, step_s: float = 4.5, name: str = "N"
) -> SampleBlock:
    """One variable from `start_s` after T0 on."""
    rows = np.array([values], dtype=np.float64)
    return SampleBlock("MMS1", (name,), T0_NS + round(start_s * S), round(step_s * S), rows, Domain.CRAFT)


def cells(samples: CraftSamples, count: int, name: str = "N", first: int = 0) -> list[float]:
    begin = T0_NS + first * CELL_NS
    column: FloatArray = samples.cells(begin, begin + count * CELL_NS)[:, VARIABLES.index(name)]
    return column.tolist()


def written(*blocks: SampleBlock) -> CraftSamples:
    samples = CraftSamples(SPAN_NS)
    for one in blocks:
        samples.write(one)
    return samples


@pytest.mark.parametrize("phase_s", [0.0, 0.001, 1.0, 2.249, 2.25, 2.251, 4.4999])
def test_feed_of_the_cells_step_gives_one_sample_a_cell_whatever_its_phase(phase_s: float) -> None:
    samples = written(block(phase_s, [float(n) for n in range(20)]))
    shift = 1 if phase_s >= 2.25 else 0
    assert cells(samples, 18, first=1) == [float(n - shift) for n in range(1, 19)]


def test_cell_is_the_mean_of_the_samples_whose_middles_lie_in_it() -> None:
    samples = written(block(0.0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], step_s=1.0))
    # Middles at 0.5, 1.5, … 8.5 s: those below 4.5 s are of the first cell, the one at 4.5 s is of the second.
    assert cells(samples, 2) == [2.5, 7.0]


def test_long_sample_covers_the_cells_whose_middles_it_holds() -> None:
    samples = written(block(0.0, [1.0, 2.0, 3.0], step_s=10.0))
    # Middles of samples at 5, 15, 25 s; of cells at 2.25, 6.75, 11.25, 15.75, 20.25, 24.75, 29.25, 33.75 s.
    np.testing.assert_array_equal(cells(samples, 8), [1, 1, 2, 2, 3, 3, 3, np.nan])


@pytest.mark.parametrize("jitter_s", [0.2, 0.44])
def test_jitter_of_a_tenth_of_the_step_makes_no_gap(jitter_s: float) -> None:
    late: list[SampleBlock] = []
    for n in range(40):
        wander = jitter_s if n % 2 else -jitter_s
        late.append(block(2.25 + n * 4.5 + wander, [float(n)]))
    assert not np.isnan(cells(written(*late), 38, first=1)).any()


def test_gap_longer_than_a_step_stays_a_gap() -> None:
    samples = written(block(0.0, [1.0, np.nan, np.nan, 4.0]))
    np.testing.assert_array_equal(cells(samples, 4), [1, np.nan, np.nan, 4])


def test_variables_may_come_in_blocks_of_their_own_step_and_phase() -> None:
    samples = written(
        block(0.0, np.arange(25.0), step_s=4.0, name="B"),
        block(1.3, np.arange(25.0) + 100.0, step_s=4.017, name="N"),
    )
    found = samples.cells(T0_NS, T0_NS + 20 * CELL_NS)
    assert not np.isnan(found[1:20, [VARIABLES.index("B"), VARIABLES.index("N")]]).any()
    assert np.isnan(found[:, VARIABLES.index("Vx")]).all()


def test_resend_overwrites_and_a_gap_does_not() -> None:
    samples = written(block(0.0, [1.0, 2.0, 3.0]), block(0.0, [np.nan, 20.0, np.nan]))
    assert cells(samples, 3) == [1.0, 20.0, 3.0]


def test_resend_at_another_step_replaces_the_value_and_no_other_variable() -> None:
    samples = written(
        block(0.0, [1.0], step_s=4.5), block(0.0, [7.0], step_s=4.5, name="B"), block(0.0, [3.0], step_s=4.0)
    )
    assert cells(samples, 1) == [3.0]
    assert cells(samples, 1, "B") == [7.0]


def test_order_of_arrival_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    blocks = [
        block(start + 0.1 * k, rng.normal(size=20), step_s=step, name=name)
        for k, (name, step) in enumerate([("N", 4.5), ("B", 4.0), ("T", 1.0), ("Vx", 10.0)])
        for start in np.arange(5) * 20 * step
    ]
    expected = written(*blocks).cells(T0_NS, T0_NS + 60 * CELL_NS)
    for _ in range(5):
        mixed = CraftSamples(SPAN_NS)
        for number in rng.permutation(len(blocks)):
            mixed.write(blocks[number])
            mixed.refresh()
        np.testing.assert_array_equal(mixed.cells(T0_NS, T0_NS + 60 * CELL_NS), expected)


def test_totals_are_derived_from_the_cells_where_none_came() -> None:
    samples = written(
        block(0.0, [3.0, 3.0], name="Bx"),
        block(0.0, [4.0, 4.0], name="By"),
        block(0.0, [0.0, 0.0], name="Bz"),
        block(0.0, [6.0, np.nan], name="B"),
        block(0.0, [1.0, 1.0], name="Tpar"),
        block(0.0, [4.0, np.nan], name="Tperp"),
    )
    assert cells(samples, 2, "B") == [6.0, 5.0]
    np.testing.assert_array_equal(cells(samples, 2, "T"), [3.0, np.nan])
    assert np.isnan(cells(samples, 2, "V")).all()


def test_components_of_other_names_are_left_alone() -> None:
    assert np.isnan(written(block(0.0, [1.0], name="H")).cells(T0_NS, T0_NS + CELL_NS)).all()


def test_refresh_says_where_cells_changed_and_nowhere_else() -> None:
    samples = written(block(0.0, np.arange(100.0)))
    assert samples.refresh() == [(T0_NS, T0_NS + 100 * CELL_NS)]
    samples.write(block(45.0, [10.0]))
    assert samples.refresh() == []
    samples.write(block(45.0, [11.0]))
    samples.write(block(90.0, [21.0]))
    assert samples.refresh() == [
        (T0_NS + 10 * CELL_NS, T0_NS + 11 * CELL_NS),
        (T0_NS + 20 * CELL_NS, T0_NS + 21 * CELL_NS),
    ]
    assert samples.refresh() == []


def test_samples_older_than_the_memory_are_counted_and_left_out() -> None:
    samples = written(block(0.0, [1.0]), block(7200.0, [2.0]))
    oldest = samples.oldest_ns
    assert oldest is not None
    assert T0_NS + 7200 * S - SPAN_NS - 60 * S < oldest <= T0_NS + 7200 * S - SPAN_NS
    _, too_old = samples.write(block((oldest - T0_NS) / S - 9.0, [3.0, 4.0, 5.0]))
    assert too_old == 2
    first = (oldest - T0_NS) // CELL_NS
    np.testing.assert_array_equal(cells(samples, 3, first=first - 1), [np.nan, 5.0, np.nan])


def test_block_longer_than_the_memory_leaves_its_end() -> None:
    samples = written(block(0.0, np.arange(2000.0)))
    assert cells(samples, 2, first=1998) == [1998.0, 1999.0]
    assert np.isnan(cells(samples, 2, first=0)).all()


def test_outage_longer_than_the_memory_leaves_nothing_of_before() -> None:
    samples = written(block(0.0, np.arange(800.0)))
    samples.refresh()
    samples.write(block(36000.0, [5.0]))
    found = cells(samples, 801, first=7200)
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(found)), [800])


def test_memory_does_not_grow() -> None:
    """A day of samples of every second takes no more room than the first hours, nor does a sender gone wild."""
    samples = CraftSamples(SPAN_NS)
    for start in range(0, 86_400, 300):
        samples.write(block(float(start), np.zeros(300), step_s=1.0))
        samples.write(block(start + 0.3, np.zeros(300), step_s=1.0, name="B"))
    assert samples.rows_held <= 2 * (SPAN_NS // S + 100)
    for number in range(200):
        samples.write(block(86_400.0 + number * 1e-6, np.zeros(300), step_s=1.0))
    assert samples.rows_held <= 3 * (SPAN_NS // S + 100)


def test_writing_leaves_the_block_as_it_was() -> None:
    given = block(0.0, [1.0, np.nan, 3.0])
    before = given.values.copy()
    written(given, given).cells(T0_NS, T0_NS + CELL_NS)
    np.testing.assert_array_equal(given.values, before)
