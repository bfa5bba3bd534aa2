"""The demonstration's spacecraft: from the solar wind into the tail, and back the same way."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.science.synthetic.craft.courses import CourseRanges, course_along
from monitor.science.synthetic.craft.series import PlasmaSeries
from monitor.types import CELL_NS, VARIABLES, Domain, Region, SampleBlock

CRAFT: Final = "MMS1"
# Of forty, one whose boundaries are clear: it shows what there is, and measures nothing.
_SEED = 13
# Steps of 4.5 s in each region, nine hours together: all ten pass by in the demo's first minute.
_STAYS = [
    (Region.SOLAR_WIND, 700),
    (Region.FORESHOCK, 600),
    (Region.MAGNETOSHEATH, 1200),
    (Region.BOUNDARY_LAYER, 200),
    (Region.MAGNETOSPHERE, 1600),
    (Region.PLASMA_SHEET, 1100),
    (Region.PLASMA_SHEET_BOUNDARY_LAYER, 500),
    (Region.LOBE, 1300),
]
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
    course = course_along(np.random.default_rng(_SEED), CourseRanges(), _STAYS)
    return CraftFeed(CRAFT, begin_ns, course.series)
