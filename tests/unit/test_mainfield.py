"""The main field and its lines, against an independent expansion, exact dipoles and published conjugate points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import lpmv

from monitor.science import igrf14
from monitor.science.mainfield import (
    DEGREE,
    FOOT_HEIGHT_KM,
    WHOLE_DEGREE,
    dipole_longitude_deg,
    dipole_pole,
    field_lines,
    main_field_nT,
)
from monitor.types import FloatArray


def potential(position: FloatArray, year: float, degree: int) -> FloatArray:
    """V / a (nT) by Legendre functions of the colatitude, from the printed coefficients."""
    x, y, z = position.T
    radius = np.sqrt((position**2).sum(axis=1))
    longitude = np.arctan2(y, x)
    total = np.zeros(len(position))
    for kind, n, m, values in igrf14.COEFFICIENTS:
        if n > degree:
            continue
        schmidt = (-1) ** m * math.sqrt((2 if m else 1) * math.factorial(n - m) / math.factorial(n + m))
        wave = np.cos(m * longitude) if kind == "g" else np.sin(m * longitude)
        value = np.interp(year, igrf14.YEARS, values)
        total += value * radius ** -(n + 1.0) * schmidt * lpmv(m, n, z / radius) * wave
    return total


def distance_deg(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Great-circle distance of two places (latitude, longitude)."""
    units = []
    for latitude, longitude in (first, second):
        a, b = math.radians(latitude), math.radians(longitude)
        units.append(np.array([math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)]))
    return math.degrees(2.0 * math.asin(min(1.0, float(np.linalg.norm(units[0] - units[1])) / 2.0)))


def conjugate(place: tuple[float, float], year: float, degree: int = DEGREE) -> tuple[float, float]:
    lines = field_lines(np.array([place[0]]), np.array([place[1]]), year, degree)
    return float(lines.conjugate_latitude_deg[0]), float(lines.conjugate_longitude_deg[0])


def foot_position(latitude_deg: FloatArray, longitude_deg: FloatArray) -> FloatArray:
    """WGS84 position (km) at foot height, by the textbook's prime vertical."""
    a, flattening = 6378.137, 1.0 / 298.257223563
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    square = flattening * (2.0 - flattening)
    prime = a / np.sqrt(1.0 - square * np.sin(latitude) ** 2)
    across = (prime + FOOT_HEIGHT_KM) * np.cos(latitude)
    return np.stack(
        [
            across * np.cos(longitude),
            across * np.sin(longitude),
            (prime * (1.0 - square) + FOOT_HEIGHT_KM) * np.sin(latitude),
        ],
        axis=1,
    )


def places(count: int, widest_deg: float, seed: int = 7) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-widest_deg, widest_deg, count), rng.uniform(-180.0, 180.0, count)


@pytest.mark.parametrize("degree", [DEGREE, WHOLE_DEGREE])
@pytest.mark.parametrize("year", [1985.0, 2003.4, 2017.7, 2028.0])
def test_field_is_the_gradient_of_the_potential_of_its_coefficients(year: float, degree: int) -> None:
    rng = np.random.default_rng(3)
    position = rng.normal(size=(60, 3))
    position *= (rng.uniform(1.0, 6.0, 60) / np.linalg.norm(position, axis=1))[:, None]
    field, step = main_field_nT(position, year, degree), 1e-4
    for axis in range(3):
        shift = step * np.eye(3)[axis]
        rise = potential(position + shift, year, degree) - potential(position - shift, year, degree)
        np.testing.assert_allclose(field[:, axis], -rise / (2.0 * step), atol=0.02)


def test_field_at_the_geographic_pole_is_finite_and_points_down() -> None:
    field = main_field_nT(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]), 2020.0)
    assert field[0, 2] == pytest.approx(-57_000.0, rel=0.03)
    assert field[1, 2] == pytest.approx(-52_000.0, rel=0.05)


@pytest.mark.parametrize(
    ("year", "latitude_deg", "longitude_deg"), [(1980.0, 78.88, -70.76), (2020.0, 80.65, -72.68)]
)
def test_dipole_pole_is_the_published_one(year: float, latitude_deg: float, longitude_deg: float) -> None:
    """Alken et al. (2021), doi:10.1186/s40623-020-01288-x, table 4: geodetic latitudes."""
    x, y, z = dipole_pole(year)
    geodetic = math.degrees(math.atan2(z, math.hypot(x, y) * (1.0 - 1.0 / 298.257223563) ** 2))
    assert geodetic == pytest.approx(latitude_deg, abs=0.01)
    assert math.degrees(math.atan2(y, x)) == pytest.approx(longitude_deg, abs=0.01)


def test_dipole_longitude_begins_opposite_the_geographic_pole_and_runs_east() -> None:
    pole = dipole_pole(2025.0)
    south = np.array([0.0, 0.0, -1.0])
    east = np.cross(pole, south - (south @ pole) * pole)
    np.testing.assert_allclose(
        dipole_longitude_deg(np.stack([south, east, 3.0 * east + pole]), 2025.0), [0.0, 90.0, 90.0], atol=1e-9
    )


class TestDipole:
    def test_both_feet_lie_on_one_shell_and_one_meridian(self) -> None:
        """r / cos² of magnetic latitude, and magnetic longitude, are constant along a dipole's line."""
        lines = field_lines(*places(300, 62.0), 2025.0, degree=1)
        pole = dipole_pole(2025.0)
        shells, longitudes = [], []
        for foot in (
            foot_position(lines.latitude_deg, lines.longitude_deg),
            foot_position(lines.conjugate_latitude_deg, lines.conjugate_longitude_deg),
        ):
            radius = np.linalg.norm(foot, axis=1)
            shells.append(radius / (1.0 - (foot @ pole / radius) ** 2))
            longitudes.append(dipole_longitude_deg(foot, 2025.0))
        np.testing.assert_allclose(shells[0], shells[1], rtol=5e-4)
        np.testing.assert_allclose(
            np.remainder(longitudes[0] - longitudes[1] + 180.0, 360.0), 180.0, atol=0.01
        )
        np.testing.assert_allclose(
            np.remainder(longitudes[0] - lines.magnetic_longitude_deg + 180.0, 360.0), 180.0, atol=0.01
        )

    def test_far_foot_is_the_mirror_image_in_the_dipoles_equator(self) -> None:
        """On a sphere exactly; the flattening of the Earth moves it by less than 0.3°."""
        pole = dipole_pole(2025.0)
        for place in [(65.0, 25.0), (50.0, -80.0), (-45.0, 170.0), (35.0, 140.0)]:
            (near,) = foot_position(np.array([place[0]]), np.array([place[1]]))
            mirrored = near - 2.0 * (near @ pole) * pole
            (found,) = foot_position(*(np.array([angle]) for angle in conjugate(place, 2025.0, degree=1)))
            cosine = mirrored @ found / np.linalg.norm(mirrored) / np.linalg.norm(found)
            assert math.degrees(math.acos(min(1.0, cosine))) < 0.3


class TestLines:
    def test_conjugate_of_the_conjugate_is_the_place_itself(self) -> None:
        there = field_lines(*places(300, 65.0), 2025.0)
        known = np.isfinite(there.conjugate_latitude_deg)
        assert known.mean() > 0.95
        back = field_lines(there.conjugate_latitude_deg[known], there.conjugate_longitude_deg[known], 2025.0)
        begin = foot_position(there.latitude_deg[known], there.longitude_deg[known])
        end = foot_position(back.conjugate_latitude_deg, back.conjugate_longitude_deg)
        apart_deg = np.degrees(np.linalg.norm(begin - end, axis=1) / 6481.2)
        magnetic_deg = np.abs(there.latitude_deg - there.conjugate_latitude_deg)[known] / 2.0
        assert apart_deg[magnetic_deg > 15.0].max() < 0.01
        # Lines that graze the ionosphere near the magnetic equator are shorter than a step.
        assert apart_deg.max() < 0.2
        turned = np.remainder(
            back.magnetic_longitude_deg - there.magnetic_longitude_deg[known] + 180.0, 360.0
        )
        assert np.abs(turned - 180.0).max() < 0.05

    @pytest.mark.parametrize(
        ("place", "year", "expected"),
        [
            ((58.26, 26.46), 2025.0, (-49.35, 47.81)),
            ((68.02, 23.53), 2025.0, (-60.14, 60.84)),
            ((51.45, 23.13), 2025.0, (-40.93, 36.39)),
        ],
    )
    def test_far_foot_is_that_of_the_whole_field(
        self, place: tuple[float, float], year: float, expected: tuple[float, float]
    ) -> None:
        """IGRF-14 to degree 13, traced by another program with steps of 0.02 (decision 10)."""
        assert distance_deg(conjugate(place, year), expected) < 0.25

    def test_line_of_syowa_ends_in_iceland_and_reached_tjornes_about_2000(self) -> None:
        """Ono (1987): from the south-west of Iceland to its middle north between 1960 and 1990."""
        syowa, tjornes = (-69.0, 39.58), (66.20, -17.12)
        path = [conjugate(syowa, year) for year in (1980.0, 1990.0, 2000.0)]
        assert all(64.0 < latitude < 66.6 and -24.0 < longitude < -14.0 for latitude, longitude in path)
        assert path[0][0] < path[1][0] < path[2][0]
        assert distance_deg(path[2], tjornes) < 0.5

    def test_great_whale_river_and_byrd_are_conjugate(self) -> None:
        """The pair of IAGA's resolution 9 of 1969; the field has moved since, and the table begins in 1980."""
        great_whale_river, byrd = (55.27, -77.78), (-80.02, -119.53)
        assert distance_deg(conjugate(great_whale_river, 1980.0), byrd) < 3.0
        assert distance_deg(conjugate(byrd, 1980.0), great_whale_river) < 3.0

    def test_antimeridian_is_one_meridian(self) -> None:
        lines = field_lines(np.array([55.0, 55.0]), np.array([180.0, -180.0]), 2025.0)
        assert lines.conjugate_latitude_deg[0] == pytest.approx(lines.conjugate_latitude_deg[1], abs=1e-9)
        assert lines.conjugate_longitude_deg[0] == pytest.approx(lines.conjugate_longitude_deg[1], abs=1e-9)

    def test_line_depends_on_no_other_line_of_the_batch(self) -> None:
        latitude, longitude = places(40, 65.0)
        together = field_lines(latitude, longitude, 2025.0)
        for row in (0, 17, 39):
            alone = field_lines(latitude[row : row + 1], longitude[row : row + 1], 2025.0)
            for name in ("conjugate_latitude_deg", "conjugate_longitude_deg", "magnetic_longitude_deg"):
                np.testing.assert_allclose(getattr(alone, name)[0], getattr(together, name)[row], atol=1e-9)

    def test_lines_over_the_polar_caps_and_of_unknown_places_are_unknown(self) -> None:
        lines = field_lines(
            np.array([90.0, 85.0, np.nan, 60.0, 60.0]), np.array([0.0, -80.0, 20.0, np.nan, 25.0]), 2025.0
        )
        expected = [True, True, True, True, False]
        assert np.isnan(lines.conjugate_latitude_deg).tolist() == expected
        assert np.isnan(lines.conjugate_longitude_deg).tolist() == expected
        assert np.isnan(lines.magnetic_longitude_deg).tolist() == expected

    def test_no_places_have_no_lines(self) -> None:
        assert field_lines(np.array([]), np.array([]), 2025.0).magnetic_longitude_deg.size == 0

    def test_field_is_held_beyond_the_years_of_the_table(self) -> None:
        assert conjugate((58.0, 26.0), 2040.0) == conjugate((58.0, 26.0), 2030.0)
        assert conjugate((58.0, 26.0), 1970.0) == conjugate((58.0, 26.0), 1980.0)
        assert conjugate((58.0, 26.0), 2020.0) != conjugate((58.0, 26.0), 2025.0)


class TestBadInput:
    def test_latitude_beyond_the_pole_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"latitude must be from -90 to 90 degrees, found 91\.5"):
            field_lines(np.array([10.0, 91.5]), np.array([0.0, 0.0]), 2025.0)

    def test_infinite_longitude_is_named(self) -> None:
        with pytest.raises(ValueError, match="longitude must be finite, found inf"):
            field_lines(np.array([10.0]), np.array([np.inf]), 2025.0)

    def test_shapes_that_differ_are_named(self) -> None:
        with pytest.raises(ValueError, match=r"found shapes \(2,\), \(1,\)"):
            field_lines(np.array([10.0, 20.0]), np.array([0.0]), 2025.0)

    def test_year_that_is_no_number_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"year must be a number such as 2017\.7, found nan"):
            field_lines(np.array([10.0]), np.array([0.0]), float("nan"))

    @pytest.mark.parametrize("degree", [0, 14])
    def test_degree_beyond_the_table_is_named(self, degree: int) -> None:
        with pytest.raises(ValueError, match=f"degree must be from 1 to 13, found {degree}"):
            field_lines(np.array([10.0]), np.array([0.0]), 2025.0, degree)
