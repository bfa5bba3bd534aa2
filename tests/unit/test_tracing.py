"""Traced lines against exact dipole lines, ppigrf's field and geopack's, and what is said of lines that do not close."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
from geopack.t89 import t89
from scipy.integrate import solve_ivp

from monitor.science.fieldline import (
    TracedLine,
    dipole_unit_frequency_Hz,
    equatorial_field_T,
    traced_unit_frequency_Hz,
)
from monitor.science.gsm import geographic_to_gsm, gsm_axes
from monitor.science.mainfield import WHOLE_DEGREE, main_field_nT
from monitor.science.tracing import POINTS, traced_lines
from monitor.science.tsyganenko import T89, kp_class
from monitor.types import FloatArray, LineEnds

YEAR = 2017.5
NOON_NS = int(np.datetime64("2017-09-07T10:00", "ns").astype(np.int64))  # over Estonia
MIDNIGHT_NS = NOON_NS + 12 * 3600 * 10**9


class NoField:
    """Nothing beside the main field, in axes that stay Earth-fixed."""

    axes = np.eye(3)

    def field_nT(self, position: FloatArray) -> FloatArray:
        return np.zeros_like(position)


def traced(latitude_deg: float, longitude_deg: float = 25.0, **options: object) -> TracedLine:
    (line,) = traced_lines(np.array([latitude_deg]), np.array([longitude_deg]), YEAR, **options)  # type: ignore[arg-type]
    assert line is not None
    return line


@pytest.mark.parametrize("latitude_deg", [30.0, 45.0, 57.2, 67.5])
def test_line_of_the_centred_dipole_is_the_exact_one(latitude_deg: float) -> None:
    line = traced(latitude_deg, degree=1)
    distance = line.radius_re.max()
    sine = np.sqrt(1.0 - line.radius_re / distance) * np.sign(np.arange(POINTS) - line.radius_re.argmax())
    arc = (
        distance
        * 0.5
        * (sine * np.sqrt(1.0 + 3.0 * sine**2) + np.arcsinh(np.sqrt(3.0) * sine) / np.sqrt(3.0))
    )
    np.testing.assert_allclose(line.arc_m / 6371.2e3, arc - arc[0], atol=3e-4 * distance)
    field = equatorial_field_T(YEAR) / line.radius_re**3 * np.sqrt(4.0 - 3.0 * line.radius_re / distance)
    np.testing.assert_allclose(line.field_T, field, rtol=5e-5)
    np.testing.assert_allclose(
        line.spacing / line.spacing.max(), (line.radius_re / distance) ** 1.5, rtol=1e-3
    )
    for ends in LineEnds:
        found = traced_unit_frequency_Hz(line, 1.0, harmonic=3, ends=ends)
        table = dipole_unit_frequency_Hz(np.array([distance]), 1.0, year=YEAR, harmonic=3, ends=ends)
        assert found == pytest.approx(table[0], rel=5e-4)


def test_samples_are_even_and_both_ends_are_at_the_height_asked_for() -> None:
    for height_km in (0.0, 110.0, 400.0):
        line = traced(60.0, ionosphere_km=height_km)
        assert (
            line.arc_m.shape == line.field_T.shape == line.radius_re.shape == line.spacing.shape == (POINTS,)
        )
        np.testing.assert_allclose(np.diff(line.arc_m), line.arc_m[-1] / (POINTS - 1), rtol=1e-9)
        assert line.arc_m[0] == 0.0
        # Radii of the WGS84 ellipsoid lie between 6356.7 and 6378.2 km.
        for end in (line.radius_re[0], line.radius_re[-1]):
            assert 6356.7 < end * 6371.2 - height_km < 6378.2


def test_line_in_igrf_is_that_of_an_independent_integration() -> None:
    line = traced(57.2, 25.6, external=NoField())
    geocentric = np.arctan((1.0 - 1.0 / 298.257223563) ** 2 * np.tan(np.radians(57.2)))
    east = np.radians(25.6)
    foot = line.radius_re[0] * np.array(
        [np.cos(geocentric) * np.cos(east), np.cos(geocentric) * np.sin(east), np.sin(geocentric)]
    )

    def southward(_: float, here: FloatArray) -> FloatArray:
        field = main_field_nT(here[None], YEAR, WHOLE_DEGREE)[0]
        unit: FloatArray = -field / np.sqrt(field @ field)
        return unit

    arc = line.arc_m / 6371.2e3
    way = solve_ivp(southward, (0.0, arc[-1]), foot, method="DOP853", t_eval=arc, rtol=1e-10, atol=1e-12)
    position = way.y.T
    np.testing.assert_allclose(np.sqrt((position**2).sum(axis=1)), line.radius_re, atol=5e-4)
    strength = np.sqrt((main_field_nT(position, YEAR, WHOLE_DEGREE) ** 2).sum(axis=1)) * 1e-9
    np.testing.assert_allclose(strength, line.field_T, rtol=2e-3)
    np.testing.assert_allclose(position[line.radius_re.argmax()], line.apex_re, atol=0.5 * arc[1])


def test_main_field_is_that_of_ppigrf() -> None:
    ppigrf = pytest.importorskip("ppigrf", reason="ppigrf is for comparison only, and is not installed")
    rng = np.random.default_rng(1)
    colatitude, longitude = rng.uniform(0.1, 3.0, 30), rng.uniform(-3.1, 3.1, 30)
    radius = rng.uniform(1.02, 4.0, 30)
    up, south, east = (
        part[0]
        for part in ppigrf.igrf_gc(
            radius * 6371.2,
            np.degrees(colatitude),
            np.degrees(longitude),
            datetime(2020, 1, 1),  # noqa: DTZ001
        )
    )
    unit = np.stack(
        [np.sin(colatitude) * np.cos(longitude), np.sin(colatitude) * np.sin(longitude), np.cos(colatitude)],
        axis=1,
    )
    field = main_field_nT(radius[:, None] * unit, 2020.0, WHOLE_DEGREE)
    np.testing.assert_allclose((field * unit).sum(axis=1), up, atol=1e-6)
    np.testing.assert_allclose((field**2).sum(axis=1), up**2 + south**2 + east**2, rtol=1e-9)


def test_dipole_and_igrf_at_two_radii_differ_as_their_fields_at_the_apex_do() -> None:
    # Places whose lines rise to 2 R_E; the centred dipole is 14 % too fast here, 20 % too slow there.
    latitude = np.array([46.8, 41.5, 51.5])
    longitude = np.array([25.0, -70.0, 100.0])
    lines = traced_lines(latitude, longitude, YEAR)
    ratios = []
    for line in lines:
        assert line is not None
        distance = line.radius_re.max()
        dipole = dipole_unit_frequency_Hz(np.array([distance]), 1.0, year=YEAR)[0]
        ratio = traced_unit_frequency_Hz(line, 1.0) / dipole
        at_apex = line.field_T[line.radius_re.argmax()] / (equatorial_field_T(YEAR) / distance**3)
        assert 1.6 < distance < 2.6
        assert ratio / at_apex == pytest.approx(1.0, abs=0.05)
        ratios.append(ratio)
    assert max(ratios) - min(ratios) > 0.1


class TestT89:
    def test_field_is_that_of_geopack_turned_to_earth_fixed_axes(self) -> None:
        model = T89.at(NOON_NS, YEAR, 4)
        position = np.array([[3.0, 1.0, -0.5], [-2.0, 4.0, 1.0]])
        turned = geographic_to_gsm(model.field_nT(position), NOON_NS, YEAR)
        axes = gsm_axes(NOON_NS, YEAR)
        for row, point in enumerate(position @ axes.T):
            np.testing.assert_allclose(turned[row], t89(4, model.tilt_rad, *point), atol=1e-9)

    def test_no_points_give_no_field(self) -> None:
        assert T89.at(NOON_NS, YEAR, 1).field_nT(np.zeros((0, 3))).shape == (0, 3)

    @pytest.mark.parametrize(
        ("kp", "level"),
        [
            (0.0, 1),
            (1 / 3, 1),
            (2 / 3, 2),
            (1.0, 2),
            (4 / 3, 2),
            (3.0, 4),
            (14 / 3, 6),
            (16 / 3, 6),
            (17 / 3, 7),
            (9.0, 7),
        ],
    )
    def test_kp_class_is_that_of_the_model(self, kp: float, level: int) -> None:
        assert kp_class(kp) == level

    @pytest.mark.parametrize("kp", [-0.1, 9.1, float("nan")])
    def test_kp_out_of_range_is_named(self, kp: float) -> None:
        with pytest.raises(ValueError, match=f"Kp must be from 0 to 9, found {kp}"):
            kp_class(kp)

    @pytest.mark.parametrize("level", [0, 8])
    def test_level_out_of_range_is_named(self, level: int) -> None:
        with pytest.raises(ValueError, match=f"must be from 1 to 7, found {level}"):
            T89.at(NOON_NS, YEAR, level)

    def test_storm_stretches_the_night_side_more_than_the_day_side(self) -> None:
        quiet = traced_unit_frequency_Hz(traced(60.0), 1.0)
        day, night = (
            traced_unit_frequency_Hz(traced(60.0, external=T89.at(time_ns, YEAR, 6)), 1.0) / quiet
            for time_ns in (NOON_NS, MIDNIGHT_NS)
        )
        assert night < day < 1.0

    def test_apex_is_in_gsm_and_on_the_side_of_the_hour(self) -> None:
        for time_ns, sign in ((NOON_NS, 1.0), (MIDNIGHT_NS, -1.0)):
            line = traced(62.0, external=T89.at(time_ns, YEAR, 3))
            assert np.sqrt(line.apex_re @ line.apex_re) == pytest.approx(line.radius_re.max(), rel=1e-4)
            assert sign * line.apex_re[0] > 0.9 * line.radius_re.max()
        assert np.isnan(traced(62.0).apex_re).all()

    def test_two_times_in_turn_give_what_each_gives_alone(self) -> None:
        first = [
            traced(60.0, external=T89.at(time_ns, YEAR, 3)).field_T for time_ns in (NOON_NS, MIDNIGHT_NS)
        ]
        second = [
            traced(60.0, external=T89.at(time_ns, YEAR, 3)).field_T for time_ns in (MIDNIGHT_NS, NOON_NS)
        ]
        np.testing.assert_array_equal(first[0], second[1])
        np.testing.assert_array_equal(first[1], second[0])
        assert np.abs(first[0] / first[1] - 1.0).max() > 0.01


def test_lines_that_do_not_close_and_unknown_places_are_none_and_leave_the_others_alone() -> None:
    latitude = np.array([57.2, 88.0, np.nan, 76.0, 57.2])
    longitude = np.array([25.6, 25.6, 25.6, np.nan, 25.6])
    first, cap, *unknown, last = traced_lines(latitude, longitude, YEAR)
    assert cap is None
    assert unknown == [None, None]
    assert first is not None
    assert last is not None
    np.testing.assert_allclose(first.field_T, last.field_T, rtol=1e-12)
    np.testing.assert_allclose(first.field_T, traced(57.2, 25.6).field_T, rtol=1e-9)


def test_line_beyond_ten_radii_closes_in_igrf_and_is_open_in_a_storm() -> None:
    place = np.array([74.5]), np.array([25.0])
    (quiet,) = traced_lines(*place, YEAR)
    assert quiet is not None
    assert quiet.radius_re.max() > 10.0
    for time_ns in (NOON_NS, MIDNIGHT_NS):
        assert traced_lines(*place, YEAR, T89.at(time_ns, YEAR, 7)) == (None,)


def test_foot_on_the_magnetic_equator_has_no_line_above_it() -> None:
    latitude = np.linspace(0.0, 18.0, 10)
    lines = traced_lines(latitude, np.full(10, 80.0), YEAR)
    heights = [-1.0 if line is None else line.radius_re.max() for line in lines]
    # South-east of India the magnetic equator is near 8° N; the nearest of the places may have a low line or none.
    assert min(heights) < 1.03
    assert heights[-1] == max(heights)


def test_no_places_give_no_lines() -> None:
    assert traced_lines(np.zeros(0), np.zeros(0), YEAR) == ()


class TestBadInput:
    def test_latitude_out_of_range_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"latitude must be from -90 to 90 degrees, found 91\.5"):
            traced_lines(np.array([91.5]), np.array([0.0]), YEAR)

    def test_shapes_that_differ_are_named(self) -> None:
        with pytest.raises(ValueError, match=r"found shapes \(2,\), \(1,\)"):
            traced_lines(np.array([10.0, 20.0]), np.array([0.0]), YEAR)

    @pytest.mark.parametrize("height_km", [-1.0, 1000.0, float("nan")])
    def test_height_out_of_range_is_named(self, height_km: float) -> None:
        with pytest.raises(ValueError, match=f"from 0 to 1000 km high, found {height_km}"):
            traced_lines(np.array([10.0]), np.array([0.0]), YEAR, ionosphere_km=height_km)


def test_import_says_nothing_and_leaves_the_part_with_the_network_alone() -> None:
    code = "import sys, monitor.stages.traced_field; sys.exit('geopack.geopack' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
