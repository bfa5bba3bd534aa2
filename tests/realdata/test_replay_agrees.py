"""Muonio and Pello, 2010-09-08: `process` and `replay` into `run` say the same of a real file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The kit of the integration tests; pytest imports by path and leaves `sys.path` alone.
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from daemon_kit import (
    DaemonProcess,
    Listener,
    assert_agree,
    assert_one_content_per_id,
    closing,
    command,
    processed,
    wait_for_products,
    write_config,
)
from mqtt_kit import Mosquitto

ARCHIVE = (
    Path(__file__).parents[2].parent
    / "shared/data/ground/pel_muo_10s/pel_muo_2010-09-08_00-09UT_H_10s.csv.gz"
)

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.broker,
    pytest.mark.skipif(not ARCHIVE.exists(), reason=f"no measurements at {ARCHIVE}"),
]


def test_replay_into_run_agrees_with_process_on_muonio_and_pello(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    try:
        broker.start()
        config = write_config(
            tmp_path / "muo.yaml",
            broker.url,
            pairs=["MUO-PEL"],
            windows={"length_s": 7200, "cadence_s": 1800, "lateness_s": 120, "revise_s": 86400},
        )
        expected = processed(config, ARCHIVE)
        assert len(expected) == 18
        assert sum(document["label"] == "Freq" for document in expected.values()) >= 12
        with closing(Listener(broker.port)) as listener, DaemonProcess(config) as daemon:
            replayed = command("replay", ARCHIVE, "--to", broker.url, "--speed", "max", "-c", config)
            assert replayed.returncode == 0, replayed.stderr
            wait_for_products(listener, expected, daemon)
            assert daemon.stop() == 0, daemon.log
            assert_agree(listener.final, expected)
            assert_one_content_per_id(listener.documents("flr"))
            assert_agree(daemon.stored(), expected)
    finally:
        broker.kill()
