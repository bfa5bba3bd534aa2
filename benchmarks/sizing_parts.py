"""What `sizing.py` measures with: a case's stations and spacecraft, their messages, and the two programs as processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from monitor.decoders.base import parse_time_ns
from monitor.decoders.native import native_payload, native_topic
from monitor.io.broker import find_mosquitto, free_port, mosquitto_config
from monitor.science.synthetic.craft.shadow import ShadowCraft
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.scenario import EMMA, quiet_day
from monitor.stations import load_station_table
from monitor.types import SECOND_NS, SampleBlock

ROOT = "geospace/v1"
BEGIN_NS = 1_504_742_400 * SECOND_NS  # 2017-09-07T00:00:00Z
MINUTE_NS, HOUR_NS = 60 * SECOND_NS, 3600 * SECOND_NS
PATIENCE_S = 900.0
AT_ONCE = 10_000
"""Messages that wait in the publisher; it takes 65535."""
LINKS = len(EMMA) - 1
"""Pairs of a chain."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Case:
    """So many pairs, in chains of seven with eight stations each, or so many spacecraft; and for how long."""

    pairs: int
    craft: int
    hours: int

    @property
    def name(self) -> str:
        return f"{self.pairs} pairs" if self.pairs else f"{self.craft} spacecraft"

    @property
    def chains(self) -> dict[str, list[str]]:
        """Pairs by chain; the last one may be shorter."""
        whole, rest = divmod(self.pairs, LINKS)
        lengths = [LINKS] * whole + ([rest] if rest else [])
        return {
            f"chain{n}": [f"{station(n, i)}-{station(n, i + 1)}" for i in range(length)]
            for n, length in enumerate(lengths)
        }

    @property
    def stations(self) -> list[tuple[str, int]]:
        """Codes, and which of the simulated stations each repeats."""
        return [
            (station(n, i), i) for n, chain in enumerate(self.chains.values()) for i in range(len(chain) + 1)
        ]

    @property
    def sources(self) -> int:
        return len(self.stations) or self.craft

    @property
    def ids(self) -> list[str]:
        return [f"C{number:02d}" for number in range(self.craft)]


def station(chain: int, number: int) -> str:
    """Code of a station."""
    return f"S{chain:03d}{number}"


def place(which: int) -> dict[str, object]:
    """What the configuration says of a copy of one of the simulated stations."""
    original = load_station_table()[EMMA[which][0]]
    return {
        "latitude": original.latitude_deg,
        "longitude": original.longitude_deg,
        "l_shell": EMMA[which][1],
        "axes": "magnetic",
    }


# -- what is sent ---------------------------------------------------------------------------------------------


class Feed:
    """The messages of a case: a minute of each source in each. Copies of a station share their payload."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._ground = GroundSimulator(quiet_day(BEGIN_NS, seed=3))
        self._craft = ShadowCraft()

    def hour(self, number: int) -> Iterator[tuple[str, bytes]]:
        for minute in range(60):
            begin_ns = BEGIN_NS + number * HOUR_NS + minute * MINUTE_NS
            if self._case.pairs:
                payloads = [
                    native_payload(with_others(one))
                    for one in self._ground.blocks(begin_ns, begin_ns + MINUTE_NS)
                ]
                for code, which in self._case.stations:
                    yield f"{ROOT}/in/mag/{code}", payloads[which]
            for block in self._craft.blocks(begin_ns, begin_ns + MINUTE_NS) if self._case.craft else ():
                payload = native_payload(block)
                for craft in self._case.ids:
                    yield native_topic(replace(block, source=craft), ROOT), payload


def with_others(block: SampleBlock) -> SampleBlock:
    """H with the E and Z that stations send beside it."""
    h_nT = block.values[0].round(3)
    return replace(
        block, components=("H", "E", "Z"), values=np.stack([h_nT, (0.3 * h_nT).round(3), h_nT + 40_000.0])
    )


@dataclass(slots=True)
class Line:
    """A client that publishes at QoS 1, and counts what goes in and what comes out."""

    port: int
    in_bytes: int = 0
    out_bytes: int = 0
    _client: paho.Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="sizing")
        self._client.max_inflight_messages_set(1000)
        self._client.on_message = lambda _client, _data, message: self._count(message)
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        self._client.subscribe(
            [
                (f"{ROOT}/{kind}/#", 1)
                for kind in ("flr", "profile", "plasmapause", "region", "event", "health")
            ]
        )

    def _count(self, message: paho.MQTTMessage) -> None:
        if not message.retain:
            self.out_bytes += on_the_wire(message.topic, message.payload)

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish them all, and wait until the broker has them."""
        for first in range(0, len(messages), AT_ONCE):
            sent = []
            for topic, payload in messages[first : first + AT_ONCE]:
                self.in_bytes += on_the_wire(topic, payload)
                sent.append(self._client.publish(topic, payload, qos=1))
            for one in sent:
                one.wait_for_publish()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def on_the_wire(topic: str, payload: bytes) -> int:
    """Bytes of a message at QoS 1 with its acknowledgement, without TCP/IP (40 bytes a packet) and TLS (some 30)."""
    return len(topic) + len(payload) + 3 + 2 + 2 + 4


# -- processes ------------------------------------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """CPU time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_bytes(pid: int, name: str = "VmRSS") -> int:
    """Resident memory; `VmHWM` is its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {name} of process {pid}")


@dataclass(frozen=True, slots=True)
class Broker:
    """A Mosquitto that runs."""

    pid: int
    port: int


@contextmanager
def mosquitto(directory: Path) -> Iterator[Broker]:
    """A Mosquitto with the shipped settings, for as long as the context lasts."""
    program, port, config = find_mosquitto(), free_port(), directory / "mosquitto.conf"
    assert program is not None
    config.write_text(mosquitto_config(directory, port))
    with subprocess.Popen([program, "-c", config], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.perf_counter() + PATIENCE_S
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                if time.perf_counter() > deadline:
                    raise RuntimeError("mosquitto does not answer")
                time.sleep(0.05)
            yield Broker(process.pid, port)
        finally:
            process.terminate()


class Daemon:
    """`geospace-monitor run` with the defaults."""

    def __init__(self, directory: Path, case: Case, url: str) -> None:
        self.store = directory / "monitor.sqlite"
        self._log = (directory / "log").open("ab")
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        l_shells = [l_shell for _, l_shell in EMMA]
        pairs = [
            f"{pair}:{(l_shells[i] + l_shells[i + 1]) / 2:.3f}"
            for chain in case.chains.values()
            for i, pair in enumerate(chain)
        ]
        document = {
            "mqtt": {"url": url, "silence_s": 0},
            "stations": {code: place(which) for code, which in case.stations},
            "pairs": pairs,
            "chains": case.chains,
            "craft": case.ids,
            "store": {"path": str(self.store)},
            "http": {"listen": f"127.0.0.1:{port}"},
            "log": {"level": "warning"},
        }
        self._config = directory / "config.json"
        self._config.write_text(json.dumps(document))
        self.process: subprocess.Popen[bytes]

    def start(self) -> tuple[float, float]:
        """Start it; seconds until it was ready, and CPU seconds."""
        begin = time.perf_counter()
        command = [sys.executable, "-m", "monitor", "run", "-c", str(self._config)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=environment)
        while self.get("/readyz") is None:
            if self.process.poll() is not None or time.perf_counter() - begin > PATIENCE_S:
                raise RuntimeError(f"the daemon is not ready: {Path(self._log.name).read_text()[-2000:]}")
            time.sleep(0.02)
        return time.perf_counter() - begin, cpu_s(self.process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.process.kill()
        self.process.wait(60)
        self._log.close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)

    def get(self, path: str) -> Any:
        """An answer's JSON, None where it is none or not 200."""
        try:
            with urllib.request.urlopen(self._url + path, timeout=60) as answer:
                return json.load(answer)
        except (OSError, urllib.error.HTTPError):
            return None

    def wait_for(self, end_ns: int) -> None:
        """Until every pair or spacecraft has its product of the windows that end by then."""
        deadline = time.perf_counter() + PATIENCE_S
        while True:
            status = self.get("/api/status") or {}
            products = [*status.get("pairs", {}).values(), *status.get("regions", {}).values()]
            times = [parse_time_ns(one["time"]) if one else 0 for one in products]
            if times and min(times) >= end_ns and not any(status["queues"].values()):
                return
            if time.perf_counter() > deadline:
                raise RuntimeError(f"products do not come: {Path(self._log.name).read_text()[-2000:]}")
            time.sleep(0.1)
