"""From the states of chains to `profile` objects: ρ(L) of all pairs at one time, with their revisions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from monitor.science.fieldline import UNIT_DENSITY_KG_M3
from monitor.stages.ledger import RevisionLedger, Turn
from monitor.stages.place import Places
from monitor.stages.product import GRACE_NS, LEVEL, number
from monitor.types import (
    SECOND_NS,
    ChainState,
    Finding,
    Json,
    MassDensity,
    PowerLaw,
    Product,
    Tick,
    iso_time,
)


class ProfileStage:
    """Builds `profile` objects of chains and numbers their revisions, as `ProductStage` does for `flr`.

    Parameters
    ----------
    places : Places
        Of all pairs.
    cadence_ns, lateness_ns : int
        `valid_until` is time + cadence + lateness + 180 s.
    remember_ns : int
        How far back revisions are told apart.
    """

    lookback_ns = 0

    def __init__(self, places: Places, cadence_ns: int, lateness_ns: int, remember_ns: int) -> None:
        self._places = places
        self._valid_ns = cadence_ns + lateness_ns + GRACE_NS
        self._ledger = RevisionLedger(remember_ns)

    def feed(self, items: Sequence[ChainState] | Tick) -> list[Product]:
        """The objects that are new or say something new."""
        if isinstance(items, Tick):
            return []
        issued = (self._issue(state) for state in items)
        return [product for product in issued if product is not None]

    def snapshot(self) -> Json:
        """The revisions issued so far, as JSON."""
        return self._ledger.snapshot()

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        self._ledger.restore(state)

    def _issue(self, state: ChainState) -> Product | None:
        content = {
            **self._where(state),
            **_what(state),
            "interval_level": LEVEL,
            "fit": None if state.fit is None else _fit(state.fit),
        }
        turn = self._ledger.turn(state.chain.name, state.end_ns, content)
        return None if turn is None else chain_product("profile", state, turn, content, self._valid_ns)

    def _where(self, state: ChainState) -> dict[str, Json]:
        """Where the lines of the pairs cross the equator at the centre of the window."""
        pairs = state.chain.pairs
        l_shell = np.array([math.nan if one.l_shell is None else one.l_shell for one in pairs])
        crossing = self._places.equator(pairs, state.end_ns - state.length_ns // 2, l_shell).crossing
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


def chain_product(
    kind: str, state: ChainState, turn: Turn, content: dict[str, Json], valid_ns: int
) -> Product:
    """The object of a chain and window: its head, and what it says."""
    name, time = state.chain.name, iso_time(state.end_ns)
    head = {
        "schema": f"geospace/{kind}/1",
        "id": f"{kind}/{name}/{time}/{turn.revision}",
        "chain": name,
        "time": time,
        "effective_time": iso_time(state.end_ns - state.length_ns // 2),
        "window_s": state.length_ns / SECOND_NS,
        "revision": turn.revision,
    }
    return Product(
        kind=kind,
        subject=name,
        time_ns=state.end_ns,
        revision=turn.revision,
        retained=turn.newest,
        body=head | content,
        valid_until_ns=state.end_ns + valid_ns,
    )


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
