"""What the resonance models learn from and are tested on: labelled spectra, and what a model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.types import BoolArray, Float32Array, FloatArray, IntArray

AMBIGUOUS: Final = -1
"""Class index of a window that has no label: it is counted and reported apart, never learnt from or scored."""

StringArray = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class LabelledSpectra:
    """Labelled cross-phase spectra of one frequency grid, one row a window.

    Attributes
    ----------
    source : str
        Where they come from, for the model card.
    synthetic : bool
    frequency_Hz : ndarray, shape (f,)
        Evenly spaced.
    cross_phase_rad : ndarray, shape (n, f), float32
        phase(E) − phase(P); NaN is masked.
    amplitude_ratio, coherence : ndarray, shape (n, f), float32
        All NaN where the source has none.
    smoothing_bins : ndarray, shape (n,)
    step_s, l_shell : ndarray, shape (n,)
        L is NaN where unknown.
    sequence : ndarray, shape (n,), int64
        Windows of one run of one pair share a number; within it they are in the order of time.
    pair : ndarray of str, shape (n,)
    end_ns : ndarray, shape (n,), int64
    label : ndarray, shape (n,), int64
        Index into `types.CLASSES`, or AMBIGUOUS.
    truth_Hz : ndarray, shape (n,)
        Frequency of `Freq` and `PBL`, else NaN.
    illumination : ndarray of str, shape (n,)
        `day`, `penumbra`, `night`, or empty where unknown.
    reason : ndarray of str, shape (n,)
        Why a window has its label, where the source says so.
    usable : ndarray of bool, shape (n,)
        False where a spectrum cannot be judged (gaps, dead channels): the chain says NoFreq with a flag.
    log_power : ndarray, shape (n, 2, f), float32, or None
        Of the poleward and the equatorward station, as from `spectra.log_powers`; None where the source has none.
    """

    source: str
    synthetic: bool
    frequency_Hz: FloatArray
    cross_phase_rad: Float32Array
    amplitude_ratio: Float32Array
    coherence: Float32Array
    smoothing_bins: IntArray
    step_s: FloatArray
    l_shell: FloatArray
    sequence: IntArray
    pair: StringArray
    end_ns: IntArray
    label: IntArray
    truth_Hz: FloatArray
    illumination: StringArray
    reason: StringArray
    usable: BoolArray
    log_power: Float32Array | None = None

    def __len__(self) -> int:
        return int(self.label.size)

    def rows(self, chosen: IntArray | BoolArray) -> LabelledSpectra:
        """The same for some of the windows."""
        whole = {"source", "synthetic", "frequency_Hz"}
        if self.log_power is None:
            whole.add("log_power")
        names = [field.name for field in fields(self) if field.name not in whole]
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


def joined_data(parts: Sequence[LabelledSpectra]) -> LabelledSpectra:
    """Windows of several sets as one; all share a frequency grid, and source and kind are those of the first."""
    first = parts[0]
    whole = {"source", "synthetic", "frequency_Hz", "log_power"}
    names = [field.name for field in fields(LabelledSpectra) if field.name not in whole]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    powers = [part.log_power for part in parts if part.log_power is not None]
    power = np.concatenate(powers) if len(powers) == len(parts) else None
    return replace(first, **arrays, log_power=power)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a chain says of labelled windows, one row a window, beside what is true of them.

    Attributes
    ----------
    data, chain : str
        Names of the data set and of the chain, for titles.
    sequence, end_ns, label, truth_Hz, l_shell, step_s, illumination, reason, pair, usable
        As in `LabelledSpectra`.
    probability : ndarray, shape (n, 3)
        Calibrated probabilities of stage one; NaN where the classifier was not asked.
    stage_one, final : ndarray, shape (n,), int64
        Class index after the moving threshold, and after the tracker.
    frequency_Hz, low_Hz, high_Hz : ndarray, shape (n,)
        Frequency and 90 % interval that go with `final`; NaN for NoFreq.
    truth_read_Hz, truth_low_Hz, truth_high_Hz : ndarray, shape (n,)
        What the regressor reads where the label's own reading (upright for Freq, reversed for PBL) is asked for,
        whatever `final` says; NaN where there is no true frequency.
    physical : ndarray, shape (n,), int64
        Class index of the physical estimate alone.
    physical_Hz : ndarray, shape (n,)
    novel : ndarray of bool, shape (n,)
        Flagged as unlike the training spectra.
    """

    data: str
    chain: str
    sequence: IntArray
    end_ns: IntArray
    label: IntArray
    truth_Hz: FloatArray
    l_shell: FloatArray
    step_s: FloatArray
    illumination: StringArray
    reason: StringArray
    pair: StringArray
    usable: BoolArray
    probability: FloatArray
    stage_one: IntArray
    final: IntArray
    frequency_Hz: FloatArray
    low_Hz: FloatArray
    high_Hz: FloatArray
    truth_read_Hz: FloatArray
    truth_low_Hz: FloatArray
    truth_high_Hz: FloatArray
    physical: IntArray
    physical_Hz: FloatArray
    novel: BoolArray

    def __len__(self) -> int:
        return int(self.label.size)
