"""The commands that put Prometheus and Alertmanager in place: typed here into folders of the test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from docs_kit import ROOT, blocks

PAGE = ROOT / "docs" / "install.md"
MARK = "<!-- watch -->"
# Debian's own files, as far as the page changes them.
DEFAULTS = '# Set the command-line arguments to pass to the server.\nARGS=""\n'
ELSEWHERE = ("apt-get", "systemctl")


def arguments(path: Path) -> list[str]:
    """What the unit would pass to the program."""
    (line,) = re.findall(r'^ARGS="(.*)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    return str(line).split()


def test_what_is_put_in_place_is_accepted_stays_on_loopback_and_links_to_the_runbook(tmp_path: Path) -> None:
    for program in ("promtool", "amtool"):
        if shutil.which(program) is None:
            pytest.skip(f"the program {program} is not installed")
    etc = tmp_path / "etc"
    for folder in ("prometheus", "default"):
        (etc / folder).mkdir(parents=True)
    for name in ("prometheus", "prometheus-alertmanager"):
        (etc / "default" / name).write_text(DEFAULTS)
    (block,) = [block for block in blocks(PAGE) if block.before == MARK]
    lines = [line for line in block.text.splitlines() if not line.startswith(ELSEWHERE)]
    assert len(lines) == len(block.text.splitlines()) - 2
    done = subprocess.run(
        ["sh", "-eux", "-c", "\n".join(lines).replace("/etc/", f"{etc}/")],
        cwd=ROOT,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rules = sorted((etc / "prometheus" / "rules").glob("*.yml"))
    assert [path.name for path in rules] == sorted(
        path.name for path in (ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")
    )
    links = [
        rule["annotations"]["runbook_url"]
        for path in rules
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert links
    assert all(link.startswith("https://monitor.example.org/docs/runbook.md#geospace") for link in links)
    for name, port in (("prometheus", 9090), ("prometheus-alertmanager", 9093)):
        assert f"--web.listen-address=127.0.0.1:{port}" in arguments(etc / "default" / name)
    assert "--cluster.listen-address=" in arguments(etc / "default" / "prometheus-alertmanager")
