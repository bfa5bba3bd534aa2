"""Labelled spectra from a user's own table, by a mapping that says how it is laid out (`jobs.flr.mapping`).

What comes out is in the program's conventions: cross-phase E − P in radians, amplitude ratio E over P, magnitude-squared
coherence, on the grid of the daemon's spectra and masked above the same share of the Nyquist frequency.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from monitor.config.schema import parse_pair
from monitor.errors import ArchiveError
from monitor.jobs.flr.dataset import AMBIGUOUS, LabelledSpectra, StringArray
from monitor.jobs.flr.mapping import Number, TableMapping, label_word, load_mapping
from monitor.jobs.flr.regrid import Regridding, own_grid_Hz, smoothing_on_grid
from monitor.jobs.flr.splits import number_sequences
from monitor.jobs.flr.table_files import Table, open_table
from monitor.jobs.flr.table_times import window_ends_ns
from monitor.science.spectra import above_nyquist_share
from monitor.types import CLASSES, BoolArray, Float32Array, FloatArray, IntArray, Json, Label, iso_time

logger = logging.getLogger(__name__)

_FULL_TURN: Final = 2.0 * np.pi * (1.0 + 1e-6)
_RATIOS: Final = (1e-9, 1e9)
_SMALLEST_SHARE: Final = 0.5
"""Share of its bins that a spectrum must have to be judged."""


def read_table(
    path: Path, mapping: TableMapping | Path | Mapping[str, Json], *, progress: bool = False
) -> LabelledSpectra:
    """Read a CSV, NPZ, HDF5 or MAT file of labelled spectra.

    Parameters
    ----------
    path : Path
    mapping : TableMapping, path of a YAML file, or dict
    progress : bool
        Whether to draw a progress bar (CSV alone is read bit by bit).

    Returns
    -------
    LabelledSpectra
        Pair by pair in the order of their first row, each in the order of time.

    Raises
    ------
    ConfigurationError
        The mapping has faults.
    ArchiveError
        The file is missing, unreadable, or not what the mapping says: names row, column and value.
    """
    layout = mapping if isinstance(mapping, TableMapping) else load_mapping(mapping)
    table = open_table(path, layout, progress=progress)
    label = _labels(table, layout)
    step = _number(table, "step_s", layout.step_s, (0.05, 60.0))
    spectra = _own_spectra(table, layout, label, step)
    pair, end_ns = _pairs(table, layout), window_ends_ns(table, layout)
    order = _in_order(table, pair, end_ns)
    count = len(table)
    return LabelledSpectra(
        source=f"{layout.source} ({path.name})",
        synthetic=False,
        frequency_Hz=own_grid_Hz(),
        cross_phase_rad=spectra.cross_phase_rad,
        amplitude_ratio=spectra.amplitude_ratio,
        coherence=spectra.coherence,
        smoothing_bins=spectra.smoothing_bins,
        step_s=step,
        l_shell=_number(table, "l_shell", layout.l_shell, (1.0, 100.0), unknown=True),
        sequence=_sequences(pair, end_ns, order),
        pair=pair,
        end_ns=end_ns,
        label=label,
        truth_Hz=_truth_Hz(table, layout, label),
        illumination=np.full(count, "", dtype="U8"),
        reason=np.where(spectra.usable, "", "gap"),
        usable=spectra.usable,
    ).rows(order)


@dataclass(frozen=True, slots=True)
class _OwnSpectra:
    """Spectra on the program's grid, in its conventions (as in `LabelledSpectra`)."""

    cross_phase_rad: Float32Array
    amplitude_ratio: Float32Array
    coherence: Float32Array
    smoothing_bins: IntArray
    usable: BoolArray


def _own_spectra(table: Table, mapping: TableMapping, label: IntArray, step_s: FloatArray) -> _OwnSpectra:
    """Bring the spectra onto the grid; what the axis does not cover, and what nears Nyquist, is masked."""
    grid = own_grid_Hz()
    axis, increasing = _axis_Hz(table, mapping)
    way = Regridding.between(axis, grid)
    if not way.covered:
        raise ArchiveError(
            table.path,
            f"its frequencies reach from {axis[0] * 1e3:g} to {axis[-1] * 1e3:g} mHz, the program's from "
            f"{grid[0] * 1e3:.3g} to {grid[-1] * 1e3:.3g}; is frequency.unit right?",
        )
    steps, of_row = np.unique(step_s, return_inverse=True)
    masked = np.stack([above_nyquist_share(grid, one) for one in steps.tolist()])[of_row]
    phase = _on_grid(_phase(table, mapping, label)[:, increasing], way.phase, masked)
    covered = (np.isfinite(way.share) & ~masked).sum(axis=1)
    return _OwnSpectra(
        cross_phase_rad=phase,
        amplitude_ratio=_on_grid(_ratio(table, mapping, label)[:, increasing], way.ratio, masked),
        coherence=_on_grid(_coherence(table, mapping)[:, increasing], way.linear, masked),
        smoothing_bins=_smoothing(table, mapping, axis, grid),
        usable=(covered > 0) & (np.isfinite(phase).sum(axis=1) >= _SMALLEST_SHARE * covered),
    )


def _on_grid(values: FloatArray, onto: Callable[[FloatArray], FloatArray], masked: BoolArray) -> Float32Array:
    """Interpolate some rows at a time: what is between is several times as large as what comes out."""
    found: Float32Array = np.empty(masked.shape, dtype=np.float32)
    for start in range(0, values.shape[0], 1024):
        rows = slice(start, start + 1024)
        found[rows] = np.where(masked[rows], np.nan, onto(values[rows]))
    return found


def _labels(table: Table, mapping: TableMapping) -> IntArray:
    """Class indices, shape (n,)."""
    column, classes = mapping.label.column, mapping.label.classes.of_value()
    index = {str(name): place for place, name in enumerate(CLASSES)} | {"ambiguous": AMBIGUOUS}
    found = np.empty(len(table), dtype=np.int64)
    for row, value in enumerate(table.cells[column].tolist()):
        word = label_word(value)
        name = classes.get(word)
        if name is None and mapping.label.others == "error":
            raise table.fault(
                row,
                column,
                f"is {word[:40]!r}, which no class of the mapping names (they name "
                f"{', '.join(sorted(classes))}); add it, or set label.others: ambiguous",
            )
        found[row] = index[name or "ambiguous"]
    return found


def _axis_Hz(table: Table, mapping: TableMapping) -> tuple[FloatArray, slice]:
    """The frequencies (f,), increasing, and how the columns must be taken for that."""
    count, frequency = len(table.columns["cross_phase"]), mapping.frequency
    if table.axis is not None:
        axis: FloatArray = table.axis
    elif frequency.values is not None:
        axis = np.asarray(frequency.values, dtype=np.float64)
    else:
        axis = (frequency.first or 0.0) + (frequency.step or 0.0) * np.arange(count, dtype=np.float64)
    for role, columns in table.columns.items():
        if len(columns) != axis.size:
            raise ArchiveError(
                table.path, f"{role} has {len(columns)} frequencies, but the axis has {axis.size}"
            )
    if axis.size < 2:
        raise ArchiveError(table.path, f"has {axis.size} frequency; two at least make a spectrum")
    direction = slice(None, None, -1) if axis[0] > axis[-1] else slice(None)
    axis = axis[direction]
    # Also NaN is no step forward.
    wrong = ~(np.diff(axis, prepend=-np.inf) > 0.0) | ~np.isfinite(axis) | ~(axis >= 0.0)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise ArchiveError(
            table.path,
            f"its frequency axis has {axis[place]:g} {frequency.unit} at place {place + 1}; frequencies must be "
            "finite, not negative and in order",
        )
    return axis * frequency.scale, direction


def _spectrum(table: Table, role: str, missing: list[float]) -> FloatArray:
    """The values of a spectrum with NaN for what is missing; infinity is refused."""
    values = table.spectra[role]
    if missing:
        values = np.where(np.isin(values, missing), np.nan, values).astype(np.float64)
    _refuse(table, role, np.isinf(values), "a finite number is needed, or nothing")
    return values


def _refuse(table: Table, role: str, wrong: BoolArray, advice: str) -> None:
    """Raise ArchiveError for the first value of a spectrum that is wrong."""
    if wrong.any():
        row, column = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        value = float(table.spectra[role][row, column])
        raise table.fault(int(row), table.columns[role][int(column)], f"is {value:g}; {advice}")


def _phase(table: Table, mapping: TableMapping, label: IntArray) -> FloatArray:
    """The cross-phase E − P in radians, that of PBL as it was measured."""
    stated = mapping.cross_phase
    values = _spectrum(table, "cross_phase", stated.missing)
    degrees = stated.unit == "degrees"
    phase = np.radians(values) if degrees else values
    advice = (
        "a phase is from −360 to 360 degrees"
        if degrees
        else "a phase is from −2π to 2π radians: is it in degrees?"
    )
    _refuse(table, "cross_phase", np.abs(phase) > _FULL_TURN, advice)
    largest = np.abs(values).max(initial=0.0, where=np.isfinite(values))
    if degrees and 0.0 < largest <= _FULL_TURN:
        logger.warning(
            "%s: no cross-phase is larger than %.3g degrees; is it in radians?", table.path, largest
        )
    if stated.sign == "poleward_minus_equatorward":
        phase = -phase
    if stated.pbl_reversed:
        phase = np.where(_is_pbl(label), -phase, phase)
    return phase


def _ratio(table: Table, mapping: TableMapping, label: IntArray) -> FloatArray:
    """The amplitude ratio E over P; all NaN where the table has none."""
    stated = mapping.amplitude_ratio
    if stated is None:
        return np.full_like(table.spectra["cross_phase"], np.nan)
    ratio = _spectrum(table, "amplitude_ratio", stated.missing)
    low, high = _RATIOS
    wrong = (ratio < low) | (ratio > high)
    _refuse(table, "amplitude_ratio", wrong, f"a ratio of amplitudes is from {low:g} to {high:g}")
    if stated.ratio == "poleward_over_equatorward":
        ratio = 1.0 / ratio
    return np.where(_is_pbl(label), 1.0 / ratio, ratio) if stated.pbl_reversed else ratio


def _coherence(table: Table, mapping: TableMapping) -> FloatArray:
    """The magnitude-squared coherence; all NaN where the table has none."""
    stated = mapping.coherence
    if stated is None:
        return np.full_like(table.spectra["cross_phase"], np.nan)
    coherence = _spectrum(table, "coherence", stated.missing)
    wrong = (coherence < -1e-6) | (coherence > 1.0 + 1e-6)
    _refuse(table, "coherence", wrong, "a coherence is from 0 to 1")
    coherence = np.clip(coherence, 0.0, 1.0)
    return coherence if stated.squared else coherence**2


def _is_pbl(label: IntArray) -> BoolArray:
    is_pbl: BoolArray = (label == CLASSES.index(Label.PBL))[:, None]
    return is_pbl


def _truth_Hz(table: Table, mapping: TableMapping, label: IntArray) -> FloatArray:
    """Frequencies of Freq and PBL, else NaN; what stands beside another label is not looked at."""
    resonant = (label == CLASSES.index(Label.FREQ)) | (label == CLASSES.index(Label.PBL))
    stated = mapping.resonance
    if stated is None:
        return np.full(len(table), np.nan)
    values = table.numbers(stated.column)
    values[np.isin(values, stated.none)] = np.nan
    truth: FloatArray = np.where(resonant, values * stated.scale, np.nan)
    grid = own_grid_Hz()
    wrong = (truth < grid[0]) | (truth > grid[-1])
    if stated.required:
        wrong |= resonant & np.isnan(truth)
    if wrong.any():
        row = int(np.argmax(wrong))
        name = CLASSES[int(label[row])]
        if np.isnan(truth[row]):
            found = f"has no frequency, but the label is {name}; set resonance.required: false to take it so"
        else:
            found = f"is {values[row]:g} {stated.unit}; a resonance is from 1.1 to 100 mHz"
        raise table.fault(row, stated.column, found)
    return truth


def _number(
    table: Table, key: str, stated: Number | None, bounds: tuple[float, float], *, unknown: bool = False
) -> FloatArray:
    """A number for each row, from a column or the same for all, shape (n,); with `unknown` it may be NaN."""
    low, high = bounds
    if stated is None:
        return np.full(len(table), np.nan)
    if stated.column is None:
        value = np.nan if stated.value is None else stated.value
        if not low <= value <= high:
            raise ArchiveError(
                table.path, f"{key} in the mapping is {value:g}; allowed are {low:g} to {high:g}"
            )
        return np.full(len(table), value)
    values = table.numbers(stated.column)
    good = (values >= low) & (values <= high)
    if unknown:
        good |= np.isnan(values)
    if not good.all():
        row = int(np.argmin(good))
        raise table.fault(
            row, stated.column, f"is {values[row]:g}; allowed are {low:g} to {high:g} ({key} in the mapping)"
        )
    return values


def _smoothing(table: Table, mapping: TableMapping, axis: FloatArray, grid: FloatArray) -> IntArray:
    """The width of the smoothing in bins of the grid, shape (n,)."""
    bins = _number(table, "smoothing_bins", mapping.smoothing_bins, (1.0, 1000.0))
    return smoothing_on_grid(bins, float(np.median(np.diff(axis))), float(grid[1] - grid[0]))


def _pairs(table: Table, mapping: TableMapping) -> StringArray:
    """The name of each row's pair, POLEWARD-EQUATORWARD, shape (n,)."""
    column = mapping.pair.column
    if column is None:
        return np.full(len(table), parse_pair(mapping.pair.value or "").name)
    names: dict[str, str] = {}
    texts = [str(value).strip() for value in table.cells[column].tolist()]
    for row, text in enumerate(texts):
        if text not in names:
            try:
                names[text] = parse_pair(text).name
            except ValueError:
                raise table.fault(
                    row, column, f"is {text[:40]!r}; write POLEWARD-EQUATORWARD, such as TAR-BRZ"
                ) from None
    return np.array([names[text] for text in texts])


def _sequences(pair: StringArray, end_ns: IntArray, order: IntArray) -> IntArray:
    """The number of each row's sequence, in the order of the file, shape (n,)."""
    sequence = np.empty_like(end_ns)
    sequence[order] = number_sequences(pair[order], end_ns[order])
    return sequence


def _in_order(table: Table, pair: StringArray, end_ns: IntArray) -> IntArray:
    """The rows pair by pair, in the order of their first rows, each by time. Two rows for one window are refused."""
    _, first, which = np.unique(pair, return_index=True, return_inverse=True)
    order = np.lexsort((end_ns, first[which])).astype(np.int64)
    again = (np.diff(end_ns[order]) == 0) & (pair[order][1:] == pair[order][:-1])
    if again.any():
        place = int(np.argmax(again))
        one, other = sorted((int(order[place]), int(order[place + 1])))
        raise ArchiveError(
            table.path,
            f"{table.word} {table.number[other]} repeats the window of {pair[one]} that ends "
            f"{iso_time(int(end_ns[one]))} ({table.word} {table.number[one]}); keep one",
        )
    return order
