"""Archives of a station in the formats of the observatories, written as their pages describe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cdflib.cdfwrite
import numpy as np
from numpy.typing import ArrayLike

from monitor.types import FloatArray, IntArray, SampleBlock

DOUBLE, TT2000 = 45, 33
MISSING = 99999.0
_ANGLES = ("D", "I")


def times_ns(block: SampleBlock) -> IntArray:
    """The times of a block's samples."""
    return block.t0_ns + np.arange(block.count, dtype=np.int64) * block.step_ns


def iaga2002_text(block: SampleBlock, reported: str = "") -> str:
    """IAGA-2002 of a block; D and I, in degrees, go out in minutes of arc; elements that it has not are 88888."""
    rows = dict(zip(block.components, block.values, strict=True))
    elements = reported or "".join(block.components)
    head = {
        "Format": "IAGA-2002",
        "Source of Data": "Institute of the test",
        "Station Name": "Of the test",
        "IAGA CODE": block.source,
        "Geodetic Latitude": "67.000",
        "Geodetic Longitude": "24.000",
        "Elevation": "100",
        "Reported": elements,
        "Sensor Orientation": elements,
        "Digital Sampling": f"{block.step_ns / 1e9:g} second",
        "Data Interval Type": f"{block.step_ns / 1e9:g}-second",
        "Data Type": "variation",
    }
    lines = [f" {name:<23}{value:<45}|" for name, value in head.items()]
    lines.append(f" # {'A comment: D and I are in minutes of arc.':<66}|")
    columns = "".join(f"{block.source}{element}".ljust(10) for element in elements)
    lines.append(f"{'DATE       TIME         DOY':<32}{columns}".ljust(69)[:69] + "|")
    cells = [
        _two_decimals(rows.get(element), 60.0 if element in _ANGLES else 1.0, block.count)
        for element in elements
    ]
    for time, *values in zip(times_ns(block).tolist(), *cells, strict=True):
        moment = np.datetime64(time, "ns").astype("datetime64[ms]")
        day = moment.astype("datetime64[D]")
        number = int((day - day.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)) + 1
        date, clock = str(moment).split("T")
        lines.append(f"{date} {clock} {number:03d}   " + "".join(value.rjust(10) for value in values))
    return "\n".join(lines) + "\n"


def _two_decimals(row: FloatArray | None, factor: float, count: int) -> list[str]:
    if row is None:
        return ["88888.00"] * count
    return [f"{MISSING:.2f}" if np.isnan(value) else f"{value * factor:.2f}" for value in row.tolist()]


def carisma_text(block: SampleBlock) -> str:
    """Text as CARISMA writes it: a line about the station, then a time, three components and a flag a line."""
    lines = [f"{block.source:<5}  67.0000   24.0000  {''.join(block.components)}  {block.step_ns / 1e9:g}"]
    for time, column in zip(times_ns(block).tolist(), block.values.T.tolist(), strict=True):
        stamp = str(np.datetime64(time, "ns").astype("datetime64[s]"))
        digits = "".join(sign for sign in stamp if sign.isdigit())
        flag = "x" if np.isnan(column).any() else "."
        cells = "".join(f"{0.0 if value != value else value:10.3f}" for value in column)
        lines.append(f"{digits}{cells} {flag}")
    return "\n".join(lines) + "\n"


def write_imagcdf(
    path: Path,
    block: SampleBlock,
    *,
    packed: int = 6,
    times: IntArray | None = None,
    scalar: tuple[IntArray, ArrayLike] | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    about: Mapping[str, str] | None = None,
) -> Path:
    """ImagCDF of a block, packed as a whole as observatories send it; `scalar` are the times and values of S.

    `times` are those of the samples where they are not evenly spaced, `changes` other attributes of a variable, by its name,
    and `about` those of the file.
    """
    from cdflib import cdfepoch

    changed = changes or {}
    cdf = cdflib.cdfwrite.CDF(path, cdf_spec={"Compressed": packed}, delete=True)
    entries = {
        "FormatDescription": "INTERMAGNET CDF Format",
        "FormatVersion": "1.2",
        "Title": "Geomagnetic time series data",
        "IagaCode": block.source,
        "ElementsRecorded": "".join(block.components) + ("S" if scalar else ""),
        "PublicationLevel": "2",
        "ObservatoryName": "Of the test",
        **(about or {}),
    }
    cdf.write_globalattrs({name: {0: value} for name, value in entries.items()})

    def write(name: str, kind: int, values: ArrayLike, attributes: dict[str, Any]) -> None:
        spec = {"Variable": name, "Data_Type": kind, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": []}
        cdf.write_var(spec, var_attrs={**attributes, **changed.get(name, {})}, var_data=np.asarray(values))

    def write_times(name: str, moments: IntArray) -> None:
        stamps = cdfepoch.compute_tt2000(_parts(moments))
        write(name, TT2000, np.atleast_1d(stamps), {"FIELDNAM": name})

    def write_element(element: str, values: ArrayLike, times: str) -> None:
        filled = np.where(np.isnan(values), MISSING, values)
        limits = (-360.0, 360.0) if element in _ANGLES else (-79999.0, 79999.0)
        attributes = {
            "FIELDNAM": f"Geomagnetic Field Element {element}",
            "UNITS": "Degrees of arc" if element in _ANGLES else "nT",
            "FILLVAL": [MISSING, "CDF_DOUBLE"],
            "VALIDMIN": [limits[0], "CDF_DOUBLE"],
            "VALIDMAX": [limits[1], "CDF_DOUBLE"],
            "DEPEND_0": times,
            "DISPLAY_TYPE": "time_series",
            "LABLAXIS": element,
        }
        write(f"GeomagneticField{element}", DOUBLE, filled, attributes)

    write_times("GeomagneticVectorTimes", times_ns(block) if times is None else times)
    for element, row in zip(block.components, block.values, strict=True):
        write_element(element, row, "GeomagneticVectorTimes")
    if scalar is not None:
        write_times("GeomagneticScalarTimes", scalar[0])
        write_element("S", scalar[1], "GeomagneticScalarTimes")
    cdf.close()
    return path


def _parts(moments: IntArray) -> list[Sequence[int]]:
    """Year, month, day, hour, minute, second, ms, µs, ns of times."""
    found = []
    for moment in moments.tolist():
        second, rest = divmod(moment, 1_000_000_000)
        date, clock = str(np.datetime64(second, "s")).split("T")
        found.append(
            [
                *map(int, date.split("-")),
                *map(int, clock.split(":")),
                rest // 1_000_000,
                rest // 1000 % 1000,
                rest % 1000,
            ]
        )
    return found
