"""Geocentric solar magnetospheric (GSM) coordinates, and the equatorial crossing of field lines in them.

x points to the Sun, y is perpendicular to the plane of the Sun and the centred dipole's axis and points to dusk, z
completes them and lies on the northern side. Positions are Earth-centred and in units of 6371.2 km, as in `mainfield`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.science.illumination import subsolar_point_deg
from monitor.science.mainfield import REFERENCE_RADIUS_KM, dipole_longitude_deg, dipole_pole
from monitor.types import FloatArray, IntArray


class EquatorialCrossing(NamedTuple):
    """Where field lines cross the equator, and what hour it is there (arrays of shape (p,); NaN is unknown).

    Attributes
    ----------
    gsm_lat_deg, gsm_lon_deg : ndarray
        Longitude from −180 to 180, 0 towards the Sun, positive towards dusk.
    gsm_z_m : ndarray
    distance_re : ndarray
        From the Earth's centre, in units of 6371.2 km.
    lt_h : ndarray
        Local time of the crossing, by the meridian under it and that under the Sun; 0 ≤ hours < 24.
    mlt_h : ndarray
        The same by centred-dipole meridians (`illumination.mlt_h`).
    """

    gsm_lat_deg: FloatArray
    gsm_lon_deg: FloatArray
    gsm_z_m: FloatArray
    distance_re: FloatArray
    lt_h: FloatArray
    mlt_h: FloatArray


def gsm_axes(time_ns: int | IntArray, year: float) -> FloatArray:
    """Return the GSM unit vectors in Earth-fixed coordinates.

    Parameters
    ----------
    time_ns : int or ndarray of int64, shape (...)
    year : float
        Of the dipole's axis, with decimals.

    Returns
    -------
    ndarray, shape (..., 3, 3)
        Rows x, y, z: `axes @ position` is the GSM position, `axes.T @ position` the way back.

    Notes
    -----
    Definition: Russell (1971), Geophysical coordinate transformations, Cosmic Electrodynamics 2, 184. The Sun is that
    of `illumination`, good to 0.01°; dipole and Sun are never nearer to each other than 55°.
    """
    sun = _towards_sun(time_ns)
    dusk = np.cross(dipole_pole(year), sun)
    dusk /= np.sqrt((dusk * dusk).sum(axis=-1, keepdims=True))
    axes: FloatArray = np.stack([sun, dusk, np.cross(sun, dusk)], axis=-2)
    return axes


def dipole_tilt_rad(time_ns: int | IntArray, year: float) -> FloatArray:
    """Angle by which the dipole's northern end leans to the Sun, shape of `time_ns`: positive in northern summer."""
    tilt: FloatArray = np.arcsin(_towards_sun(time_ns) @ dipole_pole(year))
    return tilt


def geographic_to_gsm(position: FloatArray, time_ns: int | IntArray, year: float) -> FloatArray:
    """Turn Earth-fixed Cartesian vectors (..., 3) to GSM; `time_ns` broadcasts against the leading axes."""
    turned: FloatArray = np.einsum("...ij,...j->...i", gsm_axes(time_ns, year), position)
    return turned


def gsm_to_geographic(position: FloatArray, time_ns: int | IntArray, year: float) -> FloatArray:
    """Turn GSM vectors (..., 3) to Earth-fixed Cartesian ones; the inverse of `geographic_to_gsm`."""
    turned: FloatArray = np.einsum("...ji,...j->...i", gsm_axes(time_ns, year), position)
    return turned


def apex_gsm(
    magnetic_longitude_deg: FloatArray, radius_re: FloatArray, time_ns: int | IntArray, year: float
) -> EquatorialCrossing:
    """Return where lines of the centred dipole cross its equator.

    Parameters
    ----------
    magnetic_longitude_deg : ndarray, shape (p,)
        Centred-dipole longitude of the lines, such as `FieldLines.magnetic_longitude_deg`.
    radius_re : ndarray, shape (p,)
        Distance of the crossing: the lines' L.
    time_ns : int or ndarray of int64
        Broadcast against (p,).
    year : float
        Of the dipole's axis, with decimals.

    Returns
    -------
    EquatorialCrossing
        All NaN where the longitude or the distance is, or where the distance is not above 0.
    """
    pole = dipole_pole(year)
    east = np.array([-pole[1], pole[0], 0.0]) / np.hypot(pole[0], pole[1])
    longitude = np.radians(magnetic_longitude_deg)[..., None]
    direction = np.cos(longitude) * np.cross(east, pole) + np.sin(longitude) * east
    radius = np.where(np.isfinite(radius_re) & (radius_re > 0.0), radius_re, np.nan)
    return crossing_gsm(radius[..., None] * direction, time_ns, year)


def crossing_gsm(position: FloatArray, time_ns: int | IntArray, year: float) -> EquatorialCrossing:
    """Return GSM place and hours of Earth-fixed positions.

    Parameters
    ----------
    position : ndarray, shape (p, 3)
        NaN is unknown.
    time_ns : int or ndarray of int64
        Broadcast against (p,).
    year : float
        Of the dipole's axis, with decimals.

    Returns
    -------
    EquatorialCrossing
    """
    x, y, z = np.moveaxis(geographic_to_gsm(position, time_ns, year), -1, 0)
    longitude = np.degrees(np.arctan2(position[..., 1], position[..., 0]))
    _, noon = subsolar_point_deg(time_ns)
    magnetic_noon = dipole_longitude_deg(_towards_sun(time_ns), year)
    return EquatorialCrossing(
        gsm_lat_deg=np.degrees(np.arctan2(z, np.hypot(x, y))),
        gsm_lon_deg=np.degrees(np.arctan2(y, x)),
        gsm_z_m=z * (REFERENCE_RADIUS_KM * 1e3),
        distance_re=np.sqrt(x * x + y * y + z * z),
        lt_h=_hours(longitude - noon),
        mlt_h=_hours(dipole_longitude_deg(position, year) - magnetic_noon),
    )


def _towards_sun(time_ns: int | IntArray) -> FloatArray:
    """Earth-fixed unit vectors (..., 3) to the Sun."""
    latitude, longitude = (np.radians(angle) for angle in subsolar_point_deg(time_ns))
    sun: FloatArray = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)],
        axis=-1,
    )
    return sun


def _hours(after_noon_deg: FloatArray) -> FloatArray:
    """Hours of the day at an angle east of noon, from 0 to less than 24."""
    hours = np.remainder(12.0 + after_noon_deg / 15.0, 24.0)
    # The remainder of a tiny negative number rounds up to 24.
    return np.where(hours < 24.0, hours, 0.0 * hours)
