"""Events as notifications: by hand, and against the schema of the WMO."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from crossing_kit import T0_NS, properties, stage, states_of

from monitor.stages.crossing import HOUR_NS
from monitor.stages.notification import NAMESPACE, notification, notification_id
from monitor.types import Product

SCHEMA = Path(__file__).resolve().parents[3] / "shared" / "formats" / "wis2-notification-message.json"
DATA_ID = "plasmapause_crossing/emma/2017-09-07T11:00:00Z/inward"
OPEN = {"datetime": "2017-09-07T12:00:00Z", "start_datetime": "2017-09-07T11:00:00Z"}
OVER = {"start_datetime": "2017-09-07T11:00:00Z", "end_datetime": "2017-09-07T14:00:00Z"}
FORMATS = jsonschema.FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def is_date_time(text: object) -> bool:
    """jsonschema checks times only with a package that is not here."""
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


def made(content: dict[str, str] = OPEN, **changes: Any) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "members": ["flr/TAR-BRZ/2017-09-07T12:00:00Z/0"],
        "position_deg": (25.0, 57.0),
        "base_url": "http://127.0.0.1:9464",
    }
    return notification(DATA_ID, 2, "update", content, **(chosen | changes))


def sent() -> list[dict[str, Any]]:
    """Notifications as they go out, of a storm that comes, goes, and is revised."""
    places = [6.3] * 4 + [5.0] * 6 + [2.6] * 6 + [6.3] * 4
    running = stage()
    said: list[Product] = running.feed(states_of(places))
    said += running.feed(states_of([6.3] * 3, first=17))
    said += running.feed(states_of([2.6] * 3, first=17))
    return [json.loads(one.encode(T0_NS + HOUR_NS)) for one in said]


def test_id_is_of_the_event_and_the_number() -> None:
    assert notification_id(DATA_ID, 2) == str(uuid.uuid5(NAMESPACE, f"{DATA_ID}#2"))
    ids = {notification_id(event, number) for event in (DATA_ID, "other") for number in range(3)}
    assert len(ids) == 6
    assert made()["id"] == notification_id(DATA_ID, 2)


def test_required_members_are_there() -> None:
    feature = made()
    assert feature["type"] == "Feature"
    assert feature["conformsTo"] == ["http://wis.wmo.int/spec/wnm/1/conf/core"]
    assert feature["geometry"] == {"type": "Point", "coordinates": [25.0, 57.0]}
    assert feature["properties"] == {
        "data_id": DATA_ID,
        "state": "update",
        "update": 2,
        **OPEN,
        "members": ["flr/TAR-BRZ/2017-09-07T12:00:00Z/0"],
    }


@pytest.mark.parametrize(
    "base_url", ["https://monitor.example.org/space", "https://monitor.example.org/space/"]
)
def test_one_canonical_link_goes_to_the_server(base_url: str) -> None:
    feature = made(base_url=base_url)
    assert feature["links"] == [
        {
            "href": f"https://monitor.example.org/space/events/{feature['id']}",
            "rel": "canonical",
            "type": "application/geo+json",
        }
    ]


@pytest.mark.parametrize(
    ("given", "expected"), [(25.0, 25.0), (190.0, -170.0), (360.0, 0.0), (-180.0, -180.0)]
)
def test_longitude_is_that_of_geojson(given: float, expected: float) -> None:
    assert made(position_deg=(given, -57.12345678))["geometry"]["coordinates"] == [expected, -57.1235]


def test_unknown_position_is_null() -> None:
    assert made(position_deg=None)["geometry"] is None


@pytest.mark.parametrize("content", [OPEN | OVER, {"start_datetime": "2017-09-07T11:00:00Z"}])
def test_both_forms_of_time_or_neither_are_refused(content: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"{DATA_ID} must have either"):
        made(content)


def test_what_goes_out_has_either_form_of_time() -> None:
    documents = sent()
    assert {one["properties"]["state"] for one in documents} == {"begin", "update", "end"}
    assert {one["properties"].get("outcome") for one in documents} == {None, "passed", "withdrawn"}
    for document in documents:
        times = document["properties"].keys() & {"datetime", "start_datetime", "end_datetime", "pubtime"}
        over = document["properties"]["state"] == "end"
        last = "end_datetime" if over else "datetime"
        assert times == {"pubtime", "start_datetime", last}
        assert document["properties"]["pubtime"] == "2017-09-07T01:00:00Z"
        assert uuid.UUID(document["id"]).version == 5
        assert "published" not in document


@pytest.mark.realdata
@pytest.mark.skipif(not SCHEMA.is_file(), reason="the schema in ../shared/formats is not there")
def test_what_goes_out_is_valid_by_the_schema() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    documents = sent()
    assert len(documents) > 20
    for document in documents:
        validator.validate(document)
    validator.validate(
        made(position_deg=None) | {"properties": {"pubtime": OPEN["datetime"], "data_id": "a", **OVER}}
    )
    # It has teeth: the mistakes that it is here to find.
    document = next(one for one in documents if one["properties"]["state"] == "update")
    for mistake in (
        {"end_datetime": "2017-09-07T14:00:00Z"},
        {"end_datetime": None},
        {"datetime": "2017-09-07 noon"},
        {"data_id": None},
    ):
        wrong = document | {"properties": document["properties"] | mistake}
        assert not validator.is_valid(wrong), mistake
    assert not validator.is_valid(document | {"id": "2017"})


def test_l_shell_of_an_update_is_in_its_interval() -> None:
    stated = [one for document in sent() if "l_interval" in (one := document["properties"])]
    assert stated
    for one in stated:
        low, high = one["l_interval"]
        assert low < one["l_shell"] < high


def test_number_of_product_and_notification_are_one() -> None:
    for product in stage().feed(states_of([6.3] * 3 + [2.6] * 4)):
        assert properties(product)["update"] == product.revision
        assert product.body["id"] == notification_id(properties(product)["data_id"], product.revision)
