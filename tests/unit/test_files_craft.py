"""Spacecraft samples on the grid of 4.5 s: means, gaps, uneven times, several files, CSVs without a header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ArchiveError
from monitor.io.files import SourceSeries, interleave, open_archives, read_archive
from monitor.io.files.craft import (
    CraftSamples,
    brought_to_grid,
    common_frame,
    in_order,
    is_even,
    join_craft,
    to_grid,
)
from monitor.types import SECOND_NS, Domain, iso_time
from monitor.types.space import CELL_NS

T0_NS = 1_511_485_200 * SECOND_NS  # 2017-11-24T01:00:00Z, a multiple of 4.5 s
CELL_S = CELL_NS / SECOND_NS


def samples(middle_s: np.ndarray, values: np.ndarray | None = None) -> CraftSamples:
    given_values = middle_s if values is None else values
    return CraftSamples(
        T0_NS + np.rint(middle_s * 1e9).astype(np.int64), ("N",), given_values[np.newaxis].astype(float)
    )


def cells(middle_s: np.ndarray, values: np.ndarray | None = None) -> list[float]:
    (series,) = to_grid(samples(middle_s, values), "MMS1", "x")
    assert series.t0_ns == T0_NS
    return series.values[0].tolist()


def craft_csv(path: Path, seconds: np.ndarray, header: str = "Bx,By,Bz", row: str = "3,4,12") -> Path:
    lines = [f"{iso_time(T0_NS + round(second * 1e9))},{row}" for second in seconds]
    path.write_text("\n".join([f"time,{header}"] * bool(header) + lines) + "\n")
    return path


def test_cell_is_the_mean_of_the_samples_whose_middle_lies_in_it() -> None:
    middle = (np.arange(144) + 0.5) / 16
    assert cells(middle) == pytest.approx([2.25, 6.75])


def test_fill_within_a_cell_is_left_out_of_the_mean() -> None:
    middle = (np.arange(9) + 0.5) * 1.0
    values = np.where(np.arange(9) == 1, np.nan, 5.0)
    assert cells(middle, values) == [5.0, 5.0]


def test_cell_that_fast_data_cover_by_less_than_a_half_is_a_gap() -> None:
    middle = (np.arange(144) + 0.5) / 16
    sparse = np.delete(middle, np.arange(30, 72))  # the first cell has 30 of its 72 samples
    found = cells(sparse)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(6.75)
    assert np.isfinite(cells(np.delete(middle, np.arange(37, 72)))[0])


@pytest.mark.parametrize(("step_s", "lone_s"), [(1.0, 5.5), (2.0, 5.0)])
def test_cell_of_one_sample_is_that_sample_as_in_a_live_feed(step_s: float, lone_s: float) -> None:
    middle = (np.arange(40) + 0.5) * step_s
    others = (middle >= CELL_S) & (middle < 2 * CELL_S) & (middle != lone_s)
    assert cells(middle[~others])[1] == lone_s


def test_samples_five_seconds_apart_cover_the_cell_between_them() -> None:
    middle = 3.0 + np.arange(12) * 5.0
    found = np.array(cells(middle))
    centre = (np.arange(14) + 0.5) * CELL_S
    assert (np.abs(found - centre)[:-1] <= 2.5 + 1e-9).all()
    assert found[-1] == 58.0  # reaches 3 s, and the last middle is 2.75 s away


def test_nothing_is_drawn_across_missing_samples() -> None:
    middle = 2.0 + np.arange(20) * 4.0
    assert np.isfinite(cells(middle)).all()
    assert np.flatnonzero(np.isnan(cells(np.delete(middle, [9, 10])))).tolist() == [8, 9]


def test_cell_between_two_samples_that_do_not_cover_its_middle_is_a_gap() -> None:
    middle = 3.6 + np.arange(20) * 4.5 + np.where(np.arange(20) < 10, 0.0, 1.8)
    assert np.flatnonzero(np.isnan(cells(middle))).tolist() == [10]  # 3.15 s from both, and they reach 2.7 s


def test_long_gap_starts_a_new_series_and_holds_no_memory() -> None:
    middle = np.concatenate([np.arange(5) * 4.5, 3e8 + np.arange(5) * 4.5]) + 2.25
    first, second = to_grid(samples(middle), "MMS1", "x")
    assert (first.count, second.count) == (5, 5)
    assert second.t0_ns % CELL_NS == 0


@given(
    phase=st.floats(0, 4.49),
    step=st.floats(1.0, 10.0),
    jitter=st.floats(0, 0.2),
    seed=st.integers(0, 99),
)
def test_samples_without_a_gap_give_cells_without_a_gap(
    phase: float, step: float, jitter: float, seed: int
) -> None:
    noise = np.random.default_rng(seed).uniform(-jitter / 2, jitter / 2, 40)
    middle = np.sort(phase + 5.0 + np.arange(40) * min(step, 9.7) + noise)
    series = to_grid(samples(middle, np.full(40, 7.0)), "MMS1", "x")
    values = np.concatenate([one.values[0] for one in series])
    assert (values[1:-1] == 7.0).all()


def test_uneven_times_are_told_from_even_ones() -> None:
    even = T0_NS + np.arange(900) * 4_017_000_000
    assert is_even(even)
    assert is_even(np.delete(even, [4, 5, 6]))
    assert not is_even(even + np.arange(900) % 7 * 1_000_000)
    assert not is_even(T0_NS + np.arange(900) * 62_500_000)


def test_order_keeps_the_later_of_repeated_times() -> None:
    kept, notes = in_order(np.array([3, 1, 2, 1]), "x")
    assert kept.tolist() == [3, 2, 0]
    assert len(notes) == 2
    assert in_order(np.array([1, 2, 3]), "x")[1] == []


def test_frames_go_together_but_for_gsm() -> None:
    assert common_frame([None, "dmpa", "gse"], "x") == "gse"
    assert common_frame(["gsm", None], "x") == "gsm"
    assert common_frame([None], "x") is None
    with pytest.raises(ArchiveError, match="x: has vectors in gsm and dbcs"):
        common_frame(["gsm", "dbcs"], "x")


def series_of(name: str, first: int, values: list[float], path: str, source: str = "MMS1") -> SourceSeries:
    return SourceSeries(
        source, (name,), T0_NS + first * CELL_NS, CELL_NS, np.array([values]), path, domain=Domain.CRAFT
    )


def test_series_of_one_spacecraft_are_joined_and_others_left_alone() -> None:
    ground = SourceSeries("TAR", ("H",), T0_NS, SECOND_NS, np.zeros((1, 3)), "t")
    other = series_of("N", 0, [9.0], "o", "MMS2")
    joined = join_craft(
        [series_of("N", 0, [1.0, np.nan, 3.0], "a"), ground, series_of("B", 1, [5.0], "b"), other]
    )
    assert [one.source for one in joined] == ["TAR", "MMS1", "MMS2"]
    assert joined[1].components == ("B", "N")
    assert np.array_equal(joined[1].values, [[np.nan, 5, np.nan], [1, np.nan, 3]], equal_nan=True)
    assert joined[2] is other


def test_first_file_counts_where_two_have_the_same() -> None:
    (joined,) = join_craft([series_of("N", 0, [1.0, np.nan], "a"), series_of("N", 1, [7.0, 8.0], "b")])
    assert joined.values.tolist() == [[1, 7, 8]]


def test_another_step_is_brought_to_the_grid_and_the_grid_left_alone() -> None:
    seconds = SourceSeries(
        "MMS1", ("N",), T0_NS, SECOND_NS, np.arange(18.0)[np.newaxis], "a", domain=Domain.CRAFT, frame="gse"
    )
    (found,) = brought_to_grid(seconds)
    assert (found.t0_ns, found.step_ns, found.frame) == (T0_NS, CELL_NS, "gse")
    assert found.values.tolist() == [[1.5, 6, 10.5, 15]]  # by their middles: 0…3, 4…8, 9…12, 13…17
    assert brought_to_grid(found) == [found]


def test_uneven_csv_of_a_spacecraft_comes_to_the_grid(tmp_path: Path) -> None:
    jitter = np.random.default_rng(1).uniform(-0.1, 0.1, 60)
    path = craft_csv(tmp_path / "c1_fgm.csv", 3.0 + np.arange(60) * 4.0 + jitter)
    (series,) = read_archive(path, ["C1"]).series
    assert (series.step_ns, series.t0_ns % CELL_NS, series.components) == (
        CELL_NS,
        0,
        ("Bx", "By", "Bz", "B"),
    )
    assert (series.values[3] == 13).all()


def test_even_csv_of_a_spacecraft_keeps_its_step(tmp_path: Path) -> None:
    (series,) = read_archive(craft_csv(tmp_path / "c1.csv", np.arange(9) * 4.0), ["C1"]).series
    assert (series.step_ns, series.t0_ns) == (4 * SECOND_NS, T0_NS)


def test_csv_without_a_header_says_its_quantity_before_the_path(tmp_path: Path) -> None:
    times = np.arange(40) * 4.0 + np.random.default_rng(2).uniform(-0.05, 0.05, 40) + 1
    field = craft_csv(tmp_path / "Fig3D.csv", times, header="")
    velocity = craft_csv(tmp_path / "Fig3E.csv", times + 0.015, header="", row="-100,0,0")
    density = craft_csv(tmp_path / "n.csv", times, header="", row="0.5")
    (series,) = open_archives([f"C1.B={field}", f"c1.v={velocity}", f"C1.N={density}"], ["C1"])
    assert series.source == "C1"
    assert series.components == ("Bx", "By", "Bz", "B", "N", "Vx", "Vy", "Vz", "V")
    assert np.nanmax(series.values[series.components.index("V")]) == 100


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("C1.Q={}", "Q is none of B V Bx By Bz"),
        ("C2.B={}", "C2 is no known spacecraft; name it with --craft"),
        ("C1.N={}", "line 1: 4 cells, but the header names 2"),
    ],
)
def test_wrong_quantity_is_one_clear_line(tmp_path: Path, spec: str, message: str) -> None:
    path = craft_csv(tmp_path / "b.csv", np.arange(9) * 4.0, header="")
    with pytest.raises(ArchiveError, match=message):
        read_archive(spec.format(path), ["C1"])


def test_header_where_none_was_expected_is_one_clear_line(tmp_path: Path) -> None:
    path = craft_csv(tmp_path / "b.csv", np.arange(9) * 4.0)
    with pytest.raises(ArchiveError, match="line 1: the time cannot be read: found 'time'"):
        read_archive(f"C1.B={path}", ["C1"])


def test_joined_files_are_fed_in_step(tmp_path: Path) -> None:
    times = np.arange(400) * 4.0 + np.random.default_rng(3).uniform(-0.05, 0.05, 400) + 1
    field = craft_csv(tmp_path / "b.csv", times)
    velocity = craft_csv(tmp_path / "v.csv", times, "Vx,Vy,Vz", "-100,0,0")
    blocks = list(interleave(open_archives([f"C1={field}", f"C1={velocity}"], ["C1"]), 30 * SECOND_NS))
    assert {block.components for block in blocks} == {("Bx", "By", "Bz", "B", "Vx", "Vy", "Vz", "V")}
    starts = [block.t0_ns for block in blocks]
    assert starts == sorted(starts)
