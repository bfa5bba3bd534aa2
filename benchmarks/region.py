"""What regions cost: every step of a day by shared activations, against whole windows in batches; a live update.

    python benchmarks/region.py [--quick] [--no-check] [--model FOLDER]

The claim: to label every step of a day (19,200 of 4.5 s) costs at least 30 times less where windows share what they have
in common than as whole windows in batches of 64, and at least 99.5 % of the labels are the same. The network is the
bundled one, or the one of a folder; where there is none, the paper's with weights drawn at random, which costs the same.
A live update of 100 spacecraft, with context and without, and single windows are printed. The whole windows are those of
a part of the day; their cost for the day is in proportion. Exit code 1 where the claim is missed.

Times are CPU time of this process, on one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from statistics import median

# As the command does, before numpy is imported: threads inside the linear algebra only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from monitor.models.region import RegionModel, RegionOutput, load_region
from monitor.science.region import window_part
from monitor.types import CELL_NS, REGIONS, SECOND_NS, SUPPORT_CELLS, Float32Array, IntArray, RegionExamples

STEPS = 86_400 * SECOND_NS // CELL_NS
CHEAPER = 30.0
SAME = 0.995
BATCH = 64
CRAFT = 100


def day(steps: int) -> Float32Array:
    """Cells (steps + 52, 12) that wander through what near-Earth space has, in steps and in waves."""
    rng = np.random.default_rng(0)
    cells = steps + SUPPORT_CELLS - 1
    place = np.repeat(rng.normal(size=(cells // 200 + 1, 12)), 200, axis=0)[:cells]
    wander = place + 0.05 * np.cumsum(rng.normal(size=(cells, 12)), axis=0) / np.sqrt(200.0)
    level = wander + 0.2 * rng.normal(size=(cells, 12))
    values = np.empty((cells, 12))
    values[:, :3] = 15.0 * level[:, :3]
    values[:, 3] = np.linalg.norm(values[:, :3], axis=1)
    values[:, 4] = 3.0 * np.exp(1.5 * level[:, 4])
    values[:, 5:8] = 150.0 * level[:, 5:8]
    values[:, 8] = np.linalg.norm(values[:, 5:8], axis=1)
    values[:, 9:11] = 300.0 * np.exp(1.2 * level[:, 9:11])
    values[:, 11] = (values[:, 9] + 2.0 * values[:, 10]) / 3.0
    return values.astype(np.float32)


def drawn_model(values: Float32Array) -> RegionModel:
    """A model of the paper's size whose weights are drawn at random, adapted to such values."""
    import torch

    from monitor.jobs.region.calibrate import fit_around
    from monitor.jobs.region.network import RegionNetwork

    torch.set_num_threads(1)
    torch.manual_seed(0)
    count = min(200, values.shape[0] // SUPPORT_CELLS)
    some = values[: count * SUPPORT_CELLS].reshape(count, SUPPORT_CELLS, 12)
    network = RegionNetwork()
    network.standardise_by(some)
    network.train()
    with torch.no_grad():
        # Two hundred times, so that the running moments of the normalisations arrive; then spread the classes.
        standardised = network.standardised(torch.from_numpy(some[:8]))
        for _ in range(200):
            network(standardised, torch.ones(8, dtype=torch.bool))
        network.dense.weight.mul_(20.0)
    label = np.arange(count) % len(REGIONS)
    none = np.zeros(count, dtype=np.bool_)
    examples = RegionExamples(some, label, np.arange(count), none, ~none)
    return fit_around(network.eval(), examples, examples).model


def labels(found: RegionOutput) -> IntArray:
    return found.probability.argmax(axis=2).ravel()


def spent(call: Callable[[], RegionOutput], times: int) -> tuple[float, RegionOutput]:
    """Median CPU seconds of a call, and what it gave."""
    found = call()
    seconds = []
    for _ in range(times):
        begin = time.process_time()
        found = call()
        seconds.append(time.process_time() - begin)
    return median(seconds), found


def whole_windows(model: RegionModel, values: Float32Array, steps: int) -> IntArray:
    """Labels of the first steps, each window with its own context, in batches."""
    wanted = np.lib.stride_tricks.sliding_window_view(values, SUPPORT_CELLS, axis=0)[:steps].swapaxes(1, 2)
    return np.concatenate(
        [labels(model.stretches(wanted[start : start + BATCH])) for start in range(0, steps, BATCH)]
    )


def every_step(model: RegionModel, values: Float32Array, part: int) -> bool:
    """Print what a day costs either way; whether the claim is met."""
    steps = values.shape[0] - SUPPORT_CELLS + 1
    shared_s, found = spent(lambda: model.stretches(values[None]), 3)
    begin = time.process_time()
    reference = whole_windows(model, values, part)
    whole_s = (time.process_time() - begin) * steps / part
    same = float((labels(found)[:part] == reference).mean())
    ratio = whole_s / shared_s
    print(f"Each of {steps} steps, {np.unique(labels(found)).size} regions found (CPU)")
    print(f"  shared activations              {shared_s:8.2f} s  {1e6 * shared_s / steps:7.1f} µs a window")
    print(
        f"  whole windows, {BATCH} at once       {whole_s:8.2f} s  {1e6 * whole_s / steps:7.1f} µs a window"
    )
    print(f"  {ratio:.0f} times cheaper; {100 * same:.2f} % of {part} labels the same\n")
    return ratio >= CHEAPER and same >= SAME


def live(model: RegionModel, values: Float32Array, times: int) -> None:
    """Print what an update of 100 spacecraft costs, and a window of each form."""
    starts = np.arange(CRAFT) * (values.shape[0] - 2 * SUPPORT_CELLS) // CRAFT
    due = np.stack([values[start : start + SUPPORT_CELLS] for start in starts])
    # A hop of ten steps: eleven windows share their cells.
    hop = np.stack([values[start : start + SUPPORT_CELLS + 10] for start in starts])
    print(f"A live update of {CRAFT} spacecraft (CPU)")
    for name, call, windows in (
        ("a window each, with context", lambda: model.stretches(due), 1),
        ("a window each, isolated", lambda: model.windows(window_part(due)), 1),
        ("eleven windows each, with context", lambda: model.stretches(hop), 11),
    ):
        seconds, _ = spent(call, times)
        print(f"  {name:33s} {1e3 * seconds:7.0f} ms  {1e6 * seconds / (CRAFT * windows):7.1f} µs a window")
    print("One spacecraft")
    for name, call in (
        ("with context", lambda: model.stretches(due[:1])),
        ("isolated", lambda: model.windows(window_part(due[:1]))),
    ):
        seconds, _ = spent(call, 10 * times)
        print(f"  {name:33s} {1e3 * seconds:7.2f} ms")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a short series: shows that it runs")
    parser.add_argument("--no-check", action="store_true", help="print only")
    parser.add_argument("--model", default="auto", help="folder of a model (default: the bundled one)")
    options = parser.parse_args()
    values = day(600 if options.quick else STEPS)
    model = load_region(options.model)
    if model is None:
        model = drawn_model(values)
    print(f"Network {model.info.label}\n")
    met = every_step(model, values, 128 if options.quick else 3840)
    live(model, values, 1 if options.quick else 5)
    if options.quick or options.no_check:
        return 0
    verdict = "met" if met else "MISSED"
    print(f"\n{verdict}: at least {CHEAPER:.0f} times cheaper, and {100 * SAME:g} % of the labels the same")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
