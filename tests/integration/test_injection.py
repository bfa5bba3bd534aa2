"""Live injection through a real broker: what is recovered, what is missing, and what happens to the real stations.

The clock of the injected signals is set on by the test, and waits for the daemon: nothing here depends on speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemon_kit import LEARNED_WINDOWS, ROOT, Listener, closing, retained, write_config
from mqtt_kit import Mosquitto, until
from prometheus_client.parser import text_string_to_metric_families

from monitor.config import load_config
from monitor.daemon import injection
from monitor.daemon.runtime import Daemon
from monitor.plugins import installed
from monitor.types import SECOND_NS, SHADOW_CRAFT, SHADOW_PAIR

MINUTE_NS = 60 * SECOND_NS
BEGIN_NS = 1_763_683_200 * SECOND_NS // (86_400 * SECOND_NS) * 86_400 * SECOND_NS
"""A midnight: the pair and the spacecraft come to a new state."""
PATIENT_S = 60.0

MISSING = f'geospace_injection_windows_total{{subject="{SHADOW_PAIR.name}",outcome="missing"}}'
RATIO = f'geospace_injection_recovered_ratio{{subject="{SHADOW_PAIR.name}"}}'

Series = dict[tuple[str, ...], float]


class Clock:
    """Stands still until it is set on."""

    def __init__(self) -> None:
        self.now_ns = BEGIN_NS

    def __call__(self) -> int:
        return self.now_ns


class Watched:
    """A daemon in this process whose injection runs on a clock of the test's."""

    def __init__(self, daemon: Daemon, clock: Clock) -> None:
        self.daemon = daemon
        self.clock = clock
        self.url = ""

    async def get(self, path: str) -> str:
        def fetch() -> str:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                text: str = answer.read().decode()
                return text

        return await asyncio.to_thread(fetch)

    async def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(await self.get("/api/status"))
        return document

    async def series(self, name: str) -> Series:
        """A metric's samples, by the values of their labels in the order of the labels' names."""
        families = text_string_to_metric_families(await self.get("/metrics"))
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
            if sample.name == name
        }

    async def windows(self, subject: str) -> dict[str, float]:
        """Injected windows by outcome."""
        found = await self.series("geospace_injection_windows_total")
        return {outcome: value for (outcome, name), value in found.items() if name == subject}

    async def eventually(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until an asynchronous condition holds."""
        deadline = time.monotonic() + PATIENT_S
        while not await condition():
            assert time.monotonic() < deadline, f"{what}; {await self.get('/metrics')}"[-4000:]
            await asyncio.sleep(0.05)

    async def scrape(self) -> dict[str, float]:
        """What the alerts see of the pair, by series."""
        subject = SHADOW_PAIR.name
        return {
            MISSING: (await self.windows(subject))["missing"],
            RATIO: (await self.series("geospace_injection_recovered_ratio"))[(subject,)],
        }

    def _is_answered(self) -> bool:
        """Whether the newest window of each shadow, with the context behind it, has come back."""
        inject = self.daemon._injection
        for score in inject._scores:
            every_ns = score._windows.every_ns
            newest_ns = (self.clock.now_ns - MINUTE_NS) // every_ns * every_ns
            if score._next_ns <= newest_ns and newest_ns not in score._heard:
                return False
        return True

    async def go_on(self, minutes: int, *, step: int = 2, broken: bool = False) -> None:
        """Set the clock on by some minutes at a time, fewer than windows are waited for.

        Never faster than the injected samples are sent and answered, unless the way is broken.
        """
        inject = self.daemon._injection
        end_ns = self.clock.now_ns + minutes * MINUTE_NS
        while self.clock.now_ns < end_ns:
            self.clock.now_ns = min(self.clock.now_ns + step * MINUTE_NS, end_ns)
            if broken:
                # The injection has seen this time before the next comes.
                await until(lambda: inject._turned_ns == self.clock.now_ns, PATIENT_S)
            else:
                await until(lambda: inject._fed_ns == self.clock.now_ns, PATIENT_S)
                await until(self._is_answered, PATIENT_S)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(injection, "_POLL_S", 0.02)
    monkeypatch.setattr(injection, "wall_ns", clock)
    return clock


@contextlib.asynccontextmanager
async def watched(config: Path, clock: Clock) -> AsyncIterator[Watched]:
    """A running daemon, connected, and its injection too."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    daemon = Daemon(load_config(config, installed()), on_ready=ready.set_result)
    task = asyncio.create_task(daemon.run())
    try:
        found = Watched(daemon, clock)
        await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED, timeout=PATIENT_S)
        found.url = ready.result()
        inject = daemon._injection
        await until(lambda: daemon._link.connected and inject._link.connected, PATIENT_S)
        yield found
    finally:
        daemon.stop()
        await task


def configured(path: Path, broker: Mosquitto, *, lateness_s: int | None = None, **switches: bool) -> Path:
    patient = {} if lateness_s is None else {"lateness_s": lateness_s}
    return write_config(
        path,
        broker.url,
        windows=LEARNED_WINDOWS | patient,
        craft_windows=patient,
        injection=switches,
    )


async def test_injected_signals_are_recovered_and_a_dead_broker_is_missing(
    tmp_path: Path, mosquitto: Mosquitto, clock: Clock
) -> None:
    config = configured(tmp_path / "watched.yaml", mosquitto, lateness_s=400, pair=True, craft=True)
    with closing(Listener(mosquitto.port)) as listener:
        async with watched(config, clock) as monitor:
            assert await monitor.series("geospace_injection_recovered_ratio") == {}
            assert await monitor.windows(SHADOW_PAIR.name) == {"recovered": 0, "wrong": 0, "missing": 0}

            # The first window of the pair ends after two hours, and is judged ten minutes later.
            await monitor.go_on(144, step=6)
            await monitor.eventually(
                lambda: _has(monitor, SHADOW_PAIR.name, judged=2), "the pair is not judged"
            )
            assert await monitor.windows(SHADOW_PAIR.name) == {"recovered": 2, "wrong": 0, "missing": 0}
            craft = await monitor.windows(SHADOW_CRAFT)
            # Eight in each of four stays, and some in the fifth.
            assert craft["missing"] == 0
            assert craft["recovered"] >= 0.8 * sum(craft.values()) >= 0.8 * 32
            ratio = await monitor.series("geospace_injection_recovered_ratio")
            assert ratio[(SHADOW_PAIR.name,)] == 1.0
            assert ratio[(SHADOW_CRAFT,)] == craft["recovered"] / sum(craft.values())
            ends = await monitor.series("geospace_injection_data_timestamp_seconds")
            assert ends[(SHADOW_PAIR.name,)] == BEGIN_NS / SECOND_NS + 130 * 60

            await _says_that_they_are_not_real(monitor, listener)

            mosquitto.kill()
            await until(lambda: not monitor.daemon._link.connected, PATIENT_S)
            scrapes = [await monitor.scrape()]
            for judged in range(3, 11):
                await monitor.go_on(10, step=5, broken=True)
                await monitor.eventually(
                    partial(_has, monitor, SHADOW_PAIR.name, judged=judged), "what is missing is not judged"
                )
                scrapes.append(await monitor.scrape())
            # What ended before the broker did was heard, and judged later; nothing came after it.
            assert (await monitor.windows(SHADOW_PAIR.name))["missing"] == 7
            assert scrapes[-1][RATIO] == 0.3
            assert (await monitor.windows(SHADOW_CRAFT))["missing"] >= 16
            assert fired(tmp_path, scrapes) == {"GeospaceInjectionNotRecovered", "GeospaceInjectionMissing"}
            assert fired(tmp_path, scrapes[:1] * len(scrapes)) == set()

            # Back again: an hour of samples comes late, and new windows are recovered.
            mosquitto.start()
            inject = monitor.daemon._injection
            await until(lambda: monitor.daemon._link.connected and inject._link.connected, PATIENT_S)
            await until(lambda: inject._fed_ns == clock.now_ns, PATIENT_S)
            before = (await monitor.windows(SHADOW_CRAFT))["recovered"]
            await monitor.go_on(20)
            await monitor.eventually(
                lambda: _recovered_since(monitor, before), "nothing is recovered after the broker came back"
            )


def fired(directory: Path, scrapes: list[dict[str, float]]) -> set[str]:
    """The shipped alerts that Prometheus raises at the end of scrapes which are ten minutes apart."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("the program promtool is not installed")
    rules = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules" / "injection.yml"
    document = yaml.safe_load(rules.read_text())
    names = [rule["alert"] for group in document["groups"] for rule in group["rules"]]
    series = [
        {"series": name, "values": " ".join(str(scrape[name]) for scrape in scrapes)} for name in scrapes[0]
    ]
    raised = set()
    for name in names:
        quiet = {"eval_time": f"{10 * (len(scrapes) - 1)}m", "alertname": name, "exp_alerts": []}
        test = {"interval": "10m", "input_series": series, "alert_rule_test": [quiet]}
        path = directory / "alerts.yml"
        path.write_text(
            json.dumps({"rule_files": [str(rules)], "evaluation_interval": "5m", "tests": [test]})
        )
        done = subprocess.run(
            [program, "test", "rules", path], capture_output=True, text=True, timeout=60, check=False
        )
        told = done.stdout + done.stderr
        assert done.returncode == 0 or f"alertname: {name}" in told, told
        if done.returncode:
            raised.add(name)
    return raised


async def _has(monitor: Watched, subject: str, *, judged: int) -> bool:
    return sum((await monitor.windows(subject)).values()) >= judged


async def _recovered_since(monitor: Watched, before: float) -> bool:
    return (await monitor.windows(SHADOW_CRAFT))["recovered"] > before


async def _says_that_they_are_not_real(monitor: Watched, listener: Listener) -> None:
    async def is_told() -> bool:
        newest = (await monitor.status())["injection"][SHADOW_PAIR.name]["newest"]
        return newest is not None and newest["label"] == "Freq"

    await monitor.eventually(is_told, "the status has not the newest label")
    status = await monitor.status()
    assert set(status["pairs"]) == {"NUR-TAR", "TAR-BRZ"}
    assert (status["regions"], status["events"], status["sources"]) == ({}, [], {})
    assert set(status["injection"]) == {SHADOW_PAIR.name, SHADOW_CRAFT}
    assert status["injection"][SHADOW_PAIR.name]["recovered_ratio"] == 1.0
    for kind in ("flr", "region"):
        assert listener.documents(kind)
        assert all("injection" in document["flags"] for document in listener.documents(kind))
    assert (listener.documents("event"), listener.documents("health")) == ([], [])
    assert await monitor.series("geospace_station_state") == {}
    assert all(SHADOW_CRAFT not in labels for labels in await monitor.series("geospace_event_active"))


async def test_station_that_the_broker_keeps_out_makes_wrong_windows(
    tmp_path: Path, mosquitto_at: Callable[..., Mosquitto], clock: Clock
) -> None:
    rules = tmp_path / "rules"
    denied = f"topic read #\ntopic write {ROOT}/#\ntopic deny {ROOT}/in/mag/INJQ\n"
    rules.write_text(denied)
    broker = mosquitto_at(extra=[f"acl_file {rules}"])
    broker.start()
    config = configured(tmp_path / "denied.yaml", broker, pair=True)
    async with watched(config, clock) as monitor:
        await monitor.go_on(126)
        await monitor.eventually(lambda: _has(monitor, SHADOW_PAIR.name, judged=1), "nothing is judged")
        assert await monitor.windows(SHADOW_PAIR.name) == {"recovered": 0, "wrong": 1, "missing": 0}
        assert (await monitor.series("geospace_injection_recovered_ratio"))[(SHADOW_PAIR.name,)] == 0.0
        assert (await monitor.status())["injection"][SHADOW_PAIR.name]["newest"]["flags"] == [
            "gap",
            "injection",
        ]


async def test_time_in_which_the_daemon_was_not_there_is_not_judged(
    tmp_path: Path, mosquitto: Mosquitto, clock: Clock
) -> None:
    config = configured(tmp_path / "asleep.yaml", mosquitto, craft=True)
    async with watched(config, clock) as monitor:
        await monitor.go_on(20)
        before = await monitor.windows(SHADOW_CRAFT)
        clock.now_ns += 600 * MINUTE_NS
        await monitor.go_on(20)
        await monitor.eventually(
            lambda: _has(monitor, SHADOW_CRAFT, judged=int(sum(before.values())) + 2),
            "nothing is judged after the pause",
        )
        after = await monitor.windows(SHADOW_CRAFT)
        # The windows that were waited for are given up; those of the pause were never expected.
        assert after["missing"] == before["missing"] == 0
        assert sum(after.values()) < 15


async def test_fault_of_the_injection_ends_it_alone_and_is_told(
    tmp_path: Path,
    mosquitto: Mosquitto,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_score: injection.Score, _now_ns: int) -> list[Any]:
        raise ArithmeticError("a fault that nobody thought of")

    config = configured(tmp_path / "faulty.yaml", mosquitto, craft=True)
    async with watched(config, clock) as monitor:
        monkeypatch.setattr(injection.Score, "judge", broken)
        await until(lambda: "the injection failed and has stopped" in caplog.text, PATIENT_S)
        assert "a fault that nobody thought of" in caplog.text
        assert json.loads(await monitor.get("/readyz"))["ready"] is True
        # What would tell of it stays where it was, and the count is still there for the alert to see.
        assert sum((await monitor.windows(SHADOW_CRAFT)).values()) == 0


async def test_switched_off_it_leaves_nothing_retained_behind(
    tmp_path: Path, mosquitto: Mosquitto, clock: Clock
) -> None:
    config = configured(tmp_path / "off.yaml", mosquitto, craft=True)
    async with watched(config, clock) as monitor:
        await monitor.go_on(15)
        await monitor.eventually(lambda: _has(monitor, SHADOW_CRAFT, judged=1), "nothing is judged")
    assert f"region/{SHADOW_CRAFT}" in await asyncio.to_thread(retained, mosquitto.port)
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "injection": {}}))
    daemon = Daemon(load_config(config, installed()))
    task = asyncio.create_task(daemon.run())
    try:
        deadline = time.monotonic() + PATIENT_S
        while f"region/{SHADOW_CRAFT}" in await asyncio.to_thread(retained, mosquitto.port):
            assert time.monotonic() < deadline
    finally:
        daemon.stop()
        await task
