"""What holds for the Sun and the hours of any place and time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.illumination import illumination, mlt_h, pair_position_deg, solar_zenith_deg
from monitor.science.mainfield import FieldLines, field_lines
from monitor.types import Illumination

HOUR_NS = 3_600_000_000_000
FIRST_NS, LAST_NS = 315_532_800 * 10**9, 1_893_456_000 * 10**9
"""1980 to 2030."""

LATITUDES = st.floats(-90.0, 90.0)
LONGITUDES = st.floats(-180.0, 180.0)
TIMES = st.integers(FIRST_NS, LAST_NS)
BETWEEN_CAPS = st.floats(-50.0, 50.0)


def line(latitude: float, longitude: float) -> FieldLines:
    return field_lines(np.array([latitude]), np.array([longitude]), 2020.0)


def apart_h(first: float, second: float) -> float:
    return abs((first - second + 12.0) % 24.0 - 12.0)


@given(LATITUDES, LONGITUDES, TIMES)
def test_zenith_comes_back_after_a_day_but_for_the_season(
    latitude: float, longitude: float, time: int
) -> None:
    """The declination moves by 0.4° a day at most, the equation of time by 30 s."""
    today, tomorrow = (solar_zenith_deg(latitude, longitude, time + day * 24 * HOUR_NS) for day in (0, 1))
    assert 0.0 <= today <= 180.0
    assert abs(today - tomorrow) < 0.55


@given(LATITUDES, LONGITUDES, TIMES, st.integers(-3, 3))
def test_zenith_has_the_period_of_the_circle(
    latitude: float, longitude: float, time: int, turns: int
) -> None:
    same = solar_zenith_deg(latitude, longitude + 360.0 * turns, time)
    assert abs(solar_zenith_deg(latitude, longitude, time) - same) < 1e-5


@given(LATITUDES, LONGITUDES, TIMES)
def test_zenith_and_that_of_the_antipode_make_a_half_turn(
    latitude: float, longitude: float, time: int
) -> None:
    both = solar_zenith_deg(latitude, longitude, time) + solar_zenith_deg(-latitude, longitude + 180.0, time)
    assert abs(both - 180.0) < 1e-5


@given(LATITUDES, LONGITUDES, TIMES)
def test_hour_of_time_is_fifteen_degrees_of_longitude(latitude: float, longitude: float, time: int) -> None:
    later = solar_zenith_deg(latitude, longitude - 15.0, time + HOUR_NS)
    assert abs(solar_zenith_deg(latitude, longitude, time) - later) < 0.025


@settings(max_examples=40)
@given(BETWEEN_CAPS, LONGITUDES, TIMES)
def test_magnetic_hour_comes_back_after_a_day(latitude: float, longitude: float, time: int) -> None:
    """The equation of time and the tilt of the dipole move noon by less than a minute and a half a day."""
    lines = line(latitude, longitude)
    today, tomorrow = (float(mlt_h(lines, time + day * 24 * HOUR_NS)[0]) for day in (0, 1))
    assert 0.0 <= today < 24.0
    assert apart_h(today, tomorrow) < 0.025


@settings(max_examples=40)
@given(BETWEEN_CAPS, LONGITUDES, TIMES)
def test_magnetic_hours_run_forward(latitude: float, longitude: float, time: int) -> None:
    """The dipole's meridians are tilted against the Sun's path: an hour of time is 0.8 to 1.2 magnetic hours."""
    lines = line(latitude, longitude)
    now, then = (float(mlt_h(lines, time + hours * HOUR_NS)[0]) for hours in (0, 1))
    assert 0.75 < (then - now) % 24.0 < 1.25


@settings(max_examples=40)
@given(BETWEEN_CAPS, LONGITUDES, TIMES)
def test_class_is_that_of_the_line_from_either_end(latitude: float, longitude: float, time: int) -> None:
    lines = line(latitude, longitude)
    turned = FieldLines(
        lines.year,
        lines.conjugate_latitude_deg,
        lines.conjugate_longitude_deg,
        lines.latitude_deg,
        lines.longitude_deg,
        lines.magnetic_longitude_deg,
    )
    (found,) = illumination(lines, time)
    assert found in set(Illumination)
    assert illumination(turned, time)[0] == found


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_middle_of_a_pair_is_the_same_from_either_side(a: float, b: float, c: float, d: float) -> None:
    there = pair_position_deg(np.array([[a, c]]), np.array([[b, d]]))
    back = pair_position_deg(np.array([[c, a]]), np.array([[d, b]]))
    np.testing.assert_allclose(there[0], back[0], atol=1e-9)
    np.testing.assert_allclose(there[1], back[1], atol=1e-9)
