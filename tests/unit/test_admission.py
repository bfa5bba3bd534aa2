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
        (block(step_s=60.0), "step_unsupported", "60 s"),
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


def test_known_spacecraft_is_let_in() -> None:
    gate = admission()
    gate.admit(block(source="MMS1", domain=Domain.CRAFT, step_s=4.5, components=("Bx",)))
    assert gate.snapshot()["manners"] == {}


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
