"""The model of regions: lone windows, windows in a row, what is fitted around the network, and what is refused."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from region_kit import examples, make_model, tiny

from monitor.errors import ModelError
from monitor.jobs.region.calibrate import fit_around, fit_temperature
from monitor.jobs.region.export import network_onnx
from monitor.jobs.region.network import from_arrays
from monitor.jobs.region.transfer import fit_last_layer, refit
from monitor.models import region
from monitor.models.base import file_digests, open_model, pack_arrays, read_card, unpack_arrays, write_model
from monitor.models.region import (
    NOVELTY,
    PARAMETERS,
    WEIGHTS,
    PerForm,
    RegionModel,
    RegionParameters,
    load_region,
)
from monitor.science.mahalanobis import ClassDistances, fit_class_distances
from monitor.science.region import tempered, window_part
from monitor.types import REGIONS, SUPPORT_CELLS, WINDOW_CELLS, Float32Array


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("model") / "tiny"
    make_model(found)
    return found


@pytest.fixture(scope="module")
def model(folder: Path) -> RegionModel:
    return RegionModel.load(folder)


def stretch(cells: int, seed: int = 7) -> Float32Array:
    """Cells of one spacecraft that goes from class to class."""
    parts = examples(cells // SUPPORT_CELLS + 1, seed, masked=0.0, context=1.0).values
    return np.concatenate(list(parts))[:cells]


def changed(folder: Path, to: Path, contents: dict[str, bytes]) -> Path:
    """The same model with other files, whose card names them rightly."""
    opened = open_model(folder, "region")
    whole = {**opened.contents, **contents}
    write_model(to, replace(opened.card, files=file_digests(whole)), whole)
    return to


def test_windows_and_stretches_tell_the_classes(model: RegionModel) -> None:
    held = examples(300, 8, context=1.0)
    lone, row = model.windows(window_part(held.values)), model.stretches(held.values)
    for found in (lone, row):
        assert found.probability.shape == (300, 1, len(REGIONS))
        assert_allclose(found.probability.sum(axis=2), 1.0)
        assert (found.probability[:, 0].argmax(axis=1) == held.label).mean() > 0.8
        assert found.novel.mean() < 0.05
        assert found.features.shape == (300, 1, 16)
    assert np.abs(lone.logits - row.logits).max() > 0.01


@pytest.mark.parametrize("cells", [SUPPORT_CELLS, 200, 2048, 2100, 4500])
def test_stretches_as_each_window_for_itself(model: RegionModel, cells: int) -> None:
    values = stretch(cells)
    whole = model.stretches(values[None])
    windows = cells - SUPPORT_CELLS + 1
    assert whole.probability.shape == (1, windows, len(REGIONS))
    assert whole.scores.shape == (1, cells - 13, len(REGIONS))
    chosen = np.unique(np.linspace(0, windows - 1, 60).astype(int))
    each = model.stretches(np.stack([values[one : one + SUPPORT_CELLS] for one in chosen]))
    assert_allclose(whole.logits[0, chosen], each.logits[:, 0], atol=1e-4)
    assert_allclose(whole.probability[0, chosen], each.probability[:, 0], atol=1e-5)
    assert_allclose(whole.distance[0, chosen], each.distance[:, 0], atol=1e-3)
    for place, begin in enumerate(chosen):
        assert_allclose(whole.scores[0, begin : begin + WINDOW_CELLS], each.scores[place], atol=1e-4)


def test_stretches_of_many_spacecraft_as_one_by_one(model: RegionModel) -> None:
    values = np.stack([stretch(300, seed) for seed in range(9)])
    values[3, :, 4] = np.nan
    whole = model.stretches(values)
    for one in range(9):
        alone = model.stretches(values[one : one + 1])
        assert_allclose(whole.probability[one], alone.probability[0], atol=1e-6)
        assert_array_equal(whole.novel[one], alone.novel[0])


def test_window_has_the_same_numbers_in_whatever_stretch(model: RegionModel) -> None:
    """To the last digit: live, replayed and offline runs form the same windows in stretches of other lengths."""
    values = stretch(700)
    values[300:420, 6] = np.nan
    whole = model.stretches(values[None])
    rng = np.random.default_rng(4)
    for cells in [*range(SUPPORT_CELLS, 120), 333]:
        for begin in rng.integers(0, 700 - cells, 2):
            some = model.stretches(values[None, begin : begin + cells])
            same = slice(begin, begin + cells - SUPPORT_CELLS + 1)
            assert_array_equal(some.probability[0], whole.probability[0, same])
            assert_array_equal(some.scores[0], whole.scores[0, begin : begin + cells - 13])


def test_window_that_stands_alone_has_the_same_numbers_in_whatever_batch(model: RegionModel) -> None:
    values = window_part(examples(70, 12).values)
    whole = model.windows(values)
    for count in (1, 2, 3, 7, 66):
        assert_array_equal(model.windows(values[3 : 3 + count]).probability, whole.probability[3 : 3 + count])


def test_windows_in_any_number(model: RegionModel) -> None:
    values = window_part(examples(150, 11).values)
    whole = model.windows(values)
    assert_allclose(whole.probability[70:71], model.windows(values[70:71]).probability, atol=1e-6)
    nothing = model.windows(values[:0])
    assert nothing.probability.shape == (0, 1, len(REGIONS))
    assert nothing.novel.shape == (0, 1)
    assert model.stretches(stretch(60)[None][:0]).probability.shape == (0, 8, len(REGIONS))


def test_values_are_not_changed(model: RegionModel) -> None:
    values = stretch(100).astype(np.float64)
    values[5, 4] = np.nan
    before = values.copy()
    model.stretches(values[None])
    model.windows(values[None, :40])
    assert_array_equal(values, before)


@pytest.mark.parametrize("shape", [(40, 12), (1, 39, 12), (1, 41, 12), (1, 40, 11)])
def test_windows_of_another_shape_refused(model: RegionModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"values must have shape \(n, 40, 12\)"):
        model.windows(np.zeros(shape))


def test_stretches_too_short_refused(model: RegionModel) -> None:
    with pytest.raises(ValueError, match=r"values must have shape \(n, 53 or more, 12\), got \(1, 52, 12\)"):
        model.stretches(np.zeros((1, 52, 12)))


def test_windows_unlike_training_are_novel(model: RegionModel) -> None:
    strange = window_part(examples(40, 12, masked=0.0).values).copy()
    strange[..., ::2] *= 30.0
    strange[..., 1::2] /= 30.0
    assert model.windows(strange).novel.mean() > 0.8


def test_temperature_and_limit_by_form_and_by_what_is_missing(folder: Path, tmp_path: Path) -> None:
    parameters = RegionParameters("log", PerForm(1.0, 2.0, 3.0, 4.0), PerForm(5.0, 6.0, 7.0, 8.0))
    document = json.dumps(parameters.to_json()).encode()
    loaded = RegionModel.load(changed(folder, tmp_path / "other", {PARAMETERS: document}))
    values = examples(2, 13, masked=0.0, context=1.0).values
    values[1, :, 4] = np.nan
    plain = RegionModel.load(folder)
    for found, before, temperatures, limits in (
        (loaded.windows(window_part(values)), plain.windows(window_part(values)), (1.0, 2.0), (5.0, 6.0)),
        (loaded.stretches(values), plain.stretches(values), (3.0, 4.0), (7.0, 8.0)),
    ):
        form = "isolated" if temperatures[0] == 1.0 else "context"
        for row, state in enumerate(("complete", "masked")):
            assert_allclose(found.probability[row], tempered(found.logits[row], temperatures[row]))
            old = getattr(plain.parameters.distance_limits, f"{form}_{state}")
            assert_allclose(found.distance[row] * limits[row], before.distance[row] * old)


def test_what_is_missing_in_the_context_counts_for_the_windows_it_reaches(model: RegionModel) -> None:
    values = stretch(120)
    values[60] = np.nan
    found = model.stretches(values[None])
    temperatures = model.parameters.temperatures
    masked = np.array([begin <= 60 < begin + SUPPORT_CELLS for begin in range(68)])
    wanted = np.where(masked, temperatures.context_masked, temperatures.context_complete)
    assert_allclose(found.probability[0], tempered(found.logits[0], wanted[:, None]))


def test_fitted_around_makes_validation_honest() -> None:
    made = tiny()
    for name, error in made.calibration_error.items():
        assert error is not None, name
        assert 0.0 <= error["after"] < 0.15, name
    again = fit_around(from_arrays(region_arrays(made.contents)), examples(600, 2), examples(500, 3))
    assert again.contents == made.contents


def region_arrays(contents: dict[str, bytes]) -> dict[str, np.ndarray]:
    return unpack_arrays(contents[WEIGHTS], WEIGHTS)


def test_fitted_around_share_of_novelty_in_validation() -> None:
    held = examples(500, 3).at(~examples(500, 3).mixed)
    novel = tiny().model.windows(window_part(held.values)).novel[:, 0]
    masked = np.isnan(window_part(held.values)).any(axis=(1, 2))
    for rows in (masked, ~masked):
        assert novel[rows].sum() == np.ceil(0.005 * (rows.sum() - 1))


def test_fitted_around_nothing_refused() -> None:
    nothing = examples(30, 3)
    nothing = replace(nothing, mixed=np.ones(30, dtype=np.bool_))
    network = from_arrays(region_arrays(tiny().contents))
    with pytest.raises(ValueError, match="at least 2 windows that are not mixed, got 0"):
        fit_around(network, examples(50, 2), nothing)


def test_temperature_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0.0, 2.0, (20000, 10))
    drawn = tempered(logits, 1.7).cumsum(axis=1)
    label = (rng.random(20000)[:, None] > drawn).sum(axis=1)
    assert fit_temperature(logits, label) == pytest.approx(1.7, rel=0.03)


def test_distance_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    turn = rng.normal(size=(4, 4))
    label = rng.integers(0, 3, 30000)
    centre = rng.normal(0.0, 20.0, (3, 4))
    values = centre[label] + rng.normal(size=(30000, 4)) @ turn
    fitted = fit_class_distances(values, label, 5)
    assert np.isnan(fitted.mean[3:]).all()
    # A chi distribution of four degrees of freedom, somewhat narrowed by the shrinkage.
    assert np.median(fitted.distance(values)) == pytest.approx(1.83, rel=0.05)
    assert fitted.distance(centre) == pytest.approx(0.0, abs=0.1)
    again = ClassDistances.from_arrays(fitted.to_arrays())
    assert_array_equal(again.distance(values[:9]), fitted.distance(values[:9]))


def test_distance_beside_features_that_never_vary() -> None:
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(size=(500, 3)), np.zeros(500)])
    fitted = fit_class_distances(values, np.zeros(500, dtype=np.int64), 1)
    assert np.isfinite(fitted.distance(values)).all()
    assert fitted.distance(np.array([[0.0, 0.0, 0.0, 5.0]]))[0] > 10.0


def test_last_layer_learns_another_mission(model: RegionModel) -> None:
    arrays = region_arrays(tiny().contents)
    mission = examples(400, 20)
    # Its instruments see everything twice as large: the old layer is often wrong.
    mission = replace(mission, values=mission.values * np.float32(2.0))
    found, told = fit_last_layer(model, arrays, mission)
    assert told.steps > 0
    assert told.loss_after < 0.8 * told.loss_before
    for name, value in arrays.items():
        same = np.array_equal(value, found[name])
        assert same == (not name.startswith("dense.")), name
    network_onnx(from_arrays(found))


def test_last_layer_stays_where_there_is_nothing_to_learn() -> None:
    rng = np.random.default_rng(0)
    weight, features = rng.normal(size=(10, 8)), rng.normal(size=(400, 8))
    label = (features @ weight.T).argmax(axis=1)
    run = np.arange(400) // 10
    found = refit(weight, np.zeros(10), features, label, run, pull=1e6)
    assert_allclose(found.weight, weight, atol=1e-3)
    noise = refit(weight * 0.0, np.zeros(10), features, rng.integers(0, 10, 400), run)
    assert noise.loss_after <= noise.loss_before == pytest.approx(np.log(10.0))


def test_last_layer_of_one_run_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 runs or orbits, got 1"):
        refit(
            np.zeros((10, 8)),
            np.zeros(10),
            np.zeros((5, 8)),
            np.zeros(5, dtype=np.int64),
            np.zeros(5, dtype=np.int64),
        )


def test_load_none() -> None:
    assert load_region("none") is None


def test_load_a_folder(folder: Path) -> None:
    loaded = load_region(str(folder))
    assert loaded is not None
    assert loaded.info == read_card(folder).info
    assert loaded.info.kind == "region"


def test_load_without_a_bundled_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(region, "NAME", "nothing-of-this-name")
    region._bundled.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert load_region("auto") is None
    region._bundled.cache_clear()
    assert "there are no regions" in caplog.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 2}, "expected format 1, found 2"),
        ({"variables": ["Bx"]}, "expected the variables Bx, By"),
        ({"regions": None}, "expected the regions SW, FS"),
        ({"mode": "cubic"}, "mode must be log or linear, found 'cubic'"),
        ({"temperatures": {"isolated_complete": 1.0}}, "missing or of the wrong kind"),
        (
            {"distance_limits": dict.fromkeys(PerForm.__slots__, 0.0)},
            "isolated_complete must be a positive number",
        ),
    ],
)
def test_parameters_that_cannot_be_refused(
    folder: Path, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    document = {**RegionModel.load(folder).parameters.to_json(), **change}
    other = changed(folder, tmp_path / "other", {PARAMETERS: json.dumps(document).encode()})
    with pytest.raises(ModelError, match=f"parameters.json: .*{told}"):
        RegionModel.load(other)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"format": np.array("other/1")}, "novelty.npz: .*expected format mahalanobis/1"),
        ({"mean": np.zeros((9, 16))}, "novelty.npz: expected means of 10 classes, found 9"),
        ({"mean": np.zeros((10, 17)), "whitening": np.eye(17)}, "network.onnx: expected outputs"),
        ({"whitening": np.eye(15)}, "novelty.npz: expected a mean"),
        ({"whitening": np.full((16, 16), np.nan)}, "novelty.npz: .* must be finite"),
    ],
)
def test_novelty_that_cannot_be_refused(
    folder: Path, tmp_path: Path, arrays: dict[str, np.ndarray], told: str
) -> None:
    kept = open_model(folder, "region").arrays(NOVELTY)
    other = changed(folder, tmp_path / "other", {NOVELTY: pack_arrays({**kept, **arrays})})
    with pytest.raises(ModelError, match=told):
        RegionModel.load(other)
