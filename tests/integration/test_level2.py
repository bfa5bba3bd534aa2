"""Level 2 from a daemon: what stations sent, as ImagMQTT, each minute once, over a crash too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from daemon_kit import (
    ROOT,
    STATIONS,
    Client,
    DaemonProcess,
    Feeder,
    chain_blocks,
    closing,
    eventually,
    write_config,
)
from mqtt_kit import Mosquitto

from monitor.types import SECOND_NS, SampleBlock, iso_time

pytestmark = pytest.mark.broker

MINUTES = 12
SAID = MINUTES - 2  # the last two are the surroundings of what is said

Said = dict[tuple[str, str], dict[str, Any]]


def said(messages: Sequence[tuple[str, bytes]]) -> Said:
    """The newest message of each station and minute."""
    found: Said = {}
    for topic, payload in messages:
        document = json.loads(payload)
        found[topic, document["startDate"]] = document
    return found


def expected(blocks: Sequence[SampleBlock]) -> dict[tuple[str, str], list[float]]:
    """Of blocks of a minute each."""
    begin_ns = min(block.t0_ns for block in blocks)
    return {
        (f"{ROOT}/impf/{block.source.lower()}/pt1s/2/hdzs", iso_time(block.t0_ns).removesuffix("Z")): [
            round(value, 3) for value in block.values[0].tolist()
        ]
        for block in blocks
        if block.t0_ns < begin_ns + SAID * 60 * SECOND_NS
    }


def test_cleaned_series_go_out_once_over_a_crash(mosquitto: Mosquitto, tmp_path: Path) -> None:
    blocks = chain_blocks(MINUTES)
    wanted = expected(blocks)
    config = write_config(tmp_path / "monitor.yaml", mosquitto.url, plugins={"level2": {}})
    messages: list[tuple[str, bytes]] = []
    listener = Client(
        mosquitto.port,
        name="listener",
        topics=[f"{ROOT}/impf/#"],
        on_message=lambda one: messages.append((one.topic, bytes(one.payload))),
    )
    with closing(listener), closing(Feeder(mosquitto.port)) as feeder:
        with DaemonProcess(config) as daemon:
            feeder.send(blocks[: 7 * len(STATIONS)])
            feeder.flush()
            eventually(lambda: len(said(messages)) >= 5 * len(STATIONS), 30, lambda: daemon.log)
            daemon.kill()
        with DaemonProcess(config) as daemon:
            feeder.send(blocks[7 * len(STATIONS) :])
            feeder.flush()
            eventually(lambda: len(said(messages)) >= len(wanted), 30, lambda: daemon.log)
            status = daemon.status()
            assert status["plugins"]["level2"]["state"] == "running", status["plugins"]
            assert daemon.stop() == 0, daemon.log
            assert "please report" not in daemon.log
    found = said(messages)
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        np.testing.assert_array_equal(found[key]["geomagneticFieldH"], values)
        assert found[key]["geomagneticFieldZ"] == [None] * 60
    # Twice only where the crash came between sending and the note of it, and then the same.
    contents = {(topic, payload) for topic, payload in messages}
    assert len(contents) == len(wanted)
