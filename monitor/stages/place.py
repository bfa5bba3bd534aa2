"""Where the pairs stand and their lines lead, what hour and which light it is there: for the objects that windows become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from monitor.science.gsm import EquatorialCrossing, apex_gsm
from monitor.science.illumination import illumination, mlt_h, pair_position_deg
from monitor.science.mainfield import FieldLines, field_lines
from monitor.stations import Station
from monitor.types import SECOND_NS, FloatArray, Illumination, Pair


class Surroundings(NamedTuple):
    """What is known of some pairs at one time, in their order; None where a station's position is unknown."""

    illumination: tuple[Illumination | None, ...]
    mlt_h: tuple[float | None, ...]


class LinePlaces(NamedTuple):
    """Where the lines of some pairs are at one time, in their order (arrays of shape (p,); NaN is unknown).

    Attributes
    ----------
    latitude_deg, longitude_deg : ndarray
        Geodetic position of the near foot, 110 km above the middle of the pair.
    conjugate_latitude_deg, conjugate_longitude_deg : ndarray
        Of the far foot.
    crossing : EquatorialCrossing
        Where the line crosses the magnetic equator.
    """

    latitude_deg: FloatArray
    longitude_deg: FloatArray
    conjugate_latitude_deg: FloatArray
    conjugate_longitude_deg: FloatArray
    crossing: EquatorialCrossing


class Places:
    """The field lines of all pairs, followed once for each calendar year that is asked for.

    A line is that through the middle of the pair, in the field of the middle of the year; so an answer depends on
    the pair and the time alone, and not on what was asked before.
    """

    def __init__(self, stations: Mapping[str, Station], pairs: Iterable[Pair]) -> None:
        self._row = {pair: row for row, pair in enumerate(dict.fromkeys(pairs))}
        self._latitude_deg, self._longitude_deg = positions_deg(stations, tuple(self._row))
        self._lines: dict[int, FieldLines] = {}

    def at(self, pairs: Sequence[Pair], effective_ns: int) -> Surroundings:
        """Illumination and magnetic local time of pairs at a time: the centre of their window, not its end.

        Raises
        ------
        KeyError
            Where a pair is none of those given at the start; it names the pair.
        """
        rows = [self._row[pair] for pair in pairs]
        lines = self._lines_of(year_of(effective_ns))
        light, hours = illumination(lines, effective_ns), mlt_h(lines, effective_ns)
        return Surroundings(
            illumination=tuple(light[rows].tolist()),
            mlt_h=tuple(None if np.isnan(hour) else hour for hour in hours[rows].tolist()),
        )

    def equator(self, pairs: Sequence[Pair], effective_ns: int, radius_re: FloatArray) -> LinePlaces:
        """Both feet of the pairs' lines, and their equatorial crossing in GSM, at a time.

        Parameters
        ----------
        pairs : sequence of Pair, length p
        effective_ns : int
            The centre of the window.
        radius_re : ndarray, shape (p,)
            Distance of the crossing from the Earth's centre: the pair's L for a dipole. NaN is unknown.

        Raises
        ------
        KeyError
            Where a pair is none of those given at the start; it names the pair.
        """
        rows = [self._row[pair] for pair in pairs]
        lines = self._lines_of(year_of(effective_ns))
        return LinePlaces(
            latitude_deg=lines.latitude_deg[rows],
            longitude_deg=lines.longitude_deg[rows],
            conjugate_latitude_deg=lines.conjugate_latitude_deg[rows],
            conjugate_longitude_deg=lines.conjugate_longitude_deg[rows],
            crossing=apex_gsm(lines.magnetic_longitude_deg[rows], radius_re, effective_ns, lines.year),
        )

    def _lines_of(self, year: int) -> FieldLines:
        if year not in self._lines:
            self._lines[year] = field_lines(self._latitude_deg, self._longitude_deg, year + 0.5)
        return self._lines[year]


def positions_deg(stations: Mapping[str, Station], pairs: Sequence[Pair]) -> tuple[FloatArray, FloatArray]:
    """Geodetic latitude and longitude (p,) of the middle of pairs; NaN where a station's position is unknown."""
    sides = [[stations.get(code) for code in pair.stations] for pair in pairs]
    latitude = [[_known(side.latitude_deg if side else None) for side in pair] for pair in sides]
    longitude = [[_known(side.longitude_deg if side else None) for side in pair] for pair in sides]
    return pair_position_deg(_table(latitude), _table(longitude))


def year_of(time_ns: int) -> int:
    """Calendar year, UTC: what is computed once a year holds for the middle of it."""
    return datetime.fromtimestamp(int(time_ns) // SECOND_NS, UTC).year


def _known(value: float | None) -> float:
    return np.nan if value is None else value


def _table(rows: list[list[float]]) -> FloatArray:
    return np.array(rows, dtype=np.float64).reshape(-1, 2)
