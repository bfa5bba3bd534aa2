"""A document → a configuration, or every fault of it at once.

Each section, and each item of a list or mapping of items, is validated by itself: a fault in one hides none in another.
What several values must agree on is checked afterwards, over the values that are good by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from monitor.config.agreement import agreement_faults
from monitor.config.messages import message_of, model_at, unknown_key_message
from monitor.config.model import Config, StationEntry
from monitor.config.reading import Document, Path, show, show_key
from monitor.config.schema import (
    DECODER_OPTIONS,
    ChainName,
    CraftId,
    Input,
    NoOptions,
    PairText,
    StationCode,
)
from monitor.errors import ConfigurationError, Fault
from monitor.types import Json

T = TypeVar("T")

PLUGIN_GROUP = "geospace_monitor.plugins"
"""Entry points of this group are plugins that can be switched on."""

_CRAFT: TypeAdapter[str] = TypeAdapter(CraftId)
_PAIR: TypeAdapter[str] = TypeAdapter(PairText)
_CODE: TypeAdapter[str] = TypeAdapter(StationCode)
_CHAIN: TypeAdapter[str] = TypeAdapter(ChainName)
_MODELS: Mapping[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


def check(
    document: Document, known_decoders: frozenset[str], *, allow_unknown_stations: bool = False
) -> Config:
    """Return the configuration that a document holds; raise ConfigurationError with all its faults, in their order."""
    if () not in document.spoiled:
        parts = _Parts(document, known_decoders)
        values = parts.validate()
        agreement_faults(document, values, parts.paths, allow_unknown_stations=allow_unknown_stations)
        if not document.faults:
            return Config(**values)
    raise ConfigurationError(sorted(document.faults, key=_position))


def _position(fault: Fault) -> tuple[int, int]:
    return fault.line, fault.column


class _Parts:
    """Validates the parts of a document one by one; `paths` says where the good items of a list stand."""

    def __init__(self, document: Document, known_decoders: frozenset[str]) -> None:
        self._document = document
        self._known_decoders = known_decoders
        self.paths: dict[str, list[Path]] = {}

    def validate(self) -> dict[str, Any]:
        """Return the good values by top-level key; a key that is absent or empty (null) is left to its default."""
        values: dict[str, Any] = {}
        for key, raw in self._document.data.items():
            if key not in Config.model_fields:
                self._fault((key,), unknown_key_message(key, Config.model_fields), key=True)
            elif raw is not None:
                value = self._section(key, raw)
                if value is not None:
                    values[key] = value
        return values

    def _section(self, key: str, raw: Json) -> Any:
        if key in _MODELS:
            return self._value(TypeAdapter(_MODELS[key]), raw, (key,), _MODELS[key])
        if key in ("inputs", "pairs", "craft"):
            return self._list(key, raw)
        if not isinstance(raw, dict):
            self._fault((key,), f"found {self._text((key,))}; it must be a mapping (name: value)")
            return None
        if key == "stations":
            return self._stations(raw)
        return self._chains(raw) if key == "chains" else self._plugins(raw)

    def _list(self, key: str, raw: Json) -> tuple[Any, ...] | None:
        if not isinstance(raw, list):
            self._fault(
                (key,), f"found {self._text((key,))}; it must be a list ([…] or lines that begin with -)"
            )
            return None
        read = {"inputs": self._input, "pairs": self._pair, "craft": self._craft}[key]
        items: list[Any] = []
        self.paths[key] = []
        for index, item in enumerate(raw):
            value = read(item, (key, index))
            if value is not None:
                items.append(value)
                self.paths[key].append((key, index))
        return tuple(items)

    def _pair(self, raw: Json, path: Path) -> str | None:
        return self._value(_PAIR, raw, path)

    def _craft(self, raw: Json, path: Path) -> str | None:
        return self._value(_CRAFT, raw, path)

    def _input(self, raw: Json, path: Path) -> Input | None:
        entry = self._value(TypeAdapter(Input), raw, path, Input)
        if entry is None:
            return None
        if entry.decoder not in self._known_decoders:
            allowed = ", ".join(sorted(self._known_decoders))
            self._fault((*path, "decoder"), f"found decoder {show(entry.decoder)}; allowed: {allowed}")
            return entry
        model = DECODER_OPTIONS.get(entry.decoder, NoOptions)
        options = self._value(TypeAdapter(model), entry.options, (*path, "options"), model)
        return entry if options is None else entry.model_copy(update={"options": options.model_dump()})

    def _stations(self, raw: dict[str, Json]) -> dict[str, StationEntry]:
        entries: dict[str, StationEntry] = {}
        for name, body in raw.items():
            path: Path = ("stations", name)
            code = self._value(_CODE, name, path, key=True)
            entry = self._value(TypeAdapter(StationEntry), body, path, StationEntry)
            if code is not None and code in entries:
                self._fault(
                    path, f"station {code} is given twice (codes are upper-cased); keep one of them", key=True
                )
            elif code is not None:
                # A station with a fault inside is declared all the same: its pairs are not unknown.
                entries[code] = StationEntry() if entry is None else entry
        return entries

    def _chains(self, raw: dict[str, Json]) -> dict[str, tuple[str, ...]]:
        chains: dict[str, tuple[str, ...]] = {}
        for name, body in raw.items():
            path: Path = ("chains", name)
            self._value(_CHAIN, name, path, key=True)
            if not isinstance(body, list) or not body:
                found = "an empty list" if body == [] else self._text(path)
                self._fault(path, f"found {found}; it must be a list of pairs, such as [MUO-PEL, TAR-BRZ]")
                continue
            read = [self._pair(item, (*path, index)) for index, item in enumerate(body)]
            self.paths[f"chains.{name}"] = [
                (*path, index) for index, pair in enumerate(read) if pair is not None
            ]
            chains[name] = tuple(pair for pair in read if pair is not None)
        return chains

    def _plugins(self, raw: dict[str, Json]) -> dict[str, dict[str, Any]]:
        installed = sorted(entry.name for entry in metadata.entry_points(group=PLUGIN_GROUP))
        plugins: dict[str, dict[str, Any]] = {}
        for name, body in raw.items():
            path: Path = ("plugins", name)
            if name not in installed:
                listed = ", ".join(installed) or "none"
                self._fault(path, f"no plugin {show_key(name)} is installed; installed: {listed}", key=True)
            elif body is not None and not isinstance(body, dict):
                self._fault(path, f"found {self._text(path)}; it must be a mapping (option: value)")
            else:
                plugins[name] = body or {}
        return plugins

    def _value(
        self,
        adapter: TypeAdapter[T],
        raw: Json,
        path: Path,
        model: type[BaseModel] | None = None,
        *,
        key: bool = False,
    ) -> T | None:
        """Validate one value; what is wrong with it becomes faults at its place."""
        try:
            return adapter.validate_python(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                loc = detail["loc"]
                at = (*path, *loc)
                # The message of a fault in a key must not be placed at its value.
                on_key = key or detail["type"] == "extra_forbidden"
                place = self._document.place(at, key=on_key)
                self._fault(at, message_of(detail, place, model_at(model, loc[:-1])), key=on_key)
        return None

    def _text(self, path: Path) -> str:
        return self._document.place(path).text

    def _fault(self, path: Path, message: str, *, key: bool = False) -> None:
        if key or not self._document.is_spoiled(path):
            self._document.fault_at(self._document.place(path, key=key), message)
