"""A station is added to a running daemon as the page says, seen where the page says, and taken out again."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from daemon_kit import (
    PAIRS,
    DaemonProcess,
    Feeder,
    chain_blocks,
    closing,
    command,
    eventually,
    retained,
    write_config,
)
from mqtt_kit import Mosquitto

from monitor.types import CLASSES, SECOND_NS, SampleBlock

# pytest imports by path and leaves `sys.path` alone; what reads the pages is with the unit tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from docs_kit import ROOT, blocks

pytestmark = pytest.mark.broker

PAGE = ROOT / "docs" / "how-to" / "add-a-station.md"
PAIR = "XYZ-TAR"
SHORT = {"length_s": 600, "cadence_s": 300}


def with_neighbour(blocks_of_chain: list[SampleBlock]) -> list[SampleBlock]:
    """The chain's samples, and the same field at the new station as at the one beside it."""
    beside = [replace(block, source="XYZ") for block in blocks_of_chain if block.source == "NUR"]
    return [*blocks_of_chain, *beside]


def labels_shown(daemon: DaemonProcess) -> list[float | None]:
    return [daemon.metric("geospace_flr_label", pair=PAIR, label=str(label)) for label in CLASSES]


def whole_label(daemon: DaemonProcess) -> bool:
    """Whether the new pair has a label of a window that lay in the station's own samples."""
    newest = daemon.status()["pairs"][PAIR]
    return newest is not None and "gap" not in newest["flags"]


def reload(daemon: DaemonProcess, pairs: set[str]) -> None:
    """What `systemctl reload` sends; wait until the daemon watches these pairs."""
    os.kill(daemon.pid, signal.SIGHUP)
    eventually(
        lambda: daemon.get("/readyz")[0] == 200 and daemon.status()["pairs"].keys() == pairs,
        60,
        lambda: daemon.log,
    )


def test_station_added_and_taken_out_as_the_page_says(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = write_config(tmp_path / "daemon.yaml", mosquitto.url, windows=SHORT)
    before = config.read_text()
    addition = yaml.safe_load(next(block.text for block in blocks(PAGE) if block.language == "yaml"))
    assert addition["pairs"] == [PAIR]
    minutes = with_neighbour(chain_blocks(27))
    half = min(block.t0_ns for block in minutes) + 12 * 60 * SECOND_NS
    with DaemonProcess(config) as daemon, closing(Feeder(mosquitto.port)) as feeder:
        feeder.send(block for block in minutes if block.t0_ns < half)
        feeder.flush()
        eventually(lambda: bool(daemon.status()["pairs"]["TAR-BRZ"]), 60, lambda: daemon.log)
        assert daemon.status()["rejected"]["native: unknown_station"] > 0

        document = json.loads(before)
        document |= {"stations": addition["stations"], "pairs": [*PAIRS, *addition["pairs"]]}
        config.write_text(json.dumps(document))
        assert command("check-config", "-c", config).returncode == 0
        reload(daemon, {*PAIRS, PAIR})
        feeder.send(block for block in minutes if block.t0_ns >= half)
        feeder.flush()
        eventually(lambda: whole_label(daemon), 60, lambda: daemon.log)
        assert sorted(labels_shown(daemon), key=str) == [0.0, 0.0, 1.0]
        assert (daemon.metric("geospace_samples_stored_total", source="XYZ") or 0.0) > 800
        assert daemon.metric("geospace_source_lag_seconds", source="XYZ") is not None
        eventually(lambda: f"flr/{PAIR}" in retained(mosquitto.port), 60, lambda: daemon.log)

        config.write_text(before)
        reload(daemon, set(PAIRS))
        eventually(lambda: f"flr/{PAIR}" not in retained(mosquitto.port), 60, lambda: daemon.log)
        assert labels_shown(daemon) == [None, None, None]
        assert "Traceback" not in daemon.log
        assert daemon.stop() == 0
        assert any(pair == PAIR for pair, _ in daemon.stored()), "what was stored of it stays"
