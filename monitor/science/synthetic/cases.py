"""One random case of two stations: what is there, drawn from `CaseRanges`, before any sample is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from monitor.science.synthetic.draws import Draws, named_generator
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.ranges import TRAINING, CaseRanges
from monitor.stations import invariant_latitude_deg, l_shell_at
from monitor.types import SECOND_NS, FloatArray

STATIONS: Final = ("P", "E")
"""Poleward and equatorward: the order of all rows and pairs of values."""

_HOUR_NS: Final = 3600 * SECOND_NS
_LOWEST_L = 1.25
_OBLIQUITY_DEG = 23.44
_HORIZON_DEG = 100.6
_TWILIGHT_DEG = 4.0


@dataclass(frozen=True, slots=True)
class Waves:
    """Driver and other coherent waves; the units and meanings are those of `CaseRanges`, 0 where there is none."""

    driver_nT2_Hz: float
    driver_slope: float
    upstream_Hz: float
    upstream_gain: float
    night_share: float
    packet_spread: float
    packet_s: float
    packets_per_h: float
    packet_nT: float
    packet_Hz: float
    train_nT: float
    train_Hz: float
    substorm_nT: float
    substorm_Hz: float
    commencement_nT: float
    direct_share: float
    background_share: float
    background_slope: float
    delay_s: float
    sq_nT: float
    slow_rms_nT: float


@dataclass(frozen=True, slots=True)
class StationCase:
    """One station: its place, its own noise, and what goes wrong (0, None or False where nothing does).

    `dead_share` is how far into the case the channel sticks, 0 to 1; below 0 it has stuck before.
    """

    l_shell: float
    gain: float
    quality: float
    noise_nT2_Hz: float
    cultural_nT: float
    drift_nT_h: float
    quantum_nT: float
    spikes_per_h: float
    steps: int
    gaps: int
    clock_offset_s: float
    clock_ramp_s_h: float
    dead_share: float | None
    swapped_component: bool


@dataclass(frozen=True, slots=True)
class Case:
    """Everything about a case but its random samples. The stations stand poleward first.

    Attributes
    ----------
    seed : int
    ranges : CaseRanges
        What it was drawn from; `simulate` draws sizes of spikes, steps and gaps from it.
    start_ns, span_ns, step_ns : int
    latitude_deg, longitude_deg : float
        Geographic position of the pair's middle; the magnetic latitude is that of `l_shell`.
    l_shell : float
        Midway between the stations in magnetic latitude.
    plasma : PlasmaModel
    night_quality, coupling, third_harmonic : float
        Of the oscillators; a coupling of 0 is no resonance at all. The third harmonic may be negative.
    waves : Waves
    stations : tuple of StationCase
        Poleward, equatorward.
    noise_slope, noise_latitude, white_nT2_Hz, auroral_gain : float
        What the local noise of both has in common.
    swapped_stations : bool
        The record of each runs under the other's name.
    """

    seed: int
    ranges: CaseRanges
    start_ns: int
    span_ns: int
    step_ns: int
    latitude_deg: float
    longitude_deg: float
    l_shell: float
    plasma: PlasmaModel
    night_quality: float
    coupling: float
    third_harmonic: float
    waves: Waves
    stations: tuple[StationCase, StationCase]
    noise_slope: float
    noise_latitude: float
    white_nT2_Hz: float
    auroral_gain: float
    swapped_stations: bool

    @property
    def end_ns(self) -> int:
        """End of the case."""
        return self.start_ns + self.span_ns

    @property
    def magnetic_latitude_deg(self) -> float:
        """Of the pair's middle, north."""
        return invariant_latitude_deg(self.l_shell)

    def generator(self, name: str) -> np.random.Generator:
        """The generator of everything called by this name: no draw disturbs another."""
        return named_generator((self.ranges.stream, self.seed), name)

    def local_time_h(self, time_ns: FloatArray) -> FloatArray:
        """Mean solar time (h, 0 to 24) at the pair, shape like `time_ns`."""
        hours: FloatArray = (time_ns / _HOUR_NS + self.longitude_deg / 15.0) % 24.0
        return hours

    def sunlight(self, time_ns: FloatArray) -> FloatArray:
        """How sunlit the ionosphere is at both ends of the field line, 0 to 1, shape (2, n)."""
        zenith = np.stack([self._zenith_deg(time_ns, end) for end in (1.0, -1.0)])
        light: FloatArray = 0.5 - 0.5 * np.tanh((zenith - _HORIZON_DEG) / _TWILIGHT_DEG)
        return light

    def illumination(self, time_ns: int) -> str:
        """`day`, `penumbra` or `night`: both, one or none of the footpoints is sunlit at 110 km."""
        lit = int((self.sunlight(np.array([float(time_ns)]))[:, 0] > 0.5).sum())
        return ("night", "penumbra", "day")[lit]

    def _zenith_deg(self, time_ns: FloatArray, hemisphere: float) -> FloatArray:
        """Solar zenith angle at the pair (1) or at the other end of its field line (−1), good to about a degree."""
        year_days = (time_ns / _HOUR_NS / 24.0) % 365.25
        declination = np.radians(-_OBLIQUITY_DEG) * np.cos(2.0 * np.pi * (year_days + 10.0) / 365.25)
        tilt_deg = self.latitude_deg - self.magnetic_latitude_deg
        latitude = math.radians(hemisphere * self.magnetic_latitude_deg + tilt_deg)
        hour_angle = 2.0 * np.pi * (self.local_time_h(time_ns) - 12.0) / 24.0
        height = math.sin(latitude) * np.sin(declination)
        height = height + math.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
        zenith: FloatArray = np.degrees(np.arccos(np.clip(height, -1.0, 1.0)))
        return zenith


def draw_case(seed: int, ranges: CaseRanges = TRAINING) -> Case:
    """Draw one case; the same seed and ranges always give the same.

    Raises
    ------
    ValueError
        For a negative seed.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    draws = Draws((ranges.stream, seed), ranges)
    l_shell = draws.value("l_shell")
    shells = _station_shells(l_shell, draws.value("spacing_deg"))
    coarse = draws.happens("coarse_step") and l_shell >= ranges.coarse_step_minimum_l
    span_ns = round(ranges.span_h * _HOUR_NS)
    start_ns = _start_ns(draws, ranges)
    return Case(
        seed=seed,
        ranges=ranges,
        start_ns=start_ns,
        span_ns=span_ns,
        step_ns=(10 if coarse else 1) * SECOND_NS,
        latitude_deg=invariant_latitude_deg(l_shell) + draws.value("tilt_deg"),
        longitude_deg=float(draws.generator("longitude").uniform(-180.0, 180.0)),
        l_shell=l_shell,
        plasma=_plasma(draws, shells, start_ns, span_ns),
        night_quality=draws.value("night_quality"),
        coupling=0.0 if draws.happens("uncoupled") else draws.value("coupling"),
        third_harmonic=_signed(draws, "third_harmonic", "third_harmonic"),
        waves=_waves(draws),
        stations=(_station(draws, 0, shells), _station(draws, 1, shells)),
        noise_slope=draws.value("noise_slope"),
        noise_latitude=draws.value("noise_latitude"),
        white_nT2_Hz=draws.value("white_nT2_Hz"),
        auroral_gain=draws.value("auroral_gain") if draws.happens("auroral") else 1.0,
        swapped_stations=draws.happens("swapped_stations"),
    )


def _station_shells(l_shell: float, spacing_deg: float) -> tuple[float, float]:
    """L of the poleward and the equatorward station, half the spacing off the middle."""
    middle = invariant_latitude_deg(l_shell)
    poleward, equatorward = (l_shell_at(middle + half * spacing_deg) for half in (0.5, -0.5))
    return poleward, max(equatorward, _LOWEST_L)


def _start_ns(draws: Draws, ranges: CaseRanges) -> int:
    """A full half hour in the years of the ranges."""
    first, last = (
        int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) // 1800
        for year in (ranges.first_year, ranges.last_year + 1)
    )
    return int(draws.generator("start").integers(first, last)) * 1800 * SECOND_NS


def _plasma(draws: Draws, shells: tuple[float, float], start_ns: int, span_ns: int) -> PlasmaModel:
    knots: tuple[tuple[int, float], ...] = ()
    width = draws.value("plasmapause_width_l")
    if draws.happens("storm"):
        knots, width = _passage(draws, shells, start_ns, span_ns), draws.value("storm_width_l")
    elif draws.happens("plasmapause"):
        knots = ((start_ns, draws.value("plasmapause_l")),)
    return PlasmaModel(
        saturation=draws.value("saturation"),
        mean_ion_mass_amu=draws.value("mean_ion_mass_amu"),
        plasmapause=knots,
        plasmapause_width_l=width,
        refilling=draws.value("refilling"),
        trough_factor=draws.value("trough_factor"),
        density_index=draws.value("density_index"),
    )


def _passage(
    draws: Draws, shells: tuple[float, float], start_ns: int, span_ns: int
) -> tuple[tuple[int, float], ...]:
    """Knots of a plasmapause that comes from one side, stays between the stations and goes off to one side."""
    rng = draws.generator("passage")
    poleward, equatorward = shells
    between = rng.uniform(equatorward, poleward)
    rest = draws.value("storm_rest_l")
    # It comes in from outside, as in a storm's main phase, and leaves further inwards or back to the outside.
    comes = poleward + rest
    leaves = max(1.3, equatorward - rest) if rng.random() < 0.5 else comes
    dwell_s, travel_s = 3600.0 * draws.value("storm_dwell_h"), 3600.0 * draws.value("storm_travel_h")
    arrives_s = rng.uniform(-dwell_s, span_ns / SECOND_NS - 0.5 * dwell_s)
    course = (
        (arrives_s - travel_s, comes),
        (arrives_s, between),
        (arrives_s + dwell_s, between),
        (arrives_s + dwell_s + travel_s, leaves),
    )
    return tuple((start_ns + round(after_s) * SECOND_NS, l_shell) for after_s, l_shell in course)


def _waves(draws: Draws) -> Waves:
    upstream, packets, train, substorm = (
        draws.happens(what) for what in ("upstream", "packets", "train", "substorm")
    )
    return Waves(
        driver_nT2_Hz=draws.value("driver_nT2_Hz"),
        driver_slope=draws.value("driver_slope"),
        upstream_Hz=draws.value("upstream_Hz"),
        upstream_gain=draws.value("upstream_gain") if upstream else 1.0,
        night_share=draws.value("night_share"),
        packet_spread=draws.value("packet_spread"),
        packet_s=draws.value("packet_s"),
        packets_per_h=draws.value("packets_per_h") if packets else 0.0,
        packet_nT=draws.value("packet_nT") if packets else 0.0,
        packet_Hz=draws.value("packet_Hz"),
        train_nT=draws.value("train_nT") if train else 0.0,
        train_Hz=draws.value("train_Hz"),
        substorm_nT=draws.value("substorm_nT") if substorm else 0.0,
        substorm_Hz=draws.value("substorm_Hz"),
        commencement_nT=draws.value_if("commencement", "commencement_nT"),
        direct_share=draws.value("direct_share"),
        background_share=draws.value_if("background", "background_share"),
        background_slope=draws.value("driver_slope", of=" background"),
        delay_s=draws.value("delay_s"),
        sq_nT=draws.value("sq_nT"),
        slow_rms_nT=draws.value("slow_rms_nT"),
    )


def _station(draws: Draws, row: int, shells: tuple[float, float]) -> StationCase:
    of, half = STATIONS[row], 0.5 - row
    dead = draws.happens("dead", of)
    return StationCase(
        l_shell=shells[row],
        gain=draws.value("site_gain") ** half,
        quality=draws.value("quality") * draws.value("quality_ratio") ** half,
        noise_nT2_Hz=draws.value("noise_nT2_Hz") * draws.value("noise_ratio") ** half,
        cultural_nT=draws.value_if("cultural", "cultural_nT", of),
        drift_nT_h=draws.value("drift_nT_h", of),
        quantum_nT=draws.value("quantum_nT"),
        spikes_per_h=draws.value_if("spikes", "spikes_per_h", of),
        steps=int(draws.generator(f"steps{of}").integers(1, 4)) if draws.happens("steps", of) else 0,
        gaps=int(draws.generator(f"gaps{of}").integers(1, 4)) if draws.happens("gap", of) else 0,
        clock_offset_s=_signed(draws, "clock", "clock_offset_s", of),
        clock_ramp_s_h=_signed(draws, "clock_ramp", "clock_ramp_s_h", of),
        dead_share=float(draws.generator(f"dead{of}").uniform(-0.5, 1.0)) if dead else None,
        swapped_component=draws.happens("swapped_component", of),
    )


def _signed(draws: Draws, what: str, name: str, of: str = "") -> float:
    """A number of either sign where `what` happens, else 0."""
    sign = 1.0 if draws.generator(f"{name} sign{of}").random() < 0.5 else -1.0
    return sign * draws.value_if(what, name, of)
