"""From windows of spacecraft to what the network makes of them, all spacecraft that are due in one batch."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from monitor.science.region import class_activation
from monitor.types import (
    CELL_NS,
    CONTEXT_CELLS,
    SECOND_NS,
    SUPPORT_CELLS,
    WINDOW_CELLS,
    BoolArray,
    CraftHole,
    CraftStretch,
    FloatArray,
    RealArray,
    RegionFinding,
    Tick,
)

logger = logging.getLogger(__name__)

_CELL_S = CELL_NS / SECOND_NS
# Finer, the map would say more than the network knows; stored and sent values are the same.
_MAP_STEPS = 1000


class RegionRead(Protocol):
    """What a network gives of n stretches of w windows each: of the model's output, the part that is needed here."""

    @property
    def probability(self) -> RealArray:
        """Shape (n, w, 10), calibrated."""
        ...

    @property
    def scores(self) -> RealArray:
        """Shape (n, w + 39, 10): of the cells from the first of the first window to the last of the last."""
        ...

    @property
    def novel(self) -> BoolArray:
        """Shape (n, w)."""
        ...


class RegionReader(Protocol):
    """A network in its two forms."""

    def windows(self, values: FloatArray, /) -> RegionRead:
        """Windows that stand alone, shape (n, 40, 12)."""
        ...

    def stretches(self, values: FloatArray, /) -> RegionRead:
        """Stretches with context, shape (n, t, 12): t - 52 windows each, one a cell."""
        ...


class RegionStage:
    """Asks the network about every window, a batch for all of the same length and form.

    Parameters
    ----------
    model : RegionReader or None
        Without one nothing is found: one log line says so.
    """

    lookback_ns = 0

    def __init__(self, model: RegionReader | None) -> None:
        self._model = model
        self._said = False

    def feed(self, items: Sequence[CraftStretch | CraftHole] | Tick) -> list[RegionFinding]:
        """The findings of all windows in the order of time."""
        if isinstance(items, Tick) or not items:
            return []
        if self._model is None:
            self._say_nothing_is_found()
            return []
        findings = [_of_hole(item) for item in items if isinstance(item, CraftHole)]
        batches: dict[tuple[bool, int], list[CraftStretch]] = defaultdict(list)
        for item in items:
            if isinstance(item, CraftStretch):
                batches[item.context, item.values.shape[0]].append(item)
        for (context, _), stretches in batches.items():
            values = np.stack([stretch.values for stretch in stretches])
            read = self._model.stretches(values) if context else self._model.windows(values)
            for row, stretch in enumerate(stretches):
                findings += _of_stretch(read, row, stretch)
        return sorted(findings, key=lambda finding: finding.end_ns)

    def _say_nothing_is_found(self) -> None:
        if not self._said:
            self._said = True
            logger.warning(
                "spacecraft data come in, but there is no model of regions: nothing is said of them (models.region)"
            )


def _of_hole(hole: CraftHole) -> RegionFinding:
    return RegionFinding(
        craft=hole.craft,
        end_ns=hole.end_ns,
        probability=None,
        cam=None,
        novel=False,
        support_s=round(hole.coverage * WINDOW_CELLS) * _CELL_S,
        missing=hole.missing,
        bridged=0.0,
        flags=frozenset({hole.reason}),
    )


def _of_stretch(read: RegionRead, row: int, stretch: CraftStretch) -> list[RegionFinding]:
    """The windows of a stretch that are asked for: the network has one a cell."""
    cells = SUPPORT_CELLS if stretch.context else WINDOW_CELLS
    lead = CONTEXT_CELLS[0] if stretch.context else 0
    # The first cell of the first window.
    begin_ns = stretch.t0_ns + lead * CELL_NS
    findings = []
    for end_ns, bridged in zip(stretch.ends_ns, stretch.bridged, strict=True):
        at = (end_ns - begin_ns) // CELL_NS - WINDOW_CELLS
        # As stored: single precision, so that a restart knows the very same numbers.
        probability = np.asarray(read.probability[row, at], dtype=np.float32)
        scores = read.scores[row, at : at + WINDOW_CELLS, int(probability.argmax())]
        novel = bool(read.novel[row, at])
        findings.append(
            RegionFinding(
                craft=stretch.craft,
                end_ns=end_ns,
                probability=tuple(probability.tolist()),
                cam=tuple((np.round(class_activation(scores) * _MAP_STEPS) / _MAP_STEPS).tolist()),
                novel=novel,
                support_s=cells * _CELL_S,
                missing=stretch.missing,
                bridged=bridged,
                flags=_flags(stretch, bridged, novel=novel),
            )
        )
    return findings


def _flags(stretch: CraftStretch, bridged: float, *, novel: bool) -> frozenset[str]:
    said = {
        "isolated": not stretch.context,
        "bridged": bridged > 0.0,
        "novel": novel,
        "missing": bool(stretch.missing),
    }
    return frozenset(flag for flag, holds in said.items() if holds)
