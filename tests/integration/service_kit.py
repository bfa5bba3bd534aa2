"""The other side of the daemon as a service: what a service manager hears, and a daemon of which a part can be stopped."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from daemon_kit import eventually

TRICKED = Path(__file__).parent / "tricked_daemon.py"


class Manager:
    """Hears what is said to $NOTIFY_SOCKET, in the order in which it comes; each is a list of lines."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._path = path
        self.heard: list[tuple[float, list[str]]] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def environment(self, watchdog_s: float | None = None) -> dict[str, str]:
        """What the service manager gives a program that it starts."""
        variables = {"NOTIFY_SOCKET": str(self._path)}
        if watchdog_s is not None:
            variables["WATCHDOG_USEC"] = str(round(watchdog_s * 1e6))
        return variables

    def _listen(self) -> None:
        while lines := self._socket.recv(4096).decode():
            self.heard.append((time.monotonic(), lines.split("\n")))

    def close(self) -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self._path))
        self._thread.join(10)
        self._socket.close()

    @property
    def lines(self) -> list[str]:
        return [line for _, lines in list(self.heard) for line in lines]

    @property
    def statuses(self) -> list[str]:
        return [line.removeprefix("STATUS=") for line in self.lines if line.startswith("STATUS=")]

    def count(self, line: str) -> int:
        return self.lines.count(line)

    def wait_for(self, line: str, count: int = 1, timeout_s: float = 60.0) -> None:
        """Wait until a line has come so many times."""
        eventually(lambda: self.count(line) >= count, timeout_s, lambda: f"{line}: {self.lines[-30:]}")

    def silent_s(self, line: str) -> float:
        """Seconds since the line came last."""
        return time.monotonic() - max(at for at, lines in list(self.heard) if line in lines)


@contextlib.contextmanager
def managing(directory: Path) -> Iterator[Manager]:
    """A service manager's socket for as long as the context lasts."""
    manager = Manager(directory / "notify")
    try:
        yield manager
    finally:
        manager.close()


class Tricks:
    """A daemon of which parts can be stopped: `worker`, `loop`, `intake`; or `restore` be slow."""

    program = (sys.executable, TRICKED)

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "tricks"
        self._directory.mkdir()
        self.environment = {"TRICKS": str(self._directory)}

    def on(self, part: str) -> None:
        (self._directory / part).touch()

    def off(self, part: str) -> None:
        (self._directory / part).unlink()
