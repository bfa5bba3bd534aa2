"""The demonstration as a newcomer runs it: labels, a clean end, nothing left behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from daemon_kit import PROGRAM, eventually

from monitor.io.broker import find_mosquitto
from monitor.types import REGIONS, Quality

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [A-Z]{3}-[A-Z]{3}\s+ +\d\.\d\d  (?P<label>NoFreq|Freq|PBL) +[\d.-]+ .*"
)
OTHER = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (emma|MMS1|[A-Z]{3}-[A-Z]{3})\s+ +(\d\.\d\d|-)  (?P<label>L_pp|event) +\S.*"
)
REGION = re.compile(
    rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ MMS1 +-  (?P<label>{'|'.join(REGIONS)}|-) +(\d+%|-) +(?P<quality>{'|'.join(Quality)})\b.*"
)
# The same command on a machine without Mosquitto.
WITHOUT_MOSQUITTO = (
    "import sys, monitor.io.broker as broker; broker.find_mosquitto = lambda: None; "
    "from monitor.cli import main; sys.exit(main(sys.argv[1:]))"
)


def left_behind(directory: Path) -> list[str]:
    """Processes that were started for a demo whose temporary files lie in `directory`."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(directory) in line:
                    found.append(line)
    return found


@contextlib.contextmanager
def demo(directory: Path, program: list[str | Path], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`demo` as a process; it is dead afterwards."""
    with (
        (directory / "out").open("w") as out,
        subprocess.Popen(
            [*program, "demo", *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TMPDIR": str(directory), "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def check_output(text: str) -> None:
    lines = text.splitlines()
    assert re.search(r"^address http://127\.0\.0\.1:\d+ ", text, re.MULTILINE)
    assert "Traceback" not in text
    labelled = [match for line in lines if (match := LINE.fullmatch(line))]
    # Two hours of morning first, in windows that are not whole yet; then resonances.
    assert {"NoFreq", "Freq"} <= {match["label"] for match in labelled}, text
    others = [match for line in lines if (match := OTHER.fullmatch(line))]
    assert "L_pp" in {match["label"] for match in others}, text
    regions = [match for line in lines if (match := REGION.fullmatch(line))]
    if (files("monitor") / "models" / "bundled" / "region").is_dir():
        assert "SW" in {match["label"] for match in regions}, text
    changes = [match.group("label", "quality") for match in regions]
    assert all(one != other for one, other in itertools.pairwise(changes)), "only changes are shown"
    starts = {match.start("label") for match in [*labelled, *others, *regions]}
    assert len(starts) == 1, "labels stand below each other"
    events = sum(line.endswith(": begin") for line in lines)
    last = re.fullmatch(
        r"(\d+) labels of pairs, (\d+) of spacecraft, (\d+) events; stopped cleanly", lines[-1]
    )
    assert last is not None, lines[-1]
    assert (int(last[1]), int(last[3])) == (len(labelled), events)
    assert int(last[2]) >= len({match.string[:20] for match in regions})


def test_demo_shows_labels_and_leaves_nothing_behind(tmp_path: Path) -> None:
    if find_mosquitto() is None:
        pytest.skip("the program mosquitto is not installed")
    with demo(tmp_path, [PROGRAM], "--for", "20") as process:
        eventually(lambda: left_behind(tmp_path) != [], 10)
        assert process.wait(timeout=40) == 0
    check_output((tmp_path / "out").read_text())
    assert left_behind(tmp_path) == []
    assert list(tmp_path.glob("geospace-monitor-demo-*")) == []


def test_interrupt_stops_the_demo_cleanly(tmp_path: Path) -> None:
    with demo(tmp_path, [PROGRAM]) as process:
        eventually(lambda: "NoFreq" in (tmp_path / "out").read_text(), 20, (tmp_path / "out").read_text)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=15) == 0
        assert time.monotonic() - began < 10
    text = (tmp_path / "out").read_text()
    assert text.rstrip().endswith("events; stopped cleanly")
    assert "Traceback" not in text
    assert left_behind(tmp_path) == []


def test_demo_runs_on_the_embedded_broker_where_there_is_no_mosquitto(tmp_path: Path) -> None:
    pytest.importorskip("amqtt")
    with demo(
        tmp_path, [sys.executable, "-c", WITHOUT_MOSQUITTO], "--for", "10", "--speed", "1200"
    ) as process:
        assert process.wait(timeout=45) == 0, (tmp_path / "out").read_text()
    text = (tmp_path / "out").read_text()
    assert "(amqtt)" in text
    check_output(text)
