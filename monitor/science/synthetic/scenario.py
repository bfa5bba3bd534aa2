"""What happens to a chain of ground stations: the scenario that `synthetic.ground` plays, and the truth about it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from monitor.science.synthetic.plasma import PlasmaModel
from monitor.types import SECOND_NS

BLOCK_NS: Final = 3600 * SECOND_NS
"""Length of the blocks that random parts are made of; a new one begins every half."""

EMMA: Final[tuple[tuple[str, float], ...]] = (
    ("MUO", 5.604),
    ("PEL", 5.147),
    ("OUJ", 4.339),
    ("HAN", 3.765),
    ("NUR", 3.406),
    ("TAR", 3.010),
    ("BRZ", 2.710),
    ("SUW", 2.447),
)
"""Stations of the European chain and their L in 2013, from north to south."""

Course: TypeAlias = Sequence[tuple[int, float]]
"""Knots (time_ns, value) in rising time."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A station sends nothing (NaN) at `start_ns` ≤ t < `end_ns`."""

    station: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What a pair's resonance really is at one time.

    Attributes
    ----------
    frequency_Hz : float
        Fundamental of the field line midway between the stations (in magnetic latitude).
    reversed : bool
        The poleward field line rings faster, as at a steep plasmapause.
    driven : bool
        The resonance stands out: at this frequency the waves have at least twice the power of the local
        noise at both stations.
    signal_to_noise : float
        That ratio of powers, at the worse of the stations.
    """

    frequency_Hz: float
    reversed: bool
    driven: bool
    signal_to_noise: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to a chain of stations.

    Attributes
    ----------
    stations : sequence of (code, l_shell)
    start_ns : int
        Where the scenario begins (ns UTC); there are no samples before.
    seed : int
        Draws the waves and the noise. A station's noise depends on seed and code, not on its neighbours.
    step_s : float
        Sampling step; an hour holds an even whole number of them.
    longitude_deg : float
        Geographic longitude of the chain, east positive: sets its local time.
    plasma : PlasmaModel
    wave_power, noise_power : float
        Factors on the power of the driver and of the local noise.
    quality : float
        Q of the oscillators: resonance width f_R / (2 Q).
    third_harmonic : float
        Its amplitude over the fundamental's.
    direct_share : float
        Part of the driver's amplitude that reaches the ground beside the resonance.
    resonant : bool
        False: the stations see coherent waves and no resonance.
    slow_rms_nT : float
        Variation below 2 mHz that the whole chain shares, at L = 3.
    spikes_per_h : float
        Mean number of spikes a station and hour.
    quantum_nT : float
        Step of the digitiser; 0 for none.
    gaps : sequence of Gap
    clock_offset_s : mapping of station to seconds
        τ > 0: the station's time stamps are late, so that the sample stamped t shows the field at t − τ. It
        turns the phase of the station by −2π f τ.
    site_quality, site_gain, site_noise : mapping of station to factor
        On the Q of its oscillators, on the amplitude of all waves (ground induction, calibration), and on the power
        of its local noise; 1 for a station that is not named.
    night_quality : float
        Factor on Q at midnight, where the ionosphere damps; at noon it is 1.
    wave_course, noise_course : sequence of (time_ns, factor)
        Knots in rising time of a further factor on the power of the driver and of the local noise, joined by straight
        lines of its logarithm and held beyond the ends: the disturbance of a storm. None means 1.

    Raises
    ------
    ValueError
        For what cannot be simulated, with the value.
    """

    stations: Sequence[tuple[str, float]]
    start_ns: int
    seed: int = 0
    step_s: float = 1.0
    longitude_deg: float = 25.0
    plasma: PlasmaModel = field(default_factory=PlasmaModel)
    wave_power: float = 1.0
    noise_power: float = 1.0
    quality: float = 3.0
    third_harmonic: float = 0.0
    direct_share: float = 0.15
    resonant: bool = True
    slow_rms_nT: float = 5.0
    spikes_per_h: float = 0.0
    quantum_nT: float = 0.01
    gaps: Sequence[Gap] = ()
    clock_offset_s: Mapping[str, float] = field(default_factory=dict)
    site_quality: Mapping[str, float] = field(default_factory=dict)
    site_gain: Mapping[str, float] = field(default_factory=dict)
    site_noise: Mapping[str, float] = field(default_factory=dict)
    night_quality: float = 1.0
    wave_course: Course = ()
    noise_course: Course = ()

    def __post_init__(self) -> None:
        codes = self.codes
        if not codes or len(set(codes)) < len(codes):
            raise ValueError(f"stations must be given, each once, got {codes}")
        if any(not l_shell > 1.0 for _, l_shell in self.stations):
            raise ValueError(f"stations: L must exceed 1, got {tuple(self.stations)}")
        if self.step_ns <= 0 or (BLOCK_NS // 2) % self.step_ns:
            raise ValueError(f"step_s must divide half an hour, got {self.step_s}")
        if self.start_ns < BLOCK_NS:
            raise ValueError(f"start_ns must be an hour or more after 1970-01-01, got {self.start_ns}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if not self.quality > 0.0:
            raise ValueError(f"quality must be positive, got {self.quality}")
        for name in (
            "wave_power",
            "noise_power",
            "third_harmonic",
            "direct_share",
            "slow_rms_nT",
            "spikes_per_h",
        ):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not self.quantum_nT >= 0.0:
            raise ValueError(f"quantum_nT must not be negative, got {self.quantum_nT}")
        unknown = {gap.station for gap in self.gaps} | set(self.clock_offset_s)
        if unknown := unknown - set(codes):
            raise ValueError(f"gaps, clock_offset_s: not among the stations: {sorted(unknown)}")
        self._check_sites()

    def _check_sites(self) -> None:
        """ValueError for factors of stations, of the night and in time that cannot be."""
        for name in ("site_quality", "site_gain", "site_noise"):
            for code, factor in getattr(self, name).items():
                if code not in self.codes:
                    raise ValueError(f"{name}: {code} is not among the stations {self.codes}")
                if not factor > 0.0:
                    raise ValueError(f"{name}: the factor of {code} must be positive, got {factor}")
        if not self.night_quality > 0.0:
            raise ValueError(f"night_quality must be positive, got {self.night_quality}")
        for name in ("wave_course", "noise_course"):
            course: Course = getattr(self, name)
            times = [time_ns for time_ns, _ in course]
            if any(later <= earlier for earlier, later in itertools.pairwise(times)):
                raise ValueError(f"{name}: the knots must rise in time, got {times}")
            if any(not factor > 0.0 for _, factor in course):
                raise ValueError(f"{name}: factors must be positive, got {[factor for _, factor in course]}")

    @property
    def codes(self) -> tuple[str, ...]:
        """Station codes in their order."""
        return tuple(code for code, _ in self.stations)

    @property
    def step_ns(self) -> int:
        """Sampling step in ns."""
        return round(self.step_s * SECOND_NS)

    def l_shell(self, station: str) -> float:
        """L of a station of the chain; ValueError for another."""
        for code, l_shell in self.stations:
            if code == station:
                return l_shell
        raise ValueError(f"{station} is not among the stations {self.codes}")


def factor_at(course: Course, time_ns: int) -> float:
    """A factor between its knots by straight lines of its logarithm, held beyond the ends; 1 without knots."""
    if not course:
        return 1.0
    # Differences of int64 first, as in `PlasmaModel.plasmapause_l`.
    since_s = [(knot_ns - time_ns) / SECOND_NS for knot_ns, _ in course]
    return float(np.exp(np.interp(0.0, since_s, [math.log(factor) for _, factor in course])))


def quiet_day(
    start_ns: int, *, seed: int = 1, step_s: float = 1.0, stations: Sequence[tuple[str, float]] = EMMA
) -> Scenario:
    """A plain day: waves by day, nothing at night, and the plasmapause at rest between Oulujärvi and Pello."""
    plasma = PlasmaModel(plasmapause=((start_ns, 4.75),))
    return Scenario(stations, start_ns, seed, step_s, plasma=plasma, spikes_per_h=0.2)


def storm_scenario(
    start_ns: int, *, seed: int = 1, step_s: float = 1.0, stations: Sequence[tuple[str, float]] = EMMA
) -> Scenario:
    """A storm over two days: the plasmapause moves in over the chain by the first noon, and slowly out again.

    About 11 hours after the start it lies between Hankasalmi and Oulujärvi, whose cross-phase is then reversed.
    """
    course = ((0, 4.85), (6, 4.7), (9, 4.03), (14, 4.03), (20, 3.55), (30, 3.6), (48, 4.3))
    knots = tuple((start_ns + hour * BLOCK_NS, l_shell) for hour, l_shell in course)
    return Scenario(
        stations,
        start_ns,
        seed,
        step_s,
        plasma=PlasmaModel(plasmapause=knots),
        wave_power=3.0,
        noise_power=2.0,
        slow_rms_nT=30.0,
        spikes_per_h=0.2,
    )
