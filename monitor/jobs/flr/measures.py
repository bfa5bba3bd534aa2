"""How well a chain does on labelled windows: every figure that is asked of it, each with its interval and its count.

Only windows with a label and a usable spectrum are scored. Ambiguous windows and unusable spectra are counted apart.
A figure that no window can tell is None.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from monitor.jobs.flr.bootstrap import UNKNOWN, Estimate, Resampler, Share, interval, resampler
from monitor.jobs.flr.dataset import AMBIGUOUS, Outcomes, StringArray
from monitor.jobs.flr.groups import (
    AGREEMENT_SHARE,
    ALL,
    ERROR_SHARE,
    FREQ,
    NO_FREQ,
    PBL,
    band_groups,
    check,
    class_groups,
    close_Hz,
    f23_class_shares,
    light_groups,
    scored_windows,
)
from monitor.science.reliability import expected_calibration_error
from monitor.types import CLASSES, BoolArray, FloatArray, IntArray, Json, Label


@dataclass(frozen=True, slots=True)
class Decisions:
    """How the windows of each true class were called.

    Attributes
    ----------
    confusion : dict of illumination to rows of counts
        Rows are the truth and columns the call, in the order of `CLASSES`; under `all` also windows whose
        illumination is not known.
    freq_found, nofreq_passed, pbl_found : dict of group to Share
        Of the Freq windows those called Freq; of the NoFreq windows those called Freq or PBL; of the PBL windows
        those called PBL. Groups are `all`, the illuminations and the bands of L.
    others_called_pbl : Share
        Of the windows that are not PBL those called PBL, in the shares that the classes have in this data set.
    others_called_pbl_at_f23 : Estimate
        The same, the rates of the true classes weighted with the class shares of F23.
    pbl_precision_at_f23 : Estimate
        Of the windows called PBL those that are, at the class shares of F23.
    """

    confusion: dict[str, list[list[int]]]
    freq_found: dict[str, Share]
    nofreq_passed: dict[str, Share]
    pbl_found: dict[str, Share]
    others_called_pbl: Share
    others_called_pbl_at_f23: Estimate
    pbl_precision_at_f23: Estimate


@dataclass(frozen=True, slots=True)
class Reading:
    """How good the frequencies of some windows are; ε = (f − f_true) / f_true.

    Attributes
    ----------
    count, sequences : int
    median, p90 : Estimate
        Of |ε|.
    bias : Estimate
        Median of ε: negative where frequencies are read too low.
    p90_mHz : Estimate
        90th percentile of |f − f_true|.
    within : Share
        Windows whose |f − f_true| is at most 8 % of f_true or 0.3 mHz, whichever is more.
    covered : Share
        Windows whose interval holds f_true; of those that have one.
    width : float or None
        Median of (high − low) / f.
    """

    count: int
    sequences: int
    median: Estimate
    p90: Estimate
    bias: Estimate
    p90_mHz: Estimate
    within: Share
    covered: Share
    width: float | None


Readings = dict[str, dict[str, Reading]]
"""By class (`all`, `Freq`, `PBL`), then by band of L (`all` and each band)."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected calibration error of the probabilities of stage one, over the windows that have some."""

    count: int
    top_label: float | None
    class_wise: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The final call beside the physical estimate.

    Attributes
    ----------
    same_label : Share
    same_frequency : Share
        Of the windows that both call Freq, or both PBL: the two frequencies differ by at most 10 % or 0.3 mHz.
    right_if_agreed, right_if_not : Share
        How often the final label is true where label and frequency agree, and where they do not.
    """

    same_label: Share
    same_frequency: Share
    right_if_agreed: Share
    right_if_not: Share


@dataclass(frozen=True, slots=True)
class Apart:
    """Windows that are not scored: how many of which kind were called what (in the order of `CLASSES`)."""

    count: int
    called: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Measures:
    """All figures of one chain on one data set.

    Attributes
    ----------
    data, chain : str
    windows, scored, sequences : int
        Of all windows, those that are scored, and the sequences these belong to.
    stage_one, final, physical : Decisions
        After the moving threshold, after the tracker, and by the physical estimate alone.
    published : dict
        The frequencies that go out: windows whose final label is the true one.
    asked : dict
        The frequencies of all windows with a true one, read as the label says, whatever the chain called them.
    physical_read : dict
        Frequencies of the physical estimate where its label is the true one; it has no interval here.
    calibration : Calibration
    agreement : Agreement
    novel : dict of class to Share
        Scored windows flagged as unlike the training spectra, by true class and for all.
    ambiguous : Apart
        Windows without a label, by reason.
    unusable : Apart
        Labelled windows whose spectrum cannot be judged, by true class.
    """

    data: str
    chain: str
    windows: int
    scored: int
    sequences: int
    stage_one: Decisions
    final: Decisions
    physical: Decisions
    published: Readings
    asked: Readings
    physical_read: Readings
    calibration: Calibration
    agreement: Agreement
    novel: dict[str, Share]
    ambiguous: Apart
    unusable: Apart

    def to_json(self) -> dict[str, Json]:
        """What `json.dumps` takes; None where a figure is not known."""
        return asdict(self)


def measure(outcomes: Outcomes, *, rounds: int = 200, seed: int = 0) -> Measures:
    """Score a chain.

    Parameters
    ----------
    outcomes : Outcomes
    rounds, seed : int
        Of the bootstrap over sequences. Chains on the same windows get the same draws.

    Raises
    ------
    ValueError
        When the arrays do not belong together, or hold a class or an illumination that there is not.
    """
    check(outcomes)
    draws = resampler(outcomes.sequence, rounds=rounds, seed=seed)
    scored = scored_windows(outcomes)
    read = np.isin(outcomes.label, (FREQ, PBL)) & scored
    published = (outcomes.frequency_Hz, outcomes.low_Hz, outcomes.high_Hz)
    asked = (outcomes.truth_read_Hz, outcomes.truth_low_Hz, outcomes.truth_high_Hz)
    unknown = np.full(len(outcomes), np.nan)
    return Measures(
        data=outcomes.data,
        chain=outcomes.chain,
        windows=len(outcomes),
        scored=int(np.count_nonzero(scored)),
        sequences=draws.sequences(scored),
        stage_one=_decisions(outcomes, draws, outcomes.stage_one),
        final=_decisions(outcomes, draws, outcomes.final),
        physical=_decisions(outcomes, draws, outcomes.physical),
        published=_readings(outcomes, draws, read & (outcomes.final == outcomes.label), *published),
        asked=_readings(outcomes, draws, read, *asked),
        physical_read=_readings(
            outcomes,
            draws,
            read & (outcomes.physical == outcomes.label),
            outcomes.physical_Hz,
            unknown,
            unknown,
        ),
        calibration=_calibration(outcomes, scored),
        agreement=_agreement(outcomes, draws, scored),
        novel={
            name: draws.share(outcomes.novel, chosen)
            for name, chosen in class_groups(outcomes, scored).items()
        },
        ambiguous=_apart(outcomes, outcomes.label == AMBIGUOUS, outcomes.reason),
        unusable=_apart(
            outcomes,
            (outcomes.label != AMBIGUOUS) & ~outcomes.usable,
            np.array([label.value for label in CLASSES])[np.maximum(outcomes.label, 0)],
        ),
    )


def _decisions(outcomes: Outcomes, draws: Resampler, called: IntArray) -> Decisions:
    scored = scored_windows(outcomes) & (called >= 0)
    lights, groups = light_groups(outcomes), light_groups(outcomes) | band_groups(outcomes)
    of_class = [scored & (outcomes.label == index) for index in range(len(CLASSES))]

    def shares(hit: BoolArray, truth: int) -> dict[str, Share]:
        return {name: draws.share(hit, of_class[truth] & group) for name, group in groups.items()}

    others, precision = _at_f23_shares(draws, called == PBL, of_class)
    return Decisions(
        confusion={
            name: _confusion(outcomes.label, called, scored & group) for name, group in lights.items()
        },
        freq_found=shares(called == FREQ, FREQ),
        nofreq_passed=shares(called != NO_FREQ, NO_FREQ),
        pbl_found=shares(called == PBL, PBL),
        others_called_pbl=draws.share(called == PBL, scored & (outcomes.label != PBL)),
        others_called_pbl_at_f23=others,
        pbl_precision_at_f23=precision,
    )


def _confusion(truth: IntArray, called: IntArray, chosen: BoolArray) -> list[list[int]]:
    size = len(CLASSES)
    counts = np.bincount(truth[chosen] * size + called[chosen], minlength=size * size)
    table: list[list[int]] = counts.reshape(size, size).tolist()
    return table


def _at_f23_shares(
    draws: Resampler, called_pbl: BoolArray, of_class: list[BoolArray]
) -> tuple[Estimate, Estimate]:
    """Others called PBL, and the precision of PBL, where the classes have F23's shares."""
    share = f23_class_shares()
    rates = [draws.share(called_pbl, group) for group in of_class]
    drawn = [
        weight * draws.share_draws(called_pbl, group) for weight, group in zip(share, of_class, strict=True)
    ]
    others, right = rates[:PBL], rates[PBL]
    if any(rate.value is None for rate in others):
        return UNKNOWN, UNKNOWN
    false = sum(weight * (rate.value or 0.0) for weight, rate in zip(share, others, strict=False))
    false_drawn = np.sum(drawn[:PBL], axis=0)
    known = all(rate.low is not None for rate in others)
    called_wrongly = _maybe_interval(false / share[:PBL].sum(), false_drawn / share[:PBL].sum(), known)
    called = false + share[PBL] * (right.value or 0.0)
    if right.value is None or called == 0.0:
        return called_wrongly, UNKNOWN
    all_drawn = false_drawn + drawn[PBL]
    precise = np.divide(drawn[PBL], all_drawn, out=np.full(all_drawn.shape, np.nan), where=all_drawn > 0.0)
    return called_wrongly, _maybe_interval(1.0 - false / called, precise, known and right.low is not None)


def _maybe_interval(value: float, drawn: FloatArray, known: bool) -> Estimate:
    """The interval of the draws, unless one sequence alone made some of them."""
    return interval(float(value), drawn) if known else Estimate(float(value), None, None)


def _readings(
    outcomes: Outcomes,
    draws: Resampler,
    chosen: BoolArray,
    frequency_Hz: FloatArray,
    low_Hz: FloatArray,
    high_Hz: FloatArray,
) -> Readings:
    known = chosen & np.isfinite(frequency_Hz) & np.isfinite(outcomes.truth_Hz)
    kinds = {name: group for name, group in class_groups(outcomes, known).items() if name != Label.NO_FREQ}
    bands = {ALL: known} | band_groups(outcomes)
    error_Hz = frequency_Hz - outcomes.truth_Hz
    columns = (
        error_Hz,
        error_Hz / outcomes.truth_Hz,
        close_Hz(frequency_Hz, outcomes.truth_Hz, ERROR_SHARE),
        (low_Hz <= outcomes.truth_Hz) & (outcomes.truth_Hz <= high_Hz),
        (high_Hz - low_Hz) / frequency_Hz,
    )
    return {
        kind: {band: _reading(draws, group & within, *columns) for band, within in bands.items()}
        for kind, group in kinds.items()
    }


def _reading(
    draws: Resampler,
    among: BoolArray,
    error_Hz: FloatArray,
    error: FloatArray,
    close: BoolArray,
    inside: BoolArray,
    width: FloatArray,
) -> Reading:
    median, p90 = draws.quantiles(np.abs(error), among, (0.5, 0.9))
    (bias,) = draws.quantiles(error, among, (0.5,))
    (p90_mHz,) = draws.quantiles(1e3 * np.abs(error_Hz), among, (0.9,))
    bounded = among & np.isfinite(width)
    return Reading(
        count=int(np.count_nonzero(among)),
        sequences=draws.sequences(among),
        median=median,
        p90=p90,
        bias=bias,
        p90_mHz=p90_mHz,
        within=draws.share(close, among),
        covered=draws.share(inside, bounded),
        width=float(np.median(width[bounded])) if bounded.any() else None,
    )


def _calibration(outcomes: Outcomes, scored: BoolArray) -> Calibration:
    asked = scored & np.isfinite(outcomes.probability).all(axis=1)
    if not asked.any():
        return Calibration(0, None, None)
    error = expected_calibration_error(outcomes.probability[asked], outcomes.label[asked])
    return Calibration(int(np.count_nonzero(asked)), error.top_label, error.class_wise)


def _agreement(outcomes: Outcomes, draws: Resampler, scored: BoolArray) -> Agreement:
    asked = scored & (outcomes.physical >= 0)
    same = outcomes.final == outcomes.physical
    both = asked & same & (outcomes.final != NO_FREQ)
    close = close_Hz(outcomes.frequency_Hz, outcomes.physical_Hz, AGREEMENT_SHARE)
    agreed = same & (close | (outcomes.final == NO_FREQ))
    right = outcomes.final == outcomes.label
    return Agreement(
        same_label=draws.share(same, asked),
        same_frequency=draws.share(close, both),
        right_if_agreed=draws.share(right, asked & agreed),
        right_if_not=draws.share(right, asked & ~agreed),
    )


def _apart(outcomes: Outcomes, chosen: BoolArray, kind: StringArray) -> Apart:
    called = {}
    for name in np.unique(kind[chosen]).tolist():
        final = outcomes.final[chosen & (kind == name)]
        called[name or "no reason given"] = np.bincount(final, minlength=len(CLASSES)).tolist()
    return Apart(count=int(np.count_nonzero(chosen)), called=called)
