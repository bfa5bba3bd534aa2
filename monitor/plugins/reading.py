"""Decoders that are switched on to read whole files."""

from __future__ import annotations

from monitor.config import Config
from monitor.decoders.base import FileReader
from monitor.errors import PluginError
from monitor.plugins.registry import Registry, installed
from monitor.plugins.surroundings import surroundings_of


def file_readers(config: Config, registry: Registry | None = None) -> list[FileReader]:
    """The decoders that a configuration switches on for files, in its order; PluginError where one cannot be made."""
    if not config.plugins:
        return []
    known = installed() if registry is None else registry
    readers: list[FileReader] = []
    for name, entry in config.plugins.items():
        if entry.kind != "decoder":
            continue
        made = known.make("decoder", entry.plugin, entry.options, surroundings_of(config, name))
        if not isinstance(made, FileReader):
            raise PluginError(
                entry.plugin, "", "reads messages and no files: name it under inputs, and not under plugins"
            )
        readers.append(made)
    return readers
