"""Published objects of one kind as a table: one row an object, its nested objects flattened.

A field of an object in the object becomes `outer_inner`. Lists become JSON text. Which columns there are, and what is
in them, is found by going through the objects once before they are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from monitor.decoders.base import parse_time_ns
from monitor.errors import DecodeError
from monitor.io.tables import Columns, Kind
from monitor.types import Json

_TIMES: Final = frozenset(
    {
        "time",
        "effective_time",
        "published",
        "valid_until",
        "pubtime",
        "datetime",
        "start_datetime",
        "end_datetime",
    }
)
_WHOLE: Final = frozenset({"revision", "update"})
_PART_ROWS: Final = 1000

Document = Mapping[str, Json]


class ProductColumns:
    """The columns that objects need, in the order in which their fields were first seen."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind | None] = {}
        self.count = 0

    def see(self, documents: Iterable[Document]) -> None:
        """Go through objects."""
        for document in documents:
            self.count += 1
            for name, value in fields(document):
                kind = kind_of(name, value)
                known = self._kinds.setdefault(name, kind)
                if known is None:
                    self._kinds[name] = kind
                elif kind is not None and kind is not known:
                    # What is now this and now that keeps its form as JSON text.
                    self._kinds[name] = Kind.TEXT

    @property
    def columns(self) -> Columns:
        """A field that is null throughout is text; none where it is an object in other rows."""
        return {
            name: kind or Kind.TEXT
            for name, kind in self._kinds.items()
            if kind is not None or not any(other.startswith(f"{name}_") for other in self._kinds)
        }


def product_parts(documents: Iterable[Document], columns: Columns) -> Iterator[Sequence[Sequence[Json]]]:
    """Yield the cells of `columns`, some rows at a time."""
    for part in _batched(documents):
        rows = [dict(fields(document)) for document in part]
        yield [[cell(row.get(name), kind) for row in rows] for name, kind in columns.items()]


def _batched(documents: Iterable[Document]) -> Iterator[list[Document]]:
    part: list[Document] = []
    for document in documents:
        part.append(document)
        if len(part) == _PART_ROWS:
            yield part
            part = []
    if part:
        yield part


def fields(document: Document, prefix: str = "") -> Iterator[tuple[str, Json]]:
    """The names and values of an object, those of objects in it with both names."""
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from fields(value, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", value


def kind_of(name: str, value: Json) -> Kind | None:
    """What a value is; None where it is null."""
    if value is None:
        return None
    if isinstance(value, bool):
        return Kind.TRUTH
    last = name.rpartition("_")[2]
    if isinstance(value, int | float):
        return Kind.WHOLE if last in _WHOLE and isinstance(value, int) else Kind.NUMBER
    return Kind.TIME if isinstance(value, str) and _is_time(name, value) else Kind.TEXT


def _is_time(name: str, value: str) -> bool:
    if not any(name == one or name.endswith(f"_{one}") for one in _TIMES):
        return False
    try:
        parse_time_ns(value)
    except DecodeError:
        return False
    return True


def cell(value: Json, kind: Kind) -> Json:
    """A value as a table takes it into a column of its kind."""
    if value is None:
        return None
    if kind is Kind.TIME:
        return parse_time_ns(value)
    if kind is Kind.NUMBER:
        return float(value)
    if kind is Kind.TEXT and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value
