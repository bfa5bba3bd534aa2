"""The map of regions: who is beside whom."""

from __future__ import annotations

from itertools import pairwise

import pytest

from monitor.science.region_map import EDGES, are_neighbours
from monitor.types import REGIONS, Region


def test_every_region_is_beside_itself_and_another() -> None:
    for region in REGIONS:
        assert are_neighbours(region, region)
        assert sum(are_neighbours(region, other) for other in REGIONS) >= 3


def test_the_map_is_the_same_either_way_and_names_each_edge_once() -> None:
    assert len({frozenset(edge) for edge in EDGES}) == len(EDGES)
    for one in REGIONS:
        for other in REGIONS:
            assert are_neighbours(one, other) == are_neighbours(other, one)


def test_a_pass_from_the_wind_to_the_tail_meets_neighbours_only() -> None:
    course = ["SW", "FS", "BS", "MSH", "MP", "BL", "MSP", "PS", "PSBL", "LOBE"]
    assert all(are_neighbours(Region(one), Region(other)) for one, other in pairwise(course))


@pytest.mark.parametrize(
    ("one", "other"), [("SW", "LOBE"), ("SW", "PS"), ("FS", "MSP"), ("BS", "BL"), ("MSH", "PS"), ("SW", "MP")]
)
def test_what_other_regions_lie_between_is_not_beside_each_other(one: str, other: str) -> None:
    assert not are_neighbours(Region(one), Region(other))
