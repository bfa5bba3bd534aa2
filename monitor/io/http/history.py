"""What the page draws and no protocol has: packed spectra of a pair, and measured samples thinned to what a screen shows."""

from __future__ import annotations

import asyncio
import math
import re
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import numpy as np
from aiohttp import web

from monitor.decoders.base import parse_time_ns
from monitor.errors import DecodeError
from monitor.io.http.offer import Offer
from monitor.io.store.reading import StoreReader
from monitor.types import SECOND_NS, FloatArray, Json, SampleBlock

_LONGEST_S: Final = 62 * 86_400
_MOST_POINTS: Final = 4000
_POINTS: Final = 1200
_SPECTRA_AT_ONCE: Final = 64
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
        start_ns, stop_ns = _span(request)
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
        start_ns, stop_ns = _span(request)
        points = _points(request)
        return web.json_response(await asyncio.to_thread(self._thinned, source, start_ns, stop_ns, points))

    def _spectra(self, pair: str, start_ns: int, stop_ns: int) -> list[tuple[int, int, bytes]]:
        with StoreReader.opened(self._offer().path) as reader:
            return reader.some_spectra(pair, start_ns, stop_ns, _SPECTRA_AT_ONCE)

    def _thinned(self, source: str, start_ns: int, stop_ns: int, points: int) -> Json:
        cells = _Cells(start_ns, stop_ns, points)
        with StoreReader.opened(self._offer().path) as reader:
            for block in reader.samples_between(source, start_ns, stop_ns):
                cells.add(block)
        return {"source": source, **cells.document()}


def _record(row: tuple[int, int, bytes]) -> bytes:
    time_ns, revision, data = row
    return _RECORD.pack(time_ns / 1e6, revision, len(data)) + data


class _Cells:
    """Means of samples over even cells of time. A resend counts beside what it corrects: the eye does not tell."""

    def __init__(self, start_ns: int, stop_ns: int, points: int) -> None:
        self._start_ns = start_ns
        # No cell is shorter than a sample of a spacecraft, so that what is drawn has no holes of its own.
        self._step_ns = max(math.ceil((stop_ns - start_ns) / points), 5 * SECOND_NS)
        self._count = -(-(stop_ns - start_ns) // self._step_ns)
        self._sums: dict[str, tuple[FloatArray, FloatArray]] = {}

    def add(self, block: SampleBlock) -> None:
        times_ns = block.t0_ns + np.arange(block.count, dtype=np.int64) * block.step_ns
        place = (times_ns - self._start_ns) // self._step_ns
        inside = (place >= 0) & (place < self._count)
        for name, values in zip(block.components, block.values, strict=True):
            if name not in self._sums:
                self._sums[name] = (np.zeros(self._count), np.zeros(self._count))
            sums, counts = self._sums[name]
            known = inside & np.isfinite(values)
            np.add.at(sums, place[known], values[known])
            np.add.at(counts, place[known], 1.0)

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


def _span(request: web.Request) -> tuple[int, int]:
    times: Mapping[str, int | None] = {key: _time(request.query.get(key)) for key in ("start", "stop")}
    start_ns, stop_ns = times["start"], times["stop"]
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


def _points(request: web.Request) -> int:
    text = request.query.get("points", str(_POINTS))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= _MOST_POINTS):
        raise web.HTTPBadRequest(reason=f"points is a whole number from 1 to {_MOST_POINTS}")
    return int(text)
