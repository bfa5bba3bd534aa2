"""Stations: where a magnetometer stands, and what the Earth's field is there.

The shipped table (`data/stations.csv`, EMMA and IMAGE, from the public package gmag) gives corrected geomagnetic
(CGM) latitude, L and declination for two epochs. L drifts by about 2 % in 12 years, so a `Station` carries its epoch.

Where a station sends X (geographic north) and Y (geographic east), its axes are `geographic` and the component
towards magnetic north is H = X cos D + Y sin D with its declination D, positive to the east. Where the axes are
`magnetic`, what comes is H already. None means that nobody said.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal, TypeAlias

Axes: TypeAlias = Literal["geographic", "magnetic"]

TABLE_EPOCHS = (2013.0, 2025.0)
"""The epochs (years) of the two sets of values in the shipped table."""


@dataclass(frozen=True, slots=True)
class Station:
    """One magnetometer station; what is not known is None.

    Attributes
    ----------
    code : str
        Upper-case code, as in topics.
    name : str or None
    latitude_deg, longitude_deg : float or None
        Geographic position, north and east positive.
    magnetic_latitude_deg : float or None
        Corrected geomagnetic latitude, north positive.
    l_shell : float or None
    declination_deg : float or None
        Of the field at the station, east positive.
    epoch : float or None
        Year (with decimals) to which the magnetic values belong, where they come from the shipped table.
    axes : 'geographic', 'magnetic' or None
        What the station's two horizontal components point along.
    sensor : str or None
        The one vector sensor to take, where a station has several.
    """

    code: str
    name: str | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    magnetic_latitude_deg: float | None = None
    l_shell: float | None = None
    declination_deg: float | None = None
    epoch: float | None = None
    axes: Axes | None = None
    sensor: str | None = None

    @property
    def absolute_magnetic_latitude_deg(self) -> float | None:
        """|magnetic latitude|, from L where only that is known; None where neither is."""
        if self.magnetic_latitude_deg is not None:
            return abs(self.magnetic_latitude_deg)
        return None if self.l_shell is None else invariant_latitude_deg(self.l_shell)


def invariant_latitude_deg(l_shell: float) -> float:
    """Latitude (degrees, ≥ 0) at which the dipole shell L ≥ 1 meets the ground: arccos √(1/L).

    Raises ValueError where L < 1: such a shell does not reach the ground.
    """
    if not l_shell >= 1.0:
        raise ValueError(f"L must be at least 1, found {l_shell}")
    return math.degrees(math.acos(math.sqrt(1.0 / l_shell)))


def l_shell_at(magnetic_latitude_deg: float) -> float:
    """L of a corrected geomagnetic latitude (degrees): 1 / cos², the definition that the shipped table uses."""
    return 1.0 / math.cos(math.radians(magnetic_latitude_deg)) ** 2


def load_station_table(epoch: float | None = None) -> dict[str, Station]:
    """Return the shipped stations by code, with the magnetic values of an epoch.

    Parameters
    ----------
    epoch : float, optional
        Year with decimals. Values are interpolated linearly between 2013 and 2025 and held outside that span:
        the `epoch` of the stations says which year they got. By default the values of 2025.

    Raises
    ------
    ValueError
        Where `epoch` is not a finite number.
    """
    first, last = TABLE_EPOCHS
    if epoch is not None and not math.isfinite(epoch):
        raise ValueError(f"epoch must be a year such as 2017.7, found {epoch}")
    year = last if epoch is None else min(max(epoch, first), last)
    weight = (year - first) / (last - first)
    return {row["code"]: _station(row, year, weight) for row in _rows()}


@functools.cache
def _rows() -> tuple[Mapping[str, str], ...]:
    text = resources.files("monitor").joinpath("data/stations.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def _station(row: Mapping[str, str], year: float, weight: float) -> Station:
    def between(first: str, last: str) -> float:
        return (1.0 - weight) * float(row[first]) + weight * float(row[last])

    return Station(
        code=row["code"],
        name=row["name"],
        latitude_deg=float(row["latitude_deg"]),
        longitude_deg=float(row["longitude_deg"]),
        magnetic_latitude_deg=between("magnetic_latitude_2013_deg", "magnetic_latitude_2025_deg"),
        l_shell=between("l_shell_2013", "l_shell_2025"),
        declination_deg=between("declination_2013_deg", "declination_2025_deg"),
        epoch=year,
        axes="magnetic" if row["axes"] == "magnetic" else "geographic",
    )


def l_shell_of_pair(poleward: Station, equatorward: Station) -> float | None:
    """L of the pair's midpoint: the mean of the two stations' L; None where one of them is unknown."""
    if poleward.l_shell is None or equatorward.l_shell is None:
        return None
    return 0.5 * (poleward.l_shell + equatorward.l_shell)


def is_wrong_order(poleward: Station, equatorward: Station) -> bool:
    """Whether the two are known to be the wrong way round: poleward is the larger |magnetic latitude|.

    Equal latitudes, and latitudes that are not known, are no fault.
    """
    upper = poleward.absolute_magnetic_latitude_deg
    lower = equatorward.absolute_magnetic_latitude_deg
    return upper is not None and lower is not None and upper < lower
