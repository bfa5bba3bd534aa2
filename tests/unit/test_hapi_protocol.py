"""HAPI as its specification has it: what a server says of a dataset, and its records; total for any bytes."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitor_plugins.hapi.protocol import (
    HapiError,
    Parameter,
    duration_ns,
    read_binary,
    read_csv,
    read_info,
    status_of,
    time_ns,
)

from monitor.types import SECOND_NS

TIME = {"name": "Time", "type": "isotime", "units": "UTC", "fill": None, "length": 24}
B = {"name": "B", "type": "double", "units": "nT", "fill": "-1e31", "size": [3]}
DAY_NS = 86_400 * SECOND_NS


def info(**changes: Any) -> bytes:
    said = {
        "HAPI": "3.2",
        "status": {"code": 1200, "message": "OK"},
        "startDate": "2017-001Z",
        "stopDate": "2017-09-07T24:00Z",
        "cadence": "PT1M30.5S",
        "parameters": [TIME, B],
    }
    return json.dumps(said | changes).encode()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-02Z", 86_400.0),
        ("1970-002", 86_400.0),
        ("1970-032T01Z", 31 * 86_400 + 3600.0),
        ("1971Z", 365 * 86_400.0),
        ("1970-02Z", 31 * 86_400.0),
        ("1970-01-01T00:01:02.5Z", 62.5),
        ("1970-01-01T00:00:00.123456789999Z", 0.123456789),
        ("1972-366T00:00Z", 2 * 365 * 86_400 + 365 * 86_400.0),
        ("1970-01-01T24:00:00Z", 86_400.0),
    ],
)
def test_time_is_read_in_all_forms_of_the_specification(text: str, seconds: float) -> None:
    assert time_ns(text) == round(seconds * SECOND_NS)


@pytest.mark.parametrize(
    "text",
    ["", "now", "1970-13-01Z", "1970-02-30Z", "1970-366Z", "1970-000Z", "1970-01-01T25:00Z", "1970-01-01T00:61Z",
     "1970-01-01T00:00:60Z", "١٩٧٠-01-01", "9999-01-01", "0001Z", "1970-01-01 00:00", "NaT", "12"],
)  # fmt: skip
def test_time_that_is_none_is_none(text: str) -> None:
    assert time_ns(text) is None


def test_durations_are_read() -> None:
    assert duration_ns("PT4.5S") == 4_500_000_000
    assert duration_ns("P1DT1H") == DAY_NS + 3600 * SECOND_NS
    assert duration_ns("PT4319850S") == 4_319_850 * SECOND_NS
    assert [duration_ns(text) for text in ("", "P", "PT0S", "1 s", None, 5, "PT1.1.1S", "P1e9Y")] == [
        None
    ] * 8


def test_info_is_read_with_units_and_fills_a_column() -> None:
    scalar = {"name": "N", "type": "double", "units": ["cm^-3"], "fill": "NaN"}
    mixed = {**B, "name": "M", "units": ["nT", "nT", "deg"], "fill": ["1", "2", "3"]}
    found = read_info(info(parameters=[TIME, B, scalar, mixed], timeStampLocation="BEGIN"), "here")
    assert (found.major, found.location, found.cadence_ns) == (3, "begin", 90_500_000_000)
    assert (found.start_ns, found.stop_ns) == (time_ns("2017-01-01"), time_ns("2017-09-08"))
    assert found.named("B") == Parameter("B", "double", 3, 0, ("nT",) * 3, (-1e31,) * 3)
    assert found.named("M") == Parameter("M", "double", 3, 0, ("nT", "nT", "deg"), (1.0, 2.0, 3.0))
    assert found.named("N") is not None
    assert found.named("X") is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "does not answer as a HAPI server"),
        (b"[]", "names no parameters"),
        (b"{}", "names no parameters"),
        (info(parameters=[]), "the first parameter is no time"),
        (info(parameters=[B]), "the first parameter is no time"),
        (info(parameters=[TIME, {"name": "B"}]), "not HAPI"),
        (info(parameters=[TIME, "B"]), "not HAPI"),
        (info(status={"code": 1406, "message": "unknown dataset"}), "says 1406: unknown dataset"),
    ],
)
def test_info_that_is_none_is_named(body: bytes, says: str) -> None:
    with pytest.raises(HapiError, match=says) as raised:
        read_info(body, "https://example.org/hapi THA")
    assert str(raised.value).startswith("https://example.org/hapi THA: ")


def test_status_is_found_wherever_a_server_puts_it() -> None:
    assert status_of(b'{"status": {"code": 1201, "message": "no data"}}') == (1201, "no data")
    assert status_of(b"oops") == status_of(b"[1]") == status_of(b'{"status": 3}') == (0, "")


def test_csv_without_data_is_empty() -> None:
    for body in (b"", b"\n", b"# a comment\n", b'{"status": {"code": 1201, "message": "OK - no data"}}'):
        assert read_csv(body, 1, "here").times_ns.size == 0


def test_csv_leaves_out_a_last_line_without_its_end() -> None:
    assert read_csv(b"1970-001Z,1\n1970-002Z,2", 1, "here").values.tolist() == [[1.0]]


def test_binary_is_read_and_a_cut_record_left_out() -> None:
    layout = np.dtype([("t", "S24"), ("b", "<f8", (3,)), ("n", "<i4")])
    records = np.array(
        [(b"1970-01-01T00:00:01Z", [1.5, 2.5, -1e31], 7), (b"1970-001T00:00:02.25Z", [3.0, np.nan, 5.0], -8)],
        layout,
    )
    time = Parameter("Time", "isotime", 1, 24, (None,), (None,))
    three = Parameter("B", "double", 3, 0, ("nT",) * 3, (-1e31,) * 3)
    one = Parameter("n", "integer", 1, 0, (None,), (None,))
    found = read_binary(records.tobytes() + b"1970-01", time, [three, one], "here")
    assert found.times_ns.tolist() == [SECOND_NS, 2_250_000_000]
    np.testing.assert_array_equal(found.values, [[1.5, 2.5, -1e31, 7], [3.0, np.nan, 5.0, -8]])


@given(st.binary(max_size=200), st.integers(1, 3))
def test_readers_are_total(body: bytes, columns: int) -> None:
    time = Parameter("Time", "isotime", 1, 4, (None,), (None,))
    values = Parameter("B", "double", columns, 0, ("nT",) * columns, (None,) * columns)
    for read in (
        lambda: read_csv(body, columns, "here"),
        lambda: read_binary(body, time, [values], "here"),
        lambda: read_info(body, "here"),
    ):
        with contextlib.suppress(HapiError):
            read()


@given(
    st.lists(
        st.sampled_from([b"1970-001Z", b",", b"1.5", b"nan", b"\n", b'"', b"-1e31", b"\xff", b"{", b"x"])
    )
)
def test_csv_is_total_for_what_looks_like_it(parts: list[bytes]) -> None:
    try:
        found = read_csv(b"".join(parts), 1, "here")
    except HapiError:
        return
    assert found.values.shape == (found.times_ns.size, 1)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (info(parameters=[TIME, B, {**B, "name": "b"}]), "two parameters have one name"),
        (info(parameters=[TIME, {**B, "length": 1e400}]), "not HAPI"),
        (info(status={"code": 1500, "message": "one\nline\ud800 of it"}), "says 1500: one line\\? of it"),
    ],
)
def test_whatever_a_server_says_is_told_in_one_line(body: bytes, says: str) -> None:
    with pytest.raises(HapiError, match=says) as raised:
        read_info(body, "here")
    assert "\n" not in str(raised.value)
    str(raised.value).encode()
