"""`/api`: the newest products and the events of the store, for programs and pages; described by OpenAPI."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web

from monitor import __version__
from monitor.errors import ModelError
from monitor.io.hapi.dataset import is_unreal, parsed
from monitor.io.hapi.times import parse_time_ns
from monitor.io.http.asked import asked_of
from monitor.io.http.offer import Offer
from monitor.io.store.archive import EventPlace, ProductArchive
from monitor.models.base import read_card
from monitor.types import Json

_LIMIT: Final = 100
_LARGEST_LIMIT: Final = 1000
# Events that are looked through for one answer; what is behind them is asked for with `next`.
_LOOKED_AT: Final = 5000
_EVER_NS: Final = (1 << 63) - 1
_PLACE = re.compile(r"(-?\d{1,19}):(\d{1,10}):([\x21-\x7e]{1,200})", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)


class ApiRoutes:
    """The routes below `/api` that the store answers.

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
            web.get("/api/latest", self._latest),
            web.get("/api/events", self._events),
            web.get("/api/models/{kind}", self._card),
            web.get("/api/openapi.json", self._description),
        ]

    async def _latest(self, request: web.Request) -> web.Response:
        asked = asked_of(request, "kind", "subject")
        for name in ("kind", "subject"):
            _require_name(name, asked.get(name))
        path = self._offer().path
        return _json(
            {"products": await asyncio.to_thread(_newest, path, asked.get("kind"), asked.get("subject"))}
        )

    async def _events(self, request: web.Request) -> web.Response:
        wanted = _wanted(asked_of(request, "since", "until", "kind", "subject", "open", "limit", "after"))
        return _json(await asyncio.to_thread(_happened, self._offer().path, wanted))

    async def _card(self, request: web.Request) -> web.Response:
        asked_of(request)
        folder = self._offer().models.get(request.match_info["kind"])
        if folder is None:
            raise web.HTTPNotFound(reason="no model of this kind is configured")
        try:
            card = await asyncio.to_thread(read_card, folder)
        except ModelError:
            # The status says what is wrong with it; here it is only not there.
            raise web.HTTPNotFound(reason="the card of this model cannot be read") from None
        return web.Response(body=card.to_json(), content_type="application/json")

    async def _description(self, request: web.Request) -> web.Response:
        asked_of(request)
        return _json(description())


def description() -> dict[str, Json]:
    """The description of the API (OpenAPI 3.1), with this program's version."""
    document: dict[str, Json] = json.loads(files("monitor").joinpath("data/openapi.json").read_text("utf-8"))
    document["info"]["version"] = __version__
    return document


def _newest(path: Path, kind: str | None, subject: str | None) -> dict[str, Json]:
    with ProductArchive.opened(path) as archive:
        found: dict[str, dict[str, Json]] = {}
        for one in archive.kinds():
            if kind is not None and one != kind:
                continue
            for name, payload in archive.latest(one).items():
                # Of an event the subject in the store is KIND/SUBJECT.
                if is_unreal(name) or (subject is not None and name.rpartition("/")[2] != subject):
                    continue
                document = parsed(payload)
                if document is not None:
                    found.setdefault(one, {})[name] = dict(document)
        return found


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which events: those that start in [place, until) and fit the rest."""

    place: EventPlace
    until_ns: int
    kind: str | None
    subject: str | None
    is_open: bool | None
    limit: int

    def fits(self, place: EventPlace, event: Mapping[str, Json]) -> bool:
        kind, _, subject = place.subject.partition("/")
        if self.kind not in (None, kind) or self.subject not in (None, subject) or is_unreal(subject):
            return False
        properties = event.get("properties")
        is_open = isinstance(properties, dict) and properties.get("state") != "end"
        return self.is_open in (None, is_open)


def _wanted(asked: Mapping[str, str]) -> _Wanted:
    since_ns = _time_ns("since", asked.get("since"), -_EVER_NS)
    until_ns = _time_ns("until", asked.get("until"), _EVER_NS)
    place = EventPlace(since_ns)
    if "after" in asked:
        match = _PLACE.fullmatch(asked["after"])
        if match is None or abs(int(match[1])) > _EVER_NS:
            raise web.HTTPBadRequest(reason="after is the next of an earlier answer")
        place = max(place, EventPlace(int(match[1]), match[3], int(match[2])))
    if asked.get("open") not in (None, "true", "false"):
        raise web.HTTPBadRequest(reason="open is true or false")
    limit = asked.get("limit", str(_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 6 and 1 <= int(limit) <= _LARGEST_LIMIT):
        raise web.HTTPBadRequest(reason=f"limit is 1 to {_LARGEST_LIMIT}")
    for name in ("kind", "subject"):
        _require_name(name, asked.get(name))
    return _Wanted(
        place=place,
        until_ns=until_ns,
        kind=asked.get("kind"),
        subject=asked.get("subject"),
        is_open={"true": True, "false": False}.get(asked.get("open", "")),
        limit=int(limit),
    )


def _happened(path: Path, wanted: _Wanted) -> dict[str, Json]:
    events: list[Json] = []
    looked_at = 0
    with ProductArchive.opened(path) as archive:
        for page in archive.event_pages(wanted.place, wanted.until_ns):
            for place, payload in page:
                looked_at += 1
                event = parsed(payload)
                if event is not None and wanted.fits(place, event):
                    events.append(event)
                if len(events) == wanted.limit or looked_at == _LOOKED_AT:
                    return {"events": events, "next": f"{place.time_ns}:{place.number}:{place.subject}"}
    return {"events": events, "next": None}


def _time_ns(name: str, text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    try:
        return parse_time_ns(text)
    except ValueError:
        raise web.HTTPBadRequest(reason=f"{name} is a time such as 2017-09-07T12:00:00Z") from None


def _require_name(name: str, value: str | None) -> None:
    if value is not None and _NAME.fullmatch(value) is None:
        raise web.HTTPBadRequest(reason=f"{name} is letters, digits and _ . : -")


def _json(document: Json) -> web.Response:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
    return web.Response(text=text, content_type="application/json")
