"""How far the fields and the geometry are from the libraries that were considered, and what lines and densities cost.

    python benchmarks/geometry.py [--quick] [--no-check]

Five tables: our main field, IGRF-14 at seven years, to degree 5 and whole, against ppigrf (left out, and said so, where
ppigrf is not installed; it comes with the tests alone); our field and GSM axes against geopack with the same coefficients; what explains the
difference of dipole and IGRF lines at one distance; unit frequencies in dipole, IGRF and T89 over Estonia; the cost of
lines for 10 and for 100 pairs, with what half an hour of the Sun's motion changes.

Claims, checked in one run (exit code 1 where one is missed; `--no-check` only prints):

- our whole main field gives the unit frequency that ppigrf's gives within 1 % from L = 2 to 6, between the years too;
- geopack agrees: the field within 1 nT (it keeps coefficients in single precision), a direction in GSM within 0.01°;
- a line traced in the centred dipole has the unit frequency of the dipole's table within 0.05 %;
- the difference of dipole and IGRF at L = 2 is that of the field at the apex, within 5 %.

Times are CPU time of this process.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from unittest import mock

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from monitor.science import igrf14, mainfield
from monitor.science.fieldline import (
    TracedLine,
    dipole_unit_frequency_Hz,
    equatorial_field_T,
    traced_unit_frequency_Hz,
)
from monitor.science.gsm import geographic_to_gsm
from monitor.science.mainfield import DEGREE, REFERENCE_RADIUS_KM, WHOLE_DEGREE, field_lines, main_field_nT
from monitor.science.tracing import traced_lines
from monitor.science.tsyganenko import T89
from monitor.stages.traced_field import TracedField
from monitor.stations import Station
from monitor.types import SECOND_NS, FloatArray, LineEnds, Pair

YEAR = 2017.5
INDEX = 1.0  # m
MERIDIAN_DEG = 25.0
DAY_NS = 1_504_742_400 * SECOND_NS  # 2017-09-07T00:00Z
HOUR_NS = 3600 * SECOND_NS

TARGET_DEGREE = 0.01
TARGET_FIELD_NT = 1.0
TARGET_AXES_DEG = 0.01
TARGET_DIPOLE = 5e-4
TARGET_EXPLAINED = 0.05


class Added:
    """A field put onto ours, as an external one: whatever the reference has more. Its apexes stay Earth-fixed."""

    axes = np.eye(3)

    def __init__(self, field_nT: Callable[[FloatArray], FloatArray] | None = None) -> None:
        self._field_nT = field_nT or np.zeros_like

    def field_nT(self, position: FloatArray) -> FloatArray:
        """Shape (p, 3)."""
        return self._field_nT(position)


def ppigrf_field_nT(position: FloatArray, year: float) -> FloatArray:
    """IGRF-14 to degree 13 at Earth-fixed positions (p, 3), by ppigrf."""
    from ppigrf import igrf_gc

    radius = np.sqrt((position**2).sum(axis=1))
    colatitude, longitude = (
        np.arccos(position[:, 2] / radius),
        np.arctan2(position[:, 1], position[:, 0]),
    )
    # ppigrf wants a date without a zone.
    middle = datetime.fromtimestamp(time_of(year) // SECOND_NS, UTC).replace(tzinfo=None)
    up, south, east = (
        np.ravel(part)
        for part in igrf_gc(
            radius * REFERENCE_RADIUS_KM, np.degrees(colatitude), np.degrees(longitude), middle
        )
    )
    sine, cosine = np.sin(colatitude), np.cos(colatitude)
    across = up * sine + south * cosine
    return np.stack(
        [
            across * np.cos(longitude) - east * np.sin(longitude),
            across * np.sin(longitude) + east * np.cos(longitude),
            up * cosine - south * sine,
        ],
        axis=1,
    )


def load_geopack(folder: Path) -> ModuleType:
    """`geopack.geopack` with our coefficients, without the network and without a word.

    When it is imported it asks a server for coefficients, writes them beside itself, and fails where it gets none. Here it
    finds ours in `folder` instead.
    """
    years = [f"{year:.1f}" for year in igrf14.YEARS[:-1]]
    rows = ["#", "#", "#", " ".join(["g/h", "n", "m", *years, "2025-30"])]
    rows += [
        " ".join(map(str, (kind, n, m, *values[:-1], (values[-1] - values[-2]) / 5.0)))
        for kind, n, m, values in igrf14.COEFFICIENTS
    ]
    (folder / "igrf_coeffs").mkdir()
    (folder / "igrf_coeffs" / "igrf14coeffs.txt").write_text("\n".join(rows) + "\n")
    spec = importlib.util.find_spec("geopack.geopack")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(folder / "geopack.py")
    offline = mock.patch("urllib.request.urlopen", side_effect=OSError("no network"))
    with offline, contextlib.redirect_stdout(io.StringIO()):
        spec.loader.exec_module(module)
    return module


def year_of(time_ns: int) -> float:
    """The year with decimals, as geopack has it within its five years."""
    moment = datetime.fromtimestamp(time_ns // SECOND_NS, UTC)
    begin, end = (datetime(moment.year + more, 1, 1, tzinfo=UTC) for more in (0, 1))
    return moment.year + (moment - begin) / (end - begin)


def time_of(year: float) -> int:
    """The middle of a year (ns) and the like."""
    begin, end = (datetime(math.floor(year) + more, 1, 1, tzinfo=UTC) for more in (0, 1))
    return int((begin + (year % 1.0) * (end - begin)).timestamp()) * SECOND_NS


def unit_Hz(line: TracedLine | None) -> float:
    """Fundamental with fixed ends; NaN for no line."""
    return math.nan if line is None else traced_unit_frequency_Hz(line, INDEX)


def apex_re(line: TracedLine | None) -> float:
    return math.nan if line is None else float(line.radius_re.max())


def latitudes_deg(distance_re: float, longitude_deg: FloatArray) -> FloatArray:
    """Northern latitudes (p,) from which lines of our field rise to a distance.

    Each turn moves a place by what its line lacks in invariant latitude, arccos √(1/L).
    """
    wanted = math.degrees(math.acos(math.sqrt(1.0 / distance_re)))
    latitude = np.full(longitude_deg.size, wanted)
    for _ in range(6):
        found = np.array([apex_re(line) for line in traced_lines(latitude, longitude_deg, YEAR)])
        # A line that does not close leads too far out.
        invariant = np.degrees(np.arccos(np.sqrt(1.0 / np.where(np.isnan(found), 2.0 * distance_re, found))))
        latitude += wanted - invariant
    return latitude


def against_ppigrf(distances: Sequence[float], meridians: int) -> bool:
    """Our main field, to degree 5 and whole, against ppigrf: |B| and the far foot at 110 km, apex, unit frequency."""
    print(f"Main field against ppigrf (degree 13) in {YEAR}, median and most over {meridians} meridians")
    if importlib.util.find_spec("ppigrf") is None or not distances:
        print(f"  left out: {'ppigrf is slow' if not distances else 'ppigrf is not installed'}")
        return True
    print("   L  degree   |B| at 110 km (%)   apex (%)           unit frequency (%)   far foot (°)")
    longitude = np.linspace(-180.0, 180.0, meridians, endpoint=False)
    more = Added(
        lambda position: ppigrf_field_nT(position, YEAR) - main_field_nT(position, YEAR, WHOLE_DEGREE)
    )
    worst = 0.0
    for distance in distances:
        latitude = latitudes_deg(distance, longitude)
        whole = traced_lines(latitude, longitude, YEAR, more)
        for degree in (DEGREE, WHOLE_DEGREE):
            ours = traced_lines(latitude, longitude, YEAR, Added(), degree=degree)
            ratios = [
                np.array([value(own) / value(other) for own, other in zip(ours, whole, strict=True)]) - 1.0
                for value in (foot_field_T, apex_re, unit_Hz)
            ]
            columns = [100.0 * ratio for ratio in ratios] + [far_feet_apart_deg(latitude, longitude, degree)]
            print(
                f"  {distance:3.0f}  {degree:4d}   "
                + "".join(f"   {spread(column):16s}" for column in columns)
            )
        worst = max(worst, float(np.abs(ratios[-1]).max()))
    position = np.random.default_rng(5).normal(size=(200, 3))
    position *= 1.02 / np.sqrt((position**2).sum(axis=1))[:, None]
    same = np.abs(ppigrf_field_nT(position, 2020.0) - main_field_nT(position, 2020.0, WHOLE_DEGREE)).max()
    print(f"  in 2020, a year of our table: field within {same:.1e} nT")
    return claim(f"unit frequency within {TARGET_DEGREE:.0%}, found {worst:.2%}", worst < TARGET_DEGREE)


def foot_field_T(line: TracedLine | None) -> float:
    return math.nan if line is None else float(line.field_T[0])


def far_feet_apart_deg(latitude_deg: FloatArray, longitude_deg: FloatArray, degree: int) -> FloatArray:
    """Great-circle distance of the far feet that `mainfield` finds in its field and in ppigrf's."""
    ours = field_lines(latitude_deg, longitude_deg, YEAR, degree)
    with mock.patch.object(mainfield, "main_field_nT", lambda position, *_: ppigrf_field_nT(position, YEAR)):
        whole = field_lines(latitude_deg, longitude_deg, YEAR)
    a, b = (
        np.radians([lines.conjugate_latitude_deg, lines.conjugate_longitude_deg]) for lines in (ours, whole)
    )
    cosine = np.sin(a[0]) * np.sin(b[0]) + np.cos(a[0]) * np.cos(b[0]) * np.cos(a[1] - b[1])
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def against_geopack(count: int) -> bool:
    """Field and GSM directions at random places and times, with the same coefficients."""
    with tempfile.TemporaryDirectory() as folder:
        geopack = load_geopack(Path(folder))
    rng = np.random.default_rng(4)
    field_nT, angle_deg = 0.0, 0.0
    for when in rng.uniform(time_of(1990.0), time_of(2029.9), count).astype(np.int64).tolist():
        geopack.recalc(when / SECOND_NS)
        position = rng.normal(size=3)
        position *= rng.uniform(1.02, 1.9) / math.sqrt(float(position @ position))
        radius, colatitude, longitude = geopack.sphcar(*position, -1)
        theirs = geopack.bspcar(colatitude, longitude, *geopack.igrf_geo(radius, colatitude, longitude))
        ours = main_field_nT(position[None], year_of(when), WHOLE_DEGREE)[0]
        field_nT = max(field_nT, float(np.abs(ours - theirs).max()))
        turned = geographic_to_gsm(position, when, year_of(when))
        apart = np.cross(turned, geopack.geogsm(*position, 1))
        sine = math.sqrt(float(apart @ apart)) / float(position @ position)
        angle_deg = max(angle_deg, math.degrees(math.asin(sine)))
    print(
        f"\nAgainst geopack 1.0 with the same coefficients, {count} places and times from 1990 to 2029, most"
    )
    print(f"  main field {field_nT:.3f} nT, GSM direction {angle_deg:.4f}°")
    first = claim(f"field within {TARGET_FIELD_NT} nT, found {field_nT:.3f} nT", field_nT < TARGET_FIELD_NT)
    second = claim(f"GSM within {TARGET_AXES_DEG}°, found {angle_deg:.4f}°", angle_deg < TARGET_AXES_DEG)
    return first and second


def explained(distances: Sequence[float], meridians: int) -> bool:
    """How far unit frequencies of IGRF lines are from the dipole of the same apex distance, and why."""
    print(
        "\nIGRF lines against the centred dipole at the same distance of the apex: least and most over meridians (%)"
    )
    print("   L    as it is         with the field of the apex    with the time that waves take as well")
    longitude = np.linspace(-180.0, 180.0, meridians, endpoint=False)
    worst = 0.0
    for distance in distances:
        lines = traced_lines(latitudes_deg(distance, longitude), longitude, YEAR)
        ours, dipole = np.array([unit_Hz(line) for line in lines]), dipole_Hz(distance)
        at_apex = np.array([line.field_T.min() for line in lines if line is not None])
        scaled = ours / dipole / (at_apex / (equatorial_field_T(YEAR) / distance**3))
        travel = ours / dipole * np.array([travel_s(line) for line in lines if line is not None])
        travel /= travel_s(dipole_line(distance))
        print(
            f"  {distance:3.0f}  "
            + "".join(
                f"   {100 * (part.min() - 1):+6.1f} {100 * (part.max() - 1):+6.1f}            "
                for part in (ours / dipole, scaled, travel)
            )
        )
        if distance == distances[0]:
            worst = float(np.abs(scaled - 1.0).max())
    first = claim(
        f"explained by the field of the apex within {TARGET_EXPLAINED:.0%} at L = {distances[0]:g}, found {worst:.1%}",
        worst < TARGET_EXPLAINED,
    )
    error = dipole_error(distances)
    second = claim(f"dipole within {TARGET_DIPOLE:.2%}, found {error:.3%}", error < TARGET_DIPOLE)
    return first and second


def dipole_Hz(distance_re: float) -> float:
    return float(dipole_unit_frequency_Hz(np.array([distance_re]), INDEX, year=YEAR)[0])


def travel_s(line: TracedLine) -> float:
    """A measure of the time of an Alfvén wave from foot to foot: ∫ √ρ ds / B."""
    slowness = (line.radius_re.max() / line.radius_re) ** (0.5 * INDEX) / line.field_T
    return float(np.trapezoid(slowness, line.arc_m))


def dipole_line(distance_re: float) -> TracedLine:
    """The line of the centred dipole that reaches a distance, from 40° E."""
    sine = math.sqrt(1.0 - (1.0 + 110.0 / REFERENCE_RADIUS_KM) / distance_re)
    z = np.linspace(-sine, sine, 2001)
    radius = distance_re * (1.0 - z * z)
    arc = (
        0.5 * distance_re * (z * np.sqrt(1.0 + 3.0 * z * z) + np.arcsinh(math.sqrt(3.0) * z) / math.sqrt(3.0))
    )
    return TracedLine(
        arc_m=(arc - arc[0]) * REFERENCE_RADIUS_KM * 1e3,
        field_T=equatorial_field_T(YEAR) / radius**3 * np.sqrt(1.0 + 3.0 * z * z),
        radius_re=radius,
        spacing=radius**1.5,
        apex_re=np.full(3, np.nan),
    )


def dipole_error(distances: Sequence[float]) -> float:
    """Largest relative difference of the dipole's table and lines traced in the dipole."""
    latitude = np.degrees(np.arccos(np.sqrt(1.0 / np.array(distances))))
    lines = traced_lines(latitude, np.full(latitude.size, MERIDIAN_DEG), YEAR, degree=1)
    return max(abs(unit_Hz(line) / dipole_Hz(apex_re(line)) - 1.0) for line in lines)


def over_estonia(distances: Sequence[float], levels: Sequence[int]) -> None:
    """Unit frequencies of IGRF and T89 lines over the dipole of the apex distance that IGRF gives, at 25° E."""
    print(
        f"\nUnit frequency over that of the dipole at the same L, {MERIDIAN_DEG:.0f}° E, m = 1 (2017-09-07)"
    )
    hours = {"dawn": 4, "noon": 10, "dusk": 16}
    titles = "".join(f"  T89/{level} {name}" for level in levels for name in hours)
    print("   L   IGRF" + titles + "   (T89/level of Kp)")
    for distance in distances:
        longitude = np.array([MERIDIAN_DEG])
        latitude = latitudes_deg(distance, longitude)
        dipole = dipole_Hz(distance)
        text = f"  {distance:3.0f}  {unit_Hz(traced_lines(latitude, longitude, YEAR)[0]) / dipole:5.3f}"
        for level in levels:
            for hour in hours.values():
                external = T89.at(DAY_NS + hour * HOUR_NS, YEAR, level)
                (line,) = traced_lines(latitude, longitude, YEAR, external)
                text += f"  {unit_Hz(line) / dipole:10.3f}"
        print(text)


def costs(counts: Sequence[int]) -> None:
    """What lines and frequencies of many pairs cost, first and again, and what half an hour changes."""
    print("\nCPU of unit frequencies (ms): first of a year or half hour, one more mode, the same again")
    for kind in ("igrf", "t89"):
        for count in counts:
            field, pairs = pairs_over_europe(kind, count)
            index = np.full(count, INDEX)

            spent = [asking_ms(field, pairs, harmonic) for harmonic in (1, 3, 3)]
            print(f"  {kind:5s} {count:4d} pairs   " + " ".join(f"{part:8.1f}" for part in spent))
    field, pairs = pairs_over_europe("t89", 10)
    index = np.full(len(pairs), INDEX)
    early, late = (
        field.unit_frequencies_Hz(pairs, DAY_NS + hour * HOUR_NS // 2, 2.0, 1, LineEnds.FIXED, index)
        for hour in (27, 28)
    )
    print(f"  half an hour at 13:30 UT changes the unit frequency by {spread(100 * (late / early - 1))} %")


def asking_ms(field: TracedField, pairs: tuple[Pair, ...], harmonic: int) -> float:
    """CPU of the unit frequencies of all pairs at noon."""
    begin = time.process_time()
    field.unit_frequencies_Hz(
        pairs, DAY_NS + 10 * HOUR_NS, 2.0, harmonic, LineEnds.FIXED, np.full(len(pairs), INDEX)
    )
    return (time.process_time() - begin) * 1e3


def pairs_over_europe(kind: str, count: int) -> tuple[TracedField, tuple[Pair, ...]]:
    stations = {
        f"{side}{row:03d}": Station(
            f"{side}{row:03d}", latitude_deg=float(latitude) + north, longitude_deg=20.0
        )
        for row, latitude in enumerate(np.linspace(48.0, 66.0, count))
        for side, north in (("P", 1.0), ("E", -1.0))
    }
    pairs = tuple(Pair(f"P{row:03d}", f"E{row:03d}") for row in range(count))
    assert kind in ("igrf", "t89")
    return TracedField(stations, pairs, "igrf" if kind == "igrf" else "t89"), pairs


def spread(values: FloatArray) -> str:
    """Median and largest of magnitudes."""
    return f"{np.median(np.abs(values)):.3f} {np.abs(values).max():.3f}"


def claim(text: str, met: bool) -> bool:
    print(f"  {'met   ' if met else 'MISSED'}  {text}")
    return met


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every table; 1 where a claim is missed."""
    parser = argparse.ArgumentParser(description="errors and costs of fields and geometry")
    parser.add_argument("--quick", action="store_true", help="few lines, to show that it runs")
    parser.add_argument("--no-check", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    distances = (2.0,) if options.quick else (2.0, 3.0, 4.0, 5.0, 6.0)
    meridians = 2 if options.quick else 24
    met = [
        against_ppigrf(() if options.quick else distances, meridians),
        against_geopack(20 if options.quick else 500),
        explained(distances, meridians),
    ]
    over_estonia(distances, (3,) if options.quick else (1, 3, 6))
    costs((2,) if options.quick else (10, 100))
    return 0 if all(met) or options.no_check else 1


if __name__ == "__main__":
    sys.exit(main())
