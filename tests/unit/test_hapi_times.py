"""HAPI's times: every form that may come in, and the one that goes out."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.io.hapi.times import TIME_LENGTH, duration_text, parse_time_ns, same_length, time_text
from monitor.types import SECOND_NS, iso_time

NOON_NS = 1_504_785_600 * SECOND_NS
MIDNIGHT_NS = NOON_NS - 43_200 * SECOND_NS
YEAR_NS = 1_483_228_800 * SECOND_NS
# The regular expressions of the schema of version 3.3, leap seconds aside.
SCHEMA = re.compile(
    r"\d{4}(-(\d{3}|\d{2}(-\d{2})?))?(T([01]\d|2[0-4])(:[0-5]\d(:[0-5]\d(\.\d{0,9})?)?)?)?Z", re.ASCII
)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2017-09-07T12:00:00.000Z", NOON_NS),
        ("2017-09-07T12:00:00.000", NOON_NS),
        ("2017-09-07T12:00:00Z", NOON_NS),
        ("2017-09-07T12:00Z", NOON_NS),
        ("2017-09-07T12Z", NOON_NS),
        ("2017-09-07T12", NOON_NS),
        ("2017-250T12:00:00.000Z", NOON_NS),
        ("2017-250T12Z", NOON_NS),
        ("2017-09-07Z", MIDNIGHT_NS),
        ("2017-09-07", MIDNIGHT_NS),
        ("2017-250", MIDNIGHT_NS),
        ("2017-09-06T24:00:00Z", MIDNIGHT_NS),
        ("2017-09-06T24Z", MIDNIGHT_NS),
        ("2016-12-31T23:59:60Z", YEAR_NS),
        ("2016-366T23:59:60.5Z", YEAR_NS),
        ("2017-01Z", YEAR_NS),
        ("2017Z", YEAR_NS),
        ("2017", YEAR_NS),
        ("2017-09-07T12:00:00.123456789Z", NOON_NS + 123_456_789),
        ("2017-09-07T12:00:00.1234567899999Z", NOON_NS + 123_456_789),
        ("2017-09-07T12:00:00.Z", NOON_NS),
        ("0001Z", -(1 << 63) + 1),
        ("9999Z", (1 << 63) - 1),
    ],
)
def test_time_is_read_in_every_form(text: str, time_ns: int) -> None:
    assert parse_time_ns(text) == time_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "17-09-07",
        "2017-9-7",
        "2017-02-29",
        "2017-366",
        "2017-000",
        "2017-13",
        "2017-00-01",
        "0000Z",
        "2017T12Z",
        "2017-09T12Z",
        "2017-09-07T",
        "2017-09-07T25Z",
        "2017-09-07T24:01Z",
        "2017-09-07T24:00:00.5Z",
        "2017-09-07T12:60Z",
        "2017-09-07T12:00:60Z",
        "2017-09-07T12:00:00+02:00",
        "2017-09-07T12:00:00+00:00",
        "2017-09-07 12:00:00",
        "20170907T120000Z",
        "2017-W36-4",
        " 2017",
        "2017\n",
        "２０１７",
        "now",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time_ns(text)


@given(st.text(max_size=40) | st.from_regex(SCHEMA, fullmatch=True))
def test_reading_is_total(text: str) -> None:
    """Whatever comes is a time that the store can hold, or a ValueError."""
    try:
        found = parse_time_ns(text)
    except ValueError:
        return
    assert abs(found) < 1 << 63
    assert text[:4].isdigit()


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_time_that_is_given_out_comes_back(milliseconds: int) -> None:
    text = time_text(milliseconds * 1_000_000)
    assert len(text) == TIME_LENGTH
    assert SCHEMA.fullmatch(text)
    assert parse_time_ns(text) == milliseconds * 1_000_000
    assert same_length(iso_time(milliseconds * 1_000_000)) == text


@given(st.integers(min_value=1970, max_value=2200), st.integers(min_value=1, max_value=365))
def test_day_of_the_year_is_the_day_of_the_calendar(year: int, day: int) -> None:
    calendar = datetime.strptime(f"{year} {day}", "%Y %j").replace(tzinfo=UTC)
    assert parse_time_ns(f"{year}-{day:03d}Z") == parse_time_ns(f"{calendar:%Y-%m-%d}Z")


@pytest.mark.parametrize(
    "text", [None, 5, "", "2017-09-07", "2017-09-07T12:00:00+02:00", "２０１７-09-07T12:00:00Z"]
)
def test_what_is_no_time_of_a_product_has_no_length(text: object) -> None:
    assert same_length(text) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1800.0, "PT30M"), (3600, "PT1H"), (180, "PT3M"), (4.5, "PT4.5S"), (5430, "PT1H30M30S")],
)
def test_duration_is_written_as_iso_8601(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
