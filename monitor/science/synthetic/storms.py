"""Random storms and quiet stretches over a chain of stations, with a plasmapause that is known at every moment.

`draw_storm` draws what happens; `synthetic.ground` makes the samples. A storm erodes the plasmapause within hours and
lets it back out over days; a quiet stretch has one that rests, drifts, or none at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Final, Literal, get_args

import numpy as np

from monitor.science.synthetic.draws import Draws
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.ranges import Range
from monitor.science.synthetic.scenario import Course, Gap, Scenario
from monitor.types import SECOND_NS

Kind = Literal["storm", "quiet"]

LONGITUDE_DEG: Final = 26.0
"""Of the meridian that the chain stands on: sets its local time."""

_HOUR_NS: Final = 3600 * SECOND_NS
_KNOT_H: Final = 0.5


@dataclass(frozen=True, slots=True)
class StormRanges:
    """What `draw_storm` draws from. A name that ends in `_probability` switches what it names, 0 to 1.

    Every parameter has a generator of its own, seeded by `stream`, the storm's seed and the parameter's name, as in
    `synthetic.ranges`. "Chosen" means that no source is claimed.

    Attributes
    ----------
    stream : int
        Seeds the whole set: two sets with different streams never share a storm.
    span_h : float
        Length of a storm or quiet stretch, a multiple of half an hour.
    first_year, last_year : int
        Years (UTC) of the start, which falls on any half hour: so season, sunlight and local time are free.
    quiet_l, storm_l : Range
        L_pp before a storm and at its lowest. Carpenter and Anderson (1992), doi:10.1029/91JA01548: 5.6 for Kp 0
        and 2.4 for Kp 7; chosen wider.
    smallest_erosion_l : float
        The least by which a storm moves L_pp in.
    onset_h, erosion_h, rest_h : Range
        Hours from the start to the onset, and of the way in (Goldstein et al. 2005, doi:10.1029/2005JA011135, saw
        erosion take hours); hours at the lowest place. The onset is chosen to leave a day before it, as a daemon that runs has had.
    refilling_days : Range
        Time in which L_pp comes back to where it was, were it not for the end of the stretch: days, by Park (1974),
        doi:10.1029/JA079i001p00165.
    second_probability, second_l : float, Range
        A second push during the recovery, as deep as this.
    ripple_l, ripple_h : Range
        Amplitude and period of small motions to and fro. Chosen.
    none_probability, drift_probability, drift_l_day, resting_l
        Quiet stretches without a plasmapause; with one that drifts, by so much a day; where it rests. Chosen.
    plasmapause_width_l : Range
        Scale of the tanh in L; below about 0.2 the frequency rises poleward across it.
    saturation, mean_ion_mass_amu, trough_factor, density_index, refilling : Range
        Of `PlasmaModel`, with the sources of `synthetic.ranges.CaseRanges`.
    plasmasphere_slope, trough_exponent : Range
        Of `PlasmaModel`: shapes that are not Carpenter and Anderson's. Plasmaspheric densities between about L⁻³ and
        L⁻⁴·⁵ and troughs between L⁻³ and L⁻⁵ are in use (Sheeley et al. 2001, doi:10.1029/2000JA000286).
    torus_probability, torus : float, Range
        Heavy ions at the plasmapause: rise of ln ρ there, up to three times (Fraser et al. 2005,
        doi:10.1016/j.jastp.2004.12.016).
    wave_power, noise_power : Range
        Factors on the simulator's round levels. Chosen: four and two orders of magnitude in power.
    storm_wave_gain, storm_noise_gain : Range
        Factors on both powers during the main phase of a storm, which fade over its recovery. Chosen.
    storm_slow_gain : Range
        Factor on the slow variation of the whole chain in a stretch with a storm. Chosen.
    quality, site_quality, night_quality, third_harmonic_probability, third_harmonic, direct_share
        Of the oscillators and what passes beside them, as in `CaseRanges`; a station's Q over the chain's.
    site_gain, site_noise : Range
        A station's amplitude of all waves, and its power of local noise, over the chain's. Chosen.
    slow_rms_nT, quantum_nT : Range
        Of `Scenario`.
    spikes_probability, spikes_per_h : float, Range
    gap_probability, gap_h : float, Range
        For each station: a gap, of so many hours.
    clock_probability, clock_offset_s : float, Range
        For each station: its stamps are late by so much.
    """

    stream: int
    span_h: float = 72.0
    first_year: int = 2012
    last_year: int = 2023
    quiet_l: Range = Range(4.0, 6.0)
    storm_l: Range = Range(2.2, 4.2)
    smallest_erosion_l: float = 0.6
    onset_h: Range = Range(24.0, 36.0)
    erosion_h: Range = Range(2.0, 10.0)
    rest_h: Range = Range(0.0, 10.0)
    refilling_days: Range = Range(1.0, 5.0)
    second_probability: float = 0.15
    second_l: Range = Range(0.3, 0.8)
    ripple_l: Range = Range(0.0, 0.12)
    ripple_h: Range = Range(2.0, 9.0)
    none_probability: float = 0.25
    drift_probability: float = 0.5
    drift_l_day: Range = Range(-0.3, 0.3)
    resting_l: Range = Range(2.8, 6.2)
    plasmapause_width_l: Range = Range(0.05, 0.35)
    saturation: Range = Range(0.15, 1.0, log=True)
    mean_ion_mass_amu: Range = Range(1.0, 3.0)
    trough_factor: Range = Range(0.4, 2.5, log=True)
    density_index: Range = Range(0.0, 4.0)
    refilling: Range = Range(0.0, 0.8)
    plasmasphere_slope: Range = Range(-0.4, 0.25)
    trough_exponent: Range = Range(3.0, 5.0)
    torus_probability: float = 0.2
    torus: Range = Range(0.3, 1.1)
    wave_power: Range = Range(0.1, 10.0, log=True)
    noise_power: Range = Range(0.1, 4.0, log=True)
    storm_wave_gain: Range = Range(1.0, 12.0, log=True)
    storm_noise_gain: Range = Range(1.0, 8.0, log=True)
    storm_slow_gain: Range = Range(1.0, 5.0, log=True)
    quality: Range = Range(1.6, 8.0, log=True)
    site_quality: Range = Range(0.9, 1.1, log=True)
    night_quality: Range = Range(0.4, 1.0)
    third_harmonic_probability: float = 0.35
    third_harmonic: Range = Range(0.1, 0.6)
    direct_share: Range = Range(0.05, 0.5, log=True)
    site_gain: Range = Range(0.85, 1.18, log=True)
    site_noise: Range = Range(0.4, 2.5, log=True)
    slow_rms_nT: Range = Range(1.0, 20.0, log=True)
    quantum_nT: Range = Range(0.001, 0.1, log=True)
    spikes_probability: float = 0.5
    spikes_per_h: Range = Range(0.05, 2.0, log=True)
    gap_probability: float = 0.2
    gap_h: Range = Range(0.1, 8.0, log=True)
    clock_probability: float = 0.05
    clock_offset_s: Range = Range(0.1, 1.0, log=True)

    def __post_init__(self) -> None:
        if self.stream < 0:
            raise ValueError(f"stream must not be negative, got {self.stream}")
        if not self.span_h >= 24.0 or not (self.span_h * 2.0).is_integer():
            raise ValueError(f"span_h must be at least 24 and a multiple of 0.5, got {self.span_h}")
        if not 1990 <= self.first_year <= self.last_year <= 2099:
            raise ValueError(f"years must rise from 1990 to 2099, got {self.first_year}–{self.last_year}")
        if self.quiet_l.low - self.smallest_erosion_l < self.storm_l.low:
            raise ValueError(
                f"quiet_l less smallest_erosion_l must reach storm_l, got {self.quiet_l}, {self.storm_l}"
            )
        for field in fields(self):
            if field.name.endswith("_probability") and not 0.0 <= getattr(self, field.name) <= 1.0:
                raise ValueError(f"{field.name} must lie in [0, 1], got {getattr(self, field.name)}")


FITTING_STORMS: Final = StormRanges(stream=21)
"""What parameters of densities, plasmapause and events are chosen on."""

TEST_STORMS: Final = replace(FITTING_STORMS, stream=22)
"""What they are tested on: other storms from the same ranges."""


def draw_storm(
    seed: int,
    stations: Sequence[tuple[str, float]],
    ranges: StormRanges = FITTING_STORMS,
    *,
    kind: Kind = "storm",
) -> Scenario:
    """Draw one storm or quiet stretch; the same arguments always give the same.

    Parameters
    ----------
    seed : int
    stations : sequence of (code, l_shell)
        The chain, which should stand near the meridian of `LONGITUDE_DEG`.
    ranges : StormRanges
    kind : "storm" or "quiet"

    Returns
    -------
    Scenario
        It lasts `ranges.span_h`: what comes after is not meant to be looked at.

    Raises
    ------
    ValueError
        For a negative seed or an unknown kind.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if kind not in get_args(Kind):
        raise ValueError(f"kind is storm or quiet, got {kind!r}")
    draws = Draws((ranges.stream, seed, get_args(Kind).index(kind)), ranges)
    start_ns = _start_ns(draws, ranges)
    phases = _Phases.draw(draws)
    storm = kind == "storm"
    place = _storm_l(draws, ranges, phases) if storm else _quiet_l(draws)
    codes = [code for code, _ in stations]
    return Scenario(
        stations=tuple(stations),
        start_ns=start_ns,
        seed=int(draws.generator("samples").integers(2**31)),
        longitude_deg=LONGITUDE_DEG,
        plasma=_plasma(draws, _knots(place, start_ns, ranges.span_h)),
        wave_power=draws.value("wave_power"),
        noise_power=draws.value("noise_power"),
        wave_course=phases.course(start_ns, draws.value("storm_wave_gain")) if storm else (),
        noise_course=phases.course(start_ns, draws.value("storm_noise_gain")) if storm else (),
        slow_rms_nT=draws.value("slow_rms_nT") * (draws.value("storm_slow_gain") if storm else 1.0),
        quality=draws.value("quality"),
        night_quality=draws.value("night_quality"),
        third_harmonic=draws.value_if("third_harmonic", "third_harmonic"),
        direct_share=draws.value("direct_share"),
        spikes_per_h=draws.value_if("spikes", "spikes_per_h"),
        quantum_nT=draws.value("quantum_nT"),
        gaps=_gaps(draws, codes, start_ns, ranges.span_h),
        clock_offset_s={
            code: offset for code in codes if (offset := draws.value_if("clock", "clock_offset_s", code))
        },
        site_quality={code: draws.value("site_quality", code) for code in codes},
        site_gain={code: draws.value("site_gain", code) for code in codes},
        site_noise={code: draws.value("site_noise", code) for code in codes},
    )


@dataclass(frozen=True, slots=True)
class _Phases:
    """When a storm begins, how long it erodes and rests (hours from the start), and how long it takes to recover."""

    onset_h: float
    erosion_h: float
    rest_h: float
    refilling_h: float

    @classmethod
    def draw(cls, draws: Draws) -> _Phases:
        onset_h, erosion_h, rest_h = (draws.value(name) for name in ("onset_h", "erosion_h", "rest_h"))
        return cls(onset_h, erosion_h, rest_h, 24.0 * draws.value("refilling_days"))

    def course(self, start_ns: int, gain: float) -> Course:
        """A factor that rises with the onset to its full height and fades over half of the recovery."""
        lowest_h = self.onset_h + self.erosion_h
        fades_h = lowest_h + self.rest_h + 0.5 * self.refilling_h
        hours = (self.onset_h - 1.0, self.onset_h + 0.5, lowest_h, fades_h)
        return tuple(
            (start_ns + round(hour * _HOUR_NS), factor)
            for hour, factor in zip(hours, (1.0, gain, gain, 1.0), strict=True)
        )


def _start_ns(draws: Draws, ranges: StormRanges) -> int:
    """A full half hour in the years of the ranges."""
    first, last = (
        int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) // 1800
        for year in (ranges.first_year, ranges.last_year + 1)
    )
    return int(draws.generator("start").integers(first, last)) * 1800 * SECOND_NS


def _storm_l(draws: Draws, ranges: StormRanges, phases: _Phases) -> Callable[[float], float]:
    """L_pp of a storm over hours from the start."""
    quiet = draws.value("quiet_l")
    lowest = min(draws.value("storm_l"), quiet - ranges.smallest_erosion_l)
    lowest_h = phases.onset_h + phases.erosion_h
    leaves_h = lowest_h + phases.rest_h
    hours = [phases.onset_h, lowest_h, leaves_h, leaves_h + phases.refilling_h]
    places = [quiet, lowest, lowest, quiet]
    push = draws.value_if("second", "second_l")
    push_h = draws.generator("second_at").uniform(leaves_h + 3.0, leaves_h + 24.0)
    ripple = _ripple(draws)

    def place(hour: float) -> float:
        fresh = np.interp(hour - push_h, (0.0, 3.0, 27.0), (0.0, push, 0.0))
        bound = float(np.interp(hour, hours, places)) - float(fresh)
        return max(bound, min(lowest, ranges.storm_l.low)) + ripple(hour)

    return place


def _quiet_l(draws: Draws) -> Callable[[float], float] | None:
    """L_pp of a quiet stretch over hours from the start; None where there is no plasmapause."""
    if draws.happens("none"):
        return None
    rests, drift = draws.value("resting_l"), draws.value_if("drift", "drift_l_day")
    ripple = _ripple(draws)
    return lambda hour: rests + drift * hour / 24.0 + ripple(hour)


def _ripple(draws: Draws) -> Callable[[float], float]:
    height, period_h = draws.value("ripple_l"), draws.value("ripple_h")
    phase = draws.generator("ripple").uniform(0.0, 2.0 * math.pi)
    return lambda hour: height * math.sin(2.0 * math.pi * hour / period_h + phase)


def _knots(
    place: Callable[[float], float] | None, start_ns: int, span_h: float
) -> tuple[tuple[int, float], ...]:
    if place is None:
        return ()
    hours = np.arange(-2.0, span_h + 2.0 + _KNOT_H, _KNOT_H).tolist()
    return tuple((start_ns + round(hour * _HOUR_NS), place(hour)) for hour in hours)


def _plasma(draws: Draws, knots: tuple[tuple[int, float], ...]) -> PlasmaModel:
    return PlasmaModel(
        saturation=draws.value("saturation"),
        mean_ion_mass_amu=draws.value("mean_ion_mass_amu"),
        plasmapause=knots,
        plasmapause_width_l=draws.value("plasmapause_width_l"),
        refilling=draws.value("refilling"),
        trough_factor=draws.value("trough_factor"),
        density_index=draws.value("density_index"),
        plasmasphere_slope=draws.value("plasmasphere_slope"),
        trough_exponent=draws.value("trough_exponent"),
        torus=draws.value_if("torus", "torus"),
    )


def _gaps(draws: Draws, codes: Sequence[str], start_ns: int, span_h: float) -> tuple[Gap, ...]:
    gaps = []
    for code in codes:
        if draws.happens("gap", code):
            begins = start_ns + round(draws.generator(f"gap_at{code}").uniform(0.0, span_h) * _HOUR_NS)
            gaps.append(Gap(code, begins, begins + round(draws.value("gap_h", code) * _HOUR_NS)))
    return tuple(gaps)
