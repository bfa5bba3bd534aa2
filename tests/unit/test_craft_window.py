"""Windows of spacecraft: when they close, in which form, what joins, and what late samples change."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from monitor.stages.craft_window import LENGTH_NS, CraftWindowParameters, CraftWindowStage
from monitor.types import (
    CELL_NS,
    SECOND_NS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    CraftHole,
    CraftStretch,
    Domain,
    FloatArray,
    SampleBlock,
    Tick,
)

S = SECOND_NS
HOP_NS = 180 * S
T0_NS = 8_333_334 * HOP_NS
WAIT_S = 31.5
LATENESS_S = 60.0
SERIES: FloatArray = np.random.default_rng(8).normal(50.0, 5.0, (2000, len(VARIABLES)))

Window = CraftStretch | CraftHole


def stage(
    hop_s: float = 180.0,
    lateness_s: float = LATENESS_S,
    revise_s: float = 3600.0,
    bridge_ratio: float = 0.0,
    *,
    context: bool = True,
    craft: Sequence[str] = ("MMS1",),
) -> CraftWindowStage:
    parameters = CraftWindowParameters(
        round(hop_s * S), round(lateness_s * S), round(revise_s * S), context, bridge_ratio
    )
    return CraftWindowStage(craft, parameters)


def block(
    first: int, last: int, names: Sequence[str] = VARIABLES, values: FloatArray = SERIES, craft: str = "MMS1"
) -> SampleBlock:
    """Cells [first, last) after T0 as one block."""
    columns = [VARIABLES.index(name) for name in names]
    rows = values[first:last, columns].T.copy()
    return SampleBlock(craft, tuple(names), T0_NS + first * CELL_NS, CELL_NS, rows, Domain.CRAFT)


def without(first: int, last: int, name: str | None = None) -> FloatArray:
    """The series with a gap in one variable, or in all."""
    values = SERIES.copy()
    values[first:last, slice(None) if name is None else VARIABLES.index(name)] = np.nan
    return values


def shape(windows: Sequence[Window]) -> list[tuple[str, tuple[int, ...]]]:
    """Form and ends (in hops of three minutes after T0) of what came."""
    out: list[tuple[str, tuple[int, ...]]] = []
    for window in windows:
        if isinstance(window, CraftHole):
            out.append((window.reason, ((window.end_ns - T0_NS) // HOP_NS,)))
        else:
            form = "context" if window.context else "alone"
            out.append((form, tuple((end - T0_NS) // HOP_NS for end in window.ends_ns)))
    return out


def test_window_closes_when_the_context_after_it_is_there() -> None:
    windows = stage()
    assert shape(windows.feed([block(0, 46)])) == []
    assert shape(windows.feed([block(46, 47)])) == [("alone", (1,))]
    assert shape(windows.feed([block(47, 86)])) == []
    (stretch,) = windows.feed([block(86, 87)])
    assert isinstance(stretch, CraftStretch)
    assert stretch.ends_ns == (T0_NS + 2 * HOP_NS,)
    assert stretch.values.shape == (SUPPORT_CELLS, len(VARIABLES))
    np.testing.assert_array_equal(stretch.values, SERIES[34:87])
    assert stretch.t0_ns == T0_NS + 34 * CELL_NS


def test_window_without_context_closes_at_its_end() -> None:
    windows = stage(context=False)
    assert shape(windows.feed([block(0, 39)])) == []
    (alone,) = windows.feed([block(39, 40)])
    assert isinstance(alone, CraftStretch)
    assert not alone.context
    assert alone.t0_ns == T0_NS
    np.testing.assert_array_equal(alone.values, SERIES[:WINDOW_CELLS])


def test_window_whose_context_does_not_come_closes_alone_after_the_lateness() -> None:
    windows = stage()
    windows.feed([block(0, 80)])
    assert windows.feed(Tick(59 * S)) == []
    assert shape(windows.feed(Tick(S))) == [("alone", (2,))]
    assert shape(windows.feed([block(80, 87)])) == []
    # The context came late: the window is had better now.
    assert shape(windows.feed([block(87, 101)])) == [("context", (2,))]


def test_lateness_shorter_than_the_context_still_waits_for_it() -> None:
    windows = stage(lateness_s=0.0)
    assert shape(windows.feed([block(0, 80)])) == [("alone", (1,))]
    assert shape(windows.feed([block(80, 87)])) == [("context", (2,))]


def test_burst_of_whole_windows_is_one_stretch() -> None:
    (alone, stretch) = stage().feed([block(0, 400)])
    assert shape([alone, stretch]) == [("alone", (1,)), ("context", tuple(range(2, 10)))]
    assert isinstance(stretch, CraftStretch)
    np.testing.assert_array_equal(stretch.values, SERIES[34 : 9 * 40 + 7])
    assert stretch.bridged == (0.0,) * 8


def test_hop_of_one_cell_gives_a_window_a_cell() -> None:
    found = stage(hop_s=4.5).feed([block(0, 200)])
    holes = [window for window in found if isinstance(window, CraftHole)]
    assert len(holes) == 39
    alone = [window for window in found if isinstance(window, CraftStretch) and not window.context]
    assert [window.ends_ns for window in alone] == [(T0_NS + n * CELL_NS,) for n in range(40, 46)]
    (stretch,) = (window for window in found if isinstance(window, CraftStretch) and window.context)
    assert stretch.ends_ns == tuple(T0_NS + n * CELL_NS for n in range(46, 194))
    assert stretch.values.shape[0] == len(stretch.ends_ns) + SUPPORT_CELLS - 1


@pytest.mark.parametrize("name", [None, "N"])
def test_window_with_a_gap_is_a_hole_and_its_neighbours_stand(name: str | None) -> None:
    values = without(100, 101, name)
    found = stage().feed([block(0, 300, values=values)])
    assert shape(found) == [
        ("alone", (1,)),
        ("context", (2,)),
        ("gap", (3,)),
        ("context", (4, 5, 6, 7)),
    ]
    (hole,) = (window for window in found if isinstance(window, CraftHole))
    assert hole.coverage == (1.0 if name else 39 / 40)
    assert hole.missing == ()


def test_gap_in_the_context_alone_leaves_a_window_by_itself() -> None:
    found = stage().feed([block(0, 300, values=without(120, 121))])
    assert shape(found)[1:] == [("context", (2,)), ("alone", (3,)), ("gap", (4,)), ("context", (5, 6, 7))]


def test_variable_that_is_not_there_is_missing_and_no_gap() -> None:
    names = [name for name in VARIABLES if name not in ("N", "Tpar", "Tperp", "T")]
    (_, stretch) = stage().feed([block(0, 200, names=names)])
    assert isinstance(stretch, CraftStretch)
    assert stretch.missing == ("N", "Tpar", "Tperp", "T")
    missing = [VARIABLES.index(name) for name in stretch.missing]
    assert np.isnan(stretch.values[:, missing]).all()
    assert not np.isnan(np.delete(stretch.values, missing, axis=1)).any()


def test_stretch_ends_where_other_variables_are_missing() -> None:
    """The density comes with cell 127: the end of the context of window 3, and just before that of window 4's cells."""
    found = stage().feed([block(0, 400, values=without(0, 127, "N"))])
    assert shape(found) == [
        ("alone", (1,)),
        ("context", (2, 3)),
        ("gap", (4,)),
        ("context", (5, 6, 7, 8, 9)),
    ]
    assert [window.missing for window in found] == [("N",), ("N",), (), ()]


def test_velocity_alone_tells_no_region() -> None:
    found = stage().feed([block(0, 200, names=("Vx", "Vy", "Vz", "V"))])
    assert {window.reason for window in found if isinstance(window, CraftHole)} == {"no_field_or_plasma"}
    assert len(found) == 4
    assert not any(isinstance(window, CraftStretch) for window in found)


@pytest.mark.parametrize("name", ["B", "N", "T"])
def test_one_telling_variable_is_enough(name: str) -> None:
    found = stage().feed([block(0, 200, names=(name,))])
    assert shape(found)[1] == ("context", (2, 3, 4))


def test_gap_is_bridged_up_to_the_share_that_is_allowed() -> None:
    values = without(100, 104)
    assert shape(stage(bridge_ratio=0.09).feed([block(0, 300, values=values)]))[2] == ("gap", (3,))
    found = stage(bridge_ratio=0.1).feed([block(0, 300, values=values)])
    assert shape(found)[1:] == [("context", (2,)), ("context", (3,)), ("context", (4, 5, 6, 7))]
    bridged = found[2]
    assert isinstance(bridged, CraftStretch)
    assert bridged.bridged == (0.1,)
    line = np.linspace(SERIES[99], SERIES[104], 6)[1:-1]
    np.testing.assert_allclose(bridged.values[100 - 74 : 104 - 74], line, rtol=1e-12)


def test_gap_at_the_edge_of_the_context_is_not_bridged_with_what_lies_outside() -> None:
    """Cells 78 and 79 end window 2, and the context begins window 3: with or without context nothing is made up."""
    found = stage(bridge_ratio=0.2).feed([block(0, 300, values=without(74, 80))])
    # Window 3 has its gap at the begin of its context alone; window 2 can be bridged through its context.
    assert shape(found)[1:] == [("context", (2,)), ("alone", (3,)), ("context", (4, 5, 6, 7))]
    reaches_over = stage(bridge_ratio=0.5).feed([block(0, 300, values=without(74, 87))])
    assert shape(reaches_over)[1] == ("gap", (2,))


def test_outage_is_holes_without_coverage() -> None:
    windows = stage()
    windows.feed([block(0, 87)])
    (hole,) = windows.feed(Tick(round((3 * 180 - 87 * 4.5 + LATENESS_S) * S)))
    assert hole == CraftHole("MMS1", T0_NS + 3 * HOP_NS, 7 / 40, "gap", ())
    (hole,) = windows.feed(Tick(HOP_NS))
    assert hole == CraftHole("MMS1", T0_NS + 4 * HOP_NS, 0.0, "gap", VARIABLES)


def test_jump_of_the_clock_makes_up_no_windows_of_which_nothing_is_held() -> None:
    windows = stage(revise_s=900.0)
    windows.feed([block(0, 87)])
    far = SampleBlock("MMS1", VARIABLES, T0_NS + 100_000 * HOP_NS, CELL_NS, SERIES[:1].T.copy(), Domain.CRAFT)
    found = windows.feed([far])
    assert all(isinstance(window, CraftHole) for window in found)
    # As far as the memory reaches: after the last samples, and before the next.
    ends = [end for _, run in shape(found) for end in run]
    assert ends == sorted(ends)
    assert all(end <= 2 + 900 // 180 + 4 or end >= 100_000 - 900 // 180 - 4 for end in ends)


def test_silence_makes_holes_as_long_as_they_can_be_revised() -> None:
    windows = stage(revise_s=900.0)
    windows.feed([block(0, 87)])
    found = [window for _ in range(600) for window in windows.feed(Tick(60 * S))]
    # 391.5 s after T0, and 180 s + 900 s more.
    assert [end for _, run in shape(found) for end in run] == [3, 4, 5, 6, 7, 8]
    assert windows.craft_clocks["MMS1"] == T0_NS + 87 * CELL_NS + 600 * 60 * S


def test_window_closes_by_the_clock_however_little_is_revised() -> None:
    windows = stage(hop_s=4.5, revise_s=0.0)
    windows.feed([block(0, 80)])
    ends = [end for window in windows.feed(Tick(60 * S)) for end in _ends_of(window)]
    assert ends[-1] == T0_NS + 80 * CELL_NS


def _ends_of(window: Window) -> tuple[int, ...]:
    return (window.end_ns,) if isinstance(window, CraftHole) else window.ends_ns


@pytest.mark.parametrize("waited_s", [0, 300, 1500, 90_000])
def test_pause_is_the_same_whether_or_not_it_was_waited_for(waited_s: int) -> None:
    """Live the time passes; in a replay and offline it jumps."""
    said = []
    for wait in (0, waited_s // 60):
        windows = stage(revise_s=900.0)
        found = windows.feed([block(0, 300)])
        found += [window for _ in range(wait) for window in windows.feed(Tick(60 * S))]
        found += [*windows.feed([block(900, 1200)]), *windows.flush()]
        said.append({end: form for form, run in shape(found) for end in run})
    assert said[0] == said[1]


@pytest.mark.parametrize("pause", [300, 1200])
def test_pause_longer_than_the_memory_is_the_same_in_pieces_of_any_length(pause: int) -> None:
    """Offline much is fed at once, live little: the windows that fall into the pause are the same."""
    said = []
    for piece in (6, 133):
        windows, found = stage(revise_s=600.0), []
        for begin in (0, 400 + pause):
            for first in range(begin, begin + 400, piece):
                found += windows.feed([block(first, min(first + piece, begin + 400))])
        said.append(shape([*found, *windows.flush()]))
    ends = [sorted((form, end) for form, run in one for end in run) for one in said]
    assert ends[0] == ends[1]
    assert sum(form == "gap" for form, _ in ends[0]) >= 3


def test_window_that_changed_before_a_pause_is_formed_again_while_its_samples_are_held() -> None:
    windows = stage(revise_s=600.0)
    windows.feed([block(0, 200)])
    assert windows.feed([block(100, 103, values=SERIES + 1.0)]) == []
    again = windows.feed([block(1500, 1506)])
    assert [form for form, ends in shape(again) if 3 in ends] == ["context"]


def test_burst_longer_than_the_memory_loses_no_window() -> None:
    whole = stage(revise_s=300.0).feed([block(0, 2000)])
    assert {end for window in whole if isinstance(window, CraftStretch) for end in window.ends_ns} == {
        T0_NS + n * HOP_NS for n in range(1, 50)
    }
    apart = stage(revise_s=300.0).feed([block(0, 2000, VARIABLES[:4]), block(0, 2000, VARIABLES[4:])])
    assert not any(isinstance(window, CraftHole) for window in apart)
    assert all(not window.missing for window in apart)


def test_late_samples_open_the_windows_again_whose_cells_they_change() -> None:
    windows = stage()
    assert shape(windows.feed([block(0, 100), block(105, 300)]))[2] == ("gap", (3,))
    assert windows.feed([block(100, 105)]) == []
    assert shape(windows.feed(Tick(10 * S))) == [("context", (3,))]
    assert windows.feed(Tick(10 * S)) == []


def test_late_samples_open_windows_again_whose_context_they_touch() -> None:
    windows = stage()
    windows.feed([block(0, 121), block(122, 300)])
    windows.feed([block(121, 122)])
    assert shape(windows.flush()) == [("context", (3, 4))]


def test_samples_said_again_open_nothing() -> None:
    windows = stage()
    windows.feed([block(0, 300)])
    windows.feed([block(50, 250)])
    assert windows.flush() == []


def test_late_samples_rest_before_their_windows_are_formed_again() -> None:
    windows = stage()
    windows.feed([block(0, 100), block(105, 300)])
    windows.feed([block(100, 105)])
    assert shape(windows.feed([block(300, 313)])) == []
    assert shape(windows.feed([block(313, 314)])) == [("context", (3,))]


def test_late_samples_before_the_first_begin_earlier() -> None:
    windows = stage()
    assert shape(windows.feed([block(80, 200)])) == [("alone", (3,)), ("context", (4,))]
    windows.feed([block(0, 80)])
    assert shape(windows.flush()) == [("alone", (5,)), ("alone", (1,)), ("context", (2, 3))]


def test_samples_too_late_are_counted() -> None:
    windows = stage(revise_s=0.0)
    windows.feed([block(0, 300)])
    windows.feed([block(0, 10)])
    assert windows.too_late_samples == 10
    assert windows.flush() == []


def test_window_waits_for_the_slower_instrument_up_to_the_lateness() -> None:
    windows = stage()
    windows.feed([block(0, 87, VARIABLES[:4]), block(0, 87, VARIABLES[4:])])
    assert shape(windows.feed([block(87, 127, VARIABLES[:4])])) == []
    assert shape(windows.feed([block(87, 127, VARIABLES[4:])])) == [("context", (3,))]
    windows.feed([block(127, 167, VARIABLES[:4])])
    assert shape(windows.feed(Tick(29 * S))) == [("gap", (4,))]


def test_instrument_that_fell_silent_is_not_waited_for_any_more() -> None:
    windows = stage()
    windows.feed([block(0, 87)])
    windows.feed([block(87, 200, VARIABLES[:4])])
    assert shape(windows.feed([block(200, 207, VARIABLES[:4])])) == [("context", (5,))]


def test_every_spacecraft_has_its_own_clock() -> None:
    windows = stage(craft=("MMS1", "C1"))
    windows.feed([block(0, 87), block(0, 40, craft="C1")])
    assert windows.clocks == {"MMS1": T0_NS + 87 * CELL_NS, "C1": T0_NS + HOP_NS}
    (alone,) = windows.feed(Tick(60 * S))
    assert isinstance(alone, CraftStretch)
    assert alone.craft == "C1"
    assert windows.craft_clocks["C1"] == T0_NS + HOP_NS + 60 * S


def test_blocks_of_others_are_left_alone() -> None:
    windows = stage()
    ground = SampleBlock("MMS1", ("H",), T0_NS, S, np.ones((1, 1000)))
    assert windows.feed([block(0, 400, craft="MMS9"), ground]) == []
    assert windows.clocks == {}
    assert windows.flush() == []


def test_flush_closes_what_ends_before_the_clock() -> None:
    windows = stage()
    windows.feed([block(0, 80)])
    assert shape(windows.flush()) == [("alone", (2,))]
    assert windows.flush() == []


def test_restart_goes_on_where_the_state_was_taken() -> None:
    first = stage()
    first.feed([block(0, 100), block(105, 140)])
    first.feed([block(100, 105)])
    state = json.loads(json.dumps(first.snapshot()))
    other = stage()
    other.restore(state)
    other.load([block(0, 140)])
    assert other.snapshot() == first.snapshot()
    found, expected = other.feed([block(140, 167)]), first.feed([block(140, 167)])
    assert shape(found) == shape(expected) == [("context", (4,)), ("context", (3,))]
    for one, reference in zip(found, expected, strict=True):
        assert isinstance(one, CraftStretch)
        assert isinstance(reference, CraftStretch)
        np.testing.assert_array_equal(one.values, reference.values)
    assert other.lookback_ns >= 3600 * S + LENGTH_NS


def test_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 9"):
        stage().restore({"version": 9})


def test_parameters_say_how_far_a_window_reaches() -> None:
    with_context = CraftWindowParameters(HOP_NS, 60 * S, 0)
    assert (with_context.after_ns, with_context.support_ns) == (round(WAIT_S * S), LENGTH_NS + 27 * S)
    alone = CraftWindowParameters(HOP_NS, 60 * S, 0, context=False)
    assert (alone.after_ns, alone.support_ns) == (0, LENGTH_NS)
