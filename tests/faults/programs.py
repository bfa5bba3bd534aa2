"""Processes that are killed, stopped and gone on with, at instants drawn from a seed; and a real Mosquitto of any temper.

It knows nothing of what the programs do: a program is a command, and a question whether it is up.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

UP_S = 60.0
"""How long a program may take to be up on a machine that is busy."""


class Program:
    """A process that can be treated badly; leaving the context leaves nothing behind.

    Parameters
    ----------
    command : sequence of str or Path
    log : Path
        Takes what it prints, of all its runs.
    is_up : callable
        Whether it does its work.
    environment : mapping, optional
        Added to that of the tests.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        is_up: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self.log_path = log
        self.starts = 0
        self._is_up = is_up
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process is there (it may be frozen, and it may not be up)."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it is up."""
        assert not self.runs, "it runs already"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self._environment)
        self.starts += 1
        if wait:
            self.wait_until_up()

    def wait_until_up(self) -> None:
        """Wait until it does its work; AssertionError with its log where it ends before, or takes too long."""
        deadline = time.monotonic() + UP_S
        while not self._is_up():
            assert self.runs, f"{self.command[0]} has ended: {self.log[-3000:]}"
            assert time.monotonic() < deadline, f"{self.command[0]} is not up: {self.log[-3000:]}"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, as a power failure would; nothing where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=UP_S)
            self._process = None

    def stop(self) -> int:
        """SIGTERM; return its exit code."""
        assert self._process is not None, "it does not run"
        self._process.terminate()
        code = self._process.wait(timeout=UP_S)
        self._process = None
        return code

    def freeze(self) -> None:
        """SIGSTOP: it stands still, and its sockets stay open. Returns when it does."""
        os.kill(self.pid, signal.SIGSTOP)
        while _state(self.pid) not in "tT":
            time.sleep(0.001)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it stood."""
        os.kill(self.pid, signal.SIGCONT)


def _state(pid: int) -> str:
    """The letter of its state: R, S, D, T, Z."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# -- Mosquitto ---------------------------------------------------------------------------------------------

STOCK = "allow_anonymous true"
"""The settings that Mosquitto has where nobody set any: nothing is on disk, twenty in flight, a thousand in a queue."""

# Where it listens and writes is ours to say.
_PLACES = frozenset({"listener", "persistence_location", "log_dest"})


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def broker(
    program: Path, directory: Path, settings: str, *, extra: Sequence[str] = ()
) -> tuple[Program, int]:
    """A Mosquitto (not yet started) on a free loopback port, with the given settings; and its port.

    `settings` is the text of a configuration, such as that of a file that is shipped. Its listener, its log and the
    place of its database are replaced by ones in `directory`; `extra` lines are added.
    """
    port = free_port()
    kept = [line for line in settings.splitlines() if line.partition(" ")[0] not in _PLACES]
    lines = [f"listener {port} 127.0.0.1", *kept, f"persistence_location {directory}/", "log_dest stderr"]
    if os.geteuid() == 0:
        lines.append("user root")  # else it becomes a user who may not write there
    config = directory / "mosquitto.conf"
    config.write_text("\n".join([*lines, *extra, ""]), encoding="utf-8")
    return (
        Program([program, "-c", config], directory / "mosquitto.log", lambda: is_listening(port)),
        port,
    )
