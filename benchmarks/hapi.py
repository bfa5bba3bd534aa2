"""A year of labels of 24 pairs over HAPI: that memory stays flat, that nothing is missing, and how fast it goes.

The store is written first: windows of `flr` every half hour, every 50th with a second revision. The server is a process of
its own; this one reads with a plain HTTP client, pair by pair, and looks at the server's memory meanwhile. For reference the
same products are read from the store as objects and written as JSON, without HTTP, columns or formats.

Claims (exit code 1 where one fails; `--no-check` only prints): every window comes once in every format, and the server's
memory rises by less than 32 MiB from the first day on. Rates are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.io.hapi.encoding import MEDIA_TYPES
from monitor.io.hapi.times import time_text
from monitor.io.http import HttpServer
from monitor.io.http.hapi import HapiRoutes
from monitor.io.http.offer import Offer
from monitor.io.store import Store
from monitor.types import SECOND_NS, Json, Product, iso_time

T0_NS = 1_483_228_800 * SECOND_NS
CADENCE_NS = 1800 * SECOND_NS
MOST_MIB = 32.0
REVISED = 50
BATCH = 2000


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading gave."""

    records: int
    size_bytes: int
    seconds: float
    peak_mib: float


def label(pair: str, number: int, revision: int) -> Product:
    """An `flr` object of the usual length."""
    time_ns = T0_NS + number * CADENCE_NS
    when = iso_time(time_ns)
    frequency = 10.0 + (number % 97) / 13
    body: dict[str, Json] = {
        "schema": "geospace/flr/1",
        "id": f"flr/{pair}/{when}/{revision}",
        "pair": pair,
        "time": when,
        "effective_time": iso_time(time_ns - 3600 * SECOND_NS),
        "window_s": 7200.0,
        "revision": revision,
        "label": "Freq",
        "probability": {"NoFreq": 0.0612345, "Freq": 0.9287655, "PBL": 0.01},
        "stage_one": "Freq",
        "track_probability": {"NoFreq": 0.0512345, "Freq": 0.9387655, "PBL": 0.01},
        "frequency_mHz": frequency,
        "frequency_interval_mHz": [frequency - 0.8, frequency + 0.8],
        "interval_level": 0.9,
        "physical": {
            "label": "Freq",
            "frequency_mHz": frequency + 0.1,
            "sigma_mHz": 0.412345,
            "cross_phase_deg": 47.012345,
            "coherence": 0.912345,
            "agrees": True,
            "timing_offset_s": 0.012345,
            "timing_sigma_s": 0.212345,
        },
        "harmonic": 1,
        "density_amu_cm3": 1520.12345 + number % 31,
        "density_interval_amu_cm3": [1340.12345, 1730.12345],
        "density_index": 1.0,
        "density_alternatives": [],
        "l_shell": 2.9,
        "mlt_h": 13.12345,
        "illumination": "day",
        "coverage": dict.fromkeys(pair.split("-"), 0.998),
        "flags": ["bridged", "despiked"],
        "model": {"classifier": "chain/1@0123456789ab", "regressor": "chain/1@0123456789ab"},
    }
    return Product("flr", pair, time_ns, revision, True, body)


def fill(path: Path, pairs: Sequence[str], windows: int) -> None:
    """Write the store, as a daemon would have by the end of the year: all pairs of a window together."""
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as store:
        batch: list[tuple[Product, bytes]] = []
        for number in range(windows):
            for pair in pairs:
                for revision in range(1 + (number % REVISED == 0)):
                    one = label(pair, number, revision)
                    batch.append((one, one.encode(one.time_ns)))
            if len(batch) >= BATCH or number == windows - 1:
                store.commit(batch, {})
                batch = []


async def serve(path: Path) -> None:
    """Serve until killed; the address is the first line."""
    offer = Offer(path, {"flr": 1800.0}, "benchmark", "nobody")
    server = HttpServer(
        "127.0.0.1:0",
        metrics=lambda _: (b"", ""),
        ready=lambda: (True, []),
        status=dict,
        event=lambda _: None,
    )
    server.add_routes(HapiRoutes(lambda: offer).routes)
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()


@contextlib.contextmanager
def server_process(path: Path) -> Iterator[tuple[str, int]]:
    """The server as a process: its address and its number."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.kill()
        process.communicate()


def memory_mib(pid: int) -> float:
    """What a process has in memory now."""
    text = Path(f"/proc/{pid}/status").read_text()
    return float(text.partition("VmRSS:")[2].split()[0]) / 1024


def read(url: str, pid: int, pairs: Sequence[str], windows: int, form: str) -> Reading:
    """Read a stretch of all pairs, one after the other, to its end."""
    stop = time_text(T0_NS + windows * CADENCE_NS)
    records = size = 0
    peak = 0.0
    began = time.perf_counter()
    for pair in pairs:
        query = f"dataset={pair}/flr&start={time_text(T0_NS)}&stop={stop}&format={form}"
        with urllib.request.urlopen(f"{url}/hapi/data?{query}") as answer:
            parts = 0
            while part := answer.read(1 << 18):
                size += len(part)
                # A record is a line, but in binary.
                records += part.count(b"\n") if form != "binary" else 0
                parts += 1
                if parts % 8 == 1:
                    peak = max(peak, memory_mib(pid))
    if form == "binary":
        with urllib.request.urlopen(f"{url}/hapi/info?dataset={pairs[0]}/flr") as answer:
            columns = json.loads(answer.read())["parameters"]
        widths = {"double": 8, "integer": 4}
        row = sum(widths.get(one["type"], one.get("length", 0)) * one.get("size", [1])[0] for one in columns)
        records = size // row
    elif form == "json":
        records -= 2 * len(pairs)  # the line behind the header, and the last one
    return Reading(records, size, time.perf_counter() - began, peak)


def reference(path: Path, pairs: Sequence[str]) -> tuple[int, float]:
    """The same products as objects from the store, written as JSON: how many, and the seconds."""
    began = time.perf_counter()
    count = 0
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as store:
        for pair in pairs:
            for document in store.products("flr", pair, 0, 1 << 62):
                count += len(json.dumps(document)) > 0
    return count, time.perf_counter() - began


def measure(pairs: Sequence[str], days: int) -> list[str]:
    """Print all of it; the claims that do not hold."""
    windows = days * 48
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "monitor.sqlite"
        began = time.perf_counter()
        fill(path, pairs, windows)
        print(
            f"{len(pairs)} pairs, {days} days: {len(pairs) * windows} windows, {path.stat().st_size / 1e6:.0f} MB"
            f" (written in {time.perf_counter() - began:.0f} s)\n"
        )
        with server_process(path) as (url, pid):
            for form in MEDIA_TYPES:
                read(url, pid, pairs, 48, form)
            first_mib = memory_mib(pid)
            print(f"{'':10}{'records':>9}{'MB':>8}{'s':>8}{'records/s':>11}{'server MiB':>12}")
            for form in MEDIA_TYPES:
                found = read(url, pid, pairs, windows, form)
                print(
                    f"{form:10}{found.records:9d}{found.size_bytes / 1e6:8.0f}{found.seconds:8.1f}"
                    f"{found.records / found.seconds:11.0f}{found.peak_mib:12.1f}"
                )
                if found.records != len(pairs) * windows:
                    broken.append(f"{form}: {found.records} records of {len(pairs) * windows}")
                if found.peak_mib - first_mib > MOST_MIB:
                    broken.append(f"{form}: memory rose from {first_mib:.1f} to {found.peak_mib:.1f} MiB")
        count, seconds = reference(path, pairs)
        print(f"{'reference':10}{count:9d}{'':8}{seconds:8.1f}{count / seconds:11.0f}")
        print(f"\nmemory after a day of each: {first_mib:.1f} MiB")
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--quick", action="store_true", help="two pairs, a month")
    parser.add_argument("--no-check", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return 0
    pairs, days = (2, 30) if options.quick else (options.pairs, options.days)
    broken = measure([f"P{number:02d}-Q{number:02d}" for number in range(pairs)], days)
    print("\n".join(broken) or f"met: every window once, memory within {MOST_MIB:g} MiB")
    return 1 if broken and not options.no_check else 0


if __name__ == "__main__":
    raise SystemExit(main())
