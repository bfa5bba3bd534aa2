"""The HTTP server: metrics, health, readiness, status, events, and room for what comes later.

It listens on loopback by default, takes GET and HEAD without a body, and answers every error in JSON without a
traceback and without a word of what was asked. Nothing here changes anything in the daemon.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address

from aiohttp import web

from monitor.errors import MonitorError
from monitor.io.http.access import Access, Credentials, is_own_name
from monitor.io.http.connections import Connection, Connections, Limits
from monitor.io.http.refusals import Refusals
from monitor.types import Json

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SERVER = "geospace-monitor"
# Without them a browser would guess types, keep old values, or let another site frame and load what it finds here.
# A later page sets its own policy; these only fill what a handler leaves open.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STOP_S = 2.0
# Says that the process lives, and nothing else: whoever restarts it must not need a password.
_OPEN = "/healthz"
_DEFAULT_LIMITS = Limits()
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


class HttpServer:
    """Serves what the daemon knows about itself.

    Parameters
    ----------
    listen : str
        `host:port`; `[::1]:9464` for IPv6, port 0 for any free one.
    metrics : callable
        From the `Accept` header to the metrics and their content type.
    ready : callable
        Whether the daemon is ready, and the reasons when it is not.
    status : callable
        The object of `/api/status`.
    event : callable
        From the id of an update of an event (a UUID in lower case) to the newest update; None where there is none.
        Called in a thread of its own.
    credentials : Credentials, optional
        What a client must show for anything but `/healthz`; by default nobody is asked.
    public_host : str, optional
        The name under which others see this server, beside its addresses and `localhost`.
    limits : Limits, optional
    refused : callable, optional
        Called with the reason (of `http_refusals.REASONS`) of each request or connection that is refused.

    Raises
    ------
    MonitorError
        `listen` is not an address.
    """

    def __init__(
        self,
        listen: str,
        *,
        metrics: Callable[[str], tuple[bytes, str]],
        ready: Callable[[], tuple[bool, list[str]]],
        status: Callable[[], Json],
        event: Callable[[str], Json | None],
        credentials: Credentials | None = None,
        public_host: str | None = None,
        limits: Limits = _DEFAULT_LIMITS,
        refused: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._listen = listen
        self._host, self._port = _address(listen)
        self._metrics = metrics
        self._ready = ready
        self._status = status
        self._event = event
        self._refusals = Refusals(refused)
        self._connections = Connections(limits, self._refusals)
        self._access = None if credentials is None else Access(credentials)
        self._names: frozenset[str] = frozenset() if public_host is None else frozenset({public_host})
        self._is_loopback = True
        self._routes: list[web.AbstractRouteDef] = [
            web.get("/metrics", self._get_metrics),
            web.get("/healthz", self._get_health),
            web.get("/readyz", self._get_ready),
            web.get("/api/status", self._get_status),
            web.get("/events/{id}", self._get_event),
        ]
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._url: str | None = None

    def add_routes(self, routes: Iterable[web.AbstractRouteDef]) -> None:
        """Add routes (`web.get(path, handler)` …) before `start`; one for `/` takes the place of the plain index."""
        if self._server is not None:
            raise RuntimeError("routes are added before the server starts")
        self._routes.extend(routes)

    @property
    def url(self) -> str:
        """Where it listens, with the real port: `http://127.0.0.1:9464`. RuntimeError while it does not."""
        if self._url is None:
            raise RuntimeError("the HTTP server is not started")
        return self._url

    async def start(self) -> None:
        """Begin to listen.

        Raises
        ------
        MonitorError
            The address is taken or not of this machine.
        """
        if self._server is not None:
            raise RuntimeError("the HTTP server is started already")
        app = web.Application(middlewares=[_answer_errors, self._guard])
        app.on_response_prepare.append(_add_headers)
        app.add_routes(self._routes)
        if all(resource.canonical != "/" for resource in app.router.resources()):
            app.router.add_get("/", self._get_index)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            server = await self._bind(runner)
        except OSError as error:
            await runner.cleanup()
            raise MonitorError(
                f"HTTP cannot listen on {self._listen}: {error.strerror or error};"
                " stop the program that holds the port, or set http.listen to another address"
            ) from error
        self._runner, self._server = runner, server
        address = server.sockets[0].getsockname()
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        self._url = f"http://{host}:{address[1]}"
        self._is_loopback = ip_address(address[0].partition("%")[0]).is_loopback
        if not self._is_loopback:
            self._warn_of_the_network()

    async def _bind(self, runner: web.AppRunner) -> asyncio.Server:
        manager = runner.server
        assert manager is not None
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: Connection(manager, loop, self._connections, _answer_unreadable), self._host, self._port
        )

    def _warn_of_the_network(self) -> None:
        if self._access is None:
            logger.warning(
                "HTTP listens on %s, beyond this machine, and asks nobody for a password: everyone who reaches it reads"
                " all of it; set http.token_file or http.password_file, or listen on 127.0.0.1 behind a proxy",
                self._url,
            )
        else:
            logger.warning(
                "HTTP listens on %s, beyond this machine, without encryption: who sees the traffic sees the password;"
                " put a proxy with TLS before it where the network is not yours",
                self._url,
            )

    async def stop(self) -> None:
        """Stop listening, let running answers finish for a moment, and close; harmless when it is not started."""
        server, runner = self._server, self._runner
        self._server = self._runner = self._url = None
        if server is not None and runner is not None:
            server.close()
            try:
                async with asyncio.timeout(_STOP_S):
                    await runner.cleanup()
            except TimeoutError:
                logger.warning("HTTP: an answer did not finish within %g s and was cut off", _STOP_S)

    # -- who may ask --------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer those only who may ask, whatever they ask for: who may not learns no path either."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        hosts = request.headers.getall("Host", [])
        if len(hosts) > 1 or (self._is_loopback and not all(is_own_name(one, self._names) for one in hosts)):
            self._refusals.note("host", connection.peer)
            return _error(421, "this server is not asked under this name; see http.public_url")
        if self._access is None or request.path == _OPEN:
            return await handler(request)
        verdict = self._access.judge(request.headers.get("Authorization"), connection.group)
        if verdict == "allowed":
            return await handler(request)
        self._refusals.note(verdict, connection.peer)
        if verdict == "guessing":
            response = _error(429, "too many wrong passwords or tokens; wait")
            response.headers["Retry-After"] = "10"
            return response
        response = _error(401, "a user and password, or a token, is needed, and the right one")
        for challenge in self._access.challenges:
            response.headers.add("WWW-Authenticate", challenge)
        return response

    # -- answers ------------------------------------------------------------------------------------------------

    async def _get_metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _get_health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _get_ready(self, _request: web.Request) -> web.Response:
        ready, reasons = self._ready()
        return _json({"ready": ready, "reasons": reasons}, status=200 if ready else 503)

    async def _get_status(self, _request: web.Request) -> web.Response:
        return _json(self._status())

    async def _get_event(self, request: web.Request) -> web.Response:
        update_id = request.match_info["id"].lower()
        if _UUID.fullmatch(update_id) is None:
            raise web.HTTPNotFound(reason="the id of an event is a UUID")
        document = await asyncio.to_thread(self._event, update_id)
        if document is None:
            raise web.HTTPNotFound(reason="no event has this id")
        return _json(document, content_type="application/geo+json")

    async def _get_index(self, request: web.Request) -> web.Response:
        paths = {resource.canonical for resource in request.app.router.resources()} - {"/"}
        return web.Response(text="geospace-monitor\n\n" + "".join(f"{path}\n" for path in sorted(paths)))


def _answer_unreadable(
    request: web.BaseRequest, status: int, error: BaseException | None
) -> web.StreamResponse:
    if status >= 500:
        logger.error("HTTP: a request of %s failed", request.remote, exc_info=error)
    response = _error(status, "the request cannot be read" if status < 500 else "internal error")
    response.headers.update({"Server": _SERVER, **_HEADERS})
    response.force_close()
    return response


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse bodies, and turn every error into JSON; the client never sees a traceback, the log does."""
    if isinstance(request.protocol, Connection):
        request.protocol.answers()
    if request.can_read_body:
        response = _error(413, "requests have no body here")
        response.force_close()
        return response
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _error(error.status, error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except ConnectionError:
        # Who asked has left in the middle of the answer; aiohttp lets it be.
        raise
    except Exception:
        # The route, not the path: what a client sends writes no lines of our log.
        resource = request.match_info.route.resource
        logger.exception("HTTP: %s failed", "a path" if resource is None else resource.canonical)
        return _error(500, "internal error; the log of the monitor says more")


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    # aiohttp has put its name and version there already.
    response.headers["Server"] = _SERVER
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _json(document: Json, *, status: int = 200, content_type: str = "application/json") -> web.Response:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
    return web.Response(text=text, status=status, content_type=content_type)


def _error(status: int, message: str) -> web.Response:
    return _json({"status": status, "error": message}, status=status)


def _address(listen: str) -> tuple[str, int]:
    host, separator, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    # An empty host would listen on every interface.
    if not (separator and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise MonitorError(f"http.listen: {listen!r} is no address; write host:port, such as 127.0.0.1:9464")
    return host, int(port)
