"""Stations that send their history at a given pace, in a process of their own.

    python crowd.py '{"port": 1883, "name": "a", "stations": ["TAR", "BRZ"], "samples": 60, "begin_s": 1504771200, "rate": 500, "duration_s": 60}'

Prints `{"messages": N}` once the broker has acknowledged every one. The messages go round the stations; a message
holds `samples` seconds (1: a single sample), and the next one of a station begins where the last ended. So N tells
which seconds of which station the broker has taken.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from monitor.types import SECOND_NS, iso_time

_TURN_S = 0.02
_IN_FLIGHT = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """Who sends what, how fast and for how long."""

    port: int
    name: str
    stations: Sequence[str]
    samples: int
    begin_s: int
    rate: float
    """Messages a second, of all stations together."""
    duration_s: float

    def topic(self, number: int) -> str:
        return f"geospace/v1/in/mag/{self.stations[number % len(self.stations)]}"

    def payload(self, number: int) -> bytes:
        first_s = self.begin_s + number // len(self.stations) * self.samples
        values = [round(20_000 + ((first_s + n) % 997) * 0.01, 2) for n in range(self.samples)]
        if self.samples == 1:
            return json.dumps({"time": iso_time(first_s * SECOND_NS), "H": values[0]}).encode()
        return json.dumps({"start": iso_time(first_s * SECOND_NS), "step_s": 1.0, "H": values}).encode()

    def samples_sent(self, messages: int) -> Counter[str]:
        """How many seconds of each station are in the first `messages`."""
        whole, more = divmod(messages, len(self.stations))
        sent: Counter[str] = Counter()
        for place, station in enumerate(self.stations):
            sent[station] += (whole + (place < more)) * self.samples
        return sent


class Crowd:
    """A process that carries a plan out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__), json.dumps(asdict(plan))], stdout=subprocess.PIPE, text=True
        )

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; return how many messages the broker has acknowledged."""
        output, _ = self._process.communicate(timeout=timeout_s)
        assert self._process.returncode == 0, "the publisher failed; its traceback is above"
        return int(json.loads(output)["messages"])

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def publish(plan: Plan) -> int:
    """Carry the plan out; return how many messages the broker has acknowledged."""
    acknowledged = 0

    def count(*_: object) -> None:
        nonlocal acknowledged
        acknowledged += 1

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"crowd-{plan.name}", clean_session=False)
    client.max_inflight_messages_set(_IN_FLIGHT)
    client.max_queued_messages_set(0)
    client.on_publish = count
    client.connect("127.0.0.1", plan.port)
    client.loop_start()
    begin, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - begin) < plan.duration_s:
        # Behind its pace it catches up, but never runs far ahead of what the broker acknowledges.
        while sent < plan.rate * elapsed and sent - acknowledged < _IN_FLIGHT:
            client.publish(plan.topic(sent), plan.payload(sent), qos=1)
            sent += 1
        time.sleep(_TURN_S)
    while acknowledged < sent:
        time.sleep(_TURN_S)
    client.disconnect()
    client.loop_stop()
    return acknowledged


if __name__ == "__main__":
    print(json.dumps({"messages": publish(Plan(**json.loads(sys.argv[1])))}))  # noqa: T201  (the answer)
