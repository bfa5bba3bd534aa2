"""The command `train region`: from simulated or own windows to a model folder with its card and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from scipy.special import softmax

from monitor.errors import MonitorError
from monitor.jobs.region import synthetic
from monitor.jobs.region.baselines import Thresholds
from monitor.jobs.region.calibrate import fit_around
from monitor.jobs.region.card import card_metrics, region_card
from monitor.jobs.region.evaluated import Evaluated, evaluate
from monitor.jobs.region.judged import Predict
from monitor.jobs.region.network import CellNetwork, Mode, RegionNetwork
from monitor.jobs.region.real import LOGISTIC, RULE, RealMeasures, Rivals, measure_real
from monitor.jobs.region.report import Learnt, summary_lines, write_report
from monitor.jobs.region.sources import Sources, Told
from monitor.jobs.region.splits import SHARES, split_by_run
from monitor.jobs.region.training import FAST, PAPER, Fitted, Recipe, Sampler, fit, logits_of
from monitor.models.base import write_card, write_model
from monitor.models.card import DataSource, ModelCard
from monitor.models.region import RegionModel
from monitor.types import FloatArray, Json, RegionExamples

MLP: Final = "network of single cells (MLP)"
QUICK_FILTERS: Final = (32, 48, 32)
_QUICK_EPOCHS = 5
_QUICK_BATCH = 32
_QUICK_WINDOWS = 1500
_MLP_EPOCHS = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """How to train.

    Attributes
    ----------
    recipe : 'fast' or 'paper'
    mode : 'log' or 'linear'
    windows, epochs : int, or None
        Of an epoch, and at most; None is the recipe's.
    seed, threads : int
    quick : bool
        A small network on few windows.
    mlp : bool
        Whether the network of single cells is trained too.
    """

    recipe: Literal["fast", "paper"] = "fast"
    mode: Mode = "log"
    windows: int | None = None
    epochs: int | None = None
    seed: int = 20200902
    threads: int = 1
    quick: bool = False
    mlp: bool = True

    @property
    def plan(self) -> synthetic.Plan:
        """How much is simulated."""
        return synthetic.QUICK if self.quick else synthetic.BUNDLED

    def full(self) -> Recipe:
        """The recipe of the network."""
        base = PAPER if self.recipe == "paper" else FAST
        quick = replace(
            base, filters=QUICK_FILTERS, epochs=_QUICK_EPOCHS, windows=_QUICK_WINDOWS, batch=_QUICK_BATCH,
            averaging=None, mixed_precision=False,
        )  # fmt: skip
        chosen = quick if self.quick else base
        return replace(
            chosen,
            mode=self.mode,
            windows=self.windows or chosen.windows,
            epochs=self.epochs or chosen.epochs,
            seed=self.seed,
            threads=self.threads,
        )


@dataclass(frozen=True, slots=True)
class Material:
    """Windows of a training run.

    Attributes
    ----------
    training : callable, or RegionExamples
        Drawn anew every epoch, or always the same.
    rivals : RegionExamples
        What the logistic regression learns from.
    validation, test : RegionExamples
    name : str
        Of the test windows.
    synthetic : bool
    sources : tuple of DataSource
    """

    training: Sampler | RegionExamples
    rivals: RegionExamples
    validation: RegionExamples
    test: RegionExamples
    name: str
    synthetic: bool
    sources: tuple[DataSource, ...]


def train_region(
    folder: Path,
    report: Path,
    choice: Choice,
    sources: Sources,
    *,
    created: str,
    real: Path | None = None,
    progress: bool = False,
    told: Told = lambda _line: None,
) -> ModelCard:
    """Train a network, test it on runs that nothing was fitted to, and write it with its card and report.

    Parameters
    ----------
    folder, report : Path
        For the model, and for the report with its figures.
    choice : Choice
    sources : Sources
        Labelled windows; none means simulated ones.
    created : str
        Date for the card.
    real : Path, optional
        Folder of real measurements to check on.
    progress, told
        Progress bars, and who is told what is being done.

    Raises
    ------
    MonitorError
        A file cannot be used, or the windows do not suffice.
    """
    recipe = choice.full()
    told("windows")
    ready = material(sources, choice, recipe, progress=progress, told=told)
    told("training")
    try:
        fitted = fit(ready.training, ready.validation, recipe, told=told, progress=progress)
        if not isinstance(fitted.network, RegionNetwork):
            raise TypeError(f"expected a network of windows, got {type(fitted.network).__name__}")
        contents = fit_around(fitted.network, ready.rivals, ready.validation).contents
        rivals = Rivals(ready.rivals, ready.validation)
        others = _rivals(ready, rivals, choice, recipe, progress=progress, told=told)
    except ValueError as error:
        raise MonitorError(f"the windows do not suffice to train a model: {error}") from error
    card = region_card(
        name="region",
        contents=contents,
        created=created,
        data=ready.sources,
        hyper_parameters=_hyper_parameters(choice, recipe, fitted),
        search=(
            "Chosen by hand, with simulated windows in view, the test runs from number 0 on among them: those are slightly "
            "favourable. Runs of other numbers (`evaluate region --first-run`) are not. The values of `paper` are the paper's."
        ),
    )
    write_model(folder, card, contents)
    told("test")
    model = RegionModel.load(folder, threads=choice.threads)
    one = evaluate(model, ready.test, ready.name, synthetic=ready.synthetic, rivals=others, seed=choice.seed)
    notes = [f"Model {card.info.label}, trained on {ready.sources[0].what}."]
    measured = None if real is None else measure_real(model, real, rivals)
    learnt = Learnt(fitted.curve, fitted.best, ready.synthetic)
    return finish(folder, report, card, one, measured, notes, told, learnt)


def material(sources: Sources, choice: Choice, recipe: Recipe, *, progress: bool, told: Told) -> Material:
    """The windows of a training run.

    Raises
    ------
    MonitorError
        A file cannot be used, or there are too few runs.
    """
    if sources.synthetic:
        plan, workers = choice.plan, choice.threads
        made = synthetic.simulated(plan, seed=choice.seed, workers=workers, progress=progress)
        return Material(
            made.training,
            made.rivals,
            made.validation,
            synthetic.windows_to_test(plan, workers=workers, progress=progress),
            "simulated test runs",
            synthetic=True,
            sources=synthetic.sources(plan, recipe.windows),
        )
    examples = sources.read(told)
    try:
        training, validation, test = split_by_run(examples, shares=SHARES, seed=choice.seed)
    except ValueError as error:
        raise MonitorError(f"the windows do not suffice to train a model: {error}") from error
    splits = (("training", training), ("validation and calibration", validation), ("test", test))
    return Material(
        training,
        training,
        validation,
        test,
        "test part of the own windows",
        synthetic=False,
        sources=tuple(
            DataSource(sources.name, False, len(part), split, {"seed": choice.seed}) for split, part in splits
        ),
    )


def _rivals(
    ready: Material, rivals: Rivals, choice: Choice, recipe: Recipe, *, progress: bool, told: Told
) -> dict[str, Predict]:
    """What the network is held against on the test windows."""
    found: dict[str, Predict] = {
        LOGISTIC: rivals.on_all().predict,
        RULE: Thresholds().predict,
    }
    if not choice.mlp:
        return found
    told(MLP)
    cells = replace(recipe, network="mlp", epochs=min(_MLP_EPOCHS, recipe.epochs), mixed_precision=False)
    network = fit(ready.training, ready.validation, cells, told=told, progress=progress).network
    if not isinstance(network, CellNetwork):
        raise TypeError(f"expected a network of cells, got {type(network).__name__}")
    return {MLP: lambda examples: _said(network, examples), **found}


def _said(network: CellNetwork, examples: RegionExamples) -> FloatArray:
    """Probabilities of windows, shape (n, 10)."""
    with torch.inference_mode():
        logits = logits_of(network, examples, np.zeros(len(examples), dtype=np.bool_))
    said: FloatArray = softmax(logits, axis=1)
    return said


def finish(
    folder: Path,
    report: Path,
    card: ModelCard,
    one: Evaluated,
    real: RealMeasures | None,
    notes: Sequence[str],
    told: Told,
    learnt: Learnt | None = None,
) -> ModelCard:
    """Put what was measured into the card, and write the report."""
    measured = replace(card, metrics=card_metrics(one, real))
    write_card(folder, measured)
    page = write_report(report, one, learnt=learnt, real=real, notes=notes)
    for line in summary_lines(one, real):
        told(line)
    told(f"report: {page}")
    return measured


def _hyper_parameters(choice: Choice, recipe: Recipe, fitted: Fitted) -> Mapping[str, Json]:
    """The recipe, with what came of it."""
    values: dict[str, Json] = {
        name: getattr(recipe, name) for name in recipe.__dataclass_fields__ if name != "threads"
    }
    return values | {
        "filters": list(recipe.filters),
        "recipe": choice.recipe,
        "epochs_run": len(fitted.curve),
        "epoch_kept": fitted.best,
        "precision": fitted.precision,
    }
