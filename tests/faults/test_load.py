"""Five times what it can take: memory stays bounded, nothing acknowledged is lost, and it comes back to real time.

What the daemon can take is measured first, in the same run. So that the broker holds the backlog of minutes and the
daemon works it off in seconds, it gets a small share of a processor meanwhile (it is stopped for most of every tenth
of a second), and all of it afterwards: a machine that is busy with something else for a while.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from crowd import Crowd, Plan
from daemon_kit import ROOT, Client, DaemonProcess, Feeder, closing, eventually, write_config
from mqtt_kit import Mosquitto
from vitals import Vitals, ask, number, total

from monitor.config.schema import Intake
from monitor.io.store import Store
from monitor.types import SECOND_NS, iso_time

PAIRS = ["KEV-IVA", "SOD-PEL", "OUJ-HAN", "NUR-TAR", "BRZ-SUW"]
KNOWN = [code for pair in PAIRS for code in pair.split("-")]
SINGLES = ["MUO", "RAN", "QQ1"]
BATCHES = [*KNOWN, "QQ2"]
"""Those that begin with Q are in no pair: their messages are refused, which costs time too."""
LIVE = ("LVA", "LVB")
"""Stations of now: how far they are behind is how far the daemon is behind."""
BATCH = 60
TIMES = 5
SHARE = 0.1
PERIOD_S = 0.1
PATIENCE_S = 20.0
"""For an answer over HTTP of a daemon that has a tenth of a busy machine."""
MEASURED_S = 8.0
REVISE_S, LENGTH_S = 3600, 7200

RINGS_MB = 9 * (REVISE_S + 2 * LENGTH_S) * len([*KNOWN, *SINGLES, *LIVE]) / 1e6
"""Samples that late data may still change: 9 bytes each."""
DECODED = 30
"""Bytes of Python objects that a byte of a message may become on its way: text, floats, blocks, arrays, rows."""
ARITHMETIC_MB = 48.0
"""Arrays of the stages in hand, the caches of SQLite, and what the allocator does not give back."""

PUBLISHED_AT_ONCE = 100
"""Our own messages under way: the client reads as many packets more before it stops."""

pytestmark = [pytest.mark.broker, pytest.mark.timeout(2400)]


@contextlib.contextmanager
def slowed(pid: int, share: float) -> Iterator[None]:
    """Let a process run for a share of the time only."""
    over = threading.Event()

    def throttle() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(PERIOD_S * (1 - share))
            os.kill(pid, signal.SIGCONT)
            time.sleep(PERIOD_S * share)

    thread = threading.Thread(target=throttle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        os.kill(pid, signal.SIGCONT)


@dataclass(slots=True)
class Log:
    """What was read of the daemon from outside, twice a second."""

    depth: list[float] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    resident_MB: list[float] = field(default_factory=list)
    answer_s: list[float] = field(default_factory=list)
    unanswered: int = 0

    def read(self, daemon: DaemonProcess) -> None:
        began = time.monotonic()
        code, text = ask(daemon, "/metrics", PATIENCE_S)
        self.answer_s.append(time.monotonic() - began)
        self.unanswered += code != 200
        self.resident_MB.append(Vitals.of(daemon.pid).resident_MB)
        self.depth.append(number(text, 'geospace_queue_depth{queue="intake"}') or 0.0)
        self.lag_s.append(number(text, f'geospace_source_lag_seconds{{source="{LIVE[0]}"}}') or 0.0)


@contextlib.contextmanager
def observed(daemon: DaemonProcess) -> Iterator[Log]:
    """Read it for as long as the context lasts."""
    log, over = Log(), threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            log.read(daemon)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield log
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def live(port: int) -> Iterator[Counter[str]]:
    """Two stations that send each second as it ends; gives what they have sent."""
    sent: Counter[str] = Counter()
    over = threading.Event()
    with closing(Feeder(port)) as feeder:

        def play() -> None:
            second = int(time.time())
            while not over.is_set():
                for station in LIVE:
                    body = f'{{"time":"{iso_time(second * SECOND_NS)}","H":{20_000 + second % 10}}}'
                    feeder.publish(f"{ROOT}/in/mag/{station}", body.encode())
                    sent[station] += 1
                second += 1
                over.wait(max(0.0, second - time.time()))

        thread = threading.Thread(target=play)
        thread.start()
        try:
            yield sent
        finally:
            over.set()
            thread.join()
            feeder.flush()


def flood(port: int, name: str, rate: float, duration_s: float, begin_s: int) -> list[Crowd]:
    """Publishers of singles and of batches, half the rate each."""
    plans = [
        Plan(port, f"{name}-{samples}", stations, samples, begin_s, rate / 2, duration_s)
        for samples, stations in ((1, SINGLES), (BATCH, BATCHES))
    ]
    return [Crowd(plan) for plan in plans]


def gathered(crowds: list[Crowd], timeout_s: float, sent: Counter[str]) -> int:
    """Wait for publishers; add what the broker took of each station to `sent`, and return how many messages."""
    messages = 0
    for crowd in crowds:
        taken = crowd.wait(timeout_s)
        sent.update(crowd.plan.samples_sent(taken))
        messages += taken
    return messages


def received(daemon: DaemonProcess) -> float:
    return total(daemon.get("/metrics")[1], "geospace_messages_received_total")


def stored_seconds(path: Path) -> Mapping[str, int]:
    """How many seconds of each station are in the store, each counted once."""
    times: dict[str, list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = {}
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as store:
        for _, block in store.samples(None, 0):
            times.setdefault(block.source, []).append(block.t0_ns + np.arange(block.count) * block.step_ns)
    return {source: np.unique(np.concatenate(each)).size for source, each in times.items()}


class Dropped(Client):
    """What the broker says that it had no room for."""

    def __init__(self, port: int) -> None:
        self.count = 0
        self.heard = threading.Event()
        topics = ["$SYS/broker/publish/messages/#"]
        super().__init__(port, name="dropped", topics=topics, on_message=self._note)

    def _note(self, message: object) -> None:
        topic, value = message.topic, message.payload  # type: ignore[attr-defined]  # a paho message
        # It is silent on what never changed from nothing.
        self.count = int(value) if topic.endswith("/dropped") else self.count
        self.heard.set()


def test_five_times_what_it_can_take_is_bounded_lost_never_and_worked_off(
    mosquitto_at: Callable[..., Mosquitto],
    tmp_path: Path,
    of_scale: Callable[[float, float], float],
    found: Callable[..., None],
) -> None:
    overload_s = of_scale(20.0, 600.0)
    # The shipped settings, with room for the backlog of ten minutes.
    broker = mosquitto_at(
        extra=["max_queued_messages 5000000", "max_queued_bytes 6000000000", "sys_interval 1"]
    )
    broker.start()
    config = write_config(
        tmp_path / "load.json",
        broker.url,
        stations={code: {"magnetic_latitude": 55.0 - n} for n, code in enumerate(LIVE)},
        pairs=[*PAIRS, "MUO-RAN", "-".join(LIVE)],
        windows={"length_s": LENGTH_S, "cadence_s": 1800, "lateness_s": 120, "revise_s": REVISE_S},
        store={"retention_h": 100_000},
        intake={"batch_s": 0.2},
    )
    begin_s = int(time.time()) - 90 * 86_400
    sent: Counter[str] = Counter()
    crowds: list[Crowd] = []
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(DaemonProcess(config))
        stack.callback(lambda: [crowd.end() for crowd in crowds])
        start = Vitals.of(daemon.pid)
        with observed(daemon) as log, live(broker.port) as sent_live:
            eventually(lambda: len(log.depth) > 4, 10.0)
            with slowed(daemon.pid, SHARE):
                crowds += flood(broker.port, "first", 1500.0, MEASURED_S, begin_s)
                before, began = received(daemon), time.monotonic()
                messages = gathered(crowds, MEASURED_S + 60, sent)
                rate = (received(daemon) - before) / (time.monotonic() - began)
                longest_s = max(
                    len(crowd.plan.stations) and n for crowd in crowds for n in [max(sent.values())]
                )
                crowds += flood(
                    broker.port, "second", TIMES * rate, overload_s - MEASURED_S, begin_s + longest_s
                )
                messages += gathered(crowds[2:], overload_s + 120, sent)
                backlog = messages + sum(sent_live.values()) - received(daemon)
            drained = time.monotonic()
            eventually(
                lambda: messages <= received(daemon) - sum(sent_live.values()) + 2, 600.0, lambda: daemon.log
            )
            eventually(lambda: log.lag_s[-1] < 5.0, 60.0, lambda: f"{log.lag_s[-5:]}; {daemon.log}")
            drained_s = time.monotonic() - drained
        held = number(daemon.get("/metrics")[1], "geospace_intake_held_seconds_total")
        rejected = daemon.status()["rejected"]
        with closing(Dropped(broker.port)) as dropped:
            assert dropped.heard.wait(10), "the broker says nothing of itself"
            eventually(lambda: daemon.status()["queues"]["intake"] == 0, 10.0)
        assert daemon.get("/readyz")[0] == 200
        assert daemon.stop() == 0, daemon.log
    sent.update(sent_live)
    known = {source: count for source, count in sent.items() if not source.startswith("Q")}
    kept = stored_seconds(daemon.store_path)
    lost = sum(count - kept.get(source, 0) for source, count in known.items())
    largest = max(len(crowd.plan.payload(0)) for crowd in crowds)
    bound_MB = Intake().queue_messages * largest * DECODED / 1e6 + RINGS_MB + ARITHMETIC_MB
    found(
        overload_s=overload_s,
        rate=round(rate, 1),
        offered=round(TIMES * rate, 1),
        messages=messages,
        samples=sum(known.values()),
        lost=lost,
        dropped_by_broker=dropped.count,
        backlog=round(backlog),
        drained_s=round(drained_s, 1),
        start_MB=round(start.resident_MB, 1),
        peak_MB=round(max(log.resident_MB), 1),
        bound_MB=round(bound_MB, 1),
        deepest=max(log.depth),
        held_s=held,
        worst_lag_s=round(max(log.lag_s), 1),
        last_lag_s=round(log.lag_s[-1], 1),
        slowest_answer_s=round(max(log.answer_s), 2),
        unanswered=log.unanswered,
    )
    assert dropped.count == 0, "the broker had too little room: what is missing is its loss"
    assert lost == 0, {source: (count, kept.get(source)) for source, count in known.items()}
    assert rejected == {"native: unknown_station": sent["QQ1"] + sent["QQ2"] // BATCH}
    assert backlog > 0.5 * (TIMES - 1) * rate * (overload_s - MEASURED_S), "this was no overload"
    assert max(log.resident_MB) - start.resident_MB < bound_MB
    assert 0 < max(log.depth) <= Intake().queue_messages + 2 * PUBLISHED_AT_ONCE
    assert max(log.lag_s) > 5.0
    assert log.unanswered == 0
    assert re.search("Traceback", daemon.log) is None
