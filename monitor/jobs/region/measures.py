"""How well windows are told apart: the tables 3 and 4 of Breuillard et al. (2020), with intervals by run.

Windows of a run are alike, so intervals come from draws of whole runs. Mixed windows are counted apart: they have no
region that could be right. A figure that no window can tell is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from monitor.jobs.flr.bootstrap import UNKNOWN, Estimate, Resampler, Share, interval, resampler
from monitor.jobs.region.judged import Judged
from monitor.science.reliability import expected_calibration_error
from monitor.types import REGIONS, BoolArray, FloatArray, IntArray, Json

BINS: Final = 15
"""Of the calibration error."""


@dataclass(frozen=True, slots=True)
class ClassMeasure:
    """One class against the rest; None where there is no window of it."""

    region: str
    precision: Share
    recall: Share
    f1: Estimate
    auc: Estimate


@dataclass(frozen=True, slots=True)
class Average:
    """Of the classes that occur: plain (macro), or weighted with their windows (micro, as the paper has it)."""

    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None


@dataclass(frozen=True, slots=True)
class Mixed:
    """Windows of no region by 70 %, or with a boundary cut by their edge.

    Attributes
    ----------
    count : int
    called : tuple of int
        How often each class was called, in the order of `REGIONS`.
    majority : Share
        Those called what most of their cells are.
    confidence : float or None
        Median probability of the class called.
    """

    count: int
    called: tuple[int, ...]
    majority: Share
    confidence: float | None


@dataclass(frozen=True, slots=True)
class RegionMeasures:
    """What is known of the calls on one set of windows.

    Attributes
    ----------
    data : str
    windows, runs : int
        That were counted.
    accuracy : Share
    classes : tuple of ClassMeasure
        In the order of `REGIONS`.
    macro, micro : Average
    calibration_error : Estimate
        Expected calibration error of the most probable class, 15 bins. Its interval, from draws, lies a little high.
    confusion : tuple of tuple of int
        Rows are the calls and columns the truth, in the order of `REGIONS`.
    novel : Share
        Windows that the network finds unlike those of training.
    mixed : Mixed
    """

    data: str
    windows: int
    runs: int
    accuracy: Share
    classes: tuple[ClassMeasure, ...]
    macro: Average
    micro: Average
    calibration_error: Estimate
    confusion: tuple[tuple[int, ...], ...]
    novel: Share
    mixed: Mixed

    def to_json(self) -> dict[str, Json]:
        """Numbers alone, for `measures.json`."""
        return asdict(self)

    def of(self, region: str) -> ClassMeasure:
        """One class."""
        return next(one for one in self.classes if one.region == region)


def measure(judged: Judged, data: str, *, rounds: int = 200, seed: int = 0) -> RegionMeasures:
    """Count calls against the truth.

    Parameters
    ----------
    judged : Judged
    data : str
        Name of the windows, for titles.
    rounds, seed
        Of the draws behind the intervals.
    """
    counted = judged.at(~judged.mixed)
    draws = resampler(counted.run, rounds=rounds, seed=seed)
    called, everything = counted.called, np.ones(len(counted), dtype=np.bool_)
    classes = tuple(_class(counted, called, code, draws) for code in range(len(REGIONS)))
    weight = np.bincount(counted.label, minlength=len(REGIONS)).astype(np.float64)
    return RegionMeasures(
        data=data,
        windows=len(counted),
        runs=draws.sequences(everything),
        accuracy=draws.share(called == counted.label, everything),
        classes=classes,
        macro=_average(classes, (weight > 0.0).astype(np.float64)),
        micro=_average(classes, weight),
        calibration_error=_calibration_error(counted, draws),
        confusion=confusion(called, counted.label),
        novel=draws.share(counted.novel, everything),
        mixed=_mixed(judged.at(judged.mixed), rounds, seed),
    )


def confusion(called: IntArray, truth: IntArray) -> tuple[tuple[int, ...], ...]:
    """Counts with the calls in rows and the truth in columns, in the order of `REGIONS`."""
    size = len(REGIONS)
    counts = np.bincount(called * size + truth, minlength=size * size).reshape(size, size)
    return tuple(tuple(row) for row in counts.tolist())


def area_under_curve(score: FloatArray, hit: BoolArray, weight: FloatArray | None = None) -> FloatArray:
    """Area under the receiver operating characteristic; equal scores count half (Hanley & McNeil 1982).

    Parameters
    ----------
    score : ndarray, shape (n,)
    hit : ndarray, shape (n,)
    weight : ndarray, shape (rounds, n), optional
        How often each window is drawn in each round; once where it is not given.

    Returns
    -------
    ndarray, shape (rounds,)
        NaN where a round has no hit, or nothing but hits.

    Notes
    -----
    doi:10.1148/radiology.143.1.7063747: the chance that a window of the class scores above one of the others.
    """
    draws = np.ones((1, score.size)) if weight is None else weight
    order = np.argsort(score, kind="stable")
    begins = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    if not begins.size:
        return np.full(draws.shape[0], np.nan)
    drawn = draws[:, order]
    hits = np.add.reduceat(drawn * hit[order], begins, axis=1)
    others = np.add.reduceat(drawn * ~hit[order], begins, axis=1)
    below = np.cumsum(others, axis=1) - 0.5 * others
    pairs = hits.sum(axis=1) * others.sum(axis=1)
    area = np.full(draws.shape[0], np.nan)
    np.divide((hits * below).sum(axis=1), pairs, out=area, where=pairs > 0.0)
    return area


def receiver_curve(score: FloatArray, hit: BoolArray) -> tuple[FloatArray, FloatArray]:
    """False and true positive rates as the threshold falls, from (0, 0) to (1, 1).

    Raises
    ------
    ValueError
        Where there is no hit, or nothing but hits.
    """
    if not hit.any() or hit.all():
        raise ValueError("a receiver operating characteristic needs windows of the class and others")
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))
    found = np.cumsum(hit[order])[last]
    false = last + 1 - found
    zero = np.zeros(1)
    return (
        np.concatenate([zero, false / np.count_nonzero(~hit)]),
        np.concatenate([zero, found / np.count_nonzero(hit)]),
    )


def _class(judged: Judged, called: IntArray, code: int, draws: Resampler) -> ClassMeasure:
    """One class against the rest."""
    truth, said = judged.label == code, called == code
    region = REGIONS[code].value
    precision, recall = draws.share(truth, said), draws.share(said, truth)
    if not truth.any():
        return ClassMeasure(region, precision, recall, UNKNOWN, UNKNOWN)
    weight = draws.weight[:, draws.block[draws.sequence]]
    both = 2.0 * weight @ (truth & said)
    drawn = weight @ (truth.astype(np.float64) + said)
    ratio = np.divide(both, drawn, out=np.full(both.shape, np.nan), where=drawn > 0.0)
    point = 2.0 * float(np.sum(truth & said)) / float(truth.sum() + said.sum())
    score = judged.probability[:, code]
    area = float(area_under_curve(score, truth)[0])
    return ClassMeasure(
        region,
        precision,
        recall,
        _estimate(point, ratio, draws),
        UNKNOWN if np.isnan(area) else _estimate(area, area_under_curve(score, truth, weight), draws),
    )


def _estimate(value: float, drawn: FloatArray, draws: Resampler) -> Estimate:
    """With its interval, unless there is one run alone."""
    return interval(value, drawn) if draws.weight.shape[1] > 1 else Estimate(value, None, None)


def _average(classes: Sequence[ClassMeasure], weight: FloatArray) -> Average:
    """Over the classes that occur. A class that is never called has no precision, which counts as 0."""
    if not weight.any():
        return Average(None, None, None, None)
    there = [(one, share) for one, share in zip(classes, weight.tolist(), strict=True) if share]
    shares = [share for _, share in there]
    precision, recall, f1 = (
        float(np.average([getattr(one, name).value or 0.0 for one, _ in there], weights=shares))
        for name in ("precision", "recall", "f1")
    )
    areas = [one.auc.value for one, _ in there]
    # Where all windows are of one class there is nothing to tell it from.
    known = [area for area in areas if area is not None]
    auc = float(np.average(known, weights=shares)) if len(known) == len(areas) else None
    return Average(precision, recall, f1, auc)


def _calibration_error(judged: Judged, draws: Resampler) -> Estimate:
    """Of the most probable class, with the draws of its bins."""
    if not len(judged):
        return UNKNOWN
    value = expected_calibration_error(judged.probability, judged.label, BINS).top_label
    confidence = judged.probability.max(axis=1)
    gap = confidence - (judged.called == judged.label)
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    blocks = draws.weight.shape[1]
    block = draws.block[draws.sequence]
    sums = np.bincount(block * BINS + place, weights=gap, minlength=blocks * BINS).reshape(blocks, BINS)
    counts = np.bincount(block, minlength=blocks)
    drawn = np.abs(draws.weight @ sums).sum(axis=1) / np.maximum(draws.weight @ counts, 1.0)
    return _estimate(value, drawn, draws)


def _mixed(judged: Judged, rounds: int, seed: int) -> Mixed:
    draws = resampler(judged.run, rounds=rounds, seed=seed)
    called, everything = judged.called, np.ones(len(judged), dtype=np.bool_)
    return Mixed(
        len(judged),
        tuple(np.bincount(called, minlength=len(REGIONS)).tolist()),
        draws.share(called == judged.label, everything),
        float(np.median(judged.probability.max(axis=1))) if len(judged) else None,
    )
