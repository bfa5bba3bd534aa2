"""Draws the pictures of the documentation from the simulated chain (extra `docs`: matplotlib).

    python benchmarks/pictures.py [--quick] [FOLDER]

Everything drawn is synthetic, and goes through the pipeline as samples of a real chain do. `--quick` simulates every
tenth second only, to show that the script runs. Without FOLDER the pictures go to docs/pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monitor.config import Config
from monitor.pipeline import Pipeline
from monitor.science.bank import search
from monitor.science.hodograph import HodographFit, Observation, fit, smoothed_model
from monitor.science.resonance import observe, search_band_Hz
from monitor.science.synthetic.ground import EMMA, GroundSimulator, storm_scenario
from monitor.types import SECOND_NS, BoolArray, FloatArray, Json, Label, Pair

BEGIN = datetime(2020, 1, 1, 4, tzinfo=UTC)
HOURS = 24
SEED = 7
PIECE_NS = 600 * SECOND_NS
DAY_PAIR = Pair("OUJ", "HAN")
NORMAL = (Pair("TAR", "BRZ"), "2020-01-01T10:00:00Z")
REVERSED = (Pair("OUJ", "HAN"), "2020-01-01T14:00:00Z")
DAY_BAND_MHZ = (2.0, 33.0)
# Orange and purple for the two signs: colour-blind eyes tell them apart.
SIGNS = "PuOr"
DATA, MODEL = "#3b6ea5", "#c44e00"
_DAY_NS = 86_400 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Day:
    """What the pipeline made of the simulated day: `flr` and `spectrum` objects in order, and the simulator."""

    simulator: GroundSimulator
    labels: list[Json]
    spectra: list[Json]

    def of(self, pair: Pair) -> list[tuple[Json, Json]]:
        """Label and spectrum of each window of a pair that has both."""
        spectra = {body["time"]: body for body in self.spectra if body["pair"] == pair.name}
        return [
            (body, spectra[body["time"]])
            for body in self.labels
            if body["pair"] == pair.name and body["time"] in spectra
        ]


def simulate(step_s: float) -> Day:
    """Run the pipeline over a day of the stations that the pictures need."""
    pairs = (NORMAL[0], REVERSED[0])
    codes = {code for pair in pairs for code in pair.stations}
    begin = _ns(BEGIN)
    chain = [station for station in EMMA if station[0] in codes]
    simulator = GroundSimulator(storm_scenario(begin, seed=SEED, step_s=step_s, stations=chain))
    # The pictures are of the physical estimate; how the learned chain does is in the report of its model.
    config = Config.model_validate(
        {
            "pairs": [pair.name for pair in pairs],
            "outputs": {"spectra": True},
            "models": {"flr": "physical"},
        }
    )
    pipeline = Pipeline(config)
    day = Day(simulator, [], [])
    end = begin + HOURS * 3600 * SECOND_NS
    for start in range(begin, end, PIECE_NS):
        products = pipeline.feed(simulator.blocks(start, start + PIECE_NS))
        if start + PIECE_NS == end:
            products += pipeline.flush()
        for product in products:
            if product.kind == "flr":
                day.labels.append(product.body)
            elif product.kind == "spectrum":
                day.spectra.append(product.body)
    return day


def report(day: Day) -> None:
    """Print how far the estimates lie from the two frequencies between which the pair's lines ring."""
    scenario = day.simulator.scenario
    for pair, label in ((NORMAL[0], Label.FREQ), (REVERSED[0], Label.FREQ), (REVERSED[0], Label.PBL)):
        shells = np.array([scenario.l_shell(code) for code in pair.stations])
        estimated, lines = [], []
        for body in day.labels:
            if body["pair"] == pair.name and body["label"] == label:
                centre = _ns(datetime.fromisoformat(body["effective_time"]))
                rings = scenario.plasma.resonance_frequency_Hz(shells, centre, scenario.longitude_deg)
                estimated.append(body["frequency_mHz"])
                lines.append(rings * 1e3)
        apart = np.array(lines)
        for name, middle in (
            ("geometric mean", np.sqrt(apart.prod(axis=1))),
            ("arithmetic mean", apart.mean(axis=1)),
        ):
            off = 100.0 * np.median(np.array(estimated) / middle - 1.0)
            what = f"{pair.name} {label}: {len(estimated)} windows"
            print(f"{what}, median {off:+.1f} % from the {name} of the lines' frequencies")


def draw_day(day: Day) -> Figure:
    """Dynamic cross-phase of one pair, with what was estimated and what is true."""
    windows = day.of(DAY_PAIR)
    frequency = np.array(windows[0][1]["frequency_mHz"])
    shown = (frequency >= DAY_BAND_MHZ[0]) & (frequency <= DAY_BAND_MHZ[1])
    phase = np.array([spectrum["cross_phase_deg"] for _, spectrum in windows])[:, shown]
    coherence = np.array([spectrum["coherence"] for _, spectrum in windows])[:, shown]
    centre = np.array([_number(label["effective_time"]) for label, _ in windows])
    figure = Figure(figsize=(8.2, 4.3), layout="constrained")
    axes = figure.subplots()
    mesh = axes.pcolormesh(
        centre,
        frequency[shown],
        np.ma.masked_where(coherence < 0.3, phase).T,
        cmap=SIGNS,
        vmin=-120,
        vmax=120,
        shading="nearest",
    )
    figure.colorbar(mesh, label="cross-phase HAN − OUJ (°)", ticks=[-120, -60, 0, 60, 120])
    _draw_truth(axes, day)
    for label, marker, name in ((Label.FREQ, "o", "estimate: Freq"), (Label.PBL, "v", "estimate: PBL")):
        found = [body for body, _ in windows if body["label"] == label]
        if found:
            middle = np.array([body["frequency_mHz"] for body in found])
            interval = np.array([body["frequency_interval_mHz"] for body in found])
            axes.errorbar(
                [_number(body["effective_time"]) for body in found],
                middle,
                yerr=np.abs(interval.T - middle),
                fmt=marker,
                color="white",
                markeredgecolor="black",
                ecolor="black",
                markersize=5,
                linewidth=1,
                label=name,
            )
    axes.set_ylim(*DAY_BAND_MHZ)
    axes.set_xlim(centre[0] - 1 / 48, centre[-1] + 1 / 48)
    axes.set_ylabel("frequency (mHz)")
    axes.set_xlabel("centre of the window (UT)")
    axes.xaxis.set_major_locator(dates.HourLocator(range(0, 24, 3)))  # type: ignore[no-untyped-call]  # untyped there
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]  # untyped there
    axes.legend(loc="lower right", fontsize=8)
    axes.set_title("Simulated storm day, pair OUJ-HAN (synthetic)", fontsize=10)
    return figure


def _draw_truth(axes: Axes, day: Day) -> None:
    """The frequencies of the two stations' field lines and of the one midway, while waves drive it."""
    scenario = day.simulator.scenario
    times = _ns(BEGIN) + np.arange(0, HOURS * 3600, 600) * SECOND_NS
    shells = np.array([scenario.l_shell(code) for code in DAY_PAIR.stations])
    rings = np.array(
        [scenario.plasma.resonance_frequency_Hz(shells, int(time), scenario.longitude_deg) for time in times]
    )
    for code, frequency_Hz, style in zip(DAY_PAIR.stations, rings.T, (":", "-."), strict=True):
        axes.plot(
            times / _DAY_NS,  # matplotlib counts days
            frequency_Hz * 1e3,
            color="dimgrey",
            linestyle=style,
            linewidth=1,
            label=f"truth: field line of {code}",
        )
    truths = [day.simulator.truth(DAY_PAIR, int(time)) for time in times]
    midway = [truth.frequency_Hz * 1e3 if truth.driven else np.nan for truth in truths]
    axes.plot(times / _DAY_NS, midway, color="black", linestyle="--", label="truth: midway, where driven")


def draw_hodographs(day: Day) -> Figure:
    """Phase, ratio, coherence and hodograph of a normal and of a reversed resonance, with the fitted model."""
    figure = Figure(figsize=(8.2, 9.6), layout="constrained")
    columns = figure.subplots(4, 2, height_ratios=[1, 1, 0.7, 2])
    for column, (pair, time), name in (
        (columns[:, 0], NORMAL, "normal"),
        (columns[:, 1], REVERSED, "reversed"),
    ):
        label, spectrum = next((one, other) for one, other in day.of(pair) if one["time"] == time)
        _draw_resonance(column, label, spectrum)
        column[0].set_title(f"{name}: {pair.name}, {label['label']} (synthetic)", fontsize=10)
    columns[0, 0].set_ylabel("cross-phase (°)")
    columns[1, 0].set_ylabel("amplitude ratio E/P")
    columns[2, 0].set_ylabel("coherence")
    columns[3, 0].set_ylabel("imaginary part of E/P")
    return figure


def _draw_resonance(axes: Sequence[Axes], label: Json, spectrum: Json) -> None:
    frequency = np.array(spectrum["frequency_mHz"])
    phase, ratio = np.array(spectrum["cross_phase_deg"]), np.array(spectrum["amplitude_ratio"])
    fitted, turned, observed = _fit(spectrum, label["l_shell"])
    resonance = float(fitted.frequency_Hz[0]) * 1e3
    inside = (frequency >= 0.5 * resonance) & (frequency <= 2.0 * resonance)
    frequency, phase, ratio = frequency[inside], phase[inside], ratio[inside]
    model_phase, model_ratio = _model(frequency * 1e-3, fitted, turned, observed)
    for axis, data, model in ((axes[0], phase, np.degrees(model_phase)), (axes[1], ratio, model_ratio)):
        axis.plot(frequency, data, color=DATA, label="spectrum")
        axis.plot(frequency, model, color=MODEL, linestyle="--", label="model")
        axis.axvline(resonance, color="grey", linewidth=0.8)
    axes[0].axhline(0.0, color="grey", linewidth=0.5)
    axes[0].legend(fontsize=8)
    axes[1].axhline(1.0, color="grey", linewidth=0.5)
    axes[1].set_yscale("log")
    axes[1].set_yticks([0.5, 1.0, 2.0], ["0.5", "1", "2"])
    axes[1].minorticks_off()
    axes[2].plot(frequency, np.array(spectrum["coherence"])[inside], color=DATA)
    axes[2].axvline(resonance, color="grey", linewidth=0.8)
    axes[2].set_ylim(0.0, 1.02)
    axes[2].set_xlabel("frequency (mHz)")
    circle = axes[3]
    near = np.abs(frequency - resonance) <= 2.5e3 * float(fitted.width_Hz[0])
    for values, angles, style, colour in (
        (ratio[near], np.radians(phase[near]), ".-", DATA),
        (model_ratio[near], model_phase[near], "--", MODEL),
    ):
        circle.plot(values * np.cos(angles), values * np.sin(angles), style, color=colour)
    at = int(np.argmin(np.abs(frequency - resonance)))
    point = model_ratio[at] * np.exp(1j * model_phase[at])
    circle.plot(point.real, point.imag, "o", color="black", label=f"resonance: {resonance:.1f} mHz")
    circle.plot(0.0, 0.0, "+", color="grey")
    circle.set_aspect("equal", adjustable="datalim")
    circle.set_xlabel("real part of E/P")
    circle.legend(fontsize=8)


def _fit(spectrum: Json, l_shell: float) -> tuple[HodographFit, bool, Observation]:
    """The fit that the estimate makes of this spectrum, and whether it takes it for reversed."""
    observed = observe(
        np.array(spectrum["frequency_mHz"]) * 1e-3,
        np.radians([spectrum["cross_phase_deg"]]),
        np.array([spectrum["amplitude_ratio"]]),
        np.array([spectrum["coherence"]]),
        np.array([spectrum["smoothing_bins"]]),
    )
    candidate, _ = search(observed, *search_band_Hz(np.array([l_shell])))
    turned: BoolArray = candidate.reversed
    upright = observed.rows(np.array([0]), turned)
    fitted = fit(upright, candidate.resonance_Hz, candidate.width_Hz, candidate.half_spacing)
    return fitted, bool(turned[0]), observed


def _model(
    frequency_Hz: FloatArray, fitted: HodographFit, turned: bool, observed: Observation
) -> tuple[FloatArray, FloatArray]:
    """Phase (rad) and amplitude ratio of the model, with the stations' factor that fits best."""
    parameters = fitted.frequency_Hz, fitted.width_Hz, fitted.half_spacing, observed.smoothing_Hz
    sign = -1.0 if turned else 1.0
    _, log_ratio = smoothed_model(observed.frequency_Hz, *parameters)
    resonance = fitted.frequency_Hz[0]
    inside = (observed.frequency_Hz >= 0.5 * resonance) & (observed.frequency_Hz <= 2.0 * resonance)
    weight = observed.ratio_weight * inside
    factor = ((observed.log_ratio - sign * log_ratio) * weight).sum() / weight.sum()
    phase, log_ratio = smoothed_model(frequency_Hz, *parameters)
    return sign * phase[0], np.exp(factor + sign * log_ratio[0])


def _ns(time: datetime) -> int:
    return round(time.timestamp()) * SECOND_NS


def _number(text: str) -> float:
    """The time as matplotlib counts it."""
    return datetime.fromisoformat(text).timestamp() / 86_400


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw all pictures; return the exit code."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
    parser.add_argument("--quick", action="store_true", help="simulate every tenth second only")
    default = Path(__file__).resolve().parents[1] / "docs" / "pictures"
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    options = parser.parse_args(arguments)
    mpl.rcParams["font.size"] = 9
    day = simulate(10.0 if options.quick else 1.0)
    report(day)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, figure, dpi in (("day.png", draw_day(day), 110), ("hodograph.png", draw_hodographs(day), 84)):
        path = options.folder / name
        # Without the library's version in it the file only changes when the picture does.
        figure.savefig(path, dpi=dpi, metadata={"Software": None})
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
