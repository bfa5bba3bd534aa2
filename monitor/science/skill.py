"""Skill of a classification: True Skill Score and the multi-class score, from tables of counts.

Classes are places in `types.CLASSES`: 0 NoFreq, 1 Freq, 2 PBL; with two classes PBL counts as NoFreq.

Source: Foldes et al. (2023), doi:10.1007/s12210-023-01196-8, § 3.2 (called F23 here).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from monitor.types import CLASSES, FloatArray, IntArray, Label

NOFREQ, FREQ, PBL = (CLASSES.index(label) for label in (Label.NO_FREQ, Label.FREQ, Label.PBL))

Counts: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.float64]
"""Tables of windows, shape (…, k, k): rows the truth, columns what was said; whole or weighted numbers."""


class TssReading(StrEnum):
    """What the True Skill Score is for three classes, which F23 leaves open; for two classes all are eq. (1)."""

    MACRO = "macro"
    """The mean of eq. (1) of each class against all the others."""
    HANSSEN_KUIPERS = "hanssen_kuipers"
    """The multi-category skill of Peirce, and Hanssen and Kuipers."""
    FREQ = "freq"
    """Eq. (1) of Freq against NoFreq and PBL together."""


class McsReading(StrEnum):
    """What FP_NF / (FP_NF + TN_NF) is in eq. (2) of F23; see `mcs`."""

    AS_PRINTED = "as_printed"
    """NoFreq is the positive class: the share of the resonances that are called NoFreq."""
    KEPT = "kept"
    """The share of NoFreq that is called NoFreq: what the text wants large, whatever the formula says."""
    RESONANCE_POSITIVE = "resonance_positive"
    """The resonances are the positive class: the share of NoFreq that is passed on. It rewards what F23 avoids."""


def without_pbl(label: IntArray) -> IntArray:
    """Class indices of the two-class problem: PBL counts as NoFreq (F23, § 3)."""
    return np.where(label == PBL, NOFREQ, label).astype(np.int64)


def confusion(truth: IntArray, predicted: IntArray, k: int) -> IntArray:
    """Count the windows by truth (rows) and by what was said (columns).

    Parameters
    ----------
    truth, predicted : ndarray, shape (n,), integer
        Class indices, 0 … k − 1.
    k : int

    Returns
    -------
    ndarray, shape (k, k), int64

    Raises
    ------
    ValueError
        For shapes that do not agree, and for an index that is no class.
    """
    rows, columns = class_indices("truth", truth, k), class_indices("predicted", predicted, k)
    if rows.size != columns.size:
        raise ValueError(f"truth has {rows.size} windows, predicted {columns.size}")
    return np.bincount(rows * k + columns, minlength=k * k).reshape(k, k)


def at_class_share(counts: Counts, class_share: npt.ArrayLike) -> FloatArray:
    """What the same rates would give if the classes were as frequent as `class_share` says.

    Parameters
    ----------
    counts : ndarray, shape (…, k, k)
    class_share : array_like, shape (k,)
        Positive; in any unit, such as counts of a network's windows.

    Returns
    -------
    ndarray, shape (…, k, k)
        Each row sums to its class's share; all of it to 1.

    Raises
    ------
    ValueError
        For a class that has no windows, and for a share that is not positive.
    """
    table = tables(counts)
    share = normalised("class_share", class_share, table.shape[-1])
    for name, value in zip(class_names(share.size), share, strict=True):
        if not value > 0.0:
            raise ValueError(
                f"class_share of {name} is {value:g}; a class without windows has no skill score"
            )
    scaled: FloatArray = table / table.sum(axis=-1, keepdims=True) * share[:, None]
    return scaled


def tss(counts: Counts, reading: TssReading = TssReading.MACRO) -> FloatArray:
    """True Skill Score (F23, eq. 1): probability of detection minus false-positive rate.

    Parameters
    ----------
    counts : ndarray, shape (…, k, k)
    reading : TssReading
        What it is for three classes.

    Returns
    -------
    ndarray, shape (…)
        From −1 to 1; 1 is perfect, 0 is what a call without knowledge gets.

    Raises
    ------
    ValueError
        Naming a class that has no windows: its rates are unknown.

    Notes
    -----
    Peirce (1884), doi:10.1126/science.ns-4.93.453; for more categories Σ p(i, i) − Σ p(i) q(i) over 1 − Σ p(i)², with
    p(i) the share of class i in the truth and q(i) in what was said: Gandin & Murphy (1992),
    doi:10.1175/1520-0493(1992)120<0361:ESSFCF>2.0.CO;2. The macro mean weighs the rare PBL like the others.
    """
    table = _freq_against_rest(counts) if reading is TssReading.FREQ else tables(counts)
    truth, said = table.sum(axis=-1), table.sum(axis=-2)
    hits = np.diagonal(table, axis1=-2, axis2=-1)
    whole = truth.sum(axis=-1)
    if reading is TssReading.HANSSEN_KUIPERS:
        chance = (truth * said).sum(axis=-1) / whole**2
        possible = 1.0 - (truth**2).sum(axis=-1) / whole**2
        peirce: FloatArray = (hits.sum(axis=-1) / whole - chance) / possible
        return peirce
    each = hits / truth - (said - hits) / (whole[..., None] - truth)
    macro: FloatArray = each.mean(axis=-1)
    return macro


def mcs(
    counts: Counts,
    reading: McsReading = McsReading.AS_PRINTED,
    tss_reading: TssReading = TssReading.MACRO,
) -> FloatArray:
    """Multi-class score (F23, eq. 2): 0.25 FP_NF / (FP_NF + TN_NF) + 0.75 TSS.

    Parameters
    ----------
    counts : ndarray, shape (…, k, k)
    reading : McsReading
        What the first term is.
    tss_reading : TssReading

    Returns
    -------
    ndarray, shape (…)
        A perfect call has 0.75 `as_printed` and with `resonance_positive`, 1 with `kept`.

    Raises
    ------
    ValueError
        Naming a class that has no windows.

    Notes
    -----
    "Considering only the NoFreq class" makes NoFreq the positive one. FP_NF are then resonances called NoFreq and
    TN_NF resonances called something else, so the first term is the share m of the resonances that are lost: the
    score *adds* a quarter of it, which looks like a reward for losing them. It is a discount, for TSS has already
    taken more off. Let p be the share of NoFreq that is passed on. With two classes TSS = 1 − m − p, hence

    ======================  ==============================  =============================
    reading                 score                           a window passed on costs
    ======================  ==============================  =============================
    TSS alone               1 − m − p                       as much as one lost
    ``as_printed``          0.75 − 0.50 m − 0.75 p          1.5 times as much
    ``kept``                1 − 0.75 m − p                  1.33 times as much
    ``resonance_positive``  0.75 − 0.75 m − 0.50 p          two thirds as much
    ======================  ==============================  =============================

    ("As much" in shares of the own class.) So eq. (2) exactly as printed asks for caution, as the text does, and
    calling everything NoFreq still gets only 0.25. With three classes and the macro mean it has a plain meaning:
    the false-positive rate of NoFreq is m, it enters TSS with −1/3 and the score with −0.75 / 3 = −0.25, and the
    first term cancels it. What is left is 0.25 (POD_NF + TSS_F + TSS_PBL): a lost resonance is charged once, in
    its own class, and a false one twice. `kept` charges a lost one twice as well; `resonance_positive` is the formula
    under the other reading of "positive" and works against the text. Both are there to compare with.
    """
    table = tables(counts)
    truth = table.sum(axis=-1)
    said_nofreq = table[..., :, NOFREQ]
    if reading is McsReading.AS_PRINTED:
        lost: FloatArray = said_nofreq[..., FREQ:].sum(axis=-1)
        first = lost / truth[..., FREQ:].sum(axis=-1)
    else:
        kept = said_nofreq[..., NOFREQ] / truth[..., NOFREQ]
        first = kept if reading is McsReading.KEPT else 1.0 - kept
    score: FloatArray = 0.25 * first + 0.75 * tss(counts, tss_reading)
    return score


def tables(counts: Counts) -> FloatArray:
    """The same as floats, shape (…, k, k).

    Raises
    ------
    ValueError
        For another shape, and naming a class that has no windows.
    """
    table = _square(counts)
    return _present(table, class_names(table.shape[-1]))


def class_names(k: int) -> tuple[str, ...]:
    """Names of the classes where there are `k`; ValueError unless they are two or three."""
    if k not in (2, 3):
        raise ValueError(f"{k} classes; there are two (NoFreq, Freq) or three (NoFreq, Freq, PBL)")
    return CLASSES[:k]


def class_indices(name: str, value: IntArray, k: int) -> IntArray:
    """The same as int64, shape (n,); ValueError, which calls it `name`, where one is none of 0 … k − 1."""
    checked = np.asarray(value)
    if checked.ndim != 1 or not np.issubdtype(checked.dtype, np.integer):
        raise ValueError(f"{name} has shape {checked.shape} and type {checked.dtype}, not one index a window")
    outside = (checked < 0) | (checked >= k)
    if outside.any():
        at = int(outside.argmax())
        raise ValueError(f"{name} of window {at} is {checked[at]}; the classes are 0 to {k - 1}")
    return checked.astype(np.int64)


def normalised(name: str, value: npt.ArrayLike, k: int) -> FloatArray:
    """Weights or shares over their sum, shape (k,); ValueError, which calls them `name`, where that is not possible."""
    checked: FloatArray = np.asarray(value, dtype=np.float64)
    if checked.shape != (k,):
        raise ValueError(f"{name} has shape {checked.shape}; {k} classes need ({k},)")
    if not (np.isfinite(checked) & (checked >= 0.0)).all() or not checked.any():
        raise ValueError(f"{name} is {checked.tolist()}; none may be negative or infinite, nor all zero")
    shares: FloatArray = checked / checked.sum()
    return shares


def _freq_against_rest(counts: Counts) -> FloatArray:
    """Two-class tables: row and column 0 are all but Freq, row and column 1 are Freq."""
    table = _square(counts)
    is_freq = np.arange(table.shape[-1]) == FREQ
    merge = np.stack([~is_freq, is_freq], axis=1).astype(np.float64)
    merged: FloatArray = merge.T @ table @ merge
    return _present(merged, ("any class but Freq", Label.FREQ))


def _square(counts: Counts) -> FloatArray:
    table: FloatArray = np.asarray(counts, dtype=np.float64)
    if table.ndim < 2 or table.shape[-1] != table.shape[-2]:
        raise ValueError(f"counts has shape {table.shape}; tables of k by k are needed")
    return table


def _present(table: FloatArray, names: tuple[str, ...]) -> FloatArray:
    empty = (table.sum(axis=-1) <= 0.0).reshape(-1, len(names)).any(axis=0)
    if empty.any():
        raise ValueError(
            f"no window is {names[int(empty.argmax())]}: its rates, and so the score, are unknown"
        )
    return table
