"""Examples from a user's own files and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cdf_kit import START_NS, write_dis, write_fgm

from monitor.errors import MonitorError
from monitor.io.files.series import SourceSeries
from monitor.jobs.region.intervals import Interval, Refused
from monitor.jobs.region.own_data import OwnData, own_data, read_own_data
from monitor.science.region import window_part, wrap_pad
from monitor.types import SECOND_NS, Domain, iso_time
from monitor.types.space import (
    CELL_NS,
    CONTEXT_CELLS,
    REGIONS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    Region,
)

DAY_NS = 86_400 * SECOND_NS


def series(
    cells: int, *, first: int = 0, source: str = "MMS1", without: tuple[str, ...] = ()
) -> SourceSeries:
    """All variables; each has the number of its cell."""
    names = tuple(name for name in VARIABLES if name not in without)
    values = np.tile(np.arange(first, first + cells, dtype=float), (len(names), 1))
    return SourceSeries(source, names, START_NS + first * CELL_NS, CELL_NS, values, "x", domain=Domain.CRAFT)


def with_gap(one: SourceSeries, name: str, cell: int) -> SourceSeries:
    one.values[one.components.index(name), cell] = np.nan
    return one


def interval(begin: float, end: float, region: Region = Region.LOBE, craft: str | None = None) -> Interval:
    """From cell to cell."""
    start_ns, end_ns = (START_NS + round(cell * CELL_NS) for cell in (begin, end))
    return Interval(start_ns, end_ns, region, "by hand", f"labels:{begin}", craft)


def reasons(own: OwnData) -> list[str]:
    return [one.reason for one in own.refused]


def test_long_interval_is_split_and_its_rest_padded() -> None:
    own = own_data([series(200)], [interval(20, 120)])
    values = own.examples.values
    assert values.shape == (3, SUPPORT_CELLS, len(VARIABLES))
    assert own.examples.context.tolist() == [True, True, False]
    before, after = CONTEXT_CELLS
    assert values[0, :, 0].tolist() == list(range(20 - before, 60 + after))
    assert values[1, :, 0].tolist() == list(range(60 - before, 100 + after))
    rest = np.arange(100, 120, dtype=np.float32)[:, np.newaxis]
    assert window_part(values)[2, :, 3].tolist() == wrap_pad(rest)[:, 0].tolist()
    assert np.isnan(values[2, :before]).all()
    assert np.isnan(values[2, before + WINDOW_CELLS :]).all()
    assert own.examples.label.tolist() == [REGIONS.index(Region.LOBE)] * 3
    assert not own.examples.mixed.any()


def test_window_at_the_edge_of_the_data_stands_alone() -> None:
    own = own_data([series(90)], [interval(0, 80)])
    assert own.examples.context.tolist() == [False, True]
    assert window_part(own.examples.values)[0, :, 0].tolist() == list(range(40))
    assert np.isnan(own.examples.values[0, 0]).all()


def test_gap_beside_a_window_takes_only_its_context() -> None:
    own = own_data([with_gap(series(100), "N", 17)], [interval(20, 60)])
    assert own.examples.context.tolist() == [False]


def test_only_whole_cells_count() -> None:
    own = own_data([series(100)], [interval(9.5, 50.5)])
    assert window_part(own.examples.values)[0, :, 0].tolist() == list(range(10, 50))


@pytest.mark.parametrize("name", ["Bx", "Tperp"])
def test_interval_with_a_gap_is_rejected_whole(name: str) -> None:
    own = own_data([with_gap(series(200), name, 100)], [interval(20, 120), interval(130, 170)])
    assert len(own.examples) == 1
    assert own.refused == (
        Refused(interval(20, 120).start_ns, interval(20, 120).end_ns, "by hand", "labels:20", "gap"),
    )


def test_interval_that_runs_over_the_end_of_the_data_is_rejected() -> None:
    own = own_data([series(100)], [interval(80, 101), interval(100, 140), interval(10.2, 10.9)])
    assert sorted(reasons(own)) == ["gap", "no_data", "short"]


def test_variable_that_is_nowhere_is_missing_and_one_that_is_away_for_long_is_a_gap() -> None:
    away = series(200, without=("N",))
    own = own_data([away], [interval(20, 60)])
    assert np.isnan(own.examples.values[0, :, VARIABLES.index("N")]).all()
    assert np.isfinite(own.examples.values[0, :, VARIABLES.index("B")]).all()
    own = own_data([away, series(50, first=300)], [interval(20, 60)])
    assert reasons(own) == ["gap"]


def test_label_of_one_spacecraft_is_not_given_to_another() -> None:
    both = [series(100), series(100, source="THA")]
    own = own_data(both, [interval(20, 60, craft="THA"), interval(20, 60, Region.SOLAR_WIND, "MMS1")])
    assert own.examples.label.tolist() == [REGIONS.index(Region.LOBE), REGIONS.index(Region.SOLAR_WIND)]
    assert len(own_data(both, [interval(20, 60)]).examples) == 2
    assert reasons(own_data([series(100)], [interval(20, 60, craft="THA")])) == ["no_data"]


def test_windows_of_a_day_are_one_run_on_every_spacecraft() -> None:
    day = DAY_NS // CELL_NS
    own = own_data(
        [series(200), series(200, first=day), series(200, first=2 * day), series(200, source="MMS2")],
        [interval(20, 60), interval(100, 140), interval(day + 20, day + 60), interval(2 * day, 2 * day + 40)],
    )
    runs = own.examples.run.tolist()
    first = START_NS // DAY_NS
    assert sorted(runs) == [first] * 4 + [first + 1, first + 2]


def test_windows_of_few_days_are_parted_by_interval(caplog: pytest.LogCaptureFixture) -> None:
    own = own_data(
        [series(200), series(200, source="MMS2")], [interval(20, 100), interval(100, 140), interval(150, 190)]
    )
    # The same interval of two spacecraft is one run.
    assert sorted(own.examples.run.tolist()) == [0] * 4 + [1] * 2 + [2] * 2
    assert "of 1 day(s)" in caplog.text


def test_data_of_another_step_are_brought_to_the_grid() -> None:
    values = np.tile(np.arange(400.0), (len(VARIABLES), 1))
    seconds = SourceSeries("MMS1", VARIABLES, START_NS, SECOND_NS, values, "x", domain=Domain.CRAFT)
    own = own_data([seconds], [interval(10, 50)])
    assert own.examples.context.tolist() == [True]
    assert np.diff(window_part(own.examples.values)[0, :, 0]) == pytest.approx(4.5, abs=0.5)


def test_table_counts_what_was_used_and_what_not() -> None:
    earlier = [Refused(0, 1, "?", "y:1", "uncertain")]
    own = own_data([series(200)], [interval(20, 120), interval(20, 120), interval(500, 600)], earlier)
    lines = own.table().splitlines()
    assert lines[0].split() == ["region", "intervals", "windows"]
    assert ["LOBE", "1", "3"] in [line.split() for line in lines]
    assert lines[-3:] == [
        "rejected 1: the comment is not sure of the region",
        "rejected 1: the same interval stands there twice",
        "rejected 1: no file has data of that time",
    ]


def test_files_and_labels_become_examples(tmp_path: Path) -> None:
    dis = write_dis(tmp_path / "dis.cdf", np.arange(200) * 4.5)
    fgm = write_fgm(tmp_path / "fgm.cdf", np.arange(2000) * 0.5 + 0.25)
    start, end = iso_time(START_NS + 20 * CELL_NS), iso_time(START_NS + 100 * CELL_NS)
    (tmp_path / "labels.csv").write_text(f"start,end,label\n{start},{end},SW\n")
    (tmp_path / "sitl.txt").write_text(
        "START TIME - END TIME, FOM, ID, DISCUSSION\n"
        "2017-11-24/01:08:00 - 2017-11-24/01:10:00, 50.0, x(EVA), quiet foreshock\n"
        "2017-11-24/01:10:00 - 2017-11-24/01:11:00, 50.0, x(EVA), foreshock?\n"
    )
    own = read_own_data([str(dis), str(fgm)], [tmp_path / "labels.csv", tmp_path / "sitl.txt"])
    assert own.used == {Region.SOLAR_WIND: 1, Region.FORESHOCK: 1}
    assert own.examples.context.tolist() == [True, True, False]
    assert reasons(own) == ["uncertain"]
    assert np.isfinite(window_part(own.examples.values)).all()


def test_nothing_to_learn_from_is_one_clear_line(tmp_path: Path) -> None:
    dis = write_dis(tmp_path / "dis.cdf", np.arange(200) * 4.5)
    (tmp_path / "labels.csv").write_text("start,end,label\n2001-01-01T00:00,2001-01-01T00:03,SW\n")
    with pytest.raises(MonitorError, match=r"no interval gives a window to learn from \(1 no_data\)"):
        read_own_data([str(dis)], [tmp_path / "labels.csv"])
