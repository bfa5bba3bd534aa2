"""A full, protected or vanished disk: nothing is acknowledged that is not stored, the rest goes on, and it recovers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
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
    command,
    eventually,
    processed,
    wait_for_products,
    write_config,
    write_csv,
)
from disk import SmallDisk
from mqtt_kit import Mosquitto
from vitals import total

from monitor.types import SampleBlock

DISK_MB = 24
FULL = "the disk is full; free space there, or lower store.retention_h"

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    small = SmallDisk(tmp_path / "disk", DISK_MB)
    yield small
    small.end()


def configured(tmp_path: Path, disk: SmallDisk, broker: Mosquitto) -> Path:
    return write_config(tmp_path / "disk.json", broker.url, store={"path": str(disk.path / "monitor.sqlite")})


def reasons(daemon: DaemonProcess) -> str:
    """Why it is not ready; nothing where it is."""
    code, body = daemon.get("/readyz")
    return "" if code == 200 else body


def stored(daemon: DaemonProcess) -> float:
    return total(daemon.get("/metrics")[1], "geospace_samples_stored_total")


def send_until_degraded(feeder: Feeder, daemon: DaemonProcess, blocks: list[SampleBlock]) -> int:
    """Send block by block until the daemon says that the disk is full; return how many that took.

    The log of the database has some room of its own, which it uses up first.
    """
    for count, block in enumerate(blocks, 1):
        feeder.send([block])
        feeder.flush()
        if FULL in reasons(daemon):
            return count
    eventually(lambda: FULL in reasons(daemon), 20.0, lambda: daemon.log)
    return len(blocks)


def assert_held(feeder: Feeder, daemon: DaemonProcess, blocks: list[SampleBlock]) -> None:
    """While the disk is full what is sent is neither stored nor acknowledged, and HTTP answers."""
    eventually(
        lambda: "samples cannot be stored" in reasons(daemon) or held_back(daemon), 20.0, lambda: daemon.log
    )
    before = stored(daemon)
    feeder.send(blocks)
    feeder.flush()
    eventually(lambda: held_back(daemon) and FULL in reasons(daemon), 20.0, lambda: daemon.log)
    assert stored(daemon) == before
    assert daemon.get("/healthz")[0] == 200
    assert daemon.status()["state"] == "degraded"


def held_back(daemon: DaemonProcess) -> bool:
    """Whether messages have come that are not acknowledged."""
    return int(daemon.status()["queues"]["unacknowledged"]) > 0


def check_products(daemon: DaemonProcess, listener: Listener, expected: Final) -> None:
    """In the end everything is there, as if nothing had been."""
    wait_for_products(listener, expected, daemon, 90.0)
    eventually(lambda: daemon.status()["queues"]["outbox"] == 0, 20.0, lambda: daemon.log)
    assert_one_content_per_id(listener.documents("flr"))
    assert daemon.stop() == 0, daemon.log
    assert_agree(daemon.stored(), expected)


def test_disk_that_is_full_at_random_instants_loses_nothing(
    disk: SmallDisk,
    mosquitto: Mosquitto,
    tmp_path: Path,
    of_scale: Callable[[int, int], int],
    chance: random.Random,
    found: Callable[..., None],
) -> None:
    rounds = of_scale(2, 30)
    blocks = chain_blocks(of_scale(60, 360))
    config = configured(tmp_path, disk, mosquitto)
    expected = processed(config, write_csv(tmp_path / "chain.csv", blocks))
    kills, ahead = 0, 4
    # In each round some blocks go well, some fill the log of the database, and some wait.
    share = len(blocks) // (rounds + 1)
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        sent = 0
        for number in range(rounds):
            well = sent + chance.randrange(share - 2 * ahead)
            feeder.send(blocks[sent:well])
            disk.fill()
            sent = well + send_until_degraded(feeder, daemon, blocks[well:])
            assert_held(feeder, daemon, blocks[sent : sent + ahead])
            sent += ahead
            if number % 3 == 0:
                # Nor does a power failure help, nor a service that is started again and again.
                daemon.kill()
                kills += 1
                daemon.start_unready()
                eventually(lambda: FULL in reasons(daemon), 60.0, lambda: daemon.log)
            disk.free()
            eventually(lambda: reasons(daemon) == "", 60.0, lambda: daemon.log)
        feeder.send(blocks[sent:])
        check_products(daemon, listener, expected)
    found(rounds=rounds, kills=kills, products=len(expected), log_lines=len(daemon.log.splitlines()))
    assert len(daemon.log.splitlines()) < 30 + 15 * rounds


def test_start_on_a_full_disk_says_so_and_ends(disk: SmallDisk, mosquitto: Mosquitto, tmp_path: Path) -> None:
    config = configured(tmp_path, disk, mosquitto)
    disk.fill()
    done = command("run", "-c", config)
    assert done.returncode == 1
    assert "monitor.sqlite" in done.stderr.splitlines()[-1]
    assert "full" in done.stderr.splitlines()[-1] or "No space left" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_disk_without_room_for_the_log_of_the_store_degrades_and_recovers(
    disk: SmallDisk, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    config = configured(tmp_path, disk, mosquitto)
    blocks = chain_blocks(40)
    expected = processed(config, write_csv(tmp_path / "chain.csv", blocks))
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(blocks[:60])
        disk.fill(left_bytes=1 << 16)  # room for a few commits, none for a checkpoint
        sent = 60 + send_until_degraded(feeder, daemon, blocks[60:-4])
        disk.free()
        feeder.send(blocks[sent:])
        check_products(daemon, listener, expected)


def test_disk_that_becomes_read_only_degrades_and_recovers(
    disk: SmallDisk, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """What is open may still be written to on some systems; whatever is not stored is not acknowledged."""
    config = configured(tmp_path, disk, mosquitto)
    blocks = chain_blocks(30)
    expected = processed(config, write_csv(tmp_path / "chain.csv", blocks))
    with closing(Listener(mosquitto.port)) as listener, closing(Feeder(mosquitto.port)) as feeder:
        with DaemonProcess(config) as daemon:
            feeder.send(blocks[:30])
            feeder.flush()
            eventually(lambda: stored(daemon) >= 30 * 60, 30.0, lambda: daemon.log)
            daemon.kill()
        disk.protect()
        done = command("run", "-c", config)
        assert done.returncode == 1
        assert "monitor.sqlite: cannot be written" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        disk.protect(writable=True)
        with DaemonProcess(config) as daemon:
            feeder.send(blocks[30:])
            check_products(daemon, listener, expected)


def test_store_that_vanishes_takes_no_acknowledgement_with_it(
    disk: SmallDisk, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """SQLite goes on writing to a deleted file: what it said was stored would be lost with the process."""
    place, aside = disk.path / "store", disk.path / "aside"
    config = write_config(
        tmp_path / "disk.json", mosquitto.url, store={"path": str(place / "monitor.sqlite")}
    )
    blocks = chain_blocks(30)
    expected = processed(config, write_csv(tmp_path / "chain.csv", blocks))
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(blocks[:30])
        feeder.flush()
        eventually(lambda: stored(daemon) >= 30 * 60, 30.0, lambda: daemon.log)
        place.rename(aside)
        feeder.send(blocks[30:60])
        feeder.flush()
        eventually(lambda: "vanished" in reasons(daemon) and held_back(daemon), 60.0, lambda: daemon.log)
        assert daemon.get("/healthz")[0] == 200
        assert stored(daemon) == 30 * 60
        aside.rename(place)
        eventually(lambda: reasons(daemon) == "", 60.0, lambda: daemon.log)
        feeder.send(blocks[60:])
        check_products(daemon, listener, expected)
