"""Injected signals: functions of time alone, whose truth the whole pipeline finds, and which disturb nothing real."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import parse_config, shadow_sources, shadow_subjects, with_shadows
from monitor.errors import ConfigurationError
from monitor.pipeline import Pipeline
from monitor.plugins import installed
from monitor.science.synthetic.craft.shadow import CRAFT_HOLD_NS, TOUR, ShadowCraft
from monitor.science.synthetic.shadow_pair import ShadowPair
from monitor.types import (
    CELL_NS,
    REGIONS,
    SECOND_NS,
    SHADOW_CRAFT,
    SHADOW_HOLD_NS,
    SHADOW_PAIR,
    Product,
    SampleBlock,
    Shadow,
    ShadowTruth,
)

PLUGINS = installed()

MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 1_763_683_200 * SECOND_NS // (48 * HOUR_NS) * 48 * HOUR_NS
"""Midnight of an even day."""
LENGTH_NS = {"flr": 2 * HOUR_NS, "region": 180 * SECOND_NS}
SHADOWS = {"pair": ShadowPair, "craft": ShadowCraft}
BOTH = "pairs: [TAR-BRZ]\ncraft: [MMS1]\ninjection: {pair: true, craft: true}\n"


def joined(blocks: Sequence[SampleBlock]) -> dict[str, np.ndarray]:
    """The samples of each source, checked to follow each other without a gap."""
    rows: dict[str, list[np.ndarray]] = {}
    ends: dict[str, int] = {}
    for block in blocks:
        assert ends.get(block.source, block.t0_ns) == block.t0_ns
        ends[block.source] = block.end_ns
        rows.setdefault(block.source, []).append(block.values)
    return {source: np.concatenate(parts, axis=1) for source, parts in rows.items()}


def played(pipeline: Pipeline, shadow: Shadow, begin_ns: int, hours: int) -> list[Product]:
    """What a pipeline makes of some hours of a shadow."""
    products = []
    for minute in range(0, 60 * hours, 10):
        begin = begin_ns + minute * MINUTE_NS
        for block in shadow.blocks(begin, begin + 10 * MINUTE_NS):
            pipeline.admit(block)
            products += pipeline.feed([block])
    return products + pipeline.flush()


def recovered(shadow: Shadow, products: Sequence[Product], begin_ns: int) -> list[tuple[str, bool]]:
    """Truth and whether it was found, of each judged window by its newest product."""
    newest = {product.time_ns: product for product in products if product.kind == shadow.kind}
    found = []
    for end_ns, product in newest.items():
        length_ns = LENGTH_NS[shadow.kind]
        truth = shadow.truth(end_ns, length_ns) if end_ns - length_ns >= begin_ns else None
        if truth is not None:
            frequency = product.body.get("frequency_mHz")
            frequency_Hz = None if frequency is None else 1e-3 * frequency
            found.append((truth.label, truth.is_recovered(product.body["label"], frequency_Hz)))
    return found


class TestSamples:
    @settings(max_examples=12)
    @given(
        name=st.sampled_from(sorted(SHADOWS)),
        begin_s=st.integers(0, 7 * 3600),
        cuts=st.lists(st.integers(1, 3600), min_size=1, max_size=5),
    )
    def test_samples_do_not_depend_on_how_time_is_cut(self, name: str, begin_s: int, cuts: list[int]) -> None:
        # Over the end of a hold of the pair, and of several of the spacecraft.
        begin = DAY_NS + begin_s * SECOND_NS
        pieces, at = [], begin
        shadow = SHADOWS[name]()
        for cut in cuts:
            pieces += shadow.blocks(at, at + cut * SECOND_NS)
            at += cut * SECOND_NS
        whole = joined(SHADOWS[name]().blocks(begin, at))
        cut_up = joined(pieces)
        assert whole.keys() == cut_up.keys()
        for source, values in whole.items():
            np.testing.assert_array_equal(cut_up[source], values)

    def test_seed_changes_the_samples(self) -> None:
        for make in SHADOWS.values():
            one, other = (make(seed).blocks(DAY_NS, DAY_NS + MINUTE_NS)[0].values for seed in (0, 1))
            assert not np.array_equal(one, other)

    def test_blocks_hold_what_begins_in_the_time_that_was_asked_for(self) -> None:
        (block,) = ShadowCraft().blocks(DAY_NS + 1, DAY_NS + 2 * CELL_NS)
        assert (block.source, block.t0_ns, block.count) == (SHADOW_CRAFT, DAY_NS + CELL_NS, 1)
        blocks = ShadowPair().blocks(DAY_NS, DAY_NS + MINUTE_NS)
        assert [(block.source, block.t0_ns, block.count) for block in blocks] == [
            ("INJP", DAY_NS, 60),
            ("INJQ", DAY_NS, 60),
        ]


class TestTruth:
    def test_window_over_a_change_has_none(self) -> None:
        pair, craft = ShadowPair(), ShadowCraft()
        change_ns, length_ns = DAY_NS + SHADOW_HOLD_NS, LENGTH_NS["flr"]
        assert pair.truth(change_ns, length_ns) is not None
        assert pair.truth(change_ns + 1, length_ns) is None
        assert pair.truth(change_ns + length_ns - 1, length_ns) is None
        assert pair.truth(change_ns + length_ns, length_ns) is not None
        judged = [
            craft.truth(DAY_NS + number * 180 * SECOND_NS, LENGTH_NS["region"]) is not None
            for number in range(1, CRAFT_HOLD_NS // (180 * SECOND_NS) + 1)
        ]
        assert judged == [False, *[True] * 8, False]

    def test_day_has_all_labels_and_some_hours_all_regions(self) -> None:
        pair, craft = ShadowPair(), ShadowCraft()
        ends = range(DAY_NS + SHADOW_HOLD_NS, DAY_NS + 25 * HOUR_NS, SHADOW_HOLD_NS)
        truths = [pair.truth(end, LENGTH_NS["flr"]) for end in ends]
        assert [truth.label for truth in truths if truth] == ["Freq", "PBL", "Freq", "NoFreq"]
        frequencies = [truth.frequency_Hz for truth in truths if truth and truth.frequency_Hz]
        assert all(10e-3 < frequency < 40e-3 for frequency in frequencies)
        middles = range(DAY_NS + CRAFT_HOLD_NS // 2, DAY_NS + 3 * HOUR_NS, CRAFT_HOLD_NS)
        met = {craft.truth(middle, LENGTH_NS["region"]) for middle in middles}
        assert {truth.label for truth in met if truth} == {str(region) for region in TOUR} < set(REGIONS)

    @pytest.mark.parametrize(
        ("label", "frequency_Hz", "is_right"),
        [
            ("Freq", 20.0e-3, True),
            ("Freq", 21.5e-3, True),
            ("Freq", 21.7e-3, False),
            ("PBL", 20.0e-3, False),
            ("Freq", None, False),
            (None, None, False),
        ],
    )
    def test_product_is_held_against_label_and_frequency(
        self, label: str | None, frequency_Hz: float | None, is_right: bool
    ) -> None:
        assert ShadowTruth("Freq", 20.0e-3).is_recovered(label, frequency_Hz) is is_right

    def test_low_frequency_has_three_tenths_of_a_millihertz(self) -> None:
        assert ShadowTruth("Freq", 2.0e-3).is_recovered("Freq", 2.29e-3)
        assert not ShadowTruth("Freq", 2.0e-3).is_recovered("Freq", 2.31e-3)
        assert ShadowTruth("NoFreq").is_recovered("NoFreq", None)


@pytest.fixture(scope="module")
def said() -> dict[str, list[Product]]:
    """What the bundled models say of two days of the pair and one of the spacecraft, by kind of shadow."""
    config = with_shadows(parse_config("pairs: [TAR-BRZ]\ninjection: {pair: true}\n", "a.yaml", PLUGINS))
    of_pair = played(Pipeline(config), ShadowPair(), DAY_NS, 48)
    config = with_shadows(parse_config("craft: [MMS1]\ninjection: {craft: true}\n", "a.yaml", PLUGINS))
    return {"pair": of_pair, "craft": played(Pipeline(config), ShadowCraft(), DAY_NS, 24)}


class TestRecovery:
    @pytest.mark.parametrize(("name", "windows", "least"), [("pair", 72, 0.95), ("craft", 384, 0.9)])
    def test_pipeline_finds_the_truth(
        self, said: dict[str, list[Product]], name: str, windows: int, least: float
    ) -> None:
        verdicts = recovered(SHADOWS[name](), said[name], DAY_NS)
        assert len(verdicts) == windows
        assert np.mean([right for _, right in verdicts]) >= least
        for label in {label for label, _ in verdicts}:
            assert np.mean([right for one, right in verdicts if one == label]) >= 0.75, label

    def test_products_say_that_they_are_injected_and_nothing_else_comes(
        self, said: dict[str, list[Product]]
    ) -> None:
        for name, kind in (("pair", "flr"), ("craft", "region")):
            # No events though it jumps from region to region, and no health.
            assert {product.kind for product in said[name]} == {kind}
            assert all("injection" in product.body["flags"] for product in said[name])

    def test_real_products_and_their_health_are_as_without_shadows(self) -> None:
        plain = parse_config(BOTH, "a.yaml", PLUGINS)
        config = with_shadows(plain)
        assert shadow_subjects(config.injection) == {SHADOW_PAIR.name, SHADOW_CRAFT}
        assert shadow_sources(config.injection) == {"INJP", "INJQ", SHADOW_CRAFT}
        real = ShadowPair(seed=5)
        long_ago = DAY_NS - 3000 * 24 * HOUR_NS
        without, beside = Pipeline(plain), Pipeline(config)
        expected, found = [], []
        for minute in range(180):
            begin = long_ago + minute * MINUTE_NS
            blocks = [
                SampleBlock(code, ("H",), block.t0_ns, block.step_ns, block.values)
                for code, block in zip(("TAR", "BRZ"), real.blocks(begin, begin + MINUTE_NS), strict=True)
            ]
            now = DAY_NS + minute * MINUTE_NS
            shadows = [one for make in SHADOWS.values() for one in make().blocks(now, now + MINUTE_NS)]
            expected += without.feed(blocks)
            found += beside.feed([*shadows, *blocks])
        mine = [product for product in found if product.subject not in (SHADOW_PAIR.name, SHADOW_CRAFT)]
        assert {product.kind for product in mine} == {"flr", "health"}
        assert [product.encode(0) for product in mine] == [product.encode(0) for product in expected]
        assert set(beside.health_states) == {"TAR", "BRZ"}


class TestConfiguration:
    def test_shadows_are_off_by_default_and_change_nothing_then(self) -> None:
        config = parse_config("pairs: [TAR-BRZ]\n", "a.yaml", PLUGINS)
        assert with_shadows(config) is config
        assert not shadow_subjects(config.injection)

    def test_shadows_stand_beside_the_real_ones(self) -> None:
        config = with_shadows(parse_config(BOTH, "a.yaml", PLUGINS))
        assert [pair.name for pair in config.pair_list] == ["TAR-BRZ", SHADOW_PAIR.name]
        assert config.pair_list[1].l_shell == 3.0
        assert config.craft == ("MMS1", SHADOW_CRAFT)

    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("stations: {INJP: {l_shell: 3}}\n", 4, ("INJP", "rename")),
            ("chains: {INJECT: [TAR-BRZ]}\n", 4, ("INJECT", "rename")),
            (
                "inputs: [{decoder: native, topic: geospace/v1/in/mag/#}]\n",
                4,
                ("geospace/v1/in/craft/INJECT", "inputs"),
            ),
            ("outputs: {root: mine}\n", 4, ("mine/in/mag/INJQ", "{decoder: native, topic: mine/in/#}")),
            ("windows: {length_s: 43200}\n", 4, ("windows.length_s 43200", "6 h")),
            ("models: {region: none}\n", 4, ("models.region", "injection.craft off")),
        ],
    )
    def test_what_the_shadows_need_is_said_with_advice(
        self, text: str, line: int, words: tuple[str, ...]
    ) -> None:
        config = "pairs: [TAR-BRZ]\ncraft: [MMS1]\n" + text + "injection: {pair: true, craft: true}\n"
        with pytest.raises(ConfigurationError) as caught:
            parse_config(config, "a.yaml", PLUGINS)
        lines = str(caught.value).splitlines()
        assert all(one.startswith(f"a.yaml:{line}:") for one in lines)
        assert any(all(word in one for word in words) for one in lines), lines
        parse_config(config.replace("true", "false"), "a.yaml", PLUGINS)

    def test_spacecraft_and_station_of_that_name_are_faults_only_where_they_are_injected(self) -> None:
        parse_config("craft: [INJECT]\n", "a.yaml", PLUGINS)
        with pytest.raises(ConfigurationError, match="INJECT is the name of an injected signal"):
            parse_config("craft: [INJECT]\ninjection: {craft: true}\n", "a.yaml", PLUGINS)
