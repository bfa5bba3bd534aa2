"""The daemon under a service manager: what it says there (sd_notify), and whether it may say that it lives.

The protocol is a datagram of `NAME=value` lines to the socket that $NOTIFY_SOCKET names; a library for it would be
longer than what it saves. Where nobody listens, nothing is sent. Why the parts are watched as they are is in decision
0022.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass

from monitor.io.mqtt.watch import Stall
from monitor.types import SECOND_NS

logger = logging.getLogger(__name__)

_SEND_S = 1.0
_STATUS_CHARACTERS = 500
_MICROSECONDS = 1_000_000


class ServiceManager:
    """Our end of the service manager's socket; without an address everything is said to nobody.

    Parameters
    ----------
    address : str, optional
        Path of the socket, or `@NAME` of an abstract one.
    watchdog_s : float, optional
        After so many seconds without a sign of life the service manager restarts us; None where it does not watch.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s if address else None
        self._address = address
        self._said = ""
        self._refused: str | None = None

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """The one that started this process. Its variables are taken out: programs that we start do not speak for us."""
        address = environment.pop("NOTIFY_SOCKET", None)
        interval_us, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        ours = pid in ("", str(os.getpid()))
        watched = ours and interval_us.isascii() and interval_us.isdigit() and int(interval_us) > 0
        if address is not None and address[:1] not in ("/", "@"):
            logger.warning("NOTIFY_SOCKET=%s: not a socket of this machine; nothing is said there", address)
            address = None
        return cls(address, int(interval_us) / _MICROSECONDS if watched else None)

    @property
    def listens(self) -> bool:
        """Whether there is a service manager that wants to know."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """Say that the start, or a reload, is over."""
        self._send("READY=1", self._status(status))

    def reloading(self, status: str) -> None:
        """Say that a reload begins; `ready` says that it is over, however it went."""
        self._send(
            "RELOADING=1",
            f"MONOTONIC_USEC={time.monotonic_ns() * _MICROSECONDS // SECOND_NS}",
            self._status(status),
        )

    def stopping(self, status: str) -> None:
        """Say that the end begins."""
        self._send("STOPPING=1", self._status(status))

    def status(self, text: str) -> None:
        """Say in a line how it stands, where that is news."""
        line = self._status(text)
        if line != self._said:
            self._send(line)

    def alive(self) -> None:
        """Give the watchdog its sign of life."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for so much time from now on, where a start or an end takes long."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * _MICROSECONDS)}")

    @staticmethod
    def _status(text: str) -> str:
        # A line break would end the value, and begin another.
        return f"STATUS={' '.join(text.split())[:_STATUS_CHARACTERS]}"

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
                end.settimeout(_SEND_S)
                end.sendto("\n".join(lines).encode(errors="replace"), address)
        except OSError as error:
            # The work goes on; whoever does not hear us acts as he must.
            if str(error) != self._refused:
                logger.warning("the service manager does not hear us at %s: %s", self._address, error)
            self._refused = str(error)
            return
        self._refused = None
        self._said = lines[-1] if lines[-1].startswith("STATUS=") else self._said


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the daemon that has to go round.

    `turns` gives what is another with every turn; `patience_s` is how long it may be the same, for a reason that is
    the part's own: an answer that may take its time.
    """

    turns: Callable[[], object]
    patience_s: float = 0.0


class Watch:
    """Looks at the parts, and says which of them stand still. It reads no clock: whoever looks says how long it is."""

    def __init__(self) -> None:
        self._stalls: dict[str, Stall] = {}

    def look(self, parts: Mapping[str, Part], elapsed_s: float) -> dict[str, float]:
        """Look `elapsed_s` after the last time; the parts that stand still, and for how long (s).

        One without patience stands still when it has not moved since the last look. One that is seen for the first
        time does not.
        """
        self._stalls = {name: self._stalls.get(name, Stall()) for name in parts}
        lasted = {name: self._stalls[name].look(part.turns(), elapsed_s) for name, part in parts.items()}
        return {name: lasted_s for name, lasted_s in lasted.items() if lasted_s > parts[name].patience_s}
