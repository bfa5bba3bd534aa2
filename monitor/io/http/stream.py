"""`/api/stream`: what happens, as it happens, by server-sent events (WHATWG HTML, section 9.2).

A client that falls behind, or was away, gets nothing again: its stream ends, it connects anew, and asks for the history
of what it shows. So a stream costs no more memory than its queue, and no client can hold anything up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final

from aiohttp import web

from monitor.types import Json, Product

_QUEUE: Final = 512
_STREAMS: Final = 64
_BEAT_S: Final = 5.0
# How long a browser waits before it connects anew (ms).
_RETRY_MS: Final = 2000


class StreamRoutes:
    """Tells all who listen; it outlives the runs of the daemon, so that a new configuration breaks no stream.

    Parameters
    ----------
    beat : callable
        What is told every few seconds: how the daemon stands, in a small object.
    """

    def __init__(self, beat: Callable[[], Json]) -> None:
        self._beat = beat
        self._queues: set[asyncio.Queue[bytes | None]] = set()

    @property
    def routes(self) -> list[web.AbstractRouteDef]:
        """For `HttpServer.add_routes`."""
        return [web.get("/api/stream", self._get_stream, allow_head=False)]

    def tell(self, event: str, payload: bytes) -> None:
        """Tell all listeners one JSON text (call it on the loop)."""
        if not self._queues:
            return
        message = f"event: {event}\ndata: ".encode() + payload + b"\n\n"
        for queue in list(self._queues):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                self._end(queue)

    def tell_product(self, product: Product, payload: bytes) -> None:
        """Tell all listeners a product that was committed (call it on the loop)."""
        # Spectra are large, and whoever draws them asks for the stretch that he shows.
        if self._queues and payload and product.kind != "spectrum":
            head = json.dumps({"kind": product.kind, "subject": product.subject})
            self.tell("product", head[:-1].encode() + b', "object": ' + payload + b"}")

    def close(self) -> None:
        """End all streams: the server goes."""
        for queue in list(self._queues):
            self._end(queue)

    def _end(self, queue: asyncio.Queue[bytes | None]) -> None:
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    async def _get_stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._queues) >= _STREAMS:
            raise web.HTTPServiceUnavailable(reason="too many streams are open; close some pages")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        # A proxy that gathers answers would hold back what is to be told at once.
        response.headers["X-Accel-Buffering"] = "no"
        self._queues.add(queue)
        try:
            await response.prepare(request)
            await response.write(f"retry: {_RETRY_MS}\n\n".encode())
            while True:
                await response.write(self._beaten())
                if not await self._pass_on(queue, response):
                    return response
        except ConnectionError:
            return response  # the page was closed
        finally:
            self._queues.discard(queue)

    def _beaten(self) -> bytes:
        return b"event: beat\ndata: " + json.dumps(self._beat(), allow_nan=False).encode() + b"\n\n"

    @staticmethod
    async def _pass_on(queue: asyncio.Queue[bytes | None], response: web.StreamResponse) -> bool:
        """Pass on what is told until the next beat; return whether the stream goes on."""
        loop = asyncio.get_running_loop()
        due = loop.time() + _BEAT_S
        while True:
            try:
                async with asyncio.timeout_at(due):
                    message = await queue.get()
            except TimeoutError:
                return True
            if message is None:
                return False
            await response.write(message)
