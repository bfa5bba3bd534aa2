"""A connection that is given up half-way: whatever still arrives for it troubles nobody."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random

import paho.mqtt.client as paho
import pytest
from mqtt_kit import Mosquitto, link_settings
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from monitor.io.mqtt import MqttLink
from monitor.io.mqtt.connection import Connection
from monitor.io.mqtt.intake import Intake

pytestmark = pytest.mark.timeout(60)
LOST = paho.DisconnectFlags(is_disconnect_packet_from_server=False)


def lost() -> ReasonCode:
    return ReasonCode(PacketTypes.DISCONNECT, "Unspecified error")


async def test_loss_after_a_cancelled_connect_is_taken_quietly() -> None:
    connection = Connection(Intake(10), 1, hostname="127.0.0.1")
    connection._connected.cancel()
    connection._on_disconnect(connection._client, None, LOST, lost())
    assert connection.ended.result().reason == "the connection was lost"


@pytest.mark.parametrize("how", ["loss", "refusal", "broken bytes"])
async def test_failure_that_nobody_waits_for_is_not_complained_about(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Connection(Intake(10), 1, hostname="127.0.0.1")
    connection._client._sock_close = lambda: None  # type: ignore[method-assign]  # there is none
    if how == "loss":
        connection._on_disconnect(connection._client, None, LOST, lost())
    elif how == "refusal":
        refused = ReasonCode(PacketTypes.CONNACK, "Not authorized")
        connection._on_connect(connection._client, None, paho.ConnectFlags(session_present=False), refused)
    else:
        connection._break(ValueError("no packet"))
    assert connection._connected.done()  # asking for its exception would make it quiet
    connection._connected = asyncio.get_running_loop().create_future()  # the old one is let go
    del connection
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.broker
async def test_link_ends_quietly_at_any_instant_of_its_connect(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(20261121)
    for _ in range(60):
        link = MqttLink(link_settings(mosquitto), subscriptions=["impf/#"], will=None, queue_size=100)
        task = asyncio.create_task(link.run())
        await asyncio.sleep(chance.uniform(0.0, 0.01))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.WARNING] == []
