"""What the page draws and no protocol has: packed spectra of a pair, and measured samples thinned to what a screen shows."""

from __future__ import annotations

import asyncio
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from operator import itemgetter
from typing import Final

import numpy as np
from aiohttp import web

from monitor.decoders.base import parse_time_ns
from monitor.errors import DecodeError
from monitor.io.http.asked import asked_of
from monitor.io.http.offer import Offer
from monitor.io.store.reading import StoreReader
from monitor.types import SECOND_NS, FloatArray, IntArray, Json, SampleBlock

_LONGEST_S: Final = 62 * 86_400
_MOST_POINTS: Final = 4000
_POINTS: Final = 1200
_SPECTRA_AT_ONCE: Final = 64
_PIECE_NS: Final = 86_400 * SECOND_NS
# Time of the window's end (ms since 1970), revision, and how many bytes of a packed spectrum follow.
_RECORD: Final = struct.Struct("<dII")
_SUBJECT: Final = re.compile(r"[A-Z0-9_-]{2,24}", re.ASCII)


class HistoryRoutes:
    """Answers out of the store, over connections of its own, in threads.

    Parameters
    ----------
    offer : callable
        Gives what is offered now; called for each request.
    """

    def __init__(self, offer: Callable[[], Offer]) -> None:
        self._offer = offer

    @property
    def routes(self) -> list[web.AbstractRouteDef]:
        """For `HttpServer.add_routes`."""
        return [
            web.get("/api/spectra/{pair}", self.get_spectra, allow_head=False),
            web.get("/api/samples/{source}", self.get_samples),
        ]

    async def get_spectra(self, request: web.Request) -> web.StreamResponse:
        """`/api/spectra/{pair}?start=…&stop=…`: records of float64 time (ms), uint32 revision, uint32 length, packed spectrum."""
        pair = _subject(request, "pair")
        start_ns, stop_ns = _span(asked_of(request, "start", "stop"))
        page = await asyncio.to_thread(self._spectra, pair, start_ns, stop_ns)
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await response.prepare(request)
        with suppress(ConnectionError):  # the page has moved on
            while page:
                await response.write(b"".join(map(_record, page)))
                page = await asyncio.to_thread(self._spectra, pair, page[-1][0] + 1, stop_ns)
            await response.write_eof()
        return response

    async def get_samples(self, request: web.Request) -> web.StreamResponse:
        """`/api/samples/{source}?start=…&stop=…&points=…`: means over even cells, by component."""
        source = _subject(request, "source")
        asked = asked_of(request, "start", "stop", "points")
        start_ns, stop_ns = _span(asked)
        points = _points(asked)
        return web.json_response(await asyncio.to_thread(self._thinned, source, start_ns, stop_ns, points))

    def _spectra(self, pair: str, start_ns: int, stop_ns: int) -> list[tuple[int, int, bytes]]:
        with StoreReader.opened(self._offer().path) as reader:
            return reader.some_spectra(pair, start_ns, stop_ns, _SPECTRA_AT_ONCE)

    def _thinned(self, source: str, start_ns: int, stop_ns: int, points: int) -> Json:
        cells = _Cells(start_ns, stop_ns, points)
        with StoreReader.opened(self._offer().path) as reader:
            # Some at a time: memory does not depend on how much is asked for.
            for begin_ns in range(start_ns, stop_ns, _PIECE_NS):
                end_ns = min(begin_ns + _PIECE_NS, stop_ns)
                stored = sorted(reader.overlapping(source, begin_ns, end_ns), key=itemgetter(0))
                for name, (times_ns, values) in _overlaid(block for _, block in stored).items():
                    inside = (times_ns >= begin_ns) & (times_ns < end_ns)
                    cells.add(name, times_ns[inside], values[inside])
        return {"source": source, **cells.document()}


def _record(row: tuple[int, int, bytes]) -> bytes:
    time_ns, revision, data = row
    return _RECORD.pack(time_ns / 1e6, revision, len(data)) + data


def _overlaid(blocks: Iterable[SampleBlock]) -> dict[str, tuple[IntArray, FloatArray]]:
    """Times (ns) and values of each component: a later block overwrites, and a gap never does."""
    parts: dict[str, list[tuple[IntArray, FloatArray]]] = {}
    for block in blocks:
        times_ns = block.t0_ns + np.arange(block.count, dtype=np.int64) * block.step_ns
        for name, values in zip(block.components, block.values, strict=True):
            known = np.isfinite(values)
            parts.setdefault(name, []).append((times_ns[known], values[known]))
    found: dict[str, tuple[IntArray, FloatArray]] = {}
    for name, pieces in parts.items():
        # The last first: of equal times the first is taken.
        times_ns, values = (np.concatenate(column)[::-1] for column in zip(*pieces, strict=True))
        kept, place = np.unique(times_ns, return_index=True)
        found[name] = kept, values[place]
    return found


class _Cells:
    """Means of samples over even cells of time."""

    def __init__(self, start_ns: int, stop_ns: int, points: int) -> None:
        self._start_ns = start_ns
        # No cell is shorter than a sample of a spacecraft, so that what is drawn has no holes of its own.
        self._step_ns = max(math.ceil((stop_ns - start_ns) / points), 5 * SECOND_NS)
        self._count = -(-(stop_ns - start_ns) // self._step_ns)
        self._sums: dict[str, tuple[FloatArray, FloatArray]] = {}

    def add(self, name: str, times_ns: IntArray, values: FloatArray) -> None:
        """Take known values of a component at times within the span."""
        sums, counts = self._sums.setdefault(name, (np.zeros(self._count), np.zeros(self._count)))
        place = (times_ns - self._start_ns) // self._step_ns
        np.add.at(sums, place, values)
        np.add.at(counts, place, 1.0)

    def document(self) -> dict[str, Json]:
        """`start_s`, `step_s` (s since 1970, s) and of each component its means; null where nothing was measured."""
        components: dict[str, Json] = {}
        for name, (sums, counts) in sorted(self._sums.items()):
            with np.errstate(invalid="ignore"):
                means = sums / counts
            components[name] = [
                float(f"{mean:.6g}") if math.isfinite(mean) else None for mean in means.tolist()
            ]
        return {
            "start_s": self._start_ns / SECOND_NS,
            "step_s": self._step_ns / SECOND_NS,
            "components": components,
        }


def _subject(request: web.Request, name: str) -> str:
    subject = request.match_info[name]
    if _SUBJECT.fullmatch(subject) is None:
        raise web.HTTPNotFound(reason=f"this can be the name of no {name}")
    return subject


def _span(asked: Mapping[str, str]) -> tuple[int, int]:
    start_ns, stop_ns = _time(asked.get("start")), _time(asked.get("stop"))
    if start_ns is None or stop_ns is None:
        raise web.HTTPBadRequest(reason="start and stop are needed, as 2017-09-07T12:00:00Z")
    if not 0 < stop_ns - start_ns <= _LONGEST_S * SECOND_NS:
        raise web.HTTPBadRequest(reason="stop must lie after start, by 62 days at most")
    return start_ns, stop_ns


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        time_ns = parse_time_ns(text)
    except DecodeError:
        return None
    return time_ns if abs(time_ns) < 2**62 else None


def _points(asked: Mapping[str, str]) -> int:
    text = asked.get("points", str(_POINTS))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= _MOST_POINTS):
        raise web.HTTPBadRequest(reason=f"points is a whole number from 1 to {_MOST_POINTS}")
    return int(text)
