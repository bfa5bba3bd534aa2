"""What the service manager hears, over a real socket, and which parts of the daemon may stand still for how long."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config import Config
from monitor.daemon.health import Part, ServiceManager, Watch
from monitor.daemon.reading import Reading
from monitor.daemon.service import Service
from monitor.daemon.status import status_line
from monitor.daemon.thread import WorkerThread
from monitor.types import SECOND_NS

NOON_NS = 1_504_785_600 * SECOND_NS
"""2017-09-07T12:00:00Z."""


class Ear:
    """The other end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.settimeout(10.0)

    def hear(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def is_silent(self) -> bool:
        self._socket.setblocking(False)
        try:
            self._socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(10.0)
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@notify-{os.getpid()}-{id(request)}"


@pytest.fixture
def ear(address: str) -> Iterator[Ear]:
    heard = Ear(address)
    yield heard
    heard.close()


class TestServiceManager:
    def test_says_the_lines_of_the_protocol(self, address: str, ear: Ear) -> None:
        manager = ServiceManager(address, 30.0)
        manager.ready("7 pairs")
        assert ear.hear() == ["READY=1", "STATUS=7 pairs"]
        before = time.monotonic_ns() // 1000
        manager.reloading("reading")
        reloading, monotonic, status = ear.hear()
        assert (reloading, status) == ("RELOADING=1", "STATUS=reading")
        assert before <= int(monotonic.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
        manager.alive()
        assert ear.hear() == ["WATCHDOG=1"]
        manager.extend(1.5)
        assert ear.hear() == ["EXTEND_TIMEOUT_USEC=1500000"]
        manager.stopping("ending")
        assert ear.hear() == ["STOPPING=1", "STATUS=ending"]

    def test_status_is_one_line_and_said_when_it_is_news(self, address: str, ear: Ear) -> None:
        manager = ServiceManager(address)
        manager.status("a fault\nREADY=1\n in two lines")
        assert ear.hear() == ["STATUS=a fault READY=1 in two lines"]
        manager.status("a fault READY=1 in two lines")
        assert ear.is_silent()
        manager.status("x" * 9999)
        assert len(ear.hear()[0]) < 1000

    def test_status_that_was_not_heard_is_said_again(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        address = str(tmp_path / "notify")
        manager = ServiceManager(address)
        for _ in range(2):
            manager.status("all is well")
        # One line in the log, and the work goes on.
        assert [address in record.getMessage() for record in caplog.records] == [True]
        ear = Ear(address)
        manager.status("all is well")
        assert ear.hear() == ["STATUS=all is well"]
        ear.close()

    def test_nobody_hears_where_nobody_asked(self) -> None:
        manager = ServiceManager.of_environment({"WATCHDOG_USEC": "1000000"})
        assert not manager.listens
        assert manager.watchdog_s is None
        manager.ready("to nobody")

    @pytest.mark.parametrize(
        ("variables", "expected_s"),
        [
            ({"WATCHDOG_USEC": "30000000"}, 30.0),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "-5"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
            ({}, None),
        ],
    )
    def test_watchdog_is_ours_only_where_it_says_so(
        self, variables: dict[str, str], expected_s: float | None
    ) -> None:
        environment = {"NOTIFY_SOCKET": "@x", "HOME": "/", **variables}
        assert ServiceManager.of_environment(environment).watchdog_s == expected_s
        # Programs that the daemon starts find nothing to speak to.
        assert environment == {"HOME": "/"}

    def test_socket_of_another_kind_is_left_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        assert not ServiceManager.of_environment({"NOTIFY_SOCKET": "vsock:2:1"}).listens
        assert "vsock:2:1" in caplog.text


class TestWatch:
    def test_part_stands_still_when_it_has_not_moved_since_the_last_look(self) -> None:
        turns, watch = 0, Watch()
        parts = {"worker": Part(lambda: turns)}
        assert watch.look(parts, 5.0) == {}
        assert watch.look(parts, 5.0) == {"worker": 5.0}
        assert watch.look(parts, 5.0) == {"worker": 10.0}
        turns = 1
        assert watch.look(parts, 5.0) == {}

    def test_patient_part_may_wait_for_its_answer(self) -> None:
        watch = Watch()
        parts = {"publisher": Part(lambda: 7, patience_s=12.0)}
        assert [watch.look(parts, 5.0) for _ in range(4)] == [{}, {}, {}, {"publisher": 15.0}]

    def test_part_that_comes_again_begins_anew(self) -> None:
        watch = Watch()
        parts = {"worker": Part(lambda: 0)}
        watch.look(parts, 5.0)
        watch.look({}, 5.0)
        assert watch.look(parts, 5.0) == {}


async def test_thread_shows_answers_steps_and_effort() -> None:
    thread = WorkerThread()
    begun, go = threading.Event(), threading.Event()
    seen = [thread.turns]
    try:
        await thread.call(lambda: None)
        seen.append(thread.turns)
        await thread.call(thread.step)
        seen.append(thread.turns)
        with pytest.raises(ZeroDivisionError):
            await thread.call(lambda: 1 // 0)
        seen.append(thread.turns)
        assert len(set(seen)) == 4

        def work() -> None:
            begun.set()
            while not go.is_set():
                sum(range(1000))

        task = asyncio.create_task(thread.call(work))
        await asyncio.to_thread(begun.wait, 10)
        turns, effort = thread.turns, thread.effort
        async with asyncio.timeout(20):
            while thread.effort == effort:  # noqa: ASYNC110  (a clock has no event)
                await asyncio.sleep(0.01)
        # Busy, and yet no step further.
        assert thread.turns == turns
        go.set()
        await task
    finally:
        go.set()
        thread.shutdown()
    # An ended thread is asked without harm.
    assert thread.effort[0] == thread.turns


class TestStatusLine:
    CONFIG = Config.model_validate({"pairs": ["TAR-BRZ"], "craft": ["MMS1", "MMS2"]})

    def line(self, reading: Reading, *reasons: str, connected: bool = True) -> str:
        return status_line(self.CONFIG, reading, connected=connected, reasons=reasons, now_ns=NOON_NS)

    def test_says_what_there_is_and_how_old(self) -> None:
        reading = Reading(
            source_clocks={"TAR": NOON_NS - 3 * SECOND_NS, "MMS1": NOON_NS - 9000 * SECOND_NS},
            latest={"TAR-BRZ": {"time": "2017-09-07T11:30:00Z"}},
            regions={"MMS1": {"time": "2017-09-07T09:27:00Z"}},
        )
        assert self.line(reading) == (
            "1 pair, 2 spacecraft; broker connected; last sample 3 s ago; last label 11:30"
        )

    def test_before_the_first_sample_nothing_is_made_up(self) -> None:
        assert self.line(Reading(), connected=False) == "1 pair, 2 spacecraft; broker away; no sample yet"

    @pytest.mark.parametrize(
        ("age_s", "expected"),
        [
            (-3, "0 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7200, "2 h ago"),
            (86_400, "of 2017-09-06T12:00:00Z"),
        ],
    )
    def test_age_is_said_in_a_unit_that_suits_it(self, age_s: int, expected: str) -> None:
        assert f"last sample {expected}" in self.line(
            Reading(source_clocks={"TAR": NOON_NS - age_s * SECOND_NS})
        )

    def test_label_of_another_day_has_its_date(self) -> None:
        reading = Reading(regions={"MMS2": {"time": "2017-09-06T23:57:00Z"}})
        assert self.line(reading).endswith("last region 2017-09-06T23:57:00Z")

    def test_what_is_amiss_comes_first(self) -> None:
        line = self.line(Reading(), "the disk is full", "another", connected=False)
        assert line.startswith("degraded: the disk is full (and 1 more); 1 pair,")


def test_standstill_is_told_once_before_the_watchdog_acts(caplog: pytest.LogCaptureFixture) -> None:
    told: dict[str, float] = {}
    with caplog.at_level(logging.ERROR):
        for lasted_s in (5.0, 15.0, 20.0):
            Service._tell_of_standstill({"worker": lasted_s}, told, 30.0)
    assert len(caplog.records) == 1
    assert "the worker has stood still for 15 s" in caplog.text
