"""What a configuration offers of its store over HTTP."""

from __future__ import annotations

from monitor.config import Config
from monitor.io.http.offer import Offer

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
        cross_origin=http.cross_origin,
    )
