"""A network on one set of labelled windows: in both forms, with instruments failing, and its rivals beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from monitor.jobs.region.judged import (
    CONTEXT,
    ISOLATED,
    PATTERNS,
    Judged,
    Predict,
    judge,
    judged_by,
    only,
    pattern_of,
    there,
    window_of,
)
from monitor.jobs.region.measures import RegionMeasures, measure
from monitor.science.region import class_activation
from monitor.types import REGIONS, FloatArray, Json, RegionExamples

if TYPE_CHECKING:
    from monitor.models.region import RegionModel

COMPLETE: Final = "complete"
_MOST_MASKED: Final = 3000
"""Windows that each pattern is measured on: what is asked is a share to a per cent."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that is asked of the network, and what it does; met is None where no window can tell."""

    name: str
    asked: str
    value: float | None
    met: bool | None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A window with its class activation map: `values` (40, 12) and `cam` (40,)."""

    region: str
    values: FloatArray
    cam: FloatArray
    confidence: float


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What is known of a network on one set.

    Attributes
    ----------
    name : str
    synthetic : bool
        Goes into every title: nobody shall take a picture of the simulation for one of the sky.
    judged : mapping from form to Judged
        Windows as the set has them.
    forms : mapping from form to RegionMeasures
        Of `judged`.
    patterns : mapping from pattern to form to RegionMeasures
        Complete windows with variables taken away; `complete` is all of them with all variables.
    rivals : mapping from name to RegionMeasures
        On the same windows as `forms`.
    mapped : tuple of Mapped
        A window a class that the network is sure of and right about.
    """

    name: str
    synthetic: bool
    judged: Mapping[str, Judged]
    forms: Mapping[str, RegionMeasures]
    patterns: Mapping[str, Mapping[str, RegionMeasures]]
    rivals: Mapping[str, RegionMeasures]
    mapped: tuple[Mapped, ...]

    @property
    def title(self) -> str:
        """Name of the data for titles."""
        told = "synthetic" in self.name.lower() or not self.synthetic
        return self.name if told else f"{self.name} (synthetic)"

    @property
    def headline(self) -> RegionMeasures:
        """The paper's case: lone windows with all variables, or, where the set has none, as it has them."""
        complete = self.patterns.get(COMPLETE, {})
        return complete.get(ISOLATED, self.forms[ISOLATED])

    def to_json(self) -> dict[str, Json]:
        """Numbers for `measures.json`."""
        return {
            "name": self.name,
            "synthetic": self.synthetic,
            "forms": {form: one.to_json() for form, one in self.forms.items()},
            "patterns": {
                pattern: {form: _figures(one) for form, one in forms.items()}
                for pattern, forms in self.patterns.items()
            },
            "rivals": {name: one.to_json() for name, one in self.rivals.items()},
        }


def evaluate(
    model: RegionModel,
    examples: RegionExamples,
    name: str,
    *,
    synthetic: bool,
    rivals: Mapping[str, Predict],
    seed: int = 0,
) -> Evaluated:
    """Measure a network on labelled windows.

    Parameters
    ----------
    model : RegionModel
    examples : RegionExamples
    name : str
        Of the set, for titles.
    synthetic : bool
    rivals : mapping from name to callable
        Each is measured on the same windows.
    seed : int
        Of the choice of windows that variables are taken from.

    Raises
    ------
    ValueError
        Where there is no window.
    """
    if not len(examples):
        raise ValueError(f"{name}: there is no window to measure on")
    judged = {ISOLATED: judge(model, examples, ISOLATED)}
    inside = examples.at(examples.context)
    if len(inside):
        judged[CONTEXT] = judge(model, inside, CONTEXT)
    return Evaluated(
        name,
        synthetic,
        judged,
        {form: measure(said, f"{name}, {form}") for form, said in judged.items()},
        _patterns(model, examples, name, seed),
        {
            rival: measure(judged_by(predict, examples), f"{name}, {rival}")
            for rival, predict in rivals.items()
        },
        tuple(_mapped(model, examples, judged[ISOLATED])),
    )


def _patterns(
    model: RegionModel, examples: RegionExamples, name: str, seed: int
) -> dict[str, dict[str, RegionMeasures]]:
    """Figures for what may be missing, all on windows in which all was there."""
    complete = examples.at(np.array([found == COMPLETE for found in pattern_of(there(examples))]))
    if not len(complete):
        return {}
    count = min(_MOST_MASKED, len(complete))
    few = complete.at(np.sort(np.random.default_rng(seed).permutation(len(complete))[:count]))
    found: dict[str, dict[str, RegionMeasures]] = {}
    for pattern, kept in PATTERNS.items():
        masked = complete if pattern == COMPLETE else only(few, kept)
        forms = {ISOLATED: masked, CONTEXT: masked.at(masked.context)}
        found[pattern] = {
            form: measure(judge(model, windows, form), f"{name}, {pattern}, {form}")
            for form, windows in forms.items()
            if len(windows)
        }
    return found


def _mapped(model: RegionModel, examples: RegionExamples, judged: Judged) -> list[Mapped]:
    """Of each class the rightly called complete window of median confidence: neither the best case nor the worst."""
    complete = np.array([found == COMPLETE for found in pattern_of(there(examples))])
    right = complete & ~judged.mixed & (judged.called == judged.label)
    confidence = judged.probability.max(axis=1)
    mapped = []
    for code, region in enumerate(REGIONS):
        rows = np.flatnonzero(right & (judged.label == code))
        if rows.size:
            row = int(rows[np.argsort(confidence[rows], kind="stable")[rows.size // 2]])
            values = window_of(examples.at(np.array([row])))
            cam = class_activation(model.windows(values).scores[0, :, code])
            mapped.append(Mapped(region.value, values[0], cam, float(confidence[row])))
    return mapped


def criteria(one: Evaluated) -> list[Criterion]:
    """What is asked of a network on a set of its own kind, of complete windows in both forms."""
    found = []
    for form, measures in one.patterns.get(COMPLETE, one.forms).items():
        worst_f1 = _least([each.f1.value for each in measures.classes])
        worst_area = _least([each.auc.value for each in measures.classes])
        found += [
            _at_least(f"accuracy, {form}", measures.accuracy.value, 0.93),
            _at_least(f"least F1 of a class, {form}", worst_f1, 0.85),
            _at_least(f"least AUC of a class, {form}", worst_area, 0.98),
            _at_most(f"expected calibration error, {form}", measures.calibration_error.value, 0.03),
        ]
    return found


def _figures(one: RegionMeasures) -> dict[str, Json]:
    """What is asked of a pattern; the rest of its measures would fill pages."""
    return {
        "windows": one.windows,
        "accuracy": asdict(one.accuracy),
        "macro": asdict(one.macro),
        "calibration_error": asdict(one.calibration_error),
        "recall": {each.region: each.recall.value for each in one.classes},
    }


def _least(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return min(known, default=None)


def _at_least(name: str, value: float | None, bound: float) -> Criterion:
    return Criterion(name, f"≥ {bound:g}", value, None if value is None else value >= bound)


def _at_most(name: str, value: float | None, bound: float) -> Criterion:
    return Criterion(name, f"≤ {bound:g}", value, None if value is None else value <= bound)
