"""Sun and magnetic local time: which ends of a field line are sunlit, and what hour it is out on the line.

Times are int64 nanoseconds UTC and broadcast against places. The Sun is the low-precision one of the Astronomical
Almanac, good to 0.01° from 1950 to 2050. UTC stands for both UT1 and TT there, which costs less than 0.005°.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from monitor.science.mainfield import FieldLines, dipole_longitude_deg
from monitor.types import FloatArray, Illumination, IntArray

SUNLIT_ZENITH_DEG = 100.6
"""Solar zenith angle up to which the Sun's centre is above the horizon at 110 km: 90° + arccos(R / (R + 110 km))."""

_DAY_NS = 86_400 * 1_000_000_000
_NOON_2000_NS = 946_728_000 * 1_000_000_000
_BY_SUNLIT_ENDS = np.array(
    [Illumination.NIGHT, Illumination.PENUMBRA, Illumination.DAY, None], dtype=np.object_
)


def subsolar_point_deg(time_ns: int | IntArray) -> tuple[FloatArray, FloatArray]:
    """Return where the Sun is in the zenith.

    Parameters
    ----------
    time_ns : int or ndarray of int64
        UTC since 1970.

    Returns
    -------
    latitude_deg, longitude_deg : ndarray, shape like `time_ns`
        Declination of the Sun (the latitude at which geodetic verticals point to it), and the meridian under it, east
        positive, −180 to 180.

    Notes
    -----
    Mean longitude, mean anomaly, two terms of the equation of the centre, obliquity and sidereal time as in The
    Astronomical Almanac, section C, "Low precision formulas for the Sun's coordinates and the equation of time".
    """
    days = (np.asarray(time_ns, dtype=np.int64) - _NOON_2000_NS) / _DAY_NS
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(
        280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly)
    )
    obliquity = np.radians(23.439 - 4e-7 * days)
    latitude = np.degrees(np.arcsin(np.sin(obliquity) * np.sin(ecliptic)))
    ascension = np.degrees(np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic)))
    sidereal = 280.46062 + 360.98564737 * days
    return latitude, _wrapped_deg(ascension - sidereal)


def solar_zenith_deg(
    latitude_deg: float | FloatArray, longitude_deg: float | FloatArray, time_ns: int | IntArray
) -> FloatArray:
    """Return the angle between the vertical and the Sun's centre.

    Parameters
    ----------
    latitude_deg, longitude_deg : float or ndarray
        Geodetic, north and east positive; NaN gives NaN.
    time_ns : int or ndarray of int64

    Returns
    -------
    ndarray, shape of the three broadcast together
        Degrees, 0 to 180, without refraction and without the Sun's parallax (0.0024° at most).
    """
    sun_latitude, sun_longitude = subsolar_point_deg(time_ns)
    place, sun = np.radians(latitude_deg), np.radians(sun_latitude)
    hour_angle = np.radians(np.asarray(longitude_deg) - sun_longitude)
    cosine = np.sin(place) * np.sin(sun) + np.cos(place) * np.cos(sun) * np.cos(hour_angle)
    zenith: FloatArray = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return zenith


def illumination(lines: FieldLines, time_ns: int | IntArray) -> npt.NDArray[np.object_]:
    """Return whether both, one or none of the ends of field lines are sunlit at 110 km.

    Parameters
    ----------
    lines : FieldLines
        p lines.
    time_ns : int or ndarray of int64
        Broadcast against (p,): shape (t, 1) gives (t, p).

    Returns
    -------
    ndarray of object
        `Illumination`, or None where an end is unknown.
    """
    near = solar_zenith_deg(lines.latitude_deg, lines.longitude_deg, time_ns)
    far = solar_zenith_deg(lines.conjugate_latitude_deg, lines.conjugate_longitude_deg, time_ns)
    ends = (near < SUNLIT_ZENITH_DEG).astype(np.int64) + (far < SUNLIT_ZENITH_DEG)
    named: npt.NDArray[np.object_] = _BY_SUNLIT_ENDS[np.where(np.isnan(near) | np.isnan(far), 3, ends)]
    return named


def mlt_h(lines: FieldLines, time_ns: int | IntArray) -> FloatArray:
    """Return the magnetic local time of field lines.

    The line's magnetic longitude, taken from the dipole longitude of the subsolar point, at 15° an hour, with noon under
    the Sun (Laundal and Richmond 2017, section 4, doi:10.1007/s11214-016-0275-y).

    Parameters
    ----------
    lines : FieldLines
        p lines.
    time_ns : int or ndarray of int64
        Broadcast against (p,).

    Returns
    -------
    ndarray
        Hours, 0 ≤ MLT < 24; NaN where the line is unknown.
    """
    latitude, longitude = (np.radians(angle) for angle in subsolar_point_deg(time_ns))
    towards_sun = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)],
        axis=-1,
    )
    noon_deg = dipole_longitude_deg(towards_sun, lines.year)
    hours = 12.0 + _wrapped_deg(lines.magnetic_longitude_deg - noon_deg) / 15.0
    # A wrapped angle may reach +180° by rounding.
    return np.where(hours < 24.0, hours, 0.0 * hours)


def pair_position_deg(latitude_deg: FloatArray, longitude_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the middle of pairs of stations on the great circle between them.

    Parameters
    ----------
    latitude_deg, longitude_deg : ndarray, shape (p, 2)
        Of both stations; NaN is unknown.

    Returns
    -------
    latitude_deg, longitude_deg : ndarray, shape (p,)
        NaN where one of the stations is unknown, or where they are antipodes and no middle exists.
    """
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    x = (np.cos(latitude) * np.cos(longitude)).sum(axis=1)
    y = (np.cos(latitude) * np.sin(longitude)).sum(axis=1)
    z = np.sin(latitude).sum(axis=1)
    lost = x * x + y * y + z * z < 1e-12
    return (
        np.where(lost, np.nan, np.degrees(np.arctan2(z, np.hypot(x, y)))),
        np.where(lost, np.nan, np.degrees(np.arctan2(y, x))),
    )


def _wrapped_deg(angle_deg: FloatArray) -> FloatArray:
    """The same angle from −180 to 180."""
    return np.remainder(angle_deg + 180.0, 360.0) - 180.0
