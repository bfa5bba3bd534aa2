"""Packed spectra as products: for whoever asks the archive for spectra of a pair that are not published."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from monitor.io.store.spectra import unpack_spectrum
from monitor.types import FloatArray, iso_time

Ask: TypeAlias = Callable[[str, Mapping[str, Any]], list[Any]]

_IS_THERE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spectrum'"
_PAIRS: Final = """
    WITH RECURSIVE step (pair) AS (
        SELECT min(pair) FROM spectrum
        UNION ALL
        SELECT (SELECT min(s.pair) FROM spectrum AS s WHERE s.pair > step.pair) FROM step WHERE step.pair IS NOT NULL)
    SELECT pair FROM step WHERE pair IS NOT NULL"""
_SPAN: Final = "SELECT min(time_ns), max(time_ns) FROM spectrum WHERE pair = :pair"
_SOME: Final = (
    "SELECT time_ns, revision, data FROM spectrum WHERE pair = :pair AND time_ns > :after AND time_ns < :end"
    " ORDER BY time_ns LIMIT :limit"
)
# As JSON a spectrum is 20 kB: as much at a time as of other products.
_AT_ONCE: Final = 12


class PackedSpectra:
    """The packed spectra of a store, over somebody's connection.

    Parameters
    ----------
    ask : callable
        From SQL and its parameters to all rows.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def pairs(self) -> list[str]:
        """All pairs of which there are some; none in a store of a program that did not know them."""
        return [pair for (pair,) in self._ask(_PAIRS, {})] if self._ask(_IS_THERE, {}) else []

    def span(self, pair: str) -> tuple[int, int] | None:
        """Times (ns) of the first and the last of a pair."""
        if not self._ask(_IS_THERE, {}):
            return None
        ((first, last),) = self._ask(_SPAN, {"pair": pair})
        return None if first is None else (first, last)

    def pages(self, pair: str, start_ns: int, end_ns: int) -> Iterator[list[tuple[int, bytes]]]:
        """Yield time and payload of those in [start_ns, end_ns), some at a time."""
        after = start_ns - 1
        while page := self._ask(_SOME, {"pair": pair, "after": after, "end": end_ns, "limit": _AT_ONCE}):
            after = page[-1][0]
            yield [(time_ns, _payload(pair, time_ns, revision, data)) for time_ns, revision, data in page]


def _payload(pair: str, time_ns: int, revision: int, data: bytes) -> bytes:
    """What a `spectrum` object would be, as far as it was kept; nothing where the row is damaged."""
    try:
        arrays = unpack_spectrum(data)
    except ValueError:
        return b""
    document = {
        "schema": "geospace/spectrum/1",
        "pair": pair,
        "time": iso_time(time_ns),
        "revision": revision,
        **{name: _cells(values) for name, values in arrays.items()},
    }
    return msgspec.json.encode(document)


def _cells(values: FloatArray) -> list[float | None]:
    """Six digits: more than were kept."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]
