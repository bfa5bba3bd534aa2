"""What is fitted around a trained network: temperatures of its probabilities, and how far its known territory reaches.

Both are fitted apart for either form, and for windows with all variables and with some missing: what lacks variables is
less sure, and lies elsewhere among the features.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from monitor.jobs.region.export import network_onnx
from monitor.jobs.region.network import RegionNetwork, to_arrays
from monitor.models.base import pack_arrays
from monitor.models.card import ModelInfo
from monitor.models.region import (
    KIND,
    NETWORK,
    NOVELTY,
    PARAMETERS,
    WEIGHTS,
    PerForm,
    RegionModel,
    RegionParameters,
    network_bias,
    network_session,
)
from monitor.science.mahalanobis import ClassDistances, fit_class_distances
from monitor.science.region import tempered, window_part
from monitor.science.reliability import expected_calibration_error
from monitor.types import REGIONS, BoolArray, Float32Array, FloatArray, IntArray, RegionExamples

QUANTILE: Final = 0.995
"""Share of the validation windows of each kind that are known territory."""
FEWEST: Final = 100
"""Windows of a kind below which it takes what fits all together."""

# Where every window is right the least cross entropy is at no temperature at all.
_LOG_TEMPERATURE = (-1.4, 3.0)
_UNIT = PerForm(1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Around:
    """A trained network with what was fitted around it.

    Attributes
    ----------
    contents : dict of str to bytes
        The files of the model, for `write_model`; the card names the same.
    model : RegionModel
        They at work, without a card.
    calibration_error : dict of str to float, or None
        Expected calibration error in validation, before and after, by kind: None where it has no windows.
    """

    contents: dict[str, bytes]
    model: RegionModel
    calibration_error: dict[str, dict[str, float] | None]


@dataclass(frozen=True, slots=True)
class _Seen:
    """Windows as the network sees them: in the isolated form all, then in the context form those that have one."""

    logits: FloatArray
    features: Float32Array
    label: IntArray
    context: BoolArray
    masked: BoolArray

    def kinds(self) -> dict[str, BoolArray]:
        """Which are of each of the kinds of `PerForm`."""
        return {
            f"{form}_{state}": (self.context == (form == "context")) & (self.masked == (state == "masked"))
            for form in ("isolated", "context")
            for state in ("complete", "masked")
        }


def fit_around(network: RegionNetwork, training: RegionExamples, validation: RegionExamples) -> Around:
    """Fit temperatures and known territory, and pack the model.

    Parameters
    ----------
    network : RegionNetwork
        Trained, on the CPU.
    training : RegionExamples
        Windows like those of training, whose classes' features make the known territory.
    validation : RegionExamples
        That neither the weights nor the territory were fitted to.

    Raises
    ------
    ValueError
        There are too few windows that are not mixed.
    """
    data = network_onnx(network)
    session = network_session(data, network.dense.in_features, NETWORK)
    info = ModelInfo(KIND, "unpacked", "0", "0" * 64)
    count = network.dense.in_features
    nowhere = ClassDistances(np.zeros((len(REGIONS), count)), np.eye(count))
    bare = RegionModel(
        info, RegionParameters(network.mode, _UNIT, _UNIT), session, network_bias(session), nowhere
    )
    learnt, held = _seen(bare, training), _seen(bare, validation)
    distances = fit_class_distances(learnt.features, learnt.label, len(REGIONS))
    temperatures = _per_form(held, lambda rows: fit_temperature(held.logits[rows], held.label[rows]))
    distance = distances.distance(held.features)
    limits = _per_form(held, lambda rows: float(np.quantile(distance[rows], QUANTILE)))
    parameters = RegionParameters(network.mode, temperatures, limits)
    contents = {
        NETWORK: data,
        WEIGHTS: pack_arrays(to_arrays(network)),
        PARAMETERS: (json.dumps(parameters.to_json(), indent=1) + "\n").encode(),
        NOVELTY: pack_arrays(distances.to_arrays()),
    }
    model = RegionModel(info, parameters, session, network_bias(session), distances)
    return Around(contents, model, _errors(held, temperatures))


def fit_temperature(logits: FloatArray, label: IntArray) -> float:
    """The temperature with the least cross entropy: one number, so that no label changes (Guo et al. 2017)."""
    each = np.arange(label.size)

    def cross_entropy(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[each, label].mean())

    found = minimize_scalar(cross_entropy, bounds=_LOG_TEMPERATURE, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _seen(model: RegionModel, examples: RegionExamples) -> _Seen:
    whole = examples.at(~examples.mixed)
    if len(whole) < 2:
        raise ValueError(f"expected at least 2 windows that are not mixed, got {len(whole)}")
    around = whole.at(whole.context)
    alone, values = window_part(whole.values), around.values
    lone = model.windows(alone)
    parts = [(lone, whole, alone, False)]
    if len(around):
        parts.append((model.stretches(values), around, values, True))
    return _Seen(
        logits=np.concatenate([found.logits[:, 0] for found, *_ in parts]),
        features=np.concatenate([found.features[:, 0] for found, *_ in parts]),
        label=np.concatenate([asked.label for _, asked, *_ in parts]),
        context=np.concatenate([np.full(len(asked), context) for _, asked, _, context in parts]),
        masked=np.concatenate([np.isnan(cells).any(axis=(1, 2)) for _, _, cells, _ in parts]),
    )


def _per_form(seen: _Seen, fitted: Callable[[BoolArray], float]) -> PerForm:
    """A number for each kind; where there are too few, the one that fits all."""
    whole = fitted(np.ones(seen.label.size, dtype=np.bool_))
    kinds = seen.kinds()
    return PerForm(**{name: fitted(rows) if rows.sum() >= FEWEST else whole for name, rows in kinds.items()})


def _errors(seen: _Seen, temperatures: PerForm) -> dict[str, dict[str, float] | None]:
    found: dict[str, dict[str, float] | None] = {}
    for name, rows in seen.kinds().items():
        if not rows.any():
            found[name] = None
            continue
        logits, label = seen.logits[rows], seen.label[rows]
        found[name] = {
            when: expected_calibration_error(tempered(logits, temperature), label).top_label
            for when, temperature in (("before", 1.0), ("after", getattr(temperatures, name)))
        }
    return found
