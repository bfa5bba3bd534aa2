"""Which labelled windows are learnt from and which are not: whole runs, never single windows."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.types import REGIONS, RegionExamples

SHARES: Final = (0.5625, 0.1875, 0.25)
"""Of training, validation and test: those of Breuillard et al. (2020), who split by window."""


def split_by_run(
    examples: RegionExamples, *, shares: tuple[float, ...] = SHARES, seed: int = 0
) -> tuple[RegionExamples, ...]:
    """Deal whole runs out, so that each part has about its share of the windows of each class.

    A run counts for the class that most of its windows are of. Rare classes are dealt first; the part that lacks most
    of a class gets the next run of it, larger runs first, equal ones in random order.

    Raises
    ------
    ValueError
        There are fewer runs than parts.
    """
    runs, place = np.unique(examples.run, return_inverse=True)
    if runs.size < len(shares):
        raise ValueError(f"{len(shares)} parts need as many runs (orbits, days), got {runs.size}")
    counts = np.zeros((runs.size, len(REGIONS)))
    np.add.at(counts, (place, examples.label), 1.0)
    kind, size = counts.argmax(axis=1), counts.sum(axis=1)
    rng = np.random.default_rng(seed)
    part = np.zeros(runs.size, dtype=np.int64)
    held = np.zeros(len(shares))
    wanted = np.array(shares)
    for code in np.argsort(np.bincount(kind, weights=size, minlength=len(REGIONS)), kind="stable"):
        own = np.zeros(len(shares))
        mine = rng.permutation(np.flatnonzero(kind == code))
        for run in mine[np.argsort(-size[mine], kind="stable")]:
            after = own.sum() + size[run]
            lacking = wanted * after - own
            # Of equal need the part that has least of all classes together, so that none stays empty.
            chosen = max(range(len(shares)), key=lambda one: (round(lacking[one], 6), -held[one]))
            part[run] = chosen
            own[chosen] += size[run]
            held[chosen] += size[run]
    _fill_empty(part, held, size)
    return tuple(examples.at(part[place] == one) for one in range(len(shares)))


def _fill_empty(part: np.ndarray, held: np.ndarray, size: np.ndarray) -> None:
    """Give a part without a run the smallest one of a part that has several."""
    for one in np.flatnonzero(held == 0.0).tolist():
        several = np.flatnonzero(np.bincount(part, minlength=held.size)[part] > 1)
        run = several[size[several].argmin()]
        held[part[run]] -= size[run]
        held[one] += size[run]
        part[run] = one
