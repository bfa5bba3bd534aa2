"""The report on regions: what is measured of a network, what the page says, and which figures it has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from region_report_kit import ladder, rungs

from monitor.errors import ArchiveError
from monitor.jobs.region.baselines import Thresholds
from monitor.jobs.region.evaluated import Evaluated, criteria, evaluate
from monitor.jobs.region.figures import hour_bodies
from monitor.jobs.region.judged import CONTEXT, ISOLATED, Judged, judge, only
from monitor.jobs.region.real import (
    Hour,
    RealMeasures,
    Rivals,
    divide,
    measure_hour,
    measure_real,
    shock_score,
    split,
)
from monitor.jobs.region.real_data import ShockWindows, cluster_hour, region_windows
from monitor.jobs.region.report import summary_lines, write_report
from monitor.types import CELL_NS, REGIONS, VARIABLES, FloatArray, RegionExamples

LARGEST_PICTURE_BYTES = 150_000


@pytest.fixture(scope="module")
def one() -> Evaluated:
    """The ladder on windows of which a tenth look like the class above."""
    rivals = {"threshold rule": Thresholds().predict}
    return evaluate(ladder(), rungs(30, wrong=3), "rungs", synthetic=True, rivals=rivals)


@pytest.fixture(scope="module")
def hour() -> Hour:
    return measure_hour(ladder(), 0, crossing(600, 400))


def crossing(cells: int, at: int) -> FloatArray:
    """An hour that is of the magnetosphere to the ladder, and from the cell `at` on of the sheath."""
    values = np.full((cells, len(VARIABLES)), np.nan)
    field = np.where(np.arange(cells) < at, 70.0, 40.0)
    values[:, :4] = field[:, None] * np.array([1.0, 0.0, 0.0, 1.0])
    values[:, 5:9] = np.where(np.arange(cells) < at, 10.0, 150.0)[:, None]
    return values


class TestEvaluate:
    def test_both_forms_are_measured_on_all_windows(self, one: Evaluated) -> None:
        assert one.forms[ISOLATED].accuracy.value == pytest.approx(0.9)
        assert one.forms[CONTEXT].accuracy.value == pytest.approx(0.9)
        assert one.forms[CONTEXT].windows == 300

    def test_windows_without_context_are_asked_alone_only(self) -> None:
        some = rungs(4)
        lone = RegionExamples(some.values, some.label, some.run, some.mixed, np.zeros(len(some), dtype=bool))
        assert set(evaluate(ladder(), lone, "x", synthetic=True, rivals={}).forms) == {ISOLATED}

    def test_what_the_network_needs_is_missed_where_it_is_taken_away(self, one: Evaluated) -> None:
        assert one.patterns["plasma only"][ISOLATED].accuracy.value == pytest.approx(0.1)
        assert one.patterns["field only"][ISOLATED].accuracy.value == pytest.approx(0.9)

    def test_windows_with_something_missing_count_not_as_complete(self) -> None:
        half = only(rungs(10), ("B", "N", "T"))
        assert evaluate(ladder(), half, "x", synthetic=True, rivals={}).patterns == {}

    def test_criteria_are_judged_by_form(self, one: Evaluated) -> None:
        found = {each.name: each for each in criteria(one)}
        assert len(found) == 8
        assert found["accuracy, isolated"].met is False
        assert found["least F1 of a class, context"].met is True

    def test_mapped_windows_are_rightly_called_ones_of_each_class(self, one: Evaluated) -> None:
        assert [mapped.region for mapped in one.mapped] == [region.value for region in REGIONS]
        for number, mapped in enumerate(one.mapped):
            assert mapped.values[:, 3].mean() == pytest.approx(10.0 * (number + 1), abs=2.0)
            assert 0.0 <= mapped.cam.min() <= mapped.cam.max() <= 1.0

    def test_no_window_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no window"):
            evaluate(ladder(), rungs(1).at(np.zeros(0, dtype=np.int64)), "x", synthetic=True, rivals={})


@pytest.fixture(scope="module")
def folder(one: Evaluated, hour: Hour, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report with an hour and nothing else that is real."""
    path = tmp_path_factory.mktemp("report")
    real = RealMeasures(None, None, None, hour, ("a.npz",))
    write_report(path, one, real=real, notes=["A note."])
    return path


class TestReport:
    def test_page_names_its_figures_and_calls_them_synthetic(self, folder: Path) -> None:
        text = (folder / "report.md").read_text()
        pictures = sorted(path.name for path in folder.glob("*.png"))
        assert {"confusion.png", "receiver.png", "reliability.png", "cam-fs.png"} <= set(pictures)
        for name in pictures:
            assert f"({name})" in text
            assert (folder / name).stat().st_size < LARGEST_PICTURE_BYTES
        # The hour is the one picture of a measurement.
        assert text.count("*Synthetic: ") == len(pictures) - 1
        assert "A note." in text

    def test_paper_is_named_as_what_it_is(self, folder: Path) -> None:
        text = (folder / "report.md").read_text()
        assert "paper's F1, on other data" in text
        assert "can be compared with them" in text

    def test_hour_is_drawn_and_told(self, folder: Path) -> None:
        text = (folder / "report.md").read_text()
        assert "(cluster-hour.png)" in text
        assert "the file is not there: a.npz" in text

    def test_numbers_are_kept_as_json(self, folder: Path) -> None:
        document = json.loads((folder / "measures.json").read_text())
        assert document["schema"] == "geospace/region-measures/1"
        assert document["set"]["forms"][ISOLATED]["accuracy"]["value"] == pytest.approx(0.9)
        assert document["real"]["hour"]["change"].startswith("1970-01-01T00:")

    def test_every_table_row_has_as_many_cells_as_its_heading(self, folder: Path) -> None:
        rows, bars = 0, None
        for line in (folder / "report.md").read_text().splitlines():
            if not line.startswith("|"):
                bars = None
                continue
            count = line.replace("\\|", "").count("|")
            assert bars in (None, count), line
            bars, rows = count, rows + 1
        assert rows > 40

    def test_without_real_measurements_the_page_says_so(self, tmp_path: Path) -> None:
        few = evaluate(ladder(), rungs(2).at(np.arange(4)), "few", synthetic=False, rivals={})
        text = write_report(tmp_path, few).read_text()
        assert "Not measured: no folder" in text
        assert "*Synthetic: " not in text

    def test_summary_tells_criteria_and_rivals(self, one: Evaluated) -> None:
        lines = summary_lines(one, None)
        assert any("accuracy, isolated" in line and "not met" in line for line in lines)
        assert any("threshold rule" in line for line in lines)


class TestReal:
    def test_labels_change_where_the_field_does(self, hour: Hour) -> None:
        assert hour.measured_ns == 400 * CELL_NS
        assert abs(hour.change_ns - hour.measured_ns) <= 2 * CELL_NS
        assert hour.agreement > 0.98
        assert hour.called[0] == "MSP"
        assert hour.called[-1] == "MSH"

    def test_windows_of_the_hour_become_objects_for_the_panels(self, hour: Hour) -> None:
        bodies = hour_bodies(hour)
        assert len(bodies) == 600 - 52
        assert bodies[0]["time"] == "1970-01-01T00:03:27Z"
        assert bodies[0]["quality"] == "good"

    def test_series_is_split_where_most_fits(self) -> None:
        assert split(np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])) in ((2, 5 / 6), (4, 5 / 6))
        assert split(np.zeros(4)) == (0, 1.0)

    def test_two_means_are_told_apart_although_some_values_are_missing(self) -> None:
        column = np.concatenate([np.zeros(30), np.ones(50)])
        column[5] = np.nan
        assert divide(np.stack([column, np.zeros(80)], axis=1)) == 30

    def test_shock_is_wrong_where_most_draws_are(self) -> None:
        label = np.zeros(10, dtype=np.int64)
        windows = RegionExamples(
            np.zeros((10, 53, 12), dtype=np.float32), label, np.repeat([0, 1], 5), label > 0, label == 0
        )
        drawn = ShockWindows(("a", "b"), windows, windows)
        upstream = called([0, 1, 2, 3, 0, 2, 2, 3, 0, 0], windows)
        downstream = called([3, 3, 3, 3, 3, 3, 2, 2, 3, 2], windows)
        found = shock_score(drawn, upstream, downstream)
        assert found.upstream_wrong == ("b",)
        assert found.downstream_wrong == ("b",)

    def test_folder_without_a_file_is_told_file_by_file(self, tmp_path: Path) -> None:
        found = measure_real(ladder(), tmp_path, Rivals(rungs(2), rungs(2)))
        assert len(found.absent) == 4
        assert found.windows is None
        assert found.hour is None

    def test_damaged_file_is_one_error_that_names_it(self, tmp_path: Path) -> None:
        (tmp_path / "mms_region_windows.npz").write_bytes(b"PK nothing")
        with pytest.raises(ArchiveError, match="mms_region_windows"):
            region_windows(tmp_path)

    def test_folder_with_one_file_of_cluster_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "cluster_c1_20020318").mkdir()
        (tmp_path / "cluster_c1_20020318" / "Fig3D.csv").write_text("2002-03-18 14:15:00.241,1,2,3\n")
        with pytest.raises(ArchiveError, match="expected two files"):
            cluster_hour(tmp_path)

    def test_windows_of_a_run_have_context_only_where_x_goes_on(self, tmp_path: Path) -> None:
        step = np.arange(40) * 0.001
        starts = np.array([0.0, 0.04, 0.08, 0.5, 0.54, 0.58])
        x = starts[:, None] + step
        size = (6, 40)
        np.savez(
            tmp_path / "mms_region_windows.npz",
            bt=np.ones(size), ti=np.ones(size), n_est=np.ones(size), x_gse=x,
            label=np.array(["SW"] * 6), run=np.zeros(6, dtype=np.int64),
        )  # fmt: skip
        alone, inside = region_windows(tmp_path)
        assert len(alone) == 6
        assert len(inside) == 2
        assert np.isfinite(inside.values[:, :, 3]).all()
        assert judge(ladder(), inside, CONTEXT).called.tolist() == [0, 0]


def called(codes: list[int], windows: RegionExamples) -> Judged:
    """Windows called as given."""
    said = np.eye(len(REGIONS))[codes]
    return Judged(said, windows.mixed, windows.label, windows.run, windows.mixed)
