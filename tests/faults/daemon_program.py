"""The daemon as a program that is treated badly, and what its metrics say meanwhile."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from daemon_kit import PROGRAM, eventually
from programs import Program
from prometheus_client.parser import text_string_to_metric_families

PATIENCE_S = 120.0
"""How long a daemon may take to catch up, on a machine that is busy."""


class Daemon(Program):
    """`geospace-monitor run` with the given configuration; up when it says that it is ready."""

    def __init__(self, config: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(
            [PROGRAM, "run", "-c", config],
            config.with_suffix(".log"),
            lambda: self.get("/readyz")[0] == 200,
            environment,
        )
        document = json.loads(config.read_text())
        self.url = f"http://{document['http']['listen']}"
        self.store_path = Path(document["store"]["path"])

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of an answer; (0, "") where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def status(self) -> dict[str, Any]:
        """What `/api/status` says; empty where nobody answers."""
        code, body = self.get("/api/status")
        document: dict[str, Any] = json.loads(body) if code == 200 else {}
        return document

    def metric(self, name: str, **labels: str) -> float:
        """Sum over the series of `/metrics` that have these labels; 0 where there is none."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_until_stored(self, last: Mapping[str, str], timeout_s: float = PATIENCE_S) -> None:
        """Wait until the last samples (source → time in ISO 8601) are stored, and all products sent."""

        def caught_up() -> bool:
            status = self.status()
            clocks = {source: one["last_sample"] for source, one in status.get("sources", {}).items()}
            queues = status.get("queues") or {"outbox": 1, "intake": 1}
            return not any(queues.values()) and all(
                clocks.get(source) == time for source, time in last.items()
            )

        eventually(caught_up, timeout_s, lambda: f"{self.status().get('sources')} {self.log}")

    def wait(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until the condition holds; fail with the daemon's log."""
        eventually(condition, timeout_s, lambda: self.log)
