"""What the daemon says of itself: the `status` object over MQTT, and `/api/status`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence

from monitor import __version__
from monitor.config import Config, shadow_sources, shadow_subjects
from monitor.daemon.reading import Reading
from monitor.models.base import ModelInfo
from monitor.types import SECOND_NS, Json, iso_time

_DAY_S = 86_400
_WITHOUT_MODELS = {"flr": "physical/1"}


def _head(started_ns: int, state: str, models: Sequence[ModelInfo]) -> dict[str, Json]:
    return {
        "schema": "geospace/status/1",
        "state": state,
        "version": __version__,
        "started": iso_time(started_ns // SECOND_NS * SECOND_NS),
        "models": _WITHOUT_MODELS | {model.kind: model.label for model in models},
    }


def status_message(started_ns: int, state: str, models: Sequence[ModelInfo] = ()) -> bytes:
    """The payload of the topic `status`: `online`, or `offline` as goodbye and last will."""
    return json.dumps(_head(started_ns, state, models)).encode()


def status_line(
    config: Config,
    reading: Reading,
    *,
    connected: bool,
    reasons: Sequence[str],
    now_ns: int | None = None,
) -> str:
    """How the daemon stands, in a line for `systemctl status`; what is amiss comes first."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    unreal = shadow_sources(config.injection) | shadow_subjects(config.injection)
    pairs = [pair.name for pair in config.pair_list if pair.name not in unreal]
    craft = [name for name in config.craft if name not in unreal]
    clocks = [clock for source, clock in reading.source_clocks.items() if source not in unreal]
    latest = [(reading.latest.get(name), "label") for name in pairs]
    latest += [(reading.regions.get(name), "region") for name in craft]
    labels = [(str(document["time"]), what) for document, what in latest if document is not None]
    said = [
        f"degraded: {reasons[0]}{f' (and {len(reasons) - 1} more)' if len(reasons) > 1 else ''}"
        if reasons
        else "",
        f"{len(pairs)} pair{'s' * (len(pairs) != 1)}, {len(craft)} spacecraft",
        f"broker {'connected' if connected else 'away'}",
        f"last sample {_ago(max(clocks), now_ns)}" if clocks else "no sample yet",
    ]
    if labels:
        time_text, what = max(labels)
        said.append(f"last {what} {_clock_time(time_text, now_ns)}")
    return "; ".join(filter(None, said))


def _ago(time_ns: int, now_ns: int) -> str:
    """How long ago a time is, or the time itself where that is more than a day."""
    seconds = max(0, now_ns - time_ns) // SECOND_NS
    if seconds >= _DAY_S:
        return f"of {iso_time(time_ns // SECOND_NS * SECOND_NS)}"
    for unit, length_s in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds // length_s} {unit} ago"
    return f"{seconds} s ago"


def _clock_time(time_text: str, now_ns: int) -> str:
    """`12:00` of an ISO 8601 time of today (UTC), else the whole."""
    today = iso_time(now_ns // SECOND_NS * SECOND_NS)[:10]
    return time_text[11:16] if time_text.startswith(today) else time_text


def status_page(
    config: Config,
    reading: Reading,
    *,
    started_ns: int,
    reasons: Sequence[str],
    connected: bool,
    queues: Mapping[str, int],
    store_bytes: int,
    held_back: bool = False,
    store_free_bytes: int | None = None,
    models: Sequence[ModelInfo] = (),
    missing: Mapping[str, str] | None = None,
    stale: Callable[[str, str], bool] = lambda _kind, _subject: False,
    injection: Mapping[str, Mapping[str, Json]] | None = None,
    plugins: Mapping[str, Json] | None = None,
) -> Json:
    """The object of `/api/status`.

    `reasons` are those why the daemon is not ready, `missing` the learned models that cannot be used, and `stale` says
    of a kind and a subject whether its newest object is over. `injection` has what is known of each injected signal,
    `plugins` how each plugin stands.
    """
    unreal = shadow_sources(config.injection) | shadow_subjects(config.injection)

    def shown(kind: str, subject: str, document: Json) -> Json:
        return None if document is None else {**document, "stale": stale(kind, subject)}

    pairs = {pair.name: shown("flr", pair.name, reading.latest.get(pair.name)) for pair in config.pair_list}
    regions = {
        craft: shown("region", craft, _without_map(reading.regions.get(craft))) for craft in config.craft
    }
    return {
        **_head(started_ns, "degraded" if reasons else "online", models),
        "reasons": list(reasons),
        "as_of": iso_time(reading.read_ns // SECOND_NS * SECOND_NS) if reading.read_ns else None,
        "missing_models": dict(missing or {}),
        "plugins": dict(plugins or {}),
        "mqtt_connected": connected,
        "held_back": held_back,
        "queues": dict(queues),
        "store_bytes": store_bytes,
        "store_free_bytes": store_free_bytes,
        "rejected": dict(reading.rejected),
        "too_late_samples": reading.too_late_samples,
        "sources": {
            source: {"last_sample": iso_time(clock), "health": reading.health.get(source)}
            for source, clock in sorted(reading.source_clocks.items())
            if source not in unreal
        },
        "pairs": {pair: product for pair, product in pairs.items() if pair not in unreal},
        "chains": {
            chain.name: shown("plasmapause", chain.name, reading.chains.get(chain.name))
            for chain in config.chain_list
        },
        "regions": {craft: product for craft, product in regions.items() if craft not in unreal},
        "events": list(reading.events),
        "injection": {
            subject: {**known, "newest": pairs.get(subject) or regions.get(subject)}
            for subject, known in (injection or {}).items()
        },
    }


def _without_map(region: Json) -> Json:
    """A `region` object without its class activation map, which is two thirds of it."""
    return None if region is None else {key: value for key, value in region.items() if key != "cam"}
