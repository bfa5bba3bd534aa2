"""What the feed of spacecraft costs: a hundred due at once, and a window for every sample of one.

    python benchmarks/craft_feed.py [--quick] [--no-check]

One spacecraft sends sample by sample and gets a window of three minutes after each. The claim: one thread keeps up with
1000 times real time (a replay at 100 times takes a tenth of it), and every window is, to the last bit, what its samples
alone make it in an empty memory; that reference is timed beside it. What it costs when 100 spacecraft are due at once is
printed. Exit code 1 where the claim is missed. Times are CPU time of this process, on one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

# As the command does, before numpy is imported: threads inside the linear algebra only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from monitor.stages.craft_samples import CraftSamples
from monitor.stages.craft_window import CraftWindowParameters, CraftWindowStage
from monitor.types import (
    CELL_NS,
    SECOND_NS,
    SUPPORT_CELLS,
    VARIABLES,
    CraftStretch,
    Domain,
    FloatArray,
    SampleBlock,
)

T0_NS = 333_333_334 * CELL_NS
LENGTH_NS = SUPPORT_CELLS * CELL_NS
REAL_TIME = 1000.0


def parameters(hop_s: float) -> CraftWindowParameters:
    """As configured by default, but for the hop."""
    return CraftWindowParameters(round(hop_s * SECOND_NS), 60 * SECOND_NS, 3600 * SECOND_NS)


def block(craft: str, first: int, values: FloatArray) -> SampleBlock:
    """Samples (n, 12) from cell `first` on."""
    return SampleBlock(craft, VARIABLES, T0_NS + first * CELL_NS, CELL_NS, values.T, Domain.CRAFT)


def every_sample(series: FloatArray) -> bool:
    """Print the cost of a window a sample, and of one by itself; whether the claim is met."""
    stage = CraftWindowStage(["MMS1"], parameters(4.5))
    kept: dict[int, FloatArray] = {}
    begin = time.process_time()
    for number in range(len(series)):
        for window in stage.feed([block("MMS1", number, series[number : number + 1])]):
            if isinstance(window, CraftStretch) and window.context:
                kept[window.t0_ns] = window.values
    kept_s = (time.process_time() - begin) / len(series)
    same = True
    begin = time.process_time()
    for t0_ns, values in kept.items():
        first = (t0_ns - T0_NS) // CELL_NS
        samples = CraftSamples(LENGTH_NS)
        samples.write(block("MMS1", first, series[first : first + SUPPORT_CELLS]))
        same &= np.array_equal(samples.cells(t0_ns, t0_ns + LENGTH_NS), values)
    alone_s = (time.process_time() - begin) / len(kept)
    real_time = CELL_NS / SECOND_NS / kept_s
    print(f"a message and its window, every 4.5 s  {kept_s * 1e6:7.0f} µs  {real_time:7.0f} × real time")
    print(f"a window's cells in an empty memory    {alone_s * 1e6:7.0f} µs")
    print(f"windows that differ                    {'none' if same else 'SOME'} of {len(kept)}")
    return same and real_time >= REAL_TIME


def due_at_once(series: FloatArray, count: int) -> None:
    """Print what it costs when so many spacecraft are due together, every three minutes."""
    names = [f"C{number:03d}" for number in range(count)]
    stage = CraftWindowStage(names, parameters(180.0))
    spent: list[float] = []
    for first in range(0, len(series) - 40, 40):
        blocks: Sequence[SampleBlock] = [block(name, first, series[first : first + 40]) for name in names]
        begin = time.process_time()
        stage.feed(blocks)
        spent.append(time.process_time() - begin)
    print(f"{count:>3} spacecraft due at once             {np.median(spent[1:]) * 1e3:7.1f} ms")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 where the claim is missed."""
    parser = argparse.ArgumentParser(description="Cost of the feed of spacecraft.")
    parser.add_argument("--quick", action="store_true", help="few samples: shows that it runs")
    parser.add_argument("--no-check", action="store_true", help="print, and judge nothing")
    options = parser.parse_args(arguments)
    series = np.random.default_rng(1).normal(50.0, 5.0, (200 if options.quick else 2000, len(VARIABLES)))
    met = every_sample(series)
    due_at_once(series[:400], 10 if options.quick else 100)
    print(f"{'met' if met else 'MISSED'}: at least {REAL_TIME:.0f} times real time, and the same windows")
    return 0 if met or options.no_check else 1


if __name__ == "__main__":
    sys.exit(main())
