"""Any cutting, order, repetition and interruption of a spacecraft's samples gives the same windows in the end."""

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

from monitor.stages.craft_window import CraftWindowParameters, CraftWindowStage
from monitor.types import (
    CELL_NS,
    SECOND_NS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    CraftHole,
    CraftStretch,
    Domain,
    SampleBlock,
    Tick,
)

S = SECOND_NS
T0_NS = 1_500_000_000 * S + 77 * S
LENGTH_S = 1800
SETTINGS = {
    "paper": CraftWindowParameters(180 * S, 60 * S, 7200 * S),
    "every cell": CraftWindowParameters(CELL_NS, 60 * S, 7200 * S),
    "bridged": CraftWindowParameters(45 * S, 60 * S, 7200 * S, bridge_ratio=0.3),
    "alone": CraftWindowParameters(90 * S, 10 * S, 7200 * S, context=False),
}

Window = CraftStretch | CraftHole


def _instrument(
    names: tuple[str, ...], phase_s: float, step_s: float, seed: int
) -> tuple[tuple[str, ...], int, int, Any]:
    count = round(LENGTH_S / step_s)
    values = np.abs(np.random.default_rng(seed).normal(20.0, 5.0, (len(names), count)))
    return names, T0_NS + round(phase_s * S), round(step_s * S), values


INSTRUMENTS = (
    _instrument(("Bx", "By", "Bz"), 0.0, 4.0, 1),
    _instrument(("N", "Tpar", "Tperp"), 1.3, 4.5, 2),
    _instrument(("Vx", "Vy", "Vz"), 0.7, 1.0, 3),
    _instrument(("B",), 2.0, 10.0, 4),
)
# An outage of all, a gap of the field, a sample of the moments, and a velocity that comes and goes.
for _, _t0, step, series in INSTRUMENTS:
    series[:, (600 * S) // step : (680 * S) // step] = np.nan
INSTRUMENTS[0][3][:, 290:294] = np.nan
INSTRUMENTS[1][3][:, 100] = np.nan
INSTRUMENTS[2][3][:, 1300:] = np.nan


def piece(instrument: int, first: int, last: int) -> SampleBlock:
    names, t0_ns, step_ns, values = INSTRUMENTS[instrument]
    return SampleBlock(
        "MMS1", names, t0_ns + first * step_ns, step_ns, values[:, first:last].copy(), Domain.CRAFT
    )


def final(windows: Sequence[Window]) -> dict[int, tuple[Any, ...]]:
    """What was said last of every window that ends before the last sample, each by itself."""
    latest: dict[int, tuple[Any, ...]] = {}
    for window in windows:
        if isinstance(window, CraftHole):
            latest[window.end_ns] = (window.reason, window.coverage, window.missing)
            continue
        size = SUPPORT_CELLS if window.context else WINDOW_CELLS
        for end, share in zip(window.ends_ns, window.bridged, strict=True):
            first = (end - window.ends_ns[0]) // CELL_NS
            values = window.values[first : first + size]
            assert values.shape == (size, len(VARIABLES))
            gaps = np.isnan(values)
            assert (gaps.all(axis=0) == gaps.any(axis=0)).all()
            assert tuple(np.array(VARIABLES)[gaps.all(axis=0)]) == window.missing
            latest[end] = (window.context, window.missing, share, values.tobytes())
    end_ns = min(t0_ns + values.shape[1] * step_ns for _, t0_ns, step_ns, values in INSTRUMENTS)
    return {end: said for end, said in latest.items() if end <= end_ns}


@cache
def offline(name: str) -> dict[int, tuple[Any, ...]]:
    stage = CraftWindowStage(["MMS1"], SETTINGS[name])
    blocks = [piece(i, 0, values.shape[1]) for i, (_, _, _, values) in enumerate(INSTRUMENTS)]
    return final([*stage.feed(blocks), *stage.flush()])


@st.composite
def arrivals(draw: st.DrawFn) -> list[list[SampleBlock] | Tick]:
    """The same samples in pieces, mixed within a reach, some said again, with time passing in between."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    blocks: list[SampleBlock] = []
    for number, (_, _, _, values) in enumerate(INSTRUMENTS):
        cuts = sorted(rng.sample(range(1, values.shape[1]), draw(st.integers(0, 12))))
        edges = [0, *cuts, values.shape[1]]
        blocks += [piece(number, first, last) for first, last in itertools.pairwise(edges)]
    reach_s = draw(st.sampled_from([0.0, 60.0, 600.0, 10_000.0]))
    blocks.sort(key=lambda block: block.end_ns + rng.random() * reach_s * S)
    for at in draw(st.lists(st.integers(0, len(blocks) - 1), max_size=5)):
        blocks.insert(rng.randrange(len(blocks)), blocks[at])
    items: list[list[SampleBlock] | Tick] = []
    while blocks:
        count = draw(st.integers(1, 8))
        items.append(blocks[:count])
        blocks = blocks[count:]
        if draw(st.integers(0, 3)) == 0:
            items.append(Tick(draw(st.integers(0, 90)) * S))
    return items


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(items=arrivals(), data=st.data())
def test_arrival_does_not_change_the_windows(
    name: str, items: list[list[SampleBlock] | Tick], data: st.DataObject
) -> None:
    stage = CraftWindowStage(["MMS1"], SETTINGS[name])
    windows: list[Window] = []
    stored = data.draw(st.integers(0, len(items) - 1), label="state stored before")
    lost = data.draw(st.integers(stored, len(items)), label="crash before")
    for item in items[:stored]:
        windows += stage.feed(item)
    state = json.dumps(stage.snapshot())
    for item in items[stored:lost]:
        stage.feed(item)
    stage = CraftWindowStage(["MMS1"], SETTINGS[name])
    stage.restore(json.loads(state))
    stage.load(block for item in items[:stored] if not isinstance(item, Tick) for block in item)
    for item in items[stored:]:
        windows += stage.feed(item)
    found = final([*windows, *stage.flush()])
    assert found.keys() == offline(name).keys()
    for end, said in offline(name).items():
        assert found[end] == said, f"{(end - T0_NS) / S} s after the first sample"


def test_reference_holds_every_form() -> None:
    """The comparison would say little if all windows were alike."""
    paper = list(offline("every cell").values())
    assert {said[0] for said in paper} == {True, False, "gap"}
    assert len({said[1] for said in paper}) >= 2
    assert any(said[0] in (True, False) and 0 < said[2] <= 0.3 for said in offline("bridged").values())
