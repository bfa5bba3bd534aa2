"""Numbers drawn from ranges by their names: changing one range leaves what the others draw as it was."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np


def named_generator(key: Sequence[int], name: str) -> np.random.Generator:
    """The generator of one name under a key; the same for the same two."""
    return np.random.default_rng([*key, zlib.crc32(name.encode())])


class Draws:
    """Draws the numbers of one case, each with a generator of its own.

    Parameters
    ----------
    key : sequence of int
        Seeds the case: its set of ranges, its number and whatever else tells it from others.
    ranges : object
        Its attributes are `ranges.Range` and, under `<name>_probability`, chances from 0 to 1.
    """

    def __init__(self, key: Sequence[int], ranges: Any) -> None:
        self._key, self._ranges = tuple(key), ranges

    def generator(self, name: str) -> np.random.Generator:
        """The generator of a name."""
        return named_generator(self._key, name)

    def value(self, name: str, of: str = "") -> float:
        """One number from the range `name`; `of` tells one station's draw from another's."""
        drawn: float = getattr(self._ranges, name).draw(self.generator(name + of))
        return drawn

    def happens(self, name: str, of: str = "") -> bool:
        """Whether what `<name>_probability` switches takes place."""
        chance: float = getattr(self._ranges, f"{name}_probability")
        return bool(self.generator(f"{name}_probability{of}").random() < chance)

    def value_if(self, what: str, name: str, of: str = "") -> float:
        """The number where `what` happens, else 0."""
        return self.value(name, of) if self.happens(what, of) else 0.0
