"""A real InfluxDB (1.6, as Debian has it) as a process of its own on loopback."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.io.broker import free_port


class InfluxServer:
    """A server with its data in `directory`; `query` asks it in its own language."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("influxd")
        if program is None:
            pytest.skip("the program influxd is not installed")
        self._program = program
        self._directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "influxdb.conf").write_text(
            f"""
            reporting-disabled = true
            bind-address = "127.0.0.1:{free_port()}"
            [meta]
            dir = "{directory}/meta"
            [data]
            dir = "{directory}/data"
            wal-dir = "{directory}/wal"
            [http]
            bind-address = "127.0.0.1:{self._port}"
            [monitor]
            store-enabled = false
            """
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-config", self._directory / "influxdb.conf"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/ping", timeout=2):
                return
            assert self._process.poll() is None, (self._directory / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, "influxd does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=30)
            self._process = None

    def query(self, statement: str, database: str = "geospace") -> list[dict[str, Any]]:
        """The rows of an answer, each with its columns and tags; times in ns."""
        form = urllib.parse.urlencode({"q": statement, "db": database, "epoch": "ns"}).encode()
        with urllib.request.urlopen(f"{self.url}/query", form, timeout=10) as answer:
            (result,) = json.load(answer)["results"]
        assert "error" not in result, result
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
            for series in result.get("series", [])
            for values in series["values"]
        ]


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """A running server with a database `geospace`."""
    server = InfluxServer(tmp_path_factory.mktemp("influx"))
    server.start()
    server.query("CREATE DATABASE geospace")
    yield server
    server.stop()
