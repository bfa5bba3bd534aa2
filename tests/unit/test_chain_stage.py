"""The chain stage: when windows close, what they rest on, what is said again, what is remembered."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from chain_kit import (
    CADENCE_NS,
    EMMA,
    INNER,
    LATENESS_NS,
    LONE,
    MIDDLE,
    OUTER,
    PARAMETERS,
    STATION_L,
    density,
    finding,
    stage,
    window,
)

from monitor.science.plasmapause import UNLABELLED, advance, initial, observe, summarise
from monitor.science.profile import power_law
from monitor.stages.chain import observation
from monitor.stages.chain_memory import CHECKPOINT, read, read_array, write, write_array
from monitor.types import Chain, ChainState, Finding, Illumination, Label, Pair, Tick


def ends(states: list[ChainState]) -> list[tuple[str, int]]:
    return [(state.chain.name, state.end_ns // CADENCE_NS) for state in states]


def test_window_closes_when_all_pairs_have_come() -> None:
    running = stage()
    assert running.feed([finding(1, OUTER), finding(1, INNER)]) == []
    assert ends(running.feed([finding(1, MIDDLE)])) == [("emma", 1)]


def test_pair_that_is_further_closes_what_it_left_out() -> None:
    running = stage()
    running.feed(window(1, 8.0, 500.0, 900.0))
    assert running.feed([finding(2, OUTER), finding(2, INNER)]) == []
    # The middle pair has come to the third window and brings nothing for the second.
    found = running.feed([finding(3, MIDDLE)])
    assert ("emma", 2) in ends(found)
    assert found[0].findings[1] is None
    assert found[0].used == (True, False, True)


def test_pair_that_never_reports_is_waited_for_as_long_as_the_clock_says() -> None:
    running = stage()
    assert running.feed([finding(4, OUTER), finding(4, INNER)]) == []
    due = 4 * CADENCE_NS + LATENESS_NS
    assert running.feed(Tick(1), {OUTER.name: due - 1, MIDDLE.name: 0, LONE.name: due + 9}) == []
    (state,) = running.feed(Tick(1), {OUTER.name: due})
    assert (state.end_ns, state.findings[1]) == (4 * CADENCE_NS, None)
    assert running.feed(Tick(1), {OUTER.name: due + 10}) == []
    # A finding of a later window is a clock too.
    assert running.feed([finding(5, OUTER)]) == []
    assert ends(running.feed([finding(6, OUTER)])) == [("emma", 5)]


def test_flush_closes_what_is_left() -> None:
    running = stage()
    assert running.feed([finding(1, OUTER), finding(2, OUTER), finding(2, INNER)]) != []
    assert ends(running.flush()) == [("emma", 2)]
    assert running.flush() == []


def test_stage_says_what_the_science_says() -> None:
    said = stage().feed([one for n in range(6) for one in window(n, 10.0 + n, 400.0, 1100.0)])
    state = initial(PARAMETERS)
    assert len(said) == 6
    for n, found in enumerate(said):
        seen = observation(EMMA.pairs, window(n, 10.0 + n, 400.0, 1100.0), STATION_L)
        state = observe(PARAMETERS, advance(PARAMETERS, state, 0.5) if n else state, seen)
        assert found.plasmapause == summarise(PARAMETERS, state, seen, 0.9, 3.0)
        assert found.fit == power_law(seen.l_shell, np.array([10.0 + n, 400.0, 1100.0]), seen.sigma_ln)
        assert found.findings == tuple(window(n, 10.0 + n, 400.0, 1100.0))
    assert said[-1].plasmapause.inside[0] < said[-1].plasmapause.inside[1]


def test_hours_between_windows_count() -> None:
    rows = [*window(1, 8.0, 500.0, 900.0), *window(40, 8.0, None, None)]
    seen = [observation(EMMA.pairs, rows[at : at + 3], STATION_L) for at in (0, 3)]
    state = observe(PARAMETERS, initial(PARAMETERS), seen[0])
    state = observe(PARAMETERS, advance(PARAMETERS, state, 19.5), seen[1])
    assert stage().feed(rows)[1].plasmapause == summarise(PARAMETERS, state, seen[1], 0.9, 3.0)


@pytest.mark.parametrize(
    ("one", "by_day", "at_night"),
    [
        (finding(1, MIDDLE, 400.0), True, True),
        (finding(1, MIDDLE, None, Label.PBL), True, True),
        (finding(1, MIDDLE, 400.0, Label.NO_FREQ), False, False),
        (finding(1, MIDDLE, 400.0, illumination=Illumination.NIGHT), False, True),
        (finding(1, MIDDLE, 400.0, illumination=Illumination.PENUMBRA), False, True),
        (finding(1, MIDDLE, 400.0, illumination=None), False, True),
    ],
)
def test_pair_is_used_by_its_label_and_light(one: Finding, by_day: bool, at_night: bool) -> None:
    for night, wanted in ((False, by_day), (True, at_night)):
        running = stage(night=night)
        running.feed([one])
        (state,) = running.flush()
        assert state.used == (False, wanted, False)
        assert (state.plasmapause.reason == "no_data") is not wanted


def test_observation_has_what_is_used_and_nothing_else() -> None:
    third = frozenset({"harmonic_ambiguous"})
    used = (finding(1, OUTER, 10.0, flags=third), None, None, finding(1, LONE, None, Label.PBL))
    pairs = (OUTER, MIDDLE, INNER, LONE)
    seen = observation(pairs, used, STATION_L)
    assert seen.l_shell.tolist() == [4.8, 3.9, 2.9, 2.2]
    assert seen.half_span_l[:3] == pytest.approx([0.3, 0.6, 0.2])
    assert math.isnan(seen.half_span_l[3])
    assert seen.ln_density[0] == pytest.approx(math.log(10.0))
    assert np.isnan(seen.ln_density[1:]).all()
    # The interval of a density holds 90 % of a normal error.
    assert seen.sigma_ln[0] == pytest.approx(math.log(1.3) / 1.645, rel=1e-3)
    assert seen.label.tolist() == [1, UNLABELLED, UNLABELLED, 2]
    assert seen.ambiguous.tolist() == [True, False, False, False]


@pytest.mark.parametrize("rho", [0.0, -3.0, math.nan, math.inf])
def test_density_that_cannot_be_is_none(rho: float) -> None:
    one = replace(finding(1, MIDDLE), density=density(rho))
    seen = observation((MIDDLE,), (one,), STATION_L)
    assert math.isnan(seen.ln_density[0])
    assert seen.seen.tolist() == [True]


@pytest.mark.parametrize("station_l", [{}, {"OUJ": 4.5}, {"OUJ": 3.3, "HAN": 4.5}, {"OUJ": 12.0, "HAN": 3.3}])
def test_distance_of_stations_that_cannot_be_is_unknown(station_l: dict[str, float]) -> None:
    seen = observation((MIDDLE,), (None,), station_l)
    assert math.isnan(seen.half_span_l[0])


def test_revision_says_all_later_windows_that_change_again() -> None:
    running = stage()
    running.feed([one for n in range(5) for one in window(n, 8.0, 400.0, 900.0)])
    found = running.feed([finding(2, MIDDLE, 9.0)])
    assert ends(found) == [("emma", 2), ("emma", 3), ("emma", 4)]
    assert found[0].findings[1] == finding(2, MIDDLE, 9.0)
    # Said again it is no news.
    assert running.feed([finding(2, MIDDLE, 9.0)]) == []


def test_chains_that_share_a_pair_each_have_it() -> None:
    north, south = Chain("north", (OUTER, MIDDLE)), Chain("south", (MIDDLE, INNER))
    running = stage(chains=(north, south))
    assert [chain.name for chain in running.chains] == ["north", "south"]
    found = running.feed(window(1, 8.0, 500.0, 900.0))
    assert ends(found) == [("north", 1), ("south", 1)]
    assert found[0].findings[1] == found[1].findings[0] == finding(1, MIDDLE, 500.0)
    assert ends(running.feed([finding(1, MIDDLE, 30.0)])) == [("north", 1), ("south", 1)]
    assert ends(running.feed([finding(1, INNER, 30.0)])) == [("south", 1)]


def test_pair_of_no_chain_says_nothing() -> None:
    assert stage().feed([finding(1, LONE, 2000.0)]) == []


def test_chain_may_have_one_pair() -> None:
    (state,) = stage(chains=(Chain("south", (LONE,)),)).feed([finding(1, LONE, 2000.0)])
    assert state.plasmapause.inside[0] > 0.5
    assert state.fit is None


@pytest.mark.parametrize("l_shell", [None, 1.0, math.nan, math.inf])
def test_pair_without_a_line_has_no_place(l_shell: float | None) -> None:
    nowhere = Pair("AAA", "BBB", l_shell)
    running = stage(chains=(Chain("emma", (OUTER, nowhere)), Chain("none", (nowhere,))))
    assert running.chains == (Chain("emma", (OUTER,)),)
    assert running.feed([finding(1, nowhere)]) == []
    assert ends(running.feed([finding(1, OUTER)])) == [("emma", 1)]


def test_chains_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"chain emma must begin outside: PEL-OUJ follows OUJ-HAN"):
        stage(chains=(Chain("emma", (MIDDLE, OUTER)),))
    with pytest.raises(ValueError, match=r"different names, not \['emma', 'emma'"):
        stage(chains=(EMMA, EMMA))


def test_finding_of_a_pair_nobody_named_is_passed_over() -> None:
    assert stage().feed([finding(1, Pair("AAA", "BBB", 3.0))]) == []


def test_kp_is_asked_once_and_again_when_it_changes() -> None:
    asked: list[tuple[int, int]] = []

    def kp(hours: int, end_ns: int) -> float | None:
        asked.append((hours, end_ns // CADENCE_NS))
        return None if end_ns == CADENCE_NS else hours / 6.0

    running = stage()
    found = running.feed([*window(1, 8.0, 500.0, 900.0), *window(2, 8.0, 500.0, 900.0)], None, kp)
    assert [(one.kp_maximum_12h, one.kp_maximum_24h) for one in found] == [(None, None), (2.0, 4.0)]
    assert asked == [(12, 1), (24, 1), (12, 2), (24, 2)]
    running.feed([finding(1, MIDDLE, 30.0), finding(1, LONE)], None, kp)
    assert len(asked) == 4
    assert running.kp_changed(kp) == []
    (changed,) = running.kp_changed(lambda hours, end_ns: hours / 6.0)
    assert (changed.end_ns, changed.kp_maximum_24h) == (CADENCE_NS, 4.0)
    restored = stage()
    restored.restore(json.loads(json.dumps(running.snapshot())))
    assert restored.kp_changed(lambda hours, end_ns: hours / 6.0) == []
    (revised,) = restored.feed([finding(2, MIDDLE, 30.0)])
    assert revised.kp_maximum_12h == 2.0


def test_what_is_older_than_the_memory_is_left_out_and_counted() -> None:
    running = stage(4)
    running.feed([one for n in range(40) for one in window(n, 8.0, 400.0, 900.0)])
    assert running.feed([finding(34, MIDDLE, 9.0), finding(3, MIDDLE, 9.0)]) == []
    assert running.too_late_findings == 2
    assert ends(running.feed([finding(35, MIDDLE, 9.0)]))[0] == ("emma", 35)


def test_memory_is_bounded() -> None:
    running, sizes = stage(12), []
    for n in range(60):
        running.feed(window(n, 8.0, 400.0, 900.0))
        sizes.append(len(running.snapshot()["chains"]["emma"]["windows"]))
    assert max(sizes) <= 12 + CHECKPOINT + 1
    assert len(running.snapshot()["chains"]["emma"]["base"][1]) > 100


def test_snapshot_is_the_same_object_until_something_changes() -> None:
    running = stage(chains=(EMMA, Chain("south", (LONE,))))
    running.feed([*window(1, 8.0, 500.0, 900.0), finding(1, LONE)])
    first = running.snapshot()
    running.feed(Tick(1), {OUTER.name: 9 * CADENCE_NS})
    running.feed([finding(1, OUTER, 8.0)])
    assert running.snapshot() is first
    running.feed([finding(1, LONE, 30.0)])
    second = running.snapshot()
    assert second is not first
    assert second["chains"]["emma"] is first["chains"]["emma"]
    # What was given away does not change afterwards.
    before = json.dumps(second)
    running.feed(window(2, 8.0, 500.0, 900.0))
    running.feed([finding(1, MIDDLE, 9.0)])
    assert json.dumps(second) == before


def test_state_of_others_is_refused_and_that_of_a_changed_chain_left() -> None:
    running = stage()
    running.feed(window(1, 8.0, 500.0, 900.0))
    state = json.loads(json.dumps(running.snapshot()))
    with pytest.raises(ValueError, match="chain state has version 9"):
        stage().restore(state | {"version": 9})
    with pytest.raises(ValueError, match="modelled otherwise"):
        stage(parameters=replace(PARAMETERS, erosion_l=0.7)).restore(state)
    with pytest.raises(ValueError, match="modelled otherwise"):
        stage(night=True).restore(state)
    moved = Chain("emma", (OUTER, replace(MIDDLE, l_shell=3.8), INNER))
    fresh = stage(chains=(moved,))
    fresh.restore(state)
    assert fresh.snapshot()["chains"]["emma"]["windows"] == []
    same = stage()
    same.restore(state)
    assert same.snapshot()["chains"]["emma"]["windows"] == state["chains"]["emma"]["windows"]


def test_finding_and_array_are_written_bit_by_bit() -> None:
    one = replace(
        finding(3, OUTER, 1234.5678901234567, Label.PBL, flags=frozenset({"smoothed", "harmonic_ambiguous"})),
        alternatives=(density(0.1 + 0.2, 3), density(1e-30)),
        physical=replace(
            finding(3, OUTER).physical, frequency_Hz=0.01, sigma_Hz=1.0, cross_phase_rad=2.0, coherence=0.3
        ),
    )
    assert read(OUTER, json.loads(json.dumps(write(one)))) == one
    bare = replace(one, density=None, alternatives=(), track_probability=None)
    assert read(OUTER, json.loads(json.dumps(write(bare)))) == bare
    array = np.random.default_rng(1).random((3, 2, 4), dtype=np.float32)
    assert np.array_equal(read_array(json.loads(json.dumps(write_array(array)))), array)
