"""Whatever the order, the pieces and the interruptions in which windows come, the last ones make labels and events."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from region_stage_kit import LENGTH_NS, event_stage, finding, label_stage

from monitor.stages.craft_event import CraftEventStage
from monitor.stages.region_label import RegionLabelStage
from monitor.stages.region_product import RegionProductStage
from monitor.types import CELL_NS, Product, RegionFinding

REGIONS = st.sampled_from(["SW", "SW", "MSH", "BS", "LOBE", "LOBE", None])
SHARES = st.sampled_from([0.55, 0.62, 0.97, 0.97])


class Chain:
    """Labels, objects and events, as they stand in the pipeline."""

    def __init__(self, hop_ns: int, remember_ns: int) -> None:
        self.label: RegionLabelStage = label_stage(1.1, hop_ns, remember_ns)
        self.product = RegionProductStage(LENGTH_NS, hop_ns, 0, 10 * remember_ns + 100 * LENGTH_NS)
        self.event: CraftEventStage = event_stage(("A", "B"), hop_ns, remember_ns)

    def feed(self, findings: list[RegionFinding]) -> list[Product]:
        issued = self.product.feed(self.label.feed(findings))
        return [*issued, *self.event.feed([*issued, *findings])]

    def again(self, hop_ns: int, remember_ns: int) -> Chain:
        """After a restart."""
        other = Chain(hop_ns, remember_ns)
        for name in ("label", "product", "event"):
            getattr(other, name).restore(json.loads(json.dumps(getattr(self, name).snapshot())))
        return other


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[int, int, list[RegionFinding]]:
    """The hop, how much is remembered, and findings that come no later than that behind the newest of their craft."""
    hop_ns = draw(st.sampled_from([40, 20, 10])) * CELL_NS
    remembered = draw(st.sampled_from([2, 5, 40]))
    keyed = []
    for craft in draw(st.sampled_from(["A", "AB"])):
        numbers = draw(st.lists(st.integers(0, 24), max_size=30))
        for number in [*range(draw(st.integers(0, 25))), *numbers]:
            delay = draw(st.sampled_from([0, 0, remembered, remembered // 2]))
            one = finding(
                number,
                draw(REGIONS),
                draw(SHARES),
                hop_ns=hop_ns,
                craft=craft,
                novel=draw(st.integers(0, 9)) == 0,
            )
            keyed.append((number + delay, len(keyed), one))
    return hop_ns, remembered * hop_ns, [one for _, _, one in sorted(keyed, key=lambda key: key[:2])]


def last_words(said: list[Product]) -> dict[tuple[str, int], dict[str, Any]]:
    """What is said last of each window, but for the number of the revision."""
    words = {(one.subject, one.time_ns): dict(one.body) for one in said if one.kind == "region"}
    return {
        key: {k: v for k, v in body.items() if k not in ("id", "revision")} for key, body in words.items()
    }


def standing(said: list[Product]) -> set[tuple[str, str]]:
    """The events that were not withdrawn, as they ended."""
    newest = {
        one.body["properties"]["data_id"]: one.body["properties"] for one in said if one.kind == "event"
    }
    return {
        (one["kind"] + one["subject"] + one["direction"] + one["start_datetime"], one.get("outcome", "open"))
        for one in newest.values()
        if one.get("outcome") != "withdrawn"
    }


@settings(max_examples=60)
@given(stream=arrivals(), pieces=st.lists(st.integers(1, 6), min_size=1), cuts=st.sets(st.integers(0, 60)))
def test_last_words_are_those_of_the_last_findings_in_the_order_of_time(
    stream: tuple[int, int, list[RegionFinding]], pieces: list[int], cuts: set[int]
) -> None:
    hop_ns, remember_ns, coming = stream
    last = {(one.craft, one.end_ns): one for one in coming}
    plain = Chain(hop_ns, 1000 * LENGTH_NS)
    reference = [
        product for one in sorted(last.values(), key=lambda one: one.end_ns) for product in plain.feed([one])
    ]
    running, said, at, turn = Chain(hop_ns, remember_ns), [], 0, 0
    while at < len(coming):
        piece = pieces[turn % len(pieces)]
        said += running.feed(coming[at : at + piece])
        at, turn = at + piece, turn + 1
        if turn in cuts:
            running = running.again(hop_ns, remember_ns)
    assert last_words(said) == last_words(reference)
    assert standing(said) == standing(reference)
    ids = [one.body["id"] for one in said]
    assert len(set(ids)) == len(ids)
