"""The shipped settings of Mosquitto with the rights switched on: the monitor works, and nobody exceeds what is his."""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from clock import FakeClock
from daemon_kit import PAIRS, ROOT, STATIONS, DaemonProcess, chain_blocks, eventually, write_config
from mqtt_kit import Mosquitto
from paho.mqtt.enums import CallbackAPIVersion
from tls_kit import Authority

from monitor.decoders.native import native_payload, native_topic
from monitor.io.broker import free_port
from monitor.types import SECOND_NS, SHADOW_CRAFT, SHADOW_PAIR, SampleBlock, iso_time

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

DEPLOY = Path(__file__).parents[2] / "deploy"
MONITOR = "geospace-monitor"
USERS = (MONITOR, *STATIONS, "MMS1", "reader", "space-weather", "tar", "stranger", "+")
SECTIONS = {
    "password": ["Names, passwords and rights"],
    "tls": ["Names, passwords and rights", "TLS"],
    "certificate": ["Names, passwords and rights", "TLS", "Certificates in place of passwords"],
}
"""Which sections of the shipped file an operator takes the # off, for each way to prove who one is."""
SETTINGS = 9
"""Lines that are off in these three sections."""
PATIENCE_S = 60.0
BLOCKS = chain_blocks(35)


def switched_on(text: str, sections: list[str]) -> tuple[str, int]:
    """The file with the # taken off the settings of some sections, and how many those were."""
    lines, section, count = [], "", 0
    for line in text.splitlines():
        if heading := re.fullmatch(r"# --- (.+?) -+", line):
            section = heading[1]
        if section in sections and re.match(r"#\w", line):
            line, count = line[1:], count + 1
        lines.append(line)
    return "\n".join(lines), count


class Guarded:
    """A real broker with the shipped settings, rights and all, and with a password and a certificate for each user."""

    def __init__(self, directory: Path, way: str) -> None:
        program = shutil.which("mosquitto_passwd")
        if program is None:
            pytest.skip("the program mosquitto_passwd is not installed")
        self.directory = directory
        self.way = way
        self.authority = Authority(directory)
        certificate, key = self.authority.issue("broker", "DNS:localhost,IP:127.0.0.1")
        self.certificates = {MONITOR: self.authority.issue(MONITOR, "DNS:monitor")}
        passwords = directory / "passwords"
        passwords.write_text("")
        for user in USERS:
            subprocess.run([program, "-b", passwords, user, self.password(user)], check=True)
        passwords.chmod(0o644)
        text, count = switched_on((DEPLOY / "mosquitto.conf").read_text(), SECTIONS[way])
        assert count == {"password": 3, "tls": 6, "certificate": SETTINGS}[way]
        plain = free_port()
        self.broker = Mosquitto(directory)
        self.port = plain if way == "password" else self.broker.port
        for place, ours in {
            "listener 1883 ": f"listener {plain} ",
            "listener 8883": f"listener {self.broker.port}",
            "/etc/mosquitto/geospace-monitor.passwd": str(passwords),
            "/etc/mosquitto/geospace-monitor.acl": str(DEPLOY / "mosquitto.acl"),
            "/etc/mosquitto/certs/broker.crt": str(certificate),
            "/etc/mosquitto/certs/broker.key": str(key),
            "/etc/mosquitto/certs/ca.crt": str(self.authority.ca),
        }.items():
            assert place in text
            text = text.replace(place, ours)
        self.broker.port = self.port
        extra = [f"persistence_location {directory}/", *(["user root"] if os.geteuid() == 0 else [])]
        self.broker._config = "\n".join([text, *extra])

    @staticmethod
    def password(user: str) -> str:
        return f"secret of {user}"

    def certificate(self, user: str) -> tuple[Path, Path]:
        """A user's certificate and key; the common name is the user."""
        if user not in self.certificates:
            self.certificates[user] = self.authority.issue(user, "DNS:somebody")
        return self.certificates[user]

    def monitor(self) -> tuple[str, dict[str, object]]:
        """URL of the broker for the monitor, and what it shows there."""
        if self.way == "password":
            url, shown = f"mqtt://localhost:{self.port}", {}
        else:
            url, shown = f"mqtts://localhost:{self.port}", {"ca_file": str(self.authority.ca)}
        if self.way == "certificate":
            certificate, key = self.certificate(MONITOR)
            return url, {**shown, "cert_file": str(certificate), "key_file": str(key)}
        secret = self.directory / "monitor.password"
        secret.write_text(self.password(MONITOR))
        return url, {**shown, "username": MONITOR, "password_file": str(secret)}

    @property
    def console(self) -> str:
        return (self.directory / "console").read_text()


class Somebody:
    """A client that is told what the broker thinks of each publication (MQTT 5)."""

    def __init__(
        self, guarded: Guarded, user: str | None, *, client_id: str = "", password: str = ""
    ) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.answer: str | None = None
        self._answered = threading.Event()
        self._published: dict[int, str] = {}
        self._news = threading.Condition()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        if guarded.way != "password":
            shown = guarded.certificate(user) if guarded.way == "certificate" and user else (None, None)
            client.tls_set(str(guarded.authority.ca), *(path and str(path) for path in shown))
        if guarded.way != "certificate" and user is not None:
            client.username_pw_set(user, password or guarded.password(user))
        client.on_connect = lambda _client, _data, _flags, reason, _: self._answer(str(reason))
        client.on_disconnect = lambda _client, _data, _flags, reason, _: self._answer(f"cut: {reason}")
        client.on_subscribe = lambda *_: self._answered.set()
        client.on_publish = self._on_publish
        client.on_message = lambda _client, _data, message: self.heard.put((message.topic, message.payload))
        self._client = client
        client.connect("localhost", guarded.port)
        client.loop_start()
        assert self._answered.wait(20), "the broker does not answer"
        self._answered.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _answer(self, answer: str) -> None:
        """Keep the first word on this connection."""
        self.answer = self.answer or answer
        self._answered.set()

    def _on_publish(self, _client: object, _data: object, number: int, reason: Any, *_rest: object) -> None:
        with self._news:
            self._published[number] = str(reason)
            self._news.notify_all()

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)
        assert self._answered.wait(20), "no answer to a subscription"

    def publish(self, topic: str, payload: bytes = b"x") -> str:
        """The broker's word on it: Success, No matching subscribers, Not authorized."""
        number = self._client.publish(topic, payload, qos=1).mid
        with self._news:
            assert self._news.wait_for(lambda: number in self._published, 20), topic
            return self._published.pop(number)

    def may_write(self, topic: str) -> bool:
        return self.publish(topic) != "Not authorized"

    def send(self, block: SampleBlock) -> bool:
        return self.publish(native_topic(block, ROOT), native_payload(block)) != "Not authorized"


@pytest.fixture
def guarded_by(tmp_path: Path) -> Iterator[Callable[[str], Guarded]]:
    """A function that starts the broker with what `SECTIONS` calls a way."""
    with ExitStack() as stack:

        def start(way: str) -> Guarded:
            guarded = Guarded(tmp_path, way)
            stack.callback(guarded.broker.kill)
            guarded.broker.start()
            return guarded

        yield start


@pytest.mark.parametrize("way", SECTIONS)
def test_monitor_works_and_stations_speak_for_themselves_with_rights_switched_on(
    tmp_path: Path, guarded_by: Callable[[str], Guarded], way: str
) -> None:
    guarded = guarded_by(way)
    url, shown = guarded.monitor()
    config = write_config(
        tmp_path / "guarded.yaml",
        url,
        mqtt={"client_id": MONITOR, **shown},
        injection={"pair": True, "craft": True},
    )
    # Injected samples go out at the turn of a minute; nobody waits for it.
    clock = FakeClock(tmp_path)
    clock.set(round(57 - time.time() % 60) % 60)
    with ExitStack() as stack:
        enter = stack.enter_context
        reader = enter(Somebody(guarded, "reader"))
        reader.subscribe("#")
        stations = {code: enter(Somebody(guarded, code)) for code in STATIONS}
        daemon = enter(DaemonProcess(config, environment=clock.environment))
        assert all(stations[block.source].send(block) for block in BLOCKS)

        # A station that lies about its name, with samples that would be the newest of the other.
        last = [block for block in BLOCKS if block.source == "TAR"][-1]
        forged = SampleBlock("TAR", last.components, last.end_ns, SECOND_NS, last.values)
        assert not stations["NUR"].send(forged)

        products: set[str] = set()

        def pairs_come() -> bool:
            while not reader.heard.empty():
                products.add(reader.heard.get()[0])
            return {f"{ROOT}/flr/{pair}" for pair in PAIRS} <= products

        eventually(pairs_come, PATIENCE_S, lambda: f"{sorted(products)}; {daemon.log}")

        # Ten minutes of injected samples, so that the judge hears of a window: it may write, and read what came of it.
        clock.set(clock.offset_s + 590)

        def judged() -> bool:
            return daemon.status()["injection"][SHADOW_CRAFT]["newest"] is not None

        eventually(judged, PATIENCE_S, lambda: daemon.log + guarded.console)
        for code in (SHADOW_PAIR.poleward, SHADOW_PAIR.equatorward):
            assert daemon.metric("geospace_samples_stored_total", source=code)
        assert daemon.status()["sources"]["TAR"]["last_sample"] == iso_time(last.end_ns)
        pairs_come()
        assert not [topic for topic in products if topic.startswith(f"{ROOT}/in/")]
        assert "refuse" not in daemon.log
        assert "ot authori" not in daemon.log
        assert daemon.stop() == 0


WRITES: dict[str, tuple[list[str], list[str]]] = {
    "TAR": (
        ["in/mag/TAR", "in/craft/TAR"],
        ["in/mag/NUR", "in/mag/INJP", "in/mag/TAR/more", "in/mag", "in/index/kp", "flr/NUR-TAR", "status"],
    ),
    "MMS1": (["in/craft/MMS1"], ["in/craft/INJECT", "in/mag/TAR", "region/MMS1"]),
    "space-weather": (["in/index/kp", "in/craft/C1"], ["in/craft/C2", "in/mag/TAR"]),
    "reader": ([], ["in/mag/TAR", "flr/NUR-TAR", "status"]),
    "stranger": ([], ["in/mag/TAR", "in/craft/MMS1", "in/index/kp", "flr/NUR-TAR", "status", "health/TAR"]),
    # A name that is a wildcard must not stand for everybody's.
    "+": ([], ["in/mag/TAR", "in/craft/MMS1"]),
    MONITOR: (
        [
            *("flr/NUR-TAR", "spectrum/NUR-TAR", "profile/emma", "plasmapause/emma", "region/MMS1", "health/TAR"),
            *("event/plasmapause_crossing/emma", "status", "in/mag/INJP", "in/mag/INJQ", "in/craft/INJECT"),
        ],
        ["in/mag/TAR", "in/craft/MMS1", "in/index/kp", "notes", "flr"],
    ),
}  # fmt: skip
"""By user: what he may write below the root, and what not."""


def test_each_user_writes_what_is_his_and_nothing_else(guarded_by: Callable[[str], Guarded]) -> None:
    guarded = guarded_by("password")
    wrong = []
    for user, (allowed, forbidden) in WRITES.items():
        with Somebody(guarded, user) as one:
            wrong += [(user, topic) for topic in allowed if not one.may_write(f"{ROOT}/{topic}")]
            wrong += [(user, topic) for topic in forbidden if one.may_write(f"{ROOT}/{topic}")]
    with Somebody(guarded, "tar") as one:
        assert one.may_write("impf/tar/pt1s/1/xyzs")
        assert not one.may_write("impf/nur/pt1s/1/xyzs")
        assert not one.may_write("tar/sensor/data")
    assert wrong == []


def test_each_user_reads_what_is_meant_for_him_and_nothing_else(
    guarded_by: Callable[[str], Guarded],
) -> None:
    guarded = guarded_by("password")
    sent = {
        "TAR": ["in/mag/TAR"],
        "space-weather": ["in/index/kp"],
        MONITOR: ["flr/NUR-TAR", "flr/INJP-INJQ", "region/INJECT", "region/MMS1", "event/a/b", "status"],
    }
    products = set(sent[MONITOR])
    hears = {
        "reader": products,
        "TAR": set(),
        "stranger": set(),
        MONITOR: {"in/mag/TAR", "in/index/kp", "flr/INJP-INJQ", "region/INJECT"},
    }
    with ExitStack() as stack:
        ears = {user: stack.enter_context(Somebody(guarded, user)) for user in hears}
        for ear in ears.values():
            ear.subscribe("#")
        for user, topics in sent.items():
            mouth = stack.enter_context(Somebody(guarded, user, client_id=f"{user}-speaks"))
            assert all(mouth.may_write(f"{ROOT}/{topic}") for topic in topics)
        found = {}
        for user, expected in hears.items():
            topics = set()
            while len(topics) < len(expected):
                topics.add(ears[user].heard.get(timeout=20)[0].removeprefix(f"{ROOT}/"))
            found[user] = topics
        # The broker hands a message to all who may have it before it answers its sender, so nothing is under way now
        # but to those whose answer to a question shows that they have been served.
        for user, ear in ears.items():
            ear.publish("notes")
            while not ear.heard.empty():
                found[user].add(ear.heard.get()[0].removeprefix(f"{ROOT}/"))
    assert found == hears


@pytest.mark.parametrize(
    ("way", "user", "password"),
    [
        ("password", None, ""),
        ("password", "TAR", "secret of NUR"),
        ("tls", None, ""),
        ("tls", "TAR", "guess"),
    ],
)
def test_who_proves_no_name_is_turned_away(
    guarded_by: Callable[[str], Guarded], way: str, user: str | None, password: str
) -> None:
    with Somebody(guarded_by(way), user, password=password) as one:
        assert one.answer == "Not authorized"


def test_who_shows_no_certificate_is_turned_away(guarded_by: Callable[[str], Guarded]) -> None:
    guarded = guarded_by("certificate")
    with Somebody(guarded, None) as one:
        assert str(one.answer).startswith("cut: ")
    with Somebody(guarded, "TAR") as known:
        assert known.answer == "Success"
