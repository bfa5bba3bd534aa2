"""The names of aiomqtt and paho that are not theirs to keep, and that `monitor.io.mqtt.connection` leans on.

When a new version fails here, read its `client.py` beside that module before anything else.
"""

from __future__ import annotations

import inspect

import aiomqtt
import paho.mqtt.client as paho
import pytest

from monitor.io.mqtt.connection import Connection
from monitor.io.mqtt.intake import Intake

OVERRIDDEN = [
    "_misc_loop",
    "_on_connect",
    "_on_disconnect",
    "_on_message",
    "_on_publish",
    "_on_socket_open",
    "_on_socket_register_write",
]
CALLBACKS = [name for name in OVERRIDDEN if name.startswith("_on_")] + ["_on_socket_close", "_on_subscribe"]


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_aiomqtt_still_has_the_method_that_is_overridden(name: str) -> None:
    theirs = inspect.signature(getattr(aiomqtt.Client, name))
    ours = inspect.signature(getattr(Connection, name))
    assert list(ours.parameters) == list(theirs.parameters)


@pytest.mark.parametrize(
    "name", ["_connected", "_disconnected", "_loop", "_misc_task", "_pending_calls", "timeout"]
)
async def test_aiomqtt_still_has_the_attribute(name: str) -> None:
    assert hasattr(aiomqtt.Client("127.0.0.1"), name)


@pytest.mark.parametrize(
    "name", ["_sock_close", "_send_pingreq", "_ping_t", "manual_ack_set", "ack", "keepalive"]
)
async def test_paho_still_has_the_attribute(name: str) -> None:
    client = aiomqtt.Client("127.0.0.1")._client
    assert type(client) is paho.Client
    assert hasattr(client, name)


async def test_paho_calls_our_methods_and_acknowledges_only_when_told() -> None:
    connection = Connection(Intake(10), 1, hostname="127.0.0.1")
    for name in CALLBACKS:
        assert getattr(connection._client, name[1:]) == getattr(connection, name), name
    assert connection._client._manual_ack is True


def test_aiomqtt_reads_through_the_callbacks_that_are_overridden() -> None:
    # The reader and the timer are started by `_on_socket_open` alone, and nobody else fills a queue.
    source = inspect.getsource(aiomqtt.Client)
    assert source.count("add_reader") == 1
    assert "add_reader" in inspect.getsource(aiomqtt.Client._on_socket_open)
    assert source.count("put_nowait") == 1
    assert "put_nowait" in inspect.getsource(aiomqtt.Client._on_message)


def test_paho_still_resets_the_ping_timer_by_the_name_we_use() -> None:
    assert "self._ping_t > 0" in inspect.getsource(paho.Client.loop_misc)
