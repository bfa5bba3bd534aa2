"""The brokers of our own: the demo's, and the settings that are shipped."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiomqtt
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


BROKER_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from monitor.io.broker import LocalBroker

async def main():
    async with LocalBroker(Path(sys.argv[1])) as broker:
        print(broker.kind, broker.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_local_broker_ends_with_a_program_that_is_killed(tmp_path: Path) -> None:
    if find_mosquitto() is None or shutil.which("setpriv") is None:
        pytest.skip("the programs mosquitto and setpriv are not both installed")
    with subprocess.Popen(
        [sys.executable, "-c", BROKER_UNTIL_KILLED, tmp_path], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        kind, port = program.stdout.readline().split()
        assert kind == "mosquitto"
        assert listeners(int(port))
        program.kill()
    limit = time.monotonic() + 30
    while listeners(int(port)):
        assert time.monotonic() < limit, "the broker has outlived its program"
        time.sleep(0.05)


def settings_of(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_shipped_settings_are_those_of_the_local_broker() -> None:
    shipped = settings_of(SHIPPED.read_text())
    assert {key: shipped.get(key) for key in TUNED} == TUNED


DEBIAN = """\
pid_file /run/mosquitto/mosquitto.pid

persistence true
persistence_location /var/lib/mosquitto/

log_dest file /var/log/mosquitto/mosquitto.log

include_dir /etc/mosquitto/conf.d
"""
"""The settings of Debian's own /etc/mosquitto/mosquitto.conf, which ours stand beside."""


class Installed:
    """Mosquitto as Debian installs it, with our file in conf.d; started as root it becomes the user `mosquitto`."""

    def __init__(self, directory: Path, broker: Mosquitto) -> None:
        self.lib, self.log = directory / "var/lib/mosquitto", directory / "var/log/mosquitto"
        self.ours = directory / "etc/mosquitto/conf.d/geospace-monitor.conf"
        self.broker = broker
        for folder in (self.lib, self.log, directory / "run/mosquitto", self.ours.parent):
            folder.mkdir(parents=True)
            self._hand_over(folder)
        text, count = re.subn(r"(?m)^listener 1883 ", f"listener {broker.port} ", SHIPPED.read_text())
        assert count == 1
        self.ours.write_text(text)
        broker._config = re.sub(r"/(run|var|etc)/", rf"{directory}/\1/", DEBIAN)

    @staticmethod
    def _hand_over(path: Path) -> None:
        if os.geteuid() == 0:
            shutil.chown(path, "mosquitto", "mosquitto")

    def switch_rights_on(self) -> None:
        """As the file says: a user with a password, our rights, and modes that are no wider than they must be."""
        etc = self.ours.parent.parent
        passwords, rights = etc / "geospace-monitor.passwd", etc / "geospace-monitor.acl"
        subprocess.run(
            ["mosquitto_passwd", "-b", "-c", passwords, "geospace-monitor", "secret"], check=True, timeout=20
        )
        rights.write_text((SHIPPED.parent / "mosquitto.acl").read_text())
        for path in (passwords, rights):
            if os.geteuid() == 0:
                shutil.chown(path, "root", "mosquitto")
            path.chmod(0o640)
        text, count = re.subn(
            r"(?m)^#(allow_anonymous|password_file|acl_file) (.*)$", r"\1 \2", self.ours.read_text()
        )
        assert count == 3
        self.ours.write_text(text.replace("/etc/mosquitto/", f"{etc}/"))

    def complaints(self) -> list[str]:
        """What Mosquitto finds wrong, on its console and in its log."""
        log = self.log / "mosquitto.log"
        text = (self.broker.directory / "console").read_text() + (log.read_text() if log.exists() else "")
        return [line for line in text.splitlines() if re.search(r"Error|Warning|denied", line)]


@pytest.fixture
def installed(mosquitto_at: Callable[..., Mosquitto]) -> Iterator[Installed]:
    # Not in `tmp_path`: that is closed to the user that Mosquitto becomes.
    with tempfile.TemporaryDirectory(prefix="mosquitto-") as name:
        Path(name).chmod(0o755)
        broker = mosquitto_at(config="")
        yield Installed(Path(name), broker)
        broker.kill()


@needs_mosquitto
@pytest.mark.broker
async def test_shipped_settings_stand_beside_those_of_debian(installed: Installed) -> None:
    broker = installed.broker
    broker.start()
    assert listeners(broker.port) == {"127.0.0.1"}
    link = MqttLink(
        MqttSettings("127.0.0.1", broker.port, client_id="absent"),
        subscriptions=["geospace/v1/in/#"],
        will=None,
        queue_size=10,
    )
    async with running(link):
        pass
    publisher = MqttLink(
        MqttSettings("127.0.0.1", broker.port, client_id="station"), subscriptions=[], will=None, queue_size=1
    )
    async with running(publisher):
        await publisher.publish("geospace/v1/in/mag/TAR", b"while it was away", retain=False)
    broker.restart()
    async with running(link):
        (delivery,) = await receive_count(link, 1)
    assert delivery.message.payload == b"while it was away"
    assert (installed.lib / "mosquitto.db").exists()
    assert installed.complaints() == []


@needs_mosquitto
@pytest.mark.broker
async def test_secrets_need_be_readable_for_mosquitto_alone(installed: Installed) -> None:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("the program mosquitto_passwd is not installed")
    installed.switch_rights_on()
    installed.broker.start()
    who = {"port": installed.broker.port, "username": "geospace-monitor"}
    async with aiomqtt.Client("127.0.0.1", **who, password="secret") as client:
        await client.publish("geospace/v1/status", b"x", qos=1)
    with pytest.raises(aiomqtt.MqttCodeError, match="ot authori"):
        async with aiomqtt.Client("127.0.0.1", **who, password="wrong"):
            pass
    assert installed.complaints() == []


@needs_mosquitto
@pytest.mark.broker
@pytest.mark.parametrize("switched_on", [True, False])
async def test_samples_sent_with_qos_0_wait_for_an_absent_monitor_where_that_is_switched_on(
    installed: Installed, switched_on: bool
) -> None:
    broker = installed.broker
    if switched_on:
        text, count = re.subn(r"(?m)^#(upgrade_outgoing_qos true)$", r"\1", installed.ours.read_text())
        assert count == 1
        installed.ours.write_text(text)
    broker.start()
    link = MqttLink(
        MqttSettings("127.0.0.1", broker.port, client_id="absent"),
        subscriptions=["in/#"],
        will=None,
        queue_size=10,
    )
    async with running(link):
        pass
    async with aiomqtt.Client("127.0.0.1", broker.port) as station:
        await station.publish("in/mag/TAR", b"at most once", qos=0)
        await station.publish("in/mag/TAR", b"at least once", qos=1)
    async with running(link):
        deliveries = await receive_count(link, 1 + switched_on)
    payloads = [delivery.message.payload for delivery in deliveries]
    assert payloads == ([b"at most once"] if switched_on else []) + [b"at least once"]


def connected_clients(port: int, wanted: int) -> int:
    """How many clients the broker takes at a time, up to `wanted`."""
    with contextlib.ExitStack() as stack:
        for number in range(wanted):
            name = b"station-%04d" % number
            body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2, "big") + name
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            client.sendall(b"\x10" + bytes([len(body)]) + body)
            try:
                answer = client.recv(4)
            except ConnectionResetError:
                return number
            if answer != b"\x20\x02\x00\x00":
                return number
    return wanted


@needs_mosquitto
@pytest.mark.broker
def test_drop_in_of_systemd_lets_more_than_a_thousand_stations_connect(installed: Installed) -> None:
    drop_in = (SHIPPED.parent / "mosquitto.service.d" / "geospace-monitor.conf").read_text()
    (files,) = re.findall(r"(?m)^LimitNOFILE=(\d+)$", drop_in)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"this user may open {hard} files; the test needs 4096")
    broker, stations = installed.broker, 1200
    try:
        for limit in (1024, min(int(files), 4096)):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            broker.start()  # with the limits of this process, which holds the other ends and needs as many
            resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
            taken = connected_clients(broker.port, stations)
            assert taken == stations if limit > 1024 else taken < 1024
            broker.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_drop_in_of_systemd_is_good(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("the program systemd-analyze is not installed")
    unit = tmp_path / "mosquitto.service"
    unit.write_text("[Unit]\nDescription=Mosquitto\n[Service]\nType=notify\nExecStart=/bin/true\n")
    shutil.copytree(SHIPPED.parent / "mosquitto.service.d", tmp_path / "mosquitto.service.d")
    done = subprocess.run(
        [program, "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
