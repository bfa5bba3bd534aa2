"""Decoders are total: whatever comes, they return blocks or raise DecodeError with a known reason."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decoders.base import AHEAD_NS, EARLIEST_NS, GROUND_LIMITS, REASONS
from monitor.decoders.native import CRAFT_LIMITS, INDEX_LIMITS, derive_totals, native_payload, native_topic
from monitor.errors import DecodeError
from monitor.plugins import installed
from monitor.types import Domain, Message, SampleBlock, Surroundings

PLUGINS = installed()
DECODERS = {name: PLUGINS.make("decoder", name, {}, Surroundings(name)) for name in PLUGINS.names("decoder")}

RECEIVED_NS = 1_504_800_000_000_000_000
NATIVE_MAG = "geospace/v1/in/mag/TAR"
NATIVE_CRAFT = "geospace/v1/in/craft/MMS1"
NATIVE_KP = "geospace/v1/in/index/kp"
IMAG = "impf/wic/pt1s/2/hdzs"
GOOD_TOPIC = {"native": [NATIVE_MAG, NATIVE_CRAFT, NATIVE_KP], "imagmqtt": [IMAG]}
DECODER_OF = [("native", topic) for topic in GOOD_TOPIC["native"]] + [("imagmqtt", IMAG)]
VALID: dict[str, dict[str, object]] = {
    NATIVE_MAG: {"start": "2017-09-07T00:00:00Z", "step_s": 1.0, "H": [1.0, None], "E": [2, 3], "D": [0, 0]},
    NATIVE_CRAFT: {
        "start": "2017-09-07T00:00:00Z", "step_s": 4.5, "frame": "gse", "Bx": [1, 2], "By": [1, 2], "Bz": [1, 2],
        "N": [1, None], "Tpar": [1, 2], "Tperp": [1, 2],
    },
    NATIVE_KP: {"start": "2017-09-07T00:00:00Z", "step_s": 10800, "Kp": [3.67, None]},
    IMAG: {
        "startDate": "2017-09-07T00:00:00", "geomagneticFieldI": [1.0, None], "geomagneticFieldD": [2, 3],
        "geomagneticFieldF": [1, 99999.0], "geomagneticFieldS": [2, 3],
    },
}  # fmt: skip
KEYS = sorted({key for document in VALID.values() for key in document} | {"time"})

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["2017-09-07T00:00:00Z", "2100-01-01T00:00:00", "gse"]),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=8)
    ),
    max_leaves=20,
)


def check(name: str, topic: str, payload: bytes, received_ns: int = RECEIVED_NS) -> None:
    """Decode, and hold whatever comes out to what every decoder promises."""
    reason: str | None = None
    blocks: Sequence[SampleBlock] = ()
    try:
        blocks = DECODERS[name].decode(Message(topic, payload, received_ns))
    except DecodeError as error:
        reason = error.reason
    assert (reason in REASONS) != bool(blocks)
    for block in blocks:
        assert block.values.shape == (len(block.components), block.count)
        assert block.values.dtype == np.float64
        assert block.count >= 1
        assert not np.isinf(block.values).any()
        assert block.t0_ns >= EARLIEST_NS
        assert block.end_ns - block.step_ns <= received_ns + AHEAD_NS


@pytest.mark.parametrize(("name", "topic"), DECODER_OF)
@given(payload=st.binary(max_size=300))
def test_decoder_is_total_over_bytes(name: str, topic: str, payload: bytes) -> None:
    check(name, topic, payload)


@pytest.mark.parametrize("name", sorted(DECODERS))
@given(
    topic=st.text(max_size=60)
    | st.lists(st.sampled_from(["mag", "craft", "index", "kp", "wic", "pt1s", "2", "xyzs", ""])).map(
        "/".join
    ),
    received_ns=st.integers(-(2**70), 2**70),
)
def test_decoder_is_total_over_topics_and_clocks(name: str, topic: str, received_ns: int) -> None:
    for document in VALID.values():
        check(name, topic, json.dumps(document).encode(), received_ns)


@pytest.mark.parametrize(("name", "topic"), DECODER_OF)
@given(document=JSON)
def test_decoder_is_total_over_json(name: str, topic: str, document: object) -> None:
    check(name, topic, json.dumps(document).encode())  # Python writes NaN and Infinity, which JSON has not


@pytest.mark.parametrize(("name", "topic"), DECODER_OF)
@given(
    changes=st.dictionaries(
        st.sampled_from(KEYS), JSON | st.lists(st.floats() | st.none(), max_size=3), max_size=3
    )
)
def test_decoder_is_total_over_changed_documents(name: str, topic: str, changes: dict[str, object]) -> None:
    check(name, topic, json.dumps(VALID[topic] | changes).encode())


@pytest.mark.parametrize(("name", "topic"), DECODER_OF)
@given(data=st.data())
def test_decoder_is_total_over_mutated_bytes(name: str, topic: str, data: st.DataObject) -> None:
    payload = bytearray(json.dumps(VALID[topic]).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        payload = payload or bytearray(b"0")
    check(name, topic, bytes(payload))


LIMITS = {Domain.GROUND: GROUND_LIMITS, Domain.CRAFT: CRAFT_LIMITS, Domain.INDEX: INDEX_LIMITS}


def blocks_of(domain: Domain) -> st.SearchStrategy[SampleBlock]:
    """Blocks as a decoder gives them: within limits, and of a craft with all totals that can be derived."""
    limits = LIMITS[domain]
    largest = 5e4 / math.sqrt(3.0)  # so that no total exceeds its limit; V and T stay far below

    def values_of(name: str, count: int) -> st.SearchStrategy[list[float]]:
        low, high = limits[name]
        # Below the missing marks, the smallest of which is 9999.
        high = min(high, 9e3) if domain is Domain.CRAFT else min(high, largest)
        cell = st.floats(max(low, -high), high, allow_nan=False) | st.just(math.nan)
        return st.lists(cell, min_size=count, max_size=count)

    @st.composite
    def build(draw: st.DrawFn) -> SampleBlock:
        names = tuple(name for name in limits if draw(st.booleans())) or (next(iter(limits)),)
        count = draw(st.integers(1, 4))
        values = np.array([draw(values_of(name, count)) for name in names])
        if domain is Domain.CRAFT:
            names, values = derive_totals(names, values)
        return SampleBlock(
            draw(st.from_regex(r"\A[A-Z0-9]{2,8}\Z")),
            names,
            draw(st.integers(EARLIEST_NS, RECEIVED_NS - 300 * 10**9)),
            60_000_000_000 if domain is Domain.INDEX else draw(st.integers(50_000_000, 60_000_000_000)),
            values,
            domain=domain,
            frame=draw(st.sampled_from([None, "gse", "gsm", "dmpa", "dbcs"]))
            if domain is Domain.CRAFT
            else None,
        )

    return build()


@settings(max_examples=60)
@given(block=st.sampled_from(Domain).flatmap(blocks_of))
def test_native_block_survives_encoding_to_the_last_bit(block: SampleBlock) -> None:
    message = Message(native_topic(block, "geospace/v1"), native_payload(block), RECEIVED_NS)
    (back,) = DECODERS["native"].decode(message)
    assert (back.source, back.components, back.t0_ns, back.step_ns) == (
        block.source,
        block.components,
        block.t0_ns,
        block.step_ns,
    )
    assert (back.domain, back.frame) == (block.domain, block.frame)
    np.testing.assert_array_equal(back.values, block.values)
