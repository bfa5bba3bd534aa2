"""A document → a configuration, or every fault of it at once.

Each section, and each item of a list or mapping of items, is validated by itself: a fault in one hides none in another.
What several values must agree on is checked afterwards, over the values that are good by themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from monitor.config.agreement import agreement_faults
from monitor.config.catalogue import Catalogue
from monitor.config.messages import ValueFault, message_of, unknown_key_message
from monitor.config.model import Config, StationEntry
from monitor.config.reading import Document, Path, show, show_key
from monitor.config.schema import (
    ChainName,
    CraftId,
    Input,
    InstanceName,
    PairText,
    PluginEntry,
    StationCode,
)
from monitor.errors import ConfigurationError, Fault, PluginError
from monitor.types import Json, Kind

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CRAFT: TypeAdapter[str] = TypeAdapter(CraftId)
_PAIR: TypeAdapter[str] = TypeAdapter(PairText)
_CODE: TypeAdapter[str] = TypeAdapter(StationCode)
_CHAIN: TypeAdapter[str] = TypeAdapter(ChainName)
_BEGIN: TypeAdapter[Literal["now", "beginning"]] = TypeAdapter(Literal["now", "beginning"])
_INSTANCE: TypeAdapter[str] = TypeAdapter(InstanceName)
_MODELS: Mapping[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


def check(document: Document, catalogue: Catalogue, *, allow_unknown_stations: bool = False) -> Config:
    """Return the configuration that a document holds; raise ConfigurationError with all its faults, in their order."""
    if () not in document.spoiled:
        parts = _Parts(document, catalogue)
        values = parts.validate()
        agreement_faults(document, values, parts.paths, allow_unknown_stations=allow_unknown_stations)
        if not document.faults:
            return Config(**values)
    raise ConfigurationError(sorted(document.faults, key=_position))


def _position(fault: Fault) -> tuple[int, int]:
    return fault.line, fault.column


class _Parts:
    """Validates the parts of a document one by one; `paths` says where the good items of a list stand."""

    def __init__(self, document: Document, catalogue: Catalogue) -> None:
        self._document = document
        self._catalogue = catalogue
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
        known = self._catalogue.names("decoder")
        if entry.decoder not in known:
            allowed = ", ".join(known) or "none"
            self._fault((*path, "decoder"), f"found decoder {show(entry.decoder)}; allowed: {allowed}")
        else:
            self._options(entry.decoder, entry.options, (*path, "options"), (*path, "decoder"))
        return entry

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

    def _plugins(self, raw: dict[str, Json]) -> dict[str, PluginEntry]:
        read = ((name, self._plugin(name, body, ("plugins", name))) for name, body in raw.items())
        return {name: entry for name, entry in read if entry is not None}

    def _plugin(self, name: str, body: Json, path: Path) -> PluginEntry | None:
        """A plugin that is switched on; it is called as the plugin itself where `plugin` is left out."""
        if self._value(_INSTANCE, name, path, key=True) is None:
            return None
        if body is not None and not isinstance(body, dict):
            self._fault(path, f"found {self._text(path)}; it must be a mapping (option: value)")
            return None
        options = dict(body or {})
        plugin = options.pop("plugin", name)
        here = (*path, "plugin") if "plugin" in (body or {}) else path
        if not isinstance(plugin, str) or plugin not in self._catalogue.names():
            shown = show_key(plugin) if isinstance(plugin, str) else self._text(here)
            listed = ", ".join(self._catalogue.names()) or "none"
            message = f"no plugin {shown} is installed; installed: {listed}"
            self._fault(here, message, key=here == path)
            return None
        begin = self._begin(plugin, options, path)
        kind = self._options(plugin, options, path, here)
        return None if kind is None else PluginEntry(plugin=plugin, kind=kind, options=options, begin=begin)

    def _begin(self, plugin: str, options: dict[str, Json], path: Path) -> Literal["now", "beginning"]:
        """Where a sink begins: the key `from`, which is taken out of its options."""
        if plugin in self._catalogue.names("sink") and "from" in options:
            return self._value(_BEGIN, options.pop("from"), (*path, "from")) or "now"
        return "now"

    def _options(self, plugin: str, options: dict[str, Json], path: Path, named_at: Path) -> Kind | None:
        """What a plugin is; what is wrong with its options becomes faults at their places.

        One that cannot be imported is no fault here: the daemon goes on without it.
        """
        try:
            kind = self._catalogue.kind_of(plugin)
        except PluginError as error:
            self._fault(named_at, str(error), key=named_at == path)
            return None
        try:
            faults = self._catalogue.faults(plugin, options)
        except PluginError as error:
            logger.debug("%s", error)
            faults = ()
        for fault in faults:
            self._placed(fault, path)
        return kind

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
                self._placed(ValueFault.of(detail, model), path, key=key)
        return None

    def _placed(self, fault: ValueFault, path: Path, *, key: bool = False) -> None:
        """Note a fault in what stands at a path."""
        at = (*path, *fault.path)
        # The message of a fault in a key must not be placed at its value.
        on_key = key or fault.kind == "extra_forbidden"
        self._fault(at, message_of(fault, self._document.place(at, key=on_key)), key=on_key)

    def _text(self, path: Path) -> str:
        return self._document.place(path).text

    def _fault(self, path: Path, message: str, *, key: bool = False) -> None:
        if key or not self._document.is_spoiled(path):
            self._document.fault_at(self._document.place(path, key=key), message)
