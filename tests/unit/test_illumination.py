"""The Sun, sunlit ends of field lines, and magnetic local time, against almanac values and published hours."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.science.illumination import (
    SUNLIT_ZENITH_DEG,
    illumination,
    mlt_h,
    pair_position_deg,
    solar_zenith_deg,
    subsolar_point_deg,
)
from monitor.science.mainfield import FOOT_HEIGHT_KM, FieldLines, field_lines
from monitor.types import FloatArray, Illumination, IntArray

HOUR_NS = 3_600_000_000_000
TARTU_BIRZAI = (57.22, 25.64)


def at(text: str) -> int:
    """Nanoseconds of an ISO time in UTC."""
    return int(np.datetime64(text, "ns").astype(np.int64))


def half_hours(first: str, days: int) -> IntArray:
    return at(first) + np.arange(48 * days, dtype=np.int64) * (HOUR_NS // 2)


def lines_at(*places: tuple[float, float], year: float = 2025.5, degree: int = 5) -> FieldLines:
    latitude, longitude = np.array(places, dtype=np.float64).T
    return field_lines(latitude, longitude, year, degree)


def equation_of_time_s(time_ns: int) -> float:
    """Apparent minus mean solar time, from the meridian under the Sun."""
    _, longitude = subsolar_point_deg(time_ns)
    mean_deg = 180.0 - 360.0 * (time_ns % (24 * HOUR_NS)) / (24 * HOUR_NS)
    return float(np.remainder(mean_deg - longitude + 180.0, 360.0) - 180.0) * 240.0


def meeus_subsolar_deg(time_ns: int) -> tuple[float, float]:
    """Meeus, Astronomical Algorithms, chapters 12, 22 and 25 (0.01°): other polynomials than the module's."""
    t = (time_ns / (24 * HOUR_NS) - 10957.5) / 36525.0
    mean = math.radians(357.52911 + t * (35999.05029 - 0.0001537 * t))
    longitude = 280.46646 + t * (36000.76983 + 0.0003032 * t)
    longitude += (1.914602 - t * (0.004817 + 0.000014 * t)) * math.sin(mean)
    longitude += (0.019993 - 0.000101 * t) * math.sin(2 * mean) + 0.000289 * math.sin(3 * mean)
    node = math.radians(125.04 - 1934.136 * t)
    apparent = math.radians(longitude - 0.00569 - 0.00478 * math.sin(node))
    obliquity = math.radians(23.4392911 - 0.0130042 * t + 0.00256 * math.cos(node))
    ascension = math.degrees(math.atan2(math.cos(obliquity) * math.sin(apparent), math.cos(apparent)))
    sidereal = 280.46061837 + 360.98564736629 * 36525.0 * t + 0.000387933 * t * t
    sidereal -= 0.00478 * math.sin(node) * math.cos(obliquity)
    declination = math.degrees(math.asin(math.sin(obliquity) * math.sin(apparent)))
    return declination, (ascension - sidereal + 180.0) % 360.0 - 180.0


class TestSun:
    def test_position_agrees_with_meeus_over_sixty_years(self) -> None:
        times = np.random.default_rng(5).integers(at("1980-01-01"), at("2040-01-01"), 3000)
        latitude, longitude = subsolar_point_deg(times)
        expected = np.array([meeus_subsolar_deg(int(time)) for time in times])
        assert np.abs(latitude - expected[:, 0]).max() < 0.005
        assert np.abs(np.remainder(longitude - expected[:, 1] + 180.0, 360.0) - 180.0).max() < 0.005

    def test_position_of_the_worked_example_of_meeus(self) -> None:
        """Examples 25.a and 28.b: 1992 October 13.0 TD, declination −7.78507°, equation of time +13 min 42.6 s."""
        latitude, _ = subsolar_point_deg(at("1992-10-12T23:59:01"))
        assert float(latitude) == pytest.approx(-7.78507, abs=0.01)
        assert equation_of_time_s(at("1992-10-12T23:59:01")) == pytest.approx(13 * 60 + 42.6, abs=3.0)

    def test_zenith_of_the_worked_example_of_nrel(self) -> None:
        """Reda and Andreas (2008), doi:10.2172/15003974: elevation without refraction 39.872046°, parallax included."""
        zenith = solar_zenith_deg(39.742476, -105.1786, at("2003-10-17T19:30:30"))
        assert float(zenith) == pytest.approx(90.0 - 39.872046, abs=0.01)

    @pytest.mark.parametrize(
        ("time", "declination_deg"),
        [
            ("2024-03-20T03:06", 0.0),
            ("2024-06-20T20:51", 23.44),
            ("2024-09-22T12:44", 0.0),
            ("2024-12-21T09:20", -23.44),
        ],
    )
    def test_declination_at_the_published_equinoxes_and_solstices(
        self, time: str, declination_deg: float
    ) -> None:
        assert float(subsolar_point_deg(at(time))[0]) == pytest.approx(declination_deg, abs=0.01)

    def test_equation_of_time_has_its_known_extremes(self) -> None:
        """−14.2 min about 11 February and +16.4 min about 3 November."""
        days = [at("2025-01-01T12:00") + day * 24 * HOUR_NS for day in range(365)]
        minutes = np.array([equation_of_time_s(day) / 60.0 for day in days])
        assert minutes.min() == pytest.approx(-14.2, abs=0.1)
        assert minutes.max() == pytest.approx(16.45, abs=0.1)
        assert abs(int(minutes.argmin()) - 41) <= 2
        assert abs(int(minutes.argmax()) - 306) <= 2

    def test_sunrise_noon_and_sunset_at_greenwich_on_the_solstice(self) -> None:
        """Published: 20 June 2024, sunrise 03:43, noon 12:02, sunset 20:21 UTC; the upper limb, refracted, is 90.833°."""
        minutes = at("2024-06-20") + np.arange(1440, dtype=np.int64) * (HOUR_NS // 60)
        zenith = solar_zenith_deg(51.4779, 0.0, minutes)
        up = np.flatnonzero(zenith < 90.833)
        assert abs(int(up[0]) - (3 * 60 + 43)) <= 1
        assert abs(int(up[-1]) - (20 * 60 + 21)) <= 1
        assert abs(int(zenith.argmin()) - (12 * 60 + 2)) <= 1

    @pytest.mark.parametrize("pole_deg", [90.0, -90.0])
    def test_zenith_at_a_pole_is_that_of_the_declination_all_day(self, pole_deg: float) -> None:
        times = half_hours("2025-06-21", 1)
        declination, _ = subsolar_point_deg(times)
        expected = 90.0 - math.copysign(1.0, pole_deg) * declination
        np.testing.assert_allclose(solar_zenith_deg(pole_deg, 12.3, times), expected, atol=1e-9)

    def test_hemispheres_mirror_each_other_at_an_equinox(self) -> None:
        time = at("2024-03-20T03:06")
        north = solar_zenith_deg(np.array([20.0, 57.0, 80.0]), 25.0, time)
        np.testing.assert_allclose(
            north, solar_zenith_deg(np.array([-20.0, -57.0, -80.0]), 25.0, time), atol=0.01
        )

    def test_antimeridian_is_one_meridian(self) -> None:
        times = half_hours("2025-02-03", 1)
        np.testing.assert_allclose(
            solar_zenith_deg(52.0, 180.0, times), solar_zenith_deg(52.0, -180.0, times), atol=1e-9
        )

    def test_places_and_times_broadcast(self) -> None:
        times = half_hours("2025-02-03", 1)
        zenith = solar_zenith_deg(np.array([10.0, 60.0, np.nan]), np.array([0.0, 25.0, 3.0]), times[:, None])
        assert zenith.shape == (48, 3)
        assert zenith[5, 1] == solar_zenith_deg(60.0, 25.0, int(times[5]))
        assert np.isnan(zenith[:, 2]).all()


class TestIllumination:
    def test_limit_is_the_horizon_of_the_ionosphere(self) -> None:
        dip = math.degrees(math.acos(6371.2 / (6371.2 + FOOT_HEIGHT_KM)))
        assert pytest.approx(90.0 + dip, abs=0.05) == SUNLIT_ZENITH_DEG

    @pytest.mark.parametrize(
        ("time", "expected"),
        [
            ("2025-03-20T10:00", Illumination.DAY),
            ("2025-06-21T22:00", Illumination.PENUMBRA),
            ("2025-12-21T22:00", Illumination.NIGHT),
            ("2025-12-21T02:00", Illumination.PENUMBRA),
        ],
    )
    def test_known_hours_of_tartu_and_birzai(self, time: str, expected: Illumination) -> None:
        """In June its own sky is never dark at 110 km; in December the far foot sees the Sun first."""
        assert illumination(lines_at(TARTU_BIRZAI), at(time)).tolist() == [expected]

    def test_foot_is_sunlit_at_noon_of_a_polar_night_that_the_ground_calls_dark(self) -> None:
        times = half_hours("2025-12-21", 1)
        kevo, ny_alesund = (
            solar_zenith_deg(*place, times).min() for place in ((69.76, 27.01), (78.92, 11.93))
        )
        assert 90.833 < kevo < SUNLIT_ZENITH_DEG < ny_alesund

    def test_class_counts_the_sunlit_ends(self) -> None:
        """Ends put by hand at the subsolar point, its antipode, and either side of the limit."""
        time = at("2025-03-20T12:00")
        latitude, longitude = (float(angle) for angle in subsolar_point_deg(time))
        ends = [(0.0, Illumination.DAY), (100.5, Illumination.DAY), (100.7, Illumination.PENUMBRA)]
        near = np.full(3, latitude)
        far_longitude = longitude + np.array([angle for angle, _ in ends])
        lines = FieldLines(2025.0, near, np.full(3, longitude), np.zeros(3), far_longitude, near)
        assert illumination(lines, time).tolist() == [name for _, name in ends]
        dark = FieldLines(2025.0, -near, np.full(3, longitude + 180.0), np.zeros(3), far_longitude, near)
        assert illumination(dark, time).tolist() == [
            Illumination.PENUMBRA,
            Illumination.PENUMBRA,
            Illumination.NIGHT,
        ]

    def test_unknown_ends_are_none(self) -> None:
        lines = lines_at((np.nan, 25.0), TARTU_BIRZAI, (58.0, np.nan), (90.0, 0.0))
        found = illumination(lines, half_hours("2025-03-20", 1)[:, None])
        assert found.shape == (48, 4)
        assert [(column == None).all() for column in found.T] == [True, False, True, True]  # noqa: E711

    def test_year_of_a_pair_holds_every_class_in_either_hemisphere(self) -> None:
        lines = lines_at(TARTU_BIRZAI, (-47.0, 44.0))
        found = illumination(lines, half_hours("2025-01-01", 365)[:, None])
        share = {name: (found == name).mean(axis=0) for name in Illumination}
        for column in range(2):
            assert 0.4 < share[Illumination.DAY][column] < 0.55
            assert 0.2 < share[Illumination.PENUMBRA][column] < 0.35
            assert 0.15 < share[Illumination.NIGHT][column] < 0.3


class TestMagneticLocalTime:
    def test_noon_is_under_the_sun_and_midnight_behind_the_earth(self) -> None:
        """At the dipole's own equator its line stays on the meridian of its feet, in any season."""
        for time in half_hours("2025-06-21", 1)[::7]:
            latitude, longitude = (float(angle) for angle in subsolar_point_deg(int(time)))
            lines = lines_at((latitude, longitude), (-latitude, longitude + 180.0), degree=1)
            noon, midnight = mlt_h(lines, int(time))
            assert noon == pytest.approx(12.0, abs=0.01)
            assert min(midnight, 24.0 - midnight) == pytest.approx(0.0, abs=0.01)

    def test_hour_is_fifteen_degrees_and_runs_from_0_to_24(self) -> None:
        longitude = np.linspace(-180.0, 180.0, 4801)
        zero = np.zeros_like(longitude)
        hours = mlt_h(FieldLines(2025.0, zero, zero, zero, zero, longitude), at("2025-05-05T05:05"))
        assert hours.min() >= 0.0
        assert hours.max() < 24.0
        steps = np.remainder(np.diff(hours) + 12.0, 24.0) - 12.0
        np.testing.assert_allclose(steps, 360.0 / 4800 / 15.0, atol=1e-9)

    def test_agrees_with_the_example_in_the_manual_of_apexpy(self) -> None:
        """Its noon follows the Sun's apex longitude 50 Earth radii out instead of the dipole's: within a minute."""
        zero = np.zeros(1)
        lines = FieldLines(2015.1, zero, zero, zero, zero, np.array([120.0]))
        assert mlt_h(lines, at("2015-02-10T18:00"))[0] == pytest.approx(20.8933, abs=1.0 / 60.0)

    @pytest.mark.parametrize(
        ("place", "offset_h"), [((66.19, 342.07), -0.07), ((64.67, 338.98), -0.31), ((64.10, 338.30), -0.33)]
    )
    def test_agrees_with_the_hours_published_for_iceland(
        self, place: tuple[float, float], offset_h: float
    ) -> None:
        """Tjörnes, Húsafell and Leirvogur: MLT − UT of 2003 in the notes to NIPR's data, within two minutes."""
        assert mean_offset_h(lines_at(place, year=2003.9), "2003-01-01")[0] == pytest.approx(
            offset_h, abs=0.033
        )

    def test_tartu_and_birzai_are_two_hours_ahead_of_universal_time(self) -> None:
        mean, least, most = mean_offset_h(lines_at(TARTU_BIRZAI), "2025-01-01")
        assert mean == pytest.approx(1.86, abs=0.03)
        assert least > 1.35
        assert most < 2.45

    def test_dipole_alone_would_put_scandinavia_almost_an_hour_ahead(self) -> None:
        time = at("2025-03-20T12:00")
        full, dipole = (mlt_h(lines_at((68.02, 23.53), degree=degree), time)[0] for degree in (5, 1))
        assert dipole - full == pytest.approx(0.92, abs=0.03)

    def test_unknown_line_has_no_hour(self) -> None:
        assert np.isnan(mlt_h(lines_at((np.nan, 20.0)), at("2025-03-20T12:00"))).all()


def mean_offset_h(lines: FieldLines, first: str) -> tuple[float, float, float]:
    """Mean, least and largest MLT − UT of the only line over a year."""
    times = half_hours(first, 365)
    universal = times % (24 * HOUR_NS) / HOUR_NS
    difference: FloatArray = np.remainder(mlt_h(lines, times) - universal + 12.0, 24.0) - 12.0
    return float(difference.mean()), float(difference.min()), float(difference.max())


class TestPairPosition:
    def test_middle_lies_between_the_stations(self) -> None:
        latitude, longitude = pair_position_deg(np.array([[58.26, 56.17]]), np.array([[26.46, 24.86]]))
        assert latitude[0] == pytest.approx(57.219, abs=0.005)
        assert longitude[0] == pytest.approx(25.637, abs=0.01)

    def test_middle_crosses_the_antimeridian_and_the_pole(self) -> None:
        latitude, longitude = pair_position_deg(
            np.array([[60.0, 60.0], [80.0, 80.0], [-10.0, 10.0]]),
            np.array([[179.0, -179.0], [0.0, 180.0], [20.0, 20.0]]),
        )
        assert abs(longitude[0]) == pytest.approx(180.0)
        np.testing.assert_allclose(latitude, [60.004, 90.0, 0.0], atol=0.003)

    def test_unknown_station_and_antipodes_have_no_middle(self) -> None:
        latitude, longitude = pair_position_deg(
            np.array([[58.0, np.nan], [30.0, -30.0]]), np.array([[26.0, 24.0], [10.0, -170.0]])
        )
        assert np.isnan(latitude).all()
        assert np.isnan(longitude).all()
