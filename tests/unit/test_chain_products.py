"""Profile and plasmapause objects: what they say of a chain, and when they say it again; profiles as a table."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from chain_kit import (
    CADENCE_NS,
    DAY_NS,
    EMMA,
    INNER,
    LATENESS_NS,
    LONE,
    MIDDLE,
    density,
    finding,
)

from monitor.jobs.profiles import PROFILE_COLUMNS, Profiles, profile_rows
from monitor.science.profile import carpenter_anderson_1992, moldwin_2002
from monitor.stages.chain_product import ChainProductStage
from monitor.stages.place import Places
from monitor.stages.plasmapause import nearest, plasmapause_stage
from monitor.stages.profile import profile_stage
from monitor.stations import Station, load_station_table
from monitor.types import (
    Chain,
    ChainState,
    Finding,
    Illumination,
    Label,
    PlasmapauseEstimate,
    PowerLaw,
    Product,
    Tick,
)

TABLE = load_station_table()
NOON = 1_504_782_000_000_000_000  # 2017-09-07T11:00
UNKNOWN = PlasmapauseEstimate(None, None, None, 0.0, (0.3, 0.6, 0.9), "uncertain")
STATED = PlasmapauseEstimate(4.1234567891, 3.9, 4.4, 0.9, (0.02, 0.8, 0.999), None, 3.9, 4.35)


def places(**stations: Station) -> Places:
    return Places(TABLE | stations, (*EMMA.pairs, LONE))


def profiles(at: Places | None = None) -> ChainProductStage:
    return profile_stage(at or places(), CADENCE_NS, LATENESS_NS, DAY_NS)


def plasmapauses(at: Places | None = None) -> ChainProductStage:
    return plasmapause_stage(at or places(), 0.9, CADENCE_NS, LATENESS_NS, DAY_NS)


def state(
    estimate: PlasmapauseEstimate = UNKNOWN, fit: PowerLaw | None = None, number: int = 2, **changes: object
) -> ChainState:
    """A window that ends at 12:00 of 7 September 2017; the outer pair has said nothing, the middle one is dark."""
    findings = (
        None,
        finding(number, MIDDLE, None, Label.NO_FREQ, Illumination.NIGHT, frozenset({"quiet"}), NOON),
        finding(number, INNER, 1520.0, flags=frozenset({"smoothed", "decimated"}), start_ns=NOON),
    )
    made = ChainState(
        chain=EMMA,
        end_ns=NOON + number * CADENCE_NS,
        length_ns=4 * CADENCE_NS,
        findings=findings,
        used=(False, False, True),
        plasmapause=estimate,
        fit=fit,
    )
    return replace(made, **changes)


def body(product: Product) -> dict[str, object]:
    """As it goes out."""
    found: dict[str, object] = json.loads(product.encode(0))
    return found


def test_profile_is_the_pairs_side_by_side() -> None:
    fit = PowerLaw(520.0, 3.4, 2.9, 4.1, 3)
    (product,) = profiles().feed([state(fit=fit)])
    assert (product.kind, product.subject, product.retained) == ("profile", "emma", True)
    said = body(product)
    assert {name: said[name] for name in ("schema", "id", "chain", "time", "effective_time")} == {
        "schema": "geospace/profile/1",
        "id": "profile/emma/2017-09-07T12:00:00Z/0",
        "chain": "emma",
        "time": "2017-09-07T12:00:00Z",
        "effective_time": "2017-09-07T11:00:00Z",
    }
    assert (said["window_s"], said["revision"], said["valid_until"]) == (7200.0, 0, "2017-09-07T12:35:00Z")
    assert said["pairs"] == ["PEL-OUJ", "OUJ-HAN", "TAR-BRZ"]
    assert said["l_shell"] == [4.8, 3.9, 2.9]
    assert said["label"] == [None, "NoFreq", "Freq"]
    assert said["frequency_mHz"] == [None, None, 13.4]
    assert said["rho"] == [None, None, 1520.0]
    assert said["rho_interval"] == [None, None, [pytest.approx(1520 / 1.3), pytest.approx(1520 * 1.3)]]
    assert said["interval_level"] == 0.9
    # 1 amu cm⁻³ is 1.66053907e-21 kg m⁻³.
    assert said["rho_si"] == [None, None, pytest.approx(2.524019e-18, rel=1e-6)]
    assert said["illumination"] == [None, "night", "day"]
    assert said["used"] == [False, False, True]
    assert said["flags"] == [[], ["quiet"], ["decimated", "smoothed"]]
    assert said["fit"] == {
        "density_at_l4_amu_cm3": 520.0,
        "exponent": 3.4,
        "exponent_interval": [2.9, 4.1],
        "pairs": 3,
    }


def test_profile_places_the_lines_at_the_centre_of_the_window() -> None:
    (product,) = profiles().feed([state()])
    surroundings = places().at(EMMA.pairs, NOON)
    assert product.body["mlt"] == pytest.approx(surroundings.mlt_h, abs=0.05)
    assert product.body["lt"] == pytest.approx([11.0 + 25.6 / 15.0] * 3, abs=0.5)
    assert product.body["distance"] == pytest.approx([4.8, 3.9, 2.9])
    # In the early afternoon: towards the Sun and a little to dusk, near the equatorial plane.
    assert all(0.0 < longitude < 60.0 for longitude in product.body["gsm_lon"])
    assert all(abs(latitude) < 40.0 for latitude in product.body["gsm_lat"])
    assert all(abs(z) < 6.4e6 * 3.2 for z in product.body["gsm_z"])


def test_profile_of_an_unknown_position_has_nulls() -> None:
    at = places(OUJ=Station("OUJ", l_shell=4.3))
    (profile,) = profiles(at).feed([state()])
    assert profile.body["mlt"][0] is None
    assert profile.body["gsm_lat"][:2] == [None, None]
    assert profile.body["gsm_z"][2] is not None
    (plasmapause,) = plasmapauses(at).feed([state()])
    assert plasmapause.body["mlt_h"] is None
    assert json.loads(plasmapause.encode(0))["inside"] == {"PEL-OUJ": 0.3, "OUJ-HAN": 0.6, "TAR-BRZ": 0.9}


def test_plasmapause_that_is_stated() -> None:
    (product,) = plasmapauses().feed([state(STATED, kp_maximum_12h=4.0, kp_maximum_24h=5.0)])
    said = body(product)
    assert (product.kind, product.subject) == ("plasmapause", "emma")
    assert (said["schema"], said["id"]) == (
        "geospace/plasmapause/1",
        "plasmapause/emma/2017-09-07T12:00:00Z/0",
    )
    assert (said["l_shell"], said["l_interval"]) == (4.123457, [3.9, 4.4])
    assert (said["interval_level"], said["confidence"], said["reason"]) == (0.9, 0.9, None)
    assert (said["by_label"], said["by_gradient"]) == (3.9, 4.35)
    assert said["inside"] == {"PEL-OUJ": 0.02, "OUJ-HAN": 0.8, "TAR-BRZ": 0.999}
    assert said["pairs_used"] == ["TAR-BRZ"]
    assert said["empirical"] == {
        "carpenter_anderson_1992": pytest.approx(carpenter_anderson_1992(5.0)),
        "moldwin_2002": pytest.approx(moldwin_2002(4.0)),
    }
    assert said["flags"] == ["smoothed"]
    assert said["mlt_h"] == pytest.approx(places().at((MIDDLE,), NOON).mlt_h[0], rel=1e-6)


def test_plasmapause_that_is_unknown_says_why() -> None:
    (product,) = plasmapauses().feed([state(used=(False,) * 3)])
    said = body(product)
    assert said["l_shell"] is said["l_interval"] is said["empirical"] is said["by_label"] is None
    assert (said["reason"], said["confidence"], said["pairs_used"]) == ("uncertain", 0.0, [])
    assert said["flags"] == ["carried"]


def test_empirical_models_stand_apart() -> None:
    (product,) = plasmapauses().feed([state(kp_maximum_12h=4.0)])
    assert product.body["empirical"] == {
        "carpenter_anderson_1992": None,
        "moldwin_2002": pytest.approx(5.39 - 0.382 * 4),
    }


@pytest.mark.parametrize(
    ("l_shell", "wanted"), [(None, 1), (9.0, 0), (4.4, 0), (4.3, 1), (3.41, 1), (3.3, 2), (1.5, 2)]
)
def test_nearest_pair_is_the_one_next_to_the_plasmapause(l_shell: float | None, wanted: int) -> None:
    assert nearest(EMMA.pairs, l_shell) == wanted


@pytest.mark.parametrize("make", [profiles, plasmapauses])
def test_objects_are_said_again_only_when_they_change(make: type) -> None:
    running = make()
    (first,) = running.feed([state(STATED)])
    assert running.feed([state(STATED)]) == []
    assert running.feed(Tick(1)) == []
    (newer,) = running.feed([state(STATED, number=3)])
    changed = state(
        replace(STATED, l_shell=4.2),
        findings=(None, None, finding(2, INNER, 1600.0, start_ns=NOON)),
        used=(False, True, True),
    )
    (second,) = running.feed([changed])
    assert [(one.revision, one.retained) for one in (first, newer, second)] == [
        (0, True),
        (0, True),
        (1, False),
    ]
    assert second.body["id"] == first.body["id"][:-1] + "1"
    restored = make()
    restored.restore(json.loads(json.dumps(running.snapshot())))
    assert restored.feed([changed]) == []
    (third,) = restored.feed([state(STATED)])
    assert third.revision == 2
    with pytest.raises(ValueError, match="has version 0"):
        make().restore({"version": 0})


def test_chain_of_a_single_pair_has_objects_too() -> None:
    alone: Finding = finding(2, LONE, 2000.0, start_ns=NOON)
    named = state(
        replace(STATED, inside=(0.9,)), chain=Chain("poland", (LONE,)), findings=(alone,), used=(True,)
    )
    assert [one.topic for one in profiles().feed([named])] == ["profile/poland"]
    assert [one.topic for one in plasmapauses().feed([named])] == ["plasmapause/poland"]


def test_profile_rows_have_the_columns_of_the_group() -> None:
    (product,) = profiles().feed([state()])
    rows = list(profile_rows(product.body))
    assert [row["pair"] for row in rows] == ["PEL-OUJ", "OUJ-HAN", "TAR-BRZ"]
    assert list(PROFILE_COLUMNS)[:9] == [
        *("time", "gsm_lat", "gsm_lon", "gsm_z", "rho_si", "rho", "distance", "lt", "mlt")
    ]
    outer, middle, inner = rows
    assert {row["time"] for row in rows} == {"2017-09-07T11:00:00Z"}
    assert (outer["rho"], outer["rho_low"], outer["label"], outer["flags"]) == ("", "", "", "")
    assert (middle["label"], middle["illumination"], middle["flags"]) == ("NoFreq", "night", "quiet")
    assert (inner["rho"], inner["flags"]) == ("1520.0", "decimated smoothed")
    assert float(inner["rho_low"]) < 1520.0 < float(inner["rho_high"])
    assert float(inner["rho_si"]) == product.body["rho_si"][2]
    assert float(inner["gsm_z"]) == product.body["gsm_z"][2]


def test_profiles_are_written_once_for_each_time_in_order() -> None:
    stage = profiles()
    products = [
        *stage.feed([state(number=3), state(number=2)]),
        *plasmapauses().feed([state()]),
        *stage.feed([state(findings=(None, None, replace(finding(2, INNER), density=density(7.0))))]),
    ]
    file = io.StringIO(newline="")
    table = Profiles()
    table.take(products)
    assert table.write(file) == 6
    header, *_ = text = file.getvalue().splitlines()
    assert header == (
        "chain,pair,time,gsm_lat,gsm_lon,gsm_z,rho_si,rho,distance,lt,mlt,"
        "l_shell,rho_low,rho_high,label,illumination,flags"
    )
    rows = list(csv.DictReader(text))
    assert [row["time"][11:16] for row in rows] == ["11:00"] * 3 + ["11:30"] * 3
    assert [row["rho"] for row in rows] == ["", "", "7.0", "", "", "1520.0"]


def test_no_profiles_are_a_header() -> None:
    file = io.StringIO(newline="")
    assert Profiles().write(file) == 0
    assert file.getvalue().count("\n") == 1
