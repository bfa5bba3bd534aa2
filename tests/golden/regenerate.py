"""Writes the golden products: `python -m tests.golden.regenerate`, then review the diff.

The scene is made here from seeded noise, six hours of three pairs: a resonance at 17 mHz, one across a steep
plasmapause at 12 mHz, and one clock that is 4 s off over a wide band; with a gap that is bridged and one that is not,
with spikes, and with a sensor that sticks.

The physical estimate is alone here (`models.flr: physical`): its numbers change when the code does, and then a diff is
worth reading. Those of the learned chain change with every training; what must hold of them whatever the model is in
`tests/property/test_pipeline_chunking.py` and `tests/realdata/test_pipeline.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from monitor.config import Config
from monitor.config.schema import Models, Windows
from monitor.pipeline import Pipeline
from monitor.types import SECOND_NS, ComplexArray, FloatArray, SampleBlock

GOLDEN = Path(__file__).with_name("products.jsonl")
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


def main(target: Path = GOLDEN) -> None:
    """Write one object a line."""
    lines = [json.dumps(body, ensure_ascii=False, allow_nan=False) for body in products()]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*[Path(argument) for argument in sys.argv[1:2]])
