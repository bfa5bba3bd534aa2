"""What each part of the chain is worth: the same windows judged by chains that lack some of it, and by simple rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.jobs.flr import fitting
from monitor.jobs.flr.chain import Judged, final_classes, joined, judge, outcomes, track
from monitor.jobs.flr.dataset import Outcomes
from monitor.jobs.flr.direct import fit_direct, reading_table, turned_features
from monitor.jobs.flr.examples import SCHEMA, Examples, SeenSpectra, examples_of, joined_examples
from monitor.jobs.flr.linear import fit_logistic
from monitor.jobs.flr.measures import Measures, measure
from monitor.jobs.flr.rules import Peaks, find_peaks, fit_peak_rule
from monitor.jobs.flr.training import (
    F23_SHARES,
    LARGEST_FALSE_PBL,
    LARGEST_PASSED,
    Material,
    Recipe,
    Told,
)
from monitor.models.choosing import Scorer
from monitor.models.flr import FlrModel, Mode
from monitor.models.xgb import load_booster, save_booster
from monitor.science.calibration import fit_calibration
from monitor.science.features import GROUPS, FeatureSchema
from monitor.science.resonance import expected_frequency_Hz
from monitor.science.skill import mcs, tss, without_pbl
from monitor.science.thresholds import decide, moving_threshold
from monitor.types import Float32Array, FloatArray, IntArray

OURS: Final = "ours"
UNTRACKED: Final = "without the tracker"
CAPPED: Final = "without the tracker, same caps"
LADDER: Final = (
    ("paper's features alone", GROUPS[:1]),
    ("+ amplitude ratio and coherence", GROUPS[:3]),
    ("+ power", GROUPS[:4]),
    ("all features, direct regressor", GROUPS),
)
LOGISTIC: Final = "logistic regression"
PEAK_RULE: Final = "nearest peak"
PHYSICS: Final = "physical estimate alone"

CLASSIFIER_HYPER: Final = replace(fitting.CLASSIFIER_HYPER, eta=0.15)
DIRECT_HYPER: Final = replace(fitting.CLASSIFIER_HYPER, max_depth=10)
"""Of the rivals' boosters. A peak anywhere on a grid takes deeper trees than a candidate seen from nearby."""

NOTES: Final = tuple(
    " ".join(note.split())
    for note in (
        f"""All chains judge the same windows. Rivals learn from the training windows of the model, are stopped or chosen on
        its validation windows, and have their probabilities calibrated and their thresholds fitted on its calibration
        windows, as the model has. Their boosters have at most {CLASSIFIER_HYPER.rounds} rounds, as the model's classifier,
        and hyper-parameters from a few tries by hand on validation windows. They have no tracker, no watch for novelty and no intervals.""",
        f"""*{OURS}*: the model as the daemon runs it. *{UNTRACKED}*: its calls after stage one, with the moving threshold
        of Foldes et al. (2023), which knows no caps. *{CAPPED}*: the same probabilities with the weights that are best
        under the caps of the final decision (at most {100 * LARGEST_PASSED:g} % of NoFreq passed on, at most
        {100 * LARGEST_FALSE_PBL:g} % of the others called PBL at the class shares of F23): what the tracker itself earns
        is seen against it.""",
        f"""*{LADDER[0][0]}* to *{LADDER[-1][0]}*: a classifier, and one booster that reads ln(f / f₀(L)) straight from the
        grid, on growing groups of features; PBL is reversed first, the threshold is that of F23. What the candidates
        earn is seen between the last of these and *{UNTRACKED}*, most plainly in the frequencies.""",
        f"""*{LOGISTIC}*: multinomial, on all features, standardised and zero where unknown, with the threshold of F23. It
        reads no frequency: that of the best resonance model of the physical estimate, accepted or not, is taken.""",
        f"""*{PEAK_RULE}*: of the cross-phase maxima that are high and coherent enough the nearest to the frequency that is
        expected at L, and of the minima likewise; the higher of the two decides between Freq and PBL. Both thresholds
        have the best TSS on the calibration windows.""",
        f"""*{PHYSICS}*: it learns nothing, and no threshold of it is fitted here.""",
        """Frequencies are judged where a chain calls the class rightly: one that finds only the clearest resonances is
        judged on these.""",
    )
)
"""What the rows are, for the page that shows them."""

_ROWS_AT_ONCE = 4000
# Regressors may say what lies beyond the grid, −1.45 … 1.75, but not without bounds.
_WIDEST_X = 2.0


@dataclass(frozen=True, slots=True)
class _Bench:
    """What rivals are fitted to, and what they are tried on."""

    material: Material
    calibration: Examples
    test: Examples
    ours: Outcomes
    mode: Mode
    seed: int
    threads: int

    @property
    def classes(self) -> int:
        return 2 if self.mode == "binary" else 3

    @property
    def fitted_on(self) -> IntArray:
        """Rows of calibration with a label that a model may be asked about."""
        return np.flatnonzero(self.calibration.usable & (self.calibration.label >= 0))

    @property
    def truth(self) -> IntArray:
        """Their labels, as the mode counts them."""
        return self.counted(self.calibration.label[self.fitted_on])

    def counted(self, label: IntArray) -> IntArray:
        """Class indices as the mode counts them: in binary mode there is no PBL."""
        return without_pbl(label) if self.mode == "binary" else label

    def weights(self, probability: FloatArray, truth: IntArray, *, capped: bool = False) -> tuple[float, ...]:
        """The moving threshold, that of F23 or under the caps of the final decision."""
        multiclass = self.mode == "multiclass"
        search = moving_threshold(
            probability[:, : self.classes],
            truth,
            score=mcs if multiclass else tss,
            class_share=F23_SHARES if capped and multiclass else None,
            largest_passed=LARGEST_PASSED if capped else None,
            largest_false_pbl=LARGEST_FALSE_PBL if capped and multiclass else None,
        )
        return search.weights


@dataclass(frozen=True, slots=True)
class _Rival:
    """A learned rival: the columns it sees, margins of classes, and ln(f / f₀(L)) of a spectrum or its reverse."""

    name: str
    columns: IntArray
    classifier: Scorer
    regressor: Scorer


class _BestModel:
    """Reads the frequency of the best resonance model of the physical estimate, accepted or not, from full features.

    Where the best one stands the other way round, the best of the bank that stands upright is taken.
    """

    def predict(self, features: Float32Array) -> Float32Array:
        place = {name: index for index, name in enumerate(SCHEMA.names)}
        upright = features[:, place["physical_reversed"]] == 0.0
        fitted, best = (features[:, place[name]] for name in ("physical_log_frequency", "physical_top_at"))
        return np.where(upright, fitted, best)[:, None]


def ablation(
    material: Material,
    model: FlrModel,
    test: Iterable[SeenSpectra],
    *,
    seed: int,
    threads: int,
    data: str = "test windows",
    told: Told = lambda _line: None,
) -> list[tuple[str, Measures]]:
    """Judge the test windows by the model, by parts of it and by its rivals.

    Parameters
    ----------
    material : Material
        What the model was trained from; its rivals are, too.
    model : FlrModel
    test : iterable of SeenSpectra
        Gone through once; windows of one sequence lie in one of them.
    seed, threads : int
        Of the rivals' boosters.
    data : str
        Name of the test windows.
    told : callable
        Gets a line before each step.

    Returns
    -------
    list of (str, Measures)
        The model first; `NOTES` say what the names mean. The row under the caps is left out, and `told` of it, where no
        weights of stage one keep them.

    Raises
    ------
    ValueError
        Where a class has no windows in a part of the material (named).
    """
    told("ablation: test windows")
    judged, shown = _judged(test, model)
    told("ablation: calibration windows")
    calibration = joined_examples([examples_of(part) for part in _parts(material.calibration)])
    final = final_classes(judged, model, track(judged, model))
    ours = outcomes(judged, final, data=data, chain=OURS)
    bench = _Bench(material, calibration, shown, ours, model.parameters.mode, seed, threads)
    rows = []
    for one in _chains(bench, judged, model, told):
        told(f"ablation: {one.chain}")
        rows.append((one.chain, measure(one)))
    return rows


def _judged(test: Iterable[SeenSpectra], model: FlrModel) -> tuple[Judged, Examples]:
    """What the model says of the test windows, and what rivals are shown of them."""
    judged, shown = [], []
    for part in test:
        judged.append(joined([judge(part, model)]))
        shown.append(examples_of(part))
    return joined(judged), joined_examples(shown)


def _parts(seen: SeenSpectra) -> Iterator[SeenSpectra]:
    for start in range(0, max(1, len(seen)), _ROWS_AT_ONCE):
        yield seen.rows(np.arange(start, min(start + _ROWS_AT_ONCE, len(seen))))


def _chains(bench: _Bench, judged: Judged, model: FlrModel, told: Told) -> Iterator[Outcomes]:
    """What every chain says, one after the other."""
    data = bench.ours.data
    yield bench.ours
    yield outcomes(judged, judged.classified.stage_one, data=data, chain=UNTRACKED)
    try:
        called = _capped_calls(bench, judged, model)
    except ValueError as error:
        told(f"ablation: {CAPPED} is left out: {error}")
    else:
        yield outcomes(judged, called, data=data, chain=CAPPED)
    for name, groups in LADDER:
        told(f"ablation: training {name}")
        yield _learned(bench, _boosted(bench, name, groups))
    told(f"ablation: training {LOGISTIC}")
    yield _learned(bench, _logistic(bench))
    yield _nearest_peak(bench)
    yield _physics(bench)


def _capped_calls(bench: _Bench, judged: Judged, model: FlrModel) -> IntArray:
    """Calls of stage one with weights that keep the caps of the final decision."""
    rows = bench.fitted_on
    columns = fitting.columns(model.parameters.schema)
    classified = model.classify_features(bench.calibration.features[rows][:, columns])
    known = ~classified.novel
    weights = bench.weights(classified.probability[known], bench.truth[known], capped=True)
    told = judged.asked & ~judged.classified.novel
    probability = np.where(told[:, None], judged.classified.probability, np.nan)
    return decide(probability[:, : bench.classes], weights)


def _boosted(bench: _Bench, name: str, groups: tuple[str, ...]) -> _Rival:
    """A classifier and a direct regressor on some groups of features."""
    columns = fitting.columns(FeatureSchema(groups))
    training, validation = _classes(bench, groups)
    classifier, _ = fitting.fit_classifier(
        training, validation, bench.mode, CLASSIFIER_HYPER, seed=bench.seed, threads=bench.threads
    )
    training, validation = (
        reading_table(part, columns) for part in (bench.material.training, bench.material.validation)
    )
    regressor = fit_direct(training, validation, DIRECT_HYPER, seed=bench.seed, threads=bench.threads)
    return _Rival(
        name,
        columns,
        load_booster(save_booster(classifier), features=columns.size, outputs=bench.classes),
        load_booster(save_booster(regressor), features=columns.size, outputs=1),
    )


def _logistic(bench: _Bench) -> _Rival:
    """Logistic regression on all features, with the frequency of the best physical model."""
    classifier = fit_logistic(*_classes(bench, GROUPS), bench.classes)
    return _Rival(LOGISTIC, fitting.columns(SCHEMA), classifier, _BestModel())


def _classes(bench: _Bench, groups: tuple[str, ...]) -> tuple[fitting.Table, fitting.Table]:
    """What a classifier learns from and is stopped on."""
    schema, weight = FeatureSchema(groups), Recipe().class_weight
    material = bench.material
    return (
        fitting.classifier_table(material.training, schema, bench.mode, weight),
        fitting.classifier_table(material.validation, schema, bench.mode, weight),
    )


def _learned(bench: _Bench, rival: _Rival) -> Outcomes:
    """Calibrate a learned rival, fit its threshold, and let it judge the test windows."""
    rows = bench.fitted_on
    margins = rival.classifier.predict(bench.calibration.features[rows][:, rival.columns])
    calibration = fit_calibration(margins, bench.truth, groups=bench.calibration.sequence[rows])
    weights = bench.weights(calibration.apply(margins), bench.truth)
    asked = np.flatnonzero(bench.test.usable)
    features = bench.test.features[asked]
    probability = np.full((len(bench.test), 3), np.nan)
    margins = rival.classifier.predict(features[:, rival.columns])
    probability[asked] = 0.0
    probability[asked, : bench.classes] = calibration.apply(margins)
    x = np.full((len(bench.test), 2), np.nan)
    for side, seen in enumerate((features, turned_features(features))):
        x[asked, side] = rival.regressor.predict(seen[:, rival.columns])[:, 0]
    called = decide(probability[:, : bench.classes], weights)
    read_Hz = _frequency_Hz(bench, np.clip(x, -_WIDEST_X, _WIDEST_X))
    return _said(bench.ours, rival.name, called, read_Hz, probability)


def _nearest_peak(bench: _Bench) -> Outcomes:
    """The nearest-peak rule with thresholds fitted to the calibration windows."""
    rule = fit_peak_rule(
        _peaks(bench.calibration).rows(bench.fitted_on), bench.truth, binary=bench.mode == "binary"
    )
    peaks = _peaks(bench.test)
    called = bench.counted(rule.call(peaks))
    return _said(bench.ours, PEAK_RULE, called, _frequency_Hz(bench, rule.read(peaks)))


def _peaks(examples: Examples) -> Peaks:
    grid = SCHEMA.to_json()["grid"]
    x = grid["first"] + grid["step"] * (np.arange(grid["count"]) + 0.5)
    phase, coherence = (
        examples.features[:, [name.startswith(group) for name in SCHEMA.names]]
        for group in ("cross_phase_", "coherence_")
    )
    return find_peaks(x, phase, coherence)


def _physics(bench: _Bench) -> Outcomes:
    """The physical estimate, which has one reading: that of the class it names."""
    ours = bench.ours
    read_Hz = np.full((len(ours), 2), np.nan)
    for side in (0, 1):
        own = ours.physical == side + 1
        read_Hz[own, side] = ours.physical_Hz[own]
    return _said(ours, PHYSICS, bench.counted(ours.physical), read_Hz)


def _frequency_Hz(bench: _Bench, x: FloatArray) -> FloatArray:
    """Frequencies of x = ln(f / f₀(L)), shape (n, 2)."""
    frequency_Hz: FloatArray = expected_frequency_Hz(bench.ours.l_shell)[:, None] * np.exp(x)
    return frequency_Hz


def _said(
    ours: Outcomes, chain: str, called: IntArray, read_Hz: FloatArray, probability: FloatArray | None = None
) -> Outcomes:
    """Outcomes of a chain without tracker, watch or intervals; `read_Hz`, shape (n, 2), as Freq and as PBL."""
    row, unknown = np.arange(len(ours)), np.full(len(ours), np.nan)

    def read(kind: IntArray) -> FloatArray:
        return np.where(kind > 0, read_Hz[row, np.maximum(kind - 1, 0)], np.nan)

    return replace(
        ours,
        chain=chain,
        probability=np.full((len(ours), 3), np.nan) if probability is None else probability,
        stage_one=called,
        final=called,
        frequency_Hz=read(called),
        low_Hz=unknown,
        high_Hz=unknown,
        truth_read_Hz=read(ours.label),
        truth_low_Hz=unknown,
        truth_high_Hz=unknown,
        novel=np.zeros(len(ours), dtype=np.bool_),
    )
