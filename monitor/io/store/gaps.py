"""Where a source has no sample: what a pull source asks for again."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from monitor.types import SampleBlock


def gaps_between(
    blocks: Iterable[SampleBlock], begin_ns: int, end_ns: int, components: Collection[str] = ()
) -> list[tuple[int, int]]:
    """The stretches (ns UTC, rising) of [begin, end) in which no block has a number.

    A sample stands for its time up to one step later. Where `components` are named, a number in any of them counts,
    and no other does: a spacecraft's field says nothing about its plasma.
    """
    held: list[tuple[int, int]] = []
    for block in blocks:
        rows = [row for row, name in enumerate(block.components) if not components or name in components]
        there = ~np.isnan(block.values[rows]).all(axis=0) if rows else np.zeros(block.count, dtype=np.bool_)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], there, [False]))))
        held += [
            (block.t0_ns + int(start) * block.step_ns, block.t0_ns + int(stop) * block.step_ns)
            for start, stop in zip(edges[::2], edges[1::2], strict=True)
        ]
    gaps: list[tuple[int, int]] = []
    reached_ns = begin_ns
    for start_ns, stop_ns in sorted(held):
        if start_ns >= end_ns:
            break
        if start_ns > reached_ns:
            gaps.append((reached_ns, start_ns))
        reached_ns = max(reached_ns, stop_ns)
    if reached_ns < end_ns:
        gaps.append((reached_ns, end_ns))
    return gaps
