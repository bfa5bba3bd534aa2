"""Which windows are scored, and the groups they are scored in: true class, light and band of L."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from monitor.jobs.flr.dataset import AMBIGUOUS, Outcomes
from monitor.types import CLASSES, BoolArray, FloatArray, Illumination, Label

L_EDGES: Final = (1.45, 2.0, 3.0, 4.0, 5.0, 6.7)
ALL: Final = "all"
NO_FREQ, FREQ, PBL = (CLASSES.index(label) for label in (Label.NO_FREQ, Label.FREQ, Label.PBL))

F23_PBL_TO_FREQ: Final = 0.013
F23_PBL_TO_NOFREQ: Final = 0.020
"""Ratios of the class counts of Tartu–Birzai: Foldes et al. (2023), doi:10.1007/s12210-023-01196-8, § 3.2."""

ERROR_SHARE: Final = 0.08
ERROR_FLOOR_HZ: Final = 0.3e-3
AGREEMENT_SHARE: Final = 0.10


def f23_class_shares() -> FloatArray:
    """The shares of NoFreq, Freq and PBL on Tartu–Birzai, from the two ratios that F23 states; shape (3,)."""
    parts = np.array([1.0 / F23_PBL_TO_NOFREQ, 1.0 / F23_PBL_TO_FREQ, 1.0])
    shares: FloatArray = parts / parts.sum()
    return shares


def check(outcomes: Outcomes) -> None:
    """Raise ValueError when the arrays do not belong together, or hold a value that there is not."""
    size = len(outcomes)
    for name in outcomes.__dataclass_fields__:
        value = getattr(outcomes, name)
        expected = (size, len(CLASSES)) if name == "probability" else (size,)
        if isinstance(value, np.ndarray) and value.shape != expected:
            raise ValueError(f"{name} has shape {value.shape}; with {size} labels it must be {expected}")
    for name, lowest in (("label", AMBIGUOUS), ("stage_one", 0), ("final", 0), ("physical", AMBIGUOUS)):
        value = getattr(outcomes, name)
        wrong = value[(value < lowest) | (value >= len(CLASSES))]
        if wrong.size:
            raise ValueError(f"{name} holds {wrong[0]}; a class is {lowest} … {len(CLASSES) - 1}")
    strange = set(np.unique(outcomes.illumination).tolist()) - {"", *(light.value for light in Illumination)}
    if strange:
        raise ValueError(f"illumination holds {min(strange)!r}; it is day, penumbra, night or empty")
    wrong = outcomes.truth_Hz[outcomes.truth_Hz <= 0.0]
    if wrong.size:
        raise ValueError(
            f"truth_Hz holds {wrong[0]:g}; a frequency is positive, or NaN where it is not known"
        )


def scored_windows(outcomes: Outcomes) -> BoolArray:
    """Windows that have a label and a spectrum that can be judged, shape (n,)."""
    scored: BoolArray = (outcomes.label != AMBIGUOUS) & outcomes.usable
    return scored


def light_groups(outcomes: Outcomes) -> dict[str, BoolArray]:
    """All windows, and those by day, in penumbra and by night."""
    groups = {ALL: np.ones(len(outcomes), dtype=np.bool_)}
    groups.update({light.value: outcomes.illumination == light.value for light in Illumination})
    return groups


def band_groups(outcomes: Outcomes) -> dict[str, BoolArray]:
    """Windows by band of L: the upper edge belongs to the next band, the last one to its own."""
    bands = {}
    for low, high in pairwise(L_EDGES):
        below = outcomes.l_shell <= high if high == L_EDGES[-1] else outcomes.l_shell < high
        bands[f"L {low:g}–{high:g}"] = (outcomes.l_shell >= low) & below
    return bands


def close_Hz(one_Hz: FloatArray, other_Hz: FloatArray, share: float) -> BoolArray:
    """Whether frequencies differ by no more than a share of the second or 0.3 mHz (unknown is not close)."""
    # A few parts in 10⁹ of room: 8 % of a frequency must count as 8 % whatever its last bit.
    room = np.maximum(share * other_Hz, ERROR_FLOOR_HZ) * (1.0 + 1e-9)
    close: BoolArray = np.abs(one_Hz - other_Hz) <= room
    return close


def class_groups(outcomes: Outcomes, among: BoolArray) -> dict[str, BoolArray]:
    """Some windows, all of them and by true class."""
    return {ALL: among} | {
        label.value: among & (outcomes.label == index) for index, label in enumerate(CLASSES)
    }
