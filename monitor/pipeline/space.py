"""The space side: from samples of spacecraft to windows, regions, labels and crossings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from monitor.config import Config
from monitor.models.base import ModelInfo
from monitor.models.region import load_region
from monitor.pipeline.chains import Keeper
from monitor.pipeline.settings import (
    craft_crossing_parameters,
    craft_window_parameters,
    in_ns,
    region_label_parameters,
)
from monitor.stages.craft_event import CraftEventStage
from monitor.stages.craft_window import CraftWindowStage
from monitor.stages.health import HealthStage, Patience, SourceClocks
from monitor.stages.region import RegionReader, RegionStage
from monitor.stages.region_label import RegionLabelStage
from monitor.stages.region_product import RegionProductStage
from monitor.types import CraftHole, CraftStretch, Domain, Json, Product, SampleBlock, Tick

Watch = Callable[[str], AbstractContextManager[object]]
"""Called with a stage's name around each of its turns."""

_OFFLINE_WINDOWS = 10


@dataclass(frozen=True, slots=True)
class Space:
    """The stages of the spacecraft. Without spacecraft none of them does anything.

    Attributes
    ----------
    craft : tuple of str
    window, region, label, product, event
        The stages in their order.
    watch : callable
    models : tuple of ModelInfo
        The network, where there is one.
    """

    craft: tuple[str, ...]
    window: CraftWindowStage
    region: RegionStage
    label: RegionLabelStage
    product: RegionProductStage
    event: CraftEventStage
    watch: Watch
    models: tuple[ModelInfo, ...]

    @classmethod
    def of(cls, config: Config, watch: Watch) -> Space:
        """The stages as configured; ModelError where the model that the configuration names cannot be used."""
        model = load_region(config.models.region) if config.craft else None
        info = None if model is None else model.info
        return cls.with_model(config, watch, model, () if info is None else (info,))

    @classmethod
    def with_model(
        cls, config: Config, watch: Watch, model: RegionReader | None, models: tuple[ModelInfo, ...] = ()
    ) -> Space:
        """The stages about a network that is already there."""
        windows, labels = craft_window_parameters(config), region_label_parameters(config)
        # A revision may also change what is said of the windows around it.
        remember_ns = windows.span_ns + 2 * labels.neighbour_ns
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
            ),
            event=CraftEventStage(
                config.craft,
                craft_crossing_parameters(config),
                length_ns=labels.length_ns,
                hop_ns=windows.hop_ns,
                base_url=config.http.public_url or f"http://{config.http.listen}",
                remember_ns=windows.span_ns,
            ),
            watch=watch,
            models=models,
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
        if not isinstance(items, Tick):
            items = [block for block in items if block.domain is Domain.CRAFT]
        with self.watch("craft_window"):
            windows = self.window.feed(items)
        return self._onward(windows, health)

    def flush(self, health: HealthStage) -> list[Product]:
        """End an offline run: close every window that ends at or before its spacecraft's clock."""
        return self._onward(self.window.flush(), health) if self.craft else []

    def load(self, blocks: Iterable[SampleBlock]) -> None:
        """Fill the memory with samples of earlier runs, without computing anything."""
        self.window.load(block for block in blocks if block.domain is Domain.CRAFT)

    def adopt_events(self, documents: Iterable[Mapping[str, Json]]) -> None:
        """Take over events from their newest stored updates, where the states are lost."""
        self.event.adopt(documents)

    def _onward(self, windows: Sequence[CraftStretch | CraftHole], health: HealthStage) -> list[Product]:
        products: list[Product] = []
        if windows:
            with self.watch("region"):
                findings = self.region.feed(windows)
            with self.watch("region_product"):
                products += self.product.feed(self.label.feed(findings))
            with self.watch("craft_event"):
                products += self.event.feed([*products, *findings])
        clocks = self.window.clocks
        if clocks:
            now_ns = max(self.window.craft_clocks.values())
            products += health.feed([*windows, SourceClocks(clocks, now_ns, Domain.CRAFT)])
        return products


def craft_patience(config: Config) -> Patience | None:
    """When a spacecraft is late (who sends a window at a time is not), and when it is offline: ten windows without a sample."""
    if not config.craft:
        return None
    windows = config.craft_windows
    return Patience(in_ns(windows.lateness_s + windows.hop_s), _OFFLINE_WINDOWS * in_ns(windows.length_s))
