"""From windows to findings: batches, forms, maps, holes, and no model at all."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from region_stage_kit import LENGTH_NS, T0_NS, StubModel, stretch

from monitor.stages.region import RegionStage
from monitor.types import (
    CELL_NS,
    REGIONS,
    SUPPORT_CELLS,
    WINDOW_CELLS,
    CraftHole,
    Region,
    RegionFinding,
    Tick,
)


def top(finding: RegionFinding) -> Region:
    assert finding.probability is not None
    return REGIONS[int(np.argmax(finding.probability))]


def test_windows_of_one_form_and_length_are_one_batch() -> None:
    model = StubModel()
    stage = RegionStage(model)
    found = stage.feed(
        [
            *(stretch(["SW"] * SUPPORT_CELLS, craft=f"C{number}") for number in range(5)),
            *(stretch(["MSH"] * WINDOW_CELLS, craft=f"D{number}", context=False) for number in range(3)),
            stretch(["PS"] * (SUPPORT_CELLS + 80), [0, 40, 80], craft="E"),
        ]
    )
    assert sorted(model.calls) == [
        ("stretches", (1, 133, 12)),
        ("stretches", (5, 53, 12)),
        ("windows", (3, 40, 12)),
    ]
    assert [(one.craft, top(one)) for one in found if one.craft == "C3"] == [("C3", "SW")]
    assert {top(one) for one in found if one.craft.startswith("D")} == {"MSH"}
    assert [top(one) for one in found if one.craft == "E"] == ["PS"] * 3


def test_each_window_of_a_stretch_is_read_at_its_own_end() -> None:
    cells = ["SW"] * 46 + ["MSH"] * 40 + ["LOBE"] * 47
    ends = [0, 10, 40, 80]
    found = RegionStage(StubModel()).feed([stretch(cells, ends)])
    assert [one.end_ns for one in found] == [T0_NS + end * CELL_NS for end in ends]
    assert [top(one) for one in found] == ["SW", "SW", "MSH", "LOBE"]
    # Of the second window the last ten cells speak for the sheath, not for the wind.
    assert found[1].cam == (1.0,) * 30 + (0.0,) * 10


def test_window_alone_is_said_to_rest_on_less() -> None:
    [with_context] = RegionStage(StubModel()).feed([stretch(["SW"] * SUPPORT_CELLS)])
    [alone] = RegionStage(StubModel()).feed([stretch(["SW"] * WINDOW_CELLS, context=False)])
    assert (with_context.support_s, with_context.flags) == (238.5, frozenset())
    assert (alone.support_s, alone.flags) == (180.0, frozenset({"isolated"}))


def test_flags_say_what_was_bridged_and_what_was_missing() -> None:
    [found] = RegionStage(StubModel()).feed(
        [stretch(["SW"] * WINDOW_CELLS, context=False, bridged=0.1, missing=("Vx", "V"))]
    )
    assert found.flags == {"isolated", "bridged", "missing"}
    assert (found.bridged, found.missing) == (0.1, ("Vx", "V"))


def test_window_like_no_other_is_novel() -> None:
    one = stretch(["SW"] * SUPPORT_CELLS)
    one.values[:, 4] = 30.0
    [found] = RegionStage(StubModel()).feed([one])
    assert found.novel
    assert found.flags == {"novel"}


def test_hole_says_why_and_nothing_else() -> None:
    model = StubModel()
    hole = CraftHole("MMS1", T0_NS, 0.5, "gap", ("N",))
    [found] = RegionStage(model).feed([hole])
    assert (found.probability, found.cam, found.novel, found.flags) == (None, None, False, frozenset({"gap"}))
    assert (found.support_s, found.missing) == (90.0, ("N",))
    assert model.calls == []


def test_findings_come_in_the_order_of_time() -> None:
    found = RegionStage(StubModel()).feed(
        [
            stretch(["SW"] * (SUPPORT_CELLS + 40), [0, 40]),
            stretch(["SW"] * WINDOW_CELLS, [20], context=False, craft="C1"),
            CraftHole("MMS2", T0_NS - LENGTH_NS, 0.0, "gap", ()),
        ]
    )
    assert [one.end_ns for one in found] == sorted(one.end_ns for one in found)
    assert len(found) == 4


def test_probability_is_in_single_precision_so_that_a_restart_knows_the_same() -> None:
    [found] = RegionStage(StubModel()).feed([stretch(["SW"] * 30 + ["MSH"] * 23)])
    assert found.probability is not None
    assert found.probability == tuple(np.float32(found.probability).tolist())


def test_without_a_model_nothing_is_found_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = RegionStage(None)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert stage.feed([stretch(["SW"] * SUPPORT_CELLS)]) == []
    assert len(caplog.records) == 1
    assert "models.region" in caplog.text


def test_passing_time_finds_nothing() -> None:
    assert RegionStage(StubModel()).feed(Tick(1)) == []
