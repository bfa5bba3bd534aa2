"""Draws the documentation's pictures of the simulated flights that regions are learnt from (extra `docs`: matplotlib).

    python benchmarks/pictures_craft.py [FOLDER]

A flight by day, one in the tail, and a window of each class, as instruments see them, with what is true. Without FOLDER
the pictures go to docs/pictures. Prints what share of the windows of each flight is mixed.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

from monitor.jobs.flr.canvas import INK, panels
from monitor.jobs.panels_drawing import REGION_COLOUR
from monitor.jobs.region.figures import save
from monitor.science.region import window_part
from monitor.science.synthetic.craft.courses import Course, CourseRanges, course_along
from monitor.science.synthetic.craft.instrument import InstrumentRanges, measured
from monitor.science.synthetic.craft.windows import TRAINING, WindowSampler, simulate_runs, window_labels
from monitor.science.synthetic.ranges import Range
from monitor.types import CELL_NS, REGIONS, SECOND_NS, VARIABLES, WINDOW_CELLS, FloatArray, IntArray, Region

SW, FS, BS, MSH, MP, BL, MSP, PS, PSBL, LOBE = REGIONS
CELL_MIN = CELL_NS / SECOND_NS / 60.0
# Steps of 4.5 s in each region.
DAY = [(SW, 260), (FS, 220), (MSH, 380), (BL, 80), (MSP, 260)]
TAIL = [(LOBE, 260), (PSBL, 150), (PS, 340), (PSBL, 110), (LOBE, 240)]
SEEDS = {"day": 104, "tail": 102, "windows": 4}
RANGES = replace(CourseRanges(), turned_probability=0.0)
INSTRUMENT = replace(InstrumentRanges(), coarse_probability=0.0, interpolated_probability=0.0)
LINE = {"Bx": "#0072B2", "By": "#009E73", "Bz": "#D55E00", "Tpar": "#D55E00", "Tperp": "#0072B2"}
# Rows of a flight: unit, what is drawn, and whether the axis is logarithmic.
ROWS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("nT", ("Bx", "By", "Bz", "B"), False),
    ("cm$^{-3}$", ("N",), True),
    ("km/s", ("Vx", "Vy", "Vz"), False),
    ("eV", ("Tpar", "Tperp"), True),
)


def colour_of(name: str) -> str:
    """Of a variable; components of V have those of B."""
    return LINE.get(name.replace("V", "B"), INK)


def strip(axis: Any, label: IntArray, begin: float, mixed: FloatArray | None = None) -> None:
    """A band of colours, one a step, from `begin` (min) on; grey where windows are mixed."""
    palette = np.array([[int(REGION_COLOUR[one][at : at + 2], 16) for at in (1, 3, 5)] for one in REGIONS])
    image = palette[label].astype(np.uint8)
    if mixed is not None:
        image[mixed] = 215
    axis.imshow(
        image[None],
        aspect="auto",
        interpolation="nearest",
        extent=(begin, begin + label.size * CELL_MIN, 0, 1),
    )
    axis.set_yticks([])


def flight(stays: Sequence[tuple[Region, int]], seed: int, path: Path) -> str:
    """Draw a flight through given regions; return what is to be said of it."""
    rng = np.random.default_rng(seed)
    course = course_along(rng, RANGES, list(stays))
    values = measured(rng, INSTRUMENT, course.series)
    figure, axes = panels(6, 1, (8.5, 6.6), sharex=True, height_ratios=(2.0, 1.3, 1.5, 1.3, 0.35, 0.35))
    minutes = np.arange(values.shape[0]) * CELL_MIN
    for axis, (unit, names, logarithmic) in zip(axes[:4, 0], ROWS, strict=True):
        for name in names:
            column = values[:, VARIABLES.index(name)]
            # Without the many shades of soft edges a picture is small enough to keep its colours.
            axis.plot(minutes, column, color=colour_of(name), linewidth=0.7, label=name, antialiased=False)
        if logarithmic:
            axis.set_yscale("log")
            axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set_ylabel(unit)
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    label, mixed = window_labels(course)
    strip(axes[4, 0], course.region, 0.0)
    # A window stands at its centre.
    strip(axes[5, 0], label, 0.5 * WINDOW_CELLS * CELL_MIN, mixed)
    for axis, name in zip(axes[4:, 0], ("place", "window"), strict=True):
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    named(axes[4, 0], course)
    axes[5, 0].set_xlim(0.0, values.shape[0] * CELL_MIN)
    axes[5, 0].set_xlabel("minutes")
    save(figure, path)
    return f"{path.name}: {100.0 * mixed.mean():.0f} % of {mixed.size} windows are mixed"


def named(axis: Any, course: Course) -> None:
    """Write the names of the regions on the strip, where there is room."""
    edges = [0, *np.flatnonzero(np.diff(course.region)) + 1, course.region.size]
    for begin, end in itertools.pairwise(edges):
        if end - begin < 0.03 * course.region.size:
            continue
        region = REGIONS[course.region[begin]]
        shade = "black" if region in (SW, MSH, BL, PSBL, FS) else "white"
        axis.text(
            0.5 * (begin + end) * CELL_MIN,
            0.5,
            str(region),
            color=shade,
            fontsize=8,
            ha="center",
            va="center",
        )


def windows(seed: int, path: Path) -> str:
    """Draw a window of each class: field, and density over its mean."""
    ranges = replace(TRAINING, course=RANGES, instrument=INSTRUMENT, masked=False, short_probability=0.0)
    ranges = replace(ranges, single_probability=0.0, run_steps=Range(400.0, 640.0))
    runs = simulate_runs(ranges, 40, first=1000 * seed)
    rng = np.random.default_rng(seed)
    figure, axes = panels(4, 5, (10.0, 6.6), height_ratios=(1.0, 0.8, 1.0, 0.8))
    minutes = np.arange(WINDOW_CELLS) * CELL_MIN
    for number, region in enumerate(REGIONS):
        values = WindowSampler(runs, ranges, {region: 1.0}).draw(rng, 1).values[0]
        values = window_part(values)
        row, column = 2 * (number // 5), number % 5
        top, below = axes[row, column], axes[row + 1, column]
        for name in ("Bx", "By", "Bz", "B"):
            top.plot(minutes, values[:, VARIABLES.index(name)], color=colour_of(name), linewidth=0.9)
        heat, density = values[:, VARIABLES.index("T")], values[:, VARIABLES.index("N")]
        below.plot(minutes, density / density.mean(), color=INK, linewidth=0.9)
        below.plot(minutes, heat / heat.mean(), color="#D55E00", linewidth=0.9)
        top.set_title(
            f"{region}   {density.mean():.2g} cm$^{{-3}}$, {heat.mean():.0f} eV", fontsize=8.5, color=INK
        )
        top.set_xticklabels([])
        for axis in (top, below):
            axis.tick_params(labelsize=7)
        if column == 0:
            top.set_ylabel("nT", fontsize=8)
            below.set_ylabel("N, T / mean", fontsize=8)
        if row == 2:
            below.set_xlabel("minutes", fontsize=8)
    save(figure, path)
    return f"{path.name}: a window of each of {len(REGIONS)} regions"


def main(arguments: Sequence[str]) -> None:
    """Draw all pictures."""
    folder = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[1] / "docs" / "pictures"
    print(flight(DAY, SEEDS["day"], folder / "craft-day.png"))
    print(flight(TAIL, SEEDS["tail"], folder / "craft-tail.png"))
    print(windows(SEEDS["windows"], folder / "craft-windows.png"))


if __name__ == "__main__":
    main(sys.argv[1:])
