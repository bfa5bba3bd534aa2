"""The frequency straight from the grid, as Foldes et al. (2023, doi:10.1007/s12210-023-01188-9) read it: a rival of the candidates.

One booster sees the features of a whole spectrum and says ln(f / f₀(L)); a PBL spectrum is reversed first.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.jobs.flr.examples import SCHEMA, Examples
from monitor.jobs.flr.fitting import Hyper, Table
from monitor.models.xgb import import_xgboost
from monitor.science.resonance import expected_frequency_Hz
from monitor.types import Float32Array, IntArray

if TYPE_CHECKING:
    import xgboost

_POLE, _EQUATOR, _REVERSED = "poleward", "equatorward", "_reversed"
_NEGATED: Final = ("cross_phase_", "log_amplitude_ratio_", "physical_cross_phase", "physical_timing_offset_s")
_TOPS: Final = ("physical_top_gain", "physical_top_at")


def turned_features(features: Float32Array) -> Float32Array:
    """Features of the full schema, shape (n, d), as if the stations had changed places; twice is the same again."""
    place = {name: index for index, name in enumerate(SCHEMA.names)}
    found = features[:, [place[_opposite(name)] for name in SCHEMA.names]]
    negated = [index for name, index in place.items() if name.startswith(_NEGATED)]
    found[:, negated] *= -1.0
    found[:, place["physical_reversed"]] = 1.0 - found[:, place["physical_reversed"]]
    return found


def reading_table(examples: Examples, columns: IntArray) -> Table:
    """Windows with a true frequency to learn from: Freq as it is, PBL reversed; the target is ln(f / f₀(L))."""
    features = examples.features[examples.owner]
    features[examples.turned] = turned_features(features[examples.turned])
    target = np.log(examples.truth_Hz / expected_frequency_Hz(examples.l_shell))
    return Table(features[:, columns], target, np.ones(target.size))


def fit_direct(
    training: Table, validation: Table, hyper: Hyper, *, seed: int, threads: int
) -> xgboost.Booster:
    """Boosted trees on the squared error, stopped early on the mean absolute error of the validation rows."""
    library = import_xgboost()
    parameters: dict[str, Any] = asdict(hyper)
    rounds, patience = parameters.pop("rounds"), parameters.pop("patience")
    parameters |= {"objective": "reg:squarederror", "eval_metric": "mae"}
    parameters |= {"tree_method": "hist", "seed": seed, "nthread": threads, "verbosity": 0}
    data, held = (library.DMatrix(part.features, part.target) for part in (training, validation))
    fitted: xgboost.Booster = library.train(
        parameters,
        data,
        rounds,
        evals=[(held, "validation")],
        early_stopping_rounds=patience,
        verbose_eval=False,
    )
    return fitted


def _opposite(name: str) -> str:
    """The column that takes the place of another one when the stations change places."""
    if name in _TOPS:
        return name + _REVERSED
    if name.removesuffix(_REVERSED) in _TOPS:
        return name.removesuffix(_REVERSED)
    if _POLE in name:
        return name.replace(_POLE, _EQUATOR)
    return name.replace(_EQUATOR, _POLE)
