"""Field lines followed from one ionosphere to the other, as the wave equation needs them.

A line begins above a place on the ground, in the main field of `mainfield` and, where it is given, the field of the
currents outside the Earth (`tsyganenko`). Positions are Earth-centred, Earth-fixed, in units of 6371.2 km.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from scipy.optimize import brentq

from monitor.science.fieldline import TracedLine
from monitor.science.mainfield import FOOT_HEIGHT_KM, REFERENCE_RADIUS_KM, WHOLE_DEGREE, main_field_nT
from monitor.types import FloatArray

POINTS = 257
"""Samples along a line, evenly spaced in arc length."""

FARTHEST_RE = 15.0
"""A line that goes beyond is taken for open: no resonance of a closed line is seen from there."""

_STEP = 0.08  # of the distance from the Earth's centre
_MOST_STEPS = 400
_NEIGHBOUR = 0.001  # of the apex' distance, eastward
# Lines are followed to this depth below the ionosphere, so that the neighbour reaches as far as the line itself does.
_MARGIN = 0.02
_POLAR = 1.0 - 1.0 / 298.257223563  # of the WGS84 ellipsoid
_EQUATOR_KM = 6378.137


class ExternalField(Protocol):
    """A field beside the main one (nT), at Earth-fixed positions (p, 3)."""

    @property
    def axes(self) -> FloatArray:
        """GSM unit vectors in rows, shape (3, 3)."""
        ...

    def field_nT(self, position: FloatArray) -> FloatArray:
        """Shape (p, 3)."""
        ...


class _Field(NamedTuple):
    """The whole field, and the height at which its lines end."""

    year: float
    degree: int
    external: ExternalField | None
    height: float

    def at(self, position: FloatArray) -> FloatArray:
        """The field (p, 3) in nT."""
        field = main_field_nT(position, self.year, self.degree)
        return field if self.external is None else field + self.external.field_nT(position)

    def along(self, position: FloatArray, sign: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Unit vectors (p, 3) along the field, or against it, and its strength (p,) in nT."""
        field = self.at(position)
        strength = np.sqrt((field * field).sum(axis=1))
        return field * (sign / strength)[:, None], strength

    def clearance(self, position: FloatArray) -> FloatArray:
        """Distance along the radius from the surface where lines end; negative is below."""
        square = position * position
        radius = np.sqrt(square.sum(axis=-1))
        cosine = 1.0 - square[..., 2] / (radius * radius)
        ground = _EQUATOR_KM / REFERENCE_RADIUS_KM * _POLAR / np.sqrt(1.0 - (1.0 - _POLAR**2) * cosine)
        above: FloatArray = radius - ground - self.height
        return above


def traced_lines(
    latitude_deg: FloatArray,
    longitude_deg: FloatArray,
    year: float,
    external: ExternalField | None = None,
    *,
    ionosphere_km: float = FOOT_HEIGHT_KM,
    degree: int = WHOLE_DEGREE,
) -> tuple[TracedLine | None, ...]:
    """Follow the field lines through the ionosphere above given places to their other ends.

    Parameters
    ----------
    latitude_deg, longitude_deg : ndarray, shape (p,)
        Geodetic, north and east positive; NaN is an unknown place.
    year : float
        Of the main field, with decimals; see `mainfield.main_field_nT`.
    external : ExternalField or None
        Field of the currents outside the Earth, such as `tsyganenko.T89`; None leaves it out.
    ionosphere_km : float
        Height over the ellipsoid at which lines end.
    degree : int
        Of the main field; 1 is a centred dipole.

    Returns
    -------
    tuple of TracedLine or None, length p
        From the given foot to the conjugate one, `POINTS` samples each. None where a place is unknown, and where a line
        is open: it goes beyond `FARTHEST_RE`, or does not come back to the ionosphere at both ends. `apex_re` is the
        highest point in GSM coordinates; NaN without an external field, where nothing says at which time.

    Raises
    ------
    ValueError
        Where the shapes differ, a latitude is beyond ±90°, or the height is below the ground or not finite.

    Notes
    -----
    Fourth-order Runge–Kutta along the unit field, with steps of 0.08 of the distance from the Earth's centre. A line is
    followed up to its apex; from there it and a neighbour, displaced along the azimuth at the apex, are followed to both
    ends with the same steps, so that their errors cancel in the separation. That separation, perpendicular to the line, is the
    scale factor of the toroidal mode in Singer et al. (1981), doi:10.1029/JA086iA06p04589.
    """
    latitude, longitude = _checked(latitude_deg, longitude_deg, ionosphere_km)
    field = _Field(year, degree, external, ionosphere_km / REFERENCE_RADIUS_KM)
    lines: list[TracedLine | None] = [None] * latitude.size
    known = np.flatnonzero(np.isfinite(latitude) & np.isfinite(longitude))
    foot = _above(latitude[known], longitude[known], field)
    upward = np.where((field.at(foot) * foot).sum(axis=1) < 0.0, -1.0, 1.0)
    apex = _apexes(foot, upward, field)
    closed = np.isfinite(apex[:, 0])
    known, apex, upward = known[closed], apex[closed], upward[closed]
    for row, line in zip(known.tolist(), _through(apex, upward, field), strict=True):
        lines[row] = line
    return tuple(lines)


def _checked(
    latitude_deg: FloatArray, longitude_deg: FloatArray, ionosphere_km: float
) -> tuple[FloatArray, FloatArray]:
    latitude = np.asarray(latitude_deg, dtype=np.float64)
    longitude = np.asarray(longitude_deg, dtype=np.float64)
    if latitude.ndim != 1 or latitude.shape != longitude.shape:
        raise ValueError(
            f"latitudes and longitudes must be rows of equal length, found shapes {latitude.shape}, {longitude.shape}"
        )
    if (wrong := np.abs(latitude) > 90.0).any():
        raise ValueError(f"latitude must be from -90 to 90 degrees, found {latitude[wrong][0]}")
    if not 0.0 <= ionosphere_km < 1000.0:
        raise ValueError(f"the ionosphere must be from 0 to 1000 km high, found {ionosphere_km}")
    return latitude, longitude


def _above(latitude_deg: FloatArray, longitude_deg: FloatArray, field: _Field) -> FloatArray:
    """Positions (p, 3) in the ionosphere over geodetic places."""
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    geocentric = np.arctan2(_POLAR**2 * np.sin(latitude), np.cos(latitude))
    across = np.cos(geocentric)
    unit = np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(geocentric)], axis=1)
    above: FloatArray = unit * (1.0 - field.clearance(unit))[:, None]
    return above


def _apexes(foot: FloatArray, upward: FloatArray, field: _Field) -> FloatArray:
    """Highest points (p, 3) of the lines that go up from their feet; NaN where there is none within reach."""
    apex = np.full_like(foot, np.nan)
    going, here = np.arange(len(foot)), foot
    ahead, _ = field.along(foot, upward)
    for _ in range(_MOST_STEPS):
        if not going.size:
            break
        length, after = _stepped(here, ahead, upward[going], field)
        beyond, _ = field.along(after, upward[going])
        rise, fall = (here * ahead).sum(axis=1), (after * beyond).sum(axis=1)
        over = (rise >= 0.0) & (fall < 0.0)
        for row in np.flatnonzero(over).tolist():
            ends = np.stack([here[row], after[row]]), np.stack([ahead[row], beyond[row]])
            apex[going[row]] = _highest(float(length[row]), *ends)
        # A line that does not rise at all begins at the magnetic equator: it has no apex above its foot.
        kept = ~over & (rise >= 0.0) & ((after * after).sum(axis=1) < FARTHEST_RE**2)
        going, here, ahead = going[kept], after[kept], beyond[kept]
    return apex


def _highest(length: float, ends: FloatArray, directions: FloatArray) -> FloatArray:
    """The point (3,) of a step at which the line is perpendicular to the radius."""
    step = CubicHermiteSpline([0.0, length], ends, directions)
    slope = step.derivative()
    point: FloatArray = step(brentq(lambda arc: float(step(arc) @ slope(arc)), 0.0, length))
    return point


class _Path(NamedTuple):
    """A line from its apex down: arc length (n,), positions (n, 3), directions (n, 3) away from the apex, field (n,)."""

    arc: FloatArray
    position: FloatArray
    direction: FloatArray
    strength_nT: FloatArray


def _through(apex: FloatArray, upward: FloatArray, field: _Field) -> list[TracedLine | None]:
    """The lines through their highest points (p, 3), from the foot that they rise from to the other."""
    ahead, _ = field.along(apex, upward)
    radius, east = np.sqrt((apex * apex).sum(axis=1)), np.cross(apex, ahead)
    east *= (_NEIGHBOUR * radius / np.sqrt((east * east).sum(axis=1)))[:, None]
    # Along the circle: on its tangent the neighbour would begin farther out.
    beside = (apex + east) / np.sqrt(1.0 + _NEIGHBOUR**2)
    paths = _down(
        np.concatenate([apex, apex, beside, beside]),
        np.concatenate([-upward, upward, -upward, upward]),
        field,
    )
    lines: list[TracedLine | None] = []
    for row in range(len(apex)):
        back, forth, back_beside, forth_beside = paths[row :: len(apex)]
        if back is None or forth is None or back_beside is None or forth_beside is None:
            lines.append(None)
        else:
            own, other = _joined(back, forth), _joined(back_beside, forth_beside)
            lines.append(_sampled(own, other, apex[row], field))
    return lines


def _down(start: FloatArray, sign: FloatArray, field: _Field) -> list[_Path | None]:
    """The ways (p) from points (p, 3) to below the ionosphere; None where a line does not come down."""
    going, here = np.arange(len(start)), start
    ahead, strength = field.along(start, sign)
    arc = np.zeros(len(start))
    rows: list[list[FloatArray]] = [[] for _ in start]
    landed = np.zeros(len(start), dtype=np.bool_)
    for _ in range(_MOST_STEPS):
        points = np.column_stack([arc, here, ahead, strength])
        for row, point in zip(going.tolist(), points, strict=True):
            rows[row].append(point)
        landed[going] = field.clearance(here) < -_MARGIN
        kept = ~landed[going] & ((here * here).sum(axis=1) < FARTHEST_RE**2)
        going, here, ahead, arc = going[kept], here[kept], ahead[kept], arc[kept]
        if not going.size:
            break
        length, here = _stepped(here, ahead, sign[going], field)
        arc = arc + length
        ahead, strength = field.along(here, sign[going])
    paths: list[_Path | None] = [None] * len(start)
    for row in np.flatnonzero(landed).tolist():
        table = np.stack(rows[row])
        paths[row] = _Path(table[:, 0], table[:, 1:4], table[:, 4:7], table[:, 7])
    return paths


def _stepped(
    here: FloatArray, ahead: FloatArray, sign: FloatArray, field: _Field
) -> tuple[FloatArray, FloatArray]:
    """One Runge–Kutta step: its length (p,) and where it ends (p, 3)."""
    length = _STEP * np.sqrt((here * here).sum(axis=1))
    step = length[:, None]
    second, _ = field.along(here + 0.5 * step * ahead, sign)
    third, _ = field.along(here + 0.5 * step * second, sign)
    fourth, _ = field.along(here + step * third, sign)
    return length, here + step / 6.0 * (ahead + 2.0 * (second + third) + fourth)


def _joined(back: _Path, forth: _Path) -> _Path:
    """One line of two halves; its arc length counts from the apex, its directions are those of the second half."""
    return _Path(
        np.concatenate([-back.arc[:0:-1], forth.arc]),
        np.concatenate([back.position[:0:-1], forth.position]),
        np.concatenate([-back.direction[:0:-1], forth.direction]),
        np.concatenate([back.strength_nT[:0:-1], forth.strength_nT]),
    )


def _sampled(own: _Path, beside: _Path, apex: FloatArray, field: _Field) -> TracedLine:
    """The line between its two feet, evenly sampled, with the distance of its neighbour."""
    place = CubicHermiteSpline(own.arc, own.position, own.direction)
    neighbour = CubicHermiteSpline(beside.arc, beside.position, beside.direction)
    first, last = (
        brentq(lambda arc: float(field.clearance(place(arc))), 0.0, end) for end in (own.arc[0], own.arc[-1])
    )
    arc = np.linspace(first, last, POINTS)
    position, along = place(arc), place.derivative()(arc)
    apart = neighbour(arc) - position
    apart -= (apart * along).sum(axis=1)[:, None] * along / (along * along).sum(axis=1)[:, None]
    metre = REFERENCE_RADIUS_KM * 1e3
    axes = np.full((3, 3), np.nan) if field.external is None else field.external.axes
    return TracedLine(
        arc_m=(arc - first) * metre,
        field_T=np.exp(CubicSpline(own.arc, np.log(own.strength_nT))(arc)) * 1e-9,
        radius_re=np.sqrt((position * position).sum(axis=1)),
        spacing=np.sqrt((apart * apart).sum(axis=1)),
        apex_re=axes @ apex,
    )
