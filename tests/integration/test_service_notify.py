"""The daemon under a service manager: ready when it is, signs of life only while all of it goes round."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from daemon_kit import (
    DaemonProcess,
    Feeder,
    chain_blocks,
    closing,
    command,
    eventually,
    write_config,
)
from mqtt_kit import Mosquitto
from service_kit import Manager, Tricks, managing

from monitor.io.broker import free_port

BLOCKS = chain_blocks(30)
WATCHDOG_S = 1.0
ALIVE = "WATCHDOG=1"
PHYSICAL = {"flr": "physical"}


def assert_alive(manager: Manager) -> None:
    """Signs of life go on coming."""
    manager.wait_for(ALIVE, manager.count(ALIVE) + 2)


def assert_silent(manager: Manager) -> None:
    """No sign of life has come for longer than the watchdog waits."""
    eventually(lambda: manager.silent_s(ALIVE) > 2.5 * WATCHDOG_S, 60, lambda: str(manager.lines[-20:]))


def test_ready_is_said_once_after_the_start_and_the_end_is_announced(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    config = write_config(tmp_path / "unit.yaml", mosquitto.url)
    with (
        managing(tmp_path) as manager,
        DaemonProcess(config, environment=manager.environment(WATCHDOG_S)) as daemon,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(BLOCKS)
        told = "2 pairs, 0 spacecraft; broker connected; last sample of 2017-09-07T08:30:00Z; last label 2017-09-07T"
        eventually(lambda: any(one.startswith(told) for one in manager.statuses), 60, lambda: daemon.log)
        assert daemon.stop() == 0, daemon.log
        lines = manager.lines
        assert lines.count("READY=1") == 1
        ready = lines.index("READY=1")
        starting = ["reading the configuration", "opening the store", "taking up the last run"]
        said = [line for line in lines[:ready] if line.startswith("STATUS=")]
        # The first is always said; the others pass too quickly to be sure of.
        assert said[0] == f"STATUS=starting: {starting[0]}"
        assert all(line.startswith("STATUS=starting: ") for line in said)
        assert lines.index("STOPPING=1") > ready
        assert not any(line == "READY=1" for line in lines[lines.index("STOPPING=1") :])


def test_absent_broker_keeps_nobody_from_being_ready_nor_alive(tmp_path: Path) -> None:
    config = write_config(tmp_path / "alone.yaml", f"mqtt://127.0.0.1:{free_port()}", models=PHYSICAL)
    with (
        managing(tmp_path) as manager,
        DaemonProcess(config, wait_for="/healthz", environment=manager.environment(WATCHDOG_S)) as daemon,
    ):
        manager.wait_for("READY=1")
        assert_alive(manager)
        eventually(lambda: "broker away" in manager.statuses[-1], 20, lambda: str(manager.statuses))
        assert daemon.get("/readyz")[0] == 503
        assert daemon.stop() == 0, daemon.log


def test_part_that_stands_still_gives_no_sign_of_life_though_the_process_answers(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    tricks = Tricks(tmp_path)
    config = write_config(tmp_path / "still.yaml", mosquitto.url, models=PHYSICAL)
    with (
        managing(tmp_path) as manager,
        DaemonProcess(
            config,
            environment={**manager.environment(WATCHDOG_S), **tricks.environment},
            program=tricks.program,
        ) as daemon,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        assert_alive(manager)
        for part in ("worker", "intake"):
            tricks.on(part)
            assert_silent(manager)
            eventually(lambda part=part: f"the {part} has stood still" in daemon.log, 30, lambda: daemon.log)
            assert daemon.get("/healthz")[0] == 200
            tricks.off(part)
            assert_alive(manager)
        tricks.on("loop")
        assert_silent(manager)
        tricks.off("loop")
        assert_alive(manager)
        os.kill(daemon.pid, signal.SIGSTOP)
        assert_silent(manager)
        os.kill(daemon.pid, signal.SIGCONT)
        assert_alive(manager)
        # After all of that it does its work.
        feeder.send(BLOCKS)
        eventually(
            lambda: (daemon.metric("geospace_samples_stored_total", source="TAR") or 0) >= 1800,
            60,
            lambda: daemon.log,
        )
        assert daemon.stop() == 0, daemon.log


def test_long_restore_asks_for_more_time_while_it_goes_on(tmp_path: Path, mosquitto: Mosquitto) -> None:
    tricks = Tricks(tmp_path)
    config = write_config(tmp_path / "long.yaml", mosquitto.url, models=PHYSICAL)
    with DaemonProcess(config) as daemon, closing(Feeder(mosquitto.port)) as feeder:
        # A message at a time, so that there is more than one piece to take up.
        feeder.send(BLOCKS)
        eventually(
            lambda: (daemon.metric("geospace_samples_stored_total", source="TAR") or 0) >= 1800,
            60,
            lambda: daemon.log,
        )
        daemon.kill()
    tricks.on("restore")
    with (
        managing(tmp_path) as manager,
        DaemonProcess(
            config,
            wait_for="/healthz",
            environment={**manager.environment(0.4), **tricks.environment},
            program=tricks.program,
        ) as daemon,
    ):
        manager.wait_for("READY=1")
        lines = manager.lines[: manager.lines.index("READY=1")]
        restoring = lines[lines.index("STATUS=starting: taking up the last run") :]
        # One may be for what came before.
        assert sum(line.startswith("EXTEND_TIMEOUT_USEC=") for line in restoring) > 2, restoring
        assert daemon.stop() == 0, daemon.log


def test_bad_configuration_is_78_and_told_as_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("pairs: [TAR-BRZ]\nwindow: {}\n")
    with managing(tmp_path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.environment()["NOTIFY_SOCKET"])
        done = command("run", "-c", config)
        assert done.returncode == 78
        eventually(lambda: len(manager.statuses) == 2, 10)
        assert manager.statuses[1].startswith(f"failed: {config}:2:1: ")
        assert "READY=1" not in manager.lines
