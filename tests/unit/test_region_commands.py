"""`train region` and `evaluate region`, from the windows to the model folder and the report."""

from __future__ import annotations

import builtins
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.cli import main
from monitor.jobs.region import synthetic
from monitor.jobs.region.evaluate import evaluate_region
from monitor.jobs.region.real import Rivals, measure_real
from monitor.jobs.region.sources import Sources
from monitor.jobs.region.splits import SHARES, split_by_run
from monitor.jobs.region.synthetic import Plan, joined_runs, runs_of
from monitor.jobs.region.train import MLP, Choice, train_region
from monitor.models.base import ModelCard, read_card
from monitor.models.region import RegionModel
from monitor.science.synthetic.craft.windows import TRAINING, WindowSampler, simulate_runs
from monitor.types import REGIONS, Region, RegionExamples

TINY = Plan(130, 60, 60, rivals=600, validation=300, test=300, mixed=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("region")


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def card(folder: Path, told: list[str]) -> ModelCard:
    """A small network on few simulated windows, trained by the command's own function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "QUICK", TINY)
        return train_region(
            folder / "model",
            folder / "report",
            Choice(quick=True, epochs=4),
            Sources(),
            created="2026-11-21",
            real=folder,
            told=told.append,
        )


class TestTrain:
    def test_model_folder_loads_and_is_the_one_of_the_card(self, folder: Path, card: ModelCard) -> None:
        assert RegionModel.load(folder / "model").info == card.info
        assert read_card(folder / "model") == card

    def test_card_says_what_it_saw_and_what_the_real_windows_gave_to_the_ranges(
        self, card: ModelCard
    ) -> None:
        assert [source.split for source in card.data] == [
            "training",
            "validation and calibration",
            "test",
        ] or [source.split for source in card.data] == [
            "training, drawn anew every epoch",
            "validation and calibration",
            "test",
        ]
        assert all(source.synthetic for source in card.data)
        assert any("percentiles of the real MMS windows" in limit for limit in card.limits)
        assert set(card.metrics["rivals on all windows"]) == {MLP, "logistic regression", "threshold rule"}

    def test_it_learns_more_than_guessing(self, card: ModelCard) -> None:
        # Ten classes; the largest has a share of 0.14.
        assert card.metrics["all windows"]["isolated"]["accuracy"] > 0.3

    def test_report_has_its_figures_and_the_learning_curve(self, folder: Path, card: ModelCard) -> None:
        text = (folder / "report" / "report.md").read_text()
        assert card.info.label in text
        assert "(learning.png)" in text
        assert "the file is not there: mms_region_windows.npz" in text
        for figure in (folder / "report").glob("*.png"):
            assert f"({figure.name})" in text
        assert json.loads((folder / "report" / "measures.json").read_text())["set"]["synthetic"] is True

    def test_what_was_found_is_told(self, card: ModelCard, told: list[str]) -> None:
        assert any("accuracy, context" in line for line in told)
        assert told[-1].startswith("report: ")

    def test_evaluation_of_the_written_model_gives_the_same_figures(
        self, folder: Path, card: ModelCard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(synthetic, "QUICK", TINY)
        again = evaluate_region(folder / "model", folder / "again", Sources(), quick=True)
        accuracy = again.forms["context"].accuracy.value
        assert accuracy == pytest.approx(card.metrics["all windows"]["context"]["accuracy"], abs=1e-6)


def own_files(folder: Path, days: int = 6) -> list[str]:
    """Measurements of some days as CSV, with the intervals of three regions that repeat every day."""
    rng = np.random.default_rng(5)
    plasma = {Region.SOLAR_WIND: (5.0, 6.0, 400.0, 30.0), Region.MAGNETOSHEATH: (25.0, 20.0, 150.0, 250.0),
              Region.LOBE: (25.0, 0.02, 20.0, 300.0)}  # fmt: skip
    rows, labels = ["time,Bx,By,Bz,N,Vx,Vy,Vz,Tpar,Tperp"], ["start,end,label"]
    for day in range(days):
        for number, (region, (field, density, speed, heat)) in enumerate(plasma.items()):
            begin = datetime(2020, 1, 1 + day, number, tzinfo=UTC)
            for step in range(280):
                b = field / np.sqrt(3.0) * (1.0 + 0.05 * rng.normal(size=3))
                v = speed * np.array([-1.0, 0.1, 0.1]) + 5.0 * rng.normal(size=3)
                t = heat * (1.0 + 0.05 * rng.normal(size=2))
                at = begin + timedelta(seconds=4.5 * step)
                cells = [*b, density * (1.0 + 0.05 * rng.normal()), *v, *t]
                rows.append(f"{at:%Y-%m-%dT%H:%M:%S.%f}Z,{','.join(f'{cell:.4f}' for cell in cells)}")
            first, last = begin + timedelta(seconds=60), begin + timedelta(seconds=1200)
            labels.append(f"{first:%Y-%m-%dT%H:%M:%SZ},{last:%Y-%m-%dT%H:%M:%SZ},{region.value}")
    (folder / "own.csv").write_text("\n".join(rows) + "\n")
    (folder / "labels.csv").write_text("\n".join(labels) + "\n")
    return ["--craft-file", f"X1={folder / 'own.csv'}", "--intervals", str(folder / "labels.csv")]


class TestOwnWindows:
    def test_last_layer_learns_own_windows_and_leaves_the_rest(self, folder: Path, card: ModelCard) -> None:
        own = own_files(folder)
        made = [
            "train",
            "region",
            "-o",
            str(folder / "adapted"),
            "--from",
            str(folder / "model"),
            "--last-layer",
        ]
        assert main([*made, *own]) == 0
        adapted = read_card(folder / "adapted")
        assert adapted.metrics["all windows"]["isolated"]["accuracy"] > 0.9
        assert adapted.files["novelty.npz"] == card.files["novelty.npz"]
        assert adapted.files["network.onnx"] != card.files["network.onnx"]
        assert card.info.label in adapted.search
        assert not any(source.synthetic for source in adapted.data if source.split in ("last layer", "test"))
        text = (folder / "adapted" / "report" / "report.md").read_text()
        assert "Before, its accuracy" in text
        assert "*Synthetic: " not in text

    def test_network_can_be_trained_on_own_windows_alone(self, folder: Path) -> None:
        own = own_files(folder)
        made = [
            "train",
            "region",
            "-o",
            str(folder / "own"),
            "--quick",
            "--epochs",
            "4",
            "--no-mlp",
            "--threads",
            "1",
        ]
        assert main([*made, *own]) == 0
        assert [source.synthetic for source in read_card(folder / "own").data] == [False] * 3


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--last-layer"], "--from MODEL and --last-layer go together"),
            (["--from", "x", "--last-layer"], "--last-layer learns from own windows"),
            (["--craft-file", "a.cdf"], "--craft-file with --sitl or --intervals"),
            (["--sitl", "a.txt"], "--craft-file with --sitl or --intervals"),
            (["--real", "nowhere"], "--real nowhere: there is no such folder"),
        ],
    )
    def test_options_that_do_not_fit_are_one_line(
        self, options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["train", "region", "-o", str(tmp_path / "m"), *options]) == 1
        error = capsys.readouterr().err
        assert told in error
        assert len(error.strip().splitlines()) == 1
        assert not (tmp_path / "m").exists()

    def test_options_given_again_add_files(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        labels = tmp_path / "labels.csv"
        labels.write_text("start,end,label\n2002-03-18T14:00:00Z,2002-03-18T15:00:00Z,MSP\n")
        files = [f"C1.B={tmp_path / 'field.csv'}", f"C1.V={tmp_path / 'flow.csv'}"]
        given = [word for file in files for word in ("--craft-file", file)]
        assert main(["evaluate", "region", *given, "--intervals", str(labels)]) == 1
        # The first one is read first; had the second replaced it, the complaint would be of that.
        assert "field.csv" in capsys.readouterr().err

    def test_missing_library_is_one_line_that_names_the_extra(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        real_import = builtins.__import__

        def without_torch(name: str, *rest: Any, **named: Any) -> Any:
            if name == "torch":
                raise ImportError("No module named 'torch'", name="torch")
            return real_import(name, *rest, **named)

        monkeypatch.setattr(builtins, "__import__", without_torch)
        assert main(["train", "region", "-o", str(tmp_path / "m")]) == 1
        assert (
            "needs torch, which is not installed: pip install 'geospace-monitor[train]'"
            in capsys.readouterr().err
        )

    def test_model_that_is_none_is_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        made = ["evaluate", "region", "--model", str(tmp_path / "none"), "-o", str(tmp_path / "r"), "--quick"]
        assert main(made) == 1
        assert str(tmp_path / "none") in capsys.readouterr().err


class TestSplits:
    def examples(self, runs: int, per_run: int = 8) -> RegionExamples:
        run = np.repeat(np.arange(runs), per_run)
        count = run.size
        return RegionExamples(
            np.zeros((count, 53, 12), dtype=np.float32), run % len(REGIONS), run,
            np.zeros(count, dtype=bool), np.ones(count, dtype=bool),
        )  # fmt: skip

    def test_no_run_is_in_two_parts_and_none_is_lost(self) -> None:
        parts = split_by_run(self.examples(60))
        runs = [set(part.run.tolist()) for part in parts]
        assert sum(len(part) for part in parts) == 480
        assert sum(len(one) for one in runs) == len(set.union(*runs)) == 60

    def test_parts_have_about_their_shares_and_all_classes(self) -> None:
        parts = split_by_run(self.examples(160))
        for part, share in zip(parts, SHARES, strict=True):
            assert len(part) / 1280 == pytest.approx(share, abs=0.03)
            assert np.unique(part.label).size == len(REGIONS)

    def test_every_part_gets_a_run_where_there_are_three(self) -> None:
        assert [len(part) for part in split_by_run(self.examples(3))] == [8, 8, 8]

    def test_fewer_runs_than_parts_are_refused(self) -> None:
        with pytest.raises(ValueError, match="got 2"):
            split_by_run(self.examples(2))


class TestSimulated:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_runs_are_the_same_in_one_piece_and_in_many(self, workers: int) -> None:
        whole, parts = simulate_runs(TRAINING, 30), runs_of(TRAINING, 30, workers)
        np.testing.assert_array_equal(whole.values, parts.values)
        np.testing.assert_array_equal(whole.start, parts.start)
        np.testing.assert_array_equal(whole.run, parts.run)

    def test_joined_runs_begin_where_the_ones_before_end(self) -> None:
        one = runs_of(TRAINING, 3)
        both = joined_runs([one, one])
        count = one.values.shape[0]
        np.testing.assert_array_equal(both.first[3:], one.first + count)
        np.testing.assert_array_equal(
            both.values[both.start[one.start.size] :][:5], one.values[one.start[0] :][:5]
        )

    def test_epochs_differ_and_come_again_with_the_seed(self) -> None:
        sampler = WindowSampler(runs_of(TRAINING, 130), TRAINING)
        first, same = synthetic.Drawn(sampler, 3), synthetic.Drawn(sampler, 3)
        one, two = first(20), first(20)
        np.testing.assert_array_equal(one.values, same(20).values)
        assert not np.array_equal(one.values, two.values, equal_nan=True)


def test_real_folder_without_files_measures_nothing(folder: Path, card: ModelCard, tmp_path: Path) -> None:
    model = RegionModel.load(folder / "model")
    some = split_by_run(TestSplits().examples(3))[0]
    assert measure_real(model, tmp_path, Rivals(some, some)).windows is None
