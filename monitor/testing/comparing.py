"""Whether two things say the same, arrays and NaN included, and copies to hold them against later."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import TypeVar

import numpy as np

from monitor.types import Json

T = TypeVar("T")


def same(a: object, b: object) -> bool:
    """Whether two values are equal all the way down; NaN equals NaN, and a list equals a tuple."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return _same_arrays(np.asarray(a), np.asarray(b))
    if is_dataclass(a) and not isinstance(a, type):
        return type(a) is type(b) and all(
            same(getattr(a, one.name), getattr(b, one.name)) for one in fields(a)
        )
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, str | bytes | AbstractSet) or isinstance(b, str | bytes | AbstractSet):
        return bool(a == b)
    if isinstance(a, Sequence) and isinstance(b, Sequence):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b)
    return bool(a == b)


def _same_arrays(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.inexact)))


def kept(value: T) -> T:
    """A copy that nothing done to the original reaches."""
    return copy.deepcopy(value)


def through_json(state: Json, what: str) -> Json:
    """A state as it comes back from the store; AssertionError where it is no JSON."""
    try:
        return json.loads(json.dumps(state, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise AssertionError(f"{what} must be JSON without NaN: {error}") from None


def assert_versioned(state: Json, what: str) -> None:
    """A state that a later version of its writer can tell from its own."""
    assert isinstance(state, Mapping), f"{what} must be an object, found {type(state).__name__}"
    assert "version" in state, (
        f'{what} must have a "version", so that a later release can tell it from its own'
    )
