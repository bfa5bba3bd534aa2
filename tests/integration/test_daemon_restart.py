"""A daemon that is stopped or killed in mid-stream says in the end what one that ran through says."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from daemon_kit import (
    LEARNED_WINDOWS,
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

from monitor.types import SampleBlock

pytestmark = pytest.mark.broker

BLOCKS = chain_blocks(100)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Final:
    """What `process` says of the stream."""
    return offline(tmp_path_factory.mktemp("offline"), BLOCKS)


def offline(directory: Path, blocks: Sequence[SampleBlock], **changes: object) -> Final:
    config = write_config(directory / "offline.yaml", "mqtt://127.0.0.1:1", **changes)
    return processed(config, write_csv(directory / "chain.csv", blocks))


@pytest.mark.parametrize("how", [pytest.param("SIGTERM", marks=pytest.mark.at_length), "SIGKILL"])
def test_restarts_in_mid_stream_give_the_products_of_an_uninterrupted_run(
    how: str, tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / f"{how}.yaml", mosquitto.url)
    interrupted(how, config, mosquitto, BLOCKS, expected)


def test_killed_learned_chain_gives_the_products_of_an_uninterrupted_run(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    blocks = chain_blocks(180)
    expected = offline(tmp_path, blocks, windows=LEARNED_WINDOWS)
    judged = [document for document in expected.values() if document["probability"] is not None]
    assert len(judged) >= 8
    assert all(document["track_probability"] is not None for document in expected.values())
    config = write_config(tmp_path / "learned.yaml", mosquitto.url, windows=LEARNED_WINDOWS)
    interrupted("SIGKILL", config, mosquitto, blocks, expected)


def interrupted(
    how: str, config: Path, mosquitto: Mosquitto, blocks: Sequence[SampleBlock], expected: Final
) -> None:
    """Stop a daemon three times in the stream, and compare what was said in the end."""
    rng = random.Random(how)
    pieces = 4
    size = len(blocks) // pieces
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        for piece in range(pieces):
            last = piece == pieces - 1
            feeder.send(blocks[piece * size :] if last else blocks[piece * size : (piece + 1) * size])
            if last:
                break
            # Anywhere between the first message of the piece and its products.
            time.sleep(rng.uniform(0.0, 0.25))
            if how == "SIGTERM":
                assert daemon.stop() == 0, daemon.log
            else:
                daemon.kill()
            # What comes while nobody is there waits at the broker.
            daemon.start()
        wait_for_products(listener, expected, daemon)
        eventually(lambda: daemon.status()["queues"]["outbox"] == 0, 5, lambda: daemon.log)
        assert daemon.stop() == 0, daemon.log
        assert_agree(listener.final, expected)
        assert_one_content_per_id(listener.documents("flr"))
        assert_agree(daemon.stored(), expected)
        assert "Traceback" not in daemon.log


def test_windows_that_are_configured_otherwise_are_built_again_from_the_stored_samples(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / "windows.yaml", mosquitto.url)
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        half = len(BLOCKS) // 2
        feeder.send(BLOCKS[:half])
        wait_for_products(
            listener, {key: one for key, one in expected.items() if key[1] <= "2017-09-07T08:45"}, daemon
        )
        assert daemon.stop() == 0
        config.write_text(config.read_text().replace('"cadence_s": 300', '"cadence_s": 600'))
        daemon.start()
        feeder.send(BLOCKS[half:])
        wanted = {key: one for key, one in expected.items() if int(key[1][14:16]) % 10 == 0}
        wait_for_products(listener, wanted, daemon)
        assert daemon.stop() == 0
        later = {key for key in listener.final if key[1] > "2017-09-07T08:50:00Z"}
        assert later == {key for key in wanted if key[1] > "2017-09-07T08:50:00Z"}
        assert_one_content_per_id(listener.documents("flr"))
        # What is the same under both configurations was not said twice (but for `valid_until`, which is no content).
        assert all(listener.final[key]["revision"] == 0 for key in wanted)


def test_state_that_cannot_be_read_is_built_again_and_nothing_is_said_twice(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / "state.yaml", mosquitto.url)
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        half = len(BLOCKS) // 2
        feeder.send(BLOCKS[:half])
        wait_for_products(
            listener, {key: one for key, one in expected.items() if key[1] <= "2017-09-07T08:45"}, daemon
        )
        assert daemon.stop() == 0
        connection = sqlite3.connect(daemon.store_path)
        with connection:
            connection.execute("UPDATE state SET json = replace(json, '\"version\":1', '\"version\":99')")
        connection.close()
        daemon.start()
        assert "it is built again from the stored samples" in daemon.log
        feeder.send(BLOCKS[half:])
        wait_for_products(listener, expected, daemon)
        assert daemon.stop() == 0
        assert_agree(listener.final, expected)
        assert_one_content_per_id(listener.documents("flr"))
        assert {document["revision"] for document in listener.documents("flr")} == {0}
        assert "Traceback" not in daemon.log
