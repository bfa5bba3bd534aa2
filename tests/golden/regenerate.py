"""Writes the golden products: `python -m tests.golden.regenerate`, then review the diff.

`products.jsonl` is of the ground. Its scene is made here from seeded noise, six hours of three pairs: a resonance at 17 mHz, one across a steep
plasmapause at 12 mHz, and one clock that is 4 s off over a wide band; with a gap that is bridged and one that is not,
with spikes, and with a sensor that sticks.

The physical estimate is alone here (`models.flr: physical`): its numbers change when the code does, and then a diff is
worth reading. Those of the learned chain change with every training; what must hold of them whatever the model is in
`tests/property/test_pipeline_chunking.py` and `tests/realdata/test_pipeline.py`.

`products_craft.jsonl` is of a spacecraft that goes from the solar wind into the lobe in an hour and a half. In place of the
network stands a reader of made-up densities, which is the same on every machine: what is held here is all around it,
from samples to cells, windows, labels, quality and crossings.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monitor.config import Config
from monitor.config.schema import CraftWindows, Models, Windows
from monitor.pipeline import Pipeline
from monitor.pipeline.guard import Guard
from monitor.pipeline.space import Space, craft_patience
from monitor.stages.health import HealthStage
from monitor.types import SECOND_NS, VARIABLES, ComplexArray, FloatArray, SampleBlock

# The reader and its samples are those of the unit tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from region_stage_kit import DENSITY, StubModel, samples

GOLDEN = Path(__file__).with_name("products.jsonl")
GOLDEN_CRAFT = Path(__file__).with_name("products_craft.jsonl")
T0_NS = 1_283_904_000 * SECOND_NS  # 2010-09-08T00:00:00Z
HOURS = 6
TURN_S = 600


def _answers(
    rng: np.random.Generator, count: int, step_s: int, resonance_Hz: float | None, sides: tuple[float, ...]
) -> list[FloatArray]:
    """Records of stations at these sides of one resonance (none: the same wave everywhere)."""
    frequency = np.fft.rfftfreq(2 * count, step_s)

    def white() -> ComplexArray:
        wave: ComplexArray = rng.normal(size=frequency.size) * np.exp(2j * np.pi * rng.random(frequency.size))
        return wave

    source, red = white(), 0.05 * np.sqrt(count) / np.maximum(frequency, 1e-3)
    records = []
    for side in sides:
        answer: ComplexArray = np.ones(frequency.size, dtype=np.complex128)
        if resonance_Hz is not None:
            answer = 0.2 + 1.0 / (1.0 + 1j * ((frequency - resonance_Hz) / (0.2 * resonance_Hz) + side))
        spectrum = (source * answer + 0.1 * white()) * red
        records.append(12_000.0 + np.fft.irfft(spectrum, 2 * count)[:count])
    return records


def scene() -> dict[str, tuple[int, FloatArray]]:
    """Step (s) and samples of every station."""
    rng = np.random.default_rng(20100908)
    slow, fast = HOURS * 360, HOURS * 3600
    muo, pel = _answers(rng, slow, 10, 17e-3, (0.6, -0.6))
    # Poleward of the plasmapause the resonance is at the higher frequency: the sides change places.
    sod, oul = _answers(rng, slow, 10, 12e-3, (-0.6, 0.6))
    tar, late = _answers(rng, fast + 4, 1, None, (0.0, 0.0))
    pel[500:520] = np.nan
    muo[1500:1560] = np.nan
    sod[[800, 1200]] += 1e4
    oul[1600:] = oul[1600]
    return {
        "MUO": (10, muo),
        "PEL": (10, pel),
        "SOD": (10, sod),
        "OUL": (10, oul),
        "TAR": (1, tar[4:]),
        "BRZ": (1, late[:-4]),
    }


def products() -> list[dict[str, Any]]:
    """All objects that the pipeline makes of the scene, in their order."""
    config = Config(
        pairs=("MUO-PEL:5.0", "SOD-OUL:5.0", "TAR-BRZ:2.9"),
        windows=Windows(length_s=7200, cadence_s=3600, lateness_s=120.0),
        models=Models(flr="physical"),
    )
    pipeline, records, found = Pipeline(config), scene(), []
    for begin in range(0, HOURS * 3600, TURN_S):
        blocks = []
        for code, (step, values) in records.items():
            cut = values[None, begin // step : (begin + TURN_S) // step]
            blocks.append(SampleBlock(code, ("H",), T0_NS + begin * SECOND_NS, step * SECOND_NS, cut.copy()))
        found += pipeline.feed(blocks)
    return [dict(product.body) for product in [*found, *pipeline.flush()]]


FLIGHT = (
    ["SW"] * 5 + ["BS"] + ["MSH"] * 6 + ["PS"] + ["MSH"] * 2 + ["MP"] + ["MSP"] * 6 + ["PSBL"] + ["LOBE"] * 7
)
"""One region for each window of 40 cells."""
TURN_CELLS = 20


def flight() -> SampleBlock:
    """The samples: with a gap that is bridged and one that is not, without plasma for a while, and once like nothing known."""
    block = samples([region for region in FLIGHT for _ in range(40)])
    plasma = slice(VARIABLES.index("Vx"), None)
    block.values[:, 130:133] = np.nan
    block.values[:, 700:730] = np.nan
    block.values[plasma, 800:900] = np.nan
    block.values[DENSITY, 1000:1040] = 25.0
    return block


def craft_products() -> list[dict[str, Any]]:
    """All objects that the space side makes of the flight, in their order."""
    config = Config(craft=("MMS1",), craft_windows=CraftWindows(hop_s=90.0, bridge_ratio=0.2))
    space = Space.with_model(config, Guard(lambda _stage: nullcontext()), StubModel())
    health = HealthStage({}, SECOND_NS, SECOND_NS, config.craft, craft_patience(config))
    whole, found = flight(), []
    for begin in range(0, whole.count, TURN_CELLS):
        piece = slice(begin, begin + TURN_CELLS)
        t0_ns = whole.t0_ns + begin * whole.step_ns
        block = replace(whole, t0_ns=t0_ns, values=whole.values[:, piece].copy())
        found += space.feed([block], health)
    return [dict(product.body) for product in [*found, *space.flush(health)]]


def main(target: Path = GOLDEN, craft_target: Path = GOLDEN_CRAFT) -> None:
    """Write one object a line."""
    for path, bodies in ((target, products()), (craft_target, craft_products())):
        lines = [json.dumps(body, ensure_ascii=False, allow_nan=False) for body in bodies]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*[Path(argument) for argument in sys.argv[1:3]])
