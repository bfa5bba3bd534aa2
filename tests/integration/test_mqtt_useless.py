"""A connection that is up and of no use: pings are answered, and nothing comes or nothing is confirmed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
from mqtt_kit import Mosquitto, link_settings, receive_count, running, until
from swallowing import PUBACK, PUBLISH, Swallowing

from monitor.errors import BrokerUnavailable
from monitor.io.mqtt import Delivery, MqttLink

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]
both_protocols = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


def make_link(broker: Mosquitto, **changes: object) -> MqttLink:
    return MqttLink(link_settings(broker, **changes), subscriptions=["impf/#"], will=None, queue_size=50)


async def publish(broker: Mosquitto, count: int = 1) -> None:
    station = MqttLink(link_settings(broker, client_id="station"), subscriptions=[], will=None, queue_size=10)
    async with running(station):
        await asyncio.gather(
            *(station.publish("impf/tar", b"%d" % number, retain=False) for number in range(count))
        )


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@contextlib.asynccontextmanager
async def consumed(link: MqttLink) -> AsyncIterator[list[Delivery]]:
    """A consumer that takes and acknowledges whatever comes."""
    seen: list[Delivery] = []

    async def consume() -> None:
        while True:
            deliveries = await link.receive(100, 0.2)
            link.acknowledge(deliveries)
            seen.extend(deliveries)

    task = asyncio.create_task(consume())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@both_protocols
async def test_connection_that_brings_nothing_is_made_anew(
    mosquitto: Mosquitto, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Swallowing(mosquitto.port, {PUBLISH}, first=1).running() as proxy:
        link = make_link(mosquitto, port=proxy.port, protocol=protocol, silence_s=2.0)
        async with running(link), consumed(link) as seen:
            await publish(mosquitto)
            await until(lambda: len(seen) > 0)
            await until(lambda: link.connected)
            assert link.reading().connections == 2
        assert proxy.swallowed > 0
    (told,) = [line for line in warnings_of(caplog) if "nothing has arrived for 2 s" in line]
    assert "connecting and subscribing anew" in told


async def test_silence_that_lasts_is_told_once_and_ends_with_the_first_message(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    link = make_link(mosquitto, silence_s=1.0)
    async with running(link), consumed(link):
        assert link.silent is None
        await until(lambda: link.reading().connections >= 3, timeout_s=30)
        await until(lambda: link.silent is not None)
        assert "nothing has arrived since the start" in str(link.silent)
        assert link.reading().last_message_ns is None
        await until(lambda: link.connected)
        await publish(mosquitto)
        await until(lambda: link.silent is None)
        assert link.reading().last_message_ns is not None
    assert len([line for line in warnings_of(caplog) if "nothing has arrived" in line]) == 1


async def test_retained_message_does_not_end_the_silence(mosquitto: Mosquitto) -> None:
    station = MqttLink(
        link_settings(mosquitto, client_id="station"), subscriptions=[], will=None, queue_size=10
    )
    async with running(station):
        await station.publish("impf/tar", b"old", retain=True)
    # Under 3.1.1 it comes with every subscription.
    link = make_link(mosquitto, silence_s=1.0, protocol="3.1.1")
    async with running(link), consumed(link) as seen:
        await until(lambda: len(seen) >= 2 and link.silent is not None, timeout_s=30)


@both_protocols
async def test_link_that_holds_the_broker_back_is_not_silent(mosquitto: Mosquitto, protocol: str) -> None:
    link = make_link(mosquitto, silence_s=1.0, protocol=protocol, receive_maximum=50)
    async with running(link):
        await publish(mosquitto, 1000)
        await until(lambda: link.held_back)
        held_s = link.reading().held_s
        # Nobody takes anything: by the clock the patience is over several times.
        await until(lambda: link.reading().held_s > held_s + 3.0)
        assert link.reading().connections == 1
        if protocol == "5":
            assert link.reading().unacknowledged == 50
        async with consumed(link) as seen:
            await until(lambda: len(seen) == 1000)
            await until(lambda: not link.held_back)
            assert link.reading().unacknowledged == 0
            held_s = link.reading().held_s
            assert link.reading().held_s == held_s


async def test_consumer_that_takes_nothing_is_not_taken_for_silence(mosquitto: Mosquitto) -> None:
    # As while the store is full: the last batch is in hand, and nobody asks for more.
    link = make_link(mosquitto, silence_s=1.0)
    async with running(link):
        await publish(mosquitto)
        await receive_count(link, 1)
        connection = link._connection
        assert connection is not None
        looks = connection._loop.time()
        await until(lambda: connection._loop.time() > looks + 3.5)
        assert link.reading().connections == 1


@both_protocols
async def test_publication_without_an_answer_ends_the_connection(
    mosquitto: Mosquitto, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Swallowing(mosquitto.port, {PUBACK}, first=1).running() as proxy:
        link = make_link(mosquitto, port=proxy.port, protocol=protocol, publish_timeout_s=2.0)
        async with running(link), consumed(link) as seen:
            with pytest.raises(BrokerUnavailable, match="no answer for 2 s"):
                await asyncio.wait_for(link.publish("impf/tar", b"1", retain=False), 20)
            await until(lambda: link.connected)
            await link.publish("impf/tar", b"2", retain=False)
            await until(lambda: {one.message.payload for one in seen} == {b"1", b"2"})
    assert len([line for line in warnings_of(caplog) if "no answer for 2 s" in line]) == 1


async def test_huge_payload_is_cut_behind_the_limit_where_the_protocol_has_none(mosquitto: Mosquitto) -> None:
    link = make_link(mosquitto, protocol="3.1.1", maximum_packet_bytes=10_000)
    async with running(link), consumed(link) as seen:
        station = MqttLink(
            link_settings(mosquitto, client_id="station"), subscriptions=[], will=None, queue_size=10
        )
        async with running(station):
            await station.publish("impf/tar", b"x" * 1_000_000, retain=False)
            await station.publish("impf/tar", b"small", retain=False)
        await until(lambda: len(seen) == 2)
    assert [len(one.message.payload) for one in seen] == [10_001, 5]
