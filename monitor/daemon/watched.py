"""What a configuration says that there is to watch, for the metrics."""

from __future__ import annotations

from monitor.config import Config, shadow_subjects
from monitor.daemon.recovery import subjects_of
from monitor.io.metrics import Metrics, Watched, WatchedPair
from monitor.stages.craft_event import SIDES
from monitor.stages.crossing import PLASMAPAUSE
from monitor.types import SHADOW_CRAFT, SHADOW_PAIR

_SHOWN = ("flr", "health", "plasmapause", "region")


def show_watched(config: Config, metrics: Metrics) -> None:
    """Show the subjects of a configuration from the start, and no others any more; injected ones are none."""
    unreal = shadow_subjects(config.injection)
    chains = [chain for chain in config.chain_list if chain.pairs]
    chain_of = {pair.name: chain.name for chain in reversed(chains) for pair in chain.pairs}
    craft = tuple(name for name in config.craft if name not in unreal)
    metrics.watch(
        Watched(
            pairs=tuple(
                WatchedPair(pair.name, *pair.stations, chain_of.get(pair.name, ""))
                for pair in config.pair_list
                if pair.name not in unreal
            ),
            craft=craft,
            cadence_s=(("flr", config.windows.cadence_s), ("region", config.craft_windows.hop_s)),
            lateness_s=(("flr", config.windows.lateness_s), ("region", config.craft_windows.lateness_s)),
        )
    )
    events = {PLASMAPAUSE.kind: tuple(sorted({*chain_of, *(chain.name for chain in chains)}))}
    events |= {sides.boundary.kind: craft for sides in SIDES}
    for kind, subjects in events.items():
        metrics.expect_events(kind, subjects)
    # After a reload: what was of the configuration before.
    metrics.keep_only({kind: subjects_of(config, kind) for kind in _SHOWN}, events)
    for name in {SHADOW_PAIR.name, SHADOW_CRAFT} - unreal:
        metrics.forget_injection(name)
