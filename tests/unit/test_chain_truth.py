"""The labelling rule on a chain: clear cases, and what takes a resonance away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.science.synthetic.chain_truth import ChainTruth, chain_truth
from monitor.science.synthetic.ground import Gap, GroundSimulator, PlasmaModel, Scenario
from monitor.types import SECOND_NS, Pair

HOUR_NS = 3600 * SECOND_NS
START_NS = 480_000 * HOUR_NS  # 2024-10-04 00:00 UTC
STATIONS = (("PEL", 5.29), ("OUJ", 4.45), ("NUR", 3.47), ("BRZ", 2.75))
PAIRS = (Pair("PEL", "OUJ", 4.87), Pair("OUJ", "NUR", 3.96), Pair("NUR", "BRZ", 3.11))
NOON = np.array([START_NS + 12 * HOUR_NS])
MILD = Scenario(
    STATIONS,
    START_NS,
    longitude_deg=0.0,
    noise_power=0.02,
    slow_rms_nT=0.5,
    plasma=PlasmaModel(plasmapause=((START_NS, 4.0),), plasmapause_width_l=0.05, refilling=0.0),
)


def truth(**changes: Any) -> ChainTruth:
    return chain_truth(replace(MILD, **changes), PAIRS, NOON)


def test_clear_waves_ring_and_a_steep_plasmapause_reverses_its_pair() -> None:
    found = truth()
    assert found.resonance.tolist() == [[True, True, True]]
    assert found.reversed.tolist() == [[False, True, False]]
    assert found.plasmapause_l == pytest.approx([4.0])


def test_frequency_is_the_geometric_mean_of_both_lines() -> None:
    shells = np.array([l_shell for _, l_shell in STATIONS])
    rings = MILD.plasma.resonance_frequency_Hz(shells, int(NOON[0]), 0.0)
    assert truth().frequency_Hz[0] == pytest.approx(np.sqrt(rings[:-1] * rings[1:]))


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"noise_power": 1e4}, [0, 1, 2]),
        ({"resonant": False}, [0, 1, 2]),
        ({"wave_power": 0.0}, [0, 1, 2]),
        ({"direct_share": 5.0}, [0, 1, 2]),
        ({"clock_offset_s": {"BRZ": 1.6}}, [2]),
        ({"gaps": (Gap("PEL", int(NOON[0]) - HOUR_NS, int(NOON[0]) - HOUR_NS + 301 * SECOND_NS),)}, [0]),
        ({"quantum_nT": 50.0}, [0, 1, 2]),
    ],
)
def test_what_hides_a_resonance_takes_it(changes: dict[str, Any], lost: list[int]) -> None:
    found = truth(**changes).resonance[0]
    assert [column for column in range(3) if not found[column]] == lost


def test_a_short_gap_and_spikes_take_nothing() -> None:
    short = Gap("PEL", int(NOON[0]) - HOUR_NS, int(NOON[0]) - HOUR_NS + 300 * SECOND_NS)
    assert truth(gaps=(short,), spikes_per_h=2.0).resonance.all()


def test_a_frequency_that_changes_and_a_gradient_that_turns_take_the_pair() -> None:
    comes = ((START_NS, 4.6), (START_NS + 10 * HOUR_NS, 4.6), (START_NS + 12 * HOUR_NS, 4.0))
    moving = truth(plasma=replace(MILD.plasma, plasmapause=comes))
    assert moving.resonance.tolist() == [[False, False, True]]
    assert moving.plasmapause_l == pytest.approx([4.3])


def test_no_plasmapause_is_nan_and_reverses_nothing() -> None:
    found = truth(plasma=PlasmaModel(refilling=0.0))
    assert np.isnan(found.plasmapause_l).all()
    assert not found.reversed.any()


def test_the_parts_add_up_to_the_samples() -> None:
    # The rule rests on this: waves and noise are drawn the same, whatever else a scenario has.
    plain = replace(MILD, quantum_nT=0.0, slow_rms_nT=0.0)

    def rows(**changes: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        simulator = GroundSimulator(replace(plain, **changes))
        return np.stack(list(simulator.samples(int(NOON[0]), int(NOON[0]) + HOUR_NS).values()))

    base = rows(wave_power=0.0, noise_power=0.0)
    waves, noise = rows(noise_power=0.0) - base, rows(wave_power=0.0) - base
    resonant = rows(noise_power=0.0, direct_share=0.0) - base
    assert base + waves + noise == pytest.approx(rows(), abs=1e-8)
    assert 0.0 < np.abs(waves - resonant).max() < np.abs(waves).max()


@pytest.mark.parametrize(
    ("pair", "end_ns", "said"),
    [
        (Pair("XYZ", "NUR", 3.0), int(NOON[0]), "XYZ-NUR: XYZ is not among the stations"),
        (PAIRS[0], int(NOON[0]) + 1, "got 1728043200000000001"),
        (PAIRS[0], START_NS + HOUR_NS, "two hours after the start"),
    ],
)
def test_bad_input_is_named(pair: Pair, end_ns: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        chain_truth(MILD, [pair], np.array([end_ns]))
