"""Topic filters: matching, overlap, and what is wrong with one."""

from __future__ import annotations

import pytest

from monitor.config import filters_overlap, topic_matches
from monitor.config.topics import filter_fault, root_fault


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/B", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+", "a/b/c", False),
        ("+/+", "/x", True),
        ("+", "/x", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("a/+/c/#", "a/b/c", True),
    ],
)
def test_topic_matches_as_the_standard_says(topic_filter: str, topic: str, matches: bool) -> None:
    assert topic_matches(topic_filter, topic) is matches


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ("a/+", "+/b", True),
        ("a/+", "b/+", False),
        ("a/#", "a", True),
        ("a/#", "+", True),
        ("a/+/#", "a", False),
        ("a/+/#", "a/b", True),
        ("+/+", "+/+/+", False),
        ("#", "$SYS/#", False),
        ("+/x", "$SYS/+", False),
        ("impf/+/+/+/+", "geospace/v1/in/#", False),
        ("+/+/data", "geospace/v1/in/#", False),
        ("+/+/+", "geospace/v1/in/#", True),
    ],
)
def test_filters_overlap_where_one_topic_matches_both(first: str, second: str, overlap: bool) -> None:
    assert filters_overlap(first, second) is overlap
    assert filters_overlap(second, first) is overlap


@pytest.mark.parametrize("good", ["#", "+", "a/#", "+/+/data", "/a", "$SYS/#", "a//b"])
def test_good_filter_has_no_fault(good: str) -> None:
    assert filter_fault(good) is None


@pytest.mark.parametrize("bad", ["", "#/a", "a#", "a+/b", "a\0", "$share/g/a", "x" * 65_536])
def test_bad_filter_has_a_fault(bad: str) -> None:
    assert filter_fault(bad)


@pytest.mark.parametrize("bad", ["", "/a", "a/", "a//b", "a/+", "#", "$SYS/x", "a\n"])
def test_bad_root_has_a_fault(bad: str) -> None:
    assert root_fault(bad)
    assert root_fault("geospace/v1") is None
