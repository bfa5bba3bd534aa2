"""The pipeline: all stages from samples to products. Live, replayed and offline data take the same way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from monitor.config import Config
from monitor.models.base import ModelInfo
from monitor.models.flr import FlrModel, load_flr
from monitor.pipeline.chains import Chains, Keeper, Kp
from monitor.pipeline.settings import (
    conditioning_parameters,
    line_field,
    resonance_parameters,
    spectral_settings,
    spectrum_parameters,
    window_parameters,
)
from monitor.pipeline.space import Space, Watch, craft_patience
from monitor.stages.admission import Admission
from monitor.stages.classify import ClassifyStage
from monitor.stages.density import DensityStage
from monitor.stages.health import HealthStage, SourceClocks
from monitor.stages.indices import KpMemory
from monitor.stages.place import Places
from monitor.stages.product import ProductStage
from monitor.stages.regress import PhysicalStage, RegressStage
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.stages.spectrum_product import SpectrumProductStage
from monitor.stages.track import TrackStage
from monitor.stages.window import WindowParameters, WindowStage
from monitor.types import (
    Domain,
    Finding,
    Json,
    Product,
    ResonanceBatch,
    SampleBlock,
    Tick,
    WindowBatch,
)


class Pipeline:
    """Samples in, products out; no clock, no input or output.

    Parameters
    ----------
    config : Config
    watch : callable, optional
        Called with a stage's name around each of its turns: whoever owns a clock can time it.
    smooth : bool
        Offline: let later windows speak too. All `flr` objects come with `flush` then.

    Raises
    ------
    ModelError
        A learned model that the configuration names cannot be used.
    """

    def __init__(
        self, config: Config, watch: Watch = lambda _stage: nullcontext(), *, smooth: bool = False
    ) -> None:
        self._watch = watch
        stations, pairs = config.station_table(), config.pair_list
        used = {code: stations[code] for pair in pairs for code in pair.stations}
        windows = window_parameters(config)
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
        model = load_flr(config.models.flr, spectral_settings(config))
        self._learned = None if model is None else _Learned.of(model, places, windows, smooth=smooth)
        info = None if model is None else model.info
        self._space = Space.of(config, watch)
        self._models = (() if info is None else (info,)) + self._space.models
        self._product = ProductStage(
            windows.cadence_ns,
            windows.lateness_ns,
            windows.span_ns,
            model=None if info is None else info.label,
        )
        self._kp = Kp(config.density.kp, KpMemory(windows.span_ns))
        self._density = DensityStage(line_field(config, used, pairs), night=config.density.night)
        self._chains = Chains.of(config, used, places, windows)
        self._spectra = SpectrumProductStage(windows.span_ns) if config.outputs.spectra else None
        self._health = HealthStage(
            pairs_of, windows.lateness_ns, windows.cadence_ns, config.craft, craft_patience(config)
        )
        self._keepers: dict[str, Keeper] = {
            "admission": self._admission,
            "window": self._window,
            "product": self._product,
            "health": self._health,
            "kp": self._kp.memory,
            **self._chains.keepers,
            **self._space.keepers,
        }
        if self._learned is not None:
            self._keepers["track"] = self._learned.track
        if self._spectra is not None:
            self._keepers["spectra"] = self._spectra

    @property
    def lookback_ns(self) -> int:
        """How much input of the ground before now a restart needs."""
        return self._window.lookback_ns

    @property
    def craft_lookback_ns(self) -> int:
        """How much input of spacecraft before now a restart needs."""
        return self._space.window.lookback_ns

    @property
    def kp_lookback_ns(self) -> int:
        """How much of Kp before now a restart without states needs."""
        return self._kp.memory.lookback_ns

    @property
    def source_clocks(self) -> dict[str, int]:
        """Largest sample end of every station and spacecraft (ns)."""
        return {**self._window.clocks, **self._space.window.clocks}

    @property
    def product_clocks(self) -> dict[str, int]:
        """Product clock of every pair, chain and spacecraft that has begun (ns)."""
        clocks = self._window.pair_clocks
        return {**clocks, **self._chains.clocks(clocks), **self._space.window.craft_clocks}

    @property
    def health_states(self) -> dict[str, str]:
        """Last health state of every station and spacecraft."""
        return self._health.states()

    @property
    def too_late_samples(self) -> int:
        """Samples that came after the time for which they could still change a product."""
        return self._window.too_late_samples + self._space.window.too_late_samples

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """The learned models at work; for resonances none where the physical estimate is alone."""
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
        return [*self._onward(windows), *self._space.feed(items, self._health)]

    def flush(self) -> list[Product]:
        """End an offline run: close every window that ends at or before its pair's clock."""
        products = self._onward(self._window.flush())
        if self._learned is not None:
            findings = self._dense(self._learned.track.flush())
            issued = self._product.feed(findings)
            products += [*issued, *self._along(findings, issued, self._window.pair_clocks)]
        products.extend(self._chains.issue(self._chains.chain.flush(self._kp.maximum), []))
        products.extend(self._space.flush(self._health))
        return products

    def load(self, blocks: Iterable[SampleBlock]) -> None:
        """Fill the memory with samples of earlier runs, without computing anything."""
        known = list(blocks)
        self._kp.memory.feed(known)
        self._window.load(block for block in known if block.domain is Domain.GROUND)
        self._space.load(known)

    def adopt_events(self, documents: Iterable[Mapping[str, Json]]) -> None:
        """Take over events from their newest stored updates, where the states are lost."""
        known = list(documents)
        self._chains.event.adopt(known)
        self._space.adopt_events(known)

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
