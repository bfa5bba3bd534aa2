"""Files of Parquet: the columns of a kind of product, and a file of some rows. Nothing is ever half there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet

from monitor.errors import DecodeError, MonitorError
from monitor.io.flattening import cell, fields, kind_of
from monitor.io.tables import Kind, arrow_types
from monitor.types import Json

COLUMNS_FILE: Final = "_common_metadata"
"""Where readers of Parquet look for the columns of all files of a folder; they pass over it otherwise."""
MOST_COLUMNS: Final = 500
"""What is beyond is in `object` alone."""
_TYPES: Final = arrow_types(pyarrow)
_KINDS: Final = {kind: name for name, kind in _TYPES.items()}
_FIXED: Final = pyarrow.schema(
    [
        ("subject", pyarrow.string()),
        ("time", _TYPES[Kind.TIME]),
        ("revision", _TYPES[Kind.WHOLE]),
        ("digest", pyarrow.binary(16)),
        ("object", pyarrow.string()),
    ]
)
_SAME: Final = frozenset({"subject", "time", "revision"})
"""Fields of objects that say what a fixed column says."""
_TAKEN: Final = frozenset({"digest", "object", "kind", "date"})
"""Names of columns and of levels of folders that mean something else than the field does."""


@dataclass(frozen=True, slots=True)
class Row:
    """One product. `payload` is the text that was published."""

    kind: str
    subject: str
    time_ns: int
    revision: int
    payload: str

    @property
    def digest(self) -> bytes:
        """The same for a product that comes twice, and for no other one."""
        return hashlib.blake2b(f"{self.subject}\0{self.payload}".encode(), digest_size=16).digest()


def digests(folder: Path, but: str) -> set[bytes]:
    """Of all rows that are there, but for the file of a name. Raises OSError, and MonitorError for a file that is none."""
    found: set[bytes] = set()
    for path in folder.glob("*.parquet"):
        if path.name == but:
            continue
        try:
            column = pyarrow.parquet.read_table(path, columns=["digest"], partitioning=None)["digest"]
        except (pyarrow.ArrowException, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise MonitorError(f"{path}: is no part of the archive ({reason}); move it away") from None
        found.update(column.to_pylist())
    return found


def write_part(path: Path, schema: Any, rows: Sequence[Row]) -> None:
    """Write rows into a file, in place of one of that name. Raises OSError or ArrowException."""
    documents = [dict(_named(json.loads(row.payload))) for row in rows]
    columns: list[list[Json]] = [
        [row.subject for row in rows],
        [row.time_ns for row in rows],
        [row.revision for row in rows],
        [row.digest for row in rows],
        [row.payload for row in rows],
    ]
    for field in list(schema)[len(_FIXED) :]:
        kind = _KINDS[field.type]
        columns.append([_fitting(field.name, document.get(field.name), kind) for document in documents])
    arrays = [pyarrow.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    table = pyarrow.Table.from_arrays(arrays, schema=schema)
    _durably(path, lambda file: pyarrow.parquet.write_table(table, file, compression="zstd"))


def widened(folder: Path, rows: Iterable[Row]) -> Any:
    """The columns of a kind of product, with those that `rows` are the first to have; kept in its folder.

    A column has one type for ever: what does not fit into it is null there, and whole in `object`. A field that was
    never anything but null has no column yet. Raises OSError or ArrowException.
    """
    path = folder / COLUMNS_FILE
    known = pyarrow.parquet.read_schema(path) if path.exists() else _FIXED
    names = set(known.names)
    schema = known
    for row in rows:
        for name, value in _named(json.loads(row.payload)):
            if name not in names and (kind := kind_of(name, value)) is not None:
                if len(names) >= MOST_COLUMNS:
                    break
                names.add(name)
                schema = schema.append(pyarrow.field(name, _TYPES[kind]))
    if schema is not known:
        _durably(path, lambda file: pyarrow.parquet.write_metadata(schema, file))
    return schema


def _named(document: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    for name, value in fields(document):
        if name not in _SAME:
            yield (f"object_{name}" if name in _TAKEN else name), value


def _fitting(name: str, value: Json, kind: Kind) -> Json:
    """A value for a column; None where it is of another kind."""
    found = kind_of(name, value)
    fits = found is kind or kind is Kind.TEXT or (kind is Kind.NUMBER and found is Kind.WHOLE)
    if not fits:
        return None
    try:
        return cell(value, kind)
    except (DecodeError, OverflowError):
        return None


def _durably(path: Path, write: Callable[[Any], None]) -> None:
    """Write a file whole, on the disk, under its name once it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    # The folder may be as new as the file.
    sync_folder(path.parent)
    sync_folder(path.parent.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
