"""A store with products of every kind, and the server that gives them out."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from monitor.io.hapi.times import parse_time_ns
from monitor.io.http import HttpServer
from monitor.io.http.access import Credentials
from monitor.io.http.api import ApiRoutes
from monitor.io.http.connections import Limits
from monitor.io.http.hapi import HapiRoutes
from monitor.io.http.history import HistoryRoutes
from monitor.io.http.offer import Offer
from monitor.io.http.stream import StreamRoutes
from monitor.io.store import Store
from monitor.models.base import bundled
from monitor.stages.notification import notification
from monitor.types import REGIONS, SECOND_NS, Product, iso_time

Document = dict[str, Any]

T0_NS = 1_504_785_600 * SECOND_NS
"""2017-09-07T12:00:00Z"""
CADENCE_S = 1800
HOP_S = 180
PAIRS = ("MUO-PEL", "TAR-BRZ")
CRAFT = "MMS1"
CHAIN = "emma"
SHADOWS = ("INJP-INJQ", "INJECT")
CADENCES_S = {"flr": 1800.0, "spectrum": 1800.0, "profile": 1800.0, "plasmapause": 1800.0, "region": 180.0}


def flr(number: int, pair: str = "TAR-BRZ", revision: int = 0) -> Document:
    """The label of a window; every third one is of a window without samples."""
    seen = number % 3 != 2
    poleward, equatorward = pair.split("-")
    frequency = 10.0 + number / 7 + revision
    return {
        "schema": "geospace/flr/1",
        "id": f"flr/{pair}/{time_of(number)}/{revision}",
        "pair": pair,
        "time": time_of(number),
        "effective_time": iso_time(T0_NS + (number * CADENCE_S - 3600) * SECOND_NS),
        "window_s": 7200.0,
        "revision": revision,
        "label": "Freq" if seen else "NoFreq",
        "probability": {"NoFreq": 0.06, "Freq": 0.93, "PBL": 0.01} if seen else None,
        "stage_one": "Freq" if seen else None,
        "track_probability": {"NoFreq": 0.05, "Freq": 0.94, "PBL": 0.01},
        "frequency_mHz": frequency if seen else None,
        "frequency_interval_mHz": [frequency - 0.8, frequency + 0.8] if seen else None,
        "interval_level": 0.9,
        "physical": {
            "label": "Freq" if seen else "NoFreq",
            "frequency_mHz": 13.3 if seen else None,
            "sigma_mHz": 0.4 if seen else None,
            "cross_phase_deg": 47.0 if seen else None,
            "coherence": 0.91 if seen else None,
            "agrees": seen or None,
            "timing_offset_s": None,
            "timing_sigma_s": None,
        },
        "harmonic": 1 if seen else None,
        "density_amu_cm3": 1520.0 + number if seen else None,
        "density_interval_amu_cm3": [1340.0, 1730.0] if seen else None,
        "density_index": 1.0 if seen else None,
        "density_alternatives": [],
        "l_shell": 2.9,
        "mlt_h": 13.1,
        "illumination": "day",
        "coverage": {poleward: 1.0, equatorward: 0.998 if seen else 0.0},
        "flags": [] if seen else ["gap", "physical_only"],
        "model": {"classifier": "chain/1@0123456789ab", "regressor": "chain/1@0123456789ab"},
    }


def spectrum(number: int, pair: str = "TAR-BRZ", bins: int = 60) -> Document:
    grid = [(8 + place) / 7.2 for place in range(bins)]
    return {
        "schema": "geospace/spectrum/1",
        "id": f"spectrum/{pair}/{time_of(number)}/0",
        "pair": pair,
        "time": time_of(number),
        "window_s": 7200.0,
        "revision": 0,
        "smoothing_bins": 11,
        "frequency_mHz": grid,
        "cross_phase_deg": [number + place / 10 for place in range(bins)],
        "amplitude_ratio": [1.0 + place / 100 for place in range(bins)],
        "coherence": [None if place == 3 else 0.5 for place in range(bins)],
    }


def profile(number: int) -> Document:
    return {
        "schema": "geospace/profile/1",
        "id": f"profile/{CHAIN}/{time_of(number)}/0",
        "chain": CHAIN,
        "time": time_of(number),
        "effective_time": iso_time(T0_NS + (number * CADENCE_S - 3600) * SECOND_NS),
        "window_s": 7200.0,
        "revision": 0,
        "pairs": list(PAIRS),
        "l_shell": [5.37, 2.9],
        "gsm_lat": [1.5, -2.5],
        "gsm_lon": [10.0, 12.0],
        "gsm_z": [1.0e6, -2.0e6],
        "distance": [5.4, 2.9],
        "lt": [12.7, 12.5],
        "mlt": [13.0, 13.1],
        "label": ["NoFreq", "Freq"],
        "frequency_mHz": [None, 13.4],
        "rho": [None, 1520.0 + number],
        "rho_interval": [None, [1340.0, 1730.0]],
        "rho_si": [None, (1520.0 + number) * 1.66053907e-21],
        "illumination": ["day", "day"],
        "used": [False, True],
        "flags": [["gap"], []],
        "interval_level": 0.9,
        "fit": None,
    }


def plasmapause(number: int) -> Document:
    known = number % 2 == 0
    return {
        "schema": "geospace/plasmapause/1",
        "id": f"plasmapause/{CHAIN}/{time_of(number)}/0",
        "chain": CHAIN,
        "time": time_of(number),
        "effective_time": iso_time(T0_NS + (number * CADENCE_S - 3600) * SECOND_NS),
        "window_s": 7200.0,
        "revision": 0,
        "l_shell": 4.2 + number / 100 if known else None,
        "l_interval": [4.0, 4.5] if known else None,
        "interval_level": 0.9,
        "confidence": 0.92 if known else 0.0,
        "mlt_h": 13.0,
        "reason": None if known else "uncertain",
        "by_label": None,
        "by_gradient": 4.1,
        "inside": {"TAR-BRZ": 0.99, "MUO-PEL": 0.1},
        "pairs_used": list(PAIRS) if known else [],
        "empirical": {"carpenter_anderson_1992": 4.4, "moldwin_2002": None} if known else None,
        "flags": [] if known else ["carried"],
    }


def region(number: int, craft: str = CRAFT) -> Document:
    hole = number % 5 == 4
    return {
        "schema": "geospace/region/1",
        "id": f"region/{craft}/{iso_time(T0_NS + number * HOP_S * SECOND_NS)}/0",
        "craft": craft,
        "time": iso_time(T0_NS + number * HOP_S * SECOND_NS),
        "window_s": 180.0,
        "revision": 0,
        "label": None if hole else "MSH",
        "stage_one": None if hole else "MSH",
        "probability": None if hole else {str(one): 0.91 if one == "MSH" else 0.01 for one in REGIONS},
        "confidence": None if hole else 0.91,
        "quality": "poor" if hole else "good",
        "missing": ["N", "T"] if hole else [],
        "bridged": 0.0,
        "support_s": 238.5,
        "cam": None if hole else [place / 40 for place in range(40)],
        "flags": ["gap"] if hole else [],
        "model": {"classifier": "mms/1@0123456789ab"},
    }


def event(
    number: int, update: int = 0, subject: str = "TAR-BRZ", kind: str = "plasmapause_crossing"
) -> Product:
    """An update of an event: 0 begins it, the second ends it."""
    start_ns = T0_NS + number * CADENCE_S * SECOND_NS
    content: Document = {
        "kind": kind,
        "subject": subject,
        "direction": "inward",
        "start_datetime": iso_time(start_ns),
        "time": iso_time(start_ns + 3600 * SECOND_NS),
        "l_shell": 2.9,
        "confidence": 0.97,
    }
    over = update % 1000 == 1
    content |= (
        {"end_datetime": iso_time(start_ns + 7200 * SECOND_NS), "outcome": "passed"}
        if over
        else {"datetime": iso_time(start_ns)}
    )
    body = notification(
        f"{kind}/{subject}/{iso_time(start_ns)}/inward",
        update,
        "end" if over else "begin",
        content,
        members=[],
        position_deg=(26.5, 58.3),
        base_url="http://127.0.0.1:9464",
    )
    return Product("event", f"{kind}/{subject}", start_ns, update, False, body)


def time_of(number: int) -> str:
    return iso_time(T0_NS + number * CADENCE_S * SECOND_NS)


def product(kind: str, subject: str, document: Document) -> Product:
    """A document as a product of the store."""
    return Product(kind, subject, parse_time_ns(document["time"]), document["revision"], True, document)


def all_products(count: int = 12) -> list[Product]:
    """So many windows of everything, with revisions, events that are open and over, and injected signals."""
    made = [product("flr", pair, flr(number, pair)) for number in range(count) for pair in PAIRS]
    made += [product("flr", "TAR-BRZ", flr(number, revision=1)) for number in range(0, count, 4)]
    made += [
        product("spectrum", "TAR-BRZ", spectrum(number, bins=30 if number == 1 else 60))
        for number in range(count)
    ]
    made += [product("profile", CHAIN, profile(number)) for number in range(count)]
    made += [product("plasmapause", CHAIN, plasmapause(number)) for number in range(count)]
    made += [product("region", CRAFT, region(number)) for number in range(count)]
    made += [
        product("flr", SHADOWS[0], flr(0, SHADOWS[0])),
        product("region", SHADOWS[1], region(0, SHADOWS[1])),
    ]
    made += [
        event(0),
        event(0, 1),
        event(0, subject=CHAIN),
        event(3),
        event(3, 1000),
        event(5, 1, CRAFT, "bow_shock_crossing"),
    ]
    return made


@contextlib.contextmanager
def stored(path: Path, products: list[Product] | None = None) -> Iterator[Store]:
    """A store with these products, open for writing as the daemon has it."""
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as store:
        made = all_products() if products is None else products
        for start in range(0, len(made), 5000):
            store.commit([(one, one.encode(T0_NS)) for one in made[start : start + 5000]], {})
        yield store


@contextlib.asynccontextmanager
async def offering(
    path: Path,
    *,
    cross_origin: bool = False,
    credentials: Credentials | None = None,
    limits: Limits | None = None,
    status: Callable[[], Any] = dict,
    event_of: Callable[[str], Any] = lambda _: None,
    refused: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[HttpServer]:
    """The server over a store."""
    models = {"flr": bundled("flr"), "region": bundled("region")}
    offer = Offer(path, CADENCES_S, "geospace-monitor", "ops@example.org", cross_origin, models)
    stream = StreamRoutes(dict)
    server = HttpServer(
        "127.0.0.1:0",
        metrics=lambda _accept: (b"", "text/plain"),
        ready=lambda: (True, []),
        status=status,
        event=event_of,
        credentials=credentials,
        limits=limits or Limits(),
        refused=refused,
    )
    server.add_routes(ApiRoutes(lambda: offer).routes)
    server.add_routes(HapiRoutes(lambda: offer).routes)
    server.add_routes(HistoryRoutes(lambda: offer).routes)
    server.add_routes(stream.routes)
    await server.start()
    try:
        yield server
    finally:
        stream.close()
        await server.stop()


@contextlib.contextmanager
def offering_in_thread(path: Path, **options: Any) -> Iterator[str]:
    """The same for clients that block, in a thread of its own; gives the URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = offering(path, **options)
    try:
        server = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(30)
        try:
            yield server.url
        finally:
            asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
