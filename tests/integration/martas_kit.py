"""MARTAS itself, in an environment of its own, and what it publishes there (`martas_payloads.py`)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.types import FloatArray, IntArray

_ROOT = Path(__file__).parents[2]
_SCRIPT = Path(__file__).with_name("martas_payloads.py")
# Without what they only draw and unpack with; numpy, scipy and matplotlib are those of the tests.
_PACKAGES = (
    "martas==2.0.1",
    "geomagpy==2.0.2",
    "Automat==25.4.16",
    "constantly==23.10.4",
    "hyperlink==21.0.0",
    "idna==3.20",
    "Incremental==24.11.0",
    "pexpect==4.9.0",
    "ptyprocess==0.7.0",
    "PyMySQL==1.2.4",
    "pyserial==3.5",
    "python-dateutil==2.9.0.post0",
    "requests==2.32.3",
    "certifi==2026.10.18",
    "charset-normalizer==3.5.2",
    "urllib3==2.8.0",
    "paho-mqtt==2.2.0",
    "six==1.17.0",
    "attrs==26.1.0",
    "Twisted==26.10.0",
    "typing_extensions==4.16.0",
    "zope.interface==8.7",
)


@dataclass(frozen=True)
class Sent:
    """One message as MARTAS published it, and the second of the simulation."""

    second: int
    topic: str
    payload: bytes


@dataclass(frozen=True)
class Truth:
    """Samples of one sensor as something else read them: times (ns UTC), and x, y, z (3, n)."""

    times_ns: IntArray
    values: FloatArray


@dataclass(frozen=True)
class Observatory:
    """What MARTAS published in some seconds, what its collector makes of it, and what geomagpy reads in its files."""

    messages: tuple[Sent, ...]
    collected: tuple[dict[str, Any], ...]
    kept: dict[str, Truth]

    def since(self, second: int) -> dict[str, Truth]:
        """What the collector gives of the messages from a second on, by sensor: those with three components."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for message in self.collected:
            if message["second"] >= second and "z" in message:
                found[message["sensor"]].append(message)
        return {
            sensor: _truth(
                {key: [value for part in parts for value in part[key]] for key in ("time", *"xyz")}
            )
            for sensor, parts in found.items()
        }


def _truth(columns: dict[str, Any]) -> Truth:
    times = np.array(columns["time"], dtype=np.int64) * 1000
    return Truth(times, np.array([columns[key] for key in "xyz"], dtype=np.float64))


def observe(folder: Path, seconds: int) -> Observatory:
    """Let MARTAS run for some seconds of simulated time."""
    subprocess.run(
        [environment(), "-W", "ignore", _SCRIPT, folder, str(seconds)],
        check=True,
        timeout=120,
        stdout=subprocess.DEVNULL,
        # Its own packages, and no plugin of ours.
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    lines = (folder / "payloads.jsonl").read_text().splitlines()
    messages = (json.loads(line) for line in lines)
    return Observatory(
        tuple(Sent(one["second"], one["topic"], one["payload"].encode()) for one in messages),
        tuple(json.loads((folder / "collected.json").read_text())),
        {name: _truth(columns) for name, columns in json.loads((folder / "kept.json").read_text()).items()},
    )


def environment() -> Path:
    """The Python of an environment with MARTAS and geomagpy in it, made where there is none of these versions."""
    packages = sysconfig.get_path("purelib")
    key = hashlib.sha256("\n".join([*_PACKAGES, sys.version, packages]).encode()).hexdigest()[:16]
    place = _ROOT / "build" / "martas" / key
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=place.parent))
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True, timeout=60)
        python = made / "bin" / "python"
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile"]
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", python, "install", *options, *_PACKAGES],
            check=True,
            timeout=300,
        )
        (library,) = made.glob("lib/python*/site-packages")
        (library / "of_the_tests.pth").write_text(packages + "\n")
        try:
            made.rename(place)
        except OSError:  # another one was faster
            assert place.exists()
    return place / "bin" / "python"
