"""Records as bytes: CSV, HAPI's binary, and JSON, a page at a time."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from monitor.io.hapi.columns import Cell, Column
from monitor.types import Json

Format: TypeAlias = Literal["csv", "binary", "json"]
Record: TypeAlias = Sequence[Cell]

MEDIA_TYPES: Final[dict[Format, str]] = {
    "csv": "text/csv",
    "binary": "application/octet-stream",
    "json": "application/json",
}
"""The formats that are given out, and what they are called in HTTP."""


class Encoder(Protocol):
    """Makes bytes of records; `begin` comes first, `end` last."""

    def begin(self, header: dict[str, Json] | None) -> bytes:
        """What stands before the records: the header where it is asked for."""
        ...

    def encode(self, records: Sequence[Record]) -> bytes:
        """Some records."""
        ...

    def end(self) -> bytes:
        """What stands behind the records."""
        ...


def encoder(form: Format, columns: Sequence[Column]) -> Encoder:
    """The encoder of a format for records of these columns."""
    match form:
        case "csv":
            return _Csv()
        case "binary":
            return _Binary(columns)
        case "json":
            return _Json(columns)


def _commented(header: dict[str, Json] | None) -> bytes:
    return b"" if header is None else f"#{json.dumps(header, ensure_ascii=False)}\n".encode()


class _Csv:
    """A line a record, as RFC 4180 has it but for its line ends, which HAPI's own examples end with a newline alone."""

    def begin(self, header: dict[str, Json] | None) -> bytes:
        return _commented(header)

    def encode(self, records: Sequence[Record]) -> bytes:
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows(records)
        return lines.getvalue().encode()

    def end(self) -> bytes:
        return b""


class _Binary:
    """Doubles and integers little-endian, texts padded with zeros to their lengths."""

    def __init__(self, columns: Sequence[Column]) -> None:
        codes = {"double": "d", "integer": "i"}
        self._row = struct.Struct(
            "<" + "".join(codes.get(column.type, f"{column.length}s") * column.width for column in columns)
        )

    def begin(self, header: dict[str, Json] | None) -> bytes:
        return _commented(header)

    def encode(self, records: Sequence[Record]) -> bytes:
        pack = self._row.pack
        return b"".join(
            pack(*[cell.encode() if isinstance(cell, str) else cell for cell in record]) for record in records
        )

    def end(self) -> bytes:
        return b""


class _Json:
    """The header as an object, with the records as its last member."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._widths = [(column.width, bool(column.size)) for column in columns]
        self._encode = msgspec.json.Encoder().encode
        self._is_first = True

    def begin(self, header: dict[str, Json] | None) -> bytes:
        before = json.dumps(header or {}, ensure_ascii=False)
        return f'{before[:-1]}{", " if header else ""}"data": ['.encode()

    def encode(self, records: Sequence[Record]) -> bytes:
        lines = b",\n".join(self._encode(list(self._nested(record))) for record in records)
        start, self._is_first = (b"\n" if self._is_first else b",\n"), False
        return start + lines if records else b""

    def end(self) -> bytes:
        return b"\n]}\n"

    def _nested(self, record: Record) -> Iterator[Cell | Record]:
        place = 0
        for width, is_array in self._widths:
            yield record[place : place + width] if is_array else record[place]
            place += width
