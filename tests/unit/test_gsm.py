"""GSM axes against geopack's own conversions, known geometry of the Sun, and the crossings of dipole lines."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from monitor.science.gsm import (
    apex_gsm,
    crossing_gsm,
    dipole_tilt_rad,
    geographic_to_gsm,
    gsm_axes,
    gsm_to_geographic,
)
from monitor.science.illumination import mlt_h, subsolar_point_deg
from monitor.science.mainfield import dipole_pole, field_lines
from monitor.stages.place import Places
from monitor.stations import load_station_table
from monitor.types import Pair

TIMES = np.array(
    ["1991-03-20T05:13", "2003-06-21T16:30", "2017-09-07T11:00", "2025-12-21T23:45"], dtype="datetime64[ns]"
).astype(np.int64)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """The benchmark knows how to import geopack without the network."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "geometry.py"
    spec = importlib.util.spec_from_file_location("benchmark_geometry", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def geopack(benchmark: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    module: ModuleType = benchmark.load_geopack(tmp_path_factory.mktemp("geopack"))
    return module


@pytest.mark.parametrize("time_ns", TIMES.tolist())
def test_gsm_is_that_of_geopack_both_ways(geopack: ModuleType, benchmark: ModuleType, time_ns: int) -> None:
    tilt = geopack.recalc(time_ns / 1e9)
    year = benchmark.year_of(time_ns)
    position = np.random.default_rng(2).normal(size=(20, 3))
    there = np.array([geopack.geogsm(*point, 1) for point in position])
    back = np.array([geopack.geogsm(*point, -1) for point in position])
    # 0.01° of the Sun.
    np.testing.assert_allclose(geographic_to_gsm(position, time_ns, year), there, atol=4e-4)
    np.testing.assert_allclose(gsm_to_geographic(position, time_ns, year), back, atol=4e-4)
    assert dipole_tilt_rad(time_ns, year) == pytest.approx(tilt, abs=2e-4)


def test_axes_are_orthonormal_and_right_handed() -> None:
    axes = gsm_axes(TIMES, 2010.5)
    assert axes.shape == (4, 3, 3)
    np.testing.assert_allclose(axes @ axes.swapaxes(1, 2), np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-14)
    np.testing.assert_allclose(np.linalg.det(axes), 1.0, atol=1e-14)


def test_dipole_axis_lies_in_the_plane_of_x_and_z_at_the_tilt() -> None:
    axis = geographic_to_gsm(dipole_pole(2010.5), TIMES, 2010.5)
    tilt = dipole_tilt_rad(TIMES, 2010.5)
    np.testing.assert_allclose(axis[:, 1], 0.0, atol=1e-14)
    np.testing.assert_allclose(axis[:, 0], np.sin(tilt), atol=1e-14)
    np.testing.assert_allclose(axis[:, 2], np.cos(tilt), atol=1e-14)


def test_tilt_spans_the_obliquity_and_the_dipole_tilt_in_a_year() -> None:
    hours = TIMES[2] + np.arange(0, 8766, 1) * 3_600_000_000_000
    tilt = np.degrees(dipole_tilt_rad(hours, 2017.7))
    colatitude = np.degrees(np.arccos(dipole_pole(2017.7)[2]))
    assert tilt.max() == pytest.approx(23.44 + colatitude, abs=0.1)
    assert tilt.min() == pytest.approx(-23.44 - colatitude, abs=0.1)


def test_way_there_and_back_changes_nothing() -> None:
    position = np.random.default_rng(3).normal(size=(4, 3))
    again = gsm_to_geographic(geographic_to_gsm(position, TIMES, 2000.0), TIMES, 2000.0)
    np.testing.assert_allclose(again, position, atol=1e-14)


def test_point_under_the_sun_is_at_noon_on_the_x_axis() -> None:
    latitude, longitude = (np.radians(angle) for angle in subsolar_point_deg(TIMES))
    sun = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )
    found = crossing_gsm(3.0 * sun, TIMES, 2010.0)
    np.testing.assert_allclose(found.distance_re, 3.0, rtol=1e-14)
    np.testing.assert_allclose(found.gsm_lon_deg, 0.0, atol=1e-10)
    np.testing.assert_allclose(found.gsm_z_m, 0.0, atol=1e-5)
    np.testing.assert_allclose(found.lt_h, 12.0, atol=1e-10)
    np.testing.assert_allclose(found.mlt_h, 12.0, atol=1e-10)


def test_crossings_of_dipole_lines_lie_on_the_magnetic_equator_at_their_hour() -> None:
    lines = field_lines(np.array([57.2, 67.5, 45.0]), np.array([25.6, 23.8, -71.0]), 2017.5)
    distance = np.array([2.9, 5.4, 2.5])
    found = apex_gsm(lines.magnetic_longitude_deg, distance, int(TIMES[2]), 2017.5)
    np.testing.assert_allclose(found.distance_re, distance, rtol=1e-12)
    np.testing.assert_allclose(found.mlt_h, mlt_h(lines, int(TIMES[2])), atol=1e-9)
    latitude, longitude = np.radians(found.gsm_lat_deg), np.radians(found.gsm_lon_deg)
    position = distance * np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )
    np.testing.assert_allclose(found.gsm_z_m, position[2] * 6371.2e3, rtol=1e-9)
    np.testing.assert_allclose(
        dipole_pole(2017.5) @ gsm_to_geographic(position.T, int(TIMES[2]), 2017.5).T, 0.0, atol=1e-12
    )
    # After noon is towards dusk, and local time over Estonia is UT + 25.6° / 15 and two minutes in September.
    assert 0.0 < found.gsm_lon_deg[0] < 25.0
    assert found.lt_h[0] == pytest.approx(11.0 + 25.6 / 15.0 + 2.0 / 60.0, abs=0.4)


@pytest.mark.parametrize("distance", [np.nan, 0.0, -2.0, np.inf])
def test_unknown_distance_leaves_everything_unknown(distance: float) -> None:
    found = apex_gsm(np.array([100.0, 100.0]), np.array([distance, 3.0]), int(TIMES[0]), 1991.5)
    for values in found:
        assert np.isnan(values[0])
        assert np.isfinite(values[1])


def test_places_give_both_feet_and_the_crossing_of_pairs_in_the_order_asked_for() -> None:
    table = load_station_table()
    pairs = (Pair("MUO", "PEL", 5.4), Pair("TAR", "BRZ", 2.9), Pair("TAR", "NONE"))
    places, time_ns = Places(table, pairs), int(TIMES[2])
    found = places.equator(pairs, time_ns, np.array([5.4, 2.9, 3.0]))
    np.testing.assert_allclose(found.latitude_deg, [67.46, 57.22, np.nan], atol=0.01)
    np.testing.assert_allclose(found.conjugate_latitude_deg, [-59.2, -47.9, np.nan], atol=0.1)
    np.testing.assert_allclose(found.conjugate_longitude_deg, [60.5, 46.0, np.nan], atol=0.1)
    np.testing.assert_allclose(found.crossing.distance_re, [5.4, 2.9, np.nan])
    assert found.crossing.mlt_h[:2].tolist() == pytest.approx(list(places.at(pairs[:2], time_ns).mlt_h))
    turned = places.equator(pairs[::-1], time_ns, np.array([3.0, 2.9, 5.4]))
    np.testing.assert_array_equal(turned.crossing.gsm_z_m, found.crossing.gsm_z_m[::-1])
    assert places.equator((), time_ns, np.array([])).latitude_deg.shape == (0,)
