"""The demonstration's spacecraft: what it sends, in which pieces, and that it never ends."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.decoders.native import NativeDecoder, native_payload, native_topic
from monitor.demo.craft import CraftFeed, simulated_craft
from monitor.science.synthetic.craft.series import PlasmaSeries
from monitor.types import CELL_NS, SECOND_NS, Domain, Message, SampleBlock, Surroundings

T0_NS = 1_504_785_600 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS
STEPS = 50


def ramp(steps: int = STEPS) -> PlasmaSeries:
    """A series whose density is the number of the step."""
    number = np.arange(steps, dtype=np.float64)
    vector = np.stack([number, -number, 2.0 * number], axis=1)
    return PlasmaSeries(vector, number, 10.0 * vector, number + 1.0, number + 2.0)


def pieces(feed: CraftFeed, begin_ns: int, end_ns: int, piece_ns: int = MINUTE_NS) -> list[SampleBlock]:
    return [
        block
        for at_ns in range(begin_ns, end_ns, piece_ns)
        for block in feed.blocks(at_ns, min(at_ns + piece_ns, end_ns))
    ]


@pytest.mark.parametrize("piece_ns", [SECOND_NS, 7 * SECOND_NS, MINUTE_NS, 3600 * SECOND_NS])
def test_pieces_join_without_gap_or_repetition(piece_ns: int) -> None:
    feed = CraftFeed("MMS1", T0_NS, ramp())
    found = pieces(feed, T0_NS, T0_NS + 8 * MINUTE_NS, piece_ns)
    times = np.concatenate([block.t0_ns + CELL_NS * np.arange(block.count) for block in found])
    np.testing.assert_array_equal(times, T0_NS + CELL_NS * np.arange(times.size))
    assert times.size == 8 * MINUTE_NS // CELL_NS + 1
    density = np.concatenate([block.values[block.components.index("N")] for block in found])
    there = np.arange(STEPS)
    np.testing.assert_array_equal(density, np.concatenate([there, there[::-1], there])[: times.size])


def test_samples_lie_on_the_grid_and_none_before_the_beginning() -> None:
    feed = CraftFeed("MMS1", T0_NS + SECOND_NS, ramp())
    assert feed.blocks(T0_NS - MINUTE_NS, T0_NS) == []
    (block,) = feed.blocks(T0_NS - MINUTE_NS, T0_NS + MINUTE_NS)
    assert block.t0_ns == T0_NS + CELL_NS
    assert block.values[block.components.index("N"), 0] == 0.0


def test_block_is_a_native_message_that_comes_back_with_its_totals() -> None:
    (block,) = CraftFeed("MMS1", T0_NS, ramp()).blocks(T0_NS, T0_NS + MINUTE_NS)
    assert (block.domain, block.frame, block.step_ns) == (Domain.CRAFT, "gse", CELL_NS)
    message = Message(native_topic(block, "r"), native_payload(block), T0_NS + MINUTE_NS)
    assert message.topic == "r/in/craft/MMS1"
    (back,) = NativeDecoder(NativeDecoder.Options(), Surroundings("native")).decode(message)
    assert {"B", "V", "T"} == set(back.components) - set(block.components)
    for name, row in zip(block.components, block.values, strict=True):
        np.testing.assert_array_equal(back.values[back.components.index(name)], row)


def test_simulated_spacecraft_is_the_same_every_time_and_within_the_limits_of_messages() -> None:
    hours_ns = 10 * 3600 * SECOND_NS
    (first,), (second,) = (simulated_craft(T0_NS).blocks(T0_NS, T0_NS + hours_ns) for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)
    assert first.count == hours_ns // CELL_NS
    message = Message(native_topic(first, "r"), native_payload(first), T0_NS + hours_ns)
    (back,) = NativeDecoder(
        NativeDecoder.Options(), Surroundings("native", maximum_payload_bytes=1 << 24)
    ).decode(message)
    assert np.isfinite(back.values).all()
    # Through the solar wind and deep inside: decades of density, and flows from fast to slow.
    density, speed = back.values[back.components.index("N")], back.values[back.components.index("V")]
    assert density.max() > 30.0 * density.min()
    assert speed.max() > 250.0
    assert speed.min() < 100.0
