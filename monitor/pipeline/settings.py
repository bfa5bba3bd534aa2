"""Parameters of the stages, as configured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from monitor.config import Config
from monitor.models.flr import SpectralSettings
from monitor.science.conditioning import ConditioningParameters
from monitor.science.debounce import DebounceParameters
from monitor.science.resonance import ResonanceParameters
from monitor.science.spectra import SpectrumParameters
from monitor.stages.craft_window import CraftWindowParameters
from monitor.stages.crossing import HOUR_NS, CrossingParameters
from monitor.stages.density import DipoleField, FieldModel
from monitor.stages.region_label import RegionLabelParameters
from monitor.stages.window import WindowParameters
from monitor.stations import Station
from monitor.types import SECOND_NS, Pair


def window_parameters(config: Config) -> WindowParameters:
    """Length, cadence and patience of the windows."""
    return WindowParameters(
        length_ns=in_ns(config.windows.length_s),
        cadence_ns=in_ns(config.windows.cadence_s),
        lateness_ns=in_ns(config.windows.lateness_s),
        revise_ns=in_ns(config.windows.revise_s),
    )


def spectral_settings(config: Config) -> SpectralSettings:
    """What the spectra are, for models that are held against it."""
    return SpectralSettings(
        window_s=float(config.windows.length_s),
        smoothing_bins=config.spectra.smoothing_bins,
        minimum_frequency_mHz=config.spectra.minimum_frequency_mHz,
        maximum_frequency_mHz=config.spectra.maximum_frequency_mHz,
    )


def in_ns(seconds: float) -> int:
    """Seconds in ns."""
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


def line_field(config: Config, stations: Mapping[str, Station], pairs: Sequence[Pair]) -> FieldModel:
    """The field that lines are in."""
    kind, height_km = config.density.field, config.density.ionosphere_km
    if kind == "dipole":
        return DipoleField(height_km)
    # Imported where it is needed, with the models and what follows their lines: a tenth of the start of a daemon.
    from monitor.stages.traced_field import TracedField

    return TracedField(stations, pairs, kind, height_km)


def crossing_parameters(config: Config) -> CrossingParameters:
    """When a change is an event."""
    events = config.events
    return CrossingParameters(
        confirm=events.confirm,
        minimum_windows=events.minimum_windows,
        refractory_ns=in_ns(events.refractory_h * 3600.0),
        merge_ns=in_ns(events.merge_h * 3600.0),
    )


def craft_window_parameters(config: Config) -> CraftWindowParameters:
    """Hop and patience of the spacecraft's windows."""
    windows = config.craft_windows
    return CraftWindowParameters(
        hop_ns=in_ns(windows.hop_s),
        lateness_ns=in_ns(windows.lateness_s),
        revise_ns=in_ns(windows.revise_s),
        context=windows.context,
        bridge_ratio=windows.bridge_ratio,
    )


def region_label_parameters(config: Config) -> RegionLabelParameters:
    """How labels of regions follow from what the network finds."""
    windows = config.craft_windows
    return RegionLabelParameters(
        DebounceParameters(windows.debounce, in_ns(windows.hop_s)),
        in_ns(windows.length_s),
        craft_window_parameters(config).span_ns,
    )


def craft_crossing_parameters(config: Config) -> CrossingParameters:
    """When a spacecraft has crossed a boundary; counted in windows that do not overlap."""
    events = config.craft_events
    windows = math.ceil(events.minimum_s / config.craft_windows.length_s)
    return CrossingParameters(
        confirm=events.confirm,
        minimum_windows=windows,
        settle_windows=windows,
        refractory_ns=in_ns(events.refractory_s),
        merge_ns=0,
        # A spacecraft leaves a boundary behind within the hour; what nobody saw by then, nobody will.
        patience_ns=HOUR_NS,
    )
