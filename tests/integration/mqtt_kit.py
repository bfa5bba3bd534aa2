"""Real parts for the integration tests: a Mosquitto that can be killed and restarted, and a link that runs.

The fixtures `mosquitto` and `mosquitto_at` start and stop the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from monitor.io.broker import find_mosquitto, free_port, mosquitto_config
from monitor.io.mqtt import Delivery, MqttLink, MqttSettings
from monitor.io.mqtt.connection import Connection


class Mosquitto:
    """A real broker on a free loopback port, with the tuned settings and its persistence in `directory`.

    `extra` lines are appended to the configuration; `config` replaces it whole.
    """

    def __init__(self, directory: Path, *, extra: Sequence[str] = (), config: str | None = None) -> None:
        program = find_mosquitto()
        if program is None:
            pytest.skip("the program mosquitto is not installed")
        self.program = program
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._extra = extra
        self._config = config

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "mosquitto.log").read_text()

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        config = self.directory / "mosquitto.conf"
        text = self._config if self._config is not None else mosquitto_config(self.directory, self.port)
        config.write_text("\n".join([text, *self._extra, ""]))
        with (self.directory / "console").open("ab") as console:
            self.process = subprocess.Popen([self.program, "-c", config], stdout=console, stderr=console)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self.process.poll() is None, (self.directory / "console").read_text()
            assert time.monotonic() < deadline, "mosquitto does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop in order: it writes its database."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Die as in a power failure: what it had not written yet is gone."""
        self._end(signal.SIGKILL)

    def save(self) -> None:
        """Write the database now, as the autosave does."""
        assert self.process is not None
        database = self.directory / "mosquitto.db"
        before = database.stat().st_mtime_ns if database.exists() else 0
        os.kill(self.process.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while not database.exists() or database.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline, "mosquitto does not save"
            time.sleep(0.02)

    def restart(self) -> None:
        """Stop if it runs, and start again on the same port."""
        if self.process is not None:
            self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=10)
            self.process = None


def link_settings(broker: Mosquitto, **changes: object) -> MqttSettings:
    """Settings for a link to `broker`, impatient enough for a test."""
    options: dict[str, object] = {
        "host": "127.0.0.1",
        "port": broker.port,
        "client_id": "monitor-under-test",
        "reconnect_initial_s": 0.05,
        "reconnect_maximum_s": 0.2,
    }
    return MqttSettings(**(options | changes))  # type: ignore[arg-type]


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  (a condition on foreign objects has no event)
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(link: MqttLink, *, connected: bool = True) -> AsyncIterator[MqttLink]:
    """Run `link` for as long as the context lasts, and disconnect in order at its end."""
    task = asyncio.create_task(link.run())
    try:
        if connected:
            await until(lambda: link.connected or task.done())
        yield link
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def cut(link: MqttLink) -> Connection:
    """Break the link's connection as a network does; returns the connection that was."""
    connection = link._connection
    assert connection is not None
    sock = connection._client.socket()
    assert isinstance(sock, socket.socket)
    sock.shutdown(socket.SHUT_RDWR)
    return connection


async def receive_count(link: MqttLink, count: int, timeout_s: float = 20.0) -> list[Delivery]:
    """Receive until `count` deliveries have come, without acknowledging; fail when they do not come."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(timeout_s):
        while len(deliveries) < count:
            deliveries += await link.receive(count - len(deliveries), 0.2)
    return deliveries


# -- fixtures: a conftest takes them by importing them ------------------------------------------------------


@pytest.fixture
def mosquitto_at(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """A function that makes brokers which are gone after the test; it takes the arguments of `Mosquitto`."""
    brokers: list[Mosquitto] = []

    def make(**options: object) -> Mosquitto:
        directory = tmp_path / f"broker{len(brokers)}"
        directory.mkdir()
        broker = Mosquitto(directory, **options)  # type: ignore[arg-type]
        brokers.append(broker)
        return broker

    yield make
    for broker in brokers:
        broker.kill()


@pytest.fixture
def mosquitto(mosquitto_at: Callable[..., Mosquitto]) -> Mosquitto:
    """A running broker."""
    broker = mosquitto_at()
    broker.start()
    return broker
