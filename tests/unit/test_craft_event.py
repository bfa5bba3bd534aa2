"""Bow shock and magnetopause crossings: which way, once, whatever the hop, revised, restarted and taken over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from region_stage_kit import LENGTH_NS, T0_NS, event_stage, finding, findings, label_stage

from monitor.stages.craft_event import CraftEventStage
from monitor.stages.region_product import RegionProductStage
from monitor.types import CELL_NS, Product, RegionFinding, Tick, iso_time

PASS = ["SW"] * 6 + ["BS"] + ["MSH"] * 8 + ["MP"] + ["MSP"] * 8
AND_BACK = [*PASS, *reversed(PASS)]


def told(stage: CraftEventStage, coming: Sequence[RegionFinding]) -> list[Product]:
    """What a stage says of findings that come one by one."""
    return [product for one in coming for product in stage.feed([one])]


def about(product: Product) -> dict[str, Any]:
    properties: dict[str, Any] = product.body["properties"]
    return properties


def lines(said: Sequence[Product]) -> list[str]:
    """Kind, direction, state and outcome of each."""
    found = []
    for one in map(about, said):
        kind = one["kind"].removesuffix("_crossing")
        outcome = f" {one['outcome']}" if "outcome" in one else ""
        found.append(f"{kind} {one['direction']} {one['state']}{outcome}")
    return found


def ends(said: Sequence[Product]) -> list[tuple[str, str, str, str]]:
    """The newest word of each event that stands."""
    newest = {about(one)["data_id"]: about(one) for one in said}
    return [
        (one["kind"], one["direction"], one["start_datetime"], one.get("outcome", "open"))
        for one in newest.values()
        if one.get("outcome") != "withdrawn"
    ]


def test_pass_and_return_are_two_crossings_of_each_boundary() -> None:
    assert lines(told(event_stage(), findings(AND_BACK))) == [
        "bow_shock inbound begin",
        "bow_shock inbound end passed",
        "magnetopause inbound begin",
        "magnetopause inbound end passed",
        "magnetopause outbound begin",
        "magnetopause outbound end passed",
        "bow_shock outbound begin",
        "bow_shock outbound end passed",
    ]


def test_notification_tells_the_crossing_and_the_windows_it_rests_on() -> None:
    said = told(event_stage(), findings(["SW", "SW", "SW", "BS", "MSH", "MSH", "MSH"]))
    [begin] = [one for one in said if about(one)["state"] == "begin"]
    properties = about(begin)
    assert begin.topic == "event/bow_shock_crossing/MMS1"
    assert begin.body["geometry"] is None
    assert properties["data_id"] == "bow_shock_crossing/MMS1/2017-09-07T12:10:30Z/inbound"
    # The centre of the first window in the sheath; confirmed by the second.
    assert properties["start_datetime"] == "2017-09-07T12:10:30Z"
    assert properties["time"] == iso_time(T0_NS + 5 * LENGTH_NS)
    assert properties["subject"] == "MMS1"
    assert properties["members"] == [f"region/MMS1/{iso_time(T0_NS + n * LENGTH_NS)}/0" for n in (4, 5)]
    assert 0.95 < properties["confidence"] <= 1.0
    assert not {"l_shell", "l_interval", "pairs", "part_of", "outcome"} & properties.keys()
    json.loads(begin.encode(T0_NS))


def test_members_are_the_newest_revisions_of_the_region_objects() -> None:
    events, labels, objects = (
        event_stage(),
        label_stage(),
        RegionProductStage(LENGTH_NS, LENGTH_NS, 0, 10**15),
    )
    said = []
    for one in [*findings(["SW", "SW", "MSH"]), finding(2, "MSH", 0.96), finding(3, "MSH")]:
        issued = objects.feed(labels.feed([one]))
        said += events.feed([*issued, one])
    begun = [about(one) for one in said if about(one)["state"] == "begin"]
    assert [one.rsplit("/", 1)[1] for one in begun[0]["members"]] == ["1", "0"]


@pytest.mark.parametrize("cells", [1, 2, 5, 10, 20, 40])
def test_hop_does_not_change_the_events(cells: int) -> None:
    hop_ns = cells * CELL_NS
    each = 40 // cells
    regions = [region for region in AND_BACK for _ in range(each)]
    # The last window of each region's run ends where the one of 180 s does.
    coming = findings(regions, first=1 - each, hop_ns=hop_ns)
    assert ends(told(event_stage(hop_ns=hop_ns), coming)) == ends(told(event_stage(), findings(AND_BACK)))


def test_hop_that_does_not_divide_the_length_still_has_one_window_for_each() -> None:
    hop_ns = 12 * CELL_NS
    regions = [
        AND_BACK[min(number * 12 // 40, len(AND_BACK) - 1)] for number in range(len(AND_BACK) * 40 // 12)
    ]
    said = told(event_stage(hop_ns=hop_ns), findings(regions, hop_ns=hop_ns))
    assert [one[:2] for one in ends(said)] == [
        one[:2] for one in ends(told(event_stage(), findings(AND_BACK)))
    ]


def test_single_window_on_the_other_side_is_no_crossing() -> None:
    assert told(event_stage(), findings(["MSH", "MSH", "MSH", "MSP", "MSH", "MSH"])) == []


@pytest.mark.parametrize("between", ["MP", None])
def test_boundary_itself_and_holes_speak_for_neither_side(between: str | None) -> None:
    regions = ["MSH", "MSH", "MSP", between, between, "MSP", "MSP", "MSP"]
    assert lines(told(event_stage(), findings(regions)))[0] == "magnetopause inbound begin"


def test_window_in_the_shock_counts_for_the_magnetopause_as_outside() -> None:
    said = told(event_stage(), findings(["MSP", "MSP", "MSP", "BS", "BS", "BS", "BS"]))
    assert lines(said) == ["magnetopause outbound begin", "magnetopause outbound end passed"]


def test_unsure_windows_begin_no_crossing() -> None:
    coming = findings(["SW"] * 3) + [finding(number, "MSH", 0.85, "SW") for number in range(3, 9)]
    assert told(event_stage(), coming) == []


def test_novel_windows_begin_no_crossing() -> None:
    coming = findings(["SW"] * 3) + [finding(number, "MSH", novel=True) for number in range(3, 9)]
    assert told(event_stage(), coming) == []


def test_flicker_after_a_crossing_is_held_by_the_refractory_time() -> None:
    regions = ["SW"] * 3 + (["MSH"] * 4 + ["SW"] * 4) * 2
    assert len(ends(told(event_stage(), findings(regions)))) == 4
    held = event_stage(refractory_ns=10 * LENGTH_NS)
    assert [one[1] for one in ends(told(held, findings(regions)))] == ["inbound", "outbound"]


def test_crossing_that_is_taken_back_ends_returned() -> None:
    said = told(event_stage(), findings(["SW", "SW", "SW", "MSH", "MSH", "SW", "SW"]))
    assert lines(said) == [
        "bow_shock inbound begin",
        # One window against it is not enough, but worth a word.
        "bow_shock inbound update",
        "bow_shock inbound end returned",
    ]


def test_late_windows_withdraw_what_was_no_crossing() -> None:
    stage = event_stage()
    said = told(stage, findings(["SW", "SW", "SW", "MSH", "MSH", "MSH"]))
    said += stage.feed(findings(["SW", "SW", "SW"], first=3))
    assert lines(said)[-1] == "bow_shock inbound end withdrawn"
    assert ends(said) == []


def test_restart_says_nothing_twice_and_goes_on() -> None:
    coming = findings(AND_BACK)
    reference = told(event_stage(), coming)
    for cut in range(0, len(coming), 3):
        first, second = event_stage(), event_stage()
        before = told(first, coming[:cut])
        second.restore(json.loads(json.dumps(first.snapshot())))
        after = told(second, coming[cut:])
        assert [one.body for one in before + after] == [one.body for one in reference]


def test_events_are_taken_over_from_their_notifications() -> None:
    coming = findings(PASS)
    first = event_stage()
    said = told(first, coming[:9])
    newest = {about(one)["data_id"]: json.loads(one.encode(T0_NS)) for one in said}
    rebuilt = event_stage()
    rebuilt.adopt(newest.values())
    assert told(rebuilt, coming[:9]) == []
    after = told(rebuilt, coming[9:])
    assert ends(said + after) == ends(told(event_stage(), coming))


def test_snapshot_is_the_same_object_until_something_changes() -> None:
    stage = event_stage()
    told(stage, findings(["SW", "SW"]))
    before = stage.snapshot()
    assert stage.feed(Tick(1)) == []
    assert stage.snapshot() is before
    told(stage, findings(["SW"], first=2))
    assert stage.snapshot() is not before


def test_state_of_another_version_or_other_settings_is_refused() -> None:
    state = event_stage().snapshot()
    with pytest.raises(ValueError, match="version 9"):
        event_stage().restore({**state, "version": 9})
    with pytest.raises(ValueError, match="set otherwise"):
        event_stage(windows=3).restore(state)


def test_spacecraft_that_is_not_configured_is_named() -> None:
    with pytest.raises(ValueError, match="C1 is not configured; there are MMS1"):
        event_stage().feed([finding(0, craft="C1")])


def test_open_event_of_a_removed_spacecraft_ends() -> None:
    first = event_stage(("MMS1", "C1"))
    both = [
        finding(number, region, craft=craft)
        for number, region in enumerate(["SW", "SW", "MSH", "MSH"])
        for craft in ("MMS1", "C1")
    ]
    told(first, both)
    second = event_stage(("MMS1",))
    second.restore(json.loads(json.dumps(first.snapshot())))
    said = second.feed([finding(4, "MSH")])
    assert [(about(one)["subject"], about(one).get("outcome")) for one in said] == [("C1", "unobserved")]
