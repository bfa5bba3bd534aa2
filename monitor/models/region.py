"""The learned regions: a fully convolutional network with its temperatures and its known territory, as one model.

Lone windows go through the network as the paper has it, padded with zeros. Windows in a row with real data around them
share everything but their means: each cell is computed once, whatever number of windows it is in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from monitor.errors import ModelError
from monitor.models.base import bundled, open_model
from monitor.models.card import ModelInfo, SchemaRecord
from monitor.models.onnx import Port, Session, load_session
from monitor.science.mahalanobis import ClassDistances
from monitor.science.region import running_mean, tempered
from monitor.types import (
    CELL_NS,
    CONTEXT_CELLS,
    REGIONS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    BoolArray,
    Float32Array,
    FloatArray,
    Json,
    RealArray,
)

logger = logging.getLogger(__name__)

KIND: Final = "region"
NAME: Final = "region"
"""Of the bundled model's folder."""
FORMAT: Final = 1
NETWORK, WEIGHTS, PARAMETERS, NOVELTY = "network.onnx", "weights.npz", "parameters.json", "novelty.npz"
SCHEMA: Final = SchemaRecord.of(
    "region-cells",
    {
        "version": 1,
        "names": list(VARIABLES),
        "units": "nT, cm-3, km/s, eV; vectors in GSE",
        "cell_ns": CELL_NS,
        "window_cells": WINDOW_CELLS,
        "context_cells": list(CONTEXT_CELLS),
    },
)
"""What the network looks at."""

# Of one call: more would not be quicker, and memory stays at some tens of megabytes.
_WINDOWS_AT_ONCE = 64
_CELLS_AT_ONCE = 2048
# The runtime takes logarithms so many at a time, and those that are left over by another formula: with no cell left
# over, a window has the same numbers to the last digit in whatever stretch it comes (40 cells leave none either).
_CELLS_TOGETHER = 16
_INPUTS = {"values": Port("tensor(float)", (None, None, len(VARIABLES))), "padded": Port("tensor(int64)", ())}


@dataclass(frozen=True, slots=True)
class PerForm:
    """One number for each form of the network, for windows with all variables and with some missing."""

    isolated_complete: float
    isolated_masked: float
    context_complete: float
    context_masked: float

    def __post_init__(self) -> None:
        """Refuse what nothing can be measured by."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, int | float) and np.isfinite(value) and value > 0.0):
                raise ValueError(f"{field.name} must be a positive number, found {value!r}")

    def of(self, *, context: bool, masked: BoolArray) -> FloatArray:
        """That of each window of one form."""
        complete, lacking = (
            (self.context_complete, self.context_masked)
            if context
            else (self.isolated_complete, self.isolated_masked)
        )
        return np.where(masked, lacking, complete)

    def to_json(self) -> Json:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class RegionParameters:
    """Everything of the model that is not an array.

    Attributes
    ----------
    mode : 'log' or 'linear'
        How the network takes the variables; for people, the network does it itself.
    temperatures : PerForm
        That the logits are divided by.
    distance_limits : PerForm
        Mahalanobis distance from which on a window is unlike those of training.
    """

    mode: Literal["log", "linear"]
    temperatures: PerForm
    distance_limits: PerForm

    def to_json(self) -> Json:
        """For `parameters.json`."""
        return {
            "format": FORMAT,
            "variables": list(VARIABLES),
            "regions": list(REGIONS),
            "mode": self.mode,
            "temperatures": self.temperatures.to_json(),
            "distance_limits": self.distance_limits.to_json(),
        }

    @classmethod
    def from_json(cls, document: Json) -> RegionParameters:
        """Take up what `to_json` gave; ValueError names what is not as it should be."""
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else type(document).__name__
            raise ValueError(f"expected format {FORMAT}, found {found!r}")
        for name, wanted in (("variables", list(VARIABLES)), ("regions", list(REGIONS))):
            if document.get(name) != wanted:
                raise ValueError(f"expected the {name} {', '.join(wanted)}, found {document.get(name)!r}")
        mode = document.get("mode")
        if mode not in ("log", "linear"):
            raise ValueError(f"mode must be log or linear, found {mode!r}")
        try:
            return cls(
                mode=mode,
                temperatures=PerForm(**document["temperatures"]),
                distance_limits=PerForm(**document["distance_limits"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"a value is missing or of the wrong kind: {error}") from error


@dataclass(frozen=True, slots=True)
class RegionOutput:
    """What the model says of w windows each of n stretches.

    Attributes
    ----------
    probability : ndarray, shape (n, w, 10)
        Calibrated, in the order of `REGIONS`.
    logits : ndarray, shape (n, w, 10)
    scores : ndarray, shape (n, cells, 10), float32
        Dense weights on each cell's features, without the bias; window i has cells i to i + `WINDOW_CELLS`.
    features : ndarray, shape (n, w, f), float32
        Of the last convolution, their means over the windows.
    novel : ndarray, shape (n, w), bool
    distance : ndarray, shape (n, w)
        Over its limit: above 1 is novel.
    """

    probability: FloatArray
    logits: FloatArray
    scores: Float32Array
    features: Float32Array
    novel: BoolArray
    distance: FloatArray


class RegionModel:
    """The network with all that was fitted around it. Every window is judged for itself.

    Parameters
    ----------
    info : ModelInfo
    parameters : RegionParameters
    session : Session
        Of `network_session`.
    bias : ndarray, shape (10,)
        Of the dense layer.
    distances : ClassDistances
    """

    def __init__(
        self,
        info: ModelInfo,
        parameters: RegionParameters,
        session: Session,
        bias: FloatArray,
        distances: ClassDistances,
    ) -> None:
        self.info = info
        self.parameters = parameters
        self._session = session
        self._bias = bias
        self._distances = distances

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> RegionModel:
        """Read and check a model; ModelError where it cannot be used."""
        opened = open_model(folder, KIND)
        opened.card.require_schema(SCHEMA.sha256, opened.path("card.json"))
        try:
            parameters = RegionParameters.from_json(opened.document(PARAMETERS))
        except ValueError as error:
            raise ModelError(opened.path(PARAMETERS), str(error)) from error
        try:
            distances = ClassDistances.from_arrays(opened.arrays(NOVELTY))
        except ValueError as error:
            raise ModelError(opened.path(NOVELTY), str(error)) from error
        count = distances.mean.shape[1]
        if distances.mean.shape[0] != len(REGIONS):
            raise ModelError(
                opened.path(NOVELTY),
                f"expected means of {len(REGIONS)} classes, found {distances.mean.shape[0]}",
            )
        session = network_session(opened.read(NETWORK), count, opened.path(NETWORK), threads)
        return cls(opened.info, parameters, session, network_bias(session), distances)

    def windows(self, values: RealArray) -> RegionOutput:
        """Lone windows.

        Parameters
        ----------
        values : ndarray, shape (n, WINDOW_CELLS, 12)
            In the order of `VARIABLES`, with their units; NaN is missing.

        Returns
        -------
        RegionOutput
            One window each: w is 1.
        """
        _check_shape(values, WINDOW_CELLS, longest=WINDOW_CELLS)
        found = [self._run(part, padded=1) for part in _parts(values)]
        scores = _joined(found, "scores", (0, WINDOW_CELLS, len(REGIONS)))
        features = _joined(found, "features", (0, WINDOW_CELLS, self._distances.mean.shape[1]))
        return self._output(
            scores,
            scores.mean(axis=1, keepdims=True, dtype=np.float64),
            features.mean(axis=1, keepdims=True, dtype=np.float64),
            _lacking(values, WINDOW_CELLS),
            context=False,
        )

    def stretches(self, values: RealArray) -> RegionOutput:
        """All windows of stretches with real context, one window a cell.

        Parameters
        ----------
        values : ndarray, shape (n, t, 12)
            At least `SUPPORT_CELLS` cells; the first `CONTEXT_CELLS[0]` and the last `CONTEXT_CELLS[1]` are context.

        Returns
        -------
        RegionOutput
            w is t - `SUPPORT_CELLS` + 1, and there are w + `WINDOW_CELLS` - 1 cells of scores.
        """
        _check_shape(values, SUPPORT_CELLS)
        count, windows = values.shape[0], values.shape[1] - SUPPORT_CELLS + 1
        scores = np.empty((count, windows + WINDOW_CELLS - 1, len(REGIONS)), dtype=np.float32)
        mean_scores = np.empty((count, windows, len(REGIONS)))
        features = np.empty((count, windows, self._distances.mean.shape[1]), dtype=np.float32)
        at_once = max(1, _CELLS_AT_ONCE // min(values.shape[1], _CELLS_AT_ONCE))
        for first in range(0, count, at_once):
            rows = slice(first, first + at_once)
            for begin in range(0, windows, _CELLS_AT_ONCE - SUPPORT_CELLS + 1):
                end = min(begin + _CELLS_AT_ONCE - SUPPORT_CELLS + 1, windows)
                found = self._run(_filled_up(values[rows, begin : end + SUPPORT_CELLS - 1]), padded=0)
                cells = slice(0, end - begin + WINDOW_CELLS - 1)
                scores[rows, begin : end + WINDOW_CELLS - 1] = found["scores"][:, cells]
                mean_scores[rows, begin:end] = running_mean(found["scores"][:, cells])
                features[rows, begin:end] = running_mean(found["features"][:, cells])
        return self._output(scores, mean_scores, features, _lacking(values, SUPPORT_CELLS), context=True)

    def _run(self, values: RealArray, *, padded: int) -> dict[str, npt.NDArray[Any]]:
        single = np.ascontiguousarray(values, dtype=np.float32)
        return self._session.run(values=single, padded=np.array(padded, dtype=np.int64))

    def _output(
        self,
        scores: Float32Array,
        mean_scores: FloatArray,
        features: RealArray,
        masked: BoolArray,
        *,
        context: bool,
    ) -> RegionOutput:
        logits = mean_scores + self._bias
        temperature = self.parameters.temperatures.of(context=context, masked=masked)
        single = features.astype(np.float32, copy=False)
        distance = self._distances.distance(single.reshape(-1, single.shape[-1])).reshape(masked.shape)
        relative = distance / self.parameters.distance_limits.of(context=context, masked=masked)
        return RegionOutput(
            probability=tempered(logits, temperature[..., None]),
            logits=logits,
            scores=scores,
            features=single,
            novel=relative > 1.0,
            distance=relative,
        )


def network_session(data: bytes, features: int, path: str, threads: int = 1) -> Session:
    """The session of a network with so many features; ModelError where it is something else."""
    outputs = {
        "scores": Port("tensor(float)", (None, None, len(REGIONS))),
        "features": Port("tensor(float)", (None, None, features)),
        "logits": Port("tensor(float)", (None, len(REGIONS))),
    }
    return load_session(data, inputs=_INPUTS, outputs=outputs, path=path, threads=threads)


def load_region(choice: str) -> RegionModel | None:
    """The model that the configuration chooses; None where there is to be none.

    Parameters
    ----------
    choice : str
        `auto`: the bundled model. `none`: none. Else the folder of a model.

    Raises
    ------
    ModelError
        The folder holds no model that can be used.
    """
    if choice == "none":
        return None
    return _bundled() if choice == "auto" else RegionModel.load(Path(choice))


@lru_cache(maxsize=1)
def _bundled() -> RegionModel | None:
    try:
        folder = bundled(NAME)
    except ModelError as error:
        logger.warning("%s: there are no regions", error)
        return None
    return RegionModel.load(folder)


def network_bias(session: Session) -> FloatArray:
    """The dense layer's bias, from a window of which nothing is known."""
    nothing = np.full((1, WINDOW_CELLS, len(VARIABLES)), np.nan, dtype=np.float32)
    found = session.run(values=nothing, padded=np.array(1, dtype=np.int64))
    bias: FloatArray = found["logits"][0].astype(np.float64) - found["scores"][0].mean(
        axis=0, dtype=np.float64
    )
    return bias


def _lacking(values: RealArray, cells: int) -> BoolArray:
    """Which windows (n, w), one a cell, have anything missing in so many cells."""
    missing = np.isnan(values).any(axis=2, keepdims=True)
    found: BoolArray = running_mean(np.asarray(missing, dtype=np.float64), cells)[..., 0] > 0.0
    return found


def _check_shape(values: RealArray, fewest: int, longest: int | None = None) -> None:
    cells = values.shape[1] if values.ndim == 3 else 0
    if values.ndim != 3 or values.shape[2] != len(VARIABLES) or not fewest <= cells <= (longest or cells):
        wanted = fewest if longest == fewest else f"{fewest} or more"
        raise ValueError(f"values must have shape (n, {wanted}, {len(VARIABLES)}), got {values.shape}")


def _filled_up(values: RealArray) -> RealArray:
    """Stretches (n, t, 12) with cells of nothing after them, up to whole lots of `_CELLS_TOGETHER`."""
    more = -values.shape[1] % _CELLS_TOGETHER
    return np.pad(values, ((0, 0), (0, more), (0, 0)), constant_values=np.nan)


def _parts(values: RealArray) -> Iterator[RealArray]:
    for start in range(0, values.shape[0], _WINDOWS_AT_ONCE):
        yield values[start : start + _WINDOWS_AT_ONCE]


def _joined(found: list[dict[str, npt.NDArray[Any]]], name: str, nothing: tuple[int, ...]) -> Float32Array:
    return np.concatenate([np.empty(nothing, dtype=np.float32), *(one[name] for one in found)])
