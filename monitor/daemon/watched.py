"""What a configuration says that there is to watch, for the metrics."""

from __future__ import annotations

from monitor.config import Config, shadow_subjects
from monitor.io.metrics import Metrics, Watched, WatchedPair
from monitor.stages.craft_event import SIDES
from monitor.stages.crossing import PLASMAPAUSE


def show_watched(config: Config, metrics: Metrics) -> None:
    """Show the subjects of a configuration from the start; injected ones are none."""
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
    metrics.expect_events(PLASMAPAUSE.kind, sorted({*chain_of, *(chain.name for chain in chains)}))
    for sides in SIDES:
        metrics.expect_events(sides.boundary.kind, craft)
