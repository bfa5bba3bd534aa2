"""What a case of two stations is drawn from: every range with its unit and where it comes from.

"Chosen" means that no source is claimed: the range is round, and wide enough to hold what MUO–PEL, the low-latitude
and the Antarctic stations showed that we looked at. Power densities are one-sided, at L = 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np


@dataclass(frozen=True, slots=True)
class Range:
    """Where a number is drawn from: evenly from low to high, or evenly in its logarithm."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"a range must rise between finite ends, got {self.low} to {self.high}")
        if self.log and not self.low > 0.0:
            raise ValueError(f"a logarithmic range must be positive, got {self.low}")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def draw(self, rng: np.random.Generator) -> float:
        """One number."""
        if self.log:
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = rng.uniform(self.low, self.high)
        return min(max(drawn, self.low), self.high)


@dataclass(frozen=True, slots=True)
class CaseRanges:
    """What `draw_case` draws from. A name that ends in `_probability` switches what it names, 0 to 1.

    Every parameter has a generator of its own, seeded by `stream`, the case's seed and the parameter's name:
    changing one range leaves what the others draw as it was.

    Attributes
    ----------
    stream : int
        Seeds the whole set: two sets with different streams never share a case.
    span_h : float
        Length of a case, a multiple of half an hour.
    first_year, last_year : int
        Years (UTC) that the start falls in; day and hour are free, the longitude too, so season and local time are.
    l_shell : Range
        L midway (in magnetic latitude) between the stations. EMMA: 1.6 to 6.1 (Foldes et al. 2021).
    spacing_deg : Range
        Magnetic latitude between them. 1–3° in use (Foldes et al. 2023); chosen wider.
    tilt_deg : Range
        Geographic minus magnetic latitude of the pair: sets its sunlight. ±4° in Europe, chosen wider.
    coarse_step_probability : float
        A step of 10 s instead of 1 s, at `coarse_step_minimum_l` or above, where resonances lie below 40 mHz.
    saturation, refilling, mean_ion_mass_amu, density_index, trough_factor : Range
        Of `PlasmaModel`. Refilling: daily decrease of f by up to a third, as MUO–PEL shows. Ion mass: after Del
        Corpo et al. (2022), doi:10.1029/2022JA030605, widened. Density index: 1 for 2.3 < L < 3.4 (Vellante and
        Förster 2006, doi:10.1029/2006JA011588), the tables of Cummings et al. (1969) have 0 to 6. Trough: chosen.
    plasmapause_probability, plasmapause_l, plasmapause_width_l
        A plasmapause at rest: L as Carpenter and Anderson (1992) have it for Kp 0 to 7; its width as their 0.1 L
        a decade of density and wider.
    storm_probability, storm_width_l, storm_rest_l, storm_dwell_h, storm_travel_h
        A steep plasmapause that comes to lie between the stations, stays and leaves: width of the tanh in L (a
        reversal needs about 0.2 or less, Kale et al. 2007, doi:10.1029/2007JA012367), distance from the pair at
        which it comes and goes, hours between the stations and hours of travel. Chosen.
    quality, quality_ratio, night_quality : Range
        Q of the oscillators (half-width f_R / 2Q); poleward over equatorward; factor in the dark at both ends,
        where the ionosphere damps. Chosen around damping rates γ/ω of 0.05 to 0.3.
    uncoupled_probability : float
        No oscillator at all: coherent waves without resonance.
    coupling : Range
        Amplitude on the ground at resonance over that of the driver.
    third_harmonic_probability, third_harmonic
        Its amplitude over the fundamental's, of either sign: waves near the equator drive both modes so that they
        reach the ground in opposite sense, waves along the whole line in the same, with a reversed dip between.
    driver_nT2_Hz, driver_slope, upstream_probability, upstream_Hz, upstream_gain
        Coloured noise: power density at 20 mHz at noon, exponent of its fall with frequency, and a hump of upstream
        waves (Pc3) with the factor on the power at its top.
    night_share : Range
        Amplitude of the driver in the dark over that at noon.
    packet_spread, packet_s : Range
        Envelope of the noise: standard deviation of its logarithm, and correlation time (s).
    packets_probability, packets_per_h, packet_nT, packet_Hz
        Single wave packets of 3 to 15 cycles: number, amplitude and frequency.
    train_probability, train_nT, train_Hz
        A monochromatic train of 0.5 to 3 h. What it forces at the oscillators counts as non-resonant.
    substorm_probability, substorm_nT, substorm_Hz
        Pi2-like damped pulses by night (20 to 4 h local time), one or two an hour: amplitude and frequency.
    commencement_probability, commencement_nT
        A sudden commencement: a rise within one to four minutes.
    direct_share : Range
        Amplitude of the driver that reaches the ground beside the oscillators.
    background_probability, background_share
        Other coherent waves without resonance: amplitude over the driver's.
    delay_s : Range
        By how much waves and driver reach the poleward station later: propagation along and across the meridian.
    site_gain : Range
        Ground induction and calibration: poleward over equatorward amplitude of everything coherent.
    noise_nT2_Hz, noise_slope, noise_latitude, noise_ratio, white_nT2_Hz : Range
        Local noise: density at 20 mHz, exponent of its fall, exponent of its amplitude's growth with L / 3, ratio of
        poleward to equatorward density, and the white noise of an instrument.
    auroral_probability, auroral_gain
        More local noise by night at L > 4: factor on the amplitude at L = 6.5.
    cultural_probability, cultural_nT
        Man-made noise at one station: a machine's rectangle of 20 to 600 s with its harmonics, and trains that step
        the field for minutes by day.
    sq_nT, slow_rms_nT, drift_nT_h : Range
        Sq; the red variation below 2 mHz that both share; drift of each sensor.
    quantum_nT : Range
        Step of the digitiser.
    spikes_probability, spikes_per_h, spike_nT; steps_probability, step_nT; gap_probability, gap_s
        Of each station; up to three steps and gaps a case.
    clock_probability, clock_offset_s; clock_ramp_probability, clock_ramp_s_h
        One station's stamps are late (or early) by a constant; drift by so much an hour.
    dead_probability, swapped_component_probability, swapped_stations_probability : float
        A station's channel sticks from some time on; its east component comes as H; the rows change places.
    """

    stream: int
    span_h: float = 6.0
    first_year: int = 2012
    last_year: int = 2018
    l_shell: Range = Range(1.5, 6.5, log=True)
    spacing_deg: Range = Range(0.5, 3.0)
    tilt_deg: Range = Range(-8.0, 8.0)
    coarse_step_probability: float = 0.3
    coarse_step_minimum_l: float = 2.5
    saturation: Range = Range(0.15, 1.0, log=True)
    refilling: Range = Range(0.0, 0.8)
    mean_ion_mass_amu: Range = Range(1.0, 3.0)
    density_index: Range = Range(0.0, 4.0)
    trough_factor: Range = Range(0.4, 2.5, log=True)
    plasmapause_probability: float = 0.5
    plasmapause_l: Range = Range(2.4, 6.0)
    plasmapause_width_l: Range = Range(0.1, 0.5)
    storm_probability: float = 0.3
    storm_width_l: Range = Range(0.04, 0.15)
    storm_rest_l: Range = Range(0.3, 1.0)
    storm_dwell_h: Range = Range(2.0, 8.0)
    storm_travel_h: Range = Range(0.3, 2.0)
    quality: Range = Range(1.6, 8.0, log=True)
    quality_ratio: Range = Range(0.85, 1.18, log=True)
    night_quality: Range = Range(0.4, 1.0)
    uncoupled_probability: float = 0.2
    coupling: Range = Range(0.7, 4.0, log=True)
    third_harmonic_probability: float = 0.35
    third_harmonic: Range = Range(0.1, 0.6)
    driver_nT2_Hz: Range = Range(0.2, 80.0, log=True)
    driver_slope: Range = Range(1.0, 3.0)
    upstream_probability: float = 0.5
    upstream_Hz: Range = Range(15.0e-3, 60.0e-3, log=True)
    upstream_gain: Range = Range(1.5, 8.0)
    night_share: Range = Range(0.03, 0.5, log=True)
    packet_spread: Range = Range(0.2, 0.9)
    packet_s: Range = Range(100.0, 600.0)
    packets_probability: float = 0.3
    packets_per_h: Range = Range(1.0, 8.0)
    packet_nT: Range = Range(0.05, 3.0, log=True)
    packet_Hz: Range = Range(4.0e-3, 80.0e-3, log=True)
    train_probability: float = 0.15
    train_nT: Range = Range(0.03, 2.0, log=True)
    train_Hz: Range = Range(4.0e-3, 80.0e-3, log=True)
    substorm_probability: float = 0.3
    substorm_nT: Range = Range(0.3, 10.0, log=True)
    substorm_Hz: Range = Range(6.0e-3, 22.0e-3, log=True)
    commencement_probability: float = 0.04
    commencement_nT: Range = Range(5.0, 50.0, log=True)
    direct_share: Range = Range(0.05, 0.5, log=True)
    background_probability: float = 0.35
    background_share: Range = Range(0.1, 1.5, log=True)
    delay_s: Range = Range(-1.0, 1.0)
    site_gain: Range = Range(0.8, 1.25, log=True)
    noise_nT2_Hz: Range = Range(0.002, 0.5, log=True)
    noise_slope: Range = Range(1.0, 2.5)
    noise_latitude: Range = Range(0.5, 2.0)
    noise_ratio: Range = Range(0.4, 2.5, log=True)
    white_nT2_Hz: Range = Range(1.0e-5, 3.0e-3, log=True)
    auroral_probability: float = 0.3
    auroral_gain: Range = Range(2.0, 10.0)
    cultural_probability: float = 0.12
    cultural_nT: Range = Range(0.05, 2.0, log=True)
    sq_nT: Range = Range(5.0, 60.0)
    slow_rms_nT: Range = Range(1.0, 50.0, log=True)
    drift_nT_h: Range = Range(-2.0, 2.0)
    quantum_nT: Range = Range(0.001, 0.1, log=True)
    spikes_probability: float = 0.2
    spikes_per_h: Range = Range(0.3, 20.0, log=True)
    spike_nT: Range = Range(1.0, 100.0, log=True)
    steps_probability: float = 0.05
    step_nT: Range = Range(0.5, 30.0, log=True)
    gap_probability: float = 0.1
    gap_s: Range = Range(5.0, 5400.0, log=True)
    clock_probability: float = 0.05
    clock_offset_s: Range = Range(0.2, 10.0, log=True)
    clock_ramp_probability: float = 0.02
    clock_ramp_s_h: Range = Range(0.1, 1.5, log=True)
    dead_probability: float = 0.03
    swapped_component_probability: float = 0.02
    swapped_stations_probability: float = 0.02

    def __post_init__(self) -> None:
        if self.stream < 0:
            raise ValueError(f"stream must not be negative, got {self.stream}")
        if not self.span_h >= 2.0 or not (self.span_h * 2.0).is_integer():
            raise ValueError(f"span_h must be at least 2 and a multiple of 0.5, got {self.span_h}")
        if not 1990 <= self.first_year <= self.last_year <= 2099:
            raise ValueError(f"years must rise from 1990 to 2099, got {self.first_year}–{self.last_year}")
        for field in fields(self):
            if field.name.endswith("_probability") and not 0.0 <= getattr(self, field.name) <= 1.0:
                raise ValueError(f"{field.name} must lie in [0, 1], got {getattr(self, field.name)}")
        if self.l_shell.low < 1.3 or self.spacing_deg.low <= 0.0 or self.spacing_deg.high > 10.0:
            raise ValueError(
                f"expected L ≥ 1.3 and a spacing in (0, 10]°, got {self.l_shell} and {self.spacing_deg}"
            )

    def without(self, *names: str) -> CaseRanges:
        """The same with the probabilities of the things named set to zero (`without("gap", "clock")`).

        Raises
        ------
        ValueError
            For a name that no `…_probability` has.
        """
        known = {field.name for field in fields(self)}
        for name in names:
            if f"{name}_probability" not in known:
                raise ValueError(f"there is no {name}_probability")
        changes: dict[str, Any] = {f"{name}_probability": 0.0 for name in names}
        return replace(self, **changes)


TROUBLES: Final = (
    "cultural", "spikes", "steps", "gap", "clock", "clock_ramp", "dead", "swapped_component", "swapped_stations",
)  # fmt: skip
"""What goes wrong at a station, as `CaseRanges.without` takes it."""

TRAINING: Final = CaseRanges(stream=1)
"""What models learn from."""

STORMS: Final = replace(TRAINING, stream=3, storm_probability=1.0, uncoupled_probability=0.05)
"""More reversed resonances to learn from than nature, or `TRAINING`, has."""

FAINT_STORMS: Final = replace(
    STORMS,
    stream=4,
    coupling=Range(0.3, 1.5, log=True),
    direct_share=Range(0.15, 0.8, log=True),
    background_probability=0.6,
    driver_nT2_Hz=Range(0.1, 20.0, log=True),
)
"""Reversed gradients whose resonances other waves and noise nearly, or wholly, hide: where a false alarm begins."""

CALIBRATION: Final = replace(
    TRAINING,
    stream=5,
    l_shell=Range(1.47, 6.6, log=True),
    saturation=Range(0.12, 1.0, log=True),
    mean_ion_mass_amu=Range(1.0, 3.5),
    density_index=Range(0.0, 5.0),
    trough_factor=Range(0.32, 3.2, log=True),
    quality=Range(1.5, 9.0, log=True),
    quality_ratio=Range(0.82, 1.22, log=True),
    driver_slope=Range(0.7, 3.3),
    upstream_gain=Range(1.5, 11.0),
    packet_spread=Range(0.15, 1.0),
    packet_s=Range(80.0, 750.0),
    delay_s=Range(-1.1, 1.1),
    site_gain=Range(0.75, 1.33, log=True),
    noise_slope=Range(0.7, 2.8),
    cultural_nT=Range(0.04, 2.8, log=True),
)
"""What thresholds and intervals are fitted to: half-way to `TEST`, so that they hold where the boosters extrapolate."""

TEST: Final = CaseRanges(
    stream=2,
    first_year=2019,
    last_year=2024,
    l_shell=Range(1.45, 6.7, log=True),
    saturation=Range(0.1, 1.0, log=True),
    mean_ion_mass_amu=Range(1.0, 4.0),
    density_index=Range(0.0, 6.0),
    trough_factor=Range(0.25, 4.0, log=True),
    quality=Range(1.4, 10.0, log=True),
    quality_ratio=Range(0.8, 1.25, log=True),
    driver_slope=Range(0.5, 3.5),
    upstream_gain=Range(1.5, 15.0),
    packet_spread=Range(0.1, 1.1),
    packet_s=Range(60.0, 900.0),
    delay_s=Range(-1.2, 1.2),
    site_gain=Range(0.7, 1.4, log=True),
    noise_slope=Range(0.5, 3.0),
    cultural_nT=Range(0.03, 4.0, log=True),
    spike_nT=Range(0.5, 200.0, log=True),
    quantum_nT=Range(0.0005, 0.2, log=True),
    clock_offset_s=Range(0.1, 20.0, log=True),
)
"""What models are tested on: other cases, other years, and ranges that reach past those of training."""
