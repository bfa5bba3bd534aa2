"""Ranges stretched about their middles, so that a test set reaches past what models learnt from."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from monitor.science.synthetic.ranges import Range

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Ranges = TypeVar("Ranges", bound="DataclassInstance")


def widened(ranges: Ranges, share: float) -> Ranges:
    """The same dataclass with every `Range` stretched about its middle; what is no `Range` stays.

    Parameters
    ----------
    ranges : dataclass
        Fields of type `Range` are stretched: logarithmic ones in the logarithm, so that they stay positive. A linear
        range that nowhere was negative (positive) does not become so.
    share : float
        Growth of the length: 0.15 makes a range 15 % longer, half of that at either end. Negative shrinks it.

    Raises
    ------
    ValueError
        For a share of −1 or less, which leaves no range.
    """
    if not (math.isfinite(share) and share > -1.0):
        raise ValueError(f"share must be above -1, got {share}")
    changes: dict[str, Any] = {
        field.name: _stretched(value, 1.0 + share)
        for field in fields(ranges)
        if isinstance(value := getattr(ranges, field.name), Range)
    }
    return replace(ranges, **changes)


def _stretched(given: Range, factor: float) -> Range:
    if given.log:
        middle = math.sqrt(given.low * given.high)
        half = math.sqrt(given.high / given.low) ** factor
        return Range(middle / half, middle * half, log=True)
    middle, half = 0.5 * (given.low + given.high), 0.5 * (given.high - given.low) * factor
    low, high = middle - half, middle + half
    return Range(max(low, 0.0) if given.low >= 0.0 else low, min(high, 0.0) if given.high <= 0.0 else high)
