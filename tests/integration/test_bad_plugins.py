"""Plugins that raise, hang, die or talk nonsense, in a real daemon: what it publishes is as it is without them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import (
    ROOT,
    Client,
    DaemonProcess,
    Feeder,
    Listener,
    assert_agree,
    chain_blocks,
    closing,
    command,
    eventually,
    final,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto

pytestmark = pytest.mark.broker

MINUTES = 45
MODULE = Path(__file__).parents[1] / "unit" / "foreign_plugins.py"
POINTS = """
[geospace_monitor.decoders]
lines = foreign_plugins:Lines
stuck = foreign_plugins:Lines
[geospace_monitor.stages]
means = foreign_plugins:Means
[geospace_monitor.sources]
counting = foreign_plugins:Counting
[geospace_monitor.sinks]
filing = foreign_plugins:Filing
"""
STAGES = {
    "means": {},
    "raising_stage": {"plugin": "means", "kind": "a", "does": "raise"},
    "nonsense_stage": {"plugin": "means", "kind": "b", "does": "product"},
    "stuck_stage": {"plugin": "means", "kind": "c", "does": "sleep"},
}
PLUGINS = {
    **STAGES,
    "raising_source": {"plugin": "counting", "does": "raise"},
    "stuck_source": {"plugin": "counting", "does": "sleep"},
    "filing": {},
    "dying_sink": {"plugin": "filing", "does": "vanish"},
}
BAD_MESSAGES = ("raise", "text", "objects", "block", "segfault", "nothing")
IMPATIENT = {"answer_s": 2.0, "write_s": 2.0, "restarts": 1}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution that is not ours, where programs that the test begins find it."""
    folder = tmp_path / "site"
    about = folder / "foreign-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    shutil.copy(MODULE, folder)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return folder


class Means(Client):
    """Hears the objects of the good stage."""

    def __init__(self, port: int) -> None:
        self.said: dict[str, Any] = {}
        super().__init__(port, name="means", on_message=self._keep, topics=[f"{ROOT}/mean/#"])

    def _keep(self, message: Any) -> None:
        document = json.loads(message.payload)
        del document["published"]
        self.said[f"{message.topic} {document['time']}"] = document


def offline(config: Path, csv: Path) -> list[Any]:
    """What `process` writes."""
    output = config.with_suffix(".jsonl")
    done = command("process", csv, "-c", config, "-o", output)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in output.read_text().splitlines()]


@pytest.fixture
def expected(tmp_path: Path, mosquitto: Mosquitto, installed: Path) -> Iterator[tuple[Any, Any]]:
    """The products of a run without any of them but the good stage: the labels, and what that says."""
    csv = write_csv(tmp_path / "chain.csv", chain_blocks(MINUTES))
    alone = write_config(tmp_path / "alone.json", mosquitto.url, plugins={"means": {}})
    documents = offline(alone, csv)
    means = {}
    for document in documents:
        if "mean_nT" in document:
            del document["published"]
            means[document["time"], document["mean_nT"]] = document
    return final(documents), means


def test_products_are_as_they_are_without_bad_plugins_and_status_names_each(
    tmp_path: Path, mosquitto: Mosquitto, expected: tuple[Any, Any]
) -> None:
    labels, means = expected
    config = write_config(
        tmp_path / "daemon.json",
        mosquitto.url,
        inputs=[
            {"decoder": "native", "topic": f"{ROOT}/in/#"},
            {"decoder": "lines", "topic": "lines/+"},
            {"decoder": "stuck", "topic": "stuck/+"},
        ],
        plugins=PLUGINS,
        isolation=IMPATIENT,
    )
    with (
        DaemonProcess(config, wait_for="/healthz") as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Means(mosquitto.port)) as heard,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        eventually(lambda: daemon.status()["mqtt_connected"], 60.0, lambda: daemon.log)
        blocks = chain_blocks(MINUTES)
        for place, block in enumerate(blocks):
            if place % 20 == 0:
                # Between the samples, and not before them: each costs one message, and no other.
                feeder.publish("stuck/1", b"!sleep")
                feeder.publish("lines/1", f"!{BAD_MESSAGES[place // 20 % len(BAD_MESSAGES)]}".encode())
                feeder.publish("lines/1", b"XYZ,2017-09-07T08:00:00Z,1.0")
            feeder.send([block])
        feeder.flush()
        eventually(lambda: listener.final.keys() >= labels.keys(), 90.0, lambda: daemon.log)
        eventually(lambda: len(heard.said) >= len(means), 30.0, lambda: daemon.log)
        assert_agree({key: listener.final[key] for key in labels}, labels)
        assert {(one["time"], one["mean_nT"]): one for one in heard.said.values()} == means
        eventually(lambda: states(daemon)["stuck_source"] == "off", 60.0, lambda: daemon.log)
        eventually(lambda: states(daemon)["dying_sink"] == "off", 60.0, lambda: daemon.log)
        assert_named(daemon)
        written = tmp_path / "plugins" / "filing"
        eventually(
            lambda: sum(b'"mean_nT"' in one.read_bytes() for one in written.iterdir()) == len(means),
            30.0,
            lambda: daemon.log,
        )
        pids = children(daemon.pid)
        assert pids
        daemon.kill()
        # No process of a plugin outlives the daemon, however that ends.
        eventually(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids), 10.0)


def test_plugin_that_is_off_is_begun_again_by_a_reload(
    tmp_path: Path, mosquitto: Mosquitto, installed: Path
) -> None:
    inputs = [{"decoder": "native", "topic": f"{ROOT}/in/#"}, {"decoder": "stuck", "topic": "stuck/+"}]
    config = write_config(
        tmp_path / "reload.json", mosquitto.url, inputs=inputs, isolation={"answer_s": 1.0, "restarts": 0}
    )
    with DaemonProcess(config) as daemon, closing(Feeder(mosquitto.port)) as feeder:
        (first,) = children(daemon.pid)
        feeder.publish("stuck/1", b"!sleep")
        eventually(lambda: states(daemon)["stuck"] == "off", 30.0, lambda: daemon.log)
        assert children(daemon.pid) == []
        os.kill(daemon.pid, signal.SIGHUP)
        eventually(lambda: states(daemon).get("stuck") == "running", 60.0, lambda: daemon.log)
        eventually(lambda: len(children(daemon.pid)) == 1, 10.0)
        (second,) = children(daemon.pid)
        assert second != first
        assert daemon.stop() == 0
        eventually(lambda: not Path(f"/proc/{second}/cmdline").exists(), 10.0)


def assert_named(daemon: DaemonProcess) -> None:
    """The status, the metrics and the counters tell of each bad plugin, and of no good one."""
    found = states(daemon)
    assert found == {
        "native": "running",
        "lines": found["lines"],
        "stuck": "off",
        "means": "running",
        "raising_stage": "failed",
        "nonsense_stage": "failed",
        "stuck_stage": "off",
        "raising_source": "failed",
        "stuck_source": "off",
        "filing": "running",
        "dying_sink": "off",
    }
    status = daemon.status()
    reasons = {name: page["reason"] for name, page in status["plugins"].items()}
    assert "not today (foreign_plugins.py" in reasons["raising_stage"]
    assert "product" in reasons["nonsense_stage"].lower()
    assert "no answer within 2 s" in reasons["stuck_stage"]
    assert "held up its loop" in reasons["stuck_source"]
    assert "exit code 0" in reasons["dying_sink"]
    assert any("stuck_stage" in reason for reason in status["reasons"])
    rejected = status["rejected"]
    assert rejected["stuck: decoder_failed"] == 2
    assert rejected["stuck: decoder_off"] > 0
    assert rejected["lines: decoder_failed"] > 0
    # It was asked again after each, and what it gave for good messages came as far as any other.
    assert rejected["lines: unknown_station"] > 0
    assert daemon.metric("geospace_plugin_up", plugin="stuck_stage", kind="stage") == 0.0
    assert (
        daemon.metric("geospace_plugin_failures_total", plugin="raising_stage", kind="stage") or 0.0
    ) > 0.0
    assert (daemon.metric("geospace_plugin_failures_total", plugin="lines", kind="decoder") or 0.0) > 0.0
    assert daemon.metric("geospace_plugin_up", plugin="means", kind="stage") == 1.0


def states(daemon: DaemonProcess) -> dict[str, str]:
    return {name: page["state"] for name, page in daemon.status()["plugins"].items()}


def children(pid: int) -> list[int]:
    """The processes that a process has begun, in any of its threads."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(one) for one in path.read_text().split()]
    return found
