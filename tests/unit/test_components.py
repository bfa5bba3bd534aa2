"""Horizontal components: the turn to magnetic north."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.science.components import magnetic_north


@pytest.mark.parametrize("declination_deg", [-25.0, 0.0, 8.3, 100.0])
def test_magnetic_north_of_field_along_declination_is_its_length(declination_deg: float) -> None:
    angle = np.deg2rad(declination_deg)
    north = magnetic_north(
        np.array([100.0 * np.cos(angle)]), np.array([100.0 * np.sin(angle)]), declination_deg
    )
    assert north == pytest.approx(100.0)


def test_magnetic_north_of_east_field_rises_with_eastern_declination() -> None:
    assert magnetic_north(np.array([0.0]), np.array([10.0]), 30.0) == pytest.approx(5.0)


def test_magnetic_north_where_one_component_is_missing_is_a_gap() -> None:
    x, y = np.array([1.0, np.nan, 3.0]), np.array([np.nan, 2.0, 4.0])
    north = magnetic_north(x, y, 0.0)
    assert np.isnan(north[:2]).all()
    assert north[2] == pytest.approx(3.0)
