"""The demonstration's spacecraft: from the solar wind into the tail, and back the same way."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.science.synthetic.craft.fluctuations import coloured
from monitor.science.synthetic.craft.series import PlasmaSeries, State
from monitor.types import CELL_NS, VARIABLES, Domain, SampleBlock

CRAFT: Final = "MMS1"
_SEED = 11
# What is sent; the totals follow from it.
_SENT = ("Bx", "By", "Bz", "N", "Vx", "Vy", "Vz", "Tpar", "Tperp")


class CraftFeed:
    """What a spacecraft sends that goes through a series of plasmas, then back through it, and so on.

    Parameters
    ----------
    craft : str
    begin_ns : int
        Time of the first sample: on the grid of 4.5 s, or the first cell after it.
    series : PlasmaSeries
    """

    def __init__(self, craft: str, begin_ns: int, series: PlasmaSeries) -> None:
        self._craft = craft
        self._t0_ns = -(-begin_ns // CELL_NS) * CELL_NS
        rows = [VARIABLES.index(name) for name in _SENT]
        self._values = series.values()[:, rows].T

    def blocks(self, begin_ns: int, end_ns: int) -> list[SampleBlock]:
        """The samples that begin in a piece of time, as one block; none before the first."""
        first = max(0, -((self._t0_ns - begin_ns) // CELL_NS))
        last = -((self._t0_ns - end_ns) // CELL_NS)
        if last <= first:
            return []
        steps = self._values.shape[1]
        at = np.arange(first, last) % (2 * steps)
        there_and_back = np.minimum(at, 2 * steps - 1 - at)
        return [
            SampleBlock(
                self._craft,
                _SENT,
                self._t0_ns + first * CELL_NS,
                CELL_NS,
                self._values[:, there_and_back],
                domain=Domain.CRAFT,
                frame="gse",
            )
        ]


def simulated_craft(begin_ns: int) -> CraftFeed:
    """The spacecraft from a time on."""
    return CraftFeed(CRAFT, begin_ns, _passage())


def _passage() -> PlasmaSeries:
    """One way, in about nine hours."""
    rng = np.random.default_rng(_SEED)
    parts = [PlasmaSeries.uniform(state, 800) for state in _STATES]
    joined = PlasmaSeries.joined(parts)
    noise = 0.03 * np.array([coloured(rng, joined.steps, -1.7) for _ in range(6)])
    size = np.linalg.norm(joined.B_nT, axis=1)
    return PlasmaSeries(
        joined.B_nT + (noise[:3] * size).T,
        joined.N_cm3 * np.exp(noise[3]),
        joined.V_kms * (1.0 + noise[4][:, None]),
        joined.Tpar_eV * np.exp(noise[5]),
        joined.Tperp_eV * np.exp(noise[5]),
    )


_STATES = (
    State(np.array([3.0, -3.0, 1.0]), 6.0, np.array([-420.0, 20.0, 5.0]), 12.0, 15.0),
    State(np.array([8.0, -15.0, 6.0]), 22.0, np.array([-180.0, 60.0, 20.0]), 150.0, 220.0),
    State(np.array([5.0, 5.0, 50.0]), 0.6, np.array([-10.0, 15.0, 0.0]), 3500.0, 4000.0),
    State(np.array([12.0, 2.0, 8.0]), 0.3, np.array([30.0, 10.0, 0.0]), 4500.0, 4500.0),
    State(np.array([25.0, 3.0, 5.0]), 0.02, np.array([-10.0, 0.0, 5.0]), 200.0, 200.0),
)
