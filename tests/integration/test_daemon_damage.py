"""A store whose file is damaged under the running daemon: it ends, and the next start goes on with what is left."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from daemon_kit import (
    DaemonProcess,
    Feeder,
    Final,
    Listener,
    assert_agree,
    assert_one_content_per_id,
    chain_blocks,
    closing,
    eventually,
    processed,
    wait_for_products,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto

pytestmark = pytest.mark.broker

PAGE = 4096
BLOCKS = chain_blocks(45)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Final:
    """What `process` says of the stream."""
    directory = tmp_path_factory.mktemp("offline")
    config = write_config(directory / "offline.yaml", "mqtt://127.0.0.1:1")
    return processed(config, write_csv(directory / "chain.csv", BLOCKS))


def spoil(path: Path, *names: str) -> None:
    """Overwrite the first page of the file, and the root pages of these tables and indices."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # All is in the file then, and nothing in its log, which would go before it.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        roots = [
            connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
            for name in names
        ]
        # After a change that is not its own the daemon reads the pages that it holds in memory from the disk again.
        connection.execute("UPDATE product SET published = published WHERE row = 1")
        with path.open("r+b") as file:
            for page in (1, *roots):
                file.seek((page - 1) * PAGE)
                file.write(b"\x5a" * PAGE)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("names", "states"),
    [(("sample_by_end",), "the states of the stages"), (("state", "source"), "no states")],
    ids=["index", "states"],
)
def test_store_damaged_in_use_ends_the_daemon_and_the_next_start_loses_nothing(
    names: tuple[str, ...], states: str, tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    blocks = BLOCKS
    config = write_config(tmp_path / f"{names[0]}.yaml", mosquitto.url)
    third = len(blocks) // 3
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(blocks[:third])
        early = {key: one for key, one in expected.items() if key[1] <= "2017-09-07T08:10:00Z"}
        assert early
        wait_for_products(listener, early, daemon)
        eventually(lambda: not any(daemon.status()["queues"].values()), 10, lambda: daemon.log)
        spoil(daemon.store_path, *names)
        feeder.send(blocks[third : 2 * third])
        process = daemon.process
        assert process is not None
        eventually(lambda: process.poll() is not None, 30, lambda: daemon.log)
        assert process.returncode == 1
        assert "a restart sets it aside and goes on with what can be read of it" in daemon.log
        daemon.start()
        assert f"products, {states}" in daemon.log
        feeder.send(blocks[2 * third :])
        wait_for_products(listener, expected, daemon)
        eventually(lambda: daemon.status()["queues"]["outbox"] == 0, 10, lambda: daemon.log)
        assert daemon.stop() == 0, daemon.log
        assert_agree(listener.final, expected)
        assert_one_content_per_id(listener.documents("flr"))
        assert_agree(daemon.stored(), expected)
        assert "please report" not in daemon.log
