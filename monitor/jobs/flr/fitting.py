"""Fitting the boosters: the classifier, the chooser among candidates, its corrector, and the difficulty of a reading."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.jobs.flr.examples import SCHEMA, Examples
from monitor.models.choosing import CORRECTED_REACH, Chosen, choose
from monitor.models.flr import Mode
from monitor.models.xgb import Booster, import_xgboost
from monitor.science.candidates import NAMES as CANDIDATE_NAMES
from monitor.science.candidates import FrequencyCandidates
from monitor.science.features import FeatureSchema
from monitor.types import BoolArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    import xgboost

_CHOSEN_REACH: Final = 0.1
"""Distance in ln f of a candidate from the truth up to which it is the right one."""
_BLANKED: Final = 0.2
"""Share of the training rows whose power is made unknown."""
_SMALLEST_ERROR: Final = 1e-3
_HUBER_SLOPE: Final = 0.03


@dataclass(frozen=True, slots=True)
class Hyper:
    """Hyper-parameters of one booster, by XGBoost's own names; `rounds` is the most, early stopping finds the best."""

    max_depth: int = 6
    eta: float = 0.1
    min_child_weight: float = 5.0
    subsample: float = 0.8
    colsample_bytree: float = 0.5
    max_bin: int = 64
    rounds: int = 400
    patience: int = 25


CLASSIFIER_HYPER: Final = Hyper()
CHOOSER_HYPER: Final = Hyper(eta=0.15, rounds=160)
CORRECTOR_HYPER: Final = Hyper(eta=0.12, min_child_weight=8.0, rounds=200)
DIFFICULTY_HYPER: Final = Hyper(max_depth=4, eta=0.1, min_child_weight=20.0, rounds=120, patience=15)

SPACE: Final[dict[str, tuple[float, ...]]] = {
    "max_depth": (5, 6, 7, 8),
    "eta": (0.07, 0.1, 0.15),
    "min_child_weight": (2.0, 5.0, 12.0),
    "colsample_bytree": (0.3, 0.5, 0.7),
}
"""What the search of the classifier's hyper-parameters draws from."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One try of the search: what was tried, and the log loss on validation."""

    hyper: Hyper
    loss: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to learn from: features, targets, weights."""

    features: Float32Array
    target: FloatArray
    weight: FloatArray

    def rows(self, chosen: BoolArray | IntArray) -> Table:
        """Some of them."""
        return Table(self.features[chosen], self.target[chosen], self.weight[chosen])


def columns(schema: FeatureSchema) -> IntArray:
    """Columns of the full schema that a schema of fewer groups has."""
    place = {name: index for index, name in enumerate(SCHEMA.names)}
    return np.array([place[name] for name in schema.names], dtype=np.int64)


def classifier_table(
    examples: Examples,
    schema: FeatureSchema,
    mode: Mode,
    class_weight: tuple[float, ...],
    *,
    blank_seed: int | None = None,
) -> Table:
    """Windows with a label that a model may be asked about, with the weights of their classes.

    With `blank_seed` some windows lose the power of their stations: a model shall not lean on what tables do not have
    and what differs most from one instrument, or one simulation, to the next.
    """
    rows = np.flatnonzero(examples.usable & (examples.label >= 0))
    label = examples.label[rows]
    weight = np.asarray(class_weight)[label]
    target = np.where(label == 2, 0, label) if mode == "binary" else label
    features = examples.features[rows][:, columns(schema)]
    if blank_seed is not None:
        blank_power(features, schema.names, blank_seed)
    return Table(features, target.astype(np.float64), weight)


def blank_power(features: Float32Array, names: tuple[str, ...], seed: int) -> None:
    """Make the power unknown in a share of the rows, in place."""
    power = np.array([name.startswith("power_") for name in names])
    rows = np.random.default_rng(seed).random(features.shape[0]) < _BLANKED
    features[np.logical_and.outer(rows, power)] = np.nan


def fit_classifier(
    training: Table, validation: Table, mode: Mode, hyper: Hyper, *, seed: int, threads: int
) -> tuple[xgboost.Booster, Trial]:
    """Boosted trees with soft-max outputs, stopped early on the log loss of the validation windows."""
    objective = {
        "objective": "multi:softprob",
        "num_class": 3 if mode == "multiclass" else 2,
        "eval_metric": "mlogloss",
    }
    return _fit(objective, training, validation, hyper, seed=seed, threads=threads)


def search_classifier(
    training: Table,
    validation: Table,
    mode: Mode,
    *,
    tries: int,
    seed: int,
    threads: int,
    told: Callable[[Trial], None] = lambda _trial: None,
) -> list[Trial]:
    """Try random hyper-parameters, each once, on a third of the rows with fewer rounds; the best first.

    The first try is always the default. Rows are thinned evenly, which keeps whole runs of neighbouring windows apart
    from nothing: validation shares no case with training.
    """
    rng = np.random.default_rng(seed)
    grid = list(itertools.product(*SPACE.values()))
    rng.shuffle(grid)
    thin = training.rows(np.arange(0, training.target.size, 3))
    trials = []
    hypers = [CLASSIFIER_HYPER, *(_hyper(values) for values in grid)]
    for hyper in hypers[:tries]:
        quick = replace(hyper, rounds=150, patience=15)
        _, trial = fit_classifier(thin, validation, mode, quick, seed=seed, threads=threads)
        trials.append(replace(trial, hyper=hyper))
        told(trials[-1])
    return sorted(trials, key=lambda trial: trial.loss)


def _hyper(values: tuple[float, ...]) -> Hyper:
    """One point of the search space."""
    drawn: dict[str, Any] = dict(zip(SPACE, values, strict=True))
    return replace(CLASSIFIER_HYPER, **drawn | {"max_depth": int(drawn["max_depth"])})


def fit_chooser(
    training: Examples, validation: Examples, hyper: Hyper, *, seed: int, threads: int
) -> tuple[xgboost.Booster, Trial]:
    """Trees that tell whether a candidate is the resonance (within a tenth of ln f)."""
    objective = {"objective": "binary:logistic", "eval_metric": "logloss"}
    tables = []
    for examples in (training, validation):
        features, error = _candidates(examples, None)
        right = (np.abs(error) < _CHOSEN_REACH).astype(np.float64)
        tables.append(Table(features, right, np.ones(right.size)))
    blank_power(tables[0].features, CANDIDATE_NAMES, seed)
    return _fit(objective, tables[0], tables[1], hyper, seed=seed, threads=threads)


def fit_corrector(
    training: Examples, validation: Examples, hyper: Hyper, *, seed: int, threads: int
) -> tuple[xgboost.Booster, Trial]:
    """Trees that tell by how much ln f of a candidate near the resonance must be moved."""
    objective = {
        "objective": "reg:pseudohubererror",
        "huber_slope": _HUBER_SLOPE,
        "base_score": 0.0,
        "eval_metric": "mae",
    }
    tables = []
    for examples in (training, validation):
        features, error = _candidates(examples, CORRECTED_REACH)
        tables.append(Table(features, -error, np.ones(error.size)))
    blank_power(tables[0].features, CANDIDATE_NAMES, seed)
    return _fit(objective, tables[0], tables[1], hyper, seed=seed, threads=threads)


def fit_difficulty(
    examples: Examples, chooser: Booster, corrector: Booster, hyper: Hyper, *, seed: int, threads: int
) -> tuple[xgboost.Booster, Trial]:
    """Trees that tell ln |error| of a reading, from windows that chooser and corrector did not learn from.

    Every fourth sequence stops the fit early.
    """
    chosen = chosen_readings(examples, chooser, corrector)
    found = np.isfinite(chosen.frequency_Hz)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(np.log(chosen.frequency_Hz / examples.truth_Hz))
    table = Table(
        chosen.features[found], np.log(np.maximum(error[found], _SMALLEST_ERROR)), np.ones(int(found.sum()))
    )
    _, place = np.unique(examples.sequence[examples.owner[found]], return_inverse=True)
    held = place % 4 == 0
    objective = {"objective": "reg:squarederror", "eval_metric": "rmse"}
    return _fit(objective, table.rows(~held), table.rows(held), hyper, seed=seed, threads=threads)


def chosen_readings(examples: Examples, chooser: Booster, corrector: Booster) -> Chosen:
    """What chooser and corrector read from the examples that have a true frequency."""
    candidates = FrequencyCandidates(examples.candidate_Hz, examples.valid, examples.candidate_features)
    return choose(candidates, chooser, corrector)


def hyper_json(hyper: Hyper, trial: Trial) -> dict[str, Any]:
    """Hyper-parameters as the model card has them, with what early stopping made of them."""
    return asdict(hyper) | {"best_rounds": trial.rounds, "validation_loss": round(trial.loss, 5)}


def _candidates(examples: Examples, reach: float | None) -> tuple[Float32Array, FloatArray]:
    """Features of all valid candidates, and their error in ln f; with a reach, only of those nearer to the truth."""
    with np.errstate(divide="ignore"):
        error = np.log(examples.candidate_Hz / examples.truth_Hz[:, None])
    chosen = examples.valid & np.isfinite(error)
    if reach is not None:
        chosen &= np.abs(error) < reach
    return examples.candidate_features[chosen], error[chosen]


def _fit(
    objective: dict[str, Any], training: Table, validation: Table, hyper: Hyper, *, seed: int, threads: int
) -> tuple[xgboost.Booster, Trial]:
    library = import_xgboost()
    parameters = objective | {
        "max_depth": hyper.max_depth,
        "eta": hyper.eta,
        "min_child_weight": hyper.min_child_weight,
        "subsample": hyper.subsample,
        "colsample_bytree": hyper.colsample_bytree,
        "max_bin": hyper.max_bin,
        "tree_method": "hist",
        "seed": seed,
        "nthread": threads,
        "verbosity": 0,
    }
    data = library.QuantileDMatrix(
        training.features, training.target, weight=training.weight, max_bin=hyper.max_bin, nthread=threads
    )
    held = library.QuantileDMatrix(
        validation.features,
        validation.target,
        weight=validation.weight,
        ref=data,
        max_bin=hyper.max_bin,
        nthread=threads,
    )
    fitted = library.train(
        parameters,
        data,
        hyper.rounds,
        evals=[(held, "validation")],
        early_stopping_rounds=hyper.patience,
        verbose_eval=False,
    )
    return fitted, Trial(hyper, float(fitted.best_score), int(fitted.best_iteration) + 1)
