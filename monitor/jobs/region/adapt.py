"""`train region --from MODEL --last-layer`: a model brought to another mission by a few labelled windows of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from monitor.errors import MonitorError
from monitor.jobs.region.baselines import Thresholds
from monitor.jobs.region.calibrate import QUANTILE, fit_around
from monitor.jobs.region.card import LIMITS, region_card
from monitor.jobs.region.evaluated import evaluate
from monitor.jobs.region.judged import ISOLATED
from monitor.jobs.region.network import from_arrays
from monitor.jobs.region.real import LOGISTIC, RULE, Rivals, measure_real
from monitor.jobs.region.sources import Sources, Told
from monitor.jobs.region.splits import SHARES, split_by_run
from monitor.jobs.region.train import finish
from monitor.jobs.region.transfer import fit_last_layer
from monitor.models.base import OpenModel, open_model, write_model
from monitor.models.card import DataSource, ModelCard
from monitor.models.region import KIND, NOVELTY, PARAMETERS, WEIGHTS, PerForm, RegionModel
from monitor.science.region import window_part
from monitor.types import RegionExamples


def adapt_region(
    folder: Path,
    report: Path,
    start: Path,
    sources: Sources,
    *,
    created: str,
    real: Path | None = None,
    seed: int = 20200902,
    threads: int = 1,
    told: Told = lambda _line: None,
) -> ModelCard:
    """Learn the last layer of a model anew from a few windows of another mission, and write the result.

    Parameters
    ----------
    folder, report : Path
    start : Path
        The model that is adapted.
    sources : Sources
        Own windows.
    created, real, seed, threads, told
        As in `train_region`.

    Raises
    ------
    MonitorError
        A file cannot be used, or the windows do not suffice.
    """
    old, model = open_model(start, KIND), RegionModel.load(start, threads=threads)
    examples = sources.read(told)
    try:
        first, second, test = split_by_run(examples, shares=SHARES, seed=seed)
        made = _relearnt(old, model, first, second, seed)
        rivals = Rivals(first, second)
        others = {LOGISTIC: rivals.on_all().predict, RULE: Thresholds().predict}
    except ValueError as error:
        raise MonitorError(f"the windows do not suffice to adapt a model: {error}") from error
    data = (
        *(source for source in old.card.data if source.split != "test"),
        DataSource(sources.name, False, len(first) + len(second), "last layer", {"seed": seed}),
        DataSource(sources.name, False, len(test), "test", {"seed": seed}),
    )
    card = region_card(
        name=old.card.name,
        contents=made,
        created=created,
        data=data,
        hyper_parameters=dict(old.card.hyper_parameters),
        search=f"Those of {old.info.label}, whose last layer was learnt anew.",
        limits=(f"Only the last layer has seen the own windows; all else is {old.info.label}.", *LIMITS),
    )
    write_model(folder, card, made)
    adapted, name = RegionModel.load(folder, threads=threads), "test part of the own windows"
    one = evaluate(adapted, test, name, synthetic=False, rivals=others, seed=seed)
    before = evaluate(model, test, name, synthetic=False, rivals={}, seed=seed)
    was = before.forms[ISOLATED].accuracy.value or 0.0
    notes = [
        f"Model {card.info.label}: {old.info.label} with a new last layer, from {sources.name}.",
        f"Before, its accuracy on the same test windows was {was:.3f}.",
    ]
    for line in notes:
        told(line)
    measured = None if real is None else measure_real(adapted, real, rivals)
    return finish(folder, report, card, one, measured, notes, told)


def _relearnt(
    old: OpenModel, model: RegionModel, first: RegionExamples, second: RegionExamples, seed: int
) -> dict[str, bytes]:
    """The files of a model with a new last layer: learnt from `first`, its temperatures fitted to `second`.

    What lies before the last layer is as it was, and so is the known territory: a few windows of some regions say
    nothing of the others. Its limits only move out, until they hold the own windows.
    """
    arrays, _ = fit_last_layer(model, old.arrays(WEIGHTS), first, seed=seed)
    around = fit_around(from_arrays(arrays), first, second)
    limits = model.parameters.distance_limits
    alone, inside = _reach(model, first, context=False), _reach(model, first, context=True)
    wider = PerForm(
        limits.isolated_complete * alone,
        limits.isolated_masked * alone,
        limits.context_complete * inside,
        limits.context_masked * inside,
    )
    parameters = replace(around.model.parameters, distance_limits=wider)
    return around.contents | {
        PARAMETERS: (json.dumps(parameters.to_json(), indent=1) + "\n").encode(),
        NOVELTY: old.read(NOVELTY),
    }


def _reach(model: RegionModel, examples: RegionExamples, *, context: bool) -> float:
    """By what the limits must grow for the windows to be within them; at least 1."""
    chosen = examples.at(~examples.mixed & (examples.context | (not context)))
    if not len(chosen):
        return 1.0
    said = model.stretches(chosen.values) if context else model.windows(window_part(chosen.values))
    return max(1.0, float(np.quantile(said.distance, QUANTILE)))
