"""Windows of ten made-up classes and a small model of them: shared by the tests of regions."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch

from monitor.jobs.region.calibrate import Around, fit_around
from monitor.jobs.region.network import Mode, RegionNetwork, from_arrays, to_arrays
from monitor.jobs.region.training import FAST, Recipe, fit
from monitor.models.base import DataSource, ModelCard, file_digests, write_model
from monitor.models.region import KIND, SCHEMA, RegionModel
from monitor.types import CONTEXT_CELLS, REGIONS, SUPPORT_CELLS, WINDOW_CELLS, RegionExamples

TINY: Final[Recipe] = replace(
    FAST,
    filters=(16, 16, 16),
    epochs=10,
    batch=20,
    rate=1e-2,
    averaging=None,
    mixed_precision=False,
    threads=1,
)
"""Some seconds."""


def examples(count: int, seed: int = 0, *, masked: float = 0.3, context: float = 0.7) -> RegionExamples:
    """Windows whose classes differ in their means; some lack variables, some have no context, some are mixed."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, len(REGIONS), count)
    level = np.random.default_rng(1).normal(0.0, 1.0, (len(REGIONS), 12))
    level = level[label][:, None] + 0.8 * rng.normal(size=(count, 1, 12))
    values = 10.0 * np.exp(level + 0.3 * rng.normal(size=(count, SUPPORT_CELLS, 12)))
    values[rng.random(count) < masked, :, 4] = np.nan
    real = rng.random(count) < context
    values[~real, : CONTEXT_CELLS[0]] = np.nan
    values[~real, CONTEXT_CELLS[0] + WINDOW_CELLS :] = np.nan
    return RegionExamples(
        values=values.astype(np.float32),
        label=label.astype(np.int64),
        run=np.arange(count, dtype=np.int64) // 5,
        mixed=rng.random(count) < 0.03,
        context=real,
    )


@lru_cache(maxsize=1)
def tiny() -> Around:
    """A small network that has learnt these classes, with what is fitted around it."""
    training, validation = examples(600, seed=2), examples(500, seed=3)
    fitted = fit(training, validation, TINY, told=lambda _: None)
    return fit_around(fitted.network, training, validation)


def make_model(folder: Path, around: Around | None = None) -> RegionModel:
    """Write a model, by default that one, with a card into a folder, and load it."""
    contents = (around or tiny()).contents
    card = ModelCard(
        name="tiny",
        version="1",
        kind=KIND,
        created="2020-09-02",
        intended_use="Tests.",
        data=(DataSource("made-up windows", True, 600, "training", {"seed": 2}),),
        feature_schema=SCHEMA,
        files=file_digests(contents),
        hyper_parameters={},
        search="None.",
        metrics={},
        tolerance={},
        limits=("Knows nothing of plasma.",),
        libraries={},
    )
    write_model(folder, card, contents)
    return RegionModel.load(folder)


def random_network(
    mode: Mode = "log", filters: tuple[int, int, int] = (16, 16, 16), seed: int = 0
) -> RegionNetwork:
    """A network that has learnt nothing, with moments and normalisations of its own, ready to predict."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = RegionNetwork(mode, filters)
    network.standardise_by(examples(200, seed).values)
    arrays = to_arrays(network)
    for name, value in arrays.items():
        if name.startswith("norms") and value.dtype == np.float32:
            arrays[name] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return from_arrays(arrays)
