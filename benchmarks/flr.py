"""What the learned chain costs: a day of half-hour bursts of 1000 pairs, and the same work as calls of one pair each.

    python benchmarks/flr.py [--quick] [--model FOLDER]

The windows are those of simulated cases of `TEST` (day and night, with and without resonances and troubles), put to one
end time, through the daemon's own stages. Samples, spectra and physical estimates are made before and not counted,
the estimate's cost is printed apart. Then every half hour of a day the pairs are classified, read with their intervals,
followed and made into products; each part is timed by itself. No claim is checked: speed is printed, never a test. What
is checked is that a pair gets the same product alone as among all others; exit code 1 where one does not.

Times are CPU time of this process, on one thread.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import TypeVar

# As the command does, before numpy is imported: threads inside the linear algebra only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from monitor.models.flr import FlrModel, SpectralSettings, load_flr
from monitor.science.conditioning import ConditioningParameters
from monitor.science.resonance import ResonanceParameters
from monitor.science.spectra import SpectrumParameters
from monitor.science.synthetic.batches import window_ends_ns
from monitor.science.synthetic.labels import LENGTH_NS
from monitor.science.synthetic.pairs import TEST, CaseSeries, draw_case, simulate
from monitor.stages.classify import ClassifyStage
from monitor.stages.place import Places
from monitor.stages.product import ProductStage
from monitor.stages.regress import RegressStage
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.stages.track import TrackStage
from monitor.stages.window import WindowParameters
from monitor.stations import Station
from monitor.types import SECOND_NS, Finding, Pair, Product, ResonanceBatch, StationQuality, WindowBatch

BUDGET_S = 0.25
WINDOWS = WindowParameters(LENGTH_NS, 1800 * SECOND_NS, 120 * SECOND_NS, 86_400 * SECOND_NS)  # the defaults
BEGIN_NS = 1_584_662_400 * SECOND_NS  # 2020-03-20T00:00Z
PAIRS_A_CASE = 4
# Three neighbouring half hours of each case, forth and back, so that a day's windows follow each other.
TURNS = (0, 1, 2, 1)

In = TypeVar("In")
Out = TypeVar("Out")


# -- pairs and their windows -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SimulatedPair:
    """One pair, and the case that it has its windows from: the first of them ends at `first_ns`."""

    pair: Pair
    series: CaseSeries
    first_ns: int

    def samples_nT(self, turn: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """The window of a turn, poleward and equatorward."""
        end_ns = self.first_ns + turn * WINDOWS.cadence_ns
        return self.series.H_nT[:, self.series.window(end_ns, LENGTH_NS)]

    def stations(self) -> Iterator[Station]:
        """Where they stand, roughly: the half degree is not the case's own spacing."""
        case = self.series.case
        for code, side in zip(self.pair.stations, (0.5, -0.5), strict=True):
            latitude = float(
                np.clip(case.latitude_deg + math.copysign(side, side * case.latitude_deg), -89, 89)
            )
            yield Station(code, latitude_deg=latitude, longitude_deg=case.longitude_deg)


def simulated_pairs(count: int) -> list[SimulatedPair]:
    """Pairs of cases that nothing was trained on; four share a case, each at hours of its own."""
    pairs = []
    for number in range(count):
        seed, place = divmod(number, PAIRS_A_CASE)
        if place == 0:
            series = simulate(draw_case(seed, TEST))
            ends = window_ends_ns(series, WINDOWS.cadence_ns)
        pair = Pair(f"P{number:04d}", f"E{number:04d}", series.case.l_shell)
        pairs.append(
            SimulatedPair(pair, series, ends[place * (len(ends) - len(set(TURNS))) // (PAIRS_A_CASE - 1)])
        )
    return pairs


def windows(pairs: Sequence[SimulatedPair], turn: int) -> list[WindowBatch]:
    """The windows of a turn as they close together, one batch for each sampling step."""
    by_step: dict[int, list[SimulatedPair]] = defaultdict(list)
    for one in pairs:
        by_step[one.series.case.step_ns].append(one)
    return [_window(by_step[step_ns], turn, step_ns) for step_ns in sorted(by_step)]


def _window(pairs: Sequence[SimulatedPair], turn: int, step_ns: int) -> WindowBatch:
    values = np.concatenate([one.samples_nT(turn) for one in pairs])
    count = values.shape[0]
    return WindowBatch(
        pairs=tuple(one.pair for one in pairs),
        stations=tuple(code for one in pairs for code in one.pair.stations),
        station_index=np.arange(count, dtype=np.int64).reshape(-1, 2),
        end_ns=BEGIN_NS,
        length_ns=LENGTH_NS,
        step_ns=step_ns,
        values_nT=values,
        coverage=np.isfinite(values).mean(axis=1),
        offset_ns=np.zeros(count, dtype=np.int64),
        notes=(frozenset(),) * count,
    )


def estimates(pairs: Sequence[SimulatedPair]) -> tuple[list[list[ResonanceBatch]], float]:
    """The physical estimates of every turn, and CPU seconds that those of all pairs take (median of the turns)."""
    spectrum = SpectrumStage(ConditioningParameters(), SpectrumParameters())
    resonance = ResonanceStage(ResonanceParameters())
    turns, spent = [], []
    for turn in sorted(set(TURNS)):
        spectra = [batch for window in windows(pairs, turn) for batch in spectrum.feed([window])]
        if turn == 0:
            resonance.feed(spectra)  # builds the bank of models, once in the life of a daemon
        begin = time.process_time()
        found = resonance.feed(spectra)
        spent.append(time.process_time() - begin)
        turns.append([_without_samples(batch) for batch in found])
    return turns, median(spent)


def _without_samples(batch: ResonanceBatch) -> ResonanceBatch:
    """The samples have been used: they would only fill the memory."""
    window = batch.spectrum.window
    return _in_window(batch, replace(window, values_nT=np.empty((len(window.stations), 0))))


def _in_window(batch: ResonanceBatch, window: WindowBatch) -> ResonanceBatch:
    return replace(batch, spectrum=replace(batch.spectrum, window=window))


def burst(turns: Sequence[Sequence[ResonanceBatch]], number: int) -> list[ResonanceBatch]:
    """What closes at one half hour of the day."""
    end_ns = BEGIN_NS + number * WINDOWS.cadence_ns
    found = turns[TURNS[number % len(TURNS)]]
    return [_in_window(batch, replace(batch.spectrum.window, end_ns=end_ns)) for batch in found]


def alone(batch: ResonanceBatch, row: int) -> ResonanceBatch:
    """One pair of a batch as a batch of its own."""
    spectrum, window, one = batch.spectrum, batch.spectrum.window, slice(row, row + 1)
    stations = window.station_index[row]
    quality = [getattr(spectrum.quality, field.name)[stations] for field in fields(StationQuality)]
    assert spectrum.log_power is not None
    assert batch.seen is not None
    own_window = replace(
        window,
        pairs=window.pairs[one],
        stations=tuple(window.stations[station] for station in stations),
        station_index=np.array([[0, 1]]),
        values_nT=window.values_nT[stations],
        coverage=window.coverage[stations],
        offset_ns=window.offset_ns[stations],
        notes=tuple(window.notes[station] for station in stations),
    )
    own_spectrum = replace(
        spectrum,
        window=own_window,
        quality=StationQuality(*quality),
        cross_phase_rad=spectrum.cross_phase_rad[one],
        amplitude_ratio=spectrum.amplitude_ratio[one],
        coherence=spectrum.coherence[one],
        smoothing_bins=spectrum.smoothing_bins[one],
        usable=spectrum.usable[one],
        log_power=spectrum.log_power[stations],
    )
    arrays = {
        field.name: getattr(batch, field.name)[one]
        for field in fields(batch)
        if field.name not in ("spectrum", "seen")
    }
    return replace(batch, spectrum=own_spectrum, seen=batch.seen.rows(np.array([row])), **arrays)


# -- the chain -------------------------------------------------------------------------------------------------


class Chain:
    """The learned stages as the pipeline has them, each with the CPU time that it took."""

    def __init__(self, model: FlrModel, places: Places) -> None:
        parameters = model.parameters
        self._classify = ClassifyStage(model)
        self._regress = RegressStage(model, places)
        self._track = TrackStage(
            parameters.tracker, parameters.track_weights, WINDOWS.cadence_ns, WINDOWS.span_ns
        )
        self._product = ProductStage(WINDOWS.cadence_ns, WINDOWS.lateness_ns, WINDOWS.span_ns)
        self.read: list[Finding] = []

    def feed(self, batches: Sequence[ResonanceBatch]) -> tuple[list[Product], dict[str, float]]:
        """Products of batches that come one after the other, and seconds by part; `read` has stage two's findings."""
        self.read, products = [], []
        spent: dict[str, float] = defaultdict(float)

        def timed(part: str, work: Callable[[Sequence[In]], list[Out]], items: Sequence[In]) -> list[Out]:
            begin = time.process_time()
            done = work(items)
            spent[part] += time.process_time() - begin
            return done

        for batch in batches:
            classified = timed("classify", self._classify.feed, [batch])
            findings = timed("regress", self._regress.feed, classified)
            final = timed("track", self._track.feed, findings)
            products += timed("product", self._product.feed, final)
            self.read += findings
        return products, spent


def learned_s(spent: dict[str, float]) -> float:
    """Class, regression and intervals: what the budget is for."""
    return spent["classify"] + spent["regress"]


def a_day(chain: Chain, turns: Sequence[Sequence[ResonanceBatch]], bursts: int) -> list[dict[str, float]]:
    """Seconds by part of every burst after the first."""
    # As the daemon does once it has started: what was there before is not looked at again and again.
    gc.collect()
    gc.freeze()
    try:
        return [chain.feed(burst(turns, number))[1] for number in range(1, bursts + 1)]
    finally:
        gc.unfreeze()


# -- what is printed -------------------------------------------------------------------------------------------


def print_costs(day: Sequence[dict[str, float]], one_by_one: dict[str, float], pairs: int) -> None:
    """A line a part: best, median and worst burst, and the calls of one pair with their ratio."""
    rows: dict[str, Callable[[dict[str, float]], float]] = {
        "class": lambda spent: spent["classify"],
        "regression and intervals": lambda spent: spent["regress"],
        "together": learned_s,
        "tracker": lambda spent: spent["track"],
        "products": lambda spent: spent["product"],
    }
    print(f"\nCPU of a half-hour burst of {pairs} pairs, {len(day)} bursts (ms)")
    print(f"  {'':<26}{'best':>8}{'median':>8}{'worst':>8}{'one by one':>13}")
    for name, take in rows.items():
        times = [take(spent) for spent in day]
        apart = take(one_by_one)
        figures = "".join(f"{value * 1e3:8.0f}" for value in (min(times), median(times), max(times)))
        budget = f"   budget {BUDGET_S * 1e3:.0f}" if name == "together" else ""
        print(f"  {name:<26}{figures}{apart * 1e3:9.0f}{apart / median(times):5.0f} ×{budget}")


def print_shares(read: Sequence[Finding], products: Sequence[Product]) -> None:
    """What the last burst was made of: that the chain had work to do."""
    count = len(read)
    kinds = Counter((one.as_freq is not None, one.as_pbl is not None) for one in read)
    novel = sum("out_of_distribution" in one.flags for one in read)
    unasked = sum(one.probability is None for one in read) - novel
    labels = Counter(product.body["label"] for product in products)
    print(f"\nThe last burst: {count} pairs")
    print(
        f"  read as Freq alone {kinds[True, False] / count:.0%}, as PBL alone {kinds[False, True] / count:.0%},"
        f" as both {kinds[True, True] / count:.0%}, not at all {kinds[False, False] / count:.0%}"
    )
    print(
        f"  gaps, dead channels or clock offsets {unasked / count:.1%}, unlike training {novel / count:.1%}"
    )
    print("  published: " + ", ".join(f"{name} {labels[name] / count:.0%}" for name in sorted(labels)))


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 where a pair alone gets another product than among others."""
    parser = argparse.ArgumentParser(description="Cost of classes, regression and intervals of 1000 pairs.")
    parser.add_argument("--quick", action="store_true", help="few pairs and bursts: shows that it runs")
    parser.add_argument("--model", default="auto", help="folder of a model; by default the bundled one")
    options = parser.parse_args(arguments)
    pairs, bursts = (24, 5) if options.quick else (1000, 48)
    model = load_flr(options.model, SpectralSettings())
    assert model is not None, "the bundled model is trained on the default spectra"
    simulated = simulated_pairs(pairs)
    turns, estimate_s = estimates(simulated)
    places = Places(
        {station.code: station for one in simulated for station in one.stations()},
        [one.pair for one in simulated],
    )
    first = burst(turns, 0)
    singly = Chain(model, places)
    singly.feed([alone(first[0], 0)])  # follows the field lines, once a year
    singly = Chain(model, places)
    apart, one_by_one = singly.feed([alone(batch, row) for batch in first for row in range(len(batch.label))])
    chain = Chain(model, places)
    together, _ = chain.feed(first)
    different = sum(one.body != other.body for one, other in zip(apart, together, strict=True))
    day = a_day(chain, turns, bursts)
    print(f"Physical estimate, {pairs} pairs: {estimate_s * 1e3:.0f} ms (not counted below)")
    print_costs(day, one_by_one, pairs)
    products, _ = chain.feed(burst(turns, bursts + 1))
    print_shares(chain.read, products)
    print(f"\nPairs with another product alone than among all: {different} of {pairs}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
