"""From the states of chains to `profile` objects: ρ(L) of all pairs at one time, with their revisions."""

from __future__ import annotations

import math

import numpy as np

from monitor.science.fieldline import UNIT_DENSITY_KG_M3
from monitor.stages.chain_product import ChainProductStage
from monitor.stages.place import Places
from monitor.stages.product import LEVEL, number
from monitor.types import (
    ChainState,
    Finding,
    Json,
    MassDensity,
    PowerLaw,
)


def profile_stage(places: Places, cadence_ns: int, lateness_ns: int, remember_ns: int) -> ChainProductStage:
    """The stage that builds `profile` objects; `places` are those of all pairs."""

    def content(state: ChainState) -> dict[str, Json]:
        return {
            **_where(places, state),
            **_what(state),
            "interval_level": LEVEL,
            "fit": None if state.fit is None else _fit(state.fit),
        }

    return ChainProductStage("profile", content, cadence_ns, lateness_ns, remember_ns)


def _where(places: Places, state: ChainState) -> dict[str, Json]:
    """Where the lines of the pairs cross the equator at the centre of the window."""
    pairs = state.chain.pairs
    l_shell = np.array([math.nan if one.l_shell is None else one.l_shell for one in pairs])
    crossing = places.equator(pairs, state.end_ns - state.length_ns // 2, l_shell).crossing
    return {
        "pairs": [pair.name for pair in pairs],
        "l_shell": [number(value) for value in l_shell.tolist()],
        "gsm_lat": [number(value) for value in crossing.gsm_lat_deg.tolist()],
        "gsm_lon": [number(value) for value in crossing.gsm_lon_deg.tolist()],
        "gsm_z": [number(value) for value in crossing.gsm_z_m.tolist()],
        "distance": [number(value) for value in crossing.distance_re.tolist()],
        "lt": [number(value) for value in crossing.lt_h.tolist()],
        "mlt": [number(value) for value in crossing.mlt_h.tolist()],
    }


def _what(state: ChainState) -> dict[str, Json]:
    """What was found for each pair."""
    findings = state.findings
    densities = [None if one is None else one.density for one in findings]
    return {
        "label": [None if one is None else str(one.label) for one in findings],
        "frequency_mHz": [_frequency_mHz(one) for one in findings],
        "rho": [None if one is None else number(one.density_amu_cm3) for one in densities],
        "rho_interval": [_interval(one) for one in densities],
        "rho_si": [
            None if one is None else number(one.density_amu_cm3 * UNIT_DENSITY_KG_M3) for one in densities
        ],
        "illumination": [
            None if one is None or one.illumination is None else str(one.illumination) for one in findings
        ],
        "used": list(state.used),
        "flags": [[] if one is None else sorted(one.flags) for one in findings],
    }


def _frequency_mHz(finding: Finding | None) -> float | None:
    reading = None if finding is None else finding.reading
    return None if reading is None else number(reading.frequency_Hz * 1e3)


def _interval(density: MassDensity | None) -> list[float | None] | None:
    return None if density is None else [number(density.low_amu_cm3), number(density.high_amu_cm3)]


def _fit(fit: PowerLaw) -> dict[str, Json]:
    return {
        "density_at_l4_amu_cm3": number(fit.density_at_l4_amu_cm3),
        "exponent": number(fit.exponent),
        "exponent_interval": [number(fit.exponent_low), number(fit.exponent_high)],
        "pairs": fit.pairs,
    }
