"""Boosted trees: XGBoost's JSON, checked node by node before the library sees it, and run on one thread.

The library trusts what it loads: a child or a feature index beyond its array ends the process, and numbers of a newer
format are read wrongly without a word. Both are refused here. Nothing of XGBoost is imported before a model is wanted.
"""

from __future__ import annotations

import re
import warnings
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np

from monitor.errors import ModelError
from monitor.types import Float32Array

if TYPE_CHECKING:
    import xgboost

BUILDS: Final = ("xgboost", "xgboost-cpu", "xgboost-cu12", "xgboost-cu13")
"""Distributions that bring the module `xgboost`; each overwrites the files of the others."""

_PARAMETERS: Final = {"nthread": 1, "device": "cpu", "verbosity": 0}
# `[10:18:19] /where/it/was/built.cc:1086: ` before what the library has to say.
_ORIGIN = re.compile(r"^\[[\d:]+\] \S+: ")

_NO_PARENT = 2**31 - 1

_Node = Annotated[int, msgspec.Meta(ge=-1, lt=2**31)]
_Index = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class _Tree(msgspec.Struct):
    """What of a tree the library follows without a look."""

    id: _Index
    parents: list[_Node]
    left_children: list[_Node]
    right_children: list[_Node]
    split_indices: list[_Index]
    split_conditions: list[float]
    split_type: list[_Index]
    tree_param: dict[str, str]


class _Trees(msgspec.Struct):
    trees: list[_Tree]
    tree_info: list[_Index]
    iteration_indptr: list[_Index]
    gbtree_model_param: dict[str, str]


class _Boosting(msgspec.Struct):
    name: str
    model: _Trees


class _Learner(msgspec.Struct):
    learner_model_param: dict[str, str]
    gradient_booster: _Boosting


class _Document(msgspec.Struct):
    version: tuple[_Index, _Index, _Index]
    learner: _Learner


class Booster:
    """Boosted trees that only predict. May be used from several threads.

    Parameters
    ----------
    native : xgboost.Booster
        Loaded and set up; it must not be changed any more.
    features, outputs : int
        Columns in and out.
    """

    def __init__(self, native: xgboost.Booster, features: int, outputs: int) -> None:
        self._native = native
        self.features = features
        self.outputs = outputs

    def predict(self, features: Float32Array, *, transformed: bool = False) -> Float32Array:
        """Predict a batch; each row's result is the same to the last bit whatever the others are.

        Parameters
        ----------
        features : ndarray, shape (n, d), float32
            NaN is unknown and takes each tree's own way for it; infinity is a very large number.
        transformed : bool
            Whether the objective's link is applied (softmax for `multi:softprob`); else margins, the sums of the trees.

        Returns
        -------
        ndarray, shape (n, k), float32

        Raises
        ------
        ValueError
            `features` has another shape.
        """
        if features.ndim != 2 or features.shape[1] != self.features:
            raise ValueError(f"features must have shape (n, {self.features}); got {features.shape}")
        if features.shape[0] == 0:
            return np.empty((0, self.outputs), dtype=np.float32)
        found: Float32Array = self._native.inplace_predict(
            np.ascontiguousarray(features, dtype=np.float32),
            predict_type="value" if transformed else "margin",
            missing=np.nan,
            strict_shape=True,
        )
        return found


def load_booster(data: bytes, *, features: int, outputs: int, path: str = "booster") -> Booster:
    """Check and load boosted trees.

    Parameters
    ----------
    data : bytes
        XGBoost's JSON, as `save_booster` gives it.
    features, outputs : int
        Columns that the caller has, and wants.
    path : str
        Where the data come from, for the error.

    Raises
    ------
    ModelError
        The data are not trees, not of this shape, damaged, of a newer XGBoost than the one that is installed, or
        there is none; the text names what was expected and what was found.
    """
    document = _parse(data, path)
    _check_shape(document, features, outputs, path)
    _check_trees(document.learner.gradient_booster.model, features, outputs, path)
    library = import_xgboost()
    installed = tuple(int(part) for part in library.__version__.split(".")[:2])
    if document.version[:2] > installed:
        # Up to 3.0 it reads the intercepts that 3.1 and later write as something else, without an error.
        raise ModelError(
            path,
            f"expected a model of XGBoost {library.__version__} or older, found one of"
            f" {'.'.join(map(str, document.version))}: update the library",
        )
    try:
        native = library.Booster(params={**_PARAMETERS, "num_feature": features})
        # Asked for its settings the library takes them up; else it would load with as many threads as there are cores.
        native.save_config()
        native.load_model(bytearray(data))
        booster = Booster(native, features, outputs)
        # The first prediction sets the library up; after it, predictions are safe in any thread.
        shape = booster.predict(np.full((1, features), np.nan, dtype=np.float32)).shape
    except (ValueError, TypeError) as error:
        raise ModelError(
            path, f"expected trees that XGBoost can load, found: {_first_line(error)}"
        ) from error
    if shape != (1, outputs):
        raise ModelError(path, f"expected {outputs} outputs a row, found {shape[1:]}")
    return booster


def save_booster(native: xgboost.Booster) -> bytes:
    """The JSON of a trained booster: with early stopping, of its rounds up to the best one.

    The same training gives the same bytes: the library writes keys in order and the shortest digits that keep a float32.
    """
    best = native.attr("best_iteration")
    kept = native if best is None else native[: int(best) + 1]
    return bytes(kept.save_raw("json"))


def import_xgboost() -> ModuleType:
    """Import XGBoost; ModelError that says what to install where there is none, or more than one build."""
    builds = [name for name in BUILDS if is_installed(name)]
    if len(builds) > 1:
        raise ModelError(
            "xgboost",
            f"expected one build, found {' and '.join(builds)}, which overwrite each other's files:"
            f" pip uninstall {' '.join(builds)}, then pip install xgboost-cpu",
        )
    try:
        with warnings.catch_warnings():
            # It advises of old C libraries; those are the administrator's business and not an operator's.
            warnings.simplefilter("ignore")
            import xgboost
    except (ImportError, OSError, ValueError) as error:
        raise ModelError(
            "xgboost",
            "expected the library XGBoost, found none that can be imported"
            f" ({_first_line(error)}): pip install xgboost-cpu on Linux, pip install xgboost elsewhere",
        ) from error
    return xgboost


def is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _parse(data: bytes, path: str) -> _Document:
    try:
        return msgspec.json.decode(data, type=_Document)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            path, f"expected the JSON of XGBoost's trees, found {len(data)} bytes: {error}"
        ) from error


def _check_shape(document: _Document, features: int, outputs: int, path: str) -> None:
    learner = document.learner
    if learner.gradient_booster.name != "gbtree":
        raise ModelError(path, f"expected a booster gbtree, found {learner.gradient_booster.name!r}")
    parameters = learner.learner_model_param
    columns = _number(parameters, "num_feature", path)
    if columns != features:
        raise ModelError(path, f"expected {features} features, found {columns}")
    wide = max(1, _number(parameters, "num_class", path), _number(parameters, "num_target", path))
    if wide != outputs:
        raise ModelError(path, f"expected {outputs} outputs, found {wide}")


def _check_trees(model: _Trees, features: int, outputs: int, path: str) -> None:
    """Refuse trees in which a row could leave the arrays, or walk in a circle."""
    count = _number(model.gbtree_model_param, "num_trees", path)
    if not len(model.trees) == len(model.tree_info) == count:
        raise ModelError(
            path, f"expected {count} trees, found {len(model.trees)} for {len(model.tree_info)} outputs"
        )
    if count == 0:
        raise ModelError(path, "expected trees, found none")
    rounds = model.iteration_indptr
    if not rounds or [rounds[0], rounds[-1]] != [0, count] or rounds != sorted(rounds):
        raise ModelError(
            path, f"expected rounds from tree 0 to tree {count}, found {rounds[:1]} to {rounds[-1:]}"
        )
    if max(model.tree_info) >= outputs:
        raise ModelError(
            path, f"expected trees for outputs below {outputs}, found one for {max(model.tree_info)}"
        )
    for number, tree in enumerate(model.trees):
        nodes = _number(tree.tree_param, "num_nodes", path)
        lengths = {
            len(array)
            for array in (
                tree.parents,
                tree.left_children,
                tree.right_children,
                tree.split_indices,
                tree.split_conditions,
            )
        }
        if lengths != {nodes} or nodes == 0:
            raise ModelError(path, f"expected {nodes} nodes in tree {number}, found {sorted(lengths)}")
        if _number(tree.tree_param, "size_leaf_vector", path) > 1 or any(tree.split_type):
            raise ModelError(
                path, f"expected numeric splits and single leaves, found others in tree {number}"
            )
        if tree.id != number or not _is_sound(tree, features):
            raise ModelError(path, f"expected nodes and features in range, found others in tree {number}")


def _is_sound(tree: _Tree, features: int) -> bool:
    """Whether every way down from the root ends in a leaf, and asks for columns that are there."""
    left, right, parent, column = (
        np.array(nodes, dtype=np.int64)
        for nodes in (tree.left_children, tree.right_children, tree.parents, tree.split_indices)
    )
    inner = np.flatnonzero(left >= 0)
    if not np.array_equal(inner, np.flatnonzero(right >= 0)):
        return False
    children = np.concatenate((left[inner], right[inner]))
    if children.max(initial=0) >= left.size or (parent[1:] < 0).any() or (parent[1:] >= left.size).any():
        return False
    # Where nodes have one parent and the root has none, no circle hangs on the root.
    if parent[0] != _NO_PARENT or np.unique(children).size != children.size:
        return False
    return bool((parent[children] == np.tile(inner, 2)).all() and (column[inner] < features).all())


def _number(parameters: dict[str, str], name: str, path: str) -> int:
    text = parameters.get(name, "")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ModelError(path, f"expected a number for {name}, found {text!r}")
    return int(text)


def _first_line(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return _ORIGIN.sub("", text)[:300]
