"""What follows from the findings of many pairs: chains, their profiles, the plasmapause, events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from monitor.config import Config
from monitor.pipeline.guard import ALL, Guard
from monitor.pipeline.settings import crossing_parameters
from monitor.science.plasmapause_parameters import ONE_PAIR, PlasmapauseParameters
from monitor.stages.chain import ChainStage
from monitor.stages.chain_product import ChainProductStage
from monitor.stages.event import EventStage
from monitor.stages.indices import KpMemory
from monitor.stages.place import Places, positions_deg
from monitor.stages.plasmapause import plasmapause_stage
from monitor.stages.profile import profile_stage
from monitor.stages.window import WindowParameters
from monitor.stations import Station
from monitor.types import Chain, ChainState, Finding, Json, Product


class Keeper(Protocol):
    """A stage that keeps state."""

    def snapshot(self) -> Json: ...
    def restore(self, state: Json) -> None: ...


@dataclass(slots=True)
class Kp:
    """Kp as it is configured, else as it came."""

    constant: float | None
    memory: KpMemory
    _seen: Json = None

    def at(self, time_ns: int) -> float | None:
        return self.memory.at(time_ns) if self.constant is None else self.constant

    def maximum(self, hours: int, end_ns: int) -> float | None:
        return self.memory.maximum(hours, end_ns) if self.constant is None else self.constant

    def has_news(self) -> bool:
        """Whether Kp is another since this was last asked."""
        before, self._seen = self._seen, self.memory.snapshot()
        return self.constant is None and before is not self._seen


@dataclass(frozen=True, slots=True)
class Chains:
    """The stages that see a whole chain of pairs at once."""

    chains: tuple[Chain, ...]
    chain: ChainStage
    profile: ChainProductStage
    plasmapause: ChainProductStage
    event: EventStage
    guard: Guard

    @classmethod
    def of(
        cls,
        config: Config,
        stations: Mapping[str, Station],
        places: Places,
        windows: WindowParameters,
        guard: Guard,
    ) -> Chains:
        level = config.plasmapause.level
        times = (windows.cadence_ns, windows.lateness_ns, windows.span_ns)
        chain = ChainStage(
            config.chain_list,
            {code: one.l_shell for code, one in stations.items() if one.l_shell is not None},
            PlasmapauseParameters(),
            level=level,
            widest_l=config.plasmapause.widest_l,
            lateness_ns=windows.lateness_ns,
            remember_ns=windows.span_ns,
            night=config.density.night,
            alone=ONE_PAIR,
        )
        chains = chain.chains
        pairs = tuple({pair for one in chains for pair in one.pairs})
        latitude, longitude = positions_deg(stations, pairs)
        event = EventStage(
            chains,
            crossing_parameters(config),
            base_url=config.http.public_url or f"http://{config.http.listen}",
            remember_ns=windows.span_ns,
            geometry={
                pair.name: None if lon != lon else (lon, lat)
                for pair, lon, lat in zip(pairs, longitude.tolist(), latitude.tolist(), strict=True)
            },
        )
        profile, plasmapause = profile_stage(places, *times), plasmapause_stage(places, level, *times)
        return cls(chains, chain, profile, plasmapause, event, guard)

    @property
    def keepers(self) -> dict[str, Keeper]:
        """The stages that keep state, by their names."""
        return {
            "chain": self.chain,
            "profile": self.profile,
            "plasmapause": self.plasmapause,
            "event": self.event,
        }

    def clocks(self, pair_clocks: Mapping[str, int]) -> dict[str, int]:
        """Product clock of every chain (ns): the largest of its pairs."""
        found: dict[str, int] = {}
        for chain in self.chains:
            clocks = [pair_clocks[pair.name] for pair in chain.pairs if pair.name in pair_clocks]
            if clocks:
                found[chain.name] = max(clocks)
        return found

    def states(self, findings: Sequence[Finding], clocks: Mapping[str, int], kp: Kp) -> list[ChainState]:
        """The windows of chains that close or change; a chain that raises begins anew."""
        of_pair: dict[str, list[Finding]] = defaultdict(list)
        for finding in findings:
            of_pair[finding.pair.name].append(finding)
        states: list[ChainState] = []
        for chain in self.chains:
            own = [one for pair in chain.pairs for one in of_pair.get(pair.name, ())]
            feed = partial(self.chain.feed, own, clocks, kp.maximum, only=chain.name)
            states += self.guard.alone("chain", chain.name, feed, self.chain.forget, by_output=True)
        if kp.has_news():
            states += self.guard.alone("kp", ALL, lambda: self.chain.kp_changed(kp.maximum))
        return sorted(states, key=lambda state: state.end_ns)

    def flush(self, kp: Kp) -> list[Product]:
        """End an offline run: close all windows."""
        return self.issue(self.chain.flush(kp.maximum), [])

    def issue(self, states: Sequence[ChainState], issued: Sequence[Product]) -> list[Product]:
        """The objects that states of chains become; `issued` are those of their pairs, which events name."""
        alone = self.guard.alone
        profiles, positions = (
            [
                product
                for state in states
                for product in alone(name, state.chain.name, partial(stage.feed, [state]))
            ]
            for name, stage in (("profile", self.profile), ("plasmapause", self.plasmapause))
        )
        told = alone("event", ALL, lambda: self.event.feed([*issued, *positions, *states]))
        return [*profiles, *positions, *told]
