"""Waves of field lines, against exact solutions, shooting, scipy's boundary value solver and the tables of the field."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, optimize

from monitor.science.fieldline import (
    AMU_KG,
    EARTH_RADIUS_M,
    HARMONICS,
    MU_0,
    TracedLine,
    dipole_modes,
    dipole_unit_frequency_Hz,
    dipole_wave_constant,
    equatorial_field_T,
    traced_unit_frequency_Hz,
)
from monitor.science.standing_waves import nodes, standing_waves, wave_numbers
from monitor.science.synthetic.plasma import wave_constants
from monitor.types import FloatArray, LineEnds

YEAR = 2017.5
FIXED, MIXED, FREE = LineEnds.FIXED, LineEnds.MIXED, LineEnds.FREE


def end_of(l_shell: float, ionosphere_km: float = 0.0) -> float:
    return math.sqrt(1.0 - (1.0 + ionosphere_km / 6371.2) / l_shell)


def by_shooting(
    stiffness: Callable[[float], float],
    weight: Callable[[float], float],
    begin: float,
    end: float,
    ends: LineEnds,
    near: float,
) -> float:
    """The k next to `near` at which (p e')' + k² w e = 0 meets both ends, by Runge–Kutta of eighth order."""
    start = [1.0, 0.0] if ends is FREE else [0.0, 1.0]

    def missed(k: float) -> float:
        reached = integrate.solve_ivp(
            lambda x, y: [y[1] / stiffness(x), -(k**2) * weight(x) * y[0]],
            (begin, end),
            start,
            method="DOP853",
            rtol=1e-11,
            atol=1e-13,
        ).y[:, -1]
        return float(reached[0 if ends is FIXED else 1])

    return float(optimize.brentq(missed, 0.99 * near, 1.01 * near, xtol=1e-12 * near, rtol=1e-12))


# -- exact solutions and independent ones ----------------------------------------------------------------------


@pytest.mark.parametrize("l_shell", [1.25, 2.0, 2.9, 6.6, 19.0])
def test_waves_for_m_6_are_those_of_an_even_string(l_shell: float) -> None:
    end, order = end_of(l_shell, 110.0), np.arange(1, HARMONICS + 1)
    for ends, number in ((FIXED, order), (MIXED, order - 0.5), (FREE, order)):
        exact = number * math.pi / (2.0 * end)
        direct = dipole_modes(l_shell, 6.0, count=HARMONICS, ends=ends).wave_number
        np.testing.assert_allclose(direct, exact, rtol=1e-10)
        for harmonic in order.tolist():
            tabulated = dipole_wave_constant(np.array([l_shell]), 6.0, harmonic=harmonic, ends=ends)
            limit = 1e-10 if ends is FIXED else 1e-8
            assert tabulated[0] == pytest.approx(exact[harmonic - 1], rel=limit)


@pytest.mark.parametrize(("frequency_mHz", "density"), [(20.0, 705), (25.0, 451), (30.0, 313), (35.0, 230)])
def test_densities_at_l_2_9_are_those_of_the_table(frequency_mHz: float, density: int) -> None:
    constant = float(dipole_wave_constant(np.array([2.9]), 1.0, ionosphere_km=0.0)[0])
    assert constant == pytest.approx(2.2897, abs=5e-5)
    alfven_m_s = 2.0 * math.pi * frequency_mHz * 1e-3 * 2.9 * EARTH_RADIUS_M / constant
    found = (30.0e-6 / 2.9**3 / alfven_m_s) ** 2 / (MU_0 * AMU_KG * 1e6)
    # The table has whole numbers.
    assert found == pytest.approx(density, rel=1e-3, abs=0.5)


def test_other_ends_are_off_by_the_factors_that_are_told() -> None:
    at = np.array([2.9])
    fixed, mixed, free = (dipole_wave_constant(at, 1.0, ends=ends)[0] for ends in (FIXED, MIXED, FREE))
    assert (fixed / mixed) ** 2 == pytest.approx(2.6, abs=0.1)
    assert (free / fixed) ** 2 == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("ends", LineEnds)
@pytest.mark.parametrize(("l_shell", "index"), [(1.3, 3.0), (5.4, 0.0), (10.0, 4.0)])
def test_waves_agree_with_shooting(l_shell: float, index: float, ends: LineEnds) -> None:
    end = end_of(l_shell, 110.0)
    found = dipole_modes(l_shell, index, ends=ends).wave_number
    for near in found.tolist():
        shot = by_shooting(lambda _: 1.0, lambda z: (1 - z * z) ** (6 - index), -end, end, ends, near)
        assert near == pytest.approx(shot, rel=1e-9)


def test_fundamental_agrees_with_the_boundary_value_solver_of_scipy() -> None:
    end = end_of(2.9, 110.0)
    found = integrate.solve_bvp(
        lambda z, y, k: np.vstack([y[1], -(k[0] ** 2) * (1 - z**2) ** 5 * y[0]]),
        lambda left, right, _: np.array([left[0], right[0], left[1] - 1.0]),
        np.linspace(-end, end, 41),
        np.vstack([np.cos(np.linspace(-1, 1, 41) * math.pi / 2), np.zeros(41)]),
        p=[2.2],
        tol=1e-9,
        max_nodes=20_000,
    )
    assert found.success
    assert dipole_modes(2.9, 1.0, count=1).wave_number[0] == pytest.approx(found.p[0], rel=1e-8)


@pytest.mark.parametrize("ends", LineEnds)
def test_modes_are_orthogonal_and_keep_their_ends(ends: LineEnds) -> None:
    """Under a quadrature that the solver does not use."""
    waves = dipole_modes(4.0, 1.0, count=5, ends=ends)
    place, share = np.polynomial.legendre.leggauss(333)
    field = waves.electric_field(place)
    weight = share * (1.0 - (end_of(4.0, 110.0) * place) ** 2) ** 5
    np.testing.assert_allclose((field * weight) @ field.T, np.eye(5), atol=1e-12)
    at_ends = waves.electric_field(np.array([-1.0, -1.0 + 1e-6, 1.0 - 1e-6, 1.0]))
    slope = (at_ends[:, 1] - at_ends[:, 0]) * 1e6, (at_ends[:, 3] - at_ends[:, 2]) * 1e6
    for side, free in ((0, ends is FREE), (-1, ends is not FIXED)):
        largest = np.abs(slope[side]).max() if free else np.abs(at_ends[:, side]).max()
        assert largest < (1e-3 if free else 1e-12)
    assert ((at_ends[:, 0] if ends is FREE else slope[0]) > 0.0).all()


def test_free_string_has_no_mode_that_moves_as_a_whole() -> None:
    numbers = wave_numbers(np.ones((1, nodes().size)), 4, FREE)[0]
    np.testing.assert_allclose(numbers, np.arange(1, 5) * math.pi / 2, rtol=1e-12)
    moved = standing_waves(np.ones(nodes().size), 2, FREE).electric_field(nodes())
    np.testing.assert_allclose(moved[0], np.cos(math.pi / 2 * (nodes() + 1.0)), atol=1e-12)


# -- the table -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", LineEnds)
def test_table_agrees_with_direct_solutions(ends: LineEnds) -> None:
    rng = np.random.default_rng(4)
    l_shell = np.exp(rng.uniform(math.log(1.2), math.log(20.0), 60))
    index = rng.uniform(-2.0, 8.0, 60)
    l_shell[:4], index[:4] = [1.2, 20.0, 1.2, 20.0], [-2.0, 8.0, 8.0, -2.0]
    for height_km in (0.0, 110.0, 1000.0):
        direct = np.array(
            [
                dipole_modes(one, m, count=HARMONICS, ends=ends, ionosphere_km=height_km).wave_number
                for one, m in zip(l_shell, index, strict=True)
            ]
        )
        for harmonic in range(1, HARMONICS + 1):
            found = dipole_wave_constant(
                l_shell, index, harmonic=harmonic, ends=ends, ionosphere_km=height_km
            )
            np.testing.assert_allclose(found, direct[:, harmonic - 1], rtol=1e-8)


def test_line_without_a_dipole_to_stand_for_it_has_no_frequency() -> None:
    l_shell = np.array([np.nan, -3.0, 0.0, 1.0, 1.19, 1.2, 5.0, 20.0, 20.1, np.inf])
    found = dipole_unit_frequency_Hz(l_shell, 1.0, year=YEAR)
    np.testing.assert_array_equal(np.isfinite(found), [0, 0, 0, 0, 0, 1, 1, 1, 0, 0])
    assert dipole_unit_frequency_Hz(np.array([]), 1.0, year=YEAR).size == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"harmonic": 0}, "harmonic must be from 1 to 5, found 0"),
        ({"harmonic": 6}, "found 6"),
        ({"density_index": 8.5}, r"density_index must be from -2 to 8, found 8\.5"),
        ({"density_index": math.nan}, "found nan"),
        ({"ionosphere_km": -1.0}, r"ionosphere_km must be from 0 to 1000, found -1\.0"),
    ],
)
def test_wave_constant_refuses_what_is_out_of_range(options: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        dipole_wave_constant(np.array([3.0]), options.pop("density_index", 1.0), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("l_shell", "index", "told"),
    [(1.01, 1.0, "must exceed 1.017"), (math.nan, 1.0, "found nan"), (3.0, math.inf, "found 3.0, inf")],
)
def test_direct_solution_refuses_what_is_no_line(l_shell: float, index: float, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        dipole_modes(l_shell, index)


def test_string_refuses_bad_weights_and_counts() -> None:
    good = np.ones((1, nodes().size))
    with pytest.raises(ValueError, match="from 1 to 8, found 9"):
        wave_numbers(good, 9)
    with pytest.raises(ValueError, match=r"positive and finite, found 0\.0"):
        wave_numbers(np.where(nodes() > 0.99, 0.0, good), 1)
    with pytest.raises(ValueError, match=r"found shape \(1, 3\)"):
        wave_numbers(good[:, :3], 1)


def test_dipole_has_the_moment_of_its_year() -> None:
    # IGRF-14 for 2020: g10, g11, h11.
    assert equatorial_field_T(2020.0) * 1e9 == pytest.approx(math.hypot(29403.41, 1451.37, 4653.35))
    fall = [dipole_unit_frequency_Hz(np.array([3.0]), 1.0, year=year)[0] for year in (1990.0, 2020.0)]
    assert fall[1] / fall[0] == pytest.approx(equatorial_field_T(2020.0) / equatorial_field_T(1990.0))


def test_simulation_takes_the_same_waves() -> None:
    assert wave_constants(3.3, 2.0) == pytest.approx(dipole_modes(3.3, 2.0, ionosphere_km=0.0).wave_number)


# -- traced lines ----------------------------------------------------------------------------------------------


def dipole_line(l_shell: float, count: int = 160) -> TracedLine:
    """A dipole line as a tracer would give it, evenly in latitude; with no point on the equator."""
    end = math.asin(end_of(l_shell, 110.0))
    latitude = np.linspace(-end, end, count)
    z = np.sin(latitude)
    root = np.sqrt(1.0 + 3.0 * z**2)
    arc = 0.5 * l_shell * (z * root + np.arcsinh(math.sqrt(3.0) * z) / math.sqrt(3.0))
    radius = l_shell * (1.0 - z**2)
    return TracedLine(
        arc_m=arc * EARTH_RADIUS_M,
        field_T=equatorial_field_T(YEAR) * root / (l_shell * (1.0 - z**2)) ** 3,
        radius_re=radius,
        spacing=radius * np.cos(latitude) * 12.3,
        apex_re=np.array([l_shell, 0.0, 0.0]),
    )


@pytest.mark.parametrize("ends", LineEnds)
@pytest.mark.parametrize("l_shell", [1.5, 2.9, 5.4, 12.0])
def test_traced_dipole_is_the_dipole_of_the_table(l_shell: float, ends: LineEnds) -> None:
    line = dipole_line(l_shell)
    for harmonic, index in ((1, 1.0), (3, 4.0)):
        expected = dipole_unit_frequency_Hz(
            np.array([l_shell]), index, year=YEAR, harmonic=harmonic, ends=ends
        )
        found = traced_unit_frequency_Hz(line, index, harmonic=harmonic, ends=ends)
        assert found == pytest.approx(expected[0], rel=1e-6)


def uneven(place: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Field (µT), distance and spacing along a line that is no dipole and not the same on both sides; 0 to 1."""
    return (
        np.exp(12.0 * (place - 0.55) ** 2 + 0.5 * place),
        1.0 + 4.0 * np.sin(math.pi * place) * np.exp(0.3 * place),
        0.2 + np.sin(math.pi * place) ** 2 + 0.3 * place,
    )


def uneven_line(count: int) -> TracedLine:
    arc = np.linspace(0.0, 1.0, count)
    field, radius, spacing = uneven(arc)
    return TracedLine(arc * 5e7, field * 1e-6, radius, spacing, np.full(3, np.nan))


@pytest.mark.parametrize(("ends", "harmonic"), [(FIXED, 1), (FIXED, 2), (MIXED, 1), (FREE, 1)])
def test_uneven_line_agrees_with_shooting_of_the_equation_of_singer(ends: LineEnds, harmonic: int) -> None:
    line, index = uneven_line(161), 2.0
    inertia = MU_0 * AMU_KG * 1e6 * 5e7**2 * 1e12
    farthest = uneven(np.linspace(0.0, 1.0, 100_001))[1].max()

    def stiffness(place: float) -> float:
        field, _, spacing = uneven(np.float64(place))
        return float(spacing**2 * field)

    def weight(place: float) -> float:
        field, radius, spacing = uneven(np.float64(place))
        return float(spacing**2 / field * inertia * (farthest / radius) ** index)

    found = traced_unit_frequency_Hz(line, index, harmonic=harmonic, ends=ends)
    shot = by_shooting(stiffness, weight, 0.0, 1.0, ends, 2.0 * math.pi * found)
    assert found == pytest.approx(shot / (2.0 * math.pi), rel=1e-6)


def test_traced_line_takes_spacing_in_any_unit_and_either_way_round() -> None:
    line = uneven_line(161)
    other = TracedLine(line.arc_m, line.field_T, line.radius_re, line.spacing * 7.3e5, line.apex_re)
    back = TracedLine(
        line.arc_m[-1] - line.arc_m[::-1],
        line.field_T[::-1],
        line.radius_re[::-1],
        line.spacing[::-1],
        line.apex_re,
    )
    found = traced_unit_frequency_Hz(line, 1.0)
    assert traced_unit_frequency_Hz(other, 1.0) == pytest.approx(found, rel=1e-12)
    assert traced_unit_frequency_Hz(back, 1.0) == pytest.approx(found, rel=1e-9)
    assert traced_unit_frequency_Hz(back, 1.0, ends=MIXED) != pytest.approx(
        traced_unit_frequency_Hz(line, 1.0, ends=MIXED), rel=0.01
    )


def test_open_line_has_no_frequency() -> None:
    line = dipole_line(4.0)
    cut = line.field_T.copy()
    cut[40:] = np.nan
    assert math.isnan(
        traced_unit_frequency_Hz(TracedLine(line.arc_m, cut, line.radius_re, line.spacing, line.apex_re), 1.0)
    )
    nothing = np.empty(0)
    nowhere = TracedLine(nothing, nothing, nothing, nothing, np.full(3, np.nan))
    assert not nowhere.closed
    assert math.isnan(traced_unit_frequency_Hz(nowhere, 1.0))


def test_traced_line_refuses_what_is_no_line() -> None:
    line = dipole_line(4.0)
    with pytest.raises(ValueError, match=r"rows of one length are needed, found shapes \[\(160,\), \(159,\)"):
        TracedLine(line.arc_m, line.field_T[1:], line.radius_re, line.spacing, line.apex_re)
    with pytest.raises(ValueError, match=r"apex_re must be one vector, found shape \(2,\)"):
        TracedLine(line.arc_m, line.field_T, line.radius_re, line.spacing, np.zeros(2))
    with pytest.raises(ValueError, match="arc_m must rise"):
        traced_unit_frequency_Hz(
            TracedLine(line.arc_m[::-1], line.field_T, line.radius_re, line.spacing, line.apex_re), 1.0
        )
    with pytest.raises(ValueError, match=r"spacing must be positive, found -"):
        traced_unit_frequency_Hz(
            TracedLine(line.arc_m, line.field_T, line.radius_re, -line.spacing, line.apex_re), 1.0
        )
    with pytest.raises(ValueError, match="density_index must be from -2 to 8, found 9"):
        traced_unit_frequency_Hz(line, 9.0)
    with pytest.raises(ValueError, match="harmonic must be from 1 to 5, found 0"):
        traced_unit_frequency_Hz(line, 1.0, harmonic=0)
