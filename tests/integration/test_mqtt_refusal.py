"""What refuses or goes silent: passwords, rights, certificates, a second client, a dead line."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from mqtt_kit import Mosquitto, link_settings, receive_count, running, until
from tls_kit import Authority

from monitor.io.broker import free_port
from monitor.io.mqtt import MqttLink, MqttSettings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]
both_protocols = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


def make_link(broker: Mosquitto, **changes: object) -> MqttLink:
    return MqttLink(link_settings(broker, **changes), subscriptions=["impf/#"], will=None, queue_size=100)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def guarded(mosquitto_at: Callable[..., Mosquitto], tmp_path: Path) -> Mosquitto:
    """A broker that wants the password `right` of the user `monitor`."""
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("the program mosquitto_passwd is not installed")
    passwords = tmp_path / "passwords"
    subprocess.run([program, "-c", "-b", passwords, "monitor", "right"], check=True)
    passwords.chmod(0o644)
    broker = mosquitto_at(extra=["allow_anonymous false", f"password_file {passwords}"])
    broker.start()
    return broker


@both_protocols
async def test_wrong_password_is_told_once_and_tried_again(
    guarded: Mosquitto, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    link = make_link(guarded, username="monitor", password="wrong", protocol=protocol)
    async with running(link, connected=False):
        await until(lambda: link._generation > 4)
        assert not link.connected
    (warning,) = warnings_of(caplog)
    assert "mqtt.password_file" in warning
    assert "wrong" not in warning


@both_protocols
async def test_right_password_is_accepted(guarded: Mosquitto, protocol: str) -> None:
    link = make_link(guarded, username="monitor", password="right", protocol=protocol)
    async with running(link):
        assert link.connected


async def test_refused_subscription_is_told_and_the_others_work(caplog: pytest.LogCaptureFixture) -> None:
    # Mosquitto's access file says yes to every subscription and filters later; amqtt refuses it.
    amqtt = pytest.importorskip("amqtt.broker", reason="the package amqtt is not installed")
    port = free_port()
    broker = amqtt.Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
                "amqtt.plugins.topic_checking.TopicTabooPlugin": {},  # nobody reads "prohibited"
            },
        }
    )
    await broker.start()
    try:
        link = MqttLink(
            MqttSettings("127.0.0.1", port, protocol="3.1.1"),
            subscriptions=["prohibited", "impf/#"],
            will=None,
            queue_size=10,
        )
        async with running(link):
            await link.publish("impf/tar", b"1", retain=False)
            (delivery,) = await receive_count(link, 1)
            link.acknowledge([delivery])
    finally:
        await broker.shutdown()
    told = [line for line in warnings_of(caplog) if "refuses the subscription" in line]
    assert len(told) == 1
    assert "prohibited" in told[0]


async def test_hanging_up_on_a_subscription_is_told_once(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    # Mosquitto takes more than 200 levels for an attack.
    link = MqttLink(link_settings(mosquitto), subscriptions=["x/" * 250 + "#"], will=None, queue_size=10)
    async with running(link, connected=False):
        await until(lambda: link._generation > 3)
    (warning,) = warnings_of(caplog)
    assert "check the topics under inputs" in warning


@pytest.mark.parametrize("topic", ["", "impf/#/x", "impf#", "impf/t+/x"])
async def test_filter_that_is_none_is_refused_at_once(topic: str) -> None:
    with pytest.raises(ValueError, match="not a topic filter"):
        MqttLink(MqttSettings("127.0.0.1"), subscriptions=[topic], will=None, queue_size=10)


async def test_second_client_with_the_same_id_is_named(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(make_link(mosquitto)):
        other = asyncio.create_task(make_link(mosquitto).run())
        await until(lambda: any("mqtt.client_id" in line for line in warnings_of(caplog)))
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
    assert any("give every instance its own mqtt.client_id" in line for line in warnings_of(caplog))


@both_protocols
async def test_half_open_connection_is_noticed_by_the_keep_alive(
    mosquitto: Mosquitto, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(make_link(mosquitto, protocol=protocol, keepalive_s=1)) as link:
        assert mosquitto.process is not None
        mosquitto.process.send_signal(signal.SIGSTOP)
        await until(lambda: not link.connected)
        mosquitto.process.send_signal(signal.SIGCONT)
        await until(lambda: link.connected)
    assert any("stopped answering" in line for line in warnings_of(caplog))


async def test_idle_connection_stays(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto, keepalive_s=2)) as link:
        connection = link._connection
        await asyncio.sleep(6.0)
        assert link._connection is connection
        assert link.connected


async def test_forgotten_session_is_told(mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    async with running(make_link(mosquitto)) as link:
        mosquitto.kill()
        (mosquitto.directory / "mosquitto.db").unlink(missing_ok=True)
        await until(lambda: not link.connected)
        mosquitto.start()
        await until(lambda: link.connected)
    assert any("has forgotten the session of monitor-under-test" in line for line in warnings_of(caplog))


async def test_packet_above_the_maximum_stays_at_the_broker(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto, maximum_packet_bytes=10_000)) as link:
        station = make_link(mosquitto, client_id="station")
        async with running(station):
            await station.publish("impf/tar/pt1s/1/hdzs", b"x" * 100_000, retain=False)
            await station.publish("impf/tar/pt1s/1/hdzs", b"small", retain=False)
        (delivery,) = await receive_count(link, 1)
        assert delivery.message.payload == b"small"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls_broker(
    mosquitto_at: Callable[..., Mosquitto], authority: Authority, alternative: str, *, client: bool
) -> Mosquitto:
    certificate, key = authority.issue("broker", alternative)
    lines = [f"cafile {authority.ca}", f"certfile {certificate}", f"keyfile {key}"]
    broker = mosquitto_at(extra=[*lines, f"require_certificate {str(client).lower()}"])
    broker.start()
    return broker


@both_protocols
async def test_tls_with_a_client_certificate_carries_messages(
    mosquitto_at: Callable[..., Mosquitto], authority: Authority, protocol: str
) -> None:
    broker = tls_broker(mosquitto_at, authority, "IP:127.0.0.1", client=True)
    certificate, key = authority.issue("monitor", "DNS:monitor")
    link = make_link(
        broker,
        tls=True,
        ca_file=str(authority.ca),
        cert_file=str(certificate),
        key_file=str(key),
        protocol=protocol,
        receive_maximum=20,
    )
    async with running(link):
        sent = asyncio.gather(
            *(link.publish("impf/tar", b"%*d" % (5000, number), retain=False) for number in range(200))
        )
        seen: list[int] = []
        async with asyncio.timeout(30):
            while len(seen) < 200:
                deliveries = await link.receive(50, 0.2)
                seen += [int(delivery.message.payload) for delivery in deliveries]
                link.acknowledge(deliveries)
            await sent
        assert seen == list(range(200))


async def test_tls_missing_client_certificate_is_refused(
    mosquitto_at: Callable[..., Mosquitto], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    broker = tls_broker(mosquitto_at, authority, "IP:127.0.0.1", client=True)
    async with running(make_link(broker, tls=True, ca_file=str(authority.ca)), connected=False) as link:
        await until(lambda: link._generation > 2)
        assert not link.connected
    assert len(set(warnings_of(caplog))) == len(warnings_of(caplog)) > 0


@pytest.mark.parametrize("fault", ["other host", "unknown authority", "no such file"])
async def test_tls_certificate_that_does_not_fit_is_refused_with_advice(
    mosquitto_at: Callable[..., Mosquitto], authority: Authority, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    alternative = "DNS:elsewhere.example.org" if fault == "other host" else "IP:127.0.0.1"
    broker = tls_broker(mosquitto_at, authority, alternative, client=False)
    ca_file, advice = {
        "other host": (str(authority.ca), "one that names 127.0.0.1"),
        "unknown authority": (None, "mqtt.ca_file"),
        "no such file": ("/nowhere/ca.crt", "mqtt.ca_file"),
    }[fault]
    async with running(make_link(broker, tls=True, ca_file=ca_file), connected=False) as link:
        await until(lambda: bool(warnings_of(caplog)))
        assert not link.connected
    assert advice in warnings_of(caplog)[0]


def config(**changes: object) -> SimpleNamespace:
    values: dict[str, object] = {
        "url": "mqtts://broker.example.org",
        "client_id": "monitor",
        "username": "user",
        "ca_file": Path("/etc/ca.crt"),
        "cert_file": None,
        "key_file": None,
        "protocol": "3.1.1",
        "keepalive_s": 30.0,
        "receive_maximum": 500,
        "session_expiry_s": 3600,
        "silence_s": 900.0,
        "publish_timeout_s": 120.0,
        "reconnect": SimpleNamespace(initial_s=1.0, maximum_s=60.0),
    }
    return SimpleNamespace(**(values | changes))


def test_settings_from_config_take_the_port_of_the_scheme_and_hide_the_password() -> None:
    settings = MqttSettings.from_config(config(), "secret", maximum_packet_bytes=1000)
    assert (settings.host, settings.port, settings.tls) == ("broker.example.org", 8883, True)
    assert (settings.ca_file, settings.keepalive_s, settings.protocol) == ("/etc/ca.crt", 30, "3.1.1")
    assert settings.password == "secret"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("mqtt://h", "mqtt://h:1883"), ("mqtt://[::1]:77", "mqtt://[::1]:77"), ("mqtts://h:1", "mqtts://h:1")],
)
def test_settings_url_names_host_and_port(url: str, expected: str) -> None:
    assert MqttSettings.from_config(config(url=url), None).url == expected


@pytest.mark.parametrize("changes", [{"url": "http://h"}, {"url": "mqtt://"}, {"protocol": "3.1"}])
def test_settings_that_cannot_be_used_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"allowed are"):
        MqttSettings.from_config(config(**changes), None)
