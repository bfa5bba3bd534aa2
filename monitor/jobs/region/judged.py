"""What a network, or a rival of it, says of labelled windows; and which quantities of a window are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from monitor.science.region import window_part
from monitor.types import REGIONS, VARIABLES, BoolArray, FloatArray, IntArray, RegionExamples

if TYPE_CHECKING:
    from monitor.models.region import RegionModel

FIELD: Final = ("Bx", "By", "Bz", "B")
FLOW: Final = ("Vx", "Vy", "Vz", "V")
TEMPERATURE: Final = ("Tpar", "Tperp", "T")
PATTERNS: Final = {
    "complete": VARIABLES,
    "|B|, N and T only": ("B", "N", "T"),
    "field only": FIELD,
    "plasma only": ("N", *FLOW, *TEMPERATURE),
    "B and V only": (*FIELD, *FLOW),
    "no N": (*FIELD, *FLOW, *TEMPERATURE),
    "no V": (*FIELD, "N", *TEMPERATURE),
    "no T": (*FIELD, "N", *FLOW),
    "no T∥ and T⊥": (*FIELD, "N", *FLOW, "T"),
    "totals only": ("B", "N", "V", "T"),
}
"""What is there, by name: instruments that fail, or that a mission does not have."""
OTHER: Final = "other"
ISOLATED, CONTEXT = "isolated", "context"

Predict = Callable[[RegionExamples], FloatArray]
"""From windows to probabilities, shape (n, 10)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Windows with what was said of them.

    Attributes
    ----------
    probability : ndarray, shape (n, 10), float64
        In the order of `REGIONS`.
    novel : ndarray, shape (n,), bool
    label, run : ndarray, shape (n,), int64
    mixed : ndarray, shape (n,), bool
    """

    probability: FloatArray
    novel: BoolArray
    label: IntArray
    run: IntArray
    mixed: BoolArray

    def __post_init__(self) -> None:
        if self.probability.shape != (self.label.size, len(REGIONS)):
            raise ValueError(
                f"expected probabilities ({self.label.size}, {len(REGIONS)}), got {self.probability.shape}"
            )

    def __len__(self) -> int:
        return int(self.label.size)

    @property
    def called(self) -> IntArray:
        """The most probable class of each window."""
        called: IntArray = self.probability.argmax(axis=1).astype(np.int64)
        return called

    def at(self, index: IntArray | BoolArray) -> Judged:
        """Those of an index or a mask."""
        return Judged(
            self.probability[index], self.novel[index], self.label[index], self.run[index], self.mixed[index]
        )


def judge(model: RegionModel, examples: RegionExamples, form: str) -> Judged:
    """What a network says, window by window.

    Parameters
    ----------
    model : RegionModel
    examples : RegionExamples
        For the context form, windows whose context is real.
    form : str
        `isolated` or `context`.
    """
    if form == ISOLATED:
        said = model.windows(window_of(examples))
    else:
        said = model.stretches(examples.values.astype(np.float64))
    return Judged(
        said.probability[:, 0].astype(np.float64),
        said.novel[:, 0],
        examples.label,
        examples.run,
        examples.mixed,
    )


def judged_by(predict: Predict, examples: RegionExamples) -> Judged:
    """What a rival says, which finds nothing novel."""
    novel = np.zeros(len(examples), dtype=np.bool_)
    return Judged(predict(examples).astype(np.float64), novel, examples.label, examples.run, examples.mixed)


def window_of(examples: RegionExamples) -> FloatArray:
    """The cells of each window without its context, shape (n, 40, 12)."""
    return window_part(examples.values).astype(np.float64)


def there(examples: RegionExamples) -> BoolArray:
    """Which variables each window has, shape (n, 12)."""
    known: BoolArray = np.isfinite(window_of(examples)).any(axis=1)  # type: ignore[assignment]  # never a scalar
    return known


def pattern_of(known: BoolArray) -> list[str]:
    """The name of what is there, of a mask (n, 12); `other` where no pattern fits."""
    names = {tuple(name in kept for name in VARIABLES): title for title, kept in PATTERNS.items()}
    return [names.get(tuple(row), OTHER) for row in known.tolist()]


def only(examples: RegionExamples, kept: tuple[str, ...]) -> RegionExamples:
    """The same windows with nothing but some of the variables."""
    values = examples.values.copy()
    values[:, :, [name not in kept for name in VARIABLES]] = np.nan
    return RegionExamples(values, examples.label, examples.run, examples.mixed, examples.context)
