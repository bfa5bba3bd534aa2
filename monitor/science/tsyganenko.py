"""The field of the currents outside the Earth by the model T89 (Tsyganenko 1989, doi:10.1016/0032-0633(89)90066-4).

This is the only module that knows geopack, and it takes nothing but the model's function from it, which keeps no state
and needs neither `recalc` nor coefficients: the Sun, the dipole's axis and the main field are our own. The package's
other module, `geopack.geopack`, prints, keeps the time of its last call, and fetches coefficients from the network when
it is imported; it must not be imported here (decision 13).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from geopack.t89 import t89  # type: ignore[import-untyped]  # ships no annotations

from monitor.science.gsm import dipole_tilt_rad, gsm_axes
from monitor.types import FloatArray

KP_CLASSES = 7


@dataclass(frozen=True, slots=True, eq=False)
class T89:
    """The model at one time and one level of disturbance, in Earth-fixed coordinates.

    Attributes
    ----------
    axes : ndarray, shape (3, 3)
        GSM unit vectors in rows.
    tilt_rad : float
    kp_class : int
        1 to 7, see `kp_class`.
    """

    axes: FloatArray
    tilt_rad: float
    kp_class: int

    def __post_init__(self) -> None:
        if not 1 <= self.kp_class <= KP_CLASSES:
            raise ValueError(f"the level of T89 must be from 1 to {KP_CLASSES}, found {self.kp_class}")

    @classmethod
    def at(cls, time_ns: int, year: float, level: int) -> T89:
        """The model at a time (ns UTC), with the dipole's axis of a year (decimals), at a level of `kp_class`."""
        return cls(gsm_axes(time_ns, year), float(dipole_tilt_rad(time_ns, year)), level)

    def field_nT(self, position: FloatArray) -> FloatArray:
        """The external field alone, shape (p, 3), at Earth-fixed positions (p, 3) in units of 6371.2 km."""
        solar = position @ self.axes.T
        # geopack takes one point at a time: some 30 microseconds each.
        rows = [t89(self.kp_class, self.tilt_rad, *point) for point in solar.tolist()]
        field: FloatArray = np.array(rows, dtype=np.float64).reshape(-1, 3) @ self.axes
        return field


def kp_class(kp: float) -> int:
    """The model's level of disturbance for a Kp: 1 for 0 and 0+, 2 for 1−, 1 and 1+, …, 7 from 6− on.

    Raises
    ------
    ValueError
        Where Kp is not from 0 to 9.
    """
    if not 0.0 <= kp <= 9.0:
        raise ValueError(f"Kp must be from 0 to 9, found {kp}")
    return min(math.floor(kp + 0.5) + 1, KP_CLASSES)
