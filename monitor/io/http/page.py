"""The page: static files out of the package, with the rules under which a browser may run them."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

from aiohttp import web

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""Scripts and styles are files of this server, and nothing else is loaded; text never becomes markup or script."""

_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Asked for each time, and answered by three words where nothing changed: a new version is taken at once.
    "Cache-Control": "no-cache",
}


class PageRoutes:
    """Serves the files of the page; they are read once."""

    def __init__(self) -> None:
        self._files = {path: _File(body, path) for path, body in page_files().items()}

    @property
    def routes(self) -> list[web.AbstractRouteDef]:
        """For `HttpServer.add_routes`."""
        return [web.get("/", self._get_index), web.get("/page/{name:[a-z0-9_./-]{1,64}}", self._get_file)]

    async def _get_index(self, request: web.Request) -> web.StreamResponse:
        return self._files["index.html"].answer(request)

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound(reason="the page has no such file")
        return file.answer(request)


def page_files() -> dict[str, bytes]:
    """All files of the page, by their path below it."""
    found: dict[str, bytes] = {}
    folders = [("", files("monitor.io").joinpath("page"))]
    while folders:
        prefix, folder = folders.pop()
        for item in folder.iterdir():
            if item.is_dir():
                folders.append((f"{prefix}{item.name}/", item))
            elif any(item.name.endswith(ending) for ending in _TYPES):
                found[prefix + item.name] = item.read_bytes()
    return found


class _File:
    def __init__(self, body: bytes, path: str) -> None:
        self._body = body
        self._type = _TYPES[path[path.rindex(".") :]]
        self._tag = hashlib.sha256(body).hexdigest()[:32]

    def answer(self, request: web.Request) -> web.StreamResponse:
        known = request.if_none_match
        headers = {**_HEADERS, "ETag": f'"{self._tag}"'}
        if known is not None and any(tag.value in (self._tag, "*") for tag in known):
            return web.Response(status=304, headers=headers)
        response = web.Response(body=self._body, headers=headers, content_type=self._type, charset="utf-8")
        response.enable_compression()
        return response
