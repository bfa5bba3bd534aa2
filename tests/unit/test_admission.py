"""Admission: what contradicts how its source has been sending is refused with a reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monitor.errors import DecodeError
from monitor.stages.admission import Admission
from monitor.stations import Station
from monitor.types import SECOND_NS, Domain, SampleBlock

S = SECOND_NS
FORGET_S = 7200


def admission(station: Station | None = None) -> Admission:
    return Admission({"MUO": station or Station("MUO")}, ["MMS1"], FORGET_S * S)


def block(
    start_s: float = 0.0,
    step_s: float = 1.0,
    components: tuple[str, ...] = ("H",),
    source: str = "MUO",
    sensor: str | None = None,
    domain: Domain = Domain.GROUND,
    count: int = 10,
) -> SampleBlock:
    values = np.ones((len(components), count))
    return SampleBlock(
        source, components, round(start_s * S), round(step_s * S), values, domain=domain, sensor=sensor
    )


def refused(gate: Admission, refused_block: SampleBlock) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        gate.admit(refused_block)
    return caught.value


def test_steady_source_is_let_in_out_of_order_too() -> None:
    gate = admission()
    for start in (0, 10, 100, 50, 0):
        gate.admit(block(start))


@pytest.mark.parametrize(
    ("odd", "reason", "named"),
    [
        (block(source="XYZ"), "unknown_station", "XYZ"),
        (block(source="MMS9", domain=Domain.CRAFT), "unknown_craft", "MMS9"),
        (block(source="DST", domain=Domain.INDEX, components=("Kp",)), "unknown_index", "DST"),
        (block(step_s=0.01), "step_unsupported", "0.01 s"),
        (block(step_s=20.0), "step_unsupported", "20 s"),
        (block(step_s=60.0), "minute_data", "subscribe to its seconds"),
        (block(step_s=60.0, components=("S",)), "minute_data", "60 s"),
        (block(components=("Z", "F")), "no_horizontal", "Z, F"),
        (block(components=("D",)), "no_horizontal", "D"),
        (block(100, step_s=10.0), "step_changed", "every 10 s after 1 s"),
        (block(100, components=("X", "Y")), "components_changed", "XY after H"),
        (block(100.3), "off_grid", "+0.3 s"),
        (block(99.7), "off_grid", "-0.3 s"),
        (block(100, sensor="LEMI"), "second_sensor", "LEMI beside FGE"),
    ],
)
def test_odd_block_is_refused_with_its_reason_and_changes_nothing(
    odd: SampleBlock, reason: str, named: str
) -> None:
    gate = admission()
    gate.admit(block(sensor="FGE"))
    before = gate.snapshot()
    error = refused(gate, odd)
    assert error.reason == reason
    assert named in error.detail
    assert gate.snapshot() == before
    gate.admit(block(10, sensor="FGE"))


@pytest.mark.parametrize("components", [("S",), ("F", "S")])
def test_scalar_beside_the_vector_is_let_in_and_changes_nothing(components: tuple[str, ...]) -> None:
    gate = admission()
    # Before the vector, in its midst, with a step and instants of its own, and of an instrument of its own.
    gate.admit(block(components=components, step_s=5.0, sensor="GSM90"))
    assert gate.snapshot() == admission().snapshot()
    gate.admit(block(sensor="FGE"))
    before = gate.snapshot()
    gate.admit(block(20.4, components=components, sensor="GSM90"))
    gate.admit(block(5000, components=components, step_s=10.0))
    assert gate.snapshot() == before
    gate.admit(block(10, sensor="FGE"))


def test_known_spacecraft_is_let_in() -> None:
    gate = admission()
    gate.admit(block(source="MMS1", domain=Domain.CRAFT, step_s=4.5, components=("Bx",)))
    assert gate.snapshot()["manners"] == {}


def plasma(
    start_s: float = 0.0, step_s: float = 4.5, frame: str | None = None, count: int = 5, **values: float
) -> SampleBlock:
    """Quiet solar wind, or the values given; NaN for every third sample of the first component."""
    rows = np.repeat(np.array(list(values.values()), dtype=np.float64)[:, None], count, axis=1)
    rows[0, 2::3] = np.nan
    return SampleBlock(
        "MMS1",
        tuple(values),
        round(start_s * S),
        round(step_s * S),
        rows,
        domain=Domain.CRAFT,
        frame=frame,
    )


WIND = {
    "Bx": 3.0,
    "By": -4.0,
    "Bz": 0.0,
    "N": 5.0,
    "Vx": -400.0,
    "Vy": 0.0,
    "Vz": 0.0,
    "Tpar": 10.0,
    "Tperp": 10.0,
}


@pytest.mark.parametrize("step_s", [1.0, 3.0, 4.017, 4.5, 10.0])
def test_spacecraft_may_send_at_any_cadence_and_change_it(step_s: float) -> None:
    gate = admission()
    gate.admit(plasma(**WIND))
    gate.admit(plasma(30.0, step_s=step_s, **WIND))


@pytest.mark.parametrize(
    ("values", "reason", "named"),
    [
        ({"Kp": 3.0}, "no_quantity", "Kp"),
        ({**WIND, "B": 5000.0}, "inconsistent_total", "median B of 5000 nT, its components make 5"),
        ({**WIND, "B": 3.0}, "inconsistent_total", "median B of 3 nT"),
        ({**WIND, "V": 300.0}, "inconsistent_total", "median V of 300 km/s"),
        ({**WIND, "T": 15.0}, "inconsistent_total", "median T of 15 eV"),
        ({"Bx": 3e-9, "By": 4e-9, "Bz": 0.0}, "implausible_unit", "median B of 5e-09; expected are nT"),
        ({"V": 19_000.0}, "implausible_unit", "expected are km/s"),
        ({"N": 80_000.0}, "implausible_unit", "expected are cm-3"),
        ({"T": 0.1}, "implausible_unit", "expected are eV"),
        ({"Tpar": 1e5, "Tperp": 1e5}, "implausible_unit", "median T of 1e+05"),
    ],
)
def test_plasma_in_other_units_is_refused_with_what_was_expected(
    values: dict[str, float], reason: str, named: str
) -> None:
    gate = admission()
    error = refused(gate, plasma(**values))
    assert error.reason == reason
    assert named in error.detail
    assert gate.snapshot()["craft"] == {}


@pytest.mark.parametrize("step_s", [0.999, 10.001])
def test_spacecraft_step_that_no_cell_can_hold_is_refused(step_s: float) -> None:
    assert refused(admission(), plasma(step_s=step_s, **WIND)).reason == "step_unsupported"


@pytest.mark.parametrize(
    "values",
    [
        {**WIND, "B": 5.9, "V": 405.0, "T": 10.2},
        {
            "Bx": 12.0,
            "By": 0.0,
            "Bz": 0.0,
            "B": 22.0,
        },  # the sheath: a mean magnitude well above that of the mean
        {"B": 0.05, "N": 0.003, "T": 20_000.0, "V": 5.0},
        {"B": 20_000.0, "N": 4000.0, "T": 0.5},
        {"V": 2500.0, "N": 0.0},
        {"Bx": np.nan, "T": np.nan},
    ],
)
def test_extremes_of_near_earth_plasma_are_let_in(values: dict[str, float]) -> None:
    admission().admit(plasma(**values))


def test_frame_may_not_change_until_the_earlier_data_are_forgotten() -> None:
    gate = admission()
    gate.admit(plasma(frame="dmpa", Bx=3.0))
    gate.admit(plasma(frame="dbcs", Vx=-400.0))  # every vector has its own
    gate.admit(plasma(30.0, N=5.0))  # a density has none
    error = refused(gate, plasma(30.0, Bx=3.0))
    assert (error.reason, error.detail.partition(" sends ")[2]) == ("frame_changed", "B in gse after dmpa")
    gate.admit(plasma(30.0, frame="dmpa", Bx=3.0))
    gate.admit(plasma(60.0 + FORGET_S, Bx=3.0))
    assert refused(gate, plasma(70.0 + FORGET_S, frame="dmpa", Bx=3.0)).reason == "frame_changed"
    gate.admit(plasma(70.0 + FORGET_S, frame="gse", Bx=3.0))


def test_frames_survive_a_restart_as_json() -> None:
    gate, other = admission(), admission()
    gate.admit(plasma(frame="dmpa", Bx=3.0))
    other.restore(json.loads(json.dumps(gate.snapshot())))
    assert refused(other, plasma(30.0, Bx=3.0)).reason == "frame_changed"
    assert other.snapshot() == gate.snapshot()


def test_state_of_before_spacecraft_is_taken_up() -> None:
    gate = admission()
    gate.restore({"version": 1, "manners": {}})
    gate.admit(plasma(frame="dmpa", Bx=3.0))


def test_kp_is_let_in_whatever_its_step() -> None:
    gate = admission()
    gate.admit(block(source="KP", domain=Domain.INDEX, step_s=10800.0, components=("Kp",)))
    gate.admit(block(source="KP", domain=Domain.INDEX, step_s=60.0, components=("Kp",)))
    assert gate.snapshot()["manners"] == {}


@pytest.mark.parametrize("lag_s", [0.05, -0.05, 0.1])
def test_jitter_of_stamps_is_let_in(lag_s: float) -> None:
    gate = admission()
    gate.admit(block())
    gate.admit(block(100.0 + lag_s))


def test_jitter_does_not_drift_away_from_the_first_instants() -> None:
    gate = admission()
    gate.admit(block())
    gate.admit(block(100.08))
    assert refused(gate, block(200.16)).reason == "off_grid"


def test_source_may_change_its_manner_after_a_long_silence() -> None:
    gate = admission()
    gate.admit(block())
    changed = block(10 + FORGET_S, step_s=10.0, components=("X", "Y"))
    gate.admit(changed)
    assert refused(gate, block(10 + FORGET_S + 1000)).reason == "step_changed"


def test_source_may_not_change_its_manner_before() -> None:
    gate = admission()
    gate.admit(block())
    assert refused(gate, block(9 + FORGET_S, step_s=10.0)).reason == "step_changed"


def test_configured_sensor_refuses_another_from_the_start() -> None:
    gate = admission(Station("MUO", sensor="FGE"))
    assert refused(gate, block(sensor="LEMI")).reason == "second_sensor"
    gate.admit(block(sensor="FGE"))


def test_geographic_station_needs_both_horizontal_components() -> None:
    assert (
        refused(admission(Station("MUO", axes="geographic")), block(components=("X",))).reason
        == "no_horizontal"
    )
    admission(Station("MUO", axes="magnetic")).admit(block(components=("X",)))


def test_memory_survives_a_restart_as_json() -> None:
    gate = admission()
    gate.admit(block(sensor="FGE"))
    other = admission()
    other.restore(json.loads(json.dumps(gate.snapshot())))
    assert refused(other, block(100, step_s=10.0)).reason == "step_changed"
    assert other.snapshot() == gate.snapshot()


def test_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 7"):
        admission().restore({"version": 7})
