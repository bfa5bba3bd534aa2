"""The Earth's main field, and where its lines lead: the other end of a line, and the magnetic longitude of its top.

The field is IGRF-14 (`igrf14`), for footpoints up to degree 5, which is enough for them (decision 10): against
the whole model the other end of a line of 1.5 < L < 7 is displaced by 0.16° in the median and by 0.55° at most. A
centred dipole displaces it by 4.7° and by up to 23°. Currents outside the Earth are left out; at L ≈ 6 they move
the far end by some degrees, and farther out by more.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from monitor.science.igrf14 import COEFFICIENTS, YEARS
from monitor.types import BoolArray, ComplexArray, FloatArray

FOOT_HEIGHT_KM = 110.0
"""Height above the ellipsoid at which a field line ends: the conducting ionosphere."""

DEGREE = 5
"""Enough for footpoints."""

WHOLE_DEGREE = 13
"""All of the model: for the resonances of lines, where the way from the foot to the apex matters to a part in a thousand."""

REFERENCE_RADIUS_KM = 6371.2
_FARTHEST_RADII = 20.0
_STEP = 0.15
_MOST_STEPS = 200

# WGS84, in reference radii.
_EQUATOR = 6378.137 / REFERENCE_RADIUS_KM
_FLATTENING = 1.0 / 298.257223563
_FOOT = FOOT_HEIGHT_KM / REFERENCE_RADIUS_KM


@dataclass(frozen=True, slots=True)
class FieldLines:
    """Field lines of one year through given places (arrays of shape (p,); NaN where a place or its line is unknown).

    Attributes
    ----------
    year : float
    latitude_deg, longitude_deg : ndarray
        Geodetic position of the near foot: the place itself, 110 km up.
    conjugate_latitude_deg, conjugate_longitude_deg : ndarray
        Geodetic position of the far foot; longitude from −180 to 180.
    magnetic_longitude_deg : ndarray
        Centred-dipole longitude (−180 to 180) of the line's highest point: the apex longitude of Laundal and Richmond
        (2017), doi:10.1007/s11214-016-0275-y. The whole line has this one.
    """

    year: float
    latitude_deg: FloatArray
    longitude_deg: FloatArray
    conjugate_latitude_deg: FloatArray
    conjugate_longitude_deg: FloatArray
    magnetic_longitude_deg: FloatArray


def main_field_nT(position: FloatArray, year: float, degree: int = DEGREE) -> FloatArray:
    """Return the field at points outside the Earth.

    Parameters
    ----------
    position : ndarray, shape (p, 3)
        Earth-centred, Earth-fixed Cartesian position in units of 6371.2 km.
    year : float
        With decimals. The coefficients run in straight lines between the years of the table, and are held beyond
        1980 and 2030.
    degree : int
        The largest degree taken, 1 (a centred dipole) to 13.

    Returns
    -------
    ndarray, shape (p, 3)
        Cartesian components in nT.

    Raises
    ------
    ValueError
        Where `year` is not finite or `degree` is not from 1 to 13.

    Notes
    -----
    Gradients of solid harmonics by Cunningham's recursion (1970), doi:10.1007/BF01229495, which knows no pole.
    """
    x, y, z = position.T
    per_square = 1.0 / (x * x + y * y + z * z)
    equatorial, axial = (x + 1j * y) * per_square, z * per_square
    # Z(n, m), zero where m exceeds n.
    harmonic = np.zeros((degree + 2, degree + 2, len(position)), dtype=np.complex128)
    harmonic[0, 0] = np.sqrt(per_square)
    for n in range(1, degree + 2):
        m = np.arange(n)[:, None]
        value = (2 * n - 1) * axial * harmonic[n - 1, :n]
        if n > 1:
            value -= (n + m - 1) * per_square * harmonic[n - 2, :n]
        harmonic[n, :n] = value / (n - m)
        harmonic[n, n] = (2 * n - 1) * equatorial * harmonic[n - 1, n - 1]
    along, raised, lowered = (
        np.tensordot(weights, harmonic[1:], axes=2) for weights in _weights(float(year), degree)
    )
    # Bx + i By of the real part of c Z: half from Z(n+1, m+1), half from the conjugate of Z(n+1, m−1).
    across = raised - np.conj(lowered)
    return np.stack([across.real, across.imag, along.real], axis=1)


def dipole_pole(year: float) -> FloatArray:
    """Unit vector, shape (3,), towards the northern geomagnetic pole: that of the centred dipole of the year."""
    coefficient = _coefficients(float(year), 1)
    axial, equatorial = coefficient[1, 0], coefficient[1, 1]
    # c = g − i h, so that −(g11, h11, g10) is −(Re c, −Im c, g10).
    pole = np.array([-equatorial.real, equatorial.imag, -axial.real])
    return pole / math.sqrt(float(pole @ pole))


def dipole_longitude_deg(direction: FloatArray, year: float) -> FloatArray:
    """Centred-dipole longitude of directions from the Earth's centre.

    Parameters
    ----------
    direction : ndarray, shape (..., 3)
        Earth-fixed Cartesian vectors of any length.
    year : float

    Returns
    -------
    ndarray, shape (...)
        Degrees, −180 to 180, east positive, from the meridian through the southern geographic pole.
    """
    pole = dipole_pole(year)
    east = np.array([-pole[1], pole[0], 0.0]) / math.hypot(pole[0], pole[1])
    front = np.cross(east, pole)
    return np.degrees(np.arctan2(direction @ east, direction @ front))


def field_lines(
    latitude_deg: FloatArray, longitude_deg: FloatArray, year: float, degree: int = DEGREE
) -> FieldLines:
    """Follow the field lines through the ionosphere above given places to their other ends.

    Parameters
    ----------
    latitude_deg, longitude_deg : ndarray, shape (p,)
        Geodetic, north and east positive; NaN is an unknown place.
    year : float
        With decimals; see `main_field_nT`.
    degree : int
        Of the field; 1 is a centred dipole.

    Returns
    -------
    FieldLines
        The far foot and the longitude are NaN where a line goes beyond 20 Earth radii: over the polar caps the
        main field alone says nothing.

    Raises
    ------
    ValueError
        Where a latitude is beyond ±90°, a longitude is infinite, or the shapes differ.

    Notes
    -----
    Fourth-order Runge–Kutta along the unit field with steps of 0.15 of the distance from the Earth's centre. From 15°
    of magnetic latitude on, the far foot is good to 0.01°, at the magnetic equator to 0.2°. Geodetic height is taken
    along the radius, which is good to some tens of metres.
    """
    latitude, longitude = _checked(latitude_deg, longitude_deg)
    foot = np.full((latitude.size, 3), np.nan)
    top = np.full((latitude.size, 3), np.nan)
    known = np.flatnonzero(np.isfinite(latitude) & np.isfinite(longitude))
    if known.size:
        begin = _above(latitude[known], longitude[known])
        foot[known], top[known] = _followed(begin, year, degree)
    horizontal = np.hypot(foot[:, 0], foot[:, 1])
    return FieldLines(
        year=year,
        latitude_deg=latitude,
        longitude_deg=longitude,
        conjugate_latitude_deg=np.degrees(np.arctan2(foot[:, 2], (1.0 - _FLATTENING) ** 2 * horizontal)),
        conjugate_longitude_deg=np.degrees(np.arctan2(foot[:, 1], foot[:, 0])),
        magnetic_longitude_deg=dipole_longitude_deg(top, year),
    )


@functools.lru_cache(maxsize=64)
def _weights(year: float, degree: int) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """What each Z(n+1, m) adds to Bz, to Bx + i By, and to its conjugate: tables by n and m, in nT."""
    coefficient = _coefficients(year, degree)
    n, m = np.indices(coefficient.shape)
    along = np.zeros((degree + 1, degree + 2), dtype=np.complex128)
    raised, lowered = along.copy(), along.copy()
    along[:, :-1] = (n - m + 1) * coefficient
    raised[:, 1:] = 0.5 * coefficient
    # The lower neighbour of a zonal term is the conjugate of the upper one: both halves go to Z(n+1, 1).
    raised[:, 1] += 0.5 * np.conj(coefficient[:, 0])
    lowered[:, :-2] = (0.5 * (n - m + 1) * (n - m + 2) * coefficient)[:, 1:]
    return along, raised, lowered


def _coefficients(year: float, degree: int) -> ComplexArray:
    """g − i h by n and m, without the Schmidt normalisation, in nT."""
    if not math.isfinite(year):
        raise ValueError(f"year must be a number such as 2017.7, found {year}")
    if not 1 <= degree <= WHOLE_DEGREE:
        raise ValueError(f"degree must be from 1 to {WHOLE_DEGREE}, found {degree}")
    table = np.zeros((degree + 1, degree + 1), dtype=np.complex128)
    for kind, n, m, values in COEFFICIENTS:
        if n <= degree:
            scale = math.sqrt((2 if m else 1) * math.factorial(n - m) / math.factorial(n + m))
            table[n, m] += scale * float(np.interp(year, YEARS, values)) * (1.0 if kind == "g" else -1j)
    return table


def _checked(latitude_deg: FloatArray, longitude_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
    latitude = np.asarray(latitude_deg, dtype=np.float64)
    longitude = np.asarray(longitude_deg, dtype=np.float64)
    if latitude.ndim != 1 or latitude.shape != longitude.shape:
        raise ValueError(
            f"latitudes and longitudes must be rows of equal length, found shapes {latitude.shape}, {longitude.shape}"
        )
    if (wrong := np.abs(latitude) > 90.0).any():
        raise ValueError(f"latitude must be from -90 to 90 degrees, found {latitude[wrong][0]}")
    if (wrong := np.isinf(longitude)).any():
        raise ValueError(f"longitude must be finite, found {longitude[wrong][0]}")
    return latitude, longitude


def _above(latitude_deg: FloatArray, longitude_deg: FloatArray) -> FloatArray:
    """Positions (p, 3) at foot height over geodetic places."""
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    geocentric = np.arctan2((1.0 - _FLATTENING) ** 2 * np.sin(latitude), np.cos(latitude))
    unit = np.stack(
        [
            np.cos(geocentric) * np.cos(longitude),
            np.cos(geocentric) * np.sin(longitude),
            np.sin(geocentric),
        ],
        axis=1,
    )
    above: FloatArray = unit * _foot_radius(unit)[:, None]
    return above


def _foot_radius(position: FloatArray) -> FloatArray:
    """Distance (p,) from the Earth's centre at which the direction of a position meets foot height."""
    square = position * position
    sine = square[:, 2] / square.sum(axis=1)
    # The radius of the ellipsoid, b / √(1 − e² cos²), on the geocentric latitude.
    polar = 1.0 - _FLATTENING
    radius: FloatArray = _EQUATOR * polar / np.sqrt(1.0 - (1.0 - polar**2) * (1.0 - sine)) + _FOOT
    return radius


def _followed(begin: FloatArray, year: float, degree: int) -> tuple[FloatArray, FloatArray]:
    """The far foot (p, 3) and the highest point (p, 3) of the lines that begin at foot height."""
    foot, top = np.full_like(begin, np.nan), np.full_like(begin, np.nan)
    going = np.arange(len(begin))
    upward = np.where(_dot(main_field_nT(begin, year, degree), begin) < 0.0, -1.0, 1.0)
    here, ahead = begin, _direction(begin, upward, year, degree)
    for _ in range(_MOST_STEPS):
        length = _STEP * np.sqrt(_dot(here, here))
        after = _advanced(here, ahead, length, upward[going], year, degree)
        beyond = _direction(after, upward[going], year, degree)
        rise, fall = _dot(here, ahead), _dot(after, beyond)
        passed = (rise >= 0.0) & (fall < 0.0)
        share = rise / np.where(passed, rise - fall, 1.0)
        top[going[passed]] = _between(here, ahead, after, beyond, length, share)[passed]
        distance = np.sqrt(_dot(after, after))
        landed = distance < _foot_radius(after)
        foot[going[landed]] = _landing(here, ahead, after, beyond, length, landed)
        kept = ~landed & (distance < _FARTHEST_RADII)
        going, here, ahead = going[kept], after[kept], beyond[kept]
        if not going.size:
            break
    # A line that was given up has no known top either.
    top[np.isnan(foot)] = np.nan
    return foot, top


def _direction(position: FloatArray, sign: FloatArray, year: float, degree: int) -> FloatArray:
    field = main_field_nT(position, year, degree)
    unit: FloatArray = field * (sign / np.sqrt(_dot(field, field)))[:, None]
    return unit


def _advanced(
    here: FloatArray, ahead: FloatArray, length: FloatArray, sign: FloatArray, year: float, degree: int
) -> FloatArray:
    """One Runge–Kutta step."""
    step = length[:, None]
    second = _direction(here + 0.5 * step * ahead, sign, year, degree)
    third = _direction(here + 0.5 * step * second, sign, year, degree)
    fourth = _direction(here + step * third, sign, year, degree)
    after: FloatArray = here + step / 6.0 * (ahead + 2.0 * (second + third) + fourth)
    return after


def _between(
    here: FloatArray,
    ahead: FloatArray,
    after: FloatArray,
    beyond: FloatArray,
    length: FloatArray,
    share: FloatArray,
) -> FloatArray:
    """Points on the cubic through both ends of a step with their directions, at a share (p,) of it."""
    s, step = share[:, None], length[:, None]
    point: FloatArray = (
        (1.0 + 2.0 * s) * (1.0 - s) ** 2 * here
        + s * (1.0 - s) ** 2 * step * ahead
        + s**2 * (3.0 - 2.0 * s) * after
        - s**2 * (1.0 - s) * step * beyond
    )
    return point


def _landing(
    here: FloatArray,
    ahead: FloatArray,
    after: FloatArray,
    beyond: FloatArray,
    length: FloatArray,
    landed: BoolArray,
) -> FloatArray:
    """Where the steps that went below foot height crossed it, by bisection."""
    ends = (here[landed], ahead[landed], after[landed], beyond[landed], length[landed])
    low, high = np.zeros(ends[4].size), np.ones(ends[4].size)
    for _ in range(40):
        middle = 0.5 * (low + high)
        point = _between(*ends, middle)
        is_above = np.sqrt(_dot(point, point)) > _foot_radius(point)
        low, high = np.where(is_above, middle, low), np.where(is_above, high, middle)
    return _between(*ends, low)


def _dot(first: FloatArray, second: FloatArray) -> FloatArray:
    product: FloatArray = (first * second).sum(axis=1)
    return product
