"""The checks that all decoders share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.decoders.base import parse_step_ns, parse_time_ns
from monitor.errors import DecodeError
from monitor.types import iso_time

MIDNIGHT_NS = 1_504_742_400_000_000_000  # 2017-09-07T00:00:00Z


@pytest.mark.parametrize(
    ("text", "offset_ns"),
    [
        ("2017-09-07T00:00:00Z", 0),
        ("2017-09-07T00:00:00", 0),
        ("2017-09-07T00:00Z", 0),
        ("2017-09-07T02:00:00+02:00", 0),
        ("2017-09-06T19:30:00-0430", 0),
        ("2017-09-07T02:00:00+02", 0),
        ("2017-09-07T00:00:00.000000001Z", 1),
        ("2017-09-07T00:00:00,5", 500_000_000),
        ("2017-09-07T00:00:01.25", 1_250_000_000),
    ],
)
def test_time_is_read_to_the_nanosecond(text: str, offset_ns: int) -> None:
    assert parse_time_ns(text) == MIDNIGHT_NS + offset_ns


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2017", "2017-09", "2017-09-07", "20170907T000000Z", "2017-09-07 00:00:00", "2017-13-01T00:00:00",
        "2017-02-29T00:00:00", "0000-01-01T00:00:00", "2017-09-07T24:00:00", "2017-09-07T00:60:00", "2017-09-07T00:00:61",
        "2017-09-07T00:00:00.Z", "2017-09-07T00:00:00.1234567890Z", "2017-09-07T00:00:00z", "2017-09-07T00:00:00+24:00",
        "2017-09-07T00:00:00+02:60", "2017-09-07T00:00:00Z ", "\n2017-09-07T00:00:00Z", "２０１７-09-07T00:00:00Z",
    ],
)  # fmt: skip
def test_other_text_is_no_time(text: str) -> None:
    with pytest.raises(DecodeError, match="bad_time"):
        parse_time_ns(text)


def test_leap_second_is_refused_by_name() -> None:
    with pytest.raises(DecodeError, match="leap second '2016-12-31T23:59:60Z'"):
        parse_time_ns("2016-12-31T23:59:60Z")


@given(st.integers(0, 7_258_118_400 * 10**9 - 1))
def test_time_written_is_the_time_read(time_ns: int) -> None:
    assert parse_time_ns(iso_time(time_ns)) == time_ns


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.timezones()))  # noqa: DTZ001  (the strategy adds zones)
def test_time_agrees_with_datetime_in_any_zone(moment: datetime) -> None:
    offset = moment.utcoffset()
    assert offset is not None
    assume(offset.total_seconds() % 60 == 0)  # local mean times have seconds, which ISO 8601 cannot write
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    assert parse_time_ns(moment.isoformat()) == microseconds * 1000


@pytest.mark.parametrize(
    ("step_s", "step_ns"), [(0.05, 50_000_000), (0.1, 100_000_000), (60, 60_000_000_000)]
)
def test_step_is_whole_nanoseconds(step_s: float, step_ns: int) -> None:
    assert parse_step_ns(step_s) == step_ns


@pytest.mark.parametrize("step_s", [0.0, -1.0, 0.0499, 60.001, float("nan"), float("inf"), 1e308])
def test_step_beyond_the_limits_is_refused(step_s: float) -> None:
    with pytest.raises(DecodeError, match="bad_step"):
        parse_step_ns(step_s)
