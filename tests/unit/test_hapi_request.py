"""What a client of HAPI may ask for, and the code of each thing that it may not."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.io.hapi.request import catalog_request, data_request, info_request, no_request
from monitor.io.hapi.status import MESSAGES, HapiError, http_status, reason
from monitor.types import SECOND_NS

NOON_NS = 1_504_785_600 * SECOND_NS


def query(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True)


def code_of(text: str) -> int:
    with pytest.raises(HapiError) as caught:
        data_request(query(text))
    return caught.value.code


@pytest.mark.parametrize(
    "text",
    [
        "dataset=TAR-BRZ/flr&start=2017-09-07T12Z&stop=2017-251Z",
        "id=TAR-BRZ/flr&time.min=2017-09-07T12Z&time.max=2017-251Z",
        "dataset=TAR-BRZ/flr&start=2017-09-07T12&stop=2017-251&parameters=&format=csv",
    ],
)
def test_the_same_is_asked_in_the_words_of_both_versions(text: str) -> None:
    asked = data_request(query(text))
    assert (asked.dataset, asked.parameters, asked.start_ns) == ("TAR-BRZ/flr", (), NOON_NS)
    assert asked.stop_ns == NOON_NS + 43_200 * SECOND_NS
    assert (asked.format, asked.header) == ("csv", False)


def test_parameters_format_and_header_are_taken() -> None:
    asked = data_request(query("dataset=a&start=2017&stop=2018&parameters=x,y&format=binary&include=header"))
    assert (asked.parameters, asked.format, asked.header) == (("x", "y"), "binary", True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("start=2017&stop=2018", 1400),
        ("dataset=&start=2017&stop=2018", 1400),
        ("dataset=a&stop=2018", 1400),
        ("dataset=a&start=2017", 1400),
        ("dataset=a&dataset=a&start=2017&stop=2018", 1400),
        ("dataset=a&id=a&start=2017&stop=2018", 1400),
        ("dataset=a&start=2017&stop=2018&average=5s", 1401),
        ("Dataset=a&start=2017&stop=2018", 1401),
        ("dataset=a&start=17&stop=2018", 1402),
        ("dataset=a&start=2017&stop=18", 1403),
        ("dataset=a&start=2018&stop=2018", 1404),
        ("dataset=a&start=2018&stop=2017", 1404),
        ("dataset=a&start=2017&stop=2018&format=xml", 1409),
        ("dataset=a&start=2017&stop=2018&format=CSV", 1409),
        ("dataset=a&start=2017&stop=2018&include=footer", 1410),
        ("dataset=a&start=2017&stop=2018&include=", 1410),
        ("dataset=a&start=2017&stop=2018&resolve_references=no", 1412),
    ],
)
def test_bad_request_has_its_code(text: str, code: int) -> None:
    assert code_of(text) == code


def test_metadata_take_no_more_than_they_know() -> None:
    no_request([])
    catalog_request(query("depth=dataset&resolve_references=false"))
    assert info_request(query("id=a&parameters=Time,x")).parameters == ("Time", "x")
    for asked, code in (("depth=all", 1413), ("dataset=a", 1401)):
        with pytest.raises(HapiError) as caught:
            catalog_request(query(asked))
        assert caught.value.code == code
    with pytest.raises(HapiError) as caught:
        no_request(query("x=1"))
    assert caught.value.code == 1401


def test_codes_have_the_http_statuses_of_the_specification() -> None:
    assert {code: http_status(code) for code in MESSAGES} == {
        **dict.fromkeys((1200, 1201), 200),
        **dict.fromkeys((1400, 1401, 1402, 1403, 1404, 1405, 1409, 1410, 1411, 1412, 1413), 400),
        **dict.fromkeys((1406, 1407), 404),
        **dict.fromkeys((1500, 1501), 500),
    }
    assert reason(1200) == "OK"
    assert reason(1201) == "OK; HAPI 1201 OK - no data for time range"
    assert reason(1406) == "Not Found; HAPI 1406 Bad request - unknown dataset id"


texts = st.text(max_size=20)
names = (
    st.sampled_from(["dataset", "id", "start", "stop", "parameters", "format", "include", "time.min"]) | texts
)
values = st.sampled_from(["2017", "2018-001Z", "csv", "header", "TAR-BRZ/flr", ""]) | texts


@given(st.lists(st.tuples(names, values), max_size=8))
def test_reading_a_request_is_total(asked: list[tuple[str, str]]) -> None:
    """A request, or one of HAPI's codes; and nothing of what came goes back."""
    refusal = ""
    try:
        found = data_request(asked)
        assert found.start_ns < found.stop_ns
    except HapiError as error:
        refusal, code = str(error), error.code
    else:
        code = 1200
    assert code in MESSAGES
    odd = [value for pair in asked for value in pair if len(value) > 3 and not value.isascii()]
    assert not any(value in refusal for value in odd)
