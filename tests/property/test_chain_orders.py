"""Whatever the order, the pieces and the interruptions in which findings come, the last ones make the states of chains."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.plasmapause_parameters import PlasmapauseParameters
from monitor.stages.chain import ChainStage
from monitor.types import (
    Chain,
    ChainState,
    Finding,
    Illumination,
    Label,
    LineEnds,
    MassDensity,
    Pair,
    PhysicalReading,
    Reading,
    Tick,
)

CADENCE_NS = 1_800_000_000_000
PAIRS = (Pair("PEL", "OUJ", 4.8), Pair("OUJ", "HAN", 3.9), Pair("TAR", "BRZ", 2.9), Pair("SUW", "PPN", 2.2))
# Two chains that share a pair, and a pair without a chain.
CHAINS = (Chain("north", PAIRS[:2]), Chain("all", PAIRS[:3]))
PARAMETERS = PlasmapauseParameters(
    step_l=0.4, plasmasphere_levels=(-2.4, 1.4, 2), trough_levels=(-2.0, 2.4, 2)
)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[int, list[Finding]]:
    """How long to remember, and findings that come no later than that behind the newest of all."""
    remembered = draw(st.sampled_from([3, 9, 60]))
    keyed = []
    for pair in PAIRS:
        for number in draw(st.lists(st.integers(0, 25), max_size=20)):
            delay = draw(st.one_of(st.just(0), st.integers(0, remembered)))
            keyed.append((number + delay, len(keyed), draw(findings(pair, number * CADENCE_NS))))
    return remembered * CADENCE_NS, [finding for _, _, finding in sorted(keyed, key=lambda one: one[:2])]


@st.composite
def findings(draw: st.DrawFn, pair: Pair, end_ns: int) -> Finding:
    label = draw(st.sampled_from(list(Label)))
    rho = draw(st.sampled_from([None, 8.0, 400.0, 1200.0]))
    return Finding(
        pair=pair,
        end_ns=end_ns,
        length_ns=4 * CADENCE_NS,
        coverage=((pair.poleward, 1.0), (pair.equatorward, 1.0)),
        physical=PhysicalReading(Label.NO_FREQ, 0.01, 0.001, 0.5, 0.9, 0.0, 0.1),
        illumination=draw(st.sampled_from([Illumination.DAY, Illumination.NIGHT])),
        mlt_h=None,
        probability=None,
        stage_one=None,
        as_freq=Reading(0.01, 0.009, 0.011),
        as_pbl=None,
        label=label,
        density=None if rho is None else MassDensity(rho, rho / 1.2, rho * 1.2, 1.0, 1, LineEnds.FIXED),
    )


def stage(remember_ns: int) -> ChainStage:
    return ChainStage(CHAINS, {}, PARAMETERS, level=0.9, widest_l=3.0, lateness_ns=1, remember_ns=remember_ns)


def kp(hours: int, end_ns: int) -> float | None:
    return (end_ns // CADENCE_NS) % 9 / 3.0 if hours == 12 else None


def final(said: list[ChainState]) -> dict[tuple[str, int], ChainState]:
    return {(state.chain.name, state.end_ns): state for state in said}


@settings(max_examples=40)
@given(stream=arrivals(), cuts=st.data())
def test_states_are_those_of_the_last_findings_in_the_order_of_time(
    stream: tuple[int, list[Finding]], cuts: st.DataObject
) -> None:
    remember_ns, coming = stream
    last = {(one.pair, one.end_ns): one for one in coming}
    plain = stage(1000 * CADENCE_NS)
    reference = plain.feed(list(last.values()), None, kp) + plain.flush(kp)
    running, said, at = stage(remember_ns), [], 0
    while at < len(coming):
        piece = cuts.draw(st.integers(1, 8))
        said.extend(running.feed(coming[at : at + piece], None, kp))
        at += piece
        newest_ns = max(one.end_ns for one in coming[:at])
        said.extend(running.feed(Tick(1), {PAIRS[cuts.draw(st.integers(0, 3))].name: newest_ns + 1}, kp))
        if cuts.draw(st.integers(0, 4)) == 0:
            stored = json.dumps(running.snapshot())
            running = stage(remember_ns)
            running.restore(json.loads(stored))
            assert json.dumps(running.snapshot()) == stored
    said.extend(running.flush(kp))
    assert final(said) == final(reference)
    assert set(final(said)) == {
        (chain.name, end_ns) for pair, end_ns in last for chain in plain.chains if pair in chain.pairs
    }
    # Nothing is said twice without a change in between.
    before: dict[tuple[str, int], ChainState] = {}
    for state in said:
        assert before.get((state.chain.name, state.end_ns)) != state
        before[state.chain.name, state.end_ns] = state


@settings(max_examples=10)
@given(stream=arrivals())
def test_findings_are_not_changed(stream: tuple[int, list[Finding]]) -> None:
    _, coming = stream
    copies = [replace(one) for one in coming]
    running = stage(1000 * CADENCE_NS)
    said = running.feed(coming) + running.flush()
    assert coming == copies
    assert all(one is None or one in coming for state in said for one in state.findings)
