"""The pipeline: all stages from samples to products. Live, replayed and offline data take the same way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from monitor.config import Config
from monitor.models.base import ModelInfo
from monitor.models.flr import FlrModel, SpectralSettings, load_flr
from monitor.science.conditioning import ConditioningParameters
from monitor.science.plasmapause_parameters import PlasmapauseParameters
from monitor.science.resonance import ResonanceParameters
from monitor.science.spectra import SpectrumParameters
from monitor.stages.admission import Admission
from monitor.stages.chain import ChainStage
from monitor.stages.classify import ClassifyStage
from monitor.stages.crossing import CrossingParameters
from monitor.stages.density import DensityStage, DipoleField, FieldModel
from monitor.stages.event import EventStage
from monitor.stages.health import HealthStage, SourceClocks
from monitor.stages.indices import KpMemory
from monitor.stages.place import Places, positions_deg
from monitor.stages.plasmapause import PlasmapauseStage
from monitor.stages.product import ProductStage
from monitor.stages.profile import ProfileStage
from monitor.stages.regress import PhysicalStage, RegressStage
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.stages.spectrum_product import SpectrumProductStage
from monitor.stages.traced_field import TracedField
from monitor.stages.track import TrackStage
from monitor.stages.window import WindowParameters, WindowStage
from monitor.stations import Station
from monitor.types import (
    SECOND_NS,
    Chain,
    ChainState,
    Domain,
    Finding,
    Json,
    Pair,
    Product,
    ResonanceBatch,
    SampleBlock,
    Tick,
    WindowBatch,
)

Watch = Callable[[str], AbstractContextManager[object]]
"""Called with a stage's name around each of its turns: whoever owns a clock can time it."""


class _Keeper(Protocol):
    """A stage that keeps state."""

    def snapshot(self) -> Json: ...
    def restore(self, state: Json) -> None: ...


class Pipeline:
    """Samples in, products out; no clock, no input or output.

    Parameters
    ----------
    config : Config
    watch : callable, optional
    smooth : bool
        Offline: let later windows speak too. All `flr` objects come with `flush` then.

    Raises
    ------
    ModelError
        The learned model that the configuration names cannot be used.
    """

    def __init__(
        self, config: Config, watch: Watch = lambda _stage: nullcontext(), *, smooth: bool = False
    ) -> None:
        self._watch = watch
        stations, pairs = config.station_table(), config.pair_list
        used = {code: stations[code] for pair in pairs for code in pair.stations}
        windows = WindowParameters(
            length_ns=_ns(config.windows.length_s),
            cadence_ns=_ns(config.windows.cadence_s),
            lateness_ns=_ns(config.windows.lateness_s),
            revise_ns=_ns(config.windows.revise_s),
        )
        pairs_of: dict[str, list[str]] = defaultdict(list)
        for pair in pairs:
            for code in pair.stations:
                pairs_of[code].append(pair.name)
        self._admission = Admission(used, config.craft, windows.length_ns)
        self._window = WindowStage(pairs, used, windows)
        self._spectrum = SpectrumStage(conditioning_parameters(config), spectrum_parameters(config))
        self._resonance = ResonanceStage(resonance_parameters(config))
        places = Places(used, pairs)
        self._physical = PhysicalStage(places)
        model = load_flr(config.models.flr, _spectral_settings(config))
        self._learned = None if model is None else _Learned.of(model, places, windows, smooth=smooth)
        self._models = () if model is None or model.info is None else (model.info,)
        self._product = ProductStage(
            windows.cadence_ns,
            windows.lateness_ns,
            windows.span_ns,
            model=self._models[0].label if self._models else None,
        )
        self._kp = _Kp(config.density.kp, KpMemory(windows.span_ns))
        self._density = DensityStage(_field(config, used, pairs), night=config.density.night)
        self._chains = _Chains.of(config, used, places, windows)
        self._spectra = SpectrumProductStage(windows.span_ns) if config.outputs.spectra else None
        self._health = HealthStage(pairs_of, windows.lateness_ns, windows.cadence_ns)
        self._keepers: dict[str, _Keeper] = {
            "admission": self._admission,
            "window": self._window,
            "product": self._product,
            "health": self._health,
            "kp": self._kp.memory,
            **self._chains.keepers,
        }
        if self._learned is not None:
            self._keepers["track"] = self._learned.track
        if self._spectra is not None:
            self._keepers["spectra"] = self._spectra

    @property
    def lookback_ns(self) -> int:
        """How much input before now a restart needs."""
        return self._window.lookback_ns

    @property
    def kp_lookback_ns(self) -> int:
        """How much of Kp before now a restart without states needs."""
        return self._kp.memory.lookback_ns

    @property
    def source_clocks(self) -> dict[str, int]:
        """Largest sample end of every station (ns)."""
        return self._window.clocks

    @property
    def product_clocks(self) -> dict[str, int]:
        """Product clock of every pair and of every chain that has begun (ns)."""
        clocks = self._window.pair_clocks
        return {**clocks, **self._chains.clocks(clocks)}

    @property
    def health_states(self) -> dict[str, str]:
        """Last health state of every station."""
        return self._health.states()

    @property
    def too_late_samples(self) -> int:
        """Samples that came after the time for which they could still change a product."""
        return self._window.too_late_samples

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """The learned models at work; empty where the physical estimate is alone."""
        return self._models

    def admit(self, block: SampleBlock) -> None:
        """Let a block in before it is stored, or raise DecodeError with the reason."""
        self._admission.admit(block)

    def feed(self, items: Sequence[SampleBlock] | Tick) -> list[Product]:
        """Take admitted blocks, or time that passed while no input waited; return what they complete."""
        if isinstance(items, Tick):
            ground: Sequence[SampleBlock] | Tick = items
        else:
            ground = [block for block in items if block.domain is Domain.GROUND]
            self._kp.memory.feed(items)
        with self._watch("window"):
            windows = self._window.feed(ground)
        return self._onward(windows)

    def flush(self) -> list[Product]:
        """End an offline run: close every window that ends at or before its pair's clock."""
        products = self._onward(self._window.flush())
        if self._learned is not None:
            findings = self._dense(self._learned.track.flush())
            issued = self._product.feed(findings)
            products += [*issued, *self._along(findings, issued, self._window.pair_clocks)]
        products.extend(self._chains.issue(self._chains.chain.flush(self._kp.maximum), []))
        return products

    def load(self, blocks: Iterable[SampleBlock]) -> None:
        """Fill the memory with samples of earlier runs, without computing anything."""
        self._window.load(block for block in blocks if block.domain is Domain.GROUND)

    def adopt_events(self, documents: Iterable[Mapping[str, Json]]) -> None:
        """Take over events from their newest stored updates, where the states are lost."""
        self._chains.event.adopt(documents)

    def snapshot(self) -> dict[str, Json]:
        """State of every stage that keeps one, by stage."""
        return {name: stage.snapshot() for name, stage in self._keepers.items()}

    def restore(self, states: Mapping[str, Json]) -> None:
        """Take up what `snapshot` gave; ValueError where a stage cannot read its state."""
        for name, stage in self._keepers.items():
            if name in states:
                stage.restore(states[name])

    def _onward(self, windows: Sequence[WindowBatch]) -> list[Product]:
        products: list[Product] = []
        found: list[Finding] = []
        for window in windows:
            with self._watch("spectrum"):
                spectra = self._spectrum.feed([window])
            with self._watch("resonance"):
                resonances: Sequence[ResonanceBatch] = self._resonance.feed(spectra)
            findings = self._dense(self._found(resonances))
            found += findings
            with self._watch("product"):
                products.extend(self._product.feed(findings))
                if self._spectra is not None:
                    products.extend(self._spectra.feed(spectra))
                products.extend(self._health.feed(resonances))
        pair_clocks = self._window.pair_clocks
        products.extend(self._along(found, products, pair_clocks))
        clocks = self._window.clocks
        if clocks:
            now = max([*clocks.values(), *pair_clocks.values()])
            products.extend(self._health.feed([SourceClocks(clocks, now)]))
        return products

    def _dense(self, findings: Sequence[Finding]) -> list[Finding]:
        """The findings with their densities."""
        with self._watch("density"):
            return self._density.feed(findings, self._kp.at)

    def _along(
        self, findings: Sequence[Finding], issued: Sequence[Product], clocks: Mapping[str, int]
    ) -> list[Product]:
        """What follows for the chains; `issued` are the objects of their pairs."""
        if not self._chains.chains:
            return []
        with self._watch("chain"):
            states = self._chains.chain.feed(findings, clocks, self._kp.maximum)
            if self._kp.has_news():
                states += self._chains.chain.kp_changed(self._kp.maximum)
        if not states and not issued:
            return []
        with self._watch("event"):
            return self._chains.issue(states, issued)

    def _found(self, resonances: Sequence[ResonanceBatch]) -> list[Finding]:
        """What the learned chain makes of the estimates, or what they are alone."""
        learned = self._learned
        if learned is None:
            return self._physical.feed(resonances)
        with self._watch("classify"):
            classified = learned.classify.feed(resonances)
        with self._watch("regress"):
            findings = learned.regress.feed(classified)
        with self._watch("track"):
            # A pair that no model is asked about has nothing to follow.
            alone = [finding for finding in findings if "physical_only" in finding.flags]
            return alone + learned.track.feed(
                [finding for finding in findings if "physical_only" not in finding.flags]
            )


@dataclass(frozen=True, slots=True)
class _Learned:
    """The learned stages of one model."""

    classify: ClassifyStage
    regress: RegressStage
    track: TrackStage

    @classmethod
    def of(cls, model: FlrModel, places: Places, windows: WindowParameters, *, smooth: bool) -> _Learned:
        parameters = model.parameters
        track = TrackStage(
            parameters.tracker, parameters.track_weights, windows.cadence_ns, windows.span_ns, smooth=smooth
        )
        return cls(ClassifyStage(model), RegressStage(model, places), track)


@dataclass(slots=True)
class _Kp:
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
class _Chains:
    """The stages that see a whole chain of pairs at once."""

    chains: tuple[Chain, ...]
    chain: ChainStage
    profile: ProfileStage
    plasmapause: PlasmapauseStage
    event: EventStage

    @classmethod
    def of(
        cls, config: Config, stations: Mapping[str, Station], places: Places, windows: WindowParameters
    ) -> _Chains:
        chains, level = config.chain_list, config.plasmapause.level
        times = (windows.cadence_ns, windows.lateness_ns, windows.span_ns)
        chain = ChainStage(
            chains,
            (),
            {code: one.l_shell for code, one in stations.items() if one.l_shell is not None},
            PlasmapauseParameters(),
            level=level,
            widest_l=config.plasmapause.widest_l,
            lateness_ns=windows.lateness_ns,
            remember_ns=windows.span_ns,
            night=config.density.night,
        )
        pairs = tuple({pair for one in chains for pair in one.pairs})
        latitude, longitude = positions_deg(stations, pairs)
        event = EventStage(
            chains,
            _crossing_parameters(config),
            base_url=config.http.public_url or f"http://{config.http.listen}",
            remember_ns=windows.span_ns,
            geometry={
                pair.name: None if lon != lon else (lon, lat)
                for pair, lon, lat in zip(pairs, longitude.tolist(), latitude.tolist(), strict=True)
            },
        )
        return cls(
            chains, chain, ProfileStage(places, *times), PlasmapauseStage(places, level, *times), event
        )

    @property
    def keepers(self) -> dict[str, _Keeper]:
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

    def issue(self, states: Sequence[ChainState], issued: Sequence[Product]) -> list[Product]:
        """The objects that states of chains become; `issued` are those of their pairs, which events name."""
        positions = self.plasmapause.feed(states)
        told = self.event.feed([*issued, *positions, *states])
        return [*self.profile.feed(states), *positions, *told]


def _field(config: Config, stations: Mapping[str, Station], pairs: Sequence[Pair]) -> FieldModel:
    kind, height_km = config.density.field, config.density.ionosphere_km
    return DipoleField(height_km) if kind == "dipole" else TracedField(stations, pairs, kind, height_km)


def _crossing_parameters(config: Config) -> CrossingParameters:
    events = config.events
    return CrossingParameters(
        confirm=events.confirm,
        minimum_windows=events.minimum_windows,
        refractory_ns=_ns(events.refractory_h * 3600.0),
        merge_ns=_ns(events.merge_h * 3600.0),
    )


def _spectral_settings(config: Config) -> SpectralSettings:
    return SpectralSettings(
        window_s=float(config.windows.length_s),
        smoothing_bins=config.spectra.smoothing_bins,
        minimum_frequency_mHz=config.spectra.minimum_frequency_mHz,
        maximum_frequency_mHz=config.spectra.maximum_frequency_mHz,
    )


def _ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)


def conditioning_parameters(config: Config) -> ConditioningParameters:
    """What may be repaired, as configured."""
    return ConditioningParameters(
        bridge_s=config.conditioning.bridge_s,
        minimum_coverage=config.conditioning.minimum_coverage,
        spike_threshold=config.conditioning.spike_threshold,
        maximum_spike_ratio=config.conditioning.maximum_spike_ratio,
    )


def spectrum_parameters(config: Config) -> SpectrumParameters:
    """Smoothing and band, as configured."""
    return SpectrumParameters(
        smoothing_bins=config.spectra.smoothing_bins,
        minimum_frequency_Hz=config.spectra.minimum_frequency_mHz * 1e-3,
        maximum_frequency_Hz=config.spectra.maximum_frequency_mHz * 1e-3,
    )


def resonance_parameters(config: Config) -> ResonanceParameters:
    """What it takes to accept a resonance, as configured."""
    return ResonanceParameters(
        significance=config.resonance.significance,
        minimum_coherence=config.resonance.minimum_coherence,
        timing_offset_s=config.resonance.timing_offset_s,
        timing_bandwidth_Hz=config.resonance.timing_bandwidth_mHz * 1e-3,
    )
