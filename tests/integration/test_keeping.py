"""`backup` and `export` beside a running daemon, and what can be done with what they give."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemon_kit import (
    STATIONS,
    DaemonProcess,
    Feeder,
    assert_agree,
    chain_blocks,
    closing,
    command,
    eventually,
    processed,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto

from monitor.types import iso_time

pytestmark = pytest.mark.broker


def has_come_to(daemon: DaemonProcess, time: str) -> bool:
    """Whether all stations have come so far, and nothing waits."""
    status = daemon.status()
    clocks = [source["last_sample"] for source in status["sources"].values()]
    return clocks == [time] * len(STATIONS) and not any(status["queues"].values())


def test_backup_and_export_of_a_running_daemon_give_its_products_again(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    blocks = chain_blocks(30)
    config = write_config(tmp_path / "daemon.yaml", mosquitto.url)
    offline = write_config(tmp_path / "offline.yaml", "mqtt://127.0.0.1:1")
    expected = processed(offline, write_csv(tmp_path / "chain.csv", blocks))
    half, last = len(blocks) // 2, iso_time(blocks[-1].end_ns)
    with DaemonProcess(config) as daemon, closing(Feeder(mosquitto.port)) as feeder:
        feeder.send(blocks[:half])
        feeder.flush()
        eventually(lambda: not any(daemon.status()["queues"].values()), 20, lambda: daemon.log)
        copy = tmp_path / "copy.sqlite"
        done = command("backup", "-c", config, "-o", copy)
        assert done.returncode == 0, done.stderr
        feeder.send(blocks[half:])
        feeder.flush()
        eventually(lambda: has_come_to(daemon, last), 30, lambda: daemon.log)
        assert (daemon.metric("geospace_store_bytes") or 0.0) > 4096
        assert (daemon.metric("geospace_store_free_bytes") or 0.0) > 0
        folder = tmp_path / "tables"
        done = command("export", "samples", "flr", "-c", config, "-o", folder, "--format", "csv")
        assert done.returncode == 0, done.stderr
        assert daemon.process is not None
        assert daemon.process.poll() is None
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log
    # The exported samples are an archive that says the same.
    assert_agree(processed(offline, *sorted(folder.glob("*_1s.csv"))), expected)
    # The backup is a store that a daemon goes on from; the rest comes from the archive.
    restored = write_config(tmp_path / "restored.yaml", mosquitto.url)
    copy.rename(restored.with_suffix(".sqlite"))
    with DaemonProcess(restored) as daemon:
        done = command(
            "replay", *sorted(folder.glob("*_1s.csv")), "--to", mosquitto.url, "--speed", "max", timeout_s=60
        )
        assert done.returncode == 0, done.stderr
        eventually(lambda: has_come_to(daemon, last), 30, lambda: daemon.log)
        assert daemon.stop() == 0, daemon.log
        stored = daemon.stored()
        assert_agree({key: stored[key] for key in expected}, expected)
