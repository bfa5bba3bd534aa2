"""What a density costs: an inversion in a batch against direct solutions of the same wave equation, in one run.

    python benchmarks/density.py [--quick] [--no-check]

A batch of 100,000 lines of random L, m and frequency is turned into densities by the table. Some of them are solved again,
one by one, as one would with scipy alone: with `solve_bvp` (tolerance 1e-6), and by
shooting (`solve_ivp`, relative tolerance 1e-8, with `brentq` for K). The claim: an inversion of the batch is at least 1000
times cheaper than either, and both agree with the table to 1e-6. Exit code 1 where it is missed.

Times are CPU time of this process, on one thread. What the table costs when it is first needed is printed, and not counted
in the claim; so is what the stage costs for 1000 pairs at a half hour.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

# As the command does, before numpy is imported: threads inside the linear algebra only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy import integrate, optimize

from monitor.science.density import density_amu_cm3
from monitor.science.fieldline import dipole_unit_frequency_Hz, dipole_wave_constant
from monitor.stages.density import DensityStage, DipoleField
from monitor.types import (
    SECOND_NS,
    Finding,
    FloatArray,
    Illumination,
    Label,
    Pair,
    PhysicalReading,
    Reading,
)

RATIO = 1000.0
AGREEMENT = 1e-6
YEAR = 2017.5
_FOOT = 1.0 + 110.0 / 6371.2
_MESH = 21


def lines(count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """L, m and frequency (Hz) of random pairs."""
    rng = np.random.default_rng(1)
    return rng.uniform(1.5, 8.0, count), rng.uniform(0.0, 4.0, count), rng.uniform(5e-3, 50e-3, count)


def invert(l_shell: FloatArray, index: FloatArray, frequency_Hz: FloatArray) -> FloatArray:
    """Densities (amu cm⁻³) of a batch."""
    return density_amu_cm3(dipole_unit_frequency_Hz(l_shell, index, year=YEAR), frequency_Hz)


def by_boundary_values(l_shell: float, index: float) -> float:
    """K of the fundamental by `scipy.integrate.solve_bvp`, from a half wave as the first guess."""
    end = math.sqrt(1.0 - _FOOT / l_shell)
    mesh = np.linspace(-end, end, _MESH)
    half = 0.5 * math.pi / end
    found = integrate.solve_bvp(
        lambda z, e, k: np.vstack([e[1], -(k[0] ** 2) * (1.0 - z * z) ** (6.0 - index) * e[0]]),
        lambda left, right, _: np.array([left[0], right[0], left[1] - 1.0]),
        mesh,
        np.vstack([np.cos(half * mesh) / half, -np.sin(half * mesh)]),
        p=[1.3 * half],
        tol=1e-6,
    )
    assert found.success, found.message
    assert found.p is not None
    return float(found.p[0])


def by_shooting(l_shell: float, index: float) -> float:
    """K of the fundamental by `solve_ivp` from one end, and `brentq` for the other."""
    end = math.sqrt(1.0 - _FOOT / l_shell)

    def missed(k: float) -> float:
        path = integrate.solve_ivp(
            lambda z, e: (e[1], -(k**2) * (1.0 - z * z) ** (6.0 - index) * e[0]),
            (-end, end),
            (0.0, 1.0),
            method="DOP853",
            rtol=1e-8,
            atol=1e-10,
        )
        return float(path.y[0, -1])

    # Thin ends raise every mode of an even string; the fundamental stays below where the second one was.
    half = 0.5 * math.pi / end
    return float(optimize.brentq(missed, 0.99 * half, 2.0 * half, rtol=1e-10))


def cpu_s(work: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds of some runs."""
    spent = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return median(spent)


def findings(count: int) -> list[Finding]:
    """Resonances at one half hour, a third of them in the dark."""
    unseen = PhysicalReading(Label.NO_FREQ, *[math.nan] * 6)
    lights = (Illumination.DAY, Illumination.DAY, Illumination.NIGHT)
    return [
        Finding(
            pair=Pair(f"P{row:04d}", f"E{row:04d}", float(l_shell)),
            end_ns=1_504_785_600 * SECOND_NS,
            length_ns=7200 * SECOND_NS,
            coverage=(),
            physical=unseen,
            illumination=lights[row % 3],
            mlt_h=12.0,
            probability=None,
            stage_one=None,
            as_freq=Reading(float(frequency), 0.95 * float(frequency), 1.05 * float(frequency)),
            as_pbl=None,
            label=Label.FREQ,
        )
        for row, (l_shell, _, frequency) in enumerate(zip(*lines(count), strict=True))
    ]


def compare(batch: int, singles: int) -> bool:
    """Print the costs and how far the solutions differ; whether the claim is met."""
    l_shell, index, frequency_Hz = lines(batch)
    begin = time.process_time()
    invert(l_shell[:1], index[:1], frequency_Hz[:1])
    print(f"table, when first needed      {(time.process_time() - begin) * 1e3:9.1f} ms")
    one_s = cpu_s(lambda: invert(l_shell, index, frequency_Hz), 5) / batch
    print(f"inversion, batch of {batch:<7}   {one_s * 1e6:9.3f} µs")
    chosen = list(zip(l_shell[:singles].tolist(), index[:singles].tolist(), strict=True))
    table = dipole_wave_constant(l_shell[:singles], index[:singles])
    met = True
    solvers: Sequence[tuple[str, Callable[[float, float], float]]] = (
        ("solve_bvp", by_boundary_values),
        ("shooting", by_shooting),
    )
    for name, solve in solvers:
        begin = time.process_time()
        direct = np.array([solve(*one) for one in chosen])
        spent_s = (time.process_time() - begin) / singles
        apart = float(np.abs(direct / table - 1.0).max())
        ratio = spent_s / one_s
        met &= ratio >= RATIO and apart <= AGREEMENT
        print(f"{name:<10} one by one         {spent_s * 1e3:9.2f} ms  {ratio:9.0f} ×  K within {apart:.0e}")
    return met


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 where the claim is missed."""
    parser = argparse.ArgumentParser(description="Cost of densities, in a batch and solved one by one.")
    parser.add_argument("--quick", action="store_true", help="few lines: shows that it runs")
    parser.add_argument("--no-check", action="store_true", help="print, and judge nothing")
    options = parser.parse_args(arguments)
    met = compare(*((5_000, 3) if options.quick else (100_000, 200)))
    stage, some = DensityStage(DipoleField()), findings(1000)
    stage.feed(some)
    print(f"stage, 1000 pairs             {cpu_s(lambda: stage.feed(some), 5) * 1e3:9.1f} ms")
    print(
        f"{'met' if met else 'MISSED'}: at least {RATIO:.0f} times cheaper, and the same to {AGREEMENT:.0e}"
    )
    return 0 if met or options.no_check else 1


if __name__ == "__main__":
    sys.exit(main())
