"""Findings, stretches and a made-up network: shared by the tests of what follows from the windows of spacecraft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.science.debounce import DebounceParameters
from monitor.science.region import running_mean, tempered
from monitor.stages.craft_event import CraftEventStage
from monitor.stages.crossing import CrossingParameters
from monitor.stages.region_label import RegionLabelParameters, RegionLabelStage
from monitor.types import (
    CELL_NS,
    CONTEXT_CELLS,
    REGIONS,
    SECOND_NS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    BoolArray,
    CraftStretch,
    Domain,
    FloatArray,
    Region,
    RegionFinding,
    SampleBlock,
)

LENGTH_NS = WINDOW_CELLS * CELL_NS
T0_NS = 1_504_785_600 * SECOND_NS  # 2017-09-07T12:00:00Z, a multiple of every hop
URL = "http://127.0.0.1:9464"
DENSITY = VARIABLES.index("N")


def probability(
    region: Region | str, share: float = 0.97, other: Region | str | None = None
) -> tuple[float, ...]:
    """A share for one region; the rest for another, or a little for each. In single precision, as found."""
    values = np.full(len(REGIONS), (1.0 - share) / (len(REGIONS) - 1) if other is None else 0.0)
    if other is not None:
        values[REGIONS.index(Region(other))] = 1.0 - share
    values[REGIONS.index(Region(region))] = share
    return tuple(values.astype(np.float32).tolist())


def finding(
    number: int,
    region: Region | str | None = "MSH",
    share: float = 0.97,
    other: Region | str | None = None,
    *,
    hop_ns: int = LENGTH_NS,
    craft: str = "MMS1",
    novel: bool = False,
    bridged: float = 0.0,
) -> RegionFinding:
    """What is found of window `number` after `T0_NS`; of a hole where there is no region."""
    end_ns = T0_NS + number * hop_ns
    if region is None:
        return RegionFinding(craft, end_ns, None, None, False, 0.0, (), 0.0, frozenset({"gap"}))
    return RegionFinding(
        craft=craft,
        end_ns=end_ns,
        probability=probability(region, share, other),
        cam=(0.25, 1.0) * (WINDOW_CELLS // 2),
        novel=novel,
        support_s=238.5,
        missing=(),
        bridged=bridged,
        flags=frozenset({"novel"} if novel else ()),
    )


def findings(
    regions: Sequence[str | None], *, first: int = 0, hop_ns: int = LENGTH_NS
) -> list[RegionFinding]:
    """One window after the other."""
    return [finding(first + number, region, hop_ns=hop_ns) for number, region in enumerate(regions)]


def label_stage(
    evidence: float = 1.1, hop_ns: int = LENGTH_NS, remember_ns: int = 20 * LENGTH_NS
) -> RegionLabelStage:
    return RegionLabelStage(
        RegionLabelParameters(DebounceParameters(evidence, hop_ns), LENGTH_NS, remember_ns)
    )


def event_stage(
    craft: Sequence[str] = ("MMS1",),
    hop_ns: int = LENGTH_NS,
    remember_ns: int = 20 * LENGTH_NS,
    windows: int = 2,
    refractory_ns: int = 0,
) -> CraftEventStage:
    return CraftEventStage(
        craft,
        CrossingParameters(
            minimum_windows=windows,
            settle_windows=windows,
            refractory_ns=refractory_ns,
            merge_ns=0,
            patience_ns=3600 * SECOND_NS,
        ),
        length_ns=LENGTH_NS,
        hop_ns=hop_ns,
        base_url=URL,
        remember_ns=remember_ns,
    )


@dataclass(frozen=True, slots=True)
class Read:
    """As the model's output."""

    probability: FloatArray
    scores: FloatArray
    novel: BoolArray


@dataclass(slots=True)
class StubModel:
    """Reads the region's number from the density: the scores of a cell are high for it and low for all others.

    A density of 20 or more is like nothing it has seen.
    """

    calls: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def windows(self, values: FloatArray) -> Read:
        self.calls.append(("windows", values.shape))
        return self._read(values, 0, 0)

    def stretches(self, values: FloatArray) -> Read:
        self.calls.append(("stretches", values.shape))
        return self._read(values, *CONTEXT_CELLS)

    @staticmethod
    def _read(values: FloatArray, before: int, after: int) -> Read:
        density = values[:, before : values.shape[1] - after, DENSITY]
        scores = 8.0 * (np.round(density)[..., None] == np.arange(len(REGIONS))) - 0.5
        novel = running_mean((density >= 20.0)[..., None].astype(float))[..., 0] > 0.5
        return Read(tempered(running_mean(scores), 1.0), scores, novel)


def stretch(
    regions: Sequence[str],
    ends: Sequence[int] = (0,),
    *,
    craft: str = "MMS1",
    context: bool = True,
    bridged: float = 0.0,
    missing: tuple[str, ...] = (),
) -> CraftStretch:
    """A stretch with a region for every cell; its windows end so many cells after `T0_NS`."""
    values = np.full((len(regions), len(VARIABLES)), 5.0)
    values[:, DENSITY] = [REGIONS.index(Region(region)) for region in regions]
    for name in missing:
        values[:, VARIABLES.index(name)] = np.nan
    ends_ns = tuple(T0_NS + end * CELL_NS for end in ends)
    lead = CONTEXT_CELLS[0] if context else 0
    expected = (SUPPORT_CELLS if context else WINDOW_CELLS) + ends[-1] - ends[0]
    assert len(regions) == expected, f"the stretch has {len(regions)} cells, its windows need {expected}"
    return CraftStretch(
        craft=craft,
        t0_ns=ends_ns[0] - LENGTH_NS - lead * CELL_NS,
        values=values,
        ends_ns=ends_ns,
        context=context,
        missing=missing,
        bridged=(bridged,) * len(ends),
    )


def samples(regions: Sequence[str | None], *, first: int = 0, craft: str = "MMS1") -> SampleBlock:
    """Whole measurements with a region for every cell, from so many cells after `T0_NS`; a gap where there is none."""
    values = np.full((len(VARIABLES), len(regions)), np.nan)
    for at, region in enumerate(regions):
        if region is not None:
            values[:, at] = _MEASURED
            values[DENSITY, at] = REGIONS.index(Region(region)) + 0.01
            # Never quite the same: a field that does not move is a fault.
            values[:3, at] += 0.1 * ((first + at) % 3)
    values[VARIABLES.index("B")] = np.linalg.norm(values[:3], axis=0)
    return SampleBlock(
        craft, VARIABLES, T0_NS + first * CELL_NS, CELL_NS, values.round(6), Domain.CRAFT, frame="gse"
    )


# In the order of `VARIABLES`, the totals as their parts have them.
_MEASURED = np.array([3.0, 4.0, 12.0, 13.0, 5.0, -300.0, 40.0, 0.0, 302.654919, 100.0, 100.0, 100.0])
