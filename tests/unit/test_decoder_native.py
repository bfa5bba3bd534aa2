"""The native decoder and its inverse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monitor.decoders.base import REASONS
from monitor.decoders.native import NativeDecoder, native_payload, native_topic
from monitor.errors import DecodeError
from monitor.testing import check_decoder
from monitor.types import Domain, Message, SampleBlock, Surroundings

RECEIVED_NS = 1_504_800_000_000_000_000  # 2017-09-07T16:00:00Z
START = "2017-09-07T00:00:00Z"
START_NS = 1_504_742_400_000_000_000
MAG = "geospace/v1/in/mag/TAR"
CRAFT = "geospace/v1/in/craft/MMS1"
KP = "geospace/v1/in/index/kp"


def decode(payload: object, topic: str = MAG) -> SampleBlock:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    (block,) = NativeDecoder(NativeDecoder.Options(), Surroundings("native")).decode(
        Message(topic, raw, RECEIVED_NS)
    )
    return block


def refusal(payload: object, topic: str = MAG) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(payload, topic)
    assert caught.value.reason in REASONS
    return caught.value


def batch(**changes: object) -> dict[str, object]:
    return {"start": START, "step_s": 1.0, "H": [1.5, None, 2.5]} | changes


def test_decoder_holds_to_what_every_decoder_promises() -> None:
    craft = {
        "start": START,
        "step_s": 4.5,
        "frame": "gse",
        "Bx": [1, 2],
        "By": [3, 4],
        "Bz": [5, None],
        "N": [6, 7],
    }
    payloads = [
        (MAG, batch()),
        (CRAFT, craft),
        (CRAFT, {"time": START, "B": 5.0}),
        (KP, {"start": START, "step_s": 10800, "Kp": [3]}),
    ]
    messages = [Message(topic, json.dumps(payload).encode(), RECEIVED_NS) for topic, payload in payloads]
    check_decoder(lambda: NativeDecoder(NativeDecoder.Options(), Surroundings("native")), messages)


def test_batch_gives_block_with_null_as_gap() -> None:
    block = decode(batch(E=[4, 5, 6]))
    assert (block.source, block.components, block.domain) == ("TAR", ("H", "E"), Domain.GROUND)
    assert (block.t0_ns, block.step_ns, block.frame) == (START_NS, 1_000_000_000, None)
    np.testing.assert_array_equal(block.values, [[1.5, np.nan, 2.5], [4, 5, 6]])


def test_unknown_keys_are_ignored() -> None:
    assert decode(batch(remark={"deep": [[1]]}, U=["x"])).components == ("H",)


def test_repeated_key_takes_the_last() -> None:
    raw = b'{"start":"2017-09-07T00:00:00Z","step_s":1,"H":["x"],"H":[7]}'
    assert refusal(raw).reason == "wrong_type"
    assert decode(raw.replace(b'["x"]', b"[1,2]")).values.tolist() == [[7.0]]


@pytest.mark.parametrize(
    ("topic", "payload", "step_ns"),
    [
        (MAG, {"time": START, "H": 1.0, "D": None}, 1_000_000_000),
        (MAG, {"time": START, "H": 1.0, "step_s": 10}, 10_000_000_000),
        (CRAFT, {"time": START, "N": 3}, 4_500_000_000),
        (KP, {"time": START, "Kp": 3.33}, 10_800_000_000_000),
        (KP, {"time": START, "Kp": 3.33, "step_s": 60}, 60_000_000_000),
    ],
)
def test_single_sample_takes_the_usual_step_unless_named(topic: str, payload: object, step_ns: int) -> None:
    block = decode(payload, topic)
    assert (block.t0_ns, block.step_ns, block.count) == (START_NS, step_ns, 1)


@pytest.mark.parametrize(
    ("topic", "source"),
    [("x/mag/tar", "TAR"), ("mag/B2", "B2"), ("a/b/c/craft/mms_1", "MMS_1")],
)
def test_source_comes_upper_case_from_the_end_of_the_topic(topic: str, source: str) -> None:
    key = "N" if "craft" in topic else "H"
    assert decode({"time": START, key: 1.0}, topic).source == source


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "TAR",
        "mag",
        "geospace/v1/in/mag/",
        "mag/T",
        "mag/TOOLONGCODE",
        "mag/T-R",
        "mag/straße",
        "mag/TAR/x",
        "in/sea/TAR",
        "mag/TAR\n",
    ],
)
def test_topic_without_source_is_refused(topic: str) -> None:
    assert refusal(batch(), topic).reason == "bad_topic"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_json"),
        (b"hello", "not_json"),
        (b'{"start":', "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b'{"start":"\xff"}', "not_json"),
        (b'{"a":' + b"[" * 100_000, "not_json"),
        (b"x" * (4 * 1024 * 1024 + 1), "too_large"),
        (b"\0" * 10_000_000, "too_large"),
        (b"[]", "wrong_type"),
        (b"null", "wrong_type"),
        (batch(H="1"), "wrong_type"),
        (batch(H=["1"]), "wrong_type"),
        (batch(H=[True]), "wrong_type"),
        (batch(H=[[1]]), "wrong_type"),
        (batch(H=1.0), "wrong_type"),
        (batch(H=None), "wrong_type"),
        (batch(start=5), "wrong_type"),
        (batch(step_s="1"), "wrong_type"),
        ({"time": START, "H": [1.0]}, "wrong_type"),
        ({}, "missing_key"),
        ({"H": [1.0]}, "missing_key"),
        ({"start": START, "H": [1.0]}, "missing_key"),
        (batch(E=[1.0]), "unequal_lengths"),
        (b'{"start":"2017-09-07T00:00:00Z","step_s":1,"H":[1,NaN]}', "not_finite"),
        (b'{"start":"2017-09-07T00:00:00Z","step_s":1,"H":[-Infinity]}', "not_finite"),
        (b'{"start":"2017-09-07T00:00:00Z","step_s":1,"H":[1e309]}', "not_finite"),
        (batch(H=[1e308]), "out_of_range"),
        (batch(H=[0, -100_000]), "out_of_range"),
        (batch(time=START), "bad_time"),
        (batch(start="yesterday"), "bad_time"),
        (batch(start="1970-01-01T00:00:00Z"), "time_out_of_range"),
        (batch(start="2100-01-01T00:00:00Z"), "time_out_of_range"),
        (batch(start="9999-12-31T23:59:59-23:59"), "time_out_of_range"),
        (batch(start="0001-01-01T00:00:00+23:59"), "time_out_of_range"),
        (batch(step_s=0), "bad_step"),
        (batch(step_s=-1), "bad_step"),
        (batch(step_s=0.049), "bad_step"),
        (batch(step_s=60.1), "bad_step"),
        (batch(step_s=1e300), "bad_step"),
        (batch(H=[]), "empty"),
        ({"start": START, "step_s": 1.0}, "no_component"),
        ({"start": START, "step_s": 1.0, "U": [1.0]}, "no_component"),
    ],
)  # fmt: skip
def test_bad_message_is_refused_with_its_reason(payload: object, reason: str) -> None:
    assert refusal(payload).reason == reason


def test_refusal_names_the_value_and_what_is_allowed() -> None:
    assert str(refusal(batch(H=[1, 2e5]))) == "out_of_range: H[1] is 200000.0; allowed are -99999 to 99999"


def test_more_samples_than_allowed_are_refused() -> None:
    raw = b'{"start":"2017-09-07T00:00:00Z","step_s":0.05,"H":[' + b"0," * 1_000_000 + b"0]}"
    assert refusal(raw).reason == "too_large"


@pytest.mark.parametrize(("seconds", "accepted"), [(300, True), (301, False)])
def test_last_sample_may_be_300_s_ahead_of_the_receive_time(seconds: int, accepted: bool) -> None:
    # 16:00:00 is the receive time; the last of three samples counts, and its message is taken or refused whole.
    start = {"start": f"2017-09-07T16:0{(seconds - 2) // 60}:{(seconds - 2) % 60:02d}Z"}
    if accepted:
        assert decode(batch(**start)).end_ns == RECEIVED_NS + 301_000_000_000
    else:
        assert refusal(batch(**start)).reason == "time_out_of_range"


def test_first_sample_may_be_of_1990() -> None:
    assert decode(batch(start="1990-01-01T00:00:00Z")).t0_ns == 631_152_000_000_000_000
    assert refusal(batch(start="1989-12-31T23:59:59.999999999Z")).reason == "time_out_of_range"


def test_payload_limit_is_that_of_the_surroundings() -> None:
    decoder = NativeDecoder(NativeDecoder.Options(), Surroundings("native", maximum_payload_bytes=10))
    with pytest.raises(DecodeError, match="too_large"):
        decoder.decode(Message(MAG, b" " * 11, RECEIVED_NS))


def test_craft_totals_are_derived_from_their_parts() -> None:
    block = decode(
        {"start": START, "step_s": 4.5, "frame": "gse", "Bx": [3, 1], "By": [4, None], "Bz": [0, 0],
         "Vx": [-400, 2], "Vy": [0, 3], "Vz": [300, 6], "Tpar": [1, 10], "Tperp": [4, None]},
        CRAFT,
    )  # fmt: skip
    rows = dict(zip(block.components, block.values, strict=True))
    assert (block.domain, block.frame) == (Domain.CRAFT, "gse")
    np.testing.assert_allclose(rows["B"], [5, np.nan])
    np.testing.assert_allclose(rows["V"], [500, 7])
    np.testing.assert_allclose(rows["T"], [3, np.nan])


def test_craft_total_that_came_is_kept_and_its_gaps_derived() -> None:
    block = decode(
        {"start": START, "step_s": 4.5, "Bx": [3, 3], "By": [4, 4], "Bz": [0, 0], "B": [6, None]}, CRAFT
    )
    assert dict(zip(block.components, block.values.tolist(), strict=True))["B"] == [6.0, 5.0]
    assert block.frame is None


@pytest.mark.parametrize(
    "fill",
    [
        -1e31,
        float(np.float32(-1e31)),
        float(np.float32(-1e30)),
        1e30,
        -9999.0,
        9999.99,
        float(np.float32(9999.99)),
        99999.9,
        4294967295,
        -2147483648,
    ],
)
def test_craft_fill_value_is_a_gap(fill: float) -> None:
    block = decode({"start": START, "step_s": 4.5, "N": [fill, 5.0]}, CRAFT)
    np.testing.assert_array_equal(block.values, [[np.nan, 5.0]])


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"N": [1e308]}, "out_of_range"),
        ({"N": [-1]}, "out_of_range"),
        ({"Vx": [-30_000]}, "out_of_range"),
        ({"Bx": [9e4], "By": [9e4], "Bz": [9e4]}, "out_of_range"),
        ({"Bx": [1e308], "By": [1e308], "Bz": [1e308]}, "out_of_range"),
        ({"frame": "geo", "N": [1]}, "wrong_type"),
        ({"H": [1]}, "no_component"),
    ],
)
def test_bad_craft_message_is_refused(columns: dict[str, object], reason: str) -> None:
    assert refusal({"start": START, "step_s": 4.5} | columns, CRAFT).reason == reason


def test_encoding_refuses_what_native_cannot_carry() -> None:
    block = SampleBlock("LLO", ("U", "H"), START_NS, 1_000_000_000, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="LLO: native messages carry X Y Z H D E F; found U"):
        native_payload(block)


def test_encoding_writes_the_contract() -> None:
    block = SampleBlock("TAR", ("H",), START_NS + 500_000_000, 100_000_000, np.array([[1.5, np.nan]]))
    assert native_topic(block, "geospace/v1") == MAG
    assert json.loads(native_payload(block)) == {
        "start": "2017-09-07T00:00:00.5Z",
        "step_s": 0.1,
        "H": [1.5, None],
    }


def test_batch_of_kp_gives_a_block_of_an_index_with_null_as_gap() -> None:
    block = decode({"start": START, "step_s": 10800, "Kp": [3.67, None, 0, 9]}, KP)
    assert (block.source, block.components, block.domain) == ("KP", ("Kp",), Domain.INDEX)
    assert (block.t0_ns, block.step_ns) == (START_NS, 10_800_000_000_000)
    np.testing.assert_array_equal(block.values, [[3.67, np.nan, 0.0, 9.0]])


def test_kp_of_the_interval_in_progress_is_taken_and_of_the_next_is_not() -> None:
    # Received at 16:00: the interval from 15:00 is in progress.
    assert decode({"time": "2017-09-07T15:00:00Z", "Kp": 4}, KP).end_ns == RECEIVED_NS + 7_200_000_000_000
    assert refusal({"time": "2017-09-07T18:00:00Z", "Kp": 4}, KP).reason == "time_out_of_range"


@pytest.mark.parametrize(
    ("changes", "reason", "named"),
    [
        ({"Kp": [9.01]}, "out_of_range", "9.01"),
        ({"Kp": [-0.33]}, "out_of_range", "-0.33"),
        ({"step_s": 10801}, "bad_step", "10801"),
        ({"step_s": 59}, "bad_step", "59"),
        ({"Kp": 3.0}, "wrong_type", "array"),
        ({"Kp": []}, "empty", "no sample"),
    ],
)
def test_bad_kp_is_refused_with_its_value(changes: dict[str, object], reason: str, named: str) -> None:
    error = refusal({"start": START, "step_s": 10800, "Kp": [3.67]} | changes, KP)
    assert error.reason == reason
    assert named in error.detail


def test_component_of_another_branch_is_none_of_an_index() -> None:
    assert refusal({"time": START, "H": 1.0}, KP).reason == "no_component"


def test_kp_goes_out_on_the_topic_it_comes_in_on() -> None:
    block = decode({"start": START, "step_s": 10800, "Kp": [3.67, None]}, KP)
    assert native_topic(block, "geospace/v1") == KP
    back = decode(native_payload(block), KP)
    np.testing.assert_array_equal(back.values, block.values)
