"""The whole pipeline on real measurements: a clean resonance, a faulty clock, a chain with gaps.

The learned chain never saw any of them in training. What is asked of it holds for whatever model is bundled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from monitor.config import Config
from monitor.config.model import StationEntry
from monitor.config.schema import Models
from monitor.pipeline import Pipeline
from monitor.types import SECOND_NS, FloatArray, SampleBlock

pytestmark = pytest.mark.realdata

Load = Callable[..., SampleBlock]
Pair = tuple[SampleBlock, SampleBlock]
PIECE_NS = 1800 * SECOND_NS
PHYSICAL = Models(flr="physical")


def pieces(block: SampleBlock) -> list[SampleBlock]:
    """Half hours of a block."""
    count = PIECE_NS // block.step_ns
    return [
        SampleBlock(
            block.source,
            block.components,
            block.t0_ns + first * block.step_ns,
            block.step_ns,
            block.values[:, first : first + count],
        )
        for first in range(0, block.count, count)
    ]


def process(config: Config, records: Sequence[SampleBlock]) -> dict[tuple[str, str], dict[str, Any]]:
    """Final `flr` bodies by pair and time of day (`24:00` is the end of the day)."""
    pipeline = Pipeline(config)
    products = []
    for together in zip(*(pieces(record) for record in records), strict=True):
        for block in together:
            pipeline.admit(block)
        products += pipeline.feed(together)
    products += pipeline.flush()
    day = min(product.body["time"][:10] for product in products if product.kind == "flr")
    return {
        (product.subject, body["time"][11:16] if body["time"][:10] == day else "24:00"): dict(body)
        for product in products
        if product.kind == "flr"
        for body in [product.body]
    }


def by_time(bodies: dict[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Bodies of one pair by time of day."""
    return {time: body for (_, time), body in bodies.items()}


def half_hours(first: float, last: float) -> list[str]:
    return [f"{int(at // 2):02d}:{30 * int(at % 2):02d}" for at in range(int(2 * first), int(2 * last) + 1)]


def plain_cross_phase_peak_mHz(poleward: FloatArray, equatorward: FloatArray, step_s: float) -> float:
    """Frequency of the largest cross-phase in 6–28 mHz: Hann, FFT, 11 bins of complex smoothing, nothing else."""
    count = poleward.size
    spectra = [
        np.fft.fft(
            np.hanning(count)
            * (series - np.polyval(np.polyfit(np.arange(count), series, 1), np.arange(count)))
        )
        for series in (poleward, equatorward)
    ]
    cross = np.convolve(np.conj(spectra[0]) * spectra[1], np.ones(11) / 11, "same")
    frequency_mHz = 1e3 * np.arange(count) / (count * step_s)
    inside = np.flatnonzero((frequency_mHz >= 6.0) & (frequency_mHz <= 28.0))
    return float(frequency_mHz[inside[np.angle(cross[inside]).argmax()]])


@pytest.fixture(scope="module")
def muo_and_pel(load: Load) -> Pair:
    path = "ground/pel_muo_10s/pel_muo_2010-09-08_00-09UT_H_10s.csv.gz"
    return load(path, "MUO", "MUO_H"), load(path, "PEL", "PEL_H")


@pytest.fixture(scope="module")
def learned(muo_and_pel: Pair) -> dict[str, dict[str, Any]]:
    """What the learned chain says of MUO-PEL, by time of day."""
    return by_time(process(Config(pairs=("MUO-PEL:5.37",)), muo_and_pel))


@pytest.fixture(scope="module")
def resonance(muo_and_pel: Pair) -> dict[str, dict[str, Any]]:
    """What the physical estimate says of MUO-PEL, by time of day."""
    return by_time(process(Config(pairs=("MUO-PEL:5.37",), models=PHYSICAL), muo_and_pel))


@pytest.fixture(scope="module")
def plain_mHz(muo_and_pel: Pair) -> dict[str, float]:
    """The plain cross-phase maximum of every window from 04:30 on."""
    muo, pel = (record.values[0] for record in muo_and_pel)
    found = {}
    for time in half_hours(4.5, 9.0):
        last = (int(time[:2]) * 3600 + int(time[3:]) * 60) // 10
        found[time] = plain_cross_phase_peak_mHz(muo[last - 720 : last], pel[last - 720 : last], 10.0)
    return found


class TestLearnedChainOnMuoAndPel:
    def test_every_window_from_0330_to_0900_is_freq(self, learned: dict[str, dict[str, Any]]) -> None:
        assert {time: learned[time]["label"] for time in half_hours(3.5, 9.0)} == dict.fromkeys(
            half_hours(3.5, 9.0), "Freq"
        )

    def test_frequency_is_within_a_tenth_of_the_plain_cross_phase_maximum(
        self, learned: dict[str, dict[str, Any]], plain_mHz: dict[str, float]
    ) -> None:
        found = {time: learned[time]["frequency_mHz"] for time in plain_mHz}
        assert found == {time: pytest.approx(plain, rel=0.1) for time, plain in plain_mHz.items()}

    def test_frequency_lies_in_its_interval_and_falls_through_the_morning(
        self, learned: dict[str, dict[str, Any]]
    ) -> None:
        bodies = [learned[time] for time in half_hours(3.5, 9.0)]
        for body in bodies:
            low, high = body["frequency_interval_mHz"]
            assert low < body["frequency_mHz"] < high
        frequency = [body["frequency_mHz"] for body in bodies]
        assert np.polyfit(np.arange(len(frequency)), frequency, 1)[0] < -0.2

    def test_second_opinion_is_the_physical_estimate_unchanged(
        self, learned: dict[str, dict[str, Any]], resonance: dict[str, dict[str, Any]]
    ) -> None:
        assert learned.keys() == resonance.keys()
        for time, body in learned.items():
            assert body["physical"] | {"agrees": None} == resonance[time]["physical"], time
            assert resonance[time]["label"] == resonance[time]["physical"]["label"]
        agrees = [learned[time]["physical"]["agrees"] for time in half_hours(4.5, 9.0)]
        assert sum(agrees) >= 8

    def test_densities_are_said_for_both_harmonics_and_the_doubt_with_them(
        self, learned: dict[str, dict[str, Any]]
    ) -> None:
        judged = [body for body in learned.values() if body["label"] == "Freq"]
        assert len(judged) >= 12
        for body in judged:
            (third,) = body["density_alternatives"]
            # 21 to 14 mHz at L = 5.37 with m = 1: 3 to 12 amu cm⁻³ as fundamental, 50 to 170 as third harmonic.
            assert 3.0 < body["density_amu_cm3"] < 12.0
            assert 50.0 < third["density_amu_cm3"] < 170.0
            assert (body["harmonic"], third["harmonic"], third["ends"]) == (1, 3, "fixed-fixed")
            assert "harmonic_ambiguous" in body["flags"]
            low, high = body["density_interval_amu_cm3"]
            assert low < body["density_amu_cm3"] < high

    def test_light_and_hour_are_those_of_a_finnish_morning(self, learned: dict[str, dict[str, Any]]) -> None:
        assert {learned[time]["illumination"] for time in half_hours(5.0, 9.0)} == {"day"}
        hours = [learned[time]["mlt_h"] for time in half_hours(3.5, 9.0)]
        assert hours[0] == pytest.approx(2.5 + 2.5, abs=0.5)
        assert np.diff(hours) == pytest.approx(0.5, abs=0.01)

    def test_windows_that_are_not_yet_full_are_gaps(self, learned: dict[str, dict[str, Any]]) -> None:
        for time in half_hours(0.5, 1.5):
            assert learned[time]["label"] == "NoFreq"
            assert learned[time]["flags"] == ["gap"]
            assert learned[time]["probability"] is None

    def test_swapped_stations_are_a_reversed_resonance(self, muo_and_pel: Pair) -> None:
        bodies = by_time(process(Config(pairs=("PEL-MUO:5.37",)), muo_and_pel))
        labels = Counter(bodies[time]["label"] for time in half_hours(3.5, 9.0))
        assert labels["Freq"] == 0
        assert labels["PBL"] >= 7


class TestPhysicalEstimateOnMuoAndPel:
    def test_every_window_from_0330_to_0900_is_freq(self, resonance: dict[str, dict[str, Any]]) -> None:
        assert {resonance[time]["label"] for time in half_hours(3.5, 9.0)} == {"Freq"}

    def test_frequency_falls_from_about_20_to_about_14_mHz(
        self, resonance: dict[str, dict[str, Any]]
    ) -> None:
        frequency = [resonance[time]["frequency_mHz"] for time in half_hours(3.5, 9.0)]
        assert frequency[0] == pytest.approx(20.0, abs=1.5)
        assert frequency[-1] == pytest.approx(14.0, abs=1.0)
        assert np.polyfit(np.arange(len(frequency)), frequency, 1)[0] < -0.4

    def test_frequency_is_that_of_the_plain_cross_phase_maximum(
        self, resonance: dict[str, dict[str, Any]], plain_mHz: dict[str, float]
    ) -> None:
        found = {time: resonance[time]["frequency_mHz"] for time in plain_mHz}
        assert found == {time: pytest.approx(plain, abs=1.5) for time, plain in plain_mHz.items()}

    def test_early_disagreement_of_phase_and_amplitude_is_in_the_uncertainty(
        self, resonance: dict[str, dict[str, Any]]
    ) -> None:
        sigma = {time: body["physical"]["sigma_mHz"] for time, body in resonance.items()}
        assert sigma["03:30"] > 2.0
        assert sigma["03:30"] > 3.0 * sigma["07:00"]

    def test_windows_that_are_not_yet_full_are_gaps(self, resonance: dict[str, dict[str, Any]]) -> None:
        for time in half_hours(0.5, 1.5):
            assert resonance[time]["label"] == "NoFreq"
            assert "gap" in resonance[time]["flags"]

    def test_swapped_stations_are_a_reversed_resonance(self, muo_and_pel: Pair) -> None:
        bodies = by_time(process(Config(pairs=("PEL-MUO:5.37",), models=PHYSICAL), muo_and_pel))
        labels = Counter(bodies[time]["label"] for time in half_hours(3.5, 9.0))
        assert labels["Freq"] == 0
        assert labels["PBL"] >= 9


@pytest.fixture(scope="module")
def lemi_and_fge(load: Load) -> Pair:
    name = "ground/wic_1s/WIC_{}_0002_0002_2025-05-14_xyz_1s.csv.gz"
    return load(name.format("LEMI036_1"), "LEM", "x"), load(name.format("FGE_S0252"), "FGE", "x")


class TestClockOfLemiAgainstFge:
    @pytest.mark.parametrize(
        ("pair", "sign"),
        [("LEM-FGE", -1.0), ("FGE-LEM", 1.0), ("LEM-FGE:1.85", -1.0), ("FGE-LEM:1.85", 1.0)],
    )
    def test_offset_is_flagged_and_never_read_as_a_resonance(
        self, lemi_and_fge: Pair, pair: str, sign: float
    ) -> None:
        bodies = process(Config(pairs=(pair,)), lemi_and_fge)
        assert len(bodies) == 48
        assert {body["label"] for body in bodies.values()} == {"NoFreq"}
        assert all(("physical_only" in body["flags"]) == (":" not in pair) for body in bodies.values())
        # With an L the learned chain is asked where the ramp is too faint for `timing_offset`; it must not be taken in.
        asked = {"physical_only", "out_of_distribution", "dropped", "unconfirmed"}
        reasons = {key: frozenset(body["flags"]) - asked for key, body in bodies.items()}
        judged = [body for body in bodies.values() if "timing_offset" in body["flags"]]
        assert all(body["probability"] is None for body in judged)
        offset = [
            bodies[key]["physical"]["timing_offset_s"]
            for key, flags in reasons.items()
            if "timing_offset" in flags
        ]
        assert len(offset) >= 24
        assert np.median(offset) == pytest.approx(sign * 2.8, abs=0.3)
        full = [flags for (_, time), flags in reasons.items() if time not in half_hours(0.5, 1.5)]
        assert set(full) == {frozenset({"timing_offset"}), frozenset({"incoherent"})}


CHAIN = tuple(f"PG{number}" for number in range(6))
CHAIN_PAIRS = tuple(f"PG{number}-PG{number + 1}" for number in range(5))


@pytest.fixture(scope="module")
def chain(load: Load) -> dict[tuple[str, str], dict[str, Any]]:
    """Bodies of the five neighbouring pairs by pair and time of day."""
    records = [load(f"ground/aalpip_1s/{code}_2016-01-24_1s.csv.gz", code, "Bx", "X") for code in CHAIN]
    stations = {code: StationEntry(axes="magnetic") for code in CHAIN}
    return process(Config(pairs=CHAIN_PAIRS, stations=stations), records)


class TestAntarcticChain:
    def test_every_half_hour_of_every_pair_is_accounted_for(
        self, chain: dict[tuple[str, str], dict[str, Any]]
    ) -> None:
        times = [*half_hours(0.5, 23.5), "24:00"]
        assert set(chain) == {(pair, time) for pair in CHAIN_PAIRS for time in times}

    def test_gaps_show_in_coverage_and_flags(self, chain: dict[tuple[str, str], dict[str, Any]]) -> None:
        for pair in ("PG2-PG3", "PG3-PG4"):
            bad = [
                body
                for (name, time), body in chain.items()
                if name == pair and time > "02:00" and min(body["coverage"].values()) < 1.0 - 300 / 7200
            ]
            assert len(bad) >= 12, (
                pair
            )  # three gaps beyond the five minutes that are bridged, four windows each
            for body in bad:
                assert "gap" in body["flags"]
                assert body["label"] == "NoFreq"
                assert body["frequency_mHz"] is None
        whole = [body for body in chain.values() if min(body["coverage"].values()) == 1.0]
        assert whole
        assert not any("gap" in body["flags"] for body in whole)

    def test_resonances_at_such_latitudes_are_a_handful_at_most(
        self, chain: dict[tuple[str, str], dict[str, Any]]
    ) -> None:
        labels = Counter(body["label"] for body in chain.values())
        assert labels["Freq"] + labels["PBL"] <= 5
