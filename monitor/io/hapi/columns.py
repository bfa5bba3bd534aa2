"""One parameter of a dataset: what HAPI says of it, and where its values stand in a product.

Products come out of the store, where a damaged row can hold anything: a value that is not of the column's type is the
column's fill, as an unknown one is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from monitor.io.hapi.times import NO_TIME, TIME_LENGTH, same_length
from monitor.types import Json

Document: TypeAlias = Mapping[str, Json]
Cell: TypeAlias = str | int | float
Getter: TypeAlias = Callable[[Document], Json]
ColumnType: TypeAlias = Literal["isotime", "string", "double", "integer"]

FILL: Final = -1e31
"""Of doubles: unlike NaN it is the same in text, in binary and in JSON, which has no NaN."""
UNKNOWN: Final = "?"
NONE: Final = "none"
"""A list that is known to be empty: an empty cell of CSV would be taken for an unknown."""
_FILLS: Final[Mapping[ColumnType, str]] = {
    "double": "-1e31",
    "integer": "-1",
    "string": UNKNOWN,
    "isotime": NO_TIME,
}
_LARGEST_INTEGER: Final = (1 << 31) - 1
_LARGEST: Final = 1e300


@dataclass(frozen=True, slots=True)
class Column:
    """A parameter of a dataset.

    Attributes
    ----------
    name : str
    type : str
    get : callable
        From a product to the value (of an array the list of them); None where it is unknown.
    units, description : str
        No units (None) for what has no dimension.
    length : int
        Bytes of the longest text.
    size : int
        Elements of an array; 0 of a scalar.
    labels : tuple of str
        Of the elements of an array.
    bins : mapping, optional
        The bins of an array, as HAPI describes them.
    is_known : bool
        Whether a value is always there, so that there is no fill.
    """

    name: str
    type: ColumnType
    get: Getter
    units: str | None = None
    description: str = ""
    length: int = 0
    size: int = 0
    labels: tuple[str, ...] = ()
    bins: Mapping[str, Json] | None = None
    is_known: bool = False

    @property
    def width(self) -> int:
        """How many cells a record has of it."""
        return self.size or 1

    def describe(self) -> dict[str, Json]:
        """The parameter object of `info`."""
        described: dict[str, Json] = {
            "name": self.name,
            "type": self.type,
            "units": "UTC" if self.type == "isotime" else self.units,
            "fill": None if self.is_known else _FILLS[self.type],
        }
        if self.type in ("string", "isotime"):
            described["length"] = self.length
        if self.size:
            described["size"] = [self.size]
        if self.labels:
            described["label"] = list(self.labels)
        if self.description:
            described["description"] = self.description
        if self.bins is not None:
            described["bins"] = [dict(self.bins)]
        return described

    def cells(self, document: Document) -> list[Cell]:
        """The cells of one record, with the fill where nothing is known."""
        value = self.get(document)
        if not self.size:
            return [self._cell(value)]
        values = value if isinstance(value, list | tuple) else ()
        return [self._cell(values[place] if place < len(values) else None) for place in range(self.size)]

    def _cell(self, value: Json) -> Cell:
        match self.type:
            case "double":
                known = number(value)
                return FILL if known is None else known
            case "integer":
                whole = isinstance(value, int) and -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER
                return int(value) if whole else -1
            case "isotime":
                return same_length(value) or NO_TIME
            case "string":
                return _fitting(value, self.length) if isinstance(value, str) else UNKNOWN


def number(value: Json) -> float | None:
    """A number as a double; None for what is none, or too large for one."""
    return float(value) if isinstance(value, int | float) and abs(value) < _LARGEST else None


def at(*path: str) -> Getter:
    """What stands under a key, or under keys within each other."""

    def get(document: Document) -> Json:
        value: Json = document
        for key in path:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value

    return get


def words(*path: str) -> Getter:
    """A list of texts as one, with blanks between them."""
    get = at(*path)

    def joined(document: Document) -> Json:
        value = get(document)
        if not isinstance(value, list):
            return None
        return " ".join(str(one) for one in value) or NONE

    return joined


def members(keys: Sequence[str], *path: str) -> Getter:
    """The values of an object under the keys, in their order."""
    get = at(*path)

    def listed(document: Document) -> Json:
        value = get(document)
        return [value.get(key) for key in keys] if isinstance(value, dict) else None

    return listed


def double(name: str, get: Getter, units: str | None = None, description: str = "") -> Column:
    """A number."""
    return Column(name, "double", get, units, description)


def doubles(
    name: str, get: Getter, labels: Sequence[str], units: str | None = None, description: str = ""
) -> Column:
    """As many numbers as there are labels."""
    return Column(name, "double", get, units, description, size=len(labels), labels=tuple(labels))


def text(name: str, get: Getter, length: int, description: str = "") -> Column:
    """A text of so many bytes at most; what is longer is cut."""
    return Column(name, "string", get, None, description, length=length)


def whole(name: str, get: Getter, description: str = "") -> Column:
    """A whole number of 32 bits, 0 or above; a truth is 1 or 0."""
    return Column(name, "integer", get, None, description)


def moment(name: str, get: Getter, description: str = "", *, is_known: bool = False) -> Column:
    """A time beside that of the record."""
    return Column(name, "isotime", get, None, description, length=TIME_LENGTH, is_known=is_known)


def _fitting(value: str, length: int) -> str:
    """A text in no more bytes than there is room for, without what would end a line or a text."""
    plain = value if value.isprintable() else "".join(c if c.isprintable() else " " for c in value)
    encoded = plain.encode("utf-8", "replace")
    return plain if len(encoded) <= length else encoded[:length].decode("utf-8", "ignore")
