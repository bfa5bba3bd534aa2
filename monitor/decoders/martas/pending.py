"""Data that came before their meta: kept as they came, within bounds, the oldest given up first."""

from __future__ import annotations

from collections import deque
from typing import Final

from monitor.types import Json, Message

MOST_MESSAGES: Final = 300
MOST_BYTES: Final = 128 * 1024
MOST_BYTES_IN_ALL: Final = 512 * 1024
"""Of one sensor, and of all together: meta comes with the first message, and with every tenth."""


class Pending:
    """Messages by sensor, in the order of arrival."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Message]] = {}
        self._bytes: dict[str, int] = {}

    def keep(self, sensor: str, message: Message) -> int:
        """Keep a message; return how many had to be given up for it."""
        queue = self._waiting.setdefault(sensor, deque())
        queue.append(message)
        self._bytes[sensor] = self._bytes.get(sensor, 0) + len(message.payload)
        given_up = 0
        while len(queue) > MOST_MESSAGES or (self._bytes[sensor] > MOST_BYTES and len(queue) > 1):
            self._drop(sensor)
            given_up += 1
        while sum(self._bytes.values()) > MOST_BYTES_IN_ALL:
            self._drop(min(self._waiting, key=lambda name: self._waiting[name][0].received_ns))
            given_up += 1
        return given_up

    def take(self, sensor: str) -> list[Message]:
        """The messages that waited of a sensor; they wait no longer."""
        self._bytes.pop(sensor, None)
        return list(self._waiting.pop(sensor, ()))

    def _drop(self, sensor: str) -> None:
        queue = self._waiting[sensor]
        self._bytes[sensor] -= len(queue.popleft().payload)
        if not queue:
            del self._waiting[sensor], self._bytes[sensor]

    def snapshot(self) -> Json:
        """The messages as JSON, by sensor: the payloads are text."""
        return {
            sensor: [[one.topic, one.payload.decode("ascii"), one.received_ns] for one in queue]
            for sensor, queue in self._waiting.items()
        }

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave."""
        for sensor, messages in state.items():
            for topic, text, received_ns in messages:
                self.keep(sensor, Message(topic, text.encode("ascii"), int(received_ns)))
