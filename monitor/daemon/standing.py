"""How plugins stand, for the status, the metrics and the reasons of readiness."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.config import Config, PluginEntry
from monitor.types import SECOND_NS, Json, Standing, iso_time


def model_standing(config: Config, missing: Mapping[str, str], since_ns: int) -> dict[str, Standing]:
    """How the models of plugins stand; `missing` has a line for each kind of model that cannot be used."""
    chosen = {"flr": config.models.flr, "region": config.models.region}
    found: dict[str, Standing] = {}
    for name, entry in config.plugins.items():
        if entry.kind == "model":
            reasons = [missing[kind] for kind, choice in chosen.items() if choice == name and kind in missing]
            found[name] = Standing("off" if reasons else "running", reasons[0] if reasons else None, since_ns)
    return found


def plugin_pages(
    entries: Mapping[str, PluginEntry], standing: Mapping[str, Standing], more: Mapping[str, Json]
) -> dict[str, Json]:
    """The object `plugins` of `/api/status`: those that are switched on, and the decoders of the inputs."""
    return {
        name: {
            "plugin": entries[name].plugin if name in entries else name,
            "kind": entries[name].kind if name in entries else "decoder",
            "state": stands.state,
            "reason": stands.reason,
            "since": iso_time(stands.since_ns // SECOND_NS * SECOND_NS),
            "restarts": stands.restarts,
            **more.get(name, {}),
        }
        for name, stands in sorted(standing.items())
    }


def plugin_reasons(standing: Mapping[str, Standing]) -> dict[str, str]:
    """A line for each plugin that is not at work, by concern."""
    return {
        f"plugin_{name}": f"plugin {name} is {stands.state}: {stands.reason}"
        for name, stands in standing.items()
        if stands.reason is not None
    }
