"""What a decoder from elsewhere may give: blocks of the right parts; all else is its failure, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config import Config
from monitor.daemon.worker import Worker
from monitor.decoders.base import checked
from monitor.decoders.imagmqtt import ImagMqttDecoder
from monitor.decoders.native import NativeDecoder, native_payload, native_topic
from monitor.errors import DecodeError
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.types import SECOND_NS, Domain, Message, SampleBlock

T0_NS = 1_504_771_200 * SECOND_NS
RECEIVED_NS = T0_NS + 60 * SECOND_NS
BLOCK = SampleBlock("TAR", ("H",), T0_NS, SECOND_NS, np.ones((1, 60)))
MESSAGE = Message("geospace/v1/in/mag/TAR", b"", RECEIVED_NS)


def changed(**parts: Any) -> list[SampleBlock]:
    return [replace(BLOCK, **parts)]


WRONG: dict[str, object] = {
    "nothing": None,
    "a number": 42,
    "numbers": [42],
    "a block that is no list": BLOCK,
    "a source that is none": changed(source=None),
    "no name": changed(source=""),
    "components in a list": changed(components=["H"]),
    "a component that is a number": changed(components=(1,)),
    "too few components": changed(components=()),
    "a time as a float": changed(t0_ns=1.5e18),
    "a time of numpy": changed(t0_ns=np.int64(T0_NS)),
    "no step": changed(step_ns=0),
    "values in a list": changed(values=[[1.0]]),
    "values in a row": changed(values=np.ones(60)),
    "values that are texts": changed(values=np.array([["a", "b"]])),
    "values that are objects": changed(values=np.array([[None]], dtype=object)),
    "values in single precision": changed(values=np.ones((1, 3), dtype=np.float32)),
    "a domain that is a text": changed(domain="sea"),
    "a level that is a text": changed(level="4"),
    "a sensor that is a number": changed(sensor=3),
    "a good block before a bad one": [BLOCK, None],
}


def test_blocks_of_the_right_parts_pass() -> None:
    index = SampleBlock("KP", ("Kp",), T0_NS, 10_800 * SECOND_NS, np.ones((1, 1)), Domain.INDEX)
    assert checked((BLOCK, index), MESSAGE) == [BLOCK, index]
    assert checked([], MESSAGE) == []


@pytest.mark.parametrize("found", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_block_of_the_right_parts_is_refused(found: object) -> None:
    with pytest.raises(TypeError):
        checked(found, MESSAGE)


@pytest.mark.parametrize("t0_ns", [0, RECEIVED_NS + 10_000 * SECOND_NS])
def test_times_that_cannot_be_are_refused_whoever_decoded_them(t0_ns: int) -> None:
    with pytest.raises(DecodeError, match="time_out_of_range"):
        checked(changed(t0_ns=t0_ns), MESSAGE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "db.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


@pytest.mark.parametrize("found", WRONG.values(), ids=WRONG.keys())
def test_decoder_that_gives_rubbish_costs_one_message_and_no_neighbour(
    found: object, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = NativeDecoder.decode

    def rubbish_of_tar(decoder: NativeDecoder, message: Message) -> object:
        return found if message.topic.endswith("TAR") else decode(decoder, message)

    monkeypatch.setattr(NativeDecoder, "decode", rubbish_of_tar)
    config = Config.model_validate({"pairs": ["TAR-BRZ"], "models": {"flr": "physical"}})
    metrics = Metrics(["native"])
    worker = Worker(config, store, metrics)
    assert worker.restore()
    messages = [
        Message(native_topic(block, "geospace/v1"), native_payload(block), RECEIVED_NS)
        for block in (BLOCK, replace(BLOCK, source="BRZ"))
    ]
    assert [block.source for block in worker.take(messages)] == ["BRZ"]
    assert worker.read().rejected == {"native: decoder_failed": 1}
    assert store.sources() == {"BRZ": BLOCK.end_ns}
    assert 'geospace_part_failures_total{part="decoder_native"} 1.0' in metrics.render("")[0].decode()


def test_decoder_that_raises_every_time_is_counted_and_fills_no_log(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ImagMqttDecoder, "decode", lambda *_: 1 / 0)
    metrics = Metrics(["imagmqtt"])
    worker = Worker(Config.model_validate({"pairs": ["TAR-BRZ"]}), store, metrics)
    assert worker.restore()
    caplog.clear()
    assert worker.take([Message("impf/tar/pt1s/1/hdzs", b"{}", RECEIVED_NS)] * 500) == []
    assert worker.read().rejected == {"imagmqtt: decoder_failed": 500}
    assert len(caplog.records) == 2
    assert [bool(record.exc_info) for record in caplog.records].count(True) == 1
