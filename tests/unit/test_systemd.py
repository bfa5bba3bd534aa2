"""The units and the installer, as far as they can be judged without a systemd that runs (that is `tests/system`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = [ROOT / "systemd" / name for name in ("geospace-monitor.service", "geospace-monitor@.service")]
INSTALLER = ROOT / "systemd" / "install.sh"
SCRIPTS = [INSTALLER, ROOT / "deploy" / "install-tools.sh", ROOT / "tests" / "system" / "boot.sh"]
PROGRAM = "/opt/geospace-monitor/venv/bin/geospace-monitor"
MOST_EXPOSED = 2.0
# What one instance has of its own: (in the one unit, in the template).
OWN = {
    "Description=Geospace monitor": "Description=Geospace monitor %i",
    "/etc/geospace-monitor/config.yaml": "/etc/geospace-monitor/%i.yaml",
    "StateDirectory=geospace-monitor": "StateDirectory=geospace-monitor/%i",
    "geospace-monitor.mqtt-password": "geospace-monitor@%i.mqtt-password",
    "geospace-monitor.http-password": "geospace-monitor@%i.http-password",
    "geospace-monitor.http-token": "geospace-monitor@%i.http-token",
}


@pytest.fixture(scope="module")
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("the program systemd-analyze is not installed")
    return program


def said(*command: object, **options: object) -> tuple[int, str]:
    """Exit code, and both streams together."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    return done.returncode, done.stdout


def directives(unit: Path) -> list[str]:
    """Lines that are no remarks."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def instantiated(text: str) -> str:
    """What the template would say if it were written from the one unit."""
    for mine, theirs in OWN.items():
        text = re.sub(rf"{re.escape(mine)}(?!\S)", theirs, text)
    return text


class TestUnits:
    @pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
    def test_verify_prints_nothing(self, unit: Path, analyze: str, tmp_path: Path) -> None:
        """The exit code does not tell: a key that nobody knows is a warning. The program is not here: /bin/true is."""
        copy = tmp_path / unit.name.replace("@", "@trial")
        copy.write_text(unit.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true"), encoding="utf-8")
        assert said(analyze, "verify", copy) == (0, "")
        copy.write_text(copy.read_text(encoding="utf-8") + "RestartSteps=wrong\n", encoding="utf-8")
        assert "RestartSteps" in said(analyze, "verify", copy)[1]

    @pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
    def test_exposure_is_small(self, unit: Path, analyze: str) -> None:
        code, text = said(analyze, "security", "--offline=yes", "--no-pager", unit)
        level = re.search(r"Overall exposure level for \S+: ([\d.]+)", text)
        assert code == 0, text
        assert level is not None, text
        assert float(level[1]) <= MOST_EXPOSED

    def test_template_differs_in_what_is_its_own_alone(self) -> None:
        single, template = map(directives, UNITS)
        assert [instantiated(line) for line in single] == template
        assert sum(a != b for a, b in zip(single, template, strict=True)) == len(OWN) + 1  # two name the file

    @pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
    def test_promises_of_the_service_manager_are_there(self, unit: Path) -> None:
        lines = directives(unit)
        for line in (
            "Type=notify",
            "Restart=always",
            "StartLimitIntervalSec=0",
            "RestartPreventExitStatus=78",
            "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'",
            "CapabilityBoundingSet=",
            "NoNewPrivileges=yes",
        ):
            assert line in lines
        assert any(line.startswith("WatchdogSec=") for line in lines)


class TestInstaller:
    @pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
    def test_shellcheck_says_nothing(self, script: Path) -> None:
        program = shutil.which("shellcheck")
        if program is None:
            pytest.skip("the program shellcheck is not installed")
        assert said(program, script) == (0, "")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--purge"], "--purge goes with --remove"),
            (["--wheels"], "--wheels needs a value"),
            (["--wheels", "/nowhere"], "/nowhere is no folder"),
            (["--colour"], "what is --colour?"),
        ],
    )
    def test_wrong_arguments_are_one_clear_line(self, arguments: list[str], words: str) -> None:
        code, text = said(INSTALLER, *arguments)
        assert code == 1
        assert text.splitlines()[-1] == f"install.sh: {words}"

    def test_old_python_is_named(self, tmp_path: Path) -> None:
        old = tmp_path / "python3"
        old.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
        old.chmod(0o755)
        code, text = said(INSTALLER, "--fetch", tmp_path / "wheels", "--python", old)
        assert code == 1
        assert text == f"install.sh: {old} is older than Python 3.11: name a newer one with --python\n"

    @pytest.mark.skipif(os.geteuid() != 0, reason="who is not root already cannot become nobody")
    def test_who_is_not_root_is_told(self) -> None:
        code, text = said("sh", "-s", input=INSTALLER.read_text(encoding="utf-8"), user="nobody", cwd="/")
        assert code == 1
        assert "only root may do this" in text

    def test_libraries_are_locked_by_hash(self) -> None:
        """What builds the wheel as well: nothing is installed that no lock names."""
        text = INSTALLER.read_text(encoding="utf-8")
        assert text.count("--require-hashes") == 2
        for lock in ("requirements.lock", "build.lock"):
            pinned = (ROOT / "deploy" / lock).read_text(encoding="utf-8")
            names = re.findall(r"^([\w.-]+)==.* \\\n    --hash=sha256:", pinned, re.MULTILINE)
            assert len(names) == len(re.findall(r"^[\w.-]+==", pinned, re.MULTILINE)) > 0
