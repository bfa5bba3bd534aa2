"""`/hapi`: the products of the store for every client of HAPI (heliophysics' protocol for time series).

Data are read a page at a time in a thread, over a connection of the request's own, and the next page is read when the
client has taken the one before: a year costs no more memory than a day, and whoever does not take it is cut off by
the connection's own limits.
"""

from __future__ import annotations

import asyncio
import html
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Final, Self, TypeVar

from aiohttp import web

from monitor.errors import StoreError
from monitor.io.hapi.dataset import Dataset, dataset, datasets
from monitor.io.hapi.encoding import MEDIA_TYPES, encoder
from monitor.io.hapi.request import (
    DataRequest,
    catalog_request,
    data_request,
    info_request,
    no_request,
)
from monitor.io.hapi.status import (
    INTERNAL,
    NO_DATA,
    OK,
    OUTSIDE,
    USER_ERROR,
    HapiError,
    head,
    http_status,
    reason,
)
from monitor.io.hapi.times import time_text
from monitor.io.http.offer import Offer
from monitor.io.store.archive import ProductArchive
from monitor.types import Json

logger = logging.getLogger(__name__)

T = TypeVar("T")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Pages that are read and encoded at a time: each is some milliseconds of a core that the pipeline needs too.
_PAGES_AT_ONCE: Final = 2
_ENDPOINTS: Final = ("about", "capabilities", "catalog", "info", "data")
_CROSS_ORIGIN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Content-Type",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class Stretch:
    """A stretch of a dataset as it is read: bytes, a page at a time, in whatever thread asks for the next.

    Made by `open`; closed by its end, by `close`, or by an error. It reads nothing while nobody asks.
    """

    def __init__(self, held: ExitStack, found: Dataset, pages: Iterator[bytes], code: int) -> None:
        self.dataset = found
        self.code = code
        self._held = held
        self._pages = pages
        self._lock = threading.Lock()

    @classmethod
    def open(cls, offer: Offer, asked: DataRequest) -> Self:
        """Look for the dataset, and for whether it has anything in the stretch. Raises HapiError, StoreError."""
        with ExitStack() as stack:
            archive = stack.enter_context(ProductArchive.opened(offer.path))
            found = dataset(archive, asked.dataset, offer.cadences_s)
            columns = found.chosen(asked.parameters)
            if asked.stop_ns <= found.span.first_ns or asked.start_ns >= found.stop_ns:
                ends = f"{time_text(found.span.first_ns)} to {time_text(found.stop_ns)}"
                raise HapiError(OUTSIDE, f"there are data from {ends}")
            records = found.records(archive, columns, asked.start_ns, asked.stop_ns)
            first = next(records, None)
            code = NO_DATA if first is None else OK
            with_header = asked.header or asked.format == "json"
            header = {**found.info(columns, code), "format": asked.format} if with_header else None
            writer = encoder(asked.format, columns)

            def pages() -> Iterator[bytes]:
                yield writer.begin(header)
                if first is not None:
                    yield writer.encode(first)
                    for page in records:
                        yield writer.encode(page)
                yield writer.end()

            return cls(stack.pop_all(), found, pages(), code)

    def next(self) -> bytes | None:
        """The next bytes; None at the end. Raises StoreError."""
        with self._lock:
            return next(self._pages, None)

    def close(self) -> None:
        """Let go of the store, once the page in hand is read."""
        with self._lock:
            self._held.close()


class HapiRoutes:
    """The routes below `/hapi`.

    Parameters
    ----------
    offer : callable
        Gives what is offered now; called for each request.
    """

    def __init__(self, offer: Callable[[], Offer]) -> None:
        self._offer = offer
        self._turns = asyncio.Semaphore(_PAGES_AT_ONCE)

    @property
    def routes(self) -> list[web.AbstractRouteDef]:
        """For `HttpServer.add_routes`."""
        answers: dict[str, Answer] = {
            "about": self._about,
            "capabilities": self._capabilities,
            "catalog": self._catalog,
            "info": self._info,
            "data": self._data,
        }
        gets = [web.get(f"/hapi/{name}", self._guarded(answer)) for name, answer in answers.items()]
        others = self._guarded(self._elsewhere)
        return [
            web.get("/hapi", self._guarded(self._landing)),
            *gets,
            web.get("/hapi/{endpoint:.*}", others),
            web.options("/hapi/{endpoint:.*}", self._preflight),
        ]

    def _guarded(self, answer: Answer) -> Answer:
        """Every error in HAPI's own form, without a word of the request."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return await answer(request)
            except HapiError as error:
                return self._json(head(error.code, error.detail), error.code)
            except (StoreError, OSError) as error:
                resource = request.match_info.route.resource
                logger.error("HTTP: %s failed: %s", resource.canonical if resource else "a path", error)
                return self._json(head(INTERNAL, "the log of the monitor says more"), INTERNAL)

        return guarded

    # -- metadata -------------------------------------------------------------------------------------------------

    async def _about(self, request: web.Request) -> web.Response:
        no_request(request.query.items())
        offer = self._offer()
        described = {
            "id": offer.server_id,
            "title": "geospace-monitor",
            "contact": offer.contact,
            "description": "Field line resonances and plasma mass density from pairs of magnetometers, the plasmapause,"
            " and plasma regions of spacecraft, as they are found.",
            "note": "A record may be replaced later by one with a higher revision; info says when"
            " something was written last (modificationDate).",
        }
        return self._json(head() | described)

    async def _capabilities(self, request: web.Request) -> web.Response:
        no_request(request.query.items())
        return self._json(head() | {"outputFormats": list(MEDIA_TYPES)})

    async def _catalog(self, request: web.Request) -> web.Response:
        catalog_request(request.query.items())
        return self._json(head() | {"catalog": await self._in_thread(self._listed)})

    async def _info(self, request: web.Request) -> web.Response:
        asked = info_request(request.query.items())

        def found() -> dict[str, Json]:
            offer = self._offer()
            with ProductArchive.opened(offer.path) as archive:
                one = dataset(archive, asked.dataset, offer.cadences_s)
                return one.info(one.chosen(asked.parameters))

        return self._json(await self._in_thread(found))

    async def _landing(self, request: web.Request) -> web.Response:
        no_request(request.query.items())
        rows = "".join(
            f"<li><a href='/hapi/info?dataset={html.escape(one['id'])}'>{html.escape(one['id'])}</a>:"
            f" {html.escape(one['title'])}</li>"
            for one in await self._in_thread(self._listed)
        )
        links = "".join(f"<li><a href='/hapi/{name}'>/hapi/{name}</a></li>" for name in _ENDPOINTS[:3])
        page = (
            "<!DOCTYPE html><html lang='en'><meta charset='utf-8'><title>HAPI</title><h1>geospace-monitor: HAPI</h1>"
            f"<p>Time series by the HAPI specification 3.3.</p><ul>{links}</ul><h2>Datasets</h2><ul>{rows}</ul></html>\n"
        )
        return web.Response(text=page, content_type="text/html", headers=self._headers())

    def _listed(self) -> list[dict[str, Json]]:
        with ProductArchive.opened(self._offer().path) as archive:
            return datasets(archive)

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        """What is asked for with a slash at its end is without one; nothing else is here."""
        endpoint = request.match_info["endpoint"]
        name = endpoint.removesuffix("/")
        if endpoint in ("", f"{name}/") and name in ("", *_ENDPOINTS):
            path = f"/hapi/{name}" if name else "/hapi"
            query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
            return web.Response(status=301, headers={**self._headers(), "Location": path + query})
        raise HapiError(USER_ERROR, f"there are {', '.join(_ENDPOINTS)}")

    async def _preflight(self, _request: web.Request) -> web.Response:
        """What a browser asks before a page of another site may ask."""
        if not self._offer().cross_origin:
            raise web.HTTPMethodNotAllowed("OPTIONS", ("GET", "HEAD"))
        return web.Response(status=204, headers=self._headers())

    # -- data -----------------------------------------------------------------------------------------------------

    async def _data(self, request: web.Request) -> web.StreamResponse:
        asked = data_request(request.query.items())
        offer = self._offer()
        stretch = await self._in_thread(lambda: Stretch.open(offer, asked))
        try:
            response = web.StreamResponse(
                status=200,
                reason=reason(stretch.code),
                headers={**self._headers(), "Content-Type": MEDIA_TYPES[asked.format]},
            )
            await response.prepare(request)
            if request.method != "HEAD":
                await self._send(request, response, stretch)
            return response
        finally:
            # Beside the loop: where the request was cancelled, its page may still be read.
            asyncio.get_running_loop().run_in_executor(None, stretch.close)

    async def _send(self, request: web.Request, response: web.StreamResponse, stretch: Stretch) -> None:
        try:
            while (page := await self._in_thread(stretch.next)) is not None:
                if page:
                    await response.write(page)
            await response.write_eof()
        except ConnectionError:
            logger.debug("HTTP: a client of /hapi/data has left")
        except StoreError as error:
            # The status has gone out. A stream that breaks off is how a client learns that it is not whole.
            logger.error("HTTP: %s broke off: %s", "/hapi/data", error)
            if request.transport is not None:
                request.transport.abort()

    # -- all of them ----------------------------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[[], T]) -> T:
        async with self._turns:
            return await asyncio.to_thread(work)

    def _headers(self) -> dict[str, str]:
        return dict(_CROSS_ORIGIN) if self._offer().cross_origin else {}

    def _json(self, document: Json, code: int = OK) -> web.Response:
        return web.Response(
            status=http_status(code),
            reason=reason(code),
            text=json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n",
            content_type="application/json",
            headers=self._headers(),
        )
