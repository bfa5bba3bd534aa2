"""Windows and labels of many cases, in batches as the stages take them: what models are trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from monitor.science.synthetic.labels import LENGTH_NS, WindowLabel, label_window
from monitor.science.synthetic.pairs import TRAINING, CaseRanges, CaseSeries, draw_case, simulate
from monitor.types import SECOND_NS, Pair, WindowBatch

CADENCE_NS = 1800 * SECOND_NS


@dataclass(slots=True)
class _Waiting:
    """Windows of one sampling step that wait for their batch to fill."""

    step_ns: int
    labels: list[WindowLabel] = field(default_factory=list)
    values: list[np.ndarray[tuple[int, int], np.dtype[np.float64]]] = field(default_factory=list)

    def batch(self) -> tuple[WindowBatch, tuple[WindowLabel, ...]]:
        """Hand out what waits, and begin anew."""
        values, labels = np.concatenate(self.values), tuple(self.labels)
        self.values, self.labels = [], []
        pairs = tuple(
            Pair(f"P{label.seed}N{row}", f"E{label.seed}N{row}", label.truth.l_shell)
            for row, label in enumerate(labels)
        )
        stations = tuple(code for pair in pairs for code in pair.stations)
        window = WindowBatch(
            pairs=pairs,
            stations=stations,
            station_index=np.arange(2 * len(pairs), dtype=np.int64).reshape(-1, 2),
            end_ns=labels[0].end_ns,
            length_ns=LENGTH_NS,
            step_ns=self.step_ns,
            values_nT=values,
            coverage=np.isfinite(values).mean(axis=1),
            offset_ns=np.zeros(len(stations), dtype=np.int64),
            notes=tuple(frozenset() for _ in stations),
        )
        return window, labels


def window_ends_ns(series: CaseSeries, cadence_ns: int = CADENCE_NS) -> range:
    """Ends of the windows that lie wholly within a case."""
    case = series.case
    return range(case.start_ns + LENGTH_NS, case.end_ns + 1, cadence_ns)


def generate(
    seeds: Iterable[int],
    ranges: CaseRanges = TRAINING,
    *,
    cadence_ns: int = CADENCE_NS,
    batch_windows: int = 64,
) -> Iterator[tuple[WindowBatch, tuple[WindowLabel, ...]]]:
    """Simulate the cases of these seeds and yield their windows with their labels, ambiguous ones too.

    A batch holds windows of many cases, each as a pair of its own stations: pair k belongs to label k. Their times
    are in the labels; the batch's own end is that of its first. Batches of 1 s and of 10 s come as they fill, what
    is left over at the end; a case is never split over batches. Memory holds two batches and one case.

    Raises
    ------
    ValueError
        When a cadence or batch size is not positive.
    """
    if cadence_ns <= 0 or batch_windows <= 0:
        raise ValueError(f"cadence and batch size must be positive, got {cadence_ns} and {batch_windows}")
    waiting: dict[int, _Waiting] = {}
    for seed in seeds:
        series = simulate(draw_case(seed, ranges))
        queue = waiting.setdefault(series.case.step_ns, _Waiting(series.case.step_ns))
        for end_ns in window_ends_ns(series, cadence_ns):
            queue.labels.append(label_window(series, end_ns))
            queue.values.append(series.H_nT[:, series.window(end_ns, LENGTH_NS)])
        if len(queue.labels) >= batch_windows:
            yield queue.batch()
    for queue in waiting.values():
        if queue.labels:
            yield queue.batch()
