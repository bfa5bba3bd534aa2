"""Rows that are laid over each other in the store: what is loaded afterwards gives the same memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.io.store import Store
from monitor.io.store import compaction as store_compaction
from monitor.io.store.compaction import Compaction
from monitor.stages.craft_samples import CraftSamples
from monitor.stages.indices import KP, KpMemory
from monitor.stages.window import WindowParameters, WindowStage
from monitor.stations import Station
from monitor.types import SECOND_NS, Domain, Pair, SampleBlock

settings.register_profile("compaction", max_examples=40)
on_disk = settings.get_profile("compaction")

T0_NS = 1_504_785_600 * SECOND_NS
STATIONS = {
    "TAR": Station("TAR", axes="geographic", declination_deg=8.0),
    "BRZ": Station("BRZ", axes="magnetic"),
}
PARAMETERS = WindowParameters(30 * SECOND_NS, 10 * SECOND_NS, 5 * SECOND_NS, 10 * SECOND_NS)
GROUND_FORMS = [(("H",), 1, 0), (("H", "E"), 1, 0), (("X", "Y"), 1, 0), (("H",), 2, 0), (("H",), 1, 1000)]
CRAFT_FORMS = [(("Bx", "B"), 2, 0), (("N", "V"), 2, 0), (("Bx", "N"), 2, 0), (("N", "V"), 3, 0)]
KP_FORMS = [(("Kp",), 3, 0), (("Kp",), 6, 0)]
Form = tuple[tuple[str, ...], int, int]


def stream(seed: int, sources: Sequence[str], domain: Domain, forms: Sequence[Form]) -> list[SampleBlock]:
    """Blocks of these forms that overlap a lot, with gaps; the first form comes most often."""
    chance = np.random.default_rng(seed)
    rare = chance.choice([0.0, 0.03, 0.5])
    blocks = []
    for _ in range(40):
        components, step_s, phase_ns = (
            forms[0] if chance.random() >= rare else forms[chance.integers(len(forms))]
        )
        count = int(chance.integers(1, 7))
        values = chance.integers(1, 9, (len(components), count)).astype(np.float64)
        values[chance.random(values.shape) < chance.choice([0.0, 0.3])] = np.nan
        t0_ns = T0_NS + int(chance.integers(0, 20 // step_s)) * step_s * SECOND_NS + phase_ns
        level = int(chance.choice([0, 0, 1, 2])) if domain is Domain.GROUND else 0
        source = sources[chance.integers(len(sources))]
        blocks.append(SampleBlock(source, components, t0_ns, step_s * SECOND_NS, values, domain, level))
    return blocks


@contextmanager
def fresh_store() -> Iterator[Store]:
    folder = Path(tempfile.mkdtemp())
    try:
        with Store.open(folder / "monitor.sqlite", retention_ns=1 << 60, product_retention_ns=None) as store:
            # Nobody pulls the plug here, and the examples are many.
            store._files.writer.execute("PRAGMA synchronous = OFF")
            # Hours of eight seconds, each of which may be stored once.
            store._compaction = Compaction(excess=1, hour_ns=8 * SECOND_NS)
            yield store
    finally:
        shutil.rmtree(folder)


def ground_memory(blocks: Sequence[SampleBlock]) -> str:
    """What the stage holds of each station after a load, block by block as a restart does it."""
    stage = WindowStage([Pair("TAR", "BRZ")], STATIONS, PARAMETERS)
    for block in blocks:
        stage.load([block])
    held = {}
    for code, state in stage._stations.items():
        if state.ring is not None:
            ring = state.ring
            assert ring._end is not None
            held[code] = (
                ring.step_ns,
                ring.phase_ns,
                ring._end,
                ring._values.tolist(),
                ring._levels.tolist(),
                state.notes,
            )
    return repr(held)


def craft_memory(blocks: Sequence[SampleBlock]) -> str:
    samples = CraftSamples(60 * SECOND_NS)
    for block in blocks:
        samples.write(block)
        samples.refresh()
    at = slice(samples._begin, samples._stop)
    return repr(
        ([column[at].tolist() for column in samples._rows], samples._end_cell, samples._cells.tolist())
    )


def kp_memory(blocks: Sequence[SampleBlock]) -> str:
    memory = KpMemory(60 * SECOND_NS)
    for block in blocks:
        memory.feed([block])
    return repr(sorted(memory.snapshot()["intervals"]))


KINDS = {
    Domain.GROUND: (["TAR", "BRZ"], GROUND_FORMS, ground_memory),
    Domain.CRAFT: (["MMS1"], CRAFT_FORMS, craft_memory),
    Domain.INDEX: ([KP], KP_FORMS, kp_memory),
}


@pytest.mark.parametrize("domain", list(Domain))
@on_disk
@given(
    st.integers(0, 1 << 32),
    st.permutations(range(5)),
    st.sampled_from([40, 40, 25]),
    st.sampled_from([5, 4096]),
)
def test_load_after_compaction_gives_the_memory_of_all_rows(
    domain: Domain, seed: int, order: list[int], cursor: int, bite: int
) -> None:
    sources, forms, memory = KINDS[domain]
    blocks = stream(seed, sources, domain, [forms[n] for n in order if n < len(forms)])
    with fresh_store() as store, patch.object(store_compaction, "_JOINED_ROWS", bite):
        for number, block in enumerate(blocks, start=1):
            assert store.write_samples([block]) == number
            if number % 15 == 0:
                while store.compact(min(number, cursor)):
                    pass
        while store.compact(cursor):
            pass
        kept = list(store.samples(None, -1))
        assert memory([block for _, block in kept]) == memory(blocks)
        # What no committed state has seen is as it came, row by row.
        late = [(row, block) for row, block in kept if row > cursor]
        assert [row for row, _ in late] == list(range(cursor + 1, len(blocks) + 1))
        for row, block in late:
            np.testing.assert_array_equal(block.values, blocks[row - 1].values)
        assert store.write_samples([]) == len(blocks)
        ends = {block.source: 0 for block in blocks}
        for block in blocks:
            ends[block.source] = max(ends[block.source], block.end_ns)
        assert store.sources() == ends


def test_streams_of_one_form_shrink_to_a_few_rows() -> None:
    for domain, (sources, forms, _) in KINDS.items():
        blocks = stream(1, sources[:1], domain, forms[:1])
        with fresh_store() as store:
            for block in blocks:
                store.write_samples([block])
            while store.compact(len(blocks)):
                pass
            assert sum(1 for _ in store.samples(None, -1)) <= 12, domain
