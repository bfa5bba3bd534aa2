"""A broker of our own, for the demo: Mosquitto where it is installed, else one embedded in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from monitor.errors import BrokerError

log = logging.getLogger(__name__)

_START_S = 10.0
_STOP_S = 5.0
_PORTS_TRIED = 3

TUNED = {
    "persistence": "true",
    "autosave_interval": "10",
    "max_inflight_messages": "0",
    "max_queued_messages": "200000",
    "max_queued_bytes": "1073741824",
}
"""Where Mosquitto's own settings lose messages; `deploy/mosquitto.conf` says why, and has the same values."""


def find_mosquitto() -> Path | None:
    """The program `mosquitto`, also where a user's PATH does not lead; None where it is not installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("mosquitto", path=path)
    return None if found is None else Path(found)


# Below those that the system lends to connections: of those, one that is free now may be lent the next moment.
_FREE_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now; also in a moment, as far as that can be told."""
    for _ in range(100):
        port = secrets.choice(_FREE_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _require_free(port: int) -> None:
    """Raise BrokerError where something listens already: it would answer in place of our broker."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BrokerError(
                f"port {port} on 127.0.0.1 is taken ({error.strerror}): stop what listens there or choose another"
            ) from error


def mosquitto_config(directory: Path, port: int) -> str:
    """The text of a configuration: loopback only, anybody there may connect, and tuned to lose nothing."""
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        *(f"{key} {value}" for key, value in TUNED.items()),
        f"persistence_location {directory}/",
        f"log_dest file {directory / 'mosquitto.log'}",
        "log_type error",
        "log_type warning",
    ]
    if os.geteuid() == 0:
        # As root Mosquitto becomes the user `mosquitto`, who may not write to our directory.
        lines.append("user root")
    return "\n".join(lines) + "\n"


class LocalBroker:
    """A broker on loopback for as long as the context lasts.

    Parameters
    ----------
    directory : Path
        Where Mosquitto keeps its configuration, its messages and its log; must exist.
    port : int or None
        None takes a free one.

    Attributes
    ----------
    url : str
        `mqtt://127.0.0.1:PORT`.
    kind : str
        `mosquitto`, or `amqtt` for the embedded one, which can lose acknowledged messages: for the demo only.
    protocol : str
        The newest MQTT version that it speaks, as in `MqttSettings`.

    Raises
    ------
    BrokerError
        On entering: no broker is installed, or it does not start.
    """

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self._directory = directory
        self._wanted_port = port
        self._program = find_mosquitto()
        self._stack = contextlib.AsyncExitStack()
        self.kind: Literal["mosquitto", "amqtt"] = "amqtt" if self._program is None else "mosquitto"
        self.protocol: Literal["5", "3.1.1"] = "3.1.1" if self._program is None else "5"
        self.port = port or 0

    @property
    def url(self) -> str:
        """Where to connect to."""
        return f"mqtt://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        tries = _PORTS_TRIED if self._wanted_port is None else 1
        for left in reversed(range(tries)):
            self.port = self._wanted_port or free_port()
            broker = (
                _embedded(self.port)
                if self._program is None
                else _mosquitto(self._program, self._directory, self.port)
            )
            try:
                _require_free(self.port)
                await self._stack.enter_async_context(broker)
                break
            except BrokerError:
                # Between the choice and the start somebody else may have taken the port.
                if not left:
                    raise
        log.info("%s listens at %s", self.kind, self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def _mosquitto(program: Path, directory: Path, port: int) -> AsyncIterator[None]:
    """Run Mosquitto as a child; it writes its messages to `directory` when it is stopped."""
    config = directory / "mosquitto.conf"
    config.write_text(mosquitto_config(directory, port), encoding="utf-8")
    try:
        process = await asyncio.create_subprocess_exec(
            *_ended_with_us(),
            program,
            "-c",
            config,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            # A Ctrl-C in the terminal is for the demo, which stops its broker last.
            start_new_session=True,
        )
    except OSError as error:
        raise BrokerError(f"{program} does not start: {error}; mend or remove Mosquitto") from error
    try:
        await _wait_until_accepting(process, directory, port)
        yield
    finally:
        await _stop(process)


def _ended_with_us() -> list[str]:
    """What makes the kernel end a child whose parent was killed: else it would keep the port for ever."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "TERM", "--"]


async def _wait_until_accepting(process: asyncio.subprocess.Process, directory: Path, port: int) -> None:
    deadline = asyncio.get_running_loop().time() + _START_S
    while not await _accepts(port):
        if process.returncode is not None:
            raise BrokerError(
                f"mosquitto on port {port} ended at once (exit code {process.returncode}); "
                f"see {directory / 'mosquitto.log'}: {_last_line(directory / 'mosquitto.log')}"
            )
        if asyncio.get_running_loop().time() > deadline:
            raise BrokerError(f"mosquitto does not answer on port {port} after {_START_S:.0f} s")
        await asyncio.sleep(0.02)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no log"
    return lines[-1] if lines else "empty log"


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        log.warning("mosquitto (pid %d) does not stop within %.0f s: killed", process.pid, _STOP_S)
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def _embedded(port: int) -> AsyncIterator[None]:
    """Run amqtt on this event loop."""
    try:
        from amqtt.broker import Broker
        from amqtt.errors import BrokerError as EmbeddedBrokerError
    except ImportError as error:
        raise BrokerError(
            "there is no MQTT broker on this machine: install Mosquitto (apt install mosquitto), "
            "or the embedded one (pip install 'geospace-monitor[demo]')"
        ) from error
    # It tells of every connection and, at shutdown, of every client that it threw out.
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    try:
        await broker.start()
    except EmbeddedBrokerError as error:
        raise BrokerError(f"the embedded broker does not start on port {port}: {error}") from error
    try:
        yield
    finally:
        try:
            async with asyncio.timeout(_STOP_S):
                await broker.shutdown()
        except TimeoutError:
            log.warning("the embedded broker does not stop within %.0f s: left behind", _STOP_S)
