"""Windows that tell nothing, through the whole pipeline with the learned chain: NoFreq, with the flag that says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from monitor.config import Config
from monitor.pipeline import Pipeline
from monitor.science.synthetic.ground import EMMA, GroundSimulator, quiet_day
from monitor.types import SECOND_NS, FloatArray, SampleBlock

BEGIN_NS = 1_577_858_400 * SECOND_NS  # 2020-01-01T06:00:00Z, when the simulated waves are strong
COUNT = 7200
CODES = ("TAR", "BRZ")
PAIRS = ("TAR-BRZ",)
LIMIT_S = 300
"""Longest gap that is bridged; a tenth of the samples may be missing in all."""
REASONS = frozenset(
    {"gap", "flat", "spikes", "timing_offset", "incoherent", "no_resonance", "out_of_distribution"}
)

Spoil = Callable[[FloatArray], None]


@cache
def morning() -> FloatArray:
    """Two hours of two stations, poleward first, with a resonance in them."""
    chain = [station for station in EMMA if station[0] in CODES]
    simulator = GroundSimulator(quiet_day(BEGIN_NS, stations=chain))
    found = {
        block.source: block.values[0] for block in simulator.blocks(BEGIN_NS, BEGIN_NS + COUNT * SECOND_NS)
    }
    return np.stack([found[code] for code in CODES])


def judged(values: FloatArray, step_s: int = 1, pairs: tuple[str, ...] = PAIRS) -> dict[str, Any]:
    """The object of the window that ends at 08:00, as it goes out: JSON has no NaN."""
    pipeline, products = Pipeline(Config(pairs=pairs)), []
    piece = 600 // step_s
    for first in range(0, values.shape[1], piece):
        t0_ns = BEGIN_NS + first * step_s * SECOND_NS
        blocks = [
            SampleBlock(code, ("H",), t0_ns, step_s * SECOND_NS, row[None, first : first + piece].copy())
            for code, row in zip(CODES, values, strict=True)
        ]
        for block in blocks:
            pipeline.admit(block)
        products += pipeline.feed(blocks)
    products += pipeline.flush()
    last = [json.loads(product.encode(BEGIN_NS)) for product in products if product.kind == "flr"][-1]
    assert last["time"] == "2020-01-01T08:00:00Z"
    return last


def assert_says_nothing(document: dict[str, Any], flag: str) -> None:
    assert document["label"] == "NoFreq", document
    assert flag in document["flags"], document
    assert document["frequency_mHz"] is None
    assert document["frequency_interval_mHz"] is None
    assert document["harmonic"] is None


def test_whole_window_shows_its_resonance() -> None:
    """What is spoilt below is worth something."""
    document = judged(morning())
    assert document["label"] == "Freq"
    assert not REASONS & set(document["flags"])


def gap(first: int, count: int) -> Spoil:
    def spoil(rows: FloatArray) -> None:
        rows[0, first : first + count] = np.nan

    return spoil


def gaps(count: int, each: int) -> Spoil:
    def spoil(rows: FloatArray) -> None:
        for first in np.linspace(100, COUNT - 200 - each, count).astype(int).tolist():
            rows[1, first : first + each] = np.nan

    return spoil


class TestGaps:
    @pytest.mark.parametrize(
        "spoil",
        [
            gap(3000, LIMIT_S),
            gap(0, LIMIT_S),
            gap(COUNT - LIMIT_S, LIMIT_S),
            gap(3000, 1),
            gaps(24, 30),  # 720 s: just a tenth
        ],
    )
    def test_gaps_within_the_limits_are_bridged_and_the_window_is_judged(self, spoil: Spoil) -> None:
        rows = morning().copy()
        spoil(rows)
        document = judged(rows)
        assert "bridged" in document["flags"]
        assert "gap" not in document["flags"]
        assert document["probability"] is not None or "out_of_distribution" in document["flags"]

    @pytest.mark.parametrize(
        "spoil",
        [
            gap(3000, LIMIT_S + 1),
            gap(0, LIMIT_S + 1),
            gap(COUNT - LIMIT_S - 1, LIMIT_S + 1),
            gaps(24, 31),  # 744 s: more than a tenth
            gap(0, COUNT),
        ],
    )
    def test_gaps_beyond_the_limits_rule_the_window_out(self, spoil: Spoil) -> None:
        rows = morning().copy()
        spoil(rows)
        document = judged(rows)
        assert_says_nothing(document, "gap")
        assert document["flags"] == ["gap"]
        assert document["probability"] is None
        assert document["physical"]["label"] == "NoFreq"

    def test_two_hours_of_nan_are_a_gap(self) -> None:
        assert_says_nothing(judged(np.full((2, COUNT), np.nan)), "gap")

    def test_every_second_sample_missing_is_a_gap(self) -> None:
        rows = morning().copy()
        rows[:, ::2] = np.nan
        assert_says_nothing(judged(rows), "gap")


class TestStuckSensors:
    @pytest.mark.parametrize("value", [0.0, 17_000.0, -32_768.0])
    @pytest.mark.parametrize("stations", [(0,), (1,), (0, 1)])
    def test_constant_records_are_flat(self, value: float, stations: tuple[int, ...]) -> None:
        rows = morning().copy()
        rows[list(stations)] = value
        document = judged(rows)
        assert_says_nothing(document, "flat")
        assert document["probability"] is None

    def test_record_that_sticks_half_way_is_flat(self) -> None:
        rows = morning().copy()
        rows[0, 3500:] = rows[0, 3500]
        assert_says_nothing(judged(rows), "flat")

    def test_saturated_record_is_no_resonance(self) -> None:
        """The digitiser's end is reached in each swing, so that the record stands there for most of the time."""
        rows = morning().copy()
        middle = np.median(rows[0])
        rows[0] = np.clip(1e4 * (rows[0] - middle), -2.0, 2.0) + middle
        document = judged(rows)
        assert document["label"] == "NoFreq"
        assert REASONS & set(document["flags"])

    def test_saturated_extremes_are_no_resonance_where_both_stand(self) -> None:
        rows = np.minimum(morning(), np.quantile(morning(), 0.4, axis=1)[:, None])
        document = judged(rows)
        assert_says_nothing(document, "flat")


class TestNoSignal:
    def test_two_independent_noises_are_no_resonance(self) -> None:
        rng = np.random.default_rng(7)
        rows = 17_000.0 + np.cumsum(rng.normal(0.0, 0.05, (2, COUNT)), axis=1)
        document = judged(rows)
        assert document["label"] == "NoFreq"
        assert {"incoherent", "out_of_distribution"} & set(document["flags"])

    def test_the_same_record_twice_is_no_resonance(self) -> None:
        rows = np.stack([morning()[0]] * 2)
        document = judged(rows)
        assert document["label"] == "NoFreq"
        assert {"no_resonance", "out_of_distribution"} & set(document["flags"])

    def test_late_clock_is_an_offset_and_no_model_is_asked(self) -> None:
        common = np.cumsum(np.random.default_rng(3).normal(0.0, 0.1, COUNT + 4))
        own = np.cumsum(np.random.default_rng(4).normal(0.0, 0.005, (2, COUNT)), axis=1)
        document = judged(17_000.0 + np.stack([common[4:], common[:-4]]) + own)
        assert_says_nothing(document, "timing_offset")
        assert document["probability"] is None
        assert document["physical"]["timing_offset_s"] == pytest.approx(-4.0, abs=0.3)

    def test_bursts_of_spikes_rule_the_window_out(self) -> None:
        rows = morning().copy()
        rows[1, 50::60] += 500.0
        assert_says_nothing(judged(rows), "spikes")

    def test_straight_ramp_is_no_resonance(self) -> None:
        rows = 17_000.0 + np.outer([1.0, 2.0], 0.01 * np.arange(COUNT))
        document = judged(rows)
        assert document["label"] == "NoFreq"
        assert REASONS & set(document["flags"])

    def test_last_digit_alone_is_no_resonance(self) -> None:
        """A quiet field that changes by a digit now and then."""
        rng = np.random.default_rng(11)
        rows = 17_000.0 + 0.1 * np.round(rng.normal(0.0, 0.4, (2, COUNT)))
        document = judged(rows)
        assert document["label"] == "NoFreq"
        assert REASONS & set(document["flags"])


@pytest.mark.parametrize("pairs", [("TAR-BRZ",), ("TAR-BRZ:1.3",), ("TAR-BRZ:60",)])
def test_slow_samples_of_any_l_never_fail(pairs: tuple[str, ...]) -> None:
    """The grid that scales with L then lies above what such a step can tell, or below the band."""
    rng = np.random.default_rng(5)
    rows = 17_000.0 + np.cumsum(rng.normal(0.0, 0.1, (2, COUNT // 10)), axis=1)
    document = judged(rows, step_s=10, pairs=pairs)
    assert document["label"] == "NoFreq"
    assert REASONS & set(document["flags"])
