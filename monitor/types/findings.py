"""All that is known of a pair in a window, and of a chain of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from monitor.types.samples import Pair
from monitor.types.spectra import Label

CLASSES = (Label.NO_FREQ, Label.FREQ, Label.PBL)
"""The classes in the order of every array of probabilities; a class index is a place in here."""


class LineEnds(StrEnum):
    """What holds the two ends of a field line: the electric field of a standing wave is 0 where one is fixed."""

    FIXED = "fixed-fixed"
    MIXED = "fixed-free"
    FREE = "free-free"


@dataclass(frozen=True, slots=True)
class MassDensity:
    """Equatorial plasma mass density (amu cm⁻³) that one reading of a resonance gives, with its interval.

    Attributes
    ----------
    density_amu_cm3, low_amu_cm3, high_amu_cm3 : float
    density_index : float
        m of ρ = ρ_eq (r_eq / r)^m along the line.
    harmonic : int
        For which mode the frequency is taken: 1 the fundamental.
    ends : LineEnds
    """

    density_amu_cm3: float
    low_amu_cm3: float
    high_amu_cm3: float
    density_index: float
    harmonic: int
    ends: LineEnds


class Illumination(StrEnum):
    """Which ends of a field line are sunlit at 110 km: both, one, or none."""

    DAY = "day"
    PENUMBRA = "penumbra"
    NIGHT = "night"


@dataclass(frozen=True, slots=True)
class Reading:
    """A resonance frequency and its interval, in Hz."""

    frequency_Hz: float
    low_Hz: float
    high_Hz: float


@dataclass(frozen=True, slots=True)
class PhysicalReading:
    """The physical estimate of one pair and window; what is unknown is NaN (see `ResonanceBatch`)."""

    label: Label
    frequency_Hz: float
    sigma_Hz: float
    cross_phase_rad: float
    coherence: float
    timing_offset_s: float
    timing_sigma_s: float


@dataclass(frozen=True, slots=True)
class Finding:
    """All that is known of one pair in one window: what the two learned stages say, and what the tracker makes of it.

    Attributes
    ----------
    pair : Pair
    end_ns, length_ns : int
        Of the window.
    coverage : tuple of (str, float)
        Share of the samples that were there, by station, poleward first.
    physical : PhysicalReading
    illumination : Illumination or None
    mlt_h : float or None
        Magnetic local time of the pair at the centre of the window.
    probability : tuple of float or None
        Calibrated, in the order of `CLASSES`; None where no model could be asked.
    stage_one : Label or None
        What the classifier with its moving threshold says; None where it was not asked.
    as_freq, as_pbl : Reading or None
        What the regressor reads from the spectrum as it is, and from the reversed one.
    label : Label
        The final one.
    track_probability : tuple of float or None
        The tracker's posterior, in the order of `CLASSES`.
    flags : frozenset of str
        Why there is no resonance or no density, what was done to the samples, what the tracker changed.
    density : MassDensity or None
        The one that is stated.
    alternatives : tuple of MassDensity
        Other readings of the same frequency that cannot be ruled out.
    """

    pair: Pair
    end_ns: int
    length_ns: int
    coverage: tuple[tuple[str, float], ...]
    physical: PhysicalReading
    illumination: Illumination | None
    mlt_h: float | None
    probability: tuple[float, float, float] | None
    stage_one: Label | None
    as_freq: Reading | None
    as_pbl: Reading | None
    label: Label
    track_probability: tuple[float, float, float] | None = None
    flags: frozenset[str] = frozenset()
    density: MassDensity | None = None
    alternatives: tuple[MassDensity, ...] = ()

    @property
    def reading(self) -> Reading | None:
        """The frequency that belongs to the final label."""
        if self.label is Label.FREQ:
            return self.as_freq
        return self.as_pbl if self.label is Label.PBL else None


@dataclass(frozen=True, slots=True)
class Chain:
    """Pairs along a meridian that share a profile and a plasmapause, the outermost first."""

    name: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class PlasmapauseEstimate:
    """Where the plasmapause is, and on which side of it each pair of its chain stands.

    Attributes
    ----------
    l_shell, low, high : float or None
        L_pp with its interval; None where the chain cannot see it.
    confidence : float
        Probability that L_pp lies within the interval; 0 where none is stated.
    inside : tuple of float
        For each pair, the probability that it is inside the plasmasphere (L_pp above the pair's L).
    reason : str or None
        Why nothing is stated: `no_data`, `beyond_chain`, `uncertain`.
    by_label, by_gradient : float or None
        L from the pairs labelled PBL alone, and from the steepest drop between neighbours alone: for comparison.
    """

    l_shell: float | None
    low: float | None
    high: float | None
    confidence: float
    inside: tuple[float, ...]
    reason: str | None
    by_label: float | None = None
    by_gradient: float | None = None


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """ρ = density_at_l4 (L / 4)^−exponent (amu cm⁻³), fitted robustly, with the interval of the exponent."""

    density_at_l4_amu_cm3: float
    exponent: float
    exponent_low: float
    exponent_high: float
    pairs: int


@dataclass(frozen=True, slots=True)
class ChainState:
    """All that is known of a chain in one window.

    Attributes
    ----------
    chain : Chain
    end_ns, length_ns : int
        Of the window.
    findings : tuple of Finding or None
        One for each pair of the chain; None where it has none for this window.
    used : tuple of bool
        Whose density or label the plasmapause rests on.
    plasmapause : PlasmapauseEstimate
    fit : PowerLaw or None
        Through the densities that are used; None where there are too few.
    kp_maximum_12h, kp_maximum_24h : float or None
        Largest Kp of the hours before, where Kp is known.
    """

    chain: Chain
    end_ns: int
    length_ns: int
    findings: tuple[Finding | None, ...]
    used: tuple[bool, ...]
    plasmapause: PlasmapauseEstimate
    fit: PowerLaw | None
    kp_maximum_12h: float | None = None
    kp_maximum_24h: float | None = None
