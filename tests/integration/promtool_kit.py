"""What Prometheus's own checker says of the metrics of a running daemon."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from daemon_kit import DaemonProcess


def check_with_promtool(daemon: DaemonProcess, *there: str) -> None:
    """Assert that `/metrics` is clean, and that the metrics which are meant are in it."""
    text = daemon.get("/metrics")[1]
    for name in there:
        assert f"\n{name}{{" in text, name
    program = shutil.which("promtool", path="/usr/bin:/usr/local/bin:/bin")
    if program is None:
        pytest.skip("the program promtool is not installed (the assertions before it passed)")
    checked = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, text=True, timeout=20, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout + checked.stderr == ""
