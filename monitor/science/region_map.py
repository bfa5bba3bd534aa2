"""Which regions lie beside each other: what a spacecraft can meet in the windows before and after."""

from __future__ import annotations

from typing import Final

from monitor.types import Region

_SW, _FS, _BS = Region.SOLAR_WIND, Region.FORESHOCK, Region.BOW_SHOCK
_MSH, _MP, _BL = Region.MAGNETOSHEATH, Region.MAGNETOPAUSE, Region.BOUNDARY_LAYER
_MSP, _PS = Region.MAGNETOSPHERE, Region.PLASMA_SHEET
_PSBL, _LOBE = Region.PLASMA_SHEET_BOUNDARY_LAYER, Region.LOBE

EDGES: Final = (
    # The foreshock is solar wind on field lines that meet the shock: the wind turns one into the other.
    (_SW, _FS),
    # The shock has one or the other before it, by its angle, and the sheath behind it.
    (_SW, _BS),
    (_FS, _BS),
    (_BS, _MSH),
    # Shock, magnetopause and the plasma sheet's boundary are thinner than a window is long: they may pass between two.
    (_SW, _MSH),
    (_FS, _MSH),
    (_MSH, _BL),
    (_MSH, _MSP),
    (_MSH, _LOBE),
    (_PS, _LOBE),
    # Inside the magnetopause lie the boundary layer, where there is none the magnetosphere, and over the poles the lobe.
    (_MSH, _MP),
    (_MP, _BL),
    (_MP, _MSP),
    (_MP, _LOBE),
    # The boundary layer goes over into the magnetosphere by day, the plasma sheet at the flanks, the lobe as mantle.
    (_BL, _MSP),
    (_BL, _PS),
    (_BL, _LOBE),
    # Towards the night the magnetosphere's closed field lines go over into the sheet, its boundary and the lobes.
    (_MSP, _PS),
    (_MSP, _PSBL),
    (_MSP, _LOBE),
    (_PS, _PSBL),
    (_PSBL, _LOBE),
)
"""Pairs of neighbours, either way."""

_NEIGHBOURS: Final = frozenset(frozenset(edge) for edge in EDGES)


def are_neighbours(one: Region, other: Region) -> bool:
    """Whether a spacecraft may be in both within a few minutes: the same region, or two that touch."""
    return one is other or frozenset((one, other)) in _NEIGHBOURS
