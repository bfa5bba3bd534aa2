"""Findings of a small chain, with densities, for the tests of what chains become."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monitor.science.plasmapause_parameters import PlasmapauseParameters
from monitor.stages.chain import ChainStage
from monitor.types import (
    Chain,
    Finding,
    Illumination,
    Label,
    LineEnds,
    MassDensity,
    Pair,
    PhysicalReading,
    Reading,
)

CADENCE_NS = 1_800_000_000_000
LATENESS_NS = 120_000_000_000
DAY_NS = 86_400_000_000_000
OUTER, MIDDLE, INNER = Pair("PEL", "OUJ", 4.8), Pair("OUJ", "HAN", 3.9), Pair("TAR", "BRZ", 2.9)
LONE = Pair("SUW", "PPN", 2.2)
EMMA = Chain("emma", (OUTER, MIDDLE, INNER))
STATION_L = {"PEL": 5.1, "OUJ": 4.5, "HAN": 3.3, "TAR": 3.1, "BRZ": 2.7}
# Coarse, so that a filter of hundreds of windows takes no time.
PARAMETERS = PlasmapauseParameters(
    step_l=0.2, plasmasphere_levels=(-2.4, 1.4, 3), trough_levels=(-2.0, 2.4, 3)
)


def stage(
    remember: int = 60,
    *,
    chains: Sequence[Chain] = (EMMA,),
    parameters: PlasmapauseParameters = PARAMETERS,
    widest_l: float = 3.0,
    night: bool = False,
) -> ChainStage:
    return ChainStage(
        chains,
        STATION_L,
        parameters,
        level=0.9,
        widest_l=widest_l,
        lateness_ns=LATENESS_NS,
        remember_ns=remember * CADENCE_NS,
        night=night,
    )


def finding(
    number: int,
    pair: Pair,
    rho_amu_cm3: float | None = None,
    label: Label = Label.FREQ,
    illumination: Illumination | None = Illumination.DAY,
    flags: frozenset[str] = frozenset(),
    start_ns: int = 0,
) -> Finding:
    """What is known of a pair in window `number`; without a density, and without a reading where it is NoFreq."""
    heard = label is not Label.NO_FREQ
    return Finding(
        pair=pair,
        end_ns=start_ns + number * CADENCE_NS,
        length_ns=4 * CADENCE_NS,
        coverage=((pair.poleward, 1.0), (pair.equatorward, 0.998)),
        physical=PhysicalReading(Label.NO_FREQ, math.nan, math.nan, math.nan, math.nan, 0.1, math.inf),
        illumination=illumination,
        mlt_h=13.1,
        probability=(0.2, 0.7, 0.1),
        stage_one=label,
        as_freq=Reading(0.0134, 0.0126, 0.0142) if heard else None,
        as_pbl=Reading(0.025, 0.022, 0.028) if heard else None,
        label=label,
        track_probability=(0.1, 0.8, 0.1),
        flags=flags,
        density=None if rho_amu_cm3 is None else density(rho_amu_cm3),
    )


def density(rho_amu_cm3: float, harmonic: int = 1) -> MassDensity:
    return MassDensity(rho_amu_cm3, rho_amu_cm3 / 1.3, rho_amu_cm3 * 1.3, 1.0, harmonic, LineEnds.FIXED)


def window(number: int, *rho_amu_cm3: float | None, start_ns: int = 0) -> list[Finding]:
    """A window of the chain by its densities, the outermost first."""
    return [
        finding(number, pair, rho, start_ns=start_ns)
        for pair, rho in zip(EMMA.pairs, rho_amu_cm3, strict=True)
    ]
