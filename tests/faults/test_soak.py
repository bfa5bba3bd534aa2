"""A month of a chain and of four spacecraft at many times real time: what is held does not grow with the data.

One simulated day is sent again and again with later stamps, through a real broker, never further ahead of what the
daemon has stored than `LEAD_H`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from daemon_kit import KINDS, ROOT, Client, DaemonProcess, closing, eventually, write_config
from mqtt_kit import Mosquitto
from vitals import Vitals, number, stored

from monitor.decoders.native import native_payload, native_topic
from monitor.io.store import Store
from monitor.science.synthetic.craft.courses import CourseRanges, course_along
from monitor.science.synthetic.craft.instrument import InstrumentRanges, measured
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.scenario import quiet_day
from monitor.types import CELL_NS, SECOND_NS, VARIABLES, Domain, FloatArray, Region, SampleBlock, iso_time

BEGIN_NS = 1_504_224_000 * SECOND_NS
"""2017-09-01T00:00:00Z."""
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
CHAIN = {
    "KEV": 6.3, "IVA": 5.9, "MUO": 5.6, "SOD": 5.3, "PEL": 5.1, "OUJ": 4.3,
    "HAN": 3.8, "NUR": 3.4, "TAR": 3.0, "BRZ": 2.7, "SUW": 2.4, "PPN": 2.2,
}  # fmt: skip
PAIRS = ["KEV-IVA", "IVA-SOD", "MUO-PEL", "OUJ-HAN", "HAN-NUR", "NUR-TAR", "TAR-BRZ", "BRZ-SUW", "SUW-PPN"]
CRAFT = ["MMS1", "MMS2", "MMS3", "MMS4"]
STAYS = [
    (Region.SOLAR_WIND, 400),
    (Region.MAGNETOSHEATH, 560),
    (Region.MAGNETOSPHERE, 400),
    (Region.MAGNETOSHEATH, 560),
]
CELLS_A_DAY = DAY_NS // CELL_NS
PIECE_NS, CRAFT_CELLS = 300 * SECOND_NS, 60
"""What a message holds: five minutes of a station, and 270 s of a spacecraft."""
LEAD_H = 2
PRODUCTS_A_DAY = len(PAIRS) * 48 + len(CRAFT) * 480
"""Windows of the ground every half hour, of the spacecraft every three minutes."""

GROWTH_MB = {False: 12.0, True: 1.0}
"""How much resident memory may grow in a day of data, in the short form and in the full one.

The slope is that of a straight line through the hourly readings after the warm-up. Over one day it is the noise of
the allocator, a few MB, that is seen, whatever the slope; over a month it is not.
"""

THREADS = 2 + min(32, (os.cpu_count() or 1) + 4)
"""The loop, the worker, and the pool of asyncio, which adds its threads one by one and keeps them."""

TASKS_OF_A_TURN = 130
"""A batch of the publisher is 100 at once; the rest is small."""

pytestmark = [pytest.mark.broker, pytest.mark.timeout(1800)]


@dataclass(frozen=True, slots=True)
class Part:
    """A message of the day: how far into it it begins, and all of it but the time."""

    offset_ns: int
    end_ns: int
    topic: str
    tail: bytes

    @classmethod
    def of(cls, block: SampleBlock) -> Part:
        start, comma, tail = native_payload(block).partition(b",")
        assert start == f'{{"start":"{iso_time(block.t0_ns)}"'.encode()
        return cls(block.t0_ns - BEGIN_NS, block.end_ns - BEGIN_NS, native_topic(block, ROOT), comma + tail)

    def payload(self, day: int) -> bytes:
        """The message as it is sent on that day."""
        return f'{{"start":"{iso_time(BEGIN_NS + day * DAY_NS + self.offset_ns)}"'.encode() + self.tail


def ground_day() -> Iterator[SampleBlock]:
    """A quiet day of the chain."""
    simulator = GroundSimulator(quiet_day(BEGIN_NS, seed=3, stations=list(CHAIN.items())))
    for start_ns in range(BEGIN_NS, BEGIN_NS + DAY_NS, PIECE_NS):
        yield from simulator.blocks(start_ns, start_ns + PIECE_NS)


def craft_day(craft: str, seed: int) -> Iterator[SampleBlock]:
    """A day of a spacecraft that crosses shock and magnetopause to and fro."""
    rng = np.random.default_rng(seed)
    stays = STAYS * (CELLS_A_DAY // sum(cells for _, cells in STAYS))
    values: FloatArray = measured(
        rng, InstrumentRanges(), course_along(rng, CourseRanges(), stays).series
    ).round(4)
    assert values.shape == (CELLS_A_DAY, len(VARIABLES))
    for first in range(0, CELLS_A_DAY, CRAFT_CELLS):
        part = values[first : first + CRAFT_CELLS].T
        yield SampleBlock(
            craft, VARIABLES, BEGIN_NS + first * CELL_NS, CELL_NS, part, Domain.CRAFT, frame="gse"
        )


def day_parts() -> list[Part]:
    """All messages of a day, in the order in which they would be sent."""
    blocks = [*ground_day(), *(block for n, craft in enumerate(CRAFT) for block in craft_day(craft, n))]
    return sorted(map(Part.of, blocks), key=lambda part: part.end_ns)


class Tally(Client):
    """Remembers of each label only what it is about: its topic and its time."""

    def __init__(self, port: int) -> None:
        self.subjects: set[tuple[str, bytes]] = set()
        topics = [f"{ROOT}/{kind}/#" for kind in KINDS]
        super().__init__(port, name="tally", topics=topics, on_message=self._note)

    def _note(self, message: object) -> None:
        topic, payload = message.topic, bytes(message.payload)  # type: ignore[attr-defined]  # a paho message
        time = re.search(rb'"time": ?"([^"]+)"', payload)
        if time is not None and topic.split("/")[2] in ("flr", "region"):
            self.subjects.add((topic, time[1]))


@dataclass(frozen=True, slots=True)
class Series:
    """What was read after each hour of data."""

    hours: list[float]
    vitals: list[Vitals]
    store_bytes: list[int]
    tasks: list[int]

    def read(self, hour: float, daemon: DaemonProcess) -> None:
        self.hours.append(hour)
        self.vitals.append(Vitals.of(daemon.pid))
        self.store_bytes.append(size_of(daemon.store_path))
        self.tasks.append(int(number(daemon.get("/metrics")[1], "geospace_event_loop_tasks") or 0))

    def slope_MB_a_day(self, after_h: float) -> float:
        """Of the straight line through the readings of resident memory after so many hours."""
        hours = np.array(self.hours)
        resident = np.array([one.resident_MB for one in self.vitals])
        return float(np.polyfit(hours[hours > after_h] / 24, resident[hours > after_h], 1)[0])


def size_of(store: Path) -> int:
    """Bytes of the store with its log."""
    return sum(path.stat().st_size for path in store.parent.glob(f"{store.name}*"))


def feed(client: Client, daemon: DaemonProcess, parts: list[Part], days: int) -> Series:
    """Send the days as fast as they are stored, and read what they cost after each hour."""
    series, told = Series([], [], [], []), 0
    for day in range(days):
        for part in parts:
            hour = day * 24 + part.end_ns // HOUR_NS
            if hour > told:
                told = hour
                keep_pace(daemon, hour - LEAD_H)
                series.read(hour - LEAD_H, daemon)
            client.client.publish(part.topic, part.payload(day), qos=1)
    keep_pace(daemon, days * 24)
    series.read(days * 24, daemon)
    return series


def keep_pace(daemon: DaemonProcess, hour: int) -> None:
    """Wait until so many hours of the last of the stations and of the last spacecraft are stored."""
    for source, step_ns in ((list(CHAIN)[-1], SECOND_NS), (CRAFT[-1], CELL_NS)):
        wait_for_samples(daemon, source, hour * HOUR_NS // step_ns)


def wait_for_samples(daemon: DaemonProcess, source: str, count: int) -> None:
    """Wait until so many samples of a source are stored."""
    eventually(lambda: stored(daemon, source) >= count, 120.0, lambda: f"{source}: {daemon.log}")


def oldest_ns(store_path: Path) -> int:
    """Begin of the oldest block in the store of a daemon that has ended, relative to the clock of its source."""
    with Store.open(store_path, retention_ns=1 << 60, product_retention_ns=None) as store:
        clocks = store.sources()
        return max(clocks[block.source] - block.end_ns for _, block in store.samples(None, 0))


@pytest.mark.at_length
def test_memory_descriptors_threads_and_store_do_not_grow_with_the_data(
    mosquitto: Mosquitto,
    tmp_path: Path,
    of_scale: Callable[[int, int], int],
    found: Callable[..., None],
) -> None:
    days = of_scale(1, 30)
    # In the short form everything is reached sooner: the rings of late data are full, the store is at its retention.
    revise_s, retention_h, warm_h = of_scale(3600, 86_400), of_scale(4, 27), of_scale(8, 72)
    config = write_config(
        tmp_path / "soak.json",
        mosquitto.url,
        stations={code: {"l_shell": l_shell} for code, l_shell in CHAIN.items()},
        pairs=PAIRS,
        chains={"emma": PAIRS},
        craft=CRAFT,
        windows={"length_s": 7200, "cadence_s": 1800, "lateness_s": 600, "revise_s": revise_s},
        craft_windows={"lateness_s": 600, "revise_s": 3600},
        store={"retention_h": retention_h, "product_retention_h": retention_h},
    )
    parts = day_parts()
    with (
        DaemonProcess(config) as daemon,
        closing(Tally(mosquitto.port)) as tally,
        closing(Client(mosquitto.port, name="days")) as client,
    ):
        series = feed(client, daemon, parts, days)
        # The last window of each spacecraft waits for its lateness, or for more data.
        wanted = days * PRODUCTS_A_DAY - len(CRAFT)
        eventually(lambda: len(tally.subjects) >= wanted, 60.0, lambda: f"{len(tally.subjects)} of {wanted}")
        eventually(lambda: set(daemon.status()["queues"].values()) == {0}, 30.0, lambda: daemon.log)
        end = Vitals.of(daemon.pid)
        rejected = daemon.status()["rejected"]
        assert daemon.stop() == 0, daemon.log
        log = daemon.log.splitlines()
    slope, steady = (
        series.slope_MB_a_day(warm_h),
        [one for h, one in zip(series.hours, series.vitals, strict=True) if h > warm_h],
    )
    at_retention = [
        size for hour, size in zip(series.hours, series.store_bytes, strict=True) if hour > warm_h
    ]
    tasks = [count for hour, count in zip(series.hours, series.tasks, strict=True) if hour > warm_h]
    kept_h = oldest_ns(daemon.store_path) / HOUR_NS
    found(
        days=days,
        messages=days * len(parts),
        products=len(tally.subjects),
        slope_MB_a_day=round(slope, 3),
        resident_MB=[round(one.resident_MB, 1) for one in series.vitals[:: max(1, days)]],
        peak_MB=round(end.peak_MB, 1),
        descriptors=[min(one.descriptors for one in steady), max(one.descriptors for one in steady)],
        threads=[min(one.threads for one in steady), max(one.threads for one in steady)],
        tasks=[min(tasks), max(tasks)],
        store_MB=[round(min(at_retention) / 1e6, 1), round(max(at_retention) / 1e6, 1)],
        oldest_sample_h=round(kept_h, 2),
        retention_h=retention_h,
        log_lines=len(log),
    )
    assert rejected == {}
    assert len(tally.subjects) <= days * PRODUCTS_A_DAY
    assert slope < GROWTH_MB[days > 1]
    assert max(one.descriptors for one in steady) - min(one.descriptors for one in steady) <= 4
    assert max(one.threads for one in steady) <= THREADS
    # Five that live as long as the daemon, and those of a turn: a commit, a request over HTTP.
    assert min(tasks) >= 5
    assert max(tasks) - min(tasks) <= TASKS_OF_A_TURN
    half = len(tasks) // 2
    assert abs(np.median(tasks[half:]) - np.median(tasks[:half])) <= 1
    # What a message holds, and what may come before the daemon prunes again.
    assert kept_h < retention_h * 1.1 + PIECE_NS / HOUR_NS
    assert max(at_retention) < 1.5 * float(np.median(at_retention))
    assert len(log) < 100, "\n".join(log[-20:])
    assert math.isfinite(slope)
