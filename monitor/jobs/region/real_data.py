"""Real measurements that no model learns from: how the files beside the repository become windows.

Their folder is given by hand. What each file has and has not is in `docs/reference` and in the report; here it is read,
brought to the 4.5 s grid, and every variable that a file lacks stays missing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from monitor.errors import ArchiveError
from monitor.science.region import standing_alone
from monitor.science.synthetic.craft.fluctuations import coloured
from monitor.types import (
    CELL_NS,
    CONTEXT_CELLS,
    REGIONS,
    SECOND_NS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    BoolArray,
    FloatArray,
    IntArray,
    Region,
    RegionExamples,
)

WINDOWS: Final = "mms_region_windows.npz"
SHOCKS: Final = "mms_bowshock/bowshock_half.csv"
SOLAR_WIND: Final = "mms_solar_wind/IMF_mms_20240510_000000_merged.dat"
CLUSTER: Final = "cluster_c1_20020318"
KEPT_WINDOWS: Final = ("B", "N", "T")
KEPT_SHOCKS: Final = ("Bx", "By", "Bz", "B", "N", "Vx", "Vy", "Vz", "V", "T")
KELVIN_PER_EV: Final = 11604.518
EV_CM3_PER_NPA: Final = 6241.509
"""Pressure of 1 nPa over a density of 1 cm⁻³ is this temperature in eV."""

_COLUMN: Final = {name: index for index, name in enumerate(VARIABLES)}
_BEFORE, _AFTER = CONTEXT_CELLS
_SLOPE = -1.0
_EVEN = 0.05


def region_windows(folder: Path) -> tuple[RegionExamples, RegionExamples]:
    """Labelled MMS windows with |B|, N and T: all of them alone, and those with neighbours on both sides in context.

    Windows of a run follow each other without a gap where the spacecraft's x goes on at one pace; this is checked
    window by window, and only then do the neighbours' cells count as context.

    Raises
    ------
    ArchiveError
        The file is not there or not what it should be.
    """
    path = folder / WINDOWS
    try:
        with np.load(path, allow_pickle=False) as loaded:
            field, density, heat, x, run = (
                np.asarray(loaded[name], dtype=np.float64) for name in ("bt", "n_est", "ti", "x_gse", "run")
            )
            label = np.array([REGIONS.index(Region(name)) for name in loaded["label"]], dtype=np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise ArchiveError(
            str(path), f"expected labelled windows (bt, n_est, ti, x_gse, label, run): {error}"
        ) from error
    values = np.full((label.size, WINDOW_CELLS, len(VARIABLES)), np.nan)
    for name, column in (("B", field), ("N", density), ("T", heat)):
        values[:, :, _COLUMN[name]] = column
    alone = _examples(standing_alone(values), label, run.astype(np.int64), context=False)
    follows = _follows(x, run)
    inner = np.flatnonzero(follows[:-1] & follows[1:]) + 1
    whole = np.concatenate(
        [values[inner - 1, WINDOW_CELLS - _BEFORE :], values[inner], values[inner + 1, :_AFTER]], axis=1
    )
    return alone, _examples(whole, label[inner], alone.run[inner], context=True)


def _follows(x: FloatArray, run: FloatArray) -> BoolArray:
    """Whether each window but the first goes on where the one before it ends, by the pace of its x."""
    pace = np.median(np.diff(x, axis=1), axis=1)
    between = x[1:, 0] - x[:-1, -1]
    even = np.abs(between - pace[:-1]) <= _EVEN * np.abs(pace[:-1])
    follows: BoolArray = (run[1:] == run[:-1]) & even
    return follows


@dataclass(frozen=True, slots=True)
class ShockWindows:
    """Windows drawn about the averages of bow shocks; `run` is the number of the shock.

    Attributes
    ----------
    names : tuple of str
        Of the shocks.
    upstream, downstream : RegionExamples
        Several draws a shock. Labels are the solar wind and the magnetosheath.
    """

    names: tuple[str, ...]
    upstream: RegionExamples
    downstream: RegionExamples


def shock_windows(folder: Path, *, draws: int = 5, seed: int = 0) -> ShockWindows:
    """Windows about the upstream and downstream averages of each shock, with noise of their errors.

    The errors are taken for the standard deviations of the measured fluctuations; the noise has power ∝ 1/f, each
    quantity on its own. T comes from pressure and density; T∥ and T⊥ are missing. Coordinates are those of the file.

    Raises
    ------
    ArchiveError
        The file is not there or not what it should be.
    """
    path = folder / SHOCKS
    rng = np.random.default_rng(seed)
    sides: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    names = []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(line.removeprefix("# ") for line in lines))
        for row in rows:
            names.append(row["ID"])
            for number, side in zip("12", sides, strict=True):
                side.extend(_drawn(row, number, rng) for _ in range(draws))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise ArchiveError(
            str(path), f"expected the averages of shocks (Ni1_avg, Ni1_err, …): {error!r}"
        ) from error
    if not names:
        raise ArchiveError(str(path), "expected shocks, found no row")
    run = np.repeat(np.arange(len(names), dtype=np.int64), draws)
    upstream, downstream = (
        _examples(np.stack(side), np.full(run.size, REGIONS.index(region), dtype=np.int64), run, context=True)
        for side, region in zip(sides, (Region.SOLAR_WIND, Region.MAGNETOSHEATH), strict=True)
    )
    return ShockWindows(tuple(names), upstream, downstream)


def _drawn(row: dict[str, str], number: str, rng: np.random.Generator) -> FloatArray:
    """One window with its context, shape (SUPPORT_CELLS, 12), of one side of a shock."""

    def series(name: str) -> FloatArray:
        noise = coloured(rng, SUPPORT_CELLS, _SLOPE)
        noise = (noise - noise.mean()) / noise.std()
        drawn: FloatArray = float(row[f"{name}{number}_avg"]) + float(row[f"{name}{number}_err"]) * noise
        return drawn

    field = np.stack([series(f"B{axis}") for axis in "xyz"], axis=1)
    flow = np.stack([series(f"Ui{axis}") for axis in "xyz"], axis=1)
    lowest = 0.05 * float(row[f"Ni{number}_avg"]), 0.05 * float(row[f"Pi{number}_avg"])
    density = np.maximum(series("Ni"), lowest[0])
    pressure = np.maximum(series("Pi"), lowest[1])
    return _cells(field, flow, density, EV_CM3_PER_NPA * pressure / density)


def solar_wind_windows(folder: Path, *, hours: float = 15.0, kilokelvin: bool = False) -> RegionExamples:
    """MMS in the solar wind of 2024-05-10 from 00 UT: one-minute values, interpolated, as windows side by side.

    The file names no unit of T. In eV it starts at 97, as the ion instrument of MMS, which sees a cold beam too wide,
    has it upstream of shocks (18 to 120 eV in `SHOCKS`); in 1000 K it would be 8 eV, below all of these.

    Parameters
    ----------
    folder : Path
    hours : float
    kilokelvin : bool
        Take T for 1000 K.

    Raises
    ------
    ArchiveError
        The file is not there or not what it should be.
    """
    path = folder / SOLAR_WIND
    try:
        text = path.read_text(encoding="utf-8")
        rows = np.array(
            [[float(word) for word in line.split()] for line in text.partition("#START")[2].split("\n") if line.strip()]
        )  # fmt: skip
        minute = rows[:, 2] * 1440.0 + rows[:, 3] * 60.0 + rows[:, 4]
        quantities = rows[:, 7:15]
    except (OSError, ValueError, IndexError) as error:
        raise ArchiveError(
            str(path), f"expected date, time, B, V, N and T in columns after #START: {error}"
        ) from error
    at = (np.arange(int(hours * 3600.0 * SECOND_NS) // CELL_NS) + 0.5) * CELL_NS / SECOND_NS / 60.0
    cells = np.stack([np.interp(at, minute - minute[0], column) for column in quantities.T], axis=1)
    heat = cells[:, 7] * (1000.0 / KELVIN_PER_EV if kilokelvin else 1.0)
    values = _cells(cells[:, :3], cells[:, 3:6], cells[:, 6], heat)
    begins = range(0, values.shape[0] - SUPPORT_CELLS + 1, WINDOW_CELLS)
    whole = np.stack([values[begin : begin + SUPPORT_CELLS] for begin in begins])
    label = np.full(whole.shape[0], REGIONS.index(Region.SOLAR_WIND), dtype=np.int64)
    return _examples(whole, label, np.zeros(label.size, dtype=np.int64), context=True)


def cluster_hour(folder: Path) -> tuple[int, FloatArray]:
    """Field and flow of Cluster 1 on 2002-03-18 from 14:15 UT: begin of the first cell, and cells, shape (t, 12).

    A cell is the mean of the samples in it; NaN where there is none.

    Raises
    ------
    ArchiveError
        A file is not there or not what it should be.
    """
    found = sorted((folder / CLUSTER).glob("Fig3*.csv"))
    if len(found) != 2:
        raise ArchiveError(str(folder / CLUSTER), f"expected two files, field and flow, found {len(found)}")
    field, flow = (_samples(path) for path in found)
    t0_ns = max(int(times[0]) for times, _ in (field, flow)) // CELL_NS * CELL_NS + CELL_NS
    count = (min(int(times[-1]) for times, _ in (field, flow)) - t0_ns) // CELL_NS
    b, v = (_on_grid(times, values, t0_ns, count) for times, values in (field, flow))
    unknown = np.full(count, np.nan)
    return t0_ns, _cells(b, v, unknown, unknown)


def _samples(path: Path) -> tuple[IntArray, FloatArray]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines))
        times = np.array([_time_ns(row[0]) for row in rows], dtype=np.int64)
        return times, np.array([[float(word) for word in row[1:4]] for row in rows])
    except (OSError, ValueError, IndexError) as error:
        raise ArchiveError(str(path), f"expected a time and three numbers a line: {error}") from error


def _time_ns(text: str) -> int:
    since = datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * SECOND_NS + since.microseconds * 1000


def _on_grid(times: IntArray, values: FloatArray, t0_ns: int, count: int) -> FloatArray:
    """Means of the samples in each cell, shape (count, 3)."""
    place = (times - t0_ns) // CELL_NS
    inside = (place >= 0) & (place < count)
    number = np.bincount(place[inside], minlength=count)
    sums = [np.bincount(place[inside], weights=column[inside], minlength=count) for column in values.T]
    means = np.full((count, values.shape[1]), np.nan)
    np.divide(np.stack(sums, axis=1), number[:, None], out=means, where=number[:, None] > 0)
    return means


def _cells(field: FloatArray, flow: FloatArray, density: FloatArray, heat: FloatArray) -> FloatArray:
    """Cells (t, 12) with the totals of field and flow; T∥ and T⊥ are missing."""
    columns: dict[str, FloatArray] = dict(zip(("Bx", "By", "Bz"), field.T, strict=True))
    columns |= dict(zip(("Vx", "Vy", "Vz"), flow.T, strict=True))
    columns |= {"B": np.linalg.norm(field, axis=1), "V": np.linalg.norm(flow, axis=1)}
    columns |= {"N": density, "T": heat}
    values = np.full((density.size, len(VARIABLES)), np.nan)
    for name, column in columns.items():
        values[:, _COLUMN[name]] = column
    return values


def _examples(values: Iterable[object], label: IntArray, run: IntArray, *, context: bool) -> RegionExamples:
    return RegionExamples(
        np.asarray(values, dtype=np.float32),
        label,
        run,
        np.zeros(label.size, dtype=np.bool_),
        np.full(label.size, context),
    )
