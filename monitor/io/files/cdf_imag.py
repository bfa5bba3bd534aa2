"""ImagCDF, the CDF files of the observatories: one variable an element, times at the begin of each sample.

D and I are degrees; all else is nT; FILLVAL, the marks 99999 and 88888, and what lies outside VALIDMIN to VALIDMAX are
gaps. The scalar instrument (S) may have times of its own: where these are not those of the vector it is left out.
H and Z follow from F and I where a file has only these.
Format: INTERMAGNET Technical Manual, ImagCDF 1.2 (https://tech-man.intermagnet.org/stable/appendices/dataformats.html).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from monitor.decoders.base import (
    LARGEST_FIELD_nT,
    Limits,
    add_horizontal,
    missing_to_nan,
    station_code,
)
from monitor.errors import ArchiveError
from monitor.io.files.cdf_values import CdfValues, Times
from monitor.io.files.series import Rows, SourceSeries, grid_of, series_on_grid
from monitor.types import FloatArray

_PREFIX: Final = "GeomagneticField"
_FIELD = (-LARGEST_FIELD_nT, LARGEST_FIELD_nT)
_LIMITS: Final[Limits] = {
    **dict.fromkeys("XYZHEF", _FIELD),
    "D": (-360.0, 360.0),
    "I": (-90.0, 90.0),
    "S": (0.0, LARGEST_FIELD_nT),
}
_ANGLES: Final = frozenset("DI")
_VECTOR: Final = "XYZHDEIF"
_SCALAR: Final = "S"
_TIMES: Final[Mapping[bool, Sequence[str]]] = {
    False: ("GeomagneticVectorTimes", "DataTimes"),
    True: ("GeomagneticScalarTimes", "DataTimes"),
}
"""Names of the times where no DEPEND_0 tells it: of the vector, and of the scalar instrument."""


def is_imagcdf(cdf: CdfValues) -> bool:
    """Whether a file holds variables as ImagCDF names them."""
    return any(name.startswith(_PREFIX) for name in cdf.names)


def read_imagcdf(cdf: CdfValues, code: str | None) -> list[SourceSeries]:
    """Read an ImagCDF file; `code` is the station that the operator named, which wins over the file's.

    Returns the series, one for each stretch without a long gap. Raises ArchiveError.
    """
    source = code if code is not None else station_code(cdf.about("IagaCode"))
    if source is None:
        raise ArchiveError(
            cdf.path,
            f"its IagaCode is {cdf.about('IagaCode')[:40]!r}, no code of 2 to 8 letters or digits; write CODE=FILE",
        )
    elements = {name.removeprefix(_PREFIX): name for name in cdf.names if name.startswith(_PREFIX)}
    held = {element: name for element, name in elements.items() if cdf.has_records(name)}
    known = [element for element in _LIMITS if element in held]
    if not known:
        raise ArchiveError(
            cdf.path, f"holds no records of {' '.join(_LIMITS)}, but of {' '.join(held) or 'nothing'}"
        )
    if ignored := [element for element in held if element not in _LIMITS]:
        cdf.notes.append(f"{cdf.path}: ignored the elements {' '.join(ignored)}")
    vector = [element for element in known if element in _VECTOR] or [_SCALAR]
    times = _common_times(cdf, [(element, held[element]) for element in vector])
    if _SCALAR in known and _SCALAR not in vector:
        own = _times_of(cdf, _SCALAR, held[_SCALAR])
        if np.array_equal(own.times_ns, times.times_ns):
            vector.append(_SCALAR)
        else:
            cdf.notes.append(f"{cdf.path}: left out the scalar S, which has times of its own")
    rows = {element: _values(cdf, element, held[element], times) for element in vector}
    return _series(cdf, source, times, rows)


def _series(cdf: CdfValues, source: str, times: Times, rows: dict[str, FloatArray]) -> list[SourceSeries]:
    add_horizontal(rows)
    good = np.flatnonzero(times.good)
    if good.size < times.good.size:
        cdf.notes.append(f"{cdf.path}: {times.good.size - good.size} records of {times.name} have no time")
    grid = grid_of(Rows(times.times_ns[good], good + 1, counted_in="record"), cdf.path)
    cdf.notes += grid.notes(cdf.path)
    components = tuple(element for element in _LIMITS if element in rows)
    return series_on_grid(
        grid,
        np.stack([rows[element] for element in components])[:, good],
        source=source,
        components=components,
        path=cdf.path,
        angles=_ANGLES.intersection(components),
    )


def _common_times(cdf: CdfValues, variables: Sequence[tuple[str, str]]) -> Times:
    (first, first_name), *others = variables
    times = _times_of(cdf, first, first_name)
    for element, name in others:
        own = _times_of(cdf, element, name)
        if own.name != times.name and not np.array_equal(own.times_ns, times.times_ns):
            raise ArchiveError(
                cdf.path, f"{name} has other times than {first_name}; a vector is measured at once"
            )
    return times


def _times_of(cdf: CdfValues, element: str, name: str) -> Times:
    depend = str(cdf.attributes(name).get("DEPEND_0", "")).strip()
    for time in (depend, *_TIMES[element == _SCALAR]):
        if cdf.has_records(time):
            return cdf.times(time)
    raise ArchiveError(
        cdf.path, f"{name} has no times: neither DEPEND_0 nor {_TIMES[element == _SCALAR][0]} has records"
    )


def _values(cdf: CdfValues, element: str, name: str, times: Times) -> FloatArray:
    """The values of an element (n,) in nT or degrees; what no field on Earth has is a gap."""
    values = cdf.columns(name, times, 1, missing_to_nan)[:, 0] * _factor(cdf, element, name)
    low, high = _LIMITS[element]
    beyond = (values < low) | (values > high)
    if beyond.any():
        cdf.notes.append(f"{cdf.path}: {name}: {beyond.sum()} records are beyond what is real")
    return np.where(beyond, np.nan, values)


def _factor(cdf: CdfValues, element: str, name: str) -> float:
    """From the unit of a variable to degrees or nT; one that says none has that of the format."""
    attributes = cdf.attributes(name)
    written = str(attributes.get("UNITS", attributes.get("Units", ""))).strip()
    unit = written.lower()
    if element in _ANGLES:
        if "min" in unit:
            return 1.0 / 60.0
        if not unit or unit.startswith("deg"):
            return 1.0
        wanted = "degrees of arc"
    else:
        if unit in ("", "nt"):
            return 1.0
        wanted = "nT"
    raise ArchiveError(cdf.path, f"{name} is in {written[:40]!r}, which cannot be brought to {wanted}")
