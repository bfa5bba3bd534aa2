"""The learned model: what is saved is loaded and says the same, what was changed is refused, and how readings are chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flr_kit import TINY, blank
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ModelError
from monitor.jobs.flr.examples import judgeable
from monitor.jobs.flr.training import Material, Trained, train
from monitor.models.base import DataSource, ModelCard, bundled, file_digests, pack_arrays, write_model
from monitor.models.choosing import CORRECTED_REACH, DIFFICULTY_FEATURES, MERGED_REACH, Chosen, choose
from monitor.models.flr import (
    CHOOSER,
    CLASSIFIER,
    CORRECTOR,
    DIFFICULTY,
    LIKELY,
    NOVELTY,
    PARAMETERS,
    Classified,
    FlrModel,
    FlrParameters,
    Readings,
    SpectralSettings,
    booster_shapes,
    load_flr,
    schema_record,
)
from monitor.science.candidates import CANDIDATES, FrequencyCandidates
from monitor.science.candidates import NAMES as CANDIDATE_NAMES
from monitor.science.features import FeatureSchema, PairSpectra, scale, window_features
from monitor.types import BoolArray, Float32Array, FloatArray

BOOSTERS = (CLASSIFIER, CHOOSER, CORRECTOR, DIFFICULTY)
EVERY = np.ones((1, 2), dtype=np.bool_)


def card_of(trained: Trained, contents: dict[str, bytes], **changes: Any) -> ModelCard:
    """A card of these files."""
    whole = ModelCard(
        name="tiny",
        version="1",
        kind="flr",
        created="2026-11-21",
        intended_use="Tests.",
        data=(DataSource("simulated pairs", True, 360, "training", {"first_seed": 0, "last_seed": 39}),),
        feature_schema=schema_record(trained.model.parameters.schema),
        files=file_digests(contents),
        hyper_parameters=trained.hyper_parameters,
        search=trained.search,
        metrics={},
        tolerance={},
        limits=("It is no good.",),
        libraries={},
    )
    return replace(whole, **changes)


@pytest.fixture(scope="module")
def binary(tiny_material: Material) -> Trained:
    return train(tiny_material, replace(TINY, mode="binary", groups=("cross_phase", "physical")))


@pytest.fixture(scope="module")
def spectra(tiny_material: Material) -> PairSpectra:
    """Sixty windows that a model may be asked about."""
    seen = tiny_material.calibration
    return seen.rows(np.flatnonzero(judgeable(seen))[::6][:60]).spectra


@pytest.fixture
def saved(tiny: Trained, tmp_path: Path) -> Path:
    """The model on disk."""
    home = tmp_path / "model"
    write_model(home, card_of(tiny, dict(tiny.contents)), tiny.contents)
    return home


def same(one: object, other: object) -> None:
    """Assert that all arrays of two results are the same, to the last bit."""
    assert type(one) is type(other)
    for each in fields(one):  # type: ignore[arg-type]
        assert getattr(one, each.name).tobytes() == getattr(other, each.name).tobytes(), each.name


def both(model: FlrModel, spectra: PairSpectra) -> tuple[Classified, Readings]:
    scaled = scale(spectra)
    return model.classify(spectra, scaled), model.read(
        spectra, scaled, np.repeat(EVERY, spectra.l_shell.size, axis=0)
    )


class TestSavedModel:
    @pytest.mark.parametrize("kind", ["tiny", "binary"])
    def test_loaded_model_says_the_same(
        self, request: pytest.FixtureRequest, spectra: PairSpectra, tmp_path: Path, kind: str
    ) -> None:
        trained: Trained = request.getfixturevalue(kind)
        card = card_of(trained, dict(trained.contents))
        write_model(tmp_path, card, trained.contents)
        loaded = FlrModel.load(tmp_path)
        assert loaded.parameters == trained.model.parameters
        assert loaded.info == card.info
        for one, other in zip(both(loaded, spectra), both(trained.model, spectra), strict=True):
            same(one, other)

    def test_parameters_are_read_back_as_they_were(self, tiny: Trained) -> None:
        document = json.loads(json.dumps(tiny.model.parameters.to_json()))
        assert FlrParameters.from_json(document) == tiny.model.parameters

    def test_card_names_the_columns_of_both_stages(self, tiny: Trained) -> None:
        content = schema_record(tiny.model.parameters.schema).content
        assert tuple(content["names"]) == tiny.model.parameters.schema.names
        assert tuple(content["candidate_names"]) == CANDIDATE_NAMES

    @pytest.mark.parametrize("name", [*BOOSTERS, PARAMETERS, NOVELTY])
    def test_changed_file_is_refused_with_both_digests(self, tiny: Trained, saved: Path, name: str) -> None:
        changed = bytearray(tiny.contents[name])
        changed[len(changed) // 2] ^= 1
        (saved / name).write_bytes(changed)
        with pytest.raises(ModelError) as caught:
            FlrModel.load(saved)
        text = str(caught.value)
        assert name in text
        for contents in (tiny.contents, {name: bytes(changed)}):
            assert file_digests({name: contents[name]})[name] in text

    @pytest.mark.parametrize("name", [*BOOSTERS, PARAMETERS, NOVELTY])
    def test_card_without_a_file_is_refused(self, tiny: Trained, tmp_path: Path, name: str) -> None:
        contents = {one: data for one, data in tiny.contents.items() if one != name}
        write_model(tmp_path, card_of(tiny, contents), contents)
        with pytest.raises(ModelError, match=f"expected a file {name}"):
            FlrModel.load(tmp_path)

    def test_empty_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"card\.json"):
            FlrModel.load(tmp_path)


class TestForeignParts:
    """Files that are what their card says, but do not belong together."""

    def refused(self, tiny: Trained, folder: Path, **changes: Any) -> str:
        contents = {**tiny.contents, **changes.pop("contents", {})}
        write_model(folder, card_of(tiny, contents, **changes), contents)
        with pytest.raises(ModelError) as caught:
            FlrModel.load(folder)
        return str(caught.value)

    def edited(self, tiny: Trained, change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
        document = json.loads(tiny.contents[PARAMETERS])
        change(document)
        return {PARAMETERS: json.dumps(document).encode()}

    def test_booster_of_another_shape_names_both_widths(self, tiny: Trained, tmp_path: Path) -> None:
        text = self.refused(tiny, tmp_path, contents={CLASSIFIER: tiny.contents[CHOOSER]})
        assert str(len(tiny.model.parameters.schema.names)) in text
        assert str(len(CANDIDATE_NAMES)) in text

    def test_damaged_booster_is_named(self, tiny: Trained, tmp_path: Path) -> None:
        half = tiny.contents[CORRECTOR][: len(tiny.contents[CORRECTOR]) // 2]
        assert CORRECTOR in self.refused(tiny, tmp_path, contents={CORRECTOR: half})

    def test_groups_unlike_those_of_the_card_are_named(self, tiny: Trained, tmp_path: Path) -> None:
        contents = self.edited(tiny, lambda document: document.update(groups=["cross_phase", "coherence"]))
        text = self.refused(tiny, tmp_path, contents=contents)
        assert "('cross_phase', 'coherence')" in text
        assert str(tiny.model.parameters.schema.groups) in text

    def test_unknown_group_of_the_card_is_named(self, tiny: Trained, tmp_path: Path) -> None:
        record = schema_record(tiny.model.parameters.schema)
        other = type(record).of(record.name, {**record.content, "groups": ["cross_phase", "tides"]})
        text = self.refused(tiny, tmp_path, feature_schema=other)
        assert "tides" in text
        assert "cross_phase, amplitude_ratio" in text

    def test_other_grid_is_refused_with_both_digests(self, tiny: Trained, tmp_path: Path) -> None:
        record = schema_record(tiny.model.parameters.schema)
        grid = {**record.content["grid"], "step": 0.06}
        other = type(record).of(record.name, {**record.content, "grid": grid})
        text = self.refused(tiny, tmp_path, feature_schema=other)
        assert record.sha256 in text
        assert other.sha256 in text

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda document: document.update(format=2), "expected format 1, found 2"),
            (lambda document: document.update(mode="ternary"), "multiclass or binary, found 'ternary'"),
            (
                lambda document: document.update(mode="binary"),
                r"calibration of 2 classes \(binary\), found 3",
            ),
            (lambda document: document.update(weights=[0.5, 0.5]), "weight|values"),
            (lambda document: document.update(weights=[0.5, -0.5, 1.0]), r"weights is \[0.5, -0.5, 1.0\]"),
            (lambda document: document.update(track_weights=[0.0, 0.0, 0.0]), "track_weights is"),
            (lambda document: document.pop("tracker"), "tracker"),
            (lambda document: document["spectra"].update(windows=3), "windows"),
            (lambda document: document["conformal"].update(level=1.5), "1.5"),
            (lambda document: document.update(groups=["cross_phase", "tides"]), "tides"),
        ],
    )
    def test_parameters_that_cannot_be_are_named(
        self, tiny: Trained, tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str
    ) -> None:
        text = self.refused(tiny, tmp_path, contents=self.edited(tiny, change))
        assert PARAMETERS in text
        assert re.search(told, text), text

    def test_parameters_that_are_no_object_are_refused(self, tiny: Trained, tmp_path: Path) -> None:
        assert "found 'list'" in self.refused(tiny, tmp_path, contents={PARAMETERS: b"[1, 2]"})

    def test_novelty_of_other_features_names_both_widths(
        self, tiny: Trained, binary: Trained, tmp_path: Path
    ) -> None:
        text = self.refused(tiny, tmp_path, contents={NOVELTY: binary.contents[NOVELTY]})
        assert NOVELTY in text
        for trained in (tiny, binary):
            assert str(len(trained.model.parameters.schema.names)) in text

    def test_novelty_without_an_array_is_refused(self, tiny: Trained, tmp_path: Path) -> None:
        arrays = {"format": np.array("novelty/1"), "centre": np.zeros(3)}
        assert "expected the arrays" in self.refused(tiny, tmp_path, contents={NOVELTY: pack_arrays(arrays)})


class TestChoiceOfModel:
    def test_physical_is_no_model(self) -> None:
        assert load_flr("physical", SpectralSettings()) is None

    def test_folder_is_its_model(self, tiny: Trained, saved: Path) -> None:
        model = load_flr(str(saved), SpectralSettings())
        assert model is not None
        assert model.parameters == tiny.model.parameters

    def test_model_for_other_spectra_is_refused_with_both_values(self, saved: Path) -> None:
        with pytest.raises(ModelError, match=r"smoothing_bins 11 \(here 9\)"):
            load_flr(str(saved), SpectralSettings(smoothing_bins=9))


class TestStageOne:
    def test_probabilities_sum_to_one(self, tiny: Trained, spectra: PairSpectra) -> None:
        told = tiny.model.classify(spectra, scale(spectra))
        assert told.probability.shape == (60, 3)
        assert told.probability.sum(axis=1) == pytest.approx(1.0)
        assert (told.probability >= 0.0).all()
        assert set(np.unique(told.stage_one)) <= {0, 1, 2}

    def test_class_is_that_of_the_largest_weighted_probability(
        self, tiny: Trained, spectra: PairSpectra
    ) -> None:
        model = tiny.model.with_parameters(replace(tiny.model.parameters, weights=(0.1, 0.3, 0.6)))
        told = model.classify(spectra, scale(spectra))
        assert np.array_equal(told.stage_one, (told.probability * [0.1, 0.3, 0.6]).argmax(axis=1))

    def test_binary_model_never_says_pbl(self, binary: Trained, spectra: PairSpectra) -> None:
        told = binary.model.classify(spectra, scale(spectra))
        assert (told.probability[:, 2] == 0.0).all()
        assert told.probability[:, :2].sum(axis=1) == pytest.approx(1.0)
        assert set(np.unique(told.stage_one)) == {0, 1}
        assert not binary.model.likely(told)[:, 1].any()

    def test_model_learnt_something(self, tiny: Trained, tiny_material: Material) -> None:
        """Even so small a one finds most of the resonances that it learnt from."""
        learnt = tiny_material.training
        rows = np.flatnonzero(learnt.usable & (learnt.label >= 0))
        told = tiny.model.classify_features(learnt.features[rows])
        assert (told.probability.argmax(axis=1) == learnt.label[rows]).mean() > 0.8

    @pytest.mark.parametrize("size", [1, 4, 33])
    def test_pair_does_not_depend_on_its_company_to_the_last_bit(
        self, tiny: Trained, spectra: PairSpectra, size: int
    ) -> None:
        classified, readings = both(tiny.model, spectra)
        order = np.random.default_rng(size).permutation(60)
        for start in range(0, 60, size):
            rows = order[start : start + size]
            part, read = both(tiny.model, spectra.rows(rows))
            for name in ("probability", "stage_one", "novel"):
                assert getattr(part, name).tobytes() == getattr(classified, name)[rows].tobytes(), name
            for each in fields(Readings):
                one, whole = getattr(read, each.name), getattr(readings, each.name)[rows]
                assert one.tobytes() == whole.tobytes(), each.name

    def test_no_pairs_have_no_answers(self, tiny: Trained, spectra: PairSpectra) -> None:
        none = spectra.rows(np.arange(0))
        told = tiny.model.classify(none, scale(none))
        assert told.probability.shape == (0, 3)
        assert told.stage_one.shape == told.novel.shape == (0,)
        assert tiny.model.likely(told).shape == (0, 2)
        read = tiny.model.read(none, scale(none), np.zeros((0, 2), dtype=np.bool_))
        assert read.frequency_Hz.shape == (0, 2)

    @pytest.mark.parametrize(
        "values",
        [
            {"cross_phase_rad": np.pi, "amplitude_ratio": np.inf, "coherence": 1.0, "log_power": 88.0},
            {},
        ],
        ids=["saturated", "nan"],
    )
    def test_rubbish_is_novel_and_nothing_is_read(self, tiny: Trained, values: dict[str, float]) -> None:
        rubbish = blank(2, **values)
        told = tiny.model.classify(rubbish, scale(rubbish))
        assert told.novel.all()
        assert not tiny.model.likely(told).any()
        assert np.isfinite(told.probability).all()

    def test_two_equal_records_show_no_resonance(self, tiny: Trained) -> None:
        equal = blank(2, cross_phase_rad=0.0, amplitude_ratio=1.0, coherence=1.0, log_power=0.0)
        assert (tiny.model.classify(equal, scale(equal)).stage_one == 0).all()

    def test_spectra_without_power_are_known_to_the_bundled_model(self, tiny_material: Material) -> None:
        model = FlrModel.load(bundled("flr"))
        seen = tiny_material.calibration
        poor = replace(seen.spectra.rows(np.flatnonzero(judgeable(seen))), log_power=None)
        assert model.classify(poor, scale(poor)).novel.mean() < 0.02

    def test_likely_readings_are_those_above_the_limit_or_called(self, tiny: Trained) -> None:
        told = Classified(
            probability=np.array(
                [
                    [0.97, 0.02, 0.01],
                    [0.99, 0.005, 0.005],
                    [0.99, 0.005, 0.005],
                    [0.1, 0.6, 0.3],
                    [0.1, 0.6, 0.3],
                ]
            ),
            stage_one=np.array([0, 0, 2, 1, 1]),
            novel=np.array([False, False, False, False, True]),
        )
        assert LIKELY == 0.02
        assert tiny.model.likely(told).tolist() == [
            [True, False],
            [False, False],
            [False, True],
            [True, True],
            [False, False],
        ]


class TestReadings:
    def test_nothing_is_read_where_nothing_is_wanted(self, tiny: Trained, spectra: PairSpectra) -> None:
        wanted = np.random.default_rng(1).random((60, 2)) < 0.4
        scaled = scale(spectra)
        some = tiny.model.read(spectra, scaled, wanted)
        every = tiny.model.read(spectra, scaled, np.ones_like(wanted))
        for each in fields(Readings):
            values, whole = getattr(some, each.name), getattr(every, each.name)
            assert np.isnan(values[~wanted]).all(), each.name
            assert values[wanted].tobytes() == whole[wanted].tobytes(), each.name

    def test_interval_contains_the_frequency(self, tiny: Trained, spectra: PairSpectra) -> None:
        _, read = both(tiny.model, spectra)
        found = np.isfinite(read.frequency_Hz)
        assert found.mean() > 0.9
        assert (read.low_Hz[found] <= read.frequency_Hz[found]).all()
        assert (read.frequency_Hz[found] <= read.high_Hz[found]).all()
        assert (read.low_Hz[found] > 0.0).all()
        assert (read.difficulty[found] > 0.0).all()
        assert ((read.score[found] >= 0.0) & (read.score[found] <= 1.0)).all()
        for each in fields(Readings):
            assert np.array_equal(np.isfinite(getattr(read, each.name)), found), each.name

    def test_interval_widens_with_the_difficulty(self, tiny: Trained, spectra: PairSpectra) -> None:
        _, read = both(tiny.model, spectra)
        width = np.log(read.high_Hz / read.low_Hz)
        bands = np.digitize(spectra.l_shell, [2.0, 3.0, 4.0, 5.0])
        for side in (0, 1):
            for band in np.unique(bands):
                rows = np.flatnonzero((bands == band) & np.isfinite(width[:, side]))
                share = width[rows, side] / read.difficulty[rows, side]
                assert share == pytest.approx(share[0], rel=1e-6)

    def test_spectrum_without_a_candidate_has_no_reading(self, tiny: Trained) -> None:
        """All masked: the estimate's own guess stands upright, and nothing at all reversed."""
        nothing = blank(2)
        read = tiny.model.read(nothing, scale(nothing), np.ones((2, 2), dtype=np.bool_))
        assert np.isnan(read.frequency_Hz[:, 1]).all()
        assert np.isnan(read.high_Hz[:, 1]).all()

    def test_other_thresholds_leave_the_readings(self, tiny: Trained, spectra: PairSpectra) -> None:
        other = tiny.model.with_parameters(replace(tiny.model.parameters, weights=(1.0, 0.0, 0.0)))
        assert other.info is None
        one, two = both(tiny.model, spectra), both(other, spectra)
        assert (two[0].stage_one == 0).all()
        same(one[1], two[1])

    def test_shapes_of_the_boosters_are_those_of_the_schema(self, tiny: Trained, binary: Trained) -> None:
        assert booster_shapes(tiny.model.parameters)[CLASSIFIER] == (len(FeatureSchema().names), 3)
        shapes = booster_shapes(binary.model.parameters)
        assert shapes[CLASSIFIER] == (64 + 15 + 3, 2)
        assert shapes[CHOOSER] == shapes[CORRECTOR] == (len(CANDIDATE_NAMES), 1)
        assert shapes[DIFFICULTY] == (len(CANDIDATE_NAMES) + 3, 1)

    def test_features_made_before_give_the_same_classes(self, tiny: Trained, spectra: PairSpectra) -> None:
        scaled = scale(spectra)
        features = window_features(spectra, scaled, tiny.model.parameters.schema)
        same(tiny.model.classify_features(features), tiny.model.classify(spectra, scaled))


@dataclass
class Told:
    """A scorer that reads its answer in one column of the features, and remembers what it was asked."""

    column: int
    asked: list[Float32Array] = field(default_factory=list)

    def predict(self, features: Float32Array) -> Float32Array:
        self.asked.append(features)
        return features[:, self.column : self.column + 1]


def row_of(
    log_f: list[float], margin: list[float], shift: list[float] | None = None, valid: list[bool] | None = None
) -> FrequencyCandidates:
    """One spectrum whose candidates carry the chooser's margin in column 0 and the corrector's shift in column 1."""
    count = len(log_f)
    features = np.zeros((1, count, len(CANDIDATE_NAMES)), dtype=np.float32)
    features[0, :, 0], features[0, :, 1] = margin, shift or [0.0] * count
    features[0, :, 2] = np.arange(count)
    there: BoolArray = np.array([valid or [True] * count])
    return FrequencyCandidates(np.exp(np.array([log_f], dtype=np.float64)), there, features)


def chosen(candidates: FrequencyCandidates) -> Chosen:
    return choose(candidates, Told(0), Told(1))


def odds(margin: float) -> float:
    """The score of a margin."""
    return 1.0 / (1.0 + float(np.exp(-margin)))


class TestMerging:
    def test_best_candidate_is_read_alone_where_no_other_is_near(self) -> None:
        found = chosen(row_of([-4.0, -3.5, -3.0], [0.0, 2.0, 1.0], [0.3, 0.02, -0.4]))
        assert np.log(found.frequency_Hz[0]) == pytest.approx(-3.48, abs=1e-6)
        assert found.score[0] == pytest.approx(odds(2.0))
        *own, score, rival, spread = found.features[0]
        assert own[2] == 1
        assert (score, rival, spread) == pytest.approx((odds(2.0), odds(1.0), 0.0), abs=1e-6)

    def test_near_candidates_are_merged_by_their_scores(self) -> None:
        log_f, margin, shift = np.array([-4.0, -3.9]), np.array([1.0, 0.0]), np.array([0.01, -0.03])
        found = chosen(row_of(log_f.tolist(), margin.tolist(), shift.tolist()))
        weight = 1.0 / (1.0 + np.exp(-margin))
        mean = np.average(log_f + shift, weights=weight)
        spread = np.sqrt(np.average((log_f + shift - mean) ** 2, weights=weight))
        assert np.log(found.frequency_Hz[0]) == pytest.approx(mean, abs=1e-6)
        # Score of the best, no rival elsewhere, and how far they lie apart.
        assert found.features[0, -3:] == pytest.approx([odds(1.0), -1.0, spread], abs=1e-6)

    def test_correction_may_bring_a_candidate_near(self) -> None:
        apart = MERGED_REACH + 0.05
        assert apart < CORRECTED_REACH
        found = chosen(row_of([-4.0, -4.0 + apart], [1.0, 1.0], [0.0, -0.1]))
        assert np.log(found.frequency_Hz[0]) == pytest.approx(-4.0 + 0.5 * (apart - 0.1), abs=1e-6)

    def test_correction_may_take_a_candidate_away(self) -> None:
        found = chosen(row_of([-4.0, -3.9], [1.0, 0.5], [0.0, MERGED_REACH]))
        assert np.log(found.frequency_Hz[0]) == pytest.approx(-4.0, abs=1e-6)
        assert found.features[0, -2] == pytest.approx(odds(0.5))

    def test_candidate_out_of_reach_is_not_corrected_and_has_no_say(self) -> None:
        corrector = Told(1)
        found = choose(
            row_of([-4.0, -4.0 + CORRECTED_REACH + 0.01], [1.0, 0.9], [0.0, -0.31]), Told(0), corrector
        )
        assert np.log(found.frequency_Hz[0]) == pytest.approx(-4.0, abs=1e-6)
        assert sum(len(rows) for rows in corrector.asked) == 1

    def test_invalid_candidates_are_not_looked_at(self) -> None:
        chooser, corrector = Told(0), Told(1)
        valid = [False, True, False]
        found = choose(row_of([-4.0, -3.5, -3.49], [9.0, -3.0, 5.0], valid=valid), chooser, corrector)
        assert np.log(found.frequency_Hz[0]) == pytest.approx(-3.5, abs=1e-6)
        assert found.features[0, -2] == -1.0
        for scorer in (chooser, corrector):
            assert [rows[:, 2].tolist() for rows in scorer.asked] == [[1.0]]

    def test_spectrum_without_candidates_is_not_read(self) -> None:
        chooser = Told(0)
        found = choose(row_of([-4.0, -3.5], [1.0, 1.0], valid=[False, False]), chooser, Told(1))
        assert np.isnan(found.frequency_Hz).all()
        assert np.isnan(found.score).all()
        assert not chooser.asked

    def test_hopeless_candidates_are_still_read_where_they_lie(self) -> None:
        found = chosen(row_of([-4.0, -3.95], [-80.0, -80.0]))
        assert np.log(found.frequency_Hz[0]) == pytest.approx(-3.975, abs=1e-6)

    def test_features_have_three_more_columns_than_a_candidate(self) -> None:
        assert chosen(row_of([-4.0], [0.0])).features.shape == (1, DIFFICULTY_FEATURES)

    @given(data=st.data())
    def test_reading_lies_among_the_corrected_and_beside_any_company(self, data: st.DataObject) -> None:
        places = st.lists(st.floats(-6.0, -2.5), min_size=CANDIDATES, max_size=CANDIDATES)
        margins = st.lists(st.floats(-20.0, 20.0), min_size=CANDIDATES, max_size=CANDIDATES)
        shifts = st.lists(st.floats(-0.1, 0.1), min_size=CANDIDATES, max_size=CANDIDATES)
        marks = st.lists(st.booleans(), min_size=CANDIDATES, max_size=CANDIDATES)
        rows = [
            row_of(data.draw(places), data.draw(margins), data.draw(shifts), data.draw(marks))
            for _ in range(3)
        ]
        together = chosen(
            FrequencyCandidates(
                *(np.concatenate([getattr(row, one.name) for row in rows]) for one in fields(rows[0]))
            )
        )
        for number, row in enumerate(rows):
            alone = chosen(row)
            assert alone.frequency_Hz.tobytes() == together.frequency_Hz[number : number + 1].tobytes()
            assert alone.features.tobytes() == together.features[number : number + 1].tobytes()
            if row.valid.any():
                ends: FloatArray = np.log(row.frequency_Hz[row.valid]) + row.features[row.valid][:, 1]
                assert ends.min() - 1e-6 <= np.log(alone.frequency_Hz[0]) <= ends.max() + 1e-6
            else:
                assert np.isnan(alone.frequency_Hz[0])
