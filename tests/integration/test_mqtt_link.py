"""The link against a real Mosquitto, in both protocol versions."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mqtt_kit import Mosquitto, cut, link_settings, receive_count, running, until

from monitor.errors import BrokerError, BrokerUnavailable
from monitor.io.mqtt import Delivery, MqttLink, Will

pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]
TOPIC = "geospace/v1/in/mag/TAR"

both_protocols = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


def make_link(broker: Mosquitto, *, queue_size: int = 1000, **changes: object) -> MqttLink:
    return MqttLink(
        link_settings(broker, **changes), subscriptions=["geospace/v1/in/#"], will=None, queue_size=queue_size
    )


def publisher(broker: Mosquitto) -> MqttLink:
    return MqttLink(link_settings(broker, client_id="station"), subscriptions=[], will=None, queue_size=10)


async def publish_numbers(broker: Mosquitto, count: int, first: int = 0) -> None:
    async with running(publisher(broker)) as station:
        await asyncio.gather(
            *(station.publish(TOPIC, b"%d" % number, retain=False) for number in range(first, first + count))
        )


async def barrier(link: MqttLink) -> None:
    """Return when the broker has read all that the link sent before: packets keep their order."""
    await link.publish("barrier", b"", retain=False)


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [int(delivery.message.payload) for delivery in deliveries]


class Program:
    """A Python program beside the test, that can be killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def readline(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), 30)).decode().strip()

    async def kill(self) -> None:
        self._process.kill()
        await self._process.communicate()


async def spawn(script: str, broker: Mosquitto, protocol: str) -> Program:
    return Program(
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(broker.port), protocol, stdout=asyncio.subprocess.PIPE
        )
    )


async def register(broker: Mosquitto, protocol: str = "5") -> None:
    """Make the broker hold a persistent session for the link under test."""
    async with running(make_link(broker, protocol=protocol)):
        pass


@both_protocols
async def test_delivery_carries_topic_payload_and_arrival(mosquitto: Mosquitto, protocol: str) -> None:
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        before_ns = time.time_ns()
        await publish_numbers(mosquitto, 1)
        (delivery,) = await receive_count(link, 1)
        assert delivery.message.topic == TOPIC
        assert delivery.message.payload == b"0"
        assert type(delivery.message.payload) is bytes
        assert before_ns <= delivery.message.received_ns <= time.time_ns()


async def test_receive_returns_empty_on_time_out(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto)) as link:
        began = time.monotonic()
        assert await link.receive(10, 0.2) == []
        assert 0.15 < time.monotonic() - began < 2.0


async def test_receive_takes_no_more_than_the_limit_in_order(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto)) as link:
        await publish_numbers(mosquitto, 10)
        await until(lambda: link.waiting == 10)
        assert numbers(await link.receive(4, 0)) == [0, 1, 2, 3]
        assert numbers(await link.receive(100, 0)) == [4, 5, 6, 7, 8, 9]


@both_protocols
async def test_unacknowledged_come_again_after_an_abrupt_drop(mosquitto: Mosquitto, protocol: str) -> None:
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        await publish_numbers(mosquitto, 20)
        first = await receive_count(link, 20)
        link.acknowledge(first[:15])
        await publish_numbers(mosquitto, 1, first=99)
        await until(lambda: link.waiting == 1)
        await barrier(link)
        dropped = cut(link)
        await until(lambda: link.connected and link._connection is not dropped)
        again = await receive_count(link, 6)
        # 99 was still waiting: sent again, it keeps its place and gets a handle that counts.
        assert sorted(numbers(again)) == [15, 16, 17, 18, 19, 99]
        link.acknowledge(first)  # of the former connection: must not touch the new one's
        link.acknowledge(again)
        await barrier(link)
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        assert await link.receive(100, 0.3) == []


@both_protocols
async def test_acknowledged_never_come_again(mosquitto: Mosquitto, protocol: str) -> None:
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        await publish_numbers(mosquitto, 50)
        link.acknowledge(await receive_count(link, 50))
        # A new connection takes the session over at once, with what the broker has not read yet.
        await barrier(link)
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        assert await link.receive(100, 0.3) == []


@both_protocols
async def test_queued_while_away_arrive_in_order(mosquitto: Mosquitto, protocol: str) -> None:
    await register(mosquitto, protocol=protocol)
    await publish_numbers(mosquitto, 1500)
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        assert numbers(await receive_count(link, 1500)) == list(range(1500))


CONSUMER = """
import asyncio, sys
from monitor.io.mqtt import MqttLink, MqttSettings
async def main(port, protocol):
    settings = MqttSettings(host="127.0.0.1", port=port, client_id="monitor-under-test", protocol=protocol)
    link = MqttLink(settings, subscriptions=["geospace/v1/in/#"], will=None, queue_size=1000)
    task = asyncio.create_task(link.run())
    stored = 0
    while True:
        deliveries = await link.receive(50, 1.0)
        stored += len(deliveries)
        if stored <= 150:
            for delivery in deliveries:
                print(delivery.message.payload.decode(), flush=True)
            link.acknowledge(deliveries)
        else:
            print("holding", flush=True)
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""


@both_protocols
async def test_nothing_is_lost_when_the_consumer_is_killed(mosquitto: Mosquitto, protocol: str) -> None:
    await register(mosquitto, protocol=protocol)
    await publish_numbers(mosquitto, 500)
    consumer = await spawn(CONSUMER, mosquitto, protocol)
    stored: set[int] = set()
    # What was printed is what a daemon has committed.
    while (line := await consumer.readline()) != "holding":
        stored.add(int(line))
    await asyncio.sleep(0.3)  # long enough to acknowledge everything, were it to
    await consumer.kill()
    assert 0 < len(stored) < 500
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        # The acknowledgements of the last batch may have died with it: those come twice.
        async with asyncio.timeout(30):
            while len(stored) < 500:
                stored.update(numbers(await link.receive(100, 0.2)))
    assert stored == set(range(500))


@both_protocols
async def test_link_connects_when_the_broker_comes_up_later(
    mosquitto_at: Callable[..., Mosquitto], protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = mosquitto_at()
    async with running(make_link(broker, protocol=protocol), connected=False) as link:
        await asyncio.sleep(0.5)
        assert not link.connected
        broker.start()
        await until(lambda: link.connected)
        await publish_numbers(broker, 3)
        assert numbers(await receive_count(link, 3)) == [0, 1, 2]
    refusals = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(refusals) == 1
    assert f"no connection to mqtt://127.0.0.1:{broker.port}" in refusals[0].getMessage()
    assert "start the broker or correct mqtt.url" in refusals[0].getMessage()


@both_protocols
async def test_link_reconnects_and_subscribes_anew_after_the_broker_was_killed(
    mosquitto: Mosquitto, protocol: str
) -> None:
    changes: list[bool] = []
    link = MqttLink(
        link_settings(mosquitto, protocol=protocol),
        subscriptions=["geospace/v1/in/#"],
        will=None,
        queue_size=100,
        on_connection=lambda up, _: changes.append(up),
    )
    async with running(link):
        mosquitto.kill()
        await until(lambda: not link.connected)
        (mosquitto.directory / "mosquitto.db").unlink(missing_ok=True)  # no session to come back to
        mosquitto.start()
        await until(lambda: link.connected)
        await publish_numbers(mosquitto, 3)
        assert numbers(await receive_count(link, 3)) == [0, 1, 2]
    assert changes[0] is True
    assert changes[1] is False
    assert True in changes[2:]
    assert changes[-1] is False


@both_protocols
async def test_unacknowledged_survive_a_restart_of_the_broker(mosquitto: Mosquitto, protocol: str) -> None:
    await register(mosquitto, protocol=protocol)
    await publish_numbers(mosquitto, 300)
    mosquitto.restart()
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        deliveries = await receive_count(link, 300)
        link.acknowledge(deliveries[:100])
        assert set(numbers(deliveries)) == set(range(300))
        await publish_numbers(mosquitto, 1, first=999)
        await receive_count(link, 1)
        await barrier(link)
        mosquitto.restart()
        again = await receive_count(link, 201)
        assert sorted(numbers(again)) == [*range(100, 300), 999]


async def test_saved_messages_survive_a_kill_of_the_broker(mosquitto: Mosquitto) -> None:
    await register(mosquitto)
    await publish_numbers(mosquitto, 100)
    mosquitto.save()
    mosquitto.kill()
    mosquitto.start()
    async with running(make_link(mosquitto)) as link:
        assert sorted(numbers(await receive_count(link, 100))) == list(range(100))


DYING = """
import asyncio, sys
from monitor.io.mqtt import MqttLink, MqttSettings, Will
async def main(port, protocol):
    settings = MqttSettings(host="127.0.0.1", port=port, client_id="dying", protocol=protocol)
    await MqttLink(settings, subscriptions=[], will=Will("geospace/v1/in/status", b"offline", True), queue_size=10,
                   on_connection=lambda up, where: print("up" if up else "down", flush=True)).run()
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""


@both_protocols
async def test_will_is_published_when_the_client_is_killed(mosquitto: Mosquitto, protocol: str) -> None:
    async with running(make_link(mosquitto)) as link:
        dying = await spawn(DYING, mosquitto, protocol)
        assert await dying.readline() == "up"
        await dying.kill()
        (delivery,) = await receive_count(link, 1)
        assert (delivery.message.topic, delivery.message.payload) == ("geospace/v1/in/status", b"offline")


async def test_will_stays_unsaid_after_an_orderly_end(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto)) as observer:
        will = Will("geospace/v1/in/status", b"offline", False)
        leaving = MqttLink(
            link_settings(mosquitto, client_id="leaving"), subscriptions=[], will=will, queue_size=10
        )
        async with running(leaving):
            pass
        assert await observer.receive(10, 0.5) == []


async def test_publish_returns_after_the_broker_acknowledged(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto)) as link:
        await link.publish("geospace/v1/flr/TAR-BRZ", b"{}", retain=True)
        late = MqttLink(
            link_settings(mosquitto, client_id="late"),
            subscriptions=["geospace/v1/flr/#"],
            will=None,
            queue_size=10,
        )
        async with running(late):
            (delivery,) = await receive_count(late, 1)
    assert delivery.message.payload == b"{}"


async def test_publish_while_down_raises(mosquitto_at: Callable[..., Mosquitto]) -> None:
    link = make_link(mosquitto_at())
    with pytest.raises(BrokerUnavailable, match="no connection to mqtt://127"):
        await link.publish("geospace/v1/status", b"{}", retain=True)


@both_protocols
async def test_publish_raises_when_the_connection_falls_before_the_answer(
    mosquitto: Mosquitto, protocol: str
) -> None:
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        assert mosquitto.process is not None
        mosquitto.process.send_signal(19)  # stopped: it takes bytes and answers nothing
        publication = asyncio.create_task(link.publish("geospace/v1/status", b"{}", retain=False))
        await asyncio.sleep(0.2)
        assert not publication.done()
        mosquitto.kill()
        with pytest.raises(BrokerUnavailable, match="not published"):
            await asyncio.wait_for(publication, 20)


async def test_publish_refused_by_the_access_rules_raises(
    mosquitto_at: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic read geospace/v1/in/#\ntopic write geospace/v1/flr/#\n")
    rules.chmod(0o644)
    broker = mosquitto_at(extra=[f"acl_file {rules}"])
    broker.start()
    async with running(make_link(broker)) as link:
        await link.publish("geospace/v1/flr/TAR-BRZ", b"{}", retain=False)
        with pytest.raises(BrokerError, match="refused a message to geospace/v1/status") as caught:
            await link.publish("geospace/v1/status", b"{}", retain=False)
    assert not isinstance(caught.value, BrokerUnavailable)


async def test_former_subscription_is_given_up(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto)):
        pass
    link = MqttLink(
        link_settings(mosquitto),
        subscriptions=["impf/#"],
        will=None,
        queue_size=10,
        former_subscriptions=["geospace/v1/in/#"],
    )
    async with running(link):
        await publish_numbers(mosquitto, 1)
        assert await link.receive(1, 0.4) == []


async def test_cancelling_while_connecting_leaves_nothing_open(mosquitto: Mosquitto) -> None:
    # A socket left open would be a ResourceWarning, and so an error.
    for pause_s in (0.0, 0.001, 0.003, 0.01):
        task = asyncio.create_task(make_link(mosquitto).run())
        await asyncio.sleep(pause_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.sleep(0.1)
