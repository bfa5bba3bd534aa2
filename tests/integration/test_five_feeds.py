"""One daemon, five feeds at once for one chain: what it says is what native messages alone would have made it say.

Every station sends by another way: ImagMQTT, MARTAS, native messages, a HAPI server that is polled, and the text files
of FMI. In the time of the data it is half a day with a storm; it comes as fast as the ways can bring it, so that no
two stations are ever equally far, and windows are closed without what comes later, and revised. Somewhere in between
the daemon is killed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import ROOT, DaemonProcess, Feeder, Listener, closing, write_config
from feeds_kit import (
    HOURS,
    SETTINGS,
    STATIONS,
    T0_NS,
    Series,
    TextServer,
    assert_same,
    fmi_text,
    imagmqtt,
    martas,
    measured,
    native,
    offline,
    side_by_side,
    stored,
    wait_until_whole,
)
from hapi_source_kit import HapiServer, ground_dataset
from mqtt_kit import Mosquitto

from monitor.decoders.native import native_payload, native_topic
from monitor.types import iso_time

pytestmark = pytest.mark.broker

BY_FMI, BY_HAPI, BY_NATIVE, BY_IMAGMQTT, BY_MARTAS = (code for code, _ in STATIONS)


def inputs() -> list[dict[str, Any]]:
    return [
        {"decoder": "imagmqtt", "topic": "impf/+/+/+/+"},
        {"decoder": "native", "topic": f"{ROOT}/in/#"},
        {"decoder": "martas", "topic": "+/+"},
    ]


def plugins(hapi: HapiServer, fmi: TextServer) -> dict[str, Any]:
    """The sources that ask, impatient enough for a test."""
    return {
        "hapi": {
            "url": hapi.url,
            "feeds": [{"station": BY_HAPI, "dataset": "field"}],
            "start": iso_time(T0_NS),
            "poll_s": 0.5,
            "requests_per_minute": 600,
        },
        "fmi_realtime": {
            "url": fmi.url + "/UT/{station}/{station}data_{hours}.txt",
            "stations": [BY_FMI],
        },
    }


def series() -> dict[str, Series]:
    """What each feed brings, with the step and the decimals of its format."""
    return {
        BY_FMI: measured(BY_FMI, decimals=1, step_s=10),
        BY_HAPI: measured(BY_HAPI, decimals=3),
        BY_NATIVE: measured(BY_NATIVE, decimals=4),
        BY_IMAGMQTT: measured(BY_IMAGMQTT, decimals=2),
        BY_MARTAS: measured(BY_MARTAS, decimals=3),
    }


def test_five_feeds_at_once_give_the_products_of_native_messages(
    tmp_path: Path, mosquitto: Mosquitto, chance: random.Random
) -> None:
    feeds = series()
    by_hour = feeds[BY_HAPI].blocks(piece_s=3600)
    hapi, fmi = HapiServer({"field": ground_dataset(by_hour, BY_HAPI)}), TextServer()
    for name, hours in (("01", 1), ("24", HOURS)):
        fmi.texts[f"UT/{BY_FMI}/{BY_FMI}data_{name}.txt"] = fmi_text(feeds[BY_FMI], hours)
    rounded = side_by_side(*(one.blocks() for one in feeds.values()))
    with hapi.in_thread(), fmi.running(), closing(Listener(mosquitto.port)) as listener:
        config = write_config(
            tmp_path / "five.yaml", mosquitto.url, **SETTINGS, inputs=inputs(), plugins=plugins(hapi, fmi)
        )
        # The same numbers, as native messages: nothing but the way is another.
        expected = offline(native(rounded))
        with DaemonProcess(config) as daemon:
            with closing(Feeder(mosquitto.port)) as feeder:
                sent = messages(feeds)
                middle = chance.randrange(len(sent) // 4, 3 * len(sent) // 4)
                send(feeder, sent[:middle])
                assert_nothing_refused(daemon)
                daemon.kill()
                daemon.start()
                send(feeder, sent[middle:])
            wait_until_whole(listener, expected, daemon)
            assert_nothing_refused(daemon)
            assert daemon.stop() == 0
    found = stored(daemon.store_path)

    assert_same(found, expected)

    # And what the ways round off, to ten seconds and a tenth of a nanotesla, is below what a window can tell.
    exact = side_by_side(*(measured(code, decimals=9).blocks() for code, _ in STATIONS))
    for key, document in offline(native(exact)).items():
        if key[0] == "flr":
            assert found[key]["label"] == document["label"], key
            if document["frequency_mHz"] is not None:
                low_mHz, high_mHz = document["frequency_interval_mHz"]
                assert low_mHz <= found[key]["frequency_mHz"] <= high_mHz, key


def send(feeder: Feeder, messages: Sequence[tuple[str, bytes]]) -> None:
    """Publish, and wait until the broker has it."""
    for topic, payload in messages:
        feeder.publish(topic, payload)
    feeder.flush()


def assert_nothing_refused(daemon: DaemonProcess) -> None:
    """No message and no item of a source was refused since the start."""
    code, text = daemon.get("/metrics")
    assert code == 200
    assert "geospace_messages_rejected_total{" not in text, text


def messages(feeds: dict[str, Series]) -> list[tuple[str, bytes]]:
    """What comes over MQTT, the stations side by side in time."""
    ways: Sequence[list[tuple[str, bytes]]] = (
        [(native_topic(block, ROOT), native_payload(block)) for block in feeds[BY_NATIVE].blocks()],
        [imagmqtt(block) for block in feeds[BY_IMAGMQTT].blocks()],
        list(martas(feeds[BY_MARTAS].blocks(piece_s=10))),
    )
    placed = [(number / len(way), one) for way in ways for number, one in enumerate(way)]
    return [one for _, one in sorted(placed, key=lambda each: each[0])]
