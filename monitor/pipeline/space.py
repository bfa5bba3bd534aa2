"""The space side: from samples of spacecraft to windows, regions, labels and crossings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from monitor.config import Config, shadow_subjects
from monitor.models.base import ModelInfo
from monitor.pipeline.chains import Keeper
from monitor.pipeline.guard import ALL, Guard, items_of
from monitor.pipeline.loading import loaded, region_model
from monitor.pipeline.settings import (
    craft_crossing_parameters,
    craft_window_parameters,
    in_ns,
    region_label_parameters,
)
from monitor.plugins.models import PluggedModels, no_plugged_models
from monitor.stages.craft_event import CraftEventStage
from monitor.stages.craft_window import CraftWindowStage
from monitor.stages.health import HealthStage, Patience, SourceClocks
from monitor.stages.region import RegionReader, RegionStage
from monitor.stages.region_label import RegionLabelStage
from monitor.stages.region_product import RegionProductStage
from monitor.types import (
    CraftHole,
    CraftStretch,
    Domain,
    Json,
    Product,
    RegionFinding,
    SampleBlock,
    Tick,
)

_OFFLINE_WINDOWS = 10


@dataclass(frozen=True, slots=True)
class Space:
    """The stages of the spacecraft. Without spacecraft none of them does anything.

    Attributes
    ----------
    craft : tuple of str
    window, region, label, product, event
        The stages in their order.
    guard : Guard
    models : tuple of ModelInfo
        The network, where there is one.
    shadows : frozenset of str
        Those that are fed with synthetic signals: they have regions, but cross nothing.
    """

    craft: tuple[str, ...]
    window: CraftWindowStage
    region: RegionStage
    label: RegionLabelStage
    product: RegionProductStage
    event: CraftEventStage
    guard: Guard
    models: tuple[ModelInfo, ...]
    shadows: frozenset[str]

    @classmethod
    def of(
        cls,
        config: Config,
        guard: Guard,
        missing: dict[str, str] | None = None,
        models: PluggedModels = no_plugged_models,
    ) -> Space:
        """The stages as configured; a model that cannot be used is told in `missing`, else ModelError is raised."""
        model = loaded("region", lambda: region_model(config, models), missing)
        info = None if model is None else model.info
        return cls.with_model(config, guard, model, () if info is None else (info,))

    @classmethod
    def with_model(
        cls, config: Config, guard: Guard, model: RegionReader | None, models: tuple[ModelInfo, ...] = ()
    ) -> Space:
        """The stages about a network that is already there."""
        windows, labels = craft_window_parameters(config), region_label_parameters(config)
        # A revision may also change what is said of the windows around it.
        remember_ns = windows.span_ns + 2 * labels.neighbour_ns
        shadows = shadow_subjects(config.injection)
        return cls(
            craft=config.craft,
            window=CraftWindowStage(config.craft, windows),
            region=RegionStage(model),
            label=RegionLabelStage(labels),
            product=RegionProductStage(
                labels.length_ns,
                windows.hop_ns,
                windows.patience_ns,
                remember_ns,
                model=models[0].label if models else None,
                shadows=shadows,
            ),
            event=CraftEventStage(
                [craft for craft in config.craft if craft not in shadows],
                craft_crossing_parameters(config),
                length_ns=labels.length_ns,
                hop_ns=windows.hop_ns,
                base_url=config.http.public_url or f"http://{config.http.listen}",
                remember_ns=windows.span_ns,
            ),
            guard=guard,
            models=models,
            shadows=shadows,
        )

    @property
    def keepers(self) -> dict[str, Keeper]:
        """The stages that keep state, by their names."""
        if not self.craft:
            return {}
        return {
            "craft_window": self.window,
            "region_label": self.label,
            "region": self.product,
            "craft_event": self.event,
        }

    def feed(self, items: Sequence[SampleBlock] | Tick, health: HealthStage) -> list[Product]:
        """Take blocks, or time that passed; return what they complete, the health of spacecraft among it."""
        if not self.craft:
            return []
        return self._onward(self._windows(items), health)

    def flush(self, health: HealthStage) -> list[Product]:
        """End an offline run: close every window that ends at or before its spacecraft's clock."""
        return self._onward(self.window.flush(), health) if self.craft else []

    def load(self, blocks: Iterable[SampleBlock]) -> None:
        """Fill the memory with samples of earlier runs, without computing anything."""
        self.window.load(block for block in blocks if block.domain is Domain.CRAFT)

    def adopt_events(self, documents: Iterable[Mapping[str, Json]]) -> None:
        """Take over events from their newest stored updates, where the states are lost."""
        self.event.adopt(documents)

    def _windows(self, items: Sequence[SampleBlock] | Tick) -> list[CraftStretch | CraftHole]:
        """The windows that samples, or the passing of time, close."""
        with self.guard.watch("craft_window"):
            if isinstance(items, Tick):
                return self.guard.alone("craft_window", ALL, lambda: self.window.feed(items))
            blocks = [block for block in items if block.domain is Domain.CRAFT]
            # To take in a block twice is to take it in once.
            found = self.guard.together("craft_window", blocks, _sources, items_of, self.window.feed)
        return [window for part in found for window in part]

    def _onward(self, windows: Sequence[CraftStretch | CraftHole], health: HealthStage) -> list[Product]:
        products: list[Product] = []
        if windows:
            with self.guard.watch("region"):
                read = self.guard.together("region", list(windows), _crafts, items_of, self.region.feed)
            # All pieces side by side, as one batch would have them.
            by_craft: dict[str, list[RegionFinding]] = defaultdict(list)
            for finding in sorted((one for part in read for one in part), key=lambda one: one.end_ns):
                by_craft[finding.craft].append(finding)
            with self.guard.watch("region_product"):
                issued = {craft: self._issued(craft, findings) for craft, findings in by_craft.items()}
            with self.guard.watch("craft_event"):
                events = [
                    product
                    for craft, findings in by_craft.items()
                    if craft not in self.shadows
                    for product in self.guard.alone(
                        "craft_event", craft, partial(self.event.feed, [*issued[craft], *findings])
                    )
                ]
            products = [*chain.from_iterable(issued.values()), *events]
        clocks = real(self.window.clocks, self.shadows)
        if clocks:
            now_ns = max(real(self.window.craft_clocks, self.shadows).values())
            reading = [*windows, SourceClocks(clocks, now_ns, Domain.CRAFT)]
            products += self.guard.alone("craft_health", ALL, lambda: health.feed(reading))
        return products

    def _issued(self, craft: str, findings: Sequence[RegionFinding]) -> list[Product]:
        """The `region` objects of one spacecraft."""
        alone = self.guard.alone
        labels = alone("region_label", craft, partial(self.label.feed, findings), self.label.forget)
        return [
            product
            for label in labels
            for product in alone("region_product", craft, partial(self.product.feed, [label]))
        ]


def _sources(blocks: Sequence[SampleBlock]) -> list[str]:
    return [block.source for block in blocks]


def _crafts(windows: Sequence[CraftStretch | CraftHole]) -> list[str]:
    return [window.craft for window in windows]


def real(clocks: Mapping[str, int], shadows: Collection[str]) -> dict[str, int]:
    """The clocks of what is there."""
    return {name: clock for name, clock in clocks.items() if name not in shadows}


def craft_patience(config: Config) -> Patience | None:
    """When a spacecraft is late (who sends a window at a time is not), and when it is offline: ten windows without a sample."""
    if not config.craft:
        return None
    windows = config.craft_windows
    return Patience(in_ns(windows.lateness_s + windows.hop_s), _OFFLINE_WINDOWS * in_ns(windows.length_s))
