"""`train flr`, its `--retune` and `evaluate flr`, from the windows to the model folder and the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flr_kit import SMALL, TINY

from monitor.cli import main
from monitor.jobs.flr import bundled
from monitor.jobs.flr.bundled import Plan
from monitor.jobs.flr.evaluate import evaluate_flr, model_folder
from monitor.jobs.flr.train import Sources, card_metrics, retune_flr, train_flr
from monitor.jobs.flr.training import Material
from monitor.models.base import ModelCard, read_card
from monitor.models.flr import CHOOSER, CLASSIFIER, CORRECTOR, DIFFICULTY, PARAMETERS, FlrModel

CASES = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flr")


@pytest.fixture(scope="module")
def card(folder: Path, tiny_material: Material) -> ModelCard:
    """A model of a few dozen cases, trained by the command's own function."""
    lines: list[str] = []

    def simulated(plan: Plan, **_options: object) -> Material:
        assert plan == SMALL
        return tiny_material

    with pytest.MonkeyPatch.context() as patch:
        # What it would simulate is there already, from the same seeds.
        patch.setattr(bundled, "material", simulated)
        made = train_flr(
            folder / "model",
            folder / "report",
            TINY,
            Sources(),
            created="2026-11-21",
            plan=SMALL,
            test_cases=CASES,
            workers=1,
            told=lines.append,
        )
    assert any("Freq found" in line for line in lines)
    return made


class TestTrain:
    def test_model_folder_loads_and_is_the_one_of_the_card(self, folder: Path, card: ModelCard) -> None:
        model = FlrModel.load(folder / "model")
        assert model.info == card.info
        assert read_card(folder / "model") == card

    def test_card_says_what_was_simulated_and_for_what(self, card: ModelCard) -> None:
        assert [source.split for source in card.data] == ["training", "validation", "calibration", "test"]
        assert all(source.synthetic and source.count > 0 for source in card.data)
        seeds = {
            (block["ranges"], seed)
            for source in card.data
            for block in source.drawn["cases"]
            for seed in range(block["first_seed"], block["last_seed"] + 1)
        }
        cases = SMALL.training + SMALL.storms + SMALL.faint_storms + SMALL.validation + SMALL.calibration
        assert len(seeds) == cases + CASES
        assert card.limits

    def test_report_has_its_figures(self, folder: Path, card: ModelCard) -> None:
        text = (folder / "report" / "report.md").read_text()
        assert card.info.label in text
        for figure in (folder / "report").glob("*.png"):
            assert figure.name in text
            assert figure.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert json.loads((folder / "report" / "measures.json").read_text())

    def test_page_of_the_card_names_the_limits(self, folder: Path, card: ModelCard) -> None:
        page = (folder / "model" / "card.md").read_text()
        assert card.limits[0] in page


class TestEvaluate:
    def test_measures_are_those_of_the_card(self, folder: Path, card: ModelCard) -> None:
        again = evaluate_flr(folder / "model", folder / "again", Sources(), test_cases=CASES, workers=1)
        assert card_metrics(again.measures) == card.metrics

    def test_bundled_model_finds_resonances_that_it_has_not_seen(self, tmp_path: Path) -> None:
        measured = evaluate_flr(model_folder("bundled"), tmp_path, Sources(), test_cases=60, workers=1)
        found = measured.measures.final.freq_found["all"]
        passed = measured.measures.final.nofreq_passed["all"]
        assert found.value is not None
        assert passed.value is not None
        assert found.value > 0.85
        assert passed.value < 0.1


def table(path: Path, material: Material) -> Path:
    """The calibration windows as a user's table."""
    data = material.calibration.data
    rows = np.flatnonzero((data.label >= 0) & data.usable)
    np.savez(
        path,
        t=data.end_ns[rows] / 1e9,
        phase=np.nan_to_num(data.cross_phase_rad[rows]),
        ratio=np.nan_to_num(data.amplitude_ratio[rows], nan=1.0),
        coherence=np.nan_to_num(data.coherence[rows]),
        f=data.frequency_Hz,
        label=data.label[rows],
        resonance=data.truth_Hz[rows],
        l=data.l_shell[rows],
        pair=np.array([f"P{case % 10**6}-E{case % 10**6}" for case in data.sequence[rows]]),
    )
    return path


MAPPING = """
source: windows that were simulated, as a table
time: {column: t, form: epoch_seconds, marks: end}
cross_phase: {array: phase, unit: radians, sign: equatorward_minus_poleward, pbl_reversed: false}
amplitude_ratio: {array: ratio, ratio: equatorward_over_poleward}
coherence: {array: coherence, squared: true}
frequency: {array: f, unit: Hz}
label: {column: label, classes: {NoFreq: 0, Freq: 1, PBL: 2}}
resonance: {column: resonance, unit: Hz}
pair: {column: pair}
l_shell: {column: l}
smoothing_bins: 11
step_s: 1
"""


@pytest.fixture(scope="module")
def labelled(tiny_material: Material, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("table")
    mapping = folder / "map.yaml"
    mapping.write_text(MAPPING)
    return Sources(tables=[(table(folder / "windows.npz", tiny_material), mapping)])


class TestRetune:
    def test_trees_stay_and_thresholds_are_new(self, labelled: Sources, tmp_path: Path) -> None:
        kept = model_folder("bundled")
        card = retune_flr(tmp_path / "model", kept, tmp_path / "report", labelled, created="2026-11-22")
        before = read_card(kept)
        for name in (CLASSIFIER, CHOOSER, CORRECTOR, DIFFICULTY):
            assert card.files[name] == before.files[name]
        assert card.files[PARAMETERS] != before.files[PARAMETERS]
        assert FlrModel.load(tmp_path / "model").info == card.info
        assert "as a table" in card.data[-2].what

    def test_simulated_windows_are_no_new_labels(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = main(["train", "flr", "-o", str(tmp_path / "new"), "--retune", str(model_folder("bundled"))])
        assert code == 1
        assert "--retune needs new labels" in capsys.readouterr().err


class TestMistakes:
    def test_mapping_without_table(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code = main(["train", "flr", "-o", str(tmp_path), "--mapping", "map.yaml"])
        assert code == 1
        assert "--mapping" in capsys.readouterr().err

    def test_unknown_group_of_features(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code = main(["train", "flr", "-o", str(tmp_path), "--groups", "cross_phase,colour"])
        assert code == 1
        assert "unknown group colour" in capsys.readouterr().err

    def test_folder_without_a_model(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code = main(["evaluate", "flr", "--model", str(tmp_path), "-o", str(tmp_path / "report")])
        error = capsys.readouterr().err
        assert code == 1
        assert str(tmp_path) in error
        assert error.count("\n") == 1

    def test_archives_need_their_pairs(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code = main(
            [
                "evaluate",
                "flr",
                "-o",
                str(tmp_path),
                "--archive",
                str(tmp_path / "none.csv"),
                "--pair",
                "MUO-PEL",
            ]
        )
        assert code == 1
        assert "none.csv" in capsys.readouterr().err
