"""What a machine needs: memory, processor, disk, network and time to start, by the number of pairs and spacecraft.

    python benchmarks/sizing.py [--quick] [--cases 10,50,200] [--craft 1,10] [--markdown]

For each case a real Mosquitto and the real daemon, with the shipped defaults, are fed simulated hours as fast as they
take them, in messages of a minute. Nothing is claimed here, and nothing checked: `docs/sizing.md` quotes the table.

Measured: resident memory, at rest and at its highest (more waits in it here than in real time); CPU time of daemon and
broker for each simulated hour after the second, when windows are whole; CPU time of a daemon that waits; bytes of
messages; bytes of products in the store; time from the start to `/readyz`, at first and with what was stored by then.
Measured apart: the store's bytes for each sample, with one commit a minute or a second as in real time; the broker's
memory for each message that waits.

Extrapolated, linearly: to a day, to 72 hours, to a year. A processor's share is that of the simulated hour and of the
waiting together. Samples arrive in larger groups than in real time, so that a commit serves more of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sizing_parts import (
    BEGIN_NS,
    HOUR_NS,
    MINUTE_NS,
    PATIENCE_S,
    Case,
    Daemon,
    Feed,
    Line,
    cpu_s,
    memory_bytes,
    mosquitto,
    with_others,
)

from monitor.decoders.native import native_payload
from monitor.io.broker import find_mosquitto
from monitor.io.store import Store
from monitor.science.synthetic.craft.shadow import ShadowCraft
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.scenario import quiet_day
from monitor.types import CELL_NS, SECOND_NS, SampleBlock

RETENTION_H, YEAR_DAYS = 72, 365
IDLE_S = 30.0
WARM_H = 2
"""Hours until windows are whole; what they cost is not counted."""
CRAFT_HOP_NS = 180 * SECOND_NS


@dataclass(slots=True)
class Figures:
    """What one case needed."""

    case: Case
    memory_bytes: int = 0
    peak_bytes: int = 0
    cpu_h_s: float = 0.0
    broker_h_s: float = 0.0
    idle_ratio: float = 0.0
    speed: float = 0.0
    in_day_bytes: float = 0.0
    out_day_bytes: float = 0.0
    product_day_bytes: float = 0.0
    sample_day_bytes: float = 0.0
    start_s: tuple[float, float] = (0.0, 0.0)
    restart_s: tuple[float, float] = (0.0, 0.0)

    @property
    def cpu_ratio(self) -> float:
        """Share of one processor in real time."""
        return self.idle_ratio + self.cpu_h_s / 3600


# -- measures -------------------------------------------------------------------------------------------------


def measure(case: Case, directory: Path, idle_s: float) -> Figures:
    """Run one case."""
    figures = Figures(case)
    with (
        mosquitto(directory) as broker,
        Daemon(directory, case, f"mqtt://127.0.0.1:{broker.port}") as daemon,
    ):
        feed = Feed(case)
        figures.start_s = daemon.start()
        line = Line(broker.port)
        pid = daemon.process.pid
        before, broker_before, took_s = 0.0, 0.0, 0.0
        for hour in range(case.hours):
            if hour == WARM_H:
                before, broker_before, took_s = cpu_s(pid), cpu_s(broker.pid), 0.0
            messages = list(feed.hour(hour))
            begin = time.perf_counter()
            line.publish(messages)
            # The newest windows of spacecraft wait for what comes after them.
            end_ns = BEGIN_NS + (hour + 1) * HOUR_NS - (0 if case.pairs else 2 * CRAFT_HOP_NS)
            daemon.wait_for(end_ns)
            took_s += time.perf_counter() - begin
        measured_h = case.hours - WARM_H
        figures.cpu_h_s = (cpu_s(pid) - before) / measured_h
        figures.broker_h_s = (cpu_s(broker.pid) - broker_before) / measured_h
        figures.speed = measured_h * 3600 / took_s
        figures.peak_bytes = memory_bytes(pid, "VmHWM")
        before = cpu_s(pid)
        time.sleep(idle_s)
        figures.idle_ratio = (cpu_s(pid) - before) / idle_s
        figures.memory_bytes = memory_bytes(pid)
        line.close()
        daemon.stop()
        days = case.hours / 24
        figures.in_day_bytes, figures.out_day_bytes = line.in_bytes / days, line.out_bytes / days
        figures.product_day_bytes = table_bytes(daemon.store, "product") / days
        figures.restart_s = daemon.start()
        daemon.stop()
    return figures


def table_bytes(store: Path, table: str) -> int:
    """Bytes of a table and its indices in the file."""
    with sqlite3.connect(store) as connection:
        names = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_schema WHERE tbl_name = ?", (table,))
        ]
        marks = ",".join("?" * len(names))
        (size,) = connection.execute(
            f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({marks})", names
        ).fetchone()
    connection.close()
    return int(size)


def bytes_a_day(block: SampleBlock, messages: int) -> float:
    """Bytes in the store of a day of one source, whose messages are like this one and are committed one by one."""
    length_ns = block.count * block.step_ns
    count = min(messages, 24 * HOUR_NS // length_ns)
    with tempfile.TemporaryDirectory(prefix="sizing-") as name:
        path = Path(name) / "monitor.sqlite"
        with Store.open(path, retention_ns=7 * 24 * HOUR_NS, product_retention_ns=None) as store:
            for number in range(count):
                store.write_samples([replace(block, t0_ns=block.t0_ns + number * length_ns)])
        return table_bytes(path, "sample") / (count * length_ns) * 24 * HOUR_NS


def queued_bytes(payload_bytes: int, count: int, directory: Path) -> float:
    """Memory that the broker takes for each message that waits for an absent client."""
    with mosquitto(directory) as broker:
        absent = paho.Client(CallbackAPIVersion.VERSION2, client_id="absent", clean_session=False)
        subscribed = threading.Event()
        absent.on_connect = lambda *_: absent.subscribe("in/#", qos=1)
        absent.on_subscribe = lambda *_: subscribed.set()
        absent.connect("127.0.0.1", broker.port)
        absent.loop_start()
        subscribed.wait(PATIENCE_S)
        absent.disconnect()
        absent.loop_stop()
        before = memory_bytes(broker.pid)
        line = Line(broker.port)
        line.publish([(f"in/mag/S{number % 200:03d}", bytes(payload_bytes)) for number in range(count)])
        line.close()
        return (memory_bytes(broker.pid) - before) / count


# -- the table ------------------------------------------------------------------------------------------------


def rows(all_figures: Sequence[Figures]) -> list[list[str]]:
    """Cells of the table, its head first."""
    head = [
        "",
        "memory",
        "peak",
        "CPU",
        "of that, waiting",
        "broker CPU",
        "speed",
        "in",
        "out",
        "samples, 72 h",
        "products, a year",
        "first start",
        "restart",
    ]
    return [head, *map(row, all_figures)]


def row(one: Figures) -> list[str]:
    """Cells of one case."""
    samples_bytes = one.sample_day_bytes * one.case.sources * RETENTION_H / 24
    return [
        one.case.name,
        f"{one.memory_bytes / 1e6:.0f} MB",
        f"{one.peak_bytes / 1e6:.0f} MB",
        f"{one.cpu_ratio:.2%}",
        f"{one.idle_ratio:.2%}",
        f"{one.broker_h_s / 3600:.3%}",
        f"{one.speed:.0f} ×",
        f"{one.in_day_bytes / 1e6:.0f} MB/day",
        f"{one.out_day_bytes / 1e6:.1f} MB/day",
        f"{samples_bytes / 1e9:.2f} GB",
        f"{one.product_day_bytes * YEAR_DAYS / 1e9:.2f} GB",
        "{:.1f} s, CPU {:.1f} s".format(*one.start_s),
        "{:.1f} s, CPU {:.1f} s".format(*one.restart_s),
    ]


def show(cells: list[list[str]], *, markdown: bool) -> None:
    """Print a table."""
    if markdown:
        cells = [cells[0], ["---"] * len(cells[0]), *cells[1:]]
        print("\n".join(f"| {' | '.join(row)} |" for row in cells))
        return
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    for row in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="What a machine needs, by the number of pairs and spacecraft."
    )
    parser.add_argument("--quick", action="store_true", help="one small case: shows that it runs")
    parser.add_argument("--cases", default="10,50,200,1000", help="numbers of pairs")
    parser.add_argument("--craft", default="1,10", help="numbers of spacecraft")
    parser.add_argument("--markdown", action="store_true", help="the table as in the documentation")
    options = parser.parse_args(arguments)
    if find_mosquitto() is None:
        print("this needs the program mosquitto (apt install mosquitto)", file=sys.stderr)
        return 1
    numbers = [int(text) for text in options.cases.split(",") if text]
    cases = [Case(pairs, 0, 5 if pairs <= 200 else 4) for pairs in numbers]
    cases += [Case(0, int(text), 8) for text in options.craft.split(",") if text]
    if options.quick:
        cases = [Case(2, 0, 3)]
    minute = with_others(
        GroundSimulator(quiet_day(BEGIN_NS, seed=3)).blocks(BEGIN_NS, BEGIN_NS + MINUTE_NS)[0]
    )
    in_space = ShadowCraft().blocks(BEGIN_NS, BEGIN_NS + 13 * CELL_NS)[0]
    messages = 20 if options.quick else 2000
    by_minute, by_craft = bytes_a_day(minute, messages), bytes_a_day(in_space, messages)
    by_second = bytes_a_day(replace(minute, values=minute.values[:, :1]), messages)
    payload = len(native_payload(minute))
    done = []
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="sizing-") as name:
            figures = measure(case, Path(name), 1.0 if options.quick else IDLE_S)
        figures.sample_day_bytes = by_minute if case.pairs else by_craft
        done.append(figures)
        print(f"measured over {case.hours} h: {'; '.join(row(figures))}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="sizing-") as name:
        waits = queued_bytes(payload, 2000 if options.quick else 50_000, Path(name))
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}; shares are of one processor\n"
    )
    show(rows(done), markdown=options.markdown)
    print(
        f"\na day of one station in the store: {by_minute / 1e6:.2f} MB sent a minute at a time, {by_second / 1e6:.2f} MB second by second"
    )
    print(f"a day of one spacecraft in the store: {by_craft / 1e6:.2f} MB")
    print(
        f"a minute of one station: {payload} bytes in a message; waiting at the broker it takes {waits:.0f} bytes of memory"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
