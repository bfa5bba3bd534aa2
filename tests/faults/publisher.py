"""A publisher that never gives up, and knows of every message when it was sent and when the broker took it.

It has a persistent session at QoS 1 and keeps what the broker has not acknowledged, so that whatever is missing in the
end was lost behind the broker's acknowledgement. It knows nothing of what it sends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

T = TypeVar("T")

_PATIENCE_S = 60.0
_IN_FLIGHT = 200


@dataclass(slots=True)
class Entry(Generic[T]):
    """One message in the ledger; times are monotonic seconds, and `accepted_s` is None until the broker has it."""

    about: T
    sent_s: float
    accepted_s: float | None = None


class Publisher(Generic[T]):
    """Publishes at a set rate, in order, from a thread of its own.

    Parameters
    ----------
    port : int
        Of the broker on loopback.
    name : str
        Client id.
    """

    def __init__(self, port: int, name: str = "chaos-publisher") -> None:
        self.ledger: list[Entry[T]] = []
        self._pending: dict[int, Entry[T]] = {}
        self._early: dict[int, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv311, clean_session=False
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.max_queued_messages_set(0)
        self._client.max_inflight_messages_set(_IN_FLIGHT)
        self._client.on_publish = lambda _client, _data, mid, *_: self._accepted(mid)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the flow, and disconnect."""
        self.finish_flow(give_up=True)
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, about: T) -> None:
        """Send one message, which the ledger knows as `about`; it waits here while the broker is away."""
        entry = Entry(about, time.monotonic())
        self.ledger.append(entry)
        message = self._client.publish(topic, payload, qos=1)
        with self._lock:
            accepted_s = self._early.pop(message.mid, None)
            if accepted_s is None:
                self._pending[message.mid] = entry
            else:
                entry.accepted_s = accepted_s

    def flow(self, messages: Iterable[tuple[str, bytes, T]], per_second: float) -> None:
        """Begin to publish the messages at this rate; returns at once."""
        assert self._thread is None, "one flow at a time"
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._run, args=(messages, per_second), name="flow", daemon=True
        )
        self._thread.start()

    @property
    def flows(self) -> bool:
        """Whether messages of the flow are still to be sent."""
        return self._thread is not None and self._thread.is_alive()

    def finish_flow(self, *, give_up: bool = False) -> None:
        """Wait until the flow has ended by itself, or end it here."""
        if self._thread is not None:
            if give_up:
                self._stop.set()
            self._thread.join()
            self._thread = None

    def flush(self, timeout_s: float = _PATIENCE_S) -> None:
        """Wait until the broker has acknowledged everything; AssertionError where it does not."""
        deadline = time.monotonic() + timeout_s
        while self.waiting:
            assert time.monotonic() < deadline, f"{self.waiting} messages are not acknowledged"
            time.sleep(0.02)

    @property
    def waiting(self) -> int:
        """Messages that the broker has not acknowledged."""
        with self._lock:
            return len(self._pending)

    def _run(self, messages: Iterable[tuple[str, bytes, T]], per_second: float) -> None:
        begun = time.monotonic()
        for number, (topic, payload, about) in enumerate(messages):
            # By the clock and not by pauses: what a busy machine made late is caught up with.
            if (early_s := begun + number / per_second - time.monotonic()) > 0 and self._stop.wait(early_s):
                return
            if self._stop.is_set():
                return
            self.publish(topic, payload, about)

    def _accepted(self, mid: int) -> None:
        now = time.monotonic()
        with self._lock:
            entry = self._pending.pop(mid, None)
            if entry is None:
                self._early[mid] = now  # the answer came before `publish` returned
            else:
                entry.accepted_s = now
