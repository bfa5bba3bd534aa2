"""The bundled network on windows that no part of its training made."""

from __future__ import annotations

import numpy as np
import pytest
from plain_plasma import only, plain_windows

from monitor.models.region import RegionModel, load_region
from monitor.science.region import window_part
from monitor.types import REGIONS


@pytest.fixture(scope="module")
def model() -> RegionModel:
    found = load_region("auto")
    assert found is not None
    return found


def _recall(said, label):
    return np.array([(said[label == number] == number).mean() for number in range(len(REGIONS))])


@pytest.mark.parametrize("form", ["context", "isolated"])
def test_bundled_network_tells_plain_plasmas(model, form):
    values, label = plain_windows(60, seed=5)
    output = model.stretches(values) if form == "context" else model.windows(window_part(values))
    said = output.probability[:, 0].argmax(axis=1)
    assert (said == label).mean() >= 0.9
    assert _recall(said, label).min() >= 0.7


def test_bundled_network_tells_plain_plasmas_from_three_scalars(model):
    values, label = plain_windows(60, seed=6)
    said = model.stretches(only(values, ("B", "N", "T"))).probability[:, 0].argmax(axis=1)
    assert (said == label).mean() >= 0.8


def test_bundled_network_calls_rubbish_novel(model):
    values, _ = plain_windows(3, seed=7)
    # Field in tesla, density per cubic metre: no unit check before it, but not like anything known.
    rubbish = values * np.float32(1e-6)
    assert model.stretches(rubbish).novel.mean() > 0.9
    assert model.stretches(values).novel.mean() < 0.2
