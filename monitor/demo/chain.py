"""The demonstration's chain of magnetometers, and the storm that goes over it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Final

from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.scenario import storm_scenario
from monitor.stations import load_station_table
from monitor.types import SECOND_NS

STATIONS: Final = ("MUO", "PEL", "OUJ", "HAN", "NUR", "TAR", "BRZ", "SUW")
PAIRS: Final = tuple(f"{poleward}-{equatorward}" for poleward, equatorward in itertools.pairwise(STATIONS))
_SEED = 7
# Hours from the beginning, and L of the plasmapause: it passes a pair before the first noon, and others in the evening.
_COURSE = ((0, 5.45), (4, 5.4), (7, 4.03), (14, 4.03), (20, 3.55), (30, 3.6), (48, 4.3))
_HOUR_NS = 3600 * SECOND_NS


def simulated_chain(begin_ns: int) -> GroundSimulator:
    """The chain from a time on."""
    table = load_station_table()
    chain = [(code, float(table[code].l_shell or 0.0)) for code in STATIONS]
    plasma = PlasmaModel(
        plasmapause=tuple((begin_ns + hour * _HOUR_NS, l_shell) for hour, l_shell in _COURSE)
    )
    return GroundSimulator(replace(storm_scenario(begin_ns, seed=_SEED), stations=chain, plasma=plasma))
