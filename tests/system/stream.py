"""An instance that is fed while it is mistreated, and what it said to the broker all that time."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from daemon_kit import WINDOWS, Document, Final, chain_blocks, final, processed, write_csv
from machine import Machine
from prometheus_client.parser import text_string_to_metric_families

from monitor.types import SECOND_NS, SampleBlock

NAME = "stream"
UNIT = f"geospace-monitor@{NAME}"
CONFIG = f"/etc/geospace-monitor/{NAME}.yaml"
TOKEN = "nobody-guesses-this"
PORT = 9466
# After a restart only what would still be valid is shown: for a quarter of an hour here.
_WINDOWS = WINDOWS | {"lateness_s": 600}
_ROOT = f"{NAME}/v1"
# Windows are half an hour: the first labels come with the first portion. Each other takes three seconds.
_FIRST_MINUTES = 35
_PORTIONS = 6
_PORTION_MINUTES = 8
_SPEED = 160
_SAID = "/srv/said"
_STATIONS = "/srv/stations.yaml"  # what the stations go by, whatever the daemon is told
_DROP_IN = "[Service]\nRestartSec=1\n"


def _until_now(blocks: Sequence[SampleBlock]) -> list[SampleBlock]:
    """The same samples, as if the last had just been measured (windows keep their places in them)."""
    cadence_ns = int(_WINDOWS["cadence_s"]) * SECOND_NS
    end_ns = max(block.t0_ns + block.values.shape[1] * block.step_ns for block in blocks)
    later_ns = (time.time_ns() - end_ns) // cadence_ns * cadence_ns
    return [dataclasses.replace(block, t0_ns=block.t0_ns + later_ns) for block in blocks]


class Stream:
    """The instance `geospace-monitor@stream`, its stations, and a listener that stays connected."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        blocks = _until_now(chain_blocks(_FIRST_MINUTES + _PORTIONS * _PORTION_MINUTES))
        self.document: Document = {
            "mqtt": {
                "client_id": f"geospace-monitor-{NAME}",
                "reconnect": {"initial_s": 0.1, "maximum_s": 0.5},
            },
            "inputs": [{"decoder": "native", "topic": f"{_ROOT}/in/#"}],
            "outputs": {"root": _ROOT},
            "pairs": ["NUR-TAR", "TAR-BRZ"],
            "windows": _WINDOWS,
            "store": {"path": f"/var/lib/geospace-monitor/{NAME}/monitor.sqlite"},
            "http": {"listen": f"127.0.0.1:{PORT}", "token_file": "http-token"},
        }
        offline = folder / "offline.json"
        offline.write_text(json.dumps({**self.document, "http": {}}), encoding="utf-8")
        self.expected: Final = processed(offline, write_csv(folder / "whole.csv", blocks))
        a_minute = len(blocks) // (_FIRST_MINUTES + _PORTIONS * _PORTION_MINUTES)
        ends = [a_minute * (_FIRST_MINUTES + number * _PORTION_MINUTES) for number in range(_PORTIONS + 1)]
        self._portions = []
        for start, end in itertools.pairwise([0, *ends]):
            path = write_csv(folder / f"{end}.csv", blocks[start:end])
            machine.inside(f"/srv/{path.name}").write_bytes(path.read_bytes())
            self._portions.append(f"/srv/{path.name}")

    def begin(self) -> None:
        """Configure the instance, listen to it, and start it."""
        self.configure(self.document)
        self.machine.inside(_STATIONS).write_text(json.dumps(self.document), encoding="utf-8")
        secret = self.machine.inside(f"/etc/credstore/{UNIT}.http-token")
        secret.parent.mkdir(mode=0o700, exist_ok=True)
        secret.write_text(TOKEN + "\n", encoding="ascii")
        secret.chmod(0o600)
        self.drop_in()
        listening = f"exec mosquitto_sub -q 1 -t '{_ROOT}/#' -T '{_ROOT}/in/#' -F '%t\t%p' > {_SAID}"
        self.machine.run(f'systemd-run --quiet --unit listener bash -c "{listening}"')
        self.machine.run(f"systemctl start {UNIT}")
        with self.flowing("max"):
            pass

    def configure(self, document: Document) -> None:
        self.machine.inside(CONFIG).write_text(json.dumps(document, indent=1), encoding="utf-8")

    def drop_in(self, more: str = "") -> None:
        """Change the unit for this machine: it waits no longer than the tests do, and `more`."""
        folder = self.machine.inside(f"/etc/systemd/system/{UNIT}.service.d")
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text(_DROP_IN + more, encoding="ascii")
        self.machine.run("systemctl daemon-reload")

    @contextlib.contextmanager
    def flowing(self, speed: object = _SPEED) -> Iterator[None]:
        """The next portion arrives meanwhile; at the end all of it has reached the broker."""
        path = self._portions.pop(0)
        command = f"geospace-monitor replay {path} -c {_STATIONS} --to mqtt://127.0.0.1 --speed {speed}"
        with subprocess.Popen(self.machine.entering(command), stdin=subprocess.DEVNULL) as sending:
            yield
            assert sending.wait(timeout=60) == 0

    def finish(self) -> None:
        """Send what no test has sent, and wait for the last product."""
        while self._portions:
            with self.flowing():
                pass
        self.machine.eventually(
            lambda: self.expected.keys() <= self.products.keys(),
            60.0,
            f"missing {sorted(self.expected.keys() - self.products.keys())}",
        )

    @property
    def said(self) -> list[Document]:
        """Every document that the instance has published, in order."""
        lines = self.machine.inside(_SAID).read_text(encoding="utf-8").splitlines()
        return [json.loads(payload) for _, _, payload in (line.partition("\t") for line in lines) if payload]

    @property
    def products(self) -> Final:
        """The last revision of each pair and time."""
        return final(self.said)

    def get(self, path: str, *, token: str | None = TOKEN) -> tuple[int, str]:
        """Status and body of an answer; (0, "") where nobody answers."""
        header = "" if token is None else f"-H 'Authorization: Bearer {token}'"
        asked = f"curl --silent --max-time 5 {header} -w '\\n%{{http_code}}' http://127.0.0.1:{PORT}{path}"
        body, _, code = self.machine.run(asked, check=False).stdout.rpartition("\n")
        return int(code or 0), body

    def metric(self, name: str, **labels: str) -> float | None:
        """Value of a series, None where it is not there."""
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    def pid(self) -> int:
        """Main process as the machine numbers it; 0 where none runs."""
        return int(self.machine.show(UNIT, "MainPID")["MainPID"])

    def is_up(self) -> bool:
        return self.machine.show(UNIT, "ActiveState", "SubState") == {
            "ActiveState": "active",
            "SubState": "running",
        }
