"""The link to the broker under wrong secrets and certificates: refused, told once, and mended without a restart."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import ROOT, DaemonProcess, Feeder, chain_blocks, closing, eventually, write_config
from mqtt_kit import Mosquitto
from tls_kit import Authority

from monitor.io.broker import free_port
from monitor.types import iso_time

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
PATIENCE_S = 40.0
LOOPBACK = "DNS:localhost,IP:127.0.0.1"
BLOCKS = chain_blocks(20)


@dataclass(frozen=True)
class Fault:
    """What is done, on whose side, and what the daemon's log must say of it."""

    broker: dict[str, tuple[str, str]]
    daemon: dict[str, tuple[str, str]]
    says: str
    asks_for: str


FAULTS = {
    "wrong password": Fault({}, {"password": ("wrong", "")}, "ot authori", "mqtt.password_file"),
    "no password": Fault({}, {"password": ("", "")}, "is empty", "write the password into it"),
    "expired certificate": Fault({"server": ("ca", "expired")}, {}, "has expired", "renew the broker's certificate"),
    "wrong host name": Fault({"server": ("ca", "elsewhere")}, {}, "ostname mismatch", "one that names localhost"),
    "unknown authority": Fault({"server": ("other", "server")}, {}, "certificate verify failed", "mqtt.ca_file"),
    "TLS client on a plain port": Fault({"server": ("", "")}, {}, "no connection to", "does port"),
    "client certificate of another authority": Fault(
        {}, {"client": ("other", "client")}, "before it answered", "mqtt.cert_file"
    ),
    "expired client certificate": Fault({}, {"client": ("ca", "expired-client")}, "before it answered", "mqtt.cert_file"),
    "key that does not fit": Fault({}, {"key": ("other", "client")}, "TLS files", "mqtt.key_file"),
    "no certificate of the authority": Fault({}, {"authority": ("", "")}, "TLS files", "mqtt.ca_file"),
}  # fmt: skip


class Guarded:
    """A broker that wants a certificate and a password on one port, and a password alone on a plain one."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("mosquitto_passwd")
        if program is None:
            pytest.skip("the program mosquitto_passwd is not installed")
        self.directory = directory
        self.certificates: dict[tuple[str, str], tuple[Path, Path]] = {}
        self.authorities = {name: Authority(directory, name) for name in ("ca", "other")}
        for authority, name, alternative, expired in (
            ("ca", "server", LOOPBACK, False),
            ("ca", "expired", LOOPBACK, True),
            ("ca", "elsewhere", "DNS:elsewhere.example.org", False),
            ("other", "server", LOOPBACK, False),
            ("ca", "client", "DNS:monitor", False),
            ("ca", "expired-client", "DNS:monitor", True),
            ("other", "client", "DNS:monitor", False),
        ):
            issued = self.authorities[authority].issue(f"{authority}-{name}", alternative, expired=expired)
            self.certificates[authority, name] = issued
        self.users = directory / "users"
        subprocess.run([program, "-c", "-b", self.users, "monitor", "right"], check=True)
        self.users.chmod(0o644)
        self.plain_port = free_port()
        self.mosquitto = Mosquitto(directory)

    def start(self, server: tuple[str, str] = ("ca", "server")) -> None:
        """Start, or start again, with this certificate; with none the guarded port is a plain one."""
        lines = ["log_type notice", "allow_anonymous false", f"password_file {self.users}"]
        if server != ("", ""):
            certificate, key = self.certificates[server]
            ca = self.authorities["ca"].ca
            tls = [f"cafile {ca}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true"]
            lines = [*tls, *lines]
        self.mosquitto._extra = [*lines, f"listener {self.plain_port} 127.0.0.1"]
        self.mosquitto.restart()

    @property
    def attempts(self) -> int:
        """Connections that anybody has begun so far."""
        return self.mosquitto.log.count("New connection from")


class Secrets:
    """The files that the daemon is given: each is written anew in place, as whoever renews them does."""

    def __init__(self, directory: Path, guarded: Guarded) -> None:
        self._guarded = guarded
        self.paths = {name: directory / f"my-{name}" for name in ("password", "client", "key", "authority")}
        self.mend()

    def mend(self) -> None:
        certificate, key = self._guarded.certificates["ca", "client"]
        self.paths["password"].write_text("right\n")
        self.paths["client"].write_bytes(certificate.read_bytes())
        self.paths["key"].write_bytes(key.read_bytes())
        self.paths["authority"].write_bytes(self._guarded.authorities["ca"].ca.read_bytes())

    def spoil(self, what: str, how: tuple[str, str]) -> None:
        if what == "password":
            self.paths["password"].write_text(how[0])
        elif what == "authority":
            self.paths["authority"].unlink()
        else:
            certificate, key = self._guarded.certificates[how]
            self.paths["key"].write_bytes(key.read_bytes())
            if what == "client":
                self.paths["client"].write_bytes(certificate.read_bytes())


@dataclass(frozen=True)
class Scene:
    """One daemon that all faults befall in turn."""

    guarded: Guarded
    secrets: Secrets
    daemon: DaemonProcess
    feeder: Feeder

    def connected(self) -> bool:
        return self.daemon.metric("geospace_mqtt_connected") == 1

    def last_samples(self) -> dict[str, str]:
        sources = self.daemon.status()["sources"]
        return {source: state["last_sample"] for source, state in sources.items()}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("guarded")
    guarded = Guarded(directory)
    secrets = Secrets(directory, guarded)
    config = write_config(
        directory / "secured.yaml",
        f"mqtts://localhost:{guarded.mosquitto.port}",
        mqtt={
            "username": "monitor",
            "password_file": str(secrets.paths["password"]),
            "ca_file": str(secrets.paths["authority"]),
            "cert_file": str(secrets.paths["client"]),
            "key_file": str(secrets.paths["key"]),
        },
    )
    with ExitStack() as stack:
        stack.callback(guarded.mosquitto.kill)
        guarded.start()
        daemon = stack.enter_context(DaemonProcess(config))
        feeder = stack.enter_context(closing(Feeder(guarded.plain_port, login=("monitor", "right"))))
        yield Scene(guarded, secrets, daemon, feeder)


@pytest.mark.parametrize("name", FAULTS)
def test_link_that_is_refused_is_told_once_and_mended_without_a_restart(
    scene: Scene, name: str, found: Callable[..., None]
) -> None:
    fault, daemon, guarded = FAULTS[name], scene.daemon, scene.guarded
    began = len(daemon.log)
    for what, how in fault.daemon.items():
        scene.secrets.spoil(what, how)
    guarded.start(**fault.broker)
    tries = guarded.attempts

    def told() -> list[str]:
        lines = daemon.log[began:].splitlines()
        return [line for line in lines if fault.says in line and fault.asks_for in line]

    eventually(lambda: bool(told()), PATIENCE_S, lambda: daemon.log[began:])
    # Without the files it does not even call; else it comes again and again, and says it once.
    if not any(word in fault.says for word in ("TLS files", "is empty")):
        eventually(lambda: guarded.attempts > tries + 4, PATIENCE_S, lambda: guarded.mosquitto.log)
    assert not scene.connected()
    assert daemon.get("/healthz")[0] == 200
    assert "the broker is not connected" in json.loads(daemon.get("/readyz")[1])["reasons"]
    refusals = [line for line in daemon.log[began:].splitlines() if "no connection to" in line]
    kinds = [line.partition("no connection to")[2] for line in refusals]
    assert len(kinds) == len(set(kinds)), "each is told once, however often it is tried"
    assert "right" not in daemon.log[began:]

    scene.secrets.mend()
    if fault.broker:
        guarded.start()
    eventually(scene.connected, PATIENCE_S, lambda: daemon.log[began:])
    place = 3 * list(FAULTS).index(name)
    sent = BLOCKS[place : place + 3]
    scene.feeder.send(sent)
    wanted = {block.source: iso_time(block.end_ns) for block in sent}
    # What the broker had not seen acknowledged before it was stopped comes again, and is counted again.
    eventually(lambda: scene.last_samples() == wanted, PATIENCE_S, lambda: daemon.log[began:])
    found(fault=name, lines=len(refusals))


def test_plain_client_on_the_tls_port_is_told_what_to_write(tmp_path: Path, scene: Scene) -> None:
    config = write_config(
        tmp_path / "plain.yaml",
        f"mqtt://127.0.0.1:{scene.guarded.mosquitto.port}",
        mqtt={"username": "monitor", "password_file": str(scene.secrets.paths["password"])},
    )
    tries = scene.guarded.attempts
    with DaemonProcess(config, wait_for="/healthz") as daemon:
        eventually(lambda: scene.guarded.attempts > tries + 4, PATIENCE_S, lambda: daemon.log)
        eventually(lambda: "mqtts://" in daemon.log, PATIENCE_S, lambda: daemon.log)
        assert daemon.log.count("no connection to") == 1
        assert daemon.metric("geospace_mqtt_connected") == 0
        assert daemon.stop() == 0


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_oversize_payload_is_refused_and_its_neighbours_are_stored(
    tmp_path: Path, mosquitto: Mosquitto, protocol: str
) -> None:
    config = write_config(
        tmp_path / "sizes.yaml",
        mosquitto.url,
        mqtt={"protocol": protocol},
        intake={"maximum_payload_bytes": 10_000},
    )
    topic = f"{ROOT}/in/mag/TAR"
    with DaemonProcess(config) as daemon, closing(Feeder(mosquitto.port)) as feeder:

        def refused() -> float:
            count: Any = daemon.metric(
                "geospace_messages_rejected_total", decoder="native", reason="too_large"
            )
            return count or 0.0

        def stored() -> float:
            count: Any = daemon.metric("geospace_samples_stored_total", source="TAR")
            return count or 0.0

        ours = [block for block in BLOCKS if block.source == "TAR"][:11]
        for block in ours[:-1]:
            feeder.publish(topic, bytes(20_000))
            feeder.publish(topic, bytes(500_000))  # MQTT 5: the broker keeps it, as it was asked to
            feeder.send([block])
        # The last block comes behind all of the others.
        feeder.send(ours[-1:])
        eventually(lambda: stored() == 660, PATIENCE_S, lambda: daemon.log)
        eventually(lambda: refused() == (10 if protocol == "5" else 20), PATIENCE_S, lambda: daemon.log)
        assert daemon.log.count("too_large") == 1
        assert daemon.get("/readyz")[0] == 200
        assert daemon.stop() == 0
