"""What a message costs from a real Mosquitto to the disk, and whether any is lost.

A publisher (its own process) leaves native messages at QoS 1 in the broker, under two persistent sessions. Then, one
after the other, two consumers fetch the same backlog as fast as they can:

- the daemon's intake (`MqttLink`, `Worker.take`, `Store` on disk) acknowledges after the durable commit, no stages;
- the reference acknowledges on arrival and stores nothing: aiomqtt with its defaults.

A last case is a flood that is refused: valid messages of stations that nobody configured, each under a name of its own.

Claim (exit code 1 where it fails; `--no-check` only prints): every published sample is in the store. Rates are wall
time and share the machine with the broker; CPU is this process's, the consumer's, all threads. Medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aiomqtt
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from monitor.config import Config, quick_config
from monitor.daemon.worker import Worker
from monitor.decoders.native import NativeDecoder
from monitor.errors import BrokerError, DecodeError
from monitor.io.broker import LocalBroker, find_mosquitto
from monitor.io.metrics import Metrics
from monitor.io.mqtt import MqttLink, MqttSettings
from monitor.io.store import Store
from monitor.pipeline import Pipeline
from monitor.plugins import surroundings_of
from monitor.types import SECOND_NS, Message, SampleBlock, iso_time

FILTER = "geospace/v1/in/mag/+"
REFERENCE_ID = "reference"
PATIENCE_S = 20.0
TIMED_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class Case:
    """How many stations send how much."""

    stations: int
    samples_a_message: int
    messages: int
    refused: bool = False

    def code(self, number: int) -> str:
        """The station that sends a message; of a flood it is one that is not configured."""
        return f"X{number % 1_000_000:06d}" if self.refused else self.codes[number % self.stations]

    @property
    def codes(self) -> list[str]:
        """Station codes; two by two they are pairs."""
        return [f"S{number:03d}" for number in range(self.stations + self.stations % 2)]

    @property
    def samples(self) -> int:
        """Samples in all messages that should be stored."""
        return 0 if self.refused else self.messages * self.samples_a_message

    @property
    def name(self) -> str:
        """For the table."""
        kind = "singles" if self.samples_a_message == 1 else f"batches of {self.samples_a_message}"
        return f"refused, {kind}" if self.refused else f"{self.stations} stations, {kind}"


@dataclass(slots=True)
class Costs:
    """What one drain took: CPU seconds by part, and wall seconds."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    parts_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))


class TimedStore(Store):
    """The daemon's store, with the CPU time of its commits."""

    commit_cpu_s = 0.0
    commits = 0

    def write_samples(self, blocks: Sequence[SampleBlock], states: Mapping[str, str] | None = None) -> int:
        """As `Store.write_samples`."""
        begin = time.thread_time()
        row = super().write_samples(blocks, states)
        self.commit_cpu_s += time.thread_time() - begin
        self.commits += 1
        return row


# -- the publisher (its own process) ---------------------------------------------------------------------------


def payload(number: int, case: Case, start_ns: int) -> bytes:
    """H, E and Z of one message, as a station sends them."""
    count = case.samples_a_message
    first_ns = start_ns + number // case.stations * count * SECOND_NS
    values = (20_000.0 + np.random.default_rng(number).normal(0.0, 5.0, (3, count)).round(3)).tolist()
    body: dict[str, object]
    if count == 1:
        body = {"time": iso_time(first_ns), **{name: row[0] for name, row in zip("HEZ", values, strict=True)}}
    else:
        body = {"start": iso_time(first_ns), "step_s": 1.0, **dict(zip("HEZ", values, strict=True))}
    return json.dumps(body, separators=(",", ":")).encode()


def publish(port: int, case: Case, start_ns: int) -> None:
    """Publish all messages, all stations at the top of each second, and wait until the broker has every one."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="publisher")
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        sent = [
            client.publish(
                f"geospace/v1/in/mag/{case.code(number)}",
                payload(number, case, start_ns),
                qos=1,
            )
            for number in range(case.messages)
        ]
        for message in sent:
            message.wait_for_publish()
    finally:
        client.disconnect()
        client.loop_stop()


async def publish_elsewhere(port: int, case: Case, start_ns: int) -> None:
    """Run `publish` in a process of its own."""
    numbers = (port, case.stations, case.samples_a_message, case.messages, int(case.refused), start_ns)
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--publish", *(str(number) for number in numbers)
    )
    if await child.wait():
        raise RuntimeError("the publisher failed; its traceback is above")


# -- the consumers ---------------------------------------------------------------------------------------------


def configuration(case: Case) -> Config:
    """The daemon's defaults, and disjoint pairs of the case's stations."""
    codes = case.codes
    pairs = [f"{pole}-{equator}" for pole, equator in zip(codes[::2], codes[1::2], strict=True)]
    return quick_config(pairs, [])


@contextlib.asynccontextmanager
async def linked(config: Config, url: str) -> AsyncIterator[MqttLink]:
    """A connected link with the daemon's settings."""
    up = asyncio.Event()
    link = MqttLink(
        MqttSettings.from_config(config.mqtt, None, url=url),
        subscriptions=[FILTER],
        will=None,
        queue_size=config.intake.queue_messages,
        on_connection=lambda connected, _: up.set() if connected else None,
    )
    running = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await up.wait()
        yield link
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def reference_client(port: int) -> aiomqtt.Client:
    """aiomqtt as it comes, but for a session that outlives the connection."""
    return aiomqtt.Client("127.0.0.1", port, identifier=REFERENCE_ID, clean_session=False)


async def open_sessions(config: Config, broker: LocalBroker) -> None:
    """Let the broker remember both consumers before anything is published."""
    async with linked(config, broker.url):
        pass
    async with reference_client(broker.port) as client:
        await client.subscribe(FILTER, qos=1)


async def drain_durably(config: Config, url: str, case: Case, store: TimedStore) -> Costs:
    """Fetch, store, acknowledge, until every message is in the store."""
    worker, costs, done = Worker(config, store, Metrics(["native"])), Costs(), 0

    def take(messages: list[Message]) -> None:
        begin = time.thread_time()
        worker.take(messages)
        costs.parts_s["take"] += time.thread_time() - begin

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker") as thread:
        begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
        async with linked(config, url) as link:
            while done < case.messages:
                deliveries = await link.receive(config.intake.queue_messages, PATIENCE_S)
                if not deliveries:
                    break  # what is missing shows in the store
                messages = [delivery.message for delivery in deliveries]
                await asyncio.get_running_loop().run_in_executor(thread, take, messages)
                acknowledging = time.thread_time()
                link.acknowledge(deliveries)
                costs.parts_s["acknowledge"] += time.thread_time() - acknowledging
                done += len(deliveries)
            costs.wall_s = time.perf_counter() - begin_s
            costs.cpu_s = time.process_time() - begin_cpu_s
    costs.parts_s["store"] = store.commit_cpu_s
    return costs


async def drain_on_arrival(port: int, messages: int) -> Costs:
    """Fetch as many with the reference, which has acknowledged each before we see it."""
    costs, done = Costs(), 0
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    async with asyncio.timeout(PATIENCE_S + messages / 100), reference_client(port) as client:
        async for _ in client.messages:
            done += 1
            if done == messages:
                break
        costs.wall_s, costs.cpu_s = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
    return costs


def missing_samples(store: Store, case: Case, start_ns: int) -> int:
    """Published samples that the store does not have."""
    times: dict[str, list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = defaultdict(list)
    for _, block in store.samples(None, 0):
        times[block.source].append(block.t0_ns + np.arange(block.count) * block.step_ns)
    found = 0
    for stored in times.values():
        unique = np.unique(np.concatenate(stored))
        found += int(np.count_nonzero(unique >= start_ns))
    return case.samples - found


def time_decoding(config: Config, case: Case, start_ns: int) -> dict[str, float]:
    """CPU seconds a message of decoding and of admission, on their own."""
    now_ns = time.time_ns()
    messages = [
        Message(
            f"geospace/v1/in/mag/{case.code(number)}",
            payload(number, case, start_ns),
            now_ns,
        )
        for number in range(min(case.messages, TIMED_MESSAGES))
    ]
    decoder = NativeDecoder(NativeDecoder.Options(), surroundings_of(config, "native"))
    pipeline = Pipeline(config)
    for message in messages[:100]:
        decoder.decode(message)
    begin = time.thread_time()
    blocks = [block for message in messages for block in decoder.decode(message)]
    decoded = time.thread_time()
    for block in blocks:
        with contextlib.suppress(DecodeError):
            pipeline.admit(block)
    admitted = time.thread_time()
    return {"decode": (decoded - begin) / len(messages), "admit": (admitted - decoded) / len(messages)}


# -- the run ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Round:
    """One backlog, fetched twice."""

    durable: Costs
    reference: Costs
    commits: int
    missing: int


async def run_round(case: Case, config: Config, start_ns: int) -> Round:
    """Publish a backlog and let both consumers fetch it."""
    with tempfile.TemporaryDirectory(prefix="ingest-") as name:
        directory = Path(name)
        async with LocalBroker(directory) as broker:
            await open_sessions(config, broker)
            await publish_elsewhere(broker.port, case, start_ns)
            with TimedStore.open(
                directory / "store.sqlite", retention_ns=72 * 3600 * SECOND_NS, product_retention_ns=None
            ) as store:
                assert isinstance(store, TimedStore)
                durable = await drain_durably(config, broker.url, case, store)
                missing = missing_samples(store, case, start_ns)
                commits = store.commits
            reference = await drain_on_arrival(broker.port, case.messages)
    return Round(durable, reference, commits, missing)


def report(case: Case, rounds: Sequence[Round], decoding: dict[str, float]) -> int:
    """Print one case; return how many samples were lost."""

    def a_message(values: Sequence[float]) -> float:
        return median(values) / case.messages

    wall_s = a_message([r.durable.wall_s for r in rounds])
    cpu_s = a_message([r.durable.cpu_s for r in rounds])
    reference_wall_s = a_message([r.reference.wall_s for r in rounds])
    reference_cpu_s = a_message([r.reference.cpu_s for r in rounds])
    take_s, store_s, acknowledge_s = (
        a_message([r.durable.parts_s[part] for r in rounds]) for part in ("take", "store", "acknowledge")
    )
    parts = {
        "read (paho, aiomqtt, loop)": cpu_s - take_s - acknowledge_s,
        "decode": decoding["decode"],
        "admit": decoding["admit"],
        "route, count and refuse" if case.refused else "route and count": take_s
        - store_s
        - decoding["decode"]
        - decoding["admit"],
        "store (commit to disk)": store_s,
        "acknowledge": acknowledge_s,
    }
    lost = max(r.missing for r in rounds)
    print(f"\n{case.name}: {case.messages} messages, {case.samples} samples to store, {len(rounds)} rounds")
    print(
        f"  acknowledged after the commit {1 / wall_s:9.0f} messages/s  {cpu_s * 1e6:7.1f} µs CPU a message"
        f"  {case.samples_a_message / wall_s:9.0f} samples/s"
    )
    print(
        f"  reference, on arrival, unstored{1 / reference_wall_s:8.0f} messages/s  {reference_cpu_s * 1e6:7.1f} µs CPU a message"
        f"  ratio {reference_wall_s / wall_s:.2f} in rate, {cpu_s / reference_cpu_s:.2f} in CPU"
    )
    for name, seconds in parts.items():
        print(f"    {name:<28}{seconds * 1e6:8.1f} µs {seconds / cpu_s:6.0%}")
    commits = median(r.commits for r in rounds)
    print(
        f"  {case.messages / commits:.0f} messages a commit; samples lost: {lost}"
        if commits
        else "  no commit"
    )
    return lost


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0, or 1 where a sample was lost or there is no Mosquitto."""
    parser = argparse.ArgumentParser(description="Messages a second from Mosquitto to the disk.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs")
    parser.add_argument("--no-check", action="store_true", help="print only; exit 0 whatever comes out")
    parser.add_argument("--publish", nargs=6, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.publish:
        port, stations, samples, messages, refused, start_ns = options.publish
        publish(port, Case(stations, samples, messages, bool(refused)), start_ns)
        return 0
    if find_mosquitto() is None:
        print("this needs the program mosquitto (apt install mosquitto)", file=sys.stderr)
        return 1
    singles, batches, rounds = (200, 40, 1) if options.quick else (10_000, 2_000, 3)
    cases = [Case(stations, 1, singles) for stations in (25, 200)] + [
        Case(stations, 60, batches) for stations in (25, 200)
    ]
    cases.append(Case(25, 1, singles, refused=True))
    # The flood is told of in sixty lines a minute, which are not what is looked at here.
    logging.getLogger("monitor.daemon").setLevel(logging.ERROR)
    print("A backlog fetched from Mosquitto with the daemon's default settings")
    lost = 0
    for case in cases:
        config = configuration(case)
        start_ns = (time.time_ns() // SECOND_NS - 86_400) * SECOND_NS
        try:
            found = [asyncio.run(run_round(case, config, start_ns)) for _ in range(rounds)]
        except BrokerError as error:
            print(f"stopped: {error}", file=sys.stderr)
            return 1
        lost += report(case, found, time_decoding(config, case, start_ns))
    print(f"\n{'MISSED' if lost else 'met   '}  every published sample is in the store ({lost} lost)")
    return 1 if lost and not options.no_check else 0


if __name__ == "__main__":
    sys.exit(main())
