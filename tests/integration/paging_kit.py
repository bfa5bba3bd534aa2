"""Real parts for the tests of what wakes people: Prometheus, Alertmanager, and somebody with a pager.

Both programs run with the files of `deploy/` as they are, but for the addresses of each other.
"""

from __future__ import annotations

import abc
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemon_kit import Document, eventually

from monitor.io.broker import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCS = DEPLOY.parent / "docs"
CROSSING = "GeospacePlasmapauseCrossing"


def program(*names: str) -> str:
    """The first of these programs that is installed; the test is skipped where none is."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/bin"])
    for name in names:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    pytest.skip(f"the program {names[0]} is not installed")


class _Server(abc.ABC):
    """A program with an HTTP API on a free loopback port; it is gone after the context."""

    ready = "/-/ready"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    @abc.abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    def __enter__(self) -> Any:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        eventually(self._answers, 60.0, lambda: self.log)
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=10)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            with urllib.request.urlopen(f"http://{self.address}{self.ready}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """A document of the API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self.address}{path}?{query}", timeout=20) as answer:
            return json.load(answer)


# -- who is woken -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notice:
    """One message of Alertmanager, and when it came (Unix time)."""

    received_s: float
    path: str
    body: Document

    def alerts(self, instance: str, status: str) -> list[Document]:
        """Those of one daemon that it tells of as `firing` or `resolved`."""
        return [
            alert
            for alert in self.body["alerts"]
            if alert["labels"].get("instance") == instance and alert["status"] == status
        ]


class Webhook:
    """Takes whatever is posted, and keeps it."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        kept = self.notices

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept.append(Notice(time.time(), self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Webhook:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def told(self, instance: str, status: str = "firing") -> list[tuple[Notice, list[str]]]:
        """Every message that tells of pages of a daemon, with the names of those alerts."""
        found = []
        for notice in list(self.notices):
            names = [
                alert["labels"]["alertname"]
                for alert in notice.alerts(instance, status)
                if alert["labels"].get("severity") == "page"
            ]
            if names:
                found.append((notice, names))
        return found

    def pages(self, instance: str, status: str = "firing") -> list[str]:
        """The same without the messages: one list of names for each, joined."""
        return [" ".join(sorted(names)) for _, names in self.told(instance, status)]

    def __str__(self) -> str:
        return "\n".join(json.dumps(notice.body) for notice in self.notices)


# -- Alertmanager -----------------------------------------------------------------------------------------


class Alertmanager(_Server):
    """The shipped one, but that whoever is told is the webhook, each receiver under its own path."""

    def __init__(self, directory: Path, webhook: Webhook) -> None:
        super().__init__(directory)
        self.program = program("prometheus-alertmanager", "alertmanager")
        self.configuration = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
        for receiver in self.configuration["receivers"]:
            for hook in receiver.get("webhook_configs", []):
                hook["url"] = f"{webhook.url}/{receiver['name']}"
        self.file = directory / "alertmanager.yml"
        self.file.write_text(yaml.safe_dump(self.configuration, sort_keys=False))

    def command(self) -> list[str]:
        return [
            self.program,
            f"--config.file={self.file}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]

    def waits_s(self, **labels: str) -> float:
        """How long an alert with these labels waits for others before it is told: `group_wait` of its route."""
        route, waits = self.configuration["route"], "30s"
        while route is not None:
            waits = route.get("group_wait", waits)
            below = (one for one in route.get("routes", []) if _takes(one, labels))
            route = next(below, None)
        return seconds(waits)

    def alerts(self, instance: str) -> dict[str, Document]:
        """What it knows of a daemon, by name."""
        return {
            alert["labels"]["alertname"]: alert
            for alert in self.get("/api/v2/alerts")
            if alert["labels"].get("instance") == instance
        }

    def is_muted(self, instance: str, name: str) -> bool:
        """Whether it knows an alert, and another one keeps it quiet."""
        alert = self.alerts(instance).get(name)
        return alert is not None and bool(alert["status"]["inhibitedBy"])


def _takes(route: Document, labels: dict[str, str]) -> bool:
    """Whether a route's matchers, which are all equalities here, take an alert."""
    for matcher in route.get("matchers", []):
        name, sign, value = matcher.partition("=")
        assert sign, f"this kit reads no matcher like {matcher}"
        if labels.get(name.strip()) != value.strip().strip('"'):
            return False
    return True


# -- Prometheus -------------------------------------------------------------------------------------------


class Prometheus(_Server):
    """The shipped one with its rules and intervals, but for the addresses of what it scrapes and tells."""

    def __init__(self, directory: Path, *, monitors: Sequence[str], alertmanager: str) -> None:
        super().__init__(directory)
        self.program = program("prometheus")
        shipped = DEPLOY / "prometheus"
        shutil.copytree(shipped / "rules", directory / "rules")
        self.configuration = yaml.safe_load((shipped / "prometheus.yml").read_text())
        places = {
            "geospace-monitor": list(monitors),
            "prometheus": [self.address],
            "alertmanager": [alertmanager],
        }
        for job in self.configuration["scrape_configs"]:
            job["static_configs"][0]["targets"] = places[job["job_name"]]
        for manager in self.configuration["alerting"]["alertmanagers"]:
            manager["static_configs"][0]["targets"] = [alertmanager]
        self.file = directory / "prometheus.yml"
        self.file.write_text(yaml.safe_dump(self.configuration, sort_keys=False))

    def command(self) -> list[str]:
        return [
            self.program,
            f"--config.file={self.file}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
        ]

    @property
    def scrape_s(self) -> float:
        return seconds(self.configuration["global"]["scrape_interval"])

    @property
    def evaluation_s(self) -> float:
        return seconds(self.configuration["global"]["evaluation_interval"])

    def query(self, expression: str) -> list[Document]:
        """The vector or matrix that an expression gives now."""
        answer = self.get("/api/v1/query", query=expression)
        assert answer["status"] == "success", answer
        result: list[Document] = answer["data"]["result"]
        return result

    def alerts(self, instance: str, state: str = "firing") -> dict[str, Document]:
        """The alerts of one daemon in a state, by name."""
        return {
            alert["labels"]["alertname"]: alert
            for alert in self.get("/api/v1/alerts")["data"]["alerts"]
            if alert["labels"].get("instance") == instance and alert["state"] == state
        }

    def evaluations(self) -> Iterator[int]:
        """How many evaluations of all groups were seen since the first call; for ever."""
        seen = self._evaluated()
        count = 0
        while True:
            now = self._evaluated()
            if all(now[group] > seen[group] for group in seen):
                seen, count = now, count + 1
            yield count

    def wait_for_evaluations(self, count: int) -> None:
        """Wait until every rule was evaluated so many times more: what would fire has fired."""
        counted = self.evaluations()
        eventually(lambda: next(counted) >= count, count * self.evaluation_s + 120.0, lambda: self.log)

    def _evaluated(self) -> dict[str, str]:
        groups = self.get("/api/v1/rules")["data"]["groups"]
        return {group["name"]: group["lastEvaluation"] for group in groups}


def unix_s(time_text: str) -> float:
    """Unix time of a time in UTC as these programs write it: up to nanoseconds, or none, and Z."""
    whole, _, fraction = time_text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def seconds(duration: str) -> float:
    """Of a duration such as `15s` or `5m`."""
    return float(duration[:-1]) * {"s": 1.0, "m": 60.0, "h": 3600.0}[duration[-1]]
