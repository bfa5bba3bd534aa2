"""The types on the data path: frozen, slotted, and free of anything that needs the outside.

Time is int64 nanoseconds UTC since 1970-01-01, taken from the samples. A gap is NaN: a gap is data, not an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
Float32Array: TypeAlias = npt.NDArray[np.float32]
ComplexArray: TypeAlias = npt.NDArray[np.complexfloating[Any, Any]]
RealArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Json: TypeAlias = Any
"""What `json.dumps` takes: a dict, list, string, number, boolean or None."""

SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso_time(time_ns: int) -> str:
    """Format a time as ISO 8601 UTC with `Z`, with only as many decimals as the time has."""
    seconds, fraction = divmod(int(time_ns), SECOND_NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{text}{decimals}Z"


class Domain(StrEnum):
    """Which side of the monitor a source belongs to; an index (Kp) is no side, but something to hold against both."""

    GROUND = "ground"
    CRAFT = "craft"
    INDEX = "index"


class Label(StrEnum):
    """What a cross-phase spectrum shows (Foldes et al. 2023)."""

    NO_FREQ = "NoFreq"
    FREQ = "Freq"
    PBL = "PBL"


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came: bytes under a topic, and when it was received (ns UTC)."""

    topic: str
    payload: bytes
    received_ns: int


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Evenly spaced samples of one source, decoded and in the units of the contract.

    Attributes
    ----------
    source : str
        Station code or spacecraft id, upper case.
    components : tuple of str
        Names of the rows of `values`, as in the native format (`H`, `X`, `Bx`, `N`, …).
    t0_ns, step_ns : int
        Time of the first sample, and the step.
    values : ndarray, shape (c, n), float64
        nT on the ground, the units of the native craft message in space; NaN is a gap. D and I are angles in
        degrees where they come as ImagMQTT; in the native format D is the variation towards magnetic east in nT.
    domain : Domain
    level : int
        Processing level; where two levels give the same sample, the higher wins (ImagMQTT 1–4, else 0).
    sensor : str or None
        The instrument, where the message names one.
    frame : str or None
        Coordinate frame of spacecraft vectors (`gse`, `gsm`, `dmpa`, `dbcs`).
    """

    source: str
    components: tuple[str, ...]
    t0_ns: int
    step_ns: int
    values: FloatArray
    domain: Domain = Domain.GROUND
    level: int = 0
    sensor: str | None = None
    frame: str | None = None

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(self.values.shape[1])

    @property
    def end_ns(self) -> int:
        """End of the last sample: its time plus one step."""
        return self.t0_ns + self.count * self.step_ns


@dataclass(frozen=True, slots=True)
class Tick:
    """Monotonic time that passed while no input waited (ns). The only clock the stages ever see."""

    elapsed_ns: int


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Two stations on a meridian. `l_shell` is the pair's own L where it is known."""

    poleward: str
    equatorward: str
    l_shell: float | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """`POLEWARD-EQUATORWARD`, as in topics and metrics."""
        return f"{self.poleward}-{self.equatorward}"

    @property
    def stations(self) -> tuple[str, str]:
        """Poleward and equatorward code."""
        return (self.poleward, self.equatorward)


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """All windows that close together: one end, one step, each station's samples once for all its pairs.

    Attributes
    ----------
    pairs : tuple of Pair, length p
    stations : tuple of str, length s
    station_index : ndarray, shape (p, 2), int64
        Rows of `values_nT` that belong to the poleward and the equatorward station.
    end_ns, length_ns, step_ns : int
    values_nT : ndarray, shape (s, n), float64
        The component towards magnetic north (H); NaN is a gap.
    coverage : ndarray, shape (s,)
        Share of the window's samples that were there, at the step at which the station sends.
    offset_ns : ndarray, shape (s,), int64
        By how much the station's sample times lag the common grid (a station that samples at hh:mm:ss.3 has 0.3 s).
    notes : tuple of frozenset of str, length s
        What was done to the station's samples (`decimated`, `axes_unknown`, …); they go into the product's flags.
    """

    pairs: tuple[Pair, ...]
    stations: tuple[str, ...]
    station_index: IntArray
    end_ns: int
    length_ns: int
    step_ns: int
    values_nT: FloatArray
    coverage: FloatArray
    offset_ns: IntArray
    notes: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class StationQuality:
    """What conditioning found in one window, per station (arrays of shape (s,))."""

    coverage: FloatArray
    longest_gap_s: FloatArray
    spikes: IntArray
    flat: BoolArray
    usable: BoolArray


@dataclass(frozen=True, slots=True)
class SpectrumBatch:
    """Cross-spectra of the pairs of one `WindowBatch` on a fixed frequency grid.

    Conventions (Foldes et al. 2023): cross-phase = phase(equatorward) − phase(poleward), so that a normal
    resonance is a maximum; amplitude ratio = A(equatorward) / A(poleward), which rises through 1 there;
    `coherence` is the magnitude-squared coherence. What is masked or unusable is NaN.

    Attributes
    ----------
    window : WindowBatch
        Where the spectra come from (pairs, end, coverage, notes).
    quality : StationQuality
    frequency_Hz : ndarray, shape (f,)
    cross_phase_rad, amplitude_ratio, coherence : ndarray, shape (p, f)
    smoothing_bins : ndarray, shape (p,), int64
        Width of the boxcar that smoothed the complex cross-spectrum.
    usable : ndarray, shape (p,), bool
    log_power : ndarray, shape (s, f), or None
        Logarithm of each station's smoothed power; None where nobody computed it.
    """

    window: WindowBatch
    quality: StationQuality
    frequency_Hz: FloatArray
    cross_phase_rad: RealArray
    amplitude_ratio: RealArray
    coherence: RealArray
    smoothing_bins: IntArray
    usable: BoolArray
    log_power: RealArray | None = None


@dataclass(frozen=True, slots=True)
class GainProfile:
    """How much resonance models gain over straight lines, frequency by frequency.

    Attributes
    ----------
    frequency_Hz : ndarray, shape (k,)
        Resonance frequencies of the models, in a geometric series.
    gain, log_width, log_half_spacing : ndarray, shape (2, p, k), float32
        Largest fall of χ² at each frequency, and width over frequency and half spacing of the model that gains it:
        of the spectrum as it is, and reversed. NaN where nothing was tried.
    """

    frequency_Hz: FloatArray
    gain: Float32Array
    log_width: Float32Array
    log_half_spacing: Float32Array

    def rows(self, chosen: IntArray | BoolArray) -> GainProfile:
        """The same for some of the pairs."""
        return GainProfile(
            self.frequency_Hz,
            self.gain[:, chosen],
            self.log_width[:, chosen],
            self.log_half_spacing[:, chosen],
        )


@dataclass(frozen=True, slots=True)
class ResonanceEvidence:
    """What the physical estimate sees in every spectrum, accepted or not: the learned stages build on it.

    Arrays of shape (p,): the best resonance model, whether it stands reversed and is accepted, its evidence, the
    ramp of the whole coherent band with its error, width and scatter, and whether that is a clock offset (`offset`),
    which no model is asked about. Unknown is NaN.
    """

    accepted: BoolArray
    reversed: BoolArray
    frequency_Hz: FloatArray
    sigma_Hz: FloatArray
    cross_phase_rad: FloatArray
    coherence: FloatArray
    evidence: FloatArray
    timing_offset_s: FloatArray
    timing_sigma_s: FloatArray
    bandwidth_Hz: FloatArray
    scatter: FloatArray
    profile: GainProfile
    offset: BoolArray

    def rows(self, chosen: IntArray | BoolArray) -> ResonanceEvidence:
        """The same for some of the pairs."""
        names = [field.name for field in fields(self) if field.name != "profile"]
        arrays = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, **arrays, profile=self.profile.rows(chosen))


@dataclass(frozen=True, slots=True)
class ResonanceBatch:
    """The physical estimate for every pair of one `SpectrumBatch` (arrays of shape (p,); unknown is NaN).

    `label` and `reason` are what the estimate alone concludes; `reason` says why there is no resonance.
    Frequency, error, phase and coherence are those of an accepted resonance only. `timing_offset_s` is the clock
    offset τ of the best straight ramp 2π f τ of the cross-phase, whether or not it is large. `seen` is what the
    estimate saw besides.
    """

    spectrum: SpectrumBatch
    label: tuple[Label, ...]
    reason: tuple[str | None, ...]
    frequency_Hz: FloatArray
    sigma_Hz: FloatArray
    cross_phase_rad: FloatArray
    coherence: FloatArray
    timing_offset_s: FloatArray
    timing_sigma_s: FloatArray
    seen: ResonanceEvidence | None = None


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


@dataclass(frozen=True, slots=True)
class Product:
    """One object for the outside: what is published, stored and shown.

    `body` is complete but for the moment of publishing, which whoever sends it adds once (`encode`).
    """

    kind: str
    subject: str
    time_ns: int
    revision: int
    retained: bool
    body: Mapping[str, Json]
    valid_until_ns: int | None = None

    @property
    def topic(self) -> str:
        """Topic below the output root."""
        return f"{self.kind}/{self.subject}" if self.subject else self.kind

    def encode(self, published_ns: int) -> bytes:
        """The JSON bytes that go out: `body` with `published` and, where the product has one, `valid_until`.

        An event is a notification in the form of the WMO: there the moment is `properties.pubtime`.
        """
        document = dict(self.body)
        published = iso_time(published_ns // 1_000_000 * 1_000_000)
        if self.kind == "event" and document:
            document["properties"] = {"pubtime": published, **document["properties"]}
        else:
            document["published"] = published
        if self.valid_until_ns is not None:
            document["valid_until"] = iso_time(self.valid_until_ns)
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
