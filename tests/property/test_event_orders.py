"""Whatever the order, the pieces and the interruptions in which states come, the last ones make the events."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from crossing_kit import CADENCE_NS, EMMA, PAIRS, properties, stage, standing, state

from monitor.stages.crossing import HOUR_NS
from monitor.stages.event import EventStage
from monitor.types import Chain, ChainState, Product, Tick

CHAINS = (EMMA, Chain("south", PAIRS[3:]), Chain("MUO-OUJ", (PAIRS[1],)))
INSIDE = st.sampled_from([0.02, 0.02, 0.4, 0.6, 0.98, 0.98])
PLACES = st.sampled_from([None, 5.5, 4.4, 3.2, 2.6])


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[int, list[ChainState]]:
    """How many windows to remember, and states that come no later than that behind the newest of their chain."""
    remembered = draw(st.sampled_from([3, 8, 20, 60]))
    keyed = []
    for chain in draw(st.sampled_from([CHAINS[:1], CHAINS[1:], CHAINS])):
        numbers = draw(st.lists(st.integers(0, 30), min_size=1, max_size=40))
        for number in [*range(draw(st.integers(0, 31))), *numbers]:
            delay = draw(st.one_of(st.just(0), st.just(0), st.integers(0, remembered)))
            inside = (
                [draw(INSIDE)] * len(chain.pairs)
                if draw(st.booleans())
                else [draw(INSIDE) for _ in chain.pairs]
            )
            one = state(number, inside, draw(PLACES), fresh=draw(st.integers(0, 4)) > 0, chain=chain)
            keyed.append((number + delay, len(keyed), one))
    return remembered, [one for _, _, one in sorted(keyed, key=lambda key: key[:2])]


def made(remembered: int) -> EventStage:
    return stage(
        CHAINS,
        remembered * CADENCE_NS,
        settle_windows=2,
        refractory_ns=HOUR_NS,
        merge_ns=3 * HOUR_NS,
        patience_ns=2 * HOUR_NS,
    )


def well_formed(said: list[Product]) -> None:
    """Every event begins, its numbers rise by one, an end comes before a new begin, and no key comes twice."""
    states: dict[str, list[str]] = defaultdict(list)
    numbers: dict[str, list[int]] = defaultdict(list)
    for product in said:
        one = properties(product)
        states[one["data_id"]].append(one["state"])
        numbers[one["data_id"]].append(one["update"])
    for name, own in states.items():
        assert own[0] == "begin"
        assert all(before == "end" for before, after in pairwise(own) if after == "begin")
        assert numbers[name] == list(range(numbers[name][0], numbers[name][0] + len(own)))
    keys = [(one.subject, one.time_ns, one.revision) for one in said]
    assert len(set(keys)) == len(keys)


@settings(max_examples=settings().max_examples * 2 // 5)
@given(stream=arrivals(), cuts=st.data())
def test_events_are_those_of_the_last_states_in_the_order_of_time(
    stream: tuple[int, list[ChainState]], cuts: st.DataObject
) -> None:
    remembered, coming = stream
    last = {(one.chain.name, one.end_ns): one for one in coming}
    plain = made(1000)
    reference = [
        product for one in sorted(last.values(), key=lambda one: one.end_ns) for product in plain.feed([one])
    ]
    running, said, at = made(remembered), [], 0
    while at < len(coming):
        piece = cuts.draw(st.integers(1, 8))
        said += running.feed(coming[at : at + piece])
        said += running.feed(Tick(1))
        at += piece
        if cuts.draw(st.integers(0, 3)) == 0:
            stored = json.dumps(running.snapshot())
            running = made(remembered)
            running.restore(json.loads(stored))
    assert standing(said) == standing(reference)
    well_formed(said)
    well_formed(reference)


@settings(max_examples=settings().max_examples * 2 // 5)
@given(stream=arrivals(), cut=st.integers(0, 200))
def test_lost_state_gives_no_event_a_second_begin(stream: tuple[int, list[ChainState]], cut: int) -> None:
    _, coming = stream
    ordered = sorted(
        {(one.chain.name, one.end_ns): one for one in coming}.values(), key=lambda one: one.end_ns
    )
    first = made(1000)
    said = [product for one in ordered[:cut] for product in first.feed([one])]
    newest = {properties(one)["data_id"]: json.loads(one.encode(one.time_ns)) for one in said}
    rebuilt = made(1000)
    rebuilt.adopt(newest.values())
    # The stored samples are run again from the first window on: all is found as it was said.
    again = [product for one in ordered[:cut] for product in rebuilt.feed([one])]
    assert again == []
    before = [properties(one)["data_id"] for one in said]
    later = [product for one in ordered[cut:] for product in rebuilt.feed([one])]
    begun = [properties(one)["data_id"] for one in later if properties(one)["state"] == "begin"]
    assert not set(begun) & set(before)
    assert standing(said + later) == standing(said + [p for one in ordered[cut:] for p in first.feed([one])])
