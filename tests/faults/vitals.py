"""What a running daemon costs, read from outside: memory, descriptors, threads, and numbers of `/metrics`."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from daemon_kit import DaemonProcess


@dataclass(frozen=True, slots=True)
class Vitals:
    """One reading of a process, from `/proc`."""

    resident_MB: float
    peak_MB: float
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Vitals:
        """Read those of a process that runs."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = {
            name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines) if rest.strip()
        }
        return cls(
            int(fields["VmRSS"]) / 1024,
            int(fields["VmHWM"]) / 1024,
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            int(fields["Threads"]),
        )


def number(metrics: str, series: str) -> float | None:
    """The value of a series, written as in the text of `/metrics`; None where it is not there.

    Much cheaper than parsing all of it, for those who ask many times a second.
    """
    found = re.search(rf"^{re.escape(series)} (\S+)$", metrics, re.MULTILINE)
    return None if found is None else float(found[1])


def stored(daemon: DaemonProcess, source: str) -> int:
    """How many samples of a source the daemon has committed since it started."""
    return int(number(daemon.get("/metrics")[1], f'geospace_samples_stored_total{{source="{source}"}}') or 0)


def total(metrics: str, name: str) -> float:
    """The sum over all series of a counter."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", metrics, re.MULTILINE))


def ask(daemon: DaemonProcess, path: str, patience_s: float) -> tuple[int, str]:
    """Status and body of an answer, (0, "") where none comes in time: `DaemonProcess.get`, with more patience."""
    try:
        with urllib.request.urlopen(daemon.url + path, timeout=patience_s) as answer:
            return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
