"""The daemon and its link: silence that it tells of, and subscriptions of a former configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from daemon_kit import ROOT, DaemonProcess, Feeder, chain_blocks, closing, eventually, write_config
from mqtt_kit import Mosquitto

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


def reasons(daemon: DaemonProcess) -> str:
    return " ".join(json.loads(daemon.get("/readyz")[1])["reasons"])


def test_silence_makes_the_daemon_degraded_until_something_arrives(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    config = write_config(tmp_path / "silent.yaml", mosquitto.url, mqtt={"silence_s": 2.0})
    with DaemonProcess(config) as daemon:
        assert daemon.metric("geospace_mqtt_last_message_timestamp_seconds") is None
        eventually(lambda: "nothing has arrived since the start" in reasons(daemon), 40, lambda: daemon.log)
        assert (daemon.metric("geospace_mqtt_connections_total") or 0) >= 2
        assert daemon.status()["held_back"] is False
        with closing(Feeder(mosquitto.port)) as feeder:
            feeder.send(chain_blocks(1))
            eventually(lambda: "nothing has arrived" not in reasons(daemon), 40, lambda: daemon.log)
        assert daemon.metric("geospace_mqtt_last_message_timestamp_seconds") is not None
        assert daemon.log.count("nothing has arrived for 2 s") == 1
        assert daemon.stop() == 0


def test_input_that_is_taken_out_of_the_configuration_is_given_up_at_the_broker(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    path = tmp_path / "inputs.yaml"
    config = write_config(path, mosquitto.url)
    _, native = json.loads(config.read_text())["inputs"]
    with DaemonProcess(config) as daemon:
        assert daemon.stop() == 0
    write_config(path, mosquitto.url, inputs=[native])
    with DaemonProcess(config) as daemon, closing(Feeder(mosquitto.port)) as feeder:
        feeder.publish("impf/tar/pt1s/1/hdzs", b"{}")
        feeder.publish(f"{ROOT}/in/mag/TAR", b"{}")  # behind it: once this is there, the other would be too
        eventually(lambda: bool(daemon.status()["rejected"]), 30, lambda: daemon.log)
        (refused,) = daemon.status()["rejected"]
        assert refused.startswith("native: ")
        assert daemon.stop() == 0
