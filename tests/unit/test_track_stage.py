"""The tracking stage: what it changes and says so, what it says again, what it remembers."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from monitor.science.tracker import decide, track
from monitor.science.tracker_parameters import TrackerParameters
from monitor.stages.track import TrackStage, observed_in
from monitor.stages.track_memory import CHECKPOINT, Memory, read_finding, write_finding
from monitor.types import CLASSES, Finding, Illumination, Label, Pair, PhysicalReading, Reading, Tick

CADENCE_NS = 1_800_000_000_000
PAIR = Pair("TAR", "BRZ", 2.9)
EVEN = (1.0, 1.0, 1.0)
RINGING, NOTHING, DOUBTFUL = (0.07, 0.90, 0.03), (0.93, 0.05, 0.02), (0.65, 0.33, 0.02)
NAN = math.nan


def stage(remember: int = 48, *, smooth: bool = False) -> TrackStage:
    return TrackStage(TrackerParameters(), EVEN, CADENCE_NS, remember * CADENCE_NS, smooth=smooth)


def finding(
    number: int,
    probability: tuple[float, float, float] | None = RINGING,
    freq_mHz: float | None = 10.0,
    pbl_mHz: float | None = 25.0,
    pair: Pair = PAIR,
) -> Finding:
    """A window whose stage one takes the most probable class."""
    label = Label.NO_FREQ if probability is None else CLASSES[int(np.argmax(probability))]
    return Finding(
        pair=pair,
        end_ns=number * CADENCE_NS,
        length_ns=4 * CADENCE_NS,
        coverage=((pair.poleward, 1.0), (pair.equatorward, 0.998)),
        physical=PhysicalReading(Label.NO_FREQ, NAN, NAN, NAN, NAN, 0.1, math.inf),
        illumination=Illumination.DAY,
        mlt_h=13.1,
        probability=probability,
        stage_one=None if probability is None else label,
        as_freq=reading(freq_mHz),
        as_pbl=reading(pbl_mHz),
        label=label,
        flags=frozenset({"gap"} if probability is None else {"decimated"}),
    )


def reading(frequency_mHz: float | None) -> Reading | None:
    if frequency_mHz is None:
        return None
    f = frequency_mHz * 1e-3
    return Reading(f, f * math.exp(-0.05 * 1.645), f * math.exp(0.05 * 1.645))


def told(found: list[Finding]) -> list[tuple[int, str, list[str]]]:
    return [(one.end_ns // CADENCE_NS, str(one.label), sorted(one.flags)) for one in found]


def test_stage_says_what_the_science_says() -> None:
    rng = np.random.default_rng(1)
    rows = [
        finding(n, tuple(rng.dirichlet([1.0, 1.0, 0.2]).tolist()), *rng.uniform(8.0, 14.0, 2).tolist())
        for n in range(30)
    ]
    found = stage().feed(rows)
    seen = observed_in(rows)
    end_ns = np.array([row.end_ns for row in rows])
    wanted = track(TrackerParameters(), np.zeros(30, np.int64), end_ns, seen, CADENCE_NS)
    label = np.array([CLASSES.index(row.label) for row in rows])
    chosen = decide(TrackerParameters(), EVEN, label, seen, wanted)
    assert np.array([one.track_probability for one in found]).tolist() == wanted.posterior.tolist()
    assert [CLASSES.index(one.label) for one in found] == chosen.tolist()
    assert sum(a.label is not b.label for a, b in zip(found, rows, strict=True)) >= 3


def test_readings_become_a_sigma_of_ln_f() -> None:
    half = replace(finding(0), as_freq=Reading(0.010, 0.0, 0.012), as_pbl=None)
    seen = observed_in([finding(0), half])
    assert seen.sigma[0] == pytest.approx([0.05, 0.05], rel=1e-3)
    assert seen.sigma[1, 0] == pytest.approx(math.log(1.2) / 1.645, rel=1e-3)
    assert seen.read().tolist() == [[True, True], [True, False]]


def test_what_the_tracker_changes_is_flagged() -> None:
    rows = [finding(n) for n in range(6)] + [finding(6, DOUBTFUL, 10.2), finding(7, (0.1, 0.42, 0.48), 10.1)]
    found = stage().feed(rows)
    assert told(found)[5:] == [
        (5, "Freq", ["decimated"]),
        (6, "Freq", ["decimated", "rescued"]),
        (7, "Freq", ["decimated", "relabelled"]),
    ]
    assert found[6].reading == rows[6].as_freq
    assert found[6].stage_one is Label.NO_FREQ
    assert rows[6].label is Label.NO_FREQ
    lone = [finding(n, NOTHING) for n in range(5)] + [finding(5, (0.35, 0.6, 0.05), 22.0)]
    assert told(stage().feed(lone))[5] == (5, "NoFreq", ["decimated", "dropped"])


def test_run_that_raised_half_way_is_made_up_for_when_the_same_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [*(finding(n) for n in range(3)), *(finding(n, DOUBTFUL, 10.2) for n in range(3, 7))]
    late = [finding(n, NOTHING) for n in range(3)]
    whole, broken = stage(), stage()
    whole.feed(rows)
    expected = whole.feed(late)
    assert len(expected) > 3
    broken.feed(rows)
    turn, calls = broken._turn, iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(broken, "_turn", lambda live: 1 / 0 if next(calls) == 4 else turn(live))
        with pytest.raises(ZeroDivisionError):
            broken.feed(late)
    assert broken.feed(late) == expected


def test_pair_that_is_forgotten_begins_anew() -> None:
    running = stage()
    running.feed([finding(n) for n in range(6)])
    running.forget(PAIR.name)
    assert running.feed([finding(6)]) == stage().feed([finding(6)])
    assert len(running.snapshot()["pairs"]) == 1


def test_window_that_was_never_judged_stays_without_a_resonance() -> None:
    found = stage().feed([*(finding(n) for n in range(6)), finding(6, None)])
    assert told(found)[6] == (6, "NoFreq", ["gap"])
    assert found[6].track_probability is not None
    assert found[6].track_probability[1] > 0.9


def test_revised_window_runs_the_filter_forward_and_later_ones_go_out_again() -> None:
    running = stage()
    rows = [*(finding(n) for n in range(5)), finding(5, DOUBTFUL, 10.2), finding(6, NOTHING)]
    before = running.feed(rows)
    assert before[5].label is Label.FREQ
    again = running.feed(
        [finding(4, (0.999, 0.0005, 0.0005), 40.0), finding(3, NOTHING), finding(2, NOTHING)]
    )
    assert [one.end_ns // CADENCE_NS for one in again] == [2, 3, 4, 5, 6]
    assert told(again)[3] == (5, "NoFreq", ["decimated"])
    clean = stage().feed([*rows[:2], *again_in(rows)])
    assert again == clean[2:]


def again_in(rows: list[Finding]) -> list[Finding]:
    return [finding(2, NOTHING), finding(3, NOTHING), finding(4, (0.999, 0.0005, 0.0005), 40.0), *rows[5:]]


def test_finding_that_says_the_same_again_says_nothing() -> None:
    running = stage()
    running.feed([finding(n) for n in range(4)])
    state = running.snapshot()
    assert running.feed([finding(2), finding(3)]) == []
    assert running.feed(Tick(5)) == []
    assert running.snapshot() is state


def test_state_of_a_pair_is_the_same_object_until_the_pair_changes() -> None:
    running, other = stage(), Pair("MUO", "PEL")
    running.feed([finding(0), finding(0, pair=other)])
    before = running.snapshot()
    running.feed([finding(1, pair=other)])
    after = running.snapshot()
    assert after is not before
    assert after["pairs"]["TAR-BRZ"] is before["pairs"]["TAR-BRZ"]
    assert len(after["pairs"]["MUO-PEL"][-1]) == 2
    assert len(before["pairs"]["MUO-PEL"][-1]) == 1


def test_revision_that_changes_no_evidence_goes_out_alone() -> None:
    running = stage()
    running.feed([finding(n) for n in range(4)])
    revised = replace(finding(1), coverage=(("TAR", 1.0), ("BRZ", 1.0)))
    found = running.feed([revised])
    assert [one.end_ns // CADENCE_NS for one in found] == [1]
    assert found[0].coverage == revised.coverage


def test_finding_older_than_remembered_passes_untracked() -> None:
    running = stage(remember=3)
    running.feed([finding(n) for n in range(8)])
    found = running.feed([finding(4, DOUBTFUL, 10.2), finding(3, DOUBTFUL, 10.2)])
    assert told(found)[0] == (3, "NoFreq", ["decimated", "untracked"])
    assert found[0].track_probability is None
    assert told(found)[1] == (4, "Freq", ["decimated", "rescued"])


def test_memory_is_bounded_and_holds_few_states() -> None:
    memory = Memory(PAIR)
    for number in range(100):
        memory.put(finding(number))
        memory.entries[-1].state = np.full((3, 4), number, dtype=np.float32)
        memory.thin(len(memory.entries) - 1)
        memory.forget((number - 20) * CADENCE_NS)
        assert len(memory.entries) <= 21 + CHECKPOINT
        assert (
            sum(entry.state is not None for entry in memory.entries) <= 1 + len(memory.entries) // CHECKPOINT
        )
    assert memory.entries[0].finding.end_ns <= 79 * CADENCE_NS
    assert memory.base_ns == memory.entries[0].finding.end_ns - CADENCE_NS
    assert memory.base is not None
    assert memory.base[0, 0] * CADENCE_NS == memory.base_ns


def test_run_that_failed_is_made_good_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    running, rows = stage(), [finding(n) for n in range(12)]
    running.feed(rows[:10])
    with monkeypatch.context() as patch:
        patch.setattr("monitor.stages.track.advance", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            running.feed([finding(4, NOTHING), rows[10]])
    found = running.feed([rows[11]])
    clean = stage().feed([*rows[:4], finding(4, NOTHING), *rows[5:]])
    assert [one.track_probability for one in found] == [one.track_probability for one in clean[4:]]


@pytest.mark.parametrize("interrupted", [1, 9, 17, 30])
def test_run_that_was_interrupted_goes_on_as_one_that_was_not(interrupted: int) -> None:
    rng = np.random.default_rng(2)
    rows = [
        finding(n, tuple(rng.dirichlet([1.0, 1.0, 0.2]).tolist()), *rng.uniform(8.0, 14.0, 2).tolist())
        for n in range(40)
    ]
    whole = stage(remember=10)
    whole.feed(rows[:interrupted])
    first = stage(remember=10)
    first.feed(rows[:interrupted])
    second = stage(remember=10)
    second.restore(json.loads(json.dumps(first.snapshot(), allow_nan=False)))
    revised = finding(interrupted - 1, NOTHING)
    for batch in ([revised], rows[interrupted:]):
        resumed, straight = second.feed(batch), whole.feed(batch)
        assert [write_finding(one) for one in resumed] == [write_finding(one) for one in straight]
        assert [one.track_probability for one in resumed] == [one.track_probability for one in straight]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"mlt_h": None},
        {"probability": None, "stage_one": None},
        {"as_freq": None},
        {"as_pbl": None, "as_freq": None, "illumination": None},
        {"coverage": (), "flags": frozenset()},
        {"coverage": (("AB", 1 / 3), ("CD", NAN), ("EF", 0.1))},
    ],
)
def test_finding_is_written_and_read_bit_for_bit(changed: dict[str, object]) -> None:
    whole = replace(finding(3, (1 / 3, 1 / 7, 1 - 1 / 3 - 1 / 7), 10 / 3), **changed)  # type: ignore[arg-type]
    written = json.loads(json.dumps(write_finding(whole), allow_nan=False))
    assert repr(replace(read_finding(PAIR, written), flags=frozenset())) == repr(
        replace(whole, flags=frozenset())
    )
    assert read_finding(PAIR, written).flags == whole.flags


def test_state_of_another_tracker_or_version_is_refused() -> None:
    running = stage()
    running.feed([finding(n) for n in range(3)])
    state = running.snapshot()
    with pytest.raises(ValueError, match="version 2"):
        stage().restore({**state, "version": 2})
    with pytest.raises(ValueError, match="set otherwise"):
        TrackStage(TrackerParameters(), (1.0, 2.0, 1.0), CADENCE_NS, 48 * CADENCE_NS).restore(state)
    with pytest.raises(ValueError, match="set otherwise"):
        TrackStage(TrackerParameters(drift=0.1), EVEN, CADENCE_NS, 48 * CADENCE_NS).restore(state)


@pytest.mark.parametrize("weights", [(1.0, -1.0, 1.0), (0.0, 0.0, 0.0), (NAN, 1.0, 1.0), (1.0, 1.0)])
def test_weights_that_cannot_be_are_refused(weights: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="weights must be"):
        TrackStage(TrackerParameters(), weights, CADENCE_NS, 0)


def test_pairs_do_not_touch_one_another() -> None:
    other = Pair("MUO", "PEL")
    mixed = [finding(n, NOTHING, pair=other) for n in range(6)] + [finding(n) for n in range(6)]
    found = [one for one in stage().feed(mixed) if one.pair == PAIR]
    alone = stage().feed([finding(n) for n in range(6)])
    assert [one.track_probability for one in found] == [one.track_probability for one in alone]
    assert [one.end_ns for one in stage().feed(mixed)] == sorted(one.end_ns for one in mixed)


def test_parameters_are_taken_to_the_cadence_of_the_windows() -> None:
    fast = TrackStage(TrackerParameters(), EVEN, CADENCE_NS // 6, 48 * CADENCE_NS)
    told_fast = fast.feed([replace(finding(0), end_ns=n * CADENCE_NS // 6) for n in range(6)])
    told_slow = stage().feed([finding(n) for n in range(6)])
    # As many windows in a sixth of the time have less to say of their own.
    assert told_fast[-1].track_probability is not None
    assert told_slow[-1].track_probability is not None
    assert told_fast[-1].track_probability[1] < told_slow[-1].track_probability[1]


def test_looking_ahead_holds_everything_and_marks_it() -> None:
    rows = [finding(n, NOTHING, 17.0) for n in range(6)] + [finding(n) for n in range(6, 12)]
    offline = stage(smooth=True)
    assert offline.feed(rows) == []
    found = offline.flush()
    assert all("smoothed" in one.flags for one in found)
    assert [str(one.label) for one in found] == ["NoFreq"] * 6 + ["Freq"] * 6
    causal = stage().feed(rows)
    # The first window of a new resonance is believed late by the one, at once by the other.
    assert causal[6].label is Label.NO_FREQ
    assert stage().flush() == []
