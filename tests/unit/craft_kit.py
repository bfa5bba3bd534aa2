"""Windows of simulated plasma, and what is measured of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from monitor.science.synthetic.craft.series import PlasmaSeries
from monitor.types import FloatArray

WINDOW = 40


def windows(make: Callable[[np.random.Generator], PlasmaSeries], count: int, seed: int) -> list[PlasmaSeries]:
    """So many series, all from one generator."""
    rng = np.random.default_rng(seed)
    return [make(rng) for _ in range(count)]


def strengths(series: PlasmaSeries) -> FloatArray:
    """|B| (n,)."""
    return np.linalg.norm(series.B_nT, axis=1)


def spread(series: Iterable[PlasmaSeries]) -> FloatArray:
    """Standard deviation of |B| over its mean, one for each series."""
    return np.array([np.std(strengths(one)) / np.mean(strengths(one)) for one in series])


def correlation(series: Iterable[PlasmaSeries]) -> FloatArray:
    """Of |B| with N, one for each series."""
    return np.array([np.corrcoef(strengths(one), one.N_cm3)[0, 1] for one in series])


def total_eV(series: PlasmaSeries) -> FloatArray:
    """Total temperature (n,)."""
    return (series.Tpar_eV + 2.0 * series.Tperp_eV) / 3.0


def assert_physical(series: PlasmaSeries) -> None:
    """Finite, and neither emptier nor colder than the generators promise."""
    assert np.all(np.isfinite(series.values()))
    assert series.N_cm3.min() >= 0.02
    assert min(series.Tpar_eV.min(), series.Tperp_eV.min()) >= 1.0


def assert_same(one: PlasmaSeries, other: PlasmaSeries) -> None:
    """Equal to the last bit."""
    np.testing.assert_array_equal(one.values(), other.values())
