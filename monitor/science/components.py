"""Horizontal components of the field."""

from __future__ import annotations

import numpy as np

from monitor.types import FloatArray


def magnetic_north(x_nT: FloatArray, y_nT: FloatArray, declination_deg: float) -> FloatArray:
    """Component towards magnetic north, H = X cos D + Y sin D, from geographic north X and east Y.

    Parameters
    ----------
    x_nT, y_nT : ndarray, same shape
        NaN where either is a gap gives a gap.
    declination_deg : float
        Of the field at the station, east positive.
    """
    declination = np.deg2rad(declination_deg)
    north: FloatArray = x_nT * np.cos(declination) + y_nT * np.sin(declination)
    return north
