"""The two learned stages of the field line resonance chain, with everything that was fitted around them.

Stage one is a classifier with calibrated probabilities, a moving threshold and a watch for spectra unlike those of training.
Stage two reads the frequency: one booster chooses among the candidates of a spectrum, one corrects the chosen, one tells
how hard the reading is, and conformal margins turn that into an interval. A spectrum is read as it is, and reversed
(Foldes et al. 2023, doi:10.1007/s12210-023-01188-9), as far as its classes are likely.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np

from monitor.errors import ModelError
from monitor.models.base import bundled, open_model
from monitor.models.card import ModelCard, ModelInfo, SchemaRecord
from monitor.models.choosing import DIFFICULTY_FEATURES, Chosen, Scorer, choose, towards_physics
from monitor.models.xgb import load_booster
from monitor.science.calibration import Calibration
from monitor.science.candidates import NAMES as CANDIDATE_NAMES
from monitor.science.candidates import frequency_candidates
from monitor.science.conformal import Conformal
from monitor.science.features import FeatureSchema, PairSpectra, ScaledSpectra, window_features
from monitor.science.novelty import Novelty
from monitor.science.skill import normalised
from monitor.science.thresholds import decide
from monitor.science.tracker_parameters import TrackerParameters
from monitor.types import BoolArray, Float32Array, FloatArray, IntArray, Json

logger = logging.getLogger(__name__)

KIND: Final = "flr"
FORMAT: Final = 1
CLASSIFIER, CHOOSER, CORRECTOR, DIFFICULTY = (
    "classifier.json",
    "chooser.json",
    "corrector.json",
    "difficulty.json",
)
PARAMETERS, NOVELTY = "parameters.json", "novelty.npz"
LIKELY: Final = 0.02
"""Probability of a class from which on its reading is taken."""

Mode = Literal["multiclass", "binary"]


@dataclass(frozen=True, slots=True)
class SpectralSettings:
    """What spectra a model was trained on: others mean something else to it."""

    window_s: float = 7200.0
    smoothing_bins: int = 11
    minimum_frequency_mHz: float = 1.0
    maximum_frequency_mHz: float = 100.0


@dataclass(frozen=True, slots=True)
class FlrParameters:
    """Everything of the model that is not a booster or an array.

    Attributes
    ----------
    mode : 'multiclass' or 'binary'
        Binary counts PBL as NoFreq: its probability is 0.
    schema : FeatureSchema
    spectra : SpectralSettings
    calibration : Calibration
        Of the classifier's margins (two columns in binary mode).
    weights : tuple of float, length 3
        The moving threshold of stage one.
    tracker : TrackerParameters
    track_weights : tuple of float, length 3
        The moving threshold of the tracker's posterior.
    conformal : Conformal
    """

    mode: Mode
    schema: FeatureSchema
    spectra: SpectralSettings
    calibration: Calibration
    weights: tuple[float, float, float]
    tracker: TrackerParameters
    track_weights: tuple[float, float, float]
    conformal: Conformal

    def __post_init__(self) -> None:
        """Refuse what could not be asked later."""
        classes, calibrated = class_count(self.mode), len(self.calibration.scale)
        if calibrated != classes:
            raise ValueError(f"expected a calibration of {classes} classes ({self.mode}), found {calibrated}")
        normalised("weights", self.weights, 3)
        normalised("track_weights", self.track_weights, 3)

    def to_json(self) -> Json:
        """For `parameters.json`."""
        return {
            "format": FORMAT,
            "mode": self.mode,
            "groups": list(self.schema.groups),
            "spectra": {name: getattr(self.spectra, name) for name in SpectralSettings.__slots__},
            "calibration": self.calibration.to_json(),
            "weights": list(self.weights),
            "tracker": self.tracker.to_json(),
            "track_weights": list(self.track_weights),
            "conformal": self.conformal.to_json(),
        }

    @classmethod
    def from_json(cls, document: Json) -> FlrParameters:
        """Take up what `to_json` gave; ValueError names what is not as it should be."""
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else type(document).__name__
            raise ValueError(f"expected format {FORMAT}, found {found!r}")
        try:
            mode = document["mode"]
            if mode not in ("multiclass", "binary"):
                raise ValueError(f"mode must be multiclass or binary, found {mode!r}")
            return cls(
                mode=mode,
                schema=FeatureSchema(tuple(document["groups"])),
                spectra=SpectralSettings(**document["spectra"]),
                calibration=Calibration.from_json(document["calibration"]),
                weights=_triple(document["weights"]),
                tracker=TrackerParameters.from_json(document["tracker"]),
                track_weights=_triple(document["track_weights"]),
                conformal=Conformal.from_json(document["conformal"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"a value is missing or of the wrong kind: {error}") from error


@dataclass(frozen=True, slots=True)
class Classified:
    """What stage one says of p spectra.

    Attributes
    ----------
    probability : ndarray, shape (p, 3)
        Calibrated, in the order of `types.CLASSES`.
    stage_one : ndarray, shape (p,), int64
        Class index after the moving threshold.
    novel : ndarray of bool, shape (p,)
        Unlike the spectra of training: probabilities and class are extrapolated.
    """

    probability: FloatArray
    stage_one: IntArray
    novel: BoolArray


@dataclass(frozen=True, slots=True)
class Readings:
    """Frequencies of p spectra with 90 % intervals, read as Freq and as PBL; NaN where nothing was read.

    Arrays of shape (p, 2); `score` is the chooser's confidence that the chosen candidate is right, `difficulty` the
    expected error of ln f.
    """

    frequency_Hz: FloatArray
    low_Hz: FloatArray
    high_Hz: FloatArray
    score: FloatArray
    difficulty: FloatArray


class FlrModel:
    """A loaded model: pure functions of spectra; safe to share between threads that only read.

    Raises
    ------
    ModelError
        In `load`, where a file is missing, was changed, or belongs to another feature schema or program.
    """

    def __init__(
        self,
        parameters: FlrParameters,
        boosters: Mapping[str, Scorer],
        novelty: Novelty,
        info: ModelInfo | None = None,
    ) -> None:
        self.parameters = parameters
        self.info = info
        self._classifier, self._chooser = boosters[CLASSIFIER], boosters[CHOOSER]
        self._corrector, self._difficulty = boosters[CORRECTOR], boosters[DIFFICULTY]
        self._novelty = novelty

    @classmethod
    def load(cls, folder: Path) -> FlrModel:
        """Load a model folder after checking every file against its card."""
        opened = open_model(folder, KIND)
        schema = card_schema(opened.card, folder)
        opened.card.require_schema(schema_record(schema).sha256, opened.path("card.json"))
        try:
            parameters = FlrParameters.from_json(opened.document(PARAMETERS))
        except ValueError as error:
            raise ModelError(opened.path(PARAMETERS), str(error)) from error
        if parameters.schema != schema:
            raise ModelError(
                opened.path(PARAMETERS),
                f"expected the feature groups {schema.groups} of the card, found {parameters.schema.groups}",
            )
        boosters = {
            name: load_booster(opened.read(name), features=rows, outputs=outputs, path=opened.path(name))
            for name, (rows, outputs) in booster_shapes(parameters).items()
        }
        try:
            novelty = Novelty.from_arrays(opened.arrays(NOVELTY))
        except ValueError as error:
            raise ModelError(opened.path(NOVELTY), str(error)) from error
        if novelty.centre.size != len(schema.names):
            raise ModelError(
                opened.path(NOVELTY),
                f"expected {len(schema.names)} features, as the card has, found {novelty.centre.size}",
            )
        return cls(parameters, boosters, novelty, opened.info)

    def with_parameters(self, parameters: FlrParameters) -> FlrModel:
        """The same boosters with other thresholds, tracker or margins; no longer the model of its card."""
        boosters = {
            CLASSIFIER: self._classifier,
            CHOOSER: self._chooser,
            CORRECTOR: self._corrector,
            DIFFICULTY: self._difficulty,
        }
        return FlrModel(parameters, boosters, self._novelty)

    def margins(self, features: Float32Array) -> Float32Array:
        """The classifier's margins before calibration, shape (p, k)."""
        return self._classifier.predict(features)

    def classify(self, spectra: PairSpectra, scaled: ScaledSpectra) -> Classified:
        """Stage one, for p pairs whose L is known."""
        features = window_features(spectra, scaled, self.parameters.schema)
        return self.classify_features(features)

    def classify_features(self, features: Float32Array) -> Classified:
        """Stage one from features that were made before, shape (p, d)."""
        if not features.shape[0]:
            none = np.zeros(0, dtype=np.int64)
            return Classified(np.zeros((0, 3)), none, np.zeros(0, dtype=np.bool_))
        margin = self.margins(features).astype(np.float64)
        probability = np.zeros((features.shape[0], 3))
        probability[:, : margin.shape[1]] = self.parameters.calibration.apply(margin)
        return Classified(
            probability=probability,
            stage_one=decide(probability, self.parameters.weights),
            novel=self._novelty.is_novel(features),
        )

    def likely(self, classified: Classified) -> BoolArray:
        """Which readings are worth taking, as Freq and as PBL, shape (p, 2)."""
        wanted = classified.probability[:, 1:] >= LIKELY
        for side in (0, 1):
            wanted[:, side] |= classified.stage_one == side + 1
        result: BoolArray = wanted & ~classified.novel[:, None]
        return result

    def read(self, spectra: PairSpectra, scaled: ScaledSpectra, wanted: BoolArray) -> Readings:
        """Stage two: the frequencies of p pairs, as Freq and as PBL where `wanted`, shape (p, 2)."""
        readings = Readings(*(np.full(wanted.shape, np.nan) for _ in range(5)))
        for side in (0, 1):
            rows = np.flatnonzero(wanted[:, side])
            if rows.size:
                chosen = self.choose(spectra.rows(rows), scaled.rows(rows), turned=side == 1)
                found = np.isfinite(chosen.frequency_Hz)
                self._write(readings, rows[found], side, chosen, found, spectra.l_shell[rows[found]])
        return readings

    def choose(self, spectra: PairSpectra, scaled: ScaledSpectra, *, turned: bool) -> Chosen:
        """The readings of spectra in one orientation, without intervals."""
        candidates = frequency_candidates(spectra, scaled, turned=turned)
        chosen = choose(candidates, self._chooser, self._corrector)
        return replace(chosen, frequency_Hz=towards_physics(chosen.frequency_Hz, spectra.seen, turned=turned))

    def difficulty(self, features: Float32Array) -> FloatArray:
        """Expected error of ln f of chosen readings (`Chosen.features`), shape (n,)."""
        return np.exp(np.clip(self._difficulty.predict(features)[:, 0].astype(np.float64), -8.0, 1.0))

    def _write(
        self,
        readings: Readings,
        rows: IntArray,
        side: int,
        chosen: Chosen,
        found: BoolArray,
        l_shell: FloatArray,
    ) -> None:
        """Put what was found into the table of readings."""
        if not rows.size:
            return
        frequency, difficulty = chosen.frequency_Hz[found], self.difficulty(chosen.features[found])
        side_class = np.full(rows.size, side + 1, dtype=np.int64)
        low, high = self.parameters.conformal.interval(frequency, difficulty, side_class, l_shell)
        readings.frequency_Hz[rows, side], readings.score[rows, side] = frequency, chosen.score[found]
        readings.low_Hz[rows, side], readings.high_Hz[rows, side] = low, high
        readings.difficulty[rows, side] = difficulty


def load_flr(choice: str, settings: SpectralSettings) -> FlrModel | None:
    """The model that the configuration chooses; None where the physical estimate is to be alone.

    Parameters
    ----------
    choice : str
        `auto`: the bundled model where it knows such spectra, else none, with a line in the log. `physical`: none.
        Else the folder of a model.
    settings : SpectralSettings
        What spectra the model will be shown.

    Raises
    ------
    ModelError
        The folder holds no model that can be used, or one for other spectra.
    """
    if choice == "physical":
        return None
    return fitting(_bundled() if choice == "auto" else FlrModel.load(Path(choice)), settings, choice)


def fitting(model: FlrModel, settings: SpectralSettings, choice: str) -> FlrModel | None:
    """The model where it knows such spectra; else None where the choice is `auto`, or ModelError."""
    trained = model.parameters.spectra
    if trained == settings:
        return model
    wrong = [
        f"{name} {getattr(trained, name):g} (here {getattr(settings, name):g})"
        for name in SpectralSettings.__slots__
        if getattr(trained, name) != getattr(settings, name)
    ]
    told = f"the model was trained on spectra with {', '.join(wrong)}"
    if choice == "auto":
        logger.warning("%s: the physical estimate is alone", told)
        return None
    raise ModelError(choice, f"{told}: set models.flr to physical, or train one with these settings")


@lru_cache(maxsize=1)
def _bundled() -> FlrModel:
    return FlrModel.load(bundled(KIND))


def schema_record(schema: FeatureSchema) -> SchemaRecord:
    """The schema of both stages as the card has it."""
    return SchemaRecord.of(
        f"flr-features/{schema.version}", schema.to_json() | {"candidate_names": list(CANDIDATE_NAMES)}
    )


def card_schema(card: ModelCard, folder: Path) -> FeatureSchema:
    """The groups of features that a card names, as this program makes them; ModelError where it does not know one."""
    groups = card.feature_schema.content.get("groups", ())
    try:
        return FeatureSchema(tuple(groups))
    except (TypeError, ValueError) as error:
        raise ModelError(str(folder), f"expected known feature groups, found {groups!r}: {error}") from error


def booster_shapes(parameters: FlrParameters) -> dict[str, tuple[int, int]]:
    """Columns in and out of every booster of a model."""
    return {
        CLASSIFIER: (len(parameters.schema.names), class_count(parameters.mode)),
        CHOOSER: (len(CANDIDATE_NAMES), 1),
        CORRECTOR: (len(CANDIDATE_NAMES), 1),
        DIFFICULTY: (DIFFICULTY_FEATURES, 1),
    }


def class_count(mode: Mode) -> int:
    """How many classes the classifier of a mode tells apart."""
    return 3 if mode == "multiclass" else 2


def _triple(values: Json) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
