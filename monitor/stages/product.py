"""From findings to the `flr` objects of the contract, with their revisions."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from monitor.stages.ledger import RevisionLedger
from monitor.types import (
    CLASSES,
    SECOND_NS,
    Finding,
    Json,
    Label,
    MassDensity,
    PhysicalReading,
    Product,
    Reading,
    Tick,
    iso_time,
)

GRACE_NS = 180 * SECOND_NS
LEVEL = 0.9
_SIGMAS = 1.6448536269514722  # the 90 % interval of a normal error
_ESTIMATOR = "physical/1"
# Why the physical estimate alone sees no resonance: no longer said where the chain sees one.
_REASONS = frozenset({"incoherent", "no_resonance"})


class ProductStage:
    """Builds `flr` objects and numbers their revisions.

    A revision rises only when the content changes; what says the same again is not sent again. A retained topic
    keeps the newest time: a revision of an older one goes out unretained.

    Parameters
    ----------
    cadence_ns, lateness_ns : int
        `valid_until` is time + cadence + lateness + 180 s.
    remember_ns : int
        How far back revisions are told apart (as far as late samples can change a product).
    model : str, optional
        Name of the learned model; by default there is none.
    shadows : collection of str
        Pairs that are fed with synthetic signals: their objects say so.
    """

    lookback_ns = 0

    def __init__(
        self,
        cadence_ns: int,
        lateness_ns: int,
        remember_ns: int,
        *,
        model: str | None = None,
        shadows: Collection[str] = (),
    ) -> None:
        self._valid_ns = cadence_ns + lateness_ns + GRACE_NS
        self._shadows = frozenset(shadows)
        self._ledger = RevisionLedger(remember_ns)
        self._model = model

    def feed(self, items: Sequence[Finding] | Tick) -> list[Product]:
        """The objects that are new or say something new."""
        if isinstance(items, Tick):
            return []
        return [product for finding in items if (product := self._issue(finding)) is not None]

    def snapshot(self) -> Json:
        """The revisions issued so far, as JSON."""
        return self._ledger.snapshot()

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        self._ledger.restore(state)

    def _issue(self, finding: Finding) -> Product | None:
        pair, time_ns = finding.pair.name, finding.end_ns
        content = _content(finding, self._model, is_shadow=pair in self._shadows)
        turn = self._ledger.turn(pair, time_ns, content)
        if turn is None:
            return None
        head = {
            "schema": "geospace/flr/1",
            "id": f"flr/{pair}/{iso_time(time_ns)}/{turn.revision}",
            "pair": pair,
            "time": iso_time(time_ns),
            "effective_time": iso_time(time_ns - finding.length_ns // 2),
            "window_s": finding.length_ns / SECOND_NS,
            "revision": turn.revision,
        }
        return Product(
            kind="flr",
            subject=pair,
            time_ns=time_ns,
            revision=turn.revision,
            retained=turn.newest,
            body=head | content,
            valid_until_ns=time_ns + self._valid_ns,
        )


def _content(finding: Finding, model: str | None, *, is_shadow: bool) -> dict[str, Json]:
    """Everything of an `flr` object that revisions are judged by."""
    reading, physical = finding.reading, finding.physical
    learned = "physical_only" not in finding.flags
    return {
        "label": str(finding.label),
        "probability": _by_class(finding.probability),
        "stage_one": None if finding.stage_one is None else str(finding.stage_one),
        "track_probability": _by_class(finding.track_probability),
        "frequency_mHz": None if reading is None else _mHz(reading.frequency_Hz),
        "frequency_interval_mHz": None if reading is None else [_mHz(reading.low_Hz), _mHz(reading.high_Hz)],
        "interval_level": LEVEL,
        "physical": {
            "label": str(physical.label),
            "frequency_mHz": _mHz(physical.frequency_Hz),
            "sigma_mHz": _mHz(physical.sigma_Hz),
            "cross_phase_deg": number(math.degrees(physical.cross_phase_rad)),
            "coherence": number(physical.coherence),
            "agrees": _agrees(finding) if learned and finding.probability is not None else None,
            "timing_offset_s": number(physical.timing_offset_s),
            "timing_sigma_s": number(physical.timing_sigma_s),
        },
        "harmonic": _harmonic(finding, learned=learned),
        **_density(finding.density),
        "density_alternatives": [
            {"harmonic": one.harmonic, "ends": str(one.ends), **_density(one)} for one in finding.alternatives
        ],
        "l_shell": finding.pair.l_shell,
        "mlt_h": None if finding.mlt_h is None else number(finding.mlt_h),
        "illumination": None if finding.illumination is None else str(finding.illumination),
        "coverage": {station: number(share) for station, share in finding.coverage},
        "flags": sorted(_flags(finding, is_shadow=is_shadow)),
        "model": {"classifier": model, "regressor": model}
        if learned and model is not None
        else {"classifier": _ESTIMATOR, "regressor": _ESTIMATOR},
    }


def _density(density: MassDensity | None) -> dict[str, Json]:
    """A density with its interval and the index that it assumes; null where none is stated."""
    if density is None:
        return {"density_amu_cm3": None, "density_interval_amu_cm3": None, "density_index": None}
    return {
        "density_amu_cm3": number(density.density_amu_cm3),
        "density_interval_amu_cm3": [number(density.low_amu_cm3), number(density.high_amu_cm3)],
        "density_index": number(density.density_index),
    }


def _harmonic(finding: Finding, *, learned: bool) -> int | None:
    """The mode that the stated density takes; else the fundamental, which the model is trained to read.

    The physical estimate alone cannot tell one mode from another.
    """
    if finding.density is not None:
        return finding.density.harmonic
    return 1 if learned and finding.reading is not None else None


def _flags(finding: Finding, *, is_shadow: bool) -> frozenset[str]:
    """The finding's flags, as far as they agree with the final label."""
    flags = finding.flags | {"injection"} if is_shadow else finding.flags
    if finding.label is not Label.NO_FREQ:
        return flags - _REASONS
    if finding.probability is not None and finding.physical.label is not Label.NO_FREQ:
        return flags | {"unconfirmed"}
    return flags


def _agrees(finding: Finding) -> bool:
    """Whether the physical estimate says the same: the same label, and intervals that overlap."""
    reading, physical = finding.reading, finding.physical
    if physical.label is not finding.label:
        return False
    return reading is None or _overlap(reading, physical)


def _overlap(reading: Reading, physical: PhysicalReading) -> bool:
    reach = _SIGMAS * physical.sigma_Hz
    low, high = physical.frequency_Hz - reach, physical.frequency_Hz + reach
    return low <= reading.high_Hz and reading.low_Hz <= high


def _by_class(probability: tuple[float, float, float] | None) -> dict[str, Json] | None:
    if probability is None:
        return None
    return {str(label): number(share) for label, share in zip(CLASSES, probability, strict=True)}


def _mHz(frequency_Hz: float) -> float | None:
    return number(frequency_Hz * 1e3)


def number(value: float) -> float | None:
    """Seven significant digits; null where unknown."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
