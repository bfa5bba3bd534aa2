"""Stored samples by source, step and time: what an export asks of a store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitor.io.store.reading import StoreReader
from monitor.io.store.rows import SAMPLE_COLUMNS
from monitor.types import Domain, SampleBlock


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """All samples of one source at one step.

    Attributes
    ----------
    source : str
    step_ns : int
    domain : Domain
    forms : tuple of (tuple of str, bool)
        The components that come together, and whether with a processing level (of ImagMQTT).
    begin_ns, end_ns : int
        Begin of the first sample and end of the last one.
    longest_ns : int
        How long the longest row lasts.
    """

    source: str
    step_ns: int
    domain: Domain
    forms: tuple[tuple[tuple[str, ...], bool], ...]
    begin_ns: int
    end_ns: int
    longest_ns: int


class SeriesReader(StoreReader):
    """A store that is read by its series."""

    def series(self, sources: Sequence[str], start_ns: int, end_ns: int) -> list[StoredSeries]:
        """The series that hold anything of [start, end); of these sources, of all where none is named."""
        found = []
        for source in sources or sorted(self.sources()):
            rows = self._read_all(
                "SELECT step_ns, domain, components, level > 0, min(t0_ns), max(end_ns), max(end_ns - t0_ns) FROM sample"
                " WHERE source = ? AND end_ns > ? AND t0_ns < ? GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
                (source, start_ns, end_ns),
            )
            for step_ns, domain in sorted({(row[0], row[1]) for row in rows}):
                own = [row for row in rows if row[:2] == (step_ns, domain)]
                found.append(
                    StoredSeries(
                        source,
                        step_ns,
                        Domain(domain),
                        tuple((tuple(json.loads(row[2])), bool(row[3])) for row in own),
                        max(start_ns, min(row[4] for row in own)),
                        min(end_ns, max(row[5] for row in own)),
                        max(row[6] for row in own),
                    )
                )
        return found

    def blocks(self, series: StoredSeries, start_ns: int, end_ns: int) -> Iterator[tuple[int, SampleBlock]]:
        """Yield the blocks of a series that reach into [start, end), with their row numbers, in no certain order."""
        sql = (
            f"SELECT row, {SAMPLE_COLUMNS} FROM sample WHERE source = :source AND (end_ns, row) > (:end, :row)"  # noqa: S608 (constants)
            " AND end_ns > :start AND end_ns < :last AND t0_ns < :before AND step_ns = :step AND domain = :domain"
            " ORDER BY end_ns, row LIMIT 256"
        )
        at = (start_ns, 1 << 62)
        while True:
            page = self._page(
                sql,
                {
                    "source": series.source,
                    "end": at[0],
                    "row": at[1],
                    "start": start_ns,
                    "last": end_ns + series.longest_ns,
                    "before": end_ns,
                    "step": series.step_ns,
                    "domain": series.domain.value,
                },
            )
            for stored in page:
                at = (stored[5], stored[0])
                block = self._block(stored)
                if block is not None:
                    yield stored[0], block
            if not page:
                return
