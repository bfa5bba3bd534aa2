"""From published objects to the line protocol of InfluxDB. Pure.

A point is known by its measurement, its tags and its time. So the tags are what a product is of (pair, chain,
spacecraft), never what it says: a revision overwrites what it revises. A field that is null is left out. All numbers
are floats, so that none changes its type, but for `revision`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from monitor.plugins import StoredProduct
from monitor.types import Json

TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "flr": ("pair",),
    "region": ("craft",),
    "plasmapause": ("chain",),
    "profile": ("chain", "pair"),
}
"""The tags of each kind of product."""

# What names the object, what says when it holds, and what is a picture or a list of names.
_LEFT_OUT: Final = frozenset(
    {"schema", "id", "time", "effective_time", "published", "valid_until", "model", "cam", "interval_level"}
)
_INTERVAL: Final = ("low", "high")
_BREAKS: Final = str.maketrans(dict.fromkeys("\n\r\t\x00", " "))


@dataclass(frozen=True, slots=True)
class Point:
    """One point.

    Attributes
    ----------
    measurement, tags, time_ns
        Where it belongs.
    line : str
        Without the newline.
    replaces : bool
        Whether it is a revision with something null in it, which may have been there before.
    """

    measurement: str
    tags: tuple[tuple[str, str], ...]
    time_ns: int
    line: str
    replaces: bool


def points(product: StoredProduct, prefix: str) -> list[Point]:
    """The points of a product, none where its kind has none, its subject was removed or everything in it is null.

    Parameters
    ----------
    product : StoredProduct
    prefix : str
        Begins the name of the measurement, which ends with the kind.
    """
    if product.kind not in TAGS or not product.payload:
        return []
    document: Mapping[str, Json] = json.loads(product.payload)
    measurement = f"{prefix}{product.kind}"
    documents = _of_pairs(document) if product.kind == "profile" else [document]
    made = (_point(measurement, TAGS[product.kind], one, product) for one in documents)
    return [point for point in made if point is not None]


def _of_pairs(document: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    """One object for each pair of a profile: the arrays have a place for each."""
    pairs = document["pairs"]
    arrays = {
        name: value
        for name, value in document.items()
        if name not in ("pairs", "fit") and isinstance(value, list) and len(value) == len(pairs)
    }
    whole = {"chain": document["chain"], "revision": document["revision"]}
    for place, pair in enumerate(pairs):
        yield {**whole, "pair": pair, **{name: value[place] for name, value in arrays.items()}}


def _point(
    measurement: str, tag_names: tuple[str, ...], document: Mapping[str, Json], product: StoredProduct
) -> Point | None:
    # The protocol has no empty tags, and keeps what `cleaned` gives as it is.
    tags = tuple((name, cleaned(str(document[name]))) for name in tag_names if document.get(name))
    fields = [
        field
        for key, item in document.items()
        if key not in tag_names and key not in _LEFT_OUT
        for field in _fields(key, item)
    ]
    written = ",".join(f"{escaped(name)}={value}" for name, value in fields if value is not None)
    if not written:
        return None
    head = ",".join([_measurement(measurement), *(f"{escaped(k)}={escaped(v)}" for k, v in tags)])
    replaces = product.revision > 0 and any(value is None for _, value in fields)
    return Point(measurement, tags, product.time_ns, f"{head} {written} {product.time_ns}", replaces)


def _fields(name: str, value: Json) -> Iterator[tuple[str, str | None]]:
    """Names and written values: `outer_inner` for objects, `_low` and `_high` for intervals, lists of texts as one.

    A value that is null is None.
    """
    if value is None:
        yield name, None
    elif isinstance(value, dict):
        for inner, item in value.items():
            yield from _fields(f"{name}_{inner}", item)
    elif isinstance(value, list):
        if "interval" in name and len(value) == len(_INTERVAL):
            for end, item in zip(_INTERVAL, value, strict=True):
                yield from _fields(f"{name}_{end}", item)
        elif all(isinstance(item, str) for item in value):
            yield name, _text(" ".join(value))
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, int | float):
        yield name, f"{int(value)}i" if name == "revision" else repr(float(value))
    else:
        yield name, _text(str(value))


def cleaned(text: str) -> str:
    """A key or the value of a tag; what the protocol cannot hold there (line breaks, a `\\` at the end) is a space."""
    text = text.translate(_BREAKS)
    bare = text.rstrip("\\")
    return f"{bare} " if bare != text else text


def escaped(text: str) -> str:
    """The same as it is written."""
    return "".join(f"\\{character}" if character in ",= " else character for character in cleaned(text))


def _measurement(text: str) -> str:
    return text.translate(_BREAKS).replace(",", "\\,").replace(" ", "\\ ")


def _text(text: str) -> str:
    """The value of a field that is a text. A line break may stand in it, but tools read the protocol by lines."""
    inner = text.translate(_BREAKS).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'
