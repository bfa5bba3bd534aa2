"""Real parts for the tests of the whole path: the daemon as a process, a listener, a station that keeps trying.

The fixtures `mosquitto` and `mosquitto_at` (in `conftest.py`) give the broker.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client.parser import text_string_to_metric_families

from monitor.decoders.native import native_payload, native_topic
from monitor.io.broker import free_port
from monitor.io.store import Store
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.scenario import EMMA, quiet_day
from monitor.types import SECOND_NS, SampleBlock, iso_time

Document = dict[str, Any]
Final = dict[tuple[str, str], Document]

PROGRAM = Path(sys.executable).parent / "geospace-monitor"
ROOT = "geospace/v1"
T0_NS = 1_504_771_200 * SECOND_NS
"""2017-09-07T08:00:00Z: local morning of the simulated chain, when waves drive its resonances."""
PAIRS = ("NUR-TAR", "TAR-BRZ")
STATIONS = ("NUR", "TAR", "BRZ")
WINDOWS = {"length_s": 1800, "cadence_s": 300, "lateness_s": 120, "revise_s": 3600}
"""Short ones, for which no model was trained: many products, all of the physical estimate alone."""
LEARNED_WINDOWS = {"length_s": 7200, "cadence_s": 600}
"""Those that the bundled model knows, in quicker succession."""
KINDS = ("flr", "profile", "plasmapause", "region", "event", "health", "status")
ASIDE = frozenset({"id", "revision", "published"})


# -- samples ----------------------------------------------------------------------------------------------


def chain_blocks(minutes: int, piece_s: int = 60) -> list[SampleBlock]:
    """Samples of a short chain with resonances, in the order in which its stations would send them."""
    stations = [station for station in EMMA if station[0] in STATIONS]
    simulator = GroundSimulator(quiet_day(T0_NS, seed=3, stations=stations))
    piece_ns, end_ns = piece_s * SECOND_NS, T0_NS + minutes * 60 * SECOND_NS
    return [
        block
        for start in range(T0_NS, end_ns, piece_ns)
        for block in simulator.blocks(start, min(start + piece_ns, end_ns))
    ]


def write_csv(path: Path, blocks: Iterable[SampleBlock]) -> Path:
    """The same samples as an archive file."""
    columns: dict[str, list[np.ndarray[Any, np.dtype[np.float64]]]] = {}
    start = None
    for block in blocks:
        start = block.t0_ns if start is None else min(start, block.t0_ns)
        columns.setdefault(block.source, []).append(block.values[0])
    assert start is not None
    rows = np.stack([np.concatenate(values) for values in columns.values()], axis=1)
    lines = ["time," + ",".join(f"{code}_H" for code in columns)]
    for number, row in enumerate(rows.tolist()):
        cells = ",".join("" if value != value else repr(value) for value in row)
        lines.append(f"{iso_time(start + number * SECOND_NS)},{cells}")
    path.write_text("\n".join(lines) + "\n")
    return path


# -- the commands -----------------------------------------------------------------------------------------


def command(*arguments: object, timeout_s: float = 60.0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `geospace-monitor` to its end."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        **options,
    )


def processed(config: Path, *files: object, timeout_s: float = 60.0) -> Final:
    """Final products of `process` over the files."""
    output = config.with_suffix(".jsonl")
    done = command("process", *files, "-c", config, "-o", output, timeout_s=timeout_s)
    assert done.returncode == 0, done.stderr
    return final(json.loads(line) for line in output.read_text().splitlines())


def write_config(path: Path, url: str, **changes: object) -> Path:
    """A configuration for a daemon of its own, impatient enough for a test."""
    document: dict[str, object] = {
        "mqtt": {
            "url": url,
            "client_id": f"daemon-{path.stem}",
            "reconnect": {"initial_s": 0.1, "maximum_s": 0.3},
        },
        "inputs": [
            {"decoder": "imagmqtt", "topic": "impf/+/+/+/+"},
            {"decoder": "native", "topic": f"{ROOT}/in/#"},
        ],
        "pairs": list(PAIRS),
        "windows": WINDOWS,
        "store": {"path": str(path.with_suffix(".sqlite"))},
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "intake": {"batch_s": 0.02},
    }
    for key, value in changes.items():
        before = document.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        document[key] = {**before, **value} if both else value  # type: ignore[dict-item]  # both are mappings
    path.write_text(json.dumps(document, indent=1))  # JSON is YAML
    return path


class DaemonProcess:
    """`geospace-monitor run` as a process of its own; `end` (or the context) leaves nothing behind."""

    def __init__(
        self,
        config: Path,
        *,
        wait_for: str = "/readyz",
        environment: Mapping[str, str] | None = None,
        program: Sequence[str | Path] = (PROGRAM,),
    ):
        self.config = config
        document = json.loads(config.read_text())
        self.url = f"http://{document['http']['listen']}"
        self.store_path = Path(document["store"]["path"])
        self.log_path = config.with_suffix(".log")
        self._wait_for = wait_for
        self._program = program
        self._environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DaemonProcess:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start_unready(self) -> None:
        """Start, and wait until it is alive: it may have reasons not to be ready."""
        wanted, self._wait_for = self._wait_for, "/healthz"
        try:
            self.start()
        finally:
            self._wait_for = wanted

    def start(self) -> None:
        """Start, and wait until it answers as wanted."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._program, "run", "-c", self.config], stdout=log, stderr=log, env=self._environment
            )
        eventually(self._answers, 60.0, lambda: self.log)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return self.get(self._wait_for)[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of an answer; (0, "") where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def status(self) -> Document:
        code, body = self.get("/api/status")
        assert code == 200, body
        document: Document = json.loads(body)
        return document

    def metric(self, name: str, **labels: str) -> float | None:
        """Value of one series of /metrics, None where it is not there."""
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a power failure would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        self.process = None
        return code

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=10)
            self.process = None

    def stored(self) -> Final:
        """Final products in the store (of a daemon that does not run)."""
        assert self.process is None
        with Store.open(self.store_path, retention_ns=1 << 60, product_retention_ns=None) as store:
            return final(store.products("flr", None, 0, 1 << 62, latest_revision=False))


# -- MQTT -------------------------------------------------------------------------------------------------


class Client:
    """A paho client with its own thread and its own reconnecting, over whatever security the broker wants."""

    def __init__(
        self,
        port: int,
        *,
        name: str,
        login: tuple[str, str] | None = None,
        ca_file: Path | None = None,
        on_message: Callable[[paho.MQTTMessage], None] | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv311, clean_session=False
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(100)
        if login is not None:
            self.client.username_pw_set(*login)
        if ca_file is not None:
            self.client.tls_set(ca_certs=str(ca_file))
        self._connected = threading.Event()
        self._topics = topics
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._connected.set()
        if on_message is not None:
            self.client.on_message = lambda _client, _data, message: on_message(message)
        self.client.connect("localhost" if ca_file else "127.0.0.1", port)
        self.client.loop_start()
        assert self._connected.wait(10), "no connection to the test's broker"

    def _on_connect(self, *_arguments: object) -> None:
        if self._topics:
            self.client.subscribe([(topic, 1) for topic in self._topics])
        else:
            self._connected.set()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Feeder(Client):
    """A station that keeps what the broker has not acknowledged, and sends it again after a reconnect."""

    def __init__(self, port: int, **security: Any) -> None:
        super().__init__(port, name=f"feeder-{time.monotonic_ns()}", **security)
        self._sent: list[paho.MQTTMessageInfo] = []

    def send(self, blocks: Iterable[SampleBlock]) -> None:
        for block in blocks:
            self.publish(native_topic(block, ROOT), native_payload(block))

    def publish(self, topic: str, payload: bytes) -> None:
        self._sent.append(self.client.publish(topic, payload, qos=1))

    def flush(self) -> None:
        """Wait until the broker has all of it."""
        eventually(lambda: all(one.is_published() for one in self._sent), 20.0)
        self._sent.clear()


class Listener(Client):
    """Keeps every message below the output root: payloads by topic, in the order of arrival."""

    def __init__(self, port: int, **security: Any) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        super().__init__(
            port,
            name=f"listener-{time.monotonic_ns()}",
            topics=[f"{ROOT}/{kind}/#" for kind in KINDS],
            on_message=self._keep,
            **security,
        )

    def _keep(self, message: paho.MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload), message.retain))

    def documents(self, kind: str) -> list[Document]:
        """What came live or retained below `kind`, removals left out."""
        return [
            json.loads(payload)
            for topic, payload, _ in list(self.messages)
            if topic.startswith(f"{ROOT}/{kind}") and payload
        ]

    @property
    def final(self) -> Final:
        return final(self.documents("flr"))


@contextlib.contextmanager
def closing(client: Client) -> Iterator[Any]:
    """The client for as long as the context lasts."""
    try:
        yield client
    finally:
        client.close()


def retained(port: int, settle_s: float = 0.3, **security: Any) -> dict[str, Document]:
    """What the broker retains below the output root, by topic below it."""
    with closing(Listener(port, **security)) as listener:
        time.sleep(settle_s)
        return {
            topic.removeprefix(f"{ROOT}/"): json.loads(payload)
            for topic, payload, was_retained in list(listener.messages)
            if was_retained
        }


# -- waiting and comparing --------------------------------------------------------------------------------


def eventually(
    condition: Callable[[], bool], timeout_s: float, explain: Callable[[], str] = lambda: ""
) -> None:
    """Wait until `condition` holds; fail with what `explain` says."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s; {explain()[-3000:]}"
        time.sleep(0.05)


def final(documents: Iterable[Document]) -> Final:
    """The highest revision of each pair and time."""
    kept: Final = {}
    for document in documents:
        if not document.get("schema", "").startswith("geospace/flr/"):
            continue
        key = (document["pair"], document["time"])
        if key not in kept or kept[key]["revision"] <= document["revision"]:
            kept[key] = document
    return kept


def assert_agree(found: Final, expected: Final) -> None:
    """Agreement as the contract defines it: labels, flags and texts equal, numbers within 1e-6 relative."""
    assert found.keys() == expected.keys()
    for key, document in expected.items():
        other = found[key]
        assert other.keys() == document.keys(), key
        for name in document.keys() - ASIDE:
            assert is_equal(other[name], document[name]), (key, name, other[name], document[name])


def is_equal(a: Any, b: Any) -> bool:
    """Whether two values say the same: numbers within 1e-6 relative, all else equal."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(is_equal, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and abs(a - b) <= 1e-6 * max(abs(a), abs(b))
    return bool(a == b)


def assert_one_content_per_id(documents: Iterable[Document]) -> None:
    """No id was ever given to two contents."""
    seen: dict[str, Document] = {}
    for document in documents:
        content = {key: value for key, value in document.items() if key != "published"}
        assert seen.setdefault(document["id"], content) == content, document["id"]


def wait_for_products(
    listener: Listener, expected: Final, daemon: DaemonProcess, timeout_s: float = 30.0
) -> None:
    """Wait until every expected pair and time has come."""

    def missing() -> set[tuple[str, str]]:
        return expected.keys() - listener.final.keys()

    eventually(lambda: not missing(), timeout_s, lambda: f"missing {sorted(missing())[:5]}; {daemon.log}")
