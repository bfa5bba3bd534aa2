"""How the network does on real measurements that nothing was fitted to, with two plain rivals beside it.

None of these sets has all ten classes or all twelve variables; the figures say what each can say and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from monitor.jobs.region.baselines import LogisticRival, Thresholds, fit_logistic_rival
from monitor.jobs.region.judged import CONTEXT, ISOLATED, Judged, judge, judged_by, only
from monitor.jobs.region.measures import RegionMeasures, measure
from monitor.jobs.region.real_data import (
    CLUSTER,
    KEPT_SHOCKS,
    KEPT_WINDOWS,
    SHOCKS,
    SOLAR_WIND,
    WINDOWS,
    ShockWindows,
    cluster_hour,
    region_windows,
    shock_windows,
    solar_wind_windows,
)
from monitor.types import (
    CELL_NS,
    CONTEXT_CELLS,
    REGIONS,
    VARIABLES,
    WINDOW_CELLS,
    BoolArray,
    FloatArray,
    IntArray,
    Json,
    Region,
    RegionExamples,
    iso_time,
)

if TYPE_CHECKING:
    from monitor.models.region import RegionModel

UPSTREAM: Final = (Region.SOLAR_WIND, Region.FORESHOCK)
DOWNSTREAM: Final = (Region.MAGNETOSHEATH,)
OUTSIDE: Final = (Region.SOLAR_WIND, Region.FORESHOCK, Region.BOW_SHOCK, Region.MAGNETOSHEATH)
NETWORK: Final = {ISOLATED: "network, isolated", CONTEXT: "network, context"}
LOGISTIC, RULE = "logistic regression", "threshold rule"


@dataclass(slots=True)
class Rivals:
    """Logistic regressions on the training windows of the network, one for each set of variables that is there."""

    training: RegionExamples
    validation: RegionExamples
    _made: dict[tuple[str, ...], LogisticRival] = field(default_factory=dict)

    def logistic(self, kept: tuple[str, ...]) -> LogisticRival:
        """That which has seen nothing but these variables."""
        if kept not in self._made:
            self._made[kept] = fit_logistic_rival(only(self.training, kept), only(self.validation, kept))
        return self._made[kept]

    def on_all(self) -> LogisticRival:
        """That which has seen the windows as they are."""
        return self.logistic(VARIABLES)


@dataclass(frozen=True, slots=True)
class ShockScore:
    """Shocks that most draws put on the wrong side, by name."""

    shocks: int
    upstream_wrong: tuple[str, ...]
    downstream_wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WindScore:
    """Of windows in the solar wind, the share called it or foreshock, and how often each class was called."""

    windows: int
    right: float
    called: dict[str, int]


@dataclass(frozen=True, slots=True)
class Hour:
    """Cluster 1 as it leaves the magnetosphere: one window a cell.

    Attributes
    ----------
    t0_ns : int
    cells : ndarray, shape (t, 12)
    ends_ns : ndarray, shape (w,)
        Ends of the windows.
    probability : ndarray, shape (w, 10)
    novel : ndarray, shape (w,)
    change_ns : int
        Where the labels best divide into inside before and outside after.
    agreement : float
        Share of the windows on their side of it; those called MP count as half.
    measured_ns : int
        Where field and speed themselves best divide in two.
    """

    t0_ns: int
    cells: FloatArray
    ends_ns: IntArray
    probability: FloatArray
    novel: BoolArray
    change_ns: int
    agreement: float
    measured_ns: int

    @property
    def called(self) -> list[str]:
        """The most probable class of each window."""
        return [REGIONS[code].value for code in self.probability.argmax(axis=1).tolist()]


@dataclass(frozen=True, slots=True)
class RealMeasures:
    """All of it; None where a file is not there.

    Attributes
    ----------
    windows, shocks, wind : mapping from method to figures
    hour : Hour
    absent : tuple of str
        Files that are not there.
    """

    windows: Mapping[str, RegionMeasures] | None
    shocks: Mapping[str, ShockScore] | None
    wind: Mapping[str, WindScore] | None
    hour: Hour | None
    absent: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Numbers for `measures.json`."""
        hour = self.hour
        return {
            "windows": None if self.windows is None else {k: v.to_json() for k, v in self.windows.items()},
            "shocks": None
            if self.shocks is None
            else {
                name: {
                    "shocks": one.shocks,
                    "upstream_wrong": list(one.upstream_wrong),
                    "downstream_wrong": list(one.downstream_wrong),
                }
                for name, one in self.shocks.items()
            },
            "wind": None
            if self.wind is None
            else {
                name: {"windows": one.windows, "right": one.right, "called": one.called}
                for name, one in self.wind.items()
            },
            "hour": None
            if hour is None
            else {
                "change": iso_time(hour.change_ns),
                "agreement": hour.agreement,
                "measured": iso_time(hour.measured_ns),
            },
            "absent": list(self.absent),
        }


def measure_real(model: RegionModel, folder: Path, rivals: Rivals) -> RealMeasures:
    """Measure on every file that is in the folder.

    Raises
    ------
    ArchiveError
        A file is there but not what it should be.
    """
    absent = tuple(name for name in (WINDOWS, SHOCKS, SOLAR_WIND, CLUSTER) if not (folder / name).exists())
    return RealMeasures(
        windows=None if WINDOWS in absent else _windows(model, folder, rivals),
        shocks=None if SHOCKS in absent else _shocks(model, folder, rivals),
        wind=None if SOLAR_WIND in absent else _wind(model, folder),
        hour=None if CLUSTER in absent else measure_hour(model, *cluster_hour(folder)),
        absent=absent,
    )


def _windows(model: RegionModel, folder: Path, rivals: Rivals) -> dict[str, RegionMeasures]:
    alone, inside = region_windows(folder)
    judged = {
        NETWORK[ISOLATED]: judge(model, alone, ISOLATED),
        NETWORK[CONTEXT]: judge(model, inside, CONTEXT),
        LOGISTIC: judged_by(rivals.logistic(KEPT_WINDOWS).predict, alone),
        RULE: judged_by(Thresholds().predict, alone),
    }
    return {name: measure(said, f"MMS windows, {name}") for name, said in judged.items()}


def _shocks(model: RegionModel, folder: Path, rivals: Rivals) -> dict[str, ShockScore]:
    drawn = shock_windows(folder)
    logistic, rule = rivals.logistic(KEPT_SHOCKS).predict, Thresholds().predict
    sides = (drawn.upstream, drawn.downstream)
    methods = {NETWORK[form]: [judge(model, side, form) for side in sides] for form in (ISOLATED, CONTEXT)}
    methods[LOGISTIC] = [judged_by(logistic, side) for side in sides]
    methods[RULE] = [judged_by(rule, side) for side in sides]
    return {name: shock_score(drawn, *judged) for name, judged in methods.items()}


def shock_score(drawn: ShockWindows, upstream: Judged, downstream: Judged) -> ShockScore:
    """Which shocks most draws put wrong: upstream is solar wind or foreshock, downstream the sheath."""
    return ShockScore(
        len(drawn.names),
        _wrong(drawn.names, upstream, UPSTREAM),
        _wrong(drawn.names, downstream, DOWNSTREAM),
    )


def _wrong(names: Sequence[str], judged: Judged, right: Sequence[Region]) -> tuple[str, ...]:
    hit = np.isin(judged.called, [REGIONS.index(region) for region in right])
    hits = np.bincount(judged.run, weights=hit, minlength=len(names))
    draws = np.bincount(judged.run, minlength=len(names))
    return tuple(names[row] for row in np.flatnonzero(2.0 * hits <= draws).tolist())


def _wind(model: RegionModel, folder: Path) -> dict[str, WindScore]:
    scores = {}
    for unit, kilokelvin in (("T in eV", False), ("T in 1000 K", True)):
        windows = solar_wind_windows(folder, kilokelvin=kilokelvin)
        for form, name in NETWORK.items():
            scores[f"{name}, {unit}"] = _wind_score(judge(model, windows, form))
    return scores


def _wind_score(judged: Judged) -> WindScore:
    counts = np.bincount(judged.called, minlength=len(REGIONS)).tolist()
    called = {region.value: count for region, count in zip(REGIONS, counts, strict=True) if count}
    right = sum(called.get(region.value, 0) for region in UPSTREAM)
    return WindScore(len(judged), right / len(judged), called)


def measure_hour(model: RegionModel, t0_ns: int, cells: FloatArray) -> Hour:
    """Label every cell's window of one stretch, and find where the labels change and where the data do."""
    said = model.stretches(cells[None])
    probability = said.probability[0].astype(np.float64)
    windows = probability.shape[0]
    first_end = t0_ns + (CONTEXT_CELLS[0] + WINDOW_CELLS) * CELL_NS
    ends_ns = first_end + np.arange(windows, dtype=np.int64) * CELL_NS
    called = probability.argmax(axis=1)
    weight = np.ones(windows)
    weight[np.isin(called, [REGIONS.index(region) for region in OUTSIDE])] = 0.0
    weight[called == REGIONS.index(Region.MAGNETOPAUSE)] = 0.5
    cut, agreement = split(weight)
    middle = WINDOW_CELLS // 2 * CELL_NS
    return Hour(
        t0_ns,
        cells,
        ends_ns,
        probability,
        said.novel[0],
        int(ends_ns[min(cut, windows - 1)]) - middle,
        agreement,
        t0_ns + divide(cells[:, [0, 1, 2, 8]]) * CELL_NS,
    )


def split(inside: FloatArray) -> tuple[int, float]:
    """Where a series best divides into ones before and zeros after: the first index after it, and the share that fits.

    Parameters
    ----------
    inside : ndarray, shape (n,)
        0–1.
    """
    before = np.concatenate([[0.0], np.cumsum(inside)])
    after = np.concatenate([[0.0], np.cumsum(1.0 - inside)])
    fit = before + after[-1] - after
    cut = int(fit.argmax())
    return cut, float(fit[cut]) / inside.size


def divide(columns: FloatArray) -> int:
    """The first index of the second part where two means fit columns (n, d) of unit scatter with the least squares.

    NaN is left out of its column; there must be numbers in each.
    """
    scatter = np.nanstd(columns, axis=0)
    scaled = (columns - np.nanmean(columns, axis=0)) / np.where(scatter > 0.0, scatter, 1.0)
    known = np.isfinite(scaled)
    count = np.cumsum(known, axis=0)
    total = np.cumsum(np.where(known, scaled, 0.0), axis=0)
    left = total[:-1] ** 2 / np.maximum(count[:-1], 1)
    right = (total[-1] - total[:-1]) ** 2 / np.maximum(count[-1] - count[:-1], 1)
    return int((left + right).sum(axis=1).argmax()) + 1
