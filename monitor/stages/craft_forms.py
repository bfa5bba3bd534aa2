"""From the cells of one spacecraft to its windows: in which form each can be had, and which join in one stretch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.types import (
    CELL_NS,
    CONTEXT_CELLS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    BoolArray,
    CraftHole,
    CraftStretch,
    FloatArray,
    IntArray,
)

_INNER: Final = slice(CONTEXT_CELLS[0], CONTEXT_CELLS[0] + WINDOW_CELLS)
# Regions are told by the field, the density or the temperature; a velocity alone is at home in too many of them.
_TELLING: Final = np.array([name[0] in "BNT" for name in VARIABLES])


@dataclass(frozen=True, slots=True)
class _Form:
    """One window as it can be had: its cells, with or without context, and the share that was bridged."""

    values: FloatArray
    missing: BoolArray
    context: bool
    bridged: float


def windows_of(
    craft: str, cells: FloatArray, ends_ns: Sequence[int], *, context: bool, bridge_ratio: float
) -> Iterator[CraftStretch | CraftHole]:
    """Form the windows that end at `ends_ns` (evenly spaced, rising).

    Each is what its own cells make it, whatever else is formed with it. A window whose variables are all either
    whole or missing over its support has the context form; where only the 40 cells are so, it stands alone. Failing
    both, gaps with values on both sides are bridged up to the share `bridge_ratio`. The rest are holes.

    Parameters
    ----------
    craft : str
    cells : ndarray, shape (t, 12)
        From the context before the first window to the context after the last, on the grid of `CELL_NS`; NaN is a gap.
    ends_ns : sequence of int
    context : bool
        Whether the context may be used.
    bridge_ratio : float
    """
    before = CONTEXT_CELLS[0]
    first = (np.array(ends_ns) - ends_ns[0]) // CELL_NS
    held = np.concatenate(
        (np.zeros((1, len(VARIABLES)), dtype=np.int64), np.cumsum(~np.isnan(cells), axis=0))
    )
    inside = held[first + before + WINDOW_CELLS] - held[first + before]
    around = held[first + SUPPORT_CELLS] - held[first]
    whole_inside = ((inside == 0) | (inside == WINDOW_CELLS)).all(axis=1)
    whole_around = ((around == 0) | (around == SUPPORT_CELLS)).all(axis=1) & context
    run: list[int] = []
    for number, end_ns in enumerate(ends_ns):
        joins = bool(whole_around[number] and _tells(around[number] == 0))
        if run and not (joins and np.array_equal(around[number] == 0, around[run[0]] == 0)):
            yield _stretch(craft, cells, first, ends_ns, run, around[run[0]] == 0)
            run = []
        if joins:
            run.append(number)
            continue
        support = cells[first[number] : first[number] + SUPPORT_CELLS]
        form = None
        if whole_inside[number]:
            form = _Form(support[_INNER], inside[number] == 0, context=False, bridged=0.0)
        elif bridge_ratio > 0.0:
            form = _bridged(support, bridge_ratio, context=context)
        yield _alone(craft, support, end_ns, form)
    if run:
        yield _stretch(craft, cells, first, ends_ns, run, around[run[0]] == 0)


def _tells(missing: BoolArray) -> bool:
    return bool((_TELLING & ~missing).any())


def _stretch(
    craft: str,
    cells: FloatArray,
    first: IntArray,
    ends_ns: Sequence[int],
    run: Sequence[int],
    missing: BoolArray,
) -> CraftStretch:
    """Consecutive windows that share their cells."""
    begin, end = first[run[0]], first[run[-1]] + SUPPORT_CELLS
    return CraftStretch(
        craft=craft,
        t0_ns=ends_ns[run[0]] - (CONTEXT_CELLS[0] + WINDOW_CELLS) * CELL_NS,
        values=cells[begin:end].copy(),
        ends_ns=tuple(ends_ns[number] for number in run),
        context=True,
        missing=_names(missing),
        bridged=(0.0,) * len(run),
    )


def _alone(craft: str, support: FloatArray, end_ns: int, form: _Form | None) -> CraftStretch | CraftHole:
    """A window that shares its cells with no other, or the hole that it is."""
    if form is not None and _tells(form.missing):
        before = CONTEXT_CELLS[0] if form.context else 0
        return CraftStretch(
            craft=craft,
            t0_ns=end_ns - (before + WINDOW_CELLS) * CELL_NS,
            values=form.values.copy(),
            ends_ns=(end_ns,),
            context=form.context,
            missing=_names(form.missing),
            bridged=(form.bridged,),
        )
    there = ~np.isnan(support[_INNER])
    return CraftHole(
        craft=craft,
        end_ns=end_ns,
        coverage=float(there.any(axis=1).mean()),
        # Where nothing came at all, that is a gap and no choice of variables.
        reason="gap" if form is None or not there.any() else "no_field_or_plasma",
        missing=_names(_empty(support[_INNER])),
    )


def _bridged(support: FloatArray, ratio: float, *, context: bool) -> _Form | None:
    """The window with its gaps bridged, over the whole support where that can be, else alone; None where neither."""
    if context:
        filled = _interpolated(support)
        share = float(_any_gap(support)[_INNER].mean())
        if filled is not None and share <= ratio:
            return _Form(filled, _empty(support), context=True, bridged=share)
    inner = support[_INNER]
    filled = _interpolated(inner)
    share = float(_any_gap(inner).mean())
    if filled is not None and share <= ratio:
        return _Form(filled, _empty(inner), context=False, bridged=share)
    return None


def _empty(values: FloatArray) -> BoolArray:
    """Which variables are not there at all, shape (12,)."""
    return np.asarray(np.isnan(values).all(axis=0))


def _any_gap(values: FloatArray) -> BoolArray:
    """In which cells some variable that is not missing has a gap, shape (t,)."""
    return np.asarray((np.isnan(values) & ~_empty(values)).any(axis=1))


def _interpolated(values: FloatArray) -> FloatArray | None:
    """The values (t, 12) with straight lines across their gaps; None where a gap reaches an edge."""
    gaps = np.isnan(values)
    partly = gaps.any(axis=0) & ~_empty(values)
    if (gaps[[0, -1]][:, partly]).any():
        return None
    filled = values.copy()
    at = np.arange(values.shape[0])
    for column in np.flatnonzero(partly):
        gap = gaps[:, column]
        filled[gap, column] = np.interp(at[gap], at[~gap], values[~gap, column])
    return filled


def _names(mask: BoolArray) -> tuple[str, ...]:
    return tuple(name for name, is_in in zip(VARIABLES, mask, strict=True) if is_in)
