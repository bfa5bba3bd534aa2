"""The station table, and what is derived from a station."""

from __future__ import annotations

import math

import pytest

from monitor.stations import (
    Station,
    invariant_latitude_deg,
    is_wrong_order,
    l_shell_at,
    l_shell_of_pair,
    load_station_table,
)


def test_table_by_default_has_the_values_of_2025() -> None:
    table = load_station_table()
    assert len(table) == 17
    tartu = table["TAR"]
    assert (tartu.name, tartu.latitude_deg, tartu.longitude_deg) == ("Tartu", 58.26, 26.46)
    assert (tartu.l_shell, tartu.magnetic_latitude_deg, tartu.declination_deg) == (3.064, 55.1598, 9.7529)
    assert (tartu.epoch, tartu.axes) == (2025.0, "geographic")


@pytest.mark.parametrize(
    ("epoch", "used", "l_shell"),
    [
        (2013.0, 2013.0, 3.01),
        (2019.0, 2019.0, (3.01 + 3.064) / 2),
        (2016.0, 2016.0, 0.75 * 3.01 + 0.25 * 3.064),
        (1990.0, 2013.0, 3.01),
        (2040.0, 2025.0, 3.064),
    ],
)
def test_table_at_an_epoch_interpolates_and_holds_outside(epoch: float, used: float, l_shell: float) -> None:
    tartu = load_station_table(epoch)["TAR"]
    assert tartu.epoch == used
    assert tartu.l_shell == pytest.approx(l_shell, rel=1e-12)


@pytest.mark.parametrize("epoch", [math.nan, math.inf])
def test_table_at_no_epoch_is_refused(epoch: float) -> None:
    with pytest.raises(ValueError, match="must be a year"):
        load_station_table(epoch)


def test_table_l_shell_follows_from_the_magnetic_latitude() -> None:
    for epoch in (2013.0, 2025.0):
        for station in load_station_table(epoch).values():
            assert station.magnetic_latitude_deg is not None
            assert station.l_shell == pytest.approx(l_shell_at(station.magnetic_latitude_deg), rel=2e-4)


def test_invariant_latitude_is_the_inverse_of_l() -> None:
    assert invariant_latitude_deg(4.0) == pytest.approx(60.0)
    assert invariant_latitude_deg(1.0) == 0.0
    assert l_shell_at(invariant_latitude_deg(2.7)) == pytest.approx(2.7)
    with pytest.raises(ValueError, match="at least 1"):
        invariant_latitude_deg(0.99)


def test_pair_l_shell_is_the_mean_or_unknown() -> None:
    table = load_station_table()
    assert l_shell_of_pair(table["MUO"], table["PEL"]) == pytest.approx((5.7638 + 5.2856) / 2)
    assert l_shell_of_pair(table["MUO"], Station("XYZ")) is None


def test_order_is_by_absolute_magnetic_latitude() -> None:
    table = load_station_table()
    assert not is_wrong_order(table["TAR"], table["BRZ"])
    assert is_wrong_order(table["BRZ"], table["TAR"])
    south, deeper_south = (
        Station("PG5", magnetic_latitude_deg=-69.5),
        Station("PG0", magnetic_latitude_deg=-78.3),
    )
    assert not is_wrong_order(deeper_south, south)
    assert is_wrong_order(south, deeper_south)


def test_order_of_unknown_or_equal_latitudes_is_no_fault() -> None:
    known, unknown = Station("AAA", magnetic_latitude_deg=50.0), Station("BBB")
    same = Station("CCC", magnetic_latitude_deg=-50.0)
    for first, second in [(known, unknown), (unknown, known), (known, same), (same, known)]:
        assert not is_wrong_order(first, second)


def test_order_uses_l_where_only_that_is_known() -> None:
    assert is_wrong_order(Station("LOW", l_shell=2.5), Station("TOP", l_shell=3.5))
    assert not is_wrong_order(Station("TOP", l_shell=3.5), Station("LOW", magnetic_latitude_deg=40.0))
