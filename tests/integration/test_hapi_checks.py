"""The checks of HAPI's public verifier, written from the specification: the verifier itself cannot be installed here.

It is a program for Node that is in no package registry. What it checks of a server of version 3.3 is checked here of every
dataset: `info` of all and of single parameters, data in the two forms of time, with and without a header, parameter by
parameter, and what they must have in common.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from math import isfinite
from typing import Any

import pytest
from aiohttp import ClientSession
from hapi_kit import CHAIN, CRAFT, offering, stored
from jsonschema import Draft202012Validator

from monitor.io.hapi.times import parse_time_ns
from monitor.io.store import Store
from monitor.types import SECOND_NS

TIME = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$"
)
DURATION = re.compile(r"P(?!$)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")
NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]{0,30}")
NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]{1,3})?")
IDS = [
    "TAR-BRZ/flr",
    "TAR-BRZ/density",
    "TAR-BRZ/spectrum",
    f"{CHAIN}/profile",
    f"{CHAIN}/plasmapause",
    f"{CRAFT}/region",
    "events",
]

STATUS = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    "additionalProperties": False,
}
HEAD = {"HAPI": {"const": "3.3"}, "status": STATUS}
ABOUT = {
    "type": "object",
    "required": ["HAPI", "status", "id", "title", "contact"],
    "properties": HEAD
    | {key: {"type": "string", "minLength": 1} for key in ("id", "title", "contact", "description", "note")},
    "additionalProperties": False,
}
CAPABILITIES = {
    "type": "object",
    "required": ["HAPI", "status", "outputFormats"],
    "properties": HEAD
    | {
        "outputFormats": {
            "type": "array",
            "contains": {"const": "csv"},
            "items": {"enum": ["csv", "binary", "json"]},
        }
    },
    "additionalProperties": False,
}
CATALOG = {
    "type": "object",
    "required": ["HAPI", "status", "catalog"],
    "properties": HEAD
    | {
        "catalog": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "string", "pattern": "^[^,]+$"},
                    "title": {"type": "string", "maxLength": 40},
                },
                "additionalProperties": False,
            },
        }
    },
    "additionalProperties": False,
}
WORD_OR_NULL = {"type": ["string", "null"], "minLength": 1}
PARAMETER = {
    "type": "object",
    "required": ["name", "type", "units", "fill"],
    "properties": {
        "name": {"type": "string"},
        "type": {"enum": ["isotime", "string", "double", "integer"]},
        "units": WORD_OR_NULL,
        "fill": {"type": ["string", "null"]},
        "length": {"type": "integer", "minimum": 1},
        "size": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
        "label": {"type": "array", "items": {"type": "string", "minLength": 1}},
        "description": {"type": "string"},
        "bins": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "units", "centers"],
                "properties": {
                    "name": {"type": "string"},
                    "units": WORD_OR_NULL,
                    "centers": {"type": "array", "items": {"type": "number"}},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
INFO = {
    "type": "object",
    "required": ["HAPI", "status", "startDate", "stopDate", "parameters"],
    "properties": HEAD
    | {
        key: {"type": "string", "pattern": TIME}
        for key in ("startDate", "stopDate", "sampleStartDate", "sampleStopDate", "modificationDate")
    }
    | {
        "timeStampLocation": {"enum": ["begin", "center", "end", "other"]},
        "cadence": {"type": "string"},
        "description": {"type": "string"},
        "parameters": {"type": "array", "items": PARAMETER, "minItems": 1},
    },
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with stored(tmp_path_factory.mktemp("hapi") / "monitor.sqlite") as opened:
        yield opened


@pytest.fixture
async def client(store: Store) -> AsyncIterator[ClientSession]:
    async with offering(store.path, cross_origin=True) as server, ClientSession(server.url) as session:
        yield session


async def document(client: ClientSession, path: str, schema: dict[str, Any]) -> Any:
    """A JSON answer: 200, its type, CORS, and what the schema wants."""
    async with client.get(f"/hapi/{path}") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("application/json")
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        found = json.loads(await response.text())
    Draft202012Validator(schema).validate(found)
    return found


async def body(client: ClientSession, query: str) -> str:
    """CSV: its type, CORS, a digit first, one newline last."""
    async with client.get(f"/hapi/data?{query}") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/csv")
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        text = await response.text()
    assert text[0].isdigit() or text[0] == "#"
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    return text


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def width(parameter: dict[str, Any]) -> int:
    size: list[int] = parameter.get("size", [1])
    return size[0]


async def test_landing_page_is_html(client: ClientSession) -> None:
    for path in ("/hapi", "/hapi/"):
        async with client.get(path) as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("text/html")


async def test_capabilities_about_and_catalog_are_valid(client: ClientSession) -> None:
    await document(client, "capabilities", CAPABILITIES)
    await document(client, "about", ABOUT)
    catalog = (await document(client, "catalog", CATALOG))["catalog"]
    ids = [one["id"] for one in catalog]
    assert len(set(ids)) == len(ids)
    assert set(IDS) <= set(ids)


async def test_unknown_dataset_is_404_with_1406(client: ClientSession) -> None:
    async with client.get("/hapi/info?id=a_test_of_an_invalid_id") as response:
        assert response.status == 404
        assert response.headers["Content-Type"].startswith("application/json")
        assert (await response.json())["status"]["code"] == 1406


@pytest.mark.parametrize("dataset", IDS)
async def test_info_describes_what_can_be_read(client: ClientSession, dataset: str) -> None:
    info = await document(client, f"info?id={dataset}", INFO)
    assert await document(client, f"info?dataset={dataset}", INFO) == info
    assert "format" not in info
    assert "definitions" not in info
    start, stop = parse_time_ns(info["startDate"]), parse_time_ns(info["stopDate"])
    sample = parse_time_ns(info["sampleStartDate"]), parse_time_ns(info["sampleStopDate"])
    assert start <= sample[0] < sample[1] <= stop
    if "cadence" in info:
        assert DURATION.fullmatch(info["cadence"])
        cadence_s = {"PT30M": 1800, "PT3M": 180}[info["cadence"]]
        assert stop - start > 10 * cadence_s * SECOND_NS

    parameters = info["parameters"]
    names = [one["name"] for one in parameters]
    assert len({name.lower() for name in names}) == len(names)
    assert all(NAME.fullmatch(name) for name in names)
    assert parameters[0]["name"] == "Time"
    assert (parameters[0]["type"], parameters[0]["fill"]) == ("isotime", None)
    for one in parameters:
        assert ("length" in one) == (one["type"] in ("string", "isotime"))
        assert (one["units"] == "UTC") == (one["type"] == "isotime")
        assert len(one.get("label", range(width(one)))) == width(one)
        if "bins" in one:
            assert len(one["bins"]) == len(one["size"])
            assert all(len(bins["centers"]) == width(one) for bins in one["bins"])
        match one["type"], one["fill"]:
            case _, None:
                pass
            case "double", fill:
                assert isfinite(float(fill))
            case "integer", fill:
                assert str(int(fill)) == fill
            case "string", fill:
                assert len(fill.encode()) <= one["length"]
                assert not NUMBER.fullmatch(fill)
            case "isotime", fill:
                assert len(fill) == one["length"]


@pytest.mark.parametrize("dataset", IDS)
async def test_info_of_one_parameter_is_that_part_of_the_whole(client: ClientSession, dataset: str) -> None:
    info = await document(client, f"info?id={dataset}", INFO)
    for one in info["parameters"][1:]:
        part = await document(client, f"info?id={dataset}&parameters={one['name']}", INFO)
        assert part == info | {"parameters": [info["parameters"][0], one]}
    assert await document(client, f"info?dataset={dataset}&parameters=", INFO) == info


@pytest.mark.parametrize("dataset", IDS)
async def test_data_are_the_same_however_they_are_asked_for(client: ClientSession, dataset: str) -> None:
    info = await document(client, f"info?id={dataset}", INFO)
    start, stop = info["startDate"], info["stopDate"]
    whole = await body(client, f"id={dataset}&time.min={start}&time.max={stop}")
    # 7 September is day 250.
    by_day = start.replace("-09-07", "-250"), stop.replace("-09-07", "-250")
    assert "-250T" in by_day[0]
    assert await body(client, f"id={dataset}&time.min={by_day[0]}&time.max={by_day[1]}") == whole
    assert await body(client, f"dataset={dataset}&start={start}&stop={stop}&parameters=") == whole
    assert await body(client, f"dataset={dataset}&start={start[:-1]}&stop={stop[:-1]}") == whole

    headed = await body(client, f"dataset={dataset}&start={start}&stop={stop}&include=header")
    lines = headed.splitlines(keepends=True)
    header = "".join(line[1:] for line in lines if line.startswith("#"))
    assert json.loads(header) == info | {"format": "csv"}
    assert "".join(line for line in lines if not line.startswith("#")) == whole

    parameters = info["parameters"]
    cells = rows(whole)
    assert {len(row) for row in cells} == {sum(map(width, parameters))}
    times = [parse_time_ns(row[0]) for row in cells]
    assert parse_time_ns(start) <= times[0]
    assert times[-1] < parse_time_ns(stop)
    assert times == sorted(times)
    assert dataset == "events" or len(set(times)) == len(times)
    assert all(re.fullmatch(TIME, row[0]) and len(row[0]) == parameters[0]["length"] for row in cells)


@pytest.mark.parametrize("dataset", IDS)
async def test_data_of_one_parameter_are_its_columns(client: ClientSession, dataset: str) -> None:
    info = await document(client, f"info?id={dataset}", INFO)
    asked = f"dataset={dataset}&start={info['startDate']}&stop={info['stopDate']}"
    whole = rows(await body(client, asked))
    assert rows(await body(client, f"{asked}&parameters=Time")) == [row[:1] for row in whole]
    place = 1
    for one in info["parameters"][1:]:
        found = rows(await body(client, f"{asked}&parameters={one['name']}"))
        assert found == [row[:1] + row[place : place + width(one)] for row in whole], one["name"]
        place += width(one)
        for cell in (cell for row in found for cell in row[1:]):
            match one["type"]:
                case "double":
                    assert NUMBER.fullmatch(cell)
                case "integer":
                    assert str(int(cell)) == cell
                case "isotime":
                    assert len(cell) == one["length"]
                case "string":
                    assert 0 < len(cell.encode()) <= one["length"]


@pytest.mark.parametrize("dataset", IDS)
async def test_stretch_without_records_says_so(client: ClientSession, dataset: str) -> None:
    async with client.get(
        f"/hapi/data?id={dataset}&time.min=2017-09-07T12:00:00.001Z&time.max=2017-09-07T12:00:00.003Z"
    ) as response:
        assert response.status == 200
        assert "HAPI 1201" in str(response.reason)
        assert await response.read() == b""
