"""Samples of one source and step as a table: each time once, what came later laid over what came before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from monitor.io.store.series import SeriesReader, StoredSeries
from monitor.io.tables import Columns, Kind
from monitor.types import SECOND_NS, Domain, FloatArray, Json, SampleBlock

_PART_SAMPLES: Final = 7200
_ANGLES: Final = ("D", "I")


def file_name(series: StoredSeries) -> str:
    """Source and step: what reads archive files knows the source by the begin of the name."""
    return f"{series.source}_{series.step_ns / SECOND_NS:g}s"


def sample_columns(series: StoredSeries) -> Columns:
    """`time`, then `STATION_COMPONENT` on the ground and the native names of a spacecraft (and of Kp)."""
    names = [
        _column(series.source, series.domain, component, processed=processed)
        for components, processed in series.forms
        for component in components
    ]
    return {"time": Kind.TIME, **dict.fromkeys(dict.fromkeys(names), Kind.NUMBER)}


def _column(source: str, domain: Domain, component: str, *, processed: bool) -> str:
    if domain is not Domain.GROUND:
        return component
    # As ImagMQTT has them these are angles; the name of nT is that of another quantity.
    unit = "_deg" if processed and component in _ANGLES else ""
    return f"{source}_{component}{unit}"


def part_count(series: StoredSeries) -> int:
    """How many parts `sample_parts` yields."""
    length = _PART_SAMPLES * series.step_ns
    return -(-series.end_ns // length) - series.begin_ns // length


def sample_parts(reader: SeriesReader, series: StoredSeries) -> Iterator[Sequence[Sequence[Json]]]:
    """Yield the cells of `sample_columns`, by time; a time at which nothing is known is left out."""
    names = list(sample_columns(series))[1:]
    length = _PART_SAMPLES * series.step_ns
    for part in range(part_count(series)):
        begin = (series.begin_ns // length + part) * length
        begin, end = max(series.begin_ns, begin), min(series.end_ns, begin + length)
        # Where two levels give the same sample the higher wins, and then what came later: as in the monitor's memory.
        found = sorted(reader.blocks(series, begin, end), key=lambda one: (one[1].level, one[0]))
        yield _cells([block for _, block in found], names, begin, end)


def _cells(blocks: Sequence[SampleBlock], names: Sequence[str], begin: int, end: int) -> list[list[Json]]:
    """Cells of the samples in [begin, end); a later block goes over an earlier one, but for its gaps."""
    pieces = [_times(block, begin, end) for block in blocks]
    times = np.unique(np.concatenate([np.empty(0, np.int64), *(piece for piece, _ in pieces)]))
    values = np.full((len(names), times.size), np.nan)
    for block, (piece, part) in zip(blocks, pieces, strict=True):
        at = np.searchsorted(times, piece)
        for component, row in zip(block.components, part, strict=True):
            name = _column(block.source, block.domain, component, processed=block.level > 0)
            there = ~np.isnan(row)
            values[names.index(name), at[there]] = row[there]
    known = ~np.isnan(values).all(axis=0)
    return [times[known].tolist(), *([_cell(one) for one in row] for row in values[:, known].tolist())]


def _times(
    block: SampleBlock, begin: int, end: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], FloatArray]:
    first = max(0, -(-(begin - block.t0_ns) // block.step_ns))
    last = min(block.count, -(-(end - block.t0_ns) // block.step_ns))
    steps = np.arange(first, max(first, last), dtype=np.int64)
    return block.t0_ns + steps * block.step_ns, block.values[:, first : max(first, last)]


def _cell(value: float) -> float | None:
    return None if value != value else value
