"""Measures the random pairs that models learn from, and draws their pictures (extra `docs`: matplotlib).

    python benchmarks/pictures_synthetic.py [--quick] [--no-pictures] [--cases N] [FOLDER]

Prints how the labels of TRAINING and TEST are shared, how far the physical estimate agrees with them, and what a
window costs. `--quick` takes few cases, to show that the script runs. Without FOLDER the pictures go to docs/pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monitor.science.conditioning import ConditioningParameters
from monitor.science.resonance import ResonanceParameters
from monitor.science.spectra import SpectrumParameters
from monitor.science.synthetic.batches import generate, window_ends_ns
from monitor.science.synthetic.labels import LENGTH_NS, TruthLabel, WindowLabel, label_window
from monitor.science.synthetic.pairs import (
    TEST,
    TRAINING,
    TROUBLES,
    Case,
    CaseRanges,
    CaseSeries,
    Range,
    draw_case,
    simulate,
)
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.types import SECOND_NS, Label, Pair, SpectrumBatch, WindowBatch

HOUR_NS = 3600 * SECOND_NS
EQUINOX_NS = 1_584_662_400 * SECOND_NS  # 2020-03-20T00:00Z
CLEAR_SNR = 4.0
CLEAR_PEAK_DEG = 20.0
SIGNS = "PuOr"
COLOURS = {TruthLabel.FREQ: "black", TruthLabel.PBL: "black", TruthLabel.AMBIGUOUS: "grey"}
MARKS = {TruthLabel.FREQ: "o", TruthLabel.PBL: "v", TruthLabel.AMBIGUOUS: "x"}

_EXTRAS = ("uncoupled", "background", "train", "packets", "storm", "commencement", "substorm", "auroral")
DAY = replace(
    TRAINING.without(*TROUBLES, *_EXTRAS, "plasmapause", "coarse_step"),
    span_h=24.0,
    l_shell=Range(2.9, 2.9),
    spacing_deg=Range(2.2, 2.2),
    tilt_deg=Range(3.0, 3.0),
    quality=Range(3.0, 3.0),
    coupling=Range(1.5, 1.5),
    driver_nT2_Hz=Range(5.0, 5.0),
    night_share=Range(0.05, 0.05),
    refilling=Range(0.5, 0.5),
)
STORM = replace(
    DAY,
    storm_probability=1.0,
    span_h=24.0,
    l_shell=Range(4.0, 4.0),
    spacing_deg=Range(1.6, 1.6),
    saturation=Range(0.5, 0.5),
    trough_factor=Range(1.2, 1.2),
    storm_width_l=Range(0.08, 0.08),
    driver_nT2_Hz=Range(30.0, 30.0),
    night_share=Range(0.3, 0.3),
    slow_rms_nT=Range(30.0, 30.0),
)
NIGHT = replace(
    DAY,
    span_h=6.0,
    substorm_probability=1.0,
    substorm_nT=Range(1.5, 1.5),
    night_share=Range(0.02, 0.02),
    driver_nT2_Hz=Range(2.0, 2.0),
    noise_nT2_Hz=Range(0.1, 0.1),
)


def stages() -> tuple[SpectrumStage, ResonanceStage]:
    """Spectra and physical estimate as they run by default."""
    return (
        SpectrumStage(ConditioningParameters(), SpectrumParameters()),
        ResonanceStage(ResonanceParameters()),
    )


def shares(counts: Counter[str]) -> str:
    """`name share %` by falling share."""
    total = max(1, counts.total())
    return ", ".join(f"{name} {100.0 * count / total:.1f} %" for name, count in counts.most_common())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is true of a window, and what the physical estimate says."""

    truth: WindowLabel
    estimate: Label
    frequency_Hz: float

    @property
    def clear(self) -> bool:
        """Well above the rule: the window must be easy."""
        label = self.truth
        peak_deg = abs(np.degrees(label.truth.peak_phase_rad))
        return min(label.snr_poleward, label.snr_equatorward) > CLEAR_SNR and bool(peak_deg > CLEAR_PEAK_DEG)


def judge(ranges: CaseRanges, cases: int) -> list[Verdict]:
    """Every window of so many cases."""
    spectrum, resonance = stages()
    verdicts = []
    for window, labels in generate(range(cases), ranges):
        found = resonance.feed(spectrum.feed([window]))[0]
        verdicts += [
            Verdict(label, found.label[row], float(found.frequency_Hz[row]))
            for row, label in enumerate(labels)
        ]
    return verdicts


def report(name: str, ranges: CaseRanges, cases: int) -> None:
    """Class shares, reasons, and agreement with the physical estimate."""
    verdicts = judge(ranges, cases)
    print(f"\n{name}: {cases} cases, {len(verdicts)} windows")
    print("  labels:", shares(Counter(verdict.truth.label.value for verdict in verdicts)))
    for label in (TruthLabel.NO_FREQ, TruthLabel.AMBIGUOUS):
        reasons = Counter(one.truth.reason for one in verdicts if one.truth.label == label)
        print(f"  {label.value}:", shares(reasons))
    print("  physical estimate, all windows:")
    agreement(verdicts)
    easy = [one for one in verdicts if one.clear or one.truth.label == TruthLabel.NO_FREQ]
    print(f"  physical estimate, clear windows (ratio > {CLEAR_SNR:g}, |peak| > {CLEAR_PEAK_DEG:g}°):")
    agreement(easy)
    simple = [one for one in easy if one.truth.truth.third_Hz is None]
    print("  physical estimate, clear windows of cases without a third harmonic:")
    agreement(simple)


def agreement(verdicts: Sequence[Verdict]) -> None:
    """What the estimate calls the windows of each label, and its error where they agree."""
    for label in (TruthLabel.FREQ, TruthLabel.PBL, TruthLabel.NO_FREQ):
        those = [one for one in verdicts if one.truth.label == label]
        print(
            f"    {label.value}: {len(those)} windows, called {shares(Counter(one.estimate.value for one in those))}"
        )
        errors = [
            one.frequency_Hz / one.truth.frequency_Hz - 1.0
            for one in those
            if one.truth.frequency_Hz is not None and one.estimate.value == label.value
        ]
        if errors:
            size = 100.0 * np.abs(errors)
            print(
                f"      frequency off by {np.median(size):.1f} % in the median, {np.quantile(size, 0.9):.1f} % in the"
                f" 90th percentile; bias {100.0 * np.median(errors):+.1f} %"
            )


def cost(cases: int) -> None:
    """Processor time of drawing, simulating and labelling."""
    for ranges, step in ((replace(TRAINING, coarse_step_probability=0.0), "1 s"), (_coarse(), "10 s")):
        begin = time.process_time()
        windows = sum(len(labels) for _, labels in generate(range(cases), ranges))
        spent = time.process_time() - begin
        print(
            f"cost, step {step}: {1e3 * spent / windows:.2f} ms a labelled window, {1e3 * spent / cases:.1f} ms a case"
        )


def _coarse() -> CaseRanges:
    return replace(TRAINING, coarse_step_probability=1.0, coarse_step_minimum_l=0.0)


def at_equinox(seed: int, ranges: CaseRanges, first_hour: float = 0.0) -> Case:
    """A drawn case at longitude 0 (local time is UT) on the day of the equinox, from an hour on."""
    case = draw_case(seed, ranges)
    start_ns = EQUINOX_NS + round(first_hour * HOUR_NS)
    plasma, shift_ns = case.plasma, start_ns - case.start_ns
    knots = tuple((time_ns + shift_ns, l_shell) for time_ns, l_shell in plasma.plasmapause)
    return replace(case, start_ns=start_ns, longitude_deg=0.0, plasma=replace(plasma, plasmapause=knots))


def spectra(
    series: CaseSeries, cadence_ns: int = 1800 * SECOND_NS
) -> tuple[list[WindowLabel], SpectrumBatch]:
    """Labels and spectra of all windows of a case."""
    ends = window_ends_ns(series, cadence_ns)
    labels = [label_window(series, end) for end in ends]
    values = np.concatenate([series.H_nT[:, series.window(end, LENGTH_NS)] for end in ends])
    pairs = tuple(Pair(f"P{row}", f"E{row}", series.case.l_shell) for row in range(len(labels)))
    window = WindowBatch(
        pairs=pairs,
        stations=tuple(code for pair in pairs for code in pair.stations),
        station_index=np.arange(2 * len(labels), dtype=np.int64).reshape(-1, 2),
        end_ns=labels[0].end_ns,
        length_ns=LENGTH_NS,
        step_ns=series.case.step_ns,
        values_nT=values,
        coverage=np.isfinite(values).mean(axis=1),
        offset_ns=np.zeros(2 * len(labels), dtype=np.int64),
        notes=tuple(frozenset() for _ in range(2 * len(labels))),
    )
    return labels, stages()[0].feed([window])[0]


def draw_course(case: Case, highest_mHz: float, title: str) -> Figure:
    """Dynamic cross-phase, the lines of both stations, the labels, and the record."""
    series = simulate(case)
    labels, found = spectra(series)
    centre = np.array([label.end_ns - LENGTH_NS // 2 - EQUINOX_NS for label in labels]) / HOUR_NS
    figure = Figure(figsize=(8.2, 6.4), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 1.2])
    shown = found.frequency_Hz * 1e3 <= highest_mHz
    phase = np.ma.masked_where(found.coherence[:, shown] < 0.3, np.degrees(found.cross_phase_rad[:, shown]))
    mesh = top.pcolormesh(
        centre, found.frequency_Hz[shown] * 1e3, phase.T, cmap=SIGNS, vmin=-120, vmax=120, shading="nearest"
    )
    figure.colorbar(mesh, ax=top, label="cross-phase E − P (°)", ticks=[-120, -60, 0, 60, 120])
    hours = (series.times_ns - EQUINOX_NS) / HOUR_NS
    for row, (name, style) in enumerate((("poleward", ":"), ("equatorward", "-."))):
        top.plot(
            hours, series.rings_Hz[:, row] * 1e3, color="dimgrey", linestyle=style, lw=1, label=f"{name} line"
        )
    for kind, mark in MARKS.items():
        those = [
            (x, label.truth.frequency_Hz * 1e3)
            for x, label in zip(centre, labels, strict=True)
            if label.label == kind
        ]
        if those:
            x, y = zip(*those, strict=True)
            face = "white" if kind != TruthLabel.AMBIGUOUS else COLOURS[kind]
            top.scatter(
                x,
                y,
                marker=mark,
                s=22,
                c=face,
                edgecolors=None if mark == "x" else "black",
                lw=0.8,
                label=kind.value,
            )
    none = [x for x, label in zip(centre, labels, strict=True) if label.label == TruthLabel.NO_FREQ]
    top.scatter(none, np.full(len(none), 2.0), marker="_", c="black", s=40, label="NoFreq" if none else None)
    top.set_ylim(1.0, highest_mHz)
    top.set_ylabel("frequency (mHz)")
    top.legend(loc="upper right", fontsize=7, ncols=2)
    top.set_title(title, fontsize=10)
    for name, rows in (
        ("poleward", [label.snr_poleward for label in labels]),
        ("equatorward", [label.snr_equatorward for label in labels]),
    ):
        middle.semilogy(centre, np.maximum(rows, 1e-3), lw=1, label=name)
    for level in (2.0, 0.2):
        middle.axhline(level, color="grey", lw=0.7, ls="--")
    middle.set_ylabel("resonance / rest")
    middle.legend(fontsize=7)
    _draw_record(bottom, series)
    bottom.set_xlabel("local time (h)")
    bottom.set_xlim(centre[0] - 0.25, centre[-1] + 0.25)
    return figure


def _draw_record(axes: Axes, series: CaseSeries) -> None:
    hours = (series.case.start_ns - EQUINOX_NS) / HOUR_NS + np.arange(
        series.H_nT.shape[1]
    ) * series.case.step_ns / HOUR_NS
    every = max(1, 20 * SECOND_NS // series.case.step_ns)
    for row, name in enumerate(("poleward", "equatorward")):
        axes.plot(
            hours[::every], (series.H_nT[row] - np.nanmedian(series.H_nT[row]))[::every], lw=0.6, label=name
        )
    axes.set_ylabel("H − median (nT)")


def draw_troubles() -> Figure:
    """Records of one quiet case with one trouble each."""
    calm = replace(
        DAY, span_h=6.0, drift_nT_h=Range(0.0, 0.0), slow_rms_nT=Range(1.0, 1.0), sq_nT=Range(5.0, 5.0)
    )
    cases: list[tuple[str, str, CaseRanges]] = [
        ("gaps", "gap", replace(calm, gap_s=Range(600.0, 3000.0))),
        ("dead channel", "dead", calm),
        ("spikes", "spikes", replace(calm, spikes_per_h=Range(8.0, 8.0), spike_nT=Range(2.0, 20.0))),
        ("steps", "steps", replace(calm, step_nT=Range(4.0, 12.0))),
        ("machines, trains", "cultural", replace(calm, cultural_nT=Range(1.5, 1.5))),
        ("clock drifts (cross-phase)", "clock_ramp", replace(calm, clock_ramp_s_h=Range(1.2, 1.2))),
    ]
    figure = Figure(figsize=(8.2, 6.4), layout="constrained")
    for axes, (title, what, ranges) in zip(figure.subplots(3, 2).ravel(), cases, strict=True):
        chance: dict[str, Any] = {f"{what}_probability": 1.0}
        on = replace(ranges, **chance)
        seed = next(seed for seed in range(50) if _shows(what, draw_case(seed, on)))
        series = simulate(at_equinox(seed, on, 8.0))
        if what == "clock_ramp":
            _, found = spectra(series, 2 * HOUR_NS)
            for row, hour in enumerate(("8–10 h", "10–12 h", "12–14 h")):
                band = (found.frequency_Hz < 60e-3) & (found.coherence[row] > 0.5)
                axes.plot(
                    found.frequency_Hz[band] * 1e3,
                    np.degrees(found.cross_phase_rad[row, band]),
                    lw=0.8,
                    label=hour,
                )
            axes.set_xlabel("frequency (mHz)")
            axes.set_ylabel("cross-phase (°)")
            axes.legend(fontsize=7)
        else:
            hours = 8.0 + np.arange(series.H_nT.shape[1]) / 3600.0
            for row, name in enumerate(("poleward", "equatorward")):
                axes.plot(
                    hours, series.H_nT[row] - np.nanmedian(series.H_nT[row]) - 12.0 * row, lw=0.4, label=name
                )
            axes.set_xlabel("local time (h)")
            axes.set_ylabel("H (nT)")
        axes.set_title(title, fontsize=9)
    return figure


def _shows(what: str, case: Case) -> bool:
    """Whether the picture of a trouble would show it."""
    first, second = case.stations
    if what == "dead":
        return all(one.dead_share is not None and 0.2 < one.dead_share < 0.8 for one in (first, second))
    if what == "clock_ramp":
        return first.clock_ramp_s_h != second.clock_ramp_s_h
    return True


def draw_all(folder: Path) -> None:
    """Draw and save every picture."""
    storm = _storm()
    figures = {
        "freq-day": draw_course(at_equinox(4, DAY), 45.0, "A day at L = 2.9 (synthetic)"),
        "pbl-storm": draw_course(storm, 30.0, "A plasmapause passes the pair at L = 4 (synthetic)"),
        "quiet-night": draw_course(
            at_equinox(6, NIGHT, 20.0), 45.0, "A quiet night at L = 2.9 with Pi2 pulses (synthetic)"
        ),
        "troubles": draw_troubles(),
    }
    for name, figure in figures.items():
        path = folder / f"synthetic-{name}.png"
        figure.savefig(path, dpi=80)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def _storm() -> Case:
    """The storm's case with the plasmapause between the stations from 9 to 15 h local time."""
    case = at_equinox(2, STORM)
    poleward, equatorward = (station.l_shell for station in case.stations)
    course = (
        (7.5, poleward + 0.7),
        (9.0, 0.5 * (poleward + equatorward)),
        (15.0, 0.5 * (poleward + equatorward)),
        (17.0, poleward + 0.7),
    )
    knots = tuple((EQUINOX_NS + round(hour * HOUR_NS), l_shell) for hour, l_shell in course)
    return replace(case, plasma=replace(case.plasma, plasmapause=knots))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw; 0 when done."""
    parser = argparse.ArgumentParser(description="Measure and draw the synthetic pairs.")
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="few cases, to show that the script runs")
    parser.add_argument("--no-pictures", action="store_true", help="only measure")
    parser.add_argument("--cases", type=int, default=1000, metavar="N", help="cases of each set (1000)")
    options = parser.parse_args(arguments)
    mpl.use("Agg")
    cases = 10 if options.quick else options.cases
    cost(min(cases, 100))
    for name, ranges in (("TRAINING", TRAINING), ("TEST", TEST)):
        report(name, ranges, cases)
    if not options.no_pictures:
        folder = options.folder or Path(__file__).resolve().parents[1] / "docs" / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        draw_all(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
