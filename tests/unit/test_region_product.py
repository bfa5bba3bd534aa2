"""Labels and `region` objects: quality, revisions, and what a restart or a late window changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from region_stage_kit import LENGTH_NS, T0_NS, finding, findings, label_stage

from monitor.science.debounce import DebounceParameters
from monitor.stages.region_label import RegionLabelParameters, RegionLabelStage
from monitor.stages.region_memory import RegionLabel, read_finding, write_finding
from monitor.stages.region_product import RegionProductStage
from monitor.types import CELL_NS, REGIONS, SECOND_NS, Json, Product, Quality, RegionFinding, Tick, iso_time

HOP_NS = 10 * CELL_NS


def said(stage: RegionLabelStage, coming: Sequence[RegionFinding]) -> list[tuple[int, str | None, str]]:
    """What comes out of each finding in its turn: the window's number, label and quality."""
    return [brief(label) for one in coming for label in stage.feed([one])]


def brief(label: RegionLabel) -> tuple[int, str | None, str]:
    number = (label.finding.end_ns - T0_NS) // LENGTH_NS
    return number, None if label.label is None else str(label.label), str(label.quality)


def products() -> RegionProductStage:
    return RegionProductStage(LENGTH_NS, LENGTH_NS, 60 * SECOND_NS, 20 * LENGTH_NS, model="region/1 abcdef")


class TestLabels:
    def test_labels_follow_a_pass_and_are_good(self) -> None:
        regions = ["SW", "SW", "FS", "BS", "MSH", "MSH", "MP", "BL", "MSP"]
        assert said(label_stage(), findings(regions)) == [
            (number, region, "good") for number, region in enumerate(regions)
        ]

    def test_weak_window_keeps_the_label_and_is_uncertain(self) -> None:
        coming = [finding(0, "SW"), finding(1, "FS", 0.6, "SW")]
        stage = label_stage()
        assert said(stage, coming) == [(0, "SW", "good"), (1, "SW", "uncertain")]

    def test_stage_one_is_what_the_window_alone_says(self) -> None:
        stage = label_stage()
        stage.feed([finding(0, "SW")])
        [label] = stage.feed([finding(1, "FS", 0.6, "SW")])
        assert (label.label, label.stage_one) == ("SW", "FS")

    def test_region_that_nobody_beside_it_knows_is_uncertain_then_poor(self) -> None:
        assert said(label_stage(), findings(["SW", "SW", "LOBE", "SW"])) == [
            (0, "SW", "good"),
            (1, "SW", "good"),
            (2, "LOBE", "uncertain"),
            # The window after it shows that it was alone; itself it comes after one that is no neighbour.
            (2, "LOBE", "poor"),
            (3, "SW", "uncertain"),
        ]

    def test_region_that_goes_on_stays_uncertain_where_it_began(self) -> None:
        assert said(label_stage(), findings(["SW", "LOBE", "LOBE"])) == [
            (0, "SW", "good"),
            (1, "LOBE", "uncertain"),
            (2, "LOBE", "good"),
        ]

    def test_neighbours_of_overlapping_windows_are_those_that_just_do_not_overlap(self) -> None:
        stage = label_stage(0.0, HOP_NS)
        lobe = ["LOBE"] * 2
        said_of = stage.feed(findings(["SW"] * 6 + lobe + ["SW"] * 6, hop_ns=HOP_NS))
        poor = {(one.finding.end_ns - T0_NS) // HOP_NS for one in said_of if one.quality is Quality.POOR}
        assert poor == {6, 7}
        assert all(one.alone for one in said_of if one.quality is Quality.POOR)

    def test_hole_is_poor_and_vouches_for_nobody(self) -> None:
        assert said(label_stage(), findings(["SW", None, "LOBE", None, "SW"])) == [
            (0, "SW", "good"),
            (1, None, "poor"),
            (2, "LOBE", "good"),
            (3, None, "poor"),
            (4, "SW", "good"),
        ]

    @pytest.mark.parametrize(
        ("changes", "quality"), [({"novel": True}, "poor"), ({"bridged": 0.1}, "uncertain"), ({}, "good")]
    )
    def test_novel_is_poor_and_bridged_is_uncertain(self, changes: dict[str, Any], quality: str) -> None:
        assert said(label_stage(), [finding(0, "SW", **changes)]) == [(0, "SW", quality)]

    def test_late_window_changes_the_labels_after_it(self) -> None:
        stage = label_stage()
        weak = {number: finding(number, "MSH", 0.6, "SW") for number in range(1, 5)}
        # Without the second the sum begins anew at the third: the change comes later.
        assert said(stage, [finding(0, "SW"), weak[1], weak[3], weak[4]]) == [
            (0, "SW", "good"),
            (1, "SW", "uncertain"),
            (3, "SW", "uncertain"),
            (4, "SW", "uncertain"),
        ]
        assert said(stage, [weak[2]]) == [
            (2, "SW", "uncertain"),
            (3, "MSH", "uncertain"),
            (4, "MSH", "uncertain"),
        ]

    def test_same_finding_again_says_nothing(self) -> None:
        stage = label_stage()
        coming = findings(["SW", "MSH", "MSH"])
        stage.feed(coming)
        before = stage.snapshot()
        assert stage.feed(coming) == []
        assert stage.feed(Tick(1)) == []
        assert stage.snapshot() is before

    def test_finding_for_longer_ago_than_is_remembered_is_left_out(self) -> None:
        stage = label_stage(remember_ns=3 * LENGTH_NS)
        stage.feed(findings(["SW"] * 10))
        assert stage.feed([finding(5, "LOBE")]) == []
        assert [brief(one)[:2] for one in stage.feed([finding(6, "LOBE")])] == [(6, "LOBE"), (7, "SW")]

    def test_memory_does_not_grow(self) -> None:
        stage = label_stage(remember_ns=3 * LENGTH_NS)
        stage.feed(findings(["SW"] * 10))
        few = len(json.dumps(stage.snapshot()))
        for number in range(10, 200):
            stage.feed([finding(number, "SW")])
        assert len(json.dumps(stage.snapshot())) < 1.2 * few

    def test_restart_goes_on_as_if_nothing_happened(self) -> None:
        coming = [
            finding(number, region, 0.62, "SW" if region == "MSH" else "MSH")
            for number, region in enumerate(["SW", "MSH", "SW", "MSH", "MSH", "MSH", "MSH", "SW", "SW", "SW"])
        ]
        reference = said(label_stage(), coming)
        for cut in range(len(coming)):
            first, second = label_stage(), label_stage()
            before = said(first, coming[:cut])
            second.restore(json.loads(json.dumps(first.snapshot())))
            assert before + said(second, coming[cut:]) == reference

    def test_spacecraft_do_not_meddle_with_each_other(self) -> None:
        stage = label_stage()
        stage.feed([finding(0, "SW", craft="A"), finding(0, "LOBE", craft="B")])
        labels = stage.feed([finding(1, "FS", 0.6, "SW", craft="A"), finding(1, "FS", craft="B")])
        assert {one.finding.craft: one.label for one in labels} == {"A": "SW", "B": "FS"}

    def test_state_of_other_settings_or_another_version_is_refused(self) -> None:
        state = label_stage().snapshot()
        with pytest.raises(ValueError, match="set otherwise"):
            label_stage(2.0).restore(state)
        with pytest.raises(ValueError, match="version 9"):
            label_stage().restore({**state, "version": 9})

    def test_sure_is_a_probability(self) -> None:
        with pytest.raises(ValueError, match="sure"):
            RegionLabelParameters(DebounceParameters(1.0, HOP_NS), LENGTH_NS, 0, sure=1.2)


@pytest.mark.parametrize("region", ["MSH", None])
def test_finding_is_the_same_when_it_is_read_again(region: str | None) -> None:
    one = finding(3, region, 0.813)
    assert read_finding("MMS1", json.loads(json.dumps(write_finding(one)))) == one


class TestProducts:
    @staticmethod
    def run(coming: Sequence[RegionFinding], stage: RegionProductStage | None = None) -> list[Product]:
        stage = products() if stage is None else stage
        labels = label_stage()
        return [product for one in coming for product in stage.feed(labels.feed([one]))]

    def test_object_is_that_of_the_contract(self) -> None:
        [product] = self.run([finding(0, "MSH", 0.9, "MP")])
        document: Json = json.loads(product.encode(T0_NS + 70 * SECOND_NS))
        assert document == {
            "schema": "geospace/region/1",
            "id": "region/MMS1/2017-09-07T12:00:00Z/0",
            "craft": "MMS1",
            "time": "2017-09-07T12:00:00Z",
            "window_s": 180.0,
            "revision": 0,
            "label": "MSH",
            "stage_one": "MSH",
            "probability": {str(one): {"MSH": 0.9, "MP": 0.1}.get(str(one), 0.0) for one in REGIONS},
            "confidence": 0.9,
            "quality": "good",
            "missing": [],
            "bridged": 0.0,
            "support_s": 238.5,
            "cam": [0.25, 1.0] * 20,
            "flags": [],
            "model": {"classifier": "region/1 abcdef"},
            "published": "2017-09-07T12:01:10Z",
            # The hop, the lateness and three minutes.
            "valid_until": "2017-09-07T12:07:00Z",
        }
        assert (product.kind, product.subject, product.retained) == ("region", "MMS1", True)

    def test_confidence_is_that_of_the_label_and_not_of_stage_one(self) -> None:
        body = self.run([finding(0, "SW"), finding(1, "FS", 0.6, "SW")])[-1].body
        assert (body["label"], body["stage_one"], body["confidence"]) == ("SW", "FS", pytest.approx(0.4))

    def test_hole_is_null_and_poor_and_says_why(self) -> None:
        [product] = self.run([finding(0, None)])
        body = product.body
        assert [body[key] for key in ("label", "stage_one", "probability", "confidence", "cam")] == [None] * 5
        assert (body["quality"], body["flags"]) == ("poor", ["gap"])

    def test_neighbour_after_it_makes_a_revision(self) -> None:
        coming = findings(["SW", "LOBE", "SW"])
        stage, labels = products(), label_stage()
        stage.feed(labels.feed(coming[:2]))
        revised, newest = stage.feed(labels.feed(coming[2:]))
        assert (revised.body["id"], revised.body["quality"]) == (
            f"region/MMS1/{iso_time(T0_NS + LENGTH_NS)}/1",
            "poor",
        )
        assert revised.body["flags"] == ["alone"]
        assert (newest.revision, newest.retained) == (0, True)

    def test_revision_of_an_older_window_does_not_overwrite_the_retained_one(self) -> None:
        stage, labels = products(), label_stage()
        stage.feed(labels.feed(findings(["SW", "SW", "SW"])))
        [again, *_] = stage.feed(labels.feed([finding(0, "FS")]))
        assert (again.revision, again.retained) == (1, False)

    def test_revision_rises_only_when_the_content_changes(self) -> None:
        coming = findings(["SW", "MSH", "MSH"])
        stage = products()
        first = self.run(coming, stage)
        assert [one.revision for one in first] == [0, 0, 0]
        # The same findings through a label stage that forgot: they are said to the ledger again.
        assert self.run(coming, stage) == []

    def test_restart_keeps_the_revisions(self) -> None:
        stage = products()
        self.run(findings(["SW", "MSH"]), stage)
        later = products()
        later.restore(json.loads(json.dumps(stage.snapshot())))
        assert self.run(findings(["SW", "MSH"]), later) == []
        assert [one.revision for one in self.run([finding(1, "FS")], later)] == [1]

    def test_passing_time_says_nothing(self) -> None:
        assert products().feed(Tick(1)) == []
