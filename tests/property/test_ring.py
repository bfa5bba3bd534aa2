"""The ring against the plainest model of it: a dictionary of time to (level, value)."""

from __future__ import annotations

import itertools
import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stages.ring import Ring
from monitor.types import SECOND_NS

CAPACITY = 12
WRITES = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.lists(st.one_of(st.just(float("nan")), st.integers(0, 3).map(float)), max_size=20),
        st.integers(0, 4),
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(writes=WRITES)
def test_ring_holds_what_a_dictionary_would(writes: list[tuple[int, list[float], int]]) -> None:
    ring = Ring(SECOND_NS, 0, CAPACITY * SECOND_NS)
    model: dict[int, tuple[int, float]] = {}
    end: int | None = None
    for first, values, level in writes:
        before = dict(model)
        begin_ns, end_ns, too_old = ring.write(first * SECOND_NS, np.array(values, dtype=float), level)
        if values:
            end = max(first if end is None else end, first + len(values))
        oldest = 0 if end is None else end - CAPACITY
        assert too_old == sum(first + k < oldest for k in range(len(values)))
        model = {time: kept for time, kept in model.items() if time >= oldest}
        changed = []
        for time, value in enumerate(values, start=first):
            if np.isnan(value) or time < oldest:
                continue
            known = model.get(time)
            if known is None or (level >= known[0]):
                if known is None or known[1] != value:
                    changed.append(time)
                model[time] = (level, value)
            elif known[1] == value:
                model[time] = (max(level, known[0]), value)
        assert (begin_ns < end_ns) == bool(changed), before
        if changed:
            assert (begin_ns, end_ns) == (changed[0] * SECOND_NS, (changed[-1] + 1) * SECOND_NS)
    read, offset = ring.read(0, 70 * SECOND_NS)
    assert offset == 0
    wanted = [model.get(time, (0, float("nan")))[1] for time in range(70)]
    assert np.array_equal(read, wanted, equal_nan=True)


@settings(max_examples=100)
@given(
    values=st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30),
    cuts=st.lists(st.integers(1, 29), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_chunks_in_any_order_give_the_same_ring(
    values: list[float], cuts: list[int], order: random.Random
) -> None:
    whole = Ring(SECOND_NS, 0, 60 * SECOND_NS)
    whole.write(0, np.array(values), 0)
    edges = [0, *sorted({cut for cut in cuts if cut < len(values)}), len(values)]
    pieces = list(itertools.pairwise(edges))
    pieces += pieces[:2]
    order.shuffle(pieces)
    chunked = Ring(SECOND_NS, 0, 60 * SECOND_NS)
    for begin, end in pieces:
        chunked.write(begin * SECOND_NS, np.array(values[begin:end]), 0)
    assert np.array_equal(
        whole.read(0, 60 * SECOND_NS)[0], chunked.read(0, 60 * SECOND_NS)[0], equal_nan=True
    )
