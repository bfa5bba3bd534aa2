"""Illumination and hours of pairs, by station positions that may be unknown."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.science.illumination import illumination, mlt_h
from monitor.science.mainfield import field_lines
from monitor.stages.place import Places
from monitor.stations import Station, load_station_table
from monitor.types import Illumination, Pair

TABLE = load_station_table()
TAR_BRZ, MUO_PEL = Pair("TAR", "BRZ", 2.9), Pair("MUO", "PEL", 5.5)


def at(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def test_pair_has_the_light_and_hour_of_its_middle() -> None:
    time = at("2017-09-07T11:00")
    lines = field_lines(np.array([57.2193]), np.array([25.6378]), 2017.5)
    lights, hours = Places(TABLE, [TAR_BRZ]).at((TAR_BRZ,), time)
    assert lights == (illumination(lines, time)[0],) == (Illumination.DAY,)
    assert hours == (pytest.approx(mlt_h(lines, time)[0], abs=1e-3),)
    assert hours[0] == pytest.approx(11.0 + 1.95, abs=0.1)


def test_pairs_come_back_in_the_order_asked_for() -> None:
    places, time = Places(TABLE, [TAR_BRZ, MUO_PEL]), at("2025-12-21T05:00")
    forward, backward = places.at((TAR_BRZ, MUO_PEL), time), places.at((MUO_PEL, TAR_BRZ), time)
    assert forward.mlt_h == backward.mlt_h[::-1]
    assert forward.illumination == backward.illumination[::-1]
    assert places.at((MUO_PEL,), time) == (backward.illumination[:1], backward.mlt_h[:1])
    assert places.at((), time) == ((), ())


@pytest.mark.parametrize(
    "station", [Station("NEW"), Station("NEW", latitude_deg=57.0), Station("NEW", longitude_deg=25.0), None]
)
def test_pair_with_an_unknown_position_has_neither(station: Station | None) -> None:
    stations = dict(TABLE) if station is None else TABLE | {"NEW": station}
    found = Places(stations, [Pair("TAR", "NEW"), TAR_BRZ]).at(
        (Pair("TAR", "NEW"), TAR_BRZ), at("2025-06-21")
    )
    assert found.illumination[0] is None
    assert found.mlt_h[0] is None
    assert found.illumination[1] is not None
    assert found.mlt_h[1] is not None


def test_values_are_plain_python_for_json() -> None:
    found = Places(TABLE, [TAR_BRZ]).at((TAR_BRZ,), at("2025-06-21"))
    assert [type(value) for value in found.mlt_h] == [float]
    assert [type(value) for value in found.illumination] == [Illumination]


def test_answer_does_not_depend_on_what_was_asked_before() -> None:
    places = Places(TABLE, [TAR_BRZ])
    times = [at("2024-12-31T23:30"), at("2025-01-01T00:00"), at("2013-06-01"), at("2024-12-31T23:30")]
    in_turn = [places.at((TAR_BRZ,), time) for time in times]
    assert in_turn == [Places(TABLE, [TAR_BRZ]).at((TAR_BRZ,), time) for time in times]


def test_new_year_moves_the_hour_by_seconds_only() -> None:
    places, midnight = Places(TABLE, [MUO_PEL]), at("2025-01-01")
    before, after = (places.at((MUO_PEL,), time).mlt_h[0] for time in (midnight - 1, midnight))
    assert before is not None
    assert after is not None
    assert 0.0 < abs(after - before) < 30.0 / 3600.0


def test_order_of_the_stations_in_a_pair_does_not_matter() -> None:
    there, back = TAR_BRZ, Pair("BRZ", "TAR")
    found = Places(TABLE, [there, back]).at((there, back), at("2025-04-04T04:00"))
    assert found.mlt_h[0] == pytest.approx(found.mlt_h[1], abs=1e-9)
    assert found.illumination[0] == found.illumination[1]


def test_pair_that_was_not_given_is_named() -> None:
    with pytest.raises(KeyError, match="MUO"):
        Places(TABLE, [TAR_BRZ]).at((MUO_PEL,), at("2025-04-04"))


def test_thousand_pairs_agree_with_each_alone() -> None:
    rng = np.random.default_rng(2)
    stations = {
        f"S{number}": Station(
            f"S{number}", latitude_deg=rng.uniform(-70.0, 70.0), longitude_deg=rng.uniform(-180.0, 180.0)
        )
        for number in range(60)
    }
    codes = sorted(stations)
    pairs = tuple(Pair(first, second) for first in codes for second in codes if first < second)[:1000]
    found = Places(stations, pairs).at(pairs, at("2025-10-10T10:00"))
    assert len(found.mlt_h) == len(found.illumination) == 1000
    for row in range(0, 1000, 97):
        alone = Places(stations, pairs[row : row + 1]).at(pairs[row : row + 1], at("2025-10-10T10:00"))
        assert alone.illumination == found.illumination[row : row + 1]
        assert alone.mlt_h[0] == (
            None if found.mlt_h[row] is None else pytest.approx(found.mlt_h[row], abs=1e-6)
        )
