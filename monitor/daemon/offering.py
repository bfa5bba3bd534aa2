"""What the daemon offers over HTTP: the server with all its routes, and what of the store they give out."""

from __future__ import annotations

from pathlib import Path

from monitor.config import Config
from monitor.config.http import Http
from monitor.daemon.lasting import Lasting
from monitor.daemon.secrets import http_credentials
from monitor.io.http import HttpServer
from monitor.io.http.api import ApiRoutes
from monitor.io.http.connections import Limits
from monitor.io.http.hapi import HapiRoutes
from monitor.io.http.history import HistoryRoutes
from monitor.io.http.offer import Offer
from monitor.io.http.page import PageRoutes
from monitor.io.metrics import Metrics
from monitor.models.base import bundled

_CONTACT = "the operator of this monitor"


def offered(config: Config) -> Offer:
    """The store's place, how often its products come, and who stands for them."""
    http = config.http
    cadence_s, hop_s = config.windows.cadence_s, config.craft_windows.hop_s
    return Offer(
        path=config.store.path,
        cadences_s={
            "flr": cadence_s,
            "spectrum": cadence_s,
            "profile": cadence_s,
            "plasmapause": cadence_s,
            "region": hop_s,
        },
        server_id="geospace-monitor" if http.public_host is None else f"geospace-monitor/{http.public_host}",
        contact=http.contact or _CONTACT,
        models={
            kind: folder for kind in ("flr", "region") if (folder := _model_folder(config, kind)) is not None
        },
        cross_origin=http.cross_origin,
    )


def _model_folder(config: Config, kind: str) -> Path | None:
    """Where the card of a model is; None where none is configured, or a plugin makes it."""
    named: str = getattr(config.models, kind)
    if named == "auto":
        return bundled(kind)
    return Path(named) if "/" in named or Path(named).is_dir() else None


def http_server(config: Http, metrics: Metrics, lasting: Lasting) -> HttpServer:
    """The server, not yet started: metrics, health, status and events, `/api`, `/hapi` and the page.

    Whatever run of the daemon is the present one answers. Raises MonitorError where a secret cannot be read.
    """
    server = HttpServer(
        config.listen,
        metrics=metrics.render,
        ready=lambda: lasting.answers.ready(),
        status=lambda: lasting.answers.status(),
        event=lambda update_id: lasting.answers.event(update_id),
        credentials=http_credentials(config),
        public_host=config.public_host,
        limits=Limits(connections=config.maximum_connections),
        refused=metrics.http_refused,
    )

    def offer() -> Offer:
        return lasting.answers.offer()

    for routes in (ApiRoutes(offer), HapiRoutes(offer), HistoryRoutes(offer), lasting.stream, PageRoutes()):
        server.add_routes(routes.routes)
    return server
