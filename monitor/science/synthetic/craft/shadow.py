"""The shadow of a spacecraft: half an hour in each of some regions, around and around."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from monitor.science.synthetic.craft.courses import CourseRanges, course_along
from monitor.science.synthetic.craft.instrument import InstrumentRanges, measured
from monitor.types import (
    CELL_NS,
    CONTEXT_CELLS,
    SHADOW_CRAFT,
    VARIABLES,
    Domain,
    FloatArray,
    Region,
    SampleBlock,
    ShadowTruth,
)

HOLD_CELLS: Final = 400
CRAFT_HOLD_NS: Final = HOLD_CELLS * CELL_NS
"""How long it stays in a region: half an hour, eight of ten windows of three minutes with their context."""
TOUR: Final = (
    Region.SOLAR_WIND,
    Region.MAGNETOSHEATH,
    Region.MAGNETOSPHERE,
    Region.LOBE,
    Region.PLASMA_SHEET,
)
"""Regions that cannot be taken for another where all is well; at boundaries the truth itself is a matter of words."""

_SENT: Final = ("Bx", "By", "Bz", "N", "Vx", "Vy", "Vz", "Tpar", "Tperp")
_STREAM: Final = 2


class ShadowCraft:
    """A spacecraft that comes to a region all at once, stays, and is gone to the next.

    Each stay has a plasma and instruments of its own, out of the ranges that the network learnt from; the feed is
    complete and comes on the network's grid.

    Parameters
    ----------
    seed : int
    """

    subject = SHADOW_CRAFT
    kind = "region"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._values = lru_cache(maxsize=2)(self._drawn)

    def blocks(self, begin_ns: int, end_ns: int) -> list[SampleBlock]:
        """The cells that begin at `begin_ns` ≤ t < `end_ns`, a block for each hold."""
        first, last = -(-begin_ns // CELL_NS), -(-end_ns // CELL_NS)
        found = []
        while first < last:
            hold, at = divmod(first, HOLD_CELLS)
            until = min(last, (hold + 1) * HOLD_CELLS)
            values = self._values(hold)[:, at : at + until - first]
            found.append(
                SampleBlock(
                    self.subject, _SENT, first * CELL_NS, CELL_NS, values, domain=Domain.CRAFT, frame="gse"
                )
            )
            first = until
        return found

    def truth(self, end_ns: int, length_ns: int) -> ShadowTruth | None:
        """The region of the window that ends at `end_ns`; None where it, or the context around it, is of two."""
        lead, trail = (cells * CELL_NS for cells in CONTEXT_CELLS)
        hold = (end_ns - 1) // CRAFT_HOLD_NS
        within = (
            hold * CRAFT_HOLD_NS <= end_ns - length_ns - lead and end_ns + trail <= (hold + 1) * CRAFT_HOLD_NS
        )
        return ShadowTruth(str(TOUR[hold % len(TOUR)])) if within else None

    def _drawn(self, hold: int) -> FloatArray:
        """What is sent in a hold, (c, `HOLD_CELLS`)."""
        rng = np.random.default_rng([self._seed, _STREAM, hold])
        region = TOUR[hold % len(TOUR)]
        ranges = replace(CourseRanges(), turned_probability=0.0)
        instrument = replace(InstrumentRanges(), coarse_probability=0.0, interpolated_probability=0.0)
        series = course_along(rng, ranges, [(region, HOLD_CELLS)]).series
        rows = [VARIABLES.index(name) for name in _SENT]
        values: FloatArray = measured(rng, instrument, series)[:, rows].T
        return values
