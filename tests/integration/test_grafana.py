"""Every query of the dashboards and alert rules answers: a running demo, a real Prometheus that scrapes it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import paho.mqtt.publish as publish
import pytest
import yaml
from daemon_kit import PROGRAM, eventually

from monitor.io.broker import find_mosquitto, free_port

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
GRAFANA = DEPLOY / "grafana"
BOARDS = [json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))]
PAIR = "PEL-OUJ"
"""The plasmapause crosses it in the demo's first minute."""
SILENT = {
    "Geospace: health, Connections and failures, B": "no part fails in the demo",
    "Geospace: health, Injected signals, A": "the demo injects nothing",
    "Geospace: health, Injected windows, A": "the demo injects nothing",
}
"""Queries that find nothing in a demo in which all is well, and why; `test_silent_…` lets them speak."""
SILENT_SERIES = {
    "geospace_part_failures_total": "no part fails in the demo",
    "geospace_injection_": "the demo injects nothing",
    "instance:geospace_unheard_timestamp_seconds:last": "the demo hears its broker all the time",
}
"""The same of alert rules, by the begin of a series' name."""

sys.path.insert(0, str(GRAFANA))
from asking import Prometheus, Question, filled, questions, told  # noqa: E402  (it lies beside the dashboards)


@contextlib.contextmanager
def demo(directory: Path) -> Iterator[tuple[str, int]]:
    """The demo as a process: where its metrics are, and the port of its broker."""
    out = directory / "out"
    environment = {**os.environ, "TMPDIR": str(directory), "PYTHONUNBUFFERED": "1"}
    with (
        out.open("w") as file,
        subprocess.Popen(
            [PROGRAM, "demo"], stdout=file, stderr=subprocess.STDOUT, env=environment
        ) as process,
    ):
        try:
            eventually(lambda: "\naddress http://" in out.read_text(), 60, out.read_text)
            text = out.read_text()
            address = re.search(r"^address http://(\S+)", text, re.MULTILINE)
            port = re.search(r"^broker +mqtt://127\.0\.0\.1:(\d+)", text, re.MULTILINE)
            assert address is not None
            assert port is not None
            yield address[1], int(port[1])
            process.terminate()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


@contextlib.contextmanager
def prometheus(directory: Path, target: str) -> Iterator[str]:
    """The shipped configuration and rules, but quick, without Alertmanager, and with the demo as the daemon."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("the program prometheus is not installed")
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"].update(scrape_interval="500ms", scrape_timeout="500ms", evaluation_interval="2s")
    config["rule_files"] = [str(DEPLOY / "prometheus" / "rules" / "*.yml")]
    del config["alerting"]
    (job,) = (one for one in config["scrape_configs"] if one["job_name"] == "geospace-monitor")
    job["static_configs"] = [{"targets": [target]}]
    config["scrape_configs"] = [job]
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    port = free_port()
    with (
        (directory / "prometheus.out").open("w") as out,
        subprocess.Popen(
            [
                program,
                f"--config.file={path}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def selectors() -> dict[str, str]:
    """The vectors inside the alert rules, and the rule that each is of: what must be there even where nothing fires."""
    document = yaml.safe_load((GRAFANA / "provisioning" / "alerting" / "geospace.yaml").read_text())
    name = r"(?<![\w:\"])(?:(?:\w+:)?geospace_\w+(?::\w+)?|process_\w+|up(?=\{))"
    found = {}
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        for match in re.finditer(
            name + r'(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})?', rule["data"][0]["model"]["expr"]
        ):
            if not match[0].startswith(tuple(SILENT_SERIES)):
                found[match[0]] = rule["title"]
    return found


@dataclass(frozen=True, slots=True)
class Watched:
    """A Prometheus that scrapes a demo: its address, the demo's, and since when (Unix time, s)."""

    url: str
    instance: str
    begin_s: float

    def answers(self, question: Question) -> bool:
        """Whether a question has an answer now, with all since the begin as its range."""
        now_s, server = time.time(), Prometheus(self.url)
        values = {
            "instance": self.instance,
            "chain": "emma",
            "pair": PAIR,
            "craft": "MMS1",
            "__rate_interval": "15s",
            "__range_s": f"{now_s - self.begin_s:.0f}",
        }
        expression = filled(question.expression, values)
        if question.instant:
            return told(server.now(expression, now_s))
        return told(server.over(expression, self.begin_s, now_s, 0.5))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A demo that runs since a moment ago, and a Prometheus that has seen it."""
    if find_mosquitto() is None:
        pytest.skip("the program mosquitto is not installed")
    directory = tmp_path_factory.mktemp("watched")
    begin_s = time.time()
    with demo(directory) as (address, broker), prometheus(directory, address) as url:
        eventually(lambda: reached(Prometheus(url)), 60)
        # Something to be rejected; without it the counter of rejections would not be there.
        publish.single("geospace/v1/in/mag/MUO", "no JSON", qos=1, hostname="127.0.0.1", port=broker)
        yield Watched(url, address, begin_s)


def test_every_query_finds_something_in_the_running_demo(watched: Watched) -> None:
    asked = [one for board in BOARDS for one in questions(board)]
    asked += [
        Question(f"rule {rule}: {vector}", "A", vector, instant=True) for vector, rule in selectors().items()
    ]
    assert len(asked) > 150
    # Each has its time: no pair is without resonance at noon, nothing crosses in the morning.
    waiting = {one for one in asked if one.where not in SILENT}

    def nothing_waits() -> bool:
        time.sleep(0.5)  # the demo has two cores to share with what asks
        waiting.difference_update([one for one in waiting if watched.answers(one)])
        return not waiting

    eventually(nothing_waits, 200, lambda: "\n".join(sorted(one.where for one in waiting)))
    for one in asked:
        if one.where in SILENT:
            assert not watched.answers(one), f"{one.where} has an answer: strike it off"


def test_shipped_rules_are_evaluated_without_a_fault(watched: Watched) -> None:
    with urllib.request.urlopen(f"{watched.url}/api/v1/rules", timeout=10) as answer:
        rules = [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
    assert len(rules) > 20
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] == "err"] == []


def test_preview_draws_a_dashboard(watched: Watched, tmp_path: Path) -> None:
    span_s = max(30.0, time.time() - watched.begin_s)
    # The one with panels of every kind.
    options = ["--only", "geospace-now", "--span", f"{span_s:.0f}", "--pair", PAIR]
    done = subprocess.run(
        [sys.executable, GRAFANA / "preview.py", watched.url, tmp_path, *options],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (picture,) = (plt.imread(path) for path in tmp_path.glob("*.png"))
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 100, "little is drawn"


def reached(server: Prometheus) -> bool:
    with contextlib.suppress(OSError, ValueError):  # not there yet, or not ready
        return told(server.now("geospace_build_info", time.time()))
    return False


def test_silent_queries_speak_where_there_is_something_to_say(tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("the program promtool is not installed")
    values = {"instance": "x", "__rate_interval": "1m", "__range_s": "3600"}
    asked = {
        one.where: filled(one.expression, values)
        for board in BOARDS
        for one in questions(board)
        if one.where in SILENT
    }
    assert set(asked) == set(SILENT)
    failures, ratio, windows = (asked[name] for name in sorted(SILENT))
    document = {
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [
                    {"series": 'geospace_part_failures_total{instance="x",part="track"}', "values": "3x300"},
                    {
                        "series": 'geospace_injection_recovered_ratio{instance="x",subject="INJECT"}',
                        "values": "0.97x300",
                    },
                    {
                        "series": 'geospace_injection_windows_total{instance="x",subject="INJECT",outcome="wrong"}',
                        "values": "0+1x300",
                    },
                ],
                "promql_expr_test": [
                    {
                        "expr": expression,
                        "eval_time": "1h",
                        "exp_samples": [{"labels": labels, "value": value}],
                    }
                    for expression, labels, value in (
                        (failures, '{part="track"}', 3),
                        (ratio, '{subject="INJECT"}', 0.97),
                        (windows, '{subject="INJECT", outcome="wrong"}', 240),
                    )
                ],
            }
        ],
    }
    path = tmp_path / "silent.yml"
    path.write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [program, "test", "rules", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
