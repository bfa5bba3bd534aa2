"""The pipeline: all stages from samples to products. Live, replayed and offline data take the same way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from monitor.config import Config, shadow_sources, shadow_subjects
from monitor.models.base import ModelInfo
from monitor.models.flr import FlrModel
from monitor.pipeline.added import Added
from monitor.pipeline.chains import Chains, Keeper, Kp
from monitor.pipeline.guard import ALL, Failure, Guard, Watch, items_of, pairs_in, rows_of
from monitor.pipeline.loading import flr_model, loaded
from monitor.pipeline.settings import (
    conditioning_parameters,
    line_field,
    resonance_parameters,
    spectrum_parameters,
    window_parameters,
)
from monitor.pipeline.space import Space, craft_patience, real
from monitor.plugins.models import PluggedModels, no_plugged_models
from monitor.stages.admission import Admission
from monitor.stages.base import ProductStage
from monitor.stages.classify import ClassifyStage
from monitor.stages.density import DensityStage
from monitor.stages.health import HealthStage, SourceClocks
from monitor.stages.indices import KpMemory
from monitor.stages.place import Places
from monitor.stages.product import ProductStage as FlrProductStage
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
    SpectrumBatch,
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
    on_failure : callable, optional
        Live: told of each subject that a stage raised for. The other subjects and stages go on, and so does a pipeline
        without a learned model that cannot be used (`missing_models`). Without it whatever is raised is raised.
    added : mapping, optional
        Stages of plugins, by their names in the configuration; what they say comes after all else of the same input.
    spectra : bool
        Give the `spectrum` objects also where they are not configured.
    models : callable, optional
        Gives the learned models of plugins by the names under `models`.

    Raises
    ------
    ModelError
        A learned model that the configuration names cannot be used, and there is no `on_failure`.
    """

    def __init__(
        self,
        config: Config,
        watch: Watch = lambda _stage: nullcontext(),
        *,
        smooth: bool = False,
        on_failure: Callable[[Failure], None] | None = None,
        spectra: bool = False,
        added: Mapping[str, ProductStage] | None = None,
        models: PluggedModels = no_plugged_models,
    ) -> None:
        # What is fed with synthetic signals is labelled like all else, and nothing real is held against it.
        self._shadows = shadow_sources(config.injection) | shadow_subjects(config.injection)
        self._guard = Guard(watch, on_failure)
        self._watch = self._guard.watch
        self._added = Added(added or {}, self._guard, self._shadows)
        self._missing: dict[str, str] = {}
        missing = None if on_failure is None else self._missing
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
        model = loaded("flr", lambda: flr_model(config, models), missing)
        self._learned = None if model is None else _Learned.of(model, places, windows, smooth=smooth)
        info = None if model is None else model.info
        self._space = Space.of(config, self._guard, missing, models)
        self._models = (() if info is None else (info,)) + self._space.models
        self._product = FlrProductStage(
            windows.cadence_ns,
            windows.lateness_ns,
            windows.span_ns,
            model=None if info is None else info.label,
            shadows=self._shadows,
        )
        self._kp = Kp(config.density.kp, KpMemory(windows.span_ns))
        self._density = DensityStage(line_field(config, used, pairs), night=config.density.night)
        self._chains = Chains.of(config, used, places, windows, self._guard)
        wants_spectra = spectra or config.outputs.spectra
        self._spectra = SpectrumProductStage(windows.span_ns) if wants_spectra else None
        self._health = HealthStage(
            pairs_of,
            windows.lateness_ns,
            windows.cadence_ns,
            config.craft,
            craft_patience(config),
            shadows=self._shadows,
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
        return max(self._window.lookback_ns, self._added.lookback_ns)

    @property
    def craft_lookback_ns(self) -> int:
        """How much input of spacecraft before now a restart needs."""
        return max(self._space.window.lookback_ns, self._added.lookback_ns)

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

    @property
    def missing_models(self) -> Mapping[str, str]:
        """A line for each kind of learned model that the configuration names and that cannot be used."""
        return dict(self._missing)

    @property
    def failing(self) -> Mapping[str, str]:
        """A line for each stage that raised and has not worked since."""
        return self._guard.failing

    def admit(self, block: SampleBlock) -> None:
        """Let a block in before it is stored, or raise DecodeError with the reason."""
        self._admission.admit(block)

    def feed(self, items: Sequence[SampleBlock] | Tick) -> list[Product]:
        """Take admitted blocks, or time that passed while no input waited; return what they complete."""
        if isinstance(items, Tick):
            ground: Sequence[SampleBlock] | Tick = items
        else:
            ground = [block for block in items if _is_vector(block)]
            self._kp.memory.feed(items)
        products = [*self._onward(self._windows(ground)), *self._space.feed(items, self._health)]
        return [*products, *self._added.feed(items, products)]

    def flush(self) -> list[Product]:
        """End an offline run: close every window that ends at or before its pair's clock."""
        products = self._onward(self._window.flush())
        if self._learned is not None:
            findings = self._dense(self._learned.track.flush())
            issued = self._issued(findings)
            products += [*issued, *self._along(findings, issued, self._window.pair_clocks)]
        products.extend(self._chains.flush(self._kp))
        products.extend(self._space.flush(self._health))
        return [*products, *self._added.feed([], products)]

    def load(self, blocks: Iterable[SampleBlock]) -> None:
        """Fill the memory with samples of earlier runs, without computing anything."""
        known = list(blocks)
        self._kp.memory.feed(known)
        self._window.load(block for block in known if _is_vector(block))
        self._space.load(known)
        self._added.load(known)

    def adopt_events(self, documents: Iterable[Mapping[str, Json]]) -> None:
        """Take over events from their newest stored updates, where the states are lost."""
        known = list(documents)
        self._chains.event.adopt(known)
        self._space.adopt_events(known)

    def snapshot(self) -> dict[str, Json]:
        """State of every stage that keeps one, by stage."""
        own = {name: stage.snapshot() for name, stage in self._keepers.items()}
        return own | self._added.snapshot()

    def restore(self, states: Mapping[str, Json]) -> None:
        """Take up what `snapshot` gave; ValueError where a stage cannot read its state."""
        for name, stage in self._keepers.items():
            if name in states:
                stage.restore(states[name])
        self._added.restore(states)

    def _windows(self, items: Sequence[SampleBlock] | Tick) -> list[WindowBatch]:
        """The windows that samples, or the passing of time, close."""
        with self._watch("window"):
            if isinstance(items, Tick):
                return self._guard.alone("window", ALL, lambda: self._window.feed(items))
            # To take in a block twice is to take it in once.
            found = self._guard.together("window", list(items), _sources, items_of, self._window.feed)
        return [window for part in found for window in part]

    def _onward(self, windows: Sequence[WindowBatch]) -> list[Product]:
        products: list[Product] = []
        found: list[Finding] = []
        for window in windows:
            for spectra, resonances, raw in self._guard.together(
                "estimate", window, pairs_in, rows_of, self._estimated
            ):
                findings = self._dense(self._tracked(raw))
                found += findings
                with self._watch("product"):
                    products += self._issued(findings)
                    products += self._told(spectra, resonances)
        pair_clocks = self._window.pair_clocks
        products += self._along(found, products, pair_clocks)
        clocks = real(self._window.clocks, self._shadows)
        if clocks:
            now_ns = max([*clocks.values(), *real(pair_clocks, self._shadows).values()])
            reading = SourceClocks(clocks, now_ns)
            products += self._guard.alone("health", ALL, lambda: self._health.feed([reading]))
        return products

    def _estimated(
        self, window: WindowBatch
    ) -> tuple[Sequence[SpectrumBatch], Sequence[ResonanceBatch], list[Finding]]:
        """All that is made of a window without knowing those before it."""
        with self._watch("spectrum"):
            spectra = self._spectrum.feed([window])
        with self._watch("resonance"):
            resonances = self._resonance.feed(spectra)
        return spectra, resonances, self._found(resonances)

    def _found(self, resonances: Sequence[ResonanceBatch]) -> list[Finding]:
        """What the learned chain makes of the estimates, or what they are alone."""
        learned = self._learned
        if learned is None:
            return self._physical.feed(resonances)
        with self._watch("classify"):
            classified = learned.classify.feed(resonances)
        with self._watch("regress"):
            return learned.regress.feed(classified)

    def _tracked(self, findings: list[Finding]) -> list[Finding]:
        """What the windows before make of findings. A pair that no model is asked about has nothing to follow."""
        if self._learned is None:
            return findings
        track = self._learned.track
        alone = [finding for finding in findings if "physical_only" in finding.flags]
        asked = [finding for finding in findings if "physical_only" not in finding.flags]
        with self._watch("track"):
            found = self._guard.together("track", asked, _subjects, items_of, track.feed, track.forget)
        return alone + [finding for part in found for finding in part]

    def _dense(self, findings: list[Finding]) -> list[Finding]:
        """The findings with their densities."""
        with self._watch("density"):
            found = self._guard.together(
                "density", findings, _subjects, items_of, lambda some: self._density.feed(some, self._kp.at)
            )
        return [finding for part in found for finding in part]

    def _issued(self, findings: Sequence[Finding]) -> list[Product]:
        """The `flr` objects of findings."""
        return [
            product
            for finding in findings
            for product in self._guard.alone(
                "product", finding.pair.name, partial(self._product.feed, [finding])
            )
        ]

    def _told(self, spectra: Sequence[SpectrumBatch], resonances: Sequence[ResonanceBatch]) -> list[Product]:
        """What else is said of windows: their spectra, and the health of their stations."""
        said: list[Product] = []
        if self._spectra is not None:
            said += self._guard.alone("spectra", ALL, partial(self._spectra.feed, spectra))
        return said + self._guard.alone("health_window", ALL, lambda: self._health.feed(resonances))

    def _along(
        self, findings: Sequence[Finding], issued: Sequence[Product], clocks: Mapping[str, int]
    ) -> list[Product]:
        """What follows for the chains; `issued` are the objects of their pairs."""
        if not self._chains.chains:
            return []
        with self._watch("chain"):
            states = self._chains.states(findings, clocks, self._kp)
        if not states and not issued:
            return []
        with self._watch("event"):
            return self._chains.issue(states, issued)


def _subjects(findings: Sequence[Finding]) -> list[str]:
    return [finding.pair.name for finding in findings]


def _is_vector(block: SampleBlock) -> bool:
    """Whether windows are made of it: what a scalar instrument measured beside the vector moves no clock."""
    return block.domain is Domain.GROUND and not block.is_scalar


def _sources(blocks: Sequence[SampleBlock]) -> list[str]:
    return [block.source for block in blocks]


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
