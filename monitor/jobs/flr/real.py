"""The whole pipeline on measurements without labels, beside the simplest estimate there is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from monitor.config import Config
from monitor.io.files.series import SourceSeries
from monitor.jobs.process import process_series, read_series
from monitor.types import SECOND_NS, FloatArray, Json

_BAND_mHz = (6.0, 28.0)
_BINS = 11


@dataclass(frozen=True, slots=True)
class RealWindow:
    """One window: what the pipeline says, and where a plain smoothed FFT has its largest cross-phase (None: no data)."""

    body: dict[str, Json]
    plain_mHz: float | None

    @property
    def deviation(self) -> float | None:
        """Relative difference of the frequency from the plain maximum."""
        frequency = self.body["frequency_mHz"]
        if frequency is None or self.plain_mHz is None:
            return None
        return float(frequency) / self.plain_mHz - 1.0


def real_windows(specs: Sequence[str], config: Config) -> list[RealWindow]:
    """Run archive files through the pipeline; the last revision of every window, in the order of pair and time."""
    series = read_series(specs, config)
    output = io.BytesIO()
    process_series(series, config, output)
    last: dict[tuple[str, str], dict[str, Json]] = {}
    for line in output.getvalue().splitlines():
        body = json.loads(line)
        if body["schema"] == "geospace/flr/1":
            last[body["pair"], body["time"]] = body
    records = {one.source: one for one in series if one.components[0] == "H"}
    return [RealWindow(body, _plain(body, records)) for _, body in sorted(last.items())]


def table_lines(windows: Sequence[RealWindow]) -> Iterator[str]:
    """A Markdown table of what was found."""
    yield "| pair | window ends | label | stage one | f (mHz) | 90 % interval | physical | plain maximum 6–28 mHz | off | flags |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for one in windows:
        body = one.body
        interval = body["frequency_interval_mHz"]
        cells = [
            body["pair"],
            body["time"],
            body["label"],
            body["stage_one"] or "–",
            _told(body["frequency_mHz"]),
            "–" if interval is None else f"{interval[0]:.1f}–{interval[1]:.1f}",
            _told(body["physical"]["frequency_mHz"]),
            _told(one.plain_mHz),
            "–" if one.deviation is None else f"{100.0 * one.deviation:+.1f} %",
            " ".join(body["flags"]),
        ]
        yield f"| {' | '.join(cells)} |"


def plain_maximum_mHz(poleward: FloatArray, equatorward: FloatArray, step_s: float) -> float:
    """Frequency of the largest cross-phase between 6 and 28 mHz: line out, Hann, FFT, 11 bins of complex smoothing.

    Parameters
    ----------
    poleward, equatorward : ndarray, shape (n,)
        Without gaps.
    step_s : float
    """
    count = poleward.size
    place = np.arange(count)
    spectra = [
        np.fft.rfft(np.hanning(count) * (values - np.polyval(np.polyfit(place, values, 1), place)))
        for values in (poleward, equatorward)
    ]
    cross = np.convolve(np.conj(spectra[0]) * spectra[1], np.ones(_BINS) / _BINS, "same")
    frequency = 1e3 * np.arange(cross.size) / (count * step_s)
    inside = np.flatnonzero((frequency >= _BAND_mHz[0]) & (frequency <= _BAND_mHz[1]))
    return float(frequency[inside[np.angle(cross[inside]).argmax()]])


def _plain(body: dict[str, Json], records: dict[str, SourceSeries]) -> float | None:
    end_ns = round(datetime.fromisoformat(body["time"]).timestamp()) * SECOND_NS
    length_ns = round(body["window_s"] * SECOND_NS)
    rows = []
    for code in body["pair"].split("-"):
        record = records.get(code)
        if record is None:
            return None
        first = (end_ns - length_ns - record.t0_ns) // record.step_ns
        count = length_ns // record.step_ns
        if first < 0 or first + count > record.count:
            return None
        rows.append((record.values[0, first : first + count], record.step_ns))
    steps = {step for _, step in rows}
    if len(steps) != 1 or not all(np.isfinite(values).all() for values, _ in rows):
        return None
    return plain_maximum_mHz(rows[0][0], rows[1][0], steps.pop() / SECOND_NS)


def _told(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
