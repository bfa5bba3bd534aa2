"""ImagMQTT against its schema: what it allows is decoded or refused by name, what it forbids gives no wrong number."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.decoders.base import REASONS
from monitor.decoders.imagmqtt import ImagMqttDecoder
from monitor.errors import DecodeError
from monitor.types import Message, SampleBlock, Surroundings

SCHEMA = Path(__file__).resolve().parents[3] / "shared" / "formats" / "ImagMQTTSchema.json"
RECEIVED_NS = 1_504_800_000_000_000_000
TOPIC = "impf/wic/pt1s/2/xyzs"
DECODER = ImagMqttDecoder(ImagMqttDecoder.Options(), Surroundings("imagmqtt"))
FIELD = "geomagneticField"
ELEMENTS = "XYZHDIFS"
SETS = ("XYZ", "XYZS", "XYZF", "HDZ", "HDZS", "DIF", "DIFS", "S", "FS")

pytestmark = pytest.mark.skipif(not SCHEMA.is_file(), reason="the schema in ../shared/formats is not there")


@cache
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes()))


def cells(name: str) -> st.SearchStrategy[float | None]:
    """What the schema means by the limits of an element; as it writes them they bind no array."""
    low, high = {"D": (-180.0, 180.0), "I": (-90.0, 90.0), "F": (0.0, 8e4), "S": (0.0, 8e4)}.get(
        name, (-8e4, 8e4)
    )
    return st.none() | st.just(99999.0) | st.floats(low, high) | st.integers(math.ceil(low), int(high))


@cache
def metadata() -> st.SearchStrategy[dict[str, Any]]:
    """Any of the schema's other keys, with values as it describes them."""

    def values(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
        if "enum" in rule:
            return st.sampled_from(rule["enum"])
        return {
            "string": st.text(max_size=8),
            "integer": st.integers(rule.get("minimum", 0), rule.get("maximum", 0)),
            "number": st.floats(rule.get("minimum", 0.0), rule.get("maximum", 0.0)),
            "array": st.lists(st.text(max_size=8), max_size=2),
        }[rule["type"]]

    known = {
        name: values(rule)
        for name, rule in json.loads(SCHEMA.read_bytes())["properties"].items()
        if name != "startDate" and not name.startswith(FIELD)
    }
    return st.fixed_dictionaries({}, optional=known)


@st.composite
def documents(draw: st.DrawFn, names: str) -> dict[str, Any]:
    count = draw(st.integers(1, 4))
    arrays = {f"{FIELD}{name}": draw(st.lists(cells(name), min_size=count, max_size=count)) for name in names}
    start = draw(st.sampled_from(["2017-09-07T12:00:00", "2017-09-07T12:00", "2017-09-07T12:00:00.00Z"]))
    return {"startDate": start, **draw(metadata()), **arrays}


def decoded(document: dict[str, Any]) -> SampleBlock | None:
    """The block, or None where it was refused; a refusal has a known reason."""
    try:
        (block,) = DECODER.decode(Message(TOPIC, json.dumps(document).encode(), RECEIVED_NS))
    except DecodeError as error:
        refusal = error.reason
    else:
        return block
    assert refusal in REASONS
    return None


def assert_says_what_was_sent(block: SampleBlock, document: dict[str, Any]) -> None:
    """Each row is the array of its name; what was derived follows from the arrays; and nothing was invented."""
    sent = {name: document[f"{FIELD}{name}"] for name in ELEMENTS if f"{FIELD}{name}" in document}
    for name, row in zip(block.components, block.values, strict=True):
        if name in sent:
            expected = [math.nan if cell in (None, 99999.0) else cell for cell in sent[name]]
            np.testing.assert_array_equal(row, expected)
        else:
            turn = {"H": np.cos, "Z": np.sin}[name]
            rows = dict(zip(block.components, block.values, strict=True))
            np.testing.assert_allclose(row, rows["F"] * turn(np.radians(rows["I"])), rtol=1e-12)
    assert set(sent) <= set(block.components)


@given(document=st.sampled_from(SETS).flatmap(documents))
def test_what_the_schema_means_is_decoded_to_its_numbers(document: dict[str, Any]) -> None:
    validator().validate(document)
    block = decoded(document)
    assert block is not None
    assert_says_what_was_sent(block, document)


CHANGES: dict[str, Any] = {
    "startDate": [0, None, "yesterday", "2017-09-07", "2300-01-01T00:00:00"],
    **{
        f"{FIELD}{name}": [None, 1.0, "1", [], ["1"], [True], [[1.0]], [1e99], [1.0], [None, None]]
        for name in ELEMENTS
    },
    "latitude": [91.0, "north"],
    "unknown": [1],
}


@given(
    document=st.sampled_from(SETS).flatmap(documents),
    dropped=st.sets(st.sampled_from(["startDate", *(f"{FIELD}{name}" for name in ELEMENTS)]), max_size=2),
    changed=st.dictionaries(st.sampled_from(sorted(CHANGES)), st.integers(0, 99), max_size=2),
)
def test_what_is_changed_is_refused_by_name_or_says_what_was_sent(
    document: dict[str, Any], dropped: set[str], changed: dict[str, int]
) -> None:
    for name in dropped:
        document.pop(name, None)
    for name, place in changed.items():
        document[name] = CHANGES[name][place % len(CHANGES[name])]
    block = decoded(document)
    if block is not None:
        assert_says_what_was_sent(block, document)
        described = set(block.components) & set("XYH")
        assert described != {"X", "H"}
        assert len(described) < 3, "of a vector in two ways nobody can say which is meant"
    elif validator().is_valid(document):
        # The schema binds neither the lengths of arrays, nor their values, nor the form of a time.
        lengths = {len(cells) for name, cells in document.items() if name.startswith(FIELD)}
        odd = any(
            CHANGES[name][place % len(CHANGES[name])] == document.get(name) for name, place in changed.items()
        )
        assert odd or len(lengths) > 1
