"""The parameters of a request to `/api`."""

from __future__ import annotations

from aiohttp import web


def asked_of(request: web.Request, *allowed: str) -> dict[str, str]:
    """The parameters of a request, each known and given once; `web.HTTPBadRequest` says what is wrong otherwise."""
    asked: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in allowed:
            raise web.HTTPBadRequest(reason=f"known parameters here: {', '.join(allowed) or 'none'}")
        if name in asked:
            raise web.HTTPBadRequest(reason=f"{name} is given twice")
        asked[name] = value
    return asked
