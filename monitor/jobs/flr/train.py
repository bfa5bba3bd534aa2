"""The command `train flr`: from simulated cases, labelled tables or archives to a model folder with its card and report."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from monitor.config import Config
from monitor.errors import MonitorError
from monitor.jobs.flr import bundled
from monitor.jobs.flr.ablation import NOTES as ABLATION_NOTES
from monitor.jobs.flr.ablation import ablation
from monitor.jobs.flr.archive import label_archive
from monitor.jobs.flr.chain import Judged, final_classes, joined, judge, outcomes, track
from monitor.jobs.flr.dataset import LabelledSpectra, Outcomes, StringArray, joined_data
from monitor.jobs.flr.examples import SeenSpectra, examples_of, see
from monitor.jobs.flr.measures import Measures
from monitor.jobs.flr.report import Ablation, Thresholds, evaluated, summary_lines, write_report
from monitor.jobs.flr.splits import split_by_time
from monitor.jobs.flr.synthetic import CaseBlock, seen_spectra
from monitor.jobs.flr.tables import read_table
from monitor.jobs.flr.training import (
    Decisions,
    Material,
    Recipe,
    Trained,
    fit_decisions,
    parameters_bytes,
    train,
)
from monitor.models.base import open_model, write_model
from monitor.models.card import DataSource, ModelCard, file_digests
from monitor.models.flr import KIND, PARAMETERS, FlrModel, schema_record
from monitor.models.xgb import BUILDS, is_installed
from monitor.science.resonance import ResonanceParameters
from monitor.science.skill import without_pbl
from monitor.science.synthetic.ranges import TEST
from monitor.science.thresholds import score_curves
from monitor.stages.place import Places
from monitor.types import SECOND_NS, Json

SHARES: Final = (0.55, 0.1, 0.15, 0.2)
"""Of labelled windows in the order of time: training, validation, calibration, test."""
_TOLERANCE = 0.01
_LIMITS: Final = (
    "Trained on simulated pairs only, unless the data below say otherwise: no labelled spectra of real pairs were to be had.",
    "The simulation has fixed-end fundamentals and third harmonics only; quarter-wave and free-end modes, which occur in penumbra and by night, are unknown to it.",
    "The shares of the classes are those of the training data, and the probabilities are calibrated under them; in nature PBL is rarer, so its probability is too high by Bayes' rule.",
    "How it does on a year of real data of a pair, by hand-made labels, is unknown; of real resonances it was shown one pair for some hours (MUO–PEL), outside training.",
    "Foldes et al. (2023) do not publish their band, normalisation, smoothing or hyper-parameters; those here are our own.",
)

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where labelled windows come from; nothing named means simulated cases.

    Attributes
    ----------
    tables : sequence of (Path, Path)
        Files with their column mappings.
    archives : sequence of str
        Archive files as `process` takes them, labelled by the physical estimate.
    config : Config, optional
        Pairs and settings for the archives.
    """

    tables: Sequence[tuple[Path, Path]] = ()
    archives: Sequence[str] = ()
    config: Config | None = None

    @property
    def synthetic(self) -> bool:
        """Whether there is nothing to read."""
        return not self.tables and not self.archives

    def read(self, *, progress: bool) -> LabelledSpectra:
        """All labelled windows; sequences of several files are kept apart.

        Raises
        ------
        MonitorError
            A file cannot be used.
        """
        parts = [read_table(path, mapping, progress=progress) for path, mapping in self.tables]
        if self.archives:
            if self.config is None:
                raise MonitorError("archives need their pairs: give -c config.yaml or --pair")
            labelled = label_archive(self.archives, self.config, progress=progress)
            parts.append(replace(labelled, illumination=_light(labelled, self.config)))
        offset = 0
        numbered = []
        for part in parts:
            numbered.append(replace(part, sequence=part.sequence + offset))
            offset += int(part.sequence.max(initial=0)) + 1
        whole = joined_data(numbered)
        return replace(whole, source="; ".join(part.source for part in parts))


def _light(data: LabelledSpectra, config: Config) -> StringArray:
    """Day, penumbra or night of every window's centre; empty where a station's position is unknown."""
    pairs = config.pair_list
    places, row = Places(config.station_table(), pairs), {pair.name: row for row, pair in enumerate(pairs)}
    half_ns = round(config.windows.length_s * SECOND_NS) // 2
    found = {end_ns: places.at(pairs, end_ns - half_ns).illumination for end_ns in set(data.end_ns.tolist())}
    lights = (
        found[end_ns][row[name]]
        for name, end_ns in zip(data.pair.tolist(), data.end_ns.tolist(), strict=True)
    )
    return np.array([light or "" for light in lights], dtype="U8")


@dataclass(frozen=True, slots=True)
class Ready:
    """What a training run has before it begins, and what it will be tested on."""

    material: Material
    sources: tuple[DataSource, ...]
    test: list[SeenSpectra]
    test_name: str
    synthetic: bool


def train_flr(
    folder: Path,
    report: Path,
    recipe: Recipe,
    sources: Sources,
    *,
    created: str,
    plan: bundled.Plan = bundled.BUNDLED,
    test_cases: int = len(bundled.TEST_CASES),
    with_ablation: bool = False,
    workers: int | None = None,
    progress: bool = False,
    told: Told = lambda _line: None,
) -> ModelCard:
    """Train a model, test it on windows that nothing was fitted to, and write it with its card and report.

    Parameters
    ----------
    folder, report : Path
        For the model, and for the report with its figures.
    recipe : Recipe
    sources : Sources
    created : str
        Date for the card.
    plan, test_cases
        How many cases are simulated, where they are.
    with_ablation : bool
        Also train rivals on the same data and put them into the report.
    workers, progress, told
        Processes, progress bars, and who is told what is being done.

    Raises
    ------
    MonitorError
        A file cannot be used, or the windows do not suffice.
    """
    ready = _ready(sources, plan, test_cases, workers=workers, progress=progress)
    try:
        made = train(ready.material, recipe, told)
    except ValueError as error:
        raise MonitorError(f"the windows do not suffice to train a model: {error}") from error
    told("test")
    judged = joined(judge(part, made.model) for part in ready.test)
    tested = chain_outcomes(judged, made.model, ready.test_name)
    one = evaluated(tested, synthetic=ready.synthetic)
    rows = None
    if with_ablation:
        told("ablation")
        found = ablation(
            ready.material, made.model, ready.test, seed=recipe.seed, threads=recipe.threads, told=told
        )
        rows = Ablation(ready.test_name, ready.synthetic, found)
    card = ModelCard(
        name="flr",
        version="1",
        kind=KIND,
        created=created,
        intended_use="Classes and frequencies of field line resonances from two-hour cross-phase spectra of station pairs.",
        data=(*ready.sources, _test_source(ready, sources, test_cases, len(tested))),
        feature_schema=schema_record(made.model.parameters.schema),
        files=file_digests(made.contents),
        hyper_parameters=made.hyper_parameters,
        search=made.search,
        metrics=card_metrics(one.measures),
        tolerance={"any share of the metrics": _TOLERANCE},
        limits=_LIMITS,
        libraries={name: version(name) for name in ("numpy", "scipy", _xgboost())}
        | {"python": platform.python_version()},
    )
    write_model(folder, card, made.contents)
    notes = [f"Model {card.info.label}, trained on {'; '.join(source.what for source in ready.sources[:1])}."]
    write_report(
        report,
        [one],
        ablation=rows,
        thresholds=_thresholds(made, synthetic=ready.synthetic),
        notes=[*notes, *(ABLATION_NOTES if rows is not None else ())],
    )
    for line in summary_lines(one.measures):
        told(line)
    return card


def retune_flr(
    folder: Path,
    source: Path,
    report: Path,
    sources: Sources,
    *,
    created: str,
    progress: bool = False,
    told: Told = lambda _line: None,
) -> ModelCard:
    """Fit thresholds, tracker and intervals alone to new labels; the boosters stay (F23: run routinely as classes change).

    Raises
    ------
    MonitorError
        The model or a file cannot be used, or a class has no window.
    """
    opened, model = open_model(source, KIND), FlrModel.load(source)
    if sources.synthetic:
        raise MonitorError("--retune needs new labels: give --table or --archive")
    data = sources.read(progress=progress)
    first, second = split_by_time(data, (0.7, 0.3))
    seen = see(data, ResonanceParameters())
    try:
        fitted = fit_decisions(seen.rows(first), model, told)
    except ValueError as error:
        raise MonitorError(f"the windows do not suffice to retune a model: {error}") from error
    tuned = model.with_parameters(fitted.parameters)
    judged = judge(seen.rows(second), tuned)
    tested = chain_outcomes(judged, tuned, "test part of the new labels")
    one = evaluated(tested, synthetic=data.synthetic)
    contents = dict(opened.contents) | {PARAMETERS: parameters_bytes(fitted.parameters.to_json())}
    new = DataSource(data.source, data.synthetic, len(first), "thresholds, tracker and intervals", {})
    test = DataSource(data.source, data.synthetic, len(second), "test", {})
    card = replace(
        opened.card,
        created=created,
        data=(*(item for item in opened.card.data if item.split != "test"), new, test),
        files=file_digests(contents),
        metrics=card_metrics(one.measures),
    )
    write_model(folder, card, contents)
    write_report(
        report,
        [one],
        thresholds=_thresholds(fitted, synthetic=data.synthetic),
        notes=[f"Thresholds, tracker and intervals of {opened.info.label}, fitted again to {data.source}."],
    )
    for line in summary_lines(one.measures):
        told(line)
    return card


def card_metrics(measures: Measures) -> dict[str, Json]:
    """What the card keeps of the measures: decisions, published readings and calibration; the rest is in the report."""
    whole = measures.to_json()
    return {name: _figures(whole[name]) for name in ("final", "stage_one", "published", "calibration")}


def _figures(measured: Mapping[str, Json]) -> dict[str, Json]:
    """The numbers, without counts that others imply; an estimate is its value with the ends of its interval."""
    kept: dict[str, Json] = {}
    for name, value in measured.items():
        if isinstance(value, Mapping):
            kept[name] = _figures(value)
        elif name not in ("hits", "count") and (value is None or isinstance(value, int | float)):
            kept[name] = value if value is None else round(float(value), 6)
    return kept


def chain_outcomes(judged: Judged, model: FlrModel, name: str) -> Outcomes:
    """What the whole chain says, beside the truth."""
    final = final_classes(judged, model, track(judged, model))
    return outcomes(judged, final, data=name, chain="two stages and tracker")


def _ready(
    sources: Sources, plan: bundled.Plan, test_cases: int, *, workers: int | None, progress: bool
) -> Ready:
    if sources.synthetic:
        made = bundled.material(plan, workers=workers, progress=progress)
        block = CaseBlock(TEST, range(test_cases))
        test = list(seen_spectra([block], workers=workers, progress="test" if progress else ""))
        return Ready(made, bundled.sources(plan, made), test, "simulated test pairs", synthetic=True)
    data = sources.read(progress=progress)
    seen = see(data, ResonanceParameters())
    parts = [seen.rows(rows) for rows in split_by_time(data, SHARES)]
    made = Material(examples_of(parts[0]), examples_of(parts[1]), parts[2])
    names = ("training", "validation", "calibration")
    told = tuple(
        DataSource(data.source, data.synthetic, len(part), name, {})
        for name, part in zip(names, parts, strict=False)
    )
    return Ready(made, told, [parts[3]], "last part of the labelled windows", synthetic=data.synthetic)


def _test_source(ready: Ready, sources: Sources, test_cases: int, count: int) -> DataSource:
    if sources.synthetic:
        return bundled.tested_source(count, range(test_cases))
    first = ready.sources[0]
    return DataSource(first.what, first.synthetic, count, "test", {})


def _thresholds(made: Trained | Decisions, *, synthetic: bool) -> Thresholds:
    """Fig. 3 and Fig. 5 of Foldes et al. (2023), from the calibration windows."""
    judged = made.judged
    label = judged.data.label
    scored = np.flatnonzero((label >= 0) & judged.asked & ~judged.classified.novel)
    probability = judged.classified.probability[scored]
    two = np.stack([probability[:, 0] + probability[:, 2], probability[:, 1]], axis=1)
    return Thresholds(
        data="calibration windows",
        synthetic=synthetic,
        score="MCS" if made.stage_one.grid.shape[1] == 3 else "TSS",
        curves=score_curves(two, without_pbl(label[scored])),
        search=made.stage_one if made.stage_one.grid.shape[1] == 3 else None,
    )


def _xgboost() -> str:
    """The distribution that brings XGBoost here."""
    return next(name for name in BUILDS if is_installed(name))
