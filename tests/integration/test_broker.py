"""The brokers of our own: the demo's, and the settings that are shipped."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mqtt_kit import Mosquitto, receive_count, running

from monitor.errors import BrokerError
from monitor.io import broker as broker_module
from monitor.io.broker import TUNED, LocalBroker, find_mosquitto
from monitor.io.mqtt import MqttLink, MqttSettings

pytestmark = pytest.mark.timeout(60)
SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto.conf"

needs_mosquitto = pytest.mark.skipif(
    find_mosquitto() is None, reason="the program mosquitto is not installed"
)


@pytest.fixture
def without_mosquitto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "find_mosquitto", lambda: None)


async def round_trip(broker: LocalBroker) -> list[int]:
    settings = MqttSettings("127.0.0.1", broker.port, protocol=broker.protocol)
    link = MqttLink(settings, subscriptions=["geospace/v1/in/#"], will=None, queue_size=100)
    async with running(link):
        for number in range(20):
            await link.publish("geospace/v1/in/mag/TAR", b"%d" % number, retain=False)
        deliveries = await receive_count(link, 20)
        link.acknowledge(deliveries)
    return [int(delivery.message.payload) for delivery in deliveries]


def listeners(port: int) -> set[str]:
    """Addresses on which this machine listens on `port`; an IPv6 one as its hexadecimal digits."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            local, state = line.split()[1], line.split()[3]
            address, number = local.split(":")
            if state == "0A" and int(number, 16) == port:
                found.add(socket.inet_ntoa(bytes.fromhex(address)[::-1]) if len(address) == 8 else address)
    return found


@needs_mosquitto
@pytest.mark.broker
async def test_local_broker_is_mosquitto_where_it_is_installed(tmp_path: Path) -> None:
    async with LocalBroker(tmp_path) as broker:
        assert (broker.kind, broker.protocol) == ("mosquitto", "5")
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        assert listeners(broker.port) == {"127.0.0.1"}
        assert await round_trip(broker) == list(range(20))
    assert listeners(broker.port) == set()
    assert (tmp_path / "mosquitto.db").exists()


@pytest.mark.usefixtures("without_mosquitto")
async def test_local_broker_is_embedded_where_mosquitto_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("amqtt", reason="the package amqtt is not installed")
    async with LocalBroker(tmp_path) as broker:
        assert (broker.kind, broker.protocol) == ("amqtt", "3.1.1")
        assert listeners(broker.port) == {"127.0.0.1"}
        assert await round_trip(broker) == list(range(20))
    assert listeners(broker.port) == set()
    assert [
        record.name for record in caplog.records if record.name.startswith(("amqtt", "transitions"))
    ] == []


@pytest.mark.usefixtures("without_mosquitto")
async def test_local_broker_says_what_to_install_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(BrokerError, match="install Mosquitto"):
        async with LocalBroker(tmp_path):
            pass


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
async def test_local_broker_on_a_port_that_is_taken_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "amqtt":
        monkeypatch.setattr(broker_module, "find_mosquitto", lambda: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=rf"port {port} on 127.0.0.1 is taken"):
            async with LocalBroker(tmp_path, port):
                pass


@needs_mosquitto
@pytest.mark.broker
async def test_local_broker_that_cannot_start_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TUNED, "no_such_setting", "1")
    with pytest.raises(BrokerError, match=r"ended at once \(exit code \d+\)"):
        async with LocalBroker(tmp_path):
            pass


def settings_of(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_shipped_settings_are_those_of_the_local_broker() -> None:
    shipped = settings_of(SHIPPED.read_text())
    assert {key: shipped.get(key) for key in TUNED} == TUNED


@needs_mosquitto
@pytest.mark.broker
async def test_shipped_settings_load(mosquitto_at: Callable[..., Mosquitto], tmp_path: Path) -> None:
    text = SHIPPED.read_text()
    broker = mosquitto_at(config="")
    text, ports = re.subn(r"(?m)^listener 1883 ", f"listener {broker.port} ", text)
    text, places = re.subn(
        r"(?m)^persistence_location .*$", f"persistence_location {broker.directory}/", text
    )
    assert (ports, places) == (1, 1)
    broker._config = text + ("\nuser root\n" if os.geteuid() == 0 else "")
    broker.start()
    assert listeners(broker.port) == {"127.0.0.1"}
    console = (broker.directory / "console").read_text()
    complaints = [line for line in console.splitlines() if "Error" in line or "Warning" in line]
    assert [line for line in complaints if "should not be run as root" not in line] == []
    broker.stop()
    assert (broker.directory / "mosquitto.db").exists()
