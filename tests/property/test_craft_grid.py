"""The same samples give the same cells by file and by live feed, however jittered, broken and cut."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monitor.io.files import craft as files_craft
from monitor.io.files.craft import join_craft, to_grid, usual_step_ns
from monitor.stages.craft_samples import CraftSamples
from monitor.types import CELL_NS, SECOND_NS, VARIABLES, Domain, FloatArray, IntArray, SampleBlock

T0_NS = 1_511_485_200 * SECOND_NS
# Of no total all components come: those a feed derives from its cells, and a file from its samples.
INSTRUMENTS = (("Bx", "By"), ("N", "Vx", "Tpar"))
SPAN_NS = 2 * 3600 * SECOND_NS


@dataclass(frozen=True)
class Samples:
    """What one instrument measured: middles (n,), values (c, n)."""

    names: tuple[str, ...]
    middle_ns: IntArray
    values: FloatArray

    @property
    def step_ns(self) -> int:
        return usual_step_ns(self.middle_ns, self.names[0])


@st.composite
def measured(draw: st.DrawFn, names: tuple[str, ...]) -> Samples:
    """Samples with jitter, outages, and values missing here and there."""
    step_ms = draw(st.integers(1000, 10_000))
    jitter = draw(st.sampled_from([0.0, 0.01, 0.1]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(20, 120))
    middle_ms = draw(st.integers(0, 9000)) + np.arange(count) * step_ms
    middle_ms = middle_ms + np.rint(rng.uniform(-jitter, jitter, count) * step_ms).astype(np.int64)
    for at in draw(st.lists(st.integers(1, count - 1), max_size=3)):
        middle_ms[at:] += draw(st.integers(0, 400_000))
    kept = np.flatnonzero(rng.random(count) >= draw(st.sampled_from([0.0, 0.05, 0.3])))
    values = rng.normal(100.0, 30.0, (len(names), count))
    values[rng.random(values.shape) < draw(st.sampled_from([0.0, 0.1, 0.5]))] = np.nan
    assume(kept.size > 1)
    samples = Samples(names, T0_NS + middle_ms[kept] * 1_000_000, values[:, kept])
    assume(np.median(np.diff(samples.middle_ns)) <= 10 * SECOND_NS)
    return samples


def by_file(instruments: Sequence[Samples], first: int, last: int) -> FloatArray:
    """Cells [first, last) of one file an instrument."""
    series = [
        part
        for one in instruments
        for part in to_grid(
            files_craft.CraftSamples(one.middle_ns, one.names, one.values), "MMS1", one.names[0]
        )
    ]
    cells = np.full((last - first, len(VARIABLES)), np.nan)
    for part in join_craft(series):
        low = part.t0_ns // CELL_NS - first
        for name, row in zip(part.components, part.values, strict=True):
            cells[low : low + part.count, VARIABLES.index(name)] = row
    return cells


def blocks_of(samples: Samples, rng: random.Random) -> list[SampleBlock]:
    """Messages of a feed: one or several samples where they are even, all variables together or apart."""
    step_ns, rows = samples.step_ns, list(range(len(samples.names)))
    blocks = []
    start = 0
    while start < samples.middle_ns.size:
        stop = start + 1
        most = start + rng.randint(1, 20)
        while stop < min(most, samples.middle_ns.size) and (
            samples.middle_ns[stop] - samples.middle_ns[stop - 1] == step_ns
        ):
            stop += 1
        for group in [rows] if rng.random() < 0.5 else [[row] for row in rows]:
            names = tuple(samples.names[row] for row in group)
            t0_ns = int(samples.middle_ns[start]) - step_ns // 2
            blocks.append(
                SampleBlock(
                    "MMS1", names, t0_ns, step_ns, samples.values[group, start:stop].copy(), Domain.CRAFT
                )
            )
        start = stop
    return blocks


@settings(max_examples=60)
@given(
    instruments=st.tuples(*(measured(names) for names in INSTRUMENTS)),
    seed=st.integers(0, 2**32),
    reach_s=st.sampled_from([0.0, 30.0, 10_000.0]),
)
def test_file_and_feed_give_the_same_cells(
    instruments: tuple[Samples, ...], seed: int, reach_s: float
) -> None:
    rng = random.Random(seed)
    blocks = [block for samples in instruments for block in blocks_of(samples, rng)]
    blocks += rng.choices(blocks, k=3)
    blocks.sort(key=lambda block: block.end_ns + rng.random() * reach_s * SECOND_NS)
    live = CraftSamples(SPAN_NS)
    for block in blocks:
        live.write(block)
        if rng.random() < 0.2:
            live.refresh()
    first = int(min(one.middle_ns[0] for one in instruments)) // CELL_NS - 3
    last = int(max(one.middle_ns[-1] for one in instruments)) // CELL_NS + 4
    found = live.cells(first * CELL_NS, last * CELL_NS)
    np.testing.assert_array_equal(by_file(instruments, first, last), found)


def test_jittered_samples_are_no_gap_by_either_way() -> None:
    """The comparison would say little if all cells were gaps."""
    middle_ns = T0_NS + (2 + 4 * np.arange(200)) * SECOND_NS
    middle_ns += np.random.default_rng(1).integers(-400, 400, 200) * 1_000_000
    samples = Samples(("N",), middle_ns, np.arange(200.0)[np.newaxis])
    cells = by_file([samples], T0_NS // CELL_NS, T0_NS // CELL_NS + 178)[:, VARIABLES.index("N")]
    assert cells[:177] == pytest.approx((np.arange(177) + 0.5) * 4.5 / 4.0, abs=1.2)
