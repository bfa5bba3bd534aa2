"""Offline = replayed: `process` and `replay` through a real broker into `run` say the same of one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemon_kit import (
    LEARNED_WINDOWS,
    WINDOWS,
    DaemonProcess,
    Listener,
    assert_agree,
    assert_one_content_per_id,
    chain_blocks,
    closing,
    command,
    processed,
    wait_for_products,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto

pytestmark = pytest.mark.broker


# Two pairs each; windows end from 08:05 to 10:00, and from 08:10 to 11:00.
@pytest.mark.parametrize(
    ("windows", "minutes", "count"),
    [
        pytest.param(WINDOWS, 120, 48, id="physical", marks=pytest.mark.at_length),
        pytest.param(LEARNED_WINDOWS, 180, 36, id="learned"),
    ],
)
def test_replay_into_run_agrees_with_process_on_a_simulated_chain(
    windows: dict[str, int], minutes: int, count: int, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    archive = write_csv(tmp_path / "chain.csv", chain_blocks(minutes))
    config = write_config(tmp_path / "run.yaml", mosquitto.url, windows=windows)
    expected = processed(config, archive)
    assert len(expected) == count
    # There is something to compare.
    assert {"Freq", "NoFreq"} <= {document["label"] for document in expected.values()}
    is_learned = {document["probability"] is not None for document in expected.values()}
    assert is_learned == ({True, False} if windows is LEARNED_WINDOWS else {False})

    with closing(Listener(mosquitto.port)) as listener, DaemonProcess(config) as daemon:
        replayed = command("replay", archive, "--to", mosquitto.url, "--speed", "max", "-c", config)
        assert replayed.returncode == 0, replayed.stderr
        wait_for_products(listener, expected, daemon)
        assert daemon.stop() == 0, daemon.log
        assert_agree(listener.final, expected)
        assert_one_content_per_id(listener.documents("flr"))
        assert_agree(daemon.stored(), expected)
        assert "Traceback" not in daemon.log
