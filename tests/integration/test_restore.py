"""A backup of a running daemon, restored by the documented commands: it goes on with products, events and states."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_kit import (
    PROGRAM,
    DaemonProcess,
    Document,
    Feeder,
    Listener,
    assert_one_content_per_id,
    closing,
    eventually,
)
from flight_kit import (
    BEGIN_NS,
    CELLS,
    CRAFT,
    assert_same_flight,
    flight_blocks,
    flight_config,
    processed_flight,
    regions,
    send,
    wait_for_regions,
    write_flight,
)
from mqtt_kit import Mosquitto

from monitor.decoders.base import parse_time_ns
from monitor.types import CELL_NS, CONTEXT_CELLS, iso_time

# pytest imports by path and leaves `sys.path` alone; what reads the pages is with the unit tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from docs_kit import ROOT, blocks

pytestmark = pytest.mark.broker

PAGE = ROOT / "docs" / "how-to" / "back-up-and-export.md"


def documented(what: str) -> list[str]:
    """Lines of the page's block below this mark."""
    (block,) = [block for block in blocks(PAGE) if block.before == f"<!-- {what} -->"]
    return block.text.splitlines()


def run_lines(lines: list[str], places: dict[str, Path]) -> None:
    """Type them, with the places of this test for those of the page."""
    text = "\n".join(lines)
    for shown, place in places.items():
        assert shown in text, shown
        text = text.replace(shown, str(place))
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", text],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def cells_to_tell(document: Document) -> int:
    """How many cells of the flight have to come before this update of an event is said."""
    known_ns = parse_time_ns(document["properties"]["time"])
    return (known_ns - BEGIN_NS) // CELL_NS + CONTEXT_CELLS[1] + 4


def test_restored_as_documented_it_goes_on_with_products_events_and_states(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    state, backups = tmp_path / "state", tmp_path / "backups"
    backups.mkdir()
    config = flight_config(
        tmp_path / "flight.yaml", mosquitto.url, "auto", store={"path": str(state / "monitor.sqlite")}
    )
    archive = f"{CRAFT}={write_flight(tmp_path / 'flight.csv')}"
    expected = processed_flight(
        flight_config(tmp_path / "offline.yaml", "mqtt://127.0.0.1:1", "auto"), archive
    )
    begin = next(one for one in expected if one.get("properties", {}).get("state") == "begin")
    open_until = cells_to_tell(begin)
    with closing(Listener(mosquitto.port)) as listener, closing(Feeder(mosquitto.port)) as feeder:
        with DaemonProcess(config) as daemon:
            send(feeder, flight_blocks(cells=range(open_until)))
            sent = iso_time(BEGIN_NS + open_until * CELL_NS)
            eventually(lambda: has_told(daemon, begin, sent), 60, lambda: daemon.log)
            eventually(lambda: not any(daemon.status()["queues"].values()), 60, lambda: daemon.log)
            before = daemon.status()
            run_lines(documented("backup"), {"/etc/geospace-monitor/config.yaml": config, "/backup": backups})
            # What is told from here on is not in the backup.
            send(feeder, flight_blocks(cells=range(open_until, CELLS)))
            wait_for_regions(listener, expected, daemon, 60)
            # As machines die: its log stays beside the store, and must not be taken for that of the copy.
            daemon.kill()
        assert (state / "monitor.sqlite-wal").stat().st_size > 0

        stop, *between, start = documented("restore")
        assert (stop, start) == ("systemctl stop geospace-monitor", "systemctl start geospace-monitor")
        run_lines(between, {"/var/lib/geospace-monitor": state, "/backup": backups})

        with DaemonProcess(config) as daemon:
            restored = daemon.status()
            assert restored["events"] == before["events"]
            assert regions(restored["regions"].values()).keys() == regions(before["regions"].values()).keys()
            assert restored["regions"][CRAFT]["id"] == before["regions"][CRAFT]["id"]
            assert restored["sources"][CRAFT]["last_sample"] == before["sources"][CRAFT]["last_sample"]
            again = len(listener.messages)
            send(feeder, flight_blocks(cells=range(open_until, CELLS)))
            eventually(
                lambda: (
                    len(told_since(listener, again)) > 0
                    and not daemon.status()["events"]
                    and last_window(daemon) == max(time for _, time in regions(expected))
                ),
                60,
                lambda: daemon.log,
            )
            assert "set aside" not in daemon.log
            assert daemon.stop() == 0
        # Whatever was said before and after: the same in the end, and never two things under one id.
        assert_same_flight([*listener.documents("region"), *listener.documents("event")], expected)
        assert_one_content_per_id(listener.documents("region"))
    assert not list(state.glob("*.states-*"))


def has_told(daemon: DaemonProcess, begin: Document, sent: str) -> bool:
    """Whether all that was sent is in, the event is open, and the status shows the window that made it known."""
    status = daemon.status()
    source = status["sources"].get(CRAFT)
    return (
        bool(status["events"])
        and last_window(daemon) == begin["properties"]["time"]
        and source is not None
        and source["last_sample"] == sent
    )


def last_window(daemon: DaemonProcess) -> str:
    newest = daemon.status()["regions"][CRAFT]
    return newest["time"] if newest else ""


def told_since(listener: Listener, count: int) -> list[str]:
    """Topics of the updates of events that came after so many messages."""
    return [topic for topic, _, _ in list(listener.messages)[count:] if "/event/" in topic]
