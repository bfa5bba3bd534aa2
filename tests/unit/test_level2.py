"""Level 2: cleaned series of one second as ImagMQTT, whatever a station sends and in whatever order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from pydantic import ValidationError

from monitor.decoders.imagmqtt import ImagMqttDecoder
from monitor.stages.level2 import Level2
from monitor.testing import check_stage
from monitor.types import (
    SECOND_NS,
    SHADOW_PAIR,
    Domain,
    FloatArray,
    Message,
    Product,
    SampleBlock,
    Surroundings,
    Tick,
)

SCHEMA = Path(__file__).resolve().parents[3] / "shared" / "formats" / "ImagMQTTSchema.json"
T0_NS = 1_504_771_200 * SECOND_NS  # 2017-09-07T08:00:00Z
STATIONS = ("TAR", "BRZ", *SHADOW_PAIR.stations)


def level2(**options: object) -> Level2:
    return Level2(Level2.Options.model_validate(options), Surroundings("level2", stations=STATIONS))


def field(count: int, rate_Hz: int = 1) -> FloatArray:
    """Three components of a wave in a little noise."""
    time_s = np.arange(count) / rate_Hz
    wave = 3.0 * np.sin(2 * np.pi * 0.015 * time_s) + np.random.default_rng(5).normal(0.0, 0.05, count)
    return np.round(np.stack([20_000.0 + wave, 1_500.0 - wave, 45_000.0 + 0.3 * wave]), 3)


def blocks(
    values: FloatArray,
    components: str = "XYZ",
    *,
    begin_s: float = 0.0,
    rate_Hz: int = 1,
    level: int = 0,
    length: int = 60,
) -> list[SampleBlock]:
    step_ns = SECOND_NS // rate_Hz
    begin_ns = T0_NS + round(begin_s * SECOND_NS)
    return [
        SampleBlock(
            "TAR",
            tuple(components),
            begin_ns + at * step_ns,
            step_ns,
            values[:, at : at + length],
            level=level,
        )
        for at in range(0, values.shape[1], length)
    ]


def newest(products: Sequence[Product]) -> dict[int, Product]:
    return {(product.time_ns - T0_NS) // SECOND_NS: product for product in products}


def series(products: Sequence[Product], name: str) -> FloatArray:
    """What was said of a component, one minute after the other; NaN where it is null."""
    cells = [
        cell
        for _, product in sorted(newest(products).items())
        for cell in product.body[f"geomagneticField{name}"]
    ]
    return np.array(cells, dtype=np.float64)


def test_stage_holds_to_what_every_stage_promises() -> None:
    values = field(900)
    values[0, 200], values[2, 300:330] = 21_000.0, np.nan
    pieces = blocks(values)
    # One comes late, one twice with other numbers and a higher level; time passes; and there is a pause.
    late, again = pieces.pop(3), blocks(values + 0.5, level=3)[6]
    after = blocks(field(400), begin_s=9_000.0)
    check_stage(level2, [*pieces[:9], late, Tick(200 * SECOND_NS), again, *pieces[9:], *after])
    check_stage(level2, blocks(field(9_000, 10), rate_Hz=10, length=700))


def test_clean_samples_go_out_as_they_came_in_minutes() -> None:
    values = field(600)
    said = level2().feed(blocks(values))
    # Two minutes more must be there before one is said.
    assert sorted(newest(said)) == list(range(0, 480, 60))
    for row, name in enumerate("XYZ"):
        np.testing.assert_array_equal(series(said, name), values[row, :480])
    first = newest(said)[0]
    assert (first.topic, first.revision, first.retained) == ("impf/tar/pt1s/2/xyzs", 0, False)
    assert first.body["startDate"] == "2017-09-07T08:00:00"


@pytest.mark.parametrize("components", ["XYZ", "HDZ"])
@pytest.mark.skipif(not SCHEMA.is_file(), reason="the schema in ../shared/formats is not there")
def test_what_goes_out_is_valid_and_is_decoded_to_the_same_samples(components: str) -> None:
    values = field(300)
    if components == "HDZ":
        values[1] = 4.5 + np.arange(300) / 1e5
    (first, *_) = level2().feed(blocks(values, components, level=1))
    payload = first.encode(T0_NS)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(json.loads(payload))
    decoder = ImagMqttDecoder(ImagMqttDecoder.Options(), Surroundings("imagmqtt"))
    (block,) = decoder.decode(Message(f"geospace/v1/{first.topic}", payload, T0_NS + 60 * SECOND_NS))
    assert (block.source, block.level, block.t0_ns, block.step_ns) == ("TAR", 2, T0_NS, SECOND_NS)
    rows = dict(zip(block.components, block.values, strict=True))
    for row, name in enumerate(components):
        np.testing.assert_array_equal(rows[name], values[row, :60])


@pytest.mark.skipif(not SCHEMA.is_file(), reason="the schema in ../shared/formats is not there")
def test_component_that_is_not_sent_or_is_no_angle_is_null() -> None:
    (first, *_) = level2().feed(blocks(field(300), "HDZ"))  # native: D is the variation in nT
    assert first.topic == "impf/tar/pt1s/2/hdzs"
    assert first.body["geomagneticFieldD"] == [None] * 60
    (alone, *_) = level2().feed(blocks(field(300)[:1], "H"))
    assert alone.body["geomagneticFieldZ"] == [None] * 60
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(dict(alone.body))


def test_gaps_stay_gaps_and_spikes_become_gaps_alone() -> None:
    values = field(600)
    clean = values.copy()
    values[0, 100] += 40.0
    values[1, 250:252] -= 300.0
    values[:, 300:330] = np.nan
    said = level2().feed(blocks(values))
    found = np.stack([series(said, name) for name in "XYZ"])
    expected = clean[:, :480].copy()
    expected[0, 100], expected[1, 250:252], expected[:, 300:330] = np.nan, np.nan, np.nan
    np.testing.assert_array_equal(found, expected)


def test_minute_of_gaps_alone_is_not_said() -> None:
    values = field(600)
    values[:, 120:180] = np.nan
    assert 120 not in newest(level2().feed(blocks(values)))


def test_ten_samples_a_second_come_to_one_without_shift_and_without_aliases() -> None:
    time_s = np.arange(6000) / 10.0
    slow = 20_000.0 + 5.0 * np.sin(2 * np.pi * 0.02 * time_s)
    # At 0.9 Hz, which would look like 0.1 Hz.
    fast = 5.0 * np.sin(2 * np.pi * 0.9 * time_s)
    said = level2().feed(blocks(np.stack([slow + fast]), "H", rate_Hz=10, length=600))
    found = series(said, "H")
    # Where nothing came before, the filter is cut.
    np.testing.assert_allclose(found[13:], slow[::10][13 : found.size], atol=0.02)
    assert found.size == 480


def test_samples_between_the_seconds_keep_their_instants() -> None:
    (first, *_) = level2().feed(blocks(field(300), begin_s=0.25))
    assert first.body["startDate"] == "2017-09-07T08:00:00.25"


def test_late_samples_and_a_higher_level_revise_their_minutes_only() -> None:
    stage, values = level2(), field(600)
    pieces = blocks(values)
    late = pieces.pop(2)
    before = newest(stage.feed(pieces))
    assert 120 not in before
    after = newest(stage.feed([late]))
    assert {second: product.revision for second, product in after.items()} == {120: 0}
    np.testing.assert_array_equal(series([after[120]], "X"), values[0, 120:180])
    assert stage.feed([late]) == []
    better = newest(stage.feed(blocks(values + 1.0, level=2)[4:5]))
    assert better[240].revision == 1
    np.testing.assert_array_equal(series([better[240]], "X"), values[0, 240:300] + 1.0)
    # The lower level comes again, and nothing takes a value away.
    assert stage.feed([pieces[3]]) == []
    assert stage.feed(blocks(np.full((3, 60), np.nan), begin_s=240.0, level=4)) == []


def test_late_samples_tell_the_spike_in_the_minute_before_them() -> None:
    stage, values = level2(), field(600)
    values[0, 178] += 40.0
    pieces = blocks(values)
    late = pieces.pop(3)
    before = newest(stage.feed(pieces))
    # Beside a gap it cannot be told from the beginning of something.
    assert series([before[120]], "X")[58] == values[0, 178]
    after = newest(stage.feed([late]))
    assert (sorted(after), after[120].revision) == ([120, 180], 1)
    assert np.isnan(series([after[120]], "X")[58])


def test_silence_ends_the_wait_and_a_pause_loses_no_sample() -> None:
    stage, values = level2(), field(330)
    said = stage.feed(blocks(values))
    assert stage.feed(Tick(100 * SECOND_NS)) == []
    said += stage.feed(Tick(20 * SECOND_NS))
    assert sorted(newest(said)) == [0, 60, 120, 180, 240]
    said += stage.feed(blocks(field(60), begin_s=40_000.0))
    np.testing.assert_array_equal(series(said, "Z")[:330], values[2])


def test_others_are_passed_by() -> None:
    stage, values = level2(), field(600)
    others = [
        SampleBlock("XYZ", ("H",), T0_NS, SECOND_NS, values[:1]),
        SampleBlock(SHADOW_PAIR.poleward, ("H",), T0_NS, SECOND_NS, values[:1]),
        SampleBlock("TAR", ("S",), T0_NS, SECOND_NS, values[:1]),
        SampleBlock("TAR", ("H",), T0_NS, 10 * SECOND_NS, values[:1]),
        SampleBlock("TAR", ("H",), T0_NS, SECOND_NS * 3 // 10, values[:1]),
        SampleBlock("TAR", ("Bx",), T0_NS, SECOND_NS, values[:1], domain=Domain.CRAFT),
        Product("flr", "TAR-BRZ", T0_NS, 0, retained=True, body={}),
    ]
    assert stage.feed(others) == []
    assert level2(stations=["BRZ"]).feed(blocks(values)) == []
    assert level2(stations=["tar"]).feed(blocks(values)) != []


def test_state_of_other_messages_is_left_aside() -> None:
    values = field(600)
    before = level2(block_s=30)
    before.feed(blocks(values))
    after = level2()
    after.feed(blocks(values))
    after.restore(before.snapshot())
    assert sorted(newest(after.feed(blocks(field(60), begin_s=600.0)))) == [480]


@pytest.mark.parametrize("options", [{"block_s": 5}, {"block_s": 1.5}, {"revise_s": -1}, {"odd": 1}])
def test_options_are_held_to_their_limits(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        level2(**options)
