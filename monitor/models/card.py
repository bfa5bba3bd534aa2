"""Model cards: what is known of a learned model, and by which digests it is recognised.

A card is a frozen value with a JSON form that is read strictly: a field that is missing, strange or of another type is
refused by name. `models.base` keeps cards and files together, `models.card_page` writes the card for people.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Final

import msgspec

from monitor.errors import ModelError
from monitor.types import Json

CARD_SCHEMA: Final = "geospace/model-card/1"
CARD_FILES: Final = ("card.json", "card.md")

_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# A plain name: nothing that leads out of the folder, and no hidden file.
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORT = 12


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model is at work, for products, metrics and the status.

    Attributes
    ----------
    kind : str
        What it makes: `flr`.
    name, version : str
    sha256 : str
        `model_digest` of its card.
    """

    kind: str
    name: str
    version: str
    sha256: str

    @property
    def short(self) -> str:
        """The first twelve digits of the digest."""
        return self.sha256[:_SHORT]

    @property
    def label(self) -> str:
        """`name/version@short`, as products and the status name it."""
        return f"{self.name}/{self.version}@{self.short}"


@dataclass(frozen=True, slots=True)
class DataSource:
    """One set of data that a model has seen, or was measured on.

    Attributes
    ----------
    what : str
    synthetic : bool
    count : int
        How many examples.
    split : str
        What they were for: training, validation, calibration, test.
    drawn : mapping
        Where they come from, so that they can be had again: seeds and ranges, or files.
    """

    what: str
    synthetic: bool
    count: int
    split: str
    drawn: Mapping[str, Json]

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count must not be negative; got {self.count}")


@dataclass(frozen=True, slots=True)
class SchemaRecord:
    """The features that a model looks at.

    Attributes
    ----------
    name : str
    content : mapping
        `version` and `names` (one a column, in their order), with whatever else fixes them (grid, groups).
    sha256 : str
        `content_digest` of `content`: two programs with the same digest make the same columns.
    """

    name: str
    content: Mapping[str, Json]
    sha256: str

    def __post_init__(self) -> None:
        names = self.content.get("names")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError("content must have `names`, a list of the features' names")
        if not isinstance(self.content.get("version"), int):
            raise ValueError(
                f"content must have a whole number `version`; got {self.content.get('version')!r}"
            )
        if self.sha256 != content_digest(self.content):
            raise ValueError(
                f"sha256 is {self.sha256}, but that of the content is {content_digest(self.content)}"
            )

    @classmethod
    def of(cls, name: str, content: Mapping[str, Json]) -> SchemaRecord:
        """The record of a schema, with its digest."""
        return cls(name, content, content_digest(content))


@dataclass(frozen=True, slots=True)
class ModelCard:
    """All that is known of a model; ValueError where a field cannot be true.

    Attributes
    ----------
    name, version : str
        Lower-case words.
    kind : str
        What the model makes: `flr`.
    created : str
        Date, `YYYY-MM-DD`.
    intended_use : str
    data : tuple of DataSource
        At least one.
    feature_schema : SchemaRecord
    files : mapping of str to str
        From file name to SHA-256. Plain names in the card's own folder.
    hyper_parameters : mapping
    search : str
        How they were found.
    metrics : mapping
        Nested numbers; null where there was nothing to measure.
    tolerance : mapping of str to float
        By how much a metric may differ when the model is trained again from the same seed.
    limits : tuple of str
        What it cannot do and what is not known, a sentence each; at least one, because there always is one.
    libraries : mapping of str to str
        Versions that it was trained with.
    """

    name: str
    version: str
    kind: str
    created: str
    intended_use: str
    data: tuple[DataSource, ...]
    feature_schema: SchemaRecord
    files: Mapping[str, str]
    hyper_parameters: Mapping[str, Json]
    search: str
    metrics: Mapping[str, Json]
    tolerance: Mapping[str, float]
    limits: tuple[str, ...]
    libraries: Mapping[str, str]

    def __post_init__(self) -> None:
        for field in ("name", "version", "kind"):
            if not _WORD.fullmatch(getattr(self, field)):
                raise ValueError(f"{field} must be a lower-case word; got {getattr(self, field)!r}")
        if not _DAY.fullmatch(self.created):
            raise ValueError(f"created must be a date, YYYY-MM-DD; got {self.created!r}")
        date.fromisoformat(self.created)
        if not self.data:
            raise ValueError("data must name at least one source")
        if not self.limits or not all(sentence.strip() for sentence in self.limits):
            raise ValueError("limits must say what the model cannot do or what is not known of it")
        _check_files(self.files)
        _check_numbers(self.metrics, "metrics")
        for name, allowed in self.tolerance.items():
            if not (math.isfinite(allowed) and allowed >= 0.0):
                raise ValueError(f"tolerance of {name} must not be negative; got {allowed}")
        # What is no JSON, or NaN, would be found only when the card is written.
        json.dumps(msgspec.to_builtins(self), allow_nan=False)

    @property
    def info(self) -> ModelInfo:
        """What products, metrics and the status say of it."""
        return ModelInfo(self.kind, self.name, self.version, model_digest(self))

    def require_schema(self, digest: str, path: str) -> None:
        """Raise ModelError, which names `path` and both digests, unless the features are those of this digest."""
        if self.feature_schema.sha256 != digest:
            raise ModelError(
                path,
                f"expected features of schema {digest}, found {self.feature_schema.sha256}"
                f" ({self.feature_schema.name}): train the model again with this version, or use one that was",
            )

    def to_json(self) -> bytes:
        """The text of `card.json`: one line a value, so that two cards can be compared."""
        document = {"schema": CARD_SCHEMA, **msgspec.to_builtins(self)}
        return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, path: str) -> ModelCard:
        """Read what `to_json` wrote.

        Parameters
        ----------
        data : bytes
        path : str
            Where it comes from, for the error.

        Raises
        ------
        ModelError
            It is not JSON, of another schema, or a field is missing, unknown or impossible.
        """
        document = read_json(data, path)
        if not isinstance(document, dict) or document.get("schema") != CARD_SCHEMA:
            found = document.get("schema") if isinstance(document, dict) else document
            raise ModelError(path, f"expected a model card of schema {CARD_SCHEMA}, found {_brief(found)}")
        del document["schema"]
        missing = [field.name for field in fields(cls) if field.name not in document]
        if missing:
            raise ModelError(path, f"the card lacks {', '.join(missing)}")
        try:
            card = msgspec.convert(document, cls)
        except ValueError as error:
            raise ModelError(path, f"the card cannot be used: {error}") from error
        unknown = list(_unknown(document, msgspec.to_builtins(card), ""))
        if unknown:
            raise ModelError(path, f"the card has fields that its schema does not know: {', '.join(unknown)}")
        return card


def content_digest(content: Json) -> str:
    """SHA-256 of a JSON value, written with sorted keys and without spaces."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of every file, for a card."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}


def model_digest(card: ModelCard) -> str:
    """One SHA-256 for a model: that of its files' names and hashes, whatever else the card says."""
    return content_digest(dict(card.files))


def read_json(data: bytes, path: str) -> Json:
    """Parse JSON strictly (no NaN, no Infinity), or raise ModelError that names the path."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(path, f"expected JSON, found {len(data)} bytes that are not: {error}") from error


def _check_files(files: Mapping[str, str]) -> None:
    if not files:
        raise ValueError("files must name at least one file")
    for name, sha256 in files.items():
        if not _FILE.fullmatch(name) or name in CARD_FILES:
            raise ValueError(f"files must be plain names in the card's own folder; got {_brief(name)}")
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"the SHA-256 of {name} must be 64 digits; got {_brief(sha256)}")


def _check_numbers(value: Json, place: str) -> None:
    """Raise ValueError unless all leaves are finite numbers or None."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_numbers(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_numbers(inner, place)
    elif value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
        raise ValueError(f"{place} must be a finite number or null; got {_brief(value)}")


def _unknown(given: Json, known: Json, place: str) -> Iterable[str]:
    """Places of the keys of `given` that reading has left out."""
    if isinstance(given, dict):
        for key, inner in given.items():
            if key in known:
                yield from _unknown(inner, known[key], f"{place}{key}.")
            else:
                yield f"{place}{key}"
    elif isinstance(given, list):
        for index, inner in enumerate(given):
            yield from _unknown(inner, known[index], f"{place}{index}.")


def _brief(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
