"""What every plugin that gives a learned model has to hold to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from monitor.models.flr import FlrModel
from monitor.models.region import RegionModel
from monitor.plugins.models import ModelPlugin
from monitor.types import VARIABLES, WINDOW_CELLS, FloatArray

_ROWS: Final = 6
# Of one row by itself against the same among others: single precision, in another order of sums.
_TOLERANCE: Final = 1e-5


def check_model(make: Callable[[], ModelPlugin], *, seed: int = 1) -> None:
    """Check that a plugin gives a model that can be asked: the same each time, row by row, with good probabilities.

    Parameters
    ----------
    make : callable
        Makes the plugin, as new.
    seed : int
        Of the random rows that it is asked about.

    Raises
    ------
    AssertionError
        With a sentence that says what to mend.
    """
    model = make().model()
    assert isinstance(model, FlrModel | RegionModel), (
        f"model() gave {type(model).__name__}: give a FlrModel (models.flr) or a RegionModel (models.region)"
    )
    assert model.info is not None, "the model has no card: products could not say what labelled them"
    again = make().model()
    assert again.info == model.info, "two plugins with the same options gave models with other cards"
    rows = _rows(model, np.random.default_rng(seed))
    before = rows.copy()
    said = _asked(model, rows)
    assert np.array_equal(rows, before, equal_nan=True), "the model changed what it was asked about"
    assert np.isfinite(said).all(), "a probability is not finite"
    assert ((said >= 0.0) & (said <= 1.0)).all(), "a probability is below 0 or above 1"
    assert np.allclose(said.sum(axis=-1), 1.0, atol=1e-6), "the probabilities of a row do not sum to 1"
    assert np.array_equal(said, _asked(again, rows)), "the same rows gave other probabilities: use no chance"
    alone = np.concatenate([_asked(model, rows[number : number + 1]) for number in range(_ROWS)])
    assert np.allclose(said, alone, atol=_TOLERANCE), (
        "a row by itself gave another probability than among others: one is a batch of one"
    )


def _rows(model: FlrModel | RegionModel, random: np.random.Generator) -> FloatArray:
    if isinstance(model, FlrModel):
        return random.normal(size=(_ROWS, len(model.parameters.schema.names)))
    return random.uniform(0.5, 50.0, size=(_ROWS, WINDOW_CELLS, len(VARIABLES)))


def _asked(model: FlrModel | RegionModel, rows: FloatArray) -> FloatArray:
    if isinstance(model, FlrModel):
        return model.classify_features(rows.astype(np.float32)).probability
    return model.windows(rows).probability[:, 0]
