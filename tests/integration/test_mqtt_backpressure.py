"""A consumer that stalls holds the broker back; it loses nothing and its link stays alive."""

from __future__ import annotations

import asyncio

import pytest
from mqtt_kit import Mosquitto, cut, link_settings, receive_count, running, until

from monitor.io.mqtt import MqttLink

pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]
PAYLOAD = 2000  # bytes: large enough that the socket's buffers cannot hold the backlog

PUBLICATIONS = 20


def make_link(broker: Mosquitto, *, queue_size: int = 50, **changes: object) -> MqttLink:
    settings = link_settings(broker, receive_maximum=50, **changes)
    return MqttLink(settings, subscriptions=["geospace/v1/in/#"], will=None, queue_size=queue_size)


async def fill(broker: Mosquitto, count: int) -> None:
    station = MqttLink(link_settings(broker, client_id="station"), subscriptions=[], will=None, queue_size=10)
    async with running(station):
        await asyncio.gather(
            *(
                station.publish("geospace/v1/in/mag/TAR", b"%*d" % (PAYLOAD, number), retain=False)
                for number in range(count)
            )
        )


async def drain(link: MqttLink, count: int) -> list[int]:
    seen: list[int] = []
    async with asyncio.timeout(30):
        while len(seen) < count:
            deliveries = await link.receive(20, 0.5)
            seen += [int(delivery.message.payload) for delivery in deliveries]
            link.acknowledge(deliveries)
    return seen


async def test_receive_maximum_bounds_what_waits(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto)) as link:
        await fill(mosquitto, 3000)
        await until(lambda: link.waiting >= 50)
        await asyncio.sleep(0.3)
        assert link.waiting == 50
        assert await drain(link, 3000) == list(range(3000))
        assert link.waiting == 0


async def test_full_intake_stops_reading_where_the_protocol_has_no_bound(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto, protocol="3.1.1")) as link:
        await fill(mosquitto, 6000)
        await until(lambda: link.waiting > 50)
        await asyncio.sleep(0.3)
        assert 50 < link.waiting <= 52
        assert await drain(link, 6000) == list(range(6000))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_stalled_link_outlives_the_keep_alive(mosquitto: Mosquitto, protocol: str) -> None:
    downs: list[str] = []
    link = MqttLink(
        link_settings(mosquitto, protocol=protocol, receive_maximum=50, keepalive_s=2),
        subscriptions=["geospace/v1/in/#"],
        will=None,
        queue_size=50,
        on_connection=lambda up, why: None if up else downs.append(why),
    )
    async with running(link):
        await fill(mosquitto, 3000)
        await asyncio.sleep(6.0)
        assert downs == []
        assert await drain(link, 3000) == list(range(3000))
        await asyncio.sleep(1.5)
        assert downs == []


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_publication_behind_a_full_intake_is_confirmed_as_the_consumer_takes(
    mosquitto: Mosquitto, protocol: str
) -> None:
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        await fill(mosquitto, 2000)
        await until(lambda: link.waiting >= 50)
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(link.publish("geospace/v1/status", b"{}", retain=False))
            assert await drain(link, 2000) == list(range(2000))


async def test_backlog_waits_once_however_often_the_connection_falls(mosquitto: Mosquitto) -> None:
    async with running(make_link(mosquitto)) as link:
        await fill(mosquitto, 500)
        await until(lambda: link.waiting == 50)
        for _ in range(4):
            dropped = cut(link)
            await until(lambda old=dropped: link.connected and link._connection is not old)  # type: ignore[misc]
        await asyncio.sleep(0.3)
        assert link.waiting == 50
        assert await drain(link, 500) == list(range(500))


async def test_qos_0_beyond_the_limit_is_kept(mosquitto: Mosquitto) -> None:
    import aiomqtt

    async with running(make_link(mosquitto)) as link:
        async with aiomqtt.Client("127.0.0.1", mosquitto.port, identifier="fast") as station:
            for number in range(100):
                await station.publish("geospace/v1/in/mag/TAR", b"%d" % number, qos=0)
        deliveries = await receive_count(link, 100)
    assert [int(delivery.message.payload) for delivery in deliveries] == list(range(100))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_consumer_that_takes_and_publishes_all_the_time_keeps_its_bound(
    mosquitto: Mosquitto, protocol: str
) -> None:
    """Mosquitto lets one message more out for each that we publish, and there is always an answer to wait for."""
    async with running(make_link(mosquitto, protocol=protocol)) as link:
        await fill(mosquitto, 6000)
        most, seen = 0, 0
        publishing = asyncio.create_task(publish_on(link))
        async with asyncio.timeout(60):
            while seen < 3000:
                deliveries = await link.receive(20, 0.5)
                await asyncio.sleep(0.02)
                link.acknowledge(deliveries)
                seen += len(deliveries)
                most = max(most, link.waiting)
        publishing.cancel()
    # paho reads as many packets at once as it has publications under way.
    assert most <= link._intake.limit + PUBLICATIONS + 2


async def publish_on(link: MqttLink) -> None:
    while True:
        sending = (link.publish("geospace/v1/flr/A-B", b"{}", retain=False) for _ in range(PUBLICATIONS))
        await asyncio.gather(*sending)
