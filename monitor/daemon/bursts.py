"""Cuts what comes at once into what the windows can take at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.config import Config
from monitor.config.schema import CraftWindows, Windows
from monitor.daemon.recovery import pieces
from monitor.types import SECOND_NS, Domain, SampleBlock


def bounded(config: Config, blocks: Sequence[SampleBlock]) -> Iterator[Sequence[SampleBlock]]:
    """Blocks as they came, or cut where one burst spans more time than the windows can reach back.

    A replay at full speed may bring hours at once: fed whole, the clock would leave windows behind.
    """
    reaches = {Domain.GROUND: _reach_ns(config.windows), Domain.CRAFT: _reach_ns(config.craft_windows)}
    long = [
        reach_ns
        for domain, reach_ns in reaches.items()
        if _spanned_ns([block for block in blocks if block.domain is domain]) > reach_ns
    ]
    if long:
        yield from pieces(blocks, min(long))
    elif blocks:
        yield blocks


def _reach_ns(windows: Windows | CraftWindows) -> int:
    """How much time a burst may span."""
    return round(max(windows.revise_s, windows.lateness_s, 2.0) * SECOND_NS / 2)


def _spanned_ns(blocks: Sequence[SampleBlock]) -> int:
    if not blocks:
        return 0
    return max(block.end_ns for block in blocks) - min(block.t0_ns for block in blocks)
