"""Boosted trees: the same numbers as the library's own, row by row, and no damaged tree ever reaches it."""

from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xgboost

from monitor.errors import ModelError
from monitor.models import xgb
from monitor.models.xgb import Booster, import_xgboost, load_booster, save_booster
from monitor.types import Float32Array

FEATURES = 5
Change = Callable[[dict[str, Any]], None]


def rows(count: int, seed: int = 3) -> Float32Array:
    """Random features, every tenth of them unknown."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, FEATURES)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


def trained(rounds: int = 8, threads: int = 1, **parameters: Any) -> xgboost.Booster:
    features = rows(400)
    known: npt.NDArray[Any] = np.nan_to_num(features)
    classes = (known[:, 0] > 0.0).astype(int) + (known[:, 1] > 0.5)
    target = classes if "num_class" in parameters else known[:, 0] + 0.1 * known[:, 2]
    data = xgboost.DMatrix(features, target, nthread=threads)
    setting = {"nthread": threads, "seed": 4, "max_depth": 3, "subsample": 0.7, **parameters}
    return xgboost.train(setting, data, rounds)


def classifier(**more: Any) -> xgboost.Booster:
    return trained(objective="multi:softprob", num_class=3, **more)


@pytest.fixture(scope="module")
def native() -> xgboost.Booster:
    return classifier()


@pytest.fixture(scope="module")
def data(native: xgboost.Booster) -> bytes:
    return save_booster(native)


@pytest.fixture(scope="module")
def booster(data: bytes) -> Booster:
    return load_booster(data, features=FEATURES, outputs=3)


def refused(data: bytes, features: int = FEATURES, outputs: int = 3) -> str:
    """The one line with which a model is refused."""
    with pytest.raises(ModelError) as caught:
        load_booster(data, features=features, outputs=outputs, path="model/trees.json")
    text = str(caught.value)
    assert text.startswith("model/trees.json: expected ")
    assert "\n" not in text
    assert len(text) < 500
    return text


class TestPredict:
    def test_prediction_is_the_library_s_own(self, native: xgboost.Booster, booster: Booster) -> None:
        asked = rows(300, seed=9)
        matrix = xgboost.DMatrix(asked, nthread=1)
        margins, shares = booster.predict(asked), booster.predict(asked, transformed=True)
        np.testing.assert_array_equal(margins, native.predict(matrix, output_margin=True))
        np.testing.assert_array_equal(shares, native.predict(matrix))
        assert margins.dtype == shares.dtype == np.float32

    def test_transformed_is_the_softmax_of_the_margins(self, booster: Booster) -> None:
        margins = booster.predict(rows(50)).astype(np.float64)
        power = np.exp(margins - margins.max(axis=1, keepdims=True))
        expected = power / power.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(booster.predict(rows(50), transformed=True), expected, atol=1e-6)

    def test_prediction_is_the_sum_of_a_walk_down_each_tree(self, data: bytes, booster: Booster) -> None:
        learner = json.loads(data)["learner"]
        model = learner["gradient_booster"]["model"]
        expected = np.tile(np.array(json.loads(learner["learner_model_param"]["base_score"])), (60, 1))
        asked = rows(60, seed=11)
        for output, tree in zip(model["tree_info"], model["trees"], strict=True):
            for row, values in enumerate(asked):
                node = 0
                while tree["left_children"][node] >= 0:
                    value, limit = (
                        values[tree["split_indices"][node]],
                        np.float32(tree["split_conditions"][node]),
                    )
                    goes_left = tree["default_left"][node] if np.isnan(value) else value < limit
                    node = tree["left_children" if goes_left else "right_children"][node]
                expected[row, output] += tree["split_conditions"][node]
        np.testing.assert_allclose(booster.predict(asked), expected, atol=2e-6)

    @pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 257])
    def test_row_is_the_same_to_the_last_bit_in_any_batch(self, booster: Booster, size: int) -> None:
        asked = rows(600, seed=5)
        pieces = [booster.predict(asked[first : first + size]) for first in range(0, 600, size)]
        np.testing.assert_array_equal(np.concatenate(pieces), booster.predict(asked))
        turned = booster.predict(asked[::-1])
        np.testing.assert_array_equal(turned[::-1], booster.predict(asked))

    def test_threads_predict_at_once(self, booster: Booster) -> None:
        batches = [rows(50, seed=seed) for seed in range(40)]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(booster.predict, batches))
        for batch, found in zip(batches, together, strict=True):
            np.testing.assert_array_equal(found, booster.predict(batch))

    def test_earlier_result_stays_when_more_is_predicted(self, booster: Booster) -> None:
        first = booster.predict(rows(20))
        kept = first.copy()
        booster.predict(-rows(20))
        np.testing.assert_array_equal(first, kept)

    def test_no_rows_give_no_rows(self, booster: Booster) -> None:
        assert booster.predict(rows(0)).shape == (0, 3)

    def test_unknown_and_infinite_features_give_numbers(self, booster: Booster) -> None:
        for value in (np.nan, np.inf, -np.inf):
            assert np.isfinite(booster.predict(np.full((2, FEATURES), value, dtype=np.float32))).all()

    def test_columns_in_another_order_of_memory_give_the_same(self, booster: Booster) -> None:
        asked = rows(30)
        np.testing.assert_array_equal(booster.predict(np.asfortranarray(asked)), booster.predict(asked))
        wide = np.repeat(asked, 2, axis=1)[:, ::2]
        np.testing.assert_array_equal(booster.predict(wide), booster.predict(asked))

    @pytest.mark.parametrize("shape", [(3, FEATURES + 1), (FEATURES,), (2, 3, FEATURES), (0, 1)])
    def test_other_shape_is_refused(self, booster: Booster, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"shape \(n, 5\); got \("):
            booster.predict(np.zeros(shape, dtype=np.float32))

    @pytest.mark.parametrize(
        ("parameters", "outputs"),
        [
            ({"objective": "reg:squarederror"}, 1),
            ({"objective": "reg:quantileerror", "quantile_alpha": [0.05, 0.5, 0.95]}, 3),
            ({"objective": "reg:squarederror", "tree_method": "exact", "gamma": 0.5}, 1),
            ({"objective": "reg:absoluteerror", "grow_policy": "lossguide", "max_leaves": 5}, 1),
        ],
    )
    def test_regressions_of_every_growth_are_taken(self, parameters: dict[str, Any], outputs: int) -> None:
        native = trained(**parameters)
        loaded = load_booster(save_booster(native), features=FEATURES, outputs=outputs)
        expected = native.predict(xgboost.DMatrix(rows(40), nthread=1), strict_shape=True)
        np.testing.assert_array_equal(loaded.predict(rows(40), transformed=True), expected)


class TestSave:
    def test_same_training_gives_the_same_bytes(self, data: bytes) -> None:
        assert save_booster(classifier()) == data
        assert save_booster(classifier(threads=2)) == data
        assert save_booster(classifier(seed=5)) != data

    def test_bytes_survive_a_round_through_the_library(self, data: bytes) -> None:
        again = xgboost.Booster()
        again.load_model(bytearray(data))
        assert save_booster(again) == data

    def test_early_stopping_keeps_the_rounds_up_to_the_best(self) -> None:
        train = xgboost.DMatrix(rows(200), np.nan_to_num(rows(200)[:, 0]), nthread=1)
        noise = np.random.default_rng(8).normal(size=200)
        held = xgboost.DMatrix(
            rows(200, seed=6), np.nan_to_num(rows(200, seed=6)[:, 0]) + 3 * noise, nthread=1
        )
        native = xgboost.train(
            {"nthread": 1, "seed": 1},
            train,
            60,
            evals=[(held, "held")],
            early_stopping_rounds=5,
            verbose_eval=False,
        )
        kept = native.best_iteration + 1
        assert kept < native.num_boosted_rounds()
        loaded = load_booster(save_booster(native), features=FEATURES, outputs=1)
        best = native.inplace_predict(rows(30), iteration_range=(0, kept), strict_shape=True)
        np.testing.assert_array_equal(loaded.predict(rows(30)), best)
        assert not np.array_equal(
            loaded.predict(rows(30)), native.inplace_predict(rows(30), strict_shape=True)
        )


def changed(data: bytes, change: Change) -> bytes:
    document = json.loads(data)
    change(document)
    return json.dumps(document).encode()


def in_model(change: Change) -> Change:
    return lambda document: change(document["learner"]["gradient_booster"]["model"])


def in_tree(name: str, node: int, value: int) -> Change:
    def change(model: dict[str, Any]) -> None:
        model["trees"][4][name][node] = value

    return in_model(change)


def circle(model: dict[str, Any]) -> None:
    """The root's left child has the root for a child."""
    tree = model["trees"][4]
    node = tree["left_children"][0]
    tree["left_children"][node] = 0


def shared(model: dict[str, Any]) -> None:
    """Both ways from the root lead to one node."""
    tree = model["trees"][4]
    tree["right_children"][0] = tree["left_children"][0]


def loop_of_two(model: dict[str, Any]) -> None:
    """Two nodes that have each other for a child, with the parents to match."""
    tree = model["trees"][4]
    first, second = tree["left_children"][0], tree["right_children"][0]
    tree["left_children"][first], tree["parents"][second] = second, first
    tree["left_children"][second], tree["parents"][first] = first, second


class TestDamage:
    @pytest.mark.parametrize("value", [400, 10**6, 2**31 - 1, 2**31, -2, 2**70])
    @pytest.mark.parametrize("name", ["left_children", "right_children", "parents"])
    def test_node_out_of_range_is_refused(self, data: bytes, name: str, value: int) -> None:
        refused(changed(data, in_tree(name, 1, value)))

    @pytest.mark.parametrize("value", [FEATURES, 10**8, -1, 2**31 - 1])
    def test_feature_out_of_range_is_refused(self, data: bytes, value: int) -> None:
        refused(changed(data, in_tree("split_indices", 0, value)))

    @pytest.mark.parametrize("damage", [circle, shared, loop_of_two])
    def test_nodes_that_are_no_tree_are_refused(self, data: bytes, damage: Change) -> None:
        assert "others in tree 4" in refused(changed(data, in_model(damage)))

    def test_node_with_one_child_is_refused(self, data: bytes) -> None:
        refused(changed(data, in_tree("right_children", 0, -1)))

    def test_root_with_a_parent_is_refused(self, data: bytes) -> None:
        refused(changed(data, in_tree("parents", 0, 1)))

    @pytest.mark.parametrize(
        "change",
        [
            lambda model: model["trees"].pop(),
            lambda model: model["tree_info"].pop(),
            lambda model: model.update(trees=[], tree_info=[]),
            lambda model: model["tree_info"].__setitem__(0, 3),
            lambda model: model["tree_info"].__setitem__(0, 7_000_000),
            lambda model: model["tree_info"].__setitem__(0, -1),
            lambda model: model["iteration_indptr"].__setitem__(0, 5),
            lambda model: model["iteration_indptr"].__setitem__(2, 10**6),
            lambda model: model["iteration_indptr"].pop(),
            lambda model: model.update(iteration_indptr=[]),
            lambda model: model["gbtree_model_param"].update(num_trees="25"),
            lambda model: model["gbtree_model_param"].pop("num_trees"),
            lambda model: model["trees"][3].update(id=4),
            lambda model: model["trees"][3].pop("left_children"),
            lambda model: model["trees"][3]["split_conditions"].pop(),
            lambda model: model["trees"][3]["split_indices"].append(0),
            lambda model: model["trees"][3]["split_type"].__setitem__(0, 1),
            lambda model: model["trees"][3]["tree_param"].update(size_leaf_vector="3"),
            lambda model: model["trees"][3]["tree_param"].update(num_nodes="many"),
            lambda model: model["trees"][3].update(default_left=[0]),
            lambda model: model["trees"][3].update(base_weights=None),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(self, data: bytes, change: Change) -> None:
        refused(changed(data, in_model(change)))

    def test_trees_all_gone_are_refused(self, data: bytes) -> None:
        def change(model: dict[str, Any]) -> None:
            model.update(trees=[], tree_info=[], iteration_indptr=[0])
            model["gbtree_model_param"]["num_trees"] = "0"

        assert "found none" in refused(changed(data, in_model(change)))

    def test_other_booster_is_refused_by_name(self, data: bytes) -> None:
        def change(document: dict[str, Any]) -> None:
            document["learner"]["gradient_booster"]["name"] = "dart"

        assert "gbtree, found 'dart'" in refused(changed(data, change))

    def test_other_number_of_features_is_refused_with_both(self, data: bytes) -> None:
        assert "expected 6 features, found 5" in refused(data, features=6)

    @pytest.mark.parametrize("outputs", [1, 2, 4])
    def test_other_number_of_outputs_is_refused_with_both(self, data: bytes, outputs: int) -> None:
        assert f"expected {outputs} outputs, found 3" in refused(data, outputs=outputs)

    def test_shape_that_the_trees_do_not_have_is_refused(self, data: bytes) -> None:
        def change(document: dict[str, Any]) -> None:
            document["learner"]["learner_model_param"]["num_class"] = "4"

        refused(changed(data, change), outputs=4)

    def test_model_of_a_newer_release_is_refused_with_both_versions(self, data: bytes) -> None:
        text = refused(changed(data, lambda document: document.update(version=[99, 1, 0])))
        assert "99.1.0" in text
        assert xgboost.__version__ in text

    def test_model_of_an_older_release_is_taken(self, data: bytes, booster: Booster) -> None:
        older = changed(data, lambda document: document.update(version=[2, 1, 0]))
        loaded = load_booster(older, features=FEATURES, outputs=3)
        np.testing.assert_array_equal(loaded.predict(rows(20)), booster.predict(rows(20)))

    def test_unknown_objective_is_refused_without_a_stack_trace(self, data: bytes) -> None:
        def change(document: dict[str, Any]) -> None:
            document["learner"]["objective"] = {"name": "my:own"}

        text = refused(changed(data, change))
        assert "my:own" in text
        assert ".cc:" not in text

    @pytest.mark.parametrize(
        "broken",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe\x00",
            b"\x80\x04K\x01.",
            b"[" * 100_000,
            b'{"learner": {}}',
            b"{}",
        ],
    )
    def test_what_is_no_model_gives_one_line(self, broken: bytes) -> None:
        refused(broken)

    @pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
    def test_truncated_model_gives_one_line(self, data: bytes, share: float) -> None:
        refused(data[: int(len(data) * share)])

    def test_binary_json_of_the_library_is_refused(self, native: xgboost.Booster) -> None:
        refused(bytes(native.save_raw("ubj")))


class TestLibrary:
    def test_import_waits_until_a_model_is_loaded(self) -> None:
        said = self._run(
            "import sys; import monitor.models.xgb, monitor.models.base, monitor.pipeline, monitor.daemon.runtime\n"
            "print('xgboost' in sys.modules)"
        )
        assert said == "False\n"

    def test_loading_and_predicting_say_nothing_and_start_no_thread(
        self, data: bytes, tmp_path: Path
    ) -> None:
        path = tmp_path / "trees.json"
        path.write_bytes(data)
        said = self._run(
            "import os, numpy, xgboost\n"
            "from pathlib import Path\n"
            "from monitor.models.xgb import load_booster\n"
            "before = len(os.listdir('/proc/self/task'))\n"
            f"booster = load_booster(Path({str(path)!r}).read_bytes(), features=5, outputs=3)\n"
            "booster.predict(numpy.zeros((5000, 5), dtype=numpy.float32))\n"
            "print(len(os.listdir('/proc/self/task')) - before)"
        )
        assert said == "0\n"

    def test_two_builds_are_refused_with_the_way_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(xgb, "is_installed", {"xgboost", "xgboost-cpu"}.__contains__)
        with pytest.raises(
            ModelError, match="pip uninstall xgboost xgboost-cpu, then pip install xgboost-cpu"
        ):
            import_xgboost()

    @pytest.mark.parametrize(
        "error",
        [ImportError("No module named 'xgboost'"), OSError("libgomp.so.1: cannot open"), ValueError("x\ny")],
    )
    def test_library_that_cannot_be_imported_is_told_with_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, data: bytes, error: Exception
    ) -> None:
        real = builtins.__import__

        def without(name: str, *arguments: Any, **more: Any) -> Any:
            if name == "xgboost":
                raise error
            return real(name, *arguments, **more)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(ModelError) as caught:
            load_booster(data, features=FEATURES, outputs=3)
        assert str(error).partition("\n")[0] in str(caught.value)
        assert "pip install xgboost-cpu on Linux" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_one_build_is_installed_here(self) -> None:
        assert len([name for name in xgb.BUILDS if xgb.is_installed(name)]) == 1
        assert import_xgboost() is xgboost

    @staticmethod
    def _run(program: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=environment,
        )
        assert done.stderr == ""
        return done.stdout
