"""Four days of real 1-s data at full speed: the daemon's memory stays flat after the first two hours of data."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# The kit of the integration tests; pytest imports by path and leaves `sys.path` alone.
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from daemon_kit import PROGRAM, DaemonProcess, write_config
from mqtt_kit import Mosquitto

from monitor.types import FloatArray

ARCHIVE = Path(__file__).parents[2].parent / "shared/data/ground/wic_1s/WIC_2024-05_HEZ_1s_4days.csv.gz"
GROWTH_MB = 3.0
"""What the last day may lie above the second one: what grows with the data would show here."""
BURST_MB = {"6000": 3.0, "max": 32.0}
"""What the last day may lie above the reading at two hours of data, by speed.

At 6000 times real time the daemon keeps up, and stays at what it has after two hours. At full speed it runs behind
the broker for the whole run: the messages in hand and their batches cost about 23 MB more, within a few seconds; the
intake's limit bounds them, so that they do not grow with the data.
"""

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.broker,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ARCHIVE.exists(), reason=f"no measurements at {ARCHIVE}"),
]


def resident_MB(pid: int) -> float:
    """VmRSS of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no VmRSS")


@pytest.mark.parametrize("speed", ["max", "6000"])
def test_memory_is_flat_over_four_days_of_wic(
    speed: str, tmp_path: Path, of_scale: Callable[[bool, bool], bool]
) -> None:
    if not of_scale(False, True):
        pytest.skip("minutes: only with --full (make prove)")
    broker = Mosquitto(tmp_path)
    twin = tmp_path / "AAA.csv.gz"
    shutil.copy(ARCHIVE, twin)
    try:
        broker.start()
        config = write_config(
            tmp_path / "soak.yaml",
            broker.url,
            stations={
                "AAA": {"latitude": 47.0, "longitude": 15.9, "axes": "magnetic"},
                "WIC": {"axes": "magnetic"},
            },
            pairs=["WIC-AAA"],
            windows={"length_s": 7200, "cadence_s": 1800, "lateness_s": 120, "revise_s": 86400},
            intake={"queue_messages": 200},  # so that there is a reading every two hours of data or so
        )
        with DaemonProcess(config) as daemon:
            hours, resident = soak(daemon, broker, twin, speed)
            assert daemon.stop() == 0, daemon.log
    finally:
        broker.kill()
    report = f"{len(hours)} readings over {hours[-1]:.1f} h of data, {resident.min():.0f} to {resident.max():.0f} MB"
    assert hours[-1] > 90, report
    assert len(hours) > 40, report
    at_two_hours = float(np.interp(2.0, hours, resident))
    second, last = (np.median(resident[(hours > day * 24) & (hours <= day * 24 + 24)]) for day in (1, 3))
    report += f"; {at_two_hours:.1f} at 2 h, day 2 {second:.1f}, day 4 {last:.1f}"
    print(report)  # noqa: T201  (the numbers are the result)
    assert last - at_two_hours < BURST_MB[speed], report
    assert last - second < GROWTH_MB, report


def soak(daemon: DaemonProcess, broker: Mosquitto, twin: Path, speed: str) -> tuple[FloatArray, FloatArray]:
    """Replay, and read memory against how much has been stored: hours of data and MB, each of shape (n,)."""
    hours: list[float] = []
    resident: list[float] = []
    arguments = [f"WIC={ARCHIVE}", f"AAA={twin}", "--to", broker.url, "--speed", speed]
    with (daemon.config.parent / "replay.log").open("wb") as log:
        replay = subprocess.Popen([PROGRAM, "replay", *arguments], stdout=log, stderr=log)
        try:
            began = moved = time.monotonic()
            while replay.poll() is None or time.monotonic() - moved < 3.0:
                assert time.monotonic() - began < 240
                stored = daemon.metric("geospace_samples_stored_total", source="WIC") or 0.0
                if not hours or stored / 3600 > hours[-1]:
                    hours.append(stored / 3600)
                    resident.append(resident_MB(daemon.pid))
                    moved = time.monotonic()
                time.sleep(0.05)
            assert replay.wait(timeout=10) == 0, (daemon.config.parent / "replay.log").read_text()
        finally:
            if replay.poll() is None:
                replay.kill()
                replay.wait(timeout=10)
    return np.array(hours), np.array(resident)
