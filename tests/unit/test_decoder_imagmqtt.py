"""The ImagMQTT decoder."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from monitor.decoders.imagmqtt import ImagMqttDecoder
from monitor.errors import DecodeError
from monitor.testing import check_decoder
from monitor.types import Message, SampleBlock, Surroundings

RECEIVED_NS = 1_715_400_000_000_000_000  # 2024-05-11T04:00:00Z
START_NS = 1_715_299_200_000_000_000  # 2024-05-10T00:00:00Z
TOPIC = "impf/wic/pt1s/2/xyzs"


def decoder(**options: object) -> ImagMqttDecoder:
    return ImagMqttDecoder(ImagMqttDecoder.Options.model_validate(options), Surroundings("imagmqtt"))


def decode(columns: dict[str, object], topic: str = TOPIC, **options: object) -> SampleBlock:
    document = {"startDate": "2024-05-10T00:00:00"} | {
        (f"geomagneticField{key}" if len(key) == 1 else key): value for key, value in columns.items()
    }
    message = Message(topic, json.dumps(document).encode(), RECEIVED_NS)
    (block,) = decoder(**options).decode(message)
    return block


def refusal(columns: dict[str, object], topic: str = TOPIC) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(columns, topic)
    return caught.value.reason


def rows(block: SampleBlock) -> dict[str, list[float]]:
    return dict(zip(block.components, block.values.tolist(), strict=True))


@pytest.mark.parametrize("unit", ["degrees", "arcmin"])
def test_decoder_holds_to_what_every_decoder_promises(unit: str) -> None:
    vectors = {"xyzs": "XYZS", "hdzs": "HDZ", "difs": "DIF"}
    messages = [
        Message(
            f"impf/wic/pt1s/2/{group}",
            json.dumps(
                {"startDate": "2024-05-10T00:00:00"}
                | {f"geomagneticField{name}": [20.5, None, 30.0] for name in names}
            ).encode(),
            RECEIVED_NS,
        )
        for group, names in (*vectors.items(), ("xyzs", "S"))
    ]
    check_decoder(lambda: decoder(declination_unit=unit), messages)


def test_xyzs_gives_block_in_nT_with_level_and_utc() -> None:
    block = decode(
        {"X": [1, None], "Y": [2, 3], "Z": [4, 5], "S": [6, 99999.0], "ginCode": "edi", "odd": [{}]}
    )
    assert (block.source, block.components, block.level) == ("WIC", ("X", "Y", "Z", "S"), 2)
    assert (block.t0_ns, block.step_ns) == (START_NS, 1_000_000_000)
    np.testing.assert_array_equal(block.values, [[1, np.nan], [2, 3], [4, 5], [6, np.nan]])


@pytest.mark.parametrize(
    ("cadence", "step_ns"),
    [
        ("pt1s", 1_000_000_000),
        ("1hz", 1_000_000_000),
        ("PT1M", 60_000_000_000),
        ("pt10s", 10_000_000_000),
        ("pt0.1s", 100_000_000),
        ("10hz", 100_000_000),
    ],
)
def test_cadence_word_gives_the_step(cadence: str, step_ns: int) -> None:
    assert decode({"X": [1]}, f"impf/wic/{cadence}/1/xyzs").step_ns == step_ns


def test_only_the_last_four_topic_levels_count() -> None:
    block = decode({"X": [1]}, "some/where/else/ABK/pt1s/4/XYZS")
    assert (block.source, block.level) == ("ABK", 4)
    assert decode({"X": [1]}, "ABK/pt1s/4/xyzs").source == "ABK"


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("", "bad_topic"),
        ("wic/pt1s/2", "bad_topic"),
        ("impf/w/pt1s/2/xyzs", "bad_topic"),
        ("impf/wic/p1d/2/xyzs", "bad_topic"),
        ("impf/wic/pt1s/5/xyzs", "bad_topic"),
        ("impf/wic/pt1s/\N{SUPERSCRIPT TWO}/xyzs", "bad_topic"),
        ("impf/wic/pt1s/2/xyz", "bad_topic"),
        ("impf/wic/pt2m/2/xyzs", "bad_step"),
        ("impf/wic/0hz/2/xyzs", "bad_step"),
        ("impf/wic/100hz/2/xyzs", "bad_step"),
    ],
)
def test_bad_topic_is_refused(topic: str, reason: str) -> None:
    assert refusal({"X": [1]}, topic) == reason


def test_minute_data_may_leave_out_the_seconds() -> None:
    assert (
        decode({"startDate": "2024-05-10T00:01", "H": [1]}, "impf/wic/pt1m/1/hdzs").t0_ns
        == START_NS + 60_000_000_000
    )


@pytest.mark.parametrize(("unit", "arrived"), [("degrees", 4.5), ("arcmin", 270.0)])
def test_declination_leaves_in_degrees(unit: str, arrived: float) -> None:
    block = decode(
        {"H": [21_000], "D": [arrived], "Z": [44_000]}, "impf/wic/pt1s/1/hdzs", declination_unit=unit
    )
    assert rows(block) == {"Z": [44_000.0], "H": [21_000.0], "D": [pytest.approx(4.5)]}


@pytest.mark.parametrize(("unit", "scale"), [("degrees", 1.0), ("arcmin", 60.0)])
def test_dif_gives_horizontal_and_vertical_component(unit: str, scale: float) -> None:
    block = decode(
        {"D": [-3.0 * scale, 0], "I": [60.0 * scale, None], "F": [50_000, 50_000]},
        "impf/wic/pt1s/1/difs",
        declination_unit=unit,
    )
    found = rows(block)
    assert found["H"] == [pytest.approx(25_000), pytest.approx(np.nan, nan_ok=True)]
    assert found["Z"] == [pytest.approx(43_301.270189), pytest.approx(np.nan, nan_ok=True)]
    assert found["D"] == [pytest.approx(-3.0), 0.0]
    assert found["F"] == [50_000, 50_000]


@pytest.mark.parametrize("components", ["xyzs", "hdzs", "difs"])
def test_scalar_alone_is_a_block_of_the_scalar_instrument(components: str) -> None:
    block = decode({"S": [48_000.5]}, f"impf/wic/pt1s/1/{components}")
    assert rows(block) == {"S": [48_000.5]}
    assert block.is_scalar
    assert not decode({"X": [1], "Y": [1], "Z": [1], "S": [1]}).is_scalar


@pytest.mark.parametrize("mark", [99_999.0, 99_999, 88_888.0, None])
def test_missing_mark_is_a_gap_also_in_angles(mark: float | None) -> None:
    block = decode({"H": [mark], "D": [mark], "Z": [1]}, declination_unit="arcmin")
    np.testing.assert_array_equal(block.values, [[1], [np.nan], [np.nan]])


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, "no_component"),
        ({"x": [1]}, "no_component"),
        ({"X": []}, "empty"),
        ({"X": [1], "H": [1]}, "mixed_components"),
        ({"H": [1], "D": [1], "I": [1], "F": [1]}, "mixed_components"),
        ({"X": [1], "Y": [1], "Z": [1], "I": [1]}, "mixed_components"),
        ({"X": [1, 2], "Y": [1]}, "unequal_lengths"),
        ({"X": 1.0}, "wrong_type"),
        ({"X": ["1"]}, "wrong_type"),
        ({"X": [1e308]}, "out_of_range"),
        ({"F": [-1]}, "out_of_range"),
        ({"D": [361]}, "out_of_range"),
        ({"I": [91]}, "out_of_range"),
        ({"X": [1], "startDate": None}, "wrong_type"),
        ({"X": [1], "startDate": "2024-05-10"}, "bad_time"),
        ({"X": [1], "startDate": "1970-01-01T00:00:00"}, "time_out_of_range"),
        ({"X": [1], "startDate": "2100-01-01T00:00:00"}, "time_out_of_range"),
    ],
)
def test_bad_message_is_refused_with_its_reason(columns: dict[str, object], reason: str) -> None:
    assert refusal(columns) == reason


def test_message_without_start_is_refused() -> None:
    with pytest.raises(DecodeError, match="missing_key: the message has no startDate"):
        decoder().decode(Message(TOPIC, b'{"geomagneticFieldX":[1]}', RECEIVED_NS))


def test_unknown_angle_unit_is_refused() -> None:
    with pytest.raises(ValidationError, match="declination_unit"):
        decoder(declination_unit="rad")
