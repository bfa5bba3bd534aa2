"""Windows of the ten regions drawn in the plainest way: means, noise of one colour, and a tanh for a boundary.

It shares nothing with `monitor.science.synthetic.craft` and was written without looking at what the network makes of it:
a network that has learnt a generator rather than the regions fails here. Means are from the literature in
`../shared/data/space/region_priors.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.types import REGIONS, SUPPORT_CELLS, VARIABLES, Float32Array, FloatArray, IntArray

_I = {name: number for number, name in enumerate(VARIABLES)}


@dataclass(frozen=True)
class Plain:
    """Ranges of a region: means, then relative spreads of |B|, N and T, and that of V (km/s)."""

    B: tuple[float, float]
    N: tuple[float, float]
    T: tuple[float, float]
    V: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    spread_B: tuple[float, float]
    spread_N: tuple[float, float]
    spread_T: tuple[float, float]
    spread_V: tuple[float, float]
    slope: float
    ratio: tuple[float, float]
    direction: str
    coupling: float = -0.1


_STILL = ((-40.0, 40.0),) * 3
_WIND = ((-700.0, -300.0), (-40.0, 40.0), (-40.0, 40.0))
PLAIN = {
    "SW": Plain((3, 10), (2, 20), (10, 110), _WIND, (0.007, 0.05), (0.01, 0.05), (0.02, 0.08), (2, 8), -1.0, (0.8, 1.3), "any", -0.3),
    "FS": Plain((3, 10), (2, 20), (50, 300), _WIND, (0.07, 0.3), (0.06, 0.25), (0.08, 0.25), (5, 40), -1.7, (0.8, 1.3), "any", 0.5),
    "MSH": Plain((8, 40), (6, 50), (100, 600), ((-350, -50), (-150, 150), (-150, 150)), (0.06, 0.4), (0.04, 0.15), (0.03, 0.1), (10, 40), -1.2, (0.6, 1.0), "any"),
    "BL": Plain((20, 60), (0.6, 5), (300, 2000), ((-150, 150),) * 3, (0.02, 0.12), (0.15, 0.5), (0.1, 0.4), (15, 50), -1.7, (0.8, 1.4), "north"),
    "MSP": Plain((25, 90), (0.2, 1.2), (2500, 8000), _STILL, (0.003, 0.04), (0.015, 0.06), (0.02, 0.07), (3, 12), -2.5, (0.7, 1.1), "north"),
    "PS": Plain((4, 22), (0.1, 0.8), (3000, 8500), ((-100, 100),) * 3, (0.03, 0.4), (0.03, 0.12), (0.04, 0.12), (10, 50), -2.2, (0.9, 1.1), "sheet"),
    "PSBL": Plain((15, 35), (0.05, 0.25), (600, 3500), ((-300, 900), (-60, 60), (-60, 60)), (0.01, 0.06), (0.08, 0.3), (0.08, 0.3), (30, 150), -1.8, (1.1, 2.2), "tail"),
    "LOBE": Plain((16, 45), (0.01, 0.06), (80, 600), ((-80, 80),) * 3, (0.0015, 0.02), (0.04, 0.12), (0.06, 0.15), (15, 60), -2.1, (0.8, 1.2), "tail"),
}  # fmt: skip


def plain_windows(each: int, seed: int) -> tuple[Float32Array, IntArray]:
    """`each` windows with their context (n, SUPPORT_CELLS, 12) of every region, and their labels (n,)."""
    rng = np.random.default_rng(seed)
    values, labels = [], []
    for label, region in enumerate(REGIONS):
        for _ in range(each):
            if region == "BS":
                one = _passed(rng, str(rng.choice(["SW", "FS"])), "MSH", rng.uniform(0.3, 3.0))
            elif region == "MP":
                one = _passed(rng, "MSH", str(rng.choice(["MSP", "BL"])), rng.uniform(0.6, 5.0))
            else:
                one = _series(rng, str(region))
            values.append(one)
            labels.append(label)
    return np.array(values, dtype=np.float32), np.array(labels)


def only(values: Float32Array, names: tuple[str, ...]) -> Float32Array:
    """The same with every other variable missing."""
    masked = np.full_like(values, np.nan)
    for name in names:
        masked[..., _I[name]] = values[..., _I[name]]
    return masked


def _log(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(ends))))


def _noise(rng: np.random.Generator, slope: float) -> FloatArray:
    """Nine series of unit spread."""
    frequency = np.fft.rfftfreq(256)
    amplitude = np.concatenate([[0.0], frequency[1:] ** (slope / 2)])
    drawn = rng.standard_normal((9, frequency.size)) + 1j * rng.standard_normal((9, frequency.size))
    noise = np.fft.irfft(amplitude * drawn, 256)[:, :SUPPORT_CELLS]
    noise -= noise.mean(axis=1, keepdims=True)
    unit: FloatArray = noise / noise.std(axis=1, keepdims=True)
    return unit


def _direction(rng: np.random.Generator, kind: str) -> FloatArray:
    small = rng.uniform(-0.4, 0.4, 3)
    vector = {
        "any": rng.standard_normal(3),
        "north": small + np.array([0.0, 0.0, 1.0]),
        "tail": small * np.array([0.0, 0.7, 0.6]) + np.array([rng.choice([-1.0, 1.0]), 0.0, 0.0]),
        "sheet": np.array([rng.uniform(-1, 1), rng.uniform(-0.3, 0.3), rng.uniform(0.2, 0.8)]),
    }[kind]
    unit: FloatArray = vector / np.linalg.norm(vector)
    return unit


def _series(rng: np.random.Generator, name: str) -> FloatArray:
    plain = PLAIN[name]
    noise = _noise(rng, plain.slope)
    spread = _log(rng, plain.spread_B)
    field = _log(rng, plain.B) * np.exp(np.clip(spread * noise[0], -1.5, 1.5))
    vector = _direction(rng, plain.direction) + spread * noise[1:4].T
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    joint = plain.coupling * noise[0] + np.sqrt(1.0 - plain.coupling**2) * noise[4]
    density = _log(rng, plain.N) * np.exp(np.clip(_log(rng, plain.spread_N) * joint, -2, 2))
    total = _log(rng, plain.T) * np.exp(np.clip(_log(rng, plain.spread_T) * noise[5], -2, 2))
    flow = np.array([rng.uniform(*ends) for ends in plain.V]) + _log(rng, plain.spread_V) * noise[6:9].T
    ratio = rng.uniform(*plain.ratio)
    return _with_totals(
        vector * field[:, None], density, flow, 3 * total * ratio / (ratio + 2), 3 * total / (ratio + 2)
    )


def _passed(rng: np.random.Generator, one: str, other: str, width: float) -> FloatArray:
    """From one plasma to the other about the window's middle; behind a shock both field and density are compressed."""
    before, after = _series(rng, one), _series(rng, other)
    if one in ("SW", "FS"):
        after[:, _I["N"]] *= rng.uniform(2.3, 3.8) * before[:, _I["N"]].mean() / after[:, _I["N"]].mean()
        after[:, :4] *= rng.uniform(2.0, 4.0) * before[:, _I["B"]].mean() / after[:, _I["B"]].mean()
    share = 0.5 * (1.0 + np.tanh((np.arange(SUPPORT_CELLS) - rng.uniform(18, 34)) / width))
    mixed = before + share[:, None] * (after - before)
    for name in ("N", "Tpar", "Tperp"):
        place = _I[name]
        mixed[:, place] = before[:, place] ** (1 - share) * after[:, place] ** share
    whole = _with_totals(
        mixed[:, :3], mixed[:, _I["N"]], mixed[:, 5:8], mixed[:, _I["Tpar"]], mixed[:, _I["Tperp"]]
    )
    return whole if rng.random() < 0.5 else whole[::-1]


def _with_totals(
    field: FloatArray, density: FloatArray, flow: FloatArray, par: FloatArray, perp: FloatArray
) -> FloatArray:
    length = np.linalg.norm(field, axis=1), np.linalg.norm(flow, axis=1)
    return np.column_stack([field, length[0], density, flow, length[1], par, perp, (par + 2 * perp) / 3])
