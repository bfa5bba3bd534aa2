"""Tables that are written in parts: CSV, plain or gzip, and Parquet. Memory does not depend on how long they get.

A cell is None where nothing is known: empty in CSV, null in Parquet. A time is ns UTC: ISO 8601 in CSV, a timestamp
with nanoseconds in Parquet.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from monitor.errors import MonitorError
from monitor.types import Json, iso_time

FORMATS: Final = ("csv", "csv.gz", "parquet")


class Kind(StrEnum):
    """What the cells of a column are."""

    TIME = "time"
    NUMBER = "number"
    WHOLE = "whole"
    TRUTH = "truth"
    TEXT = "text"


Columns = Mapping[str, Kind]


class Table(Protocol):
    """Takes the rows of a table in parts."""

    def write(self, cells: Sequence[Sequence[Json]]) -> None:
        """Take some rows: a sequence of cells for each column."""


def format_of(path: Path) -> str | None:
    """The format that a file's name asks for; None where it names none."""
    return next((one for one in FORMATS if path.name.lower().endswith(f".{one}")), None)


@contextmanager
def table(path: Path, columns: Columns, about: Mapping[str, str]) -> Iterator[Table]:
    """A table to write, under its name only once it is whole.

    Parameters
    ----------
    path : Path
        Its name says the format.
    columns : mapping of str to Kind
    about : mapping of str to str
        What else is to be said of the table; Parquet has a place for it, CSV has none.

    Raises
    ------
    MonitorError
        The file is there already, it cannot be written, or what writes Parquet is not installed.
    """
    if path.exists():
        raise MonitorError(f"{path}: is there already; name another place with -o")
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        with ExitStack() as stack:
            if format_of(path) == "parquet":
                yield _ParquetTable(unfinished, columns, about, stack)
            else:
                yield _CsvTable(unfinished, columns, stack, packed=format_of(path) == "csv.gz")
        unfinished.rename(path)
    except OSError as error:
        raise MonitorError(f"{path}: cannot be written ({error.strerror}); name another place") from error
    finally:
        unfinished.unlink(missing_ok=True)


class _CsvTable:
    def __init__(self, path: Path, columns: Columns, stack: ExitStack, *, packed: bool) -> None:
        file = stack.enter_context(path.open("wb"))
        # Without the time of day in it, the same rows are the same bytes.
        raw = stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0)) if packed else file
        text = stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        self._kinds = tuple(columns.values())
        self._writer = csv.writer(text, lineterminator="\n")
        self._writer.writerow(columns)

    def write(self, cells: Sequence[Sequence[Json]]) -> None:
        written = [map(_WRITTEN[kind], column) for kind, column in zip(self._kinds, cells, strict=True)]
        self._writer.writerows(zip(*written, strict=True))


def _time(cell: int | None) -> str:
    return "" if cell is None else iso_time(cell)


def _number(cell: float | None) -> str:
    return "" if cell is None else repr(cell)


def _truth(cell: bool | None) -> str:
    return "" if cell is None else str(cell).lower()


def _text(cell: Json) -> str:
    return "" if cell is None else str(cell)


_WRITTEN: Final = {
    Kind.TIME: _time,
    Kind.NUMBER: _number,
    Kind.WHOLE: _text,
    Kind.TRUTH: _truth,
    Kind.TEXT: _text,
}


class _ParquetTable:
    def __init__(self, path: Path, columns: Columns, about: Mapping[str, str], stack: ExitStack) -> None:
        arrow, parquet = _arrow()
        types = arrow_types(arrow)
        self._arrow = arrow
        self._schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()], dict(about))
        self._writer = stack.enter_context(parquet.ParquetWriter(path, self._schema))

    def write(self, cells: Sequence[Sequence[Json]]) -> None:
        arrays = [
            self._arrow.array(list(column), type=field.type)
            for column, field in zip(cells, self._schema, strict=True)
        ]
        self._writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))


def arrow_types(arrow: Any) -> Mapping[Kind, Any]:
    """The types of Parquet for columns; `arrow` is the library, `pyarrow`."""
    return {
        Kind.TIME: arrow.timestamp("ns", tz="UTC"),
        Kind.NUMBER: arrow.float64(),
        Kind.WHOLE: arrow.int64(),
        Kind.TRUTH: arrow.bool_(),
        Kind.TEXT: arrow.string(),
    }


def _arrow() -> tuple[Any, Any]:
    """The library for Parquet, which only this needs."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MonitorError(
            "Parquet needs pyarrow: pip install 'geospace-monitor[parquet]'; or export to .csv or .csv.gz"
        ) from None
    return pyarrow, pyarrow.parquet
