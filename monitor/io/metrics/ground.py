"""The gauges of pairs and of chains, from their newest objects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from monitor.io.metrics.known import add_interval, add_known, add_shares, add_states
from monitor.types import SECOND_NS, Json, Label

_HOUR_S = 3600.0

Subjects = Sequence[tuple[str, int, Mapping[str, Json]]]
"""Name, time of the data (ns) and body of each; the body is empty once it is no longer valid."""


def of_pairs(pairs: Subjects) -> Iterator[Metric]:
    """What is known of each pair's last window."""
    stamp = _gauge(
        "geospace_flr_data_timestamp_seconds", "End of a pair's last window, Unix time of the data."
    )
    label = _gauge(
        "geospace_flr_label", "Whether a pair's last window has this label (1) or not (0).", "label"
    )
    shares = _gauge("geospace_flr_probability_ratio", "Calibrated probability of each label.", "label")
    frequency = _gauge("geospace_flr_frequency_hertz", "Resonance frequency of a pair's last window.")
    slowest = _gauge("geospace_flr_frequency_lower_hertz", "Lower end of the frequency's interval.")
    fastest = _gauge("geospace_flr_frequency_upper_hertz", "Upper end of the frequency's interval.")
    density = _gauge(
        "geospace_flr_density_amu_per_cubic_centimeter",
        "Equatorial plasma mass density of a pair's last window.",
    )
    thinnest = _gauge(
        "geospace_flr_density_lower_amu_per_cubic_centimeter", "Lower end of the density's interval."
    )
    densest = _gauge(
        "geospace_flr_density_upper_amu_per_cubic_centimeter", "Upper end of the density's interval."
    )
    l_shell = _gauge("geospace_flr_l_shell", "L of the pair whose last window is shown.")
    local_time = _gauge(
        "geospace_flr_magnetic_local_time_seconds",
        "Magnetic local time at the centre of a pair's last window, after magnetic midnight.",
    )
    physical = _gauge(
        "geospace_flr_physical_frequency_hertz", "Resonance frequency of the physical estimate alone."
    )
    phase = _gauge("geospace_flr_cross_phase_radians", "Cross-phase at the peak of the physical estimate.")
    coherence = _gauge("geospace_flr_coherence_ratio", "Coherence around the peak of the physical estimate.")
    flag = _gauge("geospace_flr_flag", "Flags of a pair's last window: 1 for each that is set.", "flag")
    coverage = _gauge(
        "geospace_window_coverage_ratio",
        "Share of the samples of a pair's last window that a station gave.",
        "station",
    )
    for pair, time_ns, body in pairs:
        here = (pair,)
        stamp.add_metric(here, time_ns / SECOND_NS)
        add_states(label, here, Label, body.get("label"))
        add_shares(shares, pair, body.get("probability"))
        add_known(frequency, here, body.get("frequency_mHz"), 1e-3)
        add_interval(slowest, fastest, here, body.get("frequency_interval_mHz"), 1e-3)
        add_known(density, here, body.get("density_amu_cm3"))
        add_interval(thinnest, densest, here, body.get("density_interval_amu_cm3"))
        add_known(l_shell, here, body.get("l_shell"))
        add_known(local_time, here, body.get("mlt_h"), _HOUR_S)
        estimate = body.get("physical") or {}
        add_known(physical, here, estimate.get("frequency_mHz"), 1e-3)
        add_known(phase, here, estimate.get("cross_phase_deg"), math.pi / 180.0)
        add_known(coherence, here, estimate.get("coherence"))
        for name in body.get("flags") or ():
            flag.add_metric((pair, name), 1.0)
        add_shares(coverage, pair, body.get("coverage"))
    yield from (stamp, label, shares, frequency, slowest, fastest, density, thinnest, densest)
    yield from (l_shell, local_time, physical, phase, coherence, flag, coverage)


def of_chains(chains: Subjects) -> Iterator[Metric]:
    """What is known of each chain's plasmapause."""
    stamp = _of_chain(
        "geospace_plasmapause_data_timestamp_seconds", "End of a chain's last window, Unix time of the data."
    )
    l_shell = _of_chain("geospace_plasmapause_l_shell", "L of the plasmapause in a chain's last window.")
    inner = _of_chain(
        "geospace_plasmapause_lower_l_shell", "Lower end of the interval of the plasmapause's L."
    )
    outer = _of_chain(
        "geospace_plasmapause_upper_l_shell", "Upper end of the interval of the plasmapause's L."
    )
    local_time = _of_chain(
        "geospace_plasmapause_magnetic_local_time_seconds",
        "Magnetic local time at which a chain sees the plasmapause, after magnetic midnight.",
    )
    for chain, time_ns, body in chains:
        here = (chain,)
        stamp.add_metric(here, time_ns / SECOND_NS)
        add_known(l_shell, here, body.get("l_shell"))
        add_interval(inner, outer, here, body.get("l_interval"))
        add_known(local_time, here, body.get("mlt_h"), _HOUR_S)
    yield from (stamp, l_shell, inner, outer, local_time)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=("pair", *labels))


def _of_chain(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=("chain",))
