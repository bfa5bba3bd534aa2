"""The files of labelled tables, CSV, NPZ, HDF5 and MAT, as columns and spectra; all that is wrong is one `ArchiveError`.

Only what the mapping names is read. Nothing is unpickled. Rows count from 1 in messages; those of a CSV file are lines.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from monitor.errors import ArchiveError
from monitor.io.files.rows import parse_numbers
from monitor.jobs.flr.arrays import open_arrays
from monitor.jobs.flr.mapping import Selector, TableMapping
from monitor.types import FloatArray, IntArray

MAXIMUM_BYTES: Final = 4 << 30
"""Largest file, and largest array in one: they are read whole."""

_CHUNK_ROWS = 500
_MISSING_WORDS: Final = frozenset({"", "nan", "na", "n/a", "null", "none"})
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")

Cells = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Table:
    """What the mapping names of one file.

    Attributes
    ----------
    path : str
    word : str
        What a row is called in messages: `line` or `row`.
    number : ndarray, shape (n,)
        Number of each row, under that name.
    cells : mapping of str to ndarray, shape (n,)
        Columns with one value a window, as they stand there.
    spectra : mapping of str to ndarray, shape (n, f)
    columns : mapping of str to tuple of str
        What each column of the spectra is called in messages.
    axis : ndarray, shape (f,), or None
        Frequencies that the file itself gives, in its unit.
    """

    path: str
    word: str
    number: IntArray
    cells: Mapping[str, Cells]
    spectra: Mapping[str, FloatArray]
    columns: Mapping[str, tuple[str, ...]]
    axis: FloatArray | None

    def __len__(self) -> int:
        return int(self.number.size)

    def fault(self, row: int, column: str, message: str) -> ArchiveError:
        """The error of one value: `row` is an index, `message` says what was found and what is allowed."""
        return ArchiveError(self.path, f"{self.word} {self.number[row]}: {column} {message}")

    def numbers(self, column: str) -> FloatArray:
        """A column as numbers, shape (n,); an empty cell is NaN. Raises ArchiveError."""
        values = self.cells[column]
        if values.dtype.kind in "biuf":
            return values.astype(np.float64)
        found = np.empty(values.size)
        for row, text in enumerate(values.astype(str).tolist()):
            try:
                found[row] = math.nan if text.strip().lower() in _MISSING_WORDS else float(text)
            except ValueError:
                raise self.fault(row, column, f"is {text[:40]!r}; write a number or nothing") from None
        return found


def open_table(path: Path, mapping: TableMapping, *, progress: bool = False) -> Table:
    """Read what the mapping names. Raises ArchiveError for a file that is missing, too large or not what it says."""
    name = str(path)
    kind = mapping.format_of(path)
    if kind is None:
        raise ArchiveError(
            name, "has a suffix that tells no format; state format: csv, npz, hdf5 or mat in the mapping"
        )
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ArchiveError(name, f"cannot be read: {error.strerror or error}") from None
    except ValueError:  # a NUL in the name
        raise ArchiveError(repr(name), "cannot be the name of a file") from None
    if size > MAXIMUM_BYTES:
        raise ArchiveError(name, f"holds {size} bytes; {MAXIMUM_BYTES} at most are read: split it by time")
    if not path.is_file():
        raise ArchiveError(name, "is no file")
    if kind == "csv":
        return _read_csv(path, mapping, size, progress=progress)
    return _read_arrays(path, kind, mapping)


def _chosen(path: str, role: str, selector: Selector, names: Sequence[str]) -> tuple[str, ...]:
    """The columns that a selector names, those of a prefix or pattern in the order of the number in their names."""
    if selector.columns is not None:
        return tuple(selector.columns)
    expression = (
        selector.pattern if selector.pattern is not None else f"{re.escape(selector.prefix or '')}(.+)"
    )
    matches = [match for name in names if (match := re.fullmatch(expression, name))]
    if not matches:
        key, text = ("pattern", selector.pattern) if selector.pattern else ("prefix", selector.prefix)
        raise ArchiveError(path, f"no column fits {role}.{key} {text!r}; it has {_listed(names)}")
    found = [(_number_of(match), match.string) for match in matches]
    if all(number is not None for number, _ in found):
        found.sort(key=lambda pair: pair[0] or 0.0)
    return tuple(name for _, name in found)


def _number_of(match: re.Match[str]) -> float | None:
    text = match[1] if match.re.groups and match[1] is not None else match[0]
    found = _NUMBER.fullmatch(text)
    return float(found[0]) if found else None


def _axis_of_names(path: str, mapping: TableMapping, columns: Sequence[str]) -> FloatArray:
    """Frequencies in the names of the columns of the cross-phase."""
    selector = mapping.cross_phase
    if selector.prefix is None and (selector.pattern is None or not re.compile(selector.pattern).groups):
        raise ArchiveError(
            path,
            "frequency.from_names needs cross_phase.prefix, or a pattern with a group (…) about the number",
        )
    expression = selector.pattern or f"{re.escape(selector.prefix or '')}(.+)"
    axis = []
    for name in columns:
        match = re.fullmatch(expression, name)
        number = None if match is None else _number_of(match)
        if number is None:
            raise ArchiveError(path, f"the name of the column {name!r} holds no frequency")
        axis.append(number)
    return np.array(axis)


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
    return text if len(text) <= 300 else f"{text[:297]}..."


# CSV


@contextmanager
def _text_of(path: Path) -> Iterator[tuple[io.TextIOWrapper, Callable[[], int]]]:
    """The text of a file, and how far it has been read (bytes)."""
    name = str(path)
    try:
        with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            yield text, raw.tell
    except OSError as error:
        raise ArchiveError(name, f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise ArchiveError(name, f"holds the byte 0x{found:02x}, which is not UTF-8; is it CSV?") from None


def _read_csv(path: Path, mapping: TableMapping, size: int, *, progress: bool) -> Table:
    name = str(path)
    with (
        _text_of(path) as (text, position),
        tqdm(total=size, unit="B", unit_scale=True, desc=path.name, disable=not progress) as bar,
    ):
        rows = _csv_rows(name, text, mapping.delimiter)
        header = next(rows, None)
        if header is None:
            raise ArchiveError(name, "is empty; expected is a line with the names of the columns, then rows")
        names = [cell.strip() for cell in header[1]]
        reader = _CsvColumns(name, names, mapping)
        chunk: list[tuple[int, list[str]]] = []
        for number, row in rows:
            if len(row) != len(names):
                raise ArchiveError(
                    name, f"line {number}: {len(row)} cells, but the header names {len(names)}"
                )
            chunk.append((number, row))
            if len(chunk) == _CHUNK_ROWS:
                reader.take(chunk)
                chunk = []
                bar.update(position() - bar.n)
        reader.take(chunk)
        bar.update(size - bar.n)
    return reader.table()


def _csv_rows(name: str, text: io.TextIOWrapper, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row, the header first; what begins with # before it is comment."""
    reader = csv.reader(text, delimiter=delimiter)
    begun = False
    try:
        for row in reader:
            if row and (begun or not row[0].startswith("#")):
                begun = True
                yield reader.line_num, row
    except csv.Error as error:
        raise ArchiveError(name, f"line {reader.line_num}: cannot be read as CSV: {error}") from None


class _CsvColumns:
    """Takes rows as text and keeps of them what the mapping names."""

    def __init__(self, path: str, names: Sequence[str], mapping: TableMapping) -> None:
        self._path, self._names, self._mapping = path, names, mapping
        for role, selector in mapping.spectra.items():
            if selector.array is not None:
                raise ArchiveError(
                    path, f"a CSV file has no 2-D array: give columns, prefix or pattern for {role}"
                )
        if mapping.frequency.array is not None:
            raise ArchiveError(path, "a CSV file has no array of frequencies: give first and step, or values")
        self._columns = {role: _chosen(path, role, one, names) for role, one in mapping.spectra.items()}
        wanted = [*mapping.cells, *(name for chosen in self._columns.values() for name in chosen)]
        for name in wanted:
            if name not in names:
                raise ArchiveError(
                    path, f"has no column {name!r}, which the mapping names; it has {_listed(names)}"
                )
            if names.count(name) > 1:
                raise ArchiveError(path, f"has {names.count(name)} columns {name!r}; give each its own name")
        self._lines: list[int] = []
        self._cells: dict[str, list[str]] = {cell: [] for cell in mapping.cells}
        self._spectra: dict[str, list[FloatArray]] = {role: [] for role in mapping.spectra}

    def take(self, chunk: Sequence[tuple[int, list[str]]]) -> None:
        """Keep some rows. Raises ArchiveError where a spectrum holds what is no number."""
        if not chunk:
            return
        lines = [number for number, _ in chunk]
        of_column = dict(zip(self._names, zip(*(row for _, row in chunk), strict=True), strict=True))
        self._lines += lines
        for cell, kept in self._cells.items():
            kept += of_column[cell]
        for role, chosen in self._columns.items():
            parsed = [parse_numbers(of_column[name], name, lines, self._path) for name in chosen]
            self._spectra[role].append(np.stack(parsed, axis=1))

    def table(self) -> Table:
        """All that was taken."""
        if not self._lines:
            raise ArchiveError(self._path, "holds no rows of data")
        axis = None
        if self._mapping.frequency.from_names:
            axis = _axis_of_names(self._path, self._mapping, self._columns["cross_phase"])
        return Table(
            path=self._path,
            word="line",
            number=np.array(self._lines, dtype=np.int64),
            cells={cell: np.array(kept) for cell, kept in self._cells.items()},
            spectra={role: np.concatenate(parts) for role, parts in self._spectra.items()},
            columns=self._columns,
            axis=axis,
        )


# Arrays


def _read_arrays(path: Path, kind: str, mapping: TableMapping) -> Table:
    name = str(path)
    with open_arrays(path, kind, MAXIMUM_BYTES) as arrays:
        cells = {cell: arrays.vector(cell) for cell in mapping.cells}
        count = cells[mapping.time.column].size
        if not count:
            raise ArchiveError(name, f"{mapping.time.column} is empty: there is no window")
        for cell, values in cells.items():
            if values.size != count:
                raise ArchiveError(
                    name, f"{cell} has {values.size} values, but {mapping.time.column} has {count}"
                )
        axis = None
        if mapping.frequency.array is not None:
            axis = arrays.numeric(mapping.frequency.array).ravel()
        spectra, columns = {}, {}
        for role, selector in mapping.spectra.items():
            if selector.array is not None:
                values = arrays.numeric(selector.array)
                spectra[role] = _windows_first(name, selector, values, count, axis)
                bins = range(1, spectra[role].shape[1] + 1)
                columns[role] = tuple(f"{selector.array} column {number}" for number in bins)
                continue
            columns[role] = _chosen(name, role, selector, arrays.names)
            parts = [arrays.numeric(column).ravel() for column in columns[role]]
            for column, part in zip(columns[role], parts, strict=True):
                if part.size != count:
                    raise ArchiveError(
                        name, f"{column} has {part.size} values, but {mapping.time.column} has {count}"
                    )
            spectra[role] = np.stack(parts, axis=1)
    if mapping.frequency.from_names:
        axis = _axis_of_names(name, mapping, columns["cross_phase"])
    return Table(name, "row", np.arange(1, count + 1), cells, spectra, columns, axis)


def _windows_first(
    path: str, selector: Selector, values: FloatArray, count: int, axis: FloatArray | None
) -> FloatArray:
    """A 2-D array with a row a window, whichever way it stands in the file."""
    if values.ndim != 2:
        raise ArchiveError(path, f"{selector.array} has the shape {values.shape}; a 2-D array is needed")
    as_rows, as_columns = values.shape[0] == count, values.shape[1] == count
    if axis is not None:
        as_rows &= values.shape[1] == axis.size
        as_columns &= values.shape[0] == axis.size
    if selector.rows is not None:
        as_rows &= selector.rows == "windows"
        as_columns &= selector.rows == "frequencies"
    if as_rows and as_columns:
        raise ArchiveError(
            path,
            f"{selector.array} has as many windows as frequencies ({count}); state rows: windows or "
            "rows: frequencies in the mapping",
        )
    if not as_rows and not as_columns:
        against = f"{count} windows" + (f" and {axis.size} frequencies" if axis is not None else "")
        stated = f" with rows: {selector.rows}" if selector.rows else ""
        raise ArchiveError(
            path, f"{selector.array} has the shape {values.shape}, which does not fit {against}{stated}"
        )
    return values if as_rows else np.ascontiguousarray(values.T)
