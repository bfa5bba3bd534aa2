"""What plugins are told of the monitor that they work in."""

from __future__ import annotations

from pathlib import Path

from monitor.config import Config
from monitor.types import Surroundings

FOLDER = "plugins"
"""Beside the store: a folder of its own for each plugin that is switched on."""


def surroundings_of(config: Config, name: str) -> Surroundings:
    """What a plugin that is switched on as `name` may know."""
    return Surroundings(
        name,
        folder=Path(config.store.path).parent / FOLDER / name,
        stations=tuple(dict.fromkeys(code for pair in config.pair_list for code in pair.stations)),
        craft=config.craft,
        lateness_s=config.windows.lateness_s,
        craft_lateness_s=config.craft_windows.lateness_s,
        revise_s=config.windows.revise_s,
        craft_revise_s=config.craft_windows.revise_s,
        root=config.outputs.root,
        maximum_payload_bytes=config.intake.maximum_payload_bytes,
    )
