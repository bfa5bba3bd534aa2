"""Any cutting, order, duplication and interruption of the same samples gives the same final products.

Of the physical estimate alone, whose short windows are many, and of the learned chain at the windows it knows, whose
tracker looks back over all windows before.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.config import Config
from monitor.config.schema import Models, Windows
from monitor.pipeline import Pipeline
from monitor.types import SECOND_NS, Product, SampleBlock, Tick

STEP_S, HOURS = 10, 4
COUNT = HOURS * 3600 // STEP_S
T0_NS = 1_283_904_000 * SECOND_NS + 140 * SECOND_NS  # not on a window's edge
CODES = ("MUO", "PEL")
CONFIGS = {
    "physical": Config(
        pairs=("MUO-PEL:5.37",),
        windows=Windows(length_s=3600, cadence_s=1200, lateness_s=120.0),
        models=Models(flr="physical"),
    ),
    "learned": Config(
        pairs=("MUO-PEL:5.37",), windows=Windows(length_s=7200, cadence_s=1200, lateness_s=120.0)
    ),
}


def _field() -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Two stations about a resonance at 16 mHz, with noise, a gap and a spike."""
    rng = np.random.default_rng(1)
    frequency = np.fft.rfftfreq(2 * COUNT, STEP_S)
    u = (frequency - 16e-3) / 4e-3
    shape = (frequency.size, 2)

    def white() -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
        parts = rng.normal(size=shape)
        white_noise: np.ndarray[tuple[int], np.dtype[np.complex128]] = parts[:, 0] + 1j * parts[:, 1]
        return white_noise

    source, series = white(), {}
    for code, side in zip(CODES, (0.6, -0.6), strict=True):
        spectrum = (source / (1 + 1j * (u + side)) + 0.05 * white()) / np.maximum(frequency, 1e-4)
        series[code] = 12_000.0 + np.fft.irfft(spectrum, 2 * COUNT)[:COUNT]
    series["PEL"][400:420] = np.nan
    series["MUO"][700] += 1e5
    return series


FIELD = _field()


def piece(code: str, first: int, last: int) -> SampleBlock:
    values = FIELD[code][None, first:last].copy()
    return SampleBlock(code, ("H",), T0_NS + first * STEP_S * SECOND_NS, STEP_S * SECOND_NS, values)


def final(products: Sequence[Product]) -> dict[tuple[str, int], dict[str, Any]]:
    """The last revision of every `flr` object, without what may differ between runs."""
    latest: dict[tuple[str, int], Product] = {}
    for product in products:
        if product.kind == "flr":
            before = latest.get((product.subject, product.time_ns))
            assert product.revision == (0 if before is None else before.revision + 1)
            latest[product.subject, product.time_ns] = product
    drop = {"id", "revision"}
    return {
        key: {name: value for name, value in product.body.items() if name not in drop}
        for key, product in sorted(latest.items())
    }


def run(pipeline: Pipeline, turns: Sequence[Sequence[SampleBlock] | Tick]) -> list[Product]:
    products: list[Product] = []
    for turn in turns:
        if not isinstance(turn, Tick):
            for block in turn:
                pipeline.admit(block)
        products += pipeline.feed(turn)
    return products


@cache
def wanted(chain: str) -> dict[tuple[str, int], dict[str, Any]]:
    """What the others compare with."""
    pipeline = Pipeline(CONFIGS[chain])
    turns = [[piece(code, at, at + 60) for code in CODES] for at in range(0, COUNT, 60)]
    return final([*run(pipeline, turns), *pipeline.flush()])


@pytest.mark.parametrize("chain", CONFIGS)
def test_reference_says_something(chain: str) -> None:
    bodies = list(wanted(chain).values())
    assert len(bodies) == HOURS * 3
    assert any("gap" in body["flags"] for body in bodies)
    assert any("bridged" in body["flags"] for body in bodies)
    assert any("despiked" in body["flags"] for body in bodies)
    assert {"Freq", "NoFreq"} == {body["label"] for body in bodies}
    learned = [body for body in bodies if body["probability"] is not None]
    assert len(learned) >= 4 if chain == "learned" else not learned
    # The tracker has something to carry from window to window.
    assert len({body["track_probability"]["Freq"] for body in learned}) == len(learned)


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[SampleBlock] | Tick]:
    """All samples of both stations in pieces, some twice, shuffled as far as a random reach, with ticks between."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    pieces = []
    for code in CODES:
        inner = draw(st.lists(st.integers(1, COUNT - 1), max_size=40, unique=True))
        edges = [0, *sorted(inner), COUNT]
        pieces += [piece(code, first, last) for first, last in itertools.pairwise(edges)]
    pieces += rng.sample(pieces, draw(st.integers(0, len(pieces))))
    reach_ns = draw(st.sampled_from([0, 600, 7200, 100_000])) * SECOND_NS
    pieces.sort(key=lambda block: block.t0_ns + rng.random() * reach_ns)
    turns: list[list[SampleBlock] | Tick] = []
    while pieces:
        size = rng.randint(1, 4)
        turns.append(pieces[:size])
        pieces = pieces[size:]
        if rng.random() < 0.2:
            turns.append(Tick(rng.randint(0, 20) * SECOND_NS))
    return turns


SETTINGS = settings(
    max_examples=max(2, settings().max_examples // 20),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("chain", CONFIGS)
@SETTINGS
@given(turns=deliveries())
def test_any_delivery_of_the_same_samples_gives_the_same_final_products(
    chain: str, turns: list[list[SampleBlock] | Tick]
) -> None:
    kept = [[block.values.copy() for block in turn] for turn in turns if not isinstance(turn, Tick)]
    pipeline = Pipeline(CONFIGS[chain])
    found = final([*run(pipeline, turns), *pipeline.flush()])
    assert found == wanted(chain)
    given_blocks = [turn for turn in turns if not isinstance(turn, Tick)]
    for before, after in zip(kept, given_blocks, strict=True):
        for values, block in zip(before, after, strict=True):
            assert np.array_equal(values, block.values, equal_nan=True)


@pytest.mark.parametrize("chain", CONFIGS)
@SETTINGS
@given(turns=deliveries(), data=st.data())
def test_restart_at_any_cut_gives_the_same_final_products(
    chain: str, turns: list[list[SampleBlock] | Tick], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(turns)))
    first = Pipeline(CONFIGS[chain])
    products = run(first, turns[:cut])
    second = Pipeline(CONFIGS[chain])
    second.restore(json.loads(json.dumps(first.snapshot())))
    second.load([block for turn in turns[:cut] if not isinstance(turn, Tick) for block in turn])
    products += [*run(second, turns[cut:]), *second.flush()]
    assert final(products) == wanted(chain)


@pytest.mark.parametrize("chain", CONFIGS)
@pytest.mark.parametrize("size", [1, 7, COUNT])
def test_size_of_the_pieces_does_not_matter(chain: str, size: int) -> None:
    pipeline = Pipeline(CONFIGS[chain])
    turns = [[piece(code, at, min(at + size, COUNT)) for code in CODES] for at in range(0, COUNT, size)]
    assert final([*run(pipeline, turns), *pipeline.flush()]) == wanted(chain)
