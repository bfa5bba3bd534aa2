"""Training a whole model: boosters, then everything that is fitted around them on windows that they have not seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from monitor.jobs.flr import fitting
from monitor.jobs.flr.chain import CADENCE_NS, Judged, joined, judge, track
from monitor.jobs.flr.examples import Examples, SeenSpectra, examples_of, judgeable
from monitor.models.base import pack_arrays
from monitor.models.choosing import DIFFICULTY_FEATURES
from monitor.models.flr import (
    CHOOSER,
    CLASSIFIER,
    CORRECTOR,
    DIFFICULTY,
    NOVELTY,
    PARAMETERS,
    Classified,
    FlrModel,
    FlrParameters,
    Mode,
    SpectralSettings,
)
from monitor.models.xgb import Booster, load_booster, save_booster
from monitor.science.calibration import Calibration, fit_calibration
from monitor.science.candidates import NAMES as CANDIDATE_NAMES
from monitor.science.conformal import Conformal, Counting, Margin, ScoreKind, fit_conformal, normalised_scores
from monitor.science.features import FeatureSchema
from monitor.science.novelty import Novelty, fit_novelty
from monitor.science.skill import mcs, tss, without_pbl
from monitor.science.thresholds import ThresholdSearch, decide, moving_threshold
from monitor.science.tracker import pooled
from monitor.science.tracker_fit import LabelledRuns, fit_tracker
from monitor.science.tracker_parameters import TrackerParameters
from monitor.types import CLASSES, FloatArray, IntArray, Json

LARGEST_PASSED, LARGEST_FALSE_PBL = 0.03, 0.0016
"""Caps on the final decision: NoFreq passed on, and others called PBL at F23's class shares; below what is promised, for
another set of windows will scatter about them."""
F23_SHARES: Final = (0.3906, 0.6014, 0.0078)
"""NoFreq, Freq, PBL of TAR–BRZ by the ratios of Foldes et al. (2023): PBL/Freq 0.013, PBL/NoFreq 0.020."""
_EVIDENCE: Final = (0.35, 0.5, 0.7, 1.0)
"""Shares of its evidence that a window may be given by the tracker; the best score under the caps wins."""
_POOL = 0.5
_ROUNDS: Final = 2
"""The intervals depend on what is called rightly, and that on the tracker, which weighs readings by their intervals."""
_NOVELTY_COMPONENTS = 40
_NOVELTY_QUANTILE = 0.9995
_LEVEL = 0.9
_FITTED_LEVEL = 0.91
"""Level of the margins: a hundredth above what is promised, for windows will lie further out than those of calibration."""

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained.

    Attributes
    ----------
    mode : 'multiclass' or 'binary'
    groups : tuple of str
        Groups of features of the classifier.
    class_weight : tuple of float
        Weights of NoFreq, Freq, PBL in the classifier's loss.
    tries : int
        Of the search of hyper-parameters; 1 takes the defaults.
    seed, threads : int
    """

    mode: Mode = "multiclass"
    groups: tuple[str, ...] = FeatureSchema().groups
    class_weight: tuple[float, float, float] = (1.0, 1.0, 2.0)
    tries: int = 6
    seed: int = 20230910
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Material:
    """What a model is trained from: three parts that share no case (or no time).

    Attributes
    ----------
    training : Examples
        For the boosters.
    validation : Examples
        For early stopping and the search; the difficulty learns here.
    calibration : SeenSpectra
        For calibration, thresholds, tracker and intervals.
    """

    training: Examples
    validation: Examples
    calibration: SeenSpectra


@dataclass(frozen=True, slots=True)
class Trained:
    """A model with what its card and report tell of the training."""

    model: FlrModel
    contents: Mapping[str, bytes]
    hyper_parameters: Mapping[str, Any]
    search: str
    stage_one: ThresholdSearch
    final: ThresholdSearch
    judged: Judged = field(repr=False)


def train(material: Material, recipe: Recipe, told: Told = lambda _line: None) -> Trained:
    """Train a model.

    Raises
    ------
    ValueError
        Where a class has no windows in one of the parts (named), or no weights keep the caps.
    """
    _require_classes(material, recipe.mode)
    schema = FeatureSchema(recipe.groups)
    boosters, saved, hyper, search = _boosters(material, recipe, schema, told)
    told("novelty")
    novelty = _novelty(material.training, schema, recipe.seed)
    begun = FlrParameters(
        mode=recipe.mode,
        schema=schema,
        spectra=SpectralSettings(),
        calibration=_identity(2 if recipe.mode == "binary" else 3),
        weights=(1.0, 1.0, 1.0),
        tracker=TrackerParameters(),
        track_weights=(1.0, 1.0, 1.0),
        conformal=_unit_margins(),
    )
    told("calibration")
    raw = FlrModel(begun, boosters, novelty)
    parameters = replace(begun, calibration=_calibrated(material.calibration, raw, recipe))
    fitted = fit_decisions(material.calibration, FlrModel(parameters, boosters, novelty), told)
    contents = dict(saved)
    contents[PARAMETERS] = parameters_bytes(fitted.parameters.to_json())
    contents[NOVELTY] = pack_arrays(novelty.to_arrays())
    return Trained(
        model=FlrModel(fitted.parameters, boosters, novelty),
        contents=contents,
        hyper_parameters=hyper,
        search=search,
        stage_one=fitted.stage_one,
        final=fitted.final,
        judged=fitted.judged,
    )


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is fitted last: thresholds, tracker and intervals; with the searches and what they rest on."""

    parameters: FlrParameters
    stage_one: ThresholdSearch
    final: ThresholdSearch
    judged: Judged


def fit_decisions(seen: SeenSpectra, model: FlrModel, told: Told = lambda _line: None) -> Decisions:
    """Fit both moving thresholds, the tracker and the intervals to windows that no booster has learnt from.

    Stage one's threshold is that of Foldes et al. (2023): the best MCS (TSS in binary mode), no caps. What the daemon says in
    the end comes from the tracker's posterior, with weights that keep the caps.
    """
    mode, count = model.parameters.mode, len(seen)
    told("thresholds")
    step = 4000
    parts = [judge(seen.rows(np.arange(at, min(at + step, count))), model) for at in range(0, count, step)]
    judged = joined(parts)
    label = judged.data.label
    scored = np.flatnonzero((label >= 0) & judged.asked & ~judged.classified.novel)
    stage_one = moving_threshold(
        judged.classified.probability[scored][:, : _classes(mode)],
        _truth(label[scored], mode),
        score=mcs if mode == "multiclass" else tss,
    )
    weights = _weights(stage_one.weights)
    parameters = replace(model.parameters, weights=weights)
    decided = _decided(judged, weights)
    judged = replace(judged, classified=decided, likely=model.likely(decided))
    called = decided.stage_one
    for turn in range(_ROUNDS):
        told(f"intervals, round {turn + 1} of {_ROUNDS}")
        parameters = replace(parameters, conformal=_margins(judged, called))
        # The tracker must be fitted to intervals as wide as those that it will be given.
        judged = _with_intervals(judged, parameters.conformal)
        final, followed, called = _follow(judged, model.with_parameters(parameters), scored, told)
    fitted = replace(parameters, tracker=followed, track_weights=_weights(final.weights))
    return Decisions(fitted, stage_one, final, judged)


def _follow(
    judged: Judged, model: FlrModel, scored: IntArray, told: Told
) -> tuple[ThresholdSearch, TrackerParameters, IntArray]:
    """The tracker and its threshold, and what they would call every window."""
    mode, label = model.parameters.mode, judged.data.label
    followed = _tracker(judged, mode)
    best: tuple[ThresholdSearch, TrackerParameters, IntArray] | None = None
    refused: ValueError | None = None
    for evidence in _EVIDENCE:
        told(f"tracker, evidence {evidence:g}")
        tried = replace(followed, evidence=evidence, pool=_POOL)
        tracked = track(judged, model.with_parameters(replace(model.parameters, tracker=tried)))
        posterior = pooled(tried, tracked.posterior, judged.observed.probability)
        try:
            final = _final_threshold(posterior[scored], label[scored], mode)
        except ValueError as error:
            refused = error
            continue
        told(f"  score {final.score:.4f}, weights {final.weights}")
        if best is None or final.score > best[0].score:
            best = final, tried, (posterior * np.array(_weights(final.weights))).argmax(axis=1)
    if best is None:
        raise refused or ValueError("there is no tracker to choose from")
    return best


def _with_intervals(judged: Judged, conformal: Conformal) -> Judged:
    """The same with the intervals that these margins give."""
    readings = judged.readings
    low, high = np.full_like(readings.low_Hz, np.nan), np.full_like(readings.high_Hz, np.nan)
    for side in (0, 1):
        rows = np.flatnonzero(np.isfinite(readings.frequency_Hz[:, side]))
        low[rows, side], high[rows, side] = conformal.interval(
            readings.frequency_Hz[rows, side],
            readings.difficulty[rows, side],
            np.full(rows.size, side + 1, dtype=np.int64),
            judged.data.l_shell[rows],
        )
    return replace(judged, readings=replace(readings, low_Hz=low, high_Hz=high))


def _require_classes(material: Material, mode: Mode) -> None:
    """ValueError that names the part and the class of which it has no window, or the part without a frequency."""
    data = material.calibration.data
    parts = {
        "training": material.training.label[material.training.usable],
        "validation": material.validation.label[material.validation.usable],
        "calibration": data.label[judgeable(material.calibration)],
    }
    for name, label in parts.items():
        there = set(_truth(label[label >= 0], mode).tolist())
        absent = [str(CLASSES[index]) for index in range(_classes(mode)) if index not in there]
        if absent:
            raise ValueError(
                f"no {name} window is {' or '.join(absent)}: every class is needed in every part"
            )
    for name, examples in (("training", material.training), ("validation", material.validation)):
        if not examples.valid.any():
            raise ValueError(
                f"no {name} window has a true frequency: the regressor has nothing to learn from"
            )


def _final_threshold(posterior: FloatArray, label: IntArray, mode: Mode) -> ThresholdSearch:
    """Weights of the tracker's posterior: the best score that keeps the caps."""
    if mode == "binary":
        return moving_threshold(
            posterior[:, :2], without_pbl(label), score=tss, largest_passed=LARGEST_PASSED
        )
    return moving_threshold(
        posterior,
        label,
        score=mcs,
        class_share=F23_SHARES,
        largest_passed=LARGEST_PASSED,
        largest_false_pbl=LARGEST_FALSE_PBL,
    )


def parameters_bytes(document: Json) -> bytes:
    """The text of `parameters.json`."""
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _classes(mode: Mode) -> int:
    return 3 if mode == "multiclass" else 2


def _truth(label: IntArray, mode: Mode) -> IntArray:
    return without_pbl(label) if mode == "binary" else label


def _weights(weights: Sequence[float]) -> tuple[float, float, float]:
    """Weights of three classes; a class that there is none of cannot win."""
    first, second, *rest = weights
    return float(first), float(second), float(rest[0]) if rest else 0.0


def _decided(judged: Judged, weights: tuple[float, float, float]) -> Classified:
    told = judged.asked & ~judged.classified.novel
    decided = decide(np.where(told[:, None], judged.classified.probability, np.nan), weights)
    return replace(judged.classified, stage_one=decided)


def _tracker(judged: Judged, mode: Mode) -> TrackerParameters:
    """The tracker of these windows, with their class shares as the prior of the probabilities."""
    data, observed = judged.data, judged.observed
    label = np.where(data.label < 0, -1, _truth(np.maximum(data.label, 0), mode))
    counts = np.bincount(label[(label >= 0) & judged.asked], minlength=3).astype(np.float64)
    share = np.maximum(counts / counts.sum(), 1e-3)
    begin = TrackerParameters(prior=(float(share[0]), float(share[1]), float(share[2])))
    runs = LabelledRuns(data.sequence, data.end_ns, label, data.truth_Hz)
    return fit_tracker(runs, CADENCE_NS / 1e9, observed, begin)


def _margins(judged: Judged, called: IntArray) -> Conformal:
    """Margins from the readings of what would be called rightly, for only such are published."""
    data = judged.data
    rows = np.flatnonzero((data.label > 0) & (called == data.label))
    side = data.label[rows] - 1
    read, difficulty = (
        values[rows, side] for values in (judged.readings.frequency_Hz, judged.readings.difficulty)
    )
    known = np.isfinite(read) & np.isfinite(data.truth_Hz[rows])
    rows, read, difficulty = rows[known], read[known], difficulty[known]
    return fit_conformal(
        normalised_scores(data.truth_Hz[rows], read, difficulty),
        data.label[rows],
        data.l_shell[rows],
        level=_FITTED_LEVEL,
        # A pair that the daemon meets is a new sequence; how many windows of it show a resonance is chance.
        counting=Counting.SEQUENCES,
        sequence=data.sequence[rows],
    )


def _boosters(
    material: Material, recipe: Recipe, schema: FeatureSchema, told: Told
) -> tuple[dict[str, Booster], dict[str, bytes], dict[str, Any], str]:
    """All four boosters, loaded and as files, their hyper-parameters, and how those were found."""
    seed, threads = recipe.seed, recipe.threads
    training, validation = (
        fitting.classifier_table(part, schema, recipe.mode, recipe.class_weight, blank_seed=blanked)
        for part, blanked in ((material.training, seed), (material.validation, None))
    )
    trials = []
    if recipe.tries > 1:
        told(f"search of hyper-parameters: {recipe.tries} tries")
        trials = fitting.search_classifier(
            training, validation, recipe.mode, tries=recipe.tries, seed=seed, threads=threads,
            told=lambda trial: told(f"  log loss {trial.loss:.4f} with {trial.hyper}"),
        )  # fmt: skip
    best = trials[0].hyper if trials else fitting.CLASSIFIER_HYPER
    told("classifier")
    classifier, first = fitting.fit_classifier(
        training, validation, recipe.mode, best, seed=seed, threads=threads
    )
    told("chooser")
    chooser, second = fitting.fit_chooser(
        material.training, material.validation, fitting.CHOOSER_HYPER, seed=seed, threads=threads
    )
    told("corrector")
    corrector, third = fitting.fit_corrector(
        material.training, material.validation, fitting.CORRECTOR_HYPER, seed=seed, threads=threads
    )
    wide = len(CANDIDATE_NAMES)
    shapes = {
        CLASSIFIER: (len(schema.names), _classes(recipe.mode)),
        CHOOSER: (wide, 1),
        CORRECTOR: (wide, 1),
        DIFFICULTY: (DIFFICULTY_FEATURES, 1),
    }
    natives = {CLASSIFIER: classifier, CHOOSER: chooser, CORRECTOR: corrector}
    saved = {name: save_booster(native) for name, native in natives.items()}
    loaded = {name: _load(data, *shapes[name]) for name, data in saved.items()}
    told("difficulty")
    difficulty, fourth = fitting.fit_difficulty(
        material.validation, loaded[CHOOSER], loaded[CORRECTOR], fitting.DIFFICULTY_HYPER,
        seed=seed, threads=threads,
    )  # fmt: skip
    saved[DIFFICULTY] = save_booster(difficulty)
    loaded[DIFFICULTY] = _load(saved[DIFFICULTY], *shapes[DIFFICULTY])
    names = ("classifier", "chooser", "corrector", "difficulty")
    hypers = (best, fitting.CHOOSER_HYPER, fitting.CORRECTOR_HYPER, fitting.DIFFICULTY_HYPER)
    found = zip(names, hypers, (first, second, third, fourth), strict=True)
    documents: dict[str, Any] = {name: fitting.hyper_json(hyper, trial) for name, hyper, trial in found}
    documents["class_weight"] = list(recipe.class_weight)
    documents["seed"] = seed
    documents["trials"] = [fitting.hyper_json(trial.hyper, trial) for trial in trials]
    return loaded, saved, documents, _told_search(recipe, len(trials))


def _told_search(recipe: Recipe, tries: int) -> str:
    if not tries:
        return "No search: the program's defaults; rounds by early stopping on the log loss of validation."
    return (
        f"Classifier: {tries} random tries in {fitting.SPACE} (seed {recipe.seed}) on every third training window, "
        "judged by the log loss of validation; rounds by early stopping. The other boosters: the program's defaults."
    )


def _load(data: bytes, features: int, outputs: int) -> Booster:
    """The booster as the daemon would load it."""
    return load_booster(data, features=features, outputs=outputs)


def _novelty(training: Examples, schema: FeatureSchema, seed: int) -> Novelty:
    """What training spectra look like: all that a model may be asked about, ambiguous ones too.

    As for the boosters, some lose the power of their stations: a table without it is nothing unheard of.
    """
    rows = np.flatnonzero(training.usable)
    if rows.size > 40_000:
        rows = np.sort(np.random.default_rng(seed).choice(rows, 40_000, replace=False))
    features = training.features[rows][:, fitting.columns(schema)]
    fitting.blank_power(features, schema.names, seed)
    return fit_novelty(
        features,
        components=min(_NOVELTY_COMPONENTS, len(schema.names) // 2),
        groups=training.sequence[rows],
        # Of few windows the furthest is the limit.
        quantile=min(_NOVELTY_QUANTILE, 1.0 - 1.0 / max(rows.size, 2)),
    )


def _calibrated(seen: SeenSpectra, model: FlrModel, recipe: Recipe) -> Calibration:
    """Calibrate on windows with a label that no booster has learnt from."""
    margins, truth, groups = [], [], []
    for at in range(0, len(seen), 4000):
        part = examples_of(seen.rows(np.arange(at, min(at + 4000, len(seen)))))
        rows = np.flatnonzero(part.usable & (part.label >= 0))
        features = part.features[rows][:, fitting.columns(model.parameters.schema)]
        margins.append(model.margins(features))
        truth.append(_truth(part.label[rows], recipe.mode))
        groups.append(part.sequence[rows])
    return fit_calibration(np.concatenate(margins), np.concatenate(truth), groups=np.concatenate(groups))


def _identity(classes: int) -> Calibration:
    return Calibration((1.0,) * classes, (0.0,) * classes)


def _unit_margins() -> Conformal:
    return Conformal(ScoreKind.NORMALISED, _LEVEL, (), (Margin(None, None, 1.0, 1.0, 0, 0),))
